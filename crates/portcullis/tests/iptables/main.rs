//! The gate on hosts that live on iptables: the real programs in both variants, the real kernel.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "all of this is a test, which clippy cannot tell without `#[test]`"
)]

mod articles;
mod begins;
mod closed;
mod headers;
mod known_sequence;
mod live;
mod loading;
mod random;
mod trials;
use std::process::ExitCode;

use portcullis_lab::world;

use random::Way;
use world::iptables::{VARIANTS, Variant, ways};

fn main() -> ExitCode {
    world::main(3, || {
        if !world::iptables::are_there() {
            return Vec::new();
        }
        let mut all = Vec::new();
        for (variant, store) in ways() {
            let name = |what: &str| format!("{what}_{variant}_{store:?}");
            all.push(world::trial(name("the_kernel_means_what_the_simulator_means"), move || {
                random::run(Way::Iptables(variant, store));
            }));
            all.push(world::trial(name("old_port_of_ended_connection_begins_none"), move || {
                begins::old_port(variant, store);
            }));
            all.push(world::trial(name("related_connection_needs_a_grant"), move || {
                begins::related(variant, store);
            }));
            all.push(world::trial(name("one_known_sequence_tells_no_port"), move || {
                known_sequence::tells_no_port(variant, store);
            }));
            all.push(world::trial(name("extension_headers_lead_past_no_door"), move || {
                headers::none_leads_past_the_gate(variant, store);
            }));
            all.push(world::trial(name("closed_lets_in_what_is_said"), move || {
                closed::kinds(variant, store);
            }));
            all.push(world::trial(name("closed_is_a_base_firewall"), move || {
                closed::base(variant, store);
            }));
            all.push(world::trial(name("a_door_opens_and_closes"), move || {
                loading::door(variant, store);
            }));
            all.push(world::trial(name("apply_changes_what_is_ours_alone"), move || {
                loading::neighbours(variant, store);
            }));
            all.push(world::trial(name("a_trial_that_nobody_confirms"), move || {
                trials::nobody_confirms(variant, store);
            }));
            all.push(world::trial(name("a_trial_that_is_confirmed"), move || {
                trials::confirmed(variant, store);
            }));
            all.push(world::trial(name("a_trial_of_the_other_back_end"), move || {
                trials::other_back_end(variant, store);
            }));
            all.push(world::trial(name("a_new_configuration_keeps_grants_alone"), move || {
                loading::again(variant, store);
            }));
        }
        let iptables = ways().into_iter().map(|(variant, store)| (variant, Some(store)));
        for (variant, store) in iptables.chain([(Variant::Nft, None)]) {
            let by = live::By { variant, store };
            for (what, test) in live::TESTS {
                all.push(world::trial(format!("{what}_{by}"), move || test(by)));
            }
        }
        all.push(world::trial("a_list_of_recent_that_is_not_ours_to_write", live::read_only));
        all.push(world::trial("a_full_list_of_recent_is_told", live::full_list));
        all.push(world::trial("the_kernel_means_what_the_simulator_means_nftables", || {
            random::run(Way::Nftables);
        }));
        for variant in VARIANTS {
            all.push(world::trial(format!("both_families_or_none_{variant}"), move || {
                loading::both_or_none(variant);
            }));
            all.push(world::trial(format!("nobody_locks_themselves_out_{variant}"), move || {
                closed::lockout(variant);
            }));
            all.push(world::trial(format!("one_gate_and_no_daemon_{variant}"), move || {
                loading::other_commands(variant);
            }));
            all.push(world::trial(format!("seed_001_{variant}"), move || {
                articles::seed_001(variant);
            }));
            all.push(world::trial(format!("seed_000_{variant}"), move || {
                articles::seed_000(variant);
            }));
            all.push(world::trial(format!("ours_beside_the_articles_{variant}"), move || {
                articles::ours(variant);
            }));
        }
        all
    })
}
