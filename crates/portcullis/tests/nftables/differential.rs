//! The same ruleset by `nft` and by us: nobody can tell which it was.

use portcullis_firewall::ruleset::Ruleset;
use portcullis_gate::nftables::Table;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use crate::{Test, corpus, nft, random};

pub const TESTS: [Test; 3] = [
    ("the_corpus_is_the_same", the_corpus_is_the_same),
    ("random_rulesets_are_the_same", random_rulesets_are_the_same),
    ("nft_reads_its_own_listing_of_ours", nft_reads_its_own_listing_of_ours),
];

/// What nft lists after it has loaded our text, and after we have loaded the ruleset.
fn both(gate: &mut Table, ruleset: &Ruleset) -> (String, String) {
    nft::load(&ruleset.to_string());
    // First, since it waits until the kernel has given the sets their final size.
    gate.verify(ruleset).expect("what nft loaded is what we would load");
    let by_nft = nft::list();
    assert!(gate.remove().unwrap());
    assert_eq!(nft::list(), "");
    gate.load(ruleset).unwrap();
    (by_nft, nft::list())
}

fn the_corpus_is_the_same() {
    let mut gate = Table::open().unwrap();
    for (name, ruleset) in corpus::all() {
        let (by_nft, by_us) = both(&mut gate, &ruleset);
        assert_eq!(by_nft, by_us, "{name}");
    }
}

fn nft_reads_its_own_listing_of_ours() {
    let mut gate = Table::open().unwrap();
    for (name, ruleset) in corpus::all() {
        gate.load(&ruleset).unwrap();
        let listed = nft::list();
        nft::load(&format!("flush ruleset\n{listed}"));
        gate.verify(&ruleset).unwrap();
        assert_eq!(nft::list(), listed, "{name}");
    }
}

fn random_rulesets_are_the_same() {
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    // The same cases each time: a failure has to be one of this commit.
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, random);
    let outcome = runner.run(&random::any_ruleset(), |ruleset| {
        let mut gate = Table::open().unwrap();
        let (by_nft, by_us) = both(&mut gate, &ruleset);
        proptest::prop_assert_eq!(by_nft, by_us);
        Ok(())
    });
    if let Err(TestError::Fail(reason, ruleset)) = outcome {
        panic!("{reason}\n{ruleset}");
    }
    outcome.unwrap();
}
