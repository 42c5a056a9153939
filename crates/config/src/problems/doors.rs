//! Codes of doors: what they guard, and how they are knocked at.

use std::fmt::Write as _;

use super::entry::Entry;
use super::entry::Example::{Made, Text, Words};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: "duplicate-door",
        title: "Two doors have the same name",
        why: "Grants, logs and commands name a door by its name.",
        remedy: "Give one of them another name.",
        example: Words(
            "in policies that are made by a program; in a file two tables of one name are a \
             `duplicate-table`",
        ),
    },
    Entry {
        code: "no-guards",
        title: "A door guards nothing and runs nothing",
        why: "Nothing would happen when it opens.",
        remedy: "Name the ports behind the door, as in `guards = [\"tcp/22\"]`, or what it runs in `on_open`.",
        example: Text(
            "[door.ssh]\nguards   = []\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "too-many-guards",
        title: "A door guards too many ports",
        why: "Each is an element in the kernel; there is a limit to everything that can grow.",
        remedy: "A door guards at most 64 ports; use a second door.",
        example: Made("in a door that guards 65 ports", || {
            let guards: Vec<_> = (1..=65).map(|port| format!("\"tcp/{port}\"")).collect();
            format!(
                "[door.all]\nguards = [{}]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]",
                guards.join(", ")
            )
        }),
    },
    Entry {
        code: "duplicate-guard",
        title: "A door guards a port twice",
        why: "It does no harm, but one of the two may have been meant to be another port.",
        remedy: "Remove one of them.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\", \"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \
             \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "guarded-twice",
        title: "Two doors guard the same port",
        why: "A packet to the port belongs to one door. With two, knowing the easier sequence would be enough, \
              and nobody would see it.",
        remedy: "Let one door guard the port, or make the two one.",
        example: Text(
            "[door.a]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\n\
             [door.b]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/5\", \"udp/9\", \"tcp/3\"]",
        ),
    },
    Entry {
        code: "public-guard",
        title: "A port is both public and guarded",
        why: "Public ports are for everybody, guarded ports for those who knock. One of the two is a mistake, \
              and to guess which would open or close a service.",
        remedy: "Remove it from one.",
        example: Text(
            "[gate]\npublic = [\"tcp/443\"]\n\n[door.web]\nguards   = [\"tcp/443\"]\nsequence = [\"tcp/7431\", \
             \"udp/29117\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "too-few-knocks",
        title: "A sequence has fewer than three knocks",
        why: "One port is touched by every scan. Two are always in ascending or in descending order, so that \
              one scan of all ports touches them in turn. From three on a sequence can be neither.",
        remedy: "Use 3 to 32 knocks in an order that is neither rising nor falling.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "too-many-knocks",
        title: "A sequence has more than 32 knocks",
        why: "Four have 67 bits already, more than anybody can guess over a network; a long one only takes \
              long, and is lost more easily.",
        remedy: "Use 3 to 32 knocks.",
        example: Made("in a sequence of 33 knocks", || {
            let knocks: Vec<_> =
                (0..33).map(|n| format!("\"tcp/{}\"", 1 + n * 7_919 % 65_535)).collect();
            format!("[door.ssh]\nguards = [\"tcp/22\"]\nsequence = [{}]", knocks.join(", "))
        }),
    },
    Entry {
        code: "monotone-sequence",
        title: "The ports of a sequence only rise, or only fall",
        why: "An ordinary port scan touches all ports in ascending order, and so knocks such a sequence \
              without knowing it; the wrong ports between do not help where a recogniser looks at its own ports \
              alone, and neither does it here when the ports stand beside each other. Two thirds of all \
              sequences of three knocks are neither, so nothing is lost.",
        remedy: "Reorder the knocks so that the port numbers go both up and down.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7000\", \"tcp/8000\", \"tcp/9000\"]",
        ),
    },
    Entry {
        code: "sweep-opens",
        title: "A port scan that is repeated opens the door",
        why: "The knocks turn, but a scan that begins anew at the end of its round makes them all the same, with \
              no more wrong ports between them than the door forgives.",
        remedy: "Choose ports that do not follow each other, or forgive fewer wrong ports.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/65534\", \"tcp/65535\", \"tcp/1\"]",
        ),
    },
    Entry {
        code: "repeated-knock",
        title: "A knock repeats the one before it",
        why: "TCP sends an unanswered SYN again by itself, and networks double datagrams. So a repeat changes \
              nothing, and can be no step of its own.",
        remedy: "Use another port. It may come again later in the sequence.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"tcp/7431\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "guarded-knock",
        title: "A knock is a guarded port",
        why: "A packet to a guarded port is refused or let in, and is never a knock.",
        remedy: "Use a port with nothing behind it.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"tcp/22\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "public-knock",
        title: "A knock is a public port",
        why: "Everybody touches public ports, so they neither are knocks nor end an attempt.",
        remedy: "Use a port with nothing behind it.",
        example: Text(
            "[gate]\npublic = [\"tcp/443\"]\n\n[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \
             \"tcp/443\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "same-sequence",
        title: "Two doors have the same sequence",
        why: "Whoever knocks at one would open the other too.",
        remedy: "Change at least one port of one of them, or make the two doors one.",
        example: Text(
            "[door.a]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\n\
             [door.b]\nguards   = [\"tcp/80\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "prefix-sequence",
        title: "A sequence is the beginning of another one",
        why: "Whoever knocks at the longer one opens the shorter on the way. And the shorter gives away all but \
              the end of the longer.",
        remedy: "Change at least one port.",
        example: Text(
            "[door.a]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\n\
             [door.b]\nguards   = [\"tcp/80\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\", \
             \"tcp/5\"]",
        ),
    },
    Entry {
        code: "contained-sequence",
        title: "A sequence is contained in another one",
        why: "Whoever knocks at the longer one makes all knocks of the shorter, and would open it too.",
        remedy: "Change at least one port.",
        example: Text(
            "[door.a]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\n\
             [door.b]\nguards   = [\"tcp/80\"]\nsequence = [\"tcp/5\", \"tcp/7431\", \"udp/29117\", \
             \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "mixed-step-timeout",
        title: "Sequences that overlap have different step_timeouts",
        why: "A source has one attempt at a time. While its knocks could still be those of either door, it would \
              have two times left.",
        remedy: "Give both doors the same `step_timeout`, or let their sequences not overlap.",
        example: Text(
            "[door.a]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\n\
             [door.b]\nguards   = [\"tcp/80\"]\nsequence = [\"tcp/7431\", \"udp/9\", \"tcp/3\"]\n\
             step_timeout = \"9s\"",
        ),
    },
    Entry {
        code: "mixed-tolerate",
        title: "Sequences that overlap forgive differently",
        why: "A source has one attempt at a time. While its knocks could still be those of either door, a wrong \
              port would both be forgiven and not.",
        remedy: "Give both doors the same `tolerate`, or let their sequences not overlap.",
        example: Text(
            "[door.a]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\n\
             [door.b]\nguards   = [\"tcp/80\"]\nsequence = [\"tcp/7431\", \"udp/9\", \"tcp/3\"]\n\
             tolerate = 1",
        ),
    },
    Entry {
        code: "too-many-overlaps",
        title: "Too many sequences overlap",
        why: "Where sequences share ports, the automaton of all doors has a transition for each pair of them. Its \
              tables would grow beyond 4,000,000 elements.",
        remedy: "Let fewer sequences share their first port.",
        example: Words("where thousands of doors begin with the same knock"),
    },
    Entry {
        code: "unreachable-stage",
        title: "A stage of a door can never be reached",
        why: "The automaton of all doors is walked with the knocks of each, as the last line of defence against a \
              door that cannot open. What leads here should have been found as something else.",
        remedy: "Change the knock that is shown, and tell us.",
        example: Words("in no configuration that we know"),
    },
    Entry {
        code: "step-timeout-too-short",
        title: "The time between two knocks is too short for a network",
        why: "A packet that is lost or late is sent again after some time; a door that does not wait for it opens \
              only on good days.",
        remedy: "At least 500ms; 5s is a good value.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\
             step_timeout = \"100ms\"",
        ),
    },
    Entry {
        code: "step-timeout-too-long",
        title: "The time between two knocks is longer than five minutes",
        why: "Every first knock, forged ones too, takes a place in the kernel's table for so long.",
        remedy: "At most 5m; 5s is a good value.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\
             step_timeout = \"1h\"",
        ),
    },
    Entry {
        code: "step-timeout-long",
        title: "A long step_timeout lets few forged packets use all places for attempts",
        why: "Each forged first knock takes one of 262,144 places in the kernel for so long: with 1m, 4,369 packets a \
              second keep all in use, with 5s it takes 52,428. Then further sources have one second for each knock \
              (`docs/flood.md`). A slow scan gains nothing by a long time here, because a wrong port ends the attempt \
              however much time is left; only what a door forgives does not.",
        remedy: "10s is enough for a person with a slow link; `portcullis knock` takes less than one.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\
             step_timeout = \"1m\"",
        ),
    },
    Entry {
        code: "open-for-too-short",
        title: "A grant is too short to connect",
        why: "A first SYN that is lost is sent again after a second; until then the grant must not be over.",
        remedy: "At least 2s; 30s is a good value.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\
             open_for = \"1s\"",
        ),
    },
    Entry {
        code: "open-for-too-long",
        title: "A grant is longer than a day",
        why: "A grant is for starting a connection, which then lives as long as it likes. Addresses change hands, \
              and whoever gets this one has the grant too.",
        remedy: "At most 24h; 30s is a good value. Who is to come and go for days belongs into `allow`.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\
             open_for = \"48h\"",
        ),
    },
    Entry {
        code: "open-for-long",
        title: "A grant is longer than an hour",
        why: "A grant is for an address. Whoever shares it (a home, a hotel, carrier NAT), or gets it next, may \
              start connections too until it ends. Connections already made do not need it.",
        remedy: "30s is a good value; knock again for the next connection. Who is to come and go for days \
                 belongs into `allow`.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\
             open_for = \"8h\"",
        ),
    },
    Entry {
        code: "tolerate-too-large",
        title: "A door forgives more than 16 wrong ports",
        why: "Each wrong port forgiven is a further copy of the door's states in the kernel, and multiplies what a \
              guesser tries with one packet: `portcullis count --tolerate 16` shows by how much.",
        remedy: "Forgive 0 to 16; 0 is the default.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\
             tolerate = 17",
        ),
    },
    Entry {
        code: "hooks-need-daemon",
        title: "A door runs commands, and only the kernel opens it",
        why: "The kernel runs no commands, so `on_open` would never be run.",
        remedy: "Write `recogniser = \"both\"` or `\"daemon\"`, or leave `on_open` and `on_close` out.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\
             recogniser = \"kernel\"\non_open = [\"/usr/bin/logger\", \"{address}\"]",
        ),
    },
];

/// Doors of an iptables back end, so many, each with lists of its own.
pub(super) fn many(backend: &str, doors: u16) -> String {
    let mut text = format!("[gate]\nbackend = \"{backend}\"\n");
    for door in 0..doors {
        let _ = writeln!(
            text,
            "[door.d{door}]\nguards = [\"tcp/{}\"]\nsequence = [\"tcp/{}\", \"tcp/{}\", \"tcp/{}\"]",
            10_001 + door,
            20_001 + door,
            40_001 + door,
            30_001 + door,
        );
    }
    text
}
