//! Writes `fuzz/seeds/<target>/`: for each operator its default problem, each of its choices, and sizes around tiles.

use std::fs;
use std::path::{Path, PathBuf};

use etalon_fuzz_bodies::input::Input;
use etalon_fuzz_bodies::problem;
use etalon_kernels::check::{Guard, Placement};
use etalon_kernels::registry::{self, Entry};
use etalon_reference::axis::Kind;
use etalon_reference::{Case, Fill, Point};

fn main() -> std::io::Result<()> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../seeds");
    for entry in registry::ALL {
        let name = entry.operator.name();
        let (small, wide) = (fresh(seeds.join(name))?, fresh(seeds.join(format!("{name}_problem")))?);
        for (at, point) in points(entry).into_iter().enumerate() {
            let file = point.format().replace(',', "_").replace('=', "-");
            let file = if file == "-" { "default" } else { &file };
            if let Some(bytes) = case(entry, &point, at) {
                fs::write(small.join(file), bytes)?;
            }
            fs::write(wide.join(file), problem::encode(&point))?;
        }
    }
    Ok(())
}

/// An empty folder.
fn fresh(folder: PathBuf) -> std::io::Result<PathBuf> {
    if folder.is_dir() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// A case at the point; kernels, fills, threads and guards take turns.
fn case(entry: &Entry, point: &Point, turn: usize) -> Option<Vec<u8>> {
    let kernel = &entry.kernels[turn % entry.kernels.len()];
    let case = Case {
        op: entry.operator.name().into(),
        kernel: kernel.name.into(),
        dtype: kernel.dtypes[turn % kernel.dtypes.len()],
        point: point.clone(),
        threads: 1 + turn % 3,
        eager: turn.is_multiple_of(2),
        fill: Fill::ALL[turn % 3],
        seed: turn as u64,
    };
    let guard = [Guard::PageBehind, Guard::PageBefore, Guard::Zones][turn / 3 % 3];
    Input::encode(entry, &case, Placement { offset_bytes: 0, guard })
}

fn points(entry: &Entry) -> Vec<Point> {
    let axes = entry.operator.axes();
    // Sizes of a few, so that a choice matters.
    let base = axes.iter().filter(|axis| matches!(axis.kind, Kind::Int { tested, .. } if tested >= 16));
    let base = base.fold(Point::default_of(axes), |p, axis| p.with(axis.name, 5));
    let mut points = vec![Point::default_of(axes), base.clone()];
    for axis in axes {
        match axis.kind {
            Kind::Choice(names) => {
                points.extend((1..names.len() as i64).map(|value| base.clone().with(axis.name, value)))
            }
            Kind::Int { favoured, tested, .. } => {
                let around =
                    favoured.iter().filter(|&&v| v <= tested.min(33) && (v == 0 || v % 16 == 1 || v % 16 == 15));
                points.extend(around.map(|&value| base.clone().with(axis.name, value)));
            }
        }
    }
    points.retain(|point| entry.operator.problem(point).is_ok());
    let mut seen = Vec::new();
    points.retain(|point| !seen.contains(&point.format()) && (seen.push(point.format()), true).1);
    points
}
