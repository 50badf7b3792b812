//! A failure, shrunk to the smallest case found in a given time.

use std::time::{Duration, Instant};

use etalon_kernels::check::shrink;
use etalon_kernels::registry;
use etalon_reference::Case;
use etalon_reference::record::Status;

use super::run::{Manner, Runner};
use super::{Ask, Row};

/// The smallest case found within `time` that fails the same question; `None` if there is no smaller one. A worker asks it, so
/// that crashes and hangs shrink, too.
pub fn smallest(ask: &Ask, manner: &Manner, time: Duration) -> Option<Row> {
    let start = Instant::now();
    let mut runner = Runner::new(manner);
    let (mut now, mut row) = (ask.case.clone(), None);
    'smaller: loop {
        for case in shrink::simpler(&now).filter(possible) {
            let left = time.saturating_sub(start.elapsed());
            if left.is_zero() {
                return row;
            }
            let answer = runner.ask(&Ask { case, ..ask.clone() }, manner.limit.min(left));
            // One that did not end for lack of time has not failed.
            let in_time = start.elapsed() < time;
            if answer.status == Status::Failed && in_time {
                now = Case::parse(&answer.id, &registry::operators()).ok()?;
                row = Some(answer);
                continue 'smaller;
            }
        }
        return row;
    }
}

/// Whether the case is a problem that its kernel computes.
fn possible(case: &Case) -> bool {
    let Some(entry) = registry::find(&case.op) else { return false };
    let (kernel, problem) = (entry.kernel(&case.kernel), entry.operator.problem(&case.point));
    matches!((kernel, problem), (Some(kernel), Ok(problem)) if kernel.applies(&*problem, case.types).is_ok())
}
