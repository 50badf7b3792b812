//! One question, asked of one kernel on one case.

use std::cell::OnceCell;
use std::time::Duration;

use anyhow::{Context, Result};
use etalon_kernels::check::suite::{Bench, Mode, Question};
use etalon_kernels::check::{Outcome, Placement, Pools, Prepared};
use etalon_kernels::kernel::Kernel;
use etalon_kernels::registry;
use etalon_kernels::workspace::Workspace;
use etalon_reference::compare::{Verdict, compare};
use etalon_reference::record::Status;
use etalon_reference::{Case, DType, Fill, Tolerance, Witness as Independent, gather};
use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

use super::{Row, question};
use crate::witness::{Answer, Witness};
use crate::worker::Program;

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    /// Inputs, reference, tolerances.
    Reference,
    /// The kernel runs.
    Kernel,
    /// The witness is waited for.
    Witness,
}

/// Threads, memory and what was computed last, kept from case to case.
pub(super) struct Judge {
    witness: Option<Witness>,
    pools: Pools,
    workspace: Workspace,
    /// Of the operator that was asked last.
    bench: Option<(String, Bench)>,
    /// The problem that was asked last, by all that its inputs hang on.
    prepared: Option<(String, Prepared)>,
}

impl Judge {
    /// With a witness where libtorch is built in; each case may take it `limit`.
    pub fn new(program: Program, limit: Duration) -> Judge {
        let witness = cfg!(feature = "libtorch").then(|| Witness::new(program, limit));
        Judge { witness, pools: Pools::new(), workspace: Workspace::new(), bench: None, prepared: None }
    }

    /// Forgets all that a kernel that panicked may have left half done.
    pub fn reset(&mut self) {
        (self.pools, self.workspace, self.bench, self.prepared) = (Pools::new(), Workspace::new(), None, None);
    }

    /// Asks; `at` hears what is done next.
    pub fn row(&mut self, case: &Case, question: Question, at: &mut dyn FnMut(Stage)) -> Row {
        let mut row = Row::blank(case, question);
        if let Err(error) = self.ask(case, question, &mut row, at) {
            row.reason = Some(format!("{error:#}"));
        }
        row
    }

    fn ask(&mut self, case: &Case, question: Question, row: &mut Row, at: &mut dyn FnMut(Stage)) -> Result<()> {
        let entry = registry::find(&case.op).context("the operator is not in the registry")?;
        let kernel = entry.kernel(&case.kernel).context("no such kernel")?;
        let problem = entry.operator.problem(&case.point)?;
        if let Err(reason) = kernel.applies(&*problem, case.types) {
            (row.status, row.reason) = (Status::Skipped, Some(reason));
            return Ok(());
        }
        at(Stage::Reference);
        let has_twin = entry.operator.witness == Independent::Libtorch;
        let asked = question == Question::Parity && case.fill != Fill::Hostile && has_twin;
        if let Some(witness) = self.witness.as_mut().filter(|_| asked) {
            witness.begin(case);
        }
        let Case { point, types, fill, seed, .. } = case;
        let key = format!("{}/{types}/{point}/{fill}-{seed}", case.op);
        if self.prepared.as_ref().is_none_or(|(of, _)| *of != key) {
            self.prepared = None;
            self.prepared = Some((key, Prepared::new(entry.operator, point, *types, *fill, *seed)?));
        }
        let (_, prepared) = self.prepared.as_ref().expect("it was just made");
        if matches!(question, Question::Parity | Question::Pages) {
            // The reference, which is computed when it is first asked for.
            prepared.expected();
        }
        at(Stage::Kernel);
        if question != Question::Parity {
            if self.bench.as_ref().is_none_or(|(of, _)| *of != case.op) {
                self.bench = Some((case.op.clone(), Bench::new(question::standard(entry))));
            }
            let (_, bench) = self.bench.as_ref().expect("it was just made");
            match bench.ask(question, prepared, kernel, Mode::of(case)) {
                Ok(()) => row.status = Status::Ok,
                Err(complaint) => row.reason = Some(complaint),
            }
            return Ok(());
        }
        let pool = self.pools.get(case.threads, case.eager);
        let outcome = prepared.run(kernel, pool, &mut self.workspace, Placement::ALIGNED)?;
        if let Some((_, worst)) = outcome.worst() {
            row.error = Some(worst.max_abs);
            row.bound = worst.bound.is_finite().then_some(worst.bound);
            row.headroom = worst.headroom.is_finite().then_some(worst.headroom);
        }
        match outcome.verdict {
            Verdict::Pass => row.status = Status::Ok,
            Verdict::Mistrusted => {
                let why = "the expected output is constant or nearly all zeros";
                (row.status, row.reason) = (Status::Mistrusted, Some(why.into()));
            }
            Verdict::Fail => row.reason = outcome.complaint(prepared),
        }
        if !has_twin {
            row.witness = format!("not asked: the witness is {:?}", entry.operator.witness);
        } else if !asked {
            row.witness = "not asked: libtorch states no rule for these values".into();
        } else if let Some(witness) = &mut self.witness {
            at(Stage::Witness);
            testify(witness, case, prepared, kernel, &outcome, row);
        }
        Ok(())
    }
}

/// Holds the kernel's answer against libtorch's: within the bounds of both, or within libtorch's own table of tolerances for
/// f32 and f64 where that is wider.
fn testify(witness: &mut Witness, case: &Case, prepared: &Prepared, kernel: &Kernel, outcome: &Outcome, row: &mut Row) {
    let mut answer = witness.ask(case);
    if let Answer::Outputs(theirs) = &answer
        && difference(prepared, kernel, outcome, theirs).is_some()
    {
        // It may have spoilt its own memory in a case before.
        witness.restart();
        answer = witness.ask(case);
    }
    row.witness = match answer {
        Answer::Refused(reason) => format!("no answer: {reason}"),
        Answer::Crashed(how) => format!("crashed: {how}"),
        Answer::TimedOut(limit) => format!("timed out after {} s", limit.as_secs_f64()),
        Answer::Outputs(theirs) => {
            let ports = prepared.problem.outputs(prepared.types);
            let errors = ports.iter().zip(prepared.expected()).zip(&theirs);
            let error = errors.map(|((port, want), got)| compare(port.dtype, want, &Tolerance::Exact, got).max_abs);
            row.libtorch_error = Some(error.fold(0.0, f64::max));
            match difference(prepared, kernel, outcome, &theirs) {
                None => "agrees".into(),
                Some(difference) => format!("differs: {difference}"),
            }
        }
    };
    if row.witness.starts_with("differs") && row.status == Status::Ok {
        (row.status, row.reason) = (Status::Failed, Some(row.witness.clone()));
    }
}

/// libtorch's own table of tolerances, relative and absolute; integers are equal.
fn closeness(dtype: DType) -> (f64, f64) {
    match dtype {
        DType::F64 => (1e-7, 1e-7),
        DType::F32 => (1.3e-6, 1e-5),
        DType::F16 => (1e-3, 1e-5),
        DType::Bf16 => (1.6e-2, 1e-5),
        _ => (0.0, 0.0),
    }
}

/// The first element that is too far from libtorch's.
fn difference(prepared: &Prepared, kernel: &Kernel, outcome: &Outcome, theirs: &[ArrayD<f64>]) -> Option<String> {
    let slack = slack(prepared);
    let bound = |tolerances: &[Tolerance], output: usize, index: usize| match tolerances.get(output) {
        Some(Tolerance::Bound { bound, .. }) => bound.iter().nth(index).copied().unwrap_or(0.0),
        _ => 0.0,
    };
    let ports = prepared.problem.outputs(prepared.types);
    let own = prepared.tolerances_of(kernel);
    // Seldom needed: most elements are close.
    let loose = OnceCell::new();
    let loose = || {
        loose.get_or_init(|| {
            let Prepared { problem, types, fill, .. } = prepared;
            problem.witness_tolerance(*types, *fill, prepared.arrays(), prepared.expected())
        })
    };
    for (i, (port, theirs)) in ports.iter().zip(theirs).enumerate() {
        let ours = gather(&port.layout, &outcome.outputs[i]);
        let (rtol, atol) = closeness(port.dtype);
        for (index, (x, y)) in ours.iter().zip(theirs.iter()).enumerate() {
            if (x - y).abs() <= atol + rtol * y.abs() {
                continue;
            }
            // Each is within its bound of the reference.
            let allowed = bound(&own, i, index) + slack * bound(loose(), i, index);
            if (x - y).abs() > allowed.max(atol + rtol * y.abs()) {
                return Some(format!("{}[{index}] is {x:e}, libtorch's {y:e}, more than {allowed:e} apart", port.name));
            }
        }
    }
    None
}

/// How much wider libtorch's bounds are than the operator's.
#[cfg(feature = "libtorch")]
fn slack(prepared: &Prepared) -> f64 {
    etalon_reference::torch::slack(prepared.operator.name, &*prepared.problem)
}

#[cfg(not(feature = "libtorch"))]
fn slack(_: &Prepared) -> f64 {
    1.0
}
