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
    /// Two names of many are one where case does not count, or one is a file and a folder.
    #[error("two of the names differ only by case, or one is both a file and a folder")]
    Clash,
    /// More files and folders than are checked.
    #[error("there are more than {0} files and folders")]
    Many(usize),
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
            Self::Case { .. } | Self::Clash => Code::B0103,
            Self::FileAndFolder(_) | Self::Twice(_) => Code::B0104,
            Self::Path(_) | Self::Many(_) => Code::B0105,
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
        check_one(path)?;
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

/// Names that come in byte order, checked one by one and against each other in some 16 bytes for each.
#[derive(Debug, Default)]
pub(crate) struct SortedNames {
    last: String,
    /// Hashes of the folded forms of all files and folders. In byte order the files of a folder come together, so each
    /// file and folder is added once, and two that are equal are a clash. Should two hashes of different forms ever be
    /// equal, a name is refused that need not be; never the other way round.
    folded: Vec<u128>,
}

/// Files and folders that are kept in mind.
const MOST: usize = 1_500_000;

impl SortedNames {
    /// Takes the path of a file, which must come after the one before.
    pub(crate) fn add(&mut self, path: &str) -> Result<(), NameError> {
        check_one(path)?;
        let shared = self.last.bytes().zip(path.bytes()).take_while(|(a, b)| a == b).count();
        // A folder that the last path lies in has been added with it.
        let folders = path.match_indices('/').map(|(at, _)| at).filter(|at| *at >= shared);
        for end in folders.chain([path.len()]) {
            if self.folded.len() >= MOST {
                return Err(NameError::Many(MOST));
            }
            let hash = blake3::hash(fold(&path[..end]).as_bytes());
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&hash.as_bytes()[..16]);
            self.folded.push(u128::from_le_bytes(bytes));
        }
        path.clone_into(&mut self.last);
        Ok(())
    }

    /// There are no more: checks that no two are one.
    pub(crate) fn finish(&mut self) -> Result<(), NameError> {
        self.folded.sort_unstable();
        if self.folded.windows(2).any(|pair| pair[0] == pair[1]) { Err(NameError::Clash) } else { Ok(()) }
    }
}

/// Checks a name by itself.
pub(crate) fn check_one(path: &str) -> Result<(), NameError> {
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
    Ok(())
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
    fn both_ways_of_checking_agree() {
        let sorted = |paths: &[&str]| {
            let mut paths = paths.to_vec();
            paths.sort_unstable();
            let mut names = SortedNames::default();
            paths.iter().try_for_each(|path| names.add(path)).and_then(|()| names.finish())
        };
        for paths in [
            &["out/a", "out/a-b", "out/b/c", "out/b/d", "out/b-c/d", "out/bc"][..],
            &["a"],
            &["out/a/b/c", "out/a/b/d", "out/a/c/b", "out/a/bc", "out/ab/b"],
        ] {
            all(paths).unwrap();
            sorted(paths).unwrap();
        }
        for paths in [
            &["out/README", "out/a", "out/readme"][..],
            &["out/A/x", "out/B", "out/a/y"],
            &["out/a", "out/a-b", "out/a/b"],
            &["out/a/b", "out/A"],
            &["out/stra\u{df}e", "out/STRASSE"],
            &["out/e\u{301}"],
            &["out/nul"],
            &["out/x/../y"],
        ] {
            all(paths).unwrap_err();
            sorted(paths).unwrap_err();
        }
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
