//! The command line of `portcullis`: one definition, from which the help comes too.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands::{
    apply, boot, check, compile, confirm, demo, doors, explain, grant, grants, import, knock,
    remove, revoke, rollback, run, status,
};
use crate::exit::Exit;

/// A gate in front of chosen ports: they do not exist for the internet, until somebody knocks
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what is wrong with a configuration, and how strong its doors are
    Check(check::Args),
    /// Print the firewall rules that a configuration means
    Compile(compile::Args),
    /// Load the rules into the kernel
    Apply(apply::Args),
    /// Keep rules that were applied on trial; to be run over a new SSH session
    Confirm(confirm::Args),
    /// Take back rules that were applied on trial, at once
    Rollback(rollback::Args),
    /// Load the rules that were confirmed last, as at boot
    Boot(boot::Args),
    /// Take the rules out of the kernel, also at boot: guarded ports are open again
    Remove(remove::Args),
    /// Say whether the gate is in force, and what goes on at its doors
    Status(status::Args),
    /// List the doors of a configuration, how strong they are, and how many may pass
    Doors(doors::Args),
    /// List who may pass, and for how long still
    Grants(grants::Args),
    /// Let an address pass a door, without a knock
    Grant(grant::Args),
    /// Let an address pass no longer; with --cut its connections end too
    Revoke(revoke::Args),
    /// Print a configuration made from that of knockd or iplock, or from rules of iptables or nftables
    Import(import::Args),
    /// Run the daemon in the foreground
    Run(run::Args),
    /// Knock at a host
    Knock(knock::Args),
    /// Say what the gate does with packets: which rule sees each, which stage follows, what opens
    Explain(explain::Args),
    /// Show the whole story with real packets, in a private network; needs no root
    Demo(demo::Args),
    /// One of the daemon's processes; started by `run`
    #[command(name = "run-process", hide = true)]
    RunProcess(run::ProcessArgs),
    /// The process that rolls back; started by `apply --confirm-within`
    #[command(name = "rollback-timer", hide = true)]
    RollbackTimer(rollback::TimerArgs),
}

/// Runs the program `portcullis` with the arguments of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` are errors to clap, but not to us. Nothing can be done when
            // even the message cannot be written.
            let _ = error.print();
            return if error.use_stderr() { Exit::WrongUse } else { Exit::Done }.into();
        }
    };
    let outcome = match cli.command {
        Command::Check(args) => check::run(&args),
        Command::Compile(args) => compile::run(&args),
        Command::Apply(args) => apply::run(&args),
        Command::Confirm(args) => confirm::run(&args),
        Command::Rollback(args) => rollback::run(&args),
        Command::Boot(args) => boot::run(&args),
        Command::Remove(args) => remove::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Doors(args) => doors::run(&args),
        Command::Grants(args) => grants::run(&args),
        Command::Grant(args) => grant::run(&args),
        Command::Revoke(args) => revoke::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Knock(args) => knock::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::RunProcess(args) => run::process(&args),
        Command::RollbackTimer(args) => rollback::timer(&args),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if !failure.message.is_empty() {
                anstream::eprintln!("{failure}");
            }
            failure.exit.into()
        }
    }
}
