//! Every bound of the product, each with what happens when it is reached and whom that hurts.

use core::ops::RangeInclusive;
use core::time::Duration;

/// Doors in one policy. More is a configuration error.
pub const MAX_DOORS: usize = 20_000;

/// Fewest knocks in a sequence. Two ports are always in ascending or descending order, so that one
/// sweep would touch them in turn; from three on a sequence can be neither.
pub const MIN_KNOCKS: usize = 3;

/// Most knocks in a sequence (knockd's limit too). More is a configuration error.
pub const MAX_KNOCKS: usize = 32;

/// Most ports that one door guards. More is a configuration error.
pub const MAX_GUARDS: usize = 64;

/// Most arguments of a hook, the program included. More is a configuration error.
pub const MAX_HOOK_ARGUMENTS: usize = 256;

/// Longest hook, in bytes of all its arguments together: half of what every kernel takes for one
/// (`MAX_ARG_STRLEN` of linux/binfmts.h). More is a configuration error.
pub const MAX_HOOK_BYTES: usize = 65_536;

/// Most public ports. More is a configuration error.
pub const MAX_PUBLIC: usize = 4_096;

/// Most interfaces named. More is a configuration error.
pub const MAX_INTERFACES: usize = 64;

/// Most entries of the allow-list. More is a configuration error.
pub const MAX_ALLOWED: usize = 4_096;

/// Most names of hosts among them. Each is looked up again and again, one after the other; more is a
/// configuration error.
pub const MAX_ALLOWED_HOSTS: usize = 32;

/// Addresses that one name may have. Whoever answers for the name chooses them; further ones, in the
/// order of the answer, are not allowed.
pub const MAX_ADDRESSES_PER_HOST: usize = 16;

/// How long after it was looked up a name is looked up again, where no name server says how long its
/// answer is good for.
pub const HOST_REFRESH: Duration = Duration::from_secs(60);

/// The shortest and the longest time where one does.
pub const HOST_REFRESH_WITHIN: (Duration, Duration) =
    (Duration::from_secs(30), Duration::from_secs(60 * 60));

/// How long `apply` waits for names in all. Those that take longer keep the addresses that they had.
pub const HOST_PATIENCE: Duration = Duration::from_secs(5);

/// Fewest strikes that ban. One would ban whoever mistypes.
pub const MIN_STRIKES: u32 = 2;

/// Most strikes that ban.
pub const MAX_STRIKES: u32 = 10_000;

/// Shortest and longest time for which strikes are counted: the longest so that the count of the kernel,
/// which forgets one strike a day, is exact.
pub const STRIKES_WITHIN: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(60 * 60);

/// Shortest and longest ban.
pub const BAN_TIME: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 60 * 60);

/// Sources whose strikes the kernel counts, per address family, and once more for those that find no
/// room. The kernel does not evict: forged strikes of more sources than this in the time they are
/// counted fill the first set, then more than this in [`LATE_STRIKE`] the second. Then the strikes of
/// others are not counted until there is room. Nobody is let in by that.
pub const MAX_STRIKERS: u32 = 65_536;

/// How long strikes are counted of a source that has found the first set full.
pub const LATE_STRIKE: Duration = Duration::from_secs(10);

/// Bans alive at once, per address family, and once more for those that find no room.
pub const MAX_BANS: u32 = 65_536;

/// How long a ban lasts that has found the first set full.
pub const LATE_BAN: Duration = Duration::from_secs(60);

/// Longest door name, in bytes: it must fit a comment of the kernel (128) and a log line.
pub const MAX_DOOR_NAME: usize = 48;

/// Longest interface name, in bytes (`IFNAMSIZ` of linux/if.h, less the final NUL).
pub const MAX_INTERFACE_NAME: usize = 15;

/// Most wrong ports that a door may forgive. Each forgiven port is a further copy of the door's
/// states in the kernel, and multiplies what a guesser tries with one packet.
pub const MAX_TOLERATE: u8 = 16;

/// Shortest `step_timeout`: a packet that was lost once on a slow path still fits.
pub const MIN_STEP_TIMEOUT: Duration = Duration::from_millis(500);

/// Longest `step_timeout`: longer ones only fill tables.
pub const MAX_STEP_TIMEOUT: Duration = Duration::from_secs(300);

/// Shortest `open_for`: time for one connection attempt that lost its first SYN.
pub const MIN_OPEN_FOR: Duration = Duration::from_secs(2);

/// Longest `open_for`.
pub const MAX_OPEN_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Distinct pairs of `step_timeout` and `open_for` in one policy: each adds a small chain.
pub const MAX_DISTINCT_DURATIONS: usize = 64;

/// Transitions of the automaton beside those from its root. Only doors that overlap in thousands
/// reach this; it is a configuration error then.
pub const MAX_TRANSITIONS: usize = 4_000_000;

/// Sources whose progress the daemon keeps. When full, the oldest attempt of the busiest prefix
/// goes: a flood hurts its own neighbourhood first.
pub const MAX_ATTEMPTS: usize = 1_000_000;

/// Ports that nothing listens on: IANA keeps them from everybody (Service Name and Transport Protocol
/// Port Number Registry, 225 to 241, "Reserved"). Connections that are refused as by a closed port are
/// translated to them. With `n` source ports they distinguish `17·n` refusals of one source at a time;
/// 64,512 source ports make that more than connection tracking has room for.
pub const CLOSED_PORTS: core::ops::RangeInclusive<u16> = 225..=241;

/// Sources whose progress the kernel keeps, per address family, at some 100 bytes each. When there are
/// more, the others go to a second map, and have [`LATE_ATTEMPT`] for each knock: a flood of forged
/// knocks hurts those who knock slowly while it lasts.
pub const MAX_KERNEL_ATTEMPTS: u32 = 1 << 18;

/// Sources in that second map, per address family. When it is full too, which takes some half a
/// million forged first knocks a second, who begins to knock must try again (fails closed).
pub const MAX_LATE_ATTEMPTS: u32 = 1 << 20;

/// How long a source in the second map has for its next knock.
pub const LATE_ATTEMPT: Duration = Duration::from_secs(1);

/// Attempts that a reload carries over, per address family. Those in the second map are not: they live
/// for a second. When there are more, those go first that have come no farther
/// than the first knock: that far a flood comes by chance.
pub const MAX_CARRIED_ATTEMPTS: usize = 65_536;

/// Sources in each set of a stage of the ipset back end, per address family. Sets do not evict: when
/// full, new knockers must wait until entries expire (fails closed).
pub const MAX_IPSET_ATTEMPTS: u32 = 65_536;

/// Lists of the match `recent` in one policy of the iptables back end, per address family: one for
/// each stage and one for each door. The kernel finds a list by comparing names, so a packet that is
/// looked up in all of them costs the square of this: 3 µs for 4 doors of four knocks, 250 µs at the
/// bound (measured on one core of 2026, 1.7 µs without a gate). More is a configuration error.
pub const MAX_RECENT_LISTS: usize = 256;

/// Sets of `ipset` in one policy, per address family: one for each stage and one for each door. A
/// packet to a wrong port is taken out of all of them: 70 µs at the bound (measured as above). More is
/// a configuration error.
pub const MAX_IPSETS: usize = 1_024;

/// Grants alive at once, per address family. When full, a right knock opens nothing.
pub const MAX_GRANTS: u32 = 65_536;

/// Echo requests that are answered in the stance `closed`, per address family and second. More are
/// refused like everything else: a flood of pings can keep others from being answered.
pub const PINGS_PER_SECOND: u32 = 10;

/// Echo requests answered at once after a while without any.
pub const PING_BURST: u32 = 20;

/// Refused packets that are logged per second. More are only counted.
pub const LOGGED_PER_SECOND: u32 = 1;

/// Refused packets logged at once after a while without any.
pub const LOG_BURST: u32 = 5;

/// UDP conversations of the host's own that the daemon remembers, so that their answers do not
/// count as wrong knocks. When full the oldest goes: its next answer may reset the attempt of the
/// one source that it comes from.
pub const MAX_CONVERSATIONS: usize = 16_384;

/// How long a datagram of the host's own makes those coming back an answer: what connection tracking
/// gives a conversation in both directions (`nf_conntrack_udp_timeout_stream`, 120 s by default;
/// Documentation/networking/nf_conntrack-sysctl.rst).
pub const CONVERSATION_LIFETIME: Duration = Duration::from_secs(120);

/// Knockers that the recogniser of the drop-in for knockd remembers: a source counts once for the
/// addresses of this host, and once for each `Target` that it knocks at. When full, the one whose
/// last knock is the oldest in the busiest prefix goes: a flood hurts its own neighbourhood first.
pub const MAX_KNOCKERS: usize = 262_144;

/// Bytes for the stages of knockers: each has one for every door that begins with its first knock.
/// Only when more than 256 doors begin with the same knock are there fewer than [`MAX_KNOCKERS`].
pub const MAX_STAGE_BYTES: usize = 64 * 1024 * 1024;

/// Distinct ports of no door that an attempt at a door of `knockd.conf` bears. knockd bears any
/// number, so that a sweep of all ports opens what has ascending knocks; at one more the attempt is
/// lost. It hurts who uses more services of the host than this while knocking.
pub const MAX_STRAYS: usize = 4;

/// Segments of an attempt that are recognised when they are sent again. An older one counts as a
/// wrong knock.
pub const MAX_FINGERPRINTS: usize = 8;

/// Interfaces that the daemon reads packets from where none are named. Those beyond are not watched: the
/// kernel's recogniser still sees their packets. The keeper keeps as many names from its watcher; a
/// further one, which only a watcher that was taken over sends, is not kept and missing in the status.
pub const MAX_WATCHED: usize = 256;

/// Lines that `portcullis run` writes in a second about each of: doors that open, stages (`-v`), names
/// of the allow-list, commands. All of these can be caused by packets. More are only counted, and the
/// count is written once a second: a flood of one kind hides lines of that kind, and of no other.
pub const LINES_PER_SECOND: u32 = 50;

/// Lines about interfaces (come, gone, packets lost) that a keeper writes at once: all that are watched may
/// come and go together. In the long run there are [`LINES_PER_SECOND`]; more are only counted.
pub const INTERFACE_LINES: u32 = 512;

/// Lines of knockd's log about what has opened nothing yet (stages, timeouts), which anyone can cause: so
/// many at once, and in the long run so many in a second. More are only counted.
pub const STAGE_LINES: (u32, u32) = (1000, 50);

/// What waits for a runner that does not read: openings, and of a configuration one for each 16 KiB (1,024 at
/// most). When there is more, `on_open` is not run for the next openings, which is said; their grants are
/// made all the same.
pub const MAX_WAITING_OPENINGS: usize = 2048;

/// How long the daemon waits at its end for commands that close what is open. Then it ends without them:
/// they go on by themselves, as after a second signal. Service managers have 90 s of patience (systemd).
pub const CLOSING_PATIENCE: Duration = Duration::from_secs(60);
