//! `embedding`: rows of a table, by their numbers.
//!
//! ```text
//! y[i] = table[index[i]];   0 where the index is 0 and 0 stands for padding
//! ```
//! The table is v×d, there are n numbers from 0 to below v, y is n×d. Numbers are copied: equal bits.

use ndarray::{Array2, ArrayD, Axis as NdAxis, Ix2};

use super::gemm::choice_value;
use crate::axis::Kind;
use crate::operator::{elements, size};
use crate::tensor::Values;
use crate::{
    Axis, DType, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness, Workload,
};

const ROWS: &[i64] = &[2, 3, 15, 16, 17, 63, 64, 65, 130];

/// The axes, which the gradient shares.
pub(super) const AXES: &[Axis] = &[
    Axis::int("n", "numbers", 3, 90, &[0, 1, 2, 3, 5, 16, 33, 64, 65, 130]),
    // Of one row there is nothing to choose.
    Axis {
        kind: Kind::Int { least: 2, tested: 200, favoured: ROWS },
        ..Axis::int("v", "rows of the table", 10, 0, &[])
    },
    Axis::int("d", "elements of a row", 4, 130, &[0, 1, 2, 3, 15, 16, 17, 31, 33, 63, 64, 65, 129]),
    Axis::choice("padding", "whether the number 0 stands for padding", &["no", "yes"]),
];

/// A validated embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// Numbers.
    pub count: usize,
    /// Rows of the table.
    pub rows: usize,
    /// Elements of a row.
    pub width: usize,
    /// Whether the number 0 stands for padding.
    pub padding: bool,
}

impl Embedding {
    pub(super) fn of(point: &Point) -> Result<Embedding, ProblemError> {
        let [count, rows, width] = [size(point, "n")?, size(point, "v")?, size(point, "d")?];
        if rows == 0 {
            return Err(ProblemError::OutOfRange { axis: "v", value: 0, rule: "at least 1" });
        }
        elements("n·d", &[count.max(1), width.max(1)])?;
        elements("v·d", &[rows, width.max(1)])?;
        Ok(Embedding { count, rows, width, padding: choice_value(point, "padding")? == "yes" })
    }

    pub(super) fn table(&self, name: &'static str, types: Types) -> Port {
        Port::new(name, types, Layout::contiguous(&[self.rows, self.width]))
    }

    pub(super) fn chosen(&self, name: &'static str, types: Types) -> Port {
        Port::new(name, types, Layout::contiguous(&[self.count, self.width]))
    }

    pub(super) fn index(&self, types: Types) -> Port {
        let index = Port::new("index", types, Layout::contiguous(&[self.count])).typed(DType::I64);
        index.drawn(Values::Below(self.rows))
    }

    /// The row that a number stands for, if it is no padding.
    pub fn row(&self, number: usize) -> Option<usize> {
        (number != 0 || !self.padding).then_some(number)
    }
}

impl Problem for Embedding {
    fn inputs(&self, types: Types) -> Vec<Port> {
        vec![self.table("table", types).weights(), self.index(types)]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![self.chosen("y", types)]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let table = inputs[0].view().into_dimensionality::<Ix2>().expect("v×d");
        let mut y = Array2::zeros((self.count, self.width));
        for (mut y, &number) in y.rows_mut().into_iter().zip(&inputs[1]) {
            if let Some(row) = self.row(number as usize) {
                y.assign(&table.index_axis(NdAxis(0), row));
            }
        }
        vec![y.into_dyn()]
    }

    fn tolerance(&self, _: Types, _: Fill, _: &[ArrayD<f64>], _: &[ArrayD<f64>]) -> Vec<Tolerance> {
        vec![Tolerance::Exact]
    }

    fn operations(&self) -> (f64, Unit) {
        (0.0, Unit::Integer)
    }

    fn differentiable(&self) -> Vec<usize> {
        vec![0]
    }

    /// All numbers may stand for one row, or for padding.
    fn degenerate(&self) -> bool {
        self.rows < 3 || self.width < 2
    }
}

const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

pub(super) static WORKLOADS: &[Workload] = &[
    w("small.ci", "n=64,v=1000,d=64", "composed for the suite").smoke(),
    w(
        "kim2014.mr-words",
        "n=2800,v=18765,d=300,padding=yes",
        "Kim 2014: the words of MR in 300 dimensions, 50 sentences",
    ),
    w("bert.512x768", "n=512,v=30522,d=768", "BERT-base, 512 tokens"),
    w("gpt2.1024x768", "n=1024,v=50257,d=768", "GPT-2 small, 1024 tokens"),
];

/// The operator `embedding`.
pub static EMBEDDING: Operator = Operator {
    name: "embedding",
    summary: "rows of a table by their numbers, of which 0 may stand for padding",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(Embedding::of(point)?)),
    workloads: WORKLOADS,
    special_values: "copied; padding is 0, whatever the table holds",
    domains: &[],
    gradient: None,
    witness: Witness::Libtorch,
    batch: Some("n"),
};

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(point: &str, index: &[f64]) -> Vec<f64> {
        let problem = EMBEDDING.problem(&Point::parse(AXES, point).expect("a point")).expect("a problem");
        let table = ArrayD::from_shape_vec(vec![3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).expect("3×2");
        let index = ArrayD::from_shape_vec(vec![index.len()], index.to_vec()).expect("n");
        problem.reference(&[table, index]).remove(0).into_iter().collect()
    }

    #[test]
    fn rows_are_chosen() {
        assert_eq!(chosen("n=3,v=3,d=2", &[2.0, 0.0, 2.0]), [5.0, 6.0, 1.0, 2.0, 5.0, 6.0]);
        assert_eq!(chosen("n=2,v=3,d=2,padding=yes", &[0.0, 1.0]), [0.0, 0.0, 3.0, 4.0]);
    }
}
