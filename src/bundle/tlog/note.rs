//! Checkpoints as signed notes (C2SP signed-note and tlog-checkpoint), signed with Ed25519. A note that we
//! read has the one form that we would write of it, but for signatures of others, which are passed over.
//! Leaves out trees.

use data_encoding::BASE64;
use sha2::{Digest as _, Sha256};

use crate::bundle::error::Error;
use crate::bundle::key::{Algorithm, PublicKey, Signer};
use crate::bundle::tlog::tree::Hash;

/// The type of an Ed25519 signature in a note.
const ED25519: u8 = 1;
/// Signatures one note may hold.
const SIGNATURES: usize = 64;

/// What a log says of itself: so many entries, and this root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name: a URL without its scheme.
    pub origin: String,
    /// How many entries.
    pub size: u64,
    /// The root of the tree.
    pub root: Hash,
}

/// The key of a log with its name: what a checkpoint is checked by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogKey {
    origin: String,
    key: PublicKey,
    id: [u8; 4],
}

/// The id of an Ed25519 key in notes: the first bytes of a hash of name, type and key.
pub fn key_id(name: &str, key: [u8; 32]) -> [u8; 4] {
    let hash = Sha256::new().chain_update(name).chain_update([b'\n', ED25519]).chain_update(key).finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}

impl LogKey {
    /// A log's name and key. The name must be one word without `+`, the key of Ed25519.
    pub fn new(origin: &str, key: PublicKey) -> Result<Self, Error> {
        let why = if origin.is_empty() || origin.len() > 200 {
            "1 to 200 characters are needed"
        } else if origin.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+') {
            "no blanks and no `+` are allowed"
        } else {
            let Some(bytes) = key.ed25519_bytes() else {
                let (found, wanted) = (key.algorithm().word(), Algorithm::Ed25519.word());
                let why = format!("a log is signed by a key of `{wanted}`, and this is one of `{found}`");
                return Err(Error::Signing { keyid: key.keyid().to_owned(), why });
            };
            return Ok(Self { id: key_id(origin, bytes), origin: origin.to_owned(), key });
        };
        Err(Error::Field { what: "log name", text: origin.to_owned(), why })
    }

    /// The name.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The form in which others take it: `NAME+ID+KEY` (C2SP signed-note, verifier keys).
    pub fn vkey(&self) -> String {
        let bytes = self.key.ed25519_bytes().expect("the key of a log is of Ed25519");
        let id = data_encoding::HEXLOWER.encode(&self.id);
        format!("{}+{id}+{}", self.origin, BASE64.encode(&[&[ED25519], &bytes[..]].concat()))
    }
}

impl Checkpoint {
    fn body(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(&self.root))
    }

    /// The note, signed.
    pub fn sign(&self, signer: &dyn Signer) -> Result<String, Error> {
        let log = LogKey::new(&self.origin, PublicKey::of_signer(signer)?)?;
        let body = self.body();
        let signature = signer.sign(body.as_bytes())?;
        let line = BASE64.encode(&[&log.id[..], &signature].concat());
        Ok(format!("{body}\n\u{2014} {} {line}\n", self.origin))
    }

    /// Reads a note that a log signed.
    pub fn open(text: &str, log: &LogKey) -> Result<Self, String> {
        let (body, signatures) = text.rsplit_once("\n\n").ok_or("it is no signed note")?;
        let body = format!("{body}\n");
        let lines: Vec<&str> = signatures.split_inclusive('\n').collect();
        if lines.is_empty() || lines.len() > SIGNATURES {
            return Err(format!("it has {} signatures", lines.len()));
        }
        let mut signed = false;
        for line in lines {
            let malformed = || "a line of signatures is malformed".to_owned();
            let rest = line.strip_prefix("\u{2014} ").and_then(|line| line.strip_suffix('\n')).ok_or_else(malformed)?;
            let (name, encoded) = rest.split_once(' ').ok_or_else(malformed)?;
            let bytes = BASE64.decode(encoded.as_bytes()).map_err(|_| malformed())?;
            let (id, signature) = bytes.split_at_checked(4).ok_or_else(malformed)?;
            if name == log.origin && id == log.id {
                if signed || !log.key.verifies(body.as_bytes(), signature) {
                    return Err(format!("the signature of `{name}` is wrong"));
                }
                signed = true;
            }
        }
        if !signed {
            return Err(format!("the log `{}` did not sign it with the key it is known by", log.origin));
        }
        let checkpoint = Self::parse(&body)?;
        if checkpoint.origin != log.origin {
            return Err(format!("it is of the log `{}`, not of `{}`", checkpoint.origin, log.origin));
        }
        Ok(checkpoint)
    }

    /// Reads the text of a checkpoint. Extension lines are refused: nobody could judge them.
    pub(super) fn parse(body: &str) -> Result<Self, String> {
        let malformed = || "it is no checkpoint: name, size and root are needed".to_owned();
        let mut lines = body.lines();
        let (origin, size, root) = (lines.next(), lines.next(), lines.next());
        let (Some(origin), Some(size), Some(root), None) = (origin, size, root, lines.next()) else {
            return Err(malformed());
        };
        let root = BASE64.decode(root.as_bytes()).ok().and_then(|root| root.try_into().ok()).ok_or_else(malformed)?;
        let checkpoint = Self { origin: origin.to_owned(), size: size.parse().map_err(|_| malformed())?, root };
        if checkpoint.body() == body { Ok(checkpoint) } else { Err(malformed()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::key::PrivateKey;

    #[test]
    fn ids_are_those_of_the_specification() {
        // The verifier key in the example of C2SP signed-note.
        let bytes = BASE64.decode(b"AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k").unwrap();
        let key: [u8; 32] = bytes[1..].try_into().unwrap();
        assert_eq!(bytes[0], ED25519);
        assert_eq!(data_encoding::HEXLOWER.encode(&key_id("example.com/foo", key)), "530d903a");
    }

    #[test]
    fn a_checkpoint_opens_with_the_key_of_its_log_only() {
        let key = PrivateKey::from_seed([5; 32]);
        let checkpoint = Checkpoint { origin: "log.example/a".into(), size: 7, root: [9; 32] };
        let note = checkpoint.sign(&key).unwrap();
        let log = LogKey::new("log.example/a", key.public()).unwrap();
        assert_eq!(Checkpoint::open(&note, &log).unwrap(), checkpoint);
        let other = LogKey::new("log.example/a", PrivateKey::from_seed([6; 32]).public()).unwrap();
        assert!(Checkpoint::open(&note, &other).is_err());
        assert!(Checkpoint::open(&note, &LogKey::new("log.example/b", key.public()).unwrap()).is_err());
        assert!(Checkpoint::open(&note.replace("\n7\n", "\n8\n"), &log).is_err());
        assert!(Checkpoint::open(&note.replace("\n7\n", "\n07\n"), &log).is_err());
        // Signatures of witnesses are passed over.
        let witnessed = format!("{note}\u{2014} witness.example AAAAAAAA\n");
        assert_eq!(Checkpoint::open(&witnessed, &log).unwrap(), checkpoint);
        assert!(LogKey::new("a b", key.public()).is_err());
        assert!(LogKey::new("a", PrivateKey::p256_from_scalar([3; 32]).unwrap().public()).is_err());
    }
}
