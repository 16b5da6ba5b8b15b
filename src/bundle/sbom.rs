//! What both software bills of materials share: an identity that derives from their own content, the date, and the comparison
//! of their lists with files. Leaves out the two formats.

/// A version 8 UUID (RFC 9562) of the BLAKE3 of a document that does not hold it yet. The document
/// lists the SHA-256 of every file, so equal identities mean equal content.
pub(crate) fn content_uuid(hash: blake3::Hash) -> String {
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

/// Elements of a list of files that were found in a document, and those that are due by the files. What is compared is
/// one hash of all; a mark of each tells which was the first to differ.
#[derive(Default)]
pub(crate) struct List {
    found: blake3::Hasher,
    due: blake3::Hasher,
    marks: Vec<u16>,
    count: usize,
    differs: Option<String>,
}

/// More files than any archive that is read holds.
const MOST: usize = 1 << 20;

fn mark(element: &[u8]) -> u16 {
    (crc32fast::hash(element) & 0xffff) as u16
}

fn add(hasher: &mut blake3::Hasher, element: &[u8]) {
    hasher.update(&(element.len() as u64).to_le_bytes());
    hasher.update(element);
}

impl List {
    pub(crate) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// The next element that was found.
    pub(crate) fn found(&mut self, element: &[u8]) -> Result<(), String> {
        if self.marks.len() >= MOST {
            return Err(format!("it lists more than {MOST} files"));
        }
        add(&mut self.found, element);
        self.marks.push(mark(element));
        Ok(())
    }

    /// The next that is due, and of which file.
    pub(crate) fn due(&mut self, element: &[u8], path: &str) {
        add(&mut self.due, element);
        if self.differs.is_none() && self.marks.get(self.count) != Some(&mark(element)) {
            self.differs = Some(path.to_owned());
        }
        self.count += 1;
    }

    /// Checks that the two are the same.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.found.finalize() == self.due.finalize() {
            return Ok(());
        }
        Err(match &self.differs {
            Some(path) => format!("what it lists is not what is there, from `{path}` on"),
            None if self.marks.len() > self.count => "it lists files that are not there".to_owned(),
            None => "what it lists is not what is there".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_version_8() {
        let uuid = content_uuid(blake3::hash(b"1"));
        assert_eq!(uuid.len(), 36);
        assert_eq!(&uuid[14..15], "8");
        assert!("89ab".contains(&uuid[19..20]));
        assert_ne!(uuid, content_uuid(blake3::hash(b"2")));
    }

    #[test]
    fn dates_are_whole_seconds() {
        assert_eq!(date(315_532_800), "1980-01-01T00:00:00Z");
        assert_eq!(date(253_402_207_200), "9999-12-30T22:00:00Z");
        assert_eq!(seconds("9999-12-30T22:00:00Z"), Some(253_402_207_200));
        assert_eq!(seconds("soon"), None);
    }
}
