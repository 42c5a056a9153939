//! What is counted, as one JSON object.

use portcullis_core::strength::{Natural, Orders, Strength};
use serde_json::{Map, Value, json};

use super::{Answer, SOURCES, Subject, seconds_if_deaf};
use crate::commands::live::millis;

/// The object, and a newline.
pub fn render(answer: &Answer) -> String {
    let ban = &answer.ban;
    let object = json!({
        "counts": answer.subjects.iter().map(|subject| counted(answer, subject)).collect::<Vec<_>>(),
        "ban": {
            "configured": answer.banned,
            "strikes": ban.strikes,
            "within_ms": millis(Some(ban.within)),
            "for_ms": millis(Some(ban.time)),
            // A right knock passes a ban.
            "slows_guessing": false,
        },
    });
    format!("{object:#}\n")
}

fn counted(answer: &Answer, subject: &Subject) -> Value {
    let (tcp, udp) = subject.usable;
    let strength = subject.strength();
    let counts = &subject.counts;
    json!({
        "door": subject.door,
        "knocks": subject.knocks,
        "usable_ports": { "tcp": tcp, "udp": udp },
        "tolerate": subject.tolerate,
        "sequences": strength.map(|strength| digits(&strength.sequences)),
        "exact": strength.map(|strength| strength.exact),
        "bits": strength.map(|strength| strength.bits),
        "rules": {
            "all": digits(&counts.all),
            "a_port_may_come_again": orders(&counts.apart),
            "each_port_once": orders(&counts.once),
        },
        "by_tolerate": subject
            .strengths
            .iter()
            .enumerate()
            .map(|(tolerate, strength)| by_tolerate(answer, tolerate, strength))
            .collect::<Vec<_>>(),
    })
}

fn orders(orders: &Orders) -> Value {
    json!({
        "no_port_follows_itself": digits(&orders.any),
        "and_numbers_turn": digits(&orders.turning),
        "and_no_sweep_opens": orders.unswept.as_ref().map(digits),
    })
}

fn by_tolerate(answer: &Answer, tolerate: usize, strength: &Strength) -> Value {
    let at_each_rate = |seconds: &dyn Fn(u32) -> f64| -> Map<String, Value> {
        answer.rates.iter().map(|&rate| (rate.to_string(), seconds(rate).into())).collect()
    };
    let if_deaf: Vec<Value> = SOURCES
        .iter()
        .map(|&(sources, _)| {
            let seconds =
                at_each_rate(&|rate| seconds_if_deaf(strength, &answer.ban, rate, sources));
            json!({ "addresses": sources, "seconds_at_packets_per_second": seconds })
        })
        .collect();
    json!({
        "tolerate": tolerate,
        "sequences": digits(&strength.sequences),
        "exact": strength.exact,
        "bits": strength.bits,
        "bits_lost_to_tolerate": strength.bits_lost(),
        "tried_per_packet": digits(&strength.tried_per_packet),
        "seconds_to_guess_at_packets_per_second":
            at_each_rate(&|rate| strength.seconds_at(f64::from(rate))),
        "if_the_banned_were_not_heard": if_deaf,
    })
}

/// A string: most readers of JSON keep only 53 bits of a number.
fn digits(number: &Natural) -> String {
    number.to_string()
}
