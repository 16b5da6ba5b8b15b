//! Which levels of isolation there are on this machine, found out by trying, once for each process.
//! Leaves out running actions.

use std::path::Path;
use std::sync::OnceLock;

use crate::exec::sandbox::fence::{VERSIONS, kernel_version};
use crate::exec::sandbox::helper::is_at_hand;
use crate::exec::sandbox::launch::{Helper, Maker, try_confined};
use crate::exec::sandbox::root::{Root, Wanted};
use crate::plan::Isolation;

/// Why a level is not to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// What was tried and how it was refused.
    pub reason: String,
    /// What can be done about it.
    pub mend: String,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    /// Why there is no isolation `full`, if there is none.
    pub full: Result<(), Lack>,
    /// Why there is no isolation `landlock`, if there is none.
    pub landlock: Result<(), Lack>,
}

impl Levels {
    /// What this machine offers to the program at hand.
    pub fn of_this_machine() -> &'static Self {
        static FOUND: OnceLock<Levels> = OnceLock::new();
        FOUND.get_or_init(|| {
            if is_at_hand() {
                Self::look(&Helper::ThisProgram)
            } else {
                let lack = || {
                    Err(Lack {
                        reason: "this program cannot be started again as the sandbox's helper".to_owned(),
                        mend: "let its `main` begin with `partita::exec::sandbox_entry`".to_owned(),
                    })
                };
                Self { full: lack(), landlock: lack() }
            }
        })
    }

    /// What this machine offers with this helper.
    pub(super) fn look(helper: &Helper) -> Self {
        Self { full: try_full(helper), landlock: try_landlock(helper) }
    }

    /// The version of Landlock that the kernel has, the newest that is made use of, and the oldest that is enough.
    /// The error is why it has none.
    pub fn landlock_version() -> Result<(i32, i32, i32), &'static str> {
        let (newest, least) = VERSIONS;
        Ok((kernel_version()?, newest, least))
    }

    /// The strongest level there is.
    pub fn strongest(&self) -> Isolation {
        match (&self.full, &self.landlock) {
            (Ok(()), _) => Isolation::Full,
            (_, Ok(())) => Isolation::Landlock,
            _ => Isolation::None,
        }
    }

    /// Why a level is not to be had.
    pub fn lack(&self, level: Isolation) -> Option<&Lack> {
        match level {
            Isolation::Full => self.full.as_ref().err(),
            Isolation::Landlock => self.landlock.as_ref().err(),
            Isolation::None => None,
        }
    }
}

fn try_full(helper: &Helper) -> Result<(), Lack> {
    let tried = tempfile::tempdir().and_then(|scratch| {
        let attempt = scratch.path().join("0");
        std::fs::create_dir(&attempt)?;
        let root = Root::new(&Wanted::nothing(scratch.path()));
        Maker::start(helper, &root, scratch.path(), false)?.try_out(Path::new("0"))
    });
    tried.map_err(|error| lack_of(&error))
}

fn try_landlock(helper: &Helper) -> Result<(), Lack> {
    let tried = tempfile::tempdir().and_then(|scratch| try_confined(helper, scratch.path()));
    tried.map_err(|error| lack_of(&error))
}

/// What is missing, in words that help.
fn lack_of(error: &std::io::Error) -> Lack {
    let reason = error.to_string();
    let mend = if reason.contains("user namespace") || reason.contains("of the namespace") {
        "allow user namespaces to this user: `sysctl user.max_user_namespaces` above 0, and where they exist, \
         `kernel.unprivileged_userns_clone=1` and `kernel.apparmor_restrict_unprivileged_userns=0`; in a container, a \
         seccomp profile that allows `unshare`"
    } else if reason.contains("`/proc`") {
        "the container hides parts of `/proc`: start it with `--security-opt systempaths=unconfined`, or run outside of it"
    } else if reason.contains("mount") || reason.contains("bind") || reason.contains("root") {
        "mounts are refused: in a container, allow them (`--security-opt apparmor=unconfined`, and a seccomp profile that \
         allows `mount`)"
    } else if reason.contains("Landlock") {
        "Landlock of version 3 is needed: Linux 6.2 or newer with `landlock` in `/sys/kernel/security/lsm` (the \
         `lsm=` parameter of the kernel adds it)"
    } else if reason.contains("system calls") {
        "a kernel with seccomp filters (`CONFIG_SECCOMP_FILTER`) is needed"
    } else if reason.contains("namespaces") {
        "allow PID, IPC, UTS and network namespaces (`sysctl user.max_pid_namespaces` and its like above 0)"
    } else {
        "see whether the program can start itself: `/proc` must be mounted"
    };
    Lack { reason, mend: mend.to_owned() }
}
