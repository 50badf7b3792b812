//! Reads record files (`*.jsonl`) and environments (`*.json`), also compressed (`*.gz`).

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::{fs, io};

use etalon_reference::record::{Audit, Check, Environment, Record, SCHEMA_VERSION};
use flate2::read::GzDecoder;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::keep::COMPRESSED;
use crate::usable::keep_usable;

/// Why records could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Its error.
        source: io::Error,
    },
    /// A line that is no record, or a file that is no environment.
    #[error("{path}, line {line}: {message}")]
    Form {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// Nothing to tell.
    #[error("no record in {0}; `cargo xtask bench` makes some")]
    Empty(String),
    /// Nothing that came to its end.
    #[error("no finished run in {0}; `cargo xtask report {1}` tells of one that was interrupted")]
    Unfinished(String, String),
}

/// A file that was read, kept to lie beside the page.
#[derive(Clone, Debug)]
pub struct Source {
    /// Name, unique within its [`Run`].
    pub name: String,
    /// Contents.
    pub bytes: Vec<u8>,
    /// Records in it; none in an environment.
    pub records: usize,
}

/// Everything that was read.
#[derive(Clone, Debug)]
pub struct Run {
    /// Records in the order of the files and their lines.
    pub records: Vec<Record>,
    /// Rows of audits: paired ratios beside those of programs alone.
    pub audits: Vec<Audit>,
    /// What the parity gate found, by kernel and question.
    pub checks: Vec<Check>,
    /// Environments, each with the name of its file.
    pub environments: Vec<(String, Environment)>,
    /// The files.
    pub sources: Vec<Source>,
    /// Records whose times no clock gives, by id, with what is wrong.
    pub unusable: BTreeMap<String, String>,
    /// Hash of the records: the report's id.
    pub id: String,
}

impl Run {
    /// Reads files and folders, compressed ones by their names. Of a folder: its `*.jsonl`, and those of its `*.json` that are environments.
    ///
    /// # Errors
    /// [`LoadError`] if a file can't be read, has a line that is no record, or if there is no record at all.
    pub fn read<P: AsRef<Path>>(inputs: &[P]) -> Result<Run, LoadError> {
        let mut run = Run {
            records: Vec::new(),
            audits: Vec::new(),
            checks: Vec::new(),
            environments: Vec::new(),
            sources: Vec::new(),
            unusable: BTreeMap::new(),
            id: String::new(),
        };
        let mut lines = Vec::new();
        for input in inputs.iter().map(AsRef::as_ref) {
            if input.is_dir() {
                for path in files(input)? {
                    run.add(&path, false, &mut lines)?;
                }
            } else {
                run.add(input, true, &mut lines)?;
            }
        }
        if run.records.is_empty() {
            let names: Vec<_> = inputs.iter().map(|p| p.as_ref().display().to_string()).collect();
            return Err(LoadError::Empty(names.join(", ")));
        }
        lines.sort_unstable();
        run.id = Sha256::digest(lines.join("\n")).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(run)
    }

    /// The first of the environments' facts that has one of these names, as text.
    pub fn fact(&self, names: &[&str]) -> Option<String> {
        self.environments
            .iter()
            .find_map(|(_, env)| names.iter().find_map(|&name| env.facts.get(name)))
            .map(fact_text)
            .filter(|text| !text.is_empty())
    }

    /// Whether the numbers are invented: a fixture says so.
    pub fn is_fixture(&self) -> bool {
        self.environments.iter().any(|(_, env)| env.facts.contains_key("fixture"))
    }

    fn add(&mut self, path: &Path, named: bool, lines: &mut Vec<String>) -> Result<(), LoadError> {
        let io = |source| LoadError::Io { path: path.into(), source };
        let mut bytes = fs::read(path).map_err(io)?;
        let plain = path.file_name().and_then(|name| name.to_str()?.strip_suffix(COMPRESSED).map(PathBuf::from));
        if plain.is_some() {
            let packed = std::mem::take(&mut bytes);
            GzDecoder::new(&packed[..]).read_to_end(&mut bytes).map_err(io)?;
        }
        let path = plain.as_deref().unwrap_or(path);
        let before = self.records.len();
        let name = unique_name(path, &self.sources);
        if let Some(env) = environment(path, &bytes) {
            let env = env.map_err(|message| LoadError::Form { path: path.into(), line: 1, message })?;
            self.environments.push((name.clone(), env));
        } else if named || path.extension().is_some_and(|e| e == "jsonl") {
            for (i, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
                if line.trim().is_empty() {
                    continue;
                }
                let form = |message| LoadError::Form { path: path.into(), line: i + 1, message };
                lines.push(line.trim().to_string());
                if let Some(audit) = audit(line) {
                    self.audits.push(audit.map_err(form)?);
                    continue;
                }
                if let Some(check) = check(line) {
                    self.checks.push(check.map_err(form)?);
                    continue;
                }
                let mut record = record(line).map_err(form)?;
                if let Some(complaint) = keep_usable(&mut record) {
                    self.unusable.insert(record.id.clone(), complaint);
                }
                self.records.push(record);
            }
        } else {
            return Ok(());
        }
        self.sources.push(Source { name, bytes, records: self.records.len() - before });
        Ok(())
    }
}

/// A fact as text: a list's items are joined by spaces.
pub fn fact_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(fact_text).collect::<Vec<_>>().join(" "),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn files(dir: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let error = |source| LoadError::Io { path: dir.into(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(error)? {
        let path = entry.map_err(error)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let ends =
            [".jsonl", ".json"].into_iter().any(|end| name.strip_suffix(COMPRESSED).unwrap_or(&name).ends_with(end));
        if path.is_file() && ends {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn unique_name(path: &Path, taken: &[Source]) -> String {
    let name = path.file_name().map_or("records.jsonl".into(), |n| n.to_string_lossy().into_owned());
    let mut unique = name.clone();
    let mut n = 2;
    while taken.iter().any(|s| s.name == unique) {
        unique = format!("{n}-{name}");
        n += 1;
    }
    unique
}

/// The environment that a file is, if it is one at all. One that is called so has to be one.
fn environment(path: &Path, bytes: &[u8]) -> Option<Result<Environment, String>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let called = name.starts_with("environment") && name.ends_with(".json");
    let value: Value = match serde_json::from_slice(bytes) {
        Ok(value) => value,
        Err(error) if called => return Some(Err(format!("no whole environment: {error}"))),
        Err(_) => return None,
    };
    (value.get("facts").is_some() && value.get("peaks").is_some()).then_some(())?;
    Some(known_version(&value).and_then(|()| serde_json::from_value(value).map_err(|e| e.to_string())))
}

fn known_version(value: &Value) -> Result<(), String> {
    match value.get("schema_version").and_then(Value::as_u64) {
        Some(v) if v == u64::from(SCHEMA_VERSION) => Ok(()),
        Some(v) => Err(format!("schema_version {v}; this reader knows {SCHEMA_VERSION}")),
        None => Err("no schema_version".into()),
    }
}

/// The row of an audit that a line is, if it is one: a record says nothing of programs alone.
fn audit(line: &str) -> Option<Result<Audit, String>> {
    let value: Value = serde_json::from_str(line).ok()?;
    value.get("alone")?;
    let row = known_version(&value).and_then(|()| serde_json::from_value::<Audit>(value).map_err(|e| e.to_string()));
    let usable = |row: &Audit| {
        let ratios = [row.paired, row.paired_low, row.paired_high, row.alone, row.alone_low, row.alone_high];
        ratios.iter().all(|ratio| *ratio > 0.0 && ratio.is_finite()) && row.disagreement >= 0.0
    };
    Some(row.and_then(|row| if usable(&row) { Ok(row) } else { Err("a ratio is not a positive number".into()) }))
}

/// The gate's check that a line is, if it is one: nothing else has a question.
fn check(line: &str) -> Option<Result<Check, String>> {
    let value: Value = serde_json::from_str(line).ok()?;
    value.get("question").filter(|_| value.get("passed").is_some())?;
    Some(known_version(&value).and_then(|()| serde_json::from_value(value).map_err(|e| e.to_string())))
}

/// Numbers of an [`Accuracy`](etalon_reference::record::Accuracy) that JSON writes as null when they are infinite.
const MAYBE_INFINITE: [&str; 6] = ["bound", "error", "max_abs", "max_rel", "max_ulp", "nmse"];

fn record(line: &str) -> Result<Record, String> {
    let mut value: Value = serde_json::from_str(line).map_err(|e| e.to_string())?;
    known_version(&value)?;
    if let Some(accuracy) = value.get_mut("accuracy").and_then(Value::as_object_mut) {
        for name in MAYBE_INFINITE {
            if accuracy.get(name).is_some_and(Value::is_null) {
                accuracy.insert(name.into(), f64::MAX.into());
            }
        }
    }
    serde_json::from_value(value).map_err(|e| e.to_string())
}
