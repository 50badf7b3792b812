//! `etalon-report`: HTML from records.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use etalon_reports::load::Run;
use etalon_reports::output::{self, for_user, from_user, line, note};
use etalon_reports::{keep, latest, page, splice};

/// Writes a report from record files: one folder that opens offline.
#[derive(Parser)]
#[command(name = "report")]
struct Arguments {
    /// Record files or folders with records and environments; by default the newest finished run in target/etalon
    records: Vec<PathBuf>,
    /// Folder of the report; by default `report` beside the first records
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Replace the table of results between the markers of this Markdown file instead
    #[arg(long, value_name = "FILE")]
    splice: Option<PathBuf>,
    /// Keep the run in this folder instead: its records, compressed, and every case as Markdown
    #[arg(long, value_name = "DIR", conflicts_with = "splice")]
    keep: Option<PathBuf>,
}

fn main() -> ExitCode {
    output::end(run(&Arguments::parse()).map(|()| 0))
}

/// Where runs lie, below the root.
const RUNS: &str = "target/etalon";

fn run(arguments: &Arguments) -> Result<()> {
    let inputs = match &arguments.records[..] {
        [] => vec![newest()?],
        named => named.iter().map(|path| from_user(path)).collect(),
    };
    let run = Run::read(&inputs)?;
    for (id, complaint) in &run.unusable {
        note(format_args!("note: {id}: {complaint}"));
    }
    if let Some(file) = &arguments.splice {
        let file = &from_user(file);
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let text = splice::splice(&text, &run).with_context(|| {
            format!("{} has no `<!-- results:begin -->` and `<!-- results:end -->`", file.display())
        })?;
        output::save(file, text.as_bytes())?;
        line(for_user(file).display())?;
        return Ok(());
    }
    if let Some(folder) = &arguments.keep {
        let folder = from_user(folder);
        keep::keep(&run, &folder)?;
        line(for_user(&folder.join("RESULTS.md")).display())?;
        return Ok(());
    }
    let beside = || {
        let first = &inputs[0];
        let folder = if first.is_dir() { first } else { first.parent().unwrap_or(first) };
        folder.join("report")
    };
    let out = arguments.output.as_deref().map_or_else(beside, from_user);
    page::write(&run, &out)?;
    line(for_user(&out.join("index.html")).display())?;
    Ok(())
}

/// The run that is taken when none is named, which is said, as is a newer one.
fn newest() -> Result<PathBuf> {
    let latest = latest::find(RUNS.as_ref())?;
    note(format_args!("report of {}", for_user(&latest.run).display()));
    if let Some(newer) = latest.newer {
        let newer = for_user(&newer);
        note(format_args!(
            "note: a newer run has not come to its end: `cargo xtask report {}` tells of it",
            newer.display()
        ));
    }
    Ok(latest.run)
}
