//! `portcullis apply` with the back ends of iptables.

use std::io::Write;
use std::time::Instant;

use portcullis_core::policy::Policy;
use portcullis_firewall::iptables::Matcher;

use super::apply::{Args, count};
use super::compile::ruleset;
use crate::apply::lockout;
use crate::apply::session::Session;
use crate::exit::{Exit, Failure, Outcome};
use crate::{apply, iptables};

/// Loads the rules of both families, and takes away those of nftables if there are any.
pub fn run(args: &Args, policy: &Policy, matcher: Matcher, start: Instant) -> Outcome {
    if args.confirm_within.is_some() {
        return Err(Failure::wrong_use(
            "rules of iptables cannot be on trial; nothing was changed",
        )
        .hint("only `backend = \"nftables\"` has `--confirm-within`"));
    }
    if let Some(session) = Session::current().filter(|_| !args.allow_lockout) {
        // The rules of both back ends mean the same.
        lockout::check_strangers(policy, &ruleset(policy)?, &session).map_err(|failure| {
            failure.hint(
                "name your address in `allow`; or `--allow-lockout` if there is another way in, since \
                 rules of iptables cannot be on trial",
            )
        })?;
    }
    let loaded = iptables::load(policy, matcher)?;
    // Whoever changes the back end wants no second gate, which would want to be knocked at too, nor
    // to find it again after a reboot.
    if let Err(failure) = apply::remove(&args.state_dir.path) {
        // A host that lives on iptables may have a kernel without nftables, and then no such gate.
        let _ = writeln!(anstream::stderr(), "warning: rules of nftables: {}", failure.message);
    }
    let sets = match matcher {
        Matcher::Recent => "lists of `recent`".to_owned(),
        Matcher::Ipset => count(loaded.sets, "set"),
    };
    // Nothing can be done when there is nobody to tell.
    let _ = writeln!(
        anstream::stderr(),
        "{} guarded by {} of iptables and ip6tables with {sets}; loaded and read back in {} ms",
        count(policy.doors.len(), "door"),
        count(loaded.rules, "rule"),
        start.elapsed().as_millis(),
    );
    Ok(Exit::Done)
}
