//! The numerical gate: kernels × dtypes × fills × points against the reference, with libtorch as witness.

use std::sync::Arc;

use anyhow::{Context, Result};
use etalon_kernels::check::{Placement, Pools, Prepared};
use etalon_kernels::kernel::Kernel;
use etalon_kernels::pool::Pool;
use etalon_kernels::registry::{self, Entry};
use etalon_kernels::workspace::Workspace;
use etalon_reference::compare::Verdict;
use etalon_reference::{Case, DType, Fill, Point, strategy};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde::Serialize;

/// Operations of a drawn problem at most.
const FLOPS: f64 = 4e6;

/// A row of the gate's answer.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Case id; runs alone as a filter.
    pub id: String,
    /// Operator.
    pub op: String,
    /// Kernel.
    pub kernel: String,
    /// Element type.
    pub dtype: String,
    /// Fill.
    pub fill: String,
    /// Instruction set.
    pub isa: String,
    /// Threads.
    pub threads: usize,
    /// `ok`, `skipped`, `mistrusted` or `failed`.
    pub status: String,
    /// Why, unless `ok`.
    pub reason: Option<String>,
    /// Largest absolute error of the output with the least headroom.
    pub error: Option<f64>,
    /// Bound where the headroom is least.
    pub bound: Option<f64>,
    /// Observed error / bound there.
    pub headroom: Option<f64>,
    /// libtorch's largest absolute error to the reference.
    pub libtorch_error: Option<f64>,
    /// What the witness says: `agrees`, `differs: …`, or why it was not asked.
    pub witness: String,
}

/// The cases to run.
pub struct Gate {
    cases: Vec<Case>,
}

impl Gate {
    /// The cases whose `operator/kernel/dtype` contains the filter, or the one that the filter is.
    ///
    /// # Errors
    /// If the filter looks like a case id and is none.
    pub fn new(filter: &str, cases: u32, seed: u64) -> Result<Gate> {
        if filter.contains('#') {
            let case = Case::parse(filter, &registry::operators())?;
            return Ok(Gate { cases: vec![case] });
        }
        let mut all = Vec::new();
        for entry in registry::ALL {
            // The same problems for every kernel, so that rows can be compared.
            for (dtype, fill, points) in draw(entry, cases, seed) {
                for kernel in entry.kernels.iter().filter(|k| k.dtypes.contains(&dtype)) {
                    if !format!("{}/{}/{dtype}", entry.operator.name(), kernel.name).contains(filter) {
                        continue;
                    }
                    for (index, (point, seed)) in points.iter().enumerate() {
                        all.push(Case {
                            op: entry.operator.name().into(),
                            kernel: kernel.name.into(),
                            dtype,
                            point: point.clone(),
                            threads: 1 + index % 2,
                            eager: index % 4 < 2,
                            fill,
                            seed: *seed,
                        });
                    }
                }
            }
        }
        Ok(Gate { cases: all })
    }

    /// Number of cases.
    pub fn len(&self) -> usize {
        self.cases.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    /// The case ids.
    pub fn cases(&self) -> impl Iterator<Item = &Case> {
        self.cases.iter()
    }

    /// Runs them one by one.
    pub fn rows(&self) -> impl Iterator<Item = Row> {
        let mut workspace = Workspace::new();
        let mut pools = Pools::new();
        self.cases.iter().map(move |case| judge(case, pools.get(case.threads, case.eager), &mut workspace))
    }
}

type Drawn = (DType, Fill, Vec<(Point, u64)>);

fn draw(entry: &Entry, cases: u32, seed: u64) -> Vec<Drawn> {
    let mut all = Vec::new();
    for &dtype in entry.operator.dtypes() {
        for fill in Fill::ALL {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&seed.to_le_bytes());
            bytes[8] = fill as u8;
            let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
            let mut runner = TestRunner::new_with_rng(Config { failure_persistence: None, ..Config::default() }, rng);
            let drawing = (strategy::problems(entry.operator, FLOPS), 0u64..1 << 32);
            let points = (0..cases)
                .filter_map(|_| drawing.new_tree(&mut runner).ok())
                .map(|tree| tree.current())
                .map(|((point, _), seed)| (point, seed))
                .collect();
            all.push((dtype, fill, points));
        }
    }
    all
}

fn judge(case: &Case, pool: &Pool, workspace: &mut Workspace) -> Row {
    let mut row = Row {
        id: case.to_string(),
        op: case.op.clone(),
        kernel: case.kernel.clone(),
        dtype: case.dtype.to_string(),
        fill: case.fill.to_string(),
        isa: String::new(),
        threads: case.threads,
        status: "failed".into(),
        reason: None,
        error: None,
        bound: None,
        headroom: None,
        libtorch_error: None,
        witness: "not asked".into(),
    };
    let result = run(case, pool, workspace, &mut row);
    if let Err(error) = result {
        row.reason = Some(format!("{error:#}"));
    }
    row
}

fn run(case: &Case, pool: &Pool, workspace: &mut Workspace, row: &mut Row) -> Result<()> {
    let entry = registry::find(&case.op).context("the operator is not in the registry")?;
    let kernel: &Kernel = entry.kernel(&case.kernel).with_context(|| {
        let known: Vec<&str> = entry.kernels.iter().map(|k| k.name).collect();
        format!("unknown kernel `{}`: expected {}", case.kernel, known.join(", "))
    })?;
    row.isa = kernel.isa.name().into();
    let problem = entry.operator.problem(&case.point)?;
    if let Err(reason) = kernel.applies(&*problem, case.dtype) {
        (row.status, row.reason) = ("skipped".into(), Some(reason));
        return Ok(());
    }
    let inputs = case.fill.make(&problem.inputs(case.dtype), case.seed);
    let prepared = Prepared::with_inputs(
        entry.operator,
        &case.point,
        case.dtype,
        case.fill,
        case.seed,
        Arc::from(problem),
        inputs,
    );
    let outcome = prepared.run(kernel, pool, workspace, Placement::ALIGNED)?;
    if let Some((_, worst)) = outcome.worst() {
        row.error = Some(worst.max_abs);
        row.bound = worst.bound.is_finite().then_some(worst.bound);
        row.headroom = worst.headroom.is_finite().then_some(worst.headroom);
    }
    match outcome.verdict {
        Verdict::Pass => row.status = "ok".into(),
        Verdict::Mistrusted => {
            (row.status, row.reason) =
                ("mistrusted".into(), Some("the expected output is constant or nearly all zeros".into()));
        }
        Verdict::Fail => row.reason = outcome.complaint(&prepared),
    }
    #[cfg(feature = "libtorch")]
    witness(&prepared, kernel, &outcome, row);
    Ok(())
}

/// Asks libtorch for the same problem. f32 and f64 must also be within its own table of tolerances of ours where the derived
/// bound is not the wider one.
#[cfg(feature = "libtorch")]
fn witness(prepared: &Prepared, kernel: &Kernel, outcome: &etalon_kernels::check::Outcome, row: &mut Row) {
    use etalon_reference::compare::compare;
    use etalon_reference::{Tolerance, gather, torch};
    if prepared.fill == Fill::Hostile {
        row.witness = "not asked: libtorch states no rule for these values".into();
        return;
    }
    let theirs = match torch::outputs(prepared.operator, &*prepared.problem, prepared.dtype, &prepared.inputs) {
        Ok(theirs) => theirs,
        Err(reason) => {
            row.witness = format!("no answer: {reason}");
            return;
        }
    };
    let (rtol, atol) = match prepared.dtype {
        DType::F64 => (1e-7, 1e-7),
        _ => (1.3e-6, 1e-5),
    };
    let ports = prepared.problem.outputs(prepared.dtype);
    let tolerances = prepared.tolerances_of(kernel);
    let (mut error, mut complaint) = (0.0f64, None);
    for (i, (port, theirs)) in ports.iter().zip(&theirs).enumerate() {
        let exact = Tolerance::Exact;
        error = error.max(compare(port.dtype, &prepared.expected()[i], &exact, theirs).max_abs);
        let ours = gather(&port.layout, &outcome.outputs[i]);
        for (index, (x, y)) in ours.iter().zip(theirs.iter()).enumerate() {
            let bound = match &tolerances[i] {
                Tolerance::Exact => 0.0,
                // Both are within the bound of the reference.
                Tolerance::Bound { bound, .. } => 2.0 * bound.iter().nth(index).copied().unwrap_or(0.0),
            };
            let allowed = (atol + rtol * y.abs()).max(bound);
            if (x - y).abs() > allowed && complaint.is_none() {
                complaint =
                    Some(format!("{}[{index}] is {x:e}, libtorch's {y:e}, more than {allowed:e} apart", port.name));
            }
        }
    }
    row.libtorch_error = Some(error);
    row.witness = complaint.map_or("agrees".into(), |c| format!("differs: {c}"));
    if row.witness.starts_with("differs") && row.status == "ok" {
        row.status = "failed".into();
        row.reason = Some(row.witness.clone());
    }
}
