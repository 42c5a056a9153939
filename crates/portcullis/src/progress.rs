//! The progress of a replay, for a user at a terminal.

use std::cell::Cell;
use std::io::{self, IsTerminal, Read};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::out::redraw;

/// The time from one look at the clock to the next, in frames.
const FRAMES: u64 = 16_384;
/// The time from one line to the next.
const PACE: Duration = Duration::from_millis(100);
/// Length of the bar.
const WIDTH: u64 = 30;

/// A reader that counts what is read.
pub struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R> Counted<R> {
    /// With the count, which goes on being written.
    pub fn new(inner: R) -> (Self, Rc<Cell<u64>>) {
        let count = Rc::new(Cell::new(0));
        (Self { inner, count: Rc::clone(&count) }, count)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(into)?;
        self.count.set(self.count.get().saturating_add(got as u64));
        Ok(got)
    }
}

/// One line on standard error that is written over and over, if that is a terminal.
pub struct Progress {
    read: Rc<Cell<u64>>,
    /// How much there is to read, where that is known.
    size: Option<u64>,
    start: Instant,
    next: Instant,
    terminal: bool,
    shown: bool,
}

impl Progress {
    /// Of a file of this size, of which so much has been read.
    pub fn new(read: Rc<Cell<u64>>, size: Option<u64>) -> Self {
        let (start, terminal) = (Instant::now(), io::stderr().is_terminal());
        // What is over at once needs no bar.
        let next = start.checked_add(PACE).unwrap_or(start);
        Self { read, size, start, next, terminal, shown: false }
    }

    /// So many frames have been replayed.
    pub fn frames(&mut self, frames: u64) {
        if !self.terminal || !frames.is_multiple_of(FRAMES) {
            return;
        }
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now.checked_add(PACE).unwrap_or(now);
        self.shown = true;
        let line = line(self.read.get(), self.size, frames, now.duration_since(self.start));
        redraw(&line);
    }

    /// Takes the line away.
    pub fn finish(&mut self) {
        if std::mem::take(&mut self.shown) {
            redraw("");
        }
    }
}

fn line(read: u64, size: Option<u64>, frames: u64, time: Duration) -> String {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let rate = frames.saturating_mul(1_000).checked_div(millis).unwrap_or(0);
    let counts = format!("{} packets, {} a second", thousands(frames), thousands(rate));
    let Some(size) = size else { return counts };
    let part = |of: u64| read.min(size).saturating_mul(of).checked_div(size).unwrap_or(of);
    let full = usize::try_from(part(WIDTH)).unwrap_or(0);
    let bar = "#".repeat(full);
    format!("[{bar:<width$}] {:>3} %  {counts}", part(100), width = WIDTH as usize)
}

/// "1,234,567".
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && digits.len().saturating_sub(index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills() {
        let second = Duration::from_secs(1);
        assert_eq!(
            line(50, Some(100), 1_234_567, second),
            "[###############               ]  50 %  1,234,567 packets, 1,234,567 a second"
        );
        assert!(line(0, Some(100), 0, Duration::ZERO).starts_with("[                     "));
        assert!(line(200, Some(100), 1, second).contains("] 100 %"));
        assert!(line(0, Some(0), 1, second).contains("] 100 %"));
        assert_eq!(line(9, None, 1_000, second), "1,000 packets, 1,000 a second");
    }

    #[test]
    fn what_is_read_is_counted() {
        let (mut reader, count) = Counted::new(io::repeat(1).take(100_000));
        io::copy(&mut reader, &mut io::sink()).unwrap();
        assert_eq!(count.get(), 100_000);
    }

    #[test]
    fn thousands_are_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }
}
