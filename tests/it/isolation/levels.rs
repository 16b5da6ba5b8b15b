//! Levels as they are asked for, offered, refused and kept. Leaves out what they keep an action from.

use crate::isolation::{Who, failed_closed, program};
use crate::support::{Outcome, Workspace, may_change_user};

const SPEC: &str = "tool id { exec id; }\ngraph g {\n  node who {\n    run sh -c \"id -u > who.txt; pwd >> who.txt; \
                    printenv HOME TMPDIR PATH >> who.txt\"\n    output who.txt\n    tools id printenv\n  }\n}\n\
                    tool printenv { exec printenv; }\n";

/// Runs the program where user namespaces are used up, as in a container without them.
fn without_namespaces(workspace: &Workspace, args: &[&str]) -> Outcome {
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" \"$@\"";
    let mut all = vec!["-U", "-r", "sh", "-c", script, env!("CARGO_BIN_EXE_partita")];
    all.extend_from_slice(args);
    workspace
        .command(&program("unshare"), &all)
        .env("PATH", "/usr/bin:/bin")
        .env("PARTITA_STORE", workspace.store().as_os_str())
        .env("PARTITA_STATE", workspace.state().as_os_str())
        .run()
}

#[test]
fn a_weaker_result_is_never_served_to_a_stronger_demand() {
    let workspace = Workspace::with_spec(SPEC);
    workspace.run(&["run", "g", "--isolation", "none"]).ok().says("1 ran, 0 cached");
    for level in ["landlock", "full"] {
        let outcome = workspace.run(&["run", "g", "--isolation", level]);
        if failed_closed(&outcome, level) {
            continue;
        }
        outcome.ok().says("1 ran, 0 cached").says("its result was made under a weaker isolation");
        // What is stronger serves what asks for less, and itself.
        for weaker in ["none", level] {
            workspace.run(&["run", "g", "--isolation", weaker]).ok().says("0 ran, 1 cached");
        }
    }
}

#[test]
fn an_action_sees_the_same_places_wherever_it_runs() {
    let mut seen = Vec::new();
    for who in [Who::Self_, Who::Nobody] {
        if !who.is_possible() {
            continue;
        }
        let workspace = Workspace::with_spec(SPEC);
        who.own(&workspace);
        let outcome = who.run(&workspace, &["run", "g", "--isolation", "full"]);
        if failed_closed(&outcome, "full") {
            return;
        }
        outcome.ok();
        seen.push(workspace.read("out/g/who/who.txt"));
    }
    for text in seen {
        assert_eq!(text, "1000\n/build/work\n/build/home\n/build/tmp\n/partita/bin\n");
    }
}

#[test]
fn the_strongest_level_is_what_one_gets_and_none_is_to_be_asked_for() {
    let workspace = Workspace::with_spec(SPEC);
    let full = workspace.run(&["run", "g", "--isolation", "full", "--require-cached"]);
    if failed_closed(&full, "full") {
        return;
    }
    workspace.partita(&["run", "g"]).without("PARTITA_ISOLATION").run().ok();
    assert!(workspace.read("out/g/who/who.txt").contains("/build/work\n"));
    // The result is good for who demands as much as it was made under.
    workspace.run(&["run", "g", "--isolation", "full"]).ok().says("0 ran, 1 cached");
    workspace.run(&["run", "g", "--isolation", "none", "--refresh", "g"]).ok();
    assert!(!workspace.read("out/g/who/who.txt").contains("/build/work\n"));
}

#[test]
fn what_the_workspace_requires_is_in_the_plan_and_fails_closed() {
    let spec = format!("workspace {{\n  require-isolation full\n}}\n{SPEC}");
    let workspace = Workspace::with_spec(&spec);
    workspace.run(&["plan", "g", "--format", "json"]).ok().prints("\"isolation\":\"full\"");
    // Asking for less than is required gives what is required.
    let outcome = workspace.run(&["run", "g", "--isolation", "none"]);
    if !failed_closed(&outcome, "full") {
        outcome.ok();
        assert!(workspace.read("out/g/who/who.txt").contains("/build/work\n"));
        workspace.drop_store();
    }
    let outcome = without_namespaces(&workspace, &["run", "g"]);
    assert!(failed_closed(&outcome, "full"), "{}", outcome.describe());
    outcome.says("user namespace").says("partita.kdl:");
}

#[test]
fn without_namespaces_the_next_level_is_taken_and_doctor_says_why() {
    let workspace = Workspace::with_spec(SPEC);
    let outcome = without_namespaces(&workspace, &["doctor"]);
    outcome.ok().prints("no full: the sandbox cannot make a user namespace").prints("max_user_namespaces");
    let outcome = without_namespaces(&workspace, &["run", "g", "--isolation", "full"]);
    assert!(failed_closed(&outcome, "full"), "{}", outcome.describe());
    let outcome = without_namespaces(&workspace, &["run", "g", "--isolation", "landlock"]);
    if !failed_closed(&outcome, "landlock") {
        outcome.ok();
    }
    without_namespaces(&workspace, &["run", "g"]).ok();
}

#[test]
fn doctor_shows_what_there_is() {
    let workspace = Workspace::with_spec(SPEC);
    let has = |level: &str| workspace.run(&["run", "g", "--isolation", level]).status == 0;
    let report = workspace.run(&["doctor"]).ok();
    for level in ["full", "landlock"] {
        let line = format!("no {level}: ");
        let lacks = report.stdout.contains(&line);
        assert_eq!(lacks, !has(level), "{}", report.describe());
    }
    let landlock = workspace.run(&["run", "g", "--isolation", "landlock"]).status == 0;
    assert_eq!(report.stdout.contains("of its interface; 3 is needed"), landlock, "{}", report.describe());
    let report = report.prints("cgroup");
    assert!(
        report.stdout.contains("bounds memory and processes") || report.stdout.contains("bounded by resource limits")
    );
    if may_change_user() {
        workspace.give_to_nobody();
        Who::Nobody.run(&workspace, &["doctor"]).ok().prints("isolation");
    }
}

#[test]
fn a_wrong_level_is_a_usage_error() {
    let workspace = Workspace::with_spec(SPEC);
    workspace.run(&["run", "g", "--isolation", "total"]).expect(2).says("full");
    workspace.partita(&["run", "g"]).env("PARTITA_ISOLATION", "total").run().expect(2).says("PARTITA_ISOLATION");
}

#[test]
fn a_file_handed_through_by_a_variable_can_be_read() {
    let spec = "tool show pass-env=CONFIG { exec cat; }\n".replace(" pass-env=CONFIG {", " {\n  pass-env CONFIG\n ");
    let spec = format!(
        "{spec}graph g {{\n  node read {{\n    run sh -c \"cat $CONFIG > read.txt\"\n    output read.txt\n    tools \
         show\n  }}\n}}\n"
    );
    let workspace = Workspace::with_spec(&spec);
    let config = workspace.around().join("folder/config");
    std::fs::create_dir_all(config.parent().expect("it has one")).expect("a folder can be made");
    std::fs::write(&config, "configured\n").expect("a file can be written");
    for level in ["full", "landlock"] {
        let args = ["run", "g", "--isolation", level, "--refresh", "g"];
        let outcome = workspace.partita(&args).env("CONFIG", &config).run();
        if !failed_closed(&outcome, level) {
            outcome.ok();
            assert_eq!(workspace.read("out/g/read/read.txt"), "configured\n");
        }
    }
}

#[test]
fn tools_stay_as_they_are_where_they_lie() {
    // An installation with a link out of it, and a link to it on `PATH`.
    let spec = "tool one { exec one; }\ntool two { exec two; }\ngraph g {\n  node act {\n    run sh -c \"one > both.txt; two \
                >> both.txt\"\n    output both.txt\n    tools one two\n  }\n}\n";
    let workspace = Workspace::with_spec(spec)
        .script("../inst/bin/one", "#!/bin/sh\necho one\n")
        .script("../elsewhere/real-two", "#!/bin/sh\necho two\n");
    let around = workspace.around().to_path_buf();
    let bin = around.join("bin");
    std::fs::create_dir(&bin).expect("a folder can be made");
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, around.join(at)).expect("a link can be made");
    link("../inst/bin/one", "bin/one");
    link(&around.join("elsewhere/real-two").to_string_lossy(), "inst/bin/two");
    link("../inst/bin/two", "bin/two");
    let path = format!("{}:/usr/bin:/bin", bin.display());
    for level in ["full", "landlock"] {
        let args = ["run", "g", "--isolation", level, "--refresh", "g"];
        let outcome = workspace.partita(&args).env("PATH", &path).run();
        if !failed_closed(&outcome, level) {
            outcome.ok();
            assert_eq!(workspace.read("out/g/act/both.txt"), "one\ntwo\n");
        }
        assert_eq!(workspace.read("../inst/bin/one"), "#!/bin/sh\necho one\n");
        assert_eq!(workspace.read("../elsewhere/real-two"), "#!/bin/sh\necho two\n");
    }
}
