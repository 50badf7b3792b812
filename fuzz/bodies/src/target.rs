//! What is fuzzed: an operator's kernels, or its validation.

use std::sync::OnceLock;

use etalon_kernels::registry::{self, Entry};

/// The variable that names the operator.
pub const OPERATOR: &str = "ETALON_OPERATOR";

/// What comes behind an operator's name where its validation is meant.
const PROBLEM: &str = "_problem";

/// One operator's kernels, `gemm`, or its validation, `gemm_problem`.
#[derive(Clone, Copy)]
pub struct Target {
    /// The operator with its kernels.
    pub entry: &'static Entry,
    /// Whether validation is meant.
    pub problem: bool,
}

impl Target {
    /// Every target.
    pub fn all() -> impl Iterator<Item = Target> {
        registry::ALL.iter().flat_map(|entry| [false, true].map(|problem| Target { entry, problem }))
    }

    /// The target of that name.
    pub fn find(name: &str) -> Option<Target> {
        Target::all().find(|target| target.name() == name)
    }

    /// Its name.
    pub fn name(self) -> String {
        format!("{}{}", self.entry.operator.name, if self.problem { PROBLEM } else { "" })
    }

    /// The program of `fuzz_targets/` that runs it.
    pub fn program(self) -> &'static str {
        if self.problem { "problem" } else { "kernels" }
    }
}

/// The operator that the environment names.
///
/// # Panics
/// If it names none that there is.
pub fn entry() -> &'static Entry {
    static ENTRY: OnceLock<&'static Entry> = OnceLock::new();
    ENTRY.get_or_init(|| {
        let name = std::env::var(OPERATOR).unwrap_or_default();
        registry::find(&name).unwrap_or_else(|| {
            let known: Vec<&str> = registry::ALL.iter().map(|entry| entry.operator.name).collect();
            panic!("{OPERATOR}=`{name}` names no operator: expected one of {}", known.join(", "))
        })
    })
}
