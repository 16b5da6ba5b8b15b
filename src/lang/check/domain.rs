//! Checks of tenants, tools that serve, capabilities, providers, agents and skills: names, interfaces
//! that must fit, and what is asked of whom. Leaves out which candidate serves: see `route`, and what
//! a template says: see `prompt`.

use std::collections::{BTreeMap, BTreeSet};

use crate::diag::{Code, Diagnostic, Diagnostics, Span, did_you_mean};
use crate::lang::ast::{
    AgentDecl, AskDecl, CapabilityDecl, HowDecl, Name, Param, ProviderDecl, ProvidesDecl, RecipeDecl, SkillDecl,
    TenantDecl, ToolDecl, Work,
};
use crate::lang::check::scope::some;
use crate::lang::check::work::{check_argument, check_env, check_path};
use crate::lang::check::{Callee, Scope, check_arguments, check_params, unique};
use crate::lang::program::{COMPARED, DeclId, DeclKind, FileId, Program};
use crate::lang::ty::Ty;

/// Checks the declarations of a file.
pub(super) fn check_domain(program: &Program, file: FileId, constants: &Scope, diagnostics: &mut Diagnostics) {
    let decls = &program.file(file).decls;
    for tenant in &decls.tenants {
        check_tenant(tenant, diagnostics);
    }
    for tool in &decls.tools {
        check_offer(program, file, tool, constants, diagnostics);
    }
    for capability in &decls.capabilities {
        check_capability(program, file, capability, constants, diagnostics);
    }
    for provider in &decls.providers {
        for name in provider.command.iter().flat_map(|command| &command.uses) {
            program.resolve(file, DeclKind::Tool, name, diagnostics);
        }
        check_prices(provider, diagnostics);
    }
    for agent in &decls.agents {
        check_agent(program, file, agent, diagnostics);
    }
    for skill in &decls.skills {
        check_params(&skill.vars, constants, diagnostics);
    }
}

fn check_tenant(tenant: &TenantDecl, diagnostics: &mut Diagnostics) {
    unique(tenant.secrets.iter().map(|secret| &secret.name), "secret", diagnostics);
    unique(tenant.sign_keys.iter().flatten(), "key", diagnostics);
}

fn check_offer(program: &Program, file: FileId, tool: &ToolDecl, constants: &Scope, diagnostics: &mut Diagnostics) {
    let offer = &tool.offer;
    unique(offer.provides.iter().map(|provides| &provides.capability), "capability", diagnostics);
    unique(offer.secrets.iter().map(|need| &need.secret), "secret", diagnostics);
    for provides in &offer.provides {
        let Some(id) = program.resolve(file, DeclKind::Capability, &provides.capability, diagnostics) else { continue };
        if let Some(how) = &provides.how {
            check_how(program.capability(id), provides, how, constants, diagnostics);
        }
    }
    let costs = offer.costs.iter().any(|cost| cost.usd.value > 0);
    if costs && offer.tier.as_ref().is_none_or(|tier| tier.value == "primary") {
        let span = offer.tier.as_ref().map_or(tool.name.span, |tier| tier.span);
        diagnostics.push(
            Diagnostic::new(
                Code::P1006,
                span,
                format!("tool `{}` is of the primary tier and costs money", tool.name.value),
            )
            .with_help("who spends should have been asked: write `tier=secondary`, which a tenant must allow"),
        );
    }
    // A tool that is a file of the workspace is pinned by what is in it.
    if !offer.provides.is_empty() && tool.version.is_none() && !tool.exec.value.contains('/') {
        diagnostics.push(
            Diagnostic::new(
                Code::P1003,
                tool.name.span,
                format!("tool `{}` serves a capability, in whichever version is found", tool.name.value),
            )
            .with_help("say which will do, as `version=\">=1.2, <2\"`, and how it tells: `exec NAME fingerprint=\"--version\"`"),
        );
    }
}

/// The block of `provides`: its arguments and outputs are those of the capability.
fn check_how(
    capability: &CapabilityDecl,
    provides: &ProvidesDecl,
    how: &HowDecl,
    constants: &Scope,
    diagnostics: &mut Diagnostics,
) {
    // To a tool an artifact is the path it is staged at.
    let params: Vec<Param> = capability
        .accepts
        .iter()
        .map(|param| {
            let mut param = param.clone();
            if let Ty::Artifact(_) = param.ty {
                param.ty = Ty::Path;
            }
            param
        })
        .collect();
    let scope = constants.with_params(&params, capability.accepts_known);
    for arg in &how.args {
        check_argument(arg, &scope, false, diagnostics);
    }
    unique(how.env.iter().map(|(name, _)| name), "variable", diagnostics);
    for (name, value) in &how.env {
        check_env(name, value, &scope, diagnostics);
    }
    unique(how.outputs.iter().map(|(name, _)| name), "output", diagnostics);
    let known: Vec<&str> = capability.returns.iter().map(|returns| returns.name.value.as_str()).collect();
    for (name, path) in &how.outputs {
        scope.check_text(path, diagnostics);
        check_path(path, "a place below the action's folder", diagnostics);
        if capability.returns_known && !known.contains(&name.value.as_str()) {
            diagnostics.push(
                Diagnostic::new(
                    Code::P0401,
                    name.span,
                    format!("capability `{}` does not return `{}`", capability.name.value, name.value),
                )
                .with_secondary(capability.name.span, "declared here")
                .with_suggestion(did_you_mean(&name.value, known.iter().copied()))
                .with_help(if known.is_empty() {
                    "it returns nothing".to_owned()
                } else {
                    format!("it returns: {}", some(&known))
                }),
            );
        }
    }
    for returns in &capability.returns {
        let left = how.outputs.iter().any(|(name, _)| name.value == returns.name.value);
        let misspelt = how.outputs.iter().any(|(name, _)| !known.contains(&name.value.as_str()));
        if !left && !misspelt {
            let name = &returns.name.value;
            diagnostics.push(
                Diagnostic::new(
                    Code::P0402,
                    provides.capability.span,
                    format!("nothing says where `{name}`, which the capability returns, is left"),
                )
                .with_secondary(returns.name.span, "returned here")
                .with_help(format!("add `output {name} path=\"…\"` to the block")),
            );
        }
    }
}

fn check_capability(
    program: &Program,
    file: FileId,
    capability: &CapabilityDecl,
    constants: &Scope,
    diagnostics: &mut Diagnostics,
) {
    check_params(&capability.accepts, constants, diagnostics);
    unique(capability.returns.iter().map(|returns| &returns.name), "artifact", diagnostics);
    unique(capability.candidates.iter().map(|candidate| &candidate.name), "candidate", diagnostics);
    for returns in &capability.returns {
        if !matches!(returns.ty, Ty::Artifact(_) | Ty::Poison) {
            diagnostics.push(
                Diagnostic::new(
                    Code::P0301,
                    returns.name.span,
                    format!("a capability returns artifacts, and `{}` is of type `{}`", returns.name.value, returns.ty),
                )
                .with_help("write `type=artifact.file`, or what kind of file it is"),
            );
        }
    }
    let own = program.lookup(file, DeclKind::Capability, &capability.name.value);
    for candidate in &capability.candidates {
        match resolve_candidate(program, file, &candidate.name, diagnostics) {
            Some((DeclKind::Tool, id)) => {
                let tool = program.tool(id);
                let provides = |provides: &ProvidesDecl| {
                    program.lookup(id.file, DeclKind::Capability, &provides.capability.value) == own
                };
                if own.is_some() && !tool.offer.provides.iter().any(provides) {
                    diagnostics.push(
                        Diagnostic::new(
                            Code::P0606,
                            candidate.name.span,
                            format!(
                                "tool `{}` does not say that it provides `{}`",
                                candidate.name.value, capability.name.value
                            ),
                        )
                        .with_secondary(tool.name.span, "the tool is declared here")
                        .with_help(format!(
                            "add `provides {}` to its block, or remove the candidate",
                            capability.name.value
                        )),
                    );
                }
            }
            Some((DeclKind::Agent, id)) => check_serving_agent(program, capability, candidate, id, diagnostics),
            Some((_, id)) => check_stand_in(capability, &candidate.name, program.capability(id), diagnostics),
            None => {}
        }
        if let (Some(skill), Some((DeclKind::Tool | DeclKind::Capability, _))) =
            (&candidate.skill, lookup_candidate(program, file, &candidate.name.value))
        {
            diagnostics.push(
                Diagnostic::new(Code::P0107, skill.span, "skills are agents', and this candidate is none")
                    .with_help("remove `skill=`"),
            );
        }
    }
    if let Some(own) = own {
        check_circle(program, own, diagnostics);
    }
}

/// What a candidate's name stands for: a tool, an agent, or another capability.
pub(crate) fn lookup_candidate(program: &Program, file: FileId, name: &str) -> Option<(DeclKind, DeclId)> {
    [DeclKind::Tool, DeclKind::Agent, DeclKind::Capability]
        .into_iter()
        .find_map(|kind| Some((kind, program.lookup(file, kind, name)?)))
}

fn resolve_candidate(
    program: &Program,
    file: FileId,
    name: &Name,
    diagnostics: &mut Diagnostics,
) -> Option<(DeclKind, DeclId)> {
    if let Some(found) = lookup_candidate(program, file, &name.value) {
        return Some(found);
    }
    // Misspelt, it is more likely the name of an agent than a tool nobody declared.
    let agents: Vec<String> = program.visible(file, DeclKind::Agent).take(COMPARED).collect();
    let kind = match did_you_mean(&name.value, agents.iter().map(String::as_str)) {
        Some(_) => DeclKind::Agent,
        None => DeclKind::Tool,
    };
    program.resolve(file, kind, name, diagnostics);
    None
}

/// The skill by which an agent does what it is asked: the one named, or its only one. Reports a
/// choice that nobody has made.
pub(crate) fn skill_of(
    program: &Program,
    agent: DeclId,
    named: Option<(FileId, &Name)>,
    at: &Name,
    diagnostics: &mut Diagnostics,
) -> Option<DeclId> {
    let decl = program.agent(agent);
    let own: Vec<Option<DeclId>> =
        decl.skills.iter().map(|name| program.lookup(agent.file, DeclKind::Skill, &name.value)).collect();
    if let Some((file, name)) = named {
        let found = program.resolve(file, DeclKind::Skill, name, diagnostics)?;
        if !own.contains(&Some(found)) {
            diagnostics.push(
                Diagnostic::new(
                    Code::P0203,
                    name.span,
                    format!("`{}` is not a skill of agent `{}`", name.value, decl.name.value),
                )
                .with_secondary(decl.name.span, "the agent is declared here")
                .with_help(format!("add `uses {}` to its block", name.value)),
            );
        }
        return Some(found);
    }
    match own.as_slice() {
        [] => None,
        [one] => *one,
        // Which one a misspelt name stands for is not known.
        all if all.contains(&None) => None,
        _ => {
            let names: Vec<&str> = decl.skills.iter().map(|name| name.value.as_str()).collect();
            diagnostics.push(
                Diagnostic::new(
                    Code::P0104,
                    at.span,
                    format!("agent `{}` has {} skills, and nothing says which is meant", decl.name.value, names.len()),
                )
                .with_secondary(decl.name.span, "the agent is declared here")
                .with_help(format!("add `skill=NAME`, one of: {}", some(&names))),
            );
            None
        }
    }
}

/// An agent serves by a skill whose variables the capability fills.
fn check_serving_agent(
    program: &Program,
    capability: &CapabilityDecl,
    candidate: &crate::lang::ast::CandidateDecl,
    agent: DeclId,
    diagnostics: &mut Diagnostics,
) {
    let named = candidate.skill.as_ref().map(|skill| (agent.file, skill));
    let Some(skill) = skill_of(program, agent, named, &candidate.name, diagnostics) else { return };
    let skill = program.skill(skill);
    if !capability.accepts_known || !skill.vars_known {
        return;
    }
    for var in &skill.vars {
        match capability.accepts.iter().find(|param| param.name.value == var.name.value) {
            Some(param) if !param.ty.fits(&var.ty) => diagnostics.push(
                Diagnostic::new(
                    Code::P0301,
                    candidate.name.span,
                    format!(
                        "`{}` of capability `{}` is of type `{}`, and the skill of this agent takes `{}`",
                        param.name.value, capability.name.value, param.ty, var.ty
                    ),
                )
                .with_secondary(var.name.span, "the variable of the skill")
                .with_secondary(param.name.span, "the parameter of the capability")
                .with_help("make the two types agree"),
            ),
            None if var.default.is_none() => diagnostics.push(
                Diagnostic::new(
                    Code::P0302,
                    candidate.name.span,
                    format!(
                        "the skill of this agent needs `{}`, which capability `{}` does not accept",
                        var.name.value, capability.name.value
                    ),
                )
                .with_secondary(var.name.span, "declared here, without a default")
                .with_help(format!("add `accepts {} type={}` to the capability", var.name.value, var.ty)),
            ),
            _ => {}
        }
    }
}

/// A capability that stands for another must take what is given and leave what is returned.
fn check_stand_in(outer: &CapabilityDecl, at: &Name, inner: &CapabilityDecl, diagnostics: &mut Diagnostics) {
    if !(outer.accepts_known && outer.returns_known && inner.accepts_known && inner.returns_known) {
        return;
    }
    let mut misfit = |message: String, there: &Name| {
        diagnostics.push(
            Diagnostic::new(Code::P0301, at.span, message)
                .with_secondary(there.span, "declared here")
                .with_help("a capability serves another whose interface it fits"),
        );
    };
    for param in &outer.accepts {
        match inner.accepts.iter().find(|other| other.name.value == param.name.value) {
            Some(other) if param.ty.fits(&other.ty) => {}
            Some(other) => misfit(
                format!("`{}` takes `{}` as `{}`, not as `{}`", at.value, param.name.value, other.ty, param.ty),
                &other.name,
            ),
            None => misfit(format!("`{}` does not accept `{}`", at.value, param.name.value), &param.name),
        }
    }
    for param in inner.accepts.iter().filter(|param| param.default.is_none()) {
        if !outer.accepts.iter().any(|other| other.name.value == param.name.value) {
            misfit(format!("`{}` needs `{}`, which is not accepted here", at.value, param.name.value), &param.name);
        }
    }
    for returns in &outer.returns {
        match inner.returns.iter().find(|other| other.name.value == returns.name.value) {
            Some(other) if other.ty.fits(&returns.ty) => {}
            Some(other) => misfit(
                format!("`{}` returns `{}` as `{}`, not as `{}`", at.value, returns.name.value, other.ty, returns.ty),
                &other.name,
            ),
            None => misfit(format!("`{}` does not return `{}`", at.value, returns.name.value), &returns.name),
        }
    }
}

/// Reports a capability that its own candidates lead back to. Each circle is reported at the
/// capability in it that was declared first.
fn check_circle(program: &Program, own: DeclId, diagnostics: &mut Diagnostics) {
    // By whom each was reached; in breadth, so that the circle told of is a shortest one.
    let mut reached: BTreeMap<DeclId, (DeclId, &Name)> = BTreeMap::new();
    let mut todo = std::collections::VecDeque::from([own]);
    while let Some(id) = todo.pop_front() {
        for candidate in &program.capability(id).candidates {
            let Some((DeclKind::Capability, next)) = lookup_candidate(program, id.file, &candidate.name.value) else {
                continue;
            };
            if next < own {
                continue;
            }
            if let std::collections::btree_map::Entry::Vacant(entry) = reached.entry(next) {
                entry.insert((id, &candidate.name));
                todo.push_back(next);
            }
        }
    }
    let Some((mut from, mut name)) = reached.get(&own).copied() else { return };
    let mut chain = vec![(own, name)];
    while from != own {
        (from, name) = reached[&from];
        chain.push((from, name));
        if chain.len() > reached.len() {
            break;
        }
    }
    let names: Vec<&str> = std::iter::once(own)
        .chain(
            chain
                .iter()
                .rev()
                .map(|(_, name)| program.lookup(from.file, DeclKind::Capability, &name.value).unwrap_or(own)),
        )
        .take(7)
        .map(|id| program.capability(id).name.value.as_str())
        .collect();
    let first = chain.last().map_or(name.span, |(_, name)| name.span);
    let mut diagnostic = Diagnostic::new(
        Code::P0605,
        first,
        format!("candidates lead back to the capability itself: {}", names.join(" → ")),
    );
    for (_, name) in chain.iter().rev().skip(1).take(6) {
        diagnostic = diagnostic.with_secondary(name.span, "and on by this");
    }
    diagnostics.push(diagnostic.with_help("remove one of these candidates"));
}

fn check_agent(program: &Program, file: FileId, agent: &AgentDecl, diagnostics: &mut Diagnostics) {
    if let Some(id) = program.resolve(file, DeclKind::Provider, &agent.provider, diagnostics) {
        check_models(program.provider(id), agent, diagnostics);
    }
    for name in agent.allow_tool.iter().flatten() {
        program.resolve(file, DeclKind::Tool, name, diagnostics);
    }
    unique(&agent.skills, "skill", diagnostics);
    for name in &agent.skills {
        program.resolve(file, DeclKind::Skill, name, diagnostics);
    }
    // What is denied must be meant: a misspelt name denies nothing.
    for name in &agent.deny_capability {
        program.resolve(file, DeclKind::Capability, name, diagnostics);
    }
    // What is allowed may be the agent's own, which nobody declares.
    let known: Vec<String> = program.visible(file, DeclKind::Capability).take(COMPARED).collect();
    for name in agent.allow_capability.iter().flatten() {
        let near = did_you_mean(&name.value, known.iter().map(String::as_str));
        if !known.contains(&name.value) && near.is_some() {
            program.resolve(file, DeclKind::Capability, name, diagnostics);
        }
    }
    for pattern in &agent.scope {
        if let Err(error) = crate::lang::eval::pattern(&pattern.value) {
            diagnostics.push(
                Diagnostic::new(Code::P0507, pattern.span, error)
                    .with_help("write a pattern relative to the workspace, as `\"src/**\"`"),
            );
        }
    }
}

/// Each price of a provider is of another model, and what it serves by itself has one.
fn check_prices(provider: &ProviderDecl, diagnostics: &mut Diagnostics) {
    let mut seen: BTreeMap<Option<&str>, Span> = BTreeMap::new();
    for priced in &provider.prices {
        let model = priced.model.as_ref().map(|name| name.value.as_str());
        if let Some(first) = seen.insert(model, priced.span) {
            let of = model.map_or("the provider's own model".to_owned(), |model| format!("model `{model}`"));
            diagnostics.push(
                Diagnostic::new(Code::P0202, priced.span, format!("the price of {of} is given twice"))
                    .with_secondary(first, "first given here")
                    .with_help("keep one, or say by `model=NAME` which model it is of"),
            );
        }
    }
    let own = provider.model.as_deref();
    if !provider.prices.is_empty() && !seen.contains_key(&None) && !own.is_some_and(|own| seen.contains_key(&Some(own)))
    {
        diagnostics.push(
            Diagnostic::new(
                Code::P0104,
                provider.name.span,
                format!("provider `{}` has prices, and none for its own model", provider.name.value),
            )
            .with_help("add `price input=\"…\" output=\"…\"`, without `model=`: for whoever names no model"),
        );
    }
}

/// The models that an agent has of its own have prices where its provider has any.
fn check_models(provider: &ProviderDecl, agent: &AgentDecl, diagnostics: &mut Diagnostics) {
    let is_free = provider.prices.iter().all(|priced| priced.price.input == 0 && priced.price.output == 0);
    for (model, _) in agent.models.iter().filter(|_| !is_free) {
        let name = &model.value;
        if provider.own_price(name).is_none() && provider.model.as_ref() != Some(name) {
            let who = &provider.name;
            diagnostics.push(
                Diagnostic::new(
                    Code::P0104,
                    model.span,
                    format!("provider `{}` has no price for model `{name}`", who.value),
                )
                .with_secondary(who.span, "its other models cost")
                .with_help(format!("add `price input=\"…\" output=\"…\" model={name}` to its block")),
            );
        }
    }
}

/// What an ask came to before anything is routed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    /// A declared capability.
    Capability(DeclId),
    /// The agent's own work, by a skill if it has one.
    Agent(DeclId, Option<DeclId>),
}

/// Whether a list of capabilities holds a declared one: it names it, or something of its name.
pub(crate) fn holds(program: &Program, file: FileId, list: &[Name], id: DeclId) -> bool {
    list.iter().any(|name| match program.lookup(file, DeclKind::Capability, &name.value) {
        Some(found) => found == id,
        None => name.value == program.capability(id).name.value,
    })
}

/// Who is meant by an ask; `None` where that cannot be known, which `check_ask` has reported.
pub(crate) fn asked(program: &Program, file: FileId, ask: &AskDecl) -> Option<Asked> {
    let mut quiet = Diagnostics::default();
    resolve_ask(program, file, ask, &mut quiet)
}

fn resolve_ask(program: &Program, file: FileId, ask: &AskDecl, diagnostics: &mut Diagnostics) -> Option<Asked> {
    let agent = match &ask.agent {
        Some(name) => Some(program.resolve(file, DeclKind::Agent, name, diagnostics)?),
        None => None,
    };
    if let Some(name) = &ask.capability {
        if let Some(id) = program.lookup(file, DeclKind::Capability, &name.value) {
            if let Some(agent) = agent {
                check_allowed(program, agent, id, name, diagnostics);
            }
            if let Some(skill) = &ask.skill {
                diagnostics.push(
                    Diagnostic::new(
                        Code::P0107,
                        skill.span,
                        "the capability is served by whoever is chosen, by a skill of theirs",
                    )
                    .with_help("name the skill at the candidate, or ask the agent alone"),
                );
            }
            return Some(Asked::Capability(id));
        }
        // Without a declaration it is the agent's own work, if the agent may do that.
        let own = |agent: &DeclId| {
            let allowed = program.agent(*agent).allow_capability.as_deref().unwrap_or_default();
            allowed.iter().any(|allowed| allowed.value == name.value)
        };
        if !agent.as_ref().is_some_and(own) {
            program.resolve(file, DeclKind::Capability, name, diagnostics);
            return None;
        }
    }
    let agent = agent?;
    let at = ask.agent.as_ref()?;
    let named = ask.skill.as_ref().map(|skill| (file, skill));
    let before = diagnostics.sorted().len();
    let skill = skill_of(program, agent, named, at, diagnostics);
    if skill.is_none() && diagnostics.sorted().len() > before {
        return None;
    }
    Some(Asked::Agent(agent, skill))
}

/// Reports an agent that asks for what it may not use.
fn check_allowed(program: &Program, agent: DeclId, capability: DeclId, at: &Name, diagnostics: &mut Diagnostics) {
    let decl = program.agent(agent);
    let denied = decl
        .deny_capability
        .iter()
        .find(|name| program.lookup(agent.file, DeclKind::Capability, &name.value) == Some(capability));
    let (name, used) = (&decl.name.value, &at.value);
    if let Some(denied) = denied {
        diagnostics.push(
            Diagnostic::new(Code::P0602, at.span, format!("agent `{name}` uses `{used}`, which is denied to it"))
                .with_secondary(denied.span, "denied here")
                .with_help("ask for another capability, name another agent, or lift the denial"),
        );
    } else if let Some(allowed) = &decl.allow_capability
        && !holds(program, agent.file, allowed, capability)
    {
        let span = allowed.first().map_or(decl.name.span, |first| first.span);
        diagnostics.push(
            Diagnostic::new(Code::P0602, at.span, format!("agent `{name}` uses `{used}`, which is not allowed to it"))
                .with_secondary(span, "what is allowed")
                .with_help(format!("add `allow-capability {used}` to the agent, or name another agent")),
        );
    }
}

/// Checks what a node or step asks for, and what it gives.
pub(super) fn check_ask(
    program: &Program,
    file: FileId,
    ask: &AskDecl,
    work: &Work,
    scope: &Scope,
    diagnostics: &mut Diagnostics,
) {
    let Some(name) = ask.name() else { return };
    let Some(asked) = resolve_ask(program, file, ask, diagnostics) else { return };
    let (what, callee, params, known) = match asked {
        Asked::Capability(id) => {
            let decl = program.capability(id);
            if let Some(output) = work.outputs.first() {
                diagnostics.push(
                    Diagnostic::new(Code::P0107, output.span, "what is left is said by the capability")
                        .with_secondary(decl.name.span, "declared here")
                        .with_help(
                            "a step or node that asks for one leaves what its `returns` say: remove this `output`",
                        ),
                );
            }
            ("capability", &decl.name, &decl.accepts, decl.accepts_known)
        }
        Asked::Agent(_, Some(skill)) => {
            let SkillDecl { name, vars, vars_known, .. } = program.skill(skill);
            ("skill", name, vars, *vars_known)
        }
        Asked::Agent(agent, None) => {
            let decl = program.agent(agent);
            if let Some((given, _)) = ask.with.first() {
                diagnostics.push(
                    Diagnostic::new(
                        Code::P0303,
                        given.span,
                        format!("agent `{}` has no skill that takes this", decl.name.value),
                    )
                    .with_secondary(decl.name.span, "declared here")
                    .with_help("give it one by `uses SKILL`, whose `var`s are what `with` gives"),
                );
            }
            return;
        }
    };
    let callee = Callee { what, name: callee, params, known };
    check_arguments(&callee, &ask.with, name, scope, diagnostics);
}

/// Something left under a name.
#[derive(Clone, Copy)]
pub(crate) struct Left<'a> {
    pub(crate) name: &'a Name,
    pub(crate) ty: &'a Ty,
}

/// What a piece of work leaves, by literal names: its own outputs, what the capability returns that
/// it asks for, or for an agent's own work in a recipe what the recipe returns and no other step
/// leaves. `None` where some of that is not known.
pub(crate) fn leaves<'a>(
    program: &'a Program,
    file: FileId,
    work: &'a Work,
    recipe: Option<&'a RecipeDecl>,
) -> Option<Vec<Left<'a>>> {
    let Some(ask) = &work.ask else { return Some(Vec::new()) };
    match asked(program, file, ask)? {
        Asked::Capability(id) => {
            let decl = program.capability(id);
            decl.returns_known.then(|| decl.returns.iter().map(|r| Left { name: &r.name, ty: &r.ty }).collect())
        }
        Asked::Agent(..) => {
            if let (true, Some(recipe)) = (work.outputs.is_empty(), recipe) {
                let others: BTreeSet<&str> = recipe
                    .steps
                    .iter()
                    .flat_map(|step| &step.work.outputs)
                    .filter_map(|output| output.name.as_literal())
                    .collect();
                let asked_of_others: BTreeSet<&str> = recipe
                    .steps
                    .iter()
                    .filter(|step| !std::ptr::eq(&raw const step.work, std::ptr::from_ref(work)))
                    .filter_map(|step| match asked(program, file, step.work.ask.as_ref()?)? {
                        Asked::Capability(id) => Some(&program.capability(id).returns),
                        Asked::Agent(..) => None,
                    })
                    .flatten()
                    .map(|returns| returns.name.value.as_str())
                    .collect();
                let free = |name: &str| !others.contains(name) && !asked_of_others.contains(name);
                let left = recipe.returns.iter().filter(|returns| free(&returns.name.value));
                return Some(left.map(|r| Left { name: &r.name, ty: &r.ty }).collect());
            }
            Some(Vec::new())
        }
    }
}
