//! Every kernel of every operator, asked every question of `check::suite`.
//!
//! `ETALON_CASES` sets the number of problems per fill of which agreement is asked (default 16); other questions are asked
//! of their share, and of problems on both sides of each kernel's thresholds. `ETALON_OPERATOR` names one operator.

use etalon_kernels::check::suite::{Extent, Question, examine};
use etalon_kernels::isa::Isa;
use etalon_kernels::kernel::Kernel;
use etalon_kernels::registry;

fn cases() -> usize {
    std::env::var("ETALON_CASES").ok().and_then(|v| v.parse().ok()).unwrap_or(16)
}

/// Asks `questions` of all kernels; prints what was skipped and why.
fn ask_all(questions: &[Question]) {
    let mut failures = Vec::new();
    let mut ran = 0;
    let only = std::env::var("ETALON_OPERATOR").ok();
    for entry in registry::ALL.iter().filter(|entry| only.as_ref().is_none_or(|only| only == entry.operator.name)) {
        let standard: Option<&'static Kernel> = entry.kernels.iter().find(|k| k.canonical);
        for kernel in entry.kernels {
            if let Err(reason) = kernel.usable() {
                eprintln!("skipped: {}/{}: {reason}", entry.operator.name, kernel.name);
                continue;
            }
            for &types in kernel.types {
                let extent = Extent { cases: cases(), cost: 2e6, large: true, seed: 1 };
                match examine(entry.operator, kernel, types, questions, extent, standard) {
                    Ok(n) => ran += n,
                    Err(rejection) => failures.push(rejection.to_string()),
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} kernels failed:\n{}", failures.len(), failures.join("\n"));
    // With scalar kernels alone, there is nothing to compare with the first one.
    let alone = Isa::best() == Isa::Scalar && questions == [Question::Canonical];
    // An operator that is asked by itself may have no batch.
    let asked = only.and_then(|only| registry::find(&only));
    let whole = questions == [Question::Batch] && asked.is_some_and(|entry| entry.operator.batch.is_none());
    assert!(ran > 0 || alone || whole, "no case was executed");
}

#[test]
fn agree_with_the_reference() {
    ask_all(&[Question::Parity]);
}

#[test]
fn give_the_same_bits_for_any_thread_count() {
    ask_all(&[Question::Threads]);
}

#[test]
fn give_the_same_bits_when_repeated() {
    ask_all(&[Question::Repeat]);
}

#[test]
fn give_the_same_bits_at_any_alignment() {
    ask_all(&[Question::Alignment]);
}

#[test]
fn stay_within_their_buffers() {
    ask_all(&[Question::Pages]);
}

#[test]
fn give_the_same_bits_on_every_isa() {
    ask_all(&[Question::Canonical]);
}

#[test]
fn give_an_item_of_a_batch_the_bits_it_gets_alone() {
    ask_all(&[Question::Batch]);
}

#[test]
fn answer_short_buffers_with_an_error() {
    ask_all(&[Question::ShortBuffer]);
}
