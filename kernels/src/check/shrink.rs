//! Smaller cases than one that fails.

use etalon_reference::axis::Kind;
use etalon_reference::{Case, Fill};

/// Cases that are simpler than `case` by one step, boldest first: an axis at its default or its least value, a size halved or
/// one less, one thread, production threads, a plainer fill. They need not make problems.
pub fn simpler(case: &Case) -> impl Iterator<Item = Case> + use<> {
    let axes = case.point.axes().iter().zip(case.point.values());
    let values = axes.flat_map(|(axis, &value)| match axis.kind {
        Kind::Choice(_) => vec![(axis.name, value, 0)],
        Kind::Int { least, .. } => {
            [axis.default, least, value / 2, value - 1].map(|smaller| (axis.name, value, smaller.max(least))).into()
        }
    });
    let points = values
        .filter(|(_, value, smaller)| smaller < value)
        .map(|(axis, _, smaller)| Case { point: case.point.clone().with(axis, smaller), ..case.clone() });
    let one = (case.threads > 1).then(|| Case { threads: 1, ..case.clone() });
    let two = (case.threads > 2).then(|| Case { threads: 2, ..case.clone() });
    let plain = case.eager.then(|| Case { eager: false, ..case.clone() });
    let fills = [Fill::Exact, Fill::Real].into_iter().filter(|&fill| rank(fill) < rank(case.fill));
    let fills: Vec<Case> = fills.map(|fill| Case { fill, ..case.clone() }).collect();
    let points: Vec<Case> = points.collect();
    one.into_iter().chain(two).chain(plain).chain(points).chain(fills)
}

/// From plain to troublesome.
fn rank(fill: Fill) -> usize {
    Fill::ALL.iter().position(|f| *f == fill).unwrap_or(0)
}

/// The smallest case that is found from `case` by steps with each of which `fails` still holds, within `most` trials.
pub fn smallest(case: Case, most: usize, mut fails: impl FnMut(&Case) -> bool) -> Case {
    let (mut best, mut trials) = (case, 0);
    'smaller: loop {
        for candidate in simpler(&best).collect::<Vec<_>>() {
            trials += 1;
            if trials > most {
                return best;
            }
            if fails(&candidate) {
                best = candidate;
                continue 'smaller;
            }
        }
        return best;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etalon_reference::ops;

    fn case(id: &str) -> Case {
        Case::parse(id, ops::ALL).expect("a case id")
    }

    #[test]
    fn it_ends_at_the_smallest_case_that_fails() {
        let start = case("gemm/avx2/f32/m=120,n=77,k=600,a=t,beta=2,act=gelu/t7-eager#hostile-77");
        let smallest = smallest(start, 10_000, |c| {
            let least = [("m", 13), ("n", 1), ("k", 3), ("batch", 1)];
            c.threads > 1 && least.iter().all(|&(axis, least)| c.point.get(axis) >= least)
        });
        assert_eq!(smallest.to_string(), "gemm/avx2/f32/m=13,k=3/t2#exact-77");
    }

    #[test]
    fn trials_are_bounded() {
        let mut asked = 0;
        smallest(case("gemm/avx2/f32/m=120,n=77,k=600/t2#real-1"), 5, |_| {
            asked += 1;
            true
        });
        assert_eq!(asked, 5);
    }
}
