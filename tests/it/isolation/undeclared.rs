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
            .says("`input \"src/config.json\"`");
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

/// Programs that fail without a word.
const SILENT: &str = r#"
tool python3 { exec python3; }
graph g {
    node reads { input act.py; run python3 "act.py" "src/config.json"; output out.txt }
    node starts { run sh -c "python3 -V > out.txt 2>&- || exit 3"; output out.txt }
    node leaves { input act.py; run python3 "act.py" "src/config.json" quietly; output out.txt }
    node fine { run sh -c "exit 4"; output out.txt }
}
"#;

const ACT: &str = "import os, sys\ntry:\n  open(sys.argv[1]).close()\n  open('out.txt', 'w').close()\nexcept OSError:\n  \
                   os._exit(0 if len(sys.argv) > 2 else 1)\n";

#[test]
fn what_a_silent_program_missed_is_found_by_watching_it() {
    let workspace = Workspace::with_spec(SILENT).file("src/config.json", "{}").file("act.py", ACT);
    for level in ["", "full", "landlock", "none"] {
        let demand: &[&str] = if level.is_empty() { &[] } else { &["--isolation", level] };
        let run = |addr: &str| Who::Self_.run(&workspace, &[&["run", addr], demand].concat());
        let outcome = run("g/reads");
        if failed_closed(&outcome, level) {
            continue;
        }
        if level == "full" {
            // It is watched outside of namespaces: not at all where they are demanded.
            assert!(!outcome.expect(1).stderr.contains("run once more"), "it was watched");
            continue;
        }
        let watched = cfg!(target_arch = "x86_64");
        if watched {
            outcome
                .expect(1)
                .says("--> partita.kdl:")
                .says("help: `src/config.json` is a file of the workspace, but not among the inputs of `g/reads`")
                .says("it did not say so: it was run once more and watched");
            run("g/starts").expect(1).says("help: `python3` is a program of this machine").says("`tools python3`");
            run("g/leaves").expect(1).says("help: `src/config.json` is a file of the workspace");
        }
        let leaves = run("g/leaves").expect(1);
        assert!(!leaves.stderr.contains("lies outside"), "only what could be declared: {}", leaves.describe());
        // Who fails for reasons of its own is not explained by what it could do without.
        let fine = run("g/fine").expect(1);
        assert!(!fine.stderr.contains("watched"), "{}", fine.describe());
    }
    workspace.run(&["store", "verify"]).ok().prints("all sound");
}
