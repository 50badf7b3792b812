//! Charts as SVG that takes its colours from the page: plotters draws in stand-in colours, which are then replaced by the
//! page's variables, so that a picture is right in both themes.

use std::ops::{Range, RangeInclusive};

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

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

/// Small enough that texts can be read when a phone shrinks the picture.
const WIDTH: u32 = 480;
const HEIGHT: u32 = 320;
/// Width of the names beside bars.
const NAMES: u32 = 200;
/// Height of one bar with its gap.
const BAR: u32 = 24;
/// Height of the axis under bars.
const AXIS: u32 = 44;

/// What plotters says.
pub type Error = Box<dyn std::error::Error>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Points with a name.
pub struct Line {
    /// The name; beside a limit, or in the legend.
    pub name: String,
    /// In ascending x.
    pub points: Vec<(f64, f64)>,
}

/// What the axes say, and how they run.
pub struct Axes<'a> {
    /// Under the x axis, which is logarithmic.
    pub x: &'a str,
    /// Base of the x axis' marks.
    pub base: f64,
    /// Beside the y axis.
    pub y: &'a str,
    /// Whether the y axis is logarithmic too.
    pub log_y: bool,
    /// Whether points stay unconnected.
    pub marks_only: bool,
}

/// CSS colour of the `i`-th series.
pub fn color(i: usize) -> String {
    format!("var(--s{})", i % SERIES.len() + 1)
}

/// Series over a logarithmic x axis, and thin lines for limits; `None` without a point.
///
/// # Errors
/// What plotters says.
pub fn chart(axes: &Axes<'_>, lines: &[Line], limits: &[Line]) -> Result<Option<String>, Error> {
    let (lines, limits) = (&drawable(axes, lines)[..], &drawable(axes, limits)[..]);
    let every = || lines.iter().chain(limits).flat_map(|l| &l.points);
    if lines.iter().all(|l| l.points.is_empty()) {
        return Ok(None);
    }
    let fold = |f: fn(f64, f64) -> f64, by: fn(&(f64, f64)) -> f64| every().map(by).reduce(f).unwrap_or(1.0);
    let x = logarithmic(fold(f64::min, |p| p.0), fold(f64::max, |p| p.0), axes.base, 1.3);
    let x = x.log_scale().base(axes.base);
    let (low, high) = (fold(f64::min, |p| p.1), fold(f64::max, |p| p.1));
    let y =
        if axes.log_y { logarithmic(low, high, 10.0, 1.7) } else { 0.0..if high > 0.0 { high * 1.08 } else { 1.0 } };
    draw(HEIGHT, |area| {
        let mut builder = ChartBuilder::on(area);
        builder.margin(8).margin_right(20).x_label_area_size(42).y_label_area_size(56);
        // The two kinds of y axis give charts of different types.
        macro_rules! body {
            ($chart:expr) => {{
                let mut chart = $chart;
                chart
                    .configure_mesh()
                    .x_labels(8)
                    // More would also mark what lies between powers of ten, one mark upon the other.
                    .y_labels(9)
                    .x_desc(axes.x)
                    .y_desc(axes.y)
                    .label_style(font(13))
                    .axis_desc_style(font(13))
                    .axis_style(INK)
                    .bold_line_style(GRID)
                    .light_line_style(TRANSPARENT)
                    .x_label_formatter(&|v| tick(*v))
                    .y_label_formatter(&|v| tick(*v))
                    .draw()?;
                for limit in limits {
                    chart.draw_series(LineSeries::new(limit.points.iter().copied(), INK.stroke_width(1)))?;
                    let start = limit.points.first().copied();
                    chart.draw_series(start.map(|at| {
                        // Under a rising line.
                        EmptyElement::at(at) + Text::new(limit.name.clone(), (8, 0), font(12))
                    }))?;
                }
                for (i, line) in lines.iter().enumerate() {
                    let color = SERIES[i % SERIES.len()];
                    if !axes.marks_only {
                        chart.draw_series(LineSeries::new(line.points.iter().copied(), color.stroke_width(2)))?;
                    }
                    chart.draw_series(line.points.iter().map(|&p| Circle::new(p, 4, color.filled())))?;
                }
            }};
        }
        if axes.log_y {
            body!(builder.build_cartesian_2d(x, y.log_scale())?);
        } else {
            body!(builder.build_cartesian_2d(x, y)?);
        }
        Ok(())
    })
    .map(Some)
}

/// What fits on an axis. With the marks of ranges beyond, and of empty ones, plotters would never come to an end.
const SHOWN: RangeInclusive<f64> = 1e-18..=1e18;

/// The lines without points that no axis can show.
fn drawable(axes: &Axes<'_>, lines: &[Line]) -> Vec<Line> {
    let fits = |p: &(f64, f64)| SHOWN.contains(&p.0) && (SHOWN.contains(&p.1) || p.1 == 0.0 && !axes.log_y);
    lines
        .iter()
        .map(|l| Line { name: l.name.clone(), points: l.points.iter().copied().filter(fits).collect() })
        .collect()
}

/// The range of a logarithmic axis. Marks stand at powers of the base: a short decimal axis runs from one to another, as it
/// could miss them otherwise.
fn logarithmic(low: f64, high: f64, base: f64, margin: f64) -> Range<f64> {
    if base == 10.0 && high / low < 100.0 {
        10f64.powf(low.log10().floor())..10f64.powf(high.log10().ceil()).max(low * 1.001)
    } else {
        low / margin..high * margin
    }
}

/// Horizontal bars, the longest on top, with a line at 1; `None` without a bar. All of them: the short ones are the news.
///
/// # Errors
/// What plotters says.
pub fn bars(mut bars: Vec<(String, f64)>, axis: &str) -> Result<Option<String>, Error> {
    bars.retain(|bar| bar.1 == 0.0 || SHOWN.contains(&bar.1));
    if bars.is_empty() {
        return Ok(None);
    }
    bars.sort_by(|a, b| a.1.total_cmp(&b.1));
    let high = bars.iter().map(|b| b.1).fold(1.0, f64::max) * 1.04;
    draw(BAR * bars.len() as u32 + AXIS, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin_right(48)
            .x_label_area_size(AXIS)
            .y_label_area_size(NAMES)
            .build_cartesian_2d(0.0..high, 0.0..bars.len() as f64)?;
        chart
            .configure_mesh()
            .disable_y_axis()
            .disable_y_mesh()
            .x_labels(6)
            .x_desc(axis)
            .label_style(font(13))
            .axis_desc_style(font(13))
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .draw()?;
        let right = |h| font(12).pos(Pos::new(h, VPos::Center));
        for (i, (name, value)) in bars.iter().enumerate() {
            let (bottom, top) = (i as f64 + 0.18, i as f64 + 0.82);
            chart.draw_series([Rectangle::new([(0.0, bottom), (*value, top)], SERIES[0].filled())])?;
            let (x, y) = chart.backend_coord(&(0.0, i as f64 + 0.5));
            area.draw_text(name, &right(HPos::Right), (x - 6, y))?;
            area.draw_text(&format!("{value:.2}"), &right(HPos::Right), (WIDTH as i32 - 6, y))?;
        }
        chart.draw_series(LineSeries::new([(1.0, 0.0), (1.0, bars.len() as f64)], INK.stroke_width(1)))?;
        Ok(())
    })
    .map(Some)
}

fn draw(height: u32, body: impl FnOnce(&Area<'_>) -> Result<(), Error>) -> Result<String, Error> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        body(&area)?;
        area.present()?;
    }
    // The fixed size would not shrink on a phone.
    let fixed = format!("width=\"{WIDTH}\" height=\"{height}\"");
    Ok(themed(&svg).replacen(&fixed, "class=\"picture\" role=\"img\"", 1))
}

/// Stand-in colours to variables.
fn themed(svg: &str) -> String {
    let hex = |c: RGBColor| format!("#{:02X}{:02X}{:02X}", c.0, c.1, c.2);
    let plain = svg.replace(&hex(INK), "var(--ink)").replace(&hex(GRID), "var(--line)");
    SERIES.into_iter().enumerate().fold(plain, |svg, (i, stand_in)| svg.replace(&hex(stand_in), &color(i)))
}

fn font(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}

fn tick(v: f64) -> String {
    match v {
        v if v >= 1.0 && (v - v.round()).abs() < 1e-6 => format!("{v:.0}"),
        v if v >= 1.0 => format!("{v:.1}"),
        // Many zeros would not fit beside the axis.
        v if v > 0.0 && v < 2e-3 => format!("{v:.0e}"),
        v => format!("{v}"),
    }
}
