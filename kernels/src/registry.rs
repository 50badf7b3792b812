//! The list of lists: every operator with its kernels. Tests, benches, fuzzing and the parity gate go through it.

use etalon_reference::{Operator, Problem, Types, ops};

use crate::kernel::Kernel;

/// An operator and the kernels that compute it, weakest first; the last one that applies is the default.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The operator.
    pub operator: &'static Operator,
    /// Its kernels.
    pub kernels: &'static [Kernel],
}

/// Every operator.
pub static ALL: &[Entry] = &[
    Entry { operator: &ops::gemm::GEMM, kernels: crate::gemm::KERNELS },
    Entry { operator: &ops::gemm_backward::GEMM_BACKWARD, kernels: crate::gemm_backward::KERNELS },
    Entry { operator: &ops::matmul_int8::MATMUL_INT8, kernels: crate::matmul_int8::KERNELS },
    Entry { operator: &ops::batchnorm_relu::BATCHNORM_RELU, kernels: crate::batchnorm_relu::KERNELS },
    Entry {
        operator: &ops::batchnorm_relu_backward::BATCHNORM_RELU_BACKWARD,
        kernels: crate::batchnorm_relu_backward::KERNELS,
    },
    Entry { operator: &ops::conv2d::CONV2D, kernels: crate::conv2d::KERNELS },
    Entry { operator: &ops::conv2d_backward_data::CONV2D_BACKWARD_DATA, kernels: crate::conv2d_backward_data::KERNELS },
    Entry {
        operator: &ops::conv2d_backward_weights::CONV2D_BACKWARD_WEIGHTS,
        kernels: crate::conv2d_backward_weights::KERNELS,
    },
    Entry { operator: &ops::conv_transpose2d::CONV_TRANSPOSE2D, kernels: crate::conv_transpose2d::KERNELS },
    Entry {
        operator: &ops::conv_transpose2d_backward::CONV_TRANSPOSE2D_BACKWARD,
        kernels: crate::conv_transpose2d_backward::KERNELS,
    },
    Entry { operator: &ops::max_pool2d::MAX_POOL2D, kernels: crate::max_pool2d::KERNELS },
    Entry { operator: &ops::max_pool2d_backward::MAX_POOL2D_BACKWARD, kernels: crate::max_pool2d_backward::KERNELS },
    Entry { operator: &ops::dropout::DROPOUT, kernels: crate::dropout::KERNELS },
    Entry { operator: &ops::dropout_backward::DROPOUT_BACKWARD, kernels: crate::dropout_backward::KERNELS },
    Entry { operator: &ops::activation::ACTIVATION, kernels: crate::activation::KERNELS },
    Entry { operator: &ops::activation_backward::ACTIVATION_BACKWARD, kernels: crate::activation_backward::KERNELS },
    Entry { operator: &ops::lstm::LSTM, kernels: crate::lstm::KERNELS },
    Entry { operator: &ops::lstm_backward::LSTM_BACKWARD, kernels: crate::lstm_backward::KERNELS },
];

/// The entry of the operator with this name.
pub fn find(operator: &str) -> Option<&'static Entry> {
    ALL.iter().find(|e| e.operator.name == operator)
}

/// The operators alone, as case ids are parsed with.
pub fn operators() -> Vec<&'static Operator> {
    ALL.iter().map(|e| e.operator).collect()
}

impl Entry {
    /// The default kernel: the last one that applies, takes operands as they are, and is ours.
    pub fn default_kernel(&self, problem: &dyn Problem, types: Types) -> Option<&'static Kernel> {
        let fits = |k: &&Kernel| k.plan.is_none() && !k.is_foreign() && k.applies(problem, types).is_ok();
        self.kernels.iter().rfind(fits)
    }

    /// The kernel with this name.
    pub fn kernel(&self, name: &str) -> Option<&'static Kernel> {
        self.kernels.iter().find(|k| k.name == name)
    }
}
