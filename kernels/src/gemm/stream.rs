//! The streaming loops of each ISA, for [`skinny`](super::skinny).

use super::skinny::{Stream, Strip};

macro_rules! stream {
    ($tile:ty, $features:literal, $stream:path) => {
        const _: () = {
            use stream::{LANES, T, lanes};
            use $stream as stream;

            impl Stream for $tile {
                const LANES: usize = LANES;

                fn add_rows(self, strip: Strip<'_, T>, sums: &mut [T]) {
                    // SAFETY: the token proves that the CPU has the instructions.
                    unsafe { rows(strip, sums) }
                }

                fn add_dots(self, strip: Strip<'_, T>, sums: &mut [T]) {
                    // SAFETY: the token proves that the CPU has the instructions.
                    unsafe { dots(strip, sums) }
                }

                fn fold(self, alpha: T, sums: &mut [T], totals: &mut [T]) {
                    // SAFETY: the token proves that the CPU has the instructions.
                    unsafe { fold(alpha, sums, totals) }
                }
            }

            #[target_feature(enable = $features)]
            fn rows(s: Strip<'_, T>, sums: &mut [T]) {
                stream::add_rows(s.w, s.w_line, s.depth, s.wide, s.x, s.x_k, s.x_q, s.narrow, sums);
            }

            #[target_feature(enable = $features)]
            fn dots(s: Strip<'_, T>, sums: &mut [T]) {
                stream::add_dots(s.w, s.w_line, s.wide, s.depth, s.x, s.x_q, s.narrow, sums);
            }

            #[target_feature(enable = $features)]
            fn fold(alpha: T, sums: &mut [T], totals: &mut [T]) {
                let alpha = lanes::splat(alpha);
                for (sums, totals) in sums.chunks_exact_mut(LANES).zip(totals.chunks_exact_mut(LANES)) {
                    lanes::store(totals, lanes::fma(alpha, lanes::load(sums), lanes::load(totals)));
                    lanes::store(sums, lanes::zero());
                }
            }
        };
    };
}

stream!(super::avx512::F32, "avx512f", crate::isa::stream::f32x16);
stream!(super::avx512::F64, "avx512f", crate::isa::stream::f64x8);
stream!(super::avx2::F32, "avx2,fma", crate::isa::stream::f32x8);
stream!(super::avx2::F64, "avx2,fma", crate::isa::stream::f64x4);
