//! Philox 4×32 with ten rounds (Salmon, Moraes, Dror, Shaw: *Parallel Random Numbers: As Easy as 1, 2, 3*, SC 2011): random
//! numbers as a function of a key and a counter, so that any of them can be computed alone.

/// Factors of the two multiplications of a round.
pub const FACTORS: [u32; 2] = [0xd251_1f53, 0xcd9e_8d57];
/// What the key grows by from round to round.
pub const STEPS: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];
/// Rounds.
pub const ROUNDS: usize = 10;

/// Four random numbers of 32 bits.
pub fn philox([mut k0, mut k1]: [u32; 2], [mut c0, mut c1, mut c2, mut c3]: [u32; 4]) -> [u32; 4] {
    let wide = |factor: u32, x: u32| {
        let product = u64::from(factor) * u64::from(x);
        ((product >> 32) as u32, product as u32)
    };
    for _ in 0..ROUNDS {
        let ((high0, low0), (high1, low1)) = (wide(FACTORS[0], c0), wide(FACTORS[1], c2));
        (c0, c1, c2, c3) = (high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0);
        (k0, k1) = (k0.wrapping_add(STEPS[0]), k1.wrapping_add(STEPS[1]));
    }
    [c0, c1, c2, c3]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that Random123 publishes (`kat_vectors`).
    #[test]
    fn known_answers() {
        const ONES: u32 = u32::MAX;
        assert_eq!(philox([0; 2], [0; 4]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([ONES; 2], [ONES; 4]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        assert_eq!(philox([0xa409_3822, 0x299f_31d0], pi), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }
}
