//! A recurrent layer: sequences T×N, inputs I, hidden units H, all without gaps.

use etalon_reference::Point;

use super::{Model, choice, spans};

/// `lstm`.
pub fn lstm(point: &Point) -> Model {
    let mut model = Model::default();
    let [t, n, i, h] = ["t", "n", "i", "h"].map(|axis| model.size(point, axis));
    model.fits("t·n·i", &[t, n, i]);
    model.fits("t·n·4h", &[t, n, 4, h]);
    model.fits("4h·i", &[4, h, i]);
    model.fits("4h·h", &[4, h, h]);
    let mut chosen = |axis: &str, name: &str| choice(&mut model, point, axis) == name;
    let (biased, given, kept) = (chosen("bias", "both"), chosen("state", "given"), chosen("keep", "yes"));
    let len = |factors: &[i128]| factors.iter().fold(1i128, |p, &f| p.saturating_mul(f.max(0)));
    let if_so = |there: bool, factors: &[i128]| if there { len(factors) } else { 0 };
    let (state, bias, initial) = (len(&[n, h]), if_so(biased, &[4, h]), if_so(given, &[n, h]));
    model.inputs = spans(&[
        ("x", len(&[t, n, i])),
        ("w_ih", len(&[4, h, i])),
        ("w_hh", len(&[4, h, h])),
        ("b_ih", bias),
        ("b_hh", bias),
        ("h0", initial),
        ("c0", initial),
    ]);
    model.outputs = spans(&[
        ("y", len(&[t, n, h])),
        ("h_n", state),
        ("c_n", state),
        ("gates", if_so(kept, &[t, n, 4, h])),
        ("cells", if_so(kept, &[t, n, h])),
    ]);
    model
}

/// Both biases have the gradient db.
pub fn backward(model: &mut Model) {
    model.rename("db_ih", "db");
}
