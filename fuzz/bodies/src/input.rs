//! Bytes to a case and back.
//!
//! Eight bytes choose kernel, dtype, fill, seed (two), threads and their mode, guard and offset; the rest is the point, as
//! [`Point::decode`] reads it. Missing bytes are zeros. A point that the kernel does not compute is moved into a domain in
//! which it does.

use etalon_kernels::check::{Guard, Placement};
use etalon_kernels::kernel::Kernel;
use etalon_kernels::registry::Entry;
use etalon_reference::axis::Kind;
use etalon_reference::reach::{Domain, domains, fit};
use etalon_reference::{Case, Fill, Point, Problem, Types};

/// Bytes before the point.
const HEADER: usize = 8;

/// Threads that are tried.
const THREADS: usize = 3;

/// Cost of a problem at most, in operations: many cases a second matter more than large ones. Two tiles of every kernel in each
/// direction, or two chunks of a sum, still fit.
const COST: f64 = 5e4;

/// What lies around operands, with its name in text.
pub const GUARDS: [(&str, Guard); 3] =
    [("page-behind", Guard::PageBehind), ("page-before", Guard::PageBefore), ("zones", Guard::Zones)];

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
        let [kernel, types, fill, seed @ .., threads, guard, offset] = header.map(usize::from);
        let point = Point::decode(entry.operator.axes, &bytes[known..], false);
        let (kernel, types, point) = choose(entry, &kernels(entry), kernel, types, &point)?;
        Some(Input {
            kernel,
            case: Case {
                op: entry.operator.name.into(),
                kernel: kernel.name.into(),
                types,
                point,
                threads: 1 + threads % THREADS,
                eager: (threads / THREADS).is_multiple_of(2),
                fill: Fill::ALL[fill % Fill::ALL.len()],
                seed: seed[0] as u64 | (seed[1] as u64) << 8,
            },
            placement: Placement { offset_bytes: offset % 64, guard: GUARDS[guard % GUARDS.len()].1 },
        })
    }

    /// Bytes that [`decode`](Input::decode) reads as this case; `None` if it is out of reach (too large, another kernel).
    pub fn encode(entry: &Entry, case: &Case, placement: Placement) -> Option<Vec<u8>> {
        let kernels = kernels(entry);
        let kernel = kernels.iter().position(|k| k.name == case.kernel)?;
        let types = kernels[kernel].types.iter().position(|d| *d == case.types)?;
        let fill = Fill::ALL.iter().position(|f| *f == case.fill)?;
        let guard = GUARDS.iter().position(|(_, guard)| *guard == placement.guard)?;
        let [low, high, ..] = case.seed.to_le_bytes();
        let threads = case.threads - 1 + if case.eager { 0 } else { THREADS };
        let numbers = [kernel, types, fill, low.into(), high.into(), threads, guard, placement.offset_bytes];
        let mut bytes: Vec<u8> = numbers.map(|n| u8::try_from(n).unwrap_or(0)).into();
        for (axis, value) in case.point.axes().iter().zip(case.point.values()) {
            match axis.kind {
                Kind::Choice(_) => bytes.push(u8::try_from(*value).ok()?),
                Kind::Int { tested, favoured, .. } if *value > tested => {
                    // The lowest bit of the first byte, if set, chooses a favoured value.
                    let position = favoured.iter().position(|favourite| favourite == value)?;
                    bytes.extend([1, u8::try_from(position).ok()?]);
                }
                Kind::Int { least, .. } => {
                    let [raw, rest] = u16::try_from(*value - least).ok()?.to_le_bytes();
                    bytes.extend([rest.checked_mul(2)?, raw]);
                }
            }
        }
        let read = Input::decode(entry, &bytes)?;
        (read.case == *case).then_some(bytes)
    }
}

/// The first kernel and dtype, from the ones that the bytes ask for onwards, that compute the point, or the point moved into
/// one of the operator's domains.
fn choose(
    entry: &Entry,
    kernels: &[Kernel],
    kernel: usize,
    types: usize,
    point: &Point,
) -> Option<(Kernel, Types, Point)> {
    let fits = |domain: Option<&'static Domain>| {
        let point = domain.map_or(point.clone(), |domain| domain.restrict(point.clone()));
        fit(entry.operator, point, |axis| domain.is_some_and(|domain| domain.fixes(axis)), COST)
    };
    let places: Vec<(Point, Box<dyn Problem>)> = domains(entry.operator).filter_map(fits).collect();
    let ways = (0..kernels.len()).flat_map(|i| {
        let kernel = kernels[(kernel + i) % kernels.len()];
        (0..kernel.types.len()).map(move |j| (kernel, kernel.types[(types + j) % kernel.types.len()]))
    });
    ways.into_iter().find_map(|(kernel, types)| {
        let applies = |place: &&(Point, Box<dyn Problem>)| kernel.applies(&*place.1, types).is_ok();
        places.iter().find(applies).map(|(point, _)| (kernel, types, point.clone()))
    })
}
