//! Whose results count: unknown writers, forged signatures, weaker isolation, overlays, and writers that must
//! agree. The adversary may write whatever it likes into the store, and has no key that counts. Leaves out what is
//! signed of bundles.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use partita::base::{ActionKey, Entry, SystemClock};
use partita::bundle::{PrivateKey, Signer};
use partita::store::{Cas, Claim, Claims, LocalStore, Signed, StoreOptions};

use crate::support::{Outcome, Workspace};

const SPEC: &str = "graph g { node one { run sh -c \"echo right > o\"; output o } }\n";

/// A store that several share, and the keys of those who count.
struct Shared {
    folder: tempfile::TempDir,
}

/// Who runs: a workspace, and what its environment says.
struct Party {
    workspace: Workspace,
    store: PathBuf,
    env: Vec<(&'static str, String)>,
}

impl Shared {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("writers")).expect("a folder");
        Self { folder }
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn keys(&self) -> String {
        self.folder.path().join("writers").display().to_string()
    }

    /// Somebody without a key for whom the writers count.
    fn reader(&self) -> Party {
        let env = vec![("PARTITA_WRITERS", self.keys())];
        Party { workspace: Workspace::with_spec(SPEC), store: self.store(), env }
    }

    /// Somebody with a key.
    fn signing(&self, name: &str) -> Party {
        let mut party = self.reader();
        party.workspace.run(&["key", "generate", name]).ok();
        party.env.push(("PARTITA_WRITER", name.to_owned()));
        party
    }

    /// Somebody whose key counts.
    fn trusted(&self, name: &str) -> Party {
        let party = self.signing(name);
        let public = format!("{name}.pub.pem");
        let from = party.workspace.state().join("keys").join(&public);
        std::fs::copy(from, Path::new(&self.keys()).join(public)).expect("a key is copied");
        party
    }

    fn open(&self) -> LocalStore {
        LocalStore::open(&self.store(), StoreOptions::new(Arc::new(SystemClock::new()))).expect("the store opens")
    }

    /// Adds to what is known under a key what somebody makes of the first of it.
    fn forge(&self, key: ActionKey, forge: impl FnOnce(&LocalStore, Claim) -> Claim) {
        let store = self.open();
        let first = store.lookup(key).expect("it is read").into_iter().next().expect("something is known");
        store.record(forge(&store, first)).expect("it is recorded");
        store.close().expect("it is written");
    }
}

impl Party {
    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.env.push((name, value.to_owned()));
        self
    }

    fn try_run(&self, args: &[&str]) -> Outcome {
        let store = self.store.to_str().expect("it is UTF-8");
        let run = ["--store", store, "run", "g", "--format", "json", "--progress", "none"];
        let mut invocation = self.workspace.partita(&[&run[..], args].concat());
        for (name, value) in &self.env {
            invocation = invocation.env(name, value);
        }
        invocation.run()
    }

    /// How the action ended, and why, and the key.
    fn run(&self) -> (String, String, ActionKey) {
        let report = self.try_run(&[]).ok().json();
        let action = &report["actions"][0];
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        assert_eq!(self.workspace.read("out/g/one/o"), "right\n", "never what another wrote");
        let key = text(&action["key"]).parse().expect("a key");
        (text(&action["outcome"]), text(&action["reason"]["code"]), key)
    }

    /// Forgets what it knows by itself, as another checkout would.
    fn afresh(&self) {
        self.workspace.drop_state();
    }
}

/// Makes of a claim one that says the output is something else.
fn poisoned(store: &LocalStore, claim: Claim) -> Claim {
    let digest = store.put_bytes(b"wrong\n").expect("bytes are kept");
    let mut claim = claim;
    claim.outputs[0].entry = Entry::File { digest, size: 6, exec: false };
    claim.created += 1;
    claim
}

fn signed_by(key: &PrivateKey, claim: Claim) -> Claim {
    let signature = key.sign(&claim.statement()).expect("it signs");
    Claim { signed: Some(Signed { writer: key.public_spki_der(), signature }), ..claim }
}

#[test]
fn what_an_unknown_writer_says_does_not_count() {
    let shared = Shared::new();
    let ci = shared.trusted("ci");
    let (outcome, _, key) = ci.run();
    assert_eq!(outcome, "ran");
    assert_eq!(shared.reader().run().0, "cached", "what a trusted one wrote does");
    // Nobody's, a stranger's, and one that names no key at all; each newer than the right one.
    shared.forge(key, |store, claim| Claim { signed: None, ..poisoned(store, claim) });
    shared.forge(key, |store, claim| signed_by(&PrivateKey::from_seed([7; 32]), poisoned(store, claim)));
    let no_key = Signed { writer: b"no key".to_vec(), signature: b"none".to_vec() };
    shared.forge(key, |store, claim| Claim { signed: Some(no_key), ..poisoned(store, claim) });
    assert_eq!(shared.reader().run().0, "cached", "the right one is found below them");
    // And where there is nothing else, the action runs and says why.
    let store = shared.open();
    let wrong: Vec<Claim> = store.lookup(key).expect("read").into_iter().take(3).collect();
    store.forget(key).expect("it is forgotten");
    wrong.into_iter().rev().for_each(|claim| store.record(claim).expect("it is recorded"));
    store.close().expect("it is written");
    let (outcome, code, _) = shared.reader().run();
    assert_eq!((outcome.as_str(), code.as_str()), ("ran", "untrusted-writer"));
}

#[test]
fn a_forged_signature_does_not_count() {
    let shared = Shared::new();
    let (_, _, key) = shared.trusted("ci").run();
    // The signature of what was said, under something else; and the signature of another key under the name of this.
    shared.forge(key, poisoned);
    let stranger = PrivateKey::from_seed([8; 32]);
    shared.forge(key, |store, claim| {
        let writer = claim.signed.clone().expect("it is signed").writer;
        let made = signed_by(&stranger, poisoned(store, claim));
        let signature = made.signed.as_ref().expect("it is signed").signature.clone();
        Claim { signed: Some(Signed { writer, signature }), ..made }
    });
    assert_eq!(shared.reader().run().0, "cached", "the right one is found below them");
    // Where there is nothing else, the action runs and says why.
    let store = shared.open();
    let wrong: Vec<Claim> = store.lookup(key).expect("read").into_iter().take(1).collect();
    store.forget(key).expect("it is forgotten");
    wrong.into_iter().rev().for_each(|claim| store.record(claim).expect("it is recorded"));
    store.close().expect("it is written");
    let (outcome, code, _) = shared.reader().run();
    assert_eq!((outcome.as_str(), code.as_str()), ("ran", "bad-signature"));
    // Each field that is said is signed: nothing of a right one can be changed.
    let shared = Shared::new();
    let (_, _, key) = shared.trusted("ci").run();
    let changes: [fn(&mut Claim); 6] = [
        |claim| claim.isolation = 2,
        |claim| claim.duration_ms += 1,
        |claim| claim.created += 1,
        |claim| claim.manifest.push(' '),
        |claim| claim.run.push('x'),
        |claim| claim.logs.swap(0, 1),
    ];
    for change in changes {
        let store = shared.open();
        let right = store.lookup(key).expect("read").remove(0);
        let mut wrong = right.clone();
        change(&mut wrong);
        if wrong == right {
            continue;
        }
        store.forget(key).expect("it is forgotten");
        store.record(wrong).expect("it is recorded");
        store.flush().expect("it is written");
        let report = shared.reader().try_run(&["--require-cached"]).expect(7).json();
        assert_eq!(report["cached"], 0);
        store.forget(key).expect("it is forgotten");
        store.record(right).expect("it is recorded");
        store.close().expect("it is written");
        shared.reader().try_run(&["--require-cached"]).ok();
    }
}

#[test]
fn a_trusted_result_of_a_weaker_isolation_does_not_serve_a_stronger_demand() {
    let shared = Shared::new();
    let ci = shared.trusted("ci").with("PARTITA_ISOLATION", "none");
    ci.run();
    shared.reader().try_run(&["--require-cached"]).ok();
    let refused = shared.reader().try_run(&["--require-cached", "--isolation", "landlock"]);
    if refused.status != 7 {
        // There is no such level here: refused before anything was looked up.
        refused.expect(33);
        return;
    }
    let reader = shared.reader();
    let report = reader.try_run(&["--isolation", "landlock"]).ok().json();
    assert_eq!(report["actions"][0]["reason"]["code"], "weaker-sandbox");
}

#[test]
fn an_overlay_serves_its_own_writer_until_a_trusted_one_makes_the_same() {
    let shared = Shared::new();
    let ci = shared.trusted("ci");
    let change = shared.reader();
    assert_eq!(change.run().0, "ran");
    assert_eq!(change.run().0, "cached", "it finds what it made");
    // Another change does not, nor does one that asks for the overlay of a key, nor the trusted one.
    for other in [shared.reader(), shared.signing("other"), shared.reader().with("PARTITA_OVERLAY", "pr-8")] {
        let (outcome, code, _) = other.run();
        assert_eq!((outcome.as_str(), code.as_str()), ("ran", "untrusted-writer"));
        assert_eq!(other.run().0, "cached");
    }
    let (outcome, code, key) = ci.run();
    assert_eq!((outcome.as_str(), code.as_str()), ("ran", "untrusted-writer"), "promotion is by making it again");
    // From then on it is for all, under the same bytes.
    assert_eq!(shared.reader().run().0, "cached");
    ci.afresh();
    let store = shared.open();
    let claims = store.lookup(key).expect("they are read");
    let outputs: Vec<_> = claims.iter().map(|claim| &claim.outputs).collect();
    assert!(claims.len() >= 4 && outputs.windows(2).all(|pair| pair[0] == pair[1]), "each has a claim of its own");
    assert_eq!(claims.iter().filter(|claim| claim.overlay.is_empty()).count(), 1);
    // Two of one overlay that is named share it; without a word about writers it is not seen.
    let plain = || Party { env: Vec::new(), ..shared.reader() };
    let before = plain().with("PARTITA_OVERLAY", "pr-9");
    assert_eq!(before.run().0, "cached", "what is for all is found from an overlay too");
    store.forget(key).expect("it is forgotten");
    store.close().expect("it is written");
    before.afresh();
    assert_eq!(before.run().0, "ran");
    assert_eq!(plain().with("PARTITA_OVERLAY", "pr-9").run().0, "cached");
    let (outcome, code, _) = plain().run();
    assert_eq!((outcome.as_str(), code.as_str()), ("ran", "untrusted-writer"));
}

#[test]
fn as_many_writers_as_are_asked_for_must_say_the_same() {
    let shared = Shared::new();
    let (one, two) = (shared.trusted("one"), shared.trusted("two"));
    let both = || shared.reader().with("PARTITA_WRITERS_AGREE", "2");
    let (_, _, key) = one.run();
    let report = both().try_run(&["--require-cached"]).expect(7).json();
    assert_eq!(report["cached"], 0, "one alone is not enough");
    // The second one says something else: still not.
    let second = |store: &LocalStore, claim: Claim| {
        let pem = two.workspace.state().join("keys/two.key.pem");
        signed_by(&PrivateKey::from_pem_file(&pem, None).expect("a key"), poisoned(store, claim))
    };
    shared.forge(key, second);
    both().try_run(&["--require-cached"]).expect(7);
    let two = two.with("PARTITA_WRITERS_AGREE", "2");
    assert_eq!(two.try_run(&["--refresh", "g/one"]).ok().json()["ran"], 1);
    assert_eq!(both().run().0, "cached", "two say the same");
    // Both of one writer are still one.
    let alone = Shared::new();
    let (_, _, key) = alone.trusted("one").run();
    alone.trusted("two");
    alone.forge(key, |_, claim| Claim { isolation: 2, ..claim });
    alone.reader().with("PARTITA_WRITERS_AGREE", "2").try_run(&["--require-cached"]).expect(7);
}

#[test]
fn what_cannot_be_meant_is_refused_before_anything_runs() {
    let shared = Shared::new();
    shared.reader().try_run(&[]).expect(2).prints("where no public key is");
    shared.trusted("ci");
    for (name, value, says) in [
        ("PARTITA_WRITERS", "keys", "not absolute"),
        ("PARTITA_WRITERS_AGREE", "2", "a number from 1 to 1"),
        ("PARTITA_WRITERS_AGREE", "0", "a number from 1 to 1"),
        ("PARTITA_OVERLAY", "a b", "does not name an overlay"),
        ("PARTITA_WRITER", "nobody", "nobody"),
    ] {
        let party = shared.reader().with(name, value);
        let outcome = party.try_run(&[]);
        assert_ne!(outcome.status, 0, "{name}={value}");
        outcome.prints(says);
        assert!(!party.workspace.has("out"), "{name}={value}");
    }
}
