//! Validation of problems, over the whole range of the integers, against a model that can't overflow.

use etalon_kernels::registry::Entry;
use etalon_reference::axis::Kind;
use etalon_reference::{Operator, Point, Port};

use crate::MAX_LEN;
use crate::model::{self, Model};

/// Holds the operator's validation of the point that the bytes stand for against the operator's model: a problem exactly
/// when the model says that everything fits, and then operands that span what the model says.
///
/// # Panics
/// With the point, if they differ; also if the operator has no model.
pub fn run(entry: &Entry, bytes: &[u8]) {
    if bytes.len() <= MAX_LEN {
        let point = decode(entry.operator, bytes);
        if let Err(complaint) = judge(entry, &point) {
            panic!("{}: {point}: {complaint}", entry.operator.name);
        }
    }
}

/// Holds validation against the model at one point.
///
/// # Errors
/// How they differ, or that there is no model.
pub fn judge(entry: &Entry, point: &Point) -> Result<(), String> {
    let model = model::at(entry.operator, point).ok_or("no model: see fuzz/bodies/src/model.rs")?;
    check(entry.operator, model, point)
}

/// The point that the bytes stand for: [`Point::decode`] over the whole range. A first byte of 255 makes a choice invalid.
pub fn decode(operator: &Operator, bytes: &[u8]) -> Point {
    let (first, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let point = Point::decode(operator.axes, rest, true);
    let choice = operator.axes.iter().find_map(|axis| match axis.kind {
        Kind::Choice(names) => Some((axis.name, names.len() as i64)),
        Kind::Int { .. } => None,
    });
    match choice {
        Some((axis, choices)) if *first == u8::MAX => {
            let beyond = rest.last().map_or(choices, |b| if b % 2 == 0 { choices } else { -1 });
            point.with(axis, beyond)
        }
        _ => point,
    }
}

/// Bytes that [`decode`] reads as this point.
pub fn encode(point: &Point) -> Vec<u8> {
    let mut bytes = vec![0];
    for (axis, value) in point.axes().iter().zip(point.values()) {
        match axis.kind {
            Kind::Choice(_) => bytes.push(u8::try_from(*value).unwrap_or(0)),
            Kind::Int { .. } => {
                bytes.push(0);
                bytes.extend(value.to_le_bytes());
            }
        }
    }
    bytes
}

/// Compares validation with the model at one point.
///
/// # Errors
/// How they differ.
pub fn check(operator: &Operator, model: Model, point: &Point) -> Result<(), String> {
    let problem = match (operator.problem(point), model.reason()) {
        (Ok(problem), None) => problem,
        (Err(_), Some(_)) => return Ok(()),
        (Err(_), None) if model.doubtful() => return Ok(()),
        (Ok(problem), Some(reason)) => return Err(format!("accepted as {problem:?}, but {reason}")),
        (Err(e), None) => return Err(format!("rejected ({e}), but everything fits")),
    };
    for &types in operator.types {
        let absent = model.absent.map_or(&[][..], |absent| absent(types));
        compare("inputs", &problem.inputs(types), &model.inputs, absent)?;
        compare("outputs", &problem.outputs(types), &model.outputs, absent)?;
        let work = problem.work(types);
        if !(work.operations >= 0.0 && work.operations.is_finite() && work.bytes() >= 0.0 && work.bytes().is_finite()) {
            return Err(format!("{work:?}"));
        }
    }
    let inputs = model.inputs.len();
    let listed = problem.differentiable().into_iter().chain(problem.unread_inputs());
    listed.into_iter().find(|&i| i >= inputs).map_or(Ok(()), |i| Err(format!("input {i} of {inputs}")))
}

fn compare(what: &str, ports: &[Port], spans: &[(String, i128)], absent: &[&str]) -> Result<(), String> {
    let there = |(name, span): &'_ (String, i128)| if absent.contains(&&name[..]) { 0 } else { *span };
    let spans: Vec<(&str, i128)> = spans.iter().map(|span| (&span.0[..], there(span))).collect();
    let found: Vec<(&str, i128)> = ports.iter().map(|port| (port.name, port.layout.span() as i128)).collect();
    if found == spans { Ok(()) } else { Err(format!("{what} span {found:?}, the model says {spans:?}")) }
}
