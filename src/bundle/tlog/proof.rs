//! The proof that an entry is in a log, as a text (C2SP tlog-proof), and its check. Leaves out which logs
//! are trusted.

use std::fmt::Write;

use data_encoding::BASE64;

use crate::bundle::tlog::note::{Checkpoint, LogKey};
use crate::bundle::tlog::tree::{Hash, leaf_hash, root_of_inclusion};

const FIRST: &str = "c2sp.org/tlog-proof@v1";
/// Hashes a proof may hold: more than any tree that can be counted has levels.
const HASHES: usize = 64;

/// A proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// The index of the entry, from 0.
    pub index: u64,
    /// The hashes beside the way up, the entry's sibling first.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint, as the log wrote it.
    pub checkpoint: String,
}

impl TlogProof {
    /// The text.
    pub fn to_text(&self) -> String {
        let mut text = format!("{FIRST}\nindex {}\n", self.index);
        for hash in &self.hashes {
            let _ = writeln!(text, "{}", BASE64.encode(hash));
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// Reads a text, which must be as it would be written. Extra data is refused: no entry of ours has any.
    pub fn parse(text: &str) -> Result<Self, String> {
        let malformed = |what: &str| format!("it is no proof of a log: {what}");
        let (head, checkpoint) = text.split_once("\n\n").ok_or_else(|| malformed("it has no checkpoint"))?;
        let mut lines = head.lines();
        if lines.next() != Some(FIRST) {
            return Err(malformed("it does not begin as one"));
        }
        let index = lines.next().and_then(|line| line.strip_prefix("index ")?.parse().ok());
        let index = index.ok_or_else(|| malformed("its index is not a number"))?;
        let mut hashes = Vec::new();
        for line in lines {
            let hash = BASE64.decode(line.as_bytes()).ok().and_then(|hash| hash.try_into().ok());
            hashes.push(hash.ok_or_else(|| malformed("a line is no hash"))?);
            if hashes.len() > HASHES {
                return Err(malformed("it is too long"));
            }
        }
        let proof = Self { index, hashes, checkpoint: checkpoint.to_owned() };
        if proof.to_text() == text { Ok(proof) } else { Err(malformed("it is not in its one form")) }
    }

    /// Checks that a log holds an entry. Returns the checkpoint that says so.
    pub fn check(&self, entry: &[u8], log: &LogKey) -> Result<Checkpoint, String> {
        let checkpoint = Checkpoint::open(&self.checkpoint, log)?;
        let found = root_of_inclusion(leaf_hash(entry), self.index, checkpoint.size, &self.hashes);
        if found == Some(checkpoint.root) {
            Ok(checkpoint)
        } else {
            Err("it does not lead from this bundle to the root that the log signed".to_owned())
        }
    }
}
