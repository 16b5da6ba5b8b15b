//! The Lua example: a real C project from sources to a working interpreter, what a change re-runs,
//! and the same bytes elsewhere. Leaves out the small examples.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::repro::{addresses, all_ran, archive, bundle_files};
use crate::support::{Invocation, Outcome, Workspace, may_change_user, tool};

/// Actions of the graph.
const ACTIONS: u64 = 39;

/// Whether everything that it takes is here.
fn can_build() -> bool {
    ["gcc", "ar", "ld", "as", "cargo"].iter().all(|name| tool(name).is_some())
}

fn run(workspace: &Workspace, args: &[&str]) -> Outcome {
    workspace.partita(args).cargo().run().ok()
}

/// The report of a run.
fn report(workspace: &Workspace, args: &[&str]) -> serde_json::Value {
    run(workspace, &[args, &["--format", "json", "--progress", "none"]].concat()).json()
}

#[test]
fn lua_is_built_once_and_again_only_where_it_changed() {
    if !can_build() {
        return;
    }
    let workspace = Workspace::copy_of("examples/lua");
    assert_eq!(all_ran(run(&workspace, &["deliver", "lua"])).counts()[0], ACTIONS);
    answers_from_the_bundle(&workspace);
    let first = bundle_files(&workspace);
    assert_eq!(run(&workspace, &["deliver", "lua"]).counts(), [0, ACTIONS, 0, 0, 0]);

    // Outputs come back from the store, with their modes.
    workspace.remove("out");
    assert_eq!(run(&workspace, &["run", "lua", "lua/link"]).counts(), [0, ACTIONS, 0, 0, 0]);
    let lua = workspace.path("out/lua/link/lua");
    assert_eq!(fs::metadata(&lua).expect("the interpreter is there").permissions().mode() & 0o111, 0o111);

    // A file that takes the place of an equal one changes nothing below; one with a comment, one unit.
    run(&workspace, &["run", "lua/sources"]);
    workspace.write("overrides/lapi.c", workspace.bytes("out/lua/sources/src/lapi.c"));
    let same = report(&workspace, &["run", "lua"]);
    assert_eq!(addresses(&same, "ran"), ["lua/sources"]);
    workspace.append("overrides/lapi.c", "/* a comment */\n");
    let commented = report(&workspace, &["run", "lua"]);
    assert_eq!(addresses(&commented, "ran"), ["lua/obj/lapi/cc", "lua/sources"]);
    assert_eq!(addresses(&commented, "cached"), ["lua/fetch"]);
    assert_eq!(addresses(&commented, "cut-off").len() as u64, ACTIONS - 3, "{commented}");
    let why = run(&workspace, &["why", "lua/obj/lapi/cc", "--format", "json"]).json();
    let reason = serde_json::json!({"code": "dep-output-changed", "addr": "lua/sources", "path": "src/lapi.c"});
    assert_eq!(why["reason"], reason);

    // Going back runs nothing, and neither does going forth again.
    workspace.remove("overrides/lapi.c");
    assert_eq!(addresses(&report(&workspace, &["run", "lua"]), "ran"), [""; 0]);

    // Nothing but time is lost with the store.
    workspace.drop_store();
    let elsewhen = workspace.partita(&["deliver", "lua", "-j", "1"]).cargo().env("TZ", "Asia/Kathmandu").umask("077");
    assert_eq!(all_ran(elsewhen.run().ok()).counts()[0], ACTIONS);
    assert_eq!(bundle_files(&workspace), first, "made anew, it has the same bytes, signatures included");
}

/// Unpacks the bundle with a tool of other makers and runs what is in it.
fn answers_from_the_bundle(workspace: &Workspace) {
    let Some(unzip) = tool("unzip") else { return };
    let zip = workspace.path("out/bundles/lua-5.4.7.zip");
    let folder = workspace.around().join("unpacked");
    let (zip, folder) = (zip.to_str().expect("UTF-8"), folder.to_str().expect("UTF-8"));
    workspace.command(&unzip, &["-q", zip, "-d", folder]).run().ok();
    let lua = Path::new(folder).join("out/bin/lua");
    let version = workspace.command(&lua, &["-v"]).run().ok();
    assert!(version.stdout.starts_with("Lua 5.4.7"), "{}", version.describe());
    let sums = workspace.command(Path::new("/bin/sh"), &["-c", "sha256sum --quiet --strict -c META/SHA256SUMS"]);
    sums.folder(Path::new(folder)).run().ok();
}

/// A `cargo` that tells the same version as the real one, and nothing else: enough where the sources
/// are known already, and to be found by a user who cannot look into another's toolchains.
fn stand_in_for_cargo(workspace: &Workspace) -> String {
    let cargo = tool("cargo").expect("it was looked for before");
    let version = workspace.command(&cargo, &["--version"]).cargo().run().ok().stdout;
    let folder = workspace.around().join("bin");
    fs::create_dir(&folder).expect("a folder can be made");
    let script = format!("#!/bin/sh\ntest \"$*\" = --version && echo '{}'\n", version.trim());
    fs::write(folder.join("cargo"), script).expect("a file can be written");
    fs::set_permissions(folder.join("cargo"), fs::Permissions::from_mode(0o755)).expect("a mode can be set");
    format!("{}:/usr/local/bin:/usr/bin:/bin", folder.display())
}

#[test]
fn lua_has_the_same_bytes_in_another_folder_by_another_user() {
    if !can_build() {
        return;
    }
    let ours = Workspace::copy_of("examples/lua");
    all_ran(run(&ours, &["deliver", "lua", "-j", "4"]));

    let theirs = Workspace::odd_copy_of("examples/lua");
    let different = |run: Invocation| {
        run.env("TZ", "America/St_Johns").env("LANG", "de_DE.UTF-8").env("LC_ALL", "de_DE.UTF-8").umask("027")
    };
    if may_change_user() {
        run(&theirs, &["run", "lua/fetch"]);
        theirs.drop_state();
        let path = stand_in_for_cargo(&theirs);
        theirs.give_to_nobody();
        let outcome = different(theirs.partita_as_nobody(&["deliver", "lua", "-j", "1"]).env("PATH", path)).run().ok();
        assert_eq!(outcome.counts(), [ACTIONS - 1, 1, 0, 0, 0], "{}", outcome.describe());
    } else {
        let outcome = different(theirs.partita(&["deliver", "lua", "-j", "1"]).cargo()).run().ok();
        assert_eq!(all_ran(outcome).counts()[0], ACTIONS);
    }
    assert!(archive(&ours) == archive(&theirs), "the archives differ");
}
