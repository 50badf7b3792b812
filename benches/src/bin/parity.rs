//! `etalon-parity`: the numerical gate.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use etalon_benches::output::{self, Whole, line, note};
use etalon_benches::parity::{self, Manner, Question, Row, Selection};
use etalon_benches::worker::{self, Program};
use etalon_benches::{exit, from_user, inlining, progress, ready, told};
use etalon_reference::record::Status;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

/// Asks every kernel whether it agrees with the reference and libtorch, and gives the same bits for any number of threads, run,
/// alignment, level and batch, within its buffers.
///
/// Each failure prints one REPRO line. Kernels and libtorch run in processes of their own: what crashes or hangs there is a row,
/// and the run goes on.
#[derive(Parser)]
#[command(name = "parity", after_help = HELP)]
struct Arguments {
    /// Part of `operator/kernel/dtype`, or a whole case id, which is then asked all questions
    #[arg(default_value = "")]
    filter: String,
    /// Problems for each kernel, dtype and fill in the question `parity`; the other questions get fewer
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    cases: u32,
    /// Seed of the drawing
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The points of all workloads, once each, instead of drawn ones
    #[arg(long, conflicts_with_all = ["cases", "seed"])]
    workloads: bool,
    /// Stop at the first failure, without shrinking it
    #[arg(long)]
    fail_fast: bool,
    /// Seconds to find a smaller case for the first failure of each kernel; 0 for none
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    shrink: u64,
    /// Seconds that a kernel, or libtorch, may take for a case
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = seconds)]
    limit: f64,
    /// Cases at a time [default: the number of CPUs]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Start the processes through this program, which gets their command line as its arguments
    #[arg(long, value_name = "PROGRAM")]
    through: Option<PathBuf>,
    /// Write JUnit XML to this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write one JSON object a line to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write one JSON object for each kernel and question to this file; as checks.jsonl in the folder of a run, the report
    /// shows it
    #[arg(long, value_name = "FILE")]
    checks: Option<PathBuf>,
    /// Print what every operator is checked by, and what nothing covers, and run nothing
    #[arg(long)]
    coverage: bool,
    /// Print the case ids and run nothing
    #[arg(long)]
    list: bool,
}

const HELP: &str = "\
A filter is a part of operator/kernel/dtype: `gemm` selects gemm_backward, too, and `gemm/` does not; `/avx2/f32` selects
the kernels avx2 of all operators.

Exit codes: 0 fine; 1 a failure, or a kernel that a question could not be asked of; 2 usage, or nothing ran.";

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok().filter(|s| (0.01..=86_400.0).contains(s));
    seconds.ok_or_else(|| "expected a number of seconds from 0.01 to 86400".into())
}

fn main() -> ExitCode {
    worker::asked().unwrap_or_else(|| output::end(run(&Arguments::parse())))
}

fn run(arguments: &Arguments) -> Result<u8> {
    ready()?;
    if arguments.coverage {
        for row in parity::coverage(&arguments.filter)? {
            if !line(row)? {
                break;
            }
        }
        return Ok(exit::FINE);
    }
    // Of the whole gate, in the program that is timed: others are built with other options.
    if arguments.filter.is_empty() && !cfg!(any(debug_assertions, feature = "faults")) {
        inlining::check()?;
    }
    let selection = select(arguments)?;
    if selection.asks.is_empty() {
        left_out(&selection);
        note(format_args!("no case was executed: all that `{}` selects is skipped", arguments.filter));
        return Ok(exit::USAGE);
    }
    if arguments.list {
        return list(&selection);
    }
    let jobs = arguments.jobs.map(usize::from);
    let manner = Manner {
        jobs: jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
        limit: Duration::from_secs_f64(arguments.limit),
        program: Program { through: arguments.through.as_deref().map(program), ..Program::this()? },
        fail_fast: arguments.fail_fast,
    };
    let json = arguments.json.as_deref().map(|path| Whole::create(&from_user(path))).transpose()?;
    let checks = arguments.checks.as_deref().map(|path| Whole::create(&from_user(path))).transpose()?;
    let junit = arguments.junit.as_deref().map(|path| Whole::create(&from_user(path))).transpose()?;
    let mut rows = ask(&selection, &manner)?;
    if !arguments.fail_fast && arguments.shrink > 0 {
        shrink(&selection, &manner, Duration::from_secs(arguments.shrink), &mut rows);
    }
    if let Some(mut file) = json {
        rows.iter().try_for_each(|row| file.line(serde_json::to_string(row).expect("texts and numbers")))?;
        file.finish()?;
    }
    if let Some(mut file) = checks {
        let drawn = !arguments.workloads && !arguments.filter.contains('#');
        let checks = parity::checks(&rows, drawn.then_some(arguments.seed));
        checks.iter().try_for_each(|check| file.line(serde_json::to_string(check).expect("texts and numbers")))?;
        file.finish()?;
    }
    if let Some(mut file) = junit {
        file.line(report(&rows)?)?;
        file.finish()?;
    }
    summary(arguments, &selection, &rows)
}

/// A program by its name is looked for where programs are, one by its path where the user stands.
fn program(path: &Path) -> PathBuf {
    if path.components().count() > 1 { from_user(path) } else { path.to_path_buf() }
}

fn select(arguments: &Arguments) -> Result<Selection> {
    let filter = &arguments.filter;
    if filter.contains('#') {
        ensure!(!arguments.workloads, "`{filter}` is one case: --workloads takes a filter");
        Selection::of_case(filter)
    } else if arguments.workloads {
        Selection::workloads(filter)
    } else {
        Selection::drawn(filter, arguments.cases as usize, arguments.seed)
    }
}

fn list(selection: &Selection) -> Result<u8> {
    let mut listed = HashSet::new();
    for id in selection.asks.iter().map(|ask| ask.case.to_string()) {
        if listed.insert(id.clone()) && !line(id)? {
            break;
        }
    }
    Ok(exit::FINE)
}

fn left_out(selection: &Selection) {
    selection.left.iter().for_each(|left| note(format_args!("skipped: {}: {}", left.what, left.why)));
}

/// Asks everything, and tells failures as they come.
fn ask(selection: &Selection, manner: &Manner) -> Result<Vec<Row>> {
    let bar = progress(selection.asks.len() as u64, "parity");
    let (mut rows, mut minutes) = (Vec::new(), 0);
    parity::run(&selection.asks, manner, |row| {
        if row.status == Status::Failed {
            bar.suspend(|| tell("FAILED", &row));
        }
        rows.push(row);
        bar.inc(1);
        told(&bar, &mut minutes);
        Ok(true)
    })?;
    bar.finish_and_clear();
    Ok(rows)
}

fn tell(what: &str, row: &Row) {
    note(format_args!("{what} ({}) {}", row.question, row.reason.as_deref().unwrap_or("")));
    note(format_args!("REPRO: cargo xtask parity '{}'", row.id));
}

/// Shrinks the first failure of each kernel, as many at a time as there are workers.
fn shrink(selection: &Selection, manner: &Manner, time: Duration, rows: &mut [Row]) {
    let mut kernels = HashSet::new();
    let failed = |row: &Row| row.status == Status::Failed;
    let first: Vec<usize> = (0..rows.len())
        .filter(|&i| failed(&rows[i]) && kernels.insert((rows[i].op.clone(), rows[i].kernel.clone())))
        .collect();
    for together in first.chunks(manner.jobs) {
        let found: Vec<(usize, Option<Row>)> = std::thread::scope(|scope| {
            let shrink = |&i: &usize| {
                let ask = &selection.asks[i];
                (i, scope.spawn(move || parity::smallest(ask, manner, time)))
            };
            let running: Vec<_> = together.iter().map(shrink).collect();
            running.into_iter().map(|(i, thread)| (i, thread.join().ok().flatten())).collect()
        });
        for (i, smaller) in found {
            if let Some(smaller) = smaller {
                note(format_args!("smaller than '{}':", rows[i].id));
                tell("FAILED", &smaller);
                rows[i].smallest = Some(smaller.id);
            }
        }
    }
}

/// Prints what became of everything.
fn summary(arguments: &Arguments, selection: &Selection, rows: &[Row]) -> Result<u8> {
    left_out(selection);
    let count = |status: Status| rows.iter().filter(|row| row.status == status).count();
    let (failed, skipped) = (count(Status::Failed), count(Status::Skipped));
    let unasked = unasked(selection, rows);
    let stopped = arguments.fail_fast && failed > 0;
    if !stopped {
        for (path, questions) in &unasked {
            let questions: Vec<String> = questions.iter().map(|question| parity::name(*question)).collect();
            note(format_args!("FAILED {path}: no case was executed for {}", questions.join(", ")));
        }
    }
    line(format_args!(
        "parity: {} passed, {failed} failed, {} mistrusted, {skipped} skipped",
        count(Status::Ok),
        count(Status::Mistrusted)
    ))?;
    if let Some(told) = witnessed(rows) {
        line(told)?;
    }
    if stopped {
        note("stopped at the first failure");
    }
    Ok(if rows.iter().all(|row| !row.executed()) && failed == 0 && unasked.is_empty() {
        note(format_args!("no case was executed: all that `{}` selects is skipped", arguments.filter));
        exit::USAGE
    } else if failed > 0 || !unasked.is_empty() {
        exit::FAILURE
    } else {
        exit::FINE
    })
}

/// Kernels with the questions of which no case was executed, though they promise one.
fn unasked(selection: &Selection, rows: &[Row]) -> BTreeMap<String, Vec<Question>> {
    let executed: HashSet<(String, &str)> = (rows.iter().filter(|row| row.executed()))
        .map(|row| (format!("{}/{}/{}", row.op, row.kernel, row.dtype), row.question.as_str()))
        .collect();
    let mut unasked: BTreeMap<String, Vec<Question>> = BTreeMap::new();
    for (path, question) in &selection.promised {
        if !executed.contains(&(path.clone(), parity::name(*question).as_str())) {
            unasked.entry(path.clone()).or_default().push(*question);
        }
    }
    unasked
}

/// What the witness said, by count; nothing if it was never asked.
fn witnessed(rows: &[Row]) -> Option<String> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    rows.iter().for_each(|row| *counts.entry(parity::word(row)).or_default() += 1);
    let of = |what: &str| counts.get(what).copied().unwrap_or(0);
    let told = [("agrees", of("agrees")), ("differs", of("differs")), ("gives no answer", of("no answer"))];
    let ends = [("crashed", of("crashed")), ("timed out", of("timed out"))];
    let told: Vec<String> =
        (told.iter().chain(&ends)).filter(|(_, n)| *n > 0).map(|(what, n)| format!("{what} {n}×")).collect();
    (!told.is_empty()).then(|| format!("libtorch {}", told.join(", ")))
}

fn report(rows: &[Row]) -> Result<String> {
    let mut suite = TestSuite::new("parity");
    suite.add_test_cases(rows.iter().map(test_case));
    let mut report = Report::new("etalon");
    report.add_test_suite(suite);
    Ok(report.to_string()?)
}

fn test_case(row: &Row) -> TestCase {
    let reason = row.reason.clone().unwrap_or_default();
    let status = match row.status {
        Status::Ok => TestCaseStatus::success(),
        Status::Skipped | Status::Mistrusted => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(reason);
            status
        }
        Status::Failed => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(format!("{reason}\nREPRO: cargo xtask parity '{}'", row.id));
            status
        }
    };
    TestCase::new(format!("{} {}", row.question, row.id), status)
}
