//! Whether a service is ready: one look at a time, by the sign its declaration names. Leaves out how
//! often to look and how long.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use regex::bytes::Regex;

use crate::exec::bounds::Bounds;
use crate::exec::capture::tail_of;
use crate::exec::engine::{Engine, Serving};
use crate::exec::error::{Error, Failure, FailureClass, Trouble};
use crate::exec::ports::{End, Job, Network};
use crate::exec::sandbox::named_paths;
use crate::exec::services::{Addresses, Printed};
use crate::exec::tools::environment;
use crate::plan::{Isolation, Ready, Service};

/// How long one connection, answer or command may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of an answer that are read: its first line.
const ANSWER_BYTES: usize = 1024;
/// Bytes of a line of a log that are looked at.
const LINE_BYTES: usize = 64 * 1024;

/// Tells whether a service is ready.
pub(super) struct Probe {
    sign: Sign,
    printed: Arc<Mutex<Printed>>,
}

enum Sign {
    Http {
        number: u16,
        path: String,
    },
    Tcp {
        number: u16,
    },
    Log(Regex),
    Command {
        root: PathBuf,
        tool: String,
        args: Vec<String>,
        env: std::collections::BTreeMap<String, String>,
        demand: Isolation,
    },
}

/// The lines of one stream, whole ones only.
#[derive(Debug, Default)]
pub(super) struct Lines {
    open: Vec<u8>,
    whole: Vec<Vec<u8>>,
    /// Whether anyone looks.
    wanted: bool,
}

impl Lines {
    /// Takes what was read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if !self.wanted {
            return;
        }
        for byte in bytes {
            if *byte == b'\n' {
                self.whole.push(std::mem::take(&mut self.open));
            } else if self.open.len() < LINE_BYTES {
                self.open.push(*byte);
            }
        }
    }
}

impl Probe {
    pub(super) fn new(
        service: &Service,
        serving: &Serving,
        root: &Path,
        addresses: Addresses,
        env: &std::collections::BTreeMap<String, String>,
        printed: Arc<Mutex<Printed>>,
        demand: Isolation,
    ) -> Result<Self, Trouble> {
        let number = |port: &str| {
            let text = addresses.fill(&format!("{{{{{}.{port}.port}}}}", service.name));
            text.parse().map_err(|_| Error::Plan(format!("service `{}` has no port `{port}`", service.name)))
        };
        let sign = match &service.ready {
            Ready::Http { port, path } => Sign::Http { number: number(port)?, path: path.clone() },
            Ready::Tcp { port } => Sign::Tcp { number: number(port)? },
            Ready::Log { pattern } => {
                let regex = Regex::new(pattern).map_err(|error| {
                    Failure::new(FailureClass::Service, format!("service `{}`: {error}", service.name))
                })?;
                let mut printed = printed.lock().unwrap_or_else(PoisonError::into_inner);
                printed.lines.iter_mut().for_each(|lines| lines.wanted = true);
                Sign::Log(regex)
            }
            Ready::Command { tool, args } => {
                if serving.tools.program(tool).is_none() {
                    return Err(Error::Plan(format!("service `{}` does not name `{tool}`", service.name)).into());
                }
                let root = root.with_extension("probe");
                for dir in [&root, &root.join("work"), &root.join("home"), &root.join("tmp")] {
                    std::fs::create_dir(dir).map_err(Error::io("make directory", dir))?;
                }
                let args = args.iter().map(|arg| addresses.fill(arg)).collect();
                Sign::Command { root, tool: tool.clone(), args, env: env.clone(), demand }
            }
        };
        Ok(Self { sign, printed })
    }

    /// Looks once. The error says what was seen instead.
    pub(super) fn look(&mut self, engine: &Engine<'_>, serving: &Serving) -> Result<(), String> {
        match &self.sign {
            Sign::Http { number, path } => ask(*number, path),
            Sign::Tcp { number } => connect(*number).map(|_| ()),
            Sign::Log(regex) => {
                let mut printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
                let mut lines = printed.lines.iter_mut().flat_map(|lines| std::mem::take(&mut lines.whole));
                if lines.any(|line| regex.is_match(&line)) {
                    printed.lines.iter_mut().for_each(|lines| *lines = Lines::default());
                    return Ok(());
                }
                Err(format!("no line it printed matches {:?}", regex.as_str()))
            }
            Sign::Command { root, tool, args, env, demand } => {
                let Some((argv0, program)) = serving.tools.program(tool) else { return Err(String::new()) };
                let ports = engine.ports;
                let view = ports.runner.view(root, &serving.tools.bin, *demand);
                let shown = named_paths(serving.tools.passed(true, &ports.environment));
                let env = environment(env, &view, &serving.tools, true, &ports.environment);
                let job = Job {
                    addr: argv0,
                    program,
                    argv0,
                    args,
                    env: &env,
                    root,
                    cwd: &root.join("work"),
                    tools: &serving.tools.paths,
                    bin: &serving.tools.bin,
                    shown: &shown,
                    bounds: Bounds::default(),
                    timeout: Some(PATIENCE),
                    network: Network::Machine,
                    isolation: *demand,
                    tap: None,
                    guarded: false,
                };
                let ended = ports.runner.run(&job, &*ports.clock, &ports.cancel);
                match ended.end {
                    End::Exited(0) => Ok(()),
                    End::Exited(status) => {
                        Err(format!("`{argv0}` exits with status {status}: {}", tail_of(&ended.stderr)))
                    }
                    End::TimedOut => Err(format!("`{argv0}` takes longer than {} s", PATIENCE.as_secs())),
                    other => Err(format!("`{argv0}` does not end well: {other:?}")),
                }
            }
        }
    }
}

fn connect(number: u16) -> Result<TcpStream, String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, number));
    let stream = TcpStream::connect_timeout(&address, PATIENCE)
        .map_err(|error| format!("nothing takes a connection at its port {number} ({error})"))?;
    let set = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
    set.map_err(|error| error.to_string())?;
    Ok(stream)
}

/// Asks for a path, and judges by the first line of the answer.
fn ask(number: u16, path: &str) -> Result<(), String> {
    let mut stream = connect(number)?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {}:{number}\r\nUser-Agent: partita\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        Ipv4Addr::LOCALHOST
    );
    stream.write_all(request.as_bytes()).map_err(|error| format!("{path} cannot be asked for: {error}"))?;
    let mut answer = Vec::new();
    let mut chunk = [0; ANSWER_BYTES];
    while answer.len() < ANSWER_BYTES && !answer.contains(&b'\n') {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&chunk[..count]),
            Err(error) => return Err(format!("{path} is not answered: {error}")),
        }
    }
    let line = String::from_utf8_lossy(&answer);
    let line = line.lines().next().unwrap_or_default();
    let status = line.strip_prefix("HTTP/").and_then(|rest| rest.split_ascii_whitespace().nth(1));
    match status.and_then(|status| status.parse::<u16>().ok()) {
        Some(200..=399) => Ok(()),
        Some(status) => Err(format!("{path} is answered with status {status}")),
        None => Err(format!("{path} is answered, but not as HTTP is")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_count() {
        let mut lines = Lines { wanted: true, ..Lines::default() };
        lines.push(b"one\ntw");
        assert_eq!(lines.whole, [b"one".to_vec()]);
        lines.push(b"o\n");
        assert_eq!(lines.whole, [b"one".to_vec(), b"two".to_vec()]);
        let mut idle = Lines::default();
        idle.push(b"one\n");
        assert!(idle.whole.is_empty());
    }
}
