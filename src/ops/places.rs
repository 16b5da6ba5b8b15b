//! Where in the specs an action comes from, so that a failure of it can be mended there. Leaves out
//! how places are shown.

use std::fmt;

use crate::base::Digest;
use crate::diag::{SourceMap, Span};
use crate::exec::RunReport;
use crate::lang::{Expansion, Program};
use crate::plan::{Place, Places};

/// A place in a spec, for people and for editors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecPlace {
    /// The file as people find it: relative to the current directory, or `<std>/…`.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for SpecPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl SpecPlace {
    pub(super) fn of(span: Span, sources: &SourceMap) -> Self {
        let file = sources.file(span.source);
        let (line, column) = file.line_column(span.start as usize);
        Self { file: sources.shown(span.source).into_owned(), line, column }
    }
}

/// Where the parts of a plan are declared.
pub(super) fn plan_places(program: &Program, expansion: &Expansion) -> Places {
    let place = |span: Span| {
        let file = program.sources.file(span.source);
        Place { file: file.name.clone(), line: file.line_column(span.start as usize).0 as u32 }
    };
    let declared = |span: Span| format!("{}:{}", program.sources.file(span.source).name, span.start);
    Places {
        actions: expansion.actions.iter().map(|action| place(action.span)).collect(),
        declarations: expansion.actions.iter().map(|action| declared(action.span)).collect(),
        tools: expansion
            .tools
            .iter()
            .filter_map(|(name, tool)| Some((name.clone(), place(program.tool_of(tool.of)?.name.span))))
            .collect(),
        services: expansion.services.iter().map(|service| (service.name.clone(), place(service.span))).collect(),
        graph: program
            .root_graphs()
            .into_iter()
            .map(|id| &program.graph(id).group.name)
            .find(|name| name.value == expansion.graph)
            .map(|name| place(name.span)),
    }
}

/// An action that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedAction {
    /// The address.
    pub addr: String,
    /// The stable code of the way in which it failed.
    pub code: &'static str,
    /// What went wrong, for people; may have several lines.
    pub text: String,
    /// The node, the step of a recipe, or the requirement of a gate, that says what the action does.
    pub place: Option<SpecPlace>,
    /// Whether it printed something, which `log` shows whole.
    pub printed: bool,
    /// The node that applies the recipe or the guard that applies the gate, if there is one.
    pub applied: Option<SpecPlace>,
}

/// The place of the action at an address, and of the node that applies its recipe.
pub(super) fn places_of(
    addr: &str,
    expansion: &Expansion,
    sources: &SourceMap,
) -> (Option<SpecPlace>, Option<SpecPlace>) {
    let Ok(index) = expansion.actions.binary_search_by(|action| action.addr.as_str().cmp(addr)) else {
        return (None, None);
    };
    let place = SpecPlace::of(expansion.actions[index].span, sources);
    let node = expansion.instances.iter().find(|instance| instance.actions.contains(&index));
    let applied = node.map(|instance| SpecPlace::of(instance.span, sources)).filter(|applied| *applied != place);
    (Some(place), applied)
}

/// The place of a requirement of the gate at an address.
fn required_at(addr: &str, clause: u32, expansion: &Expansion, sources: &SourceMap) -> Option<SpecPlace> {
    let index = expansion.actions.binary_search_by(|action| action.addr.as_str().cmp(addr)).ok()?;
    let span = expansion.actions[index].gate.as_ref()?.places.get(clause as usize)?;
    Some(SpecPlace::of(*span, sources))
}

/// The actions of a run that failed, in address order.
pub(super) fn failed_actions(report: &RunReport, expansion: &Expansion, sources: &SourceMap) -> Vec<FailedAction> {
    let failed = report.actions.iter().filter_map(|action| {
        let failure = action.failure.as_ref()?;
        let (place, applied) = places_of(&action.addr, expansion, sources);
        // A gate's failure is mended where it is declared, or where it is applied.
        let required = failure.clause.and_then(|clause| required_at(&action.addr, clause, expansion, sources));
        let (place, applied) = if required.is_some() { (required, place) } else { (place, applied) };
        Some(FailedAction {
            addr: action.addr.clone(),
            code: failure.class.code(),
            text: failure.text.clone(),
            printed: action.logs.is_some_and(|logs| logs.iter().any(|log| *log != Digest::of_blob(b""))),
            place,
            applied,
        })
    });
    failed.collect()
}
