//! The files of a tree as texts, from disk or invented. Leaves out what is wrong with them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use walkdir::WalkDir;

/// Paths relative to the root with their texts, and the names at the root.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// Text files by path.
    pub(super) files: BTreeMap<String, String>,
    /// What stands at the root.
    pub(super) root: BTreeSet<String>,
}

/// What tools and runs leave behind, besides the folders of the store in `cache/`.
const LEFT_BEHIND: &[&str] = &[".git", "target", "out", ".partita", "node_modules", "__pycache__"];

impl Snapshot {
    /// The repository this test was built from.
    pub(super) fn of_repository() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut tree = Self::default();
        let walk = WalkDir::new(root).sort_by_file_name().into_iter().filter_entry(|entry| {
            let name = entry.file_name().to_str().unwrap_or_default();
            let in_cache = entry.depth() == 2 && entry.path().parent().is_some_and(|parent| parent.ends_with("cache"));
            entry.depth() == 0 || !(LEFT_BEHIND.contains(&name) || in_cache && entry.file_type().is_dir())
        });
        for entry in walk {
            let entry = entry.expect("the repository can be listed");
            let path = entry.path().strip_prefix(root).expect("entries lie under the root");
            let path = path.to_str().expect("paths of the repository are UTF-8").to_owned();
            if entry.depth() == 1 {
                tree.root.insert(path.clone());
            }
            if entry.file_type().is_file()
                && let Ok(text) = fs::read_to_string(entry.path())
            {
                tree.files.insert(path, text);
            }
        }
        tree
    }

    /// An invented tree.
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let files: BTreeMap<String, String> =
            files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        let root = files.keys().filter_map(|path| path.split('/').next()).map(str::to_owned).collect();
        Self { files, root }
    }

    /// Rust files under a folder, with their texts.
    pub(super) fn rust<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files
            .iter()
            .filter(move |(path, _)| path.starts_with(folder) && path.rsplit('.').next() == Some("rs"))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }
}
