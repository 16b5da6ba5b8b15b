//! Starts the helper and hands it work. Leaves out what comes of the work, which the runner waits for.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::process::Pid;

use crate::exec::ports::Network;
use crate::exec::process::STARTING;
use crate::exec::sandbox::cgroup::Group;
use crate::exec::sandbox::helper::{ASKED, CONFINE, MAKE, NAME};
use crate::exec::sandbox::inner::{BUILD, Task};
use crate::exec::sandbox::root::Root;
use crate::exec::sandbox::wire::{Frame, Parcel, pair, send};

/// The program that is started as the helper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Helper {
    /// This program, whose `main` begins with `sandbox_entry`.
    ThisProgram,
    /// Another program whose `main` begins so.
    Program(PathBuf),
}

impl Helper {
    fn path(&self) -> &Path {
        match self {
            // Still this program if its file has been replaced.
            Self::ThisProgram => Path::new("/proc/self/exe"),
            Self::Program(path) => path,
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the place that starts the helper")]
    pub(super) fn command(&self, work: &str, stdin: OwnedFd) -> Command {
        let mut command = Command::new(self.path());
        command.arg0(NAME).arg(work).env_clear().stdin(Stdio::from(stdin));
        // What the allocator only reserves would count against the memory of an action, whose limits hold for the helper
        // while it starts the program.
        command.env("MIMALLOC_ARENA_EAGER_COMMIT", "0");
        command
    }
}

/// Starts a helper.
pub(super) fn spawn(command: &mut Command) -> Result<Child> {
    let _shared = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    command.spawn()
}

/// Helpers of this process that live as long as it likes, in its own process group.
static OWN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Whether a child of this process is a helper of its own, and no orphan of an attempt.
pub(in crate::exec) fn is_own(pid: Pid) -> bool {
    // Whoever is being started is known as soon as that is over.
    let _alone = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    OWN.lock().unwrap_or_else(PoisonError::into_inner).contains(&pid.as_raw_nonzero().get())
}

/// A helper that is known as such; to be dropped when it has been waited for.
#[derive(Debug)]
struct Own(i32);

impl Drop for Own {
    fn drop(&mut self) {
        OWN.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

/// Starts a helper that is known as such.
fn spawn_own(command: &mut Command) -> Result<(Child, Own)> {
    let _shared = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    let child = command.spawn()?;
    let pid = child.id().cast_signed();
    OWN.lock().unwrap_or_else(PoisonError::into_inner).insert(pid);
    Ok((child, Own(pid)))
}

/// What a helper said in place of what was expected.
pub(super) fn trouble(frame: Option<Frame>) -> Error {
    match frame {
        Some(Frame::Broken(what, 0)) => Error::other(format!("the sandbox cannot {what}")),
        Some(Frame::Broken(what, code)) => {
            Error::other(format!("the sandbox cannot {what}: {}", Error::from_raw_os_error(code)))
        }
        Some(Frame::NotStarted(code)) => Error::from_raw_os_error(code),
        Some(other) => Error::other(format!("the sandbox's helper said {other:?}")),
        None => Error::new(ErrorKind::BrokenPipe, "the sandbox's helper ended early"),
    }
}

/// A helper that makes sandboxes with one root. They end with it, and it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Maker {
    control: Option<OwnedFd>,
    child: Child,
    scratch: PathBuf,
    /// Dropped after it was waited for.
    _own: Own,
}

impl Maker {
    /// Starts a helper. Returns when it is ready.
    pub(super) fn start(helper: &Helper, root: &Root, scratch: &Path, network: bool) -> Result<Self> {
        let (control, theirs) = pair()?;
        let mut command = helper.command(MAKE, theirs);
        let (child, own) = spawn_own(command.stdout(Stdio::null()).stderr(Stdio::null()))?;
        // The command holds its end of the socket.
        drop(command);
        let mut maker = Self { control: Some(control), child, scratch: scratch.to_path_buf(), _own: own };
        let mut parcel = Parcel::default();
        parcel.bytes(scratch.as_os_str().as_encoded_bytes()).number(u64::from(network));
        root.write(&mut parcel);
        let sent = parcel.send(maker.control()?);
        if sent.is_err() {
            // It must not wait for what will not come; what it says then tells more than that it was not heard.
            let _ = rustix::net::shutdown(maker.control()?, rustix::net::Shutdown::Write);
        }
        match Frame::receive(maker.control()?)? {
            Some((Frame::Ready, _)) => Ok(maker),
            answer => {
                maker.control = None;
                sent?;
                Err(trouble(answer.map(|(frame, _)| frame)))
            }
        }
    }

    fn control(&self) -> Result<BorrowedFd<'_>> {
        self.control.as_ref().map(OwnedFd::as_fd).ok_or_else(|| ErrorKind::NotConnected.into())
    }

    /// Has a sandbox made for a task. Its standard output and error, and input if it has one, are
    /// `streams`. Returns where the helper tells what becomes of it, and its first process if that was taken into a
    /// control group.
    pub(super) fn begin(
        &self,
        task: &Task,
        streams: &[BorrowedFd<'_>],
        group: Option<&Group>,
    ) -> Result<(OwnedFd, Option<OwnedFd>)> {
        let (ours, theirs) = pair()?;
        let mut fds = vec![theirs.as_fd()];
        fds.extend_from_slice(streams);
        let mut message = b"t".to_vec();
        // What it is for is in the task; this is so that rules are at hand.
        message.extend_from_slice(task.attempt.as_os_str().as_encoded_bytes());
        message.truncate(if message.len() > ASKED { 1 } else { ASKED });
        send(self.control()?, &message, &fds)?;
        drop(theirs);
        let mut process = None;
        if let Some(group) = group {
            // It does nothing before it has its task.
            match Frame::receive(&ours)? {
                Some((Frame::Made, Some(made))) => {
                    group.take_in_by(&made)?;
                    process = Some(made);
                }
                other => return Err(trouble(other.map(|(frame, _)| frame))),
            }
        }
        task.parcel().send(&ours)?;
        Ok((ours, process))
    }

    /// Where a path of the attempt is in the sandbox.
    pub(super) fn inside(path: &Path, root: &Path) -> PathBuf {
        path.strip_prefix(root).map_or_else(|_| path.to_path_buf(), |rest| Path::new(BUILD).join(rest))
    }

    /// The folder of the run, in which attempts lie.
    pub(super) fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Makes a sandbox and starts nothing in it.
    pub(super) fn try_out(&self, attempt: &Path) -> Result<()> {
        let task = Task { attempt: attempt.to_path_buf(), cwd: BUILD.into(), ..Task::default() };
        let (job, _) = self.begin(&task, &[], None)?;
        loop {
            match Frame::receive(&job)?.map(|(frame, _)| frame) {
                Some(Frame::Made) => {}
                Some(Frame::Exited(0)) => return Ok(()),
                other => return Err(trouble(other)),
            }
        }
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        self.control = None;
        // It ends as nobody asks any more, and all sandboxes that are left with it.
        let _ = self.child.wait();
    }
}

/// The parcel that has a helper confine itself and become a program.
pub(super) fn confinement<'a>(task: &Task, network: &Network, read: impl Iterator<Item = &'a Path>) -> Parcel {
    let mut parcel = task.parcel();
    let read: Vec<&[u8]> = read.map(|path| path.as_os_str().as_encoded_bytes()).collect();
    parcel.number(kind_of(network)).number(1).list(read.into_iter());
    parcel
}

/// The parcel that has a helper become a program without confining itself.
pub(super) fn no_confinement(task: &Task) -> Parcel {
    let mut parcel = task.parcel();
    parcel
        .number(kind_of(&Network::Machine))
        .number(0)
        .list(std::iter::empty::<&[u8]>().collect::<Vec<_>>().into_iter());
    parcel
}

/// The number of a kind of network.
pub(super) fn kind_of(network: &Network) -> u64 {
    match network {
        Network::Nothing => 0,
        Network::Ports(_) => 1,
        Network::Machine => 2,
    }
}

/// What a process is started with: its standard input, and who is given its number before it does anything.
pub(super) type Around<'a> = (Option<BorrowedFd<'a>>, Option<&'a dyn Fn(u32) -> Result<()>>);

/// Starts a helper that confines itself, and hears what it has to say: nothing, once it has become the
/// program it was to start.
fn converse(
    helper: &Helper,
    parcel: &Parcel,
    root: &Path,
    cwd: &Path,
    (input, hold): Around<'_>,
    prepare: impl FnOnce(&mut Command),
) -> Result<(Child, Result<Option<Frame>>)> {
    let (ours, theirs) = pair()?;
    let mut command = helper.command(CONFINE, theirs);
    // Whoever looks for the processes of an attempt finds them by this, from the first moment on.
    command.env("HOME", AsRef::<OsStr>::as_ref(&root.join("home"))).current_dir(cwd);
    prepare(&mut command);
    let child = spawn(&mut command)?;
    drop(command);
    let hand_over = |input: BorrowedFd<'_>| send(&ours, b"input", &[input]);
    // It does nothing before it has its task.
    let mut child = child;
    if let Some(Err(error)) = hold.map(|hold| hold(child.id())) {
        let _ = child.kill();
        let _ = child.wait();
        return Err(error);
    }
    let said = parcel.send(&ours).and_then(|()| input.map_or(Ok(()), hand_over));
    let said = said.and_then(|()| Frame::receive(&ours));
    Ok((child, said.map(|said| said.map(|(frame, _)| frame))))
}

/// Starts a program that confines itself first. Returns when it has become that program.
pub(super) fn start_confined(
    helper: &Helper,
    parcel: &Parcel,
    root: &Path,
    cwd: &Path,
    around: Around<'_>,
    prepare: impl FnOnce(&mut Command),
) -> Result<Child> {
    let (mut child, said) = converse(helper, parcel, root, cwd, around, prepare)?;
    let error = match said {
        // The socket was closed as the program took the helper's place.
        Ok(None) => return Ok(child),
        Ok(Some(frame)) => trouble(Some(frame)),
        Err(error) => error,
    };
    let _ = child.wait();
    Err(error)
}

/// Tries whether a process can be confined.
pub(super) fn try_confined(helper: &Helper, root: &Path) -> Result<()> {
    let task = Task { attempt: root.to_path_buf(), ..Task::default() };
    let parcel = confinement(&task, &Network::Nothing, std::iter::once(Path::new("/usr")));
    let (mut child, said) = converse(helper, &parcel, root, root, (None, None), |command| {
        command.stdout(Stdio::null()).stderr(Stdio::null());
    })?;
    let _ = child.wait();
    match said? {
        Some(Frame::Ready) => Ok(()),
        other => Err(trouble(other)),
    }
}
