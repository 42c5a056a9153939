//! Codes of the file and of the host that a configuration is checked on.

use super::Entry;
use super::Example::Words;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: "file-mode",
        title: "Others can read or change this file",
        why: "The file holds the knocks. Whoever can read it can open the doors, and whoever can change it \
              can do away with them.",
        remedy: "`chmod 600` the file, and give it to root.",
        example: Words("in a file of mode 0644"),
    },
    Entry {
        code: "file-owner",
        title: "Root uses a file that belongs to another user",
        why: "Whoever owns the file can change it at any time, and with it the doors, who is allowed, and the \
              commands that are run as root.",
        remedy: "`chown root` the file.",
        example: Words("by root in a file of user 1000"),
    },
    Entry {
        code: "knock-answered",
        title: "A service of this host answers at a knock",
        why: "The gate leaves the ports of knocks alone, so in the stance `guard` the service there answers \
              everybody. Its clients make the knock without knowing, which begins an attempt or ends one that \
              is under way; and a knock that is answered looks unlike one that is not.",
        remedy: "Use a port with nothing behind it. `--no-host` checks a configuration that is meant for \
                 another host.",
        example: Words("where a program listens at `tcp/7431`, and `tcp/7431` is a knock"),
    },
    Entry {
        code: "interface-missing",
        title: "An interface is named that this host does not have",
        why: "The gate stands on the interfaces that are named, and on no other. A misspelled name leaves the \
              doors unguarded on the interface that was meant. One that comes later (ppp0, wg0) is fine: \
              rules go by names.",
        remedy: "Look with `ip link`. `--no-host` checks a configuration that is meant for another host.",
        example: Words("with `interfaces = [\"eth0\"]` on a host whose interface is `ens3`"),
    },
    Entry {
        code: "interface-without-gate",
        title: "The internet comes in by an interface that the gate does not stand on",
        why: "Where `interfaces` names some, guarded ports are open on all others. That is meant for a local \
              network; but here another interface has a public address. Often it is a tunnel that brings \
              IPv6, by which everyone reaches the ports that are guarded over IPv4.",
        remedy: "Add it to `interfaces`, or leave `interfaces` out: then the gate stands on all but loopback. \
                 If it is meant to be open, there is nothing to do.",
        example: Words(
            "with `interfaces = [\"eth0\"]` on a host whose `he-ipv6` is up and has the address \
             `2001:db8::2`",
        ),
    },
];
