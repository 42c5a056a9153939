//! `portcullis import`: a native configuration from that of knockd or iplock, or from rules of iptables and
//! nftables.

mod files;

use std::fmt::Write as _;
use std::path::PathBuf;

use portcullis_config::import::{Imported, Kind, NoteKind, import_files};
use portcullis_config::knockd::DEFAULT_PATH;

use super::live::count;
use crate::exit::{Exit, Failure, Outcome};
use crate::{config, out};

/// Arguments of `import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "The configuration goes to standard output, notes about it go to standard \
                        error.\n\nExit code 0: everything was converted; 1: you must convert \
                        something by hand; 3: a file cannot be read, has no door, or has errors \
                        that knockd refuses too.")]
pub struct Args {
    /// A knockd.conf, output of iptables-save, ip6tables-save or nft list ruleset, or files and
    /// directories of iplock; `-` is standard input [default: /etc/knockd.conf]
    files: Vec<PathBuf>,
    /// Input format [default: detected from the content]
    #[arg(long, value_name = "KIND")]
    from: Option<Format>,
}

/// What a file can be.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// A `knockd.conf`
    Knockd,
    /// Files of `ipload` (iplock)
    Iplock,
    /// Output of `iptables-save` and `ip6tables-save`, or a script of such commands
    Iptables,
    /// Output of `nft list ruleset`, or a script for `nft -f`
    Nft,
}

impl From<Format> for Kind {
    fn from(format: Format) -> Self {
        match format {
            Format::Knockd => Self::Knockd,
            Format::Iplock => Self::Iplock,
            Format::Iptables => Self::Iptables,
            Format::Nft => Self::Nft,
        }
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    let default = [PathBuf::from(DEFAULT_PATH)];
    let named = if args.files.is_empty() { &default[..] } else { &args.files };
    let files = files::read(named)?;
    let kind = match args.from {
        Some(format) => format.into(),
        None => files::kind(&files)?,
    };
    if let (Kind::Knockd, [_, second, ..]) = (kind, &files[..]) {
        let message =
            format!("`{}` is a second file, but knockd has only one configuration", second.0);
        return Err(Failure::wrong_use(message).hint("run `portcullis import` once for each file"));
    }
    let imported = import_files(kind, &files, &mut || getrandom::u64().ok()).map_err(|report| {
        config::show(&report);
        Failure { exit: Exit::CouldNot, ..Failure::no() }
    })?;
    out::print(&imported.toml)?;
    out::say(talk(files.first().map_or("", |file| &file.0), &imported).trim_end());
    Ok(if imported.count(NoteKind::Hand) > 0 { Exit::No } else { Exit::Done })
}

/// What is said of a configuration, as a person reads it.
fn talk(name: &str, imported: &Imported) -> String {
    let mut out = String::new();
    for note in &imported.notes {
        let (line, column) = note.place;
        let kind = note.kind.word();
        let _ = writeln!(out, "{}:{line}:{column}: {kind}: {}", note.path, note.message);
        if let Some(text) = &note.line {
            let _ = writeln!(out, "  | {text}");
        }
        if let Some(hint) = &note.hint {
            let _ = writeln!(out, "  hint: {hint}");
        }
    }
    let of_rules = imported.notes.iter().any(|note| note.line.is_some());
    let mut doors = count(imported.doors, "door");
    let holes = imported.count(NoteKind::Hole);
    if holes > 0 {
        let _ = write!(doors, ", {} of the original closed", count(holes, "hole"));
    }
    let _ = match imported.count(NoteKind::Hand) {
        0 => writeln!(out, "{name}: {doors}, everything was converted"),
        hands => writeln!(out, "{name}: {doors}, {} to do by hand", count(hands, "thing")),
    };
    if of_rules {
        out.push_str(
            "  hint: the old rules stay active; after you apply the new ones, remove the old rules \
             that are converted\n",
        );
    }
    out
}
