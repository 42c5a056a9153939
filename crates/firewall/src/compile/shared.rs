//! Rules that several chains share.

use alloc::vec;
use alloc::vec::Vec;

use portcullis_core::limits;
use portcullis_core::policy::Protocol;

use super::{NOT_BARE_SYN, NOT_LOCAL, not, rule};
use crate::ruleset::{Limit, Rule, Statement, Tracking, Unit};

/// Refused packets that are logged.
pub(crate) const LOGGED: Limit = Limit {
    rate: limits::LOGGED_PER_SECOND,
    per: Unit::Second,
    burst: limits::LOG_BURST,
    over: false,
};
/// The first words of a log line.
pub(crate) const LOG_PREFIX: &str = "portcullis refused: ";

/// Sends packets that are neither knocks nor wrong ports elsewhere. It decides only by public facts: packets without
/// ports, packets that the network stack would drop, and packets that begin no connection.
pub(super) fn not_counted(elsewhere: &Statement) -> Vec<Rule> {
    let no_ports = [not(Protocol::Tcp), not(Protocol::Udp), elsewhere.clone()];
    [vec![rule(no_ports)], begins_nothing(elsewhere)].concat()
}

/// The same, only for TCP and UDP.
pub(super) fn begins_nothing(elsewhere: &Statement) -> Vec<Rule> {
    let go = |what| rule([what, elsewhere.clone()]);
    let not_first = |kind| Statement::Ip6NextHeader { is: false, kind };
    let [tcp, udp] = [Protocol::Tcp, Protocol::Udp].map(Protocol::number);
    vec![
        go(Statement::NotForHost),
        go(NOT_BARE_SYN).because("only a bare SYN is a knock"),
        go(Statement::Tracked(&[Tracking::Invalid])).because("a wrong checksum or length"),
        // The network stack reads options and further headers only after this hook.
        go(Statement::IpOptions),
        rule([not_first(tcp), not_first(udp), elsewhere.clone()]),
        rule([
            Statement::Ip6NextHeader { is: true, kind: udp },
            Statement::UdpChecksumZero,
            elsewhere.clone(),
        ])
        .because("the network stack drops it"),
        go(NOT_LOCAL),
        // On each link, another host can have the same address.
        go(Statement::FromLinkLocal),
    ]
}
