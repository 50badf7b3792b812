//! Medians and what surrounds them. Nothing is assumed normal.

use etalon_reference::record::Time;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Resamples of the bootstrap.
const RESAMPLES: usize = 1000;

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

/// 95 % interval of the median by percentile bootstrap, with a fixed seed.
pub fn median_interval(samples: &[f64]) -> (f64, f64) {
    let mut rng = ChaCha8Rng::seed_from_u64(samples.len() as u64);
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let resample: Vec<f64> =
                samples.iter().map(|_| samples[(rng.next_u64() % samples.len() as u64) as usize]).collect();
            median(&resample)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    (quantile(&medians, 0.025), quantile(&medians, 0.975))
}

/// The geometric mean; of ratios only.
pub fn geometric_mean(ratios: &[f64]) -> f64 {
    (ratios.iter().map(|r| r.ln()).sum::<f64>() / ratios.len() as f64).exp()
}

/// Everything a record says of its samples, in nanoseconds.
pub fn time(samples: &[f64]) -> Time {
    let ordered = sorted(samples);
    let median = quantile(&ordered, 0.5);
    let (low_ns, high_ns) = median_interval(samples);
    let deviations: Vec<f64> = ordered.iter().map(|x| (x - median).abs()).collect();
    Time {
        n: samples.len(),
        median_ns: median,
        low_ns,
        high_ns,
        mean_ns: ordered.iter().sum::<f64>() / ordered.len() as f64,
        mad_ns: self::median(&deviations),
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
        let t = time(&samples);
        assert_eq!((t.median_ns, t.min_ns, t.mad_ns, t.mean_ns), (3.0, 1.0, 1.0, 3.0));
        assert!(t.low_ns <= 3.0 && t.high_ns >= 3.0 && t.p05_ns >= 1.0 && t.p95_ns <= 5.0);
        assert_eq!(quantile(&[0.0, 10.0], 0.25), 2.5);
        assert!((geometric_mean(&[2.0, 8.0]) - 4.0).abs() < 1e-12);
    }

    #[test]
    fn an_interval_covers_a_median_that_moves_little() {
        let samples: Vec<f64> = (0..101).map(f64::from).collect();
        let (low, high) = median_interval(&samples);
        assert!((30.0..50.0).contains(&low) && (50.0..70.0).contains(&high), "{low} {high}");
    }
}
