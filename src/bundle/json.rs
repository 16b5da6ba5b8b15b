//! Canonical JSON (RFC 8785) out and in: every document of ours is exactly its canonical bytes, so a
//! reader refuses anything else, duplicate keys included. Leaves out what the documents say.

use std::io::{self, Read};

use serde::Serialize;
use serde_json::Value;

use crate::bundle::stream::KEPT;

/// The canonical bytes of a document.
pub(crate) fn canonical<T: Serialize>(document: &T) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(document).expect("our documents have text keys and whole numbers only")
}

/// Reads bytes that must be canonical. A duplicate key, a blank, another order of keys or another
/// spelling of a number or text all change what is written back. Depth is bounded by the parser.
pub(crate) fn parse_canonical(bytes: &[u8]) -> Result<Value, String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let again = serde_json_canonicalizer::to_vec(&value).map_err(|error| error.to_string())?;
    match first_difference(bytes, &again) {
        None => Ok(value),
        Some(at) => Err(format!("byte {at} is not that of the canonical form (RFC 8785)")),
    }
}

/// The bytes of an element whose members are declared in canonical order.
pub(crate) fn element<T: Serialize>(element: &T) -> Vec<u8> {
    serde_json::to_vec(element).expect("our documents have text keys and whole numbers only")
}

/// A document with something put in before or behind a mark that stands in it once. A mark with quotes cannot stand
/// between quotes, where they would be escaped.
fn spliced(document: &[u8], mark: &str, behind: bool, fill: impl FnOnce(&mut Vec<u8>, &[u8])) -> Vec<u8> {
    let at = document.windows(mark.len()).position(|window| window == mark.as_bytes()).expect("it is in the document");
    let (head, tail) = document.split_at(if behind { at + mark.len() } else { at });
    let mut out = head.to_vec();
    fill(&mut out, tail);
    out.extend_from_slice(tail);
    out
}

/// A document with a member put in before the one of a name.
pub(crate) fn with_member(document: &[u8], before: &str, member: &str) -> Vec<u8> {
    spliced(document, &format!("\"{before}\":"), false, |out, _| {
        out.extend_from_slice(member.as_bytes());
        out.push(b',');
    })
}

/// A document with elements put in at the start of the array of a name.
pub(crate) fn with_first(document: &[u8], name: &str, elements: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    spliced(document, &format!("\"{name}\":["), true, |out, tail| {
        let empty = out.len();
        for element in elements {
            if out.len() > empty {
                out.push(b',');
            }
            out.extend(element);
        }
        if out.len() > empty && tail.first() != Some(&b']') {
            out.push(b',');
        }
    })
}

/// A document with elements put in at the end of the array, with elements, before the member of a name.
pub(crate) fn with_last(document: &[u8], before: &str, elements: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    spliced(document, &format!("],\"{before}\":"), false, |out, _| {
        for element in elements {
            out.push(b',');
            out.extend(element);
        }
    })
}

/// Parses an element of a document of strangers that is not too large for that.
pub(crate) fn parse_small(element: &[u8]) -> Result<Value, String> {
    if element.len() > KEPT {
        return Err(format!("an element is longer than {KEPT} bytes"));
    }
    serde_json::from_slice(element).map_err(|error| error.to_string())
}

/// Where two texts first differ.
pub(crate) fn first_difference(a: &[u8], b: &[u8]) -> Option<usize> {
    let at = a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(a.len().min(b.len()));
    (at < a.len() || at < b.len()).then_some(at)
}

/// Reads at most `limit` bytes; `None`: there are more.
pub(crate) fn read_bounded(reader: impl Read, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_bytes_are_read() {
        assert!(parse_canonical(br#"{"a":1,"b":[true,null,"x"]}"#).is_ok());
        for bad in [
            r#"{"b":1,"a":1}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a": 1}"#,
            r#"{"a":1.0}"#,
            r#"{"a":"\u0041"}"#,
            r#"{"a":1}x"#,
            "{\"a\":1}\n",
            "",
        ] {
            assert!(parse_canonical(bad.as_bytes()).is_err(), "{bad}");
        }
        let deep = "[".repeat(100_000);
        assert!(parse_canonical(deep.as_bytes()).is_err());
    }
}
