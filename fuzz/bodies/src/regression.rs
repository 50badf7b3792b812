//! Inputs that once failed, as lines of text: they name kernels, axes and choices, and so outlive every change of the bytes.

use std::fmt;

use etalon_kernels::check::Placement;
use etalon_kernels::registry::{self, Entry};
use etalon_reference::{Case, Operator, Point};

use crate::input::{self, GUARDS, Input};
use crate::target::Target;
use crate::{kernels, problem};

/// An input.
pub enum Regression {
    /// A kernel on a case.
    Kernel(Box<Input>),
    /// The validation of a point.
    Problem(&'static Entry, Point),
}

impl Regression {
    /// What the target reads in the bytes; `None` if that is nothing.
    pub fn of(target: Target, bytes: &[u8]) -> Option<Regression> {
        let entry = target.entry;
        if target.problem {
            return Some(Regression::Problem(entry, problem::decode(entry.operator, bytes)));
        }
        Input::decode(entry, bytes).map(|input| Regression::Kernel(Box::new(input)))
    }

    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &str) -> Result<Regression, String> {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [operator, point] => {
                let entry = registry::find(operator).ok_or_else(|| format!("no operator `{operator}`"))?;
                Ok(Regression::Problem(entry, point_of(entry.operator, point)?))
            }
            [case, guard, offset] => {
                let operators: Vec<&'static Operator> = registry::ALL.iter().map(|entry| entry.operator).collect();
                let case = Case::parse(case, &operators).map_err(|e| e.to_string())?;
                let entry = registry::find(&case.op).ok_or_else(|| format!("no operator `{}`", case.op))?;
                let kernel = input::kernels(entry).into_iter().find(|kernel| kernel.name == case.kernel);
                let kernel = kernel.ok_or_else(|| format!("{} has no kernel `{}`", case.op, case.kernel))?;
                let known = GUARDS.iter().find(|(name, _)| *name == guard);
                let (_, guard) = *known.ok_or_else(|| format!("no guard `{guard}`"))?;
                let offset_bytes = offset.parse().map_err(|_| format!("`{offset}` is no offset in bytes"))?;
                Ok(Regression::Kernel(Box::new(Input { kernel, case, placement: Placement { offset_bytes, guard } })))
            }
            _ => Err("neither `case guard offset` nor `operator point`".into()),
        }
    }

    /// Whether this machine can run it.
    pub fn runs_here(&self) -> bool {
        match self {
            Regression::Kernel(input) => input.kernel.usable().is_ok(),
            Regression::Problem(..) => true,
        }
    }

    /// Runs it.
    ///
    /// # Errors
    /// What is wrong.
    pub fn run(&self) -> Result<(), String> {
        match self {
            Regression::Kernel(input) => kernels::check(input),
            Regression::Problem(entry, point) => problem::judge(entry, point),
        }
    }
}

impl fmt::Display for Regression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Regression::Kernel(input) => {
                let guard = GUARDS.iter().find(|(_, guard)| *guard == input.placement.guard);
                let guard = guard.map_or("zones", |(name, _)| name);
                write!(f, "{} {guard} {}", input.case, input.placement.offset_bytes)
            }
            Regression::Problem(entry, point) => write!(f, "{} {point}", entry.operator.name),
        }
    }
}

/// A point; unlike [`Point::parse`], a choice may also be a number, of a name that there is not.
fn point_of(operator: &Operator, text: &str) -> Result<Point, String> {
    let axes = operator.axes;
    let mut point = Point::default_of(axes);
    for part in text.split(',').filter(|part| *part != "-") {
        let beyond = part.split_once('=').and_then(|(axis, value)| Some((axis, value.parse::<i64>().ok()?)));
        point = match (Point::parse(axes, part), beyond) {
            (Ok(one), _) => {
                let named = axes.iter().find(|axis| part.starts_with(&format!("{}=", axis.name)));
                named.map_or(point.clone(), |axis| point.clone().with(axis.name, one.get(axis.name)))
            }
            (Err(_), Some((axis, value))) if axes.iter().any(|a| a.name == axis) => point.with(axis, value),
            (Err(error), _) => return Err(error.to_string()),
        };
    }
    Ok(point)
}
