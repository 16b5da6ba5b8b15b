//! A visit to the sandbox of an attempt: a program of the visitor's in place of the action's, with the
//! same files, variables, tools and rights, and with the visitor's terminal or streams. Leaves out what
//! becomes of the attempt.

use std::ffi::OsString;
use std::io::{Error, Result};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use crate::base::Clock;
use crate::exec::CancelToken;
use crate::exec::bounds::Bounds;
use crate::exec::ports::Job;
use crate::exec::process::CHUNK;
use crate::exec::reaper::Tree;
use crate::exec::sandbox::inner::{Input, Task};
use crate::exec::sandbox::launch::{confinement, no_confinement, start_confined, trouble};
use crate::exec::sandbox::root::BIN;
use crate::exec::sandbox::runner::{SandboxRunner, task_inside, task_outside};
use crate::exec::sandbox::warden::see_to;
use crate::exec::sandbox::wire::{Frame, send};
use crate::plan::Isolation;

/// How often to look whether the terminal has another size.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };
/// A shell where the action names none.
const SHELL: &str = "/bin/sh";
/// What a terminal sends at the end of input.
const END_OF_INPUT: [u8; 1] = [4];

/// What is visited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// The address of the action.
    pub addr: String,
    /// What the program runs under.
    pub isolation: Isolation,
    /// Where it starts, as it sees it.
    pub cwd: PathBuf,
    /// What the action itself would start.
    pub command: Vec<String>,
    /// What is started instead.
    pub visitor: Vec<String>,
}

impl SandboxRunner {
    /// What would be started for a job by these words; without any, a shell.
    pub(in crate::exec) fn visit_of(&self, job: &Job<'_>, words: &[String]) -> Visit {
        let isolation = self.level_of(job.isolation);
        let cwd = match isolation {
            Isolation::Full => task_inside(job, job.root.parent().unwrap_or(job.root)).cwd,
            _ => job.cwd.to_path_buf(),
        };
        let mut visitor = words.to_vec();
        if visitor.is_empty() {
            let has_bash = job.bin.join("bash").symlink_metadata().is_ok();
            visitor.push(if has_bash { "bash" } else { "sh" }.to_owned());
        }
        let command =
            std::iter::once(job.argv0).chain(job.args.iter().map(String::as_str)).map(str::to_owned).collect();
        Visit { addr: job.addr.to_owned(), isolation, cwd, command, visitor }
    }

    /// Runs the visitor to its end, with the streams of this process. `terminal` is the kind that a
    /// terminal among them is of. Returns its exit status, as shells
    /// tell it.
    pub(in crate::exec) fn visit(
        &self,
        job: &Job<'_>,
        visit: &Visit,
        terminal: Option<&OsString>,
        clock: &dyn Clock,
        cancel: &CancelToken,
    ) -> Result<i32> {
        if let Some(lack) = self.levels().lack(visit.isolation) {
            return Err(Error::other(format!("{}\nhelp: {}", lack.reason, lack.mend)));
        }
        let streams = Streams::of_this_process()?;
        let mut task = if visit.isolation == Isolation::Full {
            task_inside(job, job.root.parent().unwrap_or(job.root))
        } else {
            task_outside(job)
        };
        let name = visit.visitor.first().map_or("sh", String::as_str);
        task.program = Some(find(job, name, visit.isolation)?);
        task.argv0 = name.into();
        task.args = visit.visitor.iter().skip(1).map(OsString::from).collect();
        // A limit is for what runs unattended.
        task.bounds = Bounds::default();
        task.input = if streams.terminal.is_some() { Input::Terminal } else { Input::Stream };
        if let (Some(_), Some(kind)) = (&streams.terminal, terminal) {
            task.env.push(("TERM".into(), kind.clone()));
        }
        match visit.isolation {
            Isolation::Full => self.visit_inside(job, &task, streams, cancel),
            level => self.visit_outside(job, &task, level, streams, clock, cancel),
        }
    }

    fn visit_inside(&self, job: &Job<'_>, task: &Task, mut streams: Streams, cancel: &CancelToken) -> Result<i32> {
        let maker = self.maker(job)?;
        let (told, _) =
            maker.begin(task, &[streams.output.as_fd(), streams.errors.as_fd(), streams.input.as_fd()], None)?;
        streams.hand_over();
        let mut process = None;
        let ended = loop {
            if relay(streams.terminal.as_ref(), told.as_fd(), cancel)? {
                // Fails for a sandbox that has just ended by itself.
                let _ = send(&told, b"term", &[]);
                if !wait_a_little(told.as_fd())
                    && let Some(process) = &process
                {
                    let _ = rustix::process::pidfd_send_signal(process, Signal::KILL);
                }
            }
            match Frame::receive(&told)? {
                Some((Frame::Made, made)) => process = made,
                other => break other.map(|(frame, _)| frame),
            }
        };
        streams.finish();
        match ended {
            Some(Frame::Exited(code)) => Ok(code),
            Some(Frame::Signalled(signal)) => Ok(128 + signal),
            None => Ok(128 + Signal::KILL.as_raw()),
            other => Err(trouble(other)),
        }
    }

    fn visit_outside(
        &self,
        job: &Job<'_>,
        task: &Task,
        level: Isolation,
        mut streams: Streams,
        clock: &dyn Clock,
        cancel: &CancelToken,
    ) -> Result<i32> {
        see_to(&self.helper, job.root.parent().unwrap_or(job.root));
        let parcel = match level {
            Isolation::None => no_confinement(task),
            _ => confinement(task, &job.network, self.readable(job).iter().map(PathBuf::as_path)),
        };
        let (output, errors) = (streams.output.try_clone()?, streams.errors.try_clone()?);
        let is_terminal = streams.terminal.is_some();
        let mut child =
            start_confined(&self.helper, &parcel, job.root, job.cwd, (Some(streams.input.as_fd()), None), |command| {
                command.stdout(Stdio::from(output)).stderr(Stdio::from(errors));
                if !is_terminal {
                    // Otherwise it makes a session, which is a group too.
                    command.process_group(0);
                }
            })?;
        streams.hand_over();
        let pid = Pid::from_child(&child);
        let tree = Tree::new(job.root, pid);
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        if relay(streams.terminal.as_ref(), process.as_fd(), cancel)? {
            tree.signal(Signal::TERM);
            tree.signal(Signal::CONT);
            wait_a_little(process.as_fd());
        }
        tree.signal(Signal::KILL);
        let status = child.wait()?;
        tree.reap(clock);
        streams.finish();
        Ok(status.code().unwrap_or_else(|| 128 + std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or(9)))
    }
}

/// The program of a name, where the visitor finds it.
fn find(job: &Job<'_>, name: &str, level: Isolation) -> Result<PathBuf> {
    if name.contains('/') {
        return Ok(name.into());
    }
    if job.bin.join(name).symlink_metadata().is_ok() {
        let bin = if level == Isolation::Full { Path::new(BIN) } else { job.bin };
        return Ok(bin.join(name));
    }
    if name == "sh" {
        return Ok(SHELL.into());
    }
    let known: Vec<String> =
        job.tools.iter().filter_map(|tool| Some(format!("`{}`", tool.file_name()?.display()))).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Err(Error::new(
        std::io::ErrorKind::NotFound,
        format!("`{name}` is not among the tools of `{}`, which are: {known}", job.addr),
    ))
}

/// What the visitor reads and writes.
struct Streams {
    input: OwnedFd,
    output: OwnedFd,
    errors: OwnedFd,
    terminal: Option<Terminal>,
}

impl Streams {
    fn of_this_process() -> Result<Self> {
        let (stdin, stdout) = (rustix::stdio::stdin(), rustix::stdio::stdout());
        if isatty(stdin) && isatty(stdout) {
            let (terminal, end) = Terminal::new()?;
            return Ok(Self {
                input: end.try_clone()?,
                output: end.try_clone()?,
                errors: end,
                terminal: Some(terminal),
            });
        }
        let copy = |stream: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(stream, 3);
        let (input, output, errors) = (copy(stdin)?, copy(stdout)?, copy(rustix::stdio::stderr())?);
        Ok(Self { input, output, errors, terminal: None })
    }

    /// Lets go of the visitor's ends, so that they close with it.
    fn hand_over(&mut self) {
        let Some(terminal) = &self.terminal else { return };
        // Any file does for a place: what was there is closed.
        if let Ok(other) = terminal.master.try_clone() {
            for end in [&mut self.input, &mut self.output, &mut self.errors] {
                if let Ok(other) = other.try_clone() {
                    *end = other;
                }
            }
        }
    }

    /// Shows what is left to be shown, and gives the terminal back.
    fn finish(self) {
        if let Some(terminal) = self.terminal {
            while terminal.show(Timespec { tv_sec: 0, tv_nsec: 0 }) {}
        }
    }
}

/// The terminal of this process, which is handed through to another one that the visitor has for its
/// own: so signals of keys are the visitor's, and nothing can be typed into ours.
struct Terminal {
    saved: Termios,
    master: OwnedFd,
}

impl Terminal {
    /// The other terminal, and the visitor's end of it.
    fn new() -> Result<(Self, OwnedFd)> {
        let saved = tcgetattr(rustix::stdio::stdin())?;
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let end = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        tcsetattr(&end, OptionalActions::Now, &saved)?;
        let mut raw = saved.clone();
        raw.make_raw();
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &raw)?;
        let terminal = Self { saved, master };
        terminal.resize();
        Ok((terminal, end))
    }

    /// Makes the other terminal as large as ours.
    fn resize(&self) {
        let (Ok(ours), Ok(other)) = (tcgetwinsize(rustix::stdio::stdin()), tcgetwinsize(&self.master)) else { return };
        if (ours.ws_row, ours.ws_col) != (other.ws_row, other.ws_col) {
            let _ = tcsetwinsize(&self.master, ours);
        }
    }

    /// Shows what the visitor wrote, if it wrote something. Returns whether there may be more.
    fn show(&self, limit: Timespec) -> bool {
        let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
        if !matches!(poll(&mut fds, Some(&limit)), Ok(1..)) {
            return false;
        }
        let mut buffer = vec![0; CHUNK];
        // An error means that nobody has the other end any more.
        let Ok(count @ 1..) = rustix::io::read(&self.master, &mut buffer) else { return false };
        write_all(rustix::stdio::stdout(), &buffer[..count])
    }

    /// Hands on what was typed. Returns whether there may be more.
    fn type_in(&self) -> bool {
        let mut buffer = [0; 4096];
        match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
            Ok(count @ 1..) => write_all(self.master.as_fd(), &buffer[..count]),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => true,
            Ok(_) | Err(_) => {
                write_all(self.master.as_fd(), &END_OF_INPUT);
                false
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.saved);
    }
}

fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    true
}

/// Carries bytes between the terminals until something happens at `end`, or the token is cancelled:
/// returns whether it was the token.
fn relay(terminal: Option<&Terminal>, end: BorrowedFd<'_>, cancel: &CancelToken) -> Result<bool> {
    let (mut typed, mut shown) = (terminal.is_some(), terminal.is_some());
    loop {
        let (ended, cancelled, input, output) = {
            let mut fds = vec![
                PollFd::from_borrowed_fd(end, PollFlags::IN),
                PollFd::from_borrowed_fd(cancel.fd(), PollFlags::IN),
            ];
            if let Some(terminal) = terminal {
                let of = |is_open: bool| if is_open { PollFlags::IN } else { PollFlags::empty() };
                fds.push(PollFd::from_borrowed_fd(rustix::stdio::stdin(), of(typed)));
                fds.push(PollFd::new(&terminal.master, of(shown)));
            }
            match poll(&mut fds, terminal.map(|_| &LOOK)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
            (ready(0), ready(1), typed && ready(2), shown && ready(3))
        };
        if let Some(terminal) = terminal {
            terminal.resize();
            if output {
                shown = terminal.show(LOOK);
            }
            if input {
                typed = terminal.type_in();
            }
        }
        if ended {
            return Ok(false);
        }
        if cancelled {
            return Ok(true);
        }
        if terminal.is_some() && !shown && !typed {
            // Nothing is left to carry: only the end is waited for.
            let mut fds =
                [PollFd::from_borrowed_fd(end, PollFlags::IN), PollFd::from_borrowed_fd(cancel.fd(), PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Waits for a visitor that was told to end. Returns whether it has.
fn wait_a_little(end: BorrowedFd<'_>) -> bool {
    let patience = Timespec { tv_sec: 2, tv_nsec: 0 };
    matches!(poll(&mut [PollFd::from_borrowed_fd(end, PollFlags::IN)], Some(&patience)), Ok(1..))
}
