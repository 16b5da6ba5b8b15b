//! Which names may stand in a bundle: those that mean one and the same file on every system. Used
//! before anything is written and again on every archive read. Leaves out the archive's layout.

use std::collections::BTreeMap;

use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::base::{PathError, RelPath};
use crate::bundle::code::Code;

/// Why a name cannot stand in a bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not in normalization form C, so that another spelling would name the same file elsewhere.
    #[error("the name `{0}` is not in Unicode normalization form C")]
    NotNfc(String),
    /// A name that some system reserves or cannot hold.
    #[error("the name `{path}` does not exist on every system: {why}")]
    Reserved {
        /// The whole path.
        path: String,
        /// Which rule it breaks.
        why: &'static str,
    },
    /// Two names that are one where case does not count.
    #[error("the names `{first}` and `{second}` differ only by case")]
    Case {
        /// The one met first.
        first: String,
        /// The other.
        second: String,
    },
    /// A file where a folder is needed.
    #[error("`{0}` is both a file and a folder")]
    FileAndFolder(String),
    /// The same name twice.
    #[error("the name `{0}` is there twice")]
    Twice(String),
    /// Not a plain relative path.
    #[error("not a name for a bundle: {0}")]
    Path(#[from] PathError),
}

impl NameError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::NotNfc(_) => Code::B0101,
            Self::Reserved { .. } => Code::B0102,
            Self::Case { .. } => Code::B0103,
            Self::FileAndFolder(_) | Self::Twice(_) => Code::B0104,
            Self::Path(_) => Code::B0105,
        }
    }
}

/// Names met so far, checked one by one and against each other.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// By folded form: the spelling met, and whether it is a file.
    seen: BTreeMap<String, (String, bool)>,
}

impl Names {
    /// Takes the path of a file.
    pub(crate) fn add(&mut self, path: &str) -> Result<(), NameError> {
        // A trailing `/` is something `RelPath` forgives and an archive must not hold.
        if RelPath::new(path)?.as_str() != path {
            return Err(NameError::Path(PathError::Segment(path.to_owned())));
        }
        if !is_nfc(path) {
            return Err(NameError::NotNfc(path.to_owned()));
        }
        for segment in path.split('/') {
            if let Some(why) = reserved(segment) {
                return Err(NameError::Reserved { path: path.to_owned(), why });
            }
        }
        let folders = path.match_indices('/').map(|(at, _)| (&path[..at], false));
        for (prefix, is_file) in folders.chain([(path, true)]) {
            let folded = fold(prefix);
            match self.seen.get(&folded) {
                None => {
                    self.seen.insert(folded, (prefix.to_owned(), is_file));
                }
                Some((first, _)) if first != prefix => {
                    return Err(NameError::Case { first: first.clone(), second: prefix.to_owned() });
                }
                Some((_, true)) if is_file => return Err(NameError::Twice(path.to_owned())),
                Some((_, was_file)) if *was_file != is_file => {
                    return Err(NameError::FileAndFolder(prefix.to_owned()));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// The form in which two names are one on a system that does not tell case apart. Upper case first:
/// it folds more than lower case does (`ß`, final sigma).
fn fold(name: &str) -> String {
    name.to_uppercase().to_lowercase().nfc().collect()
}

/// Devices that Windows reserves in every folder and with every extension.
const DEVICES: &[&str] = &["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

fn reserved(segment: &str) -> Option<&'static str> {
    if segment.contains(['<', '>', ':', '"', '|', '?', '*']) {
        return Some("`<`, `>`, `:`, `\"`, `|`, `?` and `*` cannot stand in a Windows name");
    }
    if segment.ends_with(['.', ' ']) {
        return Some("Windows drops a dot or a blank at the end of a name");
    }
    let stem = segment.split('.').next().unwrap_or(segment).trim_end().to_uppercase();
    let port = ["COM", "LPT"].iter().find_map(|port| stem.strip_prefix(port)).is_some_and(|number| {
        let mut chars = number.chars();
        matches!((chars.next(), chars.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
    });
    (port || DEVICES.contains(&stem.as_str())).then_some("it is a device on Windows")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(paths: &[&str]) -> Result<(), NameError> {
        let mut names = Names::default();
        paths.iter().try_for_each(|path| names.add(path))
    }

    #[test]
    fn ordinary_names_pass() {
        all(&["out/a", "out/b/c.txt", "out/b/d e", "out/é", "out/.hidden", "out/console", "out/COM10"]).unwrap();
    }

    #[test]
    fn names_that_are_not_everywhere_are_refused() {
        let code = |paths: &[&str]| all(paths).unwrap_err().code();
        assert_eq!(code(&["out/e\u{301}"]), Code::B0101);
        for name in ["out/a:b", "out/nul", "out/Con.txt", "out/aux .x", "out/lpt1", "out/com²", "out/a.", "out/a /b"] {
            assert_eq!(code(&[name]), Code::B0102, "{name}");
        }
        assert_eq!(code(&["out/README", "out/readme"]), Code::B0103);
        assert_eq!(code(&["out/A/x", "out/a/y"]), Code::B0103);
        assert_eq!(code(&["out/stra\u{df}e", "out/STRASSE"]), Code::B0103);
        assert_eq!(code(&["out/a", "out/a/b"]), Code::B0104);
        assert_eq!(code(&["out/a/b", "out/a"]), Code::B0104);
        assert_eq!(code(&["out/a", "out/a"]), Code::B0104);
        for name in ["/a", "../a", "a/../b", "a\\b", "a//b", "a/", "", "a\nb"] {
            assert_eq!(code(&[name]), Code::B0105, "{name:?}");
        }
    }
}
