#![no_main]

use etalon_fuzz_bodies::{problem, target};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    problem::run(target::entry(), bytes);
});
