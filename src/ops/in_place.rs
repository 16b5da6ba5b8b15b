//! Spec files that are changed where they stand: what else they are, besides their text, stays as it was.
//! Leaves out what is written.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{Access, OFlags};

use crate::base::Limits;
use crate::ops::Error;

/// The text of a spec file. What is no regular file is refused before anything of it is waited for.
pub(super) fn read_text(path: &Path) -> Result<String, Error> {
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file = std::fs::File::options().read(true).custom_flags(flags).open(path).map_err(Error::io("read", path))?;
    if !file.metadata().map_err(Error::io("read", path))?.is_file() {
        return Err(Error::usage(format!("`{}` is not a regular file", path.display())));
    }
    let mut bytes = Vec::new();
    file.take(Limits::SPEC_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.len() > Limits::SPEC_BYTES {
        return Err(Error::usage(format!("`{}` is larger than 4 MiB", path.display())));
    }
    String::from_utf8(bytes).map_err(|_| Error::usage(format!("`{}` is not UTF-8 text", path.display())))
}

/// Writes a file that is there anew. Links lead where they led, other names of the file see the change, and
/// mode and owner stay. One that is protected from writing is refused, whoever asks.
pub(super) fn write_back(path: &Path, text: &str) -> Result<(), Error> {
    let failed = |source: std::io::Error| Error::Io { what: "write", path: path.to_owned(), source };
    let real = path.canonicalize().map_err(failed)?;
    let metadata = real.metadata().map_err(failed)?;
    if metadata.permissions().readonly() {
        return Err(Error::usage_help(
            format!("`{}` is protected from writing", path.display()),
            format!("if you mean to change it: `chmod u+w {}`", path.display()),
        ));
    }
    rustix::fs::access(&real, Access::WRITE_OK).map_err(|error| failed(error.into()))?;
    // A new file in its place is whole at any moment, but only where nothing is lost by its being new.
    if metadata.nlink() == 1 && replace(&real, &metadata, text).is_some() {
        return Ok(());
    }
    let mut file = std::fs::File::options().write(true).truncate(true).open(&real).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

/// Puts a new file of the same mode and owner in the place of another; `None` if that cannot be.
fn replace(real: &Path, metadata: &std::fs::Metadata, text: &str) -> Option<()> {
    let mut file = tempfile::Builder::new().prefix(".partita-").tempfile_in(real.parent()?).ok()?;
    let mode = metadata.permissions().mode() & 0o7777;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(mode)).ok()?;
    let new = file.as_file().metadata().ok()?;
    if (new.uid(), new.gid()) != (metadata.uid(), metadata.gid()) {
        return None;
    }
    file.write_all(text.as_bytes()).ok()?;
    file.as_file().sync_all().ok()?;
    file.persist(real).ok().map(|_| ())
}
