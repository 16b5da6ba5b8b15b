//! Every reason code that a run can give, with the field, path or variable behind it.

use partita::base::Digest;
use partita::event::{InputChange, Outcome, Reason};
use partita::plan::{ActionKind, Class};

use super::support::{Draft, World, counts, outcome, plan, reason};

/// An action with everything that can change.
fn draft(script: &str, var: &str) -> Draft {
    Draft::sh("g/use", script).env("V", var).input("src/**").from("dep/o", "g/dep", "o").output("out")
}

fn world() -> World {
    let world = World::new();
    world.write("src/a.txt", "a");
    world.write("src/deep/b.txt", "b");
    world.write("dep.txt", "d");
    world
}

fn both(draft: Draft) -> super::support::Builder {
    plan([Draft::sh("g/dep", "cat dep.txt > o").input("dep.txt").output("o"), draft])
}

const SCRIPT: &str = "cat src/a.txt dep/o > out";

#[test]
fn each_change_is_named() {
    let world = world();
    let first = world.run(&both(draft(SCRIPT, "1")));
    assert_eq!(reason(&first, "g/use"), Reason::NeverSeen);
    assert_eq!(reason(&world.run(&both(draft(SCRIPT, "1"))), "g/use"), Reason::SameKey);

    let report = world.run(&both(draft(SCRIPT, "2")));
    assert_eq!(reason(&report, "g/use"), Reason::EnvChanged { var: "V".into() });

    let report = world.run(&both(draft("cat dep/o > out", "2")));
    let Reason::DefChanged { before, after, .. } = reason(&report, "g/use") else { panic!("{report:?}") };
    assert!(before.contains(SCRIPT) && after.contains("cat dep/o > out"), "{before} {after}");

    world.write("src/deep/b.txt", "changed");
    let report = world.run(&both(draft("cat dep/o > out", "2")));
    assert_eq!(
        reason(&report, "g/use"),
        Reason::InputChanged { path: "src/deep/b.txt".into(), how: InputChange::Edited }
    );

    world.write("src/new.txt", "");
    let report = world.run(&both(draft("cat dep/o > out", "2")));
    assert_eq!(reason(&report, "g/use"), Reason::InputChanged { path: "src/new.txt".into(), how: InputChange::Added });

    world.write("dep.txt", "other");
    let report = world.run(&both(draft("cat dep/o > out", "2")));
    assert_eq!(reason(&report, "g/dep"), Reason::InputChanged { path: "dep.txt".into(), how: InputChange::Edited });
    assert_eq!(reason(&report, "g/use"), Reason::DepOutputChanged { addr: "g/dep".into(), path: "dep/o".into() });

    let report = world.run(&both(draft("cat dep/o > out", "2").class(Class::Volatile)));
    assert_eq!(reason(&report, "g/use"), Reason::Volatile);
}

#[test]
fn going_back_is_a_hit_that_says_where_from() {
    let world = world();
    world.run(&both(draft(SCRIPT, "1")));
    world.run(&both(draft(SCRIPT, "2")));
    let report = world.run(&both(draft(SCRIPT, "1")));
    assert_eq!(outcome(&report, "g/use"), Outcome::Cached);
    assert_eq!(reason(&report, "g/use"), Reason::KnownKey { run: "run1".into() });
    let report = world.run(&both(draft(SCRIPT, "3")));
    assert_eq!(reason(&report, "g/use"), Reason::EnvChanged { var: "V".into() }, "compared with the hit");
}

#[test]
fn a_changed_tool_is_named() {
    let world = World::new();
    world.write("tools/t.sh", "#!/bin/sh\necho 1 > o\n");
    let make_executable = || {
        let path = world.ws().join("tools/t.sh");
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    make_executable();
    let kind = ActionKind::Exec { tool: "mine".into(), args: vec![] };
    let mut plan = plan([Draft::new("g/a", kind).output("o")]);
    let mut tool = super::support::tool("mine", &["sh"]);
    tool.exec = partita::plan::ToolExec::Workspace(super::support::path("tools/t.sh"));
    plan.tools.push(tool);
    assert_eq!(world.run(&plan).counts, counts(1, 0, 0, 0, 0));
    assert_eq!(world.run(&plan).counts, counts(0, 1, 0, 0, 0));
    world.write("tools/t.sh", "#!/bin/sh\necho 2 > o\n");
    make_executable();
    let report = world.run(&plan);
    assert_eq!(reason(&report, "g/a"), Reason::ToolChanged { name: "mine".into() });
    assert_eq!(world.text(&report, "g/a", "o"), "2\n");
}

#[test]
fn evicted_prior_failure_and_schema() {
    let world = World::new();
    let good = plan([Draft::sh("g/a", "echo x > o").output("o")]);
    world.run(&good);
    world.memory.forget_all_claims();
    assert_eq!(reason(&world.run(&good), "g/a"), Reason::Evicted);

    let bad = plan([Draft::sh("g/b", "exit 1").output("o")]);
    world.run(&bad);
    assert_eq!(reason(&world.run(&bad), "g/b"), Reason::PriorFailure);

    world.memory.edit_rows(|row| row.manifest = row.manifest.replace("{\"i\":1}", "{\"i\":0}"));
    world.memory.edit_rows(|row| row.key = partita::base::ActionKey(Digest::of_blob(b"old")));
    world.memory.forget_all_claims();
    assert_eq!(reason(&world.run(&good), "g/a"), Reason::SchemaChanged);
}

#[test]
fn a_renamed_action_is_compared_by_its_definition() {
    let world = World::new();
    world.write("a.txt", "1");
    let at = |addr: &str| {
        let mut draft = Draft::sh(addr, "cat a.txt > o").input("a.txt").output("o");
        draft.def = Some(Digest::of_blob(b"def"));
        plan([draft])
    };
    world.run(&at("g/old"));
    world.write("a.txt", "2");
    assert_eq!(
        reason(&world.run(&at("g/new")), "g/new"),
        Reason::InputChanged { path: "a.txt".into(), how: InputChange::Edited }
    );
}

#[test]
fn a_tightened_timeout_and_a_weaker_sandbox() {
    let world = World::new();
    let draft = |timeout| Draft::sh("g/a", "echo x > o").output("o").timeout(timeout);
    world.run(&plan([draft(60_000)]));
    world.memory.edit_claims(|claim| claim.duration_ms = 10_000);
    let report = world.run(&plan([draft(9_000)]));
    assert_eq!(reason(&report, "g/a"), Reason::TimeoutTightened);
    assert_eq!(world.run(&plan([draft(120_000)])).counts, counts(0, 1, 0, 0, 0), "loosening it runs nothing");

    let copy = |world: &World| {
        world.write("a.txt", "1");
        let kind = ActionKind::Copy { from: super::support::path("a.txt") };
        let mut request = world.request(plan([Draft::new("g/c", kind).input("a.txt").output("o")]).build());
        request.isolation = partita::plan::Isolation::Full;
        world.execute(request).unwrap()
    };
    assert_eq!(copy(&world).counts, counts(1, 0, 0, 0, 0), "built-in actions are as isolated as can be");
    assert_eq!(copy(&world).counts, counts(0, 1, 0, 0, 0));
    world.memory.edit_claims(|claim| claim.isolation = 1);
    assert_eq!(reason(&copy(&world), "g/c"), Reason::WeakerSandbox);
}

#[test]
fn the_class_is_named() {
    let world = World::new();
    let draft = |class| {
        let digest = Some(super::support::file_digest("x\n"));
        Draft::sh("g/a", "echo x > o").declare("o", partita::plan::OutputKind::File, digest).class(class)
    };
    world.run(&plan([draft(Class::Pure)]));
    assert_eq!(reason(&world.run(&plan([draft(Class::Fixed)])), "g/a"), Reason::ClassChanged);
}
