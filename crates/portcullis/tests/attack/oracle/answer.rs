//! What an answer says, less that in which answers for two ports differ by their nature.

use std::fmt::Write;

use portcullis_lab::answer::Seen;
use portcullis_lab::packet::{ICMP, ICMPV6, TCP, UDP};

use crate::oracle::bytes::{Ends, Frames, folded, pseudo_header, total, with_pseudo_header};

/// IPv4 option "timestamp" (RFC 791).
const TIMESTAMP: u8 = 0x44;

/// Every byte of the answer, except: the address of the prober, the port that was asked, checksums
/// (whether they are right), the identification of IPv4 and the flow label of IPv6 (whether there is
/// one), the time in IPv4 options; and for a quoted packet, where it differs from what was sent.
pub fn describe(seen: &Seen, sent: &Frames, ends: &Ends) -> String {
    let bytes = &seen.bytes;
    let mut text = String::new();
    if seen.destination != ends.from {
        let _ = write!(text, "to {} ", seen.destination);
    }
    if seen.source != ends.to {
        let _ = write!(text, "from {} ", seen.source);
    }
    let payload = seen.payload();
    let header = header(&bytes[..bytes.len() - payload.len()]);
    match seen.protocol {
        TCP => {
            let flags = flag_names(seen.flags().unwrap_or_default());
            let _ = write!(text, "TCP {flags}{}", port_pair(seen, ends));
            let rest = hex(payload.get(18..).unwrap_or_default());
            let fields = hex(payload.get(4..16).unwrap_or_default());
            let _ = write!(text, " {fields} {rest}{}", sum_state(seen, 16));
        }
        UDP => {
            let rest = hex(payload.get(8..).unwrap_or_default());
            let length = hex(payload.get(4..6).unwrap_or_default());
            let _ = write!(
                text,
                "UDP{} length {length} data {rest}{}",
                port_pair(seen, ends),
                sum_state(seen, 6)
            );
        }
        ICMP | ICMPV6 => {
            let _ = write!(
                text,
                "ICMP {} {} quotes {}{}",
                hex(payload.get(..2).unwrap_or_default()),
                hex(payload.get(4..8).unwrap_or_default()),
                quote(payload.get(8..).unwrap_or_default(), sent),
                sum_state(seen, 2)
            );
        }
        other => {
            let _ = write!(text, "protocol {other} {}", hex(payload));
        }
    }
    let _ = write!(text, " [{header}]");
    text
}

/// The names of TCP flags, the usual ones first.
pub fn flag_names(flags: u8) -> String {
    if flags == 0 {
        return "none".to_owned();
    }
    "FSRPAUEC"
        .chars()
        .enumerate()
        .filter(|(bit, _)| flags & (1 << bit) != 0)
        .map(|(_, name)| name)
        .collect()
}

/// Nothing if the answer comes from the port that was asked and goes to the port that asked.
fn port_pair(seen: &Seen, ends: &Ends) -> String {
    match seen.ports() {
        Some(ports) if ports == (ends.port, ends.source) => String::new(),
        Some((from, to)) => format!(" from port {from} to {to}"),
        None => " without ports".to_owned(),
    }
}

/// The IP header.
fn header(bytes: &[u8]) -> String {
    let mut bytes = bytes.to_vec();
    if bytes[0] >> 4 == 4 {
        let right = folded(total(&bytes)) == 0xffff;
        let id = bytes[4..6] != [0, 0];
        bytes[4..6].copy_from_slice(&[0, u8::from(id)]);
        bytes[10..12].copy_from_slice(&[0, u8::from(right)]);
        bytes[12..20].fill(0);
        without_time(&mut bytes);
    } else {
        let label = (bytes[1] & 0x0f, bytes[2], bytes[3]) != (0, 0, 0);
        bytes[1] &= 0xf0;
        bytes[2..4].copy_from_slice(&[0, u8::from(label)]);
        bytes.truncate(8);
    }
    hex(&bytes)
}

/// Whether a checksum is right. Also right is one that the hardware would finish, since a cable of
/// namespaces has none.
fn sum_state(seen: &Seen, at: usize) -> &'static str {
    let payload = seen.payload();
    let Some(sum) = payload.get(at..at + 2) else { return " no checksum" };
    let sum = u16::from_be_bytes([sum[0], sum[1]]);
    let right = if seen.protocol == ICMP {
        folded(total(payload)) == 0xffff
    } else {
        let (from, to) = (seen.source, seen.destination);
        let begun = folded(pseudo_header(from, to, seen.protocol, payload.len()));
        with_pseudo_header(from, to, seen.protocol, payload) == 0xffff || sum == begun
    };
    if right { "" } else { ", bad checksum" }
}

/// How long the quoted packet is, and which of its bytes are not those that were sent.
fn quote(quoted: &[u8], sent: &Frames) -> String {
    let fragments = sent.frames.iter().filter_map(|frame| frame.get(14..));
    let candidates = sent.wholes.iter().map(Vec::as_slice).chain(fragments);
    let differences = |candidate: &[u8]| {
        let (mut candidate, mut quoted) = (candidate.to_vec(), quoted.to_vec());
        without_time(&mut candidate);
        without_time(&mut quoted);
        quoted
            .iter()
            .enumerate()
            .filter(|(at, byte)| candidate.get(*at) != Some(*byte))
            .map(|(at, byte)| (at, *byte))
            .collect::<Vec<_>>()
    };
    let least = candidates.map(differences).min_by_key(Vec::len).unwrap_or_default();
    let changed: String = least.iter().map(|(at, byte)| format!(" {at}:{byte:02x}")).collect();
    format!("{} bytes{changed}", quoted.len())
}

/// Clears what an IPv4 timestamp option has recorded.
fn without_time(packet: &mut [u8]) {
    if packet.first().is_none_or(|first| first >> 4 != 4) {
        return;
    }
    let end = (usize::from(packet[0] & 0x0f) * 4).min(packet.len());
    let mut at = 20;
    while at + 1 < end {
        let length = usize::from(packet[at + 1]);
        match packet[at] {
            0 => return,
            1 => at += 1,
            TIMESTAMP if length >= 4 && at + length <= end => {
                packet[at + 4..at + length].fill(0);
                at += length;
            }
            _ => at += length.max(2),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
