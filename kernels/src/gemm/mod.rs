//! GEMM: `C = act(α·A·B + β·C + bias)`, batched.

mod scalar;

use etalon_reference::operator::downcast;
use etalon_reference::ops::gemm::{Activation, Gemm};
use etalon_reference::{DType, Element};

use crate::isa::Isa;
use crate::kernel::{Call, Kernel, KernelError};

/// f32 or f64.
pub trait Float: Element + PartialOrd + std::ops::Add<Output = Self> + std::ops::Mul<Output = Self> {
    /// Rounded.
    fn from_f64(value: f64) -> Self;
    /// `self·x + y`, rounded once.
    fn mul_add(self, x: Self, y: Self) -> Self;
}

impl Float for f32 {
    fn from_f64(value: f64) -> f32 {
        value as f32
    }
    fn mul_add(self, x: f32, y: f32) -> f32 {
        f32::mul_add(self, x, y)
    }
}

impl Float for f64 {
    fn from_f64(value: f64) -> f64 {
        value
    }
    fn mul_add(self, x: f64, y: f64) -> f64 {
        f64::mul_add(self, x, y)
    }
}

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] =
    &[Kernel::new("scalar", Isa::Scalar, &[DType::F32, DType::F64], run_scalar).with_supports(|p, _| {
        let gelu = downcast::<Gemm>(p).activation == Activation::Gelu;
        if gelu { Err("no GELU".into()) } else { Ok(()) }
    })];

fn run_scalar(call: &mut Call<'_>) -> Result<(), KernelError> {
    match call.dtype {
        DType::F32 => typed::<f32>(call),
        _ => typed::<f64>(call),
    }
}

fn typed<T: Float>(call: &mut Call<'_>) -> Result<(), KernelError> {
    let p: &Gemm = downcast(call.problem);
    let (a, b, bias) = (call.input::<T>(0), call.input::<T>(1), call.input::<T>(3));
    let c = call.output::<T>(0);
    let bias_len = if p.bias { p.n } else { 0 };
    let lens =
        [("a", a.len(), p.a_len()), ("b", b.len(), p.b_len()), ("bias", bias.len(), bias_len), ("out", c.len(), p.c_len())];
    for (operand, found, needed) in lens {
        if found < needed {
            return Err(KernelError::TooShort { operand, found, needed });
        }
    }
    for z in 0..p.batch {
        scalar::gemm(p, z, a, b, c, |t, j| {
            let t = if p.bias { t + bias[j] } else { t };
            if p.activation == Activation::Relu && t < T::default() { T::default() } else { t }
        });
    }
    Ok(())
}
