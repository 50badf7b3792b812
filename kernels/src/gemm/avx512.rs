//! AVX-512 tiles: 12×32 f32 and 12×16 f64, 24 accumulators, two registers of B, six for broadcasts of A.

use super::tile::tile;

tile!(
    /// 12×32 f32.
    f32_12x32, "avx512f,avx2,fma", crate::isa::tile::f32_12x32, crate::isa::avx512::f32x16, crate::isa::avx512::transpose32,
    [1 2 3 4 5 6 7 8 9 10 11 12]
);
tile!(
    /// 12×16 f64.
    f64_12x16, "avx512f,avx2,fma", crate::isa::tile::f64_12x16, crate::isa::avx512::f64x8, crate::isa::avx512::transpose64,
    [1 2 3 4 5 6 7 8 9 10 11 12]
);

pub use f32_12x32::TileOf as F32;
pub use f64_12x16::TileOf as F64;
