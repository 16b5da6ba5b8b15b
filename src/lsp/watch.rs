//! Whether the editor that started the server still lives: one that dies without closing its end of
//! the pipe must not leave a server behind. Leaves out what is done then.

use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use rustix::process::{Pid, test_kill_process};

/// How often to look.
const EVERY: Duration = Duration::from_secs(3);

/// A channel on which something arrives when a process is gone; never for one that is not known.
pub(super) fn gone(process: Option<i32>) -> Receiver<()> {
    let (send, receive) = bounded(1);
    let Some(pid) = process.and_then(Pid::from_raw) else { return crossbeam_channel::never() };
    let look = move || {
        let tick = crossbeam_channel::tick(EVERY);
        while !matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH)) {
            let _ = tick.recv();
        }
        let _ = send.send(());
    };
    match thread::Builder::new().name("partita-lsp-watch".to_owned()).spawn(look) {
        Ok(_) => receive,
        Err(_) => crossbeam_channel::never(),
    }
}
