//! Runs an attempt as a plain process tree on this machine: isolation `none`. Its own process group,
//! exact environment, standard input closed, output bounded, and nothing of it left alive. Leaves
//! out namespaces, and where inputs come from and outputs go.

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, waitid};

use crate::base::{Clock, Limits};
use crate::exec::CancelToken;
use crate::exec::bounds::{self, Bounds, Breach, Watch};
use crate::exec::capture::Capture;
use crate::exec::guard::{Lifeline, guard};
use crate::exec::ports::{End, Ended, Job, Runner, Stream, Tap};
use crate::exec::reaper::Tree;
use crate::exec::signals::unblocked;
use crate::plan::Isolation;

/// Held shared while a process is started, alone while an executable file is written. A child that
/// is between `fork` and `exec` still has every open file of ours; one that is open for writing
/// could not be executed by anyone meanwhile (`ETXTBSY`).
pub(super) static STARTING: RwLock<()> = RwLock::new(());

/// Bytes read at once.
pub(super) const CHUNK: usize = 64 * 1024;
/// Chunks taken from a pipe after all processes are dead. A pipe holds at most 16 (1 MiB); more can
/// only come from a process that is no part of the tree and was handed the pipe.
const DRAIN_CHUNKS: usize = 17;
/// How long a process may take to die of SIGKILL, before it counts as one that cannot be killed.
pub(super) const DEATH: Duration = Duration::from_secs(10);

/// Starts attempts as plain processes.
#[derive(Clone, Copy, Debug)]
pub struct ProcessRunner {
    /// How long a process has between SIGTERM and SIGKILL when its time is up or the run is cancelled.
    pub grace: Duration,
}

impl Default for ProcessRunner {
    fn default() -> Self {
        Self { grace: Duration::from_secs(2) }
    }
}

impl Runner for ProcessRunner {
    fn isolation(&self) -> Isolation {
        Isolation::None
    }

    fn run(&self, job: &Job<'_>, clock: &dyn Clock, cancel: &CancelToken) -> Ended {
        let begun = clock.elapsed();
        let started = start(job).map_err(End::NotStarted);
        match started.and_then(|(child, lifeline)| Running::new(child, lifeline, job, Isolation::None)) {
            Ok(running) => running.finish(self.grace, job.timeout, begun, clock, cancel),
            Err(end) => Ended {
                end,
                stdout: Vec::new(),
                stderr: Vec::new(),
                duration: clock.elapsed().saturating_sub(begun),
                isolation: Isolation::None,
                survivors: 0,
            },
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that starts processes")]
fn start(job: &Job<'_>) -> std::io::Result<(Child, Option<Lifeline>)> {
    // Kept to what the standard library can do by `posix_spawn`.
    let mut command = Command::new(job.program);
    command
        .arg0(job.argv0)
        .args(job.args)
        .env_clear()
        .envs(job.env)
        .current_dir(job.cwd)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    // The price of a guardian is `fork`.
    let lifeline = if job.guarded { Some(guard(&mut command)?) } else { None };
    let _shared = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    Ok((unblocked(|| command.spawn())?, lifeline))
}

/// Whether a process could not be started for want of something that may be there the next time.
pub(super) fn is_for_want_of_resources(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let wants = [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::TXTBSY];
    error.raw_os_error().is_some_and(|code| wants.iter().any(|want| want.raw_os_error() == code))
}

/// How often to look whether a process has been stopped for reading from a terminal. It is in the
/// background there, so that would be for ever; and only its parent can tell.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// Why a process is being ended by us.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    TimedOut,
    WantsTerminal,
    Cancelled,
    Exceeded(Breach),
}

/// A process of an attempt, with what it prints.
pub(super) struct Running<'a> {
    isolation: Isolation,
    bounds: Bounds,
    /// The folders of the attempt.
    root: PathBuf,
    tap: Option<Tap<'a>>,
    /// Dropped last: until then the guardian waits.
    _lifeline: Option<Lifeline>,
    child: Child,
    tree: Tree,
    process: rustix::fd::OwnedFd,
    stdout: Pipe<ChildStdout>,
    stderr: Pipe<ChildStderr>,
}

impl<'a> Running<'a> {
    pub(super) fn new(
        mut child: Child,
        lifeline: Option<Lifeline>,
        job: &Job<'a>,
        isolation: Isolation,
    ) -> Result<Self, End> {
        let pid = Pid::from_child(&child);
        let tree = Tree::new(job.root, pid);
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(error) => {
                tree.signal(Signal::KILL);
                // It is dead, and may have done something.
                let _ = child.wait();
                return Err(End::Unknown(error.into()));
            }
        };
        let stdout = Pipe::new(child.stdout.take());
        let stderr = Pipe::new(child.stderr.take());
        Ok(Self {
            isolation,
            bounds: job.bounds,
            root: job.root.to_path_buf(),
            tap: job.tap,
            _lifeline: lifeline,
            child,
            tree,
            process,
            stdout,
            stderr,
        })
    }

    /// Waits for its end, and ends it if it must not go on.
    pub(super) fn finish(
        mut self,
        grace: Duration,
        timeout: Option<Duration>,
        begun: Duration,
        clock: &dyn Clock,
        cancel: &CancelToken,
    ) -> Ended {
        let mut cause = None;
        let mut killed = false;
        let mut next = begun;
        let mut watch = Watch::new(self.bounds, &self.root, false, clock);
        let mut deadline = timeout.map(|timeout| begun + timeout);
        let mut buffer = vec![0; CHUNK];
        let ended = loop {
            let look = if self.bounds.are_watched() { bounds::LOOK } else { LOOK };
            let left = deadline.map_or(look, |deadline| deadline.saturating_sub(clock.elapsed()).min(look));
            let woken = self.wait(left, cause.is_none().then_some(cancel), &mut buffer);
            if woken.ended {
                break true;
            }
            let now = clock.elapsed();
            let due = deadline.is_some_and(|deadline| now >= deadline);
            if cause.is_none() && now >= next {
                next = now + look;
                let group = self.tree.group();
                if let Some(breach) = watch.breach(|_, of| of == group) {
                    cause = Some(Cause::Exceeded(breach));
                    self.tree.signal(Signal::KILL);
                    killed = true;
                    deadline = Some(now + DEATH);
                    continue;
                }
            }
            match cause {
                None if woken.idle && self.wants_terminal() => {
                    cause = Some(Cause::WantsTerminal);
                    self.tree.signal(Signal::KILL);
                    killed = true;
                    deadline = Some(now + DEATH);
                }
                None if cancel.is_cancelled() || due => {
                    cause = Some(if cancel.is_cancelled() { Cause::Cancelled } else { Cause::TimedOut });
                    self.tree.signal(Signal::TERM);
                    // What is stopped would not notice.
                    self.tree.signal(Signal::CONT);
                    deadline = Some(now + grace);
                }
                Some(_) if due && !killed => {
                    self.tree.signal(Signal::KILL);
                    killed = true;
                    deadline = Some(now + DEATH);
                }
                Some(_) if due => break false,
                _ => {}
            }
        };
        let duration = clock.elapsed().saturating_sub(begun);
        if !ended {
            // Stuck in the kernel. It is left as a zombie-to-be, and its outputs are not looked at.
            let (stdout, stderr) = (self.stdout.capture.finish(), self.stderr.capture.finish());
            return Ended {
                end: end_of(cause, None),
                stdout,
                stderr,
                duration,
                isolation: self.isolation,
                survivors: 1,
            };
        }
        // The leader is dead but not waited for, so that its number still names this group only.
        self.tree.signal(Signal::KILL);
        let status = self.child.wait();
        let survivors = self.tree.reap(clock);
        self.stdout.drain(&mut buffer, Stream::Out, self.tap);
        self.stderr.drain(&mut buffer, Stream::Err, self.tap);
        Ended {
            end: match status {
                Ok(status) => end_of(cause, Some(status)),
                Err(error) => End::Unknown(error),
            },
            stdout: self.stdout.capture.finish(),
            stderr: self.stderr.capture.finish(),
            duration,
            isolation: self.isolation,
            survivors,
        }
    }

    /// Waits for output, the end of the process, the token, or the time to be up, and takes output.
    fn wait(&mut self, left: Duration, cancel: Option<&CancelToken>, buffer: &mut [u8]) -> Woken {
        let limit = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let (out, err, ended) = {
            let mut fds = vec![PollFd::new(&self.process, PollFlags::IN)];
            let mut place = |fd| {
                fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
                fds.len() - 1
            };
            let out = self.stdout.pipe.as_ref().map(|pipe| place(pipe.as_fd()));
            let err = self.stderr.pipe.as_ref().map(|pipe| place(pipe.as_fd()));
            if let Some(cancel) = cancel {
                place(cancel.fd());
            }
            match poll(&mut fds, Some(&limit)) {
                Ok(0) => return Woken { ended: false, idle: true },
                Ok(_) => {}
                // Interrupted by a signal: look again.
                Err(_) => return Woken { ended: false, idle: false },
            }
            let ready = |index: Option<usize>| index.is_some_and(|index| !fds[index].revents().is_empty());
            (ready(out), ready(err), ready(Some(0)))
        };
        if out {
            self.stdout.take(buffer, Stream::Out, self.tap);
        }
        if err {
            self.stderr.take(buffer, Stream::Err, self.tap);
        }
        Woken { ended, idle: false }
    }

    /// Whether the process was stopped as it is in the background of the terminal it uses.
    fn wants_terminal(&self) -> bool {
        let look = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let stopped = waitid(WaitId::PidFd(self.process.as_fd()), look).ok().flatten();
        let signal = stopped.and_then(|status| status.stopping_signal());
        signal.is_some_and(|signal| [Signal::TTIN, Signal::TTOU].iter().any(|tty| tty.as_raw() == signal))
    }
}

struct Woken {
    ended: bool,
    /// Nothing happened.
    idle: bool,
}

fn end_of(cause: Option<Cause>, status: Option<ExitStatus>) -> End {
    match (cause, status) {
        (Some(Cause::TimedOut), _) | (None, None) => End::TimedOut,
        (Some(Cause::WantsTerminal), _) => End::WantsTerminal,
        (Some(Cause::Cancelled), _) => End::Cancelled,
        (Some(Cause::Exceeded(breach)), _) => End::Exceeded(breach),
        (None, Some(status)) => match (status.code(), status.signal()) {
            (Some(code), _) => End::Exited(code),
            (None, Some(signal)) => End::Signalled(signal),
            (None, None) => End::Exited(status.into_raw()),
        },
    }
}

/// One of the streams of a process.
pub(super) struct Pipe<P> {
    /// `None` once the other end is closed.
    pub(super) pipe: Option<P>,
    pub(super) capture: Capture,
}

impl<P: Read + AsFd> Pipe<P> {
    pub(super) fn new(pipe: Option<P>) -> Self {
        Self { pipe, capture: Capture::new(Limits::LOG_BYTES) }
    }

    /// Reads once. Only to be called when that does not block.
    pub(super) fn take(&mut self, buffer: &mut [u8], stream: Stream, tap: Option<Tap<'_>>) {
        let Some(pipe) = &mut self.pipe else { return };
        match pipe.read(buffer) {
            Ok(0) => self.pipe = None,
            Ok(count) => {
                self.capture.push(&buffer[..count]);
                if let Some(Tap(tap)) = tap {
                    tap(stream, &buffer[..count]);
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => self.pipe = None,
        }
    }

    /// Takes what is left in the pipe, without waiting for anyone who still holds its other end.
    pub(super) fn drain(&mut self, buffer: &mut [u8], stream: Stream, tap: Option<Tap<'_>>) {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        for _ in 0..DRAIN_CHUNKS {
            let Some(pipe) = &self.pipe else { return };
            let mut fds = [PollFd::new(pipe, PollFlags::IN)];
            if poll(&mut fds, Some(&now)).is_ok_and(|ready| ready == 0) {
                return;
            }
            self.take(buffer, stream, tap);
        }
    }
}
