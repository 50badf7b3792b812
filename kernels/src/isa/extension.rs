//! Instructions that a CPU may have beside a level.

use std::fmt;

use super::{Isa, choice};

macro_rules! extensions {
    ($($(#[$doc:meta])* $variant:ident, $name:literal, $level:ident, $feature:tt;)+) => {
        /// A set of instructions that is no part of a level: a CPU of the level may lack it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Extension { $($(#[$doc])* $variant),+ }

        impl Extension {
            /// Every extension.
            pub const ALL: &[Extension] = &[$(Extension::$variant),+];

            /// Its name in `ETALON_ISA`.
            pub const fn name(self) -> &'static str {
                match self { $(Extension::$variant => $name),+ }
            }

            /// The level that it extends.
            pub const fn level(self) -> Isa {
                match self { $(Extension::$variant => Isa::$level),+ }
            }

            /// Whether the CPU has it and its level, whatever `ETALON_ISA` says.
            pub fn detected(self) -> bool {
                #[cfg(target_arch = "x86_64")]
                {
                    self.level().detected() && match self { $(Extension::$variant => is_x86_feature_detected!($feature)),+ }
                }
                #[cfg(not(target_arch = "x86_64"))]
                {
                    false
                }
            }
        }
    };
}

extensions! {
    /// Products of bytes, four to a sum of 32 bits, in 256 bits.
    AvxVnni, "avxvnni", Avx2, "avxvnni";
    /// Products of bytes, four to a sum of 32 bits, in 512 bits.
    Vnni, "vnni", Avx512, "avx512vnni";
    /// Products of bf16, two to a sum of f32.
    Bf16, "bf16", Avx512, "avx512bf16";
    /// Permutations of bytes.
    Vbmi, "vbmi", Avx512, "avx512vbmi";
    /// Counts of bits.
    Vpopcntdq, "vpopcntdq", Avx512, "avx512vpopcntdq";
}

impl Extension {
    /// Why it cannot be used, or `Ok`.
    ///
    /// # Errors
    /// The reason.
    ///
    /// # Panics
    /// Where [`Isa::chosen`] is an error.
    pub fn usable(self) -> Result<(), String> {
        self.level().usable()?;
        if !self.detected() {
            return Err(format!("the CPU lacks {self}"));
        }
        let choice = choice::chosen().as_ref().unwrap_or_else(|error| panic!("{error}"));
        if choice.without.contains(&self) {
            return Err(format!("ETALON_ISA forbids {self}"));
        }
        Ok(())
    }
}

impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
