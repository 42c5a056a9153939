//! Reverse DNS for the log (`knockd -l`), which nothing waits for.
//!
//! A client that knocks chooses the DNS server that is asked, and the server may stay silent until the
//! resolver gives up. So separate threads ask, the queue of waiting addresses is bounded, and an address
//! that finds the queue full gets no name.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};
use portcullis_core::time::Instant;

/// Questions asked at once: one server that is silent does not keep the others waiting.
const WORKERS: usize = 2;

/// Questions that wait to be asked; a further one gets no answer.
const QUEUE: usize = 64;

/// Addresses whose names are remembered; the oldest are forgotten first.
const REMEMBERED: usize = 1024;

/// How long a name is remembered, and that there is none.
const LIFETIME: Duration = Duration::from_secs(300);

/// Longest name (RFC 1035, section 2.3.4).
const LONGEST: usize = 255;

/// A host name that can be written into a log: letters, digits, `-`, `.` and `_`, at least one of
/// them a letter, so that it can be taken for neither an address nor a part of the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName(String);

impl HostName {
    /// The name, if it is one.
    pub fn new(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let is_name = text.len() <= LONGEST
            && text.bytes().all(allowed)
            && text.bytes().any(|byte| byte.is_ascii_alphabetic());
        is_name.then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What is known about the name of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Its name, or that it has none, or that there is no room to ask.
    Known(Option<HostName>),
    /// It is being looked up; [`Lookup::take_answers`] will tell.
    Pending,
}

/// Looks names of addresses up.
#[derive(Debug)]
pub struct Lookup {
    questions: SyncSender<IpAddr>,
    answers: Receiver<(IpAddr, Option<HostName>)>,
    /// Readable while there are answers.
    ready: Arc<EventFd>,
    asked: HashSet<IpAddr>,
    cache: Cache,
}

impl Lookup {
    /// Starts the threads. They inherit the signal mask, the user and the capabilities of the calling
    /// thread, for good: call it when all of these are as they shall be.
    ///
    /// # Errors
    ///
    /// There can be no thread or no descriptor.
    pub fn new() -> io::Result<Self> {
        Self::with_resolver(|address| {
            dns_lookup::lookup_addr(&address).ok().as_deref().and_then(HostName::new)
        })
    }

    // What the system's resolver says is seen in `tests/knockd_log.rs`.
    fn with_resolver<R>(resolve: R) -> io::Result<Self>
    where
        R: Fn(IpAddr) -> Option<HostName> + Clone + Send + 'static,
    {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let ready = Arc::new(EventFd::from_flags(flags)?);
        let (questions, waiting) = mpsc::sync_channel(QUEUE);
        let (sender, answers) = mpsc::channel();
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..WORKERS {
            let (waiting, sender, ready) = (waiting.clone(), sender.clone(), ready.clone());
            let resolve = resolve.clone();
            let work = move || work(&waiting, &sender, &ready, resolve);
            thread::Builder::new().name(String::from("lookup")).spawn(work)?;
        }
        Ok(Self { questions, answers, ready, asked: HashSet::new(), cache: Cache::default() })
    }

    /// The name of this address, if it is known; otherwise it is looked up.
    pub fn ask(&mut self, address: IpAddr, now: Instant) -> Answer {
        if let Some(name) = self.cache.get(address, now) {
            return Answer::Known(name.cloned());
        }
        if self.asked.contains(&address) {
            return Answer::Pending;
        }
        // The only errors: there is no room, or nobody there to ask.
        if self.questions.try_send(address).is_err() {
            return Answer::Known(None);
        }
        self.asked.insert(address);
        Answer::Pending
    }

    /// What has been found out since the last time.
    pub fn take_answers(&mut self, now: Instant) -> Vec<(IpAddr, Option<HostName>)> {
        // First this, so that an answer that comes between the two wakes us again. That there is
        // nothing to read is no error: the answers say so themselves.
        let _ = self.ready.read();
        let answers: Vec<_> = self.answers.try_iter().collect();
        for (address, name) in &answers {
            self.asked.remove(address);
            self.cache.insert(*address, name.clone(), now);
        }
        answers
    }
}

impl AsFd for Lookup {
    /// Readable when there are answers to take.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }
}

/// Asks, until nobody wants to know any more.
fn work(
    waiting: &Mutex<Receiver<IpAddr>>,
    answers: &Sender<(IpAddr, Option<HostName>)>,
    ready: &EventFd,
    resolve: impl Fn(IpAddr) -> Option<HostName>,
) {
    loop {
        // The other threads wait at the lock; the one that has it is free of it before it asks.
        let question = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(address) = question else { return };
        if answers.send((address, resolve(address))).is_err() {
            return;
        }
        // Cannot be full: it would take 2^64 answers that nobody takes.
        let _ = ready.write(1);
    }
}

/// Names, each for its lifetime.
#[derive(Debug, Default)]
struct Cache {
    names: HashMap<IpAddr, (Option<HostName>, Instant)>,
    /// Every key of `names` once, the oldest first.
    order: VecDeque<IpAddr>,
}

impl Cache {
    /// `None` when nothing is known, `Some(None)` when there is no name.
    fn get(&self, address: IpAddr, now: Instant) -> Option<Option<&HostName>> {
        let (name, until) = self.names.get(&address)?;
        (now < *until).then_some(name.as_ref())
    }

    fn insert(&mut self, address: IpAddr, name: Option<HostName>, now: Instant) {
        if self.names.insert(address, (name, now.after(LIFETIME))).is_none() {
            self.order.push_back(address);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.names.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    const START: Instant = Instant::from_millis(1_000);

    fn address(n: u32) -> IpAddr {
        Ipv4Addr::from_bits(n).into()
    }

    fn host(text: &str) -> Option<HostName> {
        Some(HostName::new(text).unwrap())
    }

    /// Waits for at least one.
    fn answers(lookup: &mut Lookup, now: Instant) -> Vec<(IpAddr, Option<HostName>)> {
        poll(&mut [PollFd::new(lookup.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
        lookup.take_answers(now)
    }

    /// A resolver that tells whom it is asked for, and then waits until it may answer.
    fn slow() -> (Lookup, Receiver<IpAddr>, SyncSender<()>) {
        let (asked, who) = mpsc::channel();
        let (go, may) = mpsc::sync_channel(1000);
        let may = Arc::new(Mutex::new(may));
        let lookup = Lookup::with_resolver(move |address| {
            asked.send(address).ok()?;
            may.lock().unwrap().recv().ok()?;
            host("slow.example")
        });
        (lookup.unwrap(), who, go)
    }

    #[test]
    fn a_name_is_pending_then_known_then_old() {
        let (mut lookup, who, go) = slow();
        assert_eq!(lookup.ask(address(1), START), Answer::Pending);
        assert_eq!(who.recv().unwrap(), address(1));
        // Nobody asks twice.
        assert_eq!(lookup.ask(address(1), START), Answer::Pending);
        assert_eq!(lookup.take_answers(START), []);
        go.send(()).unwrap();
        assert_eq!(answers(&mut lookup, START), [(address(1), host("slow.example"))]);
        assert_eq!(lookup.ask(address(1), START), Answer::Known(host("slow.example")));
        assert_eq!(who.try_recv().ok(), None);
        // Nothing is left to be told, and nothing wakes us for it.
        let mut fds = [PollFd::new(lookup.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, PollTimeout::ZERO).unwrap(), 0);
        assert_eq!(lookup.ask(address(1), START.after(LIFETIME)), Answer::Pending);
        assert_eq!(who.recv().unwrap(), address(1));
    }

    #[test]
    fn one_silent_server_does_not_keep_others_waiting() {
        let (stuck, never) = mpsc::channel::<()>();
        let never = Arc::new(Mutex::new(never));
        let mut lookup = Lookup::with_resolver(move |asked| {
            if asked == address(1) {
                never.lock().unwrap().recv().ok()?;
            }
            host("quick.example")
        })
        .unwrap();
        assert_eq!(lookup.ask(address(1), START), Answer::Pending);
        for n in 2..10 {
            assert_eq!(lookup.ask(address(n), START), Answer::Pending);
            assert_eq!(answers(&mut lookup, START), [(address(n), host("quick.example"))]);
        }
        drop(stuck);
        assert_eq!(answers(&mut lookup, START), [(address(1), None)]);
    }

    #[test]
    fn without_room_there_is_no_name() {
        let (mut lookup, who, go) = slow();
        let workers = u32::try_from(WORKERS).unwrap();
        for n in 0..workers {
            assert_eq!(lookup.ask(address(n), START), Answer::Pending);
            who.recv().unwrap();
        }
        // All are busy; these wait.
        let last = workers + u32::try_from(QUEUE).unwrap();
        for n in workers..last {
            assert_eq!(lookup.ask(address(n), START), Answer::Pending);
        }
        assert_eq!(lookup.ask(address(last), START), Answer::Known(None));
        (0..last).for_each(|_| go.send(()).unwrap());
        let mut count = 0;
        while count < last {
            count += u32::try_from(answers(&mut lookup, START).len()).unwrap();
        }
        // That is not remembered: there is room again.
        assert_eq!(lookup.ask(address(last), START), Answer::Pending);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut cache = Cache::default();
        for n in 0..3000 {
            cache.insert(address(n), None, START);
            cache.insert(address(n), host("twice.example"), START);
        }
        assert_eq!((cache.names.len(), cache.order.len()), (REMEMBERED, REMEMBERED));
        assert_eq!(cache.get(address(0), START), None);
        assert_eq!(cache.get(address(2999), START), Some(host("twice.example").as_ref()));
        assert_eq!(cache.get(address(2999), START.after(LIFETIME)), None);
    }

    #[test]
    fn names() {
        for name in
            ["a", "host.example", "_dmarc.example", "1-2-3-4.dyn.example", "xn--e1afmkfd.", "h1"]
        {
            assert_eq!(HostName::new(name).unwrap().to_string(), name);
        }
        let long = "x".repeat(256);
        for wrong in [
            "",
            ".",
            "10.0.0.1",
            "1234",
            "::1",
            "a b",
            "a\nb",
            "a\u{1b}[31m",
            "a)",
            "a: b",
            "höst",
            "a\u{0}",
            "a/b",
            long.as_str(),
        ] {
            assert_eq!(HostName::new(wrong), None, "{wrong:?}");
        }
    }
}
