//! A forecast never lies: random sequences of edits, losses and runs of small workspaces, each run
//! foretold. Leaves out durations.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use walkdir::WalkDir;

use crate::support::Workspace;

/// The same numbers on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit.max(1)
    }
}

/// A node: the nodes before it that it reads, the number written into its command, whether it passes
/// only a part of what it reads on (so that equal outputs come about), and whether it is volatile.
struct Node {
    reads: Vec<usize>,
    salt: usize,
    narrow: bool,
    volatile: bool,
}

fn spec(nodes: &[Node], comment: usize) -> String {
    let mut text = format!("// {comment}\ngraph g {{\n");
    for (number, node) in nodes.iter().enumerate() {
        let class = if node.volatile { " class=volatile" } else { "" };
        let _ = writeln!(text, "    node n{number}{class} {{\n        input \"src/{number}\"");
        let mut from = format!("src/{number}");
        for read in &node.reads {
            let _ = writeln!(text, "        input \"i{read}\" from=(ref)n{read}.o");
            let _ = write!(from, " i{read}");
        }
        let filter = if node.narrow { "head -c 1 | tr 0-9 a" } else { "cat" };
        let _ = writeln!(text, "        run sh -c \"cat {from} | {filter} > o; echo {} >> o\"", node.salt);
        text.push_str("        output o\n    }\n");
    }
    text + "}\n"
}

fn random_nodes(random: &mut Random) -> Vec<Node> {
    let count = 3 + random.below(5);
    (0..count)
        .map(|number| Node {
            reads: (0..number).filter(|_| random.below(3) == 0).collect(),
            salt: random.below(2),
            narrow: random.below(2) == 0,
            volatile: random.below(12) == 0,
        })
        .collect()
}

/// Files that hold the blobs of a store.
fn blobs(workspace: &Workspace) -> Vec<std::path::PathBuf> {
    let walk = WalkDir::new(workspace.store()).sort_by_file_name().into_iter().filter_map(Result::ok);
    let blob = |name: &str| name.len() >= 32 && name.bytes().all(|b| b.is_ascii_hexdigit());
    walk.filter(|entry| entry.file_type().is_file() && entry.file_name().to_str().is_some_and(blob))
        .map(walkdir::DirEntry::into_path)
        .collect()
}

fn foretold(workspace: &Workspace) -> BTreeMap<String, String> {
    let reply = workspace.run(&["forecast", "g", "--format", "json"]).ok().json();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let actions = reply["actions"].as_array().expect("a list").iter();
    let word = |action: &serde_json::Value| {
        let lost = action["reason"]["code"].as_str().is_some_and(|code| code.starts_with("blob-"));
        let word = text(&action["forecast"]);
        if lost && word == "maybe-cut-off" { "maybe-brought-back".to_owned() } else { word }
    };
    actions.map(|action| (text(&action["addr"]), word(action))).collect()
}

fn happened(workspace: &Workspace) -> BTreeMap<String, String> {
    let reply = workspace.run(&["run", "g", "--format", "json"]).ok().json();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let actions = reply["actions"].as_array().expect("a list").iter();
    actions.map(|action| (text(&action["addr"]), text(&action["outcome"]))).collect()
}

/// Foretells and runs, and compares. Returns how many of each forecast there were.
fn check(workspace: &Workspace, story: &[String], sums: &mut BTreeMap<String, usize>) {
    let before = foretold(workspace);
    let after = happened(workspace);
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "{story:?}");
    for (addr, outcome) in &after {
        let fine = match before[addr].as_str() {
            "hit" => outcome == "cached",
            "run" | "volatile" => outcome == "ran",
            "maybe-cut-off" => outcome == "ran" || outcome == "cut-off",
            "maybe-brought-back" => outcome == "ran" || outcome == "cached",
            _ => false,
        };
        assert!(fine, "`{addr}` was forecast `{}`, and it is `{outcome}`\n{story:#?}", before[addr]);
        *sums.entry(format!("{}, {outcome}", before[addr])).or_default() += 1;
    }
}

#[test]
fn what_is_foretold_comes_true() {
    let asked = partita::base::Environment::of_process();
    let number = |name: &str| -> Option<u64> { asked.raw(name)?.to_str()?.parse().ok() };
    let (first, cases) = (number("PARTITA_FORECAST_FIRST").unwrap_or(0), number("PARTITA_FORECAST_CASES").unwrap_or(6));
    let mut sums = BTreeMap::new();
    let mut steps = 0;
    for case in first..first + cases {
        let mut random = Random(case.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let mut nodes = random_nodes(&mut random);
        let workspace = Workspace::with_spec(&spec(&nodes, 0));
        for number in 0..nodes.len() {
            workspace.write(&format!("src/{number}"), "0\n");
        }
        let mut story = vec![format!("case {case}")];
        for step in 0..6 {
            for _ in 0..=random.below(2) {
                let at = random.below(nodes.len());
                match random.below(7) {
                    0 | 1 => {
                        workspace.write(&format!("src/{at}"), format!("{}\n", random.below(4)));
                        story.push(format!("src/{at} written"));
                    }
                    2 => {
                        nodes[at].salt += 1;
                        story.push(format!("n{at} changed"));
                    }
                    3 => story.push("a comment changed".to_owned()),
                    4 => {
                        let all = blobs(&workspace);
                        if let Some(blob) = all.get(random.below(all.len())) {
                            fs::remove_file(blob).expect("a blob can be removed");
                            story.push(format!("{} removed", blob.display()));
                        }
                    }
                    5 => {
                        let all = blobs(&workspace);
                        if let Some(blob) = all.get(random.below(all.len())) {
                            let size = fs::metadata(blob).expect("it is there").len() as usize;
                            fs::remove_file(blob).expect("a blob can be removed");
                            fs::write(blob, vec![b'x'; size]).expect("a blob can be written");
                            story.push(format!("{} corrupted", blob.display()));
                        }
                    }
                    _ => {
                        if random.below(4) == 0 {
                            workspace.drop_store();
                            story.push("the store was dropped".to_owned());
                        }
                    }
                }
            }
            workspace.write("partita.kdl", format!("partita edition=1\n{}", spec(&nodes, step)));
            check(&workspace, &story, &mut sums);
            story.push("run".to_owned());
            steps += 1;
        }
    }
    println!("{steps} runs foretold: {sums:?}");
}

#[test]
fn what_cannot_run_is_foretold_as_such() {
    let workspace = Workspace::with_spec(
        "tool absent { exec partita-no-such-program; }\ngraph g {\n    node a {\n        run absent\n        output o\n    }\n    node b {\n        input o from=(ref)a.o\n        copy o\n        output p\n    }\n    node c {\n        write x\n        output q\n    }\n}\n",
    );
    let before = foretold(&workspace);
    assert_eq!(before["g/a"], "fail");
    assert_eq!(before["g/b"], "fail");
    assert_eq!(before["g/c"], "run");
    workspace.run(&["forecast", "g"]).ok().prints("partita-no-such-program");
}

#[test]
fn a_forecast_changes_nothing_of_a_later_run() {
    let workspace =
        Workspace::with_spec("graph g {\n    node a {\n        run sh -c \"echo 1 > o\"\n        output o\n    }\n}\n");
    for _ in 0..2 {
        assert_eq!(foretold(&workspace)["g/a"], "run");
    }
    assert_eq!(happened(&workspace)["g/a"], "ran");
    for _ in 0..2 {
        assert_eq!(foretold(&workspace)["g/a"], "hit");
    }
    let text = workspace.run(&["forecast", "g", "--refresh", "g/a"]).ok().stdout;
    assert!(text.starts_with("run           g/a (about "), "{text}");
    assert_eq!(happened(&workspace)["g/a"], "cached");
    // Runs are not counted by looking ahead.
    assert_eq!(workspace.run(&["runs"]).ok().stdout.lines().count(), 2);
}
