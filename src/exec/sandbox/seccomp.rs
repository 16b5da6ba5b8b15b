//! Which system calls an action may not make. A list of what is refused, not of what is allowed: a
//! compiler must run as it is. Leaves out files and the network, which namespaces and Landlock see to.
//!
//! The program is written out here instruction by instruction, as short as it can be: the kernel goes
//! through it once for each call there is when it is applied, which is for each action. (Compiled from
//! rules it was four times as long, and took 0.3 ms of the millisecond that an action may cost.)

use std::io::Error;

use seccompiler::{apply_filter, sock_filter};

/// Calls that an action is told it may not make, whatever their arguments.
const REFUSED: &[i64] = &[
    // To see more than it was given.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_fanotify_init,
    // To reach into other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // To reach into the kernel.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_reboot,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
    // Keys belong to the user, not to the action.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // The clock is everybody's.
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    // Folders of attempts are used again.
    FILE_SETATTR,
];

/// Calls that the helper needs itself, to make sandboxes and to watch what an action misses: they are refused to each action in turn, all others once and
/// for all. (The kernel takes 0.15 ms for the whole filter, a third of that for these.)
const LATER: &[i64] = &[libc::SYS_mount, libc::SYS_setns, libc::SYS_clone, libc::SYS_ptrace];

/// Calls that an action is told do not exist, so that it falls back to those that can be judged.
const ABSENT: &[i64] = &[
    // The arguments are in memory, where a filter cannot look.
    libc::SYS_clone3,
    libc::SYS_openat2,
    // Would do in the kernel what this filter refuses.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// The like, where there is no namespace of processes' memory and messages: what is shared so belongs to the machine, and
/// stays when the run has ended.
const ABSENT_OUTSIDE: &[i64] = &[
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_semctl,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
];
/// `file_setattr`, the same number everywhere: another way to `FS_IOC_FSSETXATTR`.
const FILE_SETATTR: i64 = 469;

/// Calls that name a process, with the place of its number: refused for any but 0, who calls.
const OF_A_PROCESS: &[(i64, u32)] =
    &[(libc::SYS_prlimit64, 0), (libc::SYS_move_pages, 0), (libc::SYS_migrate_pages, 0)];
/// The like, where there is no namespace of processes.
const OF_A_PROCESS_OUTSIDE: &[(i64, u32)] = &[
    (libc::SYS_sched_setaffinity, 0),
    (libc::SYS_sched_setscheduler, 0),
    (libc::SYS_sched_setparam, 0),
    (libc::SYS_sched_setattr, 0),
    (libc::SYS_setpriority, 1),
    (libc::SYS_ioprio_set, 1),
];
/// Of these the first argument says whether the number is that of a process, a group or a user; this is a process.
const OF_WHOM_OUTSIDE: &[(i64, u32)] = &[(libc::SYS_setpriority, 0), (libc::SYS_ioprio_set, 1)];

/// What a device or a file is not told.
const CONTROLS: &[u32] = &[
    // To type into a terminal: `TIOCSTI` and `TIOCLINUX`.
    0x5412,
    0x541c,
    // To give a file or a folder flags, a project, a generation, a key, or a seal: the next attempt that used it would
    // notice, and some make everything in it slow. `FS_IOC_SETFLAGS` (of 64 and 32 bits), `FS_IOC_FSSETXATTR`,
    // `FS_IOC_SETVERSION` (of both), `FS_IOC_SET_ENCRYPTION_POLICY`, `FS_IOC_ENABLE_VERITY`, and what btrfs has beside.
    0x4008_6602,
    0x4004_6602,
    0x401c_5820,
    0x4008_7602,
    0x4004_7602,
    0x800c_6613,
    0x4080_6685,
    0x4008_941a,
];
/// Flags of `clone` that make a namespace, `CLONE_NEWTIME` among them.
const NEW_SPACES: u32 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP
    | 0x80) as u32;
/// A file that runs as its owner or group would do so outside of the sandbox too, for every user.
const RUNS_AS_OWNER: u32 = libc::S_ISUID | libc::S_ISGID;
/// `fchmodat2`, the same number everywhere.
const FCHMODAT2: i64 = 452;

/// Calls that are refused if an argument has any of these bits.
const WITH_BITS: &[(i64, u32, u32)] = &[
    (libc::SYS_clone, 0, NEW_SPACES),
    (libc::SYS_fchmod, 1, RUNS_AS_OWNER),
    (libc::SYS_fchmodat, 2, RUNS_AS_OWNER),
    (FCHMODAT2, 2, RUNS_AS_OWNER),
    (libc::SYS_mknodat, 2, RUNS_AS_OWNER),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chmod, 1, RUNS_AS_OWNER),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_creat, 1, RUNS_AS_OWNER),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mknod, 1, RUNS_AS_OWNER),
];
/// Calls that open, with the place of their flags; a mode follows, which counts if a file is made.
const OPENING: &[(i64, u32)] = &[
    (libc::SYS_openat, 2),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, 1),
];

/// Calls that send, with the place of their flags.
const SENDING: &[(i64, u32)] = &[(libc::SYS_sendto, 3), (libc::SYS_sendmsg, 2), (libc::SYS_sendmmsg, 3)];

/// The sockets that are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sockets {
    /// Those of families that a network namespace does not keep in (`AF_VSOCK` reaches the host of a virtual machine), or
    /// that reach into the kernel: all but files, the internet and `AF_NETLINK`. The rest is for a network namespace,
    /// or the network is allowed.
    Any,
    /// All but streams: what Landlock can judge by the port. Nor is a stream opened by what is sent (TCP Fast Open),
    /// which goes by Landlock on some kernels. Those of files only in a root of its own, where there are none of the
    /// machine's.
    Streams,
    /// All but pairs: there is no namespace to keep them in. Nor pairs of datagrams, which can be sent to anybody.
    Pairs,
}

/// What of the tables a filter holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// For who is in no namespace.
    Whole,
    Lasting,
    Rest,
}

/// A filter, as the kernel takes it (`linux/filter.h`, `linux/seccomp.h`).
#[derive(Clone, Debug)]
pub(super) struct Filter(Vec<sock_filter>);

/// Instructions: load a word of the call, jump if equal, at least, any bit set; return; mask.
const LOAD: u16 = 0x20;
const IF_EQUAL: u16 = 0x15;
const IF_AT_LEAST: u16 = 0x35;
const IF_ANY: u16 = 0x45;
const RETURN: u16 = 0x06;
const AND: u16 = 0x54;
/// Where in the description of a call its number and its architecture are; arguments follow at 16.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
/// `AUDIT_ARCH_*` of what this program is compiled for.
const NATIVE: u32 = if cfg!(target_arch = "aarch64") { 0xc000_00b7 } else { 0xc000_003e };
/// The x32 way of calling has other numbers for the same: from here.
const X32: u32 = 0x4000_0000;

const ALLOW: u32 = 0x7fff_0000;
const KILL: u32 = 0x8000_0000;
const ERROR: u32 = 0x0005_0000;
const REFUSE: u32 = ERROR | libc::EPERM as u32;
const DENY: u32 = ERROR | libc::ENOSYS as u32;

/// The low word of an argument.
fn argument(index: u32) -> u32 {
    16 + 8 * index + if cfg!(target_endian = "big") { 4 } else { 0 }
}

fn one(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

/// If the test holds, go on; else skip so many instructions.
fn unless(code: u16, k: u32, skip: usize) -> sock_filter {
    sock_filter { code, jt: 0, jf: skip as u8, k }
}

impl Filter {
    /// Writes the filter of who is in no namespace.
    pub(super) fn new(sockets: Sockets) -> Self {
        Self::write(sockets, Part::Whole)
    }

    /// The part that the helper applies to itself, and so to every action.
    pub(super) fn lasting() -> Self {
        Self::write(Sockets::Any, Part::Lasting)
    }

    /// The part that is left for an action.
    pub(super) fn rest(sockets: Sockets) -> Self {
        Self::write(sockets, Part::Rest)
    }

    fn write(sockets: Sockets, part: Part) -> Self {
        let wanted = |call: i64| match part {
            Part::Whole => true,
            Part::Lasting => !LATER.contains(&call),
            Part::Rest => LATER.contains(&call),
        };
        let is_rest = part == Part::Rest;
        let mut program = Vec::new();
        if !is_rest {
            program.extend([one(LOAD, ARCHITECTURE), sock_filter { code: IF_EQUAL, jt: 1, jf: 0, k: NATIVE }]);
            program.push(one(RETURN, KILL));
        }
        program.push(one(LOAD, NUMBER));
        let mut block = |test: sock_filter, body: &[sock_filter]| {
            program.push(sock_filter { jf: body.len() as u8, ..test });
            program.extend_from_slice(body);
        };
        if cfg!(target_arch = "x86_64") && !is_rest {
            block(unless(IF_AT_LEAST, X32, 0), &[one(RETURN, DENY)]);
        }
        for (call, index, bits) in WITH_BITS.iter().filter(|(call, ..)| wanted(*call)) {
            let body = [one(LOAD, argument(*index)), unless(IF_ANY, *bits, 1), one(RETURN, REFUSE), one(RETURN, ALLOW)];
            block(unless(IF_EQUAL, *call as u32, 0), &body);
        }
        for (call, flags) in OPENING.iter().filter(|(call, _)| wanted(*call)) {
            let body = [
                one(LOAD, argument(*flags)),
                unless(IF_ANY, (libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY)) as u32, 3),
                one(LOAD, argument(*flags + 1)),
                unless(IF_ANY, RUNS_AS_OWNER, 1),
                one(RETURN, REFUSE),
                one(RETURN, ALLOW),
            ];
            block(unless(IF_EQUAL, *call as u32, 0), &body);
        }
        let to = |k: u32, jt: u8, jf: u8| sock_filter { code: IF_EQUAL, jt, jf, k };
        if wanted(libc::SYS_ioctl) {
            let mut body = vec![one(LOAD, argument(1))];
            // Each that is found skips those that follow, and the verdict of who is none.
            body.extend(CONTROLS.iter().enumerate().map(|(at, k)| to(*k, (CONTROLS.len() - at) as u8, 0)));
            body.extend([one(RETURN, ALLOW), one(RETURN, REFUSE)]);
            block(unless(IF_EQUAL, libc::SYS_ioctl as u32, 0), &body);
        }
        let is_outside = part == Part::Whole;
        let outside = |table: &'static [(i64, u32)]| if is_outside { table } else { &[] };
        for (call, index) in OF_A_PROCESS.iter().chain(outside(OF_A_PROCESS_OUTSIDE)).filter(|(call, _)| wanted(*call))
        {
            let mut body = vec![one(LOAD, argument(*index)), to(0, 1, 0), one(RETURN, REFUSE)];
            if let Some((_, whom)) = OF_WHOM_OUTSIDE.iter().find(|(of, _)| of == call) {
                body.extend([one(LOAD, argument(0)), to(*whom, 1, 0), one(RETURN, REFUSE)]);
            }
            body.push(one(RETURN, ALLOW));
            block(unless(IF_EQUAL, *call as u32, 0), &body);
        }
        if is_outside && sockets != Sockets::Any {
            let body = [
                one(LOAD, argument(1)),
                one(AND, 0xf),
                to(libc::SOCK_STREAM as u32, 2, 0),
                to(libc::SOCK_SEQPACKET as u32, 1, 0),
                one(RETURN, REFUSE),
                one(RETURN, ALLOW),
            ];
            block(unless(IF_EQUAL, libc::SYS_socketpair as u32, 0), &body);
        }
        // What lasts holds it for the rest as well.
        if sockets == Sockets::Any && !is_rest {
            let body = [
                one(LOAD, argument(0)),
                to(libc::AF_UNIX as u32, 4, 0),
                to(libc::AF_INET as u32, 3, 0),
                to(libc::AF_INET6 as u32, 2, 0),
                to(libc::AF_NETLINK as u32, 1, 0),
                one(RETURN, REFUSE),
                one(RETURN, ALLOW),
            ];
            block(unless(IF_EQUAL, libc::SYS_socket as u32, 0), &body);
        }
        if sockets == Sockets::Streams {
            let body = [
                one(LOAD, argument(0)),
                to(libc::AF_UNIX as u32, if is_outside { 8 } else { 9 }, 0),
                to(libc::AF_INET as u32, 1, 0),
                to(libc::AF_INET6 as u32, 0, 6),
                one(LOAD, argument(1)),
                // Without `SOCK_CLOEXEC` and its like.
                one(AND, 0xf),
                to(libc::SOCK_STREAM as u32, 0, 3),
                one(LOAD, argument(2)),
                to(0, 2, 0),
                to(libc::IPPROTO_TCP as u32, 1, 0),
                one(RETURN, REFUSE),
                one(RETURN, ALLOW),
            ];
            block(unless(IF_EQUAL, libc::SYS_socket as u32, 0), &body);
            for (call, flags) in SENDING {
                let fast_open = libc::MSG_FASTOPEN as u32;
                let body = [
                    one(LOAD, argument(*flags)),
                    unless(IF_ANY, fast_open, 1),
                    one(RETURN, REFUSE),
                    one(RETURN, ALLOW),
                ];
                block(unless(IF_EQUAL, *call as u32, 0), &body);
            }
        }
        // The rest needs one instruction each: they jump to the end.
        let socket = (sockets == Sockets::Pairs).then_some(libc::SYS_socket);
        let refused: Vec<(i64, bool)> = ABSENT
            .iter()
            .map(|call| (*call, true))
            .chain(ABSENT_OUTSIDE.iter().filter(|_| is_outside).map(|call| (*call, true)))
            .chain(REFUSED.iter().map(|call| (*call, false)))
            .filter(|(call, _)| wanted(*call))
            .chain(socket.map(|call| (call, false)))
            .collect();
        let count = refused.len();
        for (at, (call, absent)) in refused.into_iter().enumerate() {
            // After the last of these come: allow, refuse, deny.
            let end = count - at - 1;
            let jt = (end + if absent { 2 } else { 1 }) as u8;
            program.push(sock_filter { code: IF_EQUAL, jt, jf: 0, k: call as u32 });
        }
        program.extend([one(RETURN, ALLOW), one(RETURN, REFUSE), one(RETURN, DENY)]);
        Self(program)
    }

    /// Applies it to this process and all that it starts, for good. Needs no-new-privileges.
    pub(super) fn apply(&self) -> Result<(), Error> {
        apply_filter(&self.0).map_err(Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would make of a call: the few instructions that are used, carried out.
    fn judge(filter: &Filter, architecture: u32, number: i64, args: [u64; 6]) -> u32 {
        let word = |offset: u32| match offset {
            NUMBER => number as u32,
            ARCHITECTURE => architecture,
            _ => args[(offset as usize - 16) / 8] as u32,
        };
        let (mut at, mut loaded) = (0, 0);
        loop {
            let step = &filter.0[at];
            at += 1;
            let holds = match step.code {
                LOAD => {
                    loaded = word(step.k);
                    continue;
                }
                RETURN => return step.k,
                AND => {
                    loaded &= step.k;
                    continue;
                }
                IF_EQUAL => loaded == step.k,
                IF_AT_LEAST => loaded >= step.k,
                IF_ANY => loaded & step.k != 0,
                other => panic!("instruction {other:#x}"),
            };
            at += usize::from(if holds { step.jt } else { step.jf });
        }
    }

    /// What the kernel would make of a call by several filters: the strictest counts.
    fn judge_all(filters: &[Filter], architecture: u32, number: i64, args: [u64; 6]) -> u32 {
        let judged = filters.iter().map(|filter| judge(filter, architecture, number, args));
        judged.min_by_key(|verdict| verdict.cast_signed()).unwrap()
    }

    #[test]
    fn says_of_each_call_what_the_tables_say() {
        let parts = |sockets| vec![Filter::lasting(), Filter::rest(sockets)];
        let whole =
            [Sockets::Any, Sockets::Pairs, Sockets::Streams].map(|sockets| (sockets, vec![Filter::new(sockets)]));
        let parted = [Sockets::Any, Sockets::Streams].map(|sockets| (sockets, parts(sockets)));
        for (sockets, filters) in whole.into_iter().chain(parted) {
            let of = |number, args| judge_all(&filters, NATIVE, number, args);
            for call in REFUSED {
                assert_eq!(of(*call, [0; 6]), REFUSE, "{call}");
            }
            for call in ABSENT {
                assert_eq!(of(*call, [0; 6]), DENY, "{call}");
            }
            for (call, index, bits) in WITH_BITS {
                let mut args = [0; 6];
                assert_eq!(of(*call, args), ALLOW, "{call}");
                args[*index as usize] = u64::from(*bits & bits.wrapping_neg());
                assert_eq!(of(*call, args), REFUSE, "{call}");
            }
            let open = |flags: i32, mode: u32| of(libc::SYS_openat, [0, 0, flags as u64, mode.into(), 0, 0]);
            assert_eq!(open(libc::O_CREAT | libc::O_WRONLY, 0o644), ALLOW);
            assert_eq!(open(libc::O_CREAT | libc::O_WRONLY, 0o4755), REFUSE);
            assert_eq!(open(libc::O_RDONLY, 0o4755), ALLOW, "there is no mode without a new file");
            assert_eq!(open(libc::O_TMPFILE | libc::O_WRONLY, 0o600), ALLOW);
            assert_eq!(open(libc::O_TMPFILE | libc::O_WRONLY, 0o4755), REFUSE, "a file without a name");
            assert_eq!(open(libc::O_DIRECTORY, 0o4755), ALLOW);
            for control in CONTROLS {
                assert_eq!(of(libc::SYS_ioctl, [0, (*control).into(), 0, 0, 0, 0]), REFUSE, "{control:#x}");
            }
            assert_eq!(of(libc::SYS_ioctl, [0, 0x5401, 0, 0, 0, 0]), ALLOW);
            for family in [libc::AF_UNSPEC, libc::AF_VSOCK, libc::AF_ALG, libc::AF_PACKET, libc::AF_BLUETOOTH] {
                assert_eq!(of(libc::SYS_socket, [family as u64, 1, 0, 0, 0, 0]), REFUSE, "family {family}");
            }
            let stream = |domain: i32, kind: i32, protocol: i32| {
                of(libc::SYS_socket, [domain as u64, kind as u64, protocol as u64, 0, 0, 0])
            };
            let socket = if sockets == Sockets::Pairs { REFUSE } else { ALLOW };
            assert_eq!(stream(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0), socket);
            assert_eq!(stream(libc::AF_INET6, libc::SOCK_STREAM, libc::IPPROTO_TCP), socket);
            let is_outside = filters.len() == 1;
            let named = if is_outside && sockets == Sockets::Streams { REFUSE } else { socket };
            assert_eq!(stream(libc::AF_UNIX, libc::SOCK_DGRAM, 0), named);
            assert_eq!(stream(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0), named);
            let pair = |kind: i32| of(libc::SYS_socketpair, [libc::AF_UNIX as u64, kind as u64, 0, 0, 0, 0]);
            assert_eq!(pair(libc::SOCK_STREAM | libc::SOCK_CLOEXEC), ALLOW);
            assert_eq!(pair(libc::SOCK_SEQPACKET), ALLOW);
            let sent = if is_outside && sockets != Sockets::Any { REFUSE } else { ALLOW };
            assert_eq!(pair(libc::SOCK_DGRAM | libc::SOCK_NONBLOCK), sent, "can be sent to any socket");
            assert_eq!(pair(libc::SOCK_RAW), sent, "is the same as datagrams");
            for call in ABSENT_OUTSIDE {
                assert_eq!(of(*call, [0; 6]), if is_outside { DENY } else { ALLOW }, "{call}");
            }
            for (call, index) in OF_A_PROCESS.iter().chain(OF_A_PROCESS_OUTSIDE) {
                let is_refused = is_outside || OF_A_PROCESS.iter().any(|(of, _)| of == call);
                let whom = OF_WHOM_OUTSIDE.iter().find(|(of, _)| of == call).map(|(_, whom)| *whom);
                let mut args = [0; 6];
                args[0] = whom.unwrap_or_default().into();
                assert_eq!(of(*call, args), ALLOW, "{call} of itself");
                args[*index as usize] = 4711;
                assert_eq!(of(*call, args), if is_refused { REFUSE } else { ALLOW }, "{call} of another");
                if whom.is_some() {
                    assert_eq!(
                        of(*call, [2, 0, 0, 0, 0, 0]),
                        if is_outside { REFUSE } else { ALLOW },
                        "{call} of many"
                    );
                }
            }
            let other = if sockets == Sockets::Any { ALLOW } else { REFUSE };
            assert_eq!(stream(libc::AF_INET, libc::SOCK_DGRAM, 0), other);
            assert_eq!(stream(libc::AF_INET, libc::SOCK_STREAM, 262), other, "MPTCP");
            assert_eq!(stream(libc::AF_NETLINK, libc::SOCK_RAW, 0), other);
            let fast = of(libc::SYS_sendto, [0, 0, 0, libc::MSG_FASTOPEN as u64, 0, 0]);
            assert_eq!(fast, if sockets == Sockets::Streams { REFUSE } else { ALLOW });
            for call in [libc::SYS_read, libc::SYS_execve, libc::SYS_exit_group, 9999] {
                assert_eq!(of(call, [0; 6]), ALLOW, "{call}");
            }
            assert_eq!(judge_all(&filters, 0x4000_0003, 1, [0; 6]), KILL, "another architecture");
        }
    }

    #[test]
    fn the_helper_may_make_sandboxes() {
        let lasting = Filter::lasting();
        let spaces = [NEW_SPACES.into(), 0, 0, 0, 0, 0];
        for (call, args) in [(libc::SYS_mount, [0; 6]), (libc::SYS_ptrace, [0; 6]), (libc::SYS_clone, spaces)] {
            assert_eq!(judge(&lasting, NATIVE, call, args), ALLOW);
            assert_eq!(judge(&Filter::rest(Sockets::Any), NATIVE, call, args), REFUSE);
        }
        assert!(Filter::rest(Sockets::Any).0.len() < 16, "it is applied for each action");
    }

    #[test]
    fn every_jump_fits() {
        assert!(Filter::new(Sockets::Streams).0.len() < 240);
    }
}
