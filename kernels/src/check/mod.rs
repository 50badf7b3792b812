//! One case, judged: inputs made, the kernel run in guarded memory, its outputs held against the reference.
//!
//! [`Prepared`] is a problem with inputs, reference and tolerances; [`Prepared::run`] runs one kernel on it. [`suite`] asks
//! everything of a kernel that the project promises.

#[cfg(feature = "proptest")]
pub mod draw;
mod guard;
mod pools;
pub mod shrink;
#[cfg(feature = "proptest")]
pub mod suite;

use std::borrow::Cow;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use etalon_reference::compare::{Comparison, Verdict};
use etalon_reference::tensor::Initial;
use etalon_reference::{
    Case, DType, Data, Element, Fill, Operator, Point, Port, Problem, ProblemError, Slice, SliceMut, Tolerance, Types,
    arrays, with_dtype,
};
use ndarray::ArrayD;

pub use guard::{Guard, GuardedBuffer};
pub use pools::Pools;

use crate::call::Signature;
use crate::kernel::{Kernel, KernelError, Tolerate};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// A problem with everything that judging a kernel takes.
pub struct Prepared {
    /// The operator.
    pub operator: &'static Operator,
    /// The problem's point.
    pub point: Point,
    /// Element type.
    pub types: Types,
    /// Fill of the inputs.
    pub fill: Fill,
    /// Seed of the inputs.
    pub seed: u64,
    /// The problem.
    pub problem: Arc<dyn Problem>,
    /// Input buffers.
    pub inputs: Vec<Data>,
    /// The inputs as logical arrays.
    arrays: OnceLock<Vec<ArrayD<f64>>>,
    /// What decides, computed when first asked for: many questions compare bits alone.
    truth: OnceLock<Truth>,
    /// The tolerances that a kernel brought last: its next run asks for them again.
    own: Mutex<Option<(Tolerate, Vec<Tolerance>)>>,
    /// The outputs that were held against the problem's own tolerances last, and what was found: kernels in the canonical
    /// order give the same ones.
    last: Mutex<Option<Compared>>,
}

/// Outputs, and what was found.
type Compared = (Vec<ArrayD<f64>>, Vec<Comparison>);

/// What decides.
struct Truth {
    /// The reference's outputs.
    expected: Vec<ArrayD<f64>>,
    /// What a correct output satisfies, unless the kernel's algorithm has an error of its own.
    tolerances: Vec<Tolerance>,
    /// Whether all inputs are finite numbers.
    finite: bool,
}

/// Where operands lie in memory.
#[derive(Clone, Copy, Debug)]
pub struct Placement {
    /// Bytes from a 64-byte boundary to each buffer's start, rounded down to the element's alignment.
    pub offset_bytes: usize,
    /// What lies around each buffer.
    pub guard: Guard,
}

impl Placement {
    /// On a 64-byte boundary, between zones that are checked afterwards.
    pub const ALIGNED: Placement = Placement { offset_bytes: 0, guard: Guard::Zones };
}

/// What a kernel made of a case.
pub struct Outcome {
    /// Output buffers.
    pub outputs: Vec<Data>,
    /// One comparison an output.
    pub comparisons: Vec<Comparison>,
    /// The worst verdict; a fault is a failure.
    pub verdict: Verdict,
    /// Memory that was touched and must not be: an input, a gap between rows, a guard zone.
    pub fault: Option<String>,
}

impl Outcome {
    /// The comparison with the least headroom, and its output's position; `None` without outputs.
    pub fn worst(&self) -> Option<(usize, &Comparison)> {
        self.comparisons.iter().enumerate().max_by(|a, b| a.1.headroom.total_cmp(&b.1.headroom))
    }

    /// What is wrong, in a line; `None` if nothing is.
    pub fn complaint(&self, prepared: &Prepared) -> Option<String> {
        if self.verdict != Verdict::Fail {
            return None;
        }
        if let Some(fault) = &self.fault {
            return Some(fault.clone());
        }
        let (output, c) = self.worst()?;
        Some(format!(
            "{}{:?} is {:e}, expected {:e}: off by {:e}, allowed {:e} ({}); {} NaN or ∞ misplaced",
            prepared.problem.outputs(prepared.types)[output].name,
            c.worst,
            c.got,
            c.expected,
            (c.got - c.expected).abs(),
            c.bound,
            c.formula,
            c.class_mismatches,
        ))
    }
}

impl Prepared {
    /// Makes inputs from the seed.
    ///
    /// # Errors
    /// [`ProblemError`] if the point makes no problem.
    pub fn new(
        operator: &'static Operator,
        point: &Point,
        types: Types,
        fill: Fill,
        seed: u64,
    ) -> Result<Prepared, ProblemError> {
        let problem: Arc<dyn Problem> = operator.problem(point)?.into();
        let inputs = problem.draw(types, fill, seed);
        Ok(Prepared::with_inputs(operator, point, types, fill, seed, problem, inputs))
    }

    /// With given inputs.
    pub fn with_inputs(
        operator: &'static Operator,
        point: &Point,
        types: Types,
        fill: Fill,
        seed: u64,
        problem: Arc<dyn Problem>,
        inputs: Vec<Data>,
    ) -> Prepared {
        let (arrays, truth, own, last) = (OnceLock::new(), OnceLock::new(), Mutex::new(None), Mutex::new(None));
        Prepared { operator, point: point.clone(), types, fill, seed, problem, inputs, arrays, truth, own, last }
    }

    /// With other outputs as the ones that are right, each with its tolerance.
    pub fn with_truth(self, expected: Vec<ArrayD<f64>>, tolerances: Vec<Tolerance>) -> Prepared {
        let finite = self.truth().finite;
        Prepared { truth: OnceLock::from(Truth { expected, tolerances, finite }), last: Mutex::new(None), ..self }
    }

    /// The reference's outputs.
    pub fn expected(&self) -> &[ArrayD<f64>] {
        &self.truth().expected
    }

    /// What a correct output satisfies, unless the kernel's algorithm has an error of its own.
    pub fn tolerances(&self) -> &[Tolerance] {
        &self.truth().tolerances
    }

    fn truth(&self) -> &Truth {
        self.truth.get_or_init(|| {
            let arrays = self.arrays();
            let expected = self.problem.reference(arrays);
            let tolerances = self.problem.tolerance(self.types, self.fill, arrays, &expected);
            let finite = arrays.iter().flatten().all(|x| x.is_finite());
            Truth { expected, tolerances, finite }
        })
    }

    /// The inputs as logical arrays.
    pub fn arrays(&self) -> &[ArrayD<f64>] {
        self.arrays.get_or_init(|| arrays(&self.problem.inputs(self.types), &self.inputs))
    }

    /// What a correct output of this kernel satisfies; nothing but to stay in its memory where it takes inputs for finite
    /// that are not.
    pub fn tolerances_of(&self, kernel: &Kernel) -> Cow<'_, [Tolerance]> {
        if kernel.finite_only && !self.truth().finite {
            return Cow::Owned(Vec::new());
        }
        let Some(tolerate) = kernel.tolerance else { return Cow::Borrowed(self.tolerances()) };
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = own.as_ref().filter(|(of, _)| std::ptr::fn_addr_eq(*of, tolerate)) {
            return Cow::Owned(known.clone());
        }
        let tolerances = tolerate(&*self.problem, self.types, self.arrays(), self.expected());
        *own = Some((tolerate, tolerances.clone()));
        Cow::Owned(tolerances)
    }

    /// Holds outputs against the reference, with tolerances of [`tolerances_of`](Prepared::tolerances_of) or others.
    pub fn compare(&self, tolerances: Cow<'_, [Tolerance]>, outputs: Vec<ArrayD<f64>>) -> Vec<Comparison> {
        let judge = |outputs: &[ArrayD<f64>]| {
            self.problem.judge(self.types, self.arrays(), self.expected(), &tolerances, outputs)
        };
        if matches!(tolerances, Cow::Owned(_)) {
            return judge(&outputs);
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = last.as_ref().filter(|(known, _)| same_bits(known, &outputs)) {
            return found.clone();
        }
        let found = judge(&outputs);
        *last = Some((outputs, found.clone()));
        found
    }

    /// The case id with this kernel and number of threads, as applications have them.
    pub fn case(&self, kernel: &Kernel, threads: usize) -> Case {
        Case {
            op: self.operator.name.into(),
            kernel: kernel.name.into(),
            types: self.types,
            point: self.point.clone(),
            threads,
            eager: false,
            fill: self.fill,
            seed: self.seed,
        }
    }

    /// Runs `kernel` on copies of the inputs in guarded memory and judges what it wrote.
    ///
    /// # Errors
    /// [`KernelError`] if the kernel refuses.
    pub fn run(
        &self,
        kernel: &Kernel,
        pool: &Pool,
        workspace: &mut Workspace,
        placement: Placement,
    ) -> Result<Outcome, KernelError> {
        let (outputs, fault) = self.execute(kernel, pool, workspace, placement)?;
        Ok(self.judge(kernel, outputs, fault))
    }

    /// Runs `kernel` on copies of the inputs in guarded memory: the output buffers, and what was touched that must not be.
    ///
    /// # Errors
    /// [`KernelError`] if the kernel refuses.
    pub fn execute(
        &self,
        kernel: &Kernel,
        pool: &Pool,
        workspace: &mut Workspace,
        placement: Placement,
    ) -> Result<(Vec<Data>, Option<String>), KernelError> {
        kernel.usable().map_err(KernelError::Isa)?;
        let ports = self.problem.outputs(self.types);
        let initial = initial_outputs(&*self.problem, self.types, &self.inputs);
        let inputs: Vec<Placed> = self.inputs.iter().map(|data| Placed::new(data, placement)).collect();
        let mut outputs: Vec<Placed> = initial.iter().map(|data| Placed::new(data, placement)).collect();
        {
            let inputs: Vec<Slice<'_>> = inputs.iter().map(Placed::slice).collect();
            let mut outputs: Vec<SliceMut<'_>> = outputs.iter_mut().map(Placed::slice_mut).collect();
            let signature = Signature::new(&*self.problem, self.types);
            let plan = signature.plan(kernel, &inputs)?;
            (kernel.run)(&mut signature.call(&inputs, &mut outputs, pool, workspace, plan.as_ref())?)?;
        }
        let fault = self.fault(&inputs, &initial, &outputs, &ports);
        Ok((outputs.iter().map(|p| p.slice().to_data()).collect(), fault))
    }

    /// Judges the output buffers of a kernel.
    fn judge(&self, kernel: &Kernel, outputs: Vec<Data>, fault: Option<String>) -> Outcome {
        let ports = self.problem.outputs(self.types);
        let (tolerances, got) = (self.tolerances_of(kernel), arrays(&ports, &outputs));
        let comparisons = self.compare(tolerances, got);
        let verdict = if fault.is_some() || comparisons.iter().any(|c| c.verdict == Verdict::Fail) {
            Verdict::Fail
        } else if comparisons.iter().any(|c| c.verdict == Verdict::Mistrusted) && !self.problem.degenerate() {
            Verdict::Mistrusted
        } else {
            Verdict::Pass
        };
        Outcome { outputs, comparisons, verdict, fault }
    }

    fn fault(&self, inputs: &[Placed], initial: &[Data], outputs: &[Placed], ports: &[Port]) -> Option<String> {
        let input_ports = self.problem.inputs(self.types);
        for ((placed, data), port) in inputs.iter().zip(&self.inputs).zip(&input_ports) {
            if !placed.slice().same_bits(data.as_slice()) {
                return Some(format!("input {} was changed", port.name));
            }
            if !placed.buffer.canaries_intact() {
                return Some(format!("memory around input {} was overwritten", port.name));
            }
        }
        for ((placed, before), port) in outputs.iter().zip(initial).zip(ports) {
            if !placed.buffer.canaries_intact() {
                return Some(format!("memory around output {} was overwritten", port.name));
            }
            let layout = &port.layout;
            if layout.len() == before.len() && !layout.strides.contains(&0) {
                continue;
            }
            let (before, after) = (before.bits(), placed.slice().to_data().bits());
            let mut owned = vec![false; after.len()];
            layout.each_line(|line| line.offsets().for_each(|at| owned[at] = true));
            if let Some(gap) = (0..after.len()).find(|&i| !owned[i] && before[i] != after[i]) {
                return Some(format!("output {}: the gap at element {gap} was overwritten", port.name));
            }
        }
        None
    }
}

/// Whether arrays hold the same numbers, bit for bit.
fn same_bits(x: &[ArrayD<f64>], y: &[ArrayD<f64>]) -> bool {
    let same = |(x, y): (&ArrayD<f64>, &ArrayD<f64>)| {
        x.shape() == y.shape() && x.iter().zip(y).all(|(x, y)| x.to_bits() == y.to_bits())
    };
    x.len() == y.len() && x.iter().zip(y).all(same)
}

/// Output buffers as a kernel finds them: poisoned, or holding the input they update.
pub fn initial_outputs(problem: &dyn Problem, types: Types, inputs: &[Data]) -> Vec<Data> {
    problem
        .outputs(types)
        .iter()
        .map(|port| match port.initial {
            Initial::Input(input) => inputs[input].clone(),
            Initial::Poison => {
                let poison = if port.dtype.is_float() { f64::NAN } else { 90.0 };
                Data::from_f64(port.dtype, &vec![poison; port.layout.span()])
            }
        })
        .collect()
}

/// A buffer in guarded memory.
struct Placed {
    dtype: DType,
    buffer: GuardedBuffer,
}

impl Placed {
    fn new(data: &Data, placement: Placement) -> Placed {
        let (dtype, size) = (data.dtype(), data.dtype().size());
        let offset = placement.offset_bytes / size * size;
        let buffer = GuardedBuffer::new(data.len() * size, size, offset, placement.guard);
        let mut placed = Placed { dtype, buffer };
        placed.slice_mut().copy_from(data.as_slice());
        placed
    }

    fn slice(&self) -> Slice<'_> {
        with_dtype!(self.dtype, T => T::erase(self.buffer.as_slice()))
    }

    fn slice_mut(&mut self) -> SliceMut<'_> {
        with_dtype!(self.dtype, T => T::erase_mut(self.buffer.as_mut_slice()))
    }
}
