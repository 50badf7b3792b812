//! What the adjoint of a convolution is made of: the formula, or kernels of [`conv2d`].

use etalon_reference::ops::conv2d::Conv2d;

use super::spread::Convolver;
use super::turn::Turn;
use crate::conv2d::{self, Operands, exact_way, fast_way};
use crate::gemm::Float;
use crate::isa::Isa;
use crate::isa::wide::{Vectors, Wide, Work, with_lanes};
use crate::kernel::KernelError;
use crate::pool::Pool;
use crate::workspace::Workspace;

/// By the formula.
pub struct Plainly;

impl<T: Float> Convolver<T> for Plainly {
    fn turn(&self, turn: &Turn<'_>, w: &[T], to: &mut [T], pool: &Pool) {
        turn.write(w, to, pool);
    }

    fn reads_exchanged(&self, _: &Conv2d) -> bool {
        false
    }

    fn convolve(&self, p: &Conv2d, o: Operands<'_, T>, _: &Pool, _: &mut Workspace) -> Result<(), KernelError> {
        conv2d::scalar::convolve(p, o);
        Ok(())
    }
}

/// By the kernels of an instruction set that keep the canonical order.
#[derive(Clone, Copy)]
pub struct Exact(pub Isa);

impl<T: Float> Convolver<T> for Exact {
    fn turn(&self, turn: &Turn<'_>, w: &[T], to: &mut [T], pool: &Pool) {
        turn_wide(self.0, turn, w, to, pool);
    }

    fn reads_exchanged(&self, p: &Conv2d) -> bool {
        conv2d::reads_exchanged(p, exact_way::<T>(p))
    }

    fn convolve(&self, p: &Conv2d, o: Operands<'_, T>, pool: &Pool, inner: &mut Workspace) -> Result<(), KernelError> {
        conv2d::compute(p, self.0, exact_way::<T>(p), o, pool, inner)
    }
}

/// By all kernels of an instruction set, Winograd's algorithm among them.
#[derive(Clone, Copy)]
pub struct Fast(pub Isa);

impl Convolver<f32> for Fast {
    fn turn(&self, turn: &Turn<'_>, w: &[f32], to: &mut [f32], pool: &Pool) {
        turn_wide(self.0, turn, w, to, pool);
    }

    fn reads_exchanged(&self, p: &Conv2d) -> bool {
        conv2d::reads_exchanged(p, fast_way(p))
    }

    fn convolve(
        &self,
        p: &Conv2d,
        o: Operands<'_, f32>,
        pool: &Pool,
        inner: &mut Workspace,
    ) -> Result<(), KernelError> {
        conv2d::compute_f32(p, self.0, fast_way(p), o, pool, inner)
    }
}

fn turn_wide<T: Vectors>(isa: Isa, turn: &Turn<'_>, w: &[T], to: &mut [T], pool: &Pool) {
    struct Write<'a, T>(&'a Turn<'a>, &'a [T], &'a mut [T], &'a Pool);
    impl<T: Vectors> Work<T> for Write<'_, T> {
        type Output = ();
        #[inline(always)]
        fn run<L: Wide<T>>(self, l: L) {
            self.0.write_wide(l, self.1, self.2, self.3);
        }
    }
    // Without the instructions `convolve` says so.
    let _ = with_lanes(isa, Write(turn, w, to, pool));
}
