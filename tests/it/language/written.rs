//! Workspaces that were written from the description of the language alone, by somebody who had not seen the
//! compiler: each compiles, is formatted, and passes its own tests. Leaves out what `same` and `print` ask of
//! every workspace: that its plans are stable, and that it expands to the same plan.

use partita::base::RelPath;
use partita::diag::SourceId;
use partita::lang::{self, MemoryWorld, compile, run_tests};
use walkdir::WalkDir;

use super::rendered;
use super::same::{Files, ROOT, compiled, workspaces};
use crate::support::repository;

/// The workspaces, by name.
fn written() -> Vec<(String, Files)> {
    let found: Vec<(String, Files)> =
        workspaces().into_iter().filter(|(name, _)| name.contains("golden/written")).collect();
    assert_eq!(found.len(), 12, "a workspace is missing");
    found
}

#[test]
fn what_was_written_from_the_description_compiles_as_it_stands() {
    for (name, files) in written() {
        let compiled = compiled(&files);
        let said = rendered(&compiled, &compiled.diagnostics);
        assert!(!compiled.diagnostics.has_errors(), "{name}:\n{said}");
        for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".kdl")) {
            let formatted = lang::format(SourceId(0), text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(&formatted, text, "{name}: `{path}` is not a fixed point of the formatter");
        }
    }
}

#[test]
fn what_was_written_from_the_description_passes_its_own_tests() {
    let mut passed = 0;
    for (name, files) in written() {
        let mut world = MemoryWorld::default();
        for (path, text) in &files {
            world.insert(RelPath::new(path).expect("a relative path"), text);
        }
        let compiled = compile(&world, &[RelPath::new(ROOT).expect("a relative path")]);
        let run = run_tests(&world, &compiled.program, "", false);
        let said = rendered(&compiled, &run.diagnostics);
        assert!(!run.diagnostics.has_errors(), "{name}:\n{said}");
        passed += run.tests.len();
    }
    assert!(passed >= 12, "only {passed} tests were found");
}

#[test]
fn what_was_written_from_the_description_is_small() {
    for entry in WalkDir::new(repository("tests/golden/written")).sort_by_file_name() {
        let entry = entry.expect("the folder can be listed");
        let length = entry.metadata().expect("it can be looked at").len();
        assert!(!entry.file_type().is_file() || length < 8 * 1024, "{} has {length} bytes", entry.path().display());
    }
}
