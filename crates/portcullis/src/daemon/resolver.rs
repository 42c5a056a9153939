//! The process that looks up the names in the allow-list. A resolver reads what strangers send. So this is a
//! separate process that can do nothing else, and the keeper does not have to wait for it.
//!
//! The keeper sends the names in one packet. The process looks up each name at once, and again when its
//! `lifetime` is over, one after the other. It sends one packet for each name that it has found. It sends no
//! packet for other names, so the keeper keeps their old addresses.
//!
//! ```text
//!  names:   0 version  1..4 zero  4..8 epoch  8.. names, each with a newline behind it
//!  answer:  0 version  1 count    2..4 which name, from 0   4..8 epoch
//!           8.. count times: family (4, 6), 16 bytes of address
//! ```

mod lifetime;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv6Addr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use portcullis_core::limits;
use portcullis_core::policy::{HostName, may_have_grants};
use portcullis_linux::privileges::{self, RESOLVER};
use portcullis_watcher::message::{self, Epoch};

use self::lifetime::lifetime;
use super::parts;
use crate::exit::{Exit, Failure, Outcome};

const VERSION: u8 = 1;
const HEADER: usize = 8;
const ADDRESS: usize = 17;
const LONGEST_ANSWER: usize = HEADER + limits::MAX_ADDRESSES_PER_HOST * ADDRESS;
const LONGEST_NAMES: usize = HEADER + limits::MAX_ALLOWED_HOSTS * (HostName::LONGEST + 1);

/// Looks a name up, for as long as the C library does. The answer has no address that nobody can be
/// reached from, each once, and at most [`limits::MAX_ADDRESSES_PER_HOST`] of them.
///
/// # Errors
///
/// The name has no address, or nobody knows.
pub fn look_up(name: &HostName) -> io::Result<Vec<IpAddr>> {
    let found = (name.as_str(), 0).to_socket_addrs()?;
    let mut seen = BTreeSet::new();
    let addresses: Vec<IpAddr> = found
        .map(|address| address.ip().to_canonical())
        .filter(|&address| may_have_grants(address) && seen.insert(address))
        .take(limits::MAX_ADDRESSES_PER_HOST)
        .collect();
    if addresses.is_empty() {
        Err(io::Error::other("the name has no address"))
    } else {
        Ok(addresses)
    }
}

/// What the keeper asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The number that answers have.
    pub epoch: Epoch,
    /// At most [`limits::MAX_ALLOWED_HOSTS`].
    pub names: Vec<HostName>,
}

impl Question {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, 0, 0, 0];
        bytes.extend(self.epoch.to_ne_bytes());
        for name in &self.names {
            bytes.extend(name.as_str().as_bytes());
            bytes.push(b'\n');
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (header, names) = bytes.split_first_chunk::<HEADER>()?;
        let [VERSION, 0, 0, 0, epoch @ ..] = *header else { return None };
        let names = str::from_utf8(names).ok()?.split_terminator('\n');
        let names = names.map(|name| HostName::new(name).ok()).collect::<Option<Vec<_>>>()?;
        (names.len() <= limits::MAX_ALLOWED_HOSTS)
            .then_some(Self { epoch: Epoch::from_ne_bytes(epoch), names })
    }

    /// Sends it to the resolver, without waiting.
    ///
    /// # Errors
    ///
    /// `EPIPE` if the resolver has ended, `EAGAIN` if it has not heard the last ones yet.
    pub fn send(&self, to: BorrowedFd<'_>) -> Result<(), Errno> {
        message::send(to, &self.encode(), false)
    }
}

/// What has been found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The question's number.
    pub epoch: Epoch,
    /// Which of its names, from 0.
    pub index: usize,
    /// At least one, and at most [`limits::MAX_ADDRESSES_PER_HOST`].
    pub addresses: Vec<IpAddr>,
}

impl Answer {
    fn encode(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![VERSION, u8::try_from(self.addresses.len()).ok()?];
        bytes.extend(u16::try_from(self.index).ok()?.to_ne_bytes());
        bytes.extend(self.epoch.to_ne_bytes());
        for address in &self.addresses {
            let (family, octets) = match address {
                IpAddr::V4(four) => (4, four.to_ipv6_mapped().octets()),
                IpAddr::V6(six) => (6, six.octets()),
            };
            bytes.push(family);
            bytes.extend(octets);
        }
        Some(bytes)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (header, places) = bytes.split_first_chunk::<HEADER>()?;
        let [VERSION, count, low, high, epoch @ ..] = *header else { return None };
        let (places, []) = places.as_chunks::<ADDRESS>() else { return None };
        let address = |[family, octets @ ..]: &[u8; ADDRESS]| {
            let address = Ipv6Addr::from(*octets);
            let address = match (family, address.to_ipv4_mapped()) {
                (4, Some(four)) => IpAddr::V4(four),
                (6, None) => IpAddr::V6(address),
                _ => return None,
            };
            may_have_grants(address).then_some(address)
        };
        let addresses = places.iter().map(address).collect::<Option<Vec<_>>>()?;
        let possible = (1..=limits::MAX_ADDRESSES_PER_HOST).contains(&addresses.len());
        (possible && addresses.len() == usize::from(count)).then_some(Self {
            epoch: Epoch::from_ne_bytes(epoch),
            index: u16::from_ne_bytes([low, high]).into(),
            addresses,
        })
    }

    /// The next one, if there is one: `Ok(None)` if the resolver has ended.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if there is none, `EBADMSG` if what came is none.
    pub fn receive(from: BorrowedFd<'_>) -> Result<Option<Self>, Errno> {
        let mut buffer = [0; LONGEST_ANSWER + 1];
        let length = message::receive(from, &mut buffer, false)?;
        match buffer.get(..length).unwrap_or_default() {
            [] => Ok(None),
            bytes => Self::decode(bytes).map(Some).ok_or(Errno::EBADMSG),
        }
    }
}

/// Runs the process. Its standard input is the socket to its keeper.
///
/// # Errors
///
/// When it is not started by its keeper, or cannot give up what it must not have.
pub fn run() -> Outcome {
    privileges::give_up_all_but(&RESOLVER).map_err(|error| {
        Failure::could_not(format!(
            "the process that resolves names cannot drop its privileges: {error}"
        ))
    })?;
    let keeper = parts::keeper()?;
    match serve(&keeper) {
        // The keeper has ended.
        Ok(()) | Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(Exit::Done),
        Err(errno) => Err(Failure::could_not(format!(
            "the process that resolves names failed: {}",
            errno.desc()
        ))),
    }
}

fn serve(keeper: &OwnedFd) -> Result<(), Errno> {
    let mut epoch = 0;
    // Each with when it is due.
    let mut names: Vec<(HostName, Instant)> = Vec::new();
    loop {
        let first = names.iter().map(|(_, due)| *due).min();
        let wait = first.map(|due| due.saturating_duration_since(Instant::now()));
        if heard(keeper, wait)? {
            let Some(question) = hear(keeper)? else { return Ok(()) };
            let now = Instant::now();
            epoch = question.epoch;
            names = question.names.into_iter().map(|name| (name, now)).collect();
        }
        for (index, (name, due)) in names.iter_mut().enumerate() {
            if *due > Instant::now() {
                continue;
            }
            *due = Instant::now() + limits::HOST_REFRESH;
            if let Ok(addresses) = look_up(name) {
                let lives = Instant::now();
                let answer = Answer { epoch, index, addresses: addresses.clone() };
                message::send(keeper.as_fd(), &answer.encode().ok_or(Errno::EPROTO)?, true)?;
                *due = lives + lifetime(name, &addresses);
            }
            // A new question does not wait for the rest.
            if heard(keeper, Some(Duration::ZERO))? {
                break;
            }
        }
    }
}

/// Waits until the keeper has said something; whether it has.
fn heard(keeper: &OwnedFd, wait: Option<Duration>) -> Result<bool, Errno> {
    let timeout = wait
        .map_or(PollTimeout::NONE, |wait| PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX));
    match poll(&mut [PollFd::new(keeper.as_fd(), PollFlags::POLLIN)], timeout) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn hear(keeper: &OwnedFd) -> Result<Option<Question>, Errno> {
    let mut buffer = vec![0; LONGEST_NAMES + 1];
    let length = message::receive(keeper.as_fd(), &mut buffer, true)?;
    match buffer.get(..length).unwrap_or_default() {
        [] => Ok(None),
        bytes => Question::decode(bytes).map(Some).ok_or(Errno::EBADMSG),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HostName {
        HostName::new(text).unwrap()
    }

    #[test]
    fn questions_and_answers_arrive_as_they_were() {
        let question = Question { epoch: 7, names: vec![name("a.example"), name("b.example")] };
        assert_eq!(Question::decode(&question.encode()), Some(question));
        let addresses = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        let answer = Answer { epoch: 7, index: 31, addresses };
        assert_eq!(Answer::decode(&answer.encode().unwrap()), Some(answer));
    }

    #[test]
    fn the_keeper_believes_nothing_else() {
        let one = |address: &str| {
            let addresses = vec![address.parse().unwrap()];
            Answer { epoch: 1, index: 0, addresses }.encode().unwrap()
        };
        let good = one("192.0.2.1");
        assert!(Answer::decode(&good).is_some());
        for at in [0, 1, 8] {
            let mut bad = good.clone();
            bad[at] ^= 2;
            assert_eq!(Answer::decode(&bad), None, "byte {at}");
        }
        for length in 0..good.len() {
            assert_eq!(Answer::decode(&good[..length]), None, "{length} bytes");
        }
        for nobody in ["0.0.0.0", "224.0.0.1", "255.255.255.255", "ff02::1", "::"] {
            assert_eq!(Answer::decode(&one(nobody)), None, "{nobody}");
        }
        let many = vec!["192.0.2.1".parse().unwrap(); limits::MAX_ADDRESSES_PER_HOST + 1];
        let many = Answer { epoch: 1, index: 0, addresses: many }.encode().unwrap();
        assert_eq!(Answer::decode(&many), None);
    }
}
