//! `portcullis explain --svg` from outside: the pictures in `docs/pictures` are what it draws now
//! (`PORTCULLIS_BLESS=1` draws them anew), and files that it writes are for their owner alone.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Each picture, the configuration in it, and who sends which packets.
const PICTURES: [(&str, &str, &[&str]); 8] = [
    ("shortest", "docs/examples/shortest.toml", &[]),
    ("closed", "docs/examples/closed.toml", &[]),
    ("full", "docs/examples/full.toml", &[]),
    ("five-doors", "crates/portcullis/tests/pictures/five.toml", &[]),
    ("twenty-doors", "crates/portcullis/tests/pictures/twenty.toml", &[]),
    (
        "knocking",
        "docs/examples/shortest.toml",
        &["tcp/22", "tcp/7431", "udp/29117", "tcp/1123", "tcp/22"],
    ),
    (
        "in-vain",
        "docs/examples/shortest.toml",
        &["tcp/7431", "tcp/99", "udp/29117", "+1s", "tcp/7431", "+6s", "udp/29117", "tcp/22"],
    ),
    (
        "ipv6",
        "docs/examples/full.toml",
        &[
            "--from=2001:db8:ffff:eeee:dddd:cccc:bbbb:aaaa",
            "--rules",
            "udp/40961",
            "+4s",
            "tcp/10007",
            "tcp/8443:ack",
            "tcp/80",
        ],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn explain(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.current_dir(root()).arg("explain").args(args).output().unwrap()
}

#[test]
fn the_pictures_of_the_documentation_are_current() {
    let bless = std::env::var_os("PORTCULLIS_BLESS").is_some();
    let mut old = Vec::new();
    for (name, config, packets) in PICTURES {
        let output = explain(&[&[config, "--svg"], packets].concat());
        assert!(output.status.success(), "{name}: {output:?}");
        let path = root().join(format!("docs/pictures/{name}.svg"));
        if bless {
            fs::write(&path, &output.stdout).unwrap();
        }
        let drawn = String::from_utf8(output.stdout).unwrap();
        roxmltree::Document::parse(&drawn).unwrap();
        if fs::read_to_string(&path).unwrap_or_default() != drawn {
            old.push(name);
        }
    }
    assert!(old.is_empty(), "PORTCULLIS_BLESS=1 draws these anew: {old:?}");
    // And there are no others.
    let all = fs::read_dir(root().join("docs/pictures")).unwrap().count();
    assert_eq!(all, PICTURES.len());
    // Every example has its picture.
    for example in fs::read_dir(root().join("docs/examples")).unwrap() {
        let name = example.unwrap().file_name().into_string().unwrap();
        assert!(PICTURES.iter().any(|(_, config, packets)| {
            packets.is_empty() && *config == format!("docs/examples/{name}")
        }));
    }
}

#[test]
fn a_picture_is_written_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.svg");
    // Longer than the picture, and open to all.
    fs::write(&path, "x".repeat(1_000_000)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let config = "docs/examples/shortest.toml";
    let output = explain(&[config, "--svg", "-o", path.to_str().unwrap()]);
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read(&path).unwrap(), explain(&[config, "--svg"]).stdout);
    // Where a link leads is not for us to say.
    let link = folder.path().join("link.svg");
    symlink(&path, &link).unwrap();
    let output = explain(&[config, "--svg", "-o", link.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}

#[test]
fn what_cannot_be_drawn_is_said() {
    let config = "docs/examples/shortest.toml";
    for wrong in
        [&[config][..], &[], &[config, "tcp/22", "-o", "x.svg"], &[config, "--svg", "tcp/0"]]
    {
        let output = explain(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {output:?}");
        assert!(output.stdout.is_empty());
    }
    let output = explain(&[config, "--svg", "-o", "/nowhere/x.svg", "tcp/22"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("`/nowhere/x.svg`"));
}

/// The same rules in the words of iptables.
#[test]
fn packets_of_the_iptables_back_ends_are_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let shortest = fs::read_to_string(root().join("docs/examples/shortest.toml")).unwrap();
    for backend in ["iptables", "ipset"] {
        let path = folder.path().join("portcullis.toml");
        fs::write(&path, format!("[gate]\nbackend = \"{backend}\"\n{shortest}")).unwrap();
        let path = path.to_str().unwrap();
        let packets = ["tcp/7431", "udp/29117", "tcp/1123", "tcp/22"];
        for args in [&[path, "--svg"][..], &[&[path, "--svg"], &packets[..]].concat()] {
            let output = explain(args);
            assert!(output.status.success(), "{output:?}");
            let drawn = String::from_utf8(output.stdout).unwrap();
            roxmltree::Document::parse(&drawn).unwrap();
            let all = ["ssh is open", "29.9s left", "2 of 3 knocks at ssh", "portcullis-knock"];
            let packets = args.len() > 2;
            assert!(all.iter().all(|text| drawn.contains(text) == packets), "{drawn}");
        }
    }
}
