//! What the crates that only multiply matrices have in common.

use etalon_kernels::aligned::AlignedVec;
use etalon_kernels::check::Prepared;
use etalon_kernels::isa::evict::evict;
use etalon_reference::operator::downcast;
use etalon_reference::ops::gemm::{Activation, Gemm};
use etalon_reference::{Data, Element, Types, gather};
use ndarray::ArrayD;

use crate::cache::Eviction;
use crate::subject::Subject;

/// Operands of `C = A·B`.
pub struct Operands<T: Element> {
    /// The problem.
    pub p: Gemm,
    /// A.
    pub a: AlignedVec<T>,
    /// B.
    pub b: AlignedVec<T>,
    /// C.
    pub c: AlignedVec<T>,
}

/// A multiplication by one of the crates.
struct Matmul<T: Element, F> {
    name: &'static str,
    operands: Operands<T>,
    multiply: F,
}

impl<T: Element, F: FnMut(&mut Operands<T>)> Subject for Matmul<T, F> {
    fn name(&self) -> &str {
        self.name
    }

    fn call(&mut self) {
        (self.multiply)(&mut self.operands);
    }

    fn evict(&self, eviction: &Eviction) {
        let x = &self.operands;
        // Of the inputs a product reads the first two.
        eviction.inputs.iter().for_each(|&i| evict(if i == 0 { &x.a } else { &x.b }));
        if eviction.outputs {
            evict(&x.c);
        }
    }

    fn outputs(&self) -> Result<Vec<ArrayD<f64>>, String> {
        let p = &self.operands.p;
        let layout = etalon_reference::Layout::strided(&[1, p.m, p.n], &[p.c.batch, p.c.row, 1]);
        let data: Data = T::erase(&self.operands.c).to_data();
        Ok(vec![gather(&layout, &data)])
    }
}

/// The subject, if the problem is a plain product of one pair of matrices in this dtype.
///
/// # Errors
/// Why not.
pub fn subject<'a, T: Element>(
    name: &'static str,
    prepared: &'a Prepared,
    multiply: impl FnMut(&mut Operands<T>) + 'a,
) -> Result<Box<dyn Subject + 'a>, String> {
    if prepared.operator.name != "gemm" {
        return Err(format!("{name} multiplies matrices and nothing else"));
    }
    let p: &Gemm = downcast(&*prepared.problem);
    let plain = p.batch == 1 && p.alpha == 1.0 && p.beta == 0.0 && !p.bias && p.activation == Activation::None;
    if !plain || p.m * p.n * p.k == 0 {
        return Err(format!("{name} has no batch, bias or activation"));
    }
    let of = |i: usize| AlignedVec::from_slice(T::slice(prepared.inputs[i].as_slice()).expect("the dtype"));
    let operands = Operands { p: p.clone(), a: of(0), b: of(1), c: AlignedVec::zeroed(p.c_len()) };
    Ok(Box::new(Matmul { name, operands, multiply }))
}

/// The message for a dtype that a crate does not have.
pub fn no_dtype(name: &str, types: Types) -> String {
    format!("{name} does not compute {types}")
}
