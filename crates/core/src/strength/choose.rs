//! Numbers of ways to choose.

use super::Natural;

/// The binomial coefficient.
pub fn choose(n: u32, k: usize) -> Natural {
    (0..as_u32(k)).fold(Natural::from(1u32), |product, i| {
        // Without a rest: the product of i consecutive numbers is divisible by i!.
        product.times(&n.saturating_sub(i).into()).divided_by(i.saturating_add(1)).0
    })
}

pub fn as_u32(small: usize) -> u32 {
    u32::try_from(small).unwrap_or(u32::MAX)
}
