//! Progress on standard error: a live view on a terminal, plain lines elsewhere, events as JSON. A
//! sink of the event stream like any other. Leaves out the summary, which is the command's.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::base::format_duration;
use crate::event::{Cause, Check, Difference, Envelope, Event, Outcome, Sink, Verdict};
use crate::ops::describe;

/// A line for each thing that happens; hits only as a count.
pub(crate) struct PlainProgress {
    state: Mutex<Plain>,
    color: bool,
}

#[derive(Default)]
struct Plain {
    total: u64,
    done: u64,
}

impl PlainProgress {
    /// Lines, with or without colour.
    pub(crate) fn new(color: bool) -> Self {
        Self { state: Mutex::default(), color }
    }
}

impl Sink for PlainProgress {
    fn event(&self, envelope: &Envelope) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = line(&mut state, &envelope.event, self.color) {
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        }
    }
}

/// The line for an event, if it deserves one.
fn line(state: &mut Plain, event: &Event, color: bool) -> Option<String> {
    let paint = |code: &str, text: &str| if color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() };
    match event {
        Event::RunStarted { actions, .. } => {
            *state = Plain { total: *actions, done: 0 };
            None
        }
        Event::ActionRetried { addr, attempt, failure, delay_ms } => {
            let first = failure.lines().next().unwrap_or_default();
            let delay = format_duration(Duration::from_millis(*delay_ms));
            Some(format!("{} {addr}: attempt {attempt} failed ({first}); again in {delay}", paint("33", "retry")))
        }
        Event::ActionFinished { addr, outcome, reason, duration_ms, failure, .. } => {
            state.done += 1;
            let count = format!("[{}/{}]", state.done, state.total);
            let duration = format_duration(Duration::from_millis(*duration_ms));
            match outcome {
                Outcome::Ran => {
                    Some(format!("{count} {} {addr} ({duration}): {}", paint("32", "ran"), describe(reason)))
                }
                Outcome::Failed => {
                    let text = failure.as_deref().unwrap_or("no reason was given");
                    let text = text.replace('\n', "\n    ");
                    Some(format!("{count} {} {addr} ({duration})\n    {text}", paint("1;31", "failed")))
                }
                Outcome::Skipped if failure.is_some() => {
                    let text = failure.as_deref().unwrap_or_default().replace('\n', "\n    ");
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
            let first = text.lines().next().unwrap_or_default();
            Some(format!("{} service {service}: {first}", paint("1;31", "failed")))
        }
        Event::ServiceStarted { .. } | Event::ServiceStopped { failure: None, .. } => None,
        Event::Notice { text } => Some(format!("{} {text}", paint("33", "note"))),
        Event::ActionStarted { .. } | Event::RunFinished { .. } => None,
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

/// The live view of a terminal: a bar with what runs, and lines above it.
pub(crate) struct LiveProgress {
    bar: ProgressBar,
    state: Mutex<(Plain, BTreeSet<String>)>,
    color: bool,
}

impl LiveProgress {
    /// A view on standard error, with or without colour.
    pub(crate) fn new(color: bool) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(10));
        let bar_style = if color { "{bar:24.cyan/238}" } else { "{bar:24}" };
        if let Ok(style) =
            ProgressStyle::with_template(&format!("{bar_style} {{pos}}/{{len}} {{elapsed}} {{wide_msg}}"))
        {
            bar.set_style(style.progress_chars("━━─"));
        }
        Self { bar, state: Mutex::default(), color }
    }
}

impl Sink for LiveProgress {
    fn event(&self, envelope: &Envelope) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (plain, running) = &mut *state;
        match &envelope.event {
            Event::RunStarted { actions, .. } => self.bar.set_length(*actions),
            Event::ActionStarted { addr, .. } => {
                running.insert(addr.clone());
            }
            Event::ActionFinished { addr, .. } => {
                running.remove(addr);
                self.bar.inc(1);
            }
            _ => {}
        }
        let shown: Vec<&str> = running.iter().map(String::as_str).take(4).collect();
        let more = running.len().saturating_sub(shown.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        self.bar.set_message(format!("{}{more}", shown.join(", ")));
        if let Some(line) = line(plain, &envelope.event, self.color) {
            self.bar.println(line);
        }
        if let Event::RunFinished { .. } = envelope.event {
            self.bar.finish_and_clear();
        }
    }
}

/// Every event as JSON, one a line.
pub(crate) struct JsonProgress;

impl Sink for JsonProgress {
    fn event(&self, envelope: &Envelope) {
        if let Ok(text) = serde_json::to_string(envelope) {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Reason;

    fn finished(outcome: Outcome) -> Event {
        Event::ActionFinished {
            addr: "g/n".into(),
            outcome,
            reason: Reason::NeverSeen,
            key: None,
            duration_ms: 1_200,
            failure: Some("exit status 3\nlast words".into()),
            logs: None,
        }
    }

    #[test]
    fn hits_are_silent_and_failures_are_not() {
        let mut state = Plain { total: 2, done: 0 };
        assert_eq!(line(&mut state, &finished(Outcome::Cached), false), None);
        let failed = line(&mut state, &finished(Outcome::Failed), false).unwrap();
        assert_eq!(failed, "[2/2] failed g/n (1.2 s)\n    exit status 3\n    last words");
    }
}
