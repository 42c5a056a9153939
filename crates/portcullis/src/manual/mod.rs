//! The manual: a page for every command and for the file that people write, from the definitions that
//! the programs themselves read.

mod file;

use std::io;

use clap::Command;
use clap_mangen::Man;

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// What it is called, with its section: `portcullis-apply.1`.
    pub name: String,
    /// For `man`, which reads roff.
    pub text: String,
}

/// All pages, in the order of their names; `portcullis` is the command line of that program.
///
/// # Errors
///
/// None that can happen: text is written to memory.
pub fn pages(portcullis: &Command) -> io::Result<Vec<Page>> {
    let mut pages = vec![file::page()?];
    for command in [portcullis_client::cli::command(), crate::knockd::cli::command()] {
        pages.push(page(command)?);
    }
    let mut built = portcullis.clone();
    // So that subcommands know their whole names.
    built.build();
    for command in built.get_subcommands().filter(|it| !it.is_hide_set()) {
        // clap's own, which says what the pages say.
        if command.get_name() != "help" {
            pages.push(page(command.clone())?);
        }
    }
    pages.push(page(portcullis.clone())?);
    pages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(pages)
}

fn page(command: Command) -> io::Result<Page> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    // The version is that of the program, and would make all pages others with each one.
    let command = command.version(None::<&str>).long_version(None::<&str>).propagate_version(false);
    let man = Man::new(command)
        .title(name.to_uppercase())
        .section("1")
        .source("Portcullis")
        .manual("Portcullis")
        .date("");
    let mut text = Vec::new();
    man.render(&mut text)?;
    let text = String::from_utf8(text).map_err(io::Error::other)?;
    Ok(Page { name: format!("{name}.1"), text })
}
