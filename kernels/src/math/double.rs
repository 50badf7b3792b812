//! Functions of f64, as those of f32 are made: the same bits on scalar, AVX2 and AVX-512.
//!
//! Polynomials are minimax fits (Remez' exchange), their coefficients rounded to f64; the error stands beside each.

use std::f64::consts::LOG2_E;

use crate::isa::arithmetic::Arithmetic;

/// ln 2 in two parts. The first has 40 bits, so that a multiple up to 2¹³ is exact.
const LN_2: [f64; 2] = [0.693_147_180_559_208_2, 7.371_002_565_167_799e-13];
/// 1.5·2⁵². Adding it rounds to an integer, which then stands in the low bits.
const SHIFT: f64 = 6_755_399_441_055_744.0;
/// Above, the result is infinite.
const HIGHEST: f64 = 710.0;
/// Below, the result is zero, and 2ⁿ still is a product of two normal numbers.
const LOWEST: f64 = -760.0;

/// e^x as `2ⁿ·(1 + rest)`, |rest| < 0.42, n between −1097 and 1024.
struct Parts<L: Arithmetic<f64>> {
    rest: L::V,
    n: L::V,
    bits: L::I,
}

impl<L: Arithmetic<f64>> Parts<L> {
    /// Of x between −760 and 710, or NaN.
    #[inline(always)]
    fn of(l: L, x: L::V) -> Parts<L> {
        let shifted = l.fma(x, l.constant(LOG2_E), l.constant(SHIFT));
        let n = l.sub(shifted, l.constant(SHIFT));
        let r = l.fnma(n, l.constant(LN_2[0]), x);
        let r = l.fnma(n, l.constant(LN_2[1]), r);
        // (e^r − 1 − r)/r² for |r| ≤ ln 2/2; e^r − 1 is off by 2⁻⁵⁸ of itself.
        let q = l.polynomial(
            r,
            [
                0.5,
                0.166_666_666_666_666_82,
                0.041_666_666_666_666_09,
                0.008_333_333_333_316_918,
                0.001_388_888_888_911_726_4,
                1.984_126_989_668_096_4e-4,
                2.480_158_692_461_513_3e-5,
                2.755_723_455_860_416_7e-6,
                2.755_758_278_098_415e-7,
                2.511_214_459_103_865_3e-8,
                2.082_654_199_111_310_3e-9,
            ],
        );
        let rest = l.fma(l.mul(r, r), q, r);
        Parts { rest, n, bits: l.minus(l.bits(shifted), l.integer(SHIFT.to_bits() as i64)) }
    }

    /// e^−|x|.
    #[inline(always)]
    fn of_negative(l: L, magnitude: L::V) -> Parts<L> {
        Parts::of(l, l.neg(l.min(l.constant(-LOWEST), magnitude)))
    }

    /// e^x. Both factors of 2ⁿ are normal; only the second product can round, and only to a subnormal number.
    #[inline(always)]
    fn value(&self, l: L) -> L::V {
        let x = l.add(self.rest, l.constant(1.0));
        let half = l.right::<1>(self.bits);
        l.mul(l.mul(x, power(l, half)), power(l, l.minus(self.bits, half)))
    }

    /// e^x − 1, for n ≥ −1021.
    #[inline(always)]
    fn minus_one(&self, l: L) -> L::V {
        // Halved, 2ⁿ does not overflow.
        let half = l.of_bits(l.left::<52>(l.plus(self.bits, l.integer(1022))));
        let y = l.fma(half, self.rest, l.sub(half, l.constant(0.5)));
        // Where n is 0, halving could lose a bit of a subnormal number.
        let zero = l.at_most(l.abs(self.n), l.constant(0.0));
        l.select(zero, self.rest, l.add(y, y))
    }
}

/// 2ⁿ for n between −1022 and 1023.
#[inline(always)]
fn power<L: Arithmetic<f64>>(l: L, n: L::I) -> L::V {
    l.of_bits(l.left::<52>(l.plus(n, l.integer(1023))))
}

/// e^x, within one unit in the last place.
#[inline(always)]
pub fn exp<L: Arithmetic<f64>>(l: L, x: L::V) -> L::V {
    Parts::of(l, l.min(l.constant(HIGHEST), l.max(l.constant(LOWEST), x))).value(l)
}

/// 2^x for x ≤ 0, within two units in the last place: 0 below −1021, where 2ⁿ times the polynomial could be subnormal.
/// NaN for NaN.
#[inline(always)]
pub fn exp2_below_0<L: Arithmetic<f64>>(l: L, x: L::V) -> L::V {
    const LEAST: f64 = -1021.0;
    let shifted = l.add(x, l.constant(SHIFT));
    let r = l.sub(x, l.sub(shifted, l.constant(SHIFT)));
    // 2^r for |r| ≤ ½, off by 2⁻⁶⁴ of itself.
    let p = l.polynomial(
        r,
        [
            1.0,
            std::f64::consts::LN_2,
            0.240_226_506_959_100_72,
            0.055_504_108_664_821_69,
            0.009_618_129_107_628_33,
            0.001_333_355_814_639_269,
            1.540_353_039_364_063_3e-4,
            1.525_273_385_431_839_4e-5,
            1.321_548_659_499_137e-6,
            1.017_805_194_191_918_7e-7,
            7.054_974_447_312_059e-9,
            4.456_570_515_393_738_5e-10,
            2.562_546_481_557_957e-11,
        ],
    );
    let y = l.of_bits(l.plus(l.bits(p), l.left::<52>(l.bits(shifted))));
    l.select(l.at_most(l.constant(LEAST), x), y, l.max(l.constant(0.0), x))
}

/// The bits of 2/3: mantissas from there to twice as much.
const TWO_THIRDS: i64 = 0x3fe5_5555_5555_5555;

/// log(1 + f) + e·ln 2, for f between −1/3 and 1/3.
///
/// With s = f/(2 + f) the logarithm is 2·artanh(s) = f − (f²/2 − s·(f²/2 + s²·P(s²))): what is rounded is small beside f.
#[inline(always)]
fn sum<L: Arithmetic<f64>>(l: L, f: L::V, e: L::V) -> L::V {
    let s = l.div(f, l.add(l.constant(2.0), f));
    let z = l.mul(s, s);
    // (2·artanh(s)/s − 2)/s², off by 2⁻⁶² of the logarithm.
    let p = l.polynomial(
        z,
        [
            0.666_666_666_666_666_3,
            0.400_000_000_000_379,
            0.285_714_285_592_313_6,
            0.222_222_239_901_423_45,
            0.181_816_810_563_770_47,
            0.153_906_903_773_179_67,
            0.131_797_507_713_354_27,
            0.138_063_131_214_242_77,
        ],
    );
    let half = l.mul(l.mul(f, f), l.constant(0.5));
    let small = l.fma(s, l.fma(z, p, half), l.mul(e, l.constant(LN_2[1])));
    l.fma(e, l.constant(LN_2[0]), l.sub(f, l.sub(half, small)))
}

/// The natural logarithm, within one unit in the last place: −∞ for ±0, NaN below.
#[inline(always)]
pub fn log<L: Arithmetic<f64>>(l: L, x: L::V) -> L::V {
    // Subnormal numbers times 2⁵⁴ are normal.
    let subnormal = l.less(x, l.constant(f64::MIN_POSITIVE));
    let normal = l.select(subnormal, l.mul(x, l.constant(18_014_398_509_481_984.0)), x);
    let e = l.right::<52>(l.minus(l.bits(normal), l.integer(TWO_THIRDS)));
    let m = l.of_bits(l.minus(l.bits(normal), l.left::<52>(e)));
    let e = l.sub(l.value_of(e), l.select(subnormal, l.constant(54.0), l.constant(0.0)));
    let y = sum(l, l.sub(m, l.constant(1.0)), e);
    let not_above = l.select(l.less(x, l.constant(0.0)), l.constant(f64::NAN), l.constant(f64::NEG_INFINITY));
    let y = l.select(l.less(l.constant(0.0), x), y, not_above);
    // ∞ and NaN.
    l.select(l.less(x, l.constant(f64::INFINITY)), y, x)
}

/// 1/(1 + e^−x), within 3 units in the last place.
#[inline(always)]
pub fn sigmoid<L: Arithmetic<f64>>(l: L, x: L::V) -> L::V {
    let one = l.constant(1.0);
    let z = Parts::of_negative(l, l.abs(x)).value(l);
    // Below 0 as e^x/(1 + e^x).
    l.div(l.select(l.less(x, l.constant(0.0)), z, one), l.add(one, z))
}

/// tanh, within 3 units in the last place: (e^2|x| − 1)/(e^2|x| + 1) with the sign of x.
#[inline(always)]
pub fn tanh<L: Arithmetic<f64>>(l: L, x: L::V) -> L::V {
    // Above 19.1 the result is 1.
    let a = l.min(l.constant(20.0), l.abs(x));
    let t = Parts::of(l, l.add(a, a)).minus_one(l);
    l.with_sign(l.div(t, l.add(t, l.constant(2.0))), x)
}

/// log(1 + e^x), within 3 units in the last place: max(x, 0) + log(1 + e^−|x|).
#[inline(always)]
pub fn softplus<L: Arithmetic<f64>>(l: L, x: L::V) -> L::V {
    let z = Parts::of_negative(l, l.abs(x)).value(l);
    // Of 1 + z, between 1 and 2, the mantissa less 1 is z, or z/2 − ½ with an exponent of 1.
    let (half, one) = (l.constant(0.5), l.constant(1.0));
    let above = l.less(l.constant(1.0 / 3.0), z);
    let f = l.select(above, l.fma(z, half, l.neg(half)), z);
    let e = l.select(above, one, l.constant(0.0));
    l.add(l.max(l.constant(0.0), x), sum(l, f, e))
}
