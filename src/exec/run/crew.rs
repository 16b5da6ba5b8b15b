//! The workers of runs that go on side by side, and what they share under one lock: the runs take turns, so that none
//! waits for the end of another. A run by itself is a crew's only one. Leaves out what workers do (`work`).

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::event::Spent;
use crate::exec::engine::Prepared;
use crate::exec::error::Error;
use crate::exec::flights::Flights;
use crate::exec::report::ActionReport;
use crate::exec::run::Run;
use crate::exec::sched::{Next, Scheduler, Task};

/// Bytes of stack of a worker: rendering a template recurses.
const STACK_BYTES: usize = 8 << 20;
/// How soon an idle worker notices that the run was cancelled. Busy ones notice at once.
const TICK: Duration = Duration::from_millis(50);

/// What is under the lock of one run.
pub(super) struct Shared {
    pub(super) scheduler: Scheduler,
    /// Resolved actions that wait for their turn or for another attempt.
    pub(super) prepared: BTreeMap<u32, Arc<Prepared>>,
    pub(super) reports: BTreeMap<u32, ActionReport>,
    /// What attempts spent on models, by action.
    pub(super) spent: BTreeMap<u32, Spent>,
    pub(super) error: Option<Error>,
    /// Whether a failure leaves alone what does not depend on it.
    pub(super) goes_on: bool,
    /// When there was nothing more to do.
    pub(super) ended: Option<Duration>,
    /// Whether those that followed what is not started any more go ahead by themselves.
    handed_over: bool,
}

impl Shared {
    pub(super) fn new(scheduler: Scheduler, goes_on: bool) -> Self {
        Self {
            scheduler,
            prepared: BTreeMap::new(),
            reports: BTreeMap::new(),
            spent: BTreeMap::new(),
            error: None,
            goes_on,
            ended: None,
            handed_over: false,
        }
    }
}

/// What all workers share.
pub(super) struct Crew {
    all: Mutex<All>,
    wake: Condvar,
    pub(super) flights: Flights,
}

struct All {
    runs: Vec<Shared>,
    panic: Option<Box<dyn std::any::Any + Send>>,
    idle: usize,
    /// Whose turn it is.
    turn: usize,
}

/// What a worker does next.
enum Turn {
    /// A task of one of the runs.
    Task(usize, Task),
    /// Wait until something ends, or for this long.
    Wait(Option<Duration>),
    /// There is nothing more to do for one of the runs.
    Close(usize),
    /// Ask again.
    Again,
    /// Nothing more.
    End,
}

/// The lock, held for one run.
pub(super) struct Mine<'c> {
    all: MutexGuard<'c, All>,
    number: usize,
}

impl Deref for Mine<'_> {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.all.runs[self.number]
    }
}

impl DerefMut for Mine<'_> {
    fn deref_mut(&mut self) -> &mut Shared {
        &mut self.all.runs[self.number]
    }
}

impl Mine<'_> {
    /// An action failed: nothing new starts, unless a failure leaves alone what does not depend on it. What it leaves
    /// alone in another run is for that run to say.
    pub(super) fn stop_for_failure(&mut self) {
        if !self.goes_on {
            for run in self.all.runs.iter_mut().filter(|run| !run.goes_on) {
                run.scheduler.stop();
            }
        }
    }

    /// Nothing new starts in any run, and this one ends with the first of such errors.
    pub(super) fn end_with(&mut self, error: Error) {
        self.all.end_with(self.number, error);
    }
}

impl All {
    fn end_with(&mut self, number: usize, error: Error) {
        self.runs.iter_mut().for_each(|run| run.scheduler.stop());
        self.runs[number].error.get_or_insert(error);
    }

    fn next(&mut self, now: Duration) -> Turn {
        let count = self.runs.len();
        let mut wait: Option<Option<Duration>> = None;
        for step in 0..count {
            let number = (self.turn + step) % count;
            let run = &mut self.runs[number];
            match run.scheduler.next(now) {
                Next::End if run.ended.is_none() => {
                    run.ended = Some(now);
                    return Turn::Close(number);
                }
                Next::End => {}
                Next::Broken => {
                    if let Some(error) = run.scheduler.broken() {
                        self.end_with(number, error);
                    }
                    return Turn::Again;
                }
                Next::Wait(left) => wait = Some(wait.flatten().into_iter().chain(left).min()),
                Next::Task(task) => {
                    self.turn = number + 1;
                    return Turn::Task(number, task);
                }
            }
        }
        wait.map_or(Turn::End, Turn::Wait)
    }
}

impl Crew {
    /// The crew of these runs.
    pub(super) fn new(runs: Vec<Shared>) -> Self {
        Self {
            all: Mutex::new(All { runs, panic: None, idle: 0, turn: 0 }),
            wake: Condvar::new(),
            flights: Flights::default(),
        }
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock, for one run.
    pub(super) fn lock(&self, number: usize) -> Mine<'_> {
        Mine { all: self.all(), number }
    }

    /// What became of the runs, and the panic that ended them, if one did.
    pub(super) fn into_inner(self) -> (Vec<Shared>, Option<Box<dyn std::any::Any + Send>>) {
        let all = self.all.into_inner().unwrap_or_else(PoisonError::into_inner);
        (all.runs, all.panic)
    }

    /// Runs the workers to the end.
    pub(super) fn work(&self, runs: &[Run<'_>], workers: usize) -> Result<(), Error> {
        std::thread::scope(|scope| {
            for number in 0..workers {
                let builder = std::thread::Builder::new().name(format!("worker-{number}")).stack_size(STACK_BYTES);
                if let Err(source) = builder.spawn_scoped(scope, || self.worker(runs))
                    && number == 0
                {
                    return Err(Error::System { what: "start a worker thread", source });
                }
            }
            Ok(())
        })
    }

    fn worker(&self, runs: &[Run<'_>]) {
        let Some(clock) = runs.first().map(|run| &run.engine.ports.clock) else { return };
        let mut all = self.all();
        loop {
            for (number, run) in runs.iter().enumerate() {
                if run.engine.ports.cancel.is_cancelled() || run.is_late() {
                    all.runs[number].scheduler.stop();
                }
                if all.runs[number].scheduler.is_stopped() {
                    self.hand_over(&mut all, number);
                }
            }
            match all.next(clock.elapsed()) {
                Turn::End => break,
                Turn::Again => {}
                Turn::Close(number) => {
                    drop(all);
                    runs[number].close();
                    all = self.all();
                }
                Turn::Wait(left) => {
                    all.idle += 1;
                    let wait = left.map_or(TICK, |left| left.clamp(Duration::from_millis(1), TICK));
                    all = self.wake.wait_timeout(all, wait).unwrap_or_else(PoisonError::into_inner).0;
                    all.idle -= 1;
                }
                Turn::Task(number, task) => {
                    if all.idle > 0 {
                        // There may be more where this came from.
                        self.wake.notify_one();
                    }
                    let id = match &task {
                        Task::Resolve { id, .. } | Task::Run { id, .. } | Task::Refuse { id, .. } => *id,
                    };
                    let prepared = match &task {
                        Task::Run { .. } | Task::Refuse { .. } => all.runs[number].prepared.get(&id.0).cloned(),
                        Task::Resolve { .. } => {
                            // What it went ahead with before, it may have to take another way to.
                            self.end_flight(&mut all, (number, id.0));
                            None
                        }
                    };
                    drop(all);
                    // A defect of ours must not leave the other workers waiting for ever.
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| runs[number].perform(task, prepared))) {
                        let mut mine = self.lock(number);
                        mine.all.runs.iter_mut().for_each(|run| run.scheduler.stop());
                        mine.all.panic.get_or_insert(panic);
                        runs[number].abandon(mine, id);
                    }
                    all = self.all();
                    if !all.runs[number].scheduler.is_coming(id) {
                        self.end_flight(&mut all, (number, id.0));
                    }
                }
            }
        }
        drop(all);
        self.wake.notify_all();
    }

    /// An action goes ahead no longer: those that followed it look for themselves.
    fn end_flight(&self, all: &mut All, place: (usize, u32)) {
        for (number, id) in self.flights.end(place) {
            all.runs[number].scheduler.proceed(id);
            if all.idle > 0 {
                self.wake.notify_one();
            }
        }
    }

    /// Nobody follows what is not started any more.
    fn hand_over(&self, all: &mut All, number: usize) {
        if std::mem::replace(&mut all.runs[number].handed_over, true) {
            return;
        }
        for place in self.flights.led_by(number) {
            if !all.runs[number].scheduler.is_coming(crate::plan::ActionId(place.1)) {
                self.end_flight(all, place);
            }
        }
    }
}
