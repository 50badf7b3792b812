//! Pools that live from case to case.

use std::collections::BTreeMap;

use crate::pool::Pool;

/// Threads for the cases of one run, started when first asked for.
#[derive(Default)]
pub struct Pools(BTreeMap<(usize, bool), Pool>);

impl Pools {
    /// None yet.
    pub const fn new() -> Pools {
        Pools(BTreeMap::new())
    }

    /// A pool of `threads` threads, [eager](Pool::eager) or as applications have it.
    pub fn get(&mut self, threads: usize, eager: bool) -> &Pool {
        let make = || if eager { Pool::eager(threads) } else { Pool::new(threads) };
        self.0.entry((threads, eager)).or_insert_with(make)
    }
}
