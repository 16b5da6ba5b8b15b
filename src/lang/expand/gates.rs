//! Guards of nodes as actions of their own: what they read, what must hold, whom they wait for; and the
//! consent that levels of automation ask for; gates of recipes. Leaves out how anything is judged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::{Decimal, RelPath, parse_duration_ms, parse_size_bytes, slug};
use crate::diag::{Code, Diagnostic, Span};
use crate::lang::ast::{Cond, Expr, GraphDecl, Name, NodeDecl, Op, RecipeDecl, Work};
use crate::lang::eval::{Env, Evaluator, Val};
use crate::lang::expand::actions::Site;
use crate::lang::expand::asks::PendingAsk;
use crate::lang::expand::{Expander, PendingAction, leak};
use crate::lang::gate::{
    ApprovalIr, Fact, GateDecl, GateNoteIr, MemberDecl, MemberIr, PredicateIr, SubjectIr, VERDICT, ValueIr, facts,
    reads, text_of,
};
use crate::lang::ir::{ActionIr, BodyIr, GuardIr, InputIr};
use crate::lang::program::{DeclKind, FileId};
use crate::lang::ty::{ArtifactKind, Ty};

/// The group of those who may consent where none is named.
const ANYBODY: &str = "anybody";

/// Something a gate reads, before it is known who makes it.
pub(super) struct PendingSubject {
    name: String,
    reads: &'static str,
    of: Of,
    span: Span,
}

/// What a gate reads.
enum Of {
    /// What a reference names, relative to a group.
    Text(String, usize),
    /// The verdict of an action.
    Action(usize),
}

impl<'a> Expander<'a, '_> {
    /// Adds the gates of an instance to its actions.
    pub(super) fn guard_actions(&mut self, instance: usize, graph: &GraphDecl) {
        let pending = &self.instances[instance];
        let (node, file, env, placed) = (pending.node, pending.file, Arc::clone(&pending.env), pending.placed);
        let addr = pending.ir.addr.clone();
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        for guard in &node.guards {
            if self.exhausted {
                return;
            }
            let Some(id) = self.program.lookup(file, DeclKind::Gate, &guard.gate.value) else { continue };
            let gate = self.program.gate(id);
            let name = self.program.plan_name(self.home, DeclKind::Gate, id);
            let count = taken.entry(name.clone()).or_default();
            *count += 1;
            let number = if *count > 1 { format!("-{count}") } else { String::new() };
            // A name with its file is no segment of an address.
            let segment = if name == gate.name.value { name.clone() } else { slug(&name) };
            let at = format!("{addr}/guard/{segment}{number}");
            let home = self.constants(id.file);
            let vars = self.bind_all(&gate.params, &guard.with, &env, &home, placed);
            let with = self.handed_over(&gate.params, &vars);
            self.instances[instance].ir.guards.push(GuardIr { gate: id, with });
            let inner = Env::inside(&home, vars.clone());
            self.gate(&at, gate, name, id.file, &vars, inner, placed, instance, guard.gate.span, graph, true);
        }
        self.consent(instance, node, &addr, env, placed);
    }

    /// Adds the gates of a recipe that an instance applies: they judge what it returned.
    pub(super) fn closing_gates(
        &mut self,
        recipe: &'a RecipeDecl,
        file: FileId,
        env: &Arc<Env>,
        placed: usize,
        instance: usize,
        graph: &GraphDecl,
    ) {
        if recipe.gates.is_empty() {
            return;
        }
        let addr = self.instances[instance].ir.addr.clone();
        let within = addr.strip_prefix(&self.placed[placed].prefix).unwrap_or(&addr).trim_start_matches('/').to_owned();
        for gate in &recipe.gates {
            if self.exhausted {
                return;
            }
            let mut vars = BTreeMap::new();
            for param in &gate.params {
                let name = &param.name.value;
                if recipe.returns.iter().any(|returns| returns.name.value == *name) {
                    vars.insert(name.clone(), Val::Ref(format!("{within}.{name}"), placed, param.name.span));
                } else if let Some(value) = env.get(name) {
                    vars.insert(name.clone(), value.clone());
                }
            }
            let inner = Env::inside(env, vars.clone());
            let at = format!("{addr}/gate/{}", gate.name.value);
            let name = gate.name.value.clone();
            self.gate(&at, gate, name, file, &vars, inner, placed, instance, gate.name.span, graph, false);
        }
    }

    /// Adds a gate of an instance. `before`: whether it decides if the instance starts, or if what it left
    /// may be used.
    #[expect(clippy::too_many_arguments, reason = "the gate's and the instance's sides of one application")]
    fn gate(
        &mut self,
        at: &str,
        gate: &'a GateDecl,
        name: String,
        file: FileId,
        vars: &BTreeMap<String, Val>,
        env: Arc<Env>,
        placed: usize,
        instance: usize,
        span: Span,
        graph: &GraphDecl,
        before: bool,
    ) {
        let made = match gate.kind.value.as_str() {
            "command" => {
                let site =
                    Site { addr: at.to_owned(), file, env: &env, placed, instance: Some(instance), recipe: None };
                self.action(site, &gate.work, None, graph).map(|ir| (ir, Vec::new()))
            }
            "approval" => self.approval_gate(at, gate, file),
            "agent" => {
                let verdict = self.verdict(at, gate, file, &env, placed, instance, graph, before);
                verdict.and_then(|verdict| self.predicate_gate(at, gate, vars, &env, placed, Some(verdict), false))
            }
            _ => self.predicate_gate(at, gate, vars, &env, placed, None, before),
        };
        let Some((mut ir, subjects)) = made else { return };
        ir.span = span;
        let mut note = note(gate, name);
        if let BodyIr::Gate(_, require) = &mut ir.body {
            in_order(require, &mut note);
        }
        ir.gate = Some(Box::new(note));
        self.push_gate(ir, subjects, &gate.work, env, placed, instance, span, before);
    }

    /// Adds the action that asks an agent for a verdict.
    #[expect(clippy::too_many_arguments, reason = "as for the gate itself")]
    fn verdict(
        &mut self,
        at: &str,
        gate: &'a GateDecl,
        file: FileId,
        env: &Arc<Env>,
        placed: usize,
        instance: usize,
        graph: &GraphDecl,
        before: bool,
    ) -> Option<usize> {
        let ask = gate.work.ask.as_ref()?;
        let addr = format!("{at}/{}", VERDICT.0);
        let site = Site { addr, file, env, placed, instance: Some(instance), recipe: None };
        let ir = self.action(site, &gate.work, None, graph)?;
        let action = self.actions.len();
        self.asks.push(PendingAsk { action, file, work: &gate.work, ask, verdict: true });
        let pending = PendingAction::new(ir, &gate.work, Arc::clone(env), placed, instance);
        self.actions.push(PendingAction { decides: before, ..pending });
        Some(action)
    }

    /// The consent that the level of automation asks for.
    fn consent(&mut self, instance: usize, node: &'a NodeDecl, addr: &str, env: Arc<Env>, placed: usize) {
        let Some(level) = self.automation_of(instance) else { return };
        self.instances[instance].ir.automation = Some(level.value.clone());
        for index in self.instances[instance].ir.actions.clone() {
            if let Some(pending) = self.actions.get_mut(index) {
                pending.ir.automation = Some(level.value.clone());
            }
        }
        if !matches!(level.value.as_str(), "assist" | "manual") {
            return;
        }
        let approval = ApprovalIr {
            group: ANYBODY.to_owned(),
            members: None,
            min: 1,
            distinct: false,
            expires_ms: None,
            by_name: level.value == "manual",
        };
        let mut ir = bare(format!("{addr}/guard/{}", level.value), BodyIr::Approval(approval), level.span);
        ir.gate = Some(Box::new(GateNoteIr {
            name: level.value.clone(),
            kind: "automation".to_owned(),
            concern: "artifact",
            messages: vec![None],
            places: vec![level.span],
        }));
        self.push_gate(ir, Vec::new(), &node.work, env, placed, instance, level.span, true);
    }

    /// How much of an instance starts by itself: what its node says, or else its recipe.
    pub(super) fn automation_of(&self, instance: usize) -> Option<&'a Name> {
        let pending = &self.instances[instance];
        let node: &'a NodeDecl = pending.node;
        let of_recipe = || {
            let id = self.program.lookup(pending.file, DeclKind::Recipe, &node.recipe.as_ref()?.value)?;
            self.program.recipe(id).automation.as_ref()
        };
        node.automation.as_ref().or_else(of_recipe)
    }

    #[expect(clippy::too_many_arguments, reason = "an action with all that wiring it needs")]
    fn push_gate(
        &mut self,
        ir: Box<ActionIr>,
        subjects: Vec<PendingSubject>,
        work: &'a Work,
        env: Arc<Env>,
        placed: usize,
        instance: usize,
        span: Span,
        before: bool,
    ) {
        if self.spend(ir.addr.len() + 256, span, &ir.addr).is_none() {
            return;
        }
        let index = self.actions.len();
        let pending = &mut self.instances[instance];
        if before { &mut pending.gates } else { &mut pending.closing }.push((index, span));
        let pending = PendingAction::new(ir, work, env, placed, instance);
        self.actions.push(PendingAction { decides: before, subjects: Some(subjects), ..pending });
    }

    fn approval_gate(
        &mut self,
        at: &str,
        gate: &GateDecl,
        file: FileId,
    ) -> Option<(Box<ActionIr>, Vec<PendingSubject>)> {
        let approvers = gate.approvers.as_ref()?;
        let people = self.program.lookup(file, DeclKind::People, &approvers.group.value);
        let members = people.map(|id| {
            let member = |member: &MemberDecl| MemberIr {
                name: member.name.value.clone(),
                key: member.key.as_ref().map(|key| key.value.clone()),
                email: member.email.clone(),
            };
            self.program.people(id).members.iter().map(member).collect()
        });
        let approval = ApprovalIr {
            group: match people {
                Some(id) => self.program.plan_name(self.home, DeclKind::People, id),
                None => approvers.group.value.clone(),
            },
            members,
            min: approvers.min.value,
            distinct: approvers.distinct,
            expires_ms: gate.expires_ms,
            by_name: false,
        };
        Some((bare(at.to_owned(), BodyIr::Approval(approval), gate.name.span), Vec::new()))
    }

    #[expect(clippy::too_many_arguments, reason = "as for the gate itself")]
    fn predicate_gate(
        &mut self,
        at: &str,
        gate: &'a GateDecl,
        vars: &BTreeMap<String, Val>,
        env: &Arc<Env>,
        placed: usize,
        verdict: Option<usize>,
        all: bool,
    ) -> Option<(Box<ActionIr>, Vec<PendingSubject>)> {
        let mut subjects = Vec::new();
        let mut kinds = BTreeMap::new();
        let mut require = Vec::new();
        if let Some(action) = verdict {
            kinds.insert(VERDICT.0, &ArtifactKind::Json);
            subjects.push(PendingSubject {
                name: VERDICT.0.to_owned(),
                reads: reads(&ArtifactKind::Json),
                of: Of::Action(action),
                span: gate.name.span,
            });
            require.push(PredicateIr::Test(format!("{}.pass", VERDICT.0), Op::Eq, ValueIr::Flag(true)));
        }
        let asked = heads(gate);
        for param in &gate.params {
            let Ty::Artifact(kind) = &param.ty else { continue };
            kinds.insert(param.name.value.as_str(), kind);
            // What no requirement is about need not be there, unless a guard hands it over.
            let Some(Val::Ref(text, group, span)) = vars.get(&param.name.value) else { continue };
            if !all && !asked.contains(param.name.value.as_str()) {
                continue;
            }
            subjects.push(PendingSubject {
                name: param.name.value.clone(),
                reads: reads(kind),
                of: Of::Text(text.clone(), *group),
                span: *span,
            });
        }
        for decl in &gate.require {
            require.push(self.predicate(&decl.condition, &kinds, env, placed)?);
        }
        let artifact = gate.params.iter().find(|param| matches!(param.ty, Ty::Artifact(_)));
        for section in &gate.sections {
            let path = format!("{}.sections", artifact?.name.value);
            require.push(PredicateIr::Test(path, Op::Contains, ValueIr::Text(section.value.clone())));
        }
        Some((bare(at.to_owned(), BodyIr::Gate(Vec::new(), require), gate.name.span), subjects))
    }

    fn predicate(
        &mut self,
        condition: &Cond,
        kinds: &BTreeMap<&str, &ArtifactKind>,
        env: &Arc<Env>,
        placed: usize,
    ) -> Option<PredicateIr> {
        let mut many = |all: &[Cond]| {
            all.iter().map(|inner| self.predicate(inner, kinds, env, placed)).collect::<Option<Vec<_>>>()
        };
        Some(match condition {
            Cond::All(all) => PredicateIr::All(many(all)?),
            Cond::Any(all) => PredicateIr::Any(many(all)?),
            Cond::Not(all) => PredicateIr::Not(many(all)?),
            Cond::Triple(path, op, value) => {
                let (head, rest) = path.value.split_once('.')?;
                let known = facts(kinds.get(head)?);
                let fact = match known {
                    Some(facts) => facts.iter().find(|(name, _)| *name == rest)?.1,
                    None => Fact::Open,
                };
                let value = self.value(value, fact, *op, env, placed)?;
                self.spend(path.value.len() + 64, path.span, &path.value)?;
                PredicateIr::Test(path.value.clone(), *op, value)
            }
        })
    }

    /// A value as it is compared. Reports one that only now turns out to be no number.
    fn value(&mut self, expr: &Expr, fact: Fact, op: Op, env: &Arc<Env>, placed: usize) -> Option<ValueIr> {
        let text = match Evaluator::new(env, placed).expr(expr, self.diagnostics)? {
            Val::Int(int) => return Some(ValueIr::Number(int.to_string())),
            Val::Bool(flag) => return Some(ValueIr::Flag(flag)),
            Val::Text(text) | Val::Decl(text, _) | Val::Node(text, _) => text,
            Val::List(_) | Val::Ref(..) | Val::Fields(_) => return None,
            Val::Secret(secret, span) => {
                self.diagnostics.push(leak(&secret, span, "what a gate requires"));
                return None;
            }
        };
        self.spend(text.len(), expr.span(), &text)?;
        let unit = match fact {
            Fact::Size => parse_size_bytes(&text),
            Fact::Duration => parse_duration_ms(&text),
            _ => None,
        };
        if let Some(unit) = unit {
            return Some(ValueIr::Number(unit.to_string()));
        }
        let counted = matches!(fact, Fact::Count | Fact::Size | Fact::Duration);
        let ordered = matches!(op, Op::Lt | Op::Le | Op::Gt | Op::Ge);
        if !counted && !ordered {
            return Some(ValueIr::Text(text));
        }
        if Decimal::parse(&text).is_some() {
            return Some(ValueIr::Number(text));
        }
        self.diagnostics.push(
            Diagnostic::new(Code::P0301, expr.span(), format!("`{text}` is not a number, and is compared with one"))
                .with_help("give a number; one with a point in quotes: `\"0.9\"`"),
        );
        None
    }

    /// Wires what a gate reads: each subject to where it is staged.
    pub(super) fn wire_subjects(&mut self, index: usize) {
        let Some(subjects) = self.actions[index].subjects.take() else { return };
        let mut wired = Vec::new();
        let mut inputs = Vec::new();
        for subject in subjects {
            let mut targets = match &subject.of {
                Of::Text(text, group) => match self.targets(text, *group, subject.span, false) {
                    Some(targets) => {
                        targets.into_iter().map(|target| (target.action, target.output)).collect::<Vec<_>>()
                    }
                    None => continue,
                },
                Of::Action(action) => vec![(*action, VERDICT.0.to_owned())],
            };
            // The order in which a loop names its instances is no fact of what it reads.
            targets.sort_by(|(a, own), (b, other)| {
                (&self.actions[*a].ir.addr, own).cmp(&(&self.actions[*b].ir.addr, other))
            });
            let several = targets.len() > 1;
            let mut at = Vec::new();
            for (number, (action, output)) in targets.into_iter().enumerate() {
                let place =
                    if several { format!("in/{}/{number:06}", subject.name) } else { format!("in/{}", subject.name) };
                if self.spend(place.len() + output.len() + 96, subject.span, &place).is_none() {
                    return;
                }
                let Ok(dest) = RelPath::new(&place) else { continue };
                at.push(dest.clone());
                inputs.push(InputIr::Output { dest: Some(dest), action, output, select: None, span: subject.span });
            }
            wired.push(SubjectIr { name: subject.name, reads: subject.reads, at });
        }
        let ir = &mut self.actions[index].ir;
        if let BodyIr::Gate(subjects, _) = &mut ir.body {
            *subjects = wired;
            ir.inputs = inputs;
        }
    }
}

/// Puts requirements, all of which must hold, in an order of their own: a plan does not change by the order
/// in which they are written.
fn in_order(require: &mut Vec<PredicateIr>, note: &mut GateNoteIr) {
    if require.len() != note.messages.len() {
        return;
    }
    require.iter_mut().for_each(sort);
    let said = note.messages.drain(..).zip(note.places.drain(..));
    let mut all: Vec<_> = require.drain(..).zip(said).collect();
    all.sort_by(|(a, (said, _)), (b, (other, _))| (a, said).cmp(&(b, other)));
    for (predicate, (message, place)) in all {
        require.push(predicate);
        note.messages.push(message);
        note.places.push(place);
    }
}

fn sort(predicate: &mut PredicateIr) {
    if let PredicateIr::All(all) | PredicateIr::Any(all) | PredicateIr::Not(all) = predicate {
        all.iter_mut().for_each(sort);
        all.sort();
    }
}

/// An action that only decides, or is made up by the compiler.
pub(super) fn bare(addr: String, body: BodyIr, span: Span) -> Box<ActionIr> {
    Box::new(ActionIr {
        addr,
        body,
        class: "pure".to_owned(),
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        tools: Vec::new(),
        cwd: None,
        timeout_ms: None,
        whole_ms: None,
        limits: BTreeMap::new(),
        retry: None,
        holds: Vec::new(),
        take: None,
        idempotent: false,
        services: Vec::new(),
        after: Vec::new(),
        route: None,
        ask: None,
        own: false,
        gate: None,
        rollback: None,
        automation: None,
        span,
    })
}

/// What a gate is known by: its requirements with their words and places.
fn note(gate: &GateDecl, name: String) -> GateNoteIr {
    let or_general = |message: &Option<String>| message.clone().or_else(|| gate.message.clone());
    let mut messages: Vec<Option<String>> = gate.require.iter().map(|decl| or_general(&decl.message)).collect();
    let mut places: Vec<Span> = gate.require.iter().map(|decl| decl.span).collect();
    if gate.verdict.is_some() {
        messages.insert(0, gate.message.clone());
        places.insert(0, gate.name.span);
    }
    for section in &gate.sections {
        messages.push(gate.message.clone());
        places.push(text_of(section).span());
    }
    if messages.is_empty() {
        messages.push(gate.message.clone());
        places.push(gate.name.span);
    }
    let of_kind = |wanted: &ArtifactKind| {
        gate.params.iter().any(|param| matches!(&param.ty, Ty::Artifact(kind) if kind == wanted))
    };
    let concern = if gate.kind.value == "metric" {
        "performance"
    } else if of_kind(&ArtifactKind::Sbom) || gate.require.iter().any(|decl| of_severity(&decl.condition)) {
        "security"
    } else if of_kind(&ArtifactKind::Junit) {
        "tests"
    } else {
        "artifact"
    };
    GateNoteIr { name, kind: gate.kind.value.clone(), concern, messages, places }
}

/// The artifacts that requirements of a gate are about.
fn heads(gate: &GateDecl) -> BTreeSet<&str> {
    fn of<'c>(condition: &'c Cond, found: &mut BTreeSet<&'c str>) {
        match condition {
            Cond::Triple(path, ..) => drop(found.insert(path.value.split('.').next().unwrap_or_default())),
            Cond::All(all) | Cond::Any(all) | Cond::Not(all) => all.iter().for_each(|inner| of(inner, found)),
        }
    }
    let mut found = BTreeSet::new();
    gate.require.iter().for_each(|decl| of(&decl.condition, &mut found));
    if !gate.sections.is_empty() {
        let artifact = gate.params.iter().find(|param| matches!(param.ty, Ty::Artifact(_)));
        found.extend(artifact.map(|param| param.name.value.as_str()));
    }
    found
}

/// Whether a condition asks how severe something is.
fn of_severity(condition: &Cond) -> bool {
    match condition {
        Cond::Triple(path, ..) => path.value.split('.').any(|part| part == "severity"),
        Cond::All(all) | Cond::Any(all) | Cond::Not(all) => all.iter().any(of_severity),
    }
}
