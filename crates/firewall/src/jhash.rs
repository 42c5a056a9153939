//! The hash of the kernel's `jhash` expression.

/// The arbitrary number that the three parts begin with (`JHASH_INITVAL` of include/linux/jhash.h).
const BEGIN: u32 = 0xdead_beef;

/// Bob Jenkins' *lookup3* as the kernel computes it (`jhash` of include/linux/jhash.h), on a machine
/// of the same byte order.
pub fn jhash(bytes: &[u8], seed: u32) -> u32 {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let begin = BEGIN.wrapping_add(length).wrapping_add(seed);
    let mut parts = [begin; 3];
    let mut rest = bytes;
    // The last twelve bytes, or fewer, are mixed otherwise.
    while let Some((twelve, after)) =
        rest.split_first_chunk::<12>().filter(|(_, it)| !it.is_empty())
    {
        add(&mut parts, twelve, u32::from_ne_bytes);
        mix(&mut parts);
        rest = after;
    }
    if !rest.is_empty() {
        let mut last = [0; 12];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        add(&mut parts, &last, u32::from_le_bytes);
        finish(&mut parts);
    }
    let [_, _, hash] = parts;
    hash
}

/// Brings a hash into `0..buckets` (`reciprocal_scale` of include/linux/kernel.h).
pub fn scaled(hash: u32, buckets: u32) -> u32 {
    let product = u64::from(hash).wrapping_mul(buckets.into());
    u32::try_from(product >> 32).unwrap_or(u32::MAX)
}

fn add(parts: &mut [u32; 3], twelve: &[u8; 12], read: fn([u8; 4]) -> u32) {
    let (words, _) = twelve.as_chunks::<4>();
    for (part, word) in parts.iter_mut().zip(words) {
        *part = part.wrapping_add(read(*word));
    }
}

fn mix([a, b, c]: &mut [u32; 3]) {
    let step = |x: &mut u32, y: &mut u32, z: u32, bits| {
        *x = x.wrapping_sub(*y) ^ y.rotate_left(bits);
        *y = y.wrapping_add(z);
    };
    step(a, c, *b, 4);
    step(b, a, *c, 6);
    step(c, b, *a, 8);
    step(a, c, *b, 16);
    step(b, a, *c, 19);
    step(c, b, *a, 4);
}

fn finish([a, b, c]: &mut [u32; 3]) {
    let step = |x: &mut u32, y: u32, bits| *x = (*x ^ y).wrapping_sub(y.rotate_left(bits));
    step(c, *b, 14);
    step(a, *c, 11);
    step(b, *a, 25);
    step(c, *b, 16);
    step(a, *c, 4);
    step(b, *a, 14);
    step(c, *b, 24);
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use super::*;

    /// What Linux 6.18 on x86-64 made of these addresses: the elements that the rule `add @m { jhash ip
    /// saddr mod 1048576 seed S : meta priority }` added.
    #[test]
    #[cfg(target_endian = "little")]
    fn it_is_the_hash_of_the_kernel() {
        for (address, seed, bucket) in [
            ("192.0.2.1", 0x0, 0xb_3bcb),
            ("198.51.100.77", 0x0, 0x1_9a9e),
            ("10.1.2.3", 0x0, 0xc_a44a),
            ("2001:db8::1", 0x0, 0xe5b0),
            ("2001:db8:1:2:3:4:5:6", 0x0, 0xe_9b23),
            ("fd00::abcd", 0x0, 0xe_b6bc),
            ("192.0.2.1", 0x1234, 0xd_c994),
            ("198.51.100.77", 0x1234, 0xb_ecb4),
            ("10.1.2.3", 0x1234, 0x4_04e3),
            ("2001:db8::1", 0x1234, 0x1_1d35),
            ("2001:db8:1:2:3:4:5:6", 0x1234, 0xd_d4ad),
            ("fd00::abcd", 0x1234, 0x4_4bc2),
            ("192.0.2.1", 0xdead_beef, 0xd_a052),
            ("198.51.100.77", 0xdead_beef, 0x3_3829),
            ("10.1.2.3", 0xdead_beef, 0xd_2d96),
            ("2001:db8::1", 0xdead_beef, 0xf_9dbf),
            ("2001:db8:1:2:3:4:5:6", 0xdead_beef, 0x1_2e80),
            ("fd00::abcd", 0xdead_beef, 0x9_025e),
        ] {
            let hash = match address.parse().unwrap() {
                IpAddr::V4(address) => jhash(&address.octets(), seed),
                IpAddr::V6(address) => jhash(&address.octets(), seed),
            };
            assert_eq!(scaled(hash, 1 << 20), bucket, "{address} {seed:#x}");
        }
    }

    #[test]
    fn buckets_are_all_there() {
        assert_eq!(scaled(0, 16), 0);
        assert_eq!(scaled(u32::MAX, 16), 15);
        assert_eq!(scaled(1 << 28, 16), 1);
    }
}
