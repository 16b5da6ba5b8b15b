//! A small API on a free port of this machine, which answers as it is told to and remembers what it was asked.
//! Leaves out everything of HTTP that these tests do not need.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value as Json;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    /// Names in small letters.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Json,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What an API does about a request.
pub(crate) enum Answer {
    /// It answers with a status and a body.
    Whole(u16, String),
    /// It begins to answer, and never ends.
    Part,
    /// It says nothing, and never closes the connection.
    Nothing,
    /// It closes the connection.
    Gone,
}

/// An API that lives until its value does not.
pub(crate) struct Api {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Api {
    /// Answers each request, numbered from 1, with a status and a body.
    pub(crate) fn start(answer: impl Fn(usize, &Asked) -> (u16, String) + Send + 'static) -> Self {
        Self::moody(move |number, asked| {
            let (status, body) = answer(number, asked);
            Answer::Whole(status, body)
        })
    }

    /// Does as it likes about each request, numbered from 1.
    pub(crate) fn moody(answer: impl Fn(usize, &Asked) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
        let port = listener.local_addr().expect("it has an address").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                let Some(request) = read(&stream) else { continue };
                let number = {
                    let mut kept = kept.lock().expect("no test panics here");
                    kept.push(request.clone());
                    kept.len()
                };
                let head = |status: u16, length: usize| {
                    format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")
                };
                // Whoever asked may be gone.
                match answer(number, &request) {
                    Answer::Whole(status, body) => {
                        let answer = head(status, body.len()) + &body;
                        let _ = (&stream).write_all(answer.as_bytes());
                    }
                    Answer::Part => {
                        let _ = (&stream).write_all((head(200, 1000) + "{\"content\": [").as_bytes());
                        held.push(stream);
                    }
                    Answer::Nothing => held.push(stream),
                    Answer::Gone => {}
                }
            }
        });
        Self { port, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no test panics here").clone()
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { path, headers, body: serde_json::from_slice(&body).ok()? })
}

/// An answer as Anthropic's API gives one.
pub(crate) fn message(text: &str, input: u64, output: u64) -> String {
    serde_json::json!({
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": text}],
        "usage": {"input_tokens": input, "output_tokens": output},
    })
    .to_string()
}
