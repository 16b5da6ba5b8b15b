//! The first process of a sandbox: puts the last mounts in place, gives up every right, starts the
//! action's program, waits, ends what is left, and tells. Runs in the helper's copy, in the action's own
//! namespaces. Leaves out the root, which is there already.

use std::ffi::OsString;
use std::io::Error;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_bind, mount_remount};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
use rustix::process::wait as wait_any;
use rustix::process::{DumpableBehavior, Pid, PidfdFlags, Resource, Rlimit, Signal, WaitOptions, pidfd_open};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::base::SystemClock;
use crate::exec::bounds::{self, Bounds, Breach, Folders, Watch};
use crate::exec::sandbox::fence::Fence;
use crate::exec::sandbox::seccomp::Filter;
use crate::exec::sandbox::template::{Broken, MACHINE_PROC, SCRATCH, step};
use crate::exec::sandbox::trace::{Watcher, all};
use crate::exec::sandbox::wire::{Frame, Parcel, Reader, receive, send};
use crate::exec::signals::unblocked;

/// Where the attempt's folder is in the sandbox.
pub(super) const BUILD: &str = "/build";
/// A folder with nothing in it.
const EMPTY: &str = "/run";
/// Processes and threads that an action may have at once.
const PROCESSES: u64 = 8192;
/// The lowest bound that the kernel takes with room to spare.
const FEWEST: u64 = 512;
/// Memory that one process may have beyond the bound of all, before it is refused more: the bound is looked
/// after a few times a second.
const SLACK: u64 = 256 << 20;
/// How often to look after orphans while the program runs.
const LOOK: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// What to start, and where.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Task {
    /// The attempt's folder, relative to that of the run.
    pub(super) attempt: PathBuf,
    /// The program; none: the sandbox is only made.
    pub(super) program: Option<PathBuf>,
    pub(super) argv0: OsString,
    pub(super) args: Vec<OsString>,
    /// Names and values of variables, in turn.
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) cwd: PathBuf,
    /// The ports of the machine it may connect to, where it shares the machine's network for them alone.
    pub(super) ports: Option<Vec<u16>>,
    /// What standard input is.
    pub(super) input: Input,
    /// What it may use at most.
    pub(super) bounds: Bounds,
    /// Whether what it looks for and is not given is told.
    pub(super) is_watched: bool,
}

/// What standard input is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Input {
    /// Nothing to read.
    #[default]
    Nothing,
    /// A stream that is handed over.
    Stream,
    /// A terminal that is handed over, to be the session's own.
    Terminal,
}

impl Task {
    pub(super) fn parcel(&self) -> Parcel {
        let bytes = |text: &OsString| text.as_encoded_bytes().to_vec();
        let mut parcel = Parcel::default();
        parcel.bytes(self.attempt.as_os_str().as_encoded_bytes());
        parcel.number(u64::from(self.program.is_some()));
        let program = self.program.as_ref().map(|program| program.as_os_str().as_encoded_bytes().to_vec());
        parcel.bytes(&program.unwrap_or_default());
        parcel.bytes(self.argv0.as_encoded_bytes());
        let args: Vec<Vec<u8>> = self.args.iter().map(bytes).collect();
        parcel.list(args.iter().map(Vec::as_slice));
        let env: Vec<Vec<u8>> = self.env.iter().flat_map(|(name, value)| [bytes(name), bytes(value)]).collect();
        parcel.list(env.iter().map(Vec::as_slice));
        parcel.bytes(self.cwd.as_os_str().as_encoded_bytes());
        let ports: Vec<[u8; 2]> = self.ports.iter().flatten().map(|port| port.to_le_bytes()).collect();
        parcel.number(u64::from(self.ports.is_some())).list(ports.iter().map(<[u8; 2]>::as_slice));
        parcel.number(self.input as u64).number(u64::from(self.is_watched));
        let Bounds { processes, memory, file_bytes, folders } = self.bounds;
        for most in [processes, memory, file_bytes] {
            parcel.number(most.unwrap_or(u64::MAX));
        }
        parcel.number(u64::from(folders.is_some()));
        if let Some(Folders { bytes, files, given_bytes, given_files, are_memory }) = folders {
            for most in [bytes, files, Some(given_bytes), Some(given_files)] {
                parcel.number(most.unwrap_or(u64::MAX));
            }
            parcel.number(u64::from(are_memory));
        }
        parcel
    }

    pub(super) fn read(reader: &mut Reader) -> std::io::Result<Self> {
        let text = OsString::from_vec;
        let attempt = text(reader.bytes()?).into();
        let has_program = reader.number()? == 1;
        let program = text(reader.bytes()?);
        let argv0 = text(reader.bytes()?);
        let args = reader.list()?.into_iter().map(text).collect();
        let mut env = Vec::new();
        let mut pairs = reader.list()?.into_iter().map(text);
        while let (Some(name), Some(value)) = (pairs.next(), pairs.next()) {
            env.push((name, value));
        }
        let cwd = text(reader.bytes()?).into();
        let has_ports = reader.number()? == 1;
        let ports = reader.list()?.iter().filter_map(|bytes| Some(u16::from_le_bytes(*bytes.first_chunk()?))).collect();
        let input = match reader.number()? {
            0 => Input::Nothing,
            1 => Input::Stream,
            _ => Input::Terminal,
        };
        let is_watched = reader.number()? == 1;
        let mut bound = || Ok::<_, Error>(Some(reader.number()?).filter(|most| *most < u64::MAX));
        let mut bounds = Bounds { processes: bound()?, memory: bound()?, file_bytes: bound()?, folders: None };
        if bound()? == Some(1) {
            let (bytes, files) = (bound()?, bound()?);
            let (given_bytes, given_files) = (bound()?.unwrap_or(0), bound()?.unwrap_or(0));
            let are_memory = bound()? == Some(1);
            bounds.folders = Some(Folders { bytes, files, given_bytes, given_files, are_memory });
        }
        let program = has_program.then(|| program.into());
        Ok(Self {
            attempt,
            program,
            argv0,
            args,
            env,
            cwd,
            ports: has_ports.then_some(ports),
            input,
            bounds,
            is_watched,
        })
    }

    /// The command that starts it.
    #[expect(clippy::disallowed_methods, reason = "the place that starts processes in a sandbox")]
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(self.program.as_deref().unwrap_or(Path::new("/")));
        command.arg0(&self.argv0).args(&self.args).env_clear();
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// What the first process of a sandbox has to work with.
pub(super) struct Given<'a> {
    /// To the runner.
    pub(super) job: BorrowedFd<'a>,
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
    /// The network namespace to enter; none: it is in the right one.
    pub(super) net: Option<BorrowedFd<'a>>,
    /// If the network namespace is new: whom to hand it to for others to use after, with what number.
    pub(super) fresh_net: Option<(BorrowedFd<'a>, u64)>,
    /// The rules about files for its attempt, if they are made already.
    pub(super) fence: Option<&'a Fence>,
    pub(super) filter: &'a Filter,
    /// The filter of who may use some ports of the machine.
    pub(super) streams: &'a Filter,
}

/// The network namespace can be used again.
pub(super) const CLEAN: isize = 0;
/// The network namespace is not to be used again.
pub(super) const USED: isize = 1;

/// Runs an action to its end. What it returns is the status of this process.
pub(super) fn run(mut given: Given<'_>) -> isize {
    let job = given.job;
    match prepare(&mut given) {
        Ok(None) => {
            let _ = Frame::Exited(0).send(job, &[]);
        }
        Ok(Some(task)) => match start(&task, &mut given) {
            Ok((pid, watcher)) => {
                let ended = wait(pid, job, &task.bounds, watcher);
                end_all();
                let (status, breach) = match ended {
                    Ended::Status(status) => (Some(status), None),
                    Ended::Breach(breach) => (None, Some(breach)),
                    Ended::Unwanted => (None, None),
                };
                let exceeded = breach.map(Frame::Exceeded);
                let frame = match (status.and_then(|status| status.code()), status.and_then(|s| s.signal())) {
                    (Some(code), _) => Frame::Exited(code),
                    (None, signal) => Frame::Signalled(signal.unwrap_or(9)),
                };
                let frame = exceeded.unwrap_or(frame);
                // A runner that is gone needs no answer.
                let _ = frame.send(job, &[]);
            }
            Err(error) => {
                let _ = Frame::NotStarted(error.raw_os_error().unwrap_or(0)).send(job, &[]);
            }
        },
        Err(broken) => {
            let _ = Frame::Broken(broken.what, broken.error).send(job, &[]);
            return USED;
        }
    }
    if is_network_unused() { CLEAN } else { USED }
}

fn prepare(given: &mut Given<'_>) -> Result<Option<Task>, Broken> {
    step("die with the helper", rustix::process::set_parent_process_death_signal(Some(Signal::KILL)))?;
    let mut reader = step("hear what to do", Reader::receive(given.job))?;
    let task = step("hear what to do", Task::read(&mut reader))?;
    if let Some(net) = given.net {
        step("enter a network namespace", rustix::thread::move_into_link_name_space(net, None))?;
    }
    if given.fresh_net.is_some() {
        step("start the loopback device", start_loopback())?;
    }
    let from = Path::new(SCRATCH).join(&task.attempt);
    step("bind the folder of the attempt", mount_bind(&from, BUILD))?;
    // To be covered is as good as to be gone, for who may not unmount; and unmounting waits for the kernel.
    step("leave the folder of the run", mount_bind(EMPTY, SCRATCH))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    step("mount `/proc`", mount("proc", "/proc", "proc", flags, None))?;
    step("leave the machine's `/proc`", mount_bind(EMPTY, MACHINE_PROC))?;
    // Since Linux 6.14 this bounds the processes of the namespace; before, it is the machine's, which
    // root could change from here. There the limit of the user has to do.
    // The kernel keeps the first 300 numbers, so a lower bound is looked after by this process.
    let own_bound = counts_processes_of_namespaces();
    let most = task.bounds.processes.map_or(PROCESSES, |most| most.saturating_mul(2).clamp(FEWEST, PROCESSES));
    if !own_bound || std::fs::write("/proc/sys/kernel/pid_max", most.to_string()).is_err() {
        limit(Resource::Nproc, most);
    }
    bound_each(&task.bounds);
    if let Some((whom, number)) = given.fresh_net {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let space = step("find the network namespace", rustix::fs::open("/proc/self/ns/net", flags, Mode::empty()))?;
        step("hand on the network namespace", send(whom, &number.to_le_bytes(), &[space.as_fd()]))?;
    }
    step("make `/proc` read-only", mount_remount("/proc", MountFlags::BIND | MountFlags::RDONLY | flags, ""))?;
    let closed = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    step("close itself to the action", closed)?;
    step("name the host", rustix::system::sethostname(b"build"))?;
    // No terminal, even if the runner has one; but for one that is handed over.
    let _ = rustix::process::setsid();
    if let (Input::Terminal, Some(terminal)) = (task.input, &given.stdin) {
        step("take the terminal", rustix::process::ioctl_tiocsctty(terminal))?;
    }
    step("enter the folder it starts in", rustix::process::chdir(&task.cwd))?;
    let what = "confine files by Landlock";
    let made = match (given.fence, task.ports.as_deref()) {
        (Some(fence), None) => fence.again(),
        (_, ports) => fence(ports, Path::new(BUILD)),
    };
    step(what, made.and_then(Fence::apply))?;
    if task.bounds.folders.is_some() {
        // The action may close its folders to itself, and so to its user; this process still has to see what they hold.
        // What it starts does not get that: nothing gives capabilities to a program any more.
        keep(CapabilitySet::DAC_READ_SEARCH)?;
    } else {
        give_up()?;
    }
    let filter = if task.ports.is_some() { given.streams } else { given.filter };
    if !task.is_watched {
        step("refuse system calls", filter.apply())?;
    }
    Ok(task.program.is_some().then_some(task))
}

/// Whether `pid_max` is each process namespace's own (Linux 6.14).
fn counts_processes_of_namespaces() -> bool {
    let name = rustix::system::uname();
    let mut numbers = name.release().to_bytes().split(|byte| !byte.is_ascii_digit());
    let mut next = || std::str::from_utf8(numbers.next()?).ok()?.parse::<u32>().ok();
    (next(), next()) >= (Some(6), Some(14))
}

/// Everything may be read and run, as there is nothing but what was put there; only the action's own
/// folder, devices and open files may be written.
pub(super) fn fence(ports: Option<&[u16]>, folder: &Path) -> Result<Fence, Error> {
    let fence = Fence::new(ports).and_then(|fence| fence.read(Path::new("/")));
    let fence = fence.and_then(|fence| fence.write(folder));
    fence.and_then(|fence| fence.device(Path::new("/dev")))
}

/// Gives up every capability.
pub(super) fn give_up() -> Result<(), Broken> {
    keep(CapabilitySet::empty())
}

/// Gives up every capability but these, and those for whatever it starts.
fn keep(kept: CapabilitySet) -> Result<(), Broken> {
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    step("give up capabilities", set_capabilities(None, sets))
}

/// Bounds what each process may have.
pub(super) fn bound_each(bounds: &Bounds) {
    if let Some(most) = bounds.file_bytes {
        // One more than it may: a file that was refused more is then over the bound, and can be told from one that
        // is as large as it may be.
        limit(Resource::Fsize, most.saturating_add(1));
    }
    if let Some(most) = bounds.memory {
        limit(Resource::Data, most.saturating_mul(2).max(most.saturating_add(SLACK)));
    }
}

/// Sets a limit on this process and what it starts.
pub(super) fn limit(resource: Resource, most: u64) {
    let old = rustix::process::getrlimit(resource);
    let least = |bound: Option<u64>| Some(bound.map_or(most, |bound| bound.min(most)));
    // Lowering is always allowed.
    let _ = rustix::process::setrlimit(resource, Rlimit { current: least(old.current), maximum: least(old.maximum) });
}

/// Sets the loopback device up, by the one message that this takes (`rtnetlink(7)`).
fn start_loopback() -> std::io::Result<()> {
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let mut message = Vec::with_capacity(32);
    // Length, type RTM_NEWLINK, flags NLM_F_REQUEST | NLM_F_ACK, sequence, port.
    message.extend_from_slice(&32_u32.to_ne_bytes());
    message.extend_from_slice(&16_u16.to_ne_bytes());
    message.extend_from_slice(&5_u16.to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    // Family, padding, device type, index 1, flags IFF_UP, which flags change.
    message.extend_from_slice(&[0; 4]);
    message.extend_from_slice(&1_i32.to_ne_bytes());
    message.extend_from_slice(&1_u32.to_ne_bytes());
    message.extend_from_slice(&1_u32.to_ne_bytes());
    rustix::net::send(&socket, &message, SendFlags::empty())?;
    let mut answer = [0; 256];
    let (count, _) = rustix::net::recv(&socket, &mut answer, rustix::net::RecvFlags::empty())?;
    // An acknowledgement is an error of number 0.
    match answer.get(16..20).filter(|_| count >= 20).map(<[u8; 4]>::try_from) {
        Some(Ok(bytes)) => match i32::from_ne_bytes(bytes) {
            0 => Ok(()),
            error => Err(Error::from_raw_os_error(-error)),
        },
        _ => Err(Error::other("no answer about the loopback device")),
    }
}

/// Starts the program, and whoever watches it if it is to be watched.
fn start(task: &Task, given: &mut Given<'_>) -> std::io::Result<(Pid, Option<Watcher>)> {
    let mut command = task.command();
    let stream = |fd: Option<OwnedFd>| fd.map_or_else(Stdio::null, Stdio::from);
    command.stdin(stream(given.stdin.take())).stdout(stream(given.stdout.take())).stderr(stream(given.stderr.take()));
    if task.is_watched {
        let filter = if task.ports.is_some() { given.streams } else { given.filter };
        let (child, watcher) = Watcher::start(&mut command, filter.clone(), |command| unblocked(|| command.spawn()))?;
        return Ok((Pid::from_child(&child), Some(watcher)));
    }
    let child = unblocked(|| command.spawn())?;
    Ok((Pid::from_child(&child), None))
}

/// How waiting ended.
enum Ended {
    Status(ExitStatus),
    /// Something was used too much of.
    Breach(Breach),
    /// Nobody wants to know any more.
    Unwanted,
}

/// Waits for the program, and meanwhile for every orphan; and looks after what all of them use.
fn wait(program: Pid, job: BorrowedFd<'_>, bounds: &Bounds, mut watcher: Option<Watcher>) -> Ended {
    let Ok(process) = pidfd_open(program, PidfdFlags::empty()) else { return Ended::Unwanted };
    let look =
        if bounds.are_watched() { Timespec { tv_sec: 0, tv_nsec: bounds::LOOK.subsec_nanos().into() } } else { LOOK };
    let clock = SystemClock::new();
    let mut watch = Watch::new(*bounds, Path::new(BUILD), true, &clock);
    let mut is_more = false;
    loop {
        let news = watcher.as_ref().map_or(process.as_fd(), Watcher::fd);
        let mut fds = [PollFd::from_borrowed_fd(news, PollFlags::IN), PollFd::from_borrowed_fd(job, PollFlags::IN)];
        let woken = poll(&mut fds, Some(if is_more { &NOW } else { &look }));
        if woken.is_ok() && !fds[1].revents().is_empty() {
            let mut message = [0; 8];
            match receive(job, &mut message) {
                // The runner is gone, and nobody wants the result.
                Ok((0, _)) | Err(_) => {
                    end_all();
                    return Ended::Unwanted;
                }
                Ok(_) => {
                    signal_all(Signal::TERM);
                    // What is stopped would not notice.
                    signal_all(Signal::CONT);
                }
            }
        }
        let status;
        (status, is_more) = match &mut watcher {
            None => (reap(program), false),
            Some(watcher) => watcher.take(program, |missed| {
                // A runner that is gone needs no answer.
                let _ = Frame::Missed(missed).send(job, &[]);
            }),
        };
        if let Some(status) = status {
            return Ended::Status(status);
        }
        // All but this one, which is the first of the namespace.
        if let Some(breach) = watch.breach(|pid, _| pid != 1) {
            return Ended::Breach(breach);
        }
    }
}

/// Takes every process that has ended. Returns the status of the program if it is among them.
fn reap(program: Pid) -> Option<ExitStatus> {
    let mut ended = None;
    while let Ok(Some((pid, status))) = wait_any(WaitOptions::NOHANG) {
        if pid == program {
            ended = Some(ExitStatus::from_raw(status.as_raw()));
        }
    }
    ended
}

fn signal_all(signal: Signal) {
    // To every process of the namespace but this.
    let _ = nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(-1),
        nix::sys::signal::Signal::try_from(signal.as_raw()).ok(),
    );
}

/// Ends every other process of the namespace.
fn end_all() {
    signal_all(Signal::KILL);
    loop {
        match wait_any(all(WaitOptions::empty())) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// Whether the network namespace is as it was: no socket in it, nor one that lingers, nor anything counted: who came after
/// could read what was sent before.
fn is_network_unused() -> bool {
    are_sockets_gone() && is_nothing_counted()
}

/// Whether the counters of the network namespace are those of a new one.
fn is_nothing_counted() -> bool {
    let mut buffer = [0; 8192];
    let mut read = |file: &str, is_new: fn(&str) -> bool| {
        let Ok(file) = rustix::fs::open(file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) else { return false };
        let count = rustix::io::read(&file, &mut buffer).unwrap_or(0);
        (1..buffer.len()).contains(&count) && std::str::from_utf8(&buffer[..count]).is_ok_and(is_new)
    };
    read("/proc/net/snmp", are_counters_new)
        && (!Path::new("/proc/net/snmp6").exists() || read("/proc/net/snmp6", |text| text.lines().all(is_zero)))
}

fn is_zero(line: &str) -> bool {
    line.split_ascii_whitespace().nth(1) == Some("0")
}

/// Whether all that is counted in lines of `/proc/net/snmp` is zero. Some numbers are settings.
fn are_counters_new(text: &str) -> bool {
    let settings = |line: &str| match line.split_once(':').map_or("", |(name, _)| name) {
        "Ip" => 2,
        "Tcp" => 4,
        _ => 0,
    };
    let is_of_numbers =
        |line: &&str| line.split_once(": ").is_some_and(|(_, rest)| !rest.starts_with(char::is_alphabetic));
    text.lines()
        .filter(is_of_numbers)
        .all(|line| line.split_ascii_whitespace().skip(1 + settings(line)).all(|number| number == "0"))
}

fn are_sockets_gone() -> bool {
    let mut buffer = [0; 1024];
    let mut holds = |file: &str, needed: &[(&str, &[&str])]| {
        let Ok(file) = rustix::fs::open(file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) else { return false };
        let count = rustix::io::read(&file, &mut buffer).unwrap_or(0);
        let text = std::str::from_utf8(&buffer[..count]).unwrap_or_default();
        needed.iter().all(|(protocol, words)| {
            let line = text.lines().find_map(|line| line.strip_prefix(protocol)).unwrap_or_default();
            let parts: Vec<&str> = line.split_ascii_whitespace().collect();
            words.iter().all(|word| parts.windows(2).any(|pair| pair[0] == *word && pair[1] == "0"))
        })
    };
    holds("/proc/net/sockstat", &[("TCP:", &["inuse", "tw"]), ("UDP:", &["inuse"]), ("RAW:", &["inuse"])])
        // A kernel without IPv6 has no such file.
        && (!Path::new("/proc/net/sockstat6").exists()
            || holds("/proc/net/sockstat6", &[("TCP6:", &["inuse"]), ("UDP6:", &["inuse"])]))
}

/// A file to read nothing from.
pub(super) fn open_null() -> std::io::Result<OwnedFd> {
    Ok(rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?)
}

/// Makes the job socket of a task known to be still open.
pub(super) fn is_open(job: impl AsFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut fds = [PollFd::new(&job, PollFlags::empty())];
    poll(&mut fds, Some(&now)).is_ok() && !fds[0].revents().contains(PollFlags::HUP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_noticed() {
        let text = |tcp: &str, udp: &str| {
            format!(
                "Ip: Forwarding DefaultTTL InReceives\nIp: 2 64 0\nTcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens\n\
                 Tcp: 1 200 120000 -1 {tcp}\nUdp: InDatagrams NoPorts\nUdp: 0 {udp}\n"
            )
        };
        assert!(are_counters_new(&text("0", "0")));
        assert!(!are_counters_new(&text("1", "0")) && !are_counters_new(&text("0", "42")));
        assert!(is_zero("Ip6InReceives                   \t0") && !is_zero("Ip6OutNoRoutes \t10"));
    }
}
