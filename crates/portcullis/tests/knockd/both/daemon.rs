//! One running knockd.

use std::cell::{Cell, RefCell};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portcullis_lab::program::Program;
use portcullis_lab::wait_until;
use tempfile::TempDir;

use super::story::{Story, lines};
use super::{PATIENCE, Which};

/// The environment variable by which the processes of one daemon are known.
const MARK: &str = "KNOCKD_OF_TEST";

/// A door of one knock, whose opening says that everything sent before has been seen.
const SENTINEL: &str = "
[sentinel]
    sequence = 64001:udp
    seq_timeout = 1000000
";

/// A door at which one source knocks once, first of all, and never again. Its attempt is then the
/// oldest of theirs for ever: theirs forgets all other attempts when the oldest ends.
const ANCHOR: &str = "
[anchor]
    sequence = 64002:udp,64003:udp
    seq_timeout = 1000000
";

/// How a daemon is to be started. `DIR` in a text stands for the daemon's own directory, which is
/// also where it is started.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The doors. Without `[options]` in it, the log goes to `DIR/log`.
    pub config: String,
    /// Arguments after `-i INTERFACE -c DIR/knockd.conf`.
    pub arguments: Vec<String>,
    /// The interface; empty for no `-i`.
    pub interface: String,
    /// Whether the sentinel's door and the anchor's are added.
    pub with_helpers: bool,
    /// Files in its directory: name and text.
    pub files: Vec<(String, String)>,
    /// The name of its log, in its directory.
    pub log: String,
    /// What `-c` is given.
    pub config_argument: String,
    /// Shell commands to be run before it, in a mount namespace of its own.
    pub mounts: Option<String>,
}

impl Setup {
    /// With these doors.
    pub fn new(config: &str) -> Self {
        Self {
            config: config.to_owned(),
            arguments: Vec::new(),
            interface: "client".to_owned(),
            with_helpers: true,
            files: Vec::new(),
            log: "log".to_owned(),
            config_argument: "DIR/knockd.conf".to_owned(),
            mounts: None,
        }
    }

    /// With this argument too.
    pub fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// On this interface; `""` for none given.
    pub fn interface(mut self, interface: &str) -> Self {
        self.interface = interface.to_owned();
        self
    }

    /// With this file in its directory.
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// With these mounts, made by shell commands.
    pub fn mounts(mut self, commands: &str) -> Self {
        self.mounts = Some(commands.to_owned());
        self
    }

    /// With the configuration as it is.
    pub fn verbatim(mut self) -> Self {
        self.with_helpers = false;
        self
    }

    fn text(&self, folder: &Path) -> String {
        let mut text = String::new();
        if !self.config.contains("[options]") {
            text.push_str("[options]\n    LogFile = DIR/log\n");
        }
        text.push_str(&self.config);
        if self.with_helpers {
            text.push_str(SENTINEL);
            text.push_str(ANCHOR);
        }
        in_folder(&text, folder)
    }
}

/// Shell commands that make a /dev in which `log` is another file.
pub fn dev_with_log(path: &str) -> String {
    format!(
        "mkdir DIR/dev; mount -t tmpfs tmpfs DIR/dev; \
         for each in null zero full random urandom tty; do \
             touch DIR/dev/$each; mount --bind /dev/$each DIR/dev/$each; \
         done; \
         ln -s {path} DIR/dev/log; mount --rbind DIR/dev /dev"
    )
}

fn in_folder(text: &str, folder: &Path) -> String {
    text.replace("DIR", folder.to_str().unwrap())
}

/// A daemon that would not start.
#[derive(Debug)]
pub struct Refused {
    /// How it ended.
    pub status: ExitStatus,
    /// What it said, on either stream.
    pub said: Vec<String>,
}

/// A knockd in the foreground, in the network of the thread that started it. Dropped, it is killed
/// with all that it has started.
#[derive(Debug)]
pub struct Daemon {
    pub which: Which,
    pub setup: Setup,
    program: RefCell<Option<Program>>,
    said: RefCell<Vec<String>>,
    at_rest: Cell<usize>,
    folder: TempDir,
}

impl Daemon {
    /// Starts it, and waits until it listens.
    pub fn start(which: Which, setup: &Setup) -> Self {
        let daemon = Self::spawn(which, setup);
        daemon.wait_until_ready().unwrap_or_else(|refused| panic!("{which}: {refused:#?}"));
        daemon
    }

    /// Starts it, which it should refuse.
    pub fn refused(which: Which, setup: &Setup) -> Refused {
        match Self::spawn(which, setup).wait_until_ready() {
            Ok(()) => panic!("{which} starts with {}", setup.config),
            Err(refused) => refused,
        }
    }

    /// Starts it, and does not wait.
    pub fn spawn(which: Which, setup: &Setup) -> Self {
        let folder = TempDir::new().unwrap();
        for (name, text) in &setup.files {
            fs::write(folder.path().join(name), in_folder(text, folder.path())).unwrap();
        }
        let daemon = Self {
            which,
            setup: setup.clone(),
            program: RefCell::default(),
            said: RefCell::default(),
            at_rest: Cell::new(1),
            folder,
        };
        daemon.write_config(setup);
        daemon.restart();
        daemon
    }

    /// Starts it once more with the same arguments in the same directory, and does not wait.
    pub fn restart(&self) {
        let mut arguments = Vec::new();
        if !self.setup.interface.is_empty() {
            arguments.extend(["-i".to_owned(), self.setup.interface.clone()]);
        }
        arguments.extend(["-c".to_owned(), self.setup.config_argument.clone()]);
        arguments.extend(self.setup.arguments.iter().cloned());
        if self.which.is_ours() {
            arguments.extend(["--state-dir".to_owned(), "DIR/state".to_owned()]);
        }
        let arguments = arguments.iter().map(|argument| in_folder(argument, self.folder.path()));
        let knockd = self.which.knockd();
        let mut command = match &self.setup.mounts {
            None => Command::new(knockd),
            Some(mounts) => {
                let script = in_folder(mounts, self.folder.path());
                let mut command = Command::new("unshare");
                command.args(["-m", "sh", "-ec", &format!("{script}\nexec \"$@\""), "sh"]);
                command.arg(knockd);
                command
            }
        };
        command.args(arguments).stdin(Stdio::null());
        command.current_dir(self.folder.path()).env(MARK, self.folder.path());
        self.program.replace(Some(Program::start(&mut command).unwrap()));
    }

    /// Waits for the line that says that it listens, in the part of its log that is new.
    pub fn wait_until_ready(&self) -> Result<(), Refused> {
        self.wait_until_ready_after(0)
    }

    /// The same, beyond so many lines of its log.
    pub fn wait_until_ready_after(&self, lines: usize) -> Result<(), Refused> {
        let listens = || {
            self.log().iter().skip(lines).any(|line| line.starts_with("starting up, listening on "))
        };
        let decided = || listens() || !self.is_running();
        assert!(wait_until(Instant::now() + PATIENCE, decided), "neither starts nor ends");
        if listens() {
            self.at_rest.set(self.processes().len());
            return Ok(());
        }
        let status = self.wait().unwrap();
        // What it has said comes through a pipe, later than its end.
        wait_until(Instant::now() + PATIENCE / 20, || !self.said().is_empty());
        Err(Refused { status, said: self.said() })
    }

    /// Its own directory.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes its configuration anew.
    pub fn write_config(&self, setup: &Setup) {
        crate::world::write_config(&self.config_path(), &setup.text(self.folder.path()));
    }

    /// Where its configuration is.
    pub fn config_path(&self) -> PathBuf {
        self.folder.path().join("knockd.conf")
    }

    /// A file in its directory; empty if there is none.
    pub fn read(&self, name: &str) -> String {
        fs::read(self.folder.path().join(name))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The log without its timestamps; a line that is followed by an empty one ends in `⏎`.
    pub fn log(&self) -> Vec<String> {
        let folder = self.folder.path().to_str().unwrap();
        lines(&self.read(&self.setup.log)).map(|line| line.replace(folder, "DIR")).collect()
    }

    /// What the commands have written to `ran`.
    pub fn ran(&self) -> Vec<String> {
        self.read("ran").lines().map(str::to_owned).collect()
    }

    /// What it has logged and done.
    pub fn story(&self) -> Story {
        Story::new(&self.log(), &self.ran())
    }

    /// What it has logged about this source, without the address.
    pub fn about(&self, source: IpAddr) -> Vec<String> {
        let begin = format!("{source}: ");
        self.log().iter().filter_map(|line| line.strip_prefix(&begin)).map(str::to_owned).collect()
    }

    /// Waits for a line in the log.
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&str) -> bool) {
        let found = || self.log().iter().any(|line| wanted(line));
        let found = wait_until(Instant::now() + PATIENCE, found);
        assert!(found, "{}: no {what} in {:#?}, {:#?}", self.which, self.log(), self.said());
    }

    /// Waits for this line in the log.
    pub fn wait_for_line(&self, line: &str) {
        self.wait_for(line, |other| other == line);
    }

    /// Waits until a condition holds that its log or its commands bring about.
    pub fn wait_until(&self, what: &str, condition: impl FnMut() -> bool) {
        let holds = wait_until(Instant::now() + PATIENCE, condition);
        assert!(
            holds,
            "{}: never {what}: {:#?}, {:#?}, {:#?}",
            self.which,
            self.log(),
            self.ran(),
            self.said()
        );
    }

    /// Waits until no more runs than when it had just started: all commands have ended, and none of
    /// theirs waits to run its stop command. (Ours keeps no process for that.)
    pub fn wait_for_children(&self) {
        self.wait_until("without children", || self.processes().len() <= self.at_rest.get());
    }

    /// The numbers of all processes that it or its children are, zombies aside.
    pub fn processes(&self) -> Vec<i32> {
        let mark = format!("{MARK}={}", self.folder.path().display());
        let is_ours = |id: &i32| {
            let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        };
        process_numbers().into_iter().filter(is_ours).collect()
    }

    /// The same, and those that it has started without the mark, as ours does its watcher.
    pub fn family(&self) -> Vec<i32> {
        let mut family = self.processes();
        let id = self.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let children = children.unwrap_or_default();
        family.extend(children.split_whitespace().filter_map(|id| id.parse::<i32>().ok()));
        family.sort_unstable();
        family.dedup();
        family
    }

    /// What it has printed so far, on either stream.
    pub fn said(&self) -> Vec<String> {
        if let Some(program) = self.program.borrow().as_ref() {
            self.said.borrow_mut().extend(program.lines());
        }
        self.said.borrow().clone()
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.program.borrow().as_ref().unwrap().id()
    }

    /// Sends a signal to the daemon alone.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.id()).unwrap();
        // It may have ended, as theirs does.
        let _ = kill(Pid::from_raw(id), signal);
    }

    /// Whether it has not ended.
    pub fn is_running(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
    }

    /// Waits for its end; `None` if that does not come.
    pub fn wait(&self) -> Option<ExitStatus> {
        self.wait_for_end(PATIENCE)
    }

    /// The same, for so long.
    pub fn wait_for_end(&self, wait: Duration) -> Option<ExitStatus> {
        self.program.borrow_mut().as_mut().unwrap().wait(wait).unwrap()
    }

    /// Kills the daemon alone, as the kernel would.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
        assert!(self.wait().is_some(), "cannot be killed");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.program.replace(None));
        // Theirs puts its children into sessions of their own, in which they would outlive it.
        for id in self.processes() {
            let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

/// All processes there are.
fn process_numbers() -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}
