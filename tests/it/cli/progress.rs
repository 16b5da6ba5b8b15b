//! Progress on standard error in its forms, and colour. Leaves out what is done meanwhile.

use serde_json::Value;

use crate::cli::sample;
use crate::support::{Workspace, repository, tool};

#[test]
fn plain_progress_is_a_line_for_what_ran() {
    let workspace = sample();
    for how in ["plain", "auto"] {
        workspace.drop_store();
        workspace.drop_state();
        let outcome = workspace.run(&["run", "report", "--progress", how, "-j", "1"]).ok();
        let outcome = outcome.says("[1/3] ran report/").says("[3/3] ran report/").says(": it was never run before");
        assert_eq!(outcome.stderr.lines().count(), 3 + 2 + 1, "{}", outcome.describe());
        assert!(!outcome.stderr.contains('\x1b'), "no colour where there is no terminal");
    }
    let known = workspace.run(&["run", "report", "--progress", "plain"]).ok();
    assert!(!known.stderr.contains("[1/3]"), "hits are silent\n{}", known.describe());
}

#[test]
fn no_progress_leaves_the_summary() {
    let outcome = sample().run(&["run", "report", "--progress", "none"]).ok();
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[2].starts_with("3 ran, "));
}

#[test]
fn progress_as_json_is_the_event_stream() {
    let workspace = sample();
    let events = |args: &[&str]| -> Vec<Value> {
        let outcome = workspace.run(args);
        let lines = outcome.stderr.lines().filter(|line| line.starts_with('{'));
        lines.map(|line| serde_json::from_str(line).expect("an event is JSON")).collect()
    };
    let seen = events(&["run", "report", "--progress", "json"]);
    let names: Vec<&str> = seen.iter().filter_map(|event| event["event"].as_str()).collect();
    let over = names.iter().position(|name| *name == "run-finished").expect("the run ends");
    assert_eq!(names[0], "run-started");
    assert!(names[over + 1..].iter().all(|name| *name == "notice"), "where its outputs are comes after it: {names:?}");
    assert_eq!(names.iter().filter(|name| **name == "action-finished").count(), 3);
    let numbers: Vec<u64> = seen.iter().filter_map(|event| event["seq"].as_u64()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    assert!(seen.iter().all(|event| event["v"] == 1 && event["run"] == seen[0]["run"]));
    assert_eq!(seen[over]["counts"]["ran"], 3);
    let known = events(&["run", "report", "--progress", "json"]);
    assert!(known.iter().any(|event| event["outcome"] == "cached"), "hits are events too");
}

#[test]
fn who_asks_for_events_finds_nothing_else_in_the_stream() {
    let schema = std::fs::read(repository("book/src/reference/events.schema.json")).expect("the schema is there");
    let validator = jsonschema::validator_for(&serde_json::from_slice(&schema).expect("it is JSON")).expect("a schema");
    let good = sample();
    let fails = Workspace::with_spec("graph g { node a { run sh -c \"echo out; exit 3\"; output o } }\n");
    let wrong = Workspace::with_spec("graph g { nope }\n");
    let bundles = Workspace::with_spec(
        "graph g { node a { run sh -c \"echo x > o\"; output o } }\n\
         graph f { node a { run sh -c \"exit 3\"; output o } }\n\
         bundle good from=g version=\"1\" { include a output=o to=o }\nbundle bad from=f version=\"1\" { include a output=o to=o }\n",
    );
    std::fs::create_dir(bundles.path("thesis")).expect("a folder can be made");
    bundles.write("thesis/chapter.tex", "years of work");
    let asked: [(&Workspace, &[&str], i32, &str); 24] = [
        (&bundles, &["deliver", "good"], 0, "verified"),
        (&bundles, &["deliver", "good"], 0, "delivered in"),
        (&bundles, &["deliver", "bad"], 1, "E0205"),
        (&bundles, &["deliver", "none"], 2, "none"),
        (&bundles, &["deliver", "good", "--osv-db", "nowhere"], 2, "nowhere"),
        (&bundles, &["deliver", "good", "--store", "thesis"], 31, "S0103"),
        (&bundles, &["bundle", "bad"], 7, "not known"),
        (&bundles, &["verify", "nothing.zip"], 2, "nothing.zip"),
        (&bundles, &["report", "good"], 0, "report"),
        (&bundles, &["run", "g", "--trace", "no/such/folder/t.json"], 30, "t.json"),
        (&bundles, &["log", "--raw"], 2, "--raw"),
        (&bundles, &["runs"], 0, ""),
        (&bundles, &["doctor"], 0, ""),
        (&bundles, &["forecast", "g"], 0, ""),
        (&bundles, &["store", "verify"], 0, ""),
        (&good, &["run", "report"], 0, "3 ran"),
        (&good, &["run", "report"], 0, "3 cached"),
        (&good, &["store", "gc"], 0, ""),
        (&good, &["check"], 0, ""),
        (&good, &["run", "nothing"], 2, "nothing"),
        (&good, &["run", "--bogus"], 2, "--bogus"),
        (&fails, &["run", "g"], 1, "E0205"),
        (&wrong, &["check"], 3, "P0"),
        (&wrong, &["run", "g"], 3, "P0"),
    ];
    for (workspace, args, status, says) in asked {
        let outcome = workspace.run(&[args, &["--progress", "json"]].concat()).expect(status);
        for line in outcome.stderr.lines() {
            let event: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{args:?}: {line}"));
            assert!(validator.is_valid(&event), "{args:?}: {line}");
        }
        outcome.says(says);
    }
    // The developer's log as well, also where its filter is none.
    for (filter, says) in [("trace", "\"notice\""), ("partita=%", "PARTITA_LOG")] {
        let run = bundles.partita(&["deliver", "good", "--progress", "json"]).env("PARTITA_LOG", filter);
        let outcome = run.run().ok().says(says);
        for line in outcome.stderr.lines() {
            let event: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{filter}: {line}"));
            assert!(validator.is_valid(&event), "{filter}: {line}");
        }
        let told: Vec<Value> = outcome.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let of_run = |event: &&Value| event["run"] != "" && event["seq"] != 0;
        let own: Vec<u64> = told.iter().filter(of_run).filter_map(|event| event["seq"].as_u64()).collect();
        assert!(own.windows(2).all(|pair| pair[0] < pair[1]), "what is told meanwhile takes no number: {own:?}");
    }
}

#[test]
fn events_fit_their_schema() {
    let schema = std::fs::read(repository("book/src/reference/events.schema.json")).expect("the schema is there");
    let schema = serde_json::from_slice(&schema).expect("it is JSON");
    let validator = jsonschema::validator_for(&schema).expect("it is a schema");
    let workspace = Workspace::with_spec(
        "graph g {\n resource gpu capacity=1\n node a { run sh -c \"echo x > o\"; output o; holds gpu amount=1 }\n \
         node b { run sh -c \"exit 1\"; output p; holds gpu amount=1; retry max=1 backoff=\"1ms\" on=any }\n \
         node c { input p from=(ref)b.p; run sh -c :; output q }\n}\n",
    );
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..2 {
        let outcome = workspace.run(&["run", "g", "--keep-going", "--progress", "json", "-j", "2"]).expect(1);
        for line in outcome.stderr.lines().filter(|line| line.starts_with('{')) {
            let event: Value = serde_json::from_str(line).expect("an event is JSON");
            let errors: Vec<String> = validator.iter_errors(&event).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{line}\n{errors:#?}");
            seen.insert(event["event"].as_str().expect("it has a name").to_owned());
        }
    }
    for name in ["run-started", "run-estimated", "action-started", "action-retried", "action-finished", "run-finished"]
    {
        assert!(seen.contains(name), "{name} was not seen: {seen:?}");
    }
    let mut wrong: Value = serde_json::json!({"v": 1, "seq": 1, "at": 1, "run": "r", "event": "run-started"});
    assert!(!validator.is_valid(&wrong), "an event lacks what it must tell");
    wrong["event"] = "nothing".into();
    assert!(!validator.is_valid(&wrong), "there is no such event");
}

#[test]
fn colour_is_asked_for_or_left() {
    let workspace = Workspace::with_spec("graph g { node a { run sh -c \"exit 1\"; output o } }\n");
    let colourful = workspace.run(&["run", "g", "--color", "always"]).expect(1);
    assert!(colourful.stderr.contains("\x1b[1;31merror[E0205]\x1b[0m"), "{}", colourful.describe());
    let plain = workspace.run(&["run", "g", "--color", "never"]).expect(1);
    assert!(!plain.stderr.contains('\x1b'));
    let wrong = Workspace::with_spec("graph g { nope }\n");
    assert!(wrong.run(&["check", "--color", "always"]).expect(3).stderr.contains('\x1b'));
    assert!(!wrong.run(&["check"]).expect(3).stderr.contains('\x1b'));
}

#[test]
fn a_terminal_has_a_live_view_and_colour_unless_told_otherwise() {
    let Some(script) = tool("script") else { return };
    let workspace = Workspace::with_spec(
        "graph g { node a { run sh -c \"echo x > o\"; output o }\n node b { input o from=(ref)a.o; run sh -c \"exit 1\"; output p } }\n",
    );
    // `script` gives the program a terminal, and what is written there to us.
    let on_a_terminal = |variables: &[(&str, &str)], args: &str| {
        workspace.drop_store();
        let command = format!("'{}' run g {args}", env!("CARGO_BIN_EXE_partita"));
        let run = workspace.command(&script, &["-qec", &command, "/dev/null"]).env("TERM", "xterm-256color");
        let run = run.env("PARTITA_STORE", workspace.store()).env("PARTITA_STATE", workspace.state());
        let run = variables.iter().fold(run, |run, (name, value)| run.env(name, value));
        run.run().expect(1).stdout
    };
    let coloured = |text: &str| text.contains("\x1b[1;31m") || text.contains("\x1b[32m");
    let live = on_a_terminal(&[], "");
    assert!(coloured(&live), "{live:?}");
    assert!(live.contains("ran"), "{live:?}");
    assert!(live.contains("/2") && live.contains("━"), "how far it is: {live:?}");
    for (variables, args) in [(&[("NO_COLOR", "1")] as &[(&str, &str)], ""), (&[], "--color never")] {
        let text = on_a_terminal(variables, args);
        assert!(!coloured(&text), "{variables:?} {args}: {text:?}");
        assert!(text.contains("error[E0205]"), "{text:?}");
    }
    let ci = on_a_terminal(&[("CI", "true")], "--color never");
    assert!(ci.contains("[1/2] ran g/a") && !ci.contains('\x1b'), "plain lines where it runs unattended: {ci:?}");
    assert!(coloured(&on_a_terminal(&[("NO_COLOR", "1")], "--color always")), "what is asked for wins");
}

#[test]
fn what_actions_print_does_not_command_a_terminal() {
    let Some(script) = tool("script") else { return };
    let workspace = Workspace::with_spec(
        "graph g { node a { run sh -c \"printf '\\\\033]0;title\\\\007\\\\033[31mred\\\\033[2J\\\\n'; exit 1\"; output o } }\n",
    );
    let on_a_terminal = |args: &str, status: i32| {
        let command = format!("'{}' {args}", env!("CARGO_BIN_EXE_partita"));
        let run = workspace.command(&script, &["-qec", &command, "/dev/null"]).env("TERM", "xterm");
        let run = run.env("PARTITA_STORE", workspace.store()).env("PARTITA_STATE", workspace.state());
        run.run().expect(status).stdout
    };
    for (args, status) in [("run g --progress plain", 1), ("run g", 1), ("log", 0), ("why g/a", 0)] {
        let text = on_a_terminal(args, status);
        assert!(text.contains("␛]0;title␇\x1b[31mred␛[2J"), "{args}: {text:?}");
        assert!(!text.contains("\x1b]0;") && !text.contains("\x1b[2J"), "{args}: {text:?}");
    }
    // Whoever is no terminal gets what was printed, and so does who asks for it.
    workspace.run(&["log"]).ok().prints("\x1b]0;title\x07\x1b[31mred\x1b[2J\n");
    assert_eq!(on_a_terminal("log --raw", 0), "\x1b]0;title\x07\x1b[31mred\x1b[2J\r\n");
}

#[test]
fn a_raw_log_is_what_was_printed_and_nothing_else() {
    let workspace = Workspace::with_spec(
        "graph g {\n node a { run sh -c #\"printf 'a\\0\\377\\033[2J'; printf 'e\\r' >&2; echo x > o\"#; output o }\n \
         node b { input o from=(ref)a.o; run sh -c \"printf b; exit 3\"; output p }\n \
         node c { run sh -c \"echo x > q\"; output q }\n}\n",
    );
    workspace.run(&["run", "g", "--keep-going", "-j", "1"]).expect(1);
    let bytes = |args: &[&str]| {
        let output = workspace.partita(args).command().output().expect("it starts");
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        (output.stdout, output.stderr)
    };
    let (all, errors) = bytes(&["log", "--raw"]);
    assert_eq!((all.as_slice(), errors.as_slice()), (b"a\0\xff\x1b[2Jb".as_slice(), b"e\r".as_slice()));
    assert_eq!(
        bytes(&["log", "--raw", "--addr", "g/b"]),
        (b"b".to_vec(), Vec::new()),
        "no heading, no word of its end"
    );
    assert_eq!(bytes(&["log", "--raw", "--addr", "g/c"]), (Vec::new(), Vec::new()), "who printed nothing");
    workspace.run(&["log", "--raw", "--addr", "g/nope"]).expect(2).says("took no part");
    workspace.run(&["log", "--raw", "--format", "json"]).expect(2).prints("ask for one of them");
    // Bytes that are lost are not made up.
    workspace.drop_store();
    let lost = workspace.run(&["log", "--raw", "--addr", "g/b"]).expect(30).says("`g/b/stdout` was lost");
    assert_eq!(lost.stdout, "");
}
