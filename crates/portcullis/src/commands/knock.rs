//! `portcullis knock`.

use std::io::Write;
use std::time::Duration;

use portcullis_client::{Answer, Family, Hit, KnockError, Options, Target, knock_telling};
use portcullis_core::policy::Port;

use crate::exit::{Exit, Failure, Outcome};

/// Arguments of `knock`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name or address of the host
    host: String,
    /// Ports to knock at, in order: `tcp/7431 udp/29117 tcp/1123`
    #[arg(required = true)]
    ports: Vec<Port>,
    /// Time between knocks; an answer ends it early
    #[arg(long, default_value = "100ms", value_parser = delay)]
    delay: Duration,
    /// Knock at an IPv4 address
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,
    /// Knock at an IPv6 address
    #[arg(short = '6', long)]
    ipv6: bool,
    /// Print the answer to each knock
    #[arg(short, long)]
    verbose: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    let family = match (args.ipv4, args.ipv6) {
        (true, _) => Family::V4,
        (_, true) => Family::V6,
        _ => Family::Any,
    };
    let options = Options { delay: args.delay, family };
    let tell = |address, hit: Hit| {
        if args.verbose {
            // Nothing can be done when even that cannot be written; the knocks go on.
            let _ = writeln!(anstream::stderr(), "{address}: {}: {}", hit.port, words(hit.answer));
        }
    };
    match knock_telling(&Target::new(&*args.host), &args.ports, &options, tell) {
        Ok(_) => Ok(Exit::Done),
        Err(error) => Err(failure(&error)),
    }
}

const fn words(answer: Answer) -> &'static str {
    match answer {
        Answer::None => "no answer",
        Answer::Refused => "closed",
        Answer::Open => "open",
        Answer::Unreachable => "unreachable",
    }
}

fn failure(error: &KnockError) -> Failure {
    let failure = Failure::could_not(error.to_string());
    match error {
        KnockError::NoPorts => Failure::wrong_use(error.to_string()),
        KnockError::Unresolved { .. } => failure.hint("use the address instead of the name"),
        KnockError::NoAddress { .. } => failure.hint("leave out -4 or -6"),
        KnockError::Send { .. } => {
            failure.hint("check the firewall of this host, then knock again from the start")
        }
        _ => failure,
    }
}

/// Longest delay: with more, no door would still be waiting.
const LONGEST_DELAY: Duration = Duration::from_secs(300);

/// Reads `100ms`, `2s`.
fn delay(text: &str) -> Result<Duration, &'static str> {
    let (number, unit) = text
        .find(|c: char| !c.is_ascii_digit())
        .and_then(|end| text.split_at_checked(end))
        .ok_or("expected a number with a unit, as in `100ms` or `1s`")?;
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        _ => return Err("the unit is not `ms` or `s`"),
    };
    let number: u64 = number.parse().map_err(|_| "expected a number, as in `100ms` or `1s`")?;
    let delay = Duration::from_millis(number.saturating_mul(unit));
    if delay > LONGEST_DELAY { Err("a delay is at most `300s`") } else { Ok(delay) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays() {
        assert_eq!(delay("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(delay("0ms"), Ok(Duration::ZERO));
        assert_eq!(delay("2s"), Ok(Duration::from_secs(2)));
        for wrong in ["", "100", "ms", "-1s", "1.5s", "1m", "301s", "99999999999999999999s"] {
            assert!(delay(wrong).is_err(), "{wrong}");
        }
    }
}
