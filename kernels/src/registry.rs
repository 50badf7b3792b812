//! The list of lists: every operator with its kernels. Tests, benches, fuzzing and the parity gate go through it.

use etalon_reference::{Operator, Problem, Types, ops};

use crate::kernel::Kernel;

/// An operator and the kernels that compute it, weakest first; the last one that applies is the default.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The operator.
    pub operator: &'static Operator,
    /// Its kernels.
    pub kernels: &'static [Kernel],
}

macro_rules! entries {
    ($($module:ident: $name:ident,)*) => {
        &[$(Entry { operator: &ops::$module::$name, kernels: crate::$module::KERNELS }),*]
    };
}

/// Every operator of the reference, with the list `KERNELS` of its folder.
pub static ALL: &[Entry] = etalon_reference::each_operator!(entries);

/// The entry of the operator with this name.
pub fn find(operator: &str) -> Option<&'static Entry> {
    ALL.iter().find(|e| e.operator.name == operator)
}

/// The operators alone, as case ids are parsed with.
pub fn operators() -> Vec<&'static Operator> {
    ALL.iter().map(|e| e.operator).collect()
}

impl Entry {
    /// The default kernel: the last one that applies, [may be it](Kernel::is_usual), and is ours.
    pub fn default_kernel(&self, problem: &dyn Problem, types: Types) -> Option<&'static Kernel> {
        let fits = |k: &&Kernel| k.is_usual() && !k.is_foreign() && k.applies(problem, types).is_ok();
        self.kernels.iter().rfind(fits)
    }

    /// The kernel with this name.
    pub fn kernel(&self, name: &str) -> Option<&'static Kernel> {
        self.kernels.iter().find(|k| k.name == name)
    }
}
