//! What is right: the definition of every operator.
//!
//! The data's way is the reading order: an [`Operator`] makes a [`Problem`] of a [`Point`]; a [`Fill`] makes its inputs
//! from a seed; the problem's reference decides what is right; [`compare`](compare::compare) holds a buffer against it.
//! [`ops`] lists the operators.
#![forbid(unsafe_code)]

// First: the others use its macro.
#[macro_use]
pub mod dtype;

pub mod axis;
pub mod cache;
pub mod case;
pub mod compare;
pub mod draw;
pub mod fill;
pub mod golden;
pub mod gradient;
pub mod narrow;
pub mod operator;
pub mod ops;
pub mod reach;
pub mod record;
pub mod running;
pub mod sqnr;
#[cfg(feature = "proptest")]
pub mod strategy;
pub mod tensor;
pub mod tolerance;
#[cfg(feature = "libtorch")]
pub mod torch;
pub mod types;
pub mod work;

pub use axis::{Axis, Point};
pub use cache::Cache;
pub use case::Case;
pub use dtype::{DType, Element};
pub use fill::Fill;
pub use gradient::{Gradient, Takes};
pub use operator::{Operator, Problem, ProblemError, Witness, Workload};
pub use reach::{Domain, Side, Threshold};
pub use tensor::{Data, Layout, Port, Slice, SliceMut, arrays, gather, scatter};
pub use tolerance::Tolerance;
pub use types::Types;
pub use work::{Unit, Work};
