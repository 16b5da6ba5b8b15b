//! Which system calls an action may not make. A list of what is refused, not of what is allowed: a
//! compiler must run as it is. Leaves out files and the network, which namespaces and Landlock see to.

use std::collections::BTreeMap;
use std::io::Error;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter, sock_filter,
};

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
    // Keys belong to the user, not to the action.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // The clock is everybody's.
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
];

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

/// `TIOCSTI` and `TIOCLINUX`: to type into a terminal.
const TYPING: [u64; 2] = [0x5412, 0x541c];
/// All flags of `clone` that make a namespace.
const NEW_SPACES: [i32; 8] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
    0x80,
];
/// `fchmodat2`, the same number everywhere.
const FCHMODAT2: i64 = 452;

/// The sockets that are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sockets {
    /// None: a network namespace sees to it, or the network is allowed.
    Any,
    /// All but pairs: there is no namespace to keep them in.
    Pairs,
}

/// A compiled filter.
#[derive(Clone, Debug)]
pub(super) struct Filter(Vec<BpfProgram>);

fn has(argument: u8, bits: u64) -> Result<SeccompCondition, seccompiler::Error> {
    Ok(SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bits), bits)?)
}

fn is(argument: u8, value: u64) -> Result<SeccompCondition, seccompiler::Error> {
    Ok(SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)?)
}

fn refused(sockets: Sockets) -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::Error> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let mut add = |call: i64, conditions: Vec<SeccompCondition>| -> Result<(), seccompiler::Error> {
        rules.entry(call).or_default().push(SeccompRule::new(conditions)?);
        Ok(())
    };
    for flag in NEW_SPACES {
        add(libc::SYS_clone, vec![has(0, flag as u64)?])?;
    }
    for request in TYPING {
        add(libc::SYS_ioctl, vec![is(1, request)?])?;
    }
    // A file that runs as its owner would do so outside of the sandbox too, for every user.
    let create = libc::O_CREAT as u64;
    for bit in [u64::from(libc::S_ISUID), u64::from(libc::S_ISGID)] {
        add(libc::SYS_fchmod, vec![has(1, bit)?])?;
        add(libc::SYS_fchmodat, vec![has(2, bit)?])?;
        add(FCHMODAT2, vec![has(2, bit)?])?;
        add(libc::SYS_openat, vec![has(2, create)?, has(3, bit)?])?;
        add(libc::SYS_mknodat, vec![has(2, bit)?])?;
        #[cfg(target_arch = "x86_64")]
        {
            add(libc::SYS_chmod, vec![has(1, bit)?])?;
            add(libc::SYS_creat, vec![has(1, bit)?])?;
            add(libc::SYS_open, vec![has(1, create)?, has(2, bit)?])?;
            add(libc::SYS_mknod, vec![has(1, bit)?])?;
        }
    }
    #[cfg(target_arch = "x86_64")]
    for call in [libc::SYS_ioperm, libc::SYS_iopl, libc::SYS_kexec_file_load] {
        rules.insert(call, Vec::new());
    }
    if sockets == Sockets::Pairs {
        rules.insert(libc::SYS_socket, Vec::new());
    }
    Ok(rules)
}

impl Filter {
    /// Compiles the filter.
    pub(super) fn new(sockets: Sockets) -> Result<Self, Error> {
        let compile = |rules, errno: i32| -> Result<BpfProgram, Error> {
            let arch = std::env::consts::ARCH.try_into().map_err(Error::other)?;
            let action = SeccompAction::Errno(errno as u32);
            let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, arch).map_err(Error::other)?;
            filter.try_into().map_err(Error::other)
        };
        let mut first = compile(refused(sockets).map_err(Error::other)?, libc::EPERM)?;
        let absent = ABSENT.iter().map(|call| (*call, Vec::new())).collect();
        let second = compile(absent, libc::ENOSYS)?;
        if cfg!(target_arch = "x86_64") {
            let refuse_x32 = [
                // Load the number of the call.
                sock_filter { code: 0x20, jt: 0, jf: 0, k: 0 },
                // At least 2^30: the x32 way of calling, which has other numbers for the same.
                sock_filter { code: 0x35, jt: 0, jf: 1, k: 0x4000_0000 },
                sock_filter { code: 0x06, jt: 0, jf: 0, k: u32::from(SeccompAction::Errno(libc::ENOSYS as u32)) },
            ];
            first.splice(0..0, refuse_x32);
        }
        Ok(Self(vec![first, second]))
    }

    /// Applies it to this process and all that it starts, for good. Needs no-new-privileges.
    pub(super) fn apply(&self) -> Result<(), Error> {
        self.0.iter().try_for_each(|program| apply_filter(program).map_err(Error::other))
    }
}
