//! What opens a door (section 1.6 of the reference), each row in one family or both.

use portcullis_linux::netlink::route::Route;

use super::{Row, Script, play_at, v4, v6};
use crate::both::daemon::Setup;
use crate::both::house::House;

const ONE: &str = "
[A]
    sequence = 7000,8000,9000
    tcpflags = syn
";

const TWO: &str = "
[A]
    sequence = 7000,8000,9000
    tcpflags = syn
[B]
    sequence = 5000,6000
    tcpflags = syn
";

const FREE: &str = "
[A]
    sequence = 7000,8000,9000
";

const OPENED: &str = "A 1; A 2; A 3; A !";

const fn row(name: &'static str, config: &'static str, scripts: &'static [Script]) -> Row {
    Row { name, config, scripts }
}

pub const ROWS: &[Row] = &[
    row("right", ONE, &[v4("7000 8000 9000", OPENED), v6("7000 8000 9000", OPENED)]),
    row(
        "ports of no door in between",
        ONE,
        &[v4("7000 1234 8000 1235 9000", OPENED), v6("7000 1234 8000 1235 9000", OPENED)],
    ),
    row(
        "a datagram to a TCP knock in between",
        ONE,
        &[v4("7000/udp 7000 8000/udp 8000 9000/udp 9000", OPENED)],
    ),
    row("the first twice", ONE, &[v4("7000 7000 8000 9000", "A 1"), v6("7000 7000 8000", "A 1")]),
    row("the second twice", ONE, &[v4("7000 8000 8000 9000", "A 1; A 2")]),
    row("the first three times", ONE, &[v4("7000 7000 7000 8000 9000", "A 1; A 1; A 2; A 3; A !")]),
    row("a wrong one then anew", ONE, &[v4("7000 9000 7000 8000 9000", "A 1; A 1; A 2; A 3; A !")]),
    row("backwards", ONE, &[v4("9000 8000 7000", "A 1")]),
    row(
        "twice in a row",
        ONE,
        &[v4("7000 8000 9000 7000 8000 9000", "A 1;A 2;A 3;A !;A 1;A 2;A 3;A !")],
    ),
    row(
        "the first port of another door breaks and starts nothing",
        TWO,
        &[v4("7000 5000 8000 9000", "A 1"), v4("7000 5000 6000", "A 1")],
    ),
    row("another port of another door breaks", TWO, &[v4("7000 6000 8000 9000", "A 1")]),
    row(
        "one door after the other",
        TWO,
        &[v4("5000 6000 7000 8000 9000", "B 1; B 2; B !; A 1; A 2; A 3; A !")],
    ),
    row(
        "segments whose flags do not fit are ignored",
        ONE,
        &[
            v4("7000 7000/ack 8000 8000/rst 9000", OPENED),
            v4("7000/fin 7000/none 7000 9000/ack 8000 9000/psh+ack 9000", OPENED),
            v6("7000 7000/ack 8000 8000/rst 9000", OPENED),
        ],
    ),
    row(
        "flags are included and not equal",
        ONE,
        &[
            v4("7000/syn+ack 8000/syn+ack 9000/syn+fin", OPENED),
            v6("7000/syn+ack 8000/syn+ack 9000/syn+fin", OPENED),
        ],
    ),
    row(
        "without TCPFlags every segment knocks",
        FREE,
        &[
            v4("7000/ack 8000/rst 9000/fin+psh+urg", OPENED),
            v4("7000/none 8000/none 9000/none", OPENED),
            v6("7000/ack 8000/rst 9000/fin+psh+urg", OPENED),
            v4("7000 7000/rst 8000 9000", "A 1"),
        ],
    ),
    row(
        "flags that must not be there",
        "[A]\n sequence = 7000,8000\n tcpflags = syn,!ack\n",
        &[
            v4("7000/syn+ack 7000 8000/syn+ack 8000", "A 1; A 2; A !"),
            v6("7000/syn+ack 7000 8000/syn+ack 8000", "A 1; A 2; A !"),
        ],
    ),
    row(
        "doors with different flags do not see each other's segments",
        "[A]\n sequence = 7000,8000\n tcpflags = syn\n[B]\n sequence = 8000,7000\n tcpflags = fin\n",
        &[
            v4("7000 8000", "A 1; A 2; A !"),
            v4("8000/fin 7000/fin", "B 1; B 2; B !"),
            // In the filter because of B, and not for A to see.
            v4("7000 7000/fin 8000", "A 1; A 2; A !"),
            v4("7000/syn+fin 8000", "A 1; A 2; A !"),
        ],
    ),
    row(
        "doors with a common beginning",
        "[B]\n sequence = 1,2,3\n[A]\n sequence = 1,2\n",
        &[v4("1 2 3", "B 1; A 1; B 2; A 2; A !; B 3; B !")],
    ),
    row(
        "a door in the middle of another",
        "[A]\n sequence = 1,2,3\n[B]\n sequence = 2,3,4\n",
        &[v4("1 2 3 4", "A 1; A 2; A 3; A !")],
    ),
    row("a broadcast is no knock", ONE, &[v4("7000@198.51.100.255 7000@255.255.255.255", "")]),
    row(
        "ports more than once in a sequence",
        "[A]\n sequence = 7000,7000,8000,7000\n tcpflags = syn\n",
        &[
            v4("7000 7000 8000 7000", "A 1; A 2; A 3; A 4; A !"),
            v4("7000 8000 7000 7000 8000 7000", "A 1; A 1; A 2; A 3; A 4; A !"),
        ],
    ),
    row(
        "datagrams",
        "[A]\n sequence = 7000:udp,7000:tcp,8000:udp\n tcpflags = syn\n",
        &[
            v4("7000/udp 7000 8000/udp", "A 1; A 2; A 3; A !"),
            v6("7000/udp 7000 8000/udp", "A 1; A 2; A 3; A !"),
            v4("7000 7000/udp 7000/udp 7000/udp 7000 8000/udp", "A 1; A 1; A 2; A 3; A !"),
            // There is no telling a repeated datagram from a second one.
            v4("7000/udp = 7000 8000/udp", "A 1"),
        ],
    ),
    row(
        "one knock",
        "[A]\n sequence = 7000\n tcpflags = syn\n start_command = echo A %IP% >> ran\n",
        &[
            v4("7000", "A 1; A !").ran(&["A %IP%"]),
            v4("7000 7000", "A 1; A !; A 1; A !").ran(&["A %IP%", "A %IP%"]),
        ],
    ),
    row(
        "32 knocks",
        "[A]\n sequence = 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32\n",
        &[v4(
            "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32",
            "A 1;A 2;A 3;A 4;A 5;A 6;A 7;A 8;A 9;A 10;A 11;A 12;A 13;A 14;A 15;A 16;A 17;A 18;A 19;A 20;A 21;A 22;A 23;A 24;A 25;A 26;A 27;A 28;A 29;A 30;A 31;A 32;A !",
        )],
    ),
    row(
        "the time runs from the first knock",
        "[A]\n sequence = 7000,8000,9000\n seq_timeout = 4\n",
        &[v4(
            "at:50 7000 wait:1500 8000 wait:3000 9000",
            "A 1; A 2; A: sequence timeout (stage 2)⏎",
        )],
    ),
    row(
        "in time",
        "[A]\n sequence = 7000,8000,9000\n seq_timeout = 4\n",
        &[v4("7000 wait:900 8000 wait:900 9000", OPENED)],
    ),
];

pub const TESTS: &[(&str, fn())] = &[("spread_over_the_addresses_of_the_host", spread)];

fn spread() {
    let house = House::new();
    let mut route = Route::open().unwrap();
    for address in ["198.51.100.2", "203.0.113.2"] {
        route.add_address("client", address.parse().unwrap(), 24).unwrap();
    }
    let scripts = [
        v4("7000 8000@198.51.100.2 9000@203.0.113.2", OPENED),
        v4("7000@198.51.100.2 8000@198.51.100.3 9000@198.51.100.2 8000", "A 1"),
        v4("7000@198.51.100.3 8000@198.51.100.3 9000@198.51.100.3", ""),
    ];
    play_at(&house, &Setup::new(ONE), &scripts);
}
