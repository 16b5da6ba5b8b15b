//! Stores and state directories that cannot be used: of a newer version, not ours, not writable, full,
//! or damaged. Leaves out the store's own faults, which its tests have.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::badinput::{ENGINE, GOOD, STORE_FORMAT, works_again};
use crate::support::{Outcome, Workspace, may_change_user, tool};

const BUNDLE: &str = "bundle g from=g version=\"1.0.0\" { include good output=good.txt to=\"good.txt\" }\n";

fn good() -> Workspace {
    Workspace::with_spec(&format!("{GOOD}{BUNDLE}"))
}

#[track_caller]
fn is_refused(outcome: Outcome, status: i32, code: &str, says: &str) {
    outcome.expect(status).says(&format!("error[{code}]")).says(says);
}

#[test]
fn a_store_of_a_newer_version() {
    let workspace = good();
    workspace.run(&["run", "g"]).ok();
    workspace.remove("out");
    let format = workspace.store().join("format");
    let ours = fs::read_to_string(&format).expect("a store says its format");
    for theirs in ["2", "99", "words"] {
        fs::write(&format, format!("{theirs}\n")).expect("a file can be written");
        for args in
            [&["run", "g"] as &[&str], &["deliver", "g"], &["store", "stat"], &["store", "gc"], &["store", "verify"]]
        {
            is_refused(workspace.run(args), STORE_FORMAT, "S0104", "use a newer partita or another `--store`");
        }
    }
    assert!(!workspace.has("out"));
    fs::write(&format, ours).expect("a file can be written");
    assert_eq!(workspace.run(&["run", "g"]).ok().counts(), [0, 1, 0, 0, 0], "it was not touched");
}

#[test]
fn a_directory_that_is_no_store() {
    let workspace = good();
    fs::create_dir(workspace.store()).expect("a folder can be made");
    fs::write(workspace.store().join("thesis.tex"), "years of work").expect("a file can be written");
    for args in [&["run", "g"] as &[&str], &["store", "stat"], &["store", "gc"], &["store", "verify"], &["bundle", "g"]]
    {
        is_refused(workspace.run(args), STORE_FORMAT, "S0103", "is not a Partita store");
    }
    let names: Vec<_> =
        walkdir::WalkDir::new(workspace.store()).min_depth(1).into_iter().filter_map(Result::ok).collect();
    assert_eq!(names.len(), 1, "nothing was written: {names:?}");
    assert!(!workspace.has("out"));
    workspace.drop_store();
    works_again(&workspace);

    let workspace = good();
    fs::write(workspace.store(), "a file").expect("a file can be written");
    is_refused(workspace.run(&["run", "g"]), ENGINE, "S0101", "cannot create the store directory");
    assert!(!workspace.has("out"));
    workspace.drop_store();
    works_again(&workspace);
}

#[test]
fn a_store_this_user_may_not_write() {
    if !may_change_user() {
        return;
    }
    let workspace = good();
    workspace.give_to_nobody();
    let run = |args: &[&str]| workspace.partita_as_nobody(args).run();
    // An empty directory of somebody else.
    std::os::unix::fs::lchown(workspace.store(), Some(0), Some(0)).expect("root can change owners");
    is_refused(run(&["run", "g"]), ENGINE, "S0101", "let this user write there, or name another store");
    assert!(!workspace.has("out"));
    run(&["doctor"]).expect(7).prints("BAD   store").prints("cannot be written");

    // A whole store, readable only.
    std::os::unix::fs::lchown(workspace.store(), Some(65_534), Some(65_534)).expect("root can change owners");
    run(&["run", "g"]).ok();
    workspace.remove("out");
    for entry in walkdir::WalkDir::new(workspace.store()).contents_first(true) {
        let entry = entry.expect("the store can be listed");
        let mode = if entry.file_type().is_dir() { 0o555 } else { 0o444 };
        std::os::unix::fs::lchown(entry.path(), Some(0), Some(0)).expect("root can change owners");
        fs::set_permissions(entry.path(), Permissions::from_mode(mode)).expect("a mode can be set");
    }
    is_refused(run(&["run", "g"]), ENGINE, "S0101", "Permission denied");
    assert!(!workspace.has("out"));
    // Its owner, whom modes do not stop here, finds it as it was.
    assert_eq!(workspace.run(&["run", "g"]).ok().counts()[2..], [0, 0, 0]);
}

#[test]
fn a_state_directory_this_user_may_not_write() {
    if !may_change_user() {
        return;
    }
    let workspace = good();
    workspace.give_to_nobody();
    std::os::unix::fs::lchown(workspace.state(), Some(0), Some(0)).expect("root can change owners");
    let outcome = workspace.partita_as_nobody(&["run", "g"]).run().expect(ENGINE);
    let outcome = outcome.says("error[").says("state").says("ermission denied");
    assert!(!workspace.has("out"), "{}", outcome.describe());
    assert_eq!(workspace.unfinished(), [""; 0]);
    std::os::unix::fs::lchown(workspace.state(), Some(65_534), Some(65_534)).expect("root can change owners");
    workspace.partita_as_nobody(&["run", "g"]).run().ok();
}

#[test]
fn a_state_directory_that_is_a_file() {
    let workspace = good();
    fs::write(workspace.state(), "a file").expect("a file can be written");
    workspace.run(&["run", "g"]).expect(ENGINE).says("error[io]").says("cannot make the state directory");
    assert!(!workspace.has("out"));
    workspace.drop_state();
    works_again(&workspace);
}

/// Runs a script in a mount namespace of its own, in which `$1` is a small file system in memory. `None`,
/// with the reason, where that is not allowed.
#[expect(clippy::print_stderr, reason = "a skip must be seen")]
fn on_a_small_disk(workspace: &Workspace, size: &str, script: &str) -> Option<Outcome> {
    let unshare = tool("unshare")?;
    let disk = workspace.around().join("disk");
    fs::create_dir(&disk).expect("a folder can be made");
    let flags = if rustix::process::geteuid().is_root() { "-m" } else { "-Urm" };
    let mount = format!("mount -t tmpfs -o size={size} tmpfs \"$1\" || exit 99\n{script}");
    let partita = env!("CARGO_BIN_EXE_partita");
    let args = [flags, "sh", "-c", &mount, "sh", disk.to_str().expect("UTF-8"), partita];
    let run = workspace.command(&unshare, &args);
    let run = run.env("PARTITA_STORE", disk.join("store")).env("PARTITA_STATE", workspace.state()).run();
    if run.status == 99 || run.stderr.contains("unshare failed") {
        eprintln!("skipped: a small file system cannot be mounted here: {}", run.stderr.trim());
        return None;
    }
    Some(run)
}

#[test]
fn a_store_on_a_full_disk() {
    let spec = "graph g {\n    node small { write \"small\\n\"; output small.txt }\n    \
                node large { run sh -c \"head -c $SIZE /dev/urandom > large.bin\"; env SIZE=\"2500000\"; output large.bin }\n}\n";
    let workspace = Workspace::with_spec(spec);
    let script = r#"
        "$2" run g; echo "first $?"
        test -e out && echo "half written"
        find "$1/store/tmp" -mindepth 1
        sed -i s/2500000/80000/ partita.kdl
        "$2" run g; echo "second $?"
        "$2" store verify
        find "$1/store/tmp" -mindepth 1
        "$2" run g; echo "third $?"
        "$2" store stat
    "#;
    let Some(outcome) = on_a_small_disk(&workspace, "4m", script) else { return };
    // Whether a blob or the index meets the end of the disk first is up to the moment.
    let outcome = outcome.ok().says("error[S010").says("help: make room");
    let words = ["No space left on device", "database or disk is full"];
    assert!(words.iter().any(|word| outcome.stderr.contains(word)), "{}", outcome.describe());
    let outcome = outcome.prints("first 30\nsecond 0\n").prints("all sound\nthird 0\n");
    assert_eq!(outcome.counts(), [0, 2, 0, 0, 0], "{}", outcome.describe());
    assert_eq!(fs::metadata(workspace.path("out/g/large/large.bin")).expect("it is there").len(), 80_000);
}

#[test]
fn a_store_on_a_disk_too_small_for_its_index() {
    let workspace = good();
    let script = r#"
        "$2" run g; echo "first $?"
        test -e out && echo "half written"
        mount -o remount,size=8m "$1"
        "$2" run g; echo "second $?"
        "$2" store verify
    "#;
    let Some(outcome) = on_a_small_disk(&workspace, "64k", script) else { return };
    let outcome = outcome.ok().says("error[S0101]").says("No space left on device").says("help: make room");
    outcome.prints("first 30\nsecond 0\n").prints("all sound");
}

#[test]
fn outputs_on_a_full_disk() {
    let spec = "graph g { node large { run sh -c \"head -c 3000000 /dev/zero > large.bin\"; output large.bin } }\n";
    let workspace = Workspace::with_spec(spec);
    let script = r#"
        export PARTITA_STORE="${1%/*}/store"
        "$2" run g --out "$1/out"; echo "first $?"
        find "$1" -type f -size +0
        "$2" run g; echo "second $?"
    "#;
    let Some(outcome) = on_a_small_disk(&workspace, "1m", script) else { return };
    outcome.ok().says("error[").says("No space left on device").prints("first 30\nsecond 0\n");
}

#[test]
fn damage_in_a_store_is_mended_within_the_run() {
    let spec = "graph g { node a { run sh -c \"echo made > a.txt\"; output a.txt } }\n\
                bundle b from=g version=\"1.0.0\" { include a output=a.txt to=\"a.txt\" }\n";
    let workspace = Workspace::with_spec(spec);
    let damage = |workspace: &Workspace| {
        let object = object_holding(&workspace.store(), b"made\n").expect("the output is in the store");
        fs::remove_file(&object).expect("an object can be removed");
        fs::write(&object, b"mace\n").expect("a file can be written");
    };
    workspace.run(&["run", "g"]).ok();
    damage(&workspace);
    // Outputs that are there already are compared, and nothing is read for them.
    workspace.remove("out");
    let healed = workspace.run(&["run", "g", "--progress", "plain"]).ok();
    let healed = healed.says("was corrupt in the store and is made anew");
    assert_eq!(healed.counts(), [1, 0, 0, 0, 0], "{}", healed.describe());
    assert_eq!(workspace.read("out/g/a/a.txt"), "made\n", "never a wrong byte");
    workspace.run(&["store", "stat"]).ok().prints("quarantined  1");

    // The same for what is read for an archive alone.
    damage(&workspace);
    let bundled = workspace.run(&["deliver", "b"]).ok().says("was corrupt in the store and is made anew");
    assert_eq!(bundled.counts(), [1, 0, 0, 0, 0], "{}", bundled.describe());
    workspace.run(&["verify", "out/bundles/b-1.0.0.zip"]).ok();
    damage(&workspace);
    workspace.run(&["bundle", "b"]).expect(7).says("error[not-cached]");
    workspace.run(&["deliver", "b"]).ok();

    fs::write(workspace.store().join("index.sqlite"), "not a database").expect("a file can be written");
    assert_eq!(workspace.run(&["run", "g"]).ok().counts(), [1, 0, 0, 0, 0]);
    fs::write(workspace.state().join("history.sqlite"), "not a database").expect("a file can be written");
    workspace.run(&["run", "g"]).ok();
    workspace.run(&["why", "g/a"]).ok();
}

/// One bit is flipped in each object of the outputs at a time: of a file, of a file in a folder, of the folder.
#[test]
fn whoever_finds_damage_it_is_told_as_such_and_healed() {
    let spec = "graph g {\n node a { run sh -c \"echo made > a.txt\"; output a.txt }\n \
                node d { run sh -c \"mkdir d; echo one > d/x; echo two > d/y\"; output d type=artifact.dir }\n}\n";
    let workspace = Workspace::with_spec(spec);
    let first = workspace.run(&["run", "g", "--format", "json"]).ok().json();
    let folder = first["actions"].as_array().into_iter().flatten().find(|action| action["addr"] == "g/d");
    let folder = folder.expect("it took part")["outputs"][0]["digest"].as_str().expect("a digest").to_owned();
    let of = |bytes: &[u8]| partita::base::Digest::of_blob(bytes).hex();
    let objects = [(of(b"made\n"), "g/a"), (of(b"two\n"), "g/d"), (folder, "g/d")];
    let finders: [(&str, &[&str], i32); 4] = [
        ("the outputs are put in their places", &[], 0),
        ("the outputs are there already, and the memory of them is gone", &[], 0),
        ("a check", &["store", "verify"], 7),
        ("a check and a collection after it", &["store", "verify"], 7),
    ];
    for (hex, addr) in &objects {
        for (how, finder, status) in finders {
            let object = workspace.store().join("cas").join(&hex[..2]).join(hex);
            let mut bytes = fs::read(&object).expect("it is there");
            let middle = bytes.len() / 2;
            bytes[middle] ^= 4;
            fs::remove_file(&object).expect("an object can be removed");
            fs::write(&object, bytes).expect("a file can be written");
            if !how.contains("there already") {
                workspace.remove("out");
            }
            if !finder.is_empty() {
                workspace.run(finder).expect(status).prints(&format!("corrupt, now in quarantine: b3:{hex}"));
                workspace.run(finder).ok().prints("all sound");
            }
            if how.contains("collection") {
                workspace.run(&["store", "gc", "--max-age", "30d"]).ok();
                let foretold = workspace.run(&["forecast", "g"]).ok();
                assert!(
                    foretold.stdout.contains(&format!("was corrupt in the store: b3:{hex}")),
                    "{}",
                    foretold.describe()
                );
            }
            let healed = workspace.run(&["run", "g", "--progress", "plain"]).ok();
            assert_eq!(workspace.read("out/g/a/a.txt"), "made\n", "{how}");
            assert_eq!(workspace.read("out/g/d/d/y"), "two\n", "{how}");
            // Who finds the outputs as they should be need not read the store for them, but for levels of folders.
            let is_unread = how.contains("there already") && healed.counts() == [0, 2, 0, 0, 0];
            if is_unread {
                workspace.remove("out");
                workspace.run(&["run", "g"]).ok().says("was corrupt in the store");
            } else {
                assert_eq!(healed.counts(), [1, 1, 0, 0, 0], "{how} {addr}: {}", healed.describe());
            }
            let why = workspace.run(&["why", addr, "--format", "json"]).ok().json();
            assert_eq!(why["reason"], serde_json::json!({"code": "blob-corrupt", "digest": hex}), "{how} {addr}");
            workspace.run(&["store", "verify"]).ok().prints("all sound");
        }
    }
    // What is lost without damage is told as lost, also of what was damaged before.
    for (args, code) in [(&["store", "gc", "--max-age", "0s"][..], "evicted"), (&["store", "stat"], "blob-missing")] {
        workspace.run(args).ok();
        if code == "blob-missing" {
            let (hex, _) = &objects[0];
            fs::remove_file(workspace.store().join("cas").join(&hex[..2]).join(hex)).expect("an object can be removed");
        }
        workspace.remove("out");
        workspace.run(&["run", "g"]).ok();
        let why = workspace.run(&["why", "g/a", "--format", "json"]).ok().json();
        assert_eq!(why["reason"]["code"], code);
    }
    let aside = walkdir::WalkDir::new(workspace.store().join("quarantine")).into_iter().filter_map(Result::ok);
    let notes = aside.filter(|entry| entry.file_name().to_string_lossy().contains("-result-")).count();
    assert_eq!(notes, 0, "what is healed is not remembered");
}

/// The object of a store that holds certain bytes.
fn object_holding(store: &Path, bytes: &[u8]) -> Option<std::path::PathBuf> {
    let entries = walkdir::WalkDir::new(store.join("cas")).into_iter().filter_map(Result::ok);
    let mut files = entries.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path);
    files.find(|path| fs::read(path).is_ok_and(|held| held == bytes))
}
