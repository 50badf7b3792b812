//! A call with a workspace that has grown allocates nothing, on one thread and on two.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use etalon_kernels::call::Signature;
use etalon_kernels::check::initial_outputs;
use etalon_kernels::isa::Isa;
use etalon_kernels::pool::Pool;
use etalon_kernels::registry;
use etalon_kernels::workspace::Workspace;
use etalon_reference::{Data, Fill, Point};

/// Counts what the system's allocator is asked for.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_warm_call_allocates_nothing() {
    let mut calls = 0;
    for entry in registry::ALL {
        for workload in entry.operator.workloads {
            let point = Point::parse(entry.operator.axes, workload.point).expect("a workload parses");
            let problem = entry.operator.problem(&point).expect("a workload is valid");
            for &types in entry.operator.types {
                // Small ones: every code path that a size chooses is a small path plus loops.
                let work = problem.work(types);
                if work.operations > 4e7 || work.bytes() > 4e6 {
                    continue;
                }
                let inputs = problem.draw(types, Fill::Real, 1);
                let mut outputs = initial_outputs(&*problem, types, &inputs);
                for kernel in entry.kernels {
                    let long = kernel.isa == Isa::Scalar && work.operations > 2e6;
                    if kernel.applies(&*problem, types).is_err() || kernel.is_foreign() || long {
                        continue;
                    }
                    for threads in [1, 2] {
                        let (pool, mut workspace) = (Pool::eager(threads), Workspace::new());
                        let slices: Vec<_> = inputs.iter().map(Data::as_slice).collect();
                        let signature = Signature::new(&*problem, types);
                        let plan = signature.plan(kernel, &slices).expect("a plan");
                        let mut counts = Vec::new();
                        for _ in 0..8 {
                            let mut outputs: Vec<_> = outputs.iter_mut().map(Data::as_mut).collect();
                            let before = ALLOCATIONS.load(Ordering::Relaxed);
                            let call = signature.call(&slices, &mut outputs, &pool, &mut workspace, plan.as_ref());
                            (kernel.run)(&mut call.expect("the problem's operands")).expect("the kernel applies");
                            counts.push(ALLOCATIONS.load(Ordering::Relaxed) - before);
                        }
                        let name = format!("{}/{}/{types}/{}", entry.operator.name, kernel.name, workload.name);
                        // The test harness and threads that are just starting allocate now and then; a kernel that
                        // allocates does so in every call.
                        let least = counts[2..].iter().min();
                        assert_eq!(least, Some(&0), "{name} on {threads} threads allocates: {counts:?} by call");
                        calls += 1;
                    }
                }
            }
        }
    }
    assert!(calls > 0, "no call was counted");
}
