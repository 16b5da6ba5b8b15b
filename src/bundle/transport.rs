//! Other forms of a bundle, for sending it: all its files in one outer archive, and the archive compressed
//! with Zstandard (RFC 8878). Neither is signed: what is inside is. Leaves out verification.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::bundle::build::{BuiltFile, keep, proof_file, side_files, temporary};
use crate::bundle::code::Code;
use crate::bundle::content::{FileFacts, for_each_chunk, open_regular};
use crate::bundle::error::Error;
use crate::bundle::hashes::Hashes;
use crate::bundle::names::check_one;
use crate::bundle::scan::{Sink, scan};
use crate::bundle::verdict::{Refusal, VerifyLimits};
use crate::bundle::writer::Archive;

/// The end of the name of a bundle in one file.
pub(crate) const SINGLE: &str = ".bundle.zip";
/// The end of the name of a compressed archive.
pub(crate) const COMPRESSED: &str = ".zst";
/// 16 MiB: what the reader must keep, and how far back the writer looks.
const WINDOW_LOG: u32 = 24;
const LEVEL: i32 = 9;

/// Writes all files of a bundle as one: `NAME-VERSION.bundle.zip`, a canonical stored archive of them.
pub fn pack_single(zip: &Path) -> Result<BuiltFile, Error> {
    let stem = zip.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let path = zip.with_file_name(format!("{stem}{SINGLE}"));
    let dir = path.parent().unwrap_or(Path::new("."));
    let file = temporary(dir)?;
    let mut archive = Archive::new(file.as_file(), &path);
    let (intoto, sigstore) = side_files(zip);
    let proof = proof_file(zip);
    // In byte order of their names: `x.zip`, `x.zip.intoto.jsonl`, `x.zip.sigstore.json`, `x.zip.tlog-proof`.
    for part in [zip, &intoto, &sigstore, &proof] {
        if part == proof && !part.exists() {
            continue;
        }
        let opened = File::open(part).map_err(Error::read("open", part))?;
        let size = opened.metadata().map_err(Error::read("look at", part))?.len();
        let name = part.file_name().unwrap_or_default().to_string_lossy().into_owned();
        archive.start(&name, size, false)?;
        let mut crc32 = crc32fast::Hasher::new();
        for_each_chunk(opened.take(size), |chunk| {
            let bytes = chunk.map_err(Error::read("read", part))?;
            crc32.update(bytes);
            archive.write(bytes)
        })?;
        archive.end(crc32.finalize())?;
    }
    archive.finish()?;
    file.as_file().sync_all().map_err(Error::write("make durable", &path))?;
    keep(file, &path)?;
    facts(path)
}

/// Writes the archive compressed: `NAME-VERSION.zip.zst`.
pub fn compress(zip: &Path) -> Result<BuiltFile, Error> {
    let mut path = zip.as_os_str().to_owned();
    path.push(COMPRESSED);
    let path = PathBuf::from(path);
    let dir = path.parent().unwrap_or(Path::new("."));
    let file = temporary(dir)?;
    let opened = File::open(zip).map_err(Error::read("open", zip))?;
    let packed = || -> io::Result<()> {
        let mut encoder = zstd::Encoder::new(file.as_file(), LEVEL)?;
        encoder.include_checksum(true)?;
        encoder.long_distance_matching(true)?;
        encoder.window_log(WINDOW_LOG)?;
        io::copy(&mut io::BufReader::new(opened), &mut encoder)?;
        encoder.finish()?.sync_all()
    };
    packed().map_err(Error::write("compress to", &path))?;
    keep(file, &path)?;
    facts(path)
}

fn facts(path: PathBuf) -> Result<BuiltFile, Error> {
    let file = File::open(&path).map_err(Error::write("read back", &path))?;
    let mut hashes = Hashes::new(u64::MAX);
    for_each_chunk(file, |chunk| {
        hashes.update(chunk.map_err(Error::write("read back", &path))?);
        Ok::<(), Error>(())
    })?;
    let (facts, _) = hashes.finish(String::new(), false);
    Ok(BuiltFile { size: facts.size, sha256: facts.sha256_hex(), path })
}

/// The archive that a file is or holds, by its name: with `.zst` taken off.
pub(crate) fn plain_path(file: &Path) -> (PathBuf, bool) {
    match file.to_str().and_then(|text| text.strip_suffix(COMPRESSED)) {
        Some(plain) => (PathBuf::from(plain), true),
        None => (file.to_owned(), false),
    }
}

/// Whether a file is a bundle in one, by its name.
pub fn is_single(file: &Path) -> bool {
    file.to_str().is_some_and(|text| text.ends_with(SINGLE))
}

/// Takes the files out of a bundle in one, into an empty folder. Returns where the archive is. Only the
/// bytes that [`pack_single`] writes of these files are taken.
pub fn unpack_single(file: &Path, into: &Path) -> Result<PathBuf, Error> {
    let wrong = |why: String| Error::Malformed { path: file.to_owned(), why };
    let limits = VerifyLimits { entries: 4, ..VerifyLimits::default() };
    let mut unpacking = Unpacking { into, names: Vec::new(), to: None };
    let found = scan(open_regular(file)?, &limits, &mut unpacking).map_err(Error::write("unpack to", into))?;
    let layout = found.layout.map_err(|refusal| wrong(refusal.reason))?;
    if (0..layout.entries).any(|at| layout.exec.get(at)) {
        return Err(wrong("a file in it may be executed".to_owned()));
    }
    let name = unpacking.names.first().map(|name| into.join(name));
    name.ok_or_else(|| wrong("it holds nothing".to_owned()))
}

/// What comes behind the name of the archive in those of the other files, in the order of all.
const SUFFIXES: [&str; 4] = ["", ".intoto.jsonl", ".sigstore.json", ".tlog-proof"];

/// Writes the files of a bundle in one as they are read.
struct Unpacking<'a> {
    into: &'a Path,
    names: Vec<String>,
    to: Option<File>,
}

impl Sink for Unpacking<'_> {
    fn hashes(&self) -> bool {
        false
    }

    fn begin(&mut self, name: &str, _: u64) -> Result<(), Refusal> {
        let archive = self.names.first().map_or(name, String::as_str);
        let expected = SUFFIXES.get(self.names.len()).map(|suffix| format!("{archive}{suffix}"));
        let is_plain = !name.contains(['/', '\\'])
            && Path::new(archive).extension().is_some_and(|end| end == "zip")
            && check_one(name).is_ok();
        if !is_plain || expected.as_deref() != Some(name) {
            let why = format!("`{}` is not a file that belongs there", name.escape_debug());
            return Err(Refusal::new(Code::B0603, why));
        }
        self.names.push(name.to_owned());
        self.to = None;
        Ok(())
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let to = match self.to.take() {
            Some(to) => to,
            None => File::create_new(self.into.join(name))?,
        };
        self.to.insert(to).write_all(bytes)
    }

    fn end(&mut self, _: Option<FileFacts>) {
        self.to = None;
    }

    fn done(&mut self) -> Result<(), Refusal> {
        match SUFFIXES[..3].get(self.names.len()) {
            Some(missing) => Err(Refusal::new(Code::B0602, format!("a file `*.zip{missing}` is missing"))),
            None => Ok(()),
        }
    }
}

/// A compressed archive, unpacked as it is read and no further than `size`. What is wrong with it comes as
/// an error of the kind `InvalidData`.
pub(crate) struct Unpacked<R: Read> {
    inner: zstd::Decoder<'static, io::BufReader<R>>,
    left: u64,
}

impl<R: Read> Unpacked<R> {
    pub(crate) fn new(file: R, size: u64) -> io::Result<Self> {
        let mut inner = zstd::Decoder::new(file)?;
        inner.window_log_max(WINDOW_LOG)?;
        Ok(Self { inner, left: size })
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bad = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let count = match self.inner.read(buffer) {
            Ok(count) => count as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => return Err(bad(error.to_string())),
        };
        match self.left.checked_sub(count) {
            Some(left) => self.left = left,
            None => return Err(bad("it unpacks to more bytes than were signed".to_owned())),
        }
        Ok(count as usize)
    }
}
