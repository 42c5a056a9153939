//! What each key of the native configuration means: the one definition, from which the reader takes the
//! names that it knows, and the manual page and the README their tables.

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The table that it stands in: `gate`, `ban`, or `door` for `[door.NAME]`.
    pub table: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What a value is, for a person.
    pub value: &'static str,
    /// What it means. Markdown, of which only code is used.
    pub meaning: &'static str,
    /// What holds without it. Markdown.
    pub default: &'static str,
}

const fn key(
    table: &'static str,
    name: &'static str,
    value: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> Key {
    Key { table, name, value, meaning, default }
}

/// All of them.
pub const KEYS: [Key; 18] = [
    key(
        "gate",
        "stance",
        "`\"guard\"` or `\"closed\"`",
        "`\"guard\"`",
        "`\"guard\"`: refuse at the ports of doors only (`like-closed` answers for closed ports too); `\"closed\"`: a whole base firewall, which \
         refuses all packets except for doors, `public` ports, the allow-list, established \
         connections and what every network needs (ICMP, DHCP)",
    ),
    key(
        "gate",
        "backend",
        "`\"nftables\"`, `\"iptables\"` or `\"ipset\"`",
        "`\"nftables\"`",
        "which firewall to use; `\"iptables\"` (match `recent`) and `\"ipset\"` are for hosts that \
         use iptables",
    ),
    key(
        "gate",
        "interfaces",
        "names, as `[\"eth0\"]`",
        "all except loopback",
        "interfaces on which the gate is active: those that packets arrive on. Write the bridge, \
         bond or VRF, not its members; write a VLAN or macvlan and also the interface below it",
    ),
    key(
        "gate",
        "public",
        "ports, as `[\"tcp/80\"]`",
        "none",
        "ports that are open to everybody; a packet to them never ends an attempt",
    ),
    key(
        "gate",
        "allow",
        "as `[\"203.0.113.7\", \"2001:db8::/32\", \"iface:wg0\", \"admin.example.org\"]`",
        "none",
        "allow-list, which needs no knock: addresses, networks, `iface:NAME` and host names. `run` \
         looks names up again when they expire; `apply` looks them up once",
    ),
    key(
        "gate",
        "refuse",
        "`\"like-closed\"`, `\"drop\"` or `\"reject\"`",
        "`\"like-closed\"`; when closed, `\"drop\"`",
        "how a guarded port answers without a grant: like a closed port, not at all (when closed, an ACK is still answered), or with \
         “administratively prohibited”",
    ),
    key(
        "gate",
        "log_refused",
        "`true` or `false`",
        "`false`",
        "`true`: the kernel logs refused packets, at most one a second (only with `stance = \
         \"closed\"`; counters: `nft list chain inet portcullis refuse`)",
    ),
    key(
        "ban",
        "strikes",
        "2 to 10000",
        "`10`",
        "number of strikes that trigger a ban. A strike is a refused bare SYN or datagram to a \
         port that is not public. Knocks are strikes too, so use more than twice the knocks \
         of a sequence. Without `[ban]` nobody is banned",
    ),
    key(
        "ban",
        "within",
        "1s to 1h",
        "`1m`",
        "time in which strikes are counted, from the first one",
    ),
    key("ban", "for", "1s to 720h", "`1h`", "how long a ban lasts"),
    key("door", "guards", "ports, as `[\"tcp/22\"]`", "required", "ports that open"),
    key(
        "door",
        "sequence",
        "3 to 32 knocks, as `[\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]`",
        "required",
        "the knocks that open it, `tcp/N` or `udp/N`, in this order",
    ),
    key("door", "step_timeout", "500ms to 5m", "`5s`", "time to wait for the next knock"),
    key("door", "open_for", "2s to 24h", "`30s`", "how long a grant lasts"),
    key(
        "door",
        "recogniser",
        "`\"both\"`, `\"kernel\"` or `\"daemon\"`",
        "`\"both\"`; with iptables and ipset `\"kernel\"`",
        "what recognises the knocks: the rules in the kernel, the daemon `portcullis run`, or \
         either",
    ),
    key("door", "tolerate", "0 to 16", "`0`", "wrong ports forgiven in one attempt"),
    key(
        "door",
        "on_open",
        "a program and its arguments, as `[\"/usr/bin/logger\", \"{door}\", \"{address}\"]`",
        "nothing",
        "command that `portcullis run` runs when the door opens; no shell reads it",
    ),
    key(
        "door",
        "on_close",
        "the same",
        "nothing",
        "command that it runs when the grant ends; after a crash, the next start runs it",
    ),
];

/// The names of the keys of a table.
pub const fn names<const N: usize>(table: &str) -> [&'static str; N] {
    let mut names = [""; N];
    let (mut from, mut to) = (0, 0);
    while from < KEYS.len() {
        #[allow(clippy::indexing_slicing, reason = "evaluated when this is compiled")]
        if same(KEYS[from].table, table) {
            names[to] = KEYS[from].name;
            to += 1;
        }
        from += 1;
    }
    assert!(to == N, "as many as the table has");
    names
}

/// `==`, for constants.
const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut index = 0;
    #[allow(clippy::indexing_slicing, reason = "within the length of both")]
    while index < a.len() && index < b.len() && a[index] == b[index] {
        index += 1;
    }
    index == a.len() && index == b.len()
}

/// As a table of Markdown.
pub fn table() -> String {
    let mut text = String::from("| key | value | meaning | default |\n|---|---|---|---|\n");
    for key in KEYS {
        let table = if key.table == "door" { "door.NAME" } else { key.table };
        let Key { name, value, meaning, default, .. } = key;
        text.push_str(&format!("| `[{table}] {name}` | {value} | {meaning} | {default} |\n"));
    }
    text
}
