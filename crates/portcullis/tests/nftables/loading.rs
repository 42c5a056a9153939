//! Loading whole tables.

use std::time::Instant;

use nix::errno::Errno;
use portcullis_core::policy::Recogniser;
use portcullis_firewall::compile::compile;
use portcullis_firewall::ruleset::{Statement, Type, Value, Verdict};
use portcullis_gate::nftables::{Error, Table};
use portcullis_linux::netlink::socket::{self, Family, Socket};

use crate::Test;
use crate::corpus::{self, chain, element, fixed, ruleset};

pub const TESTS: [Test; 8] = [
    ("what_is_loaded_is_there", what_is_loaded_is_there),
    ("a_reload_is_one_transaction", a_reload_is_one_transaction),
    ("ten_thousand_doors_load_in_seconds", ten_thousand_doors_load_in_seconds),
    ("a_refused_rule_is_named", a_refused_rule_is_named),
    ("a_refused_set_is_named", a_refused_set_is_named),
    ("a_refused_load_changes_nothing", a_refused_load_changes_nothing),
    ("what_is_removed_is_gone", what_is_removed_is_gone),
    ("a_table_of_another_process_is_left_alone", a_table_of_another_process_is_left_alone),
];

const NEWTABLE: u16 = 0x0a00;
const GETGEN: u16 = 0x0a10;

fn what_is_loaded_is_there() {
    let mut gate = Table::open().unwrap();
    assert_eq!(gate.state().unwrap(), None);
    for (name, ruleset) in corpus::all() {
        let loaded = gate.load(&ruleset).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(loaded.rules, ruleset.rule_count());
        gate.verify(&ruleset).unwrap();
    }
    assert!(gate.state().unwrap().is_some());
}

/// The number of transactions that this namespace has seen.
fn generation() -> u32 {
    let mut socket = Socket::open(Family::Netfilter).unwrap();
    let found = socket.get(GETGEN, |w| w.raw(&[0; 4]), |message| message.attributes(4).be32(1));
    found.unwrap().unwrap()
}

fn a_reload_is_one_transaction() {
    let mut gate = Table::open().unwrap();
    let policy = corpus::doors(100, Recogniser::Both);
    let ruleset = compile(&policy).unwrap();
    gate.load(&ruleset).unwrap();
    let before = generation();
    gate.load(&ruleset).unwrap();
    assert_eq!(generation(), before + 1);
    // To look does not change anything.
    gate.verify(&ruleset).unwrap();
    assert_eq!(generation(), before + 1);
}

fn ten_thousand_doors_load_in_seconds() {
    let ruleset = compile(&corpus::doors(10_000, Recogniser::Both)).unwrap();
    let mut gate = Table::open().unwrap();
    let start = Instant::now();
    let loaded = match gate.load(&ruleset) {
        // Only root of the machine may send more than net.core.wmem_max allows.
        Err(Error::Netlink(socket::Error::SendBuffer(bytes))) => {
            eprintln!("10,000 doors: {bytes} bytes are more than may be sent here");
            return;
        }
        outcome => outcome.unwrap(),
    };
    let took = start.elapsed();
    eprintln!("10,000 doors: {} rules, {} elements, {took:?}", loaded.rules, loaded.elements);
    assert!(loaded.elements > 150_000);
    assert_eq!(gate.door_names().unwrap().len(), 10_000);
    gate.load(&ruleset).unwrap();
}

fn refusal(error: Error) -> (String, Errno) {
    match error {
        Error::Refused { object, errno, .. } => (object, errno),
        other => panic!("{other}"),
    }
}

fn a_refused_rule_is_named() {
    let accept = Statement::Verdict(Verdict::Accept);
    let nowhere = Statement::Verdict(Verdict::Goto("nowhere".to_owned()));
    let rules = vec![vec![accept.clone()], vec![nowhere], vec![accept]];
    let broken = ruleset(vec![], vec![chain("first", vec![]), chain("door", rules)]);
    let error = Table::open().unwrap().load(&broken).unwrap_err();
    assert!(error.to_string().contains("rule 2 of chain door"), "{error}");
    assert_eq!(refusal(error), ("rule 2 of chain door".to_owned(), Errno::ENOENT));
}

fn a_refused_set_is_named() {
    let mut gate = Table::open().unwrap();
    // A key of more than 64 bytes.
    let broken = ruleset(vec![fixed("wide", &[Type::Ipv6Addr; 5], None, vec![])], vec![]);
    assert_eq!(refusal(gate.load(&broken).unwrap_err()).0, "set wide");
    let missing = element(vec![Value::Service(1)], None);
    let broken = ruleset(
        vec![fixed("ports", &[Type::InetService], Some(Type::Classid), vec![missing])],
        vec![],
    );
    assert_eq!(refusal(gate.load(&broken).unwrap_err()).0, "elements of set ports");
}

fn a_refused_load_changes_nothing() {
    let mut gate = Table::open().unwrap();
    let good = compile(&corpus::doors(3, Recogniser::Both)).unwrap();
    gate.load(&good).unwrap();
    let mut broken = good.clone();
    let nowhere = Statement::Verdict(Verdict::Goto("nowhere".to_owned()));
    broken.chains.push(chain("last", vec![vec![nowhere]]));
    gate.load(&broken).unwrap_err();
    gate.verify(&good).unwrap();
}

fn what_is_removed_is_gone() {
    let mut gate = Table::open().unwrap();
    assert!(!gate.remove().unwrap());
    let ruleset = compile(&corpus::doors(3, Recogniser::Both)).unwrap();
    gate.load(&ruleset).unwrap();
    assert!(gate.remove().unwrap());
    assert_eq!(gate.state().unwrap(), None);
    assert!(!gate.remove().unwrap());
    assert!(matches!(gate.verify(&ruleset), Err(Error::Mismatch(_))));
    assert_eq!(gate.grants().unwrap(), []);
    assert_eq!(gate.door_names().unwrap(), []);
}

fn a_table_of_another_process_is_left_alone() {
    let mut other = Socket::open(Family::Netfilter).unwrap();
    let bytes = {
        let mut w = portcullis_linux::netlink::message::Writer::new();
        w.message(0x10, 1, 1, |w| w.raw(&[0, 0, 0, 10]));
        w.message(NEWTABLE, 0x405, 2, |w| {
            w.raw(&[1, 0, 0, 0]);
            w.text(1, "portcullis");
            // NFT_TABLE_F_OWNER
            w.be32(2, 2);
        });
        w.message(0x11, 1, 3, |w| w.raw(&[0, 0, 0, 10]));
        w.finish().unwrap()
    };
    other.send(&bytes).unwrap();
    other.answers(1, 2).unwrap();
    let mut gate = Table::open().unwrap();
    let ruleset = compile(&corpus::doors(3, Recogniser::Both)).unwrap();
    assert!(matches!(gate.load(&ruleset), Err(Error::Held(_))));
    let error = gate.remove().unwrap_err();
    assert!(error.to_string().contains("another process holds table inet portcullis"), "{error}");
    drop(other);
    gate.load(&ruleset).unwrap();
}
