//! Other forms of a bundle, for sending it: all its files in one outer archive, and the archive compressed
//! with Zstandard (RFC 8878). Neither is signed: what is inside is. Leaves out verification.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::bundle::build::{BuiltFile, keep, proof_file, side_files, temporary};
use crate::bundle::content::for_each_chunk;
use crate::bundle::error::Error;
use crate::bundle::hashes::Hashes;
use crate::bundle::writer::Archive;

/// The end of the name of a bundle in one file.
pub(crate) const SINGLE: &str = ".bundle.zip";
/// The end of the name of a compressed archive.
pub(crate) const COMPRESSED: &str = ".zst";
/// 16 MiB: what the reader must keep, and how far back the writer looks.
const WINDOW_LOG: u32 = 24;
const LEVEL: i32 = 9;
/// Bytes of the outer archive besides the contents of its four entries.
const OVERHEAD: u64 = 64 * 1024;

/// Writes all files of a bundle as one: `NAME-VERSION.bundle.zip`, a canonical stored archive of them.
pub fn pack_single(zip: &Path) -> Result<BuiltFile, Error> {
    let stem = zip.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    pack_into(zip, zip.with_file_name(format!("{stem}{SINGLE}")))
}

fn pack_into(zip: &Path, path: PathBuf) -> Result<BuiltFile, Error> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let file = temporary(dir)?;
    let handle = file.as_file().try_clone().map_err(Error::write("open again", file.path()))?;
    let mut archive = Archive::new(handle, &path);
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
        for_each_chunk(opened.take(size), |chunk| archive.write(chunk.map_err(Error::read("read", part))?))?;
    }
    archive.finish()?.sync_all().map_err(Error::write("make durable", &path))?;
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
    let failed = |error: zip::result::ZipError| wrong(error.to_string());
    let opened = File::open(file).map_err(Error::read("open", file))?;
    let size = opened.metadata().map_err(Error::read("look at", file))?.len();
    let mut archive = zip::ZipArchive::new(io::BufReader::new(opened)).map_err(failed)?;
    if !(3..=4).contains(&archive.len()) {
        return Err(wrong(format!("it holds {} files, not three or four", archive.len())));
    }
    let mut left = size.saturating_add(OVERHEAD);
    let mut zip = None;
    for at in 0..archive.len() {
        let mut entry = archive.by_index(at).map_err(failed)?;
        let name = entry.name().map_err(failed)?.into_owned();
        let plain = !name.is_empty() && !name.contains(['/', '\\', '\0']) && name != "." && name != "..";
        if !plain || entry.compression() != zip::CompressionMethod::Stored || entry.size() > left {
            return Err(wrong(format!("`{}` is not as it would be written", name.escape_debug())));
        }
        left -= entry.size();
        let path = into.join(&name);
        let mut to = File::create_new(&path).map_err(Error::write("write", &path))?;
        let limit = entry.size();
        io::copy(&mut (&mut entry).take(limit), &mut to).map_err(Error::write("write", &path))?;
        if path.extension().is_some_and(|end| end == "zip") && zip.replace(path).is_some() {
            return Err(wrong("it holds two archives".to_owned()));
        }
    }
    let zip = zip.ok_or_else(|| wrong("it holds no archive".to_owned()))?;
    let (intoto, sigstore) = side_files(&zip);
    if !intoto.exists() || !sigstore.exists() {
        return Err(wrong("the signatures of its archive are missing".to_owned()));
    }
    let again = pack_into(&zip, into.join("again"))?;
    let same = facts(file.to_owned())?.sha256 == again.sha256;
    std::fs::remove_file(&again.path).map_err(Error::write("remove", &again.path))?;
    if same { Ok(zip) } else { Err(wrong("its bytes are not those that its files are packed to".to_owned())) }
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
