//! Making a bundle: archive, envelopes and Sigstore bundle, as a pure function of the spec, the
//! content in the store and the keys. Leaves out what goes in and who may sign.

use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use crate::base::RelPath;
use crate::bundle::content::{FileFacts, sha256_hex, stream};
use crate::bundle::cyclonedx::cyclonedx_document;
use crate::bundle::dsse::{Envelope, sigstore_bundle};
use crate::bundle::error::Error;
use crate::bundle::hashes::Hashes;
use crate::bundle::key::Signer;
use crate::bundle::manifest::{BundleManifest, CYCLONEDX, MANIFEST, META, SPDX, SUMS, sums_line};
use crate::bundle::provenance::{ExternalParameters, Provenance};
use crate::bundle::scan::{Sink, scan};
use crate::bundle::spdx::spdx_document;
use crate::bundle::spec::{BundleFile, BundleSpec, payload_path};
use crate::bundle::statement::{Subject, statement, statement_around, subjects};
use crate::bundle::uri;
use crate::bundle::verdict::{Refusal, VerifyLimits};
use crate::bundle::writer::Archive;
use crate::store::Cas;

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltFile {
    /// Where.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
}

/// A bundle that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The archive.
    pub zip: BuiltFile,
    /// The envelopes, one per line: `.intoto.jsonl`.
    pub intoto: BuiltFile,
    /// The Sigstore bundle of the first: `.sigstore.json`.
    pub sigstore: BuiltFile,
    /// How many files of the payload.
    pub files: usize,
    /// The digest of all content (in-toto `dirHash1`), in hexadecimal.
    pub root: String,
    /// The keys that signed.
    pub keyids: Vec<String>,
}

/// The paths of the two files beside an archive: envelopes and Sigstore bundle.
pub fn side_files(zip: &Path) -> (PathBuf, PathBuf) {
    let beside = |suffix: &str| {
        let mut name = zip.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    (beside(".intoto.jsonl"), beside(".sigstore.json"))
}

/// Where the proof that a transparency log holds the bundle lies, if there is one.
pub fn proof_file(zip: &Path) -> PathBuf {
    let mut name = zip.as_os_str().to_owned();
    name.push(".tlog-proof");
    PathBuf::from(name)
}

/// Makes a bundle in a directory, which is made if missing, replacing one of the same name. Content
/// streams from the store; only the documents of `META/` are held in memory. The archive appears last,
/// so while it is there all of it is there. The Sigstore bundle holds the signature of the first
/// signer.
pub fn build(spec: &BundleSpec, cas: &dyn Cas, signers: &[&dyn Signer], out_dir: &Path) -> Result<Built, Error> {
    let keyids = signer_ids(signers)?;
    spec.check()?;
    std::fs::create_dir_all(out_dir).map_err(Error::write("make the folder", out_dir))?;

    let zip_path = out_dir.join(spec.file_name());
    let Written { temporary, documents, files, root, sha256, size } = write_archive(spec, cas, out_dir)?;
    let subject = subjects(&spec.file_name(), &sha256, &sha256_hex(documents.sums.as_bytes()));
    let envelopes = sign_all(&subject, spec, size, &documents, signers)?;

    let (intoto_path, sigstore_path) = side_files(&zip_path);
    let mut lines = Vec::new();
    for envelope in &envelopes {
        lines.extend(envelope.to_line());
        lines.push(b'\n');
    }
    let first = envelopes.first().expect("provenance is always signed");
    let sigstore = sigstore_bundle(first, &keyids[0]);
    let intoto = write_file(out_dir, intoto_path, &lines)?;
    let sigstore = write_file(out_dir, sigstore_path, &sigstore)?;
    keep(temporary, &zip_path)?;
    let dir = File::open(out_dir).map_err(Error::write("open the folder", out_dir))?;
    dir.sync_all().map_err(Error::write("make durable the folder", out_dir))?;
    let zip = BuiltFile { path: zip_path, size, sha256 };
    Ok(Built { zip, intoto, sigstore, files, root, keyids })
}

/// Makes only the archive of a bundle, unsigned: what it would be, to be compared with one that is.
pub fn build_archive(spec: &BundleSpec, cas: &dyn Cas, out_dir: &Path) -> Result<BuiltFile, Error> {
    spec.check()?;
    std::fs::create_dir_all(out_dir).map_err(Error::write("make the folder", out_dir))?;
    let Written { temporary, sha256, size, .. } = write_archive(spec, cas, out_dir)?;
    let path = out_dir.join(spec.file_name());
    keep(temporary, &path)?;
    Ok(BuiltFile { path, size, sha256 })
}

/// The CycloneDX document of a bundle that is not made yet: of its files, its tools and its packages alone.
pub fn inventory(spec: &BundleSpec, cas: &dyn Cas) -> Result<Vec<u8>, Error> {
    spec.check()?;
    let mut files = Vec::new();
    for (path, file) in &spec.files {
        let name = payload_path(path);
        let mut hashes = Hashes::known(file.size, file.digest);
        stream(cas, &name, *file, &mut |bytes| hashes.update(bytes))?;
        files.push(hashes.finish(name, file.exec).0);
    }
    Ok(cyclonedx_document(spec, &files))
}

fn signer_ids(signers: &[&dyn Signer]) -> Result<Vec<String>, Error> {
    let keyids: Vec<String> = signers.iter().map(|signer| signer.keyid()).collect();
    if keyids.is_empty() {
        return Err(Error::Signers("no key was given".to_owned()));
    }
    let distinct: BTreeSet<&String> = keyids.iter().collect();
    if distinct.len() < keyids.len() {
        return Err(Error::Signers("one key was given twice".to_owned()));
    }
    Ok(keyids)
}

/// The documents of `META/`.
struct Documents {
    sums: String,
    cyclonedx: Vec<u8>,
    manifest: Vec<u8>,
    spdx: Vec<u8>,
}

impl Documents {
    fn new(spec: &BundleSpec, files: &[FileFacts], root: &str) -> Self {
        let cyclonedx = cyclonedx_document(spec, files);
        let external = ExternalParameters::new(spec);
        let manifest = BundleManifest::of_parts(&external, &spec.plan.hex(), root);
        let manifest = manifest.to_json(files.iter().map(|file| (file, file.exec)));
        let spdx = spdx_document(spec, files);
        let mut sums = String::new();
        for (name, document) in [(CYCLONEDX, &cyclonedx), (MANIFEST, &manifest), (SPDX, &spdx)] {
            sums.push_str(&sums_line(name, &Sha256::digest(document).into()));
        }
        sums.extend(files.iter().map(|file| sums_line(&file.path, &file.sha256)));
        Self { sums, cyclonedx, manifest, spdx }
    }

    /// What they will be as long as: all digests in them have one length.
    fn sizes(spec: &BundleSpec) -> [u64; 4] {
        let file = |(path, file): (&RelPath, &BundleFile)| FileFacts {
            path: payload_path(path),
            size: file.size,
            exec: file.exec,
            sha1: [0; 20],
            sha256: [0; 32],
            blake3: file.digest,
        };
        let files: Vec<FileFacts> = spec.files.iter().map(file).collect();
        Self::new(spec, &files, &HEXLOWER.encode(&[0; 32])).all().map(|(_, bytes)| bytes.len() as u64)
    }

    /// In the order of the archive.
    fn all(&self) -> [(&'static str, &[u8]); 4] {
        [(SUMS, self.sums.as_bytes()), (CYCLONEDX, &self.cyclonedx), (MANIFEST, &self.manifest), (SPDX, &self.spdx)]
    }
}

/// An archive that was written to a temporary file.
struct Written {
    temporary: NamedTempFile,
    documents: Documents,
    files: usize,
    root: String,
    sha256: String,
    size: u64,
}

/// Writes the archive to a temporary file and reads it back with the strict reader: what leaves here is canonical or
/// does not leave. Every file is read once: the documents, which come before all files and tell of them, are as long
/// whatever they tell, so their place is left free.
fn write_archive(spec: &BundleSpec, cas: &dyn Cas, out_dir: &Path) -> Result<Written, Error> {
    let temporary = temporary(out_dir)?;
    let path = temporary.path();
    let mut archive = Archive::new(temporary.as_file(), path);
    for (name, size) in META.into_iter().zip(Documents::sizes(spec)) {
        archive.leave(name, size)?;
    }
    let mut files = Vec::new();
    let mut root = Sha256::new();
    for (path, file) in &spec.files {
        let name = payload_path(path);
        let mut hashes = Hashes::known(file.size, file.digest);
        archive.start(&name, file.size, file.exec)?;
        let mut failed = Ok(());
        stream(cas, &name, *file, &mut |bytes| {
            hashes.update(bytes);
            if failed.is_ok() {
                failed = archive.write(bytes);
            }
        })?;
        failed?;
        let (facts, crc32) = hashes.finish(name, file.exec);
        archive.end(crc32)?;
        root.update(sums_line(&facts.path, &facts.sha256));
        files.push(facts);
    }
    let root = HEXLOWER.encode(&root.finalize());
    let documents = Documents::new(spec, &files, &root);
    for (at, (_, bytes)) in documents.all().into_iter().enumerate() {
        archive.fill(at, bytes)?;
    }
    archive.finish()?;

    // Durable while it is read back, which needs the processor alone.
    let (synced, found) = std::thread::scope(|scope| {
        let synced = scope.spawn(|| temporary.as_file().sync_all());
        let found = read_back(path, &files);
        (synced.join(), found)
    });
    synced.unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into())).map_err(Error::write("make durable", path))?;
    let (sha256, size) = found?;
    Ok(Written { documents, files: files.len(), root, sha256, size, temporary })
}

/// Reads an archive with the strict reader. Returns its SHA-256 and size.
fn read_back(path: &Path, files: &[FileFacts]) -> Result<(String, u64), Error> {
    let unlimited =
        VerifyLimits { entries: u64::MAX, name_bytes: u64::MAX, document_bytes: u64::MAX, ..VerifyLimits::default() };
    let file = File::open(path).map_err(Error::write("read back", path))?;
    let mut entries = Entries { files, at: 0, is_right: true };
    let found = scan(file, &unlimited, &mut entries).map_err(Error::write("read back", path))?;
    let failed = |why: String| Error::NotCanonical { path: path.to_owned(), why };
    let layout = found.layout.map_err(|refusal| failed(refusal.reason))?;
    let same = entries.is_right
        && layout.entries == (META.len() + files.len()) as u64
        && files.iter().enumerate().all(|(at, file)| layout.exec.get(at as u64) == file.exec);
    if !same {
        return Err(failed("what is read back is not what was written".to_owned()));
    }
    Ok((HEXLOWER.encode(&found.sha256), found.size))
}

/// The entries that an archive must have, compared as it is read. Their bytes are those that were hashed, by their CRC-32.
struct Entries<'a> {
    files: &'a [FileFacts],
    at: usize,
    is_right: bool,
}

impl Sink for Entries<'_> {
    fn hashes(&self) -> bool {
        false
    }

    fn begin(&mut self, name: &str, size: u64) -> Result<(), Refusal> {
        self.is_right &= match self.at.checked_sub(META.len()) {
            None => name == META[self.at],
            Some(at) => self.files.get(at).is_some_and(|file| file.path == name && file.size == size),
        };
        self.at += 1;
        Ok(())
    }

    fn bytes(&mut self, _: &str, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }

    fn end(&mut self, _: Option<FileFacts>) {}

    fn done(&mut self) -> Result<(), Refusal> {
        Ok(())
    }
}

/// The envelopes in their canonical order: provenance, SPDX, CycloneDX.
fn sign_all(
    subject: &[Subject],
    spec: &BundleSpec,
    size: u64,
    documents: &Documents,
    signers: &[&dyn Signer],
) -> Result<Vec<Envelope>, Error> {
    let payloads = [
        statement(subject, uri::PROVENANCE_TYPE, Provenance::new(spec, size)),
        statement_around(subject, uri::SPDX_TYPE, &documents.spdx),
        statement_around(subject, uri::CYCLONEDX_TYPE, &documents.cyclonedx),
    ];
    payloads.iter().map(|payload| Envelope::sign(uri::PAYLOAD_TYPE, payload, signers)).collect()
}

pub(crate) fn temporary(dir: &Path) -> Result<NamedTempFile, Error> {
    tempfile::Builder::new()
        .prefix(".partita-")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(dir)
        .map_err(Error::write("make a temporary file in", dir))
}

fn write_file(dir: &Path, path: PathBuf, bytes: &[u8]) -> Result<BuiltFile, Error> {
    let mut file = temporary(dir)?;
    file.write_all(bytes).map_err(Error::write("write", &path))?;
    file.as_file().sync_all().map_err(Error::write("make durable", &path))?;
    keep(file, &path)?;
    Ok(BuiltFile { path, size: bytes.len() as u64, sha256: sha256_hex(bytes) })
}

pub(crate) fn keep(file: NamedTempFile, path: &Path) -> Result<(), Error> {
    file.persist(path).map(|_| ()).map_err(|error| Error::write("rename to", path)(error.error))
}
