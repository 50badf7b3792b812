//! Where libtorch is known to differ from an operator's definition.
//!
//! A test shows each row by its example; a row that is no longer needed fails there.

use crate::operator::downcast;
use crate::ops::batchnorm_relu::{BatchnormRelu, Mode};
use crate::ops::batchnorm_relu_backward::BatchnormReluBackward;
use crate::{Fill, Problem};

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
    /// Whether such a problem may show it with inputs of this fill.
    applies: fn(&dyn Problem, Fill) -> bool,
}

impl Deviation {
    /// Whether this problem of the operator may show it.
    pub fn applies(&self, op: &str, problem: &dyn Problem, fill: Fill) -> bool {
        self.op == op && (self.applies)(problem, fill)
    }
}

/// Every known difference of libtorch 2.13.
pub static ALL: &[Deviation] = &[
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
pub fn known(op: &str, problem: &dyn Problem, fill: Fill) -> Option<&'static Deviation> {
    ALL.iter().find(|row| row.applies(op, problem, fill))
}

/// The row that says that libtorch would end the process, whatever the inputs.
pub(super) fn crash(op: &str, problem: &dyn Problem) -> Option<&'static Deviation> {
    let crashes = |row: &&Deviation| row.conduct == Conduct::Crashes && Fill::ALL.iter().any(|&fill| row.applies(op, problem, fill));
    ALL.iter().find(crashes)
}
