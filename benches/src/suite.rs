//! What there is to time: every operator × workload × dtype × threads × kernel, and how a filter chooses among it.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use etalon_kernels::isa::Isa;
use etalon_kernels::kernel::Kernel;
use etalon_kernels::registry::{self, Entry};
use etalon_reference::{Cache, Point, Problem, Types, Workload};

use crate::choice;
use crate::profile::Profile;

/// One problem to time.
#[derive(Clone)]
pub struct Subject {
    /// Operator and kernels.
    pub entry: &'static Entry,
    /// Workload's name, or `point` for one given on the command line.
    pub workload: String,
    /// Where its shape comes from.
    pub source: &'static str,
    /// Networks that have this layer, with how often they have it.
    pub networks: &'static [(&'static str, u32)],
    /// Whether only the default kernel is worth timing.
    pub brief: bool,
    /// Where networks find its operands.
    pub cache: Cache,
    /// Coordinates.
    pub point: Point,
    /// The problem.
    pub problem: Arc<dyn Problem>,
    /// Element type.
    pub types: Types,
}

impl Subject {
    /// `operator/workload/dtype`, what filters look at.
    pub fn path(&self) -> String {
        format!("{}/{}/{}", self.entry.operator.name, self.workload, self.types)
    }

    /// The default kernel.
    pub fn default_kernel(&self) -> Option<&'static Kernel> {
        self.entry.default_kernel(&*self.problem, self.types)
    }

    /// The kernels that are worth timing: all that apply, but
    /// - scalar ones on problems that take them long;
    /// - of levels below the best one, all but what would be the default there;
    /// - unless there are hours, all but the default on several threads, of problems that take long, and in other types than
    ///   the operator's first;
    /// - of shapes that are there for their networks' sums: all but the default.
    pub fn kernels(&self, profile: Profile, threads: usize) -> Vec<&'static Kernel> {
        let heavy = self.problem.work(self.types).operations > SCALAR_FLOPS;
        let applies = |k: &&Kernel| k.applies(&*self.problem, self.types).is_ok();
        let worth = |k: &&Kernel| match k.isa {
            Isa::Scalar => k.name != "scalar" || !heavy,
            isa if isa == Isa::best() => true,
            isa => {
                let below = self.entry.kernels.iter().filter(applies).rfind(|other| other.isa == isa);
                below.is_some_and(|last| last.name == k.name)
            }
        };
        let default = self.default_kernel().map(|k| k.name);
        let short = self.problem.work(self.types).operations <= LONG_FLOPS;
        let first = self.entry.operator.types.first() == Some(&self.types);
        let others = !self.brief && (profile == Profile::Paper || threads == 1 && short && first);
        let asked = |k: &&Kernel| others || default == Some(k.name);
        self.entry.kernels.iter().filter(applies).filter(worth).filter(asked).collect()
    }
}

/// Operations from which scalar kernels take long.
const SCALAR_FLOPS: f64 = 3e7;
/// Operations from which vector kernels below the best take long.
const LONG_FLOPS: f64 = 1e9;

/// All problems whose path contains `filter` (all, if it is empty), of a profile.
pub fn subjects(filter: &str, types: Option<Types>, profile: Profile) -> Result<Vec<Subject>> {
    let mut all = Vec::new();
    for entry in registry::ALL {
        for workload in entry.operator.workloads {
            if profile == Profile::Smoke && !workload.smoke {
                continue;
            }
            // Networks are summed in f32.
            let wanted = |d: &&Types| {
                let timed = workload.types.is_empty() || workload.types.contains(d);
                types.is_none_or(|only| only == **d) && timed && (!workload.brief || **d == Types::F32)
            };
            for &types in entry.operator.types.iter().filter(wanted) {
                let subject = of_workload(entry, workload, types)?;
                let small_enough = subject.problem.work(types).operations <= profile.flops();
                if small_enough && subject.path().contains(filter) {
                    all.push(subject);
                }
            }
        }
    }
    Ok(all)
}

fn of_workload(entry: &'static Entry, workload: &Workload, types: Types) -> Result<Subject> {
    let name = entry.operator.name;
    let point =
        Point::parse(entry.operator.axes, workload.point).with_context(|| format!("{name}/{}", workload.name))?;
    let problem = entry.operator.problem(&point).with_context(|| format!("{name}/{}", workload.name))?.into();
    let Workload { source, networks, brief, cache, .. } = *workload;
    Ok(Subject { entry, workload: workload.name.into(), source, networks, brief, cache, point, problem, types })
}

/// The problems that a command line asks for: its points, or else the workloads that its filter chooses.
///
/// # Errors
/// What is wrong with a point, or why there is none.
pub fn asked(filter: &str, points: &[String], types: Option<Types>, profile: Profile) -> Result<Vec<Subject>> {
    if points.is_empty() {
        let chosen = subjects(filter, types, profile)?;
        anyhow::ensure!(!chosen.is_empty(), choice::nothing(filter, types, profile));
        return Ok(chosen);
    }
    points.iter().map(|point| from_point(point, types)).collect::<Result<Vec<_>>>().map(|all| all.concat())
}

/// Of these problems, those that a kernel computes, with the kernel: the one of this name, or each problem's default.
///
/// # Errors
/// Why it is none of them.
pub fn with_kernels(subjects: Vec<Subject>, name: Option<&str>) -> Result<Vec<(Subject, &'static Kernel)>> {
    let mut reasons = Vec::new();
    let mut chosen = Vec::new();
    for subject in subjects {
        let kernel = name.map_or_else(|| subject.default_kernel(), |name| subject.entry.kernel(name));
        match kernel.map(|kernel| (kernel, kernel.applies(&*subject.problem, subject.types))) {
            Some((kernel, Ok(()))) => chosen.push((subject, kernel)),
            Some((kernel, Err(reason))) => reasons.push(format!("{}: {}: {reason}", subject.path(), kernel.name)),
            None => {
                let names: Vec<&str> = subject.entry.kernels.iter().map(|kernel| kernel.name).collect();
                let (name, op) = (name.unwrap_or("default"), subject.entry.operator.name);
                reasons.push(format!("no kernel `{name}` in {op}, which has {}", names.join(", ")));
            }
        }
    }
    reasons.dedup();
    reasons.truncate(5);
    if chosen.is_empty() {
        bail!("{}", reasons.join("; "));
    }
    Ok(chosen)
}

/// A problem given as `operator:point`.
pub fn from_point(text: &str, types: Option<Types>) -> Result<Vec<Subject>> {
    let (operator, point) =
        text.split_once(':').with_context(|| format!("`{text}` is not of the form operator:point"))?;
    let Some(entry) = registry::find(operator) else {
        let known: Vec<&str> = registry::ALL.iter().map(|e| e.operator.name).collect();
        bail!("unknown operator `{operator}`: expected {}", known.join(", "));
    };
    let point = Point::parse(entry.operator.axes, point)?;
    let problem: Arc<dyn Problem> = entry.operator.problem(&point)?.into();
    let wanted = entry.operator.types.iter().filter(|d| types.is_none_or(|only| only == **d));
    if let (Some(only), None) = (types, wanted.clone().next()) {
        bail!("{operator} does not compute {only}");
    }
    Ok(wanted
        .map(|&types| Subject {
            entry,
            workload: "point".into(),
            source: "command line",
            networks: &[],
            brief: false,
            cache: Cache::Warm,
            point: point.clone(),
            problem: problem.clone(),
            types,
        })
        .collect())
}

/// `1,2` as a list, each number once; by default 1 and the machine's number of CPUs, at most 2.
pub fn threads(text: Option<&str>) -> Result<Vec<usize>> {
    let cpus = std::thread::available_parallelism().map_or(1, |n| n.get());
    let Some(text) = text else {
        return Ok(if cpus > 1 { vec![1, 2] } else { vec![1] });
    };
    let mut list: Vec<usize> = text
        .split(',')
        .map(|t| t.trim().parse())
        .collect::<Result<_, _>>()
        .with_context(|| format!("threads `{text}`"))?;
    if list.is_empty() || list.contains(&0) {
        bail!("threads `{text}`: expected numbers above 0, as in 1,2");
    }
    let mut seen = BTreeSet::new();
    list.retain(|&t| seen.insert(t));
    if let Some(many) = list.iter().find(|&&t| t > cpus) {
        bail!("{many} threads on {cpus} CPUs: times would say nothing");
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use etalon_reference::DType;

    use super::*;

    fn refused<T>(result: Result<T>) -> String {
        result.err().map(|error| format!("{error:#}")).unwrap_or_default()
    }

    #[test]
    fn a_number_of_threads_counts_once() {
        assert_eq!(threads(Some("1,1")).expect("a list"), [1]);
        assert!(refused(threads(Some("1,0"))).contains("above 0"));
    }

    #[test]
    fn what_cannot_be_timed_says_why() {
        let asked = |filter, types| asked(filter, &[], types, Profile::Standard);
        assert!(refused(asked("nosuch", None)).contains("`nosuch`"));
        assert!(refused(asked("gemm/square.8/", Some(Types::all(DType::I8)))).contains("does not compute i8"));
        let point = super::asked("", &["gemm:m=1,n=1,k=1".into()], Some(Types::all(DType::I8)), Profile::Standard);
        assert_eq!(refused(point), "gemm does not compute i8");
        let squares = asked("gemm/square.8/f32", None).expect("one");
        let missing = refused(with_kernels(squares.clone(), Some("nosuch")));
        assert!(missing.starts_with("no kernel `nosuch` in gemm, which has scalar"), "{missing}");
        assert_eq!(with_kernels(squares, Some("scalar")).expect("there").len(), 1);
        let double = asked("conv2d/resnet50.conv1/f64", None).unwrap_or_default();
        let winograd = double.first().and_then(|s| s.entry.kernels.iter().find(|k| k.name.starts_with("winograd")));
        if let Some(kernel) = winograd {
            assert!(refused(with_kernels(double.clone(), Some(kernel.name))).contains("does not compute f64"));
        }
    }
}
