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
struct Reading {
    verb: Option<Verb>,
    rule: Rule,
    from_knocker: bool,
    protocol: Option<Protocol>,
    ports: Option<String>,
    multiport: bool,
    accepts: bool,
}

/// Reads the arguments; `None` for anything that is not known for certain.
pub fn read(program: Program, arguments: &[String]) -> Option<Known> {
    let mut reading = Reading {
        verb: None,
        rule: Rule::new(program, String::new()),
        from_knocker: false,
        protocol: None,
        ports: None,
        multiport: false,
        accepts: false,
    };
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
                reading.rule.chain = value()?.into();
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
            _ => reading.matching(option, value)?,
        }
    }
    reading.finish()
}

impl Reading {
    /// What a rule asks of a packet, and what it does with it.
    fn matching<'a>(
        &mut self,
        option: &str,
        mut value: impl FnMut() -> Option<&'a str>,
    ) -> Option<()> {
        match option {
            "-s" | "--source" | "--src" => {
                let whole = if self.rule.program == Program::Iptables { "/32" } else { "/128" };
                let source = value()?;
                (source.strip_suffix(whole).unwrap_or(source) == ADDRESS).then_some(())?;
                self.from_knocker = true;
            }
            "-d" | "--destination" | "--dst" => self.rule.destination = Some(value()?.into()),
            "-i" | "--in-interface" => self.rule.interface = Some(value()?.into()),
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
            "--syn" => self.rule.details.push("syn".into()),
            "--state" | "--ctstate" => {
                let mut states: Vec<_> = value()?.split(',').collect();
                states.contains(&"NEW").then_some(())?;
                states.sort_unstable();
                self.rule.details.push(format!("{option} {}", states.join(",")));
            }
            "--comment" => self.rule.details.push(format!("comment {}", value()?)),
            "-j" | "--jump" => self.accepts = (value()? == "ACCEPT").then_some(true)?,
            _ => return None,
        }
        Some(())
    }

    fn finish(self) -> Option<Known> {
        let Self { verb, rule, from_knocker, protocol, ports, accepts, .. } = self;
        let verb = verb?;
        if !rule::is_for_this_host(&rule.chain) {
            return None;
        }
        if let Verb::Delete(Some(number)) = verb {
            let asks = from_knocker || accepts || protocol.is_some() || ports.is_some();
            let nothing_else = !asks && rule == Rule::new(rule.program, rule.chain.clone());
            return nothing_else.then_some(Known::DeleteNumber(rule.program, rule.chain, number));
        }
        let ports = ports::all(ports.as_deref()?.split(','), ':', &[protocol?]).ok()?;
        let rule = rule.opening(ports).filter(|_| from_knocker && accepts)?;
        Some(match verb {
            Verb::Add(number) => Known::Add(rule, number),
            Verb::Delete(_) => Known::Delete(rule),
        })
    }
}
