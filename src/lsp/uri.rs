//! `file:` URIs and paths. Leaves out all other schemes.

use std::path::{Path, PathBuf};

/// The path of a `file:` URI.
pub(super) fn to_path(uri: &str) -> Option<PathBuf> {
    let rest = uri.strip_prefix("file://")?;
    let path = &rest[rest.find('/')?..];
    let host = &rest[..rest.len() - path.len()];
    if !host.is_empty() && host != "localhost" {
        return None;
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut all = path.bytes();
    while let Some(byte) = all.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let hex = |byte: Option<u8>| char::from(byte?).to_digit(16);
        bytes.push((hex(all.next())? * 16 + hex(all.next())?) as u8);
    }
    if bytes.contains(&0) {
        return None;
    }
    let path = PathBuf::from(String::from_utf8(bytes).ok()?);
    path.is_absolute().then_some(path)
}

/// The `file:` URI of a path.
pub(super) fn of_path(path: &Path) -> String {
    let mut uri = "file://".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => uri.push(char::from(*byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::{of_path, to_path};
    use std::path::{Path, PathBuf};

    #[test]
    fn paths_come_back() {
        for path in ["/a/b.kdl", "/a b/\u{e9}%41.kdl", "/"] {
            assert_eq!(to_path(&of_path(Path::new(path))).as_deref(), Some(Path::new(path)));
        }
        assert_eq!(to_path("file:///a%20b"), Some(PathBuf::from("/a b")));
        assert_eq!(to_path("file://localhost/a"), Some(PathBuf::from("/a")));
    }

    #[test]
    fn others_are_none() {
        for uri in
            ["untitled:Untitled-1", "file://host/a", "file:///a%0", "file:///a%zz", "file:///a%00b", "file://x", ""]
        {
            assert_eq!(to_path(uri), None, "{uri}");
        }
    }
}
