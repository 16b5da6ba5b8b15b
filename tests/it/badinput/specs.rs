//! Specs that are wrong or hostile: mistakes of the graph, paths that leave, files that are no text,
//! and texts made to exhaust a parser. Leaves out mistakes that the UI tests show.

use std::os::unix::fs::symlink;
use std::time::Duration;

use partita::base::{Clock as _, SystemClock};

use crate::badinput::{SPEC, is_refused};
use crate::support::Workspace;

/// Runs graph `g` of a spec that must be refused with a code, at a line.
#[track_caller]
fn refuses(spec: &str, code: &str, line: usize) {
    let workspace = Workspace::with_spec(spec);
    let outcome = workspace.run(&["run", "g"]);
    is_refused(&workspace, outcome, SPEC, code, &format!("partita.kdl:{line}:"));
}

#[test]
fn a_cycle() {
    refuses(
        "graph g {\n    node a { input b from=(ref)b.b; run sh -c \"cp b a\"; output a }\n    \
         node b { input a from=(ref)a.a; run sh -c \"cp a b\"; output b }\n}\n",
        "P0501",
        3,
    );
    refuses(
        "graph g {\n    node a { after b; write x; output a }\n    node b { after a; write x; output b }\n}\n",
        "P0501",
        3,
    );
    refuses("graph g {\n    node a { after a; write x; output a }\n}\n", "P0501", 3);
}

#[test]
fn two_that_claim_one_path() {
    refuses("graph g {\n    node a { run sh -c \"true\"; output x path=o; output y path=o }\n}\n", "P0504", 3);
    refuses("graph g {\n    node a { run sh -c \"true\"; output x path=o; output y path=\"o/p\" }\n}\n", "P0504", 3);
    refuses(
        "graph g {\n    node a { write a; output o }\n    node b { write b; output o }\n    node c {\n        \
         input x from=(ref)a.o\n        input x from=(ref)b.o\n        copy x\n        output y\n    }\n}\n",
        "P0504",
        7,
    );
    refuses("graph g {\n    node a { write a; output o }\n    node a { write b; output o }\n}\n", "P0202", 4);
    refuses(
        "graph g {\n    node a { write a; output o }\n}\nbundle g from=g version=\"1\" {\n    include a output=o to=x\n    include a output=o to=x\n}\n",
        "P0801",
        7,
    );
}

#[test]
fn paths_that_leave() {
    for path in ["/etc/passwd", "../secret", "a/../../secret", "./x", "a//b", "", "a\\\\b", "a\\u{0}b"] {
        refuses(&format!("graph g {{\n    node a {{ input \"{path}\"; write x; output o }}\n}}\n"), "P0507", 3);
    }
    for path in ["/o", "../o", "a/../../o"] {
        refuses(&format!("graph g {{\n    node a {{ write x; output o path=\"{path}\" }}\n}}\n"), "P0507", 3);
        refuses(&format!("graph g {{\n    node a {{ run sh -c x; cwd \"{path}\"; output o }}\n}}\n"), "P0507", 3);
    }
    for path in ["/o", "../o"] {
        refuses(
            &format!(
                "graph g {{ node a {{ write x; output o }} }}\nbundle g from=g version=\"1\" {{\n    \
                 include a output=o to=\"{path}\"\n}}\n"
            ),
            "P0802",
            4,
        );
    }
}

#[test]
fn imports_that_leave_or_cannot_be_read() {
    let outside = "import \"../outside.kdl\" as=x\ngraph g { node a { write x; output o } }\n";
    let workspace = Workspace::with_spec(outside);
    std::fs::write(workspace.around().join("outside.kdl"), "partita edition=1\n").expect("a file can be written");
    let outcome = workspace.run(&["run", "g"]);
    is_refused(&workspace, outcome, SPEC, "P0210", "partita.kdl:2:");

    let linked = Workspace::with_spec("import \"./linked.kdl\" as=x\ngraph g { node a { write x; output o } }\n");
    std::fs::write(linked.around().join("outside.kdl"), "partita edition=1\n").expect("a file can be written");
    symlink(linked.around().join("outside.kdl"), linked.path("linked.kdl")).expect("a link can be made");
    let outcome = linked.run(&["run", "g"]).says("outside the workspace");
    is_refused(&linked, outcome, SPEC, "P0205", "partita.kdl:2:");

    refuses("import \"./none.kdl\" as=x\ngraph g { node a { write x; output o } }\n", "P0205", 2);
    refuses("import \"./partita.kdl\" as=x\ngraph g { node a { write x; output o } }\n", "P0206", 2);
}

#[test]
fn files_that_are_no_spec() {
    let checks = |workspace: &Workspace, code: &str, file: &str| {
        workspace.run(&["check", file]).expect(SPEC).says(&format!("error[{code}]")).says(file);
    };
    let workspace = Workspace::with_spec("graph g { node a { write x; output o } }\n");
    workspace.write("latin.kdl", b"partita edition=1\n// caf\xe9\n");
    workspace.write("utf16.kdl", b"\xff\xfep\0a\0r\0t\0i\0t\0a\0");
    workspace.write("nul.kdl", b"partita edition=1\n\0\n");
    workspace.write("empty.kdl", "");
    workspace.write(
        "huge.kdl",
        "partita edition=1\n".to_owned() + &"// a long comment line to fill it up\n".repeat(150_000),
    );
    std::fs::create_dir(workspace.path("folder.kdl")).expect("a folder can be made");
    checks(&workspace, "P0013", "latin.kdl");
    checks(&workspace, "P0013", "utf16.kdl");
    checks(&workspace, "P0010", "nul.kdl");
    checks(&workspace, "P0104", "empty.kdl");
    checks(&workspace, "P0001", "huge.kdl");
    workspace.run(&["check", "folder.kdl"]).expect(2).says("`folder.kdl` is a folder").says("-C folder.kdl");
    workspace.run(&["check", "none.kdl"]).expect(2).says("there is no file `none.kdl`");

    // A pipe as a spec must not make the program wait for a writer.
    let _pipe = crate::support::Gate::new(&workspace.path("pipe.kdl"));
    checks(&workspace, "P0205", "pipe.kdl");

    // The root file itself.
    workspace.write("partita.kdl", b"partita edition=1\n// caf\xe9\n");
    let outcome = workspace.run(&["run", "g"]);
    is_refused(&workspace, outcome, SPEC, "P0013", "partita.kdl");
}

/// Text of strangers that once brought a parser down, with the code it is answered with.
fn bombs() -> Vec<(&'static str, String, &'static str)> {
    let deep = 20_000;
    vec![
        ("nested blocks", "a {".repeat(deep), "P0002"),
        ("nested and closed blocks", "a {".repeat(deep) + &"}".repeat(deep), "P0002"),
        ("stars in a comment", format!("/* {} */\n", "*".repeat(100_000)), "P0007"),
        ("slashes in a comment", format!("/*{} */\n", " /".repeat(100_000)), "P0007"),
        ("nested comments", "/*".repeat(deep), "P0007"),
        ("stray closing braces", "}".repeat(100_000), "P0004"),
        ("stray opening braces", "{".repeat(deep), "P0009"),
        ("nested hidden blocks", "/-a {".repeat(deep), "P0002"),
        ("hidden blocks of nodes", "a /-{".repeat(40), "P0002"),
        ("strings never closed", "##\"\"\"\n".repeat(deep), "P0006"),
        ("quotes", "\"".repeat(100_001), "P0006"),
        ("digits", format!("a {}\n", "9".repeat(1_000_000)), "P0012"),
        ("hashes", format!("a {}\n", "#".repeat(1_000_000)), "P0013"),
        ("continued lines", "a \\\n".repeat(100_000), "P0101"),
        ("mistakes", "graph g {\n".to_owned() + &"inptu x\n".repeat(5_000) + "}\n", "P0101"),
        (
            "a product of lists",
            "let l type=list<string> {\n".to_owned()
                + &(0..1_000).map(|n| format!("- e{n}\n")).collect::<String>()
                + "}\ngraph g { node n { for-each a in=(var)l; for-each b in=(var)l; for-each c in=(var)l; write x; output o } }\n",
            "P0405",
        ),
        (
            "a string that grows",
            format!(
                "let l type=string \"{}\"\ngraph g {{ node n {{ write \"{}\"; output o }} }}\n",
                "x".repeat(1_000),
                "{{ l }}".repeat(1_000)
            ),
            "P0405",
        ),
    ]
}

#[test]
fn bombs_are_answered_within_a_second() {
    let workspace = Workspace::with_spec("graph g { node a { write x; output o } }\n");
    let clock = SystemClock::new();
    for (name, text, code) in bombs() {
        workspace.write("bomb.kdl", format!("partita edition=1\n{text}"));
        // Other tests run at the same time, so that one try may be slow for reasons of its own.
        let timed = || {
            let begun = clock.elapsed();
            let outcome = workspace.run(&["check", "bomb.kdl"]);
            (clock.elapsed().saturating_sub(begun), outcome)
        };
        let tries = std::iter::repeat_with(timed).take(3);
        let (took, outcome) =
            tries.reduce(|a, b| if a.0 < Duration::from_secs(1) || a.0 < b.0 { a } else { b }).expect("it was tried");
        let outcome = outcome.expect(SPEC).says(&format!("error[{code}]")).says("bomb.kdl");
        assert!(took < Duration::from_secs(1), "{name}: {took:?}");
        assert!(outcome.stderr.len() < 100_000, "{name}: {} bytes of diagnostics", outcome.stderr.len());
    }
}

#[test]
fn bombs_as_trust_policies_are_answered_too() {
    let workspace = Workspace::with_spec(
        "graph g { node a { write x; output o } }\nbundle g from=g version=\"1.0.0\" { include a output=o to=o }\n",
    );
    workspace.run(&["deliver", "g"]).ok();
    for (name, text, _) in bombs().into_iter().take(13) {
        workspace.write("trust.kdl", text);
        let outcome = workspace.run(&["verify", "out/bundles/g-1.0.0.zip", "--policy", "trust.kdl"]);
        let outcome = outcome.expect(SPEC);
        assert!(outcome.stderr.contains("error[P00"), "{name}\n{}", outcome.describe());
    }
}
