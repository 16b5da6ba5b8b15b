//! From what `ops` says to what the protocol has for it: diagnostics with their fixes, edits, kinds.
//! Leaves out when it is sent.

use std::collections::BTreeMap;
use std::ops::Range;

use gen_lsp_types::{
    Code as ProtocolCode, CodeAction, CodeActionKind, CodeDescription, CompletionItemKind, Diagnostic,
    DiagnosticRelatedInformation, DiagnosticSeverity, DiagnosticTag, Location, OptionalVersionedTextDocumentIdentifier,
    SymbolKind, TextDocumentEdit, TextDocumentIdentifier, TextEdit, Uri, WorkspaceEdit,
};

use crate::diag::{self, Applicability, Code, Diagnostics, Edit, Fix, Severity, SourceId, SourceMap, Span};
use crate::lsp::documents::Documents;
use crate::lsp::position::Lines;
use crate::lsp::uri;
use crate::ops::{CompletionKind, Findings, Index};

/// Diagnostics sent of one file; a person mends a few and looks again.
const SENT: usize = 200;

/// Sources of an index with their lines, computed when first asked for.
pub(super) struct Places<'a> {
    documents: &'a Documents,
    dir: &'a std::path::Path,
    sources: &'a SourceMap,
    lines: BTreeMap<SourceId, Lines<'a>>,
    uris: BTreeMap<SourceId, Option<String>>,
}

impl<'a> Places<'a> {
    pub(super) fn new(documents: &'a Documents, dir: &'a std::path::Path, index: &'a Index) -> Self {
        Self { documents, dir, sources: index.sources(), lines: BTreeMap::new(), uris: BTreeMap::new() }
    }

    pub(super) fn lines(&mut self, source: SourceId) -> &Lines<'a> {
        let (sources, encoding) = (self.sources, self.documents.encoding);
        self.lines.entry(source).or_insert_with(|| Lines::new(&sources.file(source).text, encoding))
    }

    pub(super) fn range(&mut self, span: Span) -> gen_lsp_types::Range {
        self.lines(span.source).range(span.range())
    }

    pub(super) fn uri(&mut self, source: SourceId) -> Option<String> {
        let (sources, documents, dir) = (self.sources, self.documents, self.dir);
        self.uris.entry(source).or_insert_with(|| documents.uri(dir, &sources.file(source).name)).clone()
    }

    pub(super) fn location(&mut self, span: Span) -> Option<Location> {
        let range = self.range(span);
        Some(Location { uri: Uri(self.uri(span.source)?), range })
    }

    /// A diagnostic for its file.
    pub(super) fn diagnostic(&mut self, found: &diag::Diagnostic) -> Diagnostic {
        let mut message = found.message.clone();
        if !found.primary.text.is_empty() {
            message.push_str(&format!(" ({})", found.primary.text));
        }
        for help in &found.help {
            message.push_str(&format!("\nhelp: {help}"));
        }
        let related: Vec<DiagnosticRelatedInformation> = found
            .secondary
            .iter()
            .filter_map(|label| {
                let message = if label.text.is_empty() { "see here".to_owned() } else { label.text.clone() };
                Some(DiagnosticRelatedInformation { location: self.location(label.span)?, message })
            })
            .collect();
        let page = self.documents.session.code_file(found.code).map(|path| uri::of_path(&path));
        Diagnostic {
            range: self.range(found.primary.span),
            severity: Some(match found.severity {
                Severity::Error => DiagnosticSeverity::Error,
                Severity::Warning => DiagnosticSeverity::Warning,
                Severity::Note => DiagnosticSeverity::Information,
            }),
            code: Some(ProtocolCode::String(found.code.to_string())),
            code_description: page.map(|page| CodeDescription { href: Uri(page) }),
            source: Some("partita".to_owned()),
            message: message.into(),
            tags: (found.code == Code::P1001).then(|| vec![DiagnosticTag::Unnecessary]),
            related_information: (!related.is_empty()).then_some(related),
            data: None,
        }
    }

    /// Edits of several files. `None` if one of them cannot be written.
    pub(super) fn workspace_edit(&mut self, edits: &[Edit], by_version: bool) -> Option<WorkspaceEdit> {
        let mut files: BTreeMap<String, Vec<TextEdit>> = BTreeMap::new();
        for edit in edits {
            if self.sources.file(edit.span.source).name.starts_with('<') {
                return None;
            }
            let change = TextEdit { range: self.range(edit.span), new_text: edit.text.clone() };
            files.entry(self.uri(edit.span.source)?).or_default().push(change);
        }
        if !by_version {
            let changes = files.into_iter().map(|(uri, edits)| (Uri(uri), edits)).collect();
            return Some(WorkspaceEdit { changes: Some(changes), ..WorkspaceEdit::default() });
        }
        let changes = files.into_iter().map(|(uri, edits)| {
            let text_document = OptionalVersionedTextDocumentIdentifier {
                version: self.documents.version(&uri),
                text_document_identifier: TextDocumentIdentifier { uri: Uri(uri) },
            };
            TextDocumentEdit { text_document, edits: edits.into_iter().map(Into::into).collect() }.into()
        });
        Some(WorkspaceEdit { document_changes: Some(changes.collect()), ..WorkspaceEdit::default() })
    }
}

/// The diagnostics of each file of a folder, those without any among them.
pub(super) fn by_file(documents: &Documents, findings: &Findings) -> BTreeMap<String, Vec<Diagnostic>> {
    let mut places = Places::new(documents, &findings.dir, &findings.index);
    let mut files = BTreeMap::new();
    for (source, file) in findings.index.sources().iter() {
        // What is built in has no mistakes, and no editor can mend it.
        if !file.name.starts_with('<') {
            files.extend(places.uri(source).map(|uri| (uri, Vec::new())));
        }
    }
    for found in findings.diagnostics.sorted() {
        let Some(uri) = places.uri(found.primary.span.source) else { continue };
        let Some(of_file) = files.get_mut(&uri) else { continue };
        if of_file.len() < SENT {
            of_file.push(places.diagnostic(found));
        }
    }
    files
}

/// The diagnostics of a source that lie over a range.
pub(super) fn over<'a>(
    diagnostics: &'a Diagnostics,
    source: SourceId,
    range: &'a Range<usize>,
) -> impl Iterator<Item = &'a diag::Diagnostic> {
    diagnostics.sorted().into_iter().filter(move |found| {
        let at = found.primary.span;
        at.source == source && at.start as usize <= range.end && at.end as usize >= range.start
    })
}

/// A fix as what an editor offers.
pub(super) fn quick_fix(
    places: &mut Places,
    found: &diag::Diagnostic,
    fix: &Fix,
    by_version: bool,
) -> Option<CodeAction> {
    Some(CodeAction {
        title: fix_title(places.sources, fix),
        kind: Some(CodeActionKind::QuickFix),
        diagnostics: Some(vec![places.diagnostic(found)]),
        is_preferred: Some(fix.applicability == Applicability::MachineApplicable),
        edit: Some(places.workspace_edit(&fix.edits, by_version)?),
        ..CodeAction::default()
    })
}

fn fix_title(sources: &SourceMap, fix: &Fix) -> String {
    let short = |text: &str| -> String {
        let line = text.trim().lines().next().unwrap_or_default();
        if line.chars().count() > 40 { line.chars().take(39).chain(['…']).collect() } else { line.to_owned() }
    };
    match fix.edits.as_slice() {
        [edit] => {
            let before = sources.text(edit.span);
            match (before.trim().is_empty(), edit.text.trim().is_empty()) {
                (true, _) => format!("Insert `{}`", short(&edit.text)),
                (_, true) => format!("Remove `{}`", short(before)),
                _ => format!("Replace `{}` by `{}`", short(before), short(&edit.text)),
            }
        }
        edits => format!("Apply {} changes", edits.len()),
    }
}

/// The kind of a symbol in outlines.
pub(super) fn symbol_kind(kind: &str) -> SymbolKind {
    match kind {
        "import" | "package" => SymbolKind::Module,
        "let" => SymbolKind::Constant,
        "param" | "var" | "accepts" | "for-each" => SymbolKind::Variable,
        "recipe" | "template" | "capability" => SymbolKind::Function,
        "node" | "step" | "use" => SymbolKind::Event,
        "graph" => SymbolKind::Namespace,
        "output" | "returns" | "port" => SymbolKind::Field,
        "tool" | "provider" | "agent" | "skill" => SymbolKind::Class,
        "gate" => SymbolKind::Interface,
        "record" => SymbolKind::Struct,
        "secret" => SymbolKind::Key,
        "bundle" => SymbolKind::Package,
        _ => SymbolKind::Object,
    }
}

/// The kind of a completion.
pub(super) fn completion_kind(kind: CompletionKind) -> CompletionItemKind {
    match kind {
        CompletionKind::Node => CompletionItemKind::Keyword,
        CompletionKind::Property => CompletionItemKind::Property,
        CompletionKind::Word => CompletionItemKind::EnumMember,
        CompletionKind::Type => CompletionItemKind::TypeParameter,
        CompletionKind::File => CompletionItemKind::File,
        CompletionKind::Symbol(kind) => match kind {
            "import" => CompletionItemKind::Module,
            "let" => CompletionItemKind::Constant,
            "param" | "var" | "accepts" | "for-each" => CompletionItemKind::Variable,
            "recipe" | "template" | "capability" => CompletionItemKind::Function,
            "output" | "returns" | "port" => CompletionItemKind::Field,
            "node" | "step" | "use" => CompletionItemKind::Event,
            _ => CompletionItemKind::Class,
        },
    }
}
