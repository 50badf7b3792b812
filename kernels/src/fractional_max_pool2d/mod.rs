//! [`fractional_max_pool2d`](etalon_reference::ops::fractional_max_pool2d): the largest element of regions that
//! uniforms place, and its position. f32 and f64; images in NCHW or NHWC order, without gaps; positions are i64.
//!
//! Regions differ from plane to plane and from row to row: each is gone through by itself. Places are integers,
//! computed from the uniforms as the operator says, so that all levels and any number of threads give equal outputs.
//!
//! NaN: larger than any number; the last one of a region is found. Errors: a uniform that is not between 0 and 1, a
//! level that the CPU lacks. Workspace: the ends of a plane's regions, for each thread.

use etalon_reference::operator::downcast;
use etalon_reference::ops::fractional_max_pool2d::FractionalMaxPool2d;
use etalon_reference::ops::images::ImageLayout;
use etalon_reference::{Threshold, Types};

use crate::call::{Call, elements};
use crate::disjoint::parts;
use crate::faults::fault;
use crate::isa::Isa;
use crate::isa::wide::{Wide, Work, with_lanes};
use crate::kernel::{Kernel, KernelError};
use crate::max_pool2d::{Best, Number};
use crate::pool::Pool;
use crate::workspace::Workspace;

const FLOATS: &[Types] = &[Types::F32, Types::F64];
/// Elements of a task, about.
const TASK: usize = 16 * 1024;
const THRESHOLDS: &[Threshold] = &[Threshold::bytes("x", 4 * TASK)];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    match call.types() {
        Types::F64 => typed::<f64>(call, isa),
        _ => typed::<f32>(call, isa),
    }
}

fn typed<T: Number>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let (x, u) = (call.input::<T>(0), call.input::<T>(1));
    let (p, pool): (&FractionalMaxPool2d, _) = (downcast(call.problem()), call.pool());
    let ([y, index], workspace) = call.outputs();
    if let Some(bad) = u.iter().map(|u| u.to_f64()).find(|u| !(0.0..=1.0).contains(u)) {
        return Err(KernelError::BadValue { operand: "u", found: bad.to_string(), rule: "a number from 0 to 1" });
    }
    let step = Step { p, x, u, y: elements(y), index: elements(index), pool, workspace };
    with_lanes::<T, _>(isa, step).map_err(KernelError::Isa)
}

struct Step<'a, T> {
    p: &'a FractionalMaxPool2d,
    x: &'a [T],
    u: &'a [T],
    y: &'a mut [T],
    index: &'a mut [i64],
    pool: &'a Pool,
    workspace: &'a mut Workspace,
}

impl<T: Number> Work<T> for Step<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Step { p, x, u, y, index, pool, workspace } = self;
        let together = if p.x.layout == ImageLayout::Nhwc { p.x.c } else { 1 };
        let (plane, outputs) = (p.x.h * p.x.w * together, p.y.h * p.y.w * together);
        let units = (TASK / plane).clamp(1, (p.x.n * p.x.c / together).div_ceil(pool.threads()).max(1));
        let ends = workspace.slice::<i64>(pool.threads() * 2 * (p.y.h + p.y.w));
        parts(pool, (y, units * outputs), (index, units * outputs), ends, |task, y, index, ends| {
            let count = y.len() / outputs;
            let x = &x[task * units * plane..][..count * plane];
            let uniforms = together * p.uniforms();
            let u = &u[task * units * uniforms..][..count * uniforms];
            l.enter(Planes { p, x, u, y, index, ends, together });
        });
    }
}

/// Some planes, or images of so many planes together.
struct Planes<'a, T> {
    p: &'a FractionalMaxPool2d,
    x: &'a [T],
    u: &'a [T],
    y: &'a mut [T],
    index: &'a mut [i64],
    /// Room for the ends of regions.
    ends: &'a mut [i64],
    together: usize,
}

impl<T: Number> Work<T> for Planes<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, _: L) {
        let Planes { p, x, u, y, index, ends, together } = self;
        let (plane, outputs) = (p.x.h * p.x.w * together, p.y.h * p.y.w * together);
        let (rows, cols) = ends.split_at_mut(2 * p.y.h);
        for (number, u) in u.chunks_exact(p.uniforms()).enumerate() {
            let (of_cols, of_rows) = u.split_at(p.cols.uniforms());
            let of_rows = if fault!("fractional_max_pool2d.rows-of-columns") { &of_cols[..1] } else { of_rows };
            let uniform = |u: &[T], i: usize| u[i.min(u.len() - 1)].to_f64();
            let note = |ends: &mut [i64], i: usize, start, end| {
                ends[2 * i..2 * i + 2].copy_from_slice(&[start as i64, end as i64]);
            };
            p.rows.each(|i| uniform(of_rows, i), |i, start, end: usize| note(rows, i, start, end));
            p.cols.each(|i| uniform(of_cols, i), |i, start, end: usize| note(cols, i, start, end));
            let (image, channel) = (number / together, number % together);
            let x = &x[image * plane + channel..];
            let first = image * outputs + channel;
            for (i, rows) in rows.chunks_exact(2).enumerate() {
                for (j, cols) in cols.chunks_exact(2).enumerate() {
                    let best = largest(x, p.x.w, together, (rows[0] as usize, rows[1] as usize), cols);
                    let at = first + (i * p.y.w + j) * together;
                    best.store(&mut y[at..=at], index.get_mut(at..=at).unwrap_or_default());
                }
            }
        }
    }
}

/// The largest element of a region. Elements of a plane are so many apart.
#[inline(always)]
fn largest<T: Number>(x: &[T], w: usize, apart: usize, rows: (usize, usize), cols: &[i64]) -> Best<T, i64, 1> {
    let (left, right) = (cols[0] as usize, cols[1] as usize);
    let right = if fault!("fractional_max_pool2d.third-column") { right.min(left + 2) } else { right };
    let mut best = Best::<T, i64, 1>::new([(rows.0 * w + left) as i64]);
    for row in rows.0..rows.1 {
        for place in row * w + left..row * w + right {
            best.see([x[place * apart]], [place as i64]);
        }
    }
    best
}
