//! Every level gives the same bits.

use super::*;
use crate::isa::wide::LANES;

/// Everything that the arithmetic can do, as bits.
struct All<'a>([&'a [f32; LANES]; 3]);

impl Compute for All<'_> {
    type Output = Vec<u32>;

    #[inline(always)]
    fn run<L: Math>(self, l: L) -> Vec<u32> {
        let [x, y, z] = self.0.map(|from| l.load(from));
        values(l, x, y, z).into_iter().flat_map(|value| stored(l, value)).collect()
    }
}

#[inline(always)]
fn stored<L: Math>(l: L, value: <L as Wide>::F) -> [u32; LANES] {
    let mut lanes = [0.0; LANES];
    l.store(value, &mut lanes);
    lanes.map(|x| if x.is_nan() { u32::MAX } else { x.to_bits() })
}

#[inline(always)]
fn values<L: Arithmetic>(l: L, x: L::V, y: L::V, z: L::V) -> Vec<L::V> {
    let (a, b) = (l.bits(x), l.bits(y));
    let sums = [l.add(x, y), l.sub(x, y), l.mul(x, y), l.div(x, y), l.fma(x, y, z), l.fnma(x, y, z)];
    let signs = [l.sqrt(x), l.abs(x), l.neg(x), l.with_sign(x, y), l.with_sign(z, x)];
    let choices = [l.min(x, y), l.max(x, y), l.select(l.less(x, y), x, z), l.select(l.at_most(x, y), x, z)];
    let integers = [l.plus(a, b), l.minus(a, b), l.left::<23>(b), l.right::<23>(a), l.plus(a, l.integer(-7))];
    let integers = integers.into_iter().flat_map(|n| [l.of_bits(n), l.value_of(n)]);
    let polynomial = l.polynomial(x, [1.5, -0.5, 0.1]);
    sums.into_iter().chain(signs).chain(choices).chain(integers).chain([polynomial, l.constant(0.7)]).collect()
}

#[test]
fn every_level_gives_the_same_bits() {
    let specials = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        1.5,
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN_POSITIVE,
        1e-45,
        -3e-40,
        0.1,
        -77.25,
        3e30,
        -1e-20,
    ];
    for shift in 0..LANES {
        let turned = |by: usize| std::array::from_fn(|i| specials[(i + by) % LANES]);
        let (x, y, z): ([f32; LANES], [f32; LANES], [f32; LANES]) = (turned(0), turned(shift), turned(3 * shift + 1));
        let scalar = with_math(Isa::Scalar, All([&x, &y, &z])).expect("always there");
        for isa in [Isa::Avx2, Isa::Avx512] {
            // Nothing to compare where the CPU lacks the level.
            if let Ok(bits) = with_math(isa, All([&x, &y, &z])) {
                assert_eq!(bits, scalar, "{isa}, turned by {shift}");
            }
        }
        for lane in 0..LANES {
            let one = values(One, x[lane], y[lane], z[lane]);
            let bits = one.into_iter().map(|x| if x.is_nan() { u32::MAX } else { x.to_bits() });
            assert!(bits.eq(scalar.iter().skip(lane).step_by(LANES).copied()), "one value, lane {lane}");
        }
    }
}
