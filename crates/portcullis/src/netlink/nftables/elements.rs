//! Elements of sets, as bytes.

use std::iter::Peekable;
use std::net::IpAddr;

use portcullis_firewall::ruleset::{Element, Value};

use super::carry::Carried;
use super::expression::{DATA_VALUE, LIST_ELEM, verdict_data};
use crate::netlink::message::{Attributes, Message, Writer};

const ELEM_KEY: u16 = 1;
const ELEM_DATA: u16 = 2;
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
        Value::Verdict(_) => {}
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

/// Writes an element of a list.
pub fn write_element(w: &mut Writer, element: &Element) {
    let mut key = Vec::with_capacity(32);
    push_key(&mut key, &element.key);
    w.nested(LIST_ELEM, |w| {
        w.nested(ELEM_KEY, |w| w.bytes(DATA_VALUE, &key));
        match &element.data {
            Some(Value::Verdict(verdict)) => w.nested(ELEM_DATA, |w| verdict_data(w, verdict)),
            Some(data) => w.nested(ELEM_DATA, |w| w.bytes(DATA_VALUE, &value_bytes(data))),
            None => {}
        }
        if let Some(comment) = &element.comment {
            w.bytes(ELEM_USERDATA, &comment_bytes(comment));
        }
    });
}

/// Writes elements of a set, as many as fit into one message.
pub fn write_list<'a>(
    w: &mut Writer,
    table: &str,
    set: &str,
    elements: &mut Peekable<impl Iterator<Item = &'a Element>>,
) {
    w.text(LIST_TABLE, table);
    w.text(LIST_SET, set);
    w.nested(LIST_ELEMENTS, |w| {
        let start = w.len();
        while w.len() - start < LIST_LONGEST {
            let Some(element) = elements.next() else { break };
            write_element(w, element);
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
