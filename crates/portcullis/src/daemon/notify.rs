//! What systemd is told (sd_notify(3)): nothing where nobody asked, and never an error, because a
//! service that runs is not ended by a manager that does not listen.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// All that was asked for has begun; `status` is what `systemctl status` shows.
pub fn ready(status: &str) {
    tell(&format!("READY=1\nSTATUS={status}"));
}

/// A new configuration is being read.
pub fn reloading() {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        i128::from(time.tv_sec()) * 1_000_000 + i128::from(time.tv_nsec()) / 1_000
    });
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={time}"));
}

/// The end has begun.
pub fn stopping() {
    tell("STOPPING=1");
}

/// Still alive.
pub fn alive() {
    tell("WATCHDOG=1");
}

/// How often [`alive`] has to be said: twice in the time that systemd waits.
pub fn watchdog() -> Option<Duration> {
    let micros: u64 = env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    let meant_for = env::var("WATCHDOG_PID").ok();
    let ours = meant_for.is_none_or(|pid| pid == std::process::id().to_string());
    (ours && micros > 0).then(|| Duration::from_micros(micros / 2))
}

fn tell(state: &str) {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else { return };
    // See above: nobody may be listening any more.
    let _ = send(path.as_bytes(), state);
}

fn send(path: &[u8], state: &str) -> io::Result<usize> {
    let address = match path.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that is stuck must not stop the service.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_socket() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str().as_bytes(), "READY=1").unwrap();
        let mut buffer = [0; 64];
        assert_eq!(
            listener.recv(&mut buffer).map(|length| buffer[..length].to_vec()).unwrap(),
            b"READY=1"
        );

        let name = format!("portcullis-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let listener = UnixDatagram::bind_addr(&address).unwrap();
        send(format!("@{name}").as_bytes(), "STOPPING=1").unwrap();
        assert_eq!(listener.recv(&mut buffer).unwrap(), 10);
    }
}
