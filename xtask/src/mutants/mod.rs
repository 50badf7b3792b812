//! `mutants`: asks whether the checks find faults, by planting them.
//!
//! Two lists: our own faults, which lie in the kernels behind a feature (`kernels/src/faults.rs`), and a random sample of what
//! cargo-mutants makes of kernels and checks. The judge is the gate at its default budget, of the operators whose sources use
//! the file; mutants of the checks are also judged by the tests of the checks.
//!
//! All happens in a copy of the sources under `target/mutants/tree`. Results are appended to `reports/mutants/results.jsonl`,
//! so that a sample is gathered over several runs, and what they say is written to `reports/mutants`, and to METHODOLOGY.

mod faults;
mod figures;
mod gate;
mod generate;
mod results;
mod summary;
mod tree;
mod users;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use clap::Args;

use self::gate::{Found, Judge};
use self::generate::Mutant;
use self::results::{Outcome, Results, Set, Verdict};
use self::tree::{Build, Tree};
use crate::fault::FAILURE;
use crate::output;
use crate::process;
use crate::setup;
use crate::workspace::Workspace;

/// Arguments of `mutants`.
#[derive(Args)]
#[command(after_help = "\
Results are appended to reports/mutants/results.jsonl; a mutant that has a result is not judged again, so that a sample is
gathered over several runs. Its order depends on the seed alone. A survivor's reason is a line of reports/mutants/reasons.tsv:
its key, `equivalent` if it gives the same results for every input or else `missed`, and the reason, with tabs between them.

Exit codes: 0 every planted fault is found and every survivor has a reason; 1 otherwise; 4 set-up.

Examples:
  cargo xtask mutants --faults                  the planted faults
  cargo xtask mutants --sample --minutes 30     half an hour of the sample
  cargo xtask mutants winograd --faults         the planted faults with `winograd` in their names")]
pub struct Arguments {
    /// Only faults whose name contains this
    #[arg(default_value = "")]
    pub filter: String,
    /// Judge for about so many minutes; the first build and the gate without a fault come before
    #[arg(long)]
    pub minutes: Option<u64>,
    /// Seed of the sample's order
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Our own planted faults alone
    #[arg(long, conflicts_with = "sample")]
    pub faults: bool,
    /// The sample alone
    #[arg(long)]
    pub sample: bool,
    /// Of the sample, the mutants of kernels alone: a mutant of the checks takes minutes
    #[arg(long, requires = "sample")]
    pub kernels: bool,
    /// Judge again what has survived so far, and our own faults that have a result
    #[arg(long)]
    pub again: bool,
    /// Print what there is, in the order in which it is judged, and run nothing
    #[arg(long)]
    pub list: bool,
    /// Print and write the summary of the results there are, and run nothing
    #[arg(long, conflicts_with = "list")]
    pub summary: bool,
}

/// One thing that is wrong on purpose.
enum Wrong {
    Planted(faults::Planted),
    Mutant(Mutant),
}

impl Wrong {
    fn name(&self) -> &str {
        match self {
            Wrong::Planted(fault) => &fault.name,
            Wrong::Mutant(mutant) => &mutant.name,
        }
    }

    fn key(&self) -> &str {
        match self {
            Wrong::Planted(fault) => &fault.name,
            Wrong::Mutant(mutant) => &mutant.key,
        }
    }
}

/// Runs the command.
pub fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<u8> {
    let mut results = Results::read(workspace)?;
    let planted = faults::planted(workspace)?;
    if arguments.summary {
        return conclude(workspace, &results, &planted, &[]);
    }
    let mutants = if arguments.faults { Vec::new() } else { generate::mutants(workspace, arguments.seed)? };
    let counted = |mutant: &&Mutant| !arguments.kernels || mutant.set == Set::Kernels;
    let known: HashSet<&str> = results.latest().filter(|v| !arguments.again || !v.again()).map(|v| &*v.key).collect();
    let own = planted.iter().filter(|_| !arguments.sample).cloned().map(Wrong::Planted);
    let all = own.chain(mutants.iter().filter(counted).cloned().map(Wrong::Mutant));
    let mut wanted: Vec<Wrong> = all.filter(|wrong| wrong.name().contains(&arguments.filter)).collect();
    if arguments.again {
        // What never had a result waits for another run.
        let results: HashSet<&str> = results.latest().map(|v| &*v.key).collect();
        wanted.retain(|wrong| results.contains(wrong.key()));
    }
    let unknown = wanted.is_empty() && !arguments.filter.is_empty();
    wanted.retain(|wrong| !known.contains(wrong.key()));
    if unknown {
        note!("error: no planted fault or mutant contains `{}`", arguments.filter);
        return Ok(2);
    }
    if arguments.list {
        wanted.iter().try_for_each(|wrong| output::line(wrong.name()))?;
        return Ok(0);
    }
    drop(known);
    judge(workspace, arguments, wanted, &mut results)?;
    conclude(workspace, &results, &planted, &mutants)
}

/// Judges one after the other, until there is none or no time.
fn judge(
    workspace: &Workspace,
    arguments: &Arguments,
    wanted: Vec<Wrong>,
    results: &mut Results,
) -> anyhow::Result<()> {
    if wanted.is_empty() {
        note!("== nothing is left to be judged");
        return Ok(());
    }
    let provision = setup::ensure(workspace)?;
    let tree = Tree::new(workspace, provision)?;
    let judge = Judge::new(&tree)?;
    judge.must_be_green()?;
    let start = Instant::now();
    for (i, wrong) in wanted.iter().enumerate() {
        let limit = arguments.minutes.map(|minutes| Duration::from_secs(60 * minutes));
        if limit.is_some_and(|limit| start.elapsed() >= limit) {
            note!("== the time is over; {} of {} are left for another run", wanted.len() - i, wanted.len());
            break;
        }
        let verdict = match wrong {
            Wrong::Planted(fault) => {
                let found = judge.planted(fault)?;
                Verdict::new(Set::Faults, &fault.name, &fault.name, tree.commit(), 0.0, &found)
            }
            Wrong::Mutant(mutant) => mutated(&tree, &judge, mutant)?,
        };
        note!("== {} of {}: {}: {verdict}", i + 1, wanted.len(), wrong.name());
        results.add(verdict)?;
    }
    Ok(())
}

/// Applies a mutant, builds, judges, and takes it back.
fn mutated(tree: &Tree, judge: &Judge<'_>, mutant: &Mutant) -> anyhow::Result<Verdict> {
    let verdict =
        |seconds, found: &Found| Verdict::new(mutant.set, &mutant.key, &mutant.name, tree.commit(), seconds, found);
    let original = tree.replace(&mutant.file, |text| mutant.apply(text))?;
    let start = Instant::now();
    let built = tree.build();
    let seconds = start.elapsed().as_secs_f64();
    let result = match built {
        Ok(Build::Done) => judge.mutant(mutant).map(|found| verdict(seconds, &found)),
        Ok(Build::Failed) => Ok(verdict(seconds, &Found::unviable())),
        Err(error) => Err(error),
    };
    tree.write(&mutant.file, &original)?;
    result
}

/// Prints the summary, writes it, and says whether all is well.
fn conclude(
    workspace: &Workspace,
    results: &Results,
    planted: &[faults::Planted],
    mutants: &[Mutant],
) -> anyhow::Result<u8> {
    let reasons = results::reasons(workspace)?;
    let text = summary::render(results, planted, &reasons);
    output::line(&text)?;
    results::write_summary(workspace, &text)?;
    figures::write(workspace, &figures::figures(results, planted, &reasons))?;
    if !mutants.is_empty() {
        note!("== cargo-mutants makes {} mutants of kernels and checks", mutants.len());
    }
    let names: HashSet<&str> = planted.iter().map(|fault| &*fault.name).collect();
    let open = results.latest().filter(|v| v.outcome == Outcome::Survived);
    let open =
        open.filter(|v| if v.set == Set::Faults { names.contains(&*v.key) } else { !reasons.contains_key(&v.key) });
    Ok(if open.count() == 0 { 0 } else { FAILURE })
}

/// Installs cargo-mutants where it is missing.
fn provide_cargo_mutants(workspace: &Workspace) -> anyhow::Result<()> {
    let mut version = process::plain_cargo(workspace);
    version.args(["mutants", "--version"]);
    if version.output().is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    crate::fuzz::install(process::plain_cargo(workspace).args(["install", "cargo-mutants", "--locked"]))
}
