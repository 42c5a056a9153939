//! Grants by hand.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use portcullis_lab::{Family, wait_until};

use crate::live::{
    CONFIG, Said, WAYS, config, done, granted, grants, make_small, passes, run, services,
    ssh_session,
};
use crate::world::{self, By, FAMILIES, PATIENCE, World, program, write_config};

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for by in WAYS {
        for family in FAMILIES {
            trials.push(world::trial(format!("a_grant_is_for_one_{by}_{family}"), move || {
                a_grant_is_for_one_source_and_one_door(by, family);
            }));
        }
    }
    trials.push(world::trial("a_grant_ends_by_itself", a_grant_ends_by_itself));
    trials.push(world::trial("a_grant_begins_anew", a_grant_begins_anew));
    trials.push(world::trial("revoke_all", revoke_all));
    trials.push(world::trial("what_cannot_be_granted", what_cannot_be_granted));
    trials.push(world::trial("me", me));
    trials.push(world::trial("me_through_sudo", me_through_sudo));
    trials.push(world::trial("without_a_gate", without_a_gate));
    trials.push(world::trial("a_full_set", a_full_set));
    trials.push(world::trial("doors_that_change_places", doors_that_change_places));
    trials
}

fn a_grant_is_for_one_source_and_one_door(by: By, family: Family) {
    let world = World::new(by, CONFIG);
    let [me, other] = [0, 1].map(|number| world.client.address(family, number));
    let _services = services(&world, me);
    assert!(!passes(&world, me, 22));
    let said = done(&format!("grant ssh {me} --json"), &config(&world));
    let object = said.json();
    assert_eq!(object["door"], "ssh");
    assert_eq!(object["address"], me.to_string());
    assert_eq!(object["length_ms"], 300_000);
    assert_eq!(object["renewed"], false);
    assert_eq!(grants(), [granted("ssh", me)]);
    assert!(passes(&world, me, 22));
    assert!(!passes(&world, other, 22));
    assert!(!passes(&world, me, 443));

    let said = done(&format!("revoke ssh {me} --json"), &[]).json();
    assert_eq!(said["revoked"][0]["address"], me.to_string());
    assert_eq!(said["revoked"][0]["door"], "ssh");
    assert_eq!(said["cut"], serde_json::Value::Null);
    assert_eq!(grants(), []);
    assert!(!passes(&world, me, 22));
    let again = run(&format!("revoke ssh {me}"), &[]);
    assert_eq!((again.code, again.err), (1, format!("{me}: ssh: no grant\n")));
}

fn a_grant_ends_by_itself() {
    let world = World::new(By::Kernel, CONFIG);
    for family in FAMILIES {
        let me = world.client.address(family, 0);
        let _services = services(&world, me);
        let said = done(&format!("grant ssh {me} --for 2s"), &[]);
        assert_eq!(said.err, format!("{me}: ssh: open for 2s\n"));
        assert!(passes(&world, me, 22));
        let shut = || !passes(&world, me, 22);
        assert!(wait_until(Instant::now() + PATIENCE, shut), "still open");
        assert_eq!(grants(), []);
    }
}

fn a_grant_begins_anew() {
    let world = World::new(By::Kernel, CONFIG);
    let me = world.client.address(Family::V4, 0);
    done(&format!("grant ssh {me}"), &config(&world));
    for time in ["1h", "10s", "24h"] {
        let said = done(&format!("grant ssh {me} --for {time} --json"), &[]).json();
        assert_eq!(said["renewed"], true);
        let found = done("grants --json", &[]).json();
        assert_eq!(found["grants"].as_array().unwrap().len(), 1);
        let found = &found["grants"][0];
        assert_eq!(found["length_ms"], said["length_ms"]);
        let remaining = found["remaining_ms"].as_u64().unwrap();
        let length = said["length_ms"].as_u64().unwrap();
        assert!(remaining <= length && remaining + 9_000 > length, "{remaining} of {length}");
    }
    let table = done("grants", &[]).out;
    assert!(table.starts_with("DOOR  ADDRESS"), "{table}");
    assert!(table.contains(&format!("ssh   {me}  ")), "{table}");
    assert!(table.trim_end().ends_with("  24h"), "{table}");
}

fn revoke_all() {
    let world = World::new(By::Kernel, CONFIG);
    let four = world.client.address(Family::V4, 0);
    let six = world.client.address(Family::V6, 0);
    let open = || {
        for (door, who) in [("ssh", four), ("ssh", six), ("web", four), ("vpn", six)] {
            done(&format!("grant {door} {who} --for 5m"), &[]);
        }
    };
    open();
    // Sorted by name, then address.
    let all =
        [granted("ssh", four), granted("ssh", six), granted("vpn", six), granted("web", four)];
    assert_eq!(grants(), all);
    let said = done("revoke --all ssh --json", &[]).json();
    assert_eq!(said["revoked"].as_array().unwrap().len(), 2);
    assert_eq!(grants(), [granted("vpn", six), granted("web", four)]);
    open();
    let said = done("revoke --all", &[]);
    assert_eq!(said.err.lines().count(), 4, "{said:?}");
    assert_eq!(grants(), []);
    assert_eq!(done("revoke --all", &[]).err, "no active grants\n");
}

fn what_cannot_be_granted() {
    let world = World::new(By::Kernel, CONFIG);
    let config = config(&world);
    for (words, code, says) in [
        ("grant nowhere 203.0.113.7", 3, "the loaded gate has no door nowhere"),
        ("grant a\u{1b}[2Jb 203.0.113.7", 3, "the loaded gate has no door a\\u{1b}[2Jb"),
        ("grant ssh 203.0.113.0/24", 2, "is not an IP address"),
        ("grant ssh \u{1b}[2J", 2, "`\\u{1b}[2J` is not an IP address"),
        ("grant ssh 224.0.0.1", 2, "is not the address of a single host"),
        ("grant ssh ::", 2, "is not the address of a single host"),
        ("grant ssh fe80::7", 1, "is a link-local address"),
        ("grant ssh ::ffff:203.0.113.7", 2, "write the IPv4 address 203.0.113.7"),
        ("grant ssh 203.0.113.7 --for 0s", 2, "`--for`: `0s` is too short"),
        ("grant ssh 203.0.113.7 --for 24h1s", 2, "`--for`: `24h1s` is too long"),
        ("grant ssh 203.0.113.7 --for soon", 2, "such as `30s`"),
    ] {
        let said = run(words, &config);
        assert_eq!(said.code, code, "{words}: {said:?}");
        assert!(said.err.contains(says), "{words}: {said:?}");
        assert!(said.err.contains("hint: "), "{words}: {said:?}");
        assert!(!said.err.contains('\u{1b}'), "{words}: {said:?}");
    }
    for (words, code) in [
        ("revoke nowhere 203.0.113.7", 3),
        ("revoke --all nowhere", 3),
        ("revoke ssh 203.0.113.0/24", 2),
        ("revoke ssh", 2),
        ("revoke", 2),
        ("revoke --all ssh 203.0.113.7", 2),
        ("revoke --all --cut", 2),
    ] {
        assert_eq!(run(words, &[]).code, code, "{words}");
    }
    // A loaded door of which the configuration at hand knows nothing, or cannot be read.
    let bad = world.config.with_file_name("bad.toml");
    for text in ["", "[door.ssh"] {
        write_config(&bad, text);
        let said = run("grant ssh 203.0.113.7", &["--config", bad.to_str().unwrap()]);
        assert_eq!(said.code, 3, "{said:?}");
        assert!(said.err.contains("--for 30s"), "{said:?}");
    }
    assert_eq!(run("grant ssh 203.0.113.7 --config /nowhere", &[]).code, 3);
    assert_eq!(grants(), []);
}

fn me() {
    let world = World::new(By::Kernel, CONFIG);
    let me = world.client.address(Family::V6, 0);
    let connection = format!("{me} 40000 {} 22", world.host(me));
    let said = ssh_session("grant ssh me --for 5m", Some(&connection));
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(grants(), [granted("ssh", me)]);
    // Whoever runs the tests over SSH has a session.
    if std::env::var_os("SSH_CONNECTION").is_none() {
        let said = ssh_session("grant ssh me --for 5m", None);
        assert_eq!(said.code, 3);
        assert!(said.err.contains("this is not an SSH session"), "{said:?}");
    }
    assert_eq!(ssh_session("revoke ssh me", Some(&connection)).code, 0);
    assert_eq!(grants(), []);
}

/// `sudo -i` takes SSH_CONNECTION away; all commands still know whose session it is.
fn me_through_sudo() {
    let world = World::new(By::Kernel, &format!("{CONFIG}\n[ban]\nstrikes = 5\n"));
    let path = world.config.to_str().unwrap();
    let state = world.config.with_file_name("state");
    let state = state.to_str().unwrap();
    for family in FAMILIES {
        let me = world.client.address(family, 0);
        let connection = format!("{me} 40000 {} 22", world.host(me));
        let sudo = |words: &[&str]| -> Said {
            let mut command = std::process::Command::new("/bin/sh");
            // The shell has to stay: it is the one that knows.
            command.args(["-c", "env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \"$@\"; exit $?", "sh"]);
            command.arg(program()).args(words).env("SSH_CONNECTION", &connection);
            command.output().unwrap().into()
        };
        let said = sudo(&["apply", path, "--state-dir", state]);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.err.contains(&format!("has no grant for {me}")), "{said:?}");
        let said = sudo(&["ban", "me"]);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(
            said.err.contains(&format!("would ban {me}, the address of your own SSH session")),
            "{said:?}"
        );
        let said = sudo(&["ban", &me.to_string()]);
        assert_eq!(said.code, 1, "{said:?}");
        let said = sudo(&["grant", "ssh", "me", "--for", "5m"]);
        assert_eq!(said.code, 0, "{said:?}");
        assert_eq!(grants(), [granted("ssh", me)]);
        assert_eq!(sudo(&["apply", path, "--state-dir", state]).code, 0);
        assert_eq!(sudo(&["revoke", "ssh", "me"]).code, 0);
    }
}

fn without_a_gate() {
    let world = World::new(By::Kernel, CONFIG);
    world.done(&["remove"]);
    for words in ["grant ssh 203.0.113.7 --for 5m", "revoke ssh 203.0.113.7", "revoke --all"] {
        let said = run(words, &[]);
        assert_eq!(said.code, 3, "{words}: {said:?}");
        assert!(said.err.contains("portcullis apply"), "{words}: {said:?}");
    }
    assert_eq!(grants(), []);
    let path = world.config.to_str().unwrap();
    let doors = done("doors --json", &[path]).json();
    assert_eq!(doors["doors"][0]["grants"], serde_json::Value::Null);
}

fn a_full_set() {
    let world = World::new(By::Kernel, CONFIG);
    make_small(&world, "grant4");
    let full = (1..20).find_map(|number| {
        let said = run(&format!("grant ssh 192.0.2.{number} --for 5m"), &[]);
        (said.code != 0).then_some((number, said))
    });
    let (number, said) = full.unwrap();
    assert_eq!(said.code, 3);
    assert!(said.err.contains("the set is full"), "{said:?}");
    assert!(said.err.contains("portcullis revoke"), "{said:?}");
    let living = grants().len();
    assert_eq!(living, number - 1);
    // Who is in the set can be taken out of it, and makes room.
    done("revoke ssh 192.0.2.1", &[]);
    let room = || run("grant ssh 192.0.2.99 --for 5m", &[]).code == 0;
    assert!(wait_until(Instant::now() + Duration::from_secs(10), room));
    done("revoke --all", &[]);
    assert_eq!(grants(), []);
}

/// A grant belongs to a name, not to a number.
fn doors_that_change_places() {
    let world = World::new(By::Kernel, CONFIG);
    let who = world.client.address(Family::V4, 0);
    done(&format!("grant ssh {who} --for 5m"), &[]);
    done(&format!("grant web {who} --for 5m"), &[]);
    // The first door has another name, and the other two have changed places.
    let text = std::fs::read_to_string(&world.config).unwrap();
    let doors: Vec<&str> = text.split("[door.").collect();
    let ssh = doors[1].replace("ssh]", "shell]");
    let text = [doors[0], doors[3], &ssh, doors[2], doors[4]].join("[door.");
    write_config(&world.config, &text);
    world.done(&["apply", world.config.to_str().unwrap()]);
    assert_eq!(grants(), [granted("web", who)]);
    if world::have("nft") {
        let list = std::process::Command::new("nft")
            .args(["list", "map", "inet", "portcullis", "guards"])
            .output()
            .unwrap();
        let list = String::from_utf8(list.stdout).unwrap();
        assert!(list.contains("comment \"shell\""), "{list}");
    }
}
