//! The memo: what a run that succeeded rested on, so that the same request is answered by looking at
//! metadata alone, without reading specs or opening the store. Leaves out running.
//!
//! It holds one flat list of paths: specs, inputs, folders that patterns listed, paths that were not
//! there, executables, outputs in their places, and the store's `format`. The answer stands while
//! every one of them is as it was. A file whose times are too near to when the memo was written might
//! have changed without a trace, so its content is compared; a folder or executable in that state
//! voids the memo. A memo that is void, damaged, or of another version is no error: the run is made.
//!
//! A request that the memo answers executes nothing, so it leaves no journal.
//!
//! Where only files that actions read, or outputs in their places, are otherwise, what is behind these is
//! looked at alone: see `behind`. Leaves out the files themselves: see `file` and `graph`.

mod entries;
mod file;
mod graph;
mod parts;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, Stat};

use crate::base::{Clock, Digest, Environment, Timestamp};
use crate::event::Outcome;
use crate::exec::{FileMeta, RunReport};
use crate::lang::{LOCK_FILE, VENDOR};
use crate::ops::Error;
use crate::ops::memo::entries::{Entries, Entry, Kind, NO_DIGEST, NOTHING, Part};
use crate::ops::memo::file::{Memo, graph_file};
use crate::ops::memo::graph::{Placed, write_graph};
use crate::ops::package_store::is_part_of_package;
use crate::ops::workspace::Workspace;
use crate::plan::{ActionId, ActionKind, Class, Plan, ToolExec};
use crate::store::FileStat;

pub(super) use graph::{Section, Site};
pub use parts::Behind;
pub(super) use parts::{Ended, Misplaced, Second};

use graph::Graph;

/// Paths at most this many are looked at on one thread.
const ONE_THREAD: usize = 2_000;

/// What identifies a request: everything that the answer depends on and that is not a file.
#[derive(Clone, Debug)]
pub struct MemoKey {
    digest: Digest,
}

impl MemoKey {
    /// The key of a request: the program, where things are, what is asked for and how, and `PATH`.
    pub fn new(parts: &[&str], environment: &Environment) -> Self {
        let mut bytes = Vec::new();
        let mut put = |text: &[u8]| {
            bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
            bytes.extend_from_slice(text);
        };
        put(program().as_bytes());
        for part in parts {
            put(part.as_bytes());
        }
        let path = environment.get(Environment::PATH).map(|path| path.as_encoded_bytes().to_vec());
        put(&path.unwrap_or_default());
        Self { digest: Digest::of_blob(&bytes) }
    }

    fn file(&self, state: &Path) -> PathBuf {
        state.join("memo").join(self.digest.hex())
    }
}

/// What identifies this program: one that was built anew may compile the same specs differently.
pub(super) fn program() -> Digest {
    let mut text = env!("CARGO_PKG_VERSION").to_owned();
    if let Ok(stat) = rustix::fs::stat("/proc/self/exe") {
        let _ = write!(text, " {} {} {} {}", stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime);
    }
    Digest::of_blob(text.as_bytes())
}

/// What the memo answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoAnswer {
    /// How many actions have their results.
    pub actions: u64,
    /// Where outputs are.
    pub outputs: Vec<PathBuf>,
}

/// What came of asking the memo.
pub(super) enum Recalled {
    /// All of it stands.
    Answer(MemoAnswer),
    /// All of it stands but for some sources and outputs.
    Behind(Box<Behind>),
    /// It has to be run.
    Nothing,
}

/// What a look at entries found.
#[derive(Default)]
struct Look {
    /// Entries whose content was compared, with the metadata they have now.
    compared: Vec<(u32, FileStat)>,
    /// Entries that are not as they were.
    changed: Vec<u32>,
}

/// Looks at entries, by their numbers. `None` if the ground is not as it was.
fn look(dir: &OwnedFd, numbers: std::ops::Range<usize>, memo: &Memo) -> Option<Look> {
    let mut found = Look::default();
    let mut near = Near { dir, fd: None, prefix: "" };
    let mut next = memo.entries.get(numbers.start);
    for number in numbers {
        let entry = next?;
        next = memo.entries.get(number + 1);
        let at = number as u32;
        let (fd, path) = near.to(entry.path, next.map_or("", |next| next.path));
        match stands(fd, path, &entry, memo.written) {
            Some(Standing::Told) => {}
            Some(Standing::Compared(stat)) => found.compared.push((at, stat)),
            None if memo.graph.is_none() || entry.part == Part::Ground => return None,
            None if entry.part == Part::Source && !is_file(dir, &entry) => return None,
            None => found.changed.push(at),
        }
    }
    Some(found)
}

/// Where entries are looked at from: a folder that many of them lie in is found once.
struct Near<'a> {
    dir: &'a OwnedFd,
    fd: Option<OwnedFd>,
    /// The way from `dir` to `fd`, with a `/` at the end.
    prefix: &'a str,
}

impl<'a> Near<'a> {
    /// Bytes of the way that are worth opening a folder.
    const WORTH: usize = 6;

    fn to(&mut self, path: &'a str, next: &str) -> (&OwnedFd, &'a str) {
        let same = path.bytes().zip(next.bytes()).take_while(|(a, b)| a == b).count();
        let common = path.as_bytes()[..same].iter().rposition(|byte| *byte == b'/').map_or(0, |cut| cut + 1);
        let is_below = self.fd.is_some() && path.starts_with(self.prefix);
        let known = if is_below { self.prefix.len() } else { 0 };
        if common >= known + Self::WORTH {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            self.fd = rustix::fs::openat(self.dir.as_fd(), &path[..common], flags, Mode::empty()).ok();
            self.prefix = &path[..common];
        }
        match &self.fd {
            Some(fd) if path.starts_with(self.prefix) => (fd, &path[self.prefix.len()..]),
            _ => (self.dir, path),
        }
    }
}

/// Whether there is a file where there was one. What else may be there means something else to a pattern.
fn is_file(dir: &OwnedFd, entry: &Entry<'_>) -> bool {
    let found = rustix::fs::statat(dir.as_fd(), entry.path, AtFlags::SYMLINK_NOFOLLOW);
    found.is_ok_and(|stat| stat.st_mode & 0o170_000 == 0o100_000)
}

/// The answer to a request, if the memo has one that still stands, or what of it does.
pub(super) fn recall(state: &Path, root: &Path, key: &MemoKey, clock: &dyn Clock) -> Recalled {
    recall_now(state, root, key, clock).unwrap_or(Recalled::Nothing)
}

fn recall_now(state: &Path, root: &Path, key: &MemoKey, clock: &dyn Clock) -> Option<Recalled> {
    let file = key.file(state);
    let looked = clock.now().0;
    let mut memo = Memo::read(&file)?;
    let dir = open_dir(root)?;
    let count = memo.entries.len();
    let found = if count <= ONE_THREAD {
        look(&dir, 0..count, &memo)?
    } else {
        let middle = count / 2;
        std::thread::scope(|scope| {
            let other = scope.spawn(|| look(&dir, middle..count, &memo));
            let mut mine = look(&dir, 0..middle, &memo)?;
            let other = other.join().ok()??;
            mine.compared.extend(other.compared);
            mine.changed.extend(other.changed);
            Some(mine)
        })?
    };
    let is_compared = !found.compared.is_empty();
    for (at, stat) in found.compared {
        let entry = memo.entries.get(at as usize)?;
        if entry.stat != stat {
            let digest = entry.digest;
            memo.set(at, stat, digest);
        }
    }
    if !found.changed.is_empty() {
        let graph = Graph::read(&graph_file(&file), memo.graph?)?;
        let changed: BTreeSet<u32> = found.changed.into_iter().collect();
        let is_source = |at: &u32| memo.entries.get(*at as usize).is_some_and(|entry| entry.part == Part::Source);
        let sources = changed.iter().copied().filter(is_source).collect();
        let readers = graph.readers(&sources)?;
        return Some(Recalled::Behind(Box::new(Behind { file, memo, graph, changed, readers, looked })));
    }
    if is_compared {
        // What was compared now need not be compared again: from here on its times tell. That this
        // cannot be written only means that it is compared again.
        memo.written = looked;
        let _ = memo.keep(&file);
    }
    Some(Recalled::Answer(memo.answer()))
}

/// How an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Its metadata says that it is as it was.
    Told,
    /// Its content was compared and is as it was; the metadata it has now.
    Compared(FileStat),
}

/// Whether what an entry describes is as it was; `None` if not. `path` leads to it from `dir`.
fn stands(dir: &OwnedFd, path: &str, entry: &Entry<'_>, written: i64) -> Option<Standing> {
    let found = rustix::fs::statat(dir.as_fd(), path, AtFlags::SYMLINK_NOFOLLOW);
    match (entry.kind, found) {
        (Kind::Absent, Err(_)) => Some(Standing::Told),
        (Kind::Absent, Ok(_)) | (_, Err(_)) => None,
        (kind, Ok(stat)) => {
            let stat = stat_of(&stat);
            if stat == entry.stat && stat.is_settled(Timestamp(written)) {
                return Some(Standing::Told);
            }
            if kind == Kind::List && stat.mode == entry.stat.mode {
                // What is written in place of a file changes its folder, and not the names in it.
                let same = listing(dir, path)? == entry.digest;
                return same.then_some(Standing::Compared(stat));
            }
            // A file that was only touched holds what it held; a folder may hold something else.
            if kind != Kind::Content || stat.size != entry.stat.size || stat.mode != entry.stat.mode {
                return None;
            }
            let file = rustix::fs::openat(dir.as_fd(), path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut std::fs::File::from(file.ok()?), &mut bytes).ok()?;
            (Digest::of_blob(&bytes) == entry.digest).then_some(Standing::Compared(stat))
        }
    }
}

/// The digest of the names in a folder, with what each is.
fn listing(dir: &OwnedFd, path: &str) -> Option<Digest> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let folder = rustix::fs::openat(dir.as_fd(), path, flags, Mode::empty()).ok()?;
    let mut names: Vec<Vec<u8>> = Vec::new();
    for entry in rustix::fs::Dir::read_from(&folder).ok()? {
        let entry = entry.ok()?;
        let kind = match entry.file_type() {
            rustix::fs::FileType::RegularFile => b'f',
            rustix::fs::FileType::Directory => b'd',
            rustix::fs::FileType::Symlink => b'l',
            // Where a file system does not tell, the times of the folder have to.
            rustix::fs::FileType::Unknown => return None,
            _ => b's',
        };
        names.push([entry.file_name().to_bytes(), &[0, kind, 0]].concat());
    }
    names.sort_unstable();
    Some(Digest::of_blob(&names.concat()))
}

/// Keeps what a run rested on, if it can be told by metadata. Called when outputs are in place.
pub(super) fn remember(
    workspace: &Workspace,
    plan: &Plan,
    report: &RunReport,
    outputs: &[PlacedOutput],
    key: &MemoKey,
    environment: &Environment,
    clock: &dyn Clock,
) -> Result<(), Error> {
    // The moment is taken before anything is looked at: later changes must count as near to it.
    let written = clock.now().0;
    let Some(collected) = collect(workspace, plan, report, outputs, environment) else { return Ok(()) };
    let file = key.file(&workspace.state);
    let graph = keep_graph(&file, workspace, plan, report, &collected);
    let mut memo = Memo {
        written,
        actions: report.actions.len() as u64,
        graph,
        outputs: outputs.iter().filter_map(|output| Some(format!("{}\0", output.path.to_str()?))).collect(),
        known: BTreeMap::new(),
        entries: collected.entries,
        otherwise: BTreeSet::new(),
        sum: None,
    };
    memo.keep(&file).map_err(Error::io("write", &file))
}

/// An output that was put in its place.
pub(super) struct PlacedOutput {
    /// Where.
    pub(super) path: PathBuf,
    /// The digest of a file.
    pub(super) digest: Option<Digest>,
    /// Its action in the plan.
    pub(super) action: ActionId,
    /// Which of the outputs in the report of the action.
    pub(super) output: usize,
}

/// Writes the graph beside the memo. What does not fit is a request that is run as a whole.
fn keep_graph(
    file: &Path,
    workspace: &Workspace,
    plan: &Plan,
    report: &RunReport,
    collected: &Collected,
) -> Option<Digest> {
    let text = |path: &Path| path.to_str().map(str::to_owned);
    let site = Site {
        root: text(&workspace.root)?,
        store: text(&workspace.store)?,
        state: text(&workspace.state)?,
        out: text(&workspace.out)?,
        excluded: workspace.excluded.iter().map(|path| text(path)).collect::<Option<_>>()?,
    };
    let sources = report.seen.files.keys().zip(collected.sources.clone());
    let entry_of: BTreeMap<&str, u32> = sources.map(|(path, at)| (path.as_str(), at)).collect();
    write_graph(&graph_file(file), plan, report, site, collected.placed.clone(), &entry_of)
}

/// What a run rested on.
struct Collected {
    entries: Entries,
    /// The entries of the files that were read, in the order of the report.
    sources: std::ops::Range<u32>,
    /// The entries of outputs.
    placed: Vec<Placed>,
}

/// Everything that a run rested on; `None` if something of it cannot be told by metadata.
fn collect(
    workspace: &Workspace,
    plan: &Plan,
    report: &RunReport,
    outputs: &[PlacedOutput],
    environment: &Environment,
) -> Option<Collected> {
    let succeeded = |outcome| matches!(outcome, Outcome::Ran | Outcome::Cached | Outcome::CutOff);
    if !report.actions.iter().all(|action| succeeded(action.outcome)) {
        return None;
    }
    // Consent grows old and can be withdrawn: it is asked for every time.
    if plan.actions.iter().any(|action| matches!(action.spec.kind, ActionKind::Approval(_))) {
        return None;
    }
    let mut list = List::new(&workspace.root, Part::Ground)?;
    for (_, source) in workspace.compiled.program.sources.iter() {
        // What is not in the workspace is the program's own, or is pinned by the lock file, which is.
        if !source.name.starts_with('<') {
            let path = workspace.dir.join(&source.name);
            list.content(path.to_str()?, Digest::of_blob(source.text.as_bytes()), None)?;
        }
    }
    for package in &workspace.compiled.program.packages {
        // Its digest is over all its files, of which specs are a part.
        let vendored = workspace.dir.join(VENDOR).join(&package.name);
        match &package.place {
            Some(place) => list.tree(&place.under(&workspace.dir), true)?,
            None => list.absent(vendored.to_str()?)?,
        }
    }
    if !workspace.compiled.program.packages.is_empty() {
        let lock = workspace.dir.join(LOCK_FILE);
        if !lock.exists() {
            list.absent(lock.to_str()?)?;
        }
    }
    let mut known = None;
    for path in report.seen.files.keys() {
        let folder = path.as_str().rsplit_once('/').map(|(folder, _)| folder);
        if let Some(folder) = folder.filter(|_| folder != known) {
            list.way(folder)?;
            known = Some(folder);
        }
    }
    let first = list.entries.len() as u32;
    // A file that is a tool is read by all that start it, whether or not a pattern matches it as well.
    let is_tool = |path: &crate::base::RelPath| {
        plan.tools.iter().any(|tool| matches!(&tool.exec, ToolExec::Workspace(file) if file == path))
    };
    for (path, (digest, meta)) in &report.seen.files {
        list.part = if is_tool(path) { Part::Ground } else { Part::Source };
        list.content(path.as_str(), *digest, Some(meta))?;
    }
    let sources = first..list.entries.len() as u32;
    list.part = Part::Ground;
    for (path, meta) in &report.seen.folders {
        list.names(if path.is_empty() { "." } else { path }, meta)?;
    }
    for (path, (link, end)) in &report.seen.links {
        if !same(&list.stat(path)?, link) {
            return None;
        }
        let real = list.way(path)?;
        list.meta(&real, Some(end))?;
    }
    for path in &report.seen.absent {
        list.absent(path)?;
    }
    // Tools of actions whose results are pinned by a declared digest cannot change anything.
    let mut named: BTreeSet<&str> = BTreeSet::new();
    for done in &report.actions {
        let action = plan.action(plan.find(&done.addr)?);
        match action.spec.class {
            Class::Volatile | Class::Effect => return None,
            Class::Fixed => {}
            Class::Pure | Class::Record => named.extend(action.spec.tools.iter().map(String::as_str)),
        }
        if let (Class::Record, Some(key)) = (action.spec.class, done.key) {
            // A record that is gone is made again of what the store knows.
            let record = workspace.state.join("cassette").join(key.to_string()).join("record.json");
            list.content_of(record.to_str()?)?;
        }
        let services = action.spec.services.iter().filter_map(|name| plan.service(name));
        named.extend(services.flat_map(|service| &service.spec.tools).map(String::as_str));
    }
    let mut todo: Vec<&str> = named.iter().copied().collect();
    while let Some(name) = todo.pop() {
        let tool = plan.tool(name)?;
        // What it says of itself may depend on variables and files that are not looked at here.
        if tool.fingerprint.is_some() && !tool.pass_env.is_empty() {
            return None;
        }
        todo.extend(tool.uses.iter().map(String::as_str).filter(|used| named.insert(used)));
    }
    let folders: Vec<PathBuf> =
        environment.get(Environment::PATH).map(std::env::split_paths).into_iter().flatten().collect();
    let mut programs: BTreeSet<&Path> = BTreeSet::new();
    for name in named {
        let tool = plan.tool(name)?;
        let says = |program: &Path| tool.fingerprint.is_none() || is_elf(program);
        match &tool.exec {
            ToolExec::Lookup(looked) => {
                let program = report.seen.programs.get(name)?.as_path();
                // What was passed over, a link that leads nowhere say, may become a program where it is.
                let mut earlier =
                    folders.iter().map(|folder| folder.join(looked)).take_while(|candidate| candidate != program);
                if !says(program) || earlier.any(|passed| passed.symlink_metadata().is_ok()) {
                    return None;
                }
                programs.insert(program);
            }
            // What was started is a copy, which is gone. The file itself was read.
            ToolExec::Workspace(file)
                if report.seen.files.contains_key(file) && says(&workspace.root.join(file.as_str())) => {}
            ToolExec::Workspace(_) => return None,
        }
    }
    for program in programs {
        let real = list.way(program.to_str()?)?;
        list.meta(&real, None)?;
    }
    // A program of the same name may appear in an earlier folder of PATH.
    for dir in &folders {
        match dir.to_str()? {
            text if dir.is_absolute() && dir.is_dir() => {
                let real = list.way(text)?;
                list.meta(&real, None)?;
            }
            text if dir.is_absolute() => list.absent(text)?,
            _ => return None,
        }
    }
    list.content_of(workspace.store.join("format").to_str()?)?;
    list.part = Part::Output;
    let mut placed = Vec::with_capacity(outputs.len());
    for output in outputs {
        let first = list.entries.len() as u32;
        list.output(&output.path, output.digest)?;
        let count = list.entries.len() as u32 - first;
        placed.push(Placed { action: output.action.0, output: output.output as u32, first, count });
    }
    Some(Collected { entries: list.entries, sources, placed })
}

/// Whether a file is a program of the machine itself. What a script says of itself is often what another
/// program says, or a file, that is not looked at here.
fn is_elf(program: &Path) -> bool {
    let mut start = [0; 4];
    let read = std::fs::File::open(program).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut start));
    read.is_ok() && start == *b"\x7fELF"
}

struct List {
    dir: OwnedFd,
    /// Whether the way to `dir` has no links.
    is_real: bool,
    /// Links that have their entries.
    links: BTreeSet<PathBuf>,
    /// What is known to be no link.
    plain: BTreeSet<PathBuf>,
    /// The way to `dir`, with a `/` at the end: what lies below is named by the rest.
    root: String,
    part: Part,
    entries: Entries,
}

impl List {
    fn new(root: &Path, part: Part) -> Option<Self> {
        let way = format!("{}/", root.to_str()?.trim_end_matches('/'));
        Some(Self {
            dir: open_dir(root)?,
            is_real: root.canonicalize().is_ok_and(|real| real == root),
            links: BTreeSet::new(),
            plain: BTreeSet::new(),
            root: way,
            part,
            entries: Entries::default(),
        })
    }

    /// Notes every link on the way to a path as the system follows it, and gives where it ends, which
    /// has no links on its way: that is noted by whoever asks. `None` if it ends nowhere.
    fn way(&mut self, path: &str) -> Option<String> {
        /// As many as the system itself follows.
        const LINKS: usize = 40;
        let given = Path::new(path);
        let mut at = if given.is_absolute() { PathBuf::new() } else { PathBuf::from(self.root.trim_end_matches('/')) };
        let steps = |path: &Path| path.components().rev().map(|step| step.as_os_str().to_owned()).collect::<Vec<_>>();
        let mut todo = steps(given);
        let mut followed = 0;
        while let Some(step) = todo.pop() {
            if step == "." {
                continue;
            }
            if step == ".." {
                at.pop();
                continue;
            }
            let next = at.join(&step);
            if self.plain.contains(&next) {
                at = next;
                continue;
            }
            let text = next.to_str()?;
            let stat = self.stat(text)?;
            if stat.mode & 0o170_000 != 0o120_000 {
                self.plain.insert(next.clone());
                at = next;
                continue;
            }
            followed += 1;
            if followed > LINKS || !(self.is_real || given.is_absolute()) {
                return None;
            }
            let leads = std::fs::read_link(&next).ok()?;
            // It must not have become another between the two looks.
            if self.stat(text)? != stat {
                return None;
            }
            if !self.links.contains(&next) {
                self.put(Kind::Meta, text, stat, NO_DIGEST)?;
                self.links.insert(next);
            }
            todo.extend(steps(&leads));
        }
        at.to_str().map(str::to_owned)
    }

    fn stat(&self, path: &str) -> Option<FileStat> {
        rustix::fs::statat(self.dir.as_fd(), path, AtFlags::SYMLINK_NOFOLLOW).ok().map(|stat| stat_of(&stat))
    }

    /// A file with its digest; with the metadata it had when it was read, which it must still have.
    fn content(&mut self, path: &str, digest: Digest, meta: Option<&FileMeta>) -> Option<()> {
        let stat = self.stat(path)?;
        // A link is described by what it leads to: it cannot be told by a look at itself.
        if stat.mode & 0o170_000 != 0o100_000 || meta.is_some_and(|meta| !same(&stat, meta)) {
            return None;
        }
        self.put(Kind::Content, path, stat, digest)
    }

    fn content_of(&mut self, path: &str) -> Option<()> {
        let bytes = std::fs::read(path).ok()?;
        self.content(path, Digest::of_blob(&bytes), None)
    }

    fn meta(&mut self, path: &str, meta: Option<&FileMeta>) -> Option<()> {
        let stat = self.stat(path)?;
        if meta.is_some_and(|meta| !same(&stat, meta)) {
            return None;
        }
        self.put(Kind::Meta, path, stat, NO_DIGEST)
    }

    /// A folder that was listed, by the names in it; by its metadata alone if these cannot be told.
    fn names(&mut self, path: &str, meta: &FileMeta) -> Option<()> {
        let real = if path == "." { path.to_owned() } else { self.way(path)? };
        let path = real.as_str();
        let stat = self.stat(path)?;
        let names = listing(&self.dir, path);
        if !same(&stat, meta) || self.stat(path)? != stat {
            return None;
        }
        match names {
            Some(names) => self.put(Kind::List, path, stat, names),
            None => self.put(Kind::Meta, path, stat, NO_DIGEST),
        }
    }

    fn put(&mut self, kind: Kind, path: &str, stat: FileStat, digest: Digest) -> Option<()> {
        let path = path.strip_prefix(&self.root).filter(|rest| !rest.is_empty()).unwrap_or(path);
        self.entries.push(&Entry { kind, part: self.part, path, stat, digest })
    }

    fn absent(&mut self, path: &str) -> Option<()> {
        self.put(Kind::Absent, path, NOTHING, NO_DIGEST)
    }

    /// An output in its place: a file, or a folder with all that is in it.
    fn output(&mut self, path: &Path, digest: Option<Digest>) -> Option<()> {
        if let Some(digest) = digest {
            return self.content(path.to_str()?, digest, None);
        }
        self.tree(path, false)
    }

    /// A folder with all that is in it; of a package without what is no part of it.
    fn tree(&mut self, path: &Path, is_package: bool) -> Option<()> {
        let walk = walkdir::WalkDir::new(path).sort_by_file_name().into_iter();
        let is_part = |entry: &walkdir::DirEntry| !is_package || is_part_of_package(entry);
        for entry in walk.filter_entry(is_part) {
            let entry = entry.ok()?;
            let text = entry.path().to_str()?;
            if is_package && entry.file_type().is_symlink() {
                return None;
            }
            if entry.file_type().is_file() {
                self.content_of(text)?;
            } else {
                self.meta(text, None)?;
            }
        }
        Some(())
    }
}

fn same(stat: &FileStat, meta: &FileMeta) -> bool {
    stat.dev == meta.dev
        && stat.ino == meta.ino
        && stat.size == meta.size
        && stat.mode == meta.mode
        && i128::from(stat.mtime_ns) == meta.mtime_ns
        && i128::from(stat.ctime_ns) == meta.ctime_ns
}

fn stat_of(stat: &Stat) -> FileStat {
    let nanos = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
    FileStat {
        dev: stat.st_dev,
        ino: stat.st_ino,
        size: stat.st_size as u64,
        mtime_ns: nanos(stat.st_mtime, stat.st_mtime_nsec as i64),
        ctime_ns: nanos(stat.st_ctime, stat.st_ctime_nsec as i64),
        mode: stat.st_mode,
    }
}

fn open_dir(path: &Path) -> Option<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
}

impl Memo {
    fn answer(&self) -> MemoAnswer {
        MemoAnswer { actions: self.actions, outputs: self.outputs.split_terminator('\0').map(PathBuf::from).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SystemClock;

    fn memo_of(dir: &Path, file: &str) -> Memo {
        let mut list = List::new(dir, Part::Ground).unwrap();
        let digest = Digest::of_blob(&std::fs::read(dir.join(file)).unwrap());
        list.content(file, digest, None).unwrap();
        list.absent("missing").unwrap();
        Memo {
            written: i64::MAX,
            actions: 3,
            graph: None,
            outputs: "o\0".into(),
            known: BTreeMap::new(),
            entries: list.entries,
            otherwise: BTreeSet::new(),
            sum: None,
        }
    }

    #[test]
    fn a_folder_stands_while_its_names_do() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("in")).unwrap();
        std::fs::write(dir.path().join("in/a"), "x").unwrap();
        let fd = open_dir(dir.path()).unwrap();
        let names = || listing(&fd, "in");
        let before = names();
        assert!(before.is_some());
        std::fs::write(dir.path().join("in/b"), "x").unwrap();
        assert_ne!(names(), before);
        std::fs::rename(dir.path().join("in/b"), dir.path().join("in/a")).unwrap();
        assert_eq!(names(), before);
        std::fs::remove_file(dir.path().join("in/a")).unwrap();
        std::fs::create_dir(dir.path().join("in/a")).unwrap();
        assert_ne!(names(), before, "a folder in place of a file");
    }

    #[test]
    fn stands_until_something_changes() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "x").unwrap();
        let memo = memo_of(dir.path(), "a");
        let fd = open_dir(dir.path()).unwrap();
        let all = |memo: &Memo, written| {
            let told = |entry: &Entry<'_>| Some(matches!(stands(&fd, entry.path, entry, written)?, Standing::Told));
            memo.entries.iter().try_fold(true, |all, entry| Some(told(&entry)? & all))
        };
        assert_eq!(all(&memo, i64::MAX), Some(true));
        // Written at the same moment as the file: its content is compared, and is the same.
        assert_eq!(all(&memo, memo.entries.get(0).unwrap().stat.mtime_ns), Some(false));
        // Touched: the same content, whatever its times.
        std::fs::write(dir.path().join("a"), "x").unwrap();
        assert!(all(&memo, i64::MAX).is_some());
        std::fs::write(dir.path().join("missing"), "now there").unwrap();
        assert_eq!(all(&memo, i64::MAX), None);
        std::fs::remove_file(dir.path().join("missing")).unwrap();
        std::fs::write(dir.path().join("a"), "yy").unwrap();
        assert_eq!(all(&memo, i64::MAX), None);
    }

    #[test]
    fn an_answer_needs_a_memo() {
        let dir = tempfile::tempdir().unwrap();
        let key = MemoKey::new(&["run"], &Environment::default());
        assert!(matches!(recall(dir.path(), dir.path(), &key, &SystemClock::new()), Recalled::Nothing));
    }
}
