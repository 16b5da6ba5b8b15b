//! Spec files of a git revision: read from git's objects, without a checkout, by one `git` process.
//! Leaves out what is done with them.
//!
//! The repository may be a stranger's. Nothing in it is run: no hook, filter, pager or monitor, no
//! fetch of missing objects; and the environment of `git` holds only what is named here.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::base::{Environment, Limits, RelPath};
use crate::lang::{World, WorldError};
use crate::ops::Error;

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

    /// Files below the workspace that differ between two commits, or a commit and the working tree.
    /// Relative to the workspace.
    pub fn changed(&self, before: &str, after: Option<&str>) -> Result<Vec<String>, Error> {
        let mut args =
            vec!["diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", "--relative"];
        args.push(before);
        args.extend(after);
        args.push("--");
        let mut out = self.ask(&args).map_err(|why| Error::usage(format!("git cannot compare: {why}")))?;
        if after.is_none() {
            let untracked = ["ls-files", "-z", "--others", "--exclude-standard"];
            out.extend(self.ask(&untracked).map_err(|why| Error::usage(format!("git cannot list files: {why}")))?);
        }
        let names = out.split(|byte| *byte == 0).filter_map(|name| String::from_utf8(name.to_vec()).ok());
        let mut names: Vec<String> = names.filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// The spec files of a commit as the compiler's world.
    pub fn world(&self, commit: &str) -> Result<RevisionWorld, Error> {
        let mut command = self.git(&["cat-file", "--batch", "--follow-symlinks"]);
        let mut child = command.stdin(Stdio::piped()).spawn().map_err(Error::io("start", "git"))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (stdin, stdout) = pipes.ok_or_else(|| Error::Internal("git was started without pipes".to_owned()))?;
        let pipe = Pipe { child, stdin: Some(stdin), stdout: BufReader::new(stdout) };
        Ok(RevisionWorld { commit: commit.to_owned(), prefix: self.prefix.clone(), pipe: RefCell::new(pipe) })
    }

    fn ask(&self, args: &[&str]) -> Result<Vec<u8>, String> {
        let mut child = self.git(args).stdin(Stdio::null()).spawn().map_err(|error| error.to_string())?;
        let mut out = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            stdout.take(ANSWER_BYTES).read_to_end(&mut out).map_err(|error| error.to_string())?;
        }
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
    prefix: String,
    pipe: RefCell<Pipe>,
}

impl World for RevisionWorld {
    fn read(&self, path: &RelPath) -> Result<Vec<u8>, WorldError> {
        let mut pipe = self.pipe.borrow_mut();
        let failed = |error: std::io::Error| WorldError::Io(format!("git: {error}"));
        // A relative path holds no control character, so that this is one line.
        let question = format!("{}:{}{path}\n", self.commit, self.prefix);
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
            [.., "missing"] | [.., "ambiguous"] => Err(WorldError::NotFound),
            ["symlink", size] => body(size, false).and(Err(WorldError::Outside)),
            ["dangling" | "loop" | "notdir", size] => body(size, false).and(Err(WorldError::NotFound)),
            [_, "blob", size] => body(size, true),
            [_, _, size] => body(size, false).and(Err(WorldError::Io("it is not a regular file".to_owned()))),
            _ => Err(WorldError::Io(format!("git answers `{header}`"))),
        }
    }
}
