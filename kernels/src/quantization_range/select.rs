//! Two elements of a list by their places in its order, by counting.

use crate::isa::narrow::{Convert, Job, Narrow};
use crate::isa::wide::LANES;

/// The integer of a number in the order of all of them: the bits, turned round below 0.
#[inline(always)]
fn key_of(x: f32) -> i32 {
    let bits = x.to_bits() as i32;
    bits ^ ((bits >> 31) as u32 >> 1) as i32
}

/// The number of an integer.
pub fn value_of(key: i32) -> f32 {
    f32::from_bits((key ^ ((key >> 31) as u32 >> 1) as i32) as u32)
}

/// Writes the integers of elements, or of their magnitudes; the largest integer for what is not finite.
pub struct Keys<'a, X> {
    /// Elements.
    pub x: &'a [X],
    /// Whether signs do not count.
    pub magnitudes: bool,
    /// As many integers.
    pub keys: &'a mut [i32],
}

/// What was found beside them.
pub struct Found {
    /// Finite elements.
    pub count: u64,
    /// The least integer of a finite element.
    pub low: i32,
    /// The largest.
    pub high: i32,
}

impl<X: Narrow> Job for Keys<'_, X> {
    type Output = Found;
    #[inline(always)]
    fn run<L: Convert>(self, l: L) -> Found {
        let Keys { x, magnitudes, keys } = self;
        let (whole, rest) = x.as_chunks::<LANES>();
        let (to, last) = keys.as_chunks_mut::<LANES>();
        let sign = if magnitudes { 0x7fff_ffff } else { 0xffff_ffff };
        let (mut count, mut low, mut high) = ([0u32; LANES], [i32::MAX; LANES], [i32::MIN; LANES]);
        for (x, to) in whole.iter().zip(to) {
            let mut lanes = [0f32; LANES];
            l.store(X::widen(l, x), &mut lanes);
            for i in 0..LANES {
                let finite = lanes[i].abs() <= f32::MAX;
                let key = key_of(f32::from_bits(lanes[i].to_bits() & sign));
                count[i] += u32::from(finite);
                let above = if finite { key } else { i32::MIN };
                to[i] = if finite { key } else { i32::MAX };
                low[i] = if to[i] < low[i] { to[i] } else { low[i] };
                high[i] = if above > high[i] { above } else { high[i] };
            }
        }
        let mut found = Found { count: 0, low: i32::MAX, high: i32::MIN };
        for i in 0..LANES {
            found.count += u64::from(count[i]);
            (found.low, found.high) = (found.low.min(low[i]), found.high.max(high[i]));
        }
        for (x, to) in rest.iter().zip(last) {
            let (x, finite) = (x.widened(), x.widened().is_finite());
            *to = i32::MAX;
            if finite {
                *to = key_of(f32::from_bits(x.to_bits() & sign));
                found.count += 1;
                (found.low, found.high) = (found.low.min(*to), found.high.max(*to));
            }
        }
        found
    }
}

/// How many integers are at most as large as either pivot.
pub struct Count<'a> {
    /// Integers.
    pub keys: &'a [i32],
    /// Pivots.
    pub pivots: [i32; 2],
}

impl Job for Count<'_> {
    type Output = [u64; 2];
    #[inline(always)]
    fn run<L: Convert>(self, _: L) -> [u64; 2] {
        let [first, second] = self.pivots;
        let (whole, rest) = self.keys.as_chunks::<LANES>();
        let mut counts = [[0u32; LANES]; 2];
        for keys in whole {
            for i in 0..LANES {
                counts[0][i] += u32::from(keys[i] <= first);
                counts[1][i] += u32::from(keys[i] <= second);
            }
        }
        let mut sums = [0u64; 2];
        for (sum, counts) in sums.iter_mut().zip(counts) {
            *sum = counts.iter().map(|&count| u64::from(count)).sum();
        }
        for &key in rest {
            sums[0] += u64::from(key <= first);
            sums[1] += u64::from(key <= second);
        }
        sums
    }
}

/// Two intervals, each of which holds the integer at its place in the order.
pub struct Bisection {
    from: [i32; 2],
    to: [i32; 2],
    ranks: [u64; 2],
}

impl Bisection {
    /// Between the least and the largest integer; places count from 0.
    pub fn new([low, high]: [i32; 2], ranks: [u64; 2]) -> Bisection {
        Bisection { from: [low; 2], to: [high; 2], ranks }
    }

    /// The middles, unless both integers are found.
    #[inline(always)]
    pub fn pivots(&self) -> Option<[i32; 2]> {
        let middle = |i: usize| self.from[i] + ((i64::from(self.to[i]) - i64::from(self.from[i])) / 2) as i32;
        (self.from != self.to).then(|| [middle(0), middle(1)])
    }

    /// Halves both, by how many integers are at most as large as the middles.
    #[inline(always)]
    pub fn narrow(&mut self, counts: [u64; 2]) {
        let pivots = self.pivots().unwrap_or(self.to);
        for i in 0..2 {
            if counts[i] > self.ranks[i] {
                self.to[i] = pivots[i];
            } else if self.from[i] < self.to[i] {
                self.from[i] = pivots[i] + 1;
            }
        }
    }

    /// Both integers.
    pub fn keys(&self) -> [i32; 2] {
        self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use crate::isa::narrow::with_converters;

    #[test]
    fn integers_are_in_the_order_of_the_numbers() {
        let least = f32::from_bits(1);
        let all = [f32::MIN, -1.0, -f32::MIN_POSITIVE, -least, 0.0, least, f32::MIN_POSITIVE, 1.0, f32::MAX];
        assert!(all.windows(2).all(|pair| key_of(pair[0]) < key_of(pair[1])));
        assert!(all.iter().all(|&x| value_of(key_of(x)).to_bits() == x.to_bits()));
        assert!(key_of(f32::MAX) < i32::MAX);
    }

    /// Each pair of places of lists with many equal numbers.
    #[test]
    fn elements_are_those_of_the_sorted_list() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.usable().is_ok()) {
            for len in [1usize, 2, 15, 16, 17, 50] {
                let x: Vec<f32> = (0..len).map(|i| ((i * i * 37 % 23) as f32 - 11.0) * 0.3).collect();
                let mut sorted = x.clone();
                sorted.sort_by(f32::total_cmp);
                let mut keys = vec![0; len];
                let found = with_converters(isa, Keys { x: &x, magnitudes: false, keys: &mut keys }).expect("usable");
                assert_eq!((found.count, value_of(found.low)), (len as u64, sorted[0]));
                for (first, second) in (0..len).flat_map(|i| (0..len).map(move |j| (i, j))) {
                    let mut ends = Bisection::new([found.low, found.high], [first as u64, second as u64]);
                    while let Some(pivots) = ends.pivots() {
                        ends.narrow(with_converters(isa, Count { keys: &keys, pivots }).expect("usable"));
                    }
                    assert_eq!(ends.keys().map(value_of), [sorted[first], sorted[second]], "{isa} {len}");
                }
            }
        }
    }
}
