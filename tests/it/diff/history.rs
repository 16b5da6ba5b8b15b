//! The other instruments of a reviewer: ways through a plan, comparison of runs, traces, pictures.
//! Leaves out differences of plans.

use crate::support::Workspace;

const SPEC: &str = "graph g {\n    node a {\n        input src\n        run sh -c \"cat src > o\"\n        output o\n    }\n    node b {\n        input i from=(ref)a.o\n        run sh -c \"cat i > p\"\n        output p\n    }\n    node c {\n        input j from=(ref)b.p\n        copy j\n        output q\n    }\n    node d {\n        after c\n        write x\n        output r\n    }\n}\n";

fn workspace() -> Workspace {
    Workspace::with_spec(SPEC).file("src", "1\n")
}

#[test]
fn the_way_between_two_actions_is_told() {
    let workspace = workspace();
    let way = workspace.run(&["why-depends", "g/d", "g/a"]).ok().stdout;
    let lines: Vec<&str> = way.lines().map(str::trim_start).collect();
    assert_eq!(
        lines,
        ["g/d  takes order alone (`after`) of", "g/c  takes `p` at `j` of", "g/b  takes `o` at `i` of", "g/a"]
    );
    workspace.run(&["why-depends", "g/a", "g/d"]).ok().prints("g/a does not depend on g/d");
    let json = workspace.run(&["why-depends", "g/c", "g/b", "--format", "json"]).ok().json();
    assert_eq!(json["way"][0]["takes"], "`p` at `j`");
    workspace.run(&["why-depends", "g/c", "g/e"]).expect(2).says("there is no action at `g/e`");
}

#[test]
fn the_first_action_that_differs_between_runs_is_told() {
    let workspace = workspace();
    let run = || workspace.run(&["run", "g", "--format", "json"]).ok().json()["run"].as_str().map(str::to_owned);
    let first = run().expect("a run has an id");
    let same = run().expect("a run has an id");
    workspace.write("src", "2\n");
    let changed = run().expect("a run has an id");
    workspace.run(&["diff-runs", &first, &same]).ok().prints("the same: 4 actions with the same keys");
    let text = workspace.run(&["diff-runs", &same, &changed]).ok().stdout;
    assert!(text.starts_with("first to differ: g/a: the input `src` changed\n"), "{text}");
    assert!(text.ends_with("3 differ, 1 have the same keys\n"), "{text}");
    let json = workspace.run(&["diff-runs", &same, &changed, "--format", "json"]).ok().json();
    assert_eq!(json["diverging"][0]["addr"], "g/a");
    assert_eq!(json["same"], 1);
}

#[test]
fn a_trace_holds_every_attempt_and_no_two_at_once_on_a_line() {
    let workspace = workspace();
    workspace.run(&["run", "g", "--trace", "../trace.json"]).ok();
    let trace: serde_json::Value = serde_json::from_str(&workspace.read("../trace.json")).expect("it is JSON");
    let events = trace["traceEvents"].as_array().expect("a list");
    let mut slices: Vec<(u64, f64, f64, &str)> = events
        .iter()
        .filter(|event| event["ph"] == "X")
        .map(|event| {
            let number = |name: &str| event[name].as_f64().expect("a number");
            (
                event["tid"].as_u64().expect("a line"),
                number("ts"),
                number("dur"),
                event["name"].as_str().expect("a name"),
            )
        })
        .collect();
    let mut names: Vec<&str> = slices.iter().map(|slice| slice.3).collect();
    names.sort_unstable();
    assert_eq!(names, ["g/a", "g/b", "g/c", "g/d"]);
    slices.sort_by(|a, b| (a.0, a.1).partial_cmp(&(b.0, b.1)).expect("no value is NaN"));
    for pair in slices.windows(2) {
        assert!(pair[0].0 != pair[1].0 || pair[0].1 + pair[0].2 <= pair[1].1 + 0.001, "{pair:?}");
    }
    workspace.run(&["run", "g", "--trace", "../again.json"]).ok();
    let again = workspace.read("../again.json");
    assert_eq!(again.matches("\"ph\":\"i\"").count(), 4, "{again}");
}

/// The first cells of the rows of the table that begins with a heading.
fn cells(page: &str, heading: &str) -> std::collections::BTreeSet<String> {
    let table = page.split(heading).nth(1).unwrap_or_else(|| panic!("there is no table `{heading}`"));
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.filter_map(|row| Some(row.split('|').nth(1)?.trim().trim_matches('`').to_owned())).collect()
}

#[test]
fn the_page_of_traces_tells_all_that_is_in_one_and_nothing_else() {
    let page = std::fs::read_to_string(crate::support::repository("book/src/reference/trace.md")).expect("it is there");
    let workspace = Workspace::with_spec(
        "graph g {\n service s {\n  run sh -c \"exec sleep 1000\"\n  port main scheme=none\n  ready sh -c : within=\"60s\"\n }\n \
         node a { uses s; run sh -c \"echo x > o\"; output o }\n \
         node b { run sh -c \"exit 1\"; output p; retry max=1 backoff=\"1ms\" on=any }\n \
         node c { input p from=(ref)b.p; copy p; output q }\n}\ngraph h { node a { write x; output o } }\n",
    );
    let mut kinds = Vec::new();
    let [mut fields, mut args, mut file] = [const { std::collections::BTreeSet::new() }; 3];
    for refresh in [&[][..], &["--refresh", "g/a"]] {
        let run = ["run", "g", "h", "--keep-going", "--trace", "../trace.json"];
        workspace.run(&[&run[..], refresh].concat()).expect(1);
        let trace: serde_json::Value = serde_json::from_str(&workspace.read("../trace.json")).expect("it is JSON");
        let keys = |value: &serde_json::Value| -> Vec<String> {
            value.as_object().into_iter().flat_map(|object| object.keys().cloned()).collect()
        };
        file.extend(keys(&trace));
        assert_eq!(trace["displayTimeUnit"], "ms");
        let mut begun = std::collections::BTreeMap::new();
        for event in trace["traceEvents"].as_array().expect("a list") {
            fields.extend(keys(event));
            args.extend(keys(&event["args"]));
            kinds.push((
                event["ph"].as_str().expect("a kind").to_owned(),
                event["cat"].as_str().unwrap_or("").to_owned(),
            ));
            if let Some(ts) = event["ts"].as_f64() {
                let first = begun.entry(event["pid"].as_u64().expect("a number")).or_insert(ts);
                *first = first.min(ts);
            }
        }
        // The second graph lies where it lay beside the first.
        let report = workspace.run(&["runs", "--format", "json"]).ok().json_lines();
        let journals: Vec<String> =
            report[..2].iter().rev().filter_map(|run| Some(run["run"].as_str()?.to_owned())).collect();
        let started = journals.iter().map(|run| {
            let text =
                std::fs::read_to_string(partita::event::journal_path(&workspace.state(), run)).expect("it is there");
            let first: serde_json::Value =
                serde_json::from_str(text.lines().next().expect("it has lines")).expect("JSON");
            first["at"].as_i64().expect("a time")
        });
        let started: Vec<i64> = started.collect();
        let apart = (started[1] - started[0]).unsigned_abs() as f64 / 1_000.0;
        assert_eq!(begun.keys().collect::<Vec<_>>(), [&1, &2], "a process for each graph");
        let last = begun.values().copied().fold(0.0, f64::max);
        assert!(begun.values().all(|at| *at >= 0.0) && last >= apart, "{begun:?} {apart}");
    }
    assert_eq!(cells(&page, "| of the file | is |"), file);
    assert_eq!(cells(&page, "| field | of | is |"), fields);
    assert_eq!(cells(&page, "| of `args` | of | is |"), args);
    kinds.sort();
    kinds.dedup();
    let told = page.split("| `ph` | `cat` | `name` | is |").nth(1).expect("there is a table").lines().skip(2);
    let told = told.take_while(|line| line.starts_with('|')).filter_map(|row| {
        let cell = |number: usize| Some(row.split('|').nth(number)?.trim().trim_matches('`').to_owned());
        Some((cell(1)?, cell(2)?))
    });
    let mut told: Vec<(String, String)> = told.collect();
    told.sort();
    told.dedup();
    assert_eq!(told, kinds);
}

#[test]
fn a_picture_is_one_file_and_holds_every_box() {
    let workspace = workspace();
    let svg = workspace.run(&["plan", "g", "--format", "svg"]).ok().stdout;
    assert_eq!(svg.matches("<g>").count(), 4);
    assert_eq!(svg.matches("<path").count(), 3);
    let html = workspace.run(&["plan", "g", "--format", "html"]).ok().stdout;
    for outside in ["<script", "href=", "src=", "url(", "@import"] {
        assert!(!html.contains(outside), "`{outside}` reaches outside of the page");
    }
    assert!(html.contains("prefers-color-scheme: dark"));
    // Many of one declaration are one box.
    let many: String = (0..100).map(|number| format!(" - i{number}\n")).collect();
    let spec = format!(
        "let xs type=list<string> {{\n{many}}}\ngraph h {{\n node n {{\n  for-each x in=(var)xs\n  write \"<{{{{ x }}}}&\"\n  output o\n }}\n}}\n"
    );
    let svg = Workspace::with_spec(&spec).run(&["plan", "h", "--format", "svg"]).ok().stdout;
    assert_eq!(svg.matches("<g>").count(), 1, "{svg}");
    assert!(svg.contains("100 × n/*"), "{svg}");
}
