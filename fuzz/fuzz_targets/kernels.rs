#![no_main]

use etalon_fuzz_bodies::{kernels, target};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    kernels::run(target::entry(), bytes);
});
