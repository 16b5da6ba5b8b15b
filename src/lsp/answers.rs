//! One function for each question of an editor: from its parameters to its answer. Leaves out the
//! order of messages, and every piece of knowledge about the language.

use std::sync::Arc;

use gen_lsp_types::{
    BaseSymbolInformation, CodeAction, CodeActionKind, CodeActionParams, CodeLens, Command, CompletionItem,
    CompletionItemTextEdit, CompletionList, CompletionParams, DocumentHighlight, DocumentHighlightKind, DocumentLink,
    DocumentLinkParams, DocumentSymbol, DocumentSymbolParams, Documentation, FoldingRange, FoldingRangeKind,
    FoldingRangeParams, Hover, InlayHint, InlayHintParams, InsertTextFormat, Location, MarkupContent, MarkupKind,
    Position, PrepareRenamePlaceholder, PrepareRenameResult, ReferenceParams, RenameParams, SemanticToken,
    SemanticTokens, SymbolInformation, SymbolTag, TextDocumentIdentifier, TextDocumentPositionParams, TextEdit, Uri,
    WorkspaceEdit, WorkspaceSymbolParams,
};

use crate::diag::{Applicability, Edit};
use crate::lsp::capabilities::Client;
use crate::lsp::convert::{Places, completion_kind, over, quick_fix, symbol_kind};
use crate::lsp::documents::{Asked, Documents};
use crate::lsp::position::{Encoding, Lines};
use crate::lsp::uri;
use crate::ops::{self, Instances, Item, Session, TokenClass};

/// Symbols sent for one search.
const SYMBOLS: usize = 500;

/// A question's answer; the error is for the person who asked.
pub(super) type Answer<T> = Result<T, String>;

/// What questions are answered from.
pub(super) struct Answers<'a> {
    pub(super) documents: &'a Documents,
    pub(super) client: Client,
}

impl Answers<'_> {
    fn asked(&self, document: &TextDocumentIdentifier) -> Option<Asked> {
        self.documents.asked(&document.uri.0)
    }

    fn places<'a>(&'a self, asked: &'a Asked) -> Places<'a> {
        Places::new(self.documents, &asked.dir, &asked.index)
    }

    /// A document and the offset of a position in it.
    fn at(&self, params: &TextDocumentPositionParams) -> Option<(Asked, usize)> {
        let asked = self.asked(&params.text_document)?;
        let source = asked.index.source(asked.file);
        let offset = self.places(&asked).lines(source).offset(params.position);
        Some((asked, offset))
    }

    /// What nodes came to when the folder was last expanded, if it is still the same text.
    fn instances(&self, asked: &Asked) -> Instances {
        let findings = self.documents.found.get(&asked.dir);
        let same = findings.filter(|findings| Arc::ptr_eq(&findings.index, &asked.index));
        same.map(|findings| findings.instances.clone()).unwrap_or_default()
    }

    pub(super) fn hover(&self, params: &TextDocumentPositionParams) -> Option<Hover> {
        let (asked, offset) = self.at(params)?;
        let found = asked.index.hover_at(asked.file, offset, &self.instances(&asked))?;
        let range = self.places(&asked).range(found.span);
        Some(Hover { contents: markdown(found.text).into(), range: Some(range) })
    }

    pub(super) fn definition(&self, params: &TextDocumentPositionParams) -> Option<Location> {
        let (asked, offset) = self.at(params)?;
        if let Some(symbol) = asked.index.definition_at(asked.file, offset) {
            // An alias stands for a file.
            let file = asked.index.import_target(symbol).filter(|_| symbol.span.range().contains(&offset));
            return match file {
                Some(path) => self.start_of(&asked, path),
                None => self.places(&asked).location(symbol.span),
            };
        }
        let links = asked.index.links(asked.file);
        let link = links.into_iter().find(|link| (link.span.start..=link.span.end).contains(&(offset as u32)))?;
        match link.import {
            Some(file) => self.start_of(&asked, asked.index.path(file)),
            None => {
                let uri = file_of(&asked, &link.path)?;
                Some(Location { uri: Uri(uri), range: gen_lsp_types::Range::default() })
            }
        }
    }

    fn start_of(&self, asked: &Asked, path: &str) -> Option<Location> {
        Some(Location { uri: Uri(self.documents.uri(&asked.dir, path)?), range: gen_lsp_types::Range::default() })
    }

    pub(super) fn references(&self, params: &ReferenceParams) -> Option<Vec<Location>> {
        let (asked, offset) = self.at(&params.text_document_position_params)?;
        let mut places = self.places(&asked);
        let all = asked.index.references_of(asked.file, offset).into_iter();
        let wanted = all.filter(|found| params.context.include_declaration || !found.definition);
        Some(wanted.filter_map(|found| places.location(found.span)).collect())
    }

    pub(super) fn highlights(&self, params: &TextDocumentPositionParams) -> Option<Vec<DocumentHighlight>> {
        let (asked, offset) = self.at(params)?;
        let source = asked.index.source(asked.file);
        let mut places = self.places(&asked);
        let all = asked.index.references_of(asked.file, offset).into_iter();
        let here = all.filter(|found| found.span.source == source);
        let highlight = here.map(|found| DocumentHighlight {
            range: places.range(found.span),
            kind: Some(if found.definition { DocumentHighlightKind::Write } else { DocumentHighlightKind::Read }),
        });
        Some(highlight.collect())
    }

    pub(super) fn prepare_rename(&self, params: &TextDocumentPositionParams) -> Answer<Option<PrepareRenameResult>> {
        let Some((asked, offset)) = self.at(params) else { return Ok(None) };
        let (span, name) = asked.index.renameable_at(asked.file, offset).map_err(|error| error.to_string())?;
        let range = self.places(&asked).range(span);
        Ok(Some(PrepareRenamePlaceholder { range, placeholder: name.to_owned() }.into()))
    }

    pub(super) fn rename(&self, params: &RenameParams) -> Answer<Option<WorkspaceEdit>> {
        let Some((asked, offset)) = self.at(&params.text_document_position_params) else { return Ok(None) };
        let edits = asked.index.rename(asked.file, offset, &params.new_name).map_err(|error| error.to_string())?;
        let edit = self.places(&asked).workspace_edit(&edits, self.client.document_changes);
        edit.map(Some).ok_or_else(|| "one of the files that must change cannot be written".to_owned())
    }

    pub(super) fn completion(&self, params: &CompletionParams) -> Option<CompletionList> {
        let (asked, offset) = self.at(&params.text_document_position_params)?;
        let found = asked.index.completions_at(asked.file, offset, &|| Session::specs(&asked.dir));
        let range = self.places(&asked).range(found.replace);
        let items = found.items.into_iter().enumerate().map(|(place, item)| {
            let snippet = item.snippet.filter(|_| self.client.snippets);
            let format = snippet.as_ref().map(|_| InsertTextFormat::Snippet);
            CompletionItem {
                kind: Some(completion_kind(item.kind)),
                detail: (!item.detail.is_empty()).then_some(item.detail),
                documentation: item.doc.map(|doc| Documentation::MarkupContent(markdown(doc))),
                sort_text: Some(format!("{place:05}")),
                insert_text_format: format,
                text_edit: Some(CompletionItemTextEdit::TextEdit(TextEdit {
                    range,
                    new_text: snippet.unwrap_or(item.insert),
                })),
                filter_text: Some(item.label.clone()),
                label: item.label,
                ..CompletionItem::default()
            }
        });
        Some(CompletionList { is_incomplete: false, items: items.collect(), ..CompletionList::default() })
    }

    /// The outline as a tree.
    pub(super) fn outline(&self, params: &DocumentSymbolParams) -> Option<Vec<DocumentSymbol>> {
        let asked = self.asked(&params.text_document)?;
        let mut places = self.places(&asked);
        let items = asked.index.outline(asked.file);
        Some(items.iter().map(|item| document_symbol(&asked, &mut places, item)).collect())
    }

    /// The outline for editors that know no trees.
    pub(super) fn flat_outline(&self, params: &DocumentSymbolParams) -> Option<Vec<SymbolInformation>> {
        let asked = self.asked(&params.text_document)?;
        let mut places = self.places(&asked);
        let source = asked.index.source(asked.file);
        let own = asked.index.symbols().iter().filter(|symbol| symbol.span.source == source);
        let found = own.filter_map(|symbol| {
            let location = places.location(symbol.whole)?;
            Some(SymbolInformation::new(None, location, base(&asked, symbol)))
        });
        Some(found.collect())
    }

    pub(super) fn workspace_symbols(&self, params: &WorkspaceSymbolParams) -> Vec<SymbolInformation> {
        let wanted = params.query.to_lowercase();
        let mut found = Vec::new();
        for (dir, index) in &self.documents.names {
            let Some(file) = index.symbols().first().map(ops::Symbol::file) else { continue };
            let asked = Asked { index: Arc::clone(index), file, dir: dir.clone() };
            let mut places = self.places(&asked);
            for symbol in index.symbols() {
                let foreign = index.sources().file(symbol.span.source).name.starts_with('<');
                if foreign || symbol.kind == "import" || !symbol.name.to_lowercase().contains(&wanted) {
                    continue;
                }
                let Some(location) = places.location(symbol.span) else { continue };
                found.push(SymbolInformation::new(None, location, base(&asked, symbol)));
                if found.len() >= SYMBOLS {
                    return found;
                }
            }
        }
        found
    }

    pub(super) fn folds(&self, params: &FoldingRangeParams) -> Option<Vec<FoldingRange>> {
        let asked = self.asked(&params.text_document)?;
        let source = asked.index.source(asked.file);
        let mut places = self.places(&asked);
        let lines = places.lines(source);
        let found = asked.index.folds(asked.file).into_iter().filter_map(|(bytes, comment)| {
            let range = lines.range(bytes);
            // The line of a closing brace stays in sight.
            let end_line = if comment { range.end.line } else { range.end.line.saturating_sub(1) };
            (end_line > range.start.line).then(|| FoldingRange {
                start_line: range.start.line,
                end_line,
                kind: comment.then_some(FoldingRangeKind::Comment),
                ..FoldingRange::default()
            })
        });
        Some(found.collect())
    }

    pub(super) fn links(&self, params: &DocumentLinkParams) -> Option<Vec<DocumentLink>> {
        let asked = self.asked(&params.text_document)?;
        let mut places = self.places(&asked);
        let found = asked.index.links(asked.file).into_iter().filter_map(|link| {
            let target = match link.import {
                Some(file) => self.documents.uri(&asked.dir, asked.index.path(file))?,
                None => file_of(&asked, &link.path)?,
            };
            let range = places.range(link.span);
            Some(DocumentLink { range, target: Some(Uri(target)), ..DocumentLink::default() })
        });
        Some(found.collect())
    }

    pub(super) fn hints(&self, params: &InlayHintParams) -> Option<Vec<InlayHint>> {
        let asked = self.asked(&params.text_document)?;
        let instances = self.instances(&asked);
        let source = asked.index.source(asked.file);
        let mut places = self.places(&asked);
        let lines = places.lines(source);
        let within = lines.offset(params.range.start)..lines.offset(params.range.end);
        let found = asked.index.hints(asked.file, within, &instances).into_iter().map(|hint| InlayHint {
            position: lines.position(hint.at.end as usize),
            label: hint.text.into(),
            tooltip: Some(markdown(hint.about).into()),
            padding_left: Some(true),
            kind: None,
            text_edits: None,
            padding_right: None,
            data: None,
        });
        Some(found.collect())
    }

    pub(super) fn lenses(&self, document: &TextDocumentIdentifier) -> Option<Vec<CodeLens>> {
        let asked = self.asked(document)?;
        let mut places = self.places(&asked);
        let found = asked.index.lenses(asked.file).into_iter().map(|lens| {
            let count = lens.uses.len();
            let range = places.range(lens.span);
            let at: Vec<Location> = lens.uses.into_iter().filter_map(|span| places.location(span)).collect();
            let arguments = vec![
                serde_json::Value::String(document.uri.0.clone()),
                serde_json::to_value(range.start).unwrap_or_default(),
                serde_json::to_value(at).unwrap_or_default(),
            ];
            let command = Command {
                title: if count == 1 { "1 use".to_owned() } else { format!("{count} uses") },
                command: "partita.showReferences".to_owned(),
                arguments: Some(arguments),
                tooltip: None,
            };
            CodeLens { range, command: Some(command), data: None }
        });
        Some(found.collect())
    }

    /// Words with their classes; `range` limits them.
    pub(super) fn tokens(
        &self,
        document: &TextDocumentIdentifier,
        range: Option<gen_lsp_types::Range>,
    ) -> Option<SemanticTokens> {
        let asked = self.asked(document)?;
        let source = asked.index.source(asked.file);
        let mut places = self.places(&asked);
        let lines = places.lines(source);
        let within = range.map(|range| lines.offset(range.start)..lines.offset(range.end));
        let text = &asked.index.sources().file(source).text;
        let mut data = Vec::new();
        let (mut last, mut last_byte) = (Position::default(), 0);
        for word in asked.index.tokens(asked.file) {
            let bytes = word.span.range();
            if within.as_ref().is_some_and(|within| bytes.end <= within.start || bytes.start >= within.end) {
                continue;
            }
            let class = TokenClass::ALL.iter().position(|class| *class == word.class).unwrap_or(0);
            for part in lines.by_line(bytes) {
                let at = lines.position_behind((last_byte, last), part.start);
                last_byte = part.start;
                let same_line = at.line == last.line;
                data.push(SemanticToken {
                    delta_line: at.line - last.line,
                    delta_start: if same_line { at.character - last.character } else { at.character },
                    length: lines.width(&text[part]),
                    token_type: class as u32,
                    token_modifiers_bitset: u32::from(word.definition),
                });
                last = at;
            }
        }
        Some(SemanticTokens { result_id: None, data })
    }

    pub(super) fn actions(&self, params: &CodeActionParams) -> Option<Vec<CodeAction>> {
        let asked = self.asked(&params.text_document)?;
        let findings = self.documents.found.get(&asked.dir)?;
        // Edits are of the text they were found in.
        if !Arc::ptr_eq(&findings.index, &asked.index) {
            return Some(Vec::new());
        }
        let source = asked.index.source(asked.file);
        let mut places = self.places(&asked);
        let lines = places.lines(source);
        let range = lines.offset(params.range.start)..lines.offset(params.range.end);
        let wanted = |kind: &str| {
            params.context.only.as_ref().is_none_or(|only| {
                only.iter().any(|one| {
                    let one = String::from(one.clone());
                    one.is_empty() || kind == one || kind.starts_with(&format!("{one}."))
                })
            })
        };
        let mut found = Vec::new();
        if wanted("quickfix") {
            for item in over(&findings.diagnostics, source, &range) {
                for fix in &item.fixes {
                    found.extend(quick_fix(&mut places, item, fix, self.client.document_changes));
                }
            }
        }
        if wanted("source.fixAll.partita") {
            let whole = 0..usize::MAX;
            let safe = over(&findings.diagnostics, source, &whole)
                .flat_map(|item| &item.fixes)
                .filter(|fix| fix.applicability == Applicability::MachineApplicable);
            let edits = disjoint(safe.flat_map(|fix| fix.edits.clone()).collect());
            if !edits.is_empty() {
                found.push(CodeAction {
                    title: "Apply all fixes that are certain".to_owned(),
                    kind: Some(CodeActionKind::Custom("source.fixAll.partita".into())),
                    edit: Some(places.workspace_edit(&edits, self.client.document_changes)?),
                    ..CodeAction::default()
                });
            }
        }
        Some(found)
    }
}

/// Edits of which none lies over another; of two that do, the first stays.
fn disjoint(mut edits: Vec<Edit>) -> Vec<Edit> {
    edits.sort_by_key(|edit| edit.span);
    let mut kept: Vec<Edit> = Vec::new();
    for edit in edits {
        let clear =
            kept.last().is_none_or(|last| last.span.source != edit.span.source || last.span.end <= edit.span.start);
        if clear && kept.last() != Some(&edit) {
            kept.push(edit);
        }
    }
    kept
}

/// The edit that formats a text; none if it is formatted.
pub(super) fn format(text: &str, encoding: Encoding) -> Answer<Vec<TextEdit>> {
    let formatted = ops::format_text("the document", text)
        .map_err(|_| "the document has syntax errors, which are reported: it is left as it is".to_owned())?;
    if formatted == text {
        return Ok(Vec::new());
    }
    // What is the same at both ends stays, so that cursors and marks do.
    let lines = Lines::new(text, encoding);
    let mut start = text.bytes().zip(formatted.bytes()).take_while(|(a, b)| a == b).count();
    while !text.is_char_boundary(start) || !formatted.is_char_boundary(start) {
        start -= 1;
    }
    let most = text.len().min(formatted.len()) - start;
    let mut end = text.bytes().rev().zip(formatted.bytes().rev()).take(most).take_while(|(a, b)| a == b).count();
    let whole_character =
        |end: usize| text.is_char_boundary(text.len() - end) && formatted.is_char_boundary(formatted.len() - end);
    // A position cannot lie between the two halves of a line end.
    let halves = |end: usize| text[..text.len() - end].ends_with('\r');
    while end > 0 && (!whole_character(end) || halves(end)) {
        end -= 1;
    }
    while start > 0 && text[..start].ends_with('\r') {
        start -= 1;
    }
    let range = lines.range(start..text.len() - end);
    Ok(vec![TextEdit { range, new_text: formatted[start..formatted.len() - end].to_owned() }])
}

/// The URI of a file of the workspace that a path names, if it is there.
fn file_of(asked: &Asked, path: &str) -> Option<String> {
    let root = asked.index.input_root().map_or_else(|| asked.dir.clone(), |root| asked.dir.join(root));
    let file = crate::base::RelPath::new(path).ok()?.under(&root);
    file.is_file().then(|| uri::of_path(&Session::real(&file)))
}

fn markdown(value: String) -> MarkupContent {
    MarkupContent { kind: MarkupKind::Markdown, value }
}

fn base(asked: &Asked, symbol: &ops::Symbol) -> BaseSymbolInformation {
    BaseSymbolInformation {
        name: symbol.name.clone(),
        kind: symbol_kind(symbol.kind),
        container_name: symbol.container.map(|id| asked.index.symbol(id).name.clone()),
        tags: None::<Vec<SymbolTag>>,
    }
}

fn document_symbol(asked: &Asked, places: &mut Places, item: &Item) -> DocumentSymbol {
    let symbol = asked.index.symbol(item.symbol);
    let children = item.children.iter().map(|child| document_symbol(asked, places, child)).collect::<Vec<_>>();
    #[expect(deprecated, reason = "the type has the field and no other way to be made")]
    DocumentSymbol {
        name: symbol.name.clone(),
        detail: Some(asked.index.detail(item.symbol)),
        kind: symbol_kind(symbol.kind),
        tags: None,
        deprecated: None,
        range: places.range(symbol.whole),
        selection_range: places.range(symbol.span),
        children: (!children.is_empty()).then_some(children),
    }
}
