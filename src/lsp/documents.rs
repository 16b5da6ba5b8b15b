//! What the server knows: the open documents with their URIs and versions, and the newest answers of
//! the compiler. Leaves out messages.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::lsp::position::Encoding;
use crate::lsp::uri;
use crate::ops::{FileId, Findings, Index, Session};

/// An open document as its editor knows it.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub(super) uri: String,
    pub(super) version: i32,
}

/// What the server knows.
pub(super) struct Documents {
    pub(super) encoding: Encoding,
    pub(super) session: Session,
    /// By the files' real paths.
    pub(super) opened: BTreeMap<PathBuf, Opened>,
    /// How often documents have changed.
    pub(super) number: u64,
    /// The number that `names` are of.
    pub(super) named: u64,
    /// What names stand for, by folder.
    pub(super) names: BTreeMap<PathBuf, Arc<Index>>,
    /// The newest findings, by folder.
    pub(super) found: BTreeMap<PathBuf, Findings>,
}

/// A file that something is asked of.
pub(super) struct Asked {
    pub(super) index: Arc<Index>,
    pub(super) file: FileId,
    pub(super) dir: PathBuf,
}

impl Documents {
    pub(super) fn new(session: Session, encoding: Encoding) -> Self {
        Self {
            encoding,
            session,
            opened: BTreeMap::new(),
            number: 0,
            named: 0,
            names: BTreeMap::new(),
            found: BTreeMap::new(),
        }
    }

    /// The real path of a document. Only files have one.
    pub(super) fn path(uri: &str) -> Option<PathBuf> {
        uri::to_path(uri).map(|path| Session::real(&path))
    }

    /// A document among the specs that were read.
    pub(super) fn asked(&self, uri: &str) -> Option<Asked> {
        let path = Self::path(uri)?;
        let dir = self.session.home(&path);
        let index = Arc::clone(self.names.get(&dir)?);
        let relative = path.strip_prefix(&dir).ok()?.to_str()?;
        let file = index.file(relative)?;
        Some(Asked { index, file, dir })
    }

    /// The URI of a file of a folder's program: as its editor wrote it, if it is open.
    pub(super) fn uri(&self, dir: &Path, path: &str) -> Option<String> {
        if path.starts_with('<') {
            return self.session.std_file(path).map(|path| uri::of_path(&path));
        }
        let full = dir.join(path);
        let real = Session::real(&full);
        Some(self.opened.get(&real).map_or_else(|| uri::of_path(&full), |opened| opened.uri.clone()))
    }

    /// The version of a document, if it is open.
    pub(super) fn version(&self, uri: &str) -> Option<i32> {
        self.opened.get(&Self::path(uri)?).map(|opened| opened.version)
    }
}
