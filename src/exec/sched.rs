//! Decides what is done next: the graph, the queues, the pools. A plain data structure under one
//! lock, without IO or threads. Leaves out how anything is done.
//!
//! Order: what has the longest way to the end of the run goes first (by expected durations once
//! something must run, by the number of actions before that), then by address. Actions that need
//! the same resources share a queue, so that choosing costs the number of distinct needs, not of
//! actions.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::{Becomes, Digest};
use crate::event::{Outcome, Reason};
use crate::exec::Error;
use crate::exec::budget::{Budget, Lack, Price, Room};
use crate::exec::pools::{CPU, Needs, Pools};
use crate::exec::state::{self as at, State};
use crate::plan::{ActionId, InputSource, Plan, Schedule};

/// How often other actions may overtake one that waits for resources. Then these are kept for it.
const OVERTAKEN: u32 = 64;
/// Actions that are resolved ahead of those that run.
const QUEUED: usize = 4_096;
/// How often the same action may be made again as the store lost its result, in one run.
const REWINDS: u32 = 3;

type Place = (Reverse<u64>, u32);

#[derive(Debug)]
struct Node {
    /// Which of the lanes that take turns it belongs to.
    lane: u32,
    state: State,
    consumers: Vec<u32>,
    /// The index of its queue.
    queue: usize,
    /// Expected milliseconds from its start to the end of all that depends on it.
    weight: u64,
    /// Why it is made again, if it is.
    again: Option<Reason>,
    attempt: u32,
    rewinds: u32,
    /// Whether it was done before; then only `waiters` wait for it.
    done_before: bool,
    waiters: Vec<u32>,
}

/// A queue of actions with the same needs.
#[derive(Debug)]
struct Queue {
    needs: Needs,
    price: Price,
    places: BTreeSet<Place>,
    overtaken: u32,
}

/// Something for a worker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Compute the key and look for a result.
    Resolve {
        /// The action.
        id: ActionId,
        /// Why it must be made again whatever is known.
        again: Option<Reason>,
    },
    /// Make an attempt.
    Run {
        /// The action.
        id: ActionId,
        /// From 1.
        attempt: u32,
    },
    /// Say that there is not enough left of the budget for it.
    Refuse {
        /// The action.
        id: ActionId,
        /// How much is lacking, and of whose budget.
        lack: Lack,
    },
}

/// What a worker does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This.
    Task(Task),
    /// Wait until something ends, or for this long.
    Wait(Option<Duration>),
    /// Nothing more.
    End,
    /// End the run, as what is spent cannot be written down: see [`Scheduler::broken`].
    Broken,
}

/// What is left to be done, by how long it took before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// Actions that are not done.
    pub(super) open: u64,
    /// Those of which it is known how long they took.
    pub(super) known: u64,
    /// How long these took together, in milliseconds.
    pub(super) work_ms: u64,
    /// What they take however many run at once, in milliseconds: by their order and by resources.
    pub(super) least_ms: u64,
    /// How many may run at once.
    pub(super) concurrency: usize,
}

/// An action that will not be tried, and why.
pub(super) type Skips = Vec<(ActionId, Reason)>;

/// The scheduler of one run.
#[derive(Debug)]
pub(super) struct Scheduler {
    nodes: BTreeMap<u32, Node>,
    ready: BTreeSet<Place>,
    queues: Vec<Queue>,
    delayed: BTreeSet<(Duration, u32)>,
    pools: Pools,
    budget: Budget,
    concurrency: usize,
    running: usize,
    active: usize,
    open: usize,
    weighed: bool,
    stopped: bool,
    schedule: Schedule,
    /// How many are resolved and wait for their turn.
    queued: usize,
    /// Why the run cannot go on.
    broken: Option<Error>,
}

impl Scheduler {
    /// The actions that the targets need, all of them waiting or ready; without those that are given.
    pub(super) fn new(
        plan: &Plan,
        targets: &[ActionId],
        given: &BTreeSet<ActionId>,
        pools: Pools,
    ) -> Result<Self, Error> {
        let mut nodes: BTreeMap<u32, Node> = BTreeMap::new();
        let mut open: Vec<u32> = targets.iter().map(|id| id.0).collect();
        let mut edges = Vec::new();
        let mut lanes: BTreeMap<&str, u32> = BTreeMap::new();
        let mut kinds: BTreeMap<(Needs, Price), usize> = BTreeMap::new();
        while let Some(id) = open.pop() {
            if nodes.contains_key(&id) {
                continue;
            }
            let Some(action) = plan.actions.get(id as usize) else {
                return Err(Error::Plan(format!("there is no action {id}")));
            };
            let mut dependencies = action.dependencies();
            dependencies.retain(|dependency| !given.contains(dependency));
            let missing = dependencies.len() as u32;
            let next = kinds.len();
            let queue = *kinds.entry((pools.needs(action)?, Price::of(action))).or_insert(next);
            let next = lanes.len() as u32;
            let node = Node {
                lane: *lanes.entry(lane_of(&action.addr)).or_insert(next),
                state: if missing == 0 { State::Ready } else { State::Waiting { missing } },
                consumers: Vec::new(),
                queue,
                weight: 0,
                again: None,
                attempt: 0,
                rewinds: 0,
                done_before: false,
                waiters: Vec::new(),
            };
            nodes.insert(id, node);
            for dependency in dependencies {
                edges.push((dependency.0, id));
                open.push(dependency.0);
            }
        }
        for (producer, consumer) in edges {
            if let Some(node) = nodes.get_mut(&producer) {
                node.consumers.push(consumer);
            }
        }
        let concurrency =
            plan.concurrency.map_or(usize::MAX, |limit| usize::try_from(limit.max(1)).unwrap_or(usize::MAX));
        let open = nodes.len();
        let mut queues: Vec<(usize, (Needs, Price))> = kinds.into_iter().map(|(kind, index)| (index, kind)).collect();
        queues.sort_unstable();
        let queues =
            queues.into_iter().map(|(_, (needs, price))| Queue { needs, price, places: BTreeSet::new(), overtaken: 0 });
        let mut scheduler = Self {
            nodes,
            ready: BTreeSet::new(),
            queues: queues.collect(),
            delayed: BTreeSet::new(),
            pools,
            budget: Budget::default(),
            concurrency,
            running: 0,
            active: 0,
            open,
            weighed: false,
            stopped: false,
            schedule: plan.policies.schedule,
            queued: 0,
            broken: None,
        };
        scheduler.weigh(|_| 1)?;
        Ok(scheduler)
    }

    /// The ids of all actions of the run, in address order.
    pub(super) fn ids(&self) -> Vec<ActionId> {
        self.nodes.keys().copied().map(ActionId).collect()
    }

    /// Nothing is started for which there is not enough left of this.
    pub(super) fn spend_from(&mut self, budget: Budget) {
        self.budget = budget;
    }

    /// What is left of it, for what comes after.
    pub(super) fn budget_left(&mut self) -> Budget {
        std::mem::take(&mut self.budget)
    }

    /// An attempt ended, and cost this; `None`: nobody says, so all that it might.
    pub(super) fn settle(&mut self, id: ActionId, actual: Option<u64>) {
        self.budget.settle(id.0, actual);
    }

    /// Whether nothing new starts.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether a worker has this action, or one will.
    pub(super) fn is_coming(&self, id: ActionId) -> bool {
        match self.node(id.0).state {
            State::Queued | State::Delayed => !self.stopped,
            state => state.is_active(),
        }
    }

    /// Another action goes ahead with the key of this one. `waits`: it has not ended.
    pub(super) fn follow(&mut self, id: ActionId, waits: bool) {
        if waits {
            self.set(id.0, at::Resolving, at::Waiting(1));
        } else {
            self.set(id.0, at::Resolving, at::Ready);
        }
    }

    /// What this action followed has ended.
    pub(super) fn proceed(&mut self, id: u32) {
        // It may have been skipped meanwhile.
        if self.node(id).state == (State::Waiting { missing: 1 }) {
            self.set(id, at::Waiting(1), at::Ready);
        }
    }

    /// Whether a worker has this action.
    pub(super) fn is_active(&self, id: ActionId) -> bool {
        self.node(id.0).state.is_active()
    }

    /// Whether expected durations have been asked for.
    pub(super) fn is_weighed(&self) -> bool {
        self.weighed
    }

    /// Orders by the expected durations of actions, and tells how much is left to be done.
    pub(super) fn weigh_by(&mut self, expected: &BTreeMap<u32, u64>) -> Result<Option<Left>, Error> {
        self.weighed = true;
        if expected.is_empty() {
            return Ok(None);
        }
        // Of what was never run nobody knows that it is short.
        let unknown = if self.schedule == Schedule::Shortest { u64::from(u32::MAX) } else { 0 };
        self.weigh(|id| expected.get(&id).copied().unwrap_or(unknown).saturating_add(1))?;
        let is_open = |id: u32| !matches!(self.node(id).state, State::Done(_));
        let took = |id: u32| expected.get(&id).copied().filter(|_| is_open(id)).unwrap_or(0);
        let known = || expected.keys().filter(|id| self.nodes.contains_key(id) && is_open(**id));
        Ok(Some(Left {
            open: self.open as u64,
            known: known().count() as u64,
            work_ms: known().fold(0, |sum, id| sum.saturating_add(took(*id))),
            least_ms: self.ways(took)?.into_values().max().unwrap_or(0).max(self.busiest(took)),
            concurrency: self.concurrency,
        }))
    }

    /// How long the most wanted resource is needed, all of it in use all the time.
    fn busiest(&self, cost: impl Fn(u32) -> u64) -> u64 {
        let mut wanted: BTreeMap<usize, u64> = BTreeMap::new();
        for (id, node) in &self.nodes {
            for (pool, amount) in &self.queues[node.queue].needs {
                let sum = wanted.entry(*pool).or_default();
                *sum = sum.saturating_add(cost(*id).saturating_mul(*amount));
            }
        }
        wanted.into_iter().map(|(pool, sum)| sum / self.pools.capacity(pool).max(1)).max().unwrap_or(0)
    }

    /// The length of the longest way from each action to the end.
    fn ways(&self, cost: impl Fn(u32) -> u64) -> Result<BTreeMap<u32, u64>, Error> {
        let mut consumers_left: BTreeMap<u32, usize> =
            self.nodes.iter().map(|(id, n)| (*id, n.consumers.len())).collect();
        let mut producers: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (id, node) in &self.nodes {
            for consumer in &node.consumers {
                producers.entry(*consumer).or_default().push(*id);
            }
        }
        let mut open: Vec<u32> = consumers_left.iter().filter(|(_, left)| **left == 0).map(|(id, _)| *id).collect();
        let mut ways = BTreeMap::new();
        while let Some(id) = open.pop() {
            let behind = self.nodes[&id].consumers.iter().filter_map(|consumer| ways.get(consumer)).max();
            ways.insert(id, cost(id).saturating_add(behind.copied().unwrap_or(0)));
            for producer in producers.get(&id).into_iter().flatten() {
                if let Some(left) = consumers_left.get_mut(producer) {
                    *left -= 1;
                    if *left == 0 {
                        open.push(*producer);
                    }
                }
            }
        }
        if ways.len() < self.nodes.len() {
            return Err(Error::Plan("its dependencies go in a circle".to_owned()));
        }
        Ok(ways)
    }

    /// Gives every action its place in the order.
    fn weigh(&mut self, cost: impl Fn(u32) -> u64) -> Result<(), Error> {
        let mut weights = self.ways(&cost)?;
        match self.schedule {
            Schedule::Critical => {}
            Schedule::Shortest => weights = self.nodes.keys().map(|id| (*id, u64::MAX - cost(*id))).collect(),
            Schedule::Fair => {
                // The first of every lane, then the second of every lane.
                let mut places: Vec<Place> = weights.iter().map(|(id, weight)| (Reverse(*weight), *id)).collect();
                places.sort_unstable();
                let mut turns: BTreeMap<u32, u64> = BTreeMap::new();
                for (_, id) in places {
                    let turn = turns.entry(self.nodes[&id].lane).or_default();
                    *turn += 1;
                    weights.insert(id, u64::MAX - *turn);
                }
            }
        }
        self.ready.clear();
        self.queues.iter_mut().for_each(|queue| queue.places.clear());
        for (id, node) in &mut self.nodes {
            node.weight = weights.get(id).copied().unwrap_or(0);
            let place = (Reverse(node.weight), *id);
            match node.state {
                State::Ready => {
                    self.ready.insert(place);
                }
                State::Queued => {
                    self.queues[node.queue].places.insert(place);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn node(&self, id: u32) -> &Node {
        self.nodes.get(&id).expect("every id the scheduler hands out or keeps is of the run")
    }

    fn node_mut(&mut self, id: u32) -> &mut Node {
        self.nodes.get_mut(&id).expect("every id the scheduler hands out or keeps is of the run")
    }

    /// The one place where states change, by the ways that there are: keeps queues and counts in step.
    fn set<Before, After>(&mut self, id: u32, from: Before, to: After)
    where
        Before: Becomes<After>,
        State: From<Before> + From<After>,
    {
        let node = self.node(id);
        let (before, weight, queue) = (node.state, node.weight, node.queue);
        assert_eq!(before, from.into(), "action {id} is not where it is taken from");
        let next = State::from(to);
        let place = (Reverse(weight), id);
        match before {
            State::Ready => {
                self.ready.remove(&place);
            }
            State::Queued => {
                self.queues[queue].places.remove(&place);
                self.queued -= 1;
            }
            State::Running => {
                self.pools.give_back(&self.queues[queue].needs);
                self.budget.settle(id, None);
                self.running -= 1;
            }
            State::Done(_) => self.open += 1,
            State::Waiting { .. } | State::Resolving | State::Delayed => {}
        }
        match next {
            State::Ready => {
                self.ready.insert(place);
            }
            State::Queued => {
                self.queues[queue].places.insert(place);
                self.queued += 1;
            }
            State::Running => {
                self.pools.take(&self.queues[queue].needs);
                self.running += 1;
            }
            State::Done(_) => self.open -= 1,
            State::Waiting { .. } | State::Resolving | State::Delayed => {}
        }
        self.active -= usize::from(before.is_active());
        self.active += usize::from(next.is_active());
        self.node_mut(id).state = next;
    }

    /// Ends an action. What cannot be the end of what it is doing is a mistake of who says so.
    fn end(&mut self, id: u32, outcome: Outcome) {
        match (self.node(id).state, outcome) {
            (State::Resolving, Outcome::Ran) => self.set(id, at::Resolving, at::Ran),
            (State::Resolving, Outcome::Cached) => self.set(id, at::Resolving, at::Cached),
            (State::Resolving, Outcome::CutOff) => self.set(id, at::Resolving, at::CutOff),
            (State::Resolving, Outcome::Failed) => self.set(id, at::Resolving, at::Failed),
            (State::Resolving, Outcome::Skipped) => self.set(id, at::Resolving, at::Skipped),
            (State::Running, Outcome::Ran) => self.set(id, at::Running, at::Ran),
            (State::Running, Outcome::Failed) => self.set(id, at::Running, at::Failed),
            (State::Running, Outcome::Skipped) => self.set(id, at::Running, at::Skipped),
            (State::Waiting { missing }, Outcome::Skipped) => self.set(id, at::Waiting(missing), at::Skipped),
            (State::Ready, Outcome::Skipped) => self.set(id, at::Ready, at::Skipped),
            (State::Queued, Outcome::Skipped) => self.set(id, at::Queued, at::Skipped),
            (State::Delayed, Outcome::Skipped) => self.set(id, at::Delayed, at::Skipped),
            (state, outcome) => panic!("action {id} cannot end as {outcome:?} while it is {state:?}"),
        }
    }

    /// Why the run cannot go on, if it cannot.
    pub(super) fn broken(&mut self) -> Option<Error> {
        self.broken.take()
    }

    /// Nothing new starts from now on.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    /// What a worker should do at this time (as `Clock::elapsed` tells it).
    pub(super) fn next(&mut self, now: Duration) -> Next {
        if self.open == 0 || self.stopped && self.active == 0 {
            return Next::End;
        }
        if self.stopped {
            return Next::Wait(None);
        }
        while let Some((due, id)) = self.delayed.first().copied() {
            if due > now {
                break;
            }
            self.delayed.remove(&(due, id));
            self.set(id, at::Delayed, at::Queued);
        }
        let mut pause = self.budget.look(now);
        while let Some(id) = self.choose() {
            let price = &self.queues[self.node(id).queue].price;
            let asked = match self.budget.room(price) {
                Room::Never => Err(self.budget.lack(price)),
                _ => match self.budget.ask(id, price) {
                    Ok(asked) => asked,
                    Err(error) => {
                        self.broken = Some(error.into());
                        return Next::Broken;
                    }
                },
            };
            match asked {
                Ok(true) => {}
                Ok(false) => {
                    // What costs nothing need not wait.
                    pause = self.budget.look(now);
                    continue;
                }
                Err(lack) => {
                    self.set(id, at::Queued, at::Running);
                    return Next::Task(Task::Refuse { id: ActionId(id), lack });
                }
            }
            self.budget.reserve(id, price);
            self.set(id, at::Queued, at::Running);
            let node = self.node_mut(id);
            node.attempt += 1;
            return Next::Task(Task::Run { id: ActionId(id), attempt: node.attempt });
        }
        // What is resolved holds memory until it has run: no more of it than can be of use.
        let is_full = self.queued >= QUEUED && self.running > 0;
        if let Some((_, id)) = self.ready.first().copied().filter(|_| !is_full) {
            self.set(id, at::Ready, at::Resolving);
            let again = self.node_mut(id).again.clone();
            return Next::Task(Task::Resolve { id: ActionId(id), again });
        }
        let due = self.delayed.first().map(|(due, _)| due.saturating_sub(now));
        Next::Wait(due.into_iter().chain(pause).min())
    }

    /// The first of the queues whose resources are free, and whose price can be paid or never will be.
    fn choose(&mut self) -> Option<u32> {
        if self.running >= self.concurrency {
            return None;
        }
        let mut heads: Vec<(Place, usize)> = Vec::new();
        for (index, queue) in self.queues.iter().enumerate() {
            heads.extend(queue.places.first().map(|place| (*place, index)));
        }
        heads.sort_unstable();
        let mut kept: BTreeSet<usize> = BTreeSet::new();
        let mut saves = false;
        let chosen = heads.iter().position(|(_, index)| {
            let queue = &self.queues[*index];
            let is_kept = queue.needs.iter().any(|(pool, _)| kept.contains(pool));
            let room = self.budget.room(&queue.price);
            let is_saved = saves && queue.price.each() > 0;
            if !is_kept && !is_saved && room != Room::Later && self.pools.fit(&queue.needs) {
                return true;
            }
            if queue.overtaken >= OVERTAKEN {
                saves |= room == Room::Later;
                kept.extend(queue.needs.iter().map(|(pool, _)| *pool));
            }
            false
        })?;
        for (_, index) in &heads[..chosen] {
            self.queues[*index].overtaken += 1;
        }
        let (place, index) = heads[chosen];
        self.queues[index].overtaken = 0;
        Some(place.1)
    }

    /// A resolved action must run. Gives the resources of which too little is free for it, other than
    /// processors, which everything waits for.
    pub(super) fn queue(&mut self, id: ActionId) -> Vec<String> {
        self.set(id.0, at::Resolving, at::Queued);
        let Queue { needs, price, .. } = &self.queues[self.node(id.0).queue];
        let money = (self.budget.room(price) == Room::Later).then(|| "budget".to_owned());
        self.pools.short(needs).filter(|name| *name != CPU).map(str::to_owned).chain(money).collect()
    }

    /// An attempt failed and another is to be made after this moment.
    pub(super) fn delay(&mut self, id: ActionId, until: Duration) {
        self.set(id.0, at::Running, at::Delayed);
        self.delayed.insert((until, id.0));
    }

    /// An action ended well; what waited for it alone is ready.
    pub(super) fn succeed(&mut self, id: ActionId, outcome: Outcome) {
        self.end(id.0, outcome);
        let node = self.node_mut(id.0);
        node.again = None;
        node.attempt = 0;
        let waiting = if node.done_before {
            std::mem::take(&mut node.waiters)
        } else {
            node.done_before = true;
            node.consumers.clone()
        };
        for consumer in waiting {
            match self.node(consumer).state {
                State::Waiting { missing: 1 } => self.set(consumer, at::Waiting(1), at::Ready),
                State::Waiting { missing } => self.set(consumer, at::Waiting(missing), at::Waiting(missing - 1)),
                // Skipped meanwhile, as something else it needs failed.
                _ => {}
            }
        }
    }

    /// An action ended badly. What depends on it will not be tried; the reason of these is told by
    /// the reason of the first.
    pub(super) fn fail(&mut self, plan: &Plan, id: ActionId, outcome: Outcome, reason: &Reason) -> Skips {
        self.end(id.0, outcome);
        let reason = match reason {
            Reason::Cancelled | Reason::RequireCached | Reason::BreakerOpen { .. } | Reason::BudgetSpent { .. }
                if outcome == Outcome::Skipped =>
            {
                reason.clone()
            }
            Reason::ProducerFailed { .. } => reason.clone(),
            _ => Reason::ProducerFailed { addr: plan.action(id).addr.clone() },
        };
        let mut skips = Skips::new();
        let mut open = vec![id.0];
        while let Some(id) = open.pop() {
            let node = self.node_mut(id);
            let mut behind = std::mem::take(&mut node.waiters);
            behind.extend(&node.consumers);
            for consumer in behind {
                if matches!(self.node(consumer).state, State::Waiting { .. }) {
                    self.end(consumer, Outcome::Skipped);
                    skips.push((ActionId(consumer), reason.clone()));
                    open.push(consumer);
                }
            }
        }
        skips.sort_by_key(|(id, _)| *id);
        skips
    }

    /// An action cannot go on as the store lost what `producer` made: that is made again first.
    pub(super) fn rewind(&mut self, plan: &Plan, id: ActionId, producer: ActionId, lost: Lost) -> Result<Skips, Error> {
        if !self.nodes.contains_key(&producer.0) {
            // It was given, and is not part of this run: only a run of the whole plan can make it again.
            let addr = plan.action(producer).addr.clone();
            return Err(Error::StoreLoses { addr, digest: lost.digest });
        }
        match self.node(producer.0).state {
            State::Done(Outcome::Failed | Outcome::Skipped) => {
                let reason = Reason::ProducerFailed { addr: plan.action(producer).addr.clone() };
                let mut skips = self.fail(plan, id, Outcome::Skipped, &reason);
                skips.push((id, reason));
                return Ok(skips);
            }
            State::Done(outcome @ (Outcome::Ran | Outcome::Cached | Outcome::CutOff)) => {
                let node = self.node_mut(producer.0);
                node.rewinds += 1;
                if node.rewinds > REWINDS {
                    let addr = plan.action(producer).addr.clone();
                    return Err(Error::StoreLoses { addr, digest: lost.digest });
                }
                node.again = Some(lost.reason);
                match outcome {
                    Outcome::Cached => self.set(producer.0, at::Cached, at::Ready),
                    Outcome::CutOff => self.set(producer.0, at::CutOff, at::Ready),
                    _ => self.set(producer.0, at::Ran, at::Ready),
                }
            }
            // Someone else noticed first.
            _ => {}
        }
        self.node_mut(id.0).attempt = 0;
        match self.node(id.0).state {
            State::Running => self.set(id.0, at::Running, at::Waiting(1)),
            _ => self.set(id.0, at::Resolving, at::Waiting(1)),
        }
        self.node_mut(producer.0).waiters.push(id.0);
        Ok(Skips::new())
    }

    /// An action must be resolved anew, as a file of the workspace had to be read again.
    pub(super) fn again(&mut self, plan: &Plan, id: ActionId, lost: Lost) -> Result<(), Error> {
        let node = self.node_mut(id.0);
        node.rewinds += 1;
        node.attempt = 0;
        if node.rewinds > REWINDS {
            return Err(Error::StoreLoses { addr: plan.action(id).addr.clone(), digest: lost.digest });
        }
        match self.node(id.0).state {
            State::Running => self.set(id.0, at::Running, at::Ready),
            _ => self.set(id.0, at::Resolving, at::Ready),
        }
        Ok(())
    }

    /// Ends what was not tried when the run was stopped.
    pub(super) fn sweep(&mut self) -> Skips {
        let left: Vec<u32> =
            self.nodes.iter().filter(|(_, node)| !matches!(node.state, State::Done(_))).map(|(id, _)| *id).collect();
        self.delayed.clear();
        for id in &left {
            self.end(*id, Outcome::Skipped);
        }
        left.into_iter().map(|id| (ActionId(id), Reason::Cancelled)).collect()
    }
}

/// A blob that was lost, and the reason that gives to make it again.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    /// The blob.
    pub digest: Digest,
    /// Why its producer runs again.
    pub reason: Reason,
}

/// The lane of an action: its graph and node.
fn lane_of(addr: &str) -> &str {
    addr.match_indices('/').nth(1).map_or(addr, |(cut, _)| &addr[..cut])
}

/// The actions whose outputs an action or a service it uses takes in, without duplicates.
pub(super) fn producers(plan: &Plan, id: ActionId) -> BTreeSet<ActionId> {
    let spec = &plan.action(id).spec;
    let own = spec.inputs.iter().filter_map(|input| match &input.source {
        InputSource::Output { action, .. } => Some(*action),
        InputSource::Workspace { .. } => None,
    });
    let services = spec.services.iter().filter_map(|name| plan.service(name));
    own.chain(services.flat_map(crate::plan::Service::producers)).collect()
}

#[cfg(test)]
mod tests;
