//! What there is on this host, for what a configuration means to it.

use std::fs;

use portcullis_config::conntrack::Tracking;
use portcullis_config::host::Host;
use portcullis_config::topology::Interface;
use portcullis_linux::netlink::route::Route;
use portcullis_linux::netlink::socket::Error;
use portcullis_linux::netlink::sockets::Sockets;

/// Looks at all that a check of a configuration asks for, and says what could not be looked at.
pub fn look() -> (Host, Vec<String>) {
    let mut unseen = Vec::new();
    let mut seen = |what: &str, error: Error| unseen.push(format!("{what}: {error}"));
    let listening = Sockets::open().and_then(|mut sockets| sockets.listening());
    let listening = listening.map_err(|error| seen("services of this host", error)).ok();
    let interfaces = Route::open().and_then(|mut route| interfaces(&mut route));
    let interfaces = interfaces.map_err(|error| seen("interfaces of this host", error)).ok();
    // What listens at the loopback interface alone answers nobody else.
    let listening = listening.map(|all| {
        all.into_iter().filter(|(_, at)| !at.is_loopback()).map(|(port, _)| port).collect()
    });
    (Host { listening, interfaces, tracking: tracking(), ..Host::default() }, unseen)
}

/// The interfaces of this host, with their addresses.
///
/// # Errors
///
/// What the kernel answers.
pub fn interfaces(route: &mut Route) -> Result<Vec<Interface>, Error> {
    let interfaces = route.interfaces()?;
    let addresses = route.addresses()?;
    let interfaces = interfaces.into_iter().map(|interface| {
        let own = addresses.iter().filter(|(index, _)| *index == interface.index);
        Interface {
            index: interface.index,
            name: interface.name,
            other_names: interface.other_names,
            up: interface.up,
            addresses: own.map(|(_, address)| *address).collect(),
            kind: interface.kind,
            master: interface.master,
            member_kind: interface.member_kind,
            link: interface.link,
        }
    });
    Ok(interfaces.collect())
}

/// The table of connections; nothing where the kernel has none (yet).
pub fn tracking() -> Option<Tracking> {
    let number = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/net/netfilter/nf_conntrack_{name}"));
        text.ok()?.trim().parse().ok()
    };
    Some(Tracking {
        max: number("max")?,
        count: number("count")?,
        buckets: number("buckets")?,
        udp_timeout: number("udp_timeout")?,
        checks: number("checksum")? != 0,
    })
}
