//! What `status` and `doors` say.

use std::process::Command;
use std::time::Instant;

use libtest_mimic::Trial;
use portcullis_lab::{Family, wait_until};
use serde_json::{Value, json};

use crate::live::{CONFIG, done, run};
use crate::world::completions::completions;
use crate::world::{self, By, PATIENCE, World, write_config};

pub fn trials() -> Vec<Trial> {
    vec![
        world::trial("status_of_the_rules_alone", status_of_the_rules_alone),
        world::trial("status_with_the_daemon", status_with_the_daemon),
        world::trial("status_of_a_changed_table", status_of_a_changed_table),
        world::trial("status_without_a_configuration", status_without_a_configuration),
        world::trial("who_is_knocking", who_is_knocking),
        world::trial("doors_keep_their_secret", doors_keep_their_secret),
        world::trial("a_shell_completes_names", a_shell_completes_names),
    ]
}

fn status(world: &World) -> (i32, Value) {
    let said = run("status --json", &[world.config.to_str().unwrap()]);
    (said.code, said.json())
}

fn status_of_the_rules_alone() {
    let world = World::new(By::Kernel, CONFIG);
    let path = world.config.to_str().unwrap();
    done("grant web 203.0.113.7 --for 5m", &[]);
    done("grant web 2001:db8::7 --for 5m", &[]);
    let door = |name: &str, grants: usize| json!({ "name": name, "recogniser": "kernel", "loaded": true, "grants": grants });
    let expected = json!({
        "file": path,
        "in_force": true,
        "loaded": true,
        "backend": "nftables",
        "difference": null,
        "findings": [],
        "daemon": false,
        "attempts": 0,
        "trial_ms": null,
        "grants": 2,
        "bans": 0,
        "doors": [door("ssh", 0), door("web", 2), door("vpn", 0), door("sentinel", 0)],
    });
    assert_eq!(status(&world), (0, expected));
    let said = done("status", &[path]);
    assert!(
        said.out.starts_with(&format!("gate      active, as configured in {path}\n")),
        "{said:?}"
    );
    assert!(said.out.contains("\nweb       kernel      2\n"), "{said:?}");
    assert_eq!(said.err, "");

    world.done(&["remove"]);
    let (code, found) = status(&world);
    assert_eq!((code, &found["in_force"], &found["loaded"]), (1, &json!(false), &json!(false)));
    assert_eq!(found["doors"][0]["loaded"], json!(false));
    let said = run("status", &[path]);
    assert_eq!(said.code, 1);
    assert!(said.out.starts_with("gate      not loaded; all guarded ports are open\n"), "{said:?}");
    assert!(said.err.contains("portcullis apply"), "{said:?}");
}

fn status_with_the_daemon() {
    let mut world = World::new(By::Daemon, CONFIG);
    let (code, found) = status(&world);
    assert_eq!((code, &found["daemon"]), (0, &json!(true)));
    assert_eq!(found["doors"][0]["recogniser"], "daemon");
    // Where the rules are gone it is the daemon that should load them.
    world.done(&["remove"]);
    let said = run("status", &[world.config.to_str().unwrap()]);
    assert!(said.code == 1 && said.err.contains("SIGHUP"), "{said:?}");
    let daemon = world.daemon.as_ref().unwrap();
    daemon.signal(nix::sys::signal::Signal::SIGHUP).unwrap();
    assert!(wait_until(Instant::now() + PATIENCE, || status(&world).0 == 0));
    // To ask was not to take its place: the daemon goes on, and can be started anew.
    world.settle();
    world.daemon.take().unwrap().kill().unwrap();
    let said = run("status", &[world.config.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("\ndaemon    not running\n"), "{said:?}");
    assert!(said.err.contains("knocks cannot open 4 doors"), "{said:?}");
    world.start_daemon();
    assert_eq!(status(&world).1["daemon"], json!(true));
}

fn status_of_a_changed_table() {
    let world = World::new(By::Kernel, CONFIG);
    if !world::have("nft") {
        return;
    }
    let nft = |words: &str| {
        assert!(Command::new("nft").args(words.split(' ')).status().unwrap().success(), "{words}");
    };
    nft("insert rule inet portcullis input accept");
    let (code, found) = status(&world);
    assert_eq!((code, &found["in_force"], &found["loaded"]), (1, &json!(false), &json!(true)));
    let difference = found["difference"].as_str().unwrap();
    assert!(difference.starts_with("chain input: has"), "{difference}");
    let path = world.config.to_str().unwrap();
    let said = run("status", &[path]);
    assert!(
        said.out.contains(&format!("loaded, but different from {path}: chain input")),
        "{said:?}"
    );
    assert!(said.err.contains("portcullis apply"), "{said:?}");
    world.done(&["apply", path]);
    assert_eq!(status(&world).0, 0);

    // Somebody writes what may not come near a terminal, and gives grants to no door, for ever.
    let hostile = "\u{1b}]0;owned\u{7}";
    let script = format!(
        "delete element inet portcullis guards {{ tcp . 22 }}; \
         add element inet portcullis guards {{ tcp . 22 comment \"{hostile}\" : 0:1 }}; \
         add element inet portcullis grant4 {{ 192.0.2.1 . 0:1 timeout 1h }}; \
         add element inet portcullis grant4 {{ 192.0.2.2 . 0:4d timeout 1h }}"
    );
    assert!(Command::new("nft").arg(&script).status().unwrap().success());
    for words in ["status", "grants"] {
        let file = [path];
        let said = run(words, if words == "status" { &file } else { &[] });
        assert!(!said.out.contains('\u{1b}') && !said.out.contains('\u{7}'), "{said:?}");
        assert!(said.out.contains("\\u{1b}]0;owned\\u{7}"), "{said:?}");
    }
    let found = done("grants --json", &[]);
    assert!(!found.out.contains('\u{1b}') && !found.out.contains('\u{7}'), "{found:?}");
    assert_eq!(found.json()["grants"][0]["door"], Value::Null);
    assert!(done("grants", &[]).out.contains("(door 77)"));
    // And all of it can be taken back.
    done("revoke --all", &[]);
    assert_eq!(done("grants --json", &[]).json(), json!({ "grants": [] }));
}

fn status_without_a_configuration() {
    let world = World::new(By::Kernel, CONFIG);
    done("grant ssh 203.0.113.7 --for 5m", &[]);
    let bad = world.config.with_file_name("bad.toml");
    write_config(&bad, "[door.ssh");
    let said = run("status --json", &[bad.to_str().unwrap()]);
    assert_eq!(said.code, 1, "{said:?}");
    let missing = run("status --json", &["/nowhere/portcullis.toml"]);
    assert_eq!(missing.code, 3, "{missing:?}");
    for said in [said, missing] {
        let found = said.json();
        assert_eq!((&found["in_force"], &found["loaded"]), (&json!(false), &json!(true)));
        let ssh = json!({ "name": "ssh", "recogniser": null, "loaded": true, "grants": 1 });
        assert_eq!(found["doors"][0], ssh);
        assert!(said.err.contains("error"), "{said:?}");
    }
}

fn who_is_knocking() {
    // With a door that forgives, the kernel keeps states for longer.
    for tolerate in ["", "tolerate = 1"] {
        let config =
            CONFIG.replace("open_for", &format!("{tolerate}\nstep_timeout = \"5m\"\nopen_for"));
        let mut world = World::new(By::Kernel, &config);
        let sources = [Family::V4, Family::V4, Family::V6, Family::V4].map(|f| world.new_source(f));
        let [one, two, three, through] = sources;
        world.knock(one, &["tcp/1009"]);
        world.knock(two, &["tcp/6007", "udp/3001"]);
        world.knock(three, &["udp/7007"]);
        world.knock(through, &["tcp/1009", "tcp/4001", "udp/2003"]);
        world.settle();
        let (code, found) = status(&world);
        assert_eq!((code, &found["attempts"]), (0, &json!(3)), "{tolerate}");
    }
}

/// Of the doors and of those who may pass, as the kernel has them.
fn a_shell_completes_names() {
    let _world = World::new(By::Kernel, CONFIG);
    done("grant ssh 203.0.113.7 --for 5m", &[]);
    assert_eq!(completions(&["portcullis", "grant", "ss"]).trim(), "ssh");
    assert_eq!(completions(&["portcullis", "revoke", "we"]).trim(), "web");
    assert_eq!(completions(&["portcullis", "revoke", "ssh", "203"]).trim(), "203.0.113.7");
}

fn doors_keep_their_secret() {
    let world = World::new(By::Kernel, CONFIG);
    let path = world.config.to_str().unwrap();
    done("grant ssh 203.0.113.7 --for 5m", &[]);
    let mut expected = json!({
        "name": "ssh",
        "guards": ["tcp/22"],
        "knocks": 3,
        "step_timeout_ms": 5_000,
        "open_for_ms": 300_000,
        "recogniser": "kernel",
        "grants": 1,
    });
    let found = done("doors --json", &[path]);
    let mut door = found.json()["doors"][0].take();
    let bits = door.as_object_mut().unwrap().remove("bits").unwrap();
    assert!((45.0..55.0).contains(&bits.as_f64().unwrap()), "{bits}");
    assert_eq!(door, expected);
    let table = done("doors", &[path]).out;
    for secret in ["1009", "4001", "2003", "3001"] {
        assert!(!found.out.contains(secret) && !table.contains(secret), "{table}");
    }
    assert!(table.contains("ssh       tcp/22            3 knocks"), "{table}");

    expected["sequence"] = json!(["tcp/1009", "tcp/4001", "udp/2003"]);
    let mut door = done("doors --json --show-sequences", &[path]).json()["doors"][0].take();
    door.as_object_mut().unwrap().remove("bits");
    assert_eq!(door, expected);
    assert!(done("doors --show-sequences", &[path]).out.contains("tcp/1009 tcp/4001 udp/2003"));
}
