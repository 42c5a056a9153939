//! `portcullis import`: a native configuration from a `knockd.conf`.
//!
//! | module | what it holds |
//! |---|---|
//! | `plan` | which doors there will be |
//! | `purpose` | what the commands of a section come to: a rule that opens, its reverse, or somebody's own |
//! | `section` | sections to doors |
//! | `rule` | commands that are known, in the words of `iptables`, `nft` and `ufw` |
//! | `words` | a command line split into words |
//! | [`shell`] | the address as an argument of a command instead of a part of its text |
//! | `advice` | what the check of the policy will say, and an order of knocks that it would take |
//! | `text` | the native configuration as text |
//!
//! Nothing is left out in silence. What cannot be carried over, or means something else, is in the
//! notes; of each it is known whether somebody has to do something about it.

mod advice;
mod iptables;
mod nft;
mod plan;
mod purpose;
mod rule;
mod section;
pub mod shell;
mod text;
mod ufw;
mod words;

use crate::config::Report;
use crate::config::report::plain;
use crate::knockd::config::{parse_located, without_mark};

/// A native configuration, and what is to be said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The configuration.
    pub toml: String,
    /// In the order of the `knockd.conf`.
    pub notes: Vec<Note>,
    /// How many doors the configuration has.
    pub doors: usize,
}

/// Something that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where in the `knockd.conf`, line and column, both from 1.
    pub place: (usize, usize),
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
        place: places.position(remark.at),
        by_hand: remark.by_hand,
        message: plain(&remark.message),
        hint: remark.hint,
    });
    Ok(Imported { toml, notes: notes.collect(), doors: plan.doors.len() })
}
