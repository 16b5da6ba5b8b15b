//! Whether a result on record may stand for an action, and if not, why. Leaves out what is done then.

use crate::base::{Digest, Entry};
use crate::event::Reason;
use crate::exec::error::{Lost, Trouble};
use crate::exec::levels::Levels;
use crate::exec::ports::Writers;
use crate::plan::{Action, Class, Isolation};
use crate::store::{Claim, ClaimOutput};

/// The rank of an isolation in a claim.
pub(super) fn rank(isolation: Isolation) -> u8 {
    match isolation {
        Isolation::None => 0,
        Isolation::Landlock => 1,
        Isolation::Full => 2,
    }
}

/// What came of looking through the claims under a key.
pub(super) enum Looked {
    /// This claim stands, and its outputs have these sizes.
    Hit(Box<Claim>, Vec<u64>),
    /// None does. Why the first did not, if there was any; and whether blobs were lost, so that
    /// the claims are not worth keeping.
    Miss(Option<Reason>, Option<Lost>),
}

/// Takes the newest claim that stands.
pub(super) fn choose(
    action: &Action,
    wanted: Isolation,
    claims: Vec<Claim>,
    writers: &dyn Writers,
    levels: &Levels,
) -> Result<Looked, Trouble> {
    let mut first = None;
    let mut lost = None;
    for claim in &claims {
        // Who says so comes last, as it costs most to find out; before the blobs, so that nobody makes others
        // forget what they know.
        let refused = match refuse(action, wanted, claim).or_else(|| writers.refuse(claim, &claims)) {
            Some(reason) => reason,
            None => match sizes(&claim.outputs, levels) {
                Ok(sizes) => return Ok(Looked::Hit(Box::new(claim.clone()), sizes)),
                Err(Trouble::Lost(mut gone)) => {
                    // Who found it damaged has set it aside.
                    gone.corrupt |= levels.was_damaged_since(gone.digest, claim.created);
                    lost = lost.or(Some(gone));
                    lost_reason(&gone)
                }
                Err(other) => return Err(other),
            },
        };
        first = first.or(Some(refused));
    }
    Ok(Looked::Miss(first, lost))
}

/// The reason to make anew what was lost.
pub(super) fn lost_reason(lost: &Lost) -> Reason {
    let digest = lost.digest.hex();
    if lost.corrupt { Reason::BlobCorrupt { digest } } else { Reason::BlobMissing { digest } }
}

/// The reason to make anew what is not in the store any more: a check may have dropped it as a blob of it was damaged.
pub(super) fn evicted(damaged: Option<Digest>) -> Reason {
    damaged.map_or(Reason::Evicted, |blob| Reason::BlobCorrupt { digest: blob.hex() })
}

/// Why a claim does not stand, short of its blobs.
fn refuse(action: &Action, wanted: Isolation, claim: &Claim) -> Option<Reason> {
    if claim.isolation < rank(wanted) {
        return Some(Reason::WeakerSandbox);
    }
    if action.policy.timeout_ms.is_some_and(|timeout| claim.duration_ms > timeout) {
        return Some(Reason::TimeoutTightened);
    }
    for output in &action.spec.outputs {
        let Some(made) = claim.outputs.iter().find(|made| made.name == output.name) else {
            return Some(Reason::DefChanged {
                field: "outputs".to_owned(),
                before: claim.outputs.iter().map(|made| made.name.as_str()).collect::<Vec<_>>().join(" "),
                after: output.name.clone(),
            });
        };
        // The declared digest may be out of the key, so that declaring it does not run the action.
        if action.spec.class == Class::Fixed && entry_digest(made) != output.digest {
            let shown = |digest: Option<Digest>| digest.map_or("none".to_owned(), |d| format!("b3:{d}"));
            return Some(Reason::DefChanged {
                field: "digest".to_owned(),
                before: shown(entry_digest(made)),
                after: shown(output.digest),
            });
        }
    }
    None
}

fn entry_digest(output: &ClaimOutput) -> Option<Digest> {
    match &output.entry {
        Entry::File { digest, .. } | Entry::Dir { digest } => Some(*digest),
        Entry::Symlink { .. } => None,
    }
}

fn sizes(outputs: &[ClaimOutput], levels: &Levels) -> Result<Vec<u64>, Trouble> {
    outputs.iter().map(|output| levels.check(&output.entry)).collect()
}
