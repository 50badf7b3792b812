//! The dtypes of a case under one name.

use std::fmt;
use std::str::FromStr;

use crate::{DType, ops};

/// The dtype of every port and of the sums, under one name that stands in the case id: `f32`, `bf16`, `u8s8s32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Types {
    /// The name.
    pub name: &'static str,
    /// The dtype of ports that are not in `ports`.
    pub element: DType,
    /// Ports of other dtypes, by name.
    pub ports: &'static [(&'static str, DType)],
    /// In which dtype a kernel adds.
    pub accumulator: DType,
}

impl Types {
    /// f64 throughout.
    pub const F64: Types = Types::all(DType::F64);
    /// f32 throughout.
    pub const F32: Types = Types::all(DType::F32);

    /// One dtype for every port. Sums are in f32 for the shorter floating-point types and in i32 for the shorter integers.
    pub const fn all(element: DType) -> Types {
        let accumulator = match element {
            DType::F64 | DType::F32 | DType::I64 => element,
            _ if element.is_float() => DType::F32,
            _ => DType::I32,
        };
        Types { name: element.name(), element, ports: &[], accumulator }
    }

    /// `element` for every port, except those that `ports` lists by name; sums are in `accumulator`.
    pub const fn mixed(
        name: &'static str,
        element: DType,
        ports: &'static [(&'static str, DType)],
        accumulator: DType,
    ) -> Types {
        Types { name, element, ports, accumulator }
    }

    /// The dtype of the port with this name.
    pub fn of(&self, port: &str) -> DType {
        self.ports.iter().find(|(name, _)| *name == port).map_or(self.element, |(_, dtype)| *dtype)
    }

    /// Every name that is known: each dtype throughout, then what operators declare beyond that.
    pub fn known() -> Vec<Types> {
        let mut all: Vec<Types> = DType::ALL.iter().map(|&dtype| Types::all(dtype)).collect();
        for types in ops::ALL.iter().flat_map(|operator| operator.types) {
            if !all.contains(types) {
                all.push(*types);
            }
        }
        all
    }
}

impl fmt::Display for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

/// The text names no types.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown types `{0}`: expected one of {1}")]
pub struct UnknownTypes(String, String);

impl FromStr for Types {
    type Err = UnknownTypes;
    fn from_str(text: &str) -> Result<Self, UnknownTypes> {
        let known = Types::known();
        known.iter().copied().find(|types| types.name == text).ok_or_else(|| {
            UnknownTypes(text.into(), known.iter().map(|types| types.name).collect::<Vec<_>>().join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_have_their_own_dtype() {
        const MIXED: Types = Types::mixed("u8s8s32", DType::I32, &[("a", DType::U8), ("b", DType::I8)], DType::I32);
        assert_eq!(["a", "b", "out"].map(|port| MIXED.of(port)), [DType::U8, DType::I8, DType::I32]);
        assert_eq!(Types::F64.of("a"), DType::F64);
        assert_eq!(Types::all(DType::Bf16).accumulator, DType::F32);
    }

    #[test]
    fn names_are_unique_and_read_back() {
        for types in Types::known() {
            assert_eq!(types.name.parse(), Ok(types), "two types of one name");
        }
        assert!("f8".parse::<Types>().is_err());
    }
}
