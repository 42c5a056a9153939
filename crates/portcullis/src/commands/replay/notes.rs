//! What makes the findings of a replay less certain, or explains them: a sentence each.

use std::time::Duration;

use portcullis_config::duration;
use portcullis_core::policy::Policy;
use portcullis_insight::replay::file::link::Named;
use portcullis_insight::replay::host::Source;
use portcullis_insight::replay::report::{MAX_OPENINGS, MAX_STRIKES, Report};

use crate::progress::thousands;

/// The notes on a report.
pub fn notes(policy: &Policy, report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    reading(report, &mut notes);
    times(report, &mut notes);
    judging(policy, report, &mut notes);
    notes
}

fn reading(report: &Report, notes: &mut Vec<String>) {
    for (&number, &frames) in &report.unread {
        let (are, link) = (packets(frames), Named(number));
        notes.push(format!("{are} left out: {link} is not read"));
    }
    if report.cut > 0 {
        let are = packets(report.cut);
        notes.push(format!(
            "{are} left out: they are cut too short to show their ports; capture with `tcpdump -s 128` or more"
        ));
    }
    for (frames, why) in [
        (report.broken, "a length or a checksum in them is wrong, so a host drops them"),
        (report.extended, "they have IP options or extension headers, which no knock has"),
        (
            report.elsewhere,
            "the gate does not stand on their interface; --any-interface takes them",
        ),
        (report.loopback, "they are of the host to itself"),
        (report.tagged_ignored, "they are tagged for another network"),
        (report.fragments, "they are fragments, which only the kernel puts together again"),
    ] {
        if frames > 0 {
            notes.push(format!("{} left out: {why}", packets(frames)));
        }
    }
    if report.tagged > 0 {
        let are = packets(report.tagged);
        notes.push(format!(
            "{are} tagged for another network, and taken as if the host had an interface there; \
             --untagged leaves them out"
        ));
    }
}

fn times(report: &Report, notes: &mut Vec<String>) {
    let odd = &report.oddities;
    if odd.out_of_order > 0 {
        let (are, by) = (packets(odd.out_of_order), length(odd.out_of_order_by));
        notes.push(format!(
            "{are} older than one before, by up to {by}: they count as if they came at the same moment"
        ));
    }
    if odd.back > 0 {
        let (times, by) = (often(odd.back), length(odd.back_by));
        notes.push(format!(
            "the clock goes back {times}, by up to {by}: how long it was between the packets there is unknown, and taken for nothing"
        ));
    }
    if odd.forward > 0 {
        let (times, by) = (often(odd.forward), length(odd.forward_by));
        notes.push(format!(
            "the clock jumps forward {times}, by up to {by}: if it was set, what was going on then did not end by itself"
        ));
    }
    if odd.untimed > 0 {
        let are = packets(odd.untimed);
        notes.push(format!("{are} without a time: they count as if they came with the one before"));
    }
}

fn judging(policy: &Policy, report: &Report, notes: &mut Vec<String>) {
    let found = report.host_source == Some(Source::Found);
    if found && !report.host.is_empty() {
        notes.push("the host's addresses were found in the capture; --host says otherwise".into());
    }
    if report.not_for_host > 0 {
        let are = packets(report.not_for_host);
        notes.push(format!("{are} not for the host alone, and mean nothing to its doors"));
    }
    let hosts = policy.allowed_hosts();
    if !hosts.is_empty() {
        notes.push("names in `allow` are not looked up: who has them counts as a stranger".into());
    }
    if report.opened > MAX_OPENINGS as u64 {
        notes
            .push(format!("only the first {} openings are listed", thousands(MAX_OPENINGS as u64)));
    }
    if report.struck > MAX_STRIKES as u64 {
        notes.push(format!("only the first {} strikes are listed", thousands(MAX_STRIKES as u64)));
    }
    match report.floor {
        None => {}
        Some(u8::MAX) => notes.push("there are too many sources to list all".into()),
        Some(0) => {
            notes
                .push("there are too many sources: those that made no knock are not listed".into());
        }
        Some(floor) => notes.push(format!(
            "there are too many sources: not all that came no further than knock {floor} are listed"
        )),
    }
}

/// "1 packet is", "1,234 packets are".
fn packets(number: u64) -> String {
    match number {
        1 => "1 packet is".into(),
        _ => format!("{} packets are", thousands(number)),
    }
}

fn often(number: u64) -> String {
    match number {
        1 => "once".into(),
        2 => "twice".into(),
        _ => format!("{} times", thousands(number)),
    }
}

/// A time as people say it; what is less than a millisecond is one.
fn length(time: Duration) -> String {
    let millis = time.as_millis().max(1);
    let millis = match millis {
        0..10_000 => millis,
        // To the second.
        _ => millis.saturating_sub(millis % 1_000),
    };
    duration::format(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
}
