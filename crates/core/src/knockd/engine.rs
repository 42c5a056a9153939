//! A packet and the time in, events out.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::net::IpAddr;

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;

use super::Door;
use super::book::{self, Book, Groups, Standing};
use super::carry;
use super::knockers::{Key, Knocker, Knockers, Stray};
use crate::attempts::table::{address, octets};
use crate::limits;
use crate::policy::{Port, Protocol};
use crate::time::Instant;
use crate::wire::{Packet, Segment, TcpFlags, can_be_a_source};

#[cfg(test)]
mod tests;

/// What may be chosen about an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Knockers that are remembered, from 1. A source is one knocker for the addresses of this host
    /// and one for each target that it knocks at. There are fewer if their stages would exceed
    /// [`limits::MAX_STAGE_BYTES`].
    pub max_knockers: usize,
    /// Secret that makes the order of the tables unpredictable to strangers.
    pub seed: u64,
    /// Whether this host may knock at itself by its loopback addresses.
    pub allow_loopback: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_knockers: limits::MAX_KNOCKERS, seed: 0, allow_loopback: false }
    }
}

/// Something to tell: knockd has a line for each in its log. Doors are numbered from 0, in the order
/// of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// A knock was made. The last one too has this event, and then [`Opened`](Self::Opened).
    Stage {
        /// At this door.
        door: usize,
        /// From there.
        source: IpAddr,
        /// How many have been made now.
        stage: u8,
    },
    /// The sequence is complete.
    Opened {
        /// Of this door.
        door: usize,
        /// From there.
        source: IpAddr,
    },
    /// The time of an attempt is up.
    TimedOut {
        /// At this door.
        door: usize,
        /// From there.
        source: IpAddr,
        /// How many knocks had been made.
        stage: u8,
    },
}

impl Event {
    /// The door that it is about.
    pub const fn door(&self) -> usize {
        match *self {
            Self::Stage { door, .. } | Self::Opened { door, .. } | Self::TimedOut { door, .. } => {
                door
            }
        }
    }
}

/// What a packet was taken for. Of those that apply, the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seen {
    /// It started an attempt or took one further, at some door; it may have lost others.
    Knock,
    /// It lost an attempt: by knocking at a wrong port of some door, or at one port of no door more
    /// than an attempt bears ([`limits::MAX_STRAYS`]).
    Wrong,
    /// It went to a port of no door, and its source has an attempt, which bears it.
    Stray,
    /// It is a segment that counted already, sent again.
    Repeated,
    /// Everything else: it is no TCP or UDP or a fragment; not for an address of this host or of a
    /// door; from a source that can be nobody's; seen by no door at its port; or seen by doors, but
    /// neither the beginning of anything nor of interest to the attempts of its source.
    Ignored,
}

/// The recogniser of the drop-in for knockd.
///
/// `handle_*` methods take what happened, [`next_event`](Self::next_event) gives what is to be told;
/// all of it must be fetched after each call. Every input has an answer. All memory is taken at the
/// start and when the doors change, but for events that have not been fetched.
#[derive(Debug)]
pub struct KnockdEngine {
    options: Options,
    hasher: SeedableRandomState,
    doors: Vec<Door>,
    /// The doors whose sequence opens only once, and has.
    shut: Vec<bool>,
    book: Book,
    /// The addresses of this host, sorted; `None` if every address is taken for one.
    local: Option<Vec<IpAddr>>,
    knockers: Knockers,
    /// Whoever is late by then has not been told of yet.
    late_until: Option<Instant>,
    events: VecDeque<Event>,
}

impl KnockdEngine {
    /// An engine for these doors. A door whose sequence is empty or longer than
    /// [`limits::MAX_KNOCKS`] is as if it were not there.
    pub fn new(doors: Vec<Door>, options: Options) -> Self {
        let shut = alloc::vec![false; doors.len()];
        let book = Book::new(doors.iter().zip(shut.iter().copied()));
        Self {
            options,
            hasher: SeedableRandomState::with_seed(options.seed, SharedSeed::global_fixed()),
            knockers: Knockers::new(options.max_knockers, book.widest(), options.seed),
            doors,
            shut,
            book,
            local: None,
            late_until: None,
            events: VecDeque::new(),
        }
    }

    /// Says which addresses are this host's; packets to others count only for doors with that
    /// target. Until this has been called, every address is one of this host.
    pub fn set_local_addresses(&mut self, addresses: &[IpAddr]) {
        let mut addresses = addresses.to_vec();
        addresses.sort_unstable();
        self.local = Some(addresses);
    }

    /// Puts these doors in the place of those before. Attempts at doors that are still there, equal
    /// in everything, go on: of several equal ones the first stays the first. A door that opens
    /// [once](Door::once) and has opened stays shut while its sequence and target are the same.
    ///
    /// The other attempts end without an event. Nothing happens if all doors are equal to those
    /// before; otherwise it takes time in proportion to the doors and knockers.
    pub fn replace_doors(&mut self, doors: Vec<Door>) {
        if doors == self.doors {
            return;
        }
        let was = carry::same(&self.doors, &doors);
        self.shut = carry::shut(&self.doors, &self.shut, &doors, &was);
        self.doors = doors;
        self.read_doors(&was);
    }

    /// Takes a packet that was captured at `now`, after [`handle_timeout`](Self::handle_timeout).
    ///
    /// After a long pause that should be called first, and its events be fetched: here they are
    /// queued, one for each attempt that is late.
    pub fn handle_packet(&mut self, packet: &Packet, now: Instant) -> Seen {
        self.handle_timeout(now);
        while self.queue_late() {}
        let Some(knock) = self.read(packet) else { return Seen::Ignored };
        match self.book.standing(knock.groups, knock.port, knock.flags) {
            Standing::Hidden => Seen::Ignored,
            Standing::Stray => self.stray(&knock),
            Standing::Visible => self.knock(&knock, now),
        }
    }

    /// Takes note of the time. An attempt is late when its door's timeout has passed since its first
    /// knock; one with a timeout of zero at the next call, even at the same moment.
    ///
    /// The events come in the order of those moments, and at the same moment in the order in which
    /// the attempts began, and then of the doors.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.late_until = Some(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) should be called, if no packet comes before:
    /// not later than the earliest moment at which an attempt becomes late. `None` if there is none.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.knockers.next_due().map(|due| due.at)
    }

    /// The next thing to tell.
    pub fn next_event(&mut self) -> Option<Event> {
        while self.events.is_empty() && self.queue_late() {}
        self.events.pop_front()
    }

    /// How many knockers have attempts in progress. Those that are late count until the event has
    /// been fetched.
    pub fn knockers(&self) -> usize {
        self.knockers.len()
    }

    /// Arranges the doors, and keeps the attempts at those that `was` has.
    fn read_doors(&mut self, was: &[Option<usize>]) {
        let new = Book::new(self.doors.iter().zip(self.shut.iter().copied()));
        let old = core::mem::replace(&mut self.book, new);
        let room = (self.options.max_knockers, self.options.seed);
        carry::carry(&mut self.knockers, &old, &self.book, was, room);
    }

    /// The packet as a knock, if it can be one.
    fn read(&self, packet: &Packet) -> Option<Knock> {
        let Packet { source, destination, segment } = *packet;
        let (protocol, number, flags) = match segment {
            Segment::Tcp { destination_port, flags, .. } => {
                (Protocol::Tcp, destination_port, Some(flags))
            }
            Segment::Udp { destination_port, .. } => (Protocol::Udp, destination_port, None),
            Segment::Fragment | Segment::Other(_) => return None,
        };
        let loopback = self.options.allow_loopback && source.is_loopback();
        let mapped = matches!(source, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
        if mapped || !(loopback || can_be_a_source(source)) {
            return None;
        }
        let local = self.local.as_ref();
        let groups = Groups {
            own: local.is_none_or(|local| local.binary_search(&destination).is_ok()),
            target: self.book.target(destination),
        };
        if groups == (Groups { own: false, target: None }) {
            return None;
        }
        let port = Port::new(protocol, number);
        let fingerprint = self.fingerprint(segment);
        let octets = octets(source);
        Some(Knock { source, octets, groups, protocol, number, port, flags, fingerprint })
    }

    /// What tells a SYN from others, but not from itself sent again. Not 0.
    fn fingerprint(&self, segment: Segment) -> Option<u32> {
        match segment {
            Segment::Tcp { source_port, destination_port, sequence, flags }
                if flags.contains(TcpFlags::SYN) =>
            {
                let own = (source_port, destination_port, sequence, flags);
                Some((self.hasher.hash_one(own) as u32).max(1))
            }
            _ => None,
        }
    }

    /// A packet to a port of no door.
    fn stray(&mut self, knock: &Knock) -> Seen {
        let mut seen = Seen::Ignored;
        for group in knock.groups.iter() {
            let Some(number) = self.knockers.find(&knock.key(group)) else { continue };
            let Some(knocker) = self.knockers.get_mut(number) else { continue };
            let this = match knocker.stray(knock.protocol, knock.number) {
                Stray::Borne => Seen::Stray,
                Stray::TooMany => {
                    self.knockers.remove(number);
                    Seen::Wrong
                }
            };
            seen = first_of(seen, this);
        }
        seen
    }

    /// A packet that some door sees.
    fn knock(&mut self, knock: &Knock, now: Instant) -> Seen {
        let before = self.events.len();
        let mut used = Vec::new();
        let mut known = false;
        let mut seen = Seen::Ignored;
        for group in knock.groups.iter() {
            if let Some(number) = self.knockers.find(&knock.key(group)) {
                known = true;
                seen = first_of(seen, self.step(number, knock, &mut used));
            }
        }
        if !known {
            let birth = self.knockers.next_birth();
            for group in knock.groups.iter() {
                seen = first_of(seen, self.start(group, birth, knock, now, &mut used));
            }
        }
        if knock.groups.iter().count() > 1 {
            self.sort_events(before);
        }
        if !used.is_empty() {
            for door in used {
                if let Some(shut) = self.shut.get_mut(door) {
                    *shut = true;
                }
            }
            let same: Vec<_> = (0..self.doors.len()).map(Some).collect();
            self.read_doors(&same);
        }
        seen
    }

    /// Looks at the attempts of a knocker. The doors that open once and do so are added to `used`.
    fn step(&mut self, number: u32, knock: &Knock, used: &mut Vec<usize>) -> Seen {
        let Some(knocker) = self.knockers.get(number) else { return Seen::Ignored };
        if knocker.remembers(knock.fingerprint) {
            return Seen::Repeated;
        }
        let Some(class) = self.book.class(knocker.class) else { return Seen::Ignored };
        let source = knock.source;
        let mut seen = Seen::Ignored;
        let mut alive = false;
        for (line, stage) in class.doors.iter().zip(self.knockers.stages_mut(number)) {
            if *stage == 0 {
                continue;
            }
            let (index, door) = (line.index, &line.door);
            if !book::sees(door.flags, knock.flags) {
                alive = true;
                continue;
            }
            if door.sequence.get(usize::from(*stage)).copied() != knock.port {
                *stage = 0;
                seen = first_of(seen, Seen::Wrong);
                continue;
            }
            *stage = stage.saturating_add(1);
            seen = Seen::Knock;
            self.events.push_back(Event::Stage { door: index, source, stage: *stage });
            if usize::from(*stage) < door.sequence.len() {
                alive = true;
                continue;
            }
            *stage = 0;
            self.events.push_back(Event::Opened { door: index, source });
            if door.once {
                used.push(index);
            }
        }
        if !alive {
            self.knockers.remove(number);
        } else if seen == Seen::Knock {
            self.knockers.renew(number);
            if let Some(knocker) = self.knockers.get_mut(number) {
                knocker.remember(knock.fingerprint);
            }
        }
        seen
    }

    /// Starts an attempt at each door of a group that begins with this knock.
    fn start(
        &mut self,
        group: u32,
        birth: u32,
        knock: &Knock,
        now: Instant,
        used: &mut Vec<usize>,
    ) -> Seen {
        let class = knock.port.and_then(|port| self.book.class_of(group, port));
        let Some((class_number, class)) = class else { return Seen::Ignored };
        let source = knock.source;
        let mut seen = Seen::Ignored;
        let mut alive = false;
        let admitted = |line: &&book::Line| book::sees(line.door.flags, knock.flags);
        for line in class.doors.iter().filter(admitted) {
            let door = line.index;
            seen = Seen::Knock;
            self.events.push_back(Event::Stage { door, source, stage: 1 });
            if line.door.sequence.len() > 1 {
                alive = true;
                continue;
            }
            self.events.push_back(Event::Opened { door, source });
            if line.door.once {
                used.push(door);
            }
        }
        if !alive {
            return seen;
        }
        let mut knocker = Knocker::new(now, class_number);
        knocker.remember(knock.fingerprint);
        let Some(number) = self.knockers.insert(knock.key(group), knocker, birth) else {
            return seen;
        };
        let stages = self.knockers.stages_mut(number);
        for (line, stage) in class.doors.iter().zip(stages.iter_mut()) {
            *stage = u8::from(line.door.sequence.len() > 1 && admitted(&line));
        }
        if let Some(at) = class.next_deadline(now, stages) {
            self.knockers.schedule(number, at);
        }
        seen
    }

    /// Queues the events of what is late next and has not been told of, if anything is: all that one
    /// packet began and that is late at the same moment. Says whether there was something to look at.
    fn queue_late(&mut self) -> bool {
        let Some(until) = self.late_until else { return false };
        let before = self.events.len();
        let Some(first) = self.knockers.take_due(until) else {
            self.late_until = None;
            return false;
        };
        let mut due = first;
        loop {
            self.expire(due.number, due.at);
            // A packet to an address of this host that is also a target began two.
            self.knockers.tidy();
            let with = self.knockers.next_due().filter(|next| next.is_with(&first));
            let Some(next) = with.and_then(|next| self.knockers.take_due(next.at)) else { break };
            due = next;
        }
        self.sort_events(before);
        true
    }

    /// Ends the attempts of a knocker that are late at this moment.
    fn expire(&mut self, number: u32, at: Instant) {
        let Some(key) = self.knockers.key(number) else { return };
        let Some(&Knocker { since, class, .. }) = self.knockers.get(number) else { return };
        let Some(class) = self.book.class(class) else { return };
        let source = address(key.source);
        let stages = self.knockers.stages_mut(number);
        for (line, stage) in class.doors.iter().zip(stages.iter_mut()) {
            if *stage > 0 && since.after(line.door.timeout) <= at {
                let event = Event::TimedOut { door: line.index, source, stage: *stage };
                self.events.push_back(event);
                *stage = 0;
            }
        }
        match class.next_deadline(since, stages) {
            Some(next) => self.knockers.schedule(number, next),
            None => self.knockers.remove(number),
        }
    }

    /// Puts the events from this one on into the order of the doors.
    fn sort_events(&mut self, from: usize) {
        if let Some(events) = self.events.make_contiguous().get_mut(from..) {
            events.sort_by_key(Event::door);
        }
    }
}

/// What there is to know of a packet that may be a knock.
struct Knock {
    source: IpAddr,
    octets: [u8; 16],
    groups: Groups,
    protocol: Protocol,
    number: u16,
    port: Option<Port>,
    flags: Option<TcpFlags>,
    fingerprint: Option<u32>,
}

impl Knock {
    fn key(&self, group: u32) -> Key {
        Key { source: self.octets, group }
    }
}

/// Of two that apply, the one that [`Seen`] names first.
fn first_of(one: Seen, other: Seen) -> Seen {
    let rank = |seen: Seen| match seen {
        Seen::Knock => 0,
        Seen::Wrong => 1,
        Seen::Stray => 2,
        Seen::Repeated => 3,
        Seen::Ignored => 4,
    };
    if rank(other) < rank(one) { other } else { one }
}
