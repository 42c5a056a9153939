//! How a guarded port answers: those with a grant are let in, all others are refused.

use alloc::borrow::ToOwned;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use portcullis_core::policy::{Protocol, Refuse, Stance};

use super::ban::TURNED_AWAY;
use super::{
    ACCEPT, ACK, ASKED, Compiler, DADDR, GRANTS, OUTPUT_PRIORITY, REFUSE, RST, SADDR, chain,
    delete, goto, not, rule,
};
use crate::ruleset::{
    Chain, Data, Field, Hook, HookPoint, Operation, Reject, Rule, Statement, Value, Verdict,
};

impl Compiler<'_> {
    /// To a guarded port, its door in the priority. With bans there are two chains, so that what is no
    /// strike can go past the counting.
    pub(super) fn door(&self) -> Vec<Chain> {
        let mut rules = Vec::new();
        for (saddr, set) in SADDR.into_iter().zip(GRANTS) {
            let granted = Statement::In { key: vec![saddr, Field::Priority], set, member: true };
            rules.push(rule([granted, Statement::SetPriority(0), ACCEPT]));
        }
        match (self.policy.gate.stance, self.bans()) {
            (Stance::Guard, None) => {
                rules.push(rule([Statement::SetPriority(0)]));
                rules.extend(self.turn_away());
                vec![chain("door", rules)]
            }
            (Stance::Guard, Some(ban)) => {
                rules.push(rule([Statement::SetPriority(0)]));
                rules.extend(self.strike_at_door(ban, &goto(TURNED_AWAY)));
                vec![chain("door", rules), chain(TURNED_AWAY, self.turn_away())]
            }
            (Stance::Closed, None) => {
                rules.push(rule([Statement::SetPriority(0), goto(REFUSE)]));
                vec![chain("door", rules)]
            }
            (Stance::Closed, Some(ban)) => {
                rules.push(rule([Statement::SetPriority(0)]));
                rules.extend(self.strike_at_door(ban, &goto(REFUSE)));
                vec![chain("door", rules)]
            }
        }
    }

    /// In the stance `guard`: refuses who has no grant.
    fn turn_away(&self) -> Vec<Rule> {
        match self.policy.gate.refuse {
            Refuse::Drop => vec![rule([Statement::Verdict(Verdict::Drop)])],
            Refuse::Reject => vec![rule([Statement::Reject(Reject::AdminProhibited)])],
            Refuse::LikeClosed if self.answers_as_closed() => self.answer_as_closed(),
            Refuse::LikeClosed => vec![rule([Statement::Reject(Reject::PortUnreachable)])],
        }
    }

    /// Lets the network stack itself refuse a segment to a guarded port: it is readdressed to port
    /// 0, which nobody can listen on, and the answer gets the right port back in [`Self::output`].
    /// An answer made by the firewall would differ from that of a closed port in its type of service
    /// and, in every IPv6 scan, in its flow label; and it would be an answer even where the rest of
    /// the firewall is silent.
    pub(super) fn answer_as_closed(&self) -> Vec<Rule> {
        let udp = Statement::Protocol { is: true, protocol: Protocol::Udp };
        let ongoing = Statement::TcpFlags { equal: false, mask: RST | ACK, value: 0 };
        let mut rules = vec![
            rule([udp, Statement::Reject(Reject::PortUnreachable)]),
            // A listening socket answers these as a closed port does, or they belong to a connection
            // that is older than the connection tracking.
            rule([ongoing, ACCEPT]).because("starts no connection"),
        ];
        for (saddr, set) in SADDR.into_iter().zip(ASKED) {
            rules.push(rule([delete(set, saddr, Some(Value::Service(0)))]));
        }
        for (saddr, set) in SADDR.into_iter().zip(ASKED) {
            let ask = Statement::Change {
                operation: Operation::Add,
                set,
                key: vec![saddr],
                timeout: Some(Duration::from_secs(1)),
                limit: None,
                data: Some(Data::Field(Field::TcpDport)),
            };
            rules.push(
                rule([ask, Statement::SetTcpDportZero, ACCEPT])
                    .because("answered as a closed port"),
            );
        }
        // Only when there is no room to remember who asked.
        rules.push(rule([Statement::Reject(Reject::TcpReset)]));
        rules
    }

    /// Gives answers from port 0 the port back that was asked.
    pub(super) fn output(&self) -> Chain {
        let mut rules =
            vec![rule([Statement::TcpSportNotZero, ACCEPT]), rule([not(Protocol::Tcp), ACCEPT])];
        for (daddr, map) in DADDR.into_iter().zip(ASKED) {
            rules.push(rule([Statement::SetTcpSportFrom { key: vec![daddr], map }]));
        }
        let hook = Some(Hook { point: HookPoint::Output, priority: OUTPUT_PRIORITY });
        Chain { name: "output".to_owned(), hook, rules }
    }
}
