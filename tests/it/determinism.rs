//! `run --check`: seeded causes of outputs that differ from run to run are found, located and named; what is
//! sound is not accused; what differs is held back from bundles until it does not. Leaves out the executor's
//! ordinary runs.

use serde_json::Value;

use crate::support::{Outcome, Workspace, tools_are_required};

/// A script that does not do the same each time.
struct Seed {
    name: &'static str,
    /// Python if it does not begin with `sh:`.
    script: &'static str,
    /// Where it differs: `path>member|place`, the place being a JSON path, a field, `line`, `byte`, `order`,
    /// `presence` or `exit`.
    at: &'static str,
    /// Causes, any of which is right.
    causes: &'static [&'static str],
}

const fn seed(name: &'static str, at: &'static str, causes: &'static [&'static str], script: &'static str) -> Seed {
    Seed { name, script, at, causes }
}

const TIME: &[&str] = &["time-stamp"];
const RANDOM: &[&str] = &["randomness"];
const ORDER: &[&str] = &["ordering"];

const SEEDS: &[Seed] = &[
    seed("seconds", "o|line", TIME, "sh:echo built at $(date +%s) > o"),
    seed("date-text", "o|line", TIME, "sh:echo fixed > o; date -R >> o"),
    seed(
        "json-time",
        "o|$.build.at",
        TIME,
        "import json, time\njson.dump({'name': 'x', 'build': {'at': int(time.time() * 1000)}}, open('o', 'w'))",
    ),
    seed(
        "binary-time",
        "o|byte",
        TIME,
        "import struct, time\nopen('o', 'wb').write(b'\\xff\\0\\0\\0' + struct.pack('<I', int(time.time())))",
    ),
    seed("tar-mtime", "o>in/a.txt|mtime", TIME, "sh:tar cf o --sort=name in"),
    seed("gzip-mtime", "o>unpacked|mtime", TIME, "sh:gzip -c in/a.txt > t; cp t o; touch f; gzip f; cp f.gz o"),
    seed("tar-gz", "o>unpacked>made|mtime", TIME, "sh:echo x > made; tar czf o --sort=name made"),
    seed(
        "zip-mtime",
        "o>in/a.txt|mtime",
        TIME,
        "import zipfile\nwith zipfile.ZipFile('o', 'w') as z: z.write('in/a.txt')",
    ),
    seed(
        "zip-in-tar",
        "o>inner.zip>stamp.txt|line",
        TIME,
        "import io, tarfile, time, zipfile\n\
         b = io.BytesIO()\n\
         with zipfile.ZipFile(b, 'w') as z: z.writestr(zipfile.ZipInfo('stamp.txt'), str(time.time()))\n\
         i = tarfile.TarInfo('inner.zip'); i.size = len(b.getvalue()); b.seek(0)\n\
         with tarfile.open('o', 'w') as t: t.addfile(i, b)",
    ),
    seed(
        "ar-mtime",
        "o>member|mtime",
        TIME,
        "import time\nh = 'member/'.ljust(16) + str(int(time.time())).ljust(12) + '0'.ljust(6) + '0'.ljust(6) + '644'.ljust(8) + '2'.ljust(10) + '`\\n'\nopen('o', 'wb').write(b'!<arch>\\n' + h.encode() + b'x\\n')",
    ),
    seed("name-by-time", "d/log|presence", TIME, "sh:mkdir d; touch d/log-$(date +%s)"),
    seed("listed-time", "o|line", TIME, "sh:ls -l --time-style=+%s in/a.txt | cut -d' ' -f6 > o"),
    seed("folder", "o|line", &["path"], "sh:pwd > o"),
    seed(
        "home-in-json",
        "o|$.dirs[1]",
        &["path"],
        "import json, os\njson.dump({'dirs': ['/', os.environ['HOME']]}, open('o', 'w'))",
    ),
    seed("tool-path", "o|line", &["path"], "sh:command -v sed > o"),
    seed(
        "path-in-binary",
        "o|byte",
        &["path"],
        "import os\nopen('o', 'wb').write(b'\\xff\\xfe\\0' + os.getcwd().encode() + b'\\0\\0')",
    ),
    seed(
        "bytecode",
        "o|byte",
        &["path", "time-stamp"],
        "import py_compile\nopen('m.py', 'w').write('x = 1\\n')\npy_compile.compile(__import__('os').path.abspath('m.py'), cfile='o')",
    ),
    seed("unsorted-listing", "o|order", ORDER, "sh:ls -U in > o"),
    seed(
        "listing-in-json",
        "o|$.files",
        ORDER,
        "import json, os\njson.dump({'files': os.listdir('in')}, open('o', 'w'))",
    ),
    seed("order-in-tar", "o|order", ORDER, "sh:tar cf o --mtime=@0 -C in ."),
    seed(
        "set-of-texts",
        "o|order",
        ORDER,
        "open('o', 'w').write('\\n'.join({'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight'}))",
    ),
    seed(
        "keys-of-a-map",
        "o|line",
        ORDER,
        "import json\njson.dump({k: 1 for k in {'one', 'two', 'three', 'four', 'five', 'six', 'seven'}}, open('o', 'w'))",
    ),
    seed(
        "threads",
        "o|order",
        ORDER,
        "import threading, time, random\nl = []\n\
         def f(i): time.sleep(random.random() / 5); l.append(f'done {i}')\n\
         ts = [threading.Thread(target=f, args=(i,)) for i in range(8)]\n\
         [t.start() for t in ts]; [t.join() for t in ts]\nopen('o', 'w').write('\\n'.join(l))",
    ),
    seed("uuid", "o|$.id", RANDOM, "import json, uuid\njson.dump({'id': str(uuid.uuid4())}, open('o', 'w'))"),
    seed("random-bytes", "o|byte", RANDOM, "import os\nopen('o', 'wb').write(b'\\xff\\xfe' + os.urandom(64))"),
    seed("temporary-name", "o|line", RANDOM, "sh:basename \"$(mktemp -u)\" > o"),
    seed("process", "o|line", &["process-id"], "sh:echo worker $$ > o"),
    seed(
        "process-in-json",
        "o|$.pid",
        &["process-id"],
        "import json, os\njson.dump({'pid': os.getpid()}, open('o', 'w'))",
    ),
    seed("address", "o|line", &["address"], "open('o', 'w').write(repr(object()))"),
    seed(
        "processors",
        "o|line",
        &["core-count"],
        "import os\nopen('o', 'w').write(f'-j{len(os.sched_getaffinity(0))}'.replace('-j', 'jobs: '))",
    ),
    seed("hour-of-a-time", "o|line", &["time-zone"], "sh:date -d @86400 +%H:%M > o"),
    seed(
        "name-of-the-zone",
        "o|line",
        &["time-zone"],
        "import time\nopen('o', 'w').write(time.strftime('%Z', time.localtime(0)))",
    ),
    seed(
        "charset",
        "o|line",
        &["locale"],
        "import locale\nlocale.setlocale(locale.LC_ALL, '')\nopen('o', 'w').write(locale.nl_langinfo(locale.CODESET))",
    ),
    seed("locale-name", "o|line", &["locale"], "sh:echo locale=$LC_ALL > o"),
    seed("mode-in-listing", "o|line", &["permissions"], "sh:touch made; ls -l made | cut -c1-10 > o"),
    seed(
        "mode-in-tar",
        "o>made|mode",
        &["permissions"],
        "sh:touch made; tar cf o --mtime=@0 --owner=0 --group=0 --numeric-owner made",
    ),
    seed("dies-elsewhere", "|exit", &["surroundings"], "sh:test \"$TZ\" = UTC || exit 3; echo x > o"),
];

/// What does the same each time, though it looks as if it might not.
const SOUND: &[(&str, &str)] = &[
    ("archive", "sh:tar cf o --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=644 in/a.txt in/b.txt"),
    ("packed", "sh:gzip -n -c in/a.txt > o"),
    ("sorted", "sh:ls in > o"),
    ("map", "import json\njson.dump({k: 1 for k in {'one', 'two', 'three'}}, open('o', 'w'), sort_keys=True)"),
    ("zoned", "sh:TZ=UTC date -d @0 > o"),
    ("fixed-date", "sh:date -u -d @$SOURCE_DATE_EPOCH +%F > o"),
    ("text", "open('o', 'w', encoding='utf-8').write('\u{e9}t\u{e9} ' * 1000)"),
];

fn node(name: &str, script: &str) -> (String, String, String) {
    let (file, run, text) = match script.strip_prefix("sh:") {
        Some(text) => (format!("s/{name}.sh"), format!("sh \"s/{name}.sh\""), text),
        None => (format!("s/{name}.py"), format!("python3 -I -B \"s/{name}.py\""), script),
    };
    let output = if text.contains("mkdir d;") { "output d type=artifact.dir" } else { "output o" };
    let node = format!("    node {name} {{ input \"in/*\" \"{file}\"; run {run}; {output} }}\n");
    (node, file, format!("{text}\n"))
}

fn workspace<'a>(scripts: impl Iterator<Item = (&'a str, &'a str)>) -> Workspace {
    let mut spec = "graph g {\n".to_owned();
    let mut files = Vec::new();
    for (name, script) in scripts {
        let (node, file, text) = node(name, script);
        spec.push_str(&node);
        files.push((file, text));
    }
    let workspace = Workspace::with_spec(&(spec + "}\n"));
    for (file, text) in files {
        workspace.write(&file, text);
    }
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        workspace.write(&format!("in/{name}.txt"), format!("{name}\n"));
    }
    workspace
}

/// Where a difference is, as seeds write it.
fn place(difference: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut at = text(&difference["path"]);
    for member in difference["members"].as_array().into_iter().flatten() {
        at = format!("{at}>{}", text(member));
    }
    let place = &difference["place"];
    let within = match text(&place["in"]).as_str() {
        "json" => text(&place["path"]),
        "field" => text(&place["name"]),
        "bytes" => if place["line"].is_null() { "byte" } else { "line" }.to_owned(),
        other => other.to_owned(),
    };
    format!("{at}|{within}")
}

/// Whether a difference is where a seed is; the name of a file that is there once only begins as it says.
fn is_at(difference: &Value, seed: &Seed) -> bool {
    let found = place(difference);
    match seed.at.split_once("|presence") {
        Some((begin, _)) => found.starts_with(begin) && found.ends_with("|presence"),
        None => found == seed.at,
    }
}

/// The system's own programs: a `python3` of a version manager is a script that needs others.
const PATH: &str = "/usr/bin:/bin";

#[expect(clippy::print_stderr, reason = "a skip must be seen")]
fn has_python() -> bool {
    let there = std::path::Path::new("/usr/bin/python3").exists();
    if !there {
        assert!(!tools_are_required(), "the system has no python3; tests/run installs it");
        eprintln!("skipped: the system has no python3");
    }
    there
}

fn plain(workspace: &Workspace, args: &[&str]) -> Outcome {
    workspace.partita(args).env("PATH", PATH).run()
}

#[test]
fn seeded_causes_are_found_located_and_named() {
    if !has_python() {
        return;
    }
    let workspace = workspace(SEEDS.iter().map(|seed| (seed.name, seed.script)));
    // Isolation hides some of the causes from what runs. Known results are made again as well, and a clock that has gone on need not be waited for.
    plain(&workspace, &["run", "g", "--isolation", "none"]).ok();
    let args = ["run", "g", "--check", "--format", "json", "--progress", "none", "--isolation", "none"];
    let outcome = plain(&workspace, &args).expect(7);
    let report = outcome.json();
    let (mut found, mut located, mut named) = (0, 0, 0);
    let mut missed = Vec::new();
    for seed in SEEDS {
        let actions = report["actions"].as_array().expect("actions are a list");
        let addr = format!("g/{}", seed.name);
        let action = actions.iter().find(|action| action["addr"] == *addr).expect("every node is reported");
        let check = &action["check"];
        assert!(check["runs"].as_u64().is_some_and(|runs| runs <= 2), "{addr}: {check}");
        let differences = check["differences"].as_array().cloned().unwrap_or_default();
        found += usize::from(check["verdict"] == "different");
        let here = differences.iter().find(|difference| is_at(difference, seed));
        located += usize::from(here.is_some());
        let right = here.is_some_and(|here| seed.causes.iter().any(|cause| here["cause"] == *cause));
        named += usize::from(right);
        if !right {
            missed.push(format!("{addr}: not {} {:?} but {check}", seed.at, seed.causes));
        }
    }
    let count = SEEDS.len();
    eprintln!("of {count} seeded causes: {found} found, {located} located, {named} named, in two more runs each");
    let most = count - 2;
    let missed = missed.join("\n");
    assert!(found >= most && located >= most && named >= most, "{found} {located} {named} of {count}\n{missed}");
    // For people, the same in words.
    let text = plain(&workspace, &["run", "g", "--check=g/json-time", "--isolation", "none"]).expect(7);
    let text = text.says("g/json-time does not come out the same each time").says("o, $.build.at");
    text.says("probably a time stamp").says("made again: 0 came out the same, 1 otherwise").says("error[differs]");
}

#[test]
fn what_is_sound_is_not_accused() {
    if !has_python() {
        return;
    }
    let workspace = workspace(SOUND.iter().copied());
    let report = plain(&workspace, &["run", "g", "--check", "--format", "json"]).ok().json();
    for action in report["actions"].as_array().expect("actions are a list") {
        assert_eq!(action["check"]["verdict"], "equal", "{action}");
        assert_eq!(action["check"]["runs"], 2);
    }
    // Results that are known stay known.
    let again = plain(&workspace, &["run", "g", "--check=50%", "--format", "json"]).ok().json();
    assert_eq!(again["cached"], SOUND.len());
    let checked = again["actions"].as_array().expect("a list").iter().filter(|action| !action["check"].is_null());
    assert_eq!(checked.count(), SOUND.len().div_ceil(2));
    assert!(workspace.unfinished().is_empty());
}

#[test]
fn what_is_not_made_again_says_why() {
    let spec = "\
graph g {
    node a class=volatile { run sh -c \"date > o\"; output o }
    node b { write text; output o }
}
";
    let workspace = Workspace::with_spec(spec);
    let report = workspace.run(&["run", "g", "--check", "--format", "json"]).ok().json();
    assert!(report["actions"].as_array().expect("a list").iter().all(|action| action["check"].is_null()));
    let report = workspace.run(&["run", "g", "--check=g/a", "--check=g/b", "--format", "json"]).ok().json();
    assert_eq!(report["actions"][0]["check"]["verdict"], "unchecked");
    assert_eq!(report["actions"][0]["check"]["notes"][0], "it is `volatile`");
    assert_eq!(report["actions"][1]["check"]["verdict"], "unchecked");
    for bad in ["0%", "101%", "x%"] {
        workspace.run(&["run", "g", &format!("--check={bad}")]).expect(2).says("is not a share of the actions");
    }
    workspace.run(&["run", "g", "--check=g/none"]).expect(2).says("there is no action at `g/none`");
}

#[test]
fn what_differs_is_held_back_until_it_does_not() {
    let spec = "\
graph g {
    node a { input \"make.sh\"; run sh \"make.sh\"; output o }
    node b { input o from=(ref)a.o; run sh -c \"cat o o > p\"; output p }
}
bundle g from=g version=\"1.0.0\" {
    include b output=p to=\"p.txt\"
}
";
    let workspace = Workspace::with_spec(spec);
    // It looks at a file that nobody declared, which isolation would not let it.
    let run = |args: &[&str]| workspace.partita(args).env("PARTITA_ISOLATION", "none").run();
    let switch = workspace.around().join("switch");
    workspace.write("make.sh", format!("if test -e {}; then date +%s%N; else echo same; fi > o\n", switch.display()));
    std::fs::write(&switch, "").expect("a file can be written");
    run(&["deliver", "g"]).ok();
    let event = run(&["run", "g", "--check=g/a", "--progress", "json"]).expect(7);
    let checked = event.stderr.lines().find(|line| line.contains("\"event\":\"action-checked\""));
    let checked: Value = serde_json::from_str(checked.expect("an event tells of it")).expect("an event is JSON");
    assert_eq!(checked["check"]["differences"][0]["cause"], "time-stamp");
    for verb in ["bundle", "deliver"] {
        let refused = run(&[verb, "g"]).expect(20);
        refused.says("error[held]").says("g/a: o, line 1").says("partita run g --check=g/a");
    }
    // Who does not publish is not hindered.
    run(&["run", "g"]).ok();
    std::fs::remove_file(&switch).expect("a file can be removed");
    // The result on record is still the old one.
    run(&["run", "g", "--check=g/a"]).expect(7);
    run(&["run", "g", "--check=g/a", "--refresh", "g/a"]).ok().says("1 came out the same");
    run(&["deliver", "g"]).ok();
}
