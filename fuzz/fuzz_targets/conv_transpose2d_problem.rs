#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    etalon_fuzz_bodies::problem::run("conv_transpose2d", bytes);
});
