//! The command line of `portcullis`: one definition, from which the help comes too.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::CompleteEnv;

use crate::commands::{
    apply, ban, bans, boot, check, compile, completions, confirm, count, demo, doors, explain,
    grant, grants, import, knock, man, remove, replay, revoke, rollback, run, status, trace, unban,
};
use crate::complete;
use crate::exit::Exit;
use crate::out::say;

/// Hide chosen ports until a client knocks
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a configuration and show how strong its doors are
    Check(check::Args),
    /// Count the possible sequences and show how long guessing one takes
    Count(count::Args),
    /// Print the firewall rules of a configuration
    Compile(compile::Args),
    /// Load the rules into the kernel
    Apply(apply::Args),
    /// Keep rules on trial (run it in a new SSH session)
    Confirm(confirm::Args),
    /// Undo rules on trial now
    Rollback(rollback::Args),
    /// Load the confirmed rules, as at boot
    Boot(boot::Args),
    /// Remove the rules, also at boot; guarded ports are open again
    Remove(remove::Args),
    /// Show whether the gate is active, and what happens at its doors
    Status(status::Args),
    /// List doors, their strength and active grants
    Doors(doors::Args),
    /// List active grants and their remaining time
    Grants(grants::Args),
    /// Grant an address access without a knock
    Grant(grant::Args),
    /// Revoke a grant; --cut also closes its connections
    Revoke(revoke::Args),
    /// List active bans and their remaining time
    Bans(bans::Args),
    /// Ban an address; --cut also closes its connections
    Ban(ban::Args),
    /// End a ban and clear its strikes
    Unban(unban::Args),
    /// Convert a configuration of knockd or iplock, or rules of iptables or nftables
    Import(import::Args),
    /// Run the daemon in the foreground
    Run(run::Args),
    /// Knock at a host
    Knock(knock::Args),
    /// Show how the rules treat packets: the rule, the stage, the door that opens
    Explain(explain::Args),
    /// Show which doors a capture would have opened
    Replay(replay::Args),
    /// Follow knocks as they arrive and show why a door does not open
    Trace(trace::Args),
    /// Show everything with real packets in a private network; needs no root
    Demo(demo::Args),
    /// Print the completions for a shell, including door names
    Completions(completions::Args),
    /// Print a manual page; read it with `portcullis man apply | man -l -`
    Man(man::Args),
    /// One of the daemon's processes; started by `run`
    #[command(name = "run-process", hide = true)]
    RunProcess(run::ProcessArgs),
    /// The process that rolls back; started by `apply --confirm-within`
    #[command(name = "rollback-timer", hide = true)]
    RollbackTimer(rollback::TimerArgs),
}

/// Runs the program `portcullis` with the arguments of this process.
pub fn main() -> ExitCode {
    if answer() {
        return Exit::Done.into();
    }
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
        Command::Count(args) => count::run(&args),
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
        Command::Bans(args) => bans::run(&args),
        Command::Ban(args) => ban::run(&args),
        Command::Unban(args) => unban::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Knock(args) => knock::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Trace(args) => trace::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args, &Cli::command()),
        Command::RunProcess(args) => run::process(&args),
        Command::RollbackTimer(args) => rollback::timer(&args),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if !failure.message.is_empty() {
                say(&failure.to_string());
            }
            failure.exit.into()
        }
    }
}

/// Answers a shell, if it is one that has started this program; whether it was.
fn answer() -> bool {
    // Every command begins here, and hardly ever for this.
    if std::env::var_os(complete::VARIABLE).is_none() {
        return false;
    }
    let here = std::env::current_dir().ok();
    let asked = CompleteEnv::with_factory(Cli::command).var(complete::VARIABLE);
    let arguments: Vec<_> = std::env::args_os().collect();
    // To say what is wrong would only garble the line that is being typed.
    !arguments.is_empty() && asked.try_complete(arguments, here.as_deref()).unwrap_or(true)
}
