//! The bytes of a canonical stored ZIP around the contents: local headers, central directory and end
//! records, as a pure function of (name, executable bit, size, CRC-32). The reader compares what it
//! reads with these, the writer writes them; that they are right is told by other encoders, which the
//! tests compare them with: the `zip` crate and Python's `zipfile`.
//!
//! Format: PKWARE APPNOTE 6.3.10, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16 and 4.5.3. Method 0; the
//! time is 1980-01-01 00:00:00; made by Unix; version 1.0, or 4.5 for a file of 4 GiB and over; no
//! extra field but ZIP64's, and that only where a number does not fit. Leaves out reading and writing.

/// Starts a local header.
pub(crate) const LOCAL: [u8; 4] = *b"PK\x03\x04";
/// Starts an entry of the directory.
pub(crate) const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const END64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR64: [u8; 4] = *b"PK\x06\x07";
const END: [u8; 4] = *b"PK\x05\x06";

/// Sizes and offsets from here on are written in ZIP64 fields.
const FULL32: u64 = 0xffff_ffff;
/// Counts above this are written in ZIP64 fields.
const FULL16: u64 = 0xffff;
/// 1980-01-01 in the format of MS-DOS.
const DATE: u16 = (1 << 5) | 1;
const UNIX: u16 = 3 << 8;

/// The modes of a file, and of one that may be executed.
pub(crate) const PLAIN: u32 = 0o100_644;
pub(crate) const EXEC: u32 = 0o100_755;

/// The bytes of a local header before the name.
pub(crate) const LOCAL_FIXED: usize = 30;

/// What the layout of an entry depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape<'a> {
    pub(crate) name: &'a str,
    pub(crate) size: u64,
    pub(crate) crc32: u32,
}

impl Shape<'_> {
    /// Whether the sizes need ZIP64.
    pub(crate) fn is_large(&self) -> bool {
        self.size >= FULL32
    }

    fn version(&self) -> u16 {
        if self.is_large() { 45 } else { 10 }
    }

    fn flags(&self) -> u16 {
        if self.name.is_ascii() { 0 } else { 1 << 11 }
    }

    fn size32(&self) -> u32 {
        u32::try_from(self.size).unwrap_or(u32::MAX)
    }

    fn common(&self, out: &mut Vec<u8>, extra: &[u8]) {
        out.extend(self.version().to_le_bytes());
        out.extend(self.flags().to_le_bytes());
        out.extend(0_u16.to_le_bytes());
        out.extend(0_u16.to_le_bytes());
        out.extend(DATE.to_le_bytes());
        out.extend(self.crc32.to_le_bytes());
        out.extend(self.size32().to_le_bytes());
        out.extend(self.size32().to_le_bytes());
        out.extend((self.name.len() as u16).to_le_bytes());
        out.extend((extra.len() as u16).to_le_bytes());
    }

    /// The local header with name and extra field.
    pub(crate) fn local(&self) -> Vec<u8> {
        let extra = if self.is_large() { extra64(&[self.size, self.size]) } else { Vec::new() };
        let mut out = LOCAL.to_vec();
        self.common(&mut out, &extra);
        out.extend(self.name.as_bytes());
        out.extend(extra);
        out
    }

    /// The entry of the central directory for a local header at `offset`.
    pub(crate) fn central(&self, offset: u64, exec: bool) -> Vec<u8> {
        let mut numbers = Vec::new();
        if self.is_large() {
            numbers.extend([self.size, self.size]);
        }
        if offset >= FULL32 {
            numbers.push(offset);
        }
        let extra = extra64(&numbers);
        let mode = if exec { EXEC } else { PLAIN };
        let mut out = CENTRAL.to_vec();
        out.extend((UNIX | self.version()).to_le_bytes());
        self.common(&mut out, &extra);
        // Length of the comment, number of the disk, internal attributes.
        out.extend([0; 6]);
        out.extend((mode << 16).to_le_bytes());
        out.extend(u32::try_from(offset).unwrap_or(u32::MAX).to_le_bytes());
        out.extend(self.name.as_bytes());
        out.extend(extra);
        out
    }
}

fn extra64(numbers: &[u64]) -> Vec<u8> {
    if numbers.is_empty() {
        return Vec::new();
    }
    let mut out = 1_u16.to_le_bytes().to_vec();
    out.extend((numbers.len() as u16 * 8).to_le_bytes());
    for number in numbers {
        out.extend(number.to_le_bytes());
    }
    out
}

/// The records after the central directory.
pub(crate) fn end(count: u64, size: u64, offset: u64, any_large: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let is64 = count > FULL16 || size.max(offset) > FULL32;
    if is64 {
        let version: u16 = if any_large { 45 } else { 10 };
        out.extend(END64);
        out.extend(44_u64.to_le_bytes());
        out.extend(version.to_le_bytes());
        out.extend(version.to_le_bytes());
        out.extend([0; 8]);
        out.extend(count.to_le_bytes());
        out.extend(count.to_le_bytes());
        out.extend(size.to_le_bytes());
        out.extend(offset.to_le_bytes());
        out.extend(LOCATOR64);
        out.extend(0_u32.to_le_bytes());
        out.extend((offset + size).to_le_bytes());
        out.extend(1_u32.to_le_bytes());
    }
    let count16 = count.min(FULL16) as u16;
    out.extend(END);
    out.extend([0; 4]);
    out.extend(count16.to_le_bytes());
    out.extend(count16.to_le_bytes());
    out.extend((if is64 { FULL32 } else { size } as u32).to_le_bytes());
    out.extend((offset.min(FULL32) as u32).to_le_bytes());
    out.extend(0_u16.to_le_bytes());
    out
}
