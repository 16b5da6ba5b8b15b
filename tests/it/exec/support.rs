//! A store in memory, a history, and short words for plans. Leaves out the tests.

use std::collections::BTreeMap;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use partita::base::{ActionKey, Clock, Digest, Entry, Environment, RelPath, SystemClock, Timestamp, Tree};
use partita::event::{Counts, Event, MemorySink, Outcome, Reason, Sink};
use partita::exec::{
    Baseline, CancelToken, Error, Everyone, FileMeta, History, HistoryRow, NoSecrets, Ports, ProcessRunner, Request,
    RunReport, Runner, Secrets, Snapshots, Writers, execute,
};
use partita::plan::{
    Action, ActionId, ActionKind, ActionSpec, Class, Input, InputSource, Isolation, Output, OutputKind, Plan, Policies,
    Policy, ResourceNeed, Retry, Service, Terms, Tool, ToolExec,
};
use partita::store::{Cas, Claim, Claims, Error as StoreError, Found};

/// Blobs, trees, claims, history and snapshots, all in memory.
pub(crate) struct Memory {
    scratch: PathBuf,
    blobs: Mutex<BTreeMap<Digest, Vec<u8>>>,
    claims: Mutex<BTreeMap<ActionKey, Vec<Claim>>>,
    held: Mutex<BTreeMap<ActionKey, String>>,
    rows: Mutex<Vec<HistoryRow>>,
    stats: Mutex<BTreeMap<(String, FileMeta), Digest>>,
    /// Files read into the store.
    pub(crate) reads: Mutex<Vec<PathBuf>>,
    count: Mutex<u32>,
    /// Blobs that vanish as often as they are put.
    pub(crate) cursed: Mutex<Vec<Digest>>,
}

impl Memory {
    fn new(scratch: PathBuf) -> Self {
        Self {
            scratch,
            blobs: Mutex::default(),
            claims: Mutex::default(),
            held: Mutex::default(),
            rows: Mutex::default(),
            stats: Mutex::default(),
            reads: Mutex::default(),
            count: Mutex::default(),
            cursed: Mutex::default(),
        }
    }

    /// Loses a blob.
    pub(crate) fn lose(&self, digest: Digest) {
        self.blobs.lock().unwrap().remove(&digest).expect("the blob was there");
    }

    /// Flips a bit of a blob.
    pub(crate) fn corrupt(&self, digest: Digest) {
        self.blobs.lock().unwrap().get_mut(&digest).expect("the blob was there")[0] ^= 1;
    }

    pub(crate) fn forget_all_claims(&self) {
        self.claims.lock().unwrap().clear();
    }

    pub(crate) fn claims(&self) -> Vec<Claim> {
        self.claims.lock().unwrap().values().flatten().cloned().collect()
    }

    /// Changes every claim.
    pub(crate) fn edit_claims(&self, edit: impl Fn(&mut Claim)) {
        self.claims.lock().unwrap().values_mut().flatten().for_each(edit);
    }

    pub(crate) fn edit_rows(&self, edit: impl Fn(&mut HistoryRow)) {
        self.rows.lock().unwrap().iter_mut().for_each(edit);
    }

    pub(crate) fn blob(&self, digest: Digest) -> Vec<u8> {
        self.blobs.lock().unwrap().get(&digest).cloned().expect("the blob is there")
    }

    /// What is left in the scratch space.
    pub(crate) fn leftovers(&self) -> Vec<PathBuf> {
        let listing = walkdir(&self.scratch);
        listing.into_iter().filter(|path| *path != self.scratch).collect()
    }

    fn verified(&self, digest: Digest, tree: bool) -> Found<Vec<u8>> {
        let mut blobs = self.blobs.lock().unwrap();
        let Some(bytes) = blobs.get(&digest).cloned() else { return Found::Missing };
        let is = if tree { Tree::decode(&bytes).map(|tree| tree.digest()).ok() } else { Some(Digest::of_blob(&bytes)) };
        if is == Some(digest) {
            return Found::Whole(bytes);
        }
        blobs.remove(&digest);
        Found::Corrupt
    }

    fn put(&self, digest: Digest, bytes: &[u8]) {
        if !self.cursed.lock().unwrap().contains(&digest) {
            self.blobs.lock().unwrap().insert(digest, bytes.to_vec());
        }
    }
}

fn walkdir(root: &Path) -> Vec<PathBuf> {
    walkdir::WalkDir::new(root).into_iter().filter_map(Result::ok).map(walkdir::DirEntry::into_path).collect()
}

impl Cas for Memory {
    fn put_bytes(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of_blob(bytes);
        self.put(digest, bytes);
        Ok(digest)
    }

    fn put_file(&self, path: &Path) -> Result<(Digest, u64), StoreError> {
        self.reads.lock().unwrap().push(path.to_path_buf());
        let bytes = std::fs::read(path).map_err(StoreError::io("read", path))?;
        Ok((self.put_bytes(&bytes)?, bytes.len() as u64))
    }

    fn put_tree(&self, tree: &Tree) -> Result<Digest, StoreError> {
        let digest = tree.digest();
        self.put(digest, &tree.encode());
        Ok(digest)
    }

    fn get(&self, digest: Digest) -> Result<Found<Vec<u8>>, StoreError> {
        Ok(self.verified(digest, false))
    }

    fn get_tree(&self, digest: Digest) -> Result<Found<Tree>, StoreError> {
        Ok(match self.verified(digest, true) {
            Found::Whole(bytes) => Found::Whole(Tree::decode(&bytes).expect("verified")),
            Found::Missing => Found::Missing,
            Found::Corrupt => Found::Corrupt,
        })
    }

    fn copy_to(&self, digest: Digest, path: &Path, exec: bool) -> Result<Found<()>, StoreError> {
        let bytes = match self.verified(digest, false) {
            Found::Whole(bytes) => bytes,
            Found::Missing => return Ok(Found::Missing),
            Found::Corrupt => return Ok(Found::Corrupt),
        };
        let mode = if exec { 0o755 } else { 0o644 };
        let file = std::fs::File::options().write(true).create_new(true).mode(mode).open(path);
        let written = file.and_then(|mut file| std::io::Write::write_all(&mut file, &bytes));
        written.map_err(StoreError::io("write", path))?;
        Ok(Found::Whole(()))
    }

    fn contains(&self, digest: Digest) -> bool {
        self.blobs.lock().unwrap().contains_key(&digest)
    }

    fn size(&self, digest: Digest) -> Option<u64> {
        self.blobs.lock().unwrap().get(&digest).map(|bytes| bytes.len() as u64)
    }

    fn scratch(&self) -> Result<PathBuf, StoreError> {
        let mut count = self.count.lock().unwrap();
        *count += 1;
        let path = self.scratch.join(count.to_string());
        std::fs::create_dir_all(&path).map_err(StoreError::io("make", &path))?;
        Ok(path)
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Claims for Memory {
    fn lookup(&self, key: ActionKey) -> Result<Vec<Claim>, StoreError> {
        Ok(self
            .claims
            .lock()
            .unwrap()
            .get(&key)
            .map(|claims| claims.iter().rev().cloned().collect())
            .unwrap_or_default())
    }

    fn record(&self, claim: Claim) -> Result<(), StoreError> {
        self.claims.lock().unwrap().entry(claim.key).or_default().push(claim);
        Ok(())
    }

    fn forget(&self, key: ActionKey) -> Result<(), StoreError> {
        self.claims.lock().unwrap().remove(&key);
        Ok(())
    }

    fn hold(&self, key: ActionKey, why: &str) -> Result<(), StoreError> {
        self.held.lock().unwrap().insert(key, why.to_owned());
        Ok(())
    }

    fn release(&self, key: ActionKey) -> Result<(), StoreError> {
        self.held.lock().unwrap().remove(&key);
        Ok(())
    }

    fn held(&self, key: ActionKey) -> Result<Option<String>, StoreError> {
        Ok(self.held.lock().unwrap().get(&key).cloned())
    }
}

fn baseline(row: &HistoryRow) -> Baseline {
    Baseline {
        addr: row.addr.clone(),
        key: row.key,
        manifest: row.manifest.clone(),
        levels: row.levels.clone(),
        ok: row.ok,
        run: row.run.clone(),
        duration_ms: row.duration_ms,
    }
}

impl History for Memory {
    fn latest(&self, addr: &str) -> Option<Baseline> {
        self.rows.lock().unwrap().iter().rev().find(|row| row.addr == addr).map(baseline)
    }

    fn by_def(&self, def: Digest) -> Option<Baseline> {
        self.rows.lock().unwrap().iter().rev().find(|row| row.def == def).map(baseline)
    }

    fn record(&self, row: HistoryRow) {
        self.rows.lock().unwrap().push(row);
    }

    fn expected_ms(&self, addr: &str) -> Option<u64> {
        self.latest(addr).map(|baseline| baseline.duration_ms)
    }
}

impl Snapshots for Memory {
    fn lookup(&self, path: &str, meta: &FileMeta) -> Option<Digest> {
        self.stats.lock().unwrap().get(&(path.to_owned(), *meta)).copied()
    }

    fn insert(&self, path: &str, meta: FileMeta, digest: Digest, _read_at: Timestamp) {
        self.stats.lock().unwrap().insert((path.to_owned(), meta), digest);
    }
}

/// A workspace with a store, kept over several runs.
pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) memory: Arc<Memory>,
    pub(crate) runner: Arc<dyn Runner>,
    pub(crate) cancel: CancelToken,
    pub(crate) environment: Environment,
    pub(crate) sink: Arc<MemorySink>,
    pub(crate) extra_sink: Option<Arc<dyn Sink>>,
    pub(crate) secrets: Arc<dyn Secrets>,
    pub(crate) writers: Arc<dyn Writers>,
    runs: Mutex<u32>,
}

pub(crate) const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("ws")).unwrap();
        std::fs::create_dir(dir.path().join("side")).unwrap();
        let memory = Arc::new(Memory::new(dir.path().join("scratch")));
        std::fs::create_dir(&memory.scratch).unwrap();
        Self {
            dir,
            memory,
            runner: Arc::new(ProcessRunner { grace: std::time::Duration::from_millis(200) }),
            cancel: CancelToken::new().unwrap(),
            environment: Environment::from_pairs(&[("PATH", PATH), ("SECRET_OF_CALLER", "1")]),
            sink: Arc::new(MemorySink::default()),
            secrets: Arc::new(NoSecrets),
            writers: Arc::new(Everyone),
            extra_sink: None,
            runs: Mutex::default(),
        }
    }

    pub(crate) fn ws(&self) -> PathBuf {
        self.dir.path().join("ws")
    }

    /// A path outside of the workspace, for what tests and processes tell each other.
    pub(crate) fn side(&self, name: &str) -> PathBuf {
        self.dir.path().join("side").join(name)
    }

    /// Writes a file of the workspace.
    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.ws().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Replaced, so that the stat of it changes whatever the clock does.
        let _ = std::fs::remove_file(&path);
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn request(&self, plan: Plan) -> Request {
        let mut runs = self.runs.lock().unwrap();
        *runs += 1;
        let mut request = Request::new(Arc::new(plan), self.ws(), format!("run{runs}"));
        request.keep_going = true;
        request
    }

    pub(crate) fn ports(&self) -> Ports {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let mut sinks: Vec<Arc<dyn Sink>> = vec![self.sink.clone()];
        sinks.extend(self.extra_sink.clone());
        Ports {
            cas: self.memory.clone(),
            claims: self.memory.clone(),
            history: self.memory.clone(),
            snapshots: self.memory.clone(),
            clock,
            sink: Arc::new(partita::event::Tee::new(sinks)),
            environment: self.environment.clone(),
            cancel: self.cancel.clone(),
            runner: self.runner.clone(),
            secrets: self.secrets.clone(),
            approver: Arc::new(partita::exec::Nobody),
            inventory: Arc::new(partita::exec::NoInventory),
            writers: self.writers.clone(),
        }
    }

    pub(crate) fn execute(&self, request: Request) -> Result<RunReport, Error> {
        let report = execute(request, self.ports());
        assert!(self.memory.leftovers().is_empty(), "scratch is cleared: {:?}", self.memory.leftovers());
        report
    }

    /// Runs a plan with `keep_going`.
    pub(crate) fn run(&self, plan: &Builder) -> RunReport {
        self.execute(self.request(plan.build())).unwrap()
    }

    /// The text of an output.
    pub(crate) fn text(&self, report: &RunReport, addr: &str, output: &str) -> String {
        let action = report.action(addr).expect("the action is in the report");
        let found = action.outputs.iter().find(|found| found.name == output);
        let found = found.unwrap_or_else(|| panic!("{addr} has no {output}: {:?}", action.failure));
        String::from_utf8(self.memory.blob(found.digest().unwrap())).unwrap()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.sink.events().into_iter().map(|envelope| envelope.event).collect()
    }

    /// The log of a stream: 0 output, 1 error.
    pub(crate) fn log(&self, report: &RunReport, addr: &str, stream: usize) -> Vec<u8> {
        self.memory.blob(report.action(addr).unwrap().logs.unwrap()[stream])
    }
}

pub(crate) fn counts(ran: u64, cached: u64, cut_off: u64, failed: u64, skipped: u64) -> Counts {
    Counts { ran, cached, cut_off, failed, skipped }
}

pub(crate) fn outcome(report: &RunReport, addr: &str) -> Outcome {
    report.action(addr).unwrap_or_else(|| panic!("{addr} is not in the report")).outcome
}

pub(crate) fn reason(report: &RunReport, addr: &str) -> Reason {
    report.action(addr).unwrap_or_else(|| panic!("{addr} is not in the report")).reason.clone()
}

pub(crate) fn failure(report: &RunReport, addr: &str) -> String {
    let action = report.action(addr).unwrap_or_else(|| panic!("{addr} is not in the report"));
    assert_eq!(action.outcome, Outcome::Failed, "{addr}: {action:?}");
    action.failure.clone().expect("a failed action says why").text
}

pub(crate) fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

/// The digest a file with this text has as an output.
pub(crate) fn file_digest(text: &str) -> Digest {
    Digest::of_blob(text.as_bytes())
}

pub(crate) fn is_dir(entry: &Entry) -> bool {
    matches!(entry, Entry::Dir { .. })
}

/// An action in the making; inputs name producers by address.
#[derive(Clone)]
pub(crate) struct Draft {
    addr: String,
    kind: ActionKind,
    pub(crate) class: Class,
    env: BTreeMap<String, String>,
    inputs: Vec<(Option<RelPath>, Source)>,
    outputs: Vec<Output>,
    pub(crate) isolation: Isolation,
    pub(crate) policy: Policy,
    cwd: Option<RelPath>,
    after: Vec<String>,
    pub(crate) services: Vec<String>,
    pub(crate) def: Option<Digest>,
}

#[derive(Clone)]
enum Source {
    Workspace(String, bool),
    Output(String, String, Option<String>),
}

impl Draft {
    pub(crate) fn new(addr: &str, kind: ActionKind) -> Self {
        Self {
            addr: addr.into(),
            kind,
            class: Class::Pure,
            env: BTreeMap::new(),
            inputs: vec![],
            outputs: vec![],
            isolation: Isolation::None,
            policy: Policy::default(),
            cwd: None,
            after: vec![],
            services: vec![],
            def: None,
        }
    }

    /// `sh -c script`.
    pub(crate) fn sh(addr: &str, script: &str) -> Self {
        Self::new(addr, ActionKind::Exec { tool: "sh".into(), args: vec!["-c".into(), script.into()] })
    }

    pub(crate) fn input(mut self, pattern: &str) -> Self {
        self.inputs.push((None, Source::Workspace(pattern.into(), false)));
        self
    }

    pub(crate) fn optional(mut self, pattern: &str) -> Self {
        self.inputs.push((None, Source::Workspace(pattern.into(), true)));
        self
    }

    pub(crate) fn from(mut self, dest: &str, addr: &str, output: &str) -> Self {
        self.inputs.push((Some(path(dest)), Source::Output(addr.into(), output.into(), None)));
        self
    }

    pub(crate) fn select(mut self, dest: &str, addr: &str, output: &str, select: &str) -> Self {
        self.inputs.push((Some(path(dest)), Source::Output(addr.into(), output.into(), Some(select.into()))));
        self
    }

    /// A file output whose name is its path.
    pub(crate) fn output(self, name: &str) -> Self {
        self.declare(name, OutputKind::File, None)
    }

    pub(crate) fn dir(self, name: &str) -> Self {
        self.declare(name, OutputKind::Dir, None)
    }

    pub(crate) fn declare(mut self, name: &str, kind: OutputKind, digest: Option<Digest>) -> Self {
        self.outputs.push(Output { name: name.into(), path: path(name), kind, digest, schema: None });
        self.outputs.sort();
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    pub(crate) fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    pub(crate) fn cwd(mut self, cwd: &str) -> Self {
        self.cwd = Some(path(cwd));
        self
    }

    pub(crate) fn after(mut self, addr: &str) -> Self {
        self.after.push(addr.into());
        self
    }

    pub(crate) fn timeout(mut self, ms: u64) -> Self {
        self.policy.timeout_ms = Some(ms);
        self
    }

    pub(crate) fn retry(mut self, retry: Retry) -> Self {
        self.policy.retry = Some(retry);
        self
    }

    pub(crate) fn holds(mut self, pool: &str, amount: u64) -> Self {
        self.policy.holds.push(ResourceNeed { pool: pool.into(), amount });
        self
    }
}

/// A plan in the making.
#[derive(Clone)]
pub(crate) struct Builder {
    drafts: Vec<Draft>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) pools: BTreeMap<String, u64>,
    pub(crate) concurrency: Option<u64>,
    pub(crate) services: Vec<Service>,
    pub(crate) policies: Policies,
}

pub(crate) fn tool(name: &str, uses: &[&str]) -> Tool {
    Tool {
        name: name.into(),
        exec: ToolExec::Lookup(name.into()),
        fingerprint: None,
        uses: uses.iter().map(|name| (*name).into()).collect(),
        pass_env: vec![],
        supplier: None,
        version: None,
    }
}

/// What `sh` may start in these tests.
const USES: &[&str] = &["cat", "cp", "env", "ln", "ls", "mkdir", "mkfifo", "setsid", "sleep", "chmod", "head"];

pub(crate) fn plan(drafts: impl IntoIterator<Item = Draft>) -> Builder {
    let mut tools: Vec<Tool> = USES.iter().map(|name| tool(name, &[])).collect();
    tools.push(tool("sh", USES));
    Builder {
        drafts: drafts.into_iter().collect(),
        tools,
        pools: BTreeMap::new(),
        concurrency: None,
        services: vec![],
        policies: Policies::default(),
    }
}

impl Builder {
    pub(crate) fn build(&self) -> Plan {
        let mut drafts = self.drafts.clone();
        drafts.sort_by(|a, b| a.addr.cmp(&b.addr));
        let id = |addr: &str| {
            let index = drafts.iter().position(|draft| draft.addr == addr);
            ActionId(index.unwrap_or_else(|| panic!("no action {addr}")) as u32)
        };
        let mut actions = Vec::new();
        for draft in &drafts {
            let mut inputs: Vec<Input> = draft
                .inputs
                .iter()
                .map(|(dest, source)| Input {
                    dest: dest.clone(),
                    source: match source {
                        Source::Workspace(pattern, optional) => {
                            InputSource::Workspace { pattern: pattern.clone(), optional: *optional }
                        }
                        Source::Output(addr, output, select) => {
                            InputSource::Output { action: id(addr), output: output.clone(), select: select.clone() }
                        }
                    },
                })
                .collect();
            inputs.sort();
            let tools = match &draft.kind {
                ActionKind::Exec { tool, .. } => vec![tool.clone()],
                _ => vec![],
            };
            let def =
                draft.def.unwrap_or_else(|| Digest::of_blob(format!("{}{:?}", draft.addr, draft.kind).as_bytes()));
            actions.push(Action {
                addr: draft.addr.clone(),
                spec: ActionSpec {
                    kind: draft.kind.clone(),
                    class: draft.class,
                    env: draft.env.clone(),
                    secrets: BTreeMap::new(),
                    inputs,
                    outputs: draft.outputs.clone(),
                    tools,
                    services: draft.services.clone(),
                    take: None,
                    cwd: draft.cwd.clone(),
                    isolation: draft.isolation,
                    limits: BTreeMap::new(),
                },
                policy: draft.policy.clone(),
                def,
                skey: def,
                after: draft.after.iter().map(|addr| id(addr)).collect(),
                route: None,
            });
        }
        let mut tools = self.tools.clone();
        tools.sort_by(|a, b| a.name.cmp(&b.name));
        Plan {
            terms: Terms::default(),
            graph: "g".into(),
            actions,
            tools,
            pools: self.pools.clone(),
            concurrency: self.concurrency,
            services: self.services.clone(),
            policies: self.policies.clone(),
            schemas: BTreeMap::new(),
            digest: Digest::of_blob(b"plan"),
        }
    }
}
