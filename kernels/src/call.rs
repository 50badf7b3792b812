//! A call of a kernel: operands that have been held against the problem's ports.
//!
//! A [`Signature`] is made once for each problem and says what its operands must be. Nothing else makes a [`Call`], so
//! that every kernel finds slices of the ports' types and of exactly their lengths, and checks none of them itself.

use etalon_reference::tensor::Initial;
use etalon_reference::{DType, Element, Port, Problem, Slice, SliceMut, Types};

use crate::kernel::{Kernel, KernelError, Plan};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// What a problem asks of its operands: their number, and the type and length of each.
#[derive(Clone, Debug)]
pub struct Signature<'p> {
    problem: &'p dyn Problem,
    types: Types,
    inputs: Vec<Operand>,
    outputs: Vec<Operand>,
}

/// What is asked of one operand.
#[derive(Clone, Copy, Debug)]
struct Operand {
    name: &'static str,
    dtype: DType,
    /// Elements that a kernel sees.
    len: usize,
    /// Whether kernels look at it. If not, it may be shorter.
    needed: bool,
}

impl Operand {
    fn new(port: &Port) -> Operand {
        Operand { name: port.name, dtype: port.dtype, len: port.layout.span(), needed: true }
    }

    fn check(&self, dtype: DType, found: usize) -> Result<(), KernelError> {
        let (operand, needed) = (self.name, self.len);
        if dtype != self.dtype {
            return Err(KernelError::WrongType { operand, found: dtype, needed: self.dtype });
        }
        if self.needed && found < needed {
            return Err(KernelError::TooShort { operand, found, needed });
        }
        Ok(())
    }

    /// How many of `found` elements a kernel sees.
    fn seen(&self, found: usize) -> usize {
        if self.needed { self.len } else { self.len.min(found) }
    }
}

impl<'p> Signature<'p> {
    /// That of a problem with operands of these types. It allocates: keep it for all calls with the problem.
    pub fn new(problem: &'p dyn Problem, types: Types) -> Signature<'p> {
        let mut inputs: Vec<Operand> = problem.inputs(types).iter().map(Operand::new).collect();
        unread(problem, types).into_iter().for_each(|input| inputs[input].needed = false);
        Signature { problem, types, inputs, outputs: problem.outputs(types).iter().map(Operand::new).collect() }
    }

    /// A call with these operands: inputs and outputs in the problem's order, absent ones empty. Outputs that are updated
    /// in place hold their initial values, and their inputs may be empty. Operands may be longer than the problem needs:
    /// what is behind is not touched. `plan` is what [`Signature::plan`] made for the kernel that is to run.
    ///
    /// It allocates nothing.
    ///
    /// # Errors
    /// [`KernelError::WrongNumber`], [`KernelError::WrongType`] or [`KernelError::TooShort`], which name what is wrong.
    pub fn call<'a>(
        &'a self,
        inputs: &'a [Slice<'a>],
        outputs: &'a mut [SliceMut<'a>],
        pool: &'a Pool,
        workspace: &'a mut Workspace,
        plan: Option<&'a Plan>,
    ) -> Result<Call<'a>, KernelError> {
        let inputs = self.inputs(inputs)?;
        count("outputs", outputs.len(), self.outputs.len())?;
        self.outputs.iter().zip(&*outputs).try_for_each(|(asked, given)| asked.check(given.dtype(), given.len()))?;
        Ok(Call { inputs, outputs, pool, workspace, plan })
    }

    /// What `kernel` prepares for several calls with the same inputs; none, if it prepares nothing.
    ///
    /// # Errors
    /// As [`Signature::call`], and those of the kernel.
    pub fn plan(&self, kernel: &Kernel, inputs: &[Slice<'_>]) -> Result<Option<Plan>, KernelError> {
        kernel.plan.map(|plan| plan(&self.inputs(inputs)?)).transpose()
    }

    fn inputs<'a>(&'a self, slices: &'a [Slice<'a>]) -> Result<Inputs<'a>, KernelError> {
        count("inputs", slices.len(), self.inputs.len())?;
        self.inputs.iter().zip(slices).try_for_each(|(asked, given)| asked.check(given.dtype(), given.len()))?;
        Ok(Inputs { signature: self, slices })
    }
}

/// The inputs that kernels do not look at: those of which the problem says so, and those that outputs start from, which
/// kernels read there.
pub(crate) fn unread(problem: &dyn Problem, types: Types) -> Vec<usize> {
    let started = problem.outputs(types).into_iter().filter_map(|port| match port.initial {
        Initial::Input(input) => Some(input),
        Initial::Poison => None,
    });
    started.chain(problem.unread_inputs()).collect()
}

fn count(what: &'static str, found: usize, needed: usize) -> Result<(), KernelError> {
    if found == needed { Ok(()) } else { Err(KernelError::WrongNumber { what, found, needed }) }
}

/// A problem's inputs, which have its ports' types and lengths.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    signature: &'a Signature<'a>,
    slices: &'a [Slice<'a>],
}

impl<'a> Inputs<'a> {
    /// The validated problem.
    pub fn problem(&self) -> &'a dyn Problem {
        self.signature.problem
    }

    /// The types of its operands.
    pub fn types(&self) -> Types {
        self.signature.types
    }

    /// Input `index`: as many elements as its port has. One that kernels do not read may have fewer.
    pub fn input<T: Element>(&self, index: usize) -> &'a [T] {
        let elements = T::slice(self.slices[index]).expect("the port's dtype");
        &elements[..self.signature.inputs[index].seen(elements.len())]
    }
}

/// One invocation: operands that have the ports' types and lengths, threads, scratch memory.
pub struct Call<'a> {
    inputs: Inputs<'a>,
    outputs: &'a mut [SliceMut<'a>],
    pool: &'a Pool,
    workspace: &'a mut Workspace,
    plan: Option<&'a Plan>,
}

impl<'a> Call<'a> {
    /// The validated problem.
    pub fn problem(&self) -> &'a dyn Problem {
        self.inputs.problem()
    }

    /// The types of its operands.
    pub fn types(&self) -> Types {
        self.inputs.types()
    }

    /// Input `index` as elements of `T`, as many as its port has. One that kernels do not read may have fewer.
    ///
    /// # Panics
    /// If the port has another dtype.
    pub fn input<T: Element>(&self, index: usize) -> &'a [T] {
        self.inputs.input(index)
    }

    /// All inputs, each as [`input`](Call::input) gives it.
    pub fn inputs(&self) -> impl Iterator<Item = Slice<'a>> {
        let Inputs { signature, slices } = self.inputs;
        slices.iter().zip(&signature.inputs).map(|(slice, asked)| slice.first(asked.seen(slice.len())))
    }

    /// Output `index` as elements of `T`, as many as its port has.
    ///
    /// # Panics
    /// If the port has another dtype.
    pub fn output<T: Element>(&mut self, index: usize) -> &mut [T] {
        elements(self.outputs[index].reborrow().first(self.inputs.signature.outputs[index].len))
    }

    /// All `N` outputs, each with as many elements as its port has, and the scratch memory that is kept between calls.
    ///
    /// # Panics
    /// If the problem has another number of outputs.
    pub fn outputs<const N: usize>(&mut self) -> ([SliceMut<'_>; N], &mut Workspace) {
        assert_eq!(self.outputs.len(), N, "the problem's outputs");
        let mut outputs = self.outputs.iter_mut().zip(&self.inputs.signature.outputs);
        let mut next = || outputs.next().map(|(output, asked)| output.reborrow().first(asked.len));
        (std::array::from_fn(|_| next().expect("one of N")), self.workspace)
    }

    /// What the outputs hold.
    pub fn held(&self) -> impl Iterator<Item = Slice<'_>> {
        let outputs = self.outputs.iter().zip(&self.inputs.signature.outputs);
        outputs.map(|(output, asked)| output.as_slice().first(asked.len))
    }

    /// Threads.
    pub fn pool(&self) -> &'a Pool {
        self.pool
    }

    /// Scratch memory that is kept between calls.
    pub fn workspace(&mut self) -> &mut Workspace {
        self.workspace
    }

    /// What the kernel prepared, if it is of this type.
    pub fn plan<P: 'static>(&self) -> Option<&'a P> {
        self.plan?.downcast_ref()
    }
}

/// An output as elements of `T`.
///
/// # Panics
/// If the port has another dtype.
pub(crate) fn elements<T: Element>(output: SliceMut<'_>) -> &mut [T] {
    T::slice_mut(output).expect("the port's dtype")
}
