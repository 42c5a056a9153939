//! `portcullis trace`: follows knocks on an interface, and says why a door does not open.
//!
//! It reads packets and touches no firewall. Like the daemon's watcher it gives up every privilege
//! before it reads the first packet; unlike that one it opens nothing afterwards, so it keeps none.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signalfd::SignalFd;
use portcullis_config::{duration, suggest};
use portcullis_core::engine::{Frame, Options};
use portcullis_core::policy::{DoorId, InterfaceName, Policy};
use portcullis_core::text::plain;
use portcullis_core::time::Instant;
use portcullis_insight::trace::findings::{Finding, findings};
use portcullis_insight::trace::words::{sentence, word};
use portcullis_insight::trace::{Arrival, Tracer, Watched};
use portcullis_linux::capture::{Change, Interfaces, Unwatchable};
use portcullis_linux::clock;
use portcullis_watcher::follow::{self, Error, Local};
use portcullis_watcher::pace::Pace;
use portcullis_watcher::reader::{Handler, Reader, Sources};
use serde_json::{Value, json};

use super::live::{address, time_of_option};
use crate::config;
use crate::daemon::parts;
use crate::exit::{Exit, Failure, Outcome};
use crate::out::{print, say};

/// Lines at once, and in each second: a flood is not to fill a terminal.
const PACE: (u32, u32) = (200, 50);

/// How long one may watch.
const LENGTHS: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(24 * 60 * 60);

/// Arguments of `trace`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration; `-` is standard input [default: /etc/portcullis/portcullis.toml]
    file: Option<PathBuf>,
    /// Interface to watch; repeat it for several interfaces [default: those of the gate]
    #[arg(long, value_name = "NAME")]
    interface: Vec<String>,
    /// Follow knocks at this door only
    #[arg(long, value_name = "NAME", add = crate::complete::doors())]
    door: Option<String>,
    /// Follow this address only; `me` is the address of your SSH session
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// Time to watch; Ctrl-C ends it early
    #[arg(long = "for", value_name = "DURATION", default_value = "60s", value_parser = length)]
    length: Duration,
    /// Print one JSON object a line, for each packet and each finding
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
        .map_err(|error| Failure::could_not(format!("cannot read random numbers: {error}")))?;
    let tracer = Tracer::new(&policy, watched, Options { seed, ..Options::default() })
        .map_err(|_| Failure::could_not("the doors of this configuration contradict each other"))?;
    let interfaces = interfaces(&policy, &args.interface)?;
    let (mut reader, mut watch) = open(&policy, args, tracer, interfaces)?;
    match reader.run(&mut watch) {
        Stop::Ended => {
            watch.tell_held(clock());
            let lost = reader.sources.take_lost().map(|(_, count)| u64::from(count));
            watch.lost = lost.fold(watch.lost, u64::saturating_add);
            watch.end(watched)
        }
        Stop::Failed(failure) => Err(failure),
    }
}

fn door(policy: &Policy, name: &str) -> Result<DoorId, Failure> {
    let found = policy.doors().find(|(_, door)| door.name.as_str() == name);
    found.map(|(id, _)| id).ok_or_else(|| {
        let known: Vec<&str> = policy.doors.iter().map(|door| door.name.as_str()).collect();
        let near = suggest::nearest(name, &known);
        Failure::wrong_use(format!("unknown door `{}`", plain(name)))
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
            Failure::wrong_use(format!("`{}` is not a name of an interface: {error}", plain(name)))
        })
    });
    Ok(Interfaces::Named(names.collect::<Result<_, _>>()?))
}

fn length(text: &str) -> Result<Duration, String> {
    time_of_option(text, LENGTHS)
}

/// What is open, and what has been seen.
struct Watch<'p> {
    policy: &'p Policy,
    tracer: Tracer<'p>,
    local: Local,
    signals: SignalFd,
    json: bool,
    start: Instant,
    end: Instant,
    /// Somebody has ended it.
    ended: bool,
    /// Of the packets that are being taken.
    hits: Vec<Arrival>,
    pace: Pace,
    lost: u64,
}

/// Why it ends.
enum Stop {
    /// The time is up, or somebody has ended it.
    Ended,
    Failed(Failure),
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Failed(Failure::could_not(format!("cannot wait: {}", errno.desc())))
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Handler for Watch<'_> {
    type Stop = Stop;

    fn also(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }

    fn woken(&mut self, _: &mut Sources) -> Result<(), Stop> {
        // What came last is in the ring.
        self.ended = parts::take_signal(&self.signals)?.is_some();
        Ok(())
    }

    fn take(&mut self, frame: Frame<'_>, now: Instant) {
        if let Some((packet, direction)) = self.local.packet(&frame) {
            self.hits.extend(self.tracer.packet(&packet, direction, now));
        }
    }

    fn taken(&mut self) -> Result<(), Stop> {
        for hit in std::mem::take(&mut self.hits) {
            if self.pace.admits(hit.at) {
                self.tell(&hit)?;
            }
        }
        if self.ended { Err(Stop::Ended) } else { Ok(()) }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.end)
    }

    fn handle_timeout(&mut self, _: Instant) -> Result<(), Stop> {
        Err(Stop::Ended)
    }

    fn set_local_addresses(&mut self, addresses: &[IpAddr]) {
        self.local = Local(addresses.to_vec());
    }

    fn changed(&mut self, change: Change) -> Result<(), Stop> {
        if let Change::Gone(name) = change {
            say(&format!(
                "interface {} disappeared; its packets are no longer shown",
                name.as_str()
            ));
        }
        Ok(())
    }

    fn holds(&self) -> bool {
        self.pace.holds()
    }

    fn settle(&mut self, now: Instant) -> Result<(), Stop> {
        self.tell_held(now);
        Ok(())
    }

    fn lost(&mut self, _: InterfaceName, count: u32) -> Result<(), Stop> {
        self.lost = self.lost.saturating_add(count.into());
        Ok(())
    }
}

/// Opens everything, then gives up what that took.
fn open<'p>(
    policy: &'p Policy,
    args: &Args,
    tracer: Tracer<'p>,
    interfaces: Interfaces,
) -> Result<(Reader, Watch<'p>), Failure> {
    let signals = parts::signals()?;
    let (reader, local) = follow::open(interfaces).map_err(|error| match error {
        Error::Addresses(why) => {
            Failure::could_not(format!("cannot list the addresses of this host: {why}"))
        }
        Error::Packets(why) => unwatchable(why),
        Error::Privileges(error) => Failure::could_not(format!("cannot drop privileges: {error}")),
    })?;
    let (burst, per_second) = PACE;
    let names: Vec<&str> = reader.sources.names().map(InterfaceName::as_str).collect();
    if names.is_empty() {
        return Err(Failure::could_not("this host has no interface but loopback")
            .hint("run `ip link` to list the interfaces"));
    }
    let length = duration::format(args.length);
    say(&format!("ready: watching {} for {length}; press Ctrl-C to stop", names.join(", ")));
    let start = clock();
    let watch = Watch {
        policy,
        tracer,
        local,
        signals,
        json: args.json,
        start,
        end: start.after(args.length),
        ended: false,
        hits: Vec::new(),
        pace: Pace::new(burst, per_second),
        lost: 0,
    };
    Ok((reader, watch))
}

impl Watch<'_> {
    fn tell_held(&mut self, now: Instant) {
        let held = self.pace.take_held(now);
        if held > 0 {
            say(&format!("{held} packets are not shown: too many to print"));
        }
    }

    fn tell(&self, hit: &Arrival) -> Result<(), Failure> {
        let text = sentence(self.policy, hit);
        let after = hit.at.since(self.start);
        let Arrival { source, port, meaning, .. } = hit;
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
            let text = format!(
                "{} packets were lost: they arrived faster than this program reads",
                self.lost
            );
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
            Failure::could_not(format!("this host has no interface `{}`", name.as_str()))
                .hint("run `ip link` to list the interfaces")
        }
        Unwatchable::System(errno @ (Errno::EPERM | Errno::EACCES)) => {
            Failure::could_not(format!("cannot read packets: {}", errno.desc()))
                .hint("run it as root")
        }
        Unwatchable::System(errno) => {
            Failure::could_not(format!("cannot read packets: {}", errno.desc()))
        }
    }
}
