//! libtorch, by the fastest of the ways it has.

use std::time::Instant;

use etalon_kernels::check::Prepared;
use etalon_reference::torch::{self, Way};
use ndarray::ArrayD;

use crate::subject::Subject;

/// Calls of each way before the fastest is chosen.
const TRIALS: usize = 5;

struct Libtorch {
    way: Way,
}

/// The fastest way for this problem, found by trying them.
pub fn prepare(prepared: &Prepared, threads: usize) -> Result<Box<dyn Subject + '_>, String> {
    let ways = torch::ways(prepared.operator, &*prepared.problem, prepared.dtype, &prepared.inputs, threads)?;
    let fastest = ways.into_iter().map(|mut way| (trial(&mut way), way)).min_by_key(|(time, _)| *time);
    let (_, way) = fastest.ok_or("libtorch has no way to compute it")?;
    // Outputs that are updated in place start afresh.
    let fresh = torch::ways(prepared.operator, &*prepared.problem, prepared.dtype, &prepared.inputs, threads)?;
    let way = fresh.into_iter().find(|w| w.name == way.name).unwrap_or(way);
    Ok(Box::new(Libtorch { way }))
}

fn trial(way: &mut Way) -> std::time::Duration {
    (0..TRIALS)
        .map(|_| {
            let start = Instant::now();
            way.call();
            start.elapsed()
        })
        .min()
        .unwrap_or_default()
}

impl Subject for Libtorch {
    fn name(&self) -> &str {
        "libtorch"
    }

    fn call(&mut self) {
        self.way.call();
    }

    fn first_call(&mut self) {
        // A way has been called once when it is made.
    }

    fn outputs(&self) -> Result<Vec<ArrayD<f64>>, String> {
        self.way.outputs()
    }
}
