//! OpenBLAS through its C interface: a peer that is timed, and a second opinion on GEMM.
//!
//! Matrices are row-major and dense up to a leading dimension. Every function checks sizes before it calls C, so none of
//! them can read or write outside the slices. OpenBLAS picks its kernels when the process starts (`OPENBLAS_CORETYPE`
//! overrides) and keeps one pool of threads for the process; [`set_threads`] sets its size.
//!
//! NaN rule: that of BLAS. `beta == 0` overwrites C without reading it; `alpha == 0` or `k == 0` skips A and B altogether,
//! NaNs included.

use std::ffi::{CStr, c_char, c_int};

#[cfg(not(openblas_static))]
use blas_src as _;

const ROW_MAJOR: c_int = 101;

/// Why a call was refused; nothing was computed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenblasError {
    /// A size or a leading dimension does not fit the C `int` of the interface.
    #[error("{what} = {value} does not fit OpenBLAS's 32-bit integers")]
    TooLarge {
        /// Name of the argument.
        what: &'static str,
        /// Its value.
        value: usize,
    },
    /// A leading dimension is shorter than the rows it separates.
    #[error("{what} = {value} is less than the row length {row}")]
    LeadingDimension {
        /// Name of the argument.
        what: &'static str,
        /// Its value.
        value: usize,
        /// Length of the rows.
        row: usize,
    },
    /// A slice ends before the last element the call would touch.
    #[error("{what} has {len} elements where {need} are needed")]
    TooShort {
        /// Name of the argument.
        what: &'static str,
        /// Its length.
        len: usize,
        /// What the sizes ask for.
        need: usize,
    },
}

/// Whether an operand is used as it lies in memory or transposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// As stored.
    Plain,
    /// Rows and columns exchanged.
    Transposed,
}

impl Op {
    fn code(self) -> c_int {
        match self {
            Op::Plain => 111,
            Op::Transposed => 112,
        }
    }
}

/// The sizes of one `C = alpha · op(A) · op(B) + beta · C`.
///
/// `op(A)` is m×k, `op(B)` is k×n and C is m×n; `lda`, `ldb`, `ldc` count the elements from one stored row to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GemmSizes {
    /// How A is used.
    pub op_a: Op,
    /// How B is used.
    pub op_b: Op,
    /// Rows of C.
    pub m: usize,
    /// Columns of C.
    pub n: usize,
    /// Length of the sums.
    pub k: usize,
    /// Leading dimension of A.
    pub lda: usize,
    /// Leading dimension of B.
    pub ldb: usize,
    /// Leading dimension of C.
    pub ldc: usize,
}

impl GemmSizes {
    /// Sizes with dense rows.
    pub fn dense(op_a: Op, op_b: Op, m: usize, n: usize, k: usize) -> GemmSizes {
        let lda = if op_a == Op::Plain { k } else { m };
        let ldb = if op_b == Op::Plain { n } else { k };
        GemmSizes { op_a, op_b, m, n, k, lda: lda.max(1), ldb: ldb.max(1), ldc: n.max(1) }
    }

    /// Rows and columns of A, B and C as they are stored.
    fn stored(&self) -> [(usize, usize); 3] {
        let a = if self.op_a == Op::Plain { (self.m, self.k) } else { (self.k, self.m) };
        let b = if self.op_b == Op::Plain { (self.k, self.n) } else { (self.n, self.k) };
        [a, b, (self.m, self.n)]
    }

    fn check(&self, a: usize, b: usize, c: usize) -> Result<(), OpenblasError> {
        for (what, value) in [("m", self.m), ("n", self.n), ("k", self.k)] {
            int(what, value)?;
        }
        let [in_a, in_b, in_c] = self.stored();
        operand(("a", "lda"), in_a, self.lda, a)?;
        operand(("b", "ldb"), in_b, self.ldb, b)?;
        operand(("c", "ldc"), in_c, self.ldc, c)
    }
}

/// The value as a C `int`.
fn int(what: &'static str, value: usize) -> Result<c_int, OpenblasError> {
    c_int::try_from(value).map_err(|_| OpenblasError::TooLarge { what, value })
}

/// Checks one stored matrix: its leading dimension, and that the slice reaches its last element.
fn operand(
    (name, ld_name): (&'static str, &'static str),
    (rows, columns): (usize, usize),
    ld: usize,
    len: usize,
) -> Result<(), OpenblasError> {
    int(ld_name, ld)?;
    if ld < columns.max(1) {
        return Err(OpenblasError::LeadingDimension { what: ld_name, value: ld, row: columns });
    }
    // Rows and leading dimension fit 31 bits each, so the product fits 64.
    let need = if rows == 0 || columns == 0 { 0 } else { (rows - 1) * ld + columns };
    if len < need {
        return Err(OpenblasError::TooShort { what: name, len, need });
    }
    Ok(())
}

/// Checks the operands of `y = alpha · op(A) · x + beta · y`.
fn check_gemv(op: Op, m: usize, n: usize, lda: usize, a: usize, x: usize, y: usize) -> Result<(), OpenblasError> {
    int("m", m)?;
    int("n", n)?;
    operand(("a", "lda"), (m, n), lda, a)?;
    let (need_x, need_y) = if op == Op::Plain { (n, m) } else { (m, n) };
    for (what, len, need) in [("x", x, need_x), ("y", y, need_y)] {
        if len < need {
            return Err(OpenblasError::TooShort { what, len, need });
        }
    }
    Ok(())
}

macro_rules! blas {
    ($t:ty, $gemm:ident = $cblas_gemm:ident, $gemv:ident = $cblas_gemv:ident) => {
        unsafe extern "C" {
            fn $cblas_gemm(
                order: c_int,
                op_a: c_int,
                op_b: c_int,
                m: c_int,
                n: c_int,
                k: c_int,
                alpha: $t,
                a: *const $t,
                lda: c_int,
                b: *const $t,
                ldb: c_int,
                beta: $t,
                c: *mut $t,
                ldc: c_int,
            );
            fn $cblas_gemv(
                order: c_int,
                op: c_int,
                m: c_int,
                n: c_int,
                alpha: $t,
                a: *const $t,
                lda: c_int,
                x: *const $t,
                step_x: c_int,
                beta: $t,
                y: *mut $t,
                step_y: c_int,
            );
        }

        #[doc = concat!("`C = alpha · op(A) · op(B) + beta · C` by `", stringify!($cblas_gemm), "`.")]
        ///
        /// # Errors
        /// When a size does not fit, a leading dimension is too small or a slice too short; C is untouched then.
        pub fn $gemm(
            sizes: &GemmSizes,
            alpha: $t,
            a: &[$t],
            b: &[$t],
            beta: $t,
            c: &mut [$t],
        ) -> Result<(), OpenblasError> {
            sizes.check(a.len(), b.len(), c.len())?;
            // SAFETY: `check` proved that every size fits and that each slice holds all the elements its sizes span.
            unsafe {
                $cblas_gemm(
                    ROW_MAJOR,
                    sizes.op_a.code(),
                    sizes.op_b.code(),
                    sizes.m as c_int,
                    sizes.n as c_int,
                    sizes.k as c_int,
                    alpha,
                    a.as_ptr(),
                    sizes.lda as c_int,
                    b.as_ptr(),
                    sizes.ldb as c_int,
                    beta,
                    c.as_mut_ptr(),
                    sizes.ldc as c_int,
                );
            }
            Ok(())
        }

        #[doc = concat!("`y = alpha · op(A) · x + beta · y` by `", stringify!($cblas_gemv), "`, A stored m×n, x and y dense.")]
        ///
        /// # Errors
        /// When a size does not fit, the leading dimension is too small or a slice too short; y is untouched then.
        pub fn $gemv(
            op: Op,
            m: usize,
            n: usize,
            alpha: $t,
            a: &[$t],
            lda: usize,
            x: &[$t],
            beta: $t,
            y: &mut [$t],
        ) -> Result<(), OpenblasError> {
            check_gemv(op, m, n, lda, a.len(), x.len(), y.len())?;
            // SAFETY: `check_gemv` proved that every size fits and that each slice holds all the elements its sizes span.
            unsafe {
                $cblas_gemv(
                    ROW_MAJOR,
                    op.code(),
                    m as c_int,
                    n as c_int,
                    alpha,
                    a.as_ptr(),
                    lda as c_int,
                    x.as_ptr(),
                    1,
                    beta,
                    y.as_mut_ptr(),
                    1,
                );
            }
            Ok(())
        }
    };
}

blas!(f32, sgemm = cblas_sgemm, sgemv = cblas_sgemv);
blas!(f64, dgemm = cblas_dgemm, dgemv = cblas_dgemv);

unsafe extern "C" {
    fn openblas_get_config() -> *mut c_char;
    fn openblas_get_corename() -> *mut c_char;
    fn openblas_set_num_threads(threads: c_int);
    fn openblas_get_num_threads() -> c_int;
}

/// Version and build options, as `openblas_get_config` tells them.
pub fn config() -> String {
    // SAFETY: takes nothing and returns a NUL-terminated string that lives as long as the process.
    unsafe { text(openblas_get_config()) }
}

/// The core type whose kernels run, as `openblas_get_corename` tells it.
pub fn core() -> String {
    // SAFETY: takes nothing and returns a NUL-terminated string that lives as long as the process.
    unsafe { text(openblas_get_corename()) }
}

/// # Safety
/// `pointer` is null or points to a NUL-terminated string.
unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: not null, and NUL-terminated by this function's contract.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

/// Sets how many threads OpenBLAS uses from the next call on, for the whole process. At least one.
pub fn set_threads(threads: usize) {
    let threads = c_int::try_from(threads.max(1)).unwrap_or(c_int::MAX);
    // SAFETY: a plain setter; OpenBLAS caps the number at what it was built for.
    unsafe { openblas_set_num_threads(threads) }
}

/// How many threads OpenBLAS uses.
pub fn threads() -> usize {
    // SAFETY: a plain getter.
    usize::try_from(unsafe { openblas_get_num_threads() }).unwrap_or(1)
}

/// Where the C functions of this module live, by name: the loader is asked by address, because a function linked into the
/// executable has no name there.
pub(super) fn address(name: &str) -> Option<*const ()> {
    match name {
        "cblas_sgemm" => Some(cblas_sgemm as *const ()),
        "cblas_dgemm" => Some(cblas_dgemm as *const ()),
        "cblas_sgemv" => Some(cblas_sgemv as *const ()),
        "cblas_dgemv" => Some(cblas_dgemv as *const ()),
        "openblas_get_config" => Some(openblas_get_config as *const ()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_and_transposes() {
        // A = [1 2 3; 4 5 6], B = [1 2; 3 4; 5 6], A·B = [22 28; 49 64].
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0_f32], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0_f32]);
        let mut c = [1.0_f32; 4];
        sgemm(&GemmSizes::dense(Op::Plain, Op::Plain, 2, 2, 3), 1.0, &a, &b, 0.0, &mut c).unwrap();
        assert_eq!(c, [22.0, 28.0, 49.0, 64.0]);
        // Aᵀ stored 3×2 and Bᵀ stored 2×3: [1 3 5; 2 4 6] · [1 4; 2 5; 3 6] = [22 49; 28 64].
        sgemm(&GemmSizes::dense(Op::Transposed, Op::Transposed, 2, 2, 3), 1.0, &a, &b, 1.0, &mut c).unwrap();
        assert_eq!(c, [44.0, 77.0, 77.0, 128.0]);
        let (mut x, mut y) = ([0.0_f64; 3], [0.0_f64; 2]);
        x.copy_from_slice(&[1.0, 1.0, 1.0]);
        dgemv(Op::Plain, 2, 3, 2.0, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3, &x, 0.0, &mut y).unwrap();
        assert_eq!(y, [12.0, 30.0]);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let sizes = GemmSizes::dense(Op::Plain, Op::Plain, 2, 2, 3);
        let mut c = [0.0_f32; 4];
        let short = sgemm(&sizes, 1.0, &[0.0; 5], &[0.0; 6], 0.0, &mut c);
        assert_eq!(short, Err(OpenblasError::TooShort { what: "a", len: 5, need: 6 }));
        let narrow = sgemm(&GemmSizes { ldb: 1, ..sizes }, 1.0, &[0.0; 6], &[0.0; 6], 0.0, &mut c);
        assert_eq!(narrow, Err(OpenblasError::LeadingDimension { what: "ldb", value: 1, row: 2 }));
        let huge = GemmSizes { m: 1 << 31, ..sizes };
        assert!(matches!(sgemm(&huge, 1.0, &[], &[], 0.0, &mut c), Err(OpenblasError::TooLarge { what: "m", .. })));
    }

    #[test]
    fn says_what_it_is() {
        assert!(config().contains("OpenBLAS"), "{}", config());
        assert!(!core().is_empty());
        set_threads(1);
        assert_eq!(threads(), 1);
    }
}
