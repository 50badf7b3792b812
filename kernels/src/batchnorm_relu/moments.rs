//! Mean and variance of many values from those of chunks.
//!
//! A chunk is looked at twice while it is in the first cache: for its mean m, and for `Σ(x − m)` and `Σ(x − m)²`. The first
//! of these corrects what rounding did to m. Chunks are merged in order, in f64, by the formula of Chan, Golub and LeVeque
//! ("Algorithms for computing the sample variance", The American Statistician 37, 1983). So values are read from
//! memory once, with the accuracy of two passes, and the order depends on the shape alone.

use etalon_reference::ops::batchnorm_relu::BatchnormRelu;

/// Count, sum, and sum of squared deviations from the mean.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moments {
    count: f64,
    total: f64,
    squares: f64,
}

/// What a look at a chunk of values around `m` gives.
#[derive(Clone, Copy, Debug)]
pub struct Deviations {
    /// Values.
    pub count: usize,
    /// What was subtracted from each.
    pub m: f32,
    /// `Σ(x − m)`.
    pub sum: f32,
    /// `Σ(x − m)²`.
    pub squares: f32,
}

impl Deviations {
    /// Whether nothing overflowed and no value was NaN or infinite. Otherwise [`Moments::plain`] is right.
    #[inline(always)]
    pub fn are_finite(&self) -> bool {
        self.squares.is_finite() & self.sum.is_finite()
    }

    /// The chunk's sum, and its sum of squared deviations from the mean.
    #[inline(always)]
    pub fn sums(&self) -> (f64, f64) {
        let (count, sum, squares) = (self.count as f64, f64::from(self.sum), f64::from(self.squares));
        (count * f64::from(self.m) + sum, (squares - sum * sum / count).max(0.0))
    }
}

impl Moments {
    /// Of `values`, in f64 throughout: right for values whose squares overflow f32, and NaN or infinite as the formula
    /// says where values are.
    pub fn plain(values: impl Iterator<Item = f32> + Clone) -> Moments {
        let (count, total) = values.clone().fold((0.0, 0.0), |(n, sum), x| (n + 1.0, sum + f64::from(x)));
        let mean = total / count;
        let squares = values.fold(0.0, |sum, x| sum + (f64::from(x) - mean) * (f64::from(x) - mean));
        Moments { count, total, squares }
    }

    /// Of these values and those of `other`.
    #[inline(always)]
    pub fn merge(&mut self, other: Moments) {
        if self.count == 0.0 {
            *self = other;
            return;
        }
        let weights = Weights::new(self.count, other.count);
        (self.total, self.squares) = weights.merged((self.total, self.squares), (other.total, other.squares));
        self.count += other.count;
    }

    /// From a count, a sum, and a sum of squared deviations.
    pub fn of(count: f64, (total, squares): (f64, f64)) -> Moments {
        Moments { count, total, squares }
    }

    /// Sum, and sum of squared deviations.
    pub fn sums(&self) -> (f64, f64) {
        (self.total, self.squares)
    }

    /// Mean.
    pub fn mean(&self) -> f64 {
        self.total / self.count
    }

    /// Variance, divided by the count.
    pub fn var(&self) -> f64 {
        self.squares / self.count
    }

    /// Moves the running statistics of a channel; the variance is the unbiased one.
    pub fn update(&self, problem: &BatchnormRelu, running_mean: &mut f32, running_var: &mut f32) {
        let m = problem.momentum;
        let unbiased = self.squares / (self.count - 1.0);
        *running_mean = ((1.0 - m) * f64::from(*running_mean) + m * self.mean()) as f32;
        *running_var = ((1.0 - m) * f64::from(*running_var) + m * unbiased) as f32;
    }
}

/// How two parts of so many values merge; the same for all channels that are summed side by side.
#[derive(Clone, Copy, Debug)]
pub struct Weights {
    per_a: f64,
    per_b: f64,
    between: f64,
}

impl Weights {
    /// For `a` and `b` values, neither 0.
    pub fn new(a: f64, b: f64) -> Weights {
        Weights { per_a: 1.0 / a, per_b: 1.0 / b, between: a * b / (a + b) }
    }

    /// Sum and squared deviations of both parts, from those of each.
    #[inline(always)]
    pub fn merged(&self, a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
        let delta = b.0 * self.per_b - a.0 * self.per_a;
        (a.0 + b.0, a.1 + b.1 + delta * delta * self.between)
    }
}

/// A channel's normalisation, `y = (x − center)·scale + shift`.
///
/// The mean's part that f32 drops goes to the shift, so that a mean that is large beside the deviation costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct Normalisation {
    /// The mean, rounded.
    pub center: f32,
    /// γ/√(σ² + ε).
    pub scale: f32,
    /// β, less the mean's rounding error times the scale.
    pub shift: f32,
    /// 1/√(σ² + ε).
    pub rstd: f32,
}

impl Normalisation {
    /// With mean and variance.
    pub fn new(mean: f64, var: f64, eps: f64, gamma: f32, beta: f32) -> Normalisation {
        let rstd = 1.0 / (var + eps).sqrt();
        let scale = f64::from(gamma) * rstd;
        let center = mean as f32;
        let lost = mean - f64::from(center);
        // Infinity less infinity is no rest.
        let lost = if lost.is_finite() { lost } else { 0.0 };
        let shift = if lost == 0.0 { beta } else { (f64::from(beta) - lost * scale) as f32 };
        Normalisation { center, scale: scale as f32, shift, rstd: rstd as f32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_merge_to_the_whole() {
        let values: Vec<f32> = (0..1000).map(|i| 4096.0 + ((i * 7919) % 613) as f32 / 613.0).collect();
        let whole = Moments::plain(values.iter().copied());
        let mut merged = Moments::default();
        for chunk in values.chunks(77) {
            let m = chunk.iter().sum::<f32>() / chunk.len() as f32;
            let (sum, squares) = chunk.iter().fold((0.0, 0.0), |(s, q), x| (s + (x - m), q + (x - m) * (x - m)));
            merged.merge(Moments::of(chunk.len() as f64, Deviations { count: chunk.len(), m, sum, squares }.sums()));
        }
        assert!((merged.mean() - whole.mean()).abs() < 1e-7);
        assert!((merged.var() / whole.var() - 1.0).abs() < 1e-5);
    }

    #[test]
    fn an_infinite_value_makes_the_mean_infinite_and_the_variance_nan() {
        let mut moments = Moments::plain([1.0, f32::INFINITY].into_iter());
        moments.merge(Moments::plain([2.0f32, 3.0].into_iter()));
        assert!(moments.mean() == f64::INFINITY && moments.var().is_nan());
    }

    #[test]
    fn huge_values_do_not_overflow() {
        let moments = Moments::plain([1e30f32, -1e30, 3e38, 1.0].into_iter());
        assert!(moments.var().is_finite());
        assert!(!Deviations { count: 2, m: 0.0, sum: 0.0, squares: f32::INFINITY }.are_finite());
    }
}
