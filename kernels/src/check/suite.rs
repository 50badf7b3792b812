//! Everything the project promises of a kernel, asked of one kernel over drawn problems.
//!
//! A failure is shrunk to a small problem and named by the question that it fails and by its case id.

use std::cell::RefCell;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use etalon_reference::compare::Verdict;
use etalon_reference::{Case, Data, Fill, Operator, Problem, Types, gather, scatter};

use super::draw::{Drawing, Quota};
use super::shrink::smallest;
use super::{Guard, Outcome, Placement, Pools, Prepared};
use crate::call::{Signature, unread};
use crate::kernel::{Kernel, KernelError};
use crate::workspace::Workspace;

/// A question that every kernel must answer with yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Question {
    /// Does it agree with the reference, without touching what is not its own?
    Parity,
    /// Are the bits the same for 1, 2, 3, 4, 5, 7 and 17 threads?
    Threads,
    /// Are they the same when it runs again, with a workspace that other calls have used?
    Repeat,
    /// Are they the same wherever the buffers lie?
    Alignment,
    /// Does it stay within its buffers, on both sides?
    Pages,
    /// Are they those of the other canonical kernels?
    Canonical,
    /// Does an item of a batch get the bits it gets alone?
    Batch,
    /// Does a buffer that is too short give an error, and may what is not read be absent?
    ShortBuffer,
}

impl Question {
    /// Every question.
    pub const ALL: [Question; 8] = [
        Question::Parity,
        Question::Threads,
        Question::Repeat,
        Question::Alignment,
        Question::Pages,
        Question::Canonical,
        Question::Batch,
        Question::ShortBuffer,
    ];
}

/// How much to ask.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Points for each fill that agreement is asked of; other questions get their share of it.
    pub cases: usize,
    /// Cost of a drawn problem at most, in operations.
    pub cost: f64,
    /// Whether large operands are drawn, too.
    pub large: bool,
    /// Seed of the drawing.
    pub seed: u64,
}

/// A kernel failed.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// The question.
    pub question: Question,
    /// The smallest case found; `None` if no case was executed.
    pub case: Option<Case>,
    /// What is wrong.
    pub detail: String,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.question, self.detail)?;
        self.case.as_ref().map_or(Ok(()), |case| write!(f, "\nREPRO: cargo xtask parity '{case}'"))
    }
}

/// Threads of a case: how many, and whether they take any work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Threads.
    pub threads: usize,
    /// Whether all are used however little there is to do.
    pub eager: bool,
}

impl Mode {
    /// Those that a case names.
    pub fn of(case: &Case) -> Mode {
        Mode { threads: case.threads, eager: case.eager }
    }
}

/// Numbers of threads that must give the same bits as one.
const SAME_BITS: [usize; 6] = [2, 3, 4, 5, 7, 17];
/// The same for problems that cost more than [`COSTLY`].
const SAME_BITS_COSTLY: [usize; 3] = [2, 3, 17];
/// In operations.
const COSTLY: f64 = 1e6;

/// Threads, workspace and the kernel that others are held against.
pub struct Bench {
    pools: RefCell<Pools>,
    workspace: RefCell<Workspace>,
    /// First canonical kernel of the operator.
    standard: Option<&'static Kernel>,
}

impl Bench {
    /// Without threads yet.
    pub fn new(standard: Option<&'static Kernel>) -> Bench {
        Bench { pools: RefCell::new(Pools::new()), workspace: RefCell::new(Workspace::new()), standard }
    }

    /// Whether a question can be asked of the kernel at all.
    pub fn can_ask(&self, question: Question, operator: &Operator, kernel: &Kernel, types: Types) -> bool {
        match question {
            Question::Canonical => self.standard.is_some_and(|standard| {
                kernel.canonical && standard.name != kernel.name && standard.types.contains(&types)
            }),
            Question::Batch => operator.batch.is_some(),
            _ => true,
        }
    }

    fn run(&self, p: &Prepared, kernel: &Kernel, mode: Mode, at: Placement) -> Result<Outcome, String> {
        let mut pools = self.pools.borrow_mut();
        let pool = pools.get(mode.threads, mode.eager);
        p.run(kernel, pool, &mut self.workspace.borrow_mut(), at).map_err(|e| e.to_string())
    }

    /// The output buffers, unjudged but for memory that was touched and must not be.
    fn outputs(&self, p: &Prepared, kernel: &Kernel, mode: Mode, at: Placement) -> Result<Vec<Data>, String> {
        let mut pools = self.pools.borrow_mut();
        let pool = pools.get(mode.threads, mode.eager);
        let result = p.execute(kernel, pool, &mut self.workspace.borrow_mut(), at).map_err(|e| e.to_string())?;
        match result {
            (outputs, None) => Ok(outputs),
            (_, Some(fault)) => Err(fault),
        }
    }

    /// What a library promises of its bits is its own matter: OpenBLAS takes other kernels for other numbers of threads, and
    /// on some CPUs adds in another order there. It has to stay within its buffers, and to be right.
    fn right(&self, p: &Prepared, kernel: &Kernel, mode: Mode, at: Placement) -> Result<(), String> {
        self.run(p, kernel, mode, at)?.complaint(p).map_or(Ok(()), Err)
    }

    /// The outputs' bits, in plain memory.
    fn bits(&self, p: &Prepared, kernel: &Kernel, mode: Mode, at: Placement) -> Result<Vec<Vec<u64>>, String> {
        Ok(self.outputs(p, kernel, mode, at)?.iter().map(Data::bits).collect())
    }

    /// Asks one question of one case.
    ///
    /// # Errors
    /// What is wrong.
    pub fn ask(&self, question: Question, p: &Prepared, kernel: &Kernel, mode: Mode) -> Result<(), String> {
        let (aligned, one) = (Placement::ALIGNED, Mode { threads: 1, ..mode });
        match question {
            Question::Parity => {
                let outcome = self.run(p, kernel, mode, aligned)?;
                // Hostile integers are at the ends of their ranges, and may all end at one end of the result's.
                let saturates = p.problem.outputs(p.types).iter().any(|port| !port.dtype.is_float());
                let rightly = p.fill == Fill::Hostile && saturates;
                let doubtful = outcome.verdict == Verdict::Mistrusted && !rightly;
                match outcome.complaint(p) {
                    Some(complaint) => Err(complaint),
                    None if doubtful && p.problem.work(p.types).operations > 1e4 => {
                        Err("MISTRUSTED: the expected output is constant or nearly all zeros".into())
                    }
                    None => Ok(()),
                }
            }
            Question::Threads => {
                let alone = self.bits(p, kernel, one, aligned)?;
                let costly = p.problem.work(p.types).cost() > COSTLY;
                for &threads in if costly { &SAME_BITS_COSTLY[..] } else { &SAME_BITS[..] } {
                    if kernel.is_foreign() {
                        self.right(p, kernel, Mode { threads, ..mode }, aligned)?;
                        continue;
                    }
                    let several = self.bits(p, kernel, Mode { threads, ..mode }, aligned)?;
                    same(&alone, &several, || format!("1 and {threads} threads"))?;
                }
                Ok(())
            }
            Question::Repeat => {
                let first = self.bits(p, kernel, mode, aligned)?;
                same(&first, &self.bits(p, kernel, mode, aligned)?, || "two runs".into())
            }
            Question::Alignment => {
                let first = self.bits(p, kernel, one, aligned)?;
                for offset_bytes in [4, 8, 12, 20, 32, 36, 60] {
                    let at = Placement { offset_bytes, guard: Guard::Zones };
                    same(&first, &self.bits(p, kernel, one, at)?, || format!("offsets 0 and {offset_bytes} bytes"))?;
                }
                Ok(())
            }
            Question::Pages => {
                let plain = self.bits(p, kernel, one, aligned)?;
                for guard in [Guard::PageBehind, Guard::PageBefore] {
                    for mode in [one, Mode { threads: 2, ..mode }] {
                        let at = Placement { offset_bytes: 0, guard };
                        if kernel.is_foreign() {
                            self.right(p, kernel, mode, at)?;
                            continue;
                        }
                        same(&plain, &self.bits(p, kernel, mode, at)?, || format!("{guard:?} and zones"))?;
                    }
                }
                Ok(())
            }
            Question::Canonical => {
                let Some(standard) = self.standard.filter(|_| kernel.canonical) else { return Ok(()) };
                if standard.applies(&*p.problem, p.types).is_err() {
                    return Ok(());
                }
                let want = self.bits(p, standard, one, aligned)?;
                same(&want, &self.bits(p, kernel, mode, aligned)?, || format!("{} and {}", standard.name, kernel.name))
            }
            Question::Batch => self.batch(p, kernel, one),
            Question::ShortBuffer => self.short_buffers(p, kernel, one),
        }
    }

    /// Each item of the batch alone gets the bits that it has in the batch.
    fn batch(&self, p: &Prepared, kernel: &Kernel, one: Mode) -> Result<(), String> {
        let Some(axis) = p.operator.batch else { return Ok(()) };
        let batch = p.point.get(axis) as usize;
        let whole = self.outputs(p, kernel, one, Placement::ALIGNED)?;
        let point = p.point.clone().with(axis, 1);
        let problem: Arc<dyn Problem> = p.operator.problem(&point).map_err(|e| e.to_string())?.into();
        for item in 0..batch {
            let inputs = (p.problem.inputs(p.types).iter().zip(&p.inputs))
                .zip(problem.inputs(p.types))
                .map(|((full, data), one)| {
                    let mut out = Fill::Real.make(std::slice::from_ref(&one), 0).remove(0);
                    scatter(&one.layout, &part(&gather(&full.layout, data), &one.layout.shape, item), &mut out);
                    out
                })
                .collect();
            let alone = Prepared::with_inputs(p.operator, &point, p.types, p.fill, p.seed, problem.clone(), inputs);
            let alone_outputs = self.outputs(&alone, kernel, one, Placement::ALIGNED)?;
            let ports = p.problem.outputs(p.types).into_iter().zip(problem.outputs(p.types));
            for ((full, one), (all, alone)) in ports.zip(whole.iter().zip(&alone_outputs)) {
                let all = part(&gather(&full.layout, all), &one.layout.shape, item);
                let alone = gather(&one.layout, alone);
                let equal = all.iter().zip(&alone).all(|(x, y)| x.to_bits() == y.to_bits() || x.is_nan() && y.is_nan());
                if !equal {
                    return Err(format!("output {}: item {item} of the batch differs from the item alone", one.name));
                }
            }
        }
        Ok(())
    }

    /// Each operand that has elements, one element shorter: an error that names it, not a panic and not an access. An
    /// input that kernels do not read, empty: the same bits.
    fn short_buffers(&self, p: &Prepared, kernel: &Kernel, one: Mode) -> Result<(), String> {
        let ports = p.problem.outputs(p.types);
        let unread = unread(&*p.problem, p.types);
        let names: Vec<&str> = p.problem.inputs(p.types).iter().chain(&ports).map(|port| port.name).collect();
        let outputs = super::initial_outputs(&*p.problem, p.types, &p.inputs);
        let whole: Vec<Data> = p.inputs.iter().chain(&outputs).cloned().collect();
        for short in (0..whole.len()).filter(|&operand| !whole[operand].is_empty()) {
            let mut operands = whole.clone();
            let needed = whole[short].len();
            let found = if unread.contains(&short) { 0 } else { needed - 1 };
            operands[short] = Data::from_f64(whole[short].dtype(), &whole[short].to_f64()[..found]);
            let (inputs, outputs) = operands.split_at_mut(p.inputs.len());
            let result = self.call(p, kernel, one, inputs, outputs);
            if unread.contains(&short) {
                result.map_err(|e| format!("{} is not read and not given: {e}", names[short]))?;
                let expected = self.bits(p, kernel, one, Placement::ALIGNED)?;
                let got: Vec<_> = outputs.iter().map(|output| output.bits()).collect();
                same(&expected, &got, || format!("calls with and without {}, which is not read,", names[short]))?;
            } else if result != Err(KernelError::TooShort { operand: names[short], found, needed }) {
                return Err(format!("{} is one element too short, and the answer is {result:?}", names[short]));
            }
        }
        Ok(())
    }

    /// A call in plain memory.
    fn call(
        &self,
        p: &Prepared,
        kernel: &Kernel,
        mode: Mode,
        inputs: &[Data],
        outputs: &mut [Data],
    ) -> Result<(), KernelError> {
        let signature = Signature::new(&*p.problem, p.types);
        let inputs: Vec<_> = inputs.iter().map(Data::as_slice).collect();
        let mut outputs: Vec<_> = outputs.iter_mut().map(Data::as_mut).collect();
        let plan = signature.plan(kernel, &inputs)?;
        let (mut pools, mut workspace) = (self.pools.borrow_mut(), self.workspace.borrow_mut());
        let pool = pools.get(mode.threads, mode.eager);
        (kernel.run)(&mut signature.call(&inputs, &mut outputs, pool, &mut workspace, plan.as_ref())?)
    }
}

/// Item `item` along the dimension in which the array is longer than `shape`; the whole array if there is none.
fn part(array: &ndarray::ArrayD<f64>, shape: &[usize], item: usize) -> ndarray::ArrayD<f64> {
    let mut view = array.view();
    if let Some(dimension) = (0..shape.len()).find(|&d| array.shape()[d] != shape[d]) {
        view.slice_axis_inplace(ndarray::Axis(dimension), ndarray::Slice::from(item..item + 1));
    }
    view.to_owned()
}

fn same(a: &[Vec<u64>], b: &[Vec<u64>], who: impl Fn() -> String) -> Result<(), String> {
    for (output, (x, y)) in a.iter().zip(b).enumerate() {
        if let Some(at) = (0..x.len()).find(|&i| x[i] != y[i]) {
            return Err(format!("{} differ in the bits of output {output} at element {at}", who()));
        }
    }
    Ok(())
}

/// Draws cases for `kernel` and asks `questions` of them. Returns the number of cases that ran.
///
/// # Errors
/// The first failure, shrunk; or the first question for which no case could be drawn.
pub fn examine(
    operator: &'static Operator,
    kernel: &Kernel,
    types: Types,
    questions: &[Question],
    extent: Extent,
    standard: Option<&'static Kernel>,
) -> Result<u32, Box<Rejection>> {
    let bench = Bench::new(standard);
    let supports = |problem: &dyn Problem| kernel.applies(problem, types).is_ok();
    let mut drawing = Drawing::new(operator, kernel, types, &supports, extent.seed);
    let mut ran = 0;
    for &question in questions.iter().filter(|&&question| bench.can_ask(question, operator, kernel, types)) {
        let mut quota = Quota { cost: extent.cost, ..Quota::of(question, extent.cases) };
        if !extent.large {
            (quota.large, quota.far_cost) = (0, extent.cost);
        }
        let cases = drawing.cases(question, &quota);
        if cases.is_empty() {
            let detail = format!("{}/{}/{types}: no case was executed", operator.name, kernel.name);
            return Err(Box::new(Rejection { question, case: None, detail }));
        }
        let complaint = |case: &Case| examine_case(&bench, operator, kernel, question, case).err();
        for case in cases {
            if let Some(first) = complaint(&case) {
                let case = smallest(case, TRIALS, |case| complaint(case).is_some());
                let detail = complaint(&case).unwrap_or(first);
                return Err(Box::new(Rejection { question, case: Some(case), detail }));
            }
            ran += 1;
        }
    }
    Ok(ran)
}

/// Steps that shrinking tries at most.
const TRIALS: usize = 400;

/// One question of one case; a case that is no problem, or none for the kernel, has nothing to complain of. A panic is a
/// complaint.
fn examine_case(
    bench: &Bench,
    operator: &'static Operator,
    kernel: &Kernel,
    question: Question,
    case: &Case,
) -> Result<(), String> {
    let Ok(problem) = operator.problem(&case.point) else { return Ok(()) };
    if kernel.applies(&*problem, case.types).is_err() {
        return Ok(());
    }
    let prepared = Prepared::new(operator, &case.point, case.types, case.fill, case.seed).map_err(|e| e.to_string())?;
    let asked = panic::catch_unwind(AssertUnwindSafe(|| bench.ask(question, &prepared, kernel, Mode::of(case))));
    asked.unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<&str>().copied().map(str::to_owned);
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Err(format!("panics: {}", text.unwrap_or_else(|| "(no text)".into())))
    })
}
