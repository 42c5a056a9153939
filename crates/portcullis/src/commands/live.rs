//! Code for the commands that show or change grants and bans of the loaded gate.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use portcullis_config::duration;
use portcullis_core::policy::{AllowedError, Network, Policy, Recogniser, may_have_grants};
use portcullis_core::text::plain;
use portcullis_gate::cut::Cut;
use portcullis_gate::nftables::banned_with;
use serde_json::Value;

use crate::apply::session::Session;
use crate::exit::{Exit, Failure, Outcome};
use crate::out::{print, say};

/// The word for the address from which whoever runs the command has come.
pub const ME: &str = "me";

/// The address that a person means.
///
/// # Errors
///
/// It is none, or not that of one host.
pub fn address(text: &str) -> Result<IpAddr, Failure> {
    if text == ME {
        return mine(Session::anywhere());
    }
    let Ok(address) = text.parse::<IpAddr>() else {
        return Err(Failure::wrong_use(format!("`{}` is not an IP address", plain(text)))
            .hint(format!("write one address such as 203.0.113.7 or 2001:db8::7, or `{ME}`")));
    };
    if may_have_grants(address) {
        return Ok(address);
    }
    let failure = Failure::wrong_use(format!("{address} is not the address of a single host"));
    Err(match address.to_canonical() {
        four if four != address => failure.hint(format!("write the IPv4 address {four}")),
        _ => failure.hint("write the source address of one host"),
    })
}

/// The address or the network that a person means.
///
/// # Errors
///
/// It is neither.
pub fn sources(text: &str) -> Result<Network, Failure> {
    if !text.contains('/') {
        let address = address(text)?;
        return Network::from_str(&address.to_string())
            .map_err(|error| Failure::wrong_use(format!("{address}: {error}")));
    }
    text.parse::<Network>().map_err(|error| {
        let failure = Failure::wrong_use(format!("`{}`: {error}", plain(text)));
        match error {
            AllowedError::HostBits(first, prefix) => {
                failure.hint(format!("write {first}/{prefix}"))
            }
            _ => failure.hint("write a network such as 203.0.113.0/24 or 2001:db8:1:2::/64"),
        }
    })
}

/// The same, with all that is banned together with it: no less than an IPv6 network of 64 bits.
pub fn within(network: Network) -> Network {
    match banned_with(network.first()) {
        Some(together) if together.prefix() < network.prefix() => together,
        _ => network,
    }
}

/// The address that a session comes from.
fn mine(session: Option<Session>) -> Result<IpAddr, Failure> {
    const HINT: &str = "write the IP address";
    let Some(Session { client, .. }) = session else {
        let message = format!("cannot find the address of `{ME}`: this is not an SSH session");
        return Err(Failure::could_not(message).hint(HINT));
    };
    if may_have_grants(client) {
        return Ok(client);
    }
    let message =
        format!("this SSH session comes from {client}, which is not the address of a single host");
    Err(Failure::could_not(message).hint(HINT))
}

/// The duration that a person gives with this option.
///
/// # Errors
///
/// It is none, or out of range.
pub fn time(
    option: &str,
    text: &str,
    range: RangeInclusive<Duration>,
) -> Result<Duration, Failure> {
    duration::parse_in(text, &range).map_err(|problem| {
        Failure::wrong_use(format!("`{option}`: {problem}")).hint(duration::range_hint(&range))
    })
}

/// The same for a clap value parser, which names the option itself.
///
/// # Errors
///
/// As [`time`].
pub fn time_of_option(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, String> {
    duration::parse_in(text, &range)
        .map_err(|problem| format!("{problem}; {}", duration::range_hint(&range)))
}

/// A time as a person reads it: to the second, where there are seconds; no time is for ever.
pub fn shown(time: Option<Duration>) -> String {
    time.map_or_else(|| "forever".to_owned(), duration::to_the_second)
}

/// Milliseconds; `null` is for ever.
pub fn millis(time: Option<Duration>) -> Value {
    time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).into()
}

/// The name of a door of the kernel, or what stands for it where somebody has changed the table.
pub fn name(name: Option<&str>, class: u32) -> String {
    name.map_or_else(|| format!("(door {class})"), str::to_owned)
}

/// "1 grant", "2 grants".
pub fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// Rows below their titles, in columns.
pub fn table<const N: usize>(titles: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = titles.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    let titles = titles.map(str::to_owned);
    for row in std::iter::once(&titles).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Prints data as one JSON object, or says what has been done.
pub fn tell(json: bool, object: &Value, said: &str) -> Outcome {
    if json {
        print(&format!("{object:#}\n"))?;
    } else {
        say(said);
    }
    Ok(Exit::Done)
}

/// Says what has been cut.
pub fn said_cut(cut: Cut) {
    let (tcp, udp) = (count(cut.tcp, "connection"), count(cut.udp, "UDP flow"));
    say(&format!("closed {tcp} and {udp}"));
}

/// How many doors only the daemon opens.
pub fn of_daemon(policy: &Policy) -> usize {
    policy.doors.iter().filter(|door| door.recogniser == Recogniser::Daemon).count()
}

/// Says that no knock can open so many doors, because no daemon runs.
pub fn warn_of_deaf_doors(deaf: usize) {
    if deaf > 0 {
        let doors = count(deaf, "door");
        say(&format!(
            "warning: the daemon is not running, so knocks cannot open {doors}\n  hint: systemctl \
             start portcullis-run"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_host_are_taken() {
        for (text, expected) in [
            ("203.0.113.7", Ok("203.0.113.7")),
            ("2001:db8::7", Ok("2001:db8::7")),
            ("fe80::7", Ok("fe80::7")),
            ("203.0.113.0/24", Err("`203.0.113.0/24` is not an IP address")),
            ("host.example", Err("`host.example` is not an IP address")),
            ("a\u{1b}[2Jb", Err("`a\\u{1b}[2Jb` is not an IP address")),
            ("0.0.0.0", Err("0.0.0.0 is not the address of a single host")),
            ("255.255.255.255", Err("255.255.255.255 is not the address of a single host")),
            ("ff02::1", Err("ff02::1 is not the address of a single host")),
            ("::ffff:203.0.113.7", Err("::ffff:203.0.113.7 is not the address of a single host")),
        ] {
            let found = address(text);
            let found = found.as_ref().map(ToString::to_string).map_err(|f| f.message.as_str());
            assert_eq!(found, expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn my_address_is_that_of_the_ssh_client() {
        let session = |client: &str| Session {
            connection: String::new(),
            client: client.parse().unwrap(),
            server: "198.51.100.1".parse().unwrap(),
            port: 22,
            began: None,
        };
        let found = |client: &str| mine(Some(session(client))).ok().map(|it| it.to_string());
        assert_eq!(found("203.0.113.7").unwrap(), "203.0.113.7");
        assert_eq!(found("fe80::7").unwrap(), "fe80::7");
        assert_eq!(found("0.0.0.0"), None);
        assert_eq!(mine(None).unwrap_err().exit, Exit::CouldNot);
    }

    #[test]
    fn times_have_bounds() {
        let length = |text| time("--for", text, super::super::grant::LENGTHS);
        assert_eq!(length("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(length("24h"), Ok(Duration::from_secs(86_400)));
        for bad in ["0s", "24h1ms", "5", "", "-5s", "99999999999999999999h"] {
            assert_eq!(length(bad).unwrap_err().exit, Exit::WrongUse, "{bad}");
        }
    }
}
