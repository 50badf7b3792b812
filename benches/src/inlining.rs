//! Whether vector instructions stand in the kernels, or behind calls.
//!
//! A kernel's functions are inlined into one that has the level's instructions. A closure that is called in two places, or
//! an adaptor of the standard library, may stay a function of its own: it lacks them, and each of its instructions is then
//! a call that takes and gives its vectors through memory, about thirty times slower. The compiler says nothing. But the
//! program has a symbol of each intrinsic that is called.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use object::{File, Object, ObjectSymbol};

const WIDE: [&str; 2] = ["_mm256_", "_mm512_"];

/// The intrinsic of 256 or 512 bits that a mangled name stands for.
fn intrinsic(symbol: &str) -> Option<&str> {
    let from = WIDE.iter().find_map(|wide| symbol.find(wide)).filter(|_| symbol.contains("core_arch"))?;
    // A hash follows the name.
    Some(symbol[from..].split("17h").next().unwrap_or_default())
}

/// Whether this program's kernels have their instructions in them.
///
/// # Errors
/// Which instructions are called, and how to find who calls them. A program without symbols has none.
pub fn check() -> Result<()> {
    let path = std::env::current_exe().context("this program has no path")?;
    let program = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let program = File::parse(&*program).with_context(|| format!("{} is no program", path.display()))?;
    let found: BTreeSet<&str> = program.symbols().filter_map(|symbol| intrinsic(symbol.name().ok()?)).collect();
    let names: Vec<&str> = found.iter().copied().take(8).collect();
    ensure!(
        found.is_empty(),
        "{} vector instructions are called as functions ({}): a closure in a kernel was not inlined; \
         `objdump -d -C {} | less` shows at `call` who it is; make it a function that is #[inline(always)]",
        found.len(),
        names.join(", "),
        path.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::intrinsic;

    #[test]
    fn symbols_of_intrinsics_are_found() {
        assert_eq!(intrinsic("_ZN4core9core_arch3x863avx13_mm256_add_ps17h0123456789abcdefE"), Some("_mm256_add_ps"));
        assert_eq!(intrinsic("_ZN4core9core_arch3x863sse10_mm_add_ps17h0123456789abcdefE"), None);
        assert_eq!(intrinsic("_ZN14etalon_kernels13_mm256_add_ps17h0123456789abcdefE"), None);
    }
}
