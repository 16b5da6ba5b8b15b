//! `test` blocks to their declarations. Leaves out names.

use crate::base::parse_micro_usd;
use crate::diag::{Code, Diagnostic, Span, did_you_mean};
use crate::lang::ast::{ExpectDecl, Expected, Expr, MockContent, MockDecl, Name, Op, TestDecl};
use crate::lang::decode::{Decoder, child, children, first_name, name_of, prop, prop_name};
use crate::lang::ty::{ArtifactKind, Ty, schema_of};
use crate::lang::{Kind, Node, Spanned, Value};

/// The words after `expect`, each with how it is written.
const FORMS: &[(&str, &str)] = &[
    ("nodes", "expect nodes \"PATTERN\" count=N"),
    ("path", "expect path from=NODE to=NODE"),
    ("no-path", "expect no-path from=NODE to=NODE"),
    ("type", "expect type NODE.OUTPUT TYPE"),
    ("diagnostic", "expect diagnostic CODE { PARAM VALUE… }"),
    ("cost", "expect cost le \"DOLLARS\""),
    ("status", "expect status N"),
    ("output", "expect output NODE.OUTPUT contains \"TEXT\""),
];

impl Decoder<'_> {
    pub(super) fn test(&mut self, node: &Node) -> Option<TestDecl> {
        let name = first_name(node)?;
        let given = child(node, "given");
        if given.is_none() && self.sound(node) {
            self.push(
                Diagnostic::new(Code::P0104, name.span, format!("test `{}` needs `given`", name.value))
                    .with_help("say which graph it is about: `given GRAPH { PARAM VALUE… }`"),
            );
        }
        let given = given?;
        let mut expects = Vec::new();
        for node in node.children.iter().flatten() {
            let what = match node.name.value.as_str() {
                "expect" => self.expect(node),
                "expect-plan" => first_name(node).map(|file| Expected::Plan { file }),
                _ => continue,
            };
            let last = node.args.iter().map(|value| value.span).chain(node.props.iter().map(|p| p.value.span));
            let span = last.fold(node.name.span, Span::to);
            expects.extend(what.map(|what| ExpectDecl { what, span }));
        }
        if expects.is_empty() && self.sound(node) {
            self.push(
                Diagnostic::new(Code::P0104, name.span, format!("test `{}` expects nothing", name.value))
                    .with_help(format!("say what must hold, as `{}`", FORMS[0].1)),
            );
        }
        let mocks: Vec<MockDecl> = children(node, "mock").filter_map(|node| self.mock(node)).collect();
        let of_run = expects.iter().find(|expect| expect.what.of_run());
        if let (Some(mock), None) = (child(node, "mock"), of_run)
            && self.sound(node)
        {
            self.push(
                Diagnostic::new(Code::P0104, mock.name.span, "something stands in, and nothing is asked of a run")
                    .with_help(
                        "say what must come of it: `expect status 0`, or `expect output NODE.OUTPUT contains \"TEXT\"`",
                    ),
            );
        }
        Some(TestDecl { name, graph: first_name(given)?, values: self.values(given), mocks, expects })
    }

    /// Values for parameters: one child each.
    fn values(&mut self, node: &Node) -> Vec<(Name, Vec<Expr>)> {
        let mut values = Vec::new();
        for child in node.children.iter().flatten().filter(|child| child.name.value != "allow") {
            let given = self.held(child, 0);
            values.push((child.name.clone(), given));
        }
        values
    }

    fn op(&mut self, value: &Value) -> Option<Op> {
        let word = name_of(value)?;
        let found = Op::ALL.iter().find(|(known, _)| *known == word.value).map(|(_, op)| *op);
        if found.is_none() {
            self.push(
                Diagnostic::new(Code::P0305, word.span, format!("`{}` is not a comparison", word.value))
                    .with_help("costs are compared by `eq ne lt le gt ge`, outputs by `eq ne contains matches`"),
            );
        }
        found
    }

    /// What stands in for a tool or an agent.
    fn mock(&mut self, node: &Node) -> Option<MockDecl> {
        let kind = self.word_at(node, "what is mocked", &["tool", "agent"])?;
        let name = name_of(node.args.get(1)?)?;
        let status = match prop(node, "status") {
            Some(value) => self.bounded(value, 0, 255)? as u8,
            None => 0,
        };
        let mut outputs = Vec::new();
        for child in children(node, "output") {
            let Some(output) = first_name(child) else { continue };
            let text = child.args.get(1).and_then(name_of).map(|text| MockContent::Text(text.value));
            let file = prop_name(child, "file").map(MockContent::File);
            match (text, file) {
                (Some(content), None) | (None, Some(content)) => outputs.push((output, content)),
                _ => self.push(
                    Diagnostic::new(Code::P0104, output.span, "what is left is a text or a file, one of the two")
                        .with_help("write `output NAME \"TEXT\"` or `output NAME file=\"FILE\"`"),
                ),
            }
        }
        Some(MockDecl { agent: kind.value == "agent", name, at: prop_name(node, "at"), status, outputs })
    }

    /// The first word of a node, one of a closed set.
    fn word_at(&mut self, node: &Node, what: &str, known: &[&str]) -> Option<Name> {
        let word = first_name(node)?;
        if known.contains(&word.value.as_str()) {
            return Some(word);
        }
        self.push(
            Diagnostic::new(Code::P0305, word.span, format!("`{}` is not {what}", word.value))
                .with_suggestion(did_you_mean(&word.value, known.iter().copied()))
                .with_help(format!("known: {}", known.join(", "))),
        );
        None
    }

    fn expect(&mut self, node: &Node) -> Option<Expected> {
        let form = first_name(node)?;
        let Some((word, usage)) = FORMS.iter().find(|(word, _)| *word == form.value) else {
            let known: Vec<&str> = FORMS.iter().map(|(word, _)| *word).collect();
            self.push(
                Diagnostic::new(Code::P0305, form.span, format!("`{}` is nothing to expect", form.value))
                    .with_suggestion(did_you_mean(&form.value, known.iter().copied()))
                    .with_help(format!("known: {}", known.join(", "))),
            );
            return None;
        };
        let (args, props, block): (usize, &[&str], bool) = match *word {
            "nodes" => (2, &["count", "min", "max"], false),
            "path" | "no-path" => (1, &["from", "to"], false),
            "type" | "cost" => (3, &[], false),
            "status" => (2, &[], false),
            "output" => (4, &[], false),
            _ => (2, &[], true),
        };
        let extra = node.props.iter().find(|property| !props.contains(&property.name.value.as_str()));
        let inner = node.children.iter().flatten().find(|child| !block && child.name.value != "allow");
        let wrong = match (node.args.len() == args, extra, inner) {
            (false, ..) => Some(node.args.get(args).map_or(form.span, |value| value.span)),
            (_, Some(property), _) => Some(property.name.span),
            (.., Some(child)) => Some(child.name.span),
            _ => None,
        };
        if let Some(span) = wrong {
            self.push(
                Diagnostic::new(Code::P0105, span, format!("`expect {word}` is not written so"))
                    .with_help(format!("it is written `{usage}`")),
            );
            return None;
        }
        let number = node.args.iter().skip(1).find(|value| !matches!(value.kind, Kind::Text(_)));
        if let Some(value) = number.filter(|_| *word != "status") {
            self.push(
                Diagnostic::new(Code::P0108, value.span, "expected a text")
                    .with_help(format!("put it in quotes; it is written `{usage}`")),
            );
            return None;
        }
        let int = |name| match prop(node, name) {
            Some(value) => match value.kind {
                Kind::Int(int) => Some(Spanned { value: int, span: value.span }),
                _ => None,
            },
            None => None,
        };
        match *word {
            "nodes" => Some(Expected::Nodes {
                pattern: name_of(&node.args[1])?,
                count: int("count"),
                min: int("min"),
                max: int("max"),
            }),
            "cost" => {
                let op = self.op(&node.args[1])?;
                let usd = name_of(&node.args[2])?;
                let Some(value) = parse_micro_usd(&usd.value) else {
                    self.bad_unit(usd.span, &usd.value, "amount of money", "`\"1.50\"`");
                    return None;
                };
                Some(Expected::Cost { op, usd: Spanned { value, span: usd.span } })
            }
            "status" => {
                let Kind::Int(value) = node.args[1].kind else {
                    self.push(
                        Diagnostic::new(Code::P0301, node.args[1].span, "a status is a whole number")
                            .with_help("0 is done; 12 a gate that says no; 4 an approval that is missing"),
                    );
                    return None;
                };
                Some(Expected::Status { status: Spanned { value, span: node.args[1].span } })
            }
            "output" => Some(Expected::Output {
                output: name_of(&node.args[1])?,
                op: self.op(&node.args[2]).filter(|op| matches!(op, Op::Eq | Op::Ne | Op::Contains | Op::Matches))?,
                value: name_of(&node.args[3])?,
            }),
            "type" => {
                let written = name_of(&node.args[2])?;
                let path = schema_of(&written.value);
                let fitting = path.map(|path| Spanned { value: path.to_owned(), span: written.span });
                let fitting = fitting.map(|path| Ty::Artifact(ArtifactKind::Unread(path)));
                let Some(ty) = fitting.or_else(|| Ty::parse(&written.value)) else {
                    let names = Ty::names();
                    self.push(
                        Diagnostic::new(Code::P0201, written.span, format!("cannot find type `{}`", written.value))
                            .with_suggestion(did_you_mean(&written.value, names.iter().map(String::as_str)))
                            .with_help(format!("types: {}", names.join(", "))),
                    );
                    return None;
                };
                Some(Expected::Type { output: name_of(&node.args[1])?, ty: Spanned { value: ty, span: written.span } })
            }
            "diagnostic" => {
                let written = name_of(&node.args[1])?;
                let Ok(code) = written.value.parse::<Code>() else {
                    let known = Code::ALL.iter().map(|code| code.as_str());
                    self.push(
                        Diagnostic::new(Code::P0201, written.span, format!("there is no code `{}`", written.value))
                            .with_suggestion(did_you_mean(&written.value.to_ascii_uppercase(), known))
                            .with_help("codes are told with what they are said of, as `P0407`"),
                    );
                    return None;
                };
                let code = Spanned { value: code, span: written.span };
                Some(Expected::Diagnostic { code, values: self.values(node) })
            }
            word => {
                let (from, to) = (prop_name(node, "from"), prop_name(node, "to"));
                if let (None, _) | (_, None) = (&from, &to)
                    && self.sound(node)
                {
                    self.push(
                        Diagnostic::new(Code::P0104, form.span, format!("`expect {word}` needs `from` and `to`"))
                            .with_help(format!("it is written `{usage}`")),
                    );
                }
                Some(Expected::Path { from: from?, to: to?, exists: word == "path" })
            }
        }
    }
}
