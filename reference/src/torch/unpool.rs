//! `unpool2d`. Its gradient follows by autograd.

use tch::{TchError, Tensor};

use super::pool::extents;
use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::unpool2d::{To, Unpool2d};

pub(super) const UNPOOL2D: Twin = Twin { op: "unpool2d", forward, slack: |_| 1.0, ways };

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let p: &Unpool2d = downcast(problem);
    let (x, size) = (&inputs[0], extents(&p.pool.x));
    Ok(vec![match p.to {
        To::Index => x.f_max_unpool2d(&inputs[1], size)?,
        To::Cell => x.f_upsample_nearest2d(size, None, None)?,
        To::Corner => {
            let [n, c, h, w] = [p.pool.y.n, p.pool.y.c, p.pool.y.h, p.pool.y.w].map(|extent| extent as i64);
            let cells = [0, p.pool.cols.taps as i64 - 1, 0, 0, 0, p.pool.rows.taps as i64 - 1];
            x.f_reshape([n, c, h, 1, w, 1])?.f_constant_pad_nd(cells)?.f_reshape([n, c, size[0], size[1]])?
        }
    }])
}

fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p: &Unpool2d = downcast(problem);
    let (size, outputs) = (extents(&p.pool.x), operands.outputs()?);
    let [x, index] = [0, 1].map(|i| operands.inputs[i].shallow_clone());
    let mut y = outputs[0].shallow_clone();
    let way = match p.to {
        To::Index => Way::out("max_unpool2d_out", outputs, move || x.f_max_unpool2d_out(&y, &index, size).map(|_| ())),
        To::Cell => Way::out("upsample_nearest2d_out", outputs, move || {
            x.f_upsample_nearest2d_out(&y, size, None, None).map(|_| ())
        }),
        To::Corner => {
            let [rows, columns] = [p.pool.rows.taps, p.pool.cols.taps].map(|taps| taps as i64);
            let mut nails = y.f_slice(2, None, None, rows)?.f_slice(3, None, None, columns)?;
            Way::out("copy_", outputs, move || {
                let _ = y.f_zero_()?;
                nails.f_copy_(&x)
            })
        }
    };
    Ok(vec![way.tried()?])
}
