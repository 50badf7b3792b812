//! Scales and counts that are none.

use etalon_reference::ops::mixed_precision_sgd::{F32BF16, MIXED_PRECISION_SGD};
use etalon_reference::{DType, Data, Fill, Point};

use etalon_kernels::call::Signature;
use etalon_kernels::kernel::{Kernel, KernelError};
use etalon_kernels::mixed_precision_sgd::KERNELS;
use etalon_kernels::pool::Pool;
use etalon_kernels::workspace::Workspace;

/// What each kernel answers to a scale and a count, of eight weights; what it leaves in the outputs.
fn answers(scale: f64, good: f64) -> Vec<(Result<(), KernelError>, Vec<Data>)> {
    let point = Point::parse(MIXED_PRECISION_SGD.axes, "n=8,interval=5").expect("a point");
    let problem = MIXED_PRECISION_SGD.problem(&point).expect("a problem");
    let inputs = problem.draw(F32BF16, Fill::Exact, 0);
    let slices: Vec<_> = inputs.iter().map(Data::as_slice).collect();
    let usable = KERNELS.iter().filter(|kernel| kernel.usable().is_ok());
    let answer = |kernel: &Kernel| {
        let mut outputs = vec![
            inputs[0].clone(),
            inputs[1].clone(),
            Data::zeros(DType::Bf16, 8),
            Data::from_f64(DType::F32, &[scale]),
            Data::from_f64(DType::I32, &[good]),
        ];
        let before = outputs.clone();
        let signature = Signature::new(&*problem, F32BF16);
        let mut borrowed: Vec<_> = outputs.iter_mut().map(Data::as_mut).collect();
        let (pool, mut workspace) = (Pool::new(1), Workspace::new());
        let mut call = signature.call(&slices, &mut borrowed, &pool, &mut workspace, None).expect("a call");
        let result = (kernel.run)(&mut call);
        let unchanged = result.is_err() && outputs.iter().zip(&before).all(|(x, y)| x.bits() == y.bits());
        assert!(result.is_ok() || unchanged, "{}: outputs changed", kernel.name);
        (result, outputs)
    };
    usable.map(answer).collect()
}

#[test]
fn a_scale_that_is_no_positive_number_is_named() {
    for scale in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        for (result, _) in answers(scale, 0.0) {
            assert!(matches!(result, Err(KernelError::BadValue { operand: "scale", .. })), "{scale}: {result:?}");
        }
    }
}

#[test]
fn a_count_outside_its_range_is_named() {
    for good in [-1.0, 5.0, f64::from(i32::MAX)] {
        for (result, _) in answers(4.0, good) {
            let named = KernelError::OutOfRange { operand: "good", found: good as i64, end: 5 };
            assert_eq!(result, Err(named));
        }
    }
    for (result, outputs) in answers(4.0, 4.0) {
        assert_eq!((result, outputs[3].to_f64(), outputs[4].to_f64()), (Ok(()), vec![8.0], vec![0.0]));
    }
}
