//! Bytes to a case and back.
//!
//! Eight bytes choose kernel, dtype, fill, seed (two), threads, guard and offset; the rest is the point, as
//! [`Point::decode`] reads it. Missing bytes are zeros.

use etalon_kernels::check::{Guard, Placement};
use etalon_kernels::kernel::Kernel;
use etalon_kernels::registry::Entry;
use etalon_reference::axis::Kind;
use etalon_reference::{Case, DType, Fill, Point, Problem};

/// Bytes before the point.
const HEADER: usize = 8;

/// Threads that are tried.
const THREADS: usize = 3;

/// Operations of a problem at most: many cases a second matter more than large ones. Two tiles of every kernel in each
/// direction, or two chunks of a sum, still fit.
const FLOPS: f64 = 5e4;

const GUARDS: [Guard; 3] = [Guard::PageBehind, Guard::PageBefore, Guard::Zones];

/// What the bytes ask for.
pub struct Input {
    /// The kernel.
    pub kernel: Kernel,
    /// Everything else that a case id says.
    pub case: Case,
    /// Where the operands lie.
    pub placement: Placement,
}

/// The kernels of an operator that fuzzing runs.
pub fn kernels(entry: &Entry) -> Vec<Kernel> {
    #[cfg_attr(not(feature = "planted-bug"), expect(unused_mut, reason = "the bug takes a kernel's place"))]
    let mut kernels = entry.kernels.to_vec();
    #[cfg(feature = "planted-bug")]
    crate::planted::plant(entry, &mut kernels);
    kernels
}

impl Input {
    /// Reads the bytes; `None` if the point makes no problem, or no kernel here computes it.
    pub fn decode(entry: &Entry, bytes: &[u8]) -> Option<Input> {
        let mut header = [0; HEADER];
        let known = bytes.len().min(HEADER);
        header[..known].copy_from_slice(&bytes[..known]);
        let [kernel, dtype, fill, seed @ .., threads, guard, offset] = header.map(usize::from);
        let (point, problem) = small(entry, Point::decode(entry.operator.axes(), &bytes[known..], false))?;
        let (kernel, dtype) = choose(&kernels(entry), kernel, dtype, &*problem)?;
        Some(Input {
            kernel,
            case: Case {
                op: entry.operator.name().into(),
                kernel: kernel.name.into(),
                dtype,
                point,
                threads: 1 + threads % THREADS,
                fill: Fill::ALL[fill % Fill::ALL.len()],
                seed: seed[0] as u64 | (seed[1] as u64) << 8,
            },
            placement: Placement { offset_bytes: offset % 64, guard: GUARDS[guard % GUARDS.len()] },
        })
    }

    /// Bytes that [`decode`](Input::decode) reads as this case; `None` if it is out of reach (too large, another kernel).
    pub fn encode(entry: &Entry, case: &Case, placement: Placement) -> Option<Vec<u8>> {
        let kernels = kernels(entry);
        let kernel = kernels.iter().position(|k| k.name == case.kernel)?;
        let dtype = kernels[kernel].dtypes.iter().position(|d| *d == case.dtype)?;
        let fill = Fill::ALL.iter().position(|f| *f == case.fill)?;
        let guard = GUARDS.iter().position(|g| *g == placement.guard)?;
        let [low, high, ..] = case.seed.to_le_bytes();
        let numbers = [kernel, dtype, fill, low.into(), high.into(), case.threads - 1, guard, placement.offset_bytes];
        let mut bytes: Vec<u8> = numbers.map(|n| u8::try_from(n).unwrap_or(0)).into();
        for (axis, value) in case.point.axes().iter().zip(case.point.values()) {
            match axis.kind {
                Kind::Choice(_) => bytes.push(u8::try_from(*value).ok()?),
                Kind::Int { least, .. } => {
                    // The lowest bit of the first byte, if set, chooses a favoured value instead.
                    let [raw, rest] = u16::try_from(*value - least).ok()?.to_le_bytes();
                    bytes.extend([rest.checked_mul(2)?, raw]);
                }
            }
        }
        let read = Input::decode(entry, &bytes)?;
        (read.case == *case).then_some(bytes)
    }
}

/// The first kernel and dtype that apply, from the ones that the bytes ask for onwards.
fn choose(kernels: &[Kernel], kernel: usize, dtype: usize, problem: &dyn Problem) -> Option<(Kernel, DType)> {
    let ways = (0..kernels.len()).flat_map(|i| {
        let kernel = kernels[(kernel + i) % kernels.len()];
        (0..kernel.dtypes.len()).map(move |j| (kernel, kernel.dtypes[(dtype + j) % kernel.dtypes.len()]))
    });
    ways.into_iter().find(|(kernel, dtype)| kernel.applies(problem, *dtype).is_ok())
}

/// The point with its largest sizes halved until the problem takes at most [`FLOPS`] operations.
fn small(entry: &Entry, mut point: Point) -> Option<(Point, Box<dyn Problem>)> {
    loop {
        let problem = entry.operator.problem(&point).ok()?;
        if problem.work(entry.operator.dtypes()[0]).flops <= FLOPS {
            return Some((point, problem));
        }
        let sizes = point.axes().iter().zip(point.values()).filter_map(|(axis, value)| match axis.kind {
            Kind::Int { least, .. } => Some((axis.name, *value, least)),
            Kind::Choice(_) => None,
        });
        let (axis, value, least) = sizes.max_by_key(|(_, value, _)| *value)?;
        if value <= least {
            return None;
        }
        point = point.with(axis, (value / 2).max(least));
    }
}
