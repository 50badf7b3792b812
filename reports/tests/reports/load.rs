//! What the loader refuses, and what it says then.

use std::fs;

use etalon_reports::load::Run;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::{fixture, paired, records, run, run_of};

/// The complaint about a file with this text.
fn complaint(name: &str, text: &str) -> String {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    let message = Run::read(&[&path]).unwrap_err().to_string();
    assert!(message.contains(name), "{message}");
    message
}

#[test]
fn another_version_is_refused() {
    let mut record = paired();
    record["schema_version"] = json!(2);
    let message = complaint("records.jsonl", &format!("{}\n{record}\n", paired()));
    assert!(message.contains("line 2") && message.contains("schema_version 2") && message.contains("knows 1"));
    assert!(complaint("records.jsonl", "{}").contains("no schema_version"));

    let environment = fs::read_to_string(fixture("environment.json")).unwrap();
    let newer = environment.replace("\"schema_version\": 1", "\"schema_version\": 7");
    assert!(complaint("environment.json", &newer).contains("schema_version 7"));
}

#[test]
fn a_broken_line_is_named() {
    let text = format!("{}\n\n{{\"schema_version\": 1, \"id\n", paired());
    assert!(complaint("records.jsonl", &text).contains("line 3"));
    let incomplete = r#"{"schema_version": 1}"#;
    assert!(complaint("records.jsonl", incomplete).contains("missing field `id`"));
}

#[test]
fn nothing_is_refused() {
    assert!(complaint("records.jsonl", "").contains("no record"));
    assert!(complaint("records.jsonl", "\n\n").contains("no record"));
    let folder = TempDir::new().unwrap();
    assert!(Run::read(&[folder.path()]).unwrap_err().to_string().contains("no record"));
    assert!(Run::read(&[folder.path().join("absent.jsonl")]).unwrap_err().to_string().contains("absent.jsonl"));
}

#[test]
fn a_folder_gives_records_and_environments() {
    let run = Run::read(&[fixture("")]).unwrap();
    assert_eq!(run.records.len(), records().len());
    let names: Vec<_> = run.environments.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["environment-incomplete.json", "environment.json"]);
}

#[test]
fn the_id_is_the_hash_of_the_records() {
    let text = fs::read_to_string(fixture("records.jsonl")).unwrap();
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    let hash: String = Sha256::digest(lines.join("\n")).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(run().id, hash[..16]);

    let mut shuffled: Vec<Value> = records();
    let id = run_of(&shuffled).id;
    shuffled.reverse();
    assert_eq!(run_of(&shuffled).id, id);
    shuffled.pop();
    assert_ne!(run_of(&shuffled).id, id);
}
