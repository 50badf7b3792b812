//! Every function within its budget, on every level with the same bits: some of all arguments, and the special ones.

mod double;

use super::accuracy::{Worst, subjects};
use crate::isa::Isa;

/// Every so many arguments.
const STRIDE: usize = 9973;

fn arguments() -> Vec<f32> {
    let specials = [
        0.0,
        f32::MIN_POSITIVE,
        f32::MAX,
        f32::INFINITY,
        f32::NAN,
        1.0,
        1e-45,
        88.722_84,
        103.97,
        std::f32::consts::LN_2,
    ];
    let bits = (0..=u32::MAX).step_by(STRIDE).map(f32::from_bits);
    bits.chain(specials.into_iter().flat_map(|x| [x, -x])).collect()
}

#[test]
fn functions_are_within_their_budgets_with_the_same_bits() {
    let x = arguments();
    let (mut truths, mut first, mut other) = (vec![0.0; x.len()], vec![0.0f32; x.len()], vec![0.0f32; x.len()]);
    let mut faults = Vec::new();
    for subject in subjects() {
        subject.truths(&x, &mut truths);
        subject.values(Isa::Scalar, &x, &mut first).expect("always there");
        let worst: Worst = subject.worst(&x, &truths, &first);
        if worst.share > 1.0 {
            faults.push(format!("{}: {worst:?}", subject.name));
        }
        for isa in [Isa::Avx2, Isa::Avx512].into_iter().filter(|isa| isa.detected()) {
            subject.values(isa, &x, &mut other).expect("detected");
            let bits = |x: f32| if x.is_nan() { u32::MAX } else { x.to_bits() };
            if let Some(i) = (0..x.len()).find(|&i| bits(first[i]) != bits(other[i])) {
                faults.push(format!("{} of {:e}: {:e}, {isa} {:e}", subject.name, x[i], first[i], other[i]));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What the bound of an error does not see.
#[test]
fn zeros_keep_their_sign() {
    let odd = ["expm1", "log1p", "erf", "tanh", "relu", "leaky", "elu", "gelu_erf", "gelu_tanh", "silu"];
    for subject in subjects().iter().filter(|subject| odd.contains(&&subject.name[..])) {
        let mut y = [1.0f32; 2];
        subject.values(Isa::Scalar, &[0.0, -0.0], &mut y).expect("always there");
        assert_eq!(y.map(f32::to_bits), [0.0f32, -0.0].map(f32::to_bits), "{}", subject.name);
    }
}
