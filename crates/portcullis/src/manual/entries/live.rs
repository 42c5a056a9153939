//! The pages of commands about the loaded gate and about packets.

use super::Entry;
use super::common::{
    CONFIGURATION, HAS_ERRORS, NO_KERNEL, NO_KERNEL_OR_FILE, NOT_CHANGED, WRONG_USE,
};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        page: "portcullis-status",
        examples: &[
            (
                "portcullis status",
                "Show whether the gate is active, and what happens at its doors:",
            ),
            (
                "portcullis status --json /var/lib/portcullis/apply/confirmed.toml",
                "Compare the loaded rules with the confirmed configuration, and print JSON:",
            ),
        ],
        exits: &[
            ("0", "The gate is active, as configured."),
            (
                "1",
                "The gate is not active: it is not loaded, it differs from the configuration, or \
                 no packets arrive on an interface of `interfaces`. Or the configuration has \
                 errors.",
            ),
            WRONG_USE,
            NO_KERNEL_OR_FILE,
        ],
        files: &[CONFIGURATION],
        see: &[
            "portcullis(1)",
            "portcullis-apply(1)",
            "portcullis-doors(1)",
            "portcullis-grants(1)",
            "portcullis-run(1)",
            "systemctl(1)",
        ],
    },
    Entry {
        page: "portcullis-grants",
        examples: &[
            ("portcullis grants", "List active grants and their remaining time:"),
            ("portcullis grants --json", "Print them as JSON:"),
        ],
        exits: &[("0", "The grants were listed. There may be none."), WRONG_USE, NO_KERNEL],
        files: &[],
        see: &[
            "portcullis(1)",
            "portcullis-grant(1)",
            "portcullis-revoke(1)",
            "portcullis-doors(1)",
        ],
    },
    Entry {
        page: "portcullis-grant",
        examples: &[
            (
                "portcullis grant ssh 198.51.100.7",
                "Open the door ssh for an address, as a knock does:",
            ),
            ("portcullis grant ssh 2001:db8::7 --for 10m", "Open it for 10 minutes:"),
            (
                "portcullis grant ssh me",
                "Open it for the address that your SSH session comes from:",
            ),
        ],
        exits: &[
            ("0", "The grant is active."),
            (
                "1",
                "The address is link-local. Each link can have another host with this address, so \
                 it gets no grant.",
            ),
            ("2", "The command line is wrong, or the address is not that of one host."),
            (
                "3",
                "The door is not loaded, its time cannot be read from the configuration, or the kernel cannot \
                 be changed. Most often, the command was not run as root.",
            ),
        ],
        files: &[(
            portcullis_config::DEFAULT_PATH,
            "The configuration, for `open_for` if `--for` is not given.",
        )],
        see: &[
            "portcullis(1)",
            "portcullis-grants(1)",
            "portcullis-revoke(1)",
            "portcullis-doors(1)",
        ],
    },
    Entry {
        page: "portcullis-revoke",
        examples: &[
            ("portcullis revoke ssh 198.51.100.7", "Revoke a grant. Open connections stay:"),
            (
                "portcullis revoke ssh 198.51.100.7 --cut",
                "Also close the connections through this door:",
            ),
            ("portcullis revoke --all", "Revoke all grants of all doors:"),
        ],
        exits: &[
            ("0", "The grant is revoked. With `--all` there may have been none."),
            ("1", "The address had no grant, and no connection to close."),
            ("2", "The command line is wrong, or the address is not that of one host."),
            (
                "3",
                "The gate or the door is not loaded, or the kernel cannot be changed. Most often, the command \
                 was not run as root.",
            ),
        ],
        files: &[],
        see: &["portcullis(1)", "portcullis-grants(1)", "portcullis-grant(1)", "portcullis-ban(1)"],
    },
    Entry {
        page: "portcullis-bans",
        examples: &[
            ("portcullis bans", "List active bans and their remaining time:"),
            ("portcullis bans --json", "Print them as JSON:"),
        ],
        exits: &[("0", "The bans were listed. There may be none."), WRONG_USE, NO_KERNEL],
        files: &[],
        see: &["portcullis(1)", "portcullis-ban(1)", "portcullis-unban(1)", "portcullis.toml(5)"],
    },
    Entry {
        page: "portcullis-ban",
        examples: &[
            ("portcullis ban 198.51.100.7", "Ban an address for the time that `[ban]` says:"),
            ("portcullis ban 198.51.100.0/24 --for 24h", "Ban a network for a day:"),
            ("portcullis ban 2001:db8::7 --cut", "Ban an IPv6 /64, and close its connections:"),
        ],
        exits: &[
            ("0", "The ban is active."),
            (
                "1",
                "The address is in the allow-list, belongs to this host or to your SSH session, or \
                 cannot be a source address. Nothing was changed.",
            ),
            ("2", "The command line is wrong, or the network is too large or too small for a ban."),
            (
                "3",
                "The gate is not loaded or has no `[ban]`, or the kernel cannot be changed. Most often, the \
                 command was not run as root.",
            ),
        ],
        files: &[],
        see: &[
            "portcullis(1)",
            "portcullis-bans(1)",
            "portcullis-unban(1)",
            "portcullis-revoke(1)",
            "portcullis.toml(5)",
        ],
    },
    Entry {
        page: "portcullis-unban",
        examples: &[
            ("portcullis unban 198.51.100.7", "End the ban of an address, and clear its strikes:"),
            ("portcullis unban 2001:db8:1::/48", "End all bans in a network:"),
            ("portcullis unban --all", "End all bans:"),
        ],
        exits: &[
            ("0", "The bans are ended. With `--all` there may have been none."),
            ("1", "There was no ban. Strikes were cleared anyway."),
            ("2", "The command line is wrong, or this is neither an address nor a network."),
            NOT_CHANGED,
        ],
        files: &[],
        see: &["portcullis(1)", "portcullis-bans(1)", "portcullis-ban(1)", "portcullis.toml(5)"],
    },
    Entry {
        page: "portcullis-run",
        examples: &[
            (
                "portcullis run",
                "Load the rules, and recognise knocks in addition to the kernel. Ctrl-C stops the \
                 daemon; the rules stay:",
            ),
            (
                "portcullis run --verbose /var/lib/portcullis/apply/confirmed.toml",
                "Use the confirmed configuration, as `portcullis-run.service` does, and log every \
                 stage:",
            ),
        ],
        exits: &[
            ("0", "SIGTERM or SIGINT stopped the daemon. The rules stay loaded."),
            ("1", "The configuration has errors. The daemon did not start."),
            WRONG_USE,
            (
                "3",
                "The daemon could not start, or one of its processes exited. Most often, it was \
                 not started as root, or another daemon is running.",
            ),
        ],
        files: &[
            CONFIGURATION,
            (
                "/var/lib/portcullis/run",
                "Pending `on_close` commands. They run even after a crash.",
            ),
            ("/etc/resolv.conf", "The name servers for host names in `allow`."),
        ],
        see: &[
            "portcullis(1)",
            "portcullis-status(1)",
            "portcullis-apply(1)",
            "portcullis-trace(1)",
            "portcullis.toml(5)",
            "systemctl(1)",
        ],
    },
    Entry {
        page: "portcullis-knock",
        examples: &[
            (
                "portcullis knock example.net tcp/7431 udp/29117 tcp/1123 && ssh example.net",
                "Knock at a host, then log in:",
            ),
            (
                "portcullis knock -6 --delay 500ms --verbose example.net tcp/7431 udp/29117 tcp/1123",
                "Knock slowly over IPv6, and show the answers:",
            ),
        ],
        exits: &[
            ("0", "All knocks were sent. This does not say that the door opened."),
            ("2", "The command line is wrong."),
            (
                "3",
                "A knock could not be sent: the name has no address, there is no route, or a \
                 firewall of this host refuses it.",
            ),
        ],
        files: &[],
        see: &["portcullis(1)", "portcullis-trace(1)", "knock(1)", "ssh(1)"],
    },
    Entry {
        page: "portcullis-replay",
        examples: &[
            ("portcullis replay week.pcap.gz", "Show which doors a capture would have opened:"),
            (
                "portcullis replay --host 198.51.100.7 week.pcap example.net.toml",
                "Replay the capture of another host with its configuration:",
            ),
            (
                "tcpdump -i eth0 -c 10000 -w - | portcullis replay --json -",
                "Replay packets as tcpdump captures them, and print JSON:",
            ),
        ],
        exits: &[
            ("0", "The whole capture was replayed, whether or not a door would have opened."),
            HAS_ERRORS,
            WRONG_USE,
            ("3", "The configuration or the capture cannot be read, or the capture is damaged."),
        ],
        files: &[CONFIGURATION],
        see: &[
            "portcullis(1)",
            "portcullis-trace(1)",
            "portcullis-explain(1)",
            "portcullis.toml(5)",
            "tcpdump(8)",
        ],
    },
    Entry {
        page: "portcullis-trace",
        examples: &[
            (
                "portcullis trace --from me --door ssh",
                "Find out why the door ssh does not open for the address of your SSH session:",
            ),
            (
                "portcullis trace --interface eth0 --for 5m --json",
                "Follow all knocks on one interface for five minutes, as JSON:",
            ),
        ],
        exits: &[
            ("0", "A door opened while the command watched."),
            ("1", "No door opened, or the configuration has errors."),
            ("2", "The command line is wrong, or the configuration has no door of this name."),
            (
                "3",
                "The configuration or packets cannot be read. Most often, the command was not run as root.",
            ),
        ],
        files: &[CONFIGURATION],
        see: &[
            "portcullis(1)",
            "portcullis-explain(1)",
            "portcullis-replay(1)",
            "portcullis-knock(1)",
            "tcpdump(8)",
        ],
    },
    Entry {
        page: "portcullis-demo",
        examples: &[
            (
                "portcullis demo",
                "Run the whole demo. It takes about ten seconds and installs nothing:",
            ),
            ("portcullis demo --kernel -4", "Let only the kernel open the door, over IPv4:"),
        ],
        exits: &[
            ("0", "All steps were observed."),
            ("1", "A step had another result. The last lines say which."),
            WRONG_USE,
            ("3", "The private network could not be made, or the kernel lacks a feature."),
        ],
        files: &[],
        see: &["portcullis(1)", "portcullis-explain(1)", "unshare(1)"],
    },
    Entry {
        page: "portcullis-completions",
        examples: &[
            (
                "source <(portcullis completions bash)",
                "Complete command lines in bash, as in `~/.bashrc`:",
            ),
            ("source <(portcullis completions zsh)", "Do the same in zsh, as in `~/.zshrc`:"),
            ("portcullis completions fish | source", "Do the same in fish, as in `config.fish`:"),
        ],
        exits: &[
            ("0", "The text was printed."),
            ("2", "The command line is wrong, or the shell is unknown."),
        ],
        files: &[],
        see: &["portcullis(1)", "bash(1)", "zsh(1)", "fish(1)"],
    },
    Entry {
        page: "portcullis-man",
        examples: &[
            ("portcullis man apply | man -l -", "Read the page of a command:"),
            ("portcullis man portcullis.toml | man -l -", "Read the page of the configuration:"),
            ("portcullis man --to pages", "Write all pages into the directory `pages`:"),
        ],
        exits: &[
            ("0", "The page was printed, or all pages were written."),
            ("2", "The command line is wrong, or there is no such page."),
            ("3", "A page cannot be written."),
        ],
        files: &[],
        see: &["portcullis(1)", "portcullis.toml(5)", "man(1)"],
    },
];
