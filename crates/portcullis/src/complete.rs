//! Completions for a shell while the user types: commands and options come from the definition of the
//! command line, the names here from what is configured and loaded.
//!
//! The shell runs this program for that. A user who cannot read the configuration or ask the kernel gets no
//! names.

use std::collections::BTreeSet;
use std::path::Path;

use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use portcullis_config::DEFAULT_PATH;
use portcullis_gate::Gate;
use portcullis_gate::nftables::Banned;

use crate::config;

/// The variable by which a shell asks. One of our own: `COMPLETE` may be set for something else.
pub const VARIABLE: &str = "PORTCULLIS_COMPLETE";

/// For an argument that names a door.
pub fn doors() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let mut names: BTreeSet<String> = BTreeSet::new();
        if let Ok(loaded) = config::load(Path::new(DEFAULT_PATH)) {
            names.extend(loaded.policy.doors.iter().map(|door| door.name.as_str().to_owned()));
        }
        if let Ok(Some(view)) = Gate::open().and_then(|mut gate| gate.view()) {
            names.extend(view.doors.into_iter().map(|door| door.name));
        }
        names.into_iter().map(CompletionCandidate::new).collect()
    })
}

/// For an argument that names somebody who may pass.
pub fn grantees() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let view = Gate::open().and_then(|mut gate| gate.view()).ok().flatten();
        let grants = view.map(|view| view.grants).unwrap_or_default();
        let addresses: BTreeSet<_> = grants.into_iter().map(|grant| grant.address).collect();
        addresses.into_iter().map(|it| CompletionCandidate::new(it.to_string())).collect()
    })
}

/// For an argument that names somebody who is banned.
pub fn banned() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let bans = Gate::open().and_then(|mut gate| gate.bans()).unwrap_or_default();
        let sources: BTreeSet<_> = bans.iter().map(Banned::source).collect();
        sources.into_iter().map(CompletionCandidate::new).collect()
    })
}
