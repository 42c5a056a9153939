//! The configuration, read once and passed on as it was read.

use std::io::{self, Read};
use std::path::PathBuf;

use portcullis_config::host::{Host, Refuse};
use portcullis_config::topology::Interface;
use portcullis_core::policy::Policy;

use crate::config;
use crate::exit::Failure;
use crate::files;

/// What the command line says.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the configuration is; `-` is standard input.
    pub path: PathBuf,
    /// Whether every stage is told.
    pub verbose: bool,
    /// Where pending `on_close` commands are kept.
    pub state_dir: PathBuf,
}

/// A configuration that may be used, and the text it was read from.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// What it says.
    pub policy: Policy,
    /// Its text, for the watcher: the file may be another one by the time it could read that.
    pub text: String,
}

impl Configuration {
    /// Reads it; what is wrong or could be better, on a host with these interfaces, is shown at once.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is wrong.
    pub fn read(
        settings: &Settings,
        interfaces: Option<Vec<Interface>>,
        refuse: Refuse,
    ) -> Result<Self, Failure> {
        let name = settings.path.to_string_lossy().escape_debug().to_string();
        let text = text(settings).map_err(|error| {
            let failure = Failure::could_not(format!("cannot read `{}`: {error}", name));
            match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    failure.hint("root must be able to read it: chmod u+r")
                }
                io::ErrorKind::NotFound => failure.hint("write this file, or name another one"),
                _ => failure,
            }
        })?;
        let hint = "this back end needs no daemon; run `portcullis apply`";
        let host = Host { interfaces, refuse, ..Host::default() };
        let loaded = config::parse_on(&host, &name, &text)
            .and_then(|loaded| loaded.only_nftables("run", hint).map_err(|report| *report));
        match loaded {
            Ok(loaded) => {
                config::show(&loaded.warnings);
                Ok(Self { policy: loaded.policy, text })
            }
            Err(report) => {
                config::show(&report);
                Err(Failure::no())
            }
        }
    }
}

fn text(settings: &Settings) -> io::Result<String> {
    let file: Box<dyn Read> = if settings.path.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(files::open_to_read(&settings.path)?)
    };
    let mut text = String::new();
    file.take(portcullis_config::MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > portcullis_config::MAX_BYTES {
        return Err(io::Error::other("the file is too large"));
    }
    Ok(text)
}
