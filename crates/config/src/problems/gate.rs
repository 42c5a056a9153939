//! Codes of the gate, of who is allowed and of who is banned.

use std::fmt::Write as _;

use super::entry::Entry;
use super::entry::Example::{Made, Text};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: "no-door",
        title: "There is no door",
        why: "In the stance `guard` a gate without doors does nothing at all, which is hardly what a \
              configuration is written for.",
        remedy: "Write a table such as `[door.ssh]` with `guards` and `sequence`.",
        example: Text("[gate]\npublic = [\"tcp/80\"]"),
    },
    Entry {
        code: "nobody-gets-in",
        title: "All is closed, and nobody can get in any more",
        why: "The stance `closed` refuses what it does not know. Without a door, a public port or anybody \
              allowed, only connections already made go on: right for a machine with a console, a lock-out \
              for any other.",
        remedy: "Add a door, `public` ports, or somebody to `allow`; or keep it, if that is what you want.",
        example: Text("[gate]\nstance = \"closed\""),
    },
    Entry {
        code: "refusal-stands-out",
        title: "Guarded ports refuse otherwise than their neighbours",
        why: "In the stance `guard` all other ports of the host answer as they always did. A port that is \
              silent among ports that answer, or that answers \"administratively prohibited\", tells every \
              scanner where to knock. What `like-closed` does for TCP adapts by itself: the network stack \
              answers as for any closed port, and is silent where other rules drop. Only UDP is answered by \
              the gate.",
        remedy: "Leave `refuse` out. Keep `drop` if other rules of this host drop everything else, and a UDP \
                 port is guarded or `backend` is one of iptables.",
        example: Text(
            "[gate]\nrefuse = \"drop\"\n\n[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \
             \"udp/29117\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "log-in-guard",
        title: "Refused packets are logged only in the stance `closed`",
        why: "In the stance `guard` all other packets are left to other rules, so a log of what the gate \
              refuses would be next to empty, and would look as if nothing had happened.",
        remedy: "Remove `log_refused`, or write `stance = \"closed\"`.",
        example: Text(
            "[gate]\nlog_refused = true\n\n[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \
             \"udp/29117\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "too-many-public",
        title: "There are too many public ports",
        why: "Each is an element of a set of the kernel and shrinks what can be a knock; there is a limit to \
              everything that can grow.",
        remedy: "Name at most 4,096.",
        example: Made("in a list of 4,097 public ports", || {
            let ports: Vec<_> = (1..=4_097).map(|port| format!("\"udp/{port}\"")).collect();
            format!("[gate]\npublic = [{}]", ports.join(", "))
        }),
    },
    Entry {
        code: "duplicate-public",
        title: "A public port is listed twice",
        why: "It does no harm, but one of the two may have been meant to be another port.",
        remedy: "Remove one of them.",
        example: Text("[gate]\nstance = \"closed\"\npublic = [\"tcp/80\", \"tcp/80\"]"),
    },
    Entry {
        code: "too-many-interfaces",
        title: "There are too many interfaces",
        why: "The gate stands on all but loopback when none is named, so nobody needs a long list.",
        remedy: "Name at most 64, or none.",
        example: Made("in a list of 65 interfaces", || {
            let names: Vec<_> = (0..65).map(|number| format!("\"eth{number}\"")).collect();
            format!("[gate]\ninterfaces = [{}]", names.join(", "))
        }),
    },
    Entry {
        code: "duplicate-interface",
        title: "An interface is listed twice",
        why: "It does no harm, but one of the two may have been meant to be another interface.",
        remedy: "Remove one of them.",
        example: Text("[gate]\ninterfaces = [\"eth0\", \"eth0\"]"),
    },
    Entry {
        code: "too-many-allowed",
        title: "The allow-list is too long",
        why: "Each entry is an element of a set of the kernel; there is a limit to everything that can grow.",
        remedy: "Name at most 4,096, and whole networks instead of addresses.",
        example: Made("in a list of 4,097 addresses to allow", || {
            let allow: Vec<_> =
                (0..4_097).map(|number| format!("\"2001:db8::{number:x}\"")).collect();
            format!("[gate]\nallow = [{}]", allow.join(", "))
        }),
    },
    Entry {
        code: "too-many-hosts",
        title: "There are too many names to look up",
        why: "Each is looked up again and again, one after the other; a name server that is slow to answer would \
              keep all the others waiting.",
        remedy: "Name at most 32, and addresses or networks for the others.",
        example: Made("in a list of 33 names to allow", || {
            let allow: Vec<_> =
                (0..33).map(|number| format!("\"h{number}.example.org\"")).collect();
            format!("[gate]\nallow = [{}]", allow.join(", "))
        }),
    },
    Entry {
        code: "duplicate-allowed",
        title: "Somebody is allowed twice",
        why: "It does no harm, but one of the two may have been meant to be somebody else.",
        remedy: "Remove one of them.",
        example: Text("[gate]\nallow = [\"203.0.113.7\", \"203.0.113.7\"]"),
    },
    Entry {
        code: "allows-everyone",
        title: "The allow-list lets everyone in",
        why: "Whoever is allowed needs no knock. A gate that allows all addresses is none.",
        remedy: "Name the networks that you mean.",
        example: Text("[gate]\nallow = [\"0.0.0.0/0\"]"),
    },
    Entry {
        code: "allowed-elsewhere",
        title: "An allowed interface is one on which the gate does not stand",
        why: "What comes in there is not looked at anyway. Whoever wrote this may think that the gate guards \
              that interface for others.",
        remedy: "Remove it, or name the interface in `interfaces` too.",
        example: Text("[gate]\ninterfaces = [\"eth0\"]\nallow = [\"iface:wg0\"]"),
    },
    Entry {
        code: "strikes-out-of-range",
        title: "So many strikes cannot be counted",
        why: "One strike would ban whoever mistypes; more than 10,000 would ban nobody.",
        remedy: "Write a number from 2 to 10000; 10 is the default.",
        example: Text("[ban]\nstrikes = 1"),
    },
    Entry {
        code: "one-try-bans",
        title: "Whoever forgets to knock once is banned",
        why: "With `refuse = \"drop\"` nobody answers, so TCP sends the SYN of one connection six times in a \
              minute, and each is a strike.",
        remedy: "Give more than six strikes, or another `refuse`.",
        example: Text("[gate]\nrefuse = \"drop\"\n[ban]\nstrikes = 5"),
    },
    Entry {
        code: "knocks-ban",
        title: "Knocking twice bans from public ports",
        why: "A ban must not tell which ports are knocks, so a knock is a strike like any packet to a closed \
              port. Whoever knocks wrongly once, and then rightly, is banned: the door opens all the same, \
              but public ports do not answer any more.",
        remedy: "Give more than twice as many strikes as the longest sequence has knocks.",
        example: Text(
            "[ban]\nstrikes = 6\n\n[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "within-out-of-range",
        title: "Strikes cannot be counted for so long, or so short",
        why: "The kernel counts exactly from a second to an hour.",
        remedy: "Write a time from 1s to 1h; 1m is the default.",
        example: Text("[ban]\nwithin = \"2h\""),
    },
    Entry {
        code: "ban-time-out-of-range",
        title: "A ban cannot last so long, or so short",
        why: "Addresses change hands. A ban of a year hits somebody else, and fills the table of bans.",
        remedy: "Write a time from 1s to 720h, which is 30 days; 1h is the default.",
        example: Text("[ban]\nfor = \"1000h\""),
    },
    Entry {
        code: "too-many-doors",
        title: "There are too many doors",
        why: "All doors are one automaton in the kernel's memory; there is a limit to everything that can grow.",
        remedy: "A configuration has at most 20,000 doors.",
        example: Made("in a configuration of 20,001 doors", || {
            (0..20_001u32).fold(String::new(), |mut text, door| {
                let (high, low) = (door / 200, door % 200);
                let _ = writeln!(
                    text,
                    "[door.d{door}]\nguards = [\"tcp/{}\"]\nsequence = [\"udp/{}\", \"udp/{}\", \"udp/1\"]",
                    door + 1,
                    20_000 + high,
                    40_000 + low,
                );
                text
            })
        }),
    },
    Entry {
        code: "too-many-durations",
        title: "The doors have too many different durations",
        why: "A timeout in a rule of the kernel is a constant, so each pair of `step_timeout` and `open_for` \
              is a chain of its own. 64 of them are allowed.",
        remedy: "Give doors the same durations.",
        example: Made("in a configuration of 65 doors, each with an `open_for` of its own", || {
            (0..65u16).fold(String::new(), |mut text, door| {
                let _ = writeln!(
                    text,
                    "[door.d{door}]\nguards = [\"tcp/{}\"]\nsequence = [\"udp/{}\", \"tcp/9\", \"udp/10\"]\n\
                     open_for = \"{}s\"",
                    door + 100,
                    door + 1_000,
                    door + 10,
                );
                text
            })
        }),
    },
];
