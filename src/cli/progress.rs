//! Progress on standard error: a live view on a terminal, plain lines elsewhere, events as JSON. A
//! sink of the event stream like any other. Leaves out the summary, which is the command's.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::base::{Clock, SystemClock, format_duration, format_micro_usd};
use crate::cli::escapes::for_stderr;
use crate::cli::view::{Frame, View, paint};
use crate::event::{Cause, Check, Difference, Envelope, Event, Outcome, Sink, Verdict};
use crate::ops::describe;

/// How often a view is drawn.
const REDRAW: Duration = Duration::from_millis(100);

/// How often is looked for what runs for long, where nothing is drawn.
const LOOK: Duration = Duration::from_secs(1);

/// A line for each thing that happens; hits only as a count. What runs for long is told of each minute,
/// as there are places that end what is silent.
pub(crate) struct PlainProgress {
    shared: Arc<Shared>,
    color: bool,
}

/// What the lines and the one who looks for what takes long have in common.
#[derive(Default)]
struct Shared {
    view: Mutex<View>,
    over: Condvar,
}

impl PlainProgress {
    /// Lines, with or without colour.
    pub(crate) fn new(color: bool) -> Self {
        Self { shared: Arc::default(), color }
    }
}

impl Sink for PlainProgress {
    fn event(&self, envelope: &Envelope) {
        let mut view = self.shared.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.event(envelope);
        match &envelope.event {
            Event::RunStarted { .. } if view.open() == 1 => watch(&self.shared, self.color),
            Event::RunFinished { .. } if view.open() == 0 => self.shared.over.notify_all(),
            _ => {}
        }
        if let Some(line) = line(&view, &envelope.event, self.color) {
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        }
    }
}

/// Tells of what runs for long until the run is over. That there is no thread for it harms nothing.
fn watch(shared: &Arc<Shared>, color: bool) {
    let shared = Arc::clone(shared);
    let look = move || {
        let clock = SystemClock::new();
        let mut view = shared.view.lock().unwrap_or_else(PoisonError::into_inner);
        while view.open() > 0 {
            view = shared.over.wait_timeout(view, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            for line in view.long(clock.now()) {
                let _ = writeln!(std::io::stderr().lock(), "{} {line}", paint("36", "runs", color));
            }
        }
    };
    let _ = std::thread::Builder::new().name("progress".to_owned()).spawn(look);
}

/// The line for an event, if it deserves one.
/// `view`: the run with that event.
fn line(view: &View, event: &Event, color: bool) -> Option<String> {
    let paint = |code: &str, text: &str| paint(code, text, color);
    match event {
        Event::ActionRetried { addr, attempt, failure, delay_ms } => {
            let first = for_stderr(failure.lines().next().unwrap_or_default());
            let delay = format_duration(Duration::from_millis(*delay_ms));
            Some(format!("{} {addr}: attempt {attempt} failed ({first}); again in {delay}", paint("33", "retry")))
        }
        Event::ActionFinished { addr, outcome, reason, duration_ms, failure, spent, .. } => {
            let spent = spent.map_or(String::new(), |spent| format!(", ${}", format_micro_usd(spent.micro_usd)));
            let count = format!("[{}/{}]", view.done(), view.total());
            let duration = format_duration(Duration::from_millis(*duration_ms));
            match outcome {
                Outcome::Ran => {
                    Some(format!("{count} {} {addr} ({duration}{spent}): {}", paint("32", "ran"), describe(reason)))
                }
                Outcome::Failed => {
                    let text = for_stderr(failure.as_deref().unwrap_or("no reason was given"));
                    let text = text.replace('\n', "\n    ");
                    Some(format!("{count} {} {addr} ({duration}{spent})\n    {text}", paint("1;31", "failed")))
                }
                Outcome::Skipped if failure.is_some() => {
                    let text = for_stderr(failure.as_deref().unwrap_or_default()).replace('\n', "\n    ");
                    Some(format!("{count} {} {addr}\n    {text}", paint("33", "waits")))
                }
                Outcome::Skipped => Some(format!("{count} {} {addr}: {}", paint("33", "skipped"), describe(reason))),
                Outcome::Cached | Outcome::CutOff => None,
            }
        }
        Event::ActionChecked { addr, check } => checked(addr, check, &paint),
        Event::BlobQuarantined { digest } => {
            Some(format!("{} blob b3:{digest} was corrupt in the store and is made anew", paint("33", "note")))
        }
        Event::ServiceReady { service, duration_ms } => {
            let duration = format_duration(Duration::from_millis(*duration_ms));
            Some(format!("{} service {service} is ready ({duration})", paint("36", "serve")))
        }
        Event::ServiceStopped { service, failure: Some(text) } => {
            let first = for_stderr(text.lines().next().unwrap_or_default());
            Some(format!("{} service {service}: {first}", paint("1;31", "failed")))
        }
        Event::ServiceStarted { .. } | Event::ServiceStopped { failure: None, .. } => None,
        Event::Notice { text } => Some(format!("{} {text}", paint("33", "note"))),
        Event::RunStarted { .. }
        | Event::RunEstimated { .. }
        | Event::ActionWaits { .. }
        | Event::ActionStarted { .. }
        | Event::Reported { .. }
        | Event::RunFinished { .. } => None,
    }
}

/// What came of making an action again; nothing if it came out the same.
fn checked(addr: &str, check: &Check, paint: &dyn Fn(&str, &str) -> String) -> Option<String> {
    match check.verdict {
        Verdict::Equal => None,
        Verdict::Unchecked => {
            let notes = check.notes.join("; ");
            Some(format!("{} {addr} was not made again: {notes}", paint("33", "note")))
        }
        Verdict::Different => {
            let mut text = format!("{} {addr} does not come out the same each time", paint("1;31", "differs"));
            for difference in &check.differences {
                let Difference { before, after, cause, .. } = difference;
                let cause = match cause {
                    Cause::Unknown => "the cause is not recognised".to_owned(),
                    other => format!("probably {}", other.words()),
                };
                text.push_str(&format!("\n    {}\n        `{before}` became `{after}`: {cause}", difference.located()));
            }
            for note in &check.notes {
                text.push_str(&format!("\n    {note}"));
            }
            Some(text)
        }
    }
}

/// The live view of a terminal, with lines above it that stay.
pub(crate) struct LiveProgress {
    bar: ProgressBar,
    view: Arc<Mutex<View>>,
    color: bool,
}

impl LiveProgress {
    /// A view on standard error, with or without colour.
    pub(crate) fn new(color: bool) -> Self {
        let view: Arc<Mutex<View>> = Arc::default();
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        let drawn = Arc::clone(&view);
        let clock = Arc::new(SystemClock::new());
        let draw = move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
            let view = drawn.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = out.write_str(&view.lines(clock.now(), frame(color)).join("\n"));
        };
        if let Ok(style) = ProgressStyle::with_template("{view}") {
            bar.set_style(style.with_key("view", draw));
        }
        Self { bar, view, color }
    }
}

/// How much room the terminal has for the view: the lines that stay need some too.
fn frame(color: bool) -> Frame {
    let size = rustix::termios::tcgetwinsize(std::io::stderr());
    let (width, height) = size.map_or((80, 24), |size| (usize::from(size.ws_col), usize::from(size.ws_row)));
    // A terminal that does not tell its size says 0.
    let (width, height) = (if width == 0 { 80 } else { width }, if height == 0 { 24 } else { height });
    Frame { width: width - 1, height: (height / 2).clamp(1, 12), color }
}

impl Sink for LiveProgress {
    fn event(&self, envelope: &Envelope) {
        let (line, open) = {
            let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
            view.event(envelope);
            (line(&view, &envelope.event, self.color), view.open())
        };
        // Drawing looks at the view, so it is not held here.
        match &envelope.event {
            Event::RunStarted { .. } if open == 1 => self.bar.enable_steady_tick(REDRAW),
            Event::RunFinished { .. } if open == 0 => self.bar.finish_and_clear(),
            _ => {}
        }
        if let Some(line) = line {
            self.bar.println(line);
        }
    }
}

/// Every event as JSON, one a line.
pub(crate) struct JsonProgress;

/// The run that was told of last, and the number of its last event: what a command says besides comes after it.
static LAST: Mutex<(String, u64)> = Mutex::new((String::new(), 0));

impl JsonProgress {
    /// Tells what is of no run, or comes after one: each line of the stream is an event.
    pub(crate) fn tell(event: Event) {
        let (run, seq) = {
            let last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
            (last.0.clone(), last.1 + 1)
        };
        let at = SystemClock::new().now().0;
        Self.event(&Envelope { v: Envelope::VERSION, seq, at, run, event });
    }
}

impl JsonProgress {
    /// Tells what may come at any time, from any thread: it takes no number of a run's.
    pub(crate) fn aside(event: Event) {
        let run = LAST.lock().unwrap_or_else(PoisonError::into_inner).0.clone();
        let at = SystemClock::new().now().0;
        Self.event(&Envelope { v: Envelope::VERSION, seq: 0, at, run, event });
    }
}

/// The lines of the developer's log as events.
pub(crate) struct LogLines;

impl Write for LogLines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // A line of the log is one write.
        let text = String::from_utf8_lossy(bytes).trim_end().to_owned();
        if !text.is_empty() {
            JsonProgress::aside(Event::Notice { text });
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sink for JsonProgress {
    fn event(&self, envelope: &Envelope) {
        if envelope.seq > 0 {
            *LAST.lock().unwrap_or_else(PoisonError::into_inner) = (envelope.run.clone(), envelope.seq);
        }
        if let Ok(text) = serde_json::to_string(envelope) {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Reason;

    fn finished(addr: &str, outcome: Outcome) -> Event {
        Event::ActionFinished {
            addr: addr.into(),
            outcome,
            reason: Reason::NeverSeen,
            key: None,
            duration_ms: 1_200,
            usual_ms: None,
            failure: Some("exit status 3\nlast words".into()),
            logs: None,
            spent: None,
        }
    }

    #[test]
    fn hits_are_silent_and_failures_are_not() {
        let mut view = View::default();
        let mut told = |event: Event| {
            view.event(&Envelope { v: 1, seq: 1, at: 0, run: "r".into(), event: event.clone() });
            line(&view, &event, false)
        };
        told(Event::RunStarted { target: "g".into(), plan: "p".into(), actions: 2 });
        assert_eq!(told(finished("g/m", Outcome::Cached)), None);
        let failed = told(finished("g/n", Outcome::Failed)).unwrap();
        assert_eq!(failed, "[2/2] failed g/n (1.2 s)\n    exit status 3\n    last words");
        // What ends again, as what it took in was lost, is not counted twice.
        assert!(told(finished("g/n", Outcome::Ran)).unwrap().starts_with("[2/2] ran g/n"));
    }
}
