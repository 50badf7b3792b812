//! The kernel worker's side, and what crosses the pipe.

use std::io::{self, BufRead, Write};
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use etalon_kernels::check::suite::Question;
use etalon_kernels::registry;
use etalon_reference::Case;
use serde::{Deserialize, Serialize};

use super::judge::{Judge, Stage};
use super::{Ask, Manner, Row, question};
use crate::child;
use crate::worker::{self, Program};

/// A line to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    case: String,
    question: String,
    /// Seconds that the witness has.
    limit: f64,
    /// What starts the witness.
    through: Option<PathBuf>,
}

impl Request {
    pub fn line(ask: &Ask, manner: &Manner) -> String {
        let request = Request {
            case: ask.case.to_string(),
            question: question::name(ask.question),
            limit: manner.limit.as_secs_f64(),
            through: manner.program.through.clone(),
        };
        serde_json::to_string(&request).expect("text and a number")
    }

    fn read(&self) -> Result<(Case, Question), String> {
        let case = Case::parse(&self.case, &registry::operators()).map_err(|error| error.to_string())?;
        Ok((case, question::of(&self.question).ok_or_else(|| format!("no question `{}`", self.question))?))
    }
}

/// A line from a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    /// What it does next.
    At(Stage),
    /// The answer.
    Row(Box<Row>),
}

impl child::Answer for Said {
    fn read(from: &mut dyn BufRead) -> io::Result<Option<Said>> {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        Ok(Some(serde_json::from_str(&line)?))
    }
}

fn say(said: &Said) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(said)?)?;
    out.flush()
}

/// What the last panic said, and where.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// Answers requests until there are no more. A kernel that panics has failed, and the next one is asked.
pub(crate) fn work() -> io::Result<()> {
    panic::set_hook(Box::new(|info| {
        *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = info.to_string().replace('\n', " ");
    }));
    let mut judge = None;
    worker::serve(|line| {
        let request: Request = serde_json::from_str(line)?;
        let (case, question) = request.read().map_err(io::Error::other)?;
        let program = Program { through: request.through, ..Program::this()? };
        let judge = judge.get_or_insert_with(|| Judge::new(program, Duration::from_secs_f64(request.limit)));
        let mut heard = Ok(());
        let asked = panic::catch_unwind(AssertUnwindSafe(|| {
            judge.row(&case, question, &mut |stage| {
                if heard.is_ok() {
                    heard = say(&Said::At(stage));
                }
            })
        }));
        let row = asked.unwrap_or_else(|_| {
            judge.reset();
            let what = PANIC.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Row { reason: Some(what), ..Row::blank(&case, question) }
        });
        heard?;
        say(&Said::Row(Box::new(row)))
    })
}
