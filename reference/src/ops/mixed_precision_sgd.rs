//! `mixed_precision_sgd`: one step of training in two precisions, with a loss scale that looks after itself.
//!
//! The network computes with weights h of bf16 or f16; its gradients g, of the same type, are those of the loss times
//! `scale`, so that small ones do not underflow. The masters w and the momentum v are f32.
//!
//! ```text
//! if every g[i] is finite:
//!     u = g/scale + decay·w;  v ← momentum·v + u;  w ← w − rate·v       (nesterov: w − rate·(u + momentum·v))
//!     good ← good + 1;  if good = interval:  scale ← 2·scale, good ← 0
//! else:
//!     w and v stay;  scale ← scale/2, good ← 0
//! h = w, rounded once
//! ```
//! Without momentum v is absent, and `w ← w − rate·u`. The scale stays where twice it would be infinite, and is not
//! halved below 2⁻¹²⁶. w, v, scale and good are updated in place.
//!
//! **Error.** With û for what a kernel has, u₃₂ = 2⁻²⁴ and every product added by a fused multiply-add, each step rounds
//! once: û of the quotient is off by u₃₂|g/scale|, and each multiply-add takes over the error of its summand and
//! |factor| times that of its factor, and adds u₃₂ of its result. [`Running`] has these rules, element by element. The
//! quotient is exact where the scale is a power of two. A witness rounds the products, too. h is that rounding of the
//! kernel's own w, bit for bit, which is compared besides.
//!
//! **Errors.** `scale` must be a positive finite number, `good` from 0 to below `interval`.

use ndarray::{ArrayD, Zip};

use super::gemm::choice_value;
use crate::compare::{Comparison, Verdict, compare};
use crate::operator::{elements, size};
use crate::running::{Rounding, Running};
use crate::tensor::Values;
use crate::{
    Axis, DType, Data, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness,
    Workload,
};

const SIZES: &[i64] = &[0, 1, 2, 3, 5, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129];

const AXES: &[Axis] = &[
    Axis::int("n", "weights", 64, 600, SIZES),
    Axis::choice("momentum", "how v moves the masters", &["given", "none", "nesterov"]),
    Axis::choice("decay", "decay of the weights", &["none", "given"]),
    Axis::int("interval", "good steps until the scale is doubled", 2000, 2000, &[1, 2, 3]).positive().bounded(),
];

/// Gradients and weights of bf16.
pub const F32BF16: Types = types("f32bf16", DType::Bf16);
/// Gradients and weights of f16.
pub const F32F16: Types = types("f32f16", DType::F16);
/// Both.
pub const TYPES: &[Types] = &[F32BF16, F32F16];

const fn types(name: &'static str, half: DType) -> Types {
    const fn ports(half: DType) -> &'static [(&'static str, DType)] {
        match half {
            DType::Bf16 => &[("g", DType::Bf16), ("h", DType::Bf16), ("good", DType::I32)],
            _ => &[("g", DType::F16), ("h", DType::F16), ("good", DType::I32)],
        }
    }
    Types::mixed(name, DType::F32, ports(half), DType::F32)
}

/// How v moves the masters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Momentum {
    /// There is no v.
    None,
    /// By v.
    Plain,
    /// By where v will be.
    Nesterov,
}

/// A validated step.
#[derive(Clone, Debug, PartialEq)]
pub struct MixedPrecisionSgd {
    /// Weights.
    pub n: usize,
    /// How v moves the masters.
    pub momentum: Momentum,
    /// Whether weights decay.
    pub decay: bool,
    /// Good steps until the scale is doubled.
    pub interval: usize,
}

/// The single numbers of a step.
struct Numbers {
    scale: f64,
    good: f64,
    rate: f64,
    momentum: f64,
    decay: f64,
}

impl MixedPrecisionSgd {
    /// Whether there is a v.
    pub fn moves(&self) -> bool {
        self.momentum != Momentum::None
    }

    fn numbers(&self, inputs: &[ArrayD<f64>]) -> Numbers {
        let first = |i: usize| inputs[i].first().copied().unwrap_or(0.0);
        Numbers { scale: first(3), good: first(4), rate: first(5), momentum: first(6), decay: first(7) }
    }

    /// Scale and count behind a step.
    pub fn next_scale(&self, scale: f64, good: f64, finite: bool) -> (f64, f64) {
        if !finite {
            return ((scale / 2.0).max(f64::from(f32::MIN_POSITIVE)), 0.0);
        }
        if good + 1.0 < self.interval as f64 {
            return (scale, good + 1.0);
        }
        (if 2.0 * scale <= f64::from(f32::MAX) { 2.0 * scale } else { scale }, 0.0)
    }

    /// w and v of an element, and how far a kernel's may be from them. `add` is `x·y + z`.
    fn element(
        &self,
        k: &Numbers,
        [w, v, g]: [f64; 3],
        divide: impl Fn(f64, f64) -> Running,
        add: impl Fn(Running, Running, Running) -> Running,
    ) -> [Running; 2] {
        let [rate, momentum, decay, w] = [-k.rate, k.momentum, k.decay, w].map(Running::exact);
        let mut u = divide(g, k.scale);
        if self.decay {
            u = add(decay, w, u);
        }
        let v = if self.moves() { add(momentum, Running::exact(v), u) } else { u };
        let step = if self.momentum == Momentum::Nesterov { add(momentum, v, u) } else { v };
        [add(rate, step, w), v]
    }

    /// The bounds for kernels that round products, too, unless they are fused with their sums.
    fn bounds(&self, types: Types, fused: bool, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        let formula = "by steps: u per rounding";
        let (r, k) = (Rounding::of(types), self.numbers(inputs));
        let add = |x, y, z| if fused { r.fma(x, y, z) } else { r.add(r.mul(x, y), z) };
        let finite = finite(&inputs[2]);
        let mut errors = [0, 1].map(|i| ArrayD::zeros(expected[i].shape()));
        for i in 0..if finite { self.n } else { 0 } {
            let v = if self.moves() { inputs[1][[i]] } else { 0.0 };
            let of = self.element(&k, [inputs[0][[i]], v, inputs[2][[i]]], |x, y| r.quotient(x, y), add);
            for (errors, of) in errors.iter_mut().zip(of).take(1 + usize::from(self.moves())) {
                errors[[i]] = of.error;
            }
        }
        let half = types.of("h");
        let of_h = Zip::from(&errors[0]).and(&expected[0]).map_collect(|error, w| {
            let own = error + types.accumulator.unit_roundoff() * w.abs();
            own + half.unit_roundoff() * (w.abs() + own) + half.underflow()
        });
        let [w, v] = errors;
        let mut all = vec![
            Tolerance::bound(formula, w, &expected[0]),
            Tolerance::bound(formula, v, &expected[1]),
            Tolerance::bound("w's, and one rounding", of_h, &expected[2]),
        ];
        all.extend([Tolerance::Exact, Tolerance::Exact]);
        all
    }
}

/// Whether all are finite.
fn finite(g: &ArrayD<f64>) -> bool {
    g.iter().all(|g| g.is_finite())
}

impl Problem for MixedPrecisionSgd {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let all = || Layout::contiguous(&[self.n]);
        let one = || Layout::contiguous(&[1]);
        vec![
            Port::new("w", types, all()),
            Port::optional("v", types, all(), self.moves()),
            Port::new("g", types, all()),
            Port::new("scale", types, one()).positive(),
            Port::new("good", types, one()).drawn(Values::Below(self.interval)),
            Port::new("rate", types, one()).positive(),
            Port::optional("momentum", types, one(), self.moves()).drawn(Values::Unit),
            Port::optional("decay", types, one(), self.decay).drawn(Values::Unit),
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        let all = || Layout::contiguous(&[self.n]);
        let one = || Layout::contiguous(&[1]);
        vec![
            Port::new("w", types, all()).from_input(0),
            Port::optional("v", types, all(), self.moves()).from_input(1),
            Port::new("h", types, all()),
            Port::new("scale", types, one()).from_input(3),
            Port::new("good", types, one()).from_input(4),
        ]
    }

    /// The scale is one that the operator takes. With the exact fill, every other seed has a gradient that overflows.
    fn draw(&self, types: Types, fill: Fill, seed: u64) -> Vec<Data> {
        let mut data = fill.make(&self.inputs(types), seed);
        if data[3].to_f64().iter().any(|&scale| !(scale as f32).is_normal() || scale < 0.0) {
            data[3] = Data::from_f64(DType::F32, &[1024.0]);
        }
        if fill == Fill::Exact && seed % 2 == 1 && self.n > 0 {
            let mut g = data[2].to_f64();
            // One of the last: whatever looks at some alone, misses it.
            g[self.n - 1 - seed as usize / 8 % self.n.min(64)] = if seed & 4 == 0 { f64::INFINITY } else { f64::NAN };
            data[2] = Data::from_f64(data[2].dtype(), &g);
        }
        data
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let k = self.numbers(inputs);
        let finite = finite(&inputs[2]);
        let (mut w, mut v) = (inputs[0].clone(), inputs[1].clone());
        for i in 0..if finite { self.n } else { 0 } {
            let before = if self.moves() { v[[i]] } else { 0.0 };
            let exact = |x: f64| Running::exact(x);
            let of = self.element(
                &k,
                [w[[i]], before, inputs[2][[i]]],
                |x, y| exact(x / y),
                |x, y, z| exact(x.value * y.value + z.value),
            );
            w[[i]] = of[0].value;
            if self.moves() {
                v[[i]] = of[1].value;
            }
        }
        // What is rounded to h is w as it is kept.
        let h = w.mapv(|w| f64::from(w as f32));
        let (scale, good) = self.next_scale(k.scale, k.good, finite);
        let one = |x| ArrayD::from_elem(vec![1], x);
        vec![w, v, h, one(scale), one(good)]
    }

    fn tolerance(&self, types: Types, fill: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        // Of small integers and powers of two, every step is exact; Nesterov's second product needs more bits.
        if fill == Fill::Exact && self.momentum != Momentum::Nesterov {
            return vec![Tolerance::Exact; 5];
        }
        self.bounds(types, true, inputs, expected)
    }

    fn witness_tolerance(
        &self,
        types: Types,
        _: Fill,
        inputs: &[ArrayD<f64>],
        expected: &[ArrayD<f64>],
    ) -> Vec<Tolerance> {
        self.bounds(types, false, inputs, expected)
    }

    /// h is also held against the outputs' own w.
    fn judge(
        &self,
        types: Types,
        _: &[ArrayD<f64>],
        expected: &[ArrayD<f64>],
        tolerances: &[Tolerance],
        outputs: &[ArrayD<f64>],
    ) -> Vec<Comparison> {
        let ports = self.outputs(types);
        let pairs = ports.iter().zip(expected).zip(tolerances).zip(outputs);
        let mut all: Vec<Comparison> =
            pairs.map(|(((port, expected), tolerance), got)| compare(port.dtype, expected, tolerance, got)).collect();
        let own = compare(types.of("h"), &outputs[0], &Tolerance::Exact, &outputs[2]);
        if own.verdict == Verdict::Fail {
            all[2] = own;
        }
        all
    }

    fn operations(&self) -> (f64, Unit) {
        (8.0 * self.n as f64, Unit::Fma)
    }
}

fn make(point: &Point) -> Result<Box<dyn Problem>, ProblemError> {
    let interval = size(point, "interval")?;
    if !(1..=i32::MAX as usize).contains(&interval) {
        let value = point.get("interval");
        return Err(ProblemError::OutOfRange { axis: "interval", value, rule: "from 1 to the largest i32" });
    }
    Ok(Box::new(MixedPrecisionSgd {
        n: elements("n", &[size(point, "n")?])?,
        momentum: match choice_value(point, "momentum")? {
            "none" => Momentum::None,
            "given" => Momentum::Plain,
            _ => Momentum::Nesterov,
        },
        decay: choice_value(point, "decay")? == "given",
        interval,
    }))
}

static WORKLOADS: &[Workload] = &[
    Workload::new("small.4096", "n=4096", "composed for the suite: within the caches").smoke(),
    Workload::new("bert_base.mlp", "n=2359296,decay=given", "BERT base, 768×3072"),
    Workload::new("resnet50.all", "n=25557032,decay=given", "ResNet-50, all parameters"),
    Workload::new("resnet50.all_nesterov", "n=25557032,momentum=nesterov,decay=given", "ResNet-50, all parameters"),
];

/// The operator `mixed_precision_sgd`.
pub static MIXED_PRECISION_SGD: Operator = Operator {
    name: "mixed_precision_sgd",
    summary: "training step with f32 masters, 16-bit gradients under a loss scale, overflow check, momentum and decay",
    axes: AXES,
    types: TYPES,
    make,
    workloads: WORKLOADS,
    special_values: "a gradient that is NaN or ±∞ leaves all weights as they are; other operands follow the formula",
    domains: &[],
    gradient: None,
    witness: Witness::Libtorch,
    batch: None,
};

#[cfg(test)]
mod tests {
    use super::*;

    /// w, v, h, scale and count behind a step.
    fn step(point: &str, inputs: [&[f64]; 8]) -> [Vec<f64>; 5] {
        let problem = make(&Point::parse(AXES, point).expect("a point")).expect("a problem");
        let inputs = inputs.map(|x| ArrayD::from_shape_vec(vec![x.len()], x.to_vec()).expect("a vector"));
        let all = problem.reference(&inputs);
        std::array::from_fn(|i| all[i].iter().copied().collect())
    }

    #[test]
    fn a_good_step_by_hand() {
        let [w, v, h, scale, good] = step(
            "n=2,decay=given,interval=3",
            [&[1.0, -2.0], &[4.0, 0.0], &[8.0, -8.0], &[4.0], &[1.0], &[0.5], &[0.25], &[0.125]],
        );
        // u = 2 + ⅛, −2 − ¼; v = 1 + u, u; w − v/2.
        assert_eq!((v, w.clone(), h), (vec![3.125, -2.25], vec![-0.5625, -0.875], w));
        assert_eq!((scale, good), (vec![4.0], vec![2.0]));
    }

    #[test]
    fn nesterov_looks_ahead() {
        let [w, v, ..] = step("n=1,momentum=nesterov", [&[1.0], &[4.0], &[2.0], &[2.0], &[0.0], &[0.5], &[0.5], &[]]);
        assert_eq!((v, w), (vec![3.0], vec![1.0 - 0.5 * (1.0 + 1.5)]));
    }

    #[test]
    fn an_overflow_changes_nothing_and_halves_the_scale() {
        for bad in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            let [w, v, h, scale, good] =
                step("n=2", [&[1.0, 2.0], &[3.0, 4.0], &[1.0, bad], &[1024.0], &[7.0], &[1.0], &[0.5], &[]]);
            assert_eq!((w, v, h), (vec![1.0, 2.0], vec![3.0, 4.0], vec![1.0, 2.0]));
            assert_eq!((scale, good), (vec![512.0], vec![0.0]));
        }
    }

    #[test]
    fn the_scale_grows_and_stays_within_f32() {
        let next = |interval: usize, scale: f64, good: f64, finite: bool| {
            let p = MixedPrecisionSgd { n: 1, momentum: Momentum::None, decay: false, interval };
            p.next_scale(scale, good, finite)
        };
        assert_eq!((next(3, 8.0, 1.0, true), next(3, 8.0, 2.0, true)), ((8.0, 2.0), (16.0, 0.0)));
        let (least, most) = (f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX));
        assert_eq!((next(1, most, 0.0, true), next(1, least, 0.0, false)), ((most, 0.0), (least, 0.0)));
    }
}
