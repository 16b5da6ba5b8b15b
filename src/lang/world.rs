//! The one door from the compiler to the outside: the bytes of spec files. Leaves out everything
//! else a program could ask of a machine, so that compiling is a pure function.

use std::collections::BTreeMap;

use std::sync::Arc;

use crate::base::RelPath;
use crate::lang::ParsedSlices;
use crate::lang::package::{Folder, Locked};

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

    /// All files of a folder of the workspace: a package that lies in it.
    fn folder(&self, path: &RelPath) -> Result<Folder, WorldError>;

    /// A package that is not in the workspace, as the lock has it. That it is that is checked by who asks.
    fn package(&self, locked: &Locked) -> Result<Arc<Folder>, WorldError>;

    /// Whether folders of the workspace that are packages must be as the lock has them.
    fn locked(&self) -> bool {
        false
    }

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

    /// A world that holds the files of a listing: `// file: PATH` on a line of its own begins one, and what
    /// stands before the first is `partita.kdl`.
    pub fn listing(text: &str) -> Self {
        let mut world = Self::default();
        let mut path = RelPath::new("partita.kdl").expect("the literal is a relative path");
        let mut file = String::new();
        for line in text.split_inclusive('\n') {
            match line.strip_prefix("// file: ").and_then(|name| RelPath::new(name.trim()).ok()) {
                Some(next) => {
                    world.insert(std::mem::replace(&mut path, next), &std::mem::take(&mut file));
                }
                None => file.push_str(line),
            }
        }
        world.insert(path, &file);
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

    fn folder(&self, path: &RelPath) -> Result<Folder, WorldError> {
        let mut folder = Folder::default();
        for (name, bytes) in self.files.iter().filter(|(name, _)| name.starts_with(path)) {
            let inside = &name.as_str()[path.as_str().len()..];
            let added = folder.insert(inside.trim_start_matches('/'), bytes.clone(), false);
            added.map_err(|error| WorldError::Io(error.to_string()))?;
        }
        Ok(folder)
    }

    fn package(&self, _: &Locked) -> Result<Arc<Folder>, WorldError> {
        Err(WorldError::NotFound)
    }
}
