//! Every level gives the same bits.

use super::*;

/// Everything the lanes can do, as bits.
struct All<'a> {
    x: &'a [f32],
    y: &'a [f32],
}

impl Work for All<'_> {
    type Output = Vec<u32>;

    #[inline(always)]
    fn run<L: Wide>(self, l: L) -> Vec<u32> {
        let mut bits = Vec::new();
        for n in 0..=LANES {
            let (x, y) = (l.load_first(&self.x[..n]), l.load_first(&self.y[..n]));
            let exact = [x, l.add(x, y), l.sub(x, y), l.mul(x, y), l.fma(x, y, x), l.evens(x, y)];
            let others = [l.relu(x), l.gate(x, y), l.first(l.splat(2.0), n)];
            let (low, high) = (self.x.first_chunk().expect("eight"), self.y.last_chunk().expect("eight"));
            let square = std::array::from_fn(|i| if i < n { x } else { l.halves(low, high) });
            let others = others.into_iter().chain(l.transpose(square));
            let results = exact.into_iter().chain(others);
            for result in results {
                let mut full = [7.0; LANES];
                l.store(result, &mut full);
                let mut part = [9.0; LANES];
                l.store_first(result, &mut part[..n]);
                let mut line = Line([5.0; LANES]);
                l.stream(result, &mut line);
                l.fence();
                assert_eq!(full.map(f32::to_bits), line.0.map(f32::to_bits));
                bits.extend(full.iter().chain(&part).map(|x| if x.is_nan() { u32::MAX } else { x.to_bits() }));
                bits.push(l.sum(l.first(l.splat(1.0), n)).to_bits());
            }
        }
        bits
    }
}

#[test]
fn every_level_gives_the_same_bits() {
    let x: Vec<f32> = [1.5, -2.0, f32::NAN, 0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, 1e-45].repeat(2);
    let y: Vec<f32> = (0..LANES).map(|i| [f32::NAN, 0.0, -0.0, 1.0, -1.0][i % 5]).collect();
    let scalar = with_lanes(Isa::Scalar, All { x: &x, y: &y }).expect("always there");
    for isa in [Isa::Avx2, Isa::Avx512] {
        match with_lanes(isa, All { x: &x, y: &y }) {
            Ok(bits) => assert_eq!(bits, scalar, "{isa}"),
            Err(reason) => eprintln!("skipped: {reason}"),
        }
    }
}

#[test]
fn lines_cover_the_part() {
    let mut data = vec![0.0; 200];
    let part = &mut data[3..150];
    let (head, middle, tail) = lines(part);
    assert!(head.len() < LANES && tail.len() < LANES);
    assert_eq!(head.len() + LANES * middle.len() + tail.len(), 147);
}
