//! From the command line to a daemon that listens.

use std::fs;
use std::os::fd::AsFd;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use portcullis_config::knockd::Options;
use portcullis_core::knockd::Door as Recognised;
use portcullis_linux::capture::Interfaces;
use portcullis_linux::clock;
use portcullis_linux::sys::background::{self, Side};
use portcullis_linux::sys::process;
use portcullis_watcher::message::{Epoch, Message};

use super::link::{Link, Word};
use super::settings::{Loaded, Settings, interfaces, missing};
use super::{Keeper, order};
use crate::config::{self, LoadError};
use crate::daemon::notify;
use crate::daemon::parts::{self, system};
use crate::door_commands::{self, Commands};
use crate::exit::Failure;
use crate::files;
use crate::knockd::doors::Doors;
use crate::knockd::log::Log;
use crate::knockd::reporter::Reporter;
use crate::out;

/// The first order.
const FIRST: Epoch = 1;

/// Runs the daemon until a signal ends it. The exit code is that of knockd: the signal's number.
///
/// # Errors
///
/// It cannot begin.
pub fn run(settings: Settings) -> Result<u8, Failure> {
    let loaded = settings.load(&settings.config_as_given).map_err(show)?;
    let Loaded { options, doors, dump } = loaded;
    if let Some(door) = doors.exhausted().next() {
        return Err(Failure::could_not(format!(
            "no more sequences left in the one time sequences file for door {}",
            door.name
        ))
        .hint("add sequences to the file, or remove the door from the configuration"));
    }
    let listen_on = settings.interface(&options).to_owned();
    let interfaces = interfaces(&listen_on)?;
    if !process::can(process::NET_RAW) {
        return Err(Failure::could_not(format!(
            "could not open {listen_on}: {listen_on}: You don't have permission to capture on that \
             device (Operation not permitted)"
        ))
        .hint("run it as root, or with CAP_NET_RAW"));
    }
    let starting = if settings.background {
        match background::begin() {
            // What kept it from being ready has been said.
            Ok(Side::Starter { ready }) => return Ok(u8::from(!ready)),
            Ok(Side::Daemon(starting)) => Some(starting),
            Err(error) => {
                return Err(Failure::could_not(format!("cannot run in the background: {error}")));
            }
        }
    } else {
        None
    };
    let mut reporter = reporter(&settings, &options);
    reporter.print(&dump);
    let signals = parts::signals()?;
    let recognised = doors.to_recognise();
    let first = first_watcher(&settings, &interfaces, &recognised, &signals)?;
    let Begun::Listening(link) = first else {
        return Ok(first.exit_code());
    };
    let mut commands = Commands::new(door_commands::Options {
        strict: settings.strict,
        ..door_commands::Options::default()
    })?;
    keep_records(&mut commands, &settings, &doors)?;
    if settings.lookup
        && let Err(error) = reporter.look_names_up()
    {
        reporter.tell(format!("cannot look up host names; the log shows addresses: {error}"));
    }
    reporter.record(&format!("starting up, listening on {listen_on}"));
    reporter.say(&format!("listening on {listen_on}..."));
    let pid_file = settings.background.then(|| write_pid_file(&settings, &options, &mut reporter));
    if let Some(starting) = starting {
        starting
            .is_ready()
            .map_err(|error| Failure::could_not(format!("cannot leave the terminal: {error}")))?;
    }
    let log_file = settings.log_file(&options);
    let mut keeper = Keeper {
        settings,
        interfaces,
        signals,
        commands,
        reporter,
        log_file,
        doors,
        followed: (FIRST, recognised),
        ordered: None,
        stale: false,
        reload: false,
        link: Some(link),
        listening: true,
        start_at: None,
    };
    keeper.tell_of_commands();
    keeper.tell_systemd();
    let signal = keeper.serve();
    notify::stopping();
    let code = keeper.end(signal);
    if let Some(Some(path)) = pid_file {
        // Somebody may have taken it away already.
        let _ = fs::remove_file(path);
    }
    code
}

fn show(error: LoadError) -> Failure {
    match error {
        LoadError::Unreadable(failure) => failure,
        LoadError::Invalid(report) => {
            config::show(&report);
            Failure::no()
        }
    }
}

fn reporter(settings: &Settings, options: &Options) -> Reporter {
    let mut reporter = Reporter::new(Log::new(settings.verbose));
    reporter.use_syslog(options.use_syslog);
    if let Some(path) = settings.log_file(options)
        && let Err(error) = reporter.open(Some(&path))
    {
        // As theirs, which goes on: a door that opens is worth more than a line that says so.
        let path = path.display().to_string();
        out::warn(format_args!("cannot open logfile {}: {error}", path.escape_debug()));
    }
    reporter
}

/// How the first watcher has answered.
enum Begun {
    Listening(Link),
    Signalled(Signal),
}

impl Begun {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Listening(_) => 0,
            Self::Signalled(signal) => super::end::exit_code(*signal),
        }
    }
}

/// Starts a watcher, and waits until it listens.
fn first_watcher(
    settings: &Settings,
    interfaces: &Interfaces,
    doors: &[Recognised],
    signals: &SignalFd,
) -> Result<Begun, Failure> {
    let mut link = Link::start(settings.background)?;
    link.send(&order(settings, FIRST, interfaces.clone(), doors, false))?;
    loop {
        let mut fds = [
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(link.as_fd(), link.events()),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(system("wait", errno)),
        }
        while let Some(signal) = parts::take_signal(signals)? {
            if matches!(signal, Signal::SIGINT | Signal::SIGTERM) {
                return Ok(Begun::Signalled(signal));
            }
        }
        link.flush();
        match link.hear() {
            Word::Said(Message::Ready(FIRST)) => return Ok(Begun::Listening(link)),
            Word::Said(Message::Missing(_, name)) => return Err(missing(name)),
            Word::Said(Message::Failed(_, errno)) => {
                let reason = Errno::from_raw(errno).desc();
                return Err(Failure::could_not(format!("cannot read packets: {reason}")));
            }
            Word::Ended(how) => {
                return Err(Failure::could_not(format!("the process that reads packets {how}")));
            }
            Word::Said(_) | Word::Nothing => {}
        }
    }
}

/// Begins to keep records, and takes over those of the dead. If there can be none, that matters only
/// where something has to be closed.
pub(super) fn keep_records(
    commands: &mut Commands,
    settings: &Settings,
    doors: &Doors,
) -> Result<(), Failure> {
    match commands.keep_records(&settings.state_dir, clock()) {
        Err(failure) if doors.have_stops() => {
            let hint = "knockd records pending stop commands in the state directory; name another \
                        one with `--state-dir`";
            Err(Failure { hint: failure.hint.clone().or_else(|| Some(hint.to_owned())), ..failure })
        }
        _ => Ok(()),
    }
}

/// The path, if the file has been written.
fn write_pid_file(
    settings: &Settings,
    options: &Options,
    reporter: &mut Reporter,
) -> Option<PathBuf> {
    let path = settings.pid_file(options);
    let text = format!("{}\n", std::process::id());
    match files::put(&path, text.as_bytes(), 0o666) {
        Ok(()) => Some(path),
        Err(error) => {
            let reason = error
                .raw_os_error()
                .map_or_else(|| error.to_string(), |code| Errno::from_raw(code).desc().to_owned());
            let path = path.display().to_string();
            reporter.tell(format!("could not create pid file {}: {reason}", path.escape_debug()));
            None
        }
    }
}
