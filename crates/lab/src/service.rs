//! A TCP service for the host that sends back what it gets, and the client's side of it.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, getsockopt, shutdown, socket, sockopt,
};

/// Listens until it is dropped. Connections that are open then live on.
#[derive(Debug)]
pub struct Echo {
    listener: TcpListener,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    /// Starts to listen on the host of the calling thread.
    ///
    /// # Errors
    ///
    /// The address is not this host's, or taken.
    pub fn start(at: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(at)?;
        let accepting = listener.try_clone()?;
        let thread = thread::spawn(move || {
            // Ends with the error that the shutdown below makes.
            while let Ok((stream, _)) = accepting.accept() {
                thread::spawn(move || echo(stream));
            }
        });
        Ok(Self { listener, thread: Some(thread) })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // Wakes the thread from `accept`, which closing a descriptor would not.
        let woken = shutdown(self.listener.as_raw_fd(), nix::sys::socket::Shutdown::Both);
        if let (Ok(()), Some(thread)) = (woken, self.thread.take()) {
            // It has nothing to tell: a panic in there has been printed.
            let _ = thread.join();
        }
    }
}

fn echo(mut stream: TcpStream) {
    let Ok(mut back) = stream.try_clone() else { return };
    // However the conversation ends, both sides of it should know.
    let _ = io::copy(&mut stream, &mut back);
    let _ = stream.shutdown(Shutdown::Both);
}

/// Connects from `from`, which must be an address of this thread's host.
pub(super) fn connect(from: IpAddr, to: SocketAddr, wait: Duration) -> io::Result<TcpStream> {
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(family, SockType::Stream, flags, None)?;
    bind(fd.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(from, 0)))?;
    match nix::sys::socket::connect(fd.as_raw_fd(), &SockaddrStorage::from(to)) {
        Ok(()) => {}
        Err(Errno::EINPROGRESS) => {
            let timeout = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
            if poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)], timeout)? == 0 {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match getsockopt(&fd, sockopt::SocketError)? {
                0 => {}
                errno => return Err(io::Error::from_raw_os_error(errno)),
            }
        }
        Err(errno) => return Err(errno.into()),
    }
    fcntl(&fd, FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok(fd.into())
}

/// Sends `text` through a connection to [`Echo`]; whether the same came back within `wait`.
///
/// # Errors
///
/// The connection is dead, or nothing came in time.
pub fn talk(stream: &mut TcpStream, text: &[u8], wait: Duration) -> io::Result<bool> {
    stream.set_read_timeout(Some(wait))?;
    stream.set_write_timeout(Some(wait))?;
    stream.write_all(text)?;
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back)?;
    Ok(back == text)
}
