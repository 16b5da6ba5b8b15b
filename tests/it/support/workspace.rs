//! A workspace in a temporary folder and the built program run in it, with a home, a store and a
//! state directory of its own and nothing of the caller's environment but `PATH`. Leaves out what
//! a result must be.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use partita::base::{Environment, NETWORK_PASS};
use tempfile::TempDir;
use walkdir::WalkDir;

use crate::support::{NOBODY, Outcome, Scrub, give_to_nobody, program_for_everyone};

/// A workspace that is removed with its value.
pub(crate) struct Workspace {
    /// Holds `ws` (the workspace), `home`, `store` and `state`, side by side, so that nothing of
    /// the program's own is among the files it looks at.
    folder: TempDir,
}

impl Workspace {
    /// An empty workspace.
    pub(crate) fn new() -> Self {
        Self::in_folder("partita-it-")
    }

    fn in_folder(prefix: &str) -> Self {
        let folder = tempfile::Builder::new().prefix(prefix).tempdir().expect("a temporary folder can be made");
        for name in ["ws", "home"] {
            fs::create_dir(folder.path().join(name)).expect("a folder can be made in it");
        }
        Self { folder }
    }

    /// A workspace with one spec, `partita.kdl`. The edition line is put first unless it is there.
    pub(crate) fn with_spec(spec: &str) -> Self {
        let spec =
            if spec.contains("partita edition=") { spec.to_owned() } else { format!("partita edition=1\n{spec}") };
        Self::new().file("partita.kdl", &spec)
    }

    /// A copy of a folder of the repository, without what runs left behind in it.
    pub(crate) fn copy_of(folder: &str) -> Self {
        Self::new().with_copy_of(folder, false)
    }

    /// The same files in a folder whose path is unlike that of other workspaces, made in the opposite order.
    pub(crate) fn odd_copy_of(folder: &str) -> Self {
        Self::in_folder("partita it \u{e4}'s ").with_copy_of(folder, true)
    }

    fn with_copy_of(self, folder: &str, last_first: bool) -> Self {
        let workspace = self;
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let walk = WalkDir::new(&from).sort_by_file_name().into_iter().filter_entry(|entry| {
            entry.depth() != 1 || ![Some("out"), Some(".partita")].contains(&entry.file_name().to_str())
        });
        let mut entries: Vec<_> = walk.map(|entry| entry.expect("the folder can be listed")).collect();
        // Folders come first either way.
        entries.sort_by_key(|entry| !entry.file_type().is_dir());
        if last_first {
            let files = entries.iter().position(|entry| !entry.file_type().is_dir()).unwrap_or(entries.len());
            entries[files..].reverse();
        }
        for entry in entries {
            let to = workspace.root().join(entry.path().strip_prefix(&from).expect("entries lie below"));
            if entry.file_type().is_dir() {
                fs::create_dir_all(to).expect("a folder can be made");
            } else {
                fs::copy(entry.path(), to).expect("a file can be copied");
            }
        }
        workspace
    }

    /// Writes a file, with the folders above it.
    pub(crate) fn file(self, path: &str, text: &str) -> Self {
        self.write(path, text);
        self
    }

    /// Writes an executable file.
    pub(crate) fn script(self, path: &str, text: &str) -> Self {
        self.write(path, text);
        let file = self.path(path);
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).expect("a mode can be set");
        self
    }

    /// Writes a file of an existing workspace.
    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let file = self.path(path);
        fs::create_dir_all(file.parent().expect("it lies in the workspace")).expect("folders can be made");
        fs::write(file, text).expect("a file can be written");
    }

    /// Appends to a file.
    pub(crate) fn append(&self, path: &str, text: &str) {
        let before = self.read(path);
        self.write(path, before + text);
    }

    /// Removes a file or a folder with all that is in it.
    pub(crate) fn remove(&self, path: &str) {
        remove(&self.path(path));
    }

    /// The text of a file.
    #[track_caller]
    pub(crate) fn read(&self, path: &str) -> String {
        String::from_utf8(self.bytes(path)).unwrap_or_else(|_| panic!("`{path}` is not UTF-8"))
    }

    /// The bytes of a file.
    #[track_caller]
    pub(crate) fn bytes(&self, path: &str) -> Vec<u8> {
        fs::read(self.path(path)).unwrap_or_else(|error| panic!("cannot read `{path}`: {error}"))
    }

    /// Whether something stands at a path.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.path(path).symlink_metadata().is_ok()
    }

    /// Files below a folder of the workspace, relative to it, sorted.
    pub(crate) fn list(&self, folder: &str) -> Vec<String> {
        let from = self.path(folder);
        WalkDir::new(&from)
            .sort_by_file_name()
            .into_iter()
            .filter_map(Result::ok)
            .filter(|entry| !entry.file_type().is_dir())
            .filter_map(|entry| Some(entry.path().strip_prefix(&from).ok()?.to_str()?.to_owned()))
            .collect()
    }

    /// The workspace's folder.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("ws")
    }

    /// A path in the workspace.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    /// The folder that holds workspace, store, state and home, for what else a test needs.
    pub(crate) fn around(&self) -> &Path {
        self.folder.path()
    }

    /// The store's folder.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// The state directory.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Removes the store, which must lose nothing but time.
    pub(crate) fn drop_store(&self) {
        remove(&self.store());
    }

    /// Removes the state directory.
    pub(crate) fn drop_state(&self) {
        remove(&self.state());
    }

    /// What the store holds unfinished: nothing, while no program uses it.
    pub(crate) fn unfinished(&self) -> Vec<String> {
        let tmp = self.store().join("tmp");
        let entries = WalkDir::new(&tmp).min_depth(1).sort_by_file_name().into_iter().filter_map(Result::ok);
        entries.map(|entry| entry.path().display().to_string()).collect()
    }

    /// Lets every user read the workspace, and gives it to `nobody` with store, state and home.
    pub(crate) fn give_to_nobody(&self) {
        fs::set_permissions(self.folder.path(), fs::Permissions::from_mode(0o755)).expect("a mode can be set");
        for name in ["store", "state"] {
            fs::create_dir_all(self.folder.path().join(name)).expect("a folder can be made");
        }
        for name in ["ws", "home", "store", "state"] {
            give_to_nobody(&self.folder.path().join(name));
        }
    }

    /// Prepares a run of the program as `nobody`, to whom the workspace was given.
    pub(crate) fn partita_as_nobody(&self, args: &[&str]) -> Invocation {
        let program = self.folder.path().join("partita");
        let program = if program.exists() { program } else { program_for_everyone(self.folder.path()) };
        self.surrounded(Invocation::new(&program, &self.root()).args(args)).user(NOBODY)
    }

    /// Runs the built program in the workspace.
    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        self.partita(args).run()
    }

    /// Prepares a run of the built program.
    pub(crate) fn partita(&self, args: &[&str]) -> Invocation {
        self.surrounded(Invocation::new(Path::new(env!("CARGO_BIN_EXE_partita")), &self.root()).args(args))
    }

    /// The surroundings of the program. Most tests ask what a run looks at and does, so it is not
    /// answered from memory; those of the memo take the variable away again. Many steer actions by files
    /// beside the workspace, which isolation would keep from them; those of isolation ask for it.
    /// `PARTITA_TEST_ISOLATION` is another level, to see what depends on it.
    fn surrounded(&self, invocation: Invocation) -> Invocation {
        let level = Environment::of_process().raw("PARTITA_TEST_ISOLATION").cloned();
        invocation
            .env("PARTITA_MEMO", "off")
            .env("PARTITA_ISOLATION", level.unwrap_or_else(|| "none".into()))
            .env("HOME", self.folder.path().join("home").as_os_str())
            .env("PARTITA_STORE", self.store().as_os_str())
            .env("PARTITA_STATE", self.state().as_os_str())
    }

    /// Prepares a run of any other program in the workspace, in the same bare environment.
    pub(crate) fn command(&self, program: &Path, args: &[&str]) -> Invocation {
        Invocation::new(program, &self.root()).args(args).env("HOME", self.folder.path().join("home").as_os_str())
    }

    /// Replaces what differs from workspace to workspace and from run to run.
    pub(crate) fn scrub(&self) -> Scrub {
        Scrub::new()
            .path(&self.root(), "[ROOT]")
            .path(&self.store(), "[STORE]")
            .path(&self.state(), "[STATE]")
            .path(self.folder.path(), "[TEMP]")
    }
}

fn remove(path: &Path) {
    let Ok(meta) = path.symlink_metadata() else { return };
    let done = if meta.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    done.unwrap_or_else(|error| panic!("cannot remove `{}`: {error}", path.display()));
}

/// A program about to be run: its environment holds `PATH` and what is said here.
#[must_use = "nothing happens before `run` or `command`"]
pub(crate) struct Invocation {
    command: Command,
    stdin: Vec<u8>,
    user: Option<u32>,
}

impl Invocation {
    #[expect(clippy::disallowed_methods, reason = "tests start the program as a person would")]
    fn bare(program: &Path) -> Self {
        let mut command = Command::new(program);
        command.env_clear();
        Self { command, stdin: Vec::new(), user: None }
    }

    fn new(program: &Path, folder: &Path) -> Self {
        let Self { mut command, .. } = Self::bare(program);
        command.current_dir(folder);
        if let Some(path) = Environment::of_process().get(Environment::PATH) {
            command.env("PATH", path);
        }
        Self { command, stdin: Vec::new(), user: None }
    }

    /// Adds arguments.
    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Hands a variable of the caller through, if it is set.
    pub(crate) fn pass(mut self, name: &str) -> Self {
        if let Some(value) = Environment::of_process().raw(name) {
            self.command.env(name, value);
        }
        self
    }

    /// Hands through what cargo needs to find its toolchain, its downloads and the network, as it looks for
    /// the first two in the home directory, which tests have their own of.
    pub(crate) fn cargo(self) -> Self {
        let environment = Environment::of_process();
        let home = environment.get(Environment::HOME).map(PathBuf::from).unwrap_or_default();
        let place = |name: &str, usual: &str| {
            environment.raw(name).map_or_else(|| home.join(usual), PathBuf::from).into_os_string()
        };
        let (cargo, rustup) = (place("CARGO_HOME", ".cargo"), place("RUSTUP_HOME", ".rustup"));
        let invocation = self.env("CARGO_HOME", cargo).env("RUSTUP_HOME", rustup);
        NETWORK_PASS.iter().fold(invocation, |invocation, name| invocation.pass(name))
    }

    /// Removes a variable.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Starts in another folder.
    pub(crate) fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// What it reads on standard input; otherwise it is closed.
    pub(crate) fn stdin(mut self, bytes: &[u8]) -> Self {
        self.stdin = bytes.to_vec();
        self
    }

    /// Starts as another user and group, without further groups. Only root can.
    pub(crate) fn user(mut self, id: u32) -> Self {
        self.command.uid(id).gid(id);
        self.user = Some(id);
        self
    }

    /// Starts under a umask, by way of a shell.
    pub(crate) fn umask(self, mask: &str) -> Self {
        self.after(&format!("umask {mask}"))
    }

    /// Starts after a command of a shell, which becomes the program.
    pub(crate) fn after(self, command: &str) -> Self {
        let script = format!("{command}; exec \"$0\" \"$@\"");
        self.inside(Path::new("/bin/sh"), &["-c", &script])
    }

    /// Starts by way of a program that becomes it, as its last arguments say.
    pub(crate) fn inside(self, program: &Path, args: &[&str]) -> Self {
        let inner = self.command;
        let mut outer = Self::bare(program);
        outer.command.args(args).arg(inner.get_program()).args(inner.get_args());
        for (name, value) in inner.get_envs() {
            if let Some(value) = value {
                outer.command.env(name, value);
            }
        }
        if let Some(folder) = inner.get_current_dir() {
            outer.command.current_dir(folder);
        }
        match self.user {
            Some(id) => outer.user(id),
            None => outer,
        }
    }

    /// The command itself, for a test that steers the process by hand.
    pub(crate) fn command(self) -> Command {
        self.command
    }

    /// Runs to the end.
    #[track_caller]
    pub(crate) fn run(mut self) -> Outcome {
        let shown = std::iter::once(self.command.get_program())
            .chain(self.command.get_args())
            .map(|part| part.to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join(" ");
        let output = if self.stdin.is_empty() {
            self.command.stdin(Stdio::null()).output()
        } else {
            self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            self.command.spawn().and_then(|mut child| {
                let mut pipe = child.stdin.take();
                let bytes = std::mem::take(&mut self.stdin);
                std::thread::scope(|scope| {
                    scope.spawn(move || {
                        // A program that does not read to the end closes the pipe; that is its right.
                        if let Some(pipe) = pipe.as_mut() {
                            let _ = std::io::Write::write_all(pipe, &bytes);
                        }
                    });
                    child.wait_with_output()
                })
            })
        };
        match output {
            Ok(output) => Outcome::new(shown, output),
            Err(error) => panic!("cannot start `{shown}`: {error}"),
        }
    }
}
