//! The judge: the gate, and for the checks the tests that hold them.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process_group};

use super::faults::Planted;
use super::generate::Mutant;
use super::results::{Outcome, Set};
use super::tree::Tree;
use super::users;

/// Seconds that a part of the gate may take. A mutant can make a loop endless.
const PART_SECONDS: u64 = 600;
/// Seconds that the whole gate may take.
const WHOLE_SECONDS: u64 = 1800;
/// Share of the machine's memory that one process may address, in parts: a mutant can ask for any amount.
const MEMORY_PARTS: u64 = 3;

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// `None` if its time was over.
    pub status: Option<ExitStatus>,
    /// What it printed.
    pub output: String,
}

impl Ended {
    /// Whether it ended with exit code 0.
    pub fn well(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }
}

/// Runs a program with its output in `log`, for so many seconds at most; then its whole process group is ended.
///
/// # Errors
/// If it cannot be started or its output not be read.
pub fn run(command: &mut Command, seconds: u64, log: &Path) -> anyhow::Result<Ended> {
    let file = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    command.stdout(file.try_clone()?).stderr(file).process_group(0);
    let mut child = command.spawn().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if start.elapsed() > Duration::from_secs(seconds) {
            break None;
        }
        sleep(Duration::from_millis(20));
    };
    // Workers that a crash has left behind, too.
    if let Some(group) = Pid::from_raw(child.id() as i32) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    if status.is_none() {
        child.wait()?;
    }
    let output = fs::read(log).with_context(|| format!("cannot read {}", log.display()))?;
    Ok(Ended { status, output: String::from_utf8_lossy(&output).into_owned() })
}

/// The same program, which may address a part of the machine's memory only.
fn bounded(command: &Command) -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", r#"ulimit -v "$1"; shift; exec "$@""#, "sh", &memory_kib().to_string()]);
    limited.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        limited.current_dir(folder);
    }
    limited
}

fn memory_kib() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total =
        text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    // libtorch alone takes several GiB of addresses.
    total.map_or(8 << 20, |total: u64| (total / MEMORY_PARTS).max(6 << 20))
}

/// What became of something wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Whether it was found.
    pub outcome: Outcome,
    /// Who found it: `parity gemm/`, or a test.
    pub judge: Option<String>,
    /// How it shows: the gate's question, `crash`, `time limit`.
    pub question: Option<String>,
    /// The first case that failed.
    pub case: Option<String>,
    /// Seconds until it was found, or until all were content.
    pub seconds: f64,
}

impl Found {
    /// What does not compile is neither.
    pub fn unviable() -> Found {
        Found { outcome: Outcome::Unviable, judge: None, question: None, case: None, seconds: 0.0 }
    }
}

/// Runs the gate of a tree.
pub struct Judge<'a> {
    tree: &'a Tree,
}

impl<'a> Judge<'a> {
    /// For the gate as it was built.
    pub fn new(tree: &'a Tree) -> anyhow::Result<Judge<'a>> {
        Ok(Judge { tree })
    }

    /// A gate that is red without a fault finds everything: it must be green on these sources, once.
    ///
    /// # Errors
    /// If it is not.
    pub fn must_be_green(&self) -> anyhow::Result<()> {
        let green = self.tree.kept("green");
        if fs::read_to_string(&green).is_ok_and(|digest| digest == self.tree.digest()) {
            return Ok(());
        }
        note!("== the gate without a fault, once for these sources");
        let log = self.tree.log("gate");
        let ended = run(&mut bounded(&self.tree.gate()), WHOLE_SECONDS, &log)?;
        ensure!(ended.well(), "the gate is red without any fault: see {}", log.display());
        fs::write(&green, self.tree.digest()).with_context(|| format!("cannot write {}", green.display()))
    }

    /// Judges a planted fault: by its operator, then by all.
    pub fn planted(&self, fault: &Planted) -> anyhow::Result<Found> {
        let filters = [format!("{}/", fault.operator()), String::new()];
        self.steps(filters.iter().map(|filter| Step::gate(self.tree, filter, Some(&fault.name))))
    }

    /// Judges the mutant that is built: one of a kernel by its operator and by those that use it, or by all if all use it; one
    /// of the checks by their tests and by all.
    pub fn mutant(&self, mutant: &Mutant) -> anyhow::Result<Found> {
        if mutant.set == Set::Checks {
            let tests = [
                ("etalon-reference", &["contract", "bounds", "narrow", "gradients"][..]),
                ("etalon-kernels", &["wrong_kernels"]),
                ("etalon-fuzz-bodies", &["bodies", "replay"]),
            ];
            let tests = tests.into_iter().map(|(package, tests)| Step::tests(self.tree, package, tests));
            return self.steps(tests.chain([Step::gate(self.tree, "", None)]));
        }
        let filters = users::filters(&self.tree.kernels(), &mutant.file)?;
        self.steps(filters.iter().map(|filter| Step::gate(self.tree, filter, None)))
    }

    /// Goes on until one finds it.
    fn steps(&self, steps: impl Iterator<Item = Step>) -> anyhow::Result<Found> {
        let start = Instant::now();
        for mut step in steps {
            let ended = run(&mut step.command, step.seconds, &self.tree.log("gate"))?;
            if !ended.well() {
                return Ok(caught(&step.name, &ended, start.elapsed().as_secs_f64()));
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        Ok(Found { outcome: Outcome::Survived, judge: None, question: None, case: None, seconds })
    }
}

/// One program that judges.
struct Step {
    name: String,
    command: Command,
    seconds: u64,
}

impl Step {
    fn gate(tree: &Tree, filter: &str, fault: Option<&str>) -> Step {
        let mut command = tree.gate();
        command.arg("--fail-fast").args((!filter.is_empty()).then_some(filter));
        if let Some(fault) = fault {
            command.env("ETALON_FAULT", fault);
        }
        let seconds = if filter.is_empty() { WHOLE_SECONDS } else { PART_SECONDS };
        Step { name: format!("parity {filter}").trim().into(), command: bounded(&command), seconds }
    }

    fn tests(tree: &Tree, package: &str, tests: &[&str]) -> Step {
        let name = format!("tests of {package}: {}", tests.join(", "));
        Step { name, command: tree.tests(package, tests), seconds: WHOLE_SECONDS }
    }
}

/// What a program that did not end well says.
fn caught(judge: &str, ended: &Ended, seconds: f64) -> Found {
    let lines = || ended.output.lines();
    let failed = lines().find_map(|line| line.strip_prefix("FAILED ("));
    let question = match (failed.and_then(|line| line.split_once(')')), ended.status) {
        (_, None) => "time limit".to_owned(),
        (Some((question, _)), _) => question.to_owned(),
        (None, Some(status)) => match status.signal() {
            Some(signal) => format!("signal {signal}"),
            None => format!("exit code {}", status.code().unwrap_or_default()),
        },
    };
    let case = lines().find_map(|line| line.trim().strip_prefix("REPRO: cargo xtask parity '")?.strip_suffix('\''));
    Found {
        outcome: Outcome::Caught,
        judge: Some(judge.into()),
        question: Some(question),
        case: case.map(str::to_owned),
        seconds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(script: &str, seconds: u64) -> Ended {
        let folder = tempfile::tempdir().expect("a folder");
        run(Command::new("sh").args(["-c", script]), seconds, &folder.path().join("log")).expect("sh runs")
    }

    #[test]
    fn the_first_failure_is_told() {
        let red = ended(
            "echo 'FAILED (threads) bits'; echo \"REPRO: cargo xtask parity 'gemm/a/f32/m=2/t1#real-3'\"; exit 1",
            60,
        );
        let found = caught("parity gemm/", &red, 1.0);
        assert_eq!(found.outcome, Outcome::Caught);
        assert_eq!(found.question.as_deref(), Some("threads"));
        assert_eq!(found.case.as_deref(), Some("gemm/a/f32/m=2/t1#real-3"));
    }

    #[test]
    fn a_crash_and_an_endless_loop_are_found() {
        let crash = ended("kill -SEGV $$", 60);
        assert_eq!(caught("parity", &crash, 1.0).question.as_deref(), Some("signal 11"));
        // A child of it keeps nothing open.
        let endless = ended("sleep 1000 & sleep 1000", 0);
        assert_eq!(caught("parity", &endless, 1.0).question.as_deref(), Some("time limit"));
        assert!(ended("true", 60).well());
    }

    #[test]
    fn memory_is_bounded_and_the_environment_kept() {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -v; echo $ETALON_FAULT"]).env("ETALON_FAULT", "a.b");
        let folder = tempfile::tempdir().expect("a folder");
        let told = run(&mut bounded(&command), 60, &folder.path().join("log")).expect("sh runs").output;
        assert_eq!(told, format!("{}\na.b\n", memory_kib()));
    }
}
