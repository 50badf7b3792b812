//! What the fuzz targets do with their bytes. Tests on the stable toolchain run the same, on seeds and regressions.
//!
//! Reading order: [`input`] (bytes to a case and back), [`kernels`] (a kernel against the reference), [`problem`] (validation
//! against [`model`]). An operator's targets are two files of three lines: `<op>.rs` calls [`kernels::run`], `<op>_problem.rs`
//! calls [`problem::run`].
#![forbid(unsafe_code)]

pub mod input;
pub mod kernels;
pub mod model;
#[cfg(feature = "planted-bug")]
mod planted;
pub mod problem;

/// The longest input that means anything. Longer ones are ignored, so that a corpus stays small.
pub const MAX_LEN: usize = 256;
