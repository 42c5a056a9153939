//! The grammar of the configuration (section 1.2 of the reference), as far as what a door does shows
//! it. `knockd_conf.rs` holds the reader alone to the same.

use super::{Row, Script, v4, v6};

const OPENED: &str = "A 1; A 2; A !";

const fn row(name: &'static str, config: &'static str, scripts: &'static [Script]) -> Row {
    Row { name, config, scripts }
}

pub const ROWS: &[Row] = &[
    row(
        "spaces around and CRLF",
        "\r\n  [A]  \r\n\t sequence   =   7000 , 8000:tcp ,9000 : udp  \r\n",
        &[v4("7000 8000 9000/udp", "A 1; A 2; A 3; A !")],
    ),
    row(
        "comments and empty lines",
        "# comment\n\n   # another = one\n[A]\n#sequence = 1,2\nsequence = 7000,8000\n   \n",
        &[v4("7000 8000", OPENED)],
    ),
    row(
        "a name with spaces",
        "[ my door ]\nsequence = 7000\nstart_command = echo x %IP% >> ran\n",
        &[v4("7000", " my door  1;  my door  !").ran(&["x %IP%"])],
    ),
    row(
        "a long name is cut",
        "[aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggghhhhhhhhhhiiiiiiiiiijjjjjjjjjjkkkkkkkkkkllllllllllmmmmmmmmmmnnnnnnnnnn]\nsequence = 7000\n",
        &[v4(
            "7000",
            "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggghhhhhhhhhhiiiiiiiiiijjjjjjjjjjkkkkkkkkkkllllllllllmmmmmmm 1;\
             aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggghhhhhhhhhhiiiiiiiiiijjjjjjjjjjkkkkkkkkkkllllllllllmmmmmmm !",
        )],
    ),
    row(
        "one name twice",
        "[A]\nsequence = 7000,8000\n[A]\nsequence = 9000,9001\n",
        &[v4("7000 8000", OPENED), v4("9000 9001", OPENED), v4("7000 9001", "A 1")],
    ),
    row("OPTIONS is a door", "[OPTIONS]\nsequence = 7000\n", &[v4("7000", "OPTIONS 1; OPTIONS !")]),
    row(
        "keys in any case",
        "[A]\nSEQUENCE = 7000,8000\nTcpFlags = Syn\nSeq_Timeout = 60\nSTART_COMMAND = echo A %IP% >> ran\n",
        &[v4("7000/ack 7000 8000", OPENED).ran(&["A %IP%"])],
    ),
    row(
        "a value is the rest of the line",
        "[A]\nsequence = 7000,8000\ncommand = x=' = # \"y\" ; %IP%'; echo \"A [$x]\" %IP% >> ran # done\n",
        &[v4("7000 8000", OPENED).ran(&["A [ = # \"y\" ; %IP%] %IP%"])],
    ),
    row(
        "the last of a key counts",
        "[A]\nsequence = 1,2,3\nsequence = 7000,8000\nstart_command = echo A no %IP% >> ran\ncommand = echo A %IP% >> ran\n",
        &[v4("7000 8000", OPENED).ran(&["A %IP%"]), v4("1 2 3", "")],
    ),
    row("no command", "[A]\nsequence = 7000,8000\n", &[v4("7000 8000", OPENED)]),
    row(
        "UseSyslog in a door",
        "[A]\nUseSyslog\nsequence = 7000,8000\n",
        &[v4("7000 8000", OPENED)],
    ),
    row(
        "protocols in any case",
        "[A]\nsequence = 7000:UDP, 8000:Tcp,9000:udp\n",
        &[v4("7000/udp 8000 9000/udp", "A 1; A 2; A 3; A !")],
    ),
    row(
        "Timeout is Seq_Timeout",
        "[A]\nsequence = 7000,8000\ntimeout = 0\n",
        &[v4("7000 8000", "A 1; A: sequence timeout (stage 1)⏎")],
    ),
    row(
        "a timeout of nothing",
        "[A]\nsequence = 7000,8000\nseq_timeout = 0\n[B]\nsequence = 5000\nseq_timeout = 0\n[C]\nsequence = 4000,4001\nseq_timeout = -3\n",
        &[
            v4("7000 8000", "A 1; A: sequence timeout (stage 1)⏎"),
            v4("5000", "B 1; B !"),
            v4("4000 4001", "C 1; C: sequence timeout (stage 1)⏎"),
        ],
    ),
    row(
        "flags in any case",
        "[A]\nsequence = 7000,8000\ntcpflags = FIN,!syn,PSH,urg\n",
        &[v4("7000/fin+psh+urg 8000 8000/fin+psh+urg", OPENED), v4("7000 8000", "")],
    ),
    row(
        "a target instead of the own addresses",
        "[A]\nsequence = 7000,8000\ntarget = 203.0.113.77\n[B]\nsequence = 7000,8001\n",
        &[
            v4("7000@203.0.113.77 8000@203.0.113.77", OPENED),
            v4("7000 8000", "B 1"),
            v4("7000 8001", "B 1; B 2; B !"),
            v4("7000 7000@203.0.113.77 8001 8000@203.0.113.77", "B 1; A 1; B 2; B !; A 2; A !"),
            v4("7000@203.0.113.78 8000@203.0.113.78", ""),
            v6("7000 8000", "B 1"),
        ],
    ),
    row(
        "a target of IPv6",
        "[A]\nsequence = 7000,8000\ntarget = 2001:db8:7::7\n",
        &[v6("7000@2001:db8:7::7 8000@2001:db8:7::7", OPENED), v6("7000 8000", ""), v4("7000", "")],
    ),
    row(
        "Command is Start_Command",
        "[A]\nsequence = 7000\ncommand = echo A %IP% >> ran\n[B]\nsequence = 8000\ncommand = echo B 4 %IP% >> ran\ncommand_6 = echo B 6 %IP% >> ran\n",
        &[
            v4("7000", "A 1; A !").ran(&["A %IP%"]),
            v6("7000", "A 1; A !").ran(&["A %IP%"]),
            v4("8000", "B 1; B !").ran(&["B 4 %IP%"]),
            v6("8000", "B 1; B !").ran(&["B 6 %IP%"]),
        ],
    ),
    row(
        "commands for IPv6",
        "[A]\nsequence = 7000\ncmd_timeout = 0\nstart_command = echo A start %IP% >> ran\nstart_command_6 = echo A start6 %IP% >> ran\nstop_command = echo A stop %IP% >> ran\nstop_command_6 = echo A stop6 %IP% >> ran\n",
        &[
            v4("7000", "A 1; A !").ran(&["A start %IP%", "A stop %IP%"]),
            v6("7000", "A 1; A !").ran(&["A start6 %IP%", "A stop6 %IP%"]),
        ],
    ),
    row(
        "an empty command for IPv6 does nothing",
        "[A]\nsequence = 7000\nstart_command = echo A %IP% >> ran\nstart_command_6 =\n",
        &[v4("7000", "A 1; A !").ran(&["A %IP%"]), v6("7000", "A 1; A !")],
    ),
    row(
        "a stop command falls back too",
        "[A]\nsequence = 7000\ncmd_timeout = 0\nstart_command_6 = echo A start6 %IP% >> ran\nstop_command = echo A stop %IP% >> ran\n",
        &[
            v6("7000", "A 1; A !").ran(&["A start6 %IP%", "A stop %IP%"]),
            // What was not started is not stopped.
            v4("7000", "A 1; A !"),
        ],
    ),
    row(
        "a stop command alone does nothing",
        "[A]\nsequence = 7000\ncmd_timeout = 0\nstop_command = echo A stop %IP% >> ran\n",
        &[v4("7000", "A 1; A !")],
    ),
    row(
        "a start command alone",
        "[A]\nsequence = 7000\ncmd_timeout = 0\nstart_command = echo A start %IP% >> ran\n",
        &[v4("7000", "A 1; A !").ran(&["A start %IP%"])],
    ),
    row(
        "a door stays open for ten seconds",
        "[A]\nsequence = 7000\nstart_command = true %IP%\nstop_command = echo X stop >> ran\ncmd_timeout = 8\n[B]\nsequence = 8000\nstart_command = true %IP%\nstop_command = echo X stop default >> ran\n[C]\nsequence = 9000\nstart_command = true %IP%\nstop_command = echo X stop late >> ran\ncmd_timeout = 12\n",
        &[v4("9000", "C 1; C !"), v4("8000", "B 1; B !"), v4("7000", "A 1; A !")],
    ),
    row(
        "every IP and nothing else is replaced",
        "[A]\nsequence = 7000\ncommand = echo \"A %ip% %% %PORT% %IP%%IP% $((1 + 1)) $(echo $$ | tr -d 0-9)%IP%\" | tr -d q >> ran; echo A two %IP% >> ran && echo A three %IP% >> ran\n",
        &[
            v4("7000", "A 1; A !").ran(&[
                "A %ip% %% %PORT% %IP%%IP% 2 %IP%",
                "A two %IP%",
                "A three %IP%",
            ]),
            v6("7000", "A 1; A !").ran(&[
                "A %ip% %% %PORT% %IP%%IP% 2 %IP%",
                "A two %IP%",
                "A three %IP%",
            ]),
        ],
    ),
];

/// Neither starts with these.
pub const REFUSED: &[(&str, &str)] = &[
    ("semicolon comment", "; comment\n[A]\nsequence = 7000\n"),
    ("comment after a name", "[A] # door\nsequence = 7000\n"),
    ("unknown key", "[A]\nsequence = 7000\nsequences = 7000\n"),
    ("unknown option", "[options]\nLogFiles = /dev/null\n[A]\nsequence = 7000\n"),
    ("UseSyslog with a value", "[options]\nUseSyslog = yes\n[A]\nsequence = 7000\n"),
    ("key without a value", "[A]\nsequence\n"),
    ("directive before a section", "sequence = 7000\n[A]\nsequence = 7000\n"),
    ("no sequence", "[A]\ncommand = true\n"),
    ("no sequence in the first of two", "[A]\ncommand = true\n[B]\nsequence = 7000\n"),
    (
        "33 knocks",
        "[A]\nsequence = 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33\n",
    ),
    ("port 65536", "[A]\nsequence = 7000,65536\n"),
    ("unknown protocol", "[A]\nsequence = 7000:sctp\n"),
    ("empty protocol", "[A]\nsequence = 7000::udp\n"),
    ("unknown flag", "[A]\nsequence = 7000\ntcpflags = ece\n"),
    ("no flag called none", "[A]\nsequence = 7000\ntcpflags = none\n"),
    ("no file of one-time sequences", "[A]\none_time_sequences = DIR/nothing\n"),
];
