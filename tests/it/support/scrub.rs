//! Replaces what differs from run to run and from machine to machine by placeholders, so that text
//! can be compared. Leaves out the comparison.

use std::path::Path;

use regex::Regex;

/// Replacements in the order in which they are applied.
pub(crate) struct Scrub {
    paths: Vec<(String, String)>,
    patterns: Vec<(Regex, String)>,
}

impl Scrub {
    /// Keys, digests, run ids, durations and times of day.
    pub(crate) fn new() -> Self {
        let scrub = Self { paths: Vec::new(), patterns: Vec::new() };
        scrub
            .pattern(r"\bpk[0-9]+-[a-z2-7]{52}\b", "[KEY]")
            .pattern(r"\b(?:b3:)?[0-9a-f]{64}\b", "[DIGEST]")
            .pattern(r"\b[0-9a-f]{32}\b", "[ID]")
            .pattern(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "[ID]")
            .pattern(r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?Z?", "[TIME]")
            .pattern(r"\b[0-9]+ h [0-9]{2} m\b|\b[0-9]+ m [0-9]{2} s\b|\b[0-9]+(?:\.[0-9]+)? m?s\b", "[TIME]")
            .pattern(r#""(duration_ms|at|created|started|finished)": ?[0-9]+"#, "\"$1\": 0")
    }

    /// A path of this run, replaced wherever it stands. Longer ones go first.
    pub(crate) fn path(mut self, path: &Path, name: &str) -> Self {
        self.paths.push((path.display().to_string(), name.to_owned()));
        self.paths.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        self
    }

    /// A regular expression and what stands for it.
    pub(crate) fn pattern(mut self, pattern: &str, with: &str) -> Self {
        self.patterns.push((Regex::new(pattern).expect("the pattern is well formed"), with.to_owned()));
        self
    }

    /// The text with all replacements made.
    pub(crate) fn apply(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (path, name) in &self.paths {
            text = text.replace(path.as_str(), name);
        }
        for (pattern, with) in &self.patterns {
            text = pattern.replace_all(&text, with.as_str()).into_owned();
        }
        text
    }
}
