//! `etalon-report`: HTML from records.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use etalon_reports::load::Run;
use etalon_reports::{page, splice};

/// Writes a report from record files: one folder that opens offline.
#[derive(Parser)]
#[command(name = "report")]
struct Arguments {
    /// Record files or folders with records and environments
    #[arg(default_value = "target/etalon/latest")]
    records: Vec<PathBuf>,
    /// Folder of the report; by default `report` beside the first records
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Replace the table of results between the markers of this Markdown file instead
    #[arg(long, value_name = "FILE")]
    splice: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let run = Run::read(&arguments.records)?;
    if let Some(file) = &arguments.splice {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let text = splice::splice(&text, &run).with_context(|| {
            format!("{} has no `<!-- results:begin -->` and `<!-- results:end -->`", file.display())
        })?;
        std::fs::write(file, text).with_context(|| file.display().to_string())?;
        println!("{}", file.display());
        return Ok(());
    }
    let beside = || {
        let first = arguments.records.first().map(PathBuf::as_path).unwrap_or_else(|| "target/etalon/latest".as_ref());
        let folder = if first.is_dir() { first } else { first.parent().unwrap_or(first) };
        folder.join("report")
    };
    let out = arguments.output.clone().unwrap_or_else(beside);
    page::write(&run, &out)?;
    println!("{}", out.join("index.html").display());
    Ok(())
}
