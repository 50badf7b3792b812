//! Whether a paired ratio is what two programs that do nothing else would see: ours and each peer once more, each alone in a
//! process of its own.
//!
//! The process is this program again, started with [`ALONE`]: it times one subject of one case and prints one line.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use etalon_kernels::check::Prepared;
use etalon_kernels::pool::Pool;
use etalon_kernels::registry;
use etalon_reference::case::Case;
use etalon_reference::ops;
use etalon_reference::record::{Audit, PeerTime, Record, SCHEMA_VERSION};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::profile::Profile;
use crate::rounds::{self, Method};
use crate::subject::{Ours, Subject};
use crate::{peers, stats, suite};

/// The first argument of a process that times one subject alone; the subject and the case id follow.
pub const ALONE: &str = "--alone";
/// The name of our own subject.
pub const OURS: &str = "ours";
/// Time for a subject's samples.
const BUDGET: Duration = Duration::from_millis(400);
/// Time before them: the machine's clock and the allocator settle.
const SETTLE: Duration = Duration::from_millis(100);

/// From which median disagreement the ratios of a suite do not say what they seem to.
pub const MEDIAN_BAR: f64 = 0.03;
/// From which disagreement a case needs a reason.
pub const CASE_BAR: f64 = 0.10;
/// Times that paired rounds are run at most.
const MOST_PAIRED: usize = 3;
/// How many times as many launches as asked for a case gets at most.
const MOST_LAUNCHES: usize = 3;

/// What a process that times one subject prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alone {
    /// Median time of a call, in nanoseconds.
    pub median_ns: f64,
    /// Samples.
    pub n: usize,
    /// Which of its functions the subject calls, where it has several.
    pub way: Option<String>,
}

/// Times the subject `name` of a case, in this process.
///
/// # Errors
/// Why it cannot be timed.
pub fn alone(name: &str, id: &str) -> Result<Alone> {
    let case = Case::parse(id, ops::ALL)?;
    let entry = registry::find(&case.op).with_context(|| format!("no kernels of {}", case.op))?;
    let prepared = Prepared::new(entry.operator, &case.point, case.types, case.fill, case.seed)?;
    let pool = Arc::new(Pool::new(case.threads));
    let mut subject: Box<dyn Subject + '_> = if name == OURS {
        let kernel = entry.kernel(&case.kernel).with_context(|| format!("no kernel `{}`", case.kernel))?;
        Box::new(Ours::new(kernel, &prepared, pool).map_err(anyhow::Error::msg)?)
    } else {
        peers::prepare(name, &prepared, &pool).map_err(anyhow::Error::msg)?
    };
    let method = Method { profile: Profile::Standard, share: 1.0, threads: case.threads, eviction: None };
    rounds::alone(&mut *subject, method, SETTLE);
    let samples = rounds::alone(&mut *subject, method, BUDGET).samples.swap_remove(0);
    Ok(Alone { median_ns: stats::median(&samples), n: samples.len(), way: subject.way().map(Into::into) })
}

/// Starts a process that times the subject.
///
/// # Errors
/// What the process says, or how it ended.
fn launch(name: &str, id: &str) -> Result<Alone> {
    let program = std::env::current_exe().context("this program's path")?;
    let output = Command::new(program).args([ALONE, name, id]).output().context("a process of its own")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{name} alone: {} {}", output.status, said.lines().last().unwrap_or_default());
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("what {name} alone prints"))
}

/// Times ours and every peer of a paired record alone, `launches` times in turn, and puts the ratios side by side. Where a
/// disagreement is above [`CASE_BAR`] and has no reason, so few processes may not show how far processes spread: as many
/// again are launched, twice at most, and then `again` times the rounds anew, on other buffers, twice at most; all of them
/// count.
///
/// # Errors
/// If a process fails.
pub fn audit(record: &Record, launches: usize, mut again: impl FnMut() -> Record) -> Result<Vec<Audit>> {
    ensure!(launches > 0, "at least one launch");
    let names: Vec<&str> = std::iter::once(OURS).chain(record.peers.iter().map(|p| p.peer.as_str())).collect();
    let mut times: Vec<Vec<Alone>> = vec![Vec::new(); names.len()];
    let few = record.time.as_ref().is_some_and(|time| time.few);
    for turn in 0..MOST_LAUNCHES * launches {
        for who in 0..names.len() {
            // In rotating order, as in rounds.
            let who = (who + turn) % names.len();
            times[who].push(launch(names[who], &record.id)?);
        }
        if (turn + 1) % launches == 0 && explained(&rows(record, &times, few)) {
            break;
        }
    }
    let mut records = vec![record.clone()];
    while records.len() < MOST_PAIRED && !explained(&rows(&together(&records), &times, few)) {
        records.push(again());
    }
    Ok(rows(&together(&records), &times, few))
}

/// Whether each row agrees or has its reason.
fn explained(rows: &[Audit]) -> bool {
    !rows.iter().any(|row| row.disagreement > CASE_BAR && row.reason.is_none())
}

/// One record of several: of each peer the median of the ratios, and from the least to the greatest end of their intervals.
fn together(records: &[Record]) -> Record {
    let mut all = records[0].clone();
    for peer in &mut all.peers {
        let of = |record: &'_ Record| record.peers.iter().find(|other| other.peer == peer.peer).cloned();
        let times: Vec<PeerTime> = records.iter().filter_map(of).collect();
        peer.ratio = stats::median(&times.iter().map(|time| time.ratio).collect::<Vec<f64>>());
        peer.ratio_low = times.iter().map(|time| time.ratio_low).fold(f64::INFINITY, f64::min);
        peer.ratio_high = times.iter().map(|time| time.ratio_high).fold(0.0, f64::max);
    }
    all
}

/// A row for each peer, from the launches so far: ours first.
fn rows(record: &Record, times: &[Vec<Alone>], few: bool) -> Vec<Audit> {
    record.peers.iter().zip(&times[1..]).map(|(peer, theirs)| of(record, peer, &times[0], theirs, few)).collect()
}

fn of(record: &Record, peer: &PeerTime, ours: &[Alone], theirs: &[Alone], few: bool) -> Audit {
    let medians = |times: &[Alone]| times.iter().map(|t| t.median_ns).collect::<Vec<f64>>();
    let (ours_ns, peer_ns) = (medians(ours), medians(theirs));
    let ratios: Vec<f64> = peer_ns.iter().zip(&ours_ns).map(|(peer, ours)| peer / ours).collect();
    let alone = stats::median(&peer_ns) / stats::median(&ours_ns);
    let (low, high) = ratios.iter().fold((alone, alone), |(low, high), &r| (low.min(r), high.max(r)));
    let disagreement = (peer.ratio / alone).max(alone / peer.ratio) - 1.0;
    let other = theirs.iter().filter_map(|t| t.way.as_ref()).find(|way| Some(*way) != peer.way.as_ref());
    let reason = if disagreement <= MEDIAN_BAR {
        None
    } else if let Some(other) = other {
        Some(format!("alone it found `{other}` the fastest"))
    } else if low <= peer.ratio && peer.ratio <= high {
        Some("the launches spread that far".to_owned())
    } else if peer.ratio_low <= high && low <= peer.ratio_high {
        Some("the paired interval and the launches overlap".to_owned())
    } else {
        few.then(|| "few rounds".to_owned())
    };
    Audit {
        schema_version: SCHEMA_VERSION,
        id: record.id.clone(),
        op: record.op.clone(),
        workload: record.workload.clone(),
        dtype: record.dtype.clone(),
        threads: record.threads,
        kernel: record.kernel.clone(),
        peer: peer.peer.clone(),
        way: peer.way.clone(),
        paired: peer.ratio,
        paired_low: peer.ratio_low,
        paired_high: peer.ratio_high,
        alone,
        alone_low: low,
        alone_high: high,
        ours_alone_ns: ours_ns,
        peer_alone_ns: peer_ns,
        disagreement,
        reason,
    }
}

/// A random order of the problems in which the operators take turns, so that the first few are spread over all of them.
pub fn shuffled<T>(cases: Vec<T>, of: impl Fn(&T) -> &suite::Subject, seed: u64) -> Vec<T> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut operators: Vec<(&'static str, Vec<T>)> = Vec::new();
    for case in cases {
        let name = of(&case).entry.operator.name;
        match operators.iter_mut().find(|(known, _)| *known == name) {
            Some((_, list)) => list.push(case),
            None => operators.push((name, vec![case])),
        }
    }
    let mut order = Vec::new();
    while !operators.is_empty() {
        for (_, list) in &mut operators {
            let pick = (rng.next_u64() % list.len() as u64) as usize;
            order.push(list.swap_remove(pick));
        }
        operators.retain(|(_, list)| !list.is_empty());
    }
    order
}

/// What an audit says together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Rows.
    pub cases: usize,
    /// Median disagreement.
    pub median: f64,
    /// The largest one.
    pub largest: f64,
    /// Rows beyond [`CASE_BAR`] without a reason.
    pub unexplained: usize,
}

impl Summary {
    /// Of these rows; nothing of none.
    pub fn of(rows: &[Audit]) -> Option<Summary> {
        let disagreements: Vec<f64> = rows.iter().map(|row| row.disagreement).collect();
        let unexplained = rows.iter().filter(|row| row.disagreement > CASE_BAR && row.reason.is_none()).count();
        (!rows.is_empty()).then(|| Summary {
            cases: rows.len(),
            median: stats::median(&disagreements),
            largest: disagreements.iter().copied().fold(0.0, f64::max),
            unexplained,
        })
    }

    /// Whether paired ratios are what programs alone would see.
    pub fn holds(&self) -> bool {
        self.median <= MEDIAN_BAR && self.unexplained == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(paired: (f64, f64, f64), ours: &[f64], theirs: &[f64], way: &str) -> Audit {
        let times = |list: &[f64], way: Option<&str>| {
            let one = |&median_ns: &f64| Alone { median_ns, n: 15, way: way.map(Into::into) };
            list.iter().map(one).collect::<Vec<Alone>>()
        };
        let peer = PeerTime {
            peer: "libtorch".into(),
            way: Some("mm_out".into()),
            median_ns: 100.0,
            ratio: paired.0,
            ratio_low: paired.1,
            ratio_high: paired.2,
            rounds: 15,
        };
        let subjects = suite::subjects("gemm/square.8/f32", None, Profile::Smoke).expect("valid");
        let run = crate::row::Run {
            id: "test".into(),
            environment: String::new(),
            profile: Profile::Smoke,
            peaks: Vec::new(),
            peers: Vec::new(),
        };
        let kernel = subjects[0].default_kernel().expect("a kernel");
        let record = run.blank(&subjects[0], None, kernel, 1, etalon_reference::Cache::Warm);
        of(&record, &peer, &times(ours, None), &times(theirs, Some(way)), false)
    }

    #[test]
    fn a_disagreement_is_a_factor_and_has_its_reason() {
        let agrees = row((1.01, 1.0, 1.02), &[100.0, 101.0, 99.0], &[101.0, 100.0, 102.0], "mm_out");
        assert!((agrees.disagreement - 0.0).abs() < 0.01 && agrees.reason.is_none(), "{agrees:?}");
        let off = row((2.0, 1.99, 2.01), &[100.0; 3], &[100.0; 3], "mm_out");
        assert!((off.disagreement - 1.0).abs() < 1e-12 && off.reason.is_none());
        assert_eq!(row((0.5, 0.49, 0.51), &[100.0; 3], &[100.0; 3], "mm_out").disagreement, off.disagreement);
        let way = row((1.2, 1.1, 1.3), &[100.0; 3], &[100.0; 3], "bmm_out");
        assert_eq!(way.reason.as_deref(), Some("alone it found `bmm_out` the fastest"));
        let spread = row((1.2, 1.1, 1.3), &[100.0; 3], &[100.0, 130.0, 100.0], "mm_out");
        assert_eq!(spread.reason.as_deref(), Some("the launches spread that far"));
        let summary = Summary::of(&[agrees.clone(), off, way]).expect("rows");
        assert_eq!((summary.cases, summary.unexplained, summary.holds()), (3, 1, false));
        assert!(Summary::of(&[agrees]).expect("a row").holds());
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn a_sample_is_spread_over_the_operators() {
        let subjects = suite::subjects("", None, Profile::Standard).expect("valid");
        let order = |seed| {
            let order = shuffled(subjects.clone(), |subject| subject, seed);
            order.iter().map(suite::Subject::path).collect::<Vec<_>>()
        };
        let first = order(1);
        let operators = |paths: &[String]| {
            paths
                .iter()
                .filter_map(|p| p.split('/').next().map(str::to_owned))
                .collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(operators(&first[..registry::ALL.len()]).len(), registry::ALL.len());
        assert_eq!(first, order(1));
        assert_ne!(first, order(2));
        let sorted = |mut paths: Vec<String>| {
            paths.sort();
            paths
        };
        assert_eq!(sorted(first), sorted(subjects.iter().map(suite::Subject::path).collect()));
    }
}
