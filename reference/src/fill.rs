//! Fills: how inputs are made from a seed.

use std::fmt;
use std::str::FromStr;

use ndarray::{ArrayD, Axis};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::DType;
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
        let (dtype, layout) = (port.dtype, &port.layout);
        let gap = if dtype.is_float() { f64::NAN } else { dtype.max_finite() };
        let mut flat = vec![gap; layout.span()];
        let offsets = layout.offsets();
        match Structure::of(port.values) {
            Some(structure) => {
                let values = structure.values(&layout.shape, &mut rng);
                offsets.into_iter().zip(values).for_each(|(offset, value)| flat[offset] = value);
            }
            None => {
                let trouble = Trouble::of(seed);
                for offset in offsets {
                    let (raw, dice) = (rng.next_u64(), rng.next_u64());
                    flat[offset] = self.value(port, trouble, raw, dice);
                }
            }
        }
        Data::from_f64(dtype, &flat)
    }

    /// One element, of a kind whose elements do not depend on each other.
    fn value(self, port: &Port, trouble: Trouble, raw: u64, dice: u64) -> f64 {
        let dtype = port.dtype;
        match (self, port.values) {
            (_, Values::Below(end)) => (raw % end.max(1) as u64) as f64,
            (_, Values::Label(_, none)) if dice.is_multiple_of(8) => none as f64,
            (_, Values::Label(end, _)) => (raw % end.max(1) as u64) as f64,
            (_, Values::Mask) => (raw % 2) as f64,
            (_, Values::Bytes) => dtype.min_finite() + (raw % 256) as f64,
            (_, Values::Unit) => match dice % 16 {
                0 => 0.0,
                1 => 1.0,
                _ => (unit(raw) * 1024.0).round() / 1024.0,
            },
            (Fill::Hostile, Values::ZeroPoint | Values::Sum(_)) => integer(dtype, raw, self),
            (_, Values::ZeroPoint) => zero_point(dtype, raw, self),
            (Fill::Real, Values::Sum(terms)) => ((2.0 * unit(raw) - 1.0) * magnitude(terms, self)).round(),
            _ if !dtype.is_float() => integer(dtype, raw, self),
            (Fill::Exact, Values::Rescale(terms)) => rescale(raw, terms, self).log2().round().exp2(),
            (Fill::Exact, Values::Positive) => [0.25, 0.5, 1.0, 2.0, 4.0][(raw % 5) as usize],
            (Fill::Exact, Values::Recurrent(terms)) => ((raw % 17) as f64 - 8.0) / 8.0 * share(terms),
            (Fill::Exact, _) => (raw % 17) as f64 - 8.0,
            (_, Values::Positive) => 0.5 + 1.5 * unit(raw),
            (Fill::Real, Values::Spread) => spread(raw, dice),
            (Fill::Real, Values::Rescale(terms)) => rescale(raw, terms, self),
            (Fill::Real, Values::Recurrent(terms)) => (2.0 * unit(raw) - 1.0) * share(terms),
            (Fill::Real, _) => 2.0 * unit(raw) - 1.0,
            (Fill::Hostile, values) => {
                // Huge values are as large as their sums and products allow.
                let spreads = values == Values::Spread && !matches!(trouble, Trouble::Huge);
                let real = match values {
                    Values::Rescale(terms) => rescale(raw, terms, self),
                    _ if spreads => spread(raw, dice >> 32),
                    _ => 2.0 * unit(raw) - 1.0,
                };
                let value = trouble.value(real, dice, dtype);
                match values {
                    // Where elements do not meet, an offset cancels nothing, and all that saturates would be equal.
                    Values::Spread if matches!(trouble, Trouble::Offset) && !dice.is_multiple_of(3) => real,
                    Values::Factor if value.is_infinite() => real,
                    Values::Finite if !value.is_finite() => real,
                    Values::Recurrent(terms) if value.abs() > 1.0 => real * share(terms),
                    Values::Recurrent(terms) => value * share(terms),
                    _ => value,
                }
            }
        }
    }
}

/// Between −2ᵏ and 2ᵏ, k from −5 to 6.
fn spread(raw: u64, dice: u64) -> f64 {
    (2.0 * unit(raw) - 1.0) * 2f64.powi((dice % 12) as i32 - 5)
}

/// The power of two below twice 1/terms: products with it are exact.
fn share(terms: usize) -> f64 {
    1.0 / f64::from(1u32 << terms.max(1).ilog2().min(31))
}

/// Uniform in [0, 1).
fn unit(raw: u64) -> f64 {
    (raw >> 11) as f64 / (1u64 << 53) as f64
}

/// Exact: small. Others: the whole range, the ends often.
fn integer(dtype: DType, raw: u64, fill: Fill) -> f64 {
    let (min, max) = (dtype.min_finite(), dtype.max_finite());
    match (fill, raw % 8) {
        // From −8 or 0 to 8.
        (Fill::Exact, _) => {
            let least = min.max(-8.0);
            (least + ((raw >> 8) % (9 - least as i64) as u64) as f64).min(max)
        }
        (Fill::Hostile, 0..=2) => min,
        (Fill::Hostile, 3..=5) => max,
        _ => (min + unit(raw) * (max - min + 1.0)).floor(),
    }
}

/// The middle of the integers that the fill draws, or one near it.
fn zero_point(dtype: DType, raw: u64, fill: Fill) -> f64 {
    let (min, max) = (dtype.min_finite(), dtype.max_finite());
    let (middle, off) = match fill {
        Fill::Exact => (if min < 0.0 { 0.0 } else { 4.0 }, 1),
        _ => (((min + max) / 2.0).ceil(), 8),
    };
    middle + (raw % (2 * off + 1)) as f64 - off as f64
}

/// About the deviation of a sum of so many products of 8-bit integers. That of each factor is the width of what it is drawn
/// from over √12.
fn magnitude(terms: usize, fill: Fill) -> f64 {
    let product = if fill == Fill::Exact { 9.0 * 17.0 / 12.0 } else { 256.0 * 256.0 / 12.0 };
    (terms.max(1) as f64).sqrt() * product
}

/// Makes of a [`magnitude`] 16 to 256.
fn rescale(raw: u64, terms: usize, fill: Fill) -> f64 {
    (4.0 + 4.0 * unit(raw)).exp2() / magnitude(terms, fill)
}

/// Kinds of values in which elements depend on each other.
enum Structure {
    Simplex(usize),
    Offsets(usize),
    Permutation,
    Boxes,
}

impl Structure {
    fn of(values: Values) -> Option<Structure> {
        match values {
            Values::Simplex(dimension) => Some(Structure::Simplex(dimension)),
            Values::Offsets(last) => Some(Structure::Offsets(last)),
            Values::Permutation => Some(Structure::Permutation),
            Values::Boxes => Some(Structure::Boxes),
            _ => None,
        }
    }

    /// The elements in row-major order.
    fn values(&self, shape: &[usize], rng: &mut ChaCha8Rng) -> Vec<f64> {
        let len: usize = shape.iter().product();
        let raw: Vec<f64> = (0..len).map(|_| unit(rng.next_u64())).collect();
        match *self {
            Structure::Simplex(dimension) => {
                // Quotients of 2²⁰, so that sums are exact in f32, too.
                let mut values = ArrayD::from_shape_vec(shape, raw).expect("one value per element");
                values.map_inplace(|x| *x += 0.01);
                for mut lane in values.lanes_mut(Axis(dimension)) {
                    let sum = lane.sum();
                    lane.map_inplace(|x| *x = (*x / sum * 1048576.0).floor() / 1048576.0);
                    let rest = 1.0 - lane.sum();
                    if let Some(first) = lane.first_mut() {
                        *first += rest;
                    }
                }
                values.into_raw_vec_and_offset().0
            }
            Structure::Offsets(last) => {
                let mut values: Vec<f64> = raw.iter().map(|x| (x * (last + 1) as f64).floor()).collect();
                values.sort_by(f64::total_cmp);
                if let [first, .., end] = &mut values[..] {
                    (*first, *end) = (0.0, last as f64);
                }
                values
            }
            Structure::Permutation => {
                let each = shape.last().copied().unwrap_or(1).max(1);
                let ranks = raw.chunks(each).flat_map(|chunk| {
                    let mut order: Vec<usize> = (0..chunk.len()).collect();
                    order.sort_by(|&i, &j| chunk[i].total_cmp(&chunk[j]));
                    order
                });
                ranks.map(|rank| rank as f64).collect()
            }
            Structure::Boxes => {
                let corners = raw.chunks(4).flat_map(|c| match *c {
                    [a, b, c, d] => vec![a.min(c), b.min(d), a.max(c), b.max(d)],
                    _ => c.to_vec(),
                });
                corners.collect()
            }
        }
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

    fn value(self, real: f64, dice: u64, dtype: DType) -> f64 {
        let (rare, some) = (dice.is_multiple_of(61), dice.is_multiple_of(3));
        let sign = if dice & 64 == 0 { 1.0 } else { -1.0 };
        match self {
            Trouble::Nan if rare => f64::NAN,
            Trouble::Infinite if rare => sign * f64::INFINITY,
            // Squares of these are subnormal or zero.
            Trouble::Subnormal if some => real * dtype.underflow() * 1024.0,
            // Squares of these, and thousands of them added, are still finite.
            Trouble::Huge if some => real * 2f64.powi((dtype.max_finite().log2() as i32) / 2 - 8),
            // Means near 4096 with deviations of one: the squares cancel. Types of few digits have smaller ones, so that
            // deviations are not lost.
            Trouble::Offset => (1.0 / (16.0 * dtype.unit_roundoff())).min(4096.0) + real,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Layout, Types, gather};

    fn draw(dtype: DType, shape: &[usize], values: Values) -> Vec<ArrayD<f64>> {
        let port = Port::new("x", Types::all(dtype), Layout::contiguous(shape)).drawn(values);
        let one = |fill: Fill, seed| gather(&port.layout, &fill.make(std::slice::from_ref(&port), seed)[0]);
        Fill::ALL.iter().flat_map(|&fill| (0..6).map(move |seed| one(fill, seed))).collect()
    }

    #[test]
    fn indices_labels_and_masks_are_valid_in_every_fill() {
        for array in draw(DType::I64, &[40], Values::Below(7)) {
            assert!(array.iter().all(|x| (0.0..7.0).contains(x) && x.fract() == 0.0), "{array}");
        }
        let labels = draw(DType::I32, &[400], Values::Label(3, -100));
        assert!(labels.iter().flatten().all(|x| [-100.0, 0.0, 1.0, 2.0].contains(x)));
        assert!(labels.iter().all(|array| array.iter().any(|x| *x == -100.0)));
        assert!(draw(DType::Bool, &[40], Values::Mask).iter().flatten().all(|x| [0.0, 1.0].contains(x)));
        assert!(draw(DType::F32, &[40], Values::Unit).iter().flatten().all(|x| (0.0..=1.0).contains(x)));
    }

    #[test]
    fn spread_numbers_are_not_all_large() {
        for array in draw(DType::F32, &[400], Values::Spread) {
            assert!(array.iter().filter(|x| x.abs() < 256.0).count() > 200, "{array}");
        }
    }

    #[test]
    fn recurrent_factors_are_small_in_every_fill() {
        for terms in [0, 1, 3, 4, 100] {
            let limit = 2.0 / terms.max(1) as f64;
            for array in draw(DType::F32, &[400], Values::Recurrent(terms)) {
                assert!(array.iter().all(|x| x.is_nan() || x.abs() <= limit), "{terms}: {array}");
                assert!(array.iter().any(|x| *x != 0.0 && x.is_finite()), "{terms}: {array}");
            }
        }
    }

    #[test]
    fn bytes_have_every_nibble() {
        for (dtype, least) in [(DType::U8, 0.0), (DType::I8, -128.0)] {
            for array in draw(dtype, &[4000], Values::Bytes) {
                let seen = |shift: u32| {
                    (array.iter().map(|x| (x - least) as u32 >> shift & 15)).fold(0u32, |all, n| all | 1 << n)
                };
                assert_eq!((seen(0), seen(4)), (0xffff, 0xffff));
            }
        }
    }

    #[test]
    fn quantized_operands_go_together() {
        for (dtype, middle) in [(DType::U8, [4.0, 128.0]), (DType::I8, [0.0, 0.0])] {
            let all = draw(dtype, &[50], Values::ZeroPoint);
            // Of six seeds each: exact and real.
            for (fill, middle) in all.chunks(6).zip(middle) {
                assert!(fill.iter().flatten().all(|x| (x - middle).abs() <= 8.0), "{dtype}");
            }
            let ends = [dtype.min_finite(), dtype.max_finite()];
            assert!(ends.iter().all(|end| all.iter().flatten().any(|x| x == end)));
        }
        let scales = draw(DType::F32, &[50], Values::Rescale(100));
        assert!(scales[0].iter().all(|x| x.log2().fract() == 0.0));
        assert!(scales[6].iter().all(|x| (16.0..=256.0).contains(&(x * magnitude(100, Fill::Real)))));
        let sums = draw(DType::I32, &[50], Values::Sum(100));
        assert!(sums[6].iter().all(|x| x.abs() <= magnitude(100, Fill::Real)));
    }

    #[test]
    fn structures_hold() {
        for array in draw(DType::F32, &[5, 9], Values::Simplex(1)) {
            assert!(array.rows().into_iter().all(|row| row.sum() == 1.0 && row.iter().all(|x| *x >= 0.0)), "{array}");
        }
        for array in draw(DType::I32, &[12], Values::Offsets(30)) {
            let values: Vec<f64> = array.iter().copied().collect();
            assert!(values.is_sorted() && values[0] == 0.0 && values[11] == 30.0, "{array}");
        }
        for array in draw(DType::I64, &[3, 8], Values::Permutation) {
            for row in array.rows() {
                let mut row = row.to_vec();
                row.sort_by(f64::total_cmp);
                assert_eq!(row, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
            }
        }
        for array in draw(DType::F32, &[6, 4], Values::Boxes) {
            assert!(array.rows().into_iter().all(|b| b[0] <= b[2] && b[1] <= b[3]), "{array}");
        }
    }
}
