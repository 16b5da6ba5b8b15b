//! Damage, foreign directories, newer versions, failing and full disks: never a wrong byte, always a
//! clear word, and the next good run works.

use std::path::{Path, PathBuf};

use partita::base::{Digest, Entry, ErrorKind};
use partita::event::Event;
use partita::store::{Cas, Claims, Durability, Error, Found, LocalStore};

use super::{Bench, claim, file, flip, folder, key, names, replace, whole};

#[test]
fn damage_to_any_object_is_found_and_healed() {
    let bench = Bench::new();
    let store = bench.open();
    let big = vec![1; (1 << 20) + 5];
    let fill = |store: &LocalStore| {
        let bin = folder(store, &[("tool", file(store, b"tool")), ("link", Entry::Symlink { target: "tool".into() })]);
        let root = folder(store, &[("a", file(store, b"text")), ("bin", bin), ("big", file(store, &big))]);
        store.record(claim(store, 1, root)).unwrap();
        store.flush().unwrap();
    };
    fill(&store);
    let objects: Vec<(Digest, PathBuf)> = walkdir::WalkDir::new(bench.at().join("cas"))
        .sort_by_file_name()
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| (entry.file_name().to_str().unwrap().parse().unwrap(), entry.into_path()))
        .collect();
    assert_eq!(objects.len(), 6);
    type Harm = (&'static str, fn(&Path));
    let harms: [Harm; 4] = [
        ("flipped", |path| if std::fs::read(path).unwrap().is_empty() { replace(path, b"x") } else { flip(path) }),
        ("longer", |path| replace(path, &[&std::fs::read(path).unwrap()[..], b"x"].concat())),
        ("a folder", |path| {
            std::fs::remove_file(path).unwrap();
            std::fs::create_dir(path).unwrap();
        }),
        ("a symlink to the right bytes", |path| {
            let elsewhere = path.with_extension("elsewhere");
            std::fs::rename(path, &elsewhere).unwrap();
            std::os::unix::fs::symlink(&elsewhere, path).unwrap();
        }),
    ];
    for (what, harm) in harms {
        for (digest, path) in &objects {
            harm(path);
            assert_eq!(store.get(*digest).unwrap(), Found::Corrupt, "{what} {digest}");
            assert_eq!(bench.told(), [Event::BlobQuarantined { digest: digest.hex() }]);
            assert!(!path.exists());
            fill(&store);
            assert!(matches!(store.get(*digest).unwrap(), Found::Whole(_)), "{what} {digest} healed");
        }
    }
    let report = store.verify().unwrap();
    assert_eq!(report.corrupt, []);
    assert_eq!(report.strays.len(), objects.len(), "where the symlinks led: {:?}", report.strays);
    bench.told();
    assert!(store.verify().unwrap().is_sound());
}

#[test]
fn an_empty_object_counts_as_absent() {
    let bench = Bench::new();
    let store = bench.open();
    let digest = store.put_bytes(b"bytes").unwrap();
    store.flush().unwrap();
    replace(&bench.object(digest), b"");
    assert!(!store.contains(digest), "what a power cut leaves");
    store.put_bytes(b"bytes").unwrap();
    store.flush().unwrap();
    assert_eq!(whole(store.get(digest).unwrap()), b"bytes");
    let nothing = store.put_bytes(b"").unwrap();
    store.flush().unwrap();
    assert!(store.contains(nothing));
}

#[test]
fn a_shorter_object_is_written_again() {
    let bench = Bench::new();
    let store = bench.open();
    let digest = store.put_bytes(b"bytes").unwrap();
    store.flush().unwrap();
    replace(&bench.object(digest), b"byt");
    store.put_bytes(b"bytes").unwrap();
    assert_eq!(whole(store.get(digest).unwrap()), b"bytes", "while it waits");
    store.flush().unwrap();
    assert_eq!(whole(store.get(digest).unwrap()), b"bytes");
    assert_eq!(bench.told(), []);
}

#[test]
fn a_big_object_that_was_used_before_is_checked_again_when_written_into() {
    let bench = Bench::new();
    let store = bench.open();
    let digest = store.put_bytes(&vec![1; 2 << 20]).unwrap();
    store.flush().unwrap();
    whole(store.copy_to(digest, &bench.dir.path().join("1"), false).unwrap());
    whole(store.copy_to(digest, &bench.dir.path().join("2"), false).unwrap());
    flip(&bench.object(digest));
    assert_eq!(store.copy_to(digest, &bench.dir.path().join("3"), false).unwrap(), Found::Corrupt);
    assert!(!bench.dir.path().join("3").exists());
}

#[test]
fn a_directory_that_is_not_a_store_is_left_alone() {
    let bench = Bench::new();
    std::fs::create_dir(bench.at()).unwrap();
    std::fs::write(bench.at().join("thesis.txt"), "years").unwrap();
    let error = bench.try_open().err().unwrap();
    assert!(matches!(error, Error::NotAStore { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::StoreFormat);
    assert_eq!(names(&bench.at()), ["thesis.txt"]);
    std::fs::remove_file(bench.at().join("thesis.txt")).unwrap();
    // What a repository keeps in the folder for its store.
    std::fs::write(bench.at().join("README.md"), "").unwrap();
    std::fs::write(bench.at().join(".gitignore"), "*").unwrap();
    bench.open();
}

#[test]
fn a_start_that_was_cut_short_is_finished_by_the_next() {
    let bench = Bench::new();
    std::fs::create_dir(bench.at()).unwrap();
    std::fs::create_dir(bench.at().join("cas")).unwrap();
    std::fs::write(bench.at().join("CACHEDIR.TAG"), "").unwrap();
    std::fs::write(bench.at().join("format"), "").unwrap();
    let store = bench.open();
    store.put_bytes(b"x").unwrap();
    store.close().unwrap();
    assert_eq!(std::fs::read_to_string(bench.at().join("format")).unwrap(), "1\n");
}

#[test]
fn a_newer_store_is_refused() {
    let bench = Bench::new();
    bench.open().close().unwrap();
    for found in ["2", "three"] {
        std::fs::write(bench.at().join("format"), found).unwrap();
        let error = bench.try_open().err().unwrap();
        assert!(matches!(&error, Error::Newer { found: text, known: 1, .. } if text == found), "{error}");
        assert_eq!(error.kind(), ErrorKind::StoreFormat);
    }
    std::fs::write(bench.at().join("format"), "1\n").unwrap();
    bench.open().close().unwrap();
    let index = rusqlite::Connection::open(bench.at().join("index.sqlite")).unwrap();
    index.pragma_update(None, "user_version", 7).unwrap();
    drop(index);
    let error = bench.try_open().err().unwrap();
    assert!(matches!(error, Error::Newer { .. }) && error.to_string().contains("schema 7"), "{error}");
}

#[test]
fn what_cannot_be_a_directory_is_an_error_that_names_it() {
    let bench = Bench::new();
    std::fs::write(bench.at(), "a file").unwrap();
    let error = bench.try_open().err().unwrap();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert!(error.to_string().contains(&bench.at().display().to_string()), "{error}");
    std::fs::remove_file(bench.at()).unwrap();
    std::fs::create_dir(bench.at()).unwrap();
    std::fs::write(bench.at().join("tmp"), "a file in the way").unwrap();
    let error = bench.try_open().err().unwrap();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    std::fs::remove_file(bench.at().join("tmp")).unwrap();
    bench.open().close().unwrap();
}

#[test]
fn who_brings_the_bytes_mends_what_is_damaged() {
    for size in [5, (1 << 20) + 5] {
        let bench = Bench::new();
        let (bytes, source) = (vec![1; size], bench.at().with_extension("source"));
        std::fs::write(&source, &bytes).unwrap();
        let store = bench.open();
        let (digest, _) = store.put_file(&source).unwrap();
        store.close().unwrap();
        flip(&bench.object(digest));
        let store = bench.open();
        assert_eq!(store.put_file(&source).unwrap().0, digest);
        assert_eq!(bench.told(), [Event::BlobQuarantined { digest: digest.hex() }], "{size}");
        assert_eq!(store.get(digest).unwrap(), Found::Whole(bytes), "{size}");
        store.close().unwrap();
        assert!(bench.open().verify().unwrap().is_sound());
    }
}

#[test]
fn a_damaged_index_costs_time_and_nothing_else() {
    let bench = Bench::new();
    let store = bench.open();
    store.record(claim(&store, 1, file(&store, b"x"))).unwrap();
    store.close().unwrap();
    std::fs::write(bench.at().join("index.sqlite"), vec![0x5a; 9000]).unwrap();
    let store = bench.open();
    assert!(matches!(&bench.told()[..], [Event::Notice { text }] if text.contains("quarantine")));
    assert_eq!(store.lookup(key(1)).unwrap(), []);
    store.record(claim(&store, 1, file(&store, b"x"))).unwrap();
    store.close().unwrap();
    assert_eq!(bench.open().lookup(key(1)).unwrap().len(), 1);
    assert_eq!(bench.told(), []);
}

#[test]
fn no_damaged_row_is_ever_served() {
    let bench = Bench::new();
    let store = bench.open();
    let good = claim(&store, 1, file(&store, b"x"));
    store.record(good.clone()).unwrap();
    store.close().unwrap();
    let index = bench.at().join("index.sqlite");
    let sound = std::fs::read(&index).unwrap();
    let (mut lost, mut served) = (0, 0);
    for at in (0..sound.len()).step_by(37) {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x21;
        std::fs::write(&index, bytes).unwrap();
        // Refusing is fine where the header is hit; serving something else never is.
        if let Ok(store) = bench.try_open() {
            match store.lookup(key(1)) {
                Ok(claims) if claims.is_empty() => lost += 1,
                Ok(claims) => {
                    assert_eq!(claims, std::slice::from_ref(&good), "byte {at}");
                    served += 1;
                }
                Err(error) => assert!(matches!(error, Error::Index { .. }), "{error}"),
            }
        }
        for name in names(&bench.at()) {
            if name.starts_with("index") {
                std::fs::remove_file(bench.at().join(name)).unwrap();
            }
        }
    }
    assert!(lost > 0 && served > 0, "{lost} {served}");
}

#[test]
fn a_write_that_fails_poisons_the_store_and_no_row_follows() {
    let bench = Bench::new();
    let store = bench.open();
    let before = store.put_bytes(b"before").unwrap();
    store.flush().unwrap();
    // Final names can no longer be given.
    std::fs::rename(bench.at().join("cas"), bench.at().join("gone")).unwrap();
    std::fs::remove_dir_all(bench.at().join("gone")).unwrap();
    let lost = store.put_bytes(b"after").unwrap();
    let claim = claim(&store, 1, file(&store, b"after"));
    store.record(claim.clone()).unwrap();
    let error = store.flush().unwrap_err();
    assert!(matches!(error, Error::Poisoned(_)), "{error}");
    assert_eq!(error.kind(), ErrorKind::Engine);
    assert!(matches!(store.put_bytes(b"later"), Err(Error::Poisoned(_))));
    assert!(matches!(store.record(claim), Err(Error::Poisoned(_))));
    assert!(matches!(store.flush(), Err(Error::Poisoned(_))));
    assert!(!store.contains(lost));
    assert_eq!(store.lookup(key(1)).unwrap(), []);
    drop(store);
    let store = bench.open();
    assert_eq!(store.lookup(key(1)).unwrap(), [], "no row without its bytes");
    assert!(!store.contains(before));
    store.put_bytes(b"after").unwrap();
    store.flush().unwrap();
    assert_eq!(whole(store.get(lost).unwrap()), b"after");
}

/// A small file system of its own; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where mounting is not permitted.
    fn mount(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let disk = Self(at.to_owned());
        mount(&["mount", "-t", "tmpfs", "-o", size, "tmpfs"], at).then_some(disk)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        mount(&["umount", "-l"], &self.0);
    }
}

#[expect(clippy::disallowed_methods, reason = "mounting needs a process, and no action is meant")]
fn mount(command: &[&str], at: &Path) -> bool {
    let run = std::process::Command::new(command[0]).args(&command[1..]).arg(at).output();
    run.is_ok_and(|output| output.status.success())
}

#[test]
fn a_full_disk_is_said_and_harms_nothing() {
    let bench = Bench::new();
    for (size, durability) in [
        ("size=300k", Durability::Batch),
        ("size=600k", Durability::Batch),
        ("size=600k", Durability::None),
        ("size=8m,nr_inodes=60", Durability::Batch),
        ("size=16k", Durability::Batch),
    ] {
        let Some(disk) = SmallDisk::mount(&bench.at(), size) else {
            println!("skipped: mounting a file system is not permitted here");
            return;
        };
        let open = || LocalStore::open(&bench.at(), bench.options(durability));
        // Until it is full, whichever step finds out first.
        let filled = open().and_then(|store| {
            for number in 0..200_u32 {
                let bytes = [&number.to_le_bytes()[..], &[7; 8000]].concat();
                let digest = store.put_bytes(&bytes)?;
                let mut claim = claim(&store, 1, Entry::File { digest, size: 8004, exec: false });
                claim.created = i64::from(number);
                store.record(claim)?;
                store.flush()?;
            }
            Ok(())
        });
        let error = filled.expect_err("the disk is full");
        assert_eq!(error.kind(), ErrorKind::Engine, "{size}: {error}");
        // What is there is right, and every claim is whole.
        assert!(mount(&["mount", "-o", "remount,size=32m,nr_inodes=10000"], &bench.at()), "more room");
        let store = open().unwrap();
        let report = store.verify().unwrap();
        assert!(report.is_sound(), "{size}: {report:?}");
        let known = store.lookup(key(1)).unwrap();
        for claim in &known {
            let Entry::File { digest, .. } = claim.outputs[0].entry else { unreachable!() };
            assert_eq!(whole(store.get(digest).unwrap()).len(), 8004);
        }
        store.put_bytes(&vec![9; 100_000]).unwrap();
        store.close().unwrap();
        drop(disk);
    }
}

#[test]
fn garbage_can_be_collected_on_a_full_disk() {
    let bench = Bench::new();
    let Some(_disk) = SmallDisk::mount(&bench.at(), "size=1m") else {
        println!("skipped: mounting a file system is not permitted here");
        return;
    };
    let store = bench.open();
    for number in 0..20 {
        let mut claim = claim(&store, number, file(&store, &[number; 9000]));
        claim.manifest = "m".repeat(3000);
        store.record(claim).unwrap();
    }
    store.close().unwrap();
    let filler = bench.at().join("filler");
    let mut size = 1 << 20;
    while size > 0 && std::fs::write(&filler, vec![1; size]).is_err() {
        size -= 4096;
    }
    let store = bench.open();
    let options = partita::store::GcOptions { max_bytes: Some(0), ..Default::default() };
    let report = store.gc(&options).unwrap();
    assert_eq!((report.claims, report.objects), (20, 21));
    assert_eq!(store.stat().unwrap().claims, 0);
    assert!(bench.at().join("ballast").exists(), "room is set aside again");
}
