//! Resource pools: what there is, what is held. Leaves out who waits for them.

use std::collections::BTreeMap;

use crate::exec::Error;
use crate::plan::{Action, ActionKind, Plan};

/// The pool of processors: as many as the machine has, or as many as `-j` says if that is more. An
/// action that starts a process and does not name it holds 1.
pub(super) const CPU: &str = "cpu";
/// The pool of memory, in bytes.
pub(super) const MEMORY: &str = "memory";

/// How much an action holds of each pool, by the index of the pool; sorted, without zeros.
pub(super) type Needs = Vec<(usize, u64)>;

/// The pools of a run.
#[derive(Debug)]
pub(super) struct Pools {
    names: Vec<String>,
    capacity: Vec<u64>,
    held: Vec<u64>,
}

impl Pools {
    /// The pools of a plan with the built-in ones, unless the plan declares these itself.
    pub(super) fn new(plan: &Plan, cpus: u64, memory: u64) -> Self {
        let mut all: BTreeMap<String, u64> = [(CPU.to_owned(), cpus), (MEMORY.to_owned(), memory)].into();
        all.extend(plan.pools.clone());
        let (names, capacity): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        let held = vec![0; names.len()];
        Self { names, capacity, held }
    }

    /// What an action holds while it runs. An amount that can never be had is an error.
    pub(super) fn needs(&self, action: &Action) -> Result<Needs, Error> {
        let mut needs: BTreeMap<usize, u64> = BTreeMap::new();
        for need in &action.policy.holds {
            let Ok(pool) = self.names.binary_search(&need.pool) else {
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
            if *amount > self.capacity[*pool] {
                return Err(Error::PoolTooSmall {
                    addr: action.addr.clone(),
                    pool: self.names[*pool].clone(),
                    amount: *amount,
                    capacity: self.capacity[*pool],
                });
            }
        }
        Ok(needs.into_iter().collect())
    }

    /// Whether these can be had now.
    pub(super) fn fit(&self, needs: &Needs) -> bool {
        needs.iter().all(|(pool, amount)| self.capacity[*pool] - self.held[*pool] >= *amount)
    }

    /// How much there is of a pool.
    pub(super) fn capacity(&self, pool: usize) -> u64 {
        self.capacity[pool]
    }

    /// The pools, by name, of which less is free than that.
    pub(super) fn short<'a>(&'a self, needs: &'a Needs) -> impl Iterator<Item = &'a str> {
        let short = |(pool, amount): &&(usize, u64)| self.capacity[*pool] - self.held[*pool] < *amount;
        needs.iter().filter(short).map(|(pool, _)| self.names[*pool].as_str())
    }

    /// Takes them. They must fit.
    pub(super) fn take(&mut self, needs: &Needs) {
        for (pool, amount) in needs {
            self.held[*pool] += amount;
            assert!(self.held[*pool] <= self.capacity[*pool], "a pool never gives more than it has");
        }
    }

    /// Gives them back.
    pub(super) fn give_back(&mut self, needs: &Needs) {
        for (pool, amount) in needs {
            assert!(self.held[*pool] >= *amount, "only what was taken comes back");
            self.held[*pool] -= amount;
        }
    }
}
