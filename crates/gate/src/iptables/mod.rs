//! Loads the gate with `ip6tables-restore` and `iptables-restore`, and takes it away; grants in its lists.
//!
//! | module | what it holds |
//! |---|---|
//! | [`mod@run`] | the programs, run without a shell |
//! | [`state`] | what of ours is in the kernel now |
//! | [`chains`] | what that means: doors, their lists, whether the rules are as they should be |
//! | `words` | rules of iptables as words, whoever has written them |
//! | [`recent`] | the `recent` lists: read and written in `/proc/net/xt_recent` |
//! | [`ipset`] | the sets of ipset, over netlink |
//!
//! The two families are two transactions, so there is an order: the sets, both texts on trial, IPv6,
//! IPv4, both read back. If a step fails, the others are undone, so a host is never guarded over one family
//! only.

use std::collections::BTreeSet;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use portcullis_core::policy::Policy;
use portcullis_firewall::iptables::compile::{Generation, compile};
use portcullis_firewall::iptables::text::{Jump, is_ours, removal, sets};
use portcullis_firewall::iptables::{AddressStore, Family, Filter};

use crate::Failed;
use run::{Program, run, run_if_there};
use state::State;

pub mod chains;
pub mod ipset;
pub mod recent;
pub mod run;
pub mod state;
mod words;

/// IPv6 comes first: a host may have no rules for it yet, and people forget it.
const FAMILIES: [Family; 2] = [Family::V6, Family::V4];

/// What was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    /// Rules, of both families.
    pub rules: usize,
    /// Sets of `ipset`, of both families.
    pub sets: usize,
}

/// One family on its way.
struct Plan {
    before: State,
    filter: Filter,
    text: String,
}

/// Puts the gate in place of the one that is there, if any. Grants stay, attempts are lost.
///
/// # Errors
/// What could not be done; nothing has changed then, unless the message says so.
pub fn load(policy: &Policy, store: AddressStore) -> Result<Loaded, Failed> {
    let _undisturbed = Undisturbed::new()?;
    let before = FAMILIES.map(State::read).into_iter().collect::<Result<Vec<_>, _>>()?;
    let old_sets = match store {
        AddressStore::Ipset => set_names(&run(Program::Ipset, &["list", "-name"], "")?),
        AddressStore::Recent => BTreeSet::new(),
    };
    let used: Vec<Generation> = before
        .iter()
        .flat_map(State::generations)
        .chain(old_sets.iter().filter_map(|name| Generation::of(name)))
        .collect();
    let generation = Generation::after(&used);
    let mut plans = Vec::new();
    for before in before {
        // A configuration that was read without errors has none of these conflicts.
        let filter = compile(policy, store, before.family, generation)
            .map_err(|_| Failed::new("the doors of this configuration contradict each other"))?;
        let text = filter.text(before.jump(), &before.chains);
        plans.push(Plan { before, filter, text });
    }
    let result = make_sets(&plans).and_then(|()| load_all(&plans));
    let new_sets: BTreeSet<String> =
        plans.iter().flat_map(|plan| &plan.filter.sets).map(|set| set.name.clone()).collect();
    if result.is_err() {
        // Best effort: an empty set that nothing speaks of does nothing.
        let _ = destroy(new_sets.difference(&old_sets));
    } else if store == AddressStore::Ipset {
        destroy(old_sets.difference(&new_sets))?;
    } else {
        remove_all_sets()?;
    }
    result.map(|()| Loaded {
        rules: plans.iter().map(|plan| plan.filter.rule_count()).sum(),
        sets: new_sets.len(),
    })
}

/// Takes away all that is ours, of both address stores; whether there was anything. Where the programs are
/// not there, there is nothing that they could have made.
///
/// # Errors
/// What could not be removed.
pub fn remove() -> Result<bool, Failed> {
    let _undisturbed = Undisturbed::new()?;
    let mut found = false;
    for family in FAMILIES {
        let Some(state) = State::read_if_there(family)? else { continue };
        if !state.is_empty() {
            let text = removal(&state.chains, state.jumps.len());
            run(Program::Restore(family), &["--noflush", "--wait"], &text)?;
            found = true;
        }
    }
    Ok(remove_all_sets()? || found)
}

/// While this value exists, a hangup of the terminal or Ctrl-C does not stop us halfway between the
/// families; the signals wait until it is dropped. The programs that we run are not protected: a stopped
/// program has changed nothing, and we undo the steps before it.
struct Undisturbed {
    before: SigSet,
}

impl Undisturbed {
    fn new() -> Result<Self, Failed> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM] {
            set.add(signal);
        }
        let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK);
        let before =
            before.map_err(|errno| Failed::new(format!("cannot block signals: {errno}")))?;
        Ok(Self { before })
    }
}

impl Drop for Undisturbed {
    fn drop(&mut self) {
        // The same call has just succeeded.
        let _ = self.before.thread_set_mask();
    }
}

fn load_all(plans: &[Plan]) -> Result<(), Failed> {
    for plan in plans {
        let program = Program::Restore(plan.before.family);
        run(program, &["--noflush", "--wait", "--test"], &plan.text)?;
    }
    for (done, plan) in plans.iter().enumerate() {
        let loaded =
            run(Program::Restore(plan.before.family), &["--noflush", "--wait"], &plan.text);
        if let Err(failure) = loaded.map(drop).and_then(|()| verify(plan)) {
            // One restore is one transaction, so of the family that failed there is most likely
            // nothing to undo; but only reading it back says so.
            let loaded = plans.iter().take(done.saturating_add(1));
            return Err(match loaded.map(undo).collect::<Result<Vec<_>, _>>() {
                Ok(_) => failure,
                Err(undoing) => {
                    let message = format!(
                        "{}; undoing the change failed too: {}",
                        failure.message, undoing.message
                    );
                    Failed::new(message)
                        .hint("check with `iptables-save`, then run `portcullis remove`")
                }
            });
        }
    }
    Ok(())
}

/// Reads back what was loaded.
fn verify(plan: &Plan) -> Result<(), Failed> {
    let now = State::read(plan.before.family)?;
    let wanted: BTreeSet<&str> =
        plan.filter.chains.iter().map(|chain| chain.name.as_str()).collect();
    let found: BTreeSet<&str> = now.chains.iter().map(String::as_str).collect();
    let same = wanted == found && now.rules.len() == plan.filter.rule_count();
    if same && now.jump() == Jump::Keep {
        return Ok(());
    }
    let program = Program::Restore(plan.before.family).name();
    Err(Failed::new(format!("{program} reported success, but the rules are not loaded"))
        .hint("another program may be changing the firewall at the same time; try again"))
}

fn undo(plan: &Plan) -> Result<(), Failed> {
    let now = State::read(plan.before.family)?;
    if now != plan.before {
        let text = plan.before.restoring(&now);
        run(Program::Restore(plan.before.family), &["--noflush", "--wait"], &text)?;
    }
    Ok(())
}

fn make_sets(plans: &[Plan]) -> Result<(), Failed> {
    let text: String =
        plans.iter().map(|plan| sets(plan.filter.family, plan.filter.sets.iter())).collect();
    if !text.is_empty() {
        run(Program::Ipset, &["restore"], &text)?;
    }
    Ok(())
}

fn set_names(list: &str) -> BTreeSet<String> {
    list.lines().map(str::trim).filter(|name| is_ours(name)).map(str::to_owned).collect()
}

/// Destroys sets that no rule speaks of any more; whether there were any.
fn remove_all_sets() -> Result<bool, Failed> {
    let Some(list) = run_if_there(Program::Ipset, &["list", "-name"], "")? else {
        return Ok(false);
    };
    let ours = set_names(&list);
    destroy(ours.iter()).map(|()| !ours.is_empty())
}

fn destroy<'a>(sets: impl Iterator<Item = &'a String>) -> Result<(), Failed> {
    let text: String = sets.map(|name| format!("destroy {name}\n")).collect();
    if !text.is_empty() {
        run(Program::Ipset, &["restore"], &text)?;
    }
    Ok(())
}
