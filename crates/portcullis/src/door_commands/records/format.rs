//! A record as text. Versioned, and with a sum at its end: a torn or foreign file is never executed.
//!
//! ```text
//! portcullis pending stop 1
//! boot 0d5a4ef6-…            of which life of the machine it is
//! pids 4026531836            of which namespace the process ids are
//! began unknown              what became of the start command: unknown, succeeded, failed
//! due -                      nanoseconds of CLOCK_BOOTTIME after a hand-over
//! address 203.0.113.7
//! door 3:SSH
//! stop 17:/usr/sbin/close %  a line of shell, or else
//! arguments 2                a program and its arguments, each on a line as below
//! argument 10:/bin/close
//! argument 11:203.0.113.7
//! sum 8f3a…                  FNV-1a, 64 bits, of all before this line
//! ```

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use portcullis_core::time::Instant;

use super::super::job::{Began, Command, JobId, PendingStop};
use super::Here;

/// Longest record, in bytes: many times what a configuration can hold.
pub const LONGEST: usize = 1 << 20;

const FIRST: &str = "portcullis pending stop 1";

/// The record as it is written.
pub fn write(record: &PendingStop, here: &Here) -> Vec<u8> {
    let mut head = String::new();
    let due = record.due.map_or_else(|| "-".to_owned(), |due| due.as_nanos().to_string());
    let began = word(record.began);
    // Writing to a string cannot fail.
    let _ = writeln!(head, "{FIRST}\nboot {}\npids {}\nbegan {began}", here.boot, here.pids);
    let _ = writeln!(head, "due {due}\naddress {}", record.address);
    let mut text = head.into_bytes();
    counted(&mut text, "door", &record.door);
    match &record.stop {
        Command::Shell(line) => counted(&mut text, "stop", line.as_bytes()),
        Command::Program(arguments) => {
            text.extend_from_slice(format!("arguments {}\n", arguments.len()).as_bytes());
            for argument in arguments {
                counted(&mut text, "argument", argument.as_bytes());
            }
        }
    }
    let sum = sum(&text);
    text.extend_from_slice(format!("sum {sum:016x}\n").as_bytes());
    text
}

/// Bytes that may hold anything, and how many they are.
fn counted(text: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    text.extend_from_slice(format!("{name} {}:", bytes.len()).as_bytes());
    text.extend_from_slice(bytes);
    text.push(b'\n');
}

/// What is in such a file, with the life of the machine in which it was written; nothing when it is
/// not whole.
pub fn read(text: &[u8], id: JobId) -> Option<(PendingStop, Here)> {
    let mut rest = Rest(text);
    let first = rest.line()?;
    if first != FIRST.as_bytes() {
        return None;
    }
    let here = Here { boot: rest.word("boot")?.to_owned(), pids: rest.word("pids")?.parse().ok()? };
    let began = rest.word("began")?;
    let began = [Began::Unknown, Began::Succeeded, Began::Failed]
        .into_iter()
        .find(|state| word(*state) == began)?;
    let due = match rest.word("due")? {
        "-" => None,
        nanos => Some(Instant::from_nanos(nanos.parse().ok()?)),
    };
    let address = rest.word("address")?.parse().ok()?;
    let door = rest.bytes("door")?.to_vec();
    let stop = rest.command()?;
    let summed = text.get(..text.len().checked_sub(rest.0.len())?)?;
    let whole = rest.word("sum")? == format!("{:016x}", sum(summed)) && rest.0.is_empty();
    whole.then_some((PendingStop { id, door, address, stop, began, due }, here))
}

const fn word(began: Began) -> &'static str {
    match began {
        Began::Unknown => "unknown",
        Began::Succeeded => "succeeded",
        Began::Failed => "failed",
    }
}

/// FNV-1a of 64 bits. Against accidents; who can write here on purpose is root.
fn sum(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn line(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == b'\n')?;
        let (line, rest) = self.0.split_at_checked(end)?;
        self.0 = rest.get(1..)?;
        Some(line)
    }

    fn word(&mut self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.line()?).ok()?.strip_prefix(name)?.strip_prefix(' ')
    }

    fn command(&mut self) -> Option<Command> {
        if self.0.starts_with(b"stop ") {
            return Some(Command::Shell(OsString::from_vec(self.bytes("stop")?.to_vec())));
        }
        let count: usize = self.word("arguments")?.parse().ok()?;
        let mut arguments = Vec::new();
        for _ in 0..count {
            let argument = self.bytes("argument")?.to_vec();
            arguments.push(String::from_utf8(argument).ok()?);
        }
        Some(Command::Program(arguments))
    }

    fn bytes(&mut self, name: &str) -> Option<&'a [u8]> {
        let rest = self.0.strip_prefix(name.as_bytes())?.strip_prefix(b" ")?;
        let colon = rest.iter().position(|byte| *byte == b':')?;
        let (length, rest) = rest.split_at_checked(colon)?;
        let length = std::str::from_utf8(length).ok()?.parse().ok()?;
        let (bytes, rest) = rest.get(1..)?.split_at_checked(length)?;
        self.0 = rest.strip_prefix(b"\n")?;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> PendingStop {
        PendingStop {
            id: JobId(7),
            door: b"open\xff SSH: 1".to_vec(),
            address: "2001:db8::7".parse().unwrap(),
            stop: OsString::from_vec(b"echo 'a\nb' \xfe; close sum 1".to_vec()).into(),
            began: Began::Failed,
            due: Some(Instant::from_nanos(5)),
        }
    }

    fn here() -> Here {
        Here { boot: "0d5a4ef6-1".to_owned(), pids: 4_026_531_836 }
    }

    #[test]
    fn what_is_written_is_read() {
        for (began, due) in [
            (Began::Unknown, None),
            (Began::Succeeded, Some(Instant::from_nanos(u64::MAX))),
            (Began::Failed, Some(Instant::ORIGIN)),
        ] {
            let record = PendingStop { began, due, ..record() };
            let text = write(&record, &here());
            assert_eq!(read(&text, JobId(7)), Some((record, here())));
        }
    }

    #[test]
    fn a_program_is_not_a_line_of_shell() {
        let lists: [&[&str]; 4] = [
            &["/bin/close", "203.0.113.7"],
            &["/bin/close", "", "a\nstop 3:abc", "ü"],
            &["/x"],
            &[],
        ];
        for list in lists {
            let stop = Command::Program(list.iter().map(|item| (*item).to_owned()).collect());
            let record = PendingStop { stop, ..record() };
            assert_eq!(read(&write(&record, &here()), JobId(7)), Some((record, here())));
        }
    }

    /// As it was written before there were lists.
    #[test]
    fn old_records_are_read() {
        let text = b"portcullis pending stop 1\nboot 0d5a4ef6-1\npids 4026531836\nbegan failed\n\
                     due 5\naddress 2001:db8::7\ndoor 12:open\xff SSH: 1\n\
                     stop 25:echo 'a\nb' \xfe; close sum 1\n";
        let text = [text, format!("sum {:016x}\n", sum(text)).as_bytes()].concat();
        assert_eq!(read(&text, JobId(7)), Some((record(), here())));
    }

    #[test]
    fn what_is_torn_or_changed_is_noticed() {
        is_whole_or_nothing(&record());
        let stop = Command::Program(vec!["/bin/close".to_owned(), "203.0.113.7".to_owned()]);
        is_whole_or_nothing(&PendingStop { stop, ..record() });
    }

    fn is_whole_or_nothing(record: &PendingStop) {
        let text = write(record, &here());
        for end in 0..text.len() {
            assert_eq!(read(text.get(..end).unwrap(), JobId(7)), None, "the first {end} bytes");
        }
        for at in 0..text.len() {
            let mut changed = text.clone();
            changed[at] ^= 1;
            assert_eq!(read(&changed, JobId(7)), None, "byte {at}");
        }
        let mut longer = text;
        longer.push(b'\n');
        assert_eq!(read(&longer, JobId(7)), None);
    }
}
