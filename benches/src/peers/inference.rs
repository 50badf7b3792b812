//! libtorch's inference mode: what it computes for who wants no gradients skips all that a gradient would need.

use std::cell::Cell;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr;

unsafe extern "C" {
    fn etalon_inference_begin() -> *mut c_void;
    fn etalon_inference_end(mode: *mut c_void);
}

thread_local! {
    /// How many hold the thread in the mode, and what ends it.
    static HELD: Cell<(usize, *mut c_void)> = const { Cell::new((0, ptr::null_mut())) };
}

/// While one lives, its thread is in inference mode.
pub struct Inference {
    /// The mode is the thread's.
    _here: PhantomData<*const ()>,
}

impl Inference {
    /// From now on.
    pub fn new() -> Inference {
        let (holders, mode) = HELD.get();
        // SAFETY: takes nothing and gives what ends the mode.
        let mode = if holders == 0 { unsafe { etalon_inference_begin() } } else { mode };
        HELD.set((holders + 1, mode));
        Inference { _here: PhantomData }
    }
}

impl Drop for Inference {
    fn drop(&mut self) {
        let (holders, mode) = HELD.get();
        HELD.set((holders - 1, if holders == 1 { ptr::null_mut() } else { mode }));
        if holders == 1 {
            // SAFETY: begun by this thread, and ended once: by the last holder.
            unsafe { etalon_inference_end(mode) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etalon_reference::torch::makes_inference_tensors as on;

    #[test]
    fn the_mode_lasts_as_long_as_somebody_holds_it() {
        assert!(!on());
        let first = Inference::new();
        let second = Inference::new();
        drop(first);
        assert!(on());
        let third = Inference::new();
        drop(second);
        assert!(on());
        drop(third);
        assert!(!on());
    }
}
