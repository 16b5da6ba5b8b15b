//! Checks of what nodes and steps have in common (tools, arguments, inputs, outputs, classes) and of
//! recipes. Leaves out references between nodes: see `group`.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::base::RelPath;
use crate::diag::{Code, Diagnostic, Diagnostics, Span, did_you_mean};
use crate::lang::ast::{Body, Expr, InputDecl, Name, NameRef, RecipeDecl, RenderVar, Work};
use crate::lang::check::domain::check_ask;
use crate::lang::check::gate::check_gate;
use crate::lang::check::scope::{not_texts, some};
use crate::lang::check::service::misplaced_address;
use crate::lang::check::{Scope, check_params, leaves, tool, unique};
use crate::lang::expand::leak;
use crate::lang::program::{FileId, Program};
use crate::lang::shape::enough;
use crate::lang::text::Text;
use crate::lang::ty::{ArtifactKind, NameKind, Ty};

const CLASSES: &[&str] = &["pure", "fixed", "record", "volatile", "effect"];

/// Where work stands: what its names mean.
pub(super) struct Place<'a> {
    pub(super) program: &'a Program,
    pub(super) file: FileId,
    /// Resources of the graph around it.
    pub(super) pools: &'a [&'a str],
}

pub(super) fn check_recipe(
    program: &Program,
    file: FileId,
    recipe: &RecipeDecl,
    constants: &Scope,
    diagnostics: &mut Diagnostics,
) {
    check_params(&recipe.params, constants, diagnostics);
    let scope = constants.with_params(&recipe.params, recipe.params_known);
    let place = Place { program, file, pools: &[] };
    let mut returned: BTreeMap<&str, Vec<(&Ty, Span)>> = BTreeMap::new();
    let mut outputs_known = recipe.steps.iter().all(|step| step.work.outputs_known);
    unique(recipe.steps.iter().map(|step| &step.name), "step", diagnostics);
    let steps: BTreeMap<&str, usize> =
        recipe.steps.iter().enumerate().rev().map(|(index, step)| (step.name.value.as_str(), index)).collect();
    for (index, step) in recipe.steps.iter().enumerate() {
        if index % 64 == 63 && enough(diagnostics) {
            return;
        }
        check_segment(&step.name, "step", diagnostics);
        let mut scope = scope.inner();
        scope.lose(&step.work.lost);
        check_work(&place, &step.work, &scope, diagnostics);
        // Beside a capability they are reported where they stand.
        let of_capability = step.work.ask.as_ref().is_some_and(|ask| ask.capability.is_some());
        for output in step.work.outputs.iter().filter(|_| !of_capability) {
            if let Some(name) = output.name.as_literal() {
                returned.entry(name).or_default().push((&output.ty, output.name.span));
            }
        }
        match leaves(program, file, &step.work, Some(recipe)) {
            Some(left) => {
                for left in left {
                    returned.entry(&left.name.value).or_default().push((left.ty, step.name.span));
                }
            }
            None => outputs_known = false,
        }
        for (_, value) in step.work.ask.iter().flat_map(|ask| &ask.with) {
            if let Expr::Ref(text) = value {
                check_step_ref(&place, recipe, &steps, index, text, diagnostics);
            }
        }
        for input in &step.work.inputs {
            if let Some(Expr::Ref(text)) = &input.from {
                check_step_ref(&place, recipe, &steps, index, text, diagnostics);
            }
        }
    }
    unique(recipe.gates.iter().map(|gate| &gate.name), "gate", diagnostics);
    for gate in &recipe.gates {
        check_gate(program, file, gate, &scope, diagnostics);
    }
    unique(recipe.returns.iter().map(|returns| &returns.name), "artifact", diagnostics);
    for returns in &recipe.returns {
        match returned.get(returns.name.value.as_str()).map_or(&[][..], Vec::as_slice) {
            [] if !outputs_known => {}
            [] => {
                let known: Vec<&str> = returned.keys().copied().collect();
                diagnostics.push(
                    Diagnostic::new(
                        Code::P0402,
                        returns.name.span,
                        format!("no step of recipe `{}` declares output `{}`", recipe.name.value, returns.name.value),
                    )
                    .with_suggestion_text(did_you_mean(&returns.name.value, known.iter().copied()))
                    .with_help(format!("add `output {} path=\"…\"` to the step that makes it", returns.name.value)),
                );
            }
            [(ty, span)] => {
                if !ty.fits(&returns.ty) && !returns.ty.fits(ty) {
                    diagnostics.push(
                        Diagnostic::new(Code::P0301, *span, format!("expected `{}`, found `{ty}`", returns.ty))
                            .with_secondary(returns.name.span, "the recipe returns it here")
                            .with_help("make the two types agree"),
                    );
                }
            }
            [(_, first), (_, second), ..] => diagnostics.push(
                Diagnostic::new(
                    Code::P0402,
                    *second,
                    format!("output `{}` is declared by two steps", returns.name.value),
                )
                .with_secondary(*first, "first declared here")
                .with_help("a recipe returns each name from one step"),
            ),
        }
    }
}

fn check_step_ref(
    place: &Place<'_>,
    recipe: &RecipeDecl,
    steps: &BTreeMap<&str, usize>,
    at: usize,
    text: &Text,
    diagnostics: &mut Diagnostics,
) {
    let Some(literal) = text.as_literal() else { return };
    let Some((step, output)) = literal.split_once('.') else {
        diagnostics.push(not_a_reference(text.span, literal));
        return;
    };
    match steps.get(step) {
        Some(index) => {
            let target = &recipe.steps[*index];
            if *index >= at {
                diagnostics.push(
                    Diagnostic::new(
                        Code::P0501,
                        text.span,
                        format!(
                            "step `{}` uses step `{step}`, which does not come before it",
                            recipe.steps[at].name.value
                        ),
                    )
                    .with_secondary(target.name.span, "declared here")
                    .with_help("steps use the outputs of earlier steps"),
                );
            }
            let mut names: Vec<&str> =
                target.work.outputs.iter().filter_map(|output| output.name.as_literal()).collect();
            let mut known = target.work.outputs_known && target.work.outputs.len() == names.len();
            match leaves(place.program, place.file, &target.work, Some(recipe)) {
                Some(left) => names.extend(left.iter().map(|left| left.name.value.as_str())),
                None => known = false,
            }
            if known && !names.contains(&output) {
                diagnostics.push(no_output(text.span, literal, output, step, &names));
            }
        }
        None => {
            let names: Vec<&str> = recipe.steps.iter().map(|step| step.name.value.as_str()).collect();
            diagnostics.push(
                Diagnostic::new(Code::P0201, text.span, format!("cannot find step `{step}`"))
                    .with_suggestion_in(literal, 0..step.len(), did_you_mean(step, names.iter().copied()))
                    .with_help(
                        "a recipe sees its own steps and its parameters: take artifacts of the graph by `param`",
                    ),
            );
        }
    }
}

/// The diagnostic for a reference that is not `node.output`.
pub(crate) fn not_a_reference(span: Span, text: &str) -> Diagnostic {
    Diagnostic::new(Code::P0301, span, format!("`{text}` does not name an output"))
        .with_help("write `(ref)node.output`, or `(ref)\"node/key.output\"` for one instance")
}

/// The diagnostic for an output that a node does not have. `text` ends with its name.
pub(crate) fn no_output(span: Span, text: &str, output: &str, node: &str, known: &[&str]) -> Diagnostic {
    if output.is_empty() {
        let which = if known.is_empty() { "it has none".to_owned() } else { format!("it has: {}", some(known)) };
        return Diagnostic::new(Code::P0401, span, format!("an output of `{node}` is missing after the point"))
            .with_help(which);
    }
    let help = if known.is_empty() { "it has no outputs".to_owned() } else { format!("it has: {}", some(known)) };
    Diagnostic::new(Code::P0401, span, format!("output `{output}` is not produced by `{node}`"))
        .with_suggestion_in(text, text.len() - output.len()..text.len(), did_you_mean(output, known.iter().copied()))
        .with_help(help)
}

/// Checks that a name can be a segment of an address.
pub(crate) fn check_segment(name: &Name, what: &str, diagnostics: &mut Diagnostics) {
    let fine = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    // A node may have an address of several segments, as `expand` prints it.
    let segments = |text: &str| text.split('/').all(|part| !part.is_empty() && part.chars().all(fine));
    let whole = if what == "node" { segments(&name.value) } else { !name.value.contains('/') && segments(&name.value) };
    if !whole {
        diagnostics.push(
            Diagnostic::new(Code::P0301, name.span, format!("`{}` cannot name a {what}", name.value))
                .with_help("names in addresses are made of letters, digits, `-` and `_`"),
        );
    }
}

/// The same for a name in which dots become dashes.
pub(crate) fn check_dotted(name: &Name, what: &str, diagnostics: &mut Diagnostics) {
    let mut plain = name.clone();
    plain.value = plain.value.replace('.', "-");
    let mut found = Diagnostics::default();
    check_segment(&plain, what, &mut found);
    found.change(|item| item.message = item.message.replace(&plain.value, &name.value));
    diagnostics.extend(found);
}

/// Checks what nodes and steps have in common.
pub(super) fn check_work(place: &Place<'_>, work: &Work, scope: &Scope, diagnostics: &mut Diagnostics) {
    let Place { program, file, pools } = *place;
    let instance = scope.of_instances();
    check_class(work, diagnostics);
    if let Some(ask) = &work.ask {
        check_ask(program, file, ask, work, scope, diagnostics);
    }
    match &work.body {
        Some(Body::Exec { tool: name, args }) => {
            check_tool(place, name, scope, diagnostics);
            for arg in args {
                check_argument(arg, scope, true, diagnostics);
            }
        }
        Some(Body::Copy(text)) => check_operand(text, scope, diagnostics),
        Some(Body::Write(text)) => scope.check_text(text, diagnostics),
        Some(Body::Render { template, vars }) => {
            check_operand(template, scope, diagnostics);
            unique(vars.iter().map(|(name, _)| name), "variable", diagnostics);
            for (_, var) in vars {
                match var {
                    RenderVar::Value(expr) => check_argument(expr, scope, false, diagnostics),
                    RenderVar::File(text) | RenderVar::Json(text) => check_operand(text, scope, diagnostics),
                }
            }
        }
        Some(Body::MergeJson(texts)) => texts.iter().for_each(|text| check_operand(text, scope, diagnostics)),
        None => {}
    }
    if let Some(Body::Copy(_) | Body::Write(_) | Body::Render { .. } | Body::MergeJson(_)) = &work.body
        && work.outputs.len() != 1
        && work.outputs_known
    {
        diagnostics.push(
            Diagnostic::new(
                Code::P0402,
                work.span,
                format!("a built-in action writes one output, {} declared", work.outputs.len()),
            )
            .with_help("add `output PATH`, once"),
        );
    }
    for name in &work.tools {
        check_tool(place, name, scope, diagnostics);
    }
    unique(work.env.iter().map(|(name, _)| name), "variable", diagnostics);
    for (name, value) in &work.env {
        check_env(name, value, scope, diagnostics);
    }
    for text in [&work.cwd, &work.timeout].into_iter().flatten() {
        scope.check_text(text, diagnostics);
    }
    if let Some(cwd) = &work.cwd {
        check_path(cwd, "a folder below its own", diagnostics);
    }
    if let Some(Expr::Var(name)) = &work.take {
        let _ = scope.resolve(&name.value, name.span, diagnostics);
    }
    for hold in &work.holds {
        if !hold.machine && !pools.contains(&hold.pool.value.as_str()) {
            let diagnostic =
                Diagnostic::new(Code::P0201, hold.pool.span, format!("cannot find resource `{}`", hold.pool.value))
                    .with_suggestion(did_you_mean(&hold.pool.value, pools.iter().copied()));
            diagnostics.push(
                diagnostic.with_help(format!("declare it in the graph: `resource {} capacity=1`", hold.pool.value)),
            );
        }
        match &hold.amount {
            Expr::Var(name) => drop(scope.resolve(&name.value, name.span, diagnostics)),
            Expr::Text(text) => scope.check_text(text, diagnostics),
            Expr::Int(amount, span) if *amount < 1 => diagnostics.push(
                Diagnostic::new(Code::P0304, *span, "the amount is not a whole number from 1")
                    .with_help("to hold nothing, leave it out"),
            ),
            _ => {}
        }
    }
    work.inputs.iter().for_each(|input| check_input(input, scope, &instance, diagnostics));
    check_outputs(work, scope, diagnostics);
}

/// A tool by its name, or by a variable that holds one.
pub(super) fn check_tool(place: &Place<'_>, tool: &NameRef, scope: &Scope, diagnostics: &mut Diagnostics) {
    match tool {
        NameRef::Bare(name) => drop(self::tool(place.program, place.file, name, diagnostics)),
        NameRef::Var(name) => {
            if let Some((ty, declared)) = scope.resolve(&name.value, name.span, diagnostics)
                && !matches!(ty, Ty::Name(NameKind::Tool) | Ty::Poison)
            {
                diagnostics.push(
                    Diagnostic::new(Code::P0301, name.span, format!("expected `tool`, found `{ty}`"))
                        .with_secondary(declared, "the variable is declared here")
                        .with_help("declare it as `type=tool`, so that what it may name is known"),
                );
            }
        }
    }
}

/// A file that a built-in action reads.
fn check_operand(text: &Text, scope: &Scope, diagnostics: &mut Diagnostics) {
    scope.check_text(text, diagnostics);
    check_path(text, "the place of an input", diagnostics);
}

fn check_class(work: &Work, diagnostics: &mut Diagnostics) {
    let class = work.class.as_ref().map_or("pure", |class| class.value.as_str());
    if let Some(written) = &work.class
        && !CLASSES.contains(&class)
    {
        diagnostics.push(
            Diagnostic::new(Code::P0305, written.span, format!("`{class}` is not a class of action"))
                .with_suggestion(did_you_mean(class, CLASSES.iter().copied()))
                .with_help(format!("classes: {}", CLASSES.join(", "))),
        );
    }
    if let (Some(written), "record" | "effect", Some(body), Some(at)) = (&work.class, class, &work.body, work.body_at)
        && !matches!(body, Body::Exec { .. })
    {
        let what = if class == "record" { "asks nothing of the world" } else { "changes nothing outside" };
        diagnostics.push(
            Diagnostic::new(Code::P0508, written.span, format!("a built-in action {what}, so it is no `{class}`"))
                .with_secondary(at, "done in-process, from staged files alone")
                .with_help(format!("remove `class={class}`, or run the tool that does it")),
        );
    }
    let idempotent = work.idempotent.filter(|_| class != "effect");
    let take = work.take.as_ref().map(Expr::span).filter(|_| class != "record");
    for (span, word, wanted) in [(idempotent, "idempotent", "effect"), (take, "take", "record")] {
        if let Some(span) = span {
            diagnostics.push(
                Diagnostic::new(Code::P0508, span, format!("`{word}` is said of a `{class}` action"))
                    .with_help(format!("only `class={wanted}` actions have it: remove it, or change the class")),
            );
        }
    }
    if let (Some(_), "effect", None) = (&work.retry, class, work.idempotent) {
        diagnostics.push(
            Diagnostic::new(Code::P0508, work.span, "an effect that is tried again may happen twice").with_help(
                "add `idempotent=#true` if the other side knows it by `PARTITA_IDEMPOTENCY_KEY`, else no `retry`",
            ),
        );
    }
    for output in &work.outputs {
        if class == "fixed" && output.digest.is_none() && !diagnostics.has_error_within(output.span) {
            let zeros = format!("b3:{}", "0".repeat(64));
            diagnostics.push(
                Diagnostic::new(Code::P0508, output.span, "an output of a `fixed` action does not declare its digest")
                    .with_help("write `digest=\"b3:…\"`; the network is allowed because the digest pins what it gives")
                    .with_help(format!("not known yet? write `{zeros}` and run: the failure shows the right one")),
            );
        }
        if let (Some(digest), false) = (&output.digest, class == "fixed") {
            diagnostics.push(
                Diagnostic::new(Code::P0508, digest.span, format!("an output of a `{class}` action declares a digest"))
                    .with_help("only `class=fixed` actions promise the digest of what they leave"),
            );
        }
    }
}

/// An argument of a process or a variable of a template: text, number, or a list by `(var)`; of a
/// process, also the address of a service.
pub(super) fn check_argument(expr: &Expr, scope: &Scope, addresses: bool, diagnostics: &mut Diagnostics) {
    let address = |name: &str| scope.is_address(name);
    match expr {
        Expr::Text(text) if addresses => scope.check_given_text(text, diagnostics),
        Expr::Text(text) => scope.check_text(text, diagnostics),
        Expr::Var(name) if address(&name.value) && !addresses => {
            diagnostics.push(misplaced_address(name.span, &name.value));
        }
        Expr::Ref(text) if text.as_literal().is_some_and(address) => {
            if !addresses {
                diagnostics.push(misplaced_address(text.span, text.as_literal().unwrap_or_default()));
            }
        }
        Expr::Var(name) => {
            if let Some((ty, declared)) = scope.resolve(&name.value, name.span, diagnostics) {
                if let Ty::Artifact(_) = ty {
                    let found = artifact_argument(name.span, &name.value);
                    diagnostics.push(found.with_secondary(declared, "declared here"));
                } else if let Some(found) = not_texts(&name.value, ty, name.span, declared) {
                    diagnostics.push(found);
                }
            }
        }
        Expr::Ref(text) => {
            let of_lost = text.as_literal().is_some_and(|name| scope.is_lost(name));
            match scope.no_such(text) {
                Some(missing) => diagnostics.push(missing),
                None if of_lost => {}
                None => diagnostics.push(artifact_argument(text.span, text.as_literal().unwrap_or("…"))),
            }
        }
        Expr::Secret(name) => diagnostics.push(leak(&name.value, name.span, "an argument or a template")),
        Expr::Int(..) | Expr::Bool(..) | Expr::Fields(..) | Expr::List(..) => {}
    }
}

fn artifact_argument(span: Span, name: &str) -> Diagnostic {
    Diagnostic::new(Code::P0309, span, format!("the artifact `{name}` cannot be an argument"))
        .with_help("an artifact is a file: take it by `input PLACE from=…` and give the place as the argument")
}

/// Variables that are fixed for every action.
const FIXED_ENV: &[&str] = &["PATH", "HOME", "TMPDIR"];

pub(super) fn check_env(name: &Name, value: &Expr, scope: &Scope, diagnostics: &mut Diagnostics) {
    if FIXED_ENV.contains(&name.value.as_str()) {
        diagnostics.push(
            Diagnostic::new(Code::P0305, name.span, format!("`{}` is set by the executor", name.value)).with_help(
                "`PATH` holds the declared tools; `HOME` and `TMPDIR` are empty folders of the action's own",
            ),
        );
    }
    if name.value.is_empty() || name.value.contains(['=', '\0']) {
        diagnostics.push(Diagnostic::new(
            Code::P0301,
            name.span,
            "this cannot be the name of a variable of the environment",
        ));
    }
    match value {
        Expr::Var(var) => {
            let Some((ty, declared)) = scope.resolve(&var.value, var.span, diagnostics) else { return };
            if let Some(found) = not_texts(&var.value, ty, var.span, declared) {
                diagnostics.push(found);
            } else if let Ty::List(_) | Ty::Artifact(_) = ty {
                diagnostics.push(
                    Diagnostic::new(
                        Code::P0309,
                        var.span,
                        format!("`{}` cannot be the value of a variable", var.value),
                    )
                    .with_secondary(declared, "declared here")
                    .with_help(format!(
                        "the environment holds text; a list becomes one by `{{{{ {} | join \" \" }}}}`",
                        var.value
                    )),
                );
            }
        }
        // The one place that takes a secret.
        Expr::Secret(_) => {}
        other => check_argument(other, scope, true, diagnostics),
    }
}

fn check_input(input: &InputDecl, scope: &Scope, instance: &Scope, diagnostics: &mut Diagnostics) {
    match &input.from {
        None => {
            for path in &input.paths {
                // A list of patterns is spliced, as arguments are.
                if path.as_variable().is_some_and(
                    |name| matches!(scope.get(&name.value), Some((Ty::List(inner), _)) if !inner.is_compound()),
                ) {
                    continue;
                }
                scope.check_text(path, diagnostics);
                check_pattern(path, diagnostics);
            }
        }
        Some(from) => {
            for path in &input.paths {
                instance.check_text(path, diagnostics);
                // `.` is the action's folder itself.
                if path.as_literal() != Some(".") {
                    check_path(path, "a place below the action's folder, or `.` for itself", diagnostics);
                }
            }
            match from {
                Expr::Ref(text) => scope.check_text(text, diagnostics),
                Expr::Var(name) => {
                    if let Some((ty, declared)) = scope.resolve(&name.value, name.span, diagnostics)
                        && !matches!(ty, Ty::Artifact(_))
                    {
                        diagnostics.push(
                            Diagnostic::new(Code::P0301, name.span, format!("expected an artifact, found `{ty}`"))
                                .with_secondary(declared, "declared here"),
                        );
                    }
                }
                other => diagnostics.push(
                    Diagnostic::new(Code::P0301, other.span(), "`from` takes an output or a parameter")
                        .with_help("write `from=(ref)node.output` or `from=(var)param`"),
                ),
            }
        }
    }
    if let Some(select) = &input.select {
        scope.check_text(select, diagnostics);
        check_pattern(select, diagnostics);
    }
}

fn check_outputs(work: &Work, scope: &Scope, diagnostics: &mut Diagnostics) {
    let mut names: BTreeMap<&str, Span> = BTreeMap::new();
    let mut paths: BTreeMap<RelPath, Span> = BTreeMap::new();
    let own = work.inputs.iter().filter(|input| input.from.is_none()).flat_map(|input| &input.paths);
    let inputs: BTreeMap<&str, Span> = own.filter_map(|text| Some((text.as_literal()?, text.span))).collect();
    for output in &work.outputs {
        scope.check_text(&output.name, diagnostics);
        output.digest.iter().for_each(|text| scope.check_text(text, diagnostics));
        let path = output.path.as_ref().unwrap_or(&output.name);
        if output.path.is_some() {
            scope.check_text(path, diagnostics);
        }
        if let Some(name) = output.name.as_literal()
            && let Some(first) = names.insert(name, output.name.span)
        {
            diagnostics.push(
                Diagnostic::new(Code::P0402, output.name.span, format!("output `{name}` is declared twice"))
                    .with_secondary(first, "first declared here")
                    .with_help("rename one: others take it by this name"),
            );
            continue;
        }
        let Some(path) = check_path(path, "a place below the action's folder", diagnostics) else { continue };
        check_overlap(&paths, &path, output.span, diagnostics);
        // A workspace input at the same path would be changed in place.
        if let (Some(input), Ty::Artifact(ArtifactKind::File)) = (inputs.get(path.as_str()), &output.ty) {
            diagnostics.push(
                Diagnostic::new(Code::P0504, output.span, format!("`{path}` is both an input and an output"))
                    .with_secondary(*input, "the input")
                    .with_help("an action leaves new files: give the output another path"),
            );
        }
        paths.insert(path, output.span);
    }
}

/// Reports an output at the path of another, inside it or around it.
pub(crate) fn check_overlap(
    paths: &BTreeMap<RelPath, Span>,
    path: &RelPath,
    span: Span,
    diagnostics: &mut Diagnostics,
) {
    let around = std::iter::successors(path.parent(), RelPath::parent).find_map(|above| paths.get_key_value(&above));
    let below = format!("{path}/");
    let inside = || {
        paths
            .range::<str, _>((Bound::Included(below.as_str()), Bound::Unbounded))
            .next()
            .filter(|(other, _)| other.starts_with(path))
    };
    let (message, other, label) = match (paths.get(path), around) {
        (Some(first), _) => (format!("two outputs claim `{path}`"), *first, "the other".to_owned()),
        (None, Some((other, first))) => {
            (format!("output `{path}` lies inside output `{other}`"), *first, format!("`{other}` is declared here"))
        }
        (None, None) => match inside() {
            Some((other, first)) => {
                (format!("output `{other}` lies inside output `{path}`"), *first, format!("`{other}` is declared here"))
            }
            None => return,
        },
    };
    diagnostics.push(
        Diagnostic::new(Code::P0504, span, message)
            .with_secondary(other, label)
            .with_help("change one of the paths, or declare the folder alone"),
    );
}

/// Checks a literal path; one with holes is checked when it is known.
pub(crate) fn check_path(text: &Text, what: &str, diagnostics: &mut Diagnostics) -> Option<RelPath> {
    let literal = text.as_literal()?;
    match RelPath::new(literal) {
        Ok(path) => Some(path),
        Err(error) => {
            diagnostics
                .push(Diagnostic::new(Code::P0507, text.span, error.to_string()).with_help(format!("write {what}")));
            None
        }
    }
}

/// Checks a literal pattern of the workspace.
pub(crate) fn check_pattern(text: &Text, diagnostics: &mut Diagnostics) {
    let Some(literal) = text.as_literal() else { return };
    if let Err(error) = crate::lang::eval::pattern(literal) {
        diagnostics.push(
            Diagnostic::new(Code::P0507, text.span, error)
                .with_help("inputs are files of the workspace: write a path or pattern relative to its root"),
        );
    } else if let Err(error) = crate::lang::eval::wildcards(literal) {
        diagnostics.push(
            Diagnostic::new(Code::P0301, text.span, error)
                .with_help("`*`, `?`, `[…]` and `{…}` stay within a segment; `**` as a segment crosses them"),
        );
    }
}
