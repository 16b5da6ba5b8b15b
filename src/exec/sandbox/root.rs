//! What an action finds of the machine: the system's libraries and data, the declared tools where they
//! lie, a shell, and the files that `pass-env` variables name. As a list of items, which the helper
//! makes a root of (isolation `full`) or rules of (isolation `landlock`). Leaves out the action's own
//! folder.
//!
//! Folders of programs (`/usr/bin`) are not given as a whole: only what is declared is in them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use crate::exec::sandbox::wire::{Parcel, Reader};

/// Folders of the system that hold no programs to be called by name: libraries, headers, data.
const SYSTEM: &[&str] = &[
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libx32",
    "/usr/libexec",
    "/usr/include",
    "/usr/share",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/usr/local/libexec",
    "/usr/local/include",
    "/usr/local/share",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc/alternatives",
    "/etc/ld.so.conf.d",
    "/etc/fonts",
    "/etc/perl",
    "/etc/terminfo",
    "/etc/xml",
    "/etc/sgml",
];
/// Files of the system.
const SYSTEM_FILES: &[&str] = &[
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/os-release",
    "/etc/debian_version",
    "/etc/mime.types",
    "/etc/magic",
    "/etc/protocols",
    "/etc/services",
    "/etc/inputrc",
];
/// What begins so in `/etc` belongs to language runtimes.
const SYSTEM_PREFIXES: &[&str] = &["java-", "python3", "ImageMagick-", "texmf"];
/// What the C library and scripts take to be everywhere.
const ALWAYS: &[&str] = &["/bin/sh", "/usr/bin/env"];
/// What the network needs.
const NETWORK: &[&str] = &[
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/host.conf",
    // Certificates and settings; beside them lie private keys.
    "/etc/ssl/certs",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/openssl.cnf",
    "/etc/ssl/ct_log_list.cnf",
    "/etc/ca-certificates",
    "/etc/pki/ca-trust/extracted",
    "/etc/pki/java",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/tls/openssl.cnf",
    "/etc/pki/tls/ct_log_list.cnf",
    "/etc/crypto-policies",
];
/// Stores of package managers whose programs lie beside all that they need.
const WHOLE: &[&str] = &["/nix/store", "/gnu/store"];
/// Devices.
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
/// Where the tools are found by name.
pub(super) const BIN: &str = "/partita/bin";
/// How many links one path may lead through.
const LINKS: usize = 40;

/// Users and groups, as an action sees them.
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbuild:x:1000:100:build:/build/home:/bin/sh\n\
                      nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n";
const GROUP: &str = "root:x:0:\nusers:x:100:build\nnogroup:x:65534:\n";
const HOSTS: &str = "127.0.0.1 localhost build\n::1 localhost\n";
const NSSWITCH: &str = "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n";

/// One thing in the root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    /// A folder of its own.
    Folder,
    /// A symbolic link to this.
    Link(PathBuf),
    /// A file with this text.
    Text(String),
    /// The file or folder of the machine that lies at this path, read-only.
    Shown(PathBuf),
    /// A device of the machine.
    Device,
}

/// All that is in the root, by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Root(pub(super) BTreeMap<PathBuf, Item>);

/// What is asked of a root.
pub(super) struct Wanted<'a> {
    /// The executables of the tools.
    pub(super) tools: &'a [PathBuf],
    /// The folder of links by which they are found.
    pub(super) bin: Option<&'a Path>,
    /// Files and folders that variables name.
    pub(super) shown: &'a [PathBuf],
    /// Whether the network is used.
    pub(super) network: bool,
    /// The folder of the run, with the attempts and copies of tools of the workspace in it.
    pub(super) scratch: &'a Path,
    /// The user's home: never shown as a whole.
    pub(super) home: Option<&'a Path>,
}

impl<'a> Wanted<'a> {
    /// Nothing but the system.
    pub(super) fn nothing(scratch: &'a Path) -> Self {
        Self { tools: &[], bin: None, shown: &[], network: false, scratch, home: None }
    }
}

impl Root {
    pub(super) fn new(wanted: &Wanted<'_>) -> Self {
        let mut root = Self::default();
        for folder in ["/build", "/proc", "/dev", "/etc", "/run", "/var", BIN] {
            root.put(Path::new(folder), Item::Folder);
        }
        for (path, target) in [
            ("/tmp", "/build/tmp"),
            ("/var/tmp", "/build/tmp"),
            ("/dev/shm", "/build/tmp"),
            ("/dev/fd", "/proc/self/fd"),
            ("/dev/stdin", "/proc/self/fd/0"),
            ("/dev/stdout", "/proc/self/fd/1"),
            ("/dev/stderr", "/proc/self/fd/2"),
        ] {
            root.put(Path::new(path), Item::Link(target.into()));
        }
        for device in DEVICES {
            root.put(Path::new(device), Item::Device);
        }
        root.put(Path::new("/etc/passwd"), Item::Text(PASSWD.to_owned()));
        root.put(Path::new("/etc/group"), Item::Text(GROUP.to_owned()));
        if wanted.network {
            for path in NETWORK {
                root.show(Path::new(path));
            }
        } else {
            root.put(Path::new("/etc/hosts"), Item::Text(HOSTS.to_owned()));
            root.put(Path::new("/etc/nsswitch.conf"), Item::Text(NSSWITCH.to_owned()));
        }
        for path in SYSTEM.iter().chain(SYSTEM_FILES).chain(ALWAYS) {
            root.show(Path::new(path));
        }
        for path in listing(Path::new("/etc")) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if SYSTEM_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
                root.show(&path);
            }
        }
        for tool in wanted.tools {
            root.tool(tool, wanted);
        }
        for path in wanted.shown {
            root.show(path);
        }
        for link in wanted.bin.map(listing).unwrap_or_default() {
            let (Ok(target), Some(name)) = (std::fs::read_link(&link), link.file_name()) else { continue };
            let at = Path::new(BIN).join(name);
            if target.starts_with(wanted.scratch) {
                root.put(&at, Item::Shown(target));
            } else {
                root.put(&at, Item::Link(target));
            }
        }
        root.drop_what_is_covered();
        for link in ["/tmp", "/var/tmp", "/dev/shm"] {
            let link = Path::new(link);
            if root.0.keys().any(|path| path != link && path.starts_with(link)) {
                // A tool lies there: the folder cannot be the action's own as well. `TMPDIR` still is.
                root.put(link, Item::Folder);
            }
        }
        root
    }

    /// A tool with what it cannot do without: the program that reads it, if it is a script; and the
    /// installation around it, if it has one of its own.
    fn tool(&mut self, tool: &Path, wanted: &Wanted<'_>) {
        if tool.starts_with(wanted.scratch) {
            if let Some(interpreter) = interpreter(tool) {
                self.show(&interpreter);
            }
            return;
        }
        self.show(tool);
        let Ok(real) = std::fs::canonicalize(tool) else { return };
        if let Some(interpreter) = interpreter(&real) {
            self.show(&interpreter);
            let real = std::fs::canonicalize(&interpreter).unwrap_or(interpreter);
            self.installation(&real, wanted);
        }
        self.installation(&real, wanted);
    }

    fn installation(&mut self, real: &Path, wanted: &Wanted<'_>) {
        if let Some(whole) = WHOLE.iter().find(|whole| real.starts_with(whole)) {
            self.show(Path::new(whole));
            return;
        }
        let Some(dir) = real.parent() else { return };
        let is_bin = dir.file_name().is_some_and(|name| ["bin", "sbin", "libexec"].iter().any(|bin| name == *bin));
        let Some(prefix) = dir.parent().filter(|_| is_bin) else { return };
        let is_system = ["/", "/usr", "/usr/local"].iter().any(|system| prefix == Path::new(system));
        // `~/.local` and `~/.cargo` hold more than programs; an installation lies deeper.
        let is_of_user = |home: &Path| {
            home.starts_with(prefix) || prefix.strip_prefix(home).is_ok_and(|rest| rest.components().count() < 2)
        };
        let is_private = wanted.home.is_some_and(is_of_user)
            || wanted.scratch.starts_with(prefix)
            || prefix.components().count() < 3;
        if !is_system && !is_private {
            self.show(prefix);
        }
    }

    fn put(&mut self, at: &Path, item: Item) {
        self.0.insert(at.to_path_buf(), item);
    }

    /// Shows a path of the machine where it lies, with the links that lead to it. What does not exist
    /// is not shown.
    fn show(&mut self, path: &Path) {
        let mut rest: Vec<OsString> = parts(path);
        let mut at = PathBuf::from("/");
        let mut links = 0;
        while let Some(part) = rest.pop() {
            if part == ".." {
                at.pop();
                continue;
            }
            let here = at.join(&part);
            let Ok(meta) = std::fs::symlink_metadata(&here) else { return };
            if meta.is_symlink() {
                links += 1;
                let Ok(target) = std::fs::read_link(&here) else { return };
                if links > LINKS {
                    return;
                }
                if !self.covers(&here) {
                    self.put(&here, Item::Link(target.clone()));
                }
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                rest.extend(parts(&target));
                continue;
            }
            at = here;
        }
        if at != Path::new("/") && !self.covers(&at) && at.exists() && !at.starts_with("/proc") {
            self.put(&at, Item::Shown(at.clone()));
        }
    }

    /// Drops what lies below a folder that is shown: it is there already.
    fn drop_what_is_covered(&mut self) {
        let shown: Vec<PathBuf> = self.shown().map(Path::to_path_buf).collect();
        self.0.retain(|path, _| !shown.iter().any(|above| path != above && path.starts_with(above)));
    }

    /// Whether a path lies in a folder that is shown.
    fn covers(&self, path: &Path) -> bool {
        path.ancestors().any(|above| matches!(self.0.get(above), Some(Item::Shown(_))))
    }

    /// What of it lies on the machine, for rules.
    pub(super) fn shown(&self) -> impl Iterator<Item = &Path> {
        self.0.values().filter_map(|item| match item {
            Item::Shown(path) => Some(path.as_path()),
            _ => None,
        })
    }

    pub(super) fn devices() -> impl Iterator<Item = &'static Path> {
        DEVICES.iter().map(Path::new)
    }

    /// What is shown at the landlock level beside: it has no files of its own in place of these.
    pub(super) fn also_shown() -> impl Iterator<Item = &'static Path> {
        ["/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/hosts", "/proc"].iter().map(Path::new)
    }

    pub(super) fn write(&self, parcel: &mut Parcel) {
        parcel.number(self.0.len() as u64);
        for (path, item) in &self.0 {
            parcel.bytes(path.as_os_str().as_bytes());
            match item {
                Item::Folder => parcel.number(0).bytes(b""),
                Item::Link(target) => parcel.number(1).bytes(target.as_os_str().as_bytes()),
                Item::Text(text) => parcel.number(2).bytes(text.as_bytes()),
                Item::Shown(from) => parcel.number(3).bytes(from.as_os_str().as_bytes()),
                Item::Device => parcel.number(4).bytes(b""),
            };
        }
    }

    pub(super) fn read(reader: &mut Reader) -> std::io::Result<Self> {
        let count = reader.number()?;
        let mut root = Self::default();
        for _ in 0..count {
            let path = path_of(reader.bytes()?);
            let (kind, bytes) = (reader.number()?, reader.bytes()?);
            let item = match kind {
                0 => Item::Folder,
                1 => Item::Link(path_of(bytes)),
                2 => Item::Text(String::from_utf8_lossy(&bytes).into_owned()),
                3 => Item::Shown(path_of(bytes)),
                _ => Item::Device,
            };
            root.0.insert(path, item);
        }
        Ok(root)
    }
}

/// A path from its bytes.
pub(super) fn path_of(bytes: Vec<u8>) -> PathBuf {
    OsString::from_vec(bytes).into()
}

/// The parts of a path after the root, last first.
fn parts(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    parts.collect()
}

fn listing(dir: &Path) -> Vec<PathBuf> {
    let walk = walkdir::WalkDir::new(dir).min_depth(1).max_depth(1).sort_by_file_name();
    walk.into_iter().filter_map(Result::ok).map(walkdir::DirEntry::into_path).collect()
}

/// The program that reads a script, or that loads a program.
fn interpreter(file: &Path) -> Option<PathBuf> {
    use std::io::Read;
    let mut head = [0; 256];
    let mut file = std::fs::File::open(file).ok()?;
    let count = file.read(&mut head).ok()?;
    let line = head[..count].strip_prefix(b"#!")?;
    let line = line.split(|byte| *byte == b'\n').next()?.trim_ascii_start();
    let path = line.split(u8::is_ascii_whitespace).next()?;
    let path = path_of(path.to_vec());
    path.is_absolute().then_some(path)
}

/// The paths that variables name and that exist.
pub(in crate::exec) fn named_paths<'a>(values: impl Iterator<Item = &'a OsString>) -> Vec<PathBuf> {
    let mut paths = BTreeSet::new();
    for value in values {
        for path in std::env::split_paths(value) {
            // Never the whole machine, nor a folder at its top.
            if path.is_absolute() && path.components().count() > 2 && path.exists() {
                paths.insert(path);
            }
        }
    }
    paths.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_brings_certificates_and_no_keys() {
        let scratch = Path::new("/nonexistent/run");
        let root = Root::new(&Wanted { network: true, ..Wanted::nothing(scratch) });
        for key in ["/etc/ssl/private/a.key", "/etc/ssl/a.key", "/etc/pki/tls/private/a.key", "/etc/pki/nssdb/key4.db"]
        {
            assert!(!root.covers(Path::new(key)), "{key}");
        }
        for wanted in ["/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/openssl.cnf", "/etc/pki/tls/cert.pem"] {
            let Ok(real) = std::fs::canonicalize(wanted) else { continue };
            assert!(root.covers(&real), "{wanted} is {}", real.display());
        }
    }

    #[test]
    fn shows_a_tool_by_its_links_and_not_its_neighbours() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(dir.join("inst/bin")).unwrap();
        std::fs::create_dir_all(dir.join("bin")).unwrap();
        std::fs::write(dir.join("inst/bin/tool"), "#!/usr/bin/env sh\n").unwrap();
        std::fs::write(dir.join("bin/other"), "").unwrap();
        std::os::unix::fs::symlink("../inst/bin/tool", dir.join("bin/tool")).unwrap();
        let tool = dir.join("bin/tool");
        let wanted = Wanted {
            tools: std::slice::from_ref(&tool),
            bin: None,
            shown: &[],
            network: false,
            scratch: Path::new("/nonexistent/scratch"),
            home: None,
        };
        let root = Root::new(&wanted);
        assert_eq!(root.0.get(&tool), Some(&Item::Link("../inst/bin/tool".into())));
        assert_eq!(root.0.get(&dir.join("inst")), Some(&Item::Shown(dir.join("inst"))));
        assert!(!root.0.contains_key(&dir.join("bin/other")));
        assert!(root.0.contains_key(Path::new("/build")));
        assert!(!root.shown().any(|path| path == Path::new("/etc") || path == Path::new("/usr/bin")));
    }

    #[test]
    fn nothing_is_put_into_a_folder_that_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(dir.join("a/b/bin")).unwrap();
        std::fs::write(dir.join("a/b/bin/tool"), "").unwrap();
        let tools = [dir.join("a/b/bin/tool")];
        let wanted = Wanted { tools: &tools, ..Wanted::nothing(Path::new("/nonexistent")) };
        let root = Root::new(&wanted);
        let shown: Vec<&Path> = root.shown().filter(|path| path.starts_with(&dir)).collect();
        assert_eq!(shown, [dir.join("a/b")]);
        for path in root.shown() {
            assert!(root.0.keys().all(|other| other == path || !other.starts_with(path)), "{}", path.display());
        }
    }

    #[test]
    fn arrives_as_it_was_sent() {
        let wanted = Wanted {
            tools: &["/bin/sh".into()],
            bin: None,
            shown: &[],
            network: false,
            scratch: Path::new("/nonexistent"),
            home: None,
        };
        let root = Root::new(&wanted);
        let (a, b) = crate::exec::sandbox::wire::pair().unwrap();
        let mut parcel = Parcel::default();
        root.write(&mut parcel);
        let read = std::thread::scope(|scope| {
            let reading = scope.spawn(|| Root::read(&mut Reader::receive(&b).unwrap()).unwrap());
            parcel.send(&a).unwrap();
            reading.join().unwrap()
        });
        assert_eq!(read, root);
    }

    #[test]
    fn only_paths_that_exist_and_are_not_at_the_top_are_named() {
        let values = [OsString::from("/usr"), OsString::from("/usr/share:/no/such:relative"), OsString::from("text")];
        assert_eq!(named_paths(values.iter()), [PathBuf::from("/usr/share")]);
    }
}
