//! What the command line and the configuration say of the daemon itself.

use std::path::{Path, PathBuf};

use portcullis_config::knockd::{Configuration, Options, dump};
use portcullis_core::policy::InterfaceName;
use portcullis_linux::capture::Interfaces;

use crate::config::{self, LoadError};
use crate::door_commands::AtExit;
use crate::exit::Failure;
use crate::knockd::DEFAULT_INTERFACE;
use crate::knockd::doors::Doors;

/// What the command line says. Paths are absolute.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The configuration.
    pub config: PathBuf,
    /// What messages call it.
    pub config_as_given: PathBuf,
    /// `-i`.
    pub interface: Option<String>,
    /// `-p`, or its default.
    pub pid_file: PathBuf,
    /// `-g`.
    pub log_file: Option<PathBuf>,
    /// Where pending stop commands are kept.
    pub state_dir: PathBuf,
    /// `-d`.
    pub background: bool,
    /// `-D`.
    pub debug: bool,
    /// `-l`.
    pub lookup: bool,
    /// `-v`.
    pub verbose: bool,
    /// `-4`.
    pub only_v4: bool,
    /// `--strict-compat`.
    pub strict: bool,
    /// What becomes of pending stop commands.
    pub at_exit: AtExit,
    /// Where this was started, from which other files are found.
    pub folder: PathBuf,
}

/// A configuration that can be followed.
#[derive(Debug)]
pub struct Loaded {
    /// What it says of the daemon itself.
    pub options: Options,
    /// Its doors.
    pub doors: Doors,
    /// What `-D` prints of it.
    pub dump: Vec<u8>,
}

impl Settings {
    /// Reads the configuration.
    ///
    /// # Errors
    ///
    /// It cannot be followed. What is wrong with the file is in the second kind, with its places.
    pub fn load(&self, path: &Path) -> Result<Loaded, LoadError> {
        let configuration = config::load_knockd(path)?;
        let dump = if self.debug { dump(&configuration) } else { Vec::new() };
        let Configuration { options, .. } = configuration.clone();
        let doors = Doors::open(configuration, &self.folder, |one_time| {
            config::show(one_time.warnings());
        });
        Ok(Loaded { options, doors: doors.map_err(LoadError::Unreadable)?, dump })
    }

    /// The log file: theirs believes the configuration first.
    pub fn log_file(&self, options: &Options) -> Option<PathBuf> {
        let configured = options.log_file.as_ref().map(|path| self.folder.join(path));
        configured.or_else(|| self.log_file.clone())
    }

    /// Where the process number is written: theirs believes the configuration first.
    pub fn pid_file(&self, options: &Options) -> PathBuf {
        let configured = options.pid_file.as_ref().map(|path| self.folder.join(path));
        configured.unwrap_or_else(|| self.pid_file.clone())
    }

    /// The interfaces, as they were named: theirs believes the command line first.
    pub fn interface<'a>(&'a self, options: &'a Options) -> &'a str {
        let named = self.interface.as_deref().or(options.interface.as_deref());
        named.filter(|name| !name.is_empty()).unwrap_or(DEFAULT_INTERFACE)
    }
}

/// The interfaces of `eth0`, `eth0,eth1`, `any`.
///
/// # Errors
///
/// One of them cannot exist, by its name.
pub fn interfaces(text: &str) -> Result<Interfaces, Failure> {
    let mut names = Vec::new();
    for name in text.split(',').map(str::trim) {
        if name == "any" {
            return Ok(Interfaces::All);
        }
        let name = InterfaceName::new(name).map_err(|_| missing(name))?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(Interfaces::Named(names))
}

/// In the words of libpcap, which scripts may look for.
pub fn missing(name: impl std::fmt::Display) -> Failure {
    Failure::could_not(format!(
        "could not open {name}: {name}: No such device exists (No such device exists)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_several_and_all() {
        let named = |names: &[&str]| {
            Interfaces::Named(names.iter().map(|name| InterfaceName::new(name).unwrap()).collect())
        };
        assert_eq!(interfaces("eth0"), Ok(named(&["eth0"])));
        assert_eq!(interfaces("eth0, ppp0,eth0"), Ok(named(&["eth0", "ppp0"])));
        assert_eq!(interfaces("any"), Ok(Interfaces::All));
        for wrong in ["", "eth0,", "a/b", "a_name_that_is_far_too_long"] {
            assert!(interfaces(wrong).is_err(), "{wrong}");
        }
    }
}
