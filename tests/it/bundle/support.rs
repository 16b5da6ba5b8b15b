//! What the tests of bundles share: a store in memory, sample specs, and an encoder of archives that
//! can be told to lie. Leaves out assertions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use data_encoding::{BASE64, HEXLOWER};
use partita::base::{Digest, RelPath, Tree};
use partita::bundle::{
    Built, BundleFile, BundleSpec, Component, DEFAULT_EPOCH, Dependency, Envelope, PAYLOAD_TYPE, Policy, PrivateKey,
    Profile, Signer, Source, ToolIdentity, ToolUse, Verdict, VerifyOptions, Work, build, side_files, verify,
};
use partita::plan::Isolation;
use partita::store::{Cas, Error, Found};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// Blobs in memory.
#[derive(Default)]
pub(crate) struct Blobs {
    blobs: Mutex<BTreeMap<Digest, Vec<u8>>>,
}

impl Blobs {
    /// Swaps the bytes of a blob for others.
    pub(crate) fn damage(&self, digest: Digest, bytes: &[u8]) {
        self.blobs.lock().unwrap().insert(digest, bytes.to_vec());
    }

    pub(crate) fn forget(&self, digest: Digest) {
        self.blobs.lock().unwrap().remove(&digest);
    }
}

impl Cas for Blobs {
    fn put_bytes(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of_blob(bytes);
        self.blobs.lock().unwrap().insert(digest, bytes.to_vec());
        Ok(digest)
    }

    fn put_file(&self, path: &Path) -> Result<(Digest, u64), Error> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        Ok((self.put_bytes(&bytes)?, bytes.len() as u64))
    }

    fn put_tree(&self, tree: &Tree) -> Result<Digest, Error> {
        Ok(tree.digest())
    }

    fn get(&self, digest: Digest) -> Result<Found<Vec<u8>>, Error> {
        Ok(match self.blobs.lock().unwrap().get(&digest) {
            None => Found::Missing,
            Some(bytes) if Digest::of_blob(bytes) != digest => Found::Corrupt,
            Some(bytes) => Found::Whole(bytes.clone()),
        })
    }

    fn get_tree(&self, _digest: Digest) -> Result<Found<Tree>, Error> {
        Ok(Found::Missing)
    }

    fn copy_to(&self, digest: Digest, path: &Path, _exec: bool) -> Result<Found<()>, Error> {
        Ok(match self.get(digest)? {
            Found::Whole(bytes) => {
                std::fs::write(path, bytes).map_err(Error::io("write", path))?;
                Found::Whole(())
            }
            Found::Missing => Found::Missing,
            Found::Corrupt => Found::Corrupt,
        })
    }

    fn contains(&self, digest: Digest) -> bool {
        self.blobs.lock().unwrap().contains_key(&digest)
    }

    fn size(&self, digest: Digest) -> Option<u64> {
        self.blobs.lock().unwrap().get(&digest).map(|bytes| bytes.len() as u64)
    }

    fn scratch(&self) -> Result<PathBuf, Error> {
        let dir = tempfile::tempdir().map_err(Error::io("make a folder in", std::env::temp_dir()))?;
        Ok(dir.keep())
    }

    fn flush(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// The key of most tests.
pub(crate) fn key() -> PrivateKey {
    PrivateKey::from_seed([7; 32])
}

/// A key that nobody trusts.
pub(crate) fn stranger() -> PrivateKey {
    PrivateKey::from_seed([8; 32])
}

/// A spec over files given as (path, bytes, executable).
pub(crate) fn spec_of(cas: &Blobs, files: &[(&str, &[u8], bool)]) -> BundleSpec {
    let files = files.iter().map(|(path, bytes, exec)| {
        let digest = cas.put_bytes(bytes).unwrap();
        (RelPath::new(path).unwrap(), BundleFile { digest, size: bytes.len() as u64, exec: *exec })
    });
    BundleSpec {
        name: "demo".to_owned(),
        version: "1.0.0".to_owned(),
        tenant: "acme".to_owned(),
        graph: "release".to_owned(),
        parameters: BTreeMap::new(),
        source: None,
        plan: Digest::of_blob(b"plan"),
        files: files.collect(),
        tools: Vec::new(),
        inputs: Vec::new(),
        packages: Vec::new(),
        lock: None,
        isolation: Isolation::Full,
        source_date_epoch: DEFAULT_EPOCH,
        components: Vec::new(),
        profile: Profile::default(),
        work: Work::default(),
    }
}

/// As little as a bundle can hold.
pub(crate) fn tiny(cas: &Blobs) -> BundleSpec {
    spec_of(cas, &[("a", b"hi", false)])
}

/// A bundle with everything a bundle can have.
pub(crate) fn rich(cas: &Blobs) -> BundleSpec {
    let large: Vec<u8> = (0..1_500_000_u32).map(|i| (i % 251) as u8).collect();
    let files: &[(&str, &[u8], bool)] = &[
        ("bin/demo", b"#!/bin/sh\necho demo\n", true),
        ("data/empty", b"", false),
        ("data/large.bin", &large, false),
        ("doc/caf\u{e9} au lait.txt", "na\u{ef}ve\n".as_bytes(), false),
    ];
    let mut spec = spec_of(cas, files);
    spec.source = Some(Source {
        repository: "git+https://git.example/acme/specs".to_owned(),
        reference: Some("refs/heads/main".to_owned()),
        commit: Some("0123456789abcdef0123456789abcdef01234567".to_owned()),
    });
    spec.tools = vec![
        ToolUse {
            name: "cc".to_owned(),
            version: "cc (Example) 12.2.0\nCopyright\n".to_owned(),
            supplier: Some("Example Compilers".to_owned()),
            executable: "cc".to_owned(),
            identity: ToolIdentity::Fingerprint(Digest::of_blob(b"cc 12")),
        },
        ToolUse {
            name: "tools/pack".to_owned(),
            version: "0.3".to_owned(),
            supplier: Some("acme".to_owned()),
            executable: "tools/pack.sh".to_owned(),
            identity: ToolIdentity::Executable(Digest::of_blob(b"pack")),
        },
    ];
    spec.inputs = vec![Dependency::blob("src/main.c", Digest::of_blob(b"int main;"))];
    spec.components = vec![Component {
        kind: "cargo".to_owned(),
        name: "itoa".to_owned(),
        version: "1.0.15".to_owned(),
        checksum: Some(("SHA256".to_owned(), HEXLOWER.encode(&Sha256::digest(b"itoa")))),
        supplier: Some("Itoa Authors".to_owned()),
    }];
    spec
}

/// A bundle in a folder of its own.
pub(crate) struct Made {
    pub(crate) dir: TempDir,
    pub(crate) built: Built,
}

impl Made {
    pub(crate) fn new(spec: &BundleSpec, cas: &Blobs, signers: &[&dyn Signer]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let built = build(spec, cas, signers, dir.path()).unwrap();
        Self { dir, built }
    }

    pub(crate) fn tiny() -> Self {
        let cas = Blobs::default();
        Self::new(&tiny(&cas), &cas, &[&key()])
    }

    pub(crate) fn rich() -> Self {
        let cas = Blobs::default();
        Self::new(&rich(&cas), &cas, &[&key()])
    }

    pub(crate) fn zip(&self) -> &Path {
        &self.built.zip.path
    }

    pub(crate) fn verify(&self) -> Verdict {
        self.verify_by(&trusting())
    }

    pub(crate) fn verify_by(&self, policy: &Policy) -> Verdict {
        verify(self.zip(), policy, &VerifyOptions::new("acme")).unwrap()
    }

    /// The lines of the file of envelopes.
    pub(crate) fn lines(&self) -> Vec<String> {
        std::fs::read_to_string(&self.built.intoto.path).unwrap().lines().map(str::to_owned).collect()
    }

    pub(crate) fn write_lines(&self, lines: &[String]) {
        let text = lines.join("\n") + "\n";
        std::fs::write(&self.built.intoto.path, text).unwrap();
    }

    /// The statements of the envelopes.
    pub(crate) fn statements(&self) -> Vec<Value> {
        let payload = |line: &String| {
            let envelope: Value = serde_json::from_str(line).unwrap();
            let bytes = BASE64.decode(envelope["payload"].as_str().unwrap().as_bytes()).unwrap();
            serde_json::from_slice(&bytes).unwrap()
        };
        self.lines().iter().map(payload).collect()
    }

    /// Signs these statements, as canonical bytes, in place of those that are there.
    pub(crate) fn resign(&self, statements: &[Value], signers: &[&dyn Signer]) {
        let payloads: Vec<Vec<u8>> =
            statements.iter().map(|statement| serde_json_canonicalizer::to_vec(statement).unwrap()).collect();
        self.resign_bytes(&payloads, signers);
    }

    /// Signs these payloads in place of those that are there.
    pub(crate) fn resign_bytes(&self, payloads: &[Vec<u8>], signers: &[&dyn Signer]) {
        let lines: Vec<String> = payloads
            .iter()
            .map(|payload| {
                let envelope = Envelope::sign(PAYLOAD_TYPE, payload, signers).unwrap();
                String::from_utf8(envelope.to_line()).unwrap()
            })
            .collect();
        self.write_lines(&lines);
        self.write_sigstore(&lines[0]);
    }

    /// Writes the Sigstore bundle of an envelope, with the signature of its first key.
    pub(crate) fn write_sigstore(&self, line: &str) {
        let mut envelope: Value = serde_json::from_str(line).unwrap();
        envelope["signatures"].as_array_mut().unwrap().truncate(1);
        let bundle = json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"publicKey": {"hint": envelope["signatures"][0]["keyid"]}, "tlogEntries": []},
            "dsseEnvelope": envelope,
        });
        let bytes = serde_json_canonicalizer::to_vec(&bundle).unwrap();
        std::fs::write(side_files(self.zip()).1, bytes).unwrap();
    }

    /// Puts another archive in place and signs statements about it with the trusted key, so that only
    /// the archive itself is left to refuse.
    pub(crate) fn replace_archive(&self, zip: &[u8], sums: &[u8]) {
        std::fs::write(self.zip(), zip).unwrap();
        let mut statements = self.statements();
        for statement in &mut statements {
            statement["subject"][0]["digest"]["sha256"] = json!(sha256(zip));
            statement["subject"][1]["digest"]["sha256"] = json!(sha256(sums));
        }
        self.resign(&statements, &[&key()]);
    }
}

pub(crate) fn trusting() -> Policy {
    Policy::trusting(key().public(), "acme")
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// An entry of an archive, with every lie one may want to tell of it.
#[derive(Clone)]
pub(crate) struct Raw {
    pub(crate) name: Vec<u8>,
    pub(crate) data: Vec<u8>,
    pub(crate) mode: u32,
    /// In the central directory, if another.
    pub(crate) central_name: Option<Vec<u8>>,
    pub(crate) method: u16,
    pub(crate) flags: u16,
    pub(crate) extra: Vec<u8>,
    /// The size as stated, if another.
    pub(crate) size: Option<u32>,
    pub(crate) crc: Option<u32>,
    pub(crate) date: u16,
    /// Not in the central directory.
    pub(crate) hidden: bool,
    /// Only in the central directory, for the local header before.
    pub(crate) overlaps: bool,
}

impl Raw {
    pub(crate) fn new(name: &str, data: &[u8]) -> Self {
        Self {
            name: name.as_bytes().to_vec(),
            data: data.to_vec(),
            mode: 0o100_644,
            central_name: None,
            method: 0,
            flags: if name.is_ascii() { 0 } else { 0x800 },
            extra: Vec::new(),
            size: None,
            crc: None,
            date: 33,
            hidden: false,
            overlaps: false,
        }
    }
}

/// The entries of a canonical archive without ZIP64.
pub(crate) fn unpack(zip: &[u8]) -> Vec<Raw> {
    let mut entries = Vec::new();
    let mut at = 0;
    while zip[at..].starts_with(b"PK\x03\x04") {
        let size = u32::from_le_bytes(zip[at + 18..at + 22].try_into().unwrap()) as usize;
        let length = u16::from_le_bytes(zip[at + 26..at + 28].try_into().unwrap()) as usize;
        let name = String::from_utf8(zip[at + 30..at + 30 + length].to_vec()).unwrap();
        at += 30 + length;
        entries.push(Raw::new(&name, &zip[at..at + size]));
        at += size;
    }
    for entry in &mut entries {
        entry.mode = u32::from_le_bytes(zip[at + 38..at + 42].try_into().unwrap()) >> 16;
        at += 46 + entry.name.len();
    }
    entries
}

/// Writes an archive as told.
pub(crate) fn pack(entries: &[Raw], comment: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    let mut count = 0_u16;
    let mut offset = 0_u32;
    for entry in entries {
        let size = entry.size.unwrap_or(entry.data.len() as u32);
        let common = |name: &[u8]| {
            let mut bytes = Vec::new();
            for number in [10, entry.flags, entry.method, 0, entry.date] {
                bytes.extend(number.to_le_bytes());
            }
            for number in [entry.crc.unwrap_or_else(|| crc32(&entry.data)), size, size] {
                bytes.extend(number.to_le_bytes());
            }
            bytes.extend((name.len() as u16).to_le_bytes());
            bytes.extend((entry.extra.len() as u16).to_le_bytes());
            bytes
        };
        if !entry.overlaps {
            offset = out.len() as u32;
            out.extend(b"PK\x03\x04");
            out.extend(common(&entry.name));
            out.extend(&entry.name);
            out.extend(&entry.extra);
            out.extend(&entry.data);
        }
        if !entry.hidden {
            let name = entry.central_name.as_ref().unwrap_or(&entry.name);
            directory.extend(b"PK\x01\x02");
            directory.extend(0x030a_u16.to_le_bytes());
            directory.extend(common(name));
            directory.extend([0; 6]);
            directory.extend((entry.mode << 16).to_le_bytes());
            directory.extend(offset.to_le_bytes());
            directory.extend(name);
            directory.extend(&entry.extra);
            count += 1;
        }
    }
    let start = out.len() as u32;
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend((comment.len() as u16).to_le_bytes());
    out.extend(comment);
    out
}

/// CRC-32 (ISO 3309), bit by bit: a second implementation.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// The list of checksums over all entries but itself.
pub(crate) fn sums_of(entries: &[Raw]) -> Vec<u8> {
    let others = entries.iter().filter(|entry| entry.name != b"META/SHA256SUMS");
    let line = |entry: &Raw| format!("{}  {}\n", sha256(&entry.data), String::from_utf8_lossy(&entry.name));
    others.map(line).collect::<String>().into_bytes()
}
