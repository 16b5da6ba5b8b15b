//! Tasks and plans that a program runs by the library: order, bounds, results. Leaves out specs.

use std::num::NonZeroUsize;

use partita::base::ErrorKind;
use partita::exec::{Agent, Error, Metrics, PROMPT, RunPolicy, TaskSpec, TaskStatus, run_graph, run_parallel};
use partita::plan::Cancel;

use super::support::{Draft, World, plan};

fn task(id: &str, script: &str) -> TaskSpec {
    let agent = Agent {
        name: "shell".into(),
        program: "sh".into(),
        args: vec!["-c".into(), script.into()],
        tools: vec!["cat".into()],
    };
    TaskSpec { id: Some(id.into()), ..TaskSpec::new(agent, format!("do {id}")) }
}

#[test]
fn tasks_get_their_prompts_come_in_order_and_say_what_they_left() {
    let world = World::new();
    let log = world.side("log");
    let say = format!("cat {PROMPT} > answer; echo $WHO >> {}", log.display());
    let mut first = task("one", &say);
    first.artifacts.push("answer".into());
    first.params.insert("WHO".into(), "one".into());
    first.cost = 3;
    // Named before in the list, done after.
    let mut second = TaskSpec { id: Some("another".into()), after: vec!["one".into()], ..first.clone() };
    second.prompt = "something else".into();
    second.params.insert("WHO".into(), "another".into());
    let result = run_parallel(&[second, first], &RunPolicy::default(), world.ports()).unwrap();
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "one\nanother\n");
    assert_eq!(result.tasks.iter().map(|task| task.id.as_str()).collect::<Vec<_>>(), ["another", "one"]);
    for task in &result.tasks {
        assert_eq!((task.status, task.attempts, task.agent.as_str()), (TaskStatus::Succeeded, 1, "shell"));
        assert!(task.started_at.is_some() && task.started_at <= task.finished_at);
    }
    assert_eq!(world.memory.blob(result.tasks[1].artifacts["answer"]), b"do one");
    assert_eq!(result.metrics.cost_estimate, 6);
    assert_eq!(result.merged.summary, "2 succeeded, 0 failed, 0 cancelled");
    assert_eq!(result.merged.conflicts["answer"].len(), 2, "two contents at one path");
}

#[test]
fn a_failure_cancels_what_comes_after_it_and_under_cascading_all_else() {
    for (cancellation, other) in [(Cancel::Isolated, TaskStatus::Succeeded), (Cancel::Cascading, TaskStatus::Cancelled)]
    {
        let world = World::new();
        let bad = task("a", "echo it broke >&2; exit 3");
        let dependant = TaskSpec { after: vec!["a".into()], ..task("b", ":") };
        let policy = RunPolicy { max_concurrency: NonZeroUsize::new(1), cancellation, ..RunPolicy::default() };
        let result = run_parallel(&[bad, dependant, task("c", ":")], &policy, world.ports()).unwrap();
        let statuses: Vec<TaskStatus> = result.tasks.iter().map(|task| task.status).collect();
        assert_eq!(statuses, [TaskStatus::Failed, TaskStatus::Cancelled, other], "{cancellation:?}");
        assert!(result.tasks[0].errors[0].contains("it broke"), "{:?}", result.tasks[0].errors);
    }
}

#[test]
fn what_cannot_be_run_is_refused_before_anything_starts() {
    let world = World::new();
    let costly = TaskSpec { cost: 7, ..task("a", ":") };
    let policy = RunPolicy { cost_budget: Some(6), ..RunPolicy::default() };
    let error = run_parallel(&[costly], &policy, world.ports()).unwrap_err();
    assert!(matches!(error, Error::Budget { wanted: 7, budget: 6 }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Budget);
    let policy = RunPolicy::default();
    let after_nothing = TaskSpec { after: vec!["x".into()], ..task("a", ":") };
    let outside = TaskSpec { artifacts: vec!["../x".into()], ..task("a", ":") };
    let circle = [
        TaskSpec { after: vec!["b".into()], ..task("a", ":") },
        TaskSpec { after: vec!["a".into()], ..task("b", ":") },
    ];
    for tasks in [vec![after_nothing], vec![outside], circle.to_vec(), vec![task("a", ":"), task("a", ":")]] {
        let error = run_parallel(&tasks, &policy, world.ports()).unwrap_err();
        assert!(matches!(error, Error::Plan(_)), "{error}");
    }
    assert!(world.events().is_empty());
}

/// Runs tasks that each cost 40 of a budget, and gives how many did something, by what they left.
fn spend(world: &World, tasks: &[TaskSpec], budget: u64, cancellation: Cancel) -> (usize, Vec<TaskStatus>, u64) {
    let policy = RunPolicy {
        max_concurrency: NonZeroUsize::new(8),
        cost_budget: Some(budget),
        cancellation,
        ..RunPolicy::default()
    };
    let result = run_parallel(tasks, &policy, world.ports()).unwrap();
    let log = std::fs::read_to_string(world.side("log")).unwrap_or_default();
    let statuses = result.tasks.iter().map(|task| task.status).collect();
    (log.lines().count(), statuses, result.metrics.cost_estimate)
}

#[test]
fn what_starts_side_by_side_does_not_spend_more_than_there_is() {
    for round in 0..20 {
        let world = World::new();
        let say = format!("echo done >> {}", world.side("log").display());
        let tasks: Vec<TaskSpec> = (0..12).map(|n| TaskSpec { cost: 40, ..task(&format!("t{n:02}"), &say) }).collect();
        let (done, statuses, spent) = spend(&world, &tasks, 100 + round, Cancel::Isolated);
        assert_eq!(done, 2, "round {round}: eight workers, and money for two");
        assert_eq!(statuses.iter().filter(|status| **status == TaskStatus::Succeeded).count(), 2);
        assert!(statuses.iter().all(|status| *status != TaskStatus::Failed), "{statuses:?}");
        assert_eq!(spent, 80);
    }
    // What could not be started costs nothing, and leaves the money to others.
    let world = World::new();
    let say = format!("echo done >> {}", world.side("log").display());
    let mut tasks = vec![TaskSpec { cost: 100, ..task("a", ":") }, TaskSpec { cost: 100, ..task("b", &say) }];
    tasks[0].agent.program = "no-such-program".into();
    tasks[1].after = Vec::new();
    let (done, statuses, _) = spend(&world, &tasks, 100, Cancel::Isolated);
    assert_eq!((done, statuses[1]), (1, TaskStatus::Succeeded));
}

#[test]
fn speedup_is_against_doing_one_after_the_other() {
    let world = World::new();
    let script = "exec sleep 0.5";
    let tasks: Vec<TaskSpec> = (0..8)
        .map(|n| {
            let mut task = task(&format!("t{n}"), script);
            task.agent.tools.push("sleep".into());
            task
        })
        .collect();
    let at = |jobs, tasks: &[TaskSpec]| {
        let policy = RunPolicy { max_concurrency: NonZeroUsize::new(jobs), ..RunPolicy::default() };
        run_parallel(tasks, &policy, world.ports()).unwrap().metrics
    };
    let (one, four, eight) = (at(1, &tasks[..2]), at(4, &tasks), at(8, &tasks));
    let [alone, by_four, by_eight] = [&one, &four, &eight].map(Metrics::speedup_vs_serial);
    println!("8 x 500 ms: speedup {alone:.2} alone, {by_four:.2} by four, {by_eight:.2} by eight");
    assert!(one.serial_time >= std::time::Duration::from_secs(1), "{one:?}");
    assert!((0.5..=1.0).contains(&alone), "{one:?}");
    assert!((2.0..=4.0).contains(&by_four) && (2.0..=8.0).contains(&by_eight), "{four:?} {eight:?}");
}

#[test]
fn a_plan_is_run_under_a_policy() {
    let world = World::new();
    let built = plan([
        Draft::sh("g/a", "echo a > o").output("o"),
        Draft::sh("g/b", "cat o > p; exit 1").from("o", "g/a", "o").output("p"),
    ]);
    let result = run_graph(&built.build(), &world.ws(), &RunPolicy::default(), world.ports()).unwrap();
    let statuses: Vec<_> = result.tasks.iter().map(|task| (task.id.as_str(), task.status)).collect();
    assert_eq!(statuses, [("g/a", TaskStatus::Succeeded), ("g/b", TaskStatus::Failed)]);
    assert_eq!(world.memory.blob(result.tasks[0].artifacts["o"]), b"a\n");
}
