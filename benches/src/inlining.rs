//! Whether vector instructions stand in the kernels, or behind calls.
//!
//! A kernel's functions are inlined into one that has the level's instructions. A closure that is called in two places, or
//! an adaptor of the standard library, may stay a function of its own: it lacks them, and each of its instructions is then
//! a call that takes and gives its vectors through memory, about thirty times slower. The compiler says nothing. But the
//! program has a symbol of each intrinsic that is called.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};

/// Where a mangled name says that the function is an intrinsic.
const INTRINSICS: &[u8] = b"core_arch";
const WIDE: [&str; 2] = ["_mm256_", "_mm512_"];

/// The intrinsics of 256 and 512 bits of which an executable has a symbol.
fn called(executable: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.$".contains(byte);
    for at in memchr::memmem::find_iter(executable, INTRINSICS) {
        let name: Vec<u8> = executable[at..].iter().copied().take_while(of_name).collect();
        let name = String::from_utf8(name).expect("ASCII");
        let Some(from) = WIDE.iter().find_map(|wide| name.find(wide)) else { continue };
        // A mangled name ends with a hash of 17 characters and an `E`; those of constants have a part of their own before.
        let end = name[from..].find("17h").map_or(name.len(), |end| from + end);
        found.insert(name[from..end].to_owned());
    }
    found
}

/// Whether this program's kernels have their instructions in them.
///
/// # Errors
/// Which instructions are called, and how to find who calls them. A program without symbols has none.
pub fn check() -> Result<()> {
    let path = std::env::current_exe().context("this program has no path")?;
    let found = called(&fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
    let names: Vec<&str> = found.iter().map(String::as_str).take(8).collect();
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
    use super::called;

    #[test]
    fn symbols_of_intrinsics_are_found() {
        let text = b"\0_ZN4core9core_arch3x863avx13_mm256_add_ps17h0123456789abcdefE\0_ZN4core9core_arch3x863sse10_mm_add_ps17h0E\0";
        assert_eq!(called(text).into_iter().collect::<Vec<_>>(), ["_mm256_add_ps"]);
        assert!(called(b"_mm512_add_ps core _arch").is_empty());
    }
}
