//! A store from which much is gone at once: collected, deleted or damaged. The next run makes all of it anew and says
//! nothing else. Leaves out what is told of single blobs (`exec::healing`).

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::Workspace;

/// Ways in which content goes.
const WAYS: [&str; 4] = ["gc", "gc of everything", "deletion", "damage"];

fn lose(workspace: &Workspace, way: &str) {
    match way {
        "gc" => drop(workspace.run(&["store", "gc"]).ok()),
        "gc of everything" => drop(workspace.run(&["store", "gc", "--max-age", "0s"]).ok()),
        "deletion" => workspace.drop_store(),
        _ => damage(workspace),
    }
}

/// Flips a bit of every blob that has any.
fn damage(workspace: &Workspace) {
    let objects = walkdir::WalkDir::new(workspace.store().join("cas")).into_iter().filter_map(Result::ok);
    for object in objects.filter(|entry| entry.file_type().is_file()) {
        let mut bytes = fs::read(object.path()).expect("an object can be read");
        let Some(first) = bytes.first_mut() else { continue };
        *first ^= 1;
        fs::set_permissions(object.path(), fs::Permissions::from_mode(0o644)).expect("a mode can be set");
        fs::write(object.path(), bytes).expect("an object can be written");
    }
}

/// Runs the graph, twice, loses what the store has, and runs another version of it: twice, as the second finds all.
#[track_caller]
fn heals(sources: &[String], way: &str, spec: impl Fn(&str) -> String, result: &str) {
    let workspace = Workspace::with_spec(&spec(""));
    for (number, path) in sources.iter().enumerate() {
        workspace.write(path, format!("source {number}\n"));
    }
    workspace.run(&["run", "g"]).ok();
    workspace.run(&["run", "g"]).ok();
    let before = workspace.read(result);
    lose(&workspace, way);
    let edited = format!("partita edition=1\n{}", spec("; :"));
    workspace.write("partita.kdl", edited);
    let after = workspace.run(&["run", "g"]);
    assert_eq!(after.status, 0, "{way}, {} sources: {}", sources.len(), after.describe());
    assert_eq!(workspace.read(result), before, "{way}, {} sources", sources.len());
    let again = workspace.run(&["run", "g"]).ok().counts();
    assert_eq!(again[0], 0, "{way}, {} sources: all of it is there", sources.len());
}

fn named(folder: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{folder}/s{number}.t")).collect()
}

fn one_action(more: &str) -> String {
    format!("graph g {{ node a {{ input \"src/*.t\"; run sh -c \"cat src/*.t > o{more}\"; output o }} }}\n")
}

#[test]
fn lost_sources_are_taken_again_however_many_they_are() {
    for way in WAYS {
        for count in [1, 3, 4, 10] {
            heals(&named("src", count), way, one_action, "out/g/a/o");
        }
    }
}

#[test]
fn hundreds_of_lost_sources_are_taken_again() {
    for way in ["gc", "damage"] {
        heals(&named("src", 500), way, one_action, "out/g/a/o");
    }
}

#[test]
fn lost_sources_that_actions_share_and_folders_of_them_are_taken_again() {
    let spec = |more: &str| {
        let node = |name: &str, input: &str| {
            format!("node {name} {{ input \"{input}\"; run sh -c \"cat src/d/*.t > o{more}\"; output o }}\n")
        };
        format!("graph g {{\n{}{}{}}}\n", node("a", "src"), node("b", "src/d/*.t"), node("c", "src/**"))
    };
    let sources = [named("src/d", 6), named("src/e/f", 6)].concat();
    for way in WAYS {
        heals(&sources, way, spec, "out/g/c/o");
    }
}

#[test]
fn lost_outputs_are_made_again_however_many_they_are() {
    // Ten of one producer, a folder of folders, and ten producers.
    let spec = |more: &str| {
        let outputs: String = (0..10).map(|n| format!("output m{n}\n")).collect();
        let many =
            format!("node many {{ run sh -c \"for n in 0 1 2 3 4 5 6 7 8 9; do echo m$n > m$n; done\"; {outputs} }}\n");
        let folder = "node folder { run sh -c \"mkdir -p d/a/b d/c; for n in 0 1 2 3 4 5; do echo d$n > d/a/b/$n; \
                      echo c$n > d/c/$n; done\"; output d type=artifact.dir }\n";
        let each: String =
            (0..10).map(|n| format!("node p{n} {{ run sh -c \"echo p{n} > p{n}\"; output p{n} }}\n")).collect();
        let from_many: String = (0..10).map(|n| format!("input m{n} from=(ref)many.m{n}\n")).collect();
        let from_each: String = (0..10).map(|n| format!("input p{n} from=(ref)p{n}.p{n}\n")).collect();
        let last = format!(
            "node last {{ {from_many} {from_each} input d from=(ref)folder.d; \
             run sh -c \"cat m* p* d/a/b/* d/c/* > o{more}\"; output o }}\n"
        );
        format!("graph g {{\n{many}{folder}{each}{last}}}\n")
    };
    for way in WAYS {
        heals(&[], way, spec, "out/g/last/o");
    }
}

#[test]
fn damaged_outputs_for_people_are_made_again_however_many_they_are() {
    let outputs: String = (0..10).map(|n| format!("output m{n}\n")).collect();
    let workspace = Workspace::with_spec(&format!(
        "graph g {{\nnode many {{ run sh -c \"for n in 0 1 2 3 4 5 6 7 8 9; do echo m$n > m$n; done\"; {outputs} }}\n\
         node folder {{ run sh -c \"mkdir -p d/a; for n in 0 1 2 3 4 5; do echo d$n > d/a/$n; echo e$n > d/$n; done\"; \
         output d type=artifact.dir }}\n}}\n"
    ));
    workspace.run(&["run", "g"]).ok();
    let before = workspace.list("out");
    damage(&workspace);
    workspace.remove("out");
    workspace.run(&["run", "g"]).ok();
    assert_eq!(workspace.list("out"), before);
    assert_eq!(workspace.read("out/g/folder/d/a/5"), "d5\n");
}

#[test]
fn what_is_done_outside_is_not_done_again_for_outputs_that_were_lost() {
    let workspace = Workspace::new();
    let log = workspace.around().join("log");
    let spec = format!(
        "partita edition=1\ngraph g {{\n  node push class=effect {{ run sh -c \"echo x >> {0}\"; }}\n  \
         node told class=effect {{ run sh -c \"echo y >> {0}; echo told > o\"; output o; }}\n  \
         node made {{ run sh -c \"echo made > o\"; output o; }}\n}}\n",
        log.display()
    );
    workspace.write("partita.kdl", spec);
    let done = || fs::read_to_string(&log).expect("a log").lines().count();
    workspace.run(&["run", "g"]).ok();
    assert_eq!(done(), 2);
    // Found while it is put in its place, when the effects have happened already.
    for args in [vec!["run", "g"], vec!["run", "g", "--refresh", "g/push"]] {
        let before = done();
        damage(&workspace);
        fs::remove_dir_all(workspace.path("out")).expect("outputs can be deleted");
        let outcome = workspace.run(&args).ok();
        assert_eq!(workspace.read("out/g/made/o"), "made\n");
        assert_eq!(workspace.read("out/g/told/o"), "told\n");
        assert_eq!(done() - before, 2, "each once, for this request: {}", outcome.describe());
    }
}
