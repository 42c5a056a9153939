//! The ways in which a policy can be wrong, in words.

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::time::Duration;

use super::{DoorName, Port, Refuse};
use crate::limits;
use crate::strength::Sweep;

/// Whether a finding forbids the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The policy must not be used.
    Error,
    /// The policy works, but not as well as it could.
    Warning,
}

/// SYNs that TCP sends in the first minute for one connection that nobody answers (Linux: after 1, 3, 7,
/// 15 and 31 seconds again).
pub(super) const TRIES_OF_TCP: u32 = 6;

/// The ways in which a policy can be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is documented by its message and its hint below")]
pub enum Problem {
    NoDoor,
    NobodyGetsIn,
    LogInGuard,
    RefusalStandsOut { refuse: Refuse },
    TooManyAllowed { count: usize },
    TooManyHosts { count: usize },
    DuplicateAllowed,
    AllowsEveryone,
    AllowedElsewhere,
    StrikesOutOfRange { strikes: u32 },
    OneTryBans { strikes: u32 },
    KnocksBan { strikes: u32, knocks: usize },
    WithinOutOfRange,
    BanTimeOutOfRange,
    TooManyDoors { count: usize },
    DuplicateDoor { name: DoorName },
    NoGuards,
    TooManyGuards { count: usize },
    DuplicateGuard { port: Port },
    GuardedTwice { port: Port, other: DoorName },
    TooFewKnocks { count: usize },
    TooManyKnocks { count: usize },
    Monotone { ascending: bool },
    RepeatedKnock { port: Port },
    GuardedKnock { port: Port, door: DoorName },
    PublicKnock { port: Port },
    PublicGuard { port: Port },
    TooManyPublic { count: usize },
    DuplicatePublic { port: Port },
    TooManyInterfaces { count: usize },
    DuplicateInterface,
    SameSequence { other: DoorName },
    PrefixSequence { other: DoorName },
    ContainedSequence { other: DoorName },
    MixedStepTimeout { other: DoorName },
    MixedTolerate { other: DoorName },
    TooManyOverlaps { other: DoorName },
    UnreachableStage { stage: usize, port: Port },
    StepTimeoutTooShort,
    StepTimeoutTooLong,
    StepTimeoutLong { step_timeout: Duration },
    OpenForTooShort,
    OpenForTooLong,
    OpenForLong,
    TolerateTooLarge { tolerate: u8 },
    SweepOpens { sweep: Sweep, wrong: u64 },
    TooManyDurations { count: usize },
    HooksNeedDaemon,
}

impl Problem {
    /// A short name that stays the same for ever, for scripts and for looking it up.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoDoor => "no-door",
            Self::NobodyGetsIn => "nobody-gets-in",
            Self::LogInGuard => "log-in-guard",
            Self::RefusalStandsOut { .. } => "refusal-stands-out",
            Self::TooManyAllowed { .. } => "too-many-allowed",
            Self::TooManyHosts { .. } => "too-many-hosts",
            Self::DuplicateAllowed => "duplicate-allowed",
            Self::AllowsEveryone => "allows-everyone",
            Self::AllowedElsewhere => "allowed-elsewhere",
            Self::StrikesOutOfRange { .. } => "strikes-out-of-range",
            Self::OneTryBans { .. } => "one-try-bans",
            Self::KnocksBan { .. } => "knocks-ban",
            Self::WithinOutOfRange => "within-out-of-range",
            Self::BanTimeOutOfRange => "ban-time-out-of-range",
            Self::TooManyDoors { .. } => "too-many-doors",
            Self::DuplicateDoor { .. } => "duplicate-door",
            Self::NoGuards => "no-guards",
            Self::TooManyGuards { .. } => "too-many-guards",
            Self::DuplicateGuard { .. } => "duplicate-guard",
            Self::GuardedTwice { .. } => "guarded-twice",
            Self::TooFewKnocks { .. } => "too-few-knocks",
            Self::TooManyKnocks { .. } => "too-many-knocks",
            Self::Monotone { .. } => "monotone-sequence",
            Self::RepeatedKnock { .. } => "repeated-knock",
            Self::GuardedKnock { .. } => "guarded-knock",
            Self::PublicKnock { .. } => "public-knock",
            Self::PublicGuard { .. } => "public-guard",
            Self::TooManyPublic { .. } => "too-many-public",
            Self::DuplicatePublic { .. } => "duplicate-public",
            Self::TooManyInterfaces { .. } => "too-many-interfaces",
            Self::DuplicateInterface => "duplicate-interface",
            Self::SameSequence { .. } => "same-sequence",
            Self::PrefixSequence { .. } => "prefix-sequence",
            Self::ContainedSequence { .. } => "contained-sequence",
            Self::MixedStepTimeout { .. } => "mixed-step-timeout",
            Self::MixedTolerate { .. } => "mixed-tolerate",
            Self::TooManyOverlaps { .. } => "too-many-overlaps",
            Self::UnreachableStage { .. } => "unreachable-stage",
            Self::StepTimeoutTooShort => "step-timeout-too-short",
            Self::StepTimeoutTooLong => "step-timeout-too-long",
            Self::StepTimeoutLong { .. } => "step-timeout-long",
            Self::OpenForTooShort => "open-for-too-short",
            Self::OpenForTooLong => "open-for-too-long",
            Self::OpenForLong => "open-for-long",
            Self::TolerateTooLarge { .. } => "tolerate-too-large",
            Self::SweepOpens { .. } => "sweep-opens",
            Self::TooManyDurations { .. } => "too-many-durations",
            Self::HooksNeedDaemon => "hooks-need-daemon",
        }
    }

    /// Whether it forbids the policy.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::DuplicateGuard { .. }
            | Self::DuplicatePublic { .. }
            | Self::DuplicateInterface
            | Self::DuplicateAllowed
            | Self::AllowedElsewhere
            | Self::OneTryBans { .. }
            | Self::KnocksBan { .. }
            | Self::RefusalStandsOut { .. }
            | Self::StepTimeoutLong { .. }
            | Self::OpenForLong
            | Self::NobodyGetsIn => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// What to do about it, as one sentence without a period.
    pub fn hint(&self) -> String {
        match self {
            Self::NoDoor => {
                "write a table such as `[door.ssh]` with `guards` and `sequence`".into()
            }
            Self::NobodyGetsIn => {
                "only established connections continue; add a door such as `[door.ssh]`, `public` \
                 ports, or an address in `allow`"
                    .into()
            }
            Self::TooManyAllowed { .. } => {
                format!("use at most {}; write whole networks", limits::MAX_ALLOWED)
            }
            Self::TooManyHosts { .. } => {
                format!(
                    "use at most {}; each name is looked up again and again",
                    limits::MAX_ALLOWED_HOSTS
                )
            }
            Self::AllowsEveryone => "write the networks that need no knock; a gate that allows \
                                     everyone guards nothing"
                .into(),
            Self::AllowedElsewhere => {
                "remove it, or add the interface to `interfaces`; the gate is not active on it"
                    .into()
            }
            Self::StrikesOutOfRange { .. } => {
                format!("use {} to {}", limits::MIN_STRIKES, limits::MAX_STRIKES)
            }
            Self::OneTryBans { .. } => {
                "a user who forgets to knock once is banned; use more strikes, or another `refuse`"
                    .into()
            }
            Self::KnocksBan { .. } => {
                "knocks count as strikes, like all packets to closed ports; use more strikes".into()
            }
            Self::WithinOutOfRange => {
                let (least, most) = limits::STRIKES_WITHIN.into_inner();
                format!("use {} to {}", Seconds(least), Seconds(most))
            }
            Self::BanTimeOutOfRange => {
                let (least, most) = limits::BAN_TIME.into_inner();
                format!("use {} to {}", Seconds(least), Seconds(most))
            }
            Self::LogInGuard => "remove it, or write `stance = \"closed\"`".into(),
            Self::RefusalStandsOut { refuse: Refuse::Drop } => {
                "leave `refuse` out, unless other rules of this host drop everything else".into()
            }
            Self::RefusalStandsOut { .. } => {
                "leave `refuse` out; closed ports of a host without a firewall do not answer like \
                 this"
                    .into()
            }
            Self::TooManyDoors { .. } => format!("use at most {} doors", limits::MAX_DOORS),
            Self::DuplicateDoor { .. } => "give one of them another name".into(),
            Self::NoGuards => "write the ports behind the door, as in `guards = [\"tcp/22\"]`, or \
                               a command in `on_open`"
                .into(),
            Self::TooManyGuards { .. } => {
                format!(
                    "use at most {} ports; guard the others with a second door",
                    limits::MAX_GUARDS
                )
            }
            Self::DuplicateGuard { .. }
            | Self::DuplicatePublic { .. }
            | Self::DuplicateInterface
            | Self::DuplicateAllowed => "remove one of them".into(),
            Self::GuardedTwice { .. } => "a port belongs to one door; remove it here".into(),
            Self::TooFewKnocks { .. } => format!(
                "use {} to {} knocks, with port numbers that go both up and down",
                limits::MIN_KNOCKS,
                limits::MAX_KNOCKS
            ),
            Self::TooManyKnocks { .. } => {
                format!("use at most {} knocks", limits::MAX_KNOCKS)
            }
            Self::Monotone { .. } => {
                "reorder the knocks so that the port numbers go both up and down".into()
            }
            Self::RepeatedKnock { .. } => {
                "TCP repeats an unanswered SYN, so a repeated port does not count as a new knock; \
                 use another port"
                    .into()
            }
            Self::GuardedKnock { .. } => {
                "a packet to a guarded port is never a knock; use a closed port".into()
            }
            Self::PublicKnock { .. } => {
                "packets to public ports never count as knocks; use a closed port".into()
            }
            Self::PublicGuard { .. } => "a port is public or guarded, not both; remove it from \
                                         `public` or from `guards`"
                .into(),
            Self::TooManyPublic { .. } => format!("use at most {} ports", limits::MAX_PUBLIC),
            Self::TooManyInterfaces { .. } => {
                format!("use at most {} interfaces", limits::MAX_INTERFACES)
            }
            Self::SameSequence { .. }
            | Self::PrefixSequence { .. }
            | Self::ContainedSequence { .. } => {
                "a client that knocks at one door would open the other too; change at least one \
                 port"
                    .into()
            }
            Self::MixedStepTimeout { .. } | Self::MixedTolerate { .. } => {
                "a source has one attempt at a time; use the same value in both doors, or \
                 sequences that do not overlap"
                    .into()
            }
            Self::TooManyOverlaps { .. } => "use different first ports in these sequences".into(),
            Self::UnreachableStage { .. } => "use another port for this knock".into(),
            Self::StepTimeoutTooShort => format!(
                "use at least {}, so that a lost or late knock has time; 5s is a good value",
                Seconds(limits::MIN_STEP_TIMEOUT)
            ),
            Self::StepTimeoutTooLong => {
                format!("use at most {}", Seconds(limits::MAX_STEP_TIMEOUT))
            }
            Self::StepTimeoutLong { .. } => {
                "use 10s or less; that is enough for a person on a slow link, and `portcullis \
                 knock` needs less than one second"
                    .into()
            }
            Self::OpenForLong => {
                "use 30s; a grant lets a client start connections, and these continue after it ends"
                    .into()
            }
            Self::OpenForTooShort => format!(
                "use at least {}, so that a client has time to connect; 30s is a good value",
                Seconds(limits::MIN_OPEN_FOR)
            ),
            Self::OpenForTooLong => format!(
                "use at most {}; a grant lets a client start connections, and these continue after \
                 it ends",
                Seconds(limits::MAX_OPEN_FOR)
            ),
            Self::TolerateTooLarge { .. } => format!("use at most {}", limits::MAX_TOLERATE),
            Self::SweepOpens { wrong: 0, .. } => "use ports that do not follow each other".into(),
            Self::SweepOpens { wrong, .. } => {
                format!(
                    "forgive fewer than {wrong} wrong ports, or use ports that are further apart"
                )
            }
            Self::TooManyDurations { .. } => format!(
                "use at most {} different pairs of `step_timeout` and `open_for`",
                limits::MAX_DISTINCT_DURATIONS
            ),
            Self::HooksNeedDaemon => {
                "write `recogniser = \"both\"` or `\"daemon\"`, or leave `on_open` and `on_close` \
                 out"
                .into()
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDoor => f.write_str("the configuration has no door"),
            Self::NobodyGetsIn => f.write_str(
                "nobody can start a connection: the stance is `closed`, and there is no door, no \
                 public port and no entry in `allow`",
            ),
            Self::TooManyAllowed { count } => write!(f, "`allow` has {count} entries"),
            Self::TooManyHosts { count } => write!(f, "`allow` has {count} host names"),
            Self::DuplicateAllowed => f.write_str("this is listed twice"),
            Self::AllowsEveryone => f.write_str("this allows everyone"),
            Self::AllowedElsewhere => f.write_str("this entry has no effect"),
            Self::StrikesOutOfRange { strikes } => write!(f, "{strikes} strikes are out of range"),
            Self::OneTryBans { strikes } => write!(
                f,
                "a client tries an unanswered connection {TRIES_OF_TCP} times in a minute, and \
                 {strikes} strikes trigger a ban",
            ),
            Self::KnocksBan { strikes, knocks } => write!(
                f,
                "knocking twice at a door of {knocks} knocks makes {} strikes, and {strikes} \
                 strikes trigger a ban",
                knocks.saturating_mul(2)
            ),
            Self::WithinOutOfRange => f.write_str("this time to count strikes is out of range"),
            Self::BanTimeOutOfRange => f.write_str("this length of a ban is out of range"),
            Self::LogInGuard => {
                f.write_str("refused packets are logged only in the stance `closed`")
            }
            Self::RefusalStandsOut { refuse: Refuse::Drop } => {
                f.write_str("guarded ports do not answer; where closed ports answer, a scan shows \
                             which ports are guarded")
            }
            Self::RefusalStandsOut { .. } => {
                f.write_str("guarded ports answer like a firewall; where closed ports do not, a \
                             scan shows which ports are guarded")
            }
            Self::TooManyDoors { count } => write!(f, "there are {count} doors"),
            Self::DuplicateDoor { name } => write!(f, "there are two doors named `{name}`"),
            Self::NoGuards => f.write_str("the door guards no port and runs no command"),
            Self::TooManyGuards { count } => write!(f, "the door guards {count} ports"),
            Self::DuplicateGuard { port } => write!(f, "this door guards `{port}` twice"),
            Self::GuardedTwice { port, other } => {
                write!(f, "door `{other}` already guards `{port}`")
            }
            Self::TooFewKnocks { count: 0 } => f.write_str("the sequence is empty"),
            Self::TooFewKnocks { count } => write!(
                f,
                "a single sweep over the ports can make {count} knock{} in order",
                if *count == 1 { "" } else { "s" }
            ),
            Self::TooManyKnocks { count } => write!(f, "the sequence has {count} knocks"),
            Self::Monotone { ascending } => write!(
                f,
                "the port numbers only go {}; an ordinary port scan touches them in this order",
                if *ascending { "up" } else { "down" }
            ),
            Self::RepeatedKnock { port } => write!(f, "`{port}` repeats the knock before it"),
            Self::GuardedKnock { port, door } => {
                write!(f, "`{port}` cannot be a knock: door `{door}` guards it")
            }
            Self::PublicKnock { port } => write!(f, "`{port}` cannot be a knock: it is public"),
            Self::PublicGuard { port } => write!(f, "`{port}` is both public and guarded"),
            Self::TooManyPublic { count } => write!(f, "there are {count} public ports"),
            Self::DuplicatePublic { port } => write!(f, "`{port}` is listed twice"),
            Self::TooManyInterfaces { count } => write!(f, "there are {count} interfaces"),
            Self::DuplicateInterface => f.write_str("this interface is listed twice"),
            Self::SameSequence { other } => write!(f, "door `{other}` has the same sequence"),
            Self::PrefixSequence { other } => {
                write!(f, "the sequence of door `{other}` begins with this sequence")
            }
            Self::ContainedSequence { other } => {
                write!(f, "the sequence of door `{other}` contains this sequence")
            }
            Self::MixedStepTimeout { other } => write!(
                f,
                "this sequence overlaps with that of door `{other}`, which has another \
                 `step_timeout`"
            ),
            Self::MixedTolerate { other } => write!(
                f,
                "this sequence overlaps with that of door `{other}`, which has another `tolerate`"
            ),
            Self::TooManyOverlaps { other } => {
                write!(f, "too many sequences overlap with this one and that of door `{other}`")
            }
            Self::UnreachableStage { stage, port } => {
                write!(
                    f,
                    "stage {stage} can never be reached: `{port}` does not count as a knock there"
                )
            }
            Self::StepTimeoutTooShort => f.write_str("this is too short for the network"),
            Self::StepTimeoutTooLong | Self::OpenForTooLong => f.write_str("this is too long"),
            Self::StepTimeoutLong { step_timeout } => write!(
                f,
                "attempts last so long that {} forged packets a second leave all other sources \
                 only one second for each knock",
                u64::from(limits::MAX_KERNEL_ATTEMPTS)
                    .checked_div(step_timeout.as_secs())
                    .unwrap_or_default()
            ),
            Self::OpenForTooShort => f.write_str("this is too short to connect"),
            Self::OpenForLong => f.write_str(
                "everyone behind the same address (NAT) can start connections for more than an hour",
            ),
            Self::TolerateTooLarge { tolerate } => {
                write!(f, "`tolerate` is too large: {tolerate}")
            }
            Self::SweepOpens { sweep, wrong } => write!(
                f,
                "{sweep} opens this door: between its knocks the sweep makes only {wrong} wrong \
                 port{}",
                if *wrong == 1 { "" } else { "s" }
            ),
            Self::TooManyDurations { count } => {
                write!(f, "there are {count} different pairs of `step_timeout` and `open_for`")
            }
            Self::HooksNeedDaemon => {
                f.write_str("the kernel cannot run the commands of this door")
            }
        }
    }
}

/// A duration as the configuration would write it.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.as_secs(), self.0.subsec_millis()) {
            (secs, 0) if secs >= 3_600 && secs % 3_600 == 0 => write!(f, "{}h", secs / 3_600),
            (secs, 0) if secs >= 60 && secs % 60 == 0 => write!(f, "{}m", secs / 60),
            (secs, 0) => write!(f, "{secs}s"),
            _ => write!(f, "{}ms", self.0.as_millis()),
        }
    }
}
