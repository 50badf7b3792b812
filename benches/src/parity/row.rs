//! A row of the gate's answer.

use etalon_kernels::check::suite::Question;
use etalon_kernels::registry;
use etalon_reference::Case;
use etalon_reference::record::Status;
use serde::{Deserialize, Serialize};

use super::question;

/// What one kernel answered to one question on one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Case id; as a filter, it runs alone.
    pub id: String,
    /// The question: `parity`, `threads`, `repeat`, …
    pub question: String,
    /// Operator.
    pub op: String,
    /// Kernel.
    pub kernel: String,
    /// Element type.
    pub dtype: String,
    /// Fill.
    pub fill: String,
    /// Instruction set.
    pub isa: String,
    /// Threads.
    pub threads: usize,
    /// `ok`, `skipped`, `mistrusted` or `failed`.
    pub status: Status,
    /// Why, unless `ok`.
    pub reason: Option<String>,
    /// Largest absolute error of the output with the least headroom.
    pub error: Option<f64>,
    /// Bound where the headroom is least.
    pub bound: Option<f64>,
    /// Observed error / bound there.
    pub headroom: Option<f64>,
    /// libtorch's largest absolute error to the reference.
    pub libtorch_error: Option<f64>,
    /// What the witness says: `agrees`, `differs: …`, `crashed: signal 11`, `timed out after 60 s`, or why there is no answer.
    pub witness: String,
    /// Id of the smallest case found that fails alike: of the first failure of each kernel.
    pub smallest: Option<String>,
}

impl Row {
    /// The row of an answer that is still to come.
    pub(super) fn blank(case: &Case, question: Question) -> Row {
        let isa = registry::find(&case.op).and_then(|entry| entry.kernel(&case.kernel)).map(|kernel| kernel.isa.name());
        Row {
            id: case.to_string(),
            question: question::name(question),
            op: case.op.clone(),
            kernel: case.kernel.clone(),
            dtype: case.types.to_string(),
            fill: case.fill.to_string(),
            isa: isa.unwrap_or_default().into(),
            threads: case.threads,
            status: Status::Failed,
            reason: None,
            error: None,
            bound: None,
            headroom: None,
            libtorch_error: None,
            witness: "not asked".into(),
            smallest: None,
        }
    }

    /// Whether the kernel ran.
    pub fn executed(&self) -> bool {
        self.status != Status::Skipped
    }
}
