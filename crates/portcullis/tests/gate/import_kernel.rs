//! Doors that were imported from the articles' own lines, on the real kernel.

use libtest_mimic::Trial;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use portcullis_lab::service::{Echo, talk};
use portcullis_lab::{Family, world};
use world::{By, FAMILIES, PATIENCE, World, trial};

/// What the program makes of a file.
fn imported(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import");
    let output = Command::new(world::program()).args(["import", file]).current_dir(folder).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

/// Somebody who can connect: the client, from its own address.
fn comes_in(world: &World, family: Family, wait: Duration) -> bool {
    let to = SocketAddr::new(world.client.host(family), 22);
    match world.client.connect(world.client.address(family, 0), to, wait) {
        Ok(mut stream) => talk(&mut stream, b"hello", PATIENCE).unwrap(),
        Err(_) => false,
    }
}

/// The door opens for these knocks, and for nothing that opened the original.
fn opens(file: &str, knocks: &[&str]) {
    let mut world = World::new(By::Kernel, &imported(file));
    for family in FAMILIES {
        let _echo = Echo::start(SocketAddr::new(world.client.host(family), 22)).unwrap();
        let me: IpAddr = world.client.address(family, 0);
        assert!(!comes_in(&world, family, PATIENCE / 40), "{file}: open without a knock");
        // Three packets to any port were enough.
        world.knock(me, &["tcp/7001", "tcp/7002", "tcp/7003"]);
        let reversed: Vec<_> = knocks.iter().rev().copied().collect();
        world.knock(me, &reversed);
        world.settle();
        assert!(world.open_for(me).is_empty(), "{file}");
        world.knock(me, knocks);
        world.settle();
        assert!(world.open_for(me).contains("ssh"), "{file}: closed after the knocks");
        assert!(comes_in(&world, family, PATIENCE), "{file}: closed after the knocks");
    }
}

pub fn trials() -> Vec<Trial> {
    vec![
        trial("the door of the iplock article, from its own lines", || {
            opens("iplock/article.conf", &["tcp/100", "udp/300", "tcp/200"]);
        }),
        trial("the rule list of the iplock article", || {
            opens("recipes/article-iplock.rules", &["tcp/100", "tcp/300", "tcp/200"]);
        }),
        trial("the firewall of the iptables article, with the knocks that were drawn", || {
            let toml = imported("recipes/article-iptables-full.rules");
            let policy = portcullis::config::parse_str("x", &toml).unwrap().policy;
            let knocks: Vec<_> = policy.doors[0].sequence.iter().map(ToString::to_string).collect();
            let mut world = World::new(By::Kernel, &toml);
            let source = world.new_source(Family::V6);
            world.knock(source, &["tcp/1000"]);
            world.settle();
            assert!(world.open_for(source).is_empty());
            world.knock(source, &knocks.iter().map(String::as_str).collect::<Vec<_>>());
            world.settle();
            assert!(world.open_for(source).contains("ssh"));
        }),
    ]
}
