//! `lstm`, `gru` and `rnn`, and their gradients.
//!
//! Outputs and last states are those of `torch.lstm`, `torch.gru`, `torch.rnn_tanh` and `torch.rnn_relu`, and so are all
//! gradients. What a forward pass keeps for its gradient is not among their results: a second pass of single operators
//! gives it.
//!
//! Gradients are autograd's of these functions, which do not look at what is given as kept.

use tch::{TchError, Tensor};

use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::gru::Gru;
use crate::ops::lstm::Lstm;
use crate::ops::recurrent::Layer;
use crate::ops::rnn::{Function, Rnn};
use crate::tolerance::one_chain;

pub(super) const LSTM: Twin =
    Twin { op: "lstm", forward: lstm, slack: |problem| slack(problem).max(FLUSHED), ways: lstm_ways };

pub(super) const GRU: Twin = Twin { op: "gru", forward: gru, slack, ways: gru_ways };

pub(super) const RNN: Twin = Twin { op: "rnn", forward: rnn, slack, ways: rnn_ways };

/// A bound allows σ to be off by the smallest normal number, 2⁻¹²⁶. oneDNN's is 0 where e^x is below 2^−125.5: it rounds
/// x·log₂e to n and makes 2^(n−1) of the exponent alone, which is 0 for n < −125. So a gate is off by √2 as much.
const FLUSHED: f64 = std::f64::consts::SQRT_2;

fn slack(problem: &dyn Problem) -> f64 {
    one_chain(&problem.sums())
}

fn none(like: &Tensor) -> Result<Tensor, TchError> {
    Tensor::f_empty([0], (like.kind(), like.device()))
}

/// The initial state, N×H, or zeros.
fn initial(layer: &Layer, given: &Tensor, like: &Tensor) -> Result<Tensor, TchError> {
    match layer.state {
        true => Ok(given.shallow_clone()),
        false => Tensor::f_zeros([layer.batch as i64, layer.hidden as i64], (like.kind(), like.device())),
    }
}

/// W_ih, W_hh, and the biases that there are.
fn parameters(layer: &Layer, inputs: &[Tensor]) -> Vec<Tensor> {
    inputs[1..if layer.bias { 5 } else { 3 }].iter().map(Tensor::shallow_clone).collect()
}

/// The sums of step `t` over the inputs.
fn of_inputs(layer: &Layer, inputs: &[Tensor], t: usize) -> Result<Tensor, TchError> {
    inputs[0].f_select(0, t as i64)?.f_linear(&inputs[1], layer.bias.then(|| inputs[3].shallow_clone()))
}

/// The sums over the hidden units.
fn of_state(layer: &Layer, inputs: &[Tensor], h: &Tensor) -> Result<Tensor, TchError> {
    h.f_linear(&inputs[2], layer.bias.then(|| inputs[4].shallow_clone()))
}

/// The sums of a gate.
fn gate(layer: &Layer, sums: &Tensor, gate: i64) -> Result<Tensor, TchError> {
    sums.f_narrow(1, gate * layer.hidden as i64, layer.hidden as i64)
}

/// What the two sequences of a second pass are, or nothing.
fn stacked(keep: bool, like: &Tensor, [first, second]: [Vec<Tensor>; 2]) -> Result<[Tensor; 2], TchError> {
    if keep { Ok([Tensor::f_stack(&first, 0)?, Tensor::f_stack(&second, 0)?]) } else { Ok([none(like)?, none(like)?]) }
}

/// `torch.lstm`: y, h_n, c_n.
fn lstm_layer(p: &Lstm, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let [x, .., h0, c0] = inputs else { panic!("seven inputs") };
    let layer = &p.layer;
    let states = [initial(layer, h0, x)?.f_unsqueeze(0)?, initial(layer, c0, x)?.f_unsqueeze(0)?];
    let (y, h_n, c_n) = x.f_lstm(&states, &parameters(layer, inputs), layer.bias, 1, 0.0, p.keep, false, false)?;
    Ok(vec![y, h_n.f_squeeze_dim(0)?, c_n.f_squeeze_dim(0)?])
}

/// Gates and cells by single operators.
fn lstm_kept(p: &Lstm, inputs: &[Tensor]) -> Result<[Tensor; 2], TchError> {
    let [x, .., h0, c0] = inputs else { panic!("seven inputs") };
    let layer = &p.layer;
    let (mut h, mut c) = (initial(layer, h0, x)?, initial(layer, c0, x)?);
    let (mut gates, mut cells) = (Vec::new(), Vec::new());
    for t in 0..if p.keep { layer.steps } else { 0 } {
        let z = of_inputs(layer, inputs, t)?.f_add(&of_state(layer, inputs, &h)?)?;
        let [i, f, g, o] = [0, 1, 2, 3].map(|index| gate(layer, &z, index));
        let (i, f, g, o) = (i?.f_sigmoid()?, f?.f_sigmoid()?, g?.f_tanh()?, o?.f_sigmoid()?);
        c = f.f_mul(&c)?.f_add(&i.f_mul(&g)?)?;
        h = o.f_mul(&c.f_tanh()?)?;
        gates.push(Tensor::f_cat(&[i, f, g, o], 1)?);
        cells.push(c.shallow_clone());
    }
    stacked(p.keep, x, [gates, cells])
}

fn lstm(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let p: &Lstm = downcast(problem);
    Ok(lstm_layer(p, inputs)?.into_iter().chain(lstm_kept(p, inputs)?).collect())
}

/// `torch.gru`: y, h_n.
fn gru_layer(p: &Gru, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let [x, .., h0] = inputs else { panic!("six inputs") };
    let layer = &p.layer;
    let state = initial(layer, h0, x)?.f_unsqueeze(0)?;
    let (y, h_n) = x.f_gru(&state, &parameters(layer, inputs), layer.bias, 1, 0.0, p.keep, false, false)?;
    Ok(vec![y, h_n.f_squeeze_dim(0)?])
}

/// Gates and q by single operators.
fn gru_kept(p: &Gru, inputs: &[Tensor]) -> Result<[Tensor; 2], TchError> {
    let [x, .., h0] = inputs else { panic!("six inputs") };
    let layer = &p.layer;
    let mut h = initial(layer, h0, x)?;
    let (mut gates, mut recurrent) = (Vec::new(), Vec::new());
    for t in 0..if p.keep { layer.steps } else { 0 } {
        let (of_x, of_h) = (of_inputs(layer, inputs, t)?, of_state(layer, inputs, &h)?);
        let both = of_x.f_add(&of_h)?;
        let (r, z) = (gate(layer, &both, 0)?.f_sigmoid()?, gate(layer, &both, 1)?.f_sigmoid()?);
        let q = gate(layer, &of_h, 2)?;
        let n = gate(layer, &of_x, 2)?.f_add(&r.f_mul(&q)?)?.f_tanh()?;
        h = h.f_sub(&n)?.f_mul(&z)?.f_add(&n)?;
        gates.push(Tensor::f_cat(&[r, z, n], 1)?);
        recurrent.push(q.f_contiguous()?);
    }
    stacked(p.keep, x, [gates, recurrent])
}

fn gru(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let p: &Gru = downcast(problem);
    Ok(gru_layer(p, inputs)?.into_iter().chain(gru_kept(p, inputs)?).collect())
}

/// `torch.rnn_tanh` or `torch.rnn_relu`: y, h_n.
fn rnn_layer(p: &Rnn, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let [x, .., h0] = inputs else { panic!("six inputs") };
    let layer = &p.layer;
    let (state, parameters) = (initial(layer, h0, x)?.f_unsqueeze(0)?, parameters(layer, inputs));
    let (y, h_n) = match p.function {
        Function::Tanh => x.f_rnn_tanh(&state, &parameters, layer.bias, 1, 0.0, false, false, false)?,
        Function::Relu => x.f_rnn_relu(&state, &parameters, layer.bias, 1, 0.0, false, false, false)?,
    };
    Ok(vec![y, h_n.f_squeeze_dim(0)?])
}

fn rnn(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    rnn_layer(downcast(problem), inputs)
}

/// The one way: libtorch's layer. What it does not give is computed once, outside of what is timed. Where that is wanted,
/// `torch.lstm` runs in training mode, in which oneDNN keeps what its gradient needs in a form of its own.
fn way(
    name: &'static str,
    operands: &Operands<'_>,
    rest: impl Fn(&[Tensor]) -> Result<Vec<Tensor>, TchError>,
    layer: impl Fn(&[Tensor]) -> Result<Vec<Tensor>, TchError> + 'static,
) -> Result<Vec<Way>, TchError> {
    let inputs: Vec<Tensor> = operands.inputs.iter().map(Tensor::shallow_clone).collect();
    let rest = rest(&inputs)?;
    let way = Way::fresh(name, move || {
        let outputs = layer(&inputs)?;
        Ok(outputs.into_iter().chain(rest.iter().map(Tensor::shallow_clone)).collect())
    });
    Ok(vec![way.tried()?])
}

fn lstm_ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p: Lstm = downcast::<Lstm>(problem).clone();
    let same = p.clone();
    way("lstm", operands, |inputs| Ok(lstm_kept(&p, inputs)?.into()), move |inputs| lstm_layer(&same, inputs))
}

fn gru_ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p: Gru = downcast::<Gru>(problem).clone();
    let same = p.clone();
    way("gru", operands, |inputs| Ok(gru_kept(&p, inputs)?.into()), move |inputs| gru_layer(&same, inputs))
}

fn rnn_ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p: Rnn = downcast::<Rnn>(problem).clone();
    way("rnn", operands, |_| Ok(Vec::new()), move |inputs| rnn_layer(&p, inputs))
}
