//! What is written to the log, byte for byte (section 1.4 of the reference).

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::thread;
use std::time::Instant;

use nix::sys::signal::Signal;
use portcullis_lab::{Family, wait_until};

use super::{Row, v4, v6};
use crate::both::daemon::{Daemon, Setup, dev_with_log};
use crate::both::house::House;
use crate::both::{PATIENCE, SIDES, Which};

const A: &str = "[A]\nsequence = 7000,8000\n";

pub const ROWS: &[Row] = &[
    Row {
        name: "a failing start command is told of and its stop command is run",
        config: "[A]\nsequence = 7000\ncmd_timeout = 0\nstart_command = echo A start %IP% >> ran; exit 3\nstop_command = echo A stop %IP% >> ran; exit 255\n",
        scripts: &[v4("7000", "A 1; A !").ran(&["A start %IP%", "A stop %IP%"])],
    },
    Row {
        name: "a killed command has status 0",
        config: "[A]\nsequence = 7000\nstart_command = echo A start %IP% >> ran; kill -9 $$\n",
        scripts: &[v4("7000", "A 1; A !").ran(&["A start %IP%"])],
    },
    Row {
        name: "timeouts",
        config: "[A]\nsequence = 7000,8000,9000\nseq_timeout = 2\n[B]\nsequence = 7000,8001\nseq_timeout = 1000\n",
        scripts: &[
            v4("7000 8000 wait:3100", "A 1; B 1; A 2; A: sequence timeout (stage 2)⏎"),
            v6("7000 wait:3100", "A 1; B 1; A: sequence timeout (stage 1)⏎"),
        ],
    },
    Row {
        name: "wrong knocks are not told of",
        config: A,
        scripts: &[v4("8000 7001 9 7000/udp", ""), v6("8000 7001 9 7000/udp", "")],
    },
];

pub const TESTS: &[(&str, fn())] = &[
    ("of_the_beginning_and_the_end", whole_life),
    ("names_of_hosts", names),
    ("to_the_system_log", system_log),
    ("the_same_on_standard_output", verbose),
    ("options_in_the_file_and_on_the_command_line", precedence),
    ("a_pid_file_that_cannot_be_made", no_pid_file),
    ("pid_file_is_written_through_no_link", linked_pid_file),
];

/// The whole log, in order, of one door that opens and closes.
fn whole_life() {
    let house = House::new();
    let setup = Setup::new(
        "[A]\nsequence = 7000,8000\ncmd_timeout = 0\nstart_command = true %IP%\nstop_command = false %IP%\n",
    );
    for which in SIDES {
        let daemon = house.start(which, &setup);
        let source = house.knock("7000 8000");
        daemon.wait_for("the last line", |line| line.starts_with("A: command returned"));
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.wait().unwrap().code(), Some(15));
        let log: Vec<String> = daemon
            .log()
            .into_iter()
            .filter(|line| !line.contains(": sentinel: ") && !line.contains(": anchor: "))
            .collect();
        assert_eq!(
            log,
            [
                "starting up, listening on client".to_owned(),
                format!("{source}: A: Stage 1"),
                format!("{source}: A: Stage 2"),
                format!("{source}: A: OPEN SESAME"),
                format!("A: running command: true {source}⏎"),
                format!("{source}: A: command timeout"),
                format!("A: running command: false {source}⏎"),
                "A: command returned non-zero status code (1)".to_owned(),
                "shutting down".to_owned(),
            ],
            "{which}"
        );
        assert!(daemon.read("log").ends_with("] shutting down\n"), "{which}");
    }
}

/// `-l`, where the names are in /etc/hosts.
fn names() {
    let house = House::new();
    let [first, second] = [house.new_source(Family::V4), house.new_source(Family::V6)];
    let setup = Setup::new(&format!("{A}seq_timeout = 2\n"))
        .arg("-l")
        .file("hosts", &format!("{first} first.example\n{second} second.example\n"))
        .file("nsswitch", "hosts: files\n")
        .mounts("mount --bind DIR/hosts /etc/hosts; mount --bind DIR/nsswitch /etc/nsswitch.conf");
    let daemons = house.start_both(&setup);
    let nobody = house.new_source(Family::V4);
    for source in [first, second, nobody] {
        house.play(source, "7000 8000 7000");
    }
    // Theirs tells of what is late when the next packet comes.
    house.play(nobody, "wait:3100");
    house.same(&daemons, |_| {});
    for daemon in &daemons {
        let log = daemon.log();
        for line in ["A: Stage 1", "A: Stage 2", "A: OPEN SESAME", "A: sequence timeout (stage 1)⏎"]
        {
            assert!(log.contains(&format!("{first} (first.example): {line}")), "{log:#?}");
            assert!(log.contains(&format!("{second} (second.example): {line}")), "{log:#?}");
            assert!(log.contains(&format!("{nobody}: {line}")), "{log:#?}");
        }
    }
}

/// Ident, facility and priority, too.
fn system_log() {
    let mut all = Vec::new();
    for which in SIDES {
        let house = House::new();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // Read all the while: theirs stops when ten messages have not been read.
        let reader = thread::spawn(move || {
            let mut said = Vec::new();
            let mut buffer = [0; 2048];
            while said.last().is_none_or(|last: &String| !last.contains("shutting down")) {
                let length = socket.recv(&mut buffer).unwrap();
                said.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            }
            said
        });
        let setup = Setup::new(&format!(
            "[options]\nUseSyslog\nLogFile = DIR/log\n{A}cmd_timeout = 0\nstart_command = true\nstop_command = false\n"
        ))
        .mounts(&dev_with_log(path.to_str().unwrap()));
        let daemon = house.start(which, &setup);
        let source = house.knock("7000 8000");
        daemon.wait_for("the last line", |line| line.starts_with("A: command returned"));
        daemon.signal(Signal::SIGTERM);
        daemon.wait().unwrap();
        let mut said = reader.join().unwrap();
        said.retain(|text| !text.contains("sentinel") && !text.contains("anchor"));
        for text in &mut said {
            // `<29>Nov 21 03:25:00 knockd: `, where the time is 15 characters.
            let (priority, rest) = text.split_once('>').unwrap();
            let message = rest.get(15..).unwrap().replace(&source.to_string(), "SOURCE");
            *text = format!("{priority}>{message}");
        }
        all.push(said);
    }
    let [theirs, ours] = <[Vec<String>; 2]>::try_from(all).unwrap();
    assert_eq!(theirs[0], "<29> knockd: starting up, listening on client", "{theirs:#?}");
    assert_eq!(theirs, ours);
}

/// `-v`: what concerns knocks stands on standard output too, without the time.
fn verbose() {
    let house = House::new();
    let mut all = Vec::new();
    let source = house.new_source(Family::V4);
    for which in SIDES {
        let daemon = house.start(which, &Setup::new(A).arg("-v"));
        house.play(source, "7000 8000");
        daemon.wait_for_line(&format!("{source}: A: OPEN SESAME"));
        daemon.signal(Signal::SIGTERM);
        daemon.wait().unwrap();
        let begin = format!("{source}: ");
        let lines = || -> Vec<String> {
            daemon.said().into_iter().filter(|line| line.starts_with(&begin)).collect()
        };
        wait_until(Instant::now() + PATIENCE / 4, || lines().len() == 3);
        all.push(lines());
    }
    assert_eq!(all[0].len(), 3);
    assert_eq!(all[0], all[1]);
}

/// The file wins where the log and the pid are written; the command line wins for the interface.
fn precedence() {
    let config = "[options]\nLogFile = DIR/log\nPidFile = DIR/pid\nInterface = nowhere\n";
    let setup = Setup::new(&format!("{config}{A}"))
        .arg("-g")
        .arg("DIR/other")
        .arg("-p")
        .arg("DIR/other-pid")
        .arg("-d");
    for which in SIDES {
        let house = House::new();
        let daemon = in_background(&house, which, &setup);
        daemon.wait_until("with a pid file", || !daemon.read("pid").is_empty());
        let id: i32 = daemon.read("pid").trim().parse().unwrap();
        assert!(daemon.processes().contains(&id), "{which}");
        assert_eq!((daemon.read("other"), daemon.read("other-pid")), Default::default(), "{which}");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), Signal::SIGTERM).unwrap();
        daemon.wait_until("without a pid file", || daemon.read("pid").is_empty());
        daemon.wait_for_line("shutting down");
    }
}

fn no_pid_file() {
    let config = format!("[options]\nLogFile = DIR/log\nPidFile = DIR/nowhere/pid\n{A}");
    for which in SIDES {
        let house = House::new();
        let daemon = in_background(&house, which, &Setup::new(&config).arg("-d"));
        daemon
            .wait_for_line("could not create pid file DIR/nowhere/pid: No such file or directory");
        let source = house.knock("7000 8000");
        daemon.wait_for_line(&format!("{source}: A: OPEN SESAME"));
    }
}

/// Theirs follows it, to any file of root's.
fn linked_pid_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("precious"), "precious").unwrap();
    symlink("precious", at("pid")).unwrap();
    let path = at("pid").display().to_string();
    let config = format!("[options]\nLogFile = DIR/log\nPidFile = {path}\n{A}");
    let house = House::new();
    let daemon = in_background(&house, Which::Ours, &Setup::new(&config).arg("-d"));
    daemon.wait_for_line(&format!("could not create pid file {path}: it is a symbolic link"));
    assert_eq!(fs::read_to_string(at("precious")).unwrap(), "precious");
}

/// With `-d`: the process that is started ends at once, with success.
fn in_background(house: &House, which: Which, setup: &Setup) -> Daemon {
    let daemon = Daemon::spawn(which, setup);
    assert_eq!(daemon.wait().unwrap().code(), Some(0), "{which}: {:?}", daemon.said());
    daemon.wait_for_line("starting up, listening on client");
    house.settle(&[&daemon]);
    let cwd = |id: &i32| fs::read_link(format!("/proc/{id}/cwd")).unwrap();
    assert!(daemon.processes().iter().all(|id| cwd(id) == std::path::Path::new("/")), "{which}");
    daemon
}
