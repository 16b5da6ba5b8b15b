//! Where only sources and outputs changed, only what is behind them is run, and it comes to the same as a run
//! of everything: random graphs through random edits, beside a twin whose memory is turned off. Leaves out
//! requests that change nothing (`memo`).
//!
//! `PARTITA_BEHIND_GRAPHS` is the number of graphs: a few in every run of the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Stdio;

use partita::base::Environment;

use crate::support::{Gate, Outcome, Workspace};

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

/// Runs with the memory on, as a person does.
fn run(workspace: &Workspace, args: &[&str]) -> Outcome {
    workspace.partita(args).without("PARTITA_MEMO").run()
}

fn runs(workspace: &Workspace) -> BTreeSet<String> {
    let folder = workspace.state().join("runs");
    let entries = walkdir::WalkDir::new(folder).min_depth(1).max_depth(1).sort_by_file_name();
    entries.into_iter().filter_map(|entry| entry.ok()?.file_name().to_str().map(str::to_owned)).collect()
}

/// What a run executed, by key, and how what it looked at ended.
#[derive(Debug, Default, PartialEq, Eq)]
struct Done {
    executed: BTreeSet<String>,
    finished: BTreeMap<String, String>,
}

/// What the runs did that are not among those before.
fn since(workspace: &Workspace, before: &BTreeSet<String>) -> Done {
    let mut done = Done::default();
    for run in runs(workspace).difference(before) {
        let journal = workspace.state().join("runs").join(run).join("journal.ndjson");
        for line in std::fs::read_to_string(journal).expect("a run leaves a journal").lines() {
            let event: serde_json::Value = serde_json::from_str(line).expect("a line of a journal is JSON");
            if event["event"] != "action-finished" {
                continue;
            }
            // The run that made a known result has another name in the twin.
            let mut reason = event["reason"].clone();
            reason.as_object_mut().expect("an object").remove("run");
            let addr = event["addr"].as_str().expect("an address").to_owned();
            done.finished.insert(addr, format!("{} {reason}", event["outcome"]));
            if event["outcome"] == "ran" || event["outcome"] == "failed" {
                done.executed.insert(event["key"].as_str().expect("a key").to_owned());
            }
        }
    }
    done
}

const FILES: usize = 4;

/// A graph of merged objects: the order of members and blanks are lost, so that what is behind is cut off.
struct Case {
    nodes: Vec<(usize, Vec<usize>)>,
    spec: String,
}

impl Case {
    fn new(random: &mut Random) -> Self {
        let count = 2 + random.below(8);
        let above = |random: &mut Random, number: usize| -> Vec<usize> {
            let some: BTreeSet<usize> = (0..random.below(4).min(number)).map(|_| random.below(number)).collect();
            some.into_iter().collect()
        };
        let nodes: Vec<_> = (0..count).map(|number| (random.below(FILES), above(random, number))).collect();
        let mut case = Self { nodes, spec: String::new() };
        case.spec = case.written(random);
        case
    }

    fn written(&self, random: &mut Random) -> String {
        let mut spec =
            "partita edition=1\n\ngate sound kind=content {\n    param made type=artifact.json\n    require \
                        made.bad.@exists eq #false else=\"it is bad\"\n}\n\ngraph g {\n"
                .to_owned();
        for (number, (file, above)) in self.nodes.iter().enumerate() {
            let _ = writeln!(spec, "    node n{number} {{\n        input \"src/{file}.json\"");
            let mut merged = format!("\"src/{file}.json\"");
            for from in above {
                let _ = writeln!(spec, "        input \"i{from}.json\" from=(ref)n{from}.o{from}");
                let _ = write!(merged, " \"i{from}.json\"");
            }
            if random.below(4) == 0 {
                // A pattern that lists a folder.
                let _ = writeln!(spec, "        input \"more/*.json\" optional=#true");
            }
            let _ =
                writeln!(spec, "        merge-json {merged}\n        output o{number} path=o.json type=artifact.json");
            if let Some(from) = above.first().filter(|_| random.below(3) == 0) {
                let _ = writeln!(spec, "        guard sound made=(ref)n{from}.o{from}");
            }
            spec.push_str("    }\n");
        }
        spec.push_str("}\n");
        spec
    }
}

fn object(random: &mut Random) -> String {
    let mut members: Vec<String> = (0..=random.below(2))
        .map(|_| format!("\"{}\":{}", ["a", "b", "c"][random.below(3)], random.below(3)))
        .collect();
    members.sort();
    members.dedup_by_key(|member| member[..3].to_owned());
    if random.below(12) == 0 {
        members.push("\"bad\":1".to_owned());
    }
    if random.below(2) == 0 {
        members.reverse();
    }
    let blanks = " ".repeat(random.below(3));
    format!("{{{blanks}{}}}\n", members.join(","))
}

/// Changes the same in both workspaces; gives what.
fn change(random: &mut Random, both: [&Workspace; 2], case: &mut Case) -> String {
    let place = |number: usize| format!("out/g/n{number}/o.json");
    let number = random.below(case.nodes.len());
    let write = |path: &str, text: &str| both.iter().for_each(|workspace| workspace.write(path, text));
    match random.below(12) {
        0..5 => {
            let (file, text) = (random.below(FILES), object(random));
            write(&format!("src/{file}.json"), &text);
            format!("file {file} is {text}")
        }
        5 => {
            // Written beside and renamed, as editors do.
            let (file, text) = (random.below(FILES), object(random));
            write("src/.new", &text);
            for workspace in both {
                std::fs::rename(workspace.path("src/.new"), workspace.path(&format!("src/{file}.json")))
                    .expect("a file can be renamed");
            }
            format!("file {file} is replaced by {text}")
        }
        6 => {
            let text = object(random);
            write(&format!("more/{}.json", random.below(3)), &text);
            format!("one more: {text}")
        }
        7 => {
            for workspace in both {
                let _ = std::fs::remove_file(workspace.path("more/0.json"));
            }
            "one less".to_owned()
        }
        8 => {
            for workspace in both {
                let _ = std::fs::remove_file(workspace.path(&place(number)));
            }
            format!("output {number} is lost")
        }
        9 => {
            for workspace in both.iter().filter(|workspace| workspace.has(&place(number))) {
                workspace.write(&place(number), "spoiled");
            }
            format!("output {number} is spoiled")
        }
        10 => {
            case.spec = case.written(random);
            write("partita.kdl", &case.spec);
            "another spec".to_owned()
        }
        _ => {
            let text = both[0].read("src/0.json");
            write("src/0.json", &text);
            "touched".to_owned()
        }
    }
}

#[test]
fn what_is_run_behind_a_change_is_what_a_run_of_everything_runs() {
    let given = Environment::of_process().raw("PARTITA_BEHIND_GRAPHS").cloned();
    let graphs: u64 = given.and_then(|value| value.to_str()?.parse().ok()).unwrap_or(8);
    let (mut in_part, mut all) = (0, 0);
    for number in 0..graphs {
        let mut random = Random((number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let mut case = Case::new(&mut random);
        let both = [Workspace::with_spec(&case.spec), Workspace::with_spec(&case.spec)];
        for file in 0..FILES {
            let text = object(&mut random);
            for workspace in &both {
                workspace.write(&format!("src/{file}.json"), &text);
            }
        }
        let mut story = vec![format!("graph {number}"), case.spec.clone()];
        for _ in 0..6 {
            let before = both.each_ref().map(runs);
            // Otherwise it is chance what had begun when something failed, and which of two equal gates is asked.
            let args = ["run", "g", "--keep-going", "-j", "1"];
            let quick = run(&both[0], &args);
            let whole = both[1].run(&args);
            let told = || format!("{story:#?}\n{}\n{}", quick.describe(), whole.describe());
            assert_eq!(quick.status, whole.status, "{}", told());
            assert_eq!(quick.counts().iter().sum::<u64>(), whole.counts().iter().sum::<u64>(), "{}", told());
            assert_eq!(quick.counts()[3..], whole.counts()[3..], "what failed: {}", told());
            let [mine, theirs] = [since(&both[0], &before[0]), since(&both[1], &before[1])];
            assert_eq!(mine.executed, theirs.executed, "{}", told());
            // What was looked at ended as it does in a run of everything, for the same reasons.
            for (addr, end) in mine.finished.iter().filter(|(addr, _)| !addr.contains("/guard/")) {
                assert_eq!(Some(end), theirs.finished.get(addr), "{addr}: {}", told());
            }
            for at in 0..case.nodes.len() {
                let place = format!("out/g/n{at}/o.json");
                assert_eq!(both[0].has(&place), both[1].has(&place), "{place}: {}", told());
                if both[0].has(&place) {
                    assert_eq!(both[0].read(&place), both[1].read(&place), "{place}: {}", told());
                }
            }
            in_part += usize::from(!mine.finished.is_empty() && mine.finished.len() < theirs.finished.len());
            all += 1;
            for _ in 0..=random.below(2) {
                let told = change(&mut random, both.each_ref(), &mut case);
                story.push(told);
            }
        }
    }
    assert!(in_part * 8 >= all, "a part was looked at in {in_part} of {all} runs only");
}

/// What is taken as given by a run that is under way: `a`, first by one that runs beside `b`, then by many behind it.
const GIVEN: &str = "\
partita edition=1
let numbers type=list<string> { NUMBERS; }
graph g {
    node a {
        input \"a.json\"
        merge-json \"a.json\"
        output o path=o.json
    }
    node b {
        input \"b.txt\"
        run sh -c \"echo here > \\\"$HERE\\\"; read go < \\\"$GO\\\"; cp b.txt o.json\"
        env HERE=\"GATE-here\" GO=\"GATE-go\"
        output o path=o.json
    }
    node c {
        for-each number in=(var)numbers
        input \"a.json\" from=(ref)a.o
        input \"b.json\" from=(ref)b.o
        merge-json \"a.json\" \"b.json\"
        output o path=o.json
    }
}
";

#[test]
fn what_is_given_stays_while_garbage_is_collected_beside() {
    // Few behind it are one part; many are looked at only when it has come out.
    for count in [2, 300] {
        let workspace = Workspace::new();
        let (here, go) = (workspace.around().join("gate-here"), workspace.around().join("gate-go"));
        let (mut here, mut go) = (Gate::new(&here), Gate::new(&go));
        let numbers: Vec<String> = (0..count).map(|number| format!("- n{number}")).collect();
        let gate = workspace.around().join("gate");
        let spec = GIVEN.replace("NUMBERS", &numbers.join("; ")).replace("GATE", gate.to_str().expect("UTF-8"));
        let workspace = workspace.file("partita.kdl", &spec).file("a.json", "{\"a\":1}").file("b.txt", "{\"b\":0}");
        go.open(1);
        run(&workspace, &["run", "g"]).ok();
        here.wait();
        for round in 1..=2 {
            workspace.write("b.txt", format!("{{\"b\":{round}}}"));
            let before = runs(&workspace);
            let mut running = workspace.partita(&["run", "g"]).without("PARTITA_MEMO").command();
            let mut running = running.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it can be started");
            here.wait();
            for _ in 0..3 {
                workspace.run(&["store", "gc", "--max-size", "1B"]).ok();
            }
            // Should it be run as a whole, it asks once more.
            go.open(2);
            assert!(running.wait().expect("it can be waited for").success());
            here.drain();
            go.drain();
            let done = since(&workspace, &before);
            // Those behind it are all alike, and have one key.
            assert_eq!(done.executed.len(), 2, "{count} behind it: `a` was there");
            assert!(!done.finished.contains_key("g/a"), "{count} behind it: it was no run of everything");
            assert_eq!(runs(&workspace).difference(&before).count(), 1, "{count} behind it: one run");
            assert_eq!(workspace.read("out/g/c/n1/o.json"), format!("{{\n  \"a\": 1,\n  \"b\": {round}\n}}\n"));
        }
    }
}

const WIDE: &str = "partita edition=1\nlet names type=list<string> { - a; - b; - c; - d; }\ngraph g {\n    node n {\n        \
                    for-each name in=(var)names\n        input \"in/{{ name }}\"\n        copy \"in/{{ name }}\"\n        output \
                    o\n    }\n}\n";

/// A workspace of four copies that memory knows.
fn wide() -> Workspace {
    let workspace = Workspace::with_spec(WIDE);
    for name in ["a", "b", "c", "d"] {
        workspace.write(&format!("in/{name}"), name);
    }
    for _ in 0..2 {
        run(&workspace, &["run", "g"]).ok();
    }
    workspace
}

#[test]
fn only_what_is_behind_a_change_takes_part() {
    let workspace = wide();
    let before = runs(&workspace);
    workspace.write("in/b", "B");
    assert_eq!(run(&workspace, &["run", "g"]).ok().counts(), [1, 3, 0, 0, 0]);
    let done = since(&workspace, &before);
    assert_eq!(done.finished.keys().collect::<Vec<_>>(), ["g/n/b"]);
    assert_eq!((workspace.read("out/g/n/b/o"), workspace.read("out/g/n/a/o")), ("B".to_owned(), "a".to_owned()));
    // It is on record, with what was not looked at; what took no part is explained by the run in which it did.
    let runs_now = runs(&workspace);
    let last = runs_now.difference(&before).next().expect("a run").clone();
    let report =
        std::fs::read_to_string(workspace.state().join("runs").join(last).join("report.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!((&report["unchanged"], &report["cached"], &report["ran"]), (&3.into(), &3.into(), &1.into()));
    run(&workspace, &["why", "g/n/b"]).ok().prints("the input `in/b` changed");
    run(&workspace, &["why", "g/n/a"]).ok();
    // And then all of it is known again.
    let before = runs(&workspace);
    for _ in 0..2 {
        assert_eq!(run(&workspace, &["run", "g"]).ok().counts(), [0, 4, 0, 0, 0]);
    }
    assert_eq!(runs(&workspace), before, "answered from memory");
    // A second change is seen beside the first.
    workspace.write("in/c", "C");
    assert_eq!(run(&workspace, &["run", "g"]).ok().counts(), [1, 3, 0, 0, 0]);
    workspace.write("in/b", "b");
    assert_eq!(run(&workspace, &["run", "g"]).ok().counts(), [0, 4, 0, 0, 0]);
    assert_eq!((workspace.read("out/g/n/b/o"), workspace.read("out/g/n/c/o")), ("b".to_owned(), "C".to_owned()));
}

#[test]
fn lost_outputs_come_back_and_run_nothing() {
    let workspace = wide();
    let before = runs(&workspace);
    workspace.remove("out/g/n/a/o");
    workspace.write("out/g/n/d/o", "spoiled");
    assert_eq!(run(&workspace, &["run", "g"]).ok().counts(), [0, 4, 0, 0, 0]);
    assert_eq!((workspace.read("out/g/n/a/o"), workspace.read("out/g/n/d/o")), ("a".to_owned(), "d".to_owned()));
    std::fs::remove_dir_all(workspace.path("out")).expect("a folder can be removed");
    assert_eq!(run(&workspace, &["run", "g"]).ok().counts(), [0, 4, 0, 0, 0]);
    assert_eq!(workspace.list("out").len(), 4);
    assert_eq!(runs(&workspace), before, "nothing was run");
    // What the store has lost as well is made anew.
    std::fs::remove_dir_all(workspace.path("out")).expect("a folder can be removed");
    std::fs::remove_dir_all(workspace.store().join("cas")).expect("a folder can be removed");
    run(&workspace, &["run", "g"]).ok();
    assert_eq!(workspace.list("out").len(), 4);
}

#[test]
fn what_the_store_lost_beside_a_change_is_made_anew() {
    let spec = "partita edition=1\ngraph g {\n    node a {\n        input \"a.json\"\n        merge-json \"a.json\"\n        output o \
                path=o.json\n    }\n    node b {\n        input \"b.json\"\n        input \"i.json\" from=(ref)a.o\n        merge-json \
                \"b.json\" \"i.json\"\n        output o path=o.json\n    }\n}\n";
    let workspace = Workspace::with_spec(spec).file("a.json", "{\"a\":1}").file("b.json", "{\"b\":1}");
    for _ in 0..2 {
        run(&workspace, &["run", "g"]).ok();
    }
    // `a` is not behind the change, and what it left is gone.
    std::fs::remove_dir_all(workspace.store().join("cas")).expect("a folder can be removed");
    workspace.write("b.json", "{\"b\":2}");
    assert_eq!(run(&workspace, &["run", "g"]).ok().counts(), [2, 0, 0, 0, 0]);
    assert_eq!(workspace.read("out/g/b/o.json"), "{\n  \"a\": 1,\n  \"b\": 2\n}\n");
}

#[test]
fn a_failure_behind_a_change_is_told_with_its_place_and_remembered_by_nobody() {
    let spec = "partita edition=1\ngraph g {\n    node a {\n        input \"a.json\"\n        merge-json \"a.json\"\n        output o \
                path=o.json\n    }\n    node b {\n        input \"b.json\"\n        merge-json \"b.json\"\n        output o \
                path=o.json\n    }\n}\n";
    let workspace = Workspace::with_spec(spec).file("a.json", "{}").file("b.json", "{}");
    for _ in 0..2 {
        run(&workspace, &["run", "g"]).ok();
    }
    workspace.write("b.json", "{");
    for _ in 0..2 {
        let failed = run(&workspace, &["run", "g"]).expect(1);
        assert_eq!(failed.counts(), [0, 1, 0, 1, 0]);
        failed.says("partita.kdl:8");
    }
    workspace.write("b.json", "{}");
    assert_eq!(run(&workspace, &["run", "g"]).ok().counts(), [0, 2, 0, 0, 0]);
}

#[test]
fn damaged_memory_counts_as_none() {
    let workspace = wide();
    let memo = workspace.state().join("memo");
    let files = || -> Vec<_> {
        walkdir::WalkDir::new(&memo).min_depth(1).sort_by_file_name().into_iter().filter_map(Result::ok).collect()
    };
    workspace.write("in/a", "A");
    run(&workspace, &["run", "g"]).ok();
    assert_eq!(files().len(), 3, "the memo, its graph, and what is otherwise since");
    for (number, entry) in files().into_iter().enumerate() {
        // What is otherwise goes with the memo that it belongs to.
        let Ok(mut bytes) = std::fs::read(entry.path()) else { continue };
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x40;
        std::fs::write(entry.path(), bytes).expect("it can be written");
        let text = format!("again {number}");
        workspace.write("in/b", &text);
        assert_eq!(run(&workspace, &["run", "g"]).ok().counts()[0], 1);
        assert_eq!((workspace.read("out/g/n/a/o"), workspace.read("out/g/n/b/o")), ("A".to_owned(), text));
    }
}

#[test]
fn a_tool_of_the_workspace_is_read_by_all_that_start_it() {
    let spec = "partita edition=1\ntool mine { exec \"./bin/mine\"; uses sh cat; }\ngraph g {\n    node shown {\n        input \
                \"bin/*\"\n        copy \"bin/mine\"\n        output o\n    }\n    node made {\n        input \"a\"\n        run mine a \
                o\n        output o\n    }\n}\n";
    let workspace = Workspace::with_spec(spec).script("bin/mine", "#!/bin/sh\ncat \"$1\" > \"$2\"\n").file("a", "a\n");
    run(&workspace, &["run", "g"]).ok();
    assert_eq!(run(&workspace, &["run", "g"]).ok().counts(), [0, 2, 0, 0, 0]);
    let before = runs(&workspace);
    assert_eq!(run(&workspace, &["run", "g"]).ok().counts(), [0, 2, 0, 0, 0]);
    assert_eq!(runs(&workspace), before, "answered from memory");
    workspace.write("a", "b\n");
    assert_eq!(run(&workspace, &["run", "g"]).ok().counts(), [1, 1, 0, 0, 0]);
    // The pattern matches it, and it is more than what the pattern's action reads.
    workspace.append("bin/mine", "echo more >> \"$2\"\n");
    assert_eq!(run(&workspace, &["run", "g"]).ok().counts(), [2, 0, 0, 0, 0]);
    assert_eq!(workspace.read("out/g/made/o"), "b\nmore\n");
}
