//! The pictures, as SVG that takes its colours from the page: plotters draws in stand-in colours, which are then replaced by
//! the page's variables, so that a picture is right in both themes.

use std::collections::BTreeMap;

use etalon_reference::record::Peak;
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::numbers::geometric_mean;
use crate::rows::{Row, Table};

/// A picture with what it shows.
pub struct Picture {
    /// File name and anchor.
    pub name: &'static str,
    /// Caption.
    pub caption: String,
    /// Inline SVG.
    pub svg: String,
}

const SIZE: (u32, u32) = (720, 400);
const INK: RGBColor = RGBColor(1, 2, 3);
const GRID: RGBColor = RGBColor(4, 5, 6);
/// Stand-ins of the page's series colours.
const SERIES: [RGBColor; 6] = [
    RGBColor(11, 0, 1),
    RGBColor(12, 0, 2),
    RGBColor(13, 0, 3),
    RGBColor(14, 0, 4),
    RGBColor(15, 0, 5),
    RGBColor(16, 0, 6),
];

type Error = Box<dyn std::error::Error>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Every picture there are records for.
///
/// # Errors
/// What plotters says.
pub fn all(table: &Table<'_>, peaks: &[Peak]) -> Result<Vec<Picture>, Error> {
    let made = [roofline(table, peaks)?, sizes(table)?, threads(table)?, precisions(table)?, ratios(table)?];
    Ok(made.into_iter().flatten().collect())
}

fn draw(body: impl FnOnce(&Area<'_>) -> Result<(), Error>) -> Result<String, Error> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        body(&area)?;
        area.present()?;
    }
    Ok(themed(&svg))
}

/// Stand-in colours to variables, and a size that fits the page.
fn themed(svg: &str) -> String {
    let hex = |c: RGBColor| format!("#{:02X}{:02X}{:02X}", c.0, c.1, c.2);
    let mut out = svg.replace(&hex(INK), "var(--ink)").replace(&hex(GRID), "var(--line)");
    for (i, color) in SERIES.into_iter().enumerate() {
        out = out.replace(&hex(color), &format!("var(--s{})", i + 1));
    }
    // The fixed size would not shrink on a phone.
    out.replacen(&format!("width=\"{}\" height=\"{}\"", SIZE.0, SIZE.1), "class=\"picture\" role=\"img\"", 1)
}

fn font(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}

/// A line or a set of points with a name.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// What the axes say, and how they run.
struct Axes<'a> {
    x: &'a str,
    y: &'a str,
    log_y: bool,
    marks_only: bool,
}

fn chart(axes: &Axes<'_>, lines: &[Line], limits: &[Line]) -> Result<Option<String>, Error> {
    let every = || lines.iter().chain(limits).flat_map(|l| &l.points);
    if lines.iter().all(|l| l.points.is_empty()) {
        return Ok(None);
    }
    let fold = |f: fn(f64, f64) -> f64, by: fn(&(f64, f64)) -> f64| every().map(by).reduce(f).unwrap_or(1.0);
    let x = fold(f64::min, |p| p.0) / 1.3..fold(f64::max, |p| p.0) * 1.3;
    let (low, high) = (fold(f64::min, |p| p.1), fold(f64::max, |p| p.1));
    let y = if axes.log_y { low / 1.5..high * 1.5 } else { 0.0..high * 1.08 };
    draw(|area| {
        let mut builder = ChartBuilder::on(area);
        builder.margin(10).margin_right(24).x_label_area_size(44).y_label_area_size(64);
        macro_rules! body {
            ($chart:expr) => {{
                let mut chart = $chart;
                chart
                    .configure_mesh()
                    .x_desc(axes.x)
                    .y_desc(axes.y)
                    .label_style(font(13))
                    .axis_desc_style(font(14))
                    .axis_style(INK)
                    .bold_line_style(GRID)
                    .light_line_style(TRANSPARENT)
                    .x_label_formatter(&|v| plain(*v))
                    .y_label_formatter(&|v| plain(*v))
                    .draw()?;
                for limit in limits {
                    chart.draw_series(LineSeries::new(limit.points.iter().copied(), INK.stroke_width(1)))?;
                    if let Some(&at) = limit.points.last() {
                        chart.draw_series([Text::new(limit.name.clone(), (at.0 / 1.9, at.1 * 0.97), font(11))])?;
                    }
                }
                for (i, line) in lines.iter().enumerate() {
                    let color = SERIES[i % SERIES.len()];
                    if !axes.marks_only {
                        chart.draw_series(LineSeries::new(line.points.iter().copied(), color.stroke_width(2)))?;
                    }
                    chart
                        .draw_series(line.points.iter().map(|&p| Circle::new(p, 4, color.filled())))?
                        .label(line.name.clone())
                        .legend(move |(x, y)| Circle::new((x + 8, y), 4, color.filled()));
                }
                chart
                    .configure_series_labels()
                    .position(SeriesLabelPosition::LowerRight)
                    .label_font(font(13))
                    .draw()?;
            }};
        }
        if axes.log_y {
            body!(builder.build_cartesian_2d(x.log_scale(), y.log_scale())?);
        } else {
            body!(builder.build_cartesian_2d(x.log_scale(), y)?);
        }
        Ok(())
    })
    .map(Some)
}

fn plain(v: f64) -> String {
    if v >= 1.0 { format!("{v:.0}") } else { format!("{v}") }
}

fn roofline(table: &Table<'_>, peaks: &[Peak]) -> Result<Option<Picture>, Error> {
    let f32_one = |r: &&Row<'_>| r.record.dtype == "f32" && r.record.threads == 1 && r.record.work.bytes > 0.0;
    let mut groups: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for row in table.headlines().filter(f32_one) {
        if let (Some(rate), true) = (row.record.work.gflops, row.record.work.flops > 0.0) {
            groups.entry(&row.record.op).or_default().push((row.record.work.flops / row.record.work.bytes, rate));
        }
    }
    let lines: Vec<Line> = groups.into_iter().map(|(name, points)| Line { name: name.into(), points }).collect();
    let one = |kind: &str, level: &str| {
        peaks
            .iter()
            .filter(|p| {
                p.kind == kind && p.level == level && p.threads == 1 && (p.dtype == "f32" || p.dtype.is_empty())
            })
            .map(|p| p.value)
            .reduce(f64::max)
    };
    let mut limits = Vec::new();
    if let Some(peak) = one("fma", "") {
        for level in ["memory", "L3", "L2"] {
            if let Some(bandwidth) = one("read", level) {
                let knee = peak / bandwidth;
                let name = format!("FMA peak, {level}");
                limits.push(Line {
                    name: if level == "memory" { name } else { String::new() },
                    points: vec![(0.1, 0.1 * bandwidth), (knee, peak), (1000.0, peak)],
                });
            }
        }
    }
    let axes = Axes { x: "operations a byte", y: "GF/s", log_y: true, marks_only: true };
    let caption = "Roofline: f32, one thread. Lines: the measured FMA peak and the read bandwidth of memory, L3 and L2 (from right to left).";
    Ok(chart(&axes, &lines, &limits)?.map(|svg| Picture { name: "roofline", caption: caption.into(), svg }))
}

fn sizes(table: &Table<'_>) -> Result<Option<Picture>, Error> {
    let mut ours = Vec::new();
    let mut peers: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for row in table.headlines().filter(|r| r.record.op == "gemm" && r.record.dtype == "f32" && r.record.threads == 1) {
        let size =
            row.record.workload.as_deref().and_then(|w| w.strip_prefix("square.")).and_then(|n| n.parse::<f64>().ok());
        let (Some(size), Some(time)) = (size, &row.record.time) else { continue };
        ours.push((size, row.record.work.flops / time.median_ns));
        for peer in &row.record.peers {
            peers.entry(&peer.peer).or_default().push((size, row.record.work.flops / peer.median_ns));
        }
    }
    let mut lines = vec![Line { name: "ours".into(), points: ours }];
    lines.extend(peers.into_iter().map(|(name, points)| Line { name: name.into(), points }));
    lines.iter_mut().for_each(|l| l.points.sort_by(|a, b| a.0.total_cmp(&b.0)));
    let axes = Axes { x: "m = n = k", y: "GF/s", log_y: false, marks_only: false };
    let caption = "Size sweep: square f32 GEMM, one thread.";
    Ok(chart(&axes, &lines, &[])?.map(|svg| Picture { name: "size-sweep", caption: caption.into(), svg }))
}

fn threads(table: &Table<'_>) -> Result<Option<Picture>, Error> {
    let mut one: BTreeMap<String, f64> = BTreeMap::new();
    let mut bars = Vec::new();
    let key = |r: &Row<'_>| format!("{} {} {} {}", r.record.op, r.workload(), r.record.dtype, r.record.packing);
    for row in table.headlines().filter(|r| r.record.threads == 1) {
        one.insert(key(row), row.record.time.as_ref().map_or(0.0, |t| t.median_ns));
    }
    for row in table.headlines().filter(|r| r.record.threads == 2) {
        if let (Some(&single), Some(time)) = (one.get(&key(row)), &row.record.time)
            && single > 1e5
        {
            bars.push((format!("{} {}", row.workload(), row.record.dtype), single / time.median_ns));
        }
    }
    let svg = bar_chart(&mut bars, "speed-up of two threads", 2.0)?;
    let caption = "Thread scaling: time on one thread over time on two, cases of at least 0.1 ms.";
    Ok(svg.map(|svg| Picture { name: "thread-scaling", caption: caption.into(), svg }))
}

fn precisions(table: &Table<'_>) -> Result<Option<Picture>, Error> {
    let mut groups: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for row in table.headlines().filter(|r| r.record.op == "gemm" && r.record.threads == 1) {
        let size =
            row.record.workload.as_deref().and_then(|w| w.strip_prefix("square.")).and_then(|n| n.parse::<f64>().ok());
        if let (Some(size), Some(rate)) = (size, row.record.work.gflops) {
            groups.entry(&row.record.dtype).or_default().push((size, rate));
        }
    }
    if groups.len() < 2 {
        return Ok(None);
    }
    let mut lines: Vec<Line> = groups.into_iter().map(|(name, points)| Line { name: name.into(), points }).collect();
    lines.iter_mut().for_each(|l| l.points.sort_by(|a, b| a.0.total_cmp(&b.0)));
    let axes = Axes { x: "m = n = k", y: "GF/s", log_y: false, marks_only: false };
    let caption = "Precision sweep: square GEMM by dtype, one thread.";
    Ok(chart(&axes, &lines, &[])?.map(|svg| Picture { name: "precision-sweep", caption: caption.into(), svg }))
}

fn ratios(table: &Table<'_>) -> Result<Option<Picture>, Error> {
    let mut groups: BTreeMap<String, Vec<crate::numbers::Ratio>> = BTreeMap::new();
    for row in table.headlines() {
        if let Some(ratio) = row.ratio("libtorch") {
            let key = format!("{} {} t{}", row.record.op, row.record.dtype, row.record.threads);
            groups.entry(key).or_default().push(ratio);
        }
    }
    let mut bars: Vec<(String, f64)> =
        groups.into_iter().filter_map(|(name, all)| Some((name, geometric_mean(&all)?.value))).collect();
    let svg = bar_chart(&mut bars, "× libtorch, geometric mean", 1.0)?;
    let caption = "Speed against libtorch by family: geometric mean of the paired ratios; the line is 1.";
    Ok(svg.map(|svg| Picture { name: "ratio", caption: caption.into(), svg }))
}

/// Horizontal bars, the longest on top, with a line at `mark`.
fn bar_chart(bars: &mut [(String, f64)], axis: &str, mark: f64) -> Result<Option<String>, Error> {
    if bars.is_empty() {
        return Ok(None);
    }
    bars.sort_by(|a, b| a.1.total_cmp(&b.1));
    // As many as can be read.
    let bars = &bars[bars.len().saturating_sub(18)..];
    let high = bars.iter().map(|b| b.1).fold(mark, f64::max) * 1.12;
    draw(|area| {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .margin_right(24)
            .x_label_area_size(44)
            .y_label_area_size(220)
            .build_cartesian_2d(0.0..high, 0.0..bars.len() as f64)?;
        chart
            .configure_mesh()
            .disable_y_axis()
            .disable_y_mesh()
            .x_desc(axis)
            .label_style(font(13))
            .axis_desc_style(font(14))
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (i, (name, value)) in bars.iter().enumerate() {
            let (bottom, top) = (i as f64 + 0.18, i as f64 + 0.82);
            chart.draw_series([Rectangle::new([(0.0, bottom), (*value, top)], SERIES[0].filled())])?;
            chart.draw_series([Text::new(
                format!("{value:.2}"),
                (*value + high * 0.008, i as f64 + 0.66),
                font(12),
            )])?;
            let (x, y) = chart.backend_coord(&(0.0, i as f64 + 0.66));
            area.draw_text(name, &font(12), ((x - 214).max(0), y))?;
        }
        chart.draw_series(LineSeries::new([(mark, 0.0), (mark, bars.len() as f64)], INK.stroke_width(1)))?;
        Ok(())
    })
    .map(Some)
}
