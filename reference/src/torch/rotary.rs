//! `rotary` and its gradient, by single operators: libtorch has no function of its own.

use tch::{TchError, Tensor};

use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::rotary::Rotary;

pub(super) const ROTARY: Twin = Twin { op: "rotary", forward, slack: |_| 1.0, ways };

pub(super) const ROTARY_BACKWARD: Twin = Twin { op: "rotary_backward", forward, slack: |_| 1.0, ways };

/// Where the elements of pairs lie, and the dimension over which both are.
fn pairs(p: &Rotary, x: &Tensor) -> Result<(Tensor, i64), TchError> {
    let [n, s, h, d] = [p.batch, p.rows, p.heads, p.pairs].map(|extent| extent as i64);
    let (shape, between) = if p.neighbours { ([n, s, h, d, 2], 4) } else { ([n, s, h, 2, d], 3) };
    Ok((x.f_reshape(shape)?, between))
}

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let p: &Rotary = downcast(problem);
    let [x, cos, sin] = inputs else { panic!("three inputs") };
    let (x, between) = pairs(p, x)?;
    let (x1, x2) = (x.f_select(between, 0)?, x.f_select(between, 1)?);
    let [cos, sin] = [cos, sin].map(|of| of.f_unsqueeze(1));
    let (cos, sin) = (cos?, if p.back { sin?.f_neg()? } else { sin? });
    let y1 = x1.f_mul(&cos)?.f_sub(&x2.f_mul(&sin)?)?;
    let y2 = x2.f_mul(&cos)?.f_add(&x1.f_mul(&sin)?)?;
    let shape = [p.batch, p.rows, p.heads, 2 * p.pairs].map(|extent| extent as i64);
    Ok(vec![Tensor::f_stack(&[y1, y2], between)?.f_reshape(shape)?])
}

/// Single operators, and cosines and sines for both elements of a pair that are ready.
fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p = downcast::<Rotary>(problem).clone();
    let own: Vec<Tensor> = operands.inputs.iter().map(Tensor::shallow_clone).collect();
    let same = p.clone();
    let single = Way::fresh("single operators", move || forward(&same, &own));
    let [x, cos, sin] = &operands.inputs[..] else { panic!("three inputs") };
    let both = |of: &Tensor, sign: f64| -> Result<Tensor, TchError> {
        let (of, between) = (of.f_unsqueeze(1)?, if p.neighbours { 3 } else { 2 });
        let first = of.f_mul_scalar(sign)?;
        let shape = [p.rows as i64, 1, 2 * p.pairs as i64];
        Tensor::f_stack(&[first, of], between)?.f_reshape(shape)
    };
    let x = x.shallow_clone();
    let (cos, sin) = (both(cos, 1.0)?, both(&if p.back { sin.f_neg()? } else { sin.shallow_clone() }, -1.0)?);
    let swapped = Way::fresh("x·cos + flipped·sin", move || {
        let (of_pairs, between) = pairs(&p, &x)?;
        let flipped = of_pairs.f_flip([between])?.f_reshape(x.size())?;
        Ok(vec![x.f_mul(&cos)?.f_addcmul(&flipped, &sin)?])
    });
    Ok(vec![single.tried()?, swapped.tried()?])
}
