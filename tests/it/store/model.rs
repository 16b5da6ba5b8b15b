//! Random sequences of everything one can do to a store, compared with a model of a few lines. What
//! the model says is exact: whole, damaged or absent, after every step.

use std::collections::{BTreeMap, BTreeSet};

use partita::base::{Digest, Entry, Tree};
use partita::store::{Cas, Claim, Claims, Found, GcOptions, LocalStore};
use proptest::prelude::{Just, ProptestConfig, Strategy, any};
use proptest::prop_oneof;
use proptest::test_runner::TestRunner;

use super::{Bench, claim, flip, key};

const BLOBS: u8 = 6;
const KEYS: u8 = 4;

#[derive(Clone, Debug)]
enum Step {
    Put(u8),
    /// A folder that holds the blob.
    PutTree(u8),
    Get(u8),
    GetTree(u8),
    Copy(u8),
    Damage(u8),
    DamageTree(u8),
    Lose(u8),
    /// A claim of a key on a blob, or on the folder that holds it.
    Record(u8, u8, bool),
    Forget(u8),
    Lookup(u8),
    Collect {
        root: Option<u8>,
        dry: bool,
    },
    Verify,
    Flush,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..BLOBS).prop_map(Step::Put),
        2 => (0..BLOBS).prop_map(Step::PutTree),
        3 => (0..BLOBS).prop_map(Step::Get),
        2 => (0..BLOBS).prop_map(Step::GetTree),
        2 => (0..BLOBS).prop_map(Step::Copy),
        2 => (0..BLOBS).prop_map(Step::Damage),
        1 => (0..BLOBS).prop_map(Step::DamageTree),
        1 => (0..BLOBS).prop_map(Step::Lose),
        4 => (0..KEYS, 0..BLOBS, any::<bool>()).prop_map(|(key, blob, tree)| Step::Record(key, blob, tree)),
        1 => (0..KEYS).prop_map(Step::Forget),
        3 => (0..KEYS).prop_map(Step::Lookup),
        1 => (proptest::option::of(0..BLOBS), any::<bool>()).prop_map(|(root, dry)| Step::Collect { root, dry }),
        1 => Just(Step::Verify),
        1 => Just(Step::Flush),
        1 => Just(Step::Reopen),
    ]
}

/// The last blob is of the size that is not handled in memory.
fn bytes(blob: u8) -> Vec<u8> {
    if blob + 1 == BLOBS { vec![blob; (1 << 20) + 1] } else { format!("blob {blob}").into_bytes() }
}

fn tree(blob: u8) -> Tree {
    let size = bytes(blob).len() as u64;
    let entry = Entry::File { digest: Digest::of_blob(&bytes(blob)), size, exec: false };
    Tree { entries: [(format!("f{blob}"), entry)].into() }
}

fn blob_of(blob: u8) -> Digest {
    Digest::of_blob(&bytes(blob))
}

#[derive(Default)]
struct Model {
    /// Whether what is there is as it was put.
    objects: BTreeMap<Digest, bool>,
    /// Newest last.
    claims: BTreeMap<u8, Vec<Claim>>,
    moment: i64,
    copies: u32,
}

impl Model {
    fn put(&mut self, digest: Digest) {
        // Who brings the bytes mends what is damaged.
        self.objects.insert(digest, true);
    }

    /// What a read must find; afterwards what was damaged is gone.
    fn read<T>(&mut self, digest: Digest, right: T) -> Found<T> {
        match self.objects.get(&digest) {
            Some(true) => Found::Whole(right),
            Some(false) => {
                self.objects.remove(&digest);
                Found::Corrupt
            }
            None => Found::Missing,
        }
    }

    /// Whether all that a claim names is there. Reading a tree finds it out if it is damaged;
    /// blobs are only looked at.
    fn reach(&mut self, entry: &Entry, reached: &mut BTreeSet<Digest>) -> bool {
        match entry {
            Entry::File { digest, .. } => {
                reached.insert(*digest);
                self.objects.contains_key(digest)
            }
            Entry::Dir { digest } => {
                if self.read(*digest, ()) != Found::Whole(()) {
                    return false;
                }
                reached.insert(*digest);
                let blob = (0..BLOBS).find(|blob| tree(*blob).digest() == *digest).unwrap();
                let below = tree(blob).entries.into_values().next().unwrap();
                self.reach(&below, reached)
            }
            Entry::Symlink { .. } => true,
        }
    }

    /// Drops claims that are not whole, and says what the others reach.
    fn sweep_claims(&mut self) -> BTreeSet<Digest> {
        let mut all = BTreeSet::new();
        for (number, claims) in std::mem::take(&mut self.claims) {
            for claim in claims {
                let mut reached: BTreeSet<Digest> = claim.logs.into();
                if self.reach(&claim.outputs[0].entry, &mut reached) {
                    all.extend(reached);
                    self.claims.entry(number).or_default().push(claim);
                }
            }
        }
        all
    }
}

fn run(steps: &[Step]) {
    let bench = Bench::new();
    let mut store = bench.open();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Reopen => {
                drop(store);
                store = bench.open();
            }
            other => apply(&bench, &store, &mut model, other),
        }
        for blob in 0..BLOBS {
            for digest in [blob_of(blob), tree(blob).digest()] {
                assert_eq!(store.contains(digest), model.objects.contains_key(&digest), "{blob} after {step:?}");
            }
        }
    }
    for blob in 0..BLOBS {
        let found = model.read(blob_of(blob), bytes(blob));
        assert_eq!(store.get(blob_of(blob)).unwrap(), found);
    }
}

fn apply(bench: &Bench, store: &LocalStore, model: &mut Model, step: &Step) {
    match *step {
        Step::Put(blob) => {
            let path = bench.dir.path().join("put");
            std::fs::write(&path, bytes(blob)).unwrap();
            assert_eq!(store.put_file(&path).unwrap(), (blob_of(blob), bytes(blob).len() as u64));
            model.put(blob_of(blob));
        }
        Step::PutTree(blob) => {
            assert_eq!(store.put_tree(&tree(blob)).unwrap(), tree(blob).digest());
            model.put(tree(blob).digest());
        }
        Step::Get(blob) => {
            let expected = model.read(blob_of(blob), bytes(blob));
            assert_eq!(store.get(blob_of(blob)).unwrap(), expected);
        }
        Step::GetTree(blob) => {
            let expected = model.read(tree(blob).digest(), tree(blob));
            assert_eq!(store.get_tree(tree(blob).digest()).unwrap(), expected);
        }
        Step::Copy(blob) => {
            model.copies += 1;
            let to = bench.dir.path().join(format!("copy{}", model.copies));
            let expected = model.read(blob_of(blob), ());
            assert_eq!(store.copy_to(blob_of(blob), &to, false).unwrap(), expected);
            assert_eq!(to.exists(), expected == Found::Whole(()));
            assert!(!to.exists() || std::fs::read(&to).unwrap() == bytes(blob));
        }
        Step::Damage(blob) => damage(bench, store, model, blob_of(blob)),
        Step::DamageTree(blob) => damage(bench, store, model, tree(blob).digest()),
        Step::Lose(blob) => {
            store.flush().unwrap();
            if model.objects.remove(&blob_of(blob)).is_some() {
                std::fs::remove_file(bench.object(blob_of(blob))).unwrap();
            }
        }
        Step::Record(number, blob, of_tree) => {
            model.moment += 1;
            let entry = if of_tree {
                Entry::Dir { digest: tree(blob).digest() }
            } else {
                tree(blob).entries.into_values().next().unwrap()
            };
            let mut claim = claim(store, number, entry);
            model.put(Digest::of_blob(b""));
            claim.created = model.moment;
            store.record(claim.clone()).unwrap();
            let claims = model.claims.entry(number).or_default();
            claims.retain(|old| old.outputs != claim.outputs);
            claims.push(claim);
        }
        Step::Forget(number) => {
            store.forget(key(number)).unwrap();
            model.claims.remove(&number);
        }
        Step::Lookup(number) => {
            let mut expected = model.claims.get(&number).cloned().unwrap_or_default();
            expected.reverse();
            assert_eq!(store.lookup(key(number)).unwrap(), expected);
        }
        Step::Collect { root, dry } => {
            let roots = root.map(|blob| tree(blob).digest()).into_iter().collect::<Vec<_>>();
            store.gc(&GcOptions { roots, dry_run: dry, ..GcOptions::default() }).unwrap();
            let mut kept = BTreeSet::new();
            if let Some(blob) = root {
                model.reach(&Entry::Dir { digest: tree(blob).digest() }, &mut kept);
            }
            if dry {
                // A rehearsal reads the trees too, and so finds the damaged ones.
                let claims = model.claims.clone();
                model.sweep_claims();
                model.claims = claims;
            } else {
                kept.extend(model.sweep_claims());
                model.objects.retain(|digest, _| kept.contains(digest));
            }
        }
        Step::Verify => {
            let damaged: Vec<Digest> = model.objects.iter().filter(|(_, right)| !**right).map(|(d, _)| *d).collect();
            let report = store.verify().unwrap();
            assert_eq!(report.corrupt, damaged);
            model.objects.retain(|_, right| *right);
            let before: usize = model.claims.values().map(Vec::len).sum();
            model.sweep_claims();
            let after: usize = model.claims.values().map(Vec::len).sum();
            assert_eq!((report.claims, report.claims_dropped), (before as u64, (before - after) as u64));
            assert_eq!(report.objects, model.objects.len() as u64);
        }
        Step::Flush => store.flush().unwrap(),
        Step::Reopen => unreachable!("handled by the caller, who owns the store"),
    }
}

fn damage(bench: &Bench, store: &LocalStore, model: &mut Model, digest: Digest) {
    store.flush().unwrap();
    if let Some(right @ true) = model.objects.get_mut(&digest) {
        *right = false;
        flip(&bench.object(digest));
    }
}

#[test]
fn any_sequence_of_steps_agrees_with_the_model() {
    let config = ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
    let steps = proptest::collection::vec(step(), 1..60);
    TestRunner::new(config)
        .run(&steps, |steps| {
            run(&steps);
            Ok(())
        })
        .unwrap();
}
