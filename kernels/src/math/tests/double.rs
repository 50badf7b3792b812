//! Functions of f64 within their budgets, on every level with the same bits, against values of twice the digits.

use crate::isa::Isa;
use crate::math::{Beside, Calculation, Numeric};

/// A value as the sum of two: 106 bits.
#[derive(Clone, Copy, Debug)]
struct Pair(f64, f64);

/// ln 2.
const LN_2: Pair = Pair(std::f64::consts::LN_2, 2.319_046_813_846_3e-17);

impl Pair {
    /// Of a sum that is much larger than its rounding error.
    fn of(high: f64, low: f64) -> Pair {
        let sum = high + low;
        Pair(sum, low - (sum - high))
    }
    fn add(self, other: Pair) -> Pair {
        let sum = self.0 + other.0;
        let part = sum - self.0;
        let lost = (self.0 - (sum - part)) + (other.0 - part);
        Pair::of(sum, lost + self.1 + other.1)
    }
    fn mul(self, other: Pair) -> Pair {
        let product = self.0 * other.0;
        let lost = self.0.mul_add(other.0, -product);
        Pair::of(product, lost + self.0 * other.1 + self.1 * other.0)
    }
    fn neg(self) -> Pair {
        Pair(-self.0, -self.1)
    }
    fn div(self, other: Pair) -> Pair {
        let first = self.0 / other.0;
        let rest = self.add(other.mul(Pair(-first, 0.0)));
        let second = rest.0 / other.0;
        let rest = rest.add(other.mul(Pair(-second, 0.0)));
        Pair::of(first, second).add(Pair(rest.0 / other.0, 0.0))
    }
    /// e^x, and the power of two that it is to be multiplied by.
    fn exp(self) -> (Pair, i32) {
        let n = (self.0 / LN_2.0).round();
        let r = self.add(LN_2.mul(Pair(-n, 0.0)));
        let mut sum = Pair(1.0, 0.0);
        for k in (1..=28).rev() {
            sum = Pair(1.0, 0.0).add(sum.mul(r).div(Pair(f64::from(k), 0.0)));
        }
        (sum, n as i32)
    }
    /// e^x where neither overflows nor is small.
    fn power(self) -> Pair {
        let (value, n) = self.exp();
        let scale = 2f64.powi(n);
        Pair(value.0 * scale, value.1 * scale)
    }
    /// log(x): a step of Newton from that of the C library.
    fn log(self) -> Pair {
        let about = self.0.ln();
        let off = self.mul(Pair(-about, 0.0).power()).add(Pair(-1.0, 0.0));
        Pair(about, 0.0).add(off).add(off.mul(off).mul(Pair(-0.5, 0.0)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Function {
    Exp,
    Exp2Below0,
    Log,
    Sigmoid,
    Tanh,
    Softplus,
}

impl Function {
    const ALL: [Function; 6] = {
        use Function::*;
        [Exp, Exp2Below0, Log, Sigmoid, Tanh, Softplus]
    };

    /// Units in the last place.
    fn budget(self) -> f64 {
        match self {
            Function::Exp | Function::Log => 1.0,
            Function::Exp2Below0 => 2.0,
            _ => 3.0,
        }
    }

    /// The exact value at a number, and the power of two that it is to be multiplied by; `None` where it is not defined
    /// by a finite number.
    fn truth(self, x: f64) -> Option<(Pair, i32)> {
        let one = Pair(1.0, 0.0);
        let plain = |value: Pair| Some((value, 0));
        match self {
            Function::Exp if x.abs() < 800.0 => Some(Pair(x, 0.0).exp()),
            Function::Exp2Below0 if x <= 0.0 => {
                let n = x.max(-1100.0).round();
                Some((LN_2.mul(Pair(x.max(-1100.0) - n, 0.0)).exp().0, if x < -1021.0 { -2000 } else { n as i32 }))
            }
            Function::Log if x > 0.0 && x < f64::INFINITY => {
                // Mantissa and exponent apart, so that nothing overflows.
                let n = x.log2().floor().clamp(-1000.0, 1000.0);
                let m = x * 2f64.powi(-n as i32);
                plain(Pair(m, 0.0).log().add(LN_2.mul(Pair(n, 0.0))))
            }
            Function::Sigmoid if x.abs() < 690.0 => plain(one.div(one.add(Pair(-x, 0.0).power()))),
            Function::Tanh if x.abs() < 1e-10 => plain(Pair(x, 0.0)),
            Function::Tanh if x.abs() < 300.0 => {
                let z = Pair(x + x, 0.0).power();
                plain(z.add(one.neg()).div(z.add(one)))
            }
            Function::Softplus if x.abs() < 690.0 => {
                let z = Pair(-x.abs(), 0.0).power();
                let rest = if z.0 < 1e-13 { z.add(z.mul(z).mul(Pair(-0.5, 0.0))) } else { one.add(z).log() };
                plain(rest.add(Pair(x.max(0.0), 0.0)))
            }
            _ => None,
        }
    }
}

struct Values<'a>(Function, &'a [f64], &'a mut [f64]);

impl Calculation<f64> for Values<'_> {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<f64>>(self, n: N) {
        let Values(function, x, y) = self;
        for at in (0..x.len()).step_by(N::WIDTH) {
            let v = n.load_at(x, at);
            let value = match function {
                Function::Exp => n.exp(v),
                Function::Exp2Below0 => n.exp2_below_0(v),
                Function::Log => n.log(v),
                Function::Sigmoid => n.sigmoid(v),
                Function::Tanh => n.tanh(v),
                Function::Softplus => n.softplus(v),
            };
            n.store_at(value, y, at);
        }
    }
}

fn values(isa: Isa, function: Function, x: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; x.len()];
    f64::calculate(isa, Values(function, x, &mut y)).expect("the CPU has it");
    y
}

/// Numbers of every size, small ones more often, and what is special.
fn arguments() -> Vec<f64> {
    let specials = [
        0.0,
        f64::MIN_POSITIVE,
        5e-324,
        1e-310,
        f64::MAX,
        f64::INFINITY,
        f64::NAN,
        1.0,
        1.0 / 3.0,
        2.0 / 3.0,
        709.782_712_893_384,
        745.133_219_101_941,
        1021.0,
        std::f64::consts::LN_2,
        std::f64::consts::LN_2 / 2.0,
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let random = (0..60_000).map(move |i| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bits = state >> 1;
        match i % 4 {
            0 => f64::from_bits(bits),
            1 => (bits as f64 / 2f64.powi(62) - 1.0) * 750.0,
            2 => (bits as f64 / 2f64.powi(62) - 1.0) * 4.0,
            _ => 2f64.powf((bits as f64 / 2f64.powi(62) - 1.0) * 40.0),
        }
    });
    random.chain(specials).flat_map(|x| [x, -x]).collect()
}

/// What a value is off by, in units in the last place of the truth.
fn off(got: f64, (truth, exponent): (Pair, i32)) -> f64 {
    let half = exponent / 2;
    let (first, second) = (2f64.powi(half), 2f64.powi(exponent - half));
    let rounded = truth.0 * first * second;
    if got == rounded || rounded.is_infinite() {
        return if got == rounded { 0.0 } else { f64::INFINITY };
    }
    let ulp = (rounded.abs().next_up() - rounded.abs()).max(f64::from_bits(1));
    // Subnormal results are compared with the rounded truth, half a unit of which is its own.
    if rounded.abs() < f64::MIN_POSITIVE {
        return (got - rounded).abs() / ulp - 0.5;
    }
    // Both are scaled up again, where they are whole.
    let scaled = got / first / second;
    ((scaled - truth.0) - truth.1).abs() / (ulp / first / second)
}

#[test]
fn functions_of_f64_are_within_their_budgets_with_the_same_bits() {
    let x = arguments();
    let mut faults = Vec::new();
    for function in Function::ALL {
        let scalar = values(Isa::Scalar, function, &x);
        let mut worst = (0.0, 0.0, 0.0);
        for (&x, &got) in x.iter().zip(&scalar) {
            let Some(truth) = function.truth(x) else { continue };
            let off = off(got, truth);
            if off > worst.0 || off.is_nan() {
                worst = (off, x, got);
            }
        }
        if worst.0 > function.budget() || worst.0.is_nan() {
            faults.push(format!("{function:?}: {} ulp at {:e}: {:e}", worst.0, worst.1, worst.2));
        }
        let single = f64::single();
        for (&x, &got) in x.iter().zip(&scalar).step_by(7) {
            let mut one = [0.0];
            Values(function, &[x], &mut one).run(single);
            if one[0].to_bits() != got.to_bits() && !(one[0].is_nan() && got.is_nan()) {
                faults.push(format!("{function:?} of {x:e}: {got:e}, alone {:e}", one[0]));
            }
        }
        for isa in [Isa::Avx2, Isa::Avx512].into_iter().filter(|isa| isa.detected()) {
            let other = values(isa, function, &x);
            let differs = |i: &usize| {
                let (a, b) = (scalar[*i], other[*i]);
                a.to_bits() != b.to_bits() && !(a.is_nan() && b.is_nan())
            };
            if let Some(i) = (0..x.len()).find(differs) {
                faults.push(format!("{function:?} of {:e}: {:e}, {isa} {:e}", x[i], scalar[i], other[i]));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn special_values_of_f64() {
    let infinity = f64::INFINITY;
    let cases: [(Function, &[f64], &[f64]); 6] = [
        (Function::Exp, &[-infinity, -800.0, 0.0, 710.0, infinity], &[0.0, 0.0, 1.0, infinity, infinity]),
        (Function::Exp2Below0, &[-infinity, -1021.5, -1021.0, -0.0], &[0.0, 0.0, 2f64.powi(-1021), 1.0]),
        (Function::Log, &[0.0, -0.0, 1.0, infinity], &[-infinity, -infinity, 0.0, infinity]),
        (Function::Sigmoid, &[-infinity, 0.0, infinity], &[0.0, 0.5, 1.0]),
        (Function::Tanh, &[-infinity, -0.0, 0.0, infinity], &[-1.0, -0.0, 0.0, 1.0]),
        (Function::Softplus, &[-infinity, 800.0, infinity], &[0.0, 800.0, infinity]),
    ];
    for (function, x, y) in cases {
        let got = values(Isa::Scalar, function, x);
        assert_eq!(
            got.iter().map(|y| y.to_bits()).collect::<Vec<_>>(),
            y.iter().map(|y| y.to_bits()).collect::<Vec<_>>()
        );
        assert!(values(Isa::Scalar, function, &[f64::NAN])[0].is_nan(), "{function:?}");
    }
    assert!(values(Isa::Scalar, Function::Log, &[-1.0])[0].is_nan());
}
