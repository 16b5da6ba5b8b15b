//! An expansion as canonical KDL: the graph with everything written out, sorted by address, and comments
//! saying where it comes from; then what it is bound to and served by: bundles, gates, tenants, capabilities,
//! tools. It is a spec of its own, which compiles to the same plan. Leaves out keys, and what the graph has no
//! use for.

mod constants;
mod graph;
mod kept;
mod out;

use std::collections::BTreeSet;

use crate::diag::Diagnostics;
use crate::lang::ast::ImportDecl;
use crate::lang::expand::expand_bundle;
use crate::lang::ir::{BundleIr, Expansion};
use crate::lang::print::graph::GraphPrinter;
use crate::lang::print::out::Out;
use crate::lang::program::{DeclId, DeclKind, FileId, Program};
use crate::lang::{Node, Value};

pub use out::quote;

/// Prints an expansion with its origins.
pub fn print_expansion(expansion: &Expansion, program: &Program) -> String {
    print(expansion, program, true)
}

/// Prints an expansion without its origins, so that moving a node changes nothing.
pub(crate) fn print_plan(expansion: &Expansion, program: &Program) -> String {
    print(expansion, program, false)
}

fn print(expansion: &Expansion, program: &Program, origins: bool) -> String {
    let mut printer = GraphPrinter::new(expansion, program, origins);
    let mut out = Out::at(0);
    out.line("partita edition=1");
    if origins {
        settings(&mut out, program, &mut printer);
    }
    let mut graph = Out::at(0);
    printer.print(&mut graph);
    out.gap();
    out.text.push_str(&graph.text);
    if !printer.recipes.text.is_empty() {
        out.gap();
        out.text.push_str(&printer.recipes.text);
    }
    for id in program.root_bundles() {
        let (name, from) = (&program.bundle(id).name.value, &program.bundle(id).from);
        // A kept plan is about the graph: of bundles it holds those that the graph looks at.
        let looked_at = expansion.instances.iter().any(|instance| instance.bundle.as_ref() == Some(name));
        if !origins && !looked_at {
            continue;
        }
        if program.lookup(id.file, DeclKind::Graph, &from.value) == Some(expansion.decl) {
            out.gap();
            bundle(&mut out, id, expansion, program, &mut printer);
        }
    }
    for ir in expansion.tools.values() {
        if let crate::lang::ir::ToolOf::Tool(id) = ir.of {
            printer.kept.shadowed(DeclKind::Tool, id);
        }
    }
    // What is kept may name constants, and constants what is kept.
    let mut constants = Out::at(0);
    let GraphPrinter { constants: known, kept, .. } = &mut printer;
    known.print(&mut constants, kept);
    let declarations = kept.declarations();
    if !constants.text.is_empty() {
        out.gap();
        out.text.push_str(&constants.text);
    }
    for node in &declarations {
        out.gap();
        out.node(node);
    }
    out.text
}

/// What holds for the workspace: its settings, and the packages it rests on.
fn settings(out: &mut Out, program: &Program, printer: &mut GraphPrinter<'_, '_>) {
    let Some(root) = program.roots.first().copied() else { return };
    let tree = |file: FileId| {
        let text = &program.sources.file(program.file(file).source).text;
        crate::lang::parse(crate::diag::SourceId(0), text, &mut Diagnostics::default())
    };
    let foreign = |file: FileId| program.file(file).package.is_some() || program.file(file).path.starts_with("<std>/");
    // What is taken of packages is written out; that they are rested on is a fact of the plan if they are locked.
    let any_locked = program.packages.iter().any(|package| package.locked.is_some());
    let mut imported = BTreeSet::new();
    for file in (0..program.files.len()).map(FileId).filter(|file| !foreign(*file)) {
        let of_package = |import: &ImportDecl| {
            let target = program.file(file).aliases.get(&import.alias.value);
            any_locked && target.is_some_and(|target| program.file(*target).package.is_some())
        };
        let wanted: Vec<&ImportDecl> = program.file(file).decls.imports.iter().filter(|i| of_package(i)).collect();
        let has_settings = file == root
            && (program.file(file).decls.workspace.is_some() || !program.file(file).decls.grants.is_empty());
        if wanted.is_empty() && !has_settings {
            continue;
        }
        for mut node in tree(file) {
            match node.name.value.as_str() {
                "workspace" | "grant" if file == root => {}
                "import" => {
                    let path = node.args.first().and_then(text_of).unwrap_or_default().to_owned();
                    if !wanted.iter().any(|import| import.path.value == path) || !imported.insert(path.clone()) {
                        continue;
                    }
                    // Nothing is named by it, which the line says.
                    let alias = printer.kept.free(&format!("_{}", crate::base::slug(&path)));
                    set(&mut node, "as", alias);
                }
                _ => continue,
            }
            out.gap();
            out.node(&node);
        }
    }
}

/// What a bundle says besides what goes in.
const DELIVERED: &[&str] = &["exclude", "sbom", "provenance", "sign"];

/// A bundle with all that goes in named one by one.
fn bundle(out: &mut Out, id: DeclId, expansion: &Expansion, program: &Program, printer: &mut GraphPrinter<'_, '_>) {
    let mut found = Diagnostics::default();
    let name = &program.bundle(id).name.value;
    let (Some(ir), Some(mut node)) =
        (expand_bundle(program, id, expansion, &mut found), printer.kept.parts(DeclKind::Bundle, id, DELIVERED))
    else {
        let why = found.sorted().first().map_or_else(String::new, |found| format!(": {}", found.message));
        out.line(&format!("// bundle {} cannot be made of this{why}", quote(name)));
        return;
    };
    let BundleIr { graph, version, includes, .. } = ir;
    set(&mut node, "from", graph);
    if program.bundle(id).version.is_some() {
        set(&mut node, "version", version);
    }
    let rest = node.children.take().unwrap_or_default();
    let head = Node { children: None, ..node };
    let mut line = Out::at(0);
    line.node(&head);
    out.open(line.text.trim_end());
    for include in includes {
        let reference = printer.reference(include.action, &include.output);
        let (node, output) = reference.split_once('.').unwrap_or((&reference, ""));
        let role = include.role.map_or(String::new(), |role| format!(" role={}", quote(&role)));
        out.line(&format!(
            "include {} output={} to={}{role}",
            quote(node),
            quote(output),
            out.holed(include.to.as_str())
        ));
    }
    for child in &rest {
        out.node(child);
    }
    out.close();
}

fn text_of(value: &Value) -> Option<&str> {
    match &value.kind {
        crate::lang::Kind::Text(text) => Some(text),
        _ => None,
    }
}

/// Gives a property another value.
fn set(node: &mut Node, name: &str, text: String) {
    for property in node.props.iter_mut().filter(|property| property.name.value == name) {
        property.value.note = None;
        property.value.kind = crate::lang::Kind::Text(text.clone());
    }
}
