//! The pages of commands about the configuration and the rules.

use super::Entry;
use super::common::{CONFIGURATION, HAS_ERRORS, NO_KERNEL_OR_FILE, STATE, UNREADABLE, WRONG_USE};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        page: "portcullis",
        examples: &[
            (
                "portcullis check",
                "Find errors in the configuration, and see how strong its doors are:",
            ),
            (
                "portcullis apply --allow-lockout --confirm-within 60s",
                "Load the first gate on trial. It is rolled back after 60 seconds unless it is confirmed:",
            ),
            (
                "ssh root@example.net portcullis confirm",
                "Knock, then confirm the rules from another host, over a new SSH connection:",
            ),
            (
                "portcullis knock example.net tcp/7431 udp/29117 tcp/1123 && ssh example.net",
                "Knock at a host, then log in:",
            ),
        ],
        exits: &[
            ("0", "Success."),
            ("1", "The answer is no. The page of each command says what this means."),
            ("2", "The command line is wrong."),
            (
                "3",
                "The command failed: a permission is missing, the kernel lacks a feature, or a \
                 file cannot be read.",
            ),
        ],
        files: &[
            CONFIGURATION,
            STATE,
            ("/var/lib/portcullis/run", "Pending `on_close` commands of `portcullis run`."),
        ],
        see: &[
            "portcullis.toml(5)",
            "knockd(1)",
            "knock(1)",
            "nft(8)",
            "iptables(8)",
            "systemctl(1)",
        ],
    },
    Entry {
        page: "portcullis-check",
        examples: &[
            ("portcullis check", "Check the configuration of this host:"),
            (
                "portcullis check --no-host example.net.toml",
                "Check the configuration of another host, without looking at this one:",
            ),
            (
                "portcullis check --explain monotone-sequence",
                "Explain a finding and how to correct it:",
            ),
            (
                "portcullis check --json - < portcullis.toml",
                "Check standard input, and print JSON:",
            ),
        ],
        exits: &[
            ("0", "The configuration has no errors. It may have warnings."),
            HAS_ERRORS,
            ("2", "The command line is wrong, or no finding has this code."),
            UNREADABLE,
        ],
        files: &[CONFIGURATION],
        see: &[
            "portcullis(1)",
            "portcullis-apply(1)",
            "portcullis-count(1)",
            "portcullis-explain(1)",
            "portcullis.toml(5)",
        ],
    },
    Entry {
        page: "portcullis-count",
        examples: &[
            (
                "portcullis count --door ssh",
                "Show how long it takes to guess the sequence of a door:",
            ),
            (
                "portcullis count --knocks 4 --protocols tcp",
                "Count the sequences of four SYNs, without a configuration:",
            ),
            (
                "portcullis count --knocks 3 --rate 1000,1000000",
                "Show how long guessing takes at 1,000 and at 1,000,000 packets per second:",
            ),
            (
                "portcullis count --strikes 5 --within 1m --for 24h",
                "See what a ban of 24 hours after 5 strikes would change:",
            ),
        ],
        exits: &[
            ("0", "The sequences were counted."),
            HAS_ERRORS,
            ("2", "The command line is wrong, or the configuration has no door of this name."),
            UNREADABLE,
        ],
        files: &[CONFIGURATION],
        see: &["portcullis(1)", "portcullis-check(1)", "portcullis-doors(1)", "portcullis.toml(5)"],
    },
    Entry {
        page: "portcullis-compile",
        examples: &[
            (
                "portcullis compile",
                "Print the rules of the configuration as a script for `nft -f`:",
            ),
            ("portcullis compile | nft -c -f -", "Let nft check the rules without loading them:"),
            (
                "portcullis compile --target ip6tables > rules.v6",
                "Write the IPv6 rules for `ip6tables-restore --noflush`:",
            ),
        ],
        exits: &[
            ("0", "The rules were printed."),
            HAS_ERRORS,
            (
                "2",
                "The command line is wrong, or the back end of the configuration needs another `--target`.",
            ),
            ("3", "The configuration cannot be read, or standard output cannot be written."),
        ],
        files: &[CONFIGURATION],
        see: &[
            "portcullis(1)",
            "portcullis-apply(1)",
            "portcullis-explain(1)",
            "nft(8)",
            "iptables-restore(8)",
            "ipset(8)",
        ],
    },
    Entry {
        page: "portcullis-apply",
        examples: &[
            (
                "portcullis apply --confirm-within 60s",
                "Load the rules on trial. They are rolled back after 60 seconds unless `portcullis confirm` \
                 is run over a new SSH session:",
            ),
            (
                "portcullis apply --allow-lockout --confirm-within 60s",
                "Load the first gate over SSH, where nobody can have knocked yet:",
            ),
            (
                "portcullis apply",
                "Load the rules, and also load them at boot from now on. There is no trial:",
            ),
        ],
        exits: &[
            ("0", "The rules are loaded and verified."),
            (
                "1",
                "The configuration has errors, or you could not open your SSH session again under these \
                 rules. Nothing was changed.",
            ),
            ("2", "The command line is wrong."),
            (
                "3",
                "The rules could not be loaded: the command was not run as root, the kernel lacks \
                 a feature, an interface does not exist, or other rules are on trial. The old \
                 rules stay active.",
            ),
        ],
        files: &[
            CONFIGURATION,
            STATE,
            ("/usr/bin/systemd-run", "Starts the process that rolls back, on hosts with systemd."),
            (
                "/usr/sbin/iptables-restore, /usr/sbin/ip6tables-restore, /usr/sbin/ipset",
                "Load the rules with `backend = \"iptables\"` or `\"ipset\"`. No other back end needs them.",
            ),
        ],
        see: &[
            "portcullis(1)",
            "portcullis-confirm(1)",
            "portcullis-rollback(1)",
            "portcullis-boot(1)",
            "portcullis-remove(1)",
            "portcullis-check(1)",
            "portcullis.toml(5)",
            "nft(8)",
        ],
    },
    Entry {
        page: "portcullis-confirm",
        examples: &[
            (
                "ssh root@example.net portcullis confirm",
                "Confirm the rules from another host. The new connection proves that you can still log in:",
            ),
            ("portcullis confirm --yes", "Confirm the rules at the console of the host:"),
        ],
        exits: &[
            ("0", "The rules are confirmed. They are loaded at boot, too."),
            (
                "1",
                "No rules are on trial, the trial is over, or this session cannot prove that a new \
                 login works.",
            ),
            WRONG_USE,
            (
                "3",
                "The state directory cannot be read or written, or the kernel cannot be queried.",
            ),
        ],
        files: &[STATE],
        see: &["portcullis(1)", "portcullis-apply(1)", "portcullis-rollback(1)", "ssh(1)"],
    },
    Entry {
        page: "portcullis-rollback",
        examples: &[("portcullis rollback", "End the trial now, and load the previous rules:")],
        exits: &[
            ("0", "The rules on trial are rolled back."),
            ("1", "No rules are on trial."),
            WRONG_USE,
            (
                "3",
                "The state directory cannot be read or written, or the kernel refuses the rules.",
            ),
        ],
        files: &[STATE],
        see: &["portcullis(1)", "portcullis-apply(1)", "portcullis-confirm(1)"],
    },
    Entry {
        page: "portcullis-boot",
        examples: &[(
            "portcullis boot",
            "Load the confirmed rules. `portcullis-rules.service` runs this before the network is up:",
        )],
        exits: &[
            ("0", "The confirmed rules are loaded, or no rules are confirmed."),
            WRONG_USE,
            (
                "3",
                "The rules could not be loaded: the command was not run as root, the state \
                 directory cannot be read, or the kernel refuses the rules. The old rules stay \
                 active.",
            ),
        ],
        files: &[STATE],
        see: &["portcullis(1)", "portcullis-apply(1)", "portcullis-remove(1)", "systemctl(1)"],
    },
    Entry {
        page: "portcullis-remove",
        examples: &[(
            "portcullis remove",
            "Remove the gate. Guarded ports are open again, and no rules are loaded at boot:",
        )],
        exits: &[
            ("0", "The gate is not loaded now. It may not have been loaded before either."),
            WRONG_USE,
            (
                "3",
                "The rules could not be removed, or the confirmed rules could not be deleted. The \
                 message says which.",
            ),
        ],
        files: &[STATE],
        see: &["portcullis(1)", "portcullis-apply(1)", "portcullis-boot(1)", "systemctl(1)"],
    },
    Entry {
        page: "portcullis-import",
        examples: &[
            (
                "portcullis import /etc/knockd.conf > portcullis.toml",
                "Import a configuration of knockd. The result goes to standard output, notes about it go to \
                 standard error. It holds knocks, so only its owner should be able to read it:",
            ),
            (
                "iptables-save | portcullis import - > portcullis.toml",
                "Import the active rules of iptables:",
            ),
            (
                "nft list ruleset | portcullis import --from nft - > portcullis.toml",
                "Import the active rules of nftables:",
            ),
        ],
        exits: &[
            ("0", "Everything was converted."),
            (
                "1",
                "A configuration was printed, but something in it must be done by hand. The notes say what.",
            ),
            ("2", "The command line is wrong, or the files have different formats."),
            (
                "3",
                "A file cannot be read, has no door, or has errors that knockd would refuse, too.",
            ),
        ],
        files: &[(
            "/etc/knockd.conf",
            "The configuration of knockd, which is read if no file is named.",
        )],
        see: &[
            "portcullis(1)",
            "portcullis-check(1)",
            "portcullis.toml(5)",
            "knockd(1)",
            "iptables-save(8)",
            "nft(8)",
        ],
    },
    Entry {
        page: "portcullis-explain",
        examples: &[
            (
                "portcullis explain tcp/7431 udp/29117 tcp/1123 tcp/22",
                "Show how the rules treat the knocks of a door, and then a connection to ssh:",
            ),
            (
                "portcullis explain --from 198.51.100.7 tcp/7431 +6s udp/29117",
                "Show that a knock does not count if it comes too late:",
            ),
            (
                "portcullis explain --svg -o gate.svg",
                "Draw all doors. The picture shows the knocks, so only its owner can read the file:",
            ),
        ],
        exits: &[
            ("0", "The packets were explained, or the picture was drawn."),
            HAS_ERRORS,
            ("2", "The command line is wrong, or a packet is written wrongly."),
            ("3", "The configuration cannot be read, or the picture cannot be written."),
        ],
        files: &[CONFIGURATION],
        see: &[
            "portcullis(1)",
            "portcullis-trace(1)",
            "portcullis-replay(1)",
            "portcullis-compile(1)",
            "portcullis.toml(5)",
        ],
    },
    Entry {
        page: "portcullis-doors",
        examples: &[
            ("portcullis doors", "List the doors, their strength and their active grants:"),
            ("portcullis doors --show-sequences", "Also show the knocks, which are secret:"),
            (
                "portcullis doors --json example.net.toml",
                "Print the doors of a named file as JSON:",
            ),
        ],
        exits: &[
            ("0", "The doors were listed, loaded or not."),
            HAS_ERRORS,
            WRONG_USE,
            NO_KERNEL_OR_FILE,
        ],
        files: &[CONFIGURATION],
        see: &[
            "portcullis(1)",
            "portcullis-status(1)",
            "portcullis-grants(1)",
            "portcullis-check(1)",
        ],
    },
];
