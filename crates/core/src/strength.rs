//! What a sequence is worth: how many there are, and what gets through by accident.

mod count;
mod sweep;
#[cfg(test)]
mod tests;
mod usable;

pub use sweep::{Sweep, SweepOrder, easiest_sweep, monotone};
pub use usable::Usable;

/// How hard one door is to guess.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Strength {
    /// Exactly how many sequences of this length the rules allow; `None` when `u128` cannot hold it.
    pub sequences: Option<u128>,
    /// The logarithm of that to base 2.
    pub bits: f64,
    /// Sequences that a guesser tries with each packet, because wrong ports are forgiven: the ways
    /// to place the knocks before the last among the packets that came within reach.
    pub tried_per_packet: u128,
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
        let sequences = count::allowed(knocks, tolerate, usable);
        let about = match sequences {
            Some(exact) => exact as f64,
            None => count::roughly(knocks, usable),
        };
        // The last knock is the packet just sent; the others lie among those before it.
        let before = knocks.saturating_sub(1);
        let reach = (before as u128).saturating_add(u128::from(tolerate));
        let tried_per_packet = count::choose(reach, before).unwrap_or(u128::MAX).max(1);
        let packets = about / tried_per_packet as f64 / 2.0;
        Self { sequences, bits: log2(about), tried_per_packet, packets }
    }

    /// Seconds that guessing takes on average, at this many packets per second.
    pub fn seconds_at(&self, packets_per_second: f64) -> f64 {
        self.packets / packets_per_second
    }

    /// Bits that forgiving wrong ports gives away.
    pub fn bits_lost(&self) -> f64 {
        log2(self.tried_per_packet as f64)
    }
}

/// The logarithm to base 2 of a number of at least 1, to about 1e-9; `core` has none.
fn log2(x: f64) -> f64 {
    if !(1.0..f64::INFINITY).contains(&x) {
        return 0.0;
    }
    let exponent = ((x.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    let mut mantissa =
        f64::from_bits((x.to_bits() & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    let mut fraction = 0.0;
    let mut bit = 0.5;
    for _ in 0..32 {
        mantissa *= mantissa;
        if mantissa >= 2.0 {
            mantissa /= 2.0;
            fraction += bit;
        }
        bit /= 2.0;
    }
    f64::from(exponent) + fraction
}
