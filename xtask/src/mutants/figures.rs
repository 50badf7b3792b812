//! The few figures that METHODOLOGY and reports give.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;

use anyhow::Context;
use serde::Serialize;

use super::faults::Planted;
use super::results::{Outcome, Reason, Results, Set};
use crate::workspace::Workspace;

const BEGIN: &str = "<!-- detection:begin -->";
const END: &str = "<!-- detection:end -->";

/// How many of some kind were found, and how soon.
#[derive(Debug, PartialEq, Serialize)]
pub struct Figure {
    /// What was made wrong.
    pub of: &'static str,
    /// How many compile.
    pub asked: usize,
    /// How many of them were found.
    pub found: usize,
    /// How many of the others give the same results for every input.
    pub equivalent: usize,
    /// The 95 % interval of the share that was found, if they are a sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<(f64, f64)>,
    /// Seconds to the first failure: the median.
    pub median_seconds: Option<f64>,
    /// Seconds to the first failure: the most.
    pub most_seconds: Option<f64>,
}

/// Of planted faults, mutants of kernels, mutants of checks.
pub fn figures(results: &Results, planted: &[Planted], reasons: &HashMap<String, Reason>) -> Vec<Figure> {
    let of = |set, of| {
        let counts = |key: &str| set != Set::Faults || planted.iter().any(|fault| fault.name == key);
        let viable = results.latest().filter(|v| v.set == set && v.outcome != Outcome::Unviable && counts(&v.key));
        let (mut asked, mut equivalent, mut seconds) = (0, 0, Vec::new());
        for verdict in viable {
            asked += 1;
            let same = verdict.outcome == Outcome::Survived && reasons.get(&verdict.key).is_some_and(|r| r.equivalent);
            equivalent += usize::from(same);
            seconds.extend((verdict.outcome == Outcome::Caught).then_some(verdict.seconds));
        }
        seconds.sort_by(f64::total_cmp);
        let interval = (set != Set::Faults && asked > 0).then(|| wilson(seconds.len(), asked));
        let (median_seconds, most_seconds) = (seconds.get(seconds.len() / 2).copied(), seconds.last().copied());
        Figure { of, asked, found: seconds.len(), equivalent, interval, median_seconds, most_seconds }
    };
    vec![
        of(Set::Faults, "planted faults"),
        of(Set::Kernels, "mutants of kernels"),
        of(Set::Checks, "mutants of checks"),
    ]
}

/// The figures as a table.
pub fn markdown(figures: &[Figure]) -> String {
    let mut table = String::from(
        "| made wrong | asked | found | rate, 95 % interval | survived, but equivalent | rate without those | seconds to the first failure: median, most |\n\
         |---|--:|--:|---|--:|---|---|\n",
    );
    let percent = |share: f64| format!("{:.1}", 100.0 * share);
    for f in figures.iter().filter(|f| f.asked > 0) {
        let interval =
            f.interval.map_or(String::new(), |(low, high)| format!(" ({} to {})", percent(low), percent(high)));
        let seconds =
            f.median_seconds.zip(f.most_seconds).map_or("–".into(), |(median, most)| format!("{median}, {most}"));
        let [rate, strict] = [f.asked, f.asked - f.equivalent].map(|of| percent(f.found as f64 / of as f64));
        let _ = writeln!(
            table,
            "| {} | {} | {} | {rate} %{interval} | {} | {strict} % | {seconds} |",
            f.of, f.asked, f.found, f.equivalent
        );
    }
    table
}

/// Wilson's 95 % interval of a share: it keeps its coverage near 1, where the normal one is of no width.
fn wilson(caught: usize, of: usize) -> (f64, f64) {
    const Z: f64 = 1.959_964;
    let (n, share) = (of as f64, caught as f64 / of as f64);
    let centre = share + Z * Z / (2.0 * n);
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    (((centre - half) / scale).max(0.0), ((centre + half) / scale).min(1.0))
}

/// `text` with the table between its markers.
fn splice(text: &str, table: &str) -> Option<String> {
    let (head, rest) = text.split_once(BEGIN)?;
    let (_, tail) = rest.split_once(END)?;
    Some(format!("{head}{BEGIN}\n{table}{END}{tail}"))
}

/// Writes them where METHODOLOGY and the report find them.
pub fn write(workspace: &Workspace, figures: &[Figure]) -> anyhow::Result<()> {
    let save = |path: std::path::PathBuf, text: String| {
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    let json = serde_json::to_string_pretty(figures).context("figures")? + "\n";
    save(workspace.root().join("reports").join("mutants").join("figures.json"), json)?;
    let path = workspace.root().join("METHODOLOGY.md");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = splice(&text, &markdown(figures)).with_context(|| format!("no {BEGIN} in {}", path.display()))?;
    save(path, text)
}

#[cfg(test)]
mod tests {
    use super::super::gate::Found;
    use super::super::results::Verdict;
    use super::super::{faults, results};
    use super::*;

    #[test]
    fn intervals_are_wilsons() {
        // Newcombe, "Two-sided confidence intervals for the single proportion", 1998: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
        for (caught, of, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
        {
            let found = wilson(caught, of);
            assert!((found.0 - low).abs() < 5e-5 && (found.1 - high).abs() < 5e-5, "{caught} of {of}: {found:?}");
        }
    }

    #[test]
    fn what_does_not_compile_or_is_no_longer_planted_does_not_count() {
        let found = |outcome| Found { outcome, judge: None, question: None, case: None, seconds: 2.0 };
        let verdict = |set, key: &str, outcome| Verdict::new(set, key, key, "abc", 1.0, &found(outcome));
        let results = results::Results::of(vec![
            verdict(Set::Faults, "a.one", Outcome::Caught),
            verdict(Set::Faults, "a.gone", Outcome::Survived),
            verdict(Set::Kernels, "k1", Outcome::Caught),
            verdict(Set::Kernels, "k2", Outcome::Survived),
            verdict(Set::Kernels, "k3", Outcome::Unviable),
        ]);
        let planted = [faults::Planted { name: "a.one".into(), kind: "bits".into(), what: "wrong".into() }];
        let reason = |equivalent| HashMap::from([("k2".to_owned(), Reason { equivalent, text: "so".into() })]);
        let table = markdown(&figures(&results, &planted, &reason(false)));
        assert!(table.contains("\n| planted faults | 1 | 1 | 100.0 % | 0 | 100.0 % | 2, 2 |\n"), "{table}");
        let row = "\n| mutants of kernels | 2 | 1 | 50.0 % (9.5 to 90.5) | 0 | 50.0 % | 2, 2 |\n";
        assert!(table.ends_with(row), "{table}");
        // A survivor that no check of results can find is counted beside the rate, never in it.
        let table = markdown(&figures(&results, &planted, &reason(true)));
        let row = "\n| mutants of kernels | 2 | 1 | 50.0 % (9.5 to 90.5) | 1 | 100.0 % | 2, 2 |\n";
        assert!(table.ends_with(row), "{table}");
    }

    #[test]
    fn what_is_told_is_what_was_found() {
        let workspace = Workspace::find().expect("this checkout");
        let results = results::Results::read(&workspace).expect("results");
        let reasons = results::reasons(&workspace).expect("reasons");
        let figures = figures(&results, &faults::planted(&workspace).expect("a table"), &reasons);
        let file =
            |name: &str| fs::read_to_string(workspace.root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let told = file("METHODOLOGY.md");
        assert_eq!(splice(&told, &markdown(&figures)), Some(told), "run `cargo xtask mutants --summary`");
        let kept = file("reports/mutants/figures.json");
        assert_eq!(serde_json::to_string_pretty(&figures).expect("figures") + "\n", kept);
    }
}
