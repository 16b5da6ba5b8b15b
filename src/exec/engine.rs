//! The work on one action: its key, the look for a result, an attempt. Leaves out when it is done,
//! which the scheduler decides, and what is told of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use crate::base::{ActionKey, Digest, Entry, Manifest, Tree, Value, format_duration};
use crate::event::Reason;
use crate::exec::builtin::{self, Staged};
use crate::exec::capture::tail_of;
use crate::exec::error::{Error, Failure, FailureClass, Lost, Trouble};
use crate::exec::inputs::{self, Produced};
use crate::exec::levels::Levels;
use crate::exec::lookup::{self, Looked};
use crate::exec::outputs::{check_declared, collect};
use crate::exec::ports::{End, Ended, Job, Ports};
use crate::exec::process::is_for_want_of_resources;
use crate::exec::sandbox::named_paths;
use crate::exec::sched::producers;
use crate::exec::stage::{Attempt, Attempts, make_parents, stage};
use crate::exec::tools::{Tools, Toolset, environment};
use crate::exec::workspace::Workspace;
use crate::exec::{Request, reason};
use crate::plan::{
    Action, ActionId, ActionKind, Class, Isolation, Plan, Resolved, ToolIdentity, action_key, action_manifest,
};
use crate::store::{Claim, ClaimOutput};

/// All that is shared by the workers of a run.
pub(super) struct Engine<'a> {
    pub(super) plan: &'a Plan,
    pub(super) request: &'a Request,
    pub(super) ports: &'a Ports,
    levels: Arc<Levels>,
    workspace: &'a Workspace,
    tools: Tools<'a>,
    attempts: &'a Attempts,
    /// Outputs of the actions that are done, by the index of the action.
    made: Vec<RwLock<Option<Made>>>,
    empty_log: OnceLock<Digest>,
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
    inputs: Arc<Tree>,
    tools: Option<Arc<Toolset>>,
    /// Why it runs.
    pub(super) reason: Reason,
}

impl Prepared {
    /// The manifest as written.
    pub(super) fn manifest(&self) -> &str {
        self.written.get_or_init(|| self.manifest.to_json())
    }
}

/// What came of resolving an action.
pub(super) enum Resolution {
    /// A result is known.
    Hit(Box<Hit>),
    /// It must run.
    Miss(Arc<Prepared>),
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

/// What came of an attempt.
pub(super) struct Attempted {
    /// The outputs, sorted by name, with their sizes.
    pub(super) result: Result<(Vec<ClaimOutput>, Vec<u64>), Trouble>,
    pub(super) logs: Option<[Digest; 2]>,
    pub(super) duration: Duration,
    isolation: Isolation,
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
        levels: Arc<Levels>,
    ) -> Self {
        let plan = &*request.plan;
        Self {
            plan,
            request,
            ports,
            levels,
            workspace,
            tools: Tools::new(plan, ports, workspace, scratch, attempts),
            attempts,
            made: plan.actions.iter().map(|_| RwLock::default()).collect(),
            empty_log: OnceLock::new(),
        }
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
        let inputs = inputs::merge(self.plan, action, &produced, self.workspace, &self.levels)?;
        let tools = self.toolset(action)?;
        let identities = tools.as_ref().map(|tools| tools.identities.clone()).unwrap_or_default();
        let resolved = Resolved { inputs, tools: identities };
        let manifest = action_manifest(&action.spec, &resolved);
        let key = action_key(&manifest);
        let mut prepared = Prepared {
            key,
            manifest,
            written: OnceLock::new(),
            inputs: Arc::new(resolved.inputs),
            tools,
            reason: Reason::NeverSeen,
        };
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
        match lookup::choose(action, self.wanted(action), claims, &self.levels)? {
            Looked::Hit(claim, sizes) => {
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
                prepared.reason = told.unwrap_or_else(|| self.why(action, &prepared));
                Ok(Resolution::Miss(Arc::new(prepared)))
            }
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
        let level = |digest: Digest| self.levels.get(digest).ok().map(|tree| (*tree).clone());
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
            reason => reason,
        }
    }

    /// Makes one attempt. A success is recorded.
    pub(super) fn attempt(&self, id: ActionId, prepared: &Prepared) -> Attempted {
        let action = self.plan.action(id);
        let clock = &self.ports.clock;
        let begun = clock.elapsed();
        let mut attempted = match &action.spec.kind {
            ActionKind::Exec { tool, args } => self.execute(id, tool, args, prepared),
            _ => {
                let staged = Staged {
                    cas: Arc::clone(&self.ports.cas),
                    levels: Arc::clone(&self.levels),
                    root: Arc::clone(&prepared.inputs),
                };
                let result = builtin::run(&action.spec, &staged)
                    .unwrap_or_else(|| Err(Error::Plan(format!("`{}` is of no known kind", action.addr)).into()));
                let result = result.and_then(|outputs| self.measured(outputs));
                // In-process and on staged inputs alone: nothing could be more isolated.
                Attempted {
                    result,
                    logs: None,
                    duration: clock.elapsed().saturating_sub(begun),
                    isolation: Isolation::Full,
                }
            }
        };
        attempted.result = attempted
            .result
            .and_then(|(outputs, sizes)| {
                check_declared(action.spec.class, &action.spec.outputs, &outputs)?;
                self.record(action, prepared, &outputs, attempted.logs, attempted.duration, attempted.isolation)?;
                self.set_made(id, outputs.clone(), true);
                Ok((outputs, sizes))
            })
            .map_err(|trouble| self.attributed(id, trouble));
        attempted
    }

    /// Names the producer of a lost blob where only the blob is known; and looks at the workspace
    /// again if that is where it came from.
    fn attributed(&self, id: ActionId, trouble: Trouble) -> Trouble {
        let Trouble::Lost(lost) = trouble else { return trouble };
        self.levels.distrust(lost.digest);
        if lost.producer.is_some() {
            return Trouble::Lost(lost);
        }
        for producer in producers(self.plan, id) {
            let outputs = self.made(producer).map(|made| made.outputs).unwrap_or_default();
            if outputs.iter().any(|output| self.holds(&output.entry, lost.digest)) {
                return Trouble::Lost(Lost { producer: Some(producer), ..lost });
            }
        }
        match self.workspace.reread_blob(lost.digest) {
            Ok(()) => Trouble::Lost(lost),
            Err(trouble) => trouble,
        }
    }

    /// Whether an entry is or holds a blob. A level that cannot be read may hold anything.
    fn holds(&self, entry: &Entry, blob: Digest) -> bool {
        match entry {
            Entry::File { digest, .. } => *digest == blob,
            Entry::Symlink { .. } => false,
            Entry::Dir { digest } if *digest == blob => true,
            Entry::Dir { digest } => match self.levels.get(*digest) {
                Ok(tree) => tree.entries.values().any(|below| self.holds(below, blob)),
                Err(_) => true,
            },
        }
    }

    fn measured(&self, outputs: Vec<ClaimOutput>) -> Result<(Vec<ClaimOutput>, Vec<u64>), Trouble> {
        let sizes = outputs.iter().map(|output| self.levels.measure(&output.entry)).collect::<Result<_, _>>()?;
        Ok((outputs, sizes))
    }

    fn record(
        &self,
        action: &Action,
        prepared: &Prepared,
        outputs: &[ClaimOutput],
        logs: Option<[Digest; 2]>,
        duration: Duration,
        isolation: Isolation,
    ) -> Result<(), Trouble> {
        if !action.spec.class.is_cached() {
            return Ok(());
        }
        // What explains the next change of the inputs is kept with the result. The manifest holds
        // the top level itself while it is small.
        self.levels.keep_below(&prepared.inputs)?;
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
        };
        Ok(self.ports.claims.record(claim)?)
    }

    fn empty_log(&self) -> Result<Digest, Trouble> {
        if let Some(digest) = self.empty_log.get() {
            return Ok(*digest);
        }
        let digest = self.ports.cas.put_bytes(b"")?;
        Ok(*self.empty_log.get_or_init(|| digest))
    }

    fn keep_log(&self, log: &[u8]) -> Result<Digest, Trouble> {
        if log.is_empty() { self.empty_log() } else { Ok(self.ports.cas.put_bytes(log)?) }
    }

    /// Stages, runs a process, and collects.
    fn execute(&self, id: ActionId, tool: &str, args: &[String], prepared: &Prepared) -> Attempted {
        let action = self.plan.action(id);
        let failed = |trouble: Trouble| Attempted {
            result: Err(trouble),
            logs: None,
            duration: Duration::ZERO,
            isolation: Isolation::None,
        };
        let mut attempt = match self.attempts.take() {
            Ok(attempt) => attempt,
            Err(error) => return failed(error.into()),
        };
        let staged = match self.stage(action, prepared, &attempt) {
            Ok(bytes) => bytes,
            Err(trouble) => return failed(trouble),
        };
        let Some(tools) = &prepared.tools else {
            return failed(Error::Plan(format!("`{}` starts a process without a tool", action.addr)).into());
        };
        let Some((argv0, program)) = tools.program(tool) else {
            return failed(Error::Plan(format!("`{}` starts `{tool}`, which it does not name", action.addr)).into());
        };
        let demand = self.wanted(action);
        let view = self.ports.runner.view(&attempt.root, &tools.bin, demand);
        let network = action.spec.class.network();
        let shown = named_paths(tools.passed(network, &self.ports.environment));
        let env = environment(&action.spec.env, &view, tools, network, &self.ports.environment);
        let cwd = action.spec.cwd.as_ref().map_or_else(|| attempt.work.clone(), |cwd| cwd.under(&attempt.work));
        let job = Job {
            addr: &action.addr,
            program,
            argv0,
            args,
            env: &env,
            root: &attempt.root,
            cwd: &cwd,
            tools: &tools.paths,
            bin: &tools.bin,
            shown: &shown,
            timeout: action.policy.timeout_ms.map(Duration::from_millis),
            network,
            isolation: demand,
        };
        let ended = self.ports.runner.run(&job, &*self.ports.clock, &self.ports.cancel);
        let (duration, isolation) = (ended.duration, ended.isolation);
        let logs = match (self.keep_log(&ended.stdout), self.keep_log(&ended.stderr)) {
            (Ok(stdout), Ok(stderr)) => [stdout, stderr],
            (Err(trouble), _) | (_, Err(trouble)) => return failed(trouble),
        };
        let result = judge(&ended, argv0, program, action.policy.timeout_ms).and_then(|()| {
            let collected = collect(&*self.ports.cas, &self.levels, &action.spec.outputs, &attempt.work)
                .map_err(|trouble| with_tail(trouble, &ended.stderr))?;
            self.measured(collected)
        });
        if let Ok((_, sizes)) = &result {
            attempt.weigh(duration, sizes.iter().fold(staged, |sum, size| sum.saturating_add(*size)));
        }
        Attempted { result, logs: Some(logs), duration, isolation }
    }

    fn stage(&self, action: &Action, prepared: &Prepared, attempt: &Attempt<'_>) -> Result<u64, Trouble> {
        let staged = stage(&*self.ports.cas, &self.levels, &prepared.inputs, &attempt.work).map_err(|failed| {
            match failed.trouble {
                Trouble::Lost(lost) => {
                    let producer = inputs::producer_of(action, self.plan, &failed.path, self.workspace, &self.levels);
                    Trouble::Lost(Lost { producer: lost.producer.or(producer), ..lost })
                }
                other => other,
            }
        })?;
        make_parents(&action.spec.outputs, &attempt.work)?;
        if let Some(cwd) = &action.spec.cwd {
            let dir: PathBuf = cwd.under(&attempt.work);
            std::fs::create_dir_all(&dir)
                .map_err(|error| Trouble::input(format!("the action cannot start in `{cwd}`: {error}")))?;
        }
        Ok(staged)
    }
}

/// Whether a process ended well.
fn judge(ended: &Ended, argv0: &str, program: &Path, timeout_ms: Option<u64>) -> Result<(), Trouble> {
    let fail = |class, what: String| {
        let tail = tail_of(&ended.stderr);
        let text = if tail.is_empty() { what } else { format!("{what}\n{tail}") };
        Err(Failure::new(class, text).into())
    };
    if ended.survivors > 0 {
        let count = ended.survivors;
        return fail(FailureClass::Unkillable, format!("`{argv0}` left {count} processes that cannot be killed"));
    }
    match &ended.end {
        End::Exited(0) => Ok(()),
        End::Exited(code) => fail(FailureClass::Exit(*code), format!("`{argv0}` exited with status {code}")),
        End::Signalled(signal) => {
            fail(FailureClass::Signal(*signal), format!("`{argv0}` was ended by signal {signal}"))
        }
        End::TimedOut => {
            let limit = Duration::from_millis(timeout_ms.unwrap_or_default());
            let limit = format_duration(limit);
            fail(FailureClass::Timeout, format!("`{argv0}` took longer than its timeout of {limit} and was killed"))
        }
        End::WantsTerminal => {
            let what = format!(
                "`{argv0}` asked the terminal for input and was killed: actions have no terminal; give what it asks \
                 for in a file or a variable"
            );
            fail(FailureClass::Terminal, what)
        }
        End::Cancelled => Err(Trouble::Cancelled),
        End::NotStarted(error) => {
            let resources = is_for_want_of_resources(error);
            let what = format!("cannot start `{}`: {error}", program.display());
            fail(FailureClass::Start { resources }, what)
        }
    }
}

/// Adds the end of standard error to a failure about outputs: it often tells why.
fn with_tail(trouble: Trouble, stderr: &[u8]) -> Trouble {
    let tail = tail_of(stderr);
    match trouble {
        Trouble::Fail(failure) if !tail.is_empty() => {
            Trouble::Fail(Failure { text: format!("{}\n{tail}", failure.text), ..failure })
        }
        other => other,
    }
}
