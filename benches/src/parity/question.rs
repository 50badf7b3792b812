//! Questions as words, and whom they are asked of.

use etalon_kernels::check::suite::{Bench, Question};
use etalon_kernels::kernel::Kernel;
use etalon_kernels::registry::Entry;
use etalon_reference::Types;

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
pub(super) fn concerns(question: Question, entry: &Entry, kernel: &Kernel, types: Types) -> bool {
    Bench::new(standard(entry)).can_ask(question, entry.operator, kernel, types)
}

/// The kernel whose bits the other canonical ones have.
pub(super) fn standard(entry: &Entry) -> Option<&'static Kernel> {
    entry.kernels.iter().find(|kernel| kernel.canonical)
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
}
