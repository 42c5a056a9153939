//! Odd frames: a valid knock or wrong port, and up to three things that are wrong with it.

use std::net::{IpAddr, SocketAddr};

use portcullis_lab::Family;
use portcullis_lab::packet::{Ends, Extension, Packet, Payload, SYN};

/// Chance that is the same for the same seed: splitmix64.
pub struct Chance(pub u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    fn bytes(&mut self, count: u64) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// What is wrong with a frame.
pub type Mutation = (&'static str, Applies, fn(&mut Odd, &mut Chance));

/// To which frames a mutation applies.
#[derive(Clone, Copy)]
pub enum Applies {
    All,
    V4,
    V6,
    Tcp,
    Udp,
}

/// What is done to finished bytes, and with which number.
type Change = (fn(&mut Vec<u8>, u64), u64);

/// A frame in the making.
pub struct Odd {
    packet: Packet,
    is_tcp: bool,
    /// To the hardware address of the host, or to this one.
    to: Option<[u8; 6]>,
    tag: Option<u16>,
    ether_type: Option<[u8; 2]>,
    /// Done to the finished transport header, before its checksum is computed anew.
    transport: Vec<Change>,
    /// Done to the checksum, in this order.
    sum: Vec<(Sum, u16)>,
    /// Bytes behind the datagram that belong to the IP packet, and whether the checksum covers them.
    behind: (usize, bool),
    /// Done to the finished IP packet; the checksum of an IPv4 header is computed anew, and changed
    /// by the second.
    ip: Vec<Change>,
    header_sum: u16,
    padding: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Sum {
    Xor,
    Zero,
    Partial,
}

use Applies::{All, Tcp, Udp, V4, V6};

const NOP: u8 = 1;

/// What a cable takes: the rest of a longer frame is not there.
const LONGEST: usize = 1_514;

/// IPv4 options: good, bad, and source routes.
const OPTIONS: [&[u8]; 12] = [
    &[NOP; 4],
    &[0, 0, 0, 0],
    &[0x94, 4, 0, 0],
    &[0x94, 3, 0, 0],
    &[7, 7, 4, 0, 0, 0, 0, 0],
    &[7, 7, 5, 0, 0, 0, 0, 0],
    &[0x83, 7, 4, 198, 51, 100, 1, 0],
    &[0x83, 7, 8, 198, 51, 100, 1, 0],
    &[0x89, 7, 8, 198, 51, 100, 1, 0],
    &[0x44, 8, 5, 0, 0, 0, 0, 0],
    &[0x99, 0, 0, 0],
    &[0x99, 4, 0, 0],
];

/// Each by its name.
pub const MUTATIONS: &[Mutation] = &[
    ("link-broadcast", All, |odd, _| odd.to = Some([0xff; 6])),
    ("link-multicast", All, |odd, chance| {
        odd.to = Some(chance.of(&[[1, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1]]));
    }),
    ("link-other-host", All, |odd, _| odd.to = Some([2, 0, 0, 0, 0, 0x63])),
    ("link-padding", All, |odd, chance| odd.padding = 1 + chance.below(46) as usize),
    ("link-priority-tag", All, |odd, _| odd.tag = Some(0x6000)),
    ("link-other-network", All, |odd, _| odd.tag = Some(42)),
    ("link-wrong-type", All, |odd, _| {
        let v4 = odd.packet.ends.source().is_ipv4();
        odd.ether_type = Some(if v4 { [0x86, 0xdd] } else { [0x08, 0x00] });
    }),
    ("ip-version", All, |odd, chance| {
        let version = chance.of(&[0, 4, 5, 6, 15]);
        odd.ip.push((|ip, n| ip[0] = (n as u8) << 4 | ip[0] & 15, version));
    }),
    ("ip-hop-limit", All, |odd, chance| odd.packet.ttl = chance.of(&[0, 1, 255])),
    ("ip-class", All, |odd, chance| odd.packet.tos = chance.below(256) as u8),
    ("ip4-destination", V4, |odd, chance| {
        let to = chance.of(&[
            [255, 255, 255, 255],
            [198, 51, 100, 255],
            [198, 51, 100, 0],
            [198, 51, 100, 77],
            [224, 0, 0, 1],
            [127, 0, 0, 1],
            [0, 0, 0, 0],
        ]);
        odd.packet.ends = Ends::new(odd.packet.ends.source(), to.into());
    }),
    ("ip6-destination", V6, |odd, chance| {
        let to: IpAddr = chance.of(&["ff02::1", "::1", "::", "2001:db8::77"]).parse().unwrap();
        odd.packet.ends = Ends::new(odd.packet.ends.source(), to);
    }),
    ("ip4-header-length", V4, |odd, chance| {
        let words = chance.below(16);
        odd.ip.push((|ip, n| ip[0] = ip[0] & 0xf0 | n as u8, words));
    }),
    ("ip-length", All, |odd, chance| {
        let delta = chance.of(&[-40i64, -20, -13, -8, -4, -1, 1, 2, 8, 1000]) as u64;
        odd.ip.push((
            |ip, n| {
                let at = if ip[0] >> 4 == 4 { 2 } else { 4 };
                let length = u16::from_be_bytes([ip[at], ip[at + 1]]).wrapping_add(n as u16);
                ip[at..at + 2].copy_from_slice(&length.to_be_bytes());
            },
            delta,
        ));
    }),
    ("ip-length-0", All, |odd, _| {
        odd.ip.push((
            |ip, _| {
                let at = if ip[0] >> 4 == 4 { 2 } else { 4 };
                ip[at..at + 2].fill(0);
            },
            0,
        ));
    }),
    ("ip4-header-sum", V4, |odd, chance| odd.header_sum = 1 << chance.below(16)),
    ("ip4-options", V4, |odd, chance| odd.packet.ip_options.extend(chance.of(&OPTIONS))),
    ("ip4-random-options", V4, |odd, chance| {
        let count = 1 + chance.below(12);
        odd.packet.ip_options.extend(chance.bytes(count));
    }),
    ("ip4-fragment", V4, |odd, chance| {
        let bits = chance.of(&[0x2000, 0x0001, 0x6000, 0x4001, 0x1fff, 0xa000]);
        odd.ip.push((|ip, n| ip[6..8].copy_from_slice(&(n as u16).to_be_bytes()), bits));
    }),
    ("ip4-whole-fragment-bits", V4, |odd, chance| {
        let bits = chance.of(&[0x0000, 0x8000, 0xc000]);
        odd.ip.push((|ip, n| ip[6..8].copy_from_slice(&(n as u16).to_be_bytes()), bits));
    }),
    ("ip6-flow-label", V6, |odd, chance| odd.packet.flow_label = chance.below(1 << 20) as u32),
    ("ip6-hop-by-hop", V6, |odd, chance| {
        let kind = chance.of(&[0x01, 0x1e, 0x5e, 0x9e, 0xde, 0x3e, 0x05]);
        odd.extend(0, vec![kind, 4, 0, 0, 0, 0]);
    }),
    ("ip6-random-hop-by-hop", V6, |odd, chance| {
        let body = chance.bytes(6);
        odd.extend(0, body);
    }),
    ("ip6-destination-options", V6, |odd, chance| {
        let kind = chance.of(&[0x01, 0x1e, 0x5e, 0x9e, 0xde, 0x3e, 0xc9]);
        odd.extend(60, vec![kind, 4, 0, 0, 0, 0]);
    }),
    ("ip6-random-destination-options", V6, |odd, chance| {
        let body = chance.bytes(6);
        odd.extend(60, body);
    }),
    ("ip6-many-destination-options", V6, |odd, chance| {
        for _ in 0..7 + chance.below(6) {
            odd.extend(60, vec![1, 4, 0, 0, 0, 0]);
        }
    }),
    ("ip6-routing", V6, |odd, chance| {
        let (kind, left) = (chance.of(&[0, 1, 2, 3, 4, 253]), chance.of(&[0, 0, 1, 2, 255]));
        odd.extend(43, vec![kind, left, 0, 0, 0, 0]);
    }),
    ("ip6-atomic-fragment", V6, |odd, chance| {
        let reserved = chance.of(&[0, 0, 6]);
        let id = chance.bytes(4);
        odd.extend(44, [&[0, reserved][..], &id].concat());
    }),
    ("ip6-fragment", V6, |odd, chance| {
        let bits = chance.of(&[1u16, 8, 9, 0xfff8]).to_be_bytes();
        let id = chance.bytes(4);
        odd.extend(44, [&bits[..], &id].concat());
    }),
    ("ip6-extension-length", V6, |odd, chance| {
        odd.extend(60, vec![1, 4, 0, 0, 0, 0]);
        odd.ip.push((|ip, n| ip[41] = n as u8, 1 + chance.below(255)));
    }),
    ("authentication-header", All, |odd, _| {
        // Behind all else: the transport becomes its data.
        odd.ip.push((
            |ip, _| {
                let (at, next) = if ip[0] >> 4 == 4 { (20, 9) } else { (40, 6) };
                if ip.len() < at {
                    return;
                }
                let number = std::mem::replace(&mut ip[next], 51);
                let header = [number, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0];
                ip.splice(at..at, header);
                let field = if at == 20 { 2 } else { 4 };
                let length = u16::from_be_bytes([ip[field], ip[field + 1]]).wrapping_add(16);
                ip[field..field + 2].copy_from_slice(&length.to_be_bytes());
            },
            0,
        ));
    }),
    ("tcp-offset", Tcp, |odd, chance| {
        let number = chance.below(16);
        odd.transport.push((
            |tcp, n| {
                if let Some(byte) = tcp.get_mut(12) {
                    *byte = (n as u8) << 4 | *byte & 15;
                }
            },
            number,
        ));
    }),
    ("tcp-reserved", Tcp, |odd, chance| {
        let number = 1 + chance.below(15);
        odd.transport.push((
            |tcp, n| {
                if let Some(byte) = tcp.get_mut(12) {
                    *byte |= n as u8;
                }
            },
            number,
        ));
    }),
    ("tcp-flags", Tcp, |odd, chance| {
        let flags = chance.below(256) as u8;
        odd.tcp(|tcp| tcp.flags = flags);
    }),
    ("tcp-syn-and-others", Tcp, |odd, chance| {
        let flags = SYN | chance.of(&[0x08, 0x20, 0x40, 0x80, 0xc0, 0xe8]);
        odd.tcp(|tcp| tcp.flags = flags);
    }),
    ("tcp-options", Tcp, |odd, chance| {
        let count = 1 + chance.below(40);
        let options = chance.bytes(count);
        odd.tcp(|tcp| tcp.options = options);
    }),
    ("tcp-port-0", Tcp, |odd, _| odd.tcp(|tcp| tcp.source = 0)),
    ("transport-cut", All, |odd, chance| {
        let number = chance.below(20);
        odd.transport.push((|bytes, n| bytes.truncate(n as usize), number));
    }),
    ("data", All, |odd, chance| {
        let count = chance.below(200);
        odd.data(chance.bytes(count));
    }),
    ("long-data", All, |odd, chance| {
        let count = 450 + chance.below(900);
        odd.data(chance.bytes(count));
    }),
    ("udp-length", Udp, |odd, chance| {
        let number = chance.of(&[0, 4, 7, 8, 9, 12, 100, 0xffff]);
        odd.transport.push((
            |udp, n| {
                if udp.len() >= 6 {
                    udp[4..6].copy_from_slice(&(n as u16).to_be_bytes());
                }
            },
            number,
        ));
    }),
    ("udp-bytes-behind", Udp, |odd, chance| {
        odd.behind = (1 + chance.below(8) as usize, chance.below(2) == 0);
    }),
    ("sum-wrong", All, |odd, chance| odd.sum.push((Sum::Xor, 1 << chance.below(16)))),
    ("sum-zero", All, |odd, _| odd.sum.push((Sum::Zero, 0))),
    ("sum-partial", All, |odd, _| odd.sum.push((Sum::Partial, 0))),
];

impl Odd {
    pub fn new(source: IpAddr, host: IpAddr, is_tcp: bool, port: u16) -> Self {
        let (from, to) = (SocketAddr::new(source, 40_000), SocketAddr::new(host, port));
        let packet = if is_tcp { Packet::syn(from, to) } else { Packet::udp(from, to, b"odd!") };
        Self {
            packet,
            is_tcp,
            to: None,
            tag: None,
            ether_type: None,
            transport: Vec::new(),
            sum: Vec::new(),
            behind: (0, false),
            ip: Vec::new(),
            header_sum: 0,
            padding: 0,
        }
    }

    fn extend(&mut self, kind: u8, body: Vec<u8>) {
        self.packet.extensions.push(Extension { kind, body });
    }

    fn tcp(&mut self, change: impl FnOnce(&mut portcullis_lab::packet::Tcp)) {
        if let Payload::Tcp(tcp) = &mut self.packet.payload {
            change(tcp);
        }
    }

    fn data(&mut self, bytes: Vec<u8>) {
        match &mut self.packet.payload {
            Payload::Tcp(tcp) => tcp.data = bytes,
            Payload::Udp { data, .. } => *data = bytes,
            _ => {}
        }
    }

    /// The Ethernet frame, to this hardware address if it is to none that is odd.
    pub fn frame(&self, mac: [u8; 6]) -> Vec<u8> {
        let mut bytes = self.packet.to_bytes();
        let is_v4 = self.packet.ends.source().is_ipv4();
        let header: usize = if is_v4 {
            usize::from(bytes[0] & 15) * 4
        } else {
            40 + self
                .packet
                .extensions
                .iter()
                .map(|e| (e.body.len() + 2).next_multiple_of(8))
                .sum::<usize>()
        };
        let mut transport = bytes.split_off(header);
        for (change, number) in &self.transport {
            change(&mut transport, *number);
        }
        let covered = transport.len();
        transport.resize(covered + self.behind.0, 0xb5);
        let covered = if self.behind.1 { transport.len() } else { covered };
        self.seal(&mut transport, covered);
        bytes.extend(transport);
        let length = if is_v4 { bytes.len() } else { bytes.len() - 40 } as u16;
        let at = if is_v4 { 2 } else { 4 };
        bytes[at..at + 2].copy_from_slice(&length.to_be_bytes());
        for (change, number) in &self.ip {
            change(&mut bytes, *number);
        }
        if is_v4 {
            let end = (usize::from(bytes[0] & 15) * 4).clamp(12, bytes.len());
            bytes[10..12].fill(0);
            let sum = !fold(&bytes[..end]) ^ self.header_sum;
            bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        bytes.resize(bytes.len() + self.padding, 0xee);

        let mut frame = [self.to.unwrap_or(mac), mac].concat();
        if let Some(tag) = self.tag {
            frame.extend([0x81, 0x00]);
            frame.extend(tag.to_be_bytes());
        }
        let plain = if is_v4 { [0x08, 0x00] } else { [0x86, 0xdd] };
        frame.extend(self.ether_type.unwrap_or(plain));
        frame.extend(bytes);
        frame.truncate(LONGEST);
        frame
    }

    /// Writes the checksum over the first bytes, and does to it what is to be done.
    fn seal(&self, transport: &mut [u8], covered: usize) {
        let at = if self.is_tcp { 16 } else { 6 };
        if transport.len() < at + 2 {
            return;
        }
        let Packet { ends, .. } = &self.packet;
        let mut pseudo = match (ends.source(), ends.destination()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => [from.octets(), to.octets()].concat(),
            (IpAddr::V6(from), IpAddr::V6(to)) => [from.octets(), to.octets()].concat(),
            _ => Vec::new(),
        };
        pseudo.extend([0, if self.is_tcp { 6 } else { 17 }]);
        pseudo.extend((covered as u16).to_be_bytes());
        transport[at..at + 2].fill(0);
        let mut field = !fold(&[&pseudo[..], &transport[..covered]].concat());
        if field == 0 && !self.is_tcp {
            field = 0xffff;
        }
        for (what, bits) in &self.sum {
            field = match what {
                Sum::Xor => field ^ bits,
                Sum::Zero => 0,
                Sum::Partial => fold(&pseudo),
            };
        }
        transport[at..at + 2].copy_from_slice(&field.to_be_bytes());
    }
}

/// The ones' complement sum (RFC 1071).
fn fold(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|w| u32::from(u16::from_be_bytes([w[0], w.get(1).copied().unwrap_or(0)])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// A probe: what a seed means.
#[derive(Debug, Clone)]
pub struct Probe {
    pub seed: u64,
    pub family: Family,
    pub is_tcp: bool,
    /// The odd frame is a wrong port in an attempt that is right otherwise. If not, it is a knock of it.
    pub is_wrong: bool,
    pub mutations: Vec<usize>,
    chance: u64,
}

impl Probe {
    pub fn new(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let family = chance.of(&[Family::V4, Family::V6]);
        let (is_tcp, is_wrong) = (chance.below(2) == 0, chance.below(2) == 0);
        let applies = |&at: &usize| match MUTATIONS[at].1 {
            All => true,
            V4 => family == Family::V4,
            V6 => family == Family::V6,
            Tcp => is_tcp,
            Udp => !is_tcp,
        };
        let all: Vec<usize> = (0..MUTATIONS.len()).filter(applies).collect();
        let count = 1 + chance.below(3);
        let mutations = (0..count).map(|_| chance.of(&all)).collect();
        Self { seed, family, is_tcp, is_wrong, mutations, chance: chance.0 }
    }

    pub fn names(&self) -> Vec<&'static str> {
        self.mutations.iter().map(|&at| MUTATIONS[at].0).collect()
    }

    /// The odd frame from this source to this port.
    pub fn frame(&self, source: IpAddr, host: IpAddr, mac: [u8; 6], port: u16) -> Vec<u8> {
        let mut odd = Odd::new(source, host, self.is_tcp, port);
        let mut chance = Chance(self.chance);
        for &at in &self.mutations {
            MUTATIONS[at].2(&mut odd, &mut chance);
        }
        odd.frame(mac)
    }
}
