//! A store that lost or garbled blobs: noticed, healed in the same run, and never served.

use partita::base::ErrorKind;
use partita::event::{Event, Outcome, Reason};
use partita::plan::{ActionKind, Class};

use super::support::{Builder, Draft, World, counts, file_digest, outcome, path, plan, reason};

fn chain() -> Builder {
    plan([
        Draft::sh("g/a", "cat a.txt > o").input("a.txt").output("o"),
        Draft::sh("g/b", "cat o > p; echo more >> p").from("o", "g/a", "o").output("p"),
    ])
}

fn world() -> World {
    let world = World::new();
    world.write("a.txt", "one\n");
    world
}

#[test]
fn a_lost_output_is_made_again() {
    let world = world();
    world.run(&chain());
    let lost = file_digest("one\nmore\n");
    world.memory.lose(lost);
    let report = world.run(&chain());
    assert_eq!(report.counts, counts(1, 1, 0, 0, 0));
    assert_eq!(reason(&report, "g/b"), Reason::BlobMissing { digest: lost.hex() });
    assert_eq!(world.text(&report, "g/b", "p"), "one\nmore\n");
    assert_eq!(world.run(&chain()).counts, counts(0, 2, 0, 0, 0));
}

#[test]
fn a_corrupt_blob_is_noticed_when_it_is_staged_and_its_producer_runs_again() {
    let world = world();
    let fresh = |addr: &str| Draft::sh(addr, "cat o > p").from("o", "g/a", "o").output("p").class(Class::Volatile);
    let plan = plan([
        // Its bytes are not those of the input, which would heal with it.
        Draft::sh("g/a", "cat a.txt a.txt > o").input("a.txt").output("o"),
        fresh("g/b"),
        fresh("g/c"),
    ]);
    world.run(&plan);
    let bad = file_digest("one\none\n");
    world.memory.corrupt(bad);
    // One after the other: of two that notice at once, the second finds the blob gone.
    let mut request = world.request(plan.build());
    request.jobs = std::num::NonZeroUsize::new(1);
    let report = world.execute(request).unwrap();
    assert_eq!(report.counts, counts(3, 0, 0, 0, 0));
    assert_eq!(reason(&report, "g/a"), Reason::BlobCorrupt { digest: bad.hex() });
    assert_eq!(world.text(&report, "g/c", "p"), "one\none\n");
    assert!(world.events().contains(&Event::BlobQuarantined { digest: bad.hex() }));
}

#[test]
fn a_lost_snapshot_of_the_workspace_is_taken_again() {
    let world = world();
    let plan = plan([Draft::sh("g/a", "cat a.txt a.txt > o").input("a.txt").output("o").class(Class::Volatile)]);
    world.run(&plan);
    world.memory.lose(file_digest("one\n"));
    let report = world.run(&plan);
    assert_eq!(report.counts, counts(1, 0, 0, 0, 0));
    assert_eq!(world.text(&report, "g/a", "o"), "one\none\n");
}

#[test]
fn a_blob_that_came_through_a_copy_is_made_again_where_it_came_from() {
    let world = world();
    let plan = plan([
        Draft::sh("g/a", "echo made > o").output("o"),
        Draft::new("g/b", ActionKind::Copy { from: path("x") }).from("x", "g/a", "o").output("y"),
        Draft::sh("g/c", "cat y > z").from("y", "g/b", "y").output("z").class(Class::Volatile),
    ]);
    world.run(&plan);
    world.memory.corrupt(file_digest("made\n"));
    let report = world.run(&plan);
    assert_eq!(outcome(&report, "g/a"), Outcome::Ran);
    assert_eq!(world.text(&report, "g/c", "z"), "made\n");
    assert_eq!(report.error_kind(), None);
}

#[test]
fn folders_are_checked_to_the_last_blob() {
    let world = World::new();
    let plan = plan([
        Draft::sh("g/a", "mkdir -p d/e; echo 1 > d/e/one; echo 2 > d/two").dir("d"),
        Draft::sh("g/b", "cat in/e/one in/two > o").from("in", "g/a", "d").output("o"),
    ]);
    let first = world.run(&plan);
    let inner = file_digest("1\n");
    world.memory.lose(inner);
    let report = world.run(&plan);
    assert_eq!(report.counts, counts(1, 0, 1, 0, 0));
    assert_eq!(reason(&report, "g/a"), Reason::BlobMissing { digest: inner.hex() });
    let root = first.action("g/a").unwrap().outputs[0].digest().unwrap();
    world.memory.corrupt(root);
    let report = world.run(&plan);
    assert_eq!(reason(&report, "g/a"), Reason::BlobCorrupt { digest: root.hex() });
    assert_eq!(world.run(&plan).counts, counts(0, 2, 0, 0, 0));
}

#[test]
fn a_store_that_keeps_losing_ends_the_run_instead_of_looping() {
    let world = world();
    world.memory.cursed.lock().unwrap().push(file_digest("made\n"));
    let plan = plan([
        Draft::sh("g/a", "echo made > o").output("o"),
        Draft::sh("g/b", "cat o > p").from("o", "g/a", "o").output("p"),
    ]);
    let error = world.execute(world.request(plan.build())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Engine);
    assert!(error.to_string().contains("`g/a`"), "{error}");
}
