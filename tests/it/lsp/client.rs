//! An editor for tests: starts the server, sends messages, waits for those that answer. Leaves out
//! what the answers must be.

use std::collections::{BTreeMap, VecDeque};
use std::io::BufReader;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use lsp_server::{Message, Notification, Request, Response, ResponseError};
use serde_json::{Value, json};

use crate::support::Workspace;

/// After which a test that waits for a message gives up.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) struct Client {
    child: Child,
    stdin: Option<ChildStdin>,
    received: Receiver<Message>,
    /// Notifications that were not waited for.
    notes: VecDeque<Notification>,
    /// Requests of the server, by method.
    pub(super) asked: Vec<String>,
    next: i32,
    versions: BTreeMap<String, i32>,
    root: String,
}

/// A place in a text as the protocol counts: before the nth (from 0) occurrence of a piece of text,
/// in units of UTF-16.
pub(super) fn position(text: &str, piece: &str, nth: usize) -> Value {
    let at = text.match_indices(piece).nth(nth).unwrap_or_else(|| panic!("`{piece}` is not there {nth} times")).0;
    let line = text[..at].matches('\n').count();
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    json!({"line": line, "character": text[start..at].encode_utf16().count()})
}

impl Client {
    /// Starts the server without saying anything.
    pub(super) fn started(workspace: &Workspace) -> Self {
        let mut command = workspace.partita(&["lsp"]).command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("the server starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        let (send, received) = channel();
        std::thread::spawn(move || {
            while let Ok(Some(message)) = Message::read(&mut stdout) {
                if send.send(message).is_err() {
                    return;
                }
            }
        });
        let root = format!("file://{}", workspace.root().canonicalize().expect("it is there").display());
        let stdin = child.stdin.take();
        Self {
            child,
            stdin,
            received,
            notes: VecDeque::new(),
            asked: Vec::new(),
            next: 0,
            versions: BTreeMap::new(),
            root,
        }
    }

    /// Starts the server and introduces itself.
    pub(super) fn new(workspace: &Workspace, capabilities: Value) -> Self {
        let mut client = Self::started(workspace);
        let params = json!({"processId": std::process::id(), "rootUri": client.root, "capabilities": capabilities});
        client.ask("initialize", params).expect("the server introduces itself");
        client.notify("initialized", json!({}));
        client
    }

    /// The URI of a file of the workspace.
    pub(super) fn uri(&self, path: &str) -> String {
        format!("{}/{path}", self.root)
    }

    fn send(&mut self, message: Message) {
        let stdin = self.stdin.as_mut().expect("the pipe is open");
        message.write(stdin).expect("the server reads");
    }

    pub(super) fn notify(&mut self, method: &str, params: Value) {
        self.send(Notification::new(method.to_owned(), params).into());
    }

    /// Sends a question without waiting; returns its number.
    pub(super) fn post(&mut self, method: &str, params: Value) -> i32 {
        self.next += 1;
        self.send(Request::new(self.next.into(), method.to_owned(), params).into());
        self.next
    }

    fn receive(&mut self) -> Message {
        self.received.recv_timeout(PATIENCE).expect("the server says something")
    }

    /// Takes a message that no one waits for.
    fn keep(&mut self, message: Message) {
        match message {
            Message::Notification(note) => self.notes.push_back(note),
            Message::Request(request) => {
                self.asked.push(request.method);
                self.send(Response::new_ok(request.id, Value::Null).into());
            }
            Message::Response(response) => panic!("an answer to nothing: {response:?}"),
        }
    }

    /// Waits for the answer to a question.
    pub(super) fn answer(&mut self, id: i32) -> Result<Value, ResponseError> {
        loop {
            match self.receive() {
                Message::Response(response) if response.id == id.into() => return response.response_result,
                message => self.keep(message),
            }
        }
    }

    /// Asks, and waits for the answer.
    pub(super) fn ask(&mut self, method: &str, params: Value) -> Result<Value, ResponseError> {
        let id = self.post(method, params);
        self.answer(id)
    }

    /// Asks about a document.
    pub(super) fn of(&mut self, path: &str, question: &str, more: Value) -> Value {
        let mut params = json!({"textDocument": {"uri": self.uri(path)}});
        if let (Some(params), Some(more)) = (params.as_object_mut(), more.as_object()) {
            params.extend(more.clone());
        }
        let method = format!("textDocument/{question}");
        self.ask(&method, params).unwrap_or_else(|error| panic!("{method}: {}", error.message))
    }

    /// Asks about a place.
    pub(super) fn at(&mut self, path: &str, question: &str, place: Value) -> Value {
        self.of(path, question, json!({"position": place}))
    }

    pub(super) fn open(&mut self, path: &str, text: &str) {
        let uri = self.uri(path);
        self.versions.insert(path.to_owned(), 1);
        let document = json!({"uri": uri, "languageId": "kdl", "version": 1, "text": text});
        self.notify("textDocument/didOpen", json!({"textDocument": document}));
    }

    /// Gives a document another text; returns its version.
    pub(super) fn change(&mut self, path: &str, text: &str) -> i32 {
        let version = self.versions.get_mut(path).expect("the document is open");
        *version += 1;
        let version = *version;
        let document = json!({"uri": self.uri(path), "version": version});
        self.notify("textDocument/didChange", json!({"textDocument": document, "contentChanges": [{"text": text}]}));
        version
    }

    pub(super) fn close(&mut self, path: &str) {
        let uri = self.uri(path);
        self.notify("textDocument/didClose", json!({"textDocument": {"uri": uri}}));
    }

    /// Waits for the diagnostics of a document at its newest version; for one that is not open, for the
    /// next.
    pub(super) fn diagnostics(&mut self, path: &str) -> Vec<Value> {
        let uri = self.uri(path);
        let version = self.versions.get(path).copied();
        loop {
            while let Some(note) = self.notes.pop_front() {
                let params = note.params;
                let fits = params["uri"] == uri.as_str()
                    && params.get("version").and_then(Value::as_i64) == version.map(i64::from);
                if note.method == "textDocument/publishDiagnostics" && fits {
                    return params["diagnostics"].as_array().expect("they are a list").clone();
                }
            }
            let message = self.receive();
            self.keep(message);
        }
    }

    /// How often diagnostics of a document were sent and not waited for, up to an answer that comes after
    /// them.
    pub(super) fn published(&mut self, path: &str) -> usize {
        let uri = self.uri(path);
        self.of(path, "foldingRange", json!({}));
        self.notes.iter().filter(|note| note.params["uri"] == uri.as_str()).count()
    }

    /// Ends as the protocol has it; returns the exit status.
    pub(super) fn shut_down(mut self) -> i32 {
        assert_eq!(self.ask("shutdown", Value::Null).expect("it may be shut down"), Value::Null);
        self.notify("exit", Value::Null);
        self.status()
    }

    /// Closes its end of the pipe.
    pub(super) fn hang_up(&mut self) {
        self.stdin = None;
    }

    /// Waits for the end; the exit status.
    pub(super) fn status(&mut self) -> i32 {
        self.child.wait().expect("it ends").code().expect("it ends by itself")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // A test that failed must not leave a server behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
