//! The examples executed, and executed elsewhere: what runs, what is known, and that bundles have the
//! same bytes whoever makes them, where, and how. Leaves out what is in a bundle.

mod bytes;
mod lua;
mod others;

use std::collections::BTreeMap;

use crate::support::{Outcome, Workspace};

/// The files of a delivered bundle, by name.
fn bundle_files(workspace: &Workspace) -> BTreeMap<String, Vec<u8>> {
    // The report is a page about one run, with its times.
    let files = workspace.list("out/bundles").into_iter().filter(|name| !name.ends_with(".html"));
    files.map(|name| (name.clone(), workspace.bytes(&format!("out/bundles/{name}")))).collect()
}

/// The archive of a delivered bundle.
fn archive(workspace: &Workspace) -> Vec<u8> {
    let mut files = bundle_files(workspace).into_iter().filter(|(name, _)| name.ends_with(".zip"));
    files.next().expect("a bundle was delivered").1
}

/// The addresses of a report that ended in a certain way.
fn addresses(report: &serde_json::Value, outcome: &str) -> Vec<String> {
    let actions = report["actions"].as_array().expect("a report lists actions");
    let those = actions.iter().filter(|action| action["outcome"] == outcome);
    those.map(|action| action["addr"].as_str().expect("an address is text").to_owned()).collect()
}

#[test]
fn hello_is_delivered_and_then_known() {
    let workspace = Workspace::copy_of("examples/hello");
    let first = workspace.run(&["deliver", "hello"]).ok();
    assert_eq!(first.counts(), [2, 0, 0, 0, 0]);
    let first = first
        .says("note: made the key `default`")
        .says("bundle out/bundles/hello-0.1.0.zip (1 file, ")
        .says("verified: ");
    assert_eq!(first.stdout, "", "nothing of it is data");
    assert_eq!(workspace.read("out/hello/shout/shout.txt"), "HELLO, WORLD\n");
    let files = bundle_files(&workspace);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["hello-0.1.0.zip", "hello-0.1.0.zip.intoto.jsonl", "hello-0.1.0.zip.sigstore.json"]);

    let again = workspace.run(&["deliver", "hello"]).ok();
    assert_eq!(again.counts(), [0, 2, 0, 0, 0]);
    assert!(!again.stderr.contains("made the key"), "{}", again.describe());
    assert_eq!(bundle_files(&workspace), files, "delivering again changes no byte");
    assert_eq!(workspace.unfinished(), [""; 0]);
}

/// Runs a delivery that must execute everything.
#[track_caller]
fn all_ran(outcome: Outcome) -> Outcome {
    let [ran, cached, cut_off, failed, skipped] = outcome.counts();
    assert!(ran > 0, "{}", outcome.describe());
    assert_eq!([cached, cut_off, failed, skipped], [0; 4], "{}", outcome.describe());
    outcome
}
