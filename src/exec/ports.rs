//! What the executor needs from outside: history, snapshots of files, a runner of processes,
//! people's consent, and inventories of bundles.
//! Leaves out the store's own ports, which are in `store`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::base::{ActionKey, Clock, Digest, Environment, RelPath, Timestamp};
use crate::event::{Outcome, Reason, Sink};
use crate::exec::CancelToken;
use crate::exec::bounds::{Bounds, Breach};
use crate::plan::{Consent, Isolation, Sbom, SecretTerms, Tool, ToolIdentity};
use crate::store::{Cas, Claim, Claims};

/// An earlier result to compare with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baseline {
    /// The address it was made at.
    pub addr: String,
    /// Its key.
    pub key: ActionKey,
    /// The manifest of the key, as written.
    pub manifest: String,
    /// Levels of its inputs below the topmost that are not in the store, as they were recorded.
    pub levels: Vec<u8>,
    /// Whether the action succeeded.
    pub ok: bool,
    /// The run.
    pub run: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// What became of an action whose key came to be known, for the runs that follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    /// The address.
    pub addr: String,
    /// The definition.
    pub def: Digest,
    /// The key.
    pub key: ActionKey,
    /// The manifest of the key, as written.
    pub manifest: String,
    /// Levels of its inputs below the topmost, where they are too small to be kept in the store.
    pub levels: Vec<u8>,
    /// Whether it succeeded.
    pub ok: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it ran or was a hit.
    pub reason: Reason,
    /// The run.
    pub run: String,
    /// When it ended.
    pub at: Timestamp,
    /// How long the attempt took that made the result, in milliseconds.
    pub duration_ms: u64,
}

/// What happened to addresses in earlier runs. Called from any thread; answers come from memory or
/// an index, as `latest_key` is asked once for each action of a run.
pub trait History: Send + Sync {
    /// The last row of an address.
    fn latest(&self, addr: &str) -> Option<Baseline>;

    /// The key of the last row of an address, if that row is of a success.
    fn latest_key(&self, addr: &str) -> Option<ActionKey> {
        self.latest(addr).filter(|baseline| baseline.ok).map(|baseline| baseline.key)
    }

    /// The last row of a definition, at whatever address.
    fn by_def(&self, def: Digest) -> Option<Baseline>;

    /// Keeps a row. Rows of hits come only where the key differs from that of the last row.
    fn record(&self, row: HistoryRow);

    /// How long the action of an address may be expected to take, in milliseconds.
    fn expected_ms(&self, addr: &str) -> Option<u64>;

    /// What has become of another run.
    fn life(&self, _run: &str) -> RunLife {
        RunLife::Gone
    }
}

/// What has become of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunLife {
    /// Its process lives.
    Alive,
    /// It was stopped.
    Cancelled,
    /// It came to its end, well or not.
    Ended,
    /// Its process is gone and has left no word, or nobody knows.
    Gone,
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileMeta {
    /// The device.
    pub dev: u64,
    /// The inode.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Type and permission bits.
    pub mode: u32,
    /// Time of the last change of content, in nanoseconds since the epoch.
    pub mtime_ns: i128,
    /// Time of the last change of the inode, in nanoseconds since the epoch.
    pub ctime_ns: i128,
}

/// The stat cache: digests of files by path and metadata.
///
/// The rule against racy timestamps belongs to the implementation: it answers only where the file
/// cannot have changed since it was read with all its metadata staying the same.
pub trait Snapshots: Send + Sync {
    /// The digest of the file at `path` (relative to the workspace, or absolute outside of it), if
    /// a file with this metadata was read before.
    fn lookup(&self, path: &str, meta: &FileMeta) -> Option<Digest>;

    /// Keeps what a file's bytes hash to. `read_at` is the wall clock before the metadata was taken.
    fn insert(&self, path: &str, meta: FileMeta, digest: Digest, read_at: Timestamp);
}

/// Which output of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Receives what a process prints, as it comes.
#[derive(Clone, Copy)]
pub struct Tap<'a>(pub &'a (dyn Fn(Stream, &[u8]) + Sync));

impl std::fmt::Debug for Tap<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tap")
    }
}

/// What a process may use of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Nothing.
    #[default]
    Nothing,
    /// It may connect to these ports of this machine.
    Ports(Vec<u16>),
    /// All that the machine can.
    Machine,
}

/// An attempt, ready to be started.
#[derive(Clone, Debug)]
pub struct Job<'a> {
    /// The address, for messages.
    pub addr: &'a str,
    /// The executable.
    pub program: &'a Path,
    /// What the process sees as its own name.
    pub argv0: &'a str,
    /// The arguments after the name.
    pub args: &'a [String],
    /// The whole environment.
    pub env: &'a BTreeMap<OsString, OsString>,
    /// The attempt's own directory, which holds `work`, `home` and `tmp`. It ends in no `/`.
    pub root: &'a Path,
    /// Where the process starts: `work` or a folder below.
    pub cwd: &'a Path,
    /// The executables it may start, including `program`.
    pub tools: &'a [PathBuf],
    /// The folder of links by which it finds them.
    pub bin: &'a Path,
    /// Files and folders that variables handed through name: they may be read.
    pub shown: &'a [PathBuf],
    /// What it may use at most.
    pub bounds: Bounds,
    /// The longest it may take.
    pub timeout: Option<Duration>,
    /// What it may use of the network.
    pub network: Network,
    /// The least isolation it must run under.
    pub isolation: Isolation,
    /// Who is told what it prints while it runs.
    pub tap: Option<Tap<'a>>,
    /// Whether its processes must die with this one even where this one is killed. A runner whose
    /// isolation sees to that anyway need not look.
    pub guarded: bool,
}

/// How a process ended.
#[derive(Debug)]
pub enum End {
    /// By itself, with this status.
    Exited(i32),
    /// By a signal that was not ours.
    Signalled(i32),
    /// It was killed as its time was up.
    TimedOut,
    /// It was killed as it used too much of something.
    Exceeded(Breach),
    /// It was killed as it waited for input from the terminal, which would never have come.
    WantsTerminal,
    /// It was killed as the run was cancelled.
    Cancelled,
    /// It could not be started.
    NotStarted(std::io::Error),
    /// It was started, or may have been, and how it ended cannot be found out.
    Unknown(std::io::Error),
}

/// What became of an attempt. All its processes are dead.
#[derive(Debug)]
pub struct Ended {
    /// How its first process ended.
    pub end: End,
    /// What it printed on standard output, bounded.
    pub stdout: Vec<u8>,
    /// What it printed on standard error, bounded.
    pub stderr: Vec<u8>,
    /// From start to the end of the first process.
    pub duration: Duration,
    /// What it ran under.
    pub isolation: Isolation,
    /// How many processes could not be killed. Its outputs are not to be trusted if there are any.
    pub survivors: u32,
}

/// Something that a process looked for and was not given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    /// Where, from the root that it sees.
    pub path: PathBuf,
    /// Whether it was to be written or made.
    pub writes: bool,
}

/// Where an attempt's directories are in the eyes of its process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// `HOME`.
    pub home: PathBuf,
    /// `TMPDIR`.
    pub tmp: PathBuf,
    /// `PATH`.
    pub path: PathBuf,
}

/// Executes prepared attempts: starts a process, waits, and leaves none of its descendants alive.
pub trait Runner: Send + Sync {
    /// The strongest isolation it can give on this machine.
    fn isolation(&self) -> Isolation;

    /// Why it cannot give an isolation, and what to do about it, for people.
    fn lack(&self, _level: Isolation) -> Option<String> {
        None
    }

    /// Where the directories of the attempt at `root` and the tools at `bin` will appear to a job that
    /// demands this isolation.
    fn view(&self, root: &Path, bin: &Path, _demand: Isolation) -> View {
        View { home: root.join("home"), tmp: root.join("tmp"), path: bin.to_path_buf() }
    }

    /// Runs an attempt to its end. Blocks.
    fn run(&self, job: &Job<'_>, clock: &dyn Clock, cancel: &CancelToken) -> Ended;

    /// Runs an attempt for no other end than to see what it looks for and is not given: under the isolation that `run`
    /// gives it, and within the same bounds. For no longer than its timeout. Paths are as the attempt sees them. `None`
    /// where that cannot be seen.
    fn watch(&self, _job: &Job<'_>, _clock: &dyn Clock, _cancel: &CancelToken) -> Option<Vec<Missed>> {
        None
    }
}

/// Reads secrets when an action runs that is given them.
pub trait Secrets: Send + Sync {
    /// The value of a secret. The error is a message that holds nothing of it.
    fn read(&self, name: &str, terms: &SecretTerms) -> Result<String, String>;
}

/// There are none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSecrets;

impl Secrets for NoSecrets {
    fn read(&self, _name: &str, _terms: &SecretTerms) -> Result<String, String> {
        Err("no secrets are read here".to_owned())
    }
}

/// A file of a bundle, as an inventory lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it may be executed.
    pub exec: bool,
}

/// What an inventory of a bundle is made from.
#[derive(Debug)]
pub struct Contents<'a> {
    /// The bundle.
    pub sbom: &'a Sbom,
    /// Its files, by their paths in it.
    pub files: BTreeMap<RelPath, Packed>,
    /// The texts of the lock files that went in, by their paths.
    pub locks: BTreeMap<RelPath, String>,
    /// The tools that made it, with what they turned out to be.
    pub tools: Vec<(&'a Tool, &'a ToolIdentity)>,
}

/// Makes inventories of bundles.
pub trait Inventory: Send + Sync {
    /// Whether a file of this name is a lock file whose packages are listed.
    fn is_lock(&self, name: &str) -> bool;

    /// The document. A pure function of what is given and of the bytes in the store; the error is for people.
    fn document(&self, contents: &Contents<'_>, cas: &dyn Cas) -> Result<Vec<u8>, String>;
}

/// Where no bundle is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoInventory;

impl Inventory for NoInventory {
    fn is_lock(&self, _name: &str) -> bool {
        false
    }

    fn document(&self, _contents: &Contents<'_>, _cas: &dyn Cas) -> Result<Vec<u8>, String> {
        Err("no inventories are made here".to_owned())
    }
}

/// What is on record of an approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was given.
    Given {
        /// By whom, sorted.
        by: Vec<String>,
    },
    /// It was not, or not by enough people, or it counts no more.
    Missing {
        /// What is missing exactly, and how to give it; may have several lines.
        text: String,
    },
}

/// Knows what people have consented to. Asked in every run: consent can be withdrawn and grows old.
pub trait Approver: Send + Sync {
    /// What is on record of an approval that a plan asks for.
    fn standing(&self, asked: &Consent<'_>) -> Standing;
}

/// Where nobody can be asked: nothing is consented to.
pub struct Nobody;

impl Approver for Nobody {
    fn standing(&self, asked: &Consent<'_>) -> Standing {
        Standing::Missing { text: format!("nobody can be asked: {}", asked.approval.shown()) }
    }
}

/// Who writes results here, and whose results count.
pub trait Writers: Send + Sync {
    /// A result as it is recorded here: in the overlay of this writer, and signed, if it has these. The error is
    /// for people.
    fn sign(&self, claim: Claim) -> Result<Claim, String>;

    /// Why a result does not count here, if so. `all` are the results under its key.
    fn refuse(&self, claim: &Claim, all: &[Claim]) -> Option<Reason>;
}

/// Nobody signs, and whatever is in no overlay counts: a store that only its owner writes to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Everyone;

impl Writers for Everyone {
    fn sign(&self, claim: Claim) -> Result<Claim, String> {
        Ok(claim)
    }

    fn refuse(&self, claim: &Claim, _all: &[Claim]) -> Option<Reason> {
        (!claim.overlay.is_empty()).then(|| Reason::UntrustedWriter { writer: format!("overlay {}", claim.overlay) })
    }
}

/// All that a run needs from outside.
#[derive(Clone)]
pub struct Ports {
    /// Content.
    pub cas: Arc<dyn Cas>,
    /// Results.
    pub claims: Arc<dyn Claims>,
    /// Earlier runs.
    pub history: Arc<dyn History>,
    /// The stat cache.
    pub snapshots: Arc<dyn Snapshots>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Who listens.
    pub sink: Arc<dyn Sink>,
    /// The caller's environment: where tools are looked up, and what is handed through.
    pub environment: Environment,
    /// Stops the run.
    pub cancel: CancelToken,
    /// Executes processes.
    pub runner: Arc<dyn Runner>,
    /// Reads secrets.
    pub secrets: Arc<dyn Secrets>,
    /// Knows what people have consented to.
    pub approver: Arc<dyn Approver>,
    /// Makes inventories of bundles.
    pub inventory: Arc<dyn Inventory>,
    /// Who writes results, and whose count.
    pub writers: Arc<dyn Writers>,
}
