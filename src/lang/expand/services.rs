//! Services of a graph, evaluated; which actions use them, and what these wait for. Leaves out how
//! they are run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::addresses;
use crate::diag::{Code, Diagnostic};
use crate::lang::ast::{GraphDecl, Name, Probe, ServiceDecl};
use crate::lang::eval::{Env, Evaluator, Val};
use crate::lang::expand::Expander;
use crate::lang::expand::actions::Site;
use crate::lang::ir::{BodyIr, InputIr, ProbeIr, ServiceIr};
use crate::lang::program::DeclKind;

/// How long a service has to become ready, unless it says so itself.
const WITHIN_MS: u64 = 30_000;

/// The variables that hold the addresses of the services of a graph.
pub(super) fn address_variables(graph: &GraphDecl, vars: &mut BTreeMap<String, Val>) {
    for port in graph.services.iter().flat_map(|service| &service.ports) {
        for name in [&port.address.value, &port.number.value] {
            vars.insert(name.clone(), Val::Text(format!("{{{{{name}}}}}")));
        }
    }
}

/// Names with those that hold around them.
pub(super) fn with_outer(outer: &Arc<[String]>, own: &[Name]) -> Arc<[String]> {
    if own.is_empty() {
        return Arc::clone(outer);
    }
    let all: BTreeSet<String> = outer.iter().cloned().chain(own.iter().map(|name| name.value.clone())).collect();
    all.into_iter().collect()
}

impl<'a> Expander<'a, '_> {
    /// Evaluates the services that actions use, wires their inputs, and has the actions wait for what
    /// these take in.
    pub(super) fn make_services(&mut self, graph: &'a GraphDecl, env: &Arc<Env>) {
        if graph.services.is_empty() {
            // Nothing has an address, and a name that is used has been reported.
            return;
        }
        self.choose_services();
        let used: BTreeSet<String> = self.actions.iter().flat_map(|action| action.ir.services.clone()).collect();
        for service in graph.services.iter().filter(|service| used.contains(&service.name.value)) {
            if self.exhausted {
                return;
            }
            let Some(ir) = self.service(service, env, graph) else { continue };
            let waits: Vec<_> = ir
                .inputs
                .iter()
                .filter_map(|input| match input {
                    InputIr::Output { action, span, .. } => Some((*action, *span)),
                    InputIr::Workspace { .. } => None,
                })
                .collect();
            let closing = waits.iter().flat_map(|(action, span)| {
                let of = &self.instances[self.actions[*action].instance];
                of.closing.iter().map(|(gate, _)| (*gate, *span))
            });
            let waits: Vec<_> = waits.iter().copied().chain(closing).collect();
            if !waits.is_empty() {
                for action in self.actions.iter_mut().filter(|action| action.ir.services.contains(&ir.name)) {
                    action.after.extend(waits.iter().copied());
                    action.ir.after = action.after.keys().copied().collect();
                }
            }
            self.services.push(ir);
        }
    }

    /// Which services each action uses: those of its node. Of the steps of a recipe, those that are
    /// given an address of the service; all, if none is. Reports an address without its service.
    fn choose_services(&mut self) {
        let mut by_instance: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, action) in self.actions.iter().enumerate() {
            by_instance.entry(action.instance).or_default().push(index);
        }
        for (instance, actions) in by_instance {
            let declared = Arc::clone(&self.instances[instance].services);
            let given: Vec<BTreeSet<String>> = actions.iter().map(|index| self.addressed(*index)).collect();
            for (index, given) in actions.iter().zip(&given) {
                if let Some(name) = given.iter().find(|name| !declared.contains(*name)) {
                    let span = self.instances[instance].ir.span;
                    if !self.diagnostics.has_error_within(span) {
                        let addr = &self.actions[*index].ir.addr;
                        self.diagnostics.push(
                            Diagnostic::new(
                                Code::P0511,
                                span,
                                format!("`{addr}` is given an address of service `{name}`, and does not use it"),
                            )
                            .with_help(format!("add `uses {name}`, so that the service runs while it does")),
                        );
                    }
                }
            }
            for name in declared.iter() {
                let none = given.iter().all(|given| !given.contains(name));
                for (index, given) in actions.iter().zip(&given) {
                    let ir = &mut self.actions[*index].ir;
                    if matches!(ir.body, BodyIr::Exec { .. }) && (none || given.contains(name)) {
                        ir.services.push(name.clone());
                    }
                }
            }
        }
    }

    /// The services whose addresses an action is given.
    fn addressed(&self, index: usize) -> BTreeSet<String> {
        let ir = &self.actions[index].ir;
        let args: &[String] = if let BodyIr::Exec { args, .. } = &ir.body { args } else { &[] };
        let texts = args.iter().chain(ir.env.values());
        texts.flat_map(|text| addresses(text)).map(|address| address.service.to_owned()).collect()
    }

    fn service(&mut self, service: &'a ServiceDecl, env: &Arc<Env>, graph: &'a GraphDecl) -> Option<ServiceIr> {
        let addr = format!("{}/{}", self.placed[0].prefix, service.name.value);
        let file = self.home;
        let site = Site { addr: addr.clone(), file, env, placed: 0, instance: None, recipe: None };
        let ready = service.ready.as_ref()?;
        let ir = *self.action(site, &service.work, None, graph)?;
        if let Some((variable, secret)) = ir.secrets.iter().next() {
            let name = &service.name.value;
            self.diagnostics.push(
                Diagnostic::new(
                    Code::P0313,
                    service.name.span,
                    format!("secret `{secret}` may not flow into service `{name}`"),
                )
                .with_label(format!("it would hold it in `{variable}`"))
                .with_help(
                    "several actions use a service, and what it prints is kept: give the secret to the action that needs \
                     it, by `env NAME=(secret)…` there",
                ),
            );
            return None;
        }
        let mut tools: BTreeSet<String> = ir.tools.iter().cloned().collect();
        let evaluator = Evaluator { addresses: true, ..Evaluator::new(env, 0) };
        let only = || service.ports.first().map(|port| port.name.value.clone());
        let probe = match &ready.probe {
            Probe::Http { path, port } => ProbeIr::Http {
                port: port.as_ref().map(|port| port.value.clone()).or_else(only)?,
                path: evaluator.text(path, self.diagnostics)?,
            },
            Probe::Tcp(port) => ProbeIr::Tcp { port: port.value.clone() },
            Probe::Log(pattern) => ProbeIr::Log { pattern: pattern.value.clone() },
            Probe::Command { tool, args } => {
                let mut texts = Vec::new();
                for arg in args {
                    evaluator.splice(arg, &mut texts, self.diagnostics)?;
                }
                let id = self.program.lookup(file, DeclKind::Tool, &tool.value)?;
                let name = self.plan_tool(id);
                tools.insert(name.clone());
                ProbeIr::Command { tool: name, args: texts }
            }
        };
        let within_ms = match &ready.within {
            Some(text) => {
                let value = evaluator.text(text, self.diagnostics)?;
                self.duration(&value, text.span)?
            }
            None => WITHIN_MS,
        };
        let known: BTreeSet<&str> = graph.services.iter().map(|service| service.name.value.as_str()).collect();
        let args: &[String] = if let BodyIr::Exec { args, .. } = &ir.body { args } else { &[] };
        let mentioned = args.iter().chain(ir.env.values()).flat_map(|text| addresses(text));
        for address in mentioned.filter(|address| known.contains(address.service)) {
            if address.service != service.name.value {
                self.diagnostics.push(
                    Diagnostic::new(
                        Code::P0511,
                        service.name.span,
                        format!(
                            "service `{}` is given an address of service `{}`",
                            service.name.value, address.service
                        ),
                    )
                    .with_help(
                        "services do not wait for each other: start both from one script, or join them at a node",
                    ),
                );
                return None;
            }
        }
        let mut inputs = Vec::new();
        for input in &service.work.inputs {
            self.input(env, 0, None, input, &mut inputs)?;
        }
        Some(ServiceIr {
            name: service.name.value.clone(),
            body: ir.body,
            env: ir.env,
            inputs,
            tools: tools.into_iter().collect(),
            cwd: ir.cwd,
            ports: service
                .ports
                .iter()
                .map(|port| {
                    let scheme = port.scheme.as_ref().map_or("http", |scheme| scheme.value.as_str());
                    (port.name.value.clone(), scheme.to_owned())
                })
                .collect(),
            probe,
            within_ms,
            span: service.name.span,
        })
    }
}
