//! One packet, as an ordinary user can send it.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use portcullis_core::policy::{Port, Protocol};

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
pub fn hit(host: SocketAddr, port: Port, wait: Duration) -> io::Result<Answer> {
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

/// The SYN leaves when the connection attempt begins; closing the socket ends the attempt.
fn tcp(destination: SocketAddr, wait: Duration) -> io::Result<()> {
    let wait = wait.clamp(SHORTEST_WAIT, LONGEST_ATTEMPT);
    TcpStream::connect_timeout(&destination, wait).map(drop)
}

/// One byte: some networks drop empty datagrams.
fn udp(destination: SocketAddr, wait: Duration) -> io::Result<()> {
    let socket = UdpSocket::bind(unspecified(destination))?;
    socket.connect(destination)?;
    socket.send(&[0])?;
    socket.set_read_timeout(Some(wait.max(SHORTEST_WAIT)))?;
    socket.recv(&mut [0]).map(drop)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    fn at(destination: SocketAddr, protocol: Protocol) -> Answer {
        let port = Port::new(protocol, destination.port()).unwrap();
        hit(destination, port, Duration::from_millis(300)).unwrap()
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
}
