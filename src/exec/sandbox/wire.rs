//! What the runner and its helper say to each other, over sockets that keep messages whole: parcels
//! of byte strings and numbers one way, short frames the other. Leaves out what is said.
//!
//! | message | is |
//! | --- | --- |
//! | parcel | eight bytes of length (little endian) and the bytes, cut into messages of at most `CHUNK` |
//! | in a parcel | numbers: eight bytes; byte strings: their length, then they; lists: their count, then they |
//! | frame | kind (1 byte), number (4 bytes, little endian), text (the rest) |

use std::io::{Error, ErrorKind, IoSlice, IoSliceMut, Result};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use crate::exec::bounds::Breach;
use crate::exec::ports::Missed;

/// Bytes of a message; the kernel takes about six times as many.
const CHUNK: usize = 32 * 1024;
/// Bytes of a parcel. Arguments and variables have the kernel's bounds, which are lower.
const PARCEL_BYTES: u64 = 64 << 20;
/// Files that come with one message.
const FDS: usize = 4;

/// Two ends that keep messages whole.
pub(super) fn pair() -> Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Sends bytes with files.
pub(super) fn send(to: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    let sent = retry_on_intr(|| sendmsg(&to, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL))?;
    if sent == bytes.len() { Ok(()) } else { Err(ErrorKind::WriteZero.into()) }
}

/// Receives a message with files. No bytes: the other end is closed.
pub(super) fn receive(from: impl AsFd, buffer: &mut [u8]) -> Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match recvmsg(&from, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            Err(Errno::CONNRESET) => return Ok((0, Vec::new())),
            other => break other?,
        }
    };
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    Ok((received.bytes, fds))
}

/// Something said in one go, of any length.
#[derive(Debug, Default)]
pub(super) struct Parcel(Vec<u8>);

impl Parcel {
    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn list<'a>(&mut self, items: impl ExactSizeIterator<Item = &'a [u8]>) -> &mut Self {
        self.number(items.len() as u64);
        for item in items {
            self.bytes(item);
        }
        self
    }

    pub(super) fn send(&self, to: impl AsFd) -> Result<()> {
        let mut whole = (self.0.len() as u64).to_le_bytes().to_vec();
        whole.extend_from_slice(&self.0);
        whole.chunks(CHUNK).try_for_each(|chunk| send(&to, chunk, &[]))
    }
}

/// Reads a parcel.
pub(super) struct Reader {
    bytes: Vec<u8>,
    at: usize,
}

fn malformed() -> Error {
    Error::new(ErrorKind::InvalidData, "a message between the runner and its helper is malformed")
}

impl Reader {
    pub(super) fn receive(from: impl AsFd) -> Result<Self> {
        let mut buffer = vec![0; CHUNK];
        let mut bytes = Vec::new();
        loop {
            let (count, _) = receive(&from, &mut buffer)?;
            if count == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            bytes.extend_from_slice(&buffer[..count]);
            let Some(head) = bytes.first_chunk::<8>() else { return Err(malformed()) };
            let total = u64::from_le_bytes(*head);
            if total > PARCEL_BYTES {
                return Err(malformed());
            }
            if bytes.len() as u64 == total + 8 {
                return Ok(Self { bytes, at: 8 });
            }
            if bytes.len() as u64 > total + 8 {
                return Err(malformed());
            }
        }
    }

    pub(super) fn number(&mut self) -> Result<u64> {
        let head = self.bytes[self.at..].first_chunk::<8>().ok_or_else(malformed)?;
        self.at += 8;
        Ok(u64::from_le_bytes(*head))
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>> {
        let length = self.number()?;
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length)).ok_or_else(malformed)?;
        let bytes = self.bytes.get(self.at..end).ok_or_else(malformed)?.to_vec();
        self.at = end;
        Ok(bytes)
    }

    pub(super) fn list(&mut self) -> Result<Vec<Vec<u8>>> {
        let count = self.number()?;
        (0..count).map(|_| self.bytes()).collect()
    }
}

/// What the helper has to say of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// The first process of the sandbox was made; a descriptor of it comes along.
    Made,
    /// The helper is ready.
    Ready,
    /// The action's process ended with this status.
    Exited(i32),
    /// The action's process was ended by this signal.
    Signalled(i32),
    /// The action's program could not be started, for this error of the system.
    NotStarted(i32),
    /// The sandbox could not be made: what was tried, and the error of the system.
    Broken(String, i32),
    /// The action used too much of something, and was killed.
    Exceeded(Breach),
    /// The action looked for something and was not given it.
    Missed(Missed),
}

impl Frame {
    const BYTES: usize = 5 + 4096;

    pub(super) fn send(&self, to: impl AsFd, fds: &[BorrowedFd<'_>]) -> Result<()> {
        let count;
        let (kind, number, text) = match self {
            Self::Made => (b'M', 0, ""),
            Self::Ready => (b'R', 0, ""),
            Self::Exited(code) => (b'E', *code, ""),
            Self::Signalled(signal) => (b'S', *signal, ""),
            Self::NotStarted(error) => (b'N', *error, ""),
            Self::Broken(what, error) => (b'X', *error, what.as_str()),
            Self::Missed(missed) => (
                b'P',
                i32::from(missed.writes),
                missed.path.to_str().filter(|text| text.len() <= Self::BYTES - 5).unwrap_or_default(),
            ),
            Self::Exceeded(breach) => {
                let (number, held) = match breach {
                    Breach::Processes => (0, 0),
                    Breach::Memory => (1, 0),
                    Breach::Bytes(held) => (2, *held),
                    Breach::Files(held) => (3, *held),
                };
                count = held.to_string();
                (b'L', number, count.as_str())
            }
        };
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(&text.as_bytes()[..text.len().min(Self::BYTES - 5)]);
        send(to, &bytes, fds)
    }

    /// The next frame with its file; `None` when the other end is closed.
    pub(super) fn receive(from: impl AsFd) -> Result<Option<(Self, Option<OwnedFd>)>> {
        let mut buffer = [0; Self::BYTES];
        let (count, fds) = receive(from, &mut buffer)?;
        if count == 0 {
            return Ok(None);
        }
        let [kind, a, b, c, d, ref text @ ..] = buffer[..count] else { return Err(malformed()) };
        let number = i32::from_le_bytes([a, b, c, d]);
        let text = String::from_utf8_lossy(text).into_owned();
        let frame = match kind {
            b'M' => Self::Made,
            b'R' => Self::Ready,
            b'E' => Self::Exited(number),
            b'S' => Self::Signalled(number),
            b'N' => Self::NotStarted(number),
            b'X' => Self::Broken(text, number),
            b'P' => Self::Missed(Missed { path: text.into(), writes: number != 0 }),
            b'L' => {
                let held = text.parse().map_err(|_| malformed())?;
                Self::Exceeded(match number {
                    0 => Breach::Processes,
                    1 => Breach::Memory,
                    2 => Breach::Bytes(held),
                    3 => Breach::Files(held),
                    _ => return Err(malformed()),
                })
            }
            _ => return Err(malformed()),
        };
        Ok(Some((frame, fds.into_iter().next())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parcel_of_any_length_arrives_whole() {
        let (a, b) = pair().unwrap();
        let long = vec![7; 3 * CHUNK + 5];
        let reader = std::thread::scope(|scope| {
            let reading = scope.spawn(|| Reader::receive(&b).unwrap());
            let mut parcel = Parcel::default();
            parcel.number(9).bytes(&long).list([b"x".as_slice(), b""].into_iter());
            parcel.send(&a).unwrap();
            reading.join().unwrap()
        });
        let mut reader = reader;
        assert_eq!(reader.number().unwrap(), 9);
        assert_eq!(reader.bytes().unwrap(), long);
        assert_eq!(reader.list().unwrap(), [b"x".to_vec(), Vec::new()]);
        assert!(reader.number().is_err(), "nothing is left");
    }

    #[test]
    fn frames_come_with_files_and_end_with_the_other_side() {
        let (a, b) = pair().unwrap();
        Frame::Broken("mount it".to_owned(), 1).send(&a, &[b.as_fd()]).unwrap();
        let breaches = [Breach::Processes, Breach::Memory, Breach::Bytes(1 << 40), Breach::Files(3)];
        for breach in breaches {
            Frame::Exceeded(breach).send(&a, &[]).unwrap();
        }
        drop(a);
        let (frame, fd) = Frame::receive(&b).unwrap().unwrap();
        assert_eq!(frame, Frame::Broken("mount it".to_owned(), 1));
        assert!(fd.is_some());
        for breach in breaches {
            assert_eq!(Frame::receive(&b).unwrap().unwrap().0, Frame::Exceeded(breach));
        }
        assert!(Frame::receive(&b).unwrap().is_none());
    }
}
