//! A small persistent thread pool: fork and join in microseconds.
//!
//! A kernel splits its outputs into tasks; [`Pool::run`] hands the tasks to whichever thread is free, the caller among
//! them. Which thread computes a task must not show in its result: tasks are a function of the problem, not of the
//! number of threads.
//!
//! The caller publishes a job under a new epoch. A worker that sees the epoch in time enters the job and takes tasks from
//! a shared counter; the caller takes tasks too, then closes the job and waits for the workers inside. A worker that wakes
//! late finds the job closed and is not waited for. Both sides spin for some microseconds before they sleep, unless there
//! are more threads than cores.

use std::any::Any;
use std::cell::UnsafeCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Rounds of spinning before a thread sleeps: some tens of microseconds.
const SPINS: u32 = 2_000;

/// Single-thread nanoseconds from which [`Pool::threads_for`] gives all threads: some times what it takes to wake one that
/// spins.
pub const WORTH_NS: u64 = 8_000;

/// Ranges per thread at least in [`Pool::ranges`].
const RANGES: usize = 4;

/// The job's state in one word: the workers inside (low 16 bits), flags, the epoch (high 32 bits).
const INSIDE: u64 = 0xffff;
/// Workers may enter.
const OPEN: u64 = 1 << 16;
/// The caller sleeps until the last worker has left.
const AWAITED: u64 = 1 << 17;
/// One epoch.
const EPOCH: u64 = 1 << 32;

type Payload = Box<dyn Any + Send>;

/// A fixed number of threads, of which the caller is one. Dropping it joins them.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    worth_ns: u64,
}

/// The tasks of one [`Pool::run`], without the closure's type.
#[derive(Clone, Copy)]
struct Job {
    /// The closure, behind a pointer that is valid while the job is open or workers are inside.
    closure: *const (),
    /// Calls `closure` with a task and a worker.
    call: unsafe fn(*const (), usize, usize),
    tasks: usize,
}

/// On a cache line of its own (a pair of them, as they are fetched in pairs).
#[derive(Debug)]
#[repr(align(128))]
struct Line<T>(T);

struct Shared {
    state: Line<AtomicU64>,
    next: Line<AtomicUsize>,
    /// Someone runs a job; whoever comes meanwhile runs inline.
    busy: Line<AtomicBool>,
    job: UnsafeCell<Job>,
    sleepers: AtomicUsize,
    shutdown: AtomicBool,
    panic: Mutex<Option<Payload>>,
    lock: Mutex<()>,
    /// A new epoch.
    wake: Condvar,
    /// The last worker has left.
    left: Condvar,
    spins: u32,
}

// SAFETY: `job` is written only by the thread that holds `busy`, while no worker is inside a job; workers read it only
// after they entered an open job, which synchronises with the write. The pointer in it leads to a `Sync` closure.
unsafe impl Sync for Shared {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Shared {}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool of `threads` threads, the caller included: it starts `threads − 1`. Zero counts as one.
    ///
    /// # Panics
    /// If the system refuses a thread, or more than 65535 are asked for.
    pub fn new(threads: usize) -> Pool {
        Pool::with_worth(threads, WORTH_NS)
    }

    /// A pool whose [`threads_for`](Pool::threads_for) gives all threads for any work, for tests: small problems then take
    /// the path of large ones.
    ///
    /// # Panics
    /// As [`new`](Pool::new).
    pub fn eager(threads: usize) -> Pool {
        Pool::with_worth(threads, 0)
    }

    fn with_worth(threads: usize, worth_ns: u64) -> Pool {
        let threads = threads.max(1);
        assert!(threads as u64 <= INSIDE, "at most 65535 threads");
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shared = Arc::new(Shared {
            state: Line(AtomicU64::new(0)),
            next: Line(AtomicUsize::new(0)),
            busy: Line(AtomicBool::new(false)),
            job: UnsafeCell::new(Job { closure: std::ptr::null(), call: |_, _, _| {}, tasks: 0 }),
            sleepers: AtomicUsize::new(0),
            shutdown: AtomicBool::new(false),
            panic: Mutex::new(None),
            lock: Mutex::new(()),
            wake: Condvar::new(),
            left: Condvar::new(),
            spins: if threads <= cores { SPINS } else { 0 },
        });
        let workers = (1..threads)
            .map(|worker| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new()
                    .name(format!("etalon-{worker}"))
                    .spawn(move || shared.serve(worker))
                    .expect("the system gives a thread")
            })
            .collect();
        Pool { shared, workers, worth_ns }
    }

    /// Number of threads, the caller included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Whether this is an [`eager`](Pool::eager) pool, and thresholds of size do not count.
    pub fn is_eager(&self) -> bool {
        self.worth_ns == 0
    }

    /// Threads for work that takes one thread about `ns` nanoseconds: all, or one if the others would come late.
    pub fn threads_for(&self, ns: u64) -> usize {
        if ns < self.worth_ns { 1 } else { self.threads() }
    }

    /// Calls `body(task, worker)` once for each task below `tasks`, on any of the threads, and returns when all are done.
    /// No two calls with the same `worker` (which is below [`threads`](Pool::threads)) run at the same time. Runs inline
    /// if there is one thread or task, from inside a task, and while another thread uses the pool. Does not allocate.
    ///
    /// # Panics
    /// If a task panics: with its payload (the first one's), after all tasks have ended.
    pub fn run<F: Fn(usize, usize) + Sync>(&self, tasks: usize, body: F) {
        if self.workers.is_empty() || tasks <= 1 || self.shared.busy.0.swap(true, Ordering::Acquire) {
            return run_inline(tasks, &body);
        }
        self.shared.publish(Job { closure: (&raw const body).cast(), call: call_closure::<F>, tasks });
        self.shared.take_tasks(0);
        self.shared.close();
        let panic = guard(&self.shared.panic).take();
        self.shared.busy.0.store(false, Ordering::Release);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }

    /// Calls `body` with ranges that together hold each number below `count` once: one range on one thread, several for
    /// each of `threads` that [`threads_for`](Pool::threads_for) gave.
    pub fn ranges<F: Fn(Range<usize>) + Sync>(&self, threads: usize, count: usize, body: F) {
        let ranges = if threads == 1 { 1 } else { (RANGES * threads).min(count) };
        match ranges {
            0 | 1 => body(0..count),
            _ => self.run(ranges, |range, _| body(count * range / ranges..count * (range + 1) / ranges)),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.shutdown.store(true, Ordering::Release);
        {
            let _lock = guard(&self.shared.lock);
            self.shared.state.0.fetch_add(EPOCH, Ordering::SeqCst);
            self.shared.wake.notify_all();
        }
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its tasks, so that joining it does not fail.
            let _ = worker.join();
        }
    }
}

/// No invariant hangs on what these locks hold: a poisoned one is as good.
fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run_inline<F: Fn(usize, usize)>(tasks: usize, body: &F) {
    let mut panic = None;
    for task in 0..tasks {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| body(task, 0))) {
            panic.get_or_insert(payload);
        }
    }
    if let Some(payload) = panic {
        resume_unwind(payload);
    }
}

/// # Safety
/// `closure` points to a live `F`.
unsafe fn call_closure<F: Fn(usize, usize) + Sync>(closure: *const (), task: usize, worker: usize) {
    // SAFETY: the caller's promise.
    unsafe { (*closure.cast::<F>())(task, worker) }
}

impl Shared {
    /// Opens `job` under a new epoch and wakes who sleeps. The caller holds `busy`.
    fn publish(&self, job: Job) {
        // SAFETY: the last job is closed with nobody inside, and a worker enters the next one only after the store below.
        unsafe { *self.job.get() = job };
        self.next.0.store(0, Ordering::Relaxed);
        let epoch = self.state.0.load(Ordering::Relaxed) / EPOCH;
        // Sequentially consistent, as is a sleeper's count and look: one of the two sees the other.
        self.state.0.store((epoch + 1).wrapping_mul(EPOCH) | OPEN, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            let _lock = guard(&self.lock);
            self.wake.notify_all();
        }
    }

    /// Takes tasks until none is left. The thread is inside the job.
    fn take_tasks(&self, worker: usize) {
        // SAFETY: the job is not overwritten while somebody is inside.
        let job = unsafe { *self.job.get() };
        loop {
            let task = self.next.0.fetch_add(1, Ordering::Relaxed);
            if task >= job.tasks {
                return;
            }
            // SAFETY: the closure lives in the frame of `run`, which waits until nobody is inside.
            let call = || unsafe { (job.call)(job.closure, task, worker) };
            if let Err(payload) = catch_unwind(AssertUnwindSafe(call)) {
                guard(&self.panic).get_or_insert(payload);
            }
        }
    }

    /// Lets nobody enter any more and waits for those inside.
    fn close(&self) {
        let mut state = self.state.0.fetch_and(!OPEN, Ordering::AcqRel);
        let mut spins = self.spins;
        while state & INSIDE != 0 {
            if spins == 0 {
                let mut lock = guard(&self.lock);
                // Who leaves after this sees the flag, and can't notify before the wait has released the lock.
                state = self.state.0.fetch_or(AWAITED, Ordering::AcqRel);
                while state & INSIDE != 0 {
                    lock = self.left.wait(lock).unwrap_or_else(PoisonError::into_inner);
                    state = self.state.0.load(Ordering::Acquire);
                }
                return;
            }
            spins -= 1;
            std::hint::spin_loop();
            state = self.state.0.load(Ordering::Acquire);
        }
    }

    /// A worker's life.
    fn serve(&self, worker: usize) {
        let mut seen = 0;
        while !self.shutdown.load(Ordering::Acquire) {
            let state = self.await_epoch(seen);
            seen = state / EPOCH;
            if self.enter(state) {
                self.take_tasks(worker);
                self.leave();
            }
        }
    }

    /// The state once its epoch is another one than `seen`.
    fn await_epoch(&self, seen: u64) -> u64 {
        for _ in 0..self.spins {
            let state = self.state.0.load(Ordering::Acquire);
            if state / EPOCH != seen {
                return state;
            }
            std::hint::spin_loop();
        }
        let mut lock = guard(&self.lock);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let state = loop {
            let state = self.state.0.load(Ordering::SeqCst);
            if state / EPOCH != seen {
                break state;
            }
            lock = self.wake.wait(lock).unwrap_or_else(PoisonError::into_inner);
        };
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        state
    }

    /// Enters the job of the epoch in `state`, if it is still open.
    fn enter(&self, mut state: u64) -> bool {
        let epoch = state / EPOCH;
        while state & OPEN != 0 && state / EPOCH == epoch {
            match self.state.0.compare_exchange_weak(state, state + 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    /// Leaves the job; the last one wakes a caller who sleeps.
    fn leave(&self) {
        let before = self.state.0.fetch_sub(1, Ordering::AcqRel);
        if before & INSIDE == 1 && before & AWAITED != 0 {
            let _lock = guard(&self.lock);
            self.left.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    /// How often each task ran; also that workers are in range and never run two tasks at once.
    fn counts(pool: &Pool, tasks: usize) -> Vec<u32> {
        let counts: Vec<AtomicU32> = (0..tasks).map(|_| AtomicU32::new(0)).collect();
        let active: Vec<AtomicU32> = (0..pool.threads()).map(|_| AtomicU32::new(0)).collect();
        pool.run(tasks, |task, worker| {
            assert_eq!(active[worker].fetch_add(1, Ordering::SeqCst), 0, "worker {worker} runs two tasks");
            counts[task].fetch_add(1, Ordering::SeqCst);
            active[worker].fetch_sub(1, Ordering::SeqCst);
        });
        counts.into_iter().map(AtomicU32::into_inner).collect()
    }

    #[test]
    fn each_task_runs_once() {
        for threads in [0, 1, 2, 3, 4, 7, 32] {
            let pool = Pool::new(threads);
            assert_eq!(pool.threads(), threads.max(1));
            for tasks in [0, 1, 2, 3, 7, 64, 1000] {
                assert_eq!(counts(&pool, tasks), vec![1; tasks], "{threads} threads, {tasks} tasks");
            }
        }
    }

    #[test]
    fn many_runs_in_a_row() {
        for threads in [2, 5] {
            let pool = Pool::new(threads);
            let sum = AtomicUsize::new(0);
            for _ in 0..5_000 {
                pool.run(threads, |task, _| {
                    sum.fetch_add(task + 1, Ordering::Relaxed);
                });
            }
            assert_eq!(sum.into_inner(), 5_000 * threads * (threads + 1) / 2);
        }
    }

    #[test]
    fn workers_that_slept_wake_up() {
        let pool = Pool::new(2);
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            // The caller's task ends only when a worker has run the other one.
            let other = AtomicBool::new(false);
            pool.run(2, |_, worker| {
                if worker == 1 {
                    other.store(true, Ordering::Release);
                }
                while !other.load(Ordering::Acquire) {
                    std::thread::yield_now();
                }
            });
        }
    }

    #[test]
    fn a_caller_that_waits_long_sleeps_and_wakes() {
        let pool = Pool::new(2);
        let ran = AtomicUsize::new(0);
        pool.run(2, |_, worker| {
            ran.fetch_add(1, Ordering::AcqRel);
            while ran.load(Ordering::Acquire) < 2 {
                std::thread::yield_now();
            }
            if worker == 1 {
                std::thread::sleep(std::time::Duration::from_millis(30));
            }
            ran.fetch_add(1, Ordering::AcqRel);
        });
        assert_eq!(ran.into_inner(), 4);
    }

    #[test]
    fn nested_runs_are_inline() {
        let pool = Pool::new(3);
        let inner = AtomicUsize::new(0);
        pool.run(8, |_, _| {
            let thread = std::thread::current().id();
            pool.run(5, |_, worker| {
                assert_eq!(worker, 0);
                assert_eq!(std::thread::current().id(), thread);
                inner.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(inner.into_inner(), 40);
    }

    #[test]
    fn two_threads_may_share_a_pool() {
        let pool = Pool::new(2);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..500).for_each(|_| assert_eq!(counts(&pool, 9), vec![1; 9])));
            }
        });
    }

    #[test]
    fn a_panic_is_rethrown_after_all_tasks() {
        for threads in [1, 2, 4] {
            let pool = Pool::new(threads);
            for bad in [0, 3, 9] {
                let ran = AtomicUsize::new(0);
                let result = catch_unwind(AssertUnwindSafe(|| {
                    pool.run(10, |task, _| {
                        ran.fetch_add(1, Ordering::Relaxed);
                        if task == bad {
                            resume_unwind(Box::new(task));
                        }
                    });
                }));
                assert_eq!(result.unwrap_err().downcast_ref(), Some(&bad), "{threads} threads");
                assert_eq!(ran.into_inner(), 10, "{threads} threads");
                assert_eq!(counts(&pool, 10), vec![1; 10], "the pool works on");
            }
        }
    }

    #[test]
    fn drop_joins() {
        for threads in [1, 2, 9] {
            let pool = Pool::new(threads);
            let shared = Arc::downgrade(&pool.shared);
            counts(&pool, 20);
            drop(pool);
            assert!(shared.upgrade().is_none(), "a thread of {threads} still holds the pool");
        }
    }
}
