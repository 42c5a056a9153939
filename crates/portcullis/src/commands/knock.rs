//! `portcullis knock`.

use std::ops::RangeInclusive;
use std::time::Duration;

use portcullis_client::{Answer, Family, KnockError, Options, SentKnock, Target, knock_telling};
use portcullis_core::policy::Port;

use super::live::time_of_option;
use crate::exit::{Exit, Failure, Outcome};
use crate::out::say;

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
    let tell = |address, knock: SentKnock| {
        if args.verbose {
            say(&format!("{address}: {}: {}", knock.port, words(knock.answer)));
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

/// Delays. With longer ones, no door would still be waiting.
const DELAYS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(300);

fn delay(text: &str) -> Result<Duration, String> {
    time_of_option(text, DELAYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays() {
        assert_eq!(delay("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(delay("0ms"), Ok(Duration::ZERO));
        assert_eq!(delay("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(delay("1m"), Ok(Duration::from_secs(60)));
        for wrong in ["", "100", "ms", "-1s", "1.5s", "1d", "301s", "99999999999999999999s"] {
            assert!(delay(wrong).is_err(), "{wrong}");
        }
    }
}
