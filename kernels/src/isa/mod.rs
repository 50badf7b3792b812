//! Instruction sets: which the CPU has, which may be used, and thin wrappers of their loads, stores and masks.
//!
//! The wrappers ([`avx2`], [`avx512`]) are the only place with raw vector memory accesses.

#![expect(clippy::missing_safety_doc, reason = "a safe function with a target feature is taken for an unsafe one")]

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

pub mod arithmetic;
#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512;
#[cfg(target_arch = "x86_64")]
pub mod evict;
#[cfg(target_arch = "x86_64")]
mod lanes;
#[cfg(target_arch = "x86_64")]
pub mod peaks;
#[cfg(target_arch = "x86_64")]
pub mod stream;
#[cfg(target_arch = "x86_64")]
pub mod tile;
pub mod wide;

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
    /// If `ETALON_ISA` names no level, or `ETALON_REQUIRE_ISA` none that is usable.
    pub fn chosen() -> Result<Isa, IsaError> {
        static CHOSEN: OnceLock<Result<Isa, IsaError>> = OnceLock::new();
        let read = |name: &str| std::env::var_os(name).map(|text| text.to_string_lossy().into_owned());
        CHOSEN.get_or_init(|| choose(read("ETALON_ISA"), read("ETALON_REQUIRE_ISA"), Isa::detected)).clone()
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

/// The environment asks for a level that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IsaError {
    /// A variable names no level.
    #[error("{0}: {1}")]
    Unknown(&'static str, UnknownIsa),
    /// A level is required that is not usable.
    #[error("ETALON_REQUIRE_ISA={required}, but the best usable level is {best}")]
    Unmet {
        /// What is required.
        required: Isa,
        /// What there is.
        best: Isa,
    },
}

/// The level that the two variables leave; empty ones count as unset.
fn choose(ceiling: Option<String>, required: Option<String>, detected: fn(Isa) -> bool) -> Result<Isa, IsaError> {
    let read = |name: &'static str, text: Option<String>| {
        let text = text.filter(|text| !text.is_empty());
        text.map(|text| text.parse().map_err(|error| IsaError::Unknown(name, error))).transpose()
    };
    let ceiling = read("ETALON_ISA", ceiling)?.unwrap_or(Isa::Avx512);
    let best = Isa::ALL.into_iter().rfind(|isa| *isa <= ceiling && detected(*isa)).unwrap_or(Isa::Scalar);
    match read("ETALON_REQUIRE_ISA", required)? {
        Some(required) if best < required => Err(IsaError::Unmet { required, best }),
        _ => Ok(best),
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The text names no level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown ISA `{0}`: expected scalar, avx2 or avx512")]
pub struct UnknownIsa(String);

impl FromStr for Isa {
    type Err = UnknownIsa;
    /// Reads a name, in letters of any case.
    fn from_str(text: &str) -> Result<Isa, UnknownIsa> {
        Isa::ALL.into_iter().find(|isa| isa.name().eq_ignore_ascii_case(text)).ok_or_else(|| UnknownIsa(text.into()))
    }
}

macro_rules! token {
    ($(#[$doc:meta])* $name:ident, $isa:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name(());

        impl $name {
            /// The proof, if the CPU has the level. Does not look at `ETALON_ISA`: dispatch does.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(ceiling: &str, required: &str, best: Isa) -> Result<Isa, String> {
        let detected: fn(Isa) -> bool = match best {
            Isa::Scalar => |isa| isa <= Isa::Scalar,
            Isa::Avx2 => |isa| isa <= Isa::Avx2,
            Isa::Avx512 => |_| true,
        };
        choose(Some(ceiling.into()), Some(required.into()), detected).map_err(|error| error.to_string())
    }

    #[test]
    fn the_environment_chooses_the_level() {
        assert_eq!(chosen("", "", Isa::Avx2), Ok(Isa::Avx2));
        assert_eq!(chosen("AVX2", "avx2", Isa::Avx512), Ok(Isa::Avx2));
        assert_eq!(chosen("avx512", "", Isa::Avx2), Ok(Isa::Avx2));
        assert_eq!(chosen("Scalar", "", Isa::Avx512), Ok(Isa::Scalar));
    }

    #[test]
    fn an_environment_that_asks_too_much_is_an_error() {
        let unknown = chosen("nonsense", "", Isa::Avx512).expect_err("no level");
        assert_eq!(unknown, "ETALON_ISA: unknown ISA `nonsense`: expected scalar, avx2 or avx512");
        let unmet = chosen("avx2", "avx512", Isa::Avx512).expect_err("too much");
        assert_eq!(unmet, "ETALON_REQUIRE_ISA=avx512, but the best usable level is avx2");
        assert!(chosen("", "sse", Isa::Avx512).expect_err("no level").starts_with("ETALON_REQUIRE_ISA: "));
    }
}
