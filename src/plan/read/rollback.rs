//! What a plan file says of how actions are taken back, read strictly. Leaves out the rest of their lines.

use std::collections::BTreeMap;

use crate::plan::{Class, Plan};

/// Checks that what takes an action back is an effect of the plan that lies elsewhere; gives the index of an action of
/// which that is not so.
pub(super) fn check_rollbacks(plan: &Plan) -> Result<(), (usize, String)> {
    let mut known: BTreeMap<&str, bool> = BTreeMap::new();
    for (index, action) in plan.actions.iter().enumerate() {
        let Some(addr) = action.policy.rollback.as_deref() else { continue };
        let rest = action.addr.strip_prefix(addr);
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            return Err((index, "it would take itself back".to_owned()));
        }
        let is_effect = || plan.below(addr).into_iter().any(|id| plan.action(id).spec.class == Class::Effect);
        if !*known.entry(addr).or_insert_with(is_effect) {
            return Err((index, format!("there is no effect at `{addr}` that could take it back")));
        }
    }
    Ok(())
}
