//! Results, one JSON object a line, and the reasons that survivors have.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::gate::Found;
use crate::workspace::Workspace;

/// What is made wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Set {
    /// Our own faults.
    Faults,
    /// Mutants of kernels.
    Kernels,
    /// Mutants of what judges kernels.
    Checks,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was found.
    Caught,
    /// It was not.
    Survived,
    /// It does not compile.
    Unviable,
}

/// A line of the results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What is made wrong.
    pub set: Set,
    /// What it is, wherever its line stands.
    pub key: String,
    /// Its name.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Who found it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<String>,
    /// The question that found it, or how it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// The first case that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// Seconds of the build.
    pub build_seconds: f64,
    /// Seconds until it was found.
    pub seconds: f64,
    /// The commit of the sources.
    pub commit: String,
}

impl Verdict {
    /// What was found of something wrong.
    pub fn new(set: Set, key: &str, name: &str, commit: &str, build_seconds: f64, found: &Found) -> Verdict {
        let tenths = |seconds: f64| (10.0 * seconds).round() / 10.0;
        Verdict {
            set,
            key: key.into(),
            name: name.into(),
            outcome: found.outcome,
            judge: found.judge.clone(),
            question: found.question.clone(),
            case: found.case.clone(),
            build_seconds: tenths(build_seconds),
            seconds: tenths(found.seconds),
            commit: commit.into(),
        }
    }

    /// Whether another look can change it: what survived, and our own faults.
    pub fn again(&self) -> bool {
        self.outcome == Outcome::Survived || self.set == Set::Faults
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { judge, question, case, seconds, build_seconds, key, .. } = self;
        match self.outcome {
            Outcome::Caught => write!(f, "caught after {seconds} s by {}", judge.as_deref().unwrap_or("nobody"))
                .and_then(|()| question.as_ref().map_or(Ok(()), |question| write!(f, " ({question})")))
                .and_then(|()| case.as_ref().map_or(Ok(()), |case| write!(f, " on {case}"))),
            Outcome::Survived => write!(f, "SURVIVED after {seconds} s (key {key})"),
            Outcome::Unviable => write!(f, "does not compile ({build_seconds} s)"),
        }
    }
}

/// The file of the results.
pub struct Results {
    path: PathBuf,
    all: Vec<Verdict>,
}

/// The folder of results, reasons and summary.
fn folder(workspace: &Workspace) -> PathBuf {
    workspace.root().join("reports").join("mutants")
}

impl Results {
    /// Reads the file; none if there is none.
    pub fn read(workspace: &Workspace) -> anyhow::Result<Results> {
        let path = folder(workspace).join("results.jsonl");
        let text = if path.exists() {
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?
        } else {
            String::new()
        };
        Ok(Results { all: parse(&text).with_context(|| path.display().to_string())?, path })
    }

    /// The last verdict of each key, in the order in which keys first came.
    pub fn latest(&self) -> impl Iterator<Item = &Verdict> {
        let last: HashMap<&String, usize> = self.all.iter().map(|verdict| &verdict.key).zip(0..).collect();
        let mut seen = std::collections::HashSet::new();
        let order = self.all.iter().filter(move |verdict| seen.insert(&verdict.key));
        order.map(move |verdict| &self.all[last[&verdict.key]])
    }

    /// Adds a line.
    pub fn add(&mut self, verdict: Verdict) -> anyhow::Result<()> {
        let line = serde_json::to_string(&verdict).context("a verdict")? + "\n";
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let open = OpenOptions::new().create(true).append(true).open(&self.path);
        open.and_then(|mut file| file.write_all(line.as_bytes()))
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        self.all.push(verdict);
        Ok(())
    }

    /// From verdicts alone.
    #[cfg(test)]
    pub fn of(all: Vec<Verdict>) -> Results {
        Results { path: PathBuf::new(), all }
    }
}

fn parse(text: &str) -> anyhow::Result<Vec<Verdict>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(at, line)| serde_json::from_str(line).with_context(|| format!("line {}", at + 1))).collect()
}

/// Why a mutant survived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Whether it gives the same results for every input: no check of results can find it.
    pub equivalent: bool,
    /// In a sentence.
    pub text: String,
}

/// Why survivors may survive, by key.
pub fn reasons(workspace: &Workspace) -> anyhow::Result<HashMap<String, Reason>> {
    let path = folder(workspace).join("reasons.tsv");
    if !path.exists() {
        return Ok(HashMap::new());
    }
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    read_reasons(&text).with_context(|| path.display().to_string())
}

fn read_reasons(text: &str) -> anyhow::Result<HashMap<String, Reason>> {
    let rows = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    rows.map(|row| {
        let [key, kind, text] = row.splitn(3, '\t').collect::<Vec<_>>()[..] else {
            bail!("expected key, kind and reason with tabs between them, found `{row}`");
        };
        let equivalent = match kind {
            "equivalent" => true,
            "missed" => false,
            other => bail!("expected `equivalent` or `missed`, found `{other}`"),
        };
        Ok((key.trim().to_owned(), Reason { equivalent, text: text.trim().to_owned() }))
    })
    .collect()
}

/// Writes the summary beside the results.
pub fn write_summary(workspace: &Workspace, text: &str) -> anyhow::Result<()> {
    let folder = folder(workspace);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let path = folder.join("README.md");
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_verdict_of_a_key_counts() {
        let found = |outcome| Found { outcome, judge: None, question: None, case: None, seconds: 1.26 };
        let verdict = |key: &str, outcome| Verdict::new(Set::Kernels, key, key, "abc", 2.0, &found(outcome));
        let survived = [verdict("a", Outcome::Survived), verdict("b", Outcome::Caught), verdict("a", Outcome::Caught)];
        let text: String = survived.iter().map(|v| serde_json::to_string(v).expect("a line") + "\n").collect();
        let results = Results::of(parse(&text).expect("lines"));
        let latest: Vec<_> = results.latest().map(|v| (&*v.key, v.outcome, v.seconds)).collect();
        assert_eq!(latest, [("a", Outcome::Caught, 1.3), ("b", Outcome::Caught, 1.3)]);
        assert!(parse("{}\n").is_err());
    }

    #[test]
    fn a_reason_says_of_which_kind_it_is() {
        let read = |text: &str| read_reasons(text);
        let reasons = read("# a comment\nab\tequivalent\tspeed alone\n\ncd\tmissed\tno test\n").expect("reasons");
        assert_eq!(reasons["ab"], Reason { equivalent: true, text: "speed alone".into() });
        assert!(!reasons["cd"].equivalent);
        assert!(read("ab\tspeed alone\n").is_err());
        assert!(read("ab\tother\tspeed alone\n").is_err());
    }
}
