//! Which actions a run makes again to see whether they come out the same, and what is held back because some do
//! not. Leaves out making them again.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::Digest;
use crate::exec::{RunReport, unfit};
use crate::ops::Error;
use crate::ops::run::{Chosen, find_actions};
use crate::plan::{ActionId, InputSource, Plan};
use crate::store::Claims;

/// What to make again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recheck {
    /// All that can be.
    All,
    /// This many of a hundred, chosen anew in each run; one at least.
    Sample(u8),
    /// The actions at or below an address.
    Named(String),
}

impl Recheck {
    /// Reads what `--check` was given: nothing, `10%`, or an address.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Ok(Self::All);
        }
        match text.strip_suffix('%').map(str::parse::<u8>) {
            None => Ok(Self::Named(text.to_owned())),
            Some(Ok(percent @ 1..=100)) => Ok(Self::Sample(percent)),
            Some(_) => Err(Error::usage_help(
                format!("`{text}` is not a share of the actions"),
                "write `--check` for all, `--check=10%` for some, or `--check=ADDR`",
            )),
        }
    }
}

/// The actions to make again: of a sample those that can be, of names all, so that it is told why one cannot be.
pub(super) fn rechecked(
    plan: &Plan,
    chosen: &Chosen,
    wanted: &[Recheck],
    run: &str,
) -> Result<BTreeSet<ActionId>, Error> {
    let needed = needed(plan, chosen.actions.iter().copied());
    let mut all = BTreeSet::new();
    for one in wanted {
        let able = needed.iter().copied().filter(|id| unfit(plan.action(*id)).is_none());
        match one {
            Recheck::All => all.extend(able),
            Recheck::Sample(percent) => {
                let mut able: Vec<ActionId> = able.collect();
                // Another choice in every run, so that in the end all come up.
                able.sort_by_key(|id| Digest::of_blob(format!("{run} {}", plan.action(*id).addr).as_bytes()));
                let count = (able.len() * usize::from(*percent)).div_ceil(100);
                all.extend(able.into_iter().take(count));
            }
            Recheck::Named(addr) if plan.graph == *addr => all.extend(able),
            Recheck::Named(addr) => all.extend(find_actions(plan, addr)?),
        }
    }
    Ok(all)
}

/// Actions with all that they take something from.
fn needed(plan: &Plan, from: impl IntoIterator<Item = ActionId>) -> BTreeSet<ActionId> {
    let mut all = BTreeSet::new();
    let mut todo: Vec<ActionId> = from.into_iter().collect();
    while let Some(id) = todo.pop() {
        if !all.insert(id) {
            continue;
        }
        for input in &plan.action(id).spec.inputs {
            if let InputSource::Output { action, .. } = &input.source {
                todo.push(*action);
            }
        }
    }
    all
}

/// Refuses if something that goes into outputs is held back, or what it was made from.
pub(super) fn refuse_held(
    plan: &Plan,
    outputs: &BTreeSet<(ActionId, String)>,
    report: &RunReport,
    claims: &dyn Claims,
) -> Result<(), Error> {
    let mut held = BTreeMap::new();
    for id in needed(plan, outputs.iter().map(|(id, _)| *id)) {
        let addr = &plan.action(id).addr;
        if let Some(key) = report.action(addr).and_then(|action| action.key)
            && let Some(why) = claims.held(key)?
        {
            held.insert(addr.clone(), why);
        }
    }
    if held.is_empty() { Ok(()) } else { Err(Error::Held { held }) }
}
