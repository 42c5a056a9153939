//! The program `knock`: a drop-in for that of knockd 0.8, with its flags and its output.
//!
//! What is different, and why, is listed in `docs/knockd-compatibility.md`; in short, all that
//! is wrong with the arguments is found before the first packet, and all packets go to one address.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use portcullis_core::policy::{Port, Protocol};

use crate::{Family, KnockError, Target, knock_once, service};

/// The version of knockd that this stands in for, and ours.
const VERSION: &str = concat!("0.8 (Portcullis ", env!("CARGO_PKG_VERSION"), ")");

/// Every failure, as theirs; and help, which scripts may have learned to expect.
const FAILED: u8 = 1;

/// Knock at ports of a host, in the order given
#[derive(Debug, Parser)]
#[command(name = "knock", version = VERSION, infer_long_args = true, args_override_self = true)]
#[command(after_help = "Example: knock myserver.example.com 123:tcp 456:udp 789:tcp")]
struct Arguments {
    /// Use UDP for all ports, even for those with a protocol
    #[arg(short, long)]
    udp: bool,
    /// Wait this number of milliseconds after each knock
    // Theirs takes whatever follows, also what looks like another option.
    #[arg(short, long, value_name = "MS", allow_hyphen_values = true, default_value = "0")]
    #[arg(value_parser = delay)]
    delay: Duration,
    /// Use IPv4 only
    #[arg(short = '4', long, overrides_with = "ipv6")]
    ipv4: bool,
    /// Use IPv6 only
    #[arg(short = '6', long)]
    ipv6: bool,
    /// Print each knock
    #[arg(short, long)]
    verbose: bool,
    /// Name or address of the host
    #[arg(value_name = "HOST")]
    host: String,
    /// Port number or service name, and protocol (default: TCP)
    #[arg(value_name = "PORT[:PROTOCOL]", required = true)]
    ports: Vec<String>,
}

/// The definition of the command line, for the manual.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the program `knock` with the arguments of this process.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nothing can be done when even the message cannot be written.
            let _ = error.print();
            let version = error.kind() == ErrorKind::DisplayVersion;
            return if version { ExitCode::SUCCESS } else { FAILED.into() };
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // As above.
            let _ = writeln!(io::stderr(), "{problem}");
            FAILED.into()
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Problem> {
    let ports = arguments.ports.iter().map(|text| read(text, arguments.udp));
    let ports: Vec<Wanted<'_>> = ports.collect::<Result<_, _>>()?;
    let family = match (arguments.ipv4, arguments.ipv6) {
        (true, _) => Family::V4,
        (_, true) => Family::V6,
        _ => Family::Any,
    };
    let destination = Target::new(&*arguments.host).resolve(family)?;
    let address = shown(destination, &arguments.host);
    for Wanted { port, typed } in ports {
        if arguments.verbose {
            // The knocks go on when nobody listens any more.
            let _ = writeln!(io::stdout(), "hitting {} {address}:{typed}", port.protocol);
        }
        knock_once::send(destination, port).map_err(|source| KnockError::Send {
            port,
            address: destination.ip(),
            source,
        })?;
        // After the last one too: whoever comes next may rely on it.
        thread::sleep(arguments.delay);
    }
    Ok(())
}

/// A port, and how it was written.
#[derive(Debug, PartialEq, Eq)]
struct Wanted<'a> {
    port: Port,
    typed: &'a str,
}

/// Reads `7000`, `7000:udp`, `ssh` or `domain:udp`.
fn read(text: &str, udp: bool) -> Result<Wanted<'_>, Problem> {
    let shown = text.escape_debug();
    let (typed, protocol) = text.split_once(':').unwrap_or((text, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" if !udp => Protocol::Tcp,
        "tcp" | "udp" => Protocol::Udp,
        _ => {
            return Err(Problem::new(format!("the protocol of `{shown}` is not tcp or udp"))
                .hint("write `7000`, `7000:tcp` or `7000:udp`"));
        }
    };
    if typed.is_empty() {
        return Err(Problem::new(format!("`{shown}` has no port"))
            .hint("write a number from 1 to 65535, or the name of a service"));
    }
    let number = typed.strip_prefix('+').unwrap_or(typed);
    let port = if number.bytes().all(|byte| byte.is_ascii_digit()) {
        number.parse().ok().and_then(|number| Port::new(protocol, number)).ok_or_else(|| {
            Problem::new(format!("`{shown}` is not a port")).hint("ports run from 1 to 65535")
        })
    } else {
        service::port(typed, protocol).ok_or_else(|| {
            Problem::new(format!("unknown service `{}`", typed.escape_debug()))
                .hint("write the port number")
        })
    };
    Ok(Wanted { port: port?, typed })
}

/// Reads a number of milliseconds.
fn delay(text: &str) -> Result<Duration, &'static str> {
    if text.starts_with('-') && text.parse::<i64>().is_ok() {
        return Err("a delay cannot be negative");
    }
    // Theirs is kept in as many bits: some 49 days.
    text.parse::<u32>()
        .map(|millis| Duration::from_millis(millis.into()))
        .map_err(|_| "a delay is a whole number of milliseconds, less than 2^32")
}

/// The address as theirs prints it: without brackets, and with the interface that was asked for.
fn shown(address: SocketAddr, host: &str) -> String {
    let interface = match address {
        SocketAddr::V6(address) if address.scope_id() != 0 => host.split_once('%'),
        _ => None,
    };
    match interface {
        Some((_, name)) => format!("{}%{}", address.ip(), name.trim_end_matches(']')),
        None => address.ip().to_string(),
    }
}

/// Why nothing was sent, or not all of it.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    message: String,
    hint: Option<&'static str>,
}

impl Problem {
    const fn new(message: String) -> Self {
        Self { message, hint: None }
    }

    const fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }
}

impl From<KnockError> for Problem {
    fn from(error: KnockError) -> Self {
        let problem = Self::new(error.to_string());
        match error {
            KnockError::Unresolved { .. } => problem.hint("use the address instead of the name"),
            KnockError::NoAddress { .. } => problem.hint("leave out -4 or -6"),
            KnockError::NoRoute { address: std::net::IpAddr::V6(address), .. }
                if address.is_unicast_link_local() =>
            {
                problem.hint("add the interface, as in fe80::1%eth0")
            }
            KnockError::Send { .. } => {
                problem.hint("check the firewall of this host, then knock again from the start")
            }
            KnockError::NoRoute { .. } | KnockError::NoPorts => problem,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        match self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, ErrorKind> {
        let words = line.split(' ').filter(|word| !word.is_empty());
        Arguments::try_parse_from(["knock"].into_iter().chain(words)).map_err(|error| error.kind())
    }

    #[test]
    fn options_as_getopt_takes_them() {
        let all = parse("host 1 2:udp -vud5 -6").unwrap();
        assert!(all.verbose && all.udp && all.ipv6 && !all.ipv4);
        assert_eq!((all.host.as_str(), all.ports.len()), ("host", 2));
        assert_eq!(all.delay, Duration::from_millis(5));
        for line in ["--del 5 h 1", "h --de=5 1", "-d5 h 1", "-d 5 h 1", "-d 7 -d 5 h 1"] {
            assert_eq!(parse(line).unwrap().delay, Duration::from_millis(5), "{line}");
        }
        assert!(parse("-vv --verb -uu h 1").is_ok());
        // The last one counts.
        let last = parse("-4 -6 h 1").unwrap();
        assert!(last.ipv6 && !last.ipv4);
        let last = parse("-6 --ipv4 h 1").unwrap();
        assert!(last.ipv4 && !last.ipv6);
        assert_eq!(parse("-- h 1").unwrap().host, "h");
    }

    #[test]
    fn what_is_wrong_with_options() {
        for line in ["", "h", "-x h 1", "--ver h 1", "--foo h 1", "h -1", "-d", "h 1 -d"] {
            assert!(parse(line).is_err(), "{line}");
        }
        for delay in ["-5", "abc", "0.5", "5x", "4294967296", "", "-v"] {
            let arguments = ["knock", "-d", delay, "h", "1"];
            assert!(Arguments::try_parse_from(arguments).is_err(), "{delay}");
        }
        assert_eq!(parse("-V -x").unwrap_err(), ErrorKind::DisplayVersion);
        assert_eq!(parse("-h").unwrap_err(), ErrorKind::DisplayHelp);
    }

    #[test]
    fn ports() {
        let port = |text, udp| {
            let wanted = read(text, udp).map_err(|problem| problem.to_string())?;
            Ok::<_, String>((wanted.port.to_string(), wanted.typed))
        };
        let is = |protocol, typed| Ok((String::from(protocol), typed));
        assert_eq!(port("7000", false), is("tcp/7000", "7000"));
        assert_eq!(port("7000:udp", false), is("udp/7000", "7000"));
        assert_eq!(port("7000:UDP", false), is("udp/7000", "7000"));
        assert_eq!(port("7000:Tcp", false), is("tcp/7000", "7000"));
        assert_eq!(port("7000:tcp", true), is("udp/7000", "7000"));
        assert_eq!(port("+080", false), is("tcp/80", "+080"));
        assert_eq!(port("65535", false), is("tcp/65535", "65535"));
        for wrong in [
            "",
            ":",
            ":udp",
            "9:",
            "9:foo",
            "9:udp:tcp",
            "0",
            "65536",
            "70000",
            "+",
            "-1",
            "0x10",
            "99999999999999999999",
            " 9",
            "9 ",
            "1,2",
            "++9",
            "\u{1b}[31m",
            "no-such-service",
        ] {
            let problem = port(wrong, false).unwrap_err();
            assert!(!problem.contains('\u{1b}') && problem.contains("\n  hint: "), "{problem}");
            assert!(port(wrong, true).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_as_theirs_prints_them() {
        let address = |text: &str| -> SocketAddr { text.parse().unwrap() };
        assert_eq!(shown(address("10.81.0.1:9"), "host"), "10.81.0.1");
        assert_eq!(shown(address("[fd00:81::1]:9"), "[fd00:81::1]"), "fd00:81::1");
        for host in ["fe80::1%eth0", "[fe80::1%eth0]"] {
            assert_eq!(shown(address("[fe80::1%3]:9"), host), "fe80::1%eth0");
        }
    }
}
