//! What is timed: a kernel of ours or a peer, on buffers that are ready, checked before the clock starts.

use std::borrow::Cow;
use std::sync::Arc;

use arrayvec::ArrayVec;
use etalon_kernels::aligned::AlignedVec;
use etalon_kernels::call::Signature;
use etalon_kernels::check::{Prepared, initial_outputs};
use etalon_kernels::isa::evict::evict;
use etalon_kernels::kernel::{Kernel, KernelError, Plan};
use etalon_kernels::pool::Pool;
use etalon_kernels::workspace::Workspace;
use etalon_reference::compare::{Comparison, Verdict};
use etalon_reference::{Data, Element, Slice, SliceMut, Tolerance, gather, with_dtype};
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
    let ports = prepared.problem.outputs(prepared.types);
    if outputs.len() != ports.len() {
        return Err(format!("{} gives {} outputs of {}", subject.name(), outputs.len(), ports.len()));
    }
    let comparisons = prepared.compare(subject.tolerances(prepared), outputs);
    if let Some((port, c)) = ports.iter().zip(&comparisons).find(|(_, c)| c.verdict == Verdict::Fail) {
        return Err(format!(
            "{} disagrees with the reference: {}{:?} is {:e}, expected {:e}, off by more than {:e}",
            subject.name(),
            port.name,
            c.worst,
            c.got,
            c.expected,
            c.bound
        ));
    }
    Ok(comparisons)
}

/// A buffer on a 64-byte boundary, of any dtype.
trait Aligned {
    fn slice(&self) -> Slice<'_>;
    fn slice_mut(&mut self) -> SliceMut<'_>;
    fn evict(&self);
}

impl<T: Element> Aligned for AlignedVec<T> {
    fn slice(&self) -> Slice<'_> {
        T::erase(self)
    }

    fn slice_mut(&mut self) -> SliceMut<'_> {
        T::erase_mut(self)
    }

    fn evict(&self) {
        evict(self);
    }
}

fn aligned(data: &Data) -> Box<dyn Aligned> {
    with_dtype!(data.dtype(), T => {
        Box::new(AlignedVec::<T>::from_slice(T::slice(data.as_slice()).expect("the dtype")))
    })
}

/// Inputs of a problem at most.
const INPUTS: usize = 16;
/// Outputs at most.
const OUTPUTS: usize = 8;

/// A kernel of the registry.
pub struct Ours<'a> {
    kernel: &'static Kernel,
    prepared: &'a Prepared,
    signature: Signature<'a>,
    inputs: Vec<Box<dyn Aligned>>,
    outputs: Vec<Box<dyn Aligned>>,
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
        kernel.applies(&*prepared.problem, prepared.types)?;
        let inputs: Vec<_> = prepared.inputs.iter().map(aligned).collect();
        let initial = initial_outputs(&*prepared.problem, prepared.types, &prepared.inputs);
        let outputs = initial.iter().map(aligned).collect();
        let slices: Vec<Slice<'_>> = inputs.iter().map(|input| input.slice()).collect();
        let signature = Signature::new(&*prepared.problem, prepared.types);
        let plan = signature.plan(kernel, &slices).map_err(|e| e.to_string())?;
        drop(slices);
        let mut ours = Ours { kernel, prepared, signature, inputs, outputs, plan, pool, workspace: Workspace::new() };
        ours.run().map_err(|e| e.to_string())?;
        // The first call made sure that it runs; outputs that are updated in place start afresh.
        ours.outputs = initial.iter().map(aligned).collect();
        Ok(ours)
    }

    fn run(&mut self) -> Result<(), KernelError> {
        // Without allocation, and with few places that no operand fills: calls take some tens of nanoseconds.
        let inputs: ArrayVec<Slice<'_>, INPUTS> = self.inputs.iter().map(|input| input.slice()).collect();
        let count = self.outputs.len();
        let mut outputs: [SliceMut<'_>; OUTPUTS] = std::array::from_fn(|_| SliceMut::U8(&mut []));
        for (slot, output) in outputs.iter_mut().zip(&mut self.outputs) {
            *slot = output.slice_mut();
        }
        let (outputs, workspace, plan) = (&mut outputs[..count], &mut self.workspace, self.plan.as_ref());
        (self.kernel.run)(&mut self.signature.call(&inputs, outputs, &self.pool, workspace, plan)?)
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
        let ports = self.prepared.problem.outputs(self.prepared.types);
        Ok(ports.iter().zip(&self.outputs).map(|(port, data)| gather(&port.layout, &data.slice().to_data())).collect())
    }

    fn tolerances<'a>(&self, prepared: &'a Prepared) -> Cow<'a, [Tolerance]> {
        prepared.tolerances_of(self.kernel)
    }

    fn evict(&self, eviction: &Eviction) {
        eviction.inputs.iter().for_each(|&i| self.inputs[i].evict());
        if eviction.outputs {
            self.outputs.iter().for_each(|output| output.evict());
        }
    }

    fn evicts(&self) -> Result<(), String> {
        if self.plan.is_some() { Err("packed weights lie in the plan, which is not evicted".into()) } else { Ok(()) }
    }

    fn workspace_bytes(&self) -> Option<u64> {
        Some(self.workspace.bytes() as u64)
    }
}
