//! Tables, chains, rules and sets as attributes: what `nft` makes of the same text, and what is
//! compared when they are read back.

use portcullis_firewall::compile::{INPUT, INPUT_PRIORITY};
use portcullis_firewall::ruleset::{
    Chain, HookPoint, Kind, Rule, Ruleset, Set, TABLE, Timeout, Type,
};
use portcullis_linux::netlink::message::Writer;

use super::elements::comment_bytes;
use super::{expression, lower};

/// `NFTA_TABLE_NAME`
pub const TABLE_NAME: u16 = 1;
/// `NFTA_TABLE_FLAGS`
pub const TABLE_FLAGS: u16 = 2;
/// `NFTA_TABLE_USERDATA`
pub const TABLE_USERDATA: u16 = 6;
/// `NFTA_TABLE_OWNER`
pub const TABLE_OWNER: u16 = 7;
/// `NFTA_CHAIN_TABLE`
pub const CHAIN_TABLE: u16 = 1;
/// `NFTA_CHAIN_NAME`
pub const CHAIN_NAME: u16 = 3;
/// `NFTA_CHAIN_HOOK`
pub const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_HOOKNUM: u16 = 1;
pub const HOOK_PRIORITY: u16 = 2;
/// `NFTA_RULE_TABLE`
pub const RULE_TABLE: u16 = 1;
/// `NFTA_RULE_CHAIN`
pub const RULE_CHAIN: u16 = 2;
/// `NFTA_RULE_EXPRESSIONS`
pub const RULE_EXPRESSIONS: u16 = 4;
/// `NFTA_RULE_USERDATA`
pub const RULE_USERDATA: u16 = 7;
/// `NFTA_SET_TABLE`
pub const SET_TABLE: u16 = 1;
/// `NFTA_SET_NAME`
pub const SET_NAME: u16 = 2;
/// `NFTA_OBJ_TABLE`
pub const OBJECT_TABLE: u16 = 1;
/// `NFTA_OBJ_NAME`
pub const OBJECT_NAME: u16 = 2;
const OBJECT_TYPE: u16 = 3;
const OBJECT_DATA: u16 = 4;
const SET_FLAGS: u16 = 3;
const SET_KEY_TYPE: u16 = 4;
const SET_KEY_LEN: u16 = 5;
const SET_DATA_TYPE: u16 = 6;
/// `NFTA_SET_DATA_LEN`
pub const SET_DATA_LEN: u16 = 7;
/// `NFTA_SET_DESC`
pub const SET_DESC: u16 = 9;
/// `NFTA_SET_ID`
pub const SET_ID: u16 = 10;
/// What would make a set do more than it should: `NFTA_SET_TIMEOUT` (of elements without one),
/// `NFTA_SET_EXPR` and `NFTA_SET_EXPRESSIONS` (limits, counters).
pub const SET_ADDITIONS: [u16; 3] = [11, 17, 18];
const SET_USERDATA: u16 = 13;
/// `NFTA_SET_DESC_SIZE`
pub const DESC_SIZE: u16 = 1;

/// Elements are the ends of intervals.
const SET_FLAG_INTERVAL: u32 = 0x4;
const SET_FLAG_MAP: u32 = 0x8;
const SET_FLAG_TIMEOUT: u32 = 0x10;
/// Packets may add elements (`dynamic`).
const SET_FLAG_EVAL: u32 = 0x20;
/// `NFT_DATA_VERDICT`
const DATA_VERDICT: u32 = 0xffff_ff00;

/// The table's name, as in what names it only.
pub fn table_name(w: &mut Writer) {
    w.text(TABLE_NAME, TABLE);
}

/// The table.
pub fn table(w: &mut Writer, ruleset: &Ruleset) {
    table_name(w);
    w.be32(TABLE_FLAGS, 0);
    w.bytes(TABLE_USERDATA, &comment_bytes(&ruleset.comment));
}

/// A chain; that of the input hook at this `place` among those of others.
pub fn chain(w: &mut Writer, chain: &Chain, place: Option<i32>) {
    w.text(CHAIN_TABLE, TABLE);
    w.text(CHAIN_NAME, &chain.name);
    if let Some(hook) = chain.hook {
        let (kind, point) = match hook.point {
            HookPoint::Prerouting => ("filter", 0),
            HookPoint::PreroutingNat => ("nat", 0),
            HookPoint::Input => ("filter", 1),
            HookPoint::InputNat => ("nat", 1),
            HookPoint::Postrouting => ("filter", 4),
        };
        w.text(CHAIN_TYPE, kind);
        // NF_ACCEPT
        w.be32(CHAIN_POLICY, 1);
        w.nested(CHAIN_HOOK, |w| {
            w.be32(HOOK_HOOKNUM, point);
            let movable = chain.name == INPUT && hook.priority == INPUT_PRIORITY;
            let priority = place.filter(|_| movable).unwrap_or(hook.priority);
            w.be32(HOOK_PRIORITY, priority.cast_unsigned());
        });
    }
}

/// A rule of a chain.
pub fn rule(w: &mut Writer, chain: &str, rule: &Rule) {
    w.text(RULE_TABLE, TABLE);
    w.text(RULE_CHAIN, chain);
    w.nested(RULE_EXPRESSIONS, |w| lower::rule(w, rule));
    if let Some(comment) = rule.comment {
        w.bytes(RULE_USERDATA, &comment_bytes(comment));
    }
}

/// For how long connection tracking remembers a TCP connection (`enum nft_ct_timeout_attributes`,
/// `enum ctattr_timeout_tcp`).
pub fn timeout(w: &mut Writer, timeout: &Timeout) {
    /// `NFPROTO_INET`
    const BOTH_FAMILIES: u16 = 1;
    const IPPROTO_TCP: u8 = 6;
    w.text(OBJECT_TABLE, TABLE);
    w.text(OBJECT_NAME, timeout.name);
    w.be32(OBJECT_TYPE, expression::OBJECT_CT_TIMEOUT);
    w.nested(OBJECT_DATA, |w| {
        w.bytes(1, &BOTH_FAMILIES.to_be_bytes());
        w.bytes(2, &[IPPROTO_TCP]);
        w.nested(3, |w| {
            for (state, _) in (1..).zip(Timeout::STATES) {
                w.be32(state, timeout.seconds);
            }
        });
    });
}

/// A set without its elements. Each in a transaction has another `id`.
pub fn set(w: &mut Writer, set: &Set, id: u32) {
    let mut flags = 0;
    if set.data.is_some() {
        flags |= SET_FLAG_MAP;
    }
    flags |= match set.kind {
        Kind::Fixed | Kind::Kept => 0,
        Kind::Networks => SET_FLAG_INTERVAL,
        Kind::Dynamic => SET_FLAG_EVAL | SET_FLAG_TIMEOUT,
    };
    w.text(SET_TABLE, TABLE);
    w.text(SET_NAME, &set.name);
    w.be32(SET_FLAGS, flags);
    // Types of concatenated keys stand in 6 bits each; to the kernel the number means nothing.
    let key_type = set.key.iter().fold(0, |all, &kind| all << 6 | type_number(kind));
    w.be32(SET_KEY_TYPE, key_type);
    w.be32(SET_KEY_LEN, key_length(&set.key));
    if let Some(data) = set.data {
        w.be32(SET_DATA_TYPE, type_number(data));
        w.be32(SET_DATA_LEN, length(data));
    }
    if let Some(size) = set.size {
        w.nested(SET_DESC, |w| w.be32(DESC_SIZE, size));
    }
    w.be32(SET_ID, id);
    w.bytes(SET_USERDATA, &userdata(set));
}

/// What `nft` notes about a set to list its elements as they were written: type, length, value,
/// in the byte order of the machine (libnftnl's `enum nftnl_udata_set_types`).
fn userdata(set: &Set) -> Vec<u8> {
    const KEY_BYTEORDER: u8 = 0;
    const DATA_BYTEORDER: u8 = 1;
    const KEY_TYPEOF: u8 = 3;
    const DATA_INTERVAL: u8 = 6;
    /// A concatenation (`EXPR_CONCAT` of nft), about which nothing more is said.
    const CONCATENATION: u32 = 13;
    let number = |kind: u8, value: u32| {
        let [a, b, c, d] = value.to_ne_bytes();
        [kind, 4, a, b, c, d]
    };
    let key = if let [one] = set.key.as_slice() { byte_order(*one) } else { 0 };
    let mut bytes = number(KEY_BYTEORDER, key).to_vec();
    if let Some(data) = set.data {
        bytes.extend(number(DATA_BYTEORDER, byte_order(data)));
    }
    if set.key.len() > 1 {
        bytes.extend([KEY_TYPEOF, 8]);
        bytes.extend(number(0, CONCATENATION));
        bytes.extend([1, 0]);
    }
    if set.data.is_some() {
        bytes.extend(number(DATA_INTERVAL, 0));
    }
    bytes
}

/// The number of a type in nft (`enum datatypes`).
const fn type_number(kind: Type) -> u32 {
    match kind {
        Type::Ipv4Addr => 7,
        Type::Ipv6Addr => 8,
        Type::InetProto => 12,
        Type::InetService => 13,
        Type::Classid => 23,
        Type::Ifname => 41,
        Type::Verdict => DATA_VERDICT,
    }
}

/// In which byte order values of a type are kept (`enum byteorder` of nft): none, the machine's (1)
/// or big-endian (2).
const fn byte_order(kind: Type) -> u32 {
    match kind {
        Type::InetProto | Type::Verdict => 0,
        Type::Classid | Type::Ifname => 1,
        Type::Ipv4Addr | Type::Ipv6Addr | Type::InetService => 2,
    }
}

/// Bytes of a value. A verdict is kept elsewhere.
const fn length(kind: Type) -> u32 {
    match kind {
        Type::Verdict => 0,
        Type::InetProto => 1,
        Type::InetService => 2,
        Type::Ipv4Addr | Type::Classid => 4,
        Type::Ipv6Addr | Type::Ifname => 16,
    }
}

fn key_length(key: &[Type]) -> u32 {
    match key {
        [one] => length(*one),
        all => all.iter().map(|&kind| lower::slots(kind) * 4).sum(),
    }
}
