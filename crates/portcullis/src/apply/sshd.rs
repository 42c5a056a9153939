//! The connection that a process of an SSH server serves, by its socket.
//!
//! `doas` and `env -i` leave `SSH_CONNECTION` in no process at all. The server still has the socket.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The names of the processes that serve one connection each, in `/proc/PID/comm`.
const SERVERS: [&str; 4] = ["sshd", "sshd-session", "dropbear", "tinysshd"];

/// TCP_ESTABLISHED (`include/net/tcp_states.h`), as `/proc/net/tcp` writes it.
const ESTABLISHED: &str = "01";

/// The connection of a process as `SSH_CONNECTION` has it: "client port server port". `None` if the process is no SSH server,
/// has no connection, or may not be read.
pub fn connection_of(pid: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    if !SERVERS.contains(&name.trim_end()) {
        return None;
    }
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let links = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let sockets: Vec<String> = links
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.into()))
        .collect();
    ["tcp", "tcp6"].into_iter().find_map(|table| {
        let table = fs::read_to_string(format!("/proc/{pid}/net/{table}")).ok()?;
        table.lines().find_map(|line| established(line, &sockets))
    })
}

/// From a line of `/proc/net/tcp` (proc_pid_net(5)), if it is an established connection of one of these sockets.
fn established(line: &str, sockets: &[String]) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (local, remote, state, inode) =
        (words.get(1)?, words.get(2)?, words.get(3)?, words.get(9)?);
    if *state != ESTABLISHED || !sockets.iter().any(|socket| socket == inode) {
        return None;
    }
    let (server, client) = (end(local)?, end(remote)?);
    Some(format!("{} {} {} {}", client.ip(), client.port(), server.ip(), server.port()))
}

/// An address and a port in hexadecimal digits. The address is in words of 32 bits in the byte order of the host.
fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let words: Option<Vec<u32>> = (0..address.len() / 8)
        .map(|n| u32::from_str_radix(address.get(n * 8..n * 8 + 8)?, 16).ok())
        .collect();
    let bytes: Vec<u8> = words?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let address: IpAddr = match <[u8; 16]>::try_from(bytes.as_slice()) {
        Ok(bytes) => Ipv6Addr::from(bytes).into(),
        Err(_) => Ipv4Addr::from(<[u8; 4]>::try_from(bytes.as_slice()).ok()?).into(),
    };
    Some(SocketAddr::new(address.to_canonical(), u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn ends_are_read() {
        if cfg!(target_endian = "little") {
            assert_eq!(end("0100007F:0016").unwrap().to_string(), "127.0.0.1:22");
            let v6 = "B80D0120000000000000000001000000:0016";
            assert_eq!(end(v6).unwrap().to_string(), "[2001:db8::1]:22");
            let mapped = "0000000000000000FFFF0000010200C0:C738";
            assert_eq!(end(mapped).unwrap().to_string(), "192.0.2.1:51000");
        }
        for bad in
            ["", ":", "0100007F", "01:16", "0100007G:0016", "é0100007:0016", "0100007F:10016"]
        {
            assert_eq!(end(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_connection_of_a_socket_is_found() {
        use std::os::fd::AsRawFd;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (served, _) = listener.accept().unwrap();
        let link = fs::read_link(format!("/proc/self/fd/{}", served.as_raw_fd())).unwrap();
        let inode = link.to_str().unwrap().trim_matches(|c: char| !c.is_ascii_digit()).to_owned();
        let table = fs::read_to_string("/proc/self/net/tcp").unwrap();
        let found =
            table.lines().find_map(|line| established(line, std::slice::from_ref(&inode))).unwrap();
        let (client, server) = (client.local_addr().unwrap(), listener.local_addr().unwrap());
        assert_eq!(found, format!("127.0.0.1 {} 127.0.0.1 {}", client.port(), server.port()));
        assert_eq!(table.lines().find_map(|line| established(line, &[])), None);
        assert_eq!(connection_of(std::process::id()), None, "this is no SSH server");
    }
}
