//! `etalon-parity`: the numerical gate.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use etalon_benches::parity::{Gate, Row};
use etalon_benches::{exit, progress, verify_symbols};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

/// Holds kernels × dtypes × fills × points against the reference and libtorch; each failure prints one REPRO line.
#[derive(Parser)]
#[command(name = "parity")]
struct Arguments {
    /// Part of `operator/kernel/dtype`, or a whole case id, which then runs alone
    #[arg(default_value = "")]
    filter: String,
    /// Problems for each kernel, dtype and fill
    #[arg(long, default_value_t = 32)]
    cases: u32,
    /// Seed of the drawing
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write JUnit XML to this file
    #[arg(long)]
    junit: Option<PathBuf>,
    /// Write one JSON object a line to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Print the case ids and run nothing
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(exit::USAGE)
        }
    }
}

fn run(arguments: &Arguments) -> Result<u8> {
    verify_symbols()?;
    let gate = Gate::new(&arguments.filter, arguments.cases, arguments.seed)?;
    if arguments.list {
        gate.cases().for_each(|case| println!("{case}"));
        return Ok(exit::FINE);
    }
    let mut json = arguments.json.as_ref().map(File::create).transpose().context("the JSON file")?;
    let mut suite = TestSuite::new("parity");
    let (mut passed, mut failed, mut skipped, mut mistrusted) = (0, 0, 0, 0);
    let bar = progress(gate.len() as u64, "parity");
    for row in gate.rows() {
        let name = row.id.clone();
        match row.status.as_str() {
            "ok" => passed += 1,
            "skipped" => skipped += 1,
            "mistrusted" => mistrusted += 1,
            _ => {
                failed += 1;
                bar.suspend(|| {
                    eprintln!("FAILED {}", row.reason.as_deref().unwrap_or(""));
                    eprintln!("REPRO: cargo xtask parity '{name}'");
                });
            }
        }
        if let Some(file) = json.as_mut() {
            writeln!(file, "{}", serde_json::to_string(&row)?).context("the JSON file")?;
        }
        if arguments.junit.is_some() {
            suite.add_test_case(test_case(&row));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if let Some(path) = &arguments.junit {
        let mut report = Report::new("etalon");
        report.add_test_suite(suite);
        let file = File::create(path).with_context(|| format!("{}", path.display()))?;
        report.serialize(file).context("the JUnit file")?;
    }
    println!("parity: {passed} passed, {failed} failed, {mistrusted} mistrusted, {skipped} skipped");
    Ok(match (passed, failed) {
        (_, 1..) => exit::FAILURE,
        (0, _) => {
            eprintln!("no case was executed: nothing contains `{}`", arguments.filter);
            exit::FAILURE
        }
        _ => exit::FINE,
    })
}

fn test_case(row: &Row) -> TestCase {
    let reason = row.reason.clone().unwrap_or_default();
    let status = match row.status.as_str() {
        "ok" => TestCaseStatus::success(),
        "skipped" | "mistrusted" => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(reason);
            status
        }
        _ => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(format!("{reason}\nREPRO: cargo xtask parity '{}'", row.id));
            status
        }
    };
    TestCase::new(row.id.clone(), status)
}
