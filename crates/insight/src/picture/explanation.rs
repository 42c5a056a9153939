//! The picture of packets: the stages that they lead to, step by step, and their way through the rules.

use std::time::Duration;

use portcullis_config::duration::to_the_tenth;

use super::doors;
use super::layout::{Area, Look, Picture};
use super::sheet::{HEADING, MARGIN, PADDING, SMALL, Sheet, USUAL, leading};
use super::text::{count, plain, room, width, wrap};
use crate::explain::explanation::{Attempt, Event, Explanation, Met, moment};

/// Draws what becomes of packets.
pub fn explanation(explanation: &Explanation) -> Picture {
    let mut sheet = Sheet::new(doors::usual());
    let wide = sheet.width() - 2.0 * MARGIN;
    let packets = count(explanation.events.len(), "packet", "packets");
    let title = format!("{packets} from {}", explanation.from);
    let mut y = sheet.wrapped((MARGIN, MARGIN), wide, (20.0, Look::Strong), &title);
    let summary = format!("how the gate of {} treats them", explanation.name);
    y = sheet.wrapped((MARGIN, y + 2.0), wide, (USUAL, Look::Quiet), &summary) + 16.0;
    y = steps(&mut sheet, explanation, y) + 18.0;
    y = ways(&mut sheet, explanation, y) + 12.0;
    let secret = "This picture can show the knocks. Keep it as secret as the configuration.";
    y = sheet.wrapped((MARGIN, y), wide, (SMALL, Look::Quiet), secret);
    sheet.finish(format!("{title}: {summary}"), describe(explanation), y + MARGIN / 2.0)
}

/// Right of the times.
const SPINE: f64 = MARGIN + PADDING + 76.0;

fn steps(sheet: &mut Sheet, explanation: &Explanation, top: f64) -> f64 {
    sheet.panel(top, |sheet, top| {
        let x = MARGIN + PADDING;
        let wide = sheet.width() - 2.0 * x;
        let mut y = sheet.wrapped((x, top), wide, (HEADING, Look::Strong), "Step by step") + 12.0;
        let place = sheet.behind();
        let first = y;
        let mut last = y;
        for event in &explanation.events {
            last = y;
            y = step(sheet, event, y) + 16.0;
        }
        sheet.line_behind(place, &[(SPINE, first + 9.0), (SPINE, last + 9.0)], Look::Quiet);
        y - 16.0
    })
}

fn step(sheet: &mut Sheet, event: &Event, top: f64) -> f64 {
    let right = doors::cards_at(super::tree::COLUMNS);
    let (look, on) = match (event.counts(), event.passes) {
        (false, true) if event.lost => (Look::Bad, Look::Quiet),
        (true, true) => (Look::Knock, Look::Quiet),
        (true, false) => (Look::Knock, Look::OnBad),
        (false, true) => (Look::Good, Look::OnGood),
        (false, false) => (Look::Bad, Look::OnBad),
    };
    let time = moment(event.time);
    let ends = SPINE - 14.0 - width(&time, USUAL);
    sheet.text(ends.max(MARGIN + 2.0), top + USUAL, USUAL, Look::Quiet, &time);
    sheet.dot(SPINE, top + 9.0, 6.0, look);
    let (x, wide) = (SPINE + 20.0, right - SPINE - 20.0 - 28.0);
    let mut y = sheet.wrapped((x, top), wide, (HEADING, Look::Strong), &event.sent);
    if let Some(spare) = event.spare {
        let text = format!("{} were left", to_the_tenth(spare));
        let beside = x + width(&plain(&event.sent), HEADING) + 12.0;
        if beside + width(&text, SMALL) <= x + wide {
            sheet.text(beside, top + HEADING, SMALL, Look::Quiet, &text);
        } else {
            y = sheet.wrapped((x, y), wide, (SMALL, Look::Quiet), &text);
        }
    }
    for sentence in &event.means {
        y = sheet.wrapped((x, y), wide, (USUAL, Look::Plain), sentence);
    }
    y = sheet.wrapped((x, y), wide, (USUAL, on), &event.fate);
    let mut beside = top;
    let bars = sheet.width() - right - MARGIN - PADDING;
    for attempt in &event.attempts {
        beside = pips(sheet, attempt, (right, beside), bars);
    }
    for open in &event.open {
        let text = format!("{} is open", open.door);
        beside = sheet.wrapped((right, beside), bars, (USUAL, Look::OnGood), &text);
        let left = format!("{} left", to_the_tenth(open.left));
        beside =
            bar(sheet, (right, beside), bars, (open.left, open.whole), (&left, Look::FullGood));
    }
    if event.attempts.is_empty() && event.open.is_empty() {
        let (look, text) = match event.lost {
            true => (Look::OnBad, "the attempt ends"),
            false => (Look::Quiet, "no attempt, no grant"),
        };
        beside = sheet.wrapped((right, beside), bars, (USUAL, look), text);
    }
    y.max(beside)
}

/// The stages of an attempt, and the time that is left for the next one.
fn pips(sheet: &mut Sheet, attempt: &Attempt, at: (f64, f64), wide: f64) -> f64 {
    const STEP: f64 = 17.0;
    let (x, top) = at;
    let who = attempt.who.map(|who| format!("{who}: ")).unwrap_or_default();
    let text = format!("{who}{} of {} knocks at {}", attempt.stage, attempt.knocks, attempt.door);
    let mut y = sheet.wrapped((x, top), wide, (USUAL, Look::Strong), &text) + 9.0;
    let mut column = 0.0;
    for pip in 1..=attempt.knocks {
        if column + STEP > wide {
            (column, y) = (0.0, y + STEP);
        }
        let look = if pip <= attempt.stage { Look::FullKnock } else { Look::Empty };
        sheet.dot(x + column + 6.0, y, 5.5, look);
        column += STEP;
    }
    y += 12.0;
    if attempt.stage >= attempt.knocks {
        return y + 4.0;
    }
    let left = format!("{} left for the next", to_the_tenth(attempt.left));
    bar(sheet, (x, y), wide, (attempt.left, attempt.whole), (&left, Look::FullKnock))
}

/// A bar as long as what is left of the whole, and in words what that is.
fn bar(
    sheet: &mut Sheet,
    at: (f64, f64),
    wide: f64,
    (left, whole): (Duration, Duration),
    (text, look): (&str, Look),
) -> f64 {
    const HEIGHT: f64 = 8.0;
    let (x, top) = at;
    let part = match whole.as_secs_f64() {
        whole if whole > 0.0 => (left.as_secs_f64() / whole).clamp(0.0, 1.0),
        _ => 0.0,
    };
    sheet.area(Area { x, y: top, width: wide, height: HEIGHT }, Look::Quiet);
    // Round at both ends, so never shorter than that.
    sheet.area(Area { x, y: top, width: (wide * part).max(HEIGHT), height: HEIGHT }, look);
    sheet.wrapped((x, top + HEIGHT + 3.0), wide, (SMALL, Look::Quiet), text) + 6.0
}

fn ways(sheet: &mut Sheet, explanation: &Explanation, top: f64) -> f64 {
    sheet.panel(top, |sheet, top| {
        let x = MARGIN + PADDING;
        let wide = sheet.width() - 2.0 * x;
        let heading = "Rules that each packet reaches";
        let mut y = sheet.wrapped((x, top), wide, (HEADING, Look::Strong), heading);
        let how = "A square is a rule, in order; a full square matches. A box is a chain of rules.";
        y = sheet.wrapped((x, y + 2.0), wide, (USUAL, Look::Quiet), how) + 14.0;
        for event in &explanation.events {
            y = way(sheet, event, y) + 22.0;
        }
        y - 22.0
    })
}

fn way(sheet: &mut Sheet, event: &Event, top: f64) -> f64 {
    let x = MARGIN + PADDING;
    let wide = sheet.width() - 2.0 * x;
    let time = format!("{} ", moment(event.time));
    let after = x + width(&time, USUAL);
    sheet.text(x, top + USUAL, USUAL, Look::Quiet, &moment(event.time));
    let mut y = sheet.wrapped((after, top), x + wide - after, (USUAL, Look::Strong), &event.sent);
    y += 4.0;
    for met in event.met.chunk_by(|one, next| one.chain == next.chain) {
        y = chain(sheet, met, (x, y), wide);
        sheet.line(&[(x + 20.0, y), (x + 20.0, y + 16.0)], Look::Quiet, true);
        y += 16.0;
    }
    let (look, on) =
        if event.passes { (Look::Good, Look::OnGood) } else { (Look::Bad, Look::OnBad) };
    let lines = wrap(&plain(&event.fate), room(wide - 24.0, USUAL));
    let longest = lines.iter().map(|line| width(line, USUAL)).fold(0.0, f64::max);
    let height = lines.len() as f64 * leading(USUAL) + 8.0;
    sheet.area(Area { x, y, width: longest + 24.0, height }, look);
    for (line, number) in lines.iter().zip(0u32..) {
        let top = y + 4.0 + f64::from(number) * leading(USUAL);
        sheet.text(x + 12.0, top + USUAL, USUAL, on, line);
    }
    y + height
}

/// A chain with the rules that are met in it.
fn chain(sheet: &mut Sheet, met: &[Met], at: (f64, f64), wide: f64) -> f64 {
    const SQUARE: f64 = 8.0;
    const STEP: f64 = 12.0;
    const INSIDE: f64 = 12.0;
    let ((x, top), place) = (at, sheet.behind());
    let Some(first) = met.first() else { return top };
    let names = wide / 2.0 - INSIDE;
    let bottom = sheet.wrapped((x + INSIDE, top + 8.0), names, (USUAL, Look::Strong), &first.chain);
    let name = wrap(&plain(&first.chain), room(names, USUAL));
    let longest = name.iter().map(|line| width(line, USUAL)).fold(0.0, f64::max);
    let start = x + INSIDE + longest + 16.0;
    let (mut column, mut row) = (start, top + 12.0);
    for rule in met {
        if column + SQUARE > x + wide - INSIDE {
            (column, row) = (start, row + STEP);
        }
        let look = if rule.matched { Look::FullKnock } else { Look::Empty };
        sheet.area(Area { x: column, y: row, width: SQUARE, height: SQUARE }, look);
        column += STEP;
    }
    let mut y = bottom.max(row + STEP + 4.0);
    let shown: Vec<&Met> = met.iter().filter(|rule| rule.shown).collect();
    for rule in shown {
        let look = if rule.matched { Look::Plain } else { Look::Quiet };
        let number = rule.number.to_string();
        let text = x + INSIDE + 34.0;
        sheet.text(x + INSIDE, y + SMALL, SMALL, Look::Quiet, &number);
        y = sheet.wrapped((text, y), x + wide - INSIDE - text, (SMALL, look), &rule.text) + 2.0;
    }
    y += 6.0;
    sheet.put_behind(place, Area { x, y: top, width: wide, height: y - top }, Look::Plain);
    y
}

/// The same in words.
fn describe(explanation: &Explanation) -> String {
    let mut sentences = Vec::new();
    for event in &explanation.events {
        let means: Vec<&str> =
            event.means.iter().chain([&event.fate]).map(String::as_str).collect();
        sentences.push(format!("{} {}: {}.", moment(event.time), event.sent, means.join("; ")));
    }
    sentences.join(" ")
}
