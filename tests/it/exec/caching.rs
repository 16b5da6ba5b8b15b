//! Hits, early cutoff, and the classes that are cached differently. Leaves out why something runs.

use std::collections::{BTreeMap, BTreeSet};

use partita::base::{ErrorKind, RelPath, Tree};
use partita::event::{Event, Outcome, Reason};
use partita::plan::{ActionKind, Class, Isolation, OutputKind};

use super::support::{Draft, World, counts, failure, file_digest, outcome, path, plan, reason};

#[test]
fn the_second_run_executes_nothing_and_gives_the_same() {
    let world = World::new();
    world.write("a.txt", "one\n");
    let plan = plan([
        Draft::sh("g/a", "cat a.txt a.txt > twice").input("a.txt").output("twice"),
        Draft::sh("g/b", "cat in/t > out; echo told").from("in/t", "g/a", "twice").output("out"),
    ]);
    let first = world.run(&plan);
    assert_eq!(first.counts, counts(2, 0, 0, 0, 0));
    assert_eq!(world.text(&first, "g/b", "out"), "one\none\n");
    assert_eq!(world.log(&first, "g/b", 0), b"told\n");
    let second = world.run(&plan);
    assert_eq!(second.counts, counts(0, 2, 0, 0, 0));
    assert_eq!(reason(&second, "g/a"), Reason::SameKey);
    assert_eq!(second.action("g/b").unwrap().outputs, first.action("g/b").unwrap().outputs);
    assert_eq!(second.action("g/b").unwrap().logs, first.action("g/b").unwrap().logs);
    assert_eq!(second.action("g/b").unwrap().duration_ms, 0);
}

#[test]
fn an_upstream_that_ran_and_gave_equal_bytes_cuts_off_what_follows() {
    let world = World::new();
    world.write("a.c", "int x; // one\n");
    let plan = plan([
        Draft::sh("g/strip", "read line < a.c; echo \"${line%% //*}\" > code").input("a.c").output("code"),
        Draft::sh("g/use", "cat code > used").from("code", "g/strip", "code").output("used"),
        Draft::sh("g/end", "cat used > done").from("used", "g/use", "used").output("done"),
    ]);
    assert_eq!(world.run(&plan).counts, counts(3, 0, 0, 0, 0));
    world.write("a.c", "int x; // two\n");
    let report = world.run(&plan);
    assert_eq!(report.counts, counts(1, 0, 2, 0, 0));
    assert_eq!(outcome(&report, "g/strip"), Outcome::Ran);
    assert_eq!(outcome(&report, "g/use"), Outcome::CutOff);
    assert_eq!(outcome(&report, "g/end"), Outcome::CutOff, "what ran is further up, but did run");
    world.write("a.c", "int y; // two\n");
    assert_eq!(world.run(&plan).counts, counts(3, 0, 0, 0, 0));
}

#[test]
fn a_result_of_another_address_is_a_hit() {
    let world = World::new();
    assert_eq!(world.run(&plan([Draft::sh("g/a", "echo x > o").output("o")])).counts, counts(1, 0, 0, 0, 0));
    let moved = plan([Draft::sh("h/b", "echo x > o").output("o")]);
    let report = world.run(&moved);
    assert_eq!(report.counts, counts(0, 1, 0, 0, 0));
    assert_eq!(reason(&report, "h/b"), Reason::KnownKey { run: "run1".into() });
    assert_eq!(reason(&world.run(&moved), "h/b"), Reason::SameKey, "it is now the last key of the address");
}

#[test]
fn failed_results_are_not_kept() {
    let world = World::new();
    let plan = plan([Draft::sh("g/a", "echo made > o; echo why >&2; exit 3").output("o")]);
    for _ in 0..2 {
        let report = world.run(&plan);
        assert_eq!(report.counts, counts(0, 0, 0, 1, 0));
        assert_eq!(failure(&report, "g/a"), "`sh` exited with status 3\nwhy");
        assert_eq!(report.error_kind(), Some(ErrorKind::ActionFailed));
        assert!(world.memory.claims().is_empty());
        assert_eq!(world.log(&report, "g/a", 1), b"why\n");
    }
}

#[test]
fn volatile_actions_always_run_and_are_never_recorded() {
    let world = World::new();
    let plan = plan([
        Draft::sh("g/a", "echo x > o").output("o").class(Class::Volatile),
        Draft::sh("g/b", "cat o > p").from("o", "g/a", "o").output("p"),
    ]);
    assert_eq!(world.run(&plan).counts, counts(2, 0, 0, 0, 0));
    let second = world.run(&plan);
    assert_eq!(second.counts, counts(1, 0, 1, 0, 0));
    assert_eq!(reason(&second, "g/a"), Reason::Volatile);
    assert!(world.memory.claims().iter().all(|claim| claim.addr == "g/b"));
}

#[test]
fn fixed_actions_are_held_to_their_digests() {
    let world = World::new();
    let fixed =
        |digest| plan([Draft::sh("g/f", "echo got > o").declare("o", OutputKind::File, digest).class(Class::Fixed)]);
    let right = file_digest("got\n");
    let none = failure(&world.run(&fixed(None)), "g/f");
    assert!(none.contains("declared nothing") && none.contains(&format!("got b3:{right}")), "{none}");
    let wrong = file_digest("other");
    let text = failure(&world.run(&fixed(Some(wrong))), "g/f");
    assert!(text.contains(&format!("declared b3:{wrong}, got b3:{right}")), "{text}");
    assert!(world.memory.claims().is_empty());
    assert_eq!(world.run(&fixed(Some(right))).counts, counts(1, 0, 0, 0, 0));
    assert_eq!(world.run(&fixed(Some(right))).counts, counts(0, 1, 0, 0, 0));
    assert_eq!(world.run(&fixed(Some(wrong))).counts, counts(0, 0, 0, 1, 0), "what is known is held to it too");
}

#[test]
fn the_digest_of_a_fixed_folder_is_that_of_its_tree() {
    let world = World::new();
    let fixed = |digest| {
        plan([Draft::sh("g/f", "mkdir d; echo x > d/x").declare("d", OutputKind::Dir, digest).class(Class::Fixed)])
    };
    let entry = partita::base::Entry::File { digest: file_digest("x\n"), size: 2, exec: false };
    let tree = Tree { entries: [("x".to_owned(), entry)].into() }.digest();
    assert!(failure(&world.run(&fixed(None)), "g/f").contains(&format!("got b3:{tree}")));
    assert_eq!(world.run(&fixed(Some(tree))).counts, counts(1, 0, 0, 0, 0));
}

#[test]
fn a_weaker_result_is_not_served_and_missing_isolation_fails_closed() {
    let world = World::new();
    let mut draft = Draft::sh("g/a", "echo x > o").output("o");
    draft.isolation = Isolation::Full;
    let strict = plan([draft]);
    let error = world.execute(world.request(strict.build())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Isolation);
    assert!(error.to_string().contains("`g/a` must run under isolation `full`"), "{error}");
    let lax = plan([Draft::sh("g/a", "echo x > o").output("o")]);
    let mut request = world.request(lax.build());
    request.isolation = Isolation::Landlock;
    assert_eq!(world.execute(request).unwrap_err().kind(), ErrorKind::Isolation);
    assert!(world.memory.claims().is_empty(), "nothing was run");
    assert_eq!(world.run(&lax).counts, counts(1, 0, 0, 0, 0));
    assert_eq!(world.memory.claims()[0].isolation, 0);
}

#[test]
fn require_cached_executes_nothing() {
    let world = World::new();
    let plan = plan([
        Draft::sh("g/a", "echo x > o").output("o"),
        Draft::sh("g/b", "cat o > p").from("o", "g/a", "o").output("p"),
    ]);
    let mut request = world.request(plan.build());
    request.require_cached = true;
    let report = world.execute(request.clone()).unwrap();
    assert_eq!(report.counts, counts(0, 0, 0, 0, 2));
    assert_eq!(reason(&report, "g/b"), Reason::RequireCached);
    assert_eq!(report.error_kind(), Some(ErrorKind::CheckFailed));
    assert!(!world.events().iter().any(|event| matches!(event, Event::ActionStarted { .. })));
    world.run(&plan);
    let report = world.execute(request).unwrap();
    assert_eq!(report.counts, counts(0, 2, 0, 0, 0));
    assert_eq!(report.error_kind(), None);
}

#[test]
fn refreshing_runs_what_is_named_and_what_lies_below_it() {
    let world = World::new();
    let plan = plan([
        Draft::sh("g/n/a", "echo x > o").output("o"),
        Draft::sh("g/n/b", "echo y > o").output("o"),
        Draft::sh("g/nn", "echo z > o").output("o"),
    ]);
    world.run(&plan);
    let mut request = world.request(plan.build());
    request.forced = BTreeSet::from(["g/n".to_owned()]);
    let report = world.execute(request).unwrap();
    assert_eq!(report.counts, counts(2, 1, 0, 0, 0));
    assert_eq!(reason(&report, "g/n/a"), Reason::Forced);
}

#[test]
fn only_what_the_targets_need_is_looked_at() {
    let world = World::new();
    let built = plan([
        Draft::sh("g/a", "echo x > o").output("o"),
        Draft::sh("g/b", "cat o > p").from("o", "g/a", "o").output("p"),
        Draft::sh("g/c", "exit 1"),
    ])
    .build();
    let mut request = world.request(built);
    request.targets = vec![request.plan.find("g/b").unwrap()];
    let report = world.execute(request).unwrap();
    assert_eq!(report.counts, counts(2, 0, 0, 0, 0));
    assert_eq!(report.actions.iter().map(|action| action.addr.as_str()).collect::<Vec<_>>(), ["g/a", "g/b"]);
}

#[test]
fn the_report_has_a_written_form() {
    let world = World::new();
    let plan = plan([
        Draft::sh("g/a", "mkdir d; echo xy > d/f; echo z > d/g").dir("d"),
        Draft::sh("g/b", "echo no >&2; exit 2").output("o"),
    ]);
    let report = world.run(&plan);
    let json = report.to_json();
    assert_eq!((json["ran"].as_u64(), json["failed"].as_u64(), json["cut_off"].as_u64()), (Some(1), Some(1), Some(0)));
    let a = &json["actions"][0];
    assert_eq!(a["addr"], "g/a");
    assert_eq!(a["outcome"], "ran");
    assert_eq!(a["reason"]["code"], "never-seen");
    assert!(a["key"].as_str().unwrap().starts_with("pk1-"));
    assert_eq!(a["outputs"][0]["kind"], "dir");
    assert_eq!(a["outputs"][0]["path"], "d");
    assert_eq!(a["outputs"][0]["size"], 5);
    assert_eq!(a["outputs"][0]["digest"].as_str().unwrap().len(), 64);
    let b = &json["actions"][1];
    assert_eq!(b["failure"], "`sh` exited with status 2\nno");
    assert_eq!(b["failure_class"], "exit");
    assert_eq!(report.action("g/a").unwrap().outputs[0].path, path("d"));
}

/// Numbers that look random and are the same each time.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What a workspace file or a merged output holds: whole numbers by name.
type Object = BTreeMap<String, u64>;

fn json_of(object: &Object) -> String {
    serde_json::to_string_pretty(object).unwrap() + "\n"
}

#[test]
fn what_is_executed_is_what_an_oracle_says_and_no_more() {
    const NODES: usize = 14;
    const ROUNDS: usize = 25;
    for seed in 0..6 {
        let mut random = Seeded(seed);
        let producers: Vec<Vec<usize>> =
            (0..NODES).map(|node| (0..node).filter(|_| random.below(4) == 0).collect()).collect();
        let drafts = (0..NODES).map(|node| {
            let mut from: Vec<RelPath> = producers[node].iter().map(|p| path(&format!("in{p:02}.json"))).collect();
            from.push(path(&format!("w{node:02}.json")));
            let draft = Draft::new(&format!("g/{node:02}"), ActionKind::MergeJson { from });
            let draft = draft.input(&format!("w{node:02}.json")).output("o");
            producers[node]
                .iter()
                .fold(draft, |draft, p| draft.from(&format!("in{p:02}.json"), &format!("g/{p:02}"), "o"))
        });
        let plan = plan(drafts);
        let world = World::new();
        let mut files: Vec<Object> = vec![Object::new(); NODES];
        let mut known: BTreeSet<(usize, Vec<Object>)> = BTreeSet::new();
        for round in 0..ROUNDS {
            for _ in 0..if round == 0 { 0 } else { random.below(3) } {
                // Few names and values, so that merging often hides a change.
                let (file, name, value) = (random.below(NODES as u64) as usize, random.below(3), random.below(2));
                files[file].insert(format!("k{name}"), value);
            }
            for (node, object) in files.iter().enumerate() {
                world.write(&format!("w{node:02}.json"), json_of(object));
            }
            let mut request = world.request(plan.build());
            request.jobs = std::num::NonZeroUsize::new(4);
            let report = world.execute(request).unwrap();
            let mut outputs: Vec<Object> = Vec::new();
            let mut fresh = [false; NODES];
            for node in 0..NODES {
                let mut inputs: Vec<Object> = producers[node].iter().map(|p| outputs[*p].clone()).collect();
                inputs.push(files[node].clone());
                let above = producers[node].iter().any(|p| fresh[*p]);
                let expected = match (known.insert((node, inputs.clone())), above) {
                    (true, _) => Outcome::Ran,
                    (false, true) => Outcome::CutOff,
                    (false, false) => Outcome::Cached,
                };
                fresh[node] = above || expected == Outcome::Ran;
                let addr = format!("g/{node:02}");
                assert_eq!(outcome(&report, &addr), expected, "seed {seed}, round {round}, {addr}");
                let merged = inputs.into_iter().flatten().collect();
                assert_eq!(world.text(&report, &addr, "o").trim(), json_of(&merged).trim(), "seed {seed}, {addr}");
                outputs.push(merged);
            }
        }
    }
}
