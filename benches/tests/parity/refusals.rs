//! Command lines that make no sense, and cases that cannot be.

use crate::{parity, run};

/// Arguments; what standard error says.
const REFUSED: [(&[&str], &str); 13] = [
    (&["gemm/nosuch/f32/-/t1#real-1"], "gemm has no kernel `nosuch`: expected scalar"),
    (&["nosuch/scalar/f32/-/t1#real-1"], "unknown operator `nosuch`: expected gemm"),
    (&["gemm/scalar/f32/m=-3/t1#real-1"], "m = -3 is out of range"),
    (&["gemm/scalar/f32/nosuch=3/t1#real-1"], "unknown axis `nosuch`"),
    (&["gemm/scalar/f32/-/t100000#real-1"], "100000 threads are more than the 1024"),
    (&["gemm/scalar/f32/-/t0#real-1"], "is not of the form"),
    (&["gemm/scalar/i8/-/t1#real-1"], "scalar does not compute i8"),
    (&["nosuch"], "nothing contains `nosuch`"),
    (&["nosuch", "--list"], "nothing contains `nosuch`"),
    (&["nosuch", "--workloads"], "nothing contains `nosuch`"),
    (&["--cases", "0"], "0 is not in 1..="),
    (&["--limit", "0"], "expected a number of seconds"),
    (&["gemm/scalar/f32", "--through", "./nosuch"], "cannot start ./nosuch"),
];

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    for (arguments, says) in REFUSED {
        let (code, out, err) = run(parity().args(arguments));
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {err}");
        assert!(err.contains(says), "{arguments:?}: {err}");
    }
}

#[test]
fn what_does_not_fit_the_memory_is_refused_with_both_figures() {
    let (code, _, err) = run(parity().arg("gemm/scalar/f32/m=100000,n=100000,k=8/t1#real-1"));
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("needs about ") && err.contains(" GB are available"), "{err}");
}

#[test]
fn levels_are_named_in_any_case_and_unknown_ones_refused() {
    let case = "gemm/scalar/f32/m=3/t1#real-1";
    for (name, value, says) in [
        ("ETALON_ISA", "nonsense", "unknown ISA `nonsense`: expected scalar, avx2 or avx512"),
        ("ETALON_ISA", "avx512-amx", "unknown ISA `avx512-amx`"),
        ("ETALON_REQUIRE_ISA", "nonsense", "unknown ISA `nonsense`"),
    ] {
        let (code, _, err) = run(parity().arg(case).env(name, value));
        assert_eq!(code, 2, "{err}");
        assert!(err.contains(name) && err.contains(says), "{err}");
    }
    let (code, _, err) = run(parity().arg(case).env("ETALON_ISA", "SCALAR").env("ETALON_REQUIRE_ISA", "avx2"));
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("ETALON_REQUIRE_ISA=avx2, but the best usable level is scalar"), "{err}");
    let (code, _, err) = run(parity().arg(case).env("ETALON_ISA", "SCALAR"));
    assert_eq!(code, 0, "{err}");
}

#[test]
fn a_case_that_is_skipped_says_why() {
    for filter in ["gemm/avx512/f32/m=3/t1#real-1", "gemm/avx512/f32"] {
        let (code, out, err) = run(parity().arg(filter).env("ETALON_ISA", "scalar"));
        assert_eq!(code, 2, "{out}{err}");
        assert!(err.contains("gemm/avx512/f32") && err.contains("no case was executed"), "{err}");
        assert!(err.contains("forbids avx512") || err.contains("lacks avx512"), "{err}");
    }
}

#[test]
fn help_says_what_a_filter_is() {
    let (code, out, _) = run(parity().arg("--help"));
    assert_eq!(code, 0);
    for part in
        ["part of operator/kernel/dtype", "`gemm` selects gemm_backward, too, and `gemm/` does not", "--fail-fast"]
    {
        assert!(out.contains(part), "{part}: {out}");
    }
    assert!(!out.contains("--worker"), "{out}");
}
