//! Gates, groups of people, guards and levels of automation to their declarations. Leaves out names
//! and types: see `check`.

use crate::base::parse_duration_ms;
use crate::diag::{Code, Diagnostic, did_you_mean};
use crate::lang::ast::{Expr, Name, OutputDecl, Param, RecipeDecl};
use crate::lang::decode::{Decoder, child, children, first_name, is_true, names_of_children, prop, prop_name};
use crate::lang::gate::{ApproversDecl, GateDecl, GuardDecl, KINDS, MemberDecl, PeopleDecl, RequireDecl, VERDICT};
use crate::lang::text::Text;
use crate::lang::ty::{ArtifactKind, Constraints, Ty};
use crate::lang::{Node, Spanned};

/// Which children belong to which kinds of gate.
const OF_KIND: &[(&str, &[&str])] = &[
    ("require", &["file", "content", "artifact", "check", "metric", "agent"]),
    ("section", &["content"]),
    ("run", &["command"]),
    ("input", &["command"]),
    ("env", &["command"]),
    ("tools", &["command"]),
    ("cwd", &["command"]),
    ("approvers", &["approval"]),
    ("expires", &["approval"]),
    ("with", &["agent"]),
    ("timeout", &["command", "agent"]),
    ("retry", &["command", "agent"]),
    ("resources", &["command"]),
    ("param", &["file", "content", "artifact", "check", "metric", "agent", "command"]),
];

impl Decoder<'_> {
    pub(super) fn gate(&mut self, node: &Node) -> Option<GateDecl> {
        let name = first_name(node)?;
        let kind = prop_name(node, "kind")?;
        if !KINDS.contains(&kind.value.as_str()) {
            self.push(
                Diagnostic::new(Code::P0305, kind.span, format!("`{}` is not a kind of gate", kind.value))
                    .with_suggestion(did_you_mean(&kind.value, KINDS.iter().copied()))
                    .with_help(format!("kinds: {}", KINDS.join(", "))),
            );
            return None;
        }
        self.of_the_kind(node, &kind);
        let params_known = self.intact(node, "param");
        let params = self.params(node);
        // Where it has no place, it has been reported, and is not looked into.
        let judges = !matches!(kind.value.as_str(), "command" | "approval");
        let require = children(node, "require").filter(|_| judges).filter_map(|node| self.require(node)).collect();
        let sections = names_of_children(node, "section");
        let mut work = self.work(node);
        let is_agent = kind.value == "agent";
        if !is_agent {
            work.ask = None;
        }
        let verdict = is_agent.then(|| {
            let name = Name { value: VERDICT.0.to_owned(), span: kind.span };
            let ty = Ty::Artifact(ArtifactKind::Json);
            work.outputs.push(OutputDecl {
                name: Text::literal(VERDICT.0, kind.span),
                path: Some(Text::literal(VERDICT.1, kind.span)),
                ty: ty.clone(),
                digest: None,
                span: kind.span,
            });
            Param { name, ty, default: None, constraints: Constraints::default(), word: "param".into() }
        });
        let (missing, help) = match kind.value.as_str() {
            "agent" => {
                (work.ask.is_none(), "say who is asked: `agent=NAME`, and `with VAR=(var)PARAM` what its skill needs")
            }
            "command" => (child(node, "run").is_none(), "say what decides: `run TOOL ARG…`; status 0 is yes"),
            "approval" => (child(node, "approvers").is_none(), "say who approves: `approvers GROUP min=1`"),
            "content" => {
                let none = child(node, "require").is_none() && child(node, "section").is_none();
                (none, "say what must hold: `section HEADING…`, or `require PARAM.text contains \"TEXT\"`")
            }
            _ => (child(node, "require").is_none(), "say what must hold: `require PARAM.FACT ge 1`"),
        };
        if missing && self.sound(node) {
            let what = match kind.value.as_str() {
                "command" => "`run`",
                "agent" => "`agent`",
                "approval" => "`approvers`",
                _ => "`require`",
            };
            self.push(
                Diagnostic::new(Code::P0104, name.span, format!("gate `{}` needs {what}", name.value)).with_help(help),
            );
        }
        let approvers = match child(node, "approvers") {
            Some(node) => Some(self.approvers(node)?),
            None => None,
        };
        let expires_ms = match child(node, "expires") {
            Some(node) => self.expires(node),
            None => None,
        };
        let message = prop_name(node, "else").map(|name| name.value);
        Some(GateDecl {
            name,
            kind,
            params,
            params_known,
            require,
            sections,
            message,
            work,
            verdict,
            approvers,
            expires_ms,
            span: node.span,
        })
    }

    /// Reports what a gate of its kind cannot say.
    fn of_the_kind(&mut self, node: &Node, kind: &Name) {
        for word in ["agent", "skill", "complexity"] {
            if let Some(value) = prop(node, word).filter(|_| kind.value != "agent") {
                self.push(
                    Diagnostic::new(Code::P0107, value.span, format!("`{word}=` belongs in gates of kind agent"))
                        .with_secondary(kind.span, "the kind of this gate")
                        .with_help("change the kind, or remove it"),
                );
            }
        }
        for (word, kinds) in OF_KIND {
            if let Some(child) = child(node, word)
                && !kinds.contains(&kind.value.as_str())
            {
                let word = *word;
                self.push(
                    Diagnostic::new(
                        Code::P0107,
                        child.name.span,
                        format!("`{word}` belongs in gates of kind {}", kinds.join(", ")),
                    )
                    .with_secondary(kind.span, "the kind of this gate")
                    .with_help("change the kind, or remove it"),
                );
            }
        }
    }

    /// A gate of a recipe: it judges what the recipe returns and is given, by its names there.
    pub(super) fn recipe_gate(&mut self, node: &Node, recipe: &RecipeDecl) -> Option<GateDecl> {
        let mut gate = self.gate(node)?;
        if let Some(param) = child(node, "param") {
            self.push(
                Diagnostic::new(
                    Code::P0107,
                    param.name.span,
                    "a gate of a recipe has no parameters: it judges what the recipe returns, by its name",
                )
                .with_secondary(recipe.name.span, "the recipe")
                .with_help("remove it, or declare the gate outside and apply it by `guard`"),
            );
        }
        let returned = recipe.returns.iter().map(|returns| (&returns.name, &returns.ty));
        let given = recipe.params.iter().map(|param| (&param.name, &param.ty));
        gate.params = returned
            .chain(given)
            .filter(|(_, ty)| matches!(ty, Ty::Artifact(_) | Ty::Poison))
            .map(|(name, ty)| Param {
                name: name.clone(),
                ty: ty.clone(),
                default: None,
                constraints: Constraints::default(),
                word: "param".into(),
            })
            .collect();
        gate.params_known = recipe.params_known && recipe.returns_known;
        Some(gate)
    }

    fn require(&mut self, node: &Node) -> Option<RequireDecl> {
        if node.args.is_empty() && node.children.as_ref().is_none_or(Vec::is_empty) && self.sound(node) {
            self.push(
                Diagnostic::new(Code::P0105, node.name.span, "`require` says nothing that could hold")
                    .with_help("it is written `require PATH OP VALUE…`, or with a block of `any`, `all` and `not`"),
            );
        }
        let condition = self.condition(node)?;
        let message = prop_name(node, "else").map(|name| name.value);
        Some(RequireDecl { condition, message, span: node.name.span })
    }

    fn approvers(&mut self, node: &Node) -> Option<ApproversDecl> {
        let group = first_name(node)?;
        let min = match prop(node, "min") {
            Some(value) => Spanned { value: self.natural(value, 1)?, span: value.span },
            None => Spanned { value: 1, span: group.span },
        };
        Some(ApproversDecl { group, min, distinct: is_true(node, "distinct") })
    }

    fn expires(&mut self, node: &Node) -> Option<u64> {
        let after = first_name(node)?;
        let then = prop_name(node, "then");
        if let Some(then) = then.filter(|then| then.value != "reject") {
            self.push(
                Diagnostic::new(Code::P0305, then.span, format!("`{}` is not one of reject", then.value))
                    .with_help("an approval that is too old counts as none: `then=reject`"),
            );
        }
        let ms = parse_duration_ms(&after.value).filter(|ms| *ms > 0);
        if ms.is_none() {
            self.bad_unit(after.span, &after.value, "duration", "`24h` or `72h`");
        }
        ms
    }

    pub(super) fn people(&mut self, node: &Node) -> Option<PeopleDecl> {
        let mut members = Vec::new();
        for child in children(node, "member") {
            let Some(name) = first_name(child) else { continue };
            let key = prop_name(child, "key");
            let is_id =
                |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            if let Some(key) = key.as_ref().filter(|key| !is_id(&key.value)) {
                self.push(
                    Diagnostic::new(Code::P0301, key.span, "this is not the id of a key: 64 digits and letters a to f")
                        .with_help("`partita key show NAME` prints it"),
                );
            }
            let email = prop_name(child, "email").map(|name| name.value);
            members.push(MemberDecl { name, key, email });
        }
        Some(PeopleDecl { name: first_name(node)?, members })
    }

    pub(super) fn guards(&mut self, node: &Node) -> Vec<GuardDecl> {
        let mut guards = Vec::new();
        for child in children(node, "guard") {
            let Some(gate) = first_name(child) else { continue };
            let mut with = Vec::new();
            for property in &child.props {
                // What cannot be read has been reported, and is given all the same.
                let value = self.expr(&property.value);
                with.push((
                    property.name.clone(),
                    value.unwrap_or_else(|| Expr::Text(Text::broken(property.value.span))),
                ));
            }
            guards.push(GuardDecl { gate, with });
        }
        guards
    }

    /// The level of automation, if it is one.
    pub(super) fn automation(&mut self, node: &Node) -> Option<Name> {
        let given = prop_name(node, "automation")?;
        let words = ["auto", "notify", "assist", "manual"];
        if words.contains(&given.value.as_str()) {
            return Some(given);
        }
        self.push(
            Diagnostic::new(Code::P0305, given.span, format!("`{}` is not one of {}", given.value, words.join(", ")))
                .with_suggestion(did_you_mean(&given.value, words))
                .with_help(
                    "it says how much starts by itself: all, all and people are told, after consent, or nothing",
                ),
        );
        None
    }
}
