//! An action that reaches for what it did not declare: the failure names it, and the line of the spec
//! where to declare it. Leaves out what programs say in other words, which the executor's own tests see to.

use crate::isolation::{Who, failed_closed};
use crate::support::{Outcome, Workspace};

const SPEC: &str = r#"partita edition=1
graph g {
    node reads {
        run sh -c "cat src/config.json > out.txt"
        output out.txt
    }
    node starts {
        run sh -c "python3 -c pass > out.txt"
        output out.txt
    }
    node writes {
        run sh -c "echo x > PLACE"
        output out.txt
    }
    node looks {
        run sh -c "cat PLACE.txt > out.txt"
        output out.txt
    }
}
"#;

fn run(level: &str, addr: &str) -> Option<Outcome> {
    let workspace = Workspace::new().file("src/config.json", "{}").file("partita.kdl", SPEC);
    let place = workspace.around().join("place");
    std::fs::write(place.with_extension("txt"), "outside").expect("a file can be written");
    let spec = SPEC.replace("PLACE", &place.display().to_string());
    workspace.write("partita.kdl", spec);
    let outcome = Who::Self_.run(&workspace, &["run", addr, "--isolation", level]);
    if failed_closed(&outcome, level) {
        return None;
    }
    assert_eq!(outcome.status, 1, "{}", outcome.describe());
    Some(outcome)
}

#[test]
fn a_file_that_is_no_input_is_named_with_the_line_that_should_declare_it() {
    for level in ["full", "landlock", "none"] {
        let Some(outcome) = run(level, "g/reads") else { continue };
        outcome
            .says("error[E0205]: `g/reads` failed")
            .says("--> partita.kdl:3:10")
            .says("help: `src/config.json` is a file of the workspace, but not among the inputs of `g/reads`")
            .says("`input src/config.json`");
    }
}

#[test]
fn a_program_that_is_no_tool_is_named() {
    for level in ["full", "landlock", "none"] {
        let Some(outcome) = run(level, "g/starts") else { continue };
        outcome.says("--> partita.kdl:7:10").says("help: ").says("`tools python3`");
    }
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    for level in ["full", "landlock"] {
        let Some(outcome) = run(level, "g/writes") else { continue };
        outcome.says("--> partita.kdl:11:10").says("place` cannot be written by `g/writes`").says("`output PATH`");
    }
}

#[test]
fn a_file_of_the_machine_is_named_where_it_is_kept_away() {
    for level in ["full", "landlock"] {
        let Some(outcome) = run(level, "g/looks") else { continue };
        outcome.says("--> partita.kdl:15:10").says("place.txt` is on this machine, but not shown to `g/looks`");
    }
}
