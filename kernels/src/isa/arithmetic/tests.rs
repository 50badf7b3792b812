//! Every level gives the same bits.

use super::*;

macro_rules! same_bits {
    ($name:ident, $t:ident, $bits:ty, $digits:literal, $small:literal, [$($special:expr),*]) => {
        mod $name {
            use super::*;

            const LANES: usize = <$t as Vectors>::LANES;

            /// Everything that the arithmetic can do, as bits.
            struct All<'a>([&'a [$t; LANES]; 3]);

            impl Compute<$t> for All<'_> {
                type Output = Vec<$bits>;

                #[inline(always)]
                fn run<L: Math<$t>>(self, l: L) -> Vec<$bits> {
                    let [x, y, z] = self.0.map(|from| l.load(from));
                    values(l, x, y, z).into_iter().flat_map(|value| stored(l, value)).collect()
                }
            }

            fn bits(x: $t) -> $bits {
                if x.is_nan() { <$bits>::MAX } else { x.to_bits() }
            }

            #[inline(always)]
            fn stored<L: Math<$t>>(l: L, value: <L as Wide<$t>>::F) -> [$bits; LANES] {
                let mut lanes = [0.0; LANES];
                l.store(value, &mut lanes);
                lanes.map(bits)
            }

            #[inline(always)]
            fn values<L: Arithmetic<$t>>(l: L, x: L::V, y: L::V, z: L::V) -> Vec<L::V> {
                let (a, b) = (l.bits(x), l.bits(y));
                let sums = [l.add(x, y), l.sub(x, y), l.mul(x, y), l.div(x, y), l.fma(x, y, z), l.fnma(x, y, z)];
                let signs = [l.sqrt(x), l.abs(x), l.neg(x), l.with_sign(x, y), l.with_sign(z, x)];
                let choices = [l.min(x, y), l.max(x, y), l.select(l.less(x, y), x, z), l.select(l.at_most(x, y), x, z)];
                let integers = [
                    l.plus(a, b),
                    l.minus(a, b),
                    l.left::<$digits>(b),
                    l.right::<1>(a),
                    l.right::<$digits>(a),
                    l.plus(a, l.integer(-7)),
                ];
                // Whose values are exact in f64.
                let integers = integers.into_iter().flat_map(|n| [l.of_bits(n), l.value_of(l.right::<$small>(n))]);
                let polynomial = l.polynomial(x, [1.5, -0.5, 0.1]);
                sums.into_iter()
                    .chain(signs)
                    .chain(choices)
                    .chain(integers)
                    .chain([polynomial, l.constant(0.7)])
                    .collect()
            }

            #[test]
            fn every_level_gives_the_same_bits() {
                let specials: &[$t] = &[$($special),*];
                for shift in 0..specials.len() {
                    let turned = |by: usize| std::array::from_fn(|i| specials[(i + by) % specials.len()]);
                    let (x, y, z): ([$t; LANES], [$t; LANES], [$t; LANES]) =
                        (turned(shift / 2), turned(shift), turned(3 * shift + 1));
                    let scalar = with_math::<$t, _>(Isa::Scalar, All([&x, &y, &z])).expect("always there");
                    for isa in [Isa::Avx2, Isa::Avx512] {
                        // Nothing to compare where the CPU lacks the level.
                        if let Ok(bits) = with_math::<$t, _>(isa, All([&x, &y, &z])) {
                            assert_eq!(bits, scalar, "{isa}, turned by {shift}");
                        }
                    }
                    for lane in 0..LANES {
                        let one = values(One, x[lane], y[lane], z[lane]).into_iter().map(bits);
                        assert!(one.eq(scalar.iter().skip(lane).step_by(LANES).copied()), "one value, lane {lane}");
                    }
                }
            }
        }
    };
}

same_bits!(
    single,
    f32,
    u32,
    23,
    0,
    [
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
        -1e-20
    ]
);

same_bits!(
    double,
    f64,
    u64,
    52,
    13,
    [
        0.0,
        -0.0,
        1.0,
        -1.0,
        1.5,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        f64::MIN_POSITIVE,
        5e-324,
        -3e-310,
        0.1,
        -77.25,
        3e300,
        -1e-200
    ]
);
