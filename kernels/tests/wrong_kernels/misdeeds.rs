//! Accesses that safe Rust does not allow, and a process in which they do no harm.

use std::env;
use std::process::Command;

use etalon_kernels::call::Call;
use etalon_kernels::check::suite::Question;
use etalon_reference::{Element, with_dtype};

use super::{Wrong, all, judge, smallest, spoil};

/// Reads the element behind the last of input 0.
pub fn reads_behind(call: &mut Call<'_>) -> spoil::Result {
    if call.types() == etalon_reference::Types::F32 {
        let input = call.input::<f32>(0);
        if !input.is_empty() {
            // SAFETY: none. The access is the bug that the guard page must show.
            std::hint::black_box(unsafe { input.as_ptr().add(input.len()).read_volatile() });
        }
    }
    spoil::right("gemm", call)
}

/// Reads the element before the first of input 1.
pub fn reads_before(call: &mut Call<'_>) -> spoil::Result {
    if call.types() == etalon_reference::Types::F32 {
        let input = call.input::<f32>(1);
        if !input.is_empty() {
            // SAFETY: none. The access is the bug that the guard page must show.
            std::hint::black_box(unsafe { input.as_ptr().sub(1).read_volatile() });
        }
    }
    spoil::right("gemm", call)
}

/// Writes the element behind the last of the first output.
pub fn write_behind(call: &mut Call<'_>) {
    with_dtype!(call.problem().outputs(call.types())[0].dtype, T => {
        let output = call.output::<T>(0);
        if !output.is_empty() {
            // SAFETY: none. The access is the bug that zones and guard pages must show.
            unsafe { output.as_mut_ptr().add(output.len()).write_volatile(T::default()) };
        }
    });
}

/// Writes to input 0, through a pointer as a C library would have it.
pub fn change_an_input(call: &mut Call<'_>) {
    with_dtype!(call.problem().inputs(call.types())[0].dtype, T => {
        if let Some(&first) = call.input::<T>(0).first() {
            let other = if T::DTYPE.is_float() { T::from_f64(0.125) } else { <T as Element>::from_bits(!first.bits()) };
            // SAFETY: none. Writing behind a shared reference is the bug that the comparison of inputs must show.
            unsafe { call.input::<T>(0).as_ptr().cast_mut().write_volatile(other) };
        }
    });
}

const WHICH: &str = "ETALON_WRONG_KERNEL";
const REJECTED: &str = "rejected: ";

/// Asks `question` of `wrong` in a process of its own. How it ended, if the kernel did not pass.
pub fn in_a_process(wrong: &Wrong, question: Question) -> Option<String> {
    let run = Command::new(env::current_exe().expect("this test"))
        .args(["--exact", "misdeeds::examine_one", "--test-threads=1", "--nocapture"])
        .env(WHICH, format!("{} {} {question:?}", wrong.operator, wrong.kernel.name))
        .output()
        .expect("this test runs");
    match run.status.code() {
        Some(0) => None,
        Some(_) => {
            let log = String::from_utf8_lossy(&run.stdout);
            let rejected = log.lines().find_map(|line| Some(line.split_once(REJECTED)?.1.to_owned()));
            Some(rejected.unwrap_or_else(|| panic!("{log}{}", String::from_utf8_lossy(&run.stderr))))
        }
        None => Some("the guard page ends the process".into()),
    }
}

/// Does nothing unless [`in_a_process`] runs it.
#[test]
fn examine_one() {
    let Ok(which) = env::var(WHICH) else { return };
    let [operator, name, question] = which.split(' ').collect::<Vec<_>>()[..] else { panic!("{which}") };
    let named = |w: &Wrong| w.deadly && (w.operator, w.kernel.name) == (operator, name);
    let wrong = all().find(named).expect("a wrong kernel");
    let question = Question::ALL.into_iter().find(|q| format!("{q:?}") == question).expect("a question");
    if let Err(rejection) = judge(&wrong, &[question]) {
        println!("{REJECTED}{}", smallest(&rejection));
        panic!("{rejection}");
    }
}
