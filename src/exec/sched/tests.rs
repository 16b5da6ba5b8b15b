//! Order, pools, failures and rewinding, without threads or time.

use super::*;
use crate::plan::{Action, ActionKind, ActionSpec, Class, Input, Isolation, Policies, Policy, ResourceNeed, Terms};

fn action(addr: &str, producers: &[u32], holds: &[(&str, u64)]) -> Action {
    let inputs = producers.iter().map(|id| Input {
        dest: None,
        source: InputSource::Output { action: ActionId(*id), output: "o".into(), select: None },
    });
    let spec = ActionSpec {
        kind: ActionKind::Exec { tool: "t".into(), args: vec![] },
        class: Class::Pure,
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        inputs: inputs.collect(),
        outputs: vec![],
        services: Vec::new(),
        take: None,
        tools: vec![],
        cwd: None,
        isolation: Isolation::None,
        limits: BTreeMap::new(),
    };
    let holds = holds.iter().map(|(pool, amount)| ResourceNeed { pool: (*pool).into(), amount: *amount }).collect();
    let policy = Policy { holds, ..Policy::default() };
    let digest = Digest::of_blob(addr.as_bytes());
    Action { addr: addr.into(), spec, policy, def: digest, skey: digest, after: vec![], route: None }
}

fn plan(actions: Vec<Action>) -> Plan {
    Plan {
        terms: Terms::default(),
        graph: "g".into(),
        actions,
        tools: vec![],
        pools: [("gpu".to_owned(), 2)].into(),
        concurrency: None,
        services: vec![],
        policies: Policies::default(),
        schemas: BTreeMap::new(),
        digest: Digest::of_blob(b"plan"),
    }
}

fn scheduler(plan: &Plan, cpus: u64) -> Result<Scheduler, Error> {
    let targets: Vec<ActionId> = plan.iter().map(|(id, _)| id).collect();
    Scheduler::new(plan, &targets, &BTreeSet::new(), Pools::of(&[plan], cpus, 1 << 30).remove(0))
}

const NOW: Duration = Duration::ZERO;

#[test]
fn what_one_run_holds_of_a_pool_another_has_not() {
    let holding = |most: u64| {
        let mut plan = plan(vec![action("g/a", &[], &[("gpu", 1)]), action("g/b", &[], &[("gpu", 1)])]);
        plan.pools = [("gpu".to_owned(), most)].into();
        plan
    };
    let (first, second) = (holding(2), holding(1));
    let mut none = holding(1);
    none.pools = BTreeMap::new();
    let mut pools = Pools::of(&[&first, &second, &none], 8, 1 << 30);
    let targets = [ActionId(0), ActionId(1)];
    let given = BTreeSet::new();
    let unknown = Scheduler::new(&none, &targets, &given, pools.remove(2)).unwrap_err();
    assert!(matches!(unknown, Error::PoolUnknown { .. }), "a pool of another plan is none of its own");
    let mut second = Scheduler::new(&second, &targets, &given, pools.remove(1)).unwrap();
    let mut first = Scheduler::new(&first, &targets, &given, pools.remove(0)).unwrap();
    for scheduler in [&mut first, &mut second] {
        for id in [resolve(scheduler), resolve(scheduler)] {
            scheduler.queue(ActionId(id));
        }
    }
    assert_eq!(run(&mut second), Some(0));
    assert_eq!(run(&mut first), Some(0), "of two, one is left");
    assert_eq!(run(&mut first), None);
    second.succeed(ActionId(0), Outcome::Ran);
    assert_eq!(run(&mut second), None, "it has one, and that is held");
    assert_eq!(run(&mut first), Some(1));
}

#[test]
fn who_follows_another_waits_until_that_has_ended() {
    let plan = plan(vec![action("g/a", &[], &[]), action("g/b", &[], &[])]);
    let mut scheduler = scheduler(&plan, 4).unwrap();
    let (a, b) = (resolve(&mut scheduler), resolve(&mut scheduler));
    scheduler.queue(ActionId(a));
    scheduler.follow(ActionId(b), true);
    assert!(scheduler.is_coming(ActionId(a)) && !scheduler.is_coming(ActionId(b)));
    assert_eq!(run(&mut scheduler), Some(a));
    assert_eq!(scheduler.next(NOW), Next::Wait(None));
    scheduler.proceed(b);
    assert_eq!(resolve(&mut scheduler), b);
    // What it followed may have ended while it looked.
    scheduler.follow(ActionId(b), false);
    assert_eq!(resolve(&mut scheduler), b);
    scheduler.succeed(ActionId(b), Outcome::Cached);
    // What ended meanwhile is left alone.
    scheduler.proceed(b);
    scheduler.delay(ActionId(a), NOW);
    scheduler.stop();
    assert!(!scheduler.is_coming(ActionId(a)), "nothing new starts");
}

fn resolve(scheduler: &mut Scheduler) -> u32 {
    match scheduler.next(NOW) {
        Next::Task(Task::Resolve { id, .. }) => id.0,
        other => panic!("{other:?}"),
    }
}

fn run(scheduler: &mut Scheduler) -> Option<u32> {
    match scheduler.next(NOW) {
        Next::Task(Task::Run { id, .. }) => Some(id.0),
        Next::Wait(None) => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_longest_way_goes_first_then_the_address() {
    // 0 and 1 are free; 1 has a chain of two behind it.
    let plan = plan(vec![action("a", &[], &[]), action("b", &[], &[]), action("c", &[1], &[]), action("d", &[2], &[])]);
    let mut scheduler = scheduler(&plan, 1).unwrap();
    assert_eq!(resolve(&mut scheduler), 1);
    assert_eq!(resolve(&mut scheduler), 0);
    assert_eq!(scheduler.next(NOW), Next::Wait(None));
    scheduler.succeed(ActionId(1), Outcome::Cached);
    assert_eq!(resolve(&mut scheduler), 2);
}

#[test]
fn fair_gives_every_node_a_turn_and_shortest_goes_by_what_was_short() {
    let addrs = ["g/a/1", "g/a/2", "g/a/3", "g/b/1", "g/b/2"];
    let order = |schedule: Schedule| {
        let mut plan = plan(addrs.iter().map(|addr| action(addr, &[], &[])).collect());
        plan.policies.schedule = schedule;
        let mut scheduler = scheduler(&plan, 1).unwrap();
        // The second is short, the first was never run, the others are long.
        scheduler.weigh_by(&[(1, 2), (2, 70), (3, 60), (4, 50)].into()).unwrap();
        addrs.map(|_| resolve(&mut scheduler))
    };
    assert_eq!(order(Schedule::Critical), [2, 3, 4, 1, 0]);
    assert_eq!(order(Schedule::Fair), [2, 3, 1, 4, 0]);
    assert_eq!(order(Schedule::Shortest), [1, 4, 3, 2, 0]);
    let mut plan = plan(addrs.iter().map(|addr| action(addr, &[], &[])).collect());
    plan.policies.schedule = Schedule::Fair;
    let mut scheduler = scheduler(&plan, 1).unwrap();
    assert_eq!(addrs.map(|_| resolve(&mut scheduler)), [0, 3, 1, 4, 2]);
}

#[test]
fn no_more_is_resolved_ahead_than_the_bound() {
    let plan = plan((0..QUEUED + 50).map(|n| action(&format!("n{n:05}"), &[], &[])).collect());
    let mut scheduler = scheduler(&plan, 1).unwrap();
    let (mut running, mut ahead, mut most, mut ran) = (None, 0_usize, 0, 0);
    loop {
        match scheduler.next(NOW) {
            Next::Task(Task::Resolve { id, .. }) => {
                scheduler.queue(id);
                ahead += 1;
                most = most.max(ahead);
            }
            Next::Task(Task::Run { id, .. }) => {
                ahead -= 1;
                running = Some(id);
            }
            Next::Wait(_) => {
                scheduler.succeed(running.take().unwrap(), Outcome::Ran);
                ran += 1;
            }
            Next::Task(other) => panic!("{other:?}"),
            Next::Broken => panic!("nothing was spent"),
            Next::End => break,
        }
    }
    assert_eq!((most, ran), (QUEUED, plan.actions.len()));
}

#[test]
fn pools_are_kept_to_and_what_is_overtaken_too_often_gets_its_turn() {
    let one: &[(&str, u64)] = &[("gpu", 1), ("cpu", 0)];
    let mut actions = vec![action("a0", &[], one), action("a1", &[], one)];
    actions.push(action("big", &[], &[("gpu", 2), ("cpu", 0)]));
    actions.extend((0..200).map(|n| action(&format!("small{n:03}"), &[], one)));
    let plan = plan(actions);
    let mut scheduler = scheduler(&plan, 1).unwrap();
    let mut running: Vec<u32> = Vec::new();
    let mut order = Vec::new();
    loop {
        match scheduler.next(NOW) {
            Next::Task(Task::Resolve { id, .. }) => drop(scheduler.queue(id)),
            Next::Task(Task::Run { id, .. }) => {
                running.push(id.0);
                order.push(id.0);
                assert!(running.len() <= 2 && (!running.contains(&2) || running == [2]), "{running:?}");
            }
            // The oldest ends: one of the two is free, the other busy, so the big one never fits by chance.
            Next::Wait(_) => scheduler.succeed(ActionId(running.remove(0)), Outcome::Ran),
            Next::Task(other) => panic!("{other:?}"),
            Next::Broken => panic!("nothing was spent"),
            Next::End => break,
        }
    }
    assert_eq!(order.len(), plan.actions.len());
    let place = order.iter().position(|id| *id == 2).unwrap();
    assert!((3..=OVERTAKEN as usize + 4).contains(&place), "{place}");
}

#[test]
fn more_than_a_pool_has_is_refused_at_once() {
    let too_much = plan(vec![action("a", &[], &[("gpu", 3)])]);
    assert!(matches!(scheduler(&too_much, 1), Err(Error::PoolTooSmall { amount: 3, capacity: 2, .. })));
    let unknown = plan(vec![action("a", &[], &[("tpu", 1)])]);
    assert!(matches!(scheduler(&unknown, 1), Err(Error::PoolUnknown { .. })));
    let cpus = plan(vec![action("a", &[], &[("cpu", 4)])]);
    assert!(scheduler(&cpus, 2).is_err() && scheduler(&cpus, 4).is_ok());
}

#[test]
fn a_circle_is_refused() {
    let plan = plan(vec![action("a", &[1], &[]), action("b", &[0], &[])]);
    assert!(matches!(scheduler(&plan, 1), Err(Error::Plan(_))));
}

#[test]
fn failure_skips_what_depends_on_it_and_nothing_else() {
    let plan = plan(vec![action("a", &[], &[]), action("b", &[0], &[]), action("c", &[1], &[]), action("d", &[], &[])]);
    let mut scheduler = scheduler(&plan, 1).unwrap();
    assert_eq!(resolve(&mut scheduler), 0);
    let skips = scheduler.fail(&plan, ActionId(0), Outcome::Failed, &Reason::NeverSeen);
    let because = Reason::ProducerFailed { addr: "a".into() };
    assert_eq!(skips, [(ActionId(1), because.clone()), (ActionId(2), because)]);
    assert_eq!(resolve(&mut scheduler), 3);
    scheduler.succeed(ActionId(3), Outcome::Cached);
    assert_eq!(scheduler.next(NOW), Next::End);
}

#[test]
fn a_rewound_producer_runs_again_before_the_action_that_missed_it_and_only_so_often() {
    let plan = plan(vec![action("a", &[], &[]), action("b", &[0], &[]), action("c", &[0], &[])]);
    let mut scheduler = scheduler(&plan, 4).unwrap();
    let lost = Lost { digest: Digest::of_blob(b"x"), reason: Reason::Evicted };
    assert_eq!(resolve(&mut scheduler), 0);
    scheduler.succeed(ActionId(0), Outcome::Cached);
    assert_eq!((resolve(&mut scheduler), resolve(&mut scheduler)), (1, 2));
    scheduler.queue(ActionId(2));
    for round in 0..=REWINDS {
        scheduler.queue(ActionId(1));
        let running = [run(&mut scheduler), (round == 0).then(|| run(&mut scheduler)).flatten()];
        assert!(running.contains(&Some(1)));
        let rewound = scheduler.rewind(&plan, ActionId(1), ActionId(0), lost.clone());
        if round == REWINDS {
            assert!(matches!(rewound, Err(Error::StoreLoses { .. })));
            return;
        }
        assert_eq!(rewound.unwrap(), []);
        let Next::Task(Task::Resolve { id: ActionId(0), again: Some(Reason::Evicted) }) = scheduler.next(NOW) else {
            panic!("the producer is made again")
        };
        assert_eq!(scheduler.next(NOW), Next::Wait(None), "the consumer waits for it");
        scheduler.succeed(ActionId(0), Outcome::Ran);
        assert_eq!(resolve(&mut scheduler), 1, "the other consumer goes on undisturbed");
    }
}

#[test]
fn a_delayed_action_comes_back_when_its_time_has_come() {
    let plan = plan(vec![action("a", &[], &[])]);
    let mut scheduler = scheduler(&plan, 1).unwrap();
    assert_eq!(resolve(&mut scheduler), 0);
    scheduler.queue(ActionId(0));
    assert_eq!(run(&mut scheduler), Some(0));
    scheduler.delay(ActionId(0), Duration::from_secs(3));
    assert_eq!(scheduler.next(Duration::from_secs(1)), Next::Wait(Some(Duration::from_secs(2))));
    let again = Next::Task(Task::Run { id: ActionId(0), attempt: 2 });
    assert_eq!(scheduler.next(Duration::from_secs(3)), again);
    scheduler.stop();
    assert_eq!(scheduler.next(Duration::from_secs(3)), Next::Wait(None));
    scheduler.succeed(ActionId(0), Outcome::Ran);
    assert_eq!(scheduler.next(Duration::from_secs(3)), Next::End);
}
