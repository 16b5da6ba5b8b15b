//! What a finished process left: status, output, and the assertions tests make of them. Leaves out
//! how it was started.

use std::fmt::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Output;

/// A finished process.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The command line, for failures.
    pub(crate) command: String,
    /// The exit status; 128 and the number for a signal.
    pub(crate) status: i32,
    /// Standard output; bytes that are not UTF-8 are replaced.
    pub(crate) stdout: String,
    /// Standard error, likewise.
    pub(crate) stderr: String,
    /// Standard output as bytes.
    pub(crate) stdout_bytes: Vec<u8>,
}

impl Outcome {
    /// From what the standard library returns.
    pub(crate) fn new(command: String, output: Output) -> Self {
        let status = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or_default());
        Self {
            command,
            status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            stdout_bytes: output.stdout,
        }
    }

    /// Asserts the exit status.
    #[track_caller]
    pub(crate) fn expect(self, status: i32) -> Self {
        assert!(self.status == status, "status {status} was expected\n{}", self.describe());
        self
    }

    /// Asserts success.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.expect(0)
    }

    /// Asserts that standard error holds a text.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "standard error does not hold `{text}`\n{}", self.describe());
        self
    }

    /// Asserts that standard output holds a text.
    #[track_caller]
    pub(crate) fn prints(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "standard output does not hold `{text}`\n{}", self.describe());
        self
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        match serde_json::from_str(&self.stdout) {
            Ok(value) => value,
            Err(error) => panic!("standard output is not one JSON document: {error}\n{}", self.describe()),
        }
    }

    /// Standard output as JSON Lines.
    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<serde_json::Value> {
        let parse = |line: &str| match serde_json::from_str(line) {
            Ok(value) => value,
            Err(error) => panic!("`{line}` is not JSON: {error}\n{}", self.describe()),
        };
        self.stdout.lines().map(parse).collect()
    }

    /// The counts on the last line of a `run`: ran, cached, cut off, failed, skipped.
    #[track_caller]
    pub(crate) fn counts(&self) -> [u64; 5] {
        let summary = |line: &&str| line.contains(" ran, ") && line.contains(" skipped in ");
        let Some(line) = self.stdout.lines().chain(self.stderr.lines()).rfind(summary) else {
            panic!("no summary of a run\n{}", self.describe());
        };
        let mut counts = [0; 5];
        for (count, part) in counts.iter_mut().zip(line.split(", ")) {
            let number = part.trim_start().split(' ').next().unwrap_or_default();
            *count = number.parse().unwrap_or_else(|_| panic!("`{part}` has no count\n{}", self.describe()));
        }
        counts
    }

    /// Everything, for a failing assertion.
    pub(crate) fn describe(&self) -> String {
        let mut text = format!("$ {}\nstatus: {}\n", self.command, self.status);
        for (name, stream) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            let _ = writeln!(text, "--- {name}\n{}", stream.trim_end());
        }
        text
    }
}
