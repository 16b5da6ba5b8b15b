//! The documents of a bundle and its files, compared as they stream by: documents come first, and what they list is
//! held against the files in memory that hardly grows with their number. Leaves out what was signed.

use std::io;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::bundle::bits::Bits;
use crate::bundle::code::Code;
use crate::bundle::content::FileFacts;
use crate::bundle::cyclonedx::{CycloneDxFound, CycloneDxReader};
use crate::bundle::manifest::{self, BundleManifest, META, ManifestFile};
use crate::bundle::names::SortedNames;
use crate::bundle::sbom::List;
use crate::bundle::scan::Sink;
use crate::bundle::spdx::{SpdxFound, SpdxReader};
use crate::bundle::stream::{Parts, Splitter};
use crate::bundle::verdict::{Refusal, VerifyLimits};

/// A document that streams by: its reader until something was wrong, and its digest once it has ended.
struct Document<R> {
    reader: Result<R, String>,
    sha256: Option<[u8; 32]>,
}

impl<R> Document<R> {
    fn new(reader: R) -> Self {
        Self { reader: Ok(reader), sha256: None }
    }

    fn feed(&mut self, feed: impl FnOnce(&mut R) -> Result<(), String>) {
        if let Ok(reader) = &mut self.reader
            && let Err(why) = feed(reader)
        {
            self.reader = Err(why);
        }
    }

    fn due(&mut self, due: impl FnOnce(&mut R)) {
        if let Ok(reader) = &mut self.reader {
            due(reader);
        }
    }
}

struct ManifestReader {
    splitter: Splitter,
    lists: ManifestLists,
}

#[derive(Default)]
struct ManifestLists {
    files: List,
    /// Which of them may be executed, by what it says.
    exec: Bits,
    keep: bool,
    kept: Vec<ManifestFile>,
}

impl ManifestLists {
    fn take(&mut self, element: &[u8]) -> Result<(), String> {
        self.files.found(element)?;
        self.exec.push(manifest::says_exec(element));
        if self.keep {
            self.kept.push(serde_json::from_slice(element).map_err(|error| error.to_string())?);
        }
        Ok(())
    }
}

impl ManifestReader {
    fn feed(&mut self, bytes: &[u8]) -> Result<(), String> {
        let lists = &mut self.lists;
        self.splitter.feed(bytes, &mut |_, element| lists.take(element))
    }
}

/// Takes the documents and files of a bundle in the order of the archive.
pub(crate) struct Describing {
    cyclonedx: Document<CycloneDxReader>,
    manifest: Document<ManifestReader>,
    spdx: Document<SpdxReader>,
    /// The SHA-256 of the list of checksums that was found.
    sums: Option<[u8; 32]>,
    /// That of the one that follows from all other entries.
    sums_due: Sha256,
    root: Sha256,
    entries: u64,
    files: u64,
}

/// What the documents and files of a bundle came to.
pub(crate) struct Described {
    /// The SHA-256 of the list of checksums, in hexadecimal.
    pub(crate) sums: String,
    /// Whether it is the one that follows from the other entries.
    pub(crate) sums_fit: bool,
    /// The content root of the files.
    pub(crate) root: String,
    /// How many entries there are.
    pub(crate) entries: u64,
    pub(crate) manifest: Result<ManifestFound, String>,
    pub(crate) spdx: Result<SpdxFound, String>,
    pub(crate) cyclonedx: Result<CycloneDxFound, String>,
    /// The SHA-256 of the two SBOMs.
    pub(crate) spdx_sha256: [u8; 32],
    pub(crate) cyclonedx_sha256: [u8; 32],
}

/// A manifest whose list of files is right but for what may be executed.
pub(crate) struct ManifestFound {
    /// With the files if they were to be kept.
    pub(crate) manifest: BundleManifest,
    /// What of the files may be executed, by what it says.
    pub(crate) exec: Bits,
}

impl Describing {
    /// With `keep`, files and packages that documents list are kept.
    pub(crate) fn new(keep: bool) -> Self {
        let lists = ManifestLists { keep, ..ManifestLists::default() };
        Self {
            cyclonedx: Document::new(CycloneDxReader::new(keep)),
            manifest: Document::new(ManifestReader { splitter: Splitter::new(&manifest::PLAN), lists }),
            spdx: Document::new(SpdxReader::new()),
            sums: None,
            sums_due: Sha256::new(),
            root: Sha256::new(),
            entries: 0,
            files: 0,
        }
    }

    /// More of an entry of `META/`.
    pub(crate) fn document(&mut self, name: &str, bytes: &[u8]) {
        match name {
            manifest::CYCLONEDX => self.cyclonedx.feed(|reader| reader.feed(bytes)),
            manifest::MANIFEST => self.manifest.feed(|reader| reader.feed(bytes)),
            manifest::SPDX => self.spdx.feed(|reader| reader.feed(bytes)),
            _ => {}
        }
    }

    /// An entry has ended. Whether it may be executed is not looked at.
    pub(crate) fn entry(&mut self, facts: &FileFacts) {
        self.entries += 1;
        let line = manifest::sums_line(&facts.path, &facts.sha256);
        match facts.path.as_str() {
            manifest::SUMS => return self.sums = Some(facts.sha256),
            manifest::CYCLONEDX => self.cyclonedx.sha256 = Some(facts.sha256),
            manifest::MANIFEST => self.manifest.sha256 = Some(facts.sha256),
            manifest::SPDX => self.spdx.sha256 = Some(facts.sha256),
            _ => {
                let at = self.files;
                self.cyclonedx.due(|reader| reader.due(facts));
                self.manifest.due(|ManifestReader { lists, .. }| {
                    let exec = lists.exec.get(at);
                    lists.files.due(&manifest::file_element(facts, exec), &facts.path);
                });
                self.spdx.due(|reader| reader.due(at, facts));
                self.root.update(&line);
                self.files += 1;
            }
        }
        self.sums_due.update(&line);
    }

    /// The first document that is missing.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        let there = [self.sums, self.cyclonedx.sha256, self.manifest.sha256, self.spdx.sha256];
        META.iter().zip(there).find(|(_, there)| there.is_none()).map(|(name, _)| *name)
    }

    pub(crate) fn finish(self) -> Described {
        let sums = self.sums.unwrap_or_default();
        Described {
            sums: HEXLOWER.encode(&sums),
            sums_fit: <[u8; 32]>::from(self.sums_due.finalize()) == sums,
            root: HEXLOWER.encode(&self.root.finalize()),
            entries: self.entries,
            manifest: self.manifest.reader.and_then(finish_manifest),
            spdx: self.spdx.reader.and_then(SpdxReader::finish),
            cyclonedx: self.cyclonedx.reader.and_then(CycloneDxReader::finish),
            spdx_sha256: self.spdx.sha256.unwrap_or_default(),
            cyclonedx_sha256: self.cyclonedx.sha256.unwrap_or_default(),
        }
    }
}

fn finish_manifest(reader: ManifestReader) -> Result<ManifestFound, String> {
    let ManifestReader { splitter, mut lists } = reader;
    let Parts { rest, .. } = splitter.finish(&mut |_, element| lists.take(element))?;
    let mut manifest: BundleManifest = serde_json::from_slice(&rest).map_err(|error| error.to_string())?;
    lists.files.check()?;
    manifest.files = lists.kept;
    Ok(ManifestFound { manifest, exec: lists.exec })
}

/// Reads the entries of a bundle from an archive: their names are checked too.
pub(crate) struct Reading {
    pub(crate) describing: Describing,
    names: SortedNames,
    document_bytes: u64,
}

impl Reading {
    /// With `keep`, files and packages that documents list are kept.
    pub(crate) fn new(keep: bool, limits: &VerifyLimits) -> Self {
        let document_bytes = limits.document_bytes;
        Self { describing: Describing::new(keep), names: SortedNames::default(), document_bytes }
    }
}

impl Sink for Reading {
    fn hashes(&self) -> bool {
        true
    }

    fn begin(&mut self, name: &str, size: u64) -> Result<(), Refusal> {
        self.names.add(name).map_err(|error| Refusal::new(Code::B0603, error.to_string()))?;
        let is_meta = META.contains(&name);
        if !is_meta && !name.starts_with("out/") {
            let why = format!("`{name}` is neither a known file of `META/` nor below `out/`");
            return Err(Refusal::new(Code::B0603, why));
        }
        if is_meta && size > self.document_bytes {
            let why = format!("`{name}` is larger than {} bytes", self.document_bytes);
            return Err(Refusal::new(Code::B0604, why));
        }
        Ok(())
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        if name.starts_with("META/") {
            self.describing.document(name, bytes);
        }
        Ok(())
    }

    fn end(&mut self, facts: Option<FileFacts>) {
        if let Some(facts) = facts {
            self.describing.entry(&facts);
        }
    }

    fn done(&mut self) -> Result<(), Refusal> {
        self.names.finish().map_err(|error| Refusal::new(Code::B0603, error.to_string()))?;
        match self.describing.missing() {
            Some(missing) => Err(Refusal::new(Code::B0602, format!("`{missing}` is missing"))),
            None => Ok(()),
        }
    }
}
