//! A checked program to a content-addressed graph of actions. Pure. Leaves out how anything is run.

mod action;
mod diff;
mod diff_fields;
mod diff_gates;
mod diff_html;
mod diff_json;
mod diff_privilege;
mod diff_show;
mod diff_text;
mod file;
mod gate;
mod http;
mod key;
mod lower;
mod outlook;
mod packed;
mod page;
mod picture;
mod privilege;
mod read;
mod rekey;
mod render;
mod sbom;

pub use action::{
    Action, ActionId, ActionKind, ActionSpec, Backoff, Cancel, Class, Input, InputSource, Isolation, NodeTimeout,
    Output, OutputKind, PackageTerms, Plan, Policies, Policy, Port, Ready, Rejected, RenderValue, ResourceNeed, Retry,
    RetryOn, Route, Schedule, Schema, SecretTerms, Service, TenantTerms, Terms, Tool, ToolExec,
};
pub use diff::{Change, Group, Place, Places, PlanDiff, Privileged, Propagation, Review, Root, Side, Subject, diff};
pub use diff_html::review_html;
pub use diff_json::{DIFF_FORMAT, review_json, review_sarif};
pub use diff_text::{review_markdown, review_text};
pub use file::{PLAN_FORMAT, to_json_lines};
pub use gate::{
    Approval, Approver, Automation, Concern, Consent, GateNote, GateOp, GateSubject, GateValue, Predicate, Reads,
};
pub use http::{HttpAsk, Price, Vendor};
pub use key::{Resolved, ToolIdentity, action_key, action_manifest, def_manifest, platform, service_digest};
pub use lower::{lower, seal, topological};
pub use outlook::Outlook;
pub use packed::{Packed, Piece, pack, unpack};
pub(crate) use page::{code as html_code, html as html_text, page as html_page, tile as html_tile};
pub use picture::{to_html, to_svg};
pub use privilege::Privilege;
pub use read::{PLAN_BYTES, ReadError, from_json_lines};
pub use rekey::{Rekeyed, Rekeying, SchemaStep};
pub use render::{to_dot, to_mermaid, to_text};
pub use sbom::{Sbom, SbomFile};
