//! The services of a run: started when the first action that uses one is about to run, shared by all
//! that do, stopped after the last, and always stopped. Leaves out what a service is keyed by
//! (`engine`) and how its readiness is told (`probe`).
//!
//! One instance a run, at ports found for that run: whoever answers there is the process that was
//! started, or the service has failed. A service that ended by itself is not started again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::base::{Address, Becomes, Limits, fill_addresses, format_duration};
use crate::event::Event;
use crate::exec::CancelToken;
use crate::exec::bounds::Bounds;
use crate::exec::capture::{Capture, tail_of};
use crate::exec::engine::{Engine, Serving};
use crate::exec::error::{Error, Failure, FailureClass, Trouble};
use crate::exec::listeners::taken_by_others;
use crate::exec::ports::{End, Ended, Job, Network, Stream, Tap};
use crate::exec::probe::{Lines, Probe};
use crate::exec::report::ServiceReport;
use crate::exec::sandbox::named_paths;
use crate::exec::service_state::{self as at, State};
use crate::exec::stage::{remove, stage};
use crate::exec::tools::environment;
use crate::plan::{Action, ActionId, ActionKind, Isolation, Plan, Service};

/// How soon someone who waits for a service notices that the run was cancelled.
const TICK: Duration = Duration::from_millis(50);
/// The first pause between two looks whether a service is ready, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// A service that was started.
struct Instance {
    ports: BTreeMap<String, u16>,
    cancel: CancelToken,
    thread: Option<JoinHandle<()>>,
    printed: Arc<Mutex<Printed>>,
}

struct Slot {
    state: State,
    /// Actions of the run that use it and have not ended.
    open: BTreeSet<u32>,
    instance: Option<Instance>,
    /// How its process ended.
    ended: Option<String>,
    failure: Option<Failure>,
    ready_ms: Option<u64>,
    started: bool,
    log: Option<PathBuf>,
    /// How often it was started.
    starts: u32,
}

impl Slot {
    /// The one place where states change, by the ways that there are.
    fn set<Before, After>(&mut self, from: Before, to: After)
    where
        Before: Becomes<After>,
        State: From<Before> + From<After>,
    {
        assert_eq!(self.state, from.into(), "a service is not where it is taken from");
        self.state = to.into();
    }
}

/// What services print: kept for messages, written to the log, looked through for a sign.
pub(super) struct Printed {
    capture: Capture,
    file: Option<File>,
    bytes: usize,
    pub(super) lines: [Lines; 2],
}

#[derive(Default)]
struct Shared {
    slots: Mutex<BTreeMap<String, Slot>>,
    wake: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The services of one run.
pub(super) struct Services {
    shared: Arc<Shared>,
    scratch: PathBuf,
    logs: Option<PathBuf>,
}

/// The addresses of the services that an action uses.
pub(super) struct Addresses {
    of: BTreeMap<String, BTreeMap<String, (String, u16)>>,
}

impl Addresses {
    /// The text with the addresses in it.
    pub(super) fn fill(&self, text: &str) -> String {
        fill_addresses(text, &|address: Address<'_>| {
            let (scheme, number) = self.of.get(address.service)?.get(address.port)?;
            Some(match (address.number, scheme.as_str()) {
                (true, _) => number.to_string(),
                (false, "none") => format!("{}:{number}", Ipv4Addr::LOCALHOST),
                (false, scheme) => format!("{scheme}://{}:{number}", Ipv4Addr::LOCALHOST),
            })
        })
    }

    /// All ports of them.
    pub(super) fn numbers(&self) -> Vec<u16> {
        self.of.values().flat_map(|ports| ports.values().map(|(_, number)| *number)).collect()
    }

    fn one(service: &Service, ports: &BTreeMap<String, u16>) -> BTreeMap<String, (String, u16)> {
        let with_number = |port: &crate::plan::Port| {
            Some((port.name.clone(), (port.scheme.clone(), ports.get(&port.name).copied()?)))
        };
        service.ports.iter().filter_map(with_number).collect()
    }
}

impl Services {
    /// The services that these actions use. `logs`: where what they print is written.
    pub(super) fn new(plan: &Plan, ids: &[ActionId], scratch: &Path, logs: Option<&Path>) -> Self {
        let shared = Shared::default();
        for id in ids {
            for name in &plan.action(*id).spec.services {
                let mut slots = shared.lock();
                let slot = slots.entry(name.clone()).or_insert_with(|| Slot {
                    state: State::Idle,
                    open: BTreeSet::new(),
                    instance: None,
                    ended: None,
                    failure: None,
                    ready_ms: None,
                    started: false,
                    log: None,
                    starts: 0,
                });
                slot.open.insert(id.0);
            }
        }
        Self { shared: Arc::new(shared), scratch: scratch.to_path_buf(), logs: logs.map(Path::to_path_buf) }
    }

    /// The addresses of the services of an action; those that do not run are started. Blocks until
    /// all are ready.
    pub(super) fn acquire(
        &self,
        engine: &Engine<'_>,
        id: ActionId,
        tell: &dyn Fn(Event),
    ) -> Result<Addresses, Trouble> {
        let mut of = BTreeMap::new();
        for name in &engine.plan.action(id).spec.services {
            let service = engine.plan.service(name);
            let service = service.ok_or_else(|| Error::Plan(format!("there is no service `{name}`")))?;
            let ports = self.acquire_one(engine, id, service, tell)?;
            of.insert(name.clone(), Addresses::one(service, &ports));
        }
        Ok(Addresses { of })
    }

    fn acquire_one(
        &self,
        engine: &Engine<'_>,
        id: ActionId,
        service: &Service,
        tell: &dyn Fn(Event),
    ) -> Result<BTreeMap<String, u16>, Trouble> {
        let cancel = &engine.ports.cancel;
        let mut slots = self.shared.lock();
        loop {
            if cancel.is_cancelled() {
                return Err(Trouble::Cancelled);
            }
            let Some(slot) = slots.get_mut(&service.name) else {
                return Err(Error::Plan(format!("service `{}` is of no action of the run", service.name)).into());
            };
            slot.open.insert(id.0);
            match slot.state {
                State::Ready => match (&slot.ended, &slot.instance) {
                    (None, Some(instance)) => return Ok(instance.ports.clone()),
                    _ => {
                        drop(slots);
                        return Err(self.died(service, tell).unwrap_or(Trouble::Cancelled));
                    }
                },
                State::Failed => {
                    let failure = slot.failure.clone();
                    let first = |failure: &Failure| failure.text.lines().next().unwrap_or_default().to_owned();
                    let text = failure.as_ref().map_or_else(String::new, first);
                    return Err(Failure::new(FailureClass::Service, text).into());
                }
                State::Starting | State::Stopping => {
                    let waited = self.shared.wake.wait_timeout(slots, TICK);
                    slots = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                State::Idle | State::Stopped => {
                    match slot.state {
                        State::Stopped => slot.set(at::Stopped, at::Starting),
                        _ => slot.set(at::Idle, at::Starting),
                    }
                    slot.starts += 1;
                    slot.ended = None;
                    let number = slot.starts;
                    drop(slots);
                    self.start(engine, id, service, number, tell)?;
                    slots = self.shared.lock();
                }
            }
        }
    }

    /// Starts a service and waits until it is ready.
    fn start(
        &self,
        engine: &Engine<'_>,
        id: ActionId,
        service: &Service,
        number: u32,
        tell: &dyn Fn(Event),
    ) -> Result<(), Trouble> {
        let clock = &engine.ports.clock;
        let begun = clock.elapsed();
        let launched = engine
            .serving(&service.name)
            .and_then(|serving| self.launch(engine, service, &serving, number).map(|probe| (serving, probe)));
        let (serving, mut probe) = match launched {
            Ok(launched) => launched,
            Err(trouble) => {
                let failure = match &trouble {
                    Trouble::Fail(failure) => failure.clone(),
                    _ => Failure::new(FailureClass::Service, format!("service `{}` was not started", service.name)),
                };
                let mut slots = self.shared.lock();
                if let Some(slot) = slots.get_mut(&service.name) {
                    // What the store lost is made again, and then the service is started after all.
                    if matches!(trouble, Trouble::Lost(_)) {
                        slot.set(at::Starting, at::Stopping);
                        slot.set(at::Stopping, at::Stopped);
                    } else {
                        slot.set(at::Starting, at::Failed);
                        slot.failure = Some(failure);
                    }
                }
                drop(slots);
                self.shared.wake.notify_all();
                return Err(engine.attributed(id, trouble));
            }
        };
        tell(Event::ServiceStarted { service: service.name.clone() });
        let deadline = begun + Duration::from_millis(service.within_ms);
        let mut pause = PAUSES.0;
        let mut seen = false;
        let failed = loop {
            let last = match if seen { Ok(()) } else { probe.look(engine, &serving) } {
                Ok(()) => {
                    seen = true;
                    match self.taken_by_others(engine, service) {
                        None => break None,
                        Some(port) => format!("a process that is none of its own listens at its port {port}"),
                    }
                }
                Err(last) => last,
            };
            let slots = self.shared.lock();
            let slots = self.shared.wake.wait_timeout(slots, pause).unwrap_or_else(PoisonError::into_inner).0;
            let ended = slots.get(&service.name).and_then(|slot| slot.ended.clone());
            drop(slots);
            pause = (pause * 2).min(PAUSES.1);
            if engine.ports.cancel.is_cancelled() {
                break Some(None);
            }
            if let Some(ended) = ended {
                break Some(Some(format!("it {ended} before it was ready")));
            }
            if clock.elapsed() >= deadline {
                let within = format_duration(Duration::from_millis(service.within_ms));
                break Some(Some(format!("it did not become ready within {within}: {last}")));
            }
        };
        let mut slots = self.shared.lock();
        let Some(slot) = slots.get_mut(&service.name) else { return Ok(()) };
        match failed {
            None => {
                let ms = clock.elapsed().saturating_sub(begun).as_millis() as u64;
                slot.ready_ms = Some(ms);
                slot.set(at::Starting, at::Ready);
                drop(slots);
                self.shared.wake.notify_all();
                tell(Event::ServiceReady { service: service.name.clone(), duration_ms: ms });
                Ok(())
            }
            Some(why) => {
                let instance = slot.instance.take();
                drop(slots);
                let (tail, log) = self.end(service, instance);
                let mut slots = self.shared.lock();
                let Some(slot) = slots.get_mut(&service.name) else { return Ok(()) };
                let Some(why) = why else {
                    slot.set(at::Starting, at::Stopping);
                    slot.set(at::Stopping, at::Stopped);
                    drop(slots);
                    self.shared.wake.notify_all();
                    return Err(Trouble::Cancelled);
                };
                let failure = failure(service, &why, &tail, log.as_deref());
                slot.failure = Some(failure.clone());
                slot.set(at::Starting, at::Failed);
                drop(slots);
                self.shared.wake.notify_all();
                tell(Event::ServiceStopped { service: service.name.clone(), failure: Some(failure.text.clone()) });
                Err(failure.into())
            }
        }
    }

    /// The port of an instance at which others listen. At `none` a service may be what another one serves, as a container is.
    fn taken_by_others(&self, engine: &Engine<'_>, service: &Service) -> Option<u16> {
        if engine.ports.runner.isolation() == Isolation::None {
            return None;
        }
        let slots = self.shared.lock();
        let ports = slots.get(&service.name)?.instance.as_ref()?.ports.values().copied().collect();
        drop(slots);
        taken_by_others(&ports)
    }

    /// Starts the process of a service. Gives what tells whether it is ready.
    fn launch(&self, engine: &Engine<'_>, service: &Service, serving: &Serving, number: u32) -> Result<Probe, Trouble> {
        let fail = |text: String| Trouble::from(Failure::new(FailureClass::Service, text));
        let system = |what: &'static str| {
            let name = service.name.clone();
            move |error: std::io::Error| fail(format!("service `{name}`: cannot {what}: {error}"))
        };
        let ActionKind::Exec { tool, args } = &service.spec.kind else {
            return Err(Error::Plan(format!("service `{}` starts no process", service.name)).into());
        };
        let root = self.scratch.join(format!("service-{}-{number}", service.name));
        let work = root.join("work");
        for dir in [&root, &work, &root.join("home"), &root.join("tmp")] {
            std::fs::create_dir(dir).map_err(Error::io("make directory", dir))?;
        }
        stage(&*engine.ports.cas, engine.levels(), &serving.inputs, &work).map_err(|failed| failed.trouble)?;
        // All are held until all are found, so that no two are the same.
        let mut held = Vec::new();
        for port in &service.ports {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(system("find a free port"))?;
            let number = listener.local_addr().map_err(system("find a free port"))?.port();
            held.push((port.name.clone(), number, listener));
        }
        let ports: BTreeMap<String, u16> = held.iter().map(|(name, number, _)| (name.clone(), *number)).collect();
        let addresses = Addresses { of: BTreeMap::from([(service.name.clone(), Addresses::one(service, &ports))]) };
        let mut declared: BTreeMap<String, String> = BTreeMap::new();
        for (name, number, _) in &held {
            declared.entry("PORT".to_owned()).or_insert_with(|| number.to_string());
            let upper = name.to_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
            declared.insert(format!("PARTITA_PORT_{upper}"), number.to_string());
        }
        declared.extend(service.spec.env.iter().map(|(name, value)| (name.clone(), addresses.fill(value))));
        let demand = service.spec.isolation.max(engine.request.isolation);
        let view = engine.ports.runner.view(&root, &serving.tools.bin, demand);
        let env = environment(&declared, &view, &serving.tools, true, &engine.ports.environment);
        let args: Vec<String> = args.iter().map(|arg| addresses.fill(arg)).collect();
        let Some((argv0, program)) = serving.tools.program(tool) else {
            return Err(
                Error::Plan(format!("service `{}` starts `{tool}`, which it does not name", service.name)).into()
            );
        };
        let (argv0, program) = (argv0.to_owned(), program.to_path_buf());
        let cwd = service.spec.cwd.as_ref().map_or_else(|| work.clone(), |cwd| cwd.under(&work));
        std::fs::create_dir_all(&cwd).map_err(system("make the folder it starts in"))?;
        let log = self.logs.as_ref().map(|dir| dir.join(format!("{}.log", service.name)));
        let file = match &log {
            Some(path) => {
                let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
                Some(made.and_then(|()| File::create(path)).map_err(system("make its log"))?)
            }
            None => None,
        };
        let printed = Arc::new(Mutex::new(Printed {
            capture: Capture::new(Limits::LOG_BYTES),
            file,
            bytes: 0,
            lines: [Lines::default(), Lines::default()],
        }));
        let probe = Probe::new(service, serving, &root, addresses, &declared, Arc::clone(&printed), demand)?;
        let cancel = CancelToken::new().map_err(system("make the means to stop it"))?;
        let (runner, clock) = (Arc::clone(&engine.ports.runner), Arc::clone(&engine.ports.clock));
        let (shared, name, stop) = (Arc::clone(&self.shared), service.name.clone(), cancel.clone());
        let shown = named_paths(serving.tools.passed(true, &engine.ports.environment));
        let (tools, sink) = (Arc::clone(&serving.tools), Arc::clone(&printed));
        let body = move || {
            let tap = |stream: Stream, bytes: &[u8]| {
                sink.lock().unwrap_or_else(PoisonError::into_inner).take(stream, bytes);
            };
            let job = Job {
                addr: &name,
                program: &program,
                argv0: &argv0,
                args: &args,
                env: &env,
                root: &root,
                cwd: &cwd,
                tools: &tools.paths,
                bin: &tools.bin,
                shown: &shown,
                bounds: Bounds::default(),
                timeout: None,
                network: Network::Machine,
                isolation: demand,
                tap: Some(Tap(&tap)),
                guarded: true,
            };
            let ended = runner.run(&job, &*clock, &stop);
            remove(&root);
            let mut slots = shared.lock();
            if let Some(slot) = slots.get_mut(&name) {
                slot.ended = Some(how(&ended));
                if slot.state == State::Stopping {
                    slot.set(at::Stopping, at::Stopped);
                }
            }
            drop(slots);
            shared.wake.notify_all();
        };
        let mut slots = self.shared.lock();
        drop(held);
        let thread = std::thread::Builder::new().name(format!("service-{}", service.name)).spawn(body);
        let thread = thread.map_err(system("start a thread for it"))?;
        if let Some(slot) = slots.get_mut(&service.name) {
            slot.started = true;
            slot.log = log;
            slot.instance = Some(Instance { ports, cancel, thread: Some(thread), printed });
        }
        Ok(probe)
    }

    /// Ends an instance and waits for it. Gives the end of what it printed, and where the rest is.
    fn end(&self, service: &Service, instance: Option<Instance>) -> (String, Option<PathBuf>) {
        let mut tail = String::new();
        if let Some(mut instance) = instance {
            instance.cancel.cancel();
            if let Some(thread) = instance.thread.take() {
                // A panic of the thread is told by the absence of what it would have said.
                let _ = thread.join();
            }
            let mut printed = instance.printed.lock().unwrap_or_else(PoisonError::into_inner);
            tail = tail_of(&std::mem::replace(&mut printed.capture, Capture::new(0)).finish());
        }
        let log = self.shared.lock().get(&service.name).and_then(|slot| slot.log.clone());
        (tail, log)
    }

    /// If a service that was ready has ended by itself: that as a failure, told once.
    fn died(&self, service: &Service, tell: &dyn Fn(Event)) -> Option<Trouble> {
        let mut slots = self.shared.lock();
        let slot = slots.get_mut(&service.name)?;
        if slot.state == State::Failed {
            return slot.failure.clone().map(Trouble::from);
        }
        let ended = slot.ended.clone().filter(|_| slot.state == State::Ready)?;
        let instance = slot.instance.take();
        drop(slots);
        let (tail, log) = self.end(service, instance);
        let failure = failure(service, &format!("it {ended} while it was in use"), &tail, log.as_deref());
        let mut slots = self.shared.lock();
        if let Some(slot) = slots.get_mut(&service.name).filter(|slot| slot.state == State::Ready) {
            slot.set(at::Ready, at::Failed);
            slot.failure = Some(failure.clone());
            drop(slots);
            tell(Event::ServiceStopped { service: service.name.clone(), failure: Some(failure.text.clone()) });
        }
        Some(failure.into())
    }

    /// Why an action that failed was bound to: a service it uses has ended. `None` if all live.
    pub(super) fn blame(&self, plan: &Plan, action: &Action, tell: &dyn Fn(Event)) -> Option<Trouble> {
        let mut services = action.spec.services.iter().filter_map(|name| plan.service(name));
        services.find_map(|service| self.died(service, tell))
    }

    /// An action has ended. Services that no other will use are told to end.
    pub(super) fn done(&self, id: ActionId, action: &Action, tell: &dyn Fn(Event)) {
        for name in &action.spec.services {
            let mut slots = self.shared.lock();
            let Some(slot) = slots.get_mut(name) else { continue };
            slot.open.remove(&id.0);
            if slot.open.is_empty() && slot.state == State::Ready && slot.ended.is_none() {
                slot.set(at::Ready, at::Stopping);
                if let Some(instance) = &slot.instance {
                    instance.cancel.cancel();
                }
                drop(slots);
                tell(Event::ServiceStopped { service: name.clone(), failure: None });
            }
        }
    }

    /// Ends all services and waits until no process of theirs is left.
    pub(super) fn stop(&self) {
        let mut slots = self.shared.lock();
        let mut threads = Vec::new();
        for slot in slots.values_mut() {
            if slot.state == State::Ready && slot.ended.is_none() {
                slot.set(at::Ready, at::Stopping);
            }
            if let Some(instance) = &slot.instance {
                instance.cancel.cancel();
            }
            let instance = slot.instance.as_mut();
            threads.extend(instance.and_then(|instance| instance.thread.take()));
        }
        drop(slots);
        for thread in threads {
            let _ = thread.join();
        }
    }

    /// What became of them.
    pub(super) fn reports(&self) -> Vec<ServiceReport> {
        let slots = self.shared.lock();
        let report = |(name, slot): (&String, &Slot)| ServiceReport {
            name: name.clone(),
            started: slot.started,
            ready_ms: slot.ready_ms,
            failure: slot.failure.as_ref().map(|failure| failure.text.clone()),
            log: slot.log.clone(),
        };
        slots.iter().map(report).collect()
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Printed {
    fn take(&mut self, stream: Stream, bytes: &[u8]) {
        self.capture.push(bytes);
        self.lines[usize::from(stream == Stream::Err)].push(bytes);
        let room = Limits::LOG_BYTES.saturating_sub(self.bytes).min(bytes.len());
        self.bytes += room;
        if let Some(file) = &mut self.file
            && file.write_all(&bytes[..room]).is_err()
        {
            // A full disk ends the log and not the service.
            self.file = None;
        }
    }
}

/// How a process ended, as what follows `it`.
fn how(ended: &Ended) -> String {
    match &ended.end {
        End::Exited(status) => format!("exited with status {status}"),
        End::Signalled(signal) => format!("was ended by signal {signal}"),
        End::TimedOut | End::Cancelled => "was stopped".to_owned(),
        End::WantsTerminal => "asked the terminal for input and was killed".to_owned(),
        End::Exceeded(_) => "used too much and was killed".to_owned(),
        End::NotStarted(error) => format!("could not be started ({error})"),
        End::Unknown(error) => format!("ended in a way that is not known ({error})"),
    }
}

fn failure(service: &Service, why: &str, tail: &str, log: Option<&Path>) -> Failure {
    let mut text = format!("service `{}` failed: {why}", service.name);
    if let Some(log) = log {
        text.push_str(&format!("\nits log is `{}`", log.display()));
    }
    text.push_str(&if tail.is_empty() { ": it printed nothing".to_owned() } else { format!(", which ends:\n{tail}") });
    Failure::new(FailureClass::Service, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_the_scheme_of_their_port() {
        let ports = [("http", ("http", 80)), ("sql", ("none", 5432))];
        let ports = ports.map(|(name, (scheme, number))| (name.to_owned(), (scheme.to_owned(), number)));
        let addresses = Addresses { of: [("shop".to_owned(), ports.into())].into() };
        let text = "{{shop.http}}/x {{shop.sql}} {{shop.sql.port}} {{other.http}}";
        assert_eq!(addresses.fill(text), "http://127.0.0.1:80/x 127.0.0.1:5432 5432 {{other.http}}");
    }
}
