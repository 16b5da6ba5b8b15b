//! Resource pools: what there is, what is held. Leaves out who waits for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::exec::Error;
use crate::plan::{Action, ActionKind, Plan};

/// The pool of processors: as many as the machine has, or as many as `-j` says if that is more. An
/// action that starts a process and does not name it holds 1.
pub(super) const CPU: &str = "cpu";
/// The pool of memory, in bytes.
pub(super) const MEMORY: &str = "memory";

/// How much an action holds of each pool, by the index of the pool; sorted, without zeros.
pub(super) type Needs = Vec<(usize, u64)>;

/// The pools of a run. Of those of one name, runs that go on side by side take from the same.
#[derive(Debug)]
pub(super) struct Pools {
    names: Arc<[String]>,
    /// As this run has it; `None`: it does not know the pool.
    capacity: Vec<Option<u64>>,
    /// By all of them. It changes under their one lock only.
    held: Arc<[AtomicU64]>,
}

impl Pools {
    /// The pools of each of several plans, whose runs go on side by side, with the built-in ones, unless a plan
    /// declares these itself. Each goes by what it says itself of how much there is.
    pub(super) fn of(plans: &[&Plan], cpus: u64, memory: u64) -> Vec<Self> {
        let each = plans.iter().map(|plan| {
            let mut all: BTreeMap<&str, u64> = [(CPU, cpus), (MEMORY, memory)].into();
            all.extend(plan.pools.iter().map(|(name, amount)| (name.as_str(), *amount)));
            all
        });
        let each: Vec<BTreeMap<&str, u64>> = each.collect();
        let names: BTreeSet<&str> = each.iter().flat_map(|pools| pools.keys().copied()).collect();
        let names: Arc<[String]> = names.into_iter().map(str::to_owned).collect();
        let held: Arc<[AtomicU64]> = names.iter().map(|_| AtomicU64::new(0)).collect();
        let one = |pools: BTreeMap<&str, u64>| {
            let capacity = names.iter().map(|name| pools.get(name.as_str()).copied()).collect();
            Self { names: Arc::clone(&names), capacity, held: Arc::clone(&held) }
        };
        each.into_iter().map(one).collect()
    }

    /// How much of a pool is free.
    fn free(&self, pool: usize) -> u64 {
        self.capacity(pool).saturating_sub(self.held[pool].load(Ordering::Relaxed))
    }

    /// What an action holds while it runs. An amount that can never be had is an error.
    pub(super) fn needs(&self, action: &Action) -> Result<Needs, Error> {
        let mut needs: BTreeMap<usize, u64> = BTreeMap::new();
        for need in &action.policy.holds {
            let found = self.names.binary_search(&need.pool).ok();
            let Some(pool) = found.filter(|pool| self.capacity[*pool].is_some()) else {
                return Err(Error::PoolUnknown { addr: action.addr.clone(), pool: need.pool.clone() });
            };
            let sum = needs.entry(pool).or_default();
            *sum = sum.saturating_add(need.amount);
        }
        if let (ActionKind::Exec { .. }, Ok(cpu)) =
            (&action.spec.kind, self.names.binary_search_by(|n| n.as_str().cmp(CPU)))
        {
            needs.entry(cpu).or_insert(1);
        }
        needs.retain(|_, amount| *amount > 0);
        for (pool, amount) in &needs {
            if *amount > self.capacity(*pool) {
                return Err(Error::PoolTooSmall {
                    addr: action.addr.clone(),
                    pool: self.names[*pool].clone(),
                    amount: *amount,
                    capacity: self.capacity(*pool),
                });
            }
        }
        Ok(needs.into_iter().collect())
    }

    /// Whether these can be had now.
    pub(super) fn fit(&self, needs: &Needs) -> bool {
        needs.iter().all(|(pool, amount)| self.free(*pool) >= *amount)
    }

    /// How much there is of a pool.
    pub(super) fn capacity(&self, pool: usize) -> u64 {
        self.capacity[pool].unwrap_or(0)
    }

    /// The pools, by name, of which less is free than that.
    pub(super) fn short<'a>(&'a self, needs: &'a Needs) -> impl Iterator<Item = &'a str> {
        let short = |(pool, amount): &&(usize, u64)| self.free(*pool) < *amount;
        needs.iter().filter(short).map(|(pool, _)| self.names[*pool].as_str())
    }

    /// Takes them. They must fit.
    pub(super) fn take(&mut self, needs: &Needs) {
        for (pool, amount) in needs {
            let held = self.held[*pool].fetch_add(*amount, Ordering::Relaxed) + amount;
            assert!(held <= self.capacity(*pool), "a pool never gives more than it has");
        }
    }

    /// Gives them back.
    pub(super) fn give_back(&mut self, needs: &Needs) {
        for (pool, amount) in needs {
            let held = self.held[*pool].fetch_sub(*amount, Ordering::Relaxed);
            assert!(held >= *amount, "only what was taken comes back");
        }
    }
}
