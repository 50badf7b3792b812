//! [`dropout`](etalon_reference::ops::dropout): elements dropped by Philox's random numbers, the others scaled. f32 and f64;
//! the key is four i32, the mask one byte per element.
//!
//! One source for all instruction sets: sixteen counters side by side in plain Rust, which the compiler turns into the level's
//! vectors. Integers are exact and each product rounds once, so that all levels and any number of threads give equal outputs.
//!
//! ```text
//! for each 64 elements:  sixteen counters, ten rounds:  64 random numbers
//!     mask = number ≥ threshold;  y = x·(mask ? scale : 0)
//! ```
//! NaN: a NaN or an infinity that is dropped gives NaN. Errors: a level that the CPU lacks.

use etalon_reference::dtype::Flag;
use etalon_reference::operator::downcast;
use etalon_reference::ops::dropout::{Dropout, key_and_offset};
use etalon_reference::ops::philox::{FACTORS, ROUNDS, STEPS};
use etalon_reference::{Element, Threshold, Types};

use crate::call::{Call, elements};
use crate::disjoint::parts;
use crate::faults::fault;
use crate::isa::Isa;
use crate::isa::arrays;
use crate::isa::wide::{Wide, Work, with_lanes};
use crate::kernel::{Kernel, KernelError};
use crate::pool::Pool;

const FLOATS: &[Types] = &[Types::F32, Types::F64];
/// Counters side by side.
const LANES: usize = 16;
/// Elements of as many counters.
const BLOCK: usize = 4 * LANES;
/// Elements of a task: a multiple of [`BLOCK`], so that every task begins with a whole counter.
const TASK: usize = 128 * BLOCK;
const THRESHOLDS: &[Threshold] = &[Threshold::axis("n", BLOCK as i64), Threshold::axis("n", TASK as i64)];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)).with_thresholds(THRESHOLDS),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

/// A number that is scaled.
pub(crate) trait Real: Element + std::ops::Mul<Output = Self> {}
impl Real for f32 {}
impl Real for f64 {}

/// The operands.
struct Operands<'a, T> {
    /// Elements.
    x: &'a [T],
    /// Key and offset: the key's two words, then the offset's lower and upper.
    key: [i32; 4],
    /// Scaled elements, 0 where they are dropped.
    y: &'a mut [T],
    /// 1 where an element stays.
    mask: &'a mut [Flag],
}

/// Dropout, with the instructions of `isa`.
fn dropout<T: Real>(p: &Dropout, isa: Isa, o: Operands<'_, T>, pool: &Pool) -> Result<(), KernelError> {
    let (key, offset) = key_and_offset(o.key);
    let numbers = Numbers { key, threshold: p.threshold() };
    let step = Step { x: o.x, y: o.y, mask: o.mask, numbers, offset, scale: scale(p), pool };
    with_lanes(isa, step).map_err(KernelError::Isa)
}

/// The factor of elements that stay, rounded once.
pub(crate) fn scale<T: Element>(p: &Dropout) -> T {
    T::from_f64(p.scale())
}

/// Where the random numbers come from.
#[derive(Clone, Copy)]
struct Numbers {
    key: [u32; 2],
    threshold: u32,
}

impl Numbers {
    /// Whether each of 64 elements stays, of sixteen counters from `counter` on: word by word of all counters.
    #[inline(always)]
    fn stays(self, counter: u64) -> [[bool; LANES]; 4] {
        let counters: [u64; LANES] = arrays::from_fn(|lane| counter.wrapping_add(lane as u64));
        let mut c: [[u32; LANES]; 4] =
            [counters.map(|c| c as u32), counters.map(|c| (c >> 32) as u32), [0; LANES], [0; LANES]];
        let [mut k0, mut k1] = self.key;
        for _ in 0..ROUNDS {
            let mut next = c;
            for lane in 0..LANES {
                let first = u64::from(FACTORS[0]) * u64::from(c[0][lane]);
                let second = u64::from(FACTORS[1]) * u64::from(c[2][lane]);
                next[0][lane] = (second >> 32) as u32 ^ c[1][lane] ^ k0;
                next[1][lane] = second as u32;
                next[2][lane] = (first >> 32) as u32 ^ c[3][lane] ^ k1;
                next[3][lane] = first as u32;
            }
            c = next;
            (k0, k1) = (k0.wrapping_add(STEPS[0]), k1.wrapping_add(STEPS[1]));
        }
        c.map(|word| word.map(|number| number >= self.threshold))
    }
}

struct Step<'a, T> {
    x: &'a [T],
    y: &'a mut [T],
    mask: &'a mut [Flag],
    numbers: Numbers,
    offset: u64,
    scale: T,
    pool: &'a Pool,
}

impl<T: Real> Work for Step<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, l: L) {
        let Step { x, y, mask, numbers, offset, scale, pool } = self;
        parts(pool, (y, TASK), (mask, TASK), &mut [(); 0], |task, y, mask, _| {
            let x = &x[task * TASK..][..y.len()];
            let ahead = if fault!("dropout.third-task") { task.min(1) } else { task };
            let counter = offset.wrapping_add((ahead * TASK / 4) as u64);
            l.enter(Task { x, y, mask, numbers, counter, scale });
        });
    }
}

struct Task<'a, T> {
    x: &'a [T],
    y: &'a mut [T],
    mask: &'a mut [Flag],
    numbers: Numbers,
    counter: u64,
    scale: T,
}

impl<T: Real> Work for Task<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, _: L) {
        let Task { x, y, mask, numbers, mut counter, scale } = self;
        if fault!("dropout.offset-of-32-bits") {
            counter &= 0xffff_ffff;
        }
        let blocks = x.chunks(BLOCK).zip(y.chunks_mut(BLOCK)).zip(mask.chunks_mut(BLOCK));
        for (block, ((x, y), mask)) in blocks.enumerate() {
            let stays = numbers.stays(counter.wrapping_add((block * LANES) as u64));
            // Words of a counter lie side by side.
            let flags: [bool; BLOCK] = arrays::from_fn(|i| stays[i % 4][i / 4]);
            for (((x, y), mask), stays) in x.iter().zip(y).zip(mask).zip(flags) {
                *mask = Flag(u8::from(stays));
                *y = *x * if stays { scale } else { T::default() };
            }
        }
    }
}

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    match call.types() {
        Types::F64 => typed::<f64>(call, isa),
        _ => typed::<f32>(call, isa),
    }
}

fn typed<T: Real>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let (x, key) = (call.input::<T>(0), call.input::<i32>(1));
    let (problem, pool) = (downcast(call.problem()), call.pool());
    let ([y, mask], _) = call.outputs();
    let key = key.try_into().expect("four words");
    dropout(problem, isa, Operands { x, key, y: elements(y), mask: elements(mask) }, pool)
}
