//! Making a bundle: archive, envelopes and Sigstore bundle, as a pure function of the spec, the
//! content in the store and the keys. Leaves out what goes in and who may sign.

use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::bundle::content::{Blobs, FileFacts, sha256_hex};
use crate::bundle::cyclonedx::cyclonedx_document;
use crate::bundle::dsse::{Envelope, sigstore_bundle};
use crate::bundle::error::Error;
use crate::bundle::hashes::Hashes;
use crate::bundle::key::Signer;
use crate::bundle::manifest::{self, BundleManifest, content_root, sums};
use crate::bundle::provenance::{ExternalParameters, Provenance, Subject, statement, subjects};
use crate::bundle::scan::scan;
use crate::bundle::spdx::spdx_document;
use crate::bundle::spec::{BundleFile, BundleSpec, payload_path};
use crate::bundle::uri;
use crate::bundle::verdict::VerifyLimits;
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

    let mut blobs = Blobs::new(cas);
    let files = read_files(spec, &mut blobs)?;
    let root = content_root(&files);
    let documents = Documents::new(spec, &files, &root);

    let zip_path = out_dir.join(spec.file_name());
    let (temporary, sha256, size) = write_archive(spec, &mut blobs, &files, &documents, out_dir)?;
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
    Ok(Built { zip, intoto, sigstore, files: files.len(), root, keyids })
}

/// Makes only the archive of a bundle, unsigned: what it would be, to be compared with one that is.
pub fn build_archive(spec: &BundleSpec, cas: &dyn Cas, out_dir: &Path) -> Result<BuiltFile, Error> {
    spec.check()?;
    std::fs::create_dir_all(out_dir).map_err(Error::write("make the folder", out_dir))?;
    let mut blobs = Blobs::new(cas);
    let files = read_files(spec, &mut blobs)?;
    let documents = Documents::new(spec, &files, &content_root(&files));
    let (temporary, sha256, size) = write_archive(spec, &mut blobs, &files, &documents, out_dir)?;
    let path = out_dir.join(spec.file_name());
    keep(temporary, &path)?;
    Ok(BuiltFile { path, size, sha256 })
}

/// The CycloneDX document of a bundle that is not made yet: of its files, its tools and its packages alone.
pub fn inventory(spec: &BundleSpec, cas: &dyn Cas) -> Result<Vec<u8>, Error> {
    spec.check()?;
    let files = read_files(spec, &mut Blobs::new(cas))?;
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

/// Reads every file once for its hashes. Sorted by their names in the archive.
fn read_files(spec: &BundleSpec, blobs: &mut Blobs<'_>) -> Result<Vec<FileFacts>, Error> {
    let mut files = Vec::new();
    for (path, file) in &spec.files {
        let name = payload_path(path);
        let mut hashes = Hashes::new(file.size);
        blobs.stream(&name, *file, &mut |bytes| {
            hashes.update(bytes);
            Ok(())
        })?;
        files.push(hashes.finish(name, file.exec).0);
    }
    Ok(files)
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
        let manifest = BundleManifest::of_parts(&external, &spec.plan.hex(), files, root).to_json();
        let spdx = spdx_document(spec, files);
        let meta = [
            (manifest::CYCLONEDX, sha256_hex(&cyclonedx)),
            (manifest::MANIFEST, sha256_hex(&manifest)),
            (manifest::SPDX, sha256_hex(&spdx)),
        ];
        let payload = files.iter().map(|file| (file.path.as_str(), file.sha256_hex()));
        Self { sums: sums(meta.into_iter().chain(payload)), cyclonedx, manifest, spdx }
    }

    /// In the order of the archive.
    fn all(&self) -> [(&'static str, &[u8]); 4] {
        [
            (manifest::SUMS, self.sums.as_bytes()),
            (manifest::CYCLONEDX, &self.cyclonedx),
            (manifest::MANIFEST, &self.manifest),
            (manifest::SPDX, &self.spdx),
        ]
    }
}

/// Writes the archive to a temporary file and reads it back with the strict reader, which is another
/// encoder: what leaves here is canonical or does not leave. Returns its SHA-256 and size.
fn write_archive(
    spec: &BundleSpec,
    blobs: &mut Blobs<'_>,
    files: &[FileFacts],
    documents: &Documents,
    out_dir: &Path,
) -> Result<(NamedTempFile, String, u64), Error> {
    let temporary = temporary(out_dir)?;
    let path = temporary.path().to_owned();
    let file = temporary.as_file().try_clone().map_err(Error::write("open again", &path))?;
    let mut archive = Archive::new(file, &path);
    for (name, bytes) in documents.all() {
        archive.start(name, bytes.len() as u64, false)?;
        archive.write(bytes)?;
    }
    for (file, facts) in spec.files.values().zip(files) {
        archive.start(&facts.path, facts.size, facts.exec)?;
        let blob = BundleFile { digest: facts.blake3, size: facts.size, exec: file.exec };
        blobs.stream(&facts.path, blob, &mut |bytes| archive.write(bytes))?;
    }
    archive.finish()?.sync_all().map_err(Error::write("make durable", &path))?;

    let unlimited =
        VerifyLimits { entries: u64::MAX, name_bytes: u64::MAX, document_bytes: u64::MAX, ..VerifyLimits::default() };
    let file = File::open(&path).map_err(Error::write("read back", &path))?;
    let found = scan(file, &unlimited).map_err(Error::write("read back", &path))?;
    match found.contents {
        Err(refusal) => Err(Error::NotCanonical { path, why: refusal.reason }),
        Ok(contents) if contents.payload() != files => {
            Err(Error::NotCanonical { path, why: "what is read back is not what was written".to_owned() })
        }
        Ok(_) => Ok((temporary, HEXLOWER.encode(&found.sha256), found.size)),
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
    let parsed = |bytes: &[u8]| -> Value { serde_json::from_slice(bytes).expect("canonical JSON is JSON") };
    let payloads = [
        statement(subject, uri::PROVENANCE_TYPE, Provenance::new(spec, size)),
        statement(subject, uri::SPDX_TYPE, parsed(&documents.spdx)),
        statement(subject, uri::CYCLONEDX_TYPE, parsed(&documents.cyclonedx)),
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
