//! Codes of the file and of the host that a configuration is checked on.

use super::entry::Entry;
use super::entry::Example::Words;

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
        code: "interface-other-name",
        title: "An interface is named by another name than the one that rules match",
        why: "An interface can have several names, and `ip` takes any of them. Rules match the first one only, \
              so the gate sees no packet, and guarded ports are open to everyone.",
        remedy: "Write the name that `ip link` shows first in its line.",
        example: Words(
            "with `interfaces = [\"enp1s0\"]` where `ip link` shows `eth0` with the altname `enp1s0`",
        ),
    },
    Entry {
        code: "interface-member",
        title: "A named interface is a member of a bridge, bond or VRF",
        why: "Packets that come in by a member arrive on its master: the rules see them on the bridge, the \
              bond or the VRF. A gate on the member sees none, and guarded ports are open to everyone.",
        remedy: "Name the master: `interfaces = [\"br0\"]`.",
        example: Words("with `interfaces = [\"eth0\"]` where `eth0` is a port of the bridge `br0`"),
    },
    Entry {
        code: "interface-below",
        title: "A named interface has no address, and one on top of it has",
        why: "Packets for a VLAN or a macvlan arrive on it, and not on the interface that it was made on. A \
              gate on the lower one does not see them, and guarded ports are open to everyone.",
        remedy: "Name both: `interfaces = [\"eth0\", \"eth0.7\"]`. A neighbour can send to either of them.",
        example: Words("with `interfaces = [\"eth0\"]` where the VLAN `eth0.7` has the address"),
    },
    Entry {
        code: "interface-no-address",
        title: "No named interface has an address, and another interface has",
        why: "Packets for this host come in by the interface that has its address, and the gate does not \
              stand there. If the named one gets its address later (DHCP), all is well then.",
        remedy: "Name the interface that has the address, or wait for it.",
        example: Words("with `interfaces = [\"eth1\"]` where `eth0` alone has an address"),
    },
    Entry {
        code: "interface-with-master",
        title: "An interface is named together with its bridge or bond",
        why: "The rules see its packets on the master alone. The daemon captures on both and sees each packet \
              twice, and to it a wrong port counts twice.",
        remedy: "Name the master alone.",
        example: Words(
            "with `interfaces = [\"eth0\", \"br0\"]` where `eth0` is a port of the bridge `br0`",
        ),
    },
    Entry {
        code: "interface-on-top",
        title: "An interface on top of a named one has an address and no gate",
        why: "Packets for a VLAN or a macvlan arrive on it, and not on the interface that it was made on. \
              Guarded ports are open there. That is meant for a local network; whoever meant the whole cable \
              has to name both.",
        remedy: "Add it to `interfaces`. If it is meant to be open, there is nothing to do; \
                 `allow = [\"iface:eth0.7\"]` says so.",
        example: Words(
            "with `interfaces = [\"eth0\"]` where `eth0` and the VLAN `eth0.7` have addresses",
        ),
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
    Entry {
        code: "conntrack-small",
        title: "The kernel's table of connections is small",
        why: "The gate's rules switch on connection tracking. Each datagram from a new port takes a place in \
              its table until `nf_conntrack_udp_timeout` is over. A full table makes room by forgetting \
              connections that nobody has answered yet: in a strong flood also those of your users.",
        remedy: "`sysctl -w net.netfilter.nf_conntrack_max=262144`, which takes some 90 MB when it is full; \
                 `docs/flood.md` has the figures.",
        example: Words("where `nf_conntrack_max` is 16384"),
    },
    Entry {
        code: "conntrack-sparse",
        title: "The kernel's table of connections has far more chains than places",
        why: "A full table makes room by looking for an unanswered connection in eight of its chains. Where \
              most chains are empty it finds none, and drops the new packet: of your users, and of their \
              knocks.",
        remedy: "Set `net.netfilter.nf_conntrack_max` to no less than `net.netfilter.nf_conntrack_buckets`; \
                 `docs/flood.md` has the figures.",
        example: Words("where `nf_conntrack_max` is 65536 and `nf_conntrack_buckets` 262144"),
    },
    Entry {
        code: "conntrack-full",
        title: "The kernel's table of connections is nearly full",
        why: "Where it is full, packets of new connections may be dropped before the gate sees them, and the \
              kernel logs `nf_conntrack: table full, dropping packet`.",
        remedy: "Raise `net.netfilter.nf_conntrack_max`, and look with `conntrack -L` who fills it.",
        example: Words("where `nf_conntrack_count` is 240000 and `nf_conntrack_max` 262144"),
    },
];
