//! The ports of the store: what the executor and the bundler need of it. Every implementation
//! passes the same conformance suite. Leaves out how anything is kept.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::{ActionKey, Digest, Entry, ErrorKind, Tree};

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<T> {
    /// The bytes, verified against the digest.
    Whole(T),
    /// No such blob.
    Missing,
    /// There were bytes, but not the right ones; they have been moved to quarantine.
    Corrupt,
}

/// Content by digest. Methods may be called from any thread and block.
pub trait Cas: Send + Sync {
    /// Keeps bytes.
    fn put_bytes(&self, bytes: &[u8]) -> Result<Digest, Error>;

    /// Keeps the bytes of a regular file, reading them once. Returns digest and size. The caller's
    /// file is left as it is. A symlink is refused, as is everything else that is not a regular
    /// file: who wants the file behind a link resolves it first, knowing where it may lead.
    fn put_file(&self, path: &Path) -> Result<(Digest, u64), Error>;

    /// Keeps one level of a tree as a blob of its canonical encoding, under its tree digest.
    fn put_tree(&self, tree: &Tree) -> Result<Digest, Error>;

    /// The bytes of a blob, verified.
    fn get(&self, digest: Digest) -> Result<Found<Vec<u8>>, Error>;

    /// Hands the bytes of a blob on in pieces as they are read and verified, and returns its size. Only if it was whole
    /// were they the right ones.
    fn read(&self, digest: Digest, sink: &mut dyn FnMut(&[u8])) -> Result<Found<u64>, Error> {
        Ok(match self.get(digest)? {
            Found::Whole(bytes) => {
                sink(&bytes);
                Found::Whole(bytes.len() as u64)
            }
            Found::Missing => Found::Missing,
            Found::Corrupt => Found::Corrupt,
        })
    }

    /// One level of a tree, verified.
    fn get_tree(&self, digest: Digest) -> Result<Found<Tree>, Error>;

    /// Writes a blob to a new file at `path` (which must not exist) with mode 0644 or 0755,
    /// by reflink where the file system can, else by copy; verified on the first use in this
    /// process. Never a hard link.
    fn copy_to(&self, digest: Digest, path: &Path, exec: bool) -> Result<Found<()>, Error>;

    /// Whether a blob is there: a look, not a read.
    fn contains(&self, digest: Digest) -> bool;

    /// The size in bytes of a blob that is there.
    fn size(&self, digest: Digest) -> Option<u64>;

    /// A new empty directory on the store's own file system, removed by the caller, or by the next
    /// process if the caller is killed. For attempts and for staging.
    fn scratch(&self) -> Result<PathBuf, Error>;

    /// Notes that outputs, and the results under keys, are relied on of which nobody has asked this store for: garbage
    /// that is collected beside leaves them alone from then on. Whether they are there is to be looked at after that.
    fn rely_on(&self, _keys: &[ActionKey], _entries: &[&Entry]) -> Result<(), Error> {
        Ok(())
    }

    /// Whether a blob that is not there was set aside as damaged, at a moment in nanoseconds since the epoch or after it.
    fn was_damaged_since(&self, _digest: Digest, _since: i64) -> bool {
        false
    }

    /// Notes that everything there is is relied on, or takes that back.
    fn rely_on_everything(&self, _all: bool) -> Result<(), Error> {
        Ok(())
    }

    /// Blocks until all that was kept or recorded before this call is durable.
    fn flush(&self) -> Result<(), Error>;
}

/// An output as a claim names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimOutput {
    /// The output's name.
    pub name: String,
    /// What it is: a file or a folder.
    pub entry: Entry,
}

/// A result under an action key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The key.
    pub key: ActionKey,
    /// Outputs, sorted by name.
    pub outputs: Vec<ClaimOutput>,
    /// Digests of the kept standard output and standard error.
    pub logs: [Digest; 2],
    /// The manifest of the key, as written.
    pub manifest: String,
    /// The isolation it was made under, as a rank: 0 none, 1 landlock, 2 full.
    pub isolation: u8,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// When it was made, in nanoseconds since the epoch.
    pub created: i64,
    /// The run that made it.
    pub run: String,
    /// The address it was made at; for people and for finding a baseline.
    pub addr: String,
    /// The overlay it was recorded in: it counts for readers of the same one only. Empty: it is for all.
    pub overlay: String,
    /// Who says so; `None`: nobody signed it.
    pub signed: Option<Signed>,
}

/// The signature of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The public key of the writer: SPKI, DER.
    pub writer: Vec<u8>,
    /// Its signature over [`Claim::statement`].
    pub signature: Vec<u8>,
}

impl Claim {
    /// What a writer signs: a hash of all that the claim says, of its key, its time and its overlay.
    pub fn statement(&self) -> Vec<u8> {
        crate::store::codec::statement(self)
    }
}

/// Results by action key.
pub trait Claims: Send + Sync {
    /// All claims under a key, newest first, including those recorded but not yet durable.
    fn lookup(&self, key: ActionKey) -> Result<Vec<Claim>, Error>;

    /// Records a claim. It becomes durable after every blob it names, never before. It takes the
    /// place of an older claim of the key with equal outputs and isolation.
    fn record(&self, claim: Claim) -> Result<(), Error>;

    /// Drops all claims under a key, because blobs of them turned out to be lost.
    fn forget(&self, key: ActionKey) -> Result<(), Error>;

    /// The damaged blob for which the results under a key were dropped, if they were, and none was recorded since.
    fn dropped_for(&self, _key: ActionKey) -> Option<Digest> {
        None
    }

    /// Holds what is and will be recorded under a key back from being published, because it does not come out
    /// the same each time. `why` is for people. Durable when it returns.
    fn hold(&self, key: ActionKey, why: &str) -> Result<(), Error>;

    /// Lets it go again. Durable when it returns.
    fn release(&self, key: ActionKey) -> Result<(), Error>;

    /// Why what is recorded under a key is held back, if it is.
    fn held(&self, key: ActionKey) -> Result<Option<String>, Error>;
}

/// Why the store could not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("cannot {what} `{}`: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The database refused.
    #[error("the store's index `{}` refused: {source}", path.display())]
    Index {
        /// The database file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// The directory is not a store.
    #[error("`{}` is not a Partita store: it holds other files and no `format`", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
    },
    /// What was asked is in a database that is damaged.
    #[error("`{}` is damaged: the next run sets it aside and begins a new one", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
    },
    /// A newer version wrote the history, which only it can tell.
    #[error("the history `{}` was written by a newer version of partita, which alone can read it", path.display())]
    NewerHistory {
        /// The database.
        path: PathBuf,
    },
    /// Made by a newer version.
    #[error("the store `{}` has format {found}; this version knows {known}: use a newer partita or another `--store`", path.display())]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: String,
        /// Ours.
        known: u32,
    },
    /// The directory lies on a network file system.
    #[error("the store `{}` is on a network file system ({kind}), where its index would be corrupted: use a local directory for `--store`", path.display())]
    Network {
        /// The directory.
        path: PathBuf,
        /// Which kind.
        kind: &'static str,
    },
    /// Something that needs the store for itself found another process using it.
    #[error("`{}` is in use by another process: try again when it has finished", path.display())]
    Busy {
        /// The store, or a database.
        path: PathBuf,
    },
    /// The ledger of effects cannot be read.
    #[error("the ledger of effects `{}` is damaged, or of a newer version: what was done outside is not known", path.display())]
    Ledger {
        /// The file.
        path: PathBuf,
    },
    /// What was spent cannot be read.
    #[error("what tenants have spent, `{}`, is damaged, or of a newer version: how much is left of their budgets is not known", path.display())]
    Spending {
        /// The file.
        path: PathBuf,
    },
    /// A write failed earlier in this process, so nothing written since is trusted.
    #[error("an earlier write to the store failed: {0}")]
    Poisoned(String),
}

impl Error {
    /// Wraps an IO error with what was tried.
    pub fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }

    /// Whether there is no room left.
    pub fn is_for_want_of_room(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        match self {
            Self::Io { source, .. } => matches!(source.kind(), StorageFull | QuotaExceeded),
            Self::Index { source, .. } => source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
            // Of the first error only the words were kept, as it has been told to whoever met it.
            Self::Poisoned(first) => first.contains("No space left on device") || first.contains("disk is full"),
            _ => false,
        }
    }

    /// Whether this user may not write there, or nobody may.
    pub fn is_for_want_of_permission(&self) -> bool {
        use rusqlite::ErrorCode::{CannotOpen, PermissionDenied as Refused, ReadOnly};
        use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        match self {
            Self::Io { source, .. } => matches!(source.kind(), PermissionDenied | ReadOnlyFilesystem),
            Self::Index { source, .. } => {
                source.sqlite_error_code().is_some_and(|code| matches!(code, CannotOpen | Refused | ReadOnly))
            }
            _ => false,
        }
    }

    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "S0101",
            Self::Index { .. } | Self::Damaged { .. } => "S0102",
            Self::NotAStore { .. } => "S0103",
            Self::Newer { .. } | Self::NewerHistory { .. } => "S0104",
            Self::Network { .. } => "S0105",
            Self::Busy { .. } => "S0106",
            Self::Poisoned(_) => "S0107",
            Self::Ledger { .. } => "S0108",
            Self::Spending { .. } => "S0109",
        }
    }

    /// The kind, which decides the exit status.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } | Self::Index { .. } | Self::Poisoned(_) | Self::Network { .. } | Self::Busy { .. } => {
                ErrorKind::Engine
            }
            Self::NotAStore { .. }
            | Self::Newer { .. }
            | Self::NewerHistory { .. }
            | Self::Damaged { .. }
            | Self::Ledger { .. }
            | Self::Spending { .. } => ErrorKind::StoreFormat,
        }
    }
}
