//! Views of a file for an editor: its outline, what can be folded, links, hints and lenses. Leaves
//! out how an editor shows them.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::base::format_micro_usd;
use crate::diag::Span;
use crate::lang::index::collect::callees;
use crate::lang::index::roles::shape_in;
use crate::lang::index::{Index, SymbolId};
use crate::lang::lex::{Lexer, TokenKind};
use crate::lang::shape::Child;
use crate::lang::shapes::TOP;
use crate::lang::{FileId, Instances, Node};

/// Something in an outline.
#[derive(Clone, Debug)]
pub struct Item {
    /// The symbol.
    pub symbol: SymbolId,
    /// What is in it.
    pub children: Vec<Item>,
}

/// A path that can be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Where it stands.
    pub span: Span,
    /// The path as written.
    pub path: String,
    /// The file of the program, for an import.
    pub import: Option<FileId>,
}

/// Something that is not written and can be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// Behind which byte.
    pub at: Span,
    /// What.
    pub text: String,
    /// More about it.
    pub about: String,
}

/// How often a declaration is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lens {
    /// The declaration's name.
    pub span: Span,
    /// Its uses.
    pub uses: Vec<Span>,
}

impl Index {
    /// The declarations of a file and what is in them, in order.
    pub fn outline(&self, file: FileId) -> Vec<Item> {
        let of_file = self.symbols.iter().enumerate().filter(|(_, symbol)| symbol.file == file);
        of_file.filter(|(_, symbol)| symbol.container.is_none()).map(|(id, _)| self.item(id)).collect()
    }

    fn item(&self, symbol: SymbolId) -> Item {
        // What is declared inside a declaration is never deeper than blocks are.
        Item { symbol, children: self.symbols[symbol].members.iter().map(|id| self.item(*id)).collect() }
    }

    /// One line about a symbol.
    pub fn detail(&self, symbol: SymbolId) -> String {
        let symbol = &self.symbols[symbol];
        let head = self.head(symbol);
        let line = head.lines().next().unwrap_or_default();
        line.chars().take(120).collect()
    }

    /// Ranges that can be folded; `true` for comments.
    pub fn folds(&self, file: FileId) -> Vec<(Range<usize>, bool)> {
        let text = self.text(file);
        let mut found = Vec::new();
        let mut open = Vec::new();
        let mut comments: Option<Range<usize>> = None;
        let mut newlines = 0;
        for token in Lexer::new(text) {
            match token.kind {
                TokenKind::Newline => newlines += 1,
                TokenKind::Space => {}
                TokenKind::LineComment => {
                    comments = match comments.take() {
                        Some(run) if newlines == 1 => Some(run.start..token.end),
                        run => {
                            found.extend(run.map(|run| (run, true)));
                            Some(token.start..token.end)
                        }
                    };
                    newlines = 0;
                }
                kind => {
                    found.extend(comments.take().map(|run| (run, true)));
                    newlines = 0;
                    match kind {
                        TokenKind::Open => open.push(token.start),
                        TokenKind::Close => found.extend(open.pop().map(|start| (start..token.end, false))),
                        TokenKind::BlockComment => found.push((token.start..token.end, true)),
                        _ => {}
                    }
                }
            }
        }
        found.extend(comments.map(|run| (run, true)));
        found.sort_by_key(|(range, _)| (range.start, range.end));
        found
    }

    /// Paths in a file.
    pub fn links(&self, file: FileId) -> Vec<Link> {
        let this = &self.files[file.0];
        let imports = self.symbols.iter().filter(|symbol| symbol.file == file && symbol.kind == "import");
        let targets: BTreeMap<u32, FileId> =
            imports.filter_map(|symbol| Some((symbol.whole.start, *this.aliases.get(&symbol.name)?))).collect();
        let link = |(span, path, import): &(Span, String, bool)| Link {
            span: *span,
            path: path.clone(),
            import: targets.range(..=span.start).next_back().map(|(_, target)| *target).filter(|_| *import),
        };
        this.paths.iter().map(link).collect()
    }

    /// What is not written in a range of a file: how many instances nodes have, what nodes and graphs cost at
    /// most in a run, and the defaults of parameters that are not given.
    pub fn hints(&self, file: FileId, within: Range<usize>, instances: &Instances) -> Vec<Hint> {
        let mut hints = Vec::new();
        let tree = &self.files[file.0].tree;
        for node in tree {
            if (node.span.start as usize) < within.end && node.span.end as usize >= within.start {
                self.hints_in(file, node, TOP, instances, &mut hints);
            }
        }
        hints.retain(|hint| within.contains(&(hint.at.end as usize)) || hint.at.end as usize == within.end);
        hints.sort_by_key(|hint| hint.at.end);
        hints
    }

    fn hints_in(
        &self,
        file: FileId,
        node: &Node,
        accepts: &'static [Child],
        instances: &Instances,
        out: &mut Vec<Hint>,
    ) {
        let Some(shape) = shape_in(accepts, &node.name.value) else { return };
        let children = node.children.as_deref().unwrap_or_default();
        if let Some(name) = node.args.first() {
            let many = children.iter().any(|child| child.name.value == "for-each");
            if let Some(of) = instances.of(name.span).filter(|_| many) {
                let more = if of.count > of.first.len() { ", …" } else { "" };
                let about = format!("`{}`{more}", of.first.join("`, `"));
                out.push(Hint { at: name.span, text: format!("×{}", of.count), about });
            }
            let cost = instances.cost_of(name.span);
            if cost > 0 {
                let routes = instances.of(name.span).into_iter().flat_map(|of| &of.routes);
                let about = routes.cloned().collect::<Vec<_>>().join("\n\n");
                out.push(Hint { at: name.span, text: format!("≤ ${}", format_micro_usd(cost)), about });
            }
        }
        for callee in callees(node, shape) {
            let Some(applied) = self.callee(self.files[file.0].root, &callee) else { continue };
            let given = |name: &str| {
                let with = children.iter().filter(|child| child.name.value == "with").flat_map(|child| &child.props);
                with.chain(&node.props).any(|prop| prop.name.value == name)
            };
            let takes = self.parameters(applied);
            let left: Vec<String> = takes
                .iter()
                .map(|id| &self.symbols[*id])
                .filter(|symbol| !given(&symbol.name))
                .filter_map(|symbol| symbol.value.as_ref().map(|value| format!("{}={value}", symbol.name)))
                .collect();
            if !left.is_empty() && !matches!(self.symbols[applied].kind, "graph" | "param") {
                let about = format!("defaults of `{}`", callee.name);
                let text: String = left.join(" ").chars().take(80).collect();
                out.push(Hint { at: callee.span, text, about });
            }
        }
        for child in children {
            self.hints_in(file, child, shape.children, instances, out);
        }
    }

    /// How often each declaration of a file is used.
    pub fn lenses(&self, file: FileId) -> Vec<Lens> {
        let of_file = self.symbols.iter().enumerate().filter(|(_, symbol)| symbol.file == file);
        let declared = of_file.filter(|(_, symbol)| symbol.container.is_none() && symbol.kind != "import");
        declared
            .map(|(id, symbol)| {
                let uses = self.occurrences_of(id).into_iter().filter(|occurrence| !occurrence.definition);
                Lens { span: symbol.span, uses: uses.map(|occurrence| occurrence.span).collect() }
            })
            .collect()
    }
}
