//! Named pipes by which a test and the actions of a run wait for each other, so that no test guesses
//! how long something takes. Leaves out what is waited for.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, mknodat};

/// Seconds after which a test that waits gives up.
const PATIENCE: i64 = 60;

/// A named pipe. Whoever opens it, for reading or writing, never waits for the other side to do so,
/// since the test holds both ends.
pub(crate) struct Gate {
    path: PathBuf,
    pipe: File,
}

impl Gate {
    /// Makes the pipe.
    pub(crate) fn new(path: &Path) -> Self {
        mknodat(rustix::fs::CWD, path, FileType::Fifo, Mode::from_raw_mode(0o666), 0).expect("a pipe can be made");
        let pipe = rustix::fs::open(path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
        Self { path: path.to_owned(), pipe: pipe.expect("a pipe can be opened").into() }
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until someone writes a line, and returns it.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> String {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            let limit = Timespec { tv_sec: PATIENCE, tv_nsec: 0 };
            let mut fds = [PollFd::new(&self.pipe, PollFlags::IN)];
            let ready = poll(&mut fds, Some(&limit)).unwrap_or(1);
            assert!(ready > 0, "nobody wrote to {} in {PATIENCE} s", self.path.display());
            let mut byte = [0];
            match self.pipe.read(&mut byte) {
                Ok(1) => line.push(byte[0]),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("cannot read {}: {error}", self.path.display()),
            }
        }
        String::from_utf8_lossy(&line).trim_end().to_owned()
    }

    /// Takes what was written and nobody read.
    pub(crate) fn drain(&mut self) {
        while matches!(self.pipe.read(&mut [0; 64]), Ok(1..)) {}
    }

    /// Lets through as many as wait for a line, or will.
    pub(crate) fn open(&mut self, count: usize) {
        for _ in 0..count {
            self.pipe.write_all(b"go\n").expect("a line fits into a pipe");
        }
    }
}
