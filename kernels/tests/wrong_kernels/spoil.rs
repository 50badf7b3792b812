//! What wrong kernels are made of: the right one, and arrays in f64 to spoil.

use etalon_kernels::call::{Call, Signature};
use etalon_kernels::kernel::KernelError;
use etalon_kernels::registry;
use etalon_reference::{Data, Element, Port, Problem, gather, scatter, with_dtype};
use ndarray::ArrayD;

pub type Result = std::result::Result<(), KernelError>;

/// The operator's scalar kernel.
pub fn right(operator: &str, call: &mut Call<'_>) -> Result {
    let entry = registry::find(operator).expect("the operator is registered");
    (entry.kernel("scalar").expect("it has a scalar kernel").run)(call)
}

/// The operator's scalar kernel, on another problem with the same operands, of which one is an output.
pub fn right_on(operator: &str, problem: &dyn Problem, call: &mut Call<'_>) -> Result {
    let signature = Signature::new(problem, call.types());
    let (inputs, pool): (Vec<_>, _) = (call.inputs().collect(), call.pool());
    let (mut outputs, workspace) = call.outputs::<1>();
    right(operator, &mut signature.call(&inputs, &mut outputs, pool, workspace, None)?)
}

/// The inputs as logical arrays.
pub fn inputs(call: &Call<'_>) -> Vec<ArrayD<f64>> {
    let ports = call.problem().inputs(call.types());
    ports.iter().zip(call.inputs()).map(|(port, input)| array(port, input.to_data())).collect()
}

/// The outputs as logical arrays.
pub fn outputs(call: &Call<'_>) -> Vec<ArrayD<f64>> {
    let ports = call.problem().outputs(call.types());
    ports.iter().zip(call.held()).map(|(port, output)| array(port, output.to_data())).collect()
}

/// Zeros stand for an input that is not given, because no kernel reads it.
fn array(port: &Port, data: Data) -> ArrayD<f64> {
    let mut values = data.to_f64();
    values.resize(values.len().max(port.layout.span()), 0.0);
    gather(&port.layout, &Data::from_f64(data.dtype(), &values))
}

/// Writes logical arrays to the outputs, rounded.
pub fn write(call: &mut Call<'_>, arrays: &[ArrayD<f64>]) {
    let ports = call.problem().outputs(call.types());
    let held: Vec<Data> = call.held().map(|output| output.to_data()).collect();
    for (index, ((port, mut data), array)) in ports.iter().zip(held).zip(arrays).enumerate() {
        scatter(&port.layout, array, &mut data);
        with_dtype!(port.dtype, T => {
            call.output::<T>(index).copy_from_slice(T::slice(data.as_slice()).expect("the port's dtype"));
        });
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
