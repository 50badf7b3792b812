//! The study of Winograd's error.

use etalon_reports::page;
use etalon_reports::rows::Table;
use etalon_reports::winograd::{pictures, study};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{paired, run, run_of};

/// A kernel's row at a number of channels.
fn row(kernel: &str, channels: u64, threads: usize, ns: f64, nmse: f64) -> Value {
    let mut record = paired();
    record["id"] = json!(format!("conv2d/{kernel}/f32/c={channels}/t{threads}#real-1"));
    (record["op"], record["kernel"], record["threads"]) = (json!("conv2d"), json!(kernel), json!(threads));
    record["workload"] = json!(format!("study.winograd_c{channels}"));
    record["time"]["median_ns"] = json!(ns);
    (record["accuracy"]["nmse"], record["accuracy"]["max_abs"]) = (json!(nmse), json!(nmse.sqrt() * 8.0));
    record["accuracy"]["libtorch_max_abs"] = Value::Null;
    record["peers"] = json!([]);
    record
}

fn records() -> Vec<Value> {
    let mut all = Vec::new();
    for channels in [16, 32, 64] {
        for threads in [1, 2] {
            let ns = 1e6 * channels as f64 / threads as f64;
            all.push(row("implicit-avx512", channels, threads, ns, 1e-14));
            all.push(row("implicit-avx2", channels, threads, ns * 2.0, 1e-14));
            all.push(row("winograd2-avx512", channels, threads, ns / 1.5, 4e-14));
            all.push(row("winograd4-avx512", channels, threads, ns / 2.0, 9e-14));
            let mut paired = row("winograd6-avx512", channels, threads, ns / 2.5, 1e-12);
            paired["peers"] = crate::paired()["peers"].clone();
            paired["peers"][0]["median_ns"] = json!(ns / 0.8);
            paired["accuracy"]["libtorch_max_abs"] = json!(3e-6);
            all.push(paired);
        }
    }
    all
}

#[test]
fn rows_have_errors_times_and_the_ratio_to_direct() {
    let run = run_of(&records());
    let study = study(&Table::new(&run)).unwrap();
    assert_eq!(study.threads, [1, 2]);
    assert_eq!(study.rows.len(), 3 * 5);
    let names: Vec<_> = study.rows[..5].iter().map(|r| r.name).collect();
    assert_eq!(names, ["direct", "F(2×2)", "F(4×4)", "F(6×6)", "libtorch"]);
    let near = |x: f64, y: f64| (x - y).abs() < 1e-9;
    let [direct, _, f4, _, libtorch] = &study.rows[..5] else { panic!() };
    assert_eq!((direct.channels, direct.kernel.as_deref()), (16, Some("implicit-avx512")), "the widest");
    assert!(near(f4.rms.unwrap(), 3e-7) && near(f4.max_abs.unwrap(), 2.4e-6));
    assert!(near(f4.speed[&1], 2.0) && near(f4.speed[&2], 2.0) && near(direct.speed[&1], 1.0));
    assert_eq!((libtorch.rms, libtorch.max_abs, &libtorch.kernel), (None, Some(3e-6), &None));
    assert!(near(libtorch.speed[&1], 0.8));
}

#[test]
fn a_narrower_set_stands_in_where_the_widest_is_absent() {
    let narrow = [row("implicit-avx2", 16, 1, 2e6, 1e-14), row("winograd4-avx2", 16, 1, 1e6, 9e-14)];
    let run = run_of(&narrow);
    let study = study(&Table::new(&run)).unwrap();
    let kernels: Vec<_> = study.rows.iter().filter_map(|r| r.kernel.as_deref()).collect();
    assert_eq!(kernels, ["implicit-avx2", "winograd4-avx2"]);
}

#[test]
fn threads_of_the_default_kernel_alone_have_no_column() {
    let mut records: Vec<_> = records().into_iter().filter(|r| r["threads"] == 1).collect();
    let mut default = row("fast-avx512", 16, 2, 1e6, 9e-14);
    default["peers"] = crate::paired()["peers"].clone();
    records.push(default);
    assert_eq!(study(&Table::new(&run_of(&records))).unwrap().threads, [1]);
}

#[test]
fn its_pictures_have_a_line_for_each_algorithm() {
    let run = run_of(&records());
    let study = study(&Table::new(&run)).unwrap();
    let pictures = pictures(&study).unwrap();
    let names: Vec<_> = pictures.iter().map(|p| p.name).collect();
    assert_eq!(names, ["winograd-rms", "winograd-max", "winograd-speed"]);
    assert_eq!(pictures[0].legend, ["direct", "F(2×2)", "F(4×4)", "F(6×6)"], "libtorch's is not recorded");
    assert_eq!(pictures[1].legend.len(), 5);
    assert!(pictures.iter().all(|p| p.svg.contains("var(--ink)") && !p.svg.contains("=\"#")));
}

#[test]
fn without_winograd_no_section() {
    assert_eq!(study(&Table::new(&run())), None);
    assert_eq!(study(&Table::new(&run_of(&[row("implicit-avx512", 16, 1, 1e6, 1e-14)]))), None);
    let html = |records: &[Value]| {
        let folder = TempDir::new().unwrap();
        page::write(&run_of(records), folder.path()).unwrap();
        std::fs::read_to_string(folder.path().join("index.html")).unwrap()
    };
    assert!(!html(&[paired()]).contains("id=\"winograd-rms\""));
    let with = html(&records());
    assert!(with.contains("id=\"winograd-rms\"") && with.contains("no other dtype has Winograd kernels"));
}
