//! Who supplies a program of the machine, by the package database there is: that of dpkg (deb(5), dpkg(1):
//! `info/PACKAGE.list` and `status`), of apk (apk(5): `lib/apk/db/installed`), of pacman (`local/*/desc` and `files`), or
//! what rpm says (rpm(8), `-qf`). Leaves out other package managers: what they supply has no supplier here, unless the
//! spec names one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use walkdir::WalkDir;

/// What is known of the package a program came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packaged {
    /// The package's version.
    pub(super) version: String,
    /// Its maintainer, without an address.
    pub(super) supplier: String,
}

/// Programs by a name that a list may have.
type Wanted<'a> = BTreeMap<String, &'a PathBuf>;
type Known = BTreeMap<PathBuf, Packaged>;

/// The packages that programs came in, by the paths given. `root` is that of the machine. What cannot be read or
/// understood is not known.
pub(super) fn packages_of(root: &Path, programs: &BTreeSet<PathBuf>) -> Known {
    // With and without `/usr`, since the two have been merged.
    let mut wanted = Wanted::new();
    for program in programs {
        let Ok(real) = program.canonicalize() else { continue };
        let Some(text) = real.to_str() else { continue };
        if let Some(short) = text.strip_prefix("/usr").filter(|rest| rest.starts_with('/')) {
            wanted.insert(short.to_owned(), program);
        }
        wanted.insert(text.to_owned(), program);
    }
    let mut found = dpkg(&root.join("var/lib/dpkg"), &wanted);
    found.extend(apk(&root.join("lib/apk/db/installed"), root, &wanted));
    found.extend(pacman(&root.join("var/lib/pacman/local"), root, &wanted));
    let rest: Wanted<'_> = wanted.into_iter().filter(|(_, program)| !found.contains_key(*program)).collect();
    found.extend(rpm(&root.join("usr/bin/rpm"), &rest));
    found
}

/// Who supplies, without an address; `None` if nobody is named.
fn name_of(maintainer: &str) -> Option<String> {
    let name = maintainer.split('<').next().unwrap_or_default().trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// Alpine's: paragraphs of `P:` package, `V:` version, `m:` maintainer, `F:` folder and `R:` file in it.
fn apk(installed: &Path, root: &Path, wanted: &Wanted<'_>) -> Known {
    let text = std::fs::read_to_string(installed).unwrap_or_default();
    let mut found = Known::new();
    for stanza in text.split("\n\n") {
        let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name));
        let (Some(version), Some(supplier)) = (field("V:"), field("m:").and_then(name_of)) else { continue };
        let mut folder = "";
        for line in stanza.lines() {
            if let Some(named) = line.strip_prefix("F:") {
                folder = named;
            } else if let Some(program) = line.strip_prefix("R:").and_then(|name| owned(root, &[folder, name], wanted))
            {
                found.insert(program.clone(), Packaged { version: version.to_owned(), supplier: supplier.clone() });
            }
        }
    }
    found
}

/// Arch's: a folder for each package, in which `desc` has fields as `%NAME%` and a line, and `files` lists paths.
fn pacman(local: &Path, root: &Path, wanted: &Wanted<'_>) -> Known {
    let mut found = Known::new();
    for package in WalkDir::new(local).min_depth(1).max_depth(1).sort_by_file_name().into_iter().filter_map(Result::ok)
    {
        let read = |name: &str| std::fs::read_to_string(package.path().join(name)).unwrap_or_default();
        let files = read("files");
        let mut programs = files.lines().filter_map(|line| owned(root, &[line], wanted)).peekable();
        if programs.peek().is_none() {
            continue;
        }
        let about = read("desc");
        let field = |name: &str| about.lines().skip_while(|line| *line != name).nth(1);
        let (Some(version), Some(supplier)) = (field("%VERSION%"), field("%PACKAGER%").and_then(name_of)) else {
            continue;
        };
        for program in programs {
            found.insert(program.clone(), Packaged { version: version.to_owned(), supplier: supplier.clone() });
        }
    }
    found
}

/// The program that a path below the root is, if it is wanted.
fn owned<'a>(root: &Path, parts: &[&str], wanted: &Wanted<'a>) -> Option<&'a PathBuf> {
    let path = parts.iter().fold(root.to_owned(), |path, part| path.join(part));
    wanted.get(path.to_str()?).copied()
}

/// What rpm says of programs: its database has a form of its own, so it is asked itself, where it is.
fn rpm(program: &Path, wanted: &Wanted<'_>) -> Known {
    let mut found = Known::new();
    if !program.is_file() {
        return found;
    }
    for (path, wanted) in wanted {
        #[expect(
            clippy::disallowed_methods,
            reason = "the machine's own package manager: no action, outside every sandbox"
        )]
        let mut command = Command::new(program);
        let said = command.args(["-qf", "--qf", "%{VERSION}-%{RELEASE}\\t%{VENDOR}\\n"]).arg(path).stdin(Stdio::null());
        let Ok(said) = said.stderr(Stdio::null()).output() else { return found };
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        let Some((version, vendor)) = text.lines().next().and_then(|line| line.split_once('\t')) else { continue };
        if said.status.success() && !vendor.trim().is_empty() && vendor != "(none)" {
            let (version, supplier) = (version.to_owned(), vendor.trim().to_owned());
            found.insert((*wanted).clone(), Packaged { version, supplier });
        }
    }
    found
}

fn dpkg(database: &Path, wanted: &Wanted<'_>) -> Known {
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
    let mut found = Known::new();
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
        let Some(supplier) = name_of(&maintainer) else { continue };
        if !field("Status").is_some_and(|status| status.ends_with(" installed")) {
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

    /// A root with one program in it, and who its databases say supplies it once they have been written.
    fn supplier_of(write: impl FnOnce(&Path)) -> Option<Packaged> {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let program = root.join("usr/bin/one");
        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        std::fs::write(&program, "").unwrap();
        write(&root);
        packages_of(&root, &[program.clone()].into()).remove(&program)
    }

    fn file(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn the_databases_of_apk_and_pacman_are_read() {
        let known = Some(Packaged { version: "1.0-r2".to_owned(), supplier: "Some Body".to_owned() });
        let apk = supplier_of(|root| {
            let other = "P:other\nV:9\nm:Else <e@b.example>\nF:usr/lib\nR:one\n";
            let text =
                format!("{other}\nP:one\nV:1.0-r2\nm:Some Body <a@b.example>\nF:usr\nF:usr/bin\nR:one\nZ:Q1x=\n");
            file(&root.join("lib/apk/db/installed"), &text);
        });
        assert_eq!(apk, known);
        let pacman = supplier_of(|root| {
            let local = root.join("var/lib/pacman/local/one-1.0-r2");
            file(&local.join("files"), "%FILES%\nusr/\nusr/bin/\nusr/bin/one\n");
            file(&local.join("desc"), "%NAME%\none\n\n%VERSION%\n1.0-r2\n\n%PACKAGER%\nSome Body <a@b.example>\n");
        });
        assert_eq!(pacman, known);
        assert_eq!(supplier_of(|_| ()), None);
    }

    #[test]
    fn rpm_is_asked_where_it_is() {
        use std::os::unix::fs::PermissionsExt;
        let says = |script: &str| {
            supplier_of(|root| {
                let rpm = root.join("usr/bin/rpm");
                file(&rpm, &format!("#!/bin/sh\n{script}\n"));
                std::fs::set_permissions(&rpm, std::fs::Permissions::from_mode(0o755)).unwrap();
            })
        };
        // As rpm does, it prints what the format says for the last of its arguments.
        let right = "case $4 in */usr/bin/one) printf '1.0-2\\tExample Linux\\n';; *) exit 1;; esac";
        let known = Packaged { version: "1.0-2".to_owned(), supplier: "Example Linux".to_owned() };
        assert_eq!(says(right), Some(known));
        assert_eq!(says("printf '1.0-2\\t(none)\\n'"), None);
        assert_eq!(says("echo file is not owned by any package; exit 1"), None);
    }
}
