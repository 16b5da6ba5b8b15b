//! Levels of trees by digest, read from the store once and shared by a run. Leaves out what trees
//! are for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::{Digest, Domain, Entry, RelPath, Tree};
use crate::exec::error::{Lost, Trouble};
use crate::exec::glob::{Kind, Listing, Names, Pattern};
use crate::store::{Cas, Found};

/// Bytes that the levels below a tree may have, all together, to be kept with what explains an action. What is
/// bigger is likely to be shared by many, and kept in the store.
const FEW: usize = 1024;

/// What to compute once for a tree: the tree of what a pattern selects of it.
type Selections = BTreeMap<(Digest, String), Digest>;

/// The levels that a run has seen.
pub(super) struct Levels {
    cas: Arc<dyn Cas>,
    known: Mutex<BTreeMap<Digest, Arc<Tree>>>,
    /// Levels that the store has with all that is below them.
    kept: Mutex<BTreeSet<Digest>>,
    /// Folders all of whose blobs were seen to be there, with the sum of their sizes.
    whole: Mutex<BTreeMap<Digest, u64>>,
    selections: Mutex<Selections>,
}

impl Levels {
    pub(super) fn new(cas: Arc<dyn Cas>) -> Self {
        Self {
            cas,
            known: Mutex::default(),
            kept: Mutex::default(),
            whole: Mutex::default(),
            selections: Mutex::default(),
        }
    }

    /// Remembers a level made here. The store need not have it.
    pub(super) fn add(&self, tree: Tree) -> Digest {
        let digest = tree.digest();
        self.add_as(digest, tree);
        digest
    }

    fn add_as(&self, digest: Digest, tree: Tree) -> Arc<Tree> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(digest).or_insert_with(|| Arc::new(tree)))
    }

    /// A level, from memory or the store.
    pub(super) fn get(&self, digest: Digest) -> Result<Arc<Tree>, Trouble> {
        if let Some(tree) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&digest) {
            return Ok(Arc::clone(tree));
        }
        match self.cas.get_tree(digest)? {
            Found::Whole(tree) => {
                // A store that has a level has those below it, or has lost them and heals.
                self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
                Ok(self.add_as(digest, tree))
            }
            Found::Missing => Err(Trouble::Lost(Lost { digest, corrupt: false, producer: None })),
            Found::Corrupt => Err(Trouble::Lost(Lost { digest, corrupt: true, producer: None })),
        }
    }

    /// Remembers a level that the store was just given, with all that is below it.
    pub(super) fn add_kept(&self, digest: Digest, tree: Tree) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
        self.add_as(digest, tree);
    }

    /// What lies at a path below a level.
    pub(super) fn entry_at(&self, root: &Tree, path: &str) -> Result<Option<Entry>, Trouble> {
        let mut level = None;
        let mut segments = path.split('/').peekable();
        while let Some(segment) = segments.next() {
            let entry = level.as_deref().unwrap_or(root).entries.get(segment).cloned();
            match entry {
                found if segments.peek().is_none() => return Ok(found),
                Some(Entry::Dir { digest }) => level = Some(self.get(digest)?),
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Makes sure that the store has a level and all levels below it. Levels that came from the
    /// store, and those kept before, are not looked at again.
    pub(super) fn keep(&self, root: &Tree) -> Result<Digest, Trouble> {
        let digest = root.digest();
        if self.kept.lock().unwrap_or_else(PoisonError::into_inner).contains(&digest) {
            return Ok(digest);
        }
        self.keep_below(root)?;
        self.cas.put_tree(root)?;
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
        Ok(digest)
    }

    /// The same for the levels below only.
    pub(super) fn keep_below(&self, root: &Tree) -> Result<(), Trouble> {
        for entry in root.entries.values() {
            if let Entry::Dir { digest } = entry
                && !self.kept.lock().unwrap_or_else(PoisonError::into_inner).contains(digest)
            {
                let below = self.get(*digest)?;
                self.keep(&below)?;
            }
        }
        Ok(())
    }

    /// All levels below one, written one after another, if they are few and small: each with its length (u32,
    /// little-endian) before it. `None` if they are not, or not all at hand.
    pub(super) fn few_below(&self, root: &Tree) -> Option<Vec<u8>> {
        let mut written = Vec::new();
        self.write_below(root, &mut written).then_some(written)
    }

    fn write_below(&self, root: &Tree, written: &mut Vec<u8>) -> bool {
        root.entries.values().all(|entry| {
            let Entry::Dir { digest } = entry else { return true };
            let Ok(below) = self.get(*digest) else { return false };
            let bytes = below.encode();
            written.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            written.extend_from_slice(&bytes);
            written.len() <= FEW && self.write_below(&below, written)
        })
    }

    /// Checks that the store has all blobs of an output: by a look for files, by a walk for
    /// folders. Returns the size in bytes of what is in it.
    pub(super) fn check(&self, entry: &Entry) -> Result<u64, Trouble> {
        self.sum(entry, &|digest| {
            let lost = Lost { digest, corrupt: false, producer: None };
            if self.cas.contains(digest) { Ok(()) } else { Err(Trouble::Lost(lost)) }
        })
    }

    /// Whether a blob that is not there was set aside as damaged since a moment.
    pub(super) fn was_damaged_since(&self, digest: Digest, since: i64) -> bool {
        self.cas.was_damaged_since(digest, since)
    }

    /// The size in bytes of what is in an output that the store was just given.
    pub(super) fn measure(&self, entry: &Entry) -> Result<u64, Trouble> {
        self.sum(entry, &|_| Ok(()))
    }

    /// The size in bytes of an output's files, each of which `look` is asked about.
    fn sum(&self, entry: &Entry, look: &dyn Fn(Digest) -> Result<(), Trouble>) -> Result<u64, Trouble> {
        match entry {
            Entry::File { digest, size, .. } => look(*digest).map(|()| *size),
            Entry::Symlink { .. } => Ok(0),
            Entry::Dir { digest } => {
                if let Some(size) = self.whole.lock().unwrap_or_else(PoisonError::into_inner).get(digest) {
                    return Ok(*size);
                }
                let tree = self.get(*digest)?;
                let mut sum = 0_u64;
                for below in tree.entries.values() {
                    sum = sum.saturating_add(self.sum(below, look)?);
                }
                self.whole.lock().unwrap_or_else(PoisonError::into_inner).insert(*digest, sum);
                Ok(sum)
            }
        }
    }

    /// Forgets what was concluded from the store's having blobs, after it turned out to lose some.
    pub(super) fn distrust(&self, lost: Digest) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&lost);
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.whole.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The tree of what a pattern selects of a folder; `None` if that is nothing.
    pub(super) fn select(&self, folder: Digest, pattern: &str) -> Result<Option<Arc<Tree>>, Trouble> {
        let key = (folder, pattern.to_owned());
        let known = self.selections.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        if let Some(digest) = known {
            return self.get(digest).map(Some);
        }
        let compiled = Pattern::new(pattern).map_err(|text| Trouble::input(format!("`select`: {text}")))?;
        let listing = TreeListing { levels: self, root: self.get(folder)? };
        let mut paths = BTreeMap::new();
        for path in compiled.expand(&listing)?.into_keys() {
            let entry = self.entry_at(&listing.root, &path)?;
            let path = RelPath::new(&path).map_err(|error| Trouble::input(error.to_string()))?;
            if let Some(entry) = entry {
                paths.insert(path, entry);
            }
        }
        if paths.is_empty() {
            return Ok(None);
        }
        let digest = self.add_paths(&paths).map_err(Trouble::input)?;
        self.selections.lock().unwrap_or_else(PoisonError::into_inner).insert(key, digest);
        self.get(digest).map(Some)
    }

    /// Remembers the levels of a tree given by paths.
    pub(super) fn add_paths(&self, paths: &BTreeMap<RelPath, Entry>) -> Result<Digest, String> {
        let (root, below) = Tree::from_paths(paths).map_err(|error| error.to_string())?;
        for level in below {
            self.add(level);
        }
        Ok(self.add(root))
    }
}

/// The level of this digest among those that were written by `few_below`.
pub(super) fn level_of(written: &[u8], digest: Digest) -> Option<Tree> {
    let mut rest = written;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (bytes, after) = after.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        if Digest::derive(Domain::Tree, bytes) == digest {
            return Tree::decode(bytes).ok();
        }
        rest = after;
    }
    None
}

struct TreeListing<'a> {
    levels: &'a Levels,
    root: Arc<Tree>,
}

fn kind_of(entry: &Entry) -> Kind {
    match entry {
        Entry::File { .. } => Kind::File,
        Entry::Dir { .. } => Kind::Dir,
        Entry::Symlink { .. } => Kind::Link,
    }
}

impl Listing for TreeListing<'_> {
    type Error = Trouble;

    fn names(&self, dir: &str) -> Result<Names, Trouble> {
        let tree = if dir.is_empty() {
            Arc::clone(&self.root)
        } else {
            match self.levels.entry_at(&self.root, dir)? {
                Some(Entry::Dir { digest }) => self.levels.get(digest)?,
                _ => return Ok(Names::default()),
            }
        };
        Ok(Arc::new(tree.entries.iter().map(|(name, entry)| (name.clone(), kind_of(entry))).collect()))
    }

    fn kind(&self, path: &str) -> Result<Option<Kind>, Trouble> {
        Ok(self.levels.entry_at(&self.root, path)?.as_ref().map(kind_of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn few_levels_are_found_again_by_their_digests() {
        let dir = tempfile::tempdir().unwrap();
        let levels = Levels::new(Arc::new(MemoryStore::new(dir.path())));
        let file = |text: &str| Entry::File { digest: Digest::of_blob(text.as_bytes()), size: 1, exec: false };
        let paths = |names: &[String]| names.iter().map(|name| (RelPath::new(name).unwrap(), file(name))).collect();
        let root = levels.add_paths(&paths(&["a/b/c".into(), "a/d".into(), "e".into()])).unwrap();
        let root = levels.get(root).unwrap();
        let written = levels.few_below(&root).unwrap();
        let Some(Entry::Dir { digest }) = root.entries.get("a") else { panic!("it is a folder") };
        let a = level_of(&written, *digest).unwrap();
        let Some(Entry::Dir { digest }) = a.entries.get("b") else { panic!("it is a folder") };
        assert_eq!(level_of(&written, *digest).unwrap().entries.get("c"), Some(&file("a/b/c")));
        assert_eq!(level_of(&written, root.digest()), None, "the topmost is not among them");
        assert_eq!(level_of(&written[..written.len() - 1], *digest), None, "what is cut off");
        let many: Vec<String> = (0..100).map(|number| format!("a/{number}")).collect();
        let many = levels.get(levels.add_paths(&paths(&many)).unwrap()).unwrap();
        assert_eq!(levels.few_below(&many), None);
        assert_eq!(levels.few_below(&Tree::default()), Some(Vec::new()));
    }
}
