//! Finds the tools that actions name, tells their identities, and lays out the directory that is
//! their `PATH`. Each is done once a run, and only when an action needs it. Leaves out the actions.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::base::{Digest, Domain, Entry, Environment, Hasher, NETWORK_PASS, RelPath, ToolVersion, meets};
use crate::exec::attempts::Attempts;
use crate::exec::bounds::Bounds;
use crate::exec::capture::tail_of;
use crate::exec::error::{Failure, FailureClass, Trouble};
use crate::exec::ports::{End, Job, Network, Ports, View};
use crate::exec::process::STARTING;
use crate::exec::sandbox::named_paths;
use crate::exec::workspace::{Workspace, file_meta};
use crate::plan::{Isolation, Plan, Tool, ToolExec, ToolIdentity};
use crate::store::Found;

/// How long a tool may take to tell its identity.
const FINGERPRINT_TIMEOUT: Duration = Duration::from_mins(1);
/// Bytes of a fingerprint that are kept in messages and manifests.
const FINGERPRINT_BYTES: usize = 64 * 1024;
/// 1980-01-01, the first moment that a ZIP archive can express.
const SOURCE_DATE_EPOCH: &str = "315532800";

/// A tool that was found.
#[derive(Clone, Debug)]
struct Located {
    /// The name on `PATH`.
    exec: String,
    /// The executable: where it was found, or our copy of a workspace file.
    path: PathBuf,
    /// For a workspace file, its digest.
    digest: Option<Digest>,
}

/// The tools of an action with those that they use.
#[derive(Debug)]
pub(super) struct Toolset {
    /// Identities by tool name.
    pub(super) identities: BTreeMap<String, ToolIdentity>,
    /// Executables.
    pub(super) paths: Vec<PathBuf>,
    /// The directory that is their `PATH`.
    pub(super) bin: PathBuf,
    /// Variables handed through.
    pub(super) pass_env: BTreeSet<String>,
    /// Name on `PATH` and executable, by tool name.
    programs: BTreeMap<String, (String, PathBuf)>,
}

impl Toolset {
    /// The name a tool goes by and its executable.
    pub(super) fn program(&self, tool: &str) -> Option<(&str, &Path)> {
        self.programs.get(tool).map(|(name, path)| (name.as_str(), path.as_path()))
    }
}

impl Toolset {
    /// The values of the variables that are handed through.
    pub(super) fn passed<'a>(&'a self, network: bool, caller: &'a Environment) -> impl Iterator<Item = &'a OsString> {
        let network = if network { NETWORK_PASS } else { &[] };
        self.pass_env.iter().map(String::as_str).chain(network.iter().copied()).filter_map(|name| caller.raw(name))
    }
}

type Cells<K, T> = Mutex<BTreeMap<K, Arc<OnceLock<Result<T, Failure>>>>>;

fn cell<K: Ord + Clone, T>(cells: &Cells<K, T>, key: &K) -> Arc<OnceLock<Result<T, Failure>>> {
    let mut cells = cells.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(cells.entry(key.clone()).or_default())
}

/// All tools of a run.
pub(super) struct Tools<'a> {
    plan: &'a Plan,
    ports: &'a Ports,
    workspace: &'a Workspace,
    scratch: &'a Path,
    declared: BTreeMap<&'a str, &'a Tool>,
    located: Cells<String, Located>,
    identified: Cells<String, ToolIdentity>,
    sets: Cells<Vec<String>, Arc<Toolset>>,
    bins: Cells<PathBuf, PathBuf>,
    attempts: &'a Attempts,
}

impl<'a> Tools<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        ports: &'a Ports,
        workspace: &'a Workspace,
        scratch: &'a Path,
        attempts: &'a Attempts,
    ) -> Self {
        Self {
            plan,
            ports,
            workspace,
            scratch,
            declared: plan.tools.iter().map(|tool| (tool.name.as_str(), tool)).collect(),
            located: Cells::default(),
            identified: Cells::default(),
            sets: Cells::default(),
            bins: Cells::default(),
            attempts,
        }
    }

    /// The executables of the tools that have been looked up.
    pub(super) fn programs(&self) -> BTreeMap<String, PathBuf> {
        let cells = self.located.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |cell: &Arc<OnceLock<Result<Located, Failure>>>| Some(cell.get()?.as_ref().ok()?.path.clone());
        cells.iter().filter_map(|(name, cell)| Some((name.clone(), known(cell)?))).collect()
    }

    /// The tools that have been identified.
    pub(super) fn identities(&self) -> BTreeMap<String, ToolIdentity> {
        let cells = self.identified.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |cell: &Arc<OnceLock<Result<ToolIdentity, Failure>>>| cell.get()?.as_ref().ok().cloned();
        cells.iter().filter_map(|(name, cell)| Some((name.clone(), known(cell)?))).collect()
    }

    /// The tools of these names, with all that they use.
    pub(super) fn set(&self, names: &[String]) -> Result<Arc<Toolset>, Failure> {
        cell(&self.sets, &names.to_vec()).get_or_init(|| self.make_set(names).map(Arc::new)).clone()
    }

    /// What the tools of these names are, with all that they use. None is going to be started, so that several may
    /// go by one name.
    pub(super) fn identities_of(&self, names: &[String]) -> Result<BTreeMap<String, ToolIdentity>, Failure> {
        let identity = |name: String| {
            let found = cell(&self.identified, &name).get_or_init(|| self.identify(&name)).clone()?;
            Ok((name, found))
        };
        self.closure(names)?.into_iter().map(identity).collect()
    }

    fn make_set(&self, names: &[String]) -> Result<Toolset, Failure> {
        let closure = self.closure(names)?;
        let mut set = self.lay_out(&closure)?;
        for name in &closure {
            let identity = cell(&self.identified, name).get_or_init(|| self.identify(name)).clone()?;
            set.identities.insert(name.clone(), identity);
        }
        Ok(set)
    }

    /// The names with those of the tools they use, transitively.
    fn closure(&self, names: &[String]) -> Result<BTreeSet<String>, Failure> {
        let mut closure = BTreeSet::new();
        let mut open: Vec<String> = names.to_vec();
        while let Some(name) = open.pop() {
            let tool = self.tool(&name)?;
            if closure.insert(name) {
                open.extend(tool.uses.iter().cloned());
            }
        }
        Ok(closure)
    }

    fn tool(&self, name: &str) -> Result<&'a Tool, Failure> {
        self.declared.get(name).copied().ok_or_else(|| {
            let known = self.plan.tools.len();
            Failure::new(FailureClass::ToolMissing, format!("tool `{name}` is not among the {known} of the plan"))
        })
    }

    /// Finds the tools and lays out their directory, without asking for identities.
    fn lay_out(&self, closure: &BTreeSet<String>) -> Result<Toolset, Failure> {
        let mut programs = BTreeMap::new();
        let mut links: BTreeMap<String, (PathBuf, &str)> = BTreeMap::new();
        let mut pass_env = BTreeSet::new();
        for name in closure {
            let tool = self.tool(name)?;
            let located = cell(&self.located, name).get_or_init(|| self.locate(tool)).clone()?;
            if let Some((path, other)) = links.get(&located.exec)
                && *path != located.path
            {
                return Err(Failure::new(
                    FailureClass::ToolUnfit,
                    format!(
                        "tools `{other}` and `{name}` are both called `{}` on `PATH`: `{}` and `{}`",
                        located.exec,
                        path.display(),
                        located.path.display()
                    ),
                ));
            }
            links.insert(located.exec.clone(), (located.path.clone(), name));
            pass_env.extend(tool.pass_env.iter().cloned());
            programs.insert(name.clone(), (located.exec, located.path));
        }
        let links: BTreeMap<String, PathBuf> = links.into_iter().map(|(exec, (path, _))| (exec, path)).collect();
        let bin = self.bin(&links)?;
        let paths = links.into_values().collect();
        Ok(Toolset { identities: BTreeMap::new(), paths, bin, pass_env, programs })
    }

    /// The directory `tools-<digest>/bin` of links to these executables.
    fn bin(&self, links: &BTreeMap<String, PathBuf>) -> Result<PathBuf, Failure> {
        let mut encoded = Vec::new();
        for (exec, path) in links {
            for part in [exec.as_bytes(), path.as_os_str().as_encoded_bytes()] {
                encoded.extend_from_slice(&(part.len() as u64).to_le_bytes());
                encoded.extend_from_slice(part);
            }
        }
        let set = self.scratch.join(format!("tools-{}", Digest::derive(Domain::Tools, &encoded).short()));
        let make = || {
            let bin = set.join("bin");
            let made = std::fs::create_dir(&set).and_then(|()| std::fs::create_dir(&bin));
            made.map_err(|error| unfit(format!("cannot make directory `{}`: {error}", bin.display())))?;
            for (exec, path) in links {
                let link = bin.join(exec);
                symlink(path, &link).map_err(|error| unfit(format!("cannot make `{}`: {error}", link.display())))?;
            }
            Ok(bin)
        };
        cell(&self.bins, &set).get_or_init(make).clone()
    }

    fn locate(&self, tool: &Tool) -> Result<Located, Failure> {
        match &tool.exec {
            ToolExec::Lookup(exec) => {
                let path = look_up(&self.ports.environment, exec)
                    .map_err(|searched| missing(tool, exec, &searched, self.workspace.has_file(exec)))?;
                Ok(Located { exec: tool.program().to_owned(), path, digest: None })
            }
            ToolExec::Workspace(file) => match self.take(tool, file)? {
                Ok(located) => Ok(located),
                // Known from an earlier run, whose snapshot is gone with the store: it is read anew.
                Err(lost) => {
                    self.workspace.reread_blob(lost).map_err(|trouble| in_tool(tool, trouble))?;
                    self.take(tool, file)?.map_err(|_| {
                        unfit(format!("tool `{}`: the store loses its copy of `{file}` at once", tool.name))
                    })
                }
            },
        }
    }

    /// Copies a file of the workspace to where it can be executed. The inner error is the digest of a
    /// snapshot that the store does not have.
    fn take(&self, tool: &Tool, file: &RelPath) -> Result<Result<Located, Digest>, Failure> {
        let entry = self.workspace.snapshot(file).map_err(|trouble| in_tool(tool, trouble))?;
        let Entry::File { digest, exec: true, .. } = entry else {
            return Err(unfit(format!(
                "tool `{}` is `{file}` of the workspace, which is not executable: try `chmod +x {file}`",
                tool.name
            )));
        };
        let dir = self.scratch.join(format!("tool-{}", digest.hex()));
        let path = dir.join(file.name());
        let _alone = STARTING.write().unwrap_or_else(PoisonError::into_inner);
        // Two tools may be the same file; it is then there already.
        if !path.exists() {
            let _ = std::fs::create_dir(&dir);
            match self.ports.cas.copy_to(digest, &path, true) {
                Ok(Found::Whole(())) => {}
                Ok(Found::Missing | Found::Corrupt) => return Ok(Err(digest)),
                Err(error) => return Err(unfit(format!("tool `{}`: {error}", tool.name))),
            }
        }
        Ok(Ok(Located { exec: file.name().to_owned(), path, digest: Some(digest) }))
    }

    fn identify(&self, name: &str) -> Result<ToolIdentity, Failure> {
        let tool = self.tool(name)?;
        let located = cell(&self.located, &tool.name).get_or_init(|| self.locate(tool)).clone()?;
        let Some(args) = &tool.fingerprint else {
            if let Some(version) = &tool.version {
                return Err(unfit(format!(
                    "tool `{}` must have version `{version}`, but has no `fingerprint` that would tell it",
                    tool.name
                )));
            }
            let digest = match located.digest {
                Some(digest) => digest,
                None => self.digest_of(&located.path).map_err(|error| {
                    unfit(format!("cannot read `{}` of tool `{}`: {error}", located.path.display(), tool.name))
                })?,
            };
            return Ok(ToolIdentity { name: located.exec, digest, fingerprint: None });
        };
        let text = self.ask(tool, &located, args)?;
        if let Some(requirement) = &tool.version {
            let version = ToolVersion::find(&text).ok_or_else(|| {
                unfit(format!("tool `{}` prints no version number, but must have `{requirement}`: {text}", tool.name))
            })?;
            if !meets(&version, requirement).map_err(|text| unfit(format!("tool `{}`: {text}", tool.name)))? {
                return Err(unfit(format!(
                    "tool `{}` has version {version}, but `{requirement}` is asked for: `{}` is what `PATH` leads to",
                    tool.name,
                    located.path.display()
                )));
            }
        }
        Ok(ToolIdentity { name: located.exec, digest: Digest::of_blob(text.as_bytes()), fingerprint: Some(text) })
    }

    /// Runs a tool to have it tell what it is: its trimmed standard output, or standard error where
    /// that is empty.
    fn ask(&self, tool: &Tool, located: &Located, args: &[String]) -> Result<String, Failure> {
        let set = self.lay_out(&self.closure(std::slice::from_ref(&tool.name))?)?;
        let attempt = self.attempts.take().map_err(|error| unfit(format!("tool `{}`: {error}", tool.name)))?;
        let runner = &self.ports.runner;
        let view = runner.view(&attempt.root, &set.bin, Isolation::None);
        let shown = named_paths(set.passed(false, &self.ports.environment));
        let env = environment(&BTreeMap::new(), &view, &set, false, &self.ports.environment);
        let job = Job {
            addr: &tool.name,
            program: &located.path,
            argv0: &located.exec,
            args,
            env: &env,
            root: &attempt.root,
            cwd: &attempt.work,
            tools: &set.paths,
            bin: &set.bin,
            shown: &shown,
            bounds: Bounds::default(),
            timeout: Some(FINGERPRINT_TIMEOUT),
            network: Network::Nothing,
            isolation: Isolation::None,
            tap: None,
            guarded: false,
        };
        let ended = runner.run(&job, &*self.ports.clock, &self.ports.cancel);
        let asked = format!("`{} {}`", located.exec, args.join(" "));
        let refuse = |what: String| Err(unfit(format!("tool `{}` does not tell what it is: {what}", tool.name)));
        match ended.end {
            End::Exited(0) => {}
            End::Exited(code) => {
                let help = shim_help(tool, &located.path, &set);
                return refuse(format!("{asked} exits with {code}\n{}{help}", tail_of(&ended.stderr)));
            }
            End::Signalled(signal) => return refuse(format!("{asked} dies of signal {signal}")),
            End::TimedOut => return refuse(format!("{asked} takes longer than {} s", FINGERPRINT_TIMEOUT.as_secs())),
            End::Exceeded(_) => return refuse(format!("{asked} uses too much")),
            End::WantsTerminal => return refuse(format!("{asked} asks the terminal for input")),
            End::Cancelled => return refuse(format!("the run was stopped during {asked}")),
            End::NotStarted(error) => return refuse(format!("{asked} cannot be started: {error}")),
            End::Unknown(error) => return refuse(format!("how {asked} ended is not known: {error}")),
        }
        let said = if ended.stdout.trim_ascii().is_empty() { &ended.stderr } else { &ended.stdout };
        let text = String::from_utf8_lossy(&said[..said.len().min(FINGERPRINT_BYTES)]).trim().to_owned();
        if text.is_empty() { refuse(format!("{asked} prints nothing")) } else { Ok(text) }
    }

    /// The digest of an executable outside of the workspace, by the stat cache where possible.
    fn digest_of(&self, path: &Path) -> std::io::Result<Digest> {
        let real = std::fs::canonicalize(path)?;
        let read_at = self.ports.clock.now();
        let meta = file_meta(&std::fs::metadata(&real)?);
        let shown = real.to_string_lossy();
        if let Some(digest) = self.ports.snapshots.lookup(&shown, &meta) {
            return Ok(digest);
        }
        let mut file = std::fs::File::open(&real)?;
        let mut hasher = Hasher::of_blob();
        let mut chunk = vec![0; 64 * 1024];
        loop {
            match file.read(&mut chunk)? {
                0 => break,
                count => hasher.update(&chunk[..count]),
            };
        }
        let digest = hasher.finish();
        if file_meta(&std::fs::metadata(&real)?) == meta {
            self.ports.snapshots.insert(&shown, meta, digest, read_at);
        }
        Ok(digest)
    }
}

fn unfit(text: String) -> Failure {
    Failure::new(FailureClass::ToolUnfit, text)
}

fn in_tool(tool: &Tool, trouble: Trouble) -> Failure {
    let text = match trouble {
        Trouble::Fail(failure) => failure.text,
        Trouble::Lost(lost) => format!("the store has lost blob `{}`", lost.digest),
        Trouble::Cancelled => "the run was stopped".to_owned(),
        Trouble::Fatal(error) => error.to_string(),
    };
    Failure::new(FailureClass::ToolMissing, format!("tool `{}`: {text}", tool.name))
}

/// Directories that were searched and are named one by one.
const FEW: usize = 3;

/// `is_here`: whether the workspace has a file of that name.
fn missing(tool: &Tool, exec: &str, searched: &[PathBuf], is_here: bool) -> Failure {
    let dirs: BTreeSet<String> = searched.iter().map(|dir| format!("`{}`", dir.display())).collect();
    let searched = match dirs.len() {
        0 => "no directory, as `PATH` is empty".to_owned(),
        count if count > FEW => format!("the {count} directories of `PATH`"),
        _ => dirs.into_iter().collect::<Vec<_>>().join(", "),
    };
    let help = if is_here {
        format!("the workspace has a file `{exec}`, which is named with its path: `exec \"./{exec}\"`")
    } else {
        format!(
            "install `{exec}`, or put its directory on `PATH`, or name a file of the workspace: `exec \"./{exec}\"`"
        )
    };
    Failure::new(
        FailureClass::ToolMissing,
        format!("tool `{}` is missing: there is no executable `{exec}`; searched {searched}\nhelp: {help}", tool.name),
    )
}

/// What to do about a tool that is a script, as those are that choose among versions: nothing of what it starts
/// is there unless it is named. Empty for a program, and for a script whose interpreter is among its tools.
fn shim_help(tool: &Tool, path: &Path, set: &Toolset) -> String {
    let Some(interpreter) = interpreter_of(path) else { return String::new() };
    if set.programs.values().any(|(exec, _)| *exec == interpreter) {
        return String::new();
    }
    let (name, shown) = (&tool.name, path.display());
    format!(
        "\nhelp: `{shown}` is a script for `{interpreter}`, and finds only tools that `{name}` names: put the folder \
         of the real `{name}` before it on `PATH`, or declare what it starts: `uses {interpreter}`"
    )
}

/// The name of the program that interprets a script; `None` for what is not one.
pub fn interpreter_of(path: &Path) -> Option<String> {
    let mut start = Vec::new();
    std::fs::File::open(path).ok()?.take(256).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line).into_owned();
    let mut words = line.split_whitespace();
    let name_of = |word: &str| word.rsplit('/').next().map(str::to_owned);
    let first = name_of(words.next()?)?;
    if first != "env" {
        return Some(first);
    }
    words.find(|word| !word.starts_with('-') && !word.contains('=')).and_then(name_of)
}

/// The first executable of a name on `PATH`; else the directories that were searched. Relative
/// directories are passed over: what they hold depends on where the run was started.
pub fn look_up(environment: &Environment, exec: &str) -> Result<PathBuf, Vec<PathBuf>> {
    let dirs = search_path(environment);
    let is_executable = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    let found = dirs.iter().map(|dir| dir.join(exec)).find(is_executable);
    found.ok_or(dirs)
}

/// The folders in which the caller finds programs.
pub(super) fn search_path(environment: &Environment) -> Vec<PathBuf> {
    let path = environment.get(Environment::PATH).cloned().unwrap_or_default();
    std::env::split_paths(&path).filter(|dir| dir.is_absolute()).collect()
}

/// The exact environment of a process: the fixed variables, those handed through, and those that
/// are declared, which win.
pub(super) fn environment(
    declared: &BTreeMap<String, String>,
    view: &View,
    tools: &Toolset,
    network: bool,
    caller: &Environment,
) -> BTreeMap<OsString, OsString> {
    let mut env: BTreeMap<OsString, OsString> = BTreeMap::new();
    let fixed = [("LANG", "C.UTF-8"), ("LC_ALL", "C.UTF-8"), ("TZ", "UTC"), ("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH)];
    env.extend(fixed.map(|(name, value)| (name.into(), value.into())));
    env.insert("PATH".into(), view.path.clone().into());
    env.insert("HOME".into(), view.home.clone().into());
    env.insert("TMPDIR".into(), view.tmp.clone().into());
    let network = if network { NETWORK_PASS } else { &[] };
    for name in tools.pass_env.iter().map(String::as_str).chain(network.iter().copied()) {
        if let Some(value) = caller.raw(name) {
            env.insert(name.into(), value.clone());
        }
    }
    env.extend(declared.iter().map(|(name, value)| (name.into(), value.into())));
    env
}
