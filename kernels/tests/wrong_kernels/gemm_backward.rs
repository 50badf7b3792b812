//! Wrong gradients of GEMM.

use etalon_kernels::call::Call;
use etalon_reference::operator::downcast;
use etalon_reference::ops::gemm::Activation;
use etalon_reference::ops::gemm_backward::GemmBackward;
use ndarray::{ArrayD, Axis};

use super::Wrong;
use super::spoil::{self, Result};

const fn wrong(name: &'static str, fault: &'static str, run: fn(&mut Call<'_>) -> Result) -> Wrong {
    Wrong::new("gemm_backward", name, fault, run)
}

pub static WRONG: &[Wrong] = &[
    wrong("da-without-alpha", "dA lacks the factor α", |call| {
        after(call, |x, _, out| {
            if x.alpha != 0.0 {
                out[1].mapv_inplace(|da| da / x.alpha);
            }
        })
    }),
    wrong("dbias-of-one-item", "dbias lacks the term of the last matrix", |call| {
        after(call, |x, _, out| {
            if x.bias && x.batch > 1 {
                out[3] = &out[3] - &out[0].index_axis(Axis(0), x.batch - 1).sum_axis(Axis(0));
            }
        })
    }),
    wrong("db-of-dy", "dB uses dy in place of dz", |call| {
        let x = problem(call);
        if x.activation == Activation::None {
            return spoil::right("gemm_backward", call);
        }
        let plain = GemmBackward { activation: Activation::None, ..x.clone() };
        spoil::right("gemm_backward", call)?;
        let mut out = spoil::outputs(call);
        let db = etalon_reference::Problem::reference(&plain, &spoil::inputs(call)).remove(2);
        out[2] = db;
        spoil::write(call, &out);
        Ok(())
    }),
    wrong("passes-at-zero", "ReLU passes the gradient where z = 0", |call| {
        after(call, |x, inputs, out| {
            if x.activation == Activation::Relu {
                mask(out, inputs, |dz, dy, z| if z == 0.0 { dy } else { dz });
            }
        })
    }),
    wrong("stops-nan", "ReLU stops the gradient where z is NaN", |call| {
        after(call, |x, inputs, out| {
            if x.activation == Activation::Relu {
                mask(out, inputs, |dz, _, z| if z.is_nan() { 0.0 } else { dz });
            }
        })
    }),
    wrong("gelu-without-density", "the derivative of GELU lacks the term x·φ(x)", |call| {
        after(call, |x, inputs, out| {
            if x.activation == Activation::Gelu {
                mask(out, inputs, |dz, dy, z| {
                    let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
                    dz - dy * z * density
                });
            }
        })
    }),
];

fn problem(call: &Call<'_>) -> GemmBackward {
    downcast::<GemmBackward>(call.problem()).clone()
}

fn after(call: &mut Call<'_>, change: impl FnOnce(&GemmBackward, &[ArrayD<f64>], &mut [ArrayD<f64>])) -> Result {
    spoil::after("gemm_backward", call, |call, _, out| change(&problem(call), &spoil::inputs(call), out))
}

/// Changes dz by dz, dy and z.
fn mask(out: &mut [ArrayD<f64>], inputs: &[ArrayD<f64>], change: impl Fn(f64, f64, f64) -> f64) {
    ndarray::Zip::from(&mut out[0]).and(&inputs[0]).and(&inputs[3]).for_each(|dz, &dy, &z| *dz = change(*dz, dy, z));
}
