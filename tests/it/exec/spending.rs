//! Budgets of tenants over more than a run: what was spent counts until the next day, week or month begins in UTC, beside
//! each other too, whatever the clock does and whoever is killed. Leaves out budgets of one run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use partita::base::{Clock, SystemClock, Timestamp};
use partita::event::{Outcome, Reason};
use partita::exec::{Error, Ports, Purse, RunReport, execute};
use partita::plan::{Class, Plan, Route, TenantTerms};
use partita::store::Spending;

use super::support::{Draft, World, plan};

/// A clock whose wall time a test sets.
struct Wall {
    real: SystemClock,
    at: Mutex<Timestamp>,
}

impl Wall {
    fn at(text: &str) -> Arc<Self> {
        let wall = Self { real: SystemClock::new(), at: Mutex::default() };
        wall.set(text);
        Arc::new(wall)
    }

    /// To a date, of a time of day in UTC.
    fn set(&self, text: &str) {
        let (date, time) = text.split_once('T').unwrap();
        let numbers = |text: &str, at: char| text.split(at).map(|part| part.parse().unwrap()).collect::<Vec<i64>>();
        let (date, time) = (numbers(date, '-'), numbers(time, ':'));
        // Days of the calendar before a date: 2025 is no leap year.
        let months = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let before: i64 = months[..usize::try_from(date[1] - 1).unwrap()].iter().sum();
        assert_eq!(date[0], 2025);
        let days = 20_089 + before + date[2] - 1;
        let seconds = ((days * 24 + time[0]) * 60 + time[1]) * 60 + time[2];
        *self.at.lock().unwrap() = Timestamp(seconds * 1_000_000_000);
    }
}

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        *self.at.lock().unwrap()
    }

    fn elapsed(&self) -> Duration {
        self.real.elapsed()
    }
}

/// Actions that each cost so much at most, of a tenant with a budget.
fn priced(budget: &str, prices: &[(&str, u64)], script: &str) -> Plan {
    let drafts = prices.iter().map(|(addr, _)| Draft::sh(addr, script).class(Class::Volatile));
    let mut plan = plan(drafts).build();
    for action in &mut plan.actions {
        let at_most = prices.iter().find(|(addr, _)| *addr == action.addr).unwrap().1;
        action.route = (at_most > 0).then(|| Route {
            capability: None,
            agent: None,
            kind: "tool".into(),
            chosen: "sh".into(),
            tier: "secondary".into(),
            model: None,
            at_most,
            once: 0,
            price: "per call".into(),
            coalesced: None,
            estimate: None,
            rejected: vec![],
        });
    }
    plan.terms.tenant = Some(TenantTerms {
        name: "acme".into(),
        budget: Some(budget.into()),
        tiers: vec!["secondary".into()],
        trust: None,
        capabilities: None,
        quota: BTreeMap::new(),
        weight: 1,
    });
    plan
}

/// Runs a plan at a time, as a process does: with the file opened for itself. Of the runs that are named some live.
fn spend(
    world: &World,
    file: &Path,
    wall: &Arc<Wall>,
    plan: Plan,
    run: &str,
    alive: &[&str],
) -> Result<RunReport, Error> {
    let alive: Vec<String> = alive.iter().map(|run| (*run).to_owned()).collect();
    let purse = Purse {
        spending: Arc::new(Spending::open(file).unwrap()),
        is_alive: Arc::new(move |run| alive.iter().any(|one| one == run)),
    };
    let mut request = world.request(plan);
    run.clone_into(&mut request.run);
    request.purse = Some(purse);
    execute(request, Ports { clock: wall.clone(), ..world.ports() })
}

fn outcomes(report: &RunReport) -> Vec<Outcome> {
    report.actions.iter().map(|action| action.outcome).collect()
}

const DOLLAR: u64 = 1_000_000;

#[test]
fn what_earlier_runs_spent_counts_until_the_next_month_begins() {
    let world = World::new();
    let file = world.side("spending.sqlite");
    let wall = Wall::at("2025-01-31T23:59:58");
    let run = |budget: &str, price: u64| {
        let plan = priced(budget, &[("g/a", price), ("g/free", 0)], ":");
        spend(&world, &file, &wall, plan, "r", &[]).unwrap()
    };
    let ran = |budget: &str, price: u64| run(budget, price).action("g/a").unwrap().outcome == Outcome::Ran;
    let (month, day) = ("$1.00 per month, then stop", "$1.00 per day, then stop");
    assert!(ran(month, 6 * DOLLAR / 10));
    let report = run(month, 6 * DOLLAR / 10);
    let refused = report.action("g/a").unwrap();
    assert_eq!(refused.outcome, Outcome::Skipped);
    assert_eq!(refused.reason, Reason::BudgetSpent { needed: 600_000, left: 400_000 });
    assert_eq!(
        refused.failure.as_ref().unwrap().text,
        "`g/a` may cost $0.60, and $0.40 is left of the budget of tenant `acme` for this month (in UTC): nothing more is \
         started"
    );
    assert!(ran(month, 4 * DOLLAR / 10), "to the last of it");
    assert!(!ran(month, 1));
    assert!(ran("$1.50 per month, then stop", DOLLAR / 2), "it was raised");
    // What a run may spend is no matter of others.
    assert!(ran("$1.00 per run, then stop", DOLLAR));
    wall.set("2025-02-01T00:00:00");
    assert!(ran(month, DOLLAR), "a new month has begun");
    wall.set("2025-02-02T00:00:00");
    assert!(ran(day, DOLLAR), "a new day, of which nothing was spent");
    assert!(!ran(month, 1));
}

#[test]
fn a_clock_set_back_makes_no_new_budget() {
    let world = World::new();
    let file = world.side("spending.sqlite");
    let wall = Wall::at("2025-06-15T12:00:00");
    let run = || {
        let plan = priced("$1.00 per day, then stop", &[("g/a", DOLLAR)], ":");
        spend(&world, &file, &wall, plan, "r", &[]).unwrap().counts.ran
    };
    assert_eq!(run(), 1);
    for set_back in ["2025-06-15T00:00:01", "2025-06-14T12:00:00", "2025-01-01T00:00:00"] {
        wall.set(set_back);
        assert_eq!(run(), 0, "{set_back}: what is dated later was spent all the same");
    }
    wall.set("2025-06-15T12:00:01");
    assert_eq!(run(), 0);
    wall.set("2025-06-16T00:00:00");
    assert_eq!(run(), 1);
}

#[test]
fn a_budget_that_pauses_lets_go_on_what_costs_nothing() {
    let world = World::new();
    let file = world.side("spending.sqlite");
    let wall = Wall::at("2025-06-15T12:00:00");
    let prices = [("g/a", DOLLAR), ("g/b", DOLLAR), ("g/c", 0)];
    let run = |then: &str| {
        let plan = priced(&format!("$1.00 per week, then {then}"), &prices, ":");
        outcomes(&spend(&world, &file, &wall, plan, "r", &[]).unwrap())
    };
    let first = run("pause");
    assert_eq!(first.iter().filter(|outcome| **outcome == Outcome::Ran).count(), 2, "{first:?}");
    assert_eq!(run("pause"), [Outcome::Skipped, Outcome::Skipped, Outcome::Ran]);
}

#[test]
fn runs_beside_each_other_do_not_spend_it_twice() {
    let file_of = World::new();
    let file = file_of.side("spending.sqlite");
    let wall = Wall::at("2025-06-15T12:00:00");
    let prices: Vec<(String, u64)> = (0..6).map(|n| (format!("g/{n}"), DOLLAR / 10)).collect();
    let prices: Vec<(&str, u64)> = prices.iter().map(|(addr, price)| (addr.as_str(), *price)).collect();
    let names = ["one", "two", "three"];
    let ran: u64 = std::thread::scope(|scope| {
        let runs: Vec<_> = names
            .iter()
            .map(|name| {
                let plan = priced("$1.00 per day, then pause", &prices, ":");
                let (file, wall) = (&file, &wall);
                scope.spawn(move || spend(&World::new(), file, wall, plan, name, &names).unwrap().counts.ran)
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).sum()
    });
    println!("18 attempts of $0.10 by three runs at once, of a budget of $1.00: {ran} were started");
    assert_eq!(ran, 10);
}

#[test]
fn what_the_dead_set_aside_is_spent_and_what_the_living_did_may_come_back() {
    let world = World::new();
    let file = world.side("spending.sqlite");
    let wall = Wall::at("2025-06-15T12:00:00");
    let now = wall.now();
    let since = Timestamp(now.0 - 1);
    // A run that was killed, and one that is under way.
    let other = Spending::open(&file).unwrap();
    let set_aside = |run: &str, amount: u64| match other.set_aside(("acme", run), since, (amount, DOLLAR), now).unwrap()
    {
        partita::store::SetAside::Done(row) => row,
        lack @ partita::store::SetAside::Lack { .. } => panic!("{lack:?}"),
    };
    set_aside("killed", DOLLAR / 4);
    let row = set_aside("living", DOLLAR / 2);
    let run = |price: u64| {
        let plan = priced("$1.00 per day, then stop", &[("g/a", price)], ":");
        spend(&world, &file, &wall, plan, "mine", &["living", "mine"]).unwrap()
    };
    // More than there can ever be, as nobody knows what the killed one spent: nobody waits.
    assert_eq!(run(8 * DOLLAR / 10).actions[0].reason, Reason::BudgetSpent { needed: 800_000, left: 750_000 });
    // What the living one did not need is there when it says so.
    let report = std::thread::scope(|scope| {
        let waits = scope.spawn(|| run(7 * DOLLAR / 10));
        other.settle(row, 50_000).unwrap();
        waits.join().unwrap()
    });
    assert_eq!(outcomes(&report), [Outcome::Ran]);
    assert_eq!(run(1).actions[0].reason, Reason::BudgetSpent { needed: 1, left: 0 });
}

#[test]
fn what_cannot_be_written_down_is_not_begun() {
    let world = World::new();
    let file = world.side("spending.sqlite");
    let wall = Wall::at("2025-06-15T12:00:00");
    drop(Spending::open(&file).unwrap());
    let mark = world.side("mark");
    let plan = priced("$1.00 per day, then stop", &[("g/a", 1)], &format!("echo began > {}", mark.display()));
    let spending = Arc::new(Spending::open(&file).unwrap());
    // Whatever is in the file now is no table.
    std::fs::write(&file, vec![7; 64 * 1024]).unwrap();
    let mut request = world.request(plan);
    request.purse = Some(Purse { spending, is_alive: Arc::new(|_| false) });
    let error = execute(request, Ports { clock: wall, ..world.ports() }).unwrap_err();
    assert!(error.to_string().contains("spending.sqlite"), "{error}");
    assert!(!mark.exists(), "nothing was begun");
}
