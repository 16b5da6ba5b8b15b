//! Keys: frozen vectors, agreed on by a second encoder; every field changes them, nothing else does;
//! no two objects share their bytes. Leaves out who uses keys, and the fields of a difference.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use partita::base::{
    ActionKey, Digest, DigestSink, Domain, Entry, Field, Fields, Manifest, RelPath, Tree, Value, digest_fields,
};
use partita::plan::{
    Action, ActionId, ActionKind, ActionSpec, Approval, Approver, Automation, Backoff, Class, Concern, GateNote,
    GateOp, GateSubject, GateValue, Input, InputSource, Isolation, Output, OutputKind, Plan, Policies, Policy,
    Predicate, Reads, RenderValue, Resolved, ResourceNeed, Retry, RetryOn, Schema, Terms, Tool, ToolExec, ToolIdentity,
    action_key, action_manifest, def_manifest, seal, to_json_lines,
};
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::{prop_assert, prop_assert_eq};

use crate::support::{Workspace, golden, repository, tool};

/// A schema that an output must fit.
const SCHEMA: &str = r#"{"type": "object"}"#;

/// The platform that the frozen keys are of.
const PLATFORM: &str = "linux-x86_64";

fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("the literal is a relative path")
}

fn blob(text: &str) -> Digest {
    Digest::of_blob(text.as_bytes())
}

fn file(text: &str) -> Entry {
    Entry::File { digest: blob(text), size: text.len() as u64, exec: false }
}

fn tree(entries: &[(&str, Entry)]) -> Tree {
    Tree { entries: entries.iter().map(|(name, entry)| ((*name).to_owned(), entry.clone())).collect() }
}

fn workspace(pattern: &str, optional: bool) -> Input {
    Input { dest: None, source: InputSource::Workspace { pattern: pattern.to_owned(), optional } }
}

fn output(name: &str, at: &str) -> Output {
    Output { name: name.to_owned(), path: path(at), kind: OutputKind::File, digest: None, schema: None }
}

fn spec(kind: ActionKind) -> ActionSpec {
    let tools = if let ActionKind::Exec { tool, .. } = &kind { vec![tool.clone()] } else { Vec::new() };
    ActionSpec {
        kind,
        class: Class::Pure,
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        inputs: Vec::new(),
        outputs: vec![output("out", "out.txt")],
        tools,
        services: Vec::new(),
        take: None,
        cwd: None,
        isolation: Isolation::None,
        limits: BTreeMap::new(),
    }
}

fn exec(tool: &str, args: &[&str]) -> ActionSpec {
    spec(ActionKind::Exec { tool: tool.to_owned(), args: args.iter().map(|arg| (*arg).to_owned()).collect() })
}

fn declared(name: &str, exec: ToolExec) -> Tool {
    Tool {
        name: name.to_owned(),
        exec,
        fingerprint: None,
        uses: Vec::new(),
        pass_env: Vec::new(),
        supplier: None,
        version: None,
    }
}

/// An action with every field of an `exec` that can be set.
fn full() -> ActionSpec {
    let mut full = exec("cc.gcc", &["-O2", "", "naïve", "a b"]);
    full.class = Class::Volatile;
    full.env = [("A", "1"), ("Ä", "zwei\n")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    full.inputs = vec![workspace("src/**/*.c", false), workspace("config.h", true)];
    full.outputs = vec![output("dep", "deps/a.d"), output("obj", "a.o")];
    full.outputs[0].kind = OutputKind::Dir;
    full.tools = vec!["cc.gcc".to_owned(), "gen".to_owned()];
    full.cwd = Some(path("src/deep"));
    full.isolation = Isolation::Landlock;
    full
}

/// Labels of the actions, by address, with what their inputs turned out to be.
fn actions() -> Vec<(&'static str, ActionSpec, Tree)> {
    let mut fixed = exec("sh", &["-c", "fetch"]);
    fixed.class = Class::Fixed;
    fixed.outputs[0].digest = Some(blob("fetched"));
    fixed.outputs.push(Output { kind: OutputKind::Dir, digest: Some(tree(&[]).digest()), ..output("src", "src") });
    let mut strict = exec("sh", &["-c", "true"]);
    strict.isolation = Isolation::Full;
    let mut copy = spec(ActionKind::Copy { from: path("in.txt") });
    copy.inputs = vec![workspace("in.txt", false)];
    let mut render = spec(ActionKind::Render {
        template: path("page.j2"),
        vars: [
            ("body", RenderValue::File(path("body.html"))),
            ("data", RenderValue::Json(path("data.json"))),
            ("names", RenderValue::List(vec!["a".to_owned(), String::new()])),
            ("title", RenderValue::Text("Ttl".to_owned())),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into(),
    });
    render.inputs = vec![workspace("*.{j2,html,json}", false)];
    let mut fitting = exec("sh", &["-c", "judge"]);
    fitting.outputs[0].schema = Some(blob(SCHEMA));
    let merge = spec(ActionKind::MergeJson { from: vec![path("b.json"), path("a.json")] });
    let test = |path: &str, op: GateOp, value: GateValue| Predicate::Test { path: path.to_owned(), op, value };
    let subject = |name: &str, reads: Reads, at: &[&str]| GateSubject {
        name: name.to_owned(),
        reads,
        at: at.iter().map(|at| path(at)).collect(),
    };
    let mut gate = spec(ActionKind::Gate {
        subjects: vec![
            subject("report", Reads::Junit, &["in/report"]),
            subject("shots", Reads::Dir, &["in/shots/000000", "in/shots/000001"]),
        ],
        require: vec![
            test("report.failed", GateOp::Eq, GateValue::Number("0".to_owned())),
            Predicate::All(vec![
                test("shots.paths", GateOp::Contains, GateValue::Text("a.png".to_owned())),
                Predicate::Any(vec![
                    test("shots.empty", GateOp::Ne, GateValue::Flag(true)),
                    Predicate::Not(vec![test("shots.count", GateOp::Lt, GateValue::Number("2".to_owned()))]),
                ]),
            ]),
        ],
    });
    gate.outputs.clear();
    let person = |name: &str, key: Option<&str>, email: Option<&str>| Approver {
        name: name.to_owned(),
        key: key.map(str::to_owned),
        email: email.map(str::to_owned),
    };
    let mut signoff = spec(ActionKind::Approval(Approval {
        group: "release-team".to_owned(),
        members: Some(vec![person("ana", Some("aa"), Some("ana@example.com")), person("ben", None, None)]),
        min: 2,
        distinct: true,
        expires_ms: Some(259_200_000),
        by_name: false,
    }));
    signoff.outputs.clear();
    let level = tree(&[("leaf", file("leaf"))]);
    let mixed = tree(&[
        ("dir", Entry::Dir { digest: level.digest() }),
        ("link", Entry::Symlink { target: "dir/leaf".to_owned() }),
        ("run", Entry::File { digest: blob("#!"), size: 2, exec: true }),
        ("zürich", file("z")),
    ]);
    let names: Vec<String> = (0..100).map(|number| format!("f{number:03}")).collect();
    let wide = Tree { entries: names.iter().map(|name| (name.clone(), file(name))).collect() };
    vec![
        ("k/copy", copy, tree(&[("in.txt", file("in"))])),
        ("k/exec", exec("sh", &[]), Tree::default()),
        ("k/fitting", fitting, Tree::default()),
        ("k/fixed", fixed, Tree::default()),
        ("k/full", full(), mixed),
        ("k/gate", gate, tree(&[("in", Entry::Dir { digest: level.digest() })])),
        ("k/merge", merge, tree(&[("a.json", file("{}")), ("b.json", file("[]"))])),
        ("k/render", render, tree(&[("page.j2", file("{{ title }}"))])),
        ("k/script", exec("gen", &["--all"]), wide),
        ("k/signoff", signoff, Tree::default()),
        ("k/strict", strict, Tree::default()),
        ("k/use/exec", exec("sh", &["-c", "cat a b"]), tree(&[("a", file("a"))])),
        ("k/use/fixed", exec("sh", &["-c", "ls"]), tree(&[("src", Entry::Dir { digest: level.digest() })])),
        ("k/write", spec(ActionKind::Write { text: "long ünd wide\n".repeat(400) }), Tree::default()),
        ("k/write-nothing", spec(ActionKind::Write { text: String::new() }), Tree::default()),
    ]
}

fn tools() -> Vec<Tool> {
    let mut gcc = declared("cc.gcc", ToolExec::Lookup("gcc".to_owned()));
    gcc.fingerprint = Some(vec!["--version".to_owned()]);
    gcc.version = Some(">=12".to_owned());
    gcc.uses = vec!["ld".to_owned()];
    gcc.supplier = Some("GNU".to_owned());
    gcc.pass_env = vec!["HOME".to_owned()];
    let mut script = declared("gen", ToolExec::Workspace(path("tools/gen.sh")));
    script.uses = vec!["sh".to_owned()];
    vec![
        gcc,
        script,
        declared("ld", ToolExec::Lookup("ld".to_owned())),
        declared("sh", ToolExec::Lookup("sh".to_owned())),
    ]
}

/// The hand-made plan, wired and sealed.
fn plan() -> Plan {
    let mut all: Vec<Action> = actions()
        .into_iter()
        .map(|(addr, spec, _)| Action {
            addr: addr.to_owned(),
            spec,
            policy: Policy::default(),
            def: Digest::from_bytes([0; 32]),
            skey: Digest::from_bytes([0; 32]),
            after: Vec::new(),
            route: None,
        })
        .collect();
    let id = |addr: &str| {
        let index = actions().iter().position(|(other, ..)| *other == addr).expect("the address is in the list");
        ActionId(index as u32)
    };
    let taken = |dest: Option<&str>, addr: &str, output: &str, select: Option<&str>| Input {
        dest: dest.map(path),
        source: InputSource::Output { action: id(addr), output: output.to_owned(), select: select.map(str::to_owned) },
    };
    all[id("k/use/exec").index()].spec.inputs =
        vec![taken(Some("a"), "k/exec", "out", None), taken(Some("b"), "k/write", "out", None)];
    all[id("k/use/fixed").index()].spec.inputs = vec![
        taken(None, "k/full", "dep", Some("*.d")),
        taken(Some("one"), "k/fixed", "out", None),
        taken(Some("src"), "k/fixed", "src", Some("**/*.h")),
    ];
    all[id("k/merge").index()].spec.inputs =
        vec![taken(Some("a.json"), "k/copy", "out", None), taken(Some("b.json"), "k/render", "out", None)];
    let strict = id("k/strict").index();
    all[strict].after = vec![id("k/copy"), id("k/exec"), id("k/gate"), id("k/signoff")];
    all[strict].policy = Policy {
        timeout_ms: Some(90_000),
        retry: Some(Retry { max: 2, on: RetryOn::Timeout, backoff: Backoff::Fixed(250) }),
        holds: vec![
            ResourceNeed { pool: "cpu".to_owned(), amount: 2 },
            ResourceNeed { pool: "gpu".to_owned(), amount: 1 },
        ],
        gate: None,
        automation: Some(Automation::Assist),
        ..Policy::default()
    };
    all[id("k/gate").index()].policy.gate = Some(GateNote {
        name: "gates.green".to_owned(),
        kind: "check".to_owned(),
        concern: Concern::Tests,
        messages: vec![None, Some("no pictures".to_owned())],
    });
    let mut plan = Plan {
        terms: Terms::default(),
        graph: "k".to_owned(),
        actions: all,
        tools: tools(),
        pools: [("gpu".to_owned(), 4)].into(),
        concurrency: Some(3),
        services: Vec::new(),
        policies: Policies::default(),
        schemas: [(blob(SCHEMA), Schema { path: "schemas/out.json".to_owned(), text: SCHEMA.into() })].into(),
        digest: Digest::from_bytes([0; 32]),
    };
    seal(&mut plan);
    plan
}

fn identity(name: &str, printed: Option<&str>) -> ToolIdentity {
    ToolIdentity {
        name: name.to_owned(),
        digest: blob(printed.unwrap_or(name)),
        fingerprint: printed.map(str::to_owned),
    }
}

/// What the tools of a spec turned out to be.
fn resolved(spec: &ActionSpec, inputs: Tree) -> Resolved {
    let mut found = BTreeMap::new();
    for name in &spec.tools {
        let all: &[(&str, ToolIdentity)] = match name.as_str() {
            "cc.gcc" => &[("cc.gcc", identity("gcc", Some("gcc 12.2\n"))), ("ld", identity("ld", None))],
            "gen" => &[("gen", identity("gen.sh", None)), ("sh", identity("sh", None))],
            _ => &[("sh", identity("sh", None))],
        };
        found.extend(all.iter().map(|(name, identity)| ((*name).to_owned(), identity.clone())));
    }
    Resolved { inputs, tools: found, services: BTreeMap::new() }
}

/// The manifest on the platform of the frozen keys.
fn manifest(spec: &ActionSpec, resolved: &Resolved) -> Manifest {
    let mut manifest = action_manifest(spec, resolved);
    let platform = manifest.fields.iter_mut().find(|field| field.name == "platform").expect("a key has a platform");
    platform.value = Value::text(PLATFORM);
    manifest
}

/// Label and manifest of every action.
fn manifests() -> Vec<(&'static str, Manifest, Tree)> {
    actions()
        .into_iter()
        .map(|(label, spec, inputs)| (label, manifest(&spec, &resolved(&spec, inputs.clone())), inputs))
        .collect()
}

#[test]
fn vectors_are_frozen() {
    let plan = plan();
    let mut text =
        String::from("# Frozen: a change of any line is a change of every key of its kind. See src/plan/key.rs.\n");
    let _ = writeln!(text, "plan {} {}", plan.graph, plan.digest);
    for action in &plan.actions {
        let _ = writeln!(text, "def {} {}", action.addr, action.def);
        let _ = writeln!(text, "skey {} {}", action.addr, action.skey);
    }
    for (label, manifest, inputs) in manifests() {
        let _ = writeln!(text, "tree {label} {}", inputs.digest());
        let _ = writeln!(text, "key {label} {}", action_key(&manifest));
    }
    golden("golden/keys.txt", &text);
}

#[test]
fn written_forms_are_frozen() {
    golden("golden/plan/keys.jsonl", &to_json_lines(&plan()));
    let mut text = String::new();
    for (label, manifest, _) in manifests() {
        let _ = writeln!(text, "{{\"label\":\"{label}\",\"manifest\":{}}}", manifest.to_json());
    }
    golden("golden/plan/manifests.jsonl", &text);
}

#[test]
fn a_second_encoder_agrees() {
    let Some(python) = tool("python3") else { return };
    let script = repository("tests/it/keys_encoder.py");
    let golden = repository("tests/golden");
    let paths = [script.to_str().expect("the path is UTF-8"), golden.to_str().expect("the path is UTF-8")];
    let outcome = Workspace::new().command(&python, &paths).run().ok();
    assert_eq!(outcome.stdout, "61 vectors, 0 differ\n");
}

#[test]
fn digest_of_the_parsed_manifest_is_the_key() {
    let plan = plan();
    for (label, manifest, _) in manifests() {
        let parsed = Manifest::from_json(&manifest.to_json()).expect("what is written can be read");
        assert_eq!(action_key(&parsed), action_key(&manifest), "{label}");
        assert_eq!(parsed.to_json(), manifest.to_json(), "{label}");
        let key = action_key(&manifest);
        assert_eq!(key.to_string().parse::<ActionKey>(), Ok(key), "{label}");
    }
    for action in &plan.actions {
        let manifest = def_manifest(&plan, action);
        let parsed = Manifest::from_json(&manifest.to_json()).expect("what is written can be read");
        assert_eq!(digest_fields(&parsed, Domain::Def), action.def, "{}", action.addr);
    }
}

/// A change of an action and of what it found, by name.
type Change<'a> = (&'a str, Box<dyn Fn(&mut ActionSpec, &mut Resolved)>);

fn change(name: &str, change: impl Fn(&mut ActionSpec, &mut Resolved) + 'static) -> Change<'_> {
    (name, Box::new(change))
}

fn args(spec: &mut ActionSpec) -> &mut Vec<String> {
    match &mut spec.kind {
        ActionKind::Exec { args, .. } => args,
        _ => panic!("the action starts a process"),
    }
}

fn entry<'a>(resolved: &'a mut Resolved, name: &str) -> &'a mut Entry {
    resolved.inputs.entries.get_mut(name).expect("the entry is there")
}

/// Every field of the full action, changed.
fn changes() -> Vec<Change<'static>> {
    vec![
        change("an argument", |spec, _| "-O3".clone_into(&mut args(spec)[0])),
        change("the order of arguments", |spec, _| args(spec).swap(0, 2)),
        change("an argument less", |spec, _| drop(args(spec).remove(1))),
        change("an argument split", |spec, _| {
            args(spec).splice(3..4, ["a".to_owned(), "b".to_owned()]);
        }),
        change("a schema of an output", |spec, _| spec.outputs[1].schema = Some(blob("{}"))),
        change("another schema", |spec, _| spec.outputs[1].schema = Some(blob("{ }"))),
        change("a schema of another output", |spec, _| spec.outputs[0].schema = Some(blob("{}"))),
        change("class", |spec, _| spec.class = Class::Pure),
        change("class fixed", |spec, _| spec.class = Class::Fixed),
        change("isolation", |spec, _| spec.isolation = Isolation::Full),
        change("no isolation", |spec, _| spec.isolation = Isolation::None),
        change("cwd", |spec, _| spec.cwd = Some(path("src/Deep"))),
        change("no cwd", |spec, _| spec.cwd = None),
        change("a value of the environment", |spec, _| drop(spec.env.insert("A".to_owned(), "2".to_owned()))),
        change("an empty variable more", |spec, _| drop(spec.env.insert("B".to_owned(), String::new()))),
        change("a variable less", |spec, _| drop(spec.env.remove("A"))),
        change("a name of the environment", |spec, _| {
            let value = spec.env.remove("A").expect("it is set");
            spec.env.insert("a".to_owned(), value);
        }),
        change("the name of an output", |spec, _| "object".clone_into(&mut spec.outputs[1].name)),
        change("the path of an output", |spec, _| spec.outputs[1].path = path("b.o")),
        change("the kind of an output", |spec, _| spec.outputs[1].kind = OutputKind::Dir),
        change("the digest of an output", |spec, _| spec.outputs[1].digest = Some(blob("x"))),
        change("an output less", |spec, _| drop(spec.outputs.pop())),
        change("the kind", |spec, _| spec.kind = ActionKind::Write { text: String::new() }),
        change("a file", |_, found| *entry(found, "zürich") = file("y")),
        change("the size of a file", |_, found| {
            *entry(found, "zürich") = Entry::File { digest: blob("z"), size: 2, exec: false };
        }),
        change("the executable bit", |_, found| {
            *entry(found, "run") = Entry::File { digest: blob("#!"), size: 2, exec: false };
        }),
        change("the target of a link", |_, found| *entry(found, "link") = Entry::Symlink { target: "dir".to_owned() }),
        change("a folder", |_, found| *entry(found, "dir") = Entry::Dir { digest: Tree::default().digest() }),
        change("the name of a file", |_, found| {
            let entry = found.inputs.entries.remove("run").expect("it is there");
            found.inputs.entries.insert("Run".to_owned(), entry);
        }),
        change("a file less", |_, found| drop(found.inputs.entries.remove("run"))),
        change("the program", |_, found| {
            "gcc-12".clone_into(&mut found.tools.get_mut("cc.gcc").expect("it is there").name);
        }),
        change("the identity of the tool", |_, found| {
            found.tools.get_mut("cc.gcc").expect("it is there").digest = blob("gcc 13\n");
        }),
        change("the identity of a tool that a tool uses", |_, found| {
            found.tools.get_mut("ld").expect("it is there").digest = blob("other ld");
        }),
        change("a tool less", |_, found| drop(found.tools.remove("ld"))),
    ]
}

#[test]
fn every_field_changes_the_key() {
    let base = || {
        let (_, spec, inputs) = actions().into_iter().find(|(addr, ..)| *addr == "k/full").expect("it is there");
        let found = resolved(&spec, inputs);
        (spec, found)
    };
    let key = |(spec, found): &(ActionSpec, Resolved)| action_key(&manifest(spec, found));
    let mut seen = BTreeMap::from([(key(&base()), "nothing")]);
    for (name, change) in changes() {
        let mut changed = base();
        change(&mut changed.0, &mut changed.1);
        if let Some(other) = seen.insert(key(&changed), name) {
            panic!("a change of {name} gives the key of a change of {other}");
        }
    }
    let (spec, found) = base();
    let mut elsewhere = manifest(&spec, &found);
    let platform = elsewhere.fields.iter_mut().find(|field| field.name == "platform").expect("a key has a platform");
    platform.value = Value::text("linux-aarch64");
    assert_eq!(seen.insert(action_key(&elsewhere), "the platform"), None);
}

#[test]
fn every_field_of_the_built_in_kinds_changes_the_key() {
    let list = |items: &[&str]| RenderValue::List(items.iter().map(|item| (*item).to_owned()).collect());
    let render = |template: &str, vars: Vec<(&str, RenderValue)>| ActionKind::Render {
        template: path(template),
        vars: vars.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    };
    let gate = |at: &str, reads: Reads, op: GateOp, value: GateValue| ActionKind::Gate {
        subjects: vec![GateSubject { name: "x".to_owned(), reads, at: vec![path(at)] }],
        require: vec![Predicate::Test { path: "x.text".to_owned(), op, value }],
    };
    let kinds = vec![
        ActionKind::Copy { from: path("a") },
        ActionKind::Copy { from: path("b") },
        ActionKind::Write { text: "a".to_owned() },
        ActionKind::Write { text: "b".to_owned() },
        ActionKind::MergeJson { from: vec![path("a")] },
        ActionKind::MergeJson { from: vec![path("a"), path("b")] },
        ActionKind::MergeJson { from: vec![path("b"), path("a")] },
        render("a", vec![]),
        render("b", vec![]),
        render("a", vec![("x", RenderValue::Text("a".to_owned()))]),
        render("a", vec![("y", RenderValue::Text("a".to_owned()))]),
        render("a", vec![("x", RenderValue::Text("b".to_owned()))]),
        render("a", vec![("x", RenderValue::File(path("a")))]),
        render("a", vec![("x", RenderValue::Json(path("a")))]),
        render("a", vec![("x", list(&["a"]))]),
        render("a", vec![("x", list(&["a", ""]))]),
        gate("a", Reads::File, GateOp::Eq, GateValue::Text("1".to_owned())),
        gate("b", Reads::File, GateOp::Eq, GateValue::Text("1".to_owned())),
        gate("a", Reads::Json, GateOp::Eq, GateValue::Text("1".to_owned())),
        gate("a", Reads::File, GateOp::Ne, GateValue::Text("1".to_owned())),
        gate("a", Reads::File, GateOp::Eq, GateValue::Text("2".to_owned())),
        gate("a", Reads::File, GateOp::Eq, GateValue::Number("1".to_owned())),
        gate("a", Reads::File, GateOp::Eq, GateValue::Flag(true)),
        ActionKind::Gate { subjects: Vec::new(), require: vec![Predicate::Any(Vec::new())] },
        ActionKind::Gate { subjects: Vec::new(), require: vec![Predicate::All(Vec::new())] },
        ActionKind::Gate { subjects: Vec::new(), require: vec![Predicate::Not(Vec::new())] },
        ActionKind::Gate { subjects: Vec::new(), require: Vec::new() },
        render("a", vec![("x", list(&[]))]),
    ];
    let nothing = Resolved { inputs: Tree::default(), tools: BTreeMap::new(), services: BTreeMap::new() };
    let keys: BTreeSet<ActionKey> =
        kinds.iter().map(|kind| action_key(&action_manifest(&spec(kind.clone()), &nothing))).collect();
    assert_eq!(keys.len(), kinds.len());
}

#[test]
fn what_is_only_there_when_used_may_be_there_all_at_once() {
    let mut all = full();
    all.secrets = [("TOKEN".to_owned(), "token".to_owned())].into();
    all.services = vec!["shop".to_owned()];
    all.take = Some(2);
    all.outputs[1].schema = Some(blob(SCHEMA));
    let mut resolved = resolved(&all, Tree::default());
    resolved.services.insert("shop".to_owned(), blob("shop"));
    let found = manifest(&all, &resolved);
    let tags: Vec<u16> = found.fields.iter().map(|field| field.tag).collect();
    assert!(tags.is_sorted_by(|a, b| a < b), "{tags:?}");
    for without in [17, 18, 19, 35] {
        let mut less = found.clone();
        less.fields.retain(|field| field.tag != without);
        assert_eq!(less.fields.len() + 1, found.fields.len(), "field {without} is there");
        assert_ne!(action_key(&less), action_key(&found));
    }
}

/// A change of a plan, by name, with the actions whose definition and whose static key it changes.
type PlanChange<'a> = (&'a str, fn(&mut Plan), &'a [&'a str], &'a [&'a str]);

#[test]
fn definitions_and_static_keys_change_with_their_own_fields_only() {
    fn spec<'a>(plan: &'a mut Plan, addr: &str) -> &'a mut ActionSpec {
        let id = plan.find(addr).expect("the action is there");
        &mut plan.actions[id.index()].spec
    }
    fn tool<'a>(plan: &'a mut Plan, name: &str) -> &'a mut Tool {
        plan.tools.iter_mut().find(|tool| tool.name == name).expect("the tool is there")
    }
    fn select(plan: &mut Plan, to: Option<&str>) {
        for input in &mut spec(plan, "k/use/fixed").inputs {
            if let InputSource::Output { select, .. } = &mut input.source {
                *select = to.map(str::to_owned);
            }
        }
    }
    const SHELL: &[&str] =
        &["k/exec", "k/fitting", "k/fixed", "k/full", "k/script", "k/strict", "k/use/exec", "k/use/fixed"];
    let changes: &[PlanChange] = &[
        (
            "a pattern",
            |plan| spec(plan, "k/copy").inputs[0] = workspace("in", false),
            &["k/copy"],
            &["k/copy", "k/merge"],
        ),
        (
            "optional",
            |plan| spec(plan, "k/copy").inputs[0] = workspace("in.txt", true),
            &["k/copy"],
            &["k/copy", "k/merge"],
        ),
        ("a text", |plan| args(spec(plan, "k/exec")).push("x".to_owned()), &["k/exec"], &["k/exec", "k/use/exec"]),
        ("a place", |plan| spec(plan, "k/use/exec").inputs[0].dest = Some(path("c")), &["k/use/exec"], &["k/use/exec"]),
        ("a selection", |plan| select(plan, Some("*.c")), &["k/use/fixed"], &["k/use/fixed"]),
        ("no selection", |plan| select(plan, None), &["k/use/fixed"], &["k/use/fixed"]),
        // What is below a fixed action hangs on the digest it promises, not on how it keeps the promise.
        ("a mirror", |plan| args(spec(plan, "k/fixed")).push("mirror".to_owned()), &["k/fixed"], &["k/fixed"]),
        (
            "a promise",
            |plan| spec(plan, "k/fixed").outputs[0].digest = Some(blob("other")),
            &["k/fixed"],
            &["k/fixed", "k/use/fixed"],
        ),
        ("the version of a tool", |plan| tool(plan, "cc.gcc").version = None, &["k/full"], &["k/full", "k/use/fixed"]),
        ("a fingerprint", |plan| tool(plan, "cc.gcc").fingerprint = None, &["k/full"], &["k/full", "k/use/fixed"]),
        ("what a tool uses", |plan| tool(plan, "cc.gcc").uses.clear(), &["k/full"], &["k/full", "k/use/fixed"]),
        ("a tool that tools use", |plan| tool(plan, "sh").version = Some("5".to_owned()), SHELL, SHELL),
        (
            "where a schema lies",
            |plan| "elsewhere.json".clone_into(&mut plan.schemas.values_mut().next().expect("there is one").path),
            &[],
            &[],
        ),
        ("a supplier", |plan| tool(plan, "cc.gcc").supplier = None, &[], &[]),
        ("a variable handed through", |plan| tool(plan, "cc.gcc").pass_env.clear(), &[], &[]),
    ];
    let before = plan();
    for (name, change, defs, skeys) in changes {
        let mut after = plan();
        change(&mut after);
        seal(&mut after);
        let differ = |digest: fn(&Action) -> Digest| -> Vec<&str> {
            let pairs = before.actions.iter().zip(&after.actions);
            pairs.filter(|(a, b)| digest(a) != digest(b)).map(|(a, _)| a.addr.as_str()).collect()
        };
        assert_eq!(differ(|action| action.def), *defs, "definitions after a change of {name}");
        assert_eq!(differ(|action| action.skey), *skeys, "static keys after a change of {name}");
        // What is no part of any identity is approved all the same.
        assert_ne!(before.digest, after.digest, "the plan after a change of {name}");
    }
}

#[test]
fn order_policies_and_addresses_do_not_change_keys() {
    let before = plan();
    let mut after = plan();
    for action in &mut after.actions {
        action.spec.inputs.reverse();
        action.spec.outputs.reverse();
        action.addr = action.addr.replace("k/", "renamed/");
        action.policy = Policy { timeout_ms: Some(1), ..Policy::default() };
        action.after.clear();
    }
    after.graph = "renamed".to_owned();
    after.pools.clear();
    after.concurrency = None;
    seal(&mut after);
    for (a, b) in before.actions.iter().zip(&after.actions) {
        assert_eq!((a.def, a.skey), (b.def, b.skey), "{}", a.addr);
    }
    assert_ne!(before.digest, after.digest, "what a reviewer approves has changed");

    let (_, spec, inputs) = actions().swap_remove(3);
    let found = resolved(&spec, inputs);
    let mut reordered = spec.clone();
    reordered.inputs.reverse();
    reordered.outputs.reverse();
    reordered.tools.reverse();
    // Patterns are keyed by what they matched, and tools by what they turned out to be.
    reordered.inputs.push(workspace("nothing/**", true));
    assert_eq!(action_manifest(&spec, &found), action_manifest(&reordered, &found));
}

fn policy<'a>(plan: &'a mut Plan, addr: &str) -> &'a mut Policy {
    let id = plan.find(addr).expect("the address is in the plan");
    &mut plan.actions[id.index()].policy
}

fn strict(plan: &Plan) -> Policy {
    plan.action(plan.find("k/strict").expect("it is in the plan")).policy.clone()
}

fn note(plan: &mut Plan) -> &mut GateNote {
    policy(plan, "k/gate").gate.as_mut().expect("it decides")
}

#[test]
fn what_a_reviewer_approves_changes_the_plan() {
    let changes: &[fn(&mut Plan)] = &[
        |plan| plan.actions[0].after.push(ActionId(1)),
        |plan| plan.actions[0].policy.timeout_ms = Some(5),
        |plan| plan.actions[0].policy.retry = strict(plan).retry,
        |plan| plan.actions[0].policy.holds = strict(plan).holds,
        |plan| plan.actions[0].policy.automation = Some(Automation::Auto),
        |plan| plan.actions[0].policy.automation = Some(Automation::Notify),
        |plan| policy(plan, "k/strict").automation = None,
        |plan| policy(plan, "k/gate").gate = None,
        |plan| note(plan).name.push('x'),
        |plan| note(plan).kind.push('x'),
        |plan| note(plan).concern = Concern::Security,
        |plan| note(plan).messages[0] = Some("no pictures".to_owned()),
        |plan| drop(note(plan).messages.pop()),
        |plan| plan.tools[0].supplier = Some("FSF".to_owned()),
        |plan| plan.tools[0].pass_env.push("PATH".to_owned()),
        |plan| plan.tools[0].pass_env.clear(),
        |plan| plan.tools[2].uses.push("sh".to_owned()),
        |plan| plan.tools[2].version = Some("1".to_owned()),
        |plan| drop(plan.tools.pop()),
        |plan| plan.actions[0].addr = "k/aaa".to_owned(),
        |plan| plan.pools = [("gpu".to_owned(), 5)].into(),
        |plan| plan.concurrency = None,
        |plan| plan.graph = "other".to_owned(),
    ];
    let mut seen = BTreeSet::from([plan().digest]);
    for (number, change) in changes.iter().enumerate() {
        let mut changed = plan();
        change(&mut changed);
        seal(&mut changed);
        assert!(seen.insert(changed.digest), "change {number} does not show");
    }
}

#[test]
fn kinds_of_object_never_share_a_digest() {
    let domains =
        [Domain::Tree, Domain::Def, Domain::StaticKey, Domain::ActionKey, Domain::Plan, Domain::Tools, Domain::Outcome];
    let mut all: BTreeSet<Digest> = domains.iter().map(|domain| Digest::derive(*domain, b"same")).collect();
    all.insert(Digest::of_blob(b"same"));
    assert_eq!(all.len(), domains.len() + 1);
}

/// Small values, so that equal ones are common.
fn values() -> impl Strategy<Value = Value> {
    let digests = prop_oneof![Just(blob("a")), Just(blob("b"))];
    let leaf = prop_oneof![
        "[ab\0]{0,2}".prop_map(Value::Text),
        (0..3_u64).prop_map(Value::Int),
        any::<bool>().prop_map(Value::Flag),
        vec(0..3_u8, 0..3).prop_map(Value::Bytes),
        digests.clone().prop_map(Value::Digest),
        digests.prop_map(|digest| Value::Tree { digest, top: None }),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::List),
            vec(inner.clone(), 0..3).prop_map(|values| Value::Set(values.into_iter().collect())),
            vec(("[ab]{0,1}", inner), 0..3).prop_map(|pairs| Value::Map(pairs.into_iter().collect())),
        ]
    })
}

fn objects() -> impl Strategy<Value = Manifest> {
    vec((1..4_u16, values()), 0..3).prop_map(|mut fields| {
        fields.sort_by_key(|(tag, _)| *tag);
        fields.dedup_by_key(|(tag, _)| *tag);
        let named = fields.into_iter().map(|(tag, value)| Field { tag, name: format!("f{tag}"), value });
        Manifest { fields: named.collect() }
    })
}

fn bytes(manifest: &Manifest) -> Vec<u8> {
    let mut sink = DigestSink::default();
    manifest.walk(&mut sink);
    sink.into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_two_objects_share_their_bytes(a in objects(), b in objects()) {
        prop_assert_eq!(a == b, bytes(&a) == bytes(&b));
    }

    #[test]
    fn no_object_is_the_beginning_of_another_value(a in values(), b in values()) {
        let one = |value: &Value| bytes(&Manifest { fields: vec![Field { tag: 1, name: "x".to_owned(), value: value.clone() }] });
        let (a_bytes, b_bytes) = (one(&a), one(&b));
        prop_assert!(a == b || !(a_bytes.starts_with(&b_bytes) || b_bytes.starts_with(&a_bytes)));
    }

    #[test]
    fn manifests_are_read_as_they_were_written(object in objects()) {
        let parsed = Manifest::from_json(&object.to_json()).expect("what is written can be read");
        prop_assert_eq!(&parsed, &object);
        prop_assert_eq!(bytes(&parsed), bytes(&object));
    }
}
