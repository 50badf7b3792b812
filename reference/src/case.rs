//! Case ids: `operator/kernel/dtype/point/tN#fill-seed`, one string that is id, filter and repro at once.
//!
//! `tN-eager` says that the N threads are used for any work, however small, as tests do to reach the paths of large problems.

use std::fmt;

use crate::axis::PointError;
use crate::{Fill, Operator, Point, Types};

/// One thing to check or to time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Operator.
    pub op: String,
    /// Kernel.
    pub kernel: String,
    /// Element type.
    pub types: Types,
    /// Coordinates.
    pub point: Point,
    /// Threads.
    pub threads: usize,
    /// Whether all threads are used however little there is to do.
    pub eager: bool,
    /// Fill of the inputs.
    pub fill: Fill,
    /// Seed of the inputs.
    pub seed: u64,
}

/// What follows the number of threads in the id of an eager case.
const EAGER: &str = "-eager";

/// A text that is no case id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaseError {
    /// Not five parts and a seed.
    #[error(
        "`{0}` is not of the form operator/kernel/dtype/point/tN#fill-seed (tN-eager for threads that take any work)"
    )]
    Form(String),
    /// No such operator.
    #[error("unknown operator `{0}`: expected {1}")]
    Operator(String, String),
    /// The point does not fit the operator's axes.
    #[error(transparent)]
    Point(#[from] PointError),
}

impl Case {
    /// Reads what [`Display`](fmt::Display) writes. `operators` are the known ones. The kernel's name is not looked up.
    ///
    /// # Errors
    /// [`CaseError`] if the text is no case id.
    pub fn parse(text: &str, operators: &[&'static Operator]) -> Result<Case, CaseError> {
        let form = || CaseError::Form(text.into());
        let (path, data) = text.split_once('#').ok_or_else(form)?;
        let [op, kernel, types, point, threads] = path.split('/').collect::<Vec<_>>().try_into().map_err(|_| form())?;
        let (fill, seed) = data.split_once('-').ok_or_else(form)?;
        let operator = operators.iter().find(|o| o.name == op).ok_or_else(|| {
            CaseError::Operator(op.into(), operators.iter().map(|o| o.name).collect::<Vec<_>>().join(", "))
        })?;
        let (threads, eager) = match threads.strip_suffix(EAGER) {
            Some(threads) => (threads, true),
            None => (threads, false),
        };
        let threads = threads.strip_prefix('t').and_then(|t| t.parse().ok()).filter(|&t| t > 0).ok_or_else(form)?;
        Ok(Case {
            op: op.into(),
            kernel: kernel.into(),
            types: types.parse().map_err(|_| form())?,
            point: Point::parse(operator.axes, point)?,
            threads,
            eager,
            fill: fill.parse().map_err(|_| form())?,
            seed: seed.parse().map_err(|_| form())?,
        })
    }

    /// The id without threads and seed: what stays the same over runs with other inputs.
    pub fn stem(&self) -> String {
        format!("{}/{}/{}/{}", self.op, self.kernel, self.types, self.point)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.eager { EAGER } else { "" };
        write!(f, "{}/t{}{mode}#{}-{}", self.stem(), self.threads, self.fill, self.seed)
    }
}
