//! Codes of the file and of the host that a configuration is checked on.

use super::entry::Entry;
use super::entry::Example::Words;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: "file-mode",
        title: "Other users can read or change this file",
        why: "The file holds the knocks. A user who can read it can open the doors. A user who can \
              change it can remove them.",
        remedy: "Run `chmod 600` and `chown root` on the file.",
        example: Words("in a file of mode 0644"),
    },
    Entry {
        code: "file-owner",
        title: "Root uses a file that belongs to another user",
        why: "The owner can change the file at any time: the doors, the allow-list, and the \
              commands that run as root.",
        remedy: "Run `chown root` on the file.",
        example: Words("by root in a file of user 1000"),
    },
    Entry {
        code: "knock-answered",
        title: "A service of this host answers at a knock",
        why: "The gate does not refuse packets to the ports of knocks, so with `stance = \
              \"guard\"` the service there answers everybody. Its clients make this knock by \
              accident, which starts or ends an attempt. With `stance = \"closed\"` and \
              `refuse = \"like-closed\"` the firewall refuses there, and elsewhere the network stack \
              does: one packet shows the port.",
        remedy: "Use a closed port. To check a configuration for another host, use `--no-host`.",
        example: Words("where a service listens on `tcp/7431`, and `tcp/7431` is a knock"),
    },
    Entry {
        code: "interface-missing",
        title: "This host does not have an interface of the configuration",
        why: "The gate is active only on the listed interfaces. With a wrong name, guarded ports \
              are open on the interface that you meant. An interface may appear later (ppp0, wg0), \
              because rules match names: `boot` loads the rules without it, `apply` and `run` \
              refuse until it is there.",
        remedy: "Check the name with `ip link`. To check a configuration for another host, use \
                 `--no-host`.",
        example: Words("with `interfaces = [\"eth0\"]` on a host whose interface is `ens3`"),
    },
    Entry {
        code: "interface-other-name",
        title: "An interface is listed with a name that rules do not match",
        why: "An interface can have several names, and `ip` accepts all of them. Rules match only \
              the first one, so the gate sees no packets, and guarded ports are open to everyone.",
        remedy: "Write the name that `ip link` shows first in its line.",
        example: Words(
            "with `interfaces = [\"enp1s0\"]` where `ip link` shows `eth0` with the altname `enp1s0`",
        ),
    },
    Entry {
        code: "interface-member",
        title: "A listed interface is a member of a bridge, bond or VRF",
        why: "Rules see the packets of a member on its master: the bridge, the bond or the VRF. A \
              gate on the member sees no packets, and guarded ports are open to everyone.",
        remedy: "Write the master: `interfaces = [\"br0\"]`.",
        example: Words("with `interfaces = [\"eth0\"]` where `eth0` is a port of the bridge `br0`"),
    },
    Entry {
        code: "interface-below",
        title: "A listed interface has no address, but one on top of it has",
        why: "Packets for a VLAN or a macvlan arrive on it, not on the interface below it. A gate \
              on the lower interface does not see them, and guarded ports are open to everyone.",
        remedy: "Write both: `interfaces = [\"eth0\", \"eth0.7\"]`. A neighbour can send to either \
                 of them.",
        example: Words("with `interfaces = [\"eth0\"]` where the VLAN `eth0.7` has the address"),
    },
    Entry {
        code: "interface-no-address",
        title: "No listed interface has an address, but another interface has",
        why: "Packets for this host arrive on the interface that has its address, and the gate is \
              not active there. If the listed interface gets its address later (DHCP), the gate \
              works from then on.",
        remedy: "Write the interface that has the address, or wait until the listed one has it.",
        example: Words("with `interfaces = [\"eth1\"]` where `eth0` alone has an address"),
    },
    Entry {
        code: "interface-with-master",
        title: "An interface is listed together with its bridge or bond",
        why: "The rules see its packets only on the master. The daemon captures on both and sees \
              each packet twice, so it counts a wrong port twice.",
        remedy: "Write only the master.",
        example: Words(
            "with `interfaces = [\"eth0\", \"br0\"]` where `eth0` is a port of the bridge `br0`",
        ),
    },
    Entry {
        code: "interface-on-top",
        title: "An interface on top of a listed one has an address but no gate",
        why: "Packets for a VLAN or a macvlan arrive on it, not on the interface below it. Guarded \
              ports are open there. This can be right for a local network; to guard both, list \
              both.",
        remedy: "Add it to `interfaces`. If guarded ports should be open there, write `allow = \
                 [\"iface:eth0.7\"]`.",
        example: Words(
            "with `interfaces = [\"eth0\"]` where `eth0` and the VLAN `eth0.7` have addresses",
        ),
    },
    Entry {
        code: "interface-without-gate",
        title: "The gate is not active on an interface with a public address",
        why: "With `interfaces`, guarded ports are open on all interfaces that are not listed. \
              This can be right for a local network, but here such an interface has a public \
              address. Often it is an IPv6 tunnel, through which everyone reaches the ports that \
              are guarded over IPv4.",
        remedy: "Add it to `interfaces`, or remove `interfaces`; then the gate is active on all \
                 interfaces except loopback. If guarded ports should be open there, ignore the \
                 warning.",
        example: Words(
            "with `interfaces = [\"eth0\"]` on a host whose `he-ipv6` is up and has the address \
             `2001:db8::2`",
        ),
    },
    Entry {
        code: "conntrack-small",
        title: "The connection table of the kernel is small",
        why: "The rules of the gate turn connection tracking on. Each datagram from a new port \
              takes a place in its table until `nf_conntrack_udp_timeout` ends. A full table \
              removes unanswered connections to make room, in a strong flood also those of your \
              users.",
        remedy: "Run `sysctl -w net.netfilter.nf_conntrack_max=262144`. The full table then takes \
                 about 90 MB (see `docs/flood.md`).",
        example: Words("where `nf_conntrack_max` is 16384"),
    },
    Entry {
        code: "conntrack-sparse",
        title: "The connection table of the kernel has far more chains than places",
        why: "To make room, a full table searches eight of its chains for an unanswered \
              connection. If most chains are empty it finds none and drops the new packet, also \
              packets and knocks of your users.",
        remedy: "Set `net.netfilter.nf_conntrack_max` to at least \
                 `net.netfilter.nf_conntrack_buckets` (see `docs/flood.md`).",
        example: Words("where `nf_conntrack_max` is 65536 and `nf_conntrack_buckets` 262144"),
    },
    Entry {
        code: "conntrack-full",
        title: "The connection table of the kernel is nearly full",
        why: "When it is full, the kernel may drop packets of new connections before the gate sees \
              them, and logs `nf_conntrack: table full, dropping packet`.",
        remedy: "Raise `net.netfilter.nf_conntrack_max`. Run `conntrack -L` to see which sources \
                 fill it.",
        example: Words("where `nf_conntrack_count` is 240000 and `nf_conntrack_max` 262144"),
    },
    Entry {
        code: "conntrack-unchecked",
        title: "Connection tracking does not check checksums",
        why: "With `like-closed`, the gate removes the options of a refused TCP segment and relies on \
              connection tracking to have checked its checksum. Otherwise the network stack drops the \
              segment, and closed and guarded ports do not answer most connections.",
        remedy: "Run `sysctl -w net.netfilter.nf_conntrack_checksum=1`, which is the default.",
        example: Words("where `nf_conntrack_checksum` is 0"),
    },
];
