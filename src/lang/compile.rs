//! The pipeline of the compiler: load, check, and expand what can be expanded without being given
//! anything. Leaves out plans.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::{Limits, RelPath};
use crate::diag::{Diagnostics, Severity, SourceId, Span};
use crate::lang::check::{check, check_suppliers, check_unused};
use crate::lang::expand::{expand, expand_bundle};
use crate::lang::ir::Expansion;
use crate::lang::judged::check_judged;
use crate::lang::load::load;
use crate::lang::program::{DeclId, DeclKind, Program};
use crate::lang::prompt::check_prompts;
use crate::lang::reach::check_reach;
use crate::lang::world::World;

/// A compiled set of specs, with everything there is to say about it.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The program.
    pub program: Program,
    /// What was found.
    pub diagnostics: Diagnostics,
    /// What the nodes of the graphs that were expanded came to.
    pub instances: Instances,
    /// Graphs that were expanded without being given anything, and are sound: those that fit in the memory of one.
    pub expansions: BTreeMap<DeclId, Arc<Expansion>>,
}

/// What nodes came to when graphs were expanded, by the places of their names.
#[derive(Clone, Debug, Default)]
pub struct Instances {
    by_node: BTreeMap<Span, NodeInstances>,
    by_graph: BTreeMap<Span, u64>,
}

/// The instances of a node, in all graphs together.
#[derive(Clone, Debug, Default)]
pub struct NodeInstances {
    /// How many.
    pub count: usize,
    /// The addresses of the first.
    pub first: Vec<String>,
    /// The most they cost together in a run, in micro-dollars. What a tool costs once in a run is counted where it
    /// serves first.
    pub at_most: u64,
    /// Who serves what they ask for, a line for each.
    pub routes: BTreeSet<String>,
}

impl Instances {
    /// Addresses kept of each node.
    const KEPT: usize = 16;

    /// The instances of the node whose name stands at a place.
    pub fn of(&self, name: Span) -> Option<&NodeInstances> {
        self.by_node.get(&name)
    }

    /// The most that the node or graph whose name stands at a place costs in a run, in micro-dollars.
    pub fn cost_of(&self, name: Span) -> u64 {
        self.by_graph.get(&name).copied().or_else(|| self.of(name).map(|node| node.at_most)).unwrap_or(0)
    }

    fn add(&mut self, program: &Program, expansion: &Expansion) {
        self.by_graph.insert(program.graph(expansion.decl).group.name.span, expansion.terms.at_most);
        for instance in &expansion.instances {
            let of = self.by_node.entry(instance.span).or_default();
            of.count += 1;
            if of.first.len() < Self::KEPT {
                of.first.push(instance.addr.clone());
            }
            for route in instance.actions.iter().filter_map(|action| expansion.actions[*action].route.as_deref()) {
                let once = if route.coalesced.is_none() { route.once } else { 0 };
                of.at_most = of.at_most.saturating_add(route.at_most).saturating_add(once);
                if of.routes.len() < Self::KEPT {
                    of.routes.insert(route.describe());
                }
            }
        }
    }
}

/// Compiles root files and all they import. Every graph of a root file whose parameters have
/// defaults, and every bundle of one, is expanded as well, so that what depends on values is found
/// here too.
pub fn compile(world: &dyn World, roots: &[RelPath]) -> Compiled {
    compile_for(world, roots, None)
}

/// As `compile`, for a tenant that owns every graph, whatever graphs say.
pub fn compile_for(world: &dyn World, roots: &[RelPath], tenant: Option<&str>) -> Compiled {
    let mut diagnostics = Diagnostics::default();
    let mut program = load(world, roots, &mut diagnostics);
    program.tenant = tenant.map(str::to_owned);
    compile_loaded(program, diagnostics)
}

/// As [`compile`], from what [`load`] gave.
pub fn compile_loaded(program: Program, mut diagnostics: Diagnostics) -> Compiled {
    let (mut instances, mut expansions, mut kept) = (Instances::default(), BTreeMap::new(), 0);
    check(&program, &mut diagnostics);
    check_prompts(&program, &mut diagnostics);
    let mut graphs = program.root_graphs();
    for bundle in program.root_bundles() {
        // A bundle may be of a graph that another file declares.
        let from = program.lookup(bundle.file, DeclKind::Graph, &program.bundle(bundle).from.value);
        graphs.extend(from.filter(|id| !graphs.contains(id)));
    }
    let mut complete = true;
    let mut outside = Outside::new(&program);
    for id in graphs {
        let elsewhere = outside.has_errors(&diagnostics);
        // Expanding what has an error already would only repeat it.
        if elsewhere || diagnostics.has_error_within(program.graph(id).group.span) {
            if !elsewhere && diagnostics.count(Severity::Error) <= TOLD {
                expand_rest(&program, id, &mut diagnostics);
            }
            continue;
        }
        if program.graph(id).group.params.iter().any(|param| param.default.is_none()) {
            complete = false;
            continue;
        }
        let Some(expansion) = expand(&program, id, &BTreeMap::new(), &mut diagnostics) else { continue };
        instances.add(&program, &expansion);
        let (mut bundles, mut all) = (Vec::new(), true);
        for bundle in program.root_bundles() {
            let decl = program.bundle(bundle);
            if program.lookup(bundle.file, DeclKind::Graph, &decl.from.value) != Some(id) {
                continue;
            }
            let sound = !diagnostics.has_error_within(decl.span);
            let ir = sound.then(|| expand_bundle(&program, bundle, &expansion, &mut diagnostics)).flatten();
            match ir {
                Some(ir) => bundles.push((ir, decl.name.span)),
                None => all = false,
            }
        }
        if all {
            check_reach(&expansion, &bundles, &mut diagnostics);
            check_judged(&program, &expansion, &bundles, &mut diagnostics);
        }
        kept += expansion.actions.len();
        if kept <= Limits::EXPANDED_NODES {
            expansions.insert(id, Arc::new(expansion));
        }
    }
    if diagnostics.has_errors() {
        program.allow(&mut diagnostics);
    } else {
        check_unused(&program, &mut diagnostics);
        check_suppliers(&program, &mut diagnostics);
        program.allow_and_report(complete, &mut diagnostics);
    }
    // What could be better in what others wrote is theirs to hear.
    let fetched =
        program.files.iter().filter(|file| file.package.is_some_and(|id| program.packages[id.0].source.is_remote()));
    let fetched: Vec<SourceId> = fetched.map(|file| file.source).collect();
    diagnostics.retain(|item| item.severity == Severity::Error || !fetched.contains(&item.primary.span.source));
    Compiled { program, diagnostics, instances, expansions }
}

/// Errors up to which more are looked for behind them: of more than that, not all are shown.
const TOLD: usize = 50;

/// Nodes up to which a graph with a mistake is looked at without it: this takes a copy of the program.
const REST: usize = 2_000;

/// Expands what is left of a graph without its nodes that have errors, for the errors of the others. Nothing,
/// where a mistake may be behind all of it.
fn expand_rest(program: &Program, id: DeclId, diagnostics: &mut Diagnostics) {
    let group = &program.graph(id).group;
    let parts = || group.nodes.iter().map(|node| node.span).chain(group.uses.iter().map(|decl| decl.span));
    let small = group.nodes.len() <= REST && group.params.iter().all(|param| param.default.is_some());
    let own = diagnostics
        .sorted()
        .into_iter()
        .filter(|item| item.severity == Severity::Error && group.span.covers(item.primary.span));
    if !small || !own.map(|item| item.primary.span).all(|at| parts().any(|span| span.covers(at))) {
        return;
    }
    let mut rest = program.clone();
    let group = &mut rest.files[id.file.0].decls.graphs[id.index].group;
    let mut lost = std::mem::take(&mut group.lost);
    group.nodes.retain(|node| {
        let sound = !diagnostics.has_error_within(node.span);
        lost.extend((!sound).then(|| node.name.clone()));
        sound
    });
    group.uses.retain(|decl| {
        let sound = !diagnostics.has_error_within(decl.span);
        lost.extend((!sound).then(|| decl.alias.clone()));
        sound
    });
    group.lost = lost;
    let mut found = Diagnostics::default();
    expand(&rest, id, &BTreeMap::new(), &mut found);
    found.retain(|item| item.severity == Severity::Error);
    diagnostics.extend(found);
}

/// Where graphs and bundles are, and whether there is an error anywhere else.
struct Outside {
    /// Sorted; top-level nodes do not overlap.
    inside: Vec<Span>,
    /// How many errors there were when it was last looked.
    errors: usize,
    found: bool,
}

impl Outside {
    fn new(program: &Program) -> Self {
        let mut inside = Vec::new();
        for file in &program.files {
            inside.extend(file.decls.graphs.iter().map(|graph| graph.group.span));
            inside.extend(file.decls.bundles.iter().map(|bundle| bundle.span));
        }
        inside.sort_unstable_by_key(|span| (span.source, span.start));
        Self { inside, errors: 0, found: false }
    }

    /// Whether a place is in a graph or in a bundle.
    fn covers(&self, at: Span) -> bool {
        let next = self.inside.partition_point(|span| (span.source, span.start) <= (at.source, at.start));
        next > 0 && self.inside[next - 1].covers(at)
    }

    /// Whether there is an error outside of graphs and bundles. Constants and tools are small and shared:
    /// such an error may be behind any of them.
    fn has_errors(&mut self, diagnostics: &Diagnostics) -> bool {
        let errors = diagnostics.count(Severity::Error);
        if errors != self.errors {
            self.errors = errors;
            let mut items = diagnostics.sorted().into_iter().filter(|item| item.severity == Severity::Error);
            self.found = items.any(|item| !self.covers(item.primary.span));
        }
        self.found
    }
}
