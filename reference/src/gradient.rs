//! Gradients held against the forward operator: central differences and the adjoint test, both on the f64 references.
//!
//! Kernels need no such test of their own: they are held against the gradient operator's reference, and that is what is
//! shown right here, and by libtorch's autograd.

use ndarray::ArrayD;

use crate::{DType, Fill, Operator, Point, Problem, gather};

/// Step of the differences.
pub const EPS: f64 = 1e-6;
/// Absolute tolerance of the differences.
pub const ATOL: f64 = 1e-5;
/// Relative tolerance of the differences.
pub const RTOL: f64 = 1e-3;

/// A gradient operator's problem together with its forward problem and inputs for both.
struct Pair {
    gradient: Box<dyn Problem>,
    forward: Box<dyn Problem>,
    inputs: Vec<ArrayD<f64>>,
    upstream: ArrayD<f64>,
}

impl Pair {
    /// `None` if the point makes no problem of one of the two.
    fn make(operator: &dyn Operator, point: &Point, fill: Fill, seed: u64) -> Option<Pair> {
        let of = operator.gradient_of().expect("a gradient operator");
        let gradient = operator.problem(point).ok()?;
        let forward = of.forward().problem(&of.forward_point(point)).ok()?;
        let arrays = |ports: &[crate::Port], seed| -> Vec<ArrayD<f64>> {
            fill.make(ports, seed).iter().zip(ports).map(|(d, p)| gather(&p.layout, d)).collect()
        };
        let inputs = arrays(&forward.inputs(DType::F64), seed);
        let upstream = arrays(&forward.outputs(DType::F64)[..1], seed.wrapping_add(1)).remove(0);
        Some(Pair { gradient, forward, inputs, upstream })
    }

    /// The gradients that the gradient operator's reference gives.
    fn gradients(&self, operator: &dyn Operator) -> Vec<(usize, ArrayD<f64>)> {
        let of = operator.gradient_of().expect("a gradient operator");
        let outputs = self.forward.reference(&self.inputs);
        let inputs = of.inputs(&*self.gradient, &*self.forward, &self.inputs, &outputs, &self.upstream);
        of.gradients(&*self.gradient, &self.gradient.reference(&inputs))
    }

    /// ⟨upstream, first output⟩.
    fn loss(&self, inputs: &[ArrayD<f64>]) -> f64 {
        (&self.forward.reference(inputs)[0] * &self.upstream).sum()
    }
}

/// Central differences of the forward reference against the gradient operator's reference, for every element of every
/// differentiable input. `Ok(None)`: the point makes no problem, or lies at a kink.
///
/// # Errors
/// A description of the first element that differs.
pub fn check_differences(operator: &dyn Operator, point: &Point, seed: u64) -> Result<Option<usize>, String> {
    let of = operator.gradient_of().expect("a gradient operator");
    let Some(mut pair) = Pair::make(operator, point, Fill::Real, seed) else { return Ok(None) };
    if of.near_kink(&*pair.forward, &pair.inputs, EPS) {
        return Ok(None);
    }
    let gradients = pair.gradients(operator);
    let expected = of.inputs_of(&*pair.gradient, &*pair.forward);
    let given: Vec<usize> = gradients.iter().map(|(input, _)| *input).collect();
    if expected != given {
        return Err(format!("{} {point}: gradients of inputs {given:?}, expected of {expected:?}", operator.name()));
    }
    let mut compared = 0;
    for (input, gradient) in gradients {
        for flat in 0..gradient.len() {
            let original = element(&mut pair.inputs[input], flat, None);
            element(&mut pair.inputs[input], flat, Some(original + EPS));
            let above = pair.loss(&pair.inputs);
            element(&mut pair.inputs[input], flat, Some(original - EPS));
            let below = pair.loss(&pair.inputs);
            element(&mut pair.inputs[input], flat, Some(original));
            let difference = (above - below) / (2.0 * EPS);
            let analytic = gradient.iter().nth(flat).copied().expect("an element");
            let off = (difference - analytic).abs();
            if off > ATOL + RTOL * difference.abs() || off.is_nan() {
                return Err(format!(
                    "{} {point} seed {seed}: input {input} element {flat}: gradient {analytic}, differences {difference}",
                    operator.name()
                ));
            }
            compared += 1;
        }
    }
    Ok(Some(compared))
}

/// ⟨J·v, u⟩ = ⟨v, Jᵀ·u⟩, exactly, with the exact fill, for each input in which the operator is linear. `J·v` is the
/// difference of two forward values.
///
/// # Errors
/// A description of the first input for which it does not hold.
pub fn check_adjoint(operator: &dyn Operator, point: &Point, seed: u64) -> Result<Option<usize>, String> {
    let of = operator.gradient_of().expect("a gradient operator");
    let Some(pair) = Pair::make(operator, point, Fill::Exact, seed) else { return Ok(None) };
    let linear = of.linear(&*pair.gradient);
    for (input, gradient) in pair.gradients(operator).into_iter().filter(|(input, _)| linear.contains(input)) {
        let mut without = pair.inputs.clone();
        without[input].fill(0.0);
        let forward = pair.loss(&pair.inputs) - pair.loss(&without);
        let backward = (&pair.inputs[input] * &gradient).sum();
        if forward != backward {
            return Err(format!("{} {point} seed {seed}: input {input}: {forward} ≠ {backward}", operator.name()));
        }
    }
    Ok((!linear.is_empty()).then_some(linear.len()))
}

/// Reads, and with `value` writes, the element at `flat` in row-major order.
fn element(array: &mut ArrayD<f64>, flat: usize, value: Option<f64>) -> f64 {
    let slot = array.iter_mut().nth(flat).expect("an element");
    std::mem::replace(slot, value.unwrap_or(*slot))
}
