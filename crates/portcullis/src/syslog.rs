//! The system log, which nothing waits for.
//!
//! The C library's `syslog` waits while the system log is not being read, and a daemon that waits runs
//! no command. A line that cannot be written at once is not written there.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::SystemTime;

use portcullis_linux::sys::time::local;

/// Where it is read (`_PATH_LOG` of syslog.h).
const SOCKET: &str = "/dev/log";

/// Facility daemon, severity notice (RFC 3164, section 4.1.1): what Debian's knockd uses.
const PRIORITY: u8 = 3 * 8 + 5;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A connection to the system log, which is made anew when it was lost.
#[derive(Debug)]
pub struct Syslog {
    name: &'static str,
    socket: Option<UnixDatagram>,
}

impl Default for Syslog {
    /// That of `knockd`.
    fn default() -> Self {
        Self::of("knockd")
    }
}

impl Syslog {
    /// That of the program of this name.
    pub const fn of(name: &'static str) -> Self {
        Self { name, socket: None }
    }

    /// Says it, if somebody listens who is not behind: under the program's name, without a process
    /// number.
    pub fn tell(&mut self, at: SystemTime, message: &[u8]) {
        let datagram = datagram(self.name, at, message);
        for _ in 0..2 {
            if self.socket.is_none() {
                self.socket = connect().ok();
            }
            let Some(socket) = &self.socket else { return };
            match socket.send(&datagram) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => self.socket = None,
                _ => return,
            }
        }
    }
}

fn connect() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(SOCKET)?;
    Ok(socket)
}

/// `<29>Nov 21 03:25:00 knockd: message`, as the C library writes it.
fn datagram(name: &str, at: SystemTime, message: &[u8]) -> Vec<u8> {
    let now = local(at);
    let month = usize::try_from(now.month.saturating_sub(1)).ok();
    let month = month.and_then(|month| MONTHS.get(month)).unwrap_or(&"Jan");
    let (day, hour, minute, second) = (now.day, now.hour, now.minute, now.second);
    let begin = format!("<{PRIORITY}>{month} {day:2} {hour:02}:{minute:02}:{second:02} {name}: ");
    // A zero byte would be the end of the message to many a reader.
    let shown = message.iter().map(|byte| if *byte == 0 { b'?' } else { *byte });
    begin.into_bytes().into_iter().chain(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_c_library_writes_it() {
        let datagram = datagram("knockd", SystemTime::UNIX_EPOCH, b"a: \xff\0.\n");
        let (begin, end) = datagram.split_at("<29>Jan  1 00:00:00".len());
        assert!(begin.starts_with(b"<29>") && begin.ends_with(b":00"), "{begin:?}");
        assert_eq!(end, b" knockd: a: \xff?.\n");
    }
}
