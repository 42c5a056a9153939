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

use choose::choose;
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
    /// Sequences that a guesser tries with each packet, because wrong ports are forgiven: the ways
    /// to place the knocks before the last among the packets that came within reach.
    pub tried_per_packet: Natural,
    /// Packets that a guesser needs on average.
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
        // The last knock is the packet just sent; the others lie among those before it.
        let before = knocks.saturating_sub(1);
        let reach = u32::try_from(before).unwrap_or(u32::MAX).saturating_add(u32::from(tolerate));
        let tried_per_packet = choose(reach, before);
        let packets = sequences.as_f64() / tried_per_packet.as_f64() / 2.0;
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
