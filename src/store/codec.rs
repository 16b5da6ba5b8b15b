//! The written form of a claim: length-prefixed fields, sealed by a hash, so that a damaged row is
//! told from a sound one, which SQLite does not do. Leaves out where it is kept.
//!
//! A row's body is a version byte, then: the number of outputs (u64 little-endian); for each its
//! name and, as in an encoded tree, its kind byte and facts; the two digests of the logs; the
//! manifest; the isolation; the duration; the run; the address. Version 2, of what is in an overlay or
//! signed, has the overlay after that, the writer's public key and its signature, both empty if nobody
//! signed. Texts are (u64 length, bytes). The key and the time are columns of their own, and sealed with
//! the body.

use crate::base::{ActionKey, Digest, Domain, Entry, Hasher};
use crate::store::{Claim, ClaimOutput, Signed};

const VERSION: u8 = 1;
/// Of claims in an overlay, or signed.
const WRITTEN_BY: u8 = 2;

/// A claim ready to be written.
pub(super) struct SealedClaim {
    pub(super) key: ActionKey,
    pub(super) created: i64,
    /// Equal for claims of one key that say the same.
    pub(super) same: [u8; 32],
    pub(super) body: Vec<u8>,
    pub(super) seal: [u8; 32],
}

/// What tells claims of one key apart: outputs and isolation; overlay and writer, so that nobody takes the
/// place of another.
pub(super) fn sameness(claim: &Claim) -> [u8; 32] {
    let mut out = Vec::with_capacity(64 * claim.outputs.len() + 8);
    put_outputs(&mut out, &claim.outputs);
    out.push(claim.isolation);
    if !claim.overlay.is_empty() || claim.signed.is_some() {
        put_text(&mut out, &claim.overlay);
        put_bytes(&mut out, claim.signed.as_ref().map_or(&[], |signed| &signed.writer));
    }
    *Digest::of_blob(&out).as_bytes()
}

/// Encodes and seals.
pub(super) fn seal(claim: &Claim) -> SealedClaim {
    let is_plain = claim.overlay.is_empty() && claim.signed.is_none();
    let mut out = Vec::with_capacity(256 + claim.manifest.len());
    out.push(if is_plain { VERSION } else { WRITTEN_BY });
    put_said(&mut out, claim);
    if !is_plain {
        put_text(&mut out, &claim.overlay);
        let (writer, signature) = claim.signed.as_ref().map_or((&[][..], &[][..]), |s| (&s.writer, &s.signature));
        put_bytes(&mut out, writer);
        put_bytes(&mut out, signature);
    }
    let seal = seal_of(claim.key, claim.created, &out);
    SealedClaim { key: claim.key, created: claim.created, same: sameness(claim), body: out, seal }
}

/// What a writer signs of a claim.
pub(super) fn statement(claim: &Claim) -> Vec<u8> {
    let mut bytes = claim.key.0.as_bytes().to_vec();
    bytes.extend_from_slice(&claim.created.to_le_bytes());
    put_said(&mut bytes, claim);
    put_text(&mut bytes, &claim.overlay);
    let digest = Digest::derive(Domain::Claim, &bytes);
    format!("{}\n{digest}\n", Domain::Claim.context()).into_bytes()
}

/// What a claim says of the result.
fn put_said(out: &mut Vec<u8>, claim: &Claim) {
    put_outputs(out, &claim.outputs);
    for log in &claim.logs {
        out.extend_from_slice(log.as_bytes());
    }
    put_text(out, &claim.manifest);
    out.push(claim.isolation);
    out.extend_from_slice(&claim.duration_ms.to_le_bytes());
    put_text(out, &claim.run);
    put_text(out, &claim.addr);
}

/// Decodes; `None` if the seal does not fit or the body is not one of ours.
pub(super) fn open(key: ActionKey, created: i64, body: &[u8], seal: &[u8]) -> Option<Claim> {
    if seal != seal_of(key, created, body) {
        return None;
    }
    let mut rest = body;
    let [version @ (VERSION | WRITTEN_BY)] = take::<1>(&mut rest)? else { return None };
    let count = take_u64(&mut rest)?;
    let mut outputs = Vec::new();
    for _ in 0..count {
        let name = take_text(&mut rest)?;
        let entry = match take::<1>(&mut rest)? {
            [kind @ (0 | 1)] => {
                let size = take_u64(&mut rest)?;
                Entry::File { digest: take_digest(&mut rest)?, size, exec: kind == 1 }
            }
            [2] => Entry::Dir { digest: take_digest(&mut rest)? },
            [3] => Entry::Symlink { target: take_text(&mut rest)? },
            _ => return None,
        };
        outputs.push(ClaimOutput { name, entry });
    }
    let logs = [take_digest(&mut rest)?, take_digest(&mut rest)?];
    let manifest = take_text(&mut rest)?;
    let [isolation] = take::<1>(&mut rest)?;
    let duration_ms = take_u64(&mut rest)?;
    let run = take_text(&mut rest)?;
    let addr = take_text(&mut rest)?;
    let (mut overlay, mut signed) = (String::new(), None);
    if version == WRITTEN_BY {
        overlay = take_text(&mut rest)?;
        let (writer, signature) = (take_bytes(&mut rest)?.to_vec(), take_bytes(&mut rest)?.to_vec());
        signed = (!writer.is_empty()).then_some(Signed { writer, signature });
    }
    rest.is_empty().then_some(Claim {
        key,
        outputs,
        logs,
        manifest,
        isolation,
        duration_ms,
        created,
        run,
        addr,
        overlay,
        signed,
    })
}

fn seal_of(key: ActionKey, created: i64, body: &[u8]) -> [u8; 32] {
    let mut hasher = Hasher::of_blob();
    hasher.update(key.0.as_bytes()).update(&created.to_le_bytes()).update(body);
    *hasher.finish().as_bytes()
}

fn put_outputs(out: &mut Vec<u8>, outputs: &[ClaimOutput]) {
    out.extend_from_slice(&(outputs.len() as u64).to_le_bytes());
    for output in outputs {
        put_text(out, &output.name);
        match &output.entry {
            Entry::File { digest, size, exec } => {
                out.push(u8::from(*exec));
                out.extend_from_slice(&size.to_le_bytes());
                out.extend_from_slice(digest.as_bytes());
            }
            Entry::Dir { digest } => {
                out.push(2);
                out.extend_from_slice(digest.as_bytes());
            }
            Entry::Symlink { target } => {
                out.push(3);
                put_text(out, target);
            }
        }
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    take::<8>(rest).map(u64::from_le_bytes)
}

fn take_digest(rest: &mut &[u8]) -> Option<Digest> {
    take::<32>(rest).map(Digest::from_bytes)
}

fn take_text(rest: &mut &[u8]) -> Option<String> {
    Some(std::str::from_utf8(take_bytes(rest)?).ok()?.to_owned())
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_u64(rest)?).ok()?;
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(head)
}

#[cfg(test)]
mod tests;
