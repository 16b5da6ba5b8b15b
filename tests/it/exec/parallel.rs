//! Tasks and plans that a program runs by the library: order, bounds, results. Leaves out specs.

use std::num::NonZeroUsize;

use partita::base::ErrorKind;
use partita::exec::{Agent, Error, PROMPT, RunPolicy, TaskSpec, TaskStatus, run_graph, run_parallel};
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
