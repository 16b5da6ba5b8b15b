//! Isolation as a user meets it: what an action cannot do at each level, that nothing outlives it, that a
//! level that is not to be had fails closed, and that results keep theirs. Leaves out the executor's
//! own tests at level `none`.

mod cgroup;
mod escapes;
mod levels;
mod limits;
mod network;
mod shell;
mod signals;
mod survivors;
mod undeclared;

use std::path::PathBuf;

use crate::support::{Outcome, Workspace, may_change_user};

/// Who runs the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// Who runs the tests.
    Self_,
    /// An ordinary user without rights.
    Nobody,
}

impl Who {
    /// Whether the tests may run as this user.
    fn is_possible(self) -> bool {
        self == Self::Self_ || may_change_user()
    }

    /// Runs the program in a workspace that was given to this user.
    fn run(self, workspace: &Workspace, args: &[&str]) -> Outcome {
        let invocation = match self {
            Self::Self_ => workspace.partita(args),
            Self::Nobody => workspace.partita_as_nobody(args),
        };
        // Programs of the system, not of whoever runs the tests.
        invocation.env("PATH", "/usr/local/bin:/usr/bin:/bin").run()
    }

    /// Gives the workspace to this user.
    fn own(self, workspace: &Workspace) {
        if self == Self::Nobody {
            workspace.give_to_nobody();
        }
    }
}

/// Whether a run failed closed for want of its level: then the message says why, and what would help.
#[expect(clippy::print_stderr, reason = "what could not be tested must be seen")]
fn failed_closed(outcome: &Outcome, level: &str) -> bool {
    if outcome.status != 33 {
        return false;
    }
    for part in ["E0105", &format!("must run under isolation `{level}`"), "this machine offers `", "help: "] {
        assert!(outcome.stderr.contains(part), "`{part}` is missing\n{}", outcome.describe());
    }
    eprintln!("isolation {level}: not to be had here, and refused as it should be");
    true
}

/// Programs of the system that these tests use.
fn program(name: &str) -> PathBuf {
    let dirs = ["/usr/local/bin", "/usr/bin", "/bin"];
    let found = dirs.iter().map(|dir| PathBuf::from(dir).join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("`{name}` is needed by this test"))
}
