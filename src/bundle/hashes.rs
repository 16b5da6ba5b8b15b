//! Every hash of a file at once: in one go for small ones, on two threads for large ones, since SHA-1 and SHA-256 take
//! as long as all else together. Leaves out where the bytes come from.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::base::Digest;
use crate::bundle::content::{CHUNK_BYTES, FileFacts};

/// From this size on a second thread is worth its start.
const LARGE: u64 = 512 * 1024;
/// Chunks on their way to the other thread.
const AHEAD: usize = 8;

/// The two that are alike in cost, and slow.
#[derive(Default)]
struct Slow {
    sha1: Sha1,
    sha256: Sha256,
}

impl Slow {
    fn update(&mut self, bytes: &[u8]) {
        self.sha1.update(bytes);
        self.sha256.update(bytes);
    }
}

/// Another thread that hashes, with buffers that go there and come back.
struct Lane {
    there: SyncSender<Vec<u8>>,
    back: Receiver<Vec<u8>>,
    thread: JoinHandle<Slow>,
}

impl Lane {
    fn new() -> Self {
        let (there, chunks) = sync_channel::<Vec<u8>>(AHEAD);
        let (spent, back) = sync_channel(AHEAD + 2);
        let thread = std::thread::spawn(move || {
            let mut slow = Slow::default();
            for chunk in chunks {
                slow.update(&chunk);
                // Nobody may want it any more.
                let _ = spent.try_send(chunk);
            }
            slow
        });
        Self { there, back, thread }
    }

    fn send(&self, bytes: &[u8]) {
        let mut buffer = self.back.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK_BYTES));
        buffer.clear();
        buffer.extend_from_slice(bytes);
        // It takes what comes until this end is dropped.
        let _ = self.there.send(buffer);
    }
}

/// Every hash of a file.
pub(crate) struct Hashes {
    size: u64,
    crc32: crc32fast::Hasher,
    /// Where it is not known from elsewhere.
    blake3: Result<Digest, Box<blake3::Hasher>>,
    slow: Result<Slow, Lane>,
}

impl Hashes {
    /// For a file of about this size.
    pub(crate) fn new(size: u64) -> Self {
        let slow = if size < LARGE { Ok(Slow::default()) } else { Err(Lane::new()) };
        Self { size: 0, crc32: crc32fast::Hasher::new(), blake3: Err(Box::default()), slow }
    }

    /// For a file of about this size whose BLAKE3 is known, and compared by who reads it.
    pub(crate) fn known(size: u64, blake3: Digest) -> Self {
        Self { blake3: Ok(blake3), ..Self::new(size) }
    }

    /// More of its bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match &mut self.slow {
            Ok(slow) => slow.update(bytes),
            Err(lane) => lane.send(bytes),
        }
        self.size += bytes.len() as u64;
        self.crc32.update(bytes);
        if let Err(blake3) = &mut self.blake3 {
            blake3.update(bytes);
        }
    }

    /// What they come to, and the CRC-32.
    pub(crate) fn finish(self, path: String, exec: bool) -> (FileFacts, u32) {
        let slow = match self.slow {
            Ok(slow) => slow,
            Err(Lane { there, back, thread }) => {
                drop((there, back));
                thread.join().expect("hashing does not panic")
            }
        };
        let facts = FileFacts {
            path,
            size: self.size,
            exec,
            sha1: slow.sha1.finalize().into(),
            sha256: slow.sha256.finalize().into(),
            blake3: self.blake3.unwrap_or_else(|hasher| hasher.finalize().into()),
        };
        (facts, self.crc32.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_come_to_the_same() {
        let bytes: Vec<u8> = (0..3_000_001_u32).map(|at| (at % 253) as u8).collect();
        let [small, large] = [0, u64::MAX].map(|size| {
            let mut hashes = Hashes::new(size);
            for chunk in bytes.chunks(100_003) {
                hashes.update(chunk);
            }
            hashes.finish("a".to_owned(), false)
        });
        assert_eq!(small, large);
        assert_eq!(small.0.sha256_hex(), crate::bundle::sha256_hex(&bytes));
    }
}
