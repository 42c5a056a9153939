//! No packet hides its port behind fragment headers.
//!
//! Connection tracking reassembles fragments before any rule sees them, and removes the fragment header. If
//! another extension header comes before the fragment header, the network stack then starts to read at the
//! wrong place. The rules and the stack see different transport headers, so a sender can make a SYN to a
//! guarded port look like any other packet (`nf_ct_frag6_reasm` of net/ipv6/netfilter/nf_conntrack_reasm.c
//! leaves the place where `ip6_protocol_deliver_rcu` of net/ipv6/ip6_input.c goes on). Such packets never
//! reach a service intact, so nobody misses them.

use alloc::borrow::ToOwned;
use alloc::vec;
use alloc::vec::Vec;

use super::{ACCEPT, Compiler, chain, goto, rule};
use crate::ruleset::{Chain, Destination, Hook, HookPoint, Statement, Verdict};

/// Before connection tracking puts fragments together (`NF_IP6_PRI_CONNTRACK_DEFRAG`, -400).
const BEFORE_REASSEMBLY: i32 = -450;
/// The headers of hop-by-hop options, which are read before any of this, and of fragments.
const HOP_BY_HOP: u8 = 0;
const FRAGMENT: u8 = 44;
/// The extension headers that the network stack reads through: hop-by-hop options, routing, fragment,
/// authentication, destination options.
const EXTENSIONS: [u8; 5] = [HOP_BY_HOP, 43, FRAGMENT, 51, 60];
const DROP: Statement = Statement::Verdict(Verdict::Drop);
/// The network stack delivers what goes to groups and to anycast addresses, too.
const TO_US: Statement = Statement::To { is: false, kind: Destination::Unicast };
const UNKNOWN: &str = "its port cannot be known";
/// The chain for packets with a fragment header.
const FRAGMENTS: &str = "fragments";

impl Compiler<'_> {
    /// The chains that drop a fragment header at an unusual place.
    pub(super) fn fragment_chains(&self) -> Vec<Chain> {
        let hook = Some(Hook { point: HookPoint::Prerouting, priority: BEFORE_REASSEMBLY });
        let rules = vec![rule([Statement::FragmentHeader, goto(FRAGMENTS)])];
        let first = Chain { name: "first".to_owned(), hook, rules };
        let mut rules = self.unconcerned();
        // A second fragment header may hide there, which the network stack would read alone.
        rules.extend(EXTENSIONS.map(|kind| {
            let followed = Statement::FragmentNextHeader(kind);
            rule([followed, TO_US, DROP]).because(UNKNOWN)
        }));
        rules.extend([
            rule([Statement::Ip6NextHeader { is: true, kind: FRAGMENT }, ACCEPT]),
            rule([
                Statement::Ip6NextHeader { is: true, kind: HOP_BY_HOP },
                Statement::HopByHopNextHeader(FRAGMENT),
                ACCEPT,
            ]),
            rule([TO_US, DROP]).because(UNKNOWN),
        ]);
        vec![first, chain(FRAGMENTS, rules)]
    }
}
