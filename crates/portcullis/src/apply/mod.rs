//! Rules into the kernel, and back out of it unless somebody confirms them.
//!
//! | module | what it holds |
//! |---|---|
//! | [`kernel`] | the kernel, by way of nftables and of iptables |
//! | [`state`] | what is confirmed and what is on trial, on disk |
//! | [`session`] | the SSH session that a command is run from |
//! | [`lockout`] | whether rules would lock out that session |
//! | `configured`, [`chains`] | a configuration with its rules; chains of iptables as they are remembered |
//! | `prepared` | the rules to restore |
//! | [`timer`] | the process that rolls back |
//!
//! A trial has these steps. The rules to restore are prepared, and compared with the rules in the kernel. The
//! trial is recorded. The timer starts, and prepares everything that it needs. Only then the new rules are
//! loaded. However the program ends after that, the timer rolls back. Rules on trial are never loaded at
//! boot, so a reboot rolls back too.

pub mod chains;
mod configured;
pub mod kernel;
pub mod lockout;
mod prepared;
pub mod session;
mod sshd;
pub mod state;
pub mod timer;

use std::path::Path;
use std::time::Duration;

use portcullis_config::duration::to_the_second as shown;
use portcullis_core::policy::Policy;
use portcullis_gate::Removed;
use portcullis_gate::nftables::Error;
use portcullis_linux::clock;
use portcullis_linux::sys::process;

pub use self::configured::Configured;
use self::kernel::Kernel;
pub use self::kernel::Loaded;
pub use self::prepared::Prepared;
use self::session::Session;
use self::state::{Here, Pending, Standing, State, Store};
use crate::config;
use crate::exit::Failure;
use crate::out::say;

/// Where the state is when nobody says otherwise.
pub const DEFAULT_FOLDER: &str = "/var/lib/portcullis/apply";

/// Loads rules. With `within` on trial for so long, without for good.
///
/// # Errors
///
/// Then the kernel holds what it held.
pub fn apply(
    folder: &Path,
    configured: Configured,
    within: Option<Duration>,
    allow_lockout: bool,
) -> Result<Loaded, Failure> {
    may_change_rules()?;
    let folder = std::path::absolute(folder).map_err(|error| {
        Failure::could_not(format!("cannot find the current directory: {error}"))
    })?;
    let mut store = Store::open(&folder)?;
    settle(&mut store)?;
    let mut kernel = Kernel::open(configured.is_chains() || store.state.chains.is_some())?;
    let session = Session::current();
    if let Some(session) = session.as_ref().filter(|_| !allow_lockout) {
        let (rules, backend) = (configured.ruleset()?, configured.rules.backend());
        lockout::check(&configured.policy, &rules, backend, session, kernel.gate())?;
    }
    match within {
        None => for_good(&mut store, &mut kernel, configured),
        Some(within) => on_trial(&mut store, &mut kernel, configured, session, within),
    }
}

fn for_good(
    store: &mut Store,
    kernel: &mut Kernel,
    configured: Configured,
) -> Result<Loaded, Failure> {
    // What can go wrong with the disk goes wrong before anything has changed.
    let mut staged = store.stage(State::with_confirmed(configured.text.clone(), None))?;
    let loaded = kernel.load(&configured)?;
    if configured.is_chains() {
        let chains = kernel.chains_of(&configured)?;
        staged = store.stage(State::with_confirmed(configured.text, chains))?;
    }
    store.commit(staged)?;
    Ok(loaded)
}

fn on_trial(
    store: &mut Store,
    kernel: &mut Kernel,
    configured: Configured,
    session: Option<Session>,
    within: Duration,
) -> Result<Loaded, Failure> {
    let before = before(&store.state, kernel, &configured)?;
    let mut prepared = Prepared::new(before.as_deref(), store.state.chains.as_ref(), kernel)?;
    let now = clock();
    let mut pending = Pending {
        id: now.as_nanos(),
        here: Here::now(),
        deadline: now.after(within).as_nanos(),
        loaded: None,
        session: session.map(|session| session.connection),
        before,
        new: configured.text.clone(),
        chains: None,
        has_chains: configured.is_chains() || store.state.chains.is_some(),
    };
    store.save(store.state.with_pending(Some(pending.clone())))?;
    let loaded = timer::arm(store.folder(), &pending, within)
        .and_then(|()| kernel.load(&configured))
        .and_then(|loaded| {
            pending.chains = kernel.chains_of(&configured)?;
            // A connection that began later than this began under the new rules.
            let now = clock().as_nanos();
            if now >= pending.deadline {
                return Err(Failure::could_not("loading took longer than --confirm-within")
                    .hint("the rules are rolled back; give `--confirm-within` a longer time"));
            }
            pending.loaded = Some(now);
            store.save(store.state.with_pending(Some(pending))).map(|()| loaded)
        });
    loaded.map_err(|failure| {
        // Mostly there is nothing to restore.
        match finish_rollback(store, kernel, &mut prepared) {
            Ok(()) => failure,
            Err(second) => failure.hint(format!(
                "the rollback failed ({}); the timer tries again in {}",
                second.message,
                shown(within)
            )),
        }
    })
}

/// What is in force now, as something that can be loaded again: whatever configuration is known of
/// which the kernel holds exactly the rules. Nothing when there is no gate.
fn before(state: &State, kernel: &mut Kernel, new: &Configured) -> Result<Option<String>, Failure> {
    if !kernel.has_table()? && kernel.chains()?.is_none() {
        return Ok(None);
    }
    // Chains are known as long as they are those of what is confirmed.
    if !new.is_chains() && kernel.difference(new, None)?.is_none() {
        return Ok(Some(new.text.clone()));
    }
    let usual =
        config::load(Path::new(portcullis_config::DEFAULT_PATH)).ok().map(|usual| usual.text);
    for text in [state.confirmed.clone(), usual].into_iter().flatten() {
        let Ok(loaded) = config::parse_str("", &text) else { continue };
        if kernel.difference(&Configured::new(loaded)?, state.chains.as_ref())?.is_none() {
            return Ok(Some(text));
        }
    }
    Err(Failure::could_not(
        "cannot prepare a rollback: the loaded rules match no known configuration; \
         nothing was changed",
    )
    .hint(
        "first run `portcullis apply` with the active configuration and without \
         `--confirm-within`; this also undoes what others have changed in the rules",
    ))
}

/// Sees to it that no rules are on trial, or says what is.
fn settle(store: &mut Store) -> Result<(), Failure> {
    match standing(&store.state)? {
        None => Ok(()),
        Some((_, Standing::Waiting(left))) => Err(another_on_trial(left)),
        Some((pending, Standing::Overdue)) => {
            let prepared = roll_back(store, &pending)?;
            say(&format!("an earlier configuration was not confirmed in time: {prepared}"));
            Ok(())
        }
        Some(_) => store.save(store.state.with_pending(None)),
    }
}

/// Why other rules are not loaded now.
pub fn another_on_trial(left: Duration) -> Failure {
    let left = shown(left);
    Failure::could_not(format!(
        "another configuration is on trial ({left} left); nothing was changed"
    ))
    .hint("run `portcullis confirm` to keep it, or `portcullis rollback` to undo it")
}

/// What is on trial, and how that stands.
fn standing(state: &State) -> Result<Option<(Pending, Standing)>, Failure> {
    let Some(pending) = state.pending.clone() else { return Ok(None) };
    match pending.standing(&Here::now(), clock()) {
        Standing::Elsewhere => Err(Failure::could_not(
            "a configuration is on trial in another network namespace; nothing was changed",
        )
        .hint("use one state directory for each namespace: `--state-dir`")),
        standing => Ok(Some((pending, standing))),
    }
}

/// A configuration on trial here.
#[derive(Debug, Clone)]
pub struct Trial {
    /// How long it can still be confirmed; zero if its time is over and nobody has rolled it back.
    pub left: Duration,
    /// The configuration.
    pub text: String,
}

/// What is on trial here, for those who only look.
///
/// # Errors
///
/// The state cannot be read, or is not ours.
pub fn trial(folder: &Path) -> Result<Option<Trial>, Failure> {
    let Some(pending) = state::look(folder)?.pending else { return Ok(None) };
    let left = match pending.standing(&Here::now(), clock()) {
        Standing::Waiting(left) => left,
        Standing::Overdue => Duration::ZERO,
        Standing::Forgotten | Standing::Elsewhere => return Ok(None),
    };
    Ok(Some(Trial { left, text: pending.new }))
}

/// Keeps what is on trial, from now on at boot too. `yes` is needed where there is no SSH session.
///
/// # Errors
///
/// With [`Exit::No`](crate::exit::Exit::No) when no rules are on trial, its time is over, or this session
/// proves nothing.
pub fn confirm(folder: &Path, yes: bool) -> Result<(), Failure> {
    may_change_rules()?;
    let Some(mut store) = Store::open_existing(folder)? else { return Err(nothing_on_trial()) };
    let (pending, left) = match standing(&store.state)? {
        Some((pending, Standing::Waiting(left))) => (pending, left),
        Some((pending, Standing::Overdue)) => {
            let prepared = roll_back(&mut store, &pending)?;
            return Err(Failure::refused(format!("too late: {prepared}")));
        }
        _ => return Err(nothing_on_trial()),
    };
    let Some(loaded) = pending.loaded else {
        return Err(Failure::refused("the `portcullis apply` of the trial has not finished").hint(
            "the trial is rolled back when its time is over; `portcullis rollback` does it now",
        ));
    };
    proves_access(&pending, loaded, Session::current().as_ref(), yes).map_err(|failure| {
        let hint = failure.hint.clone().unwrap_or_default();
        failure.hint(format!("{hint} ({} left)", shown(left)))
    })?;
    let new = Configured::again("the configuration on trial", &pending.new)?;
    let mut kernel = Kernel::open(pending.has_chains)?;
    if let Some(difference) = kernel.difference(&new, pending.chains.as_ref())? {
        let message = format!("the loaded rules are no longer those of the trial ({difference})");
        return Err(Failure::refused(message).hint(
            "run `portcullis rollback` to restore the rules from before the trial, then apply again",
        ));
    }
    store.save(State::with_confirmed(pending.new, pending.chains.clone()))?;
    // Had this process been stopped until time was up, the timer would not have waited for it.
    if !matches!(kernel.difference(&new, pending.chains.as_ref()), Ok(None)) {
        kernel.load(&new)?;
        let chains = kernel.chains_of(&new)?;
        store.save(State::with_confirmed(new.text, chains))?;
    }
    Ok(())
}

/// A session that stood before the rules did proves nothing: connections made live on under any rules.
fn proves_access(
    pending: &Pending,
    loaded: u64,
    session: Option<&Session>,
    yes: bool,
) -> Result<(), Failure> {
    match session {
        None if yes => Ok(()),
        None => Err(Failure::refused(
            "this is not an SSH session, so it cannot prove that login works",
        )
        .hint("run `portcullis confirm` over a new SSH session, or at the console with `--yes`")),
        Some(session) if pending.session.as_ref() == Some(&session.connection) => {
            Err(Failure::refused(
                "this SSH session applied the rules, so it cannot prove that a new login works",
            )
            .hint(
                "open a new SSH session (not a shared one: `ssh -S none`) and run `portcullis \
                 confirm` there",
            ))
        }
        Some(session) if session.began.is_none_or(|began| began <= loaded) => {
            Err(Failure::refused(
                "this SSH session is older than the rules, so it cannot prove that a new login \
                 works",
            )
            .hint(
                "open a new SSH session (not a shared one: `ssh -S none`; not inside an old tmux \
                 or screen) and run `portcullis confirm` there",
            ))
        }
        Some(_) => Ok(()),
    }
}

/// Takes back what is on trial, at once.
///
/// # Errors
///
/// With [`Exit::No`](crate::exit::Exit::No) when nothing is; or the kernel refuses.
pub fn rollback(folder: &Path) -> Result<Prepared, Failure> {
    may_change_rules()?;
    let Some(mut store) = Store::open_existing(folder)? else { return Err(nothing_on_trial()) };
    match standing(&store.state)? {
        Some((pending, Standing::Waiting(_) | Standing::Overdue)) => {
            roll_back(&mut store, &pending)
        }
        _ => Err(nothing_on_trial()),
    }
}

/// Loads what is confirmed, as at boot; nothing if nothing is. What is on trial is forgotten.
///
/// # Errors
///
/// Then the kernel holds what it held.
pub fn boot(folder: &Path) -> Result<Option<(Policy, Loaded)>, Failure> {
    may_change_rules()?;
    let Some(mut store) = Store::open_existing(folder)? else { return Ok(None) };
    let Some(text) = store.state.confirmed.clone() else {
        if let Some((pending, Standing::Waiting(_) | Standing::Overdue)) = standing(&store.state)? {
            roll_back(&mut store, &pending)?;
        }
        return Ok(None);
    };
    let configured = Configured::again("the confirmed configuration", &text)?;
    let has_chains = store.state.pending.as_ref().is_some_and(|pending| pending.has_chains);
    let mut kernel = Kernel::open(has_chains || configured.is_chains())?;
    let loaded = kernel.load(&configured)?;
    let mut state = store.state.with_pending(None);
    state.chains = kernel.chains_of(&configured)?;
    let forgotten = if state == store.state { store.copy() } else { store.save(state) };
    if let Err(failure) = forgotten {
        // The disk may not be ready to be written to. What is on trial there is of another boot.
        say(&format!("warning: {}", failure.message));
    }
    Ok(Some((configured.policy, loaded)))
}

/// Takes the gate out of the kernel, of every back end, and what is loaded at boot with it.
///
/// # Errors
///
/// When the state cannot be changed, the rules are taken out all the same, and this says so.
pub fn remove(folder: &Path) -> Result<Removed, Failure> {
    may_change_rules()?;
    let mut kernel = Kernel::open(true)?;
    // The lock is held until the end: no timer can come in between.
    let forgotten = Store::open_existing(folder).and_then(|store| {
        let Some(mut store) = store else { return Ok(None) };
        if store.state != State::default() {
            store.save(State::default())?;
        }
        Ok(Some(store))
    });
    let removed = kernel.remove()?;
    match forgotten {
        Ok(_) => Ok(removed),
        Err(failure) => {
            let message = format!(
                "the rules are removed, but the next boot may load them again: {}",
                failure.message
            );
            Err(Failure { message, ..failure })
        }
    }
}

fn roll_back(store: &mut Store, pending: &Pending) -> Result<Prepared, Failure> {
    let mut kernel = Kernel::open(pending.has_chains)?;
    let chains = store.state.chains.as_ref();
    let mut prepared = Prepared::new(pending.before.as_deref(), chains, &mut kernel)?;
    finish_rollback(store, &mut kernel, &mut prepared)?;
    Ok(prepared)
}

/// First the kernel, then the record: whoever is killed in between leaves the record to the timer.
fn finish_rollback(
    store: &mut Store,
    kernel: &mut Kernel,
    prepared: &mut Prepared,
) -> Result<(), Failure> {
    prepared.restore(kernel)?;
    store.save(prepared.state(&store.state))
}

/// Says at once what would fail later.
fn may_change_rules() -> Result<(), Failure> {
    if process::can(process::NET_ADMIN) { Ok(()) } else { Err(Error::NotPermitted.into()) }
}

fn nothing_on_trial() -> Failure {
    Failure::refused("no rules are on trial").hint(
        "a trial that is not confirmed in time is rolled back; start a new one with `portcullis \
         apply --confirm-within 60s`",
    )
}
