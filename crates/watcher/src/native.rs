//! What `portcullis run` does with packets: the engine looks at them.

use std::net::IpAddr;

use nix::errno::Errno;
use portcullis_core::engine::{Action, Engine, Frame, Grant, Options, Verdict};
use portcullis_core::limits::LINES_PER_SECOND;
use portcullis_core::policy::{DoorId, Policy, Port, Recogniser, may_have_grants};
use portcullis_core::time::Instant;
use portcullis_linux::capture::{self, Capture, Interfaces, Unwatchable};

use super::filter;
use super::message::{Epoch, Message, Order};
use super::reader::Sources;
use super::watch::{Teller, WatcherTask};

/// The engine, and how much of what it does is told.
pub struct Native {
    epoch: Epoch,
    verbose: bool,
    engine: Engine,
}

impl WatcherTask for Native {
    const PACE: (u32, u32) = (LINES_PER_SECOND, LINES_PER_SECOND);

    fn obey(
        order: &Order,
        sources: &mut Sources,
        in_force: &mut Option<Self>,
    ) -> Result<(), Unwatchable> {
        // The keeper has read the same text: neither of these two fails.
        let invalid = |_| Unwatchable::System(Errno::EINVAL);
        let policy = portcullis_config::parse_str("configuration", &order.text)
            .map_err(|_| invalid(()))?
            .policy;
        let seed = getrandom::u64().map_err(|_| Unwatchable::System(Errno::EIO))?;
        let options = Options { seed, ..Options::default() };
        let mut engine = Engine::new(&policy, options).map_err(|_| invalid(()))?;
        let addresses = capture::addresses(&mut sources.route).map_err(Unwatchable::System)?;
        engine.set_local_addresses(&addresses);
        let capture = if policy.doors_seen_by(Recogniser::Daemon).next().is_some() {
            let interfaces = match policy.gate.interfaces.clone() {
                names if names.is_empty() => Interfaces::AllButLoopback,
                names => Interfaces::Named(names),
            };
            Capture::open(interfaces, filter::program(&uninteresting(&policy)), &mut sources.route)?
        } else {
            Capture::nothing()
        };
        let Order { epoch, verbose, .. } = *order;
        sources.capture = Some(capture);
        *in_force = Some(Self { epoch, verbose, engine });
        Ok(())
    }

    fn set_local_addresses(&mut self, addresses: &[IpAddr]) {
        self.engine.set_local_addresses(addresses);
    }

    fn take(&mut self, frame: Frame<'_>, now: Instant, teller: &mut Teller<'_>) {
        let epoch = self.epoch;
        let verdict = self.engine.handle_packet(frame, now);
        if self.verbose
            && let Verdict::Stage { door, source, stage } | Verdict::Opened { door, source, stage } =
                verdict
        {
            teller.may(&Message::Stage { epoch, door, address: source, stage }, now);
        }
        while let Some(Action::Open(grant)) = self.engine.next_action() {
            let Grant { door, address, open_for } = grant;
            if may_have_grants(address) {
                teller.must(&Message::Open { epoch, door, address, open_for });
            }
        }
    }
}

/// The ports to which packets are never knocks and never wrong ports. The guarded ports of a door are such
/// ports only if the daemon recognises no other door: they are wrong ports in an attempt at another door.
pub(crate) fn uninteresting(policy: &Policy) -> Vec<Port> {
    let recognised: Vec<DoorId> =
        policy.doors_seen_by(Recogniser::Daemon).map(|(id, _)| id).collect();
    let alone = policy.doors().filter(|(id, _)| recognised.iter().all(|other| other == id));
    let guards = alone.flat_map(|(_, door)| &door.guards);
    let mut ports: Vec<Port> = policy.gate.public.iter().chain(guards).copied().collect();
    // In a policy that has not been checked a knock could be among them; the engine decides then.
    ports.retain(|port| !policy.doors.iter().any(|door| door.sequence.contains(port)));
    ports
}
