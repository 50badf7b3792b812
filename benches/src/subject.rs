//! What is timed: a kernel of ours or a peer, on buffers that are ready, checked before the clock starts.

use std::borrow::Cow;
use std::sync::Arc;

use etalon_kernels::aligned::AlignedVec;
use etalon_kernels::check::{Prepared, initial_outputs};
use etalon_kernels::isa::evict::evict;
use etalon_kernels::kernel::{Call, Kernel, Plan};
use etalon_kernels::pool::Pool;
use etalon_kernels::workspace::Workspace;
use etalon_reference::compare::{Comparison, Verdict, compare};
use etalon_reference::{DType, Data, Element, Slice, SliceMut, Tolerance, gather};
use half::{bf16, f16};
use ndarray::ArrayD;

use crate::cache::Eviction;

/// Something that computes the prepared problem.
pub trait Subject {
    /// Kernel or peer.
    fn name(&self) -> &str;
    /// Computes once, on the same buffers each time.
    fn call(&mut self);
    /// The first call, on fresh outputs, whose answer is checked.
    fn first_call(&mut self) {
        self.call();
    }
    /// The outputs of the last call, as logical arrays.
    ///
    /// # Errors
    /// If they cannot be read.
    fn outputs(&self) -> Result<Vec<ArrayD<f64>>, String>;
    /// What its outputs satisfy.
    fn tolerances<'a>(&self, prepared: &'a Prepared) -> Cow<'a, [Tolerance]> {
        Cow::Borrowed(prepared.tolerances())
    }
    /// Takes operands out of the caches, as far as [`Subject::evicts`] says that it can.
    fn evict(&self, eviction: &Eviction);
    /// Whether [`Subject::evict`] takes out all that a cold state is about.
    ///
    /// # Errors
    /// Why not.
    fn evicts(&self) -> Result<(), String> {
        Ok(())
    }
    /// Which of its functions is called, where it has several.
    fn way(&self) -> Option<&str> {
        None
    }
    /// Scratch memory in use, in bytes, if it is known.
    fn workspace_bytes(&self) -> Option<u64> {
        None
    }
}

/// Holds one call's outputs against the reference.
///
/// # Errors
/// The subject's own, or the complaint: no timing without agreement.
pub fn agree(subject: &mut dyn Subject, prepared: &Prepared) -> Result<Vec<Comparison>, String> {
    subject.first_call();
    let outputs = subject.outputs()?;
    let ports = prepared.problem.outputs(prepared.dtype);
    if outputs.len() != ports.len() {
        return Err(format!("{} gives {} outputs of {}", subject.name(), outputs.len(), ports.len()));
    }
    let mut comparisons = Vec::new();
    for (((port, got), expected), tolerance) in
        ports.iter().zip(&outputs).zip(prepared.expected()).zip(&*subject.tolerances(prepared))
    {
        let comparison = compare(port.dtype, expected, tolerance, got);
        if comparison.verdict == Verdict::Fail {
            return Err(format!(
                "{} disagrees with the reference: {}{:?} is {:e}, expected {:e}, off by more than {:e}",
                subject.name(),
                port.name,
                comparison.worst,
                comparison.got,
                comparison.expected,
                comparison.bound
            ));
        }
        comparisons.push(comparison);
    }
    Ok(comparisons)
}

/// A buffer on a 64-byte boundary, of any dtype.
enum Aligned {
    F64(AlignedVec<f64>),
    F32(AlignedVec<f32>),
    F16(AlignedVec<f16>),
    Bf16(AlignedVec<bf16>),
    I32(AlignedVec<i32>),
    I8(AlignedVec<i8>),
    U8(AlignedVec<u8>),
}

macro_rules! every {
    ($value:expr, $v:ident => $e:expr) => {
        match $value {
            Aligned::F64($v) => $e,
            Aligned::F32($v) => $e,
            Aligned::F16($v) => $e,
            Aligned::Bf16($v) => $e,
            Aligned::I32($v) => $e,
            Aligned::I8($v) => $e,
            Aligned::U8($v) => $e,
        }
    };
}

impl Aligned {
    fn new(data: &Data) -> Aligned {
        fn of<T: Element>(data: &Data) -> AlignedVec<T> {
            AlignedVec::from_slice(T::slice(data.as_slice()).expect("the dtype"))
        }
        match data.dtype() {
            DType::F64 => Aligned::F64(of(data)),
            DType::F32 => Aligned::F32(of(data)),
            DType::F16 => Aligned::F16(of(data)),
            DType::Bf16 => Aligned::Bf16(of(data)),
            DType::I32 => Aligned::I32(of(data)),
            DType::I8 => Aligned::I8(of(data)),
            DType::U8 => Aligned::U8(of(data)),
        }
    }

    fn slice(&self) -> Slice<'_> {
        every!(self, v => Element::erase(v))
    }

    fn evict(&self) {
        every!(self, v => evict(v));
    }

    fn slice_mut(&mut self) -> SliceMut<'_> {
        every!(self, v => Element::erase_mut(v))
    }
}

/// A kernel of the registry.
pub struct Ours<'a> {
    kernel: &'static Kernel,
    prepared: &'a Prepared,
    inputs: Vec<Aligned>,
    outputs: Vec<Aligned>,
    plan: Option<Plan>,
    pool: Arc<Pool>,
    workspace: Workspace,
}

impl<'a> Ours<'a> {
    /// Copies the operands to aligned buffers and makes the plan.
    ///
    /// # Errors
    /// Why the kernel does not apply.
    pub fn new(kernel: &'static Kernel, prepared: &'a Prepared, pool: Arc<Pool>) -> Result<Ours<'a>, String> {
        kernel.applies(&*prepared.problem, prepared.dtype)?;
        let inputs: Vec<Aligned> = prepared.inputs.iter().map(Aligned::new).collect();
        let initial = initial_outputs(&*prepared.problem, prepared.dtype, &prepared.inputs);
        let outputs = initial.iter().map(Aligned::new).collect();
        let slices: Vec<Slice<'_>> = inputs.iter().map(Aligned::slice).collect();
        let plan = kernel.plan.map(|plan| plan(&*prepared.problem, prepared.dtype, &slices)).transpose();
        let plan = plan.map_err(|e| e.to_string())?;
        drop(slices);
        let mut ours = Ours { kernel, prepared, inputs, outputs, plan, pool, workspace: Workspace::new() };
        ours.run().map_err(|e| e.to_string())?;
        // The first call made sure that it runs; outputs that are updated in place start afresh.
        ours.outputs = initial.iter().map(Aligned::new).collect();
        Ok(ours)
    }

    fn run(&mut self) -> Result<(), etalon_kernels::kernel::KernelError> {
        let (ins, outs) = (self.inputs.len(), self.outputs.len());
        // Fixed arrays keep the measuring loop free of allocation for up to eight operands.
        let mut inputs = [Slice::U8(&[]); 8];
        for (slot, input) in inputs.iter_mut().zip(&self.inputs) {
            *slot = input.slice();
        }
        let mut outputs: [SliceMut<'_>; 8] = std::array::from_fn(|_| SliceMut::U8(&mut []));
        for (slot, output) in outputs.iter_mut().zip(&mut self.outputs) {
            *slot = output.slice_mut();
        }
        (self.kernel.run)(&mut Call {
            problem: &*self.prepared.problem,
            dtype: self.prepared.dtype,
            inputs: &inputs[..ins],
            outputs: &mut outputs[..outs],
            pool: &self.pool,
            workspace: &mut self.workspace,
            plan: self.plan.as_ref(),
        })
    }
}

impl Subject for Ours<'_> {
    fn name(&self) -> &str {
        self.kernel.name
    }

    fn call(&mut self) {
        self.run().expect("it ran before");
    }

    fn outputs(&self) -> Result<Vec<ArrayD<f64>>, String> {
        let ports = self.prepared.problem.outputs(self.prepared.dtype);
        Ok(ports.iter().zip(&self.outputs).map(|(port, data)| gather(&port.layout, &data.slice().to_data())).collect())
    }

    fn tolerances<'a>(&self, prepared: &'a Prepared) -> Cow<'a, [Tolerance]> {
        prepared.tolerances_of(self.kernel)
    }

    fn evict(&self, eviction: &Eviction) {
        eviction.inputs.iter().for_each(|&i| self.inputs[i].evict());
        if eviction.outputs {
            self.outputs.iter().for_each(Aligned::evict);
        }
    }

    fn evicts(&self) -> Result<(), String> {
        if self.plan.is_some() { Err("packed weights lie in the plan, which is not evicted".into()) } else { Ok(()) }
    }

    fn workspace_bytes(&self) -> Option<u64> {
        Some(self.workspace.bytes() as u64)
    }
}
