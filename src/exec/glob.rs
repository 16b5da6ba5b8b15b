//! Patterns over folders, matched segment by segment so that only folders that can match are listed.
//! Leaves out where a listing comes from: the workspace or a tree in the store.
//!
//! `*`, `?`, `[…]` and `{…}` stay within a segment; `**` as a segment crosses segments. A name that
//! begins with `.` is matched only by a segment that does. A path without wildcards that names a
//! folder stands for all files below it, as `folder/**` does. Links to folders are followed where a
//! segment names them literally, never by a wildcard.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};

/// What a name in a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Link,
    /// A pipe, device or socket.
    Special,
}

/// Names of a folder with their kinds, sorted by bytes.
pub(super) type Names = Arc<Vec<(String, Kind)>>;

/// Something with folders. Paths are relative, the top is the empty text.
pub(super) trait Listing {
    /// Why a folder cannot be listed.
    type Error;
    /// The names in a folder; empty if there is no such folder.
    fn names(&self, dir: &str) -> Result<Names, Self::Error>;
    /// What a path is, links followed; `None` if there is nothing.
    fn kind(&self, path: &str) -> Result<Option<Kind>, Self::Error>;
}

#[derive(Clone, Debug)]
enum Segment {
    Literal(String),
    Wild { matcher: GlobMatcher, hidden: bool },
    Deep,
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    segments: Vec<Segment>,
}

impl Pattern {
    /// Compiles a pattern. The error is for people.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("the pattern is empty".to_owned());
        }
        if text.starts_with('/') {
            return Err(format!("`{text}` is absolute: inputs are relative to the workspace"));
        }
        let mut segments = Vec::new();
        let mut braces = 0_usize;
        let trimmed = text.strip_suffix('/').unwrap_or(text);
        for part in trimmed.split('/') {
            braces += part.matches('{').count();
            braces = braces.saturating_sub(part.matches('}').count());
            if braces > 0 {
                return Err(format!("`{text}` has a `/` inside braces: write one pattern for each"));
            }
            match part {
                "" | "." => return Err(format!("`{text}` has an empty or `.` segment")),
                ".." => return Err(format!("`{text}` leaves the folder by `..`")),
                "**" => {
                    if !matches!(segments.last(), Some(Segment::Deep)) {
                        segments.push(Segment::Deep);
                    }
                }
                _ if part.contains("**") => {
                    return Err(format!("`{text}` has `**` beside other characters: it must be a segment of its own"));
                }
                _ if part.contains(['*', '?', '[', '{']) => {
                    let glob = GlobBuilder::new(part).literal_separator(true).backslash_escape(false).build();
                    let glob = glob.map_err(|error| format!("`{text}` is no pattern: {}", error.kind()))?;
                    segments.push(Segment::Wild { matcher: glob.compile_matcher(), hidden: part.starts_with('.') });
                }
                _ => segments.push(Segment::Literal(part.to_owned())),
            }
        }
        Ok(Self { segments })
    }

    /// Every path that is no folder and matches, with its kind. Links are given as links.
    pub(super) fn expand<L: Listing>(&self, listing: &L) -> Result<BTreeMap<String, Kind>, L::Error> {
        let mut walk = Walk { listing, found: BTreeMap::new(), seen: BTreeSet::new() };
        walk.step(String::new(), &self.segments)?;
        Ok(walk.found)
    }
}

struct Walk<'a, L> {
    listing: &'a L,
    found: BTreeMap<String, Kind>,
    /// Folders with the number of segments still to match. Two `**` could reach a folder in very
    /// many ways; one is enough.
    seen: BTreeSet<(String, usize)>,
}

fn below(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

impl<L: Listing> Walk<'_, L> {
    fn step(&mut self, dir: String, segments: &[Segment]) -> Result<(), L::Error> {
        let Some((first, rest)) = segments.split_first() else { return Ok(()) };
        if !self.seen.insert((dir.clone(), segments.len())) {
            return Ok(());
        }
        match first {
            Segment::Literal(name) => {
                let path = below(&dir, name);
                if !rest.is_empty() {
                    return self.step(path, rest);
                }
                match self.listing.kind(&path)? {
                    Some(Kind::Dir) => self.step(path, &[Segment::Deep])?,
                    Some(kind) => {
                        self.found.insert(path, kind);
                    }
                    None => {}
                }
            }
            Segment::Wild { matcher, hidden } => {
                for (name, kind) in self.listing.names(&dir)?.iter() {
                    if name.starts_with('.') && !hidden || !matcher.is_match(name) {
                        continue;
                    }
                    let path = below(&dir, name);
                    match kind {
                        Kind::Dir if !rest.is_empty() => self.step(path, rest)?,
                        Kind::Dir => {}
                        _ if rest.is_empty() => {
                            self.found.insert(path, *kind);
                        }
                        _ => {}
                    }
                }
            }
            Segment::Deep => {
                if !rest.is_empty() {
                    self.step(dir.clone(), rest)?;
                }
                for (name, kind) in self.listing.names(&dir)?.iter() {
                    if name.starts_with('.') {
                        continue;
                    }
                    let path = below(&dir, name);
                    match kind {
                        Kind::Dir => self.step(path, segments)?,
                        _ if rest.is_empty() => {
                            self.found.insert(path, *kind);
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Files by path; a path ending in `@` is a link.
    struct Paths(&'static [&'static str]);

    impl Listing for Paths {
        type Error = Infallible;

        fn names(&self, dir: &str) -> Result<Names, Infallible> {
            let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
            let mut names: Vec<(String, Kind)> = Vec::new();
            for path in self.0 {
                let Some(rest) = path.strip_prefix(&prefix) else { continue };
                let (name, kind) = match rest.split_once('/') {
                    Some((name, _)) => (name, Kind::Dir),
                    None if rest.ends_with('@') => (rest, Kind::Link),
                    None => (rest, Kind::File),
                };
                names.push((name.to_owned(), kind));
            }
            names.sort_by(|a, b| a.0.cmp(&b.0));
            names.dedup();
            Ok(Arc::new(names))
        }

        fn kind(&self, path: &str) -> Result<Option<Kind>, Infallible> {
            let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
            Ok(self.names(dir)?.iter().find(|(n, _)| n == name).map(|(_, kind)| *kind))
        }
    }

    const FILES: Paths =
        Paths(&["a.c", "b.c", "src/x.c", "src/deep/y.c", "src/deep/z.h", ".git/c.c", "src/.hid/h.c", "src/l@"]);

    fn matches(pattern: &str) -> Vec<String> {
        Pattern::new(pattern).unwrap().expand(&FILES).unwrap().into_keys().collect()
    }

    #[test]
    fn star_stays_in_its_segment() {
        assert_eq!(matches("*.c"), ["a.c", "b.c"]);
        assert_eq!(matches("src/*.c"), ["src/x.c"]);
        assert_eq!(matches("*/x.c"), ["src/x.c"]);
        assert_eq!(matches("{a,b}.c"), ["a.c", "b.c"]);
        assert_eq!(matches("[!b].c"), ["a.c"]);
    }

    #[test]
    fn double_star_crosses_segments_but_not_hidden_ones() {
        assert_eq!(matches("**/*.c"), ["a.c", "b.c", "src/deep/y.c", "src/x.c"]);
        assert_eq!(matches("src/**"), ["src/deep/y.c", "src/deep/z.h", "src/l@", "src/x.c"]);
        assert_eq!(matches("**/deep/**/*.h"), ["src/deep/z.h"]);
        assert_eq!(matches("**/**/**/y.c"), ["src/deep/y.c"]);
    }

    #[test]
    fn hidden_names_need_a_dot() {
        assert_eq!(matches(".git/*.c"), [".git/c.c"]);
        assert_eq!(matches(".g*/*.c"), [".git/c.c"]);
        assert_eq!(matches("src/.*/h.c"), ["src/.hid/h.c"]);
    }

    #[test]
    fn a_literal_folder_is_all_below_it() {
        assert_eq!(matches("src/deep"), ["src/deep/y.c", "src/deep/z.h"]);
        assert_eq!(matches("src/deep/"), ["src/deep/y.c", "src/deep/z.h"]);
        assert_eq!(matches("nothing"), Vec::<String>::new());
    }

    #[test]
    fn refuses_what_leaves_or_confuses() {
        for bad in ["", "/a", "../a", "a/../b", "a//b", "a/**b", "{a/b,c}", "[a"] {
            assert!(Pattern::new(bad).is_err(), "{bad}");
        }
    }
}
