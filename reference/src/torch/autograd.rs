//! The twin of a gradient without a line: autograd over the forward operator's twin.
//!
//! libtorch makes the forward pass itself: it does not look at what the gradient takes as kept (gates, cells, outputs),
//! and is judged with the errors of its own in that ([`Problem::witness_tolerance`]). What is timed is the backward
//! pass over a graph that is kept, without the forward pass.

use tch::{IValue, TchError, Tensor};

use super::script::{Script, arguments};
use super::{TWINS, Twin, Way};
use crate::gradient::ForwardOf;
use crate::tolerance::one_chain;
use crate::{Gradient, Problem, Takes, Types, ops};

/// A gradient that autograd gives.
#[derive(Clone, Copy)]
pub struct Autograd {
    gradient: &'static Gradient,
    /// The forward problem of a gradient problem.
    of: ForwardOf,
    /// The forward operator by libtorch.
    forward: &'static Twin,
}

impl Autograd {
    /// Of the gradient operator of this name, if it says that autograd is a witness.
    pub(super) fn find(op: &str) -> Option<Autograd> {
        let gradient = ops::find(op)?.gradient?;
        let forward = TWINS.iter().find(|twin| twin.op == gradient.forward.name)?;
        Some(Autograd { gradient, of: gradient.autograd?, forward })
    }

    /// That of the gradient's own sums, or of the forward pass, which is made anew.
    pub(super) fn slack(self, problem: &dyn Problem) -> f64 {
        one_chain(&problem.sums()).max((self.forward.slack)(&*(self.of)(problem)))
    }

    /// The gradients.
    pub(super) fn outputs(self, problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
        Graph::new(self, problem, inputs)?.gradients()
    }

    /// The backward pass over one graph.
    pub(super) fn ways(self, problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Way>, TchError> {
        let graph = Graph::new(self, problem, inputs)?;
        Ok(vec![Way::fresh("autograd", move || graph.gradients()).tried()?])
    }
}

/// A forward pass that was made, and of what its gradient is taken.
struct Graph {
    script: Script,
    /// Outputs, inputs and upstream gradients.
    arguments: Vec<IValue>,
    /// The place of each gradient among the results; absent ones have none.
    places: Vec<Option<usize>>,
    /// No element.
    none: Tensor,
}

impl Graph {
    fn new(how: Autograd, problem: &dyn Problem, inputs: &[Tensor]) -> Result<Graph, TchError> {
        let Autograd { gradient, of, forward } = how;
        let first = of(problem);
        let like = (inputs[0].kind(), inputs[0].device());
        // What the gradient does not take it does not depend on.
        let zeros =
            |port: crate::Port| Tensor::f_zeros(port.layout.shape.iter().map(|&n| n as i64).collect::<Vec<_>>(), like);
        let mut operands = first.inputs(Types::F64).into_iter().map(zeros).collect::<Result<Vec<_>, _>>()?;
        let mut upstreams = Vec::new();
        for (takes, tensor) in gradient.takes.iter().zip(inputs) {
            match takes {
                Takes::Input(input) => operands[*input] = tensor.f_detach()?,
                Takes::Upstream(output) => upstreams.push((*output, tensor)),
                Takes::Output(_) | Takes::Computed(_) => {}
            }
        }
        // An output that is the gradient of several inputs is asked for once.
        let given = gradient.given(problem);
        let ports = problem.outputs(Types::F64).len();
        let input_of = |output| given.iter().find(|(own, _)| *own == output).map(|(_, input)| *input);
        let wanted: Vec<Option<usize>> = (0..ports).map(input_of).collect();
        for &input in wanted.iter().flatten() {
            operands[input] = operands[input].f_set_requires_grad(true)?;
        }
        let outputs = tch::with_grad(|| (forward.forward)(&*first, &operands))?;
        // An output that is absent, or depends on no input, has no gradient.
        upstreams.retain(|(output, _)| outputs[*output].requires_grad());
        let variables: Vec<&Tensor> = wanted.iter().flatten().map(|&input| &operands[input]).collect();
        let script = script(upstreams.len(), variables.len())?;
        let losses = upstreams.iter().map(|(output, _)| &outputs[*output]);
        let tensors: Vec<&Tensor> =
            losses.chain(variables).chain(upstreams.iter().map(|(_, tensor)| *tensor)).collect();
        let mut next = 0..;
        let places = wanted.iter().map(|input| input.and_then(|_| next.next())).collect();
        Ok(Graph { script, arguments: arguments(&tensors), places, none: Tensor::f_empty([0], like)? })
    }

    /// The gradients, in the order of the outputs; the graph stays.
    fn gradients(&self) -> Result<Vec<Tensor>, TchError> {
        let results = self.script.call(&self.arguments)?;
        let of = |place: &Option<usize>| place.map_or(&self.none, |place| &results[place]).shallow_clone();
        Ok(self.places.iter().map(of).collect())
    }
}

/// `torch.autograd.grad` of so many outputs with respect to so many inputs, which `tch` does not expose.
fn script(outputs: usize, inputs: usize) -> Result<Script, TchError> {
    let names = |name: &str, count: usize| (0..count).map(|i| format!("{name}{i}")).collect::<Vec<_>>();
    let (y, x, dy) = (names("y", outputs), names("x", inputs), names("dy", outputs));
    let parameters: Vec<String> = [&y, &x, &dy].into_iter().flatten().map(|name| format!("{name}: Tensor")).collect();
    let [y, x, dy] = [y, x, dy].map(|names| names.join(", "));
    let upstreams = format!("u = annotate(List[Optional[Tensor]], [{dy}])");
    let call = format!("g = torch.grad([{y}], [{x}], u, True, False, False)");
    let results: Vec<String> = (0..inputs).map(|i| format!("unchecked_cast(Tensor, g[{i}])")).collect();
    let (kind, results) = match &results[..] {
        [one] => ("Tensor".to_owned(), one.clone()),
        all => (format!("Tuple[{}]", vec!["Tensor"; inputs].join(", ")), format!("({})", all.join(", "))),
    };
    Script::new(&parameters.join(", "), &kind, &[&upstreams, &call, &format!("return {results}")])
}
