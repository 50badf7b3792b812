//! Sums over whole networks, and what is said of one with a layer missing.

use etalon_reports::networks::{NetworkSum, sums};
use etalon_reports::rows::Table;
use etalon_reports::splice;
use etalon_reports::{export, page};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{paired, run, run_of};

/// A layer timed beside libtorch: ours in `ns` ± 1 %, the ratio ± 0.1.
fn layer(name: &str, ns: f64, ratio: f64, networks: Value) -> Value {
    let mut record = paired();
    record["id"] = json!(format!("conv2d/avx512/f32/layer={name}/t1#real-1"));
    (record["op"], record["workload"], record["networks"]) = (json!("conv2d"), json!(name), networks);
    let time = &mut record["time"];
    (time["median_ns"], time["low_ns"], time["high_ns"]) = (json!(ns), json!(ns * 0.99), json!(ns * 1.01));
    record["work"]["flops"] = json!(1e9);
    let mut peer = record["peers"][0].clone();
    assert_eq!(peer["peer"], "libtorch");
    (peer["median_ns"], peer["ratio"]) = (json!(ns * ratio), json!(ratio));
    (peer["ratio_low"], peer["ratio_high"]) = (json!(ratio - 0.1), json!(ratio + 0.1));
    record["peers"] = json!([peer]);
    record
}

fn in_network(network: &str, count: u32, of: u32) -> Value {
    json!({"network": network, "count": count, "of": of})
}

/// Two layers: one of A alone, once; one twice in A, and once in B, which has another one.
fn two() -> [Value; 2] {
    [
        layer("a.1", 1e6, 2.0, json!([in_network("A", 1, 3)])),
        layer("a.2", 4e6, 0.5, json!([in_network("A", 2, 3), in_network("B", 1, 2)])),
    ]
}

fn sums_of(records: &[Value]) -> Vec<NetworkSum> {
    sums(&Table::new(&run_of(records)))
}

/// The text of the page.
fn html(records: &[Value]) -> String {
    let folder = TempDir::new().unwrap();
    page::write(&run_of(records), folder.path()).unwrap();
    std::fs::read_to_string(folder.path().join("index.html")).unwrap()
}

#[test]
fn layers_count_as_often_as_the_network_has_them() {
    let sums = sums_of(&two());
    let [a, b] = &sums[..] else { panic!("{sums:?}") };
    assert_eq!((a.network.as_str(), a.timed, a.layers, a.is_complete()), ("A", 3, 3, true));
    assert_eq!((a.flops, a.ours.ns), (3e9, 9e6), "1 + 2 · 4");
    let versus = a.libtorch.unwrap();
    assert_eq!((versus.ns, versus.ratio.value), (6e6, 6.0 / 9.0), "2 + 2 · 2");
    let near = |x: f64, y: f64| (x - y).abs() < 1e-9;
    assert!(near(versus.ratio.low, 6.0 / 9.0 - 0.1) && near(versus.ratio.high, 6.0 / 9.0 + 0.1), "{versus:?}");
    assert_eq!((b.network.as_str(), b.timed, b.layers, b.is_complete()), ("B", 1, 2, false));
}

#[test]
fn the_interval_holds_the_ratio_of_the_sums() {
    let mut record = layer("a.1", 1e6, 2.0, json!([in_network("A", 1, 1)]));
    record["peers"][0]["median_ns"] = json!(2.5e6);
    let ratio = sums_of(&[record])[0].libtorch.unwrap().ratio;
    assert_eq!((ratio.value, ratio.high), (2.5, 2.5));
    assert!(ratio.low < ratio.value);
}

#[test]
fn a_missing_layer_is_told() {
    let text = html(&two());
    assert!(text.contains("<h2>Networks</h2>"));
    assert_eq!(text.matches("incomplete: sums of 1 of 2").count(), 1);
    let table = splice::results(&run_of(&two()));
    assert!(table.contains("| A | 1 | 3 | 3.00 | 9.00 ms |"), "{table}");
    assert!(table.contains("| B | 1 | 1 of 2 (incomplete) |"), "{table}");
}

#[test]
fn a_layer_that_failed_is_missing() {
    let [first, mut second] = two();
    (second["status"], second["reason"], second["time"]) = (json!("failed"), json!("wrong"), Value::Null);
    let sums = sums_of(&[first, second]);
    assert_eq!((sums[0].timed, sums[0].layers), (1, 3));
    assert_eq!((sums[1].timed, sums[1].layers, sums[1].ours_text()), (0, 2, None));
}

#[test]
fn no_ratio_where_a_layer_was_timed_alone() {
    let [first, mut second] = two();
    second["peers"] = json!([]);
    let records = [first, second];
    assert_eq!(sums_of(&records)[0].libtorch, None);
    assert!(html(&records).contains("not every layer was timed beside it"));
}

#[test]
fn only_usual_f32_rows_count() {
    let [first, second] = two();
    let mut others = Vec::new();
    for (field, value) in [("dtype", "f64"), ("cache", "cold"), ("packing", "pre-packed"), ("pass", "backward")] {
        let mut other = first.clone();
        other[field] = json!(value);
        others.push(other);
    }
    let alone = sums_of(&[first.clone(), second.clone()]);
    others.extend([first, second]);
    assert_eq!(sums_of(&others), alone);
}

#[test]
fn threads_are_summed_apart() {
    let mut records = two().to_vec();
    for mut record in two() {
        record["id"] = json!(record["id"].as_str().unwrap().replace("/t1#", "/t2#"));
        record["threads"] = json!(2);
        records.push(record);
    }
    let keys: Vec<_> = sums_of(&records).iter().map(|s| (s.network.clone(), s.threads)).collect();
    assert_eq!(keys, [("A", 1), ("A", 2), ("B", 1), ("B", 2)].map(|(n, t)| (n.to_string(), t)));
}

#[test]
fn no_network_no_section() {
    assert!(sums(&Table::new(&run())).is_empty());
    assert!(!html(&[paired()]).contains("<h2>Networks</h2>"));
    assert!(!splice::results(&run()).contains("| network |"));
}

#[test]
fn csv_names_the_networks() {
    let bytes = export::csv(&Table::new(&run_of(&two()))).unwrap();
    assert!(String::from_utf8(bytes).unwrap().contains("A 2/3; B 1/2"));
}
