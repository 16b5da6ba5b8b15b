//! What both software bills of materials share: an identity that derives from their own content, the
//! date, and the walk that compares their lists of files. Leaves out the two formats.

use serde_json::Value;

use crate::bundle::content::FileFacts;
use crate::bundle::json::canonical;

/// A version 8 UUID (RFC 9562) of the BLAKE3 of a document that does not hold it yet. The document
/// lists the SHA-256 of every file, so equal identities mean equal content.
pub(crate) fn content_uuid(document: &Value) -> String {
    let hash = blake3::hash(&canonical(document));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_bytes()[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    uuid::Uuid::from_bytes(bytes).to_string()
}

/// Seconds since 1970 as RFC 3339 in UTC. The range was checked with the spec.
pub(crate) fn date(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).expect("the date of a spec was checked");
    jiff::Timestamp::from_second(seconds).expect("the date of a spec was checked").to_string()
}

/// The seconds since 1970 of a date as [`date`] writes it.
pub(crate) fn seconds(date: &str) -> Option<u64> {
    u64::try_from(date.parse::<jiff::Timestamp>().ok()?.as_second()).ok()
}

/// Compares the files that a document lists, as (name, hashes), with those of the archive.
pub(crate) fn compare_files(
    listed: impl Iterator<Item = Option<(String, Vec<String>)>>,
    files: &[FileFacts],
    expected: impl Fn(&FileFacts) -> (String, Vec<String>),
) -> Result<(), String> {
    let mut files = files.iter();
    for (at, item) in listed.enumerate() {
        let item = item.ok_or_else(|| format!("its file {at} is malformed"))?;
        let file = files.next().ok_or_else(|| format!("it lists `{}`, which is not in the archive", item.0))?;
        let wanted = expected(file);
        if item.0 != wanted.0 {
            return Err(format!("it lists `{}` where `{}` is due", item.0, wanted.0));
        }
        if item.1 != wanted.1 {
            return Err(format!("its hashes of `{}` are not those of the file", item.0));
        }
    }
    files.next().map_or(Ok(()), |file| Err(format!("it does not list `{}`", file.path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_version_8() {
        let uuid = content_uuid(&serde_json::json!({"a": 1}));
        assert_eq!(uuid.len(), 36);
        assert_eq!(&uuid[14..15], "8");
        assert!("89ab".contains(&uuid[19..20]));
        assert_ne!(uuid, content_uuid(&serde_json::json!({"a": 2})));
    }

    #[test]
    fn dates_are_whole_seconds() {
        assert_eq!(date(315_532_800), "1980-01-01T00:00:00Z");
        assert_eq!(date(253_402_207_200), "9999-12-30T22:00:00Z");
        assert_eq!(seconds("9999-12-30T22:00:00Z"), Some(253_402_207_200));
        assert_eq!(seconds("soon"), None);
    }
}
