//! Buffers: what kernels read and write.
//!
//! A [`Layout`] says where the elements of a logical array lie in a flat buffer; a [`Port`] is one named operand of a
//! problem; [`Data`] owns a buffer, [`Slice`] and [`SliceMut`] borrow one.

use ndarray::{ArrayD, IxDyn};

use crate::dtype::elements;
use crate::{DType, Element, Types};

/// Where the elements of a logical array lie in a flat buffer: extents and strides, in elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Extent of each dimension, outermost first.
    pub shape: Vec<usize>,
    /// Distance in elements between neighbours along each dimension; 0 repeats.
    pub strides: Vec<usize>,
}

impl Layout {
    /// Row-major without gaps.
    pub fn contiguous(shape: &[usize]) -> Layout {
        let mut strides = vec![1; shape.len()];
        for d in (1..shape.len()).rev() {
            strides[d - 1] = strides[d] * shape[d].max(1);
        }
        Layout { shape: shape.to_vec(), strides }
    }

    /// An operand that this problem does not have: no element.
    pub fn absent() -> Layout {
        Layout { shape: vec![0], strides: vec![1] }
    }

    /// Explicit strides.
    pub fn strided(shape: &[usize], strides: &[usize]) -> Layout {
        assert_eq!(shape.len(), strides.len(), "one stride a dimension");
        Layout { shape: shape.to_vec(), strides: strides.to_vec() }
    }

    /// Number of logical elements.
    pub fn len(&self) -> usize {
        // With an extent of 0, the others may have a product that overflows.
        if self.is_empty() { 0 } else { self.shape.iter().product() }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// Number of elements the buffer must have: one past the largest offset.
    pub fn span(&self) -> usize {
        if self.is_empty() {
            return 0;
        }
        1 + self.shape.iter().zip(&self.strides).map(|(n, s)| (n - 1) * s).sum::<usize>()
    }

    /// Offset of the element at `index`.
    pub fn offset(&self, index: &[usize]) -> usize {
        index.iter().zip(&self.strides).map(|(i, s)| i * s).sum()
    }

    /// The offset of each logical element, in row-major order of the logical array.
    pub fn offsets(&self) -> Vec<usize> {
        let mut offsets = Vec::with_capacity(self.len());
        self.each_line(|line| offsets.extend(line.offsets()));
        offsets
    }

    /// Calls `line` with the offsets of elements along the innermost dimension, line by line, in row-major order of the
    /// logical array. Dimensions that follow each other without a gap are one.
    pub fn each_line(&self, mut line: impl FnMut(Line)) {
        if self.is_empty() {
            return;
        }
        let mut dimensions: Vec<(usize, usize)> = Vec::with_capacity(self.shape.len());
        for (&extent, &stride) in self.shape.iter().zip(&self.strides).filter(|(extent, _)| **extent > 1) {
            match dimensions.last_mut() {
                Some((outer, distance)) if *distance == extent * stride => {
                    (*outer, *distance) = (*outer * extent, stride);
                }
                _ => dimensions.push((extent, stride)),
            }
        }
        let (count, stride) = dimensions.pop().unwrap_or((1, 1));
        let mut at = vec![0; dimensions.len()];
        let mut start = 0;
        loop {
            line(Line { start, stride, count });
            let Some(d) = (0..at.len()).rfind(|&d| at[d] + 1 < dimensions[d].0) else { return };
            for (at, (_, stride)) in at[d + 1..].iter_mut().zip(&dimensions[d + 1..]) {
                start -= *at * stride;
                *at = 0;
            }
            at[d] += 1;
            start += dimensions[d].1;
        }
    }
}

/// Offsets at one distance from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The first.
    pub start: usize,
    /// The distance; 0 repeats.
    pub stride: usize,
    /// How many.
    pub count: usize,
}

impl Line {
    /// Each offset.
    pub fn offsets(self) -> impl Iterator<Item = usize> {
        (0..self.count).map(move |i| self.start + i * self.stride)
    }
}

/// What values suit an operand when inputs are made from a seed. The fill decides about numbers alone: indices, masks and the
/// like are valid in every fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Any sign.
    Signed,
    /// Any sign and many magnitudes, up to 64: where functions saturate, and where they are linear.
    Spread,
    /// Above zero (variances, 1/σ).
    Positive,
    /// Any sign, never infinite: a factor of differences, whose rounding would decide between ∞, −∞ and NaN.
    Factor,
    /// Any sign, always a finite number: a factor of zeros that the problem adds itself (padding).
    Finite,
    /// Any sign, never infinite, with magnitudes that add up to at most about 1 over so many of them: what a recurrence
    /// multiplies by in each step, so that neither values nor errors grow with the steps.
    Recurrent(usize),
    /// An index, a label or a length: an integer from 0 to below this.
    Below(usize),
    /// A label below the first number; of every eight elements about one is the second number, which stands for none.
    Label(usize, i64),
    /// 0 or 1.
    Mask,
    /// A probability, from 0 to 1, both ends included.
    Unit,
    /// Probabilities that add up to 1 along this dimension, up to rounding.
    Simplex(usize),
    /// Ascending integers from 0 to the last one, which is this.
    Offsets(usize),
    /// Every pattern of a byte, in every fill: packed elements, random keys.
    Bytes,
    /// The numbers from 0 to the extent of the last dimension, each once, along it.
    Permutation,
    /// The integer that stands for zero: near the middle of those that a fill draws; in the hostile one, any.
    ZeroPoint,
    /// An integer as large as sums of so many products of 8-bit integers; in the hostile fill, any.
    Sum(usize),
    /// A factor that brings sums of so many products of 8-bit integers to about 8 bits.
    Rescale(usize),
    /// Corners (x₁, y₁, x₂, y₂) along the last dimension, with x₁ ≤ x₂ and y₁ ≤ y₂.
    Boxes,
}

/// What a buffer holds before the kernel runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initial {
    /// Poison (NaN, or a pattern for integers): every element must be written.
    Poison,
    /// The values of the input with this index: the operand is updated in place (C of a GEMM, running statistics).
    Input(usize),
}

/// Whose an input is: what is evicted where networks find weights in memory and the rest in caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It passes through the layer.
    Passing,
    /// It belongs to the layer.
    Weights,
    /// One of the two factors of a product: the larger one holds the weights, the second where they are equal. Some
    /// networks multiply from the left, others from the right.
    Factor,
}

/// One operand of a problem.
#[derive(Clone, Debug)]
pub struct Port {
    /// Name in documents and messages.
    pub name: &'static str,
    /// Element type.
    pub dtype: DType,
    /// Shape and strides; [`Layout::absent`] for an optional operand that the problem does not have.
    pub layout: Layout,
    /// Which values suit it (inputs).
    pub values: Values,
    /// What it holds at the start (outputs).
    pub initial: Initial,
    /// Whose it is (inputs).
    pub role: Role,
}

impl Port {
    /// An operand of any sign, of the dtype that `types` give it, that, as an output, starts poisoned, and, as an
    /// input, passes through.
    pub fn new(name: &'static str, types: Types, layout: Layout) -> Port {
        let (values, initial, role) = (Values::Signed, Initial::Poison, Role::Passing);
        Port { name, dtype: types.of(name), layout, values, initial, role }
    }

    /// The operand if `present`, an empty one otherwise; positions in the list stay the same.
    pub fn optional(name: &'static str, types: Types, layout: Layout, present: bool) -> Port {
        Port::new(name, types, if present { layout } else { Layout::absent() })
    }

    /// With a dtype of its own, whatever the case's types are.
    pub fn typed(self, dtype: DType) -> Port {
        Port { dtype, ..self }
    }

    /// The operand belongs to the layer.
    pub fn weights(self) -> Port {
        Port { role: Role::Weights, ..self }
    }

    /// The operand is one of a product's two factors, of which the larger one holds the weights.
    pub fn factor_or_weights(self) -> Port {
        Port { role: Role::Factor, ..self }
    }

    /// With values of this kind.
    pub fn drawn(self, values: Values) -> Port {
        Port { values, ..self }
    }

    /// With values above zero.
    pub fn positive(self) -> Port {
        self.drawn(Values::Positive)
    }

    /// With values of many magnitudes.
    pub fn spread(self) -> Port {
        Port { values: Values::Spread, ..self }
    }

    /// The operand is a factor of differences.
    pub fn factor(self) -> Port {
        self.drawn(Values::Factor)
    }

    /// The operand is a factor in each step of a recurrence, of sums over `terms` of its elements.
    pub fn recurrent(self, terms: usize) -> Port {
        self.drawn(Values::Recurrent(terms))
    }

    /// The operand is a factor of zeros that the problem adds.
    pub fn finite(self) -> Port {
        self.drawn(Values::Finite)
    }

    /// Updated in place from the input with index `input`.
    pub fn from_input(self, input: usize) -> Port {
        Port { initial: Initial::Input(input), ..self }
    }
}

macro_rules! buffers {
    ($dollar:tt $($variant:ident $name:literal $element:ty, $format:expr, $from:expr, $to:expr, $bits:expr, $of_bits:expr, $doc:literal;)*) => {
        /// An owned flat buffer.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Data { $(#[doc = concat!("Elements of `", $name, "`.")] $variant(Vec<elements::$variant>)),* }

        /// A borrowed flat buffer.
        #[derive(Clone, Copy, Debug)]
        pub enum Slice<'a> { $(#[doc = concat!("Elements of `", $name, "`.")] $variant(&'a [elements::$variant])),* }

        /// A mutably borrowed flat buffer.
        #[derive(Debug)]
        pub enum SliceMut<'a> { $(#[doc = concat!("Elements of `", $name, "`.")] $variant(&'a mut [elements::$variant])),* }

        impl Data {
            /// Each value widened; exact for every dtype, except for integers beyond 2⁵³.
            pub fn to_f64(&self) -> Vec<f64> {
                match self { $(Data::$variant(v) => v.iter().map(|&x| Element::to_f64(x)).collect()),* }
            }
            /// The bit pattern of each element, one pattern for all NaNs.
            pub fn bits(&self) -> Vec<u64> {
                match self { $(Data::$variant(v) => v.iter().map(|&x| Element::bits(x)).collect()),* }
            }
            /// Number of elements.
            pub fn len(&self) -> usize { match self { $(Data::$variant(v) => v.len()),* } }
            /// Element type.
            pub fn dtype(&self) -> DType { match self { $(Data::$variant(_) => DType::$variant),* } }
            /// Borrowed.
            pub fn as_slice(&self) -> Slice<'_> { match self { $(Data::$variant(v) => Slice::$variant(v)),* } }
            /// Mutably borrowed.
            pub fn as_mut(&mut self) -> SliceMut<'_> { match self { $(Data::$variant(v) => SliceMut::$variant(v)),* } }
        }

        impl<'a> Slice<'a> {
            /// The first `len` elements, which must be there.
            pub fn first(self, len: usize) -> Slice<'a> {
                match self { $(Slice::$variant(v) => Slice::$variant(&v[..len])),* }
            }
            /// Number of elements.
            pub fn len(&self) -> usize { match self { $(Slice::$variant(v) => v.len()),* } }
            /// Element type.
            pub fn dtype(&self) -> DType { match self { $(Slice::$variant(_) => DType::$variant),* } }
            /// A copy that owns its elements.
            pub fn to_data(&self) -> Data { match self { $(Slice::$variant(v) => Data::$variant(v.to_vec())),* } }
        }

        impl<'a> SliceMut<'a> {
            /// The first `len` elements, which must be there.
            pub fn first(self, len: usize) -> SliceMut<'a> {
                match self { $(SliceMut::$variant(v) => SliceMut::$variant(&mut v[..len])),* }
            }
            /// Borrowed again, for a shorter time.
            pub fn reborrow(&mut self) -> SliceMut<'_> { match self { $(SliceMut::$variant(v) => SliceMut::$variant(v)),* } }
            /// Shared view.
            pub fn as_slice(&self) -> Slice<'_> { match self { $(SliceMut::$variant(v) => Slice::$variant(v)),* } }
            /// Overwrites with `source`.
            ///
            /// # Panics
            /// If dtype or length differ.
            pub fn copy_from(&mut self, source: Slice<'_>) {
                match (self, source) {
                    $((SliceMut::$variant(d), Slice::$variant(s)) => d.copy_from_slice(s),)*
                    (d, s) => panic!("copy of {} into {}", s.dtype(), d.dtype()),
                }
            }
        }
    };
}
crate::dtype::table!(buffers $);

impl Data {
    /// `len` zeros.
    pub fn zeros(dtype: DType, len: usize) -> Data {
        with_dtype!(dtype, T => T::own(vec![T::default(); len]))
    }

    /// Each value rounded once to `dtype`.
    pub fn from_f64(dtype: DType, values: &[f64]) -> Data {
        with_dtype!(dtype, T => T::own(values.iter().map(|&v| <T as Element>::from_f64(v)).collect()))
    }

    /// Elements from bit patterns.
    pub fn from_bits(dtype: DType, bits: impl Iterator<Item = u64>) -> Data {
        with_dtype!(dtype, T => T::own(bits.map(<T as Element>::from_bits).collect()))
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Slice<'_> {
    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether dtype, length and the bits of each element are equal; all NaNs count as one.
    pub fn same_bits(self, other: Slice<'_>) -> bool {
        with_dtype!(self.dtype(), T => match (<T as Element>::slice(self), <T as Element>::slice(other)) {
            (Some(x), Some(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| x.bits() == y.bits()),
            _ => false,
        })
    }
}

impl SliceMut<'_> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.as_slice().dtype()
    }
}

/// The logical array that lies in `data`, in f64.
///
/// # Panics
/// If the layout addresses more than the buffer has.
pub fn gather(layout: &Layout, data: &Data) -> ArrayD<f64> {
    let mut values = Vec::with_capacity(layout.len());
    with_dtype!(data.dtype(), T => {
        let flat = <T as Element>::slice(data.as_slice()).expect("the buffer's own dtype");
        layout.each_line(|line| match line.stride {
            1 => values.extend(flat[line.start..line.start + line.count].iter().map(|&x| Element::to_f64(x))),
            _ => values.extend(line.offsets().map(|at| Element::to_f64(flat[at]))),
        });
    });
    ArrayD::from_shape_vec(IxDyn(&layout.shape), values).expect("a value for each element")
}

/// [`gather`] for each port with its buffer.
pub fn arrays(ports: &[Port], data: &[Data]) -> Vec<ArrayD<f64>> {
    ports.iter().zip(data).map(|(port, data)| gather(&port.layout, data)).collect()
}

/// Writes the logical array, rounded to the buffer's dtype, to its places in `data`; other elements stay.
///
/// # Panics
/// If the array has another shape than the layout, or the layout addresses more than the buffer has.
pub fn scatter(layout: &Layout, values: &ArrayD<f64>, data: &mut Data) {
    assert_eq!(values.shape(), layout.shape, "an array of the layout's shape");
    let mut values = values.iter();
    with_dtype!(data.dtype(), T => {
        let flat = <T as Element>::slice_mut(data.as_mut()).expect("the buffer's own dtype");
        layout.each_line(|line| {
            line.offsets().zip(&mut values).for_each(|(at, &value)| flat[at] = Element::from_f64(value));
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Dimension;

    /// Row-major, padded, transposed, repeated, reversed in memory, with extents of 1 and 0, without dimensions.
    fn layouts() -> Vec<Layout> {
        let strided = |shape: &[usize], strides: &[usize]| Layout::strided(shape, strides);
        vec![
            Layout::contiguous(&[2, 3, 4]),
            Layout::contiguous(&[]),
            Layout::absent(),
            strided(&[3, 4], &[7, 1]),
            strided(&[3, 4], &[1, 3]),
            strided(&[2, 3, 5], &[0, 5, 1]),
            strided(&[2, 3, 5], &[15, 0, 3]),
            strided(&[2, 1, 3, 4], &[12, 99, 4, 1]),
            strided(&[2, 3, 4, 5], &[60, 1, 15, 3]),
            strided(&[2, 0, 3], &[5, 5, 1]),
            strided(&[5, 1], &[2, 9]),
        ]
    }

    #[test]
    fn offsets_come_in_the_order_of_indices() {
        for layout in layouts() {
            let want: Vec<usize> =
                ndarray::indices(IxDyn(&layout.shape)).into_iter().map(|i| layout.offset(i.slice())).collect();
            assert_eq!(layout.offsets(), want, "{layout:?}");
        }
    }

    #[test]
    fn bits_are_compared() {
        let data = |values: &[f64]| Data::from_f64(DType::F32, values);
        let same = |x: &Data, y: &Data| x.as_slice().same_bits(y.as_slice());
        assert!(same(&data(&[1.0, f64::NAN]), &data(&[1.0, -f64::NAN])));
        assert!(!same(&data(&[0.0]), &data(&[-0.0])));
        assert!(!same(&data(&[1.0]), &data(&[1.0, 2.0])));
        assert!(!same(&data(&[1.0]), &Data::from_f64(DType::F64, &[1.0])));
    }

    #[test]
    fn what_is_scattered_is_gathered() {
        for layout in layouts().into_iter().filter(|layout| !layout.strides.contains(&0)) {
            for dtype in [DType::F32, DType::I32, DType::U8] {
                let mut count = 0.0;
                let values = ArrayD::from_shape_fn(IxDyn(&layout.shape), |_| {
                    count += 1.0;
                    count
                });
                let before = Data::from_f64(dtype, &vec![250.0; layout.span() + 3]);
                let mut data = before.clone();
                scatter(&layout, &values, &mut data);
                assert_eq!(gather(&layout, &data), values, "{layout:?}");
                let places = layout.offsets();
                let others = (0..data.len()).filter(|at| !places.contains(at));
                let (before, after) = (before.to_f64(), data.to_f64());
                others.for_each(|at| assert_eq!(after[at], before[at], "{layout:?}"));
            }
        }
    }
}
