//! Narrowing f64 to f16 and bf16 rounds once: on chosen values, and against exact arithmetic.

use etalon_reference::{DType, Data, narrow};
use half::{bf16, f16};
use proptest::prelude::*;

/// The number of a bit pattern, exactly.
type Widen = fn(u16) -> f64;
/// The bit pattern that a value is rounded to.
type Narrow = fn(f64) -> u16;

struct Type {
    dtype: DType,
    widen: Widen,
    narrow: Narrow,
    /// The bit pattern of infinity: finite numbers of positive sign are below it, in order.
    infinity: u16,
    /// Where infinity would lie if it were a number.
    beyond: f64,
}

fn types() -> [Type; 2] {
    [
        Type {
            dtype: DType::F16,
            widen: |bits| f16::from_bits(bits).to_f64(),
            narrow: |value| narrow::to_f16(value).to_bits(),
            infinity: f16::INFINITY.to_bits(),
            beyond: 2f64.powi(16),
        },
        Type {
            dtype: DType::Bf16,
            widen: |bits| bf16::from_bits(bits).to_f64(),
            narrow: |value| narrow::to_bf16(value).to_bits(),
            infinity: bf16::INFINITY.to_bits(),
            beyond: 2f64.powi(128),
        },
    ]
}

impl Type {
    /// The place of a pattern of positive sign on the line of numbers.
    fn place(&self, bits: u16) -> f64 {
        if bits == self.infinity { self.beyond } else { (self.widen)(bits) }
    }
}

const NEGATIVE: u16 = 1 << 15;

#[test]
fn chosen_values_are_rounded_once() {
    let two = |exponent: i32| 2f64.powi(exponent);
    let halves = [
        (two(-14) - two(-25) - two(-65), 0x03ff),
        (two(-14) - two(-25), 0x0400),
        (2047.4999999850988, 0x67ff),
        (2047.5, 0x6800),
        (65519.99999999, 0x7bff),
        (65520.0, 0x7c00),
        (1.0 + two(-11) + two(-40), 0x3c01),
        (1.0 + two(-11), 0x3c00),
        (two(-25), 0x0000),
        (two(-25) + two(-77), 0x0001),
        (two(-1074), 0x0000),
        (f64::MAX, 0x7c00),
        (f64::INFINITY, 0x7c00),
        (0.0, 0x0000),
        (-0.0, 0x8000),
    ];
    let brains = [(1.0 + two(-8) + two(-40), 0x3f81), (1.0 + two(-8), 0x3f80), (two(-134), 0), (1.5 * two(-134), 1)];
    for (value, bits) in halves {
        assert_eq!(narrow::to_f16(value).to_bits(), bits, "{value:e} as f16");
    }
    for (value, bits) in brains {
        assert_eq!(narrow::to_bf16(value).to_bits(), bits, "{value:e} as bf16");
    }
}

#[test]
fn nan_stays_nan() {
    // Cutting this one to its upper half gives infinity.
    let quiet_in_the_lower_half = f64::from(f32::from_bits(0x7f80_0001));
    let smallest = f64::from_bits(f64::INFINITY.to_bits() + 1);
    for nan in [f64::NAN, -f64::NAN, quiet_in_the_lower_half, smallest, -smallest] {
        assert!(narrow::to_f16(nan).is_nan() && narrow::to_bf16(nan).is_nan(), "{:x}", nan.to_bits());
    }
}

#[test]
fn every_number_stays_itself() {
    for kind in types() {
        for bits in 0..=u16::MAX {
            let value = (kind.widen)(bits);
            if value.is_nan() {
                assert!((kind.widen)((kind.narrow)(value)).is_nan());
            } else {
                assert_eq!((kind.narrow)(value), bits, "{} {value:e}", kind.dtype);
            }
        }
    }
}

/// Midpoints between neighbours have one bit more than these, so that f64 holds them exactly; its own neighbours of a midpoint
/// are on this side and on that.
#[test]
fn every_midpoint_goes_to_the_even_neighbour_and_no_other_value_does() {
    for kind in types() {
        for below in 0..kind.infinity {
            let above = below + 1;
            let middle = (kind.place(below) + kind.place(above)) / 2.0;
            let even = if below % 2 == 0 { below } else { above };
            for (value, bits) in [(middle.next_down(), below), (middle, even), (middle.next_up(), above)] {
                assert_eq!((kind.narrow)(value), bits, "{} {value:e}", kind.dtype);
                assert_eq!((kind.narrow)(-value), bits | NEGATIVE, "{} {:e}", kind.dtype, -value);
            }
        }
    }
}

proptest! {
    /// Any f64 lies between two neighbours, of which the nearer is taken: the midpoint between them decides, exactly.
    #[test]
    fn any_value_goes_to_the_nearer_neighbour(bits in any::<u64>(), exponent in -160i32..140) {
        // All exponents of f64, and those that the narrow types have.
        let significand = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
        for value in [f64::from_bits(bits).abs(), significand * 2f64.powi(exponent)] {
            if value.is_nan() {
                continue;
            }
            for kind in types() {
                let numbers: Vec<f64> = (0..=kind.infinity).map(|bits| kind.place(bits)).collect();
                let above = numbers.partition_point(|number| *number <= value);
                let expected = if above == numbers.len() {
                    kind.infinity
                } else {
                    let middle = (numbers[above - 1] + numbers[above]) / 2.0;
                    let (below, above) = (above as u16 - 1, above as u16);
                    if value < middle || value == middle && below % 2 == 0 { below } else { above }
                };
                prop_assert_eq!((kind.narrow)(value), expected, "{} {:e}", kind.dtype, value);
            }
        }
    }
}

#[test]
fn buffers_and_rounding_take_the_same_way() {
    let values =
        [2f64.powi(-14) - 2f64.powi(-25) - 2f64.powi(-65), 65519.99999999, 1.0 + 2f64.powi(-8) + 2f64.powi(-40)];
    for kind in types() {
        let expected = values.map(|value| (kind.widen)((kind.narrow)(value)));
        assert_eq!(Data::from_f64(kind.dtype, &values).to_f64(), expected);
        assert_eq!(values.map(|value| kind.dtype.round(value)), expected);
    }
}

/// Every pattern of the 8-bit floats, and every midpoint between neighbours with the numbers beside it.
#[test]
fn the_8_bit_floats_are_rounded_once_everywhere() {
    for dtype in [DType::E4m3, DType::E5m2] {
        let value = |bits: u64| Data::from_bits(dtype, std::iter::once(bits)).to_f64()[0];
        let finite: Vec<u64> = (0..128).filter(|&bits| value(bits).is_finite()).collect();
        let numbers = if dtype == DType::E4m3 { 127 } else { 124 };
        assert_eq!((finite.len(), value(*finite.last().expect("numbers"))), (numbers, dtype.max_finite()));
        for bits in 0..256u64 {
            let (x, back) = (value(bits), dtype.round(value(bits)));
            assert!(
                x == back && x.is_sign_negative() == back.is_sign_negative() || x.is_nan() && back.is_nan(),
                "{bits:x}"
            );
            assert!(x.is_nan() || x.is_sign_negative() == (bits >= 128), "{bits:x}");
        }
        for pair in finite.windows(2) {
            let (low, high) = (value(pair[0]), value(pair[1]));
            assert!(low < high, "patterns of positive sign ascend");
            let middle = low + (high - low) / 2.0;
            let even = if pair[0].is_multiple_of(2) { low } else { high };
            for sign in [1.0, -1.0] {
                assert_eq!(dtype.round(sign * middle), sign * even, "{middle}");
                assert_eq!(dtype.round(sign * middle.next_down()), sign * low, "below {middle}");
                assert_eq!(dtype.round(sign * middle.next_up()), sign * high, "above {middle}");
            }
        }
        // Half a step beyond the largest number is the first that is too large.
        let (most, before) = (dtype.max_finite(), value(finite[finite.len() - 2]));
        let edge = most + (most - before) / 2.0;
        assert_eq!(dtype.round(edge.next_down()), most);
        let beyond = [edge.next_up(), f64::MAX, f64::INFINITY].map(|x| dtype.round(x));
        let too_large = |x: f64| if dtype == DType::E4m3 { x.is_nan() } else { x == f64::INFINITY };
        assert!(beyond.into_iter().all(too_large), "{beyond:?}");
    }
}
