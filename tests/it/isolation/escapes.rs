//! A program that tries to get out, at each level and as each user; and at no level, to show that it
//! would be noticed. Prints how many attempts got through: at `full` none may.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use walkdir::WalkDir;

use crate::isolation::{Who, failed_closed, program};
use crate::support::{NOBODY, Workspace};

const PROGRAM: &str = include_str!("escapes.py");

/// What an attempt came to.
type Results = BTreeMap<String, String>;

struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process of the same user that waits for its standard input to end.
#[expect(clippy::disallowed_methods, reason = "a process beside the program")]
fn victim(who: Who, folder: &std::path::Path) -> Victim {
    let mut command = Command::new(program("cat"));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).current_dir(folder).env("SECRET", "victim");
    if who == Who::Nobody {
        command.uid(NOBODY).gid(NOBODY);
    }
    Victim(command.spawn().expect("it can be started"))
}

/// Runs the program at a level. `None`: the level is not to be had.
fn attempt(who: Who, level: &str, class: &str) -> Option<Results> {
    let spec = format!(
        "tool python3 {{ exec python3; }}\ngraph g {{\n  node escape class={class} {{\n    input escapes.py\n    \
         run python3 escapes.py %ARGS% results.txt\n    output results.txt\n  }}\n}}\n"
    );
    let workspace = Workspace::new().file("escapes.py", PROGRAM).file("undeclared.txt", "undeclared");
    let outside = workspace.around().join("outside");
    let open = outside.join("open");
    fs::create_dir_all(&open).expect("a folder can be made");
    fs::set_permissions(workspace.around(), fs::Permissions::from_mode(0o755)).expect("a mode can be set");
    for file in ["secret", "open/target", "open/doomed"] {
        fs::write(outside.join(file), "outside").expect("a file can be written");
    }
    for folder in [&outside, &open] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).expect("a mode can be set");
    }
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port can be had");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port can be had");
    let (tcp_port, udp_port) =
        (tcp.local_addr().expect("it has one").port(), udp.local_addr().expect("it has one").port());
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, from)) = udp.recv_from(&mut buffer) {
            let _ = udp.send_to(b"pong", from);
        }
    });
    let name = format!("partita-escape-{}-{tcp_port}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let _abstract = UnixListener::bind_addr(&address).expect("an abstract socket can be had");
    let _unix = UnixListener::bind(outside.join("socket")).expect("a socket can be made");
    fs::set_permissions(outside.join("socket"), fs::Permissions::from_mode(0o777)).expect("a mode can be set");
    let _datagrams = UnixDatagram::bind(outside.join("datagrams")).expect("a socket can be made");
    fs::set_permissions(outside.join("datagrams"), fs::Permissions::from_mode(0o777)).expect("a mode can be set");
    if who == Who::Nobody {
        // Of the user's own files, what is noted with them can be changed wherever nothing keeps them away.
        std::os::unix::fs::chown(open.join("target"), Some(NOBODY), Some(NOBODY)).expect("a file can be given away");
    }
    let victim = victim(who, &outside);
    let args = format!(
        "\"{}\" \"{}\" \"{}\" \"{tcp_port}\" \"{udp_port}\" \"{name}\"",
        outside.display(),
        workspace.root().display(),
        victim.0.id()
    );
    workspace.write("partita.kdl", format!("partita edition=1\n{}", spec.replace("%ARGS%", &args)));
    who.own(&workspace);
    let outcome = who.run(&workspace, &["run", "g", "--isolation", level]);
    if failed_closed(&outcome, level) {
        return None;
    }
    let outcome = outcome.ok();
    let text = workspace.read("out/g/escape/results.txt");
    let results: Results =
        text.lines().filter_map(|line| line.split_once(": ")).map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
    assert!(results.len() > 60, "only {} attempts were made\n{text}\n{}", results.len(), outcome.describe());
    if level != "none" {
        let untouched = |path: &str| fs::read(outside.join(path)).is_ok_and(|bytes| bytes == b"outside");
        assert!(untouched("secret") && untouched("open/target") && untouched("open/doomed"));
        assert_eq!(names(&open), ["doomed", "target"], "nothing was made outside");
    }
    Some(results)
}

/// Names in a folder, sorted.
fn names(folder: &std::path::Path) -> Vec<String> {
    let walk = WalkDir::new(folder).min_depth(1).sort_by_file_name().into_iter().filter_map(Result::ok);
    walk.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[expect(clippy::print_stderr, reason = "the figure is what the test is for")]
fn check(who: Who, level: &str, class: &str, allowed: &[&str]) {
    if !who.is_possible() {
        return;
    }
    let Some(results) = attempt(who, level, class) else { return };
    let got_out: Vec<String> = results
        .iter()
        .filter(|(name, what)| what.starts_with("open") && !allowed.contains(&name.as_str()))
        .map(|(name, what)| format!("{name}: {what}"))
        .collect();
    eprintln!("isolation {level}, {class}, as {who:?}: {} attempts, {} escapes", results.len(), got_out.len());
    eprintln!("open by design: {}", allowed.join(", "));
    assert!(got_out.is_empty(), "escapes at {level} as {who:?}:\n{}", got_out.join("\n"));
    // What is said to be open is so, or the list would hide what is not.
    for name in allowed {
        assert!(results[*name].starts_with("open"), "`{name}` is called open, but is not: {}", results[*name]);
    }
}

/// Open at level `landlock`, by the row of the table in `isolation.md` that says so.
const LANDLOCK: &[(&str, &[&str])] = &[
    ("whether a file exists, its size, mode, owner and times", &["look_at_file_outside"]),
    (
        "mode, owner, times and extended attributes of files that the user may change",
        &["change_mode_outside", "change_times_outside", "change_owner_outside"],
    ),
    ("names, arguments, state and use of other processes", &["command_of_victim"]),
];
/// Open at level `full`: nobody outside has the same, nor is there anybody else of the user.
const FULL: &[&str] =
    &["posix_queue", "priority_of_the_user", "system_v_memory", "system_v_queue", "system_v_semaphores"];
/// Open to an action whose class lets it use the network.
const NETWORK: &[&str] = &["outside_address", "tcp_to_host", "udp_to_host"];

#[test]
fn nothing_gets_out_of_full() {
    check(Who::Self_, "full", "pure", FULL);
}

#[test]
fn nothing_gets_out_of_full_as_an_ordinary_user() {
    check(Who::Nobody, "full", "pure", FULL);
}

#[test]
fn the_network_class_opens_the_network_and_no_more() {
    check(Who::Self_, "full", "volatile", &[NETWORK, FULL].concat());
}

fn open_at_landlock() -> Vec<&'static str> {
    LANDLOCK.iter().flat_map(|(_, names)| names.iter().copied()).collect()
}

#[test]
fn the_page_says_what_is_open_at_landlock() {
    let page = include_str!("../../../book/src/concepts/isolation.md");
    let table = page.split("## What `landlock` does not keep away").nth(1).expect("the page has a section for it");
    let rows: Vec<&str> = table
        .lines()
        .skip_while(|line| !line.starts_with("| ---"))
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| line.split('|').nth(1).map(str::trim))
        .collect();
    let tried: Vec<&str> = LANDLOCK.iter().map(|(row, _)| *row).collect();
    assert_eq!(rows, tried, "the table and what the tests see to be open are not the same");
}

#[test]
fn landlock_keeps_files_and_the_network() {
    check(Who::Self_, "landlock", "pure", &open_at_landlock());
}

#[test]
fn landlock_keeps_files_and_the_network_as_an_ordinary_user() {
    check(Who::Nobody, "landlock", "pure", &open_at_landlock());
}

#[test]
fn without_isolation_the_same_attempts_get_through() {
    let results = attempt(Who::Self_, "none", "pure").expect("there is always none");
    let open = results.values().filter(|what| what.starts_with("open")).count();
    assert!(open > 15, "only {open} got through, so the attempts show nothing: {results:#?}");
    for name in ["read_file_outside", "tcp_to_host", "abstract_socket", "signal_victim", "run_undeclared_program"] {
        assert!(results[name].starts_with("open"), "{name}: {}", results[name]);
    }
}
