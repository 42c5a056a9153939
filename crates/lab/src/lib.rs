//! A private network of namespaces, for the demo and the tests.
//!
//! [`enter`] once, with a single thread; then any thread makes a [`Lab`]: a network of its own in
//! which this thread is the *host*. Each [`Peer`] is another network, tied to the host by a cable (a
//! veth pair) of its own. No external program is needed, and nothing outlives the process.
//!
//! ```text
//! host  198.51.100.1  2001:db8::1    ── client ──   peer  198.51.100.10, .11, …  2001:db8::10, ::11, …
//!       203.0.113.1   2001:db8:1::1  ── other ───   peer  203.0.113.10, …        2001:db8:1::10, …
//! ```
//!
//! Nothing on a cable has to be asked for: both ends have one hardware address and do without
//! neighbour discovery, so that any source may be made up and the kernel adds no packets of its own.
//!
//! | module | what it holds |
//! |---|---|
//! | [`packet`] | packets made by hand |
//! | [`answer`] | packets that came back |
//! | [`wire`] | sends the ones and reads the others: probes, scans, sweeps |
//! | [`service`] | an echo service on the host |
//! | `world` | a host with a gate and a client beside it; with the feature of that name, for tests alone |
//! | [`program`] | a child process whose lines are watched, and that never outlives us |
//!
//! A host with a service, and a client that connects to it over a cable:
//!
//! ```no_run
//! use std::net::{SocketAddr, TcpListener};
//! use std::time::Duration;
//! use portcullis_lab::{Family, Lab, enter};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! enter()?; // before there is a second thread
//! let mut lab = Lab::new()?;
//! let client = lab.peer("client", 1)?;
//! let host = client.host(Family::V4); // 198.51.100.1
//! let service = TcpListener::bind((host, 22))?;
//! let from = client.address(Family::V4, 0); // 198.51.100.10
//! client.connect(from, SocketAddr::new(host, 22), Duration::from_secs(1))?;
//! let (_connection, peer) = service.accept()?;
//! assert_eq!(peer.ip(), from);
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

pub mod answer;
mod error;
mod namespace;
pub mod packet;
pub mod program;
pub mod service;
pub mod wire;
#[cfg(feature = "world")]
pub mod world;

use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::gettid;
use portcullis_linux::netlink::route::Route;
use portcullis_linux::sys::namespace::{is_running, without_neighbours};

pub use error::Error;
use namespace::{Namespace, unshare_network};
pub use namespace::{enter, set_sysctl};
use wire::Wire;

/// The name of every peer's end of its cable.
const PEER_INTERFACE: &str = "host";

/// The first address of a peer, as the last part of it; the others follow. The host has 1.
const FIRST: (u8, u16) = (10, 0x10);

/// How long it may take until both ends of a cable know that it is plugged in, and then until they
/// have their addresses.
const PLUGGED_IN: Duration = Duration::from_secs(60);

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// A network of which the thread that made it is the host.
#[derive(Debug)]
pub struct Lab {
    route: Route,
    peers: u8,
}

impl Lab {
    /// Moves this thread into a new network without peers. Threads and processes that it starts
    /// from now on are on the same host.
    ///
    /// # Errors
    ///
    /// The kernel refuses; most likely nobody has called [`enter`].
    pub fn new() -> Result<Self, Error> {
        unshare_network()?;
        let mut route = Route::open().map_err(|error| failed("open rtnetlink", &error))?;
        route.set_up("lo").map_err(|error| failed("bring loopback up", &error))?;
        Ok(Self { route, peers: 0 })
    }

    /// Adds a peer with so many addresses in each family. The host's end of the cable gets the
    /// peer's name. The first peer also gets whatever the host sends to addresses that nobody has,
    /// and so can speak from made-up ones.
    ///
    /// # Errors
    ///
    /// The kernel refuses, e.g. because the name is taken or has more than 15 bytes.
    pub fn peer(&mut self, name: &str, addresses: u8) -> Result<Peer, Error> {
        let number = self.peers;
        let (host_v4, host_v6) = (v4(number, 1), v6(number, 1));
        let mac = [2, 0, 0, 0, 0, number];
        let namespace = Namespace::new()?;
        let host_thread = gettid().as_raw();
        let (v4, v6): (Vec<_>, Vec<_>) = (0..addresses)
            .map(|n| {
                let (last4, last6) = (FIRST.0.saturating_add(n), FIRST.1 + u16::from(n));
                (v4(number, last4), v6(number, last6))
            })
            .unzip();

        // The cable is made from the far end: then a thread that waits here names the near one.
        let far = |work: &mut (dyn FnMut(&mut Route) -> Result<u32, Error> + Send)| {
            let inside = namespace.run(|| {
                let mut route = Route::open().map_err(|error| failed("open rtnetlink", &error))?;
                work(&mut route)
            });
            inside.map_err(|error| failed("enter a namespace", &error))?
        };
        let index = far(&mut |route| {
            route.set_up("lo").map_err(|error| failed("bring loopback up", &error))?;
            route
                .create_veth(PEER_INTERFACE, name, Some(host_thread))
                .map_err(|error| failed(&format!("make a cable to {name}"), &error))?;
            plug_in(route, PEER_INTERFACE, mac)?;
            let index = route.interface_index(PEER_INTERFACE).ok().flatten();
            index.ok_or_else(|| failed("find the cable", &"it is gone"))
        })?;
        plug_in(&mut self.route, name, mac)?;
        far(&mut |route| {
            // Where a program names no source, Linux takes the IPv4 address that was given first, and
            // the IPv6 address that was given last. Both shall be number 0.
            let v6 = v6.iter().rev().map(|address| IpAddr::V6(*address));
            let all = v4.iter().map(|address| IpAddr::V4(*address)).chain(v6);
            configure(route, PEER_INTERFACE, all)?;
            default_routes(route, PEER_INTERFACE).map(|()| index)
        })?;
        configure(&mut self.route, name, [host_v4.into(), host_v6.into()].into_iter())?;
        if number == 0 {
            default_routes(&mut self.route, name)?;
        }
        self.peers = number.saturating_add(1);
        Ok(Peer { name: name.to_owned(), namespace, index, mac, host_v4, host_v6, v4, v6 })
    }

    /// From now on, all processors handle what arrives on this interface of the host, each some of
    /// the connections, at the same time. Returns how many they are.
    ///
    /// # Errors
    ///
    /// There is no such interface, or the kernel does not let us see its settings.
    pub fn spread(&self, interface: &str) -> io::Result<usize> {
        namespace::spread(interface)
    }

    /// How many packets have arrived on this interface of the host (that of a peer has its name).
    ///
    /// # Errors
    ///
    /// There is no such interface.
    pub fn arrived(&self, interface: &str) -> io::Result<u64> {
        // proc_net(5): name, then received bytes, packets, …
        let table = fs::read_to_string("/proc/thread-self/net/dev")?;
        table
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.trim() == interface)
            .and_then(|(_, counters)| counters.split_whitespace().nth(1)?.parse().ok())
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such interface"))
    }
}

/// Another machine, on a cable to the host.
#[derive(Debug)]
pub struct Peer {
    name: String,
    namespace: Namespace,
    index: u32,
    mac: [u8; 6],
    host_v4: Ipv4Addr,
    host_v6: Ipv6Addr,
    v4: Vec<Ipv4Addr>,
    v6: Vec<Ipv6Addr>,
}

impl Peer {
    /// Its name, which is also that of the host's end of the cable.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The host's address on this cable.
    pub fn host(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.host_v4.into(),
            Family::V6 => self.host_v6.into(),
        }
    }

    /// The peer's address of this number; the host's where there is none. Number 0 is the one that
    /// programs speak from if they do not care.
    pub fn address(&self, family: Family, number: usize) -> IpAddr {
        match family {
            Family::V4 => self.v4.get(number).copied().unwrap_or(self.host_v4).into(),
            Family::V6 => self.v6.get(number).copied().unwrap_or(self.host_v6).into(),
        }
    }

    /// Runs `work` on this machine. Sockets opened there stay there, also when they are returned.
    ///
    /// # Errors
    ///
    /// The kernel does not let us in.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        self.namespace.run(work)
    }

    /// A packet socket on the peer's end of the cable, to send and to receive.
    ///
    /// # Errors
    ///
    /// The kernel does not give one.
    pub fn wire(&self) -> io::Result<Wire> {
        self.run(|| Wire::open(self.index, self.mac, true))?
    }

    /// A packet socket that only sends, which is faster.
    ///
    /// # Errors
    ///
    /// The kernel does not give one.
    pub fn sender(&self) -> io::Result<Wire> {
        self.run(|| Wire::open(self.index, self.mac, false))?
    }

    /// Connects from one of the peer's addresses, as any program would.
    ///
    /// # Errors
    ///
    /// `ConnectionRefused`; `TimedOut` after `wait`; what else the kernel answers.
    pub fn connect(&self, from: IpAddr, to: SocketAddr, wait: Duration) -> io::Result<TcpStream> {
        self.run(|| service::connect(from, to, wait))?
    }
}

/// Asks every two milliseconds until the answer is yes; whether it was by the deadline. For what the
/// kernel tells nobody about, such as the end of a grant.
pub fn wait_until(deadline: Instant, mut condition: impl FnMut() -> bool) -> bool {
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn plug_in(route: &mut Route, interface: &str, mac: [u8; 6]) -> Result<(), Error> {
    let fail = |error: &dyn fmt::Display| failed(&format!("plug in {interface}"), error);
    route.set_mac(interface, mac).map_err(|error| fail(&error))?;
    without_neighbours(interface).map_err(|error| fail(&error))?;
    route.set_up(interface).map_err(|error| fail(&error))
}

fn configure(
    route: &mut Route,
    interface: &str,
    addresses: impl Iterator<Item = IpAddr>,
) -> Result<(), Error> {
    let fail = |error: &dyn fmt::Display| failed(&format!("set up {interface}"), error);
    // The kernel notices a while later that the other end has been plugged in.
    let running = || is_running(interface).unwrap_or(false);
    if !wait_until(Instant::now() + PLUGGED_IN, running) {
        return Err(fail(&"the cable has no other end"));
    }
    let mut routes = Vec::new();
    for address in addresses {
        let prefix_length = if address.is_ipv4() { 24 } else { 64 };
        route.add_address(interface, address, prefix_length).map_err(|error| fail(&error))?;
        if let IpAddr::V6(address) = address {
            routes.push(format!("{:032x} 80 ", address.to_bits()));
        }
    }
    // An IPv6 address counts from when the kernel has its own route to it, which it makes later.
    let usable = || {
        let table = fs::read_to_string("/proc/thread-self/net/ipv6_route").unwrap_or_default();
        routes.iter().all(|route| table.lines().any(|line| line.starts_with(route)))
    };
    if wait_until(Instant::now() + PLUGGED_IN, usable) {
        Ok(())
    } else {
        Err(fail(&"its IPv6 addresses do not come up"))
    }
}

fn default_routes(route: &mut Route, interface: &str) -> Result<(), Error> {
    for network in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)] {
        route
            .add_route(network, 0, None, Some(interface))
            .map_err(|error| failed(&format!("set up a route to {interface}"), &error))?;
    }
    Ok(())
}

/// Documentation networks (RFC 5737), then the one for benchmarks (RFC 2544).
fn v4(peer: u8, last: u8) -> Ipv4Addr {
    match peer {
        0 => Ipv4Addr::new(198, 51, 100, last),
        1 => Ipv4Addr::new(203, 0, 113, last),
        2 => Ipv4Addr::new(192, 0, 2, last),
        _ => Ipv4Addr::new(198, 18, peer, last),
    }
}

/// Documentation networks (RFC 3849).
fn v6(peer: u8, last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, peer.into(), 0, 0, 0, 0, last)
}

fn failed(doing: &str, error: &dyn fmt::Display) -> Error {
    Error::new(format!("cannot make a private network: {doing}: {error}"))
}

/// What this crate cannot use, tried: each of these imports fails to compile.
///
/// ```compile_fail
/// use portcullis_config as _;
/// ```
///
/// ```compile_fail
/// use portcullis_insight as _;
/// ```
///
/// ```compile_fail
/// use portcullis as _;
/// ```
#[cfg(doctest)]
struct Walls;
