//! Who provides a C symbol in this process, asked of the dynamic loader.
//!
//! libtorch and OpenBLAS define the same Fortran names (`sgemm_`, …). If libtorch's calls land in OpenBLAS it is no longer
//! an independent witness, and what is timed as libtorch is OpenBLAS. [`verify`] is asked before anything is timed.

use std::ffi::{CStr, CString, c_void};
use std::path::{Path, PathBuf};

/// The Fortran names by which libtorch calls its own BLAS.
pub const LIBTORCH_BLAS: [&str; 5] = ["sgemm_", "dgemm_", "sgemv_", "dgemv_", "saxpy_"];

/// The C names by which this crate calls OpenBLAS.
pub const OPENBLAS: [&str; 5] = ["cblas_sgemm", "cblas_dgemm", "cblas_sgemv", "cblas_dgemv", "openblas_get_config"];

/// The file that provides `name`: the library, or this executable where the function is linked into it.
///
/// For the names of [`OPENBLAS`] (feature `openblas`) the answer is about the functions this crate calls; for all others
/// about what a library finds that looks the name up in the global scope. `None` when nobody provides it.
pub fn provider(name: &str) -> Option<PathBuf> {
    #[cfg(feature = "openblas")]
    if let Some(address) = super::openblas::address(name) {
        return file_of(address);
    }
    let c_name = CString::new(name).ok()?;
    // SAFETY: `c_name` is NUL-terminated and outlives the call; the pseudo handle needs no opening.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c_name.as_ptr()) };
    file_of(address.cast_const().cast())
}

/// The file that is mapped at `address`.
fn file_of(address: *const ()) -> Option<PathBuf> {
    let (base, file) = object_at(address)?;
    // For the program itself the loader returns `argv[0]`, which need not be a path.
    let (own, _) = object_at(object_at as *const ())?;
    if base == own { std::env::current_exe().ok() } else { Some(file) }
}

/// Load address and name of the object that is mapped at `address`.
fn object_at(address: *const ()) -> Option<(usize, PathBuf)> {
    if address.is_null() {
        return None;
    }
    let mut info = libc::Dl_info {
        dli_fname: std::ptr::null(),
        dli_fbase: std::ptr::null_mut(),
        dli_sname: std::ptr::null(),
        dli_saddr: std::ptr::null_mut(),
    };
    // SAFETY: `dladdr` compares the address with the mapped objects without reading through it, and fills `info`.
    let found = unsafe { libc::dladdr(address.cast::<c_void>(), &mut info) };
    if found == 0 || info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: after success `dli_fname` is a NUL-terminated string of the loader's, valid while the object is mapped.
    let name = unsafe { CStr::from_ptr(info.dli_fname) };
    Some((info.dli_fbase as usize, PathBuf::from(name.to_string_lossy().into_owned())))
}

/// Every name of [`LIBTORCH_BLAS`] and [`OPENBLAS`] with its provider, for records and the doctor.
pub fn table() -> Vec<(&'static str, Option<PathBuf>)> {
    LIBTORCH_BLAS.iter().chain(&OPENBLAS).map(|name| (*name, provider(name))).collect()
}

/// The OpenMP runtimes mapped into this process, each file once. Empty where `/proc` is not there to be read.
pub fn openmp_runtimes() -> Vec<PathBuf> {
    mapped(|name| ["libgomp", "libiomp", "libomp."].iter().any(|stem| name.starts_with(stem)))
}

/// The libtorch that is mapped into this process, if any.
pub fn libtorch() -> Option<PathBuf> {
    mapped(|name| name.starts_with("libtorch_cpu.")).pop()
}

/// The mapped files whose name is wanted, sorted.
fn mapped(wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut files: Vec<PathBuf> = maps
        .lines()
        .filter_map(|line| line.find('/').map(|start| PathBuf::from(&line[start..])))
        .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(&wanted))
        .collect();
    files.sort();
    files.dedup();
    files
}

/// Whether libtorch and OpenBLAS are independent of each other in this process; ask before timing either.
///
/// # Errors
/// With what is wrong and its cure: libtorch's BLAS names are provided by the OpenBLAS this crate calls (or by any other
/// OpenBLAS that is not libtorch's own), this crate's calls do not reach an OpenBLAS, or two OpenMP runtimes are mapped.
pub fn verify() -> Result<(), String> {
    let torch = libtorch();
    let ours = if cfg!(feature = "openblas") { provider("cblas_sgemm") } else { None };
    if cfg!(feature = "openblas") {
        check_ours(ours.as_deref(), std::env::current_exe().ok().as_deref())?;
    }
    if let Some(torch) = &torch {
        for name in LIBTORCH_BLAS {
            check_theirs(name, provider(name).as_deref(), torch, ours.as_deref())?;
        }
    }
    check_openmp(&openmp_runtimes())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn check_ours(ours: Option<&Path>, executable: Option<&Path>) -> Result<(), String> {
    match ours {
        Some(path) if Some(path) == executable || file_name(path).contains("openblas") => Ok(()),
        Some(path) => Err(format!(
            "cblas_sgemm is provided by {}, not by OpenBLAS: install its static library (libopenblas.a) and rebuild",
            path.display()
        )),
        None => Err("nobody provides cblas_sgemm: rebuild with the feature `openblas`".to_owned()),
    }
}

fn check_theirs(name: &str, theirs: Option<&Path>, torch: &Path, ours: Option<&Path>) -> Result<(), String> {
    let Some(theirs) = theirs else { return Ok(()) };
    let foreign = file_name(theirs).contains("openblas") && theirs.parent() != torch.parent();
    if Some(theirs) == ours || foreign {
        return Err(format!(
            "{name} is provided by {}, so libtorch would compute with OpenBLAS: link OpenBLAS from libopenblas.a with -Wl,--exclude-libs,ALL",
            theirs.display()
        ));
    }
    Ok(())
}

fn check_openmp(runtimes: &[PathBuf]) -> Result<(), String> {
    if runtimes.len() < 2 {
        return Ok(());
    }
    let list: Vec<String> = runtimes.iter().map(|path| path.display().to_string()).collect();
    Err(format!("{} OpenMP runtimes are mapped ({}): keep libtorch's own alone", runtimes.len(), list.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_knows_the_c_library_and_nobody_knows_nonsense() {
        let file = provider("getpid").expect("the C library is mapped");
        assert!(file_name(&file).starts_with("libc"), "{}", file.display());
        assert_eq!(provider("etalon_no_such_symbol"), None);
        assert_eq!(provider("nul\0inside"), None);
    }

    #[test]
    fn own_code_is_in_the_executable() {
        assert_eq!(file_of(check_ours as *const ()), std::env::current_exe().ok());
    }

    #[test]
    fn an_intruder_is_named() {
        let torch = Path::new("/t/lib/libtorch_cpu.so");
        let shared = Path::new("/usr/lib/libopenblas.so.0");
        let program = Path::new("/p/bench");
        for bad in [shared, program] {
            let said = check_theirs("sgemm_", Some(bad), torch, Some(program)).unwrap_err();
            assert!(said.contains("sgemm_") && said.contains(&bad.display().to_string()), "{said}");
        }
        assert_eq!(check_theirs("sgemm_", Some(torch), torch, Some(program)), Ok(()));
        assert_eq!(check_theirs("sgemm_", Some(Path::new("/t/lib/libopenblas.so")), torch, Some(program)), Ok(()));
        assert!(check_ours(Some(torch), Some(program)).is_err());
        assert!(check_ours(None, Some(program)).is_err());
        assert_eq!(check_ours(Some(program), Some(program)), Ok(()));
    }

    #[test]
    fn one_openmp_runtime_is_enough() {
        let gomp = PathBuf::from("/t/libgomp.so.1");
        assert_eq!(check_openmp(&[]), Ok(()));
        assert_eq!(check_openmp(std::slice::from_ref(&gomp)), Ok(()));
        assert!(check_openmp(&[gomp, PathBuf::from("/u/libiomp5.so")]).is_err());
    }
}
