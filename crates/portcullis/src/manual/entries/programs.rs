//! The pages of the drop-ins for knockd and knock.

use super::Entry;
use crate::knockd::{DEFAULT_PID_FILE, DEFAULT_STATE_DIR};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        page: "knockd",
        examples: &[
            (
                "knockd -i eth0 -D -v",
                "Run in the foreground, and show the configuration and each packet:",
            ),
            ("knockd -d -i eth0,wg0", "Run in the background, on two interfaces:"),
            (
                "knockd -d --stops-at-exit hand-over",
                "Leave pending stop commands to the next knockd, so that a restart closes no door early:",
            ),
            ("knockd --close-all", "Run the stop commands that a killed knockd left behind:"),
        ],
        exits: &[
            (
                "0",
                "The daemon is in the background (`-d`), or `--close-all` ran all stop commands with success. \
                 Also the result of `-h`, `-V` and of an unknown option, as with knockd 0.8.",
            ),
            ("1", "It could not start, or it could not continue. The message or the log says why."),
            ("2", "SIGINT stopped it."),
            ("3", "With `--close-all`: a stop command failed, or a door stays open."),
            ("15", "SIGTERM stopped it."),
        ],
        files: &[
            (portcullis_config::knockd::DEFAULT_PATH, "The configuration. SIGHUP reads it again."),
            (DEFAULT_PID_FILE, "The process ID, with `-d`."),
            (DEFAULT_STATE_DIR, "Pending stop commands, which run even after a crash."),
        ],
        see: &["knock(1)", "portcullis(1)", "portcullis-import(1)", "systemctl(1)", "iptables(8)"],
    },
    Entry {
        page: "knock",
        examples: &[
            (
                "knock example.net 7431 29117:udp 1123",
                "Knock at two TCP ports and, between them, at a UDP port:",
            ),
            (
                "knock -v -d 200 example.net 7431 29117:udp 1123",
                "Wait 200 milliseconds after each knock, and show each of them:",
            ),
            ("knock -6 -u example.net 7431 29117 1123", "Knock at UDP ports only, over IPv6:"),
        ],
        exits: &[
            ("0", "All knocks were sent. This does not say that the door opened."),
            (
                "1",
                "The command line is wrong, the name has no address, there is no route, or this host refuses to \
                 send a packet. Also the result of `-h`, as with knockd 0.8.",
            ),
        ],
        files: &[("/etc/services", "Names of ports.")],
        see: &["knockd(1)", "portcullis-knock(1)", "services(5)"],
    },
];
