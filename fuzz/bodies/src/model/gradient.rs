//! The model of a gradient: the sizes of its forward operator's operands, and what the declaration says of them.
//!
//! Names follow a rule: `d` and the name of the operand that it is the gradient of; what is taken keeps its name.

use etalon_reference::axis::Kind;
use etalon_reference::{Gradient, Operator, Point, Takes};

use super::{Model, choice};

/// The model at `point` of a gradient operator whose forward operator has the model `forward` at the forward point.
pub(super) fn of(operator: &Operator, gradient: &Gradient, forward: Model, point: &Point) -> Model {
    let taken = |takes: &Takes| match *takes {
        Takes::Upstream(output) => derivative(&forward.outputs[output]),
        Takes::Input(input) => forward.inputs[input].clone(),
        Takes::Output(output) => forward.outputs[output].clone(),
        // No declaration says how large it is: such a gradient has a model of its own.
        Takes::Computed(_) => ("computed".into(), -1),
    };
    let outputs = gradient.gives.iter().map(|(output, _)| output + 1).max().unwrap_or(0);
    // Of several inputs with the same gradient, the first names it.
    let given = |output: usize| {
        let first = gradient.gives.iter().find(|(own, _)| *own == output);
        first.map_or_else(|| ("nothing".into(), -1), |(_, input)| derivative(&forward.inputs[*input]))
    };
    let (inputs, outputs) = (gradient.takes.iter().map(taken).collect(), (0..outputs).map(given).collect());
    let mut model = Model { inputs, outputs, ..forward };
    for axis in operator.axes.iter().filter(|axis| matches!(axis.kind, Kind::Choice(_))) {
        choice(&mut model, point, axis.name);
    }
    model
}

/// An operand's gradient, which is as large.
fn derivative((name, len): &(String, i128)) -> (String, i128) {
    (format!("d{name}"), *len)
}
