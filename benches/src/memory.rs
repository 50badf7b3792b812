//! How much memory a problem takes, and how much there is.

use etalon_reference::{Problem, Types};

/// Bytes that checking the problem takes, about: operands in guarded memory and copies of them; inputs, reference, bounds and
/// what the reference computes with, in f64; offsets.
pub fn needed(problem: &dyn Problem, types: Types) -> f64 {
    let ports = problem.inputs(types).into_iter().chain(problem.outputs(types));
    ports.map(|port| port.layout.span() as f64 * (4.0 * port.dtype.size() as f64 + 64.0)).sum()
}

/// Bytes that this process can still get: what the system says, at most what is left of its control groups' limits. `None`
/// where that is not known.
pub fn available() -> Option<f64> {
    let system = kilobytes(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
    Some(groups().into_iter().fold(system, f64::min))
}

/// The number behind `name`, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? * 1024.0)
}

/// What is left of the limit of each control group that this process is in.
fn groups() -> Vec<f64> {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut left = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, limit, used, idle) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "),
            "memory" => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ")
            }
            _ => continue,
        };
        // Limits of the groups above hold as well; within a container the path may lead nowhere, and the root is its own.
        for folder in std::path::Path::new(path.trim_start_matches('/')).ancestors() {
            let read = |name: &str| std::fs::read_to_string(std::path::Path::new(root).join(folder).join(name)).ok();
            let number = |name: &str| read(name)?.trim().parse::<f64>().ok();
            let (Some(limit), Some(used)) = (number(limit), number(used)) else { continue };
            let cache = read("memory.stat")
                .and_then(|stat| stat.lines().find_map(|line| line.strip_prefix(idle)?.trim().parse::<f64>().ok()));
            left.push((limit - used + cache.unwrap_or(0.0)).max(0.0));
        }
    }
    left
}

/// Refuses a problem that does not fit.
///
/// # Errors
/// With both figures.
pub fn suffices(problem: &dyn Problem, types: Types) -> Result<(), String> {
    fits(needed(problem, types), available())
}

fn fits(needed: f64, available: Option<f64>) -> Result<(), String> {
    match available {
        Some(available) if needed > available => Err(format!(
            "checking it needs about {} of memory, and {} are available",
            gigabytes(needed),
            gigabytes(available)
        )),
        _ => Ok(()),
    }
}

fn gigabytes(bytes: f64) -> String {
    format!("{:.1} GB", bytes / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use etalon_reference::{Point, ops};

    #[test]
    fn a_product_of_large_matrices_needs_much() {
        let gemm = ops::find("gemm").expect("an operator");
        let needs = |point: &str| {
            let point = Point::parse(gemm.axes, point).expect("a point");
            needed(&*gemm.problem(&point).expect("a problem"), Types::F32)
        };
        assert!(needs("m=100000,n=100000,k=8") > 4e11);
        assert!(needs("m=100,n=100,k=100") < 1e7);
    }

    #[test]
    fn both_figures_are_told() {
        assert_eq!(fits(1e9, Some(2e9)), Ok(()));
        assert_eq!(fits(1e15, None), Ok(()));
        let refused = fits(8e11, Some(2e10)).expect_err("too much");
        assert!(refused.contains("800.0 GB") && refused.contains("20.0 GB"), "{refused}");
    }

    #[test]
    fn the_system_is_read() {
        assert_eq!(kilobytes("MemTotal: 9 kB\nMemAvailable:   2048 kB\n", "MemAvailable:"), Some(2097152.0));
        if cfg!(target_os = "linux") {
            assert!(available().is_some_and(|bytes| bytes > 1e6), "{:?}", available());
        }
    }
}
