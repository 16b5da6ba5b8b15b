//! The strict reader and the writer against another encoder, and against every flipped byte.

use std::fs::File;

use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::bundle::manifest::META;
use crate::bundle::names::SortedNames;
use crate::bundle::writer::Archive;

type Files = [(String, Vec<u8>, bool)];

/// An archive of these payload files behind empty documents, by the `zip` crate: another encoder.
fn archive(files: &Files) -> Vec<u8> {
    use std::io::Write as _;
    use zip::write::SimpleFileOptions;
    let mut archive = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    let documents = META.map(|name| (name.to_owned(), Vec::new(), false));
    for (name, bytes, exec) in documents.iter().chain(files) {
        let options = SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored)
            .last_modified_time(zip::DateTime::DEFAULT)
            .system(zip::System::Unix)
            .unix_permissions(if *exec { 0o755 } else { 0o644 });
        archive.start_file(name.as_str(), options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// The same by ours, in pieces, with the documents filled in at the end.
fn ours(files: &Files, piece: usize) -> Vec<u8> {
    let temporary = tempfile::NamedTempFile::new().unwrap();
    let mut archive = Archive::new(temporary.as_file(), temporary.path());
    for name in META {
        archive.leave(name, 0).unwrap();
    }
    for (name, bytes, exec) in files {
        archive.start(name, bytes.len() as u64, *exec).unwrap();
        for piece in bytes.chunks(piece) {
            archive.write(piece).unwrap();
        }
        archive.end(crc32fast::hash(bytes)).unwrap();
    }
    for at in 0..META.len() {
        archive.fill(at, b"").unwrap();
    }
    archive.finish().unwrap();
    std::fs::read(temporary.path()).unwrap()
}

/// Keeps what it is given.
#[derive(Default)]
struct Kept {
    files: Vec<FileFacts>,
    names: SortedNames,
}

impl Sink for Kept {
    fn hashes(&self) -> bool {
        true
    }

    fn begin(&mut self, name: &str, size: u64) -> Result<(), Refusal> {
        self.names.add(name).map_err(|error| Refusal::new(Code::B0603, error.to_string()))?;
        let is_large = META.contains(&name) && size > VerifyLimits::default().document_bytes;
        if is_large { Err(Refusal::new(Code::B0604, "large")) } else { Ok(()) }
    }

    fn bytes(&mut self, _: &str, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn end(&mut self, facts: Option<FileFacts>) {
        self.files.extend(facts.filter(|facts| !META.contains(&facts.path.as_str())));
    }

    fn done(&mut self) -> Result<(), Refusal> {
        self.names.finish().map_err(|error| Refusal::new(Code::B0603, error.to_string()))
    }
}

fn read(bytes: &[u8]) -> Result<Vec<FileFacts>, Refusal> {
    let mut kept = Kept::default();
    let found = scan_rest(bytes, &VerifyLimits::default(), &mut kept, true).unwrap();
    assert_eq!(found.size, bytes.len() as u64, "the rest is hashed too");
    assert_eq!(found.sha256, <[u8; 32]>::from(Sha256::digest(bytes)));
    let layout = found.layout?;
    assert_eq!(layout.entries, (META.len() + kept.files.len()) as u64);
    for (at, file) in kept.files.iter_mut().enumerate() {
        file.exec = layout.exec.get(at as u64);
    }
    Ok(kept.files)
}

#[test]
fn every_flip_and_every_cut_is_refused_by_layout_alone() {
    let good = archive(&[("out/a".to_owned(), b"hello".to_vec(), false), ("out/\u{e9}".to_owned(), vec![1, 2], true)]);
    let contents = read(&good).unwrap();
    assert_eq!(contents.iter().map(|file| file.exec).collect::<Vec<_>>(), [false, true]);
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            // The executable bits are free here: the manifest fixes them.
            if let Ok(other) = read(&bad) {
                let same = other.iter().zip(&contents).all(|(a, b)| a.exec == b.exec);
                assert!(!same, "bit {bit} of byte {at} is free");
            }
        }
        read(&good[..at]).unwrap_err();
    }
}

#[test]
fn zip64_where_entries_are_many() {
    let files: Vec<_> = (0..65_600).map(|i| (format!("out/{i:05}"), Vec::new(), i % 3 == 0)).collect();
    let good = archive(&files);
    // The ZIP64 end record, its locator and the end record; see APPNOTE 4.3.14 to 4.3.16.
    let end = &good[good.len() - 56 - 20 - 22..];
    assert!(end.starts_with(b"PK\x06\x06"));
    assert_eq!(u64::from_le_bytes(end[24..32].try_into().unwrap()), 65_604);
    assert_eq!(end[56 + 20 + 8..56 + 20 + 12], [0xff; 4]);
    assert_eq!(read(&good).unwrap().len(), 65_600);
    assert_eq!(ours(&files, 1), good);
}

#[test]
fn zip64_where_a_file_is_large() {
    // The layout alone, as 4 GiB are too much for a test: sizes move into the extra fields.
    let large = Shape { name: "out/a", size: u64::from(u32::MAX), crc32: 7 };
    let local = large.local();
    assert_eq!(local.len(), 30 + 5 + 20);
    assert_eq!(local[4], 45);
    assert_eq!(local[18..26], [0xff; 8]);
    assert_eq!(local[35..39], [1, 0, 16, 0]);
    assert_eq!(large.central(5 << 30, false).len(), 46 + 5 + 28);
    assert_eq!(large.central(0, false).len(), 46 + 5 + 20);
    assert_eq!(Shape { size: 1, ..large.clone() }.central(5 << 30, true).len(), 46 + 5 + 12);
    // A header that promises 4 GiB is believed until the file ends.
    let mut bytes = Shape { name: "META/SHA256SUMS", ..large }.local();
    bytes.extend([0; 100]);
    assert_eq!(read(&bytes).unwrap_err().code, Code::B0604);
    let mut bytes = Shape { name: "out/a", size: 1 << 60, crc32: 0 }.local();
    bytes.extend([0; 100]);
    assert_eq!(read(&bytes).unwrap_err().code, Code::B0602);
}

#[test]
fn reading_errors_are_not_answers() {
    let dir = tempfile::tempdir().unwrap();
    let directory = File::open(dir.path()).unwrap();
    assert!(scan(directory, &VerifyLimits::default(), &mut Kept::default()).is_err());
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(files in prop::collection::btree_map("[a-z]{1,3}(/[a-z\u{e9}\u{4e2d}]{1,4})?", (prop::collection::vec(any::<u8>(), 0..300), any::<bool>()), 0..12)) {
        let files: Vec<_> = files.into_iter().map(|(name, (bytes, exec))| (format!("out/{name}"), bytes, exec)).collect();
        let mut names = crate::bundle::names::Names::default();
        let fits = files.iter().all(|(name, _, _)| names.add(name).is_ok());
        let good = archive(&files);
        prop_assert_eq!(&ours(&files, 7), &good);
        match read(&good) {
            Err(refusal) => prop_assert!(!fits, "{refusal}"),
            Ok(contents) => {
                prop_assert!(fits);
                let found: Vec<_> = contents.iter().map(|f| (f.path.as_str(), f.size, f.exec, f.blake3)).collect();
                let wanted: Vec<_> = files.iter().map(|(n, b, x)| (n.as_str(), b.len() as u64, *x, crate::base::Digest::of_blob(b))).collect();
                prop_assert_eq!(found, wanted);
            }
        }
    }

    #[test]
    fn noise_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..500), local in any::<bool>()) {
        let bytes = if local { [&LOCAL[..], &bytes].concat() } else { bytes };
        prop_assert!(read(&bytes).is_err());
    }
}
