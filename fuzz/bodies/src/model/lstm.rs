//! A recurrent layer: sequences T×N, inputs I, hidden units H, all without gaps.

use etalon_reference::Point;

use super::{Model, choice};

/// Elements of the operands.
struct Sizes {
    x: i128,
    y: i128,
    w_ih: i128,
    w_hh: i128,
    bias: i128,
    state: i128,
    initial: i128,
}

fn sizes(model: &mut Model, point: &Point) -> Sizes {
    let [t, n, i, h] = ["t", "n", "i", "h"].map(|axis| model.size(point, axis));
    model.fits("t·n·i", &[t, n, i]);
    model.fits("t·n·4h", &[t, n, 4, h]);
    model.fits("4h·i", &[4, h, i]);
    model.fits("4h·h", &[4, h, h]);
    let biased = choice(model, point, "bias") == "both";
    let given = choice(model, point, "state") == "given";
    let len = |factors: &[i128]| factors.iter().fold(1i128, |p, &f| p.saturating_mul(f.max(0)));
    let (rows, state) = (len(&[4, h]), len(&[n, h]));
    Sizes {
        x: len(&[t, n, i]),
        y: len(&[t, n, h]),
        w_ih: len(&[rows, i]),
        w_hh: len(&[rows, h]),
        bias: if biased { rows } else { 0 },
        state,
        initial: if given { state } else { 0 },
    }
}

/// `lstm`.
pub fn lstm(point: &Point) -> Model {
    let mut model = Model::default();
    let Sizes { x, y, w_ih, w_hh, bias, state, initial } = sizes(&mut model, point);
    let kept = if choice(&mut model, point, "keep") == "yes" { y } else { 0 };
    let weights = [("x", x), ("w_ih", w_ih), ("w_hh", w_hh), ("b_ih", bias), ("b_hh", bias)];
    model.inputs = weights.into_iter().chain([("h0", initial), ("c0", initial)]).collect();
    model.outputs = vec![("y", y), ("h_n", state), ("c_n", state), ("gates", kept.saturating_mul(4)), ("cells", kept)];
    model
}

/// `lstm_backward`.
pub fn lstm_backward(point: &Point) -> Model {
    let mut model = Model::default();
    let Sizes { x, y, w_ih, w_hh, bias, state, initial } = sizes(&mut model, point);
    let upstreams = [("dy", y), ("dh_n", state), ("dc_n", state)];
    let weights = [("x", x), ("w_ih", w_ih), ("w_hh", w_hh), ("b_ih", bias), ("b_hh", bias)];
    let kept = [("h0", initial), ("c0", initial), ("y", y), ("gates", y.saturating_mul(4)), ("cells", y)];
    model.inputs = upstreams.into_iter().chain(weights).chain(kept).collect();
    model.outputs = vec![("dx", x), ("dw_ih", w_ih), ("dw_hh", w_hh), ("db", bias), ("dh0", initial), ("dc0", initial)];
    model
}
