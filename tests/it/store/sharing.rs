//! Many stores on one directory, and what one leaves for the next.

use partita::base::Digest;
use partita::store::{Cas, Claims, Durability, Found, LocalStore};

use super::{Bench, claim, file, folder, key, names, whole};

#[test]
fn a_new_store_has_its_parts_and_can_be_opened_again() {
    let bench = Bench::new();
    let store = bench.open();
    let digest = store.put_bytes(b"x").unwrap();
    store.record(claim(&store, 1, file(&store, b"x"))).unwrap();
    store.close().unwrap();
    for part in ["CACHEDIR.TAG", "format", "cas", "tmp", "quarantine", "index.sqlite"] {
        assert!(bench.at().join(part).exists(), "{part}");
    }
    let tag = std::fs::read_to_string(bench.at().join("CACHEDIR.TAG")).unwrap();
    assert!(tag.starts_with("Signature: 8a477f597d28d172789f06886806bc55"));
    assert!(names(&bench.at().join("tmp")).is_empty(), "nothing unfinished stays");

    let store = bench.open();
    assert_eq!(whole(store.get(digest).unwrap()), b"x");
    assert_eq!(store.lookup(key(1)).unwrap().len(), 1);
    assert_eq!(bench.told(), []);
}

#[test]
fn dropping_a_store_commits_what_waits() {
    let bench = Bench::new();
    let store = bench.open();
    let digest = store.put_bytes(b"waits").unwrap();
    store.record(claim(&store, 1, file(&store, b"waits"))).unwrap();
    drop(store);
    assert_eq!(std::fs::read(bench.object(digest)).unwrap(), b"waits");
    assert_eq!(bench.open().lookup(key(1)).unwrap().len(), 1);
}

#[test]
fn many_stores_on_one_directory_agree() {
    let bench = Bench::new();
    let blob = |worker: u8, number: u16| [&[worker][..], &number.to_le_bytes(), &[worker; 200]].concat();
    std::thread::scope(|scope| {
        for worker in 0..4_u8 {
            let bench = &bench;
            scope.spawn(move || {
                // Opened at once by all, while there is nothing yet.
                let store = bench.open();
                for number in 0..150 {
                    // Half of them are put by everyone.
                    let owner = if number % 2 == 0 { 9 } else { worker };
                    let output = file(&store, &blob(owner, number));
                    let output = folder(&store, &[("f", output)]);
                    let mut claim = claim(&store, worker, output);
                    claim.created = i64::from(number);
                    store.record(claim).unwrap();
                    assert!(store.contains(Digest::of_blob(&blob(owner, number))));
                }
                store.flush().unwrap();
            });
        }
    });
    let store = bench.open();
    for worker in 0..4 {
        let claims = store.lookup(key(worker)).unwrap();
        assert_eq!(claims.len(), 150);
        assert!(claims.is_sorted_by_key(|claim| -claim.created));
    }
    let report = store.verify().unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.claims, 600);
    // Four workers' own, the shared half, each with its folder, and the empty log.
    assert_eq!(report.objects, 2 * (4 * 75 + 75) + 1);
    assert_eq!(bench.told(), []);
}

#[test]
fn what_one_store_commits_another_sees() {
    let bench = Bench::new();
    let (one, two) = (bench.open(), bench.open());
    let digest = one.put_bytes(b"from one").unwrap();
    one.record(claim(&one, 1, file(&one, b"from one"))).unwrap();
    assert_eq!(two.get(digest).unwrap(), Found::Missing, "not yet");
    assert_eq!(two.lookup(key(1)).unwrap(), []);
    one.flush().unwrap();
    assert_eq!(whole(two.get(digest).unwrap()), b"from one");
    assert_eq!(two.lookup(key(1)).unwrap(), one.lookup(key(1)).unwrap());
    two.forget(key(1)).unwrap();
    two.flush().unwrap();
    assert_eq!(one.lookup(key(1)).unwrap(), []);
}

#[test]
fn claims_are_not_seen_before_the_blobs_they_name() {
    let bench = Bench::new();
    let (writer, reader) = (bench.open(), bench.open());
    std::thread::scope(|scope| {
        let done = scope.spawn(|| {
            for number in 0..500_u32 {
                let mut claim = claim(&writer, 1, file(&writer, &number.to_le_bytes()));
                claim.created = i64::from(number);
                writer.record(claim).unwrap();
            }
            writer.flush().unwrap();
        });
        while !done.is_finished() {
            let claims = reader.lookup(key(1)).unwrap();
            for claim in claims {
                let partita::base::Entry::File { digest, .. } = &claim.outputs[0].entry else { unreachable!() };
                assert!(reader.contains(*digest), "a row before its bytes");
            }
        }
    });
    assert_eq!(reader.lookup(key(1)).unwrap().len(), 500);
}

#[test]
fn a_reader_meets_every_stage_of_a_blob() {
    let bench = Bench::new();
    let store = bench.open();
    std::thread::scope(|scope| {
        let (send, receive) = std::sync::mpsc::channel::<Digest>();
        let store = &store;
        let bench = &bench;
        scope.spawn(move || {
            for (number, digest) in receive.into_iter().enumerate() {
                assert!(store.contains(digest));
                assert_eq!(store.size(digest), Some(4));
                assert_eq!(Digest::of_blob(&whole(store.get(digest).unwrap())), digest);
                let to = bench.dir.path().join(format!("copy{number}"));
                whole(store.copy_to(digest, &to, false).unwrap());
                assert_eq!(Digest::of_blob(&std::fs::read(to).unwrap()), digest);
            }
        });
        for number in 0..400_u32 {
            send.send(store.put_bytes(&number.to_le_bytes()).unwrap()).unwrap();
        }
    });
}

#[test]
fn without_durability_everything_else_holds() {
    let bench = Bench::new();
    let store = LocalStore::open(&bench.at(), bench.options(Durability::None)).unwrap();
    store.record(claim(&store, 1, file(&store, b"x"))).unwrap();
    store.close().unwrap();
    let store = bench.open();
    assert!(store.verify().unwrap().is_sound());
    assert_eq!(store.lookup(key(1)).unwrap().len(), 1);
}
