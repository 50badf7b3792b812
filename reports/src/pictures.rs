//! The pictures: which rows each one shows, and what it says of them.

use std::collections::BTreeMap;

use etalon_reference::record::Peak;

use crate::draw::{Axes, Error, Line, bars, chart};
use crate::numbers::{Ratio, geometric_mean};
use crate::rows::{Row, Table};

/// A picture with what it shows.
pub struct Picture {
    /// Anchor.
    pub name: &'static str,
    /// Caption.
    pub caption: &'static str,
    /// Names of the series, in the order of their colours.
    pub legend: Vec<String>,
    /// Inline SVG.
    pub svg: String,
}

/// Shorter calls measure the fork and join more than the kernel.
const MIN_SCALED_NS: f64 = 1e5;

/// Every picture there are records for.
///
/// # Errors
/// What plotters says.
pub fn all(table: &Table<'_>, peaks: &[Peak]) -> Result<Vec<Picture>, Error> {
    let made = [roofline(table, peaks)?, sizes(table)?, precisions(table)?, threads(table)?, ratios(table)?];
    Ok(made.into_iter().flatten().collect())
}

/// A chart as a picture, its legend from its lines.
pub(crate) fn picture(
    name: &'static str,
    caption: &'static str,
    axes: &Axes<'_>,
    mut lines: Vec<Line>,
    limits: &[Line],
) -> Result<Option<Picture>, Error> {
    lines.iter_mut().for_each(|l| l.points.sort_by(|a, b| a.0.total_cmp(&b.0)));
    let svg = chart(axes, &lines, limits)?;
    let legend = lines.into_iter().map(|l| l.name).collect();
    Ok(svg.map(|svg| Picture { name, caption, legend, svg }))
}

/// Series from points by name.
fn lines(groups: BTreeMap<&str, Vec<(f64, f64)>>) -> Vec<Line> {
    groups.into_iter().map(|(name, points)| Line { name: name.into(), points }).collect()
}

fn roofline(table: &Table<'_>, peaks: &[Peak]) -> Result<Option<Picture>, Error> {
    let mut groups: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for record in table.headlines().map(|r| r.record).filter(|r| r.dtype == "f32" && r.threads == 1) {
        let work = &record.work;
        if let (Some(rate), true) = (work.gflops, work.flops > 0.0 && work.bytes > 0.0) {
            groups.entry(&record.op).or_default().push((work.flops / work.bytes, rate));
        }
    }
    let axes = Axes { x: "operations a byte", base: 10.0, y: "GF/s", log_y: true, marks_only: true };
    let caption = "Roofline: f32, one thread. Lines: the measured FMA peak, and the measured read bandwidth by level.";
    picture("roofline", caption, &axes, lines(groups), &roofs(peaks))
}

/// The measured f32 limits of one thread: for each level, its bandwidth up to the FMA peak.
fn roofs(peaks: &[Peak]) -> Vec<Line> {
    let one = |kind: &str, level: &str| {
        let fits = |p: &&Peak| p.kind == kind && p.level == level && p.threads == 1;
        let values = peaks.iter().filter(fits).filter(|p| p.dtype == "f32" || p.dtype.is_empty()).map(|p| p.value);
        values.filter(|v| *v > 0.0).reduce(f64::max)
    };
    let Some(peak) = one("fma", "") else { return Vec::new() };
    let roof = |level: &str| {
        let bandwidth = one("read", level)?;
        let points = vec![(0.1, 0.1 * bandwidth), (peak / bandwidth, peak), (1000.0, peak)];
        Some(Line { name: level.into(), points })
    };
    ["memory", "L3", "L2"].into_iter().filter_map(roof).collect()
}

/// Square products that take operands as they are, on one thread, each with its size.
fn squares<'a>(table: &'a Table<'_>) -> impl Iterator<Item = (f64, &'a Row<'a>)> {
    table.headlines().filter_map(|row| {
        let r = row.record;
        let size = r.workload.as_deref()?.strip_prefix("square.")?.parse().ok()?;
        (r.op == "gemm" && r.threads == 1 && r.packing == "per-call" && r.cache == "warm").then_some((size, row))
    })
}

fn sizes(table: &Table<'_>) -> Result<Option<Picture>, Error> {
    let mut ours = Vec::new();
    let mut peers: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for (size, row) in squares(table).filter(|(_, row)| row.record.dtype == "f32") {
        let Some(time) = &row.record.time else { continue };
        let flops = row.record.work.flops;
        ours.push((size, flops / time.median_ns));
        for peer in &row.record.peers {
            peers.entry(&peer.peer).or_default().push((size, flops / peer.median_ns));
        }
    }
    let mut all = vec![Line { name: "ours".into(), points: ours }];
    all.extend(lines(peers));
    let axes = Axes { x: "m = n = k", base: 2.0, y: "GF/s", log_y: false, marks_only: false };
    picture("size-sweep", "Size sweep: square f32 GEMM, one thread.", &axes, all, &[])
}

fn precisions(table: &Table<'_>) -> Result<Option<Picture>, Error> {
    let mut groups: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for (size, row) in squares(table) {
        if let Some(rate) = row.record.work.gflops {
            groups.entry(&row.record.dtype).or_default().push((size, rate));
        }
    }
    if groups.len() < 2 {
        return Ok(None);
    }
    let axes = Axes { x: "m = n = k", base: 2.0, y: "GF/s", log_y: false, marks_only: false };
    picture("precision-sweep", "Precision sweep: square GEMM by dtype, one thread.", &axes, lines(groups), &[])
}

fn threads(table: &Table<'_>) -> Result<Option<Picture>, Error> {
    let key = |r: &Row<'_>| (r.record.op.clone(), r.workload(), r.record.dtype.clone(), r.tags());
    let time = |r: &Row<'_>| r.record.time.as_ref().map(|t| t.median_ns);
    let one: BTreeMap<_, _> = table
        .headlines()
        .filter(|r| r.record.threads == 1)
        .filter_map(|r| Some((key(r), time(r).filter(|&t| t >= MIN_SCALED_NS)?)))
        .collect();
    let efficiency = |row: &Row<'_>| {
        let value = one.get(&key(row))? / time(row)? / row.record.threads as f64;
        Some(Ratio { value, low: value, high: value })
    };
    let families = by_family(table, |row| efficiency(row).filter(|_| row.record.threads > 1));
    let caption = "Thread scaling by family: time on one thread / (threads × time on as many), geometric mean over cases \
                   of at least 0.1 ms; the line at 1 is perfect.";
    let svg = bars(families, "efficiency of threads")?;
    Ok(svg.map(|svg| Picture { name: "thread-scaling", caption, legend: Vec::new(), svg }))
}

/// Speed against libtorch by family.
///
/// # Errors
/// What plotters says.
pub fn ratios(table: &Table<'_>) -> Result<Option<Picture>, Error> {
    let families = by_family(table, |row| row.ratio("libtorch"));
    let caption = "Speed against libtorch by family: geometric mean of the paired ratios; right of the line at 1, ours is \
                   faster.";
    let svg = bars(families, "× libtorch")?;
    Ok(svg.map(|svg| Picture { name: "ratio", caption, legend: Vec::new(), svg }))
}

/// Geometric mean of a ratio of each operator (of a family, each member), dtype and thread count.
fn by_family(table: &Table<'_>, ratio: impl Fn(&Row<'_>) -> Option<Ratio>) -> Vec<(String, f64)> {
    let mut groups: BTreeMap<String, Vec<Ratio>> = BTreeMap::new();
    for row in table.headlines() {
        if let Some(ratio) = ratio(row) {
            let key = format!("{} {} t{}", row.family(), row.record.dtype, row.record.threads);
            groups.entry(key).or_default().push(ratio);
        }
    }
    groups.into_iter().filter_map(|(name, all)| Some((name, geometric_mean(&all)?.value))).collect()
}
