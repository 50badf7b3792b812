//! Where libtorch is known to differ from an operator's definition.
//!
//! A test shows each row by its example; a row that is no longer needed fails there.

use crate::operator::downcast;
use crate::ops::batchnorm_relu::{BatchnormRelu, Mode};
use crate::ops::batchnorm_relu_backward::BatchnormReluBackward;
use crate::ops::gemm::{Activation, Gemm};
use crate::ops::gemm_backward::GemmBackward;
use crate::{Data, Problem};

/// What libtorch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// It gives an error.
    Refuses,
    /// It ends the process. It is not asked.
    Crashes,
    /// It gives another answer.
    Differs,
}

/// One known difference.
pub struct Deviation {
    /// The operator's name.
    pub op: &'static str,
    /// What libtorch does.
    pub conduct: Conduct,
    /// When and how.
    pub what: &'static str,
    /// Where it was reported: `pytorch#…`, of this or of the nearest case.
    pub issue: &'static str,
    /// A case id that shows it.
    pub example: &'static str,
    /// Whether the problem may show it with these inputs.
    applies: fn(&dyn Problem, &[Data]) -> bool,
}

impl Deviation {
    /// Whether this problem of the operator may show it with these inputs.
    pub fn applies(&self, op: &str, problem: &dyn Problem, inputs: &[Data]) -> bool {
        self.op == op && (self.applies)(problem, inputs)
    }
}

/// Whether there is an infinity; gaps hold NaN.
fn infinite(data: &Data) -> bool {
    data.to_f64().iter().any(|x| x.is_infinite())
}

/// Whether there is a NaN or an infinity, gaps included.
fn special(data: &Data) -> bool {
    data.to_f64().iter().any(|x| !x.is_finite())
}

/// Every known difference of libtorch 2.13.
pub static ALL: &[Deviation] = &[
    Deviation {
        op: "gemm",
        conduct: Conduct::Differs,
        what: "α = 0 multiplies NaN and ∞ of A and B nevertheless in small batched products",
        issue: "pytorch#96037",
        example: "gemm/libtorch/f32/n=2,k=3,batch=2,alpha=0/t1#hostile-10650",
        applies: |problem, inputs| downcast::<Gemm>(problem).alpha == 0.0 && inputs.iter().any(special),
    },
    Deviation {
        op: "gemm",
        conduct: Conduct::Differs,
        what: "GELU of ±∞ is NaN",
        issue: "pytorch#185770",
        example: "gemm/libtorch/f64/m=2,n=5,k=2,batch=2,act=gelu/t1#hostile-41341",
        applies: |problem, inputs| {
            downcast::<Gemm>(problem).activation == Activation::Gelu && inputs.iter().any(infinite)
        },
    },
    Deviation {
        op: "gemm_backward",
        conduct: Conduct::Differs,
        what: "GELU's derivative at ±∞ is NaN",
        issue: "pytorch#185770",
        example: "gemm_backward/libtorch/f32/m=13,n=7,k=0,batch=2,act=gelu/t1#hostile-16375",
        applies: |problem, inputs| {
            downcast::<GemmBackward>(problem).activation == Activation::Gelu && inputs.iter().any(infinite)
        },
    },
    Deviation {
        op: "gemm_backward",
        conduct: Conduct::Differs,
        what: "α = 0 multiplies NaN and ∞ of A and B nevertheless in small batched products",
        issue: "pytorch#96037",
        example: "gemm_backward/libtorch/f32/m=2,n=2,k=3,batch=2,alpha=0/t1#hostile-0",
        applies: |problem, inputs| downcast::<GemmBackward>(problem).alpha == 0.0 && inputs.iter().any(special),
    },
    Deviation {
        op: "batchnorm_relu",
        conduct: Conduct::Differs,
        what: "x·γ/σ and β − μ·γ/σ are added, which is ∞ − ∞ = NaN where γ or μ is infinite and x is not",
        issue: "not reported: a form that the documentation leaves open",
        example: "batchnorm_relu/libtorch/f32/mode=infer,n=1,c=16,w=2/t1#hostile-36127",
        applies: |_, inputs| inputs[1..].iter().any(infinite),
    },
    Deviation {
        op: "batchnorm_relu",
        conduct: Conduct::Refuses,
        what: "training without channels is refused: `input tensor must have at least one element`",
        issue: "pytorch#120803",
        example: "batchnorm_relu/libtorch/f32/c=0/t1#real-0",
        applies: |problem, _| {
            let norm: &BatchnormRelu = downcast(problem);
            norm.mode == Mode::Train && norm.images.c == 0
        },
    },
    Deviation {
        op: "batchnorm_relu_backward",
        conduct: Conduct::Crashes,
        what: "the gradient without channels divides by zero (SIGFPE)",
        issue: "pytorch#120803",
        example: "batchnorm_relu_backward/libtorch/f32/c=0/t1#real-0",
        applies: |problem, _| downcast::<BatchnormReluBackward>(problem).images.c == 0,
    },
];

/// The first row that applies.
pub fn known(op: &str, problem: &dyn Problem, inputs: &[Data]) -> Option<&'static Deviation> {
    ALL.iter().find(|row| row.applies(op, problem, inputs))
}

/// The row that says that libtorch would end the process.
pub(super) fn crash(op: &str, problem: &dyn Problem, inputs: &[Data]) -> Option<&'static Deviation> {
    ALL.iter().find(|row| row.conduct == Conduct::Crashes && row.applies(op, problem, inputs))
}
