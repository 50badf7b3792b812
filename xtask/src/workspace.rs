//! Where things lie.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The checkout this command works on.
#[derive(Clone, Debug)]
pub struct Workspace {
    root: PathBuf,
    home: PathBuf,
}

impl Workspace {
    /// The checkout cargo runs this program from, and `ETALON_HOME` (by default `.etalon/` in it) for what set-up provides.
    pub fn find() -> anyhow::Result<Workspace> {
        let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&package).parent().context("the xtask package has no parent folder")?.to_path_buf();
        let home = match env::var_os("ETALON_HOME").filter(|home| !home.is_empty()) {
            Some(home) => std::path::absolute(home)?,
            None => root.join(".etalon"),
        };
        Ok(Workspace { root, home })
    }

    /// A copy of this checkout in another folder, with what set-up provides for this one.
    pub fn at(&self, root: PathBuf) -> Workspace {
        Workspace { root, home: self.home.clone() }
    }

    /// The root of the checkout.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder that set-up writes to.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The folder of the finished libtorch.
    pub fn libtorch(&self) -> PathBuf {
        self.home.join(format!("libtorch-{}", crate::setup::VERSION))
    }

    /// The file by which cargo learns where libtorch is.
    pub fn libtorch_toml(&self) -> PathBuf {
        self.root.join(".cargo").join("libtorch.toml")
    }

    /// The folder of cargo-fuzz's own workspace.
    pub fn fuzz(&self) -> PathBuf {
        self.root.join("fuzz")
    }
}
