//! `portcullis status`: shows whether the gate is active, as configured.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_config::duration::to_the_second;
use portcullis_config::topology::{Blind, Topology};
use portcullis_config::{DEFAULT_PATH, Diagnostic, conntrack};
use portcullis_core::policy::{Policy, Recogniser};
use portcullis_core::text::plain;
use portcullis_gate::nftables::View;
use portcullis_gate::{Backend, Gate};
use portcullis_linux::netlink::route::Route;
use serde_json::{Value, json};

use super::check::text::recogniser;
use super::live::{count, of_daemon, table, warn_of_deaf_doors};
use super::state_dir::StateDir;
use crate::apply::{self, Configured};
use crate::config::{self, LoadError};
use crate::daemon::keeper;
use crate::exit::{Exit, Failure, Outcome};
use crate::look;
use crate::out::{print, say};

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration; `-` is standard input [default: /etc/portcullis/portcullis.toml]
    file: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    state_dir: StateDir,
}

/// Runs the command. What the kernel holds is told even if the configuration is of no use.
pub fn run(args: &Args) -> Outcome {
    let path = args.file.as_deref().unwrap_or(Path::new(DEFAULT_PATH));
    let (configured, unusable) = match config::load(path) {
        Ok(loaded) => (Some(Configured::new(loaded)?), None),
        Err(LoadError::Unreadable(failure)) => (None, Some(failure)),
        Err(LoadError::Invalid(report)) => {
            config::show(&report);
            (None, Some(Failure::no()))
        }
    };
    let mut gate = Gate::open()?;
    let loaded = gate.backend()?;
    let knocking = gate.knocking()?;
    let interfaces = Route::open().and_then(|mut route| look::interfaces(&mut route));
    let interfaces = interfaces
        .map_err(|error| Failure::could_not(format!("cannot list the interfaces: {error}")))?;
    let blind = configured
        .as_ref()
        .map(|configured| Topology::new(&configured.policy.gate, &interfaces).blind())
        .unwrap_or_default();
    let status = Status {
        blind,
        crowded: look::tracking().map(conntrack::warnings).unwrap_or_default(),
        file: path.to_string_lossy().into_owned(),
        difference: match (&configured, loaded) {
            (Some(it), Some(_)) => gate.difference(&it.policy, &it.rules)?,
            _ => None,
        },
        policy: configured.map(|configured| configured.policy),
        loaded,
        view: gate.view()?,
        bans: gate.bans()?.len(),
        daemon: keeper::is_running()?,
        knocking,
        trial: apply::trial(&args.state_dir.path)?.map(|trial| trial.left),
    };
    print(&if args.json { format!("{:#}\n", status.json()) } else { status.text() })?;
    status.warn();
    match unusable {
        Some(failure) => Err(failure),
        None if status.in_force() => Ok(Exit::Done),
        None => Ok(Exit::No),
    }
}

struct Status {
    file: String,
    /// `None` if it is of no use.
    policy: Option<Policy>,
    /// Which back end is loaded.
    loaded: Option<Backend>,
    /// `None` if nothing is loaded.
    view: Option<View>,
    /// In what is loaded is not what the configuration means.
    difference: Option<String>,
    /// Named interfaces on which no packet arrives.
    blind: Vec<Blind>,
    /// What is odd about the table of connections.
    crowded: Vec<Diagnostic>,
    /// How many sources are banned.
    bans: usize,
    daemon: bool,
    knocking: usize,
    /// How long the rules are on trial; zero if nobody has rolled them back.
    trial: Option<Duration>,
}

/// A door of the configuration, of the kernel, or of both.
struct Row<'a> {
    name: &'a str,
    recogniser: Option<Recogniser>,
    grants: Option<usize>,
}

impl Status {
    fn in_force(&self) -> bool {
        let loaded = self.policy.is_some() && self.view.is_some() && self.difference.is_none();
        loaded && self.blind.is_empty()
    }

    /// What is odd about this host: code, message and hint.
    fn findings(&self) -> Vec<(&'static str, String, String)> {
        let blind =
            self.blind.iter().map(|blind| (blind.why.code(), blind.message(), blind.hint()));
        let crowded = self.crowded.iter().map(|found| {
            (found.code, found.message.clone(), found.hint.clone().unwrap_or_default())
        });
        blind.chain(crowded).collect()
    }

    fn rows(&self) -> Vec<Row<'_>> {
        let view = self.view.as_ref();
        let grants = view.map(View::grants_by_door).unwrap_or_default();
        let configured = self.policy.iter().flat_map(|policy| &policy.doors);
        let mut rows: Vec<Row<'_>> = configured
            .map(|door| Row {
                name: door.name.as_str(),
                recogniser: Some(door.recogniser),
                grants: grants.get(door.name.as_str()).copied(),
            })
            .collect();
        let known: std::collections::HashSet<&str> = rows.iter().map(|row| row.name).collect();
        let loaded = view.into_iter().flat_map(|view| &view.doors);
        let others: Vec<_> = loaded.filter(|door| !known.contains(door.name.as_str())).collect();
        rows.extend(others.into_iter().map(|door| Row {
            name: &door.name,
            recogniser: None,
            grants: grants.get(door.name.as_str()).copied(),
        }));
        rows
    }

    fn json(&self) -> Value {
        let doors: Vec<Value> = self
            .rows()
            .iter()
            .map(|row| {
                json!({
                    "name": row.name,
                    "recogniser": row.recogniser.map(recogniser),
                    "loaded": row.grants.is_some(),
                    "grants": row.grants.unwrap_or(0),
                })
            })
            .collect();
        let findings: Vec<Value> = self
            .findings()
            .into_iter()
            .map(|(code, message, hint)| json!({ "code": code, "message": message, "hint": hint }))
            .collect();
        json!({
            "file": self.file,
            "in_force": self.in_force(),
            "loaded": self.view.is_some(),
            "backend": self.loaded.map(Backend::word),
            "difference": self.difference,
            "findings": findings,
            "daemon": self.daemon,
            "attempts": self.knocking,
            "trial_ms": self.trial.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
            "grants": self.view.as_ref().map_or(0, |view| view.grants.len()),
            "bans": self.bans,
            "doors": doors,
        })
    }

    fn text(&self) -> String {
        let file = plain(&self.file);
        let gate = match (&self.view, &self.difference) {
            (None, _) => "not loaded; all guarded ports are open".to_owned(),
            (Some(_), None) if !self.blind.is_empty() => {
                let blind: Vec<_> = self.blind.iter().map(|blind| blind.name.as_str()).collect();
                format!("loaded, but sees no packets: none arrive on {}", plain(&blind.join(", ")))
            }
            (Some(_), None) if self.policy.is_some() => format!("active, as configured in {file}"),
            (Some(_), None) => format!("loaded; cannot compare it with {file}"),
            (Some(_), Some(difference)) => {
                format!("loaded, but different from {file}: {}", plain(difference))
            }
        };
        let daemon = if self.daemon { "running" } else { "not running" };
        let mut out = String::new();
        let _ = writeln!(out, "gate      {gate}");
        match self.trial {
            None => {}
            Some(Duration::ZERO) => {
                out.push_str("trial     time is over; run `portcullis rollback` to undo it\n");
            }
            Some(left) => {
                let left = to_the_second(left);
                let _ =
                    writeln!(out, "trial     undone in {left} unless you run `portcullis confirm`");
            }
        }
        if let Some(loaded) = self.loaded {
            let _ = writeln!(out, "backend   {}", loaded.word());
        }
        let _ = writeln!(out, "daemon    {daemon}");
        let _ = writeln!(out, "attempts  {} in progress (seen by the kernel)", self.knocking);
        let _ = writeln!(out, "banned    {}", count(self.bans, "source"));
        let rows: Vec<_> = self
            .rows()
            .into_iter()
            .map(|row| {
                let recogniser = row.recogniser.map_or("not configured", recogniser);
                let grants = row.grants.map_or("not loaded".into(), |grants| grants.to_string());
                [row.name.to_owned(), recogniser.to_owned(), grants]
            })
            .collect();
        if !rows.is_empty() {
            out.push('\n');
            out.push_str(&table(["DOOR", "RECOGNISER", "GRANTS"], &rows));
        }
        out
    }

    /// What a person should do something about.
    fn warn(&self) {
        for (_, message, hint) in self.findings() {
            say(&format!("warning: {}\n  hint: {}", plain(&message), plain(&hint)));
        }
        // While a daemon runs its rules have to be those of its own configuration.
        match (self.view.is_none(), self.difference.is_some(), self.daemon) {
            (true, _, false) => say("hint: run `portcullis apply` to load the gate"),
            (false, true, false) => {
                say(
                    "hint: run `portcullis apply` to load the configuration; active grants stay, unless \
                     the back end is another",
                );
            }
            (true, ..) | (_, true, _) => {
                say("hint: run `systemctl reload portcullis-run` (or send SIGHUP) to load the \
                     configuration of the daemon; active grants stay")
            }
            (false, false, _) => {}
        }
        if let Some(policy) = &self.policy
            && !self.daemon
        {
            warn_of_deaf_doors(of_daemon(policy));
        }
    }
}
