//! `portcullis import`: a native configuration from a `knockd.conf`, from the files of iplock, or from
//! rules of iptables and nftables that knocks are made of.
//!
//! | module | what it holds |
//! |---|---|
//! | `kind` | what a file is |
//! | `draft` | the configuration in the making, with the notes on it; each importer fills one |
//! | `advice` | what the check of the policy will say of it, and an order of knocks that it would take |
//! | `write` | the configuration as text |
//! | `ports` | ports as rules name them |
//! | `filter` | rules of a packet filter, and what doors, public ports and addresses they come to |
//! | `recipes` | rules as `iptables-save` and `nft list ruleset` print them |
//! | `iplock` | the rules of iplock |
//!
//! and for a `knockd.conf`
//!
//! | module | what it holds |
//! |---|---|
//! | `section` | sections to doors |
//! | `purpose` | what the commands of a section come to: a rule that opens, its reverse, or somebody's own |
//! | `rule`, `recognise` | commands that are known, in the words of `iptables`, `nft` and `ufw` |
//! | `words` | a command line split into words |
//! | [`shell`] | the address as an argument of a command instead of a part of its text |
//!
//! Nothing is left out in silence. What cannot be carried over, or means something else, is in the
//! notes; of each it is known whether somebody has to do something about it.

mod advice;
mod draft;
mod filter;
mod iplock;
mod iptables;
mod kind;
mod nft;
mod ports;
mod purpose;
mod recipes;
mod recognise;
mod rule;
mod section;
pub mod shell;
mod ufw;
mod words;
mod write;

use portcullis_core::policy::Stance;
use portcullis_core::text::plain;

use crate::Report;
use crate::knockd::{parse_located, without_mark};
use crate::report::text_of;
pub use draft::NoteKind;
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
    /// How much it matters.
    pub kind: NoteKind,
    /// What, as one sentence without a period.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Imported {
    /// How many notes there are of this kind.
    pub fn count(&self, kind: NoteKind) -> usize {
        self.notes.iter().filter(|note| note.kind == kind).count()
    }
}

/// Makes a native configuration from the text of a `knockd.conf`; `path` is what messages call it.
///
/// # Errors
/// Everything that is wrong with the `knockd.conf`.
pub fn import(path: &str, text: &[u8]) -> Result<Imported, Report> {
    import_files(Kind::Knockd, &[(path.into(), text.into())], &mut || None)
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
    let texts: Vec<_> =
        files.iter().map(|(path, bytes)| (path.clone(), text_of(without_mark(bytes)))).collect();
    let reports: Vec<_> =
        texts.iter().map(|(path, text)| Report::new(path, text, Vec::new())).collect();
    let mut draft = draft::Draft::default();
    match kind {
        Kind::Iptables => recipes::iptables(&texts, &mut draft),
        Kind::Nft => recipes::nft(&texts, &mut draft),
        Kind::Iplock => iplock::read(&texts, &mut draft),
        Kind::Knockd => {
            for (file, (path, bytes)) in files.iter().enumerate() {
                section::read(&parse_located(path, bytes)?, file, &mut draft);
            }
        }
    }
    if draft.doors.is_empty() && draft.stance == Stance::Guard {
        return Err(kind::nothing(kind, &texts, &draft));
    }
    // What is wrong with a `knockd.conf` has been said; its clients go on with the knocks that they have.
    if kind != Kind::Knockd {
        filter::strengthen::settle(&mut draft, dice);
    }
    advice::add(&mut draft);
    let toml = write::write(&draft, &reports, kind);
    let mut said = draft.said;
    said.sort_by_key(|said| said.at);
    said.dedup_by(|one, other| one.at == other.at && one.message == other.message);
    let lines: Vec<Vec<&str>> = texts.iter().map(|(_, text)| text.lines().collect()).collect();
    let notes = said.into_iter().filter_map(|said| {
        let file = reports.get(said.at.file)?;
        let place = file.position(said.at.byte);
        let line = lines.get(said.at.file)?.get(place.0.saturating_sub(1));
        Some(Note {
            path: file.path().into(),
            place,
            line: line.filter(|_| kind != Kind::Knockd).map(|line| plain(line.trim())),
            kind: said.kind,
            message: plain(&said.message),
            hint: said.hint.as_deref().map(plain),
        })
    });
    Ok(Imported { toml, notes: notes.collect(), doors: draft.doors.len() })
}
