//! Work to its declaration: what nodes and steps have in common. Leaves out loops, recipes and order.

use crate::base::{Digest, parse_duration_ms, parse_size_bytes};
use crate::diag::{Code, Diagnostic, Span, did_you_mean};
use crate::lang::ast::{Body, Expr, HoldsDecl, InputDecl, Name, OutputDecl, RenderVar, RetryDecl, Work};
use crate::lang::decode::{
    BODIES, Decoder, child as first_child, children, first_name, is_true, prop, prop_name, ref_of,
};
use crate::lang::text::Text;
use crate::lang::ty::{ArtifactKind, Ty};
use crate::lang::{Kind, Node, Spanned};

impl Decoder<'_> {
    pub(super) fn one_body(&mut self, work: &mut Work, at: Span, body: Body) {
        if let (Some(_), Some(first)) = (&work.body, work.body_at) {
            self.push(
                Diagnostic::new(Code::P0106, at, "an action does one thing, and this is a second")
                    .with_secondary(first, "the first")
                    .with_help("an action runs a tool, or is one of `copy`, `write`, `render`, `merge-json`"),
            );
        }
        work.body = Some(body);
        work.body_at = Some(at);
    }

    /// The names that children with a mistake may have declared: what refers to them is no second one.
    pub(super) fn lost(&self, node: &Node) -> Vec<Name> {
        if self.sound(node) {
            return Vec::new();
        }
        let wrong = node.children.iter().flatten().filter(|child| !self.sound(child));
        let declared = wrong.flat_map(|child| first_name(child).into_iter().chain(prop_name(child, "as")));
        // Of properties too: an argument may stand beside the name instead of in the block.
        let props = node.props.iter().map(|property| &property.name);
        declared.chain(props.filter(|name| self.diagnostics.has_error_within(name.span)).cloned()).collect()
    }

    pub(super) fn work(&mut self, node: &Node) -> Work {
        // What is large has the room it needs and no more: there may be very many of these.
        let count = |word| children(node, word).count();
        let mut work = Work {
            body: None,
            body_at: None,
            ask: self.ask(node).map(Box::new),
            class: prop_name(node, "class"),
            inputs: Vec::with_capacity(count("input")),
            outputs: Vec::with_capacity(count("output")),
            env: Vec::new(),
            tools: children(node, "tools").flat_map(|child| child.args.iter()).filter_map(ref_of).collect(),
            cwd: self.child_text(node, "cwd"),
            timeout: self.timeout(node),
            retry: self.retry(node),
            holds: Vec::new(),
            limits: Vec::new(),
            idempotent: prop(node, "idempotent").filter(|_| is_true(node, "idempotent")).map(|value| value.span),
            take: prop(node, "take").and_then(|value| self.expr(value)),
            outputs_known: self.intact(node, "output"),
            lost: self.lost(node),
            span: node.args.first().map_or(node.name.span, |name| name.span),
        };
        for child in node.children.iter().flatten() {
            let word = child.name.value.as_str();
            if BODIES.contains(&word) && !std::ptr::eq(child, first_child(node, word).unwrap_or(child)) {
                // Given again, which has been reported.
                continue;
            }
            match word {
                "run" => {
                    if let Some(tool) = child.args.first().and_then(ref_of) {
                        let args = child.args.iter().skip(1).filter_map(|value| self.expr(value)).collect();
                        self.one_body(&mut work, child.name.span, Body::Exec { tool, args });
                    }
                }
                "copy" => {
                    if let Some(from) = self.first_text(child) {
                        self.one_body(&mut work, child.name.span, Body::Copy(from));
                    }
                }
                "write" => {
                    if let Some(text) = self.first_text(child) {
                        self.one_body(&mut work, child.name.span, Body::Write(text));
                    }
                }
                "render" => {
                    if let Some(template) = self.first_text(child) {
                        let vars = self.render_vars(child);
                        self.one_body(&mut work, child.name.span, Body::Render { template, vars });
                    }
                }
                "merge-json" => {
                    let from = self.texts(child);
                    self.one_body(&mut work, child.name.span, Body::MergeJson(from));
                }
                "input" => work.inputs.extend(self.input(child)),
                "output" => work.outputs.extend(self.output(child)),
                "env" => {
                    for property in &child.props {
                        if let Some(value) = self.expr(&property.value) {
                            work.env.push((property.name.clone(), value));
                        }
                    }
                }
                "holds" => {
                    if let Some(pool) = first_name(child) {
                        let amount = prop(child, "amount").and_then(|value| self.expr(value));
                        let amount = amount.unwrap_or(Expr::Int(1, pool.span));
                        work.holds.push(HoldsDecl { pool, amount, machine: false });
                    }
                }
                "resources" => self.machine_holds(child, &mut work),
                "limits" => {
                    for name in ["processes", "files"] {
                        work.limits.extend(self.count(child, name).map(|most| (name.into(), most)));
                    }
                    for name in ["memory", "output"] {
                        work.limits.extend(self.size(child, name).map(|most| (name.into(), most)));
                    }
                }
                _ => {}
            }
        }
        work
    }

    fn machine_holds(&mut self, node: &Node, work: &mut Work) {
        if let Some(amount) = prop(node, "cpu").and_then(|value| self.expr(value)) {
            let pool = Spanned { value: "cpu".to_owned(), span: amount.span() };
            work.holds.push(HoldsDecl { pool, amount, machine: true });
        }
        if let Some(value) = prop(node, "memory") {
            let pool = Spanned { value: "memory".to_owned(), span: value.span };
            let text = Text::parse(value, self.diagnostics);
            match text.as_literal() {
                Some(literal) if parse_size_bytes(literal).is_none() => {
                    self.bad_unit(value.span, literal, "size", "`512MiB` or `4GiB`");
                }
                _ => work.holds.push(HoldsDecl { pool, amount: Expr::Text(text), machine: true }),
            }
        }
    }

    fn render_vars(&mut self, node: &Node) -> Vec<(Name, RenderVar)> {
        let mut vars = Vec::new();
        for child in node.children.iter().flatten() {
            match child.name.value.as_str() {
                "set" => {
                    for property in &child.props {
                        if let Some(value) = self.expr(&property.value) {
                            vars.push((property.name.clone(), RenderVar::Value(value)));
                        }
                    }
                }
                word @ ("file" | "json") => {
                    if let (Some(name), Some(path)) = (first_name(child), child.args.get(1)) {
                        let path = Text::parse(path, self.diagnostics);
                        let var = if word == "file" { RenderVar::File(path) } else { RenderVar::Json(path) };
                        vars.push((name, var));
                    }
                }
                _ => {}
            }
        }
        vars
    }

    fn input(&mut self, node: &Node) -> Option<InputDecl> {
        let paths: Vec<Text> = self.texts(node);
        let from = match prop(node, "from") {
            // What cannot be read has been reported; without it this would be another kind of input.
            Some(value) => Some(self.expr(value)?),
            None => None,
        };
        if from.is_some() && paths.len() > 1 {
            self.push(
                Diagnostic::new(
                    Code::P0105,
                    paths[1].span,
                    "an input taken from an output has one place, several given",
                )
                .with_help("write one `input PLACE from=…` for each"),
            );
            return None;
        }
        if let (None, Some(select)) = (&from, prop(node, "select")) {
            self.push(
                Diagnostic::new(
                    Code::P0102,
                    select.span,
                    "`select` narrows an output that is a folder, and there is no `from`",
                )
                .with_help("for files of the workspace write the pattern itself: `input \"src/*.h\"`"),
            );
        }
        let select = self.prop_text(node, "select");
        Some(InputDecl { paths, from, select, optional: is_true(node, "optional"), span: node.span })
    }

    fn output(&mut self, node: &Node) -> Option<OutputDecl> {
        let name = self.first_text(node)?;
        let mut ty = if prop(node, "type").is_some() { self.ty(node) } else { Ty::Artifact(ArtifactKind::File) };
        if !matches!(ty, Ty::Artifact(_) | Ty::Poison) {
            let span = prop(node, "type").map_or(node.name.span, |value| value.span);
            self.push(
                Diagnostic::new(Code::P0301, span, format!("an output is an artifact, not a `{ty}`"))
                    .with_help("write `type=artifact.file` or `type=artifact.dir`"),
            );
            ty = Ty::Poison;
        }
        let digest = self.prop_text(node, "digest");
        if let Some(text) = &digest
            && let Some(literal) = text.as_literal()
        {
            let found = parse_digest(literal, text.span);
            if let Err(diagnostic) = found {
                self.push(*diagnostic);
                return None;
            }
        }
        let path = self.prop_text(node, "path");
        Some(OutputDecl { name, path, ty, digest, span: node.span })
    }

    pub(super) fn timeout(&mut self, node: &Node) -> Option<Text> {
        let text = self.child_text(node, "timeout")?;
        if let Some(literal) = text.as_literal()
            && parse_duration_ms(literal).is_none()
        {
            self.bad_unit(text.span, literal, "duration", "`90s`, `20m` or `1h30m`");
            return None;
        }
        Some(text)
    }

    pub(super) fn retry(&mut self, node: &Node) -> Option<RetryDecl> {
        let node = first_child(node, "retry")?;
        let max = self.natural(prop(node, "max")?, 0)?;
        let backoff_ms = match prop(node, "backoff").map(|value| (&value.kind, value.span)) {
            Some((Kind::Text(text), span)) => match parse_duration_ms(text) {
                Some(ms) => ms,
                None => {
                    self.bad_unit(span, text, "duration", "`500ms` or `5s`");
                    return None;
                }
            },
            _ => 1_000,
        };
        let on = self.word(node, "on", &["transient", "timeout", "any"])?;
        let exponential = self.word(node, "strategy", &["exponential", "fixed"])? == "exponential";
        Some(RetryDecl { max: u32::try_from(max).unwrap_or(u32::MAX), on, backoff_ms, exponential })
    }

    /// A property that is one of a closed set of words; the first is the default.
    fn word(&mut self, node: &Node, name: &str, words: &[&str]) -> Option<String> {
        let Some(given) = prop_name(node, name) else { return words.first().map(|word| (*word).to_owned()) };
        if words.contains(&given.value.as_str()) {
            return Some(given.value);
        }
        self.push(
            Diagnostic::new(Code::P0305, given.span, format!("`{}` is not one of {}", given.value, words.join(", ")))
                .with_suggestion(did_you_mean(&given.value, words.iter().copied())),
        );
        None
    }
}

/// The digest an output must have.
pub(crate) fn parse_digest(text: &str, span: Span) -> Result<Digest, Box<Diagnostic>> {
    text.parse::<Digest>().map_err(|error| {
        Box::new(
            Diagnostic::new(Code::P0301, span, error.to_string())
                .with_help("not known yet? write 64 zeros and run: the failure shows the right one"),
        )
    })
}
