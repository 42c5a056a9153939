//! A frame and the time in, a verdict and actions out.
//!
//! The engine is the daemon's recogniser. It looks at each frame as the firewall's rules look at the
//! packet, in the same order, and walks the same [automaton](crate::automaton); property tests hold
//! the two together. Nothing in it waits: a deadline is judged when the source is heard of again, and
//! a grant ends in the kernel.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use crate::attempts::Attempts;
use crate::automaton::{Automaton, Conflict, StateId, Transition};
use crate::conversations::{Conversations, Ends};
use crate::granted::Granted;
use crate::limits;
use crate::policy::{DoorId, Policy, Port, Protocol, Recogniser};
use crate::time::Instant;
use crate::wire::{Captured, Packet, Segment, Unreadable, can_be_a_source, is_of_one_link};

/// A frame as it was captured.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Where it was going.
    pub direction: Direction,
    /// What was captured of it.
    pub captured: Captured<'a>,
}

/// Where a frame was going, as the network card saw it (`sll_pkttype` of packet(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To this host alone.
    ToHost,
    /// From this host.
    FromHost,
    /// To everyone, to a group, or to another host.
    Elsewhere,
}

/// What may be chosen about an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Whose doors it opens.
    pub recogniser: Recogniser,
    /// Sources whose attempts are kept.
    pub max_attempts: usize,
    /// Secret that makes the order of the tables unpredictable to strangers.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { recogniser: Recogniser::Daemon, max_attempts: limits::MAX_ATTEMPTS, seed: 0 }
    }
}

/// What the engine wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Open a door for somebody.
    Open(Grant),
}

/// A right to start connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// To the ports behind this door.
    pub door: DoorId,
    /// From this address.
    pub address: IpAddr,
    /// For so long from now.
    pub open_for: Duration,
}

/// What a frame was taken for: one variant for each reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It could not be read.
    Unreadable(Unreadable),
    /// It is from this host.
    FromHost,
    /// It is not for this host, or not for it alone.
    NotForHost,
    /// Its source address can be nobody's.
    BadSource,
    /// It is a fragment. The firewall judges what fragments amount to; by itself, one is nothing.
    Fragment,
    /// It is neither TCP nor UDP.
    OtherProtocol,
    /// It is a TCP segment, but no bare SYN.
    NotNew,
    /// It answers a datagram of this host.
    Conversation,
    /// It is for a public port.
    Public,
    /// It is for a guarded port, and does not count; the firewall refuses it or lets it in.
    Guarded(DoorId),
    /// It is for a wrong port, or during an attempt at one door for a guarded port of another door.
    Wrong {
        /// Whether the source had made knocks, which are lost now. Those of a door that has opened are not.
        lost: bool,
    },
    /// It is for a wrong port, which the door forgives.
    Forgiven(DoorId),
    /// It repeats a knock made already.
    Repeated(DoorId),
    /// It is a knock.
    Stage {
        /// Of this door.
        door: DoorId,
        /// From this address.
        source: IpAddr,
        /// How many have been made now.
        stage: u8,
    },
    /// It is the last knock.
    Opened {
        /// Of this door.
        door: DoorId,
        /// From this address.
        source: IpAddr,
        /// How many that took.
        stage: u8,
    },
}

impl Verdict {
    /// How many kinds there are.
    pub const KINDS: usize = 15;

    /// The kind as a number below [`Self::KINDS`], for counters.
    pub const fn index(self) -> usize {
        match self {
            Self::Unreadable(_) => 0,
            Self::FromHost => 1,
            Self::NotForHost => 2,
            Self::BadSource => 3,
            Self::Fragment => 4,
            Self::OtherProtocol => 5,
            Self::NotNew => 6,
            Self::Conversation => 7,
            Self::Public => 8,
            Self::Guarded(_) => 9,
            Self::Wrong { .. } => 10,
            Self::Forgiven(_) => 11,
            Self::Repeated(_) => 12,
            Self::Stage { .. } => 13,
            Self::Opened { .. } => 14,
        }
    }
}

/// The daemon's recogniser.
///
/// `handle_*` methods take what happened, [`next_action`](Self::next_action) gives what is to be
/// done; all of it must be fetched after each call.
#[derive(Debug)]
pub struct Engine {
    automaton: Automaton,
    open_for: BTreeMap<DoorId, Duration>,
    guarded: BTreeMap<Port, DoorId>,
    public: BTreeSet<Port>,
    /// The addresses of this host, sorted; `None` if every address is taken for one.
    local: Option<Vec<IpAddr>>,
    attempts: Attempts,
    conversations: Conversations,
    granted: Granted,
    actions: VecDeque<Action>,
    seen: [u64; Verdict::KINDS],
}

impl Engine {
    /// An engine for the doors of a checked policy that its recogniser may open: as [`Recogniser::Both`], for all.
    ///
    /// # Errors
    /// The conflicts between doors that [`check`](crate::policy::check()) would have found.
    pub fn new(policy: &Policy, options: Options) -> Result<Self, Vec<Conflict>> {
        let guards =
            policy.doors().flat_map(|(id, door)| door.guards.iter().map(move |&p| (p, id)));
        Ok(Self {
            automaton: Automaton::build(policy.doors_seen_by(options.recogniser))?,
            open_for: policy.doors().map(|(id, door)| (id, door.open_for)).collect(),
            guarded: guards.collect(),
            public: policy.gate.public.iter().copied().collect(),
            local: None,
            attempts: Attempts::new(options.max_attempts, options.seed),
            conversations: Conversations::new(options.seed),
            granted: Granted::default(),
            actions: VecDeque::new(),
            seen: [0; Verdict::KINDS],
        })
    }

    /// Says which addresses are this host's; packets to others do not count. Until this has been
    /// called, every address does.
    pub fn set_local_addresses(&mut self, addresses: &[IpAddr]) {
        let mut addresses = addresses.to_vec();
        addresses.sort_unstable();
        self.local = Some(addresses);
    }

    /// Takes a frame that was captured at `now`.
    pub fn handle_packet(&mut self, frame: Frame<'_>, now: Instant) -> Verdict {
        let verdict = match frame.captured.parse() {
            _ if frame.direction == Direction::Elsewhere => Verdict::NotForHost,
            Ok(packet) => self.judge(packet, frame.direction, now),
            Err(unreadable) => Verdict::Unreadable(unreadable),
        };
        self.count(verdict)
    }

    /// Takes a packet that has been read already.
    pub fn handle_parsed(&mut self, packet: Packet, direction: Direction, now: Instant) -> Verdict {
        let verdict = match direction {
            Direction::Elsewhere => Verdict::NotForHost,
            _ => self.judge(packet, direction, now),
        };
        self.count(verdict)
    }

    fn count(&mut self, verdict: Verdict) -> Verdict {
        if let Some(count) = self.seen.get_mut(verdict.index()) {
            *count = count.saturating_add(1);
        }
        verdict
    }

    /// Takes a grant that another recogniser has given.
    pub fn handle_grant(&mut self, grant: Grant, now: Instant) {
        self.granted.insert(grant.address, grant.door, now, now.after(grant.open_for));
    }

    /// The next thing to do.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// How many frames there were of each kind of verdict, by [`Verdict::index`].
    pub const fn seen(&self) -> &[u64; Verdict::KINDS] {
        &self.seen
    }

    fn judge(&mut self, packet: Packet, direction: Direction, now: Instant) -> Verdict {
        let (source, destination) = (packet.source, packet.destination);
        if direction == Direction::FromHost {
            if let Segment::Udp { source_port, destination_port } = packet.segment {
                let (remote_port, local_port) = (destination_port, source_port);
                let ends = Ends { remote: destination, remote_port, local_port };
                self.conversations.sent(ends, now);
            }
            return Verdict::FromHost;
        }
        let is_local = |address| match &self.local {
            Some(local) => local.binary_search(&address).is_ok(),
            None => false,
        };
        if (self.local.is_some() && !is_local(destination)) || destination.is_loopback() {
            return Verdict::NotForHost;
        }
        // The kernel takes no packet that claims to be from itself, but in IPv6.
        if is_of_one_link(source)
            || !can_be_a_source(source)
            || (source.is_ipv4() && is_local(source))
        {
            return Verdict::BadSource;
        }
        let port = match packet.segment {
            Segment::Fragment => return Verdict::Fragment,
            Segment::Other(_) => return Verdict::OtherProtocol,
            Segment::Tcp { flags, .. } if !flags.is_bare_syn() => return Verdict::NotNew,
            Segment::Tcp { destination_port, .. } => Port::new(Protocol::Tcp, destination_port),
            Segment::Udp { source_port, destination_port } => {
                let (remote_port, local_port) = (source_port, destination_port);
                if self
                    .conversations
                    .received(Ends { remote: source, remote_port, local_port }, now)
                {
                    return Verdict::Conversation;
                }
                Port::new(Protocol::Udp, destination_port)
            }
        };
        if let Some(port) = port {
            if self.public.contains(&port) {
                return Verdict::Public;
            }
            if let Some(&door) = self.guarded.get(&port) {
                let state = self.attempts.state(source, now);
                if state == StateId::ROOT
                    || self.granted.contains(source, door, now)
                    || self.automaton.next(state, port) == Transition::Repeat
                {
                    return Verdict::Guarded(door);
                }
            }
        }
        self.step(source, port, now)
    }

    /// A new connection from `source` to a port that counts; `None` is port 0, always a wrong one.
    fn step(&mut self, source: IpAddr, port: Option<Port>, now: Instant) -> Verdict {
        let state = self.attempts.state(source, now);
        let door = self.automaton.state(state).map(|state| state.door);
        let transition = match port {
            Some(port) => self.automaton.next(state, port),
            None => self.automaton.wrong(state),
        };
        match (transition, door) {
            (Transition::Repeat, Some(door)) => Verdict::Repeated(door),
            (Transition::Forgive(to), Some(door)) => {
                self.attempts.keep_deadline(source, to);
                Verdict::Forgiven(door)
            }
            (Transition::Advance(to), _) => self.advance(source, to, now),
            _ => {
                self.attempts.forget(source);
                let lost = self.automaton.state(state).is_some_and(|state| state.opens.is_none());
                Verdict::Wrong { lost }
            }
        }
    }

    fn advance(&mut self, source: IpAddr, to: StateId, now: Instant) -> Verdict {
        let Some(&state) = self.automaton.state(to) else {
            return Verdict::Wrong { lost: self.attempts.forget(source) };
        };
        self.attempts.advance(source, to, now.after(state.step_timeout));
        let stage = state.stage;
        let Some(door) = state.opens else {
            return Verdict::Stage { door: state.door, source, stage };
        };
        let open_for = self.open_for.get(&door).copied().unwrap_or_default();
        let grant = Grant { door, address: source, open_for };
        self.handle_grant(grant, now);
        self.actions.push_back(Action::Open(grant));
        Verdict::Opened { door, source, stage }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Door, DoorName};
    use crate::wire::TcpFlags;
    use core::net::Ipv4Addr;

    #[test]
    fn guarded_port_is_a_wrong_one_in_an_attempt_at_another_door() {
        let tcp = |number| Port::tcp(number).unwrap();
        let door = |name, guard, sequence: [u16; 3]| Door {
            name: DoorName::new(name).unwrap(),
            guards: [tcp(guard)].into(),
            sequence: sequence.map(tcp).into(),
            step_timeout: Door::DEFAULT_STEP_TIMEOUT,
            open_for: Door::DEFAULT_OPEN_FOR,
            recogniser: Recogniser::Both,
            tolerate: 0,
            hooks: None,
        };
        let doors = [door("mine", 8080, [5, 4, 6]), door("other", 22, [7, 2, 1])];
        let policy = Policy { doors: doors.into(), ..Policy::default() };
        let options = Options { max_attempts: 16, ..Options::default() };
        let mut engine = Engine::new(&policy, options).unwrap();
        let mut verdicts = |ports: &[u16], now| {
            let verdicts = ports.iter().map(|&destination_port| {
                let flags = TcpFlags::SYN;
                let segment =
                    Segment::Tcp { source_port: 40_000, destination_port, sequence: 1, flags };
                let source = IpAddr::from(Ipv4Addr::new(198, 51, 100, 7));
                let destination = IpAddr::from(Ipv4Addr::new(192, 0, 2, 1));
                let packet = Packet { source, destination, segment };
                engine.handle_parsed(packet, Direction::ToHost, now).index()
            });
            verdicts.collect::<Vec<_>>()
        };
        let [guarded, wrong, stage, opened] = [9, 10, 13, 14];
        let now = Instant::ORIGIN;
        assert_eq!(verdicts(&[22, 8080], now), [guarded, guarded], "no attempt");
        assert_eq!(verdicts(&[5, 8080, 4, 6], now), [stage, guarded, stage, opened]);
        assert_eq!(verdicts(&[7, 8080, 2, 1], now), [stage, guarded, stage, opened], "granted");
        let later = now.after(Door::DEFAULT_OPEN_FOR + Door::DEFAULT_STEP_TIMEOUT);
        assert_eq!(verdicts(&[7, 8080, 2, 1], later), [stage, wrong, wrong, wrong]);
        assert_eq!(verdicts(&[5, 22, 4, 6], later), [stage, wrong, wrong, wrong]);
        assert_eq!(verdicts(&[22], later), [guarded]);
    }

    #[test]
    fn what_the_kernel_calls_martian_is_no_wrong_port() {
        let own = IpAddr::from(Ipv4Addr::new(192, 0, 2, 1));
        let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
        let stranger = IpAddr::from(Ipv4Addr::new(198, 51, 100, 7));
        let mut engine = Engine::new(
            &Policy::default(),
            Options { max_attempts: 16, seed: 1, ..Options::default() },
        )
        .unwrap();
        engine.set_local_addresses(&[own, loopback]);
        let mut verdict = |source, destination| {
            let segment = Segment::Tcp {
                source_port: 40_000,
                destination_port: 9,
                sequence: 1,
                flags: TcpFlags::SYN,
            };
            let packet = Packet { source, destination, segment };
            engine.handle_parsed(packet, Direction::ToHost, Instant::ORIGIN)
        };
        assert_eq!(verdict(stranger, own), Verdict::Wrong { lost: false });
        assert_eq!(verdict(own, own), Verdict::BadSource);
        let of_one_link = "fe80::7".parse().unwrap();
        assert_eq!(verdict(of_one_link, own), Verdict::BadSource);
        assert_eq!(verdict(stranger, loopback), Verdict::NotForHost);
    }
}
