//! Wrong kernels of every operator, made from its ports: no line for a new one.

use std::cell::Cell;

use etalon_kernels::call::Call;
use etalon_kernels::registry;
use etalon_reference::{Data, Fill, Point, Problem, Types, arrays};
use ndarray::{ArrayD, Axis};

use super::spoil::{self, Result};
use super::{Wrong, misdeeds};

thread_local! {
    /// The operator whose kernel is spoiled: a kernel is a plain function, and a call does not name its operator.
    static OPERATOR: Cell<&'static str> = const { Cell::new("") };
}

/// Sets the operator whose wrong kernels run on this thread from now on.
pub fn of(operator: &'static str) {
    OPERATOR.set(operator);
}

/// The operator's scalar kernel.
pub fn right(call: &mut Call<'_>) -> Result {
    spoil::right(OPERATOR.get(), call)
}

/// Those of every operator.
pub fn all() -> impl Iterator<Item = Wrong> {
    registry::ALL.iter().flat_map(|entry| {
        let (name, types) = (entry.operator.name, entry.operator.types);
        let problem = entry.operator.problem(&Point::default_of(entry.operator.axes)).expect("the defaults are valid");
        // What has no NaN cannot drop one.
        let has_nan = has_nan(&*problem, types[0]);
        let wrong = [
            Wrong::new(name, "last-element-lost", "the last element of each output keeps what it held", last_lost),
            Wrong::new(name, "rows-swapped", "the first two rows of the first output change places", rows_swapped),
            Wrong::new(name, "output-not-written", "the last output keeps what it held", not_written),
            Wrong::new(name, "neighbour-written", "one element behind the first output is written", |call| {
                right(call)?;
                misdeeds::write_behind(call);
                Ok(())
            })
            .deadly(),
            Wrong::new(
                name,
                "input-changed",
                "the first element of the first input is changed after its use",
                |call| {
                    right(call)?;
                    misdeeds::change_an_input(call);
                    Ok(())
                },
            )
            .deadly(),
            Wrong::new(name, "nan-dropped", "a NaN becomes 0", |call| {
                after(call, |_, out| out.mapv_inplace(|x| if x.is_nan() { 0.0 } else { x }))
            }),
            Wrong::new(name, "rounded-by-thread", "with several threads, results are rounded once more", |call| {
                let several = call.pool().threads() > 1;
                let floats = call.problem().outputs(call.types())[0].dtype.is_float();
                after(call, |_, out| match (several, floats) {
                    (true, true) => out.mapv_inplace(|x| x * (1.0 + f64::from(f32::EPSILON))),
                    (true, false) => out.mapv_inplace(|x| x + 1.0),
                    _ => {}
                })
            })
            .own_order(),
        ];
        let fits = move |wrong: &Wrong| has_nan || wrong.kernel.name != "nan-dropped";
        wrong.into_iter().filter(fits).map(|wrong| wrong.of_types(types))
    })
}

/// Whether NaN for all real numbers makes an output NaN.
fn has_nan(problem: &dyn Problem, types: Types) -> bool {
    let no_number = |data: Data| match data.dtype().is_float() {
        true => Data::from_f64(data.dtype(), &vec![f64::NAN; data.len()]),
        false => data,
    };
    let data: Vec<Data> = problem.draw(types, Fill::Exact, 0).into_iter().map(no_number).collect();
    let outputs = problem.reference(&arrays(&problem.inputs(types), &data));
    outputs.iter().any(|output| output.iter().any(|x| x.is_nan()))
}

/// Each output of the right kernel, changed by `change`, which also sees what it was before.
fn after(call: &mut Call<'_>, change: impl Fn(&ArrayD<f64>, &mut ArrayD<f64>)) -> Result {
    spoil::after(OPERATOR.get(), call, |_, before, after| {
        before.iter().zip(after).for_each(|(before, after)| change(before, after));
    })
}

fn last_lost(call: &mut Call<'_>) -> Result {
    after(call, |before, out| {
        if let Some((last, before)) = out.iter_mut().last().zip(before.iter().last()) {
            *last = *before;
        }
    })
}

fn rows_swapped(call: &mut Call<'_>) -> Result {
    spoil::after(OPERATOR.get(), call, |_, _, after| {
        let out = &mut after[0];
        // Along the last dimension but one, or the only one.
        let dimension = out.ndim().saturating_sub(2);
        if out.shape().get(dimension).is_some_and(|&rows| rows > 1) {
            let first = out.index_axis(Axis(dimension), 0).to_owned();
            let second = out.index_axis(Axis(dimension), 1).to_owned();
            out.index_axis_mut(Axis(dimension), 0).assign(&second);
            out.index_axis_mut(Axis(dimension), 1).assign(&first);
        }
    })
}

fn not_written(call: &mut Call<'_>) -> Result {
    spoil::after(OPERATOR.get(), call, |_, before, after| {
        if let Some(last) = (0..after.len()).rfind(|&output| !after[output].is_empty()) {
            after[last].clone_from(&before[last]);
        }
    })
}
