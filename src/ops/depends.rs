//! Why one action depends on another: the shortest way between them through a plan. Leaves out why
//! an action ran, which is history's.

use std::collections::{BTreeMap, VecDeque};

use crate::ops::Error;
use crate::ops::run::find_actions;
use crate::plan::{ActionId, InputSource, Plan};

/// One step of the way: the action, and what it takes of the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The address.
    pub addr: String,
    /// What it takes of the next action, as `output at place`, or that it only comes after it;
    /// nothing for the last.
    pub takes: Option<String>,
}

/// The shortest way from an action to one it depends on; the first in address order of several.
/// `None` if it does not depend on it.
pub fn why_depends(plan: &Plan, from: &str, on: &str) -> Result<Option<Vec<Step>>, Error> {
    let from = find_actions(plan, from)?;
    let on = find_actions(plan, on)?;
    let mut came: BTreeMap<ActionId, Option<ActionId>> = from.iter().map(|id| (*id, None)).collect();
    let mut open: VecDeque<ActionId> = from.iter().copied().collect();
    while let Some(id) = open.pop_front() {
        if on.contains(&id) {
            let mut way = vec![id];
            let mut at = id;
            while let Some(Some(before)) = came.get(&at) {
                way.push(*before);
                at = *before;
            }
            way.reverse();
            return Ok(Some(steps(plan, &way)));
        }
        for producer in plan.action(id).dependencies() {
            came.entry(producer).or_insert_with(|| {
                open.push_back(producer);
                Some(id)
            });
        }
    }
    Ok(None)
}

fn steps(plan: &Plan, way: &[ActionId]) -> Vec<Step> {
    let takes = |from: ActionId, next: ActionId| {
        let inputs = plan.action(from).spec.inputs.iter();
        let taken: Vec<String> = inputs
            .filter_map(|input| match &input.source {
                InputSource::Output { action, output, select } if *action == next => {
                    let at = input.dest.as_ref().map_or(".", |dest| dest.as_str());
                    let select = select.as_ref().map_or(String::new(), |select| format!(" [{select}]"));
                    Some(format!("`{output}`{select} at `{at}`"))
                }
                _ => None,
            })
            .collect();
        if taken.is_empty() { "order alone (`after`)".to_owned() } else { taken.join(", ") }
    };
    let step = |(index, id): (usize, &ActionId)| Step {
        addr: plan.action(*id).addr.clone(),
        takes: way.get(index + 1).map(|next| takes(*id, *next)),
    };
    way.iter().enumerate().map(step).collect()
}
