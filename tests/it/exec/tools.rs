//! Tools: found, told apart, and alone on `PATH`.

use std::os::unix::fs::PermissionsExt;

use partita::base::{Environment, ErrorKind};
use partita::exec::FailureClass;
use partita::plan::{ActionKind, Tool, ToolExec};

use super::support::{Builder, Draft, World, counts, failure, path, plan, tool};

/// Puts an executable script into a directory that is on `PATH`.
fn install(world: &World, dir: &str, name: &str, script: &str) {
    let path = world.side(dir).join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let _ = std::fs::remove_file(&path);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn world() -> World {
    let mut world = World::new();
    let side = world.side("bin");
    let path = format!("{}:{}:{}", side.display(), world.side("bin2").display(), super::support::PATH);
    world.environment = Environment::from_pairs(&[("PATH", &path), ("MY_HOME", "/my/home")]);
    world
}

fn uses(mut plan: Builder, tools: impl IntoIterator<Item = Tool>) -> Builder {
    plan.tools.extend(tools);
    plan
}

fn exec(addr: &str, tool: &str, args: &[&str]) -> Draft {
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    Draft::new(addr, ActionKind::Exec { tool: tool.into(), args })
}

#[test]
fn a_missing_tool_says_what_was_searched_and_fails_only_what_needs_it() {
    let world = world();
    let plan = uses(
        plan([exec("g/a", "gone", &[]), exec("g/b", "wants", &[]), Draft::sh("g/c", ":")]),
        [tool("gone", &[]), Tool { uses: vec!["gone".into()], ..tool("wants", &[]) }],
    );
    install(&world, "bin", "wants", ":");
    let report = world.run(&plan);
    assert_eq!(report.counts, counts(1, 0, 0, 2, 0));
    let text = failure(&report, "g/a");
    assert!(text.starts_with("tool `gone` is missing: there is no executable `gone`; searched "), "{text}");
    let named = text.contains("`/usr/bin`") || text.contains(" directories of `PATH`");
    assert!(named && text.contains("help: install `gone`"), "{text}");
    assert_eq!(failure(&report, "g/b"), text);
    assert_eq!(report.action("g/a").unwrap().failure.as_ref().unwrap().class, FailureClass::ToolMissing);
    assert_eq!(report.error_kind(), Some(ErrorKind::ToolMissing));
}

#[test]
fn only_declared_tools_are_on_the_path() {
    let world = world();
    let mut plan = plan([Draft::sh("g/a", "ls \"$PATH\" > o; mv o p; cat o > q").output("q")]);
    plan.tools = vec![tool("sh", &["ls", "cat"]), tool("ls", &[]), tool("cat", &[])];
    let report = world.run(&plan);
    assert_eq!(world.text(&report, "g/a", "q"), "cat\nls\nsh\n");
    assert!(String::from_utf8(world.log(&report, "g/a", 1)).unwrap().contains("mv: not found"));
}

#[test]
fn a_fingerprint_is_the_identity_and_is_taken_once_a_run() {
    let world = world();
    let asked = world.side("asked");
    let script = |version: &str, body: &str| {
        format!(
            "[ \"$1\" = --version ] && {{ echo asked >> {}; echo; echo 'mine {version} (of 2026)'; exit; }}\n{body}",
            asked.display()
        )
    };
    install(&world, "bin", "mine", &script("1.2.3", "echo one > o"));
    let mine =
        Tool { fingerprint: Some(vec!["--version".into()]), version: Some(">=1.2, <2".into()), ..tool("mine", &[]) };
    let plan =
        uses(plan((0..5).map(|n| exec(&format!("g/{n}"), "mine", &["x", &n.to_string()]).output("o"))), [mine.clone()]);
    assert_eq!(world.run(&plan).counts, counts(5, 0, 0, 0, 0));
    assert_eq!(std::fs::read_to_string(&asked).unwrap(), "asked\n");
    install(&world, "bin", "mine", &script("1.2.3", "echo two > o"));
    assert_eq!(world.run(&plan).counts, counts(0, 5, 0, 0, 0), "it says that it is the same");
    install(&world, "bin", "mine", &script("1.9", "echo two > o"));
    assert_eq!(world.run(&plan).counts, counts(5, 0, 0, 0, 0));
    install(&world, "bin", "mine", &script("2.0", "echo two > o"));
    let text = failure(&world.run(&plan), "g/0");
    assert!(text.contains("tool `mine` has version 2.0, but `>=1.2, <2` is asked for"), "{text}");
}

#[test]
fn a_tool_that_does_not_tell_what_it_is() {
    let world = world();
    install(&world, "bin", "silent", ":");
    install(&world, "bin", "angry", "echo no such flag >&2; exit 2");
    install(&world, "bin", "errs", "echo on stderr 3 >&2; echo x > o 2> /dev/null; exit 0");
    let told = |name: &str| Tool { fingerprint: Some(vec!["-V".into()]), ..tool(name, &[]) };
    let unversioned = Tool { name: "unversioned".into(), version: Some(">=1".into()), ..tool("silent", &[]) };
    let plan = uses(
        plan([
            exec("g/a", "silent", &[]),
            exec("g/b", "angry", &[]),
            exec("g/c", "errs", &[]),
            exec("g/d", "unversioned", &[]),
        ]),
        [told("silent"), told("angry"), told("errs"), unversioned],
    );
    let report = world.run(&plan);
    assert!(failure(&report, "g/a").contains("`silent -V` prints nothing"));
    assert!(failure(&report, "g/b").contains("`angry -V` exits with 2\nno such flag"));
    assert_eq!(report.action("g/c").unwrap().failure, None);
    assert!(failure(&report, "g/d").contains("has no `fingerprint`"));
}

#[test]
fn without_a_fingerprint_the_bytes_of_the_executable_are_the_identity() {
    let world = world();
    install(&world, "bin", "mine", "echo one > o");
    let plan = uses(plan([exec("g/a", "mine", &[]).output("o")]), [tool("mine", &[])]);
    assert_eq!(world.run(&plan).counts, counts(1, 0, 0, 0, 0));
    assert_eq!(world.run(&plan).counts, counts(0, 1, 0, 0, 0));
    install(&world, "bin", "mine", "echo two > o");
    let report = world.run(&plan);
    assert_eq!(world.text(&report, "g/a", "o"), "two\n");
    // The same bytes elsewhere are the same tool.
    std::fs::remove_file(world.side("bin").join("mine")).unwrap();
    install(&world, "bin2", "mine", "echo two > o");
    assert_eq!(world.run(&plan).counts, counts(0, 1, 0, 0, 0));
}

#[test]
fn what_a_tool_uses_is_part_of_its_identity() {
    let world = world();
    install(&world, "bin", "outer", "inner");
    install(&world, "bin2", "inner", "echo one > o");
    let plan =
        uses(plan([exec("g/a", "outer", &[]).output("o")]), [tool("outer", &["inner"]), tool("inner", &["outer"])]);
    assert_eq!(world.text(&world.run(&plan), "g/a", "o"), "one\n");
    install(&world, "bin2", "inner", "echo two > o");
    assert_eq!(world.text(&world.run(&plan), "g/a", "o"), "two\n");
}

#[test]
fn two_tools_of_one_name_clash_and_a_workspace_tool_must_be_executable() {
    let world = world();
    install(&world, "bin", "mine", ":");
    world.write("tools/mine", "#!/bin/sh\necho of the workspace > o\n");
    let in_ws = Tool { name: "ws.mine".into(), exec: ToolExec::Workspace(path("tools/mine")), ..tool("mine", &[]) };
    let both = Tool { name: "both".into(), uses: vec!["ws.mine".into(), "mine".into()], ..tool("sh", &[]) };
    let plan = uses(
        plan([exec("g/a", "both", &[]), exec("g/b", "ws.mine", &[]).output("o")]),
        [tool("mine", &[]), in_ws, both],
    );
    assert!(failure(&world.run(&plan), "g/b").contains("`tools/mine` of the workspace, which is not executable"));
    std::fs::set_permissions(world.ws().join("tools/mine"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let report = world.run(&plan);
    assert!(failure(&report, "g/a").contains("are both called `mine` on `PATH`"), "{}", failure(&report, "g/a"));
    assert_eq!(world.text(&report, "g/b", "o"), "of the workspace\n");
}

#[test]
fn a_variable_is_handed_through_unkeyed() {
    let mut world = world();
    install(&world, "bin", "mine", "echo \"$MY_HOME\" > o");
    let mine = Tool { pass_env: vec!["MY_HOME".into(), "UNSET".into()], ..tool("mine", &[]) };
    let plan = uses(plan([exec("g/a", "mine", &[]).output("o")]), [mine]);
    assert_eq!(world.text(&world.run(&plan), "g/a", "o"), "/my/home\n");
    let path = format!("{}:{}", world.side("bin").display(), super::support::PATH);
    world.environment = Environment::from_pairs(&[("PATH", &path), ("MY_HOME", "/other")]);
    assert_eq!(world.run(&plan).counts, counts(0, 1, 0, 0, 0));
}
