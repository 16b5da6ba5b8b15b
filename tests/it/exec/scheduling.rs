//! Order, pools, concurrency, lanes and failing fast.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use partita::base::ErrorKind;
use partita::event::{Event, Outcome, Reason};
use partita::exec::Error;
use partita::plan::{ActionKind, Cancel};

use crate::support::Workspace;

use super::support::{Draft, World, counts, outcome, plan, reason};

/// Tells when it starts and ends, and takes a while in between.
fn noisy(addr: &str, log: &Path) -> Draft {
    let script = "echo s >> \"$LOG\"; i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; echo e >> \"$LOG\"";
    Draft::sh(addr, script).env("LOG", log.to_str().unwrap()).env("ME", addr)
}

/// The most that ran at once.
fn peak(log: &Path) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for line in std::fs::read_to_string(log).unwrap().lines() {
        match line {
            "s" => now += 1,
            _ => now -= 1,
        }
        most = most.max(now);
    }
    assert_eq!(now, 0);
    most
}

#[test]
fn pools_are_never_exceeded() {
    let world = World::new();
    let log = world.side("log");
    let mut plan = plan((0..12).map(|n| noisy(&format!("g/{n:02}"), &log).holds("gpu", 1)));
    plan.pools.insert("gpu".into(), 2);
    let mut request = world.request(plan.build());
    request.jobs = NonZeroUsize::new(6);
    assert_eq!(world.execute(request).unwrap().counts, counts(12, 0, 0, 0, 0));
    assert!(peak(&log) <= 2, "{}", peak(&log));
}

#[test]
fn what_waits_for_a_resource_says_so_and_what_is_left_is_estimated() {
    let world = World::new();
    let log = world.side("log");
    let mut plan = plan((0..3).map(|n| noisy(&format!("g/{n}"), &log).holds("gpu", 1)));
    plan.pools.insert("gpu".into(), 1);
    let mut request = world.request(plan.build());
    request.jobs = NonZeroUsize::new(3);
    world.execute(request).unwrap();
    assert!(!world.events().iter().any(|event| matches!(event, Event::RunEstimated { .. })), "nothing is known yet");
    let mut request = world.request(plan.build());
    request.jobs = NonZeroUsize::new(3);
    request.forced = ["g".to_owned()].into();
    world.execute(request).unwrap();
    let events = world.events();
    let estimates: Vec<_> = events.iter().filter(|event| matches!(event, Event::RunEstimated { .. })).collect();
    let [Event::RunEstimated { open: 3, known: 3, work_ms, least_ms, jobs: 3 }] = estimates[..] else {
        panic!("{estimates:?}")
    };
    assert_eq!(work_ms, least_ms, "one resource of which there is one: all of it is one after the other");
    let waits = |event: &&Event| matches!(event, Event::ActionWaits { resources, .. } if resources == &["gpu"]);
    let waiting = events.iter().filter(waits).count();
    assert!(waiting <= 4, "two of each run at the most: {waiting}");
    let told = events.iter().filter(|event| matches!(event, Event::ActionStarted { usual_ms: Some(_), .. })).count();
    assert_eq!(told, 3);
}

#[test]
fn the_graph_bounds_its_concurrency_and_jobs_bound_all() {
    for (concurrency, jobs) in [(Some(1), 4), (None, 1)] {
        let world = World::new();
        let log = world.side("log");
        let mut plan = plan((0..6).map(|n| noisy(&format!("g/{n}"), &log)));
        plan.concurrency = concurrency;
        let mut request = world.request(plan.build());
        request.jobs = NonZeroUsize::new(jobs);
        world.execute(request).unwrap();
        assert_eq!(peak(&log), 1, "concurrency {concurrency:?}, jobs {jobs}");
    }
}

#[test]
fn processors_are_a_pool() {
    let world = World::new();
    let log = world.side("log");
    let plan = plan((0..6).map(|n| noisy(&format!("g/{n}"), &log).holds("cpu", 4)));
    let mut request = world.request(plan.build());
    request.jobs = NonZeroUsize::new(7);
    world.execute(request).unwrap();
    assert_eq!(peak(&log), 1);
}

#[test]
fn more_than_there_is_ends_the_run_before_it_begins() {
    let world = World::new();
    let mut built = plan([Draft::sh("g/a", ":"), Draft::sh("g/b", ":").holds("gpu", 2)]);
    built.pools.insert("gpu".into(), 1);
    let error = world.execute(world.request(built.build())).unwrap_err();
    assert!(matches!(&error, Error::PoolTooSmall { amount: 2, capacity: 1, .. }), "{error}");
    let built = plan([Draft::sh("g/a", ":").holds("memory", u64::MAX)]);
    assert!(world.execute(world.request(built.build())).is_err());
    assert!(world.events().is_empty());
}

#[test]
fn a_failure_does_not_block_an_independent_lane() {
    let world = World::new();
    let plan = plan([
        Draft::sh("g/bad", "exit 1").output("o"),
        Draft::sh("g/after-bad", "cat o").from("o", "g/bad", "o"),
        Draft::sh("g/after-after", ":").after("g/after-bad"),
        Draft::sh("g/ok", "echo x > o").output("o"),
        Draft::sh("g/ok-too", "cat o > p").from("o", "g/ok", "o").output("p"),
    ]);
    let report = world.run(&plan);
    assert_eq!(report.counts, counts(2, 0, 0, 1, 2));
    assert_eq!(outcome(&report, "g/ok-too"), Outcome::Ran);
    for addr in ["g/after-bad", "g/after-after"] {
        assert_eq!(reason(&report, addr), Reason::ProducerFailed { addr: "g/bad".into() });
    }
}

#[test]
fn without_keep_going_nothing_starts_after_a_failure() {
    let world = World::new();
    let plan = plan([
        Draft::sh("g/a", "exit 1").output("o"),
        Draft::sh("g/b", ":").from("o", "g/a", "o"),
        Draft::sh("g/c", "echo x > o").output("o"),
        Draft::sh("g/d", ":").from("o", "g/c", "o"),
    ]);
    let mut request = world.request(plan.build());
    request.keep_going = false;
    request.jobs = NonZeroUsize::new(1);
    let report = world.execute(request).unwrap();
    assert_eq!(report.counts, counts(0, 0, 0, 1, 3));
    assert_eq!(reason(&report, "g/b"), Reason::ProducerFailed { addr: "g/a".into() });
    assert_eq!(reason(&report, "g/d"), Reason::Cancelled);
    assert!(!report.cancelled, "the user did not");
}

#[test]
fn order_alone_does_not_feed_keys() {
    let world = World::new();
    world.write("a.txt", "1");
    let plan = plan([
        Draft::sh("g/a", "cat a.txt > o").input("a.txt").output("o"),
        Draft::sh("g/b", "echo b > o").after("g/a").output("o"),
    ]);
    assert_eq!(world.run(&plan).counts, counts(2, 0, 0, 0, 0));
    world.write("a.txt", "2");
    let report = world.run(&plan);
    assert_eq!(outcome(&report, "g/b"), Outcome::Cached, "nothing that it takes in ran");
}

#[test]
fn events_are_numbered_and_every_action_ends_once() {
    let world = World::new();
    let drafts = (0..40).map(|n| {
        let draft = Draft::new(&format!("g/{n:02}"), ActionKind::Write { text: format!("{n}") }).output("o");
        if n == 0 { draft } else { draft.after(&format!("g/{:02}", (n - 1) / 2)) }
    });
    let report = world.run(&plan(drafts));
    assert_eq!(report.counts, counts(40, 0, 0, 0, 0));
    let envelopes = world.sink.events();
    assert!(envelopes.iter().enumerate().all(|(index, envelope)| envelope.seq == index as u64 + 1));
    assert!(matches!(envelopes[0].event, Event::RunStarted { actions: 40, .. }));
    let mut ended: Vec<&str> = Vec::new();
    for envelope in &envelopes {
        match &envelope.event {
            Event::ActionStarted { addr, .. } => {
                let n: usize = addr[2..].parse().unwrap();
                assert!(n == 0 || ended.contains(&format!("g/{:02}", (n - 1) / 2).as_str()));
            }
            Event::ActionFinished { addr, .. } => ended.push(addr),
            _ => {}
        }
    }
    assert_eq!(ended.len(), 40);
    let Some(Event::RunFinished { counts: last, .. }) = world.events().last().cloned() else { panic!() };
    assert_eq!(last, report.counts);
}

#[test]
fn the_plan_says_what_a_failure_means_before_the_request_does() {
    for (cancel, keep_going, other) in
        [(Cancel::Isolated, false, Outcome::Ran), (Cancel::Cascading, true, Outcome::Skipped)]
    {
        let world = World::new();
        let mut plan = plan([Draft::sh("g/a", "exit 1"), Draft::sh("g/b", ":")]);
        plan.policies.cancel = Some(cancel);
        let mut request = world.request(plan.build());
        request.keep_going = keep_going;
        request.jobs = NonZeroUsize::new(1);
        let report = world.execute(request).unwrap();
        assert_eq!(outcome(&report, "g/b"), other, "{cancel:?}");
    }
}

#[test]
fn a_tool_that_fails_in_a_row_is_not_started_again() {
    let world = World::new();
    let mut failing = plan((0..5).map(|n| Draft::sh(&format!("g/{n}"), "exit 1")));
    failing.policies.breaker = Some(2);
    let mut request = world.request(failing.build());
    request.jobs = NonZeroUsize::new(1);
    let report = world.execute(request).unwrap();
    assert_eq!(report.counts, counts(0, 0, 0, 2, 3));
    assert_eq!(reason(&report, "g/4"), Reason::BreakerOpen { tool: "sh".into() });

    // What goes well in between begins the count anew.
    let script = |n| format!(": {n}; exit {}", (n + 1) % 2);
    let mut mixed = plan((0..5).map(|n| Draft::sh(&format!("g/{n}"), &script(n))));
    mixed.policies.breaker = Some(2);
    let mut request = world.request(mixed.build());
    request.jobs = NonZeroUsize::new(1);
    assert_eq!(world.execute(request).unwrap().counts, counts(2, 0, 0, 3, 0));
}

#[test]
fn the_smallest_bound_of_a_run_ends_it() {
    for (deadline_ms, timeout) in [(Some(100), Some(600_000)), (Some(600_000), Some(100)), (None, Some(100))] {
        let world = World::new();
        let mut plan = plan([Draft::sh("g/a", "exec sleep 1000"), Draft::sh("g/b", "exec sleep 1000")]);
        plan.policies.deadline_ms = deadline_ms;
        let mut request = world.request(plan.build());
        request.timeout = timeout.map(Duration::from_millis);
        request.jobs = NonZeroUsize::new(1);
        let report = world.execute(request).unwrap();
        assert_eq!(reason(&report, "g/b"), Reason::RunTimeout);
        assert_eq!(report.error_kind(), Some(ErrorKind::ActionFailed));
        if let Some(failure) = &report.action("g/a").unwrap().failure {
            assert!(failure.text.contains("the timeout of the run, 100 ms"), "{}", failure.text);
        }
    }
}

#[test]
fn the_timeout_of_a_node_bounds_all_its_steps_together() {
    let workspace = Workspace::with_spec(
        r#"recipe two {
            returns b type=artifact.file
            step first tool=sh { arg "-c" "echo > a"; output a }
            step then tool=sh { input a from=(ref)first.a; arg "-c" "exec sleep 1000"; output b }
        }
        graph g { node n recipe=two { timeout "2s" } }
        "#,
    );
    let outcome = workspace.run(&["run", "g"]).expect(1);
    outcome.says("was still running when the steps of `g/n` had taken their timeout of 2.0 s together");
    let plan = workspace.run(&["plan", "g", "--format", "json"]).ok().stdout;
    assert_eq!(plan.matches(r#""node_timeout":{"ms":2000,"node":"g/n"}"#).count(), 2, "{plan}");
    // What is printed of it compiles to the same plan.
    let printed = workspace.run(&["expand", "g"]).ok().stdout;
    let again = Workspace::with_spec(&printed);
    let line =
        |text: &str| text.lines().filter(|line| line.contains("g/n/then")).map(str::to_owned).collect::<Vec<_>>();
    let second = again.run(&["plan", "g", "--format", "json"]).ok().stdout;
    assert!(second.contains(r#""node_timeout":{"ms":2000,"node":"g/n"}"#), "{printed}\n{second}");
    assert_eq!(line(&plan).len(), line(&second).len());
}
