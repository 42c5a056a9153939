//! Any bytes, under every kind of link. No answer may be a panic, and those that there are must fit
//! together: see each `assert`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_core::wire::{Captured, Checksum, Link, Packet, Unreadable};

const ALL: [Link; 4] = [Link::Ethernet, Link::Cooked, Link::CookedV2, Link::Raw];

/// Longer prefixes add time and no header: this is more than all headers of a usual packet.
const LONGEST_PREFIX: usize = 160;

fuzz_target!(|frame: &[u8]| {
    for link in ALL {
        check(link, frame);
    }
    if let Some(ether_type) = ether_type(frame) {
        let answer = parse(Link::Raw, frame);
        for link in ALL {
            assert_eq!(parse(link, &behind(link, ether_type, frame)), answer, "{link:?}");
        }
    }
    // A fuzzer does not guess a checksum: give it the right one.
    if let Some(sealed) = sealed(frame) {
        check(Link::Raw, &sealed);
    }
});

/// A frame cut to so many bytes. A fuzzer does not guess a checksum either.
fn read(link: Link, frame: &[u8], cut: usize) -> Result<Packet, Unreadable> {
    let whole = Captured::whole(link, &frame[..cut]);
    let verified = whole.parse();
    let (length, checksum) = (frame.len(), Checksum::Trust);
    let read = Captured { length, checksum, ..whole }.parse_through_extensions();
    if verified.is_ok() {
        assert_eq!(read, verified, "the stricter reading is the same packet or none");
    }
    read
}

fn parse(link: Link, frame: &[u8]) -> Result<Packet, Unreadable> {
    read(link, frame, frame.len())
}

/// One frame, and what is made of it by cutting and padding.
fn check(link: Link, frame: &[u8]) {
    let answer = parse(link, frame);
    assert_eq!(parse(link, frame), answer, "the same bytes have the same answer");
    match &answer {
        Ok(packet) => {
            for length in 0..frame.len().min(LONGEST_PREFIX) {
                if let Ok(cut) = read(link, frame, length) {
                    assert_eq!(cut, *packet, "a cut frame is the same packet or none");
                }
            }
            std::hint::black_box(format!("{packet:?}"));
        }
        Err(error) => {
            std::hint::black_box(error.to_string());
        }
    }
}

/// What a link header says is behind it, when this is an IP packet.
fn ether_type(packet: &[u8]) -> Option<[u8; 2]> {
    match packet.first()? >> 4 {
        4 => Some([0x08, 0x00]),
        6 => Some([0x86, 0xdd]),
        _ => None,
    }
}

/// The packet with a link header in front.
fn behind(link: Link, ether_type: [u8; 2], packet: &[u8]) -> Vec<u8> {
    match link {
        Link::Ethernet => [&[2; 12], &ether_type[..], packet].concat(),
        Link::Cooked => [&[0; 14], &ether_type[..], packet].concat(),
        Link::CookedV2 => [&ether_type[..], &[0; 18], packet].concat(),
        Link::Raw => packet.to_vec(),
    }
}

/// The packet with the right checksum in its IPv4 header (RFC 1071), if it has one.
fn sealed(packet: &[u8]) -> Option<Vec<u8>> {
    let first = *packet.first()?;
    let length = usize::from(first & 0x0f) * 4;
    if first >> 4 != 4 || length < 12 || packet.len() < length {
        return None;
    }
    let mut packet = packet.to_vec();
    packet[10..12].fill(0);
    let words = packet[..length].chunks_exact(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1]));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    packet[10..12].copy_from_slice(&(!sum as u16).to_be_bytes());
    Some(packet)
}
