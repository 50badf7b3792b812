//! One way to compute a problem, ready to be timed.

use std::cell::RefCell;
use std::rc::Rc;

use ndarray::ArrayD;
use tch::{TchError, Tensor};

use super::{message, tensors};

/// One way to compute a problem with libtorch.
pub struct Way {
    /// libtorch's function.
    pub name: &'static str,
    call: Box<dyn FnMut() -> Result<(), TchError>>,
    outputs: Rc<RefCell<Vec<Tensor>>>,
    /// The problem's inputs, which the call reads.
    inputs: Vec<Tensor>,
}

/// Where a tensor's elements lie, as long as the way lives and is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Address of the first byte.
    pub address: usize,
    /// From the first element to the end of the last one.
    pub bytes: usize,
}

impl Place {
    fn of(tensor: &Tensor) -> Place {
        let reach = tensor.size().into_iter().zip(tensor.stride()).map(|(extent, stride)| (extent - 1) * stride);
        let elements = if tensor.numel() == 0 { 0 } else { 1 + reach.sum::<i64>() as usize };
        Place { address: tensor.data_ptr() as usize, bytes: elements * tensor.kind().elt_size_in_bytes() }
    }
}

impl Way {
    /// A way that writes into `outputs`.
    pub(super) fn out(
        name: &'static str,
        outputs: Vec<Tensor>,
        call: impl FnMut() -> Result<(), TchError> + 'static,
    ) -> Way {
        Way { name, call: Box::new(call), outputs: Rc::new(RefCell::new(outputs)), inputs: Vec::new() }
    }

    /// A way that returns fresh tensors; those of the last call live until the next one.
    pub(super) fn fresh(name: &'static str, mut call: impl FnMut() -> Result<Vec<Tensor>, TchError> + 'static) -> Way {
        let outputs = Rc::new(RefCell::new(Vec::new()));
        let kept = outputs.clone();
        let keep = move || {
            // The old ones go first, so that the allocator has their memory.
            kept.borrow_mut().clear();
            *kept.borrow_mut() = call()?;
            Ok(())
        };
        Way { name, call: Box::new(keep), outputs, inputs: Vec::new() }
    }

    /// With the inputs that it reads.
    pub(super) fn reading(self, inputs: &[Tensor]) -> Way {
        Way { inputs: inputs.iter().map(Tensor::shallow_clone).collect(), ..self }
    }

    /// Where the inputs at these positions lie, and the outputs of the last call, if they are asked for.
    pub fn places(&self, inputs: &[usize], outputs: bool) -> Vec<Place> {
        let read = inputs.iter().map(|&i| Place::of(&self.inputs[i]));
        let written = self.outputs.borrow();
        let written = written.iter().filter(|_| outputs).map(Place::of);
        read.chain(written).filter(|place| place.bytes > 0).collect()
    }

    /// Tries it once.
    pub(super) fn tried(mut self) -> Result<Way, TchError> {
        (self.call)()?;
        Ok(self)
    }

    /// Computes once. Outputs that are updated in place (C of a GEMM, running statistics) are updated once more.
    ///
    /// # Panics
    /// If libtorch fails at what it did when this was made.
    pub fn call(&mut self) {
        (self.call)().unwrap_or_else(|error| panic!("{}: {}", self.name, message(error)));
    }

    /// The outputs of the last call, as logical arrays.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn outputs(&self) -> Result<Vec<ArrayD<f64>>, String> {
        self.outputs.borrow().iter().map(tensors::to_array).collect::<Result<_, _>>().map_err(message)
    }
}
