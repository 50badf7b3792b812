//! Patches copied to a matrix, block by block, and a GEMM on each block: the textbook's way.
//!
//! Workspace: a block of at most [`BLOCK_BYTES`] (32 columns of patches if those are more), one image among its zeros where
//! there is padding, and the GEMM's own.

use etalon_reference::ops::conv2d::Conv2d;
use etalon_reference::ops::gemm::{Gemm, Matrix};
use etalon_reference::{Problem, Types};

use super::implicit::of_planes;
use super::lower::{self, Image, Planes};
use super::operands::{Operands, Products, finish};
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::gemm::Float;
use crate::gemm::driver::{self, Lowered, Source, Task};
use crate::gemm::epilogue::Along;
use crate::gemm::skinny::Stream;
use crate::isa::wide::Wide;
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Bytes of the matrix of patches at a time.
pub const BLOCK_BYTES: usize = 4 << 20;
/// Columns of a block are a multiple of this.
const COLUMNS: usize = 32;
/// Rows of patches of one task.
const ROWS: usize = 64;

/// Images by planes alone.
pub fn supports(problem: &dyn Problem, _: Types) -> Result<(), String> {
    super::planes_only(problem)
}

/// All outputs.
pub fn convolve<X: Stream, L: Wide<X::T>>(
    tile: X,
    lanes: L,
    p: &Conv2d,
    o: Operands<'_, X::T>,
    pool: &Pool,
    workspace: &mut Workspace,
) {
    let (scale, bias, k) = (o.scale, o.bias, p.group_out());
    let (mut blocks, inner) = Blocks::new(p, workspace);
    blocks.each(lanes, o.x, Products::new(p, o.order), pool, |block| {
        let b = Matrix { row: block.cols, col: 1, batch: 0 };
        let gemm = Gemm { n: block.cols, batch: 1, b, ..of_planes(p) };
        let w = &o.w[block.group * k * p.depth()..][..k * p.depth()];
        let finish = finish(p, scale, bias, block.group, Along::Rows);
        let task = Task { p: &gemm, a: Source::Plain(w), b: Source::Plain(block.patches), finish };
        driver::gemm(tile, &task, &mut o.y[block.start..], pool, inner);
    });
}

/// Patches in pieces.
struct Blocks<'a, T> {
    p: &'a Conv2d,
    patches: &'a mut [T],
    /// For an image among its zeros.
    copy: &'a mut [T],
    /// Columns at most.
    most: usize,
}

/// One piece.
struct Block<'a, T> {
    /// crs × columns.
    patches: &'a [T],
    cols: usize,
    group: usize,
    /// Where the outputs of the first row start in y.
    start: usize,
}

impl<'a, T: Float> Blocks<'a, T> {
    fn new(p: &'a Conv2d, workspace: &'a mut Workspace) -> (Blocks<'a, T>, &'a mut Workspace) {
        let pixels = p.y.h * p.y.w;
        let fit = BLOCK_BYTES / size_of::<T>() / p.depth() / COLUMNS * COLUMNS;
        let most = fit.max(COLUMNS).min(pixels);
        let copied = lower::copied(p).next_multiple_of(T::LANES);
        let (scratch, inner) = workspace.slice_and_inner(copied + p.depth() * most);
        let (copy, patches) = scratch.split_at_mut(copied);
        (Blocks { p, patches, copy, most }, inner)
    }

    /// Calls `then` for each block of each group of each image.
    fn each<L: Wide<T>>(
        &mut self,
        lanes: L,
        x: &[T],
        products: Products,
        pool: &Pool,
        mut then: impl FnMut(Block<'_, T>),
    ) {
        let (p, pixels) = (self.p, self.p.y.h * self.p.y.w);
        for (n, x) in x.chunks_exact(p.x.c * p.x.h * p.x.w).enumerate() {
            let x = Image::new(p, x, self.copy, pool);
            for group in 0..p.groups {
                let planes = Planes { lanes, p, x, channel: group * p.group_in(), products };
                for from in (0..pixels).step_by(self.most) {
                    let cols = self.most.min(pixels - from);
                    let patches = &mut self.patches[..p.depth() * cols];
                    chunks(pool, patches, ROWS * cols, |start, part| {
                        let row = start / cols;
                        planes.write(0, row..row + part.len() / cols, from..from + cols, cols, cols, part);
                    });
                    if fault!("conv2d.im2col-second-block") && from > 0 {
                        continue;
                    }
                    let start = (n * p.y.c + group * p.group_out()) * pixels + from;
                    then(Block { patches, cols, group, start });
                }
            }
        }
    }
}

/// The kernel over OpenBLAS.
#[cfg(feature = "openblas")]
pub fn run_openblas(call: &mut crate::call::Call<'_>) -> Result<(), crate::kernel::KernelError> {
    crate::gemm::with_float!(call.types(), T => openblas::<T>(call, crate::isa::wide::Scalar))
}

#[cfg(feature = "openblas")]
fn openblas<T: crate::gemm::openblas::Blas>(
    call: &mut crate::call::Call<'_>,
    lanes: impl Wide<T>,
) -> Result<(), crate::kernel::KernelError> {
    use crate::ffi::openblas::{self, GemmSizes, Op};
    use crate::kernel::KernelError;
    use etalon_reference::operator::downcast;

    let p: &Conv2d = downcast(call.problem());
    let pool = call.pool();
    openblas::set_threads(pool.threads());
    let (o, workspace) = Operands::<T>::of(call);
    if p.y.is_empty() {
        return Ok(());
    }
    let (pixels, k, depth) = (p.y.h * p.y.w, p.group_out(), p.depth());
    let (mut blocks, _) = Blocks::new(p, workspace);
    let mut result = Ok(());
    blocks.each(lanes, o.x, Products::new(p, o.order), pool, |block| {
        let sizes = GemmSizes {
            op_a: Op::Plain,
            op_b: Op::Plain,
            m: k,
            n: block.cols,
            k: depth,
            lda: depth,
            ldb: block.cols,
            ldc: pixels,
        };
        let w = &o.w[block.group * k * depth..][..k * depth];
        let y = &mut o.y[block.start..];
        if let Err(error) = T::gemm(&sizes, T::from_f64(1.0), w, block.patches, T::default(), y) {
            result = Err(KernelError::Unsupported(error.to_string()));
            return;
        }
        let finish = finish(p, o.scale, o.bias, block.group, Along::Rows);
        if !finish.is_nothing() {
            chunks(pool, &mut y[..(k - 1) * pixels + block.cols], pixels, |start, row| {
                row[..block.cols].iter_mut().for_each(|y| *y = finish.value(*y, start / pixels, 0));
            });
        }
    });
    result
}
