//! Freezes libtorch's answers into `golden/`: `cargo xtask golden`.
//!
//! For each operator a fixed sequence of points is drawn from its axes, with sizes halved until the outputs are small, and
//! libtorch is asked. An answer outside the operator's own tolerance is not frozen: the program fails.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::{fs, io};

use etalon_reference::axis::Kind;
use etalon_reference::compare::Verdict;
use etalon_reference::golden::{self, Golden, Header, SCHEMA_VERSION};
use etalon_reference::torch::{self, about, deviations};
use etalon_reference::{Case, Fill, Operator, Point, Problem, Types, Witness, arrays, ops};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Cases for each operator at least: each of its types has one of either fill.
const CASES: usize = 12;
/// Elements of all outputs of a case at most.
const ELEMENTS: usize = 48;
/// And at least.
const FEW: usize = 4;
/// Operations of a case at most.
const FLOPS: f64 = 1e6;

fn main() -> ExitCode {
    match write_all() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "etalon-golden: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write_all() -> Result<(), Box<dyn Error>> {
    torch::set_threads(1);
    let header = Header {
        schema_version: SCHEMA_VERSION,
        libtorch: about::VERSION.into(),
        command: "cargo xtask golden".into(),
    };
    fs::create_dir_all(golden::folder())?;
    for operator in ops::ALL.iter().filter(|operator| operator.witness == Witness::Libtorch) {
        let cases = answers(operator)?;
        let path = golden::folder().join(format!("{}.jsonl", operator.name));
        let text = golden::write(&header, &cases);
        fs::write(&path, &text)?;
        // Who reads this is not asked: the files are what counts.
        let _ = writeln!(io::stdout(), "{}: {} cases, {} bytes", path.display(), cases.len(), text.len());
    }
    Ok(())
}

/// Dtypes and fills in turn, each with a point and a seed of its own; of a family, all members in turn.
fn answers(operator: &'static Operator) -> Result<Vec<Golden>, Box<dyn Error>> {
    let mut rng = ChaCha8Rng::seed_from_u64(2_130);
    let mut cases: Vec<Golden> = Vec::new();
    let family = operator.axes.iter().find(|axis| axis.variant);
    let members = family.map_or(1, |axis| match axis.kind {
        Kind::Choice(names) => names.len(),
        Kind::Int { .. } => 1,
    });
    while cases.len() < CASES.max(members).max(2 * operator.types.len()) {
        let turn = cases.len();
        let member = family.map(|axis| (axis.name, (turn % members) as i64));
        let types = operator.types[(turn / 2) % operator.types.len()];
        let fill = [Fill::Real, Fill::Exact][turn % 2];
        let seed = 100 + turn as u64;
        let Some((point, problem)) = small_problem(operator, types, member, &mut rng) else { continue };
        let inputs = problem.draw(types, fill, seed);
        let known = deviations::known(operator.name, &*problem, &inputs).is_some();
        if known || problem.degenerate() || cases.iter().any(|golden| golden.case.point == point) {
            continue;
        }
        let (op, kernel) = (operator.name.into(), "libtorch".into());
        let case = Case { op, kernel, types, point, threads: 1, eager: false, fill, seed };
        let outputs =
            torch::outputs(operator, &*problem, types, &inputs).map_err(|error| format!("{case}: {error}"))?;
        let golden = Golden { case, outputs };
        agree(&golden, &*problem)?;
        cases.push(golden);
    }
    Ok(cases)
}

/// The next drawn point, made small; `None` if it makes no problem that is worth an answer.
fn small_problem(
    operator: &Operator,
    types: Types,
    member: Option<(&str, i64)>,
    rng: &mut ChaCha8Rng,
) -> Option<(Point, Box<dyn Problem>)> {
    let mut bytes = [0; 64];
    rng.fill_bytes(&mut bytes);
    let mut point = Point::decode(operator.axes, &bytes, false);
    for axis in operator.axes.iter().filter(|axis| matches!(axis.kind, Kind::Choice(_))) {
        // Many unusual choices at once hide each other.
        if rng.next_u64() & 1 == 0 {
            point = point.with(axis.name, axis.default);
        }
    }
    point = member.map_or(point.clone(), |(axis, member)| point.with(axis, member));
    let sizes: Vec<_> = operator.axes.iter().filter(|axis| matches!(axis.kind, Kind::Int { .. })).collect();
    for _ in 0..64 {
        let problem = operator.problem(&point).ok()?;
        let elements: usize = problem.outputs(types).iter().map(|port| port.layout.len()).sum();
        if elements <= ELEMENTS && problem.work(types).operations <= FLOPS {
            return (elements >= FEW).then_some((point, problem));
        }
        let axis = sizes[rng.next_u64() as usize % sizes.len()].name;
        point = point.clone().with(axis, (point.get(axis) + 1) / 2);
    }
    None
}

/// The reference agrees with the answer.
fn agree(golden: &Golden, problem: &dyn Problem) -> Result<(), String> {
    let (types, fill) = (golden.case.types, golden.case.fill);
    let inputs = arrays(&problem.inputs(types), &golden.inputs(problem));
    let expected = problem.reference(&inputs);
    let tolerances = problem.witness_tolerance(types, fill, &inputs, &expected);
    for found in problem.judge(types, &inputs, &expected, &tolerances, &golden.outputs) {
        if found.verdict == Verdict::Fail {
            return Err(format!("{}: libtorch does not agree: {found:?}", golden.case));
        }
    }
    Ok(())
}
