//! A host without a gate, a client, and a folder for the state.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portcullis::apply::state::{State, peek};
use portcullis_gate::nftables::Table;
use portcullis_lab::wire::Wire;
use portcullis_lab::{Lab, Peer, wait_until};
use tempfile::TempDir;

use crate::world::{PATIENCE, program, write_config};

/// A name, the programs that it needs, and the test.
pub type Test = (&'static str, &'static [&'static str], fn());

pub struct House {
    _lab: Lab,
    pub client: Peer,
    pub wire: Wire,
    pub gate: Table,
    pub folder: TempDir,
}

impl House {
    pub fn new() -> Self {
        let mut lab = Lab::new().unwrap();
        let client = lab.peer("client", 4).unwrap();
        let wire = client.wire().unwrap();
        Self {
            _lab: lab,
            client,
            wire,
            gate: Table::open().unwrap(),
            folder: TempDir::new().unwrap(),
        }
    }

    /// A host on which this door is confirmed already, if it is one.
    pub fn with(door: Option<&str>) -> Self {
        let mut house = Self::new();
        if let Some(door) = door {
            done(&house.run(&["apply", &house.door(door, 2222)]));
        }
        assert_eq!(house.doors(), before(door));
        house
    }

    /// The path of a configuration with one door of this name, that guards this port.
    pub fn door(&self, name: &str, port: u16) -> String {
        let path = self.folder.path().join(format!("{name}.toml"));
        let text = format!(
            "[door.{name}]\nguards = [\"tcp/{port}\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n"
        );
        write_config(&path, &text);
        path.to_str().unwrap().to_owned()
    }

    pub fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub fn state(&self) -> State {
        peek(&self.state_dir()).unwrap()
    }

    /// The words of a command line, with this house's state.
    pub fn words(&self, arguments: &[&str]) -> Vec<String> {
        let state_dir = self.state_dir();
        let all = [&[program()], arguments, &["--state-dir", state_dir.to_str().unwrap()]].concat();
        all.into_iter().map(str::to_owned).collect()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let words = self.words(arguments);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The doors that the kernel holds.
    pub fn doors(&mut self) -> Vec<String> {
        self.gate.door_names().unwrap().into_iter().map(|(_, name)| name).collect()
    }

    /// Waits until the kernel holds these doors, and a table only if there is one.
    pub fn wait_for(&mut self, doors: &[String]) {
        let there = wait_until(Instant::now() + PATIENCE, || self.doors() == doors);
        assert!(there, "{:?} and not {doors:?}; {:?}", self.doors(), self.state());
        assert_eq!(self.gate.state().unwrap().is_some(), !doors.is_empty());
    }

    /// Waits until no rules are on trial any more.
    pub fn wait_for_end_of_trial(&self) {
        let ended = || self.state().pending.is_none();
        assert!(wait_until(Instant::now() + PATIENCE, ended), "{:?}", self.state());
    }

    /// The processes that wait to roll back: one for each trial.
    pub fn timers(&self) -> Vec<Pid> {
        let state_dir = self.state_dir();
        let ours = |line: &[u8]| {
            let mut words = line.split(|byte| *byte == 0);
            words.any(|word| word == b"rollback-timer")
                && words.any(|word| word == state_dir.as_os_str().as_encoded_bytes())
        };
        let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let pids = processes.filter_map(|process| {
            let line = fs::read(process.path().join("cmdline")).ok()?;
            let pid = process.file_name().to_str()?.parse().ok()?;
            ours(&line).then_some(Pid::from_raw(pid))
        });
        pids.collect()
    }

    /// Waits until they have ended.
    pub fn wait_for_timer(&self) {
        assert!(wait_until(Instant::now() + PATIENCE, || self.timers().is_empty()));
    }

    pub fn kill_timer(&self) {
        for timer in self.timers() {
            kill(timer, Signal::SIGKILL).unwrap();
        }
        self.wait_for_timer();
    }
}

impl Drop for House {
    fn drop(&mut self) {
        for timer in self.timers() {
            // It may just have ended.
            let _ = kill(timer, Signal::SIGKILL);
        }
    }
}

/// The doors of a host before a trial.
pub fn before(door: Option<&str>) -> Vec<String> {
    door.into_iter().map(str::to_owned).collect()
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn done(output: &Output) {
    assert!(output.status.success(), "{}: {}", output.status, said(output));
}

/// It ended with this code, and said all of these.
pub fn refused(output: &Output, code: i32, words: &[&str]) {
    let text = said(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}
