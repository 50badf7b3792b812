//! Paired rounds: subjects in turn within each round, the order rotated, so that a machine that slows down for a while slows
//! all of them.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::cache::Eviction;
use crate::profile::Profile;
use crate::stats;
use crate::stopping::{self, Limits, PILOT};
use crate::subject::Subject;

/// How long a subject runs on one thread before its sample is taken, and at least once: it fills the private caches anew,
/// which another subject has emptied, and the predictors of branches.
const WARM_UP: Duration = Duration::from_micros(300);
/// The same on several threads: the workers of the one before it spin for a while, its own have to wake, and a CPU that has
/// been idle takes most of a millisecond to run wide vectors at full speed.
const WARM_UP_THREADS: Duration = Duration::from_millis(3);
/// And so many calls, unless they are long: operands of some megabytes, which another subject's have pushed out of a last
/// cache that others share, are all back only after several passes.
const WARM_UP_CALLS: usize = 6;
/// What these calls may take.
const WARM_UP_MOST: Duration = Duration::from_millis(8);
/// Calls from which on none comes before a sample: filling the caches is a hundredth of them.
const LONG: Duration = Duration::from_millis(200);
/// Calls in a sample at most, where operands are evicted before each of them.
const EVICTED_CALLS: usize = 16;
/// Rounds at most of a subject alone.
const MOST_ALONE: usize = 500;

/// How samples are taken.
#[derive(Clone, Copy)]
pub struct Method<'a> {
    /// How much time there is.
    pub profile: Profile,
    /// The share of the profile's budgets that there is time for.
    pub share: f64,
    /// Threads that compute.
    pub threads: usize,
    /// What is taken out of the caches before each call; nothing where operands are warm.
    pub eviction: Option<&'a Eviction>,
}

/// Samples of each subject, in nanoseconds a call, round by round.
pub struct Rounds {
    /// One list a subject, in the order given.
    pub samples: Vec<Vec<f64>>,
    /// Whether they are fewer than the profile asks for, because calls are long.
    pub few: bool,
}

/// A ratio of times with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// Median of the rounds' ratios.
    pub ratio: f64,
    /// Lower end of its interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Rounds {
    /// Time of subject `of` over time of subject 0, round by round.
    pub fn ratios(&self, of: usize) -> Vec<f64> {
        self.samples[of].iter().zip(&self.samples[0]).map(|(peer, ours)| peer / ours).collect()
    }

    /// The median of [`Rounds::ratios`].
    pub fn ratio(&self, of: usize) -> Ratio {
        let ratios = self.ratios(of);
        let interval = stats::median_interval(&ratios);
        Ratio { ratio: stats::median(&ratios), low: interval.low, high: interval.high }
    }
}

impl Method<'_> {
    fn warm_up_time(&self) -> Duration {
        if self.threads > 1 { WARM_UP_THREADS } else { WARM_UP }
    }

    /// Calls the subject outside the clock, at least once; not at all where its calls are long.
    fn warm_up(&self, subject: &mut dyn Subject, long: bool) {
        if long {
            return;
        }
        let (start, mut calls) = (Instant::now(), 0);
        loop {
            subject.call();
            calls += 1;
            let time = start.elapsed();
            if time >= self.warm_up_time() && (calls >= WARM_UP_CALLS || time >= WARM_UP_MOST) {
                return;
            }
        }
    }

    /// Nanoseconds a call, over `calls` calls.
    fn sample(&self, subject: &mut dyn Subject, calls: usize) -> f64 {
        let Some(eviction) = self.eviction else { return loop_of(subject, calls) };
        let mut total = 0.0;
        for _ in 0..calls {
            subject.evict(eviction);
            let start = Instant::now();
            subject.call();
            // Of a call that takes no longer than the clock nothing is known.
            total += (start.elapsed().as_nanos() as f64 - clock()).max(1.0);
        }
        total / calls as f64
    }

    /// A turn: warm-up and sample.
    fn turn(&self, subject: &mut dyn Subject, Calls { number, long }: Calls) -> f64 {
        self.warm_up(subject, long);
        self.sample(subject, number)
    }

    /// Calls in a sample so that it takes about as long as the profile asks.
    fn calls(&self, subject: &mut dyn Subject) -> Calls {
        let start = Instant::now();
        let number = calls_a_sample(subject, self.profile.sample());
        let long = number == 1 && start.elapsed() >= LONG;
        Calls { number: if self.eviction.is_some() { number.min(EVICTED_CALLS) } else { number }, long }
    }
}

/// Calls of a sample.
#[derive(Clone, Copy)]
struct Calls {
    number: usize,
    /// Whether one takes so long that none comes before it.
    long: bool,
}

/// What reading the clock twice takes, in nanoseconds.
fn clock() -> f64 {
    static COST: OnceLock<f64> = OnceLock::new();
    *COST.get_or_init(|| {
        let times: Vec<f64> = (0..1001).map(|_| Instant::now().elapsed().as_nanos() as f64).collect();
        stats::median(&times)
    })
}

/// Nanoseconds a call of a loop.
fn loop_of(subject: &mut dyn Subject, calls: usize) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        subject.call();
    }
    start.elapsed().as_nanos() as f64 / calls as f64
}

/// Calls that together take about as long as `wanted`.
pub fn calls_a_sample(subject: &mut dyn Subject, wanted: Duration) -> usize {
    let wanted = wanted.as_nanos() as f64;
    let mut calls = 1;
    loop {
        let time = loop_of(subject, calls);
        if time * calls as f64 >= wanted || calls >= 1 << 20 {
            return calls;
        }
        calls = ((wanted / time.max(1.0)).ceil() as usize).clamp(calls * 2, calls * 16);
    }
}

/// Paired rounds, as many as a pilot and the budget say before the first one that counts. The first subject is ours.
pub fn run(subjects: &mut [&mut dyn Subject], method: Method<'_>) -> Rounds {
    let calls: Vec<Calls> = subjects.iter_mut().map(|s| method.calls(&mut **s)).collect();
    let start = Instant::now();
    take(subjects, &calls, method, 0..1);
    let budget = method.profile.paired_budget().mul_f64(method.share) * subjects.len() as u32;
    let limits = stopping::limits(method.profile.rounds(), budget, start.elapsed());
    let rounds = if limits.most > limits.least {
        let pilot = Rounds { samples: take(subjects, &calls, method, 1..PILOT + 1), few: false };
        let ratios: Vec<Vec<f64>> = (1..subjects.len()).map(|i| pilot.ratios(i)).collect();
        stopping::rounds(&ratios, limits, method.profile)
    } else {
        limits.least
    };
    Rounds { samples: take(subjects, &calls, method, 0..rounds), few: limits.few }
}

/// The samples of some rounds.
fn take(
    subjects: &mut [&mut dyn Subject],
    calls: &[Calls],
    method: Method<'_>,
    rounds: std::ops::Range<usize>,
) -> Vec<Vec<f64>> {
    let mut samples = vec![Vec::new(); subjects.len()];
    for round in rounds {
        for turn in 0..subjects.len() {
            let who = (round + turn) % subjects.len();
            samples[who].push(method.turn(&mut *subjects[who], calls[who]));
        }
    }
    samples
}

/// Samples of one subject alone: as many as the budget holds, warm from the first one on.
pub fn alone(subject: &mut dyn Subject, method: Method<'_>, budget: Duration) -> Rounds {
    let Calls { number: calls, long } = method.calls(subject);
    method.warm_up(subject, long);
    let start = Instant::now();
    method.sample(subject, calls);
    let Limits { most, few, .. } = stopping::limits(method.profile.rounds(), budget, start.elapsed());
    let samples = (0..most.min(MOST_ALONE)).map(|_| method.sample(subject, calls)).collect();
    Rounds { samples: vec![samples], few }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etalon_kernels::isa::evict::evict;
    use ndarray::ArrayD;

    struct Spin {
        length: u32,
        calls: usize,
    }

    impl Subject for Spin {
        fn name(&self) -> &str {
            "spin"
        }
        fn call(&mut self) {
            self.calls += 1;
            (0..self.length).for_each(|i| {
                std::hint::black_box(i);
            });
        }
        fn outputs(&self) -> Result<Vec<ArrayD<f64>>, String> {
            Ok(Vec::new())
        }
        fn evict(&self, _: &Eviction) {}
    }

    fn spin(length: u32) -> Spin {
        Spin { length, calls: 0 }
    }

    /// Reads a buffer that a private cache holds.
    struct Read {
        data: Vec<u64>,
        sum: u64,
    }

    impl Subject for Read {
        fn name(&self) -> &str {
            "read"
        }
        fn call(&mut self) {
            self.sum = std::hint::black_box(&self.data).iter().fold(0, |sum, x| sum.wrapping_add(*x));
        }
        fn outputs(&self) -> Result<Vec<ArrayD<f64>>, String> {
            Ok(Vec::new())
        }
        fn evict(&self, _: &Eviction) {
            evict(&self.data);
        }
    }

    const SMOKE: Method<'static> = Method { profile: Profile::Smoke, share: 1.0, threads: 1, eviction: None };

    #[test]
    fn work_of_three_times_the_length_takes_about_three_times_as_long() {
        let (mut a, mut b) = (spin(20_000), spin(60_000));
        let rounds = run(&mut [&mut a, &mut b], SMOKE);
        let r = rounds.ratio(1);
        assert!(r.low <= r.ratio && r.ratio <= r.high);
        assert!((2.0..4.5).contains(&r.ratio), "{r:?}");
        assert_eq!(rounds.samples[0].len(), rounds.samples[1].len());
        assert!(rounds.samples[0].len() >= Profile::Smoke.rounds() && !rounds.few);
    }

    #[test]
    fn what_is_evicted_is_read_from_memory() {
        let mut read = Read { data: vec![1; 32 << 10], sum: 0 };
        let warm = alone(&mut read, SMOKE, Duration::from_millis(20));
        let eviction = Eviction { inputs: vec![0], outputs: false };
        let cold = Method { eviction: Some(&eviction), ..SMOKE };
        let cold = alone(&mut read, cold, Duration::from_millis(20));
        let (warm, cold) = (stats::median(&warm.samples[0]), stats::median(&cold.samples[0]));
        assert!(cold > 1.5 * warm, "{cold} ns from memory, {warm} ns from a cache");
    }

    /// A long call once, one of less than a millisecond or two several times, a short one for as long as caches take to
    /// fill.
    #[test]
    fn every_turn_begins_with_calls_outside_the_clock() {
        let (mut short, mut middle, mut long) = (spin(100), spin(200_000), spin(100_000_000));
        let one = Calls { number: 1, long: false };
        SMOKE.turn(&mut short, one);
        SMOKE.turn(&mut middle, one);
        SMOKE.turn(&mut long, one);
        assert!(short.calls > 10, "{} calls", short.calls);
        assert!(middle.calls > 3, "{} calls", middle.calls);
        assert_eq!(long.calls, 2);
    }

    /// Nor do very long ones.
    #[test]
    fn a_call_of_a_fifth_of_a_second_fills_the_caches_by_itself() {
        struct Wait(usize);
        impl Subject for Wait {
            fn name(&self) -> &str {
                "wait"
            }
            fn call(&mut self) {
                self.0 += 1;
                std::thread::sleep(LONG);
            }
            fn outputs(&self) -> Result<Vec<ArrayD<f64>>, String> {
                Ok(Vec::new())
            }
            fn evict(&self, _: &Eviction) {}
        }
        let mut wait = Wait(0);
        let calls = SMOKE.calls(&mut wait);
        assert!(calls.long && wait.0 == 1);
        SMOKE.turn(&mut wait, calls);
        assert_eq!(wait.0, 2);
    }
}
