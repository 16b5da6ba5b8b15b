//! Expansions as specs: every graph of the repository's own workspaces is printed, and what is printed is as the
//! formatter leaves it, compiles, and has the plan that the graph had. Leaves out how actions run.

use std::collections::BTreeMap;

use partita::diag::{Diagnostics, SourceId};
use partita::lang::{self, Compiled, DeclId, print_expansion};
use partita::plan::{lower, to_json_lines};

use super::rendered;
use super::same::{compiled, difference, plans, with_root, workspaces};

/// The printed expansion of a graph, and its plan; `None` if it needs values.
fn printed(compiled: &Compiled, graph: DeclId) -> Option<(String, String)> {
    let expansion = lang::expand(&compiled.program, graph, &BTreeMap::new(), &mut Diagnostics::default())?;
    let plan = to_json_lines(&lower(&compiled.program, &expansion));
    Some((print_expansion(&expansion, &compiled.program), plan))
}

fn without_comments(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect()
}

/// Whether a printed expansion is canonical, compiles beside the other files to the same plan, and is printed
/// the same again.
#[track_caller]
fn the_same_again(name: &str, files: &super::same::Files, printed_text: &str, plan: &str) {
    let formatted = lang::format(SourceId(0), printed_text).unwrap_or_else(|error| panic!("{name}: {error}\n{printed_text}"));
    assert_eq!(formatted, printed_text, "{name}: the formatter would change it");
    let again = compiled(&with_root(files, printed_text.to_owned()));
    let said = rendered(&again, &again.diagnostics);
    assert!(!again.diagnostics.has_errors(), "{name}:\n{said}\n{printed_text}");
    let all = plans(&again);
    let (before, after) = (BTreeMap::from([(String::new(), plan.to_owned())]), all);
    let same = after.len() == 1 && after.values().all(|other| other == plan);
    assert!(same, "{name}: {}\n{said}\n{printed_text}", difference(&before, &after));
    let (twice, _) = printed(&again, again.program.root_graphs()[0]).expect("it expands again");
    assert_eq!(without_comments(&twice), without_comments(printed_text), "{name}: printing is not a fixed point");
}

#[test]
fn every_workspace_expands_to_a_spec_of_the_same_plan() {
    let mut graphs = 0;
    for (name, files) in workspaces() {
        let before = compiled(&files);
        if before.diagnostics.has_errors() {
            // Packages of other places are not in memory.
            continue;
        }
        for graph in before.program.root_graphs() {
            let Some((text, plan)) = printed(&before, graph) else { continue };
            the_same_again(&name, &files, &text, &plan);
            graphs += 1;
        }
    }
    assert!(graphs >= 20, "only {graphs} graphs were looked at");
}
