//! Instruction sets: which the CPU has, which may be used, and thin wrappers of their loads, stores and masks.
//!
//! The wrappers ([`avx2`], [`avx512`]) are the only place with raw vector memory accesses.

#![expect(clippy::missing_safety_doc, reason = "a safe function with a target feature is taken for an unsafe one")]

use std::fmt;
use std::str::FromStr;

pub mod arithmetic;
pub mod arrays;
#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512;
#[cfg(target_arch = "x86_64")]
pub mod bits;
mod choice;
#[cfg(target_arch = "x86_64")]
pub mod codes;
#[cfg(target_arch = "x86_64")]
pub mod dot;
#[cfg(target_arch = "x86_64")]
pub mod evict;
mod extension;
#[cfg(target_arch = "x86_64")]
mod lanes;
#[cfg(target_arch = "x86_64")]
pub mod memory;
pub mod narrow;
#[cfg(target_arch = "x86_64")]
pub mod peaks;
#[cfg(target_arch = "x86_64")]
pub mod stream;
#[cfg(target_arch = "x86_64")]
pub mod tile;
pub mod wide;

pub use choice::{IsaError, UnknownIsa};
pub use extension::Extension;

/// A level of instructions that kernels are written for. Each level includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// What the target always has.
    Scalar,
    /// AVX2, FMA, F16C.
    Avx2,
    /// AVX-512 F, BW, VL, DQ.
    Avx512,
}

impl Isa {
    /// Every level, weakest first.
    pub const ALL: [Isa; 3] = [Isa::Scalar, Isa::Avx2, Isa::Avx512];

    /// Name in case ids, records and `ETALON_ISA`.
    pub const fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        }
    }

    /// Whether the CPU (and the operating system) has the level, whatever `ETALON_ISA` says.
    pub fn detected(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            match self {
                Isa::Scalar => true,
                Isa::Avx2 => {
                    is_x86_feature_detected!("avx2")
                        && is_x86_feature_detected!("fma")
                        && is_x86_feature_detected!("f16c")
                }
                Isa::Avx512 => {
                    Isa::Avx2.detected()
                        && is_x86_feature_detected!("avx512f")
                        && is_x86_feature_detected!("avx512bw")
                        && is_x86_feature_detected!("avx512vl")
                        && is_x86_feature_detected!("avx512dq")
                }
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            self == Isa::Scalar
        }
    }

    /// The strongest level that may be used: what the CPU has, at most what `ETALON_ISA` names. The environment is read once.
    ///
    /// # Errors
    /// If `ETALON_ISA` names no level, or `ETALON_REQUIRE_ISA` asks for what is not usable.
    pub fn chosen() -> Result<Isa, IsaError> {
        choice::chosen().as_ref().map(|choice| choice.isa).map_err(Clone::clone)
    }

    /// The level of [`chosen`](Isa::chosen), for who has asked that before and for tests.
    ///
    /// # Panics
    /// Where `chosen` is an error.
    pub fn best() -> Isa {
        Isa::chosen().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Why the level can't be used, or `Ok`.
    pub fn usable(self) -> Result<(), String> {
        if !self.detected() {
            Err(format!("the CPU lacks {self}"))
        } else if self > Isa::best() {
            Err(format!("ETALON_ISA={} forbids {self}", Isa::best()))
        } else {
            Ok(())
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Isa {
    type Err = UnknownIsa;
    /// Reads a name, in letters of any case.
    fn from_str(text: &str) -> Result<Isa, UnknownIsa> {
        Isa::ALL.into_iter().find(|isa| isa.name().eq_ignore_ascii_case(text)).ok_or_else(|| UnknownIsa::new(text))
    }
}

macro_rules! token {
    ($(#[$doc:meta])* $name:ident, $isa:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name(());

        impl $name {
            /// The proof, if the CPU has the instructions. Does not look at `ETALON_ISA`: dispatch does.
            pub fn detect() -> Option<$name> {
                $isa.detected().then_some($name(()))
            }
        }
    };
}

token!(
    /// Proof that the CPU has [`Isa::Avx2`]: it makes calling a function of that level sound.
    Avx2Token, Isa::Avx2
);
token!(
    /// Proof that the CPU has [`Isa::Avx512`]: it makes calling a function of that level sound.
    Avx512Token, Isa::Avx512
);
token!(
    /// Proof that the CPU has [`Extension::AvxVnni`] and its level: it makes calling a function with both sound.
    AvxVnniToken, Extension::AvxVnni
);
token!(
    /// Proof that the CPU has [`Extension::Vnni`] and its level: it makes calling a function with both sound.
    VnniToken, Extension::Vnni
);
token!(
    /// Proof that the CPU has [`Extension::Bf16`] and its level: it makes calling a function with both sound.
    Bf16Token, Extension::Bf16
);
token!(
    /// Proof that the CPU has [`Extension::Vpopcntdq`] and its level: it makes calling a function with both sound.
    VpopcntdqToken, Extension::Vpopcntdq
);
