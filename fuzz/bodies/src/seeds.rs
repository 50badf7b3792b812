//! Inputs to start from: for each operator its default problem, each of its choices, and sizes around tiles.

use etalon_kernels::check::Placement;
use etalon_kernels::registry::Entry;
use etalon_reference::axis::Kind;
use etalon_reference::{Case, Fill, Point};

use crate::input::{GUARDS, Input};
use crate::problem;
use crate::target::Target;

/// The target's seeds: a file name and the bytes of each.
pub fn seeds(target: Target) -> Vec<(String, Vec<u8>)> {
    let entry = target.entry;
    let bytes = |(turn, point): (usize, &Point)| {
        if target.problem { Some(problem::encode(point)) } else { case(entry, point, turn) }
    };
    let name = |point: &Point| match point.format().replace(',', "_").replace('=', "-") {
        name if name == "-" => "default".into(),
        name => name,
    };
    let points = points(entry);
    points.iter().enumerate().filter_map(|at| Some((name(at.1), bytes(at)?))).collect()
}

/// A case at the point; the kernels that the CPU has, fills, threads and guards take turns.
fn case(entry: &Entry, point: &Point, turn: usize) -> Option<Vec<u8>> {
    let usable: Vec<_> = entry.kernels.iter().filter(|kernel| kernel.usable().is_ok()).collect();
    let kernel = usable[turn % usable.len()];
    let case = Case {
        op: entry.operator.name.into(),
        kernel: kernel.name.into(),
        types: kernel.types[turn % kernel.types.len()],
        point: point.clone(),
        threads: 1 + turn % 3,
        eager: turn.is_multiple_of(2),
        fill: Fill::ALL[turn % 3],
        seed: turn as u64,
    };
    let (_, guard) = GUARDS[turn / 3 % 3];
    Input::encode(entry, &case, Placement { offset_bytes: 0, guard })
}

fn points(entry: &Entry) -> Vec<Point> {
    let axes = entry.operator.axes;
    // Sizes of a few, so that a choice matters; what another size bounds is smaller.
    let base = axes.iter().filter(|axis| matches!(axis.kind, Kind::Int { tested, .. } if tested >= 16));
    let base = base.fold(Point::default_of(axes), |p, axis| p.with(axis.name, if axis.extent { 5 } else { 3 }));
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
