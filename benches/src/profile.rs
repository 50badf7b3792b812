//! How much time a run may take.

use std::time::Duration;

/// A profile of RECORDS: what is timed, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// A few workloads, a few rounds: the whole suite in two to three minutes.
    Smoke,
    /// Every workload: half an hour or so on two cores.
    Standard,
    /// Every workload, long enough to publish: hours.
    Paper,
}

impl Profile {
    /// Name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::Smoke => "smoke",
            Profile::Standard => "standard",
            Profile::Paper => "paper",
        }
    }

    /// Time for the cases of a run, in which their budgets are shared out; none, if each has its whole budget.
    pub const fn whole(self) -> Option<Duration> {
        match self {
            Profile::Smoke => Some(Duration::from_secs(90)),
            Profile::Standard => Some(Duration::from_secs(22 * 60)),
            Profile::Paper => None,
        }
    }

    /// Time for one subject's samples.
    pub const fn budget(self) -> Duration {
        match self {
            Profile::Smoke => Duration::from_millis(60),
            Profile::Standard => Duration::from_millis(100),
            Profile::Paper => Duration::from_secs(3),
        }
    }

    /// Time for one case's paired rounds, for each subject in it.
    pub const fn paired_budget(self) -> Duration {
        match self {
            Profile::Smoke => Duration::from_millis(100),
            Profile::Standard => Duration::from_millis(250),
            Profile::Paper => Duration::from_secs(10),
        }
    }

    /// Rounds at least, unless calls are so long that they would take several times the budget.
    pub const fn rounds(self) -> usize {
        match self {
            Profile::Smoke => 7,
            Profile::Standard | Profile::Paper => 15,
        }
    }

    /// Relative width that a ratio's interval should have; the number of rounds is chosen for it.
    pub const fn width(self) -> f64 {
        match self {
            Profile::Smoke | Profile::Standard => 0.05,
            Profile::Paper => 0.02,
        }
    }

    /// Length of a sample: shorter calls are repeated within it.
    pub const fn sample(self) -> Duration {
        match self {
            Profile::Smoke => Duration::from_micros(100),
            Profile::Standard => Duration::from_micros(300),
            Profile::Paper => Duration::from_millis(1),
        }
    }

    /// Time for each measured limit.
    pub const fn peak_budget(self) -> Duration {
        match self {
            Profile::Smoke => Duration::from_millis(60),
            Profile::Standard => Duration::from_millis(200),
            Profile::Paper => Duration::from_secs(1),
        }
    }

    /// Largest problem, in operations; slower references and kernels would not fit the profile.
    pub const fn flops(self) -> f64 {
        match self {
            Profile::Smoke => 3e8,
            Profile::Standard => 1e10,
            Profile::Paper => f64::INFINITY,
        }
    }
}
