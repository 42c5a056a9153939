//! `portcullis completions`: what a shell needs to complete our command lines.

use std::io::Write;

use clap_complete::env::Shells;

use crate::complete::VARIABLE;
use crate::exit::{Exit, Failure, Outcome};

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
        Some(Ok(())) => {
            // Whoever has closed the pipe has read enough.
            let _ = std::io::stdout().write_all(&text);
            Ok(Exit::Done)
        }
        _ => Err(Failure::wrong_use("no completions for this shell")),
    }
}
