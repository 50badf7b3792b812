//! Questions as words, whom they are asked of, and how often.

use etalon_kernels::check::suite::Question;
use etalon_kernels::kernel::Kernel;
use etalon_kernels::registry::Entry;

/// The question in rows and on the terminal: `short-buffer`.
pub fn name(question: Question) -> String {
    let mut name = String::new();
    for letter in format!("{question:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

/// The question of this name.
pub(super) fn of(text: &str) -> Option<Question> {
    Question::ALL.into_iter().find(|question| name(*question) == text)
}

/// Whether the question says anything of the kernel: there may be no other canonical kernel, and no batch.
pub(super) fn concerns(question: Question, entry: &Entry, kernel: &Kernel) -> bool {
    match question {
        Question::Canonical => kernel.canonical && standard(entry).is_some_and(|first| first.name != kernel.name),
        Question::Batch => entry.operator.batch_axis().is_some(),
        _ => true,
    }
}

/// The kernel whose bits the other canonical ones have.
pub(super) fn standard(entry: &Entry) -> Option<&'static Kernel> {
    entry.kernels.iter().find(|kernel| kernel.canonical)
}

/// Problems of a question for each fill, where parity gets `cases`: each of the others runs the kernel several times.
pub(super) fn quota(question: Question, cases: u32) -> u32 {
    let share = match question {
        Question::Parity => 1,
        Question::Threads | Question::Canonical => 4,
        _ => 8,
    };
    cases.div_ceil(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for question in Question::ALL {
            assert_eq!(of(&name(question)), Some(question));
        }
        assert_eq!(name(Question::ShortBuffer), "short-buffer");
        assert_eq!(of("ShortBuffer"), None);
    }

    #[test]
    fn every_question_gets_a_problem() {
        for question in Question::ALL {
            assert!(quota(question, 1) == 1 && quota(question, 32) <= 32);
        }
    }
}
