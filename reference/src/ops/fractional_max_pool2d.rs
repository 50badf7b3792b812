//! `fractional_max_pool2d`: the largest element of regions of almost one size, whose number is no divisor of the
//! plane's (Graham 2015, *Fractional max-pooling*), and where it lies.
//!
//! Along a dimension of `total` elements, regions begin at a sequence of integers a₀ = 0, a₁, …, whose steps are ⌊α⌋ or
//! ⌊α⌋ + 1 with α = total/steps. The axis `sequence` says which:
//!
//! ```text
//! pseudorandom  a_i = ⌊(i·total + t)/steps⌋ − ⌊t/steps⌋ with t = ⌊u·total⌋: the paper's ⌊α(i + u)⌋, from 0
//! random        total mod steps of the steps are the larger ones: step i is one where uᵢ·(steps that are left) < (larger
//!               steps that are left), so that all orders of steps are alike probable
//! ```
//! The axis `regions` says what a region is: `disjoint`, from a_i to before a_{i+1}, `overlapping`, to a_{i+1} itself,
//! within the plane, both of the whole extent and as many steps as outputs; or `window`, r×s elements from a_i on, where
//! the steps lead from the first window to the last one: libtorch's form. A single window is the last one.
//!
//! The uniforms u, between 0 and 1, are an input, of each plane its own: by a pseudorandom sequence one for the columns
//! and then one for the rows, by a random one ow for the columns and then oh for the rows. Others are an error.
//!
//! Equal elements, NaN and positions are treated as by [`max_pool2d`](super::max_pool2d).

use ndarray::{Array4, ArrayD, Ix3, Ix4};

use super::gemm::choice_value;
use super::images::{ImageLayout, Images};
use super::max_pool2d::INDEX;
use super::pooling::positive;
use crate::operator::{elements, size};
use crate::tensor::Values;
use crate::{
    Axis, DType, Domain, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness,
    Workload,
};

const EXTENTS: &[i64] = &[1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31];
const OUTPUTS: &[i64] = &[1, 2, 3, 4, 5, 7, 11, 16, 17];

/// The axes of the images and the regions, which the gradient shares.
pub(super) const GEOMETRY: &[Axis] = AXES.split_at(11).0;

pub(super) const AXES: &[Axis] = &[
    Axis::choice("regions", "what a region is", &["window", "disjoint", "overlapping"]).variant(),
    Axis::choice("sequence", "where regions begin", &["pseudorandom", "random"]),
    Axis::int("n", "images", 1, 5, &[0, 1, 2, 4, 5, 33]),
    Axis::int("c", "channels", 1, 20, &[1, 2, 3, 7, 8, 9, 16, 17]).positive(),
    Axis::int("h", "rows of the input", 17, 32, EXTENTS).positive(),
    Axis::int("w", "columns of the input", 17, 32, EXTENTS).positive(),
    Axis::int("oh", "rows of the output", 11, 20, OUTPUTS).positive().bounded(),
    Axis::int("ow", "columns of the output", 11, 20, OUTPUTS).positive().bounded(),
    Axis::int("r", "rows of a window", 2, 4, &[1, 2, 3]).positive().bounded(),
    Axis::int("s", "columns of a window", 2, 4, &[1, 2, 3]).positive().bounded(),
    Axis::choice("layout", "order of the images' axes in memory", &["nchw", "nhwc"]),
    INDEX,
];

/// Sequences of either kind, by planes and by pixels.
pub(super) const DOMAINS: &[Domain] = &[
    Domain { name: "random", fixed: &[("sequence", &[1]), ("h", &[17, 24, 32]), ("w", &[17, 24, 32])] },
    Domain { name: "nhwc", fixed: &[("layout", &[1])] },
];

/// What a region is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Regions {
    /// So many elements.
    Window(usize),
    /// To the next one.
    Disjoint,
    /// To the first element of the next one.
    Overlapping,
}

/// Regions along one dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Along {
    /// Extent of the input.
    pub input: usize,
    /// Regions.
    pub output: usize,
    /// What they are.
    pub regions: Regions,
    /// Whether steps are in random order.
    pub random: bool,
}

impl Along {
    fn new(name: &'static str, along: Along) -> Result<Along, ProblemError> {
        let Along { input, output, regions, .. } = along;
        // Each region begins at another element.
        let least = if let Regions::Window(taps) = regions { output + taps - 1 } else { output };
        if least > input {
            return Err(ProblemError::Conflict(format!("{name}: {least} elements do not fit {input}")));
        }
        elements("input times output", &[input, output])?;
        Ok(along)
    }

    /// Numbers that the sequence takes.
    pub fn uniforms(&self) -> usize {
        if self.random { self.output } else { 1 }
    }

    /// Hands over each region: its first element and the one behind its last.
    pub fn each(&self, uniforms: impl Fn(usize) -> f64, mut region: impl FnMut(usize, usize, usize)) {
        let (total, steps) = match self.regions {
            Regions::Window(taps) => (self.input - taps, self.output - 1),
            _ => (self.input, self.output),
        };
        let offset = (uniforms(0) * total as f64) as usize;
        // Of random steps: the larger ones that are left.
        let mut larger = if steps == 0 { 0 } else { total % steps };
        let mut start = if steps == 0 { total } else { 0 };
        for i in 0..self.output {
            let next = match steps.checked_sub(i) {
                None | Some(0) => total,
                Some(left) if self.random => {
                    let large = uniforms(i) * (left as f64) < larger as f64 || larger == left;
                    larger -= usize::from(large && larger > 0);
                    start + total / steps + usize::from(large && total % steps > 0)
                }
                Some(_) => ((i + 1) * total + offset) / steps - offset / steps,
            };
            let end = match self.regions {
                Regions::Window(taps) => start + taps,
                Regions::Disjoint => next,
                Regions::Overlapping => (next + 1).min(self.input),
            };
            region(i, start, end);
            start = next;
        }
    }

    /// Elements of a region at most.
    pub(super) fn most(&self) -> usize {
        match self.regions {
            Regions::Window(taps) => taps,
            Regions::Disjoint => self.input.div_ceil(self.output),
            Regions::Overlapping => self.input.div_ceil(self.output) + 1,
        }
    }
}

/// A validated pooling.
#[derive(Clone, Debug, PartialEq)]
pub struct FractionalMaxPool2d {
    /// The input.
    pub x: Images,
    /// The output.
    pub y: Images,
    /// Rows.
    pub rows: Along,
    /// Columns.
    pub cols: Along,
    /// Whether positions are an output.
    pub index: bool,
}

impl FractionalMaxPool2d {
    /// Of a point with the axes of [`GEOMETRY`]; without positions.
    pub(super) fn plain(point: &Point) -> Result<FractionalMaxPool2d, ProblemError> {
        let random = choice_value(point, "sequence")? == "random";
        let regions = choice_value(point, "regions")?;
        let along = |name, [input, output, taps]: [&'static str; 3]| {
            let [input, output, taps] = [positive(point, input)?, positive(point, output)?, positive(point, taps)?];
            let regions = match regions {
                "window" => Regions::Window(taps),
                "disjoint" => Regions::Disjoint,
                _ => Regions::Overlapping,
            };
            Along::new(name, Along { input, output, regions, random })
        };
        let (rows, cols) = (along("rows", ["h", "oh", "r"])?, along("columns", ["w", "ow", "s"])?);
        let layout = if choice_value(point, "layout")? == "nchw" { ImageLayout::Nchw } else { ImageLayout::Nhwc };
        let (n, c) = (size(point, "n")?, positive(point, "c")?);
        elements("uniforms", &[n.max(1), c, rows.uniforms() + cols.uniforms()])?;
        let x = Images::new(n, c, rows.input, cols.input, layout)?;
        Ok(FractionalMaxPool2d { x, y: Images::new(n, c, rows.output, cols.output, layout)?, rows, cols, index: false })
    }

    /// Uniforms of a plane.
    pub fn uniforms(&self) -> usize {
        self.cols.uniforms() + self.rows.uniforms()
    }

    /// The regions of a plane's rows and columns, given its uniforms: of each the first element and the one behind the
    /// last.
    pub(crate) fn regions(&self, uniforms: &[f64]) -> [Vec<(usize, usize)>; 2] {
        let (of_cols, of_rows) = uniforms.split_at(self.cols.uniforms());
        [(self.rows, of_rows), (self.cols, of_cols)].map(|(along, uniforms)| {
            let mut all = Vec::new();
            along.each(|i| uniforms[i], |_, start, end| all.push((start, end)));
            all
        })
    }
}

impl Problem for FractionalMaxPool2d {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let uniforms = Layout::contiguous(&[self.x.n, self.x.c, self.uniforms()]);
        vec![Port::new("x", types, self.x.port_layout()), Port::new("u", types, uniforms).drawn(Values::Unit)]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        let layout = if self.index { self.y.port_layout() } else { Layout::absent() };
        vec![Port::new("y", types, self.y.port_layout()), Port::new("index", types, layout).typed(DType::I64)]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let x = inputs[0].view().into_dimensionality::<Ix4>().expect("images");
        let u = inputs[1].view().into_dimensionality::<Ix3>().expect("uniforms of each plane");
        let shape = (self.y.n, self.y.c, self.y.h, self.y.w);
        let (mut y, mut index) = (Array4::zeros(shape), Array4::zeros(shape));
        for (n, c) in ndarray::indices((self.y.n, self.y.c)) {
            let uniforms: Vec<f64> = (0..self.uniforms()).map(|i| u[[n, c, i]]).collect();
            let [rows, cols] = self.regions(&uniforms);
            for (i, j) in ndarray::indices((self.y.h, self.y.w)) {
                let ((top, bottom), (left, right)) = (rows[i], cols[j]);
                let (mut largest, mut found) = (f64::NEG_INFINITY, (top, left));
                for (row, column) in (top..bottom).flat_map(|row| (left..right).map(move |column| (row, column))) {
                    let value = x[[n, c, row, column]];
                    if value > largest || value.is_nan() {
                        (largest, found) = (value, (row, column));
                    }
                }
                y[[n, c, i, j]] = largest;
                index[[n, c, i, j]] = (found.0 * self.x.w + found.1) as f64;
            }
        }
        let index = if self.index { index.into_dyn() } else { ArrayD::zeros(vec![0]) };
        vec![y.into_dyn(), index]
    }

    fn tolerance(&self, _: Types, _: Fill, _: &[ArrayD<f64>], _: &[ArrayD<f64>]) -> Vec<Tolerance> {
        // One of the inputs and its place: nothing is rounded.
        vec![Tolerance::Exact, Tolerance::Exact]
    }

    fn operations(&self) -> (f64, Unit) {
        (self.y.len() as f64 * (self.rows.most() * self.cols.most()) as f64, Unit::Integer)
    }

    fn differentiable(&self) -> Vec<usize> {
        vec![0]
    }

    fn degenerate(&self) -> bool {
        // A single region has a single place, and in a plane of one column or row many have the same. Many elements of
        // the exact fill have its largest number among them.
        self.y.h * self.y.w <= 1 || self.x.h * self.x.w <= 2 || self.rows.most() * self.cols.most() >= 32
    }
}

const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

const GRAHAM: &str = "composed for the suite: α of about √2, as in the networks of Graham 2015";

/// What benchmarks time, of the gradient, too.
pub(super) static WORKLOADS: &[Workload] = &[
    w("alpha1_4.large", "regions=window,c=160,h=94,w=94,oh=66,ow=66", GRAHAM),
    w("alpha1_4.large_overlapping", "regions=overlapping,c=160,h=94,w=94,oh=66,ow=66", GRAHAM),
    w("alpha1_4.small", "regions=window,n=4,c=320,h=25,w=25,oh=18,ow=18", GRAHAM).smoke(),
    w("alpha1_4.small_random", "regions=disjoint,sequence=random,n=4,c=320,h=25,w=25,oh=18,ow=18", GRAHAM).smoke(),
];

/// The operator `fractional_max_pool2d`.
pub static FRACTIONAL_MAX_POOL2D: Operator = Operator {
    name: "fractional_max_pool2d",
    summary: "largest element of regions of almost one size, which uniforms place, and its position",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| {
        let index = choice_value(point, "index")? == "yes";
        Ok(Box::new(FractionalMaxPool2d { index, ..FractionalMaxPool2d::plain(point)? }))
    },
    workloads: WORKLOADS,
    special_values: "NaN is larger than any number, and the last one of a region is found; of equal elements, +0 and −0 among \
 them, the first one; a uniform outside of [0, 1] is an error",
    domains: DOMAINS,
    gradient: None,
    witness: Witness::Libtorch,
    batch: Some("n"),
};

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(regions: Regions, random: bool, [input, output]: [usize; 2], u: &[f64]) -> Vec<(usize, usize)> {
        let along = Along::new("rows", Along { input, output, regions, random }).expect("regions");
        let mut all = Vec::new();
        along.each(|i| u[i], |_, start, end| all.push((start, end)));
        all
    }

    #[test]
    fn regions_cover_the_line() {
        let uniforms = [0.0, 0.2, 0.5, 0.83, 1.0];
        for (output, u, random) in
            (1..9).flat_map(|output| uniforms.iter().flat_map(move |u| [(output, u, false), (output, u, true)]))
        {
            let u: Vec<f64> = (0..output).map(|i| (u + 0.37 * i as f64).rem_euclid(1.0001).min(1.0)).collect();
            let disjoint = starts(Regions::Disjoint, random, [9, output], &u);
            let overlapping = starts(Regions::Overlapping, random, [9, output], &u);
            let mut end = 0;
            for (region, wider) in disjoint.iter().zip(&overlapping) {
                let len = region.1 - region.0;
                assert!(region.0 == end && (len == 9 / output || len == 9 / output + 1), "{disjoint:?}");
                assert_eq!(*wider, (region.0, (region.1 + 1).min(9)));
                end = region.1;
            }
            assert_eq!(end, 9, "{disjoint:?}");
            let windows = starts(Regions::Window(2), random, [9, output], &u);
            assert!(windows.iter().all(|window| window.1 == window.0 + 2 && window.1 <= 9), "{windows:?}");
            assert_eq!(windows.last(), Some(&(7, 9)));
        }
    }

    #[test]
    fn sequences_follow_their_uniforms() {
        let of = |random, u: &[f64]| starts(Regions::Disjoint, random, [7, 5], u);
        assert_eq!(of(false, &[0.0]), [(0, 1), (1, 2), (2, 4), (4, 5), (5, 7)]);
        assert_eq!(of(false, &[0.5]), [(0, 2), (2, 3), (3, 4), (4, 6), (6, 7)]);
        // Two of five steps are 2.
        assert_eq!(of(true, &[0.0; 5]), [(0, 2), (2, 4), (4, 5), (5, 6), (6, 7)]);
        assert_eq!(of(true, &[1.0; 5]), [(0, 1), (1, 2), (2, 3), (3, 5), (5, 7)]);
    }

    #[test]
    fn orders_of_steps_are_alike_probable() {
        let mut counts = std::collections::BTreeMap::new();
        let grid = 60;
        for (a, b) in (0..grid).flat_map(|a| (0..grid).map(move |b| (a, b))) {
            let u = [a, b, 0].map(|k| (k as f64 + 0.5) / f64::from(grid));
            *counts.entry(starts(Regions::Disjoint, true, [4, 3], &u)).or_insert(0) += 1;
        }
        assert!(counts.len() == 3 && counts.values().all(|&count| count == grid * grid / 3), "{counts:?}");
    }
}
