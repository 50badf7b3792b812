//! The supervisor: hands cases to workers, outlives them, and gives the rows in the order of the cases.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use etalon_reference::record::Status;

use super::judge::Stage;
use super::work::{Request, Said};
use super::{Ask, Row};
use crate::child::{Lost, Worker};
use crate::worker::{self, Program};

/// How to run.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Workers at a time.
    pub jobs: usize,
    /// How long a kernel may take for a case, and a witness.
    pub limit: Duration,
    /// The program that is its own worker.
    pub program: Program,
    /// Whether to begin nothing new after a failure.
    pub fail_fast: bool,
}

/// How much longer the reference may take: it is written to be read.
const REFERENCE: u32 = 10;

/// What a witness that takes too long may take to be ended.
const GRACE: Duration = Duration::from_secs(10);

/// Asks everything. `each` gets the rows in the order of `asks`, and says whether to go on. With [`Manner::fail_fast`] the
/// first row that failed is the last one.
///
/// # Errors
/// Those of `each`; or workers cannot be started.
pub fn run(asks: &[Ask], manner: &Manner, mut each: impl FnMut(Row) -> Result<bool>) -> Result<()> {
    let first = Worker::<Said>::start(&mut manner.program.worker(worker::KERNEL));
    drop(first.with_context(|| format!("cannot start {}", manner.program.starter().display()))?);
    let groups = groups(asks);
    let (next, last) = (AtomicUsize::new(0), AtomicUsize::new(asks.len()));
    let (sender, rows) = mpsc::channel::<(usize, Row)>();
    thread::scope(|scope| {
        for _ in 0..manner.jobs.clamp(1, groups.len().max(1)) {
            let (sender, groups, next, last) = (sender.clone(), &groups, &next, &last);
            scope.spawn(move || {
                let mut runner = Runner::new(manner);
                while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for index in group.clone().take_while(|index| *index < last.load(Ordering::Relaxed)) {
                        let row = runner.ask(&asks[index], manner.limit);
                        if manner.fail_fast && row.status == Status::Failed {
                            last.fetch_min(index, Ordering::Relaxed);
                        }
                        if sender.send((index, row)).is_err() {
                            return;
                        }
                    }
                }
            });
        }
        drop(sender);
        let (mut waiting, mut due) = (BTreeMap::new(), 0);
        for (index, row) in rows {
            waiting.insert(index, row);
            while let Some(row) = waiting.remove(&due) {
                due += 1;
                let failed = row.status == Status::Failed;
                let go_on = each(row);
                if !matches!(go_on, Ok(true)) || failed && manner.fail_fast {
                    last.store(0, Ordering::Relaxed);
                    return go_on.map(|_| ());
                }
            }
        }
        Ok(())
    })
}

/// Cases that follow each other and have the same inputs go to one worker, which computes their reference once.
fn groups(asks: &[Ask]) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for (index, ask) in asks.iter().enumerate() {
        let same = |other: &Ask| {
            let (a, b) = (&ask.case, &other.case);
            (&a.op, a.types, &a.point, a.fill, a.seed) == (&b.op, b.types, &b.point, b.fill, b.seed)
        };
        match groups.last_mut() {
            Some(group) if same(&asks[group.start]) => group.end = index + 1,
            _ => groups.push(index..index + 1),
        }
    }
    groups
}

/// One worker and its successors.
pub(super) struct Runner<'a> {
    manner: &'a Manner,
    process: Option<Worker<Said>>,
    /// Cases that the running process has answered.
    answered: usize,
}

impl Runner<'_> {
    pub fn new(manner: &Manner) -> Runner<'_> {
        Runner { manner, process: None, answered: 0 }
    }

    /// The answer. A worker that does not give one has failed, and the next case gets a new one.
    pub fn ask(&mut self, ask: &Ask, limit: Duration) -> Row {
        let fresh = self.answered == 0;
        match self.once(ask, limit) {
            Ok(row) => row,
            Err((stage, lost)) => {
                let mut reason = match stage {
                    Stage::Reference => format!("the reference {lost}"),
                    Stage::Kernel => format!("the kernel {lost}"),
                    Stage::Witness => format!("the worker {lost} when the witness was asked"),
                };
                if matches!(lost, Lost::Crashed(_)) && !fresh && self.once(ask, limit).is_ok() {
                    reason += "; it does not in a fresh process: a case before may have overwritten memory";
                }
                Row { reason: Some(reason), ..Row::blank(&ask.case, ask.question) }
            }
        }
    }

    fn once(&mut self, ask: &Ask, limit: Duration) -> Result<Row, (Stage, Lost)> {
        let mut stage = Stage::Reference;
        let answer = self.exchange(ask, limit, &mut stage);
        if answer.is_err() {
            (self.process, self.answered) = (None, 0);
        }
        answer.map_err(|lost| (stage, lost))
    }

    fn exchange(&mut self, ask: &Ask, limit: Duration, stage: &mut Stage) -> Result<Row, Lost> {
        if self.process.is_none() {
            let started = Worker::start(&mut self.manner.program.worker(worker::KERNEL));
            self.process = Some(started.map_err(|error| Lost::Crashed(format!("at its start: {error}")))?);
        }
        let process = self.process.as_mut().expect("it was just started");
        process.send(&Request::line(ask, self.manner))?;
        loop {
            let patience = match stage {
                Stage::Reference => limit * REFERENCE,
                Stage::Kernel => limit,
                // A witness that was lost late is asked again.
                Stage::Witness => self.manner.limit * 2 + GRACE,
            };
            match process.receive(patience)? {
                Said::At(next) => *stage = next,
                Said::Row(row) => {
                    self.answered += 1;
                    return Ok(*row);
                }
            }
        }
    }
}
