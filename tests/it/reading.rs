//! Commands that read need nothing to be written: on a medium that cannot be, as another user, beside a writer. Those that
//! write say where they may not. Leaves out permissions within a workspace that may be written.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use partita::base::SystemClock;
use partita::store::History;
use walkdir::WalkDir;

use crate::support::{Invocation, Workspace, may_change_user, tool};

/// Commands that read, with what they must print.
const READERS: &[(&[&str], &str)] = &[
    (&["check"], ""),
    (&["fmt", "--check"], ""),
    (&["test"], ""),
    (&["expand", "g"], "graph g"),
    (&["plan", "g"], "g/b"),
    (&["forecast", "g"], "2 hit"),
    (&["why", "g/a"], "never run before"),
    (&["why-depends", "g/b", "g/a"], "g/a"),
    (&["runs"], "succeeded"),
    (&["runs", "--format", "json"], "\"ran\":2"),
    (&["log"], "one"),
    (&["log", "--format", "html"], "<!doctype html>"),
    (&["store", "stat"], "results      2"),
    (&["store", "verify"], "all sound"),
    (&["store", "gc", "--dry-run", "--max-age", "0s"], "would remove 2 results"),
    (&["store", "why", "WHY"], "output b of g/b"),
    (&["doctor"], "store"),
    (&["explain", "S0101"], "S0101"),
];

fn workspace() -> Workspace {
    let spec = "graph g {\n    node a { run sh -c \"echo a > a; printf 'one\\\\033[31mtwo\\\\n'\"; output a }\n    \
                node b { input a from=(ref)a.a; copy a; output b }\n}\n";
    let workspace = Workspace::with_spec(spec);
    workspace.run(&["run", "g"]).ok();
    workspace
}

/// All files, with their bytes: what SQLite makes beside a database is not among what must stay.
fn everything(workspace: &Workspace) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut all = BTreeMap::new();
    for entry in WalkDir::new(workspace.around()).sort_by_file_name() {
        let entry = entry.expect("it can be listed");
        let meta = entry.metadata().expect("it is there");
        let bytes = if meta.is_file() { std::fs::read(entry.path()).expect("it can be read") } else { Vec::new() };
        all.insert(entry.path().display().to_string(), (meta.permissions().mode(), bytes));
    }
    all
}

/// The same, started where workspace, store, state and home are mounted so that nobody can write there.
fn on_a_medium_that_cannot_be_written(workspace: &Workspace, invocation: Invocation) -> Invocation {
    let folder = workspace.around().display().to_string();
    let mounts =
        format!("mount --bind '{folder}' '{folder}' && mount -o remount,bind,ro '{folder}' && cd '{folder}/ws'");
    let unshare = tool("unshare").expect("it was there a moment ago");
    let kinds: &[&str] =
        if rustix::process::geteuid().is_root() { &["--mount"] } else { &["--user", "--map-root-user", "--mount"] };
    invocation.after(&mounts).inside(&unshare, kinds)
}

/// Says so if nothing can be mounted here.
#[expect(clippy::print_stderr, reason = "a skip must be seen")]
fn may_mount(workspace: &Workspace) -> bool {
    let may = tool("unshare").is_some() && {
        let touch = workspace.command(Path::new("/bin/sh"), &["-c", "! touch here 2> /dev/null"]);
        on_a_medium_that_cannot_be_written(workspace, touch).run().status == 0
    };
    if !may {
        eprintln!("skipped: nothing can be mounted here");
    }
    may
}

fn readers(digest: &str) -> impl Iterator<Item = (Vec<&str>, &'static str)> {
    READERS
        .iter()
        .map(move |(args, text)| (args.iter().map(|arg| if *arg == "WHY" { digest } else { arg }).collect(), *text))
}

/// The digest of what `b` holds.
fn digest() -> String {
    format!("b3:{}", partita::base::Digest::of_blob(b"a\n"))
}

/// Brings the databases to a form in which they are found.
fn bring(workspace: &Workspace, form: &str) {
    for path in [workspace.state().join("history.sqlite"), workspace.store().join("index.sqlite")] {
        match form {
            // The log without its index, as an archive may have it.
            "log" => _ = std::fs::remove_file(format!("{}-shm", path.display())),
            "file" => {
                let connection = rusqlite::Connection::open(&path).expect("it opens");
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("it can be merged");
            }
            _ => {}
        }
    }
}

#[test]
fn what_reads_needs_nothing_to_be_written() {
    let workspace = workspace();
    if !may_mount(&workspace) {
        return;
    }
    let digest = digest();
    for form in ["as it was left", "log", "file"] {
        bring(&workspace, form);
        let before = everything(&workspace);
        for (args, text) in readers(&digest) {
            let there = on_a_medium_that_cannot_be_written(&workspace, workspace.partita(&args)).run();
            assert!(there.stdout.contains(text), "{form}, {args:?}: {}", there.describe());
            // That it cannot be written is what `doctor` is asked for.
            assert_eq!(there.status, if args == ["doctor"] { 7 } else { 0 }, "{form}, {args:?}: {}", there.describe());
        }
        assert!(before == everything(&workspace), "{form}: something was changed");
    }
    let state = workspace.state().join("history.sqlite-wal");
    assert!(!state.exists(), "the last form is the file alone, or copies were never needed");
    // What is temporary has no usual place either.
    let folder = workspace.around().display().to_string();
    let runs = workspace.partita(&["runs"]).env("TMPDIR", folder);
    on_a_medium_that_cannot_be_written(&workspace, runs).run().ok().prints("succeeded");
    let to = tempfile::tempdir().expect("a folder can be made");
    let backup = to.path().join("b.tar").display().to_string();
    let save = workspace.partita(&["state", "backup", &backup]);
    on_a_medium_that_cannot_be_written(&workspace, save).run().ok();
    workspace.drop_state();
    workspace.run(&["state", "restore", &backup]).ok();
    workspace.run(&["runs"]).ok().prints("succeeded");
}

#[test]
fn what_reads_changes_nothing_where_it_could() {
    let workspace = workspace();
    let digest = digest();
    bring(&workspace, "file");
    for (args, text) in readers(&digest).filter(|(args, _)| !matches!(args[..], ["doctor" | "plan" | "check", ..])) {
        // What is parsed is kept in the user's cache, which is no part of the workspace.
        workspace.remove("../home");
        std::fs::create_dir(workspace.path("../home")).expect("it can be made");
        let before = everything(&workspace);
        workspace.run(&args).ok().prints(text);
        workspace.remove("../home");
        std::fs::create_dir(workspace.path("../home")).expect("it can be made");
        assert!(before == everything(&workspace), "{args:?} changed something");
    }
}

#[test]
fn where_nothing_was_ever_run_what_reads_makes_nothing() {
    let workspace = Workspace::with_spec("graph g { node a { run sh -c \"echo a > a\"; output a } }\n");
    workspace.run(&["store", "stat"]).ok().prints("results      0");
    workspace.run(&["forecast", "g"]).ok().prints("1 run");
    workspace.run(&["runs"]).ok();
    workspace.run(&["log"]).expect(2);
    workspace.run(&["store", "gc", "--dry-run"]).ok();
    assert!(!workspace.store().exists() && !workspace.state().exists());
}

#[test]
fn a_reader_of_another_user_reads_and_leaves_no_file() {
    if !may_change_user() {
        return;
    }
    let workspace = workspace();
    // A store is for its user alone until somebody says otherwise.
    let stat = workspace.partita_as_nobody(&["store", "stat"]);
    std::fs::set_permissions(workspace.around(), std::fs::Permissions::from_mode(0o755)).expect("a mode can be set");
    stat.run().expect(30).says("error[S0101]").says("Permission denied").says("let this user read the store");
    for entry in WalkDir::new(workspace.around()).into_iter().filter_map(Result::ok) {
        let mode = entry.metadata().expect("it is there").permissions().mode();
        let more = if mode & 0o111 == 0 { 0o444 } else { 0o555 };
        std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(mode | more))
            .expect("a mode can be set");
    }
    let digest = digest();
    for form in ["as it was left", "log", "file"] {
        bring(&workspace, form);
        let before = everything(&workspace);
        for (args, text) in readers(&digest).filter(|(args, _)| args != &["doctor"]) {
            let there = workspace.partita_as_nobody(&args).run().ok();
            assert!(there.stdout.contains(text), "{form}, {args:?}: {}", there.describe());
        }
        assert!(before == everything(&workspace), "{form}: something was changed");
    }
    workspace.partita_as_nobody(&["run", "g"]).run().expect(30).says("error[S0101]").says("--store DIR");
    workspace.run(&["run", "g"]).ok();
}

#[test]
fn a_reader_beside_a_writer_sees_what_is_committed() {
    let workspace = workspace();
    if !may_mount(&workspace) {
        return;
    }
    let path = workspace.state().join("history.sqlite");
    let history = History::open(&path, Arc::new(SystemClock::new()), Arc::new(|_| {})).expect("it opens");
    for number in 0..3 {
        let _open = history.start_run(&format!("live{number}"), "g").expect("it is written");
        let runs = on_a_medium_that_cannot_be_written(&workspace, workspace.partita(&["runs"])).run().ok();
        assert!(runs.stdout.contains(&format!("live{number}")), "{}", runs.describe());
    }
}

#[test]
fn what_writes_says_where_it_may_not() {
    let workspace = workspace();
    if !may_mount(&workspace) {
        return;
    }
    workspace.run(&["store", "verify"]).ok();
    for args in
        [&["run", "g"][..], &["run", "g", "--refresh", "g"], &["store", "gc"], &["store", "rekey"], &["bundle", "g"]]
    {
        let there = on_a_medium_that_cannot_be_written(&workspace, workspace.partita(args)).run();
        if args[0] == "bundle" {
            // There is none; that is a mistake of another kind.
            assert_eq!(there.status, 2, "{}", there.describe());
            continue;
        }
        let there = there.expect(30).says("error[S0101]: cannot ").says("Read-only file system").says("--store DIR");
        assert!(!there.stderr.contains("database"), "{}", there.describe());
    }
    // The store may be written, the state not.
    let other = tempfile::tempdir().expect("a folder can be made");
    let store = other.path().display().to_string();
    let run = workspace.partita(&["run", "g", "--store", &store]);
    let there = on_a_medium_that_cannot_be_written(&workspace, run).run().expect(30);
    there.says("history.sqlite").says("--state DIR");
    // One file that another user made in a folder of ours.
    if may_change_user() {
        workspace.give_to_nobody();
        std::os::unix::fs::chown(workspace.state().join("history.sqlite"), Some(0), Some(0)).expect("root may");
        let there = workspace.partita_as_nobody(&["run", "g", "--refresh", "g"]).run().expect(30);
        let there = there.says("error[S0101]: cannot write `").says("history.sqlite`: Permission denied");
        assert!(!there.stderr.contains("database"), "{}", there.describe());
    }
}

#[test]
fn a_check_where_nothing_can_be_mended_tells_and_leaves() {
    let workspace = workspace();
    if !may_mount(&workspace) {
        return;
    }
    let hex = partita::base::Digest::of_blob(b"a\n").hex();
    let blob = workspace.store().join("cas").join(&hex[..2]).join(&hex);
    std::fs::set_permissions(&blob, std::fs::Permissions::from_mode(0o644)).expect("a mode can be set");
    std::fs::write(&blob, "b\n").expect("it can be damaged");
    let before = everything(&workspace);
    for _ in 0..2 {
        let there = on_a_medium_that_cannot_be_written(&workspace, workspace.partita(&["store", "verify"])).run();
        there.expect(7).prints(&format!("corrupt, left where it is: b3:{hex}")).says("nothing was mended");
        assert!(before == everything(&workspace));
    }
    workspace.run(&["store", "verify"]).expect(7).prints(&format!("corrupt, now in quarantine: b3:{hex}"));
}

#[test]
fn what_is_damaged_is_told_and_stays_until_a_run_mends_it() {
    let workspace = workspace();
    bring(&workspace, "file");
    std::fs::write(workspace.store().join("index.sqlite"), "not a database".repeat(100)).expect("it can be damaged");
    let before = everything(&workspace);
    workspace.run(&["store", "stat"]).expect(31).says("error[S0102]").says("index.sqlite` is damaged");
    workspace.run(&["log"]).ok().prints("one");
    std::fs::write(workspace.state().join("history.sqlite"), "not a database".repeat(100)).expect("it can be damaged");
    for args in [&["runs"][..], &["log"], &["why", "g/a"]] {
        workspace.run(args).expect(31).says("error[S0102]").says("history.sqlite` is damaged").says("next run");
    }
    let after = everything(&workspace);
    let changed: Vec<_> =
        after.iter().filter(|(path, what)| before.get(*path) != Some(*what)).map(|(path, _)| path).collect();
    let [only] = changed[..] else { panic!("{changed:?}") };
    assert!(only.ends_with("history.sqlite"), "{only}");
    assert_eq!(workspace.run(&["run", "g"]).ok().counts()[3..], [0, 0]);
    workspace.run(&["runs"]).ok().prints("succeeded");
    workspace.run(&["store", "stat"]).ok().prints("results      2");
}

#[test]
fn a_full_disk_keeps_nobody_from_reading() {
    let workspace = workspace();
    if !may_mount(&workspace) || !rustix::process::geteuid().is_root() {
        return;
    }
    bring(&workspace, "file");
    let script = r#"mkdir "$1/disk" && mount -t tmpfs -o size=4m tmpfs "$1/disk" && cp -r "$1/store" "$1/state" "$1/disk/" || exit 99
        dd if=/dev/zero of="$1/disk/fill" bs=4k 2> /dev/null
        for verb in runs log "store stat" "store verify" "forecast g" "why g/a"; do
            "$2" $verb --store "$1/disk/store" --state "$1/disk/state" || echo "$verb: $?"
        done"#;
    let around = workspace.around().display().to_string();
    let unshare = tool("unshare").expect("it was there a moment ago");
    let args = ["--mount", "/bin/sh", "-c", script, "sh", &around, env!("CARGO_BIN_EXE_partita")];
    let outcome = workspace.command(&unshare, &args).run().ok();
    let outcome =
        outcome.prints("succeeded").prints("one").prints("results      2").prints("all sound").prints("2 hit");
    assert!(outcome.stderr.is_empty(), "{}", outcome.describe());
}
