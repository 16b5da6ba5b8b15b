//! The one door from the compiler to the outside: the bytes of spec files. Leaves out everything
//! else a program could ask of a machine, so that compiling is a pure function.

use std::collections::BTreeMap;

use crate::base::RelPath;
use crate::lang::ParsedSlices;

/// Why a file could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// There is no such file.
    #[error("no such file")]
    NotFound,
    /// The file lies outside the workspace, for instance behind a symlink.
    #[error("it lies outside the workspace")]
    Outside,
    /// It is larger than a spec may be, in bytes.
    #[error("it is larger than 4 MiB")]
    TooLarge,
    /// The machine refused, in its words.
    #[error("{0}")]
    Io(String),
}

/// Where spec files come from.
pub trait World {
    /// The bytes of a file of the workspace.
    fn read(&self, path: &RelPath) -> Result<Vec<u8>, WorldError>;

    /// Slices of specs that were parsed before, if they are kept anywhere. They make compiling faster
    /// and change nothing about what comes of it.
    fn parsed(&self) -> Option<&dyn ParsedSlices> {
        None
    }
}

/// Files in memory: for tests, for examples in pages, and for a front that was sent its specs.
#[derive(Clone, Debug, Default)]
pub struct MemoryWorld {
    files: BTreeMap<RelPath, Vec<u8>>,
}

impl MemoryWorld {
    /// A world that holds one spec as `partita.kdl`.
    pub fn single(text: &str) -> Self {
        let mut world = Self::default();
        world.insert(RelPath::new("partita.kdl").expect("the literal is a relative path"), text);
        world
    }

    /// Adds a file.
    pub fn insert(&mut self, path: RelPath, text: &str) {
        self.files.insert(path, text.as_bytes().to_vec());
    }
}

impl World for MemoryWorld {
    fn read(&self, path: &RelPath) -> Result<Vec<u8>, WorldError> {
        self.files.get(path).cloned().ok_or(WorldError::NotFound)
    }
}
