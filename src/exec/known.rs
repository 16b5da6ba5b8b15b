//! What an earlier run of the same program knows of a part of its plan, so that only this part is looked
//! at. Leaves out who vouches for it: whoever gives it has seen that specs, tools, and every file that is
//! not named as changed are as they were then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{ActionKey, Digest, Entry};
use crate::exec::levels::Levels;
use crate::plan::ActionId;
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
    /// Actions that read a file which changed.
    pub changed: BTreeSet<ActionId>,
    /// How many actions the targets need that are not looked at, as nothing they depend on changed.
    pub unchanged: u64,
}

/// Whether a store has all of some outputs. It may lose them the moment after.
pub fn is_there<'a>(cas: &Arc<dyn Cas>, entries: impl IntoIterator<Item = &'a Entry>) -> bool {
    let levels = Levels::new(Arc::clone(cas));
    entries.into_iter().all(|entry| levels.check(entry).is_ok())
}
