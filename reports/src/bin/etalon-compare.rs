//! `etalon-compare`: two runs held against each other.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use etalon_reports::compare::{Word, compare, mean, unusable};
use etalon_reports::load::Run;
use etalon_reports::output::{self, from_user, line, note};

/// Says for each case that both runs timed whether B is SAME, FASTER, SLOWER or AMBIGUOUS against A.
///
/// Exit code 1 if a case is slower; else 3 if an interval does not decide, if a time is none, or if the runs have no case in common.
#[derive(Parser)]
#[command(name = "compare")]
struct Arguments {
    /// Records of the first run: a file or a folder
    a: PathBuf,
    /// Records of the second run
    b: PathBuf,
    /// Ratios within this factor are the same
    #[arg(long, default_value_t = 1.05)]
    threshold: f64,
}

fn main() -> ExitCode {
    output::end(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<u8> {
    anyhow::ensure!(arguments.threshold >= 1.0, "a threshold is at least 1, as in 1.05");
    let (a, b) = (Run::read(&[from_user(&arguments.a)])?, Run::read(&[from_user(&arguments.b)])?);
    let machine = |run: &Run| (run.fact(&["cpu.model"]), run.fact(&["cpu.isa"]), run.fact(&["cpu.caches"]));
    if machine(&a) != machine(&b) {
        line("note: the runs were made on different machines")?;
    }
    let cases = compare(&a, &b, arguments.threshold);
    for case in &cases {
        let word = match case.word {
            Word::Same => "SAME",
            Word::Faster => "FASTER",
            Word::Slower => "SLOWER",
            Word::Ambiguous => "AMBIGUOUS",
        };
        line(format_args!("{word:10} {} × [{}]  {}", case.ratio.text(), case.ratio.interval(), case.id))?;
    }
    let unusable = unusable(&a, &b);
    for (id, complaint) in &unusable {
        line(format_args!("{:10} {id}: {complaint}", "NO TIME"))?;
    }
    let Some(mean) = mean(&cases) else {
        note("the runs have no timed case in common");
        return Ok(3);
    };
    let count = |word: Word| cases.iter().filter(|c| c.word == word).count();
    line(format_args!(
        "\n{} cases: {} same, {} faster, {} slower, {} ambiguous; geometric mean of A / B {} × [{}]",
        cases.len(),
        count(Word::Same),
        count(Word::Faster),
        count(Word::Slower),
        count(Word::Ambiguous),
        mean.text(),
        mean.interval()
    ))?;
    Ok(match (count(Word::Slower), count(Word::Ambiguous)) {
        (1.., _) => 1,
        (0, 1..) => 3,
        (0, 0) if !unusable.is_empty() => 3,
        (0, 0) => 0,
    })
}
