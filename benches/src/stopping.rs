//! How many rounds: decided before the first one that counts.
//!
//! Whoever stops when an interval has become narrow stops when the samples happen to lie close together, and more often
//! beside the median than the interval says. Here a pilot, whose samples are thrown away, says how far samples spread; the
//! number of rounds follows from that and from the time there is, and never from a sample that counts.

use std::time::Duration;

use crate::profile::Profile;
use crate::stats;

/// Rounds of the pilot.
pub const PILOT: usize = 5;
/// How many times its budget a case of long calls may take for the rounds that the profile asks for.
const PATIENCE: u32 = 4;
/// Rounds of calls that are longer still. Fewer have no median to speak of.
const FEWEST: usize = 5;
/// Rounds at most.
const MOST: usize = 1000;
/// Half the width of a median's 95 % interval, over the median distance to the median, times √n, if samples were normal.
const HALF_WIDTH: f64 = 1.96 * 1.2533 * 1.4826;

/// How many rounds the time allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// At least so many, whatever the pilot says.
    pub least: usize,
    /// At most so many.
    pub most: usize,
    /// Whether `least` is less than the profile asks for.
    pub few: bool,
}

/// The limits where a round takes so long and `budget` is for all its subjects.
pub fn limits(asked: usize, budget: Duration, round: Duration) -> Limits {
    let fit = |time: Duration| (time.as_secs_f64() / round.as_secs_f64().max(1e-9)) as usize;
    let least = asked.min(fit(budget * PATIENCE)).max(FEWEST.min(asked));
    Limits { least, most: fit(budget).clamp(least, MOST.max(least)), few: least < asked }
}

/// The number of rounds that makes the widest of the ratios' intervals about as narrow as the profile asks for; from the
/// pilot's ratios, one list for each peer.
pub fn rounds(pilot: &[Vec<f64>], limits: Limits, profile: Profile) -> usize {
    let wanted = |ratios: &Vec<f64>| {
        let logs: Vec<f64> = ratios.iter().map(|r| r.ln()).collect();
        (2.0 * HALF_WIDTH * stats::deviation(&logs) / profile.width()).powi(2).ceil()
    };
    let widest = pilot.iter().map(wanted).fold(0.0, f64::max);
    (widest as usize).clamp(limits.least, limits.most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    /// A machine as they are: its speed drifts, each subject's own speed drifts a little, and now and then something else
    /// runs for a while. A turn takes 1 by the median.
    struct Machine {
        rng: ChaCha8Rng,
        drift: f64,
        own: [f64; 2],
        /// How far a quiet turn spreads.
        spread: f64,
    }

    impl Machine {
        fn new(seed: u64, spread: f64) -> Machine {
            Machine { rng: ChaCha8Rng::seed_from_u64(seed), drift: 0.0, own: [0.0; 2], spread }
        }

        fn uniform(&mut self) -> f64 {
            (self.rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64 + f64::MIN_POSITIVE
        }

        fn normal(&mut self) -> f64 {
            (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
        }

        fn turn(&mut self, who: usize) -> f64 {
            self.drift = 0.95 * self.drift + 0.02 * self.normal();
            self.own[who] = 0.2 * self.own[who] + self.spread * self.normal();
            // One turn in ten is interrupted, for a time without a variance.
            let interrupted = if self.uniform() < 0.1 { 0.05 * self.uniform().powf(-1.0 / 1.5) } else { 0.0 };
            (self.drift + self.own[who]).exp() * (1.0 + interrupted)
        }

        /// The ratio of a round, of which the median is 1: both are alike, and take turns in being the first.
        fn round(&mut self, round: usize) -> f64 {
            let mut times = [0.0; 2];
            for turn in 0..2 {
                let who = (round + turn) % 2;
                times[who] = self.turn(who);
            }
            times[1] / times[0]
        }

        fn ratios(&mut self, rounds: std::ops::Range<usize>) -> Vec<f64> {
            rounds.map(|round| self.round(round)).collect()
        }
    }

    /// The rule of this module, with its interval.
    fn fixed(machine: &mut Machine, limits: Limits) -> (f64, f64) {
        let pilot = machine.ratios(0..PILOT);
        let rounds = rounds(&[pilot], limits, Profile::Standard);
        let interval = stats::median_interval(&machine.ratios(0..rounds));
        (interval.low, interval.high)
    }

    /// The percentile bootstrap's interval of the median of an odd number of samples, with all resamples that there are: it
    /// ends at the `k`-th sample from either side, `k` being the least for which 2.5 % of the resamples have their median
    /// among the first `k`.
    fn bootstrap(samples: &[f64]) -> (f64, f64) {
        let n = samples.len();
        let below = |k: usize| {
            let p = k as f64 / n as f64;
            let term = |(sum, term): (f64, f64), i: usize| {
                let next = term * (n - i) as f64 / (i + 1) as f64 * p / (1.0 - p);
                (if i + 1 > n / 2 { sum + next } else { sum }, next)
            };
            (0..n).fold((0.0, (1.0 - p).powi(n as i32)), term).0
        };
        let k = (1..n).find(|&k| below(k) >= 0.025).expect("half of them lie below the middle");
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        (sorted[k - 1], sorted[n - k])
    }

    /// Looking every fourth round whether the bootstrap's interval has become narrow, and stopping there.
    fn looking(machine: &mut Machine, limits: Limits) -> (f64, f64) {
        let mut ratios = Vec::new();
        loop {
            ratios.push(machine.round(ratios.len()));
            let over = ratios.len() >= limits.most;
            if over || ratios.len() >= limits.least && ratios.len() % 4 == 1 {
                let (low, high) = bootstrap(&ratios);
                if over || (high - low) / stats::median(&ratios) < 0.05 {
                    return (low, high);
                }
            }
        }
    }

    const REPLICATIONS: u64 = 5000;

    fn coverage(spread: f64, mut interval: impl FnMut(&mut Machine) -> (f64, f64)) -> f64 {
        let holds = |seed| {
            let (low, high) = interval(&mut Machine::new(seed, spread));
            low <= 1.0 && 1.0 <= high
        };
        (0..REPLICATIONS).map(holds).filter(|holds| *holds).count() as f64 / REPLICATIONS as f64
    }

    /// By simulation, with a standard error of 0.35 %: from a quiet machine to one on which much else runs. Neighbouring
    /// rounds resemble each other a little, which takes some of an interval's coverage.
    #[test]
    fn the_number_of_rounds_leaves_intervals_their_coverage() {
        let limits = Limits { least: 15, most: 151, few: false };
        for (spread, kept, lost) in [(0.005, 0.95, 0.95), (0.02, 0.935, 0.92), (0.04, 0.935, 0.89), (0.08, 0.925, 0.88)]
        {
            let fixed = coverage(spread, |machine| fixed(machine, limits));
            let looking = coverage(spread, |machine| looking(machine, limits));
            assert!(fixed >= kept, "fixed in advance, spread {spread}: {fixed:.3}");
            assert!(looking < lost, "stopped when narrow, spread {spread}: {looking:.3}");
        }
    }

    /// Few rounds carry the interval they can: they keep the coverage that it states, but for what neighbours take.
    #[test]
    fn few_rounds_keep_the_coverage_they_state() {
        for rounds in [5, 7, 11] {
            let limits = Limits { least: rounds, most: rounds, few: true };
            let stated = stats::median_interval(&vec![1.0; rounds]).coverage;
            let kept = coverage(0.03, |machine| fixed(machine, limits));
            assert!(kept > stated - 0.035, "{rounds} rounds: {kept:.3} of {stated:.3}");
        }
    }

    #[test]
    fn long_calls_get_fewer_rounds_and_say_so() {
        let of = |round: u64| limits(15, Duration::from_millis(500), Duration::from_millis(round));
        assert_eq!(of(1), Limits { least: 15, most: 500, few: false });
        assert_eq!(of(100), Limits { least: 15, most: 15, few: false });
        assert_eq!(of(200), Limits { least: 10, most: 10, few: true });
        assert_eq!(of(5000), Limits { least: 5, most: 5, few: true });
        assert_eq!(limits(7, Duration::from_millis(100), Duration::ZERO).most, MOST);
    }

    #[test]
    fn a_noisy_pilot_asks_for_more_rounds() {
        let limits = Limits { least: 15, most: 200, few: false };
        let quiet = vec![1.0, 1.001, 0.999, 1.0, 1.002];
        let noisy = vec![1.0, 1.1, 0.9, 1.05, 0.95];
        assert_eq!(rounds(std::slice::from_ref(&quiet), limits, Profile::Standard), 15);
        assert!(rounds(&[quiet, noisy], limits, Profile::Standard) > 50);
    }
}
