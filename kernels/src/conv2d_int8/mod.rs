//! `conv2d_int8`, [as it is defined](etalon_reference::ops::conv2d_int8): a convolution of 8-bit integers with zero points
//! and bias, in i32 or requantized to 8 bits.
//!
//! Shapes: x n×c×h×w of u8 or s8 and y n×k×i×j of i32, u8 or s8, by planes or by pixels; w k×c×r×s of s8. One zero point
//! of x, one or k of w, k i32 of bias, one or k f32 scales, one zero point of y.
//!
//! An implicit GEMM with the tiles and the epilogue of [`matmul_int8`](crate::matmul_int8): a row of A is the patch of an
//! output pixel, taps first, then channels, and B is the weights of a group.
//! ```text
//! in a plan:  for each group, pack weights in panels, with the sums of their columns
//! by planes:  turn x to pixels
//! for each group, for blocks of pixels:
//!   pack patches (s8 as u8, 128 larger); taps on the padding hold x's zero point
//!   for each panel, for each tile of pixels:
//!     sums over all of the patch in registers;  + constant − zw·Σx;  requantize, store
//! by planes:  turn y to planes
//! ```
//! Groups of one channel have kernels of their own (`depthwise`). Padding needs no case of its own behind the packing: its products are those of the zero point, which the constants
//! take away again.
//!
//! Error: none. Sums wrap, and requantization rounds as the definition says, so that all kernels and any number of
//! threads give equal bits. Errors: instructions that the CPU lacks, a plan for another problem.
//!
//! Workspace: constants of k columns, 48 patches per thread; by planes also x and y once more.

#[cfg(target_arch = "x86_64")]
mod depthwise;
#[cfg(target_arch = "x86_64")]
mod driver;
#[cfg(target_arch = "x86_64")]
mod pack;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod turn;

use etalon_reference::operator::downcast;
#[cfg(target_arch = "x86_64")]
use etalon_reference::ops::conv2d_int8::Conv2dInt8;
use etalon_reference::ops::matmul_int8::TYPES;
#[cfg(target_arch = "x86_64")]
use etalon_reference::{Domain, Threshold};

use crate::call::Call;
#[cfg(target_arch = "x86_64")]
use crate::call::Inputs;
#[cfg(target_arch = "x86_64")]
use crate::dotted::{self, PackedB};
use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::isa::dot::{CHUNK, Dot, Integers};
#[cfg(target_arch = "x86_64")]
use crate::isa::{Avx2Token, Avx512Token, AvxVnniToken, Extension, VnniToken};
#[cfg(target_arch = "x86_64")]
use crate::kernel::Plan;
use crate::kernel::{Kernel, KernelError};
use crate::matmul_int8::{Body, Left, Operands, Out, typed};
#[cfg(target_arch = "x86_64")]
use crate::matmul_int8::{driver::OPERATIONS_A_NS, proof};
#[cfg(target_arch = "x86_64")]
use crate::pool::WORTH_NS;

/// Blocks and tiles of pixels, panels, words and chunks of them, threads.
#[cfg(target_arch = "x86_64")]
const THRESHOLDS: &[Threshold] = &[
    Threshold::axis("w", Avx2Token::ROWS as i64),
    Threshold::axis("w", VnniToken::ROWS as i64),
    Threshold::axis("w", dotted::ROWS as i64),
    Threshold::axis("k", 2 * Avx2Token::LANES as i64),
    Threshold::axis("k", 2 * VnniToken::LANES as i64),
    Threshold::axis("c", VnniToken::PRODUCTS as i64),
    Threshold::axis("c", (CHUNK * Avx2Token::PRODUCTS) as i64),
    Threshold::axis("c", (CHUNK * VnniToken::PRODUCTS) as i64),
    Threshold::operations((WORTH_NS * OPERATIONS_A_NS) as i64),
];

/// How patches lie: runs of a row of taps that cross chunks of words, and taps one by one; planes that are turned in
/// several squares.
#[cfg(target_arch = "x86_64")]
const PATHS: &[Domain] = &[
    Domain {
        name: "runs over chunks",
        fixed: &[
            ("c", &[180, 301]),
            ("r", &[2, 3]),
            ("s", &[3]),
            ("g", &[1]),
            ("dw", &[1]),
            ("w", &[3, 5]),
            ("h", &[3]),
        ],
    },
    Domain {
        name: "dilated columns",
        fixed: &[("s", &[2, 3]), ("dw", &[2]), ("g", &[1]), ("zx", &[1]), ("pl", &[1, 2])],
    },
    Domain { name: "groups of many", fixed: &[("g", &[2, 3]), ("c", &[5, 16]), ("k", &[33, 40]), ("zw", &[0, 2])] },
    Domain {
        name: "planes of squares",
        fixed: &[("layout", &[0]), ("c", &[17, 33]), ("k", &[19]), ("h", &[5]), ("w", &[7])],
    },
];

/// The kernels of a set of instructions: weights do not change from call to call.
#[cfg(target_arch = "x86_64")]
macro_rules! kernel {
    ($token:ident, $isa:expr, $name:literal) => {
        Kernel::new($name, $isa, TYPES, run::<$token>)
            .with_usual_plan(plan::<$token>)
            .with_thresholds(THRESHOLDS)
            .with_paths(PATHS)
    };
}

/// The kernels for groups of one channel.
#[cfg(target_arch = "x86_64")]
macro_rules! depthwise {
    ($token:ident, $isa:expr, $name:literal) => {
        Kernel::new($name, $isa, TYPES, by_channels::<$token>)
            .with_supports(|problem, _| depthwise::supports(problem))
            .with_usual_plan(depthwise::plan::<$token>)
            .with_thresholds(DEPTHWISE_THRESHOLDS)
            .with_paths(DEPTHWISE_PATHS)
    };
}

/// Vectors of channels.
#[cfg(target_arch = "x86_64")]
const DEPTHWISE_THRESHOLDS: &[Threshold] =
    &[Threshold::axis("g", Avx2Token::LANES as i64), Threshold::axis("g", Avx512Token::LANES as i64)];

/// Taps that meet the image in part, by planes and by pixels.
#[cfg(target_arch = "x86_64")]
const DEPTHWISE_PATHS: &[Domain] = &[Domain {
    name: "dilated taps at the borders",
    fixed: &[
        ("c", &[1]),
        ("k", &[1]),
        ("g", &[3, 19, 40]),
        ("r", &[2, 3]),
        ("s", &[3]),
        ("dh", &[1, 2]),
        ("dw", &[2]),
        ("sh", &[1, 2]),
        ("sw", &[1, 3]),
        ("pt", &[1, 3]),
        ("pl", &[2]),
    ],
}];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, TYPES, scalar),
    #[cfg(target_arch = "x86_64")]
    kernel!(Avx2Token, Isa::Avx2, "avx2-implicit"),
    #[cfg(target_arch = "x86_64")]
    kernel!(AvxVnniToken, Isa::Avx2, "avx2-vnni-implicit").with_extensions(&[Extension::AvxVnni]),
    #[cfg(target_arch = "x86_64")]
    depthwise!(Avx2Token, Isa::Avx2, "avx2-depthwise"),
    #[cfg(target_arch = "x86_64")]
    kernel!(Avx512Token, Isa::Avx512, "avx512-implicit"),
    #[cfg(target_arch = "x86_64")]
    kernel!(VnniToken, Isa::Avx512, "avx512-vnni-implicit").with_extensions(&[Extension::Vnni]),
    #[cfg(target_arch = "x86_64")]
    depthwise!(Avx512Token, Isa::Avx512, "avx512-depthwise"),
];

/// The kernel `scalar`.
fn scalar(call: &mut Call<'_>) -> Result<(), KernelError> {
    struct Plain;
    impl Body for Plain {
        fn run<A: Left, O: Out>(self, call: &mut Call<'_>) -> Result<(), KernelError> {
            let p = downcast(call.problem());
            scalar::convolve(p, Operands::<A, O>::of(call).0);
            Ok(())
        }
    }
    typed(call, Plain)
}

/// The kernels of one set of instructions.
#[cfg(target_arch = "x86_64")]
fn run<D: Integers>(call: &mut Call<'_>) -> Result<(), KernelError> {
    struct Tiled<D>(D);
    impl<D: Integers> Body for Tiled<D> {
        fn run<A: Left, O: Out>(self, call: &mut Call<'_>) -> Result<(), KernelError> {
            let p: &Conv2dInt8 = downcast(call.problem());
            let (packed, pool) = (call.plan::<PackedB>(), call.pool());
            let Some(packed) = packed.filter(|packed| packed.fits::<D>(&driver::size(p))) else {
                return Err(KernelError::Unsupported("the plan was made for another problem".into()));
            };
            let (x, workspace) = Operands::<A, O>::of(call);
            driver::convolve(self.0, p, x, packed, pool, workspace);
            Ok(())
        }
    }
    typed(call, Tiled(proof::<D>()?))
}

/// The kernels for groups of one channel, of one set of instructions.
#[cfg(target_arch = "x86_64")]
fn by_channels<D: Integers>(call: &mut Call<'_>) -> Result<(), KernelError> {
    struct Lanes<D>(D);
    impl<D: Integers> Body for Lanes<D> {
        fn run<A: Left, O: Out>(self, call: &mut Call<'_>) -> Result<(), KernelError> {
            let p: &Conv2dInt8 = downcast(call.problem());
            let (taps, pool) = (call.plan::<depthwise::Taps>(), call.pool());
            let Some(taps) = taps.filter(|taps| taps.fits::<D>(p)) else {
                return Err(KernelError::Unsupported("the plan was made for another problem".into()));
            };
            let (x, workspace) = Operands::<A, O>::of(call);
            depthwise::convolve(self.0, p, x, taps, pool, workspace);
            Ok(())
        }
    }
    typed(call, Lanes(proof::<D>()?))
}

/// The weights, packed.
#[cfg(target_arch = "x86_64")]
fn plan<D: Integers>(inputs: &Inputs<'_>) -> Result<Plan, KernelError> {
    let p: &Conv2dInt8 = downcast(inputs.problem());
    let patches = pack::Patches::<u8> { p, x: &[], w: inputs.input(1), pad: 0, sums_rows: false };
    Ok(Box::new(PackedB::new(proof::<D>()?, &driver::size(p), &patches)))
}
