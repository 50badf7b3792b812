//! How lines are shared out among tasks.

use etalon_reference::ops::activation::Extents;

use crate::isa::Isa;
use crate::kernel::KernelError;
use crate::math::{Beside, Calculation, Numeric};

/// Elements of a task, about.
pub const TASK: usize = 16 * 1024;

/// Elements of a task, whole lines of them, and of a plane c×s.
pub fn parts(extents: &Extents) -> (usize, usize) {
    let plane = (extents.c * extents.s).max(1);
    ((TASK / plane).max(1) * plane, plane)
}

struct Nothing;

impl<T> Calculation<T> for Nothing {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<T>>(self, _: N) {}
}

/// Whether the CPU has the instructions.
///
/// # Errors
/// If not.
pub fn usable<T: Numeric>(isa: Isa) -> Result<(), KernelError> {
    T::calculate(isa, Nothing)
}
