//! Codes of the gate, of who is allowed and of who is banned.

use std::fmt::Write as _;

use super::entry::Entry;
use super::entry::Example::{Made, Text};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: "no-door",
        title: "The configuration has no door",
        why: "With `stance = \"guard\"` a gate without doors has no effect.",
        remedy: "Write a table such as `[door.ssh]` with `guards` and `sequence`.",
        example: Text("[gate]\npublic = [\"tcp/80\"]"),
    },
    Entry {
        code: "nobody-gets-in",
        title: "Nobody can start a connection",
        why: "With `stance = \"closed\"` the gate refuses all packets that no rule lets in. \
              Without a door, a public port or an entry in `allow`, only established connections \
              continue. This locks you out of a machine without a console.",
        remedy: "Add a door, `public` ports, or an address in `allow`. If you want this, ignore \
                 the warning.",
        example: Text("[gate]\nstance = \"closed\""),
    },
    Entry {
        code: "refusal-stands-out",
        title: "Guarded ports answer differently from closed ports",
        why: "With `stance = \"guard\"` all other ports of the host answer as before. A silent \
              port among ports that answer, or an answer \"administratively prohibited\", tells \
              every scanner which ports are guarded. With `like-closed` the network stack answers \
              TCP as for any closed port, and stays silent where other rules drop. Only UDP is \
              answered by the gate.",
        remedy: "Remove `refuse`. Keep `drop` if other rules of this host drop all other packets, \
                 and a UDP port is guarded or `backend` is `\"iptables\"` or `\"ipset\"`.",
        example: Text(
            "[gate]\nrefuse = \"drop\"\n\n[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \
             \"udp/29117\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "log-in-guard",
        title: "Refused packets are logged only in the stance `closed`",
        why: "With `stance = \"guard\"` the gate leaves all other packets to other rules. A log of \
              refused packets would be nearly empty, which is misleading.",
        remedy: "Remove `log_refused`, or write `stance = \"closed\"`.",
        example: Text(
            "[gate]\nlog_refused = true\n\n[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \
             \"udp/29117\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "too-many-public",
        title: "There are too many public ports",
        why: "Each port is an element of a set in the kernel, and cannot be a knock. Their number \
              has a limit.",
        remedy: "Use at most 4,096.",
        example: Made("in a list of 4,097 public ports", || {
            let ports: Vec<_> = (1..=4_097).map(|port| format!("\"udp/{port}\"")).collect();
            format!("[gate]\npublic = [{}]", ports.join(", "))
        }),
    },
    Entry {
        code: "duplicate-public",
        title: "A public port is listed twice",
        why: "This has no effect, but perhaps you meant another port.",
        remedy: "Remove one of them.",
        example: Text("[gate]\nstance = \"closed\"\npublic = [\"tcp/80\", \"tcp/80\"]"),
    },
    Entry {
        code: "too-many-interfaces",
        title: "There are too many interfaces",
        why: "Without `interfaces` the gate is active on all interfaces except loopback, so you do \
              not need a long list.",
        remedy: "Use at most 64, or remove `interfaces`.",
        example: Made("in a list of 65 interfaces", || {
            let names: Vec<_> = (0..65).map(|number| format!("\"eth{number}\"")).collect();
            format!("[gate]\ninterfaces = [{}]", names.join(", "))
        }),
    },
    Entry {
        code: "duplicate-interface",
        title: "An interface is listed twice",
        why: "This has no effect, but perhaps you meant another interface.",
        remedy: "Remove one of them.",
        example: Text("[gate]\ninterfaces = [\"eth0\", \"eth0\"]"),
    },
    Entry {
        code: "too-many-allowed",
        title: "The allow-list is too long",
        why: "Each entry is an element of a set in the kernel, and their number has a limit.",
        remedy: "Use at most 4,096; write whole networks instead of addresses.",
        example: Made("in a list of 4,097 addresses to allow", || {
            let allow: Vec<_> =
                (0..4_097).map(|number| format!("\"2001:db8::{number:x}\"")).collect();
            format!("[gate]\nallow = [{}]", allow.join(", "))
        }),
    },
    Entry {
        code: "too-many-hosts",
        title: "The allow-list has too many host names",
        why: "The daemon looks up each name again and again, one after the other. A slow name \
              server would delay all the others.",
        remedy: "Use at most 32; write addresses or networks for the others.",
        example: Made("in a list of 33 names to allow", || {
            let allow: Vec<_> =
                (0..33).map(|number| format!("\"h{number}.example.org\"")).collect();
            format!("[gate]\nallow = [{}]", allow.join(", "))
        }),
    },
    Entry {
        code: "duplicate-allowed",
        title: "An entry of the allow-list is listed twice",
        why: "This has no effect, but perhaps you meant another address.",
        remedy: "Remove one of them.",
        example: Text("[gate]\nallow = [\"203.0.113.7\", \"203.0.113.7\"]"),
    },
    Entry {
        code: "allows-everyone",
        title: "The allow-list allows everyone",
        why: "Allowed addresses need no knock. A gate that allows all addresses guards nothing.",
        remedy: "Write the networks that need no knock.",
        example: Text("[gate]\nallow = [\"0.0.0.0/0\"]"),
    },
    Entry {
        code: "allowed-elsewhere",
        title: "The gate is not active on an allowed interface",
        why: "The gate does not filter packets on that interface, so the entry has no effect. \
              Perhaps you expect the gate to guard that interface.",
        remedy: "Remove it, or add the interface to `interfaces`.",
        example: Text("[gate]\ninterfaces = [\"eth0\"]\nallow = [\"iface:wg0\"]"),
    },
    Entry {
        code: "strikes-out-of-range",
        title: "The number of strikes is out of range",
        why: "One strike would ban everyone who makes a mistake. More than 10,000 would ban nobody.",
        remedy: "Write a number from 2 to 10000; 10 is the default.",
        example: Text("[ban]\nstrikes = 1"),
    },
    Entry {
        code: "one-try-bans",
        title: "A user who forgets to knock once is banned",
        why: "With `refuse = \"drop\"` nothing answers, so TCP sends the SYN of one connection six \
              times in a minute. Each one is a strike.",
        remedy: "Use more than six strikes, or another `refuse`.",
        example: Text("[gate]\nrefuse = \"drop\"\n[ban]\nstrikes = 5"),
    },
    Entry {
        code: "knocks-ban",
        title: "Knocking twice bans from public ports",
        why: "A ban must not reveal which ports are knocks, so a knock is a strike like any packet \
              to a closed port. A client that knocks wrongly once and then correctly is banned. \
              The door still opens, but public ports no longer answer.",
        remedy: "Use more than twice as many strikes as the longest sequence has knocks.",
        example: Text(
            "[ban]\nstrikes = 6\n\n[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "within-out-of-range",
        title: "The time to count strikes is out of range",
        why: "The kernel counts exactly for 1s to 1h.",
        remedy: "Write a time from 1s to 1h; 1m is the default.",
        example: Text("[ban]\nwithin = \"2h\""),
    },
    Entry {
        code: "ban-time-out-of-range",
        title: "The length of a ban is out of range",
        why: "Addresses change owners. A ban of a year would hit another owner, and fill the table \
              of bans.",
        remedy: "Write a time from 1s to 720h, which is 30 days; 1h is the default.",
        example: Text("[ban]\nfor = \"1000h\""),
    },
    Entry {
        code: "too-many-doors",
        title: "There are too many doors",
        why: "All doors use memory of the kernel, and their number has a limit.",
        remedy: "Use at most 20,000 doors.",
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
        why: "A timeout in a rule of the kernel is a constant, so each pair of `step_timeout` and \
              `open_for` needs its own chain. There can be 64 of them.",
        remedy: "Use the same durations in several doors.",
        example: Made("in a configuration of 65 doors, each with another `open_for`", || {
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
