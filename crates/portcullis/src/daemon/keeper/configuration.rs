//! The configuration, read once and passed on as it was read.

use std::path::PathBuf;

use portcullis_config::host::{Host, Refuse};
use portcullis_config::topology::Interface;
use portcullis_core::policy::Policy;
use portcullis_core::text::plain;

use crate::config;
use crate::exit::Failure;

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
        let hint = "this back end needs no daemon; run `portcullis apply`";
        let host = Host { interfaces, refuse, ..Host::default() };
        let loaded = config::load_for_host(Some(&settings.path), &host)?;
        let loaded = loaded.only_nftables("run", hint).map_err(|report| {
            config::show(&report);
            Failure::no()
        })?;
        let commands = loaded.policy.doors.iter().any(|door| door.hooks.is_some());
        if commands && config::others_can_change(&settings.path) {
            let name = plain(&settings.path.to_string_lossy());
            return Err(Failure::could_not(format!(
                "other users can change `{name}`, and root would run the commands in it \
                 (`on_open`, `on_close`)"
            ))
            .hint(format!("chown root {name}; chmod 600 {name}")));
        }
        Ok(Self { policy: loaded.policy, text: loaded.text })
    }
}
