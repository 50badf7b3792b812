//! Limits of the control groups: of our own and of every group above it, in both versions.

use std::fs;
use std::path::{Path, PathBuf};

use super::Finding;

/// The tightest limits on the way from our group to the top.
#[derive(Debug, Default, PartialEq)]
struct Limits {
    /// CPUs' worth of time, and the file that says so.
    cpus: Option<(f64, PathBuf)>,
    /// Bytes of memory.
    memory: Option<u64>,
}

/// What a process under this root (`/`) meets.
pub fn finding(root: &Path) -> Finding {
    let Ok(groups) = fs::read_to_string(root.join("proc/self/cgroup")) else {
        return Finding::fine("cgroup", "no limits visible");
    };
    let limits = limits(&root.join("sys/fs/cgroup"), &groups);
    let memory = limits.memory.map(|bytes| format!("memory {bytes} bytes"));
    match (limits.cpus, memory) {
        (None, memory) => Finding::fine("cgroup", memory.unwrap_or_else(|| "no limits".to_owned())),
        (Some((cpus, file)), memory) => Finding::warning(
            "cgroup",
            format!(
                "CPU quota of {cpus:.2} CPUs in {}{}",
                file.display(),
                memory.map(|memory| format!(", {memory}")).unwrap_or_default()
            ),
            "measure without a CPU quota: throttling shows as noise",
        ),
    }
}

/// Reads the limits of all `groups`, the text of `/proc/self/cgroup`, below the mount point.
fn limits(mount: &Path, groups: &str) -> Limits {
    let mut limits = Limits::default();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        for hierarchy in hierarchies(mount, controllers) {
            // A container may see the host's path and its own mount: what is not there is passed by on the way up.
            for folder in Path::new(group.trim_start_matches('/')).ancestors() {
                limits.tighten(&hierarchy.join(folder));
            }
        }
    }
    limits
}

/// Where the hierarchy of these controllers may be mounted. Version 2 names none.
fn hierarchies(mount: &Path, controllers: &str) -> Vec<PathBuf> {
    if controllers.is_empty() {
        return vec![mount.to_path_buf(), mount.join("unified")];
    }
    let alone = controllers.split(',').filter(|name| *name != controllers);
    std::iter::once(controllers).chain(alone).map(|name| mount.join(name)).collect()
}

/// Version 1 writes "no limit" as the largest number of whole pages.
const NO_MEMORY_LIMIT: u64 = 1 << 60;

impl Limits {
    fn tighten(&mut self, folder: &Path) {
        let text = |name: &str| fs::read_to_string(folder.join(name)).ok().map(|text| text.trim().to_owned());
        let number = |text: Option<String>| text.and_then(|text| text.parse::<f64>().ok());
        let unified = text("cpu.max").and_then(|text| {
            let (quota, period) = text.split_once(' ')?;
            Some(("cpu.max", quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?))
        });
        let first = || {
            let quota = number(text("cpu.cfs_quota_us")).filter(|quota| *quota > 0.0)?;
            Some(("cpu.cfs_quota_us", quota / number(text("cpu.cfs_period_us"))?))
        };
        if let Some((name, cpus)) = unified.or_else(first)
            && self.cpus.as_ref().is_none_or(|(least, _)| cpus < *least)
        {
            self.cpus = Some((cpus, folder.join(name)));
        }
        for name in ["memory.max", "memory.limit_in_bytes"] {
            let bytes = text(name).and_then(|text| text.parse().ok()).filter(|bytes| *bytes < NO_MEMORY_LIMIT);
            self.memory = self.memory.into_iter().chain(bytes).min();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Grade;
    use tempfile::TempDir;

    /// A root with this `/proc/self/cgroup`, and files below `/sys/fs/cgroup`.
    fn root(groups: &str, files: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |path: PathBuf, text: &str| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(root.path().join("proc/self/cgroup"), groups);
        for (path, text) in files {
            write(root.path().join("sys/fs/cgroup").join(path), text);
        }
        root
    }

    fn value(groups: &str, files: &[(&str, &str)]) -> (Grade, String) {
        let root = root(groups, files);
        let finding = finding(root.path());
        (finding.grade, finding.value.replace(&root.path().display().to_string(), ""))
    }

    #[test]
    fn a_quota_of_a_parent_group_is_found() {
        let files = [("a/b/cpu.max", "max 100000\n"), ("a/cpu.max", "50000 100000\n"), ("cpu.max", "max 100000\n")];
        let expected = "CPU quota of 0.50 CPUs in /sys/fs/cgroup/a/cpu.max";
        assert_eq!(value("0::/a/b\n", &files), (Grade::Warning, expected.into()));
    }

    #[test]
    fn the_tightest_quota_counts() {
        let files = [("a/b/cpu.max", "150000 100000\n"), ("a/cpu.max", "300000 100000\n")];
        assert!(value("0::/a/b\n", &files).1.contains("1.50 CPUs in /sys/fs/cgroup/a/b/cpu.max"));
    }

    #[test]
    fn version_1_is_read() {
        let groups = "5:cpu,cpuacct:/x/y\n4:memory:/x/y\n0::/\n";
        let files = [
            ("cpu,cpuacct/x/y/cpu.cfs_quota_us", "-1\n"),
            ("cpu,cpuacct/x/cpu.cfs_quota_us", "25000\n"),
            ("cpu,cpuacct/x/cpu.cfs_period_us", "100000\n"),
            ("memory/x/memory.limit_in_bytes", "1000000\n"),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        let (grade, value) = value(groups, &files);
        assert_eq!(grade, Grade::Warning);
        assert!(value.starts_with("CPU quota of 0.25 CPUs") && value.ends_with("memory 1000000 bytes"), "{value}");
    }

    #[test]
    fn a_container_that_sees_the_hosts_path_is_read_at_its_mount() {
        let files = [("cpu/cpu.cfs_quota_us", "200000\n"), ("cpu/cpu.cfs_period_us", "100000\n")];
        assert!(value("3:cpu,cpuacct:/docker/0123\n", &files).1.contains("2.00 CPUs"));
    }

    #[test]
    fn no_limit_is_none() {
        let files = [("cpu.max", "max 100000\n"), ("memory.max", "max\n")];
        assert_eq!(value("0::/\n", &files), (Grade::Fine, "no limits".into()));
        assert_eq!(value("0::/\n", &[("memory.max", "4096\n")]), (Grade::Fine, "memory 4096 bytes".into()));
        assert_eq!(finding(Path::new("/nowhere")).value, "no limits visible");
    }
}
