//! `dropout`: each element is dropped with probability p, by random numbers that a key and an offset decide; what stays is
//! scaled, so that its mean is the same (inverted dropout).
//!
//! `mask[i] = r[i] ≥ ⌊p·2³²/100⌋`, `y[i] = x[i]·(mask[i]·100/(100 − p))`. Of four elements side by side from a multiple of
//! four on, `r` is [`philox`] of the key, with the counter `offset + i/4` in its lower two words and 0 above. `key` holds
//! four words as i32: the key's two, then the offset's lower and upper.

use ndarray::{ArrayD, Zip};

use super::philox::philox;
use crate::operator::{elements, size};
use crate::{
    Axis, DType, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness, Workload,
};

const SIZES: &[i64] = &[0, 1, 3, 4, 5, 15, 16, 17, 63, 64, 65, 255, 256, 257];

pub(super) const AXES: &[Axis] = &[
    Axis::int("n", "elements", 1, 600, SIZES),
    Axis::int("p", "probability that an element is dropped, in percent", 50, 99, &[0, 1, 10, 50, 99]).bounded(),
];

/// A validated dropout.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropout {
    /// Elements.
    pub n: usize,
    /// Probability that an element is dropped, in percent.
    pub percent: u32,
}

impl Dropout {
    /// Reads the axes.
    pub(super) fn of(point: &Point) -> Result<Dropout, ProblemError> {
        let n = elements("n", &[size(point, "n")?])?;
        let percent = size(point, "p")?;
        if percent > 99 {
            let value = point.get("p");
            return Err(ProblemError::OutOfRange { axis: "p", value, rule: "a probability from 0 to 99 percent" });
        }
        Ok(Dropout { n, percent: percent as u32 })
    }

    /// A random number below this drops its element.
    pub fn threshold(&self) -> u32 {
        ((u64::from(self.percent) << 32) / 100) as u32
    }

    /// What elements that stay are multiplied with.
    pub fn scale(&self) -> f64 {
        100.0 / f64::from(100 - self.percent)
    }

    /// Whether element `i` stays.
    pub fn stays(&self, key: [u32; 2], offset: u64, i: usize) -> bool {
        let counter = offset.wrapping_add(i as u64 / 4);
        philox(key, [counter as u32, (counter >> 32) as u32, 0, 0])[i % 4] >= self.threshold()
    }
}

/// Key and offset of the operand `key`.
pub fn key_and_offset(words: [i32; 4]) -> ([u32; 2], u64) {
    let [k0, k1, low, high] = words.map(|word| word as u32);
    ([k0, k1], u64::from(high) << 32 | u64::from(low))
}

impl Problem for Dropout {
    fn inputs(&self, types: Types) -> Vec<Port> {
        vec![
            Port::new("x", types, Layout::contiguous(&[self.n])),
            Port::new("key", types, Layout::contiguous(&[4])).typed(DType::I32),
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![
            Port::new("y", types, Layout::contiguous(&[self.n])),
            Port::new("mask", types, Layout::contiguous(&[self.n])).typed(DType::Bool),
        ]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let words: Vec<i32> = inputs[1].iter().map(|&word| word as i32).collect();
        let (key, offset) = key_and_offset(words.try_into().expect("four words"));
        let stays = |i: usize| self.stays(key, offset, i);
        let mask = ArrayD::from_shape_fn(vec![self.n], |i| f64::from(u8::from(stays(i[0]))));
        let y = Zip::from(&inputs[0]).and(&mask).map_collect(|x, mask| x * (mask * self.scale()));
        vec![y, mask]
    }

    /// The scale is rounded once and the product once. Where p is 0 or 50 percent, the scale is exact, and so is the
    /// product.
    fn tolerance(&self, types: Types, _: Fill, _: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        vec![scaled(self.percent, types, &expected[0]), Tolerance::Exact]
    }

    fn operations(&self) -> (f64, Unit) {
        // Ten rounds of two multiplications and four exclusive ors for four elements; a comparison, a product.
        (self.n as f64 * 17.0, Unit::Integer)
    }

    fn differentiable(&self) -> Vec<usize> {
        vec![0]
    }

    fn degenerate(&self) -> bool {
        // With a high or low probability nearly all elements are alike.
        self.percent == 0 || self.percent > 80 || self.n < 32
    }
}

/// The tolerance of a product with the scale.
pub(super) fn scaled(percent: u32, types: Types, expected: &ArrayD<f64>) -> Tolerance {
    if percent == 0 || percent == 50 {
        return Tolerance::Exact;
    }
    // In f64 the reference rounds, too.
    let (u, sides) = (types.element.unit_roundoff(), if types.element == DType::F64 { 2.0 } else { 1.0 });
    let bound = expected.mapv(|y| sides * (2.0 * u + u * u) * y.abs() + types.element.underflow());
    Tolerance::bound("(2u + u²)·|y| + η", bound, expected)
}

/// What benchmarks time, of the gradient, too.
pub(super) static WORKLOADS: &[Workload] = &[
    Workload::new("alexnet.fc6_n128", "n=524288,p=50", "AlexNet, dropout of fc6, 128 images").smoke(),
    Workload::new("bert.hidden_n8", "n=786432,p=10", "BERT base, 8 sequences of 128"),
    Workload::new("small.4096", "n=4096,p=10", "composed for the suite: within the first cache").smoke(),
];

/// The operator `dropout`.
pub static DROPOUT: Operator = Operator {
    name: "dropout",
    summary: "elements dropped by random numbers of a key, the others scaled (inverted dropout, Philox)",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(Dropout::of(point)?)),
    workloads: WORKLOADS,
    special_values: "a dropped element is multiplied with 0: NaN and ∞ give NaN, as in libtorch",
    domains: &[],
    gradient: None,
    witness: Witness::Algorithm(
        "Philox's published known answers, and statistics of the masks: libtorch has other numbers",
    ),
    batch: None,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::downcast;

    /// Masks of `n` elements for several keys.
    fn masks(percent: u32, n: usize) -> impl Iterator<Item = Vec<f64>> {
        let dropout = Dropout { n, percent };
        (0..8u32).map(move |key| {
            (0..n).map(|i| f64::from(u8::from(dropout.stays([key, 7 * key], u64::from(key) << 30, i)))).collect()
        })
    }

    /// Each statistic is off by less than 6.5 of its standard deviations: normal to good approximation for so many elements, so that
    /// one of these 8·4·3 falsely alarms with a probability below 10⁻⁸.
    #[test]
    fn masks_have_the_rate_and_no_memory() {
        let n = 100_000;
        for percent in [1, 10, 50, 90] {
            let (p, count) = (f64::from(percent) / 100.0, n as f64);
            let variance = p * (1.0 - p);
            for mask in masks(percent, n) {
                let rate = mask.iter().sum::<f64>() / count;
                assert!((rate - (1.0 - p)).abs() < 6.5 * (variance / count).sqrt(), "{percent} %: {rate}");
                // Neighbours, and elements of the next four numbers.
                for lag in [1, 4] {
                    let pairs = mask.iter().zip(&mask[lag..]).map(|(a, b)| (a - (1.0 - p)) * (b - (1.0 - p)));
                    let correlation = pairs.sum::<f64>() / (count - lag as f64) / variance;
                    assert!(correlation.abs() < 6.5 / count.sqrt(), "{percent} %, lag {lag}: {correlation}");
                }
            }
        }
    }

    #[test]
    fn the_mean_stays() {
        let dropout = Dropout { n: 100_000, percent: 30 };
        let words = ArrayD::from_shape_vec(vec![4], vec![5.0, -3.0, 0.0, 1.0]).expect("four");
        let outputs = dropout.reference(&[ArrayD::ones(vec![dropout.n]), words]);
        let mean = outputs[0].mean().expect("elements");
        assert!((mean - 1.0).abs() < 6.5 * (0.3 / 0.7 / dropout.n as f64).sqrt(), "{mean}");
    }

    #[test]
    fn other_keys_and_offsets_give_other_masks() {
        let problem = DROPOUT.problem(&Point::parse(AXES, "n=256").expect("a point")).expect("a problem");
        let dropout: &Dropout = downcast(&*problem);
        let mask = |key, offset| (0..256).map(|i| dropout.stays(key, offset, i)).collect::<Vec<_>>();
        let first = mask([1, 2], 3);
        assert!([mask([2, 2], 3), mask([1, 3], 3), mask([1, 2], 1 << 32)].iter().all(|other| *other != first));
        assert_eq!(mask([1, 2], 4)[..252], first[4..], "the offset counts in fours");
    }
}
