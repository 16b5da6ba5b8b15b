//! What a run may still spend: before something that costs is started its upper bound is set aside, when it ended what
//! it did cost is taken off, and the rest is free again. So things that start side by side cannot go beyond the budget
//! together. Leaves out where prices come from, and what other runs spend (`purse`).

use std::collections::{BTreeMap, BTreeSet};

use std::time::Duration;

use crate::exec::purse::{Account, Asked, Whose};
use crate::plan::{Action, TenantTerms, Terms};
use crate::store::Error as StoreError;

/// What a run may spend, and what happens then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Allowance {
    /// In micro-dollars; `None`: whatever it takes.
    pub(super) micro_usd: Option<u64>,
    /// Whether only what costs is not started any more, and all else is.
    pub(super) pauses: bool,
}

impl Allowance {
    /// The smallest of what was asked for, of the graph's budget and of its tenant's. Of a tenant's for a longer time
    /// a run may spend all, if no other does.
    pub(super) fn of(terms: &Terms, asked: Option<u64>) -> Self {
        let tenant = terms.tenant.as_ref().and_then(TenantTerms::allowance);
        let stops = [asked, terms.budget].into_iter().flatten().map(|usd| (usd, false));
        let least = stops.chain(tenant).min();
        least.map_or_else(Self::default, |(usd, pauses)| Self { micro_usd: Some(usd), pauses })
    }
}

/// What an action costs at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Price {
    /// An attempt, in micro-dollars.
    each: u64,
    /// Who is paid once in a run, and how much.
    once: Option<(String, u64)>,
}

impl Price {
    /// By the route of an action and the prices there.
    pub(super) fn of(action: &Action) -> Self {
        let Some(route) = &action.route else { return Self::default() };
        let attempts = action.policy.retry.as_ref().map_or(1, |retry| u64::from(retry.max) + 1);
        let once = (route.once > 0).then(|| (format!("{} {}", route.kind, route.chosen), route.once));
        Self { each: route.at_most.div_ceil(attempts), once }
    }

    /// What an attempt costs at most, in micro-dollars, but for what is paid once.
    pub(super) fn each(&self) -> u64 {
        self.each
    }
}

/// Whether something may be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Yes.
    Now,
    /// Perhaps when something that runs has cost less than it might.
    Later,
    /// No more.
    Never,
}

/// That there is not enough left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lack {
    /// What was asked for, in micro-dollars.
    pub(super) needed: u64,
    /// What is left of it.
    pub(super) left: u64,
    /// Whose budget that is; `None`: the run's.
    pub(super) whose: Option<Whose>,
}

/// The budget of a run, in micro-dollars.
#[derive(Debug, Default)]
pub(super) struct Budget {
    /// What other runs spend from, too.
    account: Option<Account>,
    /// What `Clock::elapsed` told last.
    now: Duration,
    /// `None`: there is no end to it.
    limit: Option<u64>,
    spent: u64,
    /// Set aside for what runs, by action.
    held: BTreeMap<u32, u64>,
    /// Who has been paid what is paid once.
    paid: BTreeSet<String>,
    /// What was paid so together with what is set aside.
    paid_with: BTreeMap<u32, u64>,
}

impl Budget {
    /// A budget of this much.
    pub(super) fn of(limit: Option<u64>) -> Self {
        Self { limit, ..Self::default() }
    }

    /// The same, of which other runs take, too.
    pub(super) fn shared(self, account: Option<Account>) -> Self {
        Self { account, ..self }
    }

    /// Tells what time it is. Gives for how long nothing that costs can be started, if that is so.
    pub(super) fn look(&mut self, now: Duration) -> Option<Duration> {
        self.now = now;
        self.account.as_ref()?.pause(now)
    }

    fn once(&self, price: &Price) -> u64 {
        price.once.as_ref().filter(|(who, _)| !self.paid.contains(who)).map_or(0, |(_, usd)| *usd)
    }

    fn cost(&self, price: &Price) -> u64 {
        price.each.saturating_add(self.once(price))
    }

    /// What is left, less what is set aside.
    fn free(&self) -> Option<u64> {
        let held = self.held.values().fold(self.spent, |sum, held| sum.saturating_add(*held));
        Some(self.limit?.saturating_sub(held))
    }

    /// Whether something may be started.
    pub(super) fn room(&self, price: &Price) -> Room {
        let cost = self.cost(price);
        if cost > 0 && self.account.as_ref().is_some_and(|account| account.pause(self.now).is_some()) {
            return Room::Later;
        }
        match (self.limit, self.free()) {
            // What costs nothing is nobody's business.
            (Some(limit), Some(free)) if cost > free => {
                if cost <= limit.saturating_sub(self.spent) {
                    Room::Later
                } else {
                    Room::Never
                }
            }
            _ => Room::Now,
        }
    }

    /// What something would cost at most, and what is left for it.
    pub(super) fn lack(&self, price: &Price) -> Lack {
        let left = self.limit.unwrap_or(u64::MAX).saturating_sub(self.spent);
        Lack { needed: self.cost(price), left, whose: None }
    }

    /// Sets the upper bound of an attempt aside, where others take from, too; then [`Self::reserve`] it. The error is
    /// that there will not be enough; `false`, that there may be later.
    pub(super) fn ask(&mut self, id: u32, price: &Price) -> Result<Result<bool, Lack>, StoreError> {
        let (needed, once) = (self.cost(price), self.once(price));
        let Some(account) = self.account.as_mut().filter(|_| needed > 0) else { return Ok(Ok(true)) };
        Ok(match account.ask(id, price.each, once, self.now)? {
            Asked::Yes => Ok(true),
            Asked::Later => Ok(false),
            Asked::No(left) => Err(Lack { needed, left, whose: Some(account.whose()) }),
        })
    }

    /// Sets the upper bound of an attempt aside. What is paid once is spent at once: whoever is first pays it.
    pub(super) fn reserve(&mut self, id: u32, price: &Price) {
        let once = self.once(price);
        if once > 0 && price.each > 0 {
            self.paid_with.insert(id, once);
        }
        if let Some((who, usd)) = &price.once
            && self.paid.insert(who.clone())
        {
            self.spent = self.spent.saturating_add(*usd);
        }
        if price.each > 0 {
            self.held.insert(id, price.each);
        }
    }

    /// Takes off what an attempt did cost. Without a word about it that is what was set aside.
    pub(super) fn settle(&mut self, id: u32, actual: Option<u64>) {
        let held = self.held.remove(&id);
        let spent = actual.or(held).unwrap_or(0);
        self.spent = self.spent.saturating_add(spent);
        let once = self.paid_with.remove(&id).unwrap_or(0);
        if let Some(account) = self.account.as_mut().filter(|_| held.is_some()) {
            account.settle(id, spent.saturating_add(once));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(each: u64, once: Option<(&str, u64)>) -> Price {
        Price { each, once: once.map(|(who, usd)| (who.to_owned(), usd)) }
    }

    #[test]
    fn what_runs_side_by_side_does_not_go_beyond_it_together() {
        let mut budget = Budget::of(Some(100));
        let (sixty, forty) = (price(60, None), price(40, None));
        assert_eq!(budget.room(&sixty), Room::Now);
        budget.reserve(1, &sixty);
        assert_eq!(budget.room(&sixty), Room::Later, "it is not spent yet");
        assert_eq!(budget.room(&forty), Room::Now);
        budget.reserve(2, &forty);
        assert_eq!(budget.room(&price(1, None)), Room::Later);
        assert_eq!(budget.room(&price(0, None)), Room::Now, "what costs nothing is free to go");
        budget.settle(1, Some(10));
        assert_eq!(budget.room(&sixty), Room::Later);
        budget.settle(2, Some(5));
        assert_eq!(budget.room(&sixty), Room::Now);
        // Without a word of it, it did cost all.
        budget.reserve(3, &sixty);
        budget.settle(3, None);
        assert_eq!(budget.room(&forty), Room::Never);
        let lack = |needed, left| Lack { needed, left, whose: None };
        assert_eq!(budget.lack(&forty), lack(40, 25));
        assert_eq!(budget.room(&price(101, None)), Room::Never);
        assert_eq!(Budget::of(None).room(&price(u64::MAX, None)), Room::Now);
    }

    #[test]
    fn the_smallest_allowance_wins_and_says_what_happens() {
        let tenant = |budget: &str| TenantTerms {
            name: "t".into(),
            budget: Some(budget.into()),
            tiers: vec![],
            trust: None,
            capabilities: None,
            quota: BTreeMap::new(),
            weight: 1,
        };
        let of = |tenant, budget, asked| Allowance::of(&Terms { tenant, budget, ..Terms::default() }, asked);
        assert_eq!(of(None, None, None), Allowance::default());
        let month = Some(tenant("$0.50 per month, then pause"));
        assert_eq!(of(month.clone(), None, None), Allowance { micro_usd: Some(500_000), pauses: true });
        assert_eq!(of(month.clone(), Some(400_000), None), Allowance { micro_usd: Some(400_000), pauses: false });
        assert_eq!(of(month, Some(600_000), Some(7)), Allowance { micro_usd: Some(7), pauses: false });
        let run = Some(tenant("$2.00 per run, then stop"));
        assert_eq!(of(run, Some(2_000_001), None), Allowance { micro_usd: Some(2_000_000), pauses: false });
    }

    #[test]
    fn what_is_paid_once_is_paid_by_the_first() {
        let mut budget = Budget::of(Some(100));
        let with = |each| price(each, Some(("tool x", 70)));
        assert_eq!(budget.room(&with(40)), Room::Never, "together they are more");
        budget.reserve(1, &with(10));
        assert_eq!(budget.room(&with(20)), Room::Now);
        assert_eq!(budget.room(&with(21)), Room::Later);
        budget.settle(1, Some(200));
        assert_eq!(budget.room(&with(1)), Room::Never, "more than was set aside is taken off all the same");
        assert_eq!(budget.lack(&with(1)), Lack { needed: 1, left: 0, whose: None });
    }
}
