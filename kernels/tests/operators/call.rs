//! Operands are checked before a kernel sees them.

use etalon_reference::ops::dropout::DROPOUT;
use etalon_reference::tensor::Initial;
use etalon_reference::{DType, Data, Fill, Point, Types};

use etalon_kernels::call::Signature;
use etalon_kernels::check::initial_outputs;
use etalon_kernels::kernel::KernelError;
use etalon_kernels::pool::Pool;
use etalon_kernels::registry;
use etalon_kernels::workspace::Workspace;

const TYPES: Types = Types::F32;

/// What a call of dropout with 6 elements and these operands answers.
fn answer(operands: &mut [Data], inputs: usize) -> Result<(), KernelError> {
    let point = Point::parse(DROPOUT.axes, "n=6").expect("a point");
    let problem = DROPOUT.problem(&point).expect("a problem");
    let signature = Signature::new(&*problem, TYPES);
    let (inputs, outputs) = operands.split_at_mut(inputs);
    let inputs: Vec<_> = inputs.iter().map(Data::as_slice).collect();
    let mut outputs: Vec<_> = outputs.iter_mut().map(Data::as_mut).collect();
    let (pool, mut workspace) = (Pool::new(1), Workspace::new());
    let mut call = signature.call(&inputs, &mut outputs, &pool, &mut workspace, None)?;
    assert_eq!((call.input::<f32>(0).len(), call.output::<f32>(0).len()), (6, 6));
    assert!(call.inputs().map(|input| input.len()).eq([6, 4]) && call.held().map(|held| held.len()).eq([6, 6]));
    let ([y, mask], _) = call.outputs();
    assert_eq!((y.len(), mask.len(), mask.dtype()), (6, 6, DType::Bool));
    (registry::find("dropout").expect("it is registered").kernels[0].run)(&mut call)
}

/// x, key, y and mask, `spare` elements longer than a problem of 6 elements needs.
fn operands(spare: usize) -> Vec<Data> {
    let zeros = |dtype, len| Data::zeros(dtype, len + spare);
    vec![zeros(DType::F32, 6), zeros(DType::I32, 4), zeros(DType::F32, 6), zeros(DType::Bool, 6)]
}

#[test]
fn operands_of_the_right_length_or_longer_make_a_call() {
    assert_eq!(answer(&mut operands(0), 2), Ok(()));
    let mut longer = operands(3);
    longer[2] = Data::F32(vec![7.0; 9]);
    assert_eq!(answer(&mut longer, 2), Ok(()));
    assert_eq!(longer[2], Data::F32([[0.0; 6].as_slice(), &[7.0; 3]].concat()), "what is behind stays");
}

#[test]
fn what_is_short_is_named() {
    for (index, (operand, needed)) in [("x", 6), ("key", 4), ("y", 6), ("mask", 6)].into_iter().enumerate() {
        for found in [0, needed - 1] {
            let mut all = operands(0);
            all[index] = Data::zeros(all[index].dtype(), found);
            assert_eq!(answer(&mut all, 2), Err(KernelError::TooShort { operand, found, needed }));
        }
    }
}

#[test]
fn what_has_another_type_is_named() {
    for (index, operand) in ["x", "key", "y", "mask"].into_iter().enumerate() {
        let mut all = operands(0);
        let needed = all[index].dtype();
        all[index] = Data::zeros(DType::I64, 6);
        assert_eq!(answer(&mut all, 2), Err(KernelError::WrongType { operand, found: DType::I64, needed }));
    }
}

#[test]
fn each_operand_is_given() {
    let number = |what, found| Err(KernelError::WrongNumber { what, found, needed: 2 });
    assert_eq!(answer(&mut operands(0), 1), number("inputs", 1));
    assert_eq!(answer(&mut operands(0), 3), number("inputs", 3));
    assert_eq!(answer(&mut operands(0)[..3], 2), number("outputs", 1));
}

/// Of every operator: the inputs that outputs start from, and those that are not read.
#[test]
fn only_what_is_read_must_be_there() {
    for entry in registry::ALL {
        let problem = entry.operator.problem(&Point::default_of(entry.operator.axes)).expect("the defaults");
        for &types in entry.operator.types {
            let mut inputs = problem.draw(types, Fill::Exact, 1);
            let mut outputs = initial_outputs(&*problem, types, &inputs);
            let started = problem.outputs(types).into_iter().filter_map(|port| match port.initial {
                Initial::Input(input) => Some(input),
                Initial::Poison => None,
            });
            for unread in started.chain(problem.unread_inputs()) {
                inputs[unread] = Data::zeros(inputs[unread].dtype(), 0);
            }
            let slices: Vec<_> = inputs.iter().map(Data::as_slice).collect();
            let mut outputs: Vec<_> = outputs.iter_mut().map(Data::as_mut).collect();
            let (signature, pool) = (Signature::new(&*problem, types), Pool::new(1));
            let mut workspace = Workspace::new();
            let call = signature.call(&slices, &mut outputs, &pool, &mut workspace, None);
            assert_eq!(call.map(|call| call.types()), Ok(types), "{}", entry.operator.name);
        }
    }
}
