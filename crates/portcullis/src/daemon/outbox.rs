//! What a keeper still has to say to one of its processes.
//!
//! A keeper never waits for room in a socket: a process that does not read (stopped, or taken over)
//! would keep it from its signals. What finds no room waits here, in order, until there is some.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::poll::PollFlags;
use portcullis_watcher::message;

/// Packets for which there was no room yet, oldest first. Whoever adds to it sees to its bound.
#[derive(Debug, Default)]
pub struct Outbox {
    packets: VecDeque<Vec<u8>>,
}

impl Outbox {
    /// Adds packets behind those that wait.
    pub fn extend(&mut self, packets: impl IntoIterator<Item = Vec<u8>>) {
        self.packets.extend(packets);
    }

    /// Sends what there is room for, without waiting.
    ///
    /// # Errors
    ///
    /// `EPIPE` if the other process has ended. What was not sent stays.
    pub fn flush(&mut self, to: BorrowedFd<'_>) -> Result<(), Errno> {
        while let Some(packet) = self.packets.front() {
            match message::send(to, packet, false) {
                Ok(()) => {
                    self.packets.pop_front();
                }
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// How many packets wait.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether everything has been sent.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// What to wait for: words of the other process, and room if something waits for it.
    pub fn events(&self) -> PollFlags {
        if self.is_empty() { PollFlags::POLLIN } else { PollFlags::POLLIN | PollFlags::POLLOUT }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    use portcullis_watcher::message::Order;

    use super::*;

    #[test]
    fn order_arrives_whole_and_in_order_at_a_reader_that_was_stopped() {
        let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::empty());
        let (keeper, watcher) = pair.unwrap();
        let text: String = (0..100_000).map(|line| format!("# {line}\n")).collect();
        let order = Order { epoch: 7, verbose: false, text };
        let mut outbox = Outbox::default();
        outbox.extend(order.packets().unwrap());
        assert_eq!(outbox.events(), PollFlags::POLLIN | PollFlags::POLLOUT);
        // Nobody reads: it comes back all the same, and keeps what found no room.
        outbox.flush(keeper.as_fd()).unwrap();
        let waiting = outbox.len();
        outbox.flush(keeper.as_fd()).unwrap();
        assert!(waiting > 0 && outbox.len() == waiting, "{waiting}");
        // Then somebody does.
        let reader = std::thread::spawn(move || Order::receive(watcher.as_fd()).unwrap());
        while !outbox.is_empty() {
            let mut fds = [nix::poll::PollFd::new(keeper.as_fd(), PollFlags::POLLOUT)];
            nix::poll::poll(&mut fds, nix::poll::PollTimeout::NONE).unwrap();
            outbox.flush(keeper.as_fd()).unwrap();
        }
        assert_eq!(outbox.events(), PollFlags::POLLIN);
        assert_eq!(reader.join().unwrap(), Some(order));
    }

    #[test]
    fn end_of_the_reader_is_an_error_and_loses_nothing_that_waits() {
        let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::empty());
        let (keeper, watcher) = pair.unwrap();
        drop(watcher);
        let mut outbox = Outbox::default();
        outbox.extend([vec![1], vec![2]]);
        assert_eq!(outbox.flush(keeper.as_fd()), Err(Errno::EPIPE));
        assert_eq!(outbox.len(), 2);
    }
}
