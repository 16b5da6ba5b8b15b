//! A workspace in a temporary folder and the built program run in it, with a home, a store and a
//! state directory of its own and nothing of the caller's environment but `PATH`. Leaves out what
//! a result must be.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use partita::base::Environment;
use tempfile::TempDir;
use walkdir::WalkDir;

use crate::support::{Outcome, Scrub};

/// A workspace that is removed with its value.
pub(crate) struct Workspace {
    /// Holds `ws` (the workspace), `home`, `store` and `state`, side by side, so that nothing of
    /// the program's own is among the files it looks at.
    folder: TempDir,
}

impl Workspace {
    /// An empty workspace.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("partita-it-").tempdir().expect("a temporary folder can be made");
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
        let workspace = Self::new();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let walk = WalkDir::new(&from).sort_by_file_name().into_iter().filter_entry(|entry| {
            entry.depth() != 1 || ![Some("out"), Some(".partita")].contains(&entry.file_name().to_str())
        });
        for entry in walk {
            let entry = entry.expect("the folder can be listed");
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

    /// Runs the built program in the workspace.
    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        self.partita(args).run()
    }

    /// Prepares a run of the built program.
    pub(crate) fn partita(&self, args: &[&str]) -> Invocation {
        Invocation::new(Path::new(env!("CARGO_BIN_EXE_partita")), &self.root())
            .args(args)
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
}

impl Invocation {
    #[expect(clippy::disallowed_methods, reason = "tests start the program as a person would")]
    fn new(program: &Path, folder: &Path) -> Self {
        let mut command = Command::new(program);
        command.current_dir(folder).env_clear();
        if let Some(path) = Environment::of_process().get(Environment::PATH) {
            command.env("PATH", path);
        }
        Self { command, stdin: Vec::new() }
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
