//! Bundles to their declarations. Leaves out what is in them, which only an expansion knows.

use globset::GlobBuilder;

use crate::diag::{Code, Diagnostic, did_you_mean};
use crate::lang::ast::{BundleDecl, IncludeDecl, Name, NodeDecl};
use crate::lang::decode::{Decoder, child, children, first_name, names_of_children, prop, prop_name};
use crate::lang::ir::ROLES;
use crate::lang::{Node, Spanned};

/// The formats of SBOMs and their versions. The first of each is what is written if nothing is said.
const SBOMS: &[(&str, &[&str])] = &[("spdx", &["2.3"]), ("cyclonedx", &["1.6", "1.7"])];
/// The formats of provenance.
const PROVENANCE: &[&str] = &["slsa"];

impl Decoder<'_> {
    pub(super) fn bundle(&mut self, node: &Node) -> Option<BundleDecl> {
        let includes: Vec<IncludeDecl> = children(node, "include")
            .filter_map(|node| {
                let to = self.prop_text(node, "to");
                let role = prop_name(node, "role").filter(|role| self.one_of(role, ROLES, "role", "roles"));
                Some(IncludeDecl {
                    node: first_name(node)?,
                    output: prop_name(node, "output"),
                    to,
                    role,
                    span: node.span,
                })
            })
            .collect();
        let name = first_name(node)?;
        if child(node, "include").is_none() && self.sound(node) {
            self.push(
                Diagnostic::new(Code::P0104, name.span, format!("bundle `{}` needs an `include`", name.value))
                    .with_help("say what goes in: `include NODE output=NAME to=\"PATH\"`"),
            );
        }
        let mut excludes = names_of_children(node, "exclude");
        excludes.retain(|pattern| self.pattern(pattern));
        let mut cyclonedx = None;
        for node in children(node, "sbom") {
            if let Some(found) = self.sbom(node) {
                cyclonedx = Some(found);
            }
        }
        let mut provenance_level = None;
        for node in children(node, "provenance") {
            if let Some(format) = prop_name(node, "format") {
                self.one_of(&format, PROVENANCE, "format of provenance", "formats");
            }
            let Some(written) = prop(node, "level") else { continue };
            match self.natural(written, 1) {
                Some(level) if level > 3 => self.push(
                    Diagnostic::new(Code::P0304, written.span, format!("{level} is no SLSA build level"))
                        .with_help("they are 1, 2 and 3"),
                ),
                level => provenance_level = level.map(|value| Spanned { value, span: written.span }),
            }
        }
        let version = self.prop_text(node, "version");
        let level = prop(node, "level").and_then(|value| self.natural(value, 0));
        let keys = children(node, "sign").filter_map(|node| prop_name(node, "key")).collect();
        let inventory = NodeDecl {
            name: name.clone(),
            recipe: None,
            with: Vec::new(),
            for_each: Vec::new(),
            when: Vec::new(),
            after: Vec::new(),
            rollback: None,
            guards: Vec::new(),
            automation: None,
            services: Vec::new(),
            work: self.work(node),
            span: node.span,
        };
        Some(BundleDecl {
            name,
            from: prop_name(node, "from")?,
            version,
            includes,
            excludes,
            level,
            cyclonedx,
            keys,
            provenance_level,
            inventory: Box::new(inventory),
            span: node.span,
        })
    }

    /// The version of CycloneDX that a node asks for, if it does.
    fn sbom(&mut self, node: &Node) -> Option<String> {
        let format = prop_name(node, "format")?;
        let names: Vec<&str> = SBOMS.iter().map(|(name, _)| *name).collect();
        if !self.one_of(&format, &names, "format of SBOMs", "formats") {
            return None;
        }
        let version = prop_name(node, "version")?;
        let known = SBOMS.iter().find(|(name, _)| *name == format.value).map_or(&[][..], |(_, known)| known);
        if !known.contains(&version.value.as_str()) {
            self.push(
                Diagnostic::new(
                    Code::P0301,
                    version.span,
                    format!("version `{}` of `{}` is not one that is written", version.value, format.value),
                )
                .with_help(format!("known: {}", known.join(", "))),
            );
            return None;
        }
        (format.value == "cyclonedx").then_some(version.value)
    }

    /// Whether a word is one of a closed set. Reports one that is not.
    fn one_of(&mut self, word: &Name, known: &[&str], what: &str, all: &str) -> bool {
        if known.contains(&word.value.as_str()) {
            return true;
        }
        self.push(
            Diagnostic::new(Code::P0201, word.span, format!("cannot find {what} `{}`", word.value))
                .with_suggestion(did_you_mean(&word.value, known.iter().copied()))
                .with_help(format!("{all}: {}", known.join(", "))),
        );
        false
    }

    /// Whether a pattern can be one. Reports one that cannot.
    fn pattern(&mut self, pattern: &Name) -> bool {
        let Err(error) = GlobBuilder::new(&pattern.value).literal_separator(true).build() else { return true };
        self.push(
            Diagnostic::new(Code::P0301, pattern.span, format!("`{}` is no pattern: {}", pattern.value, error.kind()))
                .with_help("`*` stands for a name or a part of one, `**` for any folders: `exclude \"**/*.map\"`"),
        );
        false
    }
}
