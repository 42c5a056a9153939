//! Rules of iptables as words, as `iptables-save` prints them and as we write them.
//!
//! Both mean the same and look different: what a program knows to be usual it leaves out, and it prints
//! what belongs to every rule first. [`usual`] makes them alike.

use portcullis_core::policy::Network;

/// The words of a line: parted by spaces, together between quotes, with a backslash before a quote that
/// is meant.
pub(super) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut quoted, mut begun) = (false, false);
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                quoted = !quoted;
                begun = true;
            }
            '\\' => word.extend(characters.next()),
            ' ' if !quoted => {
                if begun || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            other => word.push(other),
        }
    }
    if begun || !word.is_empty() {
        words.push(word);
    }
    words
}

/// The word behind this one.
pub(super) fn after<'a>(words: &'a [String], option: &str) -> Option<&'a str> {
    let at = words.iter().position(|word| word == option)?;
    words.get(at.checked_add(1)?).map(String::as_str)
}

/// A rule as everybody means it: options with their values, those that change nothing when they are
/// looked at in a fixed order and the others as they stood.
pub(super) fn usual(words: &[String]) -> Vec<Vec<String>> {
    let mut options: Vec<Vec<String>> = Vec::new();
    let mut continues = false;
    for word in words {
        let begins = word == "!" || (word.starts_with('-') && word.len() > 1);
        match options.last_mut() {
            Some(option) if continues || !begins => option.push(word.clone()),
            _ => options.push(vec![word.clone()]),
        }
        // What comes behind a "!" belongs to it.
        continues = word == "!";
    }
    options.retain_mut(|option| {
        let borrowed: Vec<&str> = option.iter().map(String::as_str).collect();
        match borrowed.as_slice() {
            // Which match an option is of is plain from the option.
            ["-m", _] | ["--rsource"] => false,
            ["--mask", "255.255.255.255" | "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"] => false,
            // What is not said is 5.
            ["--limit-burst", "5"] => false,
            ["--limit", rate] => {
                let rate = rate.replace("/second", "/sec");
                *option = vec!["--limit".to_owned(), rate];
                true
            }
            ["-p", "icmpv6" | "icmp6"] => {
                *option = vec!["-p".to_owned(), "ipv6-icmp".to_owned()];
                true
            }
            ["-s", network] => {
                let network = network.parse::<Network>().map(|it| it.to_string());
                if let Ok(network) = network {
                    *option = vec!["-s".to_owned(), network];
                }
                true
            }
            _ => true,
        }
    });
    // From the first match on that changes something, or counts, the order is part of the meaning.
    const CHANGE: [&str; 4] = ["--set", "--remove", "--rcheck", "--limit"];
    let changes = |option: &Vec<String>| option.iter().any(|word| CHANGE.contains(&word.as_str()));
    let steady = options.iter().position(changes).unwrap_or(options.len());
    if let Some(steady) = options.get_mut(..steady) {
        steady.sort();
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes() {
        assert_eq!(
            words("-A c -m comment --comment \"opens ssh\" -j X"),
            ["-A", "c", "-m", "comment", "--comment", "opens ssh", "-j", "X"]
        );
        assert_eq!(words("\"this host\\'s \\\"own\\\"\" \"\""), ["this host's \"own\"", ""]);
        assert_eq!(words("\"never ends \\"), ["never ends "]);
        assert_eq!(words("  "), [""; 0]);
    }

    #[test]
    fn what_looks_different_and_means_the_same_is_the_same() {
        let same = |one: &str, two: &str| usual(&words(one)) == usual(&words(two));
        for (ours, printed) in [
            (
                "-m recent --set --name x -j RETURN",
                "-m recent --set --name x --mask 255.255.255.255 --rsource -j RETURN",
            ),
            (
                "-m ipv6header --soft ! --header a,b -g c",
                "-m ipv6header ! --header a,b --soft -g c",
            ),
            ("-m limit --limit 1/second --limit-burst 5 -j LOG", "-m limit --limit 1/sec -j LOG"),
            ("-s 203.0.113.7 -j RETURN", "-s 203.0.113.7/32 -j RETURN"),
            ("-m pkttype ! --pkt-type unicast -p tcp", "-p tcp -m pkttype ! --pkt-type unicast"),
            ("-m comment --comment \"knocked\" -j X", "-m comment --comment knocked -j X"),
        ] {
            assert!(same(ours, printed), "{ours} and {printed}");
        }
        for (one, other) in [
            ("! -p tcp -j X", "-p tcp -j X"),
            ("-p tcp ! --dport 22", "! -p tcp --dport 22"),
            ("--set --name a --remove --name b", "--remove --name b --set --name a"),
            ("--rcheck --seconds 5 --name a", "--rcheck --seconds 6 --name a"),
            ("--set --name a --mask 255.255.255.0", "--set --name a"),
            ("-j X", "-g X"),
            ("-p tcp -j X", "-j X"),
        ] {
            assert!(!same(one, other), "{one} and {other}");
        }
    }
}
