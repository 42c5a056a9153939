//! Sections of a `knockd.conf` to doors.

use std::time::Duration;

use portcullis_core::policy::{Hook, Hooks, InterfaceName, Port, Protocol};
use portcullis_core::wire::TcpFlags;

use super::draft::{At, Draft, Places, Said, Wanted};
use super::purpose::{FAMILIES, Purpose, Section, join, purpose};
use super::recognise::recognise;
use super::rule::{Known, Rule};
use super::shell::{self, Script};
use crate::duration;
use crate::knockd::{CommandLine, Door, DoorPlaces, Knocks, Located, Name};
use crate::report::Span;

/// How long a door stays open that only a knock closed before.
const UNTIL_CLOSED: Duration = Duration::from_secs(3_600);

/// Reads a `knockd.conf`, which is the file of this number.
pub fn read(located: &Located, file: usize, draft: &mut Draft) {
    let mut reading = Reading { file, draft };
    reading.options(located);
    let doors = located.configuration.doors.iter().zip(&located.doors);
    let mut sections: Vec<_> = doors
        .map(|(door, places)| Section {
            door,
            places,
            purpose: purpose(door),
            closers: Vec::new(),
            is_closer: false,
        })
        .collect();
    join(&mut sections);
    for section in sections.iter().filter(|section| !section.is_closer) {
        let closers: Vec<_> =
            section.closers.iter().filter_map(|index| sections.get(*index)).collect();
        reading.section(section, &closers);
    }
}

struct Reading<'a> {
    file: usize,
    draft: &'a mut Draft,
}

impl Reading<'_> {
    const fn at(&self, span: &Span) -> At {
        At { file: self.file, byte: span.start }
    }

    /// Where one of the section's values is, or the section if it is not there.
    fn at_value(&self, places: &DoorPlaces, value: &Option<Span>) -> At {
        self.at(value.as_ref().unwrap_or(&places.name))
    }

    /// Where the command is that opens.
    fn at_command(&self, places: &DoorPlaces) -> At {
        let command = places.start_command.as_ref().or(places.start_command_6.as_ref());
        self.at(command.unwrap_or(&places.name))
    }

    /// What is said of the daemon.
    fn options(&mut self, located: &Located) {
        let (options, places) = (&located.configuration.options, &located.options);
        let at = |span: &Option<Span>| At {
            file: self.file,
            byte: span.as_ref().map_or(0, |span| span.start),
        };
        let hint = "the log of `portcullis run` goes to the systemd journal";
        for (is_set, place, name) in [
            (options.use_syslog, &places.use_syslog, "UseSyslog"),
            (options.log_file.is_some(), &places.log_file, "LogFile"),
        ] {
            if is_set {
                let message = format!("`{name}` is left out");
                self.draft.say(Said::note(at(place), message).hint(hint));
            }
        }
        if options.pid_file.is_some() {
            let message = "`PidFile` is left out; `portcullis run` stays in the foreground";
            self.draft.say(Said::note(at(&places.pid_file), message));
        }
        if let Some(name) = &options.interface {
            let at = at(&places.interface);
            match InterfaceName::new(name) {
                Ok(_) if name == "any" => {
                    let message = "the gate is active on all interfaces except loopback";
                    self.draft.say(Said::note(at, message));
                }
                Ok(name) => self.draft.interfaces.push(name),
                Err(problem) => {
                    let message = format!("the interface is left out: {problem}");
                    let hint = "write the name that `ip link` shows in `interfaces`";
                    self.draft.say(Said::hand(at, message).hint(hint));
                }
            }
        }
    }

    /// One section, with those that take back what it does.
    fn section(&mut self, section: &Section<'_>, closers: &[&Section<'_>]) {
        let (door, places) = (section.door, section.places);
        let Knocks::Sequence(sequence) = &door.knocks else {
            let why = format!(
                "door `{}` has one-time sequences, and the gate supports only fixed ones",
                door.name
            );
            let hint = "give the door a fixed sequence, or keep it in knockd";
            let at = self.at(&places.name);
            self.draft.leave_text(at, &format!("[{}]", door.name), &why, hint);
            return;
        };
        let (guards, hooks, open_for) = match &section.purpose {
            Purpose::Opens { rule, closes, .. } => {
                let open_for = if *closes { door.cmd_timeout } else { UNTIL_CLOSED };
                (rule.ports.clone(), None, Some(open_for))
            }
            Purpose::Nothing => {
                let message = format!("door `{}` runs no command and guards no port", door.name);
                let hint = "write the ports that it should open in `guards`";
                self.draft.say(Said::hand(self.at(&places.name), message).hint(hint));
                (Vec::new(), None, None)
            }
            Purpose::Closes(_) | Purpose::Unknown => {
                let hooks = self.commands(section);
                let closes = hooks.as_ref().is_some_and(|hooks| hooks.on_close.is_some());
                (Vec::new(), hooks, closes.then_some(door.cmd_timeout))
            }
        };
        let names = std::iter::once(section).chain(closers.iter().copied());
        let from = names.map(|one| (text(&one.door.name), self.at(&one.places.name)));
        let closer = closers.first().map(|closer| &closer.door.name);
        let common = closer.and_then(|closer| common(&door.name, closer));
        let wanted = Wanted {
            name: common.or_else(|| Some(text(&door.name))),
            from: from.collect(),
            places: Places {
                door: self.at(&places.name),
                guards: self.at_command(places),
                sequence: self.at(&places.knocks),
                step_timeout: self.at_value(places, &places.seq_timeout),
                open_for: self.at_value(places, &places.cmd_timeout),
            },
            guards,
            sequence: sequence.clone(),
            step_timeout: Some(door.seq_timeout),
            open_for,
        };
        let Some(sketch) = self.draft.add(wanted) else { return };
        sketch.door.hooks = hooks;
        let name = sketch.door.name.to_string();
        self.differences(section, sequence);
        if let Purpose::Opens { rule, closes, .. } = &section.purpose {
            self.rule(section, rule, *closes, closers, &name);
        }
    }

    /// A door that the gate opens and closes by itself.
    fn rule(
        &mut self,
        section: &Section<'_>,
        rule: &Rule,
        closes: bool,
        closers: &[&Section<'_>],
        here: &str,
    ) {
        let name = &section.door.name;
        let at = self.at_command(section.places);
        for (what, kept) in [("address", &rule.destination), ("interface", &rule.interface)] {
            if let Some(kept) = kept {
                let message = format!("door `{name}` opened its ports only at the {what} `{kept}`");
                let hint = format!("here `guards` are ports at every {what} of this host");
                self.draft.say(Said::hand(at, message).hint(hint));
            }
        }
        for closer in closers {
            let message = format!(
                "door `{}` is left out: it closed door `{}`, which now closes by itself",
                closer.door.name, here
            );
            self.draft.say(Said::note(self.at(&closer.places.name), message));
        }
        if closes {
            return;
        }
        let long = duration::format(UNTIL_CLOSED);
        if closers.is_empty() {
            let message =
                format!("nothing closed door `{name}` before; now it closes after {long}");
            let hint = "set `open_for`; established connections continue after this time";
            self.draft.say(Said::hand(at, message).hint(hint));
        } else {
            let message = format!("door `{name}` had no time limit; now it closes after {long}");
            let hint =
                "a shorter `open_for` is safer; established connections continue after this time";
            self.draft.say(Said::note(at, message).hint(hint));
        }
    }

    /// The commands of a door, which are kept.
    fn commands(&mut self, section: &Section<'_>) -> Option<Hooks> {
        let (door, places) = (section.door, section.places);
        let at = self.at_command(places);
        let (hooks, certain) = match hooks(door) {
            Ok(kept) => kept,
            Err(problem) => {
                let message =
                    format!("the commands of door `{}` are left out: {problem}", door.name);
                let hint = "put them into a script, and write the path of the script in `on_open`";
                self.draft.say(Said::hand(at, message).hint(hint));
                return None;
            }
        };
        let stops = hooks.as_ref().is_some_and(|hooks| hooks.on_close.is_some());
        let kept = if stops {
            "the commands of door `{}` are kept as `on_open` and `on_close`"
        } else {
            "the command of door `{}` is kept as `on_open`"
        };
        let message = kept.replace("{}", &door.name.to_string());
        let opens = FAMILIES.into_iter().filter_map(|address| door.start_command(address));
        let opens = opens.filter_map(recognise).any(|known| matches!(known, Known::Add(..)));
        let hint = if opens && stops {
            "the start command opens ports, but the stop command does not undo exactly that; if it \
             should, write the ports in `guards` instead, and the kernel opens and closes them"
        } else {
            "if the commands only open ports, write these ports in `guards` instead, and the kernel \
             opens and closes them"
        };
        self.draft.say(Said::note(at, message).hint(hint));
        if !certain {
            let message =
                format!("the commands of door `{}` may quote the address wrongly", door.name);
            let hint = "check the commands; the shell gets the address as `$1`";
            self.draft.say(Said::hand(at, message).hint(hint));
        }
        hooks
    }

    /// What was asked of a knock, and is not here; and a timeout that was none.
    fn differences(&mut self, section: &Section<'_>, sequence: &[Port]) {
        let (door, places) = (section.door, section.places);
        let (set, clear) = (door.flags.set, door.flags.clear);
        let others = set.bits() & !TcpFlags::SYN.bits() != 0 || clear.contains(TcpFlags::SYN);
        if others && sequence.iter().any(|port| port.protocol == Protocol::Tcp) {
            let at = self.at_value(places, &places.flags);
            let message = format!("the knocks of door `{}` had other flags than a SYN", door.name);
            let hint = "here a TCP knock is always a SYN, as `portcullis knock` sends it";
            self.draft.say(Said::hand(at, message).hint(hint));
        }
        if let (Some(target), Some(span)) = (door.target, &places.target) {
            let message =
                format!("door `{}` accepted knocks only at the address {target}", door.name);
            let hint = "here knocks count at all addresses of this host; the door opens only if this \
                        address is one of them";
            self.draft.say(Said::hand(self.at(span), message).hint(hint));
        }
        if door.seq_timeout.is_zero() && sequence.len() > 1 {
            let at = self.at_value(places, &places.seq_timeout);
            let message = format!("door `{}` could never open: its timeout was 0", door.name);
            let hint = "set `step_timeout`; 5s is a good value";
            self.draft.say(Said::hand(at, message).hint(hint));
        }
    }
}

/// What to run for knockers of either family; an error if it is not UTF-8, as the native
/// configuration is.
fn script(
    four: Option<&CommandLine>,
    six: Option<&CommandLine>,
) -> Result<Option<Script>, &'static str> {
    let read = |command: Option<&CommandLine>| match command {
        None => Ok(None),
        Some(command) => {
            let text = std::str::from_utf8(command.as_bytes()).map_err(|_| "not UTF-8")?;
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

/// The commands of a door as the native configuration has them, and whether they certainly do the same.
fn hooks(door: &Door) -> Result<(Option<Hooks>, bool), String> {
    let mut certain = true;
    let mut hook = |[four, six]: [Option<&CommandLine>; 2]| {
        let script = script(four, six)?;
        certain &= script.as_ref().is_none_or(|script| script.certain);
        let hook = script.map(|script| Hook::new(script.arguments())).transpose();
        hook.map_err(|problem| problem.to_string())
    };
    let on_open = hook(FAMILIES.map(|address| door.start_command(address)))?;
    // Without a start command knockd does not run a stop command either.
    let stop = |address| door.start_command(address).and(door.stop_command(address));
    let on_close = hook(FAMILIES.map(stop))?;
    Ok((on_open.map(|on_open| Hooks { on_open, on_close }), certain))
}

/// A name as text; what is none becomes a question mark.
fn text(name: &Name) -> String {
    String::from_utf8_lossy(name.as_bytes()).into_owned()
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
