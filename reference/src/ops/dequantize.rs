//! `dequantize`: `y = (q − zero)·scale`, what [`quantize`](super::quantize) made of y, but for its rounding.
//!
//! q, scales and zero points are those of `quantize`. The difference is exact, the product is rounded once to y's type.

use ndarray::ArrayD;

use super::quantize::{AXES, DOMAINS, Scheme, TYPES, WORKLOADS};
use crate::tensor::Values;
use crate::{Data, Fill, Operator, Port, Problem, Tolerance, Types, Unit, Witness};

/// A validated dequantization.
#[derive(Clone, Debug, PartialEq)]
pub struct Dequantize {
    /// Extents.
    pub scheme: Scheme,
}

impl Problem for Dequantize {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let [scale, zero] = self.scheme.ports(types);
        vec![Port::new("q", types, self.scheme.layout()).drawn(Values::Bytes), scale, zero]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("y", types, self.scheme.layout())]
    }

    /// A hostile fill has a scale that is no number, where there are several.
    fn draw(&self, types: Types, fill: Fill, seed: u64) -> Vec<Data> {
        let ports = self.inputs(types);
        let mut data = fill.make(&ports, seed);
        if fill == Fill::Hostile {
            let mut scales = crate::gather(&ports[1].layout, &data[1]);
            let count = scales.len();
            if let Some(scale) = scales.iter_mut().nth(seed as usize % count.max(1)).filter(|_| count > 1) {
                *scale = f64::NAN;
            }
            crate::scatter(&ports[1].layout, &scales, &mut data[1]);
        }
        data
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        vec![self.scheme.map(inputs, |q, scale, zero| (q - zero) * scale)]
    }

    fn tolerance(&self, _: Types, _: Fill, _: &[ArrayD<f64>], _: &[ArrayD<f64>]) -> Vec<Tolerance> {
        // f64 has every product, of 9 bits and of 24 at most, and f32 those of 9 bits and 11: there is one rounding.
        vec![Tolerance::Exact]
    }

    fn operations(&self) -> (f64, Unit) {
        (2.0 * self.scheme.rows as f64 * self.scheme.cols as f64, Unit::Integer)
    }

    fn degenerate(&self) -> bool {
        self.scheme.rows * self.scheme.cols < 16
    }
}

/// The operator `dequantize`.
pub static DEQUANTIZE: Operator = Operator {
    name: "dequantize",
    summary: "8-bit integers as the real numbers that they stand for, per tensor, row or group",
    axes: AXES,
    types: TYPES,
    make: |point| Ok(Box::new(Dequantize { scheme: Scheme::of(point)? })),
    workloads: WORKLOADS,
    special_values: "those of the scale follow the formula",
    domains: DOMAINS,
    gradient: None,
    witness: Witness::Libtorch,
    batch: None,
};
