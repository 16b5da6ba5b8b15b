//! Results under the keys they have by a new schema. Rows are added, with what each was before, and none is taken
//! away: a program of the older schema that shares the store goes on finding them, and a collection drops them in the
//! end. Leaves out what the new keys are.

use crate::base::ActionKey;
use crate::store::codec::{self, SealedClaim};
use crate::store::{Error, LocalStore};

/// Rows that are brought over in one transaction.
const ROWS: usize = 64;

/// What a key becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewKey {
    /// It stays, as it is of the present schema.
    Present,
    /// This key and manifest.
    Moved(ActionKey, String),
    /// Nothing is known to become of it.
    Left,
}

/// What a pass over all results did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RekeyReport {
    /// Results that are under the present key as well now.
    pub moved: u64,
    /// Results that were already.
    pub present: u64,
    /// Results that were left alone, damaged ones among them.
    pub left: u64,
}

/// A row to add.
pub(super) struct Moved {
    /// The key before.
    pub(super) old: ActionKey,
    /// The claim under the new key.
    pub(super) claim: SealedClaim,
    /// When the old one was last used.
    pub(super) last_used: i64,
}

impl LocalStore {
    /// Brings all results to the keys that `rekey` gives for a key and its manifest. What was brought over before
    /// is not again; killed at any point, it goes on from there the next time. Then notes that all are of `schema`.
    pub fn rekey(&self, schema: u64, rekey: &dyn Fn(ActionKey, &str) -> NewKey) -> Result<RekeyReport, Error> {
        self.committer.flush(true)?;
        let mut report = RekeyReport::default();
        let mut last = 0;
        loop {
            let rows = self.index.rows_after(last, ROWS)?;
            let Some(end) = rows.last() else { break };
            last = end.id;
            let mut moved = Vec::new();
            for row in rows {
                let Some(mut claim) = row.claim else {
                    report.left += 1;
                    continue;
                };
                match rekey(claim.key, &claim.manifest) {
                    NewKey::Present => report.present += 1,
                    NewKey::Left => report.left += 1,
                    NewKey::Moved(key, manifest) => {
                        let old = std::mem::replace(&mut claim.key, key);
                        claim.manifest = manifest;
                        // Its writer signed the key before; nobody says so of this one.
                        claim.signed = None;
                        moved.push(Moved { old, claim: codec::seal(&claim), last_used: row.last_used });
                    }
                }
            }
            // What is added is found again at the end of the pass, as present.
            report.moved += self.index.add_moved(&moved)?;
        }
        report.present = report.present.saturating_sub(report.moved);
        self.index.set_key_schema(schema)?;
        Ok(report)
    }

    /// The schema that all results are known to have been brought to; `None` if that was never noted.
    pub fn key_schema(&self) -> Result<Option<u64>, Error> {
        self.index.key_schema()
    }

    /// What a key became, if results under it were brought over: the proof are the manifests of both.
    pub fn rekeyed(&self, key: ActionKey) -> Result<Option<ActionKey>, Error> {
        self.index.rekeyed(key)
    }
}
