//! What the kernel shows to the watcher: a socket filter in classic BPF, made from the policy.
//!
//! A strict recogniser needs every packet that starts something, not only those to the doors'
//! ports, and the host's own datagrams, to know the answers to them. It needs nothing else: no
//! segment of an established connection costs more than the few instructions here. But for tags,
//! which are gone when the engine sees a packet, the filter is never stricter than the engine, and
//! only here to save its time: all decisions are made again there.
//!
//! | instructions see | they pass |
//! |---|---|
//! | TCP to this host | SYN without ACK, RST, FIN |
//! | UDP to this host | all |
//! | UDP from this host | all |
//! | IPv6 with extension headers | all: finding its end takes a loop, which a filter cannot have |
//! | fragments, and everything else | nothing |
//! | tagged for another network | nothing: its VLAN interface, if there is one, shows it untagged |
//!
//! and of these nothing for a public or guarded port, as long as they are few.

use portcullis_core::policy::{Policy, Port, Protocol};

use crate::sys::packet::Instruction;

#[cfg(test)]
mod interpret;
#[cfg(test)]
mod tests;

/// Most ports that the filter compares with. They cost up to a nanosecond each, in packets that the
/// engine would look at otherwise, for some fifty.
const MAX_PORTS: usize = 32;

// linux/bpf_common.h and linux/filter.h
const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
/// At X + operand.
const LOAD_HALF_X: u16 = 0x48;
const LOAD_BYTE_X: u16 = 0x50;
const SET_X: u16 = 0x01;
/// X = 4 * (byte at operand & 15): the length of an IPv4 header.
const SET_X_HEADER: u16 = 0xb1;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;
/// Beyond this offset there is no packet, but what the kernel knows about it.
const ABOUT: u32 = 0xffff_f000;
const ABOUT_PROTOCOL: u32 = ABOUT;
const ABOUT_KIND: u32 = ABOUT + 4;
/// The tag that the kernel or the card took off the frame; 0 without one.
const ABOUT_TAG: u32 = ABOUT + 44;

/// As much of the packet as there is.
const PASS: u32 = u32::MAX;
const DROP: u32 = 0;

const TO_HOST: u32 = libc::PACKET_HOST as u32;
const FROM_HOST: u32 = libc::PACKET_OUTGOING as u32;
const IPV4: u32 = libc::ETH_P_IP as u32;
const IPV6: u32 = libc::ETH_P_IPV6 as u32;
/// The bits `MF` and fragment offset of bytes 6 and 7.
const FRAGMENT: u32 = 0x3fff;
const IPV6_HEADER: u32 = 40;
const TCP: u32 = 6;
const UDP: u32 = 17;
/// Hop-by-hop, routing, fragment, authentication, destination options.
const EXTENSIONS: [u32; 5] = [0, 43, 44, 51, 60];
/// The number of the network in a tag. 0 is none: such a tag only has a priority, and the frame is
/// for this interface (`__netif_receive_skb_core`, which makes all others `PACKET_OTHERHOST`, but
/// after the packet sockets have seen them).
const NETWORK: u32 = 0x0fff;
const FIN_SYN_RST_ACK: u32 = 0x17;
const SYN: u32 = 0x02;

/// The filter for this policy.
pub fn program(policy: &Policy) -> Vec<Instruction> {
    let mut ports: Vec<Port> = policy.gate.public.clone();
    ports.extend(policy.doors.iter().flat_map(|door| &door.guards));
    ports.sort_unstable();
    ports.dedup();
    // In a policy that has not been checked a knock could be among them; the engine decides then.
    ports.retain(|port| !policy.doors.iter().any(|door| door.sequence.contains(port)));
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

/// A line of the program.
enum Line {
    /// Just this.
    Do(u16, u32),
    /// Jumps if the comparison holds; goes on otherwise.
    If(u16, u32, Label),
    /// Jumps if the comparison does not hold; goes on otherwise.
    Unless(u16, u32, Label),
    /// Jumps.
    Goto(Label),
    /// Where a jump arrives; no instruction.
    Here(Label),
}

/// The program, as one would write it down.
fn write(ports: &[Port]) -> Vec<Line> {
    use Label::{Drop, In, InIpv6, InTcp, InUdp, OutIpv6, OutUdp, Pass};
    use Line::{Do, Goto, Here, If, Unless};
    let not_to_ports = |of: Protocol| {
        let ports = ports.iter().filter(move |port| port.protocol == of);
        ports.map(|port| If(IF_EQUAL, port.number.get().into(), Drop))
    };
    let not_extended = || EXTENSIONS.map(|number| If(IF_EQUAL, number, Pass));

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
    ];
    lines.extend(not_extended());
    lines.extend([
        Unless(IF_EQUAL, UDP, Drop),
        Do(SET_X, IPV6_HEADER),
        Here(OutUdp),
        Do(LOAD_HALF_X, 0), // the source port
    ]);
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
    ]);
    lines.extend(not_extended());
    lines.extend([
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

/// Turns lines into instructions; `None` if a jump is too far for the one byte that it has.
fn assemble(lines: &[Line]) -> Option<Vec<Instruction>> {
    let is_instruction = |line: &&Line| !matches!(line, Line::Here(_));
    let position = |label: Label| {
        let here = lines.iter().position(|line| matches!(line, Line::Here(l) if *l == label))?;
        Some(lines.get(..here)?.iter().filter(is_instruction).count())
    };
    let mut program = Vec::with_capacity(lines.len());
    for line in lines.iter().filter(is_instruction) {
        let distance = |label| position(label)?.checked_sub(program.len() + 1);
        let (code, operand, yes, no) = match *line {
            Line::Do(code, operand) => (code, operand, 0, 0),
            Line::If(code, operand, label) => (code, operand, distance(label)?, 0),
            Line::Unless(code, operand, label) => (code, operand, 0, distance(label)?),
            Line::Goto(label) => (JUMP, u32::try_from(distance(label)?).ok()?, 0, 0),
            Line::Here(_) => continue,
        };
        let (yes, no) = (u8::try_from(yes).ok()?, u8::try_from(no).ok()?);
        program.push(Instruction { code, yes, no, operand });
    }
    Some(program)
}
