//! The action key: the fields of an action with everything it depends on resolved to content.
//! Leaves out how inputs and tools are resolved, which is the executor's.

use std::collections::BTreeMap;

use crate::base::{ActionKey, Digest, Domain, FieldSink, Fields, Manifest, Tree, Value, digest_fields, manifest_of};
use crate::plan::{ActionKind, ActionSpec, RenderValue};

/// What an action's inputs and tools turned out to be, just before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The root level of the merged input tree.
    pub inputs: Tree,
    /// The tools it may start, and those that they use, by name.
    pub tools: BTreeMap<String, ToolIdentity>,
}

/// What a tool is, so far as it may change a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolIdentity {
    /// The name of the executable, as it appears on `PATH`.
    pub name: String,
    /// The digest of the executable, or of the fingerprint's text.
    pub digest: Digest,
    /// What the tool printed about itself, where it was asked.
    pub fingerprint: Option<String>,
}

struct Keyed<'a> {
    spec: &'a ActionSpec,
    resolved: &'a Resolved,
}

impl Fields for Keyed<'_> {
    fn walk(&self, sink: &mut dyn FieldSink) {
        let Self { spec, resolved } = self;
        sink.field(1, "schema", &Value::Int(ActionKey::SCHEMA));
        sink.field(2, "kind", &Value::text(spec.kind.versioned()));
        sink.field(3, "class", &Value::text(spec.class.word()));
        match &spec.kind {
            ActionKind::Exec { tool, args } => {
                sink.field(4, "tool", &Value::text(tool));
                sink.field(5, "args", &Value::texts(args));
            }
            ActionKind::Copy { from } => sink.field(6, "from", &Value::text(from.as_str())),
            ActionKind::Write { text } => sink.field(7, "text", &Value::text(text)),
            ActionKind::Render { template, vars } => {
                sink.field(8, "template", &Value::text(template.as_str()));
                let vars = vars.iter().map(|(name, value)| (name.clone(), render_value(value))).collect();
                sink.field(9, "vars", &Value::Map(vars));
            }
            ActionKind::MergeJson { from } => {
                sink.field(10, "merge", &Value::texts(from.iter().map(crate::base::RelPath::as_str)));
            }
        }
        let env = spec.env.iter().map(|(name, value)| (name.clone(), Value::text(value))).collect();
        sink.field(11, "env", &Value::Map(env));
        sink.field(12, "inputs", &Value::tree(resolved.inputs.clone()));
        let tools = resolved.tools.values().map(|tool| (tool.name.clone(), Value::Digest(tool.digest))).collect();
        sink.field(13, "tools", &Value::Map(tools));
        let outputs = spec.outputs.iter().map(|output| {
            let shape = Value::texts([output.path.as_str(), output.kind.word()]);
            (output.name.clone(), shape)
        });
        sink.field(14, "outputs", &Value::Map(outputs.collect()));
        if let Some(cwd) = &spec.cwd {
            sink.field(15, "cwd", &Value::text(cwd.as_str()));
        }
        sink.field(16, "isolation", &Value::text(spec.isolation.word()));
    }
}

fn render_value(value: &RenderValue) -> Value {
    match value {
        RenderValue::Text(text) => Value::List(vec![Value::text("text"), Value::text(text)]),
        RenderValue::List(texts) => Value::List(vec![Value::text("list"), Value::texts(texts)]),
        RenderValue::File(path) => Value::texts(["file", path.as_str()]),
        RenderValue::Json(path) => Value::texts(["json", path.as_str()]),
    }
}

/// The fields of the key, without loss.
pub fn action_manifest(spec: &ActionSpec, resolved: &Resolved) -> Manifest {
    manifest_of(&Keyed { spec, resolved })
}

/// The key of the fields.
pub fn action_key(manifest: &Manifest) -> ActionKey {
    ActionKey(digest_fields(manifest, Domain::ActionKey))
}
