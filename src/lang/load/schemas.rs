//! The JSON Schemas that types name: files beside the spec that names them, of the workspace or of a package, read and
//! found to be schemas. Leaves out checking documents against them, which is the executor's.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Digest, JsonSchema, RelPath};
use crate::diag::{Code, Diagnostic};
use crate::lang::WorldError;
use crate::lang::ast::{FileDecls, Name, Param, Work};
use crate::lang::load::Loader;
use crate::lang::program::{FileId, PackageId};
use crate::lang::ty::{ArtifactKind, SchemaTy, Ty};

/// Schemas by where they lie; `None` for those that are none, which has been reported.
type Known = BTreeMap<(Option<PackageId>, RelPath), Option<Arc<SchemaTy>>>;

impl Loader<'_> {
    /// Reads the schemas of all types.
    pub(super) fn read_schemas(&mut self) {
        let mut known = Known::new();
        for index in 0..self.program.files.len() {
            let file = FileId(index);
            // Taken out for the while: reading needs places only.
            let mut decls = std::mem::take(&mut self.program.files[index].decls);
            for ty in types(&mut decls) {
                if let Ty::Artifact(ArtifactKind::Unread(name)) = ty
                    && let Some(schema) = self.schema(file, name, &mut known)
                {
                    *ty = Ty::Artifact(ArtifactKind::Fitting(schema));
                }
            }
            self.program.files[index].decls = decls;
        }
    }

    fn schema(&mut self, file: FileId, name: &Name, known: &mut Known) -> Option<Arc<SchemaTy>> {
        let (package, path) = self.beside(file, name)?;
        let at = (package, path);
        if let Some(known) = known.get(&at) {
            return known.clone();
        }
        let (package, path) = &at;
        let (code, message, help) = match self.bytes(*package, path) {
            Ok(bytes) => match read(&bytes) {
                Ok((text, document)) => {
                    let shown = self.shown(*package, path.as_str());
                    let source = self.program.sources.add(shown.clone(), text);
                    let text: Arc<str> = Arc::from(&*self.program.sources.file(source).text);
                    let schema = SchemaTy {
                        path: shown,
                        digest: Digest::of_blob(text.as_bytes()),
                        text,
                        document: Arc::new(document),
                    };
                    return known.entry(at).or_insert(Some(Arc::new(schema))).clone();
                }
                Err(why) => (
                    Code::P0316,
                    format!("`{path}` is not a JSON Schema: {why}"),
                    "a schema is a JSON object of the drafts 4 to 2020-12, and refers to its own parts only: `\"$ref\": \"#/$defs/NAME\"`",
                ),
            },
            // What a file holds is one mistake, that a name leads nowhere is one each time.
            Err(WorldError::TooLarge) => (
                Code::P0001,
                format!("`{path}` is larger than 4 MiB"),
                "a schema may have 256 KiB: check the rest by a gate",
            ),
            Err(error) => {
                self.diagnostics.push(
                    Diagnostic::new(Code::P0205, name.span, format!("cannot read schema `{path}`: {error}"))
                        .with_help("paths of schemas are relative to the spec that names them"),
                );
                return None;
            }
        };
        self.diagnostics.push(Diagnostic::new(code, name.span, message).with_help(help));
        known.insert(at, None);
        None
    }
}

/// A schema as text, and read. The error says why it is none.
fn read(bytes: &[u8]) -> Result<(String, serde_json::Value), String> {
    let text = String::from_utf8(bytes.to_vec()).map_err(|_| "it is not UTF-8 text".to_owned())?;
    Ok((text, JsonSchema::parse(bytes)?.into_document()))
}

/// The types of all artifacts that a file declares.
fn types(decls: &mut FileDecls) -> Vec<&mut Ty> {
    fn of_params(params: &mut [Param]) -> impl Iterator<Item = &mut Ty> {
        params.iter_mut().map(|param| &mut param.ty)
    }
    fn of_work(work: &mut Work) -> impl Iterator<Item = &mut Ty> {
        work.outputs.iter_mut().map(|output| &mut output.ty)
    }
    let mut all = Vec::new();
    let mut gates = Vec::new();
    for recipe in &mut decls.recipes {
        all.extend(of_params(&mut recipe.params));
        all.extend(recipe.returns.iter_mut().map(|returns| &mut returns.ty));
        all.extend(recipe.steps.iter_mut().flat_map(|step| of_work(&mut step.work)));
        gates.extend(&mut recipe.gates);
    }
    gates.extend(&mut decls.gates);
    for gate in gates {
        all.extend(of_params(&mut gate.params));
        all.extend(of_work(&mut gate.work));
    }
    let groups = decls.templates.iter_mut().chain(decls.graphs.iter_mut().map(|graph| &mut graph.group));
    for group in groups {
        all.extend(of_params(&mut group.params));
        all.extend(group.nodes.iter_mut().flat_map(|node| of_work(&mut node.work)));
    }
    all.extend(decls.skills.iter_mut().flat_map(|skill| of_params(&mut skill.vars)));
    for capability in &mut decls.capabilities {
        all.extend(of_params(&mut capability.accepts));
        all.extend(capability.returns.iter_mut().map(|returns| &mut returns.ty));
    }
    all
}
