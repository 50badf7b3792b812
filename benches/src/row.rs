//! A case, timed: from a problem to a record.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use etalon_kernels::check::Prepared;
use etalon_kernels::isa::Isa;
use etalon_kernels::kernel::Kernel;
use etalon_kernels::pool::Pool;
use etalon_reference::axis::Kind;
use etalon_reference::compare::Comparison;
use etalon_reference::record::{Accuracy, InNetwork, Peak, PeerTime, Record, SCHEMA_VERSION, Status, WorkDone};
use etalon_reference::{Cache, Fill, Problem};
use serde_json::{Value, json};

use crate::profile::Profile;
use crate::rounds::Method;
use crate::subject::{Ours, Subject as _, agree};
use crate::suite::Subject;
use crate::{cache, environment, peaks, peers, rounds, stats, witness};

/// What all records of a run share.
pub struct Run {
    /// Id.
    pub id: String,
    /// Hash of the environment.
    pub environment: String,
    /// Profile.
    pub profile: Profile,
    /// Measured limits.
    pub peaks: Vec<Peak>,
    /// Peers to time beside the default kernels.
    pub peers: Vec<String>,
}

/// Seed of the inputs that are timed.
const SEED: u64 = 1;
/// A peer's call that takes so long, and [`FAR`] times as long as ours, is not timed unless there are hours, or it was
/// asked for by name.
const SLOW: Duration = Duration::from_millis(400);
/// How many times as long.
const FAR: u32 = 10;

/// The problem with inputs, reference and tolerances, made once for all kernels and threads.
pub fn prepare(subject: &Subject) -> Prepared {
    let inputs = subject.problem.draw(subject.types, Fill::Real, SEED);
    Prepared::with_inputs(
        subject.entry.operator,
        &subject.point,
        subject.types,
        Fill::Real,
        SEED,
        subject.problem.clone(),
        inputs,
    )
}

impl Run {
    /// A record without result.
    pub fn blank(
        &self,
        subject: &Subject,
        prepared: Option<&Prepared>,
        kernel: &Kernel,
        threads: usize,
        cache: Cache,
    ) -> Record {
        let operator = subject.entry.operator;
        let work = subject.problem.work(subject.types);
        let id = match prepared {
            Some(prepared) => prepared.case(kernel, threads).to_string(),
            None => {
                format!("{}/{}/{}/{}/t{threads}#real-{SEED}", operator.name, kernel.name, subject.types, subject.point)
            }
        };
        let mut definition = format!("{} {} {} {}", operator.name, subject.point, subject.types, self.profile.name());
        if cache != Cache::Warm {
            definition += &format!(" {cache}");
        }
        Record {
            schema_version: SCHEMA_VERSION,
            id,
            op: operator.name.into(),
            kernel: kernel.name.into(),
            isa: if kernel.is_foreign() { "library".into() } else { kernel.isa.name().into() },
            dtype: subject.types.name.into(),
            accumulator: subject.types.accumulator.name().into(),
            point: point_values(subject),
            variant: operator
                .axes
                .iter()
                .find(|axis| axis.variant)
                .and_then(|axis| subject.point.choice(axis.name))
                .map(Into::into),
            workload: (subject.workload != "point").then(|| subject.workload.clone()),
            source: Some(subject.source.into()),
            networks: in_networks(subject),
            layout: layout(subject),
            threads,
            cache: cache.name().into(),
            packing: if kernel.plan.is_some() { "pre-packed" } else { "per-call" }.into(),
            pass: if operator.gradient.is_some() { "backward" } else { "forward" }.into(),
            fill: "real".into(),
            status: Status::Skipped,
            reason: None,
            time: None,
            work: WorkDone { flops: work.operations, bytes: work.bytes(), ..WorkDone::default() },
            peers: Vec::new(),
            accuracy: None,
            run_id: self.id.clone(),
            environment: self.environment.clone(),
            definition: environment::hex(definition.as_bytes())[..16].into(),
        }
    }

    /// The time of a peer's call that is not worth rounds: where it takes long, and many times as long as ours. `so_far` is
    /// what its first calls took.
    fn far_behind(
        &self,
        so_far: Duration,
        peer: &mut dyn crate::subject::Subject,
        ours: &mut Ours<'_>,
    ) -> Option<Duration> {
        let call = |subject: &mut dyn crate::subject::Subject| {
            let start = Instant::now();
            subject.call();
            start.elapsed()
        };
        if self.profile == Profile::Paper || so_far < SLOW {
            return None;
        }
        let theirs = call(peer);
        (theirs >= SLOW && theirs > call(ours) * FAR).then_some(theirs)
    }

    /// Checks the kernel, times it in a cache state, and, where `versus` says so, its peers in the same rounds,
    /// within a share of the profile's budgets.
    pub fn time(
        &self,
        subject: &Subject,
        prepared: &Prepared,
        kernel: &'static Kernel,
        pool: &Arc<Pool>,
        cache: Cache,
        (versus, share): (bool, f64),
    ) -> Record {
        let threads = pool.threads();
        let mut record = self.blank(subject, Some(prepared), kernel, threads, cache);
        let ready = || {
            let eviction = cache::eviction(cache, &*prepared.problem, prepared.types)?;
            let ours = Ours::new(kernel, prepared, pool.clone())?;
            eviction.as_ref().map_or(Ok(()), |_| ours.evicts())?;
            Ok((ours, eviction))
        };
        let (mut ours, eviction) = match ready() {
            Ok(ready) => ready,
            Err(reason) => {
                record.reason = Some(reason);
                return record;
            }
        };
        let method = Method { profile: self.profile, share, threads, eviction: eviction.as_ref() };
        let comparisons = match agree(&mut ours, prepared) {
            Ok(comparisons) => comparisons,
            Err(complaint) => {
                (record.status, record.reason) = (Status::Failed, Some(complaint));
                return record;
            }
        };
        record.status = Status::Ok;
        record.accuracy = accuracy(prepared, &comparisons);
        let mut reasons = Vec::new();
        let mut others = Vec::new();
        // Who names peers asks why one is absent.
        let named = self.peers.len() < peers::NAMES.len();
        for name in self.peers.iter().filter(|_| versus) {
            let case = || prepared.case(kernel, threads);
            let survived = if name == "libtorch" { witness::survives(&case(), threads) } else { Ok(()) };
            let start = Instant::now();
            match survived.and_then(|()| peers::prepare(name, prepared, pool)) {
                Ok(mut peer) => match agree(&mut *peer, prepared) {
                    Ok(theirs) => {
                        if let (true, Some(accuracy)) = (name == "libtorch", record.accuracy.as_mut()) {
                            accuracy.libtorch_max_abs = Some(theirs.iter().map(|c| c.max_abs).fold(0.0, f64::max));
                            accuracy.to_libtorch = difference(&ours, &*peer);
                        }
                        let behind =
                            (!named).then(|| self.far_behind(start.elapsed(), &mut *peer, &mut ours)).flatten();
                        match behind {
                            Some(time) => reasons.push(format!(
                                "{name}: a call takes {:.1} s, over {FAR} times as long as ours: the profile `paper` times it",
                                time.as_secs_f64()
                            )),
                            None => others.push((name.clone(), peer)),
                        }
                    }
                    Err(complaint) => reasons.push(complaint),
                },
                Err(reason) if named || name == "libtorch" => reasons.push(format!("{name}: {reason}")),
                Err(_) => {}
            }
        }
        let rounds = if others.is_empty() {
            rounds::alone(&mut ours, method, self.profile.budget().mul_f64(share))
        } else {
            let mut all: Vec<&mut dyn crate::subject::Subject> = vec![&mut ours];
            all.extend(others.iter_mut().map(|(_, peer)| &mut **peer as _));
            let rounds = rounds::run(&mut all, method);
            for (i, (name, peer)) in others.iter().enumerate() {
                let ratio = rounds.ratio(i + 1);
                record.peers.push(PeerTime {
                    peer: name.clone(),
                    way: peer.way().map(Into::into),
                    median_ns: stats::median(&rounds.samples[i + 1]),
                    ratio: ratio.ratio,
                    ratio_low: ratio.low,
                    ratio_high: ratio.high,
                    rounds: rounds.samples[0].len(),
                });
            }
            rounds
        };
        record.reason = (!reasons.is_empty()).then(|| reasons.join("; "));
        let time = stats::time(&rounds.samples[0], rounds.few);
        let work = subject.problem.work(subject.types);
        let isa = if kernel.is_foreign() || kernel.isa == Isa::Scalar { Isa::best() } else { kernel.isa };
        let limit = peaks::limit(&self.peaks, &work, subject.types.accumulator, isa.name(), threads);
        record.work = WorkDone {
            flops: work.operations,
            bytes: work.bytes(),
            gflops: (work.operations > 0.0).then_some(work.operations / time.median_ns),
            gbytes: (work.bytes() > 0.0).then_some(work.bytes() / time.median_ns),
            bound: limit.as_ref().map(|l| l.bound.into()),
            share_of_peak: limit.map(|l| l.time_ns / time.median_ns),
            workspace_bytes: ours.workspace_bytes(),
        };
        record.time = Some(time);
        record
    }
}

fn difference(ours: &Ours<'_>, peer: &dyn crate::subject::Subject) -> Option<f64> {
    let (ours, theirs) = (ours.outputs().ok()?, peer.outputs().ok()?);
    let pairs = ours.iter().zip(&theirs).flat_map(|(x, y)| x.iter().zip(y.iter()));
    Some(pairs.map(|(x, y)| (x - y).abs()).filter(|d| d.is_finite()).fold(0.0, f64::max))
}

/// The comparison with the least headroom.
pub fn accuracy(prepared: &Prepared, comparisons: &[Comparison]) -> Option<Accuracy> {
    let (output, c) = comparisons.iter().enumerate().max_by(|a, b| a.1.headroom.total_cmp(&b.1.headroom))?;
    Some(Accuracy {
        output: prepared.problem.outputs(prepared.types)[output].name.into(),
        formula: c.formula.into(),
        bound: c.bound,
        error: if (c.got - c.expected).is_finite() { (c.got - c.expected).abs() } else { 0.0 },
        headroom: c.headroom.is_finite().then_some(c.headroom),
        max_abs: comparisons.iter().map(|c| c.max_abs).fold(0.0, f64::max),
        max_rel: comparisons.iter().map(|c| c.max_rel).fold(0.0, f64::max),
        max_ulp: comparisons.iter().map(|c| c.max_ulp).fold(0.0, f64::max),
        nmse: comparisons.iter().map(|c| c.nmse).fold(0.0, f64::max),
        class_mismatches: comparisons.iter().map(|c| c.class_mismatches).sum(),
        libtorch_max_abs: None,
        to_libtorch: None,
    })
}

/// Coordinates by name: numbers, or names of choices.
fn point_values(subject: &Subject) -> BTreeMap<String, Value> {
    let point = &subject.point;
    (point.axes().iter().zip(point.values()))
        .map(|(axis, value)| {
            let shown = match axis.kind {
                Kind::Int { .. } => json!(value),
                Kind::Choice(_) => json!(point.choice(axis.name)),
            };
            (axis.name.to_string(), shown)
        })
        .collect()
}

/// The networks that have the subject's workload as a layer, each with the number of layers that its workloads add up to.
fn in_networks(subject: &Subject) -> Vec<InNetwork> {
    let every = || subject.entry.operator.workloads.iter().flat_map(|w| w.networks);
    let layers = |network: &str| every().filter(|n| n.0 == network).map(|n| n.1).sum();
    let one = |&(network, count): &(&str, u32)| InNetwork { network: network.into(), count, of: layers(network) };
    subject.networks.iter().map(one).collect()
}

/// The choices that say how operands lie, in words.
fn layout(subject: &Subject) -> String {
    let names = ["layout", "a", "b", "share"];
    let point = &subject.point;
    let parts: Vec<String> = names
        .iter()
        .filter(|name| point.axes().iter().any(|a| a.name == **name))
        .filter_map(|name| Some(format!("{name} {}", point.choice(name)?)))
        .collect();
    if parts.is_empty() { "contiguous".into() } else { parts.join(", ") }
}

/// Problem's work, for planning.
pub fn flops(problem: &dyn Problem, types: etalon_reference::Types) -> f64 {
    problem.work(types).operations
}
