//! The digest: 32 bytes of BLAKE3. Blobs are hashed plainly, so that the digest is usable as a
//! Remote Execution API digest; every other kind of object is hashed under its own key-derivation
//! context, so that no two kinds can collide. Leaves out what is hashed: see `canon` and `tree`.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};

/// A BLAKE3 digest. Displays as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest([u8; 32]);

/// What kind of object a structured digest is over. The context strings are frozen: changing one
/// changes every digest of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// A directory tree, one level of it.
    Tree,
    /// The definition of an action without its dependencies' contents.
    Def,
    /// The static key of an action: its definition and those of its producers.
    StaticKey,
    /// The action key: the only cache key.
    ActionKey,
    /// A whole plan.
    Plan,
    /// A resolved set of tools.
    Tools,
    /// What an action left behind: outputs and exit class.
    Outcome,
    /// A skill: its template and the types of its variables.
    Skill,
    /// One doing of an effect.
    Effect,
    /// A service: what it is started as, with its inputs and tools.
    Service,
    /// A lock file: all packages with all they rest on.
    Lock,
    /// What a writer says of a result.
    Claim,
}

impl Domain {
    /// The BLAKE3 `derive_key` context of this kind of object.
    pub fn context(self) -> &'static str {
        match self {
            Self::Tree => "partita v1 tree",
            Self::Def => "partita v1 def",
            Self::StaticKey => "partita v1 static key",
            Self::ActionKey => "partita v1 action key",
            Self::Plan => "partita v1 plan",
            Self::Tools => "partita v1 tools",
            Self::Outcome => "partita v1 outcome",
            Self::Skill => "partita v1 skill",
            Self::Effect => "partita v1 effect",
            Self::Service => "partita v1 service",
            Self::Lock => "partita v1 lock",
            Self::Claim => "partita v1 claim",
        }
    }
}

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a digest: 64 hexadecimal digits, optionally after `b3:`, are needed")]
pub struct ParseDigestError(pub String);

impl Digest {
    /// The digest of a blob: plain BLAKE3.
    pub fn of_blob(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The digest of an encoded object of the given kind.
    pub fn derive(domain: Domain, encoded: &[u8]) -> Self {
        Self(blake3::derive_key(domain.context(), encoded))
    }

    /// A digest from its bytes, as read from a file of ours.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 lower-case hexadecimal digits.
    pub fn hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }

    /// 64 lower-case hexadecimal digits, without an allocation.
    pub fn hex_digits(&self) -> [u8; 64] {
        let mut digits = [0; 64];
        HEXLOWER.encode_mut(&self.0, &mut digits);
        digits
    }

    /// The first ten hexadecimal digits, for people.
    pub fn short(&self) -> String {
        HEXLOWER.encode(&self.0[..5])
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

/// Computes a digest from bytes that come piece by piece.
#[derive(Clone)]
pub struct Hasher(blake3::Hasher);

impl Hasher {
    /// For [`Digest::of_blob`].
    pub fn of_blob() -> Self {
        Self(blake3::Hasher::new())
    }

    /// For [`Digest::derive`].
    pub fn derive(domain: Domain) -> Self {
        Self(blake3::Hasher::new_derive_key(domain.context()))
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(bytes);
        self
    }

    /// The digest of all bytes taken so far.
    pub fn finish(&self) -> Digest {
        self.0.finalize().into()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b3:{}", self.short())
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = text.strip_prefix("b3:").unwrap_or(text);
        HEXLOWER
            .decode(hex.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| ParseDigestError(text.to_owned()))
    }
}

/// The action key: the only key results are stored under. Displays as `pk1-` and 52 base-32
/// characters; the prefix carries the kind and the schema number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ActionKey(pub Digest);

impl ActionKey {
    /// The number of the schema of the key's fields. It is part of every key.
    pub const SCHEMA: u64 = 1;
}

impl fmt::Display for ActionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pk{}-{}", Self::SCHEMA, BASE32_NOPAD.encode(self.0.as_bytes()).to_ascii_lowercase())
    }
}

impl fmt::Debug for ActionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ActionKey {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_prefix("pk")
            .and_then(|rest| rest.split_once('-'))
            .filter(|(schema, _)| schema.parse::<u64>().is_ok())
            .map(|(_, rest)| rest)
            .and_then(|rest| BASE32_NOPAD.decode(rest.to_ascii_uppercase().as_bytes()).ok())
            .and_then(|bytes| bytes.try_into().ok())
            .map(|bytes| Self(Digest(bytes)))
            .ok_or_else(|| ParseDigestError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms_round_trip() {
        let digest = Digest::of_blob(b"abc");
        assert_eq!(digest.hex(), "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
        assert_eq!(digest.hex().parse::<Digest>(), Ok(digest));
        assert_eq!(digest.hex_digits(), *digest.hex().as_bytes());
        assert_eq!(format!("b3:{digest}").parse::<Digest>(), Ok(digest));
        let key = ActionKey(digest);
        assert_eq!(key.to_string().len(), 4 + 52);
        assert_eq!(key.to_string().parse::<ActionKey>(), Ok(key));
        assert!("b3:64".parse::<Digest>().is_err());
        assert!(digest.hex().to_uppercase().parse::<Digest>().is_err());
    }

    #[test]
    fn domains_are_separate() {
        assert_ne!(Digest::derive(Domain::Def, b"x"), Digest::derive(Domain::Tree, b"x"));
        assert_ne!(Digest::derive(Domain::Def, b"x"), Digest::of_blob(b"x"));
        assert_eq!(Hasher::of_blob().update(b"a").update(b"b").finish(), Digest::of_blob(b"ab"));
        assert_eq!(Hasher::derive(Domain::Def).update(b"x").finish(), Digest::derive(Domain::Def, b"x"));
    }
}
