//! `replay`: what it says of real captures is what happened, and of broken ones what can be known.
//! (`tests/gate/table.rs` has it say which doors opened in each scenario there.)

use libtest_mimic::Trial;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufWriter, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use portcullis_lab::packet::Packet;
use portcullis_lab::world;
use serde_json::Value;
use tempfile::TempDir;
use world::recorder::{Recorder, openings, replay};
use world::{By, FAMILIES, World, knock_packet, portcullis, program, write_config};

const CONFIG: &str = r#"
[gate]
stance = "STANCE"
public = ["tcp/80"]
allow  = ["100.64.99.0/24"]

[ban]
strikes = STRIKES
within  = "60s"
for     = "600s"

[door.ssh]
guards   = ["tcp/22"]
sequence = ["tcp/1009", "tcp/4001", "udp/2003"]
recogniser = "RECOGNISER"
"#;

const RIGHT: [&str; 3] = ["tcp/1009", "tcp/4001", "udp/2003"];

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for stance in ["guard", "closed"] {
        trials.push(world::trial(format!("bans_are_those_of_the_kernel_{stance}"), move || {
            bans(stance);
        }));
    }
    trials.push(world::trial("every_kind_of_file_says_the_same", every_kind));
    trials.push(world::trial("what_cannot_be_read_is_said", unreadable));
    trials.push(world::trial("what_a_person_reads", text));
    trials.push(world::trial("a_long_capture", a_long_capture));
    trials
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn bans(stance: &str) {
    let mut world =
        World::new(By::Kernel, &CONFIG.replace("STANCE", stance).replace("STRIKES", "5"));
    let Some(recorder) = Recorder::start() else { return };
    let [four, below, lost, opens, allowed, six, near]: [IpAddr; 7] = [
        "100.64.1.1",
        "100.64.1.2",
        "100.64.1.3",
        "100.64.1.4",
        "100.64.99.1",
        "2001:db8:1:1::1",
        "2001:db8:1:1::2",
    ]
    .map(|text| text.parse().unwrap());
    world.knock(four, &["tcp/22"; 7]);
    world.knock(below, &["tcp/22", "tcp/22", "tcp/80", "tcp/9", "tcp/22"]);
    for _ in 0..5 {
        world.knock(lost, &["tcp/1009", "tcp/1009", "tcp/9", "udp/2003"]);
    }
    world.knock(opens, &RIGHT);
    world.knock(opens, &["tcp/22"; 9]);
    world.knock(allowed, &["tcp/22"; 9]);
    world.knock(six, &["tcp/22", "tcp/1009", "udp/9", "tcp/22"]);
    world.knock(near, &["tcp/22", "tcp/22", "tcp/22"]);
    world.settle();
    let live: BTreeSet<String> =
        world.gate.bans().unwrap().iter().map(|ban| ban.address.to_string()).collect();
    let (_folder, files) = recorder.stop(&mut world);
    for file in files {
        let report = replay(&file, &world.config, &[]);
        let banned = |source: &&Value| !source["banned_at"].is_null();
        let banned = report["sources"].as_array().unwrap().iter().filter(banned);
        let banned: BTreeSet<String> = banned
            .map(|source| match source["address"].as_str().unwrap().parse().unwrap() {
                IpAddr::V6(six) => IpAddr::from((six.to_bits() >> 64 << 64).to_be_bytes()),
                four @ IpAddr::V4(_) => four,
            })
            .map(|address| address.to_string())
            .collect();
        assert_eq!(banned, live, "{}", file.display());
        assert_eq!(report["bans"], 3);
    }
    assert_eq!(live.len(), 3);
}

/// Two doors opened, over both families, and a wrong order: as tcpdump writes it, and in all other
/// shapes.
fn every_kind() {
    let mut world =
        World::new(By::Daemon, &CONFIG.replace("STANCE", "guard").replace("STRIKES", "5"));
    let Some(recorder) = Recorder::start() else { return };
    let mut opened = BTreeSet::new();
    for family in FAMILIES {
        let [right, wrong] = [world.new_source(family), world.new_source(family)];
        world.knock(wrong, &["tcp/4001", "tcp/1009", "udp/2003"]);
        world.knock(right, &RIGHT);
        opened.insert((right.to_string(), "ssh".to_owned()));
    }
    world.settle();
    let (folder, files) = recorder.stop(&mut world);
    let config = world.config.clone();
    for file in &files {
        let report = replay(file, &config, &[]);
        assert_eq!(openings(&report), opened, "{}", file.display());
        assert_eq!(report["complete"], true);
    }
    // Where frames do not say their way, the host is found by who is spoken to.
    let host = FAMILIES.map(|family| world.client.host(family).to_string());
    assert_eq!(
        texts(&replay(&files[0], &config, &[])["host"]).into_iter().collect::<BTreeSet<_>>(),
        host.iter().cloned().collect()
    );
    let first = fs::read(&files[0]).unwrap();
    for (name, bytes) in [
        ("swapped.pcap", swapped(&first)),
        ("one.pcapng", pcapng(&first)),
        ("ethernet.pcap.gz", gzip(&first)),
        ("one.pcapng.gz", gzip(&pcapng(&first))),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        assert_eq!(openings(&replay(&path, &config, &[])), opened, "{name}");
        for host in &host {
            let report = replay(&path, &config, &["--host", host]);
            assert_eq!(openings(&report).len(), 1, "{name} {host}");
        }
    }
    // As standard input too.
    let mut command = Command::new(program());
    command.args(["replay", "-", config.to_str().unwrap(), "--json"]);
    let output = command.stdin(fs::File::open(&files[1]).unwrap()).output().unwrap();
    assert_eq!(openings(&serde_json::from_slice(&output.stdout).unwrap()), opened);
}

/// The frames of a little-endian pcap file: seconds, smaller part, bytes.
fn frames(file: &[u8]) -> Vec<(u32, u32, Vec<u8>)> {
    let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    assert_eq!(number(0), 0xa1b2_c3d4);
    let mut frames = Vec::new();
    let mut at = 24;
    while at < file.len() {
        let length = number(at + 8) as usize;
        frames.push((number(at), number(at + 4), file[at + 16..at + 16 + length].to_vec()));
        at += 16 + length;
    }
    frames
}

/// The same in the other byte order, with nanoseconds.
fn swapped(file: &[u8]) -> Vec<u8> {
    let mut out = [0xa1b2_3c4d_u32, 0x0002_0004, 0, 0, 65_535, 1].map(u32::to_be_bytes).concat();
    for (seconds, micros, bytes) in frames(file) {
        let length = bytes.len() as u32;
        out.extend([seconds, micros * 1_000, length, length].map(u32::to_be_bytes).concat());
        out.extend(bytes);
    }
    out
}

/// The same as pcapng, its frames in turn of an Ethernet interface that counts microseconds and of a
/// raw one that counts units of 2^-20 seconds.
fn pcapng(file: &[u8]) -> Vec<u8> {
    let block = |kind: u32, body: &[u8]| {
        let length = (body.len() as u32 + 12).to_le_bytes();
        [&kind.to_le_bytes()[..], &length, body, &length].concat()
    };
    let mut out = block(
        0x0a0d_0d0a,
        &[&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat(),
    );
    out.extend(block(1, &[1, 0, 0, 0, 0, 0, 4, 0]));
    out.extend(block(1, &[101, 0, 0, 0, 0, 0, 4, 0, 9, 0, 1, 0, 0x94, 0, 0, 0]));
    for (n, (seconds, micros, bytes)) in frames(file).into_iter().enumerate() {
        // ARP and the like have no place on a raw interface.
        let ip = matches!(bytes[12..14], [0x08, 0x00] | [0x86, 0xdd]);
        let (interface, time, bytes) = if n % 2 == 0 || !ip {
            (0, u64::from(seconds) * 1_000_000 + u64::from(micros), &bytes[..])
        } else {
            let fraction = (u64::from(micros) << 20).div_ceil(1_000_000);
            (1, (u64::from(seconds) << 20) + fraction, &bytes[14..])
        };
        let length = bytes.len() as u32;
        let numbers = [interface, (time >> 32) as u32, time as u32, length, length];
        let mut body = [&numbers.map(u32::to_le_bytes).concat()[..], bytes].concat();
        body.resize(body.len().next_multiple_of(4), 0);
        out.extend(block(6, &body));
    }
    out
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A little-endian pcap file of raw packets, each with its milliseconds.
fn pcap(packets: &[(u32, Packet)]) -> Vec<u8> {
    let mut out = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101].map(u32::to_le_bytes).concat();
    for (millis, packet) in packets {
        let bytes = packet.to_bytes();
        let length = bytes.len() as u32;
        let numbers = [1_700_000_000 + millis / 1_000, millis % 1_000 * 1_000, length, length];
        out.extend(numbers.map(u32::to_le_bytes).concat());
        out.extend(bytes);
    }
    out
}

fn knocks(start: u32, from: &str, ports: &[&str]) -> Vec<(u32, Packet)> {
    let (from, to) = (from.parse().unwrap(), "198.51.100.1".parse().unwrap());
    let packet = |port: &&str| knock_packet(from, to, port.parse().unwrap());
    (0..).map(|n| start + n * 100).zip(ports.iter().map(packet)).collect()
}

/// A folder with the configuration in it.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let config = CONFIG.replace("STANCE", "guard").replace("STRIKES", "10");
    let config = config.replace("RECOGNISER", "both");
    write_config(&folder.path().join("portcullis.toml"), &config);
    folder
}

/// Runs `replay` on these bytes: exit code, standard output, standard error.
fn run(folder: &Path, bytes: &[u8], more: &[&str]) -> (i32, String, String) {
    let (capture, config) = (folder.join("a.pcap"), folder.join("portcullis.toml"));
    fs::write(&capture, bytes).unwrap();
    let arguments = ["replay", capture.to_str().unwrap(), config.to_str().unwrap()];
    let output = portcullis(&[&arguments[..], more].concat());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let name = capture.to_str().unwrap().to_owned();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr).replace(&name, "a.pcap"),
    )
}

fn unreadable() {
    let folder = folder();
    let whole = pcap(&[knocks(0, "192.0.2.7", &RIGHT), knocks(500, "192.0.2.8", &RIGHT)].concat());
    for (bytes, expected) in [
        (
            &b""[..],
            "error: cannot replay `a.pcap`: it is empty\n  hint: write one with `tcpdump -i eth0 -w FILE`\n",
        ),
        (
            b"\x28\xb5\x2f\xfd\0\0",
            "error: cannot replay `a.pcap`: it is compressed with zstd; only gzip can be read\n  \
             hint: decompress it: `zstd -dc FILE | portcullis replay -`\n",
        ),
        (
            b"[door.ssh]\n",
            "error: cannot replay `a.pcap`: it is not pcap or pcapng\n  \
             hint: write one with `tcpdump -i eth0 -w FILE`\n",
        ),
    ] {
        let (code, out, error) = run(folder.path(), bytes, &[]);
        assert_eq!((code, out.as_str(), error.as_str()), (3, "", expected));
    }
    // Cut off in the middle of the fifth packet: what went before is told.
    let (code, out, error) = run(folder.path(), &whole[..24 + 4 * 56 + 30], &["--json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, report["complete"].as_bool(), report["opened"].as_u64()),
        (3, Some(false), Some(1))
    );
    assert!(
        error.contains("could not read all of `a.pcap`: it is cut off in the middle"),
        "{error}"
    );
    let mut damaged = whole.clone();
    damaged[24 + 3 * 56..].fill(0xff);
    let (code, out, error) = run(folder.path(), &damaged, &[]);
    assert!(code == 3 && out.contains("192.0.2.7") && error.contains("it is damaged: "), "{error}");
    // A link that is not read, and a clock that jumps.
    let mut wifi = whole.clone();
    wifi[20] = 105;
    let (code, _, error) = run(folder.path(), &wifi, &[]);
    assert_eq!(code, 0);
    assert!(
        error.contains("6 packets are skipped: cannot read Wi-Fi in monitor mode (link type 105)"),
        "{error}"
    );
    let mut odd = knocks(9_000, "192.0.2.7", &RIGHT);
    odd.extend(knocks(0, "192.0.2.8", &["tcp/1009"]));
    odd.extend(knocks(200_000_000, "192.0.2.8", &["tcp/4001"]));
    odd.extend(knocks(199_999_999, "192.0.2.8", &["tcp/4001"]));
    let (code, _, error) = run(folder.path(), &pcap(&odd), &[]);
    assert_eq!(code, 0);
    for sentence in [
        "note: the clock of the capture goes back once, by up to 9s200ms; ",
        "note: the clock of the capture jumps forward once, by up to 55h33m10s; ",
        "note: 1 packet is out of order, by up to 1ms; ",
    ] {
        assert!(error.contains(sentence), "{sentence}: {error}");
    }
    let (code, _, error) = run(folder.path(), &whole, &["--host", "nobody"]);
    assert!(code == 2 && error.contains("invalid IP address"), "{error}");
    let output = portcullis(&["replay", "-", "-"]);
    assert_eq!(output.status.code(), Some(2));
    let output = portcullis(&["replay", "/nowhere/a.pcap"]);
    assert_ne!(output.status.code(), Some(0));
}

fn text() {
    let folder = folder();
    let packets = [
        knocks(0, "192.0.2.7", &RIGHT),
        knocks(500, "192.0.2.8", &["tcp/1009", "tcp/22", "tcp/9"]),
        knocks(1_000, "192.0.2.9", &["tcp/1009", "tcp/4001"]),
        knocks(7_000, "192.0.2.9", &["udp/2003"]),
    ]
    .concat();
    let (code, out, error) = run(folder.path(), &pcap(&packets), &[]);
    let expected = "\
packets  9, from 2023-11-14 22:13:20.000Z to 2023-11-14 22:13:27.000Z
host     198.51.100.1 (detected)

doors that would have opened: 1
WHEN                      DOOR  ADDRESS    OPEN FOR
2023-11-14 22:13:20.200Z  ssh   192.0.2.7  30s

sources with knocks or strikes: 3
ADDRESS    REACHED     WHEN                      OPENED  LOST  LATE  STRIKES  BANNED
192.0.2.7  ssh 3 of 3  2023-11-14 22:13:20.200Z  1       0     0     3        -
192.0.2.9  ssh 2 of 3  2023-11-14 22:13:21.100Z  0       0     1     3        -
192.0.2.8  ssh 1 of 3  2023-11-14 22:13:20.500Z  0       1     0     3        -

strikes: 9; bans: 0
WHEN                      ADDRESS    PORT      WHY
2023-11-14 22:13:20.000Z  192.0.2.7  tcp/1009  at a closed port
2023-11-14 22:13:20.100Z  192.0.2.7  tcp/4001  at a closed port
2023-11-14 22:13:20.200Z  192.0.2.7  udp/2003  at a closed port
2023-11-14 22:13:20.500Z  192.0.2.8  tcp/1009  at a closed port
2023-11-14 22:13:20.600Z  192.0.2.8  tcp/22    refused at door ssh
2023-11-14 22:13:20.700Z  192.0.2.8  tcp/9     at a closed port
2023-11-14 22:13:21.000Z  192.0.2.9  tcp/1009  at a closed port
2023-11-14 22:13:21.100Z  192.0.2.9  tcp/4001  at a closed port
2023-11-14 22:13:27.000Z  192.0.2.9  udp/2003  at a closed port
";
    assert_eq!((code, out.as_str()), (0, expected));
    assert_eq!(
        error,
        "note: the addresses of the host were detected from the capture; use --host if they are wrong\n"
    );
    let (_, out, _) = run(folder.path(), &pcap(&knocks(0, "192.0.2.7", &["tcp/9"])), &[]);
    assert!(out.contains("\nno door would have opened\n"), "{out}");
}

/// Prints how fast a long capture is replayed, and how much memory that takes; asserts neither.
fn a_long_capture() {
    let all = std::env::var_os("PORTCULLIS_REPLAY").is_some_and(|what| what == "all");
    let packets: u32 = if all { 5_000_000 } else { 200_000 };
    let folder = folder();
    let capture = folder.path().join("long.pcap");
    let mut file = BufWriter::new(fs::File::create(&capture).unwrap());
    file.write_all(&pcap(&[])).unwrap();
    // A flood of first knocks from sources that are hardly ever the same, scans, and traffic of
    // connections; a genuine knock now and then.
    let host = SocketAddr::new("198.51.100.1".parse().unwrap(), 443);
    for n in 0..packets / 4 {
        let forged = IpAddr::from((0x0a00_0000 + n % 0x00ff_ffff).to_be_bytes());
        let port = |port: u16| SocketAddr::new(host.ip(), port);
        let other = SocketAddr::new([192, 0, 2, (n % 250) as u8].into(), 50_000);
        let honest = SocketAddr::new([203, 0, 113, 9].into(), 40_000);
        let knock = match n % 30_000 {
            1 => Packet::syn(honest, port(1009)),
            2 => Packet::syn(honest, port(4001)),
            3 => Packet::udp(honest, port(2003), b"x"),
            _ => Packet::syn(SocketAddr::new(forged, 40_000), port(1009)),
        };
        let packets = [
            knock,
            Packet::tcp(other, host, portcullis_lab::packet::ACK),
            Packet::tcp(host, other, portcullis_lab::packet::ACK),
            Packet::syn(other, port((n % 65_535) as u16 + 1)),
        ];
        let packets: Vec<(u32, Packet)> = packets.map(|packet| (n / 100, packet)).into();
        file.write_all(&pcap(&packets)[24..]).unwrap();
    }
    file.flush().unwrap();
    drop(file);
    for (name, command) in [("plain", None), ("gzip", Some("gzip -1 -k -f"))] {
        let mut path = capture.clone();
        if let Some(command) = command {
            let script = format!("{command} {}", capture.display());
            assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
            path.set_extension("pcap.gz");
        }
        let mut command = Command::new(program());
        command.arg("replay").arg(&path).arg(folder.path().join("portcullis.toml")).arg("--json");
        let start = Instant::now();
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = child.unwrap();
        let mut out = String::new();
        let mut peak = String::new();
        // The report comes when all is over: the process waits for somebody to read it.
        let mut stdout = child.stdout.take().unwrap();
        let mut first = [0];
        std::io::Read::read_exact(&mut stdout, &mut first).unwrap();
        let took = start.elapsed();
        for line in fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap().lines() {
            if line.starts_with("VmHWM") {
                peak = line.to_owned();
            }
        }
        std::io::Read::read_to_string(&mut stdout, &mut out).unwrap();
        assert!(child.wait().unwrap().success());
        let report: Value = serde_json::from_str(&format!("{{{out}")).unwrap();
        assert_eq!(report["packets"], packets);
        let rate = f64::from(packets) / took.as_secs_f64() / 1e6;
        eprintln!(
            "{name}: {rate:.2} million packets a second, {took:.2?}; {peak}; {} doors opened",
            report["opened"]
        );
    }
}
