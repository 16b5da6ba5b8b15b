//! Bundles made under different circumstances have the same bytes. Leaves out the large example, which
//! is `lua`'s.

use crate::repro::{all_ran, archive, bundle_files};
use crate::support::{Invocation, Workspace, may_change_user, tool};

/// Circumstances that must not matter, each with a word.
const CIRCUMSTANCES: &[(&str, fn(Invocation) -> Invocation)] = &[
    ("one job", |run| run.args(&["-j", "1"])),
    ("many jobs", |run| run.args(&["-j", "8"])),
    ("umask 077", |run| run.umask("077")),
    ("umask 000", |run| run.umask("000")),
    ("time zone and locale", |run| {
        run.env("TZ", "Asia/Kathmandu").env("LANG", "tr_TR.UTF-8").env("LC_ALL", "tr_TR.UTF-8")
    }),
    ("variables that tools heed", |run| run.env("POSIXLY_CORRECT", "1").env("CFLAGS", "-g").env("GREP_OPTIONS", "-v")),
];

/// Delivers an example under all circumstances, each from nothing, and compares the archives.
fn is_the_same_everywhere(folder: &str, bundle: &str) {
    let reference = Workspace::copy_of(folder);
    all_ran(reference.run(&["deliver", bundle]).ok());
    let expected = archive(&reference);
    for (word, change) in CIRCUMSTANCES {
        let workspace = Workspace::copy_of(folder);
        all_ran(change(workspace.partita(&["deliver", bundle])).run().ok());
        assert!(archive(&workspace) == expected, "{bundle}: other bytes under {word}");
    }
    let odd = Workspace::odd_copy_of(folder);
    all_ran(odd.run(&["deliver", bundle]).ok());
    assert!(archive(&odd) == expected, "{bundle}: other bytes in another folder, its files made in another order");
    if may_change_user() {
        let theirs = Workspace::copy_of(folder);
        theirs.give_to_nobody();
        all_ran(theirs.partita_as_nobody(&["deliver", bundle]).run().ok());
        assert!(archive(&theirs) == expected, "{bundle}: other bytes by another user");
    }
}

#[test]
fn hello_is_the_same_everywhere() {
    is_the_same_everywhere("examples/hello", "hello");
}

#[test]
fn site_is_the_same_everywhere() {
    if tool("cmark").is_some() {
        is_the_same_everywhere("examples/site", "site");
    }
}

#[test]
fn with_the_same_key_all_files_of_a_bundle_are_the_same() {
    let one = Workspace::copy_of("examples/hello");
    one.run(&["deliver", "hello"]).ok();
    let other = Workspace::odd_copy_of("examples/hello");
    let keys = one.state().join("keys");
    std::fs::create_dir_all(other.state().join("keys")).expect("a folder can be made");
    for name in ["default.key.pem", "default.pub.pem"] {
        std::fs::copy(keys.join(name), other.state().join("keys").join(name)).expect("a key can be copied");
    }
    other.run(&["deliver", "hello"]).ok();
    assert_eq!(bundle_files(&one), bundle_files(&other), "statements and signatures hold nothing of time or place");
}

#[test]
fn a_store_moved_elsewhere_serves_another_user_and_workspace() {
    let one = Workspace::copy_of("examples/hello");
    one.run(&["deliver", "hello"]).ok();
    let other = Workspace::odd_copy_of("examples/hello");
    std::fs::rename(one.store(), other.store()).expect("a folder can be moved");
    let outcome = if may_change_user() {
        other.give_to_nobody();
        other.partita_as_nobody(&["deliver", "hello"]).run().ok()
    } else {
        other.run(&["deliver", "hello"]).ok()
    };
    assert_eq!(outcome.counts(), [0, 2, 0, 0, 0], "nothing of place or user is in a key");
    assert_eq!(archive(&one), archive(&other));
}
