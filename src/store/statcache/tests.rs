//! Tests of the stat cache: what is trusted, what is written, what damage does. Leaves out speed.

use super::*;
use crate::base::{Clock, SystemClock};

fn later() -> Timestamp {
    Timestamp(SystemClock::new().now().0 + 10_000_000_000)
}

fn fixture() -> (tempfile::TempDir, PathBuf, FileStat) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f");
    std::fs::write(&file, "hello").unwrap();
    let meta = FileStat::of(&std::fs::symlink_metadata(&file).unwrap());
    (dir, file, meta)
}

#[test]
fn a_record_survives() {
    let (_dir, file, meta) = fixture();
    let record = Record { stat: meta, digest: Digest::of_blob(b"hello"), unused: 3 };
    let bytes = encode(&[(file.as_os_str().as_bytes(), record.clone())].into());
    assert_eq!(bytes.len(), HEAD + RECORD + file.as_os_str().len());
    let base = Base::parse(bytes).unwrap();
    let read = base.record(0).unwrap();
    assert_eq!((read.stat, read.digest, read.unused), (record.stat, record.digest, 3));
    assert_eq!(base.name(0), Some(file.as_os_str().as_bytes()));
}

#[test]
fn a_file_is_known_until_it_changes_and_after_a_reload() {
    let (dir, file, meta) = fixture();
    let cache = StatCache::load(&dir.path().join("stat"));
    let digest = Digest::of_blob(b"hello");
    assert_eq!(cache.lookup(&file, &meta), None);
    cache.insert(&file, &meta, later(), digest);
    assert_eq!(cache.lookup(&file, &meta), Some((digest, 5)));
    assert_eq!(cache.lookup(Path::new("other"), &meta), None);
    cache.save().unwrap();
    let again = StatCache::load(&dir.path().join("stat"));
    assert_eq!(again.len(), 1);
    assert_eq!(again.lookup(&file, &meta), Some((digest, 5)));
    std::fs::write(&file, "HELLO").unwrap();
    let changed = FileStat::of(&std::fs::symlink_metadata(&file).unwrap());
    assert_eq!(again.lookup(&file, &changed), None);
}

#[test]
fn what_was_written_just_now_is_not_trusted() {
    let (dir, file, meta) = fixture();
    let cache = StatCache::load(&dir.path().join("stat"));
    let youngest = meta.mtime_ns.max(meta.ctime_ns);
    let digest = Digest::of_blob(b"hello");
    cache.insert(&file, &meta, Timestamp(youngest + GRANULARITY_NS - 1), digest);
    assert_eq!(cache.lookup(&file, &meta), None);
    cache.insert(&file, &meta, Timestamp(youngest + COARSE_NS), digest);
    assert_eq!(cache.lookup(&file, &meta), Some((digest, 5)));
    // Hashed again too early: what was known before is no longer.
    cache.insert(&file, &meta, Timestamp(youngest), digest);
    assert_eq!(cache.lookup(&file, &meta), None);
    assert!(cache.is_empty());
}

#[test]
fn whole_seconds_need_two_seconds() {
    let second = 5_000_000_000;
    let stat = FileStat { dev: 1, ino: 1, size: 1, mtime_ns: second, ctime_ns: second, mode: 0 };
    assert!(!stat.is_settled(Timestamp(5_000_000_000 + COARSE_NS - 1)));
    assert!(stat.is_settled(Timestamp(5_000_000_000 + COARSE_NS)));
}

#[test]
fn any_damage_is_an_empty_cache() {
    let (dir, file, meta) = fixture();
    let at = dir.path().join("stat");
    let cache = StatCache::load(&at);
    cache.insert(&file, &meta, later(), Digest::of_blob(b"hello"));
    cache.save().unwrap();
    let good = std::fs::read(&at).unwrap();
    for place in 0..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 4;
        assert!(Base::parse(bad).is_none(), "byte {place}");
    }
    for cut in 0..good.len() {
        assert!(Base::parse(good[..cut].to_vec()).is_none(), "cut at {cut}");
    }
    std::fs::write(&at, "nonsense").unwrap();
    assert!(StatCache::load(&at).is_empty());
}

#[test]
fn nothing_is_written_when_nothing_changed_and_the_unused_leave_in_the_end() {
    let (dir, file, meta) = fixture();
    let at = dir.path().join("stat");
    StatCache::load(&at).save().unwrap();
    assert!(!at.exists());
    let cache = StatCache::load(&at);
    cache.insert(Path::new("gone"), &meta, later(), Digest::of_blob(b"hello"));
    cache.insert(&file, &meta, later(), Digest::of_blob(b"hello"));
    cache.save().unwrap();
    for round in 0..SAVES_UNUSED {
        let cache = StatCache::load(&at);
        assert_eq!(cache.len(), 2, "round {round}");
        assert!(cache.lookup(&file, &meta).is_some());
        cache.insert(&file, &meta, later(), Digest::of_blob(b"hello"));
        cache.save().unwrap();
    }
    assert_eq!(StatCache::load(&at).len(), 1);
}

#[test]
fn many_records_are_found() {
    let (dir, _, meta) = fixture();
    let at = dir.path().join("stat");
    let cache = StatCache::load(&at);
    let name = |n: u32| PathBuf::from(format!("src/{}/{n}.kdl", n % 97));
    for n in 0..5_000 {
        cache.insert(name(n), &meta, later(), Digest::of_blob(&n.to_le_bytes()));
    }
    cache.save().unwrap();
    let again = StatCache::load(&at);
    assert_eq!(again.len(), 5_000);
    for n in 0..5_000 {
        assert_eq!(again.lookup(name(n), &meta), Some((Digest::of_blob(&n.to_le_bytes()), 5)));
    }
    assert_eq!(again.lookup(Path::new("src/zzz"), &meta), None);
}
