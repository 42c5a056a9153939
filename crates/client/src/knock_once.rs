//! One packet, as an ordinary user can send it.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use portcullis_core::policy::{Port, Protocol};
use socket2::{Domain, Socket, Type};

use crate::target::unspecified;

/// A connection attempt is given up after this time at the latest. An operating system repeats a SYN
/// after one second (RFC 6298, section 2.1), and a repetition may arrive after the next knock.
const LONGEST_ATTEMPT: Duration = Duration::from_millis(300);

/// The shortest wait that all operating systems can do.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// `EACCES`, with which Unix systems report an ICMPv6 "administratively prohibited".
const PROHIBITED: i32 = 13;

/// What came back after a knock in the time that was waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing, as from a filtered port; or nothing yet.
    None,
    /// The port is closed.
    Refused,
    /// The port is open. The connection was closed at once.
    Open,
    /// A firewall or a router said no.
    Unreachable,
}

/// Sends one packet and waits up to `wait` for an answer.
pub fn knock_once(host: SocketAddr, port: Port, wait: Duration) -> io::Result<Answer> {
    let mut destination = host;
    destination.set_port(port.number.get());
    let result = match port.protocol {
        Protocol::Tcp => tcp(destination, wait),
        Protocol::Udp => udp(destination, wait),
    };
    match result {
        Ok(()) => Ok(Answer::Open),
        Err(error) => match error.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Ok(Answer::None),
            ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => Ok(Answer::Refused),
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Ok(Answer::Unreachable),
            ErrorKind::PermissionDenied if error.raw_os_error() == Some(PROHIBITED) => {
                Ok(Answer::Unreachable)
            }
            _ => Err(error),
        },
    }
}

/// Sends one packet and does not look for an answer. A TCP connection attempt is given up as soon as
/// its SYN has left, so that it is never repeated.
pub fn send(host: SocketAddr, port: Port) -> io::Result<()> {
    let mut destination = host;
    destination.set_port(port.number.get());
    match port.protocol {
        Protocol::Tcp => abandon(destination),
        Protocol::Udp => datagram(destination).map(drop),
    }
}

/// Begins to connect, and closes the socket. The library for it is there because the standard one
/// waits for a connection, and what says "it has begun" has another number on each system.
fn abandon(destination: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(destination), Type::STREAM, None)?;
    match socket.connect_timeout(&destination.into(), Duration::ZERO) {
        // It has begun; or the answer was faster than we.
        Err(error)
            if !matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::ConnectionRefused) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}

/// The SYN leaves when the connection attempt begins; closing the socket ends the attempt.
fn tcp(destination: SocketAddr, wait: Duration) -> io::Result<()> {
    let wait = wait.clamp(SHORTEST_WAIT, LONGEST_ATTEMPT);
    TcpStream::connect_timeout(&destination, wait).map(drop)
}

fn udp(destination: SocketAddr, wait: Duration) -> io::Result<()> {
    let socket = datagram(destination)?;
    socket.set_read_timeout(Some(wait.max(SHORTEST_WAIT)))?;
    socket.recv(&mut [0]).map(drop)
}

/// One byte: some networks drop empty datagrams.
fn datagram(destination: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(unspecified(destination))?;
    socket.connect(destination)?;
    socket.send(&[0])?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    fn at(destination: SocketAddr, protocol: Protocol) -> Answer {
        let port = Port::new(protocol, destination.port()).unwrap();
        knock_once(destination, port, Duration::from_millis(300)).unwrap()
    }

    #[test]
    fn tells_open_from_closed() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(at(address, Protocol::Tcp), Answer::Open);
        drop(listener);
        assert_eq!(at(address, Protocol::Tcp), Answer::Refused);
        assert_eq!(at(address, Protocol::Udp), Answer::Refused);
    }

    #[test]
    fn a_datagram_has_one_byte_and_silence_is_no_answer() {
        let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = receiver.local_addr().unwrap();
        assert_eq!(at(address, Protocol::Udp), Answer::None);
        assert_eq!(receiver.recv_from(&mut [0; 9]).unwrap().0, 1);
    }

    #[test]
    fn what_waits_for_nothing_has_been_sent_all_the_same() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let port = |protocol, at: SocketAddr| Port::new(protocol, at.port()).unwrap();
        // That a SYN arrives, and one only, is seen in `crates/portcullis/tests/knock`.
        send(address, port(Protocol::Tcp, address)).unwrap();
        drop(listener);
        send(address, port(Protocol::Tcp, address)).unwrap();
        let nowhere = (Ipv4Addr::BROADCAST, 9).into();
        assert!(send(nowhere, port(Protocol::Tcp, nowhere)).is_err());

        let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = receiver.local_addr().unwrap();
        send(address, port(Protocol::Udp, address)).unwrap();
        let mut buffer = [7; 9];
        let (length, _) = receiver.recv_from(&mut buffer).unwrap();
        assert_eq!(buffer[..length], [0]);
    }
}
