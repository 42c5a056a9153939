//! What `knockd` does with packets: the process that reads them, and knows nothing of commands.

pub mod debug;
pub mod filter;
pub mod wanted;

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use portcullis_core::engine::{Direction, Frame};
use portcullis_core::knockd::{Event, KnockdEngine, Options, Seen};
use portcullis_core::limits::STAGE_LINES;
use portcullis_core::policy::DoorId;
use portcullis_core::time::Instant;
use portcullis_core::wire::{Captured, Checksum, Packet};
use portcullis_linux::capture::{self, Capture, Interfaces, Unwatchable};

use self::filter::Scope;
use self::wanted::Wanted;
use crate::message::{Epoch, Message, Order};
use crate::reader::Sources;
use crate::watch::{Teller, WatcherTask};

/// The engine, and how much of what it does is printed.
pub struct Knockd {
    epoch: Epoch,
    scope: Scope,
    /// `-D`.
    debug: bool,
    engine: KnockdEngine,
}

impl WatcherTask for Knockd {
    const PACE: (u32, u32) = STAGE_LINES;

    fn obey(
        order: &Order,
        sources: &mut Sources,
        in_force: &mut Option<Self>,
    ) -> Result<(), Unwatchable> {
        // The keeper has written this text: it has no errors.
        let wanted = Wanted::from_text(&order.text).ok_or(Unwatchable::System(Errno::EINVAL))?;
        match (in_force, &mut sources.capture) {
            (Some(knockd), Some(capture)) => {
                knockd.change(order, wanted, capture).map_err(Unwatchable::System)
            }
            (in_force, _) => {
                *in_force = Some(begin(order, wanted, sources)?);
                Ok(())
            }
        }
    }

    fn set_local_addresses(&mut self, addresses: &[IpAddr]) {
        self.engine.set_local_addresses(addresses);
    }

    fn take(&mut self, frame: Frame<'_>, now: Instant, teller: &mut Teller<'_>) {
        if frame.direction == Direction::FromHost {
            return;
        }
        // knockd looks at no checksum, and steps over options.
        let captured = Captured { checksum: Checksum::Trust, ..frame.captured };
        let Ok(packet) = captured.parse_through_extensions() else { return };
        self.handle_timeout(now, teller);
        let seen = self.engine.handle_packet(&packet, now);
        if self.debug {
            show(&packet, captured.bytes.len(), seen);
        }
        self.tell(now, teller);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.engine.poll_timeout()
    }

    fn handle_timeout(&mut self, now: Instant, teller: &mut Teller<'_>) {
        self.engine.handle_timeout(now);
        self.tell(now, teller);
    }
}

/// The first order: opens everything.
fn begin(order: &Order, wanted: Wanted, sources: &mut Sources) -> Result<Knockd, Unwatchable> {
    let seed = getrandom::u64().map_err(|_| Unwatchable::System(Errno::EIO))?;
    let several = match &wanted.interfaces {
        Interfaces::Named(names) => names.len() > 1,
        Interfaces::All | Interfaces::AllButLoopback => true,
    };
    let scope = Scope { only_v4: wanted.only_v4, several };
    let addresses = capture::addresses(&mut sources.route).map_err(Unwatchable::System)?;
    let options = Options { seed, allow_loopback: watches_loopback(&wanted), ..Options::default() };
    let open = if wanted.may_come_later { Capture::open_what_is_there } else { Capture::open };
    let filter = filter::program(&wanted.doors, scope);
    sources.capture = Some(open(wanted.interfaces, filter, &mut sources.route)?);
    let mut engine = KnockdEngine::new(wanted.doors, options);
    engine.set_local_addresses(&addresses);
    let Order { epoch, verbose: debug, .. } = *order;
    Ok(Knockd { epoch, scope, debug, engine })
}

/// Whether the host's own packets to itself are knocks: where somebody asks to listen there.
fn watches_loopback(wanted: &Wanted) -> bool {
    match &wanted.interfaces {
        Interfaces::Named(names) => names.iter().any(|name| name.as_str() == "lo"),
        Interfaces::All => true,
        Interfaces::AllButLoopback => false,
    }
}

impl Knockd {
    /// A later order: other doors, at which those attempts go on that still can. No packet is missed
    /// meanwhile.
    fn change(
        &mut self,
        order: &Order,
        wanted: Wanted,
        capture: &mut Capture,
    ) -> Result<(), Errno> {
        capture.set_filter(filter::program(&wanted.doors, self.scope))?;
        self.engine.replace_doors(wanted.doors);
        self.epoch = order.epoch;
        Ok(())
    }

    fn tell(&mut self, now: Instant, teller: &mut Teller<'_>) {
        let epoch = self.epoch;
        while let Some(event) = self.engine.next_event() {
            // Doors are bounded by the size of their file.
            let door = DoorId(u32::try_from(event.door()).unwrap_or(u32::MAX));
            match event {
                Event::Stage { source: address, stage, .. } => {
                    teller.should(&Message::Stage { epoch, door, address, stage }, now);
                }
                Event::TimedOut { source: address, stage, .. } => {
                    teller.should(&Message::TimedOut { epoch, door, address, stage }, now);
                }
                Event::Opened { source: address, .. } => {
                    let open_for = Duration::ZERO;
                    teller.must(&Message::Open { epoch, door, address, open_for });
                }
            }
        }
    }
}

/// As `knockd -D` does.
fn show(packet: &Packet, length: usize, seen: Seen) {
    debug::print(&debug::packet(packet, length, SystemTime::now()));
    if seen == Seen::Wrong {
        debug::print(&format!("removing failed knock attempt ({})", packet.source));
    }
}
