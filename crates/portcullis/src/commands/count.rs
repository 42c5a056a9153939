//! `portcullis count`: how many sequences there are, and how long guessing one takes.
//!
//! The arithmetic is that of `check` ([`portcullis_core::strength`]); `docs/strength.md` derives it.

mod json;
#[cfg(test)]
mod tests;
mod text;

use std::path::PathBuf;

use portcullis_config::suggest;
use portcullis_core::limits;
use portcullis_core::policy::{Ban, Policy, Protocol};
use portcullis_core::strength::{Counts, Strength, Usable, guesses_heard};
use portcullis_core::text::plain;

use super::check::RATES;
use super::live::time;
use crate::config;
use crate::exit::{Exit, Failure, Outcome};
use crate::out::print;

/// Arguments of `count`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration; `-` is standard input [default without --knocks:
    /// /etc/portcullis/portcullis.toml]
    #[arg(conflicts_with_all = ["knocks", "ports", "protocols"])]
    file: Option<PathBuf>,
    /// Count only for this door of the configuration
    #[arg(long, value_name = "NAME", conflicts_with = "knocks", add = crate::complete::doors())]
    door: Option<String>,
    /// Count sequences of this number of knocks, without a configuration
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=MOST_KNOCKS))]
    knocks: Option<u8>,
    /// Number of ports of each protocol that can be knocks; guarded and public ports cannot [default:
    /// 65535]
    #[arg(long, value_name = "N", requires = "knocks", value_parser = clap::value_parser!(u16).range(1..))]
    ports: Option<u16>,
    /// Protocols of knocks: tcp, udp or both [default: tcp,udp]
    #[arg(long, value_name = "LIST", requires = "knocks", value_delimiter = ',')]
    protocols: Vec<Which>,
    /// Packets per second that the attacker sends; separate several rates with commas [default:
    /// 1000,100000]
    #[arg(long, value_name = "PPS", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    rate: Vec<u32>,
    /// Show the cost of forgiving up to this number of wrong ports [default: 2, or `tolerate` of
    /// the door]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=MOST_TOLERATED))]
    tolerate: Option<u8>,
    /// Number of strikes that trigger a ban [default: as configured, else 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(FEWEST_STRIKES..=MOST_STRIKES))]
    strikes: Option<u32>,
    /// Time in which strikes are counted [default: as configured, else 1m]
    #[arg(long, value_name = "TIME")]
    within: Option<String>,
    /// Length of a ban [default: as configured, else 1h]
    #[arg(long = "for", value_name = "TIME")]
    time: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

const MOST_KNOCKS: i64 = limits::MAX_KNOCKS as i64;
const MOST_TOLERATED: i64 = limits::MAX_TOLERATE as i64;
const FEWEST_STRIKES: i64 = limits::MIN_STRIKES as i64;
const MOST_STRIKES: i64 = limits::MAX_STRIKES as i64;

/// A protocol on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    Tcp,
    Udp,
}

/// Addresses that a guesser is taken to have: one, and an IPv6 /48, of which each /64 is banned by
/// itself.
const SOURCES: [(u32, &str); 2] =
    [(1, "from one address"), (65_536, "from the 65,536 networks of an IPv6 /48")];

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    let rates = if args.rate.is_empty() { RATES.to_vec() } else { args.rate.clone() };
    let (subjects, ban) = match args.knocks {
        Some(knocks) => {
            let protocols: Vec<Protocol> =
                [(Which::Tcp, Protocol::Tcp), (Which::Udp, Protocol::Udp)]
                    .into_iter()
                    .filter(|(which, _)| {
                        args.protocols.is_empty() || args.protocols.contains(which)
                    })
                    .map(|(_, protocol)| protocol)
                    .collect();
            let usable = Usable::first(args.ports.unwrap_or(u16::MAX), &protocols);
            let most = args.tolerate.unwrap_or(2);
            (vec![Subject::new(None, knocks.into(), 0, most, &usable)], None)
        }
        None => {
            let policy = config::load_for(args.file.as_deref())?.policy;
            (doors(&policy, args)?, policy.gate.ban)
        }
    };
    let answer = Answer { subjects, rates, ban: strikes(args, ban)?, banned: ban.is_some() };
    print(&if args.json { json::render(&answer) } else { text::render(&answer) })?;
    Ok(Exit::Done)
}

/// All that is said.
struct Answer {
    subjects: Vec<Subject>,
    /// Packets per second.
    rates: Vec<u32>,
    ban: Ban,
    /// Whether the configuration bans; otherwise `ban` is only what could be.
    banned: bool,
}

/// What is counted.
struct Subject {
    door: Option<String>,
    knocks: usize,
    /// Usable ports, of TCP and of UDP.
    usable: (u32, u32),
    /// Wrong ports that the door forgives.
    tolerate: u8,
    counts: Counts,
    /// For 0 wrong ports forgiven, for 1, and so on.
    strengths: Vec<Strength>,
}

impl Subject {
    fn new(door: Option<String>, knocks: usize, tolerate: u8, most: u8, usable: &Usable) -> Self {
        let counts = Counts::of(knocks, tolerate, usable);
        let strengths =
            (0..=most.max(tolerate)).map(|some| Strength::of(knocks, some, usable)).collect();
        let usable = (usable.count(Protocol::Tcp), usable.count(Protocol::Udp));
        Self { door, knocks, usable, tolerate, counts, strengths }
    }

    /// The strength with as many wrong ports forgiven as the door does.
    fn strength(&self) -> Option<&Strength> {
        self.strengths.get(usize::from(self.tolerate))
    }
}

/// The doors of the policy that are asked for.
fn doors(policy: &Policy, args: &Args) -> Result<Vec<Subject>, Failure> {
    let usable = Usable::of(policy);
    let wanted = |name: &str| args.door.as_deref().is_none_or(|wanted| wanted == name);
    let subjects: Vec<_> = policy
        .doors
        .iter()
        .filter(|door| wanted(door.name.as_str()))
        .map(|door| {
            let name = Some(door.name.to_string());
            let most = args.tolerate.unwrap_or(2);
            Subject::new(name, door.sequence.len(), door.tolerate, most, &usable)
        })
        .collect();
    match &args.door {
        Some(name) if subjects.is_empty() => {
            let known: Vec<&str> = policy.doors.iter().map(|door| door.name.as_str()).collect();
            let failure = Failure::wrong_use(format!("unknown door `{}`", plain(name)));
            Err(failure.hint(suggest::hint(suggest::nearest(name, &known), &known)))
        }
        _ => Ok(subjects),
    }
}

/// The ban that is asked about.
fn strikes(args: &Args, configured: Option<Ban>) -> Result<Ban, Failure> {
    let mut ban = configured.unwrap_or_default();
    if let Some(strikes) = args.strikes {
        ban.strikes = strikes;
    }
    if let Some(within) = &args.within {
        ban.within = time("--within", within, limits::STRIKES_WITHIN)?;
    }
    if let Some(text) = &args.time {
        ban.time = time("--for", text, limits::BAN_TIME)?;
    }
    Ok(ban)
}

/// Seconds to guess if the banned were not heard.
fn seconds_if_deaf(strength: &Strength, ban: &Ban, rate: u32, sources: u32) -> f64 {
    strength.seconds_at(guesses_heard(ban, rate.into(), sources.into()))
}
