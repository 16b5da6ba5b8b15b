//! The root of the sandbox, made once for each set of tools, by the helper, in a user and a mount
//! namespace of its own; actions get copies of it. Leaves out what is in it.

use std::fmt::Display;
use std::io::{Error, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::sched::CloneFlags;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, mount_change,
    mount_remount, unmount,
};

use crate::exec::sandbox::root::{Item, Root};

/// Where the folder of the run is in the template; actions do not see it.
pub(super) const SCRATCH: &str = "/.scratch";
/// Where the machine's `/proc` is in the template: only who sees one may mount another. Actions do not see it.
pub(super) const MACHINE_PROC: &str = "/.proc";
/// The user and group that an action runs as, in its own eyes.
const INSIDE: (u32, u32) = (1000, 100);

/// What could not be done.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) what: String,
    pub(super) error: i32,
}

/// Says what was tried when it fails.
pub(super) fn step<T, E: Into<Error>>(what: impl Display, result: Result<T, E>) -> Result<T, Broken> {
    result.map_err(|error| {
        let error = error.into();
        let code = error.raw_os_error().unwrap_or(0);
        let what = if code == 0 { format!("{what}: {error}") } else { what.to_string() };
        Broken { what, error: code }
    })
}

/// Moves this process to namespaces of users and mounts of its own, in which it may do anything.
pub(super) fn leave() -> Result<(), Broken> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    if rustix::process::geteuid().is_root() {
        // The groups of root may open what the namespaces do not hide.
        let _ = rustix::thread::set_thread_groups(&[]);
    }
    let left = nix::sched::unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS);
    step("make a user namespace", left.map_err(|error| Error::from_raw_os_error(error as i32)))?;
    step("refuse to change groups", std::fs::write("/proc/self/setgroups", "deny"))?;
    step("name the user of the namespace", std::fs::write("/proc/self/uid_map", format!("{} {uid} 1", INSIDE.0)))?;
    step("name the group of the namespace", std::fs::write("/proc/self/gid_map", format!("{} {gid} 1", INSIDE.1)))?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    step("keep mounts to itself", mount_change("/", private))
}

/// Where the machine's root is while the template is made.
const OLD: &str = "/.old";

/// Makes the root and moves into it.
///
/// In this order, so that no file of the machine can be touched whatever the items are: an empty root is
/// entered first, so that paths and links lead nowhere else; all places are made before anything is
/// mounted on one, so that they lie in that root; and a place that exists is never opened to write.
pub(super) fn build(root: &Root, scratch: &Path) -> Result<(), Broken> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    step("mount the root", mount("tmpfs", scratch, "tmpfs", flags, Some(c"mode=755,size=16m")))?;
    step("make the root", std::fs::create_dir(scratch.join(".old")))?;
    step("enter the root", rustix::process::chdir(scratch))?;
    step("enter the root", rustix::process::pivot_root(".", ".old"))?;
    step("enter the root", rustix::process::chdir("/"))?;
    for folder in [SCRATCH, MACHINE_PROC] {
        step("make the root", std::fs::create_dir(folder))?;
    }
    let items: Vec<(&Path, &Item)> = root.0.iter().map(|(path, item)| (path.as_path(), item)).collect();
    for &(path, item) in &items {
        make(path, item)?;
    }
    let outer = |path: &Path| Path::new(OLD).join(path.strip_prefix("/").unwrap_or(path));
    step("bind the folder of the run", mount_bind(outer(scratch), SCRATCH))?;
    step("bind `/proc`", mount_bind_recursive(outer(Path::new("/proc")), MACHINE_PROC))?;
    for &(path, item) in &items {
        let what = || format!("bind `{}`", path.display());
        match item {
            Item::Device => step(what(), mount_bind(outer(path), path))?,
            Item::Shown(from) => step(what(), mount_bind_recursive(outer(from), path))?,
            Item::Folder | Item::Link(_) | Item::Text(_) => {}
        }
    }
    for (mounted, kept) in mounts()? {
        let is_below = |folder: &str| mounted.starts_with(folder);
        if mounted == Path::new("/") || [OLD, MACHINE_PROC, "/dev"].into_iter().any(is_below) {
            continue;
        }
        let only = if is_below(SCRATCH) { MountFlags::empty() } else { MountFlags::RDONLY };
        let what = format!("restrict `{}`", mounted.display());
        step(what, mount_remount(&mounted, MountFlags::BIND | only | flags | kept, ""))?;
    }
    step("leave the old root", unmount(OLD, UnmountFlags::DETACH))?;
    step("leave the old root", std::fs::remove_dir(OLD))?;
    step("make the root read-only", mount_remount("/", MountFlags::BIND | MountFlags::RDONLY | flags, ""))
}

/// Makes the place of an item in the empty root.
fn make(path: &Path, item: &Item) -> Result<(), Broken> {
    let what = || format!("put `{}` in the root", path.display());
    if let Some(parent) = path.parent() {
        step(what(), std::fs::create_dir_all(parent))?;
    }
    let file = || std::fs::File::create_new(path);
    match item {
        Item::Folder => step(what(), std::fs::create_dir_all(path)),
        Item::Link(target) => step(what(), symlink(target, path)),
        Item::Text(text) => step(what(), file().and_then(|mut file| file.write_all(text.as_bytes()))),
        Item::Device => step(what(), file().map(drop)),
        Item::Shown(from) => {
            let from = Path::new(OLD).join(from.strip_prefix("/").unwrap_or(from));
            if step(what(), std::fs::metadata(&from))?.is_dir() {
                step(what(), std::fs::create_dir_all(path))
            } else {
                step(what(), file().map(drop))
            }
        }
    }
}

/// All mounts with those flags that must be kept.
fn mounts() -> Result<Vec<(PathBuf, MountFlags)>, Broken> {
    let table = step("read the table of mounts", std::fs::read(format!("{MACHINE_PROC}/self/mountinfo")))?;
    let mut found = Vec::new();
    for line in table.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b' ').skip(4);
        let (Some(at), Some(options)) = (fields.next(), fields.next()) else { continue };
        let at = PathBuf::from(std::ffi::OsString::from_vec(unescaped(at)));
        let mut flags = MountFlags::empty();
        for option in options.split(|byte| *byte == b',') {
            flags |= match option {
                b"ro" => MountFlags::RDONLY,
                b"nosuid" => MountFlags::NOSUID,
                b"nodev" => MountFlags::NODEV,
                b"noexec" => MountFlags::NOEXEC,
                b"noatime" => MountFlags::NOATIME,
                b"nodiratime" => MountFlags::NODIRATIME,
                b"relatime" => MountFlags::RELATIME,
                _ => MountFlags::empty(),
            };
        }
        found.push((at, flags));
    }
    Ok(found)
}

/// A field of the table of mounts, in which blanks are written `\040`.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < field.len() {
        let octal = field.get(at + 1..at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
        let octal = octal.filter(|_| field[at] == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(byte) = octal {
            bytes.push(byte);
            at += 4;
        } else {
            bytes.push(field[at]);
            at += 1;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unescapes_the_table_of_mounts() {
        assert_eq!(unescaped(br"/a\040b\134c"), br"/a b\c");
        assert_eq!(unescaped(br"/plain\"), br"/plain\");
    }

    #[test]
    fn a_failure_says_what_was_tried() {
        let broken = step("try it", Err::<(), _>(Error::from_raw_os_error(1))).unwrap_err();
        assert_eq!((broken.what.as_str(), broken.error), ("try it", 1));
    }
}
