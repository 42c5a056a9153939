//! What a sequence is worth: how many there are, and what gets through by accident.

mod choose;
mod count;
mod guess;
mod natural;
mod sweep;
mod swept;
#[cfg(test)]
mod tests;
mod usable;

pub use count::{Counts, Orders};
pub use guess::guesses_heard;
pub use natural::Natural;
pub use sweep::{Sweep, SweepOrder, easiest_sweep, monotone};
pub use usable::Usable;

/// How hard one door is to guess.
#[derive(Debug, Clone, PartialEq)]
pub struct Strength {
    /// How many sequences of this length the rules allow.
    pub sequences: Natural,
    /// Whether there are exactly so many. Otherwise there are a few less, on a host with so few usable
    /// ports that what a sweep opens cannot be counted ([`Orders::unswept`]).
    pub exact: bool,
    /// The logarithm of that to base 2.
    pub bits: f64,
    /// Sequences without a repeated port that a guesser tries with each packet, at most and on average:
    /// more than one if wrong ports are forgiven. Almost all sequences are of this kind.
    pub tried_per_packet: Natural,
    /// Packets that a guesser needs on average, at least.
    pub packets: f64,
}

impl Strength {
    /// The strength of a door with `knocks` knocks that forgives `tolerate` wrong ports, on a host
    /// where the `usable` ports can be knocks.
    ///
    /// Counted are the sequences that [`check`](crate::policy::check()) allows to a door that stands
    /// alone: no knock repeats the one before, the numbers neither only rise nor only fall, and no
    /// repeated sweep touches them with `tolerate` or fewer wrong ports between.
    pub fn of(knocks: usize, tolerate: u8, usable: &Usable) -> Self {
        Self::counted(&Counts::of(knocks, tolerate, usable), knocks, tolerate)
    }

    /// The same where they have been counted already.
    pub fn counted(counts: &Counts, knocks: usize, tolerate: u8) -> Self {
        let (sequences, exact) = counts.in_force();
        let tried_per_packet = guess::tried_per_packet(knocks, tolerate);
        let packets = guess::packets(counts, knocks, tolerate);
        let (sequences, bits) = (sequences.clone(), sequences.log2());
        Self { sequences, exact, bits, tried_per_packet, packets }
    }

    /// Seconds that guessing takes on average, at this many packets per second.
    pub fn seconds_at(&self, packets_per_second: f64) -> f64 {
        self.packets / packets_per_second
    }

    /// Bits that forgiving wrong ports gives away.
    pub fn bits_lost(&self) -> f64 {
        self.tried_per_packet.log2()
    }
}
