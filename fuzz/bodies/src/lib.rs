//! What the fuzz targets do with their bytes. Tests on the stable toolchain run the same, on seeds and regressions.
//!
//! Reading order: [`target`] (what is fuzzed), [`input`] (bytes to a case and back), [`kernels`] (a kernel against the
//! reference), [`problem`] (validation against [`model`]), [`seeds`] (where fuzzing starts), [`regression`] (what once failed).
#![forbid(unsafe_code)]

pub mod input;
pub mod kernels;
pub mod model;
#[cfg(feature = "planted-bug")]
mod planted;
pub mod problem;
pub mod regression;
pub mod seeds;
pub mod target;

/// The longest input that means anything. Longer ones are ignored, so that a corpus stays small.
pub const MAX_LEN: usize = 256;
