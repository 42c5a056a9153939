//! Codes of how a configuration is written.

use super::entry::Entry;
use super::entry::Example::{Text, Words};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: "syntax",
        title: "The file is not TOML",
        why: "What comes after may have been meant otherwise, so nothing of the file is used.",
        remedy: "Correct the place that is shown. Text stands between quotation marks, lists between \
                 brackets.",
        example: Text("[door.ssh]\nguards = [\"tcp/22\""),
    },
    Entry {
        code: "not-utf8",
        title: "The file is not UTF-8",
        why: "TOML is. A file in another encoding has names and paths that nobody can be sure of.",
        remedy: "Save it as UTF-8, which plain ASCII is too.",
        example: Words("in a file with a byte such as 0xff"),
    },
    Entry {
        code: "duplicate-key",
        title: "A key is given twice",
        why: "Only one of the values could hold, and not necessarily the one that was meant.",
        remedy: "Remove one of them.",
        example: Text("[door.ssh]\nguards = [\"tcp/22\"]\nguards = [\"tcp/2222\"]"),
    },
    Entry {
        code: "duplicate-table",
        title: "A table is there twice",
        why: "Two tables of one name would be one door or two, depending on the reader.",
        remedy: "Give one of them another name, or make them one.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\n\
             [door.ssh]\nguards   = [\"tcp/80\"]\nsequence = [\"tcp/5\", \"udp/9\", \"tcp/3\"]",
        ),
    },
    Entry {
        code: "unknown-table",
        title: "Nobody knows a table of this name",
        why: "What is in it would be ignored, and a door that is ignored is an open port.",
        remedy: "Tables are `[gate]`, `[ban]`, and `[door.NAME]` for each door.",
        example: Text(
            "[ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "unknown-key",
        title: "Nobody knows a key of this name",
        why: "Whoever wrote it relies on what it says. To ignore it would be dangerous.",
        remedy: "Correct the name; the nearest one that is known is shown.",
        example: Text("[door.ssh]\nguard = [\"tcp/22\"]"),
    },
    Entry {
        code: "missing-key",
        title: "A key is missing that is needed here",
        why: "A door is made of what it guards and of how it is knocked at.",
        remedy: "Write it; the hint has an example.",
        example: Text("[door.ssh]\nguards = [\"tcp/22\"]"),
    },
    Entry {
        code: "wrong-type",
        title: "A value is of another kind than the key takes",
        why: "A number where a port is expected does not say of which protocol, a text is no list, and a \
              guess would be wrong some day.",
        remedy: "Write it as the message says: ports as `\"tcp/22\"`, durations as `\"30s\"`, lists \
                 between brackets.",
        example: Text("[door.ssh]\nguards = 22"),
    },
    Entry {
        code: "unknown-value",
        title: "A key knows only a few words, and this is none of them",
        why: "A misspelled word must not become the default, which may be its opposite.",
        remedy: "Write one of the words that are shown.",
        example: Text("[gate]\nstance = \"open\""),
    },
    Entry {
        code: "bad-port",
        title: "This is not a port",
        why: "A port has a protocol and a number from 1 to 65535: `tcp/22` and `udp/22` are two.",
        remedy: "Write `tcp/N` or `udp/N`, each port by itself; there are no ranges and no names of \
                 services.",
        example: Text("[gate]\npublic = [\"https\"]"),
    },
    Entry {
        code: "bad-duration",
        title: "This is not a duration",
        why: "A number without a unit would be seconds to one reader and minutes to another.",
        remedy: "Write it with its unit, as in `500ms`, `30s`, `5m` or `1m30s`.",
        example: Text("[door.ssh]\nopen_for = \"30\""),
    },
    Entry {
        code: "bad-name",
        title: "A door or an interface cannot have this name",
        why: "Names of doors go into the firewall, the log and the arguments of commands, so they are made \
              of letters that are harmless in all of them. Interfaces are named by exact names, without \
              wildcards.",
        remedy: "Use letters, digits, `_`, `-` and `.`, at most 48 of them; interfaces as `ip link` shows \
                 them.",
        example: Text(
            "[door.\"front door\"]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \
             \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "bad-allow",
        title: "This is no address, network, name or interface",
        why: "Whoever is allowed needs no knock, so nothing is guessed here: `10.1.2.3/8` may have been \
              meant as one address or as sixteen million.",
        remedy: "Write it as in `203.0.113.7`, `2001:db8::/32`, `admin.example.org` or `iface:wg0`.",
        example: Text("[gate]\nallow = [\"10.1.2.3/8\"]"),
    },
    Entry {
        code: "bad-hook",
        title: "This cannot be run",
        why: "A command is a program by its whole path and a list of arguments. No shell reads it, so that \
              no text of a stranger can become a command.",
        remedy: "Write `/usr/bin/logger` for `logger`, and each argument by itself.",
        example: Text("[door.ssh]\non_open = [\"logger\", \"{address}\"]"),
    },
    Entry {
        code: "placeholder-inside",
        title: "A placeholder stands inside an argument, where nothing replaces it",
        why: "`{door}` and `{address}` are replaced only where they are a whole argument, so that what they \
              stand for can never be taken for an option or for part of a line of shell.",
        remedy: "Give it an argument of its own. A script of `sh -c` has those behind it as `$0`, `$1` and \
                 so on.",
        example: Text("[door.ssh]\non_open = [\"/usr/bin/logger\", \"--from={address}\"]"),
    },
    Entry {
        code: "close-without-open",
        title: "A door has `on_close` and no `on_open`",
        why: "What runs at the end alone would undo what nobody has done.",
        remedy: "Write `on_open` too; if there is nothing to run, as `[\"/bin/true\"]`.",
        example: Text("[door.ssh]\non_close = [\"/usr/bin/logger\", \"closed\"]"),
    },
    Entry {
        code: "not-available",
        title: "This is planned, and does not do anything yet",
        why: "It is refused rather than ignored: whoever wrote it relies on it.",
        remedy: "Remove it.",
        example: Text("[door.admin]\nguards = [\"tcp/8443\"]\nkeys   = [\"alice\"]"),
    },
];
