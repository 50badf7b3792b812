//! Puts each record into its place: a row of the table of results, or a check.
//!
//! A row is a record that was timed, or that belongs to a run with timed records and could not be. All others are checks
//! of the parity gate.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use etalon_reference::record::{PeerTime, Record, Status};

use crate::load::Run;
use crate::numbers::Ratio;

/// Peers in the order of columns.
pub const PEERS: [&str; 5] = ["libtorch", "openblas", "faer", "gemm", "matrixmultiply"];

/// Half the width of the median's interval from which a row is called noisy, as a share of the median.
pub const NOISY_HALF: f64 = 0.03;
/// (p95 − p05) / median from which a row is called noisy.
pub const NOISY_RANGE: f64 = 0.30;

/// A row of the table of results.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    /// The record.
    pub record: &'a Record,
    /// Unique name within the page.
    pub anchor: String,
    /// Whether it stands for its case: the fastest of our kernels that agreed.
    pub headline: bool,
    /// Whether it is shown when there is one row a case: the headline, or the first row of a case without one. What failed
    /// or is mistrusted is always shown.
    pub shown: bool,
}

/// Every record in its place.
#[derive(Clone, Debug)]
pub struct Table<'a> {
    /// Rows, by operator, workload, dtype, threads; the headline of a case first.
    pub rows: Vec<Row<'a>>,
    /// Checks of the parity gate.
    pub checks: Vec<&'a Record>,
    /// Peers that occur.
    pub peers: Vec<String>,
    /// The cache state that is summed up: one, because times in different states have nothing in common.
    pub state: String,
}

impl Row<'_> {
    /// The workload's name, or the point.
    pub fn workload(&self) -> String {
        self.record.workload.clone().unwrap_or_else(|| point(self.record))
    }

    /// What deserves a word beside the operator: passes, cache states and packings other than the usual.
    pub fn tags(&self) -> Vec<String> {
        let r = self.record;
        let mut tags = Vec::new();
        if r.pass != "forward" && !r.op.ends_with(&r.pass) && !r.op.contains("_backward") {
            tags.push(r.pass.clone());
        }
        if r.cache != "warm" {
            tags.push(r.cache.clone());
        }
        if r.packing != "per-call" {
            tags.push(r.packing.clone());
        }
        tags
    }

    /// That there are fewer samples than the profile asks for, and what their interval covers.
    pub fn few(&self) -> Option<String> {
        let time = self.record.time.as_ref().filter(|time| time.few)?;
        let covers = time.coverage.map(|c| format!(", interval of {:.1} %", 100.0 * c));
        Some(format!("few: {} rounds{}", time.n, covers.unwrap_or_default()))
    }

    /// The operator, with the member of its family: rows of the same are summed up together.
    pub fn family(&self) -> String {
        self.record.variant.as_ref().map_or(self.record.op.clone(), |variant| format!("{} {variant}", self.record.op))
    }

    /// In one line, for sentences and pictures.
    pub fn label(&self) -> String {
        let r = self.record;
        let threads = if r.threads == 1 { "1 thread".into() } else { format!("{} threads", r.threads) };
        let mut label = format!("{} {} {} {threads}", r.op, self.workload(), r.dtype);
        for tag in self.tags() {
            label.push(' ');
            label.push_str(&tag);
        }
        label
    }

    /// Half the width of the median's interval as a share of the median.
    pub fn half(&self) -> Option<f64> {
        self.record.time.as_ref().map(|t| (t.high_ns - t.low_ns) / 2.0 / t.median_ns)
    }

    /// Whether its spread forbids fine conclusions.
    pub fn is_noisy(&self) -> bool {
        let range = self.record.time.as_ref().map_or(0.0, |t| (t.p95_ns - t.p05_ns) / t.median_ns);
        self.half().unwrap_or(0.0) > NOISY_HALF || range > NOISY_RANGE
    }

    /// The time beside `peer` in the same rounds.
    pub fn peer(&self, peer: &str) -> Option<&PeerTime> {
        self.record.peers.iter().find(|p| p.peer == peer)
    }

    /// The ratio to `peer`.
    pub fn ratio(&self, peer: &str) -> Option<Ratio> {
        self.peer(peer).map(|p| Ratio { value: p.ratio, low: p.ratio_low, high: p.ratio_high })
    }
}

impl<'a> Table<'a> {
    /// Sorts the records of `run` into their places.
    pub fn new(run: &'a Run) -> Table<'a> {
        let timed = |r: &&Record| r.time.is_some() || run.unusable.contains_key(&r.id);
        let timed: BTreeSet<_> = run.records.iter().filter(timed).map(|r| &r.run_id).collect();
        let (rows, checks): (Vec<_>, Vec<_>) =
            run.records.iter().partition(|r| r.time.is_some() || (r.status != Status::Ok && timed.contains(&r.run_id)));

        let mut best: HashMap<String, &Record> = HashMap::new();
        for &record in rows.iter().filter(|r| stands_for_us(r)) {
            let entry = best.entry(case_key(record)).or_insert(record);
            if rank(record) < rank(entry) {
                *entry = record;
            }
        }
        let mut order = Order::default();
        let mut sorted: Vec<_> = rows
            .into_iter()
            .map(|record| {
                let headline = best.get(&case_key(record)).is_some_and(|b| std::ptr::eq(*b, record));
                (order.of(record, headline), record, headline)
            })
            .collect();
        sorted.sort_by_key(|row| row.0);
        let mut cases = BTreeSet::new();
        let rows = sorted
            .into_iter()
            .enumerate()
            .map(|(i, (_, record, headline))| {
                let first = cases.insert(case_key(record));
                let wrong = matches!(record.status, Status::Failed | Status::Mistrusted);
                Row { record, anchor: format!("r{}", i + 1), headline, shown: first || wrong }
            })
            .collect();
        let mut table = Table { rows, checks, peers: peers(&run.records), state: String::new() };
        table.state = table.states().first().cloned().unwrap_or_default();
        table
    }

    /// Cache states of the rows, the usual one first.
    pub fn states(&self) -> Vec<String> {
        let states: BTreeSet<_> = self.rows.iter().map(|row| &row.record.cache).collect();
        let usual = |state: &&String| state.as_str() != "warm";
        let mut states: Vec<String> = states.into_iter().cloned().collect();
        states.sort_by_key(|state| usual(&state));
        states
    }

    /// The same rows, of which another state is summed up.
    pub fn in_state(&self, state: &str) -> Table<'a> {
        Table { state: state.into(), ..self.clone() }
    }

    /// Rows that stand for their case, of the state that is summed up.
    pub fn headlines(&self) -> impl Iterator<Item = &Row<'a>> {
        self.rows.iter().filter(|r| r.headline && r.record.cache == self.state)
    }
}

/// The point in the order of the operator's axes, as the case id has it.
pub fn point(record: &Record) -> String {
    let of_id = record.id.split('/').nth(3).filter(|p| p.contains('='));
    match of_id {
        Some(point) => point.replace(',', " "),
        None => record
            .point
            .iter()
            .map(|(k, v)| format!("{k}={}", v.to_string().trim_matches('"')))
            .collect::<Vec<_>>()
            .join(" "),
    }
}

/// Whether `kernel` is somebody else's.
pub fn is_peer(kernel: &str) -> bool {
    PEERS.contains(&kernel) || kernel.starts_with("openblas") || kernel.starts_with("libtorch")
}

/// A case apart from its kernel.
pub fn case_key(r: &Record) -> String {
    let workload = r.workload.as_deref().unwrap_or("");
    format!("{}|{workload}|{}|{}|{}|{}|{}|{}", r.op, point(r), r.dtype, r.threads, r.cache, r.packing, r.pass)
}

fn stands_for_us(r: &Record) -> bool {
    r.status == Status::Ok && r.time.is_some() && !is_peer(&r.kernel)
}

/// Paired rows before unpaired ones, then by time.
fn rank(r: &Record) -> (bool, u64) {
    (r.peers.is_empty(), r.time.as_ref().map_or(u64::MAX, |t| (t.median_ns * 1e3) as u64))
}

fn peers(records: &[Record]) -> Vec<String> {
    let found: BTreeSet<_> = records.iter().flat_map(|r| &r.peers).map(|p| p.peer.as_str()).collect();
    let known = PEERS.iter().copied().filter(|p| found.contains(p));
    let other = found.iter().copied().filter(|p| !PEERS.contains(p));
    known.chain(other).map(String::from).collect()
}

/// Ranks names by their first occurrence.
#[derive(Default)]
struct Order(BTreeMap<String, usize>);

impl Order {
    fn rank(&mut self, name: String) -> usize {
        let next = self.0.len();
        *self.0.entry(name).or_insert(next)
    }

    fn of(&mut self, r: &Record, headline: bool) -> (usize, usize, usize, usize, usize, bool, u64) {
        let case = case_key(r);
        (
            self.rank(format!("op {}", r.op)),
            self.rank(format!("workload {} {}", r.op, r.workload.clone().unwrap_or_else(|| point(r)))),
            self.rank(format!("dtype {}", r.dtype)),
            r.threads,
            self.rank(case),
            !headline,
            rank(r).1,
        )
    }
}
