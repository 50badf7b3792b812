//! `lstm` and `lstm_backward`.
//!
//! y, h_n and c_n are those of `torch.lstm`, and so are all gradients. Gates and cells are not among its results: a
//! second pass of single operators gives them.
//!
//! The gradient is autograd's of `torch.lstm`, which does not look at the gates, cells and outputs that are given.

use tch::{TchError, Tensor};

use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::lstm::Lstm;
use crate::tolerance::one_chain;

pub(super) const LSTM: Twin =
    Twin { op: "lstm", forward, slack: |problem| one_chain(&problem.sums()).max(FLUSHED), ways };

/// A bound allows σ to be off by the smallest normal number, 2⁻¹²⁶. oneDNN's is 0 where e^x is below 2^−125.5: it rounds
/// x·log₂e to n and makes 2^(n−1) of the exponent alone, which is 0 for n < −125. So a gate is off by √2 as much.
const FLUSHED: f64 = std::f64::consts::SQRT_2;

fn none(like: &Tensor) -> Result<Tensor, TchError> {
    Tensor::f_empty([0], (like.kind(), like.device()))
}

/// `torch.lstm` of x, W_ih, W_hh, b_ih, b_hh, h0, c0: y, h_n, c_n.
fn layer(p: &Lstm, inputs: &[Tensor], train: bool) -> Result<[Tensor; 3], TchError> {
    let [x, w_ih, w_hh, b_ih, b_hh, h0, c0] = inputs else { panic!("seven inputs") };
    let state = |given: &Tensor| match p.state {
        true => given.f_unsqueeze(0),
        false => Tensor::f_zeros([1, p.batch as i64, p.hidden as i64], (x.kind(), x.device())),
    };
    let states = [state(h0)?, state(c0)?];
    let parameters: Vec<Tensor> = [w_ih, w_hh, b_ih, b_hh].map(Tensor::shallow_clone).into();
    let parameters = &parameters[..if p.bias { 4 } else { 2 }];
    let (y, h_n, c_n) = x.f_lstm(&states, parameters, p.bias, 1, 0.0, train, false, false)?;
    Ok([y, h_n.f_squeeze_dim(0)?, c_n.f_squeeze_dim(0)?])
}

/// Gates and cells by single operators.
fn kept(p: &Lstm, inputs: &[Tensor]) -> Result<[Tensor; 2], TchError> {
    let [x, w_ih, w_hh, b_ih, b_hh, h0, c0] = inputs else { panic!("seven inputs") };
    let zeros = || Tensor::f_zeros([p.batch as i64, p.hidden as i64], (x.kind(), x.device()));
    let (mut h, mut c) = if p.state { (h0.shallow_clone(), c0.shallow_clone()) } else { (zeros()?, zeros()?) };
    let bias = |b: &Tensor| p.bias.then(|| b.shallow_clone());
    let (mut gates, mut cells) = (Vec::new(), Vec::new());
    for t in 0..p.steps {
        let z = x.f_select(0, t as i64)?.f_linear(w_ih, bias(b_ih))?.f_add(&h.f_linear(w_hh, bias(b_hh))?)?;
        let [i, f, g, o] = [0, 1, 2, 3].map(|gate| z.f_narrow(1, gate * p.hidden as i64, p.hidden as i64));
        let (i, f, g, o) = (i?.f_sigmoid()?, f?.f_sigmoid()?, g?.f_tanh()?, o?.f_sigmoid()?);
        c = f.f_mul(&c)?.f_add(&i.f_mul(&g)?)?;
        h = o.f_mul(&c.f_tanh()?)?;
        gates.push(Tensor::f_cat(&[i, f, g, o], 1)?);
        cells.push(c.shallow_clone());
    }
    Ok([Tensor::f_stack(&gates, 0)?, Tensor::f_stack(&cells, 0)?])
}

/// The two outputs behind the first three.
fn rest(p: &Lstm, inputs: &[Tensor]) -> Result<[Tensor; 2], TchError> {
    if p.keep { kept(p, inputs) } else { Ok([none(&inputs[0])?, none(&inputs[0])?]) }
}

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let p: &Lstm = downcast(problem);
    let outputs = layer(p, inputs, p.keep)?;
    Ok(outputs.into_iter().chain(rest(p, inputs)?).collect())
}

/// With gates and cells wanted, `torch.lstm` in training mode, where oneDNN keeps what its gradient needs in a form of
/// its own. The gates and cells that are judged are computed once, outside of what is timed.
fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p = downcast::<Lstm>(problem).clone();
    let inputs: Vec<Tensor> = operands.inputs.iter().map(Tensor::shallow_clone).collect();
    let rest = rest(&p, &inputs)?;
    let way = Way::fresh("lstm", move || {
        let outputs = layer(&p, &inputs, p.keep)?;
        Ok(outputs.into_iter().chain(rest.iter().map(Tensor::shallow_clone)).collect())
    });
    Ok(vec![way.tried()?])
}
