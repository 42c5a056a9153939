//! What a section of a `knockd.conf` says, as values.

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use portcullis_core::knockd::FlagFilter;
use portcullis_core::policy::Port;
use portcullis_core::text::plain;

/// A section that is not `[options]`: knocks, and what they set going.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// What the log calls it.
    pub name: Name,
    /// What opens it.
    pub knocks: Knocks,
    /// From the first knock to the last, in whole seconds. Zero stands for negative numbers too.
    pub seq_timeout: Duration,
    /// Which TCP segments it sees.
    pub flags: FlagFilter,
    /// The address that must be knocked at; `None` for those of this host.
    pub target: Option<IpAddr>,
    /// From the start command to the stop command, in whole seconds. Zero stands for negative
    /// numbers too.
    pub cmd_timeout: Duration,
    /// May be empty, which means nothing to run: see [`start_command`](Self::start_command).
    pub start_command: Option<CommandLine>,
    /// For knockers with an IPv6 address. May be empty.
    pub start_command_6: Option<CommandLine>,
    /// May be empty.
    pub stop_command: Option<CommandLine>,
    /// For knockers with an IPv6 address. May be empty.
    pub stop_command_6: Option<CommandLine>,
}

impl Door {
    /// What `seq_timeout` is when it is not given (knockd's; its manual does not say).
    pub const DEFAULT_SEQ_TIMEOUT: Duration = Duration::from_secs(25);

    /// What `cmd_timeout` is when it is not given (knockd's; its manual does not say).
    pub const DEFAULT_CMD_TIMEOUT: Duration = Duration::from_secs(10);

    /// What to run when this address has knocked, if anything. For an IPv6 address that is
    /// `start_command_6`; `start_command` only when the former is not given at all (knockd(1)).
    pub fn start_command(&self, address: IpAddr) -> Option<&CommandLine> {
        choose(address, self.start_command.as_ref(), self.start_command_6.as_ref())
    }

    /// What to run `cmd_timeout` after that, if anything; chosen in the same way.
    pub fn stop_command(&self, address: IpAddr) -> Option<&CommandLine> {
        choose(address, self.stop_command.as_ref(), self.stop_command_6.as_ref())
    }
}

fn choose<'a>(
    address: IpAddr,
    command: Option<&'a CommandLine>,
    command_6: Option<&'a CommandLine>,
) -> Option<&'a CommandLine> {
    let chosen = match address {
        IpAddr::V4(_) => command,
        IpAddr::V6(_) => command_6.or(command),
    };
    chosen.filter(|command| !command.as_bytes().is_empty())
}

/// What opens a door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Knocks {
    /// These, each time: 1 to 32.
    Sequence(Vec<Port>),
    /// Those of this file, each line once.
    OneTime(PathBuf),
}

/// The name of a section: 1 to 127 bytes, any but NUL and newline.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Vec<u8>);

impl Name {
    /// The longest name, in bytes. knockd cuts off what is longer, and so does this.
    pub const MAX: usize = 127;

    /// Keeps a name; `None` if there is nothing.
    pub fn new(name: &[u8]) -> Option<Self> {
        let kept = name.get(..Self::MAX).unwrap_or(name);
        (!kept.is_empty()).then(|| Self(kept.to_vec()))
    }

    /// As it stands in the file.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Name {
    /// Writes the name so that it can harm neither a terminal nor a log: control characters are
    /// escaped, and what is not UTF-8 is replaced.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&plain(&String::from_utf8_lossy(&self.0)))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name(\"{}\")", self.0.escape_ascii())
    }
}

/// The text of a command, for `/bin/sh -c`: any bytes but NUL and newline, in which `%IP%` stands
/// for the address of the knocker.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CommandLine(Vec<u8>);

impl CommandLine {
    /// What stands for the address.
    pub const ADDRESS: &'static [u8] = b"%IP%";

    /// Keeps a command.
    pub fn new(text: &[u8]) -> Self {
        Self(text.to_vec())
    }

    /// As it stands in the file.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The command for this address. Nothing but the literal `%IP%` is replaced; an address is
    /// digits, letters, `.` and `:`, none of which means anything to a shell.
    pub fn expand(&self, address: IpAddr) -> OsString {
        let address = address.to_string();
        let mut out = Vec::with_capacity(self.0.len());
        let mut rest = self.0.as_slice();
        while let Some((first, after)) = rest.split_first() {
            if let Some(after) = rest.strip_prefix(Self::ADDRESS) {
                out.extend_from_slice(address.as_bytes());
                rest = after;
            } else {
                out.push(*first);
                rest = after;
            }
        }
        OsString::from_vec(out)
    }
}

impl fmt::Display for CommandLine {
    /// Writes the command so that it can harm neither a terminal nor a log, as [`Name`] does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&plain(&String::from_utf8_lossy(&self.0)))
    }
}

impl fmt::Debug for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommandLine(\"{}\")", self.0.escape_ascii())
    }
}

/// Bytes of the file as a log or a terminal may have them: what a terminal would act upon is escaped,
/// tabs stay, and so does what is not UTF-8 but a letter of an older character set.
pub fn harmless(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for (index, part) in chunk.valid().split('\t').enumerate() {
            out.extend((index > 0).then_some(b'\t'));
            out.extend_from_slice(plain(part).as_bytes());
        }
        for byte in chunk.invalid() {
            // 0x80 to 0x9f are the second set of control characters (ECMA-48).
            match byte {
                0xa0.. => out.push(*byte),
                _ => out.extend(byte.escape_ascii()),
            }
        }
    }
    out
}
