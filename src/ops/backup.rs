//! Backup and restore of a workspace's state: history, ledger, cassette, consent, journals and keys, as one archive.
//! Databases are copied whole while others use them. Leaves out the store, which is a cache.

use std::fs::File;
use std::io::{Read, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path};

use tar::{Archive, Builder, EntryType, Header};
use walkdir::WalkDir;

use crate::base::{Digest, Hasher};
use crate::ops::Error;
use crate::store::copy_database;

/// The first entry of an archive, and what it holds.
const MARK: (&str, &str) = ("partita-state", "2\n");
/// The last entry: a line for each file, with its digest, its mode and its name.
const SUMS: &str = "partita-sums";

/// What was saved or brought back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupReply {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Whether a file is made again by itself, or goes with a database.
fn is_left_out(name: &str) -> bool {
    let of_database = [".sqlite-wal", ".sqlite-shm", ".sqlite-journal", ".lock"];
    name == "files.cache" || name.starts_with("memo/") || of_database.iter().any(|end| name.ends_with(end))
}

/// Writes a state directory into an archive, which only its owner may read: signing keys are in it.
pub fn backup_state(state: &Path, to: &Path) -> Result<BackupReply, Error> {
    if !state.is_dir() {
        return Err(Error::usage(format!("there is no state directory `{}`", state.display())));
    }
    let dir = to.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let scratch = tempfile::tempdir_in(dir).map_err(Error::io("make a folder in", dir))?;
    let copy = scratch.path().join("copy.sqlite");
    let part = scratch.path().join("state.tar");
    let file = File::options().write(true).create_new(true).mode(0o600).open(&part);
    let mut archive = Builder::new(file.map_err(Error::io("write", &part))?);
    let mut reply = BackupReply::default();
    let mut sums = String::new();
    let failed = || Error::io("write", &part);
    add(&mut archive, MARK.0, 0o644, MARK.1.as_bytes()).map_err(failed())?;
    for entry in WalkDir::new(state).min_depth(1).sort_by_file_name() {
        let entry = entry.map_err(|error| Error::Internal(format!("cannot list the state directory: {error}")))?;
        let path = entry.path().strip_prefix(state).unwrap_or(entry.path());
        let Some(name) = path.to_str() else { continue };
        if !entry.file_type().is_file() || is_left_out(name) {
            continue;
        }
        let from = if name.ends_with(".sqlite") {
            let _ = std::fs::remove_file(&copy);
            copy_database(entry.path(), &copy)?;
            copy.as_path()
        } else {
            entry.path()
        };
        let mut bytes = Vec::new();
        let mode = match File::open(from).and_then(|mut file| {
            file.read_to_end(&mut bytes)?;
            Ok(std::fs::symlink_metadata(entry.path())?.permissions().mode() & 0o777)
        }) {
            Ok(mode) => mode,
            // A run that is under way has taken it away meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::io("read", from)(error)),
        };
        add(&mut archive, &format!("state/{name}"), mode, &bytes).map_err(failed())?;
        sums.push_str(&sum(Digest::of_blob(&bytes), mode, name));
        reply.files += 1;
        reply.bytes += bytes.len() as u64;
    }
    add(&mut archive, SUMS, 0o644, sums.as_bytes()).map_err(failed())?;
    let file = archive.into_inner().map_err(failed())?;
    file.sync_all().map_err(failed())?;
    std::fs::rename(&part, to).map_err(Error::io("put in place", to))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("make durable", dir))?;
    Ok(reply)
}

/// The line of a file. A name may hold anything but what would make it two lines.
fn sum(digest: Digest, mode: u32, name: &str) -> String {
    format!("{} {mode:o} {}\n", digest.hex(), name.escape_default())
}

fn add(archive: &mut Builder<File>, name: &str, mode: u32, bytes: &[u8]) -> std::io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    header.set_mtime(0);
    archive.append_data(&mut header, name, bytes)
}

fn copy(from: &mut impl Read, to: &mut File, hasher: &mut Hasher) -> std::io::Result<u64> {
    let mut buffer = vec![0; 64 * 1024];
    let mut copied = 0;
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(copied),
            count => {
                hasher.update(&buffer[..count]);
                to.write_all(&buffer[..count])?;
                copied += count as u64;
            }
        }
    }
}

/// Makes a state directory from an archive. There must be none yet, or an empty one.
pub fn restore_state(from: &Path, state: &Path) -> Result<BackupReply, Error> {
    let is_empty =
        WalkDir::new(state).min_depth(1).sort_by_file_name().into_iter().next().is_none_or(|first| first.is_err());
    if state.exists() && !is_empty {
        return Err(Error::usage_help(
            format!("the state directory `{}` is not empty", state.display()),
            "move it away, or name another one: `--state DIR`",
        ));
    }
    let dir = state.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).map_err(Error::io("make", dir))?;
    let scratch = tempfile::tempdir_in(dir).map_err(Error::io("make a folder in", dir))?;
    let new = scratch.path().join("state");
    std::fs::create_dir(&new).map_err(Error::io("make", &new))?;
    let file = File::open(from).map_err(Error::io("read", from))?;
    let foreign = || Error::usage(format!("`{}` is no backup of a state directory, or a damaged one", from.display()));
    let mut archive = Archive::new(file);
    let mut reply = BackupReply::default();
    let mut marked = false;
    let (mut sums, mut said) = (String::new(), None);
    for entry in archive.entries().map_err(|_| foreign())? {
        let mut entry = entry.map_err(|_| foreign())?;
        let path = entry.path().map_err(|_| foreign())?.into_owned();
        if !marked {
            let mut text = String::new();
            let read = (&mut entry).take(64).read_to_string(&mut text);
            if path.to_str() != Some(MARK.0) || read.is_err() || text != MARK.1 {
                return Err(foreign());
            }
            marked = true;
            continue;
        }
        if said.is_some() {
            return Err(foreign());
        }
        if path.to_str() == Some(SUMS) {
            // As many bytes as were counted, and one that would be too many.
            let mut text = String::new();
            (&mut entry).take(sums.len() as u64 + 1).read_to_string(&mut text).map_err(|_| foreign())?;
            said = Some(text);
            continue;
        }
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        let Some(below) = path.strip_prefix("state").ok().filter(|below| plain && !below.as_os_str().is_empty()) else {
            return Err(foreign());
        };
        if entry.header().entry_type() != EntryType::Regular {
            return Err(foreign());
        }
        let dest = new.join(below);
        let parent = dest.parent().unwrap_or(&new);
        std::fs::create_dir_all(parent).map_err(Error::io("make", parent))?;
        let mode = entry.header().mode().map_err(|_| foreign())? & 0o777;
        let written = File::options().write(true).create_new(true).mode(mode).open(&dest);
        let mut written = written.map_err(Error::io("write", &dest))?;
        let size = entry.size();
        let mut hasher = Hasher::of_blob();
        let copied = copy(&mut entry, &mut written, &mut hasher).map_err(Error::io("write", &dest))?;
        if copied != size {
            return Err(foreign());
        }
        sums.push_str(&sum(hasher.finish(), mode, below.to_str().ok_or_else(foreign)?));
        written.sync_all().map_err(Error::io("write", &dest))?;
        reply.files += 1;
        reply.bytes += copied;
    }
    // Nothing is in its place yet: a backup of which one bit is otherwise is not brought back.
    if !marked || said.as_ref() != Some(&sums) {
        return Err(foreign());
    }
    if state.exists() {
        std::fs::remove_dir(state).map_err(Error::io("replace", state))?;
    }
    std::fs::rename(&new, state).map_err(Error::io("put in place", state))?;
    Ok(reply)
}
