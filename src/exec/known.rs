//! What an earlier run of the same program knows of a part of its plan, so that only this part is looked
//! at. Leaves out who vouches for it: whoever gives it has seen that specs, tools, and every file that is
//! not named as changed are as they were then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::{ActionKey, Digest, Entry};
use crate::event::{Outcome, Reason};
use crate::exec::levels::Levels;
use crate::plan::{ActionId, Plan};
use crate::store::{Cas, ClaimOutput};

/// The result that an action had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The key.
    pub key: ActionKey,
    /// The outputs, sorted by name.
    pub outputs: Vec<ClaimOutput>,
    /// Digests of what it printed.
    pub logs: Option<[Digest; 2]>,
}

/// What is known beforehand; nothing, in a run of a whole plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// The results that actions had.
    pub known: BTreeMap<ActionId, Known>,
    /// Actions that are there for their results alone, as nothing they depend on changed.
    pub given: BTreeSet<ActionId>,
    /// Those of them that were executed in this run, by a part before this one.
    pub fresh: BTreeSet<ActionId>,
    /// Actions that take in something which changed.
    pub changed: BTreeSet<ActionId>,
    /// Actions that did not end well in a part before this one: they are not tried again, and what needs them is
    /// not tried at all.
    pub failed: BTreeMap<ActionId, (Outcome, Reason)>,
    /// How many actions a later part may look at.
    pub later: u64,
    /// When the run began, if that was before this part.
    pub begun: Option<Duration>,
    /// How many actions the targets need that are not looked at, as nothing they depend on changed.
    pub unchanged: u64,
}

/// A further part of a plan, of which it is known only what it is when another has been run.
#[derive(Debug)]
pub struct Part {
    /// The plan of it.
    pub plan: Arc<Plan>,
    /// The actions that are looked at.
    pub targets: Vec<ActionId>,
    /// What is known beforehand.
    pub before: Before,
}

impl Before {
    /// Notes that what is known beforehand is relied on. Where that cannot be noted, as on a full disk, what a
    /// collection takes is made anew.
    pub fn lease(&self, cas: &dyn Cas) {
        let keys: Vec<ActionKey> = self.known.values().map(|known| known.key).collect();
        let outputs = self.known.values().flat_map(|known| &known.outputs).map(|output| &output.entry);
        if let Err(error) = cas.rely_on(&keys, &outputs.collect::<Vec<_>>()) {
            tracing::warn!(%error, "what is in use was not noted");
        }
    }
}

/// Whether a store has all of some outputs: from now on, if they are leased.
pub fn is_there<'a>(cas: &Arc<dyn Cas>, entries: impl IntoIterator<Item = &'a Entry>) -> bool {
    let levels = Levels::new(Arc::clone(cas));
    entries.into_iter().all(|entry| levels.check(entry).is_ok())
}
