//! What the parity gate found.

use std::fs;

use etalon_reports::load::{LoadError, Run};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{fixture, write_records};

/// A line of a file of checks.
pub fn check(kernel: &str, question: &str, failed: usize, headroom: f64) -> Value {
    json!({
        "schema_version": 1, "op": "gemm", "kernel": kernel, "dtype": "f32", "isa": "avx2", "question": question, "seed": 3,
        "passed": 90, "failed": failed, "mistrusted": 1, "skipped": 2, "headroom": headroom,
        "worst": format!("gemm/{kernel}/f32/m=2,n=2,k=2/t1#real-1"), "error": 1e-6, "libtorch_error": 2e-6,
        "witness": {"agrees": 60, "no answer": 3, "not asked": 30},
    })
}

fn with_checks(rows: &[Value]) -> Result<Run, LoadError> {
    let folder = TempDir::new().unwrap();
    for name in ["records.jsonl", "environment.json"] {
        fs::copy(fixture(name), folder.path().join(name)).unwrap();
    }
    write_records(&folder.path().join("checks.jsonl"), rows);
    Run::read(&[folder.path()])
}

#[test]
fn the_page_sums_it_up_by_operator_and_types() {
    let run = with_checks(&[check("avx2", "parity", 0, 0.25), check("avx512", "parity", 1, 0.5)]).unwrap();
    assert_eq!(run.checks.len(), 2);
    let folder = TempDir::new().unwrap();
    etalon_reports::page::write(&run, folder.path()).unwrap();
    let page = fs::read_to_string(folder.path().join("index.html")).unwrap();
    let section = &page[page.find("<section id=\"gate\">").expect("the section")..];
    assert!(section.contains("180 cases passed, 1 failed, 2 agreed on data that prove little, 4 were skipped"));
    // As the templates escape it.
    let title = "title=\"gemm/avx512/f32/m=2,n=2,k=2/t1#real-1\"".replace('/', "&#x2f;");
    assert!(section.contains(&title) && section.contains("(seed 3)"));
    assert!(section.contains(">120</td><td class=\"n\">6</td>"));
}

#[test]
fn a_line_of_another_form_is_named() {
    let mut wrong = check("avx2", "parity", 0, 0.25);
    wrong["passed"] = json!(-1);
    let error = with_checks(&[wrong]).unwrap_err().to_string();
    assert!(error.contains("checks.jsonl, line 1"), "{error}");
}
