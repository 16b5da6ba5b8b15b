//! What one file says, before anything is known of others: its declarations and the mistakes in how it is
//! written. A pure function of its text, so that several files are read at once. Leaves out where texts come
//! from, and imports.

use std::collections::BTreeSet;

use crate::diag::{Applicability, Code, Diagnostic, Diagnostics, SourceId, Span};
use crate::lang::allow::collect;
use crate::lang::decode::decode;
use crate::lang::load::decoded::Decoded;
use crate::lang::names::names_declared;
use crate::lang::package::{Ask, powers_asked};
use crate::lang::parse::{Stack, parse_on};
use crate::lang::parsed::ParsedSlices;
use crate::lang::program::ProgramFile;
use crate::lang::shape::check_children;
use crate::lang::shapes::TOP;
use crate::lang::{Kind, Node};

/// The newest edition this compiler knows.
const EDITION: i128 = 1;

/// What a file says.
pub(super) struct Front {
    /// The source it was read as.
    pub(super) source: SourceId,
    /// The file with its declarations.
    pub(super) file: ProgramFile,
    /// What it asks for, if it is of a package.
    pub(super) asks: Vec<Ask>,
    /// What is wrong with how it is written.
    pub(super) diagnostics: Diagnostics,
}

impl Front {
    /// Reads a file. `in_package`: whether what it asks for matters.
    pub(super) fn read(
        stack: Stack,
        source: SourceId,
        path: &str,
        text: &str,
        in_package: bool,
        kept: Option<&dyn ParsedSlices>,
    ) -> Self {
        let mut diagnostics = Diagnostics::default();
        // What a package asks for is found in its nodes.
        let decoded = kept.filter(|_| !in_package).and_then(|kept| Decoded::of(kept, source, text));
        if let Some(decls) = decoded.as_ref().and_then(Decoded::find) {
            let file = ProgramFile::new(source, path.to_owned(), decls, &mut diagnostics);
            return Self { source, file, asks: Vec::new(), diagnostics };
        }
        let slices = decoded.as_ref().map(|decoded| decoded as &dyn ParsedSlices).or(kept);
        let nodes = parse_on(stack, source, text, slices, &mut diagnostics);
        let whole = Span::new(source, 0, text.len());
        let lost = diagnostics.has_error_within(whole);
        check_edition(source, &nodes, text, &mut diagnostics);
        check_children(&nodes, TOP, "a file", TOP, &mut diagnostics);
        let mut decls = decode(&nodes, &mut diagnostics);
        decls.allows = collect(&nodes, whole, &mut diagnostics);
        decls.incomplete |= lost;
        decls.imports_incomplete |= lost;
        let asks = if in_package { powers_asked(&nodes) } else { Vec::new() };
        let mut file = ProgramFile::new(source, path.to_owned(), decls, &mut diagnostics);
        file.lost = lost_names(&nodes, if lost { text } else { "" }, &diagnostics);
        if let Some(decoded) = decoded.filter(|_| diagnostics.is_empty()) {
            decoded.keep(&file.decls);
        }
        Self { source, file, asks, diagnostics }
    }
}

/// Reports a file that does not say its edition, or says one that there is not.
fn check_edition(source: SourceId, nodes: &[Node], text: &str, diagnostics: &mut Diagnostics) {
    let first = nodes.first();
    let edition = nodes.iter().find(|node| node.name.value == "partita");
    match (first, edition) {
        (Some(first), Some(edition)) if first.span == edition.span => {
            let value = edition.props.iter().find(|property| property.name.value == "edition").map(|p| &p.value);
            if let Some(value) = value
                && let Kind::Int(number) = value.kind
                && number != EDITION
            {
                let message = if number > EDITION {
                    format!("edition {number} is newer than this compiler, which knows {EDITION}")
                } else {
                    format!("there is no edition {number}")
                };
                diagnostics.push(
                    Diagnostic::new(Code::P0110, value.span, message)
                        .with_help("write `edition=1`, or upgrade partita"),
                );
            }
        }
        (Some(_), Some(edition)) => {
            diagnostics.push(
                Diagnostic::new(
                    Code::P0107,
                    edition.name.span,
                    "`partita edition=1` must be the first node of the file",
                )
                .with_help("move it to the top"),
            );
        }
        (first, None) => {
            let span = first.map_or(Span::new(source, 0, 0), |node| node.name.span);
            let start = Span::new(source, 0, 0);
            // A file with a syntax error may have lost its first node: one report is enough.
            if !diagnostics.has_error_within(Span::new(source, 0, text.len())) {
                diagnostics.push(
                    Diagnostic::new(Code::P0104, span, "the file does not say which edition it is written in")
                        .with_help("make `partita edition=1` its first node")
                        .with_fix(Applicability::MachineApplicable, start, "partita edition=1\n\n"),
                );
            }
        }
        (None, Some(_)) => {}
    }
}

/// The names that declarations with a mistake stand for; `text`: the file, where some of it could not be read.
fn lost_names(nodes: &[Node], text: &str, diagnostics: &Diagnostics) -> BTreeSet<String> {
    let wrong = nodes.iter().filter(|node| diagnostics.has_error_within(node.span));
    let named = wrong.filter_map(|node| match &node.args.first()?.kind {
        Kind::Text(name) => Some(name.clone()),
        _ => None,
    });
    named.chain(names_declared(text)).collect()
}
