//! Buffers that show when a kernel touches what is not its own.

use std::alloc;

use etalon_reference::Element;

/// What lies around a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Guard {
    /// Zones of `ZONE` bytes on both sides, which [`GuardedBuffer::canaries_intact`] checks.
    Zones,
    /// The buffer ends where a page begins that can't be accessed. Touching the element behind ends the process.
    PageBehind,
    /// The buffer begins where a page ends that can't be accessed. Touching the element before ends the process.
    PageBefore,
}

/// Bytes of a zone before and behind a buffer with [`Guard::Zones`].
pub const ZONE: usize = 1024;

/// Start of a buffer with [`Guard::Zones`] and offset 0; the length of a cache line and of the widest vector.
const BOUNDARY: usize = 64;

/// Bytes between guards. Whatever memory around them was got along with them holds the pattern of `canary`.
///
/// Where pages can't be protected (systems other than Linux and macOS), every guard is [`Guard::Zones`].
pub struct GuardedBuffer {
    /// Accessible memory: the buffer and its canaries.
    memory: Memory,
    /// The buffer's first byte, from the memory's first.
    start: usize,
    /// The buffer's length.
    bytes: usize,
    /// Of the canaries' pattern.
    unit: usize,
}

// SAFETY: the memory is owned, and accessed only through `&self` and `&mut self`.
unsafe impl Send for GuardedBuffer {}
// SAFETY: as above; nothing is changed through `&self`.
unsafe impl Sync for GuardedBuffer {}

impl GuardedBuffer {
    /// A buffer of `bytes` zero bytes, for elements of `align` bytes and alignment.
    ///
    /// With [`Guard::Zones`] it starts `offset` bytes (0..64, rounded down to a multiple of `align`) behind a 64-byte
    /// boundary. With a page, that page decides where it lies; the start is a multiple of `align`.
    ///
    /// # Panics
    /// If `align` is no power of two up to 64, `offset` is 64 or more, or the system gives no memory.
    pub fn new(bytes: usize, align: usize, offset: usize, guard: Guard) -> GuardedBuffer {
        assert!(align.is_power_of_two() && align <= BOUNDARY, "an alignment of {align} bytes");
        assert!(offset < BOUNDARY, "an offset of {offset} bytes");
        let (memory, start) = match guard {
            Guard::PageBehind if PAGES => {
                let memory = Memory::between_pages(bytes);
                let start = (memory.len() - bytes) / align * align;
                (memory, start)
            }
            Guard::PageBefore if PAGES => (Memory::between_pages(bytes), 0),
            _ => {
                let start = ZONE + offset / align * align;
                (Memory::on_heap(start + bytes + ZONE), start)
            }
        };
        let mut buffer = GuardedBuffer { memory, start, bytes, unit: align };
        let (before, rest) = buffer.memory.bytes_mut().split_at_mut(start);
        fill(before, canary(align, start));
        fill(&mut rest[bytes..], canary(align, bytes.wrapping_neg()));
        buffer
    }

    /// The buffer as elements of `T`; bytes that make no whole element are left out.
    ///
    /// # Panics
    /// If the buffer is not aligned for `T`.
    pub fn as_slice<T: Element>(&self) -> &[T] {
        let bytes = &self.memory.bytes()[self.start..][..self.bytes];
        assert!(bytes.as_ptr().cast::<T>().is_aligned(), "a buffer for elements of {} bytes", self.unit);
        // SAFETY: the bytes are initialised, aligned, borrowed as long as the result, and every pattern of bits is a value
        // of an element type.
        unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), self.bytes / size_of::<T>()) }
    }

    /// The buffer as elements of `T` that can be changed.
    ///
    /// # Panics
    /// If the buffer is not aligned for `T`.
    pub fn as_mut_slice<T: Element>(&mut self) -> &mut [T] {
        let len = self.bytes / size_of::<T>();
        let bytes = &mut self.memory.bytes_mut()[self.start..][..self.bytes];
        assert!(bytes.as_ptr().cast::<T>().is_aligned(), "a buffer for elements of {} bytes", self.unit);
        // SAFETY: as in `as_slice`, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), len) }
    }

    /// Whether nothing around the buffer was overwritten. Covers both zones, or the rest of the buffer's own pages.
    pub fn canaries_intact(&self) -> bool {
        let (before, rest) = self.memory.bytes().split_at(self.start);
        let untouched = |bytes: &[u8], line: [u8; LINE]| bytes.chunks(LINE).all(|chunk| *chunk == line[..chunk.len()]);
        untouched(before, canary(self.unit, self.start))
            && untouched(&rest[self.bytes..], canary(self.unit, self.bytes.wrapping_neg()))
    }
}

/// Bytes of a canary that are written and compared at once.
const LINE: usize = 64;

fn fill(bytes: &mut [u8], line: [u8; LINE]) {
    bytes.chunks_mut(LINE).for_each(|chunk| chunk.copy_from_slice(&line[..chunk.len()]));
}

/// What lies around a buffer whose first byte is `ahead` bytes further on: signalling NaNs. Reading one as an element spoils
/// what is computed from it, and what is computed from it has another pattern when it is written back.
fn canary(unit: usize, ahead: usize) -> [u8; LINE] {
    let pattern: [u8; 8] = match unit {
        8.. => 0xfff7_ffff_ffff_ffff_u64,
        4.. => 0xffbf_ffff_ffbf_ffff,
        2.. => 0xffbf_ffbf_ffbf_ffbf,
        _ => 0xa5a5_a5a5_a5a5_a5a5,
    }
    .to_le_bytes();
    std::array::from_fn(|at| pattern[at.wrapping_sub(ahead) % 8])
}

const PAGES: bool = cfg!(all(any(target_os = "linux", target_os = "macos"), not(miri)));

/// Memory that is got and given back as a whole.
enum Memory {
    /// From the allocator.
    Heap { start: *mut u8, layout: alloc::Layout },
    /// Whole pages between two that can't be accessed.
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    Pages(pages::Pages),
}

impl Memory {
    fn on_heap(len: usize) -> Memory {
        let layout = alloc::Layout::from_size_align(len, BOUNDARY).expect("a size within the address space");
        assert!(len > 0, "zones have a length");
        // SAFETY: the size is not zero.
        let start = unsafe { alloc::alloc_zeroed(layout) };
        if start.is_null() {
            alloc::handle_alloc_error(layout);
        }
        Memory::Heap { start, layout }
    }

    #[cfg(any(target_os = "linux", target_os = "macos"))]
    fn between_pages(bytes: usize) -> Memory {
        Memory::Pages(pages::Pages::new(bytes))
    }

    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    fn between_pages(bytes: usize) -> Memory {
        Memory::on_heap(bytes.max(1))
    }

    fn parts(&self) -> (*mut u8, usize) {
        match self {
            Memory::Heap { start, layout } => (*start, layout.size()),
            #[cfg(any(target_os = "linux", target_os = "macos"))]
            Memory::Pages(pages) => pages.accessible(),
        }
    }

    fn len(&self) -> usize {
        self.parts().1
    }

    fn bytes(&self) -> &[u8] {
        let (start, len) = self.parts();
        // SAFETY: accessible, initialised with zeros, and owned by `self`.
        unsafe { std::slice::from_raw_parts(start, len) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        let (start, len) = self.parts();
        // SAFETY: accessible, initialised with zeros, and owned by `self`, which is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(start, len) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        match self {
            // SAFETY: allocated with this layout, and not given back before.
            Memory::Heap { start, layout } => unsafe { alloc::dealloc(*start, *layout) },
            #[cfg(any(target_os = "linux", target_os = "macos"))]
            Memory::Pages(_) => {}
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
mod pages {
    use std::io;
    use std::ptr;

    /// A mapping whose first and last page can't be accessed.
    pub struct Pages {
        start: *mut u8,
        len: usize,
        page: usize,
    }

    impl Pages {
        /// With at least one accessible page.
        ///
        /// # Panics
        /// If the system refuses.
        pub fn new(bytes: usize) -> Pages {
            // SAFETY: has no preconditions.
            let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("a page size");
            let inner = bytes.max(1).checked_next_multiple_of(page).expect("a size within the address space");
            let len = inner + 2 * page;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
            // SAFETY: a new mapping at an address that the system chooses.
            let start = unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
            assert_ne!(start, libc::MAP_FAILED, "mmap of {len} bytes: {}", io::Error::last_os_error());
            let pages = Pages { start: start.cast(), len, page };
            let (first, inner) = pages.accessible();
            // SAFETY: the pages between the first and the last belong to the mapping above.
            let result = unsafe { libc::mprotect(first.cast(), inner, libc::PROT_READ | libc::PROT_WRITE) };
            assert_eq!(result, 0, "mprotect of {inner} bytes: {}", io::Error::last_os_error());
            pages
        }

        /// First accessible byte and their number.
        pub fn accessible(&self) -> (*mut u8, usize) {
            (self.start.wrapping_add(self.page), self.len - 2 * self.page)
        }
    }

    impl Drop for Pages {
        fn drop(&mut self) {
            // SAFETY: the whole of a mapping that is not used any more.
            let result = unsafe { libc::munmap(self.start.cast(), self.len) };
            debug_assert_eq!(result, 0, "munmap: {}", io::Error::last_os_error());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUARDS: [Guard; 3] = [Guard::Zones, Guard::PageBehind, Guard::PageBefore];

    #[test]
    fn holds_its_elements_between_canaries() {
        for guard in GUARDS {
            for len in [0, 1, 3, 16, 1023, 1024, 1025, 5000] {
                let mut buffer = GuardedBuffer::new(len * 4, 4, 0, guard);
                assert_eq!(buffer.as_slice::<f32>(), vec![0.0; len]);
                buffer.as_mut_slice::<f32>().iter_mut().enumerate().for_each(|(i, x)| *x = i as f32);
                assert!((0..len).all(|i| buffer.as_slice::<f32>()[i] == i as f32));
                assert!(buffer.canaries_intact(), "{guard:?} {len}");
            }
        }
    }

    #[test]
    fn lies_where_it_was_asked_to() {
        for offset in 0..64 {
            let at = |align: usize| {
                GuardedBuffer::new(40, align, offset, Guard::Zones).as_slice::<u8>().as_ptr() as usize % 64
            };
            assert_eq!(at(1), offset);
            assert_eq!(at(4), offset / 4 * 4);
            assert_eq!(at(8), offset / 8 * 8);
        }
        if PAGES {
            for offset in [0, 1, 4, 63] {
                let behind = GuardedBuffer::new(12, 4, offset, Guard::PageBehind);
                assert!(behind.as_slice::<f32>().as_ptr_range().end.addr().is_multiple_of(4096));
                let before = GuardedBuffer::new(12, 4, offset, Guard::PageBefore);
                assert!(before.as_slice::<f32>().as_ptr().addr().is_multiple_of(4096));
            }
        }
    }

    #[test]
    fn a_byte_overwritten_on_either_side_shows() {
        for guard in GUARDS {
            for side in [-4_isize, -1, 40, 43] {
                let mut buffer = GuardedBuffer::new(40, 4, 0, guard);
                let at = buffer.start as isize + side;
                let Some(byte) = usize::try_from(at).ok().and_then(|at| buffer.memory.bytes_mut().get_mut(at)) else {
                    continue;
                };
                *byte ^= 1;
                assert!(!buffer.canaries_intact(), "{guard:?} {side}");
            }
        }
    }

    #[test]
    fn what_is_computed_from_a_canary_shows() {
        let value = |unit: usize| u64::from_le_bytes(std::array::from_fn(|at| canary(unit, 1024)[at]));
        let double = f64::from_bits(value(8));
        assert!(double.is_nan() && std::hint::black_box(double + 1.0).to_bits() != value(8));
        let single = f32::from_bits(value(4) as u32);
        assert!(single.is_nan() && std::hint::black_box(single + 1.0).to_bits() != value(4) as u32);
        assert!(half::f16::from_bits(value(2) as u16).is_nan() && half::bf16::from_bits(value(2) as u16).is_nan());
    }

    const TOUCH: &str = "ETALON_TOUCH";

    /// Does nothing unless `touching_beyond_a_page_faults` runs it in a process of its own.
    #[test]
    fn touch() {
        let Ok(which) = std::env::var(TOUCH) else { return };
        let (guard, write) = which.split_once(' ').expect("guard and access");
        let guard = if guard == "behind" { Guard::PageBehind } else { Guard::PageBefore };
        let mut buffer = GuardedBuffer::new(12, 4, 0, guard);
        let elements = buffer.as_mut_slice::<f32>();
        let inside = if guard == Guard::PageBehind { 2 } else { 0 };
        let beyond = if guard == Guard::PageBehind { 3 } else { -1 };
        elements[inside] = 1.0;
        println!("inside");
        let beyond = elements.as_mut_ptr().wrapping_offset(beyond);
        // SAFETY: not safe at all: the access must end this process, which exists for nothing else.
        unsafe {
            if write == "write" {
                beyond.write_volatile(1.0);
            } else {
                std::hint::black_box(beyond.read_volatile());
            }
        }
    }

    #[cfg(all(any(target_os = "linux", target_os = "macos"), not(miri)))]
    #[test]
    fn touching_beyond_a_page_faults() {
        use std::os::unix::process::ExitStatusExt;
        let (_, module) = module_path!().split_once("::").expect("a module of the crate");
        for which in ["behind read", "behind write", "before read", "before write"] {
            let child = std::process::Command::new(std::env::current_exe().expect("this test"))
                .args(["--exact", &format!("{module}::touch"), "--nocapture", "--test-threads=1"])
                .env(TOUCH, which)
                .output()
                .expect("this test runs");
            assert!(String::from_utf8_lossy(&child.stdout).contains("inside"), "{which}: {child:?}");
            let signal = child.status.signal();
            assert!(signal == Some(libc::SIGSEGV) || signal == Some(libc::SIGBUS), "{which}: {:?}", child.status);
        }
    }
}
