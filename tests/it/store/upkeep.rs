//! Counting, checking and collecting.

use std::time::Duration;

use partita::base::{Digest, Entry};
use partita::store::{Cas, Claims, Error, Found, GcOptions, Holder, LocalStore};

use super::{Bench, claim, file, flip, folder, key, names, replace};

const DAY: Duration = Duration::from_hours(24);

fn digest_of(entry: &Entry) -> Digest {
    match entry {
        Entry::File { digest, .. } | Entry::Dir { digest } => *digest,
        Entry::Symlink { .. } => panic!("a symlink has no digest"),
    }
}

/// Three claims, used a day apart; the first two share a file.
fn three(bench: &Bench) -> (LocalStore, Vec<Entry>) {
    let store = bench.open();
    let shared = file(&store, &[b's'; 100]);
    let mut outputs = Vec::new();
    for number in 1..=3_u8 {
        let own = file(&store, &[number; 1000]);
        let both = [("own", own), ("shared", shared.clone())];
        let output = folder(&store, if number < 3 { &both } else { &both[..1] });
        store.record(claim(&store, number, output.clone())).unwrap();
        store.flush().unwrap();
        outputs.push(output);
        bench.clock.advance(DAY);
    }
    (store, outputs)
}

#[test]
fn counts_what_is_there() {
    let bench = Bench::new();
    let (store, _) = three(&bench);
    let stat = store.stat().unwrap();
    // Three files, three folders, the shared file, the log.
    assert_eq!((stat.objects, stat.claims, stat.quarantined), (8, 3, 0));
    let trees: u64 =
        [2, 2, 1].iter().map(|entries| entries * (8 + 1 + 8 + 32) + 3 + if *entries == 2 { 6 } else { 0 }).sum();
    assert_eq!(stat.bytes, 3 * 1000 + 100 + trees);
    flip(&bench.object(Digest::of_blob(&[1; 1000])));
    store.get(Digest::of_blob(&[1; 1000])).unwrap();
    let stat = store.stat().unwrap();
    assert_eq!((stat.objects, stat.quarantined, stat.quarantined_bytes), (7, 1, 1000));
}

#[test]
fn a_check_finds_everything_and_leaves_nothing_to_find() {
    let bench = Bench::new();
    let (store, outputs) = three(&bench);
    assert!(store.verify().unwrap().is_sound());
    let damaged = Digest::of_blob(&[1; 1000]);
    flip(&bench.object(damaged));
    let lost = digest_of(&outputs[1]);
    std::fs::remove_file(bench.object(lost)).unwrap();
    std::fs::write(bench.at().join("cas/stray"), "x").unwrap();
    std::fs::write(bench.at().join("cas").join(&lost.hex()[..2]).join("zz"), "x").unwrap();
    let report = store.verify().unwrap();
    assert_eq!(report.corrupt, [damaged]);
    assert_eq!(report.strays.len(), 2, "{:?}", report.strays);
    let mut missing = vec![damaged, lost];
    missing.sort();
    assert_eq!(report.missing, missing);
    assert_eq!((report.claims, report.claims_dropped, report.objects), (3, 2, 6));
    assert!(!report.is_sound());
    let again = store.verify().unwrap();
    assert!(again.is_sound(), "{again:?}");
    assert_eq!(again.claims, 1);
    assert_eq!(store.lookup(key(3)).unwrap().len(), 1);
}

#[test]
fn garbage_is_what_nothing_names() {
    let bench = Bench::new();
    let (store, outputs) = three(&bench);
    let loose = store.put_bytes(b"loose").unwrap();
    let root = digest_of(&folder(&store, &[("deep", folder(&store, &[("f", file(&store, b"rooted"))]))]));
    std::fs::write(bench.at().join("tmp/left"), "x").unwrap();
    let options = GcOptions { roots: vec![root], dry_run: true, ..GcOptions::default() };
    let before = store.stat().unwrap();
    let dry = store.gc(&options).unwrap();
    assert_eq!(store.stat().unwrap(), before, "a rehearsal changes nothing");
    assert_eq!((dry.claims, dry.objects, dry.bytes, dry.kept_claims), (0, 1, 5, 3));
    let report = store.gc(&GcOptions { dry_run: false, ..options }).unwrap();
    assert_eq!((report.claims, report.objects, report.bytes), (0, 1, 5));
    assert_eq!((report.kept_objects, report.kept_bytes), (before.objects - 1, before.bytes - 5));
    assert_eq!(report.leftovers, 1);
    assert_eq!(store.get(loose).unwrap(), Found::Missing);
    assert!(store.contains(root) && store.contains(Digest::of_blob(b"rooted")));
    assert!(outputs.iter().all(|output| store.contains(digest_of(output))));
    assert!(store.verify().unwrap().is_sound());
    // The store goes on as before.
    store.put_bytes(b"loose").unwrap();
    store.flush().unwrap();
    assert!(store.contains(loose));
}

#[test]
fn old_claims_are_dropped_with_what_only_they_name() {
    let bench = Bench::new();
    let (store, outputs) = three(&bench);
    let options = GcOptions { max_age: Some(DAY * 2 + DAY / 2), ..GcOptions::default() };
    let report = store.gc(&options).unwrap();
    assert_eq!((report.claims, report.objects, report.kept_claims), (1, 2, 2));
    assert_eq!(store.lookup(key(1)).unwrap(), []);
    assert!(!store.contains(digest_of(&outputs[0])));
    assert!(store.contains(Digest::of_blob(&[b's'; 100])), "the second claim names it too");
    // Being served makes a claim young.
    assert_eq!(store.lookup(key(2)).unwrap().len(), 1);
    let report = store.gc(&GcOptions { max_age: Some(DAY / 2), ..GcOptions::default() }).unwrap();
    assert_eq!((report.claims, report.kept_claims), (1, 1));
    assert_eq!(store.lookup(key(2)).unwrap().len(), 1);
    assert!(store.verify().unwrap().is_sound());
}

#[test]
fn the_least_used_claims_make_room() {
    let bench = Bench::new();
    let (store, outputs) = three(&bench);
    let small = digest_of(&file(&store, b"root"));
    // Room for one folder with its file, not for two.
    let options = GcOptions { max_bytes: Some(1500), roots: vec![small], ..GcOptions::default() };
    let report = store.gc(&options).unwrap();
    assert_eq!((report.claims, report.kept_claims), (2, 1));
    assert!(report.kept_bytes <= 1500, "{report:?}");
    assert!(store.contains(digest_of(&outputs[2])) && store.contains(small));
    assert!(!store.contains(digest_of(&outputs[1])));
    let report = store.gc(&GcOptions { max_bytes: Some(0), ..GcOptions::default() }).unwrap();
    assert_eq!((report.kept_claims, report.kept_objects, report.kept_bytes), (0, 0, 0));
    assert_eq!(store.stat().unwrap().objects, 0);
}

#[test]
fn what_another_open_store_relies_on_stays() {
    let bench = Bench::new();
    let (store, outputs) = three(&bench);
    let garbage = store.put_bytes(b"nobody's").unwrap();
    store.flush().unwrap();
    let other = bench.open();
    // It put one, found one that was garbage, and was given a result that is too old to stay.
    let loose = other.put_bytes(b"not claimed yet").unwrap();
    let found = store.put_bytes(b"found").unwrap();
    store.flush().unwrap();
    assert_eq!(other.put_bytes(b"found").unwrap(), found);
    assert_eq!(other.lookup(key(1)).unwrap().len(), 1);
    other.flush().unwrap();
    let report = store.gc(&GcOptions { max_bytes: Some(0), ..GcOptions::default() }).unwrap();
    assert_eq!((report.claims, report.kept_claims), (2, 1), "with the row, for others who ask");
    assert!(other.contains(loose) && other.contains(found) && !other.contains(garbage));
    assert!(matches!(other.get_tree(digest_of(&outputs[0])).unwrap(), Found::Whole(_)));
    assert!(other.contains(Digest::of_blob(&[b's'; 100])), "what lies in its folder stays with it");
    assert!(!store.contains(digest_of(&outputs[1])));
    // It says so.
    assert_eq!(store.why(loose).unwrap(), [Holder::Lease]);
    drop(other);
    assert_eq!(store.why(loose).unwrap(), []);
    store.gc(&GcOptions::default()).unwrap();
    assert!(!store.contains(loose) && !store.contains(found));
    assert!(store.verify().unwrap().is_sound());
}

#[test]
fn a_collection_that_was_killed_loses_nothing() {
    let bench = Bench::new();
    let (store, outputs) = three(&bench);
    let moved = digest_of(&outputs[1]);
    std::fs::create_dir(bench.at().join("trash")).unwrap();
    let aside = bench.at().join("trash").join(moved.hex());
    std::fs::rename(bench.object(moved), &aside).unwrap();
    assert!(matches!(store.get_tree(moved).unwrap(), Found::Whole(_)), "whoever needs it takes it back");
    assert!(!aside.exists());
    std::fs::rename(bench.object(moved), &aside).unwrap();
    let report = store.gc(&GcOptions::default()).unwrap();
    assert_eq!((report.claims, report.kept_claims, report.objects), (0, 3, 0));
    assert!(store.contains(moved) && !bench.at().join("trash").exists());
    // Two at once: the second does not wait.
    let other = bench.open();
    let lock = std::fs::File::open(bench.at().join("cas")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert!(matches!(other.gc(&GcOptions::default()), Err(Error::Busy { .. })));
}

#[test]
fn why_names_results_and_the_path_in_them() {
    let bench = Bench::new();
    let (store, outputs) = three(&bench);
    let shared = Digest::of_blob(&[b's'; 100]);
    let holders = store.why(shared).unwrap();
    assert_eq!(holders.len(), 2, "{holders:?}");
    assert!(holders.iter().all(|holder| matches!(holder, Holder::Claim { place, .. } if place.contains('/'))));
    let top = store.why(digest_of(&outputs[2])).unwrap();
    assert!(matches!(top.as_slice(), [Holder::Claim { place, .. }] if !place.contains('/')), "{top:?}");
    assert_eq!(store.find(&shared.hex()[..12]).unwrap(), Some(shared));
    assert_eq!(store.find(&format!("b3:{shared}")).unwrap(), Some(shared));
    assert_eq!(store.find(&shared.hex()[..7]).unwrap(), None);
    assert_eq!(store.why(Digest::of_blob(b"unknown")).unwrap(), []);
}

#[test]
fn claims_that_lost_a_blob_are_garbage() {
    let bench = Bench::new();
    let (store, outputs) = three(&bench);
    replace(&bench.object(digest_of(&outputs[0])), b"not a tree");
    let report = store.gc(&GcOptions::default()).unwrap();
    assert_eq!((report.claims, report.kept_claims), (1, 2));
    let aside = names(&bench.at().join("quarantine"));
    assert_eq!(aside.iter().filter(|name| !name.contains("-result-")).count(), 1);
    // Who makes the result again is told why.
    assert_eq!(aside.iter().filter(|name| name.contains("-result-")).count(), 1);
    bench.clock.advance(DAY);
    let report = store.gc(&GcOptions { max_age: Some(DAY / 2), ..GcOptions::default() }).unwrap();
    assert_eq!(report.leftovers, 2, "quarantine does not grow for ever");
    assert!(names(&bench.at().join("quarantine")).is_empty());
}

#[test]
fn a_row_that_is_read_beside_a_collection_has_its_bytes() {
    let bench = Bench::new();
    let collector = bench.open();
    let over = std::sync::atomic::AtomicBool::new(false);
    let (mut served, mut gone) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let options = GcOptions { max_bytes: Some(0), ..GcOptions::default() };
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                collector.gc(&options).unwrap();
            }
        });
        for round in 0..120_u8 {
            let writer = bench.open();
            let output = folder(&writer, &[("f", file(&writer, &[round; 100]))]);
            writer.record(claim(&writer, round, output)).unwrap();
            writer.close().unwrap();
            // Nobody relies on it any more, and it may go at any moment.
            let reader = bench.open();
            for claim in reader.lookup(key(round)).unwrap() {
                let tree = digest_of(&claim.outputs[0].entry);
                let whole = matches!(reader.get_tree(tree), Ok(Found::Whole(_)));
                if whole && reader.contains(Digest::of_blob(&[round; 100])) && reader.contains(claim.logs[0]) {
                    served += 1;
                } else {
                    gone += 1;
                }
            }
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    println!("{served} results of 120 were served beside a collection in a loop, {gone} of them without their bytes");
    assert_eq!(gone, 0);
    assert!(collector.verify().unwrap().is_sound());
}
