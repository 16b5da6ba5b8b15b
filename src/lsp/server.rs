//! The loop of the server: messages in, messages out. Questions wait until the names of the newest
//! text are known; edits wait for nothing. Leaves out answering.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, select, unbounded};
use gen_lsp_types::{
    DidChangeTextDocumentParams, DidCloseTextDocumentParams, DidOpenTextDocumentParams, DocumentFormattingParams,
    PublishDiagnosticsParams, TextDocumentContentChangeEvent, Uri,
};
use lsp_server::{Connection, ErrorCode, Message, Notification, Request, RequestId, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::lsp::answers::{Answer, Answers, format};
use crate::lsp::capabilities::{Client, offered, registration};
use crate::lsp::convert::by_file;
use crate::lsp::documents::{Documents, Opened};
use crate::lsp::worker::{Ask, Said, Worker};
use crate::lsp::{watch, worker};
use crate::ops::{Locations, Session};

/// How the server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// As the protocol has it: `shutdown`, then `exit`.
    Orderly,
    /// The editor went away, or said `exit` without `shutdown`.
    Abrupt,
}

/// Serves an editor over standard input and output until it says `exit` or is gone. The exit status:
/// 0 if it said `shutdown` before, else 1.
pub fn serve(locations: Locations) -> u8 {
    let (connection, threads) = Connection::stdio();
    let end = run(&connection, locations);
    drop(connection);
    if end == End::Orderly {
        // What was said last must arrive. After any other end nobody listens.
        let _ = threads.join();
    }
    u8::from(end != End::Orderly)
}

fn run(connection: &Connection, locations: Locations) -> End {
    let Some((id, params)) = introduced(connection) else { return End::Abrupt };
    let client = Client::of(&params);
    if connection.sender.send(Response::new_ok(id, offered(client)).into()).is_err() {
        return End::Abrupt;
    }
    let Ok(worker) = worker::start() else { return End::Abrupt };
    let process = params.get("processId").and_then(Value::as_i64).and_then(|id| i32::try_from(id).ok());
    let (out, messages) = unbounded();
    let (formatted, format_answers) = unbounded();
    let mut server = Server {
        client,
        documents: Documents::new(Session::new(locations), client.encoding),
        worker,
        out,
        waiting: Vec::new(),
        published: BTreeMap::new(),
        formatted,
        formatting: BTreeSet::new(),
        shut_down: false,
        asked: 0,
    };
    // Never wait for an editor that does not read: it may be waiting for us to.
    let sender = connection.sender.clone();
    let forward = move || messages.into_iter().try_for_each(|message: Message| sender.send(message));
    let writer = thread::Builder::new().name("partita-lsp-out".to_owned()).spawn(forward);
    let Ok(writer) = writer else { return End::Abrupt };
    let end = server.listen(&connection.receiver, &format_answers, &watch::gone(process));
    drop(server);
    if end == End::Orderly {
        let _ = writer.join();
    }
    end
}

/// Waits for the editor to introduce itself; `None` if it never does. Before that nothing is answered.
fn introduced(connection: &Connection) -> Option<(RequestId, Value)> {
    loop {
        match connection.receiver.recv().ok()? {
            Message::Request(request) if request.method == "initialize" => return Some((request.id, request.params)),
            Message::Request(request) => {
                let message = "the server waits for `initialize`".to_owned();
                let response = Response::new_err(request.id, ErrorCode::ServerNotInitialized as i32, message);
                connection.sender.send(response.into()).ok()?;
            }
            Message::Notification(note) if note.method == "exit" => return None,
            Message::Notification(_) | Message::Response(_) => {}
        }
    }
}

struct Server {
    client: Client,
    documents: Documents,
    worker: Worker,
    out: Sender<Message>,
    /// Questions that wait for names, with the number they need.
    waiting: Vec<(u64, Request)>,
    /// The files that have diagnostics, by folder.
    published: BTreeMap<std::path::PathBuf, BTreeSet<String>>,
    formatted: Sender<Response>,
    /// Questions for a formatted text that are being answered.
    formatting: BTreeSet<RequestId>,
    shut_down: bool,
    /// Questions asked of the editor.
    asked: i32,
}

impl Server {
    fn listen(&mut self, messages: &Receiver<Message>, formatted: &Receiver<Response>, gone: &Receiver<()>) -> End {
        let said = self.worker.said.clone();
        loop {
            select! {
                recv(messages) -> message => match message {
                    Ok(Message::Notification(message)) if message.method == "exit" => {
                        return if self.shut_down { End::Orderly } else { End::Abrupt };
                    }
                    Ok(Message::Notification(message)) => self.notified(message),
                    Ok(Message::Request(request)) => self.requested(request),
                    Ok(Message::Response(_)) => {}
                    Err(_) => return End::Abrupt,
                },
                recv(said) -> said => match said {
                    Ok(said) => self.said(said),
                    Err(_) => return End::Abrupt,
                },
                recv(formatted) -> response => {
                    if let Ok(response) = response && self.formatting.remove(&response.id) {
                        self.send(response.into());
                    }
                },
                recv(gone) -> _ => return End::Abrupt,
            }
        }
    }

    fn send(&self, message: Message) {
        // An editor that is gone is noticed where its messages end.
        let _ = self.out.send(message);
    }

    fn notify(&self, method: &str, params: impl Serialize) {
        self.send(Notification::new(method.to_owned(), params).into());
    }

    fn ask(&mut self, method: &str, params: Value) {
        self.asked += 1;
        self.send(Request::new(self.asked.into(), method.to_owned(), params).into());
    }

    /// Something changed: compile anew.
    fn changed(&mut self) {
        self.documents.number += 1;
        let _ = self.worker.ask.send(Ask::Changed(self.documents.number, Box::new(self.documents.session.clone())));
    }

    fn notified(&mut self, message: Notification) {
        let params = message.params;
        match message.method.as_str() {
            "initialized" if self.client.watches => self.ask("client/registerCapability", registration()),
            "textDocument/didOpen" => {
                let Some(params) = typed::<DidOpenTextDocumentParams>(params) else { return };
                let document = params.text_document;
                let spec = String::from(document.language_id.clone()) == "partita";
                self.text(&document.uri.0, document.version, document.text, Some(spec));
            }
            "textDocument/didChange" => {
                let Some(params) = typed::<DidChangeTextDocumentParams>(params) else { return };
                // The server asks for whole texts: the last one counts.
                let whole = params.content_changes.into_iter().rev().find_map(|change| match change {
                    TextDocumentContentChangeEvent::TextDocumentContentChangeWholeDocument(whole) => Some(whole.text),
                    TextDocumentContentChangeEvent::TextDocumentContentChangePartial(_) => None,
                });
                let document = params.text_document;
                if let Some(text) = whole {
                    self.text(&document.text_document_identifier.uri.0, document.version, text, None);
                }
            }
            "textDocument/didClose" => {
                let Some(params) = typed::<DidCloseTextDocumentParams>(params) else { return };
                if let Some(path) = Documents::path(&params.text_document.uri.0) {
                    self.documents.session.close(&path);
                    self.documents.opened.remove(&path);
                    self.changed();
                }
            }
            "textDocument/didSave" | "workspace/didChangeWatchedFiles" => self.changed(),
            "$/cancelRequest" => self.cancelled(params.get("id")),
            _ => {}
        }
    }

    fn text(&mut self, uri: &str, version: i32, text: String, spec: Option<bool>) {
        let Some(path) = Documents::path(uri) else { return };
        let spec = spec.unwrap_or_else(|| self.documents.session.is_spec(&path));
        self.documents.session.set(path.clone(), text.into(), spec);
        self.documents.opened.insert(path, Opened { uri: uri.to_owned(), version });
        self.changed();
    }

    fn cancelled(&mut self, id: Option<&Value>) {
        let id: Option<RequestId> = id.and_then(|id| serde_json::from_value(id.clone()).ok());
        let Some(id) = id else { return };
        let before = self.waiting.len();
        self.waiting.retain(|(_, request)| request.id != id);
        if self.waiting.len() < before || self.formatting.remove(&id) {
            self.fail(id, ErrorCode::RequestCanceled, "cancelled".to_owned());
        }
    }

    fn fail(&self, id: RequestId, code: ErrorCode, message: String) {
        self.send(Response::new_err(id, code as i32, message).into());
    }

    fn requested(&mut self, request: Request) {
        if self.shut_down {
            self.fail(request.id, ErrorCode::InvalidRequest, "the server has been shut down".to_owned());
            return;
        }
        match request.method.as_str() {
            "initialize" => {
                self.fail(request.id, ErrorCode::InvalidRequest, "the server has been initialized".to_owned());
            }
            "shutdown" => {
                self.shut_down = true;
                for (_, waiting) in std::mem::take(&mut self.waiting) {
                    self.fail(waiting.id, ErrorCode::RequestCanceled, "the server is shutting down".to_owned());
                }
                self.send(Response::new_ok(request.id, Value::Null).into());
            }
            "textDocument/formatting" => self.format(request),
            method if KNOWN.contains(&method) => {
                if self.documents.named >= self.documents.number {
                    self.answer(request);
                } else {
                    self.waiting.push((self.documents.number, request));
                    let _ = self.worker.ask.send(Ask::Hurry);
                }
            }
            method => {
                let message = format!("`{method}` is not offered");
                self.fail(request.id, ErrorCode::MethodNotFound, message);
            }
        }
    }

    fn said(&mut self, said: Said) {
        match said {
            Said::Names(number, names) => {
                self.documents.named = number;
                self.documents.names = names.into_iter().collect();
                self.answer_waiting(number);
            }
            Said::Found(number, findings) => {
                let dir = findings.dir.clone();
                self.documents.found.insert(dir.clone(), *findings);
                // Of a text that has changed since, nothing is said.
                if number == self.documents.number {
                    self.publish(&dir);
                    if self.client.refreshes {
                        self.ask("workspace/inlayHint/refresh", Value::Null);
                    }
                }
            }
            Said::Closed(dirs) => {
                for dir in dirs {
                    self.documents.found.remove(&dir);
                    for uri in self.published.remove(&dir).unwrap_or_default() {
                        self.send_diagnostics(uri, Vec::new());
                    }
                }
            }
            Said::Failed(number) => {
                self.documents.named = self.documents.named.max(number);
                self.answer_waiting(number);
            }
        }
    }

    fn answer_waiting(&mut self, number: u64) {
        let (ready, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(|(needed, _)| *needed <= number);
        self.waiting = waiting;
        let ready: Vec<(u64, Request)> = ready;
        for (_, request) in ready {
            self.answer(request);
        }
        if !self.waiting.is_empty() {
            let _ = self.worker.ask.send(Ask::Hurry);
        }
    }

    fn publish(&mut self, dir: &std::path::Path) {
        let Some(findings) = self.documents.found.get(dir) else { return };
        let files = by_file(&self.documents, findings);
        let before = self.published.remove(dir).unwrap_or_default();
        let with: BTreeSet<String> =
            files.iter().filter(|(_, found)| !found.is_empty()).map(|(uri, _)| uri.clone()).collect();
        for uri in &before {
            if !files.contains_key(uri) {
                self.send_diagnostics(uri.clone(), Vec::new());
            }
        }
        for (uri, found) in files {
            // Files that are not open and have nothing wrong are not worth a message.
            if !found.is_empty() || before.contains(&uri) || self.documents.version(&uri).is_some() {
                self.send_diagnostics(uri, found);
            }
        }
        self.published.insert(dir.to_path_buf(), with);
    }

    fn send_diagnostics(&self, uri: String, diagnostics: Vec<gen_lsp_types::Diagnostic>) {
        let version = self.documents.version(&uri);
        self.notify(
            "textDocument/publishDiagnostics",
            PublishDiagnosticsParams { uri: Uri(uri), version, diagnostics },
        );
    }

    /// Formats on a thread of its own: a large text takes a while.
    fn format(&mut self, request: Request) {
        let Some(params) = typed::<DocumentFormattingParams>(request.params) else {
            return self.fail(request.id, ErrorCode::InvalidParams, "no such parameters".to_owned());
        };
        let path = Documents::path(&params.text_document.uri.0);
        let Some(text) = path.and_then(|path| self.documents.session.text(&path).map(Arc::clone)) else {
            return self.send(Response::new_ok(request.id, Value::Null).into());
        };
        let (encoding, sender, id) = (self.client.encoding, self.formatted.clone(), request.id.clone());
        self.formatting.insert(request.id.clone());
        let work = move || {
            let _ = sender.send(response(id, format(&text, encoding)));
        };
        if thread::Builder::new().name("partita-lsp-format".to_owned()).spawn(work).is_err() {
            self.formatting.remove(&request.id);
            self.fail(request.id, ErrorCode::InternalError, "there is no thread to be had".to_owned());
        }
    }

    fn answer(&mut self, request: Request) {
        let answers = Answers { documents: &self.documents, client: self.client };
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| dispatch(&answers, &request)));
        let response = match caught {
            Ok(Some(response)) => response,
            Ok(None) => {
                let message = format!("`{}` was asked with other parameters than it has", request.method);
                Response::new_err(request.id, ErrorCode::InvalidParams as i32, message)
            }
            Err(_) => Response::new_err(request.id, ErrorCode::InternalError as i32, "internal error".to_owned()),
        };
        self.send(response.into());
    }
}

/// Questions about names.
const KNOWN: &[&str] = &[
    "textDocument/hover",
    "textDocument/definition",
    "textDocument/references",
    "textDocument/documentHighlight",
    "textDocument/prepareRename",
    "textDocument/rename",
    "textDocument/completion",
    "textDocument/documentSymbol",
    "textDocument/foldingRange",
    "textDocument/documentLink",
    "textDocument/inlayHint",
    "textDocument/codeLens",
    "textDocument/codeAction",
    "textDocument/semanticTokens/full",
    "textDocument/semanticTokens/range",
    "workspace/symbol",
];

/// Answers a question; `None` if its parameters are not those of the protocol.
fn dispatch(answers: &Answers, request: &Request) -> Option<Response> {
    let id = request.id.clone();
    let params = request.params.clone();
    Some(match request.method.as_str() {
        "textDocument/hover" => plain(id, answers.hover(&typed(params)?)),
        "textDocument/definition" => plain(id, answers.definition(&typed(params)?)),
        "textDocument/references" => plain(id, answers.references(&typed(params)?)),
        "textDocument/documentHighlight" => plain(id, answers.highlights(&typed(params)?)),
        "textDocument/prepareRename" => response(id, answers.prepare_rename(&typed(params)?)),
        "textDocument/rename" => response(id, answers.rename(&typed(params)?)),
        "textDocument/completion" => plain(id, answers.completion(&typed(params)?)),
        "textDocument/documentSymbol" if answers.client.outlines => plain(id, answers.outline(&typed(params)?)),
        "textDocument/documentSymbol" => plain(id, answers.flat_outline(&typed(params)?)),
        "textDocument/foldingRange" => plain(id, answers.folds(&typed(params)?)),
        "textDocument/documentLink" => plain(id, answers.links(&typed(params)?)),
        "textDocument/inlayHint" => plain(id, answers.hints(&typed(params)?)),
        "textDocument/codeLens" => {
            let params: gen_lsp_types::CodeLensParams = typed(params)?;
            plain(id, answers.lenses(&params.text_document))
        }
        "textDocument/codeAction" => plain(id, answers.actions(&typed(params)?)),
        "textDocument/semanticTokens/full" => {
            let params: gen_lsp_types::SemanticTokensParams = typed(params)?;
            plain(id, answers.tokens(&params.text_document, None))
        }
        "textDocument/semanticTokens/range" => {
            let params: gen_lsp_types::SemanticTokensRangeParams = typed(params)?;
            plain(id, answers.tokens(&params.text_document, Some(params.range)))
        }
        _ => plain(id, answers.workspace_symbols(&typed(params)?)),
    })
}

fn typed<T: DeserializeOwned>(params: Value) -> Option<T> {
    serde_json::from_value(params).ok()
}

fn plain(id: RequestId, answer: impl Serialize) -> Response {
    Response::new_ok(id, answer)
}

fn response(id: RequestId, answer: Answer<impl Serialize>) -> Response {
    match answer {
        Ok(answer) => Response::new_ok(id, answer),
        Err(message) => Response::new_err(id, ErrorCode::RequestFailed as i32, message),
    }
}
