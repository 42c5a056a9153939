//! Codes of how a configuration is written.

use super::entry::Entry;
use super::entry::Example::{Text, Words};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: "syntax",
        title: "The file is not TOML",
        why: "The rest of the file may be misread after such an error, so nothing of it is used.",
        remedy: "Correct the place that is shown. Write text between quotation marks, and lists \
                 between brackets.",
        example: Text("[door.ssh]\nguards = [\"tcp/22\""),
    },
    Entry {
        code: "not-utf8",
        title: "The file is not UTF-8",
        why: "TOML is always UTF-8. In another encoding, names and paths are uncertain.",
        remedy: "Save it as UTF-8; plain ASCII is also valid.",
        example: Words("in a file with a byte such as 0xff"),
    },
    Entry {
        code: "duplicate-key",
        title: "A key is written twice",
        why: "Only one of the values could be used, perhaps not the one that you meant.",
        remedy: "Remove one of them.",
        example: Text("[door.ssh]\nguards = [\"tcp/22\"]\nguards = [\"tcp/2222\"]"),
    },
    Entry {
        code: "duplicate-table",
        title: "A table is written twice",
        why: "It is not clear whether two tables with the same name are one door or two.",
        remedy: "Rename one of them, or merge them.",
        example: Text(
            "[door.ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n\n\
             [door.ssh]\nguards   = [\"tcp/80\"]\nsequence = [\"tcp/5\", \"udp/9\", \"tcp/3\"]",
        ),
    },
    Entry {
        code: "unknown-table",
        title: "Unknown table",
        why: "Portcullis would have to ignore its content, and an ignored door is an open port.",
        remedy: "Use the tables `[gate]`, `[ban]`, and `[door.NAME]` for each door.",
        example: Text(
            "[ssh]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "unknown-key",
        title: "Unknown key",
        why: "You rely on what you wrote, so ignoring it would be dangerous.",
        remedy: "Correct the name. The message shows the most similar known name.",
        example: Text("[door.ssh]\nguard = [\"tcp/22\"]"),
    },
    Entry {
        code: "missing-key",
        title: "A required key is missing",
        why: "A door needs the ports that it guards and its sequence.",
        remedy: "Add the key. The hint has an example.",
        example: Text("[door.ssh]\nguards = [\"tcp/22\"]"),
    },
    Entry {
        code: "wrong-type",
        title: "A value has the wrong type",
        why: "A number does not say which protocol a port has, and a string is not a list. \
              Guessing would be wrong in some cases.",
        remedy: "Write it as the message says: ports as `\"tcp/22\"`, durations as `\"30s\"`, lists \
                 between brackets.",
        example: Text("[door.ssh]\nguards = 22"),
    },
    Entry {
        code: "unknown-value",
        title: "A key accepts only a few words, and this is not one of them",
        why: "A misspelled word must not become the default, which can be the opposite.",
        remedy: "Write one of the words that are shown.",
        example: Text("[gate]\nstance = \"open\""),
    },
    Entry {
        code: "bad-port",
        title: "This is not a port",
        why: "A port has a protocol and a number from 1 to 65535. `tcp/22` and `udp/22` are \
              different ports.",
        remedy: "Write `tcp/N` or `udp/N`, each port by itself; there are no ranges and no names of \
                 services.",
        example: Text("[gate]\npublic = [\"https\"]"),
    },
    Entry {
        code: "bad-duration",
        title: "This is not a duration",
        why: "A number without a unit could mean seconds or minutes.",
        remedy: "Write it with its unit, as in `500ms`, `30s`, `5m` or `1m30s`.",
        example: Text("[door.ssh]\nopen_for = \"30\""),
    },
    Entry {
        code: "bad-name",
        title: "A door or an interface cannot have this name",
        why: "Names of doors are used in the firewall, in logs and as arguments of commands, so \
              only harmless characters are allowed. Names of interfaces are exact, without \
              wildcards.",
        remedy: "For doors use letters, digits, `_`, `-` and `.`, at most 48 of them. For \
                 interfaces write the name that `ip link` shows.",
        example: Text(
            "[door.\"front door\"]\nguards   = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \
             \"tcp/1123\"]",
        ),
    },
    Entry {
        code: "bad-allow",
        title: "This is not an address, network, name or interface",
        why: "Allowed addresses need no knock, so Portcullis does not guess: `10.1.2.3/8` can mean \
              one address or 16 million.",
        remedy: "Write it as in `203.0.113.7`, `2001:db8::/32`, `admin.example.org` or `iface:wg0`.",
        example: Text("[gate]\nallow = [\"10.1.2.3/8\"]"),
    },
    Entry {
        code: "bad-hook",
        title: "This command cannot be run",
        why: "A command is the whole path of a program and a list of arguments. No shell reads it, \
              so no text of an attacker can become a command.",
        remedy: "Write the whole path (`/usr/bin/logger`, not `logger`), and each argument as its \
                 own string.",
        example: Text("[door.ssh]\non_open = [\"logger\", \"{address}\"]"),
    },
    Entry {
        code: "placeholder-inside",
        title: "A placeholder is inside an argument, where nothing replaces it",
        why: "`{door}` and `{address}` are replaced only where they are a whole argument, so their \
              values can never become an option or part of a shell command.",
        remedy: "Make it an argument of its own. A script of `sh -c` gets the arguments after it \
                 as `$0`, `$1` and so on.",
        example: Text("[door.ssh]\non_open = [\"/usr/bin/logger\", \"--from={address}\"]"),
    },
    Entry {
        code: "close-without-open",
        title: "A door has `on_close` but no `on_open`",
        why: "`on_close` undoes what `on_open` did, so it needs an `on_open`.",
        remedy: "Write `on_open` too. If nothing should run, write `on_open = [\"/bin/true\"]`.",
        example: Text("[door.ssh]\non_close = [\"/usr/bin/logger\", \"closed\"]"),
    },
    Entry {
        code: "not-available",
        title: "This is planned, but not available in this version",
        why: "It is an error, not ignored, because you rely on what you wrote.",
        remedy: "Remove it.",
        example: Text("[door.admin]\nguards = [\"tcp/8443\"]\nkeys   = [\"alice\"]"),
    },
];
