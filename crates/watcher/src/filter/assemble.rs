//! Classic BPF as one would write it down: lines with labels, turned into instructions, and the
//! numbers that a filter of packets needs.

use portcullis_linux::sys::packet::Instruction;

// linux/bpf_common.h and linux/filter.h
/// A = the word at operand.
pub const LOAD_WORD: u16 = 0x20;
/// A = the half word at operand.
pub const LOAD_HALF: u16 = 0x28;
/// A = the byte at operand.
pub const LOAD_BYTE: u16 = 0x30;
/// A = the half word at X + operand.
pub const LOAD_HALF_X: u16 = 0x48;
/// A = the byte at X + operand.
pub const LOAD_BYTE_X: u16 = 0x50;
/// X = operand.
pub const SET_X: u16 = 0x01;
/// X = 4 * (byte at operand & 15): the length of an IPv4 header.
pub const SET_X_HEADER: u16 = 0xb1;
/// A = A & operand.
pub const AND: u16 = 0x54;
/// Skips operand instructions.
pub const JUMP: u16 = 0x05;
/// Jumps if A is operand.
pub const IF_EQUAL: u16 = 0x15;
/// Jumps if A and operand have a bit in common.
pub const IF_ANY_BIT: u16 = 0x45;
/// Ends, with so many bytes of the packet.
pub const RETURN: u16 = 0x06;
/// Beyond this offset there is no packet, but what the kernel knows about it.
pub const ABOUT: u32 = 0xffff_f000;
/// Its EtherType.
pub const ABOUT_PROTOCOL: u32 = ABOUT;
/// Where it goes: `PACKET_HOST` and its siblings.
pub const ABOUT_KIND: u32 = ABOUT + 4;
/// The tag that the kernel or the card took off the frame; 0 without one.
pub const ABOUT_TAG: u32 = ABOUT + 44;

/// As much of the packet as there is.
pub const PASS: u32 = u32::MAX;
/// None of it.
pub const DROP: u32 = 0;

/// To this host.
pub const TO_HOST: u32 = libc::PACKET_HOST as u32;
/// From this host.
pub const FROM_HOST: u32 = libc::PACKET_OUTGOING as u32;
/// An EtherType.
pub const IPV4: u32 = libc::ETH_P_IP as u32;
/// An EtherType.
pub const IPV6: u32 = libc::ETH_P_IPV6 as u32;
/// The bits `MF` and fragment offset of bytes 6 and 7.
pub const FRAGMENT: u32 = 0x3fff;
/// Bytes of an IPv6 header.
pub const IPV6_HEADER: u32 = 40;
/// An IP protocol.
pub const TCP: u32 = 6;
/// An IP protocol.
pub const UDP: u32 = 17;
/// The protocol number of an IPv6 fragment header.
pub const FRAGMENT_HEADER: u32 = 44;
/// Hop-by-hop, routing, fragment, authentication, destination options.
pub const EXTENSIONS: [u32; 5] = [0, 43, 44, 51, 60];
/// The number of the network in a tag. 0 is none: such a tag only has a priority, and the frame is
/// for this interface (`__netif_receive_skb_core`, which makes all others `PACKET_OTHERHOST`, but
/// after the packet sockets have seen them).
pub const NETWORK: u32 = 0x0fff;
/// Flags of TCP.
pub const FIN_SYN_RST_ACK: u32 = 0x17;
/// A flag of TCP.
pub const SYN: u32 = 0x02;

/// A line of a program; `L` are the places to jump to.
pub enum Line<L> {
    /// Just this.
    Do(u16, u32),
    /// Jumps if the comparison holds; goes on otherwise.
    If(u16, u32, L),
    /// Jumps if the comparison does not hold; goes on otherwise.
    Unless(u16, u32, L),
    /// Jumps.
    Goto(L),
    /// Where a jump arrives; no instruction.
    Here(L),
}

/// Turns lines into instructions; `None` if a jump is too far for the one byte that it has.
pub fn assemble<L: Copy + PartialEq>(lines: &[Line<L>]) -> Option<Vec<Instruction>> {
    let is_instruction = |line: &&Line<L>| !matches!(line, Line::Here(_));
    let position = |label: L| {
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
