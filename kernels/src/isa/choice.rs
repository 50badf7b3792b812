//! What the environment allows and requires.
//!
//! `ETALON_ISA=avx512-vnni-bf16` allows AVX-512 without two of its extensions; `ETALON_REQUIRE_ISA=avx512+vnni` makes it an
//! error that one of them is missing.

use std::sync::OnceLock;

use super::{Extension, Isa};

/// What may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// The strongest level.
    pub(super) isa: Isa,
    /// Extensions that are forbidden.
    pub(super) without: Vec<Extension>,
}

/// The environment asks for what cannot be had.
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
    /// An extension is required that the CPU lacks, or that is forbidden.
    #[error("ETALON_REQUIRE_ISA asks for {0}, which the CPU lacks or ETALON_ISA forbids")]
    Missing(Extension),
}

/// The text names no level, or no extension of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown ISA `{0}`: expected scalar, avx2 or avx512, then `-` (without) or `+` (with) and {names}", names = extensions())]
pub struct UnknownIsa(String);

/// `a, b or c`.
fn extensions() -> String {
    let names: Vec<&str> = Extension::ALL.iter().map(|extension| extension.name()).collect();
    let (last, others) = names.split_last().expect("there are extensions");
    format!("{} or {last}", others.join(", "))
}

impl UnknownIsa {
    pub(super) fn new(text: &str) -> UnknownIsa {
        UnknownIsa(text.into())
    }
}

/// The choice, read from the environment once.
pub(super) fn chosen() -> &'static Result<Choice, IsaError> {
    static CHOSEN: OnceLock<Result<Choice, IsaError>> = OnceLock::new();
    let read = |name: &str| std::env::var_os(name).map(|text| text.to_string_lossy().into_owned());
    CHOSEN.get_or_init(|| choose(read("ETALON_ISA"), read("ETALON_REQUIRE_ISA"), Isa::detected, Extension::detected))
}

/// A level, and extensions behind `sign`.
fn parse(text: &str, sign: char) -> Result<(Isa, Vec<Extension>), UnknownIsa> {
    let mut parts = text.split(sign);
    let level = parts.next().unwrap_or_default().parse().map_err(|_| UnknownIsa::new(text))?;
    let extension = |name: &str| {
        let found = Extension::ALL.iter().find(|extension| extension.name().eq_ignore_ascii_case(name));
        found.copied().ok_or_else(|| UnknownIsa::new(text))
    };
    Ok((level, parts.map(extension).collect::<Result<_, _>>()?))
}

/// What the two variables leave; empty ones count as unset.
fn choose(
    ceiling: Option<String>,
    required: Option<String>,
    detected: fn(Isa) -> bool,
    extended: fn(Extension) -> bool,
) -> Result<Choice, IsaError> {
    let read = |name: &'static str, text: Option<String>, sign: char| {
        let text = text.filter(|text| !text.is_empty());
        text.map(|text| parse(&text, sign).map_err(|error| IsaError::Unknown(name, error))).transpose()
    };
    let (ceiling, without) = read("ETALON_ISA", ceiling, '-')?.unwrap_or((Isa::Avx512, Vec::new()));
    let best = Isa::ALL.into_iter().rfind(|isa| *isa <= ceiling && detected(*isa)).unwrap_or(Isa::Scalar);
    if let Some((required, with)) = read("ETALON_REQUIRE_ISA", required, '+')? {
        if best < required {
            return Err(IsaError::Unmet { required, best });
        }
        let usable = |e: &Extension| e.level() <= best && extended(*e) && !without.contains(e);
        if let Some(missing) = with.into_iter().find(|extension| !usable(extension)) {
            return Err(IsaError::Missing(missing));
        }
    }
    Ok(Choice { isa: best, without })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a CPU with this level and VNNI.
    fn on(ceiling: &str, required: &str, best: Isa) -> Result<Choice, String> {
        let detected: fn(Isa) -> bool = match best {
            Isa::Scalar => |isa| isa <= Isa::Scalar,
            Isa::Avx2 => |isa| isa <= Isa::Avx2,
            Isa::Avx512 => |_| true,
        };
        let vnni = |extension| extension == Extension::Vnni;
        choose(Some(ceiling.into()), Some(required.into()), detected, vnni).map_err(|error| error.to_string())
    }

    fn level(ceiling: &str, required: &str, best: Isa) -> Result<Isa, String> {
        on(ceiling, required, best).map(|choice| choice.isa)
    }

    #[test]
    fn the_environment_chooses_the_level() {
        assert_eq!(level("", "", Isa::Avx2), Ok(Isa::Avx2));
        assert_eq!(level("AVX2", "avx2", Isa::Avx512), Ok(Isa::Avx2));
        assert_eq!(level("avx512", "", Isa::Avx2), Ok(Isa::Avx2));
        assert_eq!(level("Scalar", "", Isa::Avx512), Ok(Isa::Scalar));
    }

    #[test]
    fn extensions_are_forbidden_and_required_by_name() {
        let choice = on("avx512-VNNI-bf16", "avx512", Isa::Avx512).expect("a choice");
        assert_eq!(choice, Choice { isa: Isa::Avx512, without: vec![Extension::Vnni, Extension::Bf16] });
        assert!(on("", "avx512+vnni", Isa::Avx512).is_ok());
        for (ceiling, required, missing) in
            [("", "avx512+vbmi", "vbmi"), ("avx512-vnni", "avx512+vnni", "vnni"), ("avx2", "avx2+vnni", "vnni")]
        {
            let error = on(ceiling, required, Isa::Avx512).expect_err("missing");
            assert!(error.contains(&format!("asks for {missing}, which")), "{error}");
        }
    }

    #[test]
    fn an_environment_that_asks_too_much_is_an_error() {
        for text in ["nonsense", "avx512-amx", "avx512+vnni"] {
            let unknown = on(text, "", Isa::Avx512).expect_err("no level");
            let expected = "expected scalar, avx2 or avx512, then `-` (without) or `+` (with) and avxvnni, vnni, bf16, vbmi or \
                            vpopcntdq";
            assert_eq!(unknown, format!("ETALON_ISA: unknown ISA `{text}`: {expected}"));
        }
        let unmet = on("avx2", "avx512", Isa::Avx512).expect_err("too much");
        assert_eq!(unmet, "ETALON_REQUIRE_ISA=avx512, but the best usable level is avx2");
        assert!(on("", "sse", Isa::Avx512).expect_err("no level").starts_with("ETALON_REQUIRE_ISA: "));
    }
}
