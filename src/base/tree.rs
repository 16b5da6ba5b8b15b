//! Directory trees as content: one level holds names and, for each, a file, a folder or a symlink.
//! Leaves out where the bytes lie and every attribute but the executable bit.
//!
//! Encoding of one level, hashed under `Domain::Tree`: entries sorted by the bytes of their names;
//! each is the name as (u64 little-endian length, bytes), a kind byte (0 file, 1 executable file,
//! 2 folder, 3 symlink), and for a file its size (u64) and digest, for a folder its tree digest, for
//! a symlink its target as (length, bytes).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::{Digest, Domain, RelPath};

/// One thing in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Entry {
    /// A regular file.
    File {
        /// Digest of its bytes.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// Whether it may be executed.
        exec: bool,
    },
    /// A folder, by the digest of its tree.
    Dir {
        /// Digest of the level below.
        digest: Digest,
    },
    /// A symbolic link, relative and pointing inside the tree it belongs to.
    Symlink {
        /// The target as written.
        target: String,
    },
}

/// One level of a directory tree.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tree {
    /// Entries by name; names hold no `/`.
    pub entries: BTreeMap<String, Entry>,
}

/// Why bytes are not an encoded tree, or why entries do not form one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The bytes end early, run on, or hold an unknown kind.
    #[error("the encoded tree is malformed at byte {0}")]
    Malformed(usize),
    /// One path is both a file and a folder, or two different files.
    #[error("`{0}` is given twice with different contents")]
    Conflict(RelPath),
}

impl Tree {
    /// The canonical bytes of this level.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.entries.len() * 64);
        let put = |out: &mut Vec<u8>, text: &str| {
            out.extend_from_slice(&(text.len() as u64).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        };
        for (name, entry) in &self.entries {
            put(&mut out, name);
            match entry {
                Entry::File { digest, size, exec } => {
                    out.push(u8::from(*exec));
                    out.extend_from_slice(&size.to_le_bytes());
                    out.extend_from_slice(digest.as_bytes());
                }
                Entry::Dir { digest } => {
                    out.push(2);
                    out.extend_from_slice(digest.as_bytes());
                }
                Entry::Symlink { target } => {
                    out.push(3);
                    put(&mut out, target);
                }
            }
        }
        out
    }

    /// Reads canonical bytes back. Anything but the exact encoding of a tree is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, TreeError> {
        let mut at = 0;
        let mut tree = Self::default();
        let mut last: Option<String> = None;
        while at < bytes.len() {
            let start = at;
            let name = take_text(bytes, &mut at)?;
            if name.is_empty() || name.contains('/') || last.as_ref().is_some_and(|last| *last >= name) {
                return Err(TreeError::Malformed(start));
            }
            let kind = *take(bytes, &mut at, 1)?.first().ok_or(TreeError::Malformed(start))?;
            let entry = match kind {
                0 | 1 => {
                    let size = take_u64(bytes, &mut at)?;
                    Entry::File { digest: take_digest(bytes, &mut at)?, size, exec: kind == 1 }
                }
                2 => Entry::Dir { digest: take_digest(bytes, &mut at)? },
                3 => Entry::Symlink { target: take_text(bytes, &mut at)? },
                _ => return Err(TreeError::Malformed(at - 1)),
            };
            last = Some(name.clone());
            tree.entries.insert(name, entry);
        }
        Ok(tree)
    }

    /// The digest of this level, and by it of all levels below.
    pub fn digest(&self) -> Digest {
        Digest::derive(Domain::Tree, &self.encode())
    }

    /// Builds the levels of a tree from paths. Returns the root first and every level below it, so
    /// that a store can keep them all. A path that is given twice must be given the same entry.
    pub fn from_paths(paths: &BTreeMap<RelPath, Entry>) -> Result<(Tree, Vec<Tree>), TreeError> {
        #[derive(Default)]
        struct Level {
            leaves: BTreeMap<String, Entry>,
            below: BTreeMap<String, Level>,
        }
        fn finish(level: Level, all: &mut Vec<Tree>) -> Tree {
            let mut tree = Tree { entries: level.leaves };
            for (name, below) in level.below {
                let below = finish(below, all);
                tree.entries.insert(name, Entry::Dir { digest: below.digest() });
                all.push(below);
            }
            tree
        }
        let mut root = Level::default();
        for (path, entry) in paths {
            let mut level = &mut root;
            let mut segments = path.segments().peekable();
            while let Some(segment) = segments.next() {
                if segments.peek().is_none() {
                    let clash = level.below.contains_key(segment);
                    match level.leaves.insert(segment.to_owned(), entry.clone()) {
                        Some(old) if old != *entry => return Err(TreeError::Conflict(path.clone())),
                        _ if clash => return Err(TreeError::Conflict(path.clone())),
                        _ => {}
                    }
                } else {
                    if level.leaves.contains_key(segment) {
                        return Err(TreeError::Conflict(path.clone()));
                    }
                    level = level.below.entry(segment.to_owned()).or_default();
                }
            }
        }
        let mut all = Vec::new();
        let root = finish(root, &mut all);
        Ok((root, all))
    }
}

fn take<'a>(bytes: &'a [u8], at: &mut usize, count: usize) -> Result<&'a [u8], TreeError> {
    let end = at.checked_add(count).filter(|end| *end <= bytes.len()).ok_or(TreeError::Malformed(*at))?;
    let slice = &bytes[*at..end];
    *at = end;
    Ok(slice)
}

fn take_u64(bytes: &[u8], at: &mut usize) -> Result<u64, TreeError> {
    let start = *at;
    let raw: [u8; 8] = take(bytes, at, 8)?.try_into().map_err(|_| TreeError::Malformed(start))?;
    Ok(u64::from_le_bytes(raw))
}

fn take_digest(bytes: &[u8], at: &mut usize) -> Result<Digest, TreeError> {
    let start = *at;
    let raw: [u8; 32] = take(bytes, at, 32)?.try_into().map_err(|_| TreeError::Malformed(start))?;
    Ok(Digest::from_bytes(raw))
}

fn take_text(bytes: &[u8], at: &mut usize) -> Result<String, TreeError> {
    let start = *at;
    let length = usize::try_from(take_u64(bytes, at)?).map_err(|_| TreeError::Malformed(start))?;
    let raw = take(bytes, at, length)?;
    std::str::from_utf8(raw).map(str::to_owned).map_err(|_| TreeError::Malformed(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Entry {
        Entry::File { digest: Digest::of_blob(text.as_bytes()), size: text.len() as u64, exec: false }
    }

    #[test]
    fn encoding_round_trips_and_is_strict() {
        let mut tree = Tree::default();
        tree.entries.insert("b".into(), file("x"));
        tree.entries.insert("a".into(), Entry::Symlink { target: "b".into() });
        let bytes = tree.encode();
        assert_eq!(Tree::decode(&bytes).unwrap(), tree);
        for cut in 1..bytes.len() {
            assert!(Tree::decode(&bytes[..cut]).map_or(true, |other| other != tree), "cut at {cut}");
        }
    }

    #[test]
    fn levels_from_paths() {
        let mut paths = BTreeMap::new();
        paths.insert(RelPath::new("a/b/c").unwrap(), file("c"));
        paths.insert(RelPath::new("d").unwrap(), file("d"));
        let (root, below) = Tree::from_paths(&paths).unwrap();
        assert_eq!(root.entries.keys().collect::<Vec<_>>(), ["a", "d"]);
        assert_eq!(below.len(), 2);
        paths.insert(RelPath::new("d/e").unwrap(), file("e"));
        assert!(matches!(Tree::from_paths(&paths), Err(TreeError::Conflict(_))));
    }
}
