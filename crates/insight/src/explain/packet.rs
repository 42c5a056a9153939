//! How packets are written.

use std::fmt;
use std::time::Duration;

use portcullis_config::duration::to_the_tenth;
use portcullis_core::policy::{Port, Protocol};
use portcullis_core::time::Instant;
use portcullis_firewall::simulator::Payload;

use super::explanation::{Attempt, Event, Open};

/// One argument of `explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// A packet arrives.
    Packet(Sent),
    /// Time passes.
    Pause(Duration),
}

/// A packet as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// To a port; TCP with these flags, a bare SYN if none are given.
    Port {
        /// Where to.
        port: Port,
        /// Byte 13 of the TCP header.
        flags: Option<u8>,
    },
    /// An ICMP message: an echo request.
    Icmp,
}

const FLAGS: [(&str, u8); 6] =
    [("fin", 0x01), ("syn", 0x02), ("rst", 0x04), ("psh", 0x08), ("ack", 0x10), ("urg", 0x20)];

impl Item {
    /// Whether somebody who wrote this meant a packet, and not a file.
    pub fn looks_like_one(text: &str) -> bool {
        text.starts_with("tcp/")
            || text.starts_with("udp/")
            || text.starts_with('+')
            || text == "icmp"
    }

    /// Reads `tcp/7431`, `tcp/22:ack`, `tcp/22:` (no flag at all), `udp/53`, `icmp` or `+6s`.
    ///
    /// # Errors
    /// What is wrong with it, as half a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(duration) = text.strip_prefix('+') {
            return portcullis_config::duration::parse(duration)
                .map(Self::Pause)
                .map_err(|e| e.to_string());
        }
        if text == "icmp" {
            return Ok(Self::Packet(Sent::Icmp));
        }
        let (port, flags) = match text.split_once(':') {
            Some((port, flags)) => (port, Some(flags)),
            None => (text, None),
        };
        let port: Port = port.parse().map_err(|error| format!("{error}"))?;
        let flags = match flags {
            Some(_) if port.protocol == Protocol::Udp => return Err("UDP has no flags".to_owned()),
            Some(flags) => Some(parse_flags(flags)?),
            None => None,
        };
        Ok(Self::Packet(Sent::Port { port, flags }))
    }
}

/// Time between packets, unless a `+DURATION` stands between them.
const GAP: Duration = Duration::from_millis(100);

/// Goes through the packets: `packet` says how the rules treat one that arrives at this moment. The result
/// also names attempts and grants that ended before.
pub fn tell(items: &[Item], mut packet: impl FnMut(Sent, Instant) -> Event) -> Vec<Event> {
    let start = Instant::from_millis(1_000);
    let (mut now, mut paused) = (start, true);
    let mut events: Vec<Event> = Vec::new();
    let mut since = Duration::ZERO;
    for item in items {
        match item {
            Item::Pause(duration) => {
                now = now.after(*duration);
                since = since.saturating_add(*duration);
                paused = true;
            }
            Item::Packet(sent) => {
                if !std::mem::take(&mut paused) {
                    now = now.after(GAP);
                    since = since.saturating_add(GAP);
                }
                let mut event = packet(*sent, now);
                event.time = now.since(start);
                if let Some(last) = events.last() {
                    let begun = || last.attempts.iter().filter(|it| it.stage < it.knocks);
                    event.lost = event.attempts.is_empty() && begun().next().is_some();
                    let spare = begun().filter_map(|it| it.left.checked_sub(since));
                    event.spare = spare.min().filter(|spare| !spare.is_zero());
                    let mut means = ran_out(&last.attempts, &last.open, since);
                    means.append(&mut event.means);
                    event.means = means;
                }
                events.push(event);
                since = Duration::ZERO;
            }
        }
    }
    events
}

/// The attempts and grants that ended in this time.
fn ran_out(attempts: &[Attempt], open: &[Open], since: Duration) -> Vec<String> {
    let mut lines = Vec::new();
    for attempt in attempts.iter().filter(|attempt| attempt.stage < attempt.knocks) {
        if let Some(late) = since.checked_sub(attempt.left) {
            let who = attempt.who.map(|who| format!("{who}: ")).unwrap_or_default();
            let late = to_the_tenth(late);
            lines.push(format!(
                "{who}too late by {late}; the attempt at door {} ends",
                attempt.door
            ));
        }
    }
    for open in open {
        if let Some(ago) = since.checked_sub(open.left) {
            lines.push(format!("door {} closed {} ago", open.door, to_the_tenth(ago)));
        }
    }
    lines
}

impl Sent {
    /// As the rules see it.
    pub fn payload(self, four: bool) -> Payload {
        const SOURCE_PORT: u16 = 40_000;
        match self {
            Self::Port { port, flags } => match port.protocol {
                Protocol::Tcp => Payload::Tcp {
                    source_port: SOURCE_PORT,
                    destination_port: port.number.get(),
                    flags: flags.unwrap_or(0x02),
                },
                Protocol::Udp => {
                    Payload::Udp { source_port: SOURCE_PORT, destination_port: port.number.get() }
                }
            },
            Self::Icmp => Payload::Icmp { kind: if four { 8 } else { 128 } },
        }
    }
}

fn parse_flags(text: &str) -> Result<u8, String> {
    let mut flags = 0;
    for name in text.split(',').filter(|name| !name.is_empty()) {
        let known = FLAGS.iter().find(|(known, _)| *known == name);
        let (_, bit) = known.ok_or_else(|| {
            format!("`{}` is not one of fin, syn, rst, psh, ack, urg", name.escape_debug())
        })?;
        flags |= bit;
    }
    Ok(flags)
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port { port, flags: None } => port.fmt(f),
            Self::Port { port, flags: Some(flags) } => {
                let names = FLAGS.iter().filter(|(_, bit)| flags & bit != 0);
                let names: Vec<_> = names.map(|(name, _)| *name).collect();
                write!(f, "{port}:{}", names.join(","))
            }
            Self::Icmp => f.write_str("icmp"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_written_one_way() {
        for text in ["tcp/22", "tcp/22:ack", "tcp/22:syn,ack", "tcp/22:", "udp/53", "icmp"] {
            let Ok(Item::Packet(sent)) = Item::parse(text) else { panic!("{text}") };
            assert_eq!(sent.to_string(), text);
        }
        assert_eq!(Item::parse("+6s"), Ok(Item::Pause(Duration::from_secs(6))));
        for bad in ["", "22", "tcp/0", "tcp/65536", "udp/53:ack", "tcp/22:xyz", "+", "+6", "arp"] {
            assert!(Item::parse(bad).is_err(), "{bad}");
        }
    }
}
