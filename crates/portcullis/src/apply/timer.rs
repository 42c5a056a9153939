//! The timer that rolls back: a process that survives the end of the terminal and of the program.
//!
//! With systemd, the process belongs to systemd, because the end of a session may end all its processes.
//! Without systemd it is a process of ours, in its own session. Both start this program again, with the same
//! arguments, and read the deadline from the record.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::unistd::setsid;
use portcullis_linux::sys::process;

use super::kernel::Kernel;
use super::state::{self, Opened, Pending, Store};
use super::{Prepared, finish_rollback};
use crate::daemon::parts::system;
use crate::exit::{Exit, Failure, Outcome};
use crate::out;
use crate::syslog::Syslog;

const SYSTEMD_RUN: &str = "/usr/bin/systemd-run";
/// It exists where systemd is the init (sd_booted(3)).
const SYSTEMD_IS_HERE: &str = "/run/systemd/system";

/// What is said when all is prepared.
const READY: &str = "the rollback is prepared";

/// A rollback that fails is tried again, so many times and so long after.
const TRIES: u32 = 6_000;
const PAUSE: Duration = Duration::from_millis(100);

/// So many pauses long, whoever has the state may finish what he is doing.
const PATIENCE: u64 = 30;

/// Arms the timer of a trial that has been recorded in this folder (an absolute path). When this
/// returns, the timer no longer needs this process.
///
/// # Errors
///
/// There is no timer: nothing may be loaded.
pub fn arm(folder: &Path, pending: &Pending, within: Duration) -> Result<(), Failure> {
    if Path::new(SYSTEMD_IS_HERE).is_dir() && ["net", "mnt"].into_iter().all(shared_with_init) {
        by_systemd(folder, pending.id, within)
    } else {
        by_ourselves(folder, pending.id)
    }
}

/// Whether the init process is in the same namespace of this kind: it starts the timer in its own.
fn shared_with_init(kind: &str) -> bool {
    let number = |who: &str| {
        let about = fs::metadata(format!("/proc/{who}/ns/{kind}")).ok()?;
        Some((about.dev(), about.ino()))
    };
    number("self").is_some_and(|ours| number("1") == Some(ours))
}

fn arguments(folder: &Path, id: u64) -> [OsString; 5] {
    [
        "rollback-timer".into(),
        "--id".into(),
        id.to_string().into(),
        "--state-dir".into(),
        folder.into(),
    ]
}

fn by_systemd(folder: &Path, id: u64, within: Duration) -> Result<(), Failure> {
    let refused = |reason: String| {
        Failure::could_not(format!("cannot set a timer for the rollback: {reason}")).hint(
            "nothing was changed; `portcullis apply` without `--confirm-within` needs no timer",
        )
    };
    let program = std::env::current_exe().map_err(|error| refused(error.to_string()))?;
    // systemd would read these in a path as something else.
    let plain = |path: &Path| !path.to_string_lossy().contains(['$', '%']);
    if !program.is_file() || !plain(&program) || !plain(folder) {
        return Err(refused("systemd cannot start this program by its path".to_owned()));
    }
    let output = Command::new(SYSTEMD_RUN)
        .args(systemd_options(id, within))
        .arg("--")
        .arg(program)
        .args(arguments(folder, id))
        .env_clear()
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(refused(first_line(&output))),
        Err(error) => Err(refused(format!("{SYSTEMD_RUN}: {error}"))),
    }
}

fn systemd_options(id: u64, within: Duration) -> Vec<String> {
    let mut options = vec![
        "--quiet".to_owned(),
        // Nothing stays behind, however it ends.
        "--collect".to_owned(),
        format!("--unit=portcullis-rollback-{id}"),
        format!("--on-active={}ms", within.as_millis()),
        "--timer-property=AccuracySec=100ms".to_owned(),
    ];
    let environment = passed_on().into_iter();
    options.extend(environment.map(|(name, value)| format!("--setenv={name}={value}")));
    options
}

/// What of the environment says which programs of iptables are meant: the rules are taken back with
/// those that they were loaded with.
fn passed_on() -> Vec<(&'static str, String)> {
    let known = ["PATH", "XTABLES_LOCKFILE"].into_iter();
    known.filter_map(|name| Some((name, std::env::var(name).ok()?))).collect()
}

fn first_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().next().unwrap_or_default();
    format!("systemd-run failed: {} ({})", line.escape_debug(), output.status)
}

fn by_ourselves(folder: &Path, id: u64) -> Result<(), Failure> {
    let refused = |reason: &str| {
        Failure::could_not(format!("cannot prepare the rollback: {reason}"))
            .hint("nothing was changed")
    };
    let mut child = Command::new("/proc/self/exe")
        .args(arguments(folder, id))
        .env_clear()
        .envs(passed_on())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| refused(&error.to_string()))?;
    let mut said = [0; READY.len()];
    let ready = child.stdout.take().is_some_and(|mut out| out.read_exact(&mut said).is_ok());
    if ready && said == READY.as_bytes() {
        return Ok(());
    }
    let how = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
    Err(refused(&format!("its process exited ({how})")))
}

/// What the timer's process does: prepares everything, waits, and rolls back unless the trial has come
/// to another end.
///
/// # Errors
///
/// It cannot be prepared; or, after many tries, the kernel refused.
pub fn run(folder: &Path, id: u64) -> Outcome {
    // It is the leader of a session already where systemd has started it.
    let _ = setsid();
    process::ignore_signals()
        .map_err(|error| Failure::could_not(format!("cannot ignore signals: {error}")))?;
    // If memory gets scarce, others first. Only a wish.
    let _ = fs::write("/proc/self/oom_score_adj", "-1000");
    let ours = |pending: &Pending| pending.id == id;
    let state = state::peek(folder)?;
    let Some(pending) = state.pending.as_ref().filter(|it| ours(it)) else {
        return Ok(Exit::Done);
    };
    let mut kernel = Kernel::open(pending.has_chains)?;
    let chains = state.chains.as_ref();
    let mut prepared = Prepared::new(pending.before.as_deref(), chains, &mut kernel)?;
    // From here on nothing is needed but the kernel, and for chains the programs of iptables.
    out::line(format_args!("{READY}"));
    wait_until(pending.deadline)?;

    let mut failures = 0;
    let mut held: u64 = 0;
    loop {
        let outcome = match Store::open_at_once(folder) {
            // Whoever has it may be stopped for ever, or load the rules late. So they are rolled back
            // beside him, and again when he is gone.
            Ok(Opened::Held) => {
                held = held.saturating_add(1);
                let lasts =
                    state::peek(folder).is_ok_and(|state| state.pending.is_some_and(|p| ours(&p)));
                if held == PATIENCE && lasts {
                    // What goes wrong here is tried again below.
                    let _ = prepared.restore(&mut kernel);
                }
                thread::sleep(PAUSE);
                continue;
            }
            Ok(Opened::Store(store)) if !store.state.pending.as_ref().is_some_and(ours) => {
                return Ok(Exit::Done);
            }
            Ok(Opened::Store(mut store)) => finish_rollback(&mut store, &mut kernel, &mut prepared),
            // Nobody can have confirmed what cannot be written.
            Ok(Opened::Absent) | Err(_) => prepared.restore(&mut kernel),
        };
        match outcome {
            Ok(()) => {
                tell(&format!("not confirmed in time: {prepared}"));
                return Ok(Exit::Done);
            }
            Err(failure) if failures == TRIES => {
                tell(&format!("not confirmed in time, but the rollback failed: {failure}"));
                return Err(failure);
            }
            Err(_) => {
                failures += 1;
                thread::sleep(PAUSE);
            }
        }
    }
}

/// Waits for a time of CLOCK_BOOTTIME, in nanoseconds: it goes on while the machine sleeps.
fn wait_until(deadline: u64) -> Result<(), Failure> {
    let wait = || {
        let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, TimerFlags::TFD_CLOEXEC)?;
        let at = TimeSpec::from(Duration::from_nanos(deadline.max(1)));
        timer.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        loop {
            match timer.wait() {
                Err(Errno::EINTR) => {}
                other => return other,
            }
        }
    };
    wait().map_err(|errno| system("wait for the deadline", errno))
}

/// A line to syslog: there is no terminal any more.
fn tell(line: &str) {
    Syslog::of("portcullis").tell(SystemTime::now(), line.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_is_asked_for_one_timer_of_its_own_name() {
        let options = systemd_options(7, Duration::from_millis(61_500));
        assert!(options.contains(&"--unit=portcullis-rollback-7".to_owned()));
        assert!(options.contains(&"--on-active=61500ms".to_owned()));
        let words = arguments(Path::new("/var/lib/x y"), 7);
        assert_eq!(
            words.map(|word| word.into_string().unwrap()).join("|"),
            "rollback-timer|--id|7|--state-dir|/var/lib/x y"
        );
    }
}
