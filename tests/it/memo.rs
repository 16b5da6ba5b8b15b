//! A request that changes nothing is answered from memory, and every change is noticed all the same.
//! Leaves out the form of the memo, which is tested beside its code.

use crate::support::{Outcome, Workspace};

const SPEC: &str = r#"partita edition=1
graph g {
    param who type=string default=me
    node all {
        input "src/*.txt"
        input "extra/*.txt" optional=#true
        run sh -c "cat src/*.txt > all.txt; if [ -d extra ]; then cat extra/*.txt >> all.txt; fi; echo $WHO >> all.txt"
        env WHO=(var)who
        output all.txt
    }
}
"#;

fn workspace() -> Workspace {
    let workspace = Workspace::with_spec(SPEC);
    workspace.write("src/a.txt", "a\n");
    workspace.write("src/b.txt", "b\n");
    workspace
}

/// Runs with the memory on, as a person does.
fn run(workspace: &Workspace, args: &[&str]) -> Outcome {
    workspace.partita(args).without("PARTITA_MEMO").run()
}

fn counts(workspace: &Workspace) -> [u64; 5] {
    run(workspace, &["run", "g"]).ok().counts()
}

/// How many runs are on record: one that was answered from memory leaves none.
fn recorded(workspace: &Workspace) -> usize {
    run(workspace, &["runs"]).ok().stdout.lines().count()
}

const HIT: [u64; 5] = [0, 1, 0, 0, 0];
const RAN: [u64; 5] = [1, 0, 0, 0, 0];

#[test]
fn what_did_not_change_is_answered_from_memory() {
    let workspace = workspace();
    assert_eq!(counts(&workspace), RAN);
    // What was written a moment ago may need a run to be sure of; after that it is known.
    assert_eq!(counts(&workspace), HIT);
    let known = recorded(&workspace);
    for _ in 0..3 {
        assert_eq!(counts(&workspace), HIT);
    }
    assert!(recorded(&workspace) <= known + 1, "runs were recorded");
    assert_eq!(workspace.read("out/g/all/all.txt"), "a\nb\nme\n");
}

#[test]
fn every_change_is_noticed() {
    let workspace = workspace();
    counts(&workspace);
    counts(&workspace);
    // Content, of the same length.
    workspace.write("src/a.txt", "A\n");
    assert_eq!(counts(&workspace), RAN);
    assert_eq!(workspace.read("out/g/all/all.txt"), "A\nb\nme\n");
    // A file that a pattern now matches, and one in a folder that was not there.
    workspace.write("src/c.txt", "c\n");
    assert_eq!(counts(&workspace), RAN);
    workspace.write("extra/d.txt", "d\n");
    assert_eq!(counts(&workspace), RAN);
    assert_eq!(workspace.read("out/g/all/all.txt"), "A\nb\nc\nd\nme\n");
    workspace.remove("src/c.txt");
    assert_eq!(counts(&workspace), RAN);
    // The spec, and a parameter.
    workspace.write("partita.kdl", SPEC.replace("default=me", "default=us"));
    assert_eq!(counts(&workspace), RAN);
    assert_eq!(run(&workspace, &["run", "g", "-p", "who=you"]).ok().counts(), RAN);
    assert_eq!(counts(&workspace), HIT);
    assert_eq!(workspace.read("out/g/all/all.txt"), "A\nb\nd\nus\n");
}

#[test]
fn a_touched_file_is_compared_and_a_spoiled_output_is_mended() {
    let workspace = workspace();
    counts(&workspace);
    counts(&workspace);
    workspace.write("src/a.txt", "a\n");
    assert_eq!(counts(&workspace), HIT);
    workspace.write("out/g/all/all.txt", "spoiled");
    assert_eq!(counts(&workspace), HIT);
    assert_eq!(workspace.read("out/g/all/all.txt"), "a\nb\nme\n");
    workspace.remove("out/g/all/all.txt");
    assert_eq!(counts(&workspace), HIT);
    assert!(workspace.has("out/g/all/all.txt"));
}

#[test]
fn a_deleted_store_and_a_forced_address_run() {
    let workspace = workspace();
    counts(&workspace);
    counts(&workspace);
    assert_eq!(run(&workspace, &["run", "g", "--refresh", "g/all"]).ok().counts(), RAN);
    assert_eq!(counts(&workspace), HIT);
    workspace.drop_store();
    assert_eq!(counts(&workspace), RAN);
}

#[test]
fn another_tool_of_the_same_name_is_noticed() {
    let workspace = Workspace::with_spec(
        "partita edition=1\ntool mine { exec \"mine\"; uses sh; }\ngraph g {\n    node n {\n        run sh -c \"mine > n.txt\"\n        tools mine\n        output n.txt\n    }\n}\n",
    );
    let workspace = workspace.script("late/mine", "#!/bin/sh\necho late\n");
    std::fs::create_dir_all(workspace.root().join("early")).expect("a folder can be made");
    let path = format!("{0}/early:{0}/late:{1}", workspace.root().display(), "/usr/local/bin:/usr/bin:/bin");
    let go = || workspace.partita(&["run", "g"]).without("PARTITA_MEMO").env("PATH", &path).run().ok().counts();
    assert_eq!(go(), RAN);
    assert_eq!(go(), HIT);
    assert_eq!(go(), HIT);
    std::fs::copy(workspace.root().join("late/mine"), workspace.root().join("early/mine"))
        .expect("a file can be copied");
    workspace.append("early/mine", "echo early\n");
    assert_eq!(go(), RAN);
    assert_eq!(workspace.read("out/g/n/n.txt"), "late\nearly\n");
}

#[test]
fn what_a_locked_run_asks_for_is_asked_of_the_memory_too() {
    let package = "partita edition=1\npackage words version=\"1.0.0\" {\n    export say\n}\nrecipe say {\n    returns said type=artifact.file\n    step say {\n        write \"hello\"\n        output said path=said.txt\n    }\n}\n";
    let spec = "partita edition=1\nimport \"packages/words\" version=\"1.0\" as=words\ngraph g {\n    node a recipe=words.say { }\n}\n";
    let workspace =
        Workspace::with_spec(spec).file("packages/words/partita.kdl", package).file("packages/words/README", "1\n");
    let plain = || run(&workspace, &["run", "g"]);
    let locked = || run(&workspace, &["run", "g", "--locked"]);
    let in_ci = || workspace.partita(&["run", "g"]).without("PARTITA_MEMO").env("CI", "1").run();
    // Known to the memory, and nevertheless not locked.
    for _ in 0..3 {
        plain().ok();
    }
    locked().expect(3).says("P0208");
    in_ci().expect(3).says("P0208");
    workspace.run(&["lock"]).ok();
    for _ in 0..3 {
        assert_eq!(locked().ok().counts(), HIT);
        assert_eq!(in_ci().ok().counts(), HIT);
    }
    let known = recorded(&workspace);
    assert_eq!(locked().ok().counts(), HIT);
    assert!(recorded(&workspace) <= known + 1, "a locked run is answered from memory");
    // A file of the package that is no spec changes what the lock promises.
    workspace.write("packages/words/README", "2\n");
    plain().ok();
    locked().expect(3).says("P0207");
    in_ci().expect(3).says("P0207");
    workspace.run(&["lock"]).ok();
    locked().ok();
    // One more, in a folder of its own.
    workspace.write("packages/words/doc/more", "3\n");
    locked().expect(3).says("P0207");
}

fn link(workspace: &Workspace, path: &str, to: impl AsRef<std::path::Path>) {
    let at = workspace.path(path);
    if at.is_symlink() {
        std::fs::remove_file(&at).expect("a link");
    }
    std::os::unix::fs::symlink(to, at).expect("a new link");
}

/// Runs until memory would answer, makes a change, and compares what is made with memory
/// and without.
fn is_noticed(workspace: &Workspace, path: &str, change: &str, make: impl FnOnce(&Workspace)) {
    let path = format!("{path}:/usr/local/bin:/usr/bin:/bin");
    let run = |is_remembered: bool| {
        let invocation = workspace.partita(&["run", "g", "--isolation", "none"]).env("PATH", &path);
        let outcome = if is_remembered { invocation.without("PARTITA_MEMO").run() } else { invocation.run() };
        let made = workspace.has("out/g/a/o").then(|| workspace.read("out/g/a/o"));
        (outcome.status, made)
    };
    for _ in 0..3 {
        assert_eq!(run(true).0, 0, "before {change}");
    }
    make(workspace);
    let remembered = run(true);
    assert_eq!(remembered, run(false), "{change}");
}

const COPIES: &str = r#"partita edition=1
graph g {
    node a {
        input "in/*"
        run sh -c "cat in/* > o"
        tools cat
        output o
    }
}
"#;

#[test]
fn what_is_behind_links_is_noticed() {
    let listed = || {
        let workspace = Workspace::with_spec(COPIES).file("real/x", "1\n").file("real/y", "2\n").file("other/x", "3\n");
        link(&workspace, "middle", "real");
        link(&workspace, "in", "middle");
        workspace
    };
    is_noticed(&listed(), "/none", "a file more", |it| it.write("real/z", "z\n"));
    is_noticed(&listed(), "/none", "a file less", |it| it.remove("real/y"));
    is_noticed(&listed(), "/none", "another content", |it| it.write("real/y", "9\n"));
    is_noticed(&listed(), "/none", "a middle link", |it| link(it, "middle", "other"));
    let met = || {
        let workspace = Workspace::with_spec(COPIES).file("in/x", "1\n").file("d/x", "2\n").file("t", "3\n");
        link(&workspace, "m", "d");
        link(&workspace, "in/l", "../m");
        workspace
    };
    is_noticed(&met(), "/none", "a link to a file", |it| link(it, "in/l", "../t"));
    is_noticed(&met(), "/none", "a link to nothing", |it| link(it, "in/l", "../nothing"));
    is_noticed(&met(), "/none", "a middle link to a file", |it| link(it, "m", "t"));
    is_noticed(&met(), "/none", "a file in place of the folder", |it| {
        std::fs::remove_dir_all(it.path("d")).unwrap();
        it.write("d", "4\n");
    });
}

const TOOL: &str = r"partita edition=1
tool zz {
    exec zz
    uses sh
}
graph g {
    node a {
        input s
        run zz
        output o
    }
}
";

#[test]
fn what_a_tool_is_reached_by_is_noticed() {
    let reached = || {
        let workspace = Workspace::with_spec(TOOL)
            .file("s", "s\n")
            .script("real/zz1", "#!/bin/sh\necho 1 > o\n")
            .script("real/zz2", "#!/bin/sh\necho 2 > o\n")
            .file("first/none", "");
        std::fs::create_dir(workspace.path("bin")).unwrap();
        std::fs::create_dir(workspace.path("alt")).unwrap();
        link(&workspace, "early", "first");
        link(&workspace, "bin/zz", workspace.path("alt/zz"));
        link(&workspace, "alt/zz", workspace.path("real/zz1"));
        let path = format!("{}:{}", workspace.path("early").display(), workspace.path("bin").display());
        (workspace, path)
    };
    let (workspace, path) = reached();
    is_noticed(&workspace, &path, "a middle link", |it| link(it, "alt/zz", it.path("real/zz2")));
    let (workspace, path) = reached();
    is_noticed(&workspace, &path, "an earlier program", |it| {
        std::fs::copy(it.path("real/zz2"), it.path("first/zz")).unwrap();
    });
    let (workspace, path) = reached();
    is_noticed(&workspace, &path, "another folder of PATH", |it| {
        std::fs::create_dir(it.path("second")).unwrap();
        std::fs::copy(it.path("real/zz2"), it.path("second/zz")).unwrap();
        link(it, "early", "second");
    });
    let (workspace, path) = reached();
    link(&workspace, "first/zz", "later");
    is_noticed(&workspace, &path, "the end of a link that led nowhere", |it| {
        std::fs::copy(it.path("real/zz2"), it.path("first/later")).unwrap();
    });
}

#[test]
fn a_script_is_asked_again_what_it_is() {
    let spec = TOOL.replace("exec zz", "exec zz fingerprint=\"--version\"");
    let workspace = Workspace::with_spec(&spec).file("s", "s\n").file("version", "1\n");
    let version = workspace.path("version").display().to_string();
    let text = format!("#!/bin/sh\n[ \"$1\" = --version ] && exec /bin/cat {version}\n/bin/cat {version} > o\n");
    let workspace = workspace.script("bin/zz", &text);
    let path = workspace.path("bin").display().to_string();
    is_noticed(&workspace, &path, "what a script says", |it| it.write("version", "22\n"));
}
