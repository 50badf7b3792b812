//! Medians and what surrounds them. Nothing is assumed normal.

use etalon_reference::record::Time;

/// What an interval is to hold the median with, where there are samples enough.
pub const COVERAGE: f64 = 0.95;

/// An interval of a median that holds for samples of any distribution: it ends at two of the samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// How often such an interval holds the median: at least [`COVERAGE`] from six samples on, less of fewer.
    pub coverage: f64,
}

/// The value below which a share `q` of the sorted samples lies, interpolated.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let position = q * (sorted.len() - 1) as f64;
    let (low, high) = (position.floor() as usize, position.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * (position - low as f64)
}

/// The median.
///
/// # Panics
/// If there is no sample.
pub fn median(samples: &[f64]) -> f64 {
    quantile(&sorted(samples), 0.5)
}

fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The narrowest interval between the `k`-th smallest and the `k`-th largest sample that holds the median with
/// [`COVERAGE`]; of fewer than six samples, which have none, the smallest and the largest with their own coverage.
///
/// Each sample lies below the median with probability ½, whatever its distribution, so that the interval misses if fewer
/// than `k` of `n` throws of a coin are heads, or fewer than `k` are tails.
///
/// # Panics
/// If there is no sample.
pub fn median_interval(samples: &[f64]) -> Interval {
    let sorted = sorted(samples);
    let (k, coverage) = ends(sorted.len());
    Interval { low: sorted[k - 1], high: sorted[sorted.len() - k], coverage }
}

/// How far from either end of `n` sorted samples the interval ends, counted from 1, and its coverage.
fn ends(n: usize) -> (usize, f64) {
    // The probability of `heads` heads in n throws, as a logarithm, and that of at most as many.
    let mut log = -(n as f64) * std::f64::consts::LN_2;
    let mut at_most = log.exp();
    let mut best = (1, (1.0 - 2.0 * at_most).max(0.0));
    for k in 2..=n / 2 {
        log += ((n - k + 2) as f64 / (k - 1) as f64).ln();
        at_most += log.exp();
        let coverage = 1.0 - 2.0 * at_most;
        if coverage < COVERAGE {
            break;
        }
        best = (k, coverage);
    }
    best
}

/// The geometric mean; of ratios only.
pub fn geometric_mean(ratios: &[f64]) -> f64 {
    (ratios.iter().map(|r| r.ln()).sum::<f64>() / ratios.len() as f64).exp()
}

/// Median distance to the median, as a multiple of which the standard deviation of a normal distribution is 1.4826.
pub fn deviation(samples: &[f64]) -> f64 {
    let median = median(samples);
    self::median(&samples.iter().map(|x| (x - median).abs()).collect::<Vec<f64>>())
}

/// Everything a record says of its samples, in nanoseconds.
pub fn time(samples: &[f64], few: bool) -> Time {
    let ordered = sorted(samples);
    let interval = median_interval(samples);
    Time {
        n: samples.len(),
        median_ns: quantile(&ordered, 0.5),
        low_ns: interval.low,
        high_ns: interval.high,
        coverage: Some(interval.coverage),
        few,
        mean_ns: ordered.iter().sum::<f64>() / ordered.len() as f64,
        mad_ns: deviation(samples),
        p05_ns: quantile(&ordered, 0.05),
        p95_ns: quantile(&ordered, 0.95),
        min_ns: ordered[0],
        samples_ns: samples.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        let samples = [3.0, 1.0, 2.0, 5.0, 4.0];
        let t = time(&samples, true);
        assert_eq!((t.median_ns, t.min_ns, t.mad_ns, t.mean_ns), (3.0, 1.0, 1.0, 3.0));
        assert_eq!((t.low_ns, t.high_ns, t.coverage, t.few), (1.0, 5.0, Some(0.9375), true));
        assert!(t.p05_ns >= 1.0 && t.p95_ns <= 5.0);
        assert_eq!(quantile(&[0.0, 10.0], 0.25), 2.5);
        assert!((geometric_mean(&[2.0, 8.0]) - 4.0).abs() < 1e-12);
    }

    /// The table of the sign test.
    #[test]
    fn an_interval_ends_where_the_sign_test_says() {
        for (n, k, coverage) in [(1, 1, 0.0), (2, 1, 0.5), (5, 1, 0.9375), (6, 1, 0.96875), (7, 1, 0.984375)] {
            assert_eq!(ends(n), (k, coverage), "{n} samples");
        }
        for (n, k, coverage) in [(15, 4, 0.9648), (25, 8, 0.9567), (50, 18, 0.9672), (100, 40, 0.9648)] {
            let (at, covered) = ends(n);
            assert_eq!(at, k, "{n} samples");
            assert!((covered - coverage).abs() < 1e-4, "{n} samples: {covered}");
        }
        // Numbers of samples at which ½ⁿ is 0 in f64.
        let (k, coverage) = ends(10_000);
        assert!((4890..4910).contains(&k) && (0.95..0.952).contains(&coverage), "{k} {coverage}");
    }

    #[test]
    fn an_interval_covers_a_median_that_moves_little() {
        let samples: Vec<f64> = (0..101).map(f64::from).collect();
        let interval = median_interval(&samples);
        assert!((35.0..45.0).contains(&interval.low) && (55.0..65.0).contains(&interval.high), "{interval:?}");
        assert!(interval.coverage >= COVERAGE);
    }
}
