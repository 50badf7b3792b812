//! Tests of single operators and of calls, through what the crate makes public.
//!
//! They stand here, not beside the code: a crate's own tests are a program of their own, and what reaches the list of kernels
//! compiles all of them once more.

mod call;
mod conv2d_int8;
mod fractional_max_pool2d;
mod matmul_int8;
mod mixed_precision_sgd;
mod recurrent;

use etalon_kernels::check::{Placement, Prepared};
use etalon_kernels::kernel::Kernel;
use etalon_kernels::pool::Pool;
use etalon_kernels::workspace::Workspace;
use etalon_reference::compare::Verdict;
use etalon_reference::{Data, Fill, Operator, Point, Types};

/// The outputs that all `kernels` give, which also agree with the reference.
fn agreed(
    operator: &'static Operator,
    types: Types,
    point: &Point,
    inputs: &[Data],
    kernels: impl Iterator<Item = &'static Kernel>,
) -> Vec<f64> {
    let mut outputs: Vec<Vec<f64>> = Vec::new();
    for kernel in kernels {
        let problem = operator.problem(point).expect("a problem").into();
        let case = Prepared::with_inputs(operator, point, types, Fill::Real, 0, problem, inputs.to_vec());
        let outcome = case.run(kernel, &Pool::eager(2), &mut Workspace::new(), Placement::ALIGNED).expect("it runs");
        let complaint = outcome.complaint(&case).unwrap_or_default();
        assert_ne!(outcome.verdict, Verdict::Fail, "{}: {complaint}", kernel.name);
        outputs.push(outcome.outputs[0].to_f64());
    }
    assert!(outputs.windows(2).all(|pair| pair[0] == pair[1]));
    outputs.remove(0)
}
