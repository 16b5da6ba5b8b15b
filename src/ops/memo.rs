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
//! Layout, little-endian: magic, then `written` (i64 nanoseconds), counts of actions (u64), outputs
//! shown (u32 count, then texts), entries (u32 count, then each: kind u8, path text, and for what
//! exists dev u64, ino u64, size u64, mtime i64, ctime i64, mode u32, digest 32 bytes), then the BLAKE3
//! of all before. A text is its length (u32) and bytes.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, Stat};

use crate::base::{Clock, Digest, Environment, Timestamp};
use crate::event::Outcome;
use crate::exec::{FileMeta, RunReport};
use crate::lang::{LOCK_FILE, VENDOR};
use crate::ops::Error;
use crate::ops::package_store::is_part_of_package;
use crate::ops::workspace::Workspace;
use crate::plan::{ActionKind, Class, Plan};
use crate::store::FileStat;

const MAGIC: &[u8] = b"partita memo 1\n";

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
        put(env!("CARGO_PKG_VERSION").as_bytes());
        // A program that was built anew may compile the same specs differently.
        if let Ok(stat) = rustix::fs::stat("/proc/self/exe") {
            put(format!("{} {} {} {}", stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime).as_bytes());
        }
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

/// What the memo answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoAnswer {
    /// How many actions have their results.
    pub actions: u64,
    /// Where outputs are.
    pub outputs: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A file whose content has a digest.
    Content,
    /// A folder, or a file that is known by its metadata alone.
    Meta,
    /// Nothing.
    Absent,
}

struct Entry {
    kind: Kind,
    path: String,
    stat: FileStat,
    digest: Digest,
}

const NOTHING: FileStat = FileStat { dev: 0, ino: 0, size: 0, mtime_ns: 0, ctime_ns: 0, mode: 0 };

/// The answer to a request, if the memo has one that still stands.
pub(super) fn recall(state: &Path, root: &Path, key: &MemoKey, clock: &dyn Clock) -> Option<MemoAnswer> {
    let file = key.file(state);
    let now = clock.now();
    let mut memo = Memo::decode(&std::fs::read(&file).ok()?)?;
    let dir = open_dir(root)?;
    let written = memo.written;
    let look = |entries: &mut [Entry]| -> Option<bool> {
        let mut compared = false;
        for entry in entries {
            if let Standing::Compared(stat) = stands(&dir, entry, written)? {
                entry.stat = stat;
                compared = true;
            }
        }
        Some(compared)
    };
    let compared = if memo.entries.len() <= ONE_THREAD {
        look(&mut memo.entries)?
    } else {
        let middle = memo.entries.len() / 2;
        let (left, right) = memo.entries.split_at_mut(middle);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| look(right));
            let mine = look(left);
            Some(other.join().ok()?? | mine?)
        })?
    };
    if compared {
        // What was compared now need not be compared again: from here on its times tell. That this
        // cannot be written only means that it is compared again.
        memo.written = now.0;
        let _ = write(&file, &memo);
    }
    Some(memo.answer())
}

/// How an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Its metadata says that it is as it was.
    Told,
    /// Its content was compared and is as it was; the metadata it has now.
    Compared(FileStat),
}

/// Whether what an entry describes is as it was; `None` if not.
fn stands(dir: &OwnedFd, entry: &Entry, written: i64) -> Option<Standing> {
    let found = rustix::fs::statat(dir.as_fd(), entry.path.as_str(), AtFlags::SYMLINK_NOFOLLOW);
    match (entry.kind, found) {
        (Kind::Absent, Err(_)) => Some(Standing::Told),
        (Kind::Absent, Ok(_)) | (_, Err(_)) => None,
        (kind, Ok(stat)) => {
            let stat = stat_of(&stat);
            if stat == entry.stat && stat.is_settled(Timestamp(written)) {
                return Some(Standing::Told);
            }
            // A file that was only touched holds what it held; a folder may hold something else.
            if kind == Kind::Meta || stat.size != entry.stat.size || stat.mode != entry.stat.mode {
                return None;
            }
            let file =
                rustix::fs::openat(dir.as_fd(), entry.path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut std::fs::File::from(file.ok()?), &mut bytes).ok()?;
            (Digest::of_blob(&bytes) == entry.digest).then_some(Standing::Compared(stat))
        }
    }
}

/// Keeps what a run rested on, if it can be told by metadata. Called when outputs are in place.
pub(super) fn remember(
    workspace: &Workspace,
    plan: &Plan,
    report: &RunReport,
    outputs: &[(PathBuf, Option<Digest>)],
    key: &MemoKey,
    environment: &Environment,
    clock: &dyn Clock,
) -> Result<(), Error> {
    // The moment is taken before anything is looked at: later changes must count as near to it.
    let written = clock.now().0;
    let Some(entries) = collect(workspace, plan, report, outputs, environment) else { return Ok(()) };
    let memo = Memo {
        written,
        actions: report.actions.len() as u64,
        outputs: outputs.iter().filter_map(|(path, _)| path.to_str().map(str::to_owned)).collect(),
        entries,
    };
    let file = key.file(&workspace.state);
    write(&file, &memo).map_err(Error::io("write", &file))
}

/// Everything that a run rested on; `None` if something of it cannot be told by metadata.
fn collect(
    workspace: &Workspace,
    plan: &Plan,
    report: &RunReport,
    outputs: &[(PathBuf, Option<Digest>)],
    environment: &Environment,
) -> Option<Vec<Entry>> {
    let succeeded = |outcome| matches!(outcome, Outcome::Ran | Outcome::Cached | Outcome::CutOff);
    if !report.actions.iter().all(|action| succeeded(action.outcome)) {
        return None;
    }
    // Consent grows old and can be withdrawn: it is asked for every time.
    if plan.actions.iter().any(|action| matches!(action.spec.kind, ActionKind::Approval(_))) {
        return None;
    }
    let dir = open_dir(&workspace.root)?;
    let mut list = List { dir, entries: Vec::new() };
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
            None => list.absent(vendored.to_str()?),
        }
    }
    if !workspace.compiled.program.packages.is_empty() {
        let lock = workspace.dir.join(LOCK_FILE);
        if !lock.exists() {
            list.absent(lock.to_str()?);
        }
    }
    for (path, (digest, meta)) in &report.seen.files {
        list.content(path.as_str(), *digest, Some(meta))?;
    }
    for (path, meta) in &report.seen.folders {
        list.meta(if path.is_empty() { "." } else { path }, Some(meta))?;
    }
    for path in &report.seen.absent {
        list.absent(path);
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
    let mut programs: BTreeSet<&Path> = BTreeSet::new();
    for name in named {
        programs.insert(report.seen.programs.get(name)?);
    }
    for program in programs {
        // A copy of a workspace file lies in scratch and is gone; the file itself is among the inputs
        // of nothing, so it cannot be told.
        list.meta(program.to_str()?, None)?;
        if let Ok(real) = program.canonicalize()
            && real != program
        {
            list.meta(real.to_str()?, None)?;
        }
    }
    // A program of the same name may appear in an earlier folder of PATH.
    for dir in environment.get(Environment::PATH).map(std::env::split_paths).into_iter().flatten() {
        match dir.to_str()? {
            text if dir.is_absolute() && dir.is_dir() => list.meta(text, None)?,
            text if dir.is_absolute() => list.absent(text),
            _ => return None,
        }
    }
    list.content_of(workspace.store.join("format").to_str()?)?;
    for (path, digest) in outputs {
        list.output(path, *digest)?;
    }
    Some(list.entries)
}

struct List {
    dir: OwnedFd,
    entries: Vec<Entry>,
}

impl List {
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
        self.entries.push(Entry { kind: Kind::Content, path: path.to_owned(), stat, digest });
        Some(())
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
        self.entries.push(Entry { kind: Kind::Meta, path: path.to_owned(), stat, digest: Digest::from_bytes([0; 32]) });
        Some(())
    }

    fn absent(&mut self, path: &str) {
        let digest = Digest::from_bytes([0; 32]);
        self.entries.push(Entry { kind: Kind::Absent, path: path.to_owned(), stat: NOTHING, digest });
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

fn write(file: &Path, memo: &Memo) -> std::io::Result<()> {
    let dir = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir)?;
    let mut temporary = tempfile::NamedTempFile::new_in(dir)?;
    std::io::Write::write_all(&mut temporary, &memo.encode())?;
    temporary.persist(file).map_err(|error| error.error)?;
    Ok(())
}

struct Memo {
    written: i64,
    actions: u64,
    outputs: Vec<String>,
    entries: Vec<Entry>,
}

impl Memo {
    fn answer(&self) -> MemoAnswer {
        MemoAnswer { actions: self.actions, outputs: self.outputs.iter().map(PathBuf::from).collect() }
    }

    fn encode(&self) -> Vec<u8> {
        fn text(out: &mut Vec<u8>, text: &str) {
            out.extend_from_slice(&(text.len() as u32).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        let mut out = Vec::with_capacity(self.entries.len() * 128 + 64);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.written.to_le_bytes());
        out.extend_from_slice(&self.actions.to_le_bytes());
        out.extend_from_slice(&(self.outputs.len() as u32).to_le_bytes());
        self.outputs.iter().for_each(|output| text(&mut out, output));
        out.extend_from_slice(&(self.entries.len() as u32).to_le_bytes());
        for entry in &self.entries {
            out.push(match entry.kind {
                Kind::Content => 0,
                Kind::Meta => 1,
                Kind::Absent => 2,
            });
            text(&mut out, &entry.path);
            if entry.kind != Kind::Absent {
                let stat = &entry.stat;
                for number in [stat.dev, stat.ino, stat.size, stat.mtime_ns as u64, stat.ctime_ns as u64] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
                out.extend_from_slice(&stat.mode.to_le_bytes());
                out.extend_from_slice(entry.digest.as_bytes());
            }
        }
        let sum = Digest::of_blob(&out);
        out.extend_from_slice(sum.as_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
        if Digest::of_blob(body).as_bytes() != sum {
            return None;
        }
        let mut reader = Reader { rest: body.strip_prefix(MAGIC)? };
        let written = reader.u64()? as i64;
        let actions = reader.u64()?;
        let count = reader.u32()?;
        let outputs = (0..count).map(|_| reader.text()).collect::<Option<_>>()?;
        let count = reader.u32()?;
        let mut entries = Vec::with_capacity((count as usize).min(reader.rest.len() / 5));
        for _ in 0..count {
            let kind = match reader.take(1)?[0] {
                0 => Kind::Content,
                1 => Kind::Meta,
                2 => Kind::Absent,
                _ => return None,
            };
            let path = reader.text()?;
            let mut entry = Entry { kind, path, stat: NOTHING, digest: Digest::from_bytes([0; 32]) };
            if kind != Kind::Absent {
                entry.stat = FileStat {
                    dev: reader.u64()?,
                    ino: reader.u64()?,
                    size: reader.u64()?,
                    mtime_ns: reader.u64()? as i64,
                    ctime_ns: reader.u64()? as i64,
                    mode: reader.u32()?,
                };
                entry.digest = Digest::from_bytes(reader.take(32)?.try_into().ok()?);
            }
            entries.push(entry);
        }
        reader.rest.is_empty().then_some(Self { written, actions, outputs, entries })
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<String> {
        let length = self.u32()? as usize;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SystemClock;

    fn memo_of(dir: &Path, file: &str) -> Memo {
        let mut list = List { dir: open_dir(dir).unwrap(), entries: Vec::new() };
        let digest = Digest::of_blob(&std::fs::read(dir.join(file)).unwrap());
        list.content(file, digest, None).unwrap();
        list.absent("missing");
        Memo { written: i64::MAX, actions: 3, outputs: vec!["o".into()], entries: list.entries }
    }

    #[test]
    fn round_trips_and_refuses_damage() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "x").unwrap();
        let bytes = memo_of(dir.path(), "a").encode();
        assert_eq!(Memo::decode(&bytes).unwrap().encode(), bytes);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(Memo::decode(&damaged).is_none(), "byte {at}");
        }
    }

    #[test]
    fn stands_until_something_changes() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "x").unwrap();
        let memo = memo_of(dir.path(), "a");
        let fd = open_dir(dir.path()).unwrap();
        let all = |memo: &Memo, written| {
            let told = |entry| Some(matches!(stands(&fd, entry, written)?, Standing::Told));
            memo.entries.iter().try_fold(true, |all, entry| Some(told(entry)? & all))
        };
        assert_eq!(all(&memo, i64::MAX), Some(true));
        // Written at the same moment as the file: its content is compared, and is the same.
        assert_eq!(all(&memo, memo.entries[0].stat.mtime_ns), Some(false));
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
        assert_eq!(recall(dir.path(), dir.path(), &key, &SystemClock::new()), None);
    }
}
