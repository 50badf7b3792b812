//! What wrong kernels are made of: the right one, and arrays in f64 to spoil.

use etalon_kernels::kernel::{Call, KernelError};
use etalon_kernels::registry;
use etalon_reference::{Data, Port, Problem, gather, scatter};
use ndarray::ArrayD;

pub type Result = std::result::Result<(), KernelError>;

/// The operator's scalar kernel.
pub fn right(operator: &str, call: &mut Call<'_>) -> Result {
    let entry = registry::find(operator).expect("the operator is registered");
    (entry.kernel("scalar").expect("it has a scalar kernel").run)(call)
}

/// The operator's scalar kernel, on another problem with the same operands.
pub fn right_on(operator: &str, problem: &dyn Problem, call: &mut Call<'_>) -> Result {
    let mut outputs: Vec<_> = call.outputs.iter_mut().map(|output| output.reborrow()).collect();
    let mut call = Call {
        problem,
        types: call.types,
        inputs: call.inputs,
        outputs: &mut outputs,
        pool: call.pool,
        workspace: &mut *call.workspace,
        plan: None,
    };
    right(operator, &mut call)
}

/// The inputs as logical arrays.
pub fn inputs(call: &Call<'_>) -> Vec<ArrayD<f64>> {
    let ports = call.problem.inputs(call.types);
    ports.iter().zip(call.inputs).map(|(port, input)| array(port, input.to_data())).collect()
}

/// The outputs as logical arrays.
pub fn outputs(call: &Call<'_>) -> Vec<ArrayD<f64>> {
    let ports = call.problem.outputs(call.types);
    ports.iter().zip(&*call.outputs).map(|(port, output)| array(port, output.as_slice().to_data())).collect()
}

/// Zeros stand for what a short buffer lacks; the right kernel refuses it afterwards.
fn array(port: &Port, data: Data) -> ArrayD<f64> {
    let mut values = data.to_f64();
    values.resize(values.len().max(port.layout.span()), 0.0);
    gather(&port.layout, &Data::from_f64(data.dtype(), &values))
}

/// Writes logical arrays to the outputs, rounded.
pub fn write(call: &mut Call<'_>, arrays: &[ArrayD<f64>]) {
    let ports = call.problem.outputs(call.types);
    for ((port, output), array) in ports.iter().zip(call.outputs.iter_mut()).zip(arrays) {
        let mut data = output.as_slice().to_data();
        scatter(&port.layout, array, &mut data);
        output.copy_from(data.as_slice());
    }
}

/// The right kernel's outputs, changed by `change`, which sees what the outputs were before.
pub fn after(
    operator: &str,
    call: &mut Call<'_>,
    change: impl FnOnce(&Call<'_>, &[ArrayD<f64>], &mut [ArrayD<f64>]),
) -> Result {
    let before = outputs(call);
    right(operator, call)?;
    let mut arrays = outputs(call);
    change(call, &before, &mut arrays);
    write(call, &arrays);
    Ok(())
}
