//! The content of a package: its files with their bytes, and the digest of them all, which the lock
//! promises. Leaves out where they come from.

use std::collections::BTreeMap;

use crate::base::{Digest, Entry, Limits, RelPath, Tree};

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderFile {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether it may be executed.
    pub exec: bool,
}

/// The files of a package. Nothing else is in one: no links, no repositories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    files: BTreeMap<RelPath, FolderFile>,
    bytes: usize,
}

/// Why something cannot be in a package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FolderError {
    /// Too many files.
    #[error("it holds more than {} files", Limits::PACKAGE_FILES)]
    Files,
    /// Too many bytes.
    #[error("it holds more than {} MiB", Limits::PACKAGE_BYTES >> 20)]
    Bytes,
    /// One file is too large.
    #[error("`{0}` is larger than {limit} MiB", limit = Limits::PACKAGE_FILE_BYTES >> 20)]
    FileBytes(String),
    /// A name that no file of a package may have.
    #[error("`{}` cannot be the name of a file in a package", .0.escape_debug())]
    Name(String),
    /// Neither a file nor a folder.
    #[error("`{path}` is {what}; a package holds files and folders only")]
    Kind {
        /// Which.
        path: String,
        /// What it is.
        what: &'static str,
    },
}

impl Folder {
    /// Checks the name and size of a file before its bytes are read.
    pub fn admits(&self, path: &str, size: u64) -> Result<RelPath, FolderError> {
        if self.files.len() >= Limits::PACKAGE_FILES {
            return Err(FolderError::Files);
        }
        if size > Limits::PACKAGE_FILE_BYTES as u64 {
            return Err(FolderError::FileBytes(path.to_owned()));
        }
        if self.bytes as u64 + size > Limits::PACKAGE_BYTES as u64 {
            return Err(FolderError::Bytes);
        }
        let wrong = || FolderError::Name(path.to_owned());
        let name = RelPath::new(path).map_err(|_| wrong())?;
        // Git's own folder under any spelling that some file system takes for it.
        let is_git = |segment: &str| {
            let segment = segment.trim_end_matches(['.', ' ']);
            segment.eq_ignore_ascii_case(".git") || segment.eq_ignore_ascii_case("git~1")
        };
        if path.ends_with('/') || name.segments().any(is_git) {
            return Err(wrong());
        }
        Ok(name)
    }

    /// Adds a file that is admitted.
    pub fn insert(&mut self, path: &str, bytes: Vec<u8>, exec: bool) -> Result<(), FolderError> {
        let name = self.admits(path, bytes.len() as u64)?;
        self.bytes += bytes.len();
        self.files.insert(name, FolderFile { bytes, exec });
        Ok(())
    }

    /// A file.
    pub fn get(&self, path: &RelPath) -> Option<&FolderFile> {
        self.files.get(path)
    }

    /// All files in order.
    pub fn files(&self) -> impl Iterator<Item = (&RelPath, &FolderFile)> {
        self.files.iter()
    }

    /// The digest of the canonical tree: names, executable bits and bytes. `None` where one path is
    /// both a file and a folder.
    pub fn digest(&self) -> Option<Digest> {
        let entries = self.files.iter().map(|(path, file)| {
            let size = file.bytes.len() as u64;
            (path.clone(), Entry::File { digest: Digest::of_blob(&file.bytes), size, exec: file.exec })
        });
        Tree::from_paths(&entries.collect()).ok().map(|(root, _)| root.digest())
    }
}

#[cfg(test)]
mod tests {
    use super::{Folder, FolderError};

    #[test]
    fn the_digest_is_of_names_modes_and_bytes() {
        let folder = |path: &str, text: &str, exec| {
            let mut folder = Folder::default();
            folder.insert(path, text.as_bytes().to_vec(), exec).unwrap();
            folder.digest().unwrap()
        };
        let one = folder("a/b.kdl", "x", false);
        assert_eq!(one, folder("a/b.kdl", "x", false));
        for other in [folder("a/c.kdl", "x", false), folder("a/b.kdl", "y", false), folder("a/b.kdl", "x", true)] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn names_that_mean_something_elsewhere_are_refused() {
        let mut folder = Folder::default();
        for name in ["../x", "/x", "a//b", ".git/config", "a/.GIT/hooks/x", "git~1", ".git./x", "a\nb", "", "x/"] {
            assert!(matches!(folder.insert(name, Vec::new(), false), Err(FolderError::Name(_))), "{name:?}");
        }
        assert!(folder.insert(".github/x", Vec::new(), false).is_ok());
    }
}
