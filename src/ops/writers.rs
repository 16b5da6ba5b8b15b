//! Who writes results into the store, and whose results count, as the environment says: it is not the specs, which
//! whoever proposes a change writes. Leaves out what is signed (`store`) and what a refused result leads to (`exec`).
//!
//! Without a word about it everything counts that is in no overlay. With a folder of public keys only results do that
//! one of these signed, or as many of them alike as is asked for. Who writes and is not among them writes into an
//! overlay: its results are found by itself alone, and count for all when one who is trusted makes them too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::{Digest, Environment};
use crate::bundle::{PublicKey, Signer};
use crate::event::Reason;
use crate::exec::Writers;
use crate::ops::Error;
use crate::ops::keys::{KEYS, open_signer, public_keys};
use crate::store::{Claim, Signed};

/// Longest name of an overlay.
const OVERLAY_BYTES: usize = 64;

/// The key that signs what is recorded.
struct Own {
    spki: Vec<u8>,
    key: PublicKey,
    signer: Box<dyn Signer>,
}

/// Whose results count.
struct Trusted {
    /// By their SPKI.
    keys: BTreeMap<Vec<u8>, PublicKey>,
    /// How many must say the same.
    agree: usize,
}

/// What the environment says of writers.
struct Configured {
    own: Option<Own>,
    trusted: Option<Trusted>,
    /// Where what is recorded goes; empty: where it is for all.
    overlay: String,
}

/// Who writes and who counts where this is the state directory.
///
/// # Errors
/// What is said and cannot be had: a key that is not there, a folder without keys, a name that is none.
pub(super) fn writers(state: &Path, environment: &Environment) -> Result<Arc<dyn Writers>, Error> {
    let word = |var| {
        let value = environment.get(var)?;
        Some(value.to_str().ok_or_else(|| Error::usage(format!("`{}` is not UTF-8", var.name))))
    };
    let own = match word(Environment::WRITER).transpose()? {
        None => None,
        Some(name) => {
            let signer = open_signer(&state.join(KEYS), name, environment)?.signer;
            let key = PublicKey::of_signer(signer.as_ref())?;
            Some(Own { spki: key.spki_der().to_vec(), key, signer })
        }
    };
    let trusted = match environment.get(Environment::WRITERS).map(PathBuf::from) {
        None => None,
        // Below the workspace it would be for whoever proposes a change to say who counts.
        Some(dir) if !dir.is_absolute() => {
            let text = format!("`{}` is `{}`, which is not absolute", Environment::WRITERS.name, dir.display());
            return Err(Error::usage_help(text, "name a folder that a change of the workspace cannot change"));
        }
        Some(dir) => Some(trusted(&dir, word(Environment::WRITERS_AGREE).transpose()?)?),
    };
    let overlay = match word(Environment::OVERLAY).transpose()? {
        Some(name) => {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
            if name.len() > OVERLAY_BYTES || !name.bytes().all(fits) {
                return Err(Error::usage_help(
                    format!("`{}` is `{name}`, which does not name an overlay", Environment::OVERLAY.name),
                    format!("letters, digits, `.`, `_`, `-` and `/`; {OVERLAY_BYTES} at most"),
                ));
            }
            name.to_owned()
        }
        None => match (&trusted, &own) {
            (None, _) => String::new(),
            (Some(trusted), Some(own)) if trusted.keys.contains_key(&own.spki) => String::new(),
            // One for each who is not trusted, so that they do not serve each other.
            (Some(_), Some(own)) => format!("key/{}", short(&own.key)),
            (Some(_), None) => {
                let place = Digest::of_blob(state.as_os_str().as_encoded_bytes()).hex();
                format!("state/{}", &place[..16])
            }
        },
    };
    Ok(Arc::new(Configured { own, trusted, overlay }))
}

fn trusted(dir: &Path, agree: Option<&str>) -> Result<Trusted, Error> {
    let keys: BTreeMap<Vec<u8>, PublicKey> =
        public_keys(dir)?.into_values().map(|key| (key.spki_der().to_vec(), key)).collect();
    if keys.is_empty() {
        return Err(Error::usage_help(
            format!("`{}` names `{}`, where no public key is", Environment::WRITERS.name, dir.display()),
            "put the `NAME.pub.pem` of each writer there that counts",
        ));
    }
    let agree = match agree {
        None => 1,
        Some(text) => text.parse().ok().filter(|count| (1..=keys.len()).contains(count)).ok_or_else(|| {
            let name = Environment::WRITERS_AGREE.name;
            Error::usage_help(
                format!("`{name}` is `{text}`"),
                format!("how many writers must say the same: a number from 1 to {}", keys.len()),
            )
        })?,
    };
    Ok(Trusted { keys, agree })
}

/// A key as people are told of it.
fn short(key: &PublicKey) -> &str {
    key.keyid().get(..16).unwrap_or_default()
}

impl Trusted {
    /// The key that a claim is signed by, if that is one of these, or `own`, and the signature is right.
    fn writer<'a>(&'a self, claim: &Claim, own: Option<&'a Own>) -> Result<&'a PublicKey, Reason> {
        let Some(signed) = &claim.signed else { return Err(untrusted("nobody who signed it")) };
        let own = own.filter(|own| own.spki == signed.writer).map(|own| &own.key);
        let Some(key) = self.keys.get(&signed.writer).or(own) else {
            let known = PublicKey::from_spki_der(&signed.writer, "a result").ok();
            return Err(untrusted(known.as_ref().map_or("what is no key", short)));
        };
        if !key.verifies(&claim.statement(), &signed.signature) {
            return Err(Reason::BadSignature { writer: short(key).to_owned() });
        }
        Ok(key)
    }

    /// How many of these say the same as a claim, under no weaker isolation.
    fn agreeing(&self, claim: &Claim, all: &[Claim]) -> usize {
        let same = |other: &&Claim| {
            other.overlay.is_empty() && other.outputs == claim.outputs && other.isolation >= claim.isolation
        };
        let mut writers: Vec<&[u8]> = all
            .iter()
            .filter(same)
            .filter(|other| self.writer(other, None).is_ok())
            .filter_map(|other| Some(other.signed.as_ref()?.writer.as_slice()))
            .collect();
        writers.sort_unstable();
        writers.dedup();
        writers.len()
    }
}

fn untrusted(writer: &str) -> Reason {
    Reason::UntrustedWriter { writer: writer.to_owned() }
}

impl Writers for Configured {
    fn sign(&self, claim: Claim) -> Result<Claim, String> {
        let mut claim = Claim { overlay: self.overlay.clone(), signed: None, ..claim };
        if let Some(own) = &self.own {
            let signature = own.signer.sign(&claim.statement()).map_err(|error| error.to_string())?;
            claim.signed = Some(Signed { writer: own.spki.clone(), signature });
        }
        Ok(claim)
    }

    fn refuse(&self, claim: &Claim, all: &[Claim]) -> Option<Reason> {
        if !claim.overlay.is_empty() && claim.overlay != self.overlay {
            return Some(untrusted(&format!("overlay {}", claim.overlay)));
        }
        let trusted = self.trusted.as_ref()?;
        if !claim.overlay.is_empty() && self.own.is_none() && claim.signed.is_none() {
            // Where nobody has a key, the name of the overlay is all there is to go by.
            return None;
        }
        // What is in no overlay is for all, so that being one's own is not enough.
        let own = self.own.as_ref().filter(|_| !claim.overlay.is_empty());
        let writer = match trusted.writer(claim, own) {
            Ok(writer) => writer,
            Err(reason) => return Some(reason),
        };
        // Nobody needs others to believe what was made here.
        let is_own = self.own.as_ref().is_some_and(|own| own.key == *writer);
        if trusted.agree > 1 && !is_own && trusted.agreeing(claim, all) < trusted.agree {
            return Some(untrusted(&format!("{} alone", short(writer))));
        }
        None
    }
}
