//! The sweep over precisions: what a type costs in time, and what it loses.

use std::collections::BTreeSet;

use etalon_reference::record::{Record, Status};
use etalon_reference::sqnr;
use minijinja::{Value, context};

use crate::numbers;
use crate::rows::{Table, is_peer};

/// The operators that multiply matrices, which have workloads of the same names.
const OPERATORS: [&str; 4] = ["gemm", "matmul_int8", "matmul_nbits", "matmul_binary"];
/// The workloads: those of gemm that two of the other operators have at least.
const OTHERS: usize = 2;

/// What a product of some type takes.
struct Of<'a> {
    record: &'a Record,
    /// The time of f32 over its own.
    speed: f64,
}

/// The fastest kernel of ours for each workload, operator and types, on the fewest threads; f32 first.
fn sweep<'a>(table: &Table<'a>) -> Vec<(String, Vec<Of<'a>>)> {
    let ours = |r: &&Record| {
        OPERATORS.contains(&r.op.as_str()) && r.status == Status::Ok && r.time.is_some() && !is_peer(&r.kernel)
    };
    let all: Vec<&'a Record> = table.rows.iter().map(|row| row.record).filter(ours).collect();
    let Some(threads) = all.iter().map(|r| r.threads).min() else { return Vec::new() };
    let named = |r: &Record, op: &str, workload: &str| r.op == op && r.workload.as_deref() == Some(workload);
    let of_gemm = all.iter().filter(|r| r.op == OPERATORS[0] && r.threads == threads);
    let mut workloads: Vec<&str> = of_gemm.filter_map(|r| r.workload.as_deref()).collect();
    workloads.dedup();
    let mut seen = BTreeSet::new();
    workloads.retain(|w| seen.insert(*w));
    let median = |r: &Record| r.time.as_ref().map_or(f64::INFINITY, |time| time.median_ns);
    let shared = |w: &&str| OPERATORS[1..].iter().filter(|op| all.iter().any(|r| named(r, op, w))).count() >= OTHERS;
    let mut sweep = Vec::new();
    for workload in workloads.into_iter().filter(shared) {
        let here = all.iter().filter(|r| r.threads == threads && r.workload.as_deref() == Some(workload));
        let mut best: Vec<&'a Record> = Vec::new();
        for record in here {
            let same = |other: &&mut &Record| (&other.op, &other.dtype) == (&record.op, &record.dtype);
            match best.iter_mut().find(same) {
                Some(known) if median(known) <= median(record) => {}
                Some(known) => *known = record,
                None => best.push(record),
            }
        }
        let Some(f32) = best.iter().find(|r| r.op == OPERATORS[0] && r.dtype == "f32").map(|r| median(r)) else {
            continue;
        };
        best.sort_by_key(|r| (OPERATORS.iter().position(|op| *op == r.op), r.dtype != "f32"));
        sweep.push((
            workload.into(),
            best.into_iter().map(|record| Of { record, speed: f32 / median(record) }).collect(),
        ));
    }
    sweep
}

/// The section: products by workload, and what schemes lose; none where no workload has several precisions.
pub fn section(table: &Table<'_>) -> Option<Value> {
    let sweep = sweep(table);
    let product = |of: &Of<'_>| {
        let r = of.record;
        let (value, unit) = numbers::time(r.time.as_ref().map_or(0.0, |time| time.median_ns), 0.0);
        let rms = r.accuracy.as_ref().map(|a| a.nmse).filter(|e| *e < f64::MAX).map(f64::sqrt);
        context! {
            op => r.op.clone(), dtype => r.dtype.clone(), kernel => r.kernel.clone(), time => format!("{value} {unit}"),
            speed => numbers::show(of.speed, 0.0), rms => rms.map(numbers::error),
            rate => r.work.gflops.map(|rate| numbers::show(rate, 0.0)),
        }
    };
    let workloads = sweep.iter().map(|(workload, rows)| {
        context! { workload => workload.clone(), rows => rows.iter().map(product).collect::<Vec<_>>() }
    });
    let decibels = |x: [f64; 2]| x.map(|x| format!("{x:.1}")).to_vec();
    let schemes = || {
        let one = |s: sqnr::Scheme| {
            context! {
                name => s.name, bits => numbers::show(s.bits, 0.0), weights => decibels(s.weights),
                products => decibels(s.products),
            }
        };
        sqnr::table().into_iter().map(one).collect::<Vec<_>>()
    };
    (!sweep.is_empty()).then(|| context! { workloads => workloads.collect::<Vec<_>>(), schemes => schemes() })
}
