//! `partita test`: what it says, writes and answers with. Leaves out how each expectation is judged: see
//! `ui/tests`.

use std::process::Command;

use crate::support::{Workspace, repository, tool, tools_are_required};

const SPEC: &str = "partita edition=1

graph greet {
    param names type=list<string> {
        default ada grace
    }
    node hello {
        for-each name in=(var)names
        write \"hello, {{ name }}\\n\"
        output hello.txt
    }
}

test \"one for each\" {
    given greet
    expect nodes hello count=2
}

test \"kept <plan> & all\" {
    given greet
    expect-plan \"kept/greet.kdl\"
}
";

#[test]
fn plans_are_kept_and_compared() {
    let workspace = Workspace::new();
    workspace.write("partita.kdl", SPEC);
    let missing = workspace.run(&["test"]).expect(7);
    assert!(missing.stderr.contains("no plan is kept in `kept/greet.kdl` yet"), "{}", missing.stderr);
    assert!(missing.stderr.contains("2 tests: 1 passed, 1 failed"), "{}", missing.stderr);
    let written = workspace.run(&["test", "--update"]).expect(10);
    assert!(written.stderr.contains("written: kept/greet.kdl"), "{}", written.stderr);
    workspace.run(&["test"]).expect(0);
    workspace.run(&["test", "--update"]).expect(0);
    // Where a node stands is no part of what is kept; what it does is.
    workspace.write("partita.kdl", SPEC.replace("\ngraph", "\n// A comment.\n\ngraph"));
    workspace.run(&["test"]).expect(0);
    workspace.write("partita.kdl", SPEC.replace("hello, {{", "goodbye, {{"));
    let differs = workspace.run(&["test", "kept"]).expect(7);
    assert!(differs.stderr.contains("- ") && differs.stderr.contains("goodbye, ada"), "{}", differs.stderr);
    assert!(differs.stderr.contains("1 test: 0 passed, 1 failed"), "{}", differs.stderr);
}

#[test]
fn answers_are_data() {
    let workspace = Workspace::new();
    workspace.write("partita.kdl", SPEC);
    let data = workspace.run(&["test", "--format", "json"]).expect(7).json();
    assert_eq!((&data["passed"], &data["failed"]), (&1.into(), &1.into()));
    assert_eq!(data["tests"][1]["failures"][0]["code"], "P0901");
    assert_eq!(data["tests"][1]["failures"][0]["place"], "partita.kdl:21");
    let wrong = workspace.run(&["test", "no such test"]).expect(2);
    assert!(wrong.stderr.contains("no test has `no such test` in its name"), "{}", wrong.stderr);
    workspace.write("partita.kdl", SPEC.replace("in=(var)names", "in=(var)nams"));
    let broken = workspace.run(&["test"]).expect(3);
    assert!(broken.stderr.contains("P0308"), "{}", broken.stderr);
}

/// A graph that nobody could run as it is: its tool is nowhere, and its agent would be asked.
const MOCKED: &str = r#"partita edition=1
tool measure tier=secondary { exec no-such-program; effects net; provides speed; cost usd="0.02" }
capability speed {
    accepts url type=string
    returns report type=artifact.json
    candidate measure
}
provider local kind=command { exec "tools/agent.sh" }
skill sum-up {
    prompt text="Sum up: {{ report }}" {
        var report type=artifact.json
    }
}
agent writer provider=local { uses sum-up }
gate fast kind=metric {
    param report type=artifact.json
    require report.score ge "0.9" else="too slow"
}
tenant acme { allow-tier primary secondary }
graph g tenant=acme {
    node speed capability=speed {
        with url="https://example.org"
    }
    node words agent=writer {
        with report=(ref)speed.report
        output words path="out/words.txt" type=artifact.text
    }
    node publish {
        guard fast report=(ref)speed.report
        input "words.txt" from=(ref)words.words
        run sh -c "tr a-z A-Z < words.txt > log"
        output log
    }
}
test "fast enough" {
    given g
    mock tool measure { output report file="recorded/report.json" }
    mock agent writer { output words "well done" }
    expect cost le "0.02"
    expect status 0
    expect output publish.log eq "WELL DONE"
    expect output publish.log matches "^WELL"
}
"#;

#[test]
fn recorded_outputs_stand_in_for_tools_and_agents() {
    let workspace = Workspace::new();
    workspace.write("partita.kdl", MOCKED);
    workspace.run(&["test"]).expect(7).says("`recorded/report.json` could not be read").says("record it there");
    workspace.write("recorded/report.json", "{\"score\": 0.95}\n");
    workspace.run(&["test", "--junit", "report.xml"]).ok().says("1 test: 1 passed");
    let xml = workspace.read("report.xml");
    assert_eq!(xml.matches(" time=\"").count(), 3, "of all, of the file, and of the test: {xml}");
    assert!(!workspace.store().exists(), "what was recorded is no result");
    workspace.write("recorded/report.json", "{\"score\": 0.5}\n");
    let slow = workspace.run(&["test"]).expect(7);
    slow.says("the run ended with status 11").says("expected 0").says("too slow").says("left no `log`");
    workspace.write("recorded/report.json", "{\"score\": 0.95}\n");
    for (from, to, said) in [
        ("expect cost le \"0.02\"", "expect cost lt \"0.02\"", "a run of `g` costs at most $0.02"),
        ("well done", "done well", "`log` of `g/publish` was \"DONE WELL\""),
        ("mock agent writer", "mock agent writer status=3", "`words` exited with status 3"),
        (
            "mock agent writer { output words \"well done\" }",
            "",
            "`words` is of class `record`, and nothing stands in for it",
        ),
        ("output words \"well done\"", "output word \"well done\"", "what stands in leaves no `words`"),
        ("mock agent writer", "mock agent writer at=speed", "nothing is done by agent `writer` here"),
    ] {
        workspace.write("partita.kdl", MOCKED.replace(from, to));
        let outcome = workspace.run(&["test"]).expect(7);
        if said.contains("exited with status") {
            outcome.says("the run ended with status 1");
        } else {
            outcome.says(said);
        }
    }
    // Where nothing asks for a run, nothing is run, and nothing needs to stand in.
    let only = MOCKED.split("    mock tool").next().expect("it has a beginning").to_owned();
    workspace.write("partita.kdl", only + "    expect cost eq \"0.02\"\n}\n");
    workspace.run(&["test"]).ok();
}

/// Whether Python has what judges reports.
#[expect(clippy::disallowed_methods, reason = "a test of other people's programs starts them itself")]
fn judged(kind: &str, file: &std::path::Path) -> Option<String> {
    let python = tool("python3")?;
    let script = repository("tests/it/bundle_tools/reports.py");
    let output = Command::new(python).arg(script).arg(kind).arg(file).output().expect("python starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(3) {
        assert!(!tools_are_required(), "{text}");
        return None;
    }
    assert!(output.status.success(), "{text}");
    Some(text)
}

#[test]
fn a_standard_parser_reads_the_junit_report() {
    let workspace = Workspace::new();
    workspace.write("partita.kdl", SPEC);
    workspace.run(&["test", "--junit", "report.xml"]).expect(7);
    let xml = workspace.read("report.xml");
    assert!(xml.contains("name=\"kept &lt;plan&gt; &amp; all\""), "{xml}");
    if let Some(text) = judged("junit", &workspace.path("report.xml")) {
        assert_eq!(text.trim(), "2 tests, 1 failures: kept <plan> & all");
    }
    assert!(!xml.contains(" time="), "nothing was run: {xml}");
    // Of specs with errors there is one too, not that of the run before.
    workspace.write("partita.kdl", SPEC.replace("write", "wrte"));
    workspace.run(&["test", "--junit", "report.xml"]).expect(3);
    let xml = workspace.read("report.xml");
    assert!(xml.contains("errors=\"1\"") && xml.contains("<error type=\"P0101\""), "{xml}");
    assert!(xml.contains("unknown node `wrte`"), "{xml}");
    if let Some(text) = judged("junit", &workspace.path("report.xml")) {
        assert_eq!(text.trim(), "1 tests, 1 failures: the specs compile");
    }
}

#[test]
fn sarif_is_valid_by_its_schema() {
    let workspace = Workspace::new();
    for (name, text) in [
        ("clean.sarif", SPEC.to_owned()),
        ("broken.sarif", SPEC.replace("write", "wrte").replace("greet {", "greet {\n    x true")),
        ("warned.sarif", SPEC.replace("output hello", "timeout (dur)\"5s\"\n        output hello")),
        ("many.sarif", format!("{SPEC}{}", "let x type=strin 1\n".repeat(80))),
    ] {
        workspace.write("partita.kdl", &text);
        let outcome = workspace.run(&["check", "--message-format", "sarif"]);
        workspace.write(name, &outcome.stdout);
        if let Some(text) = judged("sarif", &workspace.path(name)) {
            assert_eq!(text.trim(), "valid", "{name}");
        }
    }
}
