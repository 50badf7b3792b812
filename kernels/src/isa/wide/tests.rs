//! Every level gives the same bits.

use super::*;
use crate::gemm::Float;

/// Everything the lanes can do, as bits.
struct All<'a, T> {
    x: &'a [T],
    y: &'a [T],
}

impl<T: Float> Work<T> for All<'_, T> {
    type Output = Vec<u64>;

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) -> Vec<u64> {
        let [one, two, many] = [1.0, 2.0, 9.0].map(T::from_f64);
        let mut bits = Vec::new();
        for n in 0..=T::LANES {
            let (x, y) = (l.load_first(&self.x[..n]), l.load_first(&self.y[..n]));
            let exact =
                [x, l.add(x, y), l.sub(x, y), l.mul(x, y), l.div(x, y), l.sqrt(x), l.fma(x, y, x), l.evens(x, y)];
            let others = [l.relu(x), l.gate(x, y), l.first(l.splat(two), n)];
            let (low, high) = (&self.x[..T::LANES / 2], &self.y[T::LANES / 2..]);
            let square = T::lanes(|i| if i < n { x } else { l.halves(low, high) });
            let others = others.into_iter().chain(l.transpose(square));
            let results = exact.into_iter().chain(others);
            for result in results {
                let mut full = T::lanes(|_| many);
                l.store(result, &mut full);
                let mut part = T::lanes(|_| many);
                l.store_first(result, &mut part.as_mut()[..n]);
                let mut line = Line::<T>(part);
                l.stream(result, &mut line);
                l.fence();
                let of = |lanes: &T::Lanes<T>| T::erase(lanes.as_ref()).to_data().bits();
                assert_eq!(of(&full), of(&line.0));
                bits.extend(of(&full).into_iter().chain(of(&part)));
                bits.extend(T::erase(&[l.sum(l.first(l.splat(one), n))]).to_data().bits());
            }
        }
        bits
    }
}

fn compare<T: Float>() {
    let least = f64::from(f32::from_bits(1));
    let x: Vec<T> = [1.5, -2.0, f64::NAN, 0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, least]
        .repeat(2)
        .into_iter()
        .map(T::from_f64)
        .collect();
    let x = &x[..T::LANES];
    let y: Vec<T> = (0..T::LANES).map(|i| T::from_f64([f64::NAN, 0.0, -0.0, 1.0, -1.0][i % 5])).collect();
    let scalar = with_lanes(Isa::Scalar, All { x, y: &y }).expect("always there");
    for isa in [Isa::Avx2, Isa::Avx512] {
        match with_lanes(isa, All { x, y: &y }) {
            Ok(bits) => assert_eq!(bits, scalar, "{isa}"),
            Err(reason) => eprintln!("skipped: {reason}"),
        }
    }
}

#[test]
fn every_level_gives_the_same_bits() {
    compare::<f32>();
    compare::<f64>();
}

fn cover<T: Float>() {
    let mut data = [T::default(); 200];
    let part = &mut data[3..150];
    let (head, middle, tail) = lines(part);
    assert!(head.len() < T::LANES && tail.len() < T::LANES);
    assert_eq!(head.len() + T::LANES * middle.len() + tail.len(), 147);
}

#[test]
fn lines_cover_the_part() {
    cover::<f32>();
    cover::<f64>();
}
