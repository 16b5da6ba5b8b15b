//! What is staged, what is refused, and that each file is read once.

use std::os::unix::fs::symlink;

use partita::plan::Class;

use super::support::{Draft, World, counts, failure, plan, tool};

fn list(draft: Draft) -> Draft {
    draft.output("listing")
}

const LIST: &str = "ls -R -A . > listing";

#[test]
fn what_is_not_declared_is_not_there() {
    let world = World::new();
    world.write("declared.txt", "");
    world.write("undeclared.txt", "");
    world.write("src/a.c", "");
    world.write("src/.hidden", "");
    world.write("src/.dir/x", "");
    world.write("src/deep/b.c", "");
    let plan = plan([
        list(Draft::sh("g/a", LIST)).input("declared.txt").input("src/*.c"),
        list(Draft::sh("g/b", LIST)).input("src/**"),
        list(Draft::sh("g/c", LIST)).input("src/.*").optional("nothing/*"),
        Draft::sh("g/d", "cat ../../../../ws/undeclared.txt src/a.c undeclared.txt").input("src"),
    ]);
    let report = world.run(&plan);
    assert_eq!(world.text(&report, "g/a", "listing"), ".:\ndeclared.txt\nlisting\nsrc\n\n./src:\na.c\n");
    assert_eq!(world.text(&report, "g/b", "listing"), ".:\nlisting\nsrc\n\n./src:\na.c\ndeep\n\n./src/deep:\nb.c\n");
    assert_eq!(world.text(&report, "g/c", "listing"), ".:\nlisting\nsrc\n\n./src:\n.hidden\n");
    assert!(failure(&report, "g/d").contains("undeclared.txt"));
}

/// Attempts use the folders and files of those before them; which shows in nothing.
#[test]
fn nothing_of_one_action_is_there_for_the_next() {
    let world = World::new();
    for (path, text) in [("src/a", "one"), ("src/b", "a longer text"), ("other", "three"), ("src/same", "the same")] {
        world.write(path, text);
    }
    // Changes what it was given, and leaves what it did not declare.
    let wild = "echo changed > src/same; rm src/a; echo x > src/extra; mkdir -p src/deep d/e; echo y > d/e/f; ln -s /etc l; \
                chmod 600 src/b; echo out > o";
    let look = "stat -c '%a %h %s %n' $(find . -type f | sort) > o; find . ! -type f | sort >> o; cat src/* >> o";
    let plan = plan([
        Draft::sh("g/1", wild).input("src/**").output("o"),
        Draft::sh("g/2", look).input("src/same").input("src/b").output("o").after("g/1"),
        Draft::sh("g/3", wild).input("src/**").input("other").output("o").after("g/2"),
        Draft::sh("g/4", "[ ! -e src ] && cat other > d/o").input("other").output("d/o").after("g/3"),
        Draft::sh("g/5", "[ ! -e d ] && [ ! -e other ] && echo $(cat src/a src/b) > o")
            .input("src/**")
            .output("o")
            .after("g/4"),
    ]);
    let mut plan = plan;
    plan.tools.extend(["stat", "find", "sort", "rm"].map(|name| tool(name, &[])));
    let sh = plan.tools.iter_mut().find(|tool| tool.name == "sh").expect("it is a tool");
    sh.uses.extend(["stat", "find", "sort", "rm"].map(String::from));
    let mut request = world.request(plan.build());
    request.jobs = std::num::NonZeroUsize::new(1);
    let report = world.execute(request).expect("it runs");
    assert_eq!(report.counts, counts(5, 0, 0, 0, 0), "{report:?}");
    let seen = world.text(&report, "g/2", "o");
    assert_eq!(seen, "644 1 13 ./src/b\n644 1 8 ./src/same\n.\n./src\na longer textthe same", "as if all were new");
    assert_eq!(world.text(&report, "g/5", "o"), "onea longer text\n");
}

#[test]
fn a_pattern_that_matches_nothing_is_an_error_unless_optional() {
    let world = World::new();
    let plan = plan([
        Draft::sh("g/a", ":").input("src/*.c"),
        Draft::sh("g/b", ":").input("missing.txt"),
        Draft::sh("g/c", ":").optional("missing.txt"),
        Draft::sh("g/d", ":").input("../outside.txt"),
        Draft::sh("g/e", ":").input("/etc/passwd"),
    ]);
    let report = world.run(&plan);
    assert_eq!(report.counts, counts(1, 0, 0, 4, 0));
    assert_eq!(failure(&report, "g/a"), "input `src/*.c` matches no file of the workspace");
    assert_eq!(failure(&report, "g/b"), "input `missing.txt` matches no file of the workspace");
    assert!(failure(&report, "g/d").contains("leaves"));
    assert!(failure(&report, "g/e").contains("absolute"));
}

#[test]
fn links_inside_are_followed_and_links_outside_refused() {
    let world = World::new();
    std::fs::write(world.side("secret"), "secret").unwrap();
    world.write("real/file.txt", "content\n");
    symlink("real/file.txt", world.ws().join("link.txt")).unwrap();
    symlink("real", world.ws().join("linked")).unwrap();
    symlink(world.side("secret"), world.ws().join("leak")).unwrap();
    symlink(world.dir.path().join("side"), world.ws().join("leaks")).unwrap();
    symlink("nowhere", world.ws().join("dangling")).unwrap();
    let plan = plan([
        Draft::sh("g/a", "cat link.txt linked/file.txt > o; [ ! -L link.txt ]")
            .input("link.txt")
            .input("linked/file.txt")
            .output("o"),
        Draft::sh("g/b", ":").input("leak"),
        Draft::sh("g/c", ":").input("leaks/secret"),
        Draft::sh("g/d", ":").input("dangling"),
        Draft::sh("g/e", ":").input("leaks/*"),
        Draft::sh("g/f", "ls > o").input("l*").output("o"),
    ]);
    let report = world.run(&plan);
    assert_eq!(world.text(&report, "g/a", "o"), "content\ncontent\n");
    for addr in ["g/b", "g/c", "g/e", "g/f"] {
        assert!(failure(&report, addr).contains("outside"), "{addr}: {}", failure(&report, addr));
    }
    assert!(failure(&report, "g/d").contains("leads nowhere"));
    assert!(!world.memory.reads.lock().unwrap().iter().any(|path| path.ends_with("secret")));
}

#[test]
fn pipes_devices_and_odd_names_are_refused() {
    use std::os::unix::ffi::OsStringExt;
    let world = World::new();
    world.write("d/a", "");
    let made = rustix::fs::mknodat(
        rustix::fs::CWD,
        world.ws().join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    );
    made.unwrap();
    let odd = std::ffi::OsString::from_vec(b"od\xffd".to_vec());
    std::fs::write(world.ws().join("d").join(odd), "").unwrap();
    let plan = plan([Draft::sh("g/a", ":").input("pipe"), Draft::sh("g/b", ":").input("d/*")]);
    let report = world.run(&plan);
    assert_eq!(failure(&report, "g/a"), "`pipe` is a named pipe, not a regular file");
    assert!(failure(&report, "g/b").contains("is not UTF-8"));
}

#[test]
fn what_partita_writes_itself_is_never_an_input() {
    let world = World::new();
    world.write("a.txt", "");
    world.write("out/a.txt", "");
    world.write("state/x.txt", "");
    let plan = plan([
        list(Draft::sh("g/a", LIST)).input("**/*.txt"),
        Draft::sh("g/b", ":").input("out/a.txt"),
        Draft::sh("g/c", ":").input("out/*"),
    ]);
    let mut request = world.request(plan.build());
    request.excluded = vec![world.ws().join("out"), world.ws().join("state")];
    let report = world.execute(request).unwrap();
    assert_eq!(world.text(&report, "g/a", "listing"), ".:\na.txt\nlisting\n");
    assert!(failure(&report, "g/b").contains("Partita writes itself"));
    assert!(failure(&report, "g/c").contains("matches no file"));
}

#[test]
fn outputs_are_selected_and_merged_and_conflicts_named() {
    let world = World::new();
    world.write("src/own.h", "own\n");
    world.write("src/gen.h", "mine\n");
    let made = "mkdir -p d/sub; echo g > d/gen.h; echo c > d/gen.c; echo s > d/sub/s.h";
    let plan = plan([
        Draft::sh("g/gen", made).dir("d"),
        Draft::sh("g/all", "cat src/own.h src/gen.h src/sub/s.h > o")
            .input("src/own.h")
            .from("src", "g/gen", "d")
            .output("o"),
        list(Draft::sh("g/some", LIST)).select("inc", "g/gen", "d", "**/*.h"),
        list(Draft::sh("g/none", LIST)).select("inc", "g/gen", "d", "*.py"),
        list(Draft::sh("g/clash", LIST)).input("src/gen.h").from("src", "g/gen", "d"),
        Draft::sh("g/below", ":").input("src/own.h").from("src/own.h/x", "g/gen", "d"),
    ]);
    let report = world.run(&plan);
    assert_eq!(world.text(&report, "g/all", "o"), "own\ng\ns\n");
    assert_eq!(world.text(&report, "g/some", "listing"), ".:\ninc\nlisting\n\n./inc:\ngen.h\nsub\n\n./inc/sub:\ns.h\n");
    assert_eq!(failure(&report, "g/none"), "`*.py` selects nothing of output `d` of `g/gen`");
    let clash = failure(&report, "g/clash");
    assert!(clash.contains("input `src/gen.h`") && clash.contains("output `d` of `g/gen`"), "{clash}");
    assert!(failure(&report, "g/below").contains("src/own.h"));
}

#[test]
fn each_file_is_read_once_a_run_and_not_at_all_if_the_stat_cache_knows_it() {
    let world = World::new();
    for index in 0..5 {
        world.write(&format!("src/{index}.c"), format!("{index}"));
    }
    let drafts = (0..20).map(|index| {
        Draft::sh(&format!("g/{index:02}"), &format!(": {index}"))
            .input("src/*.c")
            .input("src/3.c")
            .class(Class::Volatile)
    });
    let plan = plan(drafts);
    assert_eq!(world.run(&plan).counts, counts(20, 0, 0, 0, 0));
    let reads = std::mem::take(&mut *world.memory.reads.lock().unwrap());
    assert_eq!(reads.len(), 5, "{reads:?}");
    world.write("src/2.c", "changed");
    world.run(&plan);
    let reads = std::mem::take(&mut *world.memory.reads.lock().unwrap());
    assert_eq!(reads.len(), 1, "{reads:?}");
}

#[test]
fn the_snapshot_is_staged_and_staged_files_are_copies() {
    let world = World::new();
    world.write("a.txt", "before\n");
    world.write("x.sh", "#!/bin/sh\n");
    let plan =
        plan([Draft::sh("g/a", "echo spoilt >> a.txt; cat a.txt > o; [ ! -x a.txt ]").input("a.txt").output("o")]);
    let report = world.run(&plan);
    assert_eq!(world.text(&report, "g/a", "o"), "before\nspoilt\n");
    assert_eq!(std::fs::read(world.ws().join("a.txt")).unwrap(), b"before\n");
    assert_eq!(world.run(&plan).counts, counts(0, 1, 0, 0, 0));
}
