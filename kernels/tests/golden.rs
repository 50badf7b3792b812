//! Every kernel against libtorch's frozen answers, for machines without libtorch.
//!
//! Both may be off the reference by a witness's bound, so that they may differ by twice that. With the exact fill the bits are
//! equal.

use etalon_kernels::check::{Placement, Prepared};
use etalon_kernels::pool::Pool;
use etalon_kernels::registry;
use etalon_kernels::workspace::Workspace;
use etalon_reference::compare::Verdict;
use etalon_reference::{Tolerance, Witness, golden};

#[test]
fn kernels_agree_with_the_frozen_answers() {
    let (pool, mut workspace) = (Pool::eager(2), Workspace::new());
    for entry in registry::ALL.iter().filter(|entry| entry.operator.witness == Witness::Libtorch) {
        let cases = golden::cases(entry.operator.name).unwrap_or_else(|error| panic!("{error}"));
        assert!(!cases.is_empty(), "no frozen answers of {}", entry.operator.name);
        for golden in &cases {
            let case = &golden.case;
            let mut compared = 0;
            let prepared = Prepared::new(entry.operator, &case.point, case.types, case.fill, case.seed)
                .unwrap_or_else(|error| panic!("{case}: {error}"));
            let loose =
                prepared.problem.witness_tolerance(case.types, case.fill, prepared.arrays(), prepared.expected());
            let twice = loose.iter().map(|tolerance| match tolerance {
                Tolerance::Exact => Tolerance::Exact,
                Tolerance::Bound { formula, bound } => Tolerance::Bound { formula, bound: 2.0 * bound },
            });
            let twice = twice.collect();
            let prepared = prepared.with_truth(golden.outputs.clone(), twice);
            for kernel in entry.kernels {
                let applies = kernel.types.contains(&case.types)
                    && kernel.usable().is_ok()
                    && (kernel.supports)(&*prepared.problem, case.types).is_ok();
                if applies {
                    let outcome = prepared
                        .run(kernel, &pool, &mut workspace, Placement::ALIGNED)
                        .unwrap_or_else(|error| panic!("{}: {error}", prepared.case(kernel, 2)));
                    let complaint = outcome.complaint(&prepared).unwrap_or_default();
                    assert_ne!(outcome.verdict, Verdict::Fail, "{}: {complaint}", prepared.case(kernel, 2));
                    compared += 1;
                }
            }
            assert!(compared > 0, "{case}: no kernel");
        }
    }
}
