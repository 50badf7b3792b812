//! What there is to ask: drawn problems, one case, or the workloads.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};
use etalon_kernels::check::draw::{Drawing, Quota};
use etalon_kernels::check::suite::Question;
use etalon_kernels::isa::Isa;
use etalon_kernels::kernel::Kernel;
use etalon_kernels::registry::{self, Entry};
use etalon_reference::{Case, Fill, Point, Problem, Types};

use super::question;
use crate::memory;

/// One question on one case.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// The case.
    pub case: Case,
    /// The question.
    pub question: Question,
}

/// What is not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// What it is: `operator/kernel/dtype`, a case id, or a number of them.
    pub what: String,
    /// Why.
    pub why: String,
}

/// All that there is to ask.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// The questions, in the order of the rows.
    pub asks: Vec<Ask>,
    /// `operator/kernel/dtype` and question: each must be asked at least once.
    pub promised: Vec<(String, Question)>,
    /// What is left out.
    pub left: Vec<Left>,
}

/// Most threads of a case.
pub const MOST_THREADS: usize = 1024;

/// Operations of a workload at most: the reference takes a nanosecond or two for each.
const WORKLOAD_FLOPS: f64 = 1.1e9;

/// Memory of a workload at most: inputs, outputs and their copies are made, moved and compared one element at a time.
const WORKLOAD_BYTES: f64 = 6.4e8;

/// Operations of a workload at most that scalar kernels are asked.
const SCALAR_FLOPS: f64 = 2e8;

/// `operator/kernel/dtype`, which filters look at.
pub(super) fn path(op: &str, kernel: &str, types: impl std::fmt::Display) -> String {
    format!("{op}/{kernel}/{types}")
}

/// Every kernel and dtype whose path contains the filter.
fn chosen(filter: &str) -> Vec<(String, &'static Entry, &'static Kernel, Types)> {
    let all = registry::ALL.iter().flat_map(|entry| {
        let of = move |kernel: &'static Kernel| kernel.types.iter().map(move |types| (entry, kernel, *types));
        entry.kernels.iter().flat_map(of)
    });
    let named = all.map(|(entry, kernel, types)| (path(entry.operator.name, kernel.name, types), entry, kernel, types));
    named.filter(|(path, ..)| path.contains(filter)).collect()
}

impl Selection {
    /// Drawn problems of every kernel whose path contains `filter`: `cases` for parity, fewer for the other questions.
    ///
    /// # Errors
    /// If the filter chooses nothing.
    pub fn drawn(filter: &str, cases: usize, seed: u64) -> Result<Selection> {
        let known = known(filter)?;
        // Each kernel draws from a seed of its own, so that the order in which threads take them does not matter.
        let (next, parts) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let draw = || {
            while let Some((path, entry, kernel, types)) = known.get(next.fetch_add(1, Ordering::Relaxed)) {
                let part = Selection::of_kernel(path, entry, kernel, *types, cases, seed);
                parts.lock().expect("no thread panics").push((path, part));
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(draw))));
        let mut parts: HashMap<_, _> = parts.into_inner().expect("no thread panics").into_iter().collect();
        let mut selection = Selection::default();
        for (path, ..) in &known {
            let part = parts.remove(path).expect("each was drawn");
            selection.asks.extend(part.asks);
            selection.promised.extend(part.promised);
            selection.left.extend(part.left);
        }
        Ok(selection)
    }

    /// Those of one kernel and types.
    fn of_kernel(
        path: &str,
        entry: &'static Entry,
        kernel: &Kernel,
        types: Types,
        cases: usize,
        seed: u64,
    ) -> Selection {
        let mut selection = Selection::default();
        if let Err(why) = kernel.usable() {
            selection.left.push(Left { what: path.into(), why });
            return selection;
        }
        let supports = |problem: &dyn Problem| kernel.applies(problem, types).is_ok();
        let mut drawing = Drawing::new(entry.operator, kernel, types, &supports, seed);
        for question in Question::ALL.into_iter().filter(|q| question::concerns(*q, entry, kernel, types)) {
            selection.promised.push((path.into(), question));
            let drawn = drawing.cases(question, &Quota::of(question, cases));
            selection.asks.extend(drawn.into_iter().map(|case| Ask { case, question }));
        }
        selection
    }

    /// All questions of one case.
    ///
    /// # Errors
    /// If the text is no case id, or the case cannot be: no such kernel, no such problem, more than there is memory for.
    pub fn of_case(id: &str) -> Result<Selection> {
        let case = Case::parse(id, &registry::operators())?;
        let entry = registry::find(&case.op).context("the operator is not in the registry")?;
        let kernel = entry.kernel(&case.kernel).with_context(|| {
            let known: Vec<&str> = entry.kernels.iter().map(|k| k.name).collect();
            format!("{} has no kernel `{}`: expected {}", case.op, case.kernel, known.join(", "))
        })?;
        if case.threads > MOST_THREADS {
            bail!("{} threads are more than the {MOST_THREADS} that a case may have", case.threads);
        }
        let problem = entry.operator.problem(&case.point).with_context(|| format!("`{}` is no problem", case.point))?;
        if let Err(why) = kernel.applies(&*problem, case.types) {
            return Ok(Selection { left: vec![Left { what: id.into(), why }], ..Selection::default() });
        }
        memory::suffices(&*problem, case.types).map_err(|why| anyhow::anyhow!("{}: {why}", case.point))?;
        let concerned = Question::ALL.into_iter().filter(|q| question::concerns(*q, entry, kernel, case.types));
        let asks = concerned.map(|question| Ask { case: case.clone(), question }).collect();
        Ok(Selection { asks, ..Selection::default() })
    }

    /// The workloads' own points, each asked once of all kernels of the best level and of the strongest one of each level below.
    ///
    /// # Errors
    /// If the filter chooses nothing, or a workload is no problem.
    pub fn workloads(filter: &str) -> Result<Selection> {
        let mut selection = Selection::default();
        let chosen = known(filter)?;
        let mut left = [0usize; 3];
        for entry in registry::ALL {
            let operator = entry.operator;
            for workload in operator.workloads {
                let point = Point::parse(operator.axes, workload.point)?;
                let problem = operator.problem(&point).with_context(|| workload.name)?;
                for &types in operator.types {
                    let kernels: Vec<&Kernel> = (chosen.iter())
                        .filter(|(_, of, kernel, d)| {
                            of.operator.name == operator.name && *d == types && kernel.usable().is_ok()
                        })
                        .map(|(_, _, kernel, _)| *kernel)
                        .collect();
                    if kernels.is_empty() {
                        continue;
                    }
                    let flops = problem.work(types).operations;
                    if flops > WORKLOAD_FLOPS {
                        left[0] += 1;
                        continue;
                    }
                    if memory::needed(&*problem, types) > WORKLOAD_BYTES {
                        left[1] += 1;
                        continue;
                    }
                    for kernel in worth(&kernels, &*problem, types) {
                        if kernel.isa == Isa::Scalar && flops > SCALAR_FLOPS {
                            left[2] += 1;
                            continue;
                        }
                        let threads = 1 + selection.asks.len() % 2;
                        let (op, kernel, point) = (operator.name.into(), kernel.name.into(), point.clone());
                        let case = Case { op, kernel, types, point, threads, eager: false, fill: Fill::Real, seed: 1 };
                        selection.asks.push(Ask { case, question: Question::Parity });
                    }
                }
            }
        }
        let reasons = [
            format!("more than {WORKLOAD_FLOPS:e} operations, which take the reference too long"),
            format!("more than {:.1} GB of memory, which takes long to compare", WORKLOAD_BYTES / 1e9),
            format!("more than {SCALAR_FLOPS:e} operations, which take a scalar kernel too long"),
        ];
        let counted = left.into_iter().zip(["workloads", "workloads", "scalar kernels' workloads"]).zip(reasons);
        let counted = counted.filter(|((count, _), _)| *count > 0);
        selection.left.extend(counted.map(|((count, what), why)| Left { what: format!("{count} {what}"), why }));
        Ok(selection)
    }
}

fn known(filter: &str) -> Result<Vec<(String, &'static Entry, &'static Kernel, Types)>> {
    let chosen = chosen(filter);
    if chosen.is_empty() {
        bail!("nothing contains `{filter}`: a filter is a part of operator/kernel/dtype, as in gemm/avx2/f32");
    }
    Ok(chosen)
}

/// All kernels of the best level, and the last one of each level below.
fn worth<'a>(kernels: &[&'a Kernel], problem: &dyn Problem, types: Types) -> Vec<&'a Kernel> {
    let fit: Vec<&Kernel> = kernels.iter().copied().filter(|k| k.applies(problem, types).is_ok()).collect();
    let last = |isa: Isa| fit.iter().rfind(|k| k.isa == isa && k.is_usual()).map(|k| k.name);
    let worth = |k: &&Kernel| k.isa == Isa::best() || last(k.isa) == Some(k.name);
    fit.iter().copied().filter(worth).collect()
}
