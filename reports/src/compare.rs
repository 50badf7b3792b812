//! Two runs held against each other, case by case.

use std::collections::BTreeMap;

use etalon_reference::record::{Record, Time};

use crate::load::Run;
use crate::numbers::{Ratio, geometric_mean};

/// What can be said of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The whole interval of the ratio lies within the threshold.
    Same,
    /// The whole interval lies beyond it: B takes less time.
    Faster,
    /// The whole interval lies beyond it: B takes more time.
    Slower,
    /// The interval does not decide.
    Ambiguous,
}

/// A case of both runs.
#[derive(Clone, Debug)]
pub struct Case {
    /// Case id, and the cache state where it is not the usual one.
    pub id: String,
    /// Time of A over time of B: above 1, B is faster.
    pub ratio: Ratio,
    /// The word.
    pub word: Word,
}

/// Everything that both runs timed, in the order of ids.
pub fn compare(a: &Run, b: &Run, threshold: f64) -> Vec<Case> {
    let (a, b) = (times(a), times(b));
    a.iter()
        .filter_map(|(id, a)| Some((id, *a, *b.get(id)?)))
        .map(|(id, a, b)| {
            // The same samples decide: the interval tells how far others could lie apart.
            if a == b {
                let ratio = Ratio { value: 1.0, low: 1.0, high: 1.0 };
                return Case { id: id.to_string(), ratio, word: Word::Same };
            }
            let ratio =
                Ratio { value: a.median_ns / b.median_ns, low: a.low_ns / b.high_ns, high: a.high_ns / b.low_ns };
            Case { id: id.to_string(), ratio, word: word(ratio, threshold) }
        })
        .collect()
}

/// Cases of both runs of which one has a time that no clock gives, with what is wrong.
pub fn unusable(a: &Run, b: &Run) -> BTreeMap<String, String> {
    let has = |run: &Run, id: &str| run.records.iter().any(|r| r.id == id);
    let named = |run: &Run, name: &'static str| {
        run.unusable.clone().into_iter().map(move |(id, complaint)| (id, format!("{name}: {complaint}")))
    };
    named(b, "B").chain(named(a, "A")).filter(|(id, _)| has(a, id) && has(b, id)).collect()
}

fn times(run: &Run) -> BTreeMap<String, &Time> {
    let timed = |r: &'_ Record| r.time.is_some();
    run.records.iter().filter(|r| timed(r)).filter_map(|r| Some((r.name(), r.time.as_ref()?))).collect()
}

fn word(ratio: Ratio, threshold: f64) -> Word {
    if ratio.low > threshold {
        Word::Faster
    } else if ratio.high < 1.0 / threshold {
        Word::Slower
    } else if ratio.low >= 1.0 / threshold && ratio.high <= threshold {
        Word::Same
    } else {
        Word::Ambiguous
    }
}

/// Geometric mean over the intersection.
pub fn mean(cases: &[Case]) -> Option<Ratio> {
    geometric_mean(&cases.iter().map(|c| c.ratio).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_decide() {
        let of = |low, high| word(Ratio { value: (low + high) / 2.0, low, high }, 1.05);
        assert_eq!(of(1.10, 1.20), Word::Faster);
        assert_eq!(of(0.80, 0.90), Word::Slower);
        assert_eq!(of(0.98, 1.02), Word::Same);
        assert_eq!(of(0.90, 1.10), Word::Ambiguous);
    }
}
