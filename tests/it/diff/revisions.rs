//! Differences of git revisions and the working tree. Leaves out what a difference says.

use crate::support::{Workspace, tool};

const SPEC: &str = "import \"more.kdl\" as=more\ngraph g {\n    node a {\n        input \"src/**\"\n        run sh -c \"cat src/* > o\"\n        output o\n    }\n}\n";
const MORE: &str = "partita edition=1\nlet unused type=string x\n";

fn git(workspace: &Workspace, args: &[&str]) {
    let program = tool("git").expect("it was looked for");
    let own = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "init.defaultBranch=main"];
    workspace.command(&program, &[&own, args].concat()).run().ok();
}

fn committed() -> Option<Workspace> {
    tool("git")?;
    let workspace = Workspace::with_spec(SPEC).file("more.kdl", MORE).file("src/a", "1\n");
    git(&workspace, &["init", "-q", "."]);
    git(&workspace, &["add", "-A"]);
    git(&workspace, &["commit", "-q", "-m", "one"]);
    Some(workspace)
}

#[test]
fn revisions_are_compiled_from_objects() {
    let Some(workspace) = committed() else { return };
    workspace.write("partita.kdl", workspace.read("partita.kdl").replace("cat src/*", "sort src/*"));
    workspace.append("more.kdl", "// a comment\n");
    workspace.write("src/a", "2\n");
    let text = workspace.run(&["diff", "HEAD", ".", "--exit-code"]).expect(5).stdout;
    assert!(text.contains("partita.kdl:4"), "{text}");
    assert!(text.contains("cosmetic, 0 actions affected: more.kdl"), "{text}");
    assert!(text.contains("1 input file changed, each taken in by up to 1 action: src/a"), "{text}");
    git(&workspace, &["commit", "-q", "-a", "-m", "two"]);
    // The working tree is not looked at for a revision.
    workspace.write("partita.kdl", "broken {");
    let same = workspace.run(&["diff", "HEAD~1", "HEAD", "--exit-code"]).expect(5).stdout;
    assert_eq!(same.lines().skip(1).collect::<Vec<_>>(), text.lines().skip(1).collect::<Vec<_>>());
    let broken = workspace.run(&["diff", "HEAD", "."]).expect(3);
    assert!(broken.stderr.contains("the specs of working tree do not compile"), "{}", broken.describe());
}

#[test]
fn a_workspace_below_the_top_is_read_at_its_place() {
    let Some(workspace) = committed() else { return };
    git(&workspace, &["checkout", "-q", "-b", "down"]);
    let root = workspace.root();
    workspace.write("sub/partita.kdl", "partita edition=1\ngraph s {\n node a { write x; output o; }\n}\n");
    git(&workspace, &["add", "-A"]);
    git(&workspace, &["commit", "-q", "-m", "sub"]);
    let run = |args: &[&str]| workspace.partita(args).folder(&root.join("sub")).run();
    run(&["diff", "HEAD", ".", "--exit-code"]).ok();
    workspace.write("sub/in/x", "1\n");
    workspace
        .write("sub/partita.kdl", "partita edition=1\ngraph s {\n node a { input \"in/**\"; write x; output o; }\n}\n");
    git(&workspace, &["add", "-A"]);
    git(&workspace, &["commit", "-q", "-m", "in"]);
    workspace.write("sub/in/x", "2\n");
    run(&["diff", "HEAD", "."]).ok().prints("1 input file changed, each taken in by up to 1 action: in/x");
    git(&workspace, &["checkout", "-q", "HEAD~1", "--", "."]);
    git(&workspace, &["reset", "-q", "--hard", "HEAD~1"]);
    // Before its first spec it has no graph.
    run(&["diff", "HEAD~1", "HEAD", "--exit-code"]).expect(5).prints("graph s: new");
    let sarif = run(&["diff", "HEAD~1", "HEAD", "--format", "sarif"]).ok().json();
    let place = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
    assert_eq!(place, "sub/partita.kdl");
}

#[test]
fn what_is_no_revision_is_refused() {
    let Some(workspace) = committed() else { return };
    for name in ["no-such", "--output=x", "-h", "HEAD:partita.kdl", ""] {
        let args = ["diff", "--", name, "."];
        workspace.run(&args).expect(2).says("neither a file nor a revision");
    }
    workspace.write("junk", "{}\n");
    workspace.run(&["diff", "junk", "."]).expect(2).says("is not a plan that can be read");
}

#[test]
fn nothing_of_a_repository_is_run() {
    let Some(workspace) = committed() else { return };
    let trap = workspace.path("../trap");
    let trap = trap.to_str().expect("it is UTF-8");
    for setting in ["core.fsmonitor", "core.pager", "diff.external", "core.sshCommand"] {
        git(&workspace, &["config", setting, &format!("touch {trap};")]);
    }
    git(&workspace, &["config", "filter.f.smudge", &format!("touch {trap}")]);
    git(&workspace, &["config", "filter.f.clean", &format!("touch {trap}; cat")]);
    git(&workspace, &["config", "diff.f.textconv", &format!("touch {trap}; cat")]);
    workspace.write(".gitattributes", "*.kdl filter=f diff=f\n");
    workspace.write("partita.kdl", workspace.read("partita.kdl").replace("cat src/*", "sort src/*"));
    workspace.run(&["diff", "HEAD", ".", "--exit-code"]).expect(5);
    assert!(!workspace.has("../trap"), "something of the repository was run");
}
