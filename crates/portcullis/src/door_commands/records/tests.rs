use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::door_commands::job::Began;
use crate::door_commands::orphan::tests::Sleeper;
use crate::exit::Exit;

fn record(id: u64) -> PendingStop {
    PendingStop {
        id: JobId(id),
        door: b"SSH".to_vec(),
        address: [203, 0, 113, u8::try_from(id).unwrap()].into(),
        stop: format!("close {id}").into(),
        began: Began::Unknown,
        due: None,
    }
}

fn now() -> Instant {
    Instant::from_millis(1000)
}

fn open(dir: &Path) -> (Store, Found) {
    Store::open(dir, JobId(0), now()).unwrap()
}

/// A store with these records, whose daemon has died without a word.
fn dead(dir: &Path, records: &[PendingStop]) {
    let (mut store, _) = open(dir);
    for record in records {
        store.write(record).unwrap();
    }
}

fn stops(found: &Found) -> Vec<String> {
    let mut stops: Vec<_> =
        found.leftovers.iter().map(|left| left.record.stop.display().to_string()).collect();
    stops.sort();
    stops
}

fn content(dir: &Path) -> Vec<String> {
    names(dir).unwrap()
}

#[test]
fn a_store_that_is_not_used_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("a/b");
    let (store, found) = open(&dir);
    assert!(found.leftovers.is_empty() && found.alive.is_empty() && found.troubles.is_empty());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    let own = store.own().unwrap().path.clone();
    assert_eq!((mode(&own), mode(&own.join(LOCK))), (0o700, 0o600));
    drop(store);
    assert_eq!(content(&dir), [LOCK]);
}

#[test]
fn what_the_dead_had_pending_is_found_and_forgotten_when_done() {
    let dir = tempfile::tempdir().unwrap();
    dead(dir.path(), &[record(1), record(2), record(30)]);
    let (mut store, found) = Store::open(dir.path(), JobId(100), now()).unwrap();
    assert_eq!(stops(&found), ["close 1", "close 2", "close 30"]);
    for (left, (before, id)) in found.leftovers.iter().zip([(1, 100), (2, 101), (30, 102)]) {
        assert_eq!(left.record, PendingStop { id: JobId(id), ..record(before) });
        assert_eq!(left.due, now());
        assert!(left.orphan.is_none());
    }
    store.forget(JobId(101)).unwrap();
    drop(store);
    let (mut store, found) = open(dir.path());
    assert_eq!(stops(&found), ["close 1", "close 30"]);
    for left in found.leftovers {
        store.forget(left.record.id).unwrap();
    }
    assert_eq!(content(dir.path()).len(), 2, "the lock, and our own folder");
    drop(store);
    assert_eq!(content(dir.path()), [LOCK]);
}

#[test]
fn what_is_forgotten_is_gone_and_another_time_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    store.write(&record(1)).unwrap();
    store.sign(JobId(1)).unwrap();
    store.forget(JobId(1)).unwrap();
    store.forget(JobId(1)).unwrap();
    assert_eq!(content(&store.own().unwrap().path), [LOCK]);
    // There is no sign without a record.
    assert!(store.sign(JobId(1)).is_err());
}

#[test]
fn daemons_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let (mut first, _) = open(dir.path());
    first.write(&record(1)).unwrap();
    let (mut second, found) = open(dir.path());
    assert!(found.leftovers.is_empty());
    let open_there = vec![PendingStop { id: JobId(0), ..record(1) }];
    assert_eq!(found.alive, [Alive { pid: Some(std::process::id()), open: open_there }]);
    second.write(&record(2)).unwrap();
    let lock = first.own().unwrap().path.join(LOCK);
    drop(first);
    // As if it had been another process.
    fs::write(lock, "1234567\n").unwrap();
    let (third, found) = open(dir.path());
    assert_eq!(stops(&found), ["close 1"]);
    assert_eq!(found.alive.len(), 1);
    // Taken over, it is no longer anybody else's.
    let found = open(dir.path()).1;
    assert!(found.leftovers.is_empty());
    let pids: Vec<_> = found.alive.iter().map(|daemon| daemon.pid).collect();
    assert_eq!(pids, [Some(std::process::id()); 3]);
    drop((second, third));
    assert_eq!(stops(&open(dir.path()).1), ["close 1", "close 2"]);
}

#[test]
fn a_chain_of_crashes_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for id in 0..5 {
        let (mut store, found) = Store::open(dir.path(), JobId(0), now()).unwrap();
        assert_eq!(found.leftovers.len(), id);
        let id = u64::try_from(id).unwrap();
        store.write(&record(id)).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn an_orderly_end_hands_over_the_time() {
    let dir = tempfile::tempdir().unwrap();
    let due = Instant::from_millis(900_000);
    let handed = PendingStop { began: Began::Succeeded, due: Some(due), ..record(1) };
    let (mut store, _) = open(dir.path());
    store.write(&record(1)).unwrap();
    store.write(&handed).unwrap();
    store.write(&record(2)).unwrap();
    drop(store);
    // Looked at by the daemon of another boot it is due at once; it may not be changed by that.
    for (boot, expected) in [("another", now()), ("", now())] {
        let here = Here { boot: boot.to_owned(), ..Here::now() };
        let (_store, found) = Store::open_here(dir.path(), here, JobId(0), now()).unwrap();
        assert_eq!(found.leftovers.iter().map(|left| left.due).max(), Some(expected));
    }
    let (_store, found) = open(dir.path());
    let dues: Vec<Instant> = found.leftovers.iter().map(|left| left.due).collect();
    assert_eq!(dues, [due, now()]);
    assert_eq!(found.leftovers[0].record, PendingStop { id: JobId(0), ..handed });
}

#[test]
fn what_was_taken_over_can_be_handed_over_again() {
    let dir = tempfile::tempdir().unwrap();
    dead(dir.path(), &[record(1)]);
    let (mut store, found) = open(dir.path());
    let due = Some(Instant::from_millis(7000));
    store.write(&PendingStop { due, ..found.leftovers[0].record.clone() }).unwrap();
    drop(store);
    let (_store, found) = open(dir.path());
    assert_eq!(stops(&found), ["close 1"]);
    assert_eq!(Some(found.leftovers[0].due), due);
}

#[test]
fn what_is_damaged_is_set_aside_and_the_rest_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    store.write(&record(1)).unwrap();
    store.write(&record(2)).unwrap();
    let own = store.own().unwrap().path.clone();
    let whole = fs::read(own.join("1.record")).unwrap();
    fs::write(own.join("3.record"), &whole[..whole.len() - 1]).unwrap();
    fs::write(own.join("4.record"), "rm -rf /\n").unwrap();
    fs::write(own.join("5.record"), "").unwrap();
    fs::write(own.join("6.record"), vec![b'a'; format::LONGEST + 1]).unwrap();
    symlink(own.join("1.record"), own.join("7.record")).unwrap();
    fs::create_dir(own.join("8.record")).unwrap();
    // These had not been written to the end when their daemon died.
    fs::write(own.join("9.new"), &whole).unwrap();
    fs::write(own.join("9.sign"), "").unwrap();
    drop(store);

    let (store, found) = open(dir.path());
    assert_eq!(stops(&found), ["close 1", "close 2"]);
    assert_eq!(found.troubles.len(), 6, "{:?}", found.troubles);
    let damaged: Vec<String> =
        content(dir.path()).into_iter().filter(|name| name.ends_with(".damaged")).collect();
    assert_eq!(damaged.len(), 6);
    for name in &damaged {
        let shown = dir.path().join(name).display().to_string();
        assert!(found.troubles.iter().any(|trouble| trouble.ends_with(&shown)));
    }
    drop(store);
    let (mut store, found) = open(dir.path());
    assert!(found.troubles.is_empty());
    for left in found.leftovers {
        store.forget(left.record.id).unwrap();
    }
    drop(store);
    assert_eq!(content(dir.path()).len(), 1 + damaged.len(), "{:?}", content(dir.path()));
}

#[test]
fn a_daemon_that_died_while_it_began_leaves_no_trouble() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("daemon-1-0")).unwrap();
    fs::create_dir(dir.path().join("daemon-1-1")).unwrap();
    fs::write(dir.path().join("daemon-1-1/lock"), "").unwrap();
    fs::write(dir.path().join("daemon-5"), "").unwrap();
    fs::create_dir(dir.path().join("something")).unwrap();
    let (_store, found) = open(dir.path());
    assert!(found.troubles.is_empty() && found.leftovers.is_empty() && found.alive.is_empty());
    let rest = content(dir.path());
    assert!(!rest.iter().any(|name| name.starts_with("daemon-1-")), "{rest:?}");
    assert!(rest.contains(&"something".to_owned()));
}

#[track_caller]
fn refused(dir: &Path, expected: &str) {
    for failure in [
        Store::open(dir, JobId(0), now()).map(drop).unwrap_err(),
        Store::of_the_dead(dir, JobId(0), now()).map(drop).unwrap_err(),
    ] {
        assert_eq!(failure.exit, Exit::CouldNot);
        assert!(failure.message.contains(expected), "{failure}");
        assert!(failure.hint.is_some(), "{failure}");
    }
}

#[test]
fn a_folder_that_others_can_change_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    dead(dir.path(), &[record(1)]);
    for mode in [0o720, 0o702, 0o777, 0o1777] {
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        refused(dir.path(), "can be changed by others");
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(stops(&open(dir.path()).1), ["close 1"]);
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    refused(&file, "is not a directory");
}

#[test]
fn a_folder_or_record_of_somebody_else_is_refused() {
    // Only root can give files away; an ordinary user is shown one of root's.
    if !geteuid().is_root() {
        return refused(Path::new("/usr"), "belongs to another user");
    }
    let dir = tempfile::tempdir().unwrap();
    dead(dir.path(), &[record(1), record(2)]);
    let somebody = Some(nix::unistd::Uid::from_raw(12_345));
    let Ok(()) = nix::unistd::chown(dir.path(), somebody, None) else {
        return; // root of a namespace of one user
    };
    refused(dir.path(), "belongs to another user");
    nix::unistd::chown(dir.path(), Some(geteuid()), None).unwrap();
    let own = content(dir.path()).into_iter().find(|name| name.starts_with(FOLDER)).unwrap();
    nix::unistd::chown(&dir.path().join(own).join("1.record"), somebody, None).unwrap();
    let (_store, found) = open(dir.path());
    assert_eq!(stops(&found), ["close 2"]);
    assert_eq!(found.troubles.len(), 1);
}

#[test]
fn what_cannot_be_written_leaves_no_record() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    let own = store.own().unwrap().path.clone();
    let huge = PendingStop { stop: "x".repeat(format::LONGEST).into(), ..record(1) };
    assert!(store.write(&huge).is_err());
    // Something is in the way, so that the last step fails.
    fs::create_dir(own.join("2.record")).unwrap();
    assert!(store.write(&record(2)).is_err());
    fs::remove_dir(own.join("2.record")).unwrap();
    assert_eq!(content(&own), [LOCK]);

    // A record that is there stays, when it cannot be replaced.
    store.write(&record(3)).unwrap();
    fs::create_dir(own.join("3.new")).unwrap();
    assert!(store.write(&PendingStop { due: Some(now()), ..record(3) }).is_err());
    drop(store);
    assert_eq!(stops(&open(dir.path()).1), ["close 3"]);
}

#[test]
fn who_only_closes_makes_no_folder_and_records_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    assert!(Store::of_the_dead(&missing, JobId(0), now()).unwrap().is_none());
    assert!(!missing.exists());
    dead(dir.path(), &[record(1)]);
    let (mut store, found) = Store::of_the_dead(dir.path(), JobId(0), now()).unwrap().unwrap();
    assert_eq!(stops(&found), ["close 1"]);
    assert!(store.write(&record(9)).is_err());
    store.forget(JobId(0)).unwrap();
    assert_eq!(content(dir.path()), [LOCK]);
}

#[test]
fn a_command_that_outlives_its_daemon_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    for id in [1, 2] {
        store.write(&record(id)).unwrap();
    }
    let sign = store.sign(JobId(1)).unwrap();
    let sleeper = Sleeper::new(Some(&sign));
    store.sign(JobId(2)).unwrap();
    drop((store, sign));

    for (here, known) in [
        (Here { boot: "another".to_owned(), ..Here::now() }, false),
        (Here { pids: 1, ..Here::now() }, false),
        (Here::now(), true),
    ] {
        let (_store, found) = Store::open_here(dir.path(), here, JobId(0), now()).unwrap();
        let orphans: Vec<bool> = found.leftovers.iter().map(|left| left.orphan.is_some()).collect();
        assert_eq!(orphans, [known, false]);
    }
    drop(sleeper);
    assert!(open(dir.path()).1.leftovers.iter().all(|left| left.orphan.is_none()));
}
