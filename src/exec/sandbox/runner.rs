//! Runs attempts under the isolation that is asked for, or the strongest there is. Leaves out how a
//! sandbox is made.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, pidfd_send_signal};

use crate::base::Clock;
use crate::exec::CancelToken;
use crate::exec::guard::guard;
use crate::exec::ports::{End, Ended, Job, Missed, Network, Runner, Stream, Tap, View};
use crate::exec::process::{CHUNK, Cause, DEATH, LOOK, Pipe, ProcessRunner, Running};
use crate::exec::sandbox::cgroup::Group;
use crate::exec::sandbox::inner::{BUILD, Task};
use crate::exec::sandbox::launch::{
    Around, Helper, Maker, confinement, kind_of, no_confinement, start_confined, trouble,
};
use crate::exec::sandbox::probe::Levels;
use crate::exec::sandbox::root::{BIN, Root, Wanted};
use crate::exec::sandbox::trace::{self, Terms};
use crate::exec::sandbox::warden::{children_of, see_to};
use crate::exec::sandbox::wire::{Frame, send};
use crate::plan::Isolation;

/// The longest that an attempt is watched for which no bound is said.
const WATCHED: Duration = Duration::from_secs(10);

/// Helpers that are kept for further actions with the same tools.
const MAKERS: usize = 16;

/// What makes roots differ: the folder of tools, the network, what is shown, the folder of the run.
type Key = (PathBuf, u64, Vec<PathBuf>, PathBuf);

/// Runs attempts under isolation.
#[derive(Debug)]
pub struct SandboxRunner {
    plain: ProcessRunner,
    pub(super) helper: Helper,
    level: Option<Isolation>,
    home: Option<PathBuf>,
    levels: Option<Levels>,
    /// Helpers, the most recently used last.
    makers: Mutex<Vec<(Key, Arc<Maker>)>>,
    /// What is shown at the landlock level.
    rules: Mutex<BTreeMap<Key, Arc<Vec<PathBuf>>>>,
}

impl SandboxRunner {
    /// Runs attempts under `level` and what they demand, whichever is stronger; with no level, under
    /// the strongest that this machine offers. `home` is the user's, which is never shown as a whole.
    pub fn new(level: Option<Isolation>, home: Option<PathBuf>) -> Self {
        Self::with_helper(Helper::ThisProgram, level, home)
    }

    /// The same with another program as the helper.
    pub fn with_helper(helper: Helper, level: Option<Isolation>, home: Option<PathBuf>) -> Self {
        let levels = (helper != Helper::ThisProgram).then(|| Levels::look(&helper));
        Self {
            plain: ProcessRunner::default(),
            helper,
            level,
            home,
            levels,
            makers: Mutex::default(),
            rules: Mutex::default(),
        }
    }

    /// How long a process has between SIGTERM and SIGKILL.
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.plain.grace = grace;
        self
    }

    /// What this machine offers.
    pub fn levels(&self) -> &Levels {
        self.levels.as_ref().unwrap_or_else(|| Levels::of_this_machine())
    }

    pub(super) fn level_of(&self, demand: Isolation) -> Isolation {
        let level = self.level.unwrap_or_else(|| self.levels().strongest());
        level.max(demand)
    }

    fn key(job: &Job<'_>) -> Key {
        let scratch = job.root.parent().unwrap_or(job.root).to_path_buf();
        (job.bin.to_path_buf(), kind_of(&job.network), job.shown.to_vec(), scratch)
    }

    fn root(&self, job: &Job<'_>, key: &Key) -> Root {
        Root::new(&Wanted {
            tools: job.tools,
            bin: Some(job.bin),
            shown: job.shown,
            network: job.network == Network::Machine,
            scratch: &key.3,
            home: self.home.as_deref(),
        })
    }

    /// The helper for the tools of a job.
    pub(super) fn maker(&self, job: &Job<'_>) -> std::io::Result<Arc<Maker>> {
        let key = Self::key(job);
        let mut makers = self.makers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = makers.iter().position(|(known, _)| *known == key) {
            let found = makers.remove(at);
            let maker = Arc::clone(&found.1);
            makers.push(found);
            return Ok(maker);
        }
        let maker = Arc::new(Maker::start(&self.helper, &self.root(job, &key), &key.3, key.1 > 0)?);
        if makers.len() >= MAKERS {
            // Ends when the last action that uses it does.
            makers.remove(0);
        }
        makers.push((key, Arc::clone(&maker)));
        Ok(maker)
    }

    fn forget(&self, maker: &Arc<Maker>) {
        let mut makers = self.makers.lock().unwrap_or_else(PoisonError::into_inner);
        makers.retain(|(_, known)| !Arc::ptr_eq(known, maker));
    }

    fn begin<'a>(&self, job: &Job<'a>, is_watched: bool) -> std::io::Result<Sandboxed<'a>> {
        let maker = self.maker(job)?;
        match Sandboxed::begin(maker, job, is_watched) {
            // The helper has ended, for whatever reason: another one may do.
            Err((error, maker)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                self.forget(&maker);
                drop(maker);
                Sandboxed::begin(self.maker(job)?, job, is_watched).map_err(|(error, _)| error)
            }
            other => other.map_err(|(error, _)| error),
        }
    }

    /// What may be read at the landlock level.
    pub(super) fn readable(&self, job: &Job<'_>) -> Arc<Vec<PathBuf>> {
        let key = Self::key(job);
        let known = self.rules.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        known.unwrap_or_else(|| {
            let root = self.root(job, &key);
            let mut shown: Vec<PathBuf> = root.shown().map(Path::to_path_buf).collect();
            shown.extend(Root::also_shown().map(Path::to_path_buf));
            shown.push(job.bin.to_path_buf());
            shown.extend(job.tools.iter().filter(|tool| tool.starts_with(&key.3)).cloned());
            let shown = Arc::new(shown);
            self.rules.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&shown));
            shown
        })
    }

    fn confined<'a>(&self, job: &Job<'a>, group: Option<&Group>) -> Result<Running<'a>, End> {
        let shown = self.readable(job);
        let task = task_outside(job);
        let parcel = confinement(&task, &job.network, shown.iter().map(PathBuf::as_path));
        // Where it cannot be taken in, it is bounded and ended without.
        let take_in = |pid: u32| {
            // With a guardian it is the guardian's only child, and does nothing yet.
            for pid in std::iter::once(pid).chain(children_of(pid.cast_signed()).into_iter().map(i32::cast_unsigned)) {
                if let Some(Err(error)) = group.map(|group| group.take_in(pid)) {
                    tracing::debug!(%error, "a process was not taken into its control group");
                }
            }
            Ok(())
        };
        let around: Around<'_> = (None, Some(&take_in));
        let mut lifeline = None;
        let child = start_confined(&self.helper, &parcel, job.root, job.cwd, around, |command| {
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
            lifeline = job.guarded.then(|| guard(command));
        })
        .map_err(End::NotStarted)?;
        // Without a guardian, which takes a pipe, there is still the warden.
        let lifeline = lifeline
            .and_then(|made| made.inspect_err(|error| tracing::debug!(%error, "a process has no guardian")).ok());
        Running::new(child, lifeline, job, Isolation::Landlock)
    }

    fn watch_inside(&self, job: &Job<'_>, clock: &dyn Clock, cancel: &CancelToken) -> std::io::Result<Vec<Missed>> {
        let begun = clock.elapsed();
        let sandboxed = self.begin(job, true)?;
        let timeout = job.timeout.unwrap_or(WATCHED);
        match sandboxed.finish(self.plain.grace, Some(timeout), begun, clock, cancel) {
            (Ended { end: End::NotStarted(error), .. }, _) => Err(error),
            (_, missed) => Ok(missed),
        }
    }

    fn watch_outside(
        &self,
        job: &Job<'_>,
        level: Isolation,
        clock: &dyn Clock,
        cancel: &CancelToken,
    ) -> std::io::Result<Vec<Missed>> {
        see_to(&self.helper, job.root.parent().unwrap_or(job.root));
        let task = task_outside(job);
        let (parcel, group) = if level == Isolation::None {
            (no_confinement(&task), None)
        } else {
            let shown = self.readable(job);
            let parcel = confinement(&task, &job.network, shown.iter().map(PathBuf::as_path));
            (parcel, Group::of(&job.bounds, true))
        };
        let start = |hold: &dyn Fn(u32) -> std::io::Result<()>| {
            let hold = |pid| {
                if let Some(Err(error)) = group.as_ref().map(|group| group.take_in(pid)) {
                    tracing::debug!(%error, "a process was not taken into its control group");
                }
                hold(pid)
            };
            start_confined(&self.helper, &parcel, job.root, job.cwd, (None, Some(&hold)), |command| {
                command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
            })
        };
        let within = job.timeout.unwrap_or(WATCHED);
        trace::watch(start, &Terms { root: job.root, bounds: job.bounds, within, clock, cancel })
    }
}

/// The task of a job, as it is at the landlock level.
pub(super) fn task_outside(job: &Job<'_>) -> Task {
    Task {
        attempt: job.root.to_path_buf(),
        program: Some(job.program.to_path_buf()),
        cwd: job.cwd.to_path_buf(),
        ..task_of(job)
    }
}

/// The task of a job, as it is in a sandbox.
pub(super) fn task_inside(job: &Job<'_>, scratch: &Path) -> Task {
    let program = match job.program.strip_prefix(scratch) {
        Ok(_) => Path::new(BIN).join(job.program.file_name().unwrap_or_default()),
        Err(_) => job.program.to_path_buf(),
    };
    Task {
        attempt: job.root.strip_prefix(scratch).unwrap_or(job.root).to_path_buf(),
        program: Some(program),
        cwd: Maker::inside(job.cwd, job.root),
        ..task_of(job)
    }
}

/// What does not depend on the level.
fn task_of(job: &Job<'_>) -> Task {
    let ports = match &job.network {
        Network::Ports(ports) => Some(ports.clone()),
        Network::Nothing | Network::Machine => None,
    };
    Task {
        ports,
        bounds: job.bounds,
        argv0: job.argv0.into(),
        args: job.args.iter().map(OsString::from).collect(),
        env: job.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        ..Task::default()
    }
}

fn not_started(error: std::io::Error, duration: Duration, isolation: Isolation) -> Ended {
    let (stdout, stderr) = (Vec::new(), Vec::new());
    Ended { end: End::NotStarted(error), stdout, stderr, duration, isolation, survivors: 0 }
}

impl Runner for SandboxRunner {
    fn isolation(&self) -> Isolation {
        self.levels().strongest()
    }

    fn lack(&self, level: Isolation) -> Option<String> {
        // To find out what there is starts two helpers, which takes longer than many an action.
        let lack = (level > Isolation::None).then(|| self.levels().lack(level)).flatten()?;
        Some(format!("{}\nhelp: {}", lack.reason, lack.mend))
    }

    fn view(&self, root: &Path, bin: &Path, demand: Isolation) -> View {
        if self.level_of(demand) == Isolation::Full {
            let build = Path::new(BUILD);
            return View { home: build.join("home"), tmp: build.join("tmp"), path: BIN.into() };
        }
        self.plain.view(root, bin, demand)
    }

    fn run(&self, job: &Job<'_>, clock: &dyn Clock, cancel: &CancelToken) -> Ended {
        let begun = clock.elapsed();
        let level = self.level_of(job.isolation);
        if let Some(lack) = self.lack(level) {
            return not_started(std::io::Error::other(lack), Duration::ZERO, level);
        }
        let failed = |error| not_started(error, clock.elapsed().saturating_sub(begun), level);
        if level < Isolation::Full {
            see_to(&self.helper, job.root.parent().unwrap_or(job.root));
        }
        match level {
            Isolation::None => self.plain.run(job, clock, cancel),
            Isolation::Landlock => {
                // There is no namespace that ends all of it.
                let group = Group::of(&job.bounds, true);
                match self.confined(job, group.as_ref()) {
                    Ok(running) => {
                        let mut ended = running.finish(self.plain.grace, job.timeout, begun, clock, cancel);
                        ended.end = end_by(ended.end, group.as_ref());
                        ended
                    }
                    Err(end) => Ended { end, ..failed(std::io::ErrorKind::Other.into()) },
                }
            }
            Isolation::Full => match self.begin(job, false) {
                Ok(sandboxed) => sandboxed.finish(self.plain.grace, job.timeout, begun, clock, cancel).0,
                Err(error) => failed(error),
            },
        }
    }

    fn watch(&self, job: &Job<'_>, clock: &dyn Clock, cancel: &CancelToken) -> Option<Vec<Missed>> {
        let watched = match self.level_of(job.isolation) {
            Isolation::Full => self.watch_inside(job, clock, cancel),
            level => self.watch_outside(job, level, clock, cancel),
        };
        watched.inspect_err(|error| tracing::debug!(%error, "an attempt was not watched")).ok()
    }
}

/// How an attempt ended, by what its group counted: who is killed for memory, or cannot start another process, says
/// that itself by its status at most, and not even that where it goes on without.
fn end_by(end: End, group: Option<&Group>) -> End {
    let breach = group.and_then(Group::end);
    match (end, breach) {
        (End::Exited(_) | End::Signalled(_), Some(breach)) => End::Exceeded(breach),
        (end, _) => end,
    }
}

/// An attempt in a sandbox.
struct Sandboxed<'a> {
    /// Removed after all of it is dead.
    group: Option<Group>,
    tap: Option<Tap<'a>>,
    /// Where the sandbox tells what becomes of it; closed when it has told all.
    job: Option<OwnedFd>,
    /// Its first process, which is dead when all of it is.
    process: Option<OwnedFd>,
    said: Option<Frame>,
    missed: Vec<Missed>,
    stdout: Pipe<File>,
    stderr: Pipe<File>,
    /// Kept alive while the sandbox is.
    _maker: Arc<Maker>,
}

impl<'a> Sandboxed<'a> {
    fn begin(maker: Arc<Maker>, job: &Job<'a>, is_watched: bool) -> Result<Self, (std::io::Error, Arc<Maker>)> {
        let group = Group::of(&job.bounds, false);
        let begin = || {
            let (out, out_end) = pipe_with(PipeFlags::CLOEXEC)?;
            let (err, err_end) = pipe_with(PipeFlags::CLOEXEC)?;
            let task = Task { is_watched, ..task_inside(job, maker.scratch()) };
            let (told, process) = maker.begin(&task, &[out_end.as_fd(), err_end.as_fd()], group.as_ref())?;
            Ok((told, process, out, err))
        };
        match begin() {
            Ok((told, process, out, err)) => Ok(Self {
                group,
                tap: job.tap,
                job: Some(told),
                process,
                said: None,
                missed: Vec::new(),
                stdout: Pipe::new(Some(out.into())),
                stderr: Pipe::new(Some(err.into())),
                _maker: maker,
            }),
            Err(error) => Err((error, maker)),
        }
    }

    fn finish(
        mut self,
        grace: Duration,
        timeout: Option<Duration>,
        begun: Duration,
        clock: &dyn Clock,
        cancel: &CancelToken,
    ) -> (Ended, Vec<Missed>) {
        let mut cause = None;
        let mut killed = false;
        let mut deadline = timeout.map(|timeout| begun + timeout);
        let mut buffer = vec![0; CHUNK];
        let ended = loop {
            let left = deadline.map_or(LOOK, |deadline| deadline.saturating_sub(clock.elapsed()).min(LOOK));
            if self.wait(left, cause.is_none().then_some(cancel), &mut buffer) {
                break true;
            }
            let now = clock.elapsed();
            let due = deadline.is_some_and(|deadline| now >= deadline);
            match cause {
                None if cancel.is_cancelled() || due => {
                    cause = Some(if cancel.is_cancelled() { Cause::Cancelled } else { Cause::TimedOut });
                    if let Some(job) = &self.job {
                        // Fails for a sandbox that has just ended by itself.
                        let _ = send(job, b"term", &[]);
                    }
                    deadline = Some(now + grace);
                }
                Some(_) if due && !killed => {
                    killed = true;
                    self.kill();
                    deadline = Some(now + DEATH);
                }
                Some(_) if due => break false,
                _ => {}
            }
        };
        let duration = clock.elapsed().saturating_sub(begun);
        if ended {
            while self.hear(Duration::ZERO) {}
            self.stdout.drain(&mut buffer, Stream::Out, self.tap);
            self.stderr.drain(&mut buffer, Stream::Err, self.tap);
        }
        let end = match (cause, self.said.take()) {
            (Some(Cause::Cancelled), _) => End::Cancelled,
            (Some(_), _) => End::TimedOut,
            (None, Some(Frame::Exited(code))) => End::Exited(code),
            (None, Some(Frame::Signalled(signal))) => End::Signalled(signal),
            (None, Some(Frame::Exceeded(breach))) => End::Exceeded(breach),
            // Its first process was killed by somebody, and all of it with that.
            (None, None) if self.process.is_some() => End::Signalled(Signal::KILL.as_raw()),
            (None, None) => End::Unknown(trouble(None)),
            (None, other) => End::NotStarted(trouble(other)),
        };
        let end = end_by(end, self.group.as_ref());
        let ended = Ended {
            end,
            stdout: self.stdout.capture.finish(),
            stderr: self.stderr.capture.finish(),
            duration,
            isolation: Isolation::Full,
            survivors: u32::from(!ended),
        };
        (ended, self.missed)
    }

    fn kill(&self) {
        if self.group.as_ref().is_some_and(Group::kill) {
            return;
        }
        if let Some(process) = &self.process {
            // It may have ended by itself.
            let _ = pidfd_send_signal(process, Signal::KILL);
        }
    }

    /// Waits for output, for what the sandbox has to tell, for its end, the token, or the time to be
    /// up. Returns whether the sandbox has ended.
    fn wait(&mut self, left: Duration, cancel: Option<&CancelToken>, buffer: &mut [u8]) -> bool {
        let limit = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let (out, err, job, process) = {
            let mut fds = Vec::with_capacity(5);
            let mut place = |fd| {
                fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
                fds.len() - 1
            };
            let out = self.stdout.pipe.as_ref().map(|pipe| place(pipe.as_fd()));
            let err = self.stderr.pipe.as_ref().map(|pipe| place(pipe.as_fd()));
            let job = self.job.as_ref().map(|job| place(job.as_fd()));
            let process = self.process.as_ref().map(|process| place(process.as_fd()));
            if let Some(cancel) = cancel {
                place(cancel.fd());
            }
            // Interrupted by a signal, or the time is up: look again.
            if !matches!(poll(&mut fds, Some(&limit)), Ok(1..)) {
                return false;
            }
            let ready = |index: Option<usize>| index.is_some_and(|index| !fds[index].revents().is_empty());
            (ready(out), ready(err), ready(job), ready(process))
        };
        if out {
            self.stdout.take(buffer, Stream::Out, self.tap);
        }
        if err {
            self.stderr.take(buffer, Stream::Err, self.tap);
        }
        if job {
            self.hear(Duration::ZERO);
        }
        // What the sandbox says last it says when every other process of it is dead, and it has nothing
        // left to do but to end itself.
        process || self.said.is_some() || (self.job.is_none() && self.process.is_none())
    }

    /// Takes one thing that the sandbox has to tell. Returns whether there may be more.
    fn hear(&mut self, left: Duration) -> bool {
        let Some(job) = &self.job else { return false };
        let limit = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        if !matches!(poll(&mut [PollFd::new(job, PollFlags::IN)], Some(&limit)), Ok(1..)) {
            return false;
        }
        match Frame::receive(job) {
            Ok(Some((Frame::Made, process))) => self.process = process,
            Ok(Some((Frame::Missed(missed), _))) if self.missed.len() < trace::MOST => self.missed.push(missed),
            Ok(Some((Frame::Missed(_), _))) => {}
            Ok(Some((frame, _))) => self.said = Some(frame),
            Ok(None) | Err(_) => self.job = None,
        }
        self.job.is_some()
    }
}
