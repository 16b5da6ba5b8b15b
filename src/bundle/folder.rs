//! Reading a folder into which an archive was extracted, as if it were the archive: every file, and
//! nothing that is not one. Leaves out whether it is what was signed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use walkdir::WalkDir;

use crate::bundle::code::Code;
use crate::bundle::content::for_each_chunk;
use crate::bundle::error::Error;
use crate::bundle::hashes::Hashes;
use crate::bundle::json::read_bounded;
use crate::bundle::manifest::META;
use crate::bundle::names::Names;
use crate::bundle::scan::Contents;
use crate::bundle::verdict::{Refusal, VerifyLimits};

/// Reads a folder. Links, devices, names that no bundle may hold and empty folders are refused.
pub(crate) fn read_folder(folder: &Path, limits: &VerifyLimits) -> Result<Result<Contents, Refusal>, Error> {
    let mut contents = Contents { entries: Vec::new(), meta: BTreeMap::new() };
    let mut names = Names::default();
    let mut folders = BTreeSet::new();
    let refuse = |why: String| Ok(Err(Refusal::new(Code::B0705, why)));
    for item in WalkDir::new(folder).min_depth(1).follow_links(false).sort_by_file_name() {
        let item = item.map_err(|error| Error::read("list", folder)(error.into()))?;
        let shown = item.path().strip_prefix(folder).unwrap_or(item.path());
        let Some(name) = shown.to_str().map(str::to_owned) else {
            return refuse(format!("the name `{}` is not UTF-8", shown.display()));
        };
        if item.file_type().is_dir() {
            folders.insert(name);
            continue;
        }
        if !item.file_type().is_file() {
            return refuse(format!("`{name}` is neither a file nor a folder"));
        }
        if contents.entries.len() as u64 >= limits.entries {
            return refuse(format!("it holds more than {} files", limits.entries));
        }
        if let Err(error) = names.add(&name) {
            return refuse(error.to_string());
        }
        let file = File::open(item.path()).map_err(Error::read("open", item.path()))?;
        let about = file.metadata().map_err(Error::read("look at", item.path()))?;
        let mut hashes = Hashes::new(about.len());
        if META.contains(&name.as_str()) {
            let bytes = read_bounded(&file, limits.document_bytes).map_err(Error::read("read", item.path()))?;
            let Some(bytes) = bytes else {
                return refuse(format!("`{name}` is larger than {} bytes", limits.document_bytes));
            };
            hashes.update(&bytes);
            contents.meta.insert(name.clone(), bytes);
        } else if name.starts_with("out/") {
            for_each_chunk(&file, |chunk| {
                chunk.map(|bytes| hashes.update(bytes)).map_err(Error::read("read", item.path()))
            })?;
        } else {
            return refuse(format!("`{name}` is neither a known file of `META/` nor below `out/`"));
        }
        let exec = about.mode() & 0o100 != 0 && name.starts_with("out/");
        contents.entries.push(hashes.finish(name, exec).0);
    }
    for entry in &contents.entries {
        for (at, _) in entry.path.match_indices('/') {
            folders.remove(&entry.path[..at]);
        }
    }
    if let Some(empty) = folders.first() {
        return refuse(format!("the folder `{empty}` holds nothing"));
    }
    if let Some(missing) = META.iter().find(|name| !contents.meta.contains_key(**name)) {
        return refuse(format!("`{missing}` is missing"));
    }
    contents.entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Ok(contents))
}
