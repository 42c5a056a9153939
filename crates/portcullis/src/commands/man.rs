//! `portcullis man`: pages of the manual.

use std::io::ErrorKind;
use std::path::PathBuf;

use crate::exit::{Exit, Failure, Outcome};
use crate::files;
use crate::manual::{Page, pages};
use crate::out::print;

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the page: a command such as `apply`, `knockd`, or `portcullis.toml`
    #[arg(default_value = "portcullis")]
    page: String,
    /// Write all pages into this directory
    #[arg(long, value_name = "DIR", conflicts_with = "page", value_hint = clap::ValueHint::DirPath)]
    to: Option<PathBuf>,
}

/// Runs the command; `portcullis` is the command line that it is of.
pub fn run(args: &Args, portcullis: &clap::Command) -> Outcome {
    let failed = |error| Failure::could_not(format!("cannot make the manual: {error}"));
    let pages = pages(portcullis).map_err(failed)?;
    if let Some(folder) = &args.to {
        for Page { name, text } in &pages {
            let path = folder.join(name);
            files::put(&path, text.as_bytes(), 0o666).map_err(|error| {
                let shown = path.to_string_lossy().escape_debug().to_string();
                let failure = Failure::could_not(format!("cannot write {shown}: {error}"));
                match error.kind() {
                    ErrorKind::InvalidInput => failure.hint("check who created it, then remove it"),
                    _ => failure,
                }
            })?;
        }
        return Ok(Exit::Done);
    }
    let wanted = |page: &&Page| {
        let name = page.name.rsplit_once('.').map_or("", |(name, _)| name);
        name == args.page || name.strip_prefix("portcullis-") == Some(args.page.as_str())
    };
    let Some(page) = pages.iter().find(wanted) else {
        let names: Vec<&str> = pages.iter().map(|page| page.name.as_str()).collect();
        return Err(Failure::wrong_use(format!("unknown page `{}`", args.page.escape_debug()))
            .hint(format!("pages: {}", names.join(", "))));
    };
    print(&page.text).map(|()| Exit::Done)
}
