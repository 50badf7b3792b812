//! What the CPU can do, as far as commands depend on it.

use std::fs;

/// The levels of `ETALON_ISA` this CPU has, weakest first.
pub fn levels() -> Vec<&'static str> {
    let mut levels = vec!["scalar"];
    if has_avx2() {
        levels.push("avx2");
    }
    if has_avx512() {
        levels.push("avx512");
    }
    levels
}

/// Extensions that `ETALON_ISA` can take from a level: `avx512-vnni-bf16`.
const EXTENSIONS: [&str; 5] = ["vnni", "bf16", "vbmi", "vpopcntdq", "avxvnni"];

/// Whether `ETALON_ISA` may have this value, in lower case: a level, which the CPU has or not, less some extensions.
pub fn is_level(name: &str) -> bool {
    let mut parts = name.split('-');
    let level = parts.next().is_some_and(|level| ["scalar", "avx2", "avx512"].contains(&level));
    level && parts.all(|extension| EXTENSIONS.contains(&extension))
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    use std::arch::is_x86_feature_detected as has;
    has!("avx2") && has!("fma") && has!("f16c")
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    use std::arch::is_x86_feature_detected as has;
    has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx512() -> bool {
    false
}

/// The core type OpenBLAS is told to take, where it would pick one too low for this CPU.
///
/// OpenBLAS knows Intel's AVX-512 cores, but takes an unknown AMD core for a Haswell: half the speed.
pub fn openblas_core() -> Option<&'static str> {
    (has_avx512() && vendor().as_deref() != Some("GenuineIntel")).then_some("SkylakeX")
}

/// The vendor's name as the kernel tells it.
fn vendor() -> Option<String> {
    field(&fs::read_to_string("/proc/cpuinfo").ok()?, "vendor_id")
}

/// The first value of a field in `/proc/cpuinfo`.
pub fn field(cpuinfo: &str, name: &str) -> Option<String> {
    let mut pairs = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forced_level_has_known_parts() {
        assert!(is_level("avx2") && is_level("avx512-vnni-bf16"));
        assert!(!is_level("") && !is_level("avx2-vni") && !is_level("sse2") && !is_level("avx512-"));
    }

    #[test]
    fn extensions_are_those_of_the_kernels() {
        let rows = include_str!("../../kernels/src/isa/extension.rs").lines();
        let names = rows.filter(|row| row.contains(", Avx")).filter_map(|row| row.split('"').nth(1));
        let mut names: Vec<&str> = names.collect();
        let mut own = EXTENSIONS.to_vec();
        names.sort_unstable();
        own.sort_unstable();
        assert_eq!(names, own);
    }

    #[test]
    fn reads_a_field() {
        let text = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: A: B\n";
        assert_eq!(field(text, "vendor_id").as_deref(), Some("AuthenticAMD"));
        assert_eq!(field(text, "model name").as_deref(), Some("A: B"));
        assert_eq!(field(text, "microcode"), None);
    }

    #[test]
    fn scalar_is_always_there() {
        assert_eq!(levels()[0], "scalar");
    }
}
