//! libtorch in a process of its own: what it overwrites there, and how it ends, harms nobody.
//!
//! Inputs are a function of the case, so that its id is all that is sent; outputs come back as raw numbers. The process is
//! this program again ([`worker`]).

use std::io::{self, BufRead, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use etalon_reference::Case;
use ndarray::{ArrayD, IxDyn};
use serde::{Deserialize, Serialize};

use crate::child::{self, Lost, Worker};
use crate::worker::{self, Program};

/// What libtorch says to a case.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// One logical array an output.
    Outputs(Vec<ArrayD<f64>>),
    /// It gives an error, or is known to crash and is not asked.
    Refused(String),
    /// The process ended: `signal 11`.
    Crashed(String),
    /// It took longer than this.
    TimedOut(Duration),
}

/// A line to the process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// The case id.
    pub case: String,
    /// What to do.
    pub wanted: Wanted,
}

/// What the process is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wanted {
    /// Compute the outputs.
    Outputs,
    /// Compute the outputs even where libtorch is known to crash.
    OutputsAtAnyPrice,
    /// Call each of the timed ways, on so many threads.
    Ways(usize),
}

/// The first line of an answer.
#[derive(Debug, Serialize, Deserialize)]
enum Header {
    /// The shapes; the numbers follow, little-endian.
    Outputs(Vec<Vec<usize>>),
    Refused(String),
}

/// What comes back through the pipe.
pub(crate) type Reply = Result<Vec<ArrayD<f64>>, String>;

impl child::Answer for Reply {
    fn read(from: &mut dyn BufRead) -> io::Result<Option<Reply>> {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let shapes = match serde_json::from_str(&line)? {
            Header::Refused(reason) => return Ok(Some(Err(reason))),
            Header::Outputs(shapes) => shapes,
        };
        let array = |shape: Vec<usize>| {
            let mut bytes = vec![0; shape.iter().product::<usize>() * 8];
            from.read_exact(&mut bytes)?;
            let numbers = bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().expect("eight bytes")));
            ArrayD::from_shape_vec(IxDyn(&shape), numbers.collect()).map_err(io::Error::other)
        };
        Ok(Some(Ok(shapes.into_iter().map(array).collect::<io::Result<_>>()?)))
    }
}

/// Writes a reply as [`child::Answer::read`] reads it.
pub(crate) fn write(reply: &Reply, to: &mut dyn Write) -> io::Result<()> {
    let header = match reply {
        Ok(arrays) => Header::Outputs(arrays.iter().map(|a| a.shape().to_vec()).collect()),
        Err(reason) => Header::Refused(reason.clone()),
    };
    writeln!(to, "{}", serde_json::to_string(&header)?)?;
    for array in reply.iter().flatten() {
        let bytes: Vec<u8> = array.iter().flat_map(|x| x.to_le_bytes()).collect();
        to.write_all(&bytes)?;
    }
    to.flush()
}

/// The process, started when it is first asked and again after it was lost.
pub struct Witness {
    program: Program,
    limit: Duration,
    running: Option<Running>,
}

struct Running {
    process: Worker<Reply>,
    /// Cases that it has answered.
    answered: usize,
    /// The request that it works on.
    request: Option<String>,
}

impl Witness {
    /// A witness that is this program again, or another one of the suite. Each case may take `limit`.
    pub fn new(program: Program, limit: Duration) -> Witness {
        Witness { program, limit, running: None }
    }

    /// Asks for the outputs.
    pub fn ask(&mut self, case: &Case) -> Answer {
        self.settle(&request(case, Wanted::Outputs))
    }

    /// Asks for the outputs even where libtorch is known to end the process.
    pub fn ask_at_any_price(&mut self, case: &Case) -> Answer {
        self.settle(&request(case, Wanted::OutputsAtAnyPrice))
    }

    /// Sends the question already: libtorch computes while the caller does. [`ask`](Witness::ask) then waits for the answer.
    pub fn begin(&mut self, case: &Case) {
        // A process that was lost shows when it is asked.
        let _ = self.send(&request(case, Wanted::Outputs));
    }

    /// Ends the process: the next question is answered by a new one.
    pub fn restart(&mut self) {
        self.running = None;
    }

    /// The answer, from a process that has answered nothing else if the first one crashes: a crash may be the late effect
    /// of a case before, which overwrote memory.
    fn settle(&mut self, request: &str) -> Answer {
        let fresh = self.running.as_ref().is_none_or(|running| running.answered == 0);
        match self.exchange(request) {
            Err(Lost::Crashed(_)) if !fresh => self.exchange(request),
            answer => answer,
        }
        .unwrap_or_else(|lost| match lost {
            Lost::Crashed(how) => Answer::Crashed(how),
            Lost::TimedOut(limit) => Answer::TimedOut(limit),
        })
    }

    fn exchange(&mut self, request: &str) -> Result<Answer, Lost> {
        self.send(request)?;
        let Some(mut running) = self.running.take() else { return Err(Lost::Crashed("it does not run".into())) };
        let reply = running.process.receive(self.limit)?;
        running.answered += 1;
        running.request = None;
        self.running = Some(running);
        Ok(reply.map_or_else(Answer::Refused, Answer::Outputs))
    }

    /// Makes sure that the process runs and works on this request.
    fn send(&mut self, request: &str) -> Result<(), Lost> {
        let at_work = self.running.as_ref().and_then(|running| running.request.as_deref());
        if at_work == Some(request) {
            return Ok(());
        }
        // The answer to another question is not waited for.
        if at_work.is_some() {
            self.running = None;
        }
        let mut running = match self.running.take() {
            Some(running) => running,
            None => self.start().map_err(|error| Lost::Crashed(format!("it does not start: {error}")))?,
        };
        running.process.send(request)?;
        running.request = Some(request.into());
        self.running = Some(running);
        Ok(())
    }

    fn start(&self) -> io::Result<Running> {
        let process = Worker::start(&mut self.program.worker(worker::WITNESS))?;
        Ok(Running { process, answered: 0, request: None })
    }
}

/// The process's side: answers one request.
pub(crate) fn serve() -> impl FnMut(&str) -> io::Result<()> {
    |line| {
        let request: Request = serde_json::from_str(line)?;
        let operators = etalon_kernels::registry::operators();
        let reply = Case::parse(&request.case, &operators)
            .map_err(|error| error.to_string())
            .and_then(|case| answer(&case, request.wanted));
        write(&reply, &mut io::stdout().lock())
    }
}

#[cfg(feature = "libtorch")]
fn answer(case: &Case, wanted: Wanted) -> Reply {
    use etalon_reference::{ops, torch};
    let operator = ops::find(&case.op).ok_or("no such operator")?;
    let problem = operator.problem(&case.point).map_err(|error| error.to_string())?;
    let inputs = problem.draw(case.types, case.fill, case.seed);
    match wanted {
        Wanted::Outputs => {
            torch::set_threads(1);
            torch::outputs(operator, &*problem, case.types, &inputs)
        }
        Wanted::OutputsAtAnyPrice => {
            torch::set_threads(1);
            let twin = torch::twin(operator.name).ok_or("no twin")?;
            torch::outputs_of(twin, &*problem, case.types, &inputs)
        }
        Wanted::Ways(threads) => {
            let ways = torch::ways(operator, &*problem, case.types, &inputs, threads)?;
            ways.into_iter().for_each(|mut way| way.call());
            Ok(Vec::new())
        }
    }
}

#[cfg(not(feature = "libtorch"))]
fn answer(_: &Case, _: Wanted) -> Reply {
    Err("built without the feature `libtorch`".into())
}

fn request(case: &Case, wanted: Wanted) -> String {
    serde_json::to_string(&Request { case: case.to_string(), wanted }).expect("text")
}

/// How long libtorch's timed ways may take together.
const WAYS_LIMIT: Duration = Duration::from_secs(120);

/// Whether libtorch survives what is to be timed in this process: each of its timed ways, called in a process of its own.
/// Where this program has no such process ([`worker::asked`]) the answer is yes. A refusal is survived.
///
/// # Errors
/// How it ends.
pub fn survives(case: &Case, threads: usize) -> Result<(), String> {
    if !worker::available() {
        return Ok(());
    }
    // The process, and the answer for the last problem: kernels and numbers of threads do not change it.
    static WITNESS: Mutex<Option<Witness>> = Mutex::new(None);
    static LAST: Mutex<Option<(Case, Result<(), String>)>> = Mutex::new(None);
    let mut witness = WITNESS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let problem = Case { kernel: String::new(), threads: 1, ..case.clone() };
    if let Some((_, answer)) = last.as_ref().filter(|(of, _)| *of == problem) {
        return answer.clone();
    }
    let program = Program::this().map_err(|error| error.to_string())?;
    let witness = witness.get_or_insert_with(|| Witness::new(program, WAYS_LIMIT));
    let answer = match witness.settle(&request(case, Wanted::Ways(threads))) {
        Answer::Outputs(_) | Answer::Refused(_) => Ok(()),
        Answer::Crashed(how) => Err(format!("it is not timed, because it crashes: {how}")),
        Answer::TimedOut(limit) => {
            Err(format!("it is not timed, because a call takes more than {} s", limit.as_secs()))
        }
    };
    *last = Some((problem, answer.clone()));
    answer
}
