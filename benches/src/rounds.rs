//! Paired rounds: subjects in turn within each round, the order rotated, so that a machine that slows down for a while slows
//! all of them.

use std::time::{Duration, Instant};

use crate::profile::Profile;
use crate::stats;
use crate::subject::Subject;

/// Narrow enough: relative width of a ratio's interval.
const NARROW: f64 = 0.05;
/// How long a subject runs on several threads before its sample is taken: the workers of the one before it spin for a while,
/// its own have to wake, and a CPU that has been idle takes most of a millisecond to run wide vectors at full speed.
const WARM_UP: Duration = Duration::from_millis(3);

/// Samples of each subject, in nanoseconds a call, round by round.
pub struct Rounds {
    /// One list a subject, in the order given.
    pub samples: Vec<Vec<f64>>,
}

/// A ratio of times with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// Median of the rounds' ratios.
    pub ratio: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Rounds {
    /// Time of subject `of` over time of subject 0, round by round.
    pub fn ratio(&self, of: usize) -> Ratio {
        let ratios: Vec<f64> = self.samples[of].iter().zip(&self.samples[0]).map(|(peer, ours)| peer / ours).collect();
        let (low, high) = stats::median_interval(&ratios);
        Ratio { ratio: stats::median(&ratios), low, high }
    }
}

/// Calls in a sample so that it takes about as long as the profile asks.
pub fn calls_a_sample(subject: &mut dyn Subject, profile: Profile) -> usize {
    let mut calls = 1;
    loop {
        let time = sample(subject, calls);
        let total = time * calls as f64;
        let wanted = profile.sample().as_nanos() as f64;
        if total >= wanted || calls >= 1 << 20 {
            return calls;
        }
        calls = ((wanted / time.max(1.0)).ceil() as usize).clamp(calls * 2, calls * 16);
    }
}

/// Nanoseconds a call, over `calls` calls.
fn sample(subject: &mut dyn Subject, calls: usize) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        subject.call();
    }
    start.elapsed().as_nanos() as f64 / calls as f64
}

/// Calls the subject outside the clock.
fn warm_up(subject: &mut dyn Subject) {
    let start = Instant::now();
    while start.elapsed() < WARM_UP {
        subject.call();
    }
}

/// Runs rounds until every ratio's interval is narrow or the budget ends. The first subject is ours.
pub fn run(subjects: &mut [&mut dyn Subject], profile: Profile, threads: usize) -> Rounds {
    let budget = profile.paired_budget() * subjects.len() as u32;
    let calls: Vec<usize> = subjects.iter_mut().map(|s| calls_a_sample(&mut **s, profile)).collect();
    let mut rounds = Rounds { samples: vec![Vec::new(); subjects.len()] };
    let start = Instant::now();
    for round in 0.. {
        for turn in 0..subjects.len() {
            let who = (round + turn) % subjects.len();
            if threads > 1 && subjects.len() > 1 {
                warm_up(subjects[who]);
            }
            rounds.samples[who].push(sample(subjects[who], calls[who]));
        }
        let enough = round + 1 >= profile.rounds();
        let narrow = || (1..subjects.len()).map(|i| rounds.ratio(i)).all(|r| (r.high - r.low) / r.ratio < NARROW);
        let over = start.elapsed() > budget;
        // At least five rounds even of calls that take seconds: fewer have no median to speak of.
        if over && round >= 4
            || enough && (subjects.len() == 1 && over || subjects.len() > 1 && round % 4 == 0 && narrow())
        {
            return rounds;
        }
    }
    rounds
}

/// Samples of one subject alone.
pub fn alone(subject: &mut dyn Subject, profile: Profile) -> Vec<f64> {
    let calls = calls_a_sample(subject, profile);
    let mut samples = Vec::new();
    let start = Instant::now();
    while samples.len() < 5 || start.elapsed() < profile.budget() && samples.len() < 500 {
        samples.push(sample(subject, calls));
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::ArrayD;

    struct Spin(u32);

    impl Subject for Spin {
        fn name(&self) -> &str {
            "spin"
        }
        fn call(&mut self) {
            (0..self.0).for_each(|i| {
                std::hint::black_box(i);
            });
        }
        fn outputs(&self) -> Result<Vec<ArrayD<f64>>, String> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn work_of_three_times_the_length_takes_about_three_times_as_long() {
        let (mut a, mut b) = (Spin(20_000), Spin(60_000));
        let rounds = run(&mut [&mut a, &mut b], Profile::Smoke, 1);
        let r = rounds.ratio(1);
        assert!(r.low <= r.ratio && r.ratio <= r.high);
        assert!((2.0..4.5).contains(&r.ratio), "{r:?}");
        assert_eq!(rounds.samples[0].len(), rounds.samples[1].len());
    }
}
