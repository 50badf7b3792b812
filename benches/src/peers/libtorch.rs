//! libtorch, by the fastest of the ways it has.

use std::time::{Duration, Instant};

use etalon_kernels::check::Prepared;
use etalon_kernels::isa::evict::evict;
use etalon_reference::torch::{self, Way};
use ndarray::ArrayD;

use super::inference::Inference;
use crate::cache::Eviction;
use crate::rounds::calls_a_sample;
use crate::subject::Subject;

/// Trials of each way before the fastest is chosen.
const TRIALS: usize = 5;
/// What trials may take: of ways that are slower one is enough.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a trial of short calls takes: so long that the clock and a way's first calls do not matter.
const TRIAL: Duration = Duration::from_micros(100);

struct Libtorch {
    way: Way,
    /// Its tensors are those of inference, and so are its calls, unless it is a gradient by autograd.
    _inference: Option<Inference>,
}

/// The fastest way for this problem, found by trying them in turn.
pub fn prepare(prepared: &Prepared, threads: usize) -> Result<Box<dyn Subject + '_>, String> {
    let ways = || torch::ways(prepared.operator, &*prepared.problem, prepared.types, &prepared.inputs, threads);
    let inference = || torch::in_inference(prepared.operator.name).then(Inference::new);
    let _inference = inference();
    let mut tried: Vec<Libtorch> = ways()?.into_iter().map(|way| Libtorch::new(way, inference())).collect();
    let mut times = vec![Duration::MAX; tried.len()];
    if tried.len() > 1 {
        let calls: Vec<usize> = tried.iter_mut().map(|way| calls_a_sample(way, TRIAL)).collect();
        let start = Instant::now();
        for trials in 0..TRIALS {
            if trials > 0 && start.elapsed() > PATIENCE {
                break;
            }
            for (way, (time, &calls)) in tried.iter_mut().zip(times.iter_mut().zip(&calls)) {
                *time = trial(way, calls).min(*time);
            }
        }
    }
    let fastest = (0..tried.len()).min_by_key(|&i| times[i]).ok_or("libtorch has no way to compute it")?;
    let name = tried[fastest].way.name;
    drop(tried);
    // Outputs that are updated in place start afresh.
    let fresh = ways()?.into_iter().find(|way| way.name == name);
    let fresh = fresh.ok_or_else(|| format!("libtorch has `{name}` no longer"))?;
    Ok(Box::new(Libtorch::new(fresh, inference())))
}

/// Time of a call.
fn trial(subject: &mut Libtorch, calls: usize) -> Duration {
    // Another way has emptied the caches.
    subject.call();
    let start = Instant::now();
    (0..calls).for_each(|_| subject.call());
    start.elapsed() / calls as u32
}

impl Libtorch {
    fn new(way: Way, inference: Option<Inference>) -> Libtorch {
        Libtorch { way, _inference: inference }
    }
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

    fn evict(&self, eviction: &Eviction) {
        for place in self.way.places(&eviction.inputs, eviction.outputs) {
            // SAFETY: the way holds the tensor, whose elements lie there, and it is not called meanwhile.
            evict(unsafe { std::slice::from_raw_parts(place.address as *const u8, place.bytes) });
        }
    }

    fn way(&self) -> Option<&str> {
        Some(self.way.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;
    use crate::rounds::{Method, alone};
    use crate::subject::agree;
    use crate::{cache, stats};
    use etalon_reference::{Cache, Fill, Point, Types, ops};

    /// A vector times a matrix that a private cache holds: from memory it takes longer, and its operands stay what they are.
    #[test]
    fn its_operands_can_be_evicted() {
        let operator = ops::find("gemm").expect("the operator");
        let point = Point::parse(operator.axes, "m=1,n=256,k=512").expect("a point");
        let prepared = Prepared::new(operator, &point, Types::F32, Fill::Real, 1).expect("a problem");
        let mut subject = prepare(&prepared, 1).expect("a way");
        assert!(subject.way().is_some());
        let mut time = |state| {
            let eviction = cache::eviction(state, &*prepared.problem, prepared.types).expect("weights");
            let method = Method { profile: Profile::Smoke, share: 1.0, threads: 1, eviction: eviction.as_ref() };
            stats::median(&alone(&mut *subject, method, Duration::from_millis(20)).samples[0])
        };
        let (warm, weights, cold) = (time(Cache::Warm), time(Cache::ColdWeights), time(Cache::Cold));
        assert!(weights > 1.3 * warm && cold > 1.3 * warm, "{warm} {weights} {cold} ns");
        agree(&mut *subject, &prepared).expect("the same answer");
    }
}
