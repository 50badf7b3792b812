//! The bodies on drawn inputs: what fuzzing explores, sampled on the stable toolchain.

use std::cell::{Cell, RefCell};

use etalon_fuzz_bodies::input::{self, Input};
use etalon_fuzz_bodies::{kernels, model, problem};
use etalon_kernels::check::{Guard, Placement};
use etalon_kernels::registry;
use etalon_reference::axis::Kind;
use etalon_reference::{Case, Fill, Point, strategy};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

fn runner(cases: u32) -> TestRunner {
    // Most points of all axes are no problem.
    let config = Config { cases, failure_persistence: None, max_local_rejects: 1 << 20, ..Config::default() };
    TestRunner::new_with_rng(config, proptest::test_runner::TestRng::deterministic_rng(Default::default()))
}

/// Bytes of which many are zero, as fuzzers make them.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![1 => Just(0), 1 => Just(u8::MAX), 4 => any::<u8>()], 0..160)
}

#[test]
#[cfg_attr(feature = "planted-bug", ignore = "the bug is there to be found")]
fn kernels_pass_on_drawn_bytes() {
    for entry in registry::ALL {
        let all = input::kernels(entry);
        let ran = RefCell::new(vec![0; all.len()]);
        // Each kernel is asked for as often as the others.
        let asked = (0..all.len(), bytes());
        let result = runner(100 + 20 * all.len() as u32).run(&asked, |(kernel, mut bytes)| {
            bytes.insert(0, kernel as u8);
            if let Some(input) = Input::decode(entry, &bytes)
                && kernels::run(entry, &bytes)
            {
                let position = all.iter().position(|k| k.name == input.kernel.name).expect("a kernel of the list");
                ran.borrow_mut()[position] += 1;
            }
            Ok(())
        });
        result.unwrap_or_else(|e| panic!("{e}"));
        for (kernel, ran) in all.iter().zip(ran.into_inner()).filter(|(kernel, _)| kernel.usable().is_ok()) {
            assert!(ran > 0, "{}/{}: no case was executed", entry.operator.name, kernel.name);
        }
    }
}

#[test]
fn validation_agrees_with_the_model_on_drawn_bytes() {
    for entry in registry::ALL {
        runner(20_000)
            .run(&bytes(), |bytes| {
                problem::run(entry, &bytes);
                Ok(())
            })
            .unwrap_or_else(|e| panic!("{e}"));
    }
}

/// Sizes at which sums and products leave a range, in every combination of two axes.
#[test]
fn validation_agrees_with_the_model_at_the_ends() {
    let ends = [i64::MIN, -1, 0, 1, 2, 1 << 20, 1 << 31, 1 << 32, 1 << 59, 1 << 60, (1 << 60) - 1, 1 << 62, i64::MAX];
    for entry in registry::ALL {
        let (operator, name) = (entry.operator, entry.operator.name);
        let axes = operator.axes;
        for (i, first) in axes.iter().enumerate() {
            for second in &axes[i + 1..] {
                for x in ends {
                    for y in ends {
                        let point = Point::default_of(axes).with(first.name, x).with(second.name, y);
                        let model = model::at(operator, &point).unwrap_or_else(|| panic!("no model of `{name}`"));
                        problem::check(operator, model, &point).unwrap_or_else(|e| panic!("{name}: {point}: {e}"));
                    }
                }
            }
        }
    }
}

#[test]
fn cases_and_bytes_are_one() {
    for entry in registry::ALL {
        let all = input::kernels(entry);
        let usable: Vec<usize> = (0..all.len()).filter(|&i| all[i].usable().is_ok()).collect();
        let choices = (
            strategy::problems(entry.operator, 5e4),
            proptest::sample::select(usable),
            any::<u16>(),
            (1..=3_usize, any::<bool>()),
            proptest::sample::select(&Fill::ALL[..]),
            0..64_usize,
        );
        let within_reach = Cell::new(0);
        runner(200)
            .run(&choices, |((point, problem), kernel, seed, (threads, eager), fill, offset_bytes)| {
                let kernel = &all[kernel];
                let Some(types) = kernel.types.iter().copied().find(|d| kernel.applies(&*problem, *d).is_ok()) else {
                    return Ok(());
                };
                let placement = Placement { offset_bytes, guard: Guard::PageBefore };
                let case = Case {
                    op: entry.operator.name.into(),
                    kernel: kernel.name.into(),
                    types,
                    point,
                    threads,
                    eager,
                    fill,
                    seed: seed.into(),
                };
                // Some domains have values that bytes do not reach.
                let Some(bytes) = Input::encode(entry, &case, placement) else { return Ok(()) };
                within_reach.set(within_reach.get() + 1);
                let read = Input::decode(entry, &bytes).expect("a problem");
                prop_assert_eq!(&read.case, &case);
                prop_assert_eq!(read.placement.offset_bytes, offset_bytes);
                let wide = problem::decode(entry.operator, &problem::encode(&case.point));
                prop_assert_eq!(wide, case.point);
                Ok(())
            })
            .unwrap_or_else(|e| panic!("{e}"));
        assert!(within_reach.get() > 50, "{}: {} of 200 cases", entry.operator.name, within_reach.get());
    }
}

#[test]
fn choices_beyond_the_list_are_reached() {
    for entry in registry::ALL {
        let axes = entry.operator.axes;
        if axes.iter().any(|axis| matches!(axis.kind, Kind::Choice(_))) {
            let point = problem::decode(entry.operator, &[u8::MAX]);
            assert!(entry.operator.problem(&point).is_err(), "{}: {point}", entry.operator.name);
        }
    }
}

/// What is planted is found by drawing alone.
#[cfg(feature = "planted-bug")]
#[test]
fn the_planted_bug_is_found() {
    let gemm = registry::find("gemm").expect("an operator");
    let found = (0..10_000_u32).find(|seed| {
        let bytes: Vec<u8> =
            (0..40_u32).map(|i| (seed.wrapping_mul(2_654_435_761) >> (i % 24)) as u8 ^ i as u8).collect();
        std::panic::catch_unwind(|| kernels::run(gemm, &bytes)).is_err()
    });
    assert!(found.is_some(), "10000 inputs did not show the bug");
}
