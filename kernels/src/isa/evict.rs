//! Taking data out of the caches.

use core::arch::x86_64::{_mm_clflush, _mm_mfence};

/// Bytes of a cache line, on every CPU of this architecture.
const LINE: usize = 64;

/// Takes every line of `data` out of all caches of all CPUs. What it holds stays, in memory.
pub fn evict<T>(data: &[T]) {
    let bytes = size_of_val(data);
    let start = data.as_ptr().cast::<u8>();
    // The last byte may lie in a line that no step of a line's length from the first one meets.
    for offset in (0..bytes).step_by(LINE).chain(bytes.checked_sub(1)) {
        // SAFETY: the address lies in the slice. Flushing changes no byte, and SSE2 is part of the architecture.
        unsafe { _mm_clflush(start.add(offset)) };
    }
    // SAFETY: SSE2 is part of the architecture.
    unsafe { _mm_mfence() };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_stay() {
        let data: Vec<u32> = (0..1001).collect();
        evict(&data[1..]);
        evict::<u32>(&[]);
        assert!(data.iter().enumerate().all(|(i, &x)| i == x as usize));
    }
}
