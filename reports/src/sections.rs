//! Sections with data of their own, as values for the template.

use minijinja::{Value, context};

use crate::draw;
use crate::networks::NetworkSum;
use crate::numbers;
use crate::pictures::Picture;
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
