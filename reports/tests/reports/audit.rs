//! Paired ratios beside those of programs alone.

use std::fs;

use etalon_reports::load::{LoadError, Run};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{fixture, write_records};

/// A row of an audit.
pub fn row(workload: &str, paired: f64, alone: f64) -> Value {
    json!({
        "schema_version": 1, "id": format!("gemm/avx512/f32/m=1,n=1,k=1/t1#real-{}", workload.len()), "op": "gemm",
        "workload": workload, "dtype": "f32", "threads": 1, "kernel": "avx512", "peer": "libtorch", "way": "mm_out",
        "paired": paired, "paired_low": paired * 0.99, "paired_high": paired * 1.01,
        "alone": alone, "alone_low": alone * 0.98, "alone_high": alone * 1.02,
        "ours_alone_ns": [100.0, 101.0], "peer_alone_ns": [100.0 * alone, 101.0 * alone],
        "disagreement": (paired / alone).max(alone / paired) - 1.0, "reason": null,
    })
}

/// The fixture's records with an audit in the same folder.
fn with_audit(rows: &[Value]) -> Result<Run, LoadError> {
    let folder = TempDir::new().unwrap();
    for name in ["records.jsonl", "environment.json"] {
        fs::copy(fixture(name), folder.path().join(name)).unwrap();
    }
    write_records(&folder.path().join("audit.jsonl"), rows);
    Run::read(&[folder.path()])
}

fn html(run: &Run) -> String {
    let folder = TempDir::new().unwrap();
    etalon_reports::page::write(run, folder.path()).unwrap();
    fs::read_to_string(folder.path().join("index.html")).unwrap()
}

#[test]
fn the_page_shows_it_with_the_largest_disagreement_first() {
    let run = with_audit(&[row("square.512", 1.0, 1.01), row("square.1000", 1.5, 1.2), row("wide", 2.0, 2.0)]).unwrap();
    assert_eq!(run.audits.len(), 3);
    let page = html(&run);
    assert!(page.contains("libtorch: 3 cases, median disagreement 1.0 %, largest 25.0 %"));
    let at = |text: &str| page.find(&format!("<td>{text}</td>")).unwrap_or_else(|| panic!("no {text}"));
    let section = page.find("Paired against alone").unwrap();
    let place = |text: &str| section + page[section..].find(&format!("<td>{text}</td>")).unwrap();
    assert!(place("square.1000") < place("square.512") && place("square.512") < place("wide"));
    assert!(at("wide") > section);
    assert!(!html(&crate::run()).contains("Paired against alone"));
}

#[test]
fn a_row_without_usable_ratios_is_named() {
    for (field, value) in [("alone", json!(0.0)), ("paired_low", json!(-1.0)), ("disagreement", json!(null))] {
        let mut wrong = row("wide", 2.0, 2.0);
        wrong[field] = value;
        let error = with_audit(&[wrong]).expect_err(field).to_string();
        assert!(error.contains("audit.jsonl, line 1"), "{error}");
    }
}
