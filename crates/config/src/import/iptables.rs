//! `iptables -A INPUT -s %IP% -p tcp --dport 22 -j ACCEPT`, and its reverse (iptables(8),
//! iptables-extensions(8)).

use portcullis_core::policy::Protocol;

use super::ports;
use super::rule::{self, ADDRESS, Known, Program, Rule};

enum Verb {
    Add(Option<u32>),
    Delete(Option<u32>),
}

/// What has been read so far.
#[derive(Default)]
struct Reading {
    verb: Option<Verb>,
    chain: String,
    from_knocker: bool,
    protocol: Option<Protocol>,
    ports: Option<String>,
    multiport: bool,
    accepts: bool,
    destination: Option<String>,
    interface: Option<String>,
    details: Vec<String>,
}

/// Reads the arguments; `None` for anything that is not known for certain.
pub fn read(program: Program, arguments: &[String]) -> Option<Known> {
    let mut reading = Reading::default();
    let mut words = arguments.iter().map(String::as_str).peekable();
    while let Some(word) = words.next() {
        // `--dport=22` is `--dport 22`.
        let (option, joined) = match word.split_once('=') {
            Some((option, value)) if option.starts_with("--") => (option, Some(value)),
            _ => (word, None),
        };
        let number = |word: Option<&&str>| word.and_then(|word| word.parse::<u32>().ok());
        let mut value = || joined.or_else(|| words.next());
        match option {
            "-A" | "--append" | "-I" | "--insert" | "-D" | "--delete" => {
                reading.chain = value()?.into();
                let given = number(words.peek());
                if given.is_some() {
                    words.next();
                }
                let verb = match option {
                    "-A" | "--append" if given.is_some() => return None,
                    "-A" | "--append" => Verb::Add(None),
                    // Without a number it is put first.
                    "-I" | "--insert" => Verb::Add(given.or(Some(1))),
                    _ => Verb::Delete(given),
                };
                if reading.verb.replace(verb).is_some() {
                    return None;
                }
            }
            "-w" | "--wait" => {
                if joined.is_none() && number(words.peek()).is_some() {
                    words.next();
                }
            }
            "-t" | "--table" => (value()? == "filter").then_some(())?,
            _ => reading.matching(program, option, value)?,
        }
    }
    reading.finish(program)
}

impl Reading {
    /// What a rule asks of a packet, and what it does with it.
    fn matching<'a>(
        &mut self,
        program: Program,
        option: &str,
        mut value: impl FnMut() -> Option<&'a str>,
    ) -> Option<()> {
        match option {
            "-s" | "--source" | "--src" => {
                let whole = if program == Program::Iptables { "/32" } else { "/128" };
                let source = value()?;
                (source.strip_suffix(whole).unwrap_or(source) == ADDRESS).then_some(())?;
                self.from_knocker = true;
            }
            "-d" | "--destination" | "--dst" => self.destination = Some(value()?.into()),
            "-i" | "--in-interface" => self.interface = Some(value()?.into()),
            "-p" | "--protocol" | "--proto" => self.protocol = Some(ports::protocol(value()?)?),
            "--dport" | "--destination-port" if self.ports.is_none() => {
                self.ports = Some(value()?.into());
                (!self.ports.as_ref()?.contains(',')).then_some(())?;
            }
            "--dports" | "--destination-ports" if self.ports.is_none() && self.multiport => {
                self.ports = Some(value()?.into());
            }
            "-m" | "--match" => match value()? {
                "tcp" | "udp" | "state" | "conntrack" | "comment" => {}
                "multiport" => self.multiport = true,
                _ => return None,
            },
            "--syn" => self.details.push("syn".into()),
            "--state" | "--ctstate" => {
                let mut states: Vec<_> = value()?.split(',').collect();
                states.contains(&"NEW").then_some(())?;
                states.sort_unstable();
                self.details.push(format!("{option} {}", states.join(",")));
            }
            "--comment" => self.details.push(format!("comment {}", value()?)),
            "-j" | "--jump" => self.accepts = (value()? == "ACCEPT").then_some(true)?,
            _ => return None,
        }
        Some(())
    }

    fn finish(self, program: Program) -> Option<Known> {
        let verb = self.verb?;
        if !rule::is_for_this_host(&self.chain) {
            return None;
        }
        let nothing_else = !self.from_knocker
            && !self.accepts
            && self.protocol.is_none()
            && self.ports.is_none()
            && self.destination.is_none()
            && self.interface.is_none()
            && self.details.is_empty();
        if let Verb::Delete(Some(number)) = verb {
            return nothing_else.then_some(Known::DeleteNumber(program, self.chain, number));
        }
        let ports = ports::all(self.ports.as_deref()?.split(','), ':', &[self.protocol?]).ok()?;
        let mut details = self.details;
        details.sort_unstable();
        let rule = Rule {
            program,
            chain: self.chain,
            ports: rule::guards(ports)?,
            destination: self.destination,
            interface: self.interface,
            details,
        };
        if !(self.from_knocker && self.accepts) {
            return None;
        }
        Some(match verb {
            Verb::Add(number) => Known::Add(rule, number),
            Verb::Delete(_) => Known::Delete(rule),
        })
    }
}
