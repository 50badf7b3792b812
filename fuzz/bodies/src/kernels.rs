//! A kernel against the reference.

use std::cell::RefCell;

use etalon_kernels::check::{Outcome, Placement, Pools, Prepared};
use etalon_kernels::kernel::Kernel;
use etalon_kernels::pool::Pool;
use etalon_kernels::registry::{self, Entry};
use etalon_kernels::workspace::Workspace;
use etalon_reference::Data;

use crate::MAX_LEN;
use crate::input::Input;

/// Runs the case that the bytes stand for: the kernel in guarded memory against the reference, then the same bits on one
/// thread in plain memory with a workspace that has been used, and the same bits as the operator's first canonical kernel.
/// Returns whether there was something to run.
///
/// # Panics
/// With what is wrong and the case id, if anything is.
pub fn run(entry: &'static Entry, bytes: &[u8]) -> bool {
    if bytes.len() > MAX_LEN {
        return false;
    }
    let Some(input) = Input::decode(entry, bytes) else { return false };
    if let Err(complaint) = check(&input) {
        panic!("{complaint}\nREPRO: cargo xtask parity '{}'", input.case);
    }
    true
}

/// Runs what [`run`] runs.
///
/// # Errors
/// What is wrong.
pub fn check(input: &Input) -> Result<(), String> {
    let case = &input.case;
    let entry = registry::find(&case.op).ok_or_else(|| format!("no operator `{}`", case.op))?;
    let prepared = Prepared::new(entry.operator, &case.point, case.types, case.fill, case.seed)
        .map_err(|e| format!("no problem the second time: {e}"))?;
    let mut workspace = Workspace::new();
    let mut run = |kernel: &Kernel, threads: usize, placement: Placement| -> Result<Outcome, String> {
        with_pool(threads, case.eager, |pool| prepared.run(kernel, pool, &mut workspace, placement))
            .map_err(|e| format!("{} refuses: {e}", kernel.name))
    };
    let outcome = run(&input.kernel, case.threads, input.placement)?;
    if let Some(complaint) = outcome.complaint(&prepared) {
        return Err(format!("{complaint} ({:?})", input.placement));
    }
    let plain = run(&input.kernel, 1, Placement::ALIGNED)?;
    same(&outcome, &plain, || format!("{} threads, {:?} and 1 thread, aligned", case.threads, input.placement))?;
    let standard = entry.kernels.iter().find(|k| k.canonical && k.applies(&*prepared.problem, case.types).is_ok());
    if let Some(standard) = standard.filter(|_| input.kernel.canonical) {
        let theirs = run(standard, 1, Placement::ALIGNED)?;
        same(&outcome, &theirs, || format!("{} and {}", input.kernel.name, standard.name))?;
    }
    Ok(())
}

fn same(a: &Outcome, b: &Outcome, who: impl Fn() -> String) -> Result<(), String> {
    let outputs = a.outputs.iter().map(Data::bits).zip(b.outputs.iter().map(Data::bits));
    for (output, (a, b)) in outputs.enumerate() {
        if let Some(at) = (0..a.len()).find(|&i| a[i] != b[i]) {
            return Err(format!("{} differ in the bits of output {output} at element {at}", who()));
        }
    }
    Ok(())
}

/// Lends a pool; pools live as long as the thread that fuzzes.
fn with_pool<R>(threads: usize, eager: bool, run: impl FnOnce(&Pool) -> R) -> R {
    thread_local! {
        static POOLS: RefCell<Pools> = const { RefCell::new(Pools::new()) };
    }
    POOLS.with_borrow_mut(|pools| run(pools.get(threads, eager)))
}
