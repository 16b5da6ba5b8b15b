//! Actions whose tools, inputs or outputs are not as declared, or which fail. Leaves out the store.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use crate::badinput::{ACTION_FAILED, TOOL_MISSING, is_refused};
use crate::support::{Gate, Workspace, tool};

/// Runs graph `g` of a spec whose node under test stands on line 3.
#[track_caller]
fn refuses(spec: &str, status: i32, code: &str, says: &str) -> Workspace {
    let workspace = Workspace::with_spec(spec);
    let outcome = workspace.run(&["run", "g"]).says(says);
    is_refused(&workspace, outcome, status, code, "--> partita.kdl:3:");
    workspace
}

#[test]
fn a_tool_that_is_missing() {
    let spec = "tool nope { exec no-such-tool }\ngraph g { node a { run nope x; output o.txt } }\n";
    refuses(spec, TOOL_MISSING, "E0201", "there is no executable `no-such-tool`; searched");
}

#[test]
fn a_tool_of_the_workspace_that_is_missing() {
    let spec = "tool mine { exec \"tools/mine.sh\" }\ngraph g { node a { run mine x; output o.txt } }\n";
    refuses(spec, TOOL_MISSING, "E0201", "tool `mine`: `tools/mine.sh` is not in the workspace");
}

#[test]
fn a_tool_of_the_workspace_that_cannot_be_executed() {
    let spec = "tool mine { exec \"mine.sh\" }\ngraph g { node a { run mine x; output o.txt } }\n";
    let spec = spec.replace("mine.sh", "tools/mine.sh");
    let workspace = Workspace::with_spec(&spec).file("tools/mine.sh", "#!/bin/sh\n");
    let outcome = workspace.run(&["run", "g"]).says("which is not executable: try `chmod +x tools/mine.sh`");
    is_refused(&workspace, outcome, ACTION_FAILED, "E0202", "--> partita.kdl:3:");
}

#[test]
fn a_tool_that_is_too_old() {
    let spec = "tool sed9 version=\">=900\" { exec sed fingerprint=\"--version\" }\n\
                graph g { node a { run sed9 x; output o.txt } }\n";
    refuses(spec, ACTION_FAILED, "E0202", "but `>=900` is asked for");
}

#[test]
fn an_input_that_is_missing() {
    let spec = "graph g {\n    node a { input \"data/none.txt\"; run sh -c \"true\"; output o.txt }\n}\n";
    refuses(spec, ACTION_FAILED, "E0203", "input `data/none.txt` matches no file of the workspace");
    let spec = "graph g {\n    node a { input \"data/**/*.c\"; run sh -c \"true\"; output o.txt }\n}\n";
    refuses(spec, ACTION_FAILED, "E0203", "input `data/**/*.c` matches no file of the workspace");
}

#[test]
fn an_output_that_is_missing() {
    let spec = "graph g {\n    node a { run sh -c \"echo x > other.txt\"; output o.txt }\n}\n";
    refuses(spec, ACTION_FAILED, "E0209", "there is no `o.txt`; beside it there are `other.txt`");
}

#[test]
fn an_output_of_another_kind() {
    for (script, word) in [
        ("ln -s other o", "a symbolic link"),
        ("echo x > other; ln -s other o", "a symbolic link"),
        ("ln -s /etc/passwd o", "a symbolic link"),
        ("mkdir o", "a folder"),
    ] {
        let spec = format!("graph g {{\n    node a {{ run sh -c \"{script}\"; output o }}\n}}\n");
        refuses(&spec, ACTION_FAILED, "E0209", &format!("output `o` at `o` is {word}; a file is declared"));
    }
    for (script, says) in [
        ("echo x > o", "output `o` at `o` is a file; a folder is declared"),
        ("mkdir real; ln -s real o", "output `o` at `o` is a symbolic link; a folder is declared"),
        ("mkdir o; ln -s /etc/passwd o/p", "symbolic link `o/p` -> `/etc/passwd` is absolute: it must stay inside"),
        ("mkdir o; ln -s ../../x o/p", "symbolic link `o/p` -> `../../x` leaves the output folder"),
    ] {
        let spec = format!("graph g {{\n    node a {{ run sh -c \"{script}\"; output o type=artifact.dir }}\n}}\n");
        refuses(&spec, ACTION_FAILED, "E0209", says);
    }
}

#[test]
fn an_output_that_is_a_pipe_a_socket_or_a_device() {
    let spec = |tool: &str, script: &str| {
        format!("tool special {{ exec {tool} }}\ngraph g {{ node a {{ run special {script}; output o }} }}\n")
    };
    if tool("mkfifo").is_some() {
        refuses(&spec("mkfifo", "o"), ACTION_FAILED, "E0209", "is a named pipe; a file is declared");
    }
    if tool("python3").is_some() {
        // A wrapper of python may need the caller's environment to find the real one.
        let bind = "tool special { exec python3; pass-env PATH HOME }\ngraph g { node a { run special -c \
                    \"import socket; socket.socket(socket.AF_UNIX).bind('o')\"; output o } }\n";
        refuses(bind, ACTION_FAILED, "E0209", "is a socket; a file is declared");
    }
    // Only root may make devices.
    if tool("mknod").is_some() && rustix::process::geteuid().is_root() {
        let outcome = "is a device; a file is declared";
        refuses(&spec("mknod", "o c 1 3"), ACTION_FAILED, "E0209", outcome);
    }
}

#[test]
fn a_folder_that_holds_a_pipe() {
    if tool("mkfifo").is_some() {
        let spec = "tool mkfifo { exec mkfifo }\n\
                    graph g { node a { run sh -c \"mkdir o; mkfifo o/p\"; tools mkfifo; output o type=artifact.dir } }\n";
        refuses(spec, ACTION_FAILED, "E0209", "`o/p` is a named pipe");
    }
}

#[test]
fn an_input_behind_a_link_that_leaves_the_workspace() {
    let spec =
        |input: &str| format!("graph g {{\n    node a {{ input \"{input}\"; run sh -c \"true\"; output o }}\n}}\n");
    for input in ["secret", "folder/secret", "folder/*"] {
        let workspace = Workspace::with_spec(&spec(input));
        let outside = workspace.around().join("outside");
        std::fs::create_dir(&outside).expect("a folder can be made");
        std::fs::write(outside.join("secret"), "s").expect("a file can be written");
        symlink(outside.join("secret"), workspace.path("secret")).expect("a link can be made");
        symlink(&outside, workspace.path("folder")).expect("a link can be made");
        let outcome = workspace.run(&["run", "g"]).says("leads outside the workspace");
        is_refused(&workspace, outcome, ACTION_FAILED, "E0203", "--> partita.kdl:3:");
    }
}

#[test]
fn an_input_that_is_no_file() {
    let spec = |input: &str| format!("graph g {{\n    node a {{ input {input}; run sh -c \"true\"; output o }}\n}}\n");
    let workspace = Workspace::with_spec(&spec("pipe"));
    let _pipe = Gate::new(&workspace.path("pipe"));
    let outcome = workspace.run(&["run", "g"]).says("`pipe` is a named pipe, not a regular file");
    is_refused(&workspace, outcome, ACTION_FAILED, "E0203", "--> partita.kdl:3:");

    let workspace = Workspace::with_spec(&spec("socket"));
    let _socket = UnixListener::bind(workspace.path("socket")).expect("a socket can be made");
    let outcome = workspace.run(&["run", "g"]).says("`socket` is a socket, not a regular file");
    is_refused(&workspace, outcome, ACTION_FAILED, "E0203", "--> partita.kdl:3:");

    let workspace = Workspace::with_spec(&spec("nowhere"));
    symlink("gone", workspace.path("nowhere")).expect("a link can be made");
    let outcome = workspace.run(&["run", "g"]).says("`nowhere` is a symbolic link that leads nowhere");
    is_refused(&workspace, outcome, ACTION_FAILED, "E0203", "--> partita.kdl:3:");
}

#[test]
fn an_input_that_partita_writes_itself() {
    let workspace = Workspace::with_spec(
        "workspace { store cache }\ngraph g {\n    node a { input \"cache/format\"; copy \"cache/format\"; output o }\n}\n",
    );
    let args = ["run", "g", "--store", "cache"];
    workspace.run(&args).expect(ACTION_FAILED).says("error[E0203]").says("which Partita writes itself");
}

#[test]
fn a_command_that_fails_is_told_with_its_last_words_and_where_it_stands() {
    let spec = "graph g {\n    node a { run sh -c \"echo last words >&2; exit 3\"; output o }\n}\n";
    let workspace = refuses(spec, ACTION_FAILED, "E0205", "`sh` exited with status 3");
    workspace.write("partita.kdl", format!("partita edition=1\n{spec}"));
    // The last words are shown once, with progress or without.
    for progress in ["plain", "none"] {
        let outcome = workspace.run(&["run", "g", "--progress", progress]).expect(ACTION_FAILED);
        assert_eq!(outcome.stderr.matches("last words").count(), 1, "{}", outcome.describe());
    }
    let spec = "graph g {\n    node a { run sh -c \"kill -9 $$\"; output o }\n}\n";
    refuses(spec, ACTION_FAILED, "E0206", "`sh` was ended by signal 9");
    let spec = "graph g {\n    node a { run sleep \"1000\"; output o; timeout \"50ms\" }\n}\n";
    refuses(spec, ACTION_FAILED, "E0207", "took longer than its timeout of 50 ms");
}

#[test]
fn a_fixed_output_with_another_digest() {
    let digest = "00".repeat(32);
    let spec = format!(
        "graph g {{\n    node a class=fixed {{ run sh -c \"echo x > o\"; output o digest=\"b3:{digest}\" }}\n}}\n"
    );
    refuses(&spec, ACTION_FAILED, "E0210", &format!("b3:{digest}"));
}

#[test]
fn a_template_or_json_that_is_wrong() {
    let spec = "graph g {\n    node a { input t; render t { set x=y }; output o }\n}\n";
    for (template, says) in [("{{ nope }}", "nope"), ("{% for %}", "t"), ("{{ x", "t")] {
        let workspace = Workspace::with_spec(spec).file("t", template);
        let outcome = workspace.run(&["run", "g"]).says(says);
        is_refused(&workspace, outcome, ACTION_FAILED, "E0211", "--> partita.kdl:3:");
    }
    let spec = "graph g {\n    node a { input j; merge-json j; output o }\n}\n";
    let workspace = Workspace::with_spec(spec).file("j", "{\"a\": }");
    let outcome = workspace.run(&["run", "g"]);
    is_refused(&workspace, outcome, ACTION_FAILED, "E0211", "--> partita.kdl:3:");
}

#[test]
fn a_failed_step_of_a_recipe_is_told_with_the_step_and_the_node() {
    let spec = "\
recipe broken {
    param word type=string
    returns out type=artifact.file
    step one tool=sh {
        arg -c \"echo {{ word }} >&2; exit 1\"
        output out
    }
}
graph g {
    node a recipe=broken {
        with word=ouch
    }
}
";
    let workspace = Workspace::with_spec(spec);
    let outcome = workspace.run(&["run", "g"]).says("error[E0205]: `g/a/one` failed: `sh` exited with status 1");
    let outcome = outcome.says("--> partita.kdl:5:").says("::: partita.kdl:11:").says("the recipe is applied here");
    let report = workspace.run(&["run", "g", "--format", "json", "--progress", "none"]).expect(1).json();
    let failure = &report["failures"][0];
    assert_eq!(failure["addr"], "g/a/one");
    assert_eq!(failure["code"], "E0205");
    assert_eq!(failure["place"]["file"], "partita.kdl");
    assert_eq!(failure["place"]["line"], 5);
    assert_eq!(failure["applied"]["line"], 11);
    assert!(failure["text"].as_str().is_some_and(|text| text.contains("ouch")));
    is_refused(&workspace, outcome, ACTION_FAILED, "E0205", "partita.kdl");
}

#[test]
fn what_does_not_fit_the_machine_is_told_with_its_place() {
    let spec = "graph g {\n    node a { run sh -c \"true\"; output o; resources memory=\"900000GiB\" }\n}\n";
    refuses(spec, 2, "E0103", "`g/a` needs");
}
