//! `embedding` and `embedding_backward`: libtorch's own functions. What stands for padding is filled with 0.

use tch::{TchError, Tensor};

use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::embedding::Embedding;
use crate::ops::embedding_backward::EmbeddingBackward;

pub(super) const EMBEDDING: Twin = Twin { op: "embedding", forward, slack: |_| 1.0, ways };

pub(super) const EMBEDDING_BACKWARD: Twin =
    Twin { op: "embedding_backward", forward: backward, slack: |_| 1.0, ways: ways_back };

/// The number that stands for padding; −1 for none.
fn padding(p: &Embedding) -> i64 {
    if p.padding { 0 } else { -1 }
}

fn rows(p: &Embedding, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let [table, index] = inputs else { panic!("two inputs") };
    let y = Tensor::f_embedding(table, index, padding(p), false, false)?;
    Ok(vec![if p.padding { y.f_masked_fill(&index.f_eq(0)?.f_unsqueeze(1)?, 0.0)? } else { y }])
}

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    rows(downcast(problem), inputs)
}

fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p = downcast::<Embedding>(problem).clone();
    let own: Vec<Tensor> = operands.inputs.iter().map(Tensor::shallow_clone).collect();
    Ok(vec![Way::fresh("embedding", move || rows(&p, &own)).tried()?])
}

fn gradient(p: &Embedding, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let [dy, index] = inputs else { panic!("two inputs") };
    Ok(vec![Tensor::f_embedding_dense_backward(dy, index, p.rows as i64, padding(p), false)?])
}

fn backward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    gradient(&downcast::<EmbeddingBackward>(problem).forward, inputs)
}

fn ways_back(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p = downcast::<EmbeddingBackward>(problem).forward.clone();
    let own: Vec<Tensor> = operands.inputs.iter().map(Tensor::shallow_clone).collect();
    Ok(vec![Way::fresh("embedding_dense_backward", move || gradient(&p, &own)).tried()?])
}
