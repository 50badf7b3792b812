//! Everything the project promises of a kernel, asked of one kernel over drawn problems.
//!
//! A failure is shrunk to a small problem and named by the question that it fails and by its case id.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use etalon_reference::compare::Verdict;
use etalon_reference::{Case, DType, Data, Fill, Operator, Point, Problem, gather, scatter, strategy};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use super::{Guard, Outcome, Placement, Prepared};
use crate::kernel::{Call, Kernel, KernelError};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// A question that every kernel must answer with yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Question {
    /// Does it agree with the reference, without touching what is not its own?
    Parity,
    /// Are the bits the same for 1, 2, 3, 4 and 7 threads?
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
    /// Does a buffer that is too short give an error?
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
    /// Problems for each question and fill.
    pub cases: u32,
    /// Operations of a problem at most.
    pub flops: f64,
    /// Seed of the drawing.
    pub seed: u64,
}

/// A kernel failed.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// The question.
    pub question: Question,
    /// The smallest case found.
    pub case: Case,
    /// What is wrong.
    pub detail: String,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}\nREPRO: cargo xtask parity '{}'", self.question, self.detail, self.case)
    }
}

/// Threads, workspace and the kernel that others are held against.
pub struct Bench {
    pools: Vec<Pool>,
    workspace: RefCell<Workspace>,
    /// First canonical kernel of the operator.
    standard: Option<&'static Kernel>,
}

impl Bench {
    /// With pools of 1, 2, 3, 4 and 7 threads.
    pub fn new(standard: Option<&'static Kernel>) -> Bench {
        Bench { pools: [1, 2, 3, 4, 7].map(Pool::eager).into(), workspace: RefCell::new(Workspace::new()), standard }
    }

    fn run(&self, p: &Prepared, kernel: &Kernel, pool: usize, at: Placement) -> Result<Outcome, String> {
        p.run(kernel, &self.pools[pool], &mut self.workspace.borrow_mut(), at).map_err(|e| e.to_string())
    }

    /// The outputs' bits, in plain memory.
    fn bits(&self, p: &Prepared, kernel: &Kernel, pool: usize, at: Placement) -> Result<Vec<Vec<u64>>, String> {
        Ok(self.run(p, kernel, pool, at)?.outputs.iter().map(Data::bits).collect())
    }

    /// Asks one question of one case.
    ///
    /// # Errors
    /// What is wrong.
    pub fn ask(&self, question: Question, p: &Prepared, kernel: &Kernel) -> Result<(), String> {
        let aligned = Placement::ALIGNED;
        match question {
            Question::Parity => {
                let outcome = self.run(p, kernel, (p.seed % 2) as usize, aligned)?;
                match outcome.complaint(p) {
                    Some(complaint) => Err(complaint),
                    None if outcome.verdict == Verdict::Mistrusted && p.problem.work(p.dtype).flops > 1e4 => {
                        Err("MISTRUSTED: the expected output is constant or nearly all zeros".into())
                    }
                    None => Ok(()),
                }
            }
            Question::Threads => {
                let one = self.bits(p, kernel, 0, aligned)?;
                for pool in 1..self.pools.len() {
                    let threads = self.pools[pool].threads();
                    same(&one, &self.bits(p, kernel, pool, aligned)?, || format!("1 and {threads} threads"))?;
                }
                Ok(())
            }
            Question::Repeat => {
                let first = self.bits(p, kernel, 1, aligned)?;
                same(&first, &self.bits(p, kernel, 1, aligned)?, || "two runs".into())
            }
            Question::Alignment => {
                let first = self.bits(p, kernel, 0, aligned)?;
                for offset_bytes in [4, 8, 12, 20, 32, 36, 60] {
                    let at = Placement { offset_bytes, guard: Guard::Zones };
                    same(&first, &self.bits(p, kernel, 0, at)?, || format!("offsets 0 and {offset_bytes} bytes"))?;
                }
                Ok(())
            }
            Question::Pages => {
                for guard in [Guard::PageBehind, Guard::PageBefore] {
                    for pool in 0..2 {
                        let outcome = self.run(p, kernel, pool, Placement { offset_bytes: 0, guard })?;
                        outcome.complaint(p).map_or(Ok(()), Err)?;
                    }
                }
                Ok(())
            }
            Question::Canonical => {
                let Some(standard) = self.standard.filter(|_| kernel.canonical) else { return Ok(()) };
                if standard.applies(&*p.problem, p.dtype).is_err() {
                    return Ok(());
                }
                let want = self.bits(p, standard, 0, aligned)?;
                same(&want, &self.bits(p, kernel, 0, aligned)?, || format!("{} and {}", standard.name, kernel.name))
            }
            Question::Batch => self.batch(p, kernel),
            Question::ShortBuffer => self.short_buffers(p, kernel),
        }
    }

    /// Each item of the batch alone gets the bits that it has in the batch.
    fn batch(&self, p: &Prepared, kernel: &Kernel) -> Result<(), String> {
        let Some(axis) = p.operator.batch_axis() else { return Ok(()) };
        let batch = p.point.get(axis) as usize;
        let whole = self.run(p, kernel, 0, Placement::ALIGNED)?;
        let point = p.point.clone().with(axis, 1);
        let problem: Arc<dyn Problem> = p.operator.problem(&point).map_err(|e| e.to_string())?.into();
        for item in 0..batch {
            let inputs = (p.problem.inputs(p.dtype).iter().zip(&p.inputs))
                .zip(problem.inputs(p.dtype))
                .map(|((full, data), one)| {
                    let mut out = Fill::Real.make(std::slice::from_ref(&one), 0).remove(0);
                    scatter(&one.layout, &part(&gather(&full.layout, data), &one.layout.shape, item), &mut out);
                    out
                })
                .collect();
            let alone = Prepared::with_inputs(p.operator, &point, p.dtype, p.fill, p.seed, problem.clone(), inputs);
            let alone_outputs = self.run(&alone, kernel, 0, Placement::ALIGNED)?.outputs;
            let ports = p.problem.outputs(p.dtype).into_iter().zip(problem.outputs(p.dtype));
            for ((full, one), (all, alone)) in ports.zip(whole.outputs.iter().zip(&alone_outputs)) {
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

    /// Each operand that has elements, one element shorter: an error, not a panic and not an access.
    fn short_buffers(&self, p: &Prepared, kernel: &Kernel) -> Result<(), String> {
        let outputs = super::initial_outputs(&*p.problem, p.dtype, &p.inputs);
        let lengths: Vec<usize> = p.inputs.iter().chain(&outputs).map(Data::len).collect();
        // An input that only initialises an output is not read by the kernel.
        let initial = p.problem.outputs(p.dtype).into_iter().filter_map(|port| match port.initial {
            etalon_reference::tensor::Initial::Input(input) => Some(input),
            etalon_reference::tensor::Initial::Poison => None,
        });
        let unread: Vec<usize> = initial.chain(p.problem.unread_inputs()).collect();
        for short in (0..lengths.len()).filter(|&i| lengths[i] > 0 && !unread.contains(&i)) {
            let cut = |data: &Data, index: usize| {
                let keep = data.len() - usize::from(index == short);
                Data::from_f64(data.dtype(), &data.to_f64()[..keep])
            };
            let inputs: Vec<Data> = p.inputs.iter().enumerate().map(|(i, d)| cut(d, i)).collect();
            let mut outputs: Vec<Data> = outputs.iter().enumerate().map(|(i, d)| cut(d, i + p.inputs.len())).collect();
            let slices: Vec<_> = inputs.iter().map(Data::as_slice).collect();
            let plan = match kernel.plan.map(|plan| plan(&*p.problem, p.dtype, &slices)).transpose() {
                Ok(plan) => plan,
                Err(_) => continue,
            };
            let result = (kernel.run)(&mut Call {
                problem: &*p.problem,
                dtype: p.dtype,
                inputs: &slices,
                outputs: &mut outputs.iter_mut().map(Data::as_mut).collect::<Vec<_>>(),
                pool: &self.pools[0],
                workspace: &mut self.workspace.borrow_mut(),
                plan: plan.as_ref(),
            });
            if !matches!(result, Err(KernelError::TooShort { .. })) {
                return Err(format!("operand {short} is one element too short, and the kernel answers {result:?}"));
            }
        }
        Ok(())
    }
}

/// Item `item` along the first dimension, or the whole array where `shape` is already its shape.
fn part(array: &ndarray::ArrayD<f64>, shape: &[usize], item: usize) -> ndarray::ArrayD<f64> {
    if array.shape() == shape {
        return array.clone();
    }
    let mut slice = array.view();
    slice.slice_axis_inplace(ndarray::Axis(0), ndarray::Slice::from(item..item + 1));
    slice.to_owned()
}

fn same(a: &[Vec<u64>], b: &[Vec<u64>], who: impl Fn() -> String) -> Result<(), String> {
    for (output, (x, y)) in a.iter().zip(b).enumerate() {
        if let Some(at) = (0..x.len()).find(|&i| x[i] != y[i]) {
            return Err(format!("{} differ in the bits of output {output} at element {at}", who()));
        }
    }
    Ok(())
}

/// Draws problems of `operator` and asks `questions` of `kernel`. Returns the number of cases that ran.
///
/// # Errors
/// The first failure, shrunk.
pub fn examine(
    operator: &'static dyn Operator,
    kernel: &Kernel,
    dtype: DType,
    questions: &[Question],
    extent: Extent,
    standard: Option<&'static Kernel>,
) -> Result<u32, Box<Rejection>> {
    let bench = Bench::new(standard);
    let mut ran = 0;
    for &question in questions {
        for fill in Fill::ALL {
            let ran_here = RefCell::new(0);
            let config = Config { cases: extent.cases, failure_persistence: None, ..Config::default() };
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&(extent.seed ^ (question as u64) << 32 ^ (fill as u64) << 40).to_le_bytes());
            let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
            let drawn = (strategy::problems(operator, extent.flops), 0u64..1 << 32);
            let result = runner.run(&drawn, |((point, problem), seed)| {
                if kernel.applies(&*problem, dtype).is_err() {
                    return Ok(());
                }
                let prepared = prepare(operator, &point, dtype, fill, seed)?;
                *ran_here.borrow_mut() += 1;
                bench.ask(question, &prepared, kernel).map_err(TestCaseError::fail)
            });
            match result {
                Ok(()) => ran += ran_here.into_inner(),
                Err(TestError::Fail(reason, ((point, _), seed))) => {
                    let threads = 1 + (seed % 2) as usize;
                    let case = Case {
                        op: operator.name().into(),
                        kernel: kernel.name.into(),
                        dtype,
                        point,
                        threads,
                        fill,
                        seed,
                    };
                    return Err(Box::new(Rejection { question, case, detail: reason.to_string() }));
                }
                Err(TestError::Abort(reason)) => panic!("no problems could be drawn: {reason}"),
            }
        }
    }
    Ok(ran)
}

fn prepare(
    operator: &'static dyn Operator,
    point: &Point,
    dtype: DType,
    fill: Fill,
    seed: u64,
) -> Result<Prepared, TestCaseError> {
    Prepared::new(operator, point, dtype, fill, seed).map_err(|e| TestCaseError::fail(e.to_string()))
}
