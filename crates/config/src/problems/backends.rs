//! Codes of the back ends of iptables, and of what they cannot do.

use super::doors::many;
use super::entry::Entry;
use super::entry::Example::{Made, Text, Words};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: "backend-cannot",
        title: "This works with nftables alone",
        why: "Chains of iptables cannot say it (a name would be looked up once and never again), and a gate that leaves it out in silence would be another gate \
              than the one that is written down.",
        remedy: "Write `backend = \"nftables\"`, or take it out.",
        example: Text("[gate]\nbackend = \"iptables\"\nallow   = [\"admin.example.org\"]"),
    },
    Entry {
        code: "backend-not-here",
        title: "A command works with nftables alone",
        why: "The daemon opens doors by adding elements to sets of nftables. With iptables the rules recognise \
              knocks by themselves, and `run` would have nothing to do.",
        remedy: "Use `portcullis apply`, or write `backend = \"nftables\"`.",
        example: Words("by `portcullis run` in a configuration with `backend = \"iptables\"`"),
    },
    Entry {
        code: "backend-no-daemon",
        title: "The daemon cannot open doors of this back end",
        why: "With iptables the kernel recognises knocks by itself, and nothing else does. A door that waits for \
              the daemon would never open.",
        remedy: "Write `recogniser = \"kernel\"`, or leave it out; or `backend = \"nftables\"`.",
        example: Text(
            "[gate]\nbackend = \"iptables\"\n\n[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \
             \"udp/29117\", \"tcp/1123\"]\nrecogniser = \"both\"",
        ),
    },
    Entry {
        code: "backend-tolerate",
        title: "This back end cannot forgive a wrong port",
        why: "It would have to keep both the stage and the time that is left of it, and a list of addresses keeps \
              one of them.",
        remedy: "Write `tolerate = 0`, or `backend = \"nftables\"`.",
        example: Text(
            "[gate]\nbackend = \"ipset\"\n\n[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \
             \"udp/29117\", \"tcp/1123\"]\ntolerate = 1",
        ),
    },
    Entry {
        code: "backend-whole-seconds",
        title: "This back end counts in whole seconds",
        why: "A duration that is rounded in silence is another one than is written down.",
        remedy: "Write whole seconds such as `5s`.",
        example: Text(
            "[gate]\nbackend = \"iptables\"\n\n[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \
             \"udp/29117\", \"tcp/1123\"]\nstep_timeout = \"1500ms\"",
        ),
    },
    Entry {
        code: "backend-wildcard",
        title: "iptables takes this name for a pattern",
        why: "`eth+` is every interface whose name begins with eth, and `!eth0` is every other one. The gate would \
              stand elsewhere than is written down.",
        remedy: "Rename the interface, or write `backend = \"nftables\"`.",
        example: Text("[gate]\nbackend = \"iptables\"\ninterfaces = [\"eth+\"]"),
    },
    Entry {
        code: "backend-same-name",
        title: "The sets of two doors would have the same name",
        why: "Names of sets and lists are short, so long names of doors are shortened to a checksum. These two come \
              to the same, and a grant of one would open the other.",
        remedy: "Give one of them another name.",
        // The second is the checksum of the first (FNV-1a).
        example: Text(
            "[gate]\nbackend = \"ipset\"\n\n[door.office-of-the-administrators]\nguards   = [\"tcp/22\"]\n\
             sequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\n[door.141c77875722be]\nguards   = \
             [\"tcp/80\"]\nsequence = [\"tcp/5\", \"udp/9\", \"tcp/3\"]",
        ),
    },
    Entry {
        code: "backend-too-many-lists",
        title: "The doors need too many lists",
        why: "Each stage of each door is a list, and a packet is looked up in one after the other: with `recent` \
              the cost grows with the square of their number.",
        remedy: "At most 256 lists of `recent`, or 1,024 sets of `ipset`; or write `backend = \"nftables\"`, which \
                 costs the same for any number of doors.",
        example: Made("in 90 doors with `backend = \"iptables\"`", || many("iptables", 90)),
    },
    Entry {
        code: "recent-slow",
        title: "Packets are looked up in many lists",
        why: "The kernel finds a list of `recent` by comparing names, one after the other, and looks a packet up in \
              all of them: the cost grows with the square of the number of doors.",
        remedy: "Write `backend = \"nftables\"`, which costs the same for any number of doors.",
        example: Made("in 20 doors with `backend = \"iptables\"`", || many("iptables", 20)),
    },
    Entry {
        code: "recent-evicts",
        title: "A hundred forged packets undo everyone's attempts",
        why: "A list of `recent` holds 100 addresses (`ip_list_tot`) and forgets the oldest. That many packets from \
              forged sources to the first knock port push out everybody who is in the middle of a knock. It \
              opens nothing.",
        remedy: "Write `backend = \"nftables\"`: there a flood locks nobody out. `\"ipset\"` has room \
                 for 65,536.",
        example: Text(
            "[gate]\nbackend = \"iptables\"\n\n[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \
             \"udp/29117\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "ipset-fills",
        title: "65,536 forged sources keep everybody from knocking",
        why: "A set of ipset does not evict. When forged first knocks have filled the set of a stage, nobody else \
              can knock until their time is up. It opens nothing.",
        remedy: "Write `backend = \"nftables\"`: there a flood locks nobody out.",
        example: Text(
            "[gate]\nbackend = \"ipset\"\n\n[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \
             \"udp/29117\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "backend-less-exact",
        title: "iptables refuses less exactly than a closed port",
        why: "A reset that the firewall makes has type of service 0 and no flow label, and comes even where other \
              rules drop. Whoever compares answers can tell guarded ports from closed ones.",
        remedy: "With `backend = \"nftables\"` the network stack itself answers. `refuse = \"drop\"` suits a host \
                 that drops everything else.",
        example: Text(
            "[gate]\nbackend = \"iptables\"\n\n[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \
             \"udp/29117\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "backend-many-networks",
        title: "Packets are compared with many allowed networks",
        why: "With `recent` each allowed network is a rule of its own, and a packet meets one after the other.",
        remedy: "Write `backend = \"ipset\"` or `\"nftables\"`, which look up any number at once.",
        example: Made("in 257 addresses to allow with `backend = \"iptables\"`", || {
            let allow: Vec<_> = (0..257).map(|n| format!("\"2001:db8::{n:x}\"")).collect();
            format!("[gate]\nbackend = \"iptables\"\nallow = [{}]", allow.join(", "))
        }),
    },
];
