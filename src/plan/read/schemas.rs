//! The JSON Schemas of a plan file: read, found to be schemas, and each used. Leaves out documents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;

use crate::base::{Digest, JsonSchema};
use crate::plan::read::digest;
use crate::plan::{Action, Schema};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SchemaLine {
    path: String,
    text: String,
}

/// The schemas by digest, which must be that of the text.
pub(super) fn read_schemas(lines: BTreeMap<String, SchemaLine>) -> Result<BTreeMap<Digest, Schema>, String> {
    let mut schemas = BTreeMap::new();
    for (said, line) in lines {
        let said = digest(&said)?;
        if Digest::of_blob(line.text.as_bytes()) != said {
            return Err(format!("the schema `{}` is not the one that its digest names", line.path));
        }
        JsonSchema::parse(line.text.as_bytes())
            .map_err(|why| format!("`{}` is not a JSON Schema: {why}", line.path))?;
        schemas.insert(said, Schema { path: line.path, text: Arc::from(line.text) });
    }
    Ok(schemas)
}

/// Reports an output that must fit a schema which is not there, and a schema that nothing must fit.
pub(super) fn check_schemas(schemas: &BTreeMap<Digest, Schema>, actions: &[Action]) -> Result<(), String> {
    let mut used = BTreeSet::new();
    for action in actions {
        for schema in action.spec.outputs.iter().filter_map(|output| output.schema) {
            if !schemas.contains_key(&schema) {
                return Err(format!("`{}` must fit schema b3:{schema}, which is not there", action.addr));
            }
            used.insert(schema);
        }
    }
    match schemas.iter().find(|(digest, _)| !used.contains(digest)) {
        Some((_, schema)) => Err(format!("nothing must fit the schema `{}`", schema.path)),
        None => Ok(()),
    }
}
