//! Numbers that no clock gives: they have a row that says so, and spoil nothing else.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use etalon_reference::record::Status;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{fixture, program, records, run_of, write_records};

/// The fixture's records with all times, of us and of peers, replaced.
fn with_times(ns: f64) -> Vec<Value> {
    let mut records = records();
    for record in records.iter_mut().filter(|r| !r["time"].is_null()) {
        for name in ["median_ns", "low_ns", "high_ns", "mean_ns", "mad_ns", "p05_ns", "p95_ns", "min_ns"] {
            record["time"][name] = json!(ns);
        }
        record["time"]["samples_ns"] = json!([ns, ns]);
        for peer in record["peers"].as_array_mut().unwrap() {
            peer["median_ns"] = json!(ns);
        }
        record["work"]["gflops"] = json!(ns);
        record["work"]["gbytes"] = json!(ns);
        record["work"]["share_of_peak"] = json!(ns);
    }
    records
}

/// The report of these records, by a program that may take a minute.
fn report(folder: &Path, records: &[Value]) -> Output {
    let path = folder.join("records.jsonl");
    write_records(&path, records);
    fs::copy(fixture("environment.json"), folder.join("environment.json")).unwrap();
    let mut command = Command::new("timeout");
    command.arg("60").arg(env!("CARGO_BIN_EXE_etalon-report")).arg(folder).env_remove("ETALON_CWD");
    command.output().unwrap()
}

#[test]
fn a_report_of_impossible_times_comes_to_its_end_and_says_so() {
    let text = |output: &Output, folder: &TempDir| {
        assert!(output.status.success(), "{output:?}");
        fs::read_to_string(folder.path().join("report/index.html")).unwrap()
    };
    // Errors may be NaN or infinite, and formulas name both.
    let count = |page: &str| (page.matches("NaN").count(), page.matches("inf ").count());
    let folder = TempDir::new().unwrap();
    let usual = count(&text(&report(folder.path(), &records()), &folder));
    for ns in [0.0, -1.0, 1e308, 1e-320] {
        let folder = TempDir::new().unwrap();
        let output = report(folder.path(), &with_times(ns));
        let page = text(&output, &folder);
        assert!(page.contains("no usable time: median "), "{ns:e}");
        assert!(count(&page) <= usual, "{ns:e}: {:?}, usually {usual:?}", count(&page));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("no usable time"), "{said}");
    }
}

#[test]
fn one_impossible_record_spoils_no_other() {
    let all = run_of(&records());
    let mut records = records();
    let spoilt = records.iter().position(|r| r["peers"].as_array().is_some_and(|p| !p.is_empty())).unwrap();
    records[spoilt]["time"]["median_ns"] = json!(0.0);
    let run = run_of(&records);
    assert_eq!(run.unusable.len(), 1);
    let row = &run.records[spoilt];
    assert!(row.time.is_none() && row.peers.is_empty() && row.status == Status::Mistrusted);
    assert!(row.reason.as_deref().unwrap().starts_with("no usable time: median 0e0 ns"), "{:?}", row.reason);
    for (i, (before, after)) in all.records.iter().zip(&run.records).enumerate().filter(|(i, _)| *i != spoilt) {
        assert_eq!(before, after, "record {i}");
    }
}

#[test]
fn a_peer_without_a_usable_time_is_left_out() {
    let mut record = crate::paired();
    record["peers"][0]["median_ns"] = json!(0.0);
    let (name, count) = (record["peers"][0]["peer"].clone(), record["peers"].as_array().unwrap().len());
    let run = run_of(&[record]);
    assert_eq!(run.records[0].peers.len(), count - 1);
    assert!(run.records[0].time.is_some() && run.records[0].status == Status::Ok);
    let reason = run.records[0].reason.clone().unwrap();
    assert!(reason.contains(&format!("{}: no usable time", name.as_str().unwrap())), "{reason}");
}

#[test]
fn a_comparison_names_impossible_times_and_does_not_count_them() {
    let folder = TempDir::new().unwrap();
    let paths = ["a.jsonl", "b.jsonl"].map(|name| folder.path().join(name));
    for (ns, code) in [(0.0, 3), (1e308, 3)] {
        let mut one = records();
        write_records(&paths[0], &one);
        let spoilt = one.iter_mut().find(|r| !r["time"].is_null()).unwrap();
        for name in ["median_ns", "low_ns", "high_ns"] {
            spoilt["time"][name] = json!(ns);
        }
        write_records(&paths[1], &one);
        let output = program(env!("CARGO_BIN_EXE_etalon-compare"), &paths);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains("NO TIME") && text.contains("B: no usable time: median "), "{text}");
        assert!(!text.contains("NaN") && !text.contains('∞') && !text.contains("FASTER"), "{text}");
        // Everything on both sides: no mean of nothing.
        write_records(&paths[0], &with_times(ns));
        let output = program(env!("CARGO_BIN_EXE_etalon-compare"), &paths);
        assert_eq!(output.status.code(), Some(3));
        assert!(!String::from_utf8(output.stdout).unwrap().contains("NaN"));
    }
}

#[test]
fn a_truncated_environment_is_named() {
    let folder = TempDir::new().unwrap();
    write_records(&folder.path().join("records.jsonl"), &records());
    let whole = fs::read(fixture("environment.json")).unwrap();
    for bytes in [&whole[..whole.len() / 2], &[]] {
        fs::write(folder.path().join("environment.json"), bytes).unwrap();
        let output = program(env!("CARGO_BIN_EXE_etalon-report"), &[folder.path()]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("environment.json, line 1: no whole environment: EOF"), "{said}");
    }
}
