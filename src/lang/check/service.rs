//! Checks of services: the process, the ports its readiness asks, and who uses them. Leaves out the
//! places addresses flow to, which are known only with values: see `expand`.

use crate::diag::{Code, Diagnostic, Diagnostics, Span, did_you_mean};
use crate::lang::ast::{GraphDecl, Group, Name, PortDecl, Probe, ServiceDecl};
use crate::lang::check::scope::some;
use crate::lang::check::work::{Place, check_argument, check_segment, check_work};
use crate::lang::check::{Scope, tool, unique};
use crate::lang::shape::enough;

/// Checks the services of a graph, in the scope of its nodes.
pub(super) fn check_services(place: &Place<'_>, graph: &GraphDecl, scope: &Scope, diagnostics: &mut Diagnostics) {
    for (index, service) in graph.services.iter().enumerate() {
        if index % 64 == 63 && enough(diagnostics) {
            return;
        }
        check_service(place, service, scope, diagnostics);
    }
}

fn check_service(place: &Place<'_>, service: &ServiceDecl, scope: &Scope, diagnostics: &mut Diagnostics) {
    check_segment(&service.name, "service", diagnostics);
    unique(service.ports.iter().map(|port| &port.name), "port", diagnostics);
    for port in &service.ports {
        check_segment(&port.name, "port", diagnostics);
    }
    check_work(place, &service.work, scope, diagnostics);
    let Some(ready) = &service.ready else { return };
    if let Some(within) = &ready.within {
        scope.check_text(within, diagnostics);
    }
    match &ready.probe {
        Probe::Http { path, port } => {
            scope.check_text(path, diagnostics);
            match (port, service.ports.as_slice()) {
                (Some(port), ports) => known_port(port, ports, diagnostics),
                (None, []) => no_ports(path.span, service, diagnostics),
                (None, [_]) => {}
                (None, ports) => diagnostics.push(
                    Diagnostic::new(
                        Code::P0104,
                        path.span,
                        format!(
                            "service `{}` has {} ports, and `ready` does not say which",
                            service.name.value,
                            ports.len()
                        ),
                    )
                    .with_help(format!("add `port=NAME`: {}", names(ports))),
                ),
            }
        }
        Probe::Tcp(port) if service.ports.is_empty() => no_ports(port.span, service, diagnostics),
        Probe::Tcp(port) => known_port(port, &service.ports, diagnostics),
        Probe::Log(_) => {}
        Probe::Command { tool: name, args } => {
            tool(place.program, place.file, name, diagnostics);
            for arg in args {
                check_argument(arg, scope, true, diagnostics);
            }
        }
    }
}

fn names(ports: &[PortDecl]) -> String {
    some(&ports.iter().map(|port| port.name.value.as_str()).collect::<Vec<_>>())
}

fn known_port(name: &Name, ports: &[PortDecl], diagnostics: &mut Diagnostics) {
    if !ports.iter().any(|port| port.name.value == name.value) {
        diagnostics.push(
            Diagnostic::new(Code::P0201, name.span, format!("cannot find port `{}`", name.value))
                .with_suggestion(did_you_mean(&name.value, ports.iter().map(|port| port.name.value.as_str())))
                .with_help(format!("ports of the service: {}", names(ports))),
        );
    }
}

fn no_ports(span: Span, service: &ServiceDecl, diagnostics: &mut Diagnostics) {
    diagnostics.push(
        Diagnostic::new(Code::P0104, span, format!("service `{}` has no port that could be asked", service.name.value))
            .with_secondary(service.name.span, "declared here")
            .with_help("add `port http`: a free one is found for each run, and given to it as `PORT`"),
    );
}

/// Checks the services that the nodes and templates of a group use. `None`: of a template, which has
/// none of its own.
pub(super) fn check_uses(graph: Option<&GraphDecl>, group: &Group, diagnostics: &mut Diagnostics) {
    let nodes = group.nodes.iter().map(|node| &node.services);
    for name in nodes.chain(group.uses.iter().map(|decl| &decl.services)).flatten() {
        let Some(graph) = graph else {
            diagnostics.push(
                Diagnostic::new(Code::P0107, name.span, "services belong to graphs, and this is a template")
                    .with_help("say `uses` where a graph uses the template, and give it addresses by `param`"),
            );
            continue;
        };
        let lost = group.lost.iter().any(|lost| lost.value == name.value);
        if lost || graph.services.iter().any(|service| service.name.value == name.value) {
            continue;
        }
        let known: Vec<&str> = graph.services.iter().map(|service| service.name.value.as_str()).collect();
        let suggestion = did_you_mean(&name.value, known.iter().copied());
        if graph.services_known || suggestion.is_some() {
            diagnostics.push(
                Diagnostic::new(Code::P0201, name.span, format!("cannot find service `{}`", name.value))
                    .with_suggestion(suggestion)
                    .with_help(if known.is_empty() {
                        format!(
                            "declare it in the graph: `service {} {{ run …; port http; ready http=\"/\" }}`",
                            name.value
                        )
                    } else {
                        format!("services here: {}", some(&known))
                    }),
            );
        }
    }
}

/// The diagnostic for an address that stands where it cannot be given.
pub(crate) fn misplaced_address(span: Span, name: &str) -> Diagnostic {
    Diagnostic::new(Code::P0510, span, format!("the address `{name}` is not known until the service runs"))
        .with_label("an address cannot stand here")
        .with_help("it may be given to processes alone, as it is: in arguments, in `env`, and by parameters to these")
}
