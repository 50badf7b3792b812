//! Numbers that no clock gives: a record that has them keeps its row, which says so, and counts for nothing else.

use std::ops::RangeInclusive;

use etalon_reference::record::{PeerTime, Record, Status, Time};

/// From a picosecond to eleven days for a call.
const TIMES_NS: RangeInclusive<f64> = 1e-3..=1e15;
/// Nothing is more often as fast, or as slow, as anything.
const RATIOS: RangeInclusive<f64> = 1e-9..=1e9;
/// 10⁹ operations, or bytes, a second; the most are more than any machine has.
const RATES: RangeInclusive<f64> = 1e-12..=1e12;

/// Takes away what cannot be used, and returns why the record has no time any more, if that is so.
pub fn keep_usable(record: &mut Record) -> Option<String> {
    let mut reasons: Vec<String> = record.reason.take().into_iter().collect();
    record.peers.retain(|peer| {
        let usable = peer_is_usable(peer);
        if !usable {
            reasons.push(format!("{}: no usable time ({} ns, ratio {})", peer.peer, peer.median_ns, peer.ratio));
        }
        usable
    });
    let complaint = record.time.as_ref().and_then(complaint);
    if let Some(complaint) = &complaint {
        reasons.insert(0, complaint.clone());
        (record.time, record.status) = (None, worse(record.status));
        record.peers.clear();
        (record.work.gflops, record.work.gbytes, record.work.share_of_peak) = (None, None, None);
    }
    let work = &mut record.work;
    for rate in [&mut work.gflops, &mut work.gbytes, &mut work.share_of_peak] {
        *rate = rate.filter(|rate| RATES.contains(rate));
    }
    record.reason = (!reasons.is_empty()).then(|| reasons.join("; "));
    complaint
}

fn complaint(time: &Time) -> Option<String> {
    let Time { median_ns, low_ns, high_ns, .. } = time;
    let shown = || format!("no usable time: median {median_ns:e} ns, interval {low_ns:e} to {high_ns:e} ns");
    let positive = [median_ns, low_ns, high_ns].into_iter().all(|ns| TIMES_NS.contains(ns));
    let others = [time.mean_ns, time.mad_ns, time.p05_ns, time.p95_ns, time.min_ns];
    let possible = others.into_iter().all(|ns| ns == 0.0 || TIMES_NS.contains(&ns));
    (!(positive && possible)).then(shown)
}

fn peer_is_usable(peer: &PeerTime) -> bool {
    let ratios = [peer.ratio, peer.ratio_low, peer.ratio_high];
    TIMES_NS.contains(&peer.median_ns) && ratios.iter().all(|ratio| RATIOS.contains(ratio))
}

fn worse(status: Status) -> Status {
    if status == Status::Ok { Status::Mistrusted } else { status }
}
