//! Elements of sets, as bytes.

use std::iter::Peekable;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portcullis_core::policy::Network;
use portcullis_firewall::ruleset::{Element, Kind, Set, Value};
use portcullis_linux::netlink::message::{Attributes, Message, Writer};

use super::expression::{DATA_VALUE, LIST_ELEM, verdict_data};

/// An element on its way from the old table to the new one.
#[derive(Debug, Clone)]
pub struct Carried {
    /// Its set.
    pub set: &'static str,
    /// As the new table has it.
    pub key: Vec<u8>,
    /// As the new table has it.
    pub data: Option<Vec<u8>>,
    /// What is left of its time in milliseconds; `None` for ever.
    pub left: Option<u64>,
}

const ELEM_KEY: u16 = 1;
const ELEM_DATA: u16 = 2;
const ELEM_FLAGS: u16 = 3;
const ELEM_TIMEOUT: u16 = 4;
const ELEM_EXPIRATION: u16 = 5;
const ELEM_USERDATA: u16 = 6;
const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const UDATA_COMMENT: u8 = 0;

/// Bytes of a name of an interface, of which the last is always zero (`IFNAMSIZ`).
const IFNAMSIZ: usize = 16;
/// The longest comment, without the zero byte behind it (`NFTNL_UDATA_COMMENT_MAXLEN`).
const COMMENT_LONGEST: usize = 127;
/// A list of elements is an attribute, so it has to stay below 65,536 bytes; one element takes a
/// few hundred at most.
const LIST_LONGEST: usize = 60_000;

/// A number of ours, of a door or a state, as a key or the data of an element.
pub fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

/// The name of an interface as the kernel compares it.
pub fn interface_bytes(name: &str) -> [u8; IFNAMSIZ] {
    let mut bytes = [0; IFNAMSIZ];
    for (place, byte) in bytes.iter_mut().take(IFNAMSIZ - 1).zip(name.bytes()) {
        *place = byte;
    }
    bytes
}

/// A value as it stands in a register. A verdict has no bytes of its own.
pub fn value_bytes(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16);
    push_value(&mut bytes, value);
    bytes
}

fn push_value(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Ipv4(address) => bytes.extend_from_slice(&address.octets()),
        Value::Ipv6(address) => bytes.extend_from_slice(&address.octets()),
        Value::Proto(protocol) => bytes.push(protocol.number()),
        Value::Service(port) => bytes.extend_from_slice(&port.to_be_bytes()),
        Value::Class(number) => bytes.extend_from_slice(&number.to_ne_bytes()),
        Value::Interface(name) => bytes.extend_from_slice(&interface_bytes(name)),
        // Not as such: see `parts`.
        Value::Verdict(_) | Value::Network(_) => {}
    }
}

/// A key: one value as it is, or several, each padded to whole registers.
pub fn push_key(bytes: &mut Vec<u8>, key: &[Value]) {
    if let [one] = key {
        return push_value(bytes, one);
    }
    let start = bytes.len();
    for value in key {
        push_value(bytes, value);
        let length = (bytes.len() - start).next_multiple_of(4);
        bytes.resize(start + length, 0);
    }
}

/// A comment as `nft` keeps it: type, length, text, zero byte. Cut to what it can hold.
pub fn comment_bytes(text: &str) -> Vec<u8> {
    let end = (0..=COMMENT_LONGEST.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    let text = text.get(..end.unwrap_or_default()).unwrap_or_default();
    let length = u8::try_from(text.len() + 1).unwrap_or(u8::MAX);
    let mut bytes = vec![UDATA_COMMENT, length];
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(0);
    bytes
}

/// The comment in the user data of an element.
fn comment_in(userdata: &[u8]) -> Option<&str> {
    let (&[kind, length], rest) = userdata.split_first_chunk()?;
    let text = rest.get(..usize::from(length))?.strip_suffix(&[0])?;
    (kind == UDATA_COMMENT).then_some(text).and_then(|text| str::from_utf8(text).ok())
}

/// An element as the kernel has it: of a network there are two, where it begins and what follows it.
#[derive(Debug)]
pub struct Part<'a> {
    key: Vec<u8>,
    data: Option<&'a Value>,
    userdata: Option<Vec<u8>>,
    /// Whether it ends an interval.
    end: bool,
}

impl<'a> From<&'a Element> for Part<'a> {
    fn from(element: &'a Element) -> Self {
        let mut key = Vec::with_capacity(32);
        push_key(&mut key, &element.key);
        let userdata = element.comment.as_deref().map(comment_bytes);
        Self { key, data: element.data.as_ref(), userdata, end: false }
    }
}

/// The elements of a set as the kernel has them.
pub fn parts(set: &Set) -> Vec<Part<'_>> {
    if set.kind != Kind::Networks {
        return set.elements.iter().map(Part::from).collect();
    }
    let networks = set.elements.iter().filter_map(|element| match element.key.as_slice() {
        [Value::Network(network)] => Some(*network),
        _ => None,
    });
    let mut networks: Vec<Network> = networks.collect();
    networks.sort_unstable();
    let part = |key, userdata, end| Part { key, data: None, userdata, end };
    let mut parts = Vec::new();
    // As nft has it: what is before the first interval is the end of none.
    if let Some(first) = networks.first().map(|network| octets(network.first()))
        && first.iter().any(|&byte| byte != 0)
    {
        parts.push(part(vec![0; first.len()], None, true));
    }
    for network in networks {
        let next = next_address(network.last());
        let open = next.is_none().then(open_interval);
        parts.push(part(octets(network.first()), open, false));
        parts.extend(next.map(|next| part(octets(next), None, true)));
    }
    parts
}

/// What `nft` notes about an interval that has no end (`SET_ELEM_F_INTERVAL_OPEN`).
fn open_interval() -> Vec<u8> {
    const UDATA_FLAGS: u8 = 1;
    let [a, b, c, d] = 1_u32.to_ne_bytes();
    vec![UDATA_FLAGS, 4, a, b, c, d]
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(four) => four.octets().to_vec(),
        IpAddr::V6(six) => six.octets().to_vec(),
    }
}

fn next_address(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(four) => Some(Ipv4Addr::from_bits(four.to_bits().checked_add(1)?).into()),
        IpAddr::V6(six) => Some(Ipv6Addr::from_bits(six.to_bits().checked_add(1)?).into()),
    }
}

/// Writes an element of a list.
fn write_part(w: &mut Writer, part: &Part<'_>) {
    const ENDS_INTERVAL: u32 = 1;
    w.nested(LIST_ELEM, |w| {
        w.nested(ELEM_KEY, |w| w.bytes(DATA_VALUE, &part.key));
        if part.end {
            w.be32(ELEM_FLAGS, ENDS_INTERVAL);
        }
        match part.data {
            Some(Value::Verdict(verdict)) => w.nested(ELEM_DATA, |w| verdict_data(w, verdict)),
            Some(data) => w.nested(ELEM_DATA, |w| w.bytes(DATA_VALUE, &value_bytes(data))),
            None => {}
        }
        if let Some(userdata) = &part.userdata {
            w.bytes(ELEM_USERDATA, userdata);
        }
    });
}

/// Writes all elements of a set, however many.
pub fn write_elements(w: &mut Writer, set: &Set) {
    parts(set).iter().for_each(|part| write_part(w, part));
}

/// Writes elements of a set, as many as fit into one message.
pub fn write_list<'a>(
    w: &mut Writer,
    table: &str,
    set: &str,
    parts: &mut Peekable<impl Iterator<Item = Part<'a>>>,
) {
    w.text(LIST_TABLE, table);
    w.text(LIST_SET, set);
    w.nested(LIST_ELEMENTS, |w| {
        let start = w.len();
        while w.len() - start < LIST_LONGEST {
            let Some(part) = parts.next() else { break };
            write_part(w, &part);
        }
    });
}

/// Writes elements that are carried over into this set, as many as follow one another and fit into
/// one message.
pub fn write_carried<'a>(
    w: &mut Writer,
    table: &str,
    set: &str,
    elements: &mut Peekable<impl Iterator<Item = &'a Carried>>,
) {
    write_set(w, table, set);
    w.nested(LIST_ELEMENTS, |w| {
        let start = w.len();
        while w.len() - start < LIST_LONGEST {
            let Some(element) = elements.next_if(|element| element.set == set) else { break };
            w.nested(LIST_ELEM, |w| {
                w.nested(ELEM_KEY, |w| w.bytes(DATA_VALUE, &element.key));
                if let Some(data) = &element.data {
                    w.nested(ELEM_DATA, |w| w.bytes(DATA_VALUE, data));
                }
                if let Some(left) = element.left {
                    w.be64(ELEM_TIMEOUT, left);
                }
            });
        }
    });
}

/// Names a set, to list it.
pub fn write_set(w: &mut Writer, table: &str, set: &str) {
    w.text(LIST_TABLE, table);
    w.text(LIST_SET, set);
}

/// Writes one element of a dynamic set, by its key, with the time that it has.
pub fn write_timed(w: &mut Writer, table: &str, set: &str, key: &[u8], timeout: Option<u64>) {
    write_set(w, table, set);
    w.nested(LIST_ELEMENTS, |w| {
        w.nested(LIST_ELEM, |w| {
            w.nested(ELEM_KEY, |w| w.bytes(DATA_VALUE, key));
            if let Some(timeout) = timeout {
                w.be64(ELEM_TIMEOUT, timeout);
            }
        });
    });
}

/// An element of a set, as the kernel lists it.
#[derive(Debug, Clone, Copy)]
pub struct Listed<'a>(Attributes<'a>);

impl<'a> Listed<'a> {
    /// The elements in a message of a list.
    pub fn all(message: &Message<'a>) -> impl Iterator<Item = Self> {
        Self::read(message.attributes(super::FAMILY_HEADER).within(LIST_ELEMENTS))
    }

    /// The elements of a list.
    pub fn read(list: Attributes<'a>) -> impl Iterator<Item = Self> {
        list.map(|element| Self(Attributes(element.value)))
    }

    /// The bytes of its key.
    pub fn key(self) -> Option<&'a [u8]> {
        self.0.within(ELEM_KEY).get(DATA_VALUE)
    }

    /// The bytes of its data, unless that is a verdict.
    pub fn data(self) -> Option<&'a [u8]> {
        self.0.within(ELEM_DATA).get(DATA_VALUE)
    }

    /// Its data as attributes.
    pub fn data_attributes(self) -> Option<&'a [u8]> {
        self.0.get(ELEM_DATA)
    }

    /// What whoever made it noted.
    pub fn userdata(self) -> Option<&'a [u8]> {
        self.0.get(ELEM_USERDATA)
    }

    /// What it is beside a key and a value: 1 for the end of an interval.
    pub fn flags(self) -> u32 {
        self.0.be32(ELEM_FLAGS).unwrap_or(0)
    }

    /// What `nft list` shows beside it.
    pub fn comment(self) -> Option<&'a str> {
        self.userdata().and_then(comment_in)
    }

    /// How long it was to live, in milliseconds; `None` for ever.
    pub fn timeout(self) -> Option<u64> {
        self.0.be64(ELEM_TIMEOUT)
    }

    /// How long it lives from now on, in milliseconds; `None` for ever.
    pub fn expires(self) -> Option<u64> {
        self.0.be64(ELEM_EXPIRATION)
    }
}

/// The address at the front of a key, as `grant4` (of 4 bytes) or `grant6` have it, and the rest.
pub fn address_and_rest(key: &[u8], version: usize) -> Option<(IpAddr, &[u8])> {
    if version == 0 {
        let (address, rest) = key.split_first_chunk::<4>()?;
        Some((IpAddr::from(*address), rest))
    } else {
        let (address, rest) = key.split_first_chunk::<16>()?;
        Some((IpAddr::from(*address), rest))
    }
}
