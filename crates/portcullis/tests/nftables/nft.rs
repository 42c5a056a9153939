//! The program `nft`, with a limit to its time.

use std::io::Write;
use std::process::{Command, Stdio};

/// Whether there is one.
pub fn is_here() -> bool {
    Command::new("timeout")
        .args(["10", "nft", "--version"])
        .output()
        .is_ok_and(|it| it.status.success())
}

/// What it prints.
fn run(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("timeout")
        .args(["20", "nft"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "nft {arguments:?}: {}\n{complaint}\n{input}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Loads a script.
pub fn load(script: &str) {
    run(&["-f", "-"], script);
}

/// All there is in this namespace.
pub fn list() -> String {
    run(&["list", "ruleset"], "")
}
