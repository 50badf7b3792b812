//! `lstm`, `gru` and `rnn`, and their gradients.
//!
//! Outputs and last states are those of `torch.lstm`, `torch.gru`, `torch.rnn_tanh` and `torch.rnn_relu`, and so are all
//! gradients. What a forward pass keeps for its gradient is not among their results: a second pass of single operators
//! gives it.
//!
//! A layer in reverse is one over the sequence in reverse. With numbers of steps, each sequence is a layer of its own; what
//! is timed is a packed sequence, sorted as `pack_padded_sequence` does.
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

pub(super) fn slack(problem: &dyn Problem) -> f64 {
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

/// All outputs of a layer, by `whole`, which takes layers that go forward over whole sequences.
fn by_sequences(
    layer: &Layer,
    inputs: &[Tensor],
    whole: impl Fn(Layer, &[Tensor]) -> Result<Vec<Tensor>, TchError>,
) -> Result<Vec<Tensor>, TchError> {
    let plain = Layer { reverse: false, lengths: false, ..*layer };
    // Sequences have three dimensions.
    let turned = |tensors: Vec<Tensor>| -> Result<Vec<Tensor>, TchError> {
        let turn = |tensor: Tensor| if layer.reverse && tensor.dim() == 3 { tensor.f_flip([0]) } else { Ok(tensor) };
        tensors.into_iter().map(turn).collect()
    };
    let with_x = |x: Tensor, rest: &[Tensor]| -> Vec<Tensor> {
        std::iter::once(x).chain(rest.iter().map(Tensor::shallow_clone)).collect()
    };
    let (x, rest) = inputs.split_first().expect("x");
    if !layer.lengths || layer.steps == 0 {
        return turned(whole(plain, &turned(with_x(x.shallow_clone(), rest))?)?);
    }
    let lengths = Vec::<i64>::try_from(inputs.last().expect("lengths").f_flatten(0, -1)?)?;
    let mut all: Vec<Vec<Tensor>> = Vec::new();
    for (n, &length) in lengths.iter().enumerate() {
        let x = x.f_narrow(1, n as i64, 1)?.f_narrow(0, 0, length)?;
        let state = |state: &Tensor| state.f_narrow(0, n as i64, 1);
        let mut own = with_x(x, rest);
        if layer.state {
            let end = own.len() - 1;
            for of in &mut own[5..end] {
                *of = state(of)?;
            }
        }
        let outputs = if length == 0 {
            // libtorch takes no sequence without a step: of one with a step, the states before it.
            own[0] = Tensor::f_zeros([1, 1, layer.inputs as i64], (inputs[0].kind(), inputs[0].device()))?;
            let nothing = nothing(&inputs[..inputs.len() - 1])?;
            let one = Layer { steps: 1, batch: 1, ..plain };
            let mut states = own[5..own.len() - 1].iter();
            let before = |tensor: Tensor| match tensor.dim() {
                3 => tensor.f_narrow(0, 0, 0)?.f_detach()?.f_add(&nothing),
                2 => match states.next().filter(|_| layer.state) {
                    Some(state) => Ok(state.shallow_clone()),
                    None => tensor.f_zeros_like(),
                },
                _ => Ok(tensor),
            };
            whole(one, &own)?.into_iter().map(before).collect::<Result<_, _>>()?
        } else {
            let one = Layer { steps: length as usize, batch: 1, ..plain };
            turned(whole(one, &turned(own)?)?)?
        };
        for (output, tensor) in outputs.into_iter().enumerate() {
            let lacks = layer.steps as i64 - length;
            let padded = if tensor.dim() == 3 { tensor.f_constant_pad_nd([0, 0, 0, 0, 0, lacks])? } else { tensor };
            match all.get_mut(output) {
                Some(rows) => rows.push(padded),
                None => all.push(vec![padded]),
            }
        }
    }
    if all.is_empty() {
        return whole(plain, inputs);
    }
    // What is absent has one dimension.
    let join = |rows: Vec<Tensor>| match rows[0].dim() {
        3 => Tensor::f_cat(&rows, 1),
        2 => Tensor::f_cat(&rows, 0),
        _ => Ok(rows[0].shallow_clone()),
    };
    all.into_iter().map(join).collect()
}

/// A zero for which autograd finds these inputs, with gradients of 0, whatever they hold.
pub(super) fn nothing(inputs: &[Tensor]) -> Result<Tensor, TchError> {
    let zero = Tensor::f_zeros([0i64; 0].as_slice(), (inputs[0].kind(), inputs[0].device()))?;
    inputs.iter().try_fold(zero, |zero, input| zero.f_add(&input.f_narrow(0, 0, 0)?.f_sum(input.kind())?))
}

/// A batch of sequences in libtorch's packed form, the longest first; those without a step are left out.
pub(super) struct Packed {
    order: Tensor,
    lengths: Tensor,
    place: Tensor,
}

impl Packed {
    /// Of the inputs of a layer, if it has numbers of steps, and some sequence has a step. libtorch goes through a packed
    /// sequence in reverse beside one that goes forward, and not alone.
    pub(super) fn new(layer: &Layer, inputs: &[Tensor]) -> Result<Option<Packed>, TchError> {
        let lengths = inputs.last().expect("lengths");
        let empty = layer.inputs * layer.hidden == 0;
        if !layer.lengths || layer.reverse || empty || lengths.f_count_nonzero(None)?.f_int64_value(&[])? == 0 {
            return Ok(None);
        }
        let order = lengths.f_argsort(0, true)?;
        let sorted = lengths.f_index_select(0, &order)?;
        let some = sorted.f_count_nonzero(None)?.f_int64_value(&[])?;
        let lengths = sorted.f_narrow(0, 0, some)?.f_contiguous()?;
        Ok(Some(Packed { place: order.f_argsort(0, false)?, order, lengths }))
    }

    /// y and the last states of layers over the packed sequences, of x and initial states L·D×N×H.
    pub(super) fn layer(
        &self,
        steps: usize,
        x: &Tensor,
        initial: &[Tensor],
        layer: impl Fn(&Tensor, &Tensor, &[Tensor]) -> Result<Vec<Tensor>, TchError>,
    ) -> Result<Vec<Tensor>, TchError> {
        let some = self.lengths.size()[0];
        let x = x.f_index_select(1, &self.order)?;
        let states: Vec<Tensor> =
            initial.iter().map(|state| state.f_index_select(1, &self.order)).collect::<Result<_, _>>()?;
        let first: Vec<Tensor> =
            states.iter().map(|state| state.f_narrow(1, 0, some)?.f_contiguous()).collect::<Result<_, _>>()?;
        let (data, sizes) = x.f_narrow(1, 0, some)?.f_internal_pack_padded_sequence(&self.lengths, false)?;
        let mut outputs = layer(&data, &sizes, &first)?.into_iter();
        let y = outputs.next().expect("y");
        let (y, _) = Tensor::f_internal_pad_packed_sequence(&y, &sizes, false, 0.0, steps as i64)?;
        let y = y.f_constant_pad_nd([0, 0, 0, x.size()[1] - some])?.f_index_select(1, &self.place)?;
        let last = outputs.zip(&states).map(|(last, state)| {
            let others = state.f_narrow(1, some, state.size()[1] - some)?;
            Tensor::f_cat(&[last, others], 1)?.f_index_select(1, &self.place)
        });
        std::iter::once(Ok(y)).chain(last).collect()
    }
}

/// `torch.lstm`: y, h_n, c_n.
fn lstm_layer(p: &Lstm, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let [x, .., h0, c0, _] = inputs else { panic!("eight inputs") };
    let layer = &p.layer;
    let states = [initial(layer, h0, x)?.f_unsqueeze(0)?, initial(layer, c0, x)?.f_unsqueeze(0)?];
    let (y, h_n, c_n) = x.f_lstm(&states, &parameters(layer, inputs), layer.bias, 1, 0.0, p.keep, false, false)?;
    Ok(vec![y, h_n.f_squeeze_dim(0)?, c_n.f_squeeze_dim(0)?])
}

/// Gates and cells by single operators.
fn lstm_kept(p: &Lstm, inputs: &[Tensor]) -> Result<[Tensor; 2], TchError> {
    let [x, .., h0, c0, _] = inputs else { panic!("eight inputs") };
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
    by_sequences(&p.layer, inputs, |layer, inputs| {
        let p = &Lstm { layer, keep: p.keep };
        Ok(lstm_layer(p, inputs)?.into_iter().chain(lstm_kept(p, inputs)?).collect())
    })
}

/// `torch.gru`: y, h_n.
fn gru_layer(p: &Gru, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let [x, .., h0, _] = inputs else { panic!("seven inputs") };
    let layer = &p.layer;
    let state = initial(layer, h0, x)?.f_unsqueeze(0)?;
    let (y, h_n) = x.f_gru(&state, &parameters(layer, inputs), layer.bias, 1, 0.0, p.keep, false, false)?;
    Ok(vec![y, h_n.f_squeeze_dim(0)?])
}

/// Gates and q by single operators.
fn gru_kept(p: &Gru, inputs: &[Tensor]) -> Result<[Tensor; 2], TchError> {
    let [x, .., h0, _] = inputs else { panic!("seven inputs") };
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
    by_sequences(&p.layer, inputs, |layer, inputs| {
        let p = &Gru { layer, keep: p.keep };
        Ok(gru_layer(p, inputs)?.into_iter().chain(gru_kept(p, inputs)?).collect())
    })
}

/// `torch.rnn_tanh` or `torch.rnn_relu`: y, h_n.
fn rnn_layer(p: &Rnn, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let [x, .., h0, _] = inputs else { panic!("seven inputs") };
    let layer = &p.layer;
    let (state, parameters) = (initial(layer, h0, x)?.f_unsqueeze(0)?, parameters(layer, inputs));
    let (y, h_n) = match p.function {
        Function::Tanh => x.f_rnn_tanh(&state, &parameters, layer.bias, 1, 0.0, false, false, false)?,
        Function::Relu => x.f_rnn_relu(&state, &parameters, layer.bias, 1, 0.0, false, false, false)?,
    };
    Ok(vec![y, h_n.f_squeeze_dim(0)?])
}

fn rnn(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let p: &Rnn = downcast(problem);
    by_sequences(&p.layer, inputs, |layer, inputs| rnn_layer(&Rnn { layer, ..*p }, inputs))
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

/// The states of a single layer, N×H.
fn single(outputs: Vec<Tensor>) -> Result<Vec<Tensor>, TchError> {
    outputs
        .into_iter()
        .enumerate()
        .map(|(i, tensor)| if i == 0 { Ok(tensor) } else { tensor.f_squeeze_dim(0) })
        .collect()
}

fn lstm_ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let Lstm { layer, keep } = *downcast::<Lstm>(problem);
    let packed = Packed::new(&layer, &operands.inputs)?;
    let kept = |inputs: &[Tensor]| {
        by_sequences(&layer, inputs, |layer, inputs| Ok(lstm_kept(&Lstm { layer, keep }, inputs)?.into()))
    };
    way("lstm", operands, kept, move |inputs| {
        let Some(packed) = &packed else {
            return by_sequences(&layer, inputs, |layer, inputs| lstm_layer(&Lstm { layer, keep }, inputs));
        };
        let [h0, c0] = [5, 6].map(|i| initial(&layer, &inputs[i], &inputs[0]).and_then(|state| state.f_unsqueeze(0)));
        let parameters = parameters(&layer, inputs);
        let outputs = packed.layer(layer.steps, &inputs[0], &[h0?, c0?], |data, sizes, states| {
            let (y, h_n, c_n) = Tensor::f_lstm_data(data, sizes, states, &parameters, layer.bias, 1, 0.0, keep, false)?;
            Ok(vec![y, h_n, c_n])
        })?;
        single(outputs)
    })
}

fn gru_ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let Gru { layer, keep } = *downcast::<Gru>(problem);
    let packed = Packed::new(&layer, &operands.inputs)?;
    let kept = |inputs: &[Tensor]| {
        by_sequences(&layer, inputs, |layer, inputs| Ok(gru_kept(&Gru { layer, keep }, inputs)?.into()))
    };
    way("gru", operands, kept, move |inputs| {
        let Some(packed) = &packed else {
            return by_sequences(&layer, inputs, |layer, inputs| gru_layer(&Gru { layer, keep }, inputs));
        };
        let (h0, parameters) = (initial(&layer, &inputs[5], &inputs[0])?.f_unsqueeze(0)?, parameters(&layer, inputs));
        let outputs = packed.layer(layer.steps, &inputs[0], &[h0], |data, sizes, states| {
            let (y, h_n) = Tensor::f_gru_data(data, sizes, &states[0], &parameters, layer.bias, 1, 0.0, keep, false)?;
            Ok(vec![y, h_n])
        })?;
        single(outputs)
    })
}

fn rnn_ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let Rnn { layer, function } = *downcast::<Rnn>(problem);
    let packed = Packed::new(&layer, &operands.inputs)?;
    way(
        "rnn",
        operands,
        |_| Ok(Vec::new()),
        move |inputs| {
            let Some(packed) = &packed else {
                return by_sequences(&layer, inputs, |layer, inputs| rnn_layer(&Rnn { layer, function }, inputs));
            };
            let (h0, parameters) =
                (initial(&layer, &inputs[5], &inputs[0])?.f_unsqueeze(0)?, parameters(&layer, inputs));
            let outputs = packed.layer(layer.steps, &inputs[0], &[h0], |data, sizes, states| {
                let run = if function == Function::Tanh { Tensor::f_rnn_tanh_data } else { Tensor::f_rnn_relu_data };
                let (y, h_n) = run(data, sizes, &states[0], &parameters, layer.bias, 1, 0.0, false, false)?;
                Ok(vec![y, h_n])
            })?;
            single(outputs)
        },
    )
}
