//! Agents behind APIs: what is sent, what is made of the answer, what it costs, and what happens where the
//! API does not do what it should. Leaves out who is chosen: see `language::routing`.

use serde_json::json;

use super::api::{Api, message};
use crate::support::{Invocation, Workspace};

const SPEC: &str = r#"
tenant acme {
    allow-tier primary secondary
    secret key from=env key=THE_KEY
}
provider hosted kind=http vendor=anthropic model=small {
    url "@url"
    header x-api-key (secret)key
    header x-team "docs"
    price input="1.00" output="5.00" per=mtok
}
agent writer provider=hosted tier=secondary { uses summary; limits tokens=@tokens turns=@turns wall="20s" }
skill summary {
    prompt text="Sum this up:\n{{ text }}" {
        var text type=artifact.text
    }
}
capability summary {
    accepts text type=artifact.text
    returns summary type=artifact.@returns
    candidate writer
}
graph g tenant=acme {
    node text {
        write "A plan is read before it is run.\n"
        output text path="text.txt" type=artifact.text
    }
    node summary capability=summary {
        with text=(ref)text.text
        retry max=@retry backoff="1ms"
    }
}
"#;

fn workspace(api: &Api, changes: &[(&str, &str)]) -> Workspace {
    let mut spec = SPEC.to_owned();
    for (from, to) in changes.iter().chain(&[
        ("@url", api.url().as_str()),
        ("@tokens", "1000"),
        ("@turns", "1"),
        ("@returns", "text"),
        ("@retry", "0"),
    ]) {
        spec = spec.replace(from, to);
    }
    Workspace::with_spec(&spec)
}

fn run(workspace: &Workspace, args: &[&str]) -> Invocation {
    // A proxy is not asked about this machine.
    workspace.partita(args).env("THE_KEY", "key-7f3a-secret").env("http_proxy", "http://127.0.0.1:9")
}

#[test]
fn an_api_is_asked_once_and_its_answer_is_kept() {
    let api = Api::start(|_, _| (200, message("Plans are read first.", 40, 8)));
    let workspace = workspace(&api, &[]);
    let plan = run(&workspace, &["plan", "g"]).run().ok();
    plan.prints("asks http://127.0.0.1:").prints("/v1/messages as anthropic for model small with headers x-team");
    let ran = run(&workspace, &["run", "g", "--format", "json"]).run().ok();
    let report = ran.json();
    assert_eq!(report["ran"], 3, "the text, what the agent is told, and what it answers");
    assert_eq!(report["spent"], json!({"input_tokens": 40, "output_tokens": 8, "micro_usd": 80}));
    assert_eq!(workspace.read("out/g/summary/summary.txt"), "Plans are read first.\n");
    let asked = api.asked();
    let [only] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(only.path, "/v1/messages");
    assert_eq!(only.header("x-api-key"), Some("key-7f3a-secret"));
    assert_eq!(only.header("x-team"), Some("docs"));
    assert!(only.header("anthropic-version").is_some());
    assert_eq!(only.body["model"], "small");
    assert_eq!(only.body["messages"][0]["content"], "Sum this up:\nA plan is read before it is run.\n");
    assert!(only.body["max_tokens"].as_u64().expect("a limit is told") < 1000);
    assert!(only.body["system"].as_str().expect("it is told how").contains("plain text"));

    // A record: given again, after the loss of the store as well, and no key is needed for that.
    assert_eq!(workspace.run(&["run", "g"]).ok().counts(), [0, 3, 0, 0, 0]);
    workspace.drop_store();
    workspace.run(&["run", "g", "--replay-only"]).ok();
    assert_eq!(api.asked().len(), 1, "nobody was asked again");
    run(&workspace, &["run", "g", "--refresh", "g/summary"]).run().ok().says(", $0.00008)");
    assert_eq!(api.asked().len(), 2);

    // The key is nowhere but in the request.
    for folder in [workspace.store(), workspace.state(), workspace.root()] {
        for entry in walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok) {
            if entry.file_type().is_file() {
                let bytes = std::fs::read(entry.path()).expect("it can be read");
                assert!(!bytes.windows(8).any(|part| part == b"key-7f3a"), "{}", entry.path().display());
            }
        }
    }
}

#[test]
fn an_answer_that_cannot_be_used_is_sent_back() {
    let api = Api::start(|number, _| {
        let text = if number == 1 { "Sure! Here it is." } else { "```json\n{\"words\": 7}\n```" };
        (200, message(text, 10, 5))
    });
    let one = workspace(&api, &[("@returns", "json")]);
    let refused = run(&one, &["run", "g"]).run().expect(1);
    refused.says("error[E0219]").says("gave no answer that can be used in its one turn: `summary` is not JSON");
    let api = Api::start(|number, _| {
        let text = if number == 1 { "Sure! Here it is." } else { "```json\n{\"words\": 7}\n```" };
        (200, message(text, 10, 5))
    });
    let two = workspace(&api, &[("@returns", "json"), ("@turns", "3")]);
    let report = run(&two, &["run", "g", "--format", "json"]).run().ok().json();
    assert_eq!(two.read("out/g/summary/summary.json"), "{\"words\": 7}\n");
    assert_eq!(report["spent"]["input_tokens"], 20, "both turns cost");
    let second = &api.asked()[1].body["messages"];
    assert_eq!(second[1]["content"], "Sure! Here it is.");
    assert!(second[2]["content"].as_str().expect("a text").contains("`summary` is not JSON"), "{second}");
}

#[test]
fn what_may_be_otherwise_next_time_is_tried_again() {
    let api = Api::start(|number, _| match number {
        1 => (429, r#"{"error": "too many"}"#.to_owned()),
        2 => (529, r#"{"error": "overloaded"}"#.to_owned()),
        _ => (200, message("Plans first.", 10, 5)),
    });
    let patient = workspace(&api, &[("@retry", "2")]);
    run(&patient, &["run", "g"]).run().ok().says("answers with status 429");
    assert_eq!(api.asked().len(), 3);

    let api = Api::start(|_, asked| (401, format!("no such key: {}", asked.header("x-api-key").unwrap_or_default())));
    let refused = workspace(&api, &[("@retry", "2")]);
    let outcome = run(&refused, &["run", "g"]).run().expect(1);
    let outcome = outcome.says("answers with status 401: no such key: [secret key]");
    assert!(!outcome.stderr.contains("key-7f3a"), "{}", outcome.stderr);
    assert_eq!(api.asked().len(), 1, "what is wrong stays wrong");

    let api = Api::start(|_, _| (200, message("too much", 900, 500)));
    let limited = workspace(&api, &[]);
    run(&limited, &["run", "g"]).run().expect(1).says("1400 tokens were used, and the limit is 1000");
    let short = workspace(&api, &[("@tokens", "20")]);
    run(&short, &["run", "g"]).run().expect(1).says("raise `limits tokens=`, or shorten the prompt");
    assert_eq!(api.asked().len(), 1, "what cannot fit is not asked");

    let nobody = workspace(&api, &[("@url", "http://127.0.0.1:9/v1")]);
    run(&nobody, &["run", "g"]).run().expect(1).says("cannot ask http://127.0.0.1:9/v1/messages");
}

#[test]
fn other_apis_are_spoken_to_in_their_own_way() {
    let api = Api::start(|_, _| {
        let answer = json!({
            "choices": [{"message": {"role": "assistant", "content": "Plans first."}}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3},
        });
        (200, answer.to_string())
    });
    let openai = workspace(
        &api,
        &[
            ("vendor=anthropic", "vendor=openai"),
            ("header x-api-key (secret)key", "header authorization (secret)key scheme=Bearer"),
        ],
    );
    let report = run(&openai, &["run", "g", "--format", "json"]).run().ok().json();
    assert_eq!(report["spent"]["micro_usd"], 22);
    let asked = api.asked().remove(0);
    assert_eq!(asked.path, "/v1/chat/completions");
    assert_eq!(asked.header("authorization"), Some("Bearer key-7f3a-secret"));
    assert_eq!(asked.body["messages"][0]["role"], "system");

    let api =
        Api::start(|_, _| (200, json!({"out": [{"text": "Plans first."}], "used": {"in": 7, "out": 3}}).to_string()));
    let own = workspace(
        &api,
        &[
            (" vendor=anthropic", ""),
            (
                "    header x-team \"docs\"\n",
                "    body #\"{\"m\": {{ model }}, \"text\": {{ prompt }}, \"n\": {{ max_tokens }}}\"#\n    answer \"/out/0/text\"\n    usage input=\"/used/in\" output=\"/used/out\"\n",
            ),
        ],
    );
    let report = run(&own, &["run", "g", "--format", "json"]).run().ok().json();
    assert_eq!(report["spent"]["output_tokens"], 3);
    let asked = api.asked().remove(0);
    assert_eq!((asked.path.as_str(), &asked.body["m"]), ("/v1", &json!("small")));
    assert_eq!(asked.body["text"], "Sum this up:\nA plan is read before it is run.\n");
}

#[test]
fn an_api_gives_verdicts() {
    let verdict = r#"{"pass": false, "reasons": ["it is too short"]}"#;
    let api = Api::start(move |_, _| (200, message(verdict, 10, 5)));
    let workspace = workspace(&api, &[]);
    let spec = workspace.read("partita.kdl").replace(
        "graph g tenant=acme {",
        "gate fine kind=agent agent=writer {\n    param text type=artifact.text\n    with text=(var)text\n}\ngraph g \
         tenant=acme {\n    node after {\n        guard fine text=(ref)text.text\n        write x\n        output x\n    }",
    );
    workspace.write("partita.kdl", spec);
    let outcome = run(&workspace, &["run", "g", "g/after"]).run().expect(12);
    outcome.says("gate `fine` says no").says("reason:   it is too short");
    let asked = api.asked();
    let systems: Vec<String> = asked.iter().map(|asked| asked.body["system"].to_string()).collect();
    assert!(systems.iter().any(|text| text.contains("JSON Schema") && text.contains("reasons")), "{systems:#?}");
}
