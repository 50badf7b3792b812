//! What a run was made on. Facts that can't be read are named in `missing`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use etalon_kernels::isa::{Extension, Isa};
use etalon_reference::record::{Environment, Peak, SCHEMA_VERSION};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Every fact by name, with the measured peaks.
pub fn read(peaks: Vec<Peak>, command: &str) -> Environment {
    let mut facts: BTreeMap<String, Value> = BTreeMap::new();
    let mut missing = Vec::new();
    let mut put = |name: &str, value: Option<Value>| match value {
        Some(value) => {
            facts.insert(name.into(), value);
        }
        None => missing.push(name.to_string()),
    };
    put("command", Some(json!(command)));
    put("etalon.version", Some(json!(env!("CARGO_PKG_VERSION"))));
    put("git.sha", run("git", &["rev-parse", "HEAD"]));
    put("git.dirty", run("git", &["status", "--porcelain"]).map(|v| json!(v != json!(""))));
    put("lock.sha256", fs::read(root().join("Cargo.lock")).ok().map(|bytes| json!(hex(&bytes))));
    put("rustc", run("rustc", &["-vV"]));
    put("rustflags", Some(json!(std::env::var("RUSTFLAGS").unwrap_or_default())));
    put("build.profile", Some(json!(if cfg!(debug_assertions) { "debug" } else { "release" })));
    put("features", Some(json!(features())));
    cpu(&mut put);
    system(&mut put);
    libraries(&mut put);
    Environment { schema_version: SCHEMA_VERSION, complete: missing.is_empty(), missing, facts, peaks }
}

type Put<'a> = dyn FnMut(&str, Option<Value>) + 'a;

fn cpu(put: &mut Put<'_>) {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        info.lines().find_map(|l| l.split_once(':').filter(|(k, _)| k.trim() == name)).map(|(_, v)| json!(v.trim()))
    };
    for (fact, name) in [
        ("cpu.vendor", "vendor_id"),
        ("cpu.model", "model name"),
        ("cpu.family", "cpu family"),
        ("cpu.model_number", "model"),
        ("cpu.stepping", "stepping"),
        ("cpu.microcode", "microcode"),
        ("cpu.flags", "flags"),
    ] {
        put(fact, field(name));
    }
    let caches: Vec<String> = cache_sizes().iter().map(|(l, b)| format!("L{l} {} KiB", b / 1024)).collect();
    put("cpu.caches", (!caches.is_empty()).then(|| json!(caches)));
    put("cpu.count", std::thread::available_parallelism().ok().map(|n| json!(n.get())));
    put("cpu.threads_per_core", file("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list"));
    put("cpu.isa", Some(json!(Isa::best().name())));
    let extensions = Extension::ALL.iter().filter(|extension| extension.usable().is_ok());
    put("cpu.extensions", Some(json!(extensions.map(|extension| extension.name()).collect::<Vec<_>>())));
    put("cpu.smt", file("/sys/devices/system/cpu/smt/active"));
    put(
        "cpu.governor",
        file("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").or(Some(json!("none: the host decides"))),
    );
    put(
        "cpu.boost",
        file("/sys/devices/system/cpu/cpufreq/boost")
            .or_else(|| file("/sys/devices/system/cpu/intel_pstate/no_turbo").map(|v| json!(format!("no_turbo {v}"))))
            .or(Some(json!("not shown"))),
    );
    put("cpu.hypervisor", Some(json!(info.contains(" hypervisor "))));
}

fn system(put: &mut Put<'_>) {
    put("os.kernel", file("/proc/sys/kernel/osrelease"));
    put("os.libc", run("getconf", &["GNU_LIBC_VERSION"]));
    put("os.thp", file("/sys/kernel/mm/transparent_hugepage/enabled"));
    put("os.aslr", file("/proc/sys/kernel/randomize_va_space"));
    put("os.mitigations", mitigations());
    put("os.load", file("/proc/loadavg"));
    put("os.cgroup", cgroup());
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line =
        |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).map(|v| json!(v.trim_matches([':', '\t', ' '])));
    put("os.affinity", line("Cpus_allowed_list"));
    put("os.cpus_online", file("/sys/devices/system/cpu/online"));
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    put("os.memory", memory.lines().next().map(|l| json!(l)));
    let variables: BTreeMap<String, String> = std::env::vars()
        .filter(|(name, _)| {
            ["OMP_", "OPENBLAS_", "MKL_", "GOMP_", "KMP_", "ETALON_", "THP_MEM", "RAYON_", "GLIBC_TUNABLES"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
                // Paths of this machine say nothing to others.
                && !["ETALON_CWD", "ETALON_HOME", "ETALON_WHEELS"].contains(&name.as_str())
        })
        .collect();
    put("os.thread_variables", Some(json!(variables)));
}

/// The limits of our control group and those above it, the nearest of each name; not the groups' names, which say nothing to
/// others.
fn cgroup() -> Option<Value> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mut limits = BTreeMap::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let mount = Path::new("/sys/fs/cgroup").join(controllers);
        let folders = Path::new(path.trim_start_matches('/')).ancestors().map(|folder| mount.join(folder));
        for (folder, name) in folders.flat_map(|folder| LIMITS.map(|name| (folder.clone(), name))) {
            if let Ok(text) = fs::read_to_string(folder.join(name))
                && !(text.starts_with("max") || text.starts_with("-1"))
            {
                limits.entry(name).or_insert_with(|| text.trim().to_owned());
            }
        }
    }
    Some(if limits.is_empty() { json!("no limits") } else { json!(limits) })
}

/// Files of a control group that limit time and memory, in both versions.
const LIMITS: [&str; 5] = ["cpu.max", "memory.max", "cpu.cfs_quota_us", "cpu.cfs_period_us", "memory.limit_in_bytes"];

/// In words, that this process may use fewer CPUs than the machine has, if that is so.
pub fn fewer_cpus() -> Option<String> {
    let usable = std::thread::available_parallelism().ok()?.get();
    let online = count(&fs::read_to_string("/sys/devices/system/cpu/online").ok()?);
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let allowed = status.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:")).unwrap_or("unknown").trim();
    (usable < online).then(|| {
        format!(
            "{usable} of {online} CPUs may be used here (affinity {allowed}): more threads are not timed; taskset, OMP_PROC_BIND \
             or a quota of a control group may be the cause"
        )
    })
}

/// How many CPUs a list like `0-3,8` names.
fn count(list: &str) -> usize {
    let size = |range: &str| match range.split_once('-') {
        Some((first, last)) => Some(last.parse::<usize>().ok()?.checked_sub(first.parse().ok()?)? + 1),
        None => range.parse::<usize>().ok().map(|_| 1),
    };
    list.trim().split(',').filter_map(size).sum()
}

fn mitigations() -> Option<Value> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir("/sys/devices/system/cpu/vulnerabilities").ok()? {
        let entry = entry.ok()?;
        let text = fs::read_to_string(entry.path()).ok()?;
        all.insert(entry.file_name().to_string_lossy().into_owned(), text.trim().to_string());
    }
    Some(json!(all))
}

#[cfg_attr(
    not(any(feature = "libtorch", feature = "openblas")),
    expect(unused_variables, reason = "no library is built in")
)]
fn libraries(put: &mut Put<'_>) {
    #[cfg(feature = "libtorch")]
    {
        put("libtorch.backends", Some(json!(etalon_reference::torch::about::backends())));
        let home = std::env::var("LIBTORCH").ok();
        let version = home.and_then(|home| fs::read_to_string(std::path::Path::new(&home).join("build-version")).ok());
        put("libtorch.version", version.map(|v| json!(v.trim())));
    }
    #[cfg(feature = "openblas")]
    {
        use etalon_kernels::ffi::openblas;
        put("openblas.config", Some(json!(openblas::config())));
        put("openblas.core", Some(json!(openblas::core())));
    }
    #[cfg(all(feature = "libtorch", feature = "openblas"))]
    {
        use etalon_kernels::ffi::symbols;
        let shown: BTreeMap<&str, String> = symbols::table()
            .into_iter()
            .map(|(name, file)| {
                (name, file.and_then(|f| Some(f.file_name()?.to_string_lossy().into_owned())).unwrap_or_default())
            })
            .collect();
        put("symbols", Some(json!(shown)));
        put("openmp", Some(json!(symbols::openmp_runtimes().len())));
    }
}

fn features() -> Vec<&'static str> {
    let mut all = Vec::new();
    if cfg!(feature = "libtorch") {
        all.push("libtorch");
    }
    if cfg!(feature = "openblas") {
        all.push("openblas");
    }
    all
}

/// Level and bytes of each data or unified cache of the first CPU, smallest level first.
pub fn cache_sizes() -> Vec<(u32, usize)> {
    let mut all = Vec::new();
    for index in 0..8 {
        let read = |name: &str| {
            fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{name}")).unwrap_or_default()
        };
        if read("type").trim() == "Instruction" {
            continue;
        }
        let size = read("size");
        let bytes = size.trim().strip_suffix('K').and_then(|k| k.parse::<usize>().ok()).map(|k| k << 10);
        if let (Ok(level), Some(bytes)) = (read("level").trim().parse(), bytes) {
            all.push((level, bytes));
        }
    }
    all.sort_unstable();
    all
}

/// The repository's root, where the build was made.
fn root() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn file(path: &str) -> Option<Value> {
    fs::read_to_string(path).ok().map(|text| json!(text.trim()))
}

fn run(program: &str, arguments: &[&str]) -> Option<Value> {
    let output = Command::new(program).args(arguments).current_dir(root()).output().ok()?;
    output.status.success().then(|| json!(String::from_utf8_lossy(&output.stdout).trim()))
}

/// SHA-256 in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}
