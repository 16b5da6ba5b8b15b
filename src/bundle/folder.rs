//! Reading a folder into which an archive was extracted, as if it were the archive: every file, and
//! nothing that is not one. Leaves out whether it is what was signed.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use walkdir::{DirEntry, WalkDir};

use crate::bundle::bits::Bits;
use crate::bundle::code::Code;
use crate::bundle::content::{for_each_chunk, open_regular};
use crate::bundle::described::{Described, Reading};
use crate::bundle::error::Error;
use crate::bundle::hashes::Hashes;
use crate::bundle::scan::Sink;
use crate::bundle::verdict::{Refusal, VerifyLimits};

/// The bytes by which an entry of a folder is sorted, so that files come in the order of their whole paths.
fn sorting(entry: &DirEntry) -> Vec<u8> {
    let mut name = entry.file_name().as_encoded_bytes().to_vec();
    if entry.file_type().is_dir() {
        name.push(b'/');
    }
    name
}

/// Reads a folder. Links, devices, names that no bundle may hold and empty folders are refused. What was found, and
/// which files may be executed. All files together may have `most` bytes.
pub(crate) fn read_folder(
    folder: &Path,
    limits: &VerifyLimits,
    most: u64,
) -> Result<Result<(Described, Bits), Refusal>, Error> {
    let mut reading = Reading::new(false, limits);
    let mut exec = Bits::default();
    let mut files = 0_u64;
    let mut bytes_left = most;
    let mut empty: Option<String> = None;
    let refuse = |why: String| Ok(Err(Refusal::new(Code::B0705, why)));
    for item in WalkDir::new(folder).min_depth(1).follow_links(false).sort_by(|a, b| sorting(a).cmp(&sorting(b))) {
        let item = item.map_err(|error| Error::read("list", folder)(error.into()))?;
        let shown = item.path().strip_prefix(folder).unwrap_or(item.path());
        let Some(name) = shown.to_str().map(str::to_owned) else {
            return refuse(format!("the name `{}` is not UTF-8", shown.display()));
        };
        // What comes after a folder lies in it, unless the folder is empty.
        if let Some(before) = empty.take()
            && !name.strip_prefix(&before).is_some_and(|rest| rest.starts_with('/'))
        {
            return refuse(format!("the folder `{before}` holds nothing"));
        }
        if item.file_type().is_dir() {
            empty = Some(name);
            continue;
        }
        if !item.file_type().is_file() {
            return refuse(format!("`{name}` is neither a file nor a folder"));
        }
        if files >= limits.entries {
            return refuse(format!("it holds more than {} files", limits.entries));
        }
        files += 1;
        let file = open_regular(item.path())?;
        let about = file.metadata().map_err(Error::read("look at", item.path()))?;
        if let Err(refusal) = reading.begin(&name, about.len()) {
            return refuse(refusal.reason);
        }
        bytes_left = match bytes_left.checked_sub(about.len()) {
            Some(left) => left,
            None => return refuse(format!("`{name}` is larger than all that was signed")),
        };
        let mut hashes = Hashes::new(about.len());
        for_each_chunk(file.take(about.len()), |chunk| {
            let bytes = chunk.map_err(Error::read("read", item.path()))?;
            hashes.update(bytes);
            reading.bytes(&name, bytes).map_err(Error::read("read", item.path()))
        })?;
        if name.starts_with("out/") {
            exec.push(about.mode() & 0o100 != 0);
        }
        reading.end(Some(hashes.finish(name, false).0));
    }
    if let Some(empty) = empty {
        return refuse(format!("the folder `{empty}` holds nothing"));
    }
    if let Err(refusal) = reading.done() {
        return refuse(refusal.reason);
    }
    Ok(Ok((reading.describing.finish(), exec)))
}
