//! Codes of the back ends of iptables, and of what they cannot do.

use super::doors::many;
use super::entry::Entry;
use super::entry::Example::{Made, Text, Words};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: "backend-cannot",
        title: "This works only with nftables",
        why: "The iptables back ends cannot do it. For example, they would look up a name once and \
              never again. Ignoring it would give other rules than the configuration says.",
        remedy: "Write `backend = \"nftables\"`, or remove it.",
        example: Text("[gate]\nbackend = \"iptables\"\nallow   = [\"admin.example.org\"]"),
    },
    Entry {
        code: "backend-not-here",
        title: "A command works only with nftables",
        why: "The daemon opens doors with sets of nftables. With iptables the rules recognise all \
              knocks, so the daemon has nothing to do.",
        remedy: "Use `portcullis apply`, or write `backend = \"nftables\"`.",
        example: Words("by `portcullis run` in a configuration with `backend = \"iptables\"`"),
    },
    Entry {
        code: "backend-no-daemon",
        title: "The daemon cannot open doors of this back end",
        why: "With iptables only the kernel recognises knocks. A door that waits for the daemon \
              would never open.",
        remedy: "Write `recogniser = \"kernel\"` or `backend = \"nftables\"`, or remove \
                 `recogniser`.",
        example: Text(
            "[gate]\nbackend = \"iptables\"\n\n[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \
             \"udp/29117\", \"tcp/1123\"]\nrecogniser = \"both\"",
        ),
    },
    Entry {
        code: "backend-tolerate",
        title: "This back end cannot forgive a wrong port",
        why: "It would have to store the stage and also the time that is left. A list of addresses \
              stores only one of them.",
        remedy: "Write `tolerate = 0`, or `backend = \"nftables\"`.",
        example: Text(
            "[gate]\nbackend = \"ipset\"\n\n[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \
             \"udp/29117\", \"tcp/1123\"]\ntolerate = 1",
        ),
    },
    Entry {
        code: "backend-whole-seconds",
        title: "This back end counts in whole seconds",
        why: "Rounding the duration would change what you wrote.",
        remedy: "Write whole seconds such as `5s`.",
        example: Text(
            "[gate]\nbackend = \"iptables\"\n\n[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \
             \"udp/29117\", \"tcp/1123\"]\nstep_timeout = \"1500ms\"",
        ),
    },
    Entry {
        code: "backend-wildcard",
        title: "iptables treats this name as a pattern",
        why: "`eth+` means every interface whose name begins with eth, and `!eth0` means every \
              other interface. The gate would be active on other interfaces than you wrote.",
        remedy: "Rename the interface, or write `backend = \"nftables\"`.",
        example: Text("[gate]\nbackend = \"iptables\"\ninterfaces = [\"eth+\"]"),
    },
    Entry {
        code: "backend-same-name",
        title: "The sets of two doors would have the same name",
        why: "Names of sets and lists are short, so a checksum replaces a long name of a door. \
              These two have the same result, so a grant of one door would open the other.",
        remedy: "Rename one of them.",
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
        why: "Each stage of each door is a list, and the kernel searches these lists one after the \
              other for each packet. With `recent` the cost grows with the square of their number.",
        remedy: "Use at most 256 `recent` lists or 1,024 sets of `ipset`, or write `backend = \
                 \"nftables\"`; its cost does not grow with the number of doors.",
        example: Made("in 90 doors with `backend = \"iptables\"`", || many("iptables", 90)),
    },
    Entry {
        code: "recent-slow",
        title: "The kernel searches many lists for each packet",
        why: "The kernel finds a `recent` list by comparing names one after the other, and \
              searches all lists for each packet. The cost grows with the square of the number of \
              doors.",
        remedy: "Write `backend = \"nftables\"`; its cost does not grow with the number of doors.",
        example: Made("in 20 doors with `backend = \"iptables\"`", || many("iptables", 20)),
    },
    Entry {
        code: "recent-evicts",
        title: "100 forged packets end the attempts of all other sources",
        why: "A `recent` list holds 100 addresses (`ip_list_tot`) and removes the oldest. 100 \
              packets from forged sources to the first knock port remove every source that has an \
              attempt. This opens no door.",
        remedy: "Write `backend = \"nftables\"`, where a flood locks nobody out, or `\"ipset\"`, \
                 which has room for 65,536 addresses.",
        example: Text(
            "[gate]\nbackend = \"iptables\"\n\n[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \
             \"udp/29117\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "ipset-fills",
        title: "With 65,536 forged sources nobody else can knock",
        why: "A full set of ipset accepts no new address. When forged first knocks have filled the \
              set of a stage, nobody else can knock until these entries expire. This opens no door.",
        remedy: "Write `backend = \"nftables\"`, where a flood locks nobody out.",
        example: Text(
            "[gate]\nbackend = \"ipset\"\n\n[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \
             \"udp/29117\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "backend-less-exact",
        title: "With iptables a guarded port does not answer exactly like a closed port",
        why: "A reset from the firewall has type of service 0 and no flow label, and it comes even \
              where other rules drop. A scanner that compares answers can see which ports are \
              guarded.",
        remedy: "Write `backend = \"nftables\"`, where the network stack itself answers. Or write \
                 `refuse = \"drop\"` if this host drops all other packets.",
        example: Text(
            "[gate]\nbackend = \"iptables\"\n\n[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \
             \"udp/29117\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "backend-many-networks",
        title: "The kernel compares each packet with many allowed networks",
        why: "With `recent` each allowed network is a rule, and the kernel checks these rules one \
              after the other.",
        remedy: "Write `backend = \"ipset\"` or `\"nftables\"`; they find a network in one lookup.",
        example: Made("in 257 addresses to allow with `backend = \"iptables\"`", || {
            let allow: Vec<_> = (0..257).map(|n| format!("\"2001:db8::{n:x}\"")).collect();
            format!("[gate]\nbackend = \"iptables\"\nallow = [{}]", allow.join(", "))
        }),
    },
];
