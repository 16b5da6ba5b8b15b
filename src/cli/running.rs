//! What commands that run have in common: options, progress, signals, the summary. Leaves out running.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use clap::ValueEnum;
use serde_json::json;

use crate::base::{Environment, SystemClock, format_duration, parse_duration_ms};
use crate::cli::args::{Cli, IsolationArg, Progress, RunOptions as Args};
use crate::cli::output::{Output, place_json};
use crate::cli::progress::{JsonProgress, LiveProgress, PlainProgress};
use crate::event::{NullSink, Sink, Verdict};
use crate::ops::{CancelToken, Error, Isolation, Locations, Recheck, RunContext, RunOptions, RunReply};

/// The signal that stopped the run; 0 for none.
static STOPPED_BY: AtomicU8 = AtomicU8::new(0);

/// The options of a run as the operation takes them.
pub(super) fn options(cli: &Cli, locations: &Locations, args: &Args, materialize: bool) -> Result<RunOptions, Error> {
    let jobs = match cli.global.jobs {
        Some(0) => return Err(Error::usage("`-j` needs a number from 1")),
        Some(jobs) => jobs,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let level = match (args.isolation, locations.environment.get(Environment::ISOLATION)) {
        (Some(level), _) => Some(level),
        (None, None) => None,
        (None, Some(word)) => {
            let level = word.to_str().and_then(|word| IsolationArg::from_str(word, false).ok());
            Some(level.ok_or_else(|| {
                let text = format!("`PARTITA_ISOLATION` is `{}`, which is no level", word.display());
                Error::usage_help(text, "levels are `full`, `landlock` and `none`")
            })?)
        }
    };
    let timeout = match &args.timeout {
        Some(text) => match parse_duration_ms(text) {
            Some(ms) => Some(Duration::from_millis(ms)),
            None => return Err(Error::usage(format!("`{text}` is not a duration: write it as `90s` or `20m`"))),
        },
        None => None,
    };
    let level = level.map(|level| match level {
        IsolationArg::Full => Isolation::Full,
        IsolationArg::Landlock => Isolation::Landlock,
        IsolationArg::None => Isolation::None,
    });
    Ok(RunOptions {
        jobs,
        keep_going: args.keep_going,
        isolation: level.unwrap_or(Isolation::None),
        level,
        require_cached: args.require_cached,
        refresh: args.refresh.clone(),
        check: args.check.iter().map(|text| Recheck::parse(text)).collect::<Result<_, _>>()?,
        done: args.done.clone(),
        replay_only: args.replay_only,
        timeout,
        materialize,
        memos: BTreeMap::new(),
    })
}

/// The surroundings of a run: progress as asked for, and signals that stop it.
pub(super) fn context(cli: &Cli, locations: &Locations, output: &Output) -> Result<RunContext, Error> {
    let cancel = CancelToken::new().map_err(Error::io("make an event for signals", "eventfd"))?;
    watch_signals(cancel.clone())?;
    let ci = locations.environment.get(Environment::CI).is_some();
    let sink: Arc<dyn Sink> = match cli.global.progress {
        Progress::Auto if output.terminal && !ci => Arc::new(LiveProgress::new(output.color)),
        Progress::Auto | Progress::Plain => Arc::new(PlainProgress::new(output.color)),
        Progress::Json => Arc::new(JsonProgress),
        Progress::None => Arc::new(NullSink),
    };
    let clock = Arc::new(SystemClock::new());
    Ok(RunContext { clock, sink, cancel, environment: locations.environment.clone() })
}

/// The signals of a terminal that goes away and of its keys, besides SIGINT and SIGTERM. Whoever starts us with
/// one of them ignored, as `nohup` does, wants it ignored.
const OTHERS: [(i32, u8); 2] =
    [(rustix::process::Signal::HUP.as_raw(), 1), (rustix::process::Signal::QUIT.as_raw(), 3)];

/// Whether a signal was ignored when the process was started.
fn is_ignored(number: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (number - 1)) != 0)
}

/// The first SIGINT, SIGTERM, SIGHUP or SIGQUIT stops the run in good order, the second ends the process at once.
fn watch_signals(cancel: CancelToken) -> Result<(), Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(Error::io("watch for signals", "signals"))?;
    let (mut interrupt, mut terminate, others) = runtime
        .block_on(async {
            let listened = OTHERS.into_iter().filter(|(raw, _)| !is_ignored(*raw));
            let others = listened.map(|(raw, number)| Ok((signal(SignalKind::from_raw(raw))?, number)));
            let others = others.collect::<std::io::Result<Vec<_>>>()?;
            Ok((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, others))
        })
        .map_err(Error::io("watch for signals", "signals"))?;
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let watch = move || {
        runtime.block_on(async {
            for (mut signal, number) in others {
                let told = told.clone();
                tokio::spawn(async move { while signal.recv().await.is_some() && told.send(number).is_ok() {} });
            }
            loop {
                let number = tokio::select! {
                    _ = interrupt.recv() => 2,
                    _ = terminate.recv() => 15,
                    Some(number) = heard.recv() => number,
                };
                if STOPPED_BY.swap(number, Ordering::SeqCst) != 0 {
                    abandon(number);
                }
                cancel.cancel();
            }
        });
    };
    #[expect(clippy::disallowed_methods, reason = "the second signal must end a process that hangs")]
    fn abandon(number: u8) -> ! {
        std::process::exit(128 + i32::from(number));
    }
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(watch)
        .map_err(Error::io("watch for signals", "signals"))?;
    Ok(())
}

/// The signal that stopped the run, if one did.
pub(super) fn stopped_by() -> Option<u8> {
    Some(STOPPED_BY.load(Ordering::SeqCst)).filter(|number| *number != 0)
}

/// Parameters as given by `-p NAME=VALUE`.
pub(super) fn params(cli: &Cli) -> Result<BTreeMap<String, String>, Error> {
    let mut params = BTreeMap::new();
    for given in &cli.global.params {
        let Some((name, value)) = given.split_once('=') else {
            return Err(Error::usage_help(format!("`-p {given}` has no `=`"), format!("write `-p {given}=VALUE`")));
        };
        if params.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(Error::usage(format!("the parameter `{name}` is given twice")));
        }
    }
    Ok(params)
}

/// The last line of a run.
pub(super) fn summary(reply: &RunReply) -> String {
    let counts = reply.counts;
    format!(
        "{} ran, {} cached, {} cut off, {} failed, {} skipped in {}",
        counts.ran,
        counts.cached,
        counts.cut_off,
        counts.failed,
        counts.skipped,
        format_duration(Duration::from_millis(reply.duration_ms))
    )
}

/// What came of making actions again, if any were.
pub(super) fn checked(reply: &RunReply) -> Option<String> {
    let counts = [Verdict::Equal, Verdict::Different, Verdict::Unchecked].map(|verdict| reply.checks(verdict));
    let [equal, different, unchecked] = counts;
    (counts != [0; 3]).then(|| {
        format!("made again: {equal} came out the same, {different} otherwise, {unchecked} could not be checked")
    })
}

/// The reply of a run as one JSON document.
pub(super) fn report_json(reply: &RunReply) -> serde_json::Value {
    let failures: Vec<_> = reply
        .failures
        .iter()
        .map(|failed| {
            json!({
                "addr": failed.addr, "code": failed.code, "text": failed.text,
                "place": failed.place.as_ref().map(place_json), "applied": failed.applied.as_ref().map(place_json),
            })
        })
        .collect();
    if let [only] = reply.reports.as_slice() {
        let mut report = only.to_json();
        report["failures"] = failures.into();
        take_back(reply, &mut report);
        return report;
    }
    let counts = reply.counts;
    let mut report = json!({
        "ran": counts.ran,
        "cached": counts.cached,
        "cut_off": counts.cut_off,
        "failed": counts.failed,
        "skipped": counts.skipped,
        "duration_ms": reply.duration_ms,
        "failures": failures,
        "runs": reply.reports.iter().map(crate::ops::RunReport::to_json).collect::<Vec<_>>(),
    });
    take_back(reply, &mut report);
    report
}

/// Says in a report what happened outside and can be taken back.
fn take_back(reply: &RunReply, report: &mut serde_json::Value) {
    if !reply.to_take_back.is_empty() {
        let all = reply.to_take_back.iter().map(|happened| json!({"addr": happened.addr, "by": happened.by}));
        report["to_take_back"] = all.collect();
    }
}
