//! Eight builders and a collection in a loop on one store: every build succeeds with the right bytes, and what is left
//! is sound. Then the same with kills at random, of builders and of collections. `PARTITA_TOGETHER=SECONDS` and
//! `PARTITA_SOAK=SECONDS` make them long. Leaves out what is collected.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use partita::base::{Clock as _, Environment, SystemClock};

use crate::support::Workspace;

const BUILDERS: usize = 8;
/// Builds of each in the short form.
const BUILDS: u64 = 3;

/// A chain and a fan, of built-in actions and processes; half of what is made is the same for all builders.
const SPEC: &str = "\
graph g {
    node own { copy \"own.txt\"; input \"own.txt\"; output o }
    node same { copy \"same.txt\"; input \"same.txt\"; output o }
    node twice { input own.txt from=(ref)own.o; input same.txt from=(ref)same.o; run sh -c \"cat own.txt same.txt > o\"; output o }
    node folder { input t from=(ref)twice.o; run sh -c \"mkdir d; cp t d/a; cp t d/b; echo x > d/c\"; output d type=artifact.dir }
    node last { input d from=(ref)folder.d; run sh -c \"cat d/a d/b d/c > o\"; output o }
}
";

#[test]
fn a_collection_runs_beside_eight_builders() {
    let seconds = Environment::of_process().raw("PARTITA_TOGETHER").and_then(|text| text.to_str()?.parse::<u64>().ok());
    let clock = SystemClock::new();
    let goes_on = |done: u64| match seconds {
        Some(seconds) => clock.elapsed() < Duration::from_secs(seconds),
        None => done < BUILDS,
    };
    let shared = Workspace::new();
    let store = shared.store();
    let store = store.to_str().expect("it is UTF-8");
    let (builds, collections, removed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let (missing, over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let builders: Vec<_> = (0..BUILDERS)
            .map(|builder| {
                let (builds, missing) = (&builds, &missing);
                scope.spawn(move || {
                    let workspace = Workspace::with_spec(SPEC);
                    let mut round = 0;
                    while goes_on(round) {
                        let (own, same) = (format!("builder {builder} round {round}\n"), format!("round {round}\n"));
                        workspace.write("own.txt", &own);
                        workspace.write("same.txt", &same);
                        for _ in 0..2 {
                            let args =
                                ["--store", store, "run", "g", "-j", "2", "--format", "json", "--progress", "none"];
                            let report = workspace.run(&args).ok().json();
                            let lost = report["actions"].as_array().expect("a list").iter();
                            let lost = lost.filter(|action| action["reason"]["code"] == "blob-missing").count();
                            missing.fetch_add(lost as u64, Ordering::Relaxed);
                            let whole = format!("{own}{same}{own}{same}x\n");
                            assert_eq!(workspace.read("out/g/last/o"), whole, "the bytes are right");
                            builds.fetch_add(1, Ordering::Relaxed);
                        }
                        round += 1;
                    }
                })
            })
            .collect();
        let collector = scope.spawn(|| {
            let workspace = Workspace::new();
            while !over.load(Ordering::Relaxed) {
                let limit = if collections.load(Ordering::Relaxed) % 2 == 0 { "1B" } else { "4KiB" };
                let report = workspace.run(&["--store", store, "store", "gc", "--max-size", limit, "--format", "json"]);
                let objects = report.ok().json()["objects"].as_u64().expect("a count");
                removed.fetch_add(objects, Ordering::Relaxed);
                collections.fetch_add(1, Ordering::Relaxed);
            }
        });
        let ended: Vec<_> = builders.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        over.store(true, Ordering::Relaxed);
        collector.join().expect("collections go well");
        for builder in ended {
            builder.expect("builds go well");
        }
    });
    shared.run(&["--store", store, "store", "verify"]).ok().prints("all sound");
    let [builds, collections, removed, missing] = [builds, collections, removed, missing].map(AtomicU64::into_inner);
    eprintln!(
        "{builds} builds beside {collections} collections that removed {removed} objects: 0 failed, {missing} made anew"
    );
    assert!(removed > 0, "nothing was collected");
}

/// Numbers that look random, and are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        // Marsaglia's xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// Starts the program, and kills it with -9 once it has told this many events, and a moment more. Gives whether it was
/// killed before it ended by itself.
fn kill_after(workspace: &Workspace, args: &[&str], events: u64, moment: u64) -> bool {
    let mut command = workspace.partita(args).command();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it can be started");
    let told = child.stderr.take().expect("it is a pipe");
    let mut lines = BufReader::new(told).lines();
    for _ in 0..events {
        if lines.next().is_none() {
            break;
        }
    }
    // Between two events is where most happens.
    for _ in 0..moment {
        std::thread::yield_now();
    }
    child.kill().expect("it can be killed");
    let status = child.wait().expect("it can be waited for");
    status.code().is_none()
}

#[test]
fn kills_at_random_leave_a_sound_store() {
    let seconds = Environment::of_process().raw("PARTITA_SOAK").and_then(|text| text.to_str()?.parse::<u64>().ok());
    let clock = SystemClock::new();
    let goes_on = |done: u64| match seconds {
        Some(seconds) => clock.elapsed() < Duration::from_secs(seconds),
        None => done < 5,
    };
    let seed = clock.now().0.unsigned_abs() | 1;
    let shared = Workspace::new();
    let store = shared.store();
    let store = store.to_str().expect("it is UTF-8");
    let [builds, kills, collections, over] = [const { AtomicU64::new(0) }; 4];
    std::thread::scope(|scope| {
        let builders: Vec<_> = (0..4_u64)
            .map(|builder| {
                let (builds, kills) = (&builds, &kills);
                scope.spawn(move || {
                    let mut dice = Dice(seed.wrapping_mul(builder * 2 + 3) | 1);
                    let workspace = Workspace::with_spec(SPEC);
                    let mut round = 0;
                    while goes_on(round) {
                        // Only so many contents that most are known: what was killed is found again, and must be right.
                        let (own, same) =
                            (format!("builder {builder} {}\n", dice.below(20)), format!("{}\n", dice.below(9)));
                        workspace.write("own.txt", &own);
                        workspace.write("same.txt", &same);
                        let run = ["--store", store, "run", "g", "-j", "2"];
                        for _ in 0..3 {
                            let args = [&run[..], &["--progress", "json"]].concat();
                            let killed = kill_after(&workspace, &args, dice.below(14), dice.below(2_000));
                            kills.fetch_add(u64::from(killed), Ordering::Relaxed);
                        }
                        workspace.run(&[&run[..], &["--progress", "none"]].concat()).ok();
                        let whole = format!("{own}{same}{own}{same}x\n");
                        assert_eq!(workspace.read("out/g/last/o"), whole, "seed {seed}");
                        builds.fetch_add(1, Ordering::Relaxed);
                        round += 1;
                    }
                })
            })
            .collect();
        let collector = scope.spawn(|| {
            let mut dice = Dice(seed);
            let workspace = Workspace::new();
            while over.load(Ordering::Relaxed) == 0 {
                let args = ["--store", store, "store", "gc", "--max-size", "8KiB"];
                if dice.below(2) == 0 {
                    let killed = kill_after(&workspace, &args, 0, dice.below(4_000));
                    kills.fetch_add(u64::from(killed), Ordering::Relaxed);
                } else {
                    workspace.run(&args).ok();
                }
                collections.fetch_add(1, Ordering::Relaxed);
            }
        });
        let ended: Vec<_> = builders.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        over.store(1, Ordering::Relaxed);
        collector.join().expect("collections go well");
        for builder in ended {
            builder.expect("builds go well");
        }
    });
    shared.run(&["--store", store, "store", "verify"]).ok().prints("all sound");
    let [builds, kills, collections] = [builds, kills, collections].map(AtomicU64::into_inner);
    eprintln!(
        "{kills} kills, {builds} builds after them with the right bytes, {collections} collections: all sound (seed {seed})"
    );
    assert!(kills > 0, "nothing was killed");
}
