//! What `fmt` and `fix` leave of a file besides its text: links, modes, other names; and what they refuse.
//! Leaves out the text.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use crate::support::{Workspace, tool};

const SLOPPY: &str = "partita edition=1\ngraph g {\n  node a   { write y; output o }\n}\n";
const MENDABLE: &str = "partita edition=1\ngraph g {\n    node a { input x optional=true; write y; output o }\n}\n";

fn mode(workspace: &Workspace, path: &str) -> u32 {
    workspace.path(path).metadata().expect("it is there").permissions().mode() & 0o7777
}

fn set_mode(workspace: &Workspace, path: &str, mode: u32) {
    fs::set_permissions(workspace.path(path), fs::Permissions::from_mode(mode)).expect("a mode can be set");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a second name of a spec, nowhere near a store")]
fn modes_links_and_other_names_stay() {
    for (verb, text, sign) in [("fmt", SLOPPY, "node a {"), ("fix", MENDABLE, "#true")] {
        let workspace = Workspace::with_spec("graph g { node a { write y; output o } }\n");
        let names = ["private.kdl", "shared.kdl", "target.kdl", "one.kdl"];
        for name in names {
            workspace.write(name, text);
        }
        set_mode(&workspace, "private.kdl", 0o600);
        set_mode(&workspace, "shared.kdl", 0o775);
        symlink("target.kdl", workspace.path("link.kdl")).expect("a link can be made");
        fs::hard_link(workspace.path("one.kdl"), workspace.path("two.kdl")).expect("a link can be made");
        workspace.run(&[verb, "private.kdl", "shared.kdl", "link.kdl", "one.kdl"]).ok();
        assert_eq!([mode(&workspace, "private.kdl"), mode(&workspace, "shared.kdl")], [0o600, 0o775], "{verb}");
        assert!(workspace.path("link.kdl").is_symlink(), "{verb}");
        let (one, two) = (workspace.path("one.kdl"), workspace.path("two.kdl"));
        assert_eq!(one.metadata().expect("it is there").ino(), two.metadata().expect("it is there").ino(), "{verb}");
        for name in names.into_iter().chain(["two.kdl"]) {
            assert!(workspace.read(name).contains(sign), "{verb} {name}: {}", workspace.read(name));
        }
    }
}

#[test]
fn what_is_protected_from_writing_is_refused() {
    for (verb, text) in [("fmt", SLOPPY), ("fix", MENDABLE)] {
        let workspace = Workspace::with_spec(text);
        set_mode(&workspace, "partita.kdl", 0o444);
        workspace.run(&[verb]).expect(2).says("is protected from writing").says("chmod u+w");
        assert_eq!(workspace.read("partita.kdl"), text);
        assert_eq!(mode(&workspace, "partita.kdl"), 0o444);
        // Looking is not changing.
        workspace.run(&[verb, "--check"]).expect(7);
    }
}

#[test]
fn what_is_no_file_is_refused_and_never_waited_for() {
    let Some(mkfifo) = tool("mkfifo") else { return };
    let workspace = Workspace::with_spec("graph g { node a { write y; output o } }\n");
    workspace.command(&mkfifo, &["pipe.kdl"]).run().ok();
    for verb in ["fmt", "fix", "check"] {
        for path in ["pipe.kdl", "/dev/zero", "/dev/null"] {
            let outcome = workspace.run(&[verb, path]);
            assert!([2, 3].contains(&outcome.status), "{verb} {path}: {}", outcome.describe());
        }
    }
    workspace.run(&["fmt", "pipe.kdl"]).expect(2).says("is not a regular file");
    // A folder is looked through, and what is no file in it passed over.
    workspace.run(&["fmt", "."]).ok();
}
