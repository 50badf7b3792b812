//! `recurrent_layers`: `torch.lstm`, `torch.gru`, `torch.rnn_tanh` and `torch.rnn_relu` with their layers and directions.
//!
//! With numbers of steps, each sequence is computed by itself; what is timed is a packed sequence. The training step is
//! autograd's.

use tch::{TchError, Tensor};

use super::recurrent::{Packed, nothing, slack};
use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::recurrent_layers::{Cells, RecurrentLayers};
use crate::ops::rnn::Function;

pub(super) const RECURRENT_LAYERS: Twin = Twin {
    op: "recurrent_layers",
    forward: |problem, inputs| forward(downcast(problem), inputs),
    slack: |problem| slack(problem).max(std::f64::consts::SQRT_2),
    ways,
};

/// The parameters as libtorch takes them.
fn parameters(p: &RecurrentLayers, flat: &Tensor) -> Result<Vec<Tensor>, TchError> {
    let mut all = Vec::new();
    for index in 0..p.layers * p.directions {
        let (layer, direction) = (index / p.directions, index % p.directions);
        let of = p.layer(layer, direction);
        let rows = of.columns() as i64;
        let shapes = [vec![rows, of.inputs as i64], vec![rows, of.hidden as i64], vec![rows], vec![rows]];
        for (range, shape) in p.places(layer, direction).into_iter().zip(shapes) {
            if of.bias || shape.len() == 2 {
                all.push(flat.f_narrow(0, range.start as i64, range.len() as i64)?.f_reshape(shape)?);
            }
        }
    }
    Ok(all)
}

/// Initial states, L·D×N×H.
fn initial(p: &RecurrentLayers, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let states = if p.cells == Cells::Lstm { &inputs[2..4] } else { &inputs[2..3] };
    let shape = [p.layers * p.directions, p.first.batch, p.first.hidden].map(|extent| extent as i64);
    let options = (inputs[0].kind(), inputs[0].device());
    let one = |state: &Tensor| match p.first.state {
        true => Ok(state.shallow_clone()),
        false => Tensor::f_zeros(shape, options),
    };
    states.iter().map(one).collect()
}

/// y and the last states, of a batch or of a packed one.
fn layers(
    p: &RecurrentLayers,
    x: &Tensor,
    sizes: Option<&Tensor>,
    states: &[Tensor],
    parameters: &[Tensor],
) -> Result<Vec<Tensor>, TchError> {
    let (bias, count, both) = (p.first.bias, p.layers as i64, p.directions == 2);
    let h0 = &states[0];
    let (y, h_n) = match (p.cells, sizes) {
        (Cells::Lstm, None) => {
            let (y, h_n, c_n) = x.f_lstm(states, parameters, bias, count, 0.0, false, both, false)?;
            return Ok(vec![y, h_n, c_n]);
        }
        (Cells::Lstm, Some(sizes)) => {
            let (y, h_n, c_n) = Tensor::f_lstm_data(x, sizes, states, parameters, bias, count, 0.0, false, both)?;
            return Ok(vec![y, h_n, c_n]);
        }
        (Cells::Gru, None) => x.f_gru(h0, parameters, bias, count, 0.0, false, both, false)?,
        (Cells::Gru, Some(sizes)) => Tensor::f_gru_data(x, sizes, h0, parameters, bias, count, 0.0, false, both)?,
        (Cells::Plain(function), None) => match function {
            Function::Tanh => x.f_rnn_tanh(h0, parameters, bias, count, 0.0, false, both, false)?,
            Function::Relu => x.f_rnn_relu(h0, parameters, bias, count, 0.0, false, both, false)?,
        },
        (Cells::Plain(function), Some(sizes)) => match function {
            Function::Tanh => Tensor::f_rnn_tanh_data(x, sizes, h0, parameters, bias, count, 0.0, false, both)?,
            Function::Relu => Tensor::f_rnn_relu_data(x, sizes, h0, parameters, bias, count, 0.0, false, both)?,
        },
    };
    Ok(vec![y, h_n])
}

/// y, h_n and c_n, which may be absent.
fn all(p: &RecurrentLayers, mut outputs: Vec<Tensor>) -> Result<Vec<Tensor>, TchError> {
    if p.cells != Cells::Lstm {
        outputs.push(Tensor::f_empty([0], (outputs[0].kind(), outputs[0].device()))?);
    }
    Ok(outputs)
}

fn forward(p: &RecurrentLayers, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let (x, parameters, states) = (&inputs[0], parameters(p, &inputs[1])?, initial(p, inputs)?);
    if !p.first.lengths || p.first.batch * p.first.steps == 0 {
        return all(p, layers(p, x, None, &states, &parameters)?);
    }
    let lengths = Vec::<i64>::try_from(inputs[4].f_flatten(0, -1)?)?;
    let mut rows: [Vec<Tensor>; 3] = Default::default();
    for (n, &length) in lengths.iter().enumerate() {
        let n = n as i64;
        let states = states.iter().map(|state| state.f_narrow(1, n, 1)).collect::<Result<Vec<_>, _>>()?;
        let lacks = p.first.steps as i64 - length;
        let outputs = if length == 0 {
            // libtorch takes no sequence without a step.
            let y = Tensor::f_zeros([0, 1, p.width() as i64], (x.kind(), x.device()))?;
            std::iter::once(y.f_add(&nothing(&inputs[..2])?)?).chain(states).collect()
        } else {
            layers(p, &x.f_narrow(1, n, 1)?.f_narrow(0, 0, length)?, None, &states, &parameters)?
        };
        for (output, (rows, tensor)) in rows.iter_mut().zip(outputs).enumerate() {
            rows.push(if output == 0 { tensor.f_constant_pad_nd([0, 0, 0, 0, 0, lacks])? } else { tensor });
        }
    }
    all(p, rows.iter().filter(|rows| !rows.is_empty()).map(|rows| Tensor::f_cat(rows, 1)).collect::<Result<_, _>>()?)
}

fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p = downcast::<RecurrentLayers>(problem).clone();
    let inputs: Vec<Tensor> = operands.inputs.iter().map(Tensor::shallow_clone).collect();
    let parameters = parameters(&p, &inputs[1])?.iter().map(Tensor::f_contiguous).collect::<Result<Vec<_>, _>>()?;
    let packed = Packed::new(&p.first, &inputs)?;
    let states = initial(&p, &inputs)?;
    let way = Way::fresh("layers", move || match &packed {
        Some(packed) => {
            let run =
                |data: &Tensor, sizes: &Tensor, states: &[Tensor]| layers(&p, data, Some(sizes), states, &parameters);
            all(&p, packed.layer(p.first.steps, &inputs[0], &states, run)?)
        }
        None if p.first.lengths => forward(&p, &inputs),
        None => all(&p, layers(&p, &inputs[0], None, &states, &parameters)?),
    });
    Ok(vec![way.tried()?])
}
