//! Why an object is in the store: which results name it, and by which path; whether a running process relies on it.
//! Leaves out collecting what nothing names.

use std::collections::BTreeSet;

use crate::base::{ActionKey, Digest, Entry};
use crate::store::layout::list;
use crate::store::lease::Relied;
use crate::store::{Cas, Claim, Error, Found, LocalStore};

/// Something that keeps an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A result.
    Claim {
        /// The key.
        key: ActionKey,
        /// The address it was made at.
        addr: String,
        /// The run that made it.
        run: String,
        /// When it was last used, in nanoseconds since the epoch.
        last_used: i64,
        /// What it is of the result: `stdout`, `stderr`, or an output with the path in it.
        place: String,
    },
    /// A process that uses the store now.
    Lease,
}

/// Holders that are told.
const TOLD: usize = 100;

impl LocalStore {
    /// The one object whose digest begins like this, of eight digits or more; `None` if there is none, or more.
    pub fn find(&self, text: &str) -> Result<Option<Digest>, Error> {
        let text = text.strip_prefix("b3:").unwrap_or(text).to_ascii_lowercase();
        if let Ok(digest) = text.parse::<Digest>() {
            return Ok(self.contains(digest).then_some(digest));
        }
        if text.len() < 8 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let folder = self.layout.root().join("cas").join(&text[..2]);
        let digests = list(&folder)?.into_iter().filter_map(|entry| entry.file_name().to_str()?.parse::<Digest>().ok());
        let mut found = digests.filter(|digest| digest.hex().starts_with(&text));
        let only = found.next();
        Ok(only.filter(|_| found.next().is_none()))
    }

    /// All that keeps an object, the most recently used first; the first hundred.
    pub fn why(&self, digest: Digest) -> Result<Vec<Holder>, Error> {
        self.committer.flush(false)?;
        let mut holders = Vec::new();
        let leased = self.layout.leased()?;
        if leased.contains(&Relied::Blob(digest)) || leased.contains(&Relied::Tree(digest)) {
            holders.push(Holder::Lease);
        }
        // Folders that are known not to hold it.
        let mut without = BTreeSet::new();
        for row in self.index.all()? {
            let Some(claim) = row.claim else { continue };
            if holders.len() >= TOLD {
                break;
            }
            if let Some(place) = self.place_in(&claim, digest, &mut without)? {
                if leased.contains(&Relied::Key(claim.key)) && holders.first() != Some(&Holder::Lease) {
                    holders.insert(0, Holder::Lease);
                }
                let Claim { key, addr, run, .. } = claim;
                holders.push(Holder::Claim { key, addr, run, last_used: row.last_used, place });
            }
        }
        Ok(holders)
    }

    fn place_in(&self, claim: &Claim, digest: Digest, without: &mut BTreeSet<Digest>) -> Result<Option<String>, Error> {
        for (log, name) in claim.logs.iter().zip(["stdout", "stderr"]) {
            if *log == digest {
                return Ok(Some(name.to_owned()));
            }
        }
        for output in &claim.outputs {
            if let Some(path) = self.path_in(&output.entry, digest, without)? {
                return Ok(Some(format!("output {}{path}", output.name)));
            }
        }
        Ok(None)
    }

    /// The path to an object below an entry: empty if it is the entry itself.
    fn path_in(&self, entry: &Entry, digest: Digest, without: &mut BTreeSet<Digest>) -> Result<Option<String>, Error> {
        match entry {
            Entry::File { digest: own, .. } => Ok((*own == digest).then(String::new)),
            Entry::Symlink { .. } => Ok(None),
            Entry::Dir { digest: own } if *own == digest => Ok(Some(String::new())),
            Entry::Dir { digest: own } if without.contains(own) => Ok(None),
            Entry::Dir { digest: own } => {
                if let Found::Whole(tree) = self.get_tree(*own)? {
                    for (name, below) in &tree.entries {
                        if let Some(path) = self.path_in(below, digest, without)? {
                            return Ok(Some(format!("/{name}{path}")));
                        }
                    }
                }
                without.insert(*own);
                Ok(None)
            }
        }
    }
}
