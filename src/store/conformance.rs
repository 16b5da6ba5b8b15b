//! What every store must do, run against each. Leaves out what only one of them promises.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::{ActionKey, Digest, Entry, ErrorKind, ManualClock, RelPath, Tree};
use crate::store::{
    Cas, Claim, ClaimOutput, Claims, Found, LocalStore, MemoryStore, StoreOptions, materialize, materialize_below,
};

trait Store: Cas + Claims {
    /// Harms an object that has its final place; without bytes, it is lost.
    fn damage(&self, digest: Digest, bytes: Option<&[u8]>);
}

impl Store for MemoryStore {
    fn damage(&self, digest: Digest, bytes: Option<&[u8]>) {
        MemoryStore::damage(self, digest, bytes.map(<[u8]>::to_owned));
    }
}

impl Store for LocalStore {
    fn damage(&self, digest: Digest, bytes: Option<&[u8]>) {
        self.flush().unwrap();
        let hex = digest.hex();
        let path = self.dir().join("cas").join(&hex[..2]).join(&hex);
        std::fs::remove_file(&path).unwrap();
        if let Some(bytes) = bytes {
            std::fs::write(&path, bytes).unwrap();
        }
    }
}

struct Subject {
    store: Box<dyn Store>,
    dir: tempfile::TempDir,
}

impl Subject {
    fn memory() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { store: Box::new(MemoryStore::new(dir.path())), dir }
    }

    fn local() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions::new(Arc::new(ManualClock::default()));
        Self { store: Box::new(LocalStore::open(&dir.path().join("store"), options).unwrap()), dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, text: &str, exec: bool) -> Entry {
        let digest = self.store.put_bytes(text.as_bytes()).unwrap();
        Entry::File { digest, size: text.len() as u64, exec }
    }

    /// `a`, an executable `bin/b`, a symlink `bin/c` to it.
    fn tree(&self, a: &str) -> Entry {
        let b = self.file("b", true);
        let link = Entry::Symlink { target: "b".into() };
        let bin = Tree { entries: [("b".to_owned(), b), ("c".to_owned(), link)].into() };
        let bin = Entry::Dir { digest: self.store.put_tree(&bin).unwrap() };
        let root = Tree { entries: [("a".to_owned(), self.file(a, false)), ("bin".to_owned(), bin)].into() };
        Entry::Dir { digest: self.store.put_tree(&root).unwrap() }
    }
}

fn claim(key: u8, output: &str, isolation: u8, created: i64) -> Claim {
    let entry = Entry::File { digest: Digest::of_blob(output.as_bytes()), size: 1, exec: false };
    Claim {
        key: ActionKey(Digest::of_blob(&[key])),
        outputs: vec![ClaimOutput { name: "out".into(), entry }],
        logs: [Digest::of_blob(b""), Digest::of_blob(b"")],
        manifest: "[]".into(),
        isolation,
        duration_ms: 5,
        created,
        run: format!("run-{created}"),
        addr: "g/n/s".into(),
        overlay: String::new(),
        signed: None,
    }
}

fn blobs_come_back(on: &Subject) {
    for bytes in [&b""[..], b"x", &vec![0xff; 70_000], &vec![7; 3 << 20]] {
        let digest = on.store.put_bytes(bytes).unwrap();
        assert_eq!(digest, Digest::of_blob(bytes));
        for _ in 0..2 {
            assert!(on.store.contains(digest));
            assert_eq!(on.store.size(digest), Some(bytes.len() as u64));
            assert_eq!(on.store.get(digest).unwrap(), Found::Whole(bytes.to_vec()));
            on.store.flush().unwrap();
        }
        assert_eq!(on.store.put_bytes(bytes).unwrap(), digest);
    }
}

fn the_unknown_is_missing(on: &Subject) {
    let digest = Digest::of_blob(b"never kept");
    assert!(!on.store.contains(digest));
    assert_eq!(on.store.size(digest), None);
    assert_eq!(on.store.get(digest).unwrap(), Found::Missing);
    assert_eq!(on.store.get_tree(digest).unwrap(), Found::Missing);
    assert_eq!(on.store.copy_to(digest, &on.path("to"), false).unwrap(), Found::Missing);
    assert!(!on.path("to").exists());
}

fn files_are_kept_and_stay(on: &Subject) {
    for bytes in [&b""[..], b"text", &vec![3; (2 << 20) + 17]] {
        let path = on.path("file");
        std::fs::write(&path, bytes).unwrap();
        let kept = on.store.put_file(&path).unwrap();
        assert_eq!(kept, (Digest::of_blob(bytes), bytes.len() as u64));
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        // A later change of the file does not reach the store.
        std::fs::write(&path, "changed").unwrap();
        assert_eq!(on.store.get(kept.0).unwrap(), Found::Whole(bytes.to_vec()));
    }
}

fn only_regular_files_are_kept(on: &Subject) {
    std::fs::write(on.path("file"), "x").unwrap();
    std::os::unix::fs::symlink("file", on.path("link")).unwrap();
    for name in ["link", "absent", "."] {
        let error = on.store.put_file(&on.path(name)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Engine, "{name}");
    }
    on.store.put_bytes(b"a refusal does no harm").unwrap();
    on.store.flush().unwrap();
}

fn trees_are_kept_level_by_level(on: &Subject) {
    let Entry::Dir { digest } = on.tree("a") else { unreachable!() };
    let Found::Whole(tree) = on.store.get_tree(digest).unwrap() else { panic!("the tree is there") };
    assert_eq!(tree.digest(), digest);
    assert_eq!(tree.entries.keys().collect::<Vec<_>>(), ["a", "bin"]);
    assert_eq!(on.store.get(digest).unwrap(), Found::Whole(tree.encode()), "a tree's bytes can be read as such");
    let blob = on.store.put_bytes(&tree.encode()).unwrap();
    assert_ne!(blob, digest);
    assert_eq!(on.store.get_tree(blob).unwrap(), Found::Missing, "a blob is not a tree, whatever it holds");
    assert!(on.store.contains(blob), "asking for the wrong kind does no harm");
    let empty = on.store.put_tree(&Tree::default()).unwrap();
    assert_eq!(on.store.get_tree(empty).unwrap(), Found::Whole(Tree::default()));
}

fn copies_have_their_mode_and_are_copies(on: &Subject) {
    for (number, bytes) in [&b""[..], b"tool", &vec![9; (2 << 20) + 1]].into_iter().enumerate() {
        let digest = on.store.put_bytes(bytes).unwrap();
        for (round, exec) in [false, true, false].into_iter().enumerate() {
            let path = on.path(&format!("copy-{number}-{round}"));
            assert_eq!(on.store.copy_to(digest, &path, exec).unwrap(), Found::Whole(()));
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
            let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, if exec { 0o755 } else { 0o644 });
            std::fs::write(&path, "scribbled").unwrap();
            on.store.flush().unwrap();
        }
        assert_eq!(on.store.get(digest).unwrap(), Found::Whole(bytes.to_vec()));
    }
    let digest = on.store.put_bytes(b"x").unwrap();
    std::fs::write(on.path("there"), "mine").unwrap();
    assert!(on.store.copy_to(digest, &on.path("there"), false).is_err(), "an existing file is not replaced");
    assert_eq!(std::fs::read(on.path("there")).unwrap(), b"mine");
}

fn what_is_damaged_is_never_served_and_can_be_healed(on: &Subject) {
    let big = vec![5; (1 << 20) + 1];
    for bytes in [&b"some bytes"[..], &big] {
        let mut flipped = bytes.to_vec();
        flipped[bytes.len() / 2] ^= 0x10;
        for bad in [&flipped[..], &bytes[..bytes.len() - 1], &[bytes, b"x"].concat()] {
            let digest = on.store.put_bytes(bytes).unwrap();
            on.store.damage(digest, Some(bad));
            assert_eq!(on.store.get(digest).unwrap(), Found::Corrupt);
            assert!(!on.store.contains(digest), "it is out of the way");
            assert_eq!(on.store.get(digest).unwrap(), Found::Missing);
            on.store.put_bytes(bytes).unwrap();
            assert_eq!(on.store.get(digest).unwrap(), Found::Whole(bytes.to_vec()));

            on.store.damage(digest, Some(bad));
            assert_eq!(on.store.copy_to(digest, &on.path("to"), false).unwrap(), Found::Corrupt);
            assert!(!on.path("to").exists());
        }
        let digest = on.store.put_bytes(bytes).unwrap();
        on.store.damage(digest, None);
        assert_eq!(on.store.get(digest).unwrap(), Found::Missing);
        on.store.put_bytes(bytes).unwrap();
        assert_eq!(on.store.get(digest).unwrap(), Found::Whole(bytes.to_vec()));
    }
    let Entry::Dir { digest } = on.tree("a") else { unreachable!() };
    on.store.damage(digest, Some(&Tree::default().encode()));
    assert!(!matches!(on.store.get_tree(digest).unwrap(), Found::Whole(_)));
    on.tree("a");
    assert!(matches!(on.store.get_tree(digest).unwrap(), Found::Whole(_)));
}

fn scratch_folders_are_new_and_empty(on: &Subject) {
    let (first, second) = (on.store.scratch().unwrap(), on.store.scratch().unwrap());
    assert_ne!(first, second);
    assert!(first.is_absolute());
    for path in [first, second] {
        std::fs::write(path.join("f"), "x").unwrap();
        std::fs::remove_dir_all(path).unwrap();
    }
}

fn claims_are_found_newest_first(on: &Subject) {
    let key = claim(1, "a", 2, 10).key;
    assert_eq!(on.store.lookup(key).unwrap(), []);
    let (old, new, weak) = (claim(1, "a", 2, 10), claim(1, "b", 2, 20), claim(1, "a", 0, 15));
    for (count, claim) in [&old, &new, &weak].into_iter().enumerate() {
        on.store.record(claim.clone()).unwrap();
        assert_eq!(on.store.lookup(key).unwrap().len(), count + 1, "at once");
    }
    on.store.record(claim(2, "a", 2, 11)).unwrap();
    for _ in 0..2 {
        assert_eq!(on.store.lookup(key).unwrap(), [new.clone(), weak.clone(), old.clone()]);
        on.store.flush().unwrap();
    }
    // Of the same moment, the one recorded later is the newer.
    let tied = claim(1, "c", 2, 20);
    on.store.record(tied.clone()).unwrap();
    for _ in 0..2 {
        assert_eq!(on.store.lookup(key).unwrap(), [tied.clone(), new.clone(), weak.clone(), old.clone()]);
        on.store.flush().unwrap();
    }
}

fn an_equal_claim_takes_the_place_of_the_older(on: &Subject) {
    let key = claim(1, "a", 2, 10).key;
    for flushes in [false, true] {
        on.store.record(claim(1, "a", 2, 10)).unwrap();
        on.store.record(claim(1, "b", 2, 11)).unwrap();
        if flushes {
            on.store.flush().unwrap();
        }
        on.store.record(claim(1, "a", 2, 12)).unwrap();
        for _ in 0..2 {
            assert_eq!(on.store.lookup(key).unwrap(), [claim(1, "a", 2, 12), claim(1, "b", 2, 11)]);
            on.store.flush().unwrap();
        }
    }
}

fn forgotten_claims_are_gone(on: &Subject) {
    let key = claim(1, "a", 2, 10).key;
    on.store.forget(key).unwrap();
    for flushes in [false, true] {
        on.store.record(claim(1, "a", 2, 10)).unwrap();
        on.store.record(claim(3, "a", 2, 10)).unwrap();
        if flushes {
            on.store.flush().unwrap();
        }
        on.store.forget(key).unwrap();
        assert_eq!(on.store.lookup(key).unwrap(), []);
        on.store.record(claim(1, "b", 1, 9)).unwrap();
        for _ in 0..2 {
            assert_eq!(on.store.lookup(key).unwrap(), [claim(1, "b", 1, 9)]);
            on.store.flush().unwrap();
        }
        assert_eq!(on.store.lookup(claim(3, "a", 2, 10).key).unwrap().len(), 1, "others stay");
    }
}

fn what_is_held_is_held_until_released(on: &Subject) {
    let (key, other) = (claim(1, "a", 2, 10).key, claim(2, "a", 2, 10).key);
    on.store.release(key).unwrap();
    assert_eq!(on.store.held(key).unwrap(), None);
    on.store.hold(key, "it differs").unwrap();
    on.store.hold(key, "it differs elsewhere").unwrap();
    assert_eq!(on.store.held(key).unwrap().as_deref(), Some("it differs elsewhere"));
    assert_eq!(on.store.held(other).unwrap(), None);
    // The key is, whatever is recorded under it.
    on.store.record(claim(1, "a", 2, 10)).unwrap();
    on.store.forget(key).unwrap();
    assert!(on.store.held(key).unwrap().is_some());
    on.store.release(key).unwrap();
    assert_eq!(on.store.held(key).unwrap(), None);
}

fn listing(at: &std::path::Path) -> Vec<String> {
    let entries = walkdir::WalkDir::new(at).min_depth(1).sort_by_file_name();
    entries.into_iter().map(|e| e.unwrap().path().strip_prefix(at).unwrap().display().to_string()).collect()
}

fn trees_are_put_in_place_exactly(on: &Subject) {
    let dest = on.path("out/deep/tree");
    let entry = on.tree("one");
    assert_eq!(materialize(&*on.store, &entry, &dest).unwrap(), Found::Whole(()));
    assert_eq!(listing(&dest), ["a", "bin", "bin/b", "bin/c"]);
    assert_eq!(std::fs::read_link(dest.join("bin/c")).unwrap(), PathBuf::from("b"));
    let before = std::fs::metadata(&dest).unwrap();
    assert_eq!(materialize(&*on.store, &entry, &dest).unwrap(), Found::Whole(()));
    let inode = |meta: &std::fs::Metadata| std::os::unix::fs::MetadataExt::ino(meta);
    assert_eq!(inode(&before), inode(&std::fs::metadata(&dest).unwrap()), "what is right is left alone");

    // Every way of being wrong: a stray, changed bytes, a lost bit, another kind, a folder less.
    let harms: [&dyn Fn(); 6] = [
        &|| std::fs::write(dest.join("bin/stray"), "x").unwrap(),
        &|| std::fs::write(dest.join("a"), "two").unwrap(),
        &|| std::fs::set_permissions(dest.join("bin/b"), PermissionsExt::from_mode(0o644)).unwrap(),
        &|| {
            std::fs::remove_file(dest.join("a")).unwrap();
            std::os::unix::fs::symlink("/etc/hostname", dest.join("a")).unwrap();
        },
        &|| std::fs::remove_dir_all(dest.join("bin")).unwrap(),
        &|| {
            std::fs::remove_dir_all(&dest).unwrap();
            std::fs::write(&dest, "a file").unwrap();
        },
    ];
    for (number, harm) in harms.iter().enumerate() {
        harm();
        assert_eq!(materialize(&*on.store, &entry, &dest).unwrap(), Found::Whole(()), "harm {number}");
        assert_eq!(listing(&dest), ["a", "bin", "bin/b", "bin/c"], "harm {number}");
        assert_eq!(std::fs::read(dest.join("a")).unwrap(), b"one", "harm {number}");
        assert_eq!(std::fs::metadata(dest.join("bin/b")).unwrap().permissions().mode() & 0o777, 0o755);
    }
    assert_eq!(listing(&on.path("out/deep")).len(), 5, "nothing is left beside it");
}

fn files_are_put_in_place_of_anything(on: &Subject) {
    let dest = on.path("out");
    let entry = on.file("text", false);
    let harms: [&dyn Fn(); 4] = [
        &|| {},
        &|| std::fs::write(&dest, "TEXT").unwrap(),
        &|| {
            std::fs::remove_file(&dest).unwrap();
            std::fs::create_dir_all(dest.join("sub")).unwrap();
        },
        &|| {
            std::fs::remove_file(&dest).unwrap();
            std::fs::write(on.path("victim"), "mine").unwrap();
            std::os::unix::fs::symlink(on.path("victim"), &dest).unwrap();
        },
    ];
    for harm in harms {
        harm();
        assert_eq!(materialize(&*on.store, &entry, &dest).unwrap(), Found::Whole(()));
        assert!(std::fs::symlink_metadata(&dest).unwrap().is_file());
        assert_eq!(std::fs::read(&dest).unwrap(), b"text");
    }
    assert_eq!(std::fs::read(on.path("victim")).unwrap(), b"mine", "a symlink is replaced, not followed");
    let link = Entry::Symlink { target: "elsewhere".into() };
    for _ in 0..2 {
        assert_eq!(materialize(&*on.store, &link, &dest).unwrap(), Found::Whole(()));
        assert_eq!(std::fs::read_link(&dest).unwrap(), PathBuf::from("elsewhere"));
    }
}

fn what_cannot_be_whole_changes_nothing(on: &Subject) {
    let dest = on.path("out");
    materialize(&*on.store, &on.tree("one"), &dest).unwrap();
    let other = on.tree("two");
    on.store.damage(Digest::of_blob(b"two"), Some(b"2wo"));
    assert_eq!(materialize(&*on.store, &other, &dest).unwrap(), Found::Corrupt);
    assert_eq!(materialize(&*on.store, &other, &dest).unwrap(), Found::Missing);
    assert_eq!(std::fs::read(dest.join("a")).unwrap(), b"one");
    assert_eq!(listing(&dest), ["a", "bin", "bin/b", "bin/c"]);
    assert!(listing(on.dir.path()).iter().all(|path| !path.contains(".partita-")), "nothing is left beside it");
}

fn names_that_lead_outside_are_refused(on: &Subject) {
    for name in ["..", "."] {
        let tree = Tree { entries: [(name.to_owned(), on.file("x", false))].into() };
        let Ok(digest) = on.store.put_tree(&tree) else { continue };
        let put = materialize(&*on.store, &Entry::Dir { digest }, &on.path("out"));
        assert!(!matches!(put, Ok(Found::Whole(()))), "{name}");
        assert!(!on.path("out").exists());
    }
}

fn symlinks_on_the_way_are_not_followed(on: &Subject) {
    let root = on.path("root");
    std::fs::create_dir_all(on.path("outside")).unwrap();
    std::fs::create_dir_all(&root).unwrap();
    std::os::unix::fs::symlink(on.path("outside"), root.join("link")).unwrap();
    let entry = on.file("x", false);
    let put = |dest: &str| materialize_below(&*on.store, &entry, &root, &RelPath::new(dest).unwrap());
    assert!(put("link/f").is_err());
    assert_eq!(listing(&on.path("outside")), Vec::<String>::new());
    assert_eq!(put("a/b/f").unwrap(), Found::Whole(()));
    assert_eq!(std::fs::read(root.join("a/b/f")).unwrap(), b"x");
    assert!(put("a/b/f/g").is_err(), "a file is not replaced by a folder on the way");
    assert_eq!(put("link").unwrap(), Found::Whole(()), "the last part is replaced");
    assert!(std::fs::symlink_metadata(root.join("link")).unwrap().is_file());
}

macro_rules! suite {
    ($($name:ident)*) => {
        mod memory {
            $(#[test] fn $name() { super::$name(&super::Subject::memory()); })*
        }
        mod local {
            $(#[test] fn $name() { super::$name(&super::Subject::local()); })*
        }
    };
}

suite! {
    blobs_come_back
    the_unknown_is_missing
    files_are_kept_and_stay
    only_regular_files_are_kept
    trees_are_kept_level_by_level
    copies_have_their_mode_and_are_copies
    what_is_damaged_is_never_served_and_can_be_healed
    scratch_folders_are_new_and_empty
    claims_are_found_newest_first
    an_equal_claim_takes_the_place_of_the_older
    forgotten_claims_are_gone
    what_is_held_is_held_until_released
    trees_are_put_in_place_exactly
    files_are_put_in_place_of_anything
    what_cannot_be_whole_changes_nothing
    names_that_lead_outside_are_refused
    symlinks_on_the_way_are_not_followed
}
