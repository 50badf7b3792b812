//! What libtorch says of itself, and its threads.

/// The version of libtorch that this was built with.
pub const VERSION: &str = match option_env!("ETALON_LIBTORCH_VERSION") {
    Some(version) => version,
    // The one that `tch` asks for, where libtorch does not say its version in a file.
    None => "2.13.0",
};

/// What libtorch was built with, of what matters to CPU kernels.
pub fn backends() -> Vec<&'static str> {
    let asked = [
        ("OpenMP", tch::utils::has_openmp()),
        ("MKL", tch::utils::has_mkl()),
        ("oneDNN", tch::utils::has_mkldnn()),
        ("LAPACK", tch::utils::has_lapack()),
    ];
    asked.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
}

/// How many threads an operator of libtorch uses.
pub fn threads() -> usize {
    usize::try_from(tch::get_num_threads()).unwrap_or(1)
}

/// Sets how many threads an operator of libtorch uses from now on, for the whole process. At least one.
pub fn set_threads(threads: usize) {
    tch::set_num_threads(i32::try_from(threads.max(1)).unwrap_or(i32::MAX));
}

/// One thread for operators side by side: those that are timed come one after the other. libtorch takes this once in a
/// process, before such threads exist; later calls change nothing.
pub fn use_one_thread_between_operators() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        if tch::get_num_interop_threads() != 1 {
            tch::set_num_interop_threads(1);
        }
    });
}

/// Whether this thread is in inference mode: what it makes cannot take part in a gradient.
pub fn makes_inference_tensors() -> bool {
    tch::Tensor::empty([1], (tch::Kind::Float, tch::Device::Cpu)).is_inference()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_set_and_read_back() {
        set_threads(1);
        assert_eq!(threads(), 1);
        assert!(backends().contains(&"OpenMP"), "{:?}", backends());
    }
}
