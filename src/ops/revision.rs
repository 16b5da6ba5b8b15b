//! Spec files of a git revision: read from git's objects, without a checkout, by one `git` process.
//! Leaves out what is done with them.
//!
//! The repository may be a stranger's. Nothing in it is run: no hook, filter, pager or monitor, no
//! fetch of missing objects; and the environment of `git` holds only what is named here.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use walkdir::WalkDir;

use crate::base::{Environment, Limits, RelPath};
use crate::lang::{Folder, Locked, World, WorldError};
use crate::ops::Error;
use crate::ops::git::read_tree;
use crate::ops::package_store::PackageStore;

/// Bytes of what `git` may answer to a question other than for a file.
const ANSWER_BYTES: u64 = 64 << 20;

/// A git repository around a workspace.
#[derive(Clone, Debug)]
pub struct Repository {
    /// The folder of the workspace.
    dir: PathBuf,
    /// Where the workspace lies below the top of the repository; empty at the top.
    prefix: String,
    environment: Environment,
}

impl Repository {
    /// The repository that a workspace lies in.
    pub fn around(dir: &Path, environment: &Environment) -> Result<Self, Error> {
        let mut repository = Self { dir: dir.to_path_buf(), prefix: String::new(), environment: environment.clone() };
        let prefix = repository.ask(&["rev-parse", "--show-prefix"]).map_err(|why| {
            Error::usage_help(
                format!("`{}` is in no git repository that can be read: {why}", dir.display()),
                "compare plan files instead: `partita plan GRAPH -o FILE`",
            )
        })?;
        repository.prefix = String::from_utf8_lossy(prefix.trim_ascii_end()).into_owned();
        Ok(repository)
    }

    /// Where the workspace lies below the top, with a `/` at the end; empty at the top.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The commit that a revision stands for.
    pub fn commit(&self, revision: &str) -> Result<String, Error> {
        let wanted = format!("{revision}^{{commit}}");
        let found = self.ask(&["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted]);
        let found = found.ok().and_then(|out| String::from_utf8(out.trim_ascii().to_vec()).ok());
        found.filter(|hash| hash.len() >= 40 && hash.bytes().all(|b| b.is_ascii_hexdigit())).ok_or_else(|| {
            Error::usage_help(
                format!("`{revision}` is neither a file nor a revision of the git repository"),
                "give a branch, a tag or a commit; a plan file that exists; or `.` for the working tree",
            )
        })
    }

    /// Name and email of the author of the newest commit.
    pub fn author(&self) -> Option<(String, String)> {
        let out = self.ask(&["log", "-1", "--no-show-signature", "--format=%an%x00%ae"]).ok()?;
        let text = String::from_utf8(out).ok()?;
        let (name, email) = text.trim_end_matches('\n').split_once('\0')?;
        Some((name.to_owned(), email.to_owned()))
    }

    /// Files below the workspace that differ between two commits, or a commit and the working tree;
    /// only those that are wanted are looked at. Relative to the workspace, sorted.
    pub fn changed(
        &self,
        before: &str,
        after: Option<&str>,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<String>, Error> {
        let refused = |why: String| Error::usage(format!("git cannot compare `{before}`: {why}"));
        if let Some(after) = after {
            let args = ["diff-tree", "-r", "-z", "--name-only", "--no-renames", "--relative", before, after, "--"];
            let out = self.ask(&args).map_err(refused)?;
            let mut names: Vec<String> = split(&out).filter(|name| wanted(name)).collect();
            names.sort_unstable();
            return Ok(names);
        }
        let out = self.ask(&["ls-tree", "-r", "-z", before]).map_err(refused)?;
        let entries = split(&out).filter_map(|entry| {
            let (facts, path) = entry.split_once('\t')?;
            let hash = facts.rsplit(' ').next()?.to_owned();
            wanted(path).then(|| (path.to_owned(), hash))
        });
        let committed: BTreeMap<String, String> = entries.collect();
        let present: Vec<String> = self.files().filter(|path| wanted(path)).collect();
        // Porcelain would run the filters of the repository to compare; this hashes plain bytes.
        let asked: Vec<&str> =
            present.iter().map(String::as_str).filter(|path| committed.contains_key(*path)).collect();
        // Git reads relative names from the top of the repository, wherever it was started.
        let lines: Vec<u8> = asked.iter().flat_map(|path| quoted(&self.dir.join(path))).collect();
        let hashes = self
            .answer(&["hash-object", "--no-filters", "--stdin-paths"], &lines)
            .map_err(|why| Error::usage(format!("git cannot read the working tree: {why}")))?;
        let hashes = String::from_utf8_lossy(&hashes).into_owned();
        let now: BTreeMap<&str, &str> = asked.into_iter().zip(hashes.lines()).collect();
        let gone = committed.iter().filter(|(path, hash)| now.get(path.as_str()) != Some(&hash.as_str()));
        let fresh = present.iter().filter(|path| !committed.contains_key(*path));
        let mut names: Vec<String> = gone.map(|(path, _)| path.clone()).chain(fresh.cloned()).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Files of the working tree, relative to the workspace.
    fn files(&self) -> impl Iterator<Item = String> {
        let walk = WalkDir::new(&self.dir).sort_by_file_name().into_iter();
        let walk = walk.filter_entry(|entry| {
            entry.file_name() != ".git" && !(entry.depth() == 1 && entry.file_name() == ".partita")
        });
        walk.filter_map(Result::ok).filter(|entry| !entry.file_type().is_dir()).filter_map(|entry| {
            let path = entry.path().strip_prefix(&self.dir).ok()?.to_str()?;
            RelPath::new(path).is_ok().then(|| path.to_owned())
        })
    }

    /// The spec files of a commit as the compiler's world.
    pub fn world(&self, commit: &str, packages: PackageStore) -> Result<RevisionWorld, Error> {
        let mut command = self.git(&["cat-file", "--batch", "--follow-symlinks"]);
        let mut child = command.stdin(Stdio::piped()).spawn().map_err(Error::io("start", "git"))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (stdin, stdout) = pipes.ok_or_else(|| Error::Internal("git was started without pipes".to_owned()))?;
        let pipe = Pipe { child, stdin: Some(stdin), stdout: BufReader::new(stdout) };
        let repository = self.clone();
        Ok(RevisionWorld { commit: commit.to_owned(), repository, packages, pipe: RefCell::new(pipe) })
    }

    /// All files of a folder of a commit.
    fn folder(&self, tree: &str) -> Result<Folder, String> {
        let list = self.ask(&["ls-tree", "-r", "-z", "-l", "--full-tree", tree])?;
        read_tree(&list, &mut |asked, limit| {
            let out = self.answer(&["cat-file", "--batch=%(objectsize)"], &asked)?;
            if out.len() as u64 > limit { Err("git answers with too much".to_owned()) } else { Ok(out) }
        })
    }

    fn ask(&self, args: &[&str]) -> Result<Vec<u8>, String> {
        self.answer(args, b"")
    }

    /// What git prints for these arguments and this standard input.
    fn answer(&self, args: &[&str], asked: &[u8]) -> Result<Vec<u8>, String> {
        let mut child = self.git(args).stdin(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let mut out = Vec::new();
        let read = std::thread::scope(|scope| {
            scope.spawn(move || {
                if let Some(mut stdin) = stdin {
                    // Whether it read all of it, its answer and its status tell.
                    let _ = stdin.write_all(asked);
                }
            });
            stdout.map_or(Ok(0), |stdout| stdout.take(ANSWER_BYTES).read_to_end(&mut out))
        });
        read.map_err(|error| error.to_string())?;
        let mut said = String::new();
        if let Some(stderr) = child.stderr.take() {
            let _ = stderr.take(4096).read_to_string(&mut said);
        }
        let status = child.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(out) } else { Err(said.lines().next().unwrap_or("it says nothing").to_owned()) }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "git is not an action: it is asked for objects before there is a plan, and runs nothing of the repository"
    )]
    fn git(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.env_clear();
        // The user's own settings stay: they say which folders of others are safe to read.
        for name in ["PATH", "HOME", "XDG_CONFIG_HOME"] {
            if let Some(value) = self.environment.raw(name) {
                command.env(name, value);
            }
        }
        let fixed = [
            ("LC_ALL", "C"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_ALLOW_PROTOCOL", "none"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_LITERAL_PATHSPECS", "1"),
        ];
        command.envs(fixed).current_dir(&self.dir);
        for setting in ["core.fsmonitor=false", "core.hooksPath=/dev/null", "core.pager=cat", "core.quotePath=false"] {
            command.args(["-c", setting]);
        }
        command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// A path as a line that git takes for one name, whatever bytes the folders above have.
fn quoted(path: &Path) -> Vec<u8> {
    let mut line = vec![b'"'];
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'"' | b'\\' => line.extend([b'\\', *byte]),
            b'\n' => line.extend(b"\\n"),
            _ => line.push(*byte),
        }
    }
    line.extend(b"\"\n");
    line
}

/// Names between NULs.
fn split(out: &[u8]) -> impl Iterator<Item = String> {
    let names = out.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.filter_map(|name| String::from_utf8(name.to_vec()).ok())
}

struct Pipe {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // It ends when there is nothing more to read.
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

/// The spec files of a commit.
pub struct RevisionWorld {
    commit: String,
    repository: Repository,
    packages: PackageStore,
    pipe: RefCell<Pipe>,
}

impl World for RevisionWorld {
    fn read(&self, path: &RelPath) -> Result<Vec<u8>, WorldError> {
        let mut pipe = self.pipe.borrow_mut();
        let failed = |error: std::io::Error| WorldError::Io(format!("git: {error}"));
        // A relative path holds no control character, so that this is one line.
        let question = format!("{}:{}{path}\n", self.commit, self.repository.prefix);
        let stdin = pipe.stdin.as_mut().ok_or(WorldError::NotFound)?;
        stdin.write_all(question.as_bytes()).and_then(|()| stdin.flush()).map_err(failed)?;
        let mut header = Vec::new();
        (&mut pipe.stdout).take(4096 + question.len() as u64).read_until(b'\n', &mut header).map_err(failed)?;
        let header = String::from_utf8_lossy(&header).trim_end().to_owned();
        let words: Vec<&str> = header.split(' ').collect();
        let mut body = |size: &str, keep: bool| {
            let size: u64 = size.parse().map_err(|_| WorldError::Io(format!("git answers `{header}`")))?;
            let mut bytes = Vec::new();
            let limit = if keep { size.min(Limits::SPEC_BYTES as u64) } else { 0 };
            (&mut pipe.stdout).take(limit).read_to_end(&mut bytes).map_err(failed)?;
            // The rest, and the line end after it.
            let rest = size - limit + 1;
            std::io::copy(&mut (&mut pipe.stdout).take(rest), &mut std::io::sink()).map_err(failed)?;
            if keep && size > Limits::SPEC_BYTES as u64 { Err(WorldError::TooLarge) } else { Ok(bytes) }
        };
        match words.as_slice() {
            [.., "missing" | "ambiguous"] => Err(WorldError::NotFound),
            ["symlink", size] => body(size, false).and(Err(WorldError::Outside)),
            ["dangling" | "loop" | "notdir", size] => body(size, false).and(Err(WorldError::NotFound)),
            [_, "blob", size] => body(size, true),
            [_, _, size] => body(size, false).and(Err(WorldError::Io("it is not a regular file".to_owned()))),
            _ => Err(WorldError::Io(format!("git answers `{header}`"))),
        }
    }

    fn folder(&self, path: &RelPath) -> Result<Folder, WorldError> {
        let below = format!("{}{path}", self.repository.prefix);
        let folder = self.repository.folder(&format!("{}:{below}", self.commit));
        folder.map_err(WorldError::Io)
    }

    fn package(&self, locked: &Locked) -> Result<Arc<Folder>, WorldError> {
        self.packages.package(locked)
    }
}
