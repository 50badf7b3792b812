//! What it costs: every operator × workload × dtype × kernel × threads, timed after it agreed with the reference, beside its
//! peers and as a share of the measured limits.
//!
//! Reading order: [`suite`] (what there is to time), [`subject`] (a thing that is timed, and its agreement), [`peers`],
//! [`rounds`], [`stopping`], [`cache`] and [`stats`] (how time is taken), [`peaks`] and [`environment`] (what it is held
//! against), [`row`] (a record). [`audit`] holds paired ratios against those of programs alone, `parity` is the numerical
//! gate, [`ulp`] the largest error of functions, [`output`] is how programs print and write files.

use std::path::{Path, PathBuf};

pub mod audit;
pub mod cache;
pub mod child;
pub mod choice;
pub mod environment;
pub mod inlining;
pub mod interrupt;
pub mod memory;
pub mod output;
pub mod parity;
pub mod peaks;
pub mod peers;
pub mod profile;
pub mod purse;
pub mod records;
pub mod rounds;
pub mod row;
pub mod run_folder;
pub mod stats;
pub mod stopping;
pub mod subject;
pub mod suite;
pub mod ulp;
pub mod witness;
pub mod worker;

/// What holds before a program works: the instruction sets that the environment names make sense, and libtorch does not compute
/// with OpenBLAS.
///
/// # Errors
/// The first that does not hold.
pub fn ready() -> anyhow::Result<()> {
    #[cfg(feature = "faults")]
    etalon_kernels::faults::check().map_err(anyhow::Error::msg)?;
    etalon_kernels::isa::Isa::chosen()?;
    #[cfg(all(feature = "libtorch", feature = "openblas"))]
    etalon_kernels::ffi::symbols::verify().map_err(|e| anyhow::anyhow!("refusing to work: {e}"))?;
    Ok(())
}

/// A path that the user gave, from the folder where the user stands: `cargo xtask` runs programs at the root and says in
/// `ETALON_CWD` where it was called.
pub fn from_user(path: &Path) -> PathBuf {
    std::env::var_os("ETALON_CWD").map_or_else(|| path.to_path_buf(), |folder| PathBuf::from(folder).join(path))
}

/// A path of ours as the user can use it: where the user does not stand in the folder it is relative to, it is absolute.
pub fn for_user(path: &Path) -> PathBuf {
    let stands = std::env::var_os("ETALON_CWD").map(PathBuf::from);
    let here = std::env::current_dir().ok();
    match stands {
        Some(stands) if here.is_none_or(|here| here != stands) => {
            std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
        }
        _ => path.to_path_buf(),
    }
}

/// Exit codes of every command.
pub mod exit {
    /// Fine.
    pub const FINE: u8 = 0;
    /// A kernel disagrees, or got slower.
    pub const FAILURE: u8 = 1;
    /// The command line makes no sense.
    pub const USAGE: u8 = 2;
    /// Nothing could be said.
    pub const INCONCLUSIVE: u8 = 3;
}

/// A progress bar that shows the time left; where standard error is no terminal, a line a minute ([`told`]).
pub fn progress(length: u64, what: &str) -> indicatif::ProgressBar {
    let style =
        indicatif::ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {elapsed} left {eta}  {wide_msg}")
            .expect("the template is valid");
    indicatif::ProgressBar::new(length).with_style(style).with_prefix(what.to_string())
}

/// Where there is no bar to be seen: once a minute, says how far it has come and what is left.
pub fn told(bar: &indicatif::ProgressBar, minutes: &mut u64) {
    let (elapsed, at, length) = (bar.elapsed(), bar.position(), bar.length().unwrap_or(0));
    if bar.is_hidden() && elapsed.as_secs() / 60 > *minutes && at > 0 {
        *minutes = elapsed.as_secs() / 60;
        let left = elapsed.as_secs_f64() / at as f64 * (length - at.min(length)) as f64;
        let left = (left / 60.0).ceil();
        output::note(format_args!("{}: {at} of {length} after {minutes} min, about {left:.0} min left", bar.prefix()));
    }
}
