//! Processes: what they get, how they are ended, and that none outlives its action.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use partita::base::{Clock, Limits};
use partita::event::{Event, Outcome, Reason};
use partita::exec::{CancelToken, End, Ended, FailureClass, Job, ProcessRunner, Runner};
use partita::plan::{Backoff, Class, Isolation, Retry, RetryOn};
use partita::store::Ledger;

use super::support::{Draft, World, counts, failure, outcome, plan, reason};

/// The process ids that processes wrote to a file, one a line.
fn pids(path: &Path) -> Vec<String> {
    let pids: Vec<String> = std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect();
    assert!(!pids.is_empty());
    pids
}

fn assert_dead(path: &Path) {
    for pid in pids(path) {
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "process {pid} is still there");
    }
}

/// A script that leaves a process in the background which writes its id, and waits until it has.
fn daemon(start: &str) -> String {
    format!("{start} sh -c 'echo $$ >> \"$PIDS\"; sleep 1000' & while [ ! -s \"$PIDS\" ]; do :; done")
}

#[test]
fn the_environment_is_exact() {
    let mut world = World::new();
    world.environment = partita::base::Environment::from_pairs(&[
        ("PATH", super::support::PATH),
        ("SECRET", "x"),
        ("PASSED", "through"),
        ("https_proxy", "http://proxy"),
    ]);
    let script = "env > o; exec 3<&- ; ls /proc/self/fd > fds";
    let mut plan = plan([
        Draft::sh("g/a", script).env("MINE", "1").output("o").output("fds"),
        Draft::sh("g/b", script).env("TZ", "Mine").class(Class::Volatile).output("o").output("fds"),
    ]);
    plan.tools.iter_mut().find(|tool| tool.name == "sh").unwrap().pass_env.push("PASSED".into());
    let report = world.run(&plan);
    let vars = |addr: &str| -> std::collections::BTreeMap<String, String> {
        let text = world.text(&report, addr, "o");
        text.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    };
    let a = vars("g/a");
    // `sh` itself adds these two.
    let names: Vec<&str> =
        a.keys().map(String::as_str).filter(|name| !["PWD", "_", "SHLVL", "OLDPWD"].contains(name)).collect();
    let want = ["HOME", "LANG", "LC_ALL", "MINE", "PASSED", "PATH", "SOURCE_DATE_EPOCH", "TMPDIR", "TZ"];
    assert_eq!(names, want);
    assert_eq!((a["LANG"].as_str(), a["LC_ALL"].as_str(), a["TZ"].as_str()), ("C.UTF-8", "C.UTF-8", "UTC"));
    assert_eq!(a["SOURCE_DATE_EPOCH"], "315532800");
    assert!(a["HOME"].ends_with("/home") && a["TMPDIR"].ends_with("/tmp") && a["PATH"].ends_with("/bin"));
    let b = vars("g/b");
    assert_eq!(b["TZ"], "Mine", "what is declared wins");
    assert_eq!(b["https_proxy"], "http://proxy", "handed to what may use the network");
    // Standard three, and the directory that `ls` reads.
    assert_eq!(world.text(&report, "g/a", "fds"), "0\n1\n2\n3\n");
}

#[test]
fn standard_input_is_closed_and_the_umask_fixed() {
    let world = World::new();
    let script = "cat > from-stdin; umask > mask; pwd > where";
    let plan = plan([Draft::sh("g/a", script).output("from-stdin").output("mask").output("where")]);
    let report = world.run(&plan);
    assert_eq!(world.text(&report, "g/a", "from-stdin"), "");
    assert_eq!(world.text(&report, "g/a", "mask"), "0022\n");
    assert!(world.text(&report, "g/a", "where").ends_with("/work\n"));
}

#[test]
fn the_working_directory_is_below_and_the_name_is_bare() {
    let world = World::new();
    let script = "pwd > ../../o; echo \"$0\" >> ../../o";
    let report = world.run(&plan([Draft::sh("g/a", script).cwd("sub/dir").output("o")]));
    let text = world.text(&report, "g/a", "o");
    assert!(text.lines().next().unwrap().ends_with("sub/dir"), "{text}");
    assert_eq!(text.lines().nth(1), Some("sh"));
}

#[test]
fn a_timeout_kills_grandchildren_that_left_the_session_and_ignore_signals() {
    let world = World::new();
    let file = world.side("pids");
    let script = format!("trap '' TERM INT HUP; {}; while :; do sleep 1000; done", daemon("setsid"));
    let plan = plan([Draft::sh("g/a", &script).env("PIDS", file.to_str().unwrap()).timeout(400)]);
    let report = world.run(&plan);
    assert_eq!(failure(&report, "g/a"), "`sh` took longer than its timeout of 400 ms and was killed");
    let action = report.action("g/a").unwrap();
    assert_eq!(action.failure.as_ref().unwrap().class, FailureClass::Timeout);
    // Timeout, grace and slack.
    assert!((400..8_000).contains(&action.duration_ms), "{}", action.duration_ms);
    assert_dead(&file);
}

#[test]
fn nothing_is_left_after_a_success_and_held_pipes_are_not_waited_for() {
    let world = World::new();
    let files = ["group", "session", "double"].map(|name| world.side(name));
    let scripts = [
        daemon(""),
        daemon("setsid"),
        // Its parent ends at once, and its environment and working directory tell nothing.
        "(cd /; setsid env -i PIDS=\"$PIDS\" PATH=\"$PATH\" sh -c 'sh -c \"echo \\$\\$ >> \\\"\\$PIDS\\\"; sleep 1000\" & sleep 1000' &) ; \
         while [ ! -s \"$PIDS\" ]; do :; done"
            .to_owned(),
    ];
    let drafts = scripts.iter().zip(&files).enumerate().map(|(index, (script, file))| {
        let script = format!("{script}; echo done; echo x > o");
        let draft = Draft::sh(&format!("g/{index}"), &script).env("PIDS", file.to_str().unwrap()).output("o");
        // What shows no attempt ends with the first attempt that does: beside others its own would wait for it in vain.
        if index == 2 { draft.after("g/0").after("g/1") } else { draft }
    });
    let report = world.run(&plan(drafts));
    assert_eq!(report.counts, counts(3, 0, 0, 0, 0), "{report:?}");
    for (index, file) in files.iter().enumerate() {
        assert_dead(file);
        assert_eq!(world.log(&report, &format!("g/{index}"), 0), b"done\n");
    }
}

#[test]
fn the_daemon_of_one_action_is_not_killed_by_the_end_of_another() {
    let world = World::new();
    let (file, ended) = (world.side("pids"), world.side("ended"));
    // The first has a daemon and uses it until the second has ended and been cleared away.
    let long =
        format!("{}; while [ ! -s \"$ENDED\" ]; do :; done; read pid < \"$PIDS\"; kill -0 $pid", daemon("setsid"));
    let plan = plan([
        Draft::sh("g/a", &long).env("PIDS", file.to_str().unwrap()).env("ENDED", ended.to_str().unwrap()),
        Draft::sh("g/b", "while [ ! -s \"$PIDS\" ]; do :; done").env("PIDS", file.to_str().unwrap()),
        Draft::sh("g/c", "echo now > \"$ENDED\"").env("ENDED", ended.to_str().unwrap()).after("g/b"),
    ]);
    let mut request = world.request(plan.build());
    request.jobs = std::num::NonZeroUsize::new(2);
    let report = world.execute(request).unwrap();
    assert_eq!(report.counts, counts(3, 0, 0, 0, 0), "{report:?}");
    assert_dead(&file);
}

#[test]
fn a_flood_of_output_is_bounded_with_head_and_tail_kept() {
    let world = World::new();
    let line = "x".repeat(1022);
    let script =
        format!("echo first; i=0; while [ $i -lt 12000 ]; do echo {line}; i=$((i+1)); done; echo last; echo fine >&2");
    let report = world.run(&plan([Draft::sh("g/a", &script)]));
    let log = world.log(&report, "g/a", 0);
    assert!(log.starts_with(b"first\n") && log.ends_with(b"last\n"));
    assert!((Limits::LOG_BYTES..Limits::LOG_BYTES + 100).contains(&log.len()), "{}", log.len());
    let dropped = 12_000 * 1023 + 6 + 5 - Limits::LOG_BYTES;
    let marker = format!("\n[partita: {dropped} bytes left out]\n");
    assert!(log.windows(marker.len()).any(|window| window == marker.as_bytes()));
    assert_eq!(world.log(&report, "g/a", 1), b"fine\n");
}

#[test]
fn output_need_not_be_text() {
    let world = World::new();
    let report = world
        .run(&plan([Draft::sh("g/a", "printf '\\377\\000\\200'"), Draft::sh("g/b", "printf 'bad \\377' >&2; exit 1")]));
    assert_eq!(world.log(&report, "g/a", 0), b"\xff\x00\x80");
    assert_eq!(failure(&report, "g/b"), "`sh` exited with status 1\nbad \u{fffd}");
}

#[test]
fn a_process_that_kills_itself_or_cannot_start() {
    let world = World::new();
    world.write("tools/bad.sh", "#!/no/such/interpreter\n");
    let path = world.ws().join("tools/bad.sh");
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let kind = partita::plan::ActionKind::Exec { tool: "bad".into(), args: vec![] };
    let mut plan = plan([Draft::sh("g/a", "kill -9 $$"), Draft::new("g/b", kind)]);
    let mut bad = super::support::tool("bad", &[]);
    bad.exec = partita::plan::ToolExec::Workspace(super::support::path("tools/bad.sh"));
    plan.tools.push(bad);
    let report = world.run(&plan);
    assert_eq!(failure(&report, "g/a"), "`sh` was ended by signal 9");
    assert!(failure(&report, "g/b").starts_with("cannot start `"), "{}", failure(&report, "g/b"));
}

#[test]
fn a_process_that_waits_for_a_terminal_is_ended() {
    let world = World::new();
    // What the kernel does to a process in the background that reads from its terminal.
    let report = world.run(&plan([Draft::sh("g/a", "echo before; kill -TTIN $$; echo after")]));
    assert!(failure(&report, "g/a").contains("asked the terminal for input"));
    assert_eq!(world.log(&report, "g/a", 0), b"before\n");
    let world = World::new();
    let stopped = "(kill -STOP $$ ; :) & while [ ! -s /proc/$$/stat ]; do :; done; wait; :";
    let report = world.run(&plan([Draft::sh("g/b", stopped).timeout(1_500)]));
    let class = report.action("g/b").and_then(|action| action.failure.as_ref()).map(|failure| failure.class);
    assert_eq!(class, Some(FailureClass::Timeout), "stopping itself is another matter, and a timeout ends it");
}

fn retry(max: u32, on: RetryOn) -> Retry {
    Retry { max, on, backoff: Backoff::Exponential(1) }
}

/// Fails until it was tried this often.
fn flaky(addr: &str, world: &World, tries: u32, status: u32) -> Draft {
    let file = world.side(addr.rsplit('/').next().unwrap());
    let script = format!(
        "echo x >> \"$TRIES\"; n=0; while read l; do n=$((n+1)); done < \"$TRIES\"; [ $n -ge {tries} ] || exit {status}; echo $n > o"
    );
    Draft::sh(addr, &script).env("TRIES", file.to_str().unwrap()).output("o")
}

#[test]
fn only_declared_failures_are_tried_again_and_only_so_often() {
    let world = World::new();
    let plan = plan([
        flaky("g/transient", &world, 3, 75).retry(retry(2, RetryOn::Transient)),
        flaky("g/too-often", &world, 4, 75).retry(retry(2, RetryOn::Transient)),
        flaky("g/not-transient", &world, 2, 1).retry(retry(5, RetryOn::Transient)),
        flaky("g/any", &world, 2, 1).retry(retry(1, RetryOn::Any)),
        Draft::sh("g/slow", "sleep 1000").timeout(50).retry(retry(1, RetryOn::Timeout)),
        Draft::sh("g/no-output", "echo x >> \"$TRIES\"")
            .env("TRIES", world.side("no-output").to_str().unwrap())
            .output("o")
            .retry(retry(3, RetryOn::Any)),
    ]);
    let report = world.run(&plan);
    assert_eq!(world.text(&report, "g/transient", "o"), "3\n");
    assert_eq!(world.text(&report, "g/any", "o"), "2\n");
    let attempts = |addr: &str| report.action(addr).unwrap().attempts;
    assert_eq!(attempts("g/transient"), 3);
    assert_eq!((outcome(&report, "g/too-often"), attempts("g/too-often")), (Outcome::Failed, 3));
    assert_eq!((outcome(&report, "g/not-transient"), attempts("g/not-transient")), (Outcome::Failed, 1));
    assert_eq!((outcome(&report, "g/slow"), attempts("g/slow")), (Outcome::Failed, 2));
    assert_eq!(std::fs::read_to_string(world.side("no-output")).unwrap(), "x\n", "a success that lies is no flake");
    let retried = world.events().into_iter().filter(|event| matches!(event, Event::ActionRetried { .. }));
    assert_eq!(retried.count(), 2 + 2 + 1 + 1);
}

#[test]
fn cancelling_kills_what_runs_clears_up_and_skips_the_rest() {
    let world = World::new();
    let (file, fifo) = (world.side("pids"), world.side("fifo"));
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0)
        .unwrap();
    let script = format!("trap '' TERM; {}; echo up > \"$FIFO\"; while :; do sleep 1000; done", daemon("setsid"));
    let plan = plan([
        Draft::sh("g/a", "echo x > o").output("o"),
        Draft::sh("g/b", &script)
            .env("PIDS", file.to_str().unwrap())
            .env("FIFO", fifo.to_str().unwrap())
            .from("o", "g/a", "o")
            .output("p"),
        Draft::sh("g/c", "cat p > q").from("p", "g/b", "p").output("q"),
        Draft::sh("g/d", "echo y > o").after("g/c").output("o"),
    ]);
    let cancel = world.cancel.clone();
    let waiter = std::thread::spawn(move || {
        // Blocks until the process is up.
        assert_eq!(std::fs::read(&fifo).unwrap(), b"up\n");
        cancel.cancel();
    });
    let report = world.run(&plan);
    waiter.join().unwrap();
    assert!(report.cancelled);
    assert_eq!(report.counts, counts(1, 0, 0, 0, 3), "{report:?}");
    for addr in ["g/b", "g/c", "g/d"] {
        assert_eq!(reason(&report, addr), Reason::Cancelled, "{addr}");
    }
    assert_dead(&file);
    assert_eq!(world.memory.claims().len(), 1, "what was done is kept, what was killed is not");
    assert!(matches!(world.events().last(), Some(Event::RunFinished { .. })));
}

#[test]
fn a_cancelled_run_ends_soon_even_if_it_waits_for_a_retry() {
    struct CancelOnRetry(CancelToken);
    impl partita::event::Sink for CancelOnRetry {
        fn event(&self, envelope: &partita::event::Envelope) {
            if matches!(envelope.event, Event::ActionRetried { .. }) {
                self.0.cancel();
            }
        }
    }
    let mut world = World::new();
    world.extra_sink = Some(Arc::new(CancelOnRetry(world.cancel.clone())));
    let hour = Retry { max: 1, on: RetryOn::Any, backoff: Backoff::Fixed(3_600_000) };
    let report = world.run(&plan([Draft::sh("g/a", "exit 1").retry(hour)]));
    assert_eq!(report.counts, counts(0, 0, 0, 0, 1));
    assert!(report.duration_ms < Duration::from_mins(1).as_millis() as u64);
}

/// Starts processes, and loses sight of how they end.
struct Blind(ProcessRunner);

impl Runner for Blind {
    fn isolation(&self) -> Isolation {
        self.0.isolation()
    }

    fn run(&self, job: &Job<'_>, clock: &dyn Clock, cancel: &CancelToken) -> Ended {
        Ended { end: End::Unknown(std::io::Error::other("there is no word of it")), ..self.0.run(job, clock, cancel) }
    }
}

#[test]
fn what_ended_in_a_way_that_is_not_known_may_have_happened() {
    let mut world = World::new();
    let (side, ledger) = (world.side("log"), world.side("ledger.sqlite"));
    let script = format!("echo x >> {}", side.display());
    let plan = plan([Draft::sh("g/push", &script).class(Class::Effect)]);
    let sighted = std::mem::replace(&mut world.runner, Arc::new(Blind(ProcessRunner::default())));
    let run = |world: &World| {
        let mut request = world.request(plan.build());
        request.ledger = Some(Arc::new(Ledger::open(&ledger).unwrap()));
        let report = world.execute(request).unwrap();
        assert_eq!(report.action("g/push").unwrap().failure.as_ref().unwrap().class, FailureClass::Unknown);
        failure(&report, "g/push")
    };
    let told = run(&world);
    assert!(told.contains("how it ended is not known: there is no word of it"), "{told}");
    world.runner = sighted;
    let told = run(&world);
    assert!(told.contains("it may have happened"), "{told}");
    assert_eq!(std::fs::read_to_string(&side).unwrap(), "x\n");
}
