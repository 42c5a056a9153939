//! The watcher as the keeper sees it: its process, and what is still to be sent to it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Child;

use nix::errno::Errno;
use nix::poll::PollFlags;
use portcullis_watcher::message::{Message, Order};

use crate::daemon::outbox::Outbox;
use crate::daemon::parts::{self, system};
use crate::exit::Failure;
use crate::knockd::WATCHER;

/// A watcher that runs. Dropped, it is killed.
#[derive(Debug)]
pub struct Link {
    process: Child,
    socket: OwnedFd,
    unsent: Outbox,
}

/// What the watcher has said.
pub enum Word {
    /// This.
    Said(Message),
    /// Nothing more for now.
    Nothing,
    /// It has ended, or has said what it never should.
    Ended(String),
}

impl Link {
    /// Starts one.
    ///
    /// # Errors
    ///
    /// As [`parts::watcher`].
    pub fn start(silent: bool) -> Result<Self, Failure> {
        let (process, socket) = parts::watcher(&[WATCHER], silent)?;
        Ok(Self { process, socket, unsent: Outbox::default() })
    }

    /// Gives it an order, of which it need not take anything at once.
    ///
    /// # Errors
    ///
    /// The order is too long.
    pub fn send(&mut self, order: &Order) -> Result<(), Failure> {
        let packets = order
            .packets()
            .map_err(|errno| system("send the doors to the process that reads packets", errno))?;
        self.unsent.extend(packets);
        self.flush();
        Ok(())
    }

    /// Sends what there is room for. That it has ended is heard, not sent.
    pub fn flush(&mut self) {
        let _ = self.unsent.flush(self.socket.as_fd());
    }

    /// Its next word.
    pub fn hear(&mut self) -> Word {
        match Message::receive(self.socket.as_fd(), false) {
            // Nobody can answer an order of which he has not heard the end; orders would pile up.
            Ok(Some(message)) if message.is_answer() && !self.unsent.is_empty() => {
                Word::Ended("sent an invalid message".to_owned())
            }
            Ok(Some(message)) => Word::Said(message),
            Err(Errno::EAGAIN) => Word::Nothing,
            Ok(None) => Word::Ended(self.how_it_ended()),
            Err(Errno::EBADMSG) => Word::Ended("sent an invalid message".to_owned()),
            Err(errno) => Word::Ended(format!("cannot be reached: {}", errno.desc())),
        }
    }

    /// What to wait for.
    pub fn events(&self) -> PollFlags {
        self.unsent.events()
    }

    /// It has closed its socket, which it does only by ending.
    fn how_it_ended(&mut self) -> String {
        // Should it go on without its socket, this makes an end of it.
        let _ = self.process.kill();
        match self.process.wait() {
            Ok(status) => format!("exited ({status})"),
            Err(error) => format!("exited ({error})"),
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill, and nothing to wait for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
