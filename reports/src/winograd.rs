//! The study of Winograd's error: what each tile costs in accuracy and gives in speed, over the input channels.

use std::collections::{BTreeMap, BTreeSet};

use etalon_reference::record::{Record, Status};

use crate::draw::{Axes, Error, Line};
use crate::pictures::{Picture, picture};
use crate::rows::Table;

/// Beginning of the names of the study's workloads.
const STUDY: &str = "study.winograd_c";
/// Kernels of the study, without the instruction set, and how they are called.
const KERNELS: [(&str, &str); 4] =
    [("implicit", "direct"), ("winograd2", "F(2×2)"), ("winograd4", "F(4×4)"), ("winograd6", "F(6×6)")];
/// Instruction sets, the widest first.
const WIDEST: [&str; 3] = ["avx512", "avx2", "neon"];

/// An algorithm at a number of input channels.
#[derive(Clone, Debug, PartialEq)]
pub struct StudyRow {
    /// Input channels.
    pub channels: u64,
    /// `direct`, `F(2×2)`, …, or `libtorch`.
    pub name: &'static str,
    /// The kernel; libtorch's is unknown.
    pub kernel: Option<String>,
    /// Root of the mean square error over the reference's: √nmse. Not recorded of libtorch.
    pub rms: Option<f64>,
    /// Largest absolute error to the f64 reference.
    pub max_abs: Option<f64>,
    /// Median times in nanoseconds by threads.
    pub ns: BTreeMap<usize, f64>,
    /// The direct kernel's median over this one's, by threads: above 1, this one is faster. Of medians, not of paired rounds.
    pub speed: BTreeMap<usize, f64>,
}

/// The study.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Study {
    /// By channels; direct first, libtorch last.
    pub rows: Vec<StudyRow>,
    /// Numbers of threads on which the algorithms were timed, ascending.
    pub threads: Vec<usize>,
}

/// The study in a run's rows; none if it has no row of a Winograd kernel.
pub fn study(table: &Table<'_>) -> Option<Study> {
    let ours = |r: &&Record| {
        r.status == Status::Ok && r.dtype == "f32" && r.op == "conv2d" && r.time.is_some() && channels(r).is_some()
    };
    let records: Vec<&Record> = table.rows.iter().map(|row| row.record).filter(ours).collect();
    let every: BTreeSet<u64> = records.iter().filter_map(|r| channels(r)).collect();
    let threads: BTreeSet<_> = records.iter().map(|r| r.threads).collect();
    let mut study = Study { threads: threads.into_iter().collect(), ..Study::default() };
    for channels_here in every {
        let here: Vec<&Record> = records.iter().copied().filter(|r| channels(r) == Some(channels_here)).collect();
        let mut rows: Vec<StudyRow> =
            KERNELS.iter().filter_map(|(kernel, name)| of_kernel(&here, channels_here, kernel, name)).collect();
        rows.extend(of_libtorch(&here, channels_here));
        let direct = rows.iter().find(|r| r.name == "direct").map(|r| r.ns.clone()).unwrap_or_default();
        for row in &mut rows {
            row.speed = row.ns.iter().filter_map(|(t, ns)| Some((*t, direct.get(t)? / ns))).collect();
        }
        study.rows.extend(rows);
    }
    // Where only the default kernel was timed, there is nothing to compare.
    study.threads.retain(|t| study.rows.iter().any(|r| r.kernel.is_some() && r.ns.contains_key(t)));
    study.rows.iter().any(|r| r.name.starts_with('F')).then_some(study)
}

/// Input channels of a record of the study.
fn channels(r: &Record) -> Option<u64> {
    r.workload.as_deref()?.strip_prefix(STUDY)?.parse().ok()
}

/// The kernel on the widest instruction set that has it.
fn of_kernel(here: &[&Record], channels: u64, kernel: &str, name: &'static str) -> Option<StudyRow> {
    let on = |isa: &&&str| here.iter().any(|r| r.kernel == format!("{kernel}-{isa}"));
    let full = format!("{kernel}-{}", WIDEST.iter().find(on)?);
    let records = || here.iter().filter(|r| r.kernel == full);
    let worst = |of: fn(&Record) -> Option<f64>| records().filter_map(|r| of(r)).reduce(f64::max);
    Some(StudyRow {
        channels,
        name,
        rms: worst(|r| r.accuracy.as_ref().map(|a| a.nmse).filter(|e| *e < f64::MAX).map(f64::sqrt)),
        max_abs: worst(|r| r.accuracy.as_ref().map(|a| a.max_abs)),
        ns: records().filter_map(|r| Some((r.threads, r.time.as_ref()?.median_ns))).collect(),
        speed: BTreeMap::new(),
        kernel: Some(full),
    })
}

/// libtorch, where a row was timed beside it.
fn of_libtorch(here: &[&Record], channels: u64) -> Option<StudyRow> {
    let timed = here.iter().filter_map(|r| Some((r.threads, r.peers.iter().find(|p| p.peer == "libtorch")?.median_ns)));
    let ns: BTreeMap<usize, f64> = timed.collect();
    let errors = here.iter().filter_map(|r| r.accuracy.as_ref()?.libtorch_max_abs);
    let max_abs = errors.reduce(f64::max);
    let (kernel, rms, speed) = (None, None, BTreeMap::new());
    (!ns.is_empty()).then_some(StudyRow { channels, name: "libtorch", kernel, rms, max_abs, ns, speed })
}

/// The two errors over the channels, and speed over error.
///
/// # Errors
/// What plotters says.
pub fn pictures(study: &Study) -> Result<Vec<Picture>, Error> {
    let over_channels = |y| Axes { x: "input channels", base: 2.0, y, log_y: true, marks_only: false };
    let rms = picture(
        "winograd-rms",
        "Winograd's rms error over the rms of the reference, f32, by input channels (28×28, 64 outputs).",
        &over_channels("relative rms error"),
        lines(study, |r| Some((r.channels as f64, r.rms?))),
        &[],
    )?;
    let largest = picture(
        "winograd-max",
        "Largest absolute error to the f64 reference, f32, by input channels.",
        &over_channels("largest error"),
        lines(study, |r| Some((r.channels as f64, r.max_abs?))),
        &[],
    )?;
    let least = study.threads.first().copied().unwrap_or(1);
    let speed = picture(
        "winograd-speed",
        "What the error buys: time of the direct kernel over time, on the fewest threads of the run, against the relative \
         rms error. A point for each number of channels.",
        &Axes { x: "relative rms error", base: 10.0, y: "× direct", log_y: false, marks_only: true },
        lines(study, |r| Some((r.rms?, *r.speed.get(&least)?))),
        &[],
    )?;
    Ok([rms, largest, speed].into_iter().flatten().collect())
}

/// A line for each algorithm; zeros have no place on logarithmic axes.
fn lines(study: &Study, point: impl Fn(&StudyRow) -> Option<(f64, f64)>) -> Vec<Line> {
    let names = KERNELS.iter().map(|k| k.1).chain(["libtorch"]);
    let line = |name: &str| {
        let points = study.rows.iter().filter(|r| r.name == name).filter_map(&point);
        Line { name: name.into(), points: points.filter(|p| p.0 > 0.0 && p.1 > 0.0 && p.1 < f64::MAX).collect() }
    };
    names.map(line).filter(|line: &Line| !line.points.is_empty()).collect()
}
