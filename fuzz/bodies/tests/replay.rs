//! Seeds of every target, and what once failed.

use std::fs;
use std::path::Path;

use etalon_fuzz_bodies::regression::Regression;
use etalon_fuzz_bodies::seeds::seeds;
use etalon_fuzz_bodies::target::Target;
use etalon_fuzz_bodies::{kernels, problem};

#[test]
#[cfg_attr(feature = "planted-bug", ignore = "the bug is there to be found")]
fn seeds_pass() {
    for target in Target::all() {
        let mut ran = 0;
        for (file, bytes) in seeds(target) {
            eprintln!("{}: {file}", target.name());
            if target.problem {
                problem::run(target.entry, &bytes);
                ran += 1;
            } else {
                ran += usize::from(kernels::run(target.entry, &bytes));
            }
        }
        assert!(ran > 4, "{}: {ran} seeds ran", target.name());
    }
}

#[test]
#[cfg_attr(feature = "planted-bug", ignore = "the bug is there to be found")]
fn regressions_pass() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../regressions.txt");
    let text = fs::read_to_string(&path).expect("fuzz/regressions.txt");
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let regression = Regression::parse(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        if regression.runs_here() {
            regression.run().unwrap_or_else(|e| panic!("{line}: {e}"));
        }
    }
}

#[test]
fn lines_and_bytes_are_one() {
    for target in Target::all() {
        for (file, bytes) in seeds(target) {
            let line = Regression::of(target, &bytes).unwrap_or_else(|| panic!("{file}")).to_string();
            let read = Regression::parse(&line).unwrap_or_else(|e| panic!("{line}: {e}"));
            assert_eq!(read.to_string(), line);
            assert!(matches!(read, Regression::Problem(..)) == target.problem, "{line}");
        }
    }
    let beyond = "gemm m=-1,n=9223372036854775807,b=7";
    assert_eq!(Regression::parse(beyond).map(|line| line.to_string()), Ok(beyond.into()));
    for (line, error) in [
        ("gemm", "neither `case guard offset` nor `operator point`"),
        ("gamm m=1", "no operator `gamm`"),
        ("gemm/avx3/f32/m=1/t1#real-1 zones 0", "gemm has no kernel `avx3`"),
        ("gemm/scalar/f32/m=1/t1#real-1 fence 0", "no guard `fence`"),
        ("gemm/scalar/f32/m=1/t1#real-1 zones x", "`x` is no offset in bytes"),
    ] {
        assert_eq!(Regression::parse(line).err().as_deref(), Some(error));
    }
}
