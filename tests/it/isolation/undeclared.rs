//! An action that reaches for what it did not declare: the failure names it, and the line of the spec
//! where to declare it. Leaves out what programs say in other words, which the executor's own tests see to.

use std::os::unix::fs::PermissionsExt as _;

use crate::isolation::survivors::{mark, marked};
use crate::isolation::{Who, failed_closed};
use crate::support::{Outcome, Workspace};

const SPEC: &str = r#"partita edition=1
graph g {
    node reads {
        run sh -c "cat src/config.json > out.txt"
        output out.txt
    }
    node starts {
        run sh -c "python3 -c pass > out.txt"
        output out.txt
    }
    node writes {
        run sh -c "echo x > PLACE"
        output out.txt
    }
    node looks {
        run sh -c "cat PLACE.txt > out.txt"
        output out.txt
    }
}
"#;

fn run(level: &str, addr: &str) -> Option<Outcome> {
    let workspace = Workspace::new().file("src/config.json", "{}").file("partita.kdl", SPEC);
    let place = workspace.around().join("place");
    std::fs::write(place.with_extension("txt"), "outside").expect("a file can be written");
    let spec = SPEC.replace("PLACE", &place.display().to_string());
    workspace.write("partita.kdl", spec);
    let outcome = Who::Self_.run(&workspace, &["run", addr, "--isolation", level]);
    if failed_closed(&outcome, level) {
        return None;
    }
    assert_eq!(outcome.status, 1, "{}", outcome.describe());
    Some(outcome)
}

#[test]
fn a_file_that_is_no_input_is_named_with_the_line_that_should_declare_it() {
    for level in ["full", "landlock", "none"] {
        let Some(outcome) = run(level, "g/reads") else { continue };
        outcome
            .says("error[E0205]: `g/reads` failed")
            .says("--> partita.kdl:3:10")
            .says("help: `src/config.json` is a file of the workspace, but not among the inputs of `g/reads`")
            .says("`input \"src/config.json\"`");
    }
}

#[test]
fn a_program_that_is_no_tool_is_named() {
    for level in ["full", "landlock", "none"] {
        let Some(outcome) = run(level, "g/starts") else { continue };
        outcome.says("--> partita.kdl:7:10").says("help: ").says("`tools python3`");
    }
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    for level in ["full", "landlock"] {
        let Some(outcome) = run(level, "g/writes") else { continue };
        outcome.says("--> partita.kdl:11:10").says("place` cannot be written by `g/writes`").says("`output PATH`");
    }
}

#[test]
fn a_file_of_the_machine_is_named_where_it_is_kept_away() {
    for level in ["full", "landlock"] {
        let Some(outcome) = run(level, "g/looks") else { continue };
        outcome.says("--> partita.kdl:15:10").says("place.txt` is on this machine, but not shown to `g/looks`");
    }
}

/// Programs that fail without a word.
const SILENT: &str = r#"
tool python3 { exec python3; }
graph g {
    node reads { input act.py; run python3 "act.py" "src/config.json"; output out.txt }
    node starts { run sh -c "python3 -V > out.txt 2>&- || exit 3"; output out.txt }
    node leaves { input act.py; run python3 "act.py" "src/config.json" quietly; output out.txt }
    node fine { run sh -c "exit 4"; output out.txt }
}
"#;

const ACT: &str = "import os, sys\ntry:\n  open(sys.argv[1]).close()\n  open('out.txt', 'w').close()\nexcept OSError:\n  \
                   os._exit(0 if len(sys.argv) > 2 else 1)\n";

#[test]
fn what_a_silent_program_missed_is_found_by_watching_it() {
    let workspace = Workspace::with_spec(SILENT).file("src/config.json", "{}").file("act.py", ACT);
    for level in ["", "full", "landlock", "none"] {
        let demand: &[&str] = if level.is_empty() { &[] } else { &["--isolation", level] };
        let run = |addr: &str| Who::Self_.run(&workspace, &[&["run", addr], demand].concat());
        let outcome = run("g/reads");
        if failed_closed(&outcome, level) {
            continue;
        }
        let watched = cfg!(target_arch = "x86_64");
        if watched {
            outcome
                .expect(1)
                .says("--> partita.kdl:")
                .says("help: `src/config.json` is a file of the workspace, but not among the inputs of `g/reads`")
                .says("it did not say so: it was run once more and watched");
            run("g/starts").expect(1).says("help: `python3` is a program of this machine").says("`tools python3`");
            run("g/leaves").expect(1).says("help: `src/config.json` is a file of the workspace");
        }
        let leaves = run("g/leaves").expect(1);
        assert!(!leaves.stderr.contains("lies outside"), "only what could be declared: {}", leaves.describe());
        // Who fails for reasons of its own is not explained by what it could do without.
        let fine = run("g/fine").expect(1);
        assert!(!fine.stderr.contains("watched"), "{}", fine.describe());
    }
    workspace.run(&["store", "verify"]).ok().prints("all sound");
}

/// Fails without a word; and tries more when it is watched, as it can tell.
const WATCHED: &str = r#"
import ctypes, os, sys, time
def child(do):
    # CLONE_UNTRACED | SIGCHLD: whoever watches does not get to see it.
    if ctypes.CDLL(None).syscall(56, 0x00800000 | 17, 0, 0, 0, 0) == 0:
        do(); os._exit(0)
def stay():
    os.setsid(); os.chdir("/"); os.execve(sys.executable, ["sleeper", "-c", "import time\nwhile True: time.sleep(1)", "%MARK%"], {})
def tell():
    time.sleep(1); open("%VICTIM%", "a").write("x"); time.sleep(600)
status = open("/proc/self/status").read()
if "TracerPid:\t0" not in status:
    try: os.chmod("%VICTIM%", 0o666)
    except OSError: pass
    child(stay)
    if "limits" in sys.argv:
        for _ in range(40):
            if os.fork() == 0: tell()
        time.sleep(600)
    time.sleep(0.2)
sys.exit(3)
"#;

fn watch(level: &str, words: &str, properties: &str) -> Option<(String, u32)> {
    let mark = mark(&format!("watched-{level}-{words}"));
    let spec = format!(
        "tool python3 {{ exec python3; }}\ngraph g {{\n  node act {{\n    input act.py\n    run python3 act.py {words}\n    \
         output done\n    {properties}\n  }}\n}}\n"
    );
    let workspace = Workspace::with_spec(&spec);
    let victim = workspace.around().join("victim");
    std::fs::write(&victim, "").expect("a file can be written");
    std::fs::set_permissions(&victim, std::fs::Permissions::from_mode(0o600)).expect("they can be set");
    let act = WATCHED.replace("%MARK%", &mark).replace("%VICTIM%", &victim.display().to_string());
    workspace.write("act.py", act);
    let outcome = Who::Self_.run(&workspace, &["run", "g", "--isolation", level]);
    if failed_closed(&outcome, level) {
        return None;
    }
    outcome.expect(1).says("`g/act` failed");
    assert_eq!(marked(&mark), Vec::<String>::new(), "{level}");
    let mode = std::fs::metadata(&victim).expect("it is there").permissions().mode() & 0o777;
    Some((std::fs::read_to_string(&victim).expect("it can be read"), mode))
}

#[test]
fn who_is_watched_is_in_the_same_sandbox_and_leaves_nobody() {
    for level in ["full", "landlock", "none"] {
        let Some((_, mode)) = watch(level, "", "") else { continue };
        if level == "full" {
            assert_eq!(mode, 0o600);
        }
    }
}

#[test]
fn who_is_watched_is_bounded_as_before() {
    for level in ["full", "landlock", "none"] {
        if let Some((told, _)) = watch(level, "limits", "limits processes=8") {
            assert_eq!(told, "", "{level}");
        }
    }
}

#[test]
fn what_costs_is_started_once() {
    let spec = "tenant default { budget usd=\"0.10\" per=day on-exceed=stop; }\ntool pay { exec \"./pay.sh\"; uses sh; cost \
                usd=\"0.10\" per=call; }\ngraph g {\n  node act {\n    run pay\n    output done\n  }\n}\n";
    let workspace = Workspace::with_spec(spec);
    let paid = workspace.around().join("paid");
    let workspace = workspace.script("pay.sh", &format!("#!/bin/sh\necho >> '{}'\nexit 1\n", paid.display()));
    Who::Self_.run(&workspace, &["run", "g", "--isolation", "none"]).expect(1);
    assert_eq!(std::fs::read_to_string(paid).expect("it was started"), "\n");
}
