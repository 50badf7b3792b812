//! Tests of the tests: deliberately wrong kernels, each of which the suite that judges the real ones must reject.
//!
//! `cargo test -p etalon-kernels --test wrong_kernels -- --nocapture` prints the table that is kept in
//! `reports/checks/wrong-kernels.tsv` (with `ETALON_KEEP=1`, writes it). `ETALON_OPERATOR` names one operator, whose rows
//! are printed alone.

mod activation;
mod avg_pool2d;
mod batchnorm_relu;
mod batchnorm_relu_backward;
mod conv2d;
mod conv_gradients;
mod gemm;
mod gemm_backward;
mod generic;
mod lenient;
mod max_pool2d;
mod misdeeds;
mod spoil;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use etalon_kernels::call::Call;
use etalon_kernels::check::suite::{Extent, Question, Rejection, examine};
use etalon_kernels::isa::Isa;
use etalon_kernels::kernel::{Kernel, KernelError};
use etalon_kernels::registry;
use etalon_reference::Types;

/// A kernel that is wrong on purpose.
#[derive(Clone, Copy)]
struct Wrong {
    operator: &'static str,
    /// What is wrong with it.
    fault: &'static str,
    types: Types,
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
        let kernel = Kernel::new(name, Isa::Scalar, &[Types::F32, Types::F64], run);
        Wrong { operator, fault, types: Types::F32, kernel, deadly: false }
    }

    /// Wrong in f64, if not in f32.
    const fn in_f64(self) -> Wrong {
        Wrong { types: Types::F64, ..self }
    }

    /// Of all types of the operator, wrong in the first.
    const fn of_types(self, types: &'static [Types]) -> Wrong {
        Wrong { types: types[0], kernel: Kernel { types, ..self.kernel }, ..self }
    }

    /// Promises no canonical order.
    const fn own_order(self) -> Wrong {
        Wrong { kernel: self.kernel.own_order(), ..self }
    }

    const fn deadly(self) -> Wrong {
        Wrong { deadly: true, ..self }
    }
}

/// The generic ones of every operator, and those that formulas invite.
fn all() -> impl Iterator<Item = Wrong> {
    let by_hand = [
        gemm::WRONG,
        gemm_backward::WRONG,
        batchnorm_relu::WRONG,
        batchnorm_relu_backward::WRONG,
        conv2d::WRONG,
        conv_gradients::WRONG,
        max_pool2d::WRONG,
        avg_pool2d::WRONG,
        activation::WRONG,
    ]
    .into_iter()
    .flatten()
    .copied();
    generic::all().chain(by_hand)
}

/// Problems for each question and fill: rare inputs must show a wrong kernel.
const CASES: usize = 64;

/// What judges the real kernels.
fn judge(wrong: &Wrong, questions: &[Question]) -> Result<u32, Box<Rejection>> {
    generic::of(wrong.operator);
    suite(wrong.operator, &wrong.kernel, wrong.types, questions, CASES)
}

fn suite(
    operator: &str,
    kernel: &Kernel,
    types: Types,
    questions: &[Question],
    cases: usize,
) -> Result<u32, Box<Rejection>> {
    let entry = registry::find(operator).unwrap_or_else(|| panic!("no operator `{operator}`"));
    let standard = entry.kernels.iter().find(|k| k.canonical);
    examine(entry.operator, kernel, types, questions, Extent { cases, cost: 2e5, large: false, seed: 1 }, standard)
}

/// The question that `wrong` fails and the smallest case; `None` if it passes.
fn verdict(wrong: &Wrong) -> Option<(Question, String)> {
    if wrong.deadly {
        return Question::ALL.into_iter().find_map(|q| misdeeds::in_a_process(wrong, q).map(|end| (q, end)));
    }
    judge(wrong, &Question::ALL).err().map(|r| (r.question, smallest(&r)))
}

/// The verdict of each, in their order.
fn verdicts(wrong: &[Wrong]) -> Vec<Option<(Question, String)>> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(vec![None; wrong.len()]));
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(wrong) = wrong.get(at) else { return };
            let verdict = verdict(wrong);
            found.lock().expect("no panic")[at] = verdict;
        }
    };
    let workers = thread::available_parallelism().map_or(1, |n| n.get());
    thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    found.into_inner().expect("no panic")
}

/// The smallest case that a rejection found: point and fill.
fn smallest(rejection: &Rejection) -> String {
    rejection.case.as_ref().map_or("none was drawn".into(), |case| format!("{}#{}", case.point, case.fill))
}

/// The kept table, which the report shows: operator, kernel, what is wrong, the question that rejects it, the smallest case.
const KEPT: &str = "../reports/checks/wrong-kernels.tsv";

#[test]
fn every_wrong_kernel_is_rejected() {
    let only = std::env::var("ETALON_OPERATOR").ok();
    let wrong: Vec<Wrong> = all().filter(|wrong| only.as_ref().is_none_or(|only| only == wrong.operator)).collect();
    let (mut passed, mut rows) = (Vec::new(), Vec::new());
    for (wrong, verdict) in wrong.iter().zip(verdicts(&wrong)) {
        let (question, case) = match verdict {
            Some((question, case)) => (format!("{question:?}"), case),
            None => {
                passed.push((wrong.operator, wrong.kernel.name));
                ("nothing".into(), String::new())
            }
        };
        let row = [wrong.operator, wrong.kernel.name, wrong.fault, &question, &case].join("\t");
        println!("{row}");
        rows.push(row);
    }
    assert!(passed.is_empty(), "wrong kernels that passed: {passed:?}");
    if only.is_some() {
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(KEPT);
    if std::env::var_os("ETALON_KEEP").is_some() {
        std::fs::write(&path, rows.join("\n") + "\n").expect("a table");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    // Which of several questions is the first to reject a kernel may depend on what this CPU has.
    let named = |row: &str| row.split('\t').take(3).map(str::to_owned).collect::<Vec<_>>();
    let (found, kept): (Vec<_>, Vec<_>) =
        (rows.iter().map(|row| named(row)).collect(), kept.lines().map(named).collect());
    assert!(found == kept, "reports/checks/wrong-kernels.tsv is old: run this test with ETALON_KEEP=1");
}

#[test]
fn the_right_kernels_pass_the_same() {
    for entry in registry::ALL {
        for &types in entry.kernels[0].types {
            let ran = suite(entry.operator.name, &entry.kernels[0], types, &Question::ALL, 24)
                .unwrap_or_else(|r| panic!("{r}"));
            assert!(ran > 100, "{}: {ran} cases", entry.operator.name);
        }
    }
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = all().map(|w| (w.operator, w.kernel.name)).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
}
