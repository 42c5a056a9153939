//! `trace` on real packets: each finding, over both families.

use libtest_mimic::Trial;
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use portcullis_lab::program::Program;
use portcullis_lab::{Family, world};
use serde_json::Value;
use world::{By, FAMILIES, PATIENCE, World, portcullis, program};

const CONFIG: &str = r#"
[gate]
public = ["tcp/80"]

[door.ssh]
guards       = ["tcp/22"]
sequence     = ["tcp/7431", "udp/29117", "tcp/1123"]
step_timeout = "1s"
recogniser   = "RECOGNISER"
"#;

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for family in FAMILIES {
        trials.push(world::trial(format!("each_fault_is_found_{family}"), move || {
            faults(family);
        }));
    }
    trials.push(world::trial("it_keeps_no_privilege_and_touches_no_rule", privileges));
    trials.push(world::trial("it_ends_by_itself", ends));
    trials.push(world::trial("wrong_use_is_said", wrong_use));
    trials
}

/// Starts it, and waits until it watches.
fn start(world: &World, arguments: &[&str]) -> Program {
    let mut command = Command::new(program());
    command.arg("trace").arg(&world.config).args(arguments).stdin(Stdio::null());
    let program = Program::start(&mut command).unwrap();
    let ready = program.wait_for_line(PATIENCE, |line| line.starts_with("ready: watching client"));
    assert!(ready.is_some(), "it never became ready: {:?}", program.lines());
    program
}

/// What happens in a case: from the first source or the second, to this port; or time passes.
enum Do {
    First(&'static str),
    Second(&'static str),
    Wait(u64),
}

use Do::{First, Second, Wait};

/// What happens, what the packets of the first mean, what is found.
type Case = (&'static [Do], &'static [&'static str], &'static [&'static str]);

const CASES: &[Case] = &[
    (
        &[
            First("tcp/22"),
            First("tcp/7431"),
            First("tcp/7431"),
            First("tcp/80"),
            First("udp/29117"),
            First("tcp/1123"),
            First("tcp/22"),
        ],
        &["guarded", "knock", "repeated", "nothing", "knock", "opened", "guarded"],
        &["opened", "connected"],
    ),
    (&[First("udp/29117"), First("tcp/1123")], &["wrong", "wrong"], &["missing"]),
    (&[First("tcp/7431"), First("tcp/1123")], &["knock", "out-of-order"], &["missing"]),
    (
        &[First("tcp/7431"), Second("udp/29117"), First("tcp/1123")],
        &["knock", "out-of-order"],
        &["two-addresses"],
    ),
    (&[Second("tcp/7431"), Second("udp/29117"), Second("tcp/1123")], &[], &["other-address"]),
    (
        &[First("tcp/7431"), First("tcp/1123"), First("udp/29117")],
        &["knock", "out-of-order", "wrong"],
        &["reordered"],
    ),
    (
        &[First("tcp/7431"), Wait(1_300), First("udp/29117"), First("tcp/1123")],
        &["knock", "late", "wrong"],
        &["late"],
    ),
    (
        &[First("tcp/7431"), First("udp/99"), First("udp/29117"), First("tcp/1123")],
        &["knock", "lost", "wrong", "wrong"],
        &["wrong-port"],
    ),
    (
        &[First("tcp/7431"), First("tcp/29117"), First("tcp/1123")],
        &["knock", "lost", "wrong"],
        &["protocol", "wrong-port"],
    ),
    (&[First("tcp/80"), First("tcp/81")], &["nothing", "wrong"], &["missing"]),
    (&[Second("tcp/81")], &[], &["nothing"]),
];

/// One case after the other, with sources and a program that watches of its own: what others do at
/// the same time is evidence too.
fn faults(family: Family) {
    let mut world = World::new(By::Kernel, CONFIG);
    for (script, meanings, findings) in CASES {
        let (first, second) = (world.new_source(family), world.new_source(family));
        let from = first.to_string();
        let arguments = ["--from", &from, "--door", "ssh", "--for", "10m", "--json"];
        let mut program = start(&world, &arguments);
        for what in *script {
            match what {
                First(port) => world.knock(first, &[port]),
                Second(port) => world.knock(second, &[port]),
                // Time itself is what is tested here.
                Wait(milliseconds) => thread::sleep(Duration::from_millis(*milliseconds)),
            }
        }
        world.settle();
        program.signal(Signal::SIGINT).unwrap();
        let mut events: Vec<Value> = Vec::new();
        let end = program.wait_for_line(PATIENCE, |line| {
            events.extend(serde_json::from_str::<Value>(line).ok());
            line.contains(r#""event":"end""#)
        });
        assert!(end.is_some(), "{events:?}");
        let of = |event: &str, key: &str| -> Vec<String> {
            let events = events.iter().filter(|found| found["event"] == event);
            events.map(|found| found[key].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(of("packet", "meaning"), *meanings, "{events:#?}");
        assert_eq!(of("finding", "kind"), *findings, "{events:#?}");
        assert!(of("packet", "address").iter().all(|address| *address == from));
        let status = program.wait(PATIENCE).unwrap().unwrap();
        let opened = findings.contains(&"opened");
        assert_eq!(status.code(), Some(i32::from(!opened)));
        // What it says is what the kernel did.
        assert_eq!(world.open_for(first).contains("ssh"), opened, "{events:#?}");
    }
}

fn privileges() {
    let mut world = World::new(By::Kernel, CONFIG);
    let before = world.gate.door_names().unwrap();
    let mut program = start(&world, &["--interface", "client"]);
    let status = fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    for set in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
        let line = status.lines().find(|line| line.starts_with(set)).unwrap();
        assert!(line.ends_with("0000000000000000"), "{line}");
    }
    assert!(status.contains("NoNewPrivs:\t1"));
    assert!(status.contains("Seccomp:\t2"));
    let source = world.new_source(Family::V4);
    world.knock(source, &["tcp/7431", "udp/29117", "tcp/1123"]);
    let text = format!("{source}  tcp/1123   the last knock; door ssh opens for 30s");
    assert!(program.wait_for_line(PATIENCE, |line| line.ends_with(&text)).is_some());
    program.signal(Signal::SIGTERM).unwrap();
    let text = format!("* door ssh opened: all knocks of {source} arrived correctly");
    assert!(program.wait_for_line(PATIENCE, |line| line == text).is_some());
    assert_eq!(program.wait(PATIENCE).unwrap().unwrap().code(), Some(0));
    assert_eq!(world.gate.door_names().unwrap(), before);
}

fn ends() {
    let world = World::new(By::Kernel, CONFIG);
    let mut program = start(&world, &["--for", "100ms"]);
    let found = "* no SYN or datagram arrived; check that this is the right interface";
    assert!(program.wait_for_line(PATIENCE, |line| line == found).is_some());
    assert_eq!(program.wait(PATIENCE).unwrap().unwrap().code(), Some(1));
}

fn wrong_use() {
    let world = World::new(By::Kernel, CONFIG);
    let config = world.config.to_str().unwrap();
    for (arguments, code, expected) in [
        (["--door", "shh"], 2, "error: unknown door `shh`\n  hint: did you mean `ssh`?\n"),
        (
            ["--interface", "eth9"],
            3,
            "error: this host has no interface `eth9`\n  hint: run `ip link` to list the interfaces\n",
        ),
        (["--from", "\u{1b}[2J"], 2, "error: `\\u{1b}[2J` is not an IP address\n"),
    ] {
        let output = portcullis(&[&["trace", config], &arguments[..]].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with(expected), "{said}");
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(output.stdout.is_empty());
    }
}
