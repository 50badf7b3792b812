//! Vectors of plain Rust.

use super::{Line, Wide, Work};

/// Lanes of plain Rust.
#[derive(Clone, Copy, Debug)]
pub struct Scalar;

macro_rules! scalar {
    ($t:ty, $lanes:literal) => {
        impl Wide<$t> for Scalar {
            type F = [$t; $lanes];
            type Which = [bool; $lanes];

            #[inline(always)]
            fn enter<W: Work<$t>>(self, work: W) -> W::Output {
                work.run(self)
            }
            #[inline(always)]
            fn splat(self, x: $t) -> Self::F {
                [x; $lanes]
            }
            #[inline(always)]
            fn load(self, from: &[$t; $lanes]) -> Self::F {
                *from
            }
            #[inline(always)]
            fn load_first(self, from: &[$t]) -> Self::F {
                let mut x = [0.0; $lanes];
                x[..from.len()].copy_from_slice(from);
                x
            }
            #[inline(always)]
            fn halves(self, low: &[$t], high: &[$t]) -> Self::F {
                let (low, high) = (&low[..$lanes / 2], &high[..$lanes / 2]);
                std::array::from_fn(|i| if i < $lanes / 2 { low[i] } else { high[i - $lanes / 2] })
            }
            #[inline(always)]
            fn store(self, x: Self::F, to: &mut [$t; $lanes]) {
                *to = x;
            }
            #[inline(always)]
            fn store_first(self, x: Self::F, to: &mut [$t]) {
                to.copy_from_slice(&x[..to.len()]);
            }
            #[inline(always)]
            fn stream(self, x: Self::F, to: &mut Line<$t>) {
                to.0 = x;
            }
            #[inline(always)]
            fn fence(self) {}
            #[inline(always)]
            fn prefetch<E>(self, _: &[E], _: usize) {}
            #[inline(always)]
            fn first(self, x: Self::F, n: usize) -> Self::F {
                std::array::from_fn(|i| if i < n { x[i] } else { 0.0 })
            }
            #[inline(always)]
            fn add(self, x: Self::F, y: Self::F) -> Self::F {
                std::array::from_fn(|i| x[i] + y[i])
            }
            #[inline(always)]
            fn sub(self, x: Self::F, y: Self::F) -> Self::F {
                std::array::from_fn(|i| x[i] - y[i])
            }
            #[inline(always)]
            fn mul(self, x: Self::F, y: Self::F) -> Self::F {
                std::array::from_fn(|i| x[i] * y[i])
            }
            #[inline(always)]
            fn sqrt(self, x: Self::F) -> Self::F {
                x.map(<$t>::sqrt)
            }
            #[inline(always)]
            fn div(self, x: Self::F, y: Self::F) -> Self::F {
                std::array::from_fn(|i| x[i] / y[i])
            }
            #[inline(always)]
            fn fma(self, x: Self::F, y: Self::F, z: Self::F) -> Self::F {
                std::array::from_fn(|i| x[i].mul_add(y[i], z[i]))
            }
            #[inline(always)]
            fn evens(self, x: Self::F, y: Self::F) -> Self::F {
                std::array::from_fn(|i| if i < $lanes / 2 { x[2 * i] } else { y[2 * i - $lanes] })
            }
            #[inline(always)]
            fn transpose(self, x: [Self::F; $lanes]) -> [Self::F; $lanes] {
                std::array::from_fn(|i| std::array::from_fn(|j| x[j][i]))
            }
            #[inline(always)]
            fn relu(self, x: Self::F) -> Self::F {
                x.map(|x| if x < 0.0 { 0.0 } else { x })
            }
            #[inline(always)]
            fn gate(self, x: Self::F, y: Self::F) -> Self::F {
                std::array::from_fn(|i| if y[i] <= 0.0 { 0.0 } else { x[i] })
            }
            #[inline(always)]
            fn beats(self, x: Self::F, y: Self::F) -> Self::Which {
                std::array::from_fn(|i| x[i] > y[i] || x[i].is_nan())
            }
            #[inline(always)]
            fn same(self, x: Self::F, y: Self::F) -> Self::Which {
                std::array::from_fn(|i| x[i] == y[i])
            }
            #[inline(always)]
            fn pick(self, there: Self::Which, yes: Self::F, no: Self::F) -> Self::F {
                std::array::from_fn(|i| if there[i] { yes[i] } else { no[i] })
            }
            #[inline(always)]
            fn either(self, x: Self::Which, y: Self::Which) -> Self::Which {
                std::array::from_fn(|i| x[i] || y[i])
            }
            #[inline(always)]
            fn everywhere(self, x: Self::Which) -> bool {
                x == [true; $lanes]
            }
        }
    };
}

scalar!(f32, 16);
scalar!(f64, 8);
