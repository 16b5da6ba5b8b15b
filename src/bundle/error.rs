//! Why a bundle could not be made, a key not be used, or a check not be carried out. Leaves out
//! refusals, which are answers: see `verdict`.

use std::io;
use std::path::PathBuf;

use crate::base::{Digest, ErrorKind};
use crate::bundle::code::Code;
use crate::bundle::names::NameError;
use crate::bundle::policy::Place;
use crate::store;

/// Why something about a bundle could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path cannot stand in a bundle.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A name, version, tenant or graph cannot be used.
    #[error("the {what} `{}` cannot be used in a bundle: {why}", text.escape_debug())]
    Field {
        /// Which field.
        what: &'static str,
        /// Its text.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There is nothing to bundle.
    #[error("the bundle `{0}` holds no file: include at least one output")]
    Empty(String),
    /// A blob is not in the store.
    #[error("the content of `{path}` (b3:{digest}) is not in the store")]
    Missing {
        /// Where it belongs.
        path: String,
        /// Its digest.
        digest: Digest,
    },
    /// A blob is not what it is said to be.
    #[error("the content of `{path}` is not what the bundle says it is: {why}")]
    Content {
        /// Where it belongs.
        path: String,
        /// What differs.
        why: String,
    },
    /// A file of the bundle cannot be written.
    #[error("cannot {what} `{}`: {source}", path.display())]
    Write {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Nobody signs, or somebody twice.
    #[error("the bundle cannot be signed: {0}")]
    Signers(String),
    /// The date is out of range.
    #[error("the date {0} (seconds since 1970) of a bundle is after 9999-12-30")]
    Date(u64),
    /// What was written is not canonical: a defect of ours or of a library.
    #[error("the archive written to `{}` is not canonical: {why}", path.display())]
    NotCanonical {
        /// The temporary file.
        path: PathBuf,
        /// The first difference.
        why: String,
    },
    /// A lock file cannot be understood.
    #[error("the {kind} lock file cannot be understood at {at}: {why}")]
    Lock {
        /// `Cargo` or `npm`.
        kind: &'static str,
        /// Where.
        at: String,
        /// What is wrong.
        why: String,
    },
    /// A key file cannot be read or written.
    #[error("cannot {what} the key `{}`: {source}", path.display())]
    KeyFile {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A plain private key that others may read.
    #[error(
        "the private key `{}` has mode {mode:04o}, so others may read it: set mode 0600 or encrypt it",
        path.display()
    )]
    KeyMode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not the kind of key that is needed.
    #[error("`{origin}` does not hold an Ed25519 or P-256 {wanted}: {why}")]
    KeyFormat {
        /// The file, or where else it came from.
        origin: String,
        /// What was needed.
        wanted: &'static str,
        /// What is wrong.
        why: String,
    },
    /// An encrypted key without a passphrase.
    #[error("the private key `{origin}` is encrypted and no passphrase was given")]
    PassphraseNeeded {
        /// The file, or where else it came from.
        origin: String,
    },
    /// The wrong passphrase, or damage.
    #[error("the passphrase does not open the private key `{origin}`: {why}")]
    Passphrase {
        /// The file, or where else it came from.
        origin: String,
        /// What the decoder said.
        why: String,
    },
    /// A signer failed.
    #[error("the key {keyid} cannot sign: {why}")]
    Signing {
        /// The key.
        keyid: String,
        /// Why not.
        why: String,
    },
    /// A key of this name exists.
    #[error("the key file `{}` exists: remove it first or choose another name", path.display())]
    KeyExists {
        /// The file.
        path: PathBuf,
    },
    /// The trust policy contradicts itself, so nothing can be judged by it.
    #[error("the trust policy cannot be used: {why}")]
    Policy {
        /// What is wrong.
        why: String,
        /// Where the policy says it.
        place: Option<Place>,
    },
    /// A bundle that cannot be understood.
    #[error("`{}` is not a bundle that can be read: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A database of vulnerabilities that cannot be used.
    #[error("the database of vulnerabilities cannot be used: `{}`: {why}", path.display())]
    Database {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A transparency log that does not hold together.
    #[error("the transparency log cannot be used: `{}`: {why}", path.display())]
    Log {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A file to verify cannot be read.
    #[error("cannot {what} `{}`: {source}", path.display())]
    Read {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn write(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Write { what, path, source }
    }

    pub(crate) fn read(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Read { what, path, source }
    }

    pub(crate) fn key_file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::KeyFile { what, path, source }
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Name(error) => error.code(),
            Self::Field { .. } => Code::B0106,
            Self::Empty(_) => Code::B0107,
            Self::Missing { .. } => Code::B0108,
            Self::Content { .. } => Code::B0109,
            Self::Write { .. } => Code::B0110,
            Self::Store(_) => Code::B0111,
            Self::Signers(_) => Code::B0112,
            Self::Date(_) => Code::B0113,
            Self::NotCanonical { .. } => Code::B0114,
            Self::Lock { .. } => Code::B0115,
            Self::KeyFile { .. } => Code::B0201,
            Self::KeyMode { .. } => Code::B0202,
            Self::KeyFormat { .. } => Code::B0203,
            Self::PassphraseNeeded { .. } => Code::B0204,
            Self::Passphrase { .. } => Code::B0205,
            Self::Signing { .. } => Code::B0206,
            Self::KeyExists { .. } => Code::B0207,
            Self::Policy { .. } => Code::B0301,
            Self::Read { .. } => Code::B0302,
            Self::Malformed { .. } => Code::B0303,
            Self::Log { .. } => Code::B0304,
            Self::Database { .. } => Code::B0305,
        }
    }

    /// Where the trust policy says what cannot be used.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Policy { place, .. } => place.as_ref(),
            _ => None,
        }
    }

    /// The kind, which decides the exit status.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => error.kind(),
            Self::NotCanonical { .. } => ErrorKind::Internal,
            Self::Signers(_)
            | Self::KeyFile { .. }
            | Self::KeyMode { .. }
            | Self::KeyFormat { .. }
            | Self::PassphraseNeeded { .. }
            | Self::Passphrase { .. }
            | Self::Signing { .. }
            | Self::KeyExists { .. } => ErrorKind::Signature,
            Self::Log { .. } | Self::Malformed { .. } => ErrorKind::CheckFailed,
            Self::Database { .. } => ErrorKind::Audit,
            Self::Policy { .. } | Self::Read { .. } => ErrorKind::Usage,
            _ => ErrorKind::Bundle,
        }
    }
}
