//! What a failed process missed for want of a declaration: files of the workspace it was not given,
//! programs that are no tools of it, places it may not write to. Told by what the process itself said on
//! standard error; for one that says nothing, by what it looks for when it is watched. Leaves out where in a spec the action is
//! declared, which is shown with every failure.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::exec::ports::Missed;
use crate::plan::Isolation;

/// Bytes of standard error that are looked at: the end.
const TAIL_BYTES: usize = 64 * 1024;
/// Findings that are told.
const MOST: usize = 5;
/// Bytes of a path that is looked for.
const PATH_BYTES: usize = 1024;

/// What programs say of a file that is not there or may not be used, in lower case.
const MISSING: &[&str] = &[
    "no such file",
    "not found",
    "cannot find",
    "can't find",
    "could not find",
    "couldn't find",
    "cannot open",
    "can't open",
    "could not open",
    "does not exist",
    "doesn't exist",
    "no rule to make",
    "enoent",
    "permission denied",
    "operation not permitted",
    "eacces",
    "eperm",
    "filenotfounderror",
    "cannot access",
    "unable to read",
    "failed to open",
    "failed to read",
];
/// What they say of a place that cannot be written to.
const UNWRITABLE: &[&str] = &["read-only file system", "erofs", "cannot create", "cannot touch"];

/// An attempt that has ended, as far as this needs it.
pub(super) struct Seen<'a> {
    /// The workspace's root.
    pub(super) workspace: &'a Path,
    /// The attempt's folder on this machine.
    pub(super) work: &'a Path,
    /// The same in the eyes of the process.
    pub(super) shown_work: &'a Path,
    /// Where the process started, below that folder.
    pub(super) cwd: &'a Path,
    /// What it ran under.
    pub(super) isolation: Isolation,
    /// Folders in which the caller finds programs.
    pub(super) path: &'a [PathBuf],
    /// The executables it has.
    pub(super) tools: &'a [PathBuf],
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Finding {
    Input(String),
    Outside(String),
    Tool(String),
    Machine(String),
    Write(String),
}

impl Finding {
    fn help(&self, addr: &str) -> String {
        match self {
            Self::Input(path) => format!(
                "`{path}` is a file of the workspace, but not among the inputs of `{addr}`: declare it there, as \
                 `input {}`",
                quoted(path)
            ),
            Self::Outside(path) => format!(
                "`{path}` lies outside of the folder of `{addr}`, which has only its inputs, at their paths from the \
                 workspace's root"
            ),
            Self::Tool(name) => format!(
                "`{name}` is a program of this machine, but not among the tools of `{addr}`: declare it, as `tool \
                 {name} {{ exec {name} }}`, and name it there, as `tools {name}`"
            ),
            Self::Machine(path) => format!(
                "`{path}` is on this machine, but not shown to `{addr}`: an input is a file of the workspace; what \
                 belongs to a tool is shown with it, and what a variable names by `pass-env` of the tool"
            ),
            Self::Write(path) => format!(
                "`{path}` cannot be written by `{addr}`: write below its own folder, and declare there what is to be \
                 kept, as `output PATH`"
            ),
        }
    }
}

/// A string as KDL takes it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_word = text.chars().all(plain) && text.starts_with(|c: char| c.is_ascii_alphabetic());
    if is_word { text.to_owned() } else { format!("{text:?}") }
}

/// Lines of help for an action that failed, one for each thing it missed.
pub(super) fn help(addr: &str, stderr: &[u8], seen: &Seen<'_>) -> Vec<String> {
    let tail = String::from_utf8_lossy(&stderr[stderr.len().saturating_sub(TAIL_BYTES)..]);
    let mut found = Vec::new();
    let mut told = BTreeSet::new();
    for line in tail.lines() {
        let lower = line.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        let (is_missing, is_write) = (says(MISSING), says(UNWRITABLE));
        if !is_missing && !is_write {
            continue;
        }
        for word in words(line) {
            // What is denied and not there was to be made.
            let is_write = is_write || lower.contains("permission denied") && !Path::new(word).exists();
            let finding = judge(word, is_write, seen).filter(|finding| {
                // Many words are names of programs too.
                !matches!(finding, Finding::Tool(_)) || word.starts_with('/') || is_called(&lower, &word.to_lowercase())
            });
            if let Some(finding) = finding
                && told.insert(finding.clone())
            {
                found.push(finding);
            }
        }
    }
    found.iter().take(MOST).map(|finding| format!("help: {}", finding.help(addr))).collect()
}

/// The same by what the process looked for and was not given, where it said nothing.
pub(super) fn help_by(addr: &str, missed: &[Missed], seen: &Seen<'_>, bin: &Path) -> Vec<String> {
    let mut found: Vec<Finding> = Vec::new();
    // What it looked for last is most likely what it wanted.
    for one in missed.iter().rev() {
        let Some(text) = one.path.to_str() else { continue };
        let finding = if one.path.parent() == Some(bin) {
            let name = one.path.file_name().and_then(|name| name.to_str());
            name.filter(|name| is_program(name, seen)).map(|name| Finding::Tool(name.to_owned()))
        } else if let Ok(inside) = one.path.strip_prefix(seen.shown_work) {
            normal(inside).and_then(|inside| inside_of(&inside, seen))
        } else if is_of_the_run(&one.path, seen) {
            None
        } else if one.path.starts_with(seen.workspace) && one.path.exists() || one.writes {
            outside_of(text, &one.path, one.writes, seen)
        } else {
            // Programs ask for much of the machine that they can do without.
            None
        };
        found.extend(finding.filter(|finding| !found.contains(finding)));
    }
    let because = "(it did not say so: it was run once more and watched)";
    found.iter().take(MOST).map(|finding| format!("help: {} {because}", finding.help(addr))).collect()
}

/// Whether a path is in what is made for the run: homes, tools, other attempts.
fn is_of_the_run(path: &Path, seen: &Seen<'_>) -> bool {
    let is_below = |folder: Option<&Path>| folder.is_some_and(|folder| path.starts_with(folder));
    is_below(seen.work.ancestors().nth(2)) || is_below(seen.shown_work.parent())
}

/// What may be a path or a name in a line: between blanks, quotes, brackets, and colons that end a word.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let ends = |c: char| c.is_whitespace() || "\"'`‘’“”()[]<>{},;=".contains(c);
    line.split(ends)
        .flat_map(|word| {
            let whole = word.trim_end_matches([':', '.', '!', '?']);
            // `FILE:LINE:` names a file too.
            let first = whole.split(':').next().unwrap_or_default();
            [whole, first]
        })
        .filter(|word| !word.is_empty() && word.len() <= PATH_BYTES && word.chars().any(char::is_alphanumeric))
}

/// Whether a line, in lower case, says of a word that it is a program that was not found.
fn is_called(line: &str, word: &str) -> bool {
    let is_quote = |c: char| "\"'`‘’“”".contains(c);
    let after = [": not found", ": command not found", ": inaccessible or not found"];
    // Of a file as well, unless it is said by what starts programs.
    let of_start = [": no such file", ": permission"];
    let starts = |front: &str| {
        let head = front.trim_end_matches(':');
        front.ends_with(':')
            && (head.ends_with("env") || head.ends_with("sh") || head.ends_with(|c: char| c.is_ascii_digit()))
    };
    let before = ["not found:", "no such file or directory:", "cannot run program", "exec:", "executable"];
    line.match_indices(word).any(|(at, _)| {
        let (front, back) = (&line[..at], &line[at + word.len()..]);
        let (front, back) = (front.trim_end_matches(is_quote).trim_end(), back.trim_start_matches(is_quote));
        after.iter().any(|words| back.starts_with(words))
            || starts(front) && of_start.iter().any(|words| back.starts_with(words))
            || before.iter().any(|words| front.ends_with(words))
    })
}

fn judge(word: &str, is_write: bool, seen: &Seen<'_>) -> Option<Finding> {
    let path = Path::new(word);
    if let Ok(inside) = path.strip_prefix(seen.shown_work).or_else(|_| path.strip_prefix(seen.work)) {
        return inside_of(inside, seen);
    }
    if path.is_absolute() {
        return outside_of(word, path, is_write, seen);
    }
    let Some(inside) = normal(&seen.cwd.join(path)) else {
        let real = seen.workspace.join(seen.cwd).join(path);
        return real.exists().then(|| Finding::Outside(word.to_owned()));
    };
    inside_of(&inside, seen).or_else(|| {
        let is_name = !word.contains('/') && !seen.work.join(seen.cwd).join(path).exists();
        (is_name && is_program(word, seen)).then(|| Finding::Tool(word.to_owned()))
    })
}

/// A path in the action's folder: the workspace has it, and the action has not.
fn inside_of(inside: &Path, seen: &Seen<'_>) -> Option<Finding> {
    let text = inside.to_str().filter(|text| !text.is_empty())?;
    let is_missing = seen.work.join(inside).symlink_metadata().is_err();
    let is_file = seen.workspace.join(inside).symlink_metadata().is_ok();
    (is_missing && is_file).then(|| Finding::Input(text.to_owned()))
}

fn outside_of(word: &str, path: &Path, is_write: bool, seen: &Seen<'_>) -> Option<Finding> {
    if let Ok(inside) = path.strip_prefix(seen.workspace) {
        // The path of the workspace itself: what is there is had as an input.
        return inside_of(inside, seen).or_else(|| Some(Finding::Outside(word.to_owned())));
    }
    if seen.isolation == Isolation::None || !path.exists() && !is_write {
        return None;
    }
    let name = path.file_name()?.to_str()?;
    if seen.path.iter().any(|dir| Some(dir.as_path()) == path.parent()) && is_program(name, seen) {
        return Some(Finding::Tool(name.to_owned()));
    }
    let is_program = seen.tools.iter().any(|tool| tool == path) || path == Path::new("/bin/sh");
    let is_place = path.parent().is_some_and(Path::exists);
    match (is_program, is_write && is_place) {
        (true, _) => None,
        (false, true) => Some(Finding::Write(word.to_owned())),
        (false, false) => path.exists().then(|| Finding::Machine(word.to_owned())),
    }
}

/// Whether the caller has a program of this name that the action has not.
fn is_program(name: &str, seen: &Seen<'_>) -> bool {
    let is_ours = |tool: &PathBuf| tool.file_name().is_some_and(|known| known == name);
    name != "sh" && !seen.tools.iter().any(is_ours) && seen.path.iter().any(|dir| dir.join(name).is_file())
}

/// The path without `.` and `..`; `None` if it leads out.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => normal.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !normal.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(stderr: &str, isolation: Isolation) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let (workspace, work) = (dir.path().join("ws"), dir.path().join("a/place"));
        for folder in [workspace.join("src"), work.join("src"), dir.path().join("bin")] {
            std::fs::create_dir_all(folder).unwrap();
        }
        for file in ["config.json", "src/main.c", "src/a b.h", "given.txt"] {
            std::fs::write(workspace.join(file), "").unwrap();
        }
        for file in [work.join("given.txt"), dir.path().join("bin/gcc"), dir.path().join("beside")] {
            std::fs::write(file, "").unwrap();
        }
        let seen = Seen {
            workspace: &workspace,
            work: &work,
            shown_work: Path::new("/shown"),
            cwd: Path::new(""),
            isolation,
            path: &[dir.path().join("bin")],
            tools: &[],
        };
        let stderr = stderr.replace("DIR", &dir.path().display().to_string());
        let found = help("g/n", stderr.as_bytes(), &seen);
        found
            .iter()
            .map(|line| line.split('`').nth(1).unwrap().replace(&dir.path().display().to_string(), "DIR"))
            .collect()
    }

    #[test]
    fn names_what_the_workspace_has_and_the_action_has_not() {
        for stderr in [
            "cat: config.json: No such file or directory",
            "FileNotFoundError: [Errno 2] No such file or directory: 'config.json'",
            "main.c:3:10: fatal error: config.json: No such file or directory",
            "cp: cannot stat './config.json': No such file or directory",
            "sh: 1: cannot open config.json: No such file",
            "open /shown/config.json: no such file or directory",
            "open DIR/a/place/config.json: no such file or directory",
            "open DIR/ws/config.json: no such file or directory",
        ] {
            assert_eq!(findings(stderr, Isolation::Full), ["config.json"], "{stderr}");
        }
        assert_eq!(findings("src/main.c: No such file", Isolation::None), ["src/main.c"]);
    }

    #[test]
    fn names_programs_that_are_no_tools() {
        assert_eq!(findings("sh: 1: gcc: not found", Isolation::Full), ["gcc"]);
        assert_eq!(findings("/usr/bin/env: ‘gcc’: No such file or directory", Isolation::None), ["gcc"]);
        assert_eq!(findings("exec: DIR/bin/gcc: not found", Isolation::Full), ["gcc"]);
        assert_eq!(findings("[Errno 2] No such file or directory: 'gcc'", Isolation::None), ["gcc"]);
        assert_eq!(findings("exec: \"gcc\": executable file not found in $PATH", Isolation::None), ["gcc"]);
        assert_eq!(findings("sh: 1: gcc: Permission denied", Isolation::Full), ["gcc"]);
        assert_eq!(
            findings("tar: nodemod: Cannot gcc: No such file or directory", Isolation::Full),
            Vec::<String>::new()
        );
        assert_eq!(findings("cat: gcc: No such file or directory", Isolation::Full), Vec::<String>::new());
        assert_eq!(findings("gcc cannot open it: No such file", Isolation::Full), Vec::<String>::new());
    }

    #[test]
    fn names_what_is_outside() {
        assert_eq!(findings("cat: DIR/beside: No such file or directory", Isolation::Full), ["DIR/beside"]);
        assert_eq!(findings("cat: ../beside: No such file or directory", Isolation::Full), ["../beside"]);
        assert_eq!(findings("sh: cannot create DIR/x: Read-only file system", Isolation::Full), ["DIR/x"]);
        assert_eq!(findings("cat: DIR/beside: Permission denied", Isolation::None), Vec::<String>::new());
    }

    #[test]
    fn says_nothing_of_what_nobody_has_or_the_action_has() {
        for stderr in [
            "cat: nowhere: No such file or directory",
            "cat: given.txt: No such file or directory",
            "config.json has a comma too many",
            "",
            "\u{fffd}\u{0}: not found",
        ] {
            assert_eq!(findings(stderr, Isolation::Full), Vec::<String>::new(), "{stderr}");
        }
    }
}
