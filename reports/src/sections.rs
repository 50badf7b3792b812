//! Sections with data of their own, as values for the template.

use etalon_reference::record::Audit;
use minijinja::{Value, context};

use crate::draw;
use crate::networks::NetworkSum;
use crate::numbers::{self, Ratio};
use crate::pictures::Picture;
use crate::rows::Table;
use crate::summary;
use crate::winograd::{Study, StudyRow};

/// Each picture with its legend.
pub fn pictures(pictures: &[Picture]) -> Vec<Value> {
    let one =
        |p: &Picture| context! { name => p.name, caption => p.caption, svg => p.svg.clone(), legend => legend(p) };
    pictures.iter().map(one).collect()
}

/// Each series with its colour.
fn legend(picture: &Picture) -> Vec<Value> {
    let names = picture.legend.iter().enumerate();
    names.map(|(i, name)| context! { name => name.clone(), color => draw::color(i) }).collect()
}

/// Rows of the table of networks.
pub fn networks(sums: &[NetworkSum]) -> Vec<Value> {
    let one = |n: &NetworkSum| {
        let ratio = n.libtorch.map(|v| v.ratio);
        context! {
            network => n.network.clone(), threads => n.threads, complete => n.is_complete(), gflop => n.gflop(),
            convolutions => n.convolutions(), ours => n.ours_text(), libtorch => n.libtorch_text(),
            ratio => ratio.map(|r| r.text()), interval => ratio.map(|r| r.interval()), word => ratio.map(|r| r.word()),
        }
    };
    sums.iter().map(one).collect()
}

/// Rows of the table of Winograd's errors, with a time and a ratio for each number of threads.
pub fn winograd(study: &Study) -> Vec<Value> {
    let time = |ns: &f64| {
        let (value, unit) = numbers::time(*ns, 0.0);
        format!("{value} {unit}")
    };
    let one = |r: &StudyRow| {
        let speeds =
            |t| context! { time => r.ns.get(t).map(time), speed => r.speed.get(t).map(|s| numbers::show(*s, 0.0)) };
        context! {
            channels => r.channels, name => r.name, kernel => r.kernel.clone(), rms => r.rms.map(numbers::error),
            max_abs => r.max_abs.map(numbers::error), cells => study.threads.iter().map(speeds).collect::<Vec<_>>(),
        }
    };
    study.rows.iter().map(one).collect()
}

/// Rows of the table of the cache states that are not summed up elsewhere: each with each peer.
pub fn states(table: &Table<'_>) -> Vec<Value> {
    let others = table.states().into_iter().filter(|state| *state != table.state);
    let of = |state: String| {
        let peers = summary::by_peer(&table.in_state(&state)).into_iter();
        peers.map(move |p| {
            context! {
                state => state.clone(), peer => p.peer, cases => p.cases, mean => p.mean.text(),
                interval => p.mean.interval(), word => p.mean.word(), worst => p.worst.0.text(),
                worst_label => p.worst.1, worst_anchor => p.worst.2,
            }
        })
    };
    others.flat_map(of).collect()
}

/// What an audit found: its rows, the largest disagreement first, and for each peer a summary.
pub fn audit(audits: &[Audit]) -> Option<Value> {
    let mut sorted: Vec<&Audit> = audits.iter().collect();
    sorted.sort_by(|a, b| b.disagreement.total_cmp(&a.disagreement));
    let mut peers: Vec<&str> = audits.iter().map(|row| row.peer.as_str()).collect();
    peers.sort_unstable();
    peers.dedup();
    let sums = peers.into_iter().map(|peer| {
        let of: Vec<f64> = audits.iter().filter(|row| row.peer == peer).map(|row| row.disagreement).collect();
        let largest = of.iter().copied().fold(0.0, f64::max);
        context! {
            peer => peer, cases => of.len(), median => off(numbers::median(&of).unwrap_or(0.0)), largest => off(largest),
        }
    });
    let one = |row: &&Audit| {
        let ratio = |value, low, high| Ratio { value, low, high };
        let paired = ratio(row.paired, row.paired_low, row.paired_high);
        let alone = ratio(row.alone, row.alone_low, row.alone_high);
        context! {
            op => row.op.clone(), workload => row.workload.clone(), id => row.id.clone(), dtype => row.dtype.clone(),
            threads => row.threads, peer => row.peer.clone(), way => row.way.clone(),
            paired => format!("{} [{}]", paired.text(), paired.interval()),
            alone => format!("{} [{}]", alone.text(), alone.interval()),
            off => off(row.disagreement), reason => row.reason.clone(),
        }
    };
    (!audits.is_empty()).then(|| {
        context! { sums => sums.collect::<Vec<_>>(), rows => sorted.iter().map(one).collect::<Vec<_>>() }
    })
}

/// What `cargo xtask mutants` found when kernels and checks were made wrong on purpose, as it is kept with the sources.
const DETECTION: &str = include_str!("../mutants/figures.json");

/// The kernels that are wrong on purpose, as `wrong_kernels` keeps them.
const WRONG: &str = include_str!("../checks/wrong-kernels.tsv");

/// A row of each kernel that is wrong on purpose.
pub fn wrong_kernels() -> Vec<Value> {
    let row = |line: &'static str| {
        let [op, kernel, fault, question, case] = line.split('\t').collect::<Vec<_>>()[..] else { return None };
        Some(context! { op, kernel, fault, question, case })
    };
    WRONG.lines().filter_map(row).collect()
}

/// How many of some kind were found.
#[derive(serde::Deserialize)]
struct Figure {
    of: String,
    asked: usize,
    found: usize,
    equivalent: usize,
    interval: Option<(f64, f64)>,
    median_seconds: Option<f64>,
    most_seconds: Option<f64>,
}

/// Whether the checks find faults: a row of each kind of which some were asked.
///
/// # Panics
/// Never: a test reads what is compiled in.
pub fn detection() -> Vec<Value> {
    let figures: Vec<Figure> = serde_json::from_str(DETECTION).expect("figures");
    let percent = |share: f64| format!("{:.1}", 100.0 * share);
    let one = |f: Figure| {
        context! {
            of => f.of, asked => f.asked, found => f.found, rate => percent(f.found as f64 / f.asked as f64),
            equivalent => f.equivalent, strict => percent(f.found as f64 / (f.asked - f.equivalent) as f64),
            interval => f.interval.map(|(low, high)| format!("{} to {}", percent(low), percent(high))),
            median => f.median_seconds, most => f.most_seconds,
        }
    };
    figures.into_iter().filter(|f| f.asked > 0).map(one).collect()
}

/// A disagreement in percent.
fn off(disagreement: f64) -> String {
    format!("{:.1}", 100.0 * disagreement)
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_kept_with_the_sources_is_shown() {
        assert!(!super::detection().is_empty());
        assert_eq!(super::wrong_kernels().len(), super::WRONG.lines().count());
    }
}
