//! `portcullis doors`: lists the doors of a configuration and the number of their active grants. It prints the
//! knocks only on request, because the output of a terminal is often recorded.

use std::path::PathBuf;

use portcullis_config::duration;
use portcullis_core::policy::{Door, Port};
use portcullis_core::strength::Strength;
use portcullis_gate::Gate;
use portcullis_gate::nftables::View;
use serde_json::{Value, json};

use super::check::text::recogniser;
use super::check::with_strength;
use super::live::{millis, table};
use crate::config;
use crate::exit::{Exit, Outcome};
use crate::out::print;

/// Arguments of `doors`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration; `-` is standard input [default: /etc/portcullis/portcullis.toml]
    file: Option<PathBuf>,
    /// Also print the knocks of each door; they are secret
    #[arg(long)]
    show_sequences: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    let policy = config::load_for(args.file.as_deref())?.policy;
    let view = Gate::open()?.view()?;
    let grants = view.as_ref().map(View::grants_by_door).unwrap_or_default();
    let doors: Vec<_> = with_strength(&policy)
        .into_iter()
        .map(|(door, strength)| Shown {
            door,
            strength,
            grants: grants.get(door.name.as_str()).copied(),
            sequence: args.show_sequences,
        })
        .collect();
    if args.json {
        let doors: Vec<Value> = doors.iter().map(Shown::object).collect();
        print(&format!("{:#}\n", json!({ "doors": doors })))?;
    } else {
        let rows: Vec<_> = doors.iter().map(Shown::row).collect();
        let titles =
            ["DOOR", "GUARDS", "SEQUENCE", "BITS", "STEP", "OPEN FOR", "RECOGNISER", "GRANTS"];
        print(&table(titles, &rows))?;
    }
    Ok(Exit::Done)
}

/// A door as it is listed.
struct Shown<'a> {
    door: &'a Door,
    strength: Strength,
    /// How many may pass; `None` if it is not loaded.
    grants: Option<usize>,
    /// Whether the knocks are shown.
    sequence: bool,
}

impl Shown<'_> {
    fn row(&self) -> [String; 8] {
        let door = self.door;
        let sequence = match self.sequence {
            true => ports(&door.sequence).join(" "),
            false => format!("{} knocks", door.sequence.len()),
        };
        [
            door.name.to_string(),
            ports(&door.guards).join(" "),
            sequence,
            format!("{:.1}", self.strength.bits),
            duration::format(door.step_timeout),
            duration::format(door.open_for),
            recogniser(door.recogniser).to_owned(),
            self.grants.map_or("not loaded".into(), |grants| grants.to_string()),
        ]
    }

    fn object(&self) -> Value {
        let door = self.door;
        let mut object = json!({
            "name": door.name.as_str(),
            "guards": ports(&door.guards),
            "knocks": door.sequence.len(),
            "bits": self.strength.bits,
            "step_timeout_ms": millis(Some(door.step_timeout)),
            "open_for_ms": millis(Some(door.open_for)),
            "recogniser": recogniser(door.recogniser),
            "grants": self.grants,
        });
        if self.sequence
            && let Some(object) = object.as_object_mut()
        {
            object.insert("sequence".into(), ports(&door.sequence).into());
        }
        object
    }
}

fn ports(ports: &[Port]) -> Vec<String> {
    ports.iter().map(Port::to_string).collect()
}
