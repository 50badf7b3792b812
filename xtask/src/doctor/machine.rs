//! The machine as the kernel tells it: what makes two runs differ.

use std::fs;
use std::path::Path;

use super::{Finding, cgroup};
use crate::{cpu, process};

/// Everything about the machine, in the order one would ask.
pub fn findings() -> Vec<Finding> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu::field(&cpuinfo, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let mut findings = vec![Finding::fine("CPU", model), isa(), core_type()];
    findings.extend([
        governor(),
        boost(),
        smt(),
        huge_pages(),
        affinity(),
        cgroup::finding(Path::new("/")),
        hypervisor(&cpuinfo),
        load(),
    ]);
    let said = |name: &str| std::env::var(name).ok();
    findings.extend(threads(said));
    findings.extend(binding(said));
    findings
}

fn isa() -> Finding {
    let levels = cpu::levels();
    let forced = std::env::var("ETALON_ISA").ok().filter(|name| !name.is_empty()).map(|name| name.to_lowercase());
    match forced {
        Some(name) if !cpu::is_level(&name) => Finding::fault(
            "ISA",
            format!("{}; ETALON_ISA={name} is none, or names an extension that is none", levels.join(", ")),
            "unset ETALON_ISA",
        ),
        Some(name) => Finding::warning(
            "ISA",
            format!("{}; ETALON_ISA={name}", levels.join(", ")),
            "unset ETALON_ISA to measure the best",
        ),
        None => Finding::fine("ISA", levels.join(", ")),
    }
}

fn core_type() -> Finding {
    let said = std::env::var("OPENBLAS_CORETYPE").ok();
    match (said, cpu::openblas_core()) {
        (Some(said), _) => Finding::fine("OpenBLAS core", format!("OPENBLAS_CORETYPE={said}")),
        (None, Some(core)) => Finding::fine("OpenBLAS core", format!("{core} is set for child processes")),
        (None, None) => Finding::fine("OpenBLAS core", "as OpenBLAS detects it"),
    }
}

fn governor() -> Finding {
    match read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") {
        Some(name) => Finding::judged(
            "governor",
            name.clone(),
            name == "performance",
            "sudo cpupower frequency-set -g performance",
        ),
        None => Finding::fine("governor", "not visible here"),
    }
}

fn boost() -> Finding {
    let boost = read("/sys/devices/system/cpu/cpufreq/boost").map(|value| value == "1");
    let turbo = read("/sys/devices/system/cpu/intel_pstate/no_turbo").map(|value| value == "0");
    match boost.or(turbo) {
        Some(on) => Finding::judged(
            "boost",
            if on { "on" } else { "off" },
            !on,
            "echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost (intel_pstate: echo 1 into intel_pstate/no_turbo)",
        ),
        None => Finding::fine("boost", "not visible here"),
    }
}

fn smt() -> Finding {
    match read("/sys/devices/system/cpu/smt/active") {
        Some(active) if active == "1" => Finding::warning(
            "SMT",
            "on: two threads may share a core",
            "time at most one thread a core, or echo off | sudo tee /sys/devices/system/cpu/smt/control",
        ),
        Some(_) => Finding::fine("SMT", "off"),
        None => Finding::fine("SMT", "not visible here"),
    }
}

fn huge_pages() -> Finding {
    let Some(text) = read("/sys/kernel/mm/transparent_hugepage/enabled") else {
        return Finding::fine("huge pages", "not visible here");
    };
    let chosen = text.split('[').nth(1).and_then(|rest| rest.split(']').next()).unwrap_or(&text).to_owned();
    let good = chosen != "never";
    Finding::judged("huge pages", chosen, good, "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled")
}

fn affinity() -> Finding {
    let online = read("/sys/devices/system/cpu/online").map_or(0, |list| count(&list));
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let allowed = cpu::field(&status, "Cpus_allowed_list").unwrap_or_default();
    let good = online == 0 || count(&allowed) == online;
    let value = format!("CPUs {allowed} of {online} online");
    Finding::judged("affinity", value, good, "fewer CPUs than the machine has: thread counts beyond them share a core")
}

/// How many CPUs a list like `0-3,8` names.
fn count(list: &str) -> usize {
    let size = |range: &str| match range.split_once('-') {
        Some((first, last)) => Some(last.parse::<usize>().ok()?.checked_sub(first.parse().ok()?)? + 1),
        None => range.parse::<usize>().ok().map(|_| 1),
    };
    list.trim().split(',').filter_map(size).sum()
}

fn hypervisor(cpuinfo: &str) -> Finding {
    let guest =
        cpu::field(cpuinfo, "flags").is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor"));
    let vendor = read("/sys/hypervisor/type").or_else(|| read("/sys/class/dmi/id/sys_vendor"));
    match (guest, vendor) {
        (false, _) => Finding::fine("hypervisor", "none"),
        (true, vendor) => Finding::warning(
            "hypervisor",
            vendor.map_or("a virtual machine".to_owned(), |vendor| format!("a virtual machine ({vendor})")),
            "trust ratios of paired rounds more than absolute times, or measure on hardware",
        ),
    }
}

fn load() -> Finding {
    let Some(text) = read("/proc/loadavg") else {
        return Finding::fine("load", "not visible here");
    };
    let recent: f64 = text.split_whitespace().next().and_then(|value| value.parse().ok()).unwrap_or(0.0);
    Finding::judged(
        "load",
        format!("{recent:.2} over the last minute"),
        recent < 0.5,
        "stop other work before measuring",
    )
}

/// Thread variables the user has set, which would act on the peers.
fn threads(said: impl Fn(&str) -> Option<String>) -> Option<Finding> {
    let names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"];
    let set = set(&names, said)?;
    Some(Finding::warning("thread variables", set, "unset them: the suite sets each library's threads itself"))
}

/// Variables by which an OpenMP runtime binds threads to CPUs.
fn binding(said: impl Fn(&str) -> Option<String>) -> Option<Finding> {
    let set = set(&process::BINDING, said)?;
    let cure = "unset them: loading libtorch would bind a whole process to one CPU (commands leave them out for what they run)";
    Some(Finding::warning("thread binding", set, cure))
}

/// Those of the variables that are set, with their values.
fn set(names: &[&str], said: impl Fn(&str) -> Option<String>) -> Option<String> {
    let set: Vec<String> = names.iter().filter_map(|name| Some(format!("{name}={}", said(name)?))).collect();
    (!set.is_empty()).then(|| set.join(" "))
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_counted() {
        assert_eq!(count("0-3,8\n"), 5);
        assert_eq!(count("0"), 1);
        assert_eq!(count(""), 0);
        assert_eq!(count("3-1"), 0);
    }

    #[test]
    fn variables_that_bind_threads_are_named() {
        let said = |name: &str| (name == "OMP_PROC_BIND").then(|| "true".to_owned());
        assert_eq!(binding(said).unwrap().value, "OMP_PROC_BIND=true");
        assert!(binding(|_| None).is_none() && threads(said).is_none());
    }

    #[test]
    fn every_warning_has_a_cure() {
        for finding in findings() {
            assert!(finding.grade == super::super::Grade::Fine || !finding.cure.is_empty(), "{}", finding.name);
        }
    }
}
