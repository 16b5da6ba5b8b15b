//! Who is believed: policies that are signed themselves and never go back, tenants out of plans, what was judged and who
//! served in provenance, and folders in place of archives. Leaves out the judgement of single rules.

use serde_json::{Value, json};

use crate::support::{Outcome, Workspace};

const ZIP: &str = "out/bundles/b-1.0.0.zip";

const SPEC: &str = r#"
tenant acme { allow-tier primary }
gate sane kind=content {
    param text type=artifact.text
    require text.size ge "1B"
}
graph g tenant=acme {
    node words { write "hello\n"; output words.txt type=artifact.text; }
    node copy {
        guard sane text=(ref)words.words.txt
        input words.txt from=(ref)words.words.txt
        copy words.txt
        output words.txt type=artifact.text
    }
}
bundle b from=g version="1.0.0" {
    include copy output=words.txt to="words.txt"
}
"#;

const POLICY: &str = r#"
trust version=1 epoch=EPOCH {
    key release file="release.pub.pem"
    builder "https://partita.example/builders/none/v1" { signer release; }
    builder "https://partita.example/builders/landlock/v1" { signer release; }
    builder "https://partita.example/builders/full/v1" { signer release; }
    tenant TENANT {
        require "https://slsa.dev/provenance/v1" {
            signer release
            builder "https://partita.example/builders/none/v1" "https://partita.example/builders/landlock/v1" \
                "https://partita.example/builders/full/v1"
        }
    }
}
"#;

fn policy(tenant: &str, epoch: u64) -> String {
    POLICY.replace("TENANT", tenant).replace("EPOCH", &epoch.to_string())
}

/// A workspace with a delivered bundle, the public half of its key, and a policy about it.
fn delivered() -> Workspace {
    let ws = Workspace::with_spec(SPEC);
    ws.run(&["deliver", "b"]).ok();
    ws.write("release.pub.pem", ws.run(&["key", "export", "default"]).ok().stdout);
    ws.write("trust.kdl", policy("acme", 4));
    ws
}

fn verify(ws: &Workspace, more: &[&str]) -> Outcome {
    ws.run(&[&["verify", ZIP, "--policy", "trust.kdl", "--format", "json"], more].concat())
}

#[test]
fn the_tenant_of_a_bundle_is_that_of_its_plan() {
    let ws = delivered();
    assert_eq!(verify(&ws, &[]).ok().json()["facts"]["tenant"], "acme");
    verify(&ws, &["--tenant", "acme"]).ok();
    verify(&ws, &["--tenant", "other"]).expect(7).prints("B0502");
    // Rules for one tenant are none for another.
    ws.write("trust.kdl", policy("other", 4));
    verify(&ws, &[]).expect(7).prints("B0501");
    // A workspace knows its own bundles whoever they are for.
    assert_eq!(ws.run(&["verify", ZIP, "--format", "json"]).ok().json()["facts"]["tenant"], "acme");
}

#[test]
fn a_policy_may_have_to_be_signed() {
    let ws = delivered();
    let root = |names: &[&str]| {
        for name in names {
            ws.run(&["key", "generate", name]).ok();
            ws.write(&format!("{name}.pub.pem"), ws.run(&["key", "export", name]).ok().stdout);
        }
    };
    root(&["one", "two", "three"]);
    let demanded = &["--policy-key", "one.pub.pem", "--policy-key", "two.pub.pem"];
    verify(&ws, demanded).expect(22).prints("trust.kdl.intoto.jsonl");
    ws.run(&["key", "sign-policy", "trust.kdl", "--key", "one"]).ok();
    verify(&ws, demanded).expect(22).prints("1 of the keys given signed it, 2 must have");
    verify(&ws, &[&demanded[..], &["--policy-threshold", "1"]].concat()).ok();
    ws.run(&["key", "sign-policy", "trust.kdl", "--key", "two", "--key", "one"]).ok();
    verify(&ws, demanded).ok();
    verify(&ws, &["--policy-key", "three.pub.pem"]).expect(22);
    // Neither the text nor a key file it names is free.
    let text = ws.read("trust.kdl");
    ws.write("trust.kdl", format!("{text}// more\n"));
    verify(&ws, demanded).expect(22).prints("`policy` is not as it was signed");
    ws.write("trust.kdl", &text);
    ws.write("release.pub.pem", ws.read("three.pub.pem"));
    verify(&ws, demanded).expect(22).prints("`key-file:release.pub.pem` is not as it was signed");
    // Who signs bundles does not sign the policy about them.
    ws.write("release.pub.pem", ws.run(&["key", "export", "default"]).ok().stdout);
    ws.run(&["key", "sign-policy", "trust.kdl", "--key", "default"]).expect(2).says("cannot sign the policy");
    ws.run(&["verify", ZIP, "--policy-key", "one.pub.pem"]).expect(2);
}

#[test]
fn a_policy_never_goes_back() {
    let ws = delivered();
    verify(&ws, &[]).ok();
    ws.write(
        "trust.kdl",
        policy("acme", 5).replace("release.pub.pem\"", "release.pub.pem\" { revoked at-epoch=5 reason=lost; }"),
    );
    verify(&ws, &[]).expect(7).prints("B0504");
    // The key is not brought back by bringing back the policy before.
    ws.write("trust.kdl", policy("acme", 4));
    verify(&ws, &[]).expect(7).prints("policy-old").prints("epoch 5 of it was seen");
    ws.write("trust.kdl", policy("acme", 5));
    verify(&ws, &[]).ok();
    // One that is signed is known by who signs it, wherever it lies.
    ws.run(&["key", "generate", "root"]).ok();
    ws.write("root.pub.pem", ws.run(&["key", "export", "root"]).ok().stdout);
    let put = |folder: &str, epoch| {
        ws.write(&format!("{folder}/trust.kdl"), policy("acme", epoch));
        ws.write(&format!("{folder}/release.pub.pem"), ws.read("release.pub.pem"));
        ws.run(&["key", "sign-policy", &format!("{folder}/trust.kdl"), "--key", "root"]).ok();
        ws.run(&["verify", ZIP, "--policy", &format!("{folder}/trust.kdl"), "--policy-key", "root.pub.pem"])
    };
    put("a", 9).ok();
    put("b", 8).expect(7).says("epoch 9 of it was seen");
    put("b", 9).ok();
}

#[test]
fn a_folder_is_verified_in_place_of_an_archive() {
    let ws = delivered();
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(ws.bytes(ZIP))).unwrap();
    archive.extract(ws.path("taken")).unwrap();
    ws.remove(ZIP);
    verify(&ws, &["--extracted", "taken"]).ok();
    ws.write("taken/out/more.txt", "more");
    verify(&ws, &["--extracted", "taken"]).expect(7).prints("B0701");
}

/// The first payload of a bundle.
fn provenance(ws: &Workspace) -> Value {
    let text = ws.read(&format!("{ZIP}.intoto.jsonl"));
    let envelope: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let bytes = data_encoding::BASE64.decode(envelope["payload"].as_str().unwrap().as_bytes()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn gates_are_in_the_provenance_and_in_the_report() {
    let ws = delivered();
    let gates = provenance(&ws)["predicate"]["buildDefinition"]["internalParameters"]["partita_gates"].clone();
    assert_eq!(gates, json!([{"address": "g/copy/guard/sane", "kind": "content", "name": "sane"}]));
    let report = "out/bundles/b-1.0.0.report.html";
    assert!(ws.read(report).contains("<b>sane</b><span>passed (content), before <code>g"));
    // Known results are told as they were, and without a run on record provenance is what is known of gates.
    ws.run(&["deliver", "b"]).ok().says("delivered in").says("verify ").says("report ");
    assert_eq!(provenance(&ws)["predicate"]["buildDefinition"]["internalParameters"]["partita_gates"], gates);
}

#[test]
fn the_report_counts_gates_and_not_what_they_ask_for() {
    let ws = Workspace::copy_of("examples/gates");
    ws.run(&["deliver", "gates"]).ok();
    let report = ws.read("out/bundles/gates-1.1.0.report.html");
    for gate in [
        "<b>complete</b><span>passed (content), of what came of <code>gates&#x2f;notes<",
        "<b>nothing-forbidden</b><span>passed (check), before <code>gates&#x2f;release<",
        "<b>reviewed</b><span>passed (agent), before <code>gates&#x2f;release<",
    ] {
        assert!(report.contains(gate), "{gate}");
    }
    assert!(report.contains("3 of 3 gates"));
}

#[test]
fn who_served_is_in_the_provenance_and_in_the_report() {
    let ws = Workspace::copy_of("examples/routing");
    ws.run(&["deliver", "routing"]).ok();
    let text = ws.read("out/bundles/routing-0.1.0.zip.intoto.jsonl");
    let envelope: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let bytes = data_encoding::BASE64.decode(envelope["payload"].as_str().unwrap().as_bytes()).unwrap();
    let build = serde_json::from_slice::<Value>(&bytes).unwrap()["predicate"]["buildDefinition"].clone();
    assert_eq!(build["externalParameters"]["tenant"], "press");
    let served = build["internalParameters"]["partita_served"].as_array().unwrap();
    let translator = served.iter().find(|one| one["chosen"] == "translator").unwrap();
    assert_eq!((&translator["capability"], &translator["tier"]), (&json!("text.translation"), &json!("secondary")));
    // Two attempts at $0.002 each.
    assert_eq!((&translator["atMostMicroUsd"], &translator["actions"]), (&json!(4000), &json!(1)));
    assert!(served.iter().any(|one| one["kind"] == "agent" && one["chosen"] == "editor"), "{served:?}");
    let report = ws.read("out/bundles/routing-0.1.0.report.html");
    assert!(report.contains("Who did the work") && report.contains("tool translator") && report.contains("$0.004"));
    let verified = ws.run(&["verify", "out/bundles/routing-0.1.0.zip", "--format", "json"]).ok().json();
    assert_eq!(verified["facts"]["tenant"], "press");
}
