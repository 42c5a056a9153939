//! What becomes of every packet, as the questions that the gate asks, in their order.

use portcullis_config::duration;
use portcullis_core::limits;
use portcullis_core::policy::{Allowed, Ban, Policy, Refuse, Stance};

use super::layout::{Area, Look};
use super::sheet::{HEADING, MARGIN, PADDING, SMALL, Sheet, USUAL, leading};
use super::text::{count, list, plain, room, wrap};

/// Ports and addresses that are named at most.
const NAMED: usize = 24;
/// Between an answer's edge and its text.
const INSIDE: f64 = 10.0;
/// Between two questions.
const GAP: f64 = 12.0;

/// A question about a packet, and the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// What packets it is about.
    pub(super) what: &'static str,
    /// Which, exactly.
    pub(super) which: String,
    /// What becomes of them.
    pub(super) look: Look,
    pub(super) answer: String,
    /// Whether it stands beside the others, and not in their order.
    pub(super) aside: bool,
}

/// Draws the questions below `top`, their answers at `right`; returns where that ends.
pub(super) fn draw(sheet: &mut Sheet, policy: &Policy, right: f64, top: f64) -> f64 {
    sheet.panel(top, |sheet, top| {
        let x = MARGIN + PADDING;
        let wide = sheet.width() - 2.0 * x;
        let heading = "What becomes of a packet that comes in";
        let mut y = sheet.wrapped((x, top), wide, (HEADING, Look::Strong), heading);
        let how = match policy.gate.stance {
            Stance::Guard => {
                "The first line that fits it decides. What is not for its doors, this gate leaves to others."
            }
            Stance::Closed => {
                "The first line that fits it decides. What no line lets pass is refused."
            }
        };
        y = sheet.wrapped((x, y + 2.0), wide, (USUAL, Look::Quiet), how) + 14.0;
        let (spine, mut last) = (x + 6.0, y);
        let place = sheet.behind();
        let first = y;
        for row in rows(policy) {
            let (middle, bottom) = draw_row(sheet, &row, spine, right, y);
            last = if row.aside { last } else { middle };
            y = bottom + GAP;
        }
        sheet.line_behind(place, &[(spine, first + 12.0), (spine, last)], Look::Quiet);
        y - GAP
    })
}

/// Returns the height of its line, and where it ends.
fn draw_row(sheet: &mut Sheet, row: &Row, spine: f64, right: f64, top: f64) -> (f64, f64) {
    let x = spine + 20.0;
    let middle = top + 12.0;
    let pill = sheet.width() - right - MARGIN - PADDING;
    let answer = wrap(&plain(&row.answer), room(pill - 2.0 * INSIDE, USUAL));
    let height = answer.len() as f64 * leading(USUAL) + 8.0;
    let on = match row.look {
        Look::Good => Look::OnGood,
        Look::Bad => Look::OnBad,
        Look::Knock => Look::OnKnock,
        _ => Look::Strong,
    };
    sheet.area(Area { x: right, y: top, width: pill, height }, row.look);
    let mut line = top + 4.0;
    for text in answer {
        line = sheet.wrapped((right + INSIDE, line), pill, (USUAL, on), &text);
    }
    sheet.dot(spine, middle, 4.0, Look::Strong);
    let wide = right - x - 56.0;
    let mut y = sheet.wrapped((x, top + 3.0), wide, (USUAL, Look::Strong), row.what);
    let ends = x + super::text::width(row.what, USUAL).min(wide) + 10.0;
    sheet.line(&[(ends, middle), (right, middle)], row.look, true);
    if !row.which.is_empty() {
        y = sheet.wrapped((x, y), wide, (SMALL, Look::Quiet), &row.which);
    }
    (middle, y.max(top + height))
}

/// All questions of a gate.
pub(super) fn rows(policy: &Policy) -> Vec<Row> {
    let gate = &policy.gate;
    let closed = gate.stance == Stance::Closed;
    let passes = if gate.ban.is_some() { "passes, if its sender is not banned" } else { "passes" };
    let mut rows = Vec::new();
    let mut row = |what, which: String, look, answer: &str| {
        rows.push(Row { what, which, look, answer: answer.to_owned(), aside: false });
    };
    row("of a connection already made", String::new(), Look::Good, "passes, as long as it lives");
    let elsewhere = match gate.interfaces.as_slice() {
        [] => "lo".to_owned(),
        names => format!("all but {}", list(names.iter(), NAMED)),
    };
    row("by an interface without a gate", elsewhere, Look::Good, "passes");
    if !gate.allow.is_empty() {
        let name = |allowed: &Allowed| match allowed {
            Allowed::Interface(name) => format!("by interface {name}"),
            other => other.to_string(),
        };
        let who = list(gate.allow.iter().map(name), NAMED);
        row("from who needs no knock", who, Look::Good, "passes");
    }
    if !gate.public.is_empty() {
        row("to a public port", list(gate.public.iter(), NAMED), Look::Good, passes);
    }
    let guards: Vec<_> = policy.doors.iter().flat_map(|door| &door.guards).collect();
    let refused = match gate.refuse {
        Refuse::LikeClosed => "refused like a closed port",
        Refuse::Drop => "dropped without an answer",
        Refuse::Reject => "rejected: “prohibited”",
    };
    let refused = &refused.replace(['“', '”'], "\"");
    if !guards.is_empty() {
        row(
            "to a guarded port whose door is open",
            list(guards.iter(), NAMED),
            Look::Good,
            "passes, if its sender knocked",
        );
        row("to a guarded port otherwise", String::new(), Look::Bad, refused);
    }
    let otherwise = if closed { refused.as_str() } else { "goes on to other rules" };
    let knocks = "a bare SYN or a datagram to a port that is next in a sequence".to_owned();
    let counts = format!("counts; {otherwise}");
    row("a knock", knocks, Look::Knock, &counts);
    let wrong = "a bare SYN or a datagram, while its sender is at some stage".to_owned();
    let forgives = policy.doors.iter().any(|door| door.tolerate > 0);
    let lost = if forgives { "ends the attempt, or is forgiven" } else { "ends the attempt" };
    let loses = format!("{lost}; {}", if closed { otherwise } else { "goes on" });
    row("to any other port", wrong, Look::Bad, &loses);
    if closed {
        let pings = limits::PINGS_PER_SECOND;
        let lives =
            format!("ICMP errors, neighbour discovery, {pings} pings a second, answers of DHCP");
        row("what a network needs to live", lives, Look::Good, "passes");
        let logged = match gate.log_refused {
            true => "counted, and logged once a second",
            false => "counted",
        };
        row("everything else", logged.to_owned(), Look::Bad, refused);
    } else {
        row("everything else", String::new(), Look::Quiet, otherwise);
    }
    rows.extend(gate.ban.map(banned));
    rows
}

/// Who is banned. That is no question about a packet: it stands aside.
fn banned(ban: Ban) -> Row {
    let which = format!(
        "{} within {}, at a guarded port or by an attempt that is lost",
        count(ban.strikes as usize, "time", "times"),
        duration::format(ban.within)
    );
    let answer = format!("its sender is banned for {}", duration::format(ban.time));
    Row { what: "from who is refused too often", which, look: Look::Bad, answer, aside: true }
}
