//! `portcullis check` from outside: each bad configuration in `tests/check` against what a person
//! is told of it. `PORTCULLIS_BLESS=1` writes the expectations anew.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::fs;
use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use portcullis::config;
use portcullis_config::problems;
use portcullis_core::policy::Severity;

use crate::snapshot::difference;

fn crate_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn cases(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// What is found in a text, as it is shown.
fn report(name: &str, text: &str) -> portcullis_config::Report {
    match config::parse_str(name, text) {
        Ok(loaded) => loaded.warnings,
        Err(report) => report,
    }
}

#[test]
fn every_bad_configuration_is_refused_in_the_right_words() {
    let mut wrong = Vec::new();
    for path in cases(&crate_dir().join("tests/check")) {
        let shown = format!("{}\n", report(name(&path), &fs::read_to_string(&path).unwrap()));
        wrong.extend(difference(name(&path), &shown, &path.with_extension("expected")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_finding_says_where_and_no_terminal_is_harmed() {
    for path in cases(&crate_dir().join("tests/check")) {
        let text = fs::read_to_string(&path).unwrap();
        let report = report(name(&path), &text);
        assert!(!report.findings().is_empty(), "{}", path.display());
        let shown = report.render(false);
        for found in report.findings().iter().take(portcullis_config::report::MAX_SHOWN) {
            let (line, column) = report.position(found.span.clone().unwrap().start);
            let place = format!("--> {}:{line}:{column}\n", name(&path));
            assert!(shown.contains(&place), "{place} in\n{shown}");
            assert!(shown.contains(&format!("[{}]", found.code)), "{shown}");
        }
        let harmful = |c: char| {
            (c.is_control() && c != '\n')
                || matches!(c, '\u{200b}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        assert!(!shown.contains(harmful), "{shown:?}");
        // The only control characters with colours are those of the colours.
        let colours = anstream::adapter::strip_str(&report.render(true)).to_string();
        assert!(!colours.contains(harmful), "{colours:?}");
    }
}

#[test]
fn the_full_example_of_the_design_lacks_only_what_is_to_come() {
    let text = fs::read_to_string(crate_dir().join("tests/check/design-full.toml")).unwrap();
    let report = report("design-full.toml", &text);
    let found: Vec<_> = report
        .findings()
        .iter()
        .map(|found| (found.code, text.get(found.span.clone().unwrap()).unwrap()))
        .collect();
    let expected = ["keys"].map(|key| ("not-available", key));
    assert_eq!(found, expected);
}

#[test]
fn every_example_passes() {
    for path in cases(&crate_dir().join("../../docs/examples")) {
        let loaded = config::parse_str(name(&path), &fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|report| panic!("{report}"));
        assert!(loaded.warnings.findings().is_empty(), "{}", loaded.warnings);
        assert!(!loaded.policy.doors.is_empty());
    }
}

#[test]
fn thousands_of_errors_are_cut_short_but_counted() {
    let text = fs::read_to_string(crate_dir().join("tests/check/many.toml")).unwrap();
    let report = report("many.toml", &text);
    assert_eq!(report.errors(), 60);
    assert_eq!(report.findings().iter().filter(|f| f.severity == Severity::Error).count(), 60);
    let shown = report.render(false);
    assert_eq!(shown.matches("error[").count(), 50);
    assert!(shown.trim_end().ends_with("and 10 more"), "{shown}");
}

const SHORTEST: &str = include_str!("../../../../docs/examples/shortest.toml");

/// Runs the program with this on its standard input.
fn portcullis(args: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not read all of it is not at fault.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_shortest_configuration_is_good_and_its_knocks_stay_secret() {
    let output = portcullis(&["check", "-"], SHORTEST.as_bytes());
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr), "<stdin>: ok, 1 door\n");
    let stdout = text(&output.stdout);
    for line in [
        "door ssh\n",
        "  guards        tcp/22\n",
        "  sequence      3 knocks\n",
        "  step_timeout  5s\n",
        "  open_for      30s\n",
        "  strength      1,501,062,441,074,628 sequences, 50.4 bits\n",
    ] {
        assert!(stdout.contains(line), "{stdout}");
    }
    for secret in ["7431", "29117", "1123"] {
        assert!(!stdout.contains(secret), "{stdout}");
    }
    let output = portcullis(&["check", "-", "--show-knocks"], SHORTEST.as_bytes());
    assert!(text(&output.stdout).contains("  sequence      tcp/7431, udp/29117, tcp/1123\n"));
}

#[test]
fn json_is_one_object_with_doors_and_findings() {
    let output = portcullis(&["check", "-", "--json"], SHORTEST.as_bytes());
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["ok"], true);
    assert_eq!(object["doors"][0]["sequences"], "1501062441074628");
    assert!(object["doors"][0].get("sequence").is_none());

    let output = portcullis(&["check", "-", "--json"], b"[door.ssh]\nguards = [\"tcp/0\"]\n");
    assert_eq!(output.status.code(), Some(1));
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["ok"], false);
    let finding = &object["findings"][1];
    assert_eq!(
        (&finding["code"], &finding["line"], &finding["column"]),
        (&"bad-port".into(), &2.into(), &11.into())
    );
}

#[test]
fn exit_codes_tell_a_bad_file_from_a_missing_one() {
    let output = portcullis(&["check", "-"], b"nonsense");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
    assert!(text(&output.stderr).contains("<stdin>:1:"), "{}", text(&output.stderr));
    assert!(text(&output.stderr).ends_with("<stdin>: 1 error\n"));

    let output = portcullis(&["check", "/nonexistent/\x1b[31m.toml"], b"");
    assert_eq!(output.status.code(), Some(3));
    let expected = "error: cannot read `/nonexistent/\\u{1b}[31m.toml`: there is no such file\n";
    assert_eq!(text(&output.stderr), expected);

    assert_eq!(portcullis(&["check", "/"], b"").status.code(), Some(3));
    assert_eq!(portcullis(&["check", "--nonsense"], b"").status.code(), Some(2));

    let output = portcullis(&["check", "-"], b"[door.ssh]\nguards = [\"\xff\"]\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("<stdin>:2:12\n"), "{}", text(&output.stderr));

    let too_large = vec![b'\n'; portcullis_config::MAX_BYTES as usize + 1];
    let output = portcullis(&["check", "-"], &too_large);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(text(&output.stderr), "error: `<stdin>` is larger than 16 MiB\n");
}

#[test]
fn what_this_host_does_with_a_configuration_is_worth_a_warning() {
    let check = |config: &str, more: &[&str]| {
        let output = portcullis(&[&["check", "-"], more].concat(), config.as_bytes());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stderr).to_owned()
    };
    let door = |protocol: &str, port: u16| {
        format!(
            "[door.ssh]\nguards = [\"tcp/22\"]\nsequence = [\"udp/9\", \"{protocol}/{port}\", \"tcp/5\"]\n"
        )
    };
    for (at, answered) in [("0.0.0.0:0", true), ("[::]:0", true), ("127.0.0.1:0", false)] {
        let tcp = TcpListener::bind(at).unwrap();
        let udp = UdpSocket::bind(at).unwrap();
        for (protocol, at) in [("tcp", tcp.local_addr()), ("udp", udp.local_addr())] {
            let config = door(protocol, at.unwrap().port());
            let said = check(&config, &[]);
            assert_eq!(said.contains("warning[knock-answered]"), answered, "{protocol} {said}");
            assert_eq!(said.contains(" knock 2 of door `ssh`, "), answered, "{said}");
            // A good configuration keeps its secret.
            assert!(!said.contains("sequence"), "{said}");
            assert_eq!(check(&config, &["--no-host"]), "<stdin>: ok, 1 door\n");
        }
    }
    let config = format!("[gate]\ninterfaces = [\"nosuch0\"]\n{SHORTEST}");
    assert!(check(&config, &[]).contains("warning[interface-missing]"));
    assert_eq!(check(&config, &["--no-host"]), "<stdin>: ok, 1 door\n");
}

#[test]
fn every_code_is_explained() {
    let list = portcullis(&["check", "--codes"], b"");
    assert_eq!((list.status.code(), text(&list.stderr)), (Some(0), ""));
    assert_eq!(portcullis(&["check", "--explain"], b"").stdout, list.stdout);
    let codes: Vec<_> =
        text(&list.stdout).lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(codes.len(), problems::all().count());
    for code in ["monotone-sequence", "recent-evicts", "too-many-doors", "file-mode"] {
        assert!(codes.contains(&code));
        let output = portcullis(&["check", "--explain", code], b"");
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
        let entry = problems::find(code).unwrap();
        let shown = text(&output.stdout);
        assert!(shown.contains(&format!("[{code}]: {}\n\n", entry.title)), "{shown}");
        assert!(shown.contains("\nRemedy: ") && shown.contains("\nFound in"), "{shown}");
        assert!(shown.lines().all(|line| line.starts_with("    ") || line.len() <= 80), "{shown}");
    }
    for (code, hint) in [
        ("monotone-sequense", "did you mean `monotone-sequence`?"),
        ("\u{1b}[31m", "run `portcullis check --codes` to list all codes"),
    ] {
        let output = portcullis(&["check", "--explain", code], b"");
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""));
        let code = code.replace('\u{1b}', "\\u{1b}");
        let expected = format!("error: unknown code `{code}`\n  hint: {hint}\n");
        assert_eq!(text(&output.stderr), expected);
    }
    assert_eq!(portcullis(&["check", "-", "--codes"], b"").status.code(), Some(2));
}

#[test]
fn a_file_that_others_can_read_is_worth_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("portcullis.toml");
    fs::write(&path, SHORTEST).unwrap();
    for (mode, others_can) in [
        (0o600, None),
        (0o640, Some("read")),
        (0o602, Some("change")),
        (0o666, Some("read and change")),
    ] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let output = portcullis(&["check", path.to_str().unwrap()], b"");
        assert_eq!(output.status.code(), Some(0));
        let stderr = text(&output.stderr);
        match others_can {
            None => assert!(stderr.ends_with(": ok, 1 door\n") && stderr.lines().count() == 1),
            Some(what) => {
                let message = format!(
                    "warning[file-mode]: other users can {what} this file (mode {mode:04o})"
                );
                assert!(stderr.contains(&message), "{stderr}");
                assert!(stderr.ends_with(": ok, 1 door, 1 warning\n"), "{stderr}");
            }
        }
    }
}
