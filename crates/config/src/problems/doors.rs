//! Codes of doors: what they guard, and how they are knocked at.

use std::fmt::Write as _;

use super::entry::Entry;
use super::entry::Example::{Made, Text, Words};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: "duplicate-door",
        title: "Two doors have the same name",
        why: "Grants, logs and commands identify a door by its name.",
        remedy: "Rename one of them.",
        example: Words(
            "in a policy that a program makes; in a file, two tables with the same name are a \
             `duplicate-table`",
        ),
    },
    Entry {
        code: "no-guards",
        title: "A door guards no port and runs no command",
        why: "Opening it has no effect.",
        remedy: "Write the ports behind the door, as in `guards = [\"tcp/22\"]`, or a command in \
                 `on_open`.",
        example: Text(
            "[door.ssh]\nguards   = []\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "too-many-guards",
        title: "A door guards too many ports",
        why: "Each port is an element in the kernel, and their number has a limit.",
        remedy: "Use at most 64 ports; guard the others with a second door.",
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
        why: "This has no effect, but perhaps you meant another port.",
        remedy: "Remove one of them.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\", \"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \
             \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "guarded-twice",
        title: "Two doors guard the same port",
        why: "A packet to a port belongs to one door. With two doors, the easier sequence would \
              open the port.",
        remedy: "Let only one door guard the port, or merge the two doors.",
        example: Text(
            "[door.a]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\n\
             [door.b]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/5\", \"udp/9\", \"tcp/3\"]",
        ),
    },
    Entry {
        code: "public-guard",
        title: "A port is both public and guarded",
        why: "Public ports are open to everybody, guarded ports only after knocks. One of the two \
              is a mistake, and a wrong guess would open or close a service.",
        remedy: "Remove it from `public` or from `guards`.",
        example: Text(
            "[gate]\npublic = [\"tcp/443\"]\n\n[door.web]\nguards   = [\"tcp/443\"]\nsequence = [\"tcp/7431\", \
             \"udp/29117\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "too-few-knocks",
        title: "A sequence has fewer than three knocks",
        why: "Every scan touches one port. Two ports are always in ascending or descending order, \
              so one scan of all ports touches them in order. Only three or more ports can go both \
              up and down.",
        remedy: "Use 3 to 32 knocks, with port numbers that go both up and down.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "too-many-knocks",
        title: "A sequence has more than 32 knocks",
        why: "Four knocks already have 67 bits, more than anybody can guess over a network. A \
              longer sequence takes longer and fails more often.",
        remedy: "Use 3 to 32 knocks.",
        example: Made("in a sequence of 33 knocks", || {
            let knocks: Vec<_> =
                (0..33).map(|n| format!("\"tcp/{}\"", 1 + n * 7_919 % 65_535)).collect();
            format!("[door.ssh]\nguards = [\"tcp/22\"]\nsequence = [{}]", knocks.join(", "))
        }),
    },
    Entry {
        code: "monotone-sequence",
        title: "The ports of a sequence only go up or only go down",
        why: "An ordinary port scan touches all ports in ascending order, so it can make such a \
              sequence by accident. The wrong ports between the knocks do not help if the ports \
              are next to each other. Two thirds of all sequences of three knocks go both up and \
              down, so you lose almost nothing.",
        remedy: "Reorder the knocks so that the port numbers go both up and down.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7000\", \"tcp/8000\", \"tcp/9000\"]",
        ),
    },
    Entry {
        code: "sweep-opens",
        title: "A repeated port scan opens the door",
        why: "The port numbers go both up and down, but a scan that starts again after its last \
              port still makes these knocks, with no more wrong ports between them than the door \
              forgives.",
        remedy: "Use ports that do not follow each other, or forgive fewer wrong ports.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/65534\", \"tcp/65535\", \"tcp/1\"]",
        ),
    },
    Entry {
        code: "repeated-knock",
        title: "A knock repeats the one before it",
        why: "TCP repeats an unanswered SYN, and networks duplicate datagrams. So a repeated \
              packet does not count as a new knock.",
        remedy: "Use another port. The same port may come again later in the sequence.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"tcp/7431\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "guarded-knock",
        title: "A knock is a guarded port",
        why: "A packet to a guarded port is never a knock.",
        remedy: "Use a closed port.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"tcp/22\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "public-knock",
        title: "A knock is a public port",
        why: "Packets to public ports never count: they are not knocks and do not end an attempt.",
        remedy: "Use a closed port.",
        example: Text(
            "[gate]\npublic = [\"tcp/443\"]\n\n[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \
             \"tcp/443\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "same-sequence",
        title: "Two doors have the same sequence",
        why: "A client that knocks at one door would open the other too.",
        remedy: "Change at least one port of one of them, or merge the two doors.",
        example: Text(
            "[door.a]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\n\
             [door.b]\nguards   = [\"tcp/80\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "prefix-sequence",
        title: "A sequence is the beginning of another one",
        why: "A client that knocks at the longer one opens the shorter one on the way. The shorter \
              one also reveals most of the longer one.",
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
        why: "A client that knocks at the longer one makes all knocks of the shorter one, and \
              would open it too.",
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
        why: "A source has one attempt at a time. While its knocks fit both doors, it would have \
              two different times left.",
        remedy: "Use the same `step_timeout` in both doors, or sequences that do not overlap.",
        example: Text(
            "[door.a]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\n\
             [door.b]\nguards   = [\"tcp/80\"]\nsequence = [\"tcp/7431\", \"udp/9\", \"tcp/3\"]\n\
             step_timeout = \"9s\"",
        ),
    },
    Entry {
        code: "mixed-tolerate",
        title: "Sequences that overlap have different values of tolerate",
        why: "A source has one attempt at a time. While its knocks fit both doors, one door would \
              forgive a wrong port and the other would not.",
        remedy: "Use the same `tolerate` in both doors, or sequences that do not overlap.",
        example: Text(
            "[door.a]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\n\
             [door.b]\nguards   = [\"tcp/80\"]\nsequence = [\"tcp/7431\", \"udp/9\", \"tcp/3\"]\n\
             tolerate = 1",
        ),
    },
    Entry {
        code: "too-many-overlaps",
        title: "Too many sequences overlap",
        why: "Each pair of sequences that share ports needs an element in the kernel. There would \
              be more than 4,000,000 elements.",
        remedy: "Use different first ports in these sequences.",
        example: Words("where thousands of doors begin with the same knock"),
    },
    Entry {
        code: "unreachable-stage",
        title: "A stage of a door can never be reached",
        why: "As a last check, the program tries the knocks of each door. Another check should \
              have found this error first.",
        remedy: "Use another port for the knock that is shown, and report this bug.",
        example: Words("in no configuration that we know"),
    },
    Entry {
        code: "step-timeout-too-short",
        title: "The time between two knocks is too short for a network",
        why: "A lost packet is sent again after some time. A door that does not wait for it often \
              stays closed.",
        remedy: "Use at least 500ms; 5s is a good value.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\
             step_timeout = \"100ms\"",
        ),
    },
    Entry {
        code: "step-timeout-too-long",
        title: "The time between two knocks is longer than five minutes",
        why: "Each first knock, also a forged one, takes a place in a table of the kernel for this \
              time.",
        remedy: "Use at most 5m; 5s is a good value.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\
             step_timeout = \"1h\"",
        ),
    },
    Entry {
        code: "step-timeout-long",
        title: "With a long step_timeout, few forged packets fill the table of attempts",
        why: "Each forged first knock takes one of 262,144 places in the kernel for this time. \
              With 1m, 4,369 packets a second keep all places in use; with 5s, it takes 52,428. \
              All other sources then have only one second for each knock (`docs/flood.md`). A long \
              time does not help a slow scan, because a wrong port ends the attempt unless the \
              door forgives it.",
        remedy: "Use 10s or less; that is enough for a person on a slow link, and `portcullis \
                 knock` needs less than one second.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\
             step_timeout = \"1m\"",
        ),
    },
    Entry {
        code: "open-for-too-short",
        title: "A grant is too short to connect",
        why: "TCP repeats a lost SYN after one second. The grant must last longer than that.",
        remedy: "Use at least 2s; 30s is a good value.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\
             open_for = \"1s\"",
        ),
    },
    Entry {
        code: "open-for-too-long",
        title: "A grant is longer than a day",
        why: "A grant lets a client start connections, and these continue after it ends. Addresses \
              change owners, and the next owner would have the grant.",
        remedy: "Use at most 24h; 30s is a good value. For access over days, use `allow`.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\
             open_for = \"48h\"",
        ),
    },
    Entry {
        code: "open-for-long",
        title: "A grant is longer than an hour",
        why: "A grant is for an address. Everyone who shares the address (a home, a hotel, carrier \
              NAT) and its next owner can start connections until the grant ends. Established \
              connections do not need it.",
        remedy: "Use 30s, and knock again for the next connection. For access over days, use \
                 `allow`.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\
             open_for = \"8h\"",
        ),
    },
    Entry {
        code: "tolerate-too-large",
        title: "A door forgives more than 16 wrong ports",
        why: "Each forgiven wrong port adds a copy of the stages in the kernel, and lets an \
              attacker try more sequences with each packet. `portcullis count --tolerate 16` shows \
              how many.",
        remedy: "Use 0 to 16; 0 is the default.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\
             tolerate = 17",
        ),
    },
    Entry {
        code: "hooks-need-daemon",
        title: "A door runs commands, but only the kernel opens it",
        why: "The kernel cannot run commands, so `on_open` would never run.",
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
