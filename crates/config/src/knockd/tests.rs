use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use portcullis_core::knockd::FlagFilter;
use portcullis_core::policy::Port;
use portcullis_core::wire::TcpFlags;

use super::*;

fn parse(text: &str) -> Configuration {
    parse_bytes("knockd.conf", text.as_bytes()).unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn everything_is_read() {
    let text = include_bytes!("../../../portcullis/tests/knockd/good/everything.conf");
    let configuration = parse_bytes("knockd.conf", text).unwrap();
    let options = Options {
        use_syslog: true,
        log_file: Some("/var/log/knockd.log".into()),
        pid_file: Some("/run/knockd.pid".into()),
        interface: Some("no-such-link".into()),
    };
    assert_eq!(configuration.options, options);
    let [first, once, alone, again] = configuration.doors.as_slice() else { panic!() };
    let sequence = [Port::udp(2222), Port::tcp(3333), Port::udp(4444), Port::tcp(5555)];
    let expected = Door {
        name: Name::new(b"all of it").unwrap(),
        knocks: Knocks::Sequence(sequence.map(Option::unwrap).to_vec()),
        seq_timeout: Duration::from_secs(15),
        flags: FlagFilter {
            set: TcpFlags::FIN | TcpFlags::SYN | TcpFlags::PSH | TcpFlags::URG,
            clear: TcpFlags::RST | TcpFlags::ACK,
        },
        target: Some("192.0.2.9".parse().unwrap()),
        cmd_timeout: Duration::from_secs(5),
        start_command: Some(CommandLine::new(b"printf '%s = %s\\n' \"%IP%\" x # no comment")),
        start_command_6: Some(CommandLine::new(b"")),
        stop_command: Some(CommandLine::new(b"echo %IP%")),
        stop_command_6: Some(CommandLine::new(b"echo %IP% six")),
    };
    assert_eq!(*first, expected);
    assert_eq!(once.knocks, Knocks::OneTime(PathBuf::from("sequences.txt")));
    assert_eq!((once.seq_timeout.as_secs(), once.cmd_timeout.as_secs()), (7, 10));
    assert_eq!((alone.name.as_bytes(), alone.seq_timeout.as_secs()), (&b"alone"[..], 25));
    assert_eq!(alone.name, again.name);
    assert_eq!((alone.flags, alone.target), (FlagFilter::default(), None));
}

#[test]
fn commands_by_family() {
    let v4: IpAddr = "192.0.2.1".parse().unwrap();
    let v6: IpAddr = "2001:db8::1".parse().unwrap();
    for (lines, for_v4, for_v6) in [
        ("start_command=a", Some("a"), Some("a")),
        ("start_command=a\nstart_command_6=b", Some("a"), Some("b")),
        ("start_command=a\nstart_command_6=", Some("a"), None),
        ("start_command_6=b", None, Some("b")),
        ("start_command=", None, None),
        ("start_command=\nstart_command_6=b", None, Some("b")),
        ("", None, None),
    ] {
        for verb in ["start", "stop"] {
            let text = format!("[A]\nsequence=1\n{}\n", lines.replace("start", verb));
            let door = &parse(&text).doors[0];
            let chosen = |address| {
                let (start, stop) = (door.start_command(address), door.stop_command(address));
                let (one, other) = if verb == "start" { (start, stop) } else { (stop, start) };
                assert_eq!(other, None);
                one.map(|command| command.as_bytes())
            };
            assert_eq!(chosen(v4), for_v4.map(str::as_bytes), "{text}");
            assert_eq!(chosen(v6), for_v6.map(str::as_bytes), "{text}");
        }
    }
}

#[test]
fn every_literal_token_is_replaced_and_nothing_else() {
    for (text, expanded) in [
        ("%IP%", "2001:db8::1"),
        ("a %IP%%IP% b %IP%", "a 2001:db8::12001:db8::1 b 2001:db8::1"),
        ("%%IP%% %IP %ip% %PORT% IP%", "%2001:db8::1% %IP %ip% %PORT% IP%"),
        ("%IP%IP%", "2001:db8::1IP%"),
        ("", ""),
    ] {
        let command = CommandLine::new(text.as_bytes());
        assert_eq!(command.expand("2001:db8::1".parse().unwrap()), expanded, "{text}");
    }
    let command = CommandLine::new(b"\xfc%IP%\xff");
    let expanded = command.expand("192.0.2.1".parse().unwrap());
    assert_eq!(std::os::unix::ffi::OsStrExt::as_bytes(expanded.as_os_str()), b"\xfc192.0.2.1\xff");
}

#[test]
fn names_are_kept_and_shown_without_harm() {
    let configuration =
        parse_bytes("x", b"[\x1b[31m \xfc\xc2\x9b \xe2\x80\xae]\nsequence=1\n").unwrap();
    let name = &configuration.doors[0].name;
    assert_eq!(name.as_bytes(), b"\x1b[31m \xfc\xc2\x9b \xe2\x80\xae");
    assert_eq!(name.to_string(), "\\u{1b}[31m \u{fffd}\\u{9b} \\u{202e}");
    let dump = dump(&configuration);
    assert!(!dump.contains(&0x1b));
    let bytes = door::harmless(b"\ta\x1b\xfc\x9b\xc3\xbc\xc2\x9b");
    assert_eq!(bytes, b"\ta\\u{1b}\xfc\\x9b\xc3\xbc\\u{9b}");
    assert_eq!(Name::new(&[b'n'; 200]).unwrap().as_bytes(), [b'n'; 127]);
    assert_eq!(Name::new(b""), None);
}

#[test]
fn negative_timeouts_are_none() {
    let door = &parse("[A]\nsequence=1\nseq_timeout=-1\ncmd_timeout=-2147483648\n").doors[0];
    assert_eq!((door.seq_timeout, door.cmd_timeout), (Duration::ZERO, Duration::ZERO));
}

#[test]
fn sequences_say_all_that_is_wrong() {
    let found = parse_sequence(b"1, x ,2,,70000").unwrap_err();
    let spans: Vec<_> = found.into_iter().map(|found| found.span.unwrap()).collect();
    assert_eq!(spans, [3..4, 8..9, 9..14]);
    assert_eq!(
        parse_sequence(b" 7 , 8:UDP "),
        Ok(vec![Port::tcp(7).unwrap(), Port::udp(8).unwrap()])
    );
}

#[test]
fn places_are_those_of_the_values() {
    let text = b"[A]\ncommand = x\nsequence = 1\ntimeout=5\n[options]\ninterface = eth0\n";
    let located = parse_located("x", text).unwrap();
    let places = &located.doors[0];
    assert_eq!(&text[places.name.clone()], b"A");
    assert_eq!(&text[places.start_command.clone().unwrap()], b"x");
    assert_eq!(&text[places.knocks.clone()], b"1");
    assert_eq!(&text[places.seq_timeout.clone().unwrap()], b"5");
    assert_eq!(&text[located.options.interface.unwrap()], b"eth0");
}

#[test]
fn an_interface_is_named_in_utf8() {
    let report = parse_bytes("x", b"[options]\ninterface = \xfc\n").unwrap_err();
    assert_eq!(report.findings()[0].code, "bad-name");
    assert_eq!(parse("[options]\ninterface = eth0\ninterface =\n").options, Options::default());
}

#[test]
fn too_many_doors_are_one_error() {
    let text = "[A]\nsequence=1\n".repeat(portcullis_core::limits::MAX_DOORS + 2);
    let report = parse_bytes("x", text.as_bytes()).unwrap_err();
    assert_eq!((report.errors(), report.findings()[0].code), (1, "too-many-doors"));
}

#[test]
fn what_is_no_knockd_conf_at_all_is_given_up_in_time() {
    let lists = format!("[A]\ntcpflags = {}\n", ",".repeat(1 << 20));
    assert!(parse_bytes("x", lists.as_bytes()).unwrap_err().errors() < 50);
    let lines = "[A]\n".to_owned() + &"x\n".repeat(1 << 19);
    assert!(parse_bytes("x", lines.as_bytes()).unwrap_err().errors() <= 10_001);
}
