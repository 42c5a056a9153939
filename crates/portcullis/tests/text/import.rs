//! `portcullis import` from outside: each `knockd.conf` in `tests/import`, and those real ones in
//! `tests/knockd/good`, against what is made of it and what is said of it. `PORTCULLIS_BLESS=1` writes
//! the expectations anew.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use portcullis::config;
use portcullis_config::Diagnostic;
use portcullis_config::import::shell::{Script, with_argument};
use portcullis_config::import::{NoteKind, import};
use portcullis_core::policy::{DoorName, Severity};
use proptest::prelude::*;

use crate::snapshot::difference;

const ADDRESS: &str = "%IP%";

fn cases() -> Vec<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut paths = Vec::new();
    for folder in ["import", "knockd/good"] {
        let entries = fs::read_dir(tests.join(folder)).unwrap();
        paths.extend(entries.map(|entry| entry.unwrap().path()));
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    paths.sort();
    assert!(paths.len() > 12);
    paths
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// Runs the program in a folder, with this on its standard input.
fn run_import(folder: &Path, file: &str, stdin: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["import", file])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not read all of it is not at fault.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}

#[test]
fn every_file_becomes_what_it_should_and_nothing_is_left_out_in_silence() {
    let mut wrong = Vec::new();
    for path in cases() {
        let output = run_import(path.parent().unwrap(), name(&path), b"");
        let shown = format!(
            "{}{}exit code {}\n",
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
            output.status.code().unwrap()
        );
        let harmful =
            |c: char| (c.is_control() && c != '\n') || ('\u{200b}'..='\u{202e}').contains(&c);
        assert!(!shown.contains(harmful), "{shown:?}");
        let expected_path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/import")
            .join(name(&path))
            .with_extension("expected");
        wrong.extend(difference(name(&path), &shown, &expected_path));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The gate's own reader takes what is written, but for what has been announced: sequences that it must
/// not take, and doors that came without anything to open.
#[test]
fn what_is_written_is_read_as_it_was_meant() {
    let mut taken = 0;
    for path in cases() {
        let Ok(imported) = import(name(&path), &fs::read(&path).unwrap()) else { continue };
        match config::parse_str("imported.toml", &imported.toml) {
            Ok(loaded) => {
                assert_eq!(loaded.policy.doors.len(), imported.doors, "{}", imported.toml);
                taken += 1;
            }
            Err(report) => {
                assert!(report.findings().iter().all(|found| found.code != "syntax"), "{report}");
                // What is refused is what was said before.
                let errors = |found: &&Diagnostic| found.severity == Severity::Error;
                for found in report.findings().iter().filter(errors) {
                    let announced = imported.notes.iter().any(|note| {
                        note.kind == NoteKind::Hand && note.message.ends_with(&found.message)
                    });
                    let nothing = found.code == "no-door" && imported.doors == 0;
                    let empty = imported.notes.iter().any(|note| {
                        note.message.ends_with("guards no port")
                            || note.message.contains("are left out: ")
                    });
                    assert!(
                        announced || nothing || (empty && found.code == "no-guards"),
                        "{report}"
                    );
                }
            }
        }
    }
    assert!(taken > 0);
}

#[test]
fn what_is_carried_over_is_the_policy_that_one_would_write() {
    let text = include_bytes!("../import/carried-over.conf");
    let imported = import("carried-over.conf", text).unwrap();
    assert!(imported.notes.is_empty(), "{:?}", imported.notes);
    let by_hand = r#"
[gate]
interfaces = ["eth0"]

[door.ssh]
guards = ["tcp/22"]
sequence = ["tcp/7431", "udp/29117", "tcp/1123"]
step_timeout = "5s"
open_for = "30s"

[door."web.admin"]
guards = ["tcp/8443", "tcp/9000", "tcp/9001", "tcp/9002"]
sequence = ["udp/40961", "tcp/10007", "tcp/52013", "udp/3391"]
step_timeout = "25s"
open_for = "10s"
"#;
    let mut theirs = config::parse_str("imported.toml", &imported.toml).unwrap().policy;
    let ours = config::parse_str("by-hand.toml", by_hand).unwrap().policy;
    for door in &mut theirs.doors {
        door.guards.sort_unstable();
    }
    assert_eq!(theirs, ours);
}

#[test]
fn from_standard_input_or_from_nowhere() {
    let text = include_bytes!("../import/carried-over.conf");
    let output = run_import(Path::new("/"), "-", text);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr, "<stdin>: 2 doors, everything was converted\n");
    assert!(output.stdout.starts_with(b"# Made from <stdin> (knockd) by `portcullis import`.\n"));
    let output = run_import(Path::new("/"), "/no/such/file", b"");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr, "error: cannot read `/no/such/file`: there is no such file\n");
}

/// Whatever stands in a command reaches the shell as it was, through the configuration and back.
#[test]
fn commands_are_carried_over_to_the_byte() {
    for path in cases() {
        let Ok(imported) = import(name(&path), &fs::read(&path).unwrap()) else { continue };
        let Ok(loaded) = config::parse_str("imported.toml", &imported.toml) else { continue };
        let hooks = loaded.policy.doors.iter().filter_map(|door| door.hooks.as_ref());
        for hook in hooks.flat_map(|hooks| std::iter::once(&hooks.on_open).chain(&hooks.on_close)) {
            let filled = hook.fill(&DoorName::new("x").unwrap(), "192.0.2.17".parse().unwrap());
            let [sh, c, _, knockd, address] = &filled[..] else { panic!("{filled:?}") };
            let around = [sh, c, knockd, address].map(String::as_str);
            assert_eq!(around, ["/bin/sh", "-c", "knockd", "192.0.2.17"]);
        }
    }
    let section = |command: &str| {
        format!("[x]\nsequence = 9911,7207,8809:udp\ntcpflags = syn\nstart_command = {command}\n")
    };
    let odd = "echo \\t \"\\\"\" '\u{1b}\u{202e}\u{feff}\u{7f}' \\u0041 {door} é # '''";
    let imported = import("x", section(odd).as_bytes()).unwrap();
    let door = config::parse_str("x", &imported.toml).unwrap().policy.doors.remove(0);
    assert_eq!(door.hooks.unwrap().on_open.arguments()[2], odd);
    // What is too long for the new configuration is left out aloud.
    let imported = import("x", section(&"x".repeat(70_000)).as_bytes()).unwrap();
    assert!(!imported.toml.contains("on_open"));
    let said = imported.notes.iter().find(|note| note.message.contains("are left out: the arg"));
    assert!(said.unwrap().kind == NoteKind::Hand);
}

/// The advice is worth its name: with the order that it gives, the check takes the door.
#[test]
fn the_order_that_is_advised_is_taken() {
    let text = include_bytes!("../knockd/good/magazine-start-stop.conf");
    let imported = import("x", text).unwrap();
    let hints: Vec<_> = imported.notes.iter().filter_map(|note| note.hint.as_deref()).collect();
    let order =
        hints.iter().find_map(|hint| hint.strip_prefix("reorder the knocks, for example: "));
    let old = r#"["tcp/7000", "tcp/8000", "tcp/9000"]"#;
    assert!(imported.toml.contains(old));
    let toml = imported.toml.replace(old, order.unwrap());
    config::parse_str("x", &toml).unwrap_or_else(|report| panic!("{report}"));
}

/// Thousands of doors of one name, with closers, take no longer than they should.
#[test]
fn many_doors_are_imported() {
    let mut text = String::new();
    for door in 0..5_000u32 {
        let (a, b) = (1 + door % 60_000, 1 + door / 7);
        text += &format!(
            "[open]\nsequence={a},65000,{b}\ncommand=iptables -A INPUT -s %IP% -p tcp --dport {a} -j ACCEPT\n"
        );
        text += &format!(
            "[close]\nsequence={b},65000,{a}\ncommand=iptables -D INPUT -s %IP% -p tcp --dport {a} -j ACCEPT\n"
        );
    }
    assert_eq!(import("x", text.as_bytes()).unwrap().doors, 5_000);
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new("/bin/sh");
    command.args(arguments).env_clear().current_dir("/").output().unwrap()
}

/// Both ways to run it do the same, for both kinds of address.
fn same(command: &str) -> bool {
    let script = with_argument(command);
    ["192.0.2.17", "2001:db8::f"].into_iter().all(|address| {
        let theirs = run(&["-c", &command.replace(ADDRESS, address)]);
        let ours = run(&["-c", &script.text, "knockd", address]);
        // What is wrong to begin with says so in other words.
        !theirs.status.success() || (theirs.status, theirs.stdout) == (ours.status, ours.stdout)
    })
}

#[test]
fn quoted_where_it_stands() {
    for (command, text) in [
        ("a %IP%", "a \"$1\""),
        ("a x%IP%y%IP%", "a x\"$1\"y\"$1\""),
        ("a \"x %IP% y\"", "a \"x $1 y\""),
        ("a 'x %IP% y'", "a 'x '\"$1\"' y'"),
        ("a '%IP%'", "a ''\"$1\"''"),
        ("a \\%IP%", "a \"$1\""),
        ("a \"\\%IP%\"", "a \"\\\\$1\""),
        ("a \"$(b '%IP%')\" %IP%", "a \"$(b ''\"$1\"'')\" \"$1\""),
        ("a # it's %IP%", "a # it's %IP%"),
        ("a#%IP%", "a#\"$1\""),
        ("a %ip% %% %IP", "a %ip% %% %IP"),
        ("a \"it's\" %IP%", "a \"it's\" \"$1\""),
        ("a 'say \"' %IP%", "a 'say \"' \"$1\""),
    ] {
        let script = with_argument(command);
        assert_eq!(script, Script { text: text.into(), certain: true }, "{command}");
    }
}

#[test]
fn corners_are_not_called_certain() {
    for command in [
        "a `b %IP%`",
        "a \"`b '%IP%'`\"",
        "a ${x:-%IP%}",
        "a $1 %IP%",
        "a \"$@\" %IP%",
        "a ${1} %IP%",
        "a 'b %IP%",
        "a $'%IP%'",
        "a <<x %IP%",
        "a $(case x in x) b %IP%;; esac)",
        "a {address} %IP%",
        "a $%IP%",
        "a \"$x%IP%\"",
    ] {
        assert!(!with_argument(command).certain, "{command}");
    }
}

#[test]
fn shells_see_no_difference() {
    for command in [
        "echo %IP%",
        "echo x%IP%x %IP%%IP%0",
        "printf '<%s>' '%IP%' \"%IP%\" %IP% '%IP% ' \" %IP%\"",
        "printf '<%s>' \\%IP% \"\\%IP%\" '\\%IP%' \\\\%IP% \"\\\\%IP%\"",
        "a=%IP%; printf '<%s>' \"$a\" ${a}x",
        "printf '<%s>' $(echo '%IP%' \"%IP%\") \"$(echo \"%IP%\" '%IP%' \\%IP%)\"",
        "(echo %IP%; (echo '(%IP%')) | cat # don't %IP%",
        "case %IP% in *:*) echo six %IP%;; *) echo four '%IP%';; esac",
        "sh -c 'echo %IP% \"$HOME\"' && test %IP% = '%IP%' && echo \"it's %IP%\"",
        "printf '<%s>' $(echo a)#%IP% \\(#%IP% ''#%IP% %IP%#",
        "if [ -n %IP% ]; then echo yes; fi; x='a\\'; echo $x/%IP%",
    ] {
        let script = with_argument(command);
        assert!(script.certain, "{command}");
        assert!(same(command), "{command}\n{}", script.text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is called certain is.
    #[test]
    fn what_is_certain_is_the_same(parts in prop::collection::vec(
        prop::sample::select(vec!["%IP%", "%IP%", "%IP%", "'", "'", "\"", "\"", "\\", " ", "a", "$(echo ", ")", "(", "$", "{", "}", "`", "#", ";", "%", "é", "$1", "${x}"]),
        1..12,
    )) {
        let command = format!("printf '<%s>' {}", parts.concat());
        // No two shells have the same number.
        prop_assume!(!["$$", "{$"].iter().any(|number| command.contains(number)));
        prop_assert!(!with_argument(&command).certain || same(&command), "{}", command);
    }
}
