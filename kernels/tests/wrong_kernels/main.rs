//! Tests of the tests: deliberately wrong kernels, each of which the suite that judges the real ones must reject.
//!
//! `cargo test -p etalon-kernels --test wrong_kernels -- --nocapture` prints the table of METHODOLOGY.md.

mod batchnorm_relu;
mod batchnorm_relu_backward;
mod conv2d;
mod conv_gradients;
mod gemm;
mod gemm_backward;
mod misdeeds;
mod spoil;

use etalon_kernels::check::suite::{Extent, Question, Rejection, examine};
use etalon_kernels::isa::Isa;
use etalon_kernels::kernel::{Call, Kernel, KernelError};
use etalon_kernels::registry;
use etalon_reference::DType;

/// A kernel that is wrong on purpose.
struct Wrong {
    operator: &'static str,
    /// What is wrong with it.
    fault: &'static str,
    dtype: DType,
    kernel: Kernel,
    /// It may end the process, so that it is examined in one of its own.
    deadly: bool,
}

impl Wrong {
    const fn new(
        operator: &'static str,
        name: &'static str,
        fault: &'static str,
        run: fn(&mut Call<'_>) -> Result<(), KernelError>,
    ) -> Wrong {
        let kernel = Kernel::new(name, Isa::Scalar, &[DType::F32, DType::F64], run);
        Wrong { operator, fault, dtype: DType::F32, kernel, deadly: false }
    }

    /// Wrong in f64, if not in f32.
    const fn in_f64(self) -> Wrong {
        Wrong { dtype: DType::F64, ..self }
    }

    /// Promises no canonical order.
    const fn own_order(self) -> Wrong {
        Wrong { kernel: self.kernel.own_order(), ..self }
    }

    const fn deadly(self) -> Wrong {
        Wrong { deadly: true, ..self }
    }
}

fn all() -> impl Iterator<Item = &'static Wrong> {
    [
        gemm::WRONG,
        gemm_backward::WRONG,
        batchnorm_relu::WRONG,
        batchnorm_relu_backward::WRONG,
        conv2d::WRONG,
        conv_gradients::WRONG,
    ]
    .into_iter()
    .flatten()
}

/// Problems for each question and fill: rare inputs must show a wrong kernel.
const CASES: usize = 64;

/// What judges the real kernels.
fn judge(wrong: &Wrong, questions: &[Question]) -> Result<u32, Box<Rejection>> {
    suite(wrong.operator, &wrong.kernel, wrong.dtype, questions, CASES)
}

fn suite(
    operator: &str,
    kernel: &Kernel,
    dtype: DType,
    questions: &[Question],
    cases: usize,
) -> Result<u32, Box<Rejection>> {
    let entry = registry::find(operator).unwrap_or_else(|| panic!("no operator `{operator}`"));
    let standard = entry.kernels.iter().find(|k| k.canonical);
    examine(entry.operator, kernel, dtype, questions, Extent { cases, cost: 2e5, large: false, seed: 1 }, standard)
}

/// The question that `wrong` fails and the smallest case; `None` if it passes.
fn verdict(wrong: &Wrong) -> Option<(Question, String)> {
    if wrong.deadly {
        return Question::ALL.into_iter().find_map(|q| misdeeds::in_a_process(wrong, q).map(|end| (q, end)));
    }
    judge(wrong, &Question::ALL).err().map(|r| (r.question, smallest(&r)))
}

/// The smallest case that a rejection found: point and fill.
fn smallest(rejection: &Rejection) -> String {
    rejection.case.as_ref().map_or("none was drawn".into(), |case| format!("`{}#{}`", case.point, case.fill))
}

#[test]
fn every_wrong_kernel_is_rejected() {
    let (mut passed, mut names) = (Vec::new(), Vec::new());
    println!("| operator | wrong kernel | what is wrong | rejected by | smallest case |\n|---|---|---|---|---|");
    for wrong in all() {
        let (question, case) = match verdict(wrong) {
            Some((question, case)) => (format!("{question:?}"), case),
            None => {
                passed.push((wrong.operator, wrong.kernel.name));
                ("**nothing**".into(), String::new())
            }
        };
        names.push(format!("| {} | `{}` | {} | {question} |", wrong.operator, wrong.kernel.name, wrong.fault));
        println!("| {} | `{}` | {} | {question} | {case} |", wrong.operator, wrong.kernel.name, wrong.fault);
    }
    assert!(passed.is_empty(), "wrong kernels that passed: {passed:?}");
    let told = include_str!("../../../METHODOLOGY.md");
    let untold: Vec<_> = names.iter().filter(|name| !told.contains(name.as_str())).collect();
    assert!(untold.is_empty(), "METHODOLOGY.md lacks these rows, which this test prints: {untold:#?}");
}

#[test]
fn the_right_kernels_pass_the_same() {
    for entry in registry::ALL {
        for &dtype in entry.kernels[0].dtypes {
            let ran = suite(entry.operator.name(), &entry.kernels[0], dtype, &Question::ALL, 24)
                .unwrap_or_else(|r| panic!("{r}"));
            assert!(ran > 100, "{}: {ran} cases", entry.operator.name());
        }
    }
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = all().map(|w| (w.operator, w.kernel.name)).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
}
