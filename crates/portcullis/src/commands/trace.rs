//! `portcullis trace`: follows knocks on an interface, and says why a door does not open.
//!
//! It reads packets and touches no firewall. Like the daemon's watcher it gives up every privilege
//! before it reads the first packet; unlike that one it opens nothing afterwards, so it keeps none.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signalfd::SignalFd;
use portcullis_config::{duration, suggest};
use portcullis_core::engine::Options;
use portcullis_core::policy::{DoorId, InterfaceName, Policy};
use portcullis_core::text::plain;
use portcullis_core::time::Instant;
use portcullis_insight::trace::findings::{Finding, findings};
use portcullis_insight::trace::words::{sentence, word};
use portcullis_insight::trace::{Hit, Tracer, Watched};
use portcullis_linux::capture::{Interfaces, Unwatchable};
use portcullis_linux::clock;
use portcullis_watcher::follow::{Error, Follow};
use portcullis_watcher::pace::Pace;
use serde_json::{Value, json};

use super::live::address;
use crate::config;
use crate::daemon::parts;
use crate::exit::{Exit, Failure, Outcome};
use crate::out::{print, say};

/// Lines at once, and in each second: a flood is not to fill a terminal.
const PACE: (u32, u32) = (200, 50);

/// Longest time to watch.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

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
    let mut watch = Watch::open(&policy, args, tracer, interfaces)?;
    watch.go(args.length)?;
    watch.end(watched)
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
    match duration::parse(text) {
        Err(error) => Err(error.to_string()),
        Ok(length) if length.is_zero() || length > LONGEST => Err(format!(
            "expected a time of at most {}, and more than 0s",
            duration::format(LONGEST)
        )),
        Ok(length) => Ok(length),
    }
}

/// What is open.
struct Watch<'p> {
    policy: &'p Policy,
    tracer: Tracer<'p>,
    follow: Follow,
    signals: SignalFd,
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
        let follow = Follow::open(policy, interfaces).map_err(|error| match error {
            Error::Addresses(why) => {
                Failure::could_not(format!("cannot list the addresses of this host: {why}"))
            }
            Error::Packets(why) => unwatchable(why),
            Error::Privileges(error) => {
                Failure::could_not(format!("cannot drop privileges: {error}"))
            }
        })?;
        let (burst, per_second) = PACE;
        let names: Vec<&str> = follow.names().map(InterfaceName::as_str).collect();
        let length = duration::format(args.length);
        say(&format!("ready: watching {} for {length}; press Ctrl-C to stop", names.join(", ")));
        Ok(Self {
            policy,
            tracer,
            follow,
            signals,
            json: args.json,
            start: clock(),
            pace: Pace::new(burst, per_second),
            lost: 0,
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
            self.follow.wait(self.signals.as_fd(), left).map_err(system)?;
            self.take()?;
            self.follow.refresh();
            if parts::take_signal(&self.signals)?.is_some() {
                return self.take();
            }
        }
    }

    /// Takes the packets that have come.
    fn take(&mut self) -> Result<(), Failure> {
        let mut hits = Vec::new();
        let tracer = &mut self.tracer;
        let lost = self.follow.take(|packet, direction, now| {
            hits.extend(tracer.packet(packet, direction, now));
        });
        for hit in hits {
            if self.pace.admits(hit.at) {
                self.tell(&hit)?;
            }
        }
        let held = if self.pace.holds() { self.pace.take_held(clock()) } else { 0 };
        if held > 0 {
            say(&format!("{held} packets are not shown: too many to print"));
        }
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
