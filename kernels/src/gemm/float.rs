//! The two element types.

use std::ops::Mul;

use super::skinny::Stream;
use crate::isa::Isa;
use crate::isa::arithmetic::One;
use crate::isa::wide::{Vectors, Wide};
#[cfg(target_arch = "x86_64")]
use crate::isa::{Avx2Token, Avx512Token};
use crate::kernel::KernelError;
use crate::math;

/// f32 or f64.
pub trait Float: Vectors + PartialOrd + Mul<Output = Self> {
    /// `self·x + y`, rounded once.
    fn mul_add(self, x: Self, y: Self) -> Self;
    /// `x·Φ(x)`.
    fn gelu(self) -> Self;

    /// Runs `work` with the tiles and the lanes of `isa`.
    ///
    /// # Errors
    /// If the CPU lacks them, or `isa` has no tiles.
    fn with_tiles<W: Tiled<Self>>(isa: Isa, work: W) -> Result<W::Output, KernelError>;
}

/// A piece of work that is made of GEMM's tiles.
pub trait Tiled<T: Float> {
    /// Its result.
    type Output;
    /// Does it.
    fn run<X: Stream<T = T>, L: Wide<T>>(self, tile: X, lanes: L) -> Self::Output;
}

macro_rules! with_tiles {
    ($t:ty, $tile:ident) => {
        fn with_tiles<W: Tiled<$t>>(isa: Isa, work: W) -> Result<W::Output, KernelError> {
            let lacks = || KernelError::Isa(format!("the CPU lacks {isa}"));
            match isa {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => {
                    let token = Avx2Token::detect().ok_or_else(lacks)?;
                    Ok(work.run(super::avx2::$tile(token), token))
                }
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => {
                    let token = Avx512Token::detect().ok_or_else(lacks)?;
                    Ok(work.run(super::avx512::$tile(token), token))
                }
                #[cfg(not(target_arch = "x86_64"))]
                Isa::Avx2 | Isa::Avx512 => Err(lacks()),
                Isa::Scalar => Err(KernelError::Isa("plain Rust has no tiles".into())),
            }
        }
    };
}

impl Float for f32 {
    fn mul_add(self, x: f32, y: f32) -> f32 {
        f32::mul_add(self, x, y)
    }
    #[inline(always)]
    fn gelu(self) -> f32 {
        // Without a branch, so that every level vectorises the same operations.
        math::gelu(One, self)
    }
    with_tiles!(f32, F32);
}

impl Float for f64 {
    fn mul_add(self, x: f64, y: f64) -> f64 {
        f64::mul_add(self, x, y)
    }
    #[inline(always)]
    fn gelu(self) -> f64 {
        etalon_reference::ops::gemm::gelu(self)
    }
    with_tiles!(f64, F64);
}

/// The value of an expression that is generic in the element type `$t`, for f32 or f64; an error for other types.
macro_rules! with_float {
    ($types:expr, $t:ident => $result:expr) => {
        match $types {
            etalon_reference::Types::F32 => {
                type $t = f32;
                $result
            }
            etalon_reference::Types::F64 => {
                type $t = f64;
                $result
            }
            other => Err($crate::kernel::KernelError::Unsupported(format!("operands of {other}"))),
        }
    };
}

pub(crate) use with_float;
