//! A bug that fuzzing must find: the kernel that would be used by default loses the last column of some products.

use etalon_kernels::call::Call;
use etalon_kernels::kernel::{Kernel, KernelError};
use etalon_kernels::registry::{self, Entry};
use etalon_reference::operator::downcast;
use etalon_reference::ops::gemm::Gemm;

/// Spoils the last usable kernel of `gemm`.
pub fn plant(entry: &Entry, kernels: &mut [Kernel]) {
    if entry.operator.name == "gemm"
        && let Some(kernel) = kernels.iter_mut().rfind(|k| k.usable().is_ok())
    {
        kernel.run = spoiled;
    }
}

fn spoiled(call: &mut Call<'_>) -> Result<(), KernelError> {
    let kernels = registry::find("gemm").expect("gemm is registered").kernels;
    let right = kernels.iter().rfind(|k| k.usable().is_ok()).expect("the scalar kernel is usable");
    (right.run)(call)?;
    let gemm: &Gemm = downcast(call.problem());
    if gemm.n % 16 == 15 && gemm.m > 3 && gemm.batch > 0 {
        let last = (gemm.m - 1) * gemm.c.row + gemm.n - 1;
        match call.types() {
            etalon_reference::Types::F64 => call.output::<f64>(0)[last] = 0.0,
            _ => call.output::<f32>(0)[last] = 0.0,
        }
    }
    Ok(())
}
