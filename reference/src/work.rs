//! What a problem costs: operations of a kind, and bytes.

use crate::{Layout, Port};

/// Which instruction does most of the work, and so which measured peak limits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Fused multiply-add (or additions and multiplications) in the type of the sums.
    Fma,
    /// Dot products of bytes that are added in 32 bits (VNNI).
    DotBytes,
    /// Dot products of bf16 that are added in f32.
    DotBf16,
    /// Integers, comparisons, moves: no peak of their own, so that bytes are the limit.
    Integer,
    /// Exponential, logarithm, error function and the like: no peak of their own, either.
    Transcendental,
}

/// Operations and least bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Operations; a fused multiply-add counts two. Zero where data are only moved.
    pub operations: f64,
    /// Their kind.
    pub unit: Unit,
    /// Bytes that must be read at least, each operand once.
    pub read: f64,
    /// Bytes that must be written at least.
    pub written: f64,
}

impl Work {
    /// From the operations and the ports; inputs in `unread` are not read.
    pub fn of((operations, unit): (f64, Unit), inputs: &[Port], unread: &[usize], outputs: &[Port]) -> Work {
        let read =
            inputs.iter().enumerate().filter(|(index, _)| !unread.contains(index)).map(|(_, port)| bytes(port)).sum();
        Work { operations, unit, read, written: outputs.iter().map(bytes).sum() }
    }

    /// Bytes that are read and written.
    pub fn bytes(&self) -> f64 {
        self.read + self.written
    }

    /// What checking it costs, about: a reference takes as long for a byte as for an operation.
    pub fn cost(&self) -> f64 {
        self.operations.max(self.bytes())
    }
}

/// Bytes of the different elements of an operand; those that a stride of 0 repeats count once.
fn bytes(port: &Port) -> f64 {
    let Layout { shape, strides } = &port.layout;
    if port.layout.is_empty() {
        return 0.0;
    }
    let different = shape.iter().zip(strides).filter(|(_, stride)| **stride > 0).map(|(extent, _)| *extent as f64);
    different.product::<f64>() * port.dtype.size() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Types;

    #[test]
    fn each_operand_counts_once() {
        let port = |name, layout| Port::new(name, Types::F32, layout);
        let shared = port("b", Layout::strided(&[7, 3, 4], &[0, 4, 1]));
        let inputs = [port("a", Layout::contiguous(&[5])), shared, port("c", Layout::contiguous(&[9]))];
        let work = Work::of((10.0, Unit::Fma), &inputs, &[2], &[port("y", Layout::absent())]);
        assert_eq!((work.read, work.written, work.bytes(), work.cost()), (68.0, 0.0, 68.0, 68.0));
    }
}
