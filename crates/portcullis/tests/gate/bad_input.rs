//! What goes wrong is said in a clear sentence, with an exit code that means something, and nothing
//! is half done.

use libtest_mimic::Trial;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use portcullis_gate::nftables::Table;
use portcullis_lab::{Family, Lab, world};
use tempfile::TempDir;
use world::{By, World, have, portcullis, program, write_config};

const GOOD: &str =
    "[door.ssh]\nguards = [\"tcp/22\"]\nsequence = [\"tcp/1009\", \"tcp/4001\", \"udp/2003\"]\n";

pub fn trials() -> Vec<Trial> {
    vec![
        world::trial("a_bad_file_changes_nothing", a_bad_file_changes_nothing),
        world::trial("commands_that_others_can_change_are_not_run", commands_of_others),
        world::trial("an_interface_that_does_not_exist", no_such_interface),
        world::trial("a_file_that_does_not_exist", no_such_file),
        world::trial("configuration_that_is_no_file_is_refused", no_file),
        world::trial("configuration_of_a_descriptor_is_read", descriptor),
        world::trial("picture_is_written_into_files_alone", picture),
        world::trial("manual_is_written_through_no_link", manual),
        world::trial("without_permission", without_permission).with_ignored_flag(!have("setpriv")),
        world::trial("wrong_use", wrong_use),
        world::trial("apply_remove_and_again", apply_remove_and_again),
        world::trial("two_daemons_in_one_network", two_daemons),
    ]
}

/// A folder with a configuration in it.
fn config(text: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("portcullis.toml");
    write_config(&path, text);
    (folder, path)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// It ended with this code, and said all of these on stderr.
fn refused(output: &Output, code: i32, said: &[&str]) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for said in said {
        assert!(text.contains(said), "{said:?} is not in:\n{text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

/// Root runs no command that other users can write.
fn commands_of_others() {
    let _world = World::new(By::Kernel, GOOD);
    let text = "[door.a]\nguards = [\"tcp/22\"]\nsequence = [\"tcp/7\", \"tcp/2\", \"tcp/5\"]\n\
                on_open = [\"/bin/true\"]\n";
    let (folder, path) = config(text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
    let state = folder.path().join("run");
    let words = ["run", path.to_str().unwrap(), "--state-dir", state.to_str().unwrap()];
    refused(
        &portcullis(&words),
        3,
        &["file-mode", "other users can change", "on_open", "chmod 600"],
    );
}

fn a_bad_file_changes_nothing() {
    let world = World::new(By::Kernel, GOOD);
    let loaded =
        || (Table::open().unwrap().door_names().unwrap(), Table::open().unwrap().grants().unwrap());
    let before = loaded();
    for (text, said) in [
        ("[door.ssh]\nguards = [\"tcp/22\"\n", &["portcullis.toml:2:"][..]),
        ("[door.ssh]\nguard = [\"tcp/22\"]\n", &["portcullis.toml:2:1", "guards"]),
        (
            "[door.a]\nguards = [\"tcp/0\"]\nsequence = [\"tcp/65536\"]\n",
            &["portcullis.toml:2:11", "portcullis.toml:3:13"],
        ),
        (
            "[door.a]\nguards = [\"tcp/22\"]\nsequence = [\"tcp/1\", \"tcp/2\", \"tcp/3\"]\n",
            &["portcullis.toml:3:", "monotone-sequence"],
        ),
        (
            "[ban]\nstrikes = 1\n[door.a]\nguards = [\"tcp/22\"]\nsequence = [\"tcp/5\", \"tcp/2\", \"tcp/3\"]\n",
            &["portcullis.toml:2:11", "strikes-out-of-range"],
        ),
        ("", &["no-door"]),
    ] {
        let (_folder, path) = config(text);
        let path = path.to_str().unwrap();
        for command in ["check", "apply", "run", "compile"] {
            refused(&portcullis(&[command, path]), 1, said);
        }
        assert_eq!(loaded(), before, "{text}");
    }
    drop(world);
}

fn no_such_interface() {
    let _lab = Lab::new().unwrap();
    let (_folder, path) = config(&format!("[gate]\ninterfaces = [\"eth7\"]\n{GOOD}"));
    let path = path.to_str().unwrap();
    for command in ["apply", "run"] {
        refused(&portcullis(&[command, path]), 3, &["eth7"]);
        assert!(Table::open().unwrap().state().unwrap().is_none(), "{command} left a table");
    }
}

fn no_such_file() {
    for command in ["check", "apply", "run", "compile"] {
        refused(
            &portcullis(&[command, "/nowhere/portcullis.toml"]),
            3,
            &["/nowhere/portcullis.toml"],
        );
    }
}

/// Runs the program in this folder; a program that waits for somebody is ended, with another exit code.
fn run_in(folder: &TempDir, script: &str) -> Output {
    let mut command = Command::new("timeout");
    command.args(["20", "sh", "-c", script]).current_dir(folder.path()).env("PROGRAM", program());
    command.stdin(Stdio::null()).output().unwrap()
}

/// A pipe keeps whoever opens it waiting, a device does more than that.
fn no_file() {
    let _lab = Lab::new().unwrap();
    let folder = TempDir::new().unwrap();
    mkfifo(&folder.path().join("pipe"), Mode::S_IRWXU).unwrap();
    for command in ["check", "apply", "run", "compile", "doors", "import", "explain --svg"] {
        for (file, kind) in [("pipe", "named pipe"), ("/dev/zero", "device")] {
            let output = run_in(&folder, &format!("exec \"$PROGRAM\" {command} {file}"));
            refused(&output, 3, &[file, &format!("it is a {kind}, not a regular file")]);
        }
    }
}

fn descriptor() {
    let (folder, _) = config(GOOD);
    for script in [
        "cat portcullis.toml | \"$PROGRAM\" doors -",
        "cat portcullis.toml | \"$PROGRAM\" doors /dev/stdin",
        "cat portcullis.toml | \"$PROGRAM\" doors /dev/fd/7 7<&0",
        "\"$PROGRAM\" doors /proc/self/fd/0 < portcullis.toml",
    ] {
        let output = run_in(&folder, script);
        assert!(output.status.success(), "{script}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("ssh"), "{script}: {output:?}");
    }
}

/// It shows the knocks.
fn picture() {
    let (folder, _) = config(GOOD);
    let at = |name: &str| folder.path().join(name);
    fs::write(at("precious"), "precious").unwrap();
    symlink("precious", at("link")).unwrap();
    mkfifo(&at("pipe"), Mode::S_IRWXU).unwrap();
    let draw = |to: &str| {
        run_in(&folder, &format!("exec \"$PROGRAM\" explain portcullis.toml --svg -o {to}"))
    };
    for (to, said) in [("link", "symbolic link"), ("pipe", "named pipe"), ("/dev/full", "device")] {
        refused(&draw(to), 3, &[&format!("cannot write `{to}`: it is a {said}"), "hint: "]);
    }
    assert_eq!(fs::read_to_string(at("precious")).unwrap(), "precious");
    let drawn = draw("-").stdout;
    assert!(drawn.starts_with(b"<svg") || drawn.starts_with(b"<?xml"), "{}", drawn.len());
    assert_eq!(draw("/dev/stdout").stdout, drawn);
    // A file that was there, and that others could read.
    fs::write(at("new.svg"), "").unwrap();
    fs::set_permissions(at("new.svg"), fs::Permissions::from_mode(0o666)).unwrap();
    assert!(draw("new.svg").status.success());
    assert_eq!(fs::read(at("new.svg")).unwrap(), drawn);
    assert_eq!(fs::metadata(at("new.svg")).unwrap().permissions().mode() & 0o777, 0o600);
}

fn manual() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("precious"), "precious").unwrap();
    let write = || run_in(&folder, "umask 022; exec \"$PROGRAM\" man --to .");
    for _ in 0..2 {
        assert!(write().status.success());
    }
    assert_eq!(fs::metadata(at("portcullis.1")).unwrap().permissions().mode() & 0o777, 0o644);
    fs::remove_file(at("portcullis.1")).unwrap();
    symlink("precious", at("portcullis.1")).unwrap();
    refused(&write(), 3, &["portcullis.1: it is a symbolic link"]);
    assert_eq!(fs::read_to_string(at("precious")).unwrap(), "precious");
}

fn without_permission() {
    let _lab = Lab::new().unwrap();
    let (_folder, path) = config(GOOD);
    for arguments in [
        &["apply", path.to_str().unwrap()][..],
        &["apply", path.to_str().unwrap(), "--confirm-within", "60s"],
        &["confirm", "--yes"],
        &["rollback"],
        &["boot"],
        &["run", path.to_str().unwrap()],
        &["remove"],
    ] {
        let mut command = Command::new("setpriv");
        command.args([
            "--bounding-set",
            "-net_admin,-net_raw",
            "--inh-caps",
            "-net_admin,-net_raw",
            program(),
        ]);
        let output = command.args(arguments).stdin(Stdio::null()).output().unwrap();
        refused(&output, 3, &["root"]);
        assert!(Table::open().unwrap().state().unwrap().is_none());
    }
}

fn wrong_use() {
    for arguments in [
        &["open-sesame"][..],
        &["apply", "--force"],
        &["apply", "--confirm-within", "60"],
        &["apply", "--confirm-within", "0s"],
        &["apply", "--confirm-within", "25h"],
        &["confirm", "now"],
        &["rollback", "now"],
        &["boot", "now"],
        &["compile", "--target", "pf", "/dev/null"],
        &["knock", "127.0.0.1", "tcp/0"],
        &["knock", "127.0.0.1", "tcp/65536"],
        &["knock", "127.0.0.1", "sctp/22"],
        &["knock", "127.0.0.1"],
        &["explain", "tcp/0"],
        &["explain", "tcp/22:xyz"],
        &["demo", "--kernel", "--daemon"],
    ] {
        refused(&portcullis(arguments), 2, &["error"]);
    }
    refused(&portcullis(&["knock", "no-such-host.invalid", "tcp/7"]), 3, &["no-such-host.invalid"]);
    assert!(portcullis(&["--help"]).status.success());
    assert!(portcullis(&["--version"]).status.success());
}

fn apply_remove_and_again() {
    let mut world = World::new(By::Kernel, GOOD);
    let path = world.config.to_str().unwrap().to_owned();
    // Applied again, living grants stay.
    let source = world.new_source(Family::V6);
    world.knock(source, &["tcp/1009", "tcp/4001", "udp/2003"]);
    world.settle();
    assert!(world.run(&["apply", &path]).status.success());
    assert!(world.open_for(source).contains("ssh"));
    assert!(world.run(&["remove"]).status.success());
    assert!(world.gate.state().unwrap().is_none());
    // There is nothing wrong with removing what is not there.
    assert!(world.run(&["remove"]).status.success());
    assert!(world.run(&["apply", &path]).status.success());
    assert!(world.open_for(source).is_empty());
}

fn two_daemons() {
    let world = World::new(By::Daemon, GOOD);
    refused(
        &portcullis(&["run", world.config.to_str().unwrap()]),
        3,
        &["another `portcullis run`"],
    );
}
