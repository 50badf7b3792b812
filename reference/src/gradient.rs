//! Gradients: how a gradient operator belongs to its forward operator, and the checks that follow from it, central
//! differences and the adjoint test, both on the f64 references.
//!
//! Kernels need no such test of their own: they are compared with the gradient operator's reference, which is shown to be
//! right here, and by libtorch's autograd.

use ndarray::ArrayD;

use crate::{Axis, Data, Fill, Layout, Operator, Point, Problem, Types, arrays, gather, scatter};

/// Step of the differences.
pub const EPS: f64 = 1e-6;
/// Absolute tolerance of the differences.
pub const ATOL: f64 = 1e-5;
/// Relative tolerance of the differences.
pub const RTOL: f64 = 1e-3;

/// How a gradient operator belongs to its forward operator.
pub struct Gradient {
    /// The forward operator.
    pub forward: &'static Operator,
    /// The forward problem's point for a point of the gradient operator.
    pub point: fn(&Point) -> Point,
    /// What each input of the gradient operator is. One that its problem does not have stays empty.
    pub takes: &'static [Takes],
    /// What its outputs are: `(output, input)`, the gradient with respect to that input of the forward operator. An output
    /// that its problem does not have gives nothing.
    pub gives: &'static [(usize, usize)],
    /// Inputs in which the forward problem is linear, so that the adjoint test holds exactly with the exact fill.
    pub linear: fn(&dyn Problem) -> &'static [usize],
    /// The forward problem of a gradient problem, where autograd over it is a witness: it computes anew what the
    /// gradient takes as kept. `None` where that need not belong to the other inputs.
    pub autograd: Option<ForwardOf>,
    /// Whether the forward function has a kink within the step of these inputs, where differences mean nothing.
    pub near_kink: NearKink,
}

/// The forward problem of a gradient problem.
pub type ForwardOf = fn(&dyn Problem) -> Box<dyn Problem>;

/// Whether a forward problem has a kink within a step of its inputs.
pub type NearKink = fn(&dyn Problem, &[ArrayD<f64>], f64) -> bool;

/// No kinks.
pub const SMOOTH: NearKink = |_, _, _| false;

/// The forward problem's point with these axes, of which the last says whether the pass keeps what its gradient needs:
/// it does. A gradient's own axes are the others.
pub fn keeping(axes: &'static [Axis], point: &Point) -> Point {
    let values = point.values().iter().copied().chain([1]);
    axes.iter().zip(values).fold(Point::default_of(axes), |point, (axis, value)| point.with(axis.name, value))
}

/// An input of a gradient operator, in terms of the forward operator.
#[derive(Clone, Copy)]
pub enum Takes {
    /// The upstream gradient of this output.
    Upstream(usize),
    /// This input.
    Input(usize),
    /// This output, as the forward pass computed it.
    Output(usize),
    /// An intermediate value of the forward pass, from its problem and inputs.
    Computed(fn(&dyn Problem, &[ArrayD<f64>]) -> ArrayD<f64>),
}

impl Gradient {
    /// The forward problem at the gradient operator's `point`, if there is one.
    pub fn forward_problem(&self, point: &Point) -> Option<Box<dyn Problem>> {
        self.forward.problem(&(self.point)(point)).ok()
    }

    /// The outputs of the forward operator that have an upstream gradient, by position, ascending. Others are statistics.
    pub fn upstreams(&self) -> Vec<usize> {
        let mut outputs: Vec<usize> = Vec::new();
        outputs.extend(self.takes.iter().filter_map(|takes| match takes {
            Takes::Upstream(output) => Some(*output),
            _ => None,
        }));
        outputs.sort_unstable();
        outputs.dedup();
        outputs
    }

    /// Upstream gradients for each output that has one, drawn with the values that suit the gradient problem:
    /// `(output, array)`.
    pub fn draw_upstreams(
        &self,
        gradient: &dyn Problem,
        forward: &dyn Problem,
        types: Types,
        fill: Fill,
        seed: u64,
    ) -> Vec<(usize, ArrayD<f64>)> {
        let (ports, own) = (forward.outputs(types), gradient.inputs(types));
        let one = |output: usize| {
            let takes = self.takes.iter().position(|takes| matches!(takes, Takes::Upstream(of) if *of == output));
            let port = ports[output].clone().drawn(own[takes.expect("an upstream gradient")].values);
            let seed = seed.wrapping_add(1 + output as u64);
            let data = fill.make(std::slice::from_ref(&port), seed);
            (output, gather(&port.layout, &data[0]))
        };
        self.upstreams().into_iter().map(one).collect()
    }

    /// Inputs for the gradient problem that belong together: the forward problem's inputs and the upstream gradients are
    /// drawn, each by itself with the values that suit the gradient problem; what the forward pass computes is its
    /// reference's, rounded once. For [`Problem::draw`] of a gradient whose kept outputs depend on each other.
    pub fn draw(
        &self,
        gradient: &dyn Problem,
        forward: &dyn Problem,
        types: Types,
        fill: Fill,
        seed: u64,
    ) -> Vec<Data> {
        let (mut ports, own) = (forward.inputs(types), gradient.inputs(types));
        for (takes, port) in self.takes.iter().zip(&own) {
            if let Takes::Input(input) = takes {
                ports[*input].values = port.values;
            }
        }
        let inputs = arrays(&ports, &fill.make(&ports, seed));
        let upstreams = self.draw_upstreams(gradient, forward, types, fill, seed);
        let values = self.inputs(gradient, forward, &inputs, &upstreams);
        // Gaps keep what a fill leaves there.
        let mut data = fill.make(&own, seed);
        for ((port, values), data) in own.iter().zip(&values).zip(&mut data) {
            scatter(&port.layout, values, data);
        }
        data
    }

    /// The gradient problem's inputs, from the forward problem's inputs and upstream gradients.
    ///
    /// # Panics
    /// If an upstream gradient is missing.
    pub fn inputs(
        &self,
        gradient: &dyn Problem,
        forward: &dyn Problem,
        inputs: &[ArrayD<f64>],
        upstreams: &[(usize, ArrayD<f64>)],
    ) -> Vec<ArrayD<f64>> {
        let outputs = forward.reference(inputs);
        let ports = gradient.inputs(Types::F64);
        let upstream = |output| upstreams.iter().find(|(of, _)| *of == output).expect("an upstream gradient").1.clone();
        let one = |(takes, port): (&Takes, &crate::Port)| match *takes {
            _ if port.layout == Layout::absent() => ArrayD::zeros(vec![0]),
            Takes::Upstream(output) => upstream(output),
            Takes::Input(input) => inputs[input].clone(),
            Takes::Output(output) => outputs[output].clone(),
            Takes::Computed(compute) => compute(forward, inputs),
        };
        self.takes.iter().zip(&ports).map(one).collect()
    }

    /// The gradients that a gradient problem gives, `(output, input)`, the inputs ascending.
    pub fn given(&self, gradient: &dyn Problem) -> Vec<(usize, usize)> {
        let ports = gradient.outputs(Types::F64);
        let there = |(output, _): &&(usize, usize)| ports[*output].layout != Layout::absent();
        let mut given: Vec<(usize, usize)> = self.gives.iter().filter(there).copied().collect();
        given.sort_unstable_by_key(|(_, input)| *input);
        given
    }

    /// The gradients by the gradient operator's reference, `(input's position, array)`.
    pub fn gradients(&self, gradient: &dyn Problem, inputs: &[ArrayD<f64>]) -> Vec<(usize, ArrayD<f64>)> {
        let outputs = gradient.reference(inputs);
        self.given(gradient).into_iter().map(|(output, input)| (input, outputs[output].clone())).collect()
    }
}

/// A gradient operator's problem together with its forward problem and inputs for both.
struct Pair {
    of: &'static Gradient,
    gradient: Box<dyn Problem>,
    forward: Box<dyn Problem>,
    inputs: Vec<ArrayD<f64>>,
    upstreams: Vec<(usize, ArrayD<f64>)>,
}

impl Pair {
    /// `None` if the point makes no problem of one of the two.
    fn make(operator: &Operator, point: &Point, fill: Fill, seed: u64) -> Option<Pair> {
        let of = operator.gradient.expect("a gradient operator");
        let gradient = operator.problem(point).ok()?;
        let forward = of.forward_problem(point)?;
        let inputs = arrays(&forward.inputs(Types::F64), &forward.draw(Types::F64, fill, seed));
        let upstreams = of.draw_upstreams(&*gradient, &*forward, Types::F64, fill, seed);
        Some(Pair { of, gradient, forward, inputs, upstreams })
    }

    /// The gradients that the gradient operator's reference gives.
    fn gradients(&self) -> Vec<(usize, ArrayD<f64>)> {
        let inputs = self.of.inputs(&*self.gradient, &*self.forward, &self.inputs, &self.upstreams);
        self.of.gradients(&*self.gradient, &inputs)
    }

    /// Σ ⟨upstream, output⟩.
    fn loss(&self, inputs: &[ArrayD<f64>]) -> f64 {
        let outputs = self.forward.reference(inputs);
        self.upstreams.iter().map(|(output, upstream)| (&outputs[*output] * upstream).sum()).sum()
    }
}

/// Central differences of the forward reference against the gradient operator's reference, for every element of every
/// differentiable input. `Ok(None)`: the point makes no problem, or lies at a kink.
///
/// # Errors
/// A description of the first element that differs.
pub fn check_differences(operator: &Operator, point: &Point, seed: u64) -> Result<Option<usize>, String> {
    let Some(mut pair) = Pair::make(operator, point, Fill::Real, seed) else { return Ok(None) };
    if (pair.of.near_kink)(&*pair.forward, &pair.inputs, EPS) {
        return Ok(None);
    }
    let mut compared = 0;
    for (input, gradient) in pair.gradients() {
        if gradient.shape() != pair.inputs[input].shape() {
            let shapes = (gradient.shape(), pair.inputs[input].shape());
            return Err(format!("{} {point}: input {input}: gradient and input have shapes {shapes:?}", operator.name));
        }
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
                    operator.name
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
pub fn check_adjoint(operator: &Operator, point: &Point, seed: u64) -> Result<Option<usize>, String> {
    let Some(pair) = Pair::make(operator, point, Fill::Exact, seed) else { return Ok(None) };
    let linear = (pair.of.linear)(&*pair.forward);
    for (input, gradient) in pair.gradients().into_iter().filter(|(input, _)| linear.contains(input)) {
        let mut without = pair.inputs.clone();
        without[input].fill(0.0);
        let forward = pair.loss(&pair.inputs) - pair.loss(&without);
        let backward = (&pair.inputs[input] * &gradient).sum();
        if forward != backward {
            return Err(format!("{} {point} seed {seed}: input {input}: {forward} ≠ {backward}", operator.name));
        }
    }
    Ok((!linear.is_empty()).then_some(linear.len()))
}

/// Reads, and with `value` writes, the element at `flat` in row-major order.
fn element(array: &mut ArrayD<f64>, flat: usize, value: Option<f64>) -> f64 {
    let slot = array.iter_mut().nth(flat).expect("an element");
    std::mem::replace(slot, value.unwrap_or(*slot))
}
