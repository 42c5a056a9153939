//! Lists, states, times and knocks.

use std::time::Duration;

use portcullis_core::policy::{Port, Protocol};

use crate::import::filter::time;
use crate::import::ports;

/// How long a knock is remembered where nothing is said, and the least (ipload(5)).
pub const KNOCK: Duration = Duration::from_secs(10);
const LEAST: Duration = Duration::from_secs(1);

/// What stands between commas and spaces.
pub fn list(text: &str) -> Vec<String> {
    let text = text.trim().trim_matches(['\'', '"']);
    text.split([',', ' ', '\t']).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// `tcp:100/5s, 300, udp:200`: knocks with how long each is remembered. A wrong one is named.
pub fn knocks(text: &str, default: Protocol) -> Result<Vec<(Port, Duration)>, String> {
    let one = |part: &String| {
        let wrong = || format!("`{part}` is not a knock");
        let (knock, time) = match part.split_once('/') {
            Some((knock, text)) => (knock, time(text).ok_or_else(wrong)?.max(LEAST)),
            None => (&**part, KNOCK),
        };
        let (protocol, port) = match knock.split_once(':') {
            Some((protocol, port)) => (ports::protocol(protocol).ok_or_else(wrong)?, port),
            None => (default, knock),
        };
        Ok((ports::one(port, protocol).ok_or_else(wrong)?, time))
    };
    list(text).iter().map(one).collect()
}

/// `new`, `established | related | !new`; `None` if something else is asked too.
pub fn states(text: &str) -> Option<Vec<String>> {
    let mut known = Vec::new();
    for word in text.split(['|', ',', ' ', '(', ')', '\t']).filter(|word| !word.is_empty()) {
        match &*word.to_ascii_lowercase() {
            state @ ("new" | "established" | "related" | "invalid") => known.push(state.to_owned()),
            // Beside what is said already, this says nothing.
            "!new" if text.contains("established") => {}
            _ => return None,
        }
    }
    Some(known)
}
