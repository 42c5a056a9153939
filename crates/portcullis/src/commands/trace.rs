//! `portcullis trace`: follows knocks on an interface, and says why a door does not open.
//!
//! It reads packets and touches no firewall. Like the daemon's watcher it gives up every privilege
//! before it reads the first packet; unlike that one it opens nothing afterwards, so it keeps none.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;
use portcullis_core::engine::{Direction, Frame, Options};
use portcullis_core::policy::{DoorId, InterfaceName, Policy};
use portcullis_core::text::plain;
use portcullis_core::time::Instant;
use portcullis_linux::capture::{self, Capture, Interfaces, Unwatchable};
use portcullis_linux::clock;
use portcullis_linux::netlink::route::{AddressMonitor, Route};
use portcullis_linux::privileges::{self, TRACE};
use serde_json::{Value, json};

use super::check::print;
use super::live::{address, say};
use crate::config::{self, duration, suggest};
use crate::daemon::pace::Pace;
use crate::daemon::{filter, parts};
use crate::exit::{Exit, Failure, Outcome};
use crate::trace::findings::{Finding, findings};
use crate::trace::words::{sentence, word};
use crate::trace::{Hit, Tracer, Watched};

/// Packets that are taken before anything else is looked at.
const BATCH: usize = 4_096;

/// Lines at once, and in each second: a flood is not to fill a terminal.
const PACE: (u32, u32) = (200, 50);

/// Longest time to watch.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Arguments of `trace`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration; `-` is standard input [default: /etc/portcullis/portcullis.toml]
    file: Option<PathBuf>,
    /// Where to look, which may be given several times [default: where the gate stands]
    #[arg(long, value_name = "NAME")]
    interface: Vec<String>,
    /// Follow knocks at this door alone
    #[arg(long, value_name = "NAME", add = crate::complete::doors())]
    door: Option<String>,
    /// Follow this address alone; `me` is where your SSH session comes from
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// How long to watch; Ctrl-C ends it early
    #[arg(long = "for", value_name = "DURATION", default_value = "60s", value_parser = length)]
    length: Duration,
    /// Print a JSON object for each packet and each finding, one a line
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    let policy = config::load_for(args.file.as_deref())?.policy;
    let from = args.from.as_deref().map(address).transpose()?;
    let door = args.door.as_deref().map(|name| door(&policy, name)).transpose()?;
    let watched = Watched { from, door };
    // A secret, as the daemon has one: packets may be made for our tables.
    let seed = getrandom::u64()
        .map_err(|error| Failure::could_not(format!("there is no randomness: {error}")))?;
    let tracer = Tracer::new(&policy, watched, Options { seed, ..Options::default() })
        .map_err(|_| Failure::could_not("the doors cannot be told apart"))?;
    let interfaces = interfaces(&policy, &args.interface)?;
    let mut watch = Watch::open(&policy, args, tracer, interfaces)?;
    watch.go(args.length)?;
    watch.end(watched)
}

fn door(policy: &Policy, name: &str) -> Result<DoorId, Failure> {
    let found = policy.doors().find(|(_, door)| door.name.as_str() == name);
    found.map(|(id, _)| id).ok_or_else(|| {
        let known: Vec<&str> = policy.doors.iter().map(|door| door.name.as_str()).collect();
        let near = suggest::nearest(name, &known);
        Failure::wrong_use(format!("there is no door `{}`", plain(name)))
            .hint(suggest::hint(near, &known))
    })
}

fn interfaces(policy: &Policy, names: &[String]) -> Result<Interfaces, Failure> {
    if names.is_empty() {
        return Ok(match policy.gate.interfaces.clone() {
            names if names.is_empty() => Interfaces::AllButLoopback,
            names => Interfaces::Named(names),
        });
    }
    let names = names.iter().map(|name| {
        InterfaceName::new(name).map_err(|error| {
            Failure::wrong_use(format!("`{}` is no interface: {error}", plain(name)))
        })
    });
    Ok(Interfaces::Named(names.collect::<Result<_, _>>()?))
}

fn length(text: &str) -> Result<Duration, String> {
    match duration::parse(text) {
        Err(error) => Err(error.to_string()),
        Ok(length) if length.is_zero() || length > LONGEST => {
            Err(format!("a time up to {}", duration::format(LONGEST)))
        }
        Ok(length) => Ok(length),
    }
}

/// What is open.
struct Watch<'p> {
    policy: &'p Policy,
    tracer: Tracer<'p>,
    capture: Capture,
    signals: SignalFd,
    route: Route,
    monitor: AddressMonitor,
    /// This host's addresses.
    addresses: Vec<IpAddr>,
    json: bool,
    start: Instant,
    pace: Pace,
    lost: u64,
}

impl<'p> Watch<'p> {
    /// Opens everything, then gives up what that took.
    fn open(
        policy: &'p Policy,
        args: &Args,
        tracer: Tracer<'p>,
        interfaces: Interfaces,
    ) -> Result<Self, Failure> {
        let signals = parts::signals()?;
        let netlink = |error| Failure::could_not(format!("cannot ask for addresses: {error}"));
        let monitor = AddressMonitor::open().map_err(netlink)?;
        let mut route = Route::open().map_err(netlink)?;
        let refused = |errno: Errno| {
            Failure::could_not(format!("cannot ask for addresses: {}", errno.desc()))
        };
        let addresses = capture::addresses(&mut route).map_err(refused)?;
        // What comes to guarded and public ports is told too, so the filter must let it through.
        let mut all = policy.clone();
        all.gate.public.clear();
        all.doors.iter_mut().for_each(|door| door.guards.clear());
        let capture = Capture::open(interfaces, filter::program(&all), &mut route);
        let capture = capture.map_err(unwatchable)?;
        // All sockets are open: from here on nothing more is needed.
        privileges::give_up_all_but(&TRACE).map_err(|error| {
            Failure::could_not(format!("cannot give up what is not needed any more: {error}"))
        })?;
        let (burst, per_second) = PACE;
        let names: Vec<&str> = capture.names().map(InterfaceName::as_str).collect();
        let length = duration::format(args.length);
        say(&format!("ready: watching {} for {length}; Ctrl-C ends it", names.join(", ")));
        Ok(Self {
            policy,
            tracer,
            signals,
            route,
            monitor,
            addresses,
            json: args.json,
            start: clock(),
            pace: Pace::new(burst, per_second),
            lost: 0,
            capture,
        })
    }

    /// Watches until the time is up, or somebody ends it.
    fn go(&mut self, length: Duration) -> Result<(), Failure> {
        let end = self.start.after(length);
        let system = |errno: Errno| Failure::could_not(format!("cannot wait: {}", errno.desc()));
        loop {
            let left = end.since(clock());
            if left.is_zero() {
                // What came last is in the ring.
                return self.take();
            }
            let mut fds: Vec<PollFd<'_>> = [self.signals.as_fd(), self.monitor.as_fd()]
                .into_iter()
                .chain(self.capture.sockets())
                .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
                .collect();
            let left = left.saturating_add(Duration::from_millis(1));
            match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(system(errno)),
            }
            let failing = |fd: &PollFd<'_>| {
                fd.revents().is_some_and(|events| events.contains(PollFlags::POLLERR))
            };
            if fds.iter().any(failing) {
                self.capture.take_errors();
            }
            self.take()?;
            if self.monitor.drain()
                && let Ok(addresses) = capture::addresses(&mut self.route)
            {
                self.addresses = addresses;
            }
            if parts::take_signal(&self.signals)?.is_some() {
                return self.take();
            }
        }
    }

    /// Takes the packets that have come.
    fn take(&mut self) -> Result<(), Failure> {
        let mut hits = Vec::new();
        let (tracer, addresses) = (&mut self.tracer, &self.addresses);
        self.capture.drain(BATCH, |Frame { direction, captured }| {
            let Ok(packet) = captured.parse() else { return };
            // What goes through to another host is none of the gate's business.
            let ours = direction != Direction::ToHost || addresses.contains(&packet.destination);
            let direction = if ours { direction } else { Direction::Elsewhere };
            hits.extend(tracer.packet(&packet, direction, clock()));
        });
        for hit in hits {
            if self.pace.admits(hit.at) {
                self.tell(&hit)?;
            }
        }
        let held = if self.pace.holds() { self.pace.take_held(clock()) } else { 0 };
        if held > 0 {
            say(&format!("{held} packets are not shown: more came than can be read"));
        }
        let lost: u64 = self.capture.take_lost().map(|(_, lost)| u64::from(lost)).sum();
        self.lost = self.lost.saturating_add(lost);
        Ok(())
    }

    fn tell(&self, hit: &Hit) -> Result<(), Failure> {
        let text = sentence(self.policy, hit);
        let after = hit.at.since(self.start);
        let Hit { source, port, meaning, .. } = hit;
        if self.json {
            let (meaning, door) = word(meaning);
            return line(&json!({
                "event": "packet",
                "at_ms": u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
                "address": source.to_string(),
                "port": port.to_string(),
                "meaning": meaning,
                "door": door.and_then(|door| self.name(door)),
                "text": text,
            }));
        }
        let (seconds, millis) = (after.as_secs(), after.subsec_millis());
        let port = port.to_string();
        print(&format!("{seconds:>5}.{millis:03} s  {source}  {port:<9}  {text}\n"))
    }

    /// Says what has been found.
    fn end(&self, watched: Watched) -> Outcome {
        let evidence = self.tracer.evidence();
        let mut found = findings(self.policy, watched, evidence);
        if self.lost > 0 {
            let text = format!("{} packets came faster than they could be read", self.lost);
            found.push(Finding { kind: "packets-lost", door: None, source: None, text });
        }
        if self.json {
            for Finding { kind, door, source, text } in &found {
                line(&json!({
                    "event": "finding",
                    "kind": kind,
                    "door": door.and_then(|door| self.name(door)),
                    "address": source.as_ref().map(IpAddr::to_string),
                    "text": text,
                }))?;
            }
            line(
                &json!({ "event": "end", "opened": evidence.opened, "packets": evidence.arrived }),
            )?;
        } else {
            let texts: Vec<String> =
                found.iter().map(|finding| format!("* {}\n", finding.text)).collect();
            print(&format!("\nfindings\n{}", texts.concat()))?;
        }
        Ok(if evidence.opened > 0 { Exit::Done } else { Exit::No })
    }

    fn name(&self, door: DoorId) -> Option<&str> {
        self.policy.door(door).map(|door| door.name.as_str())
    }
}

/// One object a line.
fn line(object: &Value) -> Result<(), Failure> {
    print(&format!("{object}\n"))
}

fn unwatchable(why: Unwatchable) -> Failure {
    match why {
        Unwatchable::Missing(name) => {
            Failure::could_not(format!("there is no interface `{}`", name.as_str()))
                .hint("`ip link` lists those that there are")
        }
        Unwatchable::System(errno @ (Errno::EPERM | Errno::EACCES)) => {
            Failure::could_not(format!("cannot read packets: {}", errno.desc()))
                .hint("try it as root")
        }
        Unwatchable::System(errno) => {
            Failure::could_not(format!("cannot read packets: {}", errno.desc()))
        }
    }
}
