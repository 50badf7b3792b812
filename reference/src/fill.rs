//! Fills: how inputs are made from a seed.

use std::fmt;
use std::str::FromStr;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::tensor::{Data, Port, Values};

/// What kind of numbers the inputs hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fill {
    /// Small integers (powers of two where a value must be positive): every partial sum of an exact operator is
    /// representable, so that any order of summation gives equal bits.
    Exact,
    /// Reals between −1 and 1 (between ½ and 2 where a value must be positive).
    Real,
    /// Reals with one kind of trouble, which the seed chooses: NaN, ±∞, subnormals, huge values, a large common offset
    /// that cancels, ±0 beside NaN and ±∞.
    Hostile,
}

impl Fill {
    /// Every fill.
    pub const ALL: [Fill; 3] = [Fill::Exact, Fill::Real, Fill::Hostile];

    /// Name in case ids.
    pub const fn name(self) -> &'static str {
        match self {
            Fill::Exact => "exact",
            Fill::Real => "real",
            Fill::Hostile => "hostile",
        }
    }

    /// A buffer for each port. Elements that the layout does not address hold NaN (the largest value, for integers), so
    /// that reading them shows. The same seed gives the same values on every machine.
    pub fn make(self, ports: &[Port], seed: u64) -> Vec<Data> {
        ports.iter().enumerate().map(|(index, port)| self.port(port, seed, index as u64)).collect()
    }

    fn port(self, port: &Port, seed: u64, index: u64) -> Data {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(index);
        let dtype = port.dtype;
        let gap = if dtype.is_float() { f64::NAN } else { dtype.max_finite() };
        let mut flat = vec![gap; port.layout.span()];
        let trouble = Trouble::of(seed);
        for offset in port.layout.offsets() {
            let (raw, dice) = (rng.next_u64(), rng.next_u64());
            flat[offset] = match (self, port.values) {
                _ if !dtype.is_float() => integer(dtype.max_finite(), raw, self),
                (Fill::Exact, Values::Signed | Values::Spread | Values::Factor | Values::Finite) => {
                    (raw % 17) as f64 - 8.0
                }
                (Fill::Exact, Values::Positive) => [0.25, 0.5, 1.0, 2.0, 4.0][(raw % 5) as usize],
                (_, Values::Positive) => 0.5 + 1.5 * unit(raw),
                (Fill::Real, Values::Spread) => spread(raw, dice),
                (Fill::Real, Values::Signed | Values::Factor | Values::Finite) => 2.0 * unit(raw) - 1.0,
                (Fill::Hostile, values) => {
                    // Huge values are as large as their sums and products allow.
                    let spreads = values == Values::Spread && !matches!(trouble, Trouble::Huge);
                    let real = if spreads { spread(raw, dice >> 32) } else { 2.0 * unit(raw) - 1.0 };
                    let value = trouble.value(real, dice, dtype);
                    match values {
                        Values::Factor if value.is_infinite() => real,
                        Values::Finite if !value.is_finite() => real,
                        _ => value,
                    }
                }
            };
        }
        Data::from_f64(dtype, &flat)
    }
}

/// Between −2ᵏ and 2ᵏ, k from −5 to 6.
fn spread(raw: u64, dice: u64) -> f64 {
    (2.0 * unit(raw) - 1.0) * 2f64.powi((dice % 12) as i32 - 5)
}

/// Uniform in [0, 1).
fn unit(raw: u64) -> f64 {
    (raw >> 11) as f64 / (1u64 << 53) as f64
}

/// Exact: small. Others: the whole range, the ends often. `max` is the type's largest value.
fn integer(max: f64, raw: u64, fill: Fill) -> f64 {
    let min = if max == 255.0 { 0.0 } else { -max - 1.0 };
    match (fill, raw % 8) {
        (Fill::Exact, _) => (if min == 0.0 { 0.0 } else { -8.0 }) + (raw >> 8).rem_euclid(9) as f64,
        (Fill::Hostile, 0..=2) => min,
        (Fill::Hostile, 3..=5) => max,
        _ => (min + unit(raw) * (max - min + 1.0)).floor(),
    }
}

#[derive(Clone, Copy)]
enum Trouble {
    Nan,
    Infinite,
    Subnormal,
    Huge,
    Offset,
    Zeros,
}

impl Trouble {
    fn of(seed: u64) -> Trouble {
        use Trouble::*;
        [Nan, Infinite, Subnormal, Huge, Offset, Zeros][(seed % 6) as usize]
    }

    fn value(self, real: f64, dice: u64, dtype: crate::DType) -> f64 {
        let (rare, some) = (dice.is_multiple_of(61), dice.is_multiple_of(3));
        let sign = if dice & 64 == 0 { 1.0 } else { -1.0 };
        match self {
            Trouble::Nan if rare => f64::NAN,
            Trouble::Infinite if rare => sign * f64::INFINITY,
            // Squares of these are subnormal or zero.
            Trouble::Subnormal if some => real * dtype.underflow() * 1024.0,
            // Squares of these, and thousands of them added, are still finite.
            Trouble::Huge if some => real * 2f64.powi((dtype.max_finite().log2() as i32) / 2 - 8),
            // Means near 4096 with deviations of one: the squares cancel.
            Trouble::Offset => 4096.0 + real,
            // Products with a factor 0, some of which are no numbers all the same.
            Trouble::Zeros if some => sign * 0.0,
            Trouble::Zeros if dice.is_multiple_of(20) => f64::NAN,
            Trouble::Zeros if dice.is_multiple_of(28) => sign * f64::INFINITY,
            _ => real,
        }
    }
}

impl fmt::Display for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The text names no fill.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown fill `{0}`: expected exact, real or hostile")]
pub struct UnknownFill(String);

impl FromStr for Fill {
    type Err = UnknownFill;
    fn from_str(text: &str) -> Result<Fill, UnknownFill> {
        Fill::ALL.into_iter().find(|f| f.name() == text).ok_or_else(|| UnknownFill(text.into()))
    }
}
