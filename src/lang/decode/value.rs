//! Constants, records, parameters and the values they hold to their declarations. Leaves out names: which
//! record a type means is known when all files are.

use crate::diag::{Code, Diagnostic, Span, did_you_mean};
use crate::lang::ast::{Expr, LetDecl, Name, Param, RecordDecl};
use crate::lang::decode::constraints::scalar;
use crate::lang::decode::{Decoder, child, children, first_name, is_true, prop, prop_name};
use crate::lang::expand::leak;
use crate::lang::text::Text;
use crate::lang::ty::{ArtifactKind, Constraints, Ty, schema_of};
use crate::lang::{Node, Spanned, foreign};

impl Decoder<'_> {
    pub(super) fn constant(&mut self, node: &Node) -> Option<LetDecl> {
        let ty = self.ty_open(node);
        if let Ty::Enum | Ty::Artifact(_) = ty {
            let span = prop(node, "type").map_or(node.name.span, |value| value.span);
            let help =
                if ty == Ty::Enum { "write `type=string`" } else { "artifacts come from nodes: `(ref)node.output`" };
            self.push(
                Diagnostic::new(Code::P0301, span, format!("a constant cannot be of type `{ty}`")).with_help(help),
            );
            return Some(LetDecl { name: first_name(node)?, ty: Ty::Poison, values: Vec::new() });
        }
        let sound = self.sound(node);
        let given = node.args.len() > 1;
        let values = self.held(node, 1);
        let list = matches!(ty, Ty::List(_));
        let known = !matches!(ty, Ty::Poison | Ty::Named(_));
        let several = match values.as_slice() {
            [Expr::List(items, _)] => !items.is_empty() && known,
            values => values.len() != 1,
        };
        if sound && known && (!list && several || list && given) {
            let help = match ty {
                Ty::List(_) => "write its elements as `-` children: `{ - a; - b }`",
                Ty::Map(_) => "write its entries in the block, each after its name: `{ http 80; https 443 }`",
                _ => "write its value after the name",
            };
            let found = match values.as_slice() {
                _ if list => "a value in the same line".to_owned(),
                [Expr::List(..)] => "a list".to_owned(),
                values => format!("{} values", values.len()),
            };
            self.push(
                Diagnostic::new(
                    Code::P0301,
                    node.name.span.to(first_name(node)?.span),
                    format!("a constant of type `{ty}` with {found}"),
                )
                .with_help(help),
            );
            return Some(LetDecl { name: first_name(node)?, ty, values: Vec::new() });
        }
        let mut values = values;
        if !sound && !list {
            // That there are too many has been reported.
            values.truncate(1);
        }
        Some(LetDecl { name: first_name(node)?, ty, values })
    }

    pub(super) fn params(&mut self, node: &Node) -> Vec<Param> {
        children(node, "param").filter_map(|node| self.param(node)).collect()
    }

    pub(super) fn param(&mut self, node: &Node) -> Option<Param> {
        let name = first_name(node)?;
        let word = if node.name.value == "field" { "field" } else { "parameter" };
        let ty = self.ty_open(node);
        let ty = self.fitting(node, ty);
        let fits = self.constraints_fit(node, &name, &ty);
        let one_of = self.choices(node, &ty);
        if *scalar(&ty) == Ty::Enum && one_of.is_empty() && self.sound(node) {
            self.push(
                Diagnostic::new(Code::P0104, name.span, format!("`{}` of type `enum` needs `one-of`", name.value))
                    .with_help("list its values in the block: `{ one-of debug release }`"),
            );
            // Its default would be reported as none of no values.
            return Some(Param {
                name,
                ty: Ty::Poison,
                default: Some(Vec::new()),
                constraints: Constraints::default(),
                word: word.into(),
            });
        }
        let matches = prop_name(node, "matches").and_then(|pattern| match regex::Regex::new(&pattern.value) {
            Ok(regex) => Some(regex),
            Err(error) => {
                let reason =
                    error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                self.push(
                    Diagnostic::new(
                        Code::P0301,
                        pattern.span,
                        format!("`{}` is not a regular expression", pattern.value),
                    )
                    .with_help(reason),
                );
                None
            }
        });
        let default = match (prop(node, "default"), child(node, "default")) {
            (Some(value), _) => self.expr(value).map(|value| vec![value]),
            (None, Some(node)) => Some(self.default_in_block(node, &ty)),
            (None, None) => None,
        };
        let mut bound = |word| self.bound(node, word, &ty).filter(|_| fits);
        let mut constraints = Constraints {
            min: bound("min"),
            max: bound("max"),
            min_length: bound("min-length"),
            max_length: bound("max-length"),
            min_items: bound("min-items"),
            max_items: bound("max-items"),
            matches,
            one_of: one_of.iter().map(|(value, _)| value.clone()).collect(),
            distinct: is_true(node, "distinct"),
        };
        self.can_be_met(node, &name, &ty, &mut constraints, &one_of);
        Some(Param { name, ty, default, constraints, word: word.into() })
    }

    /// The type as written, which may be a record's; poison where it has been reported as missing or wrong.
    fn ty_open(&mut self, node: &Node) -> Ty {
        let Some(written) = prop_name(node, "type") else { return Ty::Poison };
        // Whether there is such a record is known when all files are: see `load::records`.
        Ty::parse_open(&written).unwrap_or_else(|| self.no_type(&written))
    }

    /// The type as written, where no record may stand.
    pub(super) fn ty(&mut self, node: &Node) -> Ty {
        let Some(written) = prop_name(node, "type") else { return Ty::Poison };
        let ty = Ty::parse(&written.value).unwrap_or_else(|| self.no_type(&written));
        self.fitting(node, ty)
    }

    /// A type with the schema it names, by either of its two spellings.
    pub(super) fn fitting(&mut self, node: &Node, ty: Ty) -> Ty {
        let written = prop_name(node, "type");
        let inside = written.as_ref().and_then(|written| {
            let path = schema_of(&written.value)?.to_owned();
            // Within quotes, it is known where it stands.
            let (start, length) = (written.span.start as usize, written.value.len());
            let is_quoted = written.span.end as usize == start + length + 2;
            let end = start + length;
            let span = if is_quoted { Span::new(written.span.source, end - path.len(), end) } else { written.span };
            Some(Spanned { value: path, span })
        });
        let given = prop_name(node, "schema");
        if let (Some(given), Ty::Artifact(kind), None) = (&given, &ty, &inside)
            && *kind == ArtifactKind::Json
        {
            return Ty::Artifact(ArtifactKind::Unread(given.clone()));
        }
        match (given, inside) {
            (Some(given), Some(inside)) => self.push(
                Diagnostic::new(Code::P0106, given.span, "a document fits one schema, and this names it twice")
                    .with_secondary(inside.span, "the first")
                    .with_help("keep one of the two: `type=artifact.json schema=\"PATH\"` says the same as `type=\"artifact.json<PATH>\"`"),
            ),
            (None, Some(inside)) => return Ty::Artifact(ArtifactKind::Unread(inside)),
            (Some(given), None) if ty != Ty::Poison => self.push(
                Diagnostic::new(
                    Code::P0301,
                    given.span,
                    format!("`schema` says what a JSON document holds, and this is of type `{ty}`"),
                )
                .with_help("write `type=artifact.json`, or remove `schema`"),
            ),
            _ => {}
        }
        ty
    }

    fn no_type(&mut self, written: &Name) -> Ty {
        let names = Ty::names();
        self.push(match written.value.as_str() {
            text if foreign::is_float(text) => {
                let found = Diagnostic::new(Code::P0201, written.span, format!("cannot find type `{}`", written.value));
                found.with_help("there are no numbers with a point: use `int`, `money`, or `string`")
            }
            _ => Diagnostic::new(Code::P0201, written.span, format!("cannot find type `{}`", written.value))
                .with_suggestion(
                    did_you_mean(&written.value, names.iter().map(String::as_str))
                        .or_else(|| foreign::ty(&written.value)),
                )
                .with_help(format!("types: {}", names.join(", "))),
        });
        Ty::Poison
    }

    /// The values that a node holds: arguments after the first `skip`; the elements in its block as one, a list; or
    /// the named values there as one. A block without anything is a list of none.
    pub(super) fn held(&mut self, node: &Node, skip: usize) -> Vec<Expr> {
        let mut values: Vec<Expr> = node.args.iter().skip(skip).filter_map(|value| self.expr(value)).collect();
        let mut fields: Vec<(Name, Vec<Expr>)> = Vec::new();
        let mut elements: Vec<Expr> = Vec::new();
        let mut dash = None;
        for child in node.children.iter().flatten() {
            match child.name.value.as_str() {
                "allow" => {}
                "-" => {
                    dash = dash.or(Some(child.name.span));
                    elements.extend(self.held(child, 0));
                }
                _ => {
                    let inner = self.held(child, 0);
                    fields.push((child.name.clone(), inner));
                }
            }
        }
        if let Some((name, _)) = fields.first() {
            if let Some(dash) = dash {
                self.push(
                    Diagnostic::new(Code::P0301, name.span, "named values and elements of a list stand in one block")
                        .with_secondary(dash, "an element of a list")
                        .with_help("a list holds `-` children, a map or a record named ones"),
                );
                return vec![Expr::Text(Text::broken(name.span))];
            }
            let span = fields.iter().fold(name.span, |span, (name, _)| span.to(name.span));
            values.push(Expr::Fields(fields, span));
        } else if !values.is_empty() {
            // Values in the line and in the block have been reported.
            values.extend(elements);
        } else if dash.is_some() || node.children.is_some() {
            let place = elements.first().zip(elements.last()).map(|(first, last)| first.span().to(last.span()));
            values.push(Expr::List(elements, place.or(dash).unwrap_or(node.name.span)));
        }
        values
    }

    /// The elements that stand in the block of a node, as a list.
    pub(super) fn elements(&mut self, node: &Node, skip: usize, at: Span) -> Expr {
        match self.held(node, skip).pop() {
            Some(list @ Expr::List(..)) => list,
            other => Expr::List(other.into_iter().collect(), at),
        }
    }

    /// The value of an argument that stands in the block of `with`: a list, or named values.
    pub(super) fn in_block(&mut self, node: &Node) -> Expr {
        let named = |child: &Node| !matches!(child.name.value.as_str(), "-" | "allow");
        let value = if node.children.iter().flatten().any(named) {
            self.held(node, 0).pop()
        } else {
            Some(self.elements(node, 0, node.name.span))
        };
        if let Some(value) = &value {
            self.refuse_inside(value);
        }
        // What cannot be read has been reported, and is given all the same.
        value.filter(|_| self.sound(node)).unwrap_or_else(|| Expr::Text(Text::broken(node.name.span)))
    }

    /// Reports what no list, map or record may hold where it is given.
    fn refuse_inside(&mut self, value: &Expr) {
        match value {
            Expr::List(values, _) => values.iter().for_each(|value| self.refuse_inside(value)),
            Expr::Fields(fields, _) => {
                fields.iter().flat_map(|(_, values)| values).for_each(|value| self.refuse_inside(value));
            }
            Expr::Ref(text) => self.push(
                Diagnostic::new(Code::P0406, text.span, "a list, a map or a record holds values, never outputs")
                    .with_help("give it to a parameter of its own: `with NAME=(ref)node.output`"),
            ),
            Expr::Secret(name) => self.push(leak(&name.value, name.span, "a list, a map or a record")),
            Expr::Text(_) | Expr::Int(..) | Expr::Bool(..) | Expr::Var(_) => {}
        }
    }

    fn default_in_block(&mut self, node: &Node, ty: &Ty) -> Vec<Expr> {
        let values = self.held(node, 0);
        // A block without elements is a list of none, as that of a `let`; nothing else is made of nothing.
        let none = values.iter().all(|value| matches!(value, Expr::List(items, _) if items.is_empty()));
        let may = ty.is_compound() || matches!(ty, Ty::Named(_) | Ty::Poison);
        if none && !(may && node.children.is_some()) && self.sound(node) {
            self.push(
                Diagnostic::new(Code::P0105, node.name.span, "`default` takes at least 1 argument, 0 given")
                    .with_label("more is needed here")
                    .with_help("it is written `default VALUE…`, or `default { NAME VALUE }` for a map or a record"),
            );
            return Vec::new();
        }
        values
    }

    pub(super) fn record(&mut self, node: &Node) -> Option<RecordDecl> {
        let name = first_name(node)?;
        let fields_known = self.intact(node, "field");
        let mut fields: Vec<Param> = children(node, "field").filter_map(|node| self.param(node)).collect();
        for field in &mut fields {
            if matches!(field.ty, Ty::Artifact(_)) {
                self.push(
                    Diagnostic::new(
                        Code::P0301,
                        field.name.span,
                        format!("a field holds a value, and `{}` is of type `{}`", field.name.value, field.ty),
                    )
                    .with_help("artifacts are made by nodes: take them by a `param` of their own"),
                );
                field.ty = Ty::Poison;
            }
            if field.name.value.contains('.') {
                self.push(
                    Diagnostic::new(
                        Code::P0301,
                        field.name.span,
                        format!("`{}` cannot name a field", field.name.value),
                    )
                    .with_help("names are made of letters, digits, `-` and `_`, so that `x.field` can be said"),
                );
            }
        }
        if child(node, "field").is_none() && self.sound(node) {
            self.push(
                Diagnostic::new(Code::P0104, name.span, format!("record `{}` needs a `field`", name.value))
                    .with_help("a record is made of fields: `field jobs type=int`"),
            );
        }
        Some(RecordDecl { name, fields, fields_known })
    }
}
