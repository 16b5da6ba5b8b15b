//! Keeps what a process prints, bounded: the head and the tail of it. Leaves out how it is read.

use std::ops::Range;

/// The first and the last bytes of a stream, and how many lay between.
#[derive(Debug)]
pub(super) struct Capture {
    half: usize,
    head: Vec<u8>,
    tail: Vec<u8>,
    dropped: u64,
}

impl Capture {
    /// Keeps at most `limit` bytes, half of them from the start.
    pub(super) fn new(limit: usize) -> Self {
        Self { half: limit / 2, head: Vec::new(), tail: Vec::new(), dropped: 0 }
    }

    /// Takes what was read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let (first, rest) = bytes.split_at(bytes.len().min(self.half - self.head.len()));
        self.head.extend_from_slice(first);
        self.tail.extend_from_slice(rest);
        // Trimming only when the tail is twice too long makes it cost one copy per byte.
        if self.tail.len() > 2 * self.half {
            self.trim();
        }
    }

    fn trim(&mut self) {
        let excess = self.tail.len().saturating_sub(self.half);
        self.tail.drain(..excess);
        self.dropped += excess as u64;
    }

    /// What was kept. Where bytes were dropped, a line says how many.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.trim();
        if self.dropped > 0 {
            let marker = format!("{LEFT}{}{OUT}", self.dropped);
            self.head.extend_from_slice(marker.as_bytes());
        }
        self.head.append(&mut self.tail);
        self.head
    }
}

/// What stands before and behind the number of bytes that were dropped.
const LEFT: &str = "\n[partita: ";
const OUT: &str = " bytes left out]\n";

/// Where bytes of a log were dropped, or where a process printed what says so.
pub(super) fn cuts(log: &[u8]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let marks = log.windows(LEFT.len()).enumerate().filter(|(_, window)| *window == LEFT.as_bytes());
    for (at, _) in marks {
        let digits = log[at + LEFT.len()..].iter().take(20).take_while(|byte| byte.is_ascii_digit()).count();
        let end = at + LEFT.len() + digits;
        let apart = found.last().is_none_or(|last| last.end <= at);
        if apart && digits > 0 && log[end..].starts_with(OUT.as_bytes()) {
            found.push(at..end + OUT.len());
        }
    }
    found
}

/// Bytes of the end of a log that a failure quotes.
const QUOTED_BYTES: usize = 4096;
/// Lines of the end of a log that a failure quotes.
const QUOTED_LINES: usize = 20;

/// The last lines of a log, for the text of a failure. What is not UTF-8 is replaced.
pub(super) fn tail_of(log: &[u8]) -> String {
    let from = log.len().saturating_sub(QUOTED_BYTES);
    let text = String::from_utf8_lossy(&log[from..]);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(QUOTED_LINES)..].join("\n")
}

/// The last lines of what a process printed, for the text of its failure: of both streams, as many tools tell
/// what is wrong on standard output. Errors come last, where they are seen.
pub(super) fn tails_of(stdout: &[u8], stderr: &[u8]) -> String {
    let (out, err) = (tail_of(stdout), tail_of(stderr));
    if out.is_empty() || err.is_empty() { out + &err } else { format!("{out}\n{err}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_all_that_fits() {
        let mut capture = Capture::new(8);
        capture.push(b"abc");
        capture.push(b"defgh");
        assert_eq!(capture.finish(), b"abcdefgh");
    }

    #[test]
    fn keeps_head_and_tail_and_counts_the_rest() {
        let mut capture = Capture::new(8);
        for chunk in b"abcdefghijklmnopqrstuvwxyz".chunks(3) {
            capture.push(chunk);
        }
        assert_eq!(capture.finish(), b"abcd\n[partita: 18 bytes left out]\nwxyz");
    }

    #[test]
    fn quotes_the_last_lines() {
        let log = (0..100).map(|n| format!("line {n}")).collect::<Vec<_>>().join("\n");
        let tail = tail_of(log.as_bytes());
        assert_eq!(tail.lines().count(), 20);
        assert!(tail.ends_with("line 99"));
        assert_eq!(tail_of(b"\xff"), "\u{fffd}");
        assert_eq!(tail_of(b""), "");
        assert_eq!(tails_of(b"out\n", b"err\n"), "out\nerr");
        assert_eq!([tails_of(b"out\n", b""), tails_of(b"", b"err"), tails_of(b"", b"")], ["out", "err", ""]);
    }
}
