//! The templates of skills: parsed, and their variables compared with those declared. Leaves out reading
//! them, which is the loader's, and rendering, which is the executor's, at run time.

use std::collections::BTreeSet;

use minijinja::Environment;

use crate::base::{Limits, too_deep_template};
use crate::diag::{Code, Diagnostic, Diagnostics, SourceId, Span, did_you_mean};
use crate::lang::ast::Name;
use crate::lang::program::{DeclId, DeclKind, FileId, Program};

/// Functions that every template has.
const GLOBALS: &[&str] = &["range", "dict", "namespace"];

/// Tokens after which a prompt is called long.
const LONG_TOKENS: u64 = 32_000;

/// Characters of a token, roughly, in every model's encoding.
const TOKEN_CHARS: u64 = 4;

/// Checks every template that could be read, and trust in it.
pub(crate) fn check_prompts(program: &Program, diagnostics: &mut Diagnostics) {
    for (id, (source, text)) in &program.prompts {
        let decl = program.skill(*id);
        let Some(at) = decl.prompt.as_ref().or(decl.text.as_ref()) else { continue };
        check_variables(program, *id, at, *source, text, diagnostics);
        check_length(program, *id, at, text, diagnostics);
        if let Some(trust) = &decl.trust
            && let Some(digest) = &trust.digest
        {
            let now = program.skill_digest(*id);
            if now != digest.value {
                diagnostics.push(
                    Diagnostic::new(
                        Code::P1007,
                        digest.span,
                        format!("skill `{}` is not what was vouched for, and counts as experimental", decl.name.value),
                    )
                    .with_secondary(at.span, "this, or a variable of it, was changed since")
                    .with_help(format!("read it, and if it is to be trusted write `digest=\"b3:{now}\"`")),
                );
            }
        }
    }
}

fn check_variables(
    program: &Program,
    id: DeclId,
    at: &Name,
    source: SourceId,
    text: &str,
    diagnostics: &mut Diagnostics,
) {
    let decl = program.skill(id);
    let inline = decl.text.is_some();
    if let Some(deep) = too_deep_template(text) {
        let mut diagnostic = Diagnostic::new(
            Code::P0315,
            at.span,
            format!("the prompt of skill `{}` is nested too deep", decl.name.value),
        );
        if !inline {
            diagnostic = diagnostic.with_secondary(Span::new(source, deep, deep + 2), "in this tag");
        }
        diagnostics.push(diagnostic.with_help(format!(
            "blocks, brackets and chains of operators or filters may have {} levels: name parts by `set`",
            Limits::TEMPLATE_DEPTH
        )));
        return;
    }
    let environment = Environment::new();
    let template = match environment.template_from_str(text) {
        Ok(template) => template,
        Err(error) => {
            let mut diagnostic = Diagnostic::new(
                Code::P0315,
                at.span,
                format!("the prompt of skill `{}` is not a template", decl.name.value),
            );
            if let (Some(line), false) = (error.line(), inline) {
                diagnostic = diagnostic.with_secondary(line_span(source, text, line), "it fails here");
            }
            let why = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
            diagnostics.push(diagnostic.with_help(why));
            return;
        }
    };
    let used = template.undeclared_variables(false);
    let used: BTreeSet<&str> = used.iter().map(String::as_str).filter(|name| !GLOBALS.contains(name)).collect();
    let known: Vec<&str> = decl.vars.iter().map(|var| var.name.value.as_str()).collect();
    if decl.vars_known {
        // The place is one, so that it holds one report: the next comes when this is mended.
        if let Some(name) = used.iter().find(|name| !known.contains(name)) {
            let near = did_you_mean(name, known.iter().copied());
            let mut diagnostic = Diagnostic::new(
                Code::P0311,
                at.span,
                format!("the template uses variable `{name}`, which skill `{}` does not declare", decl.name.value),
            );
            if let (Some(span), false) = (find(source, text, name), inline) {
                diagnostic = diagnostic.with_secondary(span, "used here");
            }
            diagnostics.push(
                diagnostic
                    .with_suggestion_text(near)
                    .with_help(format!("declare it: `var {name} type=string`, or remove it from the template")),
            );
        }
    }
    for var in decl.vars.iter().filter(|var| !used.contains(var.name.value.as_str())) {
        let misspelt =
            used.iter().any(|name| did_you_mean(name, [var.name.value.as_str()]).is_some() && !known.contains(name));
        if !misspelt {
            diagnostics.push(
                Diagnostic::new(
                    Code::P0312,
                    var.name.span,
                    format!("variable `{}` is declared, and the template never uses it", var.name.value),
                )
                .with_secondary(at.span, "the template")
                .with_help("remove it, or use it"),
            );
        }
    }
}

fn check_length(program: &Program, id: DeclId, at: &Name, text: &str, diagnostics: &mut Diagnostics) {
    let tokens = (text.chars().count() as u64).div_ceil(TOKEN_CHARS);
    let decl = program.skill(id);
    if tokens > LONG_TOKENS {
        diagnostics.push(
            Diagnostic::new(
                Code::P1004,
                at.span,
                format!(
                    "the prompt of skill `{}` is about {tokens} tokens long before anything is filled in",
                    decl.name.value
                ),
            )
            .with_help(format!("more than {LONG_TOKENS} are slow and dear: give data as artifacts")),
        );
        return;
    }
    for (index, file) in program.files.iter().enumerate() {
        for agent in &file.decls.agents {
            let uses = |name: &&Name| program.lookup(FileId(index), DeclKind::Skill, &name.value) == Some(id);
            let (Some(name), Some(limit)) = (agent.skills.iter().find(uses), agent.limits.tokens) else { continue };
            if tokens >= limit {
                diagnostics.push(
                    Diagnostic::new(
                        Code::P1004,
                        name.span,
                        format!(
                            "the prompt of skill `{}` is about {tokens} tokens long, and agent `{}` has {limit}",
                            name.value, agent.name.value
                        ),
                    )
                    .with_secondary(at.span, "the prompt")
                    .with_help("raise `limits tokens=`, or shorten the prompt"),
                );
            }
        }
    }
}

/// A line of a template.
fn line_span(source: SourceId, text: &str, line: usize) -> Span {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let end = text[start..].find('\n').map_or(text.len(), |length| start + length);
    Span::new(source, start, end)
}

/// Where a template first uses a name.
fn find(source: SourceId, text: &str, name: &str) -> Option<Span> {
    let plain = |c: char| !(c.is_alphanumeric() || c == '_');
    let mut from = text.find('{')?;
    while let Some(at) = text[from..].find(name).map(|at| at + from) {
        let before = text[..at].chars().next_back().is_none_or(plain);
        let after = text[at + name.len()..].chars().next().is_none_or(plain);
        let open = text[..at].rfind("{{").max(text[..at].rfind("{%"));
        let closed = text[..at].rfind("}}").max(text[..at].rfind("%}"));
        if before && after && open > closed {
            return Some(Span::new(source, at, at + name.len()));
        }
        from = at + name.len();
    }
    None
}
