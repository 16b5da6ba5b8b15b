//! The program among what else a person has: a repository around the workspace, version control, and a
//! current directory that is another folder. Leaves out what specs mean.

use crate::support::{Invocation, Outcome, Workspace, tool};

const SPEC: &str = "partita edition=1\ngraph g {\n    node a {\n        input \"data/*.txt\"\n        run sh -c \"cat data/*.txt > o\"\n        output o\n    }\n}\nbundle g from=g version=\"1.0.0\" {\n    include a output=o to=\"o\"\n}\n";

fn git(workspace: &Workspace, args: &[&str]) -> Outcome {
    let program = tool("git").expect("it was looked for");
    let own = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "init.defaultBranch=main"];
    workspace.command(&program, &[&own, args].concat()).run().ok()
}

/// With the state directory where it is by default.
fn plain(workspace: &Workspace, args: &[&str]) -> Invocation {
    workspace.partita(args).without("PARTITA_STATE")
}

#[test]
fn private_keys_and_history_are_never_committed() {
    if tool("git").is_none() {
        return;
    }
    let ways: [&[&str]; 3] = [&["deliver", "g"], &["key", "generate", "k"], &["run", "g"]];
    for way in ways {
        let workspace = Workspace::with_spec(SPEC).file("data/a.txt", "a\n");
        git(&workspace, &["init", "-q", "."]);
        plain(&workspace, way).run().ok();
        assert!(workspace.has(".partita/.gitignore"), "{way:?}");
        git(&workspace, &["add", "-A"]);
        let added = git(&workspace, &["ls-files", "--cached"]).stdout;
        assert!(added.contains("partita.kdl") && !added.contains(".partita"), "{way:?} adds\n{added}");
        assert_eq!(git(&workspace, &["status", "--short", "--", ".partita"]).stdout, "");
    }
}

#[test]
fn a_state_directory_is_ignored_wherever_it_is_made_and_a_folder_of_others_is_not() {
    let workspace = Workspace::with_spec(SPEC).file("data/a.txt", "a\n").file("shared/notes.txt", "mine\n");
    plain(&workspace, &["run", "g", "--state", "elsewhere"]).run().ok();
    assert!(workspace.read("elsewhere/.gitignore").lines().any(|line| line == "*"));
    plain(&workspace, &["run", "g", "--state", "shared"]).run().ok();
    assert!(!workspace.has("shared/.gitignore"), "what else is there is not ours to hide");
    // Whoever wants it otherwise says so once.
    workspace.write(".partita/.gitignore", "mine\n");
    plain(&workspace, &["run", "g"]).run().ok();
    assert_eq!(workspace.read(".partita/.gitignore"), "mine\n");
}

#[test]
fn init_adds_to_a_gitignore_what_it_lacks() {
    for (before, after) in [
        (None, "/.partita/\n/out/\n"),
        (Some("*.o"), "*.o\n/.partita/\n/out/\n"),
        (Some(".partita\nout/\n"), ".partita\nout/\n"),
        (Some("*.o\n/out\n"), "*.o\n/out\n/.partita/\n"),
    ] {
        let workspace = Workspace::new();
        if let Some(before) = before {
            workspace.write(".gitignore", before);
        }
        plain(&workspace, &["init"]).run().ok();
        assert_eq!(workspace.read(".gitignore"), after);
    }
}

/// A repository whose workspace is in the folder `sub`, committed.
fn below() -> Option<Workspace> {
    tool("git")?;
    let workspace =
        Workspace::new().file("sub/partita.kdl", SPEC).file("sub/data/a.txt", "a\n").file("data/a.txt", "not this\n");
    git(&workspace, &["init", "-q", "."]);
    git(&workspace, &["add", "-A"]);
    git(&workspace, &["commit", "-q", "-m", "one"]);
    Some(workspace)
}

#[test]
fn the_working_tree_of_a_workspace_below_the_top_is_compared() {
    let Some(workspace) = below() else { return };
    workspace.run(&["-C", "sub", "diff", "HEAD", "--exit-code"]).ok();
    let inside = |args: &[&str]| workspace.partita(args).folder(&workspace.path("sub")).run();
    inside(&["diff", "HEAD", "--exit-code"]).ok();
    workspace.write("sub/data/a.txt", "b\n");
    workspace.write("data/a.txt", "nor this\n");
    for outcome in [workspace.run(&["-C", "sub", "diff", "HEAD"]), inside(&["diff", "HEAD"])] {
        outcome.ok().prints("1 input file changed, each taken in by up to 1 action: data/a.txt");
    }
    // Where it came from is only said if it is so.
    let source = ["deliver", "g", "--source", "git+https://example.org/r"];
    inside(&source).expect(2).says("`data/a.txt` is not as it is in the commit");
    workspace.write("sub/data/a.txt", "a\n");
    inside(&source).ok();
}

#[test]
fn names_that_need_quotes_are_compared_too() {
    if tool("git").is_none() {
        return;
    }
    let workspace = Workspace::new();
    let folder = "s \"ub\\ ä";
    workspace.write(&format!("{folder}/partita.kdl"), SPEC);
    workspace.write(&format!("{folder}/data/a b'ö.txt"), "a\n");
    git(&workspace, &["init", "-q", "."]);
    git(&workspace, &["add", "-A"]);
    git(&workspace, &["commit", "-q", "-m", "one"]);
    workspace.run(&["-C", folder, "diff", "HEAD", "--exit-code"]).ok();
    workspace.write(&format!("{folder}/data/a b'ö.txt"), "b\n");
    workspace.run(&["-C", folder, "diff", "HEAD"]).ok().prints("data/a b'ö.txt");
}

#[test]
fn places_lead_from_where_the_reader_is_to_the_file() {
    let broken = "partita edition=1\ngraph g {\n    node a { run nosuch; output o }\n}\n";
    let failing = "partita edition=1\ngraph g {\n    node a { run sh -c \"exit 1\"; output o }\n}\n";
    let workspace = Workspace::new().file("ws/partita.kdl", broken).file("ws/deep/er/x.txt", "");
    let from = |folder: &str, args: &[&str]| workspace.partita(args).folder(&workspace.path(folder)).run();
    let check = ["check", "--message-format", "short"];
    from("", &["-C", "ws", "check", "--message-format", "short"]).expect(3).says("ws/partita.kdl:3:");
    from("", &["check", "--message-format", "short", "ws/partita.kdl"]).expect(3).says("ws/partita.kdl:3:");
    from("ws", &check).expect(3).says("partita.kdl:3:");
    from("ws/deep/er", &check).expect(3).says("../../partita.kdl:3:");
    from("", &["-C", "ws", "check", "--message-format", "human"]).expect(3).says("[ws/partita.kdl:3:");
    from("", &["-C", "ws", "check", "--message-format", "github"]).expect(3).prints("file=ws/partita.kdl,line=3");
    let sarif = from("", &["-C", "ws", "check", "--message-format", "sarif"]).expect(3).json();
    let place = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
    assert_eq!(place, "ws/partita.kdl");
    // From a folder that is neither above nor below, the whole path does.
    workspace.write("other/x.txt", "");
    let whole = workspace.path("ws/partita.kdl");
    from("other", &["-C", "../ws", "check", "--message-format", "short"])
        .expect(3)
        .says(&format!("{}:3:", whole.display()));
    // So do the places of failures, and what `fix` says it mended.
    workspace.write("ws/partita.kdl", failing);
    from("", &["-C", "ws", "run", "g"]).expect(1).says("--> ws/partita.kdl:3:");
    from("ws/deep", &["run", "g"]).expect(1).says("--> ../partita.kdl:3:");
    workspace.write(
        "ws/partita.kdl",
        "partita edition=1\ngraph g {\n    node a { input x optional=true; write y; output o }\n}\n",
    );
    from("", &["-C", "ws", "fix"]).says("mended ws/partita.kdl");
    // What `expand` prints is the same from everywhere.
    workspace.write("ws/partita.kdl", failing);
    let expanded = from("ws", &["expand", "g"]).ok().stdout;
    assert_eq!(from("", &["-C", "ws", "expand", "g"]).ok().stdout, expanded);
}
