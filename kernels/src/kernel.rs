//! One way to compute an operator, as an entry of its list.

use etalon_reference::{DType, Domain, Problem, Threshold, Tolerance, Types};
use ndarray::ArrayD;

use crate::call::{Call, Inputs};
use crate::isa::{Extension, Isa};

/// An entry of an operator's kernel list. Made by [`Kernel::new`] and the `with_` methods.
#[derive(Clone, Copy)]
pub struct Kernel {
    /// Name in case ids, unique within the operator: ISA or library, then algorithm and tile.
    pub name: &'static str,
    /// Who wrote it.
    pub maker: Maker,
    /// What the CPU must have.
    pub isa: Isa,
    /// And beside the level.
    pub extensions: &'static [Extension],
    /// Element types it computes.
    pub types: &'static [Types],
    /// Whether it can compute the problem; `Err` says why not.
    pub supports: fn(&dyn Problem, Types) -> Result<(), String>,
    /// Computes. The call comes from [`Signature::call`](crate::call::Signature::call).
    pub run: fn(&mut Call<'_>) -> Result<(), KernelError>,
    /// Work done once for several calls (packed weights), outside the clock.
    /// [`Signature::plan`](crate::call::Signature::plan) makes it, and `run` finds it in [`Call::plan`].
    pub plan: Option<MakePlan>,
    /// Whether its plan is how the operator is used: then it may be the default.
    pub usual_plan: bool,
    /// Whether it promises the operator's canonical order: the same bits as every other canonical kernel.
    pub canonical: bool,
    /// How far its outputs may be from the reference, where its algorithm rounds more than the operator's order of summation.
    pub tolerance: Option<Tolerate>,
    /// Whether it takes all inputs for finite numbers: others make more outputs NaN than the formula says.
    pub finite_only: bool,
    /// The sizes at which it takes another path. Tests draw problems on both sides of each.
    pub thresholds: &'static [Threshold],
    /// Parts of the points where it takes a path of its own, if [`Kernel::thresholds`] alone do not lead there.
    pub paths: &'static [Domain],
}

/// Who wrote a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// This project.
    Ours,
    /// A library, by name.
    Library(&'static str),
}

/// The tolerances of a kernel's own algorithm, one an output, from the logical inputs and the reference's outputs.
pub type Tolerate = fn(&dyn Problem, Types, &[ArrayD<f64>], &[ArrayD<f64>]) -> Vec<Tolerance>;

/// Makes the plan of a problem from its inputs.
pub type MakePlan = fn(&Inputs<'_>) -> Result<Plan, KernelError>;

/// What a kernel's `plan` made; its `run` knows the type.
pub type Plan = Box<dyn std::any::Any + Send + Sync>;

/// Why a kernel did not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// A buffer is shorter than the problem needs.
    #[error("{operand} has {found} elements, the problem needs {needed}")]
    TooShort {
        /// The operand.
        operand: &'static str,
        /// Elements it has.
        found: usize,
        /// Elements it needs.
        needed: usize,
    },
    /// A buffer holds elements of another type.
    #[error("{operand} holds elements of {found}, the problem needs {needed}")]
    WrongType {
        /// The operand.
        operand: &'static str,
        /// Type that it has.
        found: DType,
        /// Type that it needs.
        needed: DType,
    },
    /// There are more or fewer operands than the problem has.
    #[error("{found} {what} are given, the problem has {needed}")]
    WrongNumber {
        /// Inputs or outputs.
        what: &'static str,
        /// So many are there.
        found: usize,
        /// So many are needed.
        needed: usize,
    },
    /// An index, a label or a length is outside its range.
    #[error("{operand} holds {found}, expected 0 to below {end}")]
    OutOfRange {
        /// The operand.
        operand: &'static str,
        /// What it holds.
        found: i64,
        /// One past the largest.
        end: usize,
    },
    /// A number that the operator does not take.
    #[error("{operand} is {found}, expected {rule}")]
    BadValue {
        /// The operand.
        operand: &'static str,
        /// What it is.
        found: String,
        /// What it must be.
        rule: &'static str,
    },
    /// The kernel can't compute this problem.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// The CPU lacks the instructions, or they are forbidden.
    #[error("{0}")]
    Isa(String),
}

impl Kernel {
    /// Length of a name at most: ids of benchmarks have 63 characters for it and the dtype.
    pub const LONGEST_NAME: usize = 58;

    /// A kernel for every problem of its operator, without plan, that promises the canonical order.
    pub const fn new(
        name: &'static str,
        isa: Isa,
        types: &'static [Types],
        run: fn(&mut Call<'_>) -> Result<(), KernelError>,
    ) -> Kernel {
        Kernel {
            name,
            maker: Maker::Ours,
            isa,
            extensions: &[],
            types,
            supports: |_, _| Ok(()),
            run,
            plan: None,
            usual_plan: false,
            canonical: true,
            tolerance: None,
            finite_only: false,
            thresholds: &[],
            paths: &[],
        }
    }

    /// Computed by a library, which sums in an order of its own and chooses instructions itself.
    pub const fn of_library(self, library: &'static str) -> Kernel {
        Kernel { maker: Maker::Library(library), ..self.own_order() }
    }

    /// Whether a library computes it.
    pub const fn is_foreign(&self) -> bool {
        matches!(self.maker, Maker::Library(_))
    }

    /// Computes only what `supports` accepts.
    pub const fn with_supports(self, supports: fn(&dyn Problem, Types) -> Result<(), String>) -> Kernel {
        Kernel { supports, ..self }
    }

    /// Needs these extensions, too.
    pub const fn with_extensions(self, extensions: &'static [Extension]) -> Kernel {
        Kernel { extensions, ..self }
    }

    /// Prepares with `plan`.
    pub const fn with_plan(self, plan: MakePlan) -> Kernel {
        Kernel { plan: Some(plan), ..self }
    }

    /// Prepares with `plan`, which is how the operator is used: weights do not change from call to call.
    pub const fn with_usual_plan(self, plan: MakePlan) -> Kernel {
        Kernel { usual_plan: true, ..self.with_plan(plan) }
    }

    /// Whether it may be the default: it takes operands as they are, or its plan is how the operator is used.
    pub const fn is_usual(&self) -> bool {
        self.plan.is_none() || self.usual_plan
    }

    /// Sums in an order of its own.
    pub const fn own_order(self) -> Kernel {
        Kernel { canonical: false, ..self }
    }

    /// Sums in an order of its own, by an algorithm with its own error.
    pub const fn with_tolerance(self, tolerance: Tolerate) -> Kernel {
        Kernel { tolerance: Some(tolerance), ..self.own_order() }
    }

    /// Takes all inputs for finite numbers.
    pub const fn finite_only(self) -> Kernel {
        Kernel { finite_only: true, ..self }
    }

    /// Takes another path at each of these sizes: ends of blocks and strips, switches to streaming, to copies, to threads.
    pub const fn with_thresholds(self, thresholds: &'static [Threshold]) -> Kernel {
        Kernel { thresholds, ..self }
    }

    /// Takes a path of its own in each of these parts of the points: sizes that are unrolled, combinations of sizes.
    pub const fn with_paths(self, paths: &'static [Domain]) -> Kernel {
        Kernel { paths, ..self }
    }

    /// Whether the CPU has what the kernel needs, and it is allowed. `Err` says what is missing.
    ///
    /// # Errors
    /// The reason.
    pub fn usable(&self) -> Result<(), String> {
        self.isa.usable()?;
        self.extensions.iter().try_for_each(|extension| extension.usable())
    }

    /// Whether the kernel can run here: dtype, ISA and problem. `Err` says why it is skipped.
    ///
    /// # Errors
    /// The reason.
    pub fn applies(&self, problem: &dyn Problem, types: Types) -> Result<(), String> {
        if !self.types.contains(&types) {
            return Err(format!("{} does not compute {types}", self.name));
        }
        self.usable()?;
        (self.supports)(problem, types)
    }
}
