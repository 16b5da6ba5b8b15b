//! Finds where two files differ: down to the member of an archive, the path in a JSON document, the line or the
//! byte. Reads ZIP, tar, gzip and ar archives, one inside another. Leaves out why they differ.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read};

use serde_json::Value as Json;

use crate::event::Place;

/// Bytes that are unpacked of one member; of a longer one, where its packed bytes differ is told.
const UNPACKED: u64 = 64 << 20;
/// Archives in archives that are looked into.
const DEPTH: usize = 4;
/// Differences that are told of one file.
const FOUND: usize = 8;
/// Characters or bytes of an excerpt.
const EXCERPT: usize = 80;
/// Bytes shown of what is not text.
const BINARY: usize = 16;

/// A difference as it is found, before anyone asks why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) members: Vec<String>,
    pub(super) place: Place,
    /// Excerpts, for people.
    pub(super) before: String,
    pub(super) after: String,
    /// The bytes at the place, with some around.
    pub(super) raw: [Vec<u8>; 2],
    /// All bytes of the innermost thing that differs, after the check.
    pub(super) whole: Vec<u8>,
}

/// Where two files differ. Empty only if they do not.
pub(super) fn locate(before: &[u8], after: &[u8]) -> Vec<Found> {
    let mut finder = Finder { found: Vec::new(), members: Vec::new(), left: UNPACKED * 4 };
    finder.compare(before, after);
    finder.found
}

struct Finder {
    found: Vec<Found>,
    members: Vec<String>,
    /// Bytes that may still be unpacked.
    left: u64,
}

/// What an archive says of a member, and the member.
#[derive(Default)]
struct Member {
    fields: BTreeMap<&'static str, String>,
    bytes: Option<Vec<u8>>,
}

/// Members in their order, and fields of the archive itself.
#[derive(Default)]
struct Archive {
    members: Vec<(String, Member)>,
    fields: BTreeMap<&'static str, String>,
}

impl Finder {
    fn is_full(&self) -> bool {
        self.found.len() >= FOUND
    }

    fn tell(&mut self, place: Place, shown: [String; 2], raw: [Vec<u8>; 2], whole: &[u8]) {
        let [before, after] = shown;
        let whole = whole.to_vec();
        self.found.push(Found { members: self.members.clone(), place, before, after, raw, whole });
    }

    fn tell_texts(&mut self, place: Place, before: &str, after: &str, whole: &[u8]) {
        let raw = [before.as_bytes().to_vec(), after.as_bytes().to_vec()];
        self.tell(place, [shortened(before), shortened(after)], raw, whole);
    }

    fn compare(&mut self, before: &[u8], after: &[u8]) {
        if before == after || self.is_full() {
            return;
        }
        let already = self.found.len();
        if self.members.len() < DEPTH {
            let read = [before, after].map(|bytes| self.open(bytes));
            if let [Some(a), Some(b)] = read {
                self.compare_archives(&a, &b, after);
            }
        }
        if self.found.len() == already {
            self.compare_json(before, after);
        }
        if self.found.len() == already {
            self.compare_bytes(before, after);
        }
    }

    /// Reads an archive, if it is one that can be read.
    fn open(&mut self, bytes: &[u8]) -> Option<Archive> {
        let archive = if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
            self.open_zip(bytes)
        } else if bytes.starts_with(b"\x1f\x8b") {
            self.open_gzip(bytes)
        } else if bytes.starts_with(b"!<arch>\n") {
            self.open_ar(bytes)
        } else if bytes.get(257..262) == Some(b"ustar") {
            self.open_tar(bytes)
        } else {
            None
        };
        archive.filter(|archive| !archive.members.is_empty())
    }

    /// Takes in what a reader gives, within bounds.
    fn unpack(&mut self, reader: impl Read) -> Option<Vec<u8>> {
        let most = UNPACKED.min(self.left);
        let mut bytes = Vec::new();
        let read = reader.take(most + 1).read_to_end(&mut bytes);
        self.left = self.left.saturating_sub(bytes.len() as u64);
        (read.is_ok() && bytes.len() as u64 <= most).then_some(bytes)
    }

    fn open_zip(&mut self, bytes: &[u8]) -> Option<Archive> {
        let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).ok()?;
        let mut archive = Archive::default();
        archive.fields.insert("comment", String::from_utf8_lossy(zip.comment()).into_owned());
        for index in 0..zip.len() {
            let mut member = Member::default();
            let file = zip.by_index(index).ok()?;
            let name = file.name().ok()?.into_owned();
            let modified = file.last_modified().map_or_else(|| "none".to_owned(), |at| at.to_string());
            member.fields.insert("mtime", modified);
            member.fields.insert("mode", file.unix_mode().map_or_else(String::new, |mode| format!("{mode:o}")));
            member.fields.insert("compression", format!("{:?}", file.compression()));
            member.fields.insert("extra field", hex(&file.extra_data().unwrap_or_default()));
            member.bytes = self.unpack(file);
            archive.members.push((name, member));
        }
        Some(archive)
    }

    fn open_gzip(&mut self, bytes: &[u8]) -> Option<Archive> {
        let mut archive = Archive::default();
        let decoder = flate2::read::GzDecoder::new(bytes);
        let header = decoder.header()?;
        let named = header.filename().map(|name| String::from_utf8_lossy(name).into_owned());
        let mut fields = BTreeMap::new();
        fields.insert("mtime", header.mtime().to_string());
        fields.insert("file name", named.unwrap_or_default());
        fields.insert("comment", header.comment().map(hex).unwrap_or_default());
        fields.insert("system", header.operating_system().to_string());
        let bytes = self.unpack(flate2::read::MultiGzDecoder::new(bytes));
        archive.members.push(("unpacked".to_owned(), Member { fields, bytes }));
        Some(archive)
    }

    fn open_ar(&mut self, bytes: &[u8]) -> Option<Archive> {
        let ar = object::read::archive::ArchiveFile::parse(bytes).ok()?;
        let mut archive = Archive::default();
        for member in ar.members() {
            let member = member.ok()?;
            let mut fields = BTreeMap::new();
            let number = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
            fields.insert("mtime", number(member.date()));
            fields.insert("uid", number(member.uid()));
            fields.insert("gid", number(member.gid()));
            fields.insert("mode", member.mode().map_or_else(String::new, |mode| format!("{mode:o}")));
            let name = String::from_utf8_lossy(member.name()).into_owned();
            let bytes = member.data(bytes).ok().and_then(|data| self.unpack(data));
            archive.members.push((name, Member { fields, bytes }));
        }
        Some(archive)
    }

    fn open_tar(&mut self, bytes: &[u8]) -> Option<Archive> {
        let mut tar = tar::Archive::new(bytes);
        let mut archive = Archive::default();
        for entry in tar.entries().ok()? {
            let mut entry = entry.ok()?;
            let mut fields = BTreeMap::new();
            let header = entry.header().clone();
            let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
            let number = |value: std::io::Result<u64>| value.map_or_else(|_| String::new(), |value| value.to_string());
            let mut mtime = number(header.mtime());
            if let Ok(Some(extensions)) = entry.pax_extensions() {
                for extension in extensions.filter_map(Result::ok) {
                    match extension.key_bytes() {
                        // With the fraction of a second that the header has no room for.
                        b"mtime" => mtime = text(Some(extension.value_bytes())),
                        b"atime" => drop(fields.insert("atime", text(Some(extension.value_bytes())))),
                        b"ctime" => drop(fields.insert("ctime", text(Some(extension.value_bytes())))),
                        _ => {}
                    }
                }
            }
            fields.insert("mtime", mtime);
            fields.insert("mode", header.mode().map_or_else(|_| String::new(), |mode| format!("{mode:o}")));
            fields.insert("uid", number(header.uid()));
            fields.insert("gid", number(header.gid()));
            fields.insert("uname", text(header.username_bytes()));
            fields.insert("gname", text(header.groupname_bytes()));
            fields.insert("link", text(entry.link_name_bytes().as_deref()));
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let bytes = self.unpack(&mut entry);
            archive.members.push((name, Member { fields, bytes }));
        }
        Some(archive)
    }

    fn compare_archives(&mut self, before: &Archive, after: &Archive, whole: &[u8]) {
        self.compare_fields(&before.fields, &after.fields, whole);
        let names = |archive: &Archive| archive.members.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let (a, b) = (names(before), names(after));
        let sets = [&a, &b].map(|names| names.iter().collect::<BTreeSet<_>>());
        for name in sets[0].symmetric_difference(&sets[1]) {
            if self.is_full() {
                return;
            }
            self.members.push((*name).clone());
            let shown =
                |set: &BTreeSet<&String>| if set.contains(name) { (*name).clone() } else { "absent".to_owned() };
            self.tell_texts(Place::Presence, &shown(&sets[0]), &shown(&sets[1]), whole);
            self.members.pop();
        }
        if a != b && sets[0] == sets[1] {
            self.tell_texts(Place::Order, &a.join(" "), &b.join(" "), whole);
        }
        let mut unmatched: Vec<&(String, Member)> = after.members.iter().collect();
        for (name, member) in &before.members {
            let Some(index) = unmatched.iter().position(|(other, _)| other == name) else { continue };
            let other = &unmatched.remove(index).1;
            self.members.push(name.clone());
            self.compare_fields(&member.fields, &other.fields, other.bytes.as_deref().unwrap_or_default());
            match (&member.bytes, &other.bytes) {
                (Some(a), Some(b)) => self.compare(a, b),
                (None, None) => {}
                (a, _) => {
                    let shown = |there: bool| if there { "can be unpacked" } else { "cannot be unpacked" };
                    self.tell_texts(Place::Presence, shown(a.is_some()), shown(a.is_none()), &[]);
                }
            }
            self.members.pop();
        }
    }

    fn compare_fields(
        &mut self,
        before: &BTreeMap<&'static str, String>,
        after: &BTreeMap<&'static str, String>,
        whole: &[u8],
    ) {
        for (name, value) in before {
            let other = after.get(name).map_or("", String::as_str);
            if value != other && !self.is_full() {
                self.tell_texts(Place::Field { name: (*name).to_owned() }, value, other, whole);
            }
        }
    }

    fn compare_json(&mut self, before: &[u8], after: &[u8]) {
        let opens = |bytes: &[u8]| bytes.iter().find(|b| !b.is_ascii_whitespace()).is_some_and(|b| b"{[".contains(b));
        if !opens(before) || !opens(after) {
            return;
        }
        let parsed = [before, after].map(|bytes| serde_json::from_slice::<Json>(bytes).ok());
        let [Some(a), Some(b)] = parsed else { return };
        self.compare_values("$", &a, &b, after);
    }

    fn compare_values(&mut self, path: &str, before: &Json, after: &Json, whole: &[u8]) {
        if before == after || self.is_full() {
            return;
        }
        match (before, after) {
            (Json::Object(a), Json::Object(b)) => {
                for (key, value) in a {
                    let below = format!("{path}.{key}");
                    match b.get(key) {
                        Some(other) => self.compare_values(&below, value, other, whole),
                        None => self.tell_json(&below, &value.to_string(), "absent", whole),
                    }
                }
                for (key, value) in b.iter().filter(|(key, _)| !a.contains_key(*key)) {
                    self.tell_json(&format!("{path}.{key}"), "absent", &value.to_string(), whole);
                }
            }
            (Json::Array(a), Json::Array(b)) => {
                let sorted = |items: &[Json]| {
                    let mut texts: Vec<String> = items.iter().map(Json::to_string).collect();
                    texts.sort();
                    texts
                };
                if sorted(a) == sorted(b) {
                    self.tell_json(path, &before.to_string(), &after.to_string(), whole);
                    return;
                }
                for (index, (value, other)) in a.iter().zip(b).enumerate() {
                    self.compare_values(&format!("{path}[{index}]"), value, other, whole);
                }
                if a.len() != b.len() {
                    let index = a.len().min(b.len());
                    let shown = |items: &[Json]| items.get(index).map_or("absent".to_owned(), Json::to_string);
                    self.tell_json(&format!("{path}[{index}]"), &shown(a), &shown(b), whole);
                }
            }
            _ => {
                let plain = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                self.tell_json(path, &plain(before), &plain(after), whole);
            }
        }
    }

    fn tell_json(&mut self, path: &str, before: &str, after: &str, whole: &[u8]) {
        if !self.is_full() {
            self.tell_texts(Place::Json { path: path.to_owned() }, before, after, whole);
        }
    }

    fn compare_bytes(&mut self, before: &[u8], after: &[u8]) {
        let offset = before.iter().zip(after).take_while(|(a, b)| a == b).count();
        if let (Ok(a), Ok(b)) = (std::str::from_utf8(before), std::str::from_utf8(after)) {
            let lines = [a, b].map(|text| {
                let mut lines: Vec<&str> = text.lines().collect();
                lines.sort_unstable();
                lines
            });
            let at = before[..offset].split(|byte| *byte == b'\n').count();
            let start = before[..offset].iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
            let line = |text: &str| text.as_bytes().get(start..).map(first_line).unwrap_or_default();
            let (a, b) = (line(a), line(b));
            let place = if lines[0] == lines[1] && lines[0].len() > 1 {
                Place::Order
            } else {
                Place::Bytes { offset: offset as u64, line: Some(at as u64) }
            };
            let column = offset - start;
            let shown = [shortened(&around(&a, column)), shortened(&around(&b, column))];
            self.tell(place, shown, [a.into_bytes(), b.into_bytes()], after);
            return;
        }
        let window = |bytes: &[u8]| {
            let from = offset.saturating_sub(BINARY);
            bytes.get(from..bytes.len().min(offset + EXCERPT)).unwrap_or_default().to_vec()
        };
        let shown = |bytes: &[u8]| hex(bytes.get(offset..bytes.len().min(offset + BINARY)).unwrap_or_default());
        let raw = [window(before), window(after)];
        let place = Place::Bytes { offset: offset as u64, line: None };
        self.tell(place, [shown(before), shown(after)], raw, after);
    }
}

/// A line of text that may be broken anywhere before it.
fn first_line(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    String::from_utf8_lossy(line).into_owned()
}

/// The part of a long line around a column in bytes.
fn around(line: &str, column: usize) -> String {
    if line.len() <= EXCERPT {
        return line.to_owned();
    }
    let from = column.saturating_sub(EXCERPT / 4);
    let from = (0..=from.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
    format!("{}{}", if from > 0 { "…" } else { "" }, &line[from..])
}

fn shortened(text: &str) -> String {
    let shown: String = text.chars().take(EXCERPT).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(EXCERPT).is_some() { format!("{shown}…") } else { shown }
}

fn hex(bytes: &[u8]) -> String {
    let shown: Vec<String> = bytes.iter().take(EXCERPT).map(|byte| format!("{byte:02x}")).collect();
    shown.join(" ")
}
