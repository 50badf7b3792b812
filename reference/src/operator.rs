//! The contract: what one definition of an operator gives.
//!
//! An [`Operator`] is a row of data: it names its axes, and makes a validated [`Problem`] of a [`Point`]. The problem says
//! everything else: operands, reference, tolerance, work. Tests, gradient checks, fuzzing, benches and the report's columns
//! follow from these two alone.

use std::any::Any;
use std::fmt::{self, Debug};

use ndarray::ArrayD;

use crate::compare::{Comparison, compare};
use crate::tolerance::{Sum, of_sums};
use crate::{Axis, Cache, Data, Domain, Fill, Gradient, Point, Port, Tolerance, Types, Unit, Work};

/// A mathematical contract: inputs, outputs, rules for NaN, ±0 and ∞.
#[derive(Clone, Copy)]
pub struct Operator {
    /// Name in case ids; also the name of the folder with its kernels.
    pub name: &'static str,
    /// One line for documents and pages.
    pub summary: &'static str,
    /// The coordinates of its problems.
    pub axes: &'static [Axis],
    /// The dtypes it is defined for, the one that benchmarks and budgets count with first.
    pub types: &'static [Types],
    /// The validated problem at a point. All shape arithmetic happens here, checked: see [`Operator::problem`].
    pub make: fn(&Point) -> Result<Box<dyn Problem>, ProblemError>,
    /// The points that benchmarks time.
    pub workloads: &'static [Workload],
    /// How NaN, ±∞ and ±0 are treated, for documents.
    pub special_values: &'static str,
    /// Parts of its points that independent drawing hardly reaches and kernels specialise in. Tests draw from each.
    pub domains: &'static [Domain],
    /// If it is the gradient of another operator: how the two belong together.
    pub gradient: Option<&'static Gradient>,
    /// Who else computes it.
    pub witness: Witness,
    /// The axis along which problems are independent, if there is one: row `i` of a batch must equal, bit for bit, the same
    /// row computed alone.
    pub batch: Option<&'static str>,
}

impl Operator {
    /// The validated problem at `point`.
    ///
    /// # Errors
    /// [`ProblemError`] if the point is outside the operator's domain or a size overflows.
    pub fn problem(&self, point: &Point) -> Result<Box<dyn Problem>, ProblemError> {
        (self.make)(point)
    }
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// An independent implementation that the reference is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    /// libtorch, forward and by autograd, live and in frozen answers.
    Libtorch,
    /// A formula that some problems have an answer by.
    Closed(&'static str),
    /// Another algorithm.
    Algorithm(&'static str),
    /// Nobody, for this reason.
    None(&'static str),
}

/// One validated instance of an operator: shapes and attributes, no data. Cannot be wrong.
pub trait Problem: Any + Debug + Send + Sync {
    /// Inputs in a fixed order; absent optional ones have no element.
    fn inputs(&self, types: Types) -> Vec<Port>;

    /// Outputs in a fixed order.
    fn outputs(&self, types: Types) -> Vec<Port>;

    /// The formula, in f64, written to be read. One array an output, of the output's logical shape.
    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>>;

    /// The longest sums behind the outputs. Witnesses add in orders of their own, at worst in one chain: their bounds
    /// are as many times wider as that chain is longer. An operator whose outputs are one sum of products each lists
    /// one per output, and needs no tolerance of its own.
    fn sums(&self) -> Vec<Sum> {
        Vec::new()
    }

    /// How far from the reference each output may be, for inputs of `fill`. Unless an operator says more: each output
    /// is one of the [`sums`](Problem::sums), of products of its inputs, whose magnitudes are the reference of the
    /// inputs' ones.
    fn tolerance(&self, types: Types, fill: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        let magnitudes = || self.reference(&inputs.iter().map(|input| input.mapv(f64::abs)).collect::<Vec<_>>());
        of_sums(&self.sums(), types, fill, magnitudes, expected)
    }

    /// How far from the reference a witness may be that computes anew what this problem takes as kept by another pass: by
    /// its own errors in that, too.
    fn witness_tolerance(
        &self,
        types: Types,
        fill: Fill,
        inputs: &[ArrayD<f64>],
        expected: &[ArrayD<f64>],
    ) -> Vec<Tolerance> {
        self.tolerance(types, fill, inputs, expected)
    }

    /// Operations, of the kind that most of them are; a fused multiply-add counts two. Problems that only move data have none.
    fn operations(&self) -> (f64, Unit);

    /// Operations and the least bytes moved: each operand once, without the inputs that are not read.
    fn work(&self, types: Types) -> Work {
        Work::of(self.operations(), &self.inputs(types), &self.unread_inputs(), &self.outputs(types))
    }

    /// Inputs for tests, from a seed: each port by itself, unless some depend on others.
    fn draw(&self, types: Types, fill: Fill, seed: u64) -> Vec<Data> {
        fill.make(&self.inputs(types), seed)
    }

    /// Holds outputs against the reference: element by element, unless the formula leaves some undecided.
    fn judge(
        &self,
        types: Types,
        _inputs: &[ArrayD<f64>],
        expected: &[ArrayD<f64>],
        tolerances: &[Tolerance],
        outputs: &[ArrayD<f64>],
    ) -> Vec<Comparison> {
        let ports = self.outputs(types);
        let pairs = ports.iter().zip(expected).zip(tolerances).zip(outputs);
        pairs.map(|(((port, expected), tolerance), got)| compare(port.dtype, expected, tolerance, got)).collect()
    }

    /// Inputs of which gradients are taken by this problem's witnesses, by position.
    fn differentiable(&self) -> Vec<usize> {
        Vec::new()
    }

    /// Inputs that no kernel reads, by position: their buffers may be short. So may those that outputs start from.
    fn unread_inputs(&self) -> Vec<usize> {
        Vec::new()
    }

    /// Whether its outputs may rightly be constant or nearly all zeros, so that an exact comparison says little.
    fn degenerate(&self) -> bool {
        false
    }
}

/// A named point that benchmarks time.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Unique name within the operator, `network.layer`.
    pub name: &'static str,
    /// The point, as [`Point::parse`] reads it.
    pub point: &'static str,
    /// Where the shape comes from.
    pub source: &'static str,
    /// Networks that have this layer, by name, and how often each has it. Over all workloads of an operator the counts of a
    /// network add up to its layers of that kind, so that times can be summed.
    pub networks: &'static [(&'static str, u32)],
    /// Part of the profile `smoke`.
    pub smoke: bool,
    /// Timed for the sums of its networks alone: only the default kernel is.
    pub brief: bool,
    /// Where networks find its operands.
    pub cache: Cache,
    /// The types it is timed in; none for all of the operator's.
    pub types: &'static [Types],
}

impl Workload {
    /// Length of a name at most: ids of benchmarks have 63 characters for it and the number of threads.
    pub const LONGEST_NAME: usize = 56;

    /// A workload of the profiles that take their time.
    pub const fn new(name: &'static str, point: &'static str, source: &'static str) -> Workload {
        Workload { name, point, source, networks: &[], smoke: false, brief: false, cache: Cache::Warm, types: &[] }
    }

    /// As a layer of networks.
    pub const fn of(self, networks: &'static [(&'static str, u32)]) -> Workload {
        Workload { networks, ..self }
    }

    /// In the profile `smoke`, too.
    pub const fn smoke(self) -> Workload {
        Workload { smoke: true, ..self }
    }

    /// Timed in these types alone.
    pub const fn in_types(self, types: &'static [Types]) -> Workload {
        Workload { types, ..self }
    }

    /// For the sums of its networks alone.
    pub const fn brief(self) -> Workload {
        Workload { brief: true, ..self }
    }

    /// Found by networks in this cache state.
    pub const fn met(self, cache: Cache) -> Workload {
        Workload { cache, ..self }
    }
}

/// Why a point makes no problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProblemError {
    /// A coordinate outside its domain.
    #[error("{axis} = {value} is out of range: {rule}")]
    OutOfRange {
        /// The axis.
        axis: &'static str,
        /// Its value.
        value: i64,
        /// What holds for valid values.
        rule: &'static str,
    },
    /// A size, stride or offset does not fit the address space.
    #[error("{what} overflows the address space")]
    Overflow {
        /// What was computed.
        what: &'static str,
    },
    /// Coordinates that do not go together.
    #[error("{0}")]
    Conflict(String),
}

/// The coordinate as a size.
///
/// # Errors
/// [`ProblemError::OutOfRange`] if it is negative or does not fit `usize`.
pub fn size(point: &Point, axis: &'static str) -> Result<usize, ProblemError> {
    let value = point.get(axis);
    usize::try_from(value).map_err(|_| ProblemError::OutOfRange { axis, value, rule: "a size is not negative" })
}

/// The product, if a buffer of so many elements of 8 bytes fits the address space.
///
/// # Errors
/// [`ProblemError::Overflow`] naming `what`.
pub fn elements(what: &'static str, factors: &[usize]) -> Result<usize, ProblemError> {
    // A zero factor does not excuse an overflow of the others: strides are products of the inner extents alone.
    let product = factors.iter().try_fold(1usize, |p, &f| p.checked_mul(f));
    product.filter(|&p| p <= isize::MAX as usize / 8).ok_or(ProblemError::Overflow { what })
}

/// The problem as its own type.
///
/// # Panics
/// If it is another operator's problem; registries pair each kernel with its operator.
pub fn downcast<P: Problem>(problem: &dyn Problem) -> &P {
    (problem as &dyn Any).downcast_ref().expect("a problem of the kernel's operator")
}
