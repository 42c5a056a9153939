//! `portcullis completions`: what a shell needs to complete our command lines.

use clap_complete::env::Shells;

use crate::complete::VARIABLE;
use crate::exit::{Exit, Failure, Outcome};
use crate::out::print;

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "For bash, in ~/.bashrc:  source <(portcullis completions bash)")]
pub struct Args {
    /// Name of the shell
    #[arg(value_parser = ["bash", "elvish", "fish", "powershell", "zsh"])]
    shell: String,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    let shells = Shells::builtins();
    let mut text = Vec::new();
    let written = shells.completer(&args.shell).map(|shell| {
        shell.write_registration(VARIABLE, "portcullis", "portcullis", "portcullis", &mut text)
    });
    match written {
        Some(Ok(())) => print(&String::from_utf8_lossy(&text)).map(|()| Exit::Done),
        _ => Err(Failure::wrong_use("no completions for this shell")),
    }
}
