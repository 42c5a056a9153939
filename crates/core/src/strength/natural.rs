//! Numbers of any size, with the few operations that counting takes.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

/// A whole number from 0 on. There is no largest; those of 32 knocks have 544 bits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Natural {
    /// In base 2^32, the lowest first, and no zero last.
    digits: Vec<u32>,
}

/// Decimal digits that are written at a time: the most of which any number fits a digit.
const AT_A_TIME: usize = 9;
const TEN_TO_THAT: u32 = 1_000_000_000;

impl Natural {
    /// The sum.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let length = self.digits.len().max(other.digits.len());
        let mut carry = 0u64;
        let mut digits = Vec::with_capacity(length.saturating_add(1));
        for at in 0..length {
            let sum = carry.saturating_add(self.digit(at)).saturating_add(other.digit(at));
            digits.push(low(sum));
            carry = sum >> 32;
        }
        digits.push(low(carry));
        Self::of(digits)
    }

    /// The difference; `None` if it would be less than 0.
    pub fn minus(&self, other: &Self) -> Option<Self> {
        let mut borrow = 0u64;
        let mut digits = Vec::with_capacity(self.digits.len());
        for at in 0..self.digits.len().max(other.digits.len()) {
            let take = other.digit(at).saturating_add(borrow);
            let have = self.digit(at);
            borrow = u64::from(have < take);
            // Below 2^32: `take` is at most 2^32.
            digits.push(low(have.saturating_add(borrow << 32).saturating_sub(take)));
        }
        (borrow == 0).then(|| Self::of(digits))
    }

    /// The product.
    #[must_use]
    pub fn times(&self, other: &Self) -> Self {
        let length = self.digits.len().saturating_add(other.digits.len());
        let mut digits = vec![0u32; length];
        for (shift, &factor) in other.digits.iter().enumerate() {
            let mut carry = 0u64;
            for (at, place) in digits.iter_mut().skip(shift).enumerate() {
                // At most (2^32 - 1)^2 + 2 * (2^32 - 1), which is 2^64 - 1.
                let sum = self
                    .digit(at)
                    .saturating_mul(u64::from(factor))
                    .saturating_add(u64::from(*place))
                    .saturating_add(carry);
                *place = low(sum);
                carry = sum >> 32;
            }
        }
        Self::of(digits)
    }

    /// The quotient, rounded down, and the rest. Division by 0 gives 0, and 0 as the rest.
    pub fn divided_by(&self, divisor: u32) -> (Self, u32) {
        let divisor = u64::from(divisor);
        let mut rest = 0u64;
        let mut digits = self.digits.clone();
        for digit in digits.iter_mut().rev() {
            let have = (rest << 32) | u64::from(*digit);
            *digit = low(have.checked_div(divisor).unwrap_or(0));
            rest = have.checked_rem(divisor).unwrap_or(0);
        }
        (Self::of(digits), low(rest))
    }

    /// The nearest that a float can be, or next to it; from 2^1024 on infinity.
    pub fn as_f64(&self) -> f64 {
        const BASE: f64 = 4_294_967_296.0;
        self.digits.iter().rev().fold(0.0, |sum, &digit| sum * BASE + f64::from(digit))
    }

    /// The logarithm to base 2, to about 1e-9; 0 of 0.
    pub fn log2(&self) -> f64 {
        // What is below the first three digits changes nothing that is said.
        let below = self.digits.len().saturating_sub(3);
        let top = Self { digits: self.digits.get(below..).unwrap_or_default().to_vec() };
        log2(top.as_f64()) + 32.0 * below as f64
    }

    fn digit(&self, at: usize) -> u64 {
        self.digits.get(at).copied().map_or(0, u64::from)
    }

    fn of(mut digits: Vec<u32>) -> Self {
        while digits.last() == Some(&0) {
            digits.pop();
        }
        Self { digits }
    }
}

const fn low(number: u64) -> u32 {
    (number & 0xffff_ffff) as u32
}

impl From<u128> for Natural {
    fn from(number: u128) -> Self {
        Self::of((0..4).map(|at| low((number >> (32 * at)) as u64)).collect())
    }
}

impl From<u32> for Natural {
    fn from(number: u32) -> Self {
        Self::of(vec![number])
    }
}

impl fmt::Display for Natural {
    /// In decimal, without separators.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut groups = Vec::new();
        let mut rest = self.clone();
        while !rest.digits.is_empty() {
            let (quotient, group) = rest.divided_by(TEN_TO_THAT);
            groups.push(group);
            rest = quotient;
        }
        let mut text = String::new();
        for (place, group) in groups.iter().rev().enumerate() {
            let width = if place == 0 { 1 } else { AT_A_TIME };
            write!(text, "{group:0width$}")?;
        }
        f.pad_integral(true, "", if text.is_empty() { "0" } else { &text })
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

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn large_numbers_are_written_in_full() {
        let mut power = Natural::from(1u32);
        for _ in 0..10 {
            power = power.times(&Natural::from(1_000_000_007u32));
        }
        // (10^9 + 7)^10, by hand from the binomial theorem.
        let expected = concat!(
            "1000000070000002205000041160000504210004235364",
            "024706290098825160259416045403536070282475249"
        );
        assert_eq!(power.to_string(), expected);
        assert_eq!(Natural::from(0u32).to_string(), "0");
        assert_eq!(Natural::from(1_000_000_000u32).to_string(), "1000000000");
        assert!((power.log2() - 298.973_529).abs() < 1e-4);
        assert!((power.as_f64() / 1.000_000_07e90 - 1.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_is_divided_by_zero() {
        let (quotient, rest) = Natural::from(7u32).divided_by(0);
        assert_eq!((quotient, rest), (Natural::default(), 0));
    }

    proptest! {
        #[test]
        fn they_are_as_those_of_the_machine(a: u128, b: u128, shift in 0u32..128, small: u32) {
            let b = b >> shift;
            let (x, y) = (Natural::from(a), Natural::from(b));
            prop_assert_eq!(x.to_string(), a.to_string());
            prop_assert_eq!(x.minus(&y).map(|d| d.to_string()), a.checked_sub(b).map(|d| d.to_string()));
            prop_assert_eq!(x.plus(&y).minus(&y), Some(x.clone()));
            let (c, d) = (a >> 64, b >> 64);
            prop_assert_eq!(Natural::from(c).plus(&Natural::from(d)), Natural::from(c + d));
            prop_assert_eq!(Natural::from(c).times(&Natural::from(d)), Natural::from(c * d));
            if small > 0 {
                let (quotient, rest) = x.divided_by(small);
                let small = u128::from(small);
                prop_assert_eq!(&quotient, &Natural::from(a / small));
                prop_assert_eq!(u128::from(rest), a % small);
                // And beyond what the machine has.
                let product = x.times(&y);
                let (back, rest) = product.times(&Natural::from(small)).divided_by(small as u32);
                prop_assert_eq!((back, rest), (product, 0));
            }
        }
    }
}
