//! A checked program to a content-addressed graph of actions. Pure. Leaves out how anything is run.

mod action;
mod key;

pub use action::{
    Action, ActionId, ActionKind, ActionSpec, Backoff, Class, Input, InputSource, Isolation, Output, OutputKind, Plan,
    Policy, RenderValue, ResourceNeed, Retry, RetryOn, Tool, ToolExec,
};
pub use key::{Resolved, ToolIdentity, action_key, action_manifest};
