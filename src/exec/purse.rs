//! What a tenant has for a day, a week or a month: a budget that a run shares with those before it and beside it. Leaves out
//! the budget of a run alone, and where what was spent is kept.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{Clock, Period};
use crate::plan::TenantTerms;
use crate::store::{Error as StoreError, SetAside, Spending};

/// When those who hold what is lacking are asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// Where what tenants spend is kept, and who of those that spend is alive.
#[derive(Clone)]
pub struct Purse {
    /// What was spent.
    pub spending: Arc<Spending>,
    /// Whether a run is under way. What others have set aside may still come back; else nobody waits for it.
    pub is_alive: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl fmt::Debug for Purse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Purse").field("spending", &self.spending).finish_non_exhaustive()
    }
}

/// Whose budget it is that is spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Whose {
    /// In words: of the tenant, for the time.
    pub(super) words: String,
    /// Whether only what costs is not started any more, and all else is.
    pub(super) pauses: bool,
}

/// Whether something could be set aside.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// It is.
    Yes,
    /// Perhaps when another run says what it came to, or a part of this one.
    Later,
    /// Not in this time. This much is left, in micro-dollars.
    No(u64),
}

/// What a tenant has for a time.
pub(super) struct Account {
    purse: Purse,
    clock: Arc<dyn Clock>,
    run: String,
    tenant: String,
    limit: u64,
    period: Period,
    pauses: bool,
    /// Rows of what is set aside, by action.
    rows: BTreeMap<u32, i64>,
    /// Until then nothing is asked for.
    until: Option<Duration>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("tenant", &self.tenant).field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl Account {
    /// The account of a tenant, if its budget is for a time.
    pub(super) fn of(
        tenant: Option<&TenantTerms>,
        purse: Option<&Purse>,
        run: &str,
        clock: &Arc<dyn Clock>,
    ) -> Option<Self> {
        let (tenant, purse) = (tenant?, purse?);
        let period = tenant.period()?;
        let (limit, pauses) = tenant.allowance()?;
        Some(Self {
            purse: purse.clone(),
            clock: Arc::clone(clock),
            run: run.to_owned(),
            tenant: tenant.name.clone(),
            limit,
            period,
            pauses,
            rows: BTreeMap::new(),
            until: None,
        })
    }

    pub(super) fn whose(&self) -> Whose {
        let words = format!(" of tenant `{}` for this {} (in UTC)", self.tenant, self.period.word());
        Whose { words, pauses: self.pauses }
    }

    /// How long nothing is to be asked for, at this time.
    pub(super) fn pause(&self, now: Duration) -> Option<Duration> {
        self.until.filter(|until| *until > now).map(|until| until.saturating_sub(now))
    }

    /// Sets what an attempt may cost aside, with what is paid at once.
    pub(super) fn ask(&mut self, id: u32, each: u64, once: u64, now: Duration) -> Result<Asked, StoreError> {
        let at = self.clock.now();
        let since = self.period.begin(at);
        let amount = each.saturating_add(once);
        let who = (self.tenant.as_str(), self.run.as_str());
        match self.purse.spending.set_aside(who, since, (amount, self.limit), at)? {
            SetAside::Done(row) => {
                self.until = None;
                if each == 0 {
                    self.purse.spending.settle(row, once)?;
                } else {
                    self.rows.insert(id, row);
                }
                Ok(Asked::Yes)
            }
            SetAside::Lack { left, open } => {
                let alive = open.iter().filter(|(run, _)| *run == self.run || (self.purse.is_alive)(run));
                let open = alive.fold(0_u64, |sum, (_, micro_usd)| sum.saturating_add(*micro_usd));
                let most = left.saturating_add(open);
                if amount > most {
                    return Ok(Asked::No(most));
                }
                self.until = Some(now + PAUSE);
                Ok(Asked::Later)
            }
        }
    }

    /// Writes what an attempt came to, with what was paid at once. Where that cannot be written, it counts as what it might
    /// have come to.
    pub(super) fn settle(&mut self, id: u32, micro_usd: u64) {
        // What this run has set aside may be what it waits for itself.
        self.until = None;
        let Some(row) = self.rows.remove(&id) else { return };
        if let Err(error) = self.purse.spending.settle(row, micro_usd) {
            tracing::warn!(%error, "what was spent was not noted");
        }
    }
}
