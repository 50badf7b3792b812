//! Whole networks: the sum over a network's convolutions of how often it has each times the median time.

use etalon_reference::record::{InNetwork, Record};

use crate::numbers::{self, Ratio};
use crate::rows::{Row, Table};

/// The peer whose time is summed beside ours.
const PEER: &str = "libtorch";

/// A network's convolutions on a number of threads, in f32, operands as they are and warm.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkSum {
    /// The network.
    pub network: String,
    /// Threads.
    pub threads: usize,
    /// Convolutions it has.
    pub layers: u32,
    /// Convolutions that were timed, and agreed: the sums are over these.
    pub timed: u32,
    /// Operations of the timed ones.
    pub flops: f64,
    /// Time of the headline kernels, in nanoseconds, between the sums of the ends of their intervals.
    pub ours: Sum,
    /// libtorch's time for the same layers; none if one of them was not timed beside it.
    pub libtorch: Option<Versus>,
}

/// A sum of medians with the sums of the ends of their intervals.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    /// Sum of the medians.
    pub ns: f64,
    /// Sum of the lower ends.
    pub low_ns: f64,
    /// Sum of the upper ends.
    pub high_ns: f64,
}

/// The peer's sum beside ours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Versus {
    /// Sum of the peer's medians, in nanoseconds.
    pub ns: f64,
    /// That sum over ours. The interval's ends are those of the layers' paired ratios, each weighted by its share of our time:
    /// as if all layers erred to the same side at once, hence wider than a 95 % interval of the sum.
    pub ratio: Ratio,
}

impl Sum {
    fn add(&mut self, count: f64, ns: f64, low_ns: f64, high_ns: f64) {
        self.ns += count * ns;
        self.low_ns += count * low_ns;
        self.high_ns += count * high_ns;
    }

    /// Half the width between the ends.
    fn half(&self) -> f64 {
        (self.high_ns - self.low_ns) / 2.0
    }

    /// In the unit that fits.
    fn text(&self) -> String {
        let (value, unit) = numbers::time(self.ns, self.half());
        format!("{value} {unit}")
    }
}

impl NetworkSum {
    /// Whether every convolution of the network is in the sums.
    pub fn is_complete(&self) -> bool {
        self.timed == self.layers
    }

    /// How many convolutions are in the sums: `57`, or `55 of 57`.
    pub fn convolutions(&self) -> String {
        if self.is_complete() { self.layers.to_string() } else { format!("{} of {}", self.timed, self.layers) }
    }

    /// Operations in 10⁹.
    pub fn gflop(&self) -> String {
        numbers::show(self.flops / 1e9, 0.0)
    }

    /// Our time.
    pub fn ours_text(&self) -> Option<String> {
        (self.timed > 0).then(|| self.ours.text())
    }

    /// libtorch's time.
    pub fn libtorch_text(&self) -> Option<String> {
        self.libtorch.map(|v| {
            let (value, unit) = numbers::time(v.ns, v.ratio.half() * self.ours.ns);
            format!("{value} {unit}")
        })
    }
}

/// The sums of every network that a row names, in the order of rows, by threads.
pub fn sums(table: &Table<'_>) -> Vec<NetworkSum> {
    let mut names: Vec<&str> = Vec::new();
    let mut keys: Vec<(usize, usize)> = Vec::new();
    for (row, layer) in layers(table) {
        let place = names.iter().position(|n| *n == layer.network).unwrap_or_else(|| {
            names.push(&layer.network);
            names.len() - 1
        });
        keys.push((place, row.record.threads));
    }
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().map(|(place, threads)| sum(table, names[place], threads)).collect()
}

fn sum(table: &Table<'_>, network: &str, threads: usize) -> NetworkSum {
    let of_network = || layers(table).filter(|(row, l)| l.network == network && row.record.threads == threads);
    let mut total = NetworkSum {
        network: network.into(),
        threads,
        layers: of_network().map(|(_, l)| l.of).max().unwrap_or(0),
        timed: 0,
        flops: 0.0,
        ours: Sum::default(),
        libtorch: None,
    };
    let (mut theirs, mut paired) = (Sum::default(), 0);
    for (row, layer) in of_network().filter(|(row, _)| row.headline) {
        let Some(time) = &row.record.time else { continue };
        let count = f64::from(layer.count);
        total.timed += layer.count;
        total.flops += count * row.record.work.flops;
        total.ours.add(count, time.median_ns, time.low_ns, time.high_ns);
        if let Some(peer) = row.peer(PEER) {
            paired += layer.count;
            theirs.add(count, peer.median_ns, time.median_ns * peer.ratio_low, time.median_ns * peer.ratio_high);
        }
    }
    total.libtorch = (paired == total.timed && paired > 0).then(|| versus(theirs, total.ours.ns));
    total
}

fn versus(theirs: Sum, ours_ns: f64) -> Versus {
    let value = theirs.ns / ours_ns;
    // A median of ratios is not the ratio of the medians: the interval holds both.
    let (low, high) = ((theirs.low_ns / ours_ns).min(value), (theirs.high_ns / ours_ns).max(value));
    Versus { ns: theirs.ns, ratio: Ratio { value, low, high } }
}

/// The rows of layers, each with its place in a network; several places where networks share a shape.
fn layers<'t, 'r>(table: &'t Table<'r>) -> impl Iterator<Item = (&'t Row<'r>, &'r InNetwork)> {
    let usual = |r: &Record| r.cache == "warm" && r.packing == "per-call" && r.pass == "forward" && r.dtype == "f32";
    let rows = table.rows.iter().filter(move |row| row.record.op == "conv2d" && usual(row.record));
    rows.flat_map(|row| row.record.networks.iter().map(move |layer| (row, layer)))
}
