//! Buffers: what kernels read and write.
//!
//! A [`Layout`] says where the elements of a logical array lie in a flat buffer; a [`Port`] is one named operand of a
//! problem; [`Data`] owns a buffer, [`Slice`] and [`SliceMut`] borrow one.

use half::{bf16, f16};
use ndarray::{ArrayD, Dimension, IxDyn};

use crate::{DType, narrow};

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
        ndarray::indices(IxDyn(&self.shape)).into_iter().map(|i| self.offset(i.slice())).collect()
    }
}

/// What values suit an operand when inputs are made from a seed.
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
}

/// What a buffer holds before the kernel runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initial {
    /// Poison (NaN, or a pattern for integers): every element must be written.
    Poison,
    /// The values of the input with this index: the operand is updated in place (C of a GEMM, running statistics).
    Input(usize),
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
}

impl Port {
    /// An operand of any sign that, as an output, starts poisoned.
    pub fn new(name: &'static str, dtype: DType, layout: Layout) -> Port {
        Port { name, dtype, layout, values: Values::Signed, initial: Initial::Poison }
    }

    /// The operand if `present`, an empty one otherwise; positions in the list stay the same.
    pub fn optional(name: &'static str, dtype: DType, layout: Layout, present: bool) -> Port {
        Port::new(name, dtype, if present { layout } else { Layout::absent() })
    }

    /// With values above zero.
    pub fn positive(self) -> Port {
        Port { values: Values::Positive, ..self }
    }

    /// With values of many magnitudes.
    pub fn spread(self) -> Port {
        Port { values: Values::Spread, ..self }
    }

    /// The operand is a factor of differences.
    pub fn factor(self) -> Port {
        Port { values: Values::Factor, ..self }
    }

    /// The operand is a factor of zeros that the problem adds.
    pub fn finite(self) -> Port {
        Port { values: Values::Finite, ..self }
    }

    /// Updated in place from the input with index `input`.
    pub fn from_input(self, input: usize) -> Port {
        Port { initial: Initial::Input(input), ..self }
    }
}

macro_rules! buffers {
    ($($variant:ident $ty:ty, $dtype:ident, $from:expr, $to:expr, $bits:expr;)*) => {
        /// An owned flat buffer.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Data { $(#[doc = concat!("Elements of `", stringify!($ty), "`.")] $variant(Vec<$ty>)),* }

        /// A borrowed flat buffer.
        #[derive(Clone, Copy, Debug)]
        pub enum Slice<'a> { $(#[doc = concat!("Elements of `", stringify!($ty), "`.")] $variant(&'a [$ty])),* }

        /// A mutably borrowed flat buffer.
        #[derive(Debug)]
        pub enum SliceMut<'a> { $(#[doc = concat!("Elements of `", stringify!($ty), "`.")] $variant(&'a mut [$ty])),* }

        impl Data {
            /// `len` zeros.
            pub fn zeros(dtype: DType, len: usize) -> Data {
                match dtype { $(DType::$dtype => Data::$variant(vec![<$ty>::default(); len])),* }
            }
            /// Each value rounded once to `dtype`.
            pub fn from_f64(dtype: DType, values: &[f64]) -> Data {
                match dtype { $(DType::$dtype => Data::$variant(values.iter().map(|&v| $from(v)).collect())),* }
            }
            /// Each value widened; exact for every dtype.
            pub fn to_f64(&self) -> Vec<f64> {
                match self { $(Data::$variant(v) => v.iter().map(|&x| $to(x)).collect()),* }
            }
            /// The bit pattern of each element, one pattern for all NaNs.
            pub fn bits(&self) -> Vec<u64> {
                match self { $(Data::$variant(v) => v.iter().map(|&x| $bits(x)).collect()),* }
            }
            /// Number of elements.
            pub fn len(&self) -> usize { match self { $(Data::$variant(v) => v.len()),* } }
            /// Whether there is no element.
            pub fn is_empty(&self) -> bool { self.len() == 0 }
            /// Element type.
            pub fn dtype(&self) -> DType { match self { $(Data::$variant(_) => DType::$dtype),* } }
            /// Borrowed.
            pub fn as_slice(&self) -> Slice<'_> { match self { $(Data::$variant(v) => Slice::$variant(v)),* } }
            /// Mutably borrowed.
            pub fn as_mut(&mut self) -> SliceMut<'_> { match self { $(Data::$variant(v) => SliceMut::$variant(v)),* } }
        }

        impl Slice<'_> {
            /// Number of elements.
            pub fn len(&self) -> usize { match self { $(Slice::$variant(v) => v.len()),* } }
            /// Whether there is no element.
            pub fn is_empty(&self) -> bool { self.len() == 0 }
            /// Element type.
            pub fn dtype(&self) -> DType { match self { $(Slice::$variant(_) => DType::$dtype),* } }
            /// A copy that owns its elements.
            pub fn to_data(&self) -> Data { match self { $(Slice::$variant(v) => Data::$variant(v.to_vec())),* } }
        }

        impl SliceMut<'_> {
            /// Number of elements.
            pub fn len(&self) -> usize { match self { $(SliceMut::$variant(v) => v.len()),* } }
            /// Whether there is no element.
            pub fn is_empty(&self) -> bool { self.len() == 0 }
            /// Element type.
            pub fn dtype(&self) -> DType { match self { $(SliceMut::$variant(_) => DType::$dtype),* } }
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

        $(impl Element for $ty {
            const DTYPE: DType = DType::$dtype;
            fn slice<'a>(slice: Slice<'a>) -> Option<&'a [$ty]> {
                match slice { Slice::$variant(v) => Some(v), _ => None }
            }
            fn slice_mut<'a>(slice: SliceMut<'a>) -> Option<&'a mut [$ty]> {
                match slice { SliceMut::$variant(v) => Some(v), _ => None }
            }
            fn erase(elements: &[$ty]) -> Slice<'_> {
                Slice::$variant(elements)
            }
            fn erase_mut(elements: &mut [$ty]) -> SliceMut<'_> {
                SliceMut::$variant(elements)
            }
        })*
    };
}

/// A Rust type that is the element of a buffer.
pub trait Element: Copy + Default + Send + Sync + 'static {
    /// Its dtype.
    const DTYPE: DType;
    /// The elements, if `slice` holds this type.
    fn slice(slice: Slice<'_>) -> Option<&[Self]>;
    /// The elements, if `slice` holds this type.
    fn slice_mut(slice: SliceMut<'_>) -> Option<&mut [Self]>;
    /// As a buffer of any dtype.
    fn erase(elements: &[Self]) -> Slice<'_>;
    /// As a mutable buffer of any dtype.
    fn erase_mut(elements: &mut [Self]) -> SliceMut<'_>;
}

/// Stands for every NaN in [`Data::bits`].
const NAN: u64 = u64::MAX;

buffers! {
    F64 f64, F64, |v: f64| v, |x: f64| x, |x: f64| if x.is_nan() { NAN } else { x.to_bits() };
    F32 f32, F32, |v: f64| v as f32, f64::from, |x: f32| if x.is_nan() { NAN } else { u64::from(x.to_bits()) };
    F16 f16, F16, narrow::to_f16, f16::to_f64, |x: f16| if x.is_nan() { NAN } else { u64::from(x.to_bits()) };
    Bf16 bf16, Bf16, narrow::to_bf16, bf16::to_f64, |x: bf16| if x.is_nan() { NAN } else { u64::from(x.to_bits()) };
    I32 i32, I32, |v: f64| v.round_ties_even() as i32, f64::from, |x: i32| x as u64;
    I8 i8, I8, |v: f64| v.round_ties_even() as i8, f64::from, |x: i8| x as u64;
    U8 u8, U8, |v: f64| v.round_ties_even() as u8, f64::from, |x: u8| x as u64;
}

/// The logical array that lies in `data`, in f64.
pub fn gather(layout: &Layout, data: &Data) -> ArrayD<f64> {
    let flat = data.to_f64();
    ArrayD::from_shape_fn(IxDyn(&layout.shape), |index| flat[layout.offset(index.slice())])
}

/// Writes the logical array, rounded to the buffer's dtype, to its places in `data`; other elements stay.
pub fn scatter(layout: &Layout, values: &ArrayD<f64>, data: &mut Data) {
    let mut flat = data.to_f64();
    for (index, &value) in values.indexed_iter() {
        flat[layout.offset(index.slice())] = value;
    }
    *data = Data::from_f64(data.dtype(), &flat);
}
