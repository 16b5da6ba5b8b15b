//! Runs `test` blocks: expands their graphs and compares what came out with what is expected. Nothing is
//! executed, and nothing is written: kept plans that should be written anew are given back, and so is what it takes
//! a run to tell.

mod trial;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::base::{RelPath, format_micro_usd};
use crate::diag::{Code, Diagnostic, Diagnostics, Severity, Span};
use crate::lang::ast::{ExpectDecl, Expected, NodeDecl, Op, TestDecl, Values};
use crate::lang::eval::address_matches;
use crate::lang::expand::expand_values;
use crate::lang::ir::{Expansion, InputIr};
use crate::lang::print::print_plan;
use crate::lang::program::{DeclId, DeclKind, FileId, Program};
use crate::lang::ty::{ArtifactKind, Ty};
use crate::lang::{World, WorldError};

/// Names shown of many.
const SHOWN: usize = 8;

/// Lines shown of a difference.
const LINES: usize = 12;

/// A test that was run.
#[derive(Clone, Debug)]
pub struct TestOutcome {
    /// Its name.
    pub name: String,
    /// The file it stands in.
    pub file: String,
    /// How many expectations it has.
    pub expectations: usize,
    /// What does not hold.
    pub failures: Vec<Diagnostic>,
    /// What has to be run for the rest of what is expected.
    pub trial: Option<Trial>,
}

/// A graph to be run with recorded outputs, and what is expected of that.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The graph with its values.
    pub expansion: Expansion,
    /// What stands in.
    pub mocks: Vec<Mock>,
    /// What must come of it.
    pub expects: Vec<TrialExpect>,
    /// The test's name.
    pub span: Span,
}

/// What stands in for a tool or an agent.
#[derive(Clone, Debug)]
pub struct Mock {
    /// The indices of the actions of the expansion.
    pub actions: Vec<usize>,
    /// The status it ends with.
    pub status: u8,
    /// What it leaves, by name.
    pub outputs: BTreeMap<String, Vec<u8>>,
}

/// What is expected of a run.
#[derive(Clone, Debug)]
pub struct TrialExpect {
    /// What.
    pub what: TrialWhat,
    /// Where it is said.
    pub span: Span,
}

/// What is expected of a run.
#[derive(Clone, Debug)]
pub enum TrialWhat {
    /// The status it ends with.
    Status(i128),
    /// What an output holds: the action's index, the output, a comparison and a text.
    Output(usize, String, Op, String),
}

impl TrialWhat {
    /// Whether a text is as expected; of a status, always.
    pub fn holds(&self, text: &str) -> bool {
        let Self::Output(_, _, op, wanted) = self else { return true };
        match op {
            Op::Eq => text == wanted,
            Op::Ne => text != wanted,
            Op::Contains => text.contains(wanted.as_str()),
            Op::Matches => regex::Regex::new(wanted).is_ok_and(|regex| regex.is_match(text)),
            Op::Lt | Op::Le | Op::Gt | Op::Ge => false,
        }
    }
}

/// A failure of a test.
pub fn test_failure(span: Span, what: String) -> Diagnostic {
    failed(span, what)
}

/// Tests that were run.
#[derive(Clone, Debug, Default)]
pub struct TestRun {
    /// The tests, in the order of their files and places.
    pub tests: Vec<TestOutcome>,
    /// All that does not hold.
    pub diagnostics: Diagnostics,
    /// Kept plans that are missing or differ, as they should be.
    pub plans: BTreeMap<RelPath, String>,
}

/// Runs the tests of the root files whose names hold a text. `update`: whether a kept plan that differs
/// is given back instead of failing. For a program without errors.
pub fn run_tests(world: &dyn World, program: &Program, filter: &str, update: bool) -> TestRun {
    let mut run = TestRun::default();
    for file in program.roots.iter().copied() {
        for test in &program.file(file).decls.tests {
            if !test.name.value.contains(filter) {
                continue;
            }
            let mut own = Diagnostics::default();
            let tester = Tester { world, program, file, test, update };
            let trial = tester.run(&mut own, &mut run.plans);
            program.allow(&mut own);
            run.tests.push(TestOutcome {
                name: test.name.value.clone(),
                file: program.file(file).path.clone(),
                expectations: test.expects.len(),
                failures: own.sorted().into_iter().filter(|item| item.severity == Severity::Error).cloned().collect(),
                trial,
            });
            run.diagnostics.extend(own);
        }
    }
    run
}

struct Tester<'a> {
    world: &'a dyn World,
    program: &'a Program,
    file: FileId,
    test: &'a TestDecl,
    update: bool,
}

impl Tester<'_> {
    fn run(&self, failures: &mut Diagnostics, plans: &mut BTreeMap<RelPath, String>) -> Option<Trial> {
        let graph = self.program.lookup(self.file, DeclKind::Graph, &self.test.graph.value)?;
        let held = self.test.expects.iter().any(|expect| !matches!(expect.what, Expected::Diagnostic { .. }));
        let mut found = Diagnostics::default();
        let expansion =
            if held { expand_values(self.program, graph, self.file, &self.test.values, &mut found) } else { None };
        let Some(expansion) = expansion.as_ref() else {
            if held {
                failures.push(self.does_not_expand(&found));
            }
            for expect in &self.test.expects {
                if let Expected::Diagnostic { .. } = expect.what {
                    self.check(expect, graph, None, failures, plans);
                }
            }
            return None;
        };
        for expect in &self.test.expects {
            self.check(expect, graph, Some(expansion), failures, plans);
        }
        self.trial(expansion, failures)
    }

    /// The one failure of a test whose graph has no plan with its values.
    fn does_not_expand(&self, found: &Diagnostics) -> Diagnostic {
        let graph = &self.test.graph;
        let message = format!("test expectation failed: `{}` does not compile with these values", graph.value);
        let mut item = Diagnostic::new(Code::P0901, graph.span, message);
        let all = found.sorted();
        let first = all.iter().find(|item| item.severity == Severity::Error);
        if let Some(first) = first {
            let text = format!("{}: {}", first.code, first.message);
            if first.primary.span == graph.span {
                item = item.with_label(text);
            } else {
                item = item.with_secondary(first.primary.span, text);
            }
        }
        item.with_help("give other values, or expect the mistake: `expect diagnostic CODE`")
    }

    fn check(
        &self,
        expect: &ExpectDecl,
        graph: DeclId,
        expansion: Option<&Expansion>,
        failures: &mut Diagnostics,
        plans: &mut BTreeMap<RelPath, String>,
    ) {
        let failure = match (&expect.what, expansion) {
            (Expected::Diagnostic { code, values }, _) => self.diagnostic(graph, expect.span, code.value, values),
            (_, None) => None,
            (Expected::Nodes { pattern, count, min, max }, Some(expansion)) => {
                let bounds = [("count", count), ("min", min), ("max", max)];
                nodes(
                    expansion,
                    expect.span,
                    &pattern.value,
                    bounds.map(|(word, bound)| (word, bound.as_ref().map(|bound| bound.value))),
                )
            }
            (Expected::Path { from, to, exists }, Some(expansion)) => {
                path(expansion, expect.span, &from.value, &to.value, *exists)
            }
            (Expected::Type { output, ty }, Some(expansion)) => {
                self.types(expansion, expect.span, &output.value, &ty.value)
            }
            (Expected::Cost { op, usd }, Some(expansion)) => cost(expansion, expect.span, *op, usd.value),
            // Told of a run, if there is one.
            (Expected::Status { .. } | Expected::Output { .. }, Some(_)) => None,
            (Expected::Plan { file }, Some(expansion)) => self.plan(expansion, expect.span, &file.value, plans),
        };
        if let Some(failure) = failure {
            failures.push(failure);
        }
    }

    fn diagnostic(&self, graph: DeclId, span: Span, code: Code, values: &Values) -> Option<Diagnostic> {
        let mut all = self.test.values.clone();
        all.retain(|(name, _)| !values.iter().any(|(other, _)| other.value == name.value));
        all.extend(values.iter().cloned());
        let mut found = Diagnostics::default();
        expand_values(self.program, graph, self.file, &all, &mut found);
        let said = found.sorted();
        if said.iter().any(|item| item.code == code) {
            return None;
        }
        let first = said.iter().find(|item| item.severity == Severity::Error).or(said.first());
        Some(match first {
            None => {
                Diagnostic::new(Code::P0902, span, format!("`expect diagnostic {code}`, but compilation succeeded"))
                    .with_label("nothing is wrong with these values")
                    .with_help("expect what holds instead, or give values that are wrong")
            }
            Some(first) => {
                let message = format!("`expect diagnostic {code}`, but compilation gave {}", first.code);
                let item = Diagnostic::new(Code::P0902, span, message)
                    .with_help(format!("expect `{}`, or mend what it says", first.code));
                if first.primary.span == span {
                    item.with_label(&first.message)
                } else {
                    item.with_secondary(first.primary.span, format!("{}: {}", first.code, first.message))
                }
            }
        })
    }

    fn types(&self, expansion: &Expansion, span: Span, output: &str, wanted: &Ty) -> Option<Diagnostic> {
        let Some((path, name)) = output.split_once('.') else {
            return Some(failed(span, format!("`{output}` names no output")).with_help("write `NODE.OUTPUT`"));
        };
        let found = instances(expansion, path);
        if found.is_empty() {
            return Some(no_node(expansion, span, path));
        }
        for index in found {
            let instance = &expansion.instances[index];
            let ty = if instance.outputs.get(name).is_some() { self.declared(instance.span, name) } else { None };
            let Some(ty) = ty else {
                let known: Vec<&str> = instance.outputs.names().collect();
                let help =
                    if known.is_empty() { "it has none".to_owned() } else { format!("it has: {}", list(&known)) };
                return Some(failed(span, format!("`{path}` had no output `{name}`")).with_help(help));
            };
            if !same(&ty, wanted) {
                return Some(
                    failed(span, format!("type of `{output}` was `{ty}`"))
                        .with_label(format!("expected `{wanted}`"))
                        .with_secondary(instance.span, "declared here")
                        .with_help("change the one that is wrong"),
                );
            }
        }
        None
    }

    /// The declared type of an output of the node at a place.
    fn declared(&self, at: Span, output: &str) -> Option<Ty> {
        let is_it = |node: &&NodeDecl| node.name.span == at;
        for (index, file) in self.program.files.iter().enumerate() {
            let decls = &file.decls;
            let groups = decls.graphs.iter().map(|graph| &graph.group).chain(&decls.templates);
            let Some(node) = groups.flat_map(|group| &group.nodes).find(is_it) else { continue };
            let Some(recipe) = &node.recipe else {
                let own = node.work.outputs.iter().find(|own| own.name.as_literal() == Some(output));
                return own.map(|own| own.ty.clone());
            };
            let id = self.program.lookup(FileId(index), DeclKind::Recipe, &recipe.value)?;
            let returns = self.program.recipe(id).returns.iter();
            return returns.into_iter().find(|returns| returns.name.value == output).map(|found| found.ty.clone());
        }
        None
    }

    fn plan(
        &self,
        expansion: &Expansion,
        span: Span,
        file: &str,
        plans: &mut BTreeMap<RelPath, String>,
    ) -> Option<Diagnostic> {
        let folder = self.program.file(self.file).path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let joined = if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") };
        let path = match RelPath::new(&joined) {
            Ok(path) => path,
            Err(error) => {
                return Some(
                    Diagnostic::new(Code::P0507, span, error.to_string())
                        .with_help("kept plans lie in the workspace, relative to the spec"),
                );
            }
        };
        let actual = print_plan(expansion, self.program);
        let kept = match self.world.read(&path) {
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(WorldError::NotFound) => None,
            Err(error) => {
                return Some(failed(span, format!("`{file}` could not be read: {error}")).with_help("mend the file"));
            }
        };
        if kept.as_deref() == Some(&actual) {
            return None;
        }
        if self.update {
            plans.insert(path, actual);
            return None;
        }
        let update = "read the difference; if it is right, `partita test --update` keeps the new plan";
        Some(match kept {
            None => {
                failed(span, format!("no plan is kept in `{file}` yet")).with_help("keep it: `partita test --update`")
            }
            Some(kept) => failed(span, format!("the plan of `{}` was not that of `{file}`", expansion.graph))
                .with_label("differs")
                .with_help(difference(&kept, &actual))
                .with_help(update),
        })
    }
}

/// Whether the most that a run costs is as expected.
fn cost(expansion: &Expansion, span: Span, op: Op, wanted: u64) -> Option<Diagnostic> {
    let most = expansion.terms.at_most;
    let holds = match op {
        Op::Eq => most == wanted,
        Op::Ne => most != wanted,
        Op::Lt => most < wanted,
        Op::Le => most <= wanted,
        Op::Gt => most > wanted,
        Op::Ge => most >= wanted,
        Op::Contains | Op::Matches => false,
    };
    if holds {
        return None;
    }
    let usd = format_micro_usd;
    let mut dear: Vec<(u64, &str)> = expansion
        .actions
        .iter()
        .filter_map(|action| {
            let route = action.route.as_ref()?;
            Some((route.at_most.saturating_add(route.once), short(expansion, &action.addr)))
        })
        .filter(|(cost, _)| *cost > 0)
        .collect();
    dear.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    let shown: Vec<String> = dear.iter().map(|(cost, addr)| format!("{addr} ${}", usd(*cost))).collect();
    let names: Vec<&str> = shown.iter().map(String::as_str).collect();
    let help =
        if names.is_empty() { "nothing in it costs".to_owned() } else { format!("what costs: {}", list(&names)) };
    Some(
        failed(span, format!("a run of `{}` costs at most ${}", expansion.graph, usd(most)))
            .with_label(format!("expected {} ${}", op.word(), usd(wanted)))
            .with_help(help),
    )
}

fn failed(span: Span, what: String) -> Diagnostic {
    Diagnostic::new(Code::P0901, span, format!("test expectation failed: {what}"))
}

fn list(names: &[&str]) -> String {
    let mut shown: Vec<&str> = names.iter().take(SHOWN).copied().collect();
    let more = format!("and {} more", names.len().saturating_sub(SHOWN));
    if names.len() > SHOWN {
        shown.push(&more);
    }
    shown.join(", ")
}

/// An address as tests write it: without the graph.
fn short<'a>(expansion: &Expansion, addr: &'a str) -> &'a str {
    addr.strip_prefix(&expansion.graph).and_then(|rest| rest.strip_prefix('/')).unwrap_or(addr)
}

/// The instances at an address or pattern: one, all of a node, or all that match.
fn instances(expansion: &Expansion, pattern: &str) -> Vec<usize> {
    let full = format!("{}/{pattern}", expansion.graph);
    let below = format!("{full}/");
    let all = expansion.instances.iter().enumerate();
    let fits = |addr: &str| {
        if pattern.contains('*') { address_matches(&full, addr) } else { addr == full || addr.starts_with(&below) }
    };
    all.filter(|(_, instance)| fits(&instance.addr)).map(|(index, _)| index).collect()
}

fn no_node(expansion: &Expansion, span: Span, pattern: &str) -> Diagnostic {
    let known: Vec<&str> = expansion.instances.iter().map(|instance| short(expansion, &instance.addr)).collect();
    failed(span, format!("`{pattern}` matched no node")).with_help(format!("the nodes are: {}", list(&known)))
}

fn nodes(expansion: &Expansion, span: Span, pattern: &str, bounds: [(&str, Option<i128>); 3]) -> Option<Diagnostic> {
    let mut found = instances(expansion, pattern);
    // The inventory of a bundle is no node.
    found.retain(|index| expansion.instances[*index].bundle.is_none());
    let number = found.len() as i128;
    let broken = bounds.iter().find_map(|(word, bound)| {
        let bound = (*bound)?;
        match *word {
            "count" if number != bound => Some(format!("expected {bound}")),
            "min" if number < bound => Some(format!("expected at least {bound}")),
            "max" if number > bound => Some(format!("expected at most {bound}")),
            _ => None,
        }
    });
    let free = bounds.iter().all(|(_, bound)| bound.is_none());
    if number == 0 && (free || broken.is_some()) {
        return Some(no_node(expansion, span, pattern));
    }
    let names: Vec<&str> = found.iter().map(|index| short(expansion, &expansion.instances[*index].addr)).collect();
    Some(
        failed(span, format!("the number of nodes at `{pattern}` was {number}"))
            .with_label(broken?)
            .with_help(format!("they are: {}", list(&names))),
    )
}

fn path(expansion: &Expansion, span: Span, from: &str, to: &str, exists: bool) -> Option<Diagnostic> {
    let (starts, ends) = (instances(expansion, from), instances(expansion, to));
    for (pattern, found) in [(from, &starts), (to, &ends)] {
        if found.is_empty() {
            return Some(no_node(expansion, span, pattern));
        }
    }
    let mut home: Vec<usize> = vec![0; expansion.actions.len()];
    for (index, instance) in expansion.instances.iter().enumerate() {
        for action in &instance.actions {
            home[*action] = index;
        }
    }
    // From what depends down to what it depends on: by whom each action was reached.
    let mut reached: BTreeMap<usize, Option<usize>> = BTreeMap::new();
    let mut queue: VecDeque<usize> = VecDeque::new();
    for action in ends.iter().flat_map(|end| &expansion.instances[*end].actions) {
        reached.insert(*action, None);
        queue.push_back(*action);
    }
    while let Some(at) = queue.pop_front() {
        let action = &expansion.actions[at];
        let inputs = action.inputs.iter().filter_map(|input| match input {
            InputIr::Output { action, .. } => Some(*action),
            InputIr::Workspace { .. } => None,
        });
        for next in inputs.chain(action.after.iter().copied()) {
            if let std::collections::btree_map::Entry::Vacant(new) = reached.entry(next) {
                new.insert(Some(at));
                queue.push_back(next);
            }
        }
    }
    let addr = |index: usize| short(expansion, &expansion.instances[index].addr);
    for start in &starts {
        let hit = expansion.instances[*start].actions.iter().copied().find(|action| reached.contains_key(action));
        match (hit, exists) {
            (None, true) => {
                let below: BTreeSet<&str> = reached.keys().map(|action| addr(home[*action])).collect();
                let below: Vec<&str> =
                    below.into_iter().filter(|name| !ends.iter().any(|e| addr(*e) == *name)).collect();
                let help = if below.is_empty() {
                    format!("`{to}` depends on nothing")
                } else {
                    format!("`{to}` depends on: {}", list(&below))
                };
                let what = format!("there was no way from `{}` to `{to}`", addr(*start));
                return Some(failed(span, what).with_label("expected one").with_help(help));
            }
            (Some(action), false) => {
                let mut way = vec![addr(home[action])];
                let mut at = action;
                while let Some(Some(next)) = reached.get(&at) {
                    at = *next;
                    if way.last() != Some(&addr(home[at])) {
                        way.push(addr(home[at]));
                    }
                }
                let what = format!("there was a way from `{}` to `{to}`", addr(*start));
                return Some(
                    failed(span, what).with_label("expected none").with_help(format!("it is: {}", way.join(" → "))),
                );
            }
            _ => {}
        }
    }
    None
}

/// The lines between the common beginning and the common end.
fn difference(kept: &str, actual: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (kept.lines().collect(), actual.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let mut lines = vec![format!("from line {}:", head + 1)];
    for (sign, lines_of) in [("-", &old[head..old.len() - tail]), ("+", &new[head..new.len() - tail])] {
        lines.extend(lines_of.iter().take(LINES).map(|line| format!("{sign} {line}")));
        if lines_of.len() > LINES {
            lines.push(format!("{sign} … {} more lines", lines_of.len() - LINES));
        }
    }
    lines.join("\n")
}

/// Whether a type is the one that a test names. A schema is named there by the end of its path.
fn same(ty: &Ty, wanted: &Ty) -> bool {
    match (ty, wanted) {
        (Ty::Artifact(ArtifactKind::Fitting(schema)), Ty::Artifact(ArtifactKind::Unread(path))) => {
            let path = path.value.trim_start_matches("./");
            schema.path == path || schema.path.strip_suffix(path).is_some_and(|rest| rest.ends_with('/'))
        }
        // A document that fits a schema is a document.
        (Ty::Artifact(ArtifactKind::Fitting(_)), Ty::Artifact(ArtifactKind::Json)) => true,
        _ => ty == wanted,
    }
}
