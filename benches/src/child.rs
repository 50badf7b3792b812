//! A process of our own that answers requests one at a time, may crash or hang, and does no harm by it.
//!
//! Requests are lines on its standard input, answers come on its standard output. What it says on standard error is kept:
//! the last line belongs to the description of its end.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What a child answers.
pub trait Answer: Sized + Send + 'static {
    /// Reads one; `None` at the end.
    ///
    /// # Errors
    /// If what comes is no answer.
    fn read(from: &mut dyn BufRead) -> io::Result<Option<Self>>;
}

/// Why there is no answer. The child is then gone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// It ended.
    #[error("crashed: {0}")]
    Crashed(String),
    /// It did not answer in time.
    #[error("timed out after {} s", shown(*.0))]
    TimedOut(Duration),
}

fn shown(limit: Duration) -> f64 {
    (limit.as_secs_f64() * 10.0).round() / 10.0
}

/// A running child. Dropping it ends the process.
pub struct Worker<A> {
    process: Child,
    answers: Receiver<io::Result<A>>,
    last_words: Arc<Mutex<String>>,
}

/// How long a process whose output has ended may take to end itself.
const GRACE: Duration = Duration::from_secs(5);

/// How long one that is not needed any more may take to end itself.
const LEAVE: Duration = Duration::from_millis(500);

impl<A: Answer> Worker<A> {
    /// Starts it.
    ///
    /// # Errors
    /// If the system does not.
    pub fn start(command: &mut Command) -> io::Result<Worker<A>> {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (sender, answers) = mpsc::channel();
        if let Some(output) = process.stdout.take() {
            thread::spawn(move || {
                let mut output = BufReader::new(output);
                while let Some(answer) = A::read(&mut output).transpose() {
                    let last = answer.is_err();
                    if sender.send(answer).is_err() || last {
                        break;
                    }
                }
            });
        }
        let last_words = Arc::default();
        if let Some(errors) = process.stderr.take() {
            let heard = Arc::clone(&last_words);
            thread::spawn(move || listen(errors, &heard));
        }
        Ok(Worker { process, answers, last_words })
    }

    /// Sends a request, one line.
    ///
    /// # Errors
    /// If it is gone.
    pub fn send(&mut self, request: &str) -> Result<(), Lost> {
        let Some(input) = self.process.stdin.as_mut() else { return Err(self.end()) };
        writeln!(input, "{request}").and_then(|()| input.flush()).map_err(|_| self.end())
    }

    /// The next answer.
    ///
    /// # Errors
    /// If it ends, says what is no answer, or takes longer than `limit`.
    pub fn receive(&mut self, limit: Duration) -> Result<A, Lost> {
        match self.answers.recv_timeout(limit) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                let _ = self.process.kill();
                let _ = self.process.wait();
                Err(Lost::Crashed(format!("what it answers makes no sense: {error}")))
            }
            Err(RecvTimeoutError::Disconnected) => Err(self.end()),
            Err(RecvTimeoutError::Timeout) => {
                let _ = self.process.kill();
                let _ = self.process.wait();
                Err(Lost::TimedOut(limit))
            }
        }
    }

    /// How it ended, after its output did.
    fn end(&mut self) -> Lost {
        let since = Instant::now();
        let status = loop {
            match self.process.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if since.elapsed() < GRACE => thread::sleep(Duration::from_millis(5)),
                _ => {
                    let _ = self.process.kill();
                    return Lost::Crashed("it closed its output".into());
                }
            }
        };
        // The listener may be behind by a moment.
        thread::sleep(Duration::from_millis(10));
        let words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
        Lost::Crashed(if words.is_empty() { told(status) } else { format!("{}: {words}", told(status)) })
    }
}

impl<A> Drop for Worker<A> {
    /// One that waits for a request ends by itself when there are no more, and ends its own workers.
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let since = Instant::now();
        while since.elapsed() < LEAVE && matches!(self.process.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(2));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `signal 11` or `exit status 101`.
fn told(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("signal {signal}");
    }
    status.code().map_or_else(|| status.to_string(), |code| format!("exit status {code}"))
}

/// Keeps the last line that is worth telling.
fn listen(errors: impl Read, heard: &Mutex<String>) {
    for line in BufReader::new(errors).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).trim().to_owned();
        // Rust's hint that follows every panic says nothing of this one.
        if !line.is_empty() && !line.starts_with("note: run with") {
            *heard.lock().unwrap_or_else(PoisonError::into_inner) = line;
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    struct Line(String);

    impl Answer for Line {
        fn read(from: &mut dyn BufRead) -> io::Result<Option<Line>> {
            let mut line = String::new();
            Ok((from.read_line(&mut line)? > 0).then(|| Line(line.trim().into())))
        }
    }

    fn shell(script: &str) -> Worker<Line> {
        Worker::start(Command::new("sh").args(["-c", script])).expect("a shell")
    }

    const SOON: Duration = Duration::from_millis(300);
    const LATE: Duration = Duration::from_secs(30);

    #[test]
    fn answers_come_in_turn() {
        let mut worker = shell("while read x; do echo \"got $x\"; done");
        for request in ["a", "b"] {
            worker.send(request).expect("sent");
            assert_eq!(worker.receive(LATE).expect("an answer").0, format!("got {request}"));
        }
    }

    #[test]
    fn the_end_is_described() {
        let end = |script: &str| {
            let mut worker = shell(script);
            let sent = worker.send("x");
            sent.and_then(|()| worker.receive(LATE).map(|_| ())).expect_err("it ends").to_string()
        };
        assert_eq!(end("read x; kill -SEGV $$"), "crashed: signal 11");
        assert_eq!(end("read x; echo 'double free' >&2; kill -ABRT $$"), "crashed: signal 6: double free");
        assert_eq!(end("read x; exit 3"), "crashed: exit status 3");
    }

    #[test]
    fn who_hangs_is_ended() {
        let mut worker = shell("read x; exec sleep 100");
        worker.send("x").expect("sent");
        let lost = worker.receive(SOON).err().expect("no answer");
        assert_eq!(lost, Lost::TimedOut(SOON));
        assert_eq!(lost.to_string(), "timed out after 0.3 s");
        assert!(worker.process.try_wait().expect("a status").is_some(), "the process is gone");
    }
}
