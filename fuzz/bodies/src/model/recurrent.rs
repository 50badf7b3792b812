//! Recurrent layers: sequences T×N, inputs I, hidden units H with some gates each, all without gaps.

use etalon_reference::Point;

use super::{Model, choice, spans};

/// The product; what is negative counts as 0.
fn len(factors: &[i128]) -> i128 {
    factors.iter().fold(1i128, |p, &f| p.saturating_mul(f.max(0)))
}

/// The product, of an operand that is there; 0 elements otherwise.
fn if_so(there: bool, factors: &[i128]) -> i128 {
    if there { len(factors) } else { 0 }
}

/// The model of a layer with `gates` gates and these states, and T, N, H.
fn layer(point: &Point, gates: i128, states: &[&'static str]) -> (Model, [i128; 3]) {
    let mut model = Model::default();
    let [t, n, i, h] = ["t", "n", "i", "h"].map(|axis| model.size(point, axis));
    model.fits("t·n·i", &[t, n, i]);
    model.fits("t·n·g·h", &[t, n, gates, h]);
    model.fits("g·h·i", &[gates, h, i]);
    model.fits("g·h·h", &[gates, h, h]);
    let biased = choice(&mut model, point, "bias") == "both";
    let given = choice(&mut model, point, "state") == "given";
    choice(&mut model, point, "dir");
    let limited = choice(&mut model, point, "lengths") == "given";
    let (bias, state) = (if_so(biased, &[gates, h]), if_so(given, &[n, h]));
    let mut inputs = vec![
        ("x", len(&[t, n, i])),
        ("w_ih", len(&[gates, h, i])),
        ("w_hh", len(&[gates, h, h])),
        ("b_ih", bias),
        ("b_hh", bias),
    ];
    inputs.extend(states.iter().map(|name| (*name, state)));
    inputs.push(("lengths", if_so(limited, &[n])));
    model.inputs = spans(&inputs);
    (model, [t, n, h])
}

/// `lstm`.
pub fn lstm(point: &Point) -> Model {
    let (mut model, [t, n, h]) = layer(point, 4, &["h0", "c0"]);
    let kept = choice(&mut model, point, "keep") == "yes";
    model.outputs = spans(&[
        ("y", len(&[t, n, h])),
        ("h_n", len(&[n, h])),
        ("c_n", len(&[n, h])),
        ("gates", if_so(kept, &[t, n, 4, h])),
        ("cells", if_so(kept, &[t, n, h])),
    ]);
    model
}

/// `gru`.
pub fn gru(point: &Point) -> Model {
    let (mut model, [t, n, h]) = layer(point, 3, &["h0"]);
    let kept = choice(&mut model, point, "keep") == "yes";
    model.outputs = spans(&[
        ("y", len(&[t, n, h])),
        ("h_n", len(&[n, h])),
        ("gates", if_so(kept, &[t, n, 3, h])),
        ("recurrent", if_so(kept, &[t, n, h])),
    ]);
    model
}

/// `rnn`.
pub fn rnn(point: &Point) -> Model {
    let (mut model, [t, n, h]) = layer(point, 1, &["h0"]);
    choice(&mut model, point, "f");
    model.outputs = spans(&[("y", len(&[t, n, h])), ("h_n", len(&[n, h]))]);
    model
}

/// `recurrent_layers`.
pub fn layers(point: &Point) -> Model {
    let mut model = Model::default();
    let cell = choice(&mut model, point, "cell");
    let gates = match cell {
        "lstm" => 4,
        "gru" => 3,
        _ => 1,
    };
    let l = model.size(point, "l");
    model.require(l > 0, || "l is 0".into());
    let both = choice(&mut model, point, "dirs") == "both";
    let [t, n, i, h] = ["t", "n", "i", "h"].map(|axis| model.size(point, axis));
    let biased = choice(&mut model, point, "bias") == "both";
    let given = choice(&mut model, point, "state") == "given";
    let limited = choice(&mut model, point, "lengths") == "given";
    let d = if both { 2 } else { 1 };
    model.fits("t·n·i", &[t, n, i]);
    model.fits("t·n·g·h", &[t, n, gates, h]);
    model.fits("g·h·i", &[gates, h, i]);
    model.fits("g·h·h", &[gates, h, h]);
    let row = i.max(1).saturating_add(h.max(1).saturating_mul(3)).saturating_add(2);
    model.fits("l·d·g·h·(i + 3·h + 2)", &[l, d, gates, h, row]);
    model.fits("l·d·n·h", &[l, d, n, h]);
    model.fits("t·n·d·g·h", &[t, n, d, gates, h]);
    let of_layer = |inputs: i128| {
        let weights = len(&[gates, h, inputs.max(0).saturating_add(h.max(0))]);
        d.saturating_mul(weights.saturating_add(if_so(biased, &[2, gates, h])))
    };
    let parameters = of_layer(i).saturating_add((l - 1).saturating_mul(of_layer(d.saturating_mul(h))));
    let states = len(&[l, d, n, h]);
    let state = if given { states } else { 0 };
    let c0 = if cell == "lstm" { state } else { 0 };
    model.inputs = spans(&[
        ("x", len(&[t, n, i])),
        ("parameters", parameters),
        ("h0", state),
        ("c0", c0),
        ("lengths", if_so(limited, &[n])),
    ]);
    let c_n = if cell == "lstm" { states } else { 0 };
    model.outputs = spans(&[("y", len(&[t, n, d, h])), ("h_n", states), ("c_n", c_n)]);
    model
}

/// Both biases have the gradient db.
pub fn one_bias_gradient(model: &mut Model) {
    model.rename("db_ih", "db");
}
