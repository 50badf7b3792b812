//! Cache states: which operands are taken out of the caches before each call.

use etalon_reference::tensor::Role;
use etalon_reference::{Cache, Problem, Types};

/// A state as a command line asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Asked {
    /// Operands lie where the last call of the same subject left them
    Warm,
    /// Weights are evicted before each call
    ColdWeights,
    /// All operands are evicted before each call
    Cold,
    /// The state in which networks meet the workload
    Named,
}

/// The states to time a workload in that names `named`, each once, in the order they are asked for.
pub fn states(asked: &[Asked], named: Cache) -> Vec<Cache> {
    let mut states = Vec::new();
    for state in asked {
        let state = match state {
            Asked::Warm => Cache::Warm,
            Asked::ColdWeights => Cache::ColdWeights,
            Asked::Cold => Cache::Cold,
            Asked::Named => named,
        };
        if !states.contains(&state) {
            states.push(state);
        }
    }
    states
}

/// What is taken out of the caches before each call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eviction {
    /// Inputs, by position.
    pub inputs: Vec<usize>,
    /// All outputs, too.
    pub outputs: bool,
}

/// What a state takes out of the caches; nothing, if it is warm.
///
/// # Errors
/// If there is nothing to take out: the state would be another one's.
pub fn eviction(state: Cache, problem: &dyn Problem, types: Types) -> Result<Option<Eviction>, String> {
    let ports = problem.inputs(types);
    let unread = problem.unread_inputs();
    let there = |i: &usize| ports[*i].layout.span() > 0 && !unread.contains(i);
    let read = (0..ports.len()).filter(there);
    match state {
        Cache::Warm => Ok(None),
        Cache::Cold => Ok(Some(Eviction { inputs: read.collect(), outputs: true })),
        Cache::ColdWeights => {
            let factor = |i: &usize| ports[*i].role == Role::Factor;
            let larger = (0..ports.len()).filter(there).filter(factor).max_by_key(|&i| ports[i].layout.span());
            let inputs: Vec<usize> = read.filter(|&i| ports[i].role == Role::Weights || larger == Some(i)).collect();
            if inputs.is_empty() {
                return Err("it has no weights: `cold-weights` would be `warm`".into());
            }
            Ok(Some(Eviction { inputs, outputs: false }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etalon_reference::{Point, ops};

    fn problem(op: &str, point: &str) -> Box<dyn Problem> {
        let operator = ops::find(op).expect("the operator");
        operator.problem(&Point::parse(operator.axes, point).expect("a point")).expect("a problem")
    }

    fn names(state: Cache, op: &str, point: &str) -> Vec<&'static str> {
        let problem = problem(op, point);
        let found = eviction(state, &*problem, Types::F32).expect("something to evict").expect("a cold state");
        found.inputs.iter().map(|&i| problem.inputs(Types::F32)[i].name).collect()
    }

    /// Those whose inputs all pass through them; a new operator is named here, or says which ports are weights.
    const WEIGHTLESS: [&str; 39] = [
        "activation",
        "activation_backward",
        "adaptive_avg_pool2d",
        "adaptive_avg_pool2d_backward",
        "adaptive_max_pool2d",
        "adaptive_max_pool2d_backward",
        "attention",
        "attention_backward",
        "avg_pool2d",
        "avg_pool2d_backward",
        "clip_norm",
        "conv2d_backward_weights",
        "cross_entropy",
        "cross_entropy_backward",
        "distillation",
        "distillation_backward",
        "dropout",
        "dropout_backward",
        "embedding_backward",
        "fractional_max_pool2d",
        "fractional_max_pool2d_backward",
        "l2_pool2d",
        "l2_pool2d_backward",
        "max_pool2d",
        "max_pool2d_backward",
        "mixed_precision_sgd",
        "multi_margin",
        "multi_margin_backward",
        "pair_loss",
        "pair_loss_backward",
        "quantization_range",
        "reduce",
        "reduce_backward",
        "softmax",
        "softmax_backward",
        "triplet",
        "triplet_backward",
        "unpool2d",
        "unpool2d_backward",
    ];

    #[test]
    fn every_operator_has_weights_or_is_known_to_have_none() {
        for operator in ops::ALL {
            let problem = problem(operator.name, operator.workloads[0].point);
            let none = eviction(Cache::ColdWeights, &*problem, Types::F32).is_err();
            assert_eq!(none, WEIGHTLESS.contains(&operator.name), "{}", operator.name);
        }
    }

    #[test]
    fn states_evict_what_they_say() {
        assert_eq!(names(Cache::ColdWeights, "conv2d", "bias=channel"), ["w", "bias"]);
        assert_eq!(names(Cache::ColdWeights, "gemm", "m=2,n=3,k=4"), ["b"]);
        assert_eq!(names(Cache::ColdWeights, "gemm", "m=3,n=2,k=4,bias=row"), ["a", "bias"]);
        assert_eq!(names(Cache::Cold, "gemm", "m=2,n=3,k=4"), ["a", "b"]);
        assert_eq!(eviction(Cache::Warm, &*problem("gemm", "m=2,n=3,k=4"), Types::F32), Ok(None));
    }

    #[test]
    fn a_state_is_timed_once() {
        let asked = [Asked::Warm, Asked::Named, Asked::Cold, Asked::Warm];
        assert_eq!(states(&asked, Cache::Warm), [Cache::Warm, Cache::Cold]);
        assert_eq!(states(&asked, Cache::ColdWeights), [Cache::Warm, Cache::ColdWeights, Cache::Cold]);
    }
}
