//! Keys in files: private ones as PKCS#8 v1 (RFC 5208) in PEM, which OpenSSL 3.0 reads, plain or encrypted
//! (PBES2 with scrypt); v1, v2 (RFC 5958) and PBES2 with PBKDF2 are read too. Public ones are SPKI in PEM.
//! Leaves out where passphrases come from.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use pkcs8::LineEnding;
use pkcs8::der::zeroize::Zeroizing;

use crate::bundle::error::Error;
use crate::bundle::key::{Algorithm, PrivateKey, PublicKey, Signing, format};

/// More than any key file we can use.
const KEY_FILE_BYTES: u64 = 64 * 1024;

impl PublicKey {
    /// Reads a PEM file.
    pub fn from_pem_file(path: &Path) -> Result<Self, Error> {
        Self::read_pem_file(path).map(|(key, _)| key)
    }

    /// Reads a PEM file, and returns the text too.
    pub fn read_pem_file(path: &Path) -> Result<(Self, String), Error> {
        let file = File::open(path).map_err(Error::key_file("open", path))?;
        let text = read_text(file, path, "public key")?;
        Ok((Self::from_pem(&text, &path.display().to_string())?, text))
    }
}

impl PrivateKey {
    /// Reads a private key in PEM: PKCS#8 v1 or v2, or encrypted with the passphrase given. A plain
    /// key must not be readable by group or others.
    pub fn from_pem_file(path: &Path, passphrase: Option<&[u8]>) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::key_file("open", path))?;
        let mode = file.metadata().map_err(Error::key_file("look at", path))?.mode() & 0o7777;
        let text = Zeroizing::new(read_text(file, path, "private key")?);
        if mode & 0o077 != 0 && !is_encrypted(&text) {
            return Err(Error::KeyMode { path: path.to_owned(), mode });
        }
        Self::from_pem(&text, passphrase, &path.display().to_string())
    }

    /// Reads a private key in PEM from anywhere; `origin` names the place in errors.
    pub fn from_pem(text: &str, passphrase: Option<&[u8]>, origin: &str) -> Result<Self, Error> {
        if is_encrypted(text) {
            let passphrase = passphrase.ok_or_else(|| Error::PassphraseNeeded { origin: origin.to_owned() })?;
            let (_, document) =
                pkcs8::SecretDocument::from_pem(text).map_err(|error| format(origin, "private key", &error))?;
            let info = pkcs8::EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
                .map_err(|error| format(origin, "private key", &error))?;
            let opened = info
                .decrypt(passphrase)
                .map_err(|error| Error::Passphrase { origin: origin.to_owned(), why: error.to_string() })?;
            return of_der(opened.as_bytes(), origin);
        }
        let (label, document) =
            pkcs8::SecretDocument::from_pem(text).map_err(|error| format(origin, "private key", &error))?;
        if label != "PRIVATE KEY" {
            let why = format!("it is a `{label}`; `openssl pkcs8 -topk8` makes it one");
            return Err(format(origin, "private key", &why));
        }
        of_der(document.as_bytes(), origin)
    }

    /// The key in PEM, PKCS#8 v1: encrypted if there is a passphrase.
    fn to_pem(&self, passphrase: Option<&[u8]>) -> Result<Zeroizing<String>, pkcs8::Error> {
        let write = |key: &dyn EncodeKey| match passphrase {
            Some(passphrase) => key.encrypted(passphrase),
            None => key.plain(),
        };
        match &self.key {
            // Without the public half, which OpenSSL 3.0 refuses to read.
            Signing::Ed25519(key) => write(&KeypairBytes { secret_key: key.to_bytes(), public_key: None }),
            Signing::P256(key) => write(key),
        }
    }
}

/// The part of `EncodePrivateKey` that is needed, as an object.
trait EncodeKey {
    fn plain(&self) -> Result<Zeroizing<String>, pkcs8::Error>;
    fn encrypted(&self, passphrase: &[u8]) -> Result<Zeroizing<String>, pkcs8::Error>;
}

impl<K: EncodePrivateKey> EncodeKey for K {
    fn plain(&self) -> Result<Zeroizing<String>, pkcs8::Error> {
        self.to_pkcs8_pem(LineEnding::LF)
    }

    fn encrypted(&self, passphrase: &[u8]) -> Result<Zeroizing<String>, pkcs8::Error> {
        self.to_pkcs8_encrypted_pem(passphrase, LineEnding::LF)
    }
}

fn is_encrypted(text: &str) -> bool {
    text.trim_start().starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----")
}

fn of_der(der: &[u8], origin: &str) -> Result<PrivateKey, Error> {
    let ed25519 = ed25519_dalek::SigningKey::from_pkcs8_der(der).map(Signing::Ed25519);
    let key = ed25519.or_else(|first| {
        let p256 = p256::ecdsa::SigningKey::from_pkcs8_der(der).map(Signing::P256);
        p256.map_err(|_| first)
    });
    key.map(|key| PrivateKey { key }).map_err(|error| format(origin, "private key", &error))
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

/// Checks that a text can name a key.
pub fn check_key_name(name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.chars().all(plain) {
        let why = "1 to 100 of letters, digits, `-`, `_` and `.` are needed, not starting with `.`";
        return Err(Error::Field { what: "key name", text: name.to_owned(), why });
    }
    Ok(())
}

/// Makes a key and writes both its files into `dir`, which is made if missing. With a passphrase the
/// private one is encrypted. An existing file is never replaced.
pub fn generate_key(
    dir: &Path,
    name: &str,
    algorithm: Algorithm,
    passphrase: Option<&[u8]>,
) -> Result<KeyFiles, Error> {
    check_key_name(name)?;
    let (private, public) = key_paths(dir, name);
    std::fs::create_dir_all(dir).map_err(Error::key_file("make the folder of", &private))?;
    if public.try_exists().map_err(Error::key_file("look for", &public))? {
        return Err(Error::KeyExists { path: public });
    }
    let key = PrivateKey::generate(algorithm)?;
    let pem = key.to_pem(passphrase).map_err(|error| format(&private.display().to_string(), "private key", &error))?;
    write_new(&private, pem.as_bytes(), 0o600)?;
    let public_key = key.public();
    write_new(&public, public_key.to_pem().as_bytes(), 0o644)?;
    Ok(KeyFiles { private, public, key: public_key })
}

/// Writes the public file of a key whose private half is kept elsewhere. An existing file is never
/// replaced.
pub fn write_public_key(dir: &Path, name: &str, key: &PublicKey) -> Result<PathBuf, Error> {
    check_key_name(name)?;
    let (_, public) = key_paths(dir, name);
    std::fs::create_dir_all(dir).map_err(Error::key_file("make the folder of", &public))?;
    write_new(&public, key.to_pem().as_bytes(), 0o644)?;
    Ok(public)
}

pub(super) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
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
