//! Captures of what arrives at the host of a test, by tcpdump, and what a replay says of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::{PATIENCE, World, have, portcullis};
use crate::program::Program;
use crate::{Family, wait_until};

/// What tcpdump is told, and the name of the file: the cable alone, and all devices at once in both
/// kinds of cooked frames, with times in nanoseconds.
const KINDS: [(&str, &[&str]); 3] = [
    ("ethernet.pcap", &["-i", "client"]),
    ("cooked.pcap", &["-i", "any", "-y", "LINUX_SLL", "--time-stamp-precision=nano"]),
    ("cooked2.pcap", &["-i", "any", "-y", "LINUX_SLL2", "--time-stamp-precision=nano"]),
];

/// Programs that capture.
pub struct Recorder {
    folder: TempDir,
    programs: Vec<Program>,
}

impl Recorder {
    /// Starts to capture at the host of this thread; `None` where there is no tcpdump.
    pub fn start() -> Option<Self> {
        if !have("tcpdump") {
            return None;
        }
        let folder = TempDir::new().unwrap();
        let start = |(name, arguments): &(&str, &[&str])| {
            let mut command = Command::new("tcpdump");
            // Each packet at once, its headers alone, and with room for a sweep: the frames of its
            // ring are as long as what it is to keep.
            let always = ["-Z", "root", "--immediate-mode", "-U", "-n", "-s", "128", "-B", "65536"];
            let file = folder.path().join(name);
            command.args(*arguments).args(always).arg("-w").arg(file).stdin(Stdio::null());
            let program = Program::start(&mut command).unwrap();
            let mut said = Vec::new();
            let ready = program.wait_for_line(PATIENCE, |line| {
                said.push(line.to_owned());
                line.contains("listening on")
            });
            assert!(ready.is_some(), "tcpdump says {said:?}");
            program
        };
        Some(Self { programs: KINDS.iter().map(start).collect(), folder })
    }

    /// Ends the captures when all that was sent is in them: their files. None has lost a packet.
    pub fn stop(mut self, world: &mut World) -> (TempDir, Vec<PathBuf>) {
        let files: Vec<_> = KINDS.iter().map(|(name, _)| self.folder.path().join(name)).collect();
        // What comes last is a knock at the sentinel's door.
        let last = world.new_source(Family::V4);
        world.knock(last, &["tcp/64101", "tcp/64303", "tcp/64202"]);
        let (last, config) = (last.to_string(), world.config.to_str().unwrap());
        for file in &files {
            let is_there = || {
                let arguments = ["replay", file.to_str().unwrap(), config, "--json"];
                let output = portcullis(&arguments).stdout;
                String::from_utf8(output).unwrap().contains(&format!("\"{last}\""))
            };
            assert!(wait_until(Instant::now() + PATIENCE, is_there), "{}", file.display());
        }
        for program in &mut self.programs {
            program.signal(Signal::SIGINT).unwrap();
            let lost = program.wait_for_line(PATIENCE, |line| line.contains("dropped by kernel"));
            assert_eq!(lost.as_deref(), Some("0 packets dropped by kernel"));
            program.wait(PATIENCE).unwrap().unwrap();
        }
        (self.folder, files)
    }
}

/// What `portcullis replay --json` says of a capture that can be read to its end.
pub fn replay(capture: &Path, config: &Path, more: &[&str]) -> Value {
    let (capture, config) = (capture.to_str().unwrap(), config.to_str().unwrap());
    let output = portcullis(&[&["replay", capture, config, "--json"], more].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The doors that would have opened, each with for whom, but for the sentinel.
pub fn openings(report: &Value) -> BTreeSet<(String, String)> {
    let opening = |opening: &Value| {
        let text = |key: &str| opening[key].as_str().unwrap().to_owned();
        (text("address"), text("door"))
    };
    let openings = report["openings"].as_array().unwrap().iter().map(opening);
    openings.filter(|(_, door)| door != "sentinel").collect()
}
