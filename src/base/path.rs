//! Relative paths as they appear in specs, keys and bundles: UTF-8, `/`-separated, no `.`, no `..`,
//! never absolute, ordered by bytes. Leaves out the file system.

use std::borrow::Borrow;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A checked relative path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct RelPath(String);

/// Why a text is not a relative path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path is the empty text.
    #[error("the path is empty")]
    Empty,
    /// The path starts with `/`.
    #[error("`{0}` is absolute")]
    Absolute(String),
    /// A segment is `..`.
    #[error("`{0}` leaves its folder by `..`")]
    Leaves(String),
    /// A segment is empty or `.`.
    #[error("`{0}` has an empty or `.` segment")]
    Segment(String),
    /// NUL, another control character or a backslash.
    #[error("`{}` holds a control character or a backslash", .0.escape_debug())]
    Character(String),
    /// Longer than 4,096 bytes, or a segment longer than 255.
    #[error("the path is longer than 4096 bytes, or a segment of it than 255")]
    Long,
}

impl TryFrom<String> for RelPath {
    type Error = PathError;

    fn try_from(text: String) -> Result<Self, PathError> {
        Self::new(&text)
    }
}

impl RelPath {
    /// Checks a text. One trailing `/` is dropped.
    pub fn new(text: &str) -> Result<Self, PathError> {
        Self::check(text)?;
        Ok(Self(text.strip_suffix('/').unwrap_or(text).to_owned()))
    }

    /// Whether a text is a path, one trailing `/` aside.
    pub fn check(text: &str) -> Result<(), PathError> {
        if is_plain(text.as_bytes()) {
            return Ok(());
        }
        if text.starts_with('/') {
            return Err(PathError::Absolute(text.to_owned()));
        }
        let trimmed = text.strip_suffix('/').unwrap_or(text);
        if trimmed.is_empty() {
            return Err(PathError::Empty);
        }
        if trimmed.len() > 4096 || trimmed.split('/').any(|segment| segment.len() > 255) {
            return Err(PathError::Long);
        }
        if trimmed.chars().any(|c| c.is_control() || c == '\\') {
            return Err(PathError::Character(text.to_owned()));
        }
        for segment in trimmed.split('/') {
            match segment {
                ".." => return Err(PathError::Leaves(text.to_owned())),
                "" | "." => return Err(PathError::Segment(text.to_owned())),
                _ => {}
            }
        }
        Ok(())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path below this one.
    pub fn join(&self, below: &RelPath) -> RelPath {
        RelPath(format!("{}/{}", self.0, below.0))
    }

    /// The folder this path lies in; `None` at the top.
    pub fn parent(&self) -> Option<RelPath> {
        self.0.rsplit_once('/').map(|(parent, _)| RelPath(parent.to_owned()))
    }

    /// The last segment.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, name)| name)
    }

    /// The segments from the top.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Whether `self` is `other` or lies below it.
    pub fn starts_with(&self, other: &RelPath) -> bool {
        self.0.strip_prefix(&other.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The path below a folder of the file system.
    pub fn under(&self, root: &Path) -> PathBuf {
        root.join(&self.0)
    }
}

/// Whether a text is a path as nearly all are: short, of printable ASCII. There may be very many, so it is read once.
fn is_plain(text: &[u8]) -> bool {
    let is_name = |segment: &[u8]| !matches!(segment, b"" | b"." | b"..");
    let mut start = 0;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'/' if is_name(&text[start..at]) => start = at + 1,
            b'/' | b'\\' => return false,
            byte if byte.is_ascii_graphic() => {}
            _ => return false,
        }
    }
    text.len() <= 255 && is_name(&text[start..])
}

impl Borrow<str> for RelPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_plain_and_refuses_escapes() {
        assert_eq!(RelPath::new("a/b.c").unwrap().as_str(), "a/b.c");
        assert_eq!(RelPath::new("a/").unwrap().as_str(), "a");
        assert_eq!(RelPath::new("").unwrap_err(), PathError::Empty);
        assert!(matches!(RelPath::new("/a"), Err(PathError::Absolute(_))));
        assert!(matches!(RelPath::new("a/../b"), Err(PathError::Leaves(_))));
        assert!(matches!(RelPath::new("./a"), Err(PathError::Segment(_))));
        assert!(matches!(RelPath::new("a//b"), Err(PathError::Segment(_))));
        assert!(matches!(RelPath::new("a\0b"), Err(PathError::Character(_))));
        assert_eq!(RelPath::new(&"x".repeat(256)).unwrap_err(), PathError::Long);
    }

    #[test]
    fn prefixes_respect_segments() {
        let a = RelPath::new("a/b").unwrap();
        assert!(RelPath::new("a/b/c").unwrap().starts_with(&a));
        assert!(!RelPath::new("a/bc").unwrap().starts_with(&a));
        assert_eq!(a.parent().unwrap().as_str(), "a");
        assert_eq!(a.name(), "b");
    }
}
