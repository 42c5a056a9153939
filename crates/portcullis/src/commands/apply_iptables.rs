//! `portcullis apply` with the back ends of iptables.

use std::io::Write;
use std::time::Instant;

use portcullis_core::policy::Policy;
use portcullis_firewall::iptables::Matcher;

use super::apply::count;
use crate::exit::{Exit, Outcome};
use crate::iptables;
use crate::netlink::nftables::Gate;

/// Loads the rules of both families, and takes away those of nftables if there are any.
pub fn run(policy: &Policy, matcher: Matcher, start: Instant) -> Outcome {
    let loaded = iptables::load(policy, matcher)?;
    // Whoever changes the back end wants no second gate, which would want to be knocked at too. A
    // host that lives on iptables may have a kernel without nftables, and then no such gate.
    let _ = Gate::open().and_then(|mut gate| gate.remove());
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
