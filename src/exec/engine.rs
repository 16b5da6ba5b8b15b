//! The work on one action: its key, the look for a result, an attempt. Leaves out when it is done,
//! which the scheduler decides, and what is told of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use crate::base::{ActionKey, Digest, Manifest, Tree, Value};
use crate::event::{Event, Reason, Spent};
use crate::exec::attempts::Attempts;
use crate::exec::bounds::{Bounds, Folders};
use crate::exec::builtin::{self, Staged};
use crate::exec::check::Conditions;
use crate::exec::effects::{self, Standing};
use crate::exec::error::{Error, Failure, FailureClass, Trouble};
use crate::exec::explain::Failed;
use crate::exec::fitting::Fitting;
use crate::exec::flights::Flights;
use crate::exec::inputs::{self, Produced};
use crate::exec::judge::{held_too_much, judge, with_help, with_tail};
use crate::exec::known::Known;
use crate::exec::levels::{Levels, level_of};
use crate::exec::lookup::{self, Looked};
use crate::exec::outputs::{Most, check_declared, collect};
use crate::exec::ports::{End, Job, Network, Ports};
use crate::exec::sandbox::named_paths;
use crate::exec::sched::producers;
use crate::exec::scrub::Given;
use crate::exec::services::Services;
use crate::exec::stage::{Order, consumed};
use crate::exec::tools::{Tools, Toolset, environment, search_path};
use crate::exec::undeclared::Seen;
use crate::exec::workspace::Workspace;
use crate::exec::{Request, gate, http, reason, sbom};
use crate::plan::{
    Action, ActionId, ActionKind, Class, Isolation, Plan, Resolved, ToolIdentity, action_key, action_manifest,
    service_digest,
};
use crate::store::{Begun, Claim, ClaimOutput};

mod losses;

/// All that is shared by the workers of a run.
pub(super) struct Engine<'a> {
    pub(super) plan: &'a Plan,
    pub(super) request: &'a Request,
    pub(super) ports: &'a Ports,
    pub(super) levels: Arc<Levels>,
    pub(super) workspace: &'a Workspace,
    tools: Tools<'a>,
    attempts: &'a Attempts,
    /// Outputs of the actions that are done, by the index of the action.
    made: Vec<RwLock<Option<Made>>>,
    empty_log: OnceLock<Digest>,
    services: Services,
    /// Who goes ahead where keys are the same, and which of the runs side by side this is.
    flights: (&'a Flights, usize),
    /// When the time of the run is up.
    pub(super) deadline: Option<Duration>,
    /// Outputs that actions of the plan take in.
    consumed: BTreeSet<(ActionId, &'a str)>,
    /// The schemas of outputs.
    fitting: Fitting,
    /// Services as they are keyed: found once, so that what runs is what was looked up.
    serving: Mutex<BTreeMap<String, Arc<Serving>>>,
    /// When the first step of a node was started, where its steps have a time together.
    pub(super) begun: Mutex<BTreeMap<String, Duration>>,
}

/// A service that is resolved.
pub(super) struct Serving {
    digest: Digest,
    pub(super) inputs: Tree,
    pub(super) tools: Arc<Toolset>,
}

/// The result of an action that is done.
#[derive(Clone)]
struct Made {
    outputs: Arc<Vec<ClaimOutput>>,
    /// Whether it, or something it takes in, was executed in this run.
    fresh: bool,
}

/// An action that is resolved.
pub(super) struct Prepared {
    pub(super) key: ActionKey,
    manifest: Manifest,
    written: OnceLock<String>,
    few: OnceLock<Option<Vec<u8>>>,
    pub(super) inputs: Arc<Tree>,
    tools: Option<Arc<Toolset>>,
    /// Why it runs.
    pub(super) reason: Reason,
}

impl Prepared {
    /// The manifest as written.
    pub(super) fn manifest(&self) -> &str {
        self.written.get_or_init(|| self.manifest.to_json())
    }

    /// The levels of the inputs below the topmost, written, if they are few.
    fn few(&self, levels: &Levels) -> Option<&[u8]> {
        self.few.get_or_init(|| levels.few_below(&self.inputs)).as_deref()
    }
}

/// What came of resolving an action.
pub(super) enum Resolution {
    /// A result is known.
    Hit(Box<Hit>),
    /// It must run.
    Miss(Arc<Prepared>),
    /// Another action goes ahead with the same key.
    Follows,
}

/// A result that is known.
pub(super) struct Hit {
    pub(super) prepared: Prepared,
    pub(super) claim: Claim,
    pub(super) sizes: Vec<u64>,
    /// Whether something above it was executed in this run.
    pub(super) cut_off: bool,
    /// Whether the key is that of the last run of the address.
    pub(super) same_key: bool,
}

/// Where an attempt is made, and in what it is unlike others.
pub(super) struct Surroundings<'a> {
    /// The folder it is made below.
    pub(super) attempts: &'a Attempts,
    /// What is varied.
    pub(super) conditions: Option<&'a Conditions>,
}

/// What came of an attempt.
pub(super) struct Attempted {
    /// The outputs, sorted by name, with their sizes.
    pub(super) result: Result<(Vec<ClaimOutput>, Vec<u64>), Trouble>,
    pub(super) logs: Option<[Digest; 2]>,
    pub(super) duration: Duration,
    pub(super) isolation: Isolation,
    /// The doing of an effect of which it is not said yet how it ended.
    pub(super) effect: Option<Begun>,
    /// What it spent on models.
    pub(super) spent: Option<Spent>,
    /// Whether it may have spent more than is known.
    pub(super) unsettled: bool,
}

impl Attempted {
    /// An attempt of no effect that spent nothing.
    pub(super) fn free(result: Result<(Vec<ClaimOutput>, Vec<u64>), Trouble>, took: Duration, by: Isolation) -> Self {
        Self { result, logs: None, duration: took, isolation: by, effect: None, spent: None, unsettled: false }
    }
}

impl<'a> Engine<'a> {
    /// The executables of the tools that have been looked up.
    pub(super) fn programs(&self) -> BTreeMap<String, PathBuf> {
        self.tools.programs()
    }

    /// The tools that have been identified.
    pub(super) fn identities(&self) -> BTreeMap<String, ToolIdentity> {
        self.tools.identities()
    }

    pub(super) fn new(
        request: &'a Request,
        ports: &'a Ports,
        workspace: &'a Workspace,
        scratch: &'a Path,
        attempts: &'a Attempts,
        services: Services,
        flights: (&'a Flights, usize),
    ) -> Self {
        let plan = &*request.plan;
        let before = &request.before;
        let given = |id: ActionId| {
            let known = before.known.get(&id).filter(|_| before.given.contains(&id))?;
            Some(Made { outputs: Arc::new(known.outputs.clone()), fresh: before.fresh.contains(&id) })
        };
        Self {
            plan,
            request,
            ports,
            levels: Arc::new(Levels::new(Arc::clone(&ports.cas))),
            workspace,
            tools: Tools::new(plan, ports, workspace, scratch, attempts),
            attempts,
            made: plan.iter().map(|(id, _)| RwLock::new(given(id))).collect(),
            empty_log: OnceLock::new(),
            services,
            flights,
            deadline: request.bound().map(|bound| before.begun.unwrap_or_else(|| ports.clock.elapsed()) + bound),
            consumed: plan.iter().flat_map(|(_, action)| consumed(action)).collect(),
            fitting: Fitting::default(),
            serving: Mutex::default(),
            begun: Mutex::default(),
        }
    }

    /// The services of the run.
    pub(super) fn services(&self) -> &Services {
        &self.services
    }

    /// The levels of trees.
    pub(super) fn levels(&self) -> &Levels {
        &self.levels
    }

    /// A service with its inputs and tools, whose producers are done.
    pub(super) fn serving(&self, name: &str) -> Result<Arc<Serving>, Trouble> {
        let mut known = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(serving) = known.get(name) {
            return Ok(Arc::clone(serving));
        }
        let service = self.plan.service(name).ok_or_else(|| Error::Plan(format!("there is no service `{name}`")))?;
        let made = |id: ActionId| Some((id, self.made(id)?.outputs));
        let produced: Produced = service.producers().filter_map(made).collect();
        let inputs = inputs::merge(self.plan, &service.spec, &produced, self.workspace, &self.levels)?;
        let tools = self.tools.set(&service.spec.tools)?;
        let resolved = Resolved { inputs, tools: tools.identities.clone(), services: BTreeMap::new() };
        let digest = service_digest(service, &resolved);
        let serving = Arc::new(Serving { digest, inputs: resolved.inputs, tools });
        known.insert(name.to_owned(), Arc::clone(&serving));
        Ok(serving)
    }

    fn made(&self, id: ActionId) -> Option<Made> {
        self.made[id.index()].read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_made(&self, id: ActionId, outputs: Vec<ClaimOutput>, fresh: bool) {
        let made = Made { outputs: Arc::new(outputs), fresh };
        *self.made[id.index()].write().unwrap_or_else(PoisonError::into_inner) = Some(made);
    }

    /// The isolation that a result of this action must have been made under.
    pub(super) fn wanted(&self, action: &Action) -> Isolation {
        action.spec.isolation.max(self.request.isolation)
    }

    /// The result that an action had, with the sizes of its outputs and whether something above it was
    /// executed, if all it takes in came out as it was: its key is then the same, and need not be computed.
    pub(super) fn unchanged(&self, id: ActionId) -> Option<(&'a Known, Vec<u64>, bool)> {
        let before = &self.request.before;
        if before.changed.contains(&id) {
            return None;
        }
        let known = before.known.get(&id)?;
        let mut fresh = false;
        for producer in producers(self.plan, id) {
            let made = self.made(producer)?;
            if before.known.get(&producer)?.outputs != *made.outputs {
                return None;
            }
            fresh |= made.fresh;
        }
        if self.ports.history.latest_key(&self.plan.action(id).addr) != Some(known.key) {
            return None;
        }
        // What the store has lost is for the look-up to find out, and to heal.
        let sizes = known.outputs.iter().map(|output| self.levels.check(&output.entry).ok()).collect::<Option<_>>()?;
        self.set_made(id, known.outputs.clone(), fresh);
        Some((known, sizes, fresh))
    }

    /// Computes the key of an action whose producers are done, and looks for a result.
    pub(super) fn resolve(&self, id: ActionId, again: Option<Reason>) -> Result<Resolution, Trouble> {
        self.resolve_now(id, again).map_err(|trouble| self.attributed(id, trouble))
    }

    fn resolve_now(&self, id: ActionId, again: Option<Reason>) -> Result<Resolution, Trouble> {
        let action = self.plan.action(id);
        let mut produced = Produced::new();
        let mut fresh = false;
        for producer in producers(self.plan, id) {
            if let Some(made) = self.made(producer) {
                fresh |= made.fresh;
                produced.insert(producer, made.outputs);
            }
        }
        let inputs = inputs::merge(self.plan, &action.spec, &produced, self.workspace, &self.levels)?;
        let tools = self.toolset(action)?;
        let identities = match &action.spec.kind {
            ActionKind::Sbom(_) => self.tools.identities_of(&action.spec.tools)?,
            _ => tools.as_ref().map(|tools| tools.identities.clone()).unwrap_or_default(),
        };
        let mut services = BTreeMap::new();
        for name in &action.spec.services {
            services.insert(name.clone(), self.serving(name)?.digest);
        }
        let resolved = Resolved { inputs, tools: identities, services };
        let manifest = action_manifest(&action.spec, &resolved);
        let key = action_key(&manifest);
        let is_shared = !matches!(action.spec.class, Class::Volatile | Class::Effect);
        if is_shared && !self.flights.0.join(key, (self.flights.1, id.0)) {
            return Ok(Resolution::Follows);
        }
        let mut prepared = Prepared {
            key,
            manifest,
            written: OnceLock::new(),
            few: OnceLock::new(),
            inputs: Arc::new(resolved.inputs),
            tools,
            reason: Reason::NeverSeen,
        };
        if let Some(known) = self.kept(id, &prepared, again.as_ref())? {
            let same_key = self.ports.history.latest_key(&action.addr) == Some(key);
            let (claim, sizes, reason) = known;
            prepared.reason = reason;
            self.set_made(id, claim.outputs.clone(), fresh);
            return Ok(Resolution::Hit(Box::new(Hit { prepared, claim, sizes, cut_off: fresh, same_key })));
        }
        let told = again.or_else(|| match action.spec.class {
            Class::Volatile => Some(Reason::Volatile),
            Class::Effect => Some(Reason::Effect),
            _ => self.request.is_forced(&action.addr).then_some(Reason::Forced),
        });
        if let Some(reason) = told {
            prepared.reason = reason;
            return Ok(Resolution::Miss(Arc::new(prepared)));
        }
        let claims = self.ports.claims.lookup(key)?;
        match lookup::choose(action, self.wanted(action), claims, &*self.ports.writers, &self.levels)? {
            Looked::Hit(claim, sizes) => {
                if let (Some(cassette), Class::Record) = (&self.request.cassette, action.spec.class) {
                    effects::keep_missing(cassette, &*self.ports.cas, action, &claim)?;
                }
                let same_key = self.ports.history.latest_key(&action.addr) == Some(key);
                prepared.reason = if same_key { Reason::SameKey } else { Reason::KnownKey { run: claim.run.clone() } };
                self.set_made(id, claim.outputs.clone(), fresh);
                let hit = Hit { prepared, claim: *claim, sizes, cut_off: fresh, same_key };
                Ok(Resolution::Hit(Box::new(hit)))
            }
            Looked::Miss(told, lost) => {
                if lost.is_some() {
                    self.ports.claims.forget(key)?;
                }
                if self.request.replay_only && action.spec.class == Class::Record {
                    let text = format!("`{}` was never recorded, and only what was is given", action.addr);
                    let text = format!("{text}\nhelp: run without `--replay-only` to record it");
                    return Err(Failure::new(FailureClass::NotRecorded, text).into());
                }
                prepared.reason = told.unwrap_or_else(|| self.why(action, &prepared));
                Ok(Resolution::Miss(Arc::new(prepared)))
            }
        }
    }

    /// What the ledger or the cassette gives for an action, if it has anything to say about it.
    fn kept(
        &self,
        id: ActionId,
        prepared: &Prepared,
        again: Option<&Reason>,
    ) -> Result<Option<(Claim, Vec<u64>, Reason)>, Trouble> {
        let action = self.plan.action(id);
        let (key, forced) = (prepared.key, self.request.is_forced(&action.addr));
        let claim = |outputs: Vec<ClaimOutput>, run: &str, at: i64, duration_ms: u64, isolation: u8| {
            Ok::<_, Trouble>(Claim {
                key,
                outputs,
                logs: [self.empty_log()?; 2],
                manifest: prepared.manifest().to_owned(),
                isolation,
                duration_ms,
                created: at,
                run: run.to_owned(),
                addr: action.addr.clone(),
                overlay: String::new(),
                signed: None,
            })
        };
        match action.spec.class {
            Class::Effect => {
                let Some(ledger) = &self.request.ledger else { return Ok(None) };
                if again.is_some() {
                    let text =
                        format!("the store has lost what effect `{}` left, which is not done again", action.addr);
                    return Err(Failure::new(FailureClass::Unknown, text).into());
                }
                let now = self.ports.clock.now().0;
                let (outputs, run) = match self.asked(action, |asked| asked.look(ledger, key, now))? {
                    Standing::Open => return Ok(None),
                    Standing::Done(outputs, run) => (outputs, run),
                    Standing::Said(run) => (Vec::new(), run),
                };
                let sizes = outputs.iter().map(|output| self.levels.check(&output.entry)).collect::<Result<_, _>>()?;
                let claim = claim(outputs, &run, now, 0, 0)?;
                Ok(Some((claim, sizes, Reason::EffectDone { run })))
            }
            Class::Record if !forced => {
                let Some(cassette) = &self.request.cassette else { return Ok(None) };
                let known = self.ports.claims.lookup(key)?;
                let counts = |claim: &Claim| self.ports.writers.refuse(claim, &known).is_none();
                if again.is_none() && known.iter().any(counts) {
                    // The store knows, or says why what it knows does not stand.
                    return Ok(None);
                }
                let Some(replay) = effects::replay(cassette, &*self.ports.cas, &self.levels, action, key)? else {
                    return Ok(None);
                };
                let (outputs, sizes) = self.measured(replay.outputs)?;
                let claim = claim(outputs, &replay.run, replay.at, replay.duration_ms, replay.isolation)?;
                if claim.isolation < lookup::rank(self.wanted(action)) {
                    return Ok(None);
                }
                self.ports.claims.record(self.written(claim.clone())?)?;
                Ok(Some((claim, sizes, Reason::Replayed { run: replay.run })))
            }
            _ => Ok(None),
        }
    }

    fn toolset(&self, action: &Action) -> Result<Option<Arc<Toolset>>, Trouble> {
        let ActionKind::Exec { tool, .. } = &action.spec.kind else { return Ok(None) };
        let set = if action.spec.tools.contains(tool) {
            self.tools.set(&action.spec.tools)
        } else {
            let names: BTreeSet<String> = action.spec.tools.iter().chain([tool]).cloned().collect();
            self.tools.set(&names.into_iter().collect::<Vec<_>>())
        };
        Ok(Some(set?))
    }

    fn why(&self, action: &Action, prepared: &Prepared) -> Reason {
        let history = &self.ports.history;
        let baseline = history.latest(&action.addr).or_else(|| history.by_def(action.def));
        let recorded = |digest| level_of(&baseline.as_ref()?.levels, digest);
        let level = |digest| recorded(digest).or_else(|| self.levels.get(digest).ok().map(|tree| (*tree).clone()));
        let producer = |path: &str| {
            let id = inputs::producer_of(action, self.plan, path, self.workspace, &self.levels)?;
            Some(self.plan.action(id).addr.clone())
        };
        match reason::why(prepared.key, &prepared.manifest, baseline.as_ref(), &level, &producer) {
            // Keys know tools by their names on `PATH`, people by those in specs.
            Reason::ToolChanged { name } => {
                let tools = prepared.tools.iter().flat_map(|tools| &tools.identities);
                let known = tools.into_iter().find(|(_, identity)| identity.name == name);
                Reason::ToolChanged { name: known.map_or(name, |(known, _)| known.clone()) }
            }
            Reason::Evicted => lookup::evicted(self.ports.claims.dropped_for(prepared.key)),
            reason => reason,
        }
    }

    /// The levels of an action's inputs that are not kept in the store.
    pub(super) fn few_levels<'p>(&self, prepared: &'p Prepared) -> &'p [u8] {
        prepared.few(&self.levels).unwrap_or_default()
    }

    /// Makes one attempt. A success is recorded.
    pub(super) fn attempt(&self, id: ActionId, prepared: &Prepared, tell: &dyn Fn(Event)) -> Attempted {
        let action = self.plan.action(id);
        let clock = &self.ports.clock;
        let begun = clock.elapsed();
        let mut attempted = match &action.spec.kind {
            ActionKind::Exec { tool, args } => {
                let usual = Surroundings { attempts: self.attempts, conditions: None };
                self.execute(id, tool, args, prepared, &usual, tell)
            }
            ActionKind::Http(ask) => http::attempt(self, action, ask, &prepared.inputs),
            _ => {
                let staged = Staged {
                    cas: Arc::clone(&self.ports.cas),
                    levels: Arc::clone(&self.levels),
                    root: Arc::clone(&prepared.inputs),
                };
                let result = match &action.spec.kind {
                    ActionKind::Sbom(sbom) => {
                        let tools = self.tools.identities_of(&action.spec.tools).map_err(Trouble::from);
                        let made = tools
                            .and_then(|tools| sbom::document(sbom, self.plan, &tools, &staged, &*self.ports.inventory));
                        builtin::keep_document(&action.spec, made, &staged)
                    }
                    _ => builtin::run(&action.spec, action.policy.gate.as_ref(), &staged)
                        .unwrap_or_else(|| Err(Error::Plan(format!("`{}` is of no known kind", action.addr)).into())),
                };
                let result = result.and_then(|outputs| self.measured(outputs));
                // In-process and on staged inputs alone: nothing could be more isolated.
                Attempted::free(result, clock.elapsed().saturating_sub(begun), Isolation::Full)
            }
        };
        attempted.result = attempted
            .result
            .and_then(|(outputs, sizes)| {
                check_declared(action.spec.class, &action.spec.outputs, &outputs)?;
                self.fitting.check(self.plan, &action.spec.outputs, &outputs, &*self.ports.cas)?;
                if let (Some(ledger), Some(begun)) = (&self.request.ledger, attempted.effect.take()) {
                    begun.done(ledger, &effects::receipt(&outputs), clock.now().0)?;
                }
                let (logs, duration) = (attempted.logs, attempted.duration);
                let first = self.record(action, prepared, &outputs, logs, duration, attempted.isolation)?;
                let (outputs, sizes) = first.map_or(Ok((outputs, sizes)), |first| self.measured(first))?;
                self.set_made(id, outputs.clone(), true);
                Ok((outputs, sizes))
            })
            .map_err(|trouble| self.attributed(id, trouble))
            // What is said of outputs or by the other side may hold what was in them.
            .map_err(|trouble| match trouble {
                Trouble::Fail(_) if !action.spec.secrets.is_empty() => {
                    match Given::read(&action.spec, &self.plan.terms, &*self.ports.secrets) {
                        Ok(given) => given.scrub_failure(trouble),
                        Err(_) => trouble,
                    }
                }
                other => other,
            });
        attempted
    }

    pub(super) fn measured(&self, outputs: Vec<ClaimOutput>) -> Result<(Vec<ClaimOutput>, Vec<u64>), Trouble> {
        let sizes = outputs.iter().map(|output| self.levels.measure(&output.entry)).collect::<Result<_, _>>()?;
        Ok((outputs, sizes))
    }

    /// Records a result. Gives what stands in its place, if another run was quicker to record an answer.
    fn record(
        &self,
        action: &Action,
        prepared: &Prepared,
        outputs: &[ClaimOutput],
        logs: Option<[Digest; 2]>,
        duration: Duration,
        isolation: Isolation,
    ) -> Result<Option<Vec<ClaimOutput>>, Trouble> {
        if !action.spec.class.is_cached() {
            return Ok(None);
        }
        // What explains the next change of the inputs is kept with the result. The manifest holds
        // the top level itself while it is small, and the history those below.
        if prepared.few(&self.levels).is_none() {
            self.levels.keep_below(&prepared.inputs)?;
        }
        if prepared.manifest.fields.iter().any(|field| matches!(field.value, Value::Tree { top: None, .. })) {
            self.levels.keep(&prepared.inputs)?;
        }
        let logs = match logs {
            Some(logs) => logs,
            None => [self.empty_log()?; 2],
        };
        let claim = Claim {
            key: prepared.key,
            outputs: outputs.to_vec(),
            logs,
            manifest: prepared.manifest().to_owned(),
            isolation: lookup::rank(isolation),
            duration_ms: duration.as_millis() as u64,
            created: self.ports.clock.now().0,
            run: self.request.run.clone(),
            addr: action.addr.clone(),
            overlay: String::new(),
            signed: None,
        };
        let (claim, first) = self.kept_first(action, claim)?;
        self.ports.claims.record(self.written(claim)?)?;
        Ok(first)
    }

    /// A claim as it is written here: in the overlay of this writer, and signed, if it has these.
    fn written(&self, claim: Claim) -> Result<Claim, Trouble> {
        self.ports.writers.sign(claim).map_err(|why| {
            let source = std::io::Error::other(why);
            Error::System { what: "sign a result", source }.into()
        })
    }

    fn empty_log(&self) -> Result<Digest, Trouble> {
        if let Some(digest) = self.empty_log.get() {
            return Ok(*digest);
        }
        let digest = self.ports.cas.put_bytes(b"")?;
        Ok(*self.empty_log.get_or_init(|| digest))
    }

    pub(super) fn keep_log(&self, log: &[u8]) -> Result<Digest, Trouble> {
        if log.is_empty() { self.empty_log() } else { Ok(self.ports.cas.put_bytes(log)?) }
    }

    /// Stages, runs a process, and collects.
    pub(super) fn execute(
        &self,
        id: ActionId,
        tool: &str,
        args: &[String],
        prepared: &Prepared,
        surroundings: &Surroundings<'_>,
        tell: &dyn Fn(Event),
    ) -> Attempted {
        let action = self.plan.action(id);
        let failed = |trouble: Trouble| Attempted::free(Err(trouble), Duration::ZERO, Isolation::None);
        let mut attempt = match surroundings.attempts.take_as_left() {
            Ok(attempt) => attempt,
            Err(error) => return failed(error.into()),
        };
        let order = surroundings.conditions.map_or(Order::Sorted, |conditions| conditions.order);
        if let Err(trouble) = self.stage(action, prepared, &mut attempt, order) {
            return failed(trouble);
        }
        let Some(tools) = &prepared.tools else {
            return failed(Error::Plan(format!("`{}` starts a process without a tool", action.addr)).into());
        };
        let Some((argv0, program)) = tools.program(tool) else {
            return failed(Error::Plan(format!("`{}` starts `{tool}`, which it does not name", action.addr)).into());
        };
        let addresses = match self.services.acquire(self, id, tell) {
            Ok(addresses) => addresses,
            Err(trouble) => return failed(trouble),
        };
        let args: Vec<String> = args.iter().map(|arg| addresses.fill(arg)).collect();
        let filled = action.spec.env.iter().map(|(name, value)| (name.clone(), addresses.fill(value)));
        let mut declared: BTreeMap<String, String> = filled.collect();
        if let Some(failure) = self.overdue(action).filter(|_| surroundings.conditions.is_none()) {
            return failed(failure.into());
        }
        // Whatever may go wrong before the process is started comes before the ledger says that it may have been.
        let given = match Given::read(&action.spec, &self.plan.terms, &*self.ports.secrets) {
            Ok(given) => given,
            Err(trouble) => return failed(trouble),
        };
        let mut effect = match self.intend(action, prepared) {
            Ok(effect) => effect,
            Err(trouble) => return failed(trouble),
        };
        if action.spec.class == Class::Effect {
            let key = effect.as_ref().map_or_else(
                || effects::no_doing(prepared.key, &action.addr),
                |begun| effects::idempotency_key(begun.seed(), begun.sequence()),
            );
            declared.insert(effects::IDEMPOTENCY_KEY.to_owned(), key);
        }
        // What is made again to be compared takes no time from those that wait for the node.
        let bound = self.time_for(action, surroundings.conditions.is_none());
        let timeout = bound.as_ref().map(|bound| bound.left);
        let demand = self.wanted(action);
        let view = self.ports.runner.view(&attempt.root, &tools.bin, demand);
        let network = match (action.spec.class.network(), action.spec.services.is_empty()) {
            (true, _) => Network::Machine,
            (false, true) => Network::Nothing,
            (false, false) => Network::Ports(addresses.numbers()),
        };
        let shown = named_paths(tools.passed(action.spec.class.network(), &self.ports.environment));
        let mut env = environment(&declared, &view, tools, action.spec.class.network(), &self.ports.environment);
        env.extend(given.variables().map(|(name, value)| (name.into(), value.into())));
        if let Some(conditions) = surroundings.conditions {
            let varied = conditions.env.iter().filter(|(name, _)| !declared.contains_key(**name));
            env.extend(varied.map(|(name, value)| ((*name).into(), value.clone())));
            let bin = attempt.root.join("bin");
            if conditions.moves_tools() && view.path == tools.bin && !declared.contains_key("PATH") {
                if let Err(error) = std::os::unix::fs::symlink(&tools.bin, &bin) {
                    return failed(Error::io("make symbolic link", &bin)(error).into());
                }
                env.insert("PATH".into(), bin.into());
            }
        }
        let cwd = action.spec.cwd.as_ref().map_or_else(|| attempt.work.clone(), |cwd| cwd.under(&attempt.work));
        let limit = |name: &str| action.spec.limits.get(name).copied();
        let folders = Folders::of(&attempt.root, limit("output"), limit("files"), limit("memory"));
        let bounds =
            Bounds { processes: limit("processes"), memory: limit("memory"), file_bytes: limit("output"), folders };
        let job = Job {
            addr: &action.addr,
            program,
            argv0,
            args: &args,
            env: &env,
            root: &attempt.root,
            cwd: &cwd,
            tools: &tools.paths,
            bin: &tools.bin,
            shown: &shown,
            bounds,
            timeout,
            network,
            isolation: demand,
            tap: None,
            // Where something was started for it already, the price of a guardian is small.
            guarded: !action.spec.services.is_empty(),
        };
        let run = || self.ports.runner.run(&job, &*self.ports.clock, &self.ports.cancel);
        let mut ended = surroundings.conditions.map_or_else(run, |conditions| conditions.within(run));
        ended.stdout = given.scrub(ended.stdout);
        ended.stderr = given.scrub(ended.stderr);
        let (duration, isolation) = (ended.duration, ended.isolation);
        if effect.is_some() && matches!(ended.end, End::Cancelled) {
            let text = format!("effect `{}` had begun when the run was cancelled: it may have happened", action.addr);
            tell(Event::Notice { text });
        }
        let logs = match (self.keep_log(&ended.stdout), self.keep_log(&ended.stderr)) {
            (Ok(stdout), Ok(stderr)) => [stdout, stderr],
            (Err(trouble), _) | (_, Err(trouble)) => return failed(trouble),
        };
        if let Some(ledger) = &self.request.ledger
            && matches!(ended.end, End::Exited(1..) | End::NotStarted(_))
            && let Some(begun) = effect.take()
            // It says itself that it did not happen. Whatever else ends it leaves that open.
            && let Err(error) = begun.failed(ledger, self.ports.clock.now().0)
        {
            return failed(error.into());
        }
        let judged = judge(&ended, argv0, program, bound.as_ref(), bounds, &attempt.root).map_err(|trouble| {
            let seen = Seen {
                workspace: &self.request.workspace,
                work: &attempt.work,
                shown_work: &view.home.with_file_name("work"),
                cwd: cwd.strip_prefix(&attempt.work).unwrap_or(Path::new("")),
                isolation,
                path: &search_path(&self.ports.environment),
                tools: &tools.paths,
            };
            with_help(trouble, &action.addr, &ended.stderr, &seen)
        });
        let most = Most { bytes: limit("output"), files: limit("files") };
        let result = judged.and_then(|()| {
            let collected = collect(&*self.ports.cas, &self.levels, &action.spec.outputs, &attempt.work, most)
                .map_err(|trouble| with_tail(trouble, &ended))?;
            // Whoever was quicker than the watch.
            if let Some(breach) = folders.and_then(|folders| folders.left(&attempt.root)) {
                let text = held_too_much(argv0, breach, bounds, ["left", ""]);
                return Err(with_tail(Failure::new(FailureClass::Limit, text).into(), &ended));
            }
            self.measured(collected)
        });
        let result = result.map_err(|trouble| {
            let attempts = surroundings.attempts;
            let failed =
                Failed { action, prepared, job: &job, declared: &declared, tools, attempts, duration, isolation };
            // What is made again to be compared is not to be explained.
            if surroundings.conditions.is_some() { trouble } else { self.explained(trouble, &failed) }
        });
        let result = result.map_err(|trouble| gate::no(trouble, action.policy.gate.as_ref()));
        // Whatever goes wrong once a service it uses is gone is most likely a consequence.
        let result = result.map_err(|trouble| match trouble {
            Trouble::Fail(_) => self.services.blame(self.plan, action, tell).unwrap_or(trouble),
            other => other,
        });
        if let Ok((outputs, _)) = &result {
            if surroundings.conditions.is_none() && self.request.leavings.is_some() {
                let is_final = |name: &str| !self.consumed.contains(&(id, name));
                attempt.keep_outputs(&action.spec.outputs, outputs, &is_final);
            }
            attempt.succeed();
        }
        Attempted { logs: Some(logs), effect, ..Attempted::free(result, duration, isolation) }
    }
}
