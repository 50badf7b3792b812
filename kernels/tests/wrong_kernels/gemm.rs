//! Wrong GEMMs.

use etalon_kernels::call::Call;
use etalon_reference::Types;
use etalon_reference::operator::downcast;
use etalon_reference::ops::gemm::{Activation, Gemm};
use ndarray::s;

use super::Wrong;
use super::misdeeds;
use super::spoil::{self, Result};

const fn wrong(name: &'static str, fault: &'static str, run: fn(&mut Call<'_>) -> Result) -> Wrong {
    Wrong::new("gemm", name, fault, run)
}

pub static WRONG: &[Wrong] = &[
    wrong("lost-k-tail", "products behind the last multiple of 4 are lost", |call| {
        let gemm = gemm(call);
        right_on(&Gemm { k: gemm.k / 4 * 4, ..gemm }, call)
    }),
    wrong("skipped-chunk", "products behind the first 256 are lost", |call| {
        let gemm = gemm(call);
        right_on(&Gemm { k: gemm.k.min(256), ..gemm }, call)
    }),
    wrong("lost-column", "the last of 16q + 15 columns is not written", |call| {
        after(call, |gemm, before, out| {
            if gemm.n % 16 == 15 {
                out.slice_mut(s![.., .., -1]).assign(&before.slice(s![.., .., -1]));
            }
        })
    }),
    wrong("lost-row", "the last row of an odd number is not written", |call| {
        after(call, |gemm, before, out| {
            if gemm.m % 2 == 1 {
                out.slice_mut(s![.., -1, ..]).assign(&before.slice(s![.., -1, ..]));
            }
        })
    }),
    wrong("swapped-rows", "the first two rows are exchanged", |call| {
        after(call, |gemm, _, out| {
            if gemm.m > 1 {
                let (first, second) = out.multi_slice_mut((s![.., 0, ..], s![.., 1, ..]));
                ndarray::Zip::from(first).and(second).for_each(std::mem::swap);
            }
        })
    }),
    wrong("no-early-zero", "with α = 0 and β = 0 it returns without writing", |call| {
        let gemm = gemm(call);
        if gemm.alpha == 0.0 && gemm.beta == 0.0 { Ok(()) } else { spoil::right("gemm", call) }
    }),
    wrong("overwritten-gap", "the element behind each row is overwritten where lines are longer", |call| {
        spoil::right("gemm", call)?;
        let gemm = gemm(call);
        if gemm.c.row > gemm.n && gemm.m > 1 && gemm.batch > 0 && gemm.n > 0 {
            match call.types() {
                Types::F64 => call.output::<f64>(0)[gemm.n] = 0.0,
                _ => call.output::<f32>(0)[gemm.n] = 0.0,
            }
        }
        Ok(())
    }),
    wrong("reads-behind", "one element behind A is read, and not used", misdeeds::reads_behind).deadly(),
    wrong("reads-before", "one element before B is read, and not used", misdeeds::reads_before).deadly(),
    wrong("beta-zero-reads", "β = 0 multiplies what C held", |call| {
        after(call, |gemm, before, out| {
            if gemm.beta == 0.0 {
                *out += &(before * 0.0);
            }
        })
    }),
    wrong("beta-twice", "β is applied twice", |call| {
        let gemm = gemm(call);
        right_on(&Gemm { beta: gemm.beta * gemm.beta, ..gemm }, call)
    }),
    wrong("alpha-lost", "α is not applied", |call| {
        let gemm = gemm(call);
        right_on(&Gemm { alpha: if gemm.alpha == 0.0 { 0.0 } else { 1.0 }, ..gemm }, call)
    }),
    wrong("alpha-zero-multiplies", "α = 0 forms the product", |call| {
        let product = product(call, |a, b| a * b);
        after(call, |gemm, _, out| {
            if gemm.alpha == 0.0 {
                *out += &(product * 0.0);
            }
        })
    }),
    wrong("bias-by-row", "the bias is added by row instead of by column", |call| {
        let gemm = gemm(call);
        let bias = spoil::inputs(call).remove(3);
        right_on(&Gemm { activation: Activation::None, ..gemm.clone() }, call)?;
        let mut out = spoil::outputs(call).remove(0);
        for ((_, i, j), x) in
            out.view_mut().into_dimensionality::<ndarray::Ix3>().expect("batch×m×n").indexed_iter_mut()
        {
            if gemm.bias {
                *x += bias[[i % gemm.n]] - bias[[j]];
            }
            *x = etalon_reference::ops::gemm::activate(gemm.activation, *x);
        }
        spoil::write(call, &[out]);
        Ok(())
    }),
    wrong("relu-drops-nan", "ReLU by a maximum that prefers numbers to NaN", |call| {
        without_activation(call, Activation::Relu, |x| x.max(0.0))
    }),
    wrong("skips-zeros", "zeros of A are skipped, whatever B holds there", |call| {
        let product = product(call, |a, b| if a == 0.0 { 0.0 } else { a * b });
        after(call, |gemm, _, out| {
            if plain(gemm) {
                out.assign(&product);
            }
        })
    })
    .own_order(),
    wrong("gelu-tanh", "GELU by its tanh form", |call| {
        without_activation(call, Activation::Gelu, |x| {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
        })
    }),
    wrong("flushes-subnormals", "subnormal results become zero", |call| {
        after(call, |_, _, out| out.mapv_inplace(|x| if (x as f32).is_subnormal() { 0.0 } else { x }))
    }),
    wrong("shared-b-moves", "B of a batch is read as one that all matrices share", |call| {
        let gemm = gemm(call);
        let b = etalon_reference::ops::gemm::Matrix { batch: 0, ..gemm.b };
        right_on(&Gemm { b, ..gemm }, call)
    }),
    wrong("rounds-to-f32", "f64 is computed in f32", |call| {
        after(call, |_, _, out| out.mapv_inplace(|x| f64::from(x as f32)))
    })
    .in_f64(),
    wrong("sums-by-thread", "the sum is split at a place that depends on the number of threads", |call| {
        let parts = call.pool().threads();
        split_sum(call, |gemm| gemm.k.div_ceil(parts).max(1))
    })
    .own_order(),
    wrong("stale-workspace", "adds to scratch memory that it takes for zeros", |call| {
        let last = call.workspace().slice::<f32>(1024)[1023];
        spoil::right("gemm", call)?;
        call.workspace().slice::<f32>(1024)[1023] = 1e-3;
        let mut out = spoil::outputs(call);
        out[0].iter_mut().take(1).for_each(|x| *x += f64::from(last));
        spoil::write(call, &out);
        Ok(())
    }),
    wrong("sums-by-alignment", "the first products are peeled off up to a boundary of 32 bytes", |call| {
        let start = match call.types() {
            Types::F64 => call.input::<f64>(0).as_ptr().addr(),
            _ => call.input::<f32>(0).as_ptr().addr(),
        };
        split_sum(call, |_| 8 - start % 32 / 4)
    })
    .own_order(),
    wrong("other-order", "two chains of sums instead of one, though it promises the canonical order", |call| {
        split_sum(call, |gemm| gemm.k.div_ceil(2).max(1))
    }),
    wrong("order-by-batch", "items of a batch are summed in another order than one alone", |call| {
        split_sum(call, |gemm| if gemm.batch > 1 { 3 } else { usize::MAX })
    })
    .own_order(),
    wrong("reads-input-c", "C is read from the input, which need not be given, not from the output", |call| {
        let c = spoil::inputs(call).remove(2);
        spoil::write(call, &[c]);
        spoil::right("gemm", call)
    }),
];

fn gemm(call: &Call<'_>) -> Gemm {
    downcast::<Gemm>(call.problem()).clone()
}

/// Nothing but a product.
fn plain(gemm: &Gemm) -> bool {
    gemm.alpha == 1.0 && gemm.beta == 0.0 && !gemm.bias && gemm.activation == Activation::None
}

fn right_on(gemm: &Gemm, call: &mut Call<'_>) -> Result {
    spoil::right_on("gemm", gemm, call)
}

/// The right output, changed.
fn after(call: &mut Call<'_>, change: impl FnOnce(&Gemm, &ndarray::Array3<f64>, &mut ndarray::Array3<f64>)) -> Result {
    spoil::after("gemm", call, |call, before, out| {
        let three = |x: &ndarray::ArrayD<f64>| x.clone().into_dimensionality().expect("batch×m×n");
        let mut array = three(&out[0]);
        change(&gemm(call), &three(&before[0]), &mut array);
        out[0] = array.into_dyn();
    })
}

/// `change` in place of one activation.
fn without_activation(call: &mut Call<'_>, activation: Activation, change: impl Fn(f64) -> f64) -> Result {
    let gemm = gemm(call);
    if gemm.activation != activation {
        return spoil::right("gemm", call);
    }
    right_on(&Gemm { activation: Activation::None, ..gemm }, call)?;
    let mut out = spoil::outputs(call);
    out[0].mapv_inplace(change);
    spoil::write(call, &out);
    Ok(())
}

/// Sums of `multiply(a, b)`.
fn product(call: &Call<'_>, multiply: impl Fn(f64, f64) -> f64) -> ndarray::Array3<f64> {
    let gemm = gemm(call);
    let inputs = spoil::inputs(call);
    let (a, b) = (&inputs[0], &inputs[1]);
    ndarray::Array3::from_shape_fn((gemm.batch, gemm.m, gemm.n), |(z, i, j)| {
        (0..gemm.k).map(|p| multiply(a[[z, i, p]], b[[z, p, j]])).sum()
    })
}

/// In f32, the plain product as sums of `length` products each, added at the end.
fn split_sum(call: &mut Call<'_>, length: impl Fn(&Gemm) -> usize) -> Result {
    let gemm = gemm(call);
    let length = length(&gemm).min(gemm.k.max(1));
    let inputs = spoil::inputs(call);
    let (a, b) = (&inputs[0], &inputs[1]);
    after(call, |gemm, _, out| {
        if !plain(gemm) {
            return;
        }
        for ((z, i, j), out) in out.indexed_iter_mut() {
            let part = |start: usize| {
                let products = start..(start + length).min(gemm.k);
                products.fold(0.0_f32, |sum, p| (a[[z, i, p]] as f32).mul_add(b[[z, p, j]] as f32, sum))
            };
            *out = (0..gemm.k).step_by(length).map(part).fold(0.0_f32, |sum, part| sum + part).into();
        }
    })
}
