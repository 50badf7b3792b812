//! Simpler cases than one that fails.

use etalon_reference::axis::{Axis, Kind};
use etalon_reference::{Case, Fill};

/// Cases one step simpler, the boldest step first: an axis at its default or least value, fewer threads, a tamer fill, an axis
/// halved or one less. Some are no problem, or not one that the kernel supports: the caller tries them.
///
/// Whoever takes the first one that still fails, and asks again from there, ends at a case that no such step makes simpler.
/// There is an end: each step lowers one coordinate in an order that begins with the default and then counts from the least.
pub fn simpler(case: &Case) -> impl Iterator<Item = Case> + use<> {
    let threads = [1, case.threads / 2, case.threads.saturating_sub(1)];
    let threads = threads.into_iter().filter(|threads| (1..case.threads).contains(threads));
    let fills = Fill::ALL.into_iter().take_while(|fill| *fill != case.fill);
    let mut steps: Vec<Case> = along(case, |_, axis, least| [axis.default, least]).collect();
    steps.extend(threads.map(|threads| Case { threads, ..case.clone() }));
    steps.extend(fills.map(|fill| Case { fill, ..case.clone() }));
    steps.extend(along(case, |value, _, least| [least + (value - least) / 2, value - 1]));
    let mut seen: Vec<Case> = Vec::new();
    steps.into_iter().filter(move |step| {
        let new = !seen.contains(step);
        seen.push(step.clone());
        new
    })
}

/// The case with one axis at one of the values that `candidates` gives, as far as they are simpler.
fn along(case: &Case, candidates: fn(i64, &Axis, i64) -> [i64; 2]) -> impl Iterator<Item = Case> {
    let axes = case.point.axes().iter().zip(case.point.values());
    axes.flat_map(move |(axis, &value)| {
        let least = match axis.kind {
            Kind::Int { least, .. } => least,
            // One choice is as simple as another, but for the default.
            Kind::Choice(_) => value,
        };
        let rank = move |value: i64| if value == axis.default { 0 } else { value.abs_diff(least) + 1 };
        let simpler = candidates(value, axis, least).into_iter().filter(move |other| rank(*other) < rank(value));
        simpler.map(|other| Case { point: case.point.clone().with(axis.name, other), ..case.clone() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry;

    fn case(id: &str) -> Case {
        Case::parse(id, &registry::operators()).expect("a case id")
    }

    /// Where greedy steps end while `fails` holds.
    fn shrunk(id: &str, fails: impl Fn(&Case) -> bool) -> String {
        let mut now = case(id);
        assert!(fails(&now));
        while let Some(next) = simpler(&now).find(&fails) {
            now = next;
        }
        now.to_string()
    }

    #[test]
    fn what_does_not_matter_is_left_out() {
        let id = "gemm/scalar/f32/m=37,n=300,k=61,batch=3,act=gelu,beta=1/t7#hostile-9";
        assert_eq!(shrunk(id, |case| case.point.get("n") >= 177), "gemm/scalar/f32/n=177/t1#exact-9");
        assert_eq!(
            shrunk(id, |case| case.threads >= 3 && case.point.get("batch") > 1),
            "gemm/scalar/f32/batch=2/t3#exact-9"
        );
        assert_eq!(shrunk(id, |case| case.fill == Fill::Hostile), "gemm/scalar/f32/-/t1#hostile-9");
        assert_eq!(shrunk(id, |_| true), "gemm/scalar/f32/-/t1#exact-9");
    }

    #[test]
    fn the_simplest_case_has_nothing_simpler() {
        for operator in registry::operators() {
            let kernel = registry::find(operator.name()).expect("an entry").kernels[0].name;
            let id = format!("{}/{kernel}/f32/-/t1#exact-0", operator.name());
            assert_eq!(simpler(&case(&id)).count(), 0, "{id}");
        }
    }

    #[test]
    fn no_step_comes_twice_or_leads_nowhere() {
        let from = case("conv2d/scalar/f32/n=3,c=17,h=9,w=1,k=2,relu=yes/t2#real-5");
        let steps: Vec<Case> = simpler(&from).collect();
        assert!(steps.iter().enumerate().all(|(i, step)| *step != from && !steps[..i].contains(step)));
    }
}
