//! A folder of OSV data: records as JSON files, or the export of an ecosystem, `all.zip`, at any depth. Only
//! records of packages that are asked for are kept. Leaves out matching.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use walkdir::WalkDir;

use crate::bundle::audit::osv::{Package, Record};
use crate::bundle::audit::{canonical_name, ecosystem};
use crate::bundle::content::for_each_chunk;
use crate::bundle::error::Error;
use crate::bundle::json::read_bounded;
use crate::bundle::spec::Component;

/// The largest record, in bytes. The largest that is known has some 3 MB.
const RECORD_BYTES: u64 = 32 * 1024 * 1024;

/// The records about some packages.
#[derive(Debug, Default)]
pub struct Database {
    /// The digest of all files, in hexadecimal.
    pub digest: String,
    /// The newest change, RFC 3339.
    pub last_update: String,
    /// How many records there are, by ecosystem.
    counts: BTreeMap<String, u64>,
    /// The records by id: of two with one id the later one.
    records: BTreeMap<String, Record>,
}

impl Database {
    pub(super) fn records_of(&self, ecosystem: &str) -> u64 {
        self.counts.get(ecosystem).copied().unwrap_or(0)
    }

    pub(super) fn find<'a>(&'a self, ecosystem: &'a str, name: &'a str) -> impl Iterator<Item = &'a Record> {
        self.records.values().filter(move |record| {
            record
                .affected
                .iter()
                .filter_map(|affected| affected.package.as_ref())
                .any(|package| package.ecosystem() == ecosystem && canonical_name(ecosystem, &package.name) == name)
        })
    }

    fn add(&mut self, bytes: &[u8], wanted: &BTreeSet<(String, String)>) -> Result<(), serde_json::Error> {
        let record: Record = serde_json::from_slice(bytes)?;
        if record.modified > self.last_update {
            self.last_update.clone_from(&record.modified);
        }
        let packages = || record.affected.iter().filter_map(|affected| affected.package.as_ref());
        let ecosystems: BTreeSet<&str> = packages().map(Package::ecosystem).collect();
        for name in ecosystems {
            *self.counts.entry(name.to_owned()).or_default() += 1;
        }
        let asked = packages().any(|package| {
            let name = canonical_name(package.ecosystem(), &package.name);
            wanted.contains(&(package.ecosystem().to_owned(), name))
        });
        if record.withdrawn.is_none() && asked {
            let newer = self.records.get(&record.id).is_none_or(|known| known.modified <= record.modified);
            if newer {
                self.records.insert(record.id.clone(), record);
            }
        }
        Ok(())
    }
}

/// The files of a database, by their paths in it.
fn files(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for entry in WalkDir::new(path).sort_by_file_name() {
        let entry = entry.map_err(|error| Error::read("list", path)(error.into()))?;
        if entry.file_type().is_file()
            && ["json", "zip"].iter().any(|end| entry.path().extension().is_some_and(|found| found == *end))
        {
            found.push(entry.into_path());
        }
    }
    if found.is_empty() {
        let why = "it holds neither OSV records (`.json`) nor an export (`all.zip`)".to_owned();
        return Err(Error::Database { path: path.to_owned(), why });
    }
    Ok(found)
}

/// The digest of a database: of the paths and contents of its files.
pub fn hash_database(path: &Path) -> Result<String, Error> {
    let mut all = Sha256::new();
    for file in files(path)? {
        let mut one = Sha256::new();
        let opened = File::open(&file).map_err(Error::read("open", &file))?;
        for_each_chunk(opened, |chunk| {
            one.update(chunk.map_err(Error::read("read", &file))?);
            Ok::<(), Error>(())
        })?;
        let name = file.strip_prefix(path).unwrap_or(&file);
        all.update(format!("{}  {}\n", HEXLOWER.encode(&one.finalize()), name.display()));
    }
    Ok(HEXLOWER.encode(&all.finalize()))
}

/// Reads what a database says of some packages. A record that cannot be read is an error: it might be the
/// one that matters.
pub fn load_database(path: &Path, digest: String, components: &[Component]) -> Result<Database, Error> {
    let wanted: BTreeSet<(String, String)> = components
        .iter()
        .filter_map(|component| {
            let (name, _) = ecosystem(&component.kind)?;
            Some((name.to_owned(), canonical_name(name, &component.name)))
        })
        .collect();
    let mut database = Database { digest, ..Database::default() };
    for file in files(path)? {
        let wrong = |why: String| Error::Database { path: file.clone(), why };
        let opened = File::open(&file).map_err(Error::read("open", &file))?;
        if file.extension().is_some_and(|end| end == "zip") {
            let mut archive =
                zip::ZipArchive::new(io::BufReader::new(opened)).map_err(|error| wrong(error.to_string()))?;
            for at in 0..archive.len() {
                let entry = archive.by_index(at).map_err(|error| wrong(error.to_string()))?;
                let name = entry.name().map_err(|error| wrong(error.to_string()))?.into_owned();
                if Path::new(&name).extension().is_none_or(|end| end != "json") {
                    continue;
                }
                let bytes = bounded(entry).map_err(|why| wrong(format!("`{name}`: {why}")))?;
                database.add(&bytes, &wanted).map_err(|error| wrong(format!("`{name}`: {error}")))?;
            }
        } else {
            let bytes = bounded(opened).map_err(wrong)?;
            database.add(&bytes, &wanted).map_err(|error| wrong(error.to_string()))?;
        }
    }
    Ok(database)
}

fn bounded(reader: impl Read) -> Result<Vec<u8>, String> {
    let bytes = read_bounded(reader, RECORD_BYTES).map_err(|error| error.to_string())?;
    bytes.ok_or_else(|| format!("it is larger than {RECORD_BYTES} bytes"))
}
