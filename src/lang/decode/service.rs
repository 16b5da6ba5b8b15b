//! Services to their declarations: the process, its ports, its readiness. Leaves out names.

use crate::base::parse_duration_ms;
use crate::diag::{Code, Diagnostic, did_you_mean};
use crate::lang::ast::{Body, PoliciesDecl, PortDecl, Probe, ReadyDecl, ServiceDecl};
use crate::lang::decode::{Decoder, child, children, first_name, name_of, prop, prop_name};
use crate::lang::{Node, Spanned};

impl Decoder<'_> {
    pub(super) fn service(&mut self, node: &Node) -> Option<ServiceDecl> {
        let name = first_name(node)?;
        let work = self.work(node);
        if !matches!(work.body, Some(Body::Exec { .. })) && self.sound(node) {
            self.push(
                Diagnostic::new(Code::P0104, name.span, format!("service `{}` runs nothing", name.value))
                    .with_help("add `run TOOL ARG…`: the process that serves, in the foreground"),
            );
        }
        let ports: Vec<PortDecl> = children(node, "port")
            .filter_map(|child| {
                let port = first_name(child)?;
                let scheme = prop_name(child, "scheme");
                if let Some(scheme) = &scheme
                    && !scheme.value.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
                {
                    self.push(
                        Diagnostic::new(Code::P0301, scheme.span, format!("`{}` is no scheme", scheme.value))
                            .with_help(
                                "write it as in an address: `http`, `postgres`, or `none` for `HOST:PORT` alone",
                            ),
                    );
                }
                let spell =
                    |number: &str| Spanned { value: format!("{}.{}{number}", name.value, port.value), span: port.span };
                Some(PortDecl { address: spell(""), number: spell(".port"), name: port, scheme })
            })
            .collect();
        let ready = child(node, "ready").and_then(|child| self.ready(child));
        if child(node, "ready").is_none() && self.sound(node) {
            self.push(
                Diagnostic::new(
                    Code::P0104,
                    name.span,
                    format!("service `{}` does not say how to tell that it is ready", name.value),
                )
                .with_help(
                    "add `ready http=\"/health\"`, `ready tcp=PORT`, `ready log=\"REGEX\"` or `ready TOOL ARG…`, with \
                     `within=\"10s\"`",
                ),
            );
        }
        Some(ServiceDecl { name, work, ports, ready, span: node.span })
    }

    /// How a graph is run as a whole.
    pub(super) fn policies(&mut self, node: &Node) -> PoliciesDecl {
        let mut policies = PoliciesDecl::default();
        for (word, known) in
            [("schedule", &["critical", "fair", "shortest"][..]), ("cancel", &["cascading", "isolated"])]
        {
            let Some(given) = child(node, word).and_then(first_name) else { continue };
            if !known.contains(&given.value.as_str()) {
                self.push(
                    Diagnostic::new(Code::P0305, given.span, format!("`{}` is no way to {word}", given.value))
                        .with_suggestion(did_you_mean(&given.value, known.iter().copied()))
                        .with_help(format!("write one of {}", known.join(", "))),
                );
                continue;
            }
            let place = if word == "schedule" { &mut policies.schedule } else { &mut policies.cancel };
            *place = Some(given.value);
        }
        if let Some(count) = child(node, "breaker").and_then(|breaker| prop(breaker, "failures")) {
            policies.breaker = self.natural(count, 1);
        }
        if let Some(text) = child(node, "deadline").and_then(|deadline| self.first_text(deadline)) {
            let literal = text.as_literal().unwrap_or("{{ … }}");
            policies.deadline_ms = parse_duration_ms(literal);
            if policies.deadline_ms.is_none() {
                self.bad_unit(text.span, literal, "duration", "`90s`, `20m` or `1h30m`");
            }
        }
        for pattern in children(node, "serialize").flat_map(|child| &child.args).filter_map(name_of) {
            match crate::lang::eval::pattern(&pattern.value) {
                Ok(()) => policies.serialize.push(pattern),
                Err(error) => self.push(
                    Diagnostic::new(Code::P0507, pattern.span, error)
                        .with_help("write a pattern of paths of outputs, as `\"**/Cargo.lock\"`"),
                ),
            }
        }
        policies
    }

    fn ready(&mut self, node: &Node) -> Option<ReadyDecl> {
        let mut probes = Vec::new();
        if let Some(value) = prop(node, "http") {
            let path = self.prop_text(node, "http")?;
            if let Some(literal) = path.as_literal()
                && !literal.starts_with('/')
            {
                self.push(
                    Diagnostic::new(Code::P0301, value.span, format!("`{literal}` is not the path of an address"))
                        .with_help("it begins with `/`: the host and port are the service's own"),
                );
                return None;
            }
            probes.push((value.span, Probe::Http { path, port: prop_name(node, "port") }));
        }
        if let Some(port) = prop_name(node, "tcp") {
            probes.push((port.span, Probe::Tcp(port)));
        }
        if let Some(pattern) = prop_name(node, "log") {
            if let Err(error) = regex::Regex::new(&pattern.value) {
                let why = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
                self.push(
                    Diagnostic::new(Code::P0301, pattern.span, format!("this is not a regular expression: {why}"))
                        .with_help("a special character itself is written with two backslashes: `\"\\\\.\"`"),
                );
                return None;
            }
            probes.push((pattern.span, Probe::Log(pattern)));
        }
        if let Some(first) = node.args.first() {
            let tool = name_of(first)?;
            let args = node.args.iter().skip(1).filter_map(|value| self.expr(value)).collect();
            probes.push((first.span, Probe::Command { tool, args }));
        }
        if let (Some(port), None) = (prop(node, "port"), prop(node, "http")) {
            self.push(
                Diagnostic::new(Code::P0102, port.span, "`port` says which port `http=` asks, and there is no `http`")
                    .with_help("remove it; a connection alone is tried by `tcp=PORT`"),
            );
        }
        let mut probes = probes.into_iter();
        let Some((first, probe)) = probes.next() else {
            if self.sound(node) {
                self.push(Diagnostic::new(Code::P0104, node.name.span, "`ready` says nothing to look for").with_help(
                    "one of `http=\"/health\"`, `tcp=PORT`, `log=\"REGEX\"`, or a command: `ready TOOL ARG…`",
                ));
            }
            return None;
        };
        if let Some((second, _)) = probes.next() {
            self.push(
                Diagnostic::new(Code::P0106, second, "a service is ready by one sign, and this is a second")
                    .with_secondary(first, "the first")
                    .with_help("keep the later of the two: what comes after it needs no asking"),
            );
        }
        let within = self.prop_text(node, "within");
        if let Some(text) = &within
            && let Some(literal) = text.as_literal()
            && parse_duration_ms(literal).is_none()
        {
            self.bad_unit(text.span, literal, "duration", "`500ms`, `10s` or `2m`");
            return None;
        }
        Some(ReadyDecl { probe, within })
    }
}
