//! What a run would do, without doing it: keys are computed and results looked up as the executor
//! does, by the same code, as far as that is possible before anything has run. Leaves out durations
//! of what was never run, and everything that is not the store's, the history's or the plan's.
//!
//! It promises what it can keep. A `hit` is one whose key is known and whose result is there, whole
//! where something that runs takes it in. A `run` has a key without a result. What takes in the
//! output of something that will run has no key yet: whether it runs is decided by what comes out,
//! so it is `maybe-cut-off` and nothing more is claimed. The store is read; what is found corrupt is
//! set aside as in a run. Tools are asked for their identity, as without it there is no key.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::{ActionKey, Digest, Entry};
use crate::event::Reason;
use crate::exec::attempts::Attempts;
use crate::exec::engine::{Engine, Resolution};
use crate::exec::error::{Error, Trouble};
use crate::exec::flights::Flights;
use crate::exec::hygiene::Hygiene;
use crate::exec::lookup::lost_reason;
use crate::exec::ports::{Ports, Standing};
use crate::exec::run::Request;
use crate::exec::sched::producers;
use crate::exec::services::Services;
use crate::exec::stage::remove;
use crate::exec::workspace::Workspace;
use crate::plan::{Action, ActionId, ActionKind, Class, Consent, Plan, topological};
use crate::store::{Cas, Claim, ClaimOutput, Claims, Error as StoreError, Found};

/// What an action will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Prospect {
    /// Its result is known: it is not executed.
    Hit,
    /// It is executed.
    Run,
    /// It takes in what something above it makes anew, and is executed unless that comes out equal;
    /// or the store lost its result, and it is executed unless something else brings that back.
    MaybeCutOff,
    /// Its class is never cached: it is executed.
    Volatile,
    /// It changes something outside: it is executed.
    Effect,
    /// It waits for an approval that is not on record, or for something that does.
    Gated,
    /// It cannot be executed: a tool or an input is missing, or something it needs cannot.
    Fail,
}

impl Prospect {
    /// The word in every form of a forecast.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Run => "run",
            Self::MaybeCutOff => "maybe-cut-off",
            Self::Volatile => "volatile",
            Self::Effect => "effect",
            Self::Gated => "gated",
            Self::Fail => "fail",
        }
    }

    /// Whether it is executed, for certain or perhaps.
    pub fn executes(self) -> bool {
        matches!(self, Self::Run | Self::Volatile | Self::Effect | Self::MaybeCutOff)
    }
}

/// What one action will do, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionForecast {
    /// The address.
    pub addr: String,
    /// What it will do.
    pub prospect: Prospect,
    /// Why; unknown where the key is.
    pub reason: Option<Reason>,
    /// The key, where it is known beforehand.
    pub key: Option<ActionKey>,
    /// How long it may be expected to take if it is executed, in milliseconds.
    pub expected_ms: Option<u64>,
    /// Why it cannot be executed.
    pub failure: Option<String>,
    /// What it costs if it is executed.
    pub cost: Cost,
}

/// What executing an action costs at most, by its route and the prices there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// All attempts together, in micro-dollars.
    pub each: u64,
    /// Who serves it at a price that is paid once in a run, and that price.
    pub once: Option<(String, u64)>,
}

/// Work and money of what is executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expense {
    /// Milliseconds of what is executed for certain.
    pub least_ms: u64,
    /// The same with what may be.
    pub most_ms: u64,
    /// Actions of either that have no history to tell from.
    pub untimed: usize,
    /// The most that costs which is executed for certain, in micro-dollars.
    pub least_usd: u64,
    /// The same with what may be.
    pub most_usd: u64,
}

/// What a run will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// The plan.
    pub plan: Digest,
    /// The actions that the targets need, in address order.
    pub actions: Vec<ActionForecast>,
}

impl Forecast {
    /// How many actions have a prospect.
    pub fn count(&self, prospect: Prospect) -> usize {
        self.actions.iter().filter(|action| action.prospect == prospect).count()
    }

    /// Work and money of all that is executed.
    pub fn expense(&self) -> Expense {
        self.expense_of(|_| true)
    }

    /// Work and money of those actions that are asked for.
    pub fn expense_of(&self, asked: impl Fn(&ActionForecast) -> bool) -> Expense {
        let mut sum = Expense::default();
        // Paid once, by whom it is paid to: for certain or perhaps.
        let mut once: BTreeMap<&str, (u64, bool)> = BTreeMap::new();
        for action in self.actions.iter().filter(|action| action.prospect.executes() && asked(action)) {
            let certain = action.prospect != Prospect::MaybeCutOff;
            if let Some(ms) = action.expected_ms {
                sum.most_ms = sum.most_ms.saturating_add(ms);
                sum.least_ms = sum.least_ms.saturating_add(if certain { ms } else { 0 });
            } else {
                sum.untimed += 1;
            }
            sum.most_usd = sum.most_usd.saturating_add(action.cost.each);
            sum.least_usd = sum.least_usd.saturating_add(if certain { action.cost.each } else { 0 });
            if let Some((who, usd)) = &action.cost.once {
                once.entry(who).or_insert((*usd, false)).1 |= certain;
            }
        }
        for (usd, certain) in once.into_values() {
            sum.most_usd = sum.most_usd.saturating_add(usd);
            sum.least_usd = sum.least_usd.saturating_add(if certain { usd } else { 0 });
        }
        sum
    }
}

/// Claims that can be looked at only: a forecast changes nothing of what is known.
struct ReadOnly(Arc<dyn Claims>);

impl Claims for ReadOnly {
    fn lookup(&self, key: ActionKey) -> Result<Vec<Claim>, StoreError> {
        self.0.lookup(key)
    }

    fn record(&self, _claim: Claim) -> Result<(), StoreError> {
        Ok(())
    }

    fn forget(&self, _key: ActionKey) -> Result<(), StoreError> {
        Ok(())
    }

    fn dropped_for(&self, key: ActionKey) -> Option<Digest> {
        self.0.dropped_for(key)
    }

    fn hold(&self, _key: ActionKey, _why: &str) -> Result<(), StoreError> {
        Ok(())
    }

    fn release(&self, _key: ActionKey) -> Result<(), StoreError> {
        Ok(())
    }

    fn held(&self, key: ActionKey) -> Result<Option<String>, StoreError> {
        self.0.held(key)
    }
}

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Tells what [`crate::exec::execute`] would do with the same request, now. Tools that are `unasked` are not
/// started to say who they are: what needs one has no key, and may be executed. Blocks.
pub fn forecast(request: &Request, ports: &Ports, unasked: &BTreeSet<String>) -> Result<Forecast, Error> {
    let ports = Ports { claims: Arc::new(ReadOnly(Arc::clone(&ports.claims))), ..ports.clone() };
    let hygiene = Hygiene::enter()?;
    let scratch = Scratch(ports.cas.scratch()?);
    let wanted = closure(request);
    let order: Vec<ActionId> = topological(&request.plan).into_iter().filter(|id| wanted.contains(id)).collect();
    // Actions whose result was there and turned out not to be whole.
    let mut lost: BTreeMap<ActionId, Reason> = BTreeMap::new();
    let mut number = 0;
    let mut found = loop {
        let pass = scratch.0.join(number.to_string());
        std::fs::create_dir(&pass).map_err(Error::io("make directory", &pass))?;
        let before = lost.len();
        let found = Pass { request, ports: &ports, scratch: &pass, unasked }.run(&order, &mut lost)?;
        // Every other pass has lost one more action, so that this ends.
        if lost.len() == before {
            break found;
        }
        number += 1;
    };
    doubt_losses(&request.plan, &mut found);
    drop(scratch);
    drop(hygiene);
    Ok(Forecast { plan: request.plan.digest, actions: found.into_values().collect() })
}

/// A lost blob may come back before its action is looked at, as another that runs leaves or takes in
/// the same bytes. So an action that only lost its result runs for certain only if nothing else does
/// besides what is below it.
fn doubt_losses(plan: &Plan, found: &mut BTreeMap<ActionId, ActionForecast>) {
    let open =
        |forecast: &ActionForecast| !matches!(forecast.prospect, Prospect::Hit | Prospect::Gated | Prospect::Fail);
    let is_lost = |forecast: &ActionForecast| {
        forecast.prospect == Prospect::Run
            && matches!(forecast.reason, Some(Reason::BlobMissing { .. } | Reason::BlobCorrupt { .. }))
    };
    let lost: Vec<ActionId> = found.iter().filter(|(_, forecast)| is_lost(forecast)).map(|(id, _)| *id).collect();
    let [only] = lost.as_slice() else {
        for id in &lost {
            found.entry(*id).and_modify(|forecast| forecast.prospect = Prospect::MaybeCutOff);
        }
        return;
    };
    let mut below = BTreeSet::from([*only]);
    for id in topological(plan) {
        if plan.action(id).dependencies().iter().any(|above| below.contains(above)) {
            below.insert(id);
        }
    }
    if found.iter().any(|(id, forecast)| open(forecast) && !below.contains(id)) {
        found.entry(*only).and_modify(|forecast| forecast.prospect = Prospect::MaybeCutOff);
    }
}

/// The targets with all that they need.
fn closure(request: &Request) -> BTreeSet<ActionId> {
    let plan = &request.plan;
    let mut open: Vec<ActionId> =
        if request.targets.is_empty() { plan.ordinary().map(|(id, _)| id).collect() } else { request.targets.clone() };
    let mut all = BTreeSet::new();
    while let Some(id) = open.pop() {
        if all.insert(id) {
            open.extend(plan.action(id).dependencies());
        }
    }
    all
}

/// One look at everything, with what is known to be lost.
struct Pass<'a> {
    request: &'a Request,
    ports: &'a Ports,
    scratch: &'a std::path::Path,
    unasked: &'a BTreeSet<String>,
}

impl Pass<'_> {
    fn run(
        &self,
        order: &[ActionId],
        lost: &mut BTreeMap<ActionId, Reason>,
    ) -> Result<BTreeMap<ActionId, ActionForecast>, Error> {
        let (request, ports) = (self.request, self.ports);
        let workspace = Workspace::of(request, ports)?;
        let attempts = Attempts::new(self.scratch)?;
        let plan: &Plan = &request.plan;
        // None is ever started: nothing is executed.
        let services = Services::new(plan, &[], self.scratch, None);
        let flights = Flights::default();
        let beside = (&flights, 0);
        let engine = Engine::new(request, ports, &workspace, self.scratch, &attempts, services, beside);
        let mut found: BTreeMap<ActionId, ActionForecast> = BTreeMap::new();
        let mut outputs: BTreeMap<ActionId, Vec<ClaimOutput>> = BTreeMap::new();
        for id in order {
            let action = plan.action(*id);
            let mut forecast = ActionForecast {
                addr: action.addr.clone(),
                prospect: Prospect::MaybeCutOff,
                reason: None,
                key: None,
                expected_ms: self.expected(*id),
                failure: None,
                cost: cost(action),
            };
            let unasked = self.unasked_tool(action);
            let failing = action
                .dependencies()
                .into_iter()
                .find(|dependency| found.get(dependency).is_some_and(|above| above.prospect == Prospect::Fail));
            let gated = action
                .dependencies()
                .into_iter()
                .find(|dependency| found.get(dependency).is_some_and(|above| above.prospect == Prospect::Gated));
            let known = producers(plan, *id)
                .into_iter()
                .all(|above| found.get(&above).is_some_and(|above| above.prospect == Prospect::Hit));
            if let Some(failing) = failing {
                let addr = plan.action(failing).addr.clone();
                forecast.prospect = Prospect::Fail;
                forecast.failure = Some(format!("`{addr}`, which it needs, cannot run"));
                forecast.reason = Some(Reason::ProducerFailed { addr });
            } else if let ActionKind::Approval(approval) = &action.spec.kind {
                match ports.approver.standing(&Consent { plan: plan.digest, addr: &action.addr, approval }) {
                    Standing::Given { by } => {
                        forecast.prospect = Prospect::Hit;
                        forecast.reason = Some(Reason::Approved { by });
                    }
                    Standing::Missing { text } => {
                        forecast.prospect = Prospect::Gated;
                        forecast.reason = Some(Reason::ApprovalMissing);
                        forecast.failure = Some(text);
                    }
                }
            } else if let Some(gated) = gated {
                forecast.prospect = Prospect::Gated;
                forecast.reason = Some(Reason::ProducerFailed { addr: plan.action(gated).addr.clone() });
            } else if known && unasked.is_none() {
                let resolved = engine.resolve(*id, lost.get(id).cloned());
                if !matches!(resolved, Ok(Resolution::Miss(_))) {
                    flights.end((0, id.0));
                }
                match resolved {
                    Ok(Resolution::Hit(hit)) => {
                        forecast.prospect = Prospect::Hit;
                        forecast.reason = Some(hit.prepared.reason);
                        forecast.key = Some(hit.prepared.key);
                        outputs.insert(*id, hit.claim.outputs);
                    }
                    Ok(Resolution::Miss(prepared)) => {
                        forecast.prospect = match prepared.reason {
                            Reason::Volatile => Prospect::Volatile,
                            Reason::Effect => Prospect::Effect,
                            _ => Prospect::Run,
                        };
                        forecast.reason = Some(prepared.reason.clone());
                        forecast.key = Some(prepared.key);
                    }
                    // It has the result of another, unless that fails.
                    Ok(Resolution::Follows) => {}
                    Err(Trouble::Fail(failure)) => {
                        forecast.prospect = Prospect::Fail;
                        forecast.failure = Some(failure.text);
                    }
                    Err(Trouble::Lost(gone)) => {
                        // A part of what a producer left is gone: it is made anew, and this waits.
                        if let Some(producer) = gone.producer {
                            lost.insert(producer, lost_reason(&gone));
                        }
                    }
                    Err(Trouble::Cancelled) => {
                        forecast.prospect = Prospect::Fail;
                        forecast.failure = Some("it was stopped".to_owned());
                    }
                    Err(Trouble::Fatal(error)) => return Err(error),
                }
            } else if action.spec.class == Class::Volatile {
                forecast.prospect = Prospect::Volatile;
                forecast.reason = Some(Reason::Volatile);
            } else if action.spec.class == Class::Effect {
                forecast.prospect = Prospect::Effect;
                forecast.reason = Some(Reason::Effect);
            } else if request.is_forced(&action.addr) {
                forecast.prospect = Prospect::Run;
                forecast.reason = Some(Reason::Forced);
            } else if let Some(name) = unasked {
                forecast.reason = Some(Reason::ToolChanged { name });
            }
            found.insert(*id, forecast);
        }
        self.look_into(&found, &outputs, lost)?;
        Ok(found)
    }

    /// Reads what is known and will be staged: only what is whole is not made anew.
    fn look_into(
        &self,
        found: &BTreeMap<ActionId, ActionForecast>,
        outputs: &BTreeMap<ActionId, Vec<ClaimOutput>>,
        lost: &mut BTreeMap<ActionId, Reason>,
    ) -> Result<(), Error> {
        let mut taken: BTreeSet<ActionId> = BTreeSet::new();
        for (id, forecast) in found {
            if !matches!(forecast.prospect, Prospect::Hit | Prospect::Gated | Prospect::Fail) {
                taken.extend(producers(&self.request.plan, *id));
            }
        }
        let mut read = BTreeSet::new();
        for id in taken {
            for output in outputs.get(&id).into_iter().flatten() {
                if let Some(reason) = broken(&*self.ports.cas, &output.entry, &mut read)? {
                    lost.insert(id, reason);
                    break;
                }
            }
        }
        Ok(())
    }

    /// A tool that the action needs and that is not asked who it is.
    fn unasked_tool(&self, action: &Action) -> Option<String> {
        if self.unasked.is_empty() {
            return None;
        }
        let plan: &Plan = &self.request.plan;
        let services = action.spec.services.iter().filter_map(|name| plan.service(name));
        let mut open: Vec<&str> = action
            .spec
            .tools
            .iter()
            .chain(services.flat_map(|service| &service.spec.tools))
            .map(String::as_str)
            .collect();
        let mut seen = BTreeSet::new();
        while let Some(name) = open.pop() {
            if self.unasked.contains(name) {
                return Some(name.to_owned());
            }
            if seen.insert(name) {
                open.extend(plan.tool(name).into_iter().flat_map(|tool| &tool.uses).map(String::as_str));
            }
        }
        None
    }

    fn expected(&self, id: ActionId) -> Option<u64> {
        let action = self.request.plan.action(id);
        let history = &self.ports.history;
        history.expected_ms(&action.addr).or_else(|| history.by_def(action.def).map(|row| row.duration_ms))
    }
}

fn cost(action: &Action) -> Cost {
    let Some(route) = &action.route else { return Cost::default() };
    let once = (route.once > 0).then(|| (format!("{} {}", route.kind, route.chosen), route.once));
    Cost { each: route.at_most, once }
}

/// Why an entry of the store is not whole; `None` if it is.
fn broken(cas: &dyn Cas, entry: &Entry, read: &mut BTreeSet<Digest>) -> Result<Option<Reason>, Error> {
    let lost = |digest: Digest, corrupt: bool| {
        let digest = digest.hex();
        Ok(Some(if corrupt { Reason::BlobCorrupt { digest } } else { Reason::BlobMissing { digest } }))
    };
    match entry {
        Entry::Symlink { .. } => Ok(None),
        Entry::File { digest, .. } | Entry::Dir { digest } if read.contains(digest) => Ok(None),
        Entry::File { digest, .. } => match cas.get(*digest)? {
            Found::Whole(_) => {
                read.insert(*digest);
                Ok(None)
            }
            Found::Missing => lost(*digest, false),
            Found::Corrupt => lost(*digest, true),
        },
        Entry::Dir { digest } => match cas.get_tree(*digest)? {
            Found::Whole(tree) => {
                for below in tree.entries.values() {
                    if let Some(reason) = broken(cas, below, read)? {
                        return Ok(Some(reason));
                    }
                }
                read.insert(*digest);
                Ok(None)
            }
            Found::Missing => lost(*digest, false),
            Found::Corrupt => lost(*digest, true),
        },
    }
}
