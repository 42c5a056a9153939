//! The messages of ipset: what `include/uapi/linux/netfilter/ipset/ip_set.h` says of them.
//!
//! Each begins with `struct nfgenmsg`, the version of the protocol and the name of a set. Numbers are
//! big-endian, and must say so in the kind of their attribute.

use std::net::IpAddr;

use portcullis_linux::netlink::message::{Attributes, Message, Writer};

/// `NFNL_SUBSYS_IPSET` in the upper byte, `IPSET_CMD_LIST` in the lower.
pub(super) const LIST: u16 = 0x0607;
/// `IPSET_CMD_ADD`
pub(super) const ADD: u16 = 0x0609;
/// `IPSET_CMD_DEL`
pub(super) const DEL: u16 = 0x060a;

/// `NLM_F_EXCL`: to delete what is not there is an error. Without it, to add what is there renews it.
pub(super) const EXCLUSIVE: u16 = 0x200;

/// `IPSET_ERR_EXIST`: an element is there already, or is not there.
pub(super) const ERR_EXIST: i32 = 4103;
/// `IPSET_ERR_HASH_FULL`
pub(super) const ERR_HASH_FULL: i32 = 4352;

/// The oldest version of the protocol that is spoken (`IPSET_PROTOCOL_MIN`). Kernels that speak version 7
/// (since 4.20) take it for all that is done here; older ones speak no other.
const VERSION: u8 = 6;

/// `struct nfgenmsg`
const HEADER: usize = 4;

const PROTOCOL: u16 = 1;
const SETNAME: u16 = 2;
const DATA: u16 = 7;
const ADT: u16 = 8;
const IP: u16 = 1;
const CIDR: u16 = 3;
const TIMEOUT: u16 = 6;
const IPADDR_IPV4: u16 = 1;
const IPADDR_IPV6: u16 = 2;
/// `NLA_F_NET_BYTEORDER`
const NET_BYTEORDER: u16 = 0x4000;

/// A member of a set of addresses or networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its address; of a network the first.
    pub address: IpAddr,
    /// How many bits of it count; `None` where the set holds single addresses.
    pub prefix: Option<u8>,
    /// Seconds until it goes. 0 is never; `None` where the set knows no times.
    pub timeout: Option<u32>,
}

/// What is asked of a set as a whole.
pub(super) fn of_set(w: &mut Writer, set: &str) {
    w.raw(&[0; HEADER]);
    w.bytes(PROTOCOL, &[VERSION]);
    w.text(SETNAME, set);
}

/// What is asked about one address of a set; to add it, with the seconds until it goes.
pub(super) fn of_member(w: &mut Writer, set: &str, address: IpAddr, timeout: Option<u32>) {
    of_set(w, set);
    w.nested(DATA, |w| write_member(w, &Member { address, prefix: None, timeout }));
}

fn write_member(w: &mut Writer, member: &Member) {
    w.nested(IP, |w| match member.address {
        IpAddr::V4(four) => w.bytes(IPADDR_IPV4 | NET_BYTEORDER, &four.octets()),
        IpAddr::V6(six) => w.bytes(IPADDR_IPV6 | NET_BYTEORDER, &six.octets()),
    });
    if let Some(prefix) = member.prefix {
        w.bytes(CIDR, &[prefix]);
    }
    if let Some(timeout) = member.timeout {
        w.be32(TIMEOUT | NET_BYTEORDER, timeout);
    }
}

/// The members that one message of a list holds; `None` where it cannot be understood.
pub(super) fn members(message: &Message<'_>) -> Option<Vec<Member>> {
    message.attributes(HEADER).within(ADT).map(|one| member(Attributes(one.value))).collect()
}

fn member(attributes: Attributes<'_>) -> Option<Member> {
    let address = attributes.within(IP);
    let address = match (address.get(IPADDR_IPV4), address.get(IPADDR_IPV6)) {
        (Some(four), None) => IpAddr::from(<[u8; 4]>::try_from(four).ok()?),
        (None, Some(six)) => IpAddr::from(<[u8; 16]>::try_from(six).ok()?),
        _ => return None,
    };
    let timeout = match attributes.get(TIMEOUT) {
        None => None,
        Some(value) => Some(u32::from_be_bytes(value.try_into().ok()?)),
    };
    let prefix = match attributes.get(CIDR) {
        None => None,
        Some(&[bits]) => Some(bits),
        Some(_) => return None,
    };
    Some(Member { address, prefix, timeout })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use portcullis_linux::netlink::message::Messages;

    /// A list as the kernel sends it.
    fn listed(all: &[Member]) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.message(LIST, 2, 1, |w| {
            of_set(w, "portcullis4_open_ssh");
            w.nested(ADT, |w| all.iter().for_each(|one| w.nested(DATA, |w| write_member(w, one))));
        });
        writer.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Option<Vec<Member>> {
        members(&Messages(bytes).next()?)
    }

    fn any_member() -> impl Strategy<Value = Member> {
        let prefix = proptest::option::of(any::<u8>());
        let timeout = proptest::option::of(any::<u32>());
        (any::<IpAddr>(), prefix, timeout).prop_map(|(address, prefix, timeout)| Member {
            address,
            prefix,
            timeout,
        })
    }

    #[test]
    fn a_request_is_what_the_kernel_wants() {
        let mut writer = Writer::new();
        of_member(&mut writer, "s", "203.0.113.7".parse().unwrap(), Some(20));
        let expected = [
            &[0_u8, 0, 0, 0][..],
            &5_u16.to_ne_bytes(),
            &1_u16.to_ne_bytes(),
            &[6, 0, 0, 0],
            &6_u16.to_ne_bytes(),
            &2_u16.to_ne_bytes(),
            &[b's', 0, 0, 0],
            &24_u16.to_ne_bytes(),
            &0x8007_u16.to_ne_bytes(),
            &12_u16.to_ne_bytes(),
            &0x8001_u16.to_ne_bytes(),
            &8_u16.to_ne_bytes(),
            &0x4001_u16.to_ne_bytes(),
            &[203, 0, 113, 7],
            &8_u16.to_ne_bytes(),
            &0x4006_u16.to_ne_bytes(),
            &[0, 0, 0, 20],
        ];
        assert_eq!(writer.finish().unwrap(), expected.concat());
    }

    #[test]
    fn members_without_an_address_or_with_a_torn_one_are_an_error() {
        let with = |fill: &dyn Fn(&mut Writer)| {
            let mut writer = Writer::new();
            writer.message(LIST, 2, 1, |w| {
                w.raw(&[0; HEADER]);
                w.nested(ADT, |w| w.nested(DATA, |w| fill(w)));
            });
            read(&writer.finish().unwrap())
        };
        assert_eq!(with(&|w| w.be32(TIMEOUT, 5)), None);
        assert_eq!(with(&|w| w.nested(IP, |w| w.bytes(IPADDR_IPV4, &[1, 2, 3]))), None);
        assert_eq!(with(&|w| w.nested(IP, |w| w.bytes(IPADDR_IPV6, &[0; 17]))), None);
        let torn = |w: &mut Writer| {
            w.nested(IP, |w| w.bytes(IPADDR_IPV4, &[1, 2, 3, 4]));
            w.bytes(TIMEOUT, &[0, 0]);
        };
        assert_eq!(with(&torn), None);
        // A list without members is one.
        assert_eq!(read(&listed(&[])), Some(Vec::new()));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(all in proptest::collection::vec(any_member(), 0..40)) {
            prop_assert_eq!(read(&listed(&all)), Some(all));
        }

        #[test]
        fn any_bytes_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let message = Message { kind: LIST, flags: 0, sequence: 1, body: &bytes };
            let _ = members(&message);
        }

        #[test]
        fn a_list_that_breaks_off_is_read_without_panic(
            all in proptest::collection::vec(any_member(), 1..5),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut bytes = listed(&all);
            let at = at.index(bytes.len() - 16) + 16;
            bytes[at] = byte;
            let _ = read(&bytes);
        }
    }
}
