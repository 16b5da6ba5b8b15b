//! Signals as an action finds them: none blocked and none ignored, at every level and whoever called, so that what it ends
//! ends, and what is asked to end can do so in good order. Leaves out who is killed.

use std::fs;

use walkdir::WalkDir;

use crate::isolation::{Who, failed_closed, program};
use crate::support::Workspace;

/// Calls a program with many signals blocked and ignored.
const CALLER: &str = "import os, signal as s, sys\n\
                      for one in (1, 2, 3, 10, 17, 20, 40): s.signal(one, s.SIG_IGN)\n\
                      s.pthread_sigmask(s.SIG_BLOCK, {1, 2, 12, 14, 15, 17, 20, 41})\n\
                      os.execv(sys.argv[1], sys.argv[1:])\n";

/// Signals 32 and 33, which the C library ignores in whoever it starts.
const OF_THE_LIBRARY: u64 = 0x1_8000_0000;

const LOOK: &str = "tool grep { exec grep; }\ngraph g {\n  node look {\n    run sh -c \"grep -E '^Sig(Blk|Ign)' \
                    /proc/self/status > seen\"\n    tools grep\n    output seen\n  }\n}\n";

#[test]
fn no_signal_is_blocked_or_ignored() {
    for level in ["full", "landlock", "none"] {
        let workspace = Workspace::with_spec(LOOK);
        let args = ["-c", CALLER, env!("CARGO_BIN_EXE_partita"), "run", "g", "--isolation", level];
        let outcome = workspace.command(&program("python3"), &args).env("PATH", "/usr/bin:/bin").run();
        if failed_closed(&outcome, level) {
            continue;
        }
        outcome.ok();
        let seen = workspace.read("out/g/look/seen");
        let sets = seen.lines().map(|line| u64::from_str_radix(line.rsplit('\t').next().unwrap_or(line), 16));
        let sets: Vec<u64> = sets.map(|set| set.expect("a set of signals") & !OF_THE_LIBRARY).collect();
        assert_eq!(sets, [0, 0], "{level}: {seen}");
    }
}

const SERVED: &str = "tool python3 { exec python3; }\ngraph g {\n  service web {\n    run python3 server.py\n    input \
                      server.py\n    port http\n    ready log=\"up\" within=\"30s\"\n  }\n  node act {\n    uses web\n    \
                      run sh -c \"echo > done\"\n    output done\n  }\n}\n";

const SERVER: &str = "import signal, sys, time\n\
                      def end(*_): print('ended in good order', flush=True); sys.exit(0)\n\
                      signal.signal(signal.SIGTERM, end)\n\
                      print('up', flush=True)\n\
                      while True: time.sleep(0.1)\n";

#[test]
fn a_service_is_asked_to_end_before_it_is_killed() {
    for level in ["full", "landlock", "none"] {
        let workspace = Workspace::with_spec(SERVED).file("server.py", SERVER);
        let outcome = Who::Self_.run(&workspace, &["run", "g", "--isolation", level]);
        if failed_closed(&outcome, level) {
            continue;
        }
        outcome.ok();
        let files = WalkDir::new(workspace.state().join("runs")).sort_by_file_name().into_iter().filter_map(Result::ok);
        let log: String = files
            .filter(|file| file.path().ends_with("services/web.log"))
            .map(|file| fs::read_to_string(file.path()).expect("it can be read"))
            .collect();
        assert!(log.contains("ended in good order"), "{level}: {log}");
    }
}
