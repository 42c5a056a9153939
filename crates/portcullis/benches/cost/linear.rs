//! The doors as rule lists on the net have them: a set and a rule for each step.

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use portcullis_core::policy::Policy;

/// For `nft -f`.
pub fn one_rule_per_step(policy: &Policy) -> String {
    let mut sets = String::new();
    let mut rules = String::new();
    for port in &policy.gate.public {
        writeln!(rules, "{} dport {} accept", port.protocol, port.number).unwrap();
    }
    for (index, door) in policy.doors.iter().enumerate() {
        for (step, port) in door.sequence.iter().enumerate() {
            writeln!(sets, "set d{index}s{step} {{ type ipv4_addr; flags dynamic,timeout; }}")
                .unwrap();
            let before = match step {
                0 => String::new(),
                _ => format!("ip saddr @d{index}s{} ", step - 1),
            };
            let (protocol, number) = (port.protocol, port.number);
            writeln!(
                rules,
                "{protocol} dport {number} {before}add @d{index}s{step} {{ ip saddr timeout 5s }}"
            )
            .unwrap();
        }
        let (guard, last) = (door.guards[0].number, door.sequence.len() - 1);
        writeln!(rules, "tcp dport {guard} ip saddr != @d{index}s{last} drop").unwrap();
    }
    format!(
        "table inet linear\ndelete table inet linear\ntable inet linear {{\n{sets}\nchain input {{\n\
         type filter hook input priority -99; policy accept;\nct state established accept\n{rules}}}\n}}\n"
    )
}

/// Whether there is an `nft` and it has loaded this.
pub fn nft(text: &str) -> bool {
    use std::io::Write as _;
    let child =
        Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = child else { return false };
    let written =
        child.stdin.take().is_some_and(|mut stdin| stdin.write_all(text.as_bytes()).is_ok());
    written && child.wait().is_ok_and(|status| status.success())
}
