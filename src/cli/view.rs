//! What a run looks like while it goes on, as lines of text: how far it is, how long it will take, what
//! runs and for how long, what waits. A pure function of the events so far, the time and the size of the
//! terminal. Leaves out drawing, and lines that stay: see `progress`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::{Timestamp, format_duration};
use crate::event::{Envelope, Event, Outcome};

/// Columns of the bar.
const BAR: usize = 24;
/// What ran that long is worth a line where nothing is drawn.
const LONG: Duration = Duration::from_mins(1);

/// Where and how a view is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// Columns.
    pub(crate) width: usize,
    /// Lines at the most, at least 1.
    pub(crate) height: usize,
    /// Whether colours may be used.
    pub(crate) color: bool,
}

/// What is known of a run from its events.
#[derive(Debug, Default)]
pub(crate) struct View {
    total: u64,
    ran: u64,
    hits: u64,
    failed: u64,
    skipped: u64,
    /// How each action ended that did: one whose result the store lost ends twice.
    outcomes: BTreeMap<Box<str>, Outcome>,
    begun: Timestamp,
    running: BTreeMap<String, Running>,
    retrying: BTreeSet<String>,
    waiting: BTreeMap<String, Vec<String>>,
    /// Services that are ready, by run and name: runs side by side may have one each.
    services: BTreeSet<(String, String)>,
    /// By run.
    estimates: BTreeMap<String, Estimate>,
    /// How many runs have begun and not ended.
    open: usize,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    since: Timestamp,
    usual_ms: Option<u64>,
    /// Whether it was told of as something that takes long.
    told: Timestamp,
}

/// What is left, by earlier runs.
#[derive(Clone, Copy, Debug)]
struct Estimate {
    open: u64,
    known: u64,
    /// Of what is not done.
    work_ms: u64,
    least_ms: u64,
    jobs: u64,
    made: Timestamp,
}

impl Estimate {
    /// Both together, of runs that share their workers.
    fn beside(self, other: Self) -> Self {
        let made = self.made.max(other.made);
        // What has gone by of the older one's way is behind it.
        let least = |one: Self| one.least_ms.saturating_sub(since(one.made, made).as_millis() as u64);
        Self {
            open: self.open + other.open,
            known: self.known + other.known,
            work_ms: self.work_ms.saturating_add(other.work_ms),
            least_ms: least(self).max(least(other)),
            jobs: self.jobs.max(other.jobs),
            made,
        }
    }
}

impl View {
    /// Takes in an event.
    pub(crate) fn event(&mut self, envelope: &Envelope) {
        let now = envelope.timestamp();
        match &envelope.event {
            Event::RunStarted { actions, .. } => {
                if self.open == 0 {
                    *self = Self { begun: now, ..Self::default() };
                }
                self.total += actions;
                self.open += 1;
            }
            Event::RunEstimated { open, known, work_ms, least_ms, jobs } => {
                let estimate = Estimate {
                    open: *open,
                    known: *known,
                    work_ms: *work_ms,
                    least_ms: *least_ms,
                    jobs: (*jobs).max(1),
                    made: now,
                };
                self.estimates.insert(envelope.run.clone(), estimate);
            }
            Event::ActionWaits { addr, resources } => {
                self.waiting.insert(addr.clone(), resources.clone());
            }
            Event::ActionStarted { addr, usual_ms, .. } => {
                self.waiting.remove(addr);
                self.retrying.remove(addr);
                self.running.insert(addr.clone(), Running { since: now, usual_ms: *usual_ms, told: now });
            }
            Event::ActionRetried { addr, .. } => {
                self.running.remove(addr);
                self.retrying.insert(addr.clone());
            }
            Event::ActionFinished { addr, outcome, usual_ms, .. } => {
                self.running.remove(addr);
                self.retrying.remove(addr);
                self.waiting.remove(addr);
                if let Some(before) = self.outcomes.insert(addr.as_str().into(), *outcome) {
                    *self.count(before) -= 1;
                }
                *self.count(*outcome) += 1;
                if let Some(estimate) = self.estimates.get_mut(&envelope.run) {
                    estimate.work_ms = estimate.work_ms.saturating_sub(usual_ms.unwrap_or(0));
                }
            }
            Event::ServiceReady { service, .. } => {
                self.services.insert((envelope.run.clone(), service.clone()));
            }
            Event::ServiceStopped { service, .. } => {
                self.services.remove(&(envelope.run.clone(), service.clone()));
            }
            Event::RunFinished { .. } => self.open = self.open.saturating_sub(1),
            Event::ActionChecked { .. }
            | Event::ServiceStarted { .. }
            | Event::BlobQuarantined { .. }
            | Event::Notice { .. }
            | Event::Reported { .. } => {}
        }
    }

    fn count(&mut self, outcome: Outcome) -> &mut u64 {
        match outcome {
            Outcome::Ran => &mut self.ran,
            Outcome::Cached | Outcome::CutOff => &mut self.hits,
            Outcome::Failed => &mut self.failed,
            Outcome::Skipped => &mut self.skipped,
        }
    }

    /// How many actions have ended.
    pub(crate) fn done(&self) -> u64 {
        self.ran + self.hits + self.failed + self.skipped
    }

    /// How many there are.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// How many runs are under way, side by side.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// How long the rest will take, if earlier runs tell that of most of it.
    pub(crate) fn left(&self, now: Timestamp) -> Option<Duration> {
        let estimate = self.estimates.values().copied().reduce(Estimate::beside)?;
        if estimate.known * 2 < estimate.open {
            return None;
        }
        // Of what runs, a part is behind us; what takes longer than usual is about to end.
        let so_far = self.running.values().map(|running| {
            let usual = Duration::from_millis(running.usual_ms.unwrap_or(0));
            since(running.since, now).min(usual)
        });
        let work = Duration::from_millis(estimate.work_ms).saturating_sub(so_far.sum());
        let jobs = u32::try_from(estimate.jobs).unwrap_or(u32::MAX);
        // No more workers than there are actions left are of use, and a chain waits for itself.
        let way = Duration::from_millis(estimate.least_ms).saturating_sub(since(estimate.made, now));
        Some((work / jobs).max(way.min(work)))
    }

    /// A line for what has been running for long since it was last told of, for where nothing is drawn.
    pub(crate) fn long(&mut self, now: Timestamp) -> Vec<String> {
        let mut lines = Vec::new();
        for (addr, running) in &mut self.running {
            if since(running.told, now) >= LONG {
                running.told = now;
                let usual = running.usual_ms.map(|ms| format!(", usually {}", shown(Duration::from_millis(ms))));
                lines.push(format!("{addr} ({}{})", shown(since(running.since, now)), usual.unwrap_or_default()));
            }
        }
        lines
    }

    /// The lines of the view.
    pub(crate) fn lines(&self, now: Timestamp, frame: Frame) -> Vec<String> {
        let mut lines = vec![self.head(now, frame)];
        let mut running: Vec<_> = self.running.iter().collect();
        running.sort_by_key(|(addr, running)| (running.since, *addr));
        let mut rest = self.rest();
        // What waits is told in one line, what runs gets the rest of the room.
        let room = frame.height.max(1) - 1;
        let fits = room.saturating_sub(usize::from(!rest.is_empty()));
        let rows = if running.len() > fits { room.saturating_sub(1) } else { running.len() };
        if rows < running.len() {
            rest.insert(0, format!("{} more run", running.len() - rows));
        }
        for (addr, running) in running.into_iter().take(rows) {
            lines.push(row(addr, *running, now, frame));
        }
        if !rest.is_empty() && room > 0 {
            lines.push(paint("2", &cut(&format!("  {}", rest.join(" · ")), frame.width), frame.color));
        }
        lines
    }

    fn head(&self, now: Timestamp, frame: Frame) -> String {
        let done = self.done();
        let full = (done * BAR as u64).checked_div(self.total).unwrap_or(0).min(BAR as u64) as usize;
        let bar = ["━".repeat(full), "─".repeat(BAR - full)];
        let mut counts = vec![format!("{done}/{}", self.total)];
        let named = [(self.ran, "ran"), (self.hits, "cached"), (self.skipped, "skipped")];
        counts.extend(named.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
        let failed = (self.failed > 0).then(|| format!("{} failed", self.failed));
        let mut times = shown(since(self.begun, now));
        if let Some(left) = self.left(now) {
            times = format!("{times}, about {} left", shown(left));
        }
        let wide: usize = BAR + 1;
        let mut text = counts.join(", ");
        if let Some(failed) = &failed {
            text = format!("{text}, {failed}");
        }
        let text = cut(&format!("{text} · {times}"), frame.width.saturating_sub(wide));
        let text = match failed {
            Some(failed) => text.replacen(&failed, &paint("1;31", &failed, frame.color), 1),
            None => text,
        };
        if frame.width <= wide + 8 {
            return text;
        }
        format!("{}{} {text}", paint("36", &bar[0], frame.color), paint("2", &bar[1], frame.color))
    }

    fn rest(&self) -> Vec<String> {
        let mut by_resource: BTreeMap<&str, usize> = BTreeMap::new();
        for resource in self.waiting.values().flatten() {
            *by_resource.entry(resource).or_default() += 1;
        }
        let mut rest: Vec<String> = by_resource
            .into_iter()
            .map(|(name, count)| format!("{count} {} for `{name}`", if count == 1 { "waits" } else { "wait" }))
            .collect();
        if !self.retrying.is_empty() {
            rest.push(format!("{} to be tried again", self.retrying.len()));
        }
        if !self.services.is_empty() {
            let names: BTreeSet<&str> = self.services.iter().map(|(_, name)| name.as_str()).collect();
            rest.push(format!("serving {}", names.into_iter().collect::<Vec<_>>().join(", ")));
        }
        rest
    }
}

/// An action that runs.
fn row(addr: &str, running: Running, now: Timestamp, frame: Frame) -> String {
    let took = since(running.since, now);
    let usual = running.usual_ms.map(Duration::from_millis);
    // What takes twice as long as it did is worth a look.
    let late = usual.is_some_and(|usual| took > usual * 2 && took > usual + Duration::from_secs(1));
    let of = usual.map(|usual| format!(" of about {}", shown(usual))).unwrap_or_default();
    let times = format!("{}{of}", shown(took));
    let name = cut(addr, frame.width.saturating_sub(4 + times.chars().count()));
    format!("  {name}  {}", paint(if late { "33" } else { "2" }, &times, frame.color))
}

fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::from_nanos(u64::try_from(now.0.saturating_sub(then.0)).unwrap_or(0))
}

/// A duration in whole seconds where tenths would only flicker.
fn shown(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        return format!("0.{} s", duration.as_millis() / 100);
    }
    if duration < Duration::from_secs(10) {
        return format_duration(duration);
    }
    format_duration(Duration::from_secs(duration.as_secs())).replace(".0 s", " s")
}

/// A text in so many columns, with a sign where something is missing.
fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let kept: String = text.chars().take(columns.saturating_sub(1)).collect();
    if columns == 0 { String::new() } else { format!("{kept}…") }
}

/// A text in a colour, if there may be any.
pub(crate) fn paint(code: &str, text: &str, color: bool) -> String {
    if color && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Reason;

    const SECOND: i64 = 1_000_000_000;

    struct Told {
        view: View,
        seq: u64,
    }

    impl Told {
        fn new(actions: u64) -> Self {
            let mut told = Self { view: View::default(), seq: 0 };
            told.at(0, Event::RunStarted { target: "g".into(), plan: "p".into(), actions });
            told
        }

        fn at(&mut self, seconds: i64, event: Event) {
            self.of("r", seconds, event);
        }

        fn of(&mut self, run: &str, seconds: i64, event: Event) {
            self.seq += 1;
            self.view.event(&Envelope { v: 1, seq: self.seq, at: seconds * SECOND, run: run.into(), event });
        }

        fn starts(&mut self, seconds: i64, addr: &str, usual_ms: Option<u64>) {
            let reason = Reason::NeverSeen;
            self.at(seconds, Event::ActionStarted { addr: addr.into(), attempt: 1, reason, usual_ms });
        }

        fn ends(&mut self, seconds: i64, addr: &str, outcome: Outcome, usual_ms: Option<u64>) {
            let event = Event::ActionFinished {
                addr: addr.into(),
                outcome,
                reason: Reason::NeverSeen,
                key: None,
                duration_ms: 0,
                usual_ms,
                spent: None,
                failure: None,
                logs: None,
            };
            self.at(seconds, event);
        }

        fn lines(&self, seconds: i64, height: usize) -> Vec<String> {
            self.view.lines(Timestamp(seconds * SECOND), Frame { width: 80, height, color: false })
        }
    }

    #[test]
    fn what_is_made_again_counts_once() {
        let mut told = Told::new(2);
        told.ends(0, "g/a", Outcome::Cached, None);
        told.starts(1, "g/a", None);
        told.ends(2, "g/a", Outcome::Ran, None);
        told.ends(3, "g/b", Outcome::Ran, None);
        assert_eq!((told.view.done(), told.view.ran, told.view.hits), (2, 2, 0));
    }

    #[test]
    fn a_frame_says_how_far_it_is_what_runs_and_what_waits() {
        let mut told = Told::new(8);
        told.ends(0, "g/known", Outcome::Cached, None);
        told.at(0, Event::RunEstimated { open: 7, known: 6, work_ms: 60_000, least_ms: 20_000, jobs: 2 });
        told.starts(1, "g/compile/core", Some(12_000));
        told.starts(2, "g/compile/cli", None);
        told.at(2, Event::ActionWaits { addr: "g/train/a".into(), resources: vec!["gpu".into()] });
        told.at(2, Event::ActionWaits { addr: "g/train/b".into(), resources: vec!["gpu".into()] });
        told.ends(2, "g/lint", Outcome::Failed, Some(0));
        assert_eq!(
            told.lines(5, 10),
            [
                "━━━━━━────────────────── 2/8, 1 cached, 1 failed · 5.0 s, about 28 s left",
                "  g/compile/core  4.0 s of about 12 s",
                "  g/compile/cli  3.0 s",
                "  2 wait for `gpu`",
            ]
        );
        told.starts(6, "g/train/a", Some(1_000));
        assert!(told.lines(6, 10).contains(&"  1 waits for `gpu`".to_owned()));
    }

    #[test]
    fn runs_side_by_side_are_one_view() {
        let mut told = Told::new(2);
        told.of("s", 0, Event::RunStarted { target: "h".into(), plan: "q".into(), actions: 4 });
        let estimate = |open, work_ms, least_ms| Event::RunEstimated { open, known: open, work_ms, least_ms, jobs: 2 };
        told.at(0, estimate(2, 10_000, 10_000));
        told.of("s", 4, estimate(4, 30_000, 5_000));
        // All the work by both workers; the longest way is shorter, of which four seconds have gone by.
        assert_eq!(told.view.left(Timestamp(4 * SECOND)), Some(Duration::from_secs(20)));
        for run in ["r", "s"] {
            told.of(run, 4, Event::ServiceReady { service: "db".into(), duration_ms: 1 });
        }
        told.at(4, Event::ServiceStopped { service: "db".into(), failure: None });
        told.ends(4, "g/a", Outcome::Ran, Some(5_000));
        told.at(5, Event::RunFinished { counts: crate::event::Counts::default(), duration_ms: 5_000 });
        assert_eq!(told.view.open(), 1);
        let lines = told.lines(5, 10);
        assert!(lines[0].contains("1/6, 1 ran"), "{lines:?}");
        assert_eq!(lines[1], "  serving db", "the other has one of its own");
        told.of("s", 6, Event::RunFinished { counts: crate::event::Counts::default(), duration_ms: 6_000 });
        assert_eq!(told.view.open(), 0);
        // What is run after that is counted from the start.
        told.at(7, Event::RunStarted { target: "g".into(), plan: "p".into(), actions: 3 });
        assert_eq!((told.view.done(), told.view.total()), (0, 3));
    }

    #[test]
    fn a_low_terminal_gets_what_fits() {
        let mut told = Told::new(20);
        for n in 0..9 {
            told.starts(n, &format!("g/n{n}"), None);
        }
        let lines = told.lines(10, 5);
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert_eq!(lines[1], "  g/n0  10 s");
        assert_eq!(lines[4], "  6 more run");
        told.at(10, Event::ActionWaits { addr: "g/w".into(), resources: vec!["gpu".into()] });
        let lines = told.lines(10, 5);
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert_eq!(lines[4], "  6 more run · 1 waits for `gpu`");
        assert_eq!(told.lines(10, 1).len(), 1);
    }

    #[test]
    fn nothing_is_wider_than_the_terminal() {
        let mut told = Told::new(3);
        told.starts(0, &format!("g/{}", "long".repeat(40)), Some(90_000));
        told.at(0, Event::ActionWaits { addr: "g/w".into(), resources: (0..40).map(|n| format!("r{n}")).collect() });
        told.ends(0, "g/x", Outcome::Failed, None);
        for width in [1, 8, 20, 40, 79] {
            for line in told.view.lines(Timestamp(SECOND), Frame { width, height: 9, color: false }) {
                let most = width.max(30);
                assert!(line.chars().count() <= most, "{width}: {line}");
            }
        }
    }

    #[test]
    fn an_estimate_needs_to_know_most_and_falls_as_work_is_done() {
        let mut told = Told::new(4);
        told.at(0, Event::RunEstimated { open: 4, known: 1, work_ms: 10_000, least_ms: 10_000, jobs: 1 });
        assert_eq!(told.view.left(Timestamp(0)), None);
        told.at(0, Event::RunEstimated { open: 4, known: 4, work_ms: 40_000, least_ms: 10_000, jobs: 2 });
        assert_eq!(told.view.left(Timestamp(0)), Some(Duration::from_secs(20)));
        told.starts(0, "g/a", Some(10_000));
        assert_eq!(told.view.left(Timestamp(4 * SECOND)), Some(Duration::from_secs(18)));
        told.ends(5, "g/a", Outcome::Ran, Some(10_000));
        told.ends(5, "g/b", Outcome::CutOff, Some(10_000));
        assert_eq!(told.view.left(Timestamp(5 * SECOND)), Some(Duration::from_secs(10)));
        // A clock that is set back makes nothing negative.
        assert!(told.view.left(Timestamp(-5 * SECOND)).is_some());
    }

    #[test]
    fn what_runs_for_long_is_told_again_and_again_but_not_all_the_time() {
        let mut told = Told::new(1);
        told.starts(0, "g/a", Some(5_000));
        assert!(told.view.long(Timestamp(59 * SECOND)).is_empty());
        assert_eq!(told.view.long(Timestamp(60 * SECOND)), ["g/a (1 m 00 s, usually 5.0 s)"]);
        assert!(told.view.long(Timestamp(61 * SECOND)).is_empty());
        assert_eq!(told.view.long(Timestamp(120 * SECOND)), ["g/a (2 m 00 s, usually 5.0 s)"]);
    }
}
