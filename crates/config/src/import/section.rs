//! Sections to doors.

use std::collections::HashMap;
use std::time::Duration;

use portcullis_core::limits::{
    MAX_DOOR_NAME, MAX_OPEN_FOR, MAX_STEP_TIMEOUT, MIN_OPEN_FOR, MIN_STEP_TIMEOUT,
};
use portcullis_core::policy::{
    Door as Native, DoorName, Hook, HookError, Hooks, InterfaceName, Port, Protocol, Recogniser,
};
use portcullis_core::wire::TcpFlags;

use super::planned::{Plan, Planned, Remark};
use super::purpose::{FAMILIES, Purpose, Section};
use super::recognise::recognise;
use super::rule::{Known, Rule};
use super::shell::{self, Script};
use crate::duration;
use crate::knockd::{CommandLine, DoorPlaces, Knocks, Located, Name};
use crate::report::Span;

/// How long a door stays open that only a knock closed before.
const UNTIL_CLOSED: Duration = Duration::from_secs(3_600);

/// Plans one section after the other.
#[derive(Default)]
pub struct Planner {
    pub plan: Plan,
    names: HashMap<String, u32>,
}

impl Planner {
    fn say(&mut self, remark: Remark) {
        self.plan.remarks.push(remark);
    }

    /// What is said of the daemon.
    pub fn options(&mut self, located: &Located) {
        let (options, places) = (&located.configuration.options, &located.options);
        let at = |span: &Option<Span>| span.as_ref().map_or(0, |span| span.start);
        let hint = "what `portcullis run` prints is for the service manager to keep";
        if options.use_syslog {
            self.say(Remark::new(at(&places.use_syslog), "`UseSyslog` is left out").hint(hint));
        }
        if options.log_file.is_some() {
            self.say(Remark::new(at(&places.log_file), "`LogFile` is left out").hint(hint));
        }
        if options.pid_file.is_some() {
            let message = "`PidFile` is left out, as `portcullis run` stays in the foreground";
            self.say(Remark::new(at(&places.pid_file), message));
        }
        if let Some(name) = &options.interface {
            let at = at(&places.interface);
            match InterfaceName::new(name) {
                Ok(_) if name == "any" => {
                    let message = "the gate stands on all interfaces but loopback";
                    self.say(Remark::new(at, message));
                }
                Ok(name) => self.plan.interface = Some(name),
                Err(problem) => {
                    let message = format!("the interface is left out: {problem}");
                    let hint = "name it in `interfaces` as `ip link` shows it";
                    self.say(Remark::new(at, message).hint(hint).by_hand());
                }
            }
        }
    }

    /// One section, with those that take back what it does.
    pub fn section(&mut self, section: &Section<'_>, closers: &[&Section<'_>]) {
        let (door, places) = (section.door, section.places);
        let Knocks::Sequence(sequence) = &door.knocks else {
            let message = format!(
                "door `{}` is left out: one-time sequences have no counterpart here yet",
                door.name
            );
            let hint = "give it a fixed sequence, or let knockd go on with it";
            self.say(Remark::new(places.knocks.start, &message).hint(hint).by_hand());
            self.plan.left_out.push((places.name.start, message));
            return;
        };
        let name = self.name(section, closers);
        // It is one: see `valid`.
        let Ok(name) = DoorName::new(&name) else { return };
        let mut planned = Planned {
            door: Native {
                name,
                guards: Vec::new(),
                sequence: sequence.clone(),
                step_timeout: self.step_timeout(section, sequence.len()),
                open_for: Native::DEFAULT_OPEN_FOR,
                recogniser: Recogniser::default(),
                tolerate: 0,
                hooks: None,
            },
            closes: false,
            sections: std::iter::once(section)
                .chain(closers.iter().copied())
                .map(|section| (section.door.name.to_string(), section.places.name.start))
                .collect(),
            places: places.clone(),
            comments: Vec::new(),
        };
        self.flags_and_target(section, sequence);
        match &section.purpose {
            Purpose::Opens { rule, closes, .. } => {
                self.rule(section, rule, *closes, closers, &mut planned);
            }
            Purpose::Nothing => {
                let message = format!("door `{}` runs nothing, and guards nothing", door.name);
                let hint = "name the ports that it should open in `guards`";
                self.say(Remark::new(places.name.start, message).hint(hint).by_hand());
            }
            Purpose::Closes(_) | Purpose::Unknown => self.commands(section, &mut planned),
        }
        self.plan.doors.push(planned);
    }

    /// A door that the gate opens and closes by itself.
    fn rule(
        &mut self,
        section: &Section<'_>,
        rule: &Rule,
        closes: bool,
        closers: &[&Section<'_>],
        planned: &mut Planned,
    ) {
        let name = &section.door.name;
        let at = start_of_command(section.places);
        planned.door.guards.clone_from(&rule.ports);
        planned.closes = true;
        for (what, kept) in [("address", &rule.destination), ("interface", &rule.interface)] {
            if let Some(kept) = kept {
                let message =
                    format!("door `{name}` opened its ports at the {what} `{kept}` alone");
                let hint = format!("here `guards` are ports of every {what} of this host");
                self.say(Remark::new(at, message).hint(hint).by_hand());
            }
        }
        for closer in closers {
            let message = format!(
                "door `{}` is left out: what it closes, `{}`, closes by itself",
                closer.door.name, planned.door.name
            );
            self.say(Remark::new(closer.places.name.start, message));
        }
        if closes {
            planned.door.open_for = self.open_for(section);
            return;
        }
        planned.door.open_for = UNTIL_CLOSED;
        let long = duration::format(UNTIL_CLOSED);
        if closers.is_empty() {
            let message = format!("nothing ever closed door `{name}`; it is open for {long} now");
            let hint = "set `open_for`: connections that were made in this time go on after it";
            self.say(Remark::new(at, message).hint(hint).by_hand());
        } else {
            let message = format!("door `{name}` had no limit of time; it is open for {long} now");
            let hint = "a shorter `open_for` is safer: connections that were made in this time go \
                        on after it";
            self.say(Remark::new(at, message).hint(hint));
        }
    }

    /// A door whose commands are kept.
    fn commands(&mut self, section: &Section<'_>, planned: &mut Planned) {
        let (door, places) = (section.door, section.places);
        let at = start_of_command(places);
        let [start, stop] = [false, true].map(|stop| {
            let [four, six] = FAMILIES.map(|address| {
                let start = door.start_command(address);
                if stop { start.and(door.stop_command(address)) } else { start }
            });
            script(four, six)
        });
        let (Ok(start), Ok(stop)) = (start, stop) else {
            let message = format!("the commands of door `{}` are left out: not UTF-8", door.name);
            let hint = "put them into a script of their own, and name that in `on_open`";
            self.say(Remark::new(at, message).hint(hint).by_hand());
            return;
        };
        let hooks = match hooks(start.as_ref(), stop.as_ref()) {
            Ok(hooks) => hooks,
            Err(problem) => {
                let message =
                    format!("the commands of door `{}` are left out: {problem}", door.name);
                let hint = "put them into a script of their own, and name that in `on_open`";
                self.say(Remark::new(at, message).hint(hint).by_hand());
                return;
            }
        };
        let kept = match &stop {
            Some(_) => "the commands of door `{}` are kept as `on_open` and `on_close`",
            None => "the command of door `{}` is kept as `on_open`",
        };
        let message = kept.replace("{}", &door.name.to_string());
        let opens = FAMILIES.into_iter().filter_map(|address| door.start_command(address));
        let opens = opens.filter_map(recognise).any(|known| matches!(known, Known::Add(..)));
        let hint = if opens && stop.is_some() {
            "the start command is known and the stop command is not its reverse; if it is meant to be, \
             name the ports in `guards` instead: the kernel closes them by itself"
        } else {
            "if all they do is to open ports, name these in `guards` instead: the kernel closes them \
             by itself"
        };
        self.say(Remark::new(at, message).hint(hint));
        let certain = [&start, &stop].into_iter().flatten().all(|script| script.certain);
        if !certain {
            let message =
                format!("the address may be quoted wrongly in what door `{}` runs", door.name);
            let hint = "read it: `$1` is the address, as an argument of the shell";
            self.say(Remark::new(at, message).hint(hint).by_hand());
        }
        if stop.is_some() {
            planned.closes = true;
            planned.door.open_for = self.open_for(section);
        }
        planned.door.hooks = hooks;
    }

    fn flags_and_target(&mut self, section: &Section<'_>, sequence: &[Port]) {
        let (door, places) = (section.door, section.places);
        let (set, clear) = (door.flags.set, door.flags.clear);
        let others = set.bits() & !TcpFlags::SYN.bits() != 0 || clear.contains(TcpFlags::SYN);
        if others && sequence.iter().any(|port| port.protocol == Protocol::Tcp) {
            let at = places.flags.as_ref().map_or(places.name.start, |span| span.start);
            let message =
                format!("door `{}` was knocked at with other flags than a SYN", door.name);
            let hint = "here a knock at a TCP port is always a SYN, as `portcullis knock` sends it";
            self.say(Remark::new(at, message).hint(hint).by_hand());
        }
        if let (Some(target), Some(span)) = (door.target, &places.target) {
            let message = format!("door `{}` was knocked at the address {target} alone", door.name);
            let hint = "here knocks are for this host, at any of its addresses: the door opens only if \
                        that is one of them";
            self.say(Remark::new(span.start, message).hint(hint).by_hand());
        }
    }

    fn step_timeout(&mut self, section: &Section<'_>, knocks: usize) -> Duration {
        let (door, places) = (section.door, section.places);
        let at = places.seq_timeout.as_ref().map_or(places.name.start, |span| span.start);
        if door.seq_timeout.is_zero() && knocks > 1 {
            let message = format!("door `{}` could not be opened: its timeout was none", door.name);
            let hint = "set `step_timeout`, and 5s is a good value";
            self.say(Remark::new(at, message).hint(hint).by_hand());
        }
        let clamped = door.seq_timeout.clamp(MIN_STEP_TIMEOUT, MAX_STEP_TIMEOUT);
        if clamped < door.seq_timeout {
            let message = format!(
                "door `{}` waits {} for each knock, which is the longest time",
                door.name,
                duration::format(clamped)
            );
            self.say(Remark::new(at, message));
        }
        clamped
    }

    fn open_for(&mut self, section: &Section<'_>) -> Duration {
        let (door, places) = (section.door, section.places);
        let clamped = door.cmd_timeout.clamp(MIN_OPEN_FOR, MAX_OPEN_FOR);
        if clamped != door.cmd_timeout {
            let at = places.cmd_timeout.as_ref().map_or(places.name.start, |span| span.start);
            let message = format!(
                "door `{}` is open for {} instead of {}",
                door.name,
                duration::format(clamped),
                duration::format(door.cmd_timeout)
            );
            let shorter = clamped < door.cmd_timeout;
            let remark = Remark::new(at, message);
            self.say(if shorter { remark.by_hand() } else { remark });
        }
        clamped
    }

    /// A name that the native configuration takes, and that no other door has.
    fn name(&mut self, section: &Section<'_>, closers: &[&Section<'_>]) -> String {
        let original = &section.door.name;
        let closer = closers.first().map(|closer| &closer.door.name);
        let plain = String::from_utf8_lossy(original.as_bytes());
        let wanted = closer.and_then(|closer| common(original, closer));
        let wanted = valid(wanted.as_deref().unwrap_or(&plain));
        let mut name = wanted.clone();
        while self.names.contains_key(&name) {
            let next = self.names.entry(wanted.clone()).or_insert(1);
            *next = next.saturating_add(1);
            let number = format!("-{next}");
            let kept = MAX_DOOR_NAME.saturating_sub(number.len());
            name = format!("{}{number}", wanted.get(..kept).unwrap_or(&wanted));
        }
        self.names.insert(name.clone(), 1);
        if name.as_bytes() != original.as_bytes() {
            let message = format!("door `{original}` is called `{name}` here");
            self.say(Remark::new(section.places.name.start, message));
        }
        name
    }
}

/// Where the command stands that opens, or the door if there is none.
pub fn start_of_command(places: &DoorPlaces) -> usize {
    let command = places.start_command.as_ref().or(places.start_command_6.as_ref());
    command.unwrap_or(&places.name).start
}

/// What to run for knockers of either family; an error if it is not UTF-8, as the native
/// configuration is.
fn script(four: Option<&CommandLine>, six: Option<&CommandLine>) -> Result<Option<Script>, ()> {
    let read = |command: Option<&CommandLine>| match command {
        None => Ok(None),
        Some(command) => {
            let text = std::str::from_utf8(command.as_bytes()).map_err(drop)?;
            Ok(Some(shell::with_argument(text)))
        }
    };
    if four == six {
        return read(four);
    }
    let (four, six) = (read(four)?, read(six)?);
    let text = |script: &Option<Script>| {
        // A comment at its end must not hide what follows.
        script.as_ref().map_or(String::new(), |script| format!("{}\n", script.text))
    };
    Ok(Some(Script {
        text: format!("case \"$1\" in\n*:*)\n{};;\n*)\n{};;\nesac", text(&six), text(&four)),
        certain: [&four, &six].into_iter().flatten().all(|script| script.certain),
    }))
}

/// The commands of a door as the native configuration has them.
fn hooks(start: Option<&Script>, stop: Option<&Script>) -> Result<Option<Hooks>, HookError> {
    let hook = |script: Option<&Script>| script.map(|script| Hook::new(script.arguments()));
    let (on_open, on_close) = (hook(start).transpose()?, hook(stop).transpose()?);
    Ok(on_open.map(|on_open| Hooks { on_open, on_close }))
}

/// `SSH` of `openSSH` and `closeSSH`.
fn common(opener: &Name, closer: &Name) -> Option<String> {
    let (opener, closer) = (opener.to_string(), closer.to_string());
    let (open, rest) = opener.split_at_checked(4)?;
    let (close, other) = closer.split_at_checked(5)?;
    let same =
        open.eq_ignore_ascii_case("open") && close.eq_ignore_ascii_case("close") && rest == other;
    let rest = rest.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    (same && !rest.is_empty()).then(|| rest.into())
}

/// The name with a hyphen for each run of what a native name cannot hold.
fn valid(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        let fits = c.is_ascii_alphanumeric() || (matches!(c, '_' | '-' | '.') && !out.is_empty());
        if out.len() >= MAX_DOOR_NAME {
            break;
        } else if fits {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    let kept = out.trim_end_matches('-');
    if kept.is_empty() { FALLBACK.into() } else { kept.into() }
}

/// What a door is called of whose name nothing is left.
const FALLBACK: &str = "door";
