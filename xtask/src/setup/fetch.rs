//! The wheels: from a folder or by pip, each checked against its sum before anything is read from it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};

use super::pins::{Platform, Wheel};
use super::space;
use crate::fault;

/// How often the progress of pip is looked at.
const POLL: Duration = Duration::from_millis(200);

/// A wheel on the disk that has the pinned sum.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The pin.
    pub wheel: Wheel,
    /// The file.
    pub path: PathBuf,
}

/// Checks that there is room for what has yet to be fetched (none for a folder of wheels) and for what is unpacked.
pub fn check_space(platform: &Platform, home: &Path, store: &Path, folder: Option<&Path>) -> anyhow::Result<()> {
    let missing = |wheel: &&Wheel| folder.is_none() && !store.join(wheel.file).is_file();
    let fetched: u64 = platform.wheels.iter().filter(missing).map(|wheel| wheel.bytes).sum();
    space::require(home, fetched + platform.unpacked)
}

/// All wheels of the platform, verified: taken from `folder` if one is given, otherwise fetched into `store`.
pub fn wheels(platform: &Platform, store: &Path, folder: Option<&Path>) -> anyhow::Result<Vec<Verified>> {
    platform
        .wheels
        .iter()
        .map(|wheel| {
            let path = match folder {
                Some(folder) => from_folder(wheel, folder)?,
                None => from_registry(platform, wheel, store)?,
            };
            Ok(Verified { wheel: *wheel, path })
        })
        .collect()
}

fn from_folder(wheel: &Wheel, folder: &Path) -> anyhow::Result<PathBuf> {
    let path = folder.join(wheel.file);
    if !path.is_file() {
        return Err(fault::setup(format!("{} is not in the folder of wheels {}", wheel.file, folder.display())));
    }
    verify(wheel, &path)?;
    Ok(path)
}

/// The wheel from the store, where an earlier attempt may have left it, or by pip.
fn from_registry(platform: &Platform, wheel: &Wheel, store: &Path) -> anyhow::Result<PathBuf> {
    let path = store.join(wheel.file);
    if path.is_file() {
        match verify(wheel, &path) {
            Ok(()) => return Ok(path),
            Err(error) => note!("{error}; fetching it again"),
        }
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    // pip unpacks and moves within its temporary folder; on the same disk that is where space was checked.
    let partial = store.join("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).context("cannot remove what an interrupted download left")?;
    }
    fs::create_dir_all(&partial).map_err(|error| space::explain(error, "cannot create a folder to download to"))?;
    download(platform, wheel, &partial)?;
    let fetched = partial.join(wheel.file);
    verify(wheel, &fetched)?;
    fs::rename(&fetched, &path).context("cannot keep a downloaded wheel")?;
    fs::remove_dir_all(&partial).context("cannot remove the download folder")?;
    Ok(path)
}

/// Checks the sum of a file.
fn verify(wheel: &Wheel, path: &Path) -> anyhow::Result<()> {
    let found = sha256(path).with_context(|| format!("cannot read {}", path.display()))?;
    if found == wheel.sha256 {
        return Ok(());
    }
    Err(fault::setup(format!(
        "wrong checksum: {} has sha256 {found}, {} is pinned; nothing of it was used — remove the file and fetch it again",
        path.display(),
        wheel.sha256
    )))
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Fetches one wheel into a folder, with a progress bar.
fn download(platform: &Platform, wheel: &Wheel, folder: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "download", "--quiet", "--progress-bar", "off", "--disable-pip-version-check"]);
    command.args(["--no-cache-dir", "--retries", "2", "--timeout", "20", "--no-deps", "--only-binary=:all:"]);
    command.args(["--implementation", "cp", "--python-version", "311", "--abi", "cp311"]);
    for tag in platform.tags {
        command.args(["--platform", tag]);
    }
    command.arg("--dest").arg(folder).arg(format!("{}=={}", wheel.package, wheel.version));
    command.env("TMPDIR", folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    note!("fetching {} {} ({})", wheel.package, wheel.version, space::megabytes(wheel.bytes));
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            return Err(fault::setup(format!("python3 cannot be run ({error}): {WITHOUT_PIP}")));
        }
    };
    let (success, said) = watch(child, folder, wheel.bytes)?;
    if success && folder.join(wheel.file).is_file() {
        return Ok(());
    }
    Err(fault::setup(format!("fetching {}: {}", wheel.file, explain(&said))))
}

/// Waits for pip, showing how much it has written; returns whether it succeeded, and its error output.
fn watch(mut child: Child, folder: &Path, bytes: u64) -> anyhow::Result<(bool, String)> {
    let mut pipe = child.stderr.take().context("pip's error output is not connected")?;
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        // An unreadable rest only shortens the explanation.
        let _ = pipe.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    });
    let bar = ProgressBar::new(bytes);
    let style = "{bar:40} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).context("the template of the bar")?);
    let status = loop {
        if let Some(status) = child.try_wait().context("waiting for pip")? {
            break status;
        }
        bar.set_position(size_of(folder).min(bytes));
        std::thread::sleep(POLL);
    };
    bar.finish_and_clear();
    Ok((status.success(), reader.join().unwrap_or_default()))
}

/// Bytes in the files below a folder; files that come and go meanwhile do not matter.
fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => size_of(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}

const WITHOUT_PIP: &str = "set-up fetches libtorch with pip; install Python 3 with pip (Debian, Ubuntu: apt-get install python3-pip), \
                           or fetch the wheels elsewhere and name their folder with --wheels";

/// What pip's error output means, with the cure.
fn explain(said: &str) -> String {
    let has = |needles: &[&str]| needles.iter().any(|needle| said.contains(needle));
    if has(&["No module named pip", "No module named 'pip'"]) {
        return format!("python3 has no pip: {WITHOUT_PIP}");
    }
    if has(&["No space left on device"]) {
        return "the disk is full: make room, or set ETALON_HOME to a folder on another disk".to_owned();
    }
    let offline = [
        "connection broken",
        "NewConnectionError",
        "NameResolutionError",
        "Temporary failure in name resolution",
        "Network is unreachable",
        "ConnectTimeout",
        "Read timed out",
        "ProxyError",
        "Max retries exceeded",
    ];
    if has(&offline) {
        return "no network: the package registry cannot be reached; set pip's proxy or index (HTTPS_PROXY, PIP_INDEX_URL), or fetch \
                the wheels elsewhere and name their folder with --wheels"
            .to_owned();
    }
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(3)..].join("; ");
    format!("pip failed: {}", if last.is_empty() { "it says nothing" } else { &last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_sha256() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "abc").unwrap();
        assert_eq!(sha256(file.path()).unwrap(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn pip_is_understood() {
        assert!(explain("/usr/bin/python3: No module named pip").contains("python3-pip"));
        let offline = "WARNING: Retrying (Retry(total=1)) after connection broken by 'NewConnectionError'\nERROR: No matching distribution";
        assert!(explain(offline).starts_with("no network"));
        assert!(
            explain("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device")
                .contains("disk is full")
        );
        assert_eq!(explain("a\nb\nc\nERROR: odd\n"), "pip failed: b; c; ERROR: odd");
        assert_eq!(explain(""), "pip failed: it says nothing");
    }
}
