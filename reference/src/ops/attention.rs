//! `attention`: scaled dot-product attention of queries over keys and values, with the logarithm of the sums of
//! exponentials.
//!
//! ```text
//! s[b, h, i, j] = scale·Σ q[b, h, i, ·]·k[b, h/g, j, ·] (+ mask[i, j])          for the keys j that query i may see
//! y[b, h, i, ·] = Σ e^s[j]·v[b, h/g, j, ·] / Σ e^s[j],     lse[b, h, i] = ln Σ e^s[j]
//! ```
//! q is N×H·g×Sq×D, k N×H×Sk×D, v N×H×Sk×Dv, y N×H·g×Sq×Dv, lse N×H·g×Sq: each of the H heads of keys serves g heads of
//! queries that follow each other. In memory the heads lie outside of the rows, or the rows outside of the heads, as
//! projections give them. The scale is 1/√D, or 1.
//!
//! A query may not see keys
//! - behind its diagonal: with `causal=top` keys j > i, with `causal=bottom` keys j > i + Sk − Sq, so that the last query
//!   sees all;
//! - that the mask excludes: where a boolean mask is 0, or an added one is −∞;
//! - from the length of its sequence on.
//!
//! What a query may not see does not count, whatever it holds. A query that sees nothing, or whose scores are all −∞,
//! gives zeros, and −∞ as its logarithm. Logarithms are an output if wanted.
//!
//! **Order of summation**: scores are those of [`gemm`](super::gemm), with α = scale·log₂e rounded once; an added mask
//! follows by one fused operation, `mask·log₂e + s`. Keys come in blocks of 96. With m the largest score so far, in each
//! block `p = 2^(s − m)`, which is 0 below 2⁻¹²⁵ (2⁻¹⁰²¹ in f64); where m grows, the sums so far are multiplied by
//! `2^(old − m)`. A block's p are added in a chain, and so are its products with v; then the block's sums are added to
//! those so far. In the end sums are multiplied by the rounded 1/Σp.
//!
//! Bounds: `attention_bounds.rs`.

use ndarray::{Array4, ArrayD, Axis as NdAxis};

use super::attention_bounds::short;
use super::attention_rows::{At, largest, sees_nothing};
use super::gemm::{chain, choice_value};
use super::recurrent::{kept, or_none};
use crate::operator::{elements, size};
use crate::tensor::Values;
use crate::tolerance::Sum;
use crate::{
    Axis, DType, Domain, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness,
};

/// Keys of a block.
pub const BLOCK: usize = 96;

/// Of bf16, sums and logarithms are f32.
pub const TYPES: &[Types] = &[Types::F32, Types::F64, Types::all(DType::Bf16)];

/// Powers are 0 below 2 to this.
pub const fn lowest(dtype: DType) -> f64 {
    if matches!(dtype, DType::F64) { -1021.0 } else { -125.0 }
}

const ROWS: &[i64] = &[1, 2, 4, 5, 7, 8, 12, 13, 16, 17, 31, 32, 33, 64, 65];
const KEYS: &[i64] = &[0, 1, 2, 11, 12, 13, 16, 17, 95, 96, 97, 191, 192, 193];
const WIDTHS: &[i64] = &[1, 2, 8, 15, 16, 17, 31, 32, 33, 40, 64, 65];

pub(super) const AXES: &[Axis] = &[
    Axis::int("n", "sequences", 1, 3, &[0, 1, 2, 4, 5]),
    Axis::int("h", "heads of keys", 1, 3, &[0, 1, 2, 4, 5]),
    Axis::int("g", "heads of queries for each head of keys", 1, 4, &[1, 2, 3, 4, 8]).positive().bounded(),
    Axis::int("sq", "queries", 1, 70, ROWS),
    Axis::int("sk", "keys", 1, 200, KEYS),
    Axis::int("d", "elements of a query and of a key", 16, 70, WIDTHS).positive(),
    Axis::int("dv", "elements of a value", 16, 70, WIDTHS),
    Axis::choice(
        "causal",
        "which keys are behind the diagonal: none, j > i, or j > i + Sk − Sq",
        &["no", "top", "bottom"],
    ),
    Axis::choice("mask", "a mask over queries and keys: none, of 0 and 1, or to be added", &["no", "bool", "add"]),
    Axis::choice("lengths", "whether each sequence has a number of keys of its own", &["no", "given"]),
    Axis::choice("scale", "factor of the scores: 1/√D, or 1", &["sqrt", "1"]),
    Axis::choice("order", "what lies outside: heads, or rows of all heads", &["heads", "rows"]),
    Axis::choice("lse", "whether logarithms of the sums are an output, too, as gradients need them", &["no", "yes"]),
];

/// Parts in which kernels have paths of their own.
pub(super) const DOMAINS: &[Domain] = &[
    Domain { name: "one query", fixed: &[("sq", &[1]), ("g", &[1, 4, 8])] },
    Domain { name: "several blocks of keys", fixed: &[("sk", &[97, 193, 300]), ("d", &[8, 17]), ("dv", &[8, 17])] },
    Domain {
        name: "a diagonal over several blocks",
        fixed: &[("sk", &[150, 200]), ("sq", &[130, 170]), ("causal", &[1, 2])],
    },
];

/// Which keys are behind the diagonal of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Causal {
    /// None.
    No,
    /// Query i sees keys up to i.
    Top,
    /// The last query sees all keys.
    Bottom,
}

/// A mask over queries and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// None.
    No,
    /// 0 excludes.
    Bool,
    /// Is added to scores; −∞ excludes.
    Add,
}

/// A validated attention.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// Sequences N.
    pub batch: usize,
    /// Heads of keys H.
    pub heads: usize,
    /// Heads of queries for each, g.
    pub group: usize,
    /// Queries Sq.
    pub queries: usize,
    /// Keys Sk.
    pub keys: usize,
    /// Elements of a query and of a key, D.
    pub depth: usize,
    /// Elements of a value, Dv.
    pub width: usize,
    /// Keys behind the diagonal.
    pub causal: Causal,
    /// The mask.
    pub mask: Mask,
    /// Whether each sequence has a length.
    pub lengths: bool,
    /// Factor of the scores.
    pub scale: f64,
    /// Whether rows lie outside of heads in memory.
    pub by_rows: bool,
    /// Whether the logarithms are an output.
    pub logarithms: bool,
}

/// Where q, k, v, the mask and the lengths stand among the inputs.
pub const INPUTS: [&str; 5] = ["q", "k", "v", "mask", "lengths"];

impl Attention {
    /// Of one sequence and one head, without masks.
    ///
    /// # Errors
    /// As [`Attention::validated`].
    pub fn new(queries: usize, keys: usize, depth: usize, width: usize) -> Result<Attention, ProblemError> {
        let scale = 1.0 / (depth as f64).sqrt();
        let (batch, heads, group) = (1, 1, 1);
        let (causal, mask) = (Causal::No, Mask::No);
        let (lengths, by_rows, logarithms) = (false, false, false);
        let sizes = Attention {
            batch,
            heads,
            group,
            queries,
            keys,
            depth,
            width,
            causal,
            mask,
            lengths,
            scale,
            by_rows,
            logarithms,
        };
        sizes.validated()
    }

    /// The same, if its sizes are possible.
    ///
    /// # Errors
    /// [`ProblemError`] if a buffer does not fit the address space, or queries have no element or belong to no head.
    pub fn validated(self) -> Result<Attention, ProblemError> {
        let positive = |axis, value: usize| match value {
            0 => Err(ProblemError::OutOfRange { axis, value: 0, rule: "at least 1" }),
            _ => Ok(()),
        };
        positive("g", self.group)?;
        positive("d", self.depth)?;
        // Strides are products of some of the extents: an extent of 0 does not excuse the others.
        let of = |what, factors: [usize; 5]| elements(what, &factors.map(|factor| factor.max(1)));
        of("q", [self.batch, self.heads, self.group, self.queries, self.depth])?;
        of("k", [self.batch, self.heads, 1, self.keys, self.depth])?;
        of("v", [self.batch, self.heads, 1, self.keys, self.width])?;
        of("y", [self.batch, self.heads, self.group, self.queries, self.width])?;
        of("mask", [1, 1, 1, self.queries, self.keys])?;
        Ok(self)
    }

    pub(super) fn of(point: &Point) -> Result<Attention, ProblemError> {
        let depth = size(point, "d")?;
        Attention {
            batch: size(point, "n")?,
            heads: size(point, "h")?,
            group: size(point, "g")?,
            queries: size(point, "sq")?,
            keys: size(point, "sk")?,
            depth,
            width: size(point, "dv")?,
            causal: match choice_value(point, "causal")? {
                "no" => Causal::No,
                "top" => Causal::Top,
                _ => Causal::Bottom,
            },
            mask: match choice_value(point, "mask")? {
                "no" => Mask::No,
                "bool" => Mask::Bool,
                _ => Mask::Add,
            },
            lengths: choice_value(point, "lengths")? == "given",
            scale: if choice_value(point, "scale")? == "1" { 1.0 } else { 1.0 / (depth as f64).sqrt() },
            by_rows: choice_value(point, "order")? == "rows",
            logarithms: choice_value(point, "lse")? == "yes",
        }
        .validated()
    }

    /// Heads of queries.
    pub fn query_heads(&self) -> usize {
        self.heads * self.group
    }

    /// Where `rows` rows of `width` elements of each of `heads` heads lie.
    fn layout(&self, heads: usize, rows: usize, width: usize) -> Layout {
        let shape = [self.batch, heads, rows, width];
        if self.by_rows {
            Layout::strided(&shape, &[rows * heads * width, width, heads * width, 1])
        } else {
            Layout::contiguous(&shape)
        }
    }

    /// Keys from the first that query `i` may see, for all that the diagonal says.
    pub fn before_diagonal(&self, i: usize) -> usize {
        match self.causal {
            Causal::No => self.keys,
            Causal::Top => self.keys.min(i + 1),
            Causal::Bottom => (i + 1 + self.keys).saturating_sub(self.queries).min(self.keys),
        }
    }

    /// Blocks of keys.
    pub fn blocks(&self) -> usize {
        self.keys.div_ceil(BLOCK)
    }
}

impl Problem for Attention {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let of = |name, heads, rows, width| Port::new(name, types, self.layout(heads, rows, width));
        let mask = Layout::contiguous(&[self.queries, self.keys]);
        let mask = match self.mask {
            Mask::No => Port::optional("mask", types, mask, false),
            Mask::Bool => Port::new("mask", types, mask).typed(DType::Bool).drawn(Values::Mask),
            Mask::Add => Port::new("mask", types, mask),
        };
        let lengths = Port::optional("lengths", types, Layout::contiguous(&[self.batch]), self.lengths);
        vec![
            of("q", self.query_heads(), self.queries, self.depth),
            of("k", self.heads, self.keys, self.depth),
            of("v", self.heads, self.keys, self.width),
            mask,
            lengths.typed(DType::I64).drawn(Values::Below(self.keys + 1)),
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        let lse = Port::new("lse", types, Layout::contiguous(&[self.batch, self.query_heads(), self.queries]));
        vec![
            Port::new("y", types, self.layout(self.query_heads(), self.queries, self.width)),
            kept(if short(types) { lse.typed(DType::F32) } else { lse }, self.logarithms),
        ]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let shape = (self.batch, self.query_heads(), self.queries);
        let mut y = Array4::zeros((shape.0, shape.1, shape.2, self.width));
        let mut lse = ndarray::Array3::from_elem(shape, f64::NEG_INFINITY);
        self.each_row(inputs, |At { b, h, i, v }, seen| {
            if sees_nothing(seen) {
                return;
            }
            let largest = largest(seen);
            let mut row = y.index_axis_mut(NdAxis(0), b).index_axis_move(NdAxis(0), h).index_axis_move(NdAxis(0), i);
            let mut sum = 0.0;
            for seen in seen {
                let p = (seen.score - largest).exp();
                sum += p;
                row.scaled_add(p, &v.index_axis(NdAxis(0), seen.key));
            }
            row /= sum;
            lse[[b, h, i]] = largest + sum.ln();
        });
        vec![y.into_dyn(), or_none(lse.into_dyn(), self.logarithms)]
    }

    fn sums(&self) -> Vec<Sum> {
        let keys = self.keys.min(BLOCK) + self.blocks();
        vec![Sum::new(self.depth, chain(self.depth), "of scores"), Sum::new(self.keys.max(1), keys.max(1), "of keys")]
    }

    fn tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        self.bounds(types, inputs, expected, 0.0)
    }

    fn witness_tolerance(
        &self,
        types: Types,
        _: Fill,
        inputs: &[ArrayD<f64>],
        expected: &[ArrayD<f64>],
    ) -> Vec<Tolerance> {
        self.bounds(types, inputs, expected, if short(types) { types.element.unit_roundoff() } else { 0.0 })
    }

    /// The products of scores and values, of the keys that the diagonal leaves.
    fn operations(&self) -> (f64, Unit) {
        let pairs: f64 = match self.causal {
            Causal::No => self.queries as f64 * self.keys as f64,
            _ => (0..self.queries.min(1 << 20)).map(|i| self.before_diagonal(i) as f64).sum(),
        };
        let heads = self.batch as f64 * self.heads as f64 * self.group as f64;
        (2.0 * heads * pairs * (self.depth as f64 + self.width as f64), Unit::Fma)
    }

    fn differentiable(&self) -> Vec<usize> {
        vec![0, 1, 2]
    }

    fn degenerate(&self) -> bool {
        // Few queries see few keys, or none.
        self.queries * self.width < 32
            || self.keys < 8
            || self.lengths
            || self.mask != Mask::No
            || self.causal == Causal::Bottom
    }
}

/// The operator `attention`.
pub static ATTENTION: Operator = Operator {
    name: "attention",
    summary: "scaled dot-product attention with masks, shared heads of keys, and the logarithms of its sums",
    axes: AXES,
    types: TYPES,
    make: |point| Ok(Box::new(Attention::of(point)?)),
    workloads: super::attention_workloads::ATTENTION,
    special_values: "NaN and ∞ follow the formula, of the keys that a query sees; what it does not see never counts",
    domains: DOMAINS,
    gradient: None,
    witness: Witness::Libtorch,
    batch: Some("n"),
};

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(point: &str, inputs: &[&[f64]]) -> Vec<ArrayD<f64>> {
        let problem = ATTENTION.problem(&Point::parse(AXES, point).expect("a point")).expect("a problem");
        let arrays: Vec<ArrayD<f64>> = (problem.inputs(Types::F64).iter().zip(inputs))
            .map(|(port, values)| ArrayD::from_shape_vec(port.layout.shape.clone(), values.to_vec()).expect("all"))
            .collect();
        problem.reference(&arrays)
    }

    fn counted(len: usize) -> Vec<f64> {
        (0..len).map(|k| ((k * 7) % 11) as f64 / 8.0 - 0.5).collect()
    }

    /// Reported of decoders: with one query before a cache, the diagonal from the top left sees one key.
    #[test]
    fn one_query_sees_one_key_or_all() {
        let (q, k, v) = (counted(4 * 64), counted(4 * 16 * 64), counted(4 * 16 * 64));
        let top = &outputs("h=4,sq=1,sk=16,d=64,dv=64,causal=top", &[&q, &k, &v, &[], &[]])[0];
        let first: Vec<f64> = (0..4).flat_map(|h| v[h * 16 * 64..][..64].to_vec()).collect();
        assert!(top.iter().eq(first.iter()));
        let bottom = outputs("h=4,sq=1,sk=16,d=64,dv=64,causal=bottom", &[&q, &k, &v, &[], &[]]);
        assert_eq!(bottom, outputs("h=4,sq=1,sk=16,d=64,dv=64", &[&q, &k, &v, &[], &[]]));
    }

    #[test]
    fn a_query_that_sees_nothing_gives_zeros() {
        let (q, k) = (counted(8), counted(8));
        let mut v = counted(8);
        let mask = [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
        let point = "sq=4,sk=4,d=2,dv=2,mask=bool,lse=yes";
        let found = outputs(point, &[&q, &k, &v, &mask, &[]]);
        assert!(found[0].iter().skip(2).take(2).all(|y| *y == 0.0) && found[1][[0, 0, 1]] == f64::NEG_INFINITY);
        let all = outputs("sq=4,sk=4,d=2,dv=2,lse=yes", &[&q, &k, &v, &[], &[]]);
        assert_eq!((found[0][[0, 0, 3, 1]], found[1][[0, 0, 3]]), (all[0][[0, 0, 3, 1]], all[1][[0, 0, 3]]));
        // What the third query does not see may be anything.
        v[2] = f64::NAN;
        assert_eq!(outputs(point, &[&q, &k, &v, &mask, &[]])[0][[0, 0, 2, 0]], found[0][[0, 0, 2, 0]]);
        let length = outputs("sq=4,sk=4,d=2,dv=2,lengths=given", &[&q, &k, &v, &[], &[0.0]]);
        assert!(length[0].iter().all(|y| *y == 0.0));
    }

    /// Each head of queries reads the head of keys that its group has.
    #[test]
    fn heads_repeat() {
        for (heads, group) in [(2, 3), (2, 4), (1, 5)] {
            let v: Vec<f64> = (0..heads).flat_map(|h| [h as f64; 6]).collect();
            let point = format!("h={heads},g={group},sq=2,sk=3,d=1,dv=2");
            let y = &outputs(&point, &[&counted(heads * group * 2), &counted(heads * 3), &v, &[], &[]])[0];
            assert!(y.indexed_iter().all(|(at, y)| (y - (at[1] / group) as f64).abs() < 1e-12), "{y}");
        }
    }

    #[test]
    fn extreme_scores_choose_one_key() {
        let point = "sq=2,sk=3,d=1,dv=1,scale=1,lse=yes";
        let found = outputs(point, &[&[1e4, -1e4], &[1.0, -1.0, 0.0], &[3.0, 5.0, 7.0], &[], &[]]);
        assert_eq!(found[0].iter().copied().collect::<Vec<_>>(), [3.0, 5.0]);
        assert_eq!(found[1].iter().copied().collect::<Vec<_>>(), [1e4, 1e4]);
    }

    #[test]
    fn what_makes_no_attention_is_an_error() {
        let problem = |point| ATTENTION.problem(&Point::parse(AXES, point).expect("a point"));
        assert!(matches!(problem("d=0"), Err(ProblemError::OutOfRange { axis: "d", .. })));
        assert!(matches!(problem("g=0"), Err(ProblemError::OutOfRange { axis: "g", .. })));
        assert!(matches!(problem("sq=4294967296,sk=4294967296"), Err(ProblemError::Overflow { .. })));
    }
}
