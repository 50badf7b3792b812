//! What is fast: hand-tuned kernels, one folder an operator, and what they stand on.
//!
//! Reading order: [`isa`] (which instructions there are), [`pool`], [`aligned`] and [`workspace`] (threads and memory),
//! [`kernel`] (an entry of a list), then the operators' folders, and [`registry`], the list of lists.

pub mod ffi;
pub mod isa;
