//! The copy of the sources that is made wrong, and its build.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use sha2::{Digest, Sha256};

use super::gate;
use crate::files;
use crate::process::{self, FEATURES};
use crate::setup::Provision;
use crate::workspace::Workspace;

/// Seconds that a build may take: constants that are wrong can keep the compiler busy for ever.
const BUILD_SECONDS: u64 = 900;
/// The same of the right sources, with all that they depend on.
const FIRST_SECONDS: u64 = 3600;
/// The profile, which builds fast.
const PROFILE: &str = "mutants";

/// A copy of the checkout's sources.
pub struct Tree {
    workspace: Workspace,
    provision: Provision,
    folder: PathBuf,
    commit: String,
    /// What the sources are, to know again whether the gate was green on them.
    digest: String,
}

/// How a build ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// There is a program.
    Done,
    /// It does not compile.
    Failed,
}

impl Tree {
    /// Copies what has changed since the last copy, and builds it.
    ///
    /// # Errors
    /// If git does not list the sources, a file cannot be copied, or the sources do not compile.
    pub fn new(workspace: &Workspace, provision: Provision) -> anyhow::Result<Tree> {
        let folder = workspace.root().join("target").join("mutants");
        let root = folder.join("tree");
        let files = sources(workspace.root())?;
        let digest = copy(workspace.root(), &root, &files)?;
        let commit = git(workspace.root(), &["rev-parse", "--short", "HEAD"])?.trim().to_owned();
        let tree = Tree { workspace: workspace.at(root), provision, folder, commit, digest };
        note!("== building the gate for mutants, once");
        ensure!(
            tree.build_within(FIRST_SECONDS)? == Build::Done,
            "the sources do not compile: see {}",
            tree.log("build").display()
        );
        Ok(tree)
    }

    /// The commit of the sources.
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// What the sources are.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The kernels' sources.
    pub fn kernels(&self) -> PathBuf {
        self.workspace.root().join("kernels/src")
    }

    /// Where programs' output goes.
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }

    /// A file that is kept beside the tree.
    pub fn kept(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Replaces a file's text, and returns what it was.
    pub fn replace(&self, file: &str, by: impl FnOnce(&str) -> anyhow::Result<String>) -> anyhow::Result<String> {
        let path = self.workspace.root().join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        self.write(file, &by(&text)?)?;
        Ok(text)
    }

    /// Writes a file.
    pub fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        let path = self.workspace.root().join(file);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Builds the gate. Sources that compile but cannot be linked are no mutant's fault: what was compiled piece by piece is
    /// compiled anew then.
    ///
    /// # Errors
    /// If it cannot be linked even so.
    pub fn build(&self) -> anyhow::Result<Build> {
        self.build_within(BUILD_SECONDS)
    }

    fn build_within(&self, seconds: u64) -> anyhow::Result<Build> {
        for again in [false, true] {
            let ended = self.build_once(seconds)?;
            if ended.well() {
                return Ok(Build::Done);
            }
            if !ended.output.contains("error: linking with") {
                return Ok(Build::Failed);
            }
            ensure!(!again, "cannot link: see {}", self.log("build").display());
            let mut clean = self.cargo("clean");
            clean.args(["--package", "etalon-kernels", "--package", "etalon-reference", "--package", "etalon-benches"]);
            gate::run(&mut clean, BUILD_SECONDS, &self.log("clean"))?;
        }
        unreachable!("the second time returns")
    }

    fn build_once(&self, seconds: u64) -> anyhow::Result<gate::Ended> {
        let mut command = self.cargo("build");
        command.args(["--package", "etalon-benches", "--bin", "etalon-parity"]);
        command.args(["--features", &format!("{FEATURES},faults")]);
        gate::run(&mut command, seconds, &self.log("build"))
    }

    /// Tests of a package, by name.
    pub fn tests(&self, package: &str, tests: &[&str]) -> Command {
        let mut command = self.cargo("test");
        command.args(["--package", package]);
        for test in tests {
            command.args(["--test", test]);
        }
        command
    }

    fn cargo(&self, what: &str) -> Command {
        let mut command = process::cargo(&self.workspace, &self.provision);
        command
            .args([what, "--profile", PROFILE])
            .args(["--target-dir".as_ref(), self.folder.join("build").as_os_str()]);
        command.stdin(Stdio::null());
        command
    }

    /// The gate, with the environment in which the suite runs.
    pub fn gate(&self) -> Command {
        let mut command = Command::new(self.folder.join("build").join(PROFILE).join("etalon-parity"));
        for (name, value) in process::cargo(&self.workspace, &self.provision).get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.current_dir(self.workspace.root()).env_remove("ETALON_FAULT").stdin(Stdio::null());
        command
    }
}

/// The files of the checkout that git knows or does not ignore, but for reports.
fn sources(root: &Path) -> anyhow::Result<Vec<String>> {
    let list = git(root, &["ls-files", "--cached", "--others", "--exclude-standard", "-z"])?;
    let wanted = |file: &&str| !file.is_empty() && !file.starts_with("reports/published/") && root.join(file).is_file();
    let mut files: Vec<String> = list.split('\0').filter(wanted).map(str::to_owned).collect();
    files.sort();
    files.dedup();
    Ok(files)
}

/// Whether the gate depends on the file: not on what is written after each mutant.
fn decides(file: &str) -> bool {
    !file.starts_with("reports/mutants/") && !file.ends_with(".md")
}

fn git(root: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("git").args(arguments).current_dir(root).output().context("cannot run git")?;
    ensure!(output.status.success(), "git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Makes `to` hold these files alone, and touches only those that differ. Returns a digest of all.
fn copy(from: &Path, to: &Path, files: &[String]) -> anyhow::Result<String> {
    let mut digest = Sha256::new();
    for file in files {
        let (source, target) = (from.join(file), to.join(file));
        let new = fs::read(&source).with_context(|| format!("cannot read {}", source.display()))?;
        if decides(file) {
            digest.update(file.as_bytes());
            digest.update((new.len() as u64).to_le_bytes());
            digest.update(&new);
        }
        if fs::read(&target).is_ok_and(|old| old == new) {
            continue;
        }
        let parent = target.parent().context("a file has a folder")?;
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&target, new))
            .with_context(|| format!("cannot write {}", target.display()))?;
    }
    let known: HashSet<PathBuf> = files.iter().map(|file| to.join(file)).collect();
    for other in files::under(to, None)?.into_iter().filter(|path| !known.contains(path)) {
        fs::remove_file(&other).with_context(|| format!("cannot remove {}", other.display()))?;
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_holds_what_is_listed_and_keeps_what_is_the_same() {
        let (from, to) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let write = |file: &str, text: &str| {
            let path = from.path().join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        };
        write("a/b.rs", "one");
        write("c.rs", "two");
        let files = ["a/b.rs".to_owned(), "c.rs".to_owned()];
        let first = copy(from.path(), to.path(), &files).expect("copied");
        let modified =
            |file: &str| fs::metadata(to.path().join(file)).and_then(|data| data.modified()).expect("a time");
        let before = modified("c.rs");
        fs::write(to.path().join("a/b.rs"), "a mutant").expect("a file");
        fs::write(to.path().join("a/old.rs"), "gone").expect("a file");
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert_eq!(copy(from.path(), to.path(), &files).expect("copied"), first);
        assert_eq!(fs::read_to_string(to.path().join("a/b.rs")).expect("a file"), "one");
        assert!(!to.path().join("a/old.rs").exists());
        assert_eq!(modified("c.rs"), before);
        // What judging writes does not ask the gate again.
        write("reports/mutants/results.jsonl", "one more");
        let more = [&files[..], &["reports/mutants/results.jsonl".to_owned()]].concat();
        assert_eq!(copy(from.path(), to.path(), &more).expect("copied"), first);
        write("c.rs", "three");
        assert_ne!(copy(from.path(), to.path(), &files).expect("copied"), first);
    }
}
