//! What is counted, as a person reads it.

use std::fmt::Write as _;

use portcullis_config::duration;
use portcullis_core::strength::{Natural, Orders, Strength};

use super::{Answer, SOURCES, Subject, seconds_if_deaf};
use crate::commands::check::text::{grouped, time};

/// All of it.
pub fn render(answer: &Answer) -> String {
    let mut out = String::new();
    for subject in &answer.subjects {
        headline(&mut out, subject);
        rules(&mut out, subject);
        guessing(&mut out, subject, &answer.rates);
    }
    bans(&mut out, answer);
    out
}

fn headline(out: &mut String, subject: &Subject) {
    let Some(strength) = subject.strength() else { return };
    let bold = anstyle::Style::new().bold();
    let door = subject.door.as_ref().map(|name| format!("door {name}: ")).unwrap_or_default();
    let sequences = total(strength);
    let ports = match subject.usable {
        (tcp, 0) => format!("{} tcp ports", grouped(&tcp.to_string())),
        (0, udp) => format!("{} udp ports", grouped(&udp.to_string())),
        (tcp, udp) => {
            format!(
                "{} tcp ports and {} udp ports",
                grouped(&tcp.to_string()),
                grouped(&udp.to_string())
            )
        }
    };
    let plural = if subject.knocks == 1 { "" } else { "s" };
    let _ = writeln!(
        out,
        "{bold}{door}{sequences} sequences, {:.1} bits{bold:#}\n{} knock{plural} among {ports}\n",
        strength.bits, subject.knocks
    );
}

/// How many are left as one rule after the other is put into force.
fn rules(out: &mut String, subject: &Subject) {
    let counts = &subject.counts;
    let cells = |orders: &Orders| {
        let unswept = match &orders.unswept {
            Some(left) => number(left),
            None => "slightly fewer".into(),
        };
        [number(&orders.any), number(&orders.turning), unswept]
    };
    let [apart, apart_turning, apart_unswept] = cells(&counts.apart);
    let [once, once_turning, once_unswept] = cells(&counts.once);
    let row = |rule: &str, left, right| [rule.to_owned(), left, right];
    let swept = match subject.tolerate {
        0 => "and not opened by repeated sweeps (required)".to_owned(),
        some => format!("and not opened by repeated sweeps, {some} forgiven (required)"),
    };
    let rows = [
        row("all", number(&counts.all), String::new()),
        row("no port twice in a row", apart, once),
        row("and port numbers go both up and down", apart_turning, once_turning),
        row(&swept, apart_unswept, once_unswept),
    ];
    aligned(out, ["SEQUENCES", "PORTS MAY REPEAT", "EACH PORT ONCE"].map(str::to_owned), &rows);
}

/// Longest number that is repeated for every row: of more knocks than seven the bits say all.
const MOST_DIGITS: usize = 48;

/// What forgiving costs, and how long guessing takes.
fn guessing(out: &mut String, subject: &Subject, rates: &[u32]) {
    let short = subject.strengths.iter().all(|s| number(&s.sequences).len() <= MOST_DIGITS);
    let sequences = |cell: String| short.then_some(cell);
    let mut titles = vec!["TOLERATE".to_owned()];
    titles.extend(sequences("SEQUENCES".to_owned()));
    titles.extend(["TRIED PER PACKET", "BITS LEFT"].map(str::to_owned));
    titles.extend(rates.iter().map(|rate| format!("TIME AT {}/S", grouped(&rate.to_string()))));
    let rows: Vec<_> = (0..=u8::MAX)
        .zip(&subject.strengths)
        .map(|(tolerate, strength)| {
            let this = subject.door.is_some() && tolerate == subject.tolerate;
            let mut row = vec![format!("{tolerate}{}", if this { " (this door)" } else { "" })];
            row.extend(sequences(total(strength)));
            row.push(number(&strength.tried_per_packet));
            row.push(format!("{:.1}", (strength.bits - strength.bits_lost()).max(0.0)));
            row.extend(rates.iter().map(|rate| time(strength.seconds_at(f64::from(*rate)))));
            row
        })
        .collect();
    aligned(out, titles, &rows);
}

/// What bans change.
fn bans(out: &mut String, answer: &Answer) {
    let ban = &answer.ban;
    let bold = anstyle::Style::new().bold();
    let _ = writeln!(
        out,
        "{bold}bans{bold:#}{}\n  {} strikes within {} trigger a ban of {}",
        if answer.banned { "" } else { " (none configured; an example)" },
        grouped(&ban.strikes.to_string()),
        duration::format(ban.within),
        duration::format(ban.time),
    );
    out.push_str(
        "  Bans do not slow guessing down: knocks of a banned source still count. Otherwise \
         forged\n  packets could lock out the owner of an address.\n",
    );
    for subject in &answer.subjects {
        let (Some(strength), Some(&rate)) = (subject.strength(), answer.rates.first()) else {
            continue;
        };
        let if_door =
            subject.door.as_ref().map_or_else(|| "If".into(), |name| format!("Door {name}: if"));
        let times = SOURCES.map(|(sources, from)| {
            format!("{} {from}", time(seconds_if_deaf(strength, ban, rate, sources)))
        });
        let _ = writeln!(
            out,
            "  {if_door} knocks of banned sources did not count and each wrong packet were a strike,\n  \
             guessing at {}/s would take {}.",
            grouped(&rate.to_string()),
            times.join(", or "),
        );
    }
}

/// Rows below their titles: the first column to the left, numbers to the right.
fn aligned<R: AsRef<[String]>>(out: &mut String, titles: impl AsRef<[String]>, rows: &[R]) {
    let titles = titles.as_ref();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.as_ref().get(column));
        cells.chain(titles.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    for row in std::iter::once(titles).chain(rows.iter().map(AsRef::as_ref)) {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = width(column);
            let _ = match column {
                0 => write!(line, "{cell:<width$}"),
                _ => write!(line, "  {cell:>width$}"),
            };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out.push('\n');
}

fn total(strength: &Strength) -> String {
    let most = if strength.exact { "" } else { "at most " };
    format!("{most}{}", number(&strength.sequences))
}

fn number(number: &Natural) -> String {
    grouped(&number.to_string())
}
