//! Checks of gates: what a predicate asks exists on what it is asked of, values are of a kind that can
//! be compared, nothing contradicts itself, and enough people may approve. Leaves out what depends on
//! values: see `expand`.

use std::collections::BTreeMap;

use crate::base::{Decimal, parse_duration_ms, parse_size_bytes};
use crate::diag::{Code, Diagnostic, Diagnostics, Span, did_you_mean};
use crate::lang::ast::{Cond, Expr, Name, Op, Param};
use crate::lang::check::contradict::{Known, Test, contradictions};
use crate::lang::check::promise::{Promised, promised, unpromised};
use crate::lang::check::scope::some;
use crate::lang::check::work::{Place, check_segment, check_work};
use crate::lang::check::{Scope, check_params, unique};
use crate::lang::gate::{Fact, GateDecl, PeopleDecl, VERDICT, facts, literal};
use crate::lang::program::{DeclId, DeclKind, FileId, Lost, Program};
use crate::lang::ty::{ArtifactKind, Ty};

pub(super) fn check_people(people: &PeopleDecl, diagnostics: &mut Diagnostics) {
    unique(people.members.iter().map(|member| &member.name), "member", diagnostics);
    let keys = people.members.iter().filter_map(|member| member.key.as_ref());
    unique(keys, "key", diagnostics);
}

pub(super) fn check_gate(
    program: &Program,
    file: FileId,
    gate: &GateDecl,
    constants: &Scope,
    diagnostics: &mut Diagnostics,
) {
    let mut name = gate.name.clone();
    name.value = name.value.replace('.', "-");
    check_segment(&name, "gate", diagnostics);
    check_params(&gate.params, constants, diagnostics);
    let scope = constants.with_params(&gate.params, gate.params_known);
    if gate.work.body.is_some() || gate.work.ask.is_some() {
        check_work(&Place { program, file, pools: &[] }, &gate.work, &scope, diagnostics);
    }
    let by_name: BTreeMap<&str, &Param> =
        gate.params.iter().chain(&gate.verdict).rev().map(|param| (param.name.value.as_str(), param)).collect();
    if let (Some(verdict), Some(param)) =
        (&gate.verdict, gate.params.iter().find(|param| param.name.value == VERDICT.0))
    {
        diagnostics.push(
            Diagnostic::new(
                Code::P0202,
                param.name.span,
                "`verdict` is what the agent leaves, and cannot be a parameter",
            )
            .with_secondary(verdict.name.span, "the gate asks an agent")
            .with_help("rename the parameter"),
        );
    }
    let asked = Asked { gate, by_name, scope: &scope };
    let mut known = Known::new();
    for require in &gate.require {
        asked.condition(&require.condition, &mut known, diagnostics);
    }
    let conditions = gate.require.iter().map(|require| (&require.condition, require.span));
    contradictions(conditions, &known, true, diagnostics);
    if !gate.sections.is_empty() && asked.artifacts().count() != 1 && gate.params_known {
        let found = asked.artifacts().count();
        diagnostics.push(
            Diagnostic::new(
                Code::P0301,
                gate.sections[0].span,
                format!("`section` asks one artifact for its headings, and this gate takes {found}"),
            )
            .with_secondary(gate.name.span, "the gate")
            .with_help("give the gate one `param NAME type=artifact.text`; for more write `require NAME.sections contains \"HEADING\"`"),
        );
    } else if let (Some(section), Some(param)) = (gate.sections.first(), asked.artifacts().next())
        && let Ty::Artifact(kind) = &param.ty
        && facts(kind).is_none_or(|facts| !facts.iter().any(|(name, _)| *name == "sections"))
    {
        diagnostics.push(
            Diagnostic::new(Code::P0401, section.span, format!("`{}` has no headings", param.ty))
                .with_secondary(param.name.span, "declared here")
                .with_help("headings are those of a text: `type=artifact.text`"),
        );
    }
    if let Some(approvers) = &gate.approvers {
        check_approvers(program, file, approvers, diagnostics);
    }
}

fn check_approvers(
    program: &Program,
    file: FileId,
    approvers: &crate::lang::gate::ApproversDecl,
    diagnostics: &mut Diagnostics,
) {
    let (group, min) = (&approvers.group, &approvers.min);
    let Some(id) = program.lookup(file, DeclKind::People, &group.value) else {
        let known: Vec<String> = program.visible(file, DeclKind::People).collect();
        let suggestion = did_you_mean(&group.value, known.iter().map(String::as_str)).map(str::to_owned);
        if suggestion.is_some() {
            program.resolve(file, DeclKind::People, group, diagnostics);
            return;
        }
        if program.lost(file, &group.value) != Lost::No {
            return;
        }
        if let Some((other, declared)) = declared_elsewhere(program, file, &group.value) {
            diagnostics.push(unseen(program, file, group, other, declared));
            return;
        }
        diagnostics.push(
            Diagnostic::new(
                Code::P0705,
                group.span,
                format!("nobody says who `{}` is: every key of the workspace may approve", group.value),
            )
            .with_help(format!("declare it: `group {} {{ member NAME key=\"KEYID\" }}`", group.value)),
        );
        return;
    };
    let people = program.people(id);
    let able = people.members.len() as u64;
    if min.value > able {
        diagnostics.push(
            Diagnostic::new(
                Code::P0702,
                min.span,
                format!("the gate needs {} approvers, and group `{}` has {able}", min.value, group.value),
            )
            .with_secondary(people.name.span, "the group")
            .with_help("ask for fewer, or add members"),
        );
    } else if approvers.distinct && min.value >= able {
        diagnostics.push(
            Diagnostic::new(
                Code::P0703,
                group.span,
                format!(
                    "the author does not count, so a change by a member of `{}` finds {} of {} approvers",
                    group.value,
                    able.saturating_sub(1),
                    min.value
                ),
            )
            .with_secondary(people.name.span, "the group")
            .with_help("add a member, ask for fewer, or remove `distinct=#true`"),
        );
    }
}

/// The first file that declares a group which a file does not see.
fn declared_elsewhere(program: &Program, file: FileId, group: &str) -> Option<(FileId, Span)> {
    (0..program.files.len()).map(FileId).filter(|other| *other != file).find_map(|other| {
        let id = program.lookup(other, DeclKind::People, group).filter(|id| id.file == other)?;
        Some((other, program.people(id).name.span))
    })
}

/// The diagnostic for a group that another file declares: without it, anybody with a key could approve.
fn unseen(program: &Program, file: FileId, group: &Name, other: FileId, declared: Span) -> Diagnostic {
    let (name, this, there) = (&group.value, &program.file(file).path, &program.file(other).path);
    let below = program.file(other).aliases.values().any(|target| *target == file);
    Diagnostic::new(
        Code::P0201,
        group.span,
        format!("group `{name}` is declared in `{there}`, which `{this}` does not see"),
    )
    .with_secondary(declared, "declared here")
    .with_help(if below {
        format!("`{there}` imports `{this}`, not the other way round: move the group into `{this}`, or into a file that both import")
    } else {
        format!("import `{there}` here, and name the group by its alias, or move the group into `{this}`")
    })
}

struct Asked<'a> {
    gate: &'a GateDecl,
    by_name: BTreeMap<&'a str, &'a Param>,
    scope: &'a Scope<'a>,
}

impl<'a> Asked<'a> {
    fn artifacts(&self) -> impl Iterator<Item = &'a Param> {
        self.gate.params.iter().filter(|param| matches!(param.ty, Ty::Artifact(_)))
    }

    /// Checks a condition, and adds what is known of its comparisons.
    fn condition(&self, condition: &'a Cond, known: &mut Known<'a>, diagnostics: &mut Diagnostics) {
        match condition {
            Cond::All(all) | Cond::Any(all) | Cond::Not(all) => {
                for inner in all {
                    self.condition(inner, known, diagnostics);
                }
            }
            Cond::Triple(path, op, value) => {
                if let Some((fact, value)) = self.triple(path, *op, value, diagnostics)
                    && !path.value.split('.').any(|part| part == "*")
                {
                    known.insert(path.span, self.says(path, *op, &value, fact));
                }
            }
        }
    }

    /// What a test says: of what it names, and of what is never otherwise then.
    fn says(&self, path: &'a Name, op: Op, value: &str, fact: Fact) -> Vec<Test<'a>> {
        let count = matches!(fact, Fact::Count | Fact::Size | Fact::Duration);
        let test = Test::new(path, op, value, None, count);
        let (head, rest) = path.value.split_once('.').unwrap_or((&path.value, ""));
        let is = match (op, value) {
            (Op::Eq, "true") | (Op::Ne, "false") => true,
            (Op::Eq, "false") | (Op::Ne, "true") => false,
            _ => return vec![test],
        };
        // Of two answers one is the other's opposite.
        let test = if fact == Fact::Flag { Test { op: Op::Eq, value: is.to_string(), ..test } } else { test };
        let is_dir = self.by_name.get(head).is_some_and(|param| param.ty == Ty::Artifact(ArtifactKind::Dir));
        let more = match (rest, fact, is) {
            // A folder of empty files has no size and is not empty.
            ("empty", Fact::Flag, false) if is_dir => vec![("count", Op::Gt)],
            ("empty", Fact::Flag, false) => vec![("size", Op::Gt)],
            ("empty", Fact::Flag, true) => vec![("size", Op::Eq), ("count", Op::Eq), ("lines", Op::Eq)],
            _ => Vec::new(),
        };
        let more = more.into_iter().map(|(fact, op)| test.implies(format!("{head}.{fact}"), op, "0"));
        std::iter::once(test.clone()).chain(more.collect::<Vec<_>>()).collect()
    }

    /// What a triple compares, and with what, where both are known and go together.
    fn triple(&self, path: &Name, op: Op, value: &Expr, diagnostics: &mut Diagnostics) -> Option<(Fact, String)> {
        let Promised { fact, one_of } = self.fact(path, diagnostics)?;
        let found = self.compared(path, fact, op, value, diagnostics)?;
        if matches!(op, Op::Eq | Op::Ne) && !one_of.is_empty() && !one_of.contains(&found.as_str()) {
            diagnostics.push(
                Diagnostic::new(Code::P0305, value.span(), format!("`{found}` is not one of {}", some(&one_of)))
                    .with_suggestion_text(did_you_mean(&found, one_of.iter().copied()))
                    .with_secondary(path.span, "the schema lists what this may be")
                    .with_help("choose one of those, or add it to the `enum` of the schema"),
            );
            return None;
        }
        Some((fact, found))
    }

    /// What stands at a path, as far as that is known before it is made.
    fn fact(&self, path: &Name, diagnostics: &mut Diagnostics) -> Option<Promised<'a>> {
        let open = |fact| Some(Promised { fact, one_of: Vec::new() });
        let (head, rest) = path.value.split_once('.').unwrap_or((&path.value, ""));
        let Some(param) = self.by_name.get(head) else {
            let known: Vec<&str> = self.artifacts().map(|param| param.name.value.as_str()).collect();
            let suggestion = did_you_mean(head, known.iter().copied());
            if self.gate.params_known || suggestion.is_some() {
                diagnostics.push(
                    Diagnostic::new(
                        Code::P0303,
                        path.span,
                        format!("gate `{}` has no parameter `{head}`", self.gate.name.value),
                    )
                    .with_suggestion_text(
                        suggestion
                            .map(|name| if rest.is_empty() { name.to_owned() } else { format!("{name}.{rest}") })
                            .as_deref(),
                    )
                    .with_help(if known.is_empty() {
                        format!("declare it: `param {head} type=artifact.json`")
                    } else {
                        format!("a path begins with one of: {}", known.join(", "))
                    }),
                );
            }
            return None;
        };
        let Ty::Artifact(kind) = &param.ty else {
            if param.ty != Ty::Poison {
                diagnostics.push(
                    Diagnostic::new(
                        Code::P0301,
                        path.span,
                        format!("a path begins with an artifact, and `{head}` is of type `{}`", param.ty),
                    )
                    .with_secondary(param.name.span, "declared here")
                    .with_help("what is known before anything runs belongs in `when`"),
                );
            }
            return None;
        };
        let Some(facts) = facts(kind) else {
            if rest.is_empty() {
                diagnostics.push(no_fact(
                    path,
                    format!("`{head}` is a whole document"),
                    "write a path in it: `report.summary.score`",
                ));
                return None;
            }
            if rest.ends_with(".@count") && rest.split('.').any(|part| part == "*") {
                diagnostics.push(no_fact(
                    path,
                    format!("`{head}` has no `{rest}`: of several there is no one count"),
                    "count what `*` stands for, as `report.results.@count`, or take one of them by its number",
                ));
                return None;
            }
            let Some(schema) = param.ty.schema() else {
                return open(if rest.ends_with("@count") { Fact::Count } else { Fact::Open });
            };
            return match promised(schema, rest) {
                Ok(None) => open(if rest.ends_with("@count") { Fact::Count } else { Fact::Open }),
                Ok(Some(Promised { fact: Fact::Whole, .. })) => {
                    diagnostics.push(
                        Diagnostic::new(
                            Code::P0301,
                            path.span,
                            format!("by `{}`, `{}` is an object, and no value to compare", schema.path, path.value),
                        )
                        .with_secondary(param.name.span, "declared here")
                        .with_help(format!("write a path in it, as `{}.NAME`", path.value)),
                    );
                    None
                }
                Ok(Some(found)) => Some(found),
                Err(gap) => {
                    let found = unpromised(&gap, path, rest, schema);
                    diagnostics.push(found.with_secondary(param.name.span, "declared here"));
                    None
                }
            };
        };
        let known: Vec<&str> = facts.iter().map(|(name, _)| *name).collect();
        if let Some((_, fact)) = facts.iter().find(|(name, _)| *name == rest) {
            return open(*fact);
        }
        let what = if rest.is_empty() {
            format!("`{head}` is a whole artifact")
        } else {
            format!("`{}` has no `{rest}`", param.ty)
        };
        diagnostics.push(
            no_fact(path, what, &format!("`{}` has: {}", param.ty, known.join(", ")))
                .with_suggestion_text(
                    did_you_mean(rest, known.iter().copied()).map(|near| format!("{head}.{near}")).as_deref(),
                )
                .with_secondary(param.name.span, "declared here"),
        );
        None
    }

    /// What is compared with, where it is literal and of a kind that can be compared.
    fn compared(&self, path: &Name, fact: Fact, op: Op, value: &Expr, diagnostics: &mut Diagnostics) -> Option<String> {
        let wrong = |found: String, help: &str| {
            Diagnostic::new(Code::P0301, value.span(), found)
                .with_secondary(path.span, "compared with this")
                .with_help(help)
        };
        match value {
            Expr::Var(name) => {
                if let Some((ty, declared)) = self.scope.resolve(&name.value, name.span, diagnostics)
                    && (ty.is_compound() || matches!(ty, Ty::Artifact(_)))
                {
                    diagnostics.push(
                        wrong(
                            format!("`{}` is of type `{ty}` and cannot be compared", name.value),
                            "compare with a text, a number or a truth value",
                        )
                        .with_secondary(declared, "declared here"),
                    );
                }
                return None;
            }
            Expr::Ref(text) => {
                diagnostics.push(wrong(
                    "an artifact cannot be compared with".to_owned(),
                    "give it to a parameter of the gate, and write a path in it",
                ));
                self.scope.check_text(text, diagnostics);
                return None;
            }
            Expr::Secret(name) => {
                diagnostics.push(wrong(
                    format!("secret `{}` may not decide a gate", name.value),
                    "its value would be found out by trying",
                ));
                return None;
            }
            Expr::Text(text) => self.scope.check_text(text, diagnostics),
            Expr::Int(..) | Expr::Bool(..) | Expr::Fields(..) | Expr::List(..) => {}
        }
        if let Expr::Text(text) = value
            && text.as_literal().is_none()
        {
            return None;
        }
        let of_text = matches!(op, Op::Contains | Op::Matches);
        if of_text {
            if matches!(fact, Fact::Count | Fact::Size | Fact::Duration | Fact::Number | Fact::Flag) {
                diagnostics.push(
                    Diagnostic::new(
                        Code::P0301,
                        path.span,
                        format!("`{}` looks into texts, and `{}` is a number or a truth value", op.word(), path.value),
                    )
                    .with_help("compare it by `eq ne lt le gt ge`"),
                );
                return None;
            }
            let Some(text) = literal(value) else {
                diagnostics.push(wrong(format!("`{}` takes a text", op.word()), "put it in quotes"));
                return None;
            };
            if op == Op::Matches
                && let Err(error) = regex::Regex::new(text)
            {
                let reason =
                    error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                diagnostics.push(wrong(format!("`{text}` is not a regular expression"), &reason));
                return None;
            }
            return Some(text.to_owned());
        }
        let orders = !matches!(op, Op::Eq | Op::Ne);
        let number = match value {
            Expr::Int(int, _) => Some(int.to_string()),
            _ => literal(value).filter(|text| Decimal::parse(text).is_some()).map(str::to_owned),
        };
        match fact {
            Fact::Texts | Fact::List | Fact::Whole => {
                diagnostics.push(
                    Diagnostic::new(
                        Code::P0301,
                        path.span,
                        format!("`{}` is a list, which has no order and no equal", path.value),
                    )
                    .with_help(format!("look for an element: `{} contains \"TEXT\"`", path.value)),
                );
                None
            }
            Fact::Flag => match value {
                Expr::Bool(flag, _) if !orders => Some(flag.to_string()),
                Expr::Bool(..) => {
                    diagnostics.push(wrong("truth values have no order".to_owned(), "compare by `eq` or `ne`"));
                    None
                }
                _ => {
                    diagnostics.push(wrong(format!("`{}` is a truth value", path.value), "write `#true` or `#false`"));
                    None
                }
            },
            Fact::Text => match literal(value) {
                Some(text) if !orders => Some(text.to_owned()),
                _ if orders => {
                    diagnostics.push(wrong(
                        "texts are not put in order here".to_owned(),
                        "compare by `eq`, `ne`, `contains` or `matches`",
                    ));
                    None
                }
                _ => {
                    diagnostics.push(wrong(format!("`{}` is a text", path.value), "put it in quotes"));
                    None
                }
            },
            Fact::Count | Fact::Size | Fact::Duration | Fact::Number => {
                let unit = match fact {
                    Fact::Size => literal(value).and_then(parse_size_bytes),
                    Fact::Duration => literal(value).and_then(parse_duration_ms),
                    _ => None,
                };
                let found = unit.map(|unit| unit.to_string()).or(number);
                if found.is_none() {
                    diagnostics.push(wrong(
                        format!("`{}` is a number", path.value),
                        match fact {
                            Fact::Size => "write a size: `\"512KiB\"`",
                            Fact::Duration => "write a duration: `\"20m\"`",
                            Fact::Number => "write a number; one with a point in quotes: `\"0.9\"`",
                            _ => "write a number",
                        },
                    ));
                }
                found
            }
            Fact::Open => match (value, orders, number) {
                (_, _, Some(number)) => Some(number),
                (Expr::Bool(flag, _), false, None) => Some(flag.to_string()),
                (_, false, None) => literal(value).map(str::to_owned),
                (_, true, None) => {
                    diagnostics.push(wrong(
                        format!("`{}` puts numbers in order", op.word()),
                        "write a number; one with a point in quotes: `\"0.9\"`",
                    ));
                    None
                }
            },
        }
    }
}

fn no_fact(path: &Name, message: String, help: &str) -> Diagnostic {
    Diagnostic::new(Code::P0401, path.span, message).with_help(help)
}

/// What is wrong with what a gate asks of a parameter, once it is given something that fits a schema: of the parameter
/// as it is declared that was not known. Each with its place in the gate.
pub(super) fn asked_of(program: &Program, id: DeclId, param: &Param, given: &Ty) -> Vec<Diagnostic> {
    fn triples<'c>(condition: &'c Cond, all: &mut Vec<(&'c Name, Op, &'c Expr)>) {
        match condition {
            Cond::Triple(path, op, value) => all.push((path, *op, value)),
            Cond::All(inner) | Cond::Any(inner) | Cond::Not(inner) => inner.iter().for_each(|one| triples(one, all)),
        }
    }
    let gate = program.gate(id);
    let constants = Scope::of_file(program, id.file);
    let scope = constants.with_params(&gate.params, gate.params_known);
    let mut all = Vec::new();
    gate.require.iter().for_each(|require| triples(&require.condition, &mut all));
    all.retain(|(path, ..)| path.value.split('.').next() == Some(param.name.value.as_str()));
    let found = |ty: &Ty| {
        let param = Param { ty: ty.clone(), ..param.clone() };
        let asked = Asked { gate, by_name: BTreeMap::from([(param.name.value.as_str(), &param)]), scope: &scope };
        let mut found = Diagnostics::default();
        for (path, op, value) in &all {
            asked.triple(path, *op, value, &mut found);
        }
        found.sorted().into_iter().cloned().collect::<Vec<_>>()
    };
    // What is wrong anyhow is told where the gate is declared.
    if found(&param.ty).is_empty() { found(given) } else { Vec::new() }
}
