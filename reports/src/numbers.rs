//! Numbers for people: no digits beyond the spread, units that fit, means that are allowed.

/// `value` rounded to the first digit that `half`, half the width of its interval, leaves uncertain; at most four
/// significant digits, at least one. Without a usable `half`: three digits.
pub fn show(value: f64, half: f64) -> String {
    if !value.is_finite() || value == f64::MAX {
        return "∞".into();
    }
    if value == 0.0 {
        return "0".into();
    }
    let lead = value.abs().log10().floor() as i32;
    let last = if half.is_finite() && half > 0.0 { half.log10().floor() as i32 } else { lead - 2 };
    let last = last.clamp(lead - 3, lead);
    let unit = 10f64.powi(last);
    let rounded = (value / unit).round() * unit;
    format!("{rounded:.*}", (-last).max(0) as usize)
}

/// A time in the unit that fits `ns`, as number and unit.
pub fn time(ns: f64, half: f64) -> (String, &'static str) {
    let (scale, unit) = match ns {
        ns if ns < 1e3 => (1.0, "ns"),
        ns if ns < 1e6 => (1e3, "µs"),
        ns if ns < 1e9 => (1e6, "ms"),
        _ => (1e9, "s"),
    };
    (show(ns / scale, half / scale), unit)
}

/// An error: two digits and a power of ten.
pub fn error(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    if !value.is_finite() || value == f64::MAX {
        return "∞".into();
    }
    let text = format!("{value:.1e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{digits}e{}", power.replace('-', "−"))
}

/// A share of a bound, or any number that two digits tell.
pub fn share(value: f64) -> String {
    match value {
        0.0 => "0".into(),
        v if !v.is_finite() || v == f64::MAX => "∞".into(),
        v if v < 0.001 => error(v),
        v if v < 0.1 => show(v, v / 10.0 * 0.99),
        v if v < 10.0 => format!("{v:.2}"),
        v => show(v, v / 10.0 * 0.99),
    }
}

/// A percentage without its sign, rounded as [`show`] does but no finer than a whole percent, or one digit below that.
pub fn percent(fraction: f64, half: f64) -> String {
    show(fraction * 100.0, (half * 100.0).max(1.0))
}

/// `1234` as `1 234`, with a narrow space that does not break.
pub fn count(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(c);
    }
    out
}

/// A ratio with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The ratio.
    pub value: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Ratio {
    /// Half the width of the interval.
    pub fn half(&self) -> f64 {
        (self.high - self.low) / 2.0
    }

    /// The ratio as text, without the sign of multiplication.
    pub fn text(&self) -> String {
        show(self.value, self.half())
    }

    /// The interval as text.
    pub fn interval(&self) -> String {
        format!("{}–{}", show(self.low, self.half()), show(self.high, self.half()))
    }

    /// `faster`, `slower`, or `even` when the interval holds 1.
    pub fn word(&self) -> &'static str {
        if self.low > 1.0 {
            "faster"
        } else if self.high < 1.0 {
            "slower"
        } else {
            "even"
        }
    }
}

/// Geometric mean of ratios with an interval that takes their errors for independent.
pub fn geometric_mean(ratios: &[Ratio]) -> Option<Ratio> {
    let is_usable = |r: &&Ratio| [r.low, r.value, r.high].iter().all(|x| x.is_normal() && *x > 0.0);
    let usable: Vec<_> = ratios.iter().filter(is_usable).collect();
    if usable.is_empty() {
        return None;
    }
    let n = usable.len() as f64;
    let mean = usable.iter().map(|r| r.value.ln()).sum::<f64>() / n;
    let width = usable.iter().map(|r| ((r.high / r.low).ln() / 2.0).powi(2)).sum::<f64>().sqrt() / n;
    Some(Ratio { value: mean.exp(), low: (mean - width).exp(), high: (mean + width).exp() })
}

/// Median; of two middle values the mean.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted: Vec<_> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[n / 2]),
        n => Some((sorted[n / 2 - 1] + sorted[n / 2]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_digits_beyond_the_spread() {
        assert_eq!(show(123.456, 0.3), "123.5");
        assert_eq!(show(123.456, 4.0), "123");
        assert_eq!(show(123.456, 40.0), "120");
        assert_eq!(show(123.456, 400.0), "100");
        assert_eq!(show(123.456, 1e-9), "123.5");
        assert_eq!(show(0.012345, 0.0004), "0.0123");
        assert_eq!(show(2.304, 0.0), "2.30");
        assert_eq!(show(0.0, 1.0), "0");
    }

    #[test]
    fn units_and_powers() {
        assert_eq!(time(12_345.0, 100.0), ("12.3".into(), "µs"));
        assert_eq!(time(2.5e9, 1e7), ("2.50".into(), "s"));
        assert_eq!(error(1.25e-7), "1.2e−7");
        assert_eq!(share(0.0312), "0.031");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
    }

    #[test]
    fn the_mean_of_ratios_is_geometric() {
        let exact = |value| Ratio { value, low: value, high: value };
        let mean = geometric_mean(&[exact(4.0), exact(0.25)]).unwrap();
        assert!((mean.value - 1.0).abs() < 1e-12);
        assert_eq!(geometric_mean(&[]), None);
        for none in [0.0, f64::NAN, f64::INFINITY] {
            assert_eq!(geometric_mean(&[exact(none)]), None);
            assert_eq!(geometric_mean(&[exact(none), exact(2.0)]), geometric_mean(&[exact(2.0)]));
        }
        assert_eq!(median(&[3.0, 1.0, 2.0, f64::NAN]), Some(2.0));
    }

    #[test]
    fn a_ratio_is_called_by_its_interval() {
        assert_eq!(Ratio { value: 1.1, low: 1.05, high: 1.2 }.word(), "faster");
        assert_eq!(Ratio { value: 1.1, low: 0.95, high: 1.2 }.word(), "even");
        assert_eq!(Ratio { value: 0.9, low: 0.85, high: 0.95 }.word(), "slower");
    }
}
