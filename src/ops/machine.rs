//! Who supplies a program of the machine: what the package database of dpkg says of the file (deb(5), dpkg(1):
//! `info/PACKAGE.list` and `status`). It is asked only for programs that are keyed by their bytes, so that what
//! it says follows from what went in. Leaves out other package managers: what they supply has no supplier here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// What is known of the package a program came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packaged {
    /// The package's version.
    pub(super) version: String,
    /// Its maintainer, without an address.
    pub(super) supplier: String,
}

/// The packages that programs came in, by the paths given. `root` is that of the machine. What cannot be read or
/// understood is not known.
pub(super) fn packages_of(root: &Path, programs: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, Packaged> {
    let database = root.join("var/lib/dpkg");
    // By a name that a list may have: with and without `/usr`, since the two have been merged.
    let mut wanted: BTreeMap<String, &PathBuf> = BTreeMap::new();
    for program in programs {
        let Ok(real) = program.canonicalize() else { continue };
        let Some(text) = real.to_str() else { continue };
        if let Some(short) = text.strip_prefix("/usr").filter(|rest| rest.starts_with('/')) {
            wanted.insert(short.to_owned(), program);
        }
        wanted.insert(text.to_owned(), program);
    }
    let mut owners: BTreeMap<String, Vec<&PathBuf>> = BTreeMap::new();
    let lists = WalkDir::new(database.join("info")).max_depth(1).sort_by_file_name().into_iter().filter_map(Result::ok);
    for list in lists {
        let name = list.file_name().to_string_lossy().into_owned();
        let Some(package) = name.strip_suffix(".list") else { continue };
        let Ok(text) = std::fs::read_to_string(list.path()) else { continue };
        for line in text.lines() {
            if let Some(program) = wanted.get(line) {
                owners.entry(package.to_owned()).or_default().push(program);
            }
        }
    }
    let status = std::fs::read_to_string(database.join("status")).unwrap_or_default();
    let mut found = BTreeMap::new();
    for stanza in status.split("\n\n") {
        let field = |name: &str| {
            stanza
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .map(|value| value.trim().to_owned())
        };
        let Some(name) = field("Package") else { continue };
        // The list of a package for one architecture of several is named after both.
        let qualified = field("Architecture").map(|arch| format!("{name}:{arch}"));
        let owned = owners.get(&name).or_else(|| owners.get(&qualified?));
        let (Some(owned), Some(version), Some(maintainer)) = (owned, field("Version"), field("Maintainer")) else {
            continue;
        };
        let supplier = maintainer.split('<').next().unwrap_or_default().trim().to_owned();
        if supplier.is_empty() || !field("Status").is_some_and(|status| status.ends_with(" installed")) {
            continue;
        }
        for program in owned {
            found.insert((*program).clone(), Packaged { version: version.clone(), supplier: supplier.clone() });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_of_dpkg_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let programs = ["usr/bin/one", "opt/two"].map(|path| root.join(path));
        for program in &programs {
            std::fs::create_dir_all(program.parent().unwrap()).unwrap();
            std::fs::write(program, "").unwrap();
        }
        let info = root.join("var/lib/dpkg/info");
        std::fs::create_dir_all(&info).unwrap();
        std::fs::write(info.join("one:amd64.list"), format!("/.\n{}\n", programs[0].display())).unwrap();
        std::fs::write(info.join("gone.list"), format!("{}\n", programs[1].display())).unwrap();
        let stanza = |name: &str, status: &str| {
            format!(
                "Package: {name}\nStatus: install ok {status}\nMaintainer: Some Body <a@b.example>\nArchitecture: amd64\n\
                 Version: 1.0-2\nDescription: x\n more\n"
            )
        };
        let status = [stanza("one", "installed"), stanza("gone", "config-files")].join("\n");
        std::fs::write(root.join("var/lib/dpkg/status"), status).unwrap();
        let asked = programs.iter().cloned().chain([root.join("nowhere")]).collect();
        let found = packages_of(&root, &asked);
        let known = Packaged { version: "1.0-2".to_owned(), supplier: "Some Body".to_owned() };
        assert_eq!(found, [(programs[0].clone(), known)].into());
        assert!(packages_of(&root.join("none"), &asked).is_empty());
    }
}
