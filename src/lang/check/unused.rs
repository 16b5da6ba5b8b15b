//! The lint for what is declared and never used: parameters and imports of every file, and in a root
//! file that holds a graph also its constants, tools, recipes, templates, gates, groups and who serves what; what another file
//! declares is there for whoever imports it. Leaves out loop variables, which name instances.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::diag::{Applicability, Code, Diagnostic, Diagnostics, Edit, Fix};
use crate::lang::ast::{
    Body, BundleDecl, Cond, Expr, FileDecls, Group, InputDecl, Name, NameRef, NodeDecl, Param, Probe, RenderVar,
    ServiceDecl, Work,
};
use crate::lang::eval::heads;
use crate::lang::gate::GateDecl;
use crate::lang::program::{DeclId, DeclKind, FileId, Program};
use crate::lang::text::Text;
use crate::lang::ty::Ty;

/// Reports what no declaration of the program uses. For a program without errors: a misspelt use is
/// a use.
pub(crate) fn check_unused(program: &Program, diagnostics: &mut Diagnostics) {
    let mut used: BTreeSet<(DeclKind, DeclId)> = BTreeSet::new();
    for index in 0..program.files.len() {
        let file = FileId(index);
        // What others publish is theirs to tidy.
        let is_foreign = program.file(file).package.is_some();
        let shown = !program.file(file).path.starts_with("<std>/") && !is_foreign;
        let mut all = Uses::default();
        let decls = &program.file(file).decls;
        decls.lets.iter().for_each(|decl| all.exprs(&decl.values));
        decls.tools.iter().flat_map(|decl| &decl.uses).for_each(|name| all.name(DeclKind::Tool, name));
        all.domain(decls);
        for decl in &decls.recipes {
            let mut own = Uses::default();
            decl.steps.iter().for_each(|step| own.work(&step.work));
            decl.gates.iter().for_each(|gate| own.gate(gate));
            own.params(&decl.params);
            report_params(&decl.params, &own, shown, diagnostics);
            all.extend(own);
        }
        for gate in &decls.gates {
            let mut own = Uses::default();
            own.gate(gate);
            report_params(&gate.params, &own, shown, diagnostics);
            all.extend(own);
        }
        for graph in decls.graphs.iter().filter(|_| shown) {
            let nodes = graph.group.nodes.iter().map(|node| &node.services);
            let used: BTreeSet<&str> = nodes
                .chain(graph.group.uses.iter().map(|decl| &decl.services))
                .flatten()
                .map(|name| name.value.as_str())
                .collect();
            for service in &graph.services {
                if !used.contains(service.name.value.as_str()) {
                    report("service", &service.name, false, diagnostics);
                }
            }
        }
        for (group, graph) in decls
            .templates
            .iter()
            .map(|group| (group, None))
            .chain(decls.graphs.iter().map(|graph| (&graph.group, Some(graph))))
        {
            let mut own = Uses::default();
            own.group(group);
            if let Some(graph) = graph {
                graph.timeout.iter().for_each(|text| own.text(text));
                graph.services.iter().for_each(|service| own.service(service));
            }
            report_params(&group.params, &own, shown, diagnostics);
            all.extend(own);
        }
        decls.graphs.iter().filter_map(|graph| graph.tenant.as_ref()).for_each(|name| all.name(DeclKind::Tenant, name));
        decls.bundles.iter().for_each(|bundle| all.bundle(bundle));
        decls.tests.iter().flat_map(|test| &test.values).for_each(|(_, values)| all.exprs(values));
        for mock in decls.tests.iter().flat_map(|test| &test.mocks) {
            all.name(if mock.agent { DeclKind::Agent } else { DeclKind::Tool }, &mock.name);
        }
        for name in decls.package.iter().flat_map(|package| &package.exports) {
            for kind in DeclKind::ALL {
                all.name(*kind, name);
            }
        }
        all.types(decls);
        for name in &all.named {
            used.extend(NAMED.iter().filter_map(|kind| Some((*kind, program.lookup(file, *kind, name)?))));
        }
        for (kind, name) in &all.names {
            used.extend(program.lookup(file, *kind, name).map(|id| (*kind, id)));
            if *kind == DeclKind::Let {
                // What is named may be held by a constant.
                let whole = heads(name).find_map(|(head, _)| program.lookup(file, *kind, head));
                used.extend(whole.map(|id| (*kind, id)));
            }
        }
        used.extend(all.records.iter().map(|id| (DeclKind::Record, *id)));
        for import in decls.imports.iter().filter(|_| shown) {
            let alias = &import.alias;
            let behind = |name: &str| name.strip_prefix(alias.value.as_str()).is_some_and(|rest| rest.starts_with('.'));
            if !all.names.iter().any(|(_, name)| behind(name)) && !all.named.iter().any(|name| behind(name)) {
                report("import", alias, false, diagnostics);
            }
        }
    }
    for file in program.roots.iter().copied() {
        let decls = &program.file(file).decls;
        if decls.graphs.is_empty() {
            continue;
        }
        // A tenant may be chosen on the command line.
        let names: [(DeclKind, Vec<&Name>); 11] = [
            (DeclKind::Let, decls.lets.iter().map(|decl| &decl.name).collect()),
            (DeclKind::Record, decls.records.iter().map(|decl| &decl.name).collect()),
            (DeclKind::Tool, decls.tools.iter().map(|decl| &decl.name).collect()),
            (DeclKind::Recipe, decls.recipes.iter().map(|decl| &decl.name).collect()),
            (DeclKind::Template, decls.templates.iter().map(|decl| &decl.name).collect()),
            (DeclKind::Capability, decls.capabilities.iter().map(|decl| &decl.name).collect()),
            (DeclKind::Provider, decls.providers.iter().map(|decl| &decl.name).collect()),
            (DeclKind::Agent, decls.agents.iter().map(|decl| &decl.name).collect()),
            (DeclKind::Skill, decls.skills.iter().map(|decl| &decl.name).collect()),
            (DeclKind::Gate, decls.gates.iter().map(|decl| &decl.name).collect()),
            (DeclKind::People, decls.people.iter().map(|decl| &decl.name).collect()),
        ];
        for (kind, names) in names {
            for (index, name) in names.into_iter().enumerate() {
                if !used.contains(&(kind, DeclId { file, index })) {
                    report(kind.word(), name, true, diagnostics);
                }
            }
        }
    }
}

fn report_params(params: &[Param], uses: &Uses<'_>, shown: bool, diagnostics: &mut Diagnostics) {
    for param in params.iter().filter(|_| shown) {
        let whole = |name: &str| heads(name).any(|(head, _)| head == param.name.value);
        if !uses.names.iter().any(|(kind, name)| *kind == DeclKind::Let && whole(name)) {
            // Renaming it would change what callers write.
            report("param", &param.name, false, diagnostics);
        }
    }
}

fn report(what: &str, name: &Name, renameable: bool, diagnostics: &mut Diagnostics) {
    if name.value.starts_with('_') {
        return;
    }
    let mut found = Diagnostic::new(Code::P1001, name.span, format!("{what} `{}` is never used", name.value))
        .with_help("remove it, or begin its name with `_` to keep it");
    if renameable {
        let edits = vec![Edit { span: name.span, text: format!("_{}", name.value) }];
        found.fixes.push(Fix { applicability: Applicability::MaybeIncorrect, edits });
    }
    diagnostics.push(found);
}

/// Names mentioned. Variables count as constants, whichever they turn out to be.
#[derive(Default)]
struct Uses<'a> {
    names: BTreeSet<(DeclKind, Cow<'a, str>)>,
    /// Texts that may be names of declarations, of whatever kind.
    named: BTreeSet<&'a str>,
    records: BTreeSet<DeclId>,
}

/// The kinds of declaration that values name.
const NAMED: [DeclKind; 6] =
    [DeclKind::Tool, DeclKind::Agent, DeclKind::Capability, DeclKind::Gate, DeclKind::Skill, DeclKind::Recipe];

impl<'a> Uses<'a> {
    fn extend(&mut self, other: Uses<'a>) {
        self.names.extend(other.names);
        self.named.extend(other.named);
        self.records.extend(other.records);
    }

    fn name(&mut self, kind: DeclKind, name: &'a Name) {
        self.names.insert((kind, Cow::Borrowed(&name.value)));
    }

    fn text(&mut self, text: &'a Text) {
        for (path, _, _) in text.holes() {
            let name = if let [only] = path { Cow::Borrowed(only.as_str()) } else { Cow::Owned(path.join(".")) };
            self.names.insert((DeclKind::Let, name));
        }
    }

    fn expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Text(text) | Expr::Ref(text) => self.text(text),
            Expr::Var(name) => self.name(DeclKind::Let, name),
            Expr::Fields(fields, _) => fields.iter().for_each(|(_, values)| self.exprs(values)),
            Expr::List(items, _) => self.exprs(items),
            Expr::Int(..) | Expr::Bool(..) | Expr::Secret(_) => {}
        }
    }

    /// Records and what values of name types name: of constants, parameters and fields.
    fn types(&mut self, decls: &'a FileDecls) {
        let groups = decls.templates.iter().chain(decls.graphs.iter().map(|graph| &graph.group));
        let nodes = groups.clone().flat_map(|group| &group.nodes).map(|node| &node.with);
        let uses = groups.clone().flat_map(|group| &group.uses).map(|decl| &decl.with);
        for (_, value) in nodes.chain(uses).flatten() {
            self.named(value);
        }
        let params = groups.map(|group| &group.params).chain(decls.recipes.iter().map(|recipe| &recipe.params));
        let fields = decls.records.iter().map(|record| &record.fields);
        for param in params.chain(fields).flatten() {
            self.ty(&param.ty);
            if param.ty.names_things() {
                param.default.iter().flatten().for_each(|value| self.named(value));
            }
        }
        for decl in &decls.lets {
            self.ty(&decl.ty);
            if decl.ty.names_things() {
                decl.values.iter().for_each(|value| self.named(value));
            }
        }
        let given = decls.tests.iter().flat_map(|test| &test.values);
        given.flat_map(|(_, values)| values).for_each(|value| self.named(value));
    }

    fn ty(&mut self, ty: &Ty) {
        match ty {
            Ty::List(inner) | Ty::Map(inner) => self.ty(inner),
            Ty::Record(record) => drop(self.records.insert(record.id)),
            _ => {}
        }
    }

    /// A text that may be a name: of whatever kind, since what takes it may be of another file.
    fn named(&mut self, value: &'a Expr) {
        match value {
            Expr::Text(text) => {
                self.named.extend(text.as_literal());
            }
            Expr::Fields(fields, _) => {
                fields.iter().flat_map(|(_, values)| values).for_each(|value| self.named(value));
            }
            Expr::List(items, _) => items.iter().for_each(|value| self.named(value)),
            _ => {}
        }
    }

    /// A tool by its name, or by a variable.
    fn tool(&mut self, tool: &'a NameRef) {
        match tool {
            NameRef::Bare(name) => self.name(DeclKind::Tool, name),
            NameRef::Var(name) => self.name(DeclKind::Let, name),
        }
    }

    fn exprs(&mut self, exprs: &'a [Expr]) {
        for expr in exprs {
            self.expr(expr);
        }
    }

    fn params(&mut self, params: &'a [Param]) {
        params.iter().filter_map(|param| param.default.as_ref()).for_each(|default| self.exprs(default));
    }

    fn condition(&mut self, condition: &'a Cond) {
        match condition {
            Cond::Triple(name, _, value) => {
                self.name(DeclKind::Let, name);
                self.expr(value);
            }
            Cond::All(all) | Cond::Any(all) | Cond::Not(all) => all.iter().for_each(|inner| self.condition(inner)),
        }
    }

    fn input(&mut self, input: &'a InputDecl) {
        input.paths.iter().chain(&input.select).for_each(|text| self.text(text));
        input.from.iter().for_each(|from| self.expr(from));
    }

    /// What tenants, tools that serve, capabilities, providers, agents and skills mention.
    fn domain(&mut self, decls: &'a FileDecls) {
        for provides in decls.tools.iter().flat_map(|tool| &tool.offer.provides) {
            // A tool that would serve is no use of what it would serve.
            if let Some(how) = &provides.how {
                self.exprs(&how.args);
                how.env.iter().for_each(|(_, value)| self.expr(value));
                how.outputs.iter().for_each(|(_, path)| self.text(path));
            }
        }
        for tenant in &decls.tenants {
            tenant.allow_capability.iter().flatten().for_each(|name| self.name(DeclKind::Capability, name));
        }
        for capability in &decls.capabilities {
            self.params(&capability.accepts);
            for candidate in &capability.candidates {
                for kind in [DeclKind::Tool, DeclKind::Agent, DeclKind::Capability] {
                    self.name(kind, &candidate.name);
                }
                candidate.skill.iter().for_each(|name| self.name(DeclKind::Skill, name));
            }
        }
        for provider in &decls.providers {
            provider.command.iter().flat_map(|tool| &tool.uses).for_each(|name| self.name(DeclKind::Tool, name));
        }
        for agent in &decls.agents {
            self.name(DeclKind::Provider, &agent.provider);
            agent.allow_tool.iter().flatten().for_each(|name| self.name(DeclKind::Tool, name));
            let capabilities = agent.allow_capability.iter().flatten().chain(&agent.deny_capability);
            capabilities.for_each(|name| self.name(DeclKind::Capability, name));
            agent.skills.iter().for_each(|name| self.name(DeclKind::Skill, name));
        }
        decls.skills.iter().for_each(|skill| self.params(&skill.vars));
    }

    fn work(&mut self, work: &'a Work) {
        if let Some(ask) = &work.ask {
            ask.capability.iter().for_each(|name| self.name(DeclKind::Capability, name));
            ask.agent.iter().for_each(|name| self.name(DeclKind::Agent, name));
            ask.skill.iter().for_each(|name| self.name(DeclKind::Skill, name));
            ask.with.iter().for_each(|(_, value)| self.expr(value));
        }
        match &work.body {
            Some(Body::Exec { tool, args }) => {
                self.tool(tool);
                self.exprs(args);
            }
            Some(Body::Copy(text) | Body::Write(text)) => self.text(text),
            Some(Body::Render { template, vars }) => {
                self.text(template);
                for (_, var) in vars {
                    match var {
                        RenderVar::Value(expr) => self.expr(expr),
                        RenderVar::File(text) | RenderVar::Json(text) => self.text(text),
                    }
                }
            }
            Some(Body::MergeJson(texts)) => texts.iter().for_each(|text| self.text(text)),
            None => {}
        }
        work.inputs.iter().for_each(|input| self.input(input));
        for output in &work.outputs {
            output.digest.iter().for_each(|text| self.text(text));
            self.text(&output.name);
            output.path.iter().for_each(|path| self.text(path));
        }
        work.env.iter().for_each(|(_, value)| self.expr(value));
        work.tools.iter().for_each(|tool| self.tool(tool));
        work.cwd.iter().chain(&work.timeout).for_each(|text| self.text(text));
        work.take.iter().for_each(|take| self.expr(take));
        work.holds.iter().for_each(|hold| self.expr(&hold.amount));
    }

    /// A path names the parameter it begins with; headings are those of the one artifact.
    fn gate(&mut self, gate: &'a GateDecl) {
        self.params(&gate.params);
        self.work(&gate.work);
        gate.require.iter().for_each(|require| self.requirement(&require.condition));
        if !gate.sections.is_empty() {
            let artifacts = gate.params.iter().filter(|param| matches!(param.ty, Ty::Artifact(_)));
            artifacts.for_each(|param| self.name(DeclKind::Let, &param.name));
        }
        gate.approvers.iter().for_each(|approvers| self.name(DeclKind::People, &approvers.group));
    }

    fn requirement(&mut self, condition: &'a Cond) {
        match condition {
            Cond::Triple(path, _, value) => {
                let head = path.value.split('.').next().unwrap_or_default();
                self.names.insert((DeclKind::Let, Cow::Borrowed(head)));
                self.expr(value);
            }
            Cond::All(all) | Cond::Any(all) | Cond::Not(all) => all.iter().for_each(|inner| self.requirement(inner)),
        }
    }

    fn service(&mut self, service: &'a ServiceDecl) {
        self.work(&service.work);
        let Some(ready) = &service.ready else { return };
        ready.within.iter().for_each(|text| self.text(text));
        match &ready.probe {
            Probe::Http { path, .. } => self.text(path),
            Probe::Tcp(_) | Probe::Log(_) => {}
            Probe::Command { tool, args } => {
                self.name(DeclKind::Tool, tool);
                self.exprs(args);
            }
        }
    }

    fn node(&mut self, node: &'a NodeDecl) {
        node.recipe.iter().for_each(|name| self.name(DeclKind::Recipe, name));
        node.with.iter().for_each(|(_, value)| self.expr(value));
        node.for_each.iter().for_each(|each| self.expr(&each.list));
        node.when.iter().for_each(|condition| self.condition(condition));
        node.after.iter().for_each(|after| self.text(&after.target));
        node.rollback.iter().for_each(|target| self.text(target));
        for guard in &node.guards {
            self.name(DeclKind::Gate, &guard.gate);
            guard.with.iter().for_each(|(_, value)| self.expr(value));
        }
        self.work(&node.work);
    }

    fn group(&mut self, group: &'a Group) {
        self.params(&group.params);
        group.nodes.iter().for_each(|node| self.node(node));
        for decl in &group.uses {
            self.name(DeclKind::Template, &decl.template);
            decl.with.iter().for_each(|(_, value)| self.expr(value));
        }
    }

    fn bundle(&mut self, bundle: &'a BundleDecl) {
        self.name(DeclKind::Graph, &bundle.from);
        bundle
            .version
            .iter()
            .chain(bundle.includes.iter().filter_map(|include| include.to.as_ref()))
            .for_each(|text| self.text(text));
    }
}
