//! Ports as rules name them: `22`, `6000:6007`, `ssh`.

use portcullis_core::policy::{Port, Protocol};

/// A list that names more ports than there are is refused: nobody writes it, and it would fill the memory.
const MAX_NAMED: usize = 2 * 65_535;

/// Services by the names that rules call them (services(5), and RFC 6335). Of several names for one port, the
/// first is what a door to it is called.
const SERVICES: [(&str, u16); 21] = [
    ("ssh", 22),
    ("http", 80),
    ("www", 80),
    ("https", 443),
    ("ftp", 21),
    ("ftp-data", 20),
    ("telnet", 23),
    ("smtp", 25),
    ("domain", 53),
    ("pop3", 110),
    ("ntp", 123),
    ("imap2", 143),
    ("imap", 143),
    ("submission", 587),
    ("imaps", 993),
    ("pop3s", 995),
    ("openvpn", 1194),
    ("mysql", 3306),
    ("ms-wbt-server", 3389),
    ("postgresql", 5432),
    ("http-alt", 8080),
];

/// What a door to this port may be called.
pub fn service_name(number: u16) -> Option<&'static str> {
    SERVICES.iter().find(|(_, known)| *known == number).map(|(name, _)| *name)
}

/// The protocol of this name.
pub fn protocol(name: &str) -> Option<Protocol> {
    match &*name.to_ascii_lowercase() {
        "tcp" => Some(Protocol::Tcp),
        "udp" => Some(Protocol::Udp),
        _ => None,
    }
}

/// The ports of all these words, of each protocol, in their order. An error is the word that names none, or
/// one too many.
pub fn all<'a>(
    words: impl IntoIterator<Item = &'a str>,
    between: char,
    protocols: &[Protocol],
) -> Result<Vec<Port>, &'a str> {
    let mut ports = Vec::new();
    for word in words {
        let (first, last) = range(word, between).filter(|_| !protocols.is_empty()).ok_or(word)?;
        for protocol in protocols {
            ports.extend((first..=last).filter_map(|number| Port::new(*protocol, number)));
        }
        if ports.len() > MAX_NAMED {
            return Err(word);
        }
    }
    Ok(ports)
}

/// The only port that this word names.
pub fn one(word: &str, protocol: Protocol) -> Option<Port> {
    let (first, last) = range(word, '\n')?;
    Port::new(protocol, first).filter(|_| first == last)
}

/// `22` or `6000:6007`, from and up to; never 0 alone.
fn range(word: &str, between: char) -> Option<(u16, u16)> {
    let (first, last) = match word.split_once(between) {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(word)?, number(word)?),
    };
    (first <= last && last > 0).then_some((first, last))
}

fn number(word: &str) -> Option<u16> {
    let word = word.trim();
    if word.bytes().all(|byte| byte.is_ascii_digit()) {
        return word.parse().ok();
    }
    SERVICES.iter().find(|(known, _)| *known == word).map(|(_, number)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(words: &str, between: char, protocols: &[Protocol]) -> Result<String, String> {
        let ports = all(words.split(','), between, protocols).map_err(str::to_owned)?;
        Ok(ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn ports_are_read_by_number_range_and_name() {
        let both = [Protocol::Tcp, Protocol::Udp];
        for (words, between, protocols, expected) in [
            ("22", ':', &both[..], Ok("tcp/22 udp/22")),
            ("80,22,www", ':', &both[..1], Ok("tcp/80 tcp/22 tcp/80")),
            ("0:2", ':', &both[..1], Ok("tcp/1 tcp/2")),
            ("53,500-502", '-', &both[1..], Ok("udp/53 udp/500 udp/501 udp/502")),
            ("9:8", ':', &both, Err("9:8")),
            ("22,0", ':', &both, Err("0")),
            ("22,+80", ':', &both, Err("+80")),
            ("65536", ':', &both, Err("65536")),
            ("no-such-service", ':', &both, Err("no-such-service")),
            ("22", ':', &[], Err("22")),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(named(words, between, protocols), expected, "{words}");
        }
    }

    #[test]
    fn list_of_repeated_ranges_is_refused() {
        let all_ports = ["1:65535"; 3].join(",");
        assert_eq!(named(&all_ports, ':', &[Protocol::Tcp]), Err("1:65535".into()));
        assert_eq!(one("22", Protocol::Tcp), Port::tcp(22));
        assert_eq!(one("22:23", Protocol::Tcp), None);
    }
}
