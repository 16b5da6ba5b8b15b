//! A new schema of keys: results made under the one before stay usable, nothing is executed, whatever kills the pass.
//! Schema 0 stands for the one before; its fields mean what those of schema 1 do. Leaves out what is in a key.

use std::path::Path;
use std::sync::Arc;

use partita::base::{ActionKey, Clock, Manifest, SystemClock, Value};
use partita::ops::{Keep, Rekeying};
use partita::plan::action_key;
use partita::store::{Claim, Claims, History, LocalStore, StoreOptions};

use crate::support::{Workspace, tool};

const NODES: usize = 200;

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

fn open(workspace: &Workspace) -> LocalStore {
    LocalStore::open(&workspace.store(), StoreOptions::new(clock())).expect("the store opens")
}

/// A workspace all of whose results, and whose history, are of schema 0. One of them has a manifest that does not
/// give its key.
fn of_the_schema_before() -> Workspace {
    let mut spec = "graph g {\n".to_owned();
    for number in 0..NODES {
        spec.push_str(&format!("    node n{number} {{ write \"text {number}\"; output o }}\n"));
    }
    spec.push_str("    node asked class=record { run sh -c \"date > o\"; output o }\n}\n");
    let workspace = Workspace::with_spec(&spec);
    workspace.run(&["run", "g"]).ok().says(&format!("{} ran", NODES + 1));
    let history = History::open(&workspace.state().join("history.sqlite"), clock(), Arc::new(|_| {}));
    let history = history.expect("the history opens");
    let store = open(&workspace);
    let mut keys = Vec::new();
    for (key, text) in history.keys().expect("keys are on record") {
        let (old, manifest) = older(&text);
        for claim in store.lookup(key).expect("the store is read") {
            let claim = Claim { key: old, manifest: manifest.clone(), ..claim };
            store.record(claim).expect("a claim is recorded");
        }
        store.forget(key).expect("a claim is forgotten");
        keys.push((key, old, manifest));
    }
    store.close().expect("all is written");
    history.rekey(&keys).expect("keys are replaced");
    for (key, old, manifest) in keys {
        let dir = workspace.state().join("cassette").join(key.to_string());
        if dir.exists() {
            let record = dir.join("record.json");
            let text = std::fs::read_to_string(&record).expect("a record is there");
            let mut record_now: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
            let name = old.to_string().replacen("pk1", "pk0", 1);
            record_now["key"] = name.clone().into();
            record_now["manifest"] = manifest.into();
            std::fs::write(&record, record_now.to_string()).expect("it can be written");
            std::fs::rename(&dir, dir.with_file_name(name)).expect("it can be renamed");
        }
    }
    workspace
}

fn older(manifest: &str) -> (ActionKey, String) {
    let mut manifest = Manifest::from_json(manifest).expect("a manifest is one");
    for field in manifest.fields.iter_mut().filter(|field| field.name == "schema") {
        field.value = Value::Int(ActionKey::SCHEMA - 1);
    }
    (action_key(&manifest), manifest.to_json())
}

/// Everything is known, and a program that does not know the schema before would have run it all.
fn all_is_known(workspace: &Workspace) {
    let report = workspace.run(&["run", "g", "--format", "json"]).ok().json();
    assert_eq!((&report["cached"], &report["ran"]), (&(NODES + 1).into(), &0.into()), "nothing is executed");
}

#[test]
fn results_of_the_schema_before_are_taken_over_when_a_workspace_is_opened() {
    let workspace = of_the_schema_before();
    let missing = workspace.run(&["run", "g", "--require-cached", "--format", "json"]).expect(7).json();
    assert_eq!(missing["cached"], 0, "as it is, nothing is known");
    // One that would be taken for another if its manifest were believed.
    let stray = {
        let store = open(&workspace);
        let (key, manifest) = older("[{\"t\":1,\"n\":\"schema\",\"v\":{\"i\":1}}]");
        let wrong = manifest.replace("[{", "[ {").replace('0', "1");
        let claim = Claim {
            key,
            outputs: Vec::new(),
            logs: [partita::base::Digest::of_blob(b""); 2],
            manifest: wrong,
            isolation: 0,
            duration_ms: 0,
            created: 1,
            run: "r".to_owned(),
            addr: "g/stray".to_owned(),
            overlay: String::new(),
            signed: None,
        };
        store.record(claim).expect("a claim is recorded");
        store.close().expect("all is written");
        key
    };
    for pass in 0..2 {
        let notices = Arc::new(std::sync::Mutex::new(0));
        let heard = Arc::clone(&notices);
        let notify: partita::store::Notify = Arc::new(move |_| *heard.lock().expect("no one panics") += 1);
        let keep = Keep::open_by(&workspace.store(), &workspace.state(), &clock(), &notify, &Rekeying::SAME_FIELDS);
        let keep = keep.expect("it opens");
        assert_eq!(keep.store.key_schema().expect("it is read"), Some(ActionKey::SCHEMA));
        assert_eq!(keep.store.lookup(stray).expect("it is read").len(), 1, "what does not give its key is left alone");
        assert_eq!(keep.store.rekeyed(stray).expect("it is read"), None);
        assert_eq!(*notices.lock().expect("no one panics"), usize::from(pass == 0), "it is done once");
    }
    all_is_known(&workspace);
    let reason = workspace.run(&["why", "g/n7", "--format", "json"]).ok().json();
    assert_eq!(reason["reason"]["code"], "same-key", "history has the new keys too");
    // What was recorded is known without the store.
    workspace.drop_store();
    let report = workspace.run(&["run", "g/asked", "--replay-only", "--format", "json"]).ok().json();
    assert_eq!(report["actions"][0]["reason"]["code"], "replayed");
    eprintln!("of {} results of an older schema {} are known, 0 were executed", NODES + 1, NODES + 1);
}

#[test]
fn a_pass_says_what_it_did_and_does_it_once() {
    let workspace = of_the_schema_before();
    let text = |moved: usize, present: usize| {
        format!("{moved} results brought to the present schema of keys, {present} were there already, ")
    };
    workspace.run(&["store", "rekey"]).ok().prints(&text(0, 0));
    workspace.run(&["store", "rekey", "--same-fields"]).ok().prints(&text(NODES + 1, 0));
    workspace.run(&["store", "rekey", "--same-fields"]).ok().prints(&text(0, NODES + 1));
    workspace.run(&["store", "verify"]).ok();
    all_is_known(&workspace);
}

fn copy(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from).sort_by_file_name() {
        let entry = entry.expect("the store can be listed");
        let dest = to.join(entry.path().strip_prefix(from).expect("entries lie below"));
        if entry.file_type().is_dir() {
            std::fs::create_dir_all(&dest).expect("a folder can be made");
        } else {
            std::fs::copy(entry.path(), &dest).expect("a file can be copied");
        }
    }
}

#[test]
fn a_pass_that_is_killed_is_taken_up() {
    let Some(strace) = tool("strace") else { return };
    let workspace = of_the_schema_before();
    let before = workspace.around().join("before");
    copy(&workspace.store(), &before);
    let mut kills = 0;
    for call in ["pwrite64", "fdatasync", "ftruncate"] {
        for when in (1..).step_by(3).take(8) {
            workspace.drop_store();
            copy(&before, &workspace.store());
            let inject = format!("inject={call}:signal=KILL:when={when}");
            let program = env!("CARGO_BIN_EXE_partita");
            let store = workspace.store();
            let store = store.to_str().expect("it is UTF-8");
            let args =
                ["-f", "-o", "/dev/null", "-e", &inject, program, "--store", store, "store", "rekey", "--same-fields"];
            let killed = workspace.command(&strace, &args).run();
            if killed.status == 0 {
                break;
            }
            kills += 1;
            workspace.run(&["store", "rekey", "--same-fields"]).ok();
            all_is_known(&workspace);
            workspace.run(&["store", "verify"]).ok();
        }
    }
    assert!(kills >= 5, "it was killed at {kills} calls only");
    eprintln!("killed at {kills} calls: all results known each time, 0 executed");
}
