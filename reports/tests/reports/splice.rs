//! The table in a README.

use std::fs;

use etalon_reports::load::Run;
use etalon_reports::splice::{results, splice};
use tempfile::TempDir;

use crate::{fixture, paired, program, run, run_of};

const README: &str = "# Title\n\n<!-- results:begin -->\nold\n<!-- results:end -->\n\nlast words\n";

#[test]
fn lands_between_the_markers_and_nowhere_else() {
    let text = splice(README, &run()).unwrap();
    assert!(text.starts_with("# Title\n\n<!-- results:begin -->\n"));
    assert!(text.ends_with("<!-- results:end -->\n\nlast words\n"));
    assert!(!text.contains("old"));
    assert!(text.contains(&run().id));
    // The fixture's other case is cold.
    assert!(text.contains("| `batchnorm_relu` | 4 |"));
    assert!(!text.contains("square.512"));
}

#[test]
fn gradients_stand_in_the_line_of_their_operator() {
    let of = |op: &str| {
        let mut record = paired();
        for (field, value) in [("op", op), ("workload", "one"), ("dtype", "f32")] {
            record[field] = value.into();
        }
        record
    };
    let text = splice(README, &run_of(&["conv2d", "conv2d_backward_data", "conv2d_backward_weights"].map(of))).unwrap();
    let line = text.lines().find(|line| line.starts_with("| `conv2d` | 3 |")).expect("one line");
    assert_eq!((line.matches('(').count(), text.contains("| `conv2d_backward")), (3, false), "{line}");
}

#[test]
fn every_case_is_on_the_page_of_results() {
    let text = results(&run());
    assert!(text.starts_with("# Results\n\n") && text.contains(&run().id));
    assert!(text.contains("| `batchnorm_relu_backward` | f32 | 1 | 1 |"));
    assert!(text.contains("| `gemm` square.512 |"));
}

#[test]
fn members_of_a_family_have_lines_of_their_own() {
    let of = |variant: &str| {
        let mut record = paired();
        for (field, value) in [("op", "activation"), ("variant", variant), ("workload", variant), ("dtype", "f32")] {
            record[field] = value.into();
        }
        record
    };
    let text = results(&run_of(&[of("silu"), of("tanh")]));
    assert!(text.contains("| `activation silu` | f32 |") && text.contains("| `activation tanh` | f32 |"), "{text}");
}

#[test]
fn a_run_that_is_kept_is_the_same_run() {
    let folder = TempDir::new().unwrap();
    let kept = folder.path().join("kept");
    let asked = [fixture("records.jsonl"), fixture("environment.json")];
    let output = program(
        env!("CARGO_BIN_EXE_etalon-report"),
        &[asked[0].as_os_str(), asked[1].as_os_str(), "--keep".as_ref(), kept.as_ref()],
    );
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let before = Run::read(&asked).unwrap();
    let after = Run::read(&[kept.join("data")]).unwrap();
    assert_eq!((&after.id, after.records.len()), (&before.id, before.records.len()));
    let mut names: Vec<_> = after.sources.iter().map(|source| source.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["environment.json", "records.jsonl"]);
    assert!(fs::metadata(kept.join("data/records.jsonl.gz")).unwrap().len() > 0);
    assert_eq!(fs::read_to_string(kept.join("RESULTS.md")).unwrap(), results(&before));
    assert!(fs::read_to_string(kept.join("ratio.svg")).unwrap().starts_with("<svg"));
}

#[test]
fn damaged_records_are_an_error_that_names_the_file() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("records.jsonl.gz");
    fs::write(&file, b"no gzip at all").unwrap();
    let error = Run::read(&[&file]).unwrap_err().to_string();
    assert!(error.contains("records.jsonl.gz"), "{error}");
}

#[test]
fn every_line_of_a_table_has_as_many_cells() {
    let text = splice(README, &run()).unwrap() + &results(&run());
    let cells = |line: &str| line.matches('|').count();
    for table in text.split("\n\n").filter(|part| part.starts_with('|')) {
        let rows: Vec<_> = table.lines().filter(|line| line.starts_with('|')).map(cells).collect();
        assert!(rows.len() > 2 && rows.iter().all(|n| *n == rows[0]), "{table}");
    }
}

#[test]
fn twice_is_once() {
    let once = splice(README, &run()).unwrap();
    assert_eq!(splice(&once, &run()).unwrap(), once);
}

#[test]
fn missing_markers_are_an_error() {
    let reversed = "<!-- results:end --> <!-- results:begin -->";
    for text in ["", "<!-- results:begin -->", "<!-- results:end -->", reversed] {
        assert_eq!(splice(text, &run()), None);
    }
}

#[test]
fn the_program_writes_the_file_or_says_what_it_lacks() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("README.md");
    let records = fixture("records.jsonl");
    let splice =
        || program(env!("CARGO_BIN_EXE_etalon-report"), &[records.as_os_str(), "--splice".as_ref(), file.as_ref()]);

    fs::write(&file, README).unwrap();
    assert_eq!(splice().status.code(), Some(0));
    assert!(fs::read_to_string(&file).unwrap().contains("| `batchnorm_relu` | 4 |"));

    fs::write(&file, "no markers").unwrap();
    let output = splice();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("results:begin"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "no markers");
}
