//! Known answers and extremes, of every kernel that can run here.

use etalon_reference::ops::matmul_int8::{MATMUL_INT8, S8S8S32, U8S8S32, U8S8U8};
use etalon_reference::{Data, Point, Problem, Types};

use etalon_kernels::matmul_int8::KERNELS;

use super::agreed;

/// The outputs of each kernel, which also agree with the reference.
fn all(types: Types, point: &str, fill: impl Fn(&dyn Problem) -> Vec<Data>) -> Vec<f64> {
    let point = Point::parse(MATMUL_INT8.axes, point).expect("a point");
    let inputs = fill(&*MATMUL_INT8.problem(&point).expect("a problem"));
    let usable = KERNELS.iter().filter(|kernel| kernel.usable().is_ok());
    agreed(&MATMUL_INT8, types, &point, &inputs, usable)
}

/// Operands of a product in i32, without bias.
fn operands(a: Data, b: &[i8], za: Data, zb: &[i8]) -> Vec<Data> {
    let none = || Data::I32(Vec::new());
    vec![a, Data::I8(b.to_vec()), za, Data::I8(zb.to_vec()), none(), Data::F32(Vec::new()), none()]
}

#[test]
fn pairs_of_products_do_not_saturate() {
    let out = all(U8S8S32, "k=2", |_| operands(Data::U8(vec![255; 2]), &[127; 2], Data::U8(vec![]), &[]));
    assert_eq!(out, [64770.0]);
    let out = all(S8S8S32, "k=32", |_| operands(Data::I8(vec![-1; 32]), &[-128; 32], Data::I8(vec![]), &[]));
    assert_eq!(out, [4096.0]);
}

#[test]
fn zero_points_on_both_sides() {
    let a = vec![238, 115, 94, 245, 111, 102, 158, 225, 48];
    let b = [25, 36, 125, 42, -123, 76, -81, -86, 35];
    let out = all(U8S8S32, "m=3,n=3,k=3,za=tensor,zb=tensor", |_| {
        operands(Data::U8(a.clone()), &b, Data::U8(vec![42]), &[-26])
    });
    assert_eq!(out, [12100.0, 1951.0, 40214.0, 11745.0, 2293.0, 41351.0, 18030.0, -10919.0, 36548.0]);
}

#[test]
fn extremes_of_a_long_sum_are_exact() {
    for (a, b, za, zb) in [(255u8, -128i8, 0u8, 127i8), (0, 127, 255, -128), (255, 127, 0, -128), (0, -128, 255, 127)] {
        let (m, n, k) = (13, 33, 1567);
        let point = format!("m={m},n={n},k={k},za=tensor,zb=column");
        let out = all(U8S8S32, &point, |_| {
            operands(Data::U8(vec![a; m * k]), &vec![b; k * n], Data::U8(vec![za]), &vec![zb; n])
        });
        let one = f64::from((i32::from(a) - i32::from(za)) * (i32::from(b) - i32::from(zb)));
        assert!(out.iter().all(|&y| y == one * k as f64));
        let signed = |x: u8| (x ^ 0x80) as i8;
        let same = all(S8S8S32, &point, |_| {
            operands(Data::I8(vec![signed(a); m * k]), &vec![b; k * n], Data::I8(vec![signed(za)]), &vec![zb; n])
        });
        assert_eq!(out, same);
    }
}

#[test]
fn requantization_saturates_at_both_ends_and_rounds_ties_to_even() {
    let out = |a: u8, scale: f32| {
        all(U8S8U8, "k=1", |_| {
            let (b, none) = (if a == 0 { -1 } else { 1 }, || Data::U8(Vec::new()));
            let bias = Data::I32(Vec::new());
            let zo = Data::U8(vec![0]);
            vec![
                Data::U8(vec![a.max(1)]),
                Data::I8(vec![b]),
                none(),
                Data::I8(vec![]),
                bias,
                Data::F32(vec![scale]),
                zo,
            ]
        })[0]
    };
    // 30/0.1, −0.1/0.1, ties.
    assert_eq!([out(30, 10.0), out(0, 1.0), out(1, 0.5), out(3, 0.5), out(5, 0.5)], [255.0, 0.0, 0.0, 2.0, 2.0]);
}

#[test]
fn sums_wrap() {
    // 255·255·k is beyond i32 from k = 33,026 on.
    let k = 40_000;
    let out = all(U8S8S32, &format!("n=2,k={k},zb=tensor"), |_| {
        operands(Data::U8(vec![255; k]), &vec![127; 2 * k], Data::U8(vec![]), &[-128])
    });
    assert_eq!(out, [f64::from((255 * 255 * k as i64) as i32); 2]);
}
