//! The ports of the executor, filled: the local store, the history and the stat cache of a workspace.
//! Leaves out what is done with them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::base::{ActionKey, Clock, Digest, Timestamp};
use crate::event::{Event, Sink};
use crate::exec::{Baseline, FileMeta, History as HistoryPort, HistoryRow, RunLife, Snapshots};
use crate::ops::Error;
use crate::ops::history::is_alive;
use crate::ops::rekey::{rekey_older_state, rekey_older_store};
use crate::ops::workspace::make_state;
use crate::plan::Rekeying;
use crate::store::{Brief, FileStat, History, LatestRow, LocalStore, Notify, RunStatus, StatCache, StoreOptions};

/// What a workspace keeps between runs, opened.
pub struct Keep {
    /// The store.
    pub store: Arc<LocalStore>,
    /// What happened to addresses.
    pub history: Arc<WorkspaceHistory>,
    /// Digests of files by their metadata.
    pub snapshots: Arc<WorkspaceSnapshots>,
    /// The state directory.
    pub state: PathBuf,
}

/// Tells the user of things that were mended or set aside, as events.
pub(super) fn notices(sink: &Arc<dyn Sink>, clock: &Arc<dyn Clock>, run: &str) -> Notify {
    let (sink, clock, run) = (Arc::clone(sink), Arc::clone(clock), run.to_owned());
    Arc::new(move |event: Event| {
        let envelope = crate::event::Envelope {
            v: crate::event::Envelope::VERSION,
            seq: 0,
            at: clock.now().0,
            run: run.clone(),
            event,
        };
        sink.event(&envelope);
    })
}

impl Keep {
    /// Opens store and state, making them if they are missing.
    pub fn open(store: &Path, state: &Path, clock: &Arc<dyn Clock>, notify: &Notify) -> Result<Self, Error> {
        Self::open_by(store, state, clock, notify, &Rekeying::PRESENT)
    }

    /// The same, with other ways from older schemas of keys than those of this version.
    pub fn open_by(
        store: &Path,
        state: &Path,
        clock: &Arc<dyn Clock>,
        notify: &Notify,
        way: &Rekeying,
    ) -> Result<Self, Error> {
        make_state(state)?;
        let options = StoreOptions { notify: Arc::clone(notify), ..StoreOptions::new(Arc::clone(clock)) };
        let store = Arc::new(LocalStore::open(store, options)?);
        let history = History::open(&state.join("history.sqlite"), Arc::clone(clock), Arc::clone(notify))?;
        if let Some(report) = rekey_older_store(&store, way)? {
            let text = format!("{} results were brought to the present schema of keys", report.moved);
            notify(Event::Notice { text });
        }
        rekey_older_state(state, &history, way)?;
        Ok(Self::of(store, history, state))
    }
}

impl Keep {
    /// Opens store and state to look at them, without making or changing anything. What is keyed by an older schema
    /// stays so, and counts as unknown.
    pub fn open_to_read(store: &Path, state: &Path, clock: &Arc<dyn Clock>) -> Result<Self, Error> {
        let store = Arc::new(LocalStore::open_to_read(store, StoreOptions::new(Arc::clone(clock)))?);
        let history = History::open_to_read(&state.join("history.sqlite"), Arc::clone(clock))?;
        Ok(Self::of(store, history, state))
    }

    fn of(store: Arc<LocalStore>, history: History, state: &Path) -> Self {
        Self {
            store,
            history: Arc::new(WorkspaceHistory::new(history, state)),
            snapshots: Arc::new(WorkspaceSnapshots { inner: StatCache::load(&state.join("files.cache")) }),
            state: state.to_path_buf(),
        }
    }
}

/// The history as the executor sees it. What cannot be read counts as not there: history explains,
/// it never decides.
pub struct WorkspaceHistory {
    /// The history itself.
    pub inner: History,
    /// The state directory.
    state: PathBuf,
    /// How often it was asked.
    asked: AtomicUsize,
    /// Key, success and duration of every address, once that costs less than to ask for each.
    brief: OnceLock<Option<Mutex<BTreeMap<String, Brief>>>>,
}

impl WorkspaceHistory {
    /// Questions that are put one by one.
    const ONE_BY_ONE: usize = 32;

    fn new(inner: History, state: &Path) -> Self {
        Self { inner, state: state.to_path_buf(), asked: AtomicUsize::new(0), brief: OnceLock::new() }
    }

    /// What is known of all addresses; `None` while few were asked for.
    fn all(&self) -> Option<MutexGuard<'_, BTreeMap<String, Brief>>> {
        if self.brief.get().is_none() && self.asked.fetch_add(1, Ordering::Relaxed) < Self::ONE_BY_ONE {
            return None;
        }
        let all = self.brief.get_or_init(|| self.inner.brief().ok().map(Mutex::new)).as_ref()?;
        Some(all.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn baseline(row: LatestRow) -> Baseline {
    Baseline {
        addr: row.addr,
        key: row.key,
        manifest: row.manifest,
        levels: row.levels,
        ok: row.outcome_ok,
        run: row.run,
        duration_ms: row.duration_ms,
    }
}

impl HistoryPort for WorkspaceHistory {
    fn life(&self, run: &str) -> RunLife {
        if is_alive(&self.state, run) {
            return RunLife::Alive;
        }
        let rows = self.inner.runs().unwrap_or_default();
        match rows.into_iter().find(|row| row.id == run).map(|row| row.status) {
            Some(RunStatus::Cancelled) => RunLife::Cancelled,
            Some(RunStatus::Succeeded | RunStatus::Failed | RunStatus::Waiting) => RunLife::Ended,
            Some(RunStatus::Started | RunStatus::Interrupted) | None => RunLife::Gone,
        }
    }

    fn latest(&self, addr: &str) -> Option<Baseline> {
        if self.all().is_some_and(|all| !all.contains_key(addr)) {
            return None;
        }
        self.inner.latest(addr).ok().flatten().map(baseline)
    }

    fn latest_key(&self, addr: &str) -> Option<ActionKey> {
        if let Some(all) = self.all() {
            return all.get(addr).filter(|brief| brief.outcome_ok).map(|brief| brief.key);
        }
        self.inner.latest(addr).ok().flatten().filter(|row| row.outcome_ok).map(|row| row.key)
    }

    fn by_def(&self, def: Digest) -> Option<Baseline> {
        if self.all().is_some_and(|all| all.is_empty()) {
            return None;
        }
        self.inner.by_def(def).ok().flatten().map(baseline)
    }

    fn record(&self, row: HistoryRow) {
        if let Some(Some(all)) = self.brief.get() {
            let brief = Brief { key: row.key, outcome_ok: row.ok, duration_ms: row.duration_ms };
            all.lock().unwrap_or_else(PoisonError::into_inner).insert(row.addr.clone(), brief);
        }
        let row = LatestRow {
            addr: row.addr,
            def: row.def,
            key: row.key,
            manifest: row.manifest,
            levels: row.levels,
            outcome_ok: row.ok,
            outcome: row.outcome,
            reason: row.reason,
            at: row.at,
            run: row.run,
            duration_ms: row.duration_ms,
        };
        if let Err(error) = self.inner.record(vec![row]) {
            tracing::warn!(%error, "the history was not written");
        }
    }

    fn expected_ms(&self, addr: &str) -> Option<u64> {
        if let Some(all) = self.all() {
            return all.get(addr).map(|brief| brief.duration_ms);
        }
        self.inner.duration_ms(addr).ok().flatten()
    }
}

/// The stat cache as the executor sees it.
pub struct WorkspaceSnapshots {
    /// The cache itself.
    pub inner: StatCache,
}

fn stat(meta: &FileMeta) -> FileStat {
    FileStat {
        dev: meta.dev,
        ino: meta.ino,
        size: meta.size,
        mtime_ns: meta.mtime_ns as i64,
        ctime_ns: meta.ctime_ns as i64,
        mode: meta.mode,
    }
}

impl Snapshots for WorkspaceSnapshots {
    fn lookup(&self, path: &str, meta: &FileMeta) -> Option<Digest> {
        self.inner.lookup(Path::new(path), &stat(meta)).map(|(digest, _)| digest)
    }

    fn insert(&self, path: &str, meta: FileMeta, digest: Digest, read_at: Timestamp) {
        self.inner.insert(Path::new(path), &stat(&meta), read_at, digest);
    }
}

/// Opens a store by itself to read it. A missing one is empty.
pub fn open_store_to_read(dir: &Path, clock: Arc<dyn Clock>) -> Result<LocalStore, Error> {
    Ok(LocalStore::open_to_read(dir, StoreOptions::new(clock))?)
}

/// Opens a store to look for what is wrong with it and to mend that; where nothing may be written, to look alone.
pub fn open_store_to_verify(dir: &Path, clock: Arc<dyn Clock>) -> Result<LocalStore, Error> {
    match LocalStore::open(dir, StoreOptions::new(Arc::clone(&clock))) {
        Err(error) if error.is_for_want_of_permission() => open_store_to_read(dir, clock),
        other => Ok(other?),
    }
}

/// Opens a store by itself, making it if it is missing.
pub fn open_store(dir: &Path, clock: Arc<dyn Clock>) -> Result<LocalStore, Error> {
    Ok(LocalStore::open(dir, StoreOptions::new(clock))?)
}
