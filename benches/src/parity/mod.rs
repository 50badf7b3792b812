//! The numerical gate: every kernel asked every question of [`Question`], against the reference, with libtorch as witness.
//!
//! This process only supervises. Kernel workers run reference and kernels; each has a witness, which alone calls libtorch. So
//! a kernel that crashes or hangs is a failed row, and a libtorch that does so a row without witness; the run goes on.
//!
//! Reading order: [`Selection`] (what there is to ask), [`run`](run()) (who asks), `work` and `judge` (the worker's side),
//! [`Row`] (the answer), [`smallest`] (a failure, shrunk), [`checks()`] (rows, summed up for the report).

mod checks;
mod coverage;
mod judge;
mod question;
mod row;
mod run;
mod select;
mod shrink;
mod work;

pub use checks::{checks, word};
pub use coverage::coverage;
pub use etalon_kernels::check::suite::Question;
pub use question::name;
pub use row::Row;
pub use run::{Manner, run};
pub use select::{Ask, Left, MOST_THREADS, Selection};
pub use shrink::smallest;
pub(crate) use work::work;
