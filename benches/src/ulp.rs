//! The largest error of each function of `etalon_kernels::math` over the arguments of f32.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Result, bail};
use etalon_kernels::isa::Isa;
use etalon_kernels::math::accuracy::{Subject, Worst, subjects};
use serde::Serialize;

/// Arguments that are computed together.
const BLOCK: usize = 1 << 14;
/// Every argument.
const ALL: u64 = 1 << 32;

/// What was found of one function.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// The function; a derivative ends in `'`.
    pub function: String,
    /// The levels, which all give the same bits.
    pub isa: Vec<&'static str>,
    /// How many arguments.
    pub arguments: u64,
    /// The largest error, in units in the last place.
    pub ulps: f64,
    /// The argument there.
    pub at: f32,
    /// What is allowed.
    pub budget: String,
    /// The largest error as a share of what is allowed; above 1 is a failure.
    pub share: f64,
    /// The argument of that.
    pub share_at: f32,
    /// The largest error of libtorch, and the argument.
    pub libtorch: Option<(f64, f32)>,
    /// Where two levels differ, or a level fails.
    pub fault: Option<String>,
}

impl Found {
    /// Within the budget, with the same bits on all levels.
    pub fn is_fine(&self) -> bool {
        self.share <= 1.0 && self.fault.is_none()
    }
}

/// The functions that a name chooses: that function and its derivative; all, without a name.
///
/// # Errors
/// If there is no function of this name.
pub fn chosen(name: Option<&str>) -> Result<Vec<Subject>> {
    let all = subjects();
    let Some(name) = name else { return Ok(all) };
    let known: Vec<String> = all.iter().map(|subject| subject.name.clone()).collect();
    let mut chosen = all;
    chosen.retain(|subject| subject.name == name || subject.name.strip_suffix('\'') == Some(name));
    if chosen.is_empty() {
        bail!("no function `{name}`: expected one of {}", known.join(", "));
    }
    Ok(chosen)
}

/// How many blocks every `stride`-th argument makes.
pub fn blocks(stride: u64) -> u64 {
    ALL.div_ceil(stride).div_ceil(BLOCK as u64)
}

/// Holds one function against the exact values at every `stride`-th argument, on `threads` threads. `tick` is told of
/// each block.
///
/// # Errors
/// If no level of instructions is usable.
pub fn measure(subject: &Subject, stride: u64, threads: usize, tick: impl Fn() + Sync) -> Result<Found> {
    let levels: Vec<Isa> = Isa::ALL.into_iter().filter(|isa| isa.usable().is_ok()).collect();
    let (next, total) = (AtomicU64::new(0), blocks(stride));
    let sum = Mutex::new((Worst::NONE, Witness::none(), None));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut own = Own::new(subject, &levels);
                loop {
                    let block = next.fetch_add(1, Ordering::Relaxed);
                    if block >= total || own.fault.is_some() {
                        break;
                    }
                    own.block(block * BLOCK as u64 * stride, stride);
                    tick();
                }
                let mut sum = sum.lock().expect("no thread panics with the lock");
                sum.0 = sum.0.and(own.worst);
                sum.1 = Witness::and(sum.1, own.theirs());
                sum.2 = sum.2.take().or(own.fault);
            });
        }
    });
    let (worst, theirs, fault) = sum.into_inner().expect("no thread panics with the lock");
    let absolute = match (subject.budget.absolute, subject.name.ends_with('\'')) {
        (0.0, _) => String::new(),
        (absolute, false) => format!(" + {absolute}u|x|"),
        (absolute, true) => format!(" + {absolute}u"),
    };
    Ok(Found {
        function: subject.name.clone(),
        isa: levels.iter().map(|isa| isa.name()).collect(),
        arguments: ALL.div_ceil(stride),
        ulps: worst.ulps,
        at: worst.at,
        budget: format!("{}{absolute}", subject.budget.ulps),
        share: worst.share,
        share_at: worst.share_at,
        libtorch: theirs.0.map(|worst| (worst.ulps, worst.at)),
        fault,
    })
}

/// libtorch's largest error, where it has the function.
#[derive(Clone, Copy)]
struct Witness(Option<Worst>);

impl Witness {
    fn none() -> Witness {
        Witness(None)
    }

    fn and(self, other: Witness) -> Witness {
        Witness(self.0.map(|own| other.0.map_or(own, |other| own.and(other))).or(other.0))
    }
}

/// What one thread works with.
struct Own<'a> {
    subject: &'a Subject,
    levels: &'a [Isa],
    x: Vec<f32>,
    truths: Vec<f64>,
    first: Vec<f32>,
    other: Vec<f32>,
    worst: Worst,
    #[cfg(feature = "libtorch")]
    libtorch: Option<(etalon_reference::torch::Elementwise, Worst)>,
    fault: Option<String>,
}

impl<'a> Own<'a> {
    fn new(subject: &'a Subject, levels: &'a [Isa]) -> Own<'a> {
        Own {
            subject,
            levels,
            x: vec![0.0; BLOCK],
            truths: vec![0.0; BLOCK],
            first: vec![0.0; BLOCK],
            other: vec![0.0; BLOCK],
            worst: Worst::NONE,
            #[cfg(feature = "libtorch")]
            libtorch: libtorch(subject).map(|function| (function, Worst::NONE)),
            fault: None,
        }
    }

    /// The arguments whose bits are `first`, `first + stride`, …
    fn block(&mut self, first: u64, stride: u64) {
        let bits = (first..ALL).step_by(stride as usize).take(BLOCK);
        self.x.clear();
        self.x.extend(bits.map(|bits| f32::from_bits(bits as u32)));
        let len = self.x.len();
        let (x, truths) = (&self.x[..], &mut self.truths[..len]);
        self.subject.truths(x, truths);
        for (i, &isa) in self.levels.iter().enumerate() {
            let out = if i == 0 { &mut self.first } else { &mut self.other };
            if let Err(error) = self.subject.values(isa, x, &mut out[..len]) {
                self.fault = Some(error);
                return;
            }
            let bits = |x: f32| if x.is_nan() { u32::MAX } else { x.to_bits() };
            let differs = |&j: &usize| bits(self.first[j]) != bits(self.other[j]);
            if let Some(j) = (0..len).find(|j| i > 0 && differs(j)) {
                let (a, b, first) = (self.first[j], self.other[j], self.levels[0]);
                self.fault = Some(format!("of {:e} {first} gives {a:e}, {isa} {b:e}", x[j]));
                return;
            }
        }
        self.worst = self.worst.and(self.subject.worst(x, truths, &self.first[..len]));
        #[cfg(feature = "libtorch")]
        if let Some((function, worst)) = &mut self.libtorch
            && function.of(x, &mut self.other[..len]).is_ok()
        {
            *worst = worst.and(self.subject.worst(x, truths, &self.other[..len]));
        }
    }

    #[cfg(feature = "libtorch")]
    fn theirs(&self) -> Witness {
        Witness(self.libtorch.as_ref().map(|(_, worst)| *worst))
    }

    #[cfg(not(feature = "libtorch"))]
    fn theirs(&self) -> Witness {
        Witness::none()
    }
}

/// The function of libtorch, on one thread.
#[cfg(feature = "libtorch")]
fn libtorch(subject: &Subject) -> Option<etalon_reference::torch::Elementwise> {
    use etalon_kernels::activation::What;
    use etalon_reference::torch::Elementwise;
    match subject.activation {
        None => Elementwise::plain(&subject.name),
        Some((function, What::Slope)) => Elementwise::slope(function, subject.alpha),
        Some((function, What::Value)) => Elementwise::value(function, subject.alpha),
    }
    .ok()
}
