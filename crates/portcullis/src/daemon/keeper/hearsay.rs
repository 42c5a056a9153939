//! Messages of the watcher that only cause log lines: stages, interfaces, lost packets.
//!
//! A watcher that an attacker has taken over can send them without end. So the stored messages and the rate of
//! lines have bounds. Each kind has its own rate, so one kind cannot hide the others.

use portcullis_core::limits::{INTERFACE_LINES, LINES_PER_SECOND, MAX_WATCHED};
use portcullis_core::policy::InterfaceName;
use portcullis_core::time::Instant;
use portcullis_watcher::pace::Pace;

/// What is kept of it.
#[derive(Debug)]
pub(super) struct Hearsay {
    watching: Vec<InterfaceName>,
    /// Lines about stages. The watcher holds back what is too much, so this holds back nothing of what an
    /// honest one says.
    stages: Pace,
    /// Lines about interfaces.
    interfaces: Pace,
}

impl Hearsay {
    pub(super) const fn new() -> Self {
        Self {
            watching: Vec::new(),
            // What was sent in two seconds may arrive in one.
            stages: Pace::new(2 * LINES_PER_SECOND, LINES_PER_SECOND),
            interfaces: Pace::new(INTERFACE_LINES, LINES_PER_SECOND),
        }
    }

    /// The interfaces that are watched.
    pub(super) fn watching(&self) -> &[InterfaceName] {
        &self.watching
    }

    /// Another configuration begins: its interfaces are told anew.
    pub(super) fn begin_again(&mut self) {
        self.watching.clear();
    }

    /// An interface is watched.
    pub(super) fn add(&mut self, name: InterfaceName) {
        if self.watching.len() < MAX_WATCHED && !self.watching.contains(&name) {
            self.watching.push(name);
        }
    }

    /// An interface is no longer watched.
    pub(super) fn remove(&mut self, name: &InterfaceName) {
        self.watching.retain(|watched| watched != name);
    }

    /// Whether a line about a stage may be written.
    pub(super) fn admits_stage(&mut self, now: Instant) -> bool {
        self.stages.admits(now)
    }

    /// The watcher has held back so many of them by itself.
    pub(super) fn hold_stages(&mut self, count: u32, now: Instant) {
        self.stages.hold(count, now);
    }

    /// Whether a line about an interface may be written.
    pub(super) fn admits_interface(&mut self, now: Instant) -> bool {
        self.interfaces.admits(now)
    }

    /// Whether lines are held back, so that [`take_held`](Self::take_held) must be asked later.
    pub(super) const fn holds(&self) -> bool {
        self.stages.holds() || self.interfaces.holds()
    }

    /// How many were held back; 0 for a second after the first of them.
    pub(super) fn take_held(&mut self, now: Instant) -> u32 {
        self.stages.take_held(now).saturating_add(self.interfaces.take_held(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> InterfaceName {
        InterfaceName::new(&format!("eth{number}")).unwrap()
    }

    #[test]
    fn names_without_end_are_not_kept() {
        let mut hearsay = Hearsay::new();
        for number in 0..10 * MAX_WATCHED {
            hearsay.add(name(number));
            hearsay.add(name(0));
        }
        assert_eq!(hearsay.watching().len(), MAX_WATCHED);
        // Where one goes, there is room for another.
        hearsay.remove(&name(7));
        hearsay.add(name(9_999));
        assert_eq!(hearsay.watching().last(), Some(&name(9_999)));
        hearsay.begin_again();
        assert!(hearsay.watching().is_empty());
    }

    #[test]
    fn words_without_end_make_few_lines() {
        let mut hearsay = Hearsay::new();
        let (mut stages, mut interfaces, mut counted) = (0, 0, 0);
        // A hundred thousand of each in ten seconds.
        for tenth_ms in 0..100_000_u64 {
            let now = Instant::from_nanos(1_000_000_000 + tenth_ms * 100_000);
            stages += u32::from(hearsay.admits_stage(now));
            interfaces += u32::from(hearsay.admits_interface(now));
            hearsay.hold_stages(1, now);
            counted += u32::from(hearsay.take_held(now) > 0);
        }
        assert!(hearsay.holds());
        assert!((500..=600).contains(&stages), "{stages}");
        assert!((INTERFACE_LINES + 490..=INTERFACE_LINES + 500).contains(&interfaces));
        // One for each of the two kinds in a second.
        assert!(counted <= 20, "{counted}");
    }

    #[test]
    fn stages_do_not_hide_interfaces() {
        let mut hearsay = Hearsay::new();
        let now = Instant::from_millis(5_000);
        assert!((0..1_000).any(|_| !hearsay.admits_stage(now)));
        assert!(hearsay.admits_interface(now));
    }
}
