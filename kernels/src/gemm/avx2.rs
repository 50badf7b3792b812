//! AVX2 tiles: 6×16 f32 and 6×8 f64, 12 accumulators, two registers of B, two for broadcasts of A.

use super::tile::tile;

tile!(
    /// 6×16 f32.
    f32_6x16, "avx2,fma", crate::isa::tile::f32_6x16, crate::isa::avx2::f32x8, crate::isa::avx2::transpose32, [1 2 3 4 5 6]
);
tile!(
    /// 6×8 f64.
    f64_6x8, "avx2,fma", crate::isa::tile::f64_6x8, crate::isa::avx2::f64x4, crate::isa::avx2::transpose64, [1 2 3 4 5 6]
);

pub use f32_6x16::TileOf as F32;
pub use f64_6x8::TileOf as F64;
