//! The study of Winograd's error: how it grows with the tile and with the input channels, and what it buys.

use std::collections::BTreeMap;

use etalon_reference::record::{Record, Status};

use crate::rows::Table;

/// How the workloads begin; the number of channels follows.
const WORKLOAD: &str = "study.winograd_c";
/// What it is compared with: the formula without a transformation.
pub const DIRECT: &str = "implicit";
/// Kernels without their instruction set.
const KERNELS: [&str; 4] = [DIRECT, "winograd2", "winograd4", "winograd6"];

/// One kernel at one number of channels.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Root of the mean square error over the root of the mean square of the f64 reference.
    pub rms: f64,
    /// Largest absolute error.
    pub max_abs: f64,
    /// Median time.
    pub time_ns: f64,
}

/// One kernel.
#[derive(Clone, Debug)]
pub struct Algorithm {
    /// Its name without the instruction set.
    pub name: &'static str,
    /// By channels.
    pub cells: BTreeMap<u64, Cell>,
}

/// All that was studied, in f32 on one thread, with one instruction set: that of the first row of each kernel.
#[derive(Clone, Debug)]
pub struct Study {
    /// Element type.
    pub dtype: String,
    /// Instruction set.
    pub isa: String,
    /// The direct one first.
    pub algorithms: Vec<Algorithm>,
    /// Numbers of channels.
    pub channels: Vec<u64>,
    /// libtorch's largest absolute error by channels.
    pub libtorch: BTreeMap<u64, f64>,
}

/// The study; `None` if the run has none.
pub fn study(table: &Table<'_>) -> Option<Study> {
    let rows: Vec<(&Record, u64)> = table
        .rows
        .iter()
        .filter(|row| row.record.status == Status::Ok && row.record.threads == 1)
        .filter_map(|row| Some((row.record, row.record.workload.as_deref()?.strip_prefix(WORKLOAD)?.parse().ok()?)))
        .collect();
    let of = |name: &'static str| {
        rows.iter().filter(move |(r, _)| r.kernel.strip_suffix(&r.isa) == Some(&format!("{name}-")))
    };
    let (first, _) = of(DIRECT).next()?;
    let (dtype, isa) = (first.dtype.clone(), first.isa.clone());
    let cells = |name: &'static str| -> BTreeMap<u64, Cell> {
        let fits = of(name).filter(|(r, _)| r.dtype == dtype && r.isa == isa);
        fits.filter_map(|&(r, channels)| {
            let (accuracy, time) = (r.accuracy.as_ref()?, r.time.as_ref()?);
            let cell = Cell { rms: accuracy.nmse.sqrt(), max_abs: accuracy.max_abs, time_ns: time.median_ns };
            Some((channels, cell))
        })
        .collect()
    };
    let algorithms: Vec<_> = KERNELS.map(|name| Algorithm { name, cells: cells(name) }).into();
    let channels: Vec<u64> = algorithms[0].cells.keys().copied().collect();
    let theirs = rows.iter().filter(|(r, _)| r.dtype == dtype);
    let libtorch = theirs.filter_map(|&(r, c)| Some((c, r.accuracy.as_ref()?.libtorch_max_abs?))).collect();
    let whole = algorithms.iter().all(|a| !a.cells.is_empty());
    whole.then_some(Study { dtype, isa, algorithms, channels, libtorch })
}
