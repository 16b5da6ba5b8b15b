//! Services through the command line: when they start and end, what they enter, what their failures
//! look like, and that nothing of them survives. Leaves out mistakes in specs: see `ui`.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, test_kill_process};

use crate::support::{Gate, Outcome, Workspace};

/// A workspace in whose spec `GATE` stands for a pipe to the test.
fn workspace(nodes: &str) -> (Workspace, Gate) {
    let workspace = Workspace::new();
    let gate = Gate::new(&workspace.around().join("gate"));
    let spec = format!("partita edition=1\ntool setsid {{ exec setsid }}\ngraph g {{\n{nodes}}}\n");
    workspace.write("partita.kdl", spec.replace("GATE", &gate.path().display().to_string()));
    (workspace, gate)
}

fn pid_of(line: &str) -> Pid {
    line.parse().ok().and_then(Pid::from_raw).unwrap_or_else(|| panic!("`{line}` is no process"))
}

fn wait_for_the_end_of(pid: Pid) {
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    let patience = Timespec { tv_sec: 60, tv_nsec: 0 };
    let ready = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&patience)).expect("a process can be polled");
    assert!(ready > 0, "process {pid:?} does not end");
}

fn services(outcome: &Outcome) -> serde_json::Value {
    outcome.json()["services"].clone()
}

const TWO_USERS: &str = r#"
    service shop {
        run sh -c "echo $PORT $PARTITA_PORT_HTTP > GATE; exec sleep 1000"
        port http
        ready http="/health" within="60s"
    }
    node a {
        uses shop
        run sh -c "echo $1 $2 > a.txt" sh "{{ shop.http }}/a" (ref)shop.http.port
        output a.txt
    }
    node b {
        uses shop
        run sh -c "echo $URL > b.txt"
        env URL=(ref)shop.http
        output b.txt
    }
"#;

#[test]
fn one_instance_serves_all_that_use_it_and_none_starts_for_what_is_known() {
    let (workspace, mut gate) = workspace(TWO_USERS);
    // The test answers in the place of the service, where that was told to listen.
    let server = std::thread::spawn(move || {
        let line = gate.wait();
        let (port, same) = line.split_once(' ').expect("two variables");
        assert_eq!(port, same);
        let listener = TcpListener::bind(format!("127.0.0.1:{port}")).expect("the port is free");
        let mut asked = Vec::new();
        // Not ready, then ready.
        for status in ["503 Not Yet", "200 OK"] {
            let (mut stream, _) = listener.accept().expect("someone asks");
            let mut request = [0; 512];
            let count = stream.read(&mut request).expect("a request");
            asked.push(String::from_utf8_lossy(&request[..count]).lines().next().unwrap_or_default().to_owned());
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").expect("an answer");
        }
        (port.to_owned(), asked, gate)
    });
    let first = workspace.run(&["run", "g", "--format", "json"]).ok();
    let (port, asked, _gate) = server.join().expect("the server is asked");
    assert_eq!(asked, ["GET /health HTTP/1.1"; 2]);
    assert_eq!(workspace.read("out/g/a/a.txt"), format!("http://127.0.0.1:{port}/a {port}\n"));
    assert_eq!(workspace.read("out/g/b/b.txt"), format!("http://127.0.0.1:{port}\n"));
    let report = services(&first);
    assert_eq!((&report[0]["name"], &report[0]["started"]), (&"shop".into(), &true.into()), "{report}");
    assert!(report[0]["ready_ms"].is_u64() && report[0]["failure"].is_null(), "{report}");
    let log = report[0]["log"].as_str().expect("a log");
    assert!(std::path::Path::new(log).is_file(), "{log}");

    // Without the memory of the last run, so that it is the store that knows.
    let second = workspace.partita(&["run", "g", "--format", "json"]).env("PARTITA_MEMO", "off").run().ok();
    assert_eq!(second.json()["cached"], 2, "{}", second.describe());
    assert_eq!(services(&second)[0]["started"], false);
    let forecast = workspace.run(&["forecast", "g", "--format", "json"]).ok().json();
    assert_eq!(forecast["counts"]["hit"], 2);
}

const LOGGED: &str = r#"
    service db {
        run sh -c "cat data.txt; echo; echo up; exec sleep 1000"
        input data.txt from=(ref)data.data
        ready log="^up$" within="60s"
    }
    node data {
        write "one"
        output data path=data.txt
    }
    node a {
        uses db
        run sh -c "echo > a.txt"
        output a.txt
    }
    node free {
        run sh -c "echo > free.txt"
        output free.txt
    }
"#;

#[test]
fn a_change_of_a_service_or_of_what_it_takes_in_runs_what_uses_it() {
    let (workspace, _gate) = workspace(LOGGED);
    let spec = workspace.read("partita.kdl");
    assert_eq!(workspace.run(&["run", "g"]).ok().counts(), [3, 0, 0, 0, 0]);
    for change in [("cat data.txt", "cat -u data.txt"), ("\"one\"", "\"two\""), ("\"^up$\"", "\"^up\"")] {
        workspace.write("partita.kdl", spec.replace(change.0, change.1));
        let ran = 1 + u64::from(change.0 == "\"one\"");
        assert_eq!(workspace.run(&["run", "g"]).ok().counts(), [ran, 3 - ran, 0, 0, 0], "{change:?}");
        workspace.run(&["why", "g/a"]).ok().prints("the service `db`, or what it takes in, changed");
        workspace.write("partita.kdl", &spec);
        assert_eq!(workspace.run(&["run", "g"]).ok().counts()[1], 3);
    }
    // How long it may take is no part of it.
    workspace.write("partita.kdl", spec.replace("60s", "61s"));
    assert_eq!(workspace.run(&["run", "g"]).ok().counts(), [0, 3, 0, 0, 0]);
}

#[test]
fn what_a_reviewer_sees_of_a_service() {
    let (workspace, _gate) = workspace(LOGGED);
    workspace.run(&["plan", "g", "-o", "old.plan"]).ok();
    let text = workspace.run(&["plan", "g"]).ok();
    for line in ["service db", "ready: a line that matches \"^up$\", within 1 m 00 s", "uses db", "after g/data"] {
        assert!(text.stdout.contains(line), "{line}\n{}", text.stdout);
    }
    for format in ["dot", "mermaid", "html", "svg"] {
        assert!(workspace.run(&["plan", "g", "--format", format]).ok().stdout.contains("db"), "{format}");
    }
    let expanded = workspace.run(&["expand", "g"]).ok();
    assert!(expanded.stdout.contains("    service db {") && expanded.stdout.contains("uses db"), "{}", expanded.stdout);

    let spec = workspace.read("partita.kdl");
    workspace.write("partita.kdl", spec.replace("echo up; exec", "echo up; wget example.org; exec"));
    let changed = workspace.run(&["diff", "old.plan", ".", "--graph", "g", "--exit-code"]).expect(6);
    assert!(changed.stdout.contains("service db"), "{}", changed.stdout);
    assert!(changed.stdout.contains("of a service changed"), "{}", changed.stdout);
    workspace.write("partita.kdl", spec.replace("    node free {\n", "    node free {\n        uses db\n"));
    let changed = workspace.run(&["diff", "old.plan", ".", "--graph", "g", "--exit-code"]).expect(6);
    assert!(changed.stdout.contains("reaches service `db`"), "{}", changed.stdout);

    // A plan file that was changed by hand is refused.
    let plan = workspace.read("old.plan");
    for (from, to) in [("\"^up$\"", "\".*\""), ("\"services\":[\"db\"]", "\"services\":[\"dc\"]")] {
        assert!(plan.contains(from), "{from}");
        workspace.write("forged.plan", plan.replace(from, to));
        workspace.run(&["diff", "forged.plan", ".", "--graph", "g"]).expect(2);
    }
}

#[test]
fn of_a_recipe_the_steps_that_are_given_an_address_use_the_service() {
    let workspace = Workspace::with_spec(
        "recipe r {\n    param url type=string\n    returns page type=artifact.file\n    step prepare tool=sh {\n        \
         arg -c \"echo > p.txt\"\n        output p.txt\n    }\n    step ask tool=sh {\n        arg -c \"cp p.txt page.txt\" sh \
         (var)url\n        input p.txt from=(ref)prepare.p.txt\n        output page path=page.txt\n    }\n}\n\
         graph g {\n    service s {\n        run sh -c \"sleep 9\"\n        port http\n        ready tcp=http\n    }\n    \
         node n recipe=r {\n        uses s\n        with url=(ref)s.http\n    }\n}\n",
    );
    let plan = workspace.run(&["plan", "g", "--format", "json"]).ok().json_lines();
    let uses = |addr: &str| {
        let action = plan.iter().find(|line| line["addr"] == addr).expect("the action is there");
        action["services"].clone()
    };
    assert!(uses("g/n/prepare").is_null());
    assert_eq!(uses("g/n/ask"), serde_json::json!(["s"]));
}

#[test]
fn a_service_that_does_not_become_ready_fails_what_uses_it_with_its_log() {
    let (workspace, _gate) = workspace(
        r#"
    service never {
        run sh -c "echo first words; exec sleep 1000"
        ready log="^up$" within="300ms"
    }
    service gone {
        run sh -c "echo last words >&2; exit 7"
        port http
        ready tcp=http within="60s"
    }
    node a {
        uses never
        run sh -c "echo > a.txt"
        output a.txt
    }
    node b {
        uses gone
        run sh -c "echo > b.txt"
        output b.txt
    }
"#,
    );
    let outcome = workspace.run(&["run", "g/a"]).expect(14);
    outcome.says("did not become ready within 300 ms: no line it printed matches \"^up$\"").says("first words");
    let outcome = workspace.run(&["run", "g/b", "--format", "json"]).expect(14);
    let report = outcome.json();
    assert_eq!(report["actions"][0]["failure_class"], "service");
    let failure = report["services"][0]["failure"].as_str().expect("a failure").to_owned();
    assert!(failure.contains("exited with status 7 before it was ready"), "{failure}");
    assert!(failure.ends_with("last words"), "{failure}");
}

#[test]
fn a_service_that_ends_while_it_is_used_is_blamed() {
    let (workspace, _gate) = workspace(
        r#"
    service brief {
        run sh -c "echo up; read go < GATE; echo farewell; exit 3"
        ready log="^up$" within="60s"
    }
    node a {
        uses brief
        run sh -c "echo go > GATE; sleep 1; exit 1"
        output a.txt
    }
"#,
    );
    let outcome = workspace.run(&["run", "g"]).expect(14);
    outcome.says("service `brief` failed: it exited with status 3 while it was in use").says("farewell");
}

const SPREAD: &str = r#"
    service spread {
        run sh -c "setsid sleep 1000 & echo $! > GATE; sleep 1001 & echo $! > GATE; trap '' TERM; echo $$ > GATE; echo up; while :; do sleep 1002; done"
        tools setsid
        ready log="^up$" within="60s"
    }
    node a {
        uses spread
        run sh -c "echo $$ > GATE; exec sleep 1003"
        output a.txt
    }
"#;

#[test]
fn nothing_of_a_service_survives_the_run_however_it_ends() {
    for signal in [Signal::KILL, Signal::INT] {
        let (workspace, mut gate) = workspace(SPREAD);
        let mut command = workspace.partita(&["run", "g"]).command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        let pids: Vec<Pid> = (0..4).map(|_| pid_of(&gate.wait())).collect();
        kill_process(Pid::from_child(&child), signal).expect("it runs");
        child.wait().expect("it can be waited for");
        if signal == Signal::INT {
            // In good order: all are dead before the program is.
            assert!(pids.iter().all(|pid| test_kill_process(*pid).is_err()), "{pids:?}");
        }
        pids.into_iter().for_each(wait_for_the_end_of);
    }
}

#[test]
fn a_command_may_tell_that_a_service_is_ready() {
    let (workspace, mut gate) = workspace(
        r#"
    service s {
        run sh -c "echo $PORT > GATE; exec sleep 1000"
        port main scheme=none
        env WHERE="{{ s.main }}"
        ready sh -c "test \"$WHERE\" = \"127.0.0.1:$1\" && test \"$1\" = \"$2\" && test $PORT = $1 && test $PARTITA_PORT_MAIN = $1" sh "{{ s.main.port }}" (ref)s.main.port within="60s"
    }
    node a {
        uses s
        run sh -c "echo $1 > a.txt" sh "{{ s.main }}"
        output a.txt
    }
"#,
    );
    workspace.run(&["run", "g"]).ok();
    assert_eq!(workspace.read("out/g/a/a.txt"), format!("127.0.0.1:{}\n", gate.wait()));
}

#[test]
fn a_trace_has_a_line_for_each_service() {
    let (workspace, _gate) = workspace(LOGGED);
    workspace.run(&["run", "g", "--trace", "../trace.json"]).ok();
    let trace: serde_json::Value = serde_json::from_str(&workspace.read("../trace.json")).expect("it is JSON");
    let events = trace["traceEvents"].as_array().expect("a list");
    let of = |category: &str| events.iter().filter(|event| event["cat"] == category).collect::<Vec<_>>();
    let (served, actions) = (of("service"), of("action"));
    let names: Vec<&str> = served.iter().filter_map(|event| event["name"].as_str()).collect();
    assert_eq!(names, ["db starts", "db serves"]);
    let number = |event: &serde_json::Value, name: &str| event[name].as_f64().expect("a number");
    let end = |event: &serde_json::Value| number(event, "ts") + number(event, "dur");
    assert!((end(served[0]) - number(served[1], "ts")).abs() < 0.01, "it serves from when it is ready: {served:?}");
    let user = actions.iter().find(|event| event["name"] == "g/a").expect("it ran");
    assert!(end(served[1]) + 0.01 >= end(user) && number(served[0], "ts") >= number(user, "ts") - 0.01, "{events:?}");
    assert!(served.iter().all(|event| event["tid"] == served[0]["tid"]));
    assert!(actions.iter().all(|event| event["tid"] != served[0]["tid"]), "its line is its own");
    let line = events.iter().find(|event| event["name"] == "thread_name").expect("the line has a name");
    assert_eq!((&line["args"]["name"], &line["tid"]), (&"service db".into(), &served[0]["tid"]));
}
