//! What the layers of a network take together.

use std::collections::BTreeMap;

use crate::numbers::Ratio;
use crate::rows::Table;

/// The peer that has all layers.
const PEER: &str = "libtorch";

/// The layers of a network that one operator computes, at one dtype and thread count.
#[derive(Clone, Debug)]
pub struct Network {
    /// The network.
    pub name: String,
    /// Operator.
    pub op: String,
    /// Element type.
    pub dtype: String,
    /// Threads.
    pub threads: usize,
    /// Layers that were timed beside the peer.
    pub layers: u32,
    /// Layers that it has.
    pub of: u32,
    /// Their operations.
    pub flops: f64,
    /// Sum of the medians of the headline rows, each as often as the layer occurs, in nanoseconds.
    pub time_ns: f64,
    /// The peer's sum over ours: the mean of the paired ratios, weighted by our times. Its interval is that of the layers'
    /// intervals if all erred in one direction: wider than it is.
    pub ratio: Ratio,
}

impl Network {
    /// Whether no layer is missing.
    pub fn is_complete(&self) -> bool {
        self.layers == self.of
    }

    /// The network, as in a sentence.
    pub fn label(&self) -> String {
        format!("{} ({} {}, {} of {} layers)", self.name, self.op, self.dtype, self.layers, self.of)
    }
}

/// The networks, by operator, name, dtype and threads.
pub fn networks(table: &Table<'_>) -> Vec<Network> {
    let mut found: BTreeMap<(&str, &str, &str, usize), Network> = BTreeMap::new();
    for row in table.headlines() {
        let r = row.record;
        let (Some(time), Some(ratio)) = (&r.time, row.ratio(PEER)) else { continue };
        for network in &r.networks {
            let sum = found.entry((&r.op, &network.name, &r.dtype, r.threads)).or_insert_with(|| Network {
                name: network.name.clone(),
                op: r.op.clone(),
                dtype: r.dtype.clone(),
                threads: r.threads,
                layers: 0,
                of: network.of,
                flops: 0.0,
                time_ns: 0.0,
                ratio: Ratio { value: 0.0, low: 0.0, high: 0.0 },
            });
            let ns = f64::from(network.count) * time.median_ns;
            sum.layers += network.count;
            sum.flops += f64::from(network.count) * r.work.flops;
            sum.time_ns += ns;
            sum.ratio.value += ns * ratio.value;
            sum.ratio.low += ns * ratio.low;
            sum.ratio.high += ns * ratio.high;
        }
    }
    let mean = |mut network: Network| {
        for part in [&mut network.ratio.value, &mut network.ratio.low, &mut network.ratio.high] {
            *part /= network.time_ns;
        }
        network
    };
    found.into_values().map(mean).collect()
}
