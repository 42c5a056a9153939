//! The one place that runs other people's programs for the firewall: iptables has no other interface.
//!
//! Each program gets arguments that are constants of ours, and its input on standard input. There is no
//! shell, and no argument contains a string that somebody else wrote.

use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::thread;

use portcullis_firewall::iptables::Family;

use crate::Failed;

/// A program that this back end needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Lists the rules of a family.
    Save(Family),
    /// Loads rules of a family.
    Restore(Family),
    /// Makes, lists and deletes sets.
    Ipset,
}

impl Program {
    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Save(Family::V4) => "iptables-save",
            Self::Save(Family::V6) => "ip6tables-save",
            Self::Restore(Family::V4) => "iptables-restore",
            Self::Restore(Family::V6) => "ip6tables-restore",
            Self::Ipset => "ipset",
        }
    }

    const fn package(self) -> &'static str {
        match self {
            Self::Ipset => "ipset",
            _ => "iptables",
        }
    }

    /// Where it is when it is not in `PATH`, which of ordinary users often lacks this.
    const fn usual_place(self) -> &'static str {
        match self {
            Self::Save(Family::V4) => "/usr/sbin/iptables-save",
            Self::Save(Family::V6) => "/usr/sbin/ip6tables-save",
            Self::Restore(Family::V4) => "/usr/sbin/iptables-restore",
            Self::Restore(Family::V6) => "/usr/sbin/ip6tables-restore",
            Self::Ipset => "/usr/sbin/ipset",
        }
    }
}

/// Runs it with this input; what it prints. `None` if there is no such program.
///
/// # Errors
/// It cannot be run, or it failed: the message holds what it said.
pub fn run_if_there(
    program: Program,
    arguments: &[&'static str],
    input: &str,
) -> Result<Option<String>, Failed> {
    let name = program.name();
    let output = match talk(name, arguments, input) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            talk(program.usual_place(), arguments, input)
        }
        other => other,
    };
    let output = match output {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failed::new(format!("cannot run {name}: {error}"))),
    };
    if output.status.success() {
        return Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    // The program may print many lines; the reason comes first.
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let said = said.iter().find(|line| !line.starts_with('#')).copied().unwrap_or("nothing");
    let said: String = said.chars().filter(|c| !c.is_control()).take(300).collect();
    let failure = Failed::new(format!("{name} failed ({}): {said}", output.status));
    Err(if said.contains("Permission denied") || said.contains("must be root") {
        failure.hint("run it as root, with CAP_NET_ADMIN")
    } else {
        failure
    })
}

/// As [`run_if_there`], for a program that must be there.
///
/// # Errors
/// It is not there, too: the hint names the package.
pub fn run(program: Program, arguments: &[&'static str], input: &str) -> Result<String, Failed> {
    run_if_there(program, arguments, input)?.ok_or_else(|| {
        let package = program.package();
        Failed::new(format!("cannot find the program {}", program.name()))
            .hint(format!("install the package `{package}`, or write `backend = \"nftables\"`"))
    })
}

fn talk(program: &str, arguments: &[&str], input: &str) -> io::Result<std::process::Output> {
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let stdin = child.stdin.take();
    // Written beside the reading: a program may say much before it has read all.
    thread::scope(|scope| {
        scope.spawn(move || {
            if let Some(mut stdin) = stdin {
                // A program that stops reading says why it did.
                let _ = stdin.write_all(input.as_bytes());
            }
        });
        child.wait_with_output()
    })
}
