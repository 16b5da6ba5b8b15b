//! Ed25519 keys: making them, reading them from PEM, signing and verifying. Private keys are written
//! as PKCS#8 v1 (RFC 5208), which OpenSSL 3.0 reads; v1, v2 (RFC 5958) and encrypted ones (PBES2) are
//! read. Public keys are SPKI (RFC 8410). Leaves out where keys are kept and who is trusted.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use pkcs8::LineEnding;
use sha2::{Digest as _, Sha256};

use crate::bundle::error::Error;

/// More than any key file we can use.
const KEY_FILE_BYTES: u64 = 64 * 1024;

/// A signature algorithm. It always comes from the key, never from what is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// Pure Ed25519 (RFC 8032), verified strictly.
    Ed25519,
}

impl Algorithm {
    /// The word in trust policies.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
        }
    }

    /// The algorithm of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        (word == "ed25519").then_some(Self::Ed25519)
    }
}

/// Something that can sign. The process that signs is never the one that runs recipes.
pub trait Signer: Send + Sync {
    /// The algorithm.
    fn algorithm(&self) -> Algorithm;

    /// The public key as SPKI, DER.
    fn public_spki_der(&self) -> Vec<u8>;

    /// The signature over the pre-authentication encoding of an envelope.
    fn sign(&self, pae: &[u8]) -> Result<Vec<u8>, Error>;

    /// The name of the key in envelopes: the SHA-256 of the SPKI DER in hexadecimal. Only a hint.
    fn keyid(&self) -> String {
        keyid_of(&self.public_spki_der())
    }
}

fn keyid_of(spki_der: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(spki_der))
}

/// A public key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
    spki_der: Vec<u8>,
    keyid: String,
}

impl PublicKey {
    /// Reads an SPKI in PEM. `origin` names the file in errors.
    pub fn from_pem(text: &str, origin: &str) -> Result<Self, Error> {
        let key = VerifyingKey::from_public_key_pem(text).map_err(|error| format(origin, "public key", &error))?;
        Self::of(key, origin)
    }

    /// Reads a PEM file.
    pub fn from_pem_file(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::key_file("open", path))?;
        let text = read_text(file, path, "public key")?;
        Self::from_pem(&text, &path.display().to_string())
    }

    /// Reads an SPKI in DER.
    pub fn from_spki_der(der: &[u8], origin: &str) -> Result<Self, Error> {
        let key = VerifyingKey::from_public_key_der(der).map_err(|error| format(origin, "public key", &error))?;
        Self::of(key, origin)
    }

    /// The public half of a signer.
    pub fn of_signer(signer: &dyn Signer) -> Result<Self, Error> {
        Self::from_spki_der(&signer.public_spki_der(), &signer.keyid())
    }

    fn of(key: VerifyingKey, origin: &str) -> Result<Self, Error> {
        if key.is_weak() {
            return Err(format(origin, "public key", &"it is a point of small order"));
        }
        let spki_der = key.to_public_key_der().map_err(|error| format(origin, "public key", &error))?.into_vec();
        let keyid = keyid_of(&spki_der);
        Ok(Self { key, spki_der, keyid })
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        Algorithm::Ed25519
    }

    /// The SPKI, DER.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// The SPKI in PEM.
    pub fn to_pem(&self) -> String {
        self.key.to_public_key_pem(LineEnding::LF).expect("an ed25519 SPKI has a PEM form")
    }

    /// The SHA-256 of the SPKI DER in hexadecimal.
    pub fn keyid(&self) -> &str {
        &self.keyid
    }

    /// Whether the signature is right: strictly, so no second signature of a message can be made from
    /// a first one.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| self.key.verify_strict(message, &signature).is_ok())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey(ed25519 {})", self.keyid)
    }
}

/// An Ed25519 private key in memory. It is wiped when dropped and never shown.
pub struct PrivateKey {
    key: SigningKey,
}

impl PrivateKey {
    /// A new key from the system's random numbers.
    pub fn generate() -> Result<Self, Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)
            .map_err(|error| Error::Signing { keyid: "to be made".to_owned(), why: error.to_string() })?;
        Ok(Self::from_seed(seed))
    }

    /// The key of a seed. For tests and for reproducing a key that is known elsewhere.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self { key: SigningKey::from_bytes(&seed) }
    }

    /// Reads a private key in PEM: PKCS#8 v1 or v2, or encrypted with the passphrase given. A plain
    /// key must not be readable by group or others.
    pub fn from_pem_file(path: &Path, passphrase: Option<&[u8]>) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::key_file("open", path))?;
        let mode = file.metadata().map_err(Error::key_file("look at", path))?.mode() & 0o7777;
        let text = zeroizing(read_text(file, path, "private key")?);
        if text.trim_start().starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
            let passphrase = passphrase.ok_or_else(|| Error::PassphraseNeeded { path: path.to_owned() })?;
            let key = SigningKey::from_pkcs8_encrypted_pem(&text, passphrase)
                .map_err(|error| Error::Passphrase { path: path.to_owned(), why: error.to_string() })?;
            return Ok(Self { key });
        }
        if mode & 0o077 != 0 {
            return Err(Error::KeyMode { path: path.to_owned(), mode });
        }
        let key = SigningKey::from_pkcs8_pem(&text)
            .map_err(|error| format(&path.display().to_string(), "private key", &error))?;
        Ok(Self { key })
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey::of(self.key.verifying_key(), "a private key").expect("a key made from a seed is of full order")
    }
}

impl Signer for PrivateKey {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Ed25519
    }

    fn public_spki_der(&self) -> Vec<u8> {
        self.public().spki_der
    }

    fn sign(&self, pae: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.key.sign(pae).to_bytes().to_vec())
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(of {})", keyid_of(&self.public_spki_der()))
    }
}

/// The two files of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFiles {
    /// The private key, mode 0600: `NAME.key.pem`.
    pub private: PathBuf,
    /// The public key: `NAME.pub.pem`.
    pub public: PathBuf,
    /// The public key itself.
    pub key: PublicKey,
}

/// The paths of a key's files, private and public.
pub fn key_paths(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
    (dir.join(format!("{name}.key.pem")), dir.join(format!("{name}.pub.pem")))
}

/// Makes a key and writes both its files into `dir`, which is made if missing. An existing file is
/// never replaced.
pub fn generate_key(dir: &Path, name: &str) -> Result<KeyFiles, Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.chars().all(plain) {
        let why = "1 to 100 of letters, digits, `-`, `_` and `.` are needed, not starting with `.`";
        return Err(Error::Field { what: "key name", text: name.to_owned(), why });
    }
    let (private, public) = key_paths(dir, name);
    std::fs::create_dir_all(dir).map_err(Error::key_file("make the folder of", &private))?;
    if public.try_exists().map_err(Error::key_file("look for", &public))? {
        return Err(Error::KeyExists { path: public });
    }
    let key = PrivateKey::generate()?;
    // Version 1: without the public half, which OpenSSL 3.0 refuses to read.
    let pem = KeypairBytes { secret_key: key.key.to_bytes(), public_key: None }
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|error| format(&private.display().to_string(), "private key", &error))?;
    write_new(&private, pem.as_bytes(), 0o600)?;
    let public_key = key.public();
    write_new(&public, public_key.to_pem().as_bytes(), 0o644)?;
    Ok(KeyFiles { private, public, key: public_key })
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(|error| {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            Error::KeyExists { path: path.to_owned() }
        } else {
            Error::key_file("write", path)(error)
        }
    })?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Error::key_file("write", path))
}

fn read_text(file: File, path: &Path, wanted: &'static str) -> Result<String, Error> {
    let mut bytes = Vec::new();
    file.take(KEY_FILE_BYTES).read_to_end(&mut bytes).map_err(Error::key_file("read", path))?;
    String::from_utf8(bytes).map_err(|_| format(&path.display().to_string(), wanted, &"it is not text"))
}

fn zeroizing(text: String) -> pkcs8::der::zeroize::Zeroizing<String> {
    pkcs8::der::zeroize::Zeroizing::new(text)
}

fn format(origin: &str, wanted: &'static str, why: &dyn fmt::Display) -> Error {
    Error::KeyFormat { origin: origin.to_owned(), wanted, why: why.to_string() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::bundle::code::Code;

    #[test]
    fn generated_keys_are_read_back_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let files = generate_key(dir.path(), "release").unwrap();
        assert_eq!(std::fs::metadata(&files.private).unwrap().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&files.private).unwrap();
        // 48 bytes of DER, so 64 characters: PKCS#8 v1 without a public half.
        assert_eq!(text.lines().nth(1).unwrap().len(), 64);
        assert_eq!(text.lines().count(), 3);
        let key = PrivateKey::from_pem_file(&files.private, None).unwrap();
        assert_eq!(key.public(), files.key);
        assert_eq!(PublicKey::from_pem_file(&files.public).unwrap(), files.key);
        let signature = key.sign(b"pae").unwrap();
        assert!(files.key.verifies(b"pae", &signature));
        assert!(!files.key.verifies(b"pai", &signature));
        assert_eq!(generate_key(dir.path(), "release").unwrap_err().code(), Code::B0207);
        assert_eq!(generate_key(dir.path(), "../x").unwrap_err().code(), Code::B0106);
    }

    #[test]
    fn a_plain_key_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let files = generate_key(dir.path(), "k").unwrap();
        std::fs::set_permissions(&files.private, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(PrivateKey::from_pem_file(&files.private, None).unwrap_err().code(), Code::B0202);
    }

    #[test]
    fn version_2_and_damaged_keys() {
        let dir = tempfile::tempdir().unwrap();
        let key = PrivateKey::from_seed([7; 32]);
        let path = dir.path().join("v2.pem");
        write_new(&path, key.key.to_pkcs8_pem(LineEnding::LF).unwrap().as_bytes(), 0o600).unwrap();
        assert_eq!(PrivateKey::from_pem_file(&path, None).unwrap().public(), key.public());
        let path = dir.path().join("bad.pem");
        write_new(&path, b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0o600).unwrap();
        assert_eq!(PrivateKey::from_pem_file(&path, None).unwrap_err().code(), Code::B0203);
    }

    #[test]
    fn keys_of_small_order_and_loose_signatures_are_refused() {
        // The identity point as a public key: any message would verify loosely.
        let mut der = PrivateKey::from_seed([1; 32]).public().spki_der().to_vec();
        let at = der.len() - 32;
        der[at..].fill(0);
        der[at] = 1;
        assert_eq!(PublicKey::from_spki_der(&der, "test").unwrap_err().code(), Code::B0203);
        // s + L is the same scalar: a second signature of the same message.
        let key = PrivateKey::from_seed([2; 32]);
        let mut signature = key.sign(b"m").unwrap();
        let order: [u8; 32] = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let mut carry = 0;
        for (byte, add) in signature[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            *byte = sum as u8;
            carry = sum >> 8;
        }
        assert!(!key.public().verifies(b"m", &signature));
    }
}
