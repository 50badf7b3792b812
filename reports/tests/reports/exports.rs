//! Exports hold every timed row.

use std::collections::BTreeSet;

use etalon_reports::export;
use etalon_reports::rows::Table;

use crate::{records, run};

/// Names of timed rows: the state stands behind the id where it is not the usual one.
fn timed() -> BTreeSet<String> {
    let rows = records().into_iter().filter(|r| !r["time"].is_null());
    let name = |r: serde_json::Value| match (r["id"].as_str().unwrap(), r["cache"].as_str().unwrap()) {
        (id, "warm") => id.to_string(),
        (id, state) => format!("{id}@{state}"),
    };
    rows.map(name).collect()
}

#[test]
fn bencher_metric_format() {
    let run = run();
    let value = export::bencher(&Table::new(&run));
    let cases = value.as_object().unwrap();
    assert_eq!(cases.keys().cloned().collect::<BTreeSet<_>>(), timed());
    for case in cases.values() {
        let latency = |key: &str| case["latency"][key].as_f64().unwrap();
        assert!(latency("lower_value") <= latency("value") && latency("value") <= latency("upper_value"));
    }
}

#[test]
fn github_action_benchmark() {
    let run = run();
    let value = export::github_action(&Table::new(&run));
    let cases = value.as_array().unwrap();
    assert_eq!(cases.iter().map(|c| c["name"].as_str().unwrap().to_string()).collect::<BTreeSet<_>>(), timed());
    assert!(cases.iter().all(|c| c["unit"] == "ns" && c["value"].as_f64().unwrap() > 0.0));
    assert!(cases.iter().all(|c| c["range"].is_string() && c["extra"].is_string()));
}

#[test]
fn csv_has_every_row() {
    let run = run();
    let bytes = export::csv(&Table::new(&run)).unwrap();
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let header = reader.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|h| h == name).unwrap();
    let rows: Vec<_> = reader.records().collect::<Result<_, _>>().unwrap();
    assert_eq!(rows.len(), records().len());
    for record in records() {
        let row = rows.iter().find(|r| r[column("id")] == record["id"]).unwrap();
        assert_eq!(row[column("reason")], *record["reason"].as_str().unwrap_or(""));
        assert_eq!(row[column("median_ns")].parse().ok(), record["time"]["median_ns"].as_f64());
        let libtorch = record["peers"].as_array().unwrap().iter().find(|p| p["peer"] == "libtorch");
        assert_eq!(row[column("libtorch_ratio")].parse().ok(), libtorch.and_then(|p| p["ratio"].as_f64()));
    }
}
