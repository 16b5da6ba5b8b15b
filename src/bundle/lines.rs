//! The file of envelopes, read in passes so that no payload is ever held whole: where its parts are, whether its
//! signatures are right, and only then what its statements say. Each pass must read the same bytes. Leaves out trust.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use data_encoding::{BASE64, HEXLOWER};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::bundle::dsse::{Envelope, check_sigstore};
use crate::bundle::provenance::{Provenance, Resource};
use crate::bundle::spec::{GateUse, Served};
use crate::bundle::statement::{StatementHead, Subject};
use crate::bundle::stream::{Plan, Splitter};
use crate::bundle::uri;
use crate::bundle::verdict::VerifyLimits;

/// How every envelope begins, and how the payload ends.
const HEAD: &[u8] = b"{\"payload\":\"";
/// Bytes read at a time; of base64, whole groups of four.
const CHUNK: usize = 128 * 1024;
/// Bytes of an envelope besides the payload: 64 signatures, with room.
const REST: usize = 64 * 1024;

/// Why a file could not be read to its end.
pub(crate) enum Stop {
    /// The file system.
    Io(io::Error),
    /// What is in it.
    Wrong(String),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn wrong<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Wrong(why.into()))
}

/// A payload in a file: the base64 text, where it is and what its bytes hash to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    at: u64,
    length: u64,
    text: blake3::Hash,
    /// How many bytes it decodes to.
    pub(crate) size: u64,
}

/// An envelope whose payload lies elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// The envelope, with no payload.
    pub(crate) envelope: Envelope,
    pub(crate) payload: Payload,
}

/// A file read front to back in pieces, with a bound.
struct Pieces<'a> {
    file: &'a File,
    at: u64,
    limit: u64,
    buffer: Vec<u8>,
    used: usize,
}

impl<'a> Pieces<'a> {
    fn new(file: &'a File, limit: u64) -> Self {
        Self { file, at: 0, limit, buffer: Vec::new(), used: 0 }
    }

    /// What has been read and not used; more is read if that is nothing. Empty at the end.
    fn piece(&mut self) -> Result<&[u8], Stop> {
        if self.used == self.buffer.len() {
            self.buffer.resize(CHUNK, 0);
            let count = read_at(self.file, &mut self.buffer, self.at)?;
            self.buffer.truncate(count);
            self.used = 0;
            self.at += count as u64;
            if self.at > self.limit {
                return wrong(format!("it is larger than {} bytes", self.limit));
            }
        }
        Ok(&self.buffer[self.used..])
    }

    fn position(&self) -> u64 {
        self.at - (self.buffer.len() - self.used) as u64
    }

    /// Takes exactly these bytes, or says that others are there.
    fn literal(&mut self, bytes: &[u8]) -> Result<bool, Stop> {
        let mut left = bytes;
        while !left.is_empty() {
            let piece = self.piece()?;
            let count = piece.len().min(left.len());
            if count == 0 || piece[..count] != left[..count] {
                return Ok(false);
            }
            self.used += count;
            left = &left[count..];
        }
        Ok(true)
    }

    /// Takes bytes up to an end, which is taken too and not handed on, or all. `false`: the file has ended.
    fn until(&mut self, end: Option<u8>, mut take: impl FnMut(&[u8]) -> Result<(), Stop>) -> Result<bool, Stop> {
        loop {
            let piece = self.piece()?;
            if piece.is_empty() {
                return Ok(false);
            }
            let found = end.and_then(|end| piece.iter().position(|byte| *byte == end));
            let count = found.unwrap_or(piece.len());
            take(&piece[..count])?;
            self.used += count + usize::from(found.is_some());
            if found.is_some() {
                return Ok(true);
            }
        }
    }

    /// Takes the base64 text of a payload up to the quote behind it.
    fn payload(&mut self) -> Result<Payload, Stop> {
        let at = self.position();
        let mut hasher = blake3::Hasher::new();
        let mut length = 0_u64;
        let mut last = [0_u8; 2];
        let ended = self.until(Some(b'"'), |bytes| {
            hasher.update(bytes);
            length += bytes.len() as u64;
            for byte in &bytes[bytes.len().saturating_sub(2)..] {
                last = [last[1], *byte];
            }
            Ok(())
        })?;
        if !ended || !length.is_multiple_of(4) {
            return wrong("its payload is not standard base64");
        }
        let padding = u64::from(last[0] == b'=') + u64::from(last[1] == b'=');
        Ok(Payload { at, length, text: hasher.finalize(), size: (length / 4 * 3).saturating_sub(padding) })
    }

    /// Takes what stands behind a payload up to an end, as the bytes of the same with no payload.
    fn rest(&mut self, mut head: Vec<u8>, end: Option<u8>) -> Result<Vec<u8>, Stop> {
        head.push(b'"');
        let limit = head.len() + REST;
        let take = |bytes: &[u8]| {
            if head.len() + bytes.len() > limit {
                return wrong(format!("it has more than {REST} bytes besides its payload"));
            }
            head.extend_from_slice(bytes);
            Ok(())
        };
        let ended = self.until(end, take)?;
        if end.is_some() && !ended {
            return wrong("its last line does not end");
        }
        Ok(head)
    }
}

fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Reads where the envelopes are and who signed them. Every byte of them but the payloads must be canonical.
pub(crate) fn read_lines(file: &File, limits: &VerifyLimits) -> Result<Vec<Line>, Stop> {
    let mut pieces = Pieces::new(file, limits.envelope_bytes);
    let mut lines = Vec::new();
    while lines.is_empty() || !pieces.piece()?.is_empty() {
        let at = lines.len() + 1;
        if lines.len() >= limits.envelopes {
            return wrong(format!("there are more than {} envelopes", limits.envelopes));
        }
        let named = |stop: Stop| match stop {
            Stop::Wrong(why) => Stop::Wrong(format!("envelope {at}: {why}")),
            Stop::Io(error) => Stop::Io(error),
        };
        if !pieces.literal(HEAD)? {
            return wrong(format!("envelope {at}: it does not begin with a payload"));
        }
        let payload = pieces.payload().map_err(named)?;
        let rest = pieces.rest(HEAD.to_vec(), Some(b'\n')).map_err(named)?;
        let envelope = Envelope::from_line(&rest).map_err(|why| named(Stop::Wrong(why)))?;
        lines.push(Line { envelope, payload });
    }
    Ok(lines)
}

/// Checks that a Sigstore bundle is exactly the one of an envelope.
pub(crate) fn check_bundle(file: &File, line: &Line, limit: u64) -> Result<(), Stop> {
    let mut pieces = Pieces::new(file, limit);
    let head = [&b"{\"dsseEnvelope\":"[..], HEAD].concat();
    if !pieces.literal(&head)? {
        return wrong("it does not begin with the envelope");
    }
    let payload = pieces.payload()?;
    if (payload.text, payload.length) != (line.payload.text, line.payload.length) {
        return wrong("its payload is not that of the first envelope");
    }
    let rest = pieces.rest(head, None)?;
    check_sigstore(&rest, &line.envelope).map_err(Stop::Wrong)
}

/// Decodes a payload in pieces. The text must be the one that was there before, and of the one form it can have.
pub(crate) fn decode(
    file: &File,
    payload: &Payload,
    mut take: impl FnMut(&[u8]) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut decoding = Decoding::new(file, payload);
    while let Some(bytes) = decoding.next()? {
        take(bytes)?;
    }
    Ok(())
}

/// A payload being decoded.
struct Decoding<'a> {
    file: &'a File,
    payload: &'a Payload,
    at: u64,
    hasher: blake3::Hasher,
    text: Vec<u8>,
    bytes: Vec<u8>,
}

impl<'a> Decoding<'a> {
    fn new(file: &'a File, payload: &'a Payload) -> Self {
        Self { file, payload, at: 0, hasher: blake3::Hasher::new(), text: Vec::new(), bytes: Vec::new() }
    }

    fn next(&mut self) -> Result<Option<&[u8]>, Stop> {
        let left = self.payload.length - self.at;
        if left == 0 {
            let same = self.hasher.finalize() == self.payload.text;
            return if same { Ok(None) } else { wrong("it changed while it was read") };
        }
        self.text.resize(usize::try_from(left).unwrap_or(CHUNK).min(CHUNK), 0);
        let count = read_at(self.file, &mut self.text, self.payload.at + self.at)?;
        if count < self.text.len() {
            return wrong("it changed while it was read");
        }
        self.hasher.update(&self.text);
        self.at += count as u64;
        // A decoder takes padding in the middle, as of texts put together: then there would be two texts of one payload.
        let is_last = self.at == self.payload.length;
        let padded = self.text[..self.text.len() - 4].contains(&b'=') || !is_last && self.text.contains(&b'=');
        match BASE64.decode(&self.text) {
            Ok(bytes) if !padded => self.bytes = bytes,
            Ok(_) => return wrong("its payload is not standard base64: there is padding in the middle"),
            Err(error) => return wrong(format!("its payload is not standard base64: {error}")),
        }
        Ok(Some(&self.bytes))
    }
}

/// Compares two payloads as bytes.
pub(crate) fn compare(file: &File, a: &Payload, b: &Payload) -> Result<std::cmp::Ordering, Stop> {
    let (mut a, mut b) = (Decoding::new(file, a), Decoding::new(file, b));
    loop {
        // Pieces are of one length but for the last.
        let (left, right) = (a.next()?, b.next()?);
        let order = left.unwrap_or_default().cmp(right.unwrap_or_default());
        if order.is_ne() || left.is_none() {
            return Ok(order);
        }
    }
}

/// How a statement is read: its predicate apart, and what went in one by one.
static PLAN: Plan = Plan {
    arrays: &[
        &["predicate", "buildDefinition", "internalParameters", "partita_gates"],
        &["predicate", "buildDefinition", "internalParameters", "partita_served"],
        &["predicate", "buildDefinition", "resolvedDependencies"],
    ],
    without: None,
    apart: Some("predicate"),
};

/// The elements of the lists of provenance: checked, and kept if they are wanted.
#[derive(Default)]
struct Kept {
    keep: bool,
    gates: Vec<GateUse>,
    served: Vec<Served>,
    dependencies: Vec<Resource>,
    /// What was wrong first.
    bad: Option<String>,
}

impl Kept {
    fn take(&mut self, which: usize, bytes: &[u8]) -> Result<(), serde_json::Error> {
        fn one<T: serde::de::DeserializeOwned>(
            bytes: &[u8],
            keep: bool,
            all: &mut Vec<T>,
        ) -> Result<(), serde_json::Error> {
            let one = serde_json::from_slice(bytes)?;
            if keep {
                all.push(one);
            }
            Ok(())
        }
        match which {
            0 => one(bytes, self.keep, &mut self.gates),
            1 => one(bytes, self.keep, &mut self.served),
            _ => one(bytes, self.keep, &mut self.dependencies),
        }
    }
}

/// A statement that was read.
pub(crate) struct Read {
    pub(crate) subject: Vec<Subject>,
    pub(crate) predicate_type: String,
    /// The SHA-256 of the predicate's canonical bytes.
    pub(crate) predicate_sha256: [u8; 32],
    /// What the predicate says, if it is provenance: why it cannot be accepted, or all but what went in unless that
    /// was to be kept.
    pub(crate) provenance: Option<Result<Provenance, String>>,
    /// The SHA-256 of the payload, in hexadecimal.
    pub(crate) payload_sha256: String,
}

/// Reads a statement that must be canonical, of version 1 and about exactly two subjects.
pub(crate) fn read_statement(file: &File, payload: &Payload, keep: bool) -> Result<Read, Stop> {
    let mut sha256 = Sha256::new();
    let mut kept = Kept { keep, ..Kept::default() };
    let mut elements = |which, bytes: &[u8]| {
        // Whether it is provenance is known only later.
        if let Err(error) = kept.take(which, bytes) {
            kept.bad.get_or_insert_with(|| error.to_string());
        }
        Ok(())
    };
    let mut splitter = Splitter::new(&PLAN);
    decode(file, payload, |bytes| {
        sha256.update(bytes);
        splitter.feed(bytes, &mut elements).map_err(Stop::Wrong)
    })?;
    let parts = splitter.finish(&mut elements).map_err(Stop::Wrong)?;
    let head = StatementHead::parse(&parts.rest).map_err(Stop::Wrong)?;
    let provenance = (head.predicate_type == uri::PROVENANCE_TYPE).then(|| {
        if let Some(why) = kept.bad {
            return Err(why);
        }
        if parts.is_cut {
            return Err("it is too large".to_owned());
        }
        #[derive(Deserialize)]
        struct Whole {
            predicate: serde_json::Value,
        }
        let whole: Whole = serde_json::from_slice(&parts.rest).map_err(|error| error.to_string())?;
        let mut provenance = Provenance::parse(&whole.predicate)?;
        provenance.build.dependencies = kept.dependencies;
        (provenance.build.internal.gates, provenance.build.internal.served) = (kept.gates, kept.served);
        Ok(provenance)
    });
    Ok(Read {
        subject: head.subject,
        predicate_type: head.predicate_type,
        predicate_sha256: parts.apart_sha256,
        provenance,
        payload_sha256: HEXLOWER.encode(&sha256.finalize()),
    })
}
