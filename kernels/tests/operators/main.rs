//! Tests of single operators and of calls, through what the crate makes public.
//!
//! They stand here, not beside the code: a crate's own tests are a program of their own, and what reaches the list of kernels
//! compiles all of them once more.

mod call;
mod conv2d_int8;
mod fractional_max_pool2d;
mod matmul_int8;
mod mixed_precision_sgd;
mod recurrent;
