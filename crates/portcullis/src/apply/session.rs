//! The SSH session that a command is run from.
//!
//! `sudo` removes `SSH_CONNECTION` from the environment of its commands, so the environments of the processes
//! above are read too. The process of sshd that serves the connection began with the connection. It started
//! the topmost process that has this connection in its environment. If no process has it, the socket of the SSH
//! server above says the same.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, UdpSocket};

use portcullis_linux::proc;

use super::sshd;

/// Processes above this one that are looked at.
const HIGHEST: usize = 256;

/// The SSH session that this process was started in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// As `SSH_CONNECTION` has it; no two connections at one time have the same.
    pub connection: String,
    /// Who is connected.
    pub client: IpAddr,
    /// Which address of this host to.
    pub server: IpAddr,
    /// Which port of this host to.
    pub port: u16,
    /// When the connection began, in nanoseconds of CLOCK_BOOTTIME, rounded down to a hundredth of a
    /// second; nothing if that cannot be found out.
    pub began: Option<u64>,
}

/// Gives the line in `/proc` and the connection of a process.
type Look<'a> = &'a dyn Fn(u32) -> Option<(String, Option<String>)>;

/// A process and those above it, the nearest first.
fn ancestry(pid: u32, look: Look<'_>) -> impl Iterator<Item = (String, Option<String>)> {
    let mut next = Some(pid);
    let up = std::iter::from_fn(move || {
        let found = look(next?)?;
        next = proc::parent(&found.0);
        Some(found)
    });
    up.take(HIGHEST)
}

impl Session {
    /// The session of this process, if its connection ends in this network; nothing on a console or in
    /// a service.
    pub fn current() -> Option<Self> {
        Self::anywhere().filter(|session| is_here(session.server))
    }

    /// The session of this process, whichever network its connection ends in.
    pub fn anywhere() -> Option<Self> {
        let pid = std::process::id();
        Self::of(pid, &|pid| Some((proc::stat(pid)?, connection_of(pid)))).or_else(|| {
            Self::served(pid, &|pid| Some((proc::stat(pid)?, sshd::connection_of(pid))))
        })
    }

    /// By the environments.
    fn of(pid: u32, look: Look<'_>) -> Option<Self> {
        let mut above = ancestry(pid, look);
        let mut session = above.find_map(|(_, connection)| Self::parse(connection?))?;
        let server = above.find(|(_, other)| other.as_ref() != Some(&session.connection));
        session.began = server.and_then(|(stat, _)| proc::began(&stat));
        Some(session)
    }

    /// The same by the sockets of SSH servers: the topmost process with the connection began with it.
    fn served(pid: u32, look: Look<'_>) -> Option<Self> {
        let mut above = ancestry(pid, look);
        let found = above.find_map(|(stat, connection)| Some((stat, Self::parse(connection?)?)));
        let (nearest, mut session) = found?;
        let same = above.take_while(|(_, other)| other.as_ref() == Some(&session.connection));
        session.began = proc::began(&same.last().map_or(nearest, |(stat, _)| stat));
        Some(session)
    }

    /// From "client port server port" (sshd sets it, environment in ssh(1)).
    fn parse(connection: String) -> Option<Self> {
        let words: Vec<&str> = connection.split(' ').collect();
        let [client, client_port, server, port] = words.as_slice() else { return None };
        client_port.parse::<u16>().ok()?;
        let (client, server, port) = (address(client)?, address(server)?, port.parse().ok()?);
        Some(Self { client, server, port, connection, began: None })
    }
}

/// An address without its zone (`fe80::1%eth0`). An IPv4 address in IPv6 clothes is one of IPv4.
fn address(text: &str) -> Option<IpAddr> {
    let (address, _zone) = text.split_once('%').unwrap_or((text, ""));
    Some(address.parse::<IpAddr>().ok()?.to_canonical())
}

/// Whether an address is this host's, in this network namespace. In doubt it is.
fn is_here(address: IpAddr) -> bool {
    match UdpSocket::bind((address, 0)) {
        Err(error) => error.kind() != ErrorKind::AddrNotAvailable,
        Ok(_) => true,
    }
}

/// The connection in the environment of a process; nothing where it may not be read.
fn connection_of(pid: u32) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = environment
        .split(|byte| *byte == 0)
        .find_map(|variable| variable.strip_prefix(b"SSH_CONNECTION="))?;
    String::from_utf8(value.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "198.51.100.7 51000 203.0.113.1 22";
    const TWO: &str = "198.51.100.7 51001 203.0.113.1 22";

    /// Processes by number, parent, connection; each began as many ticks after boot as its number.
    fn session(from: u32, processes: &[(u32, u32, Option<&str>)]) -> Option<Session> {
        Session::of(from, &|pid| process(pid, processes))
    }

    /// The same, where the connections are those of sockets.
    fn served(from: u32, processes: &[(u32, u32, Option<&str>)]) -> Option<Session> {
        Session::served(from, &|pid| process(pid, processes))
    }

    fn process(
        pid: u32,
        processes: &[(u32, u32, Option<&str>)],
    ) -> Option<(String, Option<String>)> {
        let (_, parent, connection) = processes.iter().find(|(id, _, _)| *id == pid)?;
        let zeros = "0 ".repeat(17);
        let stat = format!("{pid} (a) b) S {parent} {zeros}{pid} 0");
        Some((stat, connection.map(str::to_owned)))
    }

    fn ticks(session: &Session) -> Option<u64> {
        session.began.map(|nanos| nanos / 10_000_000)
    }

    #[test]
    fn the_connection_is_found_through_sudo() {
        let above = [(90, 1, None), (50, 1, None), (1, 0, None)];
        let sudo = [(95, 94, None), (94, 92, None), (92, 90, Some(ONE))];
        let found = session(95, &[&sudo[..], &above].concat()).unwrap();
        assert_eq!(found.connection, ONE);
        assert_eq!(found.client, "198.51.100.7".parse::<IpAddr>().unwrap());
        assert_eq!(found.server, "203.0.113.1".parse::<IpAddr>().unwrap());
        assert_eq!(found.port, 22);
        assert_eq!(ticks(&found), Some(90));
    }

    #[test]
    fn the_socket_of_the_server_tells_the_same() {
        let processes = [(95, 92, None), (92, 91, Some(ONE)), (91, 50, Some(ONE)), (50, 1, None)];
        let found = served(95, &processes).unwrap();
        assert_eq!((found.connection.as_str(), ticks(&found)), (ONE, Some(91)));
        assert_eq!(served(95, &[(95, 50, None), (50, 1, None)]), None);
        let found = served(95, &[(95, 0, Some(TWO))]).unwrap();
        assert_eq!(ticks(&found), Some(95));
    }

    #[test]
    fn a_console_is_none() {
        assert_eq!(session(95, &[(95, 92, None), (92, 1, None), (1, 0, None)]), None);
        assert_eq!(session(95, &[(95, 1, Some("nonsense"))]), None);
        assert_eq!(session(95, &[(95, 1, Some("::1 a ::1 22"))]), None);
    }

    #[test]
    fn a_screen_that_is_older_than_the_connection_makes_it_look_old() {
        // A window opened after coming back over a second connection: its server is as old as the
        // first.
        let found = session(95, &[(95, 40, Some(TWO)), (40, 1, Some(ONE)), (1, 0, None)]).unwrap();
        assert_eq!((found.connection.as_str(), ticks(&found)), (TWO, Some(40)));
        // One that has left everything behind.
        let found = session(95, &[(95, 1, Some(TWO)), (1, 0, None)]).unwrap();
        assert_eq!(ticks(&found), Some(1));
        // One whose parent cannot be seen.
        assert_eq!(session(95, &[(95, 0, Some(TWO))]).unwrap().began, None);
    }

    #[test]
    fn an_sshd_that_was_started_over_ssh() {
        let processes = [(95, 94, Some(TWO)), (94, 60, Some(ONE)), (60, 50, Some(ONE))];
        let found = session(95, &processes).unwrap();
        assert_eq!((found.connection.as_str(), ticks(&found)), (TWO, Some(94)));
    }

    #[test]
    fn zones_and_clothes() {
        let found = Session::parse("fe80::1%eth0 5 ::ffff:192.0.2.1 2222".to_owned()).unwrap();
        assert_eq!(found.client, "fe80::1".parse::<IpAddr>().unwrap());
        assert_eq!(found.server, "192.0.2.1".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn addresses_of_this_host() {
        assert!(is_here("127.0.0.1".parse().unwrap()));
        assert!(!is_here("192.0.2.77".parse().unwrap()));
    }

    #[test]
    fn circles_end() {
        assert_eq!(session(5, &[(5, 6, None), (6, 5, None)]), None);
    }
}
