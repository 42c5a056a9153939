//! A table that somebody has changed is not ours any more.

use portcullis_core::policy::{InterfaceName, Recogniser};
use portcullis_firewall::compile::compile;
use portcullis_firewall::ruleset::{Ruleset, Statement, Tracking};
use portcullis_gate::nftables::{Error, Table};

use crate::{Test, corpus, nft};

pub const TESTS: [Test; 4] = [
    ("every_change_is_seen", every_change_is_seen),
    ("living_elements_are_no_change", living_elements_are_no_change),
    ("every_other_rule_is_seen", every_other_rule_is_seen),
    ("every_other_timeout_is_seen", every_other_timeout_is_seen),
];

fn example() -> Ruleset {
    let mut policy = corpus::doors(5, Recogniser::Both);
    policy.gate.interfaces = vec![InterfaceName::new("eth0").unwrap()];
    compile(&policy).unwrap()
}

fn every_change_is_seen() {
    let changes = [
        ("add rule inet portcullis input accept", "chain input: has"),
        ("insert rule inet portcullis knock accept", "chain knock: has"),
        ("flush chain inet portcullis door", "chain door: has 0 rules"),
        ("add chain inet portcullis another", "chain another: should not exist"),
        ("add counter inet portcullis another", "object another: should not exist"),
        ("add set inet portcullis another { type ipv4_addr; }", "set another: should not exist"),
        ("add chain inet portcullis input { policy drop; }", "chain input: has another policy"),
        (
            "add table inet portcullis { flags dormant; }",
            "table inet portcullis: has another set of flags",
        ),
        (
            "add element inet portcullis public { tcp . 1 }",
            "set public: has 1 elements instead of 0",
        ),
        ("delete element inet portcullis guards { tcp . 20000 }", "set guards: has 4 elements"),
        (
            "delete element inet portcullis guards { tcp . 20000 }; \
             add element inet portcullis guards { tcp . 20000 : 0:2 }",
            "set guards: has other elements",
        ),
        ("delete table inet portcullis", "table inet portcullis: is missing"),
    ];
    let ruleset = example();
    let mut gate = Table::open().unwrap();
    for (change, seen) in changes {
        gate.load(&ruleset).unwrap();
        nft::load(change);
        match gate.verify(&ruleset) {
            Err(Error::Mismatch(mismatch)) => {
                assert!(mismatch.to_string().starts_with(seen), "{change}: {mismatch}");
            }
            other => panic!("{change}: {other:?}"),
        }
    }
}

fn living_elements_are_no_change() {
    let ruleset = example();
    let mut gate = Table::open().unwrap();
    gate.load(&ruleset).unwrap();
    nft::load("add element inet portcullis grant4 { 192.0.2.1 . 0:1 timeout 5s }");
    nft::load("add element inet portcullis attempt4 { 192.0.2.1 timeout 5s : 0:1 }");
    nft::load("add element inet portcullis attempt6_late { 2001:db8::1 timeout 5s : 0:1 }");
    nft::load("add table inet another { chain input { type filter hook input priority 0; }; }");
    gate.verify(&ruleset).unwrap();
    let attempts = gate.attempts().unwrap();
    let who: Vec<_> = attempts.iter().map(|it| (it.address.to_string(), it.state)).collect();
    assert_eq!(who, [("192.0.2.1".to_owned(), 1), ("2001:db8::1".to_owned(), 1)]);
}

/// Each rule of the ruleset with everything in it, changed in one thing, is told from the original.
fn every_other_rule_is_seen() {
    let (_, original) = corpus::all().into_iter().find(|(name, _)| name == "statements").unwrap();
    let mut gate = Table::open().unwrap();
    let mut seen = 0;
    for (index, rule) in original.chains[0].rules.iter().enumerate() {
        let Some(other) = rule.statements.first().and_then(altered) else { continue };
        let mut changed = original.clone();
        changed.chains[0].rules[index].statements[0] = other;
        gate.load(&changed).unwrap();
        match gate.verify(&original) {
            Err(Error::Mismatch(mismatch)) => {
                let name = format!("rule {} of chain everything", index + 1);
                assert_eq!(mismatch.object, name, "{rule}");
            }
            difference => panic!("{rule}: {difference:?}"),
        }
        seen += 1;
    }
    assert!(seen > 30);
}

fn every_other_timeout_is_seen() {
    let original = corpus::timeouts();
    let mut gate = Table::open().unwrap();
    let changes: [fn(&mut Ruleset); 3] = [
        |it| it.timeouts[0].seconds = 2,
        |it| it.timeouts[2].name = "other",
        |it| {
            it.chains[0].rules[0].statements[1] = Statement::SetTimeout("long");
        },
    ];
    let seen = [
        "object short: has another set of times",
        "object unused: is missing",
        "rule 1 of chain timed: is different (expression objref)",
    ];
    for (change, seen) in changes.into_iter().zip(seen) {
        let mut changed = original.clone();
        change(&mut changed);
        gate.load(&changed).unwrap();
        match gate.verify(&original) {
            Err(Error::Mismatch(mismatch)) => assert_eq!(mismatch.to_string(), seen),
            other => panic!("{seen}: {other:?}"),
        }
    }
}

/// The statement with one thing changed.
fn altered(statement: &Statement) -> Option<Statement> {
    use portcullis_firewall::ruleset::{Operation, Reject, Verdict};
    Some(match statement.clone() {
        Statement::Protocol { is, protocol } => Statement::Protocol { is: !is, protocol },
        Statement::Interface(name) => Statement::Interface(name[1..].to_owned()),
        Statement::TcpFlags { equal, mask, value } => {
            Statement::TcpFlags { equal: !equal, mask, value }
        }
        Statement::In { key, set, member } => Statement::In { key, set, member: !member },
        Statement::SetPriority(number) => Statement::SetPriority(number ^ 1),
        Statement::Tracked([Tracking::New]) => Statement::Tracked(&[Tracking::Invalid]),
        Statement::Tracked(_) => Statement::Tracked(&[Tracking::New]),
        Statement::Translated => Statement::Tracked(&[Tracking::Related]),
        Statement::SocketWildcard(is) => Statement::SocketWildcard(!is),
        Statement::SocketTransparent(is) => Statement::SocketWildcard(is),
        Statement::To { .. } => Statement::NotForHost,
        Statement::IcmpTooBig => Statement::IcmpType(3),
        Statement::TransportByte { is, at, value } => {
            Statement::TransportByte { is: !is, at, value }
        }
        Statement::FragmentHeader => Statement::HopByHopNextHeader(44),
        Statement::HopByHopNextHeader(44) => Statement::FragmentHeader,
        Statement::HopByHopNextHeader(_) => Statement::HopByHopNextHeader(44),
        Statement::Ip6NextHeader { is, kind } => Statement::Ip6NextHeader { is, kind: kind ^ 1 },
        Statement::FromLinkLocal => Statement::HopLimit255,
        Statement::TcpHasOptions => Statement::ThDportZero,
        Statement::EndTcpOptions => Statement::SetDportZero,
        Statement::ThDportZero => Statement::IcmpType(0),
        Statement::SetDportZero => Statement::SetDportFrom { map: "ports" },
        Statement::SetDportFrom { .. } => Statement::SetDportZero,
        Statement::Change { operation: Operation::Add, set, key, timeout, limit, data } => {
            let operation = Operation::Update;
            Statement::Change { operation, set, key, timeout, limit, data }
        }
        Statement::Change { operation: Operation::Update, set, key, timeout, limit, data } => {
            let timeout = timeout.map(|timeout| timeout * 2);
            Statement::Change { operation: Operation::Update, set, key, timeout, limit, data }
        }
        Statement::Reject(Reject::PortUnreachable) => Statement::Reject(Reject::AdminProhibited),
        Statement::Verdict(Verdict::Drop) => Statement::Verdict(Verdict::Accept),
        Statement::Verdict(Verdict::Accept) => Statement::Verdict(Verdict::Drop),
        _ => return None,
    })
}
