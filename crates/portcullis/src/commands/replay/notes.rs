//! What makes the findings of a replay less certain, or explains them: a sentence each.

use std::time::Duration;

use portcullis_config::duration;
use portcullis_core::policy::Policy;
use portcullis_insight::replay::file::link::Named;
use portcullis_insight::replay::own_addresses::Origin;
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
        notes.push(format!("{are} skipped: cannot read {link}"));
    }
    if report.cut > 0 {
        let are = packets(report.cut);
        notes.push(format!(
            "{are} skipped: the capture cuts them before their ports; capture with `tcpdump -s \
             128` or more"
        ));
    }
    for (frames, why) in [
        (report.broken, "they have a wrong length or checksum, so a host drops them"),
        (report.extended, "they have IP options or extension headers, so they are not knocks"),
        (
            report.elsewhere,
            "the gate is not active on their interface; use --any-interface to include them",
        ),
        (report.loopback, "the host sent them to itself"),
        (report.tagged_ignored, "they have a VLAN tag"),
        (report.fragments, "they are fragments, and only the kernel reassembles them"),
    ] {
        if frames > 0 {
            notes.push(format!("{} skipped: {why}", packets(frames)));
        }
    }
    if report.tagged > 0 {
        let are = packets(report.tagged);
        notes.push(format!(
            "{are} replayed although they have a VLAN tag, as if the host had an interface there; \
             use --untagged to skip them"
        ));
    }
}

fn times(report: &Report, notes: &mut Vec<String>) {
    let odd = &report.oddities;
    if odd.out_of_order > 0 {
        let (are, by) = (packets(odd.out_of_order), length(odd.out_of_order_by));
        notes.push(format!(
            "{are} out of order, by up to {by}; each gets the time of the packet before it"
        ));
    }
    if odd.back > 0 {
        let (times, by) = (often(odd.back), length(odd.back_by));
        notes.push(format!(
            "the clock of the capture goes back {times}, by up to {by}; no time passes there in \
             the replay"
        ));
    }
    if odd.forward > 0 {
        let (times, by) = (often(odd.forward), length(odd.forward_by));
        notes.push(format!(
            "the clock of the capture jumps forward {times}, by up to {by}; if somebody set the \
             clock, attempts and grants end there too early in the replay"
        ));
    }
    if odd.untimed > 0 {
        let are = packets(odd.untimed);
        notes.push(format!("{are} without a time; each gets the time of the packet before it"));
    }
}

fn judging(policy: &Policy, report: &Report, notes: &mut Vec<String>) {
    let found = report.host_source == Some(Origin::Found);
    if found && !report.host.is_empty() {
        notes.push(
            "the addresses of the host were detected from the capture; use --host if they are wrong"
                .into(),
        );
    }
    if report.not_for_host > 0 {
        let are = packets(report.not_for_host);
        notes.push(format!("{are} broadcast, multicast or for other hosts; doors ignore them"));
    }
    let hosts = policy.allowed_hosts();
    if !hosts.is_empty() {
        notes.push(
            "names in `allow` are not looked up; their addresses are treated like all others"
                .into(),
        );
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
        Some(u8::MAX) => notes.push("too many sources; not all are listed".into()),
        Some(0) => {
            notes.push("too many sources; sources without a knock are not listed".into());
        }
        Some(floor) => notes.push(format!(
            "too many sources; not all that stopped at knock {floor} or before are listed"
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
