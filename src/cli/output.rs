//! Writing to the standard streams: data, diagnostics and errors, with or without colour. Leaves out
//! what is written.

use std::io::{IsTerminal, Write};
use std::sync::OnceLock;

use crate::base::Environment;
use crate::cli::args::{Color, Format, Global, Messages, Progress};
use crate::cli::escapes::for_stderr;
use crate::cli::progress::JsonProgress;
use crate::diag::{Diagnostics, MessageFormat, RenderOptions, Severity, SourceMap, render_all};
use crate::event::{self, Event};
use crate::ops::{Error, FailedAction, SpecPlace};

/// How output looks.
#[derive(Debug)]
pub(crate) struct Output {
    /// Whether standard error is coloured.
    pub(crate) color: bool,
    /// Whether standard error is a terminal.
    pub(crate) terminal: bool,
    /// Whether data is JSON.
    pub(crate) json: bool,
    /// Whether standard error is the stream of events, of which each line is JSON.
    pub(crate) events: bool,
    messages: MessageFormat,
    width: usize,
    /// Why data did not reach its reader.
    lost: OnceLock<std::io::Error>,
}

impl Output {
    /// As asked for and as the streams allow.
    pub(crate) fn new(global: &Global, environment: &Environment) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let color = match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                let is_dumb = environment.raw("TERM").is_some_and(|term| term == "dumb");
                terminal && !is_dumb && environment.get(Environment::NO_COLOR).is_none()
            }
        };
        let messages = match global.message_format {
            Messages::Human if environment.get(Environment::NO_GRAPHICS).is_some_and(|value| value != "0") => {
                MessageFormat::Narrated
            }
            Messages::Human => MessageFormat::Human,
            Messages::Narrated => MessageFormat::Narrated,
            Messages::Short => MessageFormat::Short,
            Messages::Json => MessageFormat::Json,
            Messages::Sarif => MessageFormat::Sarif,
            Messages::Github => MessageFormat::Github,
        };
        let width = rustix::termios::tcgetwinsize(std::io::stderr()).map_or(100, |size| usize::from(size.ws_col));
        let width = if width == 0 { 100 } else { width.clamp(40, 160) };
        let json = global.format == Some(Format::Json);
        let events = global.progress == Progress::Json;
        Self { color, terminal, json, events, messages, width, lost: OnceLock::new() }
    }

    /// Writes data to standard output.
    pub(crate) fn data(&self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Writes data to standard output: a text, or one JSON document if that was asked for.
    pub(crate) fn text_or(&self, text: &str, document: impl FnOnce() -> serde_json::Value) {
        if self.json {
            self.data(&format!("{}\n", document()));
        } else if !text.is_empty() {
            self.data(text);
        }
    }

    /// Writes bytes as they are to standard output. A reader that went away has read enough; any other
    /// failure is kept, as data that is cut short must not pass for whole.
    pub(crate) fn bytes(&self, bytes: &[u8]) {
        let mut stdout = std::io::stdout().lock();
        if let Err(error) = stdout.write_all(bytes).and_then(|()| stdout.flush())
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            let _ = self.lost.set(error);
        }
    }

    /// Writes data as it is to standard error, where it belongs to that.
    pub(crate) fn error_bytes(&self, bytes: &[u8]) {
        let mut stderr = std::io::stderr().lock();
        if let Err(error) = stderr.write_all(bytes).and_then(|()| stderr.flush())
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            let _ = self.lost.set(error);
        }
    }

    /// Says so if data did not reach its reader. Returns the exit status, which is that of the command
    /// if something else went wrong before.
    pub(crate) fn finish(mut self, status: u8) -> u8 {
        match self.lost.take() {
            Some(error) if status == 0 => {
                let error = Error::io("write to", "standard output")(error);
                self.complaint(&error.code(), &error.to_string(), None, None);
                error.kind().exit_status()
            }
            _ => status,
        }
    }

    /// Writes a line of information to standard error.
    pub(crate) fn note(&self, text: &str) {
        if self.events {
            return JsonProgress::tell(Event::Notice { text: text.trim().to_owned() });
        }
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// Writes diagnostics: forms made for programs to standard output, forms for people to standard
    /// error.
    pub(crate) fn diagnostics(&self, diagnostics: &Diagnostics, sources: &SourceMap) {
        let is_for_people =
            matches!(self.messages, MessageFormat::Human | MessageFormat::Narrated | MessageFormat::Short);
        if self.events && is_for_people {
            for found in diagnostics.sorted() {
                let severity = match found.severity {
                    Severity::Error => event::Severity::Error,
                    Severity::Warning => event::Severity::Warning,
                    Severity::Note => event::Severity::Note,
                };
                JsonProgress::tell(Event::Reported {
                    severity,
                    code: found.code.to_string(),
                    text: found.message.clone(),
                    addr: None,
                    place: Some(sources.place(found.primary.span)),
                    help: (!found.help.is_empty()).then(|| found.help.join("\n")),
                });
            }
            return;
        }
        let options = RenderOptions { format: self.messages, color: self.color, width: self.width };
        let text = render_all(diagnostics, sources, options);
        if is_for_people {
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
        } else {
            self.data(&text);
        }
    }

    /// Writes an action that failed: code, what went wrong, and where its author can mend it. `whole`
    /// says whether all lines of the text are wanted, or only the first as the rest was shown before.
    pub(crate) fn failure(&self, failed: &FailedAction, whole: bool) {
        if self.events {
            return JsonProgress::tell(Event::Reported {
                severity: event::Severity::Error,
                code: failed.code.to_string(),
                text: failed.text.clone(),
                addr: Some(failed.addr.clone()),
                place: failed.place.as_ref().map(ToString::to_string),
                help: None,
            });
        }
        let text = if whole { failed.text.as_str() } else { failed.text.lines().next().unwrap_or_default() };
        let mut stderr = std::io::stderr().lock();
        let (red, cyan, off) = self.paint();
        let text = for_stderr(text).replace('\n', "\n  ");
        // What only waits for people has not failed.
        let waits = failed.code == "E0217";
        let verb = if waits { "is not approved" } else { "failed" };
        let _ = writeln!(stderr, "{red}error[{}]{off}: `{}` {verb}: {text}", failed.code, failed.addr);
        if let Some(place) = &failed.place {
            let _ = writeln!(stderr, "  {cyan}-->{off} {place}");
        }
        if let Some(applied) = &failed.applied {
            let what = match failed.code {
                "E0216" => "the gate is applied here",
                "E0217" => "this waits for it",
                _ => "the recipe is applied here",
            };
            let _ = writeln!(stderr, "  {cyan}:::{off} {applied}: {what}");
        }
        if failed.printed {
            let _ = writeln!(stderr, "  {cyan}help{off}: all that it printed: `partita log --addr {}`", failed.addr);
        }
        if !whole {
            // What is to be declared is best read beside the place where.
            for help in failed.text.lines().filter(|line| line.starts_with("help: ")) {
                let _ = writeln!(stderr, "  {help}");
            }
        }
    }

    fn paint(&self) -> (&'static str, &'static str, &'static str) {
        if self.color { ("\x1b[1;31m", "\x1b[36m", "\x1b[0m") } else { ("", "", "") }
    }

    /// Writes an error.
    pub(crate) fn error(&self, error: &Error) {
        if self.json {
            let object = serde_json::json!({
                "error": {
                    "code": error.code(), "message": error.to_string(), "help": error.help(),
                    "place": error.place().map(place_json),
                },
            });
            self.data(&format!("{object}\n"));
            return;
        }
        self.complaint(&error.code(), &error.to_string(), error.place(), error.help().as_deref());
    }

    /// Writes an error for people to standard error, whatever the form of data.
    pub(crate) fn complaint(&self, code: &str, text: &str, place: Option<&SpecPlace>, help: Option<&str>) {
        if self.events {
            return JsonProgress::tell(Event::Reported {
                severity: event::Severity::Error,
                code: code.to_owned(),
                text: text.to_owned(),
                addr: None,
                place: place.map(ToString::to_string),
                help: help.map(ToOwned::to_owned),
            });
        }
        let mut stderr = std::io::stderr().lock();
        let (red, cyan, off) = self.paint();
        let _ = writeln!(stderr, "{red}error[{code}]{off}: {text}");
        if let Some(place) = place {
            let _ = writeln!(stderr, "  {cyan}-->{off} {place}");
        }
        if let Some(help) = help {
            let _ = writeln!(stderr, "  {cyan}help{off}: {help}");
        }
    }
}

/// A place in a spec as JSON.
pub(crate) fn place_json(place: &SpecPlace) -> serde_json::Value {
    serde_json::json!({"file": place.file, "line": place.line, "column": place.column})
}
