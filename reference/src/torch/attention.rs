//! `attention`: `scaled_dot_product_attention`, which chooses a fused kernel, or products and softmax. Its gradients: the
//! fused kernel's, or single operators.

use tch::{Kind, TchError, Tensor};

use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::attention::{Attention, Causal, Mask};
use crate::ops::attention_backward::AttentionBackward;
use crate::tolerance::one_chain;

pub(super) const ATTENTION: Twin = Twin { op: "attention", forward, slack, ways };

pub(super) const ATTENTION_BACKWARD: Twin =
    Twin { op: "attention_backward", forward: gradients, slack, ways: ways_back };

/// libtorch's powers are off by 16u where ours are off by 4u.
const OF_POWERS: f64 = 4.0;

fn slack(problem: &dyn Problem) -> f64 {
    OF_POWERS * one_chain(&problem.sums())
}

/// What is added to scores, in a shape that repeats over sequences and heads; nothing where all keys count.
fn bias(p: &Attention, inputs: &[Tensor]) -> Result<Option<Tensor>, TchError> {
    let [q, _, _, mask, lengths] = inputs else { panic!("five inputs") };
    let (options, of_masks) = ((q.kind(), q.device()), (Kind::Bool, q.device()));
    if p.batch * p.heads == 0 {
        // There is no score, and masks may be large.
        return Ok(None);
    }
    let (queries, keys) = (p.queries as i64, p.keys as i64);
    let mut excluded: Option<Tensor> = None;
    let mut exclude = |more: Tensor| -> Result<(), TchError> {
        excluded = Some(match excluded.take() {
            Some(others) => others.f_logical_or(&more)?,
            None => more,
        });
        Ok(())
    };
    if p.causal != Causal::No {
        let behind = if p.causal == Causal::Top { 1 } else { 1 + keys - queries };
        exclude(Tensor::f_ones([queries, keys], of_masks)?.f_triu(behind)?)?;
    }
    if p.mask == Mask::Bool {
        exclude(mask.f_logical_not()?)?;
    }
    if p.lengths {
        let place = Tensor::f_arange(keys, (Kind::Int64, q.device()))?;
        exclude(place.f_ge_tensor(&lengths.f_reshape([p.batch as i64, 1, 1, 1])?)?)?;
    }
    let added = (p.mask == Mask::Add).then(|| mask.shallow_clone());
    let excluded = match excluded {
        Some(excluded) => {
            let zeros = Tensor::f_zeros(excluded.size(), options)?;
            Some(zeros.f_masked_fill(&excluded, f64::NEG_INFINITY)?)
        }
        None => None,
    };
    Ok(match (added, excluded) {
        (Some(added), Some(excluded)) => Some(added.f_add(&excluded)?),
        (added, excluded) => added.or(excluded),
    })
}

fn attend(p: &Attention, inputs: &[Tensor], bias: Option<&Tensor>, causal: bool) -> Result<Tensor, TchError> {
    let [q, k, v, ..] = inputs else { panic!("five inputs") };
    Tensor::f_scaled_dot_product_attention(q, k, v, bias, 0.0, causal, p.scale, p.group > 1)
}

/// Whether there is nothing to attend to: the fused kernel divides by zero then.
fn is_empty(p: &Attention) -> bool {
    p.batch * p.heads * p.queries * p.keys * p.width == 0
}

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let p = downcast::<Attention>(problem);
    let bias = bias(p, inputs)?;
    let y = attend(p, inputs, bias.as_ref(), false)?;
    if !p.logarithms {
        return Ok(vec![y, Tensor::f_empty([0], (inputs[0].kind(), inputs[0].device()))?]);
    }
    // Of bf16, logarithms are f32.
    let wide = if inputs[0].kind() == Kind::BFloat16 { Kind::Float } else { inputs[0].kind() };
    let (q, k) = (inputs[0].f_to_kind(wide)?, repeated(p, &inputs[1])?.f_to_kind(wide)?);
    let mut scores = q.f_matmul(&k.f_transpose(2, 3)?)?.f_mul_scalar(p.scale)?;
    if let Some(bias) = &bias {
        scores = scores.f_add(bias)?;
    }
    Ok(vec![y, scores.f_logsumexp([3], false)?])
}

fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p = downcast::<Attention>(problem).clone();
    let inputs = &operands.inputs;
    // A diagonal from the top left alone has a way of its own. Masks are ready, as users have them.
    let causal = p.causal == Causal::Top && p.mask == Mask::No && !p.lengths;
    let bias = if causal { None } else { bias(&p, inputs)? };
    let own: Vec<Tensor> = inputs.iter().map(Tensor::shallow_clone).collect();
    // The fused kernel's logarithm of a query that sees nothing is 0 on some CPUs.
    let blind = match &bias {
        Some(bias) => bias.f_isneginf()?.f_all_dim(-1, false)?.f_any()?.f_int64_value(&[])? != 0,
        None => false,
    };
    let way = if is_empty(&p) || p.logarithms && (p.width != p.depth || blind) {
        Way::fresh("products and softmax", move || forward(&p, &own))
    } else if p.logarithms {
        Way::fresh("_scaled_dot_product_flash_attention_for_cpu", move || {
            let [q, k, v, ..] = &own[..] else { panic!("five inputs") };
            let flash = Tensor::f_internal_scaled_dot_product_flash_attention_for_cpu;
            let (y, lse) = flash(q, k, v, 0.0, causal, bias.as_ref(), p.scale)?;
            Ok(vec![y, lse])
        })
    } else {
        let none = Tensor::f_empty([0], (inputs[0].kind(), inputs[0].device()))?;
        Way::fresh("scaled_dot_product_attention", move || {
            Ok(vec![attend(&p, &own, bias.as_ref(), causal)?, none.shallow_clone()])
        })
    };
    Ok(vec![way.tried()?])
}

/// Heads of keys, once for each head of queries.
fn repeated(p: &Attention, x: &Tensor) -> Result<Tensor, TchError> {
    if p.group == 1 {
        return Ok(x.shallow_clone());
    }
    x.f_repeat_interleave_self_int(p.group as i64, 1, (p.heads * p.group) as i64)
}

/// The sums over the heads of queries that share a head of keys.
fn shared(p: &Attention, x: &Tensor) -> Result<Tensor, TchError> {
    if p.group == 1 {
        return Ok(x.shallow_clone());
    }
    let [batch, heads, group, width] = [p.batch, p.heads, p.group, x.size()[3] as usize].map(|n| n as i64);
    x.f_reshape([batch, heads, group, p.keys as i64, width])?.f_sum_dim_intlist([2i64].as_slice(), false, x.kind())
}

/// By single operators.
fn gradients(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let p = &downcast::<AttentionBackward>(problem).forward;
    let [dy, q, k, v, .., y, lse] = inputs else { panic!("eight inputs") };
    let (k, v) = (repeated(p, k)?, repeated(p, v)?);
    let mut scores = q.f_matmul(&k.f_transpose(2, 3)?)?.f_mul_scalar(p.scale)?;
    if let Some(bias) = bias(p, &inputs[1..6])? {
        // What is not seen is −∞, whatever it was.
        scores = scores.f_add(&bias)?.f_masked_fill(&bias.f_isneginf()?, f64::NEG_INFINITY)?;
    }
    let powers = scores.f_sub(&lse.f_unsqueeze(-1)?)?.f_exp()?.f_clamp_max(1.0)?;
    let powers = powers.f_masked_fill(&scores.f_isneginf()?, 0.0)?;
    let delta = dy.f_mul(y)?.f_sum_dim_intlist([-1i64].as_slice(), true, dy.kind())?;
    let slopes = powers.f_mul(&dy.f_matmul(&v.f_transpose(2, 3)?)?.f_sub(&delta)?)?;
    let slopes = slopes.f_masked_fill(&scores.f_isneginf()?, 0.0)?;
    let dq = slopes.f_matmul(&k)?.f_mul_scalar(p.scale)?;
    let dk = slopes.f_transpose(2, 3)?.f_matmul(q)?.f_mul_scalar(p.scale)?;
    let dv = powers.f_transpose(2, 3)?.f_matmul(dy)?;
    Ok(vec![dq, shared(p, &dk)?, shared(p, &dv)?])
}

fn ways_back(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let problem = downcast::<AttentionBackward>(problem).clone();
    let p = problem.forward.clone();
    let own: Vec<Tensor> = operands.inputs.iter().map(Tensor::shallow_clone).collect();
    // The fused kernel takes values as wide as keys, and makes NaN where a query sees nothing.
    let sees = own[7].f_isneginf()?.f_any()?.f_int64_value(&[])? == 0;
    if p.width != p.depth || is_empty(&p) || !sees {
        return Ok(vec![Way::fresh("single operators", move || gradients(&problem, &own)).tried()?]);
    }
    let causal = p.causal == Causal::Top && p.mask == Mask::No && !p.lengths;
    let bias = if causal { None } else { bias(&p, &own[1..6])? };
    let way = Way::fresh("_scaled_dot_product_flash_attention_for_cpu_backward", move || {
        let [dy, q, k, v, .., y, lse] = &own[..] else { panic!("eight inputs") };
        let (k, v) = (repeated(&p, k)?, repeated(&p, v)?);
        let flash = Tensor::f_internal_scaled_dot_product_flash_attention_for_cpu_backward;
        let (dq, dk, dv) = flash(dy, q, &k, &v, y, lse, 0.0, causal, bias.as_ref(), p.scale)?;
        Ok(vec![dq, shared(&p, &dk)?, shared(&p, &dv)?])
    });
    Ok(vec![way.tried()?])
}
