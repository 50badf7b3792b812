//! What the rows say together.

use std::collections::BTreeMap;

use etalon_reference::record::{Record, Status};

use crate::numbers::{Ratio, geometric_mean, median};
use crate::rows::{Row, Table};

/// One peer over all headline rows that were timed beside it.
#[derive(Clone, Debug)]
pub struct PeerSummary {
    /// The peer.
    pub peer: String,
    /// Cases.
    pub cases: usize,
    /// Geometric mean.
    pub mean: Ratio,
    /// The least ratio, and where.
    pub worst: (Ratio, String, String),
    /// The greatest ratio, and where: label and anchor.
    pub best: (Ratio, String, String),
    /// Cases that are faster, even, slower by their interval.
    pub words: [usize; 3],
}

/// Shares of the measured limit of headline rows with the same limit, dtype and thread count.
#[derive(Clone, Debug)]
pub struct ShareSummary {
    /// `compute` or `memory`.
    pub bound: String,
    /// Element type.
    pub dtype: String,
    /// Threads.
    pub threads: usize,
    /// Each share, ascending, with label and anchor.
    pub shares: Vec<(f64, String, String)>,
}

impl ShareSummary {
    /// The median share.
    pub fn median(&self) -> f64 {
        median(&self.shares.iter().map(|s| s.0).collect::<Vec<_>>()).unwrap_or(0.0)
    }
}

/// An operator, of a family one member, at a dtype and a thread count: its ratio to each peer.
#[derive(Clone, Debug)]
pub struct FamilySummary {
    /// Operator, and the member of a family.
    pub op: String,
    /// Element type.
    pub dtype: String,
    /// Threads.
    pub threads: usize,
    /// Cases.
    pub cases: usize,
    /// Shares of the limit: least, median, greatest.
    pub share: Option<[f64; 3]>,
    /// For each peer of the table: geometric mean, least ratio, cases.
    pub peers: Vec<Option<(Ratio, Ratio, usize)>>,
}

/// What became of the checks of one operator, kernel and dtype.
#[derive(Clone, Debug, Default)]
pub struct ParitySummary {
    /// Operator.
    pub op: String,
    /// Kernel.
    pub kernel: String,
    /// Element type.
    pub dtype: String,
    /// By status: ok, mistrusted, skipped, failed.
    pub counts: [usize; 4],
    /// Largest observed error as a share of its bound.
    pub headroom: Option<f64>,
    /// Largest absolute error.
    pub max_abs: Option<f64>,
    /// Largest absolute error of libtorch over the same cases.
    pub libtorch_max_abs: Option<f64>,
    /// The tolerances.
    pub formulas: Vec<String>,
}

/// One word about agreement over everything that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParityVerdict {
    /// Everything that ran agreed.
    Pass,
    /// Something failed.
    Fail,
    /// Nothing ran.
    Nothing,
}

/// [`PeerSummary`] of each peer.
pub fn by_peer(table: &Table<'_>) -> Vec<PeerSummary> {
    let mut out = Vec::new();
    for peer in &table.peers {
        let mut rows: Vec<(Ratio, &Row<'_>)> =
            table.headlines().filter_map(|row| row.ratio(peer).map(|r| (r, row))).collect();
        rows.sort_by(|a, b| a.0.value.total_cmp(&b.0.value));
        let ratios: Vec<_> = rows.iter().map(|r| r.0).collect();
        let (Some(mean), Some(first), Some(last)) = (geometric_mean(&ratios), rows.first(), rows.last()) else {
            continue;
        };
        let place = |r: &(Ratio, &Row<'_>)| (r.0, r.1.label(), r.1.anchor.clone());
        let words = ["faster", "even", "slower"].map(|w| ratios.iter().filter(|r| r.word() == w).count());
        out.push(PeerSummary {
            peer: peer.clone(),
            cases: rows.len(),
            mean,
            worst: place(first),
            best: place(last),
            words,
        });
    }
    out
}

/// [`ShareSummary`] of each limit, dtype and thread count.
pub fn by_bound(table: &Table<'_>) -> Vec<ShareSummary> {
    let mut groups: BTreeMap<(String, String, usize), Vec<_>> = BTreeMap::new();
    for row in table.headlines() {
        let work = &row.record.work;
        if let (Some(bound), Some(share)) = (&work.bound, work.share_of_peak) {
            let key = (bound.clone(), row.record.dtype.clone(), row.record.threads);
            groups.entry(key).or_default().push((share, row.label(), row.anchor.clone()));
        }
    }
    groups
        .into_iter()
        .map(|((bound, dtype, threads), mut shares)| {
            shares.sort_by(|a, b| a.0.total_cmp(&b.0));
            ShareSummary { bound, dtype, threads, shares }
        })
        .collect()
}

/// [`FamilySummary`] of each operator (of a family, each member), dtype and thread count, in the order of the table.
pub fn by_family(table: &Table<'_>) -> Vec<FamilySummary> {
    by(table, |row| Some((row.family(), row.record.dtype.clone(), row.record.threads)))
}

/// [`FamilySummary`] of each operator on one thread, whatever its members: in f32, and in all types but f32 and f64.
pub fn by_operator(table: &Table<'_>) -> Vec<FamilySummary> {
    by(table, |row| {
        let types = match row.record.dtype.as_str() {
            "f64" => return None,
            "f32" => "f32",
            _ => "others",
        };
        (row.record.threads == 1).then(|| (row.record.op.clone(), types.into(), 1))
    })
}

/// Operator, dtype, threads.
type Key = (String, String, usize);

/// Of rows with the same key.
fn by(table: &Table<'_>, key: impl Fn(&Row<'_>) -> Option<Key>) -> Vec<FamilySummary> {
    let mut groups: Vec<(Key, Vec<&Row<'_>>)> = Vec::new();
    for row in table.headlines() {
        let Some(key) = key(row) else { continue };
        match groups.iter_mut().find(|g| g.0 == key) {
            Some(group) => group.1.push(row),
            None => groups.push((key, vec![row])),
        }
    }
    groups.sort_by_key(|((op, dtype, threads), rows)| {
        let first =
            table.rows.iter().position(|row| row.record.op == rows[0].record.op && row.family() == rows[0].family());
        (first, op.clone(), dtype.clone(), *threads)
    });
    groups
        .into_iter()
        .map(|((op, dtype, threads), rows)| {
            let mut shares: Vec<_> = rows.iter().filter_map(|r| r.record.work.share_of_peak).collect();
            shares.sort_by(f64::total_cmp);
            let share = median(&shares).map(|m| [shares[0], m, shares[shares.len() - 1]]);
            let peers = table.peers.iter().map(|peer| {
                let ratios: Vec<_> = rows.iter().filter_map(|r| r.ratio(peer)).collect();
                let worst = ratios.iter().copied().min_by(|a, b| a.value.total_cmp(&b.value))?;
                Some((geometric_mean(&ratios)?, worst, ratios.len()))
            });
            FamilySummary { op, dtype, threads, cases: rows.len(), share, peers: peers.collect() }
        })
        .collect()
}

/// [`ParitySummary`] of each operator, kernel and dtype over checks and timed rows.
pub fn parity(records: &[Record]) -> Vec<ParitySummary> {
    let mut out: Vec<ParitySummary> = Vec::new();
    for r in records.iter().filter(|r| r.accuracy.is_some() || r.status != Status::Ok) {
        let found = out.iter().position(|p| p.op == r.op && p.kernel == r.kernel && p.dtype == r.dtype);
        let index = found.unwrap_or_else(|| {
            out.push(ParitySummary {
                op: r.op.clone(),
                kernel: r.kernel.clone(),
                dtype: r.dtype.clone(),
                ..ParitySummary::default()
            });
            out.len() - 1
        });
        let sum = &mut out[index];
        sum.counts[match r.status {
            Status::Ok => 0,
            Status::Mistrusted => 1,
            Status::Skipped => 2,
            Status::Failed => 3,
        }] += 1;
        if let Some(a) = &r.accuracy {
            sum.headroom = greater(sum.headroom, Some(a.headroom.unwrap_or(f64::INFINITY)));
            sum.max_abs = greater(sum.max_abs, Some(a.max_abs));
            sum.libtorch_max_abs = greater(sum.libtorch_max_abs, a.libtorch_max_abs);
            if !sum.formulas.contains(&a.formula) {
                sum.formulas.push(a.formula.clone());
            }
        }
    }
    out
}

/// The word for [`parity`]'s result.
pub fn verdict(parity: &[ParitySummary]) -> ParityVerdict {
    let total = |status: usize| parity.iter().map(|p| p.counts[status]).sum::<usize>();
    match (total(0) + total(1), total(3)) {
        (_, failed) if failed > 0 => ParityVerdict::Fail,
        (0, _) => ParityVerdict::Nothing,
        _ => ParityVerdict::Pass,
    }
}

fn greater(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    }
}
