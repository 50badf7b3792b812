//! Attention over bf16: q, k, v and an added mask widened to f32 once, the kernel of f32, and y rounded once.

use etalon_reference::ops::attention::{Attention, Mask};
use half::bf16;

use super::blocks;
use super::operands::{Given, Operands, Sight, lengths};
use super::scalar;
use crate::call::{Call, elements};
use crate::disjoint::{Disjoint, chunks};
use crate::faults::fault;
use crate::isa::Isa;
use crate::isa::narrow::{Convert, Job, Narrow, with_converters};
use crate::isa::wide::LANES;
use crate::kernel::KernelError;

/// Elements that a task widens or rounds.
const TASK: usize = 16 * 1024;

struct Widen<'a, E> {
    from: &'a [E],
    to: &'a mut [f32],
}

impl<E: Narrow> Job for Widen<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Convert>(self, l: L) {
        let ((from, from_rest), (to, to_rest)) = (self.from.as_chunks::<LANES>(), self.to.as_chunks_mut::<LANES>());
        for (from, to) in from.iter().zip(to) {
            l.store(E::widen(l, from), to);
        }
        to_rest.iter_mut().zip(from_rest).for_each(|(to, from)| *to = from.widened());
    }
}

struct Round<'a, E> {
    from: &'a [f32],
    to: &'a mut [E],
}

impl<E: Narrow> Job for Round<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Convert>(self, l: L) {
        let ((from, from_rest), (to, to_rest)) = (self.from.as_chunks::<LANES>(), self.to.as_chunks_mut::<LANES>());
        for (from, to) in from.iter().zip(to) {
            E::narrow(l, l.load(from), to);
        }
        if !fault!("attention.rest-of-bf16") {
            to_rest.iter_mut().zip(from_rest).for_each(|(to, from)| *to = E::rounded(*from));
        }
    }
}

const CHECKED: &str = "the CPU has the instructions";

/// All outputs, with the instructions of `isa`.
///
/// # Errors
/// If the CPU lacks them, or a length is none.
pub fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    with_converters(isa, Widen::<bf16> { from: &[], to: &mut [] }).map_err(KernelError::Isa)?;
    let p: &Attention = etalon_reference::operator::downcast(call.problem());
    let [q, k, v] = [0, 1, 2].map(|i| call.input::<bf16>(i));
    let added: &[bf16] = if p.mask == Mask::Add { call.input(3) } else { &[] };
    let flags = if p.mask == Mask::Bool { call.input(3) } else { &[] };
    let lengths = lengths(p, call, 4)?;
    let pool = call.pool();
    let ([y, lse], workspace) = call.outputs();
    let (y, lse) = (elements::<bf16>(y), elements::<f32>(lse));
    let lens = [q.len(), k.len(), v.len(), added.len(), y.len()];
    let (mut scratch, inner) = workspace.slice_and_inner::<f32>(lens.iter().sum());
    let [wide_q, wide_k, wide_v, wide_mask, wide_y] = lens.map(|len| {
        let (part, rest) = std::mem::take(&mut scratch).split_at_mut(len);
        scratch = rest;
        part
    });
    for (from, to) in [(q, &mut *wide_q), (k, &mut *wide_k), (v, &mut *wide_v), (added, &mut *wide_mask)] {
        chunks(pool, to, TASK, |start, to| {
            with_converters(isa, Widen { from: &from[start..start + to.len()], to }).expect(CHECKED);
        });
    }
    let mask = match p.mask {
        Mask::No => Given::None,
        Mask::Bool => Given::Flags(flags),
        Mask::Add => Given::Added(wide_mask),
    };
    let sight = Sight { p, mask, lengths };
    let operands =
        Operands { p, sight, q: wide_q, k: wide_k, v: wide_v, y: Disjoint::new(&mut *wide_y), lse: Disjoint::new(lse) };
    match isa {
        Isa::Scalar => scalar::attend(&operands, pool, inner),
        _ => blocks::attend(isa, &operands, pool, inner)?,
    }
    let wide_y = &*wide_y;
    chunks(pool, y, TASK, |start, to| {
        with_converters(isa, Round { from: &wide_y[start..start + to.len()], to }).expect(CHECKED);
    });
    Ok(())
}
