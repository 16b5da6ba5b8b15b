//! Another user of this machine, for what depends on who runs: modes and results that must not differ.
//! Leaves out permissions of particular files.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// The user and group `nobody`, as nearly every system has it.
pub(crate) const NOBODY: u32 = 65_534;

/// Whether this process may act as another user. Says so if it may not.
#[expect(clippy::print_stderr, reason = "a skip must be seen")]
pub(crate) fn may_change_user() -> bool {
    let may = rustix::process::geteuid().is_root();
    if !may {
        eprintln!("skipped: only root can run the program as another user");
    }
    may
}

/// Gives a file or a folder, with all that is in it, to `nobody`.
pub(crate) fn give_to_nobody(path: &Path) {
    for entry in WalkDir::new(path) {
        let entry = entry.expect("the folder can be listed");
        lchown(entry.path(), Some(NOBODY), Some(NOBODY)).expect("root can change owners");
    }
}

/// A copy of the built program that every user can start; the original may lie in a private folder.
pub(crate) fn program_for_everyone(folder: &Path) -> PathBuf {
    let program = folder.join("partita");
    fs::copy(env!("CARGO_BIN_EXE_partita"), &program).expect("the program can be copied");
    fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("a mode can be set");
    program
}
