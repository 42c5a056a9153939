//! The lists of the match `recent`: one file each in `/proc/net/xt_recent`
//! (`net/netfilter/xt_recent.c`).
//!
//! A file holds a line for each address with the time when it was last put in. Nothing is ever taken out
//! because its time is over: the rules decide that (`--seconds`), and so must every reader of the file.
//!
//! That time is a value of the kernel's counter of ticks, which no file tells everybody. But it is known
//! how long a tick is, since that is the resolution of the coarse clocks, and that the counter begins at
//! "5 minutes before 0" (`INITIAL_JIFFIES`) when the monotonic clock begins at 0. The ticks of the first
//! moments of a boot are not all counted, so that a source seems to have been put in some tenths of a
//! second earlier than it was (0.2 s where this was measured), always by the same time and never later.
//!
//! The file of a list is root's alone to change, unless `xt_recent` was loaded with other parameters.
//! Addresses are written as they are: our rules have the whole address as their mask, in IPv6 too.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use nix::time::{ClockId, clock_getres, clock_gettime};

use crate::Error;

/// Of this thread's network namespace.
const FOLDER: &str = "/proc/thread-self/net/xt_recent";

/// An address in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Who.
    pub address: IpAddr,
    /// The kernel's count of ticks when it was last put in.
    last_seen: u64,
}

/// The kernel's ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticks {
    now: u64,
    /// Nanoseconds of one.
    length: u64,
}

impl Ticks {
    /// As they are now.
    ///
    /// # Errors
    ///
    /// The system has no coarse clock.
    pub fn now() -> Result<Self, Error> {
        let failed = |errno: nix::errno::Errno| Error::List {
            list: "xt_recent".to_owned(),
            doing: "read the clock for",
            error: errno.desc().to_owned(),
            kind: io::ErrorKind::Other,
        };
        let length = clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).map_err(failed)?;
        let since_boot = clock_gettime(ClockId::CLOCK_MONOTONIC).map_err(failed)?;
        Ok(Self::of(Duration::from(since_boot), Duration::from(length)))
    }

    fn of(since_boot: Duration, length: Duration) -> Self {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let length = nanos(length).max(1);
        let per_second = nanos(Duration::from_secs(1)).saturating_add(length / 2) / length;
        // `((unsigned long)(unsigned int) (-300*HZ))`
        let first = (1_u64 << 32).saturating_sub(per_second.saturating_mul(300));
        Self { now: first.wrapping_add(nanos(since_boot) / length), length }
    }

    /// How long ago something was.
    fn since(self, then: u64) -> Duration {
        // The counter is as wide as a word of the machine.
        let word = |ticks: u64| ticks & (usize::MAX as u64);
        let ticks = word(self.now.wrapping_sub(then));
        // What would be later than now is of this very moment.
        let past = if ticks > (usize::MAX as u64) / 2 { 0 } else { ticks };
        Duration::from_nanos(past.saturating_mul(self.length))
    }
}

impl Entry {
    /// For how long a rule that asks for `length` (`--seconds`) still finds it; `None` if it does not.
    pub fn left(&self, ticks: Ticks, length: Duration) -> Option<Duration> {
        length.checked_sub(ticks.since(self.last_seen)).filter(|left| !left.is_zero())
    }
}

/// The addresses of a list. `None` if there is no such list.
///
/// # Errors
///
/// The file cannot be read, or a line of it is none.
pub fn entries(list: &str) -> Result<Option<Vec<Entry>>, Error> {
    match fs::read_to_string(path(list)) {
        Ok(text) => parse(&text).map(Some).ok_or_else(|| Error::ListFormat(list.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(list, "read", &error)),
    }
}

/// How many addresses a list holds (`ip_list_tot`): what the module was loaded with if that may be read,
/// otherwise what it has by itself.
pub fn room() -> usize {
    let text = fs::read_to_string("/sys/module/xt_recent/parameters/ip_list_tot");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(100)
}

/// Puts an address into a list, or renews its time. A full list removes the address that was put in first.
///
/// # Errors
///
/// There is no such list, or it may not be written.
pub fn add(list: &str, address: IpAddr) -> Result<(), Error> {
    write(list, '+', address)
}

/// Takes an address out of a list, whether or not it is in.
///
/// # Errors
///
/// As [`add`].
pub fn remove(list: &str, address: IpAddr) -> Result<(), Error> {
    write(list, '-', address)
}

fn write(list: &str, sign: char, address: IpAddr) -> Result<(), Error> {
    let file = OpenOptions::new().write(true).open(path(list));
    // One call: the kernel takes each as a whole order.
    file.and_then(|mut file| file.write_all(format!("{sign}{address}\n").as_bytes()))
        .map_err(|error| failed(list, "change", &error))
}

fn path(list: &str) -> PathBuf {
    PathBuf::from(FOLDER).join(list)
}

fn failed(list: &str, doing: &'static str, error: &io::Error) -> Error {
    Error::List { list: list.to_owned(), doing, error: error.to_string(), kind: error.kind() }
}

/// `None` where a line is not what the kernel writes.
fn parse(text: &str) -> Option<Vec<Entry>> {
    text.lines().map(line).collect()
}

/// "src=203.0.113.7 ttl: 64 last_seen: 4301249203 oldest_pkt: 1 4301249203, …"; the time to live is
/// missing where it is not known.
fn line(text: &str) -> Option<Entry> {
    let mut words = text.split_ascii_whitespace();
    let address = words.next()?.strip_prefix("src=")?.parse().ok()?;
    let mut rest = words.skip_while(|word| *word != "last_seen:");
    let last_seen = rest.nth(1)?.parse().ok()?;
    Some(Entry { address, last_seen })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 250 ticks a second, 100 s after the boot.
    fn ticks() -> Ticks {
        Ticks::of(Duration::from_secs(100), Duration::from_millis(4))
    }

    #[test]
    fn the_counter_begins_five_minutes_before_it_overflows() {
        let hz_250 = ticks();
        assert_eq!(hz_250.now, (1 << 32) - 300 * 250 + 100 * 250);
        // A third of a hundredth of a second is rounded by the kernel.
        let hz_300 = Ticks::of(Duration::from_secs(300), Duration::from_nanos(3_333_333));
        assert_eq!(hz_300.now, 1 << 32);
    }

    #[test]
    fn a_line_is_understood_with_and_without_its_time_to_live() {
        let text = "src=203.0.113.7 ttl: 64 last_seen: 4294917000 oldest_pkt: 2 4294910000, 4294917000\n\
                    src=2001:0db8:0000:0000:0000:0000:0000:0007 last_seen: 5 oldest_pkt: 1 5\n";
        let found = parse(text).unwrap();
        assert_eq!(found[0].address, "203.0.113.7".parse::<IpAddr>().unwrap());
        assert_eq!(found[1].address, "2001:db8::7".parse::<IpAddr>().unwrap());
        assert_eq!([found[0].last_seen, found[1].last_seen], [4_294_917_000, 5]);
        assert_eq!(parse(""), Some(Vec::new()));
        for bad in
            ["x", "src= ttl: 0 last_seen: 1", "src=1.2.3.4 last_seen:", "src=1.2.3.4 last_seen: -1"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_entry_ends_when_the_rule_no_longer_finds_it() {
        let ticks = ticks();
        let at = |last_seen| Entry { address: IpAddr::from([203, 0, 113, 7]), last_seen };
        let left = |ago: u64| {
            at(ticks.now - ago).left(ticks, Duration::from_secs(20)).map(|it| it.as_millis())
        };
        assert_eq!(left(0), Some(20_000));
        assert_eq!(left(250), Some(19_000));
        assert_eq!(left(4_999), Some(4));
        assert_eq!(left(5_000), None);
        assert_eq!(left(4_000_000_000), None);
        // Written after the clock was read.
        assert_eq!(at(ticks.now + 1).left(ticks, Duration::from_secs(20)).unwrap().as_secs(), 20);
    }

    proptest! {
        #[test]
        fn what_the_kernel_writes_is_read(
            all in proptest::collection::vec((any::<IpAddr>(), any::<u64>(), any::<u8>()), 0..30)
        ) {
            let text: String = all.iter().map(|(address, seen, ttl)| {
                // `%pI6` writes all groups.
                let address = match address {
                    IpAddr::V4(four) => four.to_string(),
                    IpAddr::V6(six) => six.segments().map(|part| format!("{part:04x}")).join(":"),
                };
                format!("src={address} ttl: {ttl} last_seen: {seen} oldest_pkt: 1 {seen}\n")
            }).collect();
            let found = parse(&text).unwrap();
            let expected: Vec<_> =
                all.iter().map(|&(address, last_seen, _)| Entry { address, last_seen }).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn any_text_can_be_read(text in "(src=|last_seen:|ttl:|[0-9.: \n]|\\PC){0,60}", now in any::<u64>()) {
            let ticks = Ticks { now, length: 4_000_000 };
            for entry in parse(&text).unwrap_or_default() {
                let _ = entry.left(ticks, Duration::MAX);
            }
        }
    }
}
