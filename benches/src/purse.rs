//! The time of a run, shared out among its cases: so a profile takes no longer when there are more of them.
//!
//! A case's budget depends on the cases before it and on the number of those to come, never on its own samples.

use std::time::{Duration, Instant};

use crate::profile::Profile;

/// What a case with peers costs, where one without costs 1: 2.5 times as much for each of two subjects.
const PAIRED: f64 = 5.0;
/// What a case takes over its budget, before any were timed: inputs, reference, comparison, warm-up, rounds of long calls.
const AROUND: f64 = 2.0;
/// Budgeted seconds that this guess counts for, beside what cases took.
const GUESSED: f64 = 10.0;
/// A share is not smaller than this: intervals would say nothing.
const LEAST: f64 = 0.1;

/// What is left of a run's time.
pub struct Purse {
    profile: Profile,
    /// When the run should be over, if the profile says.
    end: Option<Instant>,
    /// Cases to come, each with its cost.
    left: f64,
    /// When the first case began.
    begun: Instant,
    /// Seconds that the cases so far were given.
    given: f64,
}

impl Purse {
    /// For so many cases, without and with peers.
    pub fn new(profile: Profile, alone: usize, paired: usize) -> Purse {
        let end = profile.whole().map(|whole| Instant::now() + whole);
        Purse { profile, end, left: alone as f64 + PAIRED * paired as f64, begun: Instant::now(), given: 0.0 }
    }

    /// The share of the profile's budgets that the next case gets, at most 1.
    pub fn next(&mut self, paired: bool) -> f64 {
        let around = around(self.begun.elapsed().as_secs_f64(), self.given);
        let time = self.end.map(|end| end.saturating_duration_since(Instant::now()));
        let share = time.map_or(1.0, |time| share(time, self.left, around, self.profile.budget()));
        let cost = if paired { PAIRED } else { 1.0 };
        self.left -= cost;
        self.given += cost * share * self.profile.budget().as_secs_f64();
        share
    }
}

/// What cases took so far over what they were given.
fn around(took: f64, given: f64) -> f64 {
    (took + AROUND * GUESSED) / (given + GUESSED)
}

fn share(time: Duration, cases: f64, around: f64, budget: Duration) -> f64 {
    (time.as_secs_f64() / (around * budget.as_secs_f64() * cases.max(1.0))).clamp(LEAST, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_millis(100);

    #[test]
    fn budgets_shrink_when_there_are_more_cases() {
        assert_eq!(share(Duration::from_secs(1000), 100.0, AROUND, BUDGET), 1.0);
        assert_eq!(share(Duration::from_secs(900), 9_000.0, AROUND, BUDGET), 0.5);
        assert_eq!(share(Duration::ZERO, 9_000.0, AROUND, BUDGET), LEAST);
    }

    #[test]
    fn budgets_shrink_when_cases_take_longer_than_was_guessed() {
        assert_eq!(around(0.0, 0.0), AROUND);
        let slow = around(400.0, 100.0);
        assert!((3.5..4.0).contains(&slow), "{slow}");
        assert!(share(Duration::from_secs(900), 9_000.0, slow, BUDGET) < 0.3);
    }

    #[test]
    fn the_last_case_has_a_share() {
        let mut purse = Purse::new(Profile::Standard, 2, 1);
        assert_eq!([true, false, false].map(|paired| purse.next(paired)), [1.0; 3]);
        assert_eq!(Purse::new(Profile::Paper, 1_000_000, 0).next(false), 1.0);
    }
}
