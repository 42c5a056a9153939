//! What the kernel shows to the watcher: a socket filter in classic BPF, made from the doors.
//!
//! The ports of the doors are what knocks are made of, and all of them are needed. The others are
//! strays, of which an attempt bears few, and only what begins something counts among them in full: of
//! the segments of connections and of datagrams, which may be many, a part is enough to notice a
//! sweep.
//!
//! | packet to this host, or to a `Target` | shown |
//! |---|---|
//! | TCP or UDP to a port of a door | all |
//! | TCP without ACK | all |
//! | TCP with ACK | one in 16, if some door has no flags that exclude it |
//! | UDP | one in 16, if some door has a knock by UDP |
//! | IPv6 with extension headers | all: finding its end takes a loop, which a filter cannot have |
//! | fragments, and everything else | none |
//! | tagged for another network | none, if several interfaces are watched: one of them shows it |
//!
//! Of a protocol in which no door has a knock nothing is shown.

use portcullis_core::knockd::Door;
use portcullis_core::policy::{Port, Protocol};
use portcullis_core::wire::TcpFlags;
use portcullis_linux::sys::packet::Instruction;

use crate::filter::assemble::*;

/// Most ports of one protocol that the filter compares with; with more, all are shown.
const MAX_PORTS: usize = 64;

/// Bits of a random number that must be zero for a packet to be shown: one in 16.
const SOME: u32 = 0x0f;

/// A random number (`SKF_AD_RANDOM` of linux/filter.h).
const ABOUT_RANDOM: u32 = ABOUT + 56;

/// To another host, which sees it because it is switched or routed past (`PACKET_OTHERHOST`).
const TO_ANOTHER: u32 = libc::PACKET_OTHERHOST as u32;

/// The flag ACK in the byte of the flags.
const ACK: u32 = 0x10;

/// What the filter depends on, beside the doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// IPv6 is not looked at.
    pub only_v4: bool,
    /// More than one interface is watched, so that a packet may be seen at two of them.
    pub several: bool,
}

/// The filter for these doors.
pub fn program(doors: &[Door], scope: Scope) -> Vec<Instruction> {
    assemble(&write(doors, scope))
        // Cannot happen: see the test with the most ports. The engine would filter alone.
        .unwrap_or_else(|| vec![Instruction { code: RETURN, yes: 0, no: 0, operand: PASS }])
}

/// Places to jump to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    In,
    V6,
    Tcp,
    Udp,
    Sample,
    Pass,
    Drop,
}

/// The ports of the doors by one protocol, each once.
fn ports(doors: &[Door], of: Protocol) -> Vec<u32> {
    let knocks = doors.iter().flat_map(|door| &door.sequence);
    let of = knocks.filter(|port| port.protocol == of).map(|port: &Port| port.number.get().into());
    let mut ports: Vec<u32> = of.collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The program, as one would write it down.
fn write(doors: &[Door], scope: Scope) -> Vec<Line<Label>> {
    use Label::{Drop, In, Pass, Sample, Tcp, Udp, V6};
    use Line::{Do, Goto, Here, If, Unless};
    let (tcp, udp) = (ports(doors, Protocol::Tcp), ports(doors, Protocol::Udp));
    let by_protocol = || {
        let tcp = (!tcp.is_empty()).then_some(If(IF_EQUAL, TCP, Tcp));
        let udp = (!udp.is_empty()).then_some(If(IF_EQUAL, UDP, Udp));
        tcp.into_iter().chain(udp)
    };
    let none = tcp.is_empty() && udp.is_empty();
    let mut lines = Vec::new();
    if scope.several {
        lines.extend([Do(LOAD_WORD, ABOUT_TAG), If(IF_ANY_BIT, NETWORK, Drop)]);
    }
    lines.extend([Do(LOAD_WORD, ABOUT_KIND), If(IF_EQUAL, TO_HOST, In)]);
    if doors.iter().any(|door| door.target.is_some()) {
        lines.push(If(IF_EQUAL, TO_ANOTHER, In));
    }
    lines.extend([Goto(Drop), Here(In), Do(LOAD_WORD, ABOUT_PROTOCOL)]);
    if !scope.only_v4 {
        lines.push(If(IF_EQUAL, IPV6, V6));
    }
    lines.extend([
        Unless(IF_EQUAL, IPV4, Drop),
        Do(LOAD_HALF, 6),
        If(IF_ANY_BIT, FRAGMENT, Drop),
        Do(SET_X_HEADER, 0),
        Do(LOAD_BYTE, 9),
    ]);
    lines.extend(by_protocol());
    lines.push(Goto(Drop));
    lines.extend([Here(V6), Do(SET_X, IPV6_HEADER), Do(LOAD_BYTE, 6)]);
    lines.extend(by_protocol());
    if !none {
        lines.extend(EXTENSIONS.map(|number| If(IF_EQUAL, number, Pass)));
    }
    lines.extend([Goto(Drop), Here(Tcp), Do(LOAD_HALF_X, 2)]); // the destination port
    lines.extend(to_ports(&tcp));
    let acknowledged = doors.iter().any(|door| !door.flags.clear.contains(TcpFlags::ACK));
    lines.extend([
        Do(LOAD_BYTE_X, 13),
        If(IF_ANY_BIT, ACK, if acknowledged { Sample } else { Drop }),
        Goto(Pass),
        Here(Udp),
        Do(LOAD_HALF_X, 2),
    ]);
    lines.extend(to_ports(&udp));
    lines.extend([Here(Sample), Do(LOAD_WORD, ABOUT_RANDOM), If(IF_ANY_BIT, SOME, Drop)]);
    lines.extend([Here(Pass), Do(RETURN, PASS), Here(Drop), Do(RETURN, DROP)]);
    lines
}

/// Passes what goes to these ports, or everything where they are too many.
fn to_ports(ports: &[u32]) -> Vec<Line<Label>> {
    if ports.len() > MAX_PORTS {
        return vec![Line::Goto(Label::Pass)];
    }
    ports.iter().map(|port| Line::If(IF_EQUAL, *port, Label::Pass)).collect()
}

#[cfg(test)]
mod tests;
