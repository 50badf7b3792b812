//! Known answers and extremes, of every kernel that can run here.

use etalon_reference::ops::conv2d_int8::CONV2D_INT8;
use etalon_reference::ops::matmul_int8::{S8S8S32, U8S8S32};
use etalon_reference::{DType, Data, Fill, Point, Problem, Types};

use etalon_kernels::call::Signature;
use etalon_kernels::conv2d_int8::KERNELS;
use etalon_kernels::kernel::KernelError;
use etalon_kernels::pool::Pool;
use etalon_kernels::workspace::Workspace;

use super::agreed;

/// The outputs of each kernel, which also agree with the reference.
fn all(types: Types, point: &str, inputs: Vec<Data>) -> Vec<f64> {
    let point = Point::parse(CONV2D_INT8.axes, point).expect("a point");
    let problem = CONV2D_INT8.problem(&point).expect("a problem");
    let fitting = KERNELS.iter().filter(|kernel| kernel.applies(&*problem, types).is_ok());
    agreed(&CONV2D_INT8, types, &point, &inputs, fitting)
}

/// Operands of a convolution to i32, without bias.
fn operands(x: Data, w: Vec<i8>, zx: Data, zw: Vec<i8>) -> Vec<Data> {
    let none = || Data::I32(Vec::new());
    vec![x, Data::I8(w), zx, Data::I8(zw), none(), Data::F32(Vec::new()), none()]
}

#[test]
fn an_image_of_the_zero_point_is_nothing_up_to_its_borders() {
    for layout in ["nchw", "nhwc"] {
        let point = format!("n=2,c=5,h=7,w=6,k=3,r=3,s=3,pt=2,pl=1,pb=1,pr=2,zx=tensor,zw=channel,layout={layout}");
        let w: Vec<i8> = (0..3 * 5 * 9).map(|i| (i * 37 % 256 - 128) as i8).collect();
        for zero in [0u8, 1, 127, 128, 255] {
            let x = Data::U8(vec![zero; 2 * 5 * 42]);
            let y = all(U8S8S32, &point, operands(x, w.clone(), Data::U8(vec![zero]), vec![-128, 0, 127]));
            assert!(y.iter().all(|&y| y == 0.0));
            let (signed, x) = ((zero ^ 0x80) as i8, vec![(zero ^ 0x80) as i8; 2 * 5 * 42]);
            let y = all(S8S8S32, &point, operands(Data::I8(x), w.clone(), Data::I8(vec![signed]), vec![-128, 0, 127]));
            assert!(y.iter().all(|&y| y == 0.0));
        }
    }
}

#[test]
fn extremes_of_a_long_sum_are_exact() {
    for (x, w, zx, zw) in [(255u8, -128i8, 0u8, 127i8), (0, 127, 255, -128), (255, 127, 0, -128), (0, -128, 255, 127)] {
        // 1,566 products: 174 channels by 9 taps.
        let (c, k) = (174, 33);
        let point = format!("c={c},h=4,w=4,k={k},r=3,s=3,layout=nhwc,zx=tensor,zw=channel");
        let (images, filters) = (vec![x; c * 16], vec![w; k * c * 9]);
        let y = all(U8S8S32, &point, operands(Data::U8(images), filters.clone(), Data::U8(vec![zx]), vec![zw; k]));
        let one = f64::from((i32::from(x) - i32::from(zx)) * (i32::from(w) - i32::from(zw)));
        assert!(y.iter().all(|&y| y == one * 1566.0), "{one}");
        let signed = |x: u8| (x ^ 0x80) as i8;
        let images = vec![signed(x); c * 16];
        let same = all(S8S8S32, &point, operands(Data::I8(images), filters, Data::I8(vec![signed(zx)]), vec![zw; k]));
        assert_eq!(y, same);
    }
}

#[test]
fn a_plan_for_another_problem_is_refused() {
    let point = |text: &str| CONV2D_INT8.problem(&Point::parse(CONV2D_INT8.axes, text).expect("a point")).expect("one");
    for (text, another) in [("c=3,h=4,w=4,k=5", "c=4,h=4,w=4,k=5"), ("g=5,h=4,w=4", "g=5,h=4,w=4,s=2")] {
        refused(&*point(text), &*point(another));
    }
}

/// The plan of `other` is refused by all kernels of `problem`.
fn refused(problem: &dyn Problem, other: &dyn Problem) {
    let (inputs, others) = (problem.draw(U8S8S32, Fill::Exact, 1), other.draw(U8S8S32, Fill::Exact, 1));
    let slices = |data: &'static [Data]| data.iter().map(Data::as_slice).collect::<Vec<_>>();
    let (inputs, others) = (slices(inputs.leak()), slices(others.leak()));
    let applies =
        |kernel: &&etalon_kernels::kernel::Kernel| kernel.plan.is_some() && kernel.applies(problem, U8S8S32).is_ok();
    for kernel in KERNELS.iter().filter(applies) {
        let plan = Signature::new(other, U8S8S32).plan(kernel, &others).expect("a plan");
        let signature = Signature::new(problem, U8S8S32);
        let mut y = Data::zeros(DType::I32, 80);
        let (mut outputs, pool, mut workspace) = ([y.as_mut()], Pool::new(1), Workspace::new());
        let mut call = signature.call(&inputs, &mut outputs, &pool, &mut workspace, plan.as_ref()).expect("a call");
        assert!(matches!((kernel.run)(&mut call), Err(KernelError::Unsupported(_))), "{}", kernel.name);
    }
}
