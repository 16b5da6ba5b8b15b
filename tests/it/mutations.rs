//! Single mutations of everything that enters a key, and of what does not, in graphs of five shapes: the
//! reason that a run gives names what was changed. Leaves out reasons that come from the store, which
//! `why` has.
//!
//! Each mutation is made in one shape; with `PARTITA_MUTATIONS=all` each in every shape.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use partita::base::Environment;
use serde_json::Value;

use crate::support::Workspace;

const TOOLS: &str = "\
partita edition=1
let words type=list<string> {
    - one
    - two
}
tool mine { exec \"tools/mine.sh\" fingerprint=\"--version\"; uses mkdir cat; }
tool other { exec \"tools/other.sh\"; uses cat; }
gate small kind=content {
    param text type=artifact.text
    require text.size le \"1KiB\"
}
graph g {
";

/// The node that most mutations are of.
const NODE: &str = "    node m {
        input \"in/a.txt\"
        input \"in/b.txt\"
        input \"lib/**\"
UP        run mine one two
        tools other
        env COLOUR=red SIZE=big
        output o
        output extra path=\"sub/extra\"
        output d path=tree type=artifact.dir
        timeout \"1m\"
    }
";

/// Nodes of the other kinds.
const REST: &str = "    node text {
        write \"hello\"
        output t
    }
    node copied {
        input \"in/a.txt\"
        input \"in/b.txt\"
        copy \"in/a.txt\"
        output c
    }
    node rendered {
        input \"in/page.j2\"
        render \"in/page.j2\" {
            set who=you
        }
        output r
    }
    node merged {
        input \"in/x.json\"
        input \"in/y.json\"
        merge-json \"in/x.json\" \"in/y.json\"
        output j
    }
    node asked class=record take=1 {
        run sh -c \"echo answer > r\"
        output r type=artifact.text
    }
    node gated {
        guard small text=(ref)asked.r
        write \"g\"
        output g
    }
}
";

const MINE: &str = "#!/bin/sh
case $1 in --version) echo mine 1; exit;; esac
mkdir -p sub tree
echo \"$@\" $COLOUR > o
cat in/* lib/* > sub/extra 2>/dev/null
echo x > tree/x
[ -e up0 ] && cat up0 >> o
exit 0
";

const FILES: &[(&str, &str)] = &[
    ("in/a.txt", "a\n"),
    ("in/b.txt", "b\n"),
    ("in/page.j2", "hi {{ who }}\n"),
    ("in/x.json", "{\"a\":1}\n"),
    ("in/y.json", "{\"b\":2}\n"),
    ("lib/x", "x\n"),
    ("lib/sub/y", "y\n"),
    ("src/up.txt", "up\n"),
];

const SHAPES: &[&str] = &["single", "chain", "diamond", "fan", "each"];

fn copy_of(name: &str, of: &str) -> String {
    format!("    node {name} {{\n        input i from=(ref){of}.o\n        copy i\n        output o\n    }}\n")
}

fn spec(shape: &str) -> String {
    let up = |name: &str| {
        format!(
            "    node {name} {{\n        input \"src/up.txt\"\n        run sh -c \"cat src/up.txt > o\"\n        output o\n    }}\n"
        )
    };
    let node = |above: &[&str]| {
        let mut inputs = String::new();
        for (number, above) in above.iter().enumerate() {
            let _ = writeln!(inputs, "        input up{number} from=(ref){above}.o");
        }
        NODE.replace("UP", &inputs)
    };
    let body = match shape {
        "single" => node(&[]),
        "chain" => up("up") + &node(&["up"]) + &copy_of("down", "m"),
        "diamond" => up("up") + &copy_of("left", "up") + &copy_of("right", "up") + &node(&["left", "right"]),
        "fan" => {
            up("up")
                + &up("up2")
                + &node(&["up", "up2"])
                + &copy_of("f1", "m")
                + &copy_of("f2", "m").replace("output o", "output p")
        }
        _ => {
            let each = node(&["up"]).replace("    node m {\n", "    node m {\n        for-each w in=(var)words\n");
            up("up") + &each.replace("run mine one two", "run mine one two \"{{ w }}\"")
        }
    };
    format!("{TOOLS}{body}{REST}")
}

/// What is done.
enum How {
    Spec(&'static str, &'static str),
    File(&'static str, &'static str),
    Executable(&'static str),
    Removed(&'static str),
    Renamed(&'static str, &'static str),
    Refresh,
}

/// A mutation: its name, what is done, the node that runs because of it, the code of the reason and
/// the name in it; no node for what runs nothing.
type Mutation = (&'static str, How, &'static str, &'static str, &'static str);

const OTHER_MINE: &str = "#!/bin/sh
case $1 in --version) echo mine 2; exit;; esac
mkdir -p sub tree
echo o > o
echo e > sub/extra
echo x > tree/x
";
const COMMENTED_MINE: &str = "#!/bin/sh
# Another text, the same identity.
case $1 in --version) echo mine 1; exit;; esac
";

const MUTATIONS: &[Mutation] = {
    use How::{Executable, File, Refresh, Removed, Renamed, Spec};
    &[
        ("an argument more", Spec("run mine one two", "run mine one two three"), "m", "def-changed", "args"),
        ("an argument changed", Spec("run mine one two", "run mine one too"), "m", "def-changed", "args"),
        ("an argument less", Spec("run mine one two", "run mine one"), "m", "def-changed", "args"),
        ("arguments swapped", Spec("run mine one two", "run mine two one"), "m", "def-changed", "args"),
        ("two arguments as one", Spec("run mine one two", "run mine \"one two\""), "m", "def-changed", "args"),
        ("an empty argument", Spec("run mine one two", "run mine one two \"\""), "m", "def-changed", "args"),
        ("a variable changed", Spec("COLOUR=red", "COLOUR=blue"), "m", "env-changed", "COLOUR"),
        ("a variable emptied", Spec("COLOUR=red", "COLOUR=\"\""), "m", "env-changed", "COLOUR"),
        ("a variable more", Spec("SIZE=big", "SIZE=big NEW=x"), "m", "env-changed", "NEW"),
        ("a variable less", Spec(" SIZE=big", ""), "m", "env-changed", "SIZE"),
        ("bytes of an input", File("in/b.txt", "B\n"), "m", "input-changed", "in/b.txt"),
        ("the executable bit", Executable("in/b.txt"), "m", "input-changed", "in/b.txt"),
        ("a file more for a pattern", File("lib/new", "n\n"), "m", "input-changed", "lib/new"),
        ("a file less for a pattern", Removed("lib/x"), "m", "input-changed", "lib/x"),
        ("a file below", File("lib/sub/y", "yy\n"), "m", "input-changed", "lib/sub/y"),
        ("a file in a new folder", File("lib/deep/er/z", "z\n"), "m", "input-changed", "lib/deep/er/z"),
        ("a file of another name", Renamed("lib/x", "lib/xx"), "m", "input-changed", "lib/x"),
        (
            "an input less",
            Spec("        input \"in/b.txt\"\n        input \"lib", "        input \"lib"),
            "m",
            "input-changed",
            "in/b.txt",
        ),
        (
            "an input more",
            Spec("        input \"lib/**\"\n", "        input \"lib/**\"\n        input \"in/x.json\"\n"),
            "m",
            "input-changed",
            "in/x.json",
        ),
        ("a narrower pattern", Spec("\"lib/**\"", "\"lib/*\""), "m", "input-changed", "lib/sub/y"),
        ("an output elsewhere", Spec("path=\"sub/extra\"", "path=\"sub/extra2\""), "m", "def-changed", "outputs"),
        ("an output less", Spec("        output extra path=\"sub/extra\"\n", ""), "m", "def-changed", "outputs"),
        (
            "an output more",
            Spec("        output extra", "        output more path=\"sub/more\"\n        output extra"),
            "m",
            "def-changed",
            "outputs",
        ),
        ("an output renamed", Spec("output extra", "output extras"), "m", "def-changed", "outputs"),
        (
            "an output of another kind",
            Spec("path=tree type=artifact.dir", "path=\"tree/x\""),
            "m",
            "def-changed",
            "outputs",
        ),
        ("a class that is not cached", Spec("node m {", "node m class=volatile {"), "m", "volatile", ""),
        ("a class with the network", Spec("node m {", "node m class=record {"), "m", "class-changed", ""),
        ("what a tool says", File("tools/mine.sh", OTHER_MINE), "m", "tool-changed", "mine"),
        ("bytes of a tool", File("tools/other.sh", "#!/bin/sh\n# c\nexec cat \"$@\"\n"), "m", "tool-changed", "other"),
        ("a tool that a tool uses", Spec("uses mkdir cat; }", "uses mkdir cat ls; }"), "m", "def-changed", "tools"),
        ("a tool less", Spec("        tools other\n", ""), "m", "def-changed", "tools"),
        ("a tool more", Spec("        tools other\n", "        tools other sed\n"), "m", "def-changed", "tools"),
        (
            "another file as the tool",
            Spec("exec \"tools/mine.sh\"", "exec \"tools/mine2.sh\""),
            "m",
            "def-changed",
            "program",
        ),
        ("another tool", Spec("run mine one two", "run other one two"), "m", "def-changed", "program"),
        (
            "another folder",
            Spec("        tools other\n", "        tools other\n        cwd lib\n"),
            "m",
            "def-changed",
            "cwd",
        ),
        ("a text", Spec("write \"hello\"", "write \"hallo\""), "text", "def-changed", "text"),
        (
            "a process in place of a text",
            Spec("write \"hello\"", "run sh -c \"printf hello > t\""),
            "text",
            "def-changed",
            "program",
        ),
        ("another file to copy", Spec("copy \"in/a.txt\"", "copy \"in/b.txt\""), "copied", "def-changed", "from"),
        ("bytes to copy", File("in/a.txt", "AA\n"), "copied", "input-changed", "in/a.txt"),
        ("a template", File("in/page.j2", "ho {{ who }}\n"), "rendered", "input-changed", "in/page.j2"),
        ("a variable of a template", Spec("set who=you", "set who=me"), "rendered", "def-changed", "vars"),
        ("a variable more of a template", Spec("set who=you", "set who=you what=x"), "rendered", "def-changed", "vars"),
        (
            "the order of a merge",
            Spec("\"in/x.json\" \"in/y.json\"", "\"in/y.json\" \"in/x.json\""),
            "merged",
            "def-changed",
            "merge",
        ),
        ("bytes to merge", File("in/y.json", "{\"b\":3}\n"), "merged", "input-changed", "in/y.json"),
        ("another sample", Spec("take=1", "take=2"), "asked", "def-changed", "take"),
        ("what is asked", Spec("echo answer > r", "echo other > r"), "asked", "def-changed", "args"),
        ("a requirement", Spec("le \"1KiB\"", "le \"2KiB\""), "gated/guard/small", "def-changed", "require"),
        (
            "the sense of a requirement",
            Spec("text.size le", "text.size lt"),
            "gated/guard/small",
            "def-changed",
            "require",
        ),
        (
            "a producer's command",
            Spec("cat src/up.txt > o", "cat src/up.txt src/up.txt > o"),
            "up",
            "def-changed",
            "args",
        ),
        (
            "a producer that leaves the same",
            Spec("cat src/up.txt > o", "cat < src/up.txt > o"),
            "up",
            "def-changed",
            "args",
        ),
        ("a producer's input", File("src/up.txt", "UP\n"), "up", "input-changed", "src/up.txt"),
        ("asked for", Refresh, "m", "forced", ""),
        ("a timeout", Spec("timeout \"1m\"", "timeout \"2m\""), "", "", ""),
        ("a retry", Spec("timeout \"1m\"", "timeout \"1m\"\n        retry max=2"), "", "", ""),
        ("a comment", Spec("graph g {", "// c\ngraph g {"), "", "", ""),
        ("a tool that says the same", File("tools/mine.sh", COMMENTED_MINE), "", "", ""),
        (
            "another question with the same answer",
            Spec("fingerprint=\"--version\"", "fingerprint=\"--version x\""),
            "",
            "",
            "",
        ),
        ("a file that nothing takes in", File("in/c.txt", "c\n"), "", "", ""),
        ("the same bytes again", File("in/a.txt", "a\n"), "", "", ""),
    ]
};

fn reset(workspace: &Workspace, shape: &str) {
    for folder in ["in", "lib", "src", "tools"] {
        workspace.remove(folder);
    }
    for (path, text) in FILES {
        workspace.write(path, text);
    }
    let other = "#!/bin/sh\nexec cat \"$@\"\n";
    for (path, text) in [("tools/mine.sh", MINE), ("tools/mine2.sh", MINE), ("tools/other.sh", other)] {
        workspace.write(path, text);
        executable(workspace, path);
    }
    workspace.write("partita.kdl", spec(shape));
}

fn executable(workspace: &Workspace, path: &str) {
    fs::set_permissions(workspace.path(path), fs::Permissions::from_mode(0o755)).expect("a mode can be set");
}

/// Makes a mutation; `false` if the shape has nothing of the kind.
fn mutate(workspace: &Workspace, how: &How) -> bool {
    match how {
        How::Spec(from, to) => {
            let spec = workspace.read("partita.kdl");
            if !spec.contains(from) {
                return false;
            }
            workspace.write("partita.kdl", spec.replacen(from, to, 1));
        }
        How::File(path, text) => {
            workspace.write(path, text);
            if path.starts_with("tools/") {
                executable(workspace, path);
            }
        }
        How::Executable(path) => executable(workspace, path),
        How::Removed(path) => workspace.remove(path),
        How::Renamed(from, to) => {
            fs::rename(workspace.path(from), workspace.path(to)).expect("a file can be renamed");
        }
        How::Refresh => {}
    }
    true
}

/// Whether a mutation is one of a file.
fn touches(how: &How, file: &str) -> bool {
    match how {
        How::File(path, _) | How::Executable(path) | How::Removed(path) => *path == file,
        How::Renamed(from, to) => *from == file || *to == file,
        How::Spec(..) | How::Refresh => false,
    }
}

/// Outcome and reason of every action of a run.
fn run(workspace: &Workspace, args: &[&str]) -> BTreeMap<String, (String, Value)> {
    let all = [&["run", "g", "--keep-going", "--format", "json"], args].concat();
    let outcome = workspace.run(&all);
    let report = outcome.json();
    let actions = report["actions"].as_array().unwrap_or_else(|| panic!("{}", outcome.describe())).iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    actions.map(|action| (text(&action["addr"]), (text(&action["outcome"]), action["reason"].clone()))).collect()
}

/// Makes a mutation of a shape and judges every reason. Returns how many there were.
fn judge(workspace: &Workspace, shape: &str, mutation: &Mutation) -> usize {
    let (name, how, node, code, what) = mutation;
    reset(workspace, shape);
    let base = run(workspace, &[]);
    assert!(base.values().all(|(outcome, _)| outcome != "failed" && outcome != "skipped"), "{shape}: {base:?}");
    if !mutate(workspace, how) {
        return 0;
    }
    let refresh: &[&str] = if matches!(how, How::Refresh) { &["--refresh", "g/m"] } else { &[] };
    let found = run(workspace, refresh);
    let place = format!("{name} in {shape}: {found:#?}");
    let wanted = format!("g/{node}");
    let is_wanted =
        |addr: &str| !node.is_empty() && (addr == wanted || addr.starts_with(&format!("{wanted}/")) && *node == "m");
    assert_eq!(found.keys().any(|addr| is_wanted(addr)), !node.is_empty(), "{place}");
    for (addr, (outcome, reason)) in &found {
        let says = |field: &str| reason[field].as_str().unwrap_or_default();
        assert!(!says("code").is_empty(), "no reason for {addr}: {place}");
        if is_wanted(addr) {
            assert!(outcome == "ran" || outcome == "failed", "{addr}: {place}");
            assert_eq!(says("code"), *code, "{addr}: {place}");
            let named = ["field", "path", "var", "name"].map(says);
            assert!(what.is_empty() || named.contains(what), "{addr}: {place}");
            continue;
        }
        // Whatever else ran did so because of bytes that changed: a file, or what another left.
        match says("code") {
            // Its twin did the same a moment before.
            "known-key" => {
                let twin = match addr.as_str() {
                    "g/left" => "g/right",
                    "g/right" => "g/left",
                    "g/up" => "g/up2",
                    "g/up2" => "g/up",
                    _ => panic!("{addr} has no twin: {place}"),
                };
                assert!(outcome == "cached" || outcome == "cut-off", "{addr}: {place}");
                assert_eq!(found[twin].0, "ran", "{addr}: {place}");
            }
            "same-key" => assert!(outcome == "cached" || outcome == "cut-off", "{addr}: {place}"),
            "input-changed" => assert!(touches(how, says("path")), "{addr}: {place}"),
            "dep-output-changed" => assert_ne!(found[says("addr")].0, "cached", "{addr}: {place}"),
            "producer-failed" => assert_ne!(found[says("addr")].0, "ran", "{addr}: {place}"),
            other => panic!("`{other}` of {addr}: {place}"),
        }
    }
    found.len()
}

#[test]
fn every_mutation_is_named_in_every_shape() {
    let all = Environment::of_process().raw("PARTITA_MUTATIONS").is_some_and(|value| value == "all");
    let (mut mutations, mut reasons) = (0, 0);
    for (number, shape) in SHAPES.iter().enumerate() {
        let workspace = Workspace::new();
        for (index, mutation) in MUTATIONS.iter().enumerate() {
            // The first shape has no producer.
            let is_of_a_producer = mutation.2 == "up";
            let turn = if is_of_a_producer { 1 + index % (SHAPES.len() - 1) } else { index % SHAPES.len() };
            if turn == number || (all && !(is_of_a_producer && number == 0)) {
                let judged = judge(&workspace, shape, mutation);
                mutations += usize::from(judged > 0);
                reasons += judged;
            }
        }
    }
    assert!(mutations >= MUTATIONS.len(), "{mutations} of {}", MUTATIONS.len());
    println!("{mutations} mutations in {} shapes, {reasons} reasons: all right, none unknown", SHAPES.len());
}
