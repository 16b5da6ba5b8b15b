//! The inventory of a bundle as an action of the graph that the bundle is made from, for nodes and gates that
//! look at it: it takes in what will go into the bundle, the lock files of all that made it, and the names
//! of the tools that did. Leaves out the document, and what a graph cannot know: which tools come later.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::RelPath;
use crate::diag::{Code, Diagnostic, Diagnostics, Span};
use crate::lang::expand::bundle::{Nodes, includes, version};
use crate::lang::expand::{Expander, Pending, PendingAction};
use crate::lang::ir::{BodyIr, InputIr, InstanceIr, OutputIr, Outputs, SbomIr};
use crate::lang::program::{DeclId, DeclKind};
use crate::lang::ty::{ArtifactKind, Ty};

/// The output that references name.
pub(crate) const OUTPUT: &str = "sbom";
/// Where what goes in is staged: no path of a workspace begins so by chance.
pub(crate) const STAGED: &str = ".bundle";
/// The version of CycloneDX where none is asked for.
const FORMAT: &str = "1.6";
/// The names of lock files, as one segment of a pattern.
const LOCKS: &str = "{Cargo.lock,package-lock.json,npm-shrinkwrap.json,uv.lock,requirements*.txt}";

/// What a name stands for where the inventory of a bundle may be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inventory {
    /// No bundle of this graph has that name.
    None,
    /// Something is wrong with the bundle, which has been reported.
    Broken,
    /// The instance that makes it.
    Made(usize),
}

impl Expander<'_, '_> {
    /// The inventory of a bundle of this graph, made when it is first asked for.
    pub(super) fn inventory(&mut self, name: &str, span: Span) -> Inventory {
        let made = match self.inventories.get(name) {
            Some(known) => *known,
            None => {
                let Some(id) = self.program.lookup(self.home, DeclKind::Bundle, name) else { return Inventory::None };
                let from = &self.program.bundle(id).from;
                if self.program.lookup(id.file, DeclKind::Graph, &from.value) != Some(self.graph) {
                    return Inventory::None;
                }
                let made = self.make_inventory(id, name, span);
                self.inventories.insert(name.to_owned(), made);
                made
            }
        };
        made.map_or(Inventory::Broken, Inventory::Made)
    }

    fn make_inventory(&mut self, id: DeclId, name: &str, span: Span) -> Option<usize> {
        let decl = self.program.bundle(id);
        let env = self.constants(id.file);
        let mut found = Diagnostics::default();
        let graph = self.placed[0].prefix.clone();
        let (files, version) = {
            let instances: Vec<&InstanceIr> = self.by_addr.values().map(|index| &self.instances[*index].ir).collect();
            let outputs = |action: usize| self.actions[action].ir.outputs.as_slice();
            let nodes = Nodes { graph: &graph, instances: &instances, outputs: &outputs };
            (includes(decl, &env, &nodes, &mut found), version(decl, &env, &mut found))
        };
        self.diagnostics.extend(found);
        let (files, version) = (files?, version?);
        let addr = format!("{graph}/{}", name.replace('.', "-"));
        let mut staged = Vec::new();
        let mut inputs = Vec::new();
        for (number, include) in files.into_iter().enumerate() {
            let place = format!("{STAGED}/{number:06}");
            self.spend(include.to.as_str().len() + place.len() + include.output.len() + 128, span, &addr)?;
            let at = RelPath::new(&place).ok()?;
            staged.push((include.to, at.clone()));
            let (action, output, span) = (include.action, include.output, include.span);
            inputs.push(InputIr::Output { dest: Some(at), action, output, select: None, span });
        }
        let tenant = self.tenant.map_or("default", |id| self.program.tenant(id).name.value.as_str());
        let body = BodyIr::Sbom(Box::new(SbomIr {
            bundle: decl.name.value.clone(),
            version,
            tenant: tenant.to_owned(),
            format: decl.cyclonedx.clone().unwrap_or_else(|| FORMAT.to_owned()),
            files: staged,
            excludes: decl.excludes.iter().map(|pattern| pattern.value.clone()).collect(),
        }));
        let path = RelPath::new("sbom.cdx.json").ok()?;
        let mut ir = super::gates::bare(addr.clone(), body, decl.name.span);
        ir.inputs = inputs;
        ir.outputs.push(OutputIr {
            name: OUTPUT.to_owned(),
            path,
            dir: false,
            ty: Ty::Artifact(ArtifactKind::Sbom),
            digest: None,
            span: decl.name.span,
        });
        let (action, instance) = (self.actions.len(), self.instances.len());
        let node = &*decl.inventory;
        let pending = PendingAction::new(ir, &node.work, std::sync::Arc::clone(&env), 0, instance);
        self.actions.push(PendingAction { derived: true, ..pending });
        let mut after = BTreeMap::new();
        self.wait_for_closing(action, &mut after);
        self.actions[action].ir.after = after.keys().copied().collect();
        self.actions[action].after = after;
        let ir = InstanceIr {
            addr,
            keys: Vec::new(),
            actions: vec![action],
            outputs: Outputs::of([(OUTPUT.to_owned(), action)]),
            bundle: Some(name.to_owned()),
            recipe: None,
            after: Vec::new(),
            rollback: None,
            takes_back: false,
            guards: Vec::new(),
            closing: None,
            automation: None,
            span: decl.name.span,
        };
        let services = std::sync::Arc::new([]);
        self.instances.push(Pending {
            ir,
            placed: 0,
            file: id.file,
            node,
            env,
            gates: Vec::new(),
            closing: Vec::new(),
            services,
        });
        Some(instance)
    }

    /// Gives each inventory the lock files and the tools of all that made what goes in: known only once
    /// everything is wired.
    pub(super) fn finish_inventories(&mut self) {
        for index in 0..self.actions.len() {
            if !matches!(self.actions[index].ir.body, BodyIr::Sbom(_)) {
                continue;
            }
            let (patterns, tools) = self.made_by(index);
            let span = self.actions[index].ir.span;
            let addr = self.actions[index].ir.addr.clone();
            for pattern in locks(&patterns) {
                if self.spend(pattern.len() + 96, span, &addr).is_none() {
                    return;
                }
                self.actions[index].ir.inputs.push(InputIr::Workspace { pattern, optional: true, span });
            }
            self.actions[index].ir.tools = tools.into_iter().collect();
        }
    }

    /// Patterns of the workspace and tools of everything above an action.
    fn made_by(&self, index: usize) -> (BTreeSet<String>, BTreeSet<String>) {
        let (mut patterns, mut tools) = (BTreeSet::new(), BTreeSet::new());
        let mut seen = BTreeSet::from([index]);
        let mut open = vec![index];
        while let Some(at) = open.pop() {
            let ir = &self.actions[at].ir;
            let services = self.services.iter().filter(|service| ir.services.contains(&service.name));
            let inputs = ir.inputs.iter().chain(services.clone().flat_map(|service| &service.inputs));
            for input in inputs {
                match input {
                    InputIr::Workspace { pattern, .. } => drop(patterns.insert(pattern.clone())),
                    InputIr::Output { action, .. } => {
                        if seen.insert(*action) {
                            open.push(*action);
                        }
                    }
                }
            }
            tools.extend(ir.tools.iter().cloned());
            tools.extend(services.flat_map(|service| service.tools.iter().cloned()));
        }
        (patterns, tools)
    }
}

/// Patterns of the lock files that patterns of inputs may match: precise where the last segment is plain or
/// stands for any name, else the pattern itself.
fn locks(patterns: &BTreeSet<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for pattern in patterns {
        let (folder, last) = pattern.rsplit_once('/').map_or(("", pattern.as_str()), |(folder, last)| (folder, last));
        let below = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        found.insert(match last {
            "**" => below(&format!("**/{LOCKS}")),
            "*" => below(LOCKS),
            last if last.contains(['*', '?', '[', '{']) => pattern.clone(),
            last if LOCKS.split(['{', ',', '}']).any(|name| name == last) => pattern.clone(),
            last if last.strip_suffix(".txt").is_some_and(|stem| stem.starts_with("requirements")) => pattern.clone(),
            // It may name a folder, which stands for all that is in it.
            _ => format!("{pattern}/**/{LOCKS}"),
        });
    }
    found
}

/// The diagnostic for what a bundle does not have, or for a bundle of another graph.
pub(crate) fn no_inventory(span: Span, bundle: &str, output: &str, declared: Span, from: Option<&str>) -> Diagnostic {
    match from {
        Some(graph) => Diagnostic::new(
            Code::P0203,
            span,
            format!("bundle `{bundle}` is made from graph `{graph}`, not from the one it is named in"),
        )
        .with_help("a graph may look at the inventory of its own bundles"),
        None => {
            Diagnostic::new(Code::P0401, span, format!("bundle `{bundle}` has no `{output}` that a graph could take"))
                .with_help(format!("it has: {OUTPUT}"))
        }
    }
    .with_secondary(declared, "the bundle is declared here")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(patterns: &[&str]) -> Vec<String> {
        locks(&patterns.iter().map(|pattern| (*pattern).to_owned()).collect()).into_iter().collect()
    }

    #[test]
    fn lock_files_are_found_behind_patterns() {
        assert_eq!(of(&["a/Cargo.lock", "requirements-dev.txt"]), ["a/Cargo.lock", "requirements-dev.txt"]);
        assert_eq!(of(&["src/**"]), [format!("src/**/{LOCKS}")]);
        assert_eq!(of(&["*"]), [LOCKS]);
        assert_eq!(of(&["a/*.lock"]), ["a/*.lock"]);
        assert_eq!(of(&["crates"]), [format!("crates/**/{LOCKS}")]);
    }
}
