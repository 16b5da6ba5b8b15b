//! A plan in pieces that can be read one by one, to be kept between two runs of the same program on the
//! same machine: no format, only a memory. Leaves out where it is kept, and who checks that it is whole.
//!
//! Only plans are packed whose actions depend on nothing but files and tools: with a service, a secret,
//! an approval, or an action that is not cached, the plan is lowered anew each time.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::Digest;
use crate::plan::{Action, ActionId, ActionKind, Class, InputSource, Plan, Policies, Schema, Terms, Tool};

/// A plan without its actions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packed {
    graph: String,
    tools: Vec<Tool>,
    pools: BTreeMap<String, u64>,
    concurrency: Option<u64>,
    policies: Policies,
    /// Of schemas: the digest, the path, the text.
    schemas: Vec<(Digest, String, String)>,
    digest: Digest,
}

impl Packed {
    /// The name of the graph.
    pub fn graph(&self) -> &str {
        &self.graph
    }
}

/// The parts of a plan: what is about all of it, and each action by itself in the order of the plan. `None`
/// for a plan that is not packed.
pub fn pack(plan: &Plan) -> Option<(Packed, Vec<Vec<u8>>)> {
    if !plan.services.is_empty() || !plan.actions.iter().all(is_plain) {
        return None;
    }
    let packed = Packed {
        graph: plan.graph.clone(),
        tools: plan.tools.clone(),
        pools: plan.pools.clone(),
        concurrency: plan.concurrency,
        policies: plan.policies.clone(),
        schemas: plan
            .schemas
            .iter()
            .map(|(digest, schema)| (*digest, schema.path.clone(), schema.text.to_string()))
            .collect(),
        digest: plan.digest,
    };
    let actions = plan.actions.iter().map(|action| postcard::to_allocvec(action).ok()).collect::<Option<_>>()?;
    Some((packed, actions))
}

/// Whether an action is a function of its inputs and tools alone, which nobody has to be asked about.
fn is_plain(action: &Action) -> bool {
    let is_plain = match &action.spec.kind {
        ActionKind::Exec { .. }
        | ActionKind::Copy { .. }
        | ActionKind::Write { .. }
        | ActionKind::Render { .. }
        | ActionKind::MergeJson { .. }
        | ActionKind::Gate { .. } => true,
        // What an agent is told goes to one that is recorded; an inventory is about the whole plan.
        ActionKind::Request { .. } | ActionKind::Http(_) | ActionKind::Sbom(_) | ActionKind::Approval(_) => false,
    };
    is_plain
        && matches!(action.spec.class, Class::Pure | Class::Fixed)
        && action.spec.secrets.is_empty()
        && action.spec.services.is_empty()
}

/// An action of a packed plan.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Which of the whole plan.
    pub id: ActionId,
    /// As it was packed.
    pub bytes: &'a [u8],
    /// Whether it is there for what it gives alone, and is not going to be done: what it takes is left out.
    pub gives: bool,
}

/// The plan of some actions, given in their order. It has the digest of the whole. What an action takes
/// from another, unless it only gives, must be among them: `None` if it is not.
pub fn unpack(packed: &Packed, pieces: &[Piece<'_>]) -> Option<Plan> {
    let now = |id: ActionId| {
        let at = pieces.binary_search_by_key(&id, |piece| piece.id).ok()?;
        Some(ActionId(at as u32))
    };
    let mut unpacked = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let mut action: Action = postcard::from_bytes(piece.bytes).ok()?;
        if piece.gives {
            action.after.clear();
            action.spec.inputs.clear();
        }
        // What stands beside this part of the plan is done: nothing waits for it.
        action.after = action.after.iter().filter_map(|id| now(*id)).collect();
        for input in &mut action.spec.inputs {
            if let InputSource::Output { action, .. } = &mut input.source {
                *action = now(*action)?;
            }
        }
        unpacked.push(action);
    }
    let schema = |(digest, path, text): &(Digest, String, String)| {
        (*digest, Schema { path: path.clone(), text: Arc::from(text.as_str()) })
    };
    Some(Plan {
        graph: packed.graph.clone(),
        actions: unpacked,
        tools: packed.tools.clone(),
        pools: packed.pools.clone(),
        concurrency: packed.concurrency,
        terms: Terms::default(),
        services: Vec::new(),
        policies: packed.policies.clone(),
        schemas: packed.schemas.iter().map(schema).collect(),
        digest: packed.digest,
    })
}
