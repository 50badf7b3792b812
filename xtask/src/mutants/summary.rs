//! What the results say, as a page.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use super::faults::Planted;
use super::figures::{self, Figure};
use super::results::{Outcome, Reason, Results, Set, Verdict};

/// The page: planted faults by kind, the samples' rates with their intervals, and who survived.
pub fn render(results: &Results, planted: &[Planted], reasons: &HashMap<String, Reason>) -> String {
    let mut page = String::from(
        "# Do the checks find faults?\n\nWritten by `cargo xtask mutants` from `results.jsonl`. METHODOLOGY says what is asked.\n",
    );
    let latest: Vec<&Verdict> = results.latest().collect();
    own(&mut page, &latest, planted);
    samples(&mut page, &latest, &figures::figures(results, &[], reasons).split_off(1));
    survivors(&mut page, &latest, reasons);
    page
}

/// Our own faults, by kind.
fn own(page: &mut String, latest: &[&Verdict], planted: &[Planted]) {
    let verdicts: HashMap<&str, &Verdict> =
        latest.iter().filter(|v| v.set == Set::Faults).map(|v| (&*v.key, *v)).collect();
    let caught = |fault: &&Planted| verdicts.get(&*fault.name).is_some_and(|v| v.outcome == Outcome::Caught);
    let (found, judged) = (
        planted.iter().filter(caught).count(),
        planted.iter().filter(|fault| verdicts.contains_key(&*fault.name)).count(),
    );
    let _ = write!(
        page,
        "\n## Planted faults\n\n{found} of {judged} found; {} are planted.\n\n\
         | kind | planted | found | seconds to the first failure: median, most |\n|---|---|---|---|\n",
        planted.len()
    );
    let mut kinds: BTreeMap<&str, Vec<&Planted>> = BTreeMap::new();
    planted.iter().for_each(|fault| kinds.entry(&fault.kind).or_default().push(fault));
    for (kind, faults) in &kinds {
        let times = faults.iter().copied().filter(|fault| caught(fault)).map(|fault| verdicts[&*fault.name].seconds);
        let _ = writeln!(
            page,
            "| {kind} | {} | {} | {} |",
            faults.len(),
            faults.iter().filter(|fault| caught(fault)).count(),
            spread(times.collect())
        );
    }
    let _ = write!(page, "\n| fault | what is wrong | found by | seconds |\n|---|---|---|---|\n");
    for fault in planted {
        let (by, seconds) = match verdicts.get(&*fault.name) {
            None => ("not asked yet".to_owned(), String::new()),
            Some(v) if v.outcome == Outcome::Caught => (by(v), v.seconds.to_string()),
            Some(v) => ("**nobody**".to_owned(), v.seconds.to_string()),
        };
        let _ = writeln!(page, "| `{}` | {} | {by} | {seconds} |", fault.name, fault.what);
    }
}

/// Who found it, and with which question.
fn by(verdict: &Verdict) -> String {
    let judge = verdict.judge.as_deref().unwrap_or_default();
    verdict.question.as_ref().map_or(judge.to_owned(), |question| format!("{judge}: {question}"))
}

/// The samples of mutants.
fn samples(page: &mut String, latest: &[&Verdict], figures: &[Figure]) {
    let unviable = latest.iter().filter(|v| v.outcome == Outcome::Unviable).count();
    let _ = write!(
        page,
        "\n## Mutants\n\nA random sample of what cargo-mutants makes. {unviable} more do not compile. An equivalent mutant gives the \
         same results for every input, so that no check of results can find it; each has its reason below.\n\n{}",
        figures::markdown(figures)
    );
}

/// Who survived, and why.
fn survivors(page: &mut String, latest: &[&Verdict], reasons: &HashMap<String, Reason>) {
    let survivors: Vec<_> = latest.iter().filter(|v| v.set != Set::Faults && v.outcome == Outcome::Survived).collect();
    if survivors.is_empty() {
        return;
    }
    let _ = write!(page, "\n### Survivors\n\n| key | mutant | equivalent | reason |\n|---|---|---|---|\n");
    for v in survivors {
        let reason = reasons.get(&v.key);
        let (equivalent, reason) = match reason {
            Some(Reason { equivalent, text }) => (if *equivalent { "yes" } else { "no" }, text.as_str()),
            None => ("", "**none yet**"),
        };
        let _ = writeln!(page, "| {} | `{}` | {equivalent} | {reason} |", v.key, v.name.replace('|', "\\|"));
    }
}

/// Median and largest.
fn spread(mut times: Vec<f64>) -> String {
    times.sort_by(f64::total_cmp);
    match times.last() {
        Some(most) => format!("{}, {most}", times[times.len() / 2]),
        None => "–".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutants::gate::Found;
    use crate::mutants::{faults, results};
    use crate::workspace::Workspace;

    #[test]
    fn the_page_tells_what_was_found_and_what_was_not() {
        let planted = ["a.one", "a.two", "a.three"].map(|name| Planted {
            name: name.into(),
            kind: "bits".into(),
            what: "wrong".into(),
        });
        let found = |outcome| Found {
            outcome,
            judge: Some("parity a/".into()),
            question: Some("threads".into()),
            case: None,
            seconds: 2.0,
        };
        let verdict = |set, key: &str, outcome| Verdict::new(set, key, key, "abc", 1.0, &found(outcome));
        let results = Results::of(vec![
            verdict(Set::Faults, "a.one", Outcome::Caught),
            verdict(Set::Faults, "a.two", Outcome::Survived),
            verdict(Set::Kernels, "k1", Outcome::Caught),
            verdict(Set::Kernels, "k2", Outcome::Survived),
            verdict(Set::Kernels, "k3", Outcome::Survived),
            verdict(Set::Kernels, "k4", Outcome::Unviable),
        ]);
        let reasons =
            HashMap::from([("k2".to_owned(), Reason { equivalent: true, text: "it decides speed alone".into() })]);
        let page = render(&results, &planted, &reasons);
        for line in [
            "1 of 2 found; 3 are planted.",
            "| bits | 3 | 1 | 2, 2 |",
            "| `a.one` | wrong | parity a/: threads | 2 |",
            "| `a.two` | wrong | **nobody** | 2 |",
            "| `a.three` | wrong | not asked yet |  |",
            "1 more do not compile.",
            "| mutants of kernels | 3 | 1 | 33.3 % (6.1 to 79.2) | 1 | 50.0 % | 2, 2 |",
            "| k2 | `k2` | yes | it decides speed alone |",
            "| k3 | `k3` |  | **none yet** |",
        ] {
            assert!(page.contains(line), "`{line}` is not in\n{page}");
        }
    }

    #[test]
    fn the_kept_page_is_that_of_the_results() {
        let workspace = Workspace::find().expect("this checkout");
        let kept = workspace.root().join("reports").join("mutants").join("README.md");
        let Ok(kept) = std::fs::read_to_string(kept) else { return };
        let results = Results::read(&workspace).expect("results");
        let planted = faults::planted(&workspace).expect("a table");
        let reasons = results::reasons(&workspace).expect("reasons");
        assert!(kept == render(&results, &planted, &reasons), "run `cargo xtask mutants --summary`");
    }
}
