//! What is at a position, or in the corner of a cell.

use etalon_reference::Element;
use etalon_reference::ops::images::ImageLayout;
use etalon_reference::ops::max_pool2d::MaxPool2d;

use crate::disjoint::chunks;
use crate::faults::fault;
use crate::max_pool2d_backward::Outside;
use crate::pool::Pool;

/// Elements of a task, about.
pub const TASK: usize = 16 * 1024;

/// From the first element of each cell. `p` pools cells.
pub fn corners<T: Element>(p: &MaxPool2d, dy: &[T], dx: &mut [T], pool: &Pool) {
    let together = if p.x.layout == ImageLayout::Nhwc { p.x.c } else { 1 };
    let (from, to) = (p.x.w * together * p.rows.taps, p.y.w * together);
    let rows = (TASK / to).max(1);
    chunks(pool, dx, rows * to, |start, dx| {
        for (row, dx) in dx.chunks_exact_mut(to).enumerate() {
            let row = if fault!("unpool2d_backward.second-task") { row } else { start / to + row };
            let dy = &dy[row * from..][..p.x.w * together];
            match (together, p.cols.taps) {
                (1, 2) => every::<T, 2>(dy, dx),
                (1, _) => dx.iter_mut().zip(dy.iter().step_by(p.cols.taps)).for_each(|(dx, &dy)| *dx = dy),
                _ => {
                    let cells = dy.chunks_exact(together * p.cols.taps);
                    let pairs = dx.chunks_exact_mut(together).zip(cells);
                    pairs.for_each(|(dx, dy)| dx.copy_from_slice(&dy[..together]));
                }
            }
        }
    });
}

/// The first of every `N` elements.
fn every<T: Element, const N: usize>(from: &[T], to: &mut [T]) {
    to.iter_mut().zip(from.as_chunks::<N>().0).for_each(|(to, from)| *to = from[0]);
}

/// From each position. `p` pools what positions are of.
pub fn found<T: Element>(p: &MaxPool2d, dy: &[T], index: &[i64], dx: &mut [T], pool: &Pool, outside: &Outside) {
    let (c, plane, own) = (p.x.c, p.x.h * p.x.w, p.y.h * p.y.w);
    let at = |from: &[T], place: i64, step: usize, channel: usize| match usize::try_from(place) {
        Ok(place) if place < plane => from[place * step + channel],
        _ => {
            outside.tell(place);
            T::default()
        }
    };
    if p.x.layout == ImageLayout::Nhwc {
        let pixels = (TASK / c).max(1);
        chunks(pool, dx, pixels * c, |start, dx| {
            let index = &index[start..start + dx.len()];
            for (pixel, (dx, index)) in dx.chunks_exact_mut(c).zip(index.chunks_exact(c)).enumerate() {
                let image = (start / c + pixel) / own;
                let image = if fault!("unpool2d_backward.fifth-image") { image.min(3) } else { image };
                let dy = &dy[image * plane * c..][..plane * c];
                let found = dx.iter_mut().zip(index).enumerate();
                found.for_each(|(channel, (dx, &place))| *dx = at(dy, place, c, channel));
            }
        });
        return;
    }
    let planes = (TASK / own).max(1);
    chunks(pool, dx, planes * own, |start, dx| {
        let index = &index[start..start + dx.len()];
        for (number, (dx, index)) in dx.chunks_exact_mut(own).zip(index.chunks_exact(own)).enumerate() {
            let dy = &dy[(start / own + number) * plane..][..plane];
            dx.iter_mut().zip(index).for_each(|(dx, &place)| *dx = at(dy, place, 1, 0));
        }
    });
}
