//! Records: one line of measured or checked fact, with everything needed to use it.
//!
//! A record file holds one JSON object a line; `reports/schema/record.schema.json` is its schema. Benches and the parity
//! gate write records, reports read them and nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Cache;

/// Version of the record format; a reader refuses another one.
pub const SCHEMA_VERSION: u32 = 1;

/// What became of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Agreed, and timed where timing was asked for.
    Ok,
    /// Not run; `reason` says why.
    Skipped,
    /// Agreed on data that prove little.
    Mistrusted,
    /// Disagreed or broke; `reason` says how.
    Failed,
}

/// One case, timed or checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The case id; also its repro.
    pub id: String,
    /// Operator.
    pub op: String,
    /// Kernel, or the peer's name where a peer is the subject.
    pub kernel: String,
    /// Instruction set the kernel uses.
    pub isa: String,
    /// Element type.
    pub dtype: String,
    /// Type of the sums.
    pub accumulator: String,
    /// Coordinates by axis name: numbers, or names of choices.
    pub point: BTreeMap<String, serde_json::Value>,
    /// The member of a family, of an operator that is one; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Workload's name, if the point is one.
    pub workload: Option<String>,
    /// Where the workload's shape comes from.
    pub source: Option<String>,
    /// Networks that have the workload as a layer; absent in a file where there is none, as in all older ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<InNetwork>,
    /// How operands lie, in words.
    pub layout: String,
    /// Threads.
    pub threads: usize,
    /// Name of the [`Cache`] state before each call: `warm`, `cold-weights`, `cold`.
    pub cache: String,
    /// `per-call` or `pre-packed`.
    pub packing: String,
    /// `forward` or `backward`.
    pub pass: String,
    /// Fill of the inputs.
    pub fill: String,
    /// Status.
    pub status: Status,
    /// Why skipped, mistrusted or failed.
    pub reason: Option<String>,
    /// Timing, if timed.
    pub time: Option<Time>,
    /// What the case does, and how fast.
    pub work: WorkDone,
    /// Peers timed in the same rounds.
    pub peers: Vec<PeerTime>,
    /// Errors against the f64 reference.
    pub accuracy: Option<Accuracy>,
    /// Id of the run.
    pub run_id: String,
    /// Hash of the environment file.
    pub environment: String,
    /// Hash of the benchmark's definition (operator, axes, workload, profile).
    pub definition: String,
}

impl Record {
    /// The case id, and the cache state where it is not `warm`: what names a timed row in a file that may hold several states.
    pub fn name(&self) -> String {
        if self.cache == Cache::Warm.name() { self.id.clone() } else { format!("{}@{}", self.id, self.cache) }
    }
}

/// A workload as a layer of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InNetwork {
    /// The network.
    pub network: String,
    /// How many of its layers have this shape.
    pub count: u32,
    /// How many layers of this operator the network has in all: what the counts of all its shapes add up to.
    pub of: u32,
}

/// Times of one call, in nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Time {
    /// Samples.
    pub n: usize,
    /// Median.
    pub median_ns: f64,
    /// Interval of the median, between two of the samples: of 95 % or more from six samples on.
    pub low_ns: f64,
    /// Upper end.
    pub high_ns: f64,
    /// How often such an interval holds the median; absent in older files, whose intervals are bootstraps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<f64>,
    /// Whether calls are so long that there are fewer samples than the profile asks for; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub few: bool,
    /// Mean.
    pub mean_ns: f64,
    /// Median absolute deviation.
    pub mad_ns: f64,
    /// 5th percentile.
    pub p05_ns: f64,
    /// 95th percentile.
    pub p95_ns: f64,
    /// Fastest.
    pub min_ns: f64,
    /// Raw samples.
    pub samples_ns: Vec<f64>,
}

/// Work and rates.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct WorkDone {
    /// Operations; a fused multiply-add counts two.
    pub flops: f64,
    /// Bytes moved at least.
    pub bytes: f64,
    /// 10⁹ operations a second at the median.
    pub gflops: Option<f64>,
    /// 10⁹ bytes a second at the median.
    pub gbytes: Option<f64>,
    /// Which limit is nearer on the roofline: `compute` or `memory`.
    pub bound: Option<String>,
    /// Time at the measured limit / time, with the limit that `bound` names.
    pub share_of_peak: Option<f64>,
    /// Scratch memory, in bytes.
    pub workspace_bytes: Option<u64>,
}

/// A peer in the same rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerTime {
    /// `libtorch`, `openblas`, `faer`, `gemm`, `matrixmultiply`.
    pub peer: String,
    /// Which of its functions was the fastest, where it has several; absent where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<String>,
    /// Median time, in nanoseconds.
    pub median_ns: f64,
    /// Median of the rounds' ratios peer / ours: above 1, ours is faster.
    pub ratio: f64,
    /// Interval of the ratio, of the coverage that the record's time states: there are as many rounds as samples.
    pub ratio_low: f64,
    /// Upper end.
    pub ratio_high: f64,
    /// Rounds.
    pub rounds: usize,
}

/// Ours and a peer, timed in paired rounds and each alone in a process of its own: one line of an audit's file. Its schema
/// is `reports/schema/audit.schema.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The case id.
    pub id: String,
    /// Operator.
    pub op: String,
    /// Workload's name, if the point is one.
    pub workload: Option<String>,
    /// Element type.
    pub dtype: String,
    /// Threads.
    pub threads: usize,
    /// Our kernel.
    pub kernel: String,
    /// The peer.
    pub peer: String,
    /// Which of its functions was the fastest in the paired rounds, where it has several.
    pub way: Option<String>,
    /// Median of the rounds' ratios peer / ours, warm.
    pub paired: f64,
    /// Its interval.
    pub paired_low: f64,
    /// Upper end.
    pub paired_high: f64,
    /// Median of the peer's processes over median of ours.
    pub alone: f64,
    /// Least ratio of two processes of the same turn.
    pub alone_low: f64,
    /// Greatest.
    pub alone_high: f64,
    /// Median time of a call in each of our processes, in nanoseconds.
    pub ours_alone_ns: Vec<f64>,
    /// The same of the peer's.
    pub peer_alone_ns: Vec<f64>,
    /// The larger of the two ratios over the smaller one, less 1.
    pub disagreement: f64,
    /// Why they disagree, where something is known.
    pub reason: Option<String>,
}

/// What the parity gate found when it asked one question of one kernel: one line of a file of checks. Its schema is
/// `reports/schema/check.schema.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Operator.
    pub op: String,
    /// Kernel.
    pub kernel: String,
    /// Types of the operands.
    pub dtype: String,
    /// Instruction set the kernel uses.
    pub isa: String,
    /// The question: `parity`, `threads`, `canonical`, …
    pub question: String,
    /// Seed of the drawing; null where the points are those of workloads, or one that was named.
    pub seed: Option<u64>,
    /// Cases, by what became of them.
    pub passed: usize,
    /// Disagreed or broke.
    pub failed: usize,
    /// Agreed on data that prove little.
    pub mistrusted: usize,
    /// Not run.
    pub skipped: usize,
    /// Largest error as a share of its bound.
    pub headroom: Option<f64>,
    /// The case that has it.
    pub worst: Option<String>,
    /// Largest absolute error to the f64 reference.
    pub error: Option<f64>,
    /// The same of libtorch, on the cases that it was asked.
    pub libtorch_error: Option<f64>,
    /// What the witness said, by count: `agrees`, `differs`, `no answer`, `crashed`, `timed out`, `not asked`.
    pub witness: BTreeMap<String, usize>,
}

/// Errors of the worst output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Output with the least headroom.
    pub output: String,
    /// The tolerance as a formula.
    pub formula: String,
    /// Bound at the worst element.
    pub bound: f64,
    /// Observed error at the worst element.
    pub error: f64,
    /// Observed / bound; null stands for a mismatch of NaN or ∞.
    pub headroom: Option<f64>,
    /// Largest absolute error.
    pub max_abs: f64,
    /// Largest relative error.
    pub max_rel: f64,
    /// Largest error in units in the last place.
    pub max_ulp: f64,
    /// Normalised mean square error.
    pub nmse: f64,
    /// NaN or ∞ in one and not in the other.
    pub class_mismatches: usize,
    /// libtorch's largest absolute error to the f64 reference, if it was asked.
    pub libtorch_max_abs: Option<f64>,
    /// Largest difference between ours and libtorch's.
    pub to_libtorch: Option<f64>,
}

/// What a run was made on, as a file of its own beside the records. Values are texts, numbers or lists by name.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Environment {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Whether nothing is missing.
    pub complete: bool,
    /// Names of facts that could not be read.
    pub missing: Vec<String>,
    /// Facts by name (`cpu.model`, `rustc`, `libtorch.version`, …).
    pub facts: BTreeMap<String, serde_json::Value>,
    /// Measured limits.
    pub peaks: Vec<Peak>,
}

/// A measured limit of the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// `fma`, `dpbf16`, `vnni`, `read`, `write`, `copy`, `fork-join`.
    pub kind: String,
    /// Instruction set, where it matters.
    pub isa: String,
    /// Element type, where it matters.
    pub dtype: String,
    /// `L1`, `L2`, `L3`, `memory`, or empty.
    pub level: String,
    /// Threads.
    pub threads: usize,
    /// Value.
    pub value: f64,
    /// `GF/s`, `GOP/s`, `GB/s`, `ns`.
    pub unit: String,
}
