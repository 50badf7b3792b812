//! What comes from other languages: OpenBLAS's C interface, and questions to the dynamic loader.

#[cfg(feature = "openblas")]
pub mod openblas;
pub mod symbols;
