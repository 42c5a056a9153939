//! Interfaces, addresses, neighbours and routes (rtnetlink; `include/uapi/linux/rtnetlink.h`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

use super::message::{Message, ne16, ne32};
use super::socket::{Error, Family, Socket};

const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTM_NEWNEIGH: u16 = 28;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_PID: u16 = 19;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_PROP_LIST: u16 = 52;
const IFLA_ALT_IFNAME: u16 = 53;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;

const IFF_UP: u32 = 0x1;
const IFF_LOOPBACK: u32 = 0x8;
/// The address is used at once, without asking around whether somebody else has it.
const IFA_F_NODAD: u32 = 0x02;
const NUD_PERMANENT: u16 = 0x80;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RTN_UNICAST: u8 = 1;
const RTN_LOCAL: u8 = 2;

/// Bytes of `struct ifinfomsg`.
const LINK: usize = 16;
/// Bytes of `struct ifaddrmsg`.
const ADDRESS: usize = 8;

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its number in this namespace; at least 1.
    pub index: u32,
    /// Its name; at most 15 bytes.
    pub name: String,
    /// Whether it is up (`IFF_UP`).
    pub up: bool,
    /// Whether it is the loopback interface.
    pub loopback: bool,
    /// Its hardware address, if it is one of Ethernet.
    pub mac: Option<[u8; 6]>,
    /// What its driver calls it: `bridge`, `vlan`, `macvlan`; `None` for most hardware.
    pub kind: Option<String>,
    /// The number of the interface that takes its packets: its bridge, bond or VRF.
    pub master: Option<u32>,
    /// What its master's driver calls it: `bridge`, `bond`, `vrf`.
    pub member_kind: Option<String>,
    /// The number of the interface of this namespace that it was made on, or (veth) is tied to.
    pub link: Option<u32>,
    /// Its other names, up to 127 bytes each. Rules match [`name`](Self::name) alone.
    pub other_names: Vec<String>,
}

/// The network configuration of one namespace: that of the thread that opens it.
///
/// Every method fails with what the kernel answers, e.g. `EPERM` without `CAP_NET_ADMIN`. Those
/// that take the name of an interface fail with `ENODEV` if there is none.
#[derive(Debug)]
pub struct Route {
    socket: Socket,
}

impl Route {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// No socket could be had.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { socket: Socket::open(Family::Route)? })
    }

    /// All interfaces.
    ///
    /// # Errors
    ///
    /// See [`Route`].
    pub fn interfaces(&mut self) -> Result<Vec<Interface>, Error> {
        self.socket.dump(
            RTM_GETLINK,
            |w| w.raw(&link(0, 0, 0)),
            |all: &mut Vec<_>, message| all.extend(interface(message)),
        )
    }

    /// All addresses of this host, with the number of the interface that has them.
    ///
    /// # Errors
    ///
    /// See [`Route`].
    pub fn addresses(&mut self) -> Result<Vec<(u32, IpAddr)>, Error> {
        self.socket.dump(
            RTM_GETADDR,
            |w| w.raw(&[0; ADDRESS]),
            |all: &mut Vec<_>, message| all.extend(address(message)),
        )
    }

    /// Whether packets to this address are for this host itself.
    ///
    /// # Errors
    ///
    /// See [`Route`]; that there is no way to the address is not an error.
    pub fn is_local(&mut self, address: IpAddr) -> Result<bool, Error> {
        let length = if address.is_ipv4() { 32 } else { 128 };
        let found = self.socket.get(
            RTM_GETROUTE,
            |w| {
                w.raw(&[family(address), length, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
                w.bytes(RTA_DST, &octets(address));
            },
            // The kind of the route is the eighth byte of struct rtmsg.
            |message| message.body.get(7).map(|&kind| kind == RTN_LOCAL),
        );
        match found {
            Err(Error::Refused { errno, .. }) if errno != Errno::EPERM => Ok(false),
            other => Ok(other?.unwrap_or(false)),
        }
    }

    /// The number of an interface.
    ///
    /// # Errors
    ///
    /// See [`Route`]; that there is none of this name is not an error.
    pub fn interface_index(&mut self, name: &str) -> Result<Option<u32>, Error> {
        let found = self.socket.get(
            RTM_GETLINK,
            |w| {
                w.raw(&link(0, 0, 0));
                w.text(IFLA_IFNAME, name);
            },
            |message| interface(message).map(|interface| interface.index),
        );
        match found {
            // ERANGE and EINVAL: no interface can have such a name.
            Err(Error::Refused {
                errno: Errno::ENODEV | Errno::ERANGE | Errno::EINVAL, ..
            }) => Ok(None),
            other => other,
        }
    }

    /// Makes two interfaces that are the two ends of one cable. With a `peer_netns_pid` the second
    /// is in the network namespace of that process.
    ///
    /// # Errors
    ///
    /// See [`Route`]; `EEXIST` if a name is taken.
    pub fn create_veth(
        &mut self,
        name: &str,
        peer_name: &str,
        peer_netns_pid: Option<i32>,
    ) -> Result<(), Error> {
        self.socket.request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, |w| {
            w.raw(&link(0, 0, 0));
            w.text(IFLA_IFNAME, name);
            w.nested(IFLA_LINKINFO, |w| {
                w.text(IFLA_INFO_KIND, "veth");
                w.nested(IFLA_INFO_DATA, |w| {
                    w.nested(VETH_INFO_PEER, |w| {
                        w.raw(&link(0, 0, 0));
                        w.text(IFLA_IFNAME, peer_name);
                        if let Some(pid) = peer_netns_pid {
                            w.ne32(IFLA_NET_NS_PID, pid.cast_unsigned());
                        }
                    });
                });
            });
        })
    }

    /// Removes an interface (and the other end of its cable).
    ///
    /// # Errors
    ///
    /// See [`Route`].
    pub fn delete_link(&mut self, name: &str) -> Result<(), Error> {
        let index = self.index(name)?;
        self.socket.request(RTM_DELLINK, 0, |w| w.raw(&link(index, 0, 0)))
    }

    /// Brings an interface up.
    ///
    /// # Errors
    ///
    /// See [`Route`].
    pub fn set_up(&mut self, name: &str) -> Result<(), Error> {
        let index = self.index(name)?;
        self.socket.request(RTM_NEWLINK, 0, |w| w.raw(&link(index, IFF_UP, IFF_UP)))
    }

    /// Gives an interface a hardware address.
    ///
    /// # Errors
    ///
    /// See [`Route`].
    pub fn set_mac(&mut self, name: &str, mac: [u8; 6]) -> Result<(), Error> {
        let index = self.index(name)?;
        self.socket.request(RTM_NEWLINK, 0, |w| {
            w.raw(&link(index, 0, 0));
            w.bytes(IFLA_ADDRESS, &mac);
        })
    }

    /// Sets how many bytes a packet of an interface may have.
    ///
    /// # Errors
    ///
    /// See [`Route`].
    pub fn set_mtu(&mut self, name: &str, mtu: u32) -> Result<(), Error> {
        let index = self.index(name)?;
        self.socket.request(RTM_NEWLINK, 0, |w| {
            w.raw(&link(index, 0, 0));
            w.ne32(IFLA_MTU, mtu);
        })
    }

    /// Gives an interface an address in a network of so many leading bits. It can be used at once.
    ///
    /// # Errors
    ///
    /// See [`Route`]; `EEXIST` if it has it.
    pub fn add_address(
        &mut self,
        name: &str,
        address: IpAddr,
        prefix_length: u8,
    ) -> Result<(), Error> {
        let index = self.index(name)?;
        self.socket.request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, |w| {
            // struct ifaddrmsg: family, prefix length, flags, scope, index.
            let [a, b, c, d] = index.to_ne_bytes();
            w.raw(&[family(address), prefix_length, 0, 0, a, b, c, d]);
            w.bytes(IFA_LOCAL, &octets(address));
            w.bytes(IFA_ADDRESS, &octets(address));
            if address.is_ipv6() {
                w.ne32(IFA_FLAGS, IFA_F_NODAD);
            }
        })
    }

    /// Says which hardware address a neighbour has, for ever and without asking.
    ///
    /// # Errors
    ///
    /// See [`Route`].
    pub fn add_neighbour(
        &mut self,
        name: &str,
        address: IpAddr,
        mac: [u8; 6],
    ) -> Result<(), Error> {
        let index = self.index(name)?;
        self.socket.request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, |w| {
            // struct ndmsg: family, padding, index, state, flags, type.
            let [a, b, c, d] = index.to_ne_bytes();
            let [e, f] = NUD_PERMANENT.to_ne_bytes();
            w.raw(&[family(address), 0, 0, 0, a, b, c, d, e, f, 0, 0]);
            w.bytes(NDA_DST, &octets(address));
            w.bytes(NDA_LLADDR, &mac);
        })
    }

    /// A route to a network (`0.0.0.0/0` and `::/0` are the default routes), by way of a neighbour,
    /// or directly out of an interface, or both.
    ///
    /// # Errors
    ///
    /// See [`Route`]; `EINVAL` if neither is given, `EEXIST` if there is one.
    pub fn add_route(
        &mut self,
        network: IpAddr,
        prefix_length: u8,
        via: Option<IpAddr>,
        device: Option<&str>,
    ) -> Result<(), Error> {
        let index = device.map(|name| self.index(name)).transpose()?;
        let scope =
            if via.is_some() || network.is_ipv6() { RT_SCOPE_UNIVERSE } else { RT_SCOPE_LINK };
        self.socket.request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, |w| {
            // struct rtmsg: family, both prefix lengths, TOS, table, protocol, scope, type, flags.
            w.raw(&[
                family(network),
                prefix_length,
                0,
                0,
                RT_TABLE_MAIN,
                RTPROT_STATIC,
                scope,
                RTN_UNICAST,
                0,
                0,
                0,
                0,
            ]);
            w.bytes(RTA_DST, &octets(network));
            if let Some(via) = via {
                w.bytes(RTA_GATEWAY, &octets(via));
            }
            if let Some(index) = index {
                w.ne32(RTA_OIF, index);
            }
        })
    }

    fn index(&mut self, name: &str) -> Result<u32, Error> {
        self.interface_index(name)?.ok_or_else(|| Error::Refused {
            errno: Errno::ENODEV,
            code: Errno::ENODEV as i32,
            text: Some(format!("this host has no interface {name}")),
            sequence: 0,
        })
    }
}

/// `struct ifinfomsg`: family, padding, type, index, flags, change.
fn link(index: u32, flags: u32, change: u32) -> [u8; LINK] {
    let mut bytes = [0; LINK];
    let (_, rest) = bytes.split_at_mut(4);
    for (place, value) in rest.chunks_exact_mut(4).zip([index, flags, change]) {
        place.copy_from_slice(&value.to_ne_bytes());
    }
    bytes
}

fn interface(message: &Message<'_>) -> Option<Interface> {
    if message.kind != RTM_NEWLINK {
        return None;
    }
    // ARPHRD_ETHER; other kinds of link have other kinds of address.
    let ethernet = ne16(message.body.get(2..)?)? == 1;
    let flags = ne32(message.body.get(8..)?)?;
    let attributes = message.attributes(LINK);
    let info = attributes.within(IFLA_LINKINFO);
    // A number of another namespace says nothing here.
    let is_here = attributes.get(IFLA_LINK_NETNSID).is_none();
    Some(Interface {
        index: ne32(message.body.get(4..)?)?,
        name: attributes.text(IFLA_IFNAME)?.to_owned(),
        up: flags & IFF_UP != 0,
        loopback: flags & IFF_LOOPBACK != 0,
        mac: attributes.get(IFLA_ADDRESS).filter(|_| ethernet).and_then(|mac| mac.try_into().ok()),
        kind: info.text(IFLA_INFO_KIND).map(str::to_owned),
        master: attributes.get(IFLA_MASTER).and_then(ne32),
        member_kind: info.text(IFLA_INFO_SLAVE_KIND).map(str::to_owned),
        link: attributes.get(IFLA_LINK).filter(|_| is_here).and_then(ne32).filter(|&n| n != 0),
        other_names: attributes
            .within(IFLA_PROP_LIST)
            .filter(|attribute| attribute.kind == IFLA_ALT_IFNAME)
            .filter_map(|name| str::from_utf8(name.value.split(|&byte| byte == 0).next()?).ok())
            .map(str::to_owned)
            .collect(),
    })
}

fn address(message: &Message<'_>) -> Option<(u32, IpAddr)> {
    if message.kind != RTM_NEWADDR {
        return None;
    }
    let attributes = message.attributes(ADDRESS);
    // On a point-to-point link IFA_ADDRESS is the other side's; IPv6 has no IFA_LOCAL otherwise.
    let value = attributes.get(IFA_LOCAL).or_else(|| attributes.get(IFA_ADDRESS))?;
    let address = match *value {
        [a, b, c, d] => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        _ => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?)),
    };
    Some((ne32(message.body.get(4..)?)?, address))
}

const fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet as u8,
        IpAddr::V6(_) => AddressFamily::Inet6 as u8,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Tells that an interface or an address of this namespace has come, gone or changed.
#[derive(Debug)]
pub struct AddressMonitor {
    fd: OwnedFd,
}

impl AddressMonitor {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// No socket could be had.
    pub fn open() -> Result<Self, Error> {
        // RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR.
        const GROUPS: u32 = 0x1 | 0x10 | 0x100;
        let system = |errno| Error::System { doing: "listen for address changes", errno };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)
            .map_err(system)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, GROUPS)).map_err(system)?;
        Ok(Self { fd })
    }

    /// Takes what has arrived; whether something did. What it says is not looked at: the addresses
    /// have to be read anew in any case, and then an event more or less does no harm.
    pub fn drain(&self) -> bool {
        let mut buffer = [0; 8192];
        let mut changed = false;
        loop {
            match recv(self.fd.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                // ENOBUFS: so much has happened that some of it was lost.
                Ok(_) | Err(Errno::ENOBUFS) => changed = true,
                Err(Errno::EINTR) => {}
                Err(_) => return changed,
            }
        }
    }
}

impl AsFd for AddressMonitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
