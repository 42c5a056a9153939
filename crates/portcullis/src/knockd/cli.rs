//! The command line of `knockd`: that of knockd 0.8, and four options more.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, ValueEnum};
use portcullis_config::knockd::DEFAULT_PATH;
use portcullis_linux::sys::spawn;
use portcullis_watcher::knockd::Knockd;
use portcullis_watcher::watch;

use super::keeper;
use super::{DEFAULT_PID_FILE, DEFAULT_STATE_DIR, WATCHER};
use crate::daemon::parts::watcher_failed;
use crate::door_commands::{AtExit, close_all};
use crate::exit::Failure;
use crate::out;

/// The definition of the command line, for the manual.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// The version of knockd that this stands in for, and ours.
const VERSION: &str = concat!("0.8 (Portcullis ", env!("CARGO_PKG_VERSION"), ")");

/// Every failure, as theirs.
const FAILED: u8 = 1;

/// Run commands when somebody has knocked at ports in the right order
#[derive(Debug, Parser)]
#[command(name = "knockd", version = VERSION, infer_long_args = true, args_override_self = true)]
struct Arguments {
    /// Interface to listen on, several separated by commas, or `any`
    #[arg(short, long, value_name = "NAME")]
    interface: Option<String>,
    /// Run in the background
    #[arg(short, long)]
    daemon: bool,
    /// Configuration
    // The alias keeps `--c`, which `--close-all` would make ambiguous.
    #[arg(short, long, alias = "c", value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// Print the configuration and each packet
    #[arg(short = 'D', long)]
    debug: bool,
    /// Log host names instead of addresses
    #[arg(short, long)]
    lookup: bool,
    /// PID file with -d, unless the configuration names one
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_PID_FILE)]
    pidfile: PathBuf,
    /// Log file, unless the configuration names one
    #[arg(short = 'g', long, value_name = "FILE")]
    logfile: Option<PathBuf>,
    /// Print log lines on standard output too
    #[arg(short, long)]
    verbose: bool,
    /// Ignore IPv6
    #[arg(short = '4', long)]
    only_ip_v4: bool,
    /// Run the commands again after a sequence for an open door, as knockd does; do not extend its
    /// time
    #[arg(long)]
    strict_compat: bool,
    /// Directory for pending stop commands, which survive a crash
    #[arg(long, value_name = "DIR", default_value = DEFAULT_STATE_DIR)]
    state_dir: PathBuf,
    /// What to do with pending stop commands at exit
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Stops::Run)]
    stops_at_exit: Stops,
    /// Run the pending stop commands of dead daemons, then exit
    #[arg(long)]
    close_all: bool,
    // Theirs ignores these.
    #[arg(hide = true)]
    ignored: Vec<std::ffi::OsString>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Stops {
    /// Run them at once
    Run,
    /// Leave them to the next knockd, which runs each at its time
    HandOver,
}

/// Runs the program `knockd` with the arguments of this process.
pub fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == WATCHER) {
        return ended(watch::run::<Knockd>().map(|()| 0).map_err(watcher_failed));
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return misunderstood(&error),
    };
    if let Err(error) = spawn::inherit_nothing() {
        return ended(Err(Failure::could_not(format!(
            "cannot close inherited descriptors: {error}"
        ))));
    }
    if arguments.close_all {
        return ended(close_all(&arguments.state_dir).map(|exit| exit as u8));
    }
    ended(settings(arguments).and_then(keeper::run))
}

fn settings(arguments: Arguments) -> Result<keeper::Settings, Failure> {
    let folder = std::env::current_dir().map_err(|error| {
        Failure::could_not(format!("cannot find the current directory: {error}"))
    })?;
    let here = |path: &Path| folder.join(path);
    Ok(keeper::Settings {
        config: here(&arguments.config),
        config_as_given: arguments.config,
        interface: arguments.interface,
        pid_file: here(&arguments.pidfile),
        log_file: arguments.logfile.as_deref().map(here),
        state_dir: here(&arguments.state_dir),
        background: arguments.daemon,
        debug: arguments.debug,
        lookup: arguments.lookup,
        verbose: arguments.verbose,
        only_v4: arguments.only_ip_v4,
        strict: arguments.strict_compat,
        at_exit: match arguments.stops_at_exit {
            Stops::Run => AtExit::RunStops,
            Stops::HandOver => AtExit::HandOver,
        },
        folder,
    })
}

/// Theirs shows its help whatever is wrong with an option, and says that this was a success.
fn misunderstood(error: &clap::Error) -> ExitCode {
    // Nothing can be done when even the message cannot be written.
    let _ = error.print();
    if !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = Arguments::command().print_help();
    }
    ExitCode::SUCCESS
}

fn ended(result: Result<u8, Failure>) -> ExitCode {
    match result {
        Ok(code) => code.into(),
        Err(failure) => {
            if !failure.message.is_empty() {
                out::say(&failure.to_string());
            }
            FAILED.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Arguments {
        Arguments::try_parse_from(line.split_whitespace()).unwrap()
    }

    #[test]
    fn long_options_may_be_shortened_as_theirs() {
        let arguments =
            parse("knockd --c k.conf --i any --dae --deb --p pid --logf log --verb --o");
        assert_eq!(arguments.config, Path::new("k.conf"));
        assert_eq!(arguments.interface.as_deref(), Some("any"));
        assert!(arguments.daemon && arguments.debug && arguments.verbose && arguments.only_ip_v4);
        assert_eq!(arguments.pidfile, Path::new("pid"));
        assert_eq!(arguments.logfile.as_deref(), Some(Path::new("log")));
        assert!(Arguments::try_parse_from(["knockd", "--d"]).is_err(), "daemon or debug");
        assert!(parse("knockd --close --state d").close_all);
    }

    #[test]
    fn the_last_of_several_counts_and_what_is_no_option_is_ignored() {
        let arguments = parse("knockd -i a extra -ib -dD4lv more");
        assert_eq!(arguments.interface.as_deref(), Some("b"));
        assert!(arguments.daemon && arguments.debug && arguments.lookup && arguments.only_ip_v4);
    }
}
