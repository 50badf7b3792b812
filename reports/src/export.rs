//! The same rows for other programs.

use etalon_reference::record::{InNetwork, Record, Status};
use serde_json::{Map, Value, json};

use crate::rows::{Table, point};

/// Bencher Metric Format: `{name: {latency: {value, lower_value, upper_value}}}`, in nanoseconds.
pub fn bencher(table: &Table<'_>) -> Value {
    let mut out = Map::new();
    for row in &table.rows {
        if let Some(t) = &row.record.time {
            let latency = json!({"value": t.median_ns, "lower_value": t.low_ns, "upper_value": t.high_ns});
            out.insert(row.record.name(), json!({"latency": latency}));
        }
    }
    Value::Object(out)
}

/// github-action-benchmark's custom format, smaller is better.
pub fn github_action(table: &Table<'_>) -> Value {
    let timed = table.rows.iter().filter_map(|row| row.record.time.as_ref().map(|t| (row.record, t)));
    timed
        .map(|(r, t)| {
            let peers: Vec<String> = r.peers.iter().map(|p| format!("{} {:.2}", p.peer, p.ratio)).collect();
            json!({
                "name": r.name(), "unit": "ns", "value": t.median_ns,
                "range": format!("± {:.0}", (t.high_ns - t.low_ns) / 2.0), "extra": peers.join("\n"),
            })
        })
        .collect()
}

/// One line a row, every peer in columns of its own.
///
/// # Errors
/// What the writer says.
pub fn csv(table: &Table<'_>) -> Result<Vec<u8>, csv::Error> {
    let mut out = csv::Writer::from_writer(Vec::new());
    let mut header: Vec<String> = [
        "id",
        "op",
        "workload",
        "source",
        "point",
        "dtype",
        "threads",
        "cache",
        "kernel",
        "isa",
        "packing",
        "pass",
        "status",
        "reason",
        "median_ns",
        "low_ns",
        "high_ns",
        "samples",
        "flops",
        "bytes",
        "gflops",
        "gbytes",
        "bound",
        "share_of_peak",
        "max_abs",
        "bound_abs",
        "headroom",
        "libtorch_max_abs",
        "networks",
    ]
    .map(String::from)
    .into();
    for peer in &table.peers {
        header.extend(["ns", "ratio", "ratio_low", "ratio_high"].map(|column| format!("{peer}_{column}")));
    }
    out.write_record(&header)?;
    for row in &table.rows {
        let r = row.record;
        let text = |x: f64| if x == f64::MAX { "inf".into() } else { x.to_string() };
        let number = |x: Option<f64>| x.map(text).unwrap_or_default();
        let (time, accuracy) = (r.time.as_ref(), r.accuracy.as_ref());
        let mut line = vec![
            r.id.clone(),
            r.op.clone(),
            r.workload.clone().unwrap_or_default(),
            r.source.clone().unwrap_or_default(),
            point(r),
            r.dtype.clone(),
            r.threads.to_string(),
            r.cache.clone(),
            r.kernel.clone(),
            r.isa.clone(),
            r.packing.clone(),
            r.pass.clone(),
            status(r).into(),
            r.reason.clone().unwrap_or_default(),
            number(time.map(|t| t.median_ns)),
            number(time.map(|t| t.low_ns)),
            number(time.map(|t| t.high_ns)),
            time.map(|t| t.n.to_string()).unwrap_or_default(),
            r.work.flops.to_string(),
            r.work.bytes.to_string(),
            number(r.work.gflops),
            number(r.work.gbytes),
            r.work.bound.clone().unwrap_or_default(),
            number(r.work.share_of_peak),
            number(accuracy.map(|a| a.max_abs)),
            number(accuracy.map(|a| a.bound)),
            number(accuracy.and_then(|a| a.headroom)),
            number(accuracy.and_then(|a| a.libtorch_max_abs)),
            networks(r),
        ];
        for peer in &table.peers {
            let p = row.peer(peer);
            line.extend(
                [p.map(|p| p.median_ns), p.map(|p| p.ratio), p.map(|p| p.ratio_low), p.map(|p| p.ratio_high)]
                    .map(number),
            );
        }
        out.write_record(&line)?;
    }
    out.into_inner().map_err(|e| e.into_error().into())
}

/// `VGG-16 2/13; VGG-19 3/16`: two of the 13 convolutions of the one, three of the 16 of the other.
fn networks(record: &Record) -> String {
    let one = |n: &InNetwork| format!("{} {}/{}", n.network, n.count, n.of);
    record.networks.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// The word of a status.
pub fn status(record: &Record) -> &'static str {
    match record.status {
        Status::Ok => "ok",
        Status::Skipped => "skipped",
        Status::Mistrusted => "mistrusted",
        Status::Failed => "failed",
    }
}
