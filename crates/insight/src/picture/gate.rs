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
        let heading = "How the rules treat a packet that arrives";
        let mut y = sheet.wrapped((x, top), wide, (HEADING, Look::Strong), heading);
        let how = match policy.gate.stance {
            Stance::Guard => {
                "The first line that matches decides. The gate leaves all other packets to the \
                 other rules of the host."
            }
            Stance::Closed => "The first line that matches decides. All other packets are refused.",
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
    let passes = if gate.ban.is_some() { "passes, if its source is not banned" } else { "passes" };
    let mut rows = Vec::new();
    let mut row = |what, which: String, look, answer: &str| {
        rows.push(Row { what, which, look, answer: answer.to_owned(), aside: false });
    };
    row(
        "of an established connection",
        String::new(),
        Look::Good,
        "passes, until the connection ends",
    );
    let elsewhere = match gate.interfaces.as_slice() {
        [] => "lo".to_owned(),
        names => format!("all but {}", list(names.iter(), NAMED)),
    };
    row("on an interface without a gate", elsewhere, Look::Good, "passes");
    if !gate.allow.is_empty() {
        let name = |allowed: &Allowed| match allowed {
            Allowed::Interface(name) => format!("interface {name}"),
            other => other.to_string(),
        };
        let who = list(gate.allow.iter().map(name), NAMED);
        row("from the allow-list", who, Look::Good, "passes");
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
        row("to a guarded port, with a grant", list(guards.iter(), NAMED), Look::Good, "passes");
        row("to a guarded port, without a grant", String::new(), Look::Bad, refused);
    }
    let otherwise = if closed { refused.as_str() } else { "goes on to other rules" };
    let knocks = "a bare SYN or a datagram to the next port of a sequence".to_owned();
    let counts = format!("counts; {otherwise}");
    row("that is a knock", knocks, Look::Knock, &counts);
    let wrong = "a bare SYN or a datagram from a source with an attempt".to_owned();
    let forgives = policy.doors.iter().any(|door| door.tolerate > 0);
    let lost = if forgives { "ends the attempt, or is forgiven" } else { "ends the attempt" };
    let loses = format!("{lost}; {}", if closed { otherwise } else { "goes on" });
    row("to any other port", wrong, Look::Bad, &loses);
    if closed {
        let pings = limits::PINGS_PER_SECOND;
        let lives =
            format!("ICMP errors, neighbour discovery, {pings} pings a second, DHCP answers");
        row("that every network needs", lives, Look::Good, "passes");
        let logged = match gate.log_refused {
            true => "counted, and logged once a second",
            false => "counted",
        };
        row("of any other kind", logged.to_owned(), Look::Bad, refused);
    } else {
        row("of any other kind", String::new(), Look::Quiet, otherwise);
    }
    rows.extend(gate.ban.map(banned));
    rows
}

/// Who is banned. That is no question about a packet: it stands aside.
fn banned(ban: Ban) -> Row {
    let which = format!(
        "{} within {}",
        count(ban.strikes as usize, "strike", "strikes"),
        duration::format(ban.within)
    );
    let answer = format!("its source is banned for {}", duration::format(ban.time));
    Row { what: "from a source with too many strikes", which, look: Look::Bad, answer, aside: true }
}
