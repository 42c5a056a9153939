//! Attacks that have worked once: each on real packets, against every configuration that it takes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "all of this is a test, which clippy cannot tell without `#[test]`"
)]

mod bans;
mod forged;
mod headers;
mod known_sequence;
mod listeners;
mod odd;
mod oracle;
mod poison;
mod ports;
mod refusals;
mod rules;
mod scan;
mod sources;
mod stage;
mod stale;
mod timing;
mod topologies;
use std::fmt::Display;
use std::process::ExitCode;

use libtest_mimic::Trial;
use portcullis_lab::{Family, world};
use world::{FAMILIES, RECOGNISERS};

use stage::{NFTABLES, Setup};

fn main() -> ExitCode {
    world::main(4, || {
        let every = Setup::all();
        let answering = Setup::answering();
        let like_closed = [Setup::Guard, Setup::Closed];
        let mut all = Vec::new();

        let name = "ended_grant_admits_no_connection_from_an_old_port";
        each(&mut all, name, &every, stale::after_the_grant);
        let name = "connection_from_before_the_gate_admits_no_other";
        each(&mut all, name, &every, stale::before_the_gate);
        let name = "half_open_connection_ends_with_its_grant";
        each(&mut all, name, &NFTABLES, stale::half_open);
        let name = "revoked_grant_admits_no_connection_from_an_old_port";
        each(&mut all, name, &NFTABLES, stale::revoked);

        let name = "forged_segment_poisons_no_source_port";
        each(&mut all, name, &like_closed, poison::source_ports);
        let name = "forged_segment_and_a_reload_poison_no_source_port";
        each(&mut all, name, &like_closed, poison::reloaded);
        let name = "second_segment_is_answered_from_the_port_it_asked";
        each(&mut all, name, &like_closed, poison::second_segment);
        let name = "listener_of_one_address_judges_no_options";
        each(&mut all, name, &like_closed, poison::listener_of_one_address);
        let name = "forged_segment_ends_no_older_connection";
        each(&mut all, name, &like_closed, poison::older_connection);

        let name = "source_cannot_finish_the_knock_of_another";
        each(&mut all, name, &RECOGNISERS, sources::attempts_are_ones_own);
        let name = "one_known_sequence_tells_no_port_of_another_door";
        let ways = known_sequence::Setup::all();
        one(&mut all, name, &ways, known_sequence::one_known_sequence_tells_no_port);
        let name = "link_local_address_opens_no_door";
        one(&mut all, name, &RECOGNISERS, sources::link_local);
        one(&mut all, "rules_hold_no_hash_seed", &NFTABLES, rules::no_seed);
        let name = "knock_opens_a_door_after_datagrams_to_closed_ports";
        each(&mut all, name, &NFTABLES, rules::connection_tracking);

        let name = "extension_headers_in_no_order_pass_the_gate";
        one(&mut all, name, &every, headers::every_order);
        let name = "fragment_header_hides_no_guarded_port";
        one(&mut all, name, &every, headers::disguises);
        let name = "fragment_header_hides_no_guarded_port_from_groups";
        one(&mut all, name, &every, headers::disguised_to_all);
        let name = "forged_error_tells_no_guarded_port";
        each(&mut all, name, &NFTABLES, forged::path_mtu);
        each(&mut all, "two_ports_answer_for_themselves", &every, ports::two_ports);
        let name = "ports_answer_for_themselves_on_all_processors";
        one(&mut all, name, &answering, ports::on_all_processors);
        each(&mut all, "error_quotes_the_port_that_was_asked", &answering, ports::quoted);
        let name = "odd_datagram_is_answered_as_by_a_closed_port";
        each(&mut all, name, &NFTABLES, refusals::of_datagrams);

        let name = "ban_does_not_tell_guarded_ports_from_others";
        each(&mut all, name, &like_closed, |setup, family| {
            bans::tell_nothing(setup, family, &bans::ALONE);
        });
        let name = "ban_does_not_tell_knocks_from_other_ports";
        each(&mut all, name, &like_closed, |setup, family| {
            bans::tell_nothing(setup, family, &bans::AMONG_KNOCKS);
        });

        let name = "knock_is_as_much_work_as_a_closed_port";
        each(&mut all, name, &NFTABLES[..2], timing::same_work);
        let name = "connected_socket_receives_nothing_without_a_grant";
        each(&mut all, name, &NFTABLES, listeners::connected);
        let name = "service_on_a_closed_port_answers_for_no_other";
        each(&mut all, name, &NFTABLES[..2], listeners::on_a_closed_port);
        all.extend(topologies::trials());
        all.extend(world::module("scan", scan::trials));
        all.extend(world::module("odd", odd::trials));
        all.extend(world::alone(world::module("oracle", oracle::trials)));
        all
    })
}

/// A trial for each of these: configurations, recognisers.
fn one<T: Copy + Display + Send + 'static>(
    all: &mut Vec<Trial>,
    name: &str,
    some: &[T],
    test: fn(T),
) {
    let trials =
        some.iter().map(|&this| world::trial(format!("{name}_{this}"), move || test(this)));
    all.extend(trials);
}

/// A trial for each of these in each family.
fn each<T: Copy + Display + Send + 'static>(
    all: &mut Vec<Trial>,
    name: &str,
    some: &[T],
    test: fn(T, Family),
) {
    let both = some.iter().flat_map(|&this| FAMILIES.map(|family| (this, family)));
    all.extend(both.map(|(this, family)| {
        world::trial(format!("{name}_{this}_{family}"), move || test(this, family))
    }));
}
