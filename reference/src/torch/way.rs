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
}

impl Way {
    /// A way that writes into `outputs`.
    pub(super) fn out(
        name: &'static str,
        outputs: Vec<Tensor>,
        call: impl FnMut() -> Result<(), TchError> + 'static,
    ) -> Way {
        Way { name, call: Box::new(call), outputs: Rc::new(RefCell::new(outputs)) }
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
        Way { name, call: Box::new(keep), outputs }
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
