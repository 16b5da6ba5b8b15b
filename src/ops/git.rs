//! The `git` program, asked for what a stranger's repository holds. It never makes a work tree, so that
//! no hook, filter, link or attribute of the repository means anything; what it fetches is bounded in
//! bytes and time. Leaves out what is done with the content.

use std::io::{Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};

use crate::base::{Environment, Limits, NETWORK_PASS};
use crate::lang::{Folder, Source};

/// The longest that one question may take.
const TIMEOUT: Duration = Duration::from_mins(5);
/// How long the end of killed processes is waited for.
const GRACE: Duration = Duration::from_secs(5);
/// Bytes of the list of a repository's references.
const REFS_BYTES: u64 = 16 << 20;
/// Bytes of one file that git writes while it fetches.
const PACK_BYTES: u64 = 512 << 20;
/// Bytes of memory of one process of git.
const MEMORY_BYTES: u64 = 4 << 30;

/// One reference of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// The commit it leads to; an annotated tag is followed.
    pub(super) commit: String,
    /// Its whole name.
    pub(super) name: String,
}

/// Asks `git`.
#[derive(Clone, Debug)]
pub(super) struct Git {
    environment: Environment,
    timeout: Duration,
}

impl Git {
    /// With the user's own settings, for they know how a private repository is reached.
    pub(super) fn new(environment: &Environment) -> Self {
        Self { environment: environment.clone(), timeout: TIMEOUT }
    }

    /// The references of a repository. `dir`: what a relative path is relative to.
    pub(super) fn references(&self, source: &Source, dir: &Path) -> Result<Vec<Reference>, String> {
        let url = address(source, dir)?;
        let out = self.ask(&["ls-remote", "--quiet", "--", &url], dir, Vec::new(), REFS_BYTES)?;
        let mut found: Vec<Reference> = Vec::new();
        for line in String::from_utf8_lossy(&out).lines() {
            let Some((commit, name)) = line.split_once('\t') else { continue };
            if !is_hash(commit) {
                continue;
            }
            // `tag^{}` is what the tag before it leads to.
            match (name.strip_suffix("^{}"), found.last_mut()) {
                (Some(tag), Some(last)) if last.name == tag => commit.clone_into(&mut last.commit),
                (Some(_), _) => {}
                (None, _) => found.push(Reference { commit: commit.to_owned(), name: name.to_owned() }),
            }
        }
        Ok(found)
    }

    /// The files of a commit. `reference`: one that leads there, for servers that give nothing else.
    pub(super) fn fetch(
        &self,
        source: &Source,
        dir: &Path,
        commit: &str,
        reference: Option<&str>,
    ) -> Result<Folder, String> {
        let url = address(source, dir)?;
        let scratch = tempfile::tempdir().map_err(|error| format!("there is no place to fetch to: {error}"))?;
        let to = scratch.path();
        let format = if commit.len() == 64 { "--object-format=sha256" } else { "--object-format=sha1" };
        self.ask(&["init", "--quiet", "--bare", "--template=", format, "."], to, Vec::new(), 4096)?;
        let fetch = |want: &str| {
            let args = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--depth=1", "--", &url, want];
            self.ask(&args, to, Vec::new(), 4096)
        };
        let fetched = match reference {
            Some(reference) => fetch(reference).or_else(|_| fetch(commit)),
            None => fetch(commit),
        };
        fetched?;
        self.folder(to, commit)
    }

    /// The files of a commit that is there.
    fn folder(&self, repository: &Path, commit: &str) -> Result<Folder, String> {
        const ENTRY_BYTES: u64 = 4_600;
        let wanted = format!("{commit}^{{tree}}");
        let limit = Limits::PACKAGE_FILES as u64 * ENTRY_BYTES;
        let list = self.ask(&["ls-tree", "-r", "-z", "-l", "--full-tree", &wanted], repository, Vec::new(), limit)?;
        read_tree(&list, &mut |asked, limit| self.ask(&["cat-file", "--batch=%(objectsize)"], repository, asked, limit))
    }

    /// What git prints for these arguments and this standard input, within limits.
    fn ask(&self, args: &[&str], dir: &Path, input: Vec<u8>, limit: u64) -> Result<Vec<u8>, String> {
        let mut child = self.command(args, dir).spawn().map_err(|error| format!("git cannot be started: {error}"))?;
        let pid = Pid::from_child(&child);
        for (resource, most) in [(Resource::Fsize, PACK_BYTES), (Resource::As, MEMORY_BYTES)] {
            // Where it is not permitted the limits on time and answer are left.
            let _ = prlimit(Some(pid), resource, Rlimit { current: Some(most), maximum: Some(most) });
        }
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        std::thread::spawn(move || {
            // Whether it read all of it, its answer and its status tell.
            let _ = stdin.map(|mut stdin| stdin.write_all(&input));
        });
        let (said, heard) = mpsc::channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.map(|stderr| stderr.take(4096).read_to_string(&mut text));
            let _ = said.send(text);
        });
        let (done, ended) = mpsc::channel::<(std::io::Result<Vec<u8>>, std::io::Result<ExitStatus>)>();
        std::thread::spawn(move || {
            let mut out = Vec::new();
            let read = stdout.map_or(Ok(0), |stdout| stdout.take(limit + 1).read_to_end(&mut out));
            // A pipe that nobody reads any more ends what still writes.
            let status = child.wait();
            let _ = done.send((read.map(|_| out), status));
        });
        let Ok((out, status)) = ended.recv_timeout(self.timeout) else {
            let _ = kill_process_group(pid, Signal::KILL);
            let _ = ended.recv_timeout(GRACE);
            return Err(format!("git did not answer within {} s", self.timeout.as_secs()));
        };
        let out = out.map_err(|error| error.to_string())?;
        if out.len() as u64 > limit {
            return Err(format!("git answers with more than {limit} bytes"));
        }
        let status = status.map_err(|error| error.to_string())?;
        if status.success() {
            return Ok(out);
        }
        let said = heard.recv_timeout(GRACE).unwrap_or_default();
        // Servers may send anything: one line without control characters is enough.
        let mut lines =
            said.lines().map(|line| line.trim().trim_start_matches("fatal: ").trim_start_matches("error: "));
        let line = lines.find(|line| !line.is_empty()).unwrap_or("git does not say why");
        Err(line.chars().filter(|c| !c.is_control()).take(300).collect())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "git is not an action: packages are fetched before there is a plan, and it runs nothing of theirs"
    )]
    fn command(&self, args: &[&str], dir: &Path) -> Command {
        let mut command = Command::new("git");
        command.env_clear();
        let own = ["PATH", "HOME", "XDG_CONFIG_HOME", "USER", "SSH_AUTH_SOCK"];
        for name in own.iter().chain(NETWORK_PASS) {
            if let Some(value) = self.environment.raw(name) {
                command.env(name, value);
            }
        }
        command.envs([
            ("LC_ALL", "C"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", "false"),
            ("SSH_ASKPASS", "false"),
            ("SSH_ASKPASS_REQUIRE", "force"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_LITERAL_PATHSPECS", "1"),
            ("GIT_ALLOW_PROTOCOL", "file:https:ssh"),
        ]);
        for setting in [
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "core.bigFileThreshold=16m",
            "core.quotePath=false",
            "gc.auto=0",
            "maintenance.auto=false",
            "http.lowSpeedLimit=1000",
            "http.lowSpeedTime=30",
        ] {
            command.args(["-c", setting]);
        }
        command.args(args).current_dir(dir).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// The files of a tree, from what `ls-tree -r -z -l` lists. `cat` asks `cat-file --batch=%(objectsize)` for
/// objects, one a line, and takes an answer of at most so many bytes.
pub(super) fn read_tree(
    list: &[u8],
    cat: &mut dyn FnMut(Vec<u8>, u64) -> Result<Vec<u8>, String>,
) -> Result<Folder, String> {
    let mut folder = Folder::default();
    let mut asked = Vec::new();
    let mut files: Vec<(String, bool, u64)> = Vec::new();
    let mut total = 0;
    for entry in list.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
        let Some((facts, path)) = std::str::from_utf8(entry).ok().and_then(|entry| entry.split_once('\t')) else {
            return Err("a name in it is not UTF-8".to_owned());
        };
        let facts: Vec<&str> = facts.split_ascii_whitespace().collect();
        let &[mode, kind, hash, size] = facts.as_slice() else {
            return Err(format!("git lists `{}` in an unknown way", path.escape_debug()));
        };
        let what = match (mode, kind) {
            ("100644" | "100664" | "100755", "blob") => "",
            ("120000", _) => "a link",
            ("160000", _) => "a submodule",
            _ => "of an unknown kind",
        };
        if !what.is_empty() {
            let path = path.escape_debug();
            return Err(format!("`{path}` is {what}; a package holds files and folders only"));
        }
        let size: u64 = size.parse().map_err(|_| format!("`{}` has no size", path.escape_debug()))?;
        folder.admits(path, size).map_err(|error| error.to_string())?;
        total += size;
        if files.len() >= Limits::PACKAGE_FILES {
            return Err(format!("it holds more than {} files", Limits::PACKAGE_FILES));
        }
        if total > Limits::PACKAGE_BYTES as u64 {
            return Err(format!("it holds more than {} MiB", Limits::PACKAGE_BYTES >> 20));
        }
        asked.extend_from_slice(hash.as_bytes());
        asked.push(b'\n');
        files.push((path.to_owned(), mode == "100755", size));
    }
    let limit = total + files.len() as u64 * 128;
    let out = cat(asked, limit)?;
    let mut rest = out.as_slice();
    for (path, exec, size) in files {
        let header = format!("{size}\n");
        let body = rest.strip_prefix(header.as_bytes()).filter(|body| body.len() as u64 > size);
        let Some(body) = body else { return Err(format!("git does not give `{}`", path.escape_debug())) };
        let (bytes, after) = body.split_at(size as usize);
        folder.insert(&path, bytes.to_vec(), exec).map_err(|error| error.to_string())?;
        rest = &after[1..];
    }
    Ok(folder)
}

/// The address of a repository as git takes it.
fn address(source: &Source, dir: &Path) -> Result<String, String> {
    match source {
        Source::Git(url) if url.starts_with('.') => {
            let path = dir.join(url);
            let path = path.canonicalize().map_err(|error| format!("cannot find `{url}`: {error}"))?;
            path.to_str().map(str::to_owned).ok_or_else(|| format!("the place of `{url}` is not UTF-8"))
        }
        Source::Git(url) => Ok(url.clone()),
        Source::Dir(_) => Err("a folder is not fetched".to_owned()),
    }
}

/// Whether a text is the whole hash of an object.
pub(super) fn is_hash(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use super::Git;
    use crate::base::Environment;
    use crate::lang::Source;

    #[test]
    fn a_git_that_never_answers_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("git");
        std::fs::write(&program, "#!/bin/sh\nexec tail -f /dev/null\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", folder.path().display());
        let git = Git { environment: Environment::from_pairs(&[("PATH", &path)]), timeout: Duration::from_millis(200) };
        let source = Source::git("https://git.example.org/x").unwrap();
        let why = git.references(&source, folder.path()).unwrap_err();
        assert!(why.contains("did not answer"), "{why}");
    }
}
