//! A checked program to a content-addressed graph of actions. Pure. Leaves out how anything is run.

mod action;
mod file;
mod key;
mod lower;
mod render;

pub use action::{
    Action, ActionId, ActionKind, ActionSpec, Backoff, Class, Input, InputSource, Isolation, Output, OutputKind, Plan,
    Policy, RenderValue, ResourceNeed, Retry, RetryOn, Tool, ToolExec,
};
pub use file::{PLAN_FORMAT, to_json_lines};
pub use key::{Resolved, ToolIdentity, action_key, action_manifest, def_manifest, platform};
pub use lower::{lower, seal, topological};
pub use render::{to_dot, to_mermaid, to_text};
