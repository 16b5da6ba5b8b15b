//! A log in a folder: `checkpoint`, tiles of hashes and bundles of entries (C2SP tlog-tiles). Only files that
//! any web server can serve. Full tiles never change; the checkpoint is written last, so a reader never sees
//! a size without its tiles. Leaves out two writers at once, which a lock keeps apart.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::bundle::build::{keep, temporary};
use crate::bundle::error::Error;
use crate::bundle::key::Signer;
use crate::bundle::tlog::fail;
use crate::bundle::tlog::note::{Checkpoint, LogKey};
use crate::bundle::tlog::proof::TlogProof;
use crate::bundle::tlog::tree::{Hash, inclusion, leaf_hash, root};

/// Hashes of a full tile, entries of a full bundle.
const WIDTH: usize = 256;
/// More than any checkpoint, in bytes.
const CHECKPOINT_BYTES: u64 = 64 * 1024;
/// The longest entry: its length is written in 16 bits.
const ENTRY_BYTES: usize = u16::MAX as usize;

/// A log in a folder.
#[derive(Debug)]
pub struct Log {
    dir: PathBuf,
}

/// What a log holds.
#[derive(Debug)]
pub struct LogState {
    /// Its checkpoint; `None` if it holds nothing yet.
    pub checkpoint: Option<Checkpoint>,
    /// The checkpoint as it was written.
    pub note: String,
    /// The entries, in order.
    pub entries: Vec<Vec<u8>>,
}

impl LogState {
    /// The hashes of the entries.
    pub fn leaves(&self) -> Vec<Hash> {
        self.entries.iter().map(|entry| leaf_hash(entry)).collect()
    }
}

/// The path of a tile: three digits an element, all but the last with an `x`; a partial one says its width.
fn tile_path(dir: &Path, level: &str, index: usize, width: usize) -> PathBuf {
    let mut parts = vec![format!("{:03}", index % 1000)];
    let mut rest = index / 1000;
    while rest > 0 {
        parts.insert(0, format!("x{:03}", rest % 1000));
        rest /= 1000;
    }
    let mut path = dir.join("tile").join(level);
    if width < WIDTH {
        let last = parts.last_mut().expect("there is one at least");
        last.push_str(".p");
        parts.push(width.to_string());
    }
    path.extend(parts);
    path
}

/// The tiles of one level for a number of hashes: index, and how wide.
fn tiles(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count.div_ceil(WIDTH)).map(move |index| (index, WIDTH.min(count - index * WIDTH)))
}

fn entry_bundle(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.extend((entry.len() as u16).to_be_bytes());
        bytes.extend(entry);
    }
    bytes
}

impl Log {
    /// The log of a folder, which need not be there yet.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Reads everything and checks it: the signature of the checkpoint, every entry, every tile.
    pub fn read(&self, key: &LogKey) -> Result<LogState, Error> {
        let path = self.dir.join("checkpoint");
        if !path.exists() {
            return Ok(LogState { checkpoint: None, note: String::new(), entries: Vec::new() });
        }
        let note = read_bytes(&path, CHECKPOINT_BYTES)?;
        let note = String::from_utf8(note).map_err(|_| fail(&path, "it is not text"))?;
        let checkpoint = Checkpoint::open(&note, key).map_err(|why| fail(&path, why))?;
        let size = usize::try_from(checkpoint.size).map_err(|_| fail(&path, "it is too large"))?;
        let mut entries = Vec::new();
        for (index, width) in tiles(size) {
            let path = tile_path(&self.dir, "entries", index, width);
            let bytes = read_bytes(&path, (WIDTH * (ENTRY_BYTES + 2)) as u64)?;
            let mut rest = &bytes[..];
            for _ in 0..width {
                let (length, more) = rest.split_first_chunk::<2>().ok_or_else(|| fail(&path, "it is cut short"))?;
                let length = usize::from(u16::from_be_bytes(*length));
                let (entry, more) = more.split_at_checked(length).ok_or_else(|| fail(&path, "it is cut short"))?;
                entries.push(entry.to_vec());
                rest = more;
            }
            if !rest.is_empty() {
                return Err(fail(&path, "it holds more than its entries"));
            }
        }
        let state = LogState { checkpoint: Some(checkpoint.clone()), note, entries };
        let leaves = state.leaves();
        if root(&leaves) != checkpoint.root {
            return Err(fail(&self.dir, "its entries do not lead to the root that it signed"));
        }
        for (path, bytes) in self.hash_tiles(&leaves) {
            if read_bytes(&path, bytes.len() as u64 + 1)? != bytes {
                return Err(fail(&path, "its hashes are not those of the entries"));
            }
        }
        Ok(state)
    }

    /// All tiles of hashes for these leaves.
    fn hash_tiles(&self, leaves: &[Hash]) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut hashes = leaves.to_vec();
        for level in 0.. {
            if hashes.is_empty() {
                break;
            }
            for (index, width) in tiles(hashes.len()) {
                let part = &hashes[index * WIDTH..][..width];
                found.push((tile_path(&self.dir, &level.to_string(), index, width), part.concat()));
            }
            // Only full tiles are hashed into the level above.
            hashes = hashes.chunks_exact(WIDTH).map(root).collect();
        }
        found
    }

    /// Appends entries that are not there yet, and signs the new checkpoint. Returns the indices of all.
    pub fn append(&self, origin: &str, entries: &[Vec<u8>], signer: &dyn Signer) -> Result<Vec<u64>, Error> {
        let key = LogKey::new(origin, crate::bundle::key::PublicKey::of_signer(signer)?)?;
        if let Some(long) = entries.iter().find(|entry| entry.len() > ENTRY_BYTES) {
            return Err(fail(&self.dir, format!("an entry of {} bytes is too long", long.len())));
        }
        std::fs::create_dir_all(&self.dir).map_err(Error::write("make the folder", &self.dir))?;
        let folder = File::open(&self.dir).map_err(Error::write("open the folder", &self.dir))?;
        // Held until this returns: of two writers each must see what the other appended.
        flock(&folder, FlockOperation::LockExclusive)
            .map_err(|error| Error::write("lock the folder", &self.dir)(error.into()))?;
        let mut state = self.read(&key)?;
        let before = state.entries.len();
        let mut indices = Vec::new();
        for entry in entries {
            let index = state.entries.iter().position(|known| known == entry).unwrap_or_else(|| {
                state.entries.push(entry.clone());
                state.entries.len() - 1
            });
            indices.push(index as u64);
        }
        if state.entries.len() == before && state.checkpoint.is_some() {
            return Ok(indices);
        }
        let leaves = state.leaves();
        for (path, bytes) in self.hash_tiles(&leaves) {
            write_new(&path, &bytes)?;
        }
        for (index, width) in tiles(state.entries.len()) {
            let path = tile_path(&self.dir, "entries", index, width);
            write_new(&path, &entry_bundle(&state.entries[index * WIDTH..][..width]))?;
        }
        let checkpoint =
            Checkpoint { origin: origin.to_owned(), size: leaves.len() as u64, root: root(&leaves) }.sign(signer)?;
        let path = self.dir.join("checkpoint");
        let mut file = temporary(&self.dir)?;
        file.write_all(checkpoint.as_bytes())
            .and_then(|()| file.as_file().sync_all())
            .map_err(Error::write("write", &path))?;
        keep(file, &path)?;
        folder.sync_all().map_err(Error::write("make durable the folder", &self.dir))?;
        Ok(indices)
    }

    /// The proof that an entry is in the log; `None` if it is not.
    pub fn prove(&self, key: &LogKey, entry: &[u8]) -> Result<Option<TlogProof>, Error> {
        let state = self.read(key)?;
        let Some(index) = state.entries.iter().position(|known| known == entry) else { return Ok(None) };
        let hashes = inclusion(&state.leaves(), index);
        Ok(Some(TlogProof { index: index as u64, hashes, checkpoint: state.note }))
    }
}

fn read_bytes(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let file = File::open(path).map_err(Error::read("open", path))?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(Error::read("read", path))?;
    if bytes.len() as u64 > limit { Err(fail(path, "it is too large")) } else { Ok(bytes) }
}

/// Writes a tile unless it is there: tiles of one name have one content.
fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if path.exists() && read_bytes(path, bytes.len() as u64 + 1)? == bytes {
        return Ok(());
    }
    let dir = path.parent().expect("a tile lies in a folder");
    std::fs::create_dir_all(dir).map_err(Error::write("make the folder", dir))?;
    let mut file = temporary(dir)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(Error::write("write", path))?;
    keep(file, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::key::PrivateKey;

    #[test]
    fn names_of_tiles_are_those_of_the_specification() {
        let path = |index, width| tile_path(Path::new("l"), "0", index, width);
        assert_eq!(path(1_234_067, 256), Path::new("l/tile/0/x001/x234/067"));
        assert_eq!(path(0, 5), Path::new("l/tile/0/000.p/5"));
        // The example of a tree of 70,000.
        let log = Log::new(Path::new("l"));
        let leaves: Vec<Hash> = (0..70_000_u32).map(|number| leaf_hash(&number.to_be_bytes())).collect();
        let all: Vec<PathBuf> = log.hash_tiles(&leaves).into_iter().map(|(path, _)| path).collect();
        assert_eq!(all.len(), 273 + 1 + 1 + 1 + 1);
        for name in ["l/tile/0/273.p/112", "l/tile/1/000", "l/tile/1/001.p/17", "l/tile/2/000.p/1"] {
            assert!(all.contains(&PathBuf::from(name)), "{name}");
        }
    }

    #[test]
    fn what_is_appended_is_proved_and_damage_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let signer = PrivateKey::from_seed([5; 32]);
        let key = LogKey::new("log.example", signer.public()).unwrap();
        let log = Log::new(&dir.path().join("log"));
        let entry = |number: u32| format!("entry {number}").into_bytes();
        assert_eq!(log.append("log.example", &[entry(0)], &signer).unwrap(), [0]);
        let many: Vec<Vec<u8>> = (0..300).map(entry).collect();
        log.append("log.example", &many, &signer).unwrap();
        assert_eq!(log.append("log.example", &[entry(7)], &signer).unwrap(), [7]);
        let state = log.read(&key).unwrap();
        assert_eq!(state.checkpoint.as_ref().unwrap().size, 300);
        for number in [0, 1, 255, 256, 299] {
            let proof = log.prove(&key, &entry(number)).unwrap().unwrap();
            let text = proof.to_text();
            let read = TlogProof::parse(&text).unwrap();
            assert_eq!(read.check(&entry(number), &key).unwrap(), *state.checkpoint.as_ref().unwrap());
            assert!(read.check(&entry(number + 1), &key).is_err());
            assert!(TlogProof::parse(&text.replace("index ", "index 0")).is_err());
        }
        assert!(log.prove(&key, b"other").unwrap().is_none());
        let other = PrivateKey::from_seed([6; 32]);
        assert!(log.append("log.example", &[entry(1000)], &other).is_err(), "a stranger appended");
        let tile = tile_path(&dir.path().join("log"), "entries", 0, 256);
        let mut bytes = std::fs::read(&tile).unwrap();
        bytes[5] ^= 1;
        std::fs::write(&tile, bytes).unwrap();
        assert!(log.read(&key).is_err());
    }
}
