//! The packets that the kernel shows to the watcher: a socket filter in classic BPF, made from ports.
//!
//! A strict recogniser needs every packet that starts something, not only packets to the ports of doors. It
//! also needs the host's own datagrams, to know the answers to them. It needs nothing else, so a segment of
//! an established connection costs only the few instructions here. The filter only saves the engine time:
//! the engine decides again about every packet, and the filter is never stricter. The exception is VLAN
//! tags, which the engine no longer sees.
//!
//! | instructions see | they pass |
//! |---|---|
//! | TCP to this host | SYN without ACK, RST, FIN |
//! | UDP to this host | all |
//! | UDP from this host | all |
//! | IPv6 with a fragment header | all: the engine knows which of them are whole |
//! | fragments, and everything else | nothing |
//! | tagged for another network | nothing: its VLAN interface, if there is one, shows it untagged |
//!
//! and none of these for the ports that no recogniser needs, if those are few. What is hidden is hidden both
//! ways: where datagrams to a port of this host count, the engine must know to what they are answers.

use portcullis_core::policy::{Port, Protocol};
use portcullis_linux::sys::packet::Instruction;

use assemble::*;

pub mod assemble;
#[cfg(test)]
pub mod interpret;
#[cfg(test)]
mod tests;

/// Most ports that the filter compares with. They cost up to a nanosecond each, in packets that the
/// engine would look at otherwise, for some fifty.
const MAX_PORTS: usize = 32;

/// The filter that hides packets to these ports.
pub fn program(hidden: &[Port]) -> Vec<Instruction> {
    let mut ports = hidden.to_vec();
    ports.sort_unstable();
    ports.dedup();
    if ports.len() > MAX_PORTS {
        ports.clear();
    }
    assemble(&write(&ports))
        // Cannot happen: see the test with the most ports. The engine would filter alone.
        .unwrap_or_else(|| vec![Instruction { code: RETURN, yes: 0, no: 0, operand: PASS }])
}

/// Places to jump to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    In,
    InIpv6,
    InTcp,
    InUdp,
    OutIpv6,
    OutUdp,
    Pass,
    Drop,
}

/// The program, as one would write it down.
fn write(ports: &[Port]) -> Vec<Line<Label>> {
    use Label::{Drop, In, InIpv6, InTcp, InUdp, OutIpv6, OutUdp, Pass};
    use Line::{Do, Goto, Here, If, Unless};
    let not_to_ports = |of: Protocol| {
        let ports = ports.iter().filter(move |port| port.protocol == of);
        ports.map(|port| If(IF_EQUAL, port.number.get().into(), Drop))
    };

    let mut lines = vec![
        Do(LOAD_WORD, ABOUT_TAG),
        If(IF_ANY_BIT, NETWORK, Drop),
        Do(LOAD_WORD, ABOUT_KIND),
        If(IF_EQUAL, TO_HOST, In),
        Unless(IF_EQUAL, FROM_HOST, Drop),
        // From this host, IPv4.
        Do(LOAD_WORD, ABOUT_PROTOCOL),
        If(IF_EQUAL, IPV6, OutIpv6),
        Unless(IF_EQUAL, IPV4, Drop),
        Do(LOAD_HALF, 6),
        If(IF_ANY_BIT, FRAGMENT, Drop),
        Do(LOAD_BYTE, 9),
        Unless(IF_EQUAL, UDP, Drop),
        Do(SET_X_HEADER, 0),
        Goto(OutUdp),
        // From this host, IPv6.
        Here(OutIpv6),
        Do(LOAD_BYTE, 6),
        If(IF_EQUAL, FRAGMENT_HEADER, Pass),
        Unless(IF_EQUAL, UDP, Drop),
        Do(SET_X, IPV6_HEADER),
        Here(OutUdp),
        Do(LOAD_HALF_X, 0), // the source port
    ];
    lines.extend(not_to_ports(Protocol::Udp));
    lines.extend([
        Goto(Pass),
        // To this host, IPv4.
        Here(In),
        Do(LOAD_WORD, ABOUT_PROTOCOL),
        If(IF_EQUAL, IPV6, InIpv6),
        Unless(IF_EQUAL, IPV4, Drop),
        Do(LOAD_HALF, 6),
        If(IF_ANY_BIT, FRAGMENT, Drop),
        Do(SET_X_HEADER, 0),
        Do(LOAD_BYTE, 9),
        If(IF_EQUAL, TCP, InTcp),
        If(IF_EQUAL, UDP, InUdp),
        Goto(Drop),
        // To this host, IPv6.
        Here(InIpv6),
        Do(SET_X, IPV6_HEADER),
        Do(LOAD_BYTE, 6),
        If(IF_EQUAL, TCP, InTcp),
        If(IF_EQUAL, UDP, InUdp),
        If(IF_EQUAL, FRAGMENT_HEADER, Pass),
        Goto(Drop),
        Here(InTcp),
        Do(LOAD_BYTE_X, 13),
        Do(AND, FIN_SYN_RST_ACK),
        Unless(IF_EQUAL, SYN, Drop),
        Do(LOAD_HALF_X, 2), // the destination port
    ]);
    lines.extend(not_to_ports(Protocol::Tcp));
    lines.extend([Goto(Pass), Here(InUdp), Do(LOAD_HALF_X, 2)]);
    lines.extend(not_to_ports(Protocol::Udp));
    lines.extend([Here(Pass), Do(RETURN, PASS), Here(Drop), Do(RETURN, DROP)]);
    lines
}
