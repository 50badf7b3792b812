//! Where operands lie before a call is timed.

use std::fmt;

/// The state of the caches before each timed call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cache {
    /// As the last call of the same subject left them: in a loop that does nothing else.
    #[default]
    Warm,
    /// Weights are in memory, everything else as in [`Cache::Warm`]: a layer between others, whose weights are read once.
    ColdWeights,
    /// All inputs and outputs are in memory.
    Cold,
}

impl Cache {
    /// Every state.
    pub const ALL: [Cache; 3] = [Cache::Warm, Cache::ColdWeights, Cache::Cold];

    /// Name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Cache::Warm => "warm",
            Cache::ColdWeights => "cold-weights",
            Cache::Cold => "cold",
        }
    }
}

impl fmt::Display for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
