//! Who measures how long a port takes to answer: what the kernel looks up for it. How long that takes
//! is measured by `cargo xtask bench timing`, and what it still tells is in `docs/threat-model.md`.

use std::net::IpAddr;

use portcullis::config;
use portcullis_core::time::Instant;
use portcullis_firewall::compile::compile;
use portcullis_firewall::ruleset::{Rule, Statement};
use portcullis_firewall::simulator::{Packet, Payload, Simulator};
use portcullis_lab::Family;

use crate::stage::{CLOSED, CLOSED_UDP, GUARDED_UDP, KNOCK_UDP, Setup};

/// The last knock of the door, which begins nothing.
const LAST_KNOCK: u16 = 1_123;

/// Whether it looks something up, in a set, among the sockets or in the routes.
fn looks_up(rule: &Rule) -> bool {
    rule.statements.iter().any(|statement| {
        matches!(
            statement,
            Statement::In { .. }
                | Statement::SetPriorityFrom { .. }
                | Statement::SetDportFrom { .. }
                | Statement::Dispatch { .. }
                | Statement::Change { .. }
                | Statement::SocketTransparent(_)
                | Statement::To { .. }
        )
    })
}

/// A knock that begins nothing is as much work as any other closed port; and so is a guarded UDP port
/// where all ports are refused.
pub fn same_work(setup: Setup, family: Family) {
    for bans in ["", "[ban]\nstrikes = 100\n"] {
        let text = format!("{bans}{}", setup.config("300s"));
        let policy = config::parse_str("a.toml", &text).unwrap().policy;
        let ruleset = compile(&policy).unwrap();
        let (source, host): (IpAddr, IpAddr) = match family {
            Family::V4 => ([203, 0, 113, 7].into(), [192, 0, 2, 1].into()),
            Family::V6 => ("2001:db8::7".parse().unwrap(), "2001:db8::1".parse().unwrap()),
        };
        let work = |payload| {
            let packet = Packet::new(source, host, payload);
            let trace = Simulator::new(&ruleset).receive(&packet, Instant::from_millis(1_000));
            trace.steps.iter().filter(|step| looks_up(step.rule)).count()
        };
        let tcp = |destination_port| {
            work(Payload::Tcp { source_port: 40_000, destination_port, flags: 2 })
        };
        let udp = |destination_port| work(Payload::Udp { source_port: 40_000, destination_port });
        assert_eq!(tcp(LAST_KNOCK), tcp(CLOSED), "{bans}");
        assert_eq!(udp(KNOCK_UDP), udp(CLOSED_UDP), "{bans}");
        let difference = udp(GUARDED_UDP).abs_diff(udp(CLOSED_UDP));
        assert!(difference <= 4, "{difference} {bans}");
    }
}
