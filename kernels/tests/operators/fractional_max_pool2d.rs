//! Values that are no uniforms.

use etalon_reference::ops::fractional_max_pool2d::FRACTIONAL_MAX_POOL2D;
use etalon_reference::{Data, Fill, Point, Types};

use etalon_kernels::call::Signature;
use etalon_kernels::check::initial_outputs;
use etalon_kernels::fractional_max_pool2d::KERNELS;
use etalon_kernels::kernel::KernelError;
use etalon_kernels::pool::Pool;
use etalon_kernels::workspace::Workspace;

#[test]
fn a_uniform_that_is_none_is_named() {
    let point = Point::default_of(FRACTIONAL_MAX_POOL2D.axes);
    let problem = FRACTIONAL_MAX_POOL2D.problem(&point).expect("a problem");
    for (bad, taken) in [(-0.25, false), (1.5, false), (f64::NAN, false), (1.0, true)] {
        let mut inputs = problem.draw(Types::F32, Fill::Real, 1);
        inputs[1] = Data::from_f64(inputs[1].dtype(), &[0.5, bad]);
        let mut outputs = initial_outputs(&*problem, Types::F32, &inputs);
        let slices: Vec<_> = inputs.iter().map(Data::as_slice).collect();
        let mut outputs: Vec<_> = outputs.iter_mut().map(Data::as_mut).collect();
        let (signature, pool) = (Signature::new(&*problem, Types::F32), Pool::new(1));
        let mut workspace = Workspace::new();
        let mut call = signature.call(&slices, &mut outputs, &pool, &mut workspace, None).expect("operands");
        let answer = (KERNELS[0].run)(&mut call);
        assert_eq!(answer.is_ok(), taken, "{bad}");
        assert!(taken || matches!(answer, Err(KernelError::BadValue { operand: "u", .. })), "{answer:?}");
    }
}
