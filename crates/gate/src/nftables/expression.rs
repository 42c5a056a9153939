//! The expressions of nf_tables: what a rule is made of in the kernel
//! (`include/uapi/linux/netfilter/nf_tables.h`).
//!
//! Each is written with all the attributes that the kernel shows when it is asked for the rule, so
//! that what is read back can be compared for equality.

use portcullis_firewall::ruleset::{Limit, Operation, Reject, Verdict};
use portcullis_linux::netlink::message::{Attributes, Writer};

/// `NFT_OBJECT_CT_TIMEOUT`
pub const OBJECT_CT_TIMEOUT: u32 = 7;
/// `NFTA_LIST_ELEM`
pub const LIST_ELEM: u16 = 1;
const EXPR_NAME: u16 = 1;
const EXPR_DATA: u16 = 2;
/// `NFTA_DATA_VALUE`
pub const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;

/// A place in the 64 bytes that a rule computes with, in units of 4 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot(pub u32);

impl Slot {
    /// The first.
    pub const FIRST: Self = Self(0);

    /// The number of the register that begins there. The registers are laid over the same bytes
    /// twice, as 16 times 4 bytes (numbers from 8) and as 4 times 16 (from 1); where both begin,
    /// the kernel names the larger one, and so does this.
    const fn register(self) -> u32 {
        if self.0.is_multiple_of(4) { 1 + self.0 / 4 } else { 8 + self.0 }
    }
}

/// What `meta` knows of a packet (`enum nft_meta_keys`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Meta {
    /// `skb->priority`
    Priority = 2,
    /// Name of the interface that it came in by; 16 bytes.
    Iifname = 6,
    /// Whether it is IPv4 or IPv6; 1 byte.
    Nfproto = 15,
    /// Protocol above IP; 1 byte.
    L4proto = 16,
    /// For whom it was on the link; 1 byte.
    Pkttype = 19,
}

/// What `ct` knows of the connection of a packet (`enum nft_ct_keys`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Ct {
    /// What the packet is to it; 4 bytes.
    State = 0,
    /// What has become of it; 4 bytes.
    Status = 2,
}

/// An address of a packet (`NFTA_FIB_F_SADDR`, `NFTA_FIB_F_DADDR`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Address {
    /// Where it comes from.
    Source = 1,
    /// Where it goes.
    Destination = 2,
}

/// What is translated (`enum nft_nat_types`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Translate {
    /// Where a connection comes from.
    Source = 0,
    /// Where it goes.
    Destination = 1,
}

/// What `socket` knows of the socket that a packet is for (`enum nft_socket_keys`); 1 byte each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Socket {
    /// Whether it takes packets to addresses of others.
    Transparent = 0,
    /// Whether it is bound to no address.
    Wildcard = 2,
}

/// Bytes of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload {
    /// `NFT_PAYLOAD_NETWORK_HEADER` (1) or `NFT_PAYLOAD_TRANSPORT_HEADER` (2).
    pub base: u32,
    /// Where in the header.
    pub offset: u32,
    /// How many bytes.
    pub length: u32,
}

impl Payload {
    /// Bytes of the header of IPv4 or IPv6.
    pub const fn network(offset: u32, length: u32) -> Self {
        Self { base: 1, offset, length }
    }

    /// Bytes of the header of TCP or UDP.
    pub const fn transport(offset: u32, length: u32) -> Self {
        Self { base: 2, offset, length }
    }
}

fn expression(w: &mut Writer, name: &str, fill: impl FnOnce(&mut Writer)) {
    w.nested(LIST_ELEM, |w| {
        w.text(EXPR_NAME, name);
        w.nested(EXPR_DATA, fill);
    });
}

/// `slot = meta key`
pub fn meta_load(w: &mut Writer, key: Meta, slot: Slot) {
    expression(w, "meta", |w| {
        w.be32(2, key as u32);
        w.be32(1, slot.register());
    });
}

/// `slot = whether there is an IPv6 extension header of this kind` (`enum nft_exthdr_attributes`)
pub fn extension_present(w: &mut Writer, kind: u8, slot: Slot) {
    /// `NFT_EXTHDR_F_PRESENT`
    const PRESENT: u32 = 1;
    expression(w, "exthdr", |w| {
        w.be32(1, slot.register());
        w.bytes(2, &[kind]);
        w.be32(3, 0);
        w.be32(4, 1);
        w.be32(6, 0);
        w.be32(5, PRESENT);
    });
}

/// `slot = bytes of the IPv6 extension header of this kind`
pub fn extension_load(w: &mut Writer, kind: u8, offset: u32, length: u32, slot: Slot) {
    expression(w, "exthdr", |w| {
        w.be32(1, slot.register());
        w.bytes(2, &[kind]);
        w.be32(3, offset);
        w.be32(4, length);
        w.be32(6, 0);
        w.be32(5, 0);
    });
}

/// `meta key = slot`
pub fn meta_store(w: &mut Writer, key: Meta, slot: Slot) {
    expression(w, "meta", |w| {
        w.be32(2, key as u32);
        w.be32(3, slot.register());
    });
}

/// `slot = ct key`
pub fn ct_load(w: &mut Writer, key: Ct, slot: Slot) {
    expression(w, "ct", |w| {
        w.be32(2, key as u32);
        w.be32(1, slot.register());
    });
}

/// `slot = ct original proto-dst`
pub fn ct_original_dport_load(w: &mut Writer, slot: Slot) {
    /// `NFT_CT_PROTO_DST`
    const PROTO_DST: u32 = 12;
    /// `IP_CT_DIR_ORIGINAL`
    const ORIGINAL: u8 = 0;
    expression(w, "ct", |w| {
        w.be32(2, PROTO_DST);
        w.be32(1, slot.register());
        w.bytes(3, &[ORIGINAL]);
    });
}

/// `slot = socket key` (`enum nft_socket_attributes`)
pub fn socket_load(w: &mut Writer, key: Socket, slot: Slot) {
    expression(w, "socket", |w| {
        w.be32(1, key as u32);
        w.be32(2, slot.register());
    });
}

/// `slot = fib saddr type` or `daddr` (`enum nft_fib_attributes`): what the routing table says of it.
pub fn address_type(w: &mut Writer, address: Address, slot: Slot) {
    /// `NFT_FIB_RESULT_ADDRTYPE`
    const ADDRESS_TYPE: u32 = 3;
    expression(w, "fib", |w| {
        w.be32(1, slot.register());
        w.be32(2, ADDRESS_TYPE);
        w.be32(3, address as u32);
    });
}

/// Gives the connection the times of an object (`enum nft_objref_attributes`).
pub fn timeout_object(w: &mut Writer, name: &str) {
    expression(w, "objref", |w| {
        w.be32(1, OBJECT_CT_TIMEOUT);
        w.text(2, name);
    });
}

/// Translates a port of the connection to one between those in the slots, and nothing else
/// (`enum nft_nat_attributes`).
pub fn translate_port(w: &mut Writer, what: Translate, first: Slot, last: Slot) {
    /// `NFPROTO_INET`
    const BOTH_FAMILIES: u32 = 1;
    /// `NF_NAT_RANGE_PROTO_SPECIFIED` and `NF_NAT_RANGE_PROTO_RANDOM_FULLY`
    const ANY_OF_THEM: u32 = 0x12;
    expression(w, "nat", |w| {
        w.be32(1, what as u32);
        w.be32(2, BOTH_FAMILIES);
        w.be32(5, first.register());
        w.be32(6, last.register());
        w.be32(7, ANY_OF_THEM);
    });
}

/// `slot = payload`
pub fn payload_load(w: &mut Writer, payload: Payload, slot: Slot) {
    expression(w, "payload", |w| {
        w.be32(1, slot.register());
        w.be32(2, payload.base);
        w.be32(3, payload.offset);
        w.be32(4, payload.length);
    });
}

/// `payload = slot`, whatever checksum covers it.
pub fn payload_store(w: &mut Writer, payload: Payload, slot: Slot) {
    expression(w, "payload", |w| {
        w.be32(5, slot.register());
        w.be32(2, payload.base);
        w.be32(3, payload.offset);
        w.be32(4, payload.length);
        w.be32(6, 0);
        w.be32(7, 0);
        w.be32(8, 0);
    });
}

/// `slot &= mask`
pub fn mask(w: &mut Writer, slot: Slot, mask: &[u8]) {
    expression(w, "bitwise", |w| {
        w.be32(1, slot.register());
        w.be32(2, slot.register());
        w.be32(6, 0);
        w.be32(3, u32::try_from(mask.len()).unwrap_or(u32::MAX));
        w.nested(4, |w| w.bytes(DATA_VALUE, mask));
        w.nested(5, |w| w.bytes(DATA_VALUE, &vec![0; mask.len()]));
    });
}

/// Ends the rule unless the bytes from `slot` are equal (or not) to these.
pub fn compare(w: &mut Writer, slot: Slot, equal: bool, value: &[u8]) {
    expression(w, "cmp", |w| {
        w.be32(1, slot.register());
        w.be32(2, u32::from(!equal));
        w.nested(3, |w| w.bytes(DATA_VALUE, value));
    });
}

/// Ends the rule unless the bytes from `slot` are at least these.
pub fn at_least(w: &mut Writer, slot: Slot, value: &[u8]) {
    /// `NFT_CMP_GTE`
    const AT_LEAST: u32 = 5;
    order(w, slot, AT_LEAST, value);
}

/// Ends the rule unless the bytes from `slot` are more than these.
pub fn more_than(w: &mut Writer, slot: Slot, value: &[u8]) {
    /// `NFT_CMP_GT`
    const MORE_THAN: u32 = 4;
    order(w, slot, MORE_THAN, value);
}

/// Ends the rule unless the bytes from `slot` are at most these.
pub fn at_most(w: &mut Writer, slot: Slot, value: &[u8]) {
    /// `NFT_CMP_LTE`
    const AT_MOST: u32 = 3;
    order(w, slot, AT_MOST, value);
}

fn order(w: &mut Writer, slot: Slot, operation: u32, value: &[u8]) {
    expression(w, "cmp", |w| {
        w.be32(1, slot.register());
        w.be32(2, operation);
        w.nested(3, |w| w.bytes(DATA_VALUE, value));
    });
}

/// `slot = value`
pub fn constant(w: &mut Writer, slot: Slot, value: &[u8]) {
    expression(w, "immediate", |w| {
        w.be32(1, slot.register());
        w.nested(2, |w| w.bytes(DATA_VALUE, value));
    });
}

/// Ends the rule with a verdict.
pub fn decide(w: &mut Writer, verdict: &Verdict) {
    expression(w, "immediate", |w| {
        w.be32(1, 0);
        w.nested(2, |w| verdict_data(w, verdict));
    });
}

/// A verdict as the value of a register or of an element.
pub fn verdict_data(w: &mut Writer, verdict: &Verdict) {
    w.nested(DATA_VERDICT, |w| match verdict {
        Verdict::Drop => w.be32(VERDICT_CODE, 0),
        Verdict::Accept => w.be32(VERDICT_CODE, 1),
        // NFT_JUMP, NFT_GOTO, NFT_RETURN (linux/netfilter/nf_tables.h).
        Verdict::Jump(chain) => {
            w.be32(VERDICT_CODE, (-3_i32).cast_unsigned());
            w.text(VERDICT_CHAIN, chain);
        }
        Verdict::Goto(chain) => {
            w.be32(VERDICT_CODE, (-4_i32).cast_unsigned());
            w.text(VERDICT_CHAIN, chain);
        }
        Verdict::Return => w.be32(VERDICT_CODE, (-5_i32).cast_unsigned()),
    });
}

/// What a look-up does with what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing: the rule goes on if the key is in the set.
    Present,
    /// Nothing: the rule goes on if the key is not in the set.
    Absent,
    /// It is put there.
    Into(Slot),
    /// It is the verdict.
    Verdict,
}

/// Looks up the key from the first slot on.
pub fn lookup(w: &mut Writer, set: &str, found: Found) {
    expression(w, "lookup", |w| {
        w.be32(2, Slot::FIRST.register());
        match found {
            Found::Present | Found::Absent => {}
            Found::Into(slot) => w.be32(3, slot.register()),
            Found::Verdict => w.be32(3, 0),
        }
        w.text(1, set);
        w.be32(5, u32::from(found == Found::Absent));
    });
}

/// The time that the elements have which this expression adds to a set, in milliseconds; `None` if it is
/// another expression.
pub fn time_of_added(expression: Attributes<'_>, set: &str) -> Option<u64> {
    if expression.text(EXPR_NAME) != Some("dynset") {
        return None;
    }
    let data = expression.within(EXPR_DATA);
    (data.text(1) == Some(set)).then(|| data.be64(super::DYNSET_TIMEOUT))?
}

/// Changes the element of the key from the first slot on.
pub fn change(
    w: &mut Writer,
    operation: Operation,
    set: &str,
    data: Option<Slot>,
    timeout_ms: Option<u64>,
    limit: Option<Limit>,
) {
    expression(w, "dynset", |w| {
        w.be32(4, Slot::FIRST.register());
        if let Some(data) = data {
            w.be32(5, data.register());
        }
        w.be32(
            3,
            match operation {
                Operation::Add => 0,
                Operation::Update => 1,
                Operation::Delete => 2,
            },
        );
        if let Some(timeout) = timeout_ms {
            w.be64(super::DYNSET_TIMEOUT, timeout);
        }
        if let Some(limit) = limit {
            w.nested(7, |w| limit_parts(w, limit));
        }
        w.text(1, set);
        w.be32(9, 0);
    });
}

/// Ends the rule when there is none left of the limit (`enum nft_limit_attributes`).
pub fn limit(w: &mut Writer, limit: Limit) {
    w.nested(LIST_ELEM, |w| limit_parts(w, limit));
}

fn limit_parts(w: &mut Writer, limit: Limit) {
    /// `NFT_LIMIT_F_INV`
    const OVER: u32 = 1;
    w.text(EXPR_NAME, "limit");
    w.nested(EXPR_DATA, |w| {
        w.be64(1, limit.rate.into());
        w.be64(2, limit.per.seconds().into());
        w.be32(3, limit.burst);
        // NFT_LIMIT_PKTS
        w.be32(4, 0);
        w.be32(5, if limit.over { OVER } else { 0 });
    });
}

/// Counts the packet.
pub fn counter(w: &mut Writer) {
    expression(w, "counter", |w| {
        w.be64(1, 0);
        w.be64(2, 0);
    });
}

/// Writes a line to the kernel's log (`enum nft_log_attributes`).
pub fn log(w: &mut Writer, prefix: &str) {
    /// `LOGLEVEL_WARNING`
    const WARNING: u32 = 4;
    expression(w, "log", |w| {
        w.text(2, prefix);
        w.be32(5, WARNING);
    });
}

/// Refuses the packet.
pub fn reject(w: &mut Writer, how: Reject) {
    let (kind, code) = match how {
        Reject::TcpReset => (1, 0),
        Reject::PortUnreachable => (2, 1),
        Reject::AdminProhibited => (2, 3),
    };
    expression(w, "reject", |w| {
        w.be32(1, kind);
        w.bytes(2, &[code]);
    });
}
