#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    etalon_fuzz_bodies::kernels::run("batchnorm_relu_backward", bytes);
});
