//! `portcullis import`: a native configuration from a `knockd.conf`, from the files of iplock, or from
//! rules of iptables and nftables that knocks are made of.
//!
//! | module | what it holds |
//! |---|---|
//! | `kind` | what a file is |
//! | `filter` | rules of a packet filter, and what doors, public ports and addresses they come to |
//! | `recipes` | rules as `iptables-save` and `nft list ruleset` print them |
//! | `iplock` | the rules of iplock |
//!
//! and for a `knockd.conf`
//!
//! | module | what it holds |
//! |---|---|
//! | `plan`, `planned` | which doors there will be |
//! | `purpose` | what the commands of a section come to: a rule that opens, its reverse, or somebody's own |
//! | `section` | sections to doors |
//! | `rule`, `recognise` | commands that are known, in the words of `iptables`, `nft` and `ufw` |
//! | `words` | a command line split into words |
//! | [`shell`] | the address as an argument of a command instead of a part of its text |
//! | `advice` | what the check of the policy will say, and an order of knocks that it would take |
//! | `text` | the native configuration as text |
//!
//! Nothing is left out in silence. What cannot be carried over, or means something else, is in the
//! notes; of each it is known whether somebody has to do something about it.

mod advice;
mod filter;
mod iplock;
mod iptables;
mod kind;
mod nft;
mod plan;
mod planned;
mod ports;
mod purpose;
mod recipes;
mod recognise;
mod rule;
mod section;
pub mod shell;
mod text;
mod ufw;
mod words;

use portcullis_core::text::plain;

use crate::Report;
use crate::knockd::{parse_located, without_mark};
use filter::draft;
pub use kind::Kind;

/// A native configuration, and what is to be said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The configuration.
    pub toml: String,
    /// In the order of the files.
    pub notes: Vec<Note>,
    /// How many doors the configuration has.
    pub doors: usize,
}

/// Something that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What the file is called.
    pub path: String,
    /// Where in it, line and column, both from 1.
    pub place: (usize, usize),
    /// The line itself, of rules; whoever wrote a `knockd.conf` knows it.
    pub line: Option<String>,
    /// It is about a hole of the original, which what is made of it has not.
    pub hole: bool,
    /// Whether somebody has to do something about it.
    pub by_hand: bool,
    /// What, as one sentence without a period.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Makes a native configuration from the text of a `knockd.conf`; `path` is what messages call it.
///
/// # Errors
/// Everything that is wrong with the `knockd.conf`.
pub fn import(path: &str, text: &[u8]) -> Result<Imported, Report> {
    let located = parse_located(path, text)?;
    let places = Report::of_bytes(path, without_mark(text), Vec::new());
    let mut plan = plan::plan(&located);
    advice::add(&mut plan);
    let toml = text::write(&plan, &places);
    plan.remarks.sort_by_key(|remark| remark.at);
    let notes = plan.remarks.into_iter().map(|remark| Note {
        path: places.path().into(),
        line: None,
        hole: false,
        place: places.position(remark.at),
        by_hand: remark.by_hand,
        message: plain(&remark.message),
        hint: remark.hint,
    });
    Ok(Imported { toml, notes: notes.collect(), doors: plan.doors.len() })
}

/// Makes a native configuration from files of this kind, each with what messages call it; in the order in
/// which one comes before the other. `dice` draws knocks, where those that there are do not do.
///
/// # Errors
/// There is nothing in it that the gate could do, or it is a wrong `knockd.conf`.
pub fn import_files(
    kind: Kind,
    files: &[(String, Vec<u8>)],
    dice: &mut dyn FnMut() -> Option<u64>,
) -> Result<Imported, Report> {
    if let (Kind::Knockd, [(path, bytes)]) = (kind, files) {
        return import(path, bytes);
    }
    let reports: Vec<_> =
        files.iter().map(|(path, bytes)| Report::of_bytes(path, bytes, Vec::new())).collect();
    let texts: Vec<_> =
        files.iter().map(|(path, bytes)| (path.clone(), kind::text_of(bytes))).collect();
    let mut draft = draft::Draft::default();
    match kind {
        Kind::Iptables => recipes::iptables(&texts, &mut draft),
        Kind::Nft => recipes::nft(&texts, &mut draft),
        Kind::Iplock => iplock::read(&texts, &mut draft),
        Kind::Knockd => {}
    }
    if draft.doors.is_empty() && draft.stance == portcullis_core::policy::Stance::Guard {
        return Err(kind::nothing(kind, &texts, &draft));
    }
    draft.settle(dice);
    let toml = filter::write::write(&draft, &reports, kind.name());
    let mut said = draft.said;
    said.sort_by_key(|said| said.at);
    said.dedup_by(|one, other| one.at == other.at && one.message == other.message);
    let lines: Vec<Vec<&str>> = texts.iter().map(|(_, text)| text.lines().collect()).collect();
    let notes = said.into_iter().filter_map(|said| {
        let file = reports.get(said.at.file)?;
        let place = file.position(said.at.byte);
        let line = lines.get(said.at.file)?.get(place.0.saturating_sub(1));
        let line = line.map(|line| plain(line.trim()));
        Some(Note {
            path: file.path().into(),
            place,
            line,
            hole: said.kind == draft::Kind::Hole,
            by_hand: said.kind == draft::Kind::Hand,
            message: plain(&said.message),
            hint: said.hint.as_deref().map(plain),
        })
    });
    Ok(Imported { toml, notes: notes.collect(), doors: draft.doors.len() })
}
