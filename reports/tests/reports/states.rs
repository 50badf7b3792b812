//! Cache states, which are never summed up together, and rounds that are few.

use std::collections::BTreeSet;
use std::fs;

use etalon_reports::compare::compare;
use etalon_reports::rows::Table;
use etalon_reports::{export, summary};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{paired, records, run_of};

/// The fixture's records, all of them warm.
fn warm() -> Vec<Value> {
    let mut all = records();
    all.iter_mut().for_each(|record| record["cache"] = json!("warm"));
    all
}

/// The record in another state, its peers ten times as slow.
fn cold(mut record: Value) -> Value {
    record["cache"] = json!("cold");
    for peer in record["peers"].as_array_mut().unwrap() {
        for field in ["ratio", "ratio_low", "ratio_high"] {
            peer[field] = json!(peer[field].as_f64().unwrap() * 10.0);
        }
    }
    record
}

#[test]
fn states_are_summed_up_apart() {
    let usual = run_of(&warm());
    let mut all = warm();
    all.extend(warm().into_iter().map(cold));
    let both = run_of(&all);
    let sums = |table: &Table<'_>| {
        let peers = summary::by_peer(table).into_iter();
        peers.map(|p| (p.peer, p.cases, format!("{:.3}", p.mean.value))).collect::<Vec<_>>()
    };
    let table = Table::new(&both);
    assert_eq!(table.states(), ["warm", "cold"]);
    assert_eq!(sums(&table), sums(&Table::new(&usual)));
    let (usual, other) = (summary::by_peer(&table), summary::by_peer(&table.in_state("cold")));
    for (usual, other) in usual.iter().zip(&other) {
        assert_eq!((&usual.peer, usual.cases), (&other.peer, other.cases));
        assert!((other.mean.value / usual.mean.value - 10.0).abs() < 1e-9);
    }
    let names: BTreeSet<String> = export::bencher(&table).as_object().unwrap().keys().cloned().collect();
    let timed = table.rows.iter().filter(|row| row.record.time.is_some()).count();
    assert_eq!(names.len(), timed, "each state has its own name");
    assert!(names.iter().any(|name| name.ends_with("@cold")));
    let compared = compare(&both, &run_of(&warm().into_iter().map(cold).collect::<Vec<_>>()), 1.05);
    assert!(compared.iter().all(|case| case.id.ends_with("@cold")), "cold is held against cold alone");
}

#[test]
fn few_rounds_are_said() {
    let mut record = paired();
    record["time"]["few"] = json!(true);
    record["time"]["coverage"] = json!(0.9375);
    let run = run_of(&[record]);
    let few = Table::new(&run).rows[0].few().unwrap();
    assert!(few.starts_with("few: ") && few.ends_with("interval of 93.8 %"), "{few}");
    let folder = TempDir::new().unwrap();
    etalon_reports::page::write(&run, folder.path()).unwrap();
    assert!(fs::read_to_string(folder.path().join("index.html")).unwrap().contains(&few));
    assert!(Table::new(&run_of(&[paired()])).rows[0].few().is_none());
}
