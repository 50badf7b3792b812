//! Attention: N sequences, H heads of keys with g heads of queries each, Sq queries and Sk keys.

use etalon_reference::Point;

use super::{Model, choice, spans};

/// `attention`.
pub fn attention(point: &Point) -> Model {
    let mut model = Model::default();
    let [n, h, g, sq, sk, d, dv] = ["n", "h", "g", "sq", "sk", "d", "dv"].map(|axis| model.size(point, axis));
    for (axis, size) in [("g", g), ("d", d)] {
        model.require(size > 0, || format!("{axis} is 0"));
    }
    for axis in ["causal", "scale", "order"] {
        choice(&mut model, point, axis);
    }
    let masked = choice(&mut model, point, "mask") != "no";
    let limited = choice(&mut model, point, "lengths") == "given";
    let logarithms = choice(&mut model, point, "lse") == "yes";
    let operands = [
        ("q", [n, h, g, sq, d]),
        ("k", [n, h, 1, sk, d]),
        ("v", [n, h, 1, sk, dv]),
        ("y", [n, h, g, sq, dv]),
        ("mask", [1, 1, 1, sq, sk]),
    ];
    for (name, factors) in &operands {
        model.fits(name, factors);
    }
    let [q, k, v, y, mask] =
        operands.map(|(_, factors)| factors.iter().fold(1i128, |p, &f| p.saturating_mul(f.max(0))));
    let if_so = |there, len| if there { len } else { 0 };
    let lengths = if_so(limited, n);
    model.inputs = spans(&[("q", q), ("k", k), ("v", v), ("mask", if_so(masked, mask)), ("lengths", lengths)]);
    model.outputs = spans(&[("y", y), ("lse", if_so(logarithms, q / d.max(1)))]);
    model
}
